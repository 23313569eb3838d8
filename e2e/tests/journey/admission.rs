//! The optional ValidatingAdmissionPolicy: who may aim the operator's AWS rights at what.

use aidp_e2e::Result;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use serde_json::{Value, json};

use crate::chart::render;
use crate::common::{buckets_policy, role};

/// A user who may write policies, and may use one bucket, one role and nothing else.
fn alice() -> Value {
    let rule = |group: &str, resource: &str, names: &[&str], verbs: &[&str]| {
        let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    };
    let named =
        |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "alice"}});
    let mut rights = named("ClusterRole");
    rights["rules"] = json!([
        rule(
            "aidp.dev",
            "aidataprotectionpolicies",
            &[],
            &["get", "create", "update", "patch"]
        ),
        rule("use.aidp.dev", "buckets", &["alices-data", "alices-features"], &["use"]),
        rule("use.aidp.dev", "roles", &["alices-trainer"], &["use"]),
    ]);
    let mut binding = named("ClusterRoleBinding");
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "alice"});
    binding["subjects"] = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]);
    json!({"apiVersion": "v1", "kind": "List", "items": [rights, binding]})
}

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

fn refused(world: &World, object: &Value, named: &str) {
    let error = as_alice(world, object).unwrap_err().to_string();
    assert!(
        error.contains(named) && error.contains("use.aidp.dev"),
        "{named}: {error}"
    );
}

#[test]
fn a_user_names_only_buckets_and_roles_that_he_holds_use_on() {
    journey(async |world| {
        world.apply(&buckets_policy("theirs", &["others-data", "alices-data"]))?;
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
        let probe = buckets_policy("probe", &["others-data"]);
        eventually(PATIENCE, "the admission policy is in force", || async {
            match world.plane.kubectl_with(
                &["apply", "--as=alice", "--dry-run=server", "-f", "-"],
                &probe.to_string(),
            ) {
                Err(error) if error.to_string().contains("use.aidp.dev") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;

        // What is hers.
        let mut hers = buckets_policy("hers", &["alices-data"]);
        hers["spec"]["trainingRoles"] = json!([role("alices-trainer", "alices-data")]);
        as_alice(world, &hers)?;
        hers["spec"]["buckets"] = json!([{"name": "alices-data"}, {"name": "alices-features"}]);
        as_alice(world, &hers)?;

        // What is not, when creating and when updating.
        refused(world, &buckets_policy("new", &["others-data"]), "buckets");
        let mut more = hers.clone();
        more["spec"]["buckets"] = json!([{"name": "alices-data"}, {"name": "others-data"}]);
        refused(world, &more, "buckets");
        let mut more = hers.clone();
        more["spec"]["trainingRoles"] = json!([role("others-trainer", "alices-data")]);
        refused(world, &more, "roles");

        // A policy that somebody else aimed may be changed where it does not aim at more.
        let mut theirs = buckets_policy("theirs", &["others-data", "alices-data"]);
        theirs["spec"]["interval"] = json!("1m");
        as_alice(world, &theirs)?;

        // More new targets than the authorizer should be asked about are refused as such.
        let many: Vec<String> = (0..101).map(|i| format!("b-{i:03}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let error = as_alice(world, &buckets_policy("many", &many)).unwrap_err().to_string();
        assert!(error.contains("at most 100 new buckets and roles"), "{error}");

        // The administrator holds every verb.
        world.apply(&buckets_policy("admins", &["others-data"]))?;
        world.plane.kubectl_with(&delete, &admission)?;
        world.plane.kubectl_with(&delete, &alice().to_string())?;
        Ok(())
    });
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
