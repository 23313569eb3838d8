//! The optional ValidatingAdmissionPolicy: who may aim the operator's AWS rights at what.

use aidp_e2e::Result;
use aidp_e2e::emulator::ACCOUNT;
use aidp_e2e::operator::Settings;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use serde_json::{Value, json};

use crate::chart::render;
use crate::common::{ENFORCED, buckets_policy, role};

/// How many buckets one change may name anew.
const MANY: usize = 24;

fn many(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("alices-{i:03}")).collect()
}

/// A user who may write policies, even their status, and may use these and nothing else.
fn alice() -> Value {
    let rule = |group: &str, resources: &[&str], names: &[&str], verbs: &[&str]| {
        let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    };
    let named =
        |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "alice"}});
    let many = many(MANY);
    let buckets: Vec<&str> = ["alices-data", "alices-features"]
        .into_iter()
        .chain(many.iter().map(String::as_str))
        .collect();
    let by_arn = format!("arn:aws:iam::{ACCOUNT}:role/aidp/alices-by-arn");
    let right_on = |resource: &str, names: &[&str]| rule("use.aidp.dev", &[resource], names, &["use"]);
    let mut rights = named("ClusterRole");
    rights["rules"] = json!([
        // As careless as a role can be: all resources.
        rule("aidp.dev", &["*"], &[], &["get", "create", "update", "patch"]),
        right_on("buckets", &buckets),
        right_on("bucketprefixes", &["alices-feat-"]),
        right_on("roles", &["alices-trainer", &by_arn]),
        right_on("managedpolicies", &[CHECKPOINTS]),
    ]);
    let mut binding = named("ClusterRoleBinding");
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "alice"});
    binding["subjects"] = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]);
    json!({"apiVersion": "v1", "kind": "List", "items": [rights, binding]})
}

/// The managed policy that she may have attached.
const CHECKPOINTS: &str = "arn:aws:iam::123456789012:policy/checkpoint-writer";

fn as_alice(world: &World, object: &Value) -> Result<()> {
    let apply = [
        "apply",
        "--as=alice",
        "--server-side",
        "--force-conflicts",
        "--field-manager=alice",
        "-f",
        "-",
    ];
    world.plane.kubectl_with(&apply, &object.to_string()).map(drop)
}

/// A JSON merge patch of the spec, or of what else the path of a subresource means.
fn patched_by_alice(world: &World, name: &str, patch: &Value, more: &[&str]) -> Result<()> {
    let patch = patch.to_string();
    let arguments = ["patch", "adpp", name, "--as=alice", "--type=merge", "-p", &patch];
    world.plane.kubectl(&[&arguments[..], more].concat()).map(drop)
}

/// What the admission policy said, and that it was that which refused.
fn assert_refused(what: &str, answer: Result<()>, named: &str) {
    let said = answer
        .err()
        .map_or_else(|| "it was let through".to_owned(), |error| error.to_string());
    assert!(
        said.contains(named) && said.contains("use.aidp.dev") && said.contains("ValidatingAdmissionPolicy"),
        "{what}: {said}"
    );
}

/// The policy of somebody else, which the administrator made: two buckets, a role, and a selector.
fn theirs() -> Value {
    let mut theirs = buckets_policy("theirs", &["others-data", "alices-data"]);
    theirs["spec"]["trainingRoles"] = json!([role("others-trainer", "alices-data")]);
    theirs["spec"]["bucketSelectors"] = json!([{"name": "features", "namePrefix": "others-feat-"}]);
    theirs
}

fn hers() -> Value {
    let mut hers = buckets_policy("hers", &["alices-data"]);
    hers["spec"]["trainingRoles"] = json!([role("alices-trainer", "alices-data")]);
    hers["spec"]["bucketSelectors"] = json!([{"name": "features", "namePrefix": "alices-feat-"}]);
    hers
}

/// `policy` with one field of its spec set.
fn with(mut policy: Value, field: &str, value: Value) -> Value {
    policy["spec"][field] = value;
    policy
}

/// `policy` with one field of its only role set.
fn with_role(mut policy: Value, field: &str, value: Value) -> Value {
    policy["spec"]["trainingRoles"][0][field] = value;
    policy
}

/// `policy` with one item more in a list of its spec.
fn added(field: &str, policy: Value, item: Value) -> Value {
    let mut list = policy["spec"][field].clone();
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
    with(policy, field, list)
}

/// Everything that she has no right to, and the resource that is missing.
fn attempts() -> Vec<(&'static str, Value, &'static str)> {
    let mut default_read = role("alices-trainer", "alices-data");
    if let Some(role) = default_read.as_object_mut() {
        role.remove("read");
    }
    let mut elsewhere = with(
        buckets_policy("elsewhere", &["alices-data"]),
        "trainingRoles",
        json!([role("alices-by-arn", "alices-data")]),
    );
    elsewhere["spec"]["account"]["id"] = json!("210987654321");
    let administrator = json!(["arn:aws:iam::aws:policy/AdministratorAccess"]);
    vec![
        (
            "a new policy on another's bucket",
            buckets_policy("new", &["others-data"]),
            "buckets.use.aidp.dev others-data",
        ),
        (
            "one bucket more",
            added("buckets", hers(), json!({"name": "others-data"})),
            "buckets.use.aidp.dev others-data",
        ),
        (
            "another's role",
            added("trainingRoles", hers(), role("others-trainer", "alices-data")),
            "roles.use.aidp.dev others-trainer",
        ),
        (
            "her role in an account that she may not use",
            elsewhere,
            "roles.use.aidp.dev alices-by-arn",
        ),
        (
            "her ServiceAccount on another's role",
            with_role(
                theirs(),
                "serviceAccounts",
                json!([{"namespace": "ml", "name": "trainer"}, {"namespace": "alice", "name": "trainer"}]),
            ),
            "roles.use.aidp.dev others-trainer",
        ),
        (
            "her role on a bucket that is in the policy already",
            added("trainingRoles", theirs(), role("alices-trainer", "others-data")),
            "buckets.use.aidp.dev others-data",
        ),
        (
            "her role on every bucket of the policy, by saying nothing",
            added("trainingRoles", theirs(), default_read),
            "buckets.use.aidp.dev others-data",
        ),
        (
            "any managed policy on her role",
            with_role(hers(), "managedPolicyARNs", administrator),
            "managedpolicies.use.aidp.dev arn:aws:iam::aws:policy/AdministratorAccess",
        ),
    ]
}

/// The same by what selectors find.
fn attempts_by_selector() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "a selector by tags",
            added(
                "bucketSelectors",
                hers(),
                json!({"name": "tagged", "matchTags": [{"key": "dataset", "value": "fraud"}]}),
            ),
            "bucketprefixes.use.aidp.dev without a name",
        ),
        (
            "a selector with a wider prefix",
            added("bucketSelectors", hers(), json!({"name": "wide", "namePrefix": "a"})),
            "bucketprefixes.use.aidp.dev a",
        ),
        (
            "a selector with another's prefix",
            added(
                "bucketSelectors",
                hers(),
                json!({"name": "theirs", "namePrefix": "others-feat-"}),
            ),
            "bucketprefixes.use.aidp.dev others-feat-",
        ),
        (
            "her selector, turned to another prefix",
            with(
                hers(),
                "bucketSelectors",
                json!([{"name": "features", "namePrefix": "others-feat-"}]),
            ),
            "bucketprefixes.use.aidp.dev others-feat-",
        ),
        (
            "her selector without its prefix",
            with(
                hers(),
                "bucketSelectors",
                json!([{"name": "features", "matchTags": [{"key": "dataset", "value": "fraud"}]}]),
            ),
            "bucketprefixes.use.aidp.dev without a name",
        ),
    ]
}

#[test]
fn a_user_names_only_buckets_and_roles_that_he_holds_use_on() {
    journey(async |world| {
        world.apply(&theirs())?;
        let admission = render(&[
            "--set",
            "admissionPolicy.enabled=true",
            "--show-only",
            "templates/admissionpolicy.yaml",
        ])?;
        let (apply, delete) = (
            ["apply", "--server-side", "-f", "-"],
            ["delete", "--ignore-not-found", "-f", "-"],
        );
        world.plane.kubectl_with(&apply, &admission)?;
        world.plane.kubectl_with(&apply, &alice().to_string())?;
        in_force(world).await?;

        // What is hers, and what it may become.
        for policy in [
            hers(),
            with(
                hers(),
                "buckets",
                json!([{"name": "alices-data"}, {"name": "alices-features"}]),
            ),
            with_role(hers(), "managedPolicyARNs", json!([CHECKPOINTS])),
            with(
                buckets_policy("by-arn", &["alices-data"]),
                "trainingRoles",
                json!([role("alices-by-arn", "alices-data")]),
            ),
            hers(),
        ] {
            as_alice(world, &policy)?;
        }

        // What is not, by every way of writing.
        for (what, object, named) in attempts().into_iter().chain(attempts_by_selector()) {
            assert_refused(what, as_alice(world, &object), named);
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if matches!(name, "hers" | "theirs") {
                let patch = json!({"spec": object["spec"]});
                assert_refused(what, patched_by_alice(world, name, &patch, &[]), named);
            }
        }

        // The inventory says what is the operator's own.
        let inventory = json!({"status": {"targets": {"buckets": [], "roles": [], "egress": []}}});
        let answer = patched_by_alice(world, "theirs", &inventory, &["--subresource=status"]);
        assert_refused("status", answer, "only the operator writes status");

        // A policy that somebody else aimed may be changed where it does not aim at more.
        as_alice(world, &with(theirs(), "interval", json!("1m")))?;
        patched_by_alice(
            world,
            "theirs",
            &json!({"spec": {"bucketControls": {"versioning": {"mode": "Audit"}}}}),
            &[],
        )?;

        // As many new ones as the authorizer is asked about; more are refused as such.
        let named = |count: usize| many(count);
        let policy = |name: &str, buckets: Vec<String>| {
            buckets_policy(name, &buckets.iter().map(String::as_str).collect::<Vec<_>>())
        };
        as_alice(world, &policy("many", named(MANY)))?;
        let error = as_alice(world, &policy("more", named(MANY + 1)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("too much anew for one change"), "{error}");

        // The administrator holds every verb, and so has no such bound; and what is large can still be changed by anybody.
        world.apply(&policy("admins", named(2000)))?;
        patched_by_alice(world, "admins", &json!({"spec": {"interval": "1m"}}), &[])?;
        let delete_all = ["delete", "adpp", "hers", "theirs", "by-arn", "many", "admins"];
        world.plane.kubectl(&delete_all)?;

        // The operator writes status and finalizer as ever.
        world.aws.create_bucket("operated-data").await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        let operated = with(
            buckets_policy("operated", &["operated-data"]),
            "deletionPolicy",
            json!("Revert"),
        );
        world.apply(&operated)?;
        world.until_row("operated", ENFORCED).await?;
        world.plane.kubectl(&["delete", "adpp", "operated", "--timeout=60s"])?;
        assert_eq!(world.aws.bucket("operated-data").await?.policy, None);
        world.plane.kubectl_with(&delete, &admission)?;
        world.plane.kubectl_with(&delete, &alice().to_string())?;
        Ok(())
    });
}

/// Waits until both admission policies are asked.
async fn in_force(world: &World) -> Result<()> {
    let probe = buckets_policy("probe", &["others-data"]).to_string();
    eventually(PATIENCE, "the admission policies are in force", || async {
        let create = ["apply", "--as=alice", "--dry-run=server", "-f", "-"];
        let status = json!({"status": {"observedGeneration": 0}});
        let answers = [
            world.plane.kubectl_with(&create, &probe).map(drop),
            patched_by_alice(world, "theirs", &status, &["--subresource=status", "--dry-run=server"]),
        ];
        for answer in answers {
            match answer {
                Err(error) if error.to_string().contains("use.aidp.dev") => {}
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(())
    })
    .await
}

#[test]
fn whoever_may_view_the_cluster_may_read_policies_and_nobody_gets_to_write_them_by_aggregation() {
    let rights = render(&["--show-only", "templates/rbac.yaml"]).unwrap();
    let mut aggregated = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&rights) {
        let object: Value = serde::Deserialize::deserialize(document).unwrap();
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        for (label, _) in labels.filter(|(label, _)| label.contains("aggregate-to-")) {
            aggregated.push((label.clone(), object["rules"].clone()));
        }
    }
    let view = json!([{"apiGroups": ["aidp.dev"], "resources": ["aidataprotectionpolicies"], "verbs": ["get", "list", "watch"]}]);
    assert_eq!(
        aggregated,
        [("rbac.authorization.k8s.io/aggregate-to-view".to_owned(), view)]
    );
}
