//! An action in full: what is sent, and for a bucket policy which statements come and go.

use serde_json::{Map, Value, json};

use crate::domain::action::Action;
use crate::domain::observed::{EncryptionRule, PublicAccessBlock};

/// The parameters of the call, as AWS names them; documents as JSON.
#[expect(clippy::too_many_lines, reason = "one arm for each kind of action")]
pub(super) fn parameters(action: &Action) -> Value {
    match action {
        Action::PutBucketEncryption {
            bucket: _,
            region,
            seen: _,
            rule,
        } => {
            let EncryptionRule {
                algorithm,
                kms_key_id,
                bucket_key_enabled,
                blocked_encryption_types,
            } = rule;
            given([
                ("region", Some(json!(region.as_str()))),
                ("SSEAlgorithm", algorithm.as_ref().map(|a| json!(a))),
                ("KMSMasterKeyID", kms_key_id.as_ref().map(|k| json!(k))),
                ("BucketKeyEnabled", bucket_key_enabled.map(|b| json!(b))),
                (
                    "BlockedEncryptionTypes",
                    blocked_encryption_types.as_ref().map(|b| json!(b)),
                ),
            ])
        }
        Action::PutBucketPolicy {
            bucket: _,
            region,
            seen: _,
            document,
        } => json!({"region": region.as_str(), "Policy": as_json(document)}),
        Action::DeleteBucketPolicy {
            bucket: _,
            region,
            seen: _,
        }
        | Action::EnableBucketVersioning {
            bucket: _,
            region,
            seen: _,
        } => json!({"region": region.as_str()}),
        Action::EnforceBucketOwner {
            bucket: _,
            region,
            seen: _,
            acl: _,
        } => {
            json!({"region": region.as_str(), "ObjectOwnership": "BucketOwnerEnforced"})
        }
        Action::PutBucketLogging {
            bucket: _,
            region,
            seen: _,
            logging,
        } => json!({
            "region": region.as_str(),
            "TargetBucket": logging.target_bucket,
            "TargetPrefix": logging.target_prefix,
        }),
        Action::PutPublicAccessBlock {
            bucket: _,
            region,
            seen: _,
            settings,
        } => {
            let PublicAccessBlock {
                block_public_acls,
                ignore_public_acls,
                block_public_policy,
                restrict_public_buckets,
            } = settings;
            json!({
                "region": region.as_str(),
                "BlockPublicAcls": block_public_acls,
                "IgnorePublicAcls": ignore_public_acls,
                "BlockPublicPolicy": block_public_policy,
                "RestrictPublicBuckets": restrict_public_buckets,
            })
        }
        Action::CreateRole {
            role: _,
            path,
            trust_policy,
            max_session_duration_seconds,
            permissions_boundary_arn,
            tags,
        } => given([
            ("Path", Some(json!(path))),
            ("AssumeRolePolicyDocument", Some(as_json(trust_policy))),
            ("MaxSessionDuration", Some(json!(max_session_duration_seconds))),
            (
                "PermissionsBoundary",
                permissions_boundary_arn.as_ref().map(|b| json!(b)),
            ),
            ("Tags", Some(json!(tags))),
        ]),
        Action::UpdateAssumeRolePolicy { role: _, trust_policy } => json!({"PolicyDocument": as_json(trust_policy)}),
        Action::UpdateRole {
            role: _,
            max_session_duration_seconds,
        } => json!({"MaxSessionDuration": max_session_duration_seconds}),
        Action::PutRolePermissionsBoundary {
            role: _,
            permissions_boundary_arn,
        } => json!({"PermissionsBoundary": permissions_boundary_arn}),
        Action::TagRole { role: _, tags } => json!({"Tags": tags}),
        Action::PutRolePolicy {
            role: _,
            policy_name,
            document,
        } => json!({"PolicyName": policy_name, "PolicyDocument": as_json(document)}),
        Action::DeleteRolePolicy { role: _, policy_name } => json!({"PolicyName": policy_name}),
        Action::AttachRolePolicy { role: _, policy_arn } | Action::DetachRolePolicy { role: _, policy_arn } => {
            json!({"PolicyArn": policy_arn})
        }
        Action::DeleteRole {
            role: _,
            inline_policies,
            attached_policy_arns,
        } => json!({"inlinePolicies": inline_policies, "attachedPolicyARNs": attached_policy_arns}),
        Action::ApplyNetworkPolicy { rule: _, object } => json!({"object": **object}),
        Action::DeleteNetworkPolicy {
            rule: _,
            namespace,
            name,
            uid: _,
        } => json!({"namespace": namespace, "name": name}),
    }
}

/// The same for people, one line each. Of a bucket policy only what changes: `+` comes, `-` goes.
pub(super) fn lines(action: &Action) -> Vec<String> {
    if let Action::PutBucketPolicy { seen, document, .. } = action {
        let before = seen.as_deref().map(statements).unwrap_or_default();
        let after = statements(document);
        let goes = before.iter().filter(|s| !after.contains(s)).map(|s| format!("- {s}"));
        let comes = after.iter().filter(|s| !before.contains(s)).map(|s| format!("+ {s}"));
        let stays = before.iter().filter(|s| after.contains(s)).count();
        let stays = (stays > 0).then(|| format!("  {stays} statement(s) stay as they are"));
        return goes.chain(comes).chain(stays).collect();
    }
    match parameters(action) {
        Value::Object(parameters) => parameters.iter().map(|(k, v)| format!("  {k}: {}", plain(v))).collect(),
        other => vec![format!("  {other}")],
    }
}

fn statements(document: &str) -> Vec<Value> {
    match as_json(document).get("Statement") {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A document as JSON; as text if it is none.
fn as_json(document: &str) -> Value {
    serde_json::from_str(document).unwrap_or_else(|_| json!(document))
}

fn given<const N: usize>(parameters: [(&str, Option<Value>); N]) -> Value {
    let given = parameters.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?)));
    Value::Object(given.collect::<Map<_, _>>())
}
