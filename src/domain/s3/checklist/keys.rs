//! The lines of the list that are about keys and the default encryption.

use super::*;
use crate::domain::observed::{CallError, EncryptionRule, EncryptionState, KeyObservation, KeyQuery, KeyState};

const ID: &str = "11111111-1111-1111-1111-111111111111";

/// A bucket in order but for the key of its default encryption.
fn with_key(text: &str) -> BucketObservation {
    with_rules(vec![rule("aws:kms", Some(text), Some(true))])
}

fn with_rules(rules: Vec<EncryptionRule>) -> BucketObservation {
    BucketObservation {
        encryption: Some(Ok(EncryptionState::Rules(rules))),
        ..protected()
    }
}

fn plan_knowing(
    seen: &BucketObservation,
    keys: impl IntoIterator<Item = (String, Result<KeyObservation, CallError>)>,
) -> TargetPlan {
    let policy = full();
    let mut around = around(&policy);
    around.keys.extend(keys.into_iter().map(|(key_id, reading)| {
        let region = region("eu-west-1");
        (KeyQuery { region, key_id }, reading)
    }));
    plan_bucket(&policy, target(&policy), seen, &around)
}

fn no_such_key() -> CallError {
    failed("DescribeKey", ErrorClass::NotFound, "NotFoundException")
}

#[test]
fn alias_of_the_policys_key_is_rewritten_once_as_its_arn() {
    for alias in [
        "alias/data",
        "arn:aws:kms:eu-west-1:123456789012:alias/data",
        "arn:aws:kms:eu-west-1:999999999999:alias/data",
    ] {
        let seen = with_key(alias);
        let once = plan_knowing(&seen, [(alias.to_owned(), Ok(healthy_key(KEY)))]);
        assert_eq!(
            (brief(&once), operations(&once)),
            (
                vec![format!("S3.DefaultEncryption encryption.kmsKey Repair: {alias}")],
                vec!["PutBucketEncryption"]
            )
        );
        assert_eq!(apply(&seen, &once), protected());
    }
}

#[test]
fn alias_that_nobody_can_resolve_is_never_taken_for_the_policys_key() {
    let refused = failed("DescribeKey", ErrorClass::AccessDenied, "AccessDeniedException");
    let seen = with_key("alias/data");
    let plan = plan_knowing(&seen, [("alias/data".to_owned(), Err(refused))]);
    assert_eq!(
        brief(&plan),
        [
            "S3.DefaultEncryption encryption.kmsKey Repair: alias/data",
            "KMS.KeyUsable kmsKey[alias/data].state NeedsHuman(AccessDenied): AccessDeniedException",
        ]
    );
    assert_eq!(apply(&seen, &plan), protected());
}

#[test]
fn key_id_means_the_key_of_the_buckets_account_and_region() {
    let same = plan_knowing(&with_key(ID), []);
    assert_eq!((brief(&same), operations(&same)), (vec![], vec![]));
    assert_eq!(same.state, TargetState::Compliant);
}

#[test]
fn key_of_another_account_is_another_key_whatever_its_id() {
    let theirs = KEY.replace("123456789012", "999999999999");
    let refused = failed("DescribeKey", ErrorClass::AccessDenied, "AccessDeniedException");
    let seen = with_key(&theirs);
    let plan = plan_knowing(&seen, [(theirs.clone(), Err(refused))]);
    assert_eq!(
        brief(&plan),
        [
            format!("S3.DefaultEncryption encryption.kmsKey Repair: {theirs}"),
            format!("KMS.KeyUsable kmsKey[{ID}].state NeedsHuman(AccessDenied): AccessDeniedException"),
        ],
        "the objects that are there still need it"
    );
    assert_eq!(apply(&seen, &plan), protected());
}

#[test]
fn deleted_key_is_critical_and_no_bucket_is_switched_to_it() {
    let gone = || [(KEY.to_owned(), Err(no_such_key()))];
    let on_it = plan_knowing(&protected(), gone());
    assert_eq!(
        brief(&on_it),
        [format!(
            "KMS.KeyUsable kmsKey[{ID}].state NeedsHuman(KeyAtRisk): NotFoundException"
        )]
    );
    assert_eq!((operations(&on_it), on_it.state), (vec![], TargetState::Drifted));
    assert_eq!(on_it.findings[0].severity, crate::api::Severity::Critical);

    let to_it = plan_knowing(&with_rules(vec![rule("AES256", None, None)]), gone());
    assert_eq!(reasons(&to_it), [HumanReason::KeyNotUsable, HumanReason::KeyAtRisk]);
    assert_eq!(operations(&to_it), Vec::<&str>::new());
}

#[test]
fn disabled_key_is_critical_and_no_bucket_is_switched_to_it() {
    let disabled = || {
        let key = KeyObservation {
            state: KeyState::Disabled,
            ..healthy_key(KEY)
        };
        [(KEY.to_owned(), Ok(key))]
    };
    let on_it = plan_knowing(&protected(), disabled());
    assert_eq!(
        (brief(&on_it), operations(&on_it)),
        (
            vec![format!(
                "KMS.KeyUsable kmsKey[{ID}].state NeedsHuman(KeyAtRisk): Disabled"
            )],
            vec![]
        )
    );
    let to_it = plan_knowing(&with_rules(vec![rule("AES256", None, None)]), disabled());
    assert_eq!(reasons(&to_it), [HumanReason::KeyNotUsable, HumanReason::KeyAtRisk]);
    assert_eq!(operations(&to_it), Vec::<&str>::new());
}

#[test]
fn blocked_types_absent_empty_and_none_mean_the_same() {
    let policy = |customer_keys: &str| {
        controls(&format!(
            "encryption: {{algorithm: SSE-S3{customer_keys}}}, transport: {{}}"
        ))
    };
    for types in [None, Some(vec![]), Some(vec!["NONE".to_owned()])] {
        let mut found = rule("AES256", None, None);
        found.blocked_encryption_types.clone_from(&types);
        let seen = with_rules(vec![found]);
        for indifferent in ["", ", customerKeys: Allow"] {
            let plan = plan(&policy(indifferent), &seen);
            assert!(!operations(&plan).contains(&"PutBucketEncryption"), "{types:?}");
        }
        let blocked = policy(", customerKeys: Block");
        let once = plan(&blocked, &seen);
        assert!(
            brief(&once).contains(&"S3.DefaultEncryption encryption.customerKeys Repair: Allow".to_owned()),
            "{types:?}: {:?}",
            brief(&once)
        );
        let after = apply(&seen, &once);
        assert!(!operations(&plan(&blocked, &after)).contains(&"PutBucketEncryption"));
    }
}

#[test]
fn two_rules_are_replaced_by_the_policys_one() {
    let seen = with_rules(vec![rule("AES256", None, None), rule("aws:kms", Some(KEY), Some(true))]);
    let once = plan(&full(), &seen);
    assert_eq!(
        (brief(&once), operations(&once)),
        (
            vec!["S3.DefaultEncryption encryption.rules Repair: 2".to_owned()],
            vec!["PutBucketEncryption"]
        )
    );
    assert_eq!(apply(&seen, &once), protected());
}
