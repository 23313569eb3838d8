use serde_json::{Value, json};

use super::*;
use crate::domain::names::RoleName;
use crate::domain::observed::{BucketObservation, KeyGrant, KeyState, Read};
use crate::domain::s3::plan_bucket;
use crate::domain::s3::simulated::*;
use crate::domain::target_plan::TargetPlan;

const ROLE: &str = "arn:aws:iam::123456789012:role/aidp/fraud-trainer";
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/training-boundary";

fn query(key_id: &str) -> KeyQuery {
    KeyQuery {
        region: region("eu-west-1"),
        key_id: key_id.to_owned(),
    }
}

fn trainer() -> RoleName {
    RoleName::new("fraud-trainer").unwrap()
}

fn document(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn key_policy(principal: &str, condition: &Value) -> String {
    document(
        &json!([{"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*", "Condition": condition}]),
    )
}

fn keyed(policy: String) -> KeyObservation {
    KeyObservation {
        policy: Ok(policy),
        ..healthy_key(KEY)
    }
}

/// The role as it was seen, with this inline policy of ours.
fn existing(inline: &str) -> RoleObservation {
    RoleObservation {
        arn: ROLE.to_owned(),
        role_id: "AROA1".to_owned(),
        path: "/aidp/".to_owned(),
        trust_policy: document(&json!([])),
        max_session_duration_seconds: 3600,
        permissions_boundary_arn: Some(BOUNDARY.to_owned()),
        tags: [].into(),
        inline_policies: [(INLINE_POLICY.to_owned(), inline.to_owned())].into(),
        attached_policy_arns: [].into(),
        created_time: None,
        last_used_time: None,
    }
}

fn decrypts() -> String {
    document(&json!([{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}]))
}

/// The plan for a bucket that is on SSE-S3 and is to have the policy's key, with one thing changed around it.
fn switch(change: impl FnOnce(&mut Observed)) -> TargetPlan {
    let policy = full();
    let mut around = around(&policy);
    change(&mut around);
    plan_bucket(&policy, target(&policy), &fresh(), &around)
}

fn with_key(reading: Read<KeyObservation>) -> TargetPlan {
    switch(|around| {
        around.keys.insert(query(KEY), reading);
    })
}

fn with_role(role: RoleObservation) -> TargetPlan {
    switch(|around| {
        around.roles.insert(trainer(), Ok(Some(role)));
    })
}

/// What became of the finding about the algorithm; the bucket is switched exactly if that is Repair and nothing waits.
fn outcome(plan: &TargetPlan) -> (Disposition, bool) {
    let finding = plan.findings.iter().find(|f| f.path == "encryption.algorithm").unwrap();
    (finding.disposition, operations(plan).contains(&"PutBucketEncryption"))
}

const SWITCHED: (Disposition, bool) = (Disposition::Repair, true);
/// That the bucket has less than is asked is known, whatever else is not.
const WAITS: (Disposition, bool) = (Disposition::Repair, false);
const NOT_USABLE: (Disposition, bool) = (Disposition::NeedsHuman(HumanReason::KeyNotUsable), false);
const REFUSED: (Disposition, bool) = (Disposition::NeedsHuman(HumanReason::AccessDenied), false);

#[test]
fn a_bucket_is_switched_to_a_key_that_its_roles_can_use() {
    let root = "arn:aws:iam::123456789012:root";
    let via_s3 =
        json!({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com", "kms:CallerAccount": "123456789012"}});
    let policies = [
        key_policy(root, &json!({})),
        key_policy("123456789012", &json!({})),
        key_policy(ROLE, &json!({})),
        key_policy("*", &via_s3),
        key_policy(
            "*",
            &json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/aidp/*"}}),
        ),
    ];
    for policy in policies {
        assert_eq!(outcome(&with_key(Ok(keyed(policy.clone())))), SWITCHED, "{policy}");
    }
    assert_eq!(outcome(&with_key(Ok(granted(false)))), SWITCHED);
}

/// A key that only a grant lets the role use.
fn granted(is_constrained: bool) -> KeyObservation {
    KeyObservation {
        grants: Ok([KeyGrant {
            id: "g".to_owned(),
            grantee: ROLE.to_owned(),
            operations: ["Decrypt".to_owned()].into(),
            is_constrained,
        }]
        .into()),
        ..keyed(key_policy("arn:aws:iam::123456789012:role/admin", &json!({})))
    }
}

#[test]
fn a_grant_for_some_requests_only_does_not_show_that_a_role_can_decrypt() {
    let stays = (Disposition::NeedsHuman(HumanReason::KeyNotUsable), false);
    assert_eq!(outcome(&with_key(Ok(granted(true)))), stays);
}

#[test]
fn a_key_that_its_roles_may_not_use_is_not_switched_to() {
    let admin = "arn:aws:iam::123456789012:role/admin";
    let root = json!({"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "kms:*", "Resource": "*"});
    let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"ArnNotEquals": {"aws:PrincipalArn": admin}}});
    let encrypt_only = json!({"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "kms:GenerateDataKey*", "Resource": "*"});
    let elsewhere = json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}});
    let policies = [
        key_policy(admin, &json!({})),
        key_policy("arn:aws:iam::999999999999:root", &json!({})),
        key_policy("*", &elsewhere),
        key_policy("*", &json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
        document(&json!([root, deny])),
        document(&json!([encrypt_only])),
        "{".to_owned(),
    ];
    for policy in policies {
        let plan = with_key(Ok(keyed(policy.clone())));
        assert_eq!(outcome(&plan), NOT_USABLE, "{policy}");
    }
}

#[test]
fn a_key_that_does_not_work_is_not_switched_to() {
    let with = |change: fn(&mut KeyObservation)| {
        let mut key = healthy_key(KEY);
        change(&mut key);
        with_key(Ok(key))
    };
    for plan in [
        with(|k| k.state = KeyState::Disabled),
        with(|k| k.state = KeyState::PendingDeletion),
        with(|k| k.spec = Some("HMAC_256".to_owned())),
        with_key(Err(failed("DescribeKey", ErrorClass::NotFound, "NotFoundException"))),
    ] {
        assert_eq!(outcome(&plan), NOT_USABLE);
        assert!(!operations(&plan).contains(&"PutBucketEncryption"));
        assert!(operations(&plan).contains(&"PutBucketVersioning"), "the rest goes on");
    }
}

#[test]
fn what_cannot_be_read_is_not_shown_and_the_bucket_stays() {
    let refused = |operation| failed(operation, ErrorClass::AccessDenied, "AccessDenied");
    let slow = |operation| failed(operation, ErrorClass::Throttled, "SlowDown");
    let hidden = KeyObservation {
        policy: Err(refused("GetKeyPolicy")),
        ..healthy_key(KEY)
    };
    let cases = [
        (with_key(Err(refused("DescribeKey"))), REFUSED),
        (with_key(Err(slow("DescribeKey"))), WAITS),
        (switch(|a| a.keys.clear()), WAITS),
        (with_key(Ok(hidden)), REFUSED),
        (
            switch(|a| {
                a.roles.insert(trainer(), Err(refused("GetRole")));
            }),
            REFUSED,
        ),
        (switch(|a| a.roles.clear()), WAITS),
        (switch(|a| a.managed_policies.clear()), WAITS),
        (
            switch(|a| {
                a.managed_policies
                    .insert(BOUNDARY.to_owned(), Err(refused("GetPolicy")));
            }),
            REFUSED,
        ),
    ];
    for (i, (plan, expected)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(&plan), expected, "case {i}");
    }
}

/// Each new word in a finding is a write of the status.
#[test]
fn a_passing_failure_is_told_in_the_same_words_at_every_try() {
    let told = |words: &str| {
        let mut error = failed("DescribeKey", ErrorClass::Throttled, "SlowDown");
        words.clone_into(&mut error.message);
        let drifts = with_key(Err(error)).findings.into_iter();
        drifts
            .filter(|f| f.disposition == Disposition::Repair)
            .collect::<Vec<_>>()
    };
    assert_eq!(told("first"), told("second"));
    assert_ne!(told("first"), []);
}

#[test]
fn what_else_is_on_the_role_has_its_say() {
    let plan = switch(|around| {
        let s3_only = document(&json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]));
        around.managed_policies.insert(BOUNDARY.to_owned(), Ok(s3_only));
    });
    assert_eq!(outcome(&plan), NOT_USABLE, "the boundary lets the role use no key");

    let deny = document(&json!([{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]));
    let mut role = existing(&decrypts());
    role.inline_policies.insert("theirs".to_owned(), deny.clone());
    assert_eq!(outcome(&with_role(role)), NOT_USABLE, "somebody else's Deny");

    let plan = switch(|around| {
        let arn = "arn:aws:iam::123456789012:policy/no-kms".to_owned();
        let mut role = existing(&decrypts());
        role.attached_policy_arns.insert(arn.clone());
        around.managed_policies.insert(arn, Ok(deny));
        around.roles.insert(trainer(), Ok(Some(role)));
    });
    assert_eq!(outcome(&plan), NOT_USABLE, "an attached Deny");
}

#[test]
fn a_role_in_use_gets_the_right_before_the_bucket_gets_the_key() {
    let before = existing(&document(
        &json!([{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]),
    ));
    assert_eq!(outcome(&with_role(before)), WAITS);
    assert_eq!(outcome(&with_role(existing(&decrypts()))), SWITCHED);

    // The boundary that is on the role now, and not the one that it is about to get.
    let plan = switch(|around| {
        let arn = "arn:aws:iam::123456789012:policy/theirs".to_owned();
        let s3_only = document(&json!([{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]));
        let role = RoleObservation {
            permissions_boundary_arn: Some(arn.clone()),
            ..existing(&decrypts())
        };
        around.managed_policies.insert(arn, Ok(s3_only));
        around.roles.insert(trainer(), Ok(Some(role)));
    });
    assert_eq!(outcome(&plan), WAITS, "another boundary keeps the role from the key");
    let unbounded = RoleObservation {
        permissions_boundary_arn: None,
        ..existing(&decrypts())
    };
    assert_eq!(outcome(&with_role(unbounded)), SWITCHED);
}

#[test]
fn a_bucket_that_no_role_reads_needs_no_role_that_can() {
    let policy = controls(&format!(
        "encryption: {{algorithm: SSE-KMS, kmsKeys: [{{region: eu-west-1, keyARN: '{KEY}'}}]}}"
    ));
    let mut around = around(&policy);
    let stranger = key_policy("arn:aws:iam::123456789012:role/admin", &json!({}));
    around.keys.insert(query(KEY), Ok(keyed(stranger)));
    let plan = plan_bucket(&policy, target(&policy), &fresh(), &around);
    assert_eq!(outcome(&plan), SWITCHED);
}

#[test]
fn a_bucket_that_has_the_key_already_is_not_switched_and_needs_no_proof() {
    let policy = full();
    let mut around = around(&policy);
    around.keys.insert(query("alias/data"), Ok(healthy_key(KEY)));
    around.roles.clear();
    let on = |key: &str, bucket_key| BucketObservation {
        encryption: encrypted(vec![rule("aws:kms", Some(key), Some(bucket_key))]).encryption,
        ..fresh()
    };
    for seen in [on(KEY, false), on("alias/data", true)] {
        let plan = plan_bucket(&policy, target(&policy), &seen, &around);
        assert!(operations(&plan).contains(&"PutBucketEncryption"), "{:?}", brief(&plan));
    }
}
