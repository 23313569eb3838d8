//! The policy that most tests are about, and its seed.

use aidp_e2e::Result;
use aidp_e2e::operator::Settings;
use aidp_e2e::world::{World, policy};
use serde_json::{Value, json};

/// The row of the condition table for "all well under Enforce".
pub(crate) const ENFORCED: &str = "True - - False Enforced";

/// A statement of somebody else, in a form that a careless rewrite would change: an object instead of a list, a scalar
/// action, an account by number, mixed case, a number for a string.
pub(crate) fn foreign_statement(bucket: &str) -> Value {
    json!({
        "Sid": "PartnerMayList", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:Listbucket",
        "Resource": format!("arn:aws:s3:::{bucket}"), "Condition": {"NumericLessThanEquals": {"s3:max-keys": 10}},
    })
}

/// A bare bucket with a foreign statement in its policy.
pub(crate) async fn seed_bucket(world: &World, bucket: &str) -> Result<()> {
    world.aws.create_bucket(bucket).await?;
    let document = json!({"Version": "2012-10-17", "Id": "partner", "Statement": foreign_statement(bucket)});
    world.aws.put_policy(bucket, &document.to_string()).await
}

/// The four controls on buckets.
pub(crate) fn all_controls() -> Value {
    json!({"encryption": {"algorithm": "SSE-S3"}, "transport": {}, "publicAccess": {}, "versioning": {}})
}

/// Every control that can be enforced, access logs to the bucket of [`seed_log_bucket`] included.
pub(crate) fn every_control() -> Value {
    let mut controls = all_controls();
    controls["objectOwnership"] = json!({});
    controls["accessLogging"] = json!({"bucket": LOG_BUCKET, "prefix": "s3/"});
    controls
}

/// The bucket that takes access logs.
pub(crate) const LOG_BUCKET: &str = "central-logs";

/// Creates it, as an administrator would: S3's logging service may write there.
pub(crate) async fn seed_log_bucket(world: &World) -> Result<()> {
    world.aws.create_bucket(LOG_BUCKET).await?;
    let document = json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "AccessLogs", "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{LOG_BUCKET}/*"),
    }]});
    world.aws.put_policy(LOG_BUCKET, &document.to_string()).await
}

/// A policy over some buckets and nothing else.
pub(crate) fn buckets_policy(name: &str, buckets: &[&str]) -> Value {
    let buckets: Vec<Value> = buckets.iter().map(|name| json!({"name": name})).collect();
    policy(name, &json!({"bucketControls": all_controls(), "buckets": buckets}))
}

/// Policy `pods` over bucket `pod-data` and role `pod-trainer`, which ServiceAccount ml/trainer has by EKS Pod Identity.
pub(crate) fn pod_identity_policy() -> Value {
    policy(
        "pods",
        &json!({
            "buckets": [{"name": "pod-data"}],
            "trainingRoles": [{
                "name": "pod-trainer", "workloadIdentity": "PodIdentity",
                "serviceAccounts": [{"namespace": "ml", "name": "trainer"}],
            }],
        }),
    )
}

/// What [`whole_policy`] of this name is about: a bare bucket with a foreign statement, a namespace with the label, and a
/// KMS key, whose ARN it returns.
pub(crate) async fn seed(world: &World, name: &str) -> Result<String> {
    seed_bucket(world, &format!("{name}-data")).await?;
    world.namespace(&format!("ml-{name}"), &json!({"team": name}))?;
    world.aws.create_key().await
}

/// A policy over one bucket `NAME-data`, one role `NAME-trainer` and one egress rule on namespaces with label team=NAME.
pub(crate) fn whole_policy(name: &str, key: &str) -> Value {
    let bucket = format!("{name}-data");
    let mut controls = all_controls();
    controls["encryption"] = json!({"algorithm": "SSE-KMS", "kmsKeys": [{"region": "eu-west-1", "keyARN": key}]});
    policy(
        name,
        &json!({
            "bucketControls": controls,

            "buckets": [{"name": bucket}],
            "trainingRoles": [role(&format!("{name}-trainer"), &bucket)],
            "egress": [rule("training", name)],
        }),
    )
}

/// A training role that reads one prefix of one bucket.
pub(crate) fn role(name: &str, bucket: &str) -> Value {
    json!({
        "name": name, "workloadIdentity": "IRSA", "serviceAccounts": [{"namespace": "ml", "name": "trainer"}],
        "read": [{"bucket": bucket, "prefixes": ["curated/"]}],
    })
}

/// An egress rule on namespaces with label team=TEAM: anywhere on 443.
pub(crate) fn rule(name: &str, team: &str) -> Value {
    json!({
        "name": name,
        "namespaceSelector": {"matchLabels": {"team": team}},
        "podSelector": {"matchLabels": {"workload": "training"}},
        "allow": [{"type": "CIDR", "cidr": "0.0.0.0/0"}],
    })
}

/// An operator that looks again every two seconds, whatever the policy's interval.
pub(crate) fn quick() -> Settings {
    Settings {
        arguments: vec!["--max-interval", "2s"],
        ..Settings::default()
    }
}

/// Changes `spec` by a JSON merge patch, as `kubectl patch` does.
pub(crate) fn patch(world: &World, name: &str, spec: &Value) -> Result<()> {
    let patch = json!({"spec": spec}).to_string();
    world
        .plane
        .kubectl(&["patch", "adpp", name, "--type=merge", "-p", &patch])
        .map(drop)
}

/// The statements of a bucket policy whose Sid is the operator's.
pub(crate) fn ours(policy: Option<&Value>) -> Vec<Value> {
    statements(policy)
        .into_iter()
        .filter(|s| s["Sid"].as_str().is_some_and(|sid| sid.starts_with("Aidp")))
        .collect()
}

/// The statements that are not.
pub(crate) fn foreign(policy: Option<&Value>) -> Vec<Value> {
    statements(policy)
        .into_iter()
        .filter(|s| s["Sid"].as_str().is_none_or(|sid| !sid.starts_with("Aidp")))
        .collect()
}

fn statements(policy: Option<&Value>) -> Vec<Value> {
    match policy.map(|policy| &policy["Statement"]) {
        Some(Value::Array(list)) => list.clone(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one.clone()],
    }
}
