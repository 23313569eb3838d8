//! The statements that we put into a bucket policy, exactly as they are written.
//!
//! Sources: AWS S3 User Guide, "Restrict access to only HTTPS requests" and "Requiring a minimum TLS version"; the key
//! spelling and the scalar `"false"` are what scanners (Prowler) look for.

use crate::api::{EncryptionAlgorithm, TLSVersion};
use crate::domain::document::{
    ActionElement, Condition, Effect, PrincipalElement, Principals, ResourceElement, Statement, StatementParts,
};
use crate::domain::iam::role::READ_ACTIONS;

/// Context key: whether the request came over TLS; always there.
pub(super) const SECURE_TRANSPORT: &str = "aws:SecureTransport";
/// Context key: TLS version, e.g. `1.2`.
pub(super) const TLS_VERSION: &str = "s3:TlsVersion";
/// Context key: ARN of the principal; for a session the role's ARN, path included.
pub(super) const PRINCIPAL_ARN: &str = "aws:PrincipalArn";

/// The version as it stands in a policy.
pub(super) const fn tls_number(version: TLSVersion) -> &'static str {
    match version {
        TLSVersion::V12 => "1.2",
        TLSVersion::V13 => "1.3",
    }
}

/// Context key: algorithm that an upload asks for.
const SSE: &str = "s3:x-amz-server-side-encryption";
/// Context key: KMS key that an upload asks for, as an ARN.
const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
/// Context key: algorithm of a key that the client keeps (SSE-C).
const SSE_C: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

fn deny(sid: &str, action: ActionElement, resources: Vec<String>, conditions: Vec<Condition>) -> Statement {
    StatementParts {
        sid: Some(sid.to_owned()),
        effect: Effect::Deny,
        principal: Some(PrincipalElement::Principal(Principals {
            everyone: true,
            ..Principals::default()
        })),
        action,
        resource: Some(ResourceElement::Resource(resources)),
        conditions,
    }
    .into()
}

fn deny_everywhere(sid: &str, action: ActionElement, bucket_arn: &str, condition: Condition) -> Statement {
    let resources = vec![bucket_arn.to_owned(), format!("{bucket_arn}/*")];
    deny(sid, action, resources, vec![condition])
}

fn deny_upload(sid: &str, actions: &[&str], bucket_arn: &str, conditions: Vec<Condition>) -> Statement {
    let actions = actions.iter().map(|a| (*a).to_owned()).collect();
    deny(
        sid,
        ActionElement::Action(actions),
        vec![format!("{bucket_arn}/*")],
        conditions,
    )
}

fn condition(operator: &str, key: &str, values: Vec<String>) -> Condition {
    Condition {
        operator: operator.to_owned(),
        key: key.to_owned(),
        values,
    }
}

/// The request says something about `key`. Beside a negated operator: that alone would hold for a missing key as well, and
/// refuse every upload that leaves encryption to the bucket.
fn present(key: &str) -> Condition {
    condition("Null", key, vec!["false".to_owned()])
}

fn every_action() -> ActionElement {
    ActionElement::Action(vec!["s3:*".to_owned()])
}

/// Refuses every request without TLS.
pub fn deny_insecure_transport(sid: &str, bucket_arn: &str) -> Statement {
    let plaintext = condition("Bool", SECURE_TRANSPORT, vec!["false".to_owned()]);
    deny_everywhere(sid, every_action(), bucket_arn, plaintext)
}

/// Refuses every request with a TLS version older than `minimum`. (Without TLS there is no version: the other statement's
/// business.)
pub fn deny_old_tls(sid: &str, bucket_arn: &str, minimum: TLSVersion) -> Statement {
    let old = condition("NumericLessThan", TLS_VERSION, vec![tls_number(minimum).to_owned()]);
    deny_everywhere(sid, every_action(), bucket_arn, old)
}

/// Refuses the roles everything but [`READ_ACTIONS`], whatever IAM grants them. One statement for all roles of a policy.
/// The roles stand in a condition, not in `Principal`: there a deleted role would turn into its unique id and make every
/// later write of the policy fail.
pub fn deny_role_writes(sid: &str, bucket_arn: &str, role_arns: &[String]) -> Statement {
    let reads = ActionElement::NotAction(READ_ACTIONS.map(str::to_owned).to_vec());
    let roles = condition("ArnEquals", PRINCIPAL_ARN, role_arns.to_vec());
    deny_everywhere(sid, reads, bucket_arn, roles)
}

/// Refuses uploads that ask for an algorithm weaker than `algorithm`.
pub fn deny_wrong_sse_algorithm(sid: &str, bucket_arn: &str, algorithm: EncryptionAlgorithm) -> Statement {
    let strong: &[&str] = match algorithm {
        EncryptionAlgorithm::SseS3 => &["AES256", "aws:kms", "aws:kms:dsse"],
        EncryptionAlgorithm::SseKms => &["aws:kms", "aws:kms:dsse"],
        EncryptionAlgorithm::DsseKms => &["aws:kms:dsse"],
    };
    let strong = strong.iter().map(|a| (*a).to_owned()).collect();
    let conditions = vec![present(SSE), condition("StringNotEquals", SSE, strong)];
    deny_upload(sid, &["s3:PutObject"], bucket_arn, conditions)
}

/// Refuses uploads, and re-encryption of stored objects, with a KMS key other than `key_arns`.
pub fn deny_wrong_kms_key(sid: &str, bucket_arn: &str, key_arns: &[String]) -> Statement {
    let conditions = vec![
        present(SSE_KEY),
        condition("StringNotEquals", SSE_KEY, key_arns.to_vec()),
    ];
    deny_upload(
        sid,
        &["s3:PutObject", "s3:UpdateObjectEncryption"],
        bucket_arn,
        conditions,
    )
}

/// Whether a statement made by [`deny_wrong_kms_key`] lets `key_arn` in.
pub(super) fn lets_key_in(statement: &Statement, key_arn: &str) -> bool {
    let names = |c: &Condition| {
        c.operator.eq_ignore_ascii_case("StringNotEquals")
            && c.key.eq_ignore_ascii_case(SSE_KEY)
            && c.values.iter().any(|v| v == key_arn)
    };
    statement.conditions.iter().any(names)
}

/// Refuses uploads that ask for an algorithm without naming a key: with `aws:kms` S3 would take the AWS-managed key, not
/// the bucket's (S3 API reference, `PutObject`).
pub fn deny_kms_without_key_id(sid: &str, bucket_arn: &str) -> Statement {
    let no_key = condition("Null", SSE_KEY, vec!["true".to_owned()]);
    deny_upload(sid, &["s3:PutObject"], bucket_arn, vec![present(SSE), no_key])
}

/// Refuses uploads with a key that the client keeps for itself (SSE-C).
pub fn deny_sse_c(sid: &str, bucket_arn: &str) -> Statement {
    deny_upload(sid, &["s3:PutObject"], bucket_arn, vec![present(SSE_C)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BUCKET: &str = "arn:aws:s3:::train-data";

    fn written(statement: &Statement) -> Value {
        Value::Object(statement.raw().clone())
    }

    #[test]
    fn the_statements_are_written_as_scanners_expect_them() {
        let resource = json!([BUCKET, "arn:aws:s3:::train-data/*"]);
        assert_eq!(
            written(&deny_insecure_transport("A", BUCKET)),
            json!({"Sid": "A", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resource,
                   "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
        );
        assert_eq!(
            written(&deny_old_tls("B", BUCKET, TLSVersion::V13)),
            json!({"Sid": "B", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resource,
                   "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.3"}}})
        );
        let roles = [
            "arn:aws:iam::1:role/aidp/a".to_owned(),
            "arn:aws:iam::1:role/aidp/b".to_owned(),
        ];
        assert_eq!(
            written(&deny_role_writes("C", BUCKET, &roles)),
            json!({"Sid": "C", "Effect": "Deny", "Principal": "*", "NotAction": READ_ACTIONS, "Resource": resource,
                   "Condition": {"ArnEquals": {"aws:PrincipalArn": roles}}})
        );
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_statement() {
        let built = deny_role_writes("C", BUCKET, &["arn:aws:iam::1:role/aidp/a".to_owned()]);
        assert_eq!(Statement::from_value(written(&built)), Ok(built));
    }
}
