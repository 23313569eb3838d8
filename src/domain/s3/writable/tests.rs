use super::*;
use crate::api::TLSVersion;
use crate::domain::names::{AccountId, Partition};
use crate::domain::s3::statement::{deny_insecure_transport, deny_old_tls, deny_role_writes};
use serde_json::{Value, json};

const BUCKET: &str = "arn:aws:s3:::b-1";

fn caller(arn: &str) -> CallerIdentity {
    CallerIdentity {
        account: AccountId::new("123456789012").unwrap(),
        partition: Partition::Aws,
        arn: arn.to_owned(),
    }
}

fn role() -> CallerIdentity {
    caller("arn:aws:sts::123456789012:assumed-role/aidp-operator/session")
}

fn over_tls(caller: &CallerIdentity) -> Operator<'_> {
    Operator {
        caller: Some(caller),
        plaintext: false,
        tls13: true,
    }
}

fn checked(statement: Value, operator: Operator<'_>) -> Option<HumanReason> {
    let document = PolicyDocument::empty().with_statements(vec![Statement::from_value(statement).unwrap()]);
    check(&document, |_| false, operator, BUCKET).err().map(|o| o.reason)
}

fn deny(principal: &Value, condition: &Value) -> Value {
    json!({"Effect": "Deny", "Principal": principal, "Action": "s3:*PutBucketPolicy", "Resource": "*", "Condition": condition})
}

#[test]
fn a_foreign_deny_that_certainly_hits_the_operator_stops_the_write() {
    let lock_out = Some(HumanReason::WouldLockOut);
    let role = role();
    let cases = [
        (json!("*"), json!({}), lock_out),
        (json!({"AWS": "123456789012"}), json!({}), lock_out),
        (json!({"AWS": "arn:aws:iam::123456789012:root"}), json!({}), lock_out),
        (
            json!({"AWS": "arn:aws:sts::123456789012:assumed-role/aidp-operator/session"}),
            json!({}),
            lock_out,
        ),
        (
            json!("*"),
            json!({"StringEquals": {"aws:PrincipalAccount": "123456789012"}}),
            lock_out,
        ),
        (
            json!("*"),
            json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/*"}}),
            lock_out,
        ),
        (
            json!("*"),
            json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/admin"}}),
            lock_out,
        ),
        // Not certain, and the operator has just read the policy.
        (
            json!({"AWS": "arn:aws:iam::123456789012:role/ops/aidp-operator"}),
            json!({}),
            None,
        ),
        (
            json!("*"),
            json!({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}),
            None,
        ),
        (
            json!("*"),
            json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/ops/*"}}),
            None,
        ),
        // Certainly not.
        (json!({"AWS": "999999999999"}), json!({}), None),
        (json!({"Service": "logging.s3.amazonaws.com"}), json!({}), None),
        (json!("*"), json!({"Bool": {"aws:SecureTransport": "false"}}), None),
    ];
    for (principal, condition, expected) in cases {
        let got = checked(deny(&principal, &condition), over_tls(&role));
        assert_eq!(got, expected, "{principal} {condition}");
    }
}

#[test]
fn the_root_user_is_never_locked_out() {
    let root = caller("arn:aws:iam::123456789012:root");
    assert_eq!(checked(deny(&json!("*"), &json!({})), over_tls(&root)), None);
}

#[test]
fn our_own_statement_is_not_written_by_an_operator_that_it_could_hit() {
    let tls = deny_insecure_transport("A", BUCKET);
    let operator = role();
    let plaintext = Operator {
        caller: Some(&operator),
        plaintext: true,
        tls13: false,
    };
    assert!(plaintext.locked_out_by(&tls, BUCKET));
    assert!(!over_tls(&operator).locked_out_by(&tls, BUCKET));
    let older = |minimum| deny_old_tls("A", BUCKET, minimum);
    assert!(!over_tls(&operator).locked_out_by(&older(TLSVersion::V13), BUCKET));
    let by_interface_endpoint = Operator {
        tls13: false,
        ..over_tls(&operator)
    };
    assert!(by_interface_endpoint.locked_out_by(&older(TLSVersion::V13), BUCKET));
    assert!(!by_interface_endpoint.locked_out_by(&older(TLSVersion::V12), BUCKET));

    let writes = |role: &str| deny_role_writes("A", BUCKET, &[role.to_owned()]);
    let trainer = writes("arn:aws:iam::123456789012:role/aidp/fraud-trainer");
    assert!(!over_tls(&operator).locked_out_by(&trainer, BUCKET));
    let role_itself = caller("arn:aws:sts::123456789012:assumed-role/fraud-trainer/session");
    assert!(
        over_tls(&role_itself).locked_out_by(&trainer, BUCKET),
        "the path of the caller's role is not known"
    );
    let unguarded = Operator {
        caller: None,
        plaintext: false,
        tls13: true,
    };
    assert!(!unguarded.locked_out_by(&trainer, BUCKET));
}

#[test]
fn a_deleted_identity_makes_the_policy_unwritable() {
    let operator = role();
    for id in ["AROAEXAMPLEEXAMPLE123", "AIDAEXAMPLEEXAMPLE123"] {
        let statement = json!({"Effect": "Allow", "Principal": {"AWS": ["123456789012", id]}, "Action": "s3:GetObject", "Resource": "*"});
        assert_eq!(
            checked(statement, over_tls(&operator)),
            Some(HumanReason::ForeignPolicyUnwritable)
        );
    }
}

#[test]
fn duplicate_foreign_sids_make_the_policy_unwritable() {
    let statement = || {
        Statement::from_value(
            json!({"Sid": "Twice", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}),
        )
        .unwrap()
    };
    let document = PolicyDocument::empty().with_statements(vec![statement(), statement()]);
    let operator = role();
    let obstacle = check(&document, |_| false, over_tls(&operator), BUCKET).unwrap_err();
    assert_eq!(obstacle.reason, HumanReason::ForeignPolicyUnwritable);
}

#[test]
fn the_limit_is_20480_bytes_of_compact_json() {
    let operator = role();
    let sized = |bytes: usize| {
        let statement = |filler: usize| {
            Statement::from_value(
                json!({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "x".repeat(filler)}),
            )
            .unwrap()
        };
        let empty = PolicyDocument::empty()
            .with_statements(vec![statement(0)])
            .to_json()
            .len();
        PolicyDocument::empty().with_statements(vec![statement(bytes - empty)])
    };
    let reason = |bytes| {
        check(&sized(bytes), |_| false, over_tls(&operator), BUCKET)
            .err()
            .map(|o| o.reason)
    };
    assert_eq!(reason(20_480), None);
    assert_eq!(reason(20_481), Some(HumanReason::PolicyTooLarge));
}
