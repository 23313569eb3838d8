use crate::domain::action::Action;
use crate::domain::observed::{EncryptionRule, EncryptionState};
use crate::domain::s3::simulated::{
    KEY, OTHER_KEY, apply, brief, controls, encrypted, fresh, operations, plan, region, rule,
};

const KMS: &str = "encryption: {algorithm: SSE-KMS, kmsKeys: [{region: eu-west-1, keyARN: 'arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111'}], bucketKey: Enabled}";
const S3: &str = "encryption: {algorithm: SSE-S3}";
const IGNORE_REST: &str = ", transport: {mode: Ignore}, publicAccess: {mode: Ignore}, versioning: {mode: Ignore}";

/// Findings about the encryption (not those about keys), and the rule that would be written.
fn judged(controls_text: &str, rules: Vec<EncryptionRule>) -> (Vec<String>, Option<EncryptionRule>) {
    let policy = controls(&format!("{controls_text}{IGNORE_REST}"));
    let plan = plan(&policy, &encrypted(rules));
    let written = plan.actions.first().map(|a| match &a.action {
        Action::PutBucketEncryption { rule, .. } => rule.clone(),
        other => panic!("{other}"),
    });
    let findings = brief(&plan).into_iter().filter(|f| f.starts_with("S3."));
    (findings.collect(), written)
}

fn finding(path: &str, have: &str) -> Vec<String> {
    vec![format!("S3.DefaultEncryption encryption.{path} Repair: {have}")]
}

#[test]
fn what_is_at_least_as_strong_is_left_alone() {
    let right = || rule("aws:kms", Some(KEY), Some(true));
    assert_eq!(judged(KMS, vec![right()]), (vec![], None));
    assert_eq!(
        judged(KMS, vec![rule("aws:kms:dsse", Some(KEY), None)]),
        (vec![], None),
        "DSSE, and no bucket key there"
    );
    for stronger in [
        rule("AES256", None, None),
        right(),
        rule("aws:kms", None, None),
        rule("aws:kms:dsse", Some(OTHER_KEY), None),
    ] {
        assert_eq!(judged(S3, vec![stronger]), (vec![], None));
    }
}

#[test]
fn weaker_encryption_is_raised_to_the_policys() {
    let wanted = Some(rule("aws:kms", Some(KEY), Some(true)));
    assert_eq!(
        judged(KMS, vec![rule("AES256", None, None)]),
        (finding("algorithm", "AES256"), wanted)
    );
}

#[test]
fn a_bucket_with_nothing_configured_has_sse_s3() {
    let ignore_rest = |c: &str| controls(&format!("{c}{IGNORE_REST}"));
    assert_eq!(brief(&plan(&ignore_rest(S3), &fresh())), Vec::<String>::new());
    assert_eq!(
        brief(&plan(&ignore_rest(KMS), &fresh())),
        finding("algorithm", "AES256 (nothing configured)")
    );
}

#[test]
fn a_wrong_key_is_replaced_and_a_stronger_algorithm_kept() {
    assert_eq!(
        judged(KMS, vec![rule("aws:kms:dsse", Some(OTHER_KEY), None)]),
        (
            finding("kmsKey", OTHER_KEY),
            Some(rule("aws:kms:dsse", Some(KEY), None))
        )
    );
}

#[test]
fn keys_are_compared_as_arns() {
    let id = "11111111-1111-1111-1111-111111111111";
    assert_eq!(
        judged(KMS, vec![rule("aws:kms", Some(id), Some(true))]),
        (vec![], None),
        "a bare id of this account and region"
    );
    let wanted = Some(rule("aws:kms", Some(KEY), Some(true)));
    let elsewhere = KEY.replace("123456789012", "999999999999");
    for (stored, shown) in [
        (Some("alias/data"), "alias/data"),
        (Some("alias/aws/s3"), "alias/aws/s3"),
        (Some("aws/s3"), "aws/s3"),
        (None, "aws/s3"),
        (Some(elsewhere.as_str()), elsewhere.as_str()),
    ] {
        let got = judged(KMS, vec![rule("aws:kms", stored, Some(true))]);
        assert_eq!(got, (finding("kmsKey", shown), wanted.clone()), "{stored:?}");
    }
}

#[test]
fn the_bucket_key_is_compared_only_where_it_is_asked_for() {
    assert_eq!(
        judged(KMS, vec![rule("aws:kms", Some(KEY), None)]),
        (
            finding("bucketKey", "Disabled"),
            Some(rule("aws:kms", Some(KEY), Some(true)))
        )
    );
    let unmanaged = KMS.replace(", bucketKey: Enabled", "");
    assert_eq!(
        judged(&unmanaged, vec![rule("aws:kms", Some(KEY), Some(false))]),
        (vec![], None)
    );
}

#[test]
fn an_unknown_algorithm_is_left_for_a_human() {
    assert_eq!(
        judged(S3, vec![rule("aws:fsx", None, None)]),
        (
            vec!["S3.DefaultEncryption encryption.algorithm NeedsHuman(UnknownAlgorithm): aws:fsx".to_owned()],
            None
        )
    );
}

#[test]
fn another_number_of_rules_than_one_is_drift() {
    let two = vec![
        rule("AES256", None, None),
        rule("aws:kms", Some(OTHER_KEY), Some(false)),
    ];
    assert_eq!(
        judged(S3, two),
        (
            finding("rules", "2"),
            Some(rule("aws:kms", Some(OTHER_KEY), Some(false)))
        ),
        "the strongest stays"
    );
    assert_eq!(
        judged(S3, vec![]),
        (finding("rules", "0"), Some(rule("AES256", None, None)))
    );
}

#[test]
fn blocked_encryption_types_are_carried_verbatim() {
    for blocked in [
        Some(vec![]),
        Some(vec!["NONE".to_owned()]),
        Some(vec!["SSE-C".to_owned()]),
        None,
    ] {
        let mut found = rule("AES256", None, None);
        found.blocked_encryption_types.clone_from(&blocked);
        assert_eq!(
            judged(S3, vec![found.clone()]),
            (vec![], None),
            "{blocked:?} by itself is no drift"
        );
        let (_, written) = judged(KMS, vec![found]);
        assert_eq!(written.unwrap().blocked_encryption_types, blocked);
    }
}

#[test]
fn no_key_for_the_buckets_region_is_for_a_human() {
    let policy = controls(&format!("{KMS}{IGNORE_REST}"));
    let mut seen = fresh();
    seen.region = Ok(region("us-east-1"));
    let plan = plan(&policy, &seen);
    assert_eq!(
        brief(&plan),
        ["S3.DefaultEncryption encryption.kmsKey NeedsHuman(KeyNotUsable): none configured"]
    );
    assert_eq!(operations(&plan), Vec::<&str>::new());
}

#[test]
fn after_the_write_there_is_nothing_left_to_write() {
    let policy = controls(&format!("{KMS}{IGNORE_REST}"));
    let seen = encrypted(vec![rule("rot13", None, None)]);
    assert_eq!(operations(&plan(&policy, &seen)), Vec::<&str>::new());
    for algorithm in ["AES256", "aws:kms", "aws:kms:dsse"] {
        let before = encrypted(vec![
            rule(algorithm, Some("alias/x"), Some(false)),
            rule("AES256", None, None),
        ]);
        let after = apply(&before, &plan(&policy, &before));
        assert!(matches!(&after.encryption, Some(Ok(EncryptionState::Rules(rules))) if rules.len() == 1));
        assert_eq!(brief(&plan(&policy, &after)), Vec::<String>::new(), "{algorithm}");
    }
}

#[test]
fn blocking_customer_keys_is_sent_explicitly_and_compared_by_meaning() {
    let with = |customer_keys: &str| format!("encryption: {{algorithm: SSE-S3, customerKeys: {customer_keys}}}");
    let found = |types: Option<&[&str]>| {
        let mut found = rule("AES256", None, None);
        found.blocked_encryption_types = types.map(|t| t.iter().map(|t| (*t).to_owned()).collect());
        found
    };
    let blocked = found(Some(&["SSE-C"]));
    for open in [None, Some(&[][..]), Some(&["NONE"][..])] {
        let open = found(open);
        assert_eq!(
            judged(&with("Block"), vec![open.clone()]),
            (finding("customerKeys", "Allow"), Some(blocked.clone()))
        );
        assert_eq!(judged(&with("Allow"), vec![open]), (vec![], None));
    }
    assert_eq!(judged(&with("Block"), vec![blocked.clone()]), (vec![], None));
    assert_eq!(
        judged(&with("Allow"), vec![blocked]),
        (finding("customerKeys", "Block"), Some(found(Some(&["NONE"]))))
    );
    let newer = found(Some(&["SSE-X"]));
    let (_, written) = judged(&with("Block"), vec![newer]);
    assert_eq!(
        written,
        Some(found(Some(&["SSE-C", "SSE-X"]))),
        "what else is blocked stays blocked"
    );
}

#[test]
fn dsse_is_asked_for_like_the_others() {
    let dsse = KMS.replace("SSE-KMS", "DSSE-KMS").replace(", bucketKey: Enabled", "");
    assert_eq!(
        judged(&dsse, vec![rule("aws:kms:dsse", Some(KEY), None)]),
        (vec![], None)
    );
    assert_eq!(
        judged(&dsse, vec![rule("aws:kms", Some(KEY), Some(true))]),
        (
            finding("algorithm", "aws:kms"),
            Some(rule("aws:kms:dsse", Some(KEY), Some(true)))
        )
    );
}
