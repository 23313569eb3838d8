//! Somebody changes what the policy protects: under Enforce each change is found, named in the history and repaired; under
//! Audit each is reported and none repaired.

use aidp_e2e::Result;
use aidp_e2e::aws::{BucketSeen, RoleSeen};
use aidp_e2e::view::PolicyView;
use aidp_e2e::world::{World, journey, policy};
use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::{Value, json};

use crate::common::{ENFORCED, foreign_statement, ours, patch, quick, role, seed_bucket};

/// What is done to a bucket, and the control that must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tampering {
    EncryptionDeleted,
    EncryptionWeakened,
    StatementRemoved,
    ConditionEdited,
    PolicyDeleted,
    PublicAccessBlockRemoved,
    VersioningSuspended,
}

impl Tampering {
    const ALL: [Self; 7] = [
        Self::EncryptionDeleted,
        Self::EncryptionWeakened,
        Self::StatementRemoved,
        Self::ConditionEdited,
        Self::PolicyDeleted,
        Self::PublicAccessBlockRemoved,
        Self::VersioningSuspended,
    ];

    /// Its own bucket, so that no repair is throttled for another one's sake.
    fn bucket(self) -> String {
        format!("tamper-{self:?}").to_lowercase()
    }

    fn control(self) -> &'static str {
        match self {
            Self::EncryptionDeleted | Self::EncryptionWeakened => "S3.DefaultEncryption",
            Self::StatementRemoved | Self::ConditionEdited | Self::PolicyDeleted => "S3.TLSOnly",
            Self::PublicAccessBlockRemoved => "S3.PublicAccessBlock",
            Self::VersioningSuspended => "S3.Versioning",
        }
    }

    async fn perform(self, world: &World) -> Result<()> {
        let (s3, bucket) = (&world.aws.s3, self.bucket());
        match self {
            Self::EncryptionDeleted => drop(s3.delete_bucket_encryption().bucket(bucket).send().await?),
            Self::EncryptionWeakened => {
                world
                    .aws
                    .put_encryption(&bucket, ServerSideEncryption::Aes256, None)
                    .await?;
            }
            Self::StatementRemoved => {
                rewrite_policy(world, &bucket, |statements| statements.retain(|s| !is_tls_only(s))).await?;
            }
            Self::ConditionEdited => {
                rewrite_policy(world, &bucket, |statements| {
                    for statement in statements.iter_mut().filter(|s| is_tls_only(s)) {
                        statement["Condition"] = json!({"Bool": {"aws:SecureTransport": "true"}});
                    }
                })
                .await?;
            }
            Self::PolicyDeleted => drop(s3.delete_bucket_policy().bucket(bucket).send().await?),
            Self::PublicAccessBlockRemoved => drop(s3.delete_public_access_block().bucket(bucket).send().await?),
            Self::VersioningSuspended => world.aws.suspend_versioning(&bucket).await?,
        }
        Ok(())
    }
}

fn is_tls_only(statement: &Value) -> bool {
    statement["Sid"].as_str().is_some_and(|sid| sid.starts_with("Aidp"))
        && statement["Condition"] == json!({"Bool": {"aws:SecureTransport": "false"}})
}

async fn rewrite_policy(world: &World, bucket: &str, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
    let mut document = world
        .aws
        .policy(bucket)
        .await?
        .ok_or("no bucket policy to tamper with")?;
    let statements = document["Statement"]
        .as_array_mut()
        .ok_or("a policy without a list of statements")?;
    let before = statements.clone();
    change(statements);
    assert_ne!(*statements, before, "the tampering of {bucket} changed nothing");
    world.aws.put_policy(bucket, &document.to_string()).await
}

async fn seed(world: &World) -> Result<Value> {
    let key = world.aws.create_key().await?;
    let mut buckets = Vec::new();
    for tampering in Tampering::ALL {
        seed_bucket(world, &tampering.bucket()).await?;
        buckets.push(json!({"name": tampering.bucket()}));
    }
    Ok(policy(
        "tamper",
        &json!({
            "buckets": buckets,
            "bucketControls": {
                "encryption": {"algorithm": "SSE-KMS", "kmsKeys": [{"region": "eu-west-1", "keyARN": key}]},
                "transport": {}, "publicAccess": {}, "versioning": {},
            },
        }),
    ))
}

async fn buckets(world: &World) -> Result<Vec<BucketSeen>> {
    let mut seen = Vec::new();
    for tampering in Tampering::ALL {
        seen.push(world.aws.bucket(&tampering.bucket()).await?);
    }
    Ok(seen)
}

/// Statements have no order that means anything.
fn in_any_order(mut seen: BucketSeen) -> BucketSeen {
    if let Some(list) = seen
        .policy
        .as_mut()
        .and_then(|policy| policy["Statement"].as_array_mut())
    {
        list.sort_by_key(Value::to_string);
    }
    seen
}

/// The history entries of one control and resource that tell of a repair, each with what it must say.
fn repaired(policy: &PolicyView, control: &str, resource: &str) -> Vec<Value> {
    let told = |entry: &&Value| {
        let says = |key: &str| entry[key].as_str().is_some_and(|text| !text.is_empty());
        entry["control"] == control
            && entry["resource"] == resource
            && entry["outcome"] == "Corrected"
            && ["path", "want", "have", "detectedTime", "correctedTime"]
                .into_iter()
                .all(says)
    };
    policy.list("/status/history").iter().filter(told).cloned().collect()
}

#[test]
fn tampering_with_buckets_is_found_named_and_repaired() {
    journey(async |world| {
        let spec = seed(world).await?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&spec)?;
        let converged = world.until_row("tamper", ENFORCED).await?;
        let before = buckets(world).await?;
        let told =
            |policy: &PolicyView, at: Tampering| repaired(policy, at.control(), &format!("bucket/{}", at.bucket()));

        for tampering in Tampering::ALL {
            let known = told(&world.policy("tamper")?, tampering);
            tampering.perform(world).await?;
            // A new entry, and not the one that the first convergence left: that one may have been pushed out meanwhile.
            world
                .until("tamper", true, |policy| {
                    policy.row() == ENFORCED && told(policy, tampering).iter().any(|entry| !known.contains(entry))
                })
                .await
                .map_err(|error| format!("{tampering:?}: {error}"))?;
        }
        // Whoever deleted the whole policy deleted the foreign statement: that is not ours to bring back.
        let foreign_gone = |tampering: Tampering, mut seen: BucketSeen| {
            if let (Tampering::PolicyDeleted, Some(policy)) = (tampering, &mut seen.policy) {
                *policy = json!({"Version": "2012-10-17", "Statement": ours(Some(policy))});
            }
            in_any_order(seen)
        };
        for ((tampering, before), now) in Tampering::ALL.into_iter().zip(before).zip(buckets(world).await?) {
            assert_eq!(
                in_any_order(now),
                foreign_gone(tampering, before),
                "{tampering:?}: the bucket is as it was"
            );
        }
        let after = world.policy("tamper")?;
        assert_eq!(after.findings(), converged.findings());
        assert!(after.list("/status/history").len() <= 20);
        for tampering in Tampering::ALL {
            if tampering != Tampering::PolicyDeleted {
                let foreign = crate::common::foreign(world.aws.policy(&tampering.bucket()).await?.as_ref());
                assert_eq!(foreign, [foreign_statement(&tampering.bucket())], "{tampering:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn audit_reports_tampering_and_repairs_nothing() {
    journey(async |world| {
        let spec = seed(world).await?;
        world.namespace("ml-tamper", &json!({"team": "tamper"}))?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&spec)?;
        world.until_row("tamper", ENFORCED).await?;
        patch(world, "tamper", &json!({"mode": "Audit"}))?;
        world.until_row("tamper", "True - - False Audited").await?;

        for tampering in Tampering::ALL {
            tampering.perform(world).await?;
        }
        let (before, mark) = (buckets(world).await?, world.proxy.mark());
        let wanted: Vec<String> = Tampering::ALL
            .iter()
            .map(|t| format!("{} bucket/{}", t.control(), t.bucket()))
            .collect();
        let seen = world
            .until("tamper", Vec::<String>::new(), |policy| {
                let findings = policy.findings();
                wanted
                    .iter()
                    .filter(|w| !findings.iter().any(|f| f.starts_with(*w)))
                    .cloned()
                    .collect()
            })
            .await?;
        assert_eq!(seen.row(), "True - - True Audited");
        // Handled twice more, and still as the intruder left it.
        world.reconcile("tamper").await?;
        world.reconcile("tamper").await?;
        assert_eq!(buckets(world).await?, before);
        assert_eq!(world.proxy.writes_since(mark), Vec::<String>::new());
        for finding in seen.list("/status/findings") {
            let says = |key: &str| finding[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(
                says("path") && says("want") && says("have") && says("message") && says("sinceTime"),
                "{finding}"
            );
        }
        Ok(())
    });
}

#[test]
fn tampering_with_roles_is_found_named_and_repaired() {
    journey(async |world| {
        world.aws.create_bucket("role-data").await?;
        let names = ["widened", "opened", "deleted"];
        let roles: Vec<Value> = names.iter().map(|name| role(name, "role-data")).collect();
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&policy(
            "roles",
            &json!({"buckets": [{"name": "role-data"}], "trainingRoles": roles}),
        ))?;
        world.until_row("roles", ENFORCED).await?;
        let before = roles_seen(world, &names).await?;

        let wide =
            json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]});
        let known = repairs_so_far(world)?;
        let inline = world
            .aws
            .iam
            .put_role_policy()
            .role_name("widened")
            .policy_name("aidp-readonly");
        inline.policy_document(wide.to_string()).send().await?;
        wait_for_repair(world, &known, "IAM.ReadOnly", "widened").await?;

        let known = repairs_so_far(world)?;
        let mut trust = before[1].trust.clone();
        let condition = trust["Statement"][0]["Condition"]["StringEquals"]
            .as_object_mut()
            .expect("a trust condition");
        let (_, subject) = condition
            .iter_mut()
            .find(|(key, _)| key.ends_with(":sub"))
            .expect("a subject");
        *subject = json!([
            "system:serviceaccount:ml:trainer",
            "system:serviceaccount:default:intruder"
        ]);
        world
            .aws
            .iam
            .update_assume_role_policy()
            .role_name("opened")
            .policy_document(trust.to_string())
            .send()
            .await?;
        wait_for_repair(world, &known, "IAM.Trust", "opened").await?;

        let known = repairs_so_far(world)?;
        world.aws.delete_role("deleted").await?;
        wait_for_repair(world, &known, "IAM.Role", "deleted").await?;

        assert_eq!(roles_seen(world, &names).await?, before);
        Ok(())
    });
}

async fn roles_seen(world: &World, names: &[&str]) -> Result<Vec<RoleSeen>> {
    let mut seen = Vec::new();
    for name in names {
        seen.push(
            world
                .aws
                .role(name)
                .await?
                .ok_or_else(|| format!("there is no role {name}"))?,
        );
    }
    Ok(seen)
}

/// The history before the tampering: what is read after it may tell of the repair already.
fn repairs_so_far(world: &World) -> Result<Vec<Value>> {
    Ok(world.policy("roles")?.list("/status/history").to_vec())
}

/// Waits until the history has a repair of this control and role that is not among the `known`.
async fn wait_for_repair(world: &World, known: &[Value], control: &str, role: &str) -> Result<()> {
    let resource = format!("role/{role}");
    world
        .until("roles", true, |policy| {
            policy.row() == ENFORCED
                && repaired(policy, control, &resource)
                    .iter()
                    .any(|entry| !known.contains(entry))
        })
        .await
        .map_err(|error| format!("{control} {role}: {error}"))?;
    Ok(())
}
