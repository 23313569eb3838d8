//! What `aidp iam-policy` prints for a test's policies against the calls that its operators made, judged by the evaluator
//! that also judges training roles.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use aidp::domain::document::{PolicyDocument, PolicyKind};
use aidp::domain::iam::compiled::Policy;
use aidp::domain::iam::context::Context;
use aidp::domain::iam::evaluate::{PolicySet, Request, decide};
use aidp::domain::iam::principal::Caller;
use aidp::domain::rights::action_for;
use aidp_e2e::emulator::{ACCOUNT, REGION};
use aidp_e2e::operator::{EKS_CLUSTER, OIDC_PROVIDER, binary};
use aidp_e2e::record::{ADOPTED_PATH, AwsCall, Record};
use serde_json::{Value, json};

use crate::{explained, records, whole};

/// What `aidp iam-policy` prints for each of a test's policies. A policy that it refuses is one that the operator does not
/// act on either. Whoever sets `deletionPolicy: Revert` gives the rights to take back what left the spec before, too.
fn documents(record: &Record) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = Vec::new();
    let reverted = |policy: &Value| {
        let same = record.policies.iter().filter(|p| p["metadata"] == policy["metadata"]);
        same.into_iter().any(|p| p["spec"]["deletionPolicy"] == "Revert")
    };
    for (index, policy) in record.policies.iter().enumerate() {
        let mut policy = policy.clone();
        if reverted(&policy) {
            policy["spec"]["deletionPolicy"] = json!("Revert");
        }
        let file = folder.path().join(format!("{index}.yaml"));
        std::fs::write(&file, serde_yaml::to_string(&policy).unwrap()).unwrap();
        let mut command = Command::new(binary().unwrap());
        command
            .args([
                "iam-policy",
                "--cluster-id",
                "e2e",
                "--oidc-provider-arn",
                OIDC_PROVIDER,
                "--eks-cluster-arn",
                EKS_CLUSTER,
                "-f",
            ])
            .arg(&file)
            .env_clear();
        if let Some(configuration) = record.configurations.first() {
            let file = folder.path().join("config.yaml");
            std::fs::write(&file, serde_yaml::to_string(configuration).unwrap()).unwrap();
            command.arg("--config").arg(&file);
        }
        let output = command.output().unwrap();
        if output.status.success() {
            documents.push(serde_json::from_slice(&output.stdout).unwrap());
        }
    }
    documents
}

fn compiled(kind: PolicyKind, document: &Value) -> Policy {
    let document = PolicyDocument::parse(&document.to_string()).unwrap();
    document.check(kind).unwrap();
    Policy::new(kind, "aidp iam-policy", &document).unwrap()
}

/// The ARN that IAM matches a call's rights against. Calls that name a role give no path: the operator's roles have one, and
/// those that it takes over have another.
fn arn(call: &AwsCall, adopted: &BTreeSet<&str>) -> String {
    match (call.service.as_str(), call.resource.as_deref()) {
        (_, Some(arn)) if arn.starts_with("arn:") => arn.to_owned(),
        ("s3", Some(bucket)) => format!("arn:aws:s3:::{bucket}"),
        ("iam", Some(role)) if adopted.contains(role) => format!("arn:aws:iam::{ACCOUNT}:role{ADOPTED_PATH}{role}"),
        ("iam", Some(role)) => format!("arn:aws:iam::{ACCOUNT}:role/aidp/{role}"),
        ("kms", Some(key)) => format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"),
        // The path names the association too; the proxy keeps the cluster's name.
        ("eks", Some(cluster)) if call.operation == "DescribePodIdentityAssociation" => {
            format!("arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{cluster}/a-1")
        }
        ("eks", Some(cluster)) => format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{cluster}"),
        _ => "*".to_owned(),
    }
}

/// What the documents allow, compiled once for all calls: beside KMS keys, and to one.
struct Rights {
    plain: PolicySet,
    of_key: PolicySet,
}

impl Rights {
    fn of(documents: &[Value]) -> Self {
        let identity = || documents.iter().map(|d| compiled(PolicyKind::Identity, d)).collect();
        // The policy that a key has unless somebody writes another: its account's IAM decides.
        let of_key = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")}, "Action": "kms:*", "Resource": "*",
        }});
        Self {
            plain: PolicySet {
                identity: identity(),
                ..PolicySet::default()
            },
            of_key: PolicySet {
                identity: identity(),
                resource: Some(compiled(PolicyKind::Resource, &of_key)),
                ..PolicySet::default()
            },
        }
    }
}

/// Whether they allow a call on what `arn` names; an error when it is not known which right it needs.
fn allowed(rights: &Rights, boundary: Option<&str>, call: &AwsCall, arn: &str) -> Result<bool, String> {
    let AwsCall { service, operation, .. } = call;
    // "No permissions are required to perform this operation." (AWS STS API Reference)
    if operation == "GetCallerIdentity" {
        return Ok(true);
    }
    let action = action_for(operation).ok_or(format!("no action is known for {service}:{operation}"))?;
    let mut context = Context::new();
    if let Some(boundary) = boundary {
        context.add("iam:PermissionsBoundary", boundary);
    }
    let caller = Caller::parse(&format!("arn:aws:iam::{ACCOUNT}:role/aidp-operator")).unwrap();
    let request = Request::new(caller, action, arn, Some(ACCOUNT), context).map_err(|e| e.to_string())?;
    let policies = if service == "kms" {
        &rights.of_key
    } else {
        &rights.plain
    };
    Ok(decide(&request, policies).is_allowed())
}

fn actions(document: &Value) -> BTreeSet<String> {
    let statements = document["Statement"].as_array().into_iter().flatten();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().into_iter().flatten());
    actions.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn aidp_iam_policy_allows_every_call_of_the_journey() {
    let (mut denied, mut judged) = (BTreeMap::new(), 0);
    for record in records() {
        let rights = Rights::of(&documents(&record));
        let adopted = record.adopted();
        for call in &record.calls {
            judged += 1;
            let (arn, boundary) = (arn(call, &adopted), record.boundary(call.resource.as_deref()));
            match allowed(&rights, boundary.as_deref(), call, &arn) {
                Ok(true) => {}
                Ok(false) => {
                    denied
                        .entry(record.test.clone())
                        .or_insert_with(Vec::new)
                        .push(format!("{}:{} on {arn}", call.service, call.operation));
                }
                Err(problem) => denied.entry(record.test.clone()).or_default().push(problem),
            }
        }
    }
    // A part of the journey may be on another server than the recorded one.
    assert!(judged > 0 || !whole(), "the journey recorded no call to AWS");
    assert_eq!(denied, BTreeMap::new());
}

const S3_CONTROL: &str =
    "S3 Control prefixes its host with the account, which an emulator at an IP address has no name for";

#[test]
fn every_action_that_aidp_iam_policy_grants_is_used_in_the_journey() {
    if !whole() {
        return;
    }
    let (mut granted, mut used) = (BTreeSet::new(), BTreeSet::new());
    for record in records() {
        granted.extend(documents(&record).iter().flat_map(actions));
        let operations = record.calls.iter().filter_map(|call| action_for(&call.operation));
        used.extend(operations.map(str::to_owned));
    }
    explained(
        granted.difference(&used).cloned(),
        [
            (
                "iam:TagRole".to_owned(),
                "CreateRole with tags is authorized as tagging too",
            ),
            ("s3:GetAccessPointPolicy".to_owned(), S3_CONTROL),
            ("s3:GetAccountPublicAccessBlock".to_owned(), S3_CONTROL),
            ("s3:ListAccessPoints".to_owned(), S3_CONTROL),
        ],
    );
}

#[test]
fn a_call_is_denied_without_its_action_its_resource_or_its_boundary() {
    let boundary = format!("arn:aws:iam::{ACCOUNT}:policy/boundary");
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetBucketPolicy"], "Resource": ["arn:aws:s3:::mine"]},
        {"Effect": "Allow", "Action": ["kms:DescribeKey"], "Resource": [format!("arn:aws:kms:*:{ACCOUNT}:key/*")]},
        {"Effect": "Allow", "Action": ["iam:CreateRole"], "Resource": [format!("arn:aws:iam::{ACCOUNT}:role/aidp/trainer")],
         "Condition": {"StringEquals": {"iam:PermissionsBoundary": boundary}}},
    ]});
    let rights = Rights::of(std::slice::from_ref(&document));
    let ask = |service: &str, operation: &str, resource: &str, boundary: Option<&str>| {
        let call = AwsCall {
            service: service.to_owned(),
            operation: operation.to_owned(),
            resource: Some(resource.to_owned()),
        };
        allowed(&rights, boundary, &call, &arn(&call, &BTreeSet::new()))
    };
    assert_eq!(ask("s3", "GetBucketPolicy", "mine", None), Ok(true));
    assert_eq!(ask("s3", "GetBucketPolicy", "yours", None), Ok(false));
    assert_eq!(ask("s3", "PutBucketPolicy", "mine", None), Ok(false));
    assert_eq!(
        ask("kms", "DescribeKey", "1234abcd-12ab-34cd-56ef-1234567890ab", None),
        Ok(true)
    );
    assert_eq!(ask("iam", "CreateRole", "trainer", Some(&boundary)), Ok(true));
    assert_eq!(ask("iam", "CreateRole", "trainer", None), Ok(false));
    assert_eq!(
        ask("s3", "DeleteBucket", "mine", None),
        Err("no action is known for s3:DeleteBucket".to_owned())
    );
}
