//! Somebody widens what a training role may do, in every way that IAM, S3 and Kubernetes offer: each is found in the first
//! look after it, and dealt with as `foreignPolicies` says.

use aidp_e2e::Result;
use aidp_e2e::aws::RoleSeen;
use aidp_e2e::operator::Settings;
use aidp_e2e::view::PolicyView;
use aidp_e2e::world::{World, journey_with_managed_policies, policy};
use serde_json::{Value, json};

use crate::common::ENFORCED;

const DATA: &str = "wide-data";
const ACCOUNT: &str = "123456789012";
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const S3_FULL: &str = "arn:aws:iam::aws:policy/AmazonS3FullAccess";

/// What is done, each to a role of its own: no repair waits for another's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Widening {
    ManagedAttached,
    ReadOnlyAttached,
    S3FullAttached,
    NotActionAllowed,
    InlineAdded,
    BoundaryRemoved,
    TrustByPattern,
    BucketGrants,
    VersionSwitched,
    Recreated,
    Reannotated,
}

/// What must become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Undone, and told in the history.
    Repaired,
    /// A human is needed: the finding holds Ready back.
    Stalled,
    /// Said; the role's own Deny stands against it.
    Noted,
}

impl Widening {
    const ALL: [Self; 11] = [
        Self::ManagedAttached,
        Self::ReadOnlyAttached,
        Self::S3FullAttached,
        Self::NotActionAllowed,
        Self::InlineAdded,
        Self::BoundaryRemoved,
        Self::TrustByPattern,
        Self::BucketGrants,
        Self::VersionSwitched,
        Self::Recreated,
        Self::Reannotated,
    ];

    fn role(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn arn(self) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role/aidp/{}", self.role())
    }

    /// Control, the beginning of the path, and what becomes of it.
    fn expected(self, detach: bool) -> Vec<(&'static str, String, Fate)> {
        let foreign = |path: String, opens: bool| {
            if detach {
                return vec![("IAM.ReadOnly", path, Fate::Repaired)];
            }
            let mut expected = vec![("IAM.ReadOnly", path, Fate::Noted)];
            if opens {
                expected.push(("IAM.ReadOnly", "readOnly.escalation".to_owned(), Fate::Stalled));
            }
            expected
        };
        match self {
            Self::ManagedAttached => foreign(format!("attachedPolicies.{}", customer_policy("everything")), true),
            Self::ReadOnlyAttached => foreign(format!("attachedPolicies.{READ_ONLY}"), false),
            Self::S3FullAttached => foreign(format!("attachedPolicies.{S3_FULL}"), true),
            Self::NotActionAllowed => foreign("inlinePolicies.backdoor".to_owned(), true),
            Self::InlineAdded => foreign("inlinePolicies.backdoor".to_owned(), false),
            Self::BoundaryRemoved => vec![("IAM.Role", "permissionsBoundary".to_owned(), Fate::Repaired)],
            Self::TrustByPattern => vec![("IAM.Trust", "trustPolicy.Statement[0].sub".to_owned(), Fate::Repaired)],
            Self::BucketGrants => vec![("IAM.ReadOnly", "bucketPolicy[".to_owned(), Fate::Noted)],
            // It is listed, so it is not taken off; nor is its version ours to switch back.
            Self::VersionSwitched => vec![("IAM.ReadOnly", "readOnly.escalation".to_owned(), Fate::Stalled)],
            // Another role of the same name: not ours, so nothing is written to it.
            Self::Recreated => vec![("IAM.Role", "role".to_owned(), Fate::Stalled)],
            Self::Reannotated => vec![("IAM.WorkloadIdentity", "serviceAccounts[ml/".to_owned(), Fate::Stalled)],
        }
    }

    async fn perform(self, world: &World) -> Result<()> {
        let (iam, role) = (&world.aws.iam, self.role());
        let attach = async |arn: &str| iam.attach_role_policy().role_name(&role).policy_arn(arn).send().await;
        let inline = async |statement: Value| {
            let put = iam.put_role_policy().role_name(&role).policy_name("backdoor");
            put.policy_document(document(&statement).to_string()).send().await
        };
        match self {
            Self::ManagedAttached => drop(attach(&customer_policy("everything")).await?),
            Self::ReadOnlyAttached => drop(attach(READ_ONLY).await?),
            Self::S3FullAttached => drop(attach(S3_FULL).await?),
            Self::NotActionAllowed => {
                inline(json!({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})).await?;
            }
            Self::InlineAdded => {
                let objects = format!("arn:aws:s3:::{DATA}/*");
                inline(json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": objects})).await?;
            }
            Self::BoundaryRemoved => drop(iam.delete_role_permissions_boundary().role_name(&role).send().await?),
            Self::TrustByPattern => {
                let mut trust = seen(world, self).await?.trust;
                let condition = trust["Statement"][0]["Condition"].take();
                let like = condition["StringEquals"]
                    .to_string()
                    .replace("ml:trustbypattern", "*:*");
                trust["Statement"][0]["Condition"] = json!({"StringLike": serde_json::from_str::<Value>(&like)?});
                let update = iam.update_assume_role_policy().role_name(&role);
                update.policy_document(trust.to_string()).send().await?;
            }
            Self::BucketGrants => {
                let mut policy = world.aws.policy(DATA).await?.ok_or("no bucket policy")?;
                let statements = policy["Statement"].as_array_mut().ok_or("no statements")?;
                statements.push(json!({
                    "Sid": "LetTheTrainerWrite", "Effect": "Allow", "Principal": {"AWS": self.arn()},
                    "Action": "s3:PutObject", "Resource": format!("arn:aws:s3:::{DATA}/*"),
                }));
                world.aws.put_policy(DATA, &policy.to_string()).await?;
            }
            Self::VersionSwitched => {
                let version = iam.create_policy_version().policy_arn(customer_policy("checkpoints"));
                let wide = everything().to_string();
                version.policy_document(wide).set_as_default(true).send().await?;
            }
            Self::Recreated => {
                let trust = seen(world, self).await?.trust;
                world.aws.delete_role(&role).await?;
                world.aws.create_role(&role, &trust).await?;
            }
            Self::Reannotated => annotate(world, self, "arn:aws:iam::123456789012:role/admin")?,
        }
        Ok(())
    }
}

fn document(statement: &Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": statement})
}

fn everything() -> Value {
    document(&json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}))
}

fn customer_policy(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy/{name}")
}

fn annotate(world: &World, at: Widening, arn: &str) -> Result<()> {
    world.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": at.role(), "namespace": "ml", "annotations": {"eks.amazonaws.com/role-arn": arn}},
    }))
}

async fn seen(world: &World, at: Widening) -> Result<RoleSeen> {
    let role = world.aws.role(&at.role()).await?;
    Ok(role.ok_or_else(|| format!("there is no role {}", at.role()))?)
}

/// The roles, their bucket, managed policies and ServiceAccounts, all well.
async fn converge(world: &World, foreign_policies: &str) -> Result<()> {
    world.aws.create_bucket(DATA).await?;
    let checkpoints = json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::checkpoints/*"});
    world.aws.create_policy("checkpoints", &document(&checkpoints)).await?;
    world.aws.create_policy("everything", &everything()).await?;
    world.aws.create_policy("boundary", &everything()).await?;
    world.namespace("ml", &json!({"team": "ml"}))?;
    let mut roles = Vec::new();
    for at in Widening::ALL {
        annotate(world, at, &at.arn())?;
        let mut role = json!({
            "name": at.role(), "workloadIdentity": "IRSA", "serviceAccounts": [{"namespace": "ml", "name": at.role()}],
            "foreignPolicies": foreign_policies,
        });
        if at == Widening::BoundaryRemoved {
            role["permissionsBoundaryARN"] = json!(customer_policy("boundary"));
        }
        if at == Widening::VersionSwitched {
            role["managedPolicyARNs"] = json!([customer_policy("checkpoints")]);
        }
        roles.push(role);
    }
    world.apply(&policy(
        "wide",
        &json!({"bucketControls": {"transport": {}}, "buckets": [{"name": DATA}], "trainingRoles": roles}),
    ))?;
    let policy = world.until_row("wide", ENFORCED).await?;
    assert_eq!(about_roles(&policy), Vec::<String>::new(), "all is well at first");
    Ok(())
}

fn about_roles(policy: &PolicyView) -> Vec<String> {
    policy.findings().into_iter().filter(|f| f.contains(" role/")).collect()
}

/// Whether the object says what became of it.
fn says(policy: &PolicyView, at: Widening, (control, path, fate): &(&str, String, Fate)) -> bool {
    let resource = format!("role/{}", at.role());
    let about = |entry: &&Value| {
        entry["control"] == *control
            && entry["resource"] == resource.as_str()
            && entry["path"].as_str().is_some_and(|p| p.starts_with(path))
    };
    let finding = policy.list("/status/findings").iter().find(about);
    let gating = finding.map(|f| f["gating"].as_str().unwrap_or_default());
    match fate {
        Fate::Repaired => policy
            .list("/status/history")
            .iter()
            .filter(about)
            .any(|entry| entry["outcome"] == "Corrected"),
        Fate::Stalled => gating == Some("Gating"),
        Fate::Noted => gating == Some("ReportOnly"),
    }
}

async fn each_is_found_and_dealt_with(world: &World, detach: bool) -> Result<()> {
    let _operator = world.operator("operator", &Settings::default()).await?;
    converge(world, if detach { "Detach" } else { "Report" }).await?;
    let mut good = Vec::new();
    for at in Widening::ALL {
        good.push(seen(world, at).await?);
    }
    for at in Widening::ALL {
        at.perform(world).await.map_err(|e| format!("{at:?}: {e}"))?;
    }
    let mut widened = Vec::new();
    for at in Widening::ALL {
        widened.push(seen(world, at).await?);
    }

    // One look, as after an interval, finds all of them.
    let found = world.reconcile("wide").await?;
    for at in Widening::ALL {
        for expected in at.expected(detach) {
            assert!(
                says(&found, at, &expected),
                "{at:?} {expected:?}: {:#}",
                found.0["status"]
            );
        }
    }
    assert_eq!(found.status("RolesReadOnly"), "False");
    // What is not the operator's to undo is left as it is; the rest is as it was.
    for ((at, good), widened) in Widening::ALL.into_iter().zip(good).zip(widened) {
        let fates: Vec<Fate> = at.expected(detach).into_iter().map(|(_, _, fate)| fate).collect();
        let now = seen(world, at).await?;
        let wanted = if fates == [Fate::Repaired] { good } else { widened };
        assert_eq!(now, wanted, "{at:?}");
    }
    let grants = world.aws.policy(DATA).await?.ok_or("no bucket policy")?.to_string();
    assert!(grants.contains("LetTheTrainerWrite"), "a foreign statement is kept");

    // The next look has nothing to add, and writes nothing.
    let mark = world.proxy.mark();
    let after = world.reconcile("wide").await?;
    assert_eq!(world.proxy.writes_since(mark), Vec::<String>::new());
    for at in Widening::ALL {
        for expected in at.expected(detach) {
            assert!(
                says(&after, at, &expected),
                "{at:?} {expected:?}: {:#}",
                after.0["status"]
            );
        }
        let resource = format!("role/{}", at.role());
        let left = about_roles(&after)
            .into_iter()
            .filter(|f| f.contains(&format!(" {resource} ")))
            .count();
        let lasting = at
            .expected(detach)
            .iter()
            .filter(|(_, _, fate)| *fate != Fate::Repaired)
            .count();
        assert_eq!(left == 0, lasting == 0, "{at:?}: {:?}", about_roles(&after));
    }
    let reannotated = after
        .list("/status/findings")
        .iter()
        .find(|f| f["control"] == "IAM.WorkloadIdentity");
    let message = reannotated.and_then(|f| f["message"].as_str()).unwrap_or_default();
    assert!(
        message.contains("kubectl annotate serviceaccount -n ml reannotated"),
        "{message}"
    );
    Ok(())
}

#[test]
fn a_role_widened_in_eleven_ways_is_found_and_under_report_left_to_its_own_deny() {
    journey_with_managed_policies(async |world| each_is_found_and_dealt_with(world, false).await);
}

#[test]
fn a_role_widened_in_eleven_ways_is_found_and_under_detach_rid_of_what_is_foreign() {
    journey_with_managed_policies(async |world| each_is_found_and_dealt_with(world, true).await);
}
