//! The buckets' list of edge cases, one named test a line.

mod keys;
mod partitions;

use serde_json::{Value, json};

use super::simulated::*;
use super::{plan_bucket, plan_buckets, plan_orphan, revert_bucket};
use crate::api::{BucketTargetStatus, Gating, RoleTargetStatus, TargetState, Targets};
use crate::domain::document::PolicyDocument;
use crate::domain::finding::{Disposition, HumanReason, Target};
use crate::domain::fixture::{FULL_SPEC, policy_from, settings};
use crate::domain::names::{BucketName, ClusterHash};
use crate::domain::observed::{BucketObservation, ErrorClass, Observed};
use crate::domain::policy::{BucketTarget, PolicySource, ValidatedPolicy};
use crate::domain::target_plan::TargetPlan;

const TLS_SID: &str = "AidpDenyInsecureTransport";

fn sids(seen: &BucketObservation) -> Vec<String> {
    let text = stored(seen).unwrap();
    let document = PolicyDocument::parse(text).unwrap();
    document
        .statements
        .iter()
        .map(|s| s.sid.clone().unwrap_or_default())
        .collect()
}

fn cluster() -> ClusterHash {
    settings().cluster_hash
}

fn allow(sid: &str) -> Value {
    json!({"Sid": sid, "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/etl"}, "Action": "s3:PutObject", "Resource": format!("{ARN}/*")})
}

fn document(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Everything in order.
fn protected() -> BucketObservation {
    apply(&fresh(), &plan(&full(), &fresh()))
}

fn reasons(plan: &TargetPlan) -> Vec<HumanReason> {
    let mut reasons: Vec<_> = plan
        .findings
        .iter()
        .filter_map(|f| match f.disposition {
            Disposition::NeedsHuman(reason) => Some(reason),
            Disposition::Repair | Disposition::Unobserved | Disposition::Note => None,
        })
        .collect();
    reasons.dedup();
    reasons
}

fn named(name: &str, inventory: Targets) -> ValidatedPolicy {
    let source = PolicySource {
        name: name.to_owned(),
        generation: 1,
        inventory,
        ..PolicySource::default()
    };
    policy_from(FULL_SPEC, source)
}

fn inventory(bucket: &str) -> Targets {
    Targets {
        buckets: vec![BucketTargetStatus {
            name: bucket.to_owned(),
            region: None,
            selector: None,
            state: TargetState::Compliant,
        }],
        ..Targets::default()
    }
}

#[test]
fn fresh_bucket_gets_everything_in_the_right_order() {
    let plan = plan(&full(), &fresh());
    assert_eq!(
        operations(&plan),
        [
            "PutBucketPolicy",
            "PutBucketEncryption",
            "PutPublicAccessBlock",
            "PutBucketVersioning",
            "PutBucketOwnershipControls",
            "PutBucketLogging"
        ],
        "the bucket policy before the block that may refuse it"
    );
    assert_eq!(
        brief(&plan),
        [
            "S3.TLSOnly bucketPolicy.AidpDenyInsecureTransport Repair: no statement denies them",
            "S3.MinimumTLSVersion bucketPolicy.AidpDenyOldTls Repair: no statement denies them",
            "S3.RoleWriteDeny bucketPolicy.AidpDenyRoleWrites Repair: no statement denies them",
            "S3.DefaultEncryption encryption.algorithm Repair: AES256 (nothing configured)",
            "S3.PublicAccessBlock publicAccessBlock Repair: absent",
            "S3.Versioning versioning.status Repair: Unversioned",
            "S3.ObjectOwnership objectOwnership Repair: ObjectWriter (nothing configured)",
            "S3.AccessLogging accessLogging Repair: off",
        ]
    );
    assert_eq!(plan.state, TargetState::Drifted);
    assert_eq!(plan.facts.region.as_deref(), Some("eu-west-1"));
    let repaired: usize = plan.actions.iter().map(|a| a.repairs.len()).sum();
    assert_eq!(
        repaired,
        plan.findings.len(),
        "each finding is repaired by exactly one write"
    );
}

#[test]
fn no_drift_makes_no_write() {
    let again = plan(&full(), &protected());
    assert_eq!((brief(&again), operations(&again)), (vec![], vec![]));
    assert_eq!(again.state, TargetState::Compliant);
}

#[test]
fn foreign_policy_with_object_statement_is_merged() {
    let foreign = allow("Etl");
    let seen = with_policy(&document(&foreign));
    let after = apply(&seen, &plan(&full(), &seen));
    let merged: Value = serde_json::from_str(stored(&after).unwrap()).unwrap();
    assert_eq!(merged["Statement"][0], foreign);
    assert_eq!(sids(&after).len(), 4);
    assert_eq!(brief(&plan(&full(), &after)), Vec::<String>::new());
}

#[test]
fn policy_with_version_2008_keeps_it() {
    for (head, version) in [
        (json!({"Version": "2008-10-17", "Id": "x"}), json!("2008-10-17")),
        (json!({}), Value::Null),
    ] {
        let mut text = head;
        text["Statement"] = json!([allow("Etl")]);
        let seen = with_policy(&text.to_string());
        let after = apply(&seen, &plan(&full(), &seen));
        let merged: Value = serde_json::from_str(stored(&after).unwrap()).unwrap();
        assert_eq!(merged["Version"], version);
        assert_eq!(brief(&plan(&full(), &after)), Vec::<String>::new());
    }
}

#[test]
fn policy_of_19_9_kb_is_not_overfilled() {
    let filled = |fill: usize| {
        document(
            &json!([allow("Etl"), {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:GetObject", "Resource": format!("{ARN}/{}", "x".repeat(fill))}]),
        )
    };
    let foreign = |bytes: usize| filled(bytes - filled(0).len());
    let seen = with_policy(&foreign(20_400));
    let full_plan = plan(&full(), &seen);
    assert_eq!(reasons(&full_plan), [HumanReason::PolicyTooLarge]);
    assert!(!operations(&full_plan).contains(&"PutBucketPolicy"));
    assert_eq!(full_plan.actions.len(), 5, "the settings are written all the same");

    // Room for the transport statements and not for the one against roles: what fits is written, the rest is said.
    let seen = with_policy(&foreign(19_800));
    let plan_of_most = plan(&full(), &seen);
    let refused: Vec<_> = brief(&plan_of_most)
        .into_iter()
        .filter(|b| b.contains("PolicyTooLarge"))
        .collect();
    assert_eq!(
        refused,
        ["S3.RoleWriteDeny bucketPolicy.AidpDenyRoleWrites NeedsHuman(PolicyTooLarge): no statement denies them"]
    );
    let after = apply(&seen, &plan_of_most);
    assert_eq!(sids(&after).len(), 4);
    let again = plan(&full(), &after);
    assert_eq!(
        (reasons(&again), operations(&again)),
        (vec![HumanReason::PolicyTooLarge], vec![])
    );
}

#[test]
fn aroa_principal_stops_the_write_of_the_policy_only() {
    let dead = json!({"Effect": "Allow", "Principal": {"AWS": "AROAEXAMPLEEXAMPLE123"}, "Action": "s3:GetObject", "Resource": format!("{ARN}/*")});
    let seen = with_policy(&document(&json!([dead])));
    let plan_now = plan(&full(), &seen);
    assert_eq!(reasons(&plan_now), [HumanReason::ForeignPolicyUnwritable]);
    assert_eq!(
        operations(&plan_now),
        [
            "PutBucketEncryption",
            "PutPublicAccessBlock",
            "PutBucketVersioning",
            "PutBucketOwnershipControls",
            "PutBucketLogging"
        ]
    );

    // With nothing to write it is worth a note, and no more.
    let mut protected = protected();
    let mut text: Value = serde_json::from_str(stored(&protected).unwrap()).unwrap();
    text["Statement"].as_array_mut().unwrap().push(dead);
    protected.policy = Some(Ok(Some(text.to_string())));
    let plan_then = plan(&full(), &protected);
    assert_eq!(
        brief(&plan_then),
        ["S3.Bucket bucketPolicy.Statement[3].Principal Note: AROAEXAMPLEEXAMPLE123"]
    );
    assert_eq!(plan_then.state, TargetState::Compliant);
}

#[test]
fn foreign_sid_with_our_prefix_is_foreign() {
    let other_cluster = ClusterHash::of("cluster-two");
    let foreign = [
        allow("AidpSomething"),
        allow("AidpDenyInsecureTransport"),
        allow(&format!("{TLS_SID}{other_cluster}")),
        allow(&format!("AidpUnknownRule{}", cluster())),
    ];
    let seen = with_policy(&document(&json!(foreign)));
    let after = apply(&seen, &plan(&full(), &seen));
    let merged: Value = serde_json::from_str(stored(&after).unwrap()).unwrap();
    assert_eq!(&merged["Statement"].as_array().unwrap()[..4], foreign);
    let reverted = apply(
        &after,
        &revert_bucket(&full(), &bucket(), Some(&after), Some(&operator())),
    );
    assert_eq!(stored(&reverted), Some(document(&json!(foreign)).as_str()));
}

#[test]
fn our_sid_with_other_content_is_tampered_and_restored() {
    let mut text: Value = serde_json::from_str(stored(&protected()).unwrap()).unwrap();
    text["Statement"][0]["Condition"] = json!({"Bool": {"aws:SecureTransport": "true"}});
    let seen = BucketObservation {
        policy: Some(Ok(Some(text.to_string()))),
        ..protected()
    };
    let tampered = plan(&full(), &seen);
    assert_eq!(
        brief(&tampered),
        [
            r#"S3.TLSOnly bucketPolicy.AidpDenyInsecureTransport Repair: Condition: {"Bool":{"aws:SecureTransport":"true"}}"#
        ]
    );
    assert_eq!(apply(&seen, &tampered), protected());
}

#[test]
fn duplicate_sid_of_ours_is_left_once() {
    let mut text: Value = serde_json::from_str(stored(&protected()).unwrap()).unwrap();
    let first = text["Statement"][0].clone();
    text["Statement"].as_array_mut().unwrap().push(first);
    let seen = BucketObservation {
        policy: Some(Ok(Some(text.to_string()))),
        ..protected()
    };
    let twice = plan(&full(), &seen);
    assert_eq!(
        brief(&twice),
        ["S3.TLSOnly bucketPolicy.AidpDenyInsecureTransport Repair: 2 statements with our Sid"]
    );
    assert_eq!(apply(&seen, &twice), protected());
}

#[test]
fn duplicate_foreign_sid_stops_the_write_of_the_policy() {
    let seen = with_policy(&document(&json!([allow("Etl"), allow("Etl")])));
    assert_eq!(reasons(&plan(&full(), &seen)), [HumanReason::ForeignPolicyUnwritable]);
}

/// Terraform's policy documents used to carry `"Sid": ""` in every statement, and AWS takes them: an empty Sid is none.
#[test]
fn empty_foreign_sids_stop_nothing_and_stay() {
    let foreign = json!([allow(""), allow("")]);
    let seen = with_policy(&document(&foreign));
    let written = plan(&full(), &seen);
    assert_eq!(reasons(&written), []);
    let after: Value = serde_json::from_str(stored(&apply(&seen, &written)).unwrap()).unwrap();
    let statements = after["Statement"].as_array().unwrap();
    assert_eq!(Value::from(&statements[..2]), foreign);
    assert_eq!(statements.len(), 5);
}

#[test]
fn foreign_deny_that_locks_the_operator_out_stops_the_write() {
    let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketPolicy", "Resource": ARN});
    let plan = plan(&full(), &with_policy(&document(&json!([deny]))));
    assert_eq!(reasons(&plan), [HumanReason::WouldLockOut]);
    assert!(!operations(&plan).contains(&"PutBucketPolicy"));
}

#[test]
fn operator_without_tls_does_not_lock_itself_out() {
    let mut policy = full();
    policy.settings.s3_over_plaintext = true;
    let plan = plan(&policy, &fresh());
    let refused: Vec<_> = brief(&plan)
        .into_iter()
        .filter(|b| b.contains("WouldLockOut"))
        .collect();
    assert_eq!(
        refused,
        ["S3.TLSOnly bucketPolicy.AidpDenyInsecureTransport NeedsHuman(WouldLockOut): no statement denies them"]
    );
    let after = apply(&fresh(), &plan);
    assert!(sids(&after).iter().all(|sid| !sid.starts_with(TLS_SID)));
}

/// An interface endpoint has no TLS 1.3: everybody behind it, the operator among them, would be shut out.
#[test]
fn tls_1_3_is_asked_for_only_where_the_operator_is_known_to_have_it() {
    let latest = policy_from(&FULL_SPEC.replace("\"1.2\"", "\"1.3\""), PolicySource::default());
    let planned = |offers: Option<bool>, seen: &BucketObservation| {
        let mut around = around(&latest);
        let offers = offers.map(|offers| (region("eu-west-1"), offers));
        around.account.s3_offers_tls13 = offers.into_iter().collect();
        plan_bucket(&latest, &latest.buckets[0], seen, &around)
    };
    let has_rule = |seen: &BucketObservation| stored(seen).is_some_and(|text| text.contains("AidpDenyOldTls"));
    let open = planned(Some(true), &fresh());
    let written = apply(&fresh(), &open);
    assert!(has_rule(&written));
    for offers in [None, Some(false)] {
        let held = planned(offers, &fresh());
        assert!(
            brief(&held).contains(
                &"S3.MinimumTLSVersion bucketPolicy.AidpDenyOldTls NeedsHuman(WouldLockOut): no statement denies them"
                    .to_owned()
            ),
            "{:?}",
            brief(&held)
        );
        assert_eq!(operations(&held), operations(&open), "everything else is written");
        assert!(!has_rule(&apply(&fresh(), &held)));
        let stays = planned(offers, &written);
        assert_eq!(
            (brief(&stays), operations(&stays)),
            (vec![], vec![]),
            "what stands, stands"
        );
    }
}

#[test]
fn bucket_deleted_mid_reconcile_is_missing_and_nothing_is_written() {
    let mut seen = fresh();
    seen.policy = Some(Err(failed("GetBucketPolicy", ErrorClass::NotFound, "NoSuchBucket")));
    let plan = plan(&full(), &seen);
    assert_eq!(
        brief(&plan),
        ["S3.Bucket bucket NeedsHuman(BucketMissing): NoSuchBucket"]
    );
    assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Missing));
}

#[test]
fn other_region_and_partition_are_followed() {
    let policy = controls("transport: {}, encryption: {algorithm: SSE-S3, mode: Ignore}, publicAccess: {mode: Ignore}");
    let mut seen = fresh();
    seen.region = Ok(region("cn-north-1"));
    let after = apply(&seen, &plan(&policy, &seen));
    let text: Value = serde_json::from_str(stored(&after).unwrap()).unwrap();
    assert_eq!(
        text["Statement"][0]["Resource"][0],
        "arn:aws-cn:s3:::fraud-training-data"
    );
}

#[test]
fn not_owner_is_not_missing() {
    let mut seen = fresh();
    seen.region = Err(failed("HeadBucket", ErrorClass::AccessDenied, "403"));
    let denied = plan(&full(), &seen);
    assert_eq!(brief(&denied), ["S3.Bucket bucket NeedsHuman(AccessDenied): 403"]);
    assert_eq!(denied.state, TargetState::Unknown);
    seen.region = Err(failed("HeadBucket", ErrorClass::NotFound, "404"));
    let missing = plan(&full(), &seen);
    assert_eq!(
        (brief(&missing), missing.state),
        (
            vec!["S3.Bucket bucket NeedsHuman(BucketMissing): NoSuchBucket".to_owned()],
            TargetState::Missing
        )
    );
}

#[test]
fn reverting_after_foreign_edits_removes_our_statements_only() {
    let mut text: Value = serde_json::from_str(stored(&protected()).unwrap()).unwrap();
    text["Statement"].as_array_mut().unwrap().insert(1, allow("AddedLater"));
    let seen = BucketObservation {
        policy: Some(Ok(Some(text.to_string()))),
        ..protected()
    };
    let reverted = apply(
        &seen,
        &revert_bucket(&full(), &bucket(), Some(&seen), Some(&operator())),
    );
    assert_eq!(
        stored(&reverted),
        Some(document(&json!([allow("AddedLater")])).as_str())
    );
    let expected = BucketObservation {
        policy: reverted.policy.clone(),
        ..protected()
    };
    assert_eq!(reverted, expected, "no setting is changed back");
}

#[test]
fn reverting_a_policy_that_was_ours_alone_deletes_it() {
    let plan = revert_bucket(&full(), &bucket(), Some(&protected()), Some(&operator()));
    assert_eq!(operations(&plan), ["DeleteBucketPolicy"]);
    let after = apply(&protected(), &plan);
    let again = revert_bucket(&full(), &bucket(), Some(&after), Some(&operator()));
    assert_eq!((brief(&again), operations(&again)), (vec![], vec![]));
}

#[test]
fn what_cannot_be_read_is_not_reverted() {
    for (policy, expected) in [
        (
            Some(Ok(Some("{".to_owned()))),
            Disposition::NeedsHuman(HumanReason::PolicyUnparsable),
        ),
        (
            Some(Err(failed("GetBucketPolicy", ErrorClass::AccessDenied, "AccessDenied"))),
            Disposition::NeedsHuman(HumanReason::AccessDenied),
        ),
        (
            Some(Err(failed("GetBucketPolicy", ErrorClass::Transient, "503"))),
            Disposition::Unobserved,
        ),
        (None, Disposition::Unobserved),
    ] {
        let seen = BucketObservation { policy, ..fresh() };
        let plan = revert_bucket(&full(), &bucket(), Some(&seen), Some(&operator()));
        assert_eq!(plan.findings[0].disposition, expected);
        assert_eq!(operations(&plan), Vec::<&str>::new());
    }
    let gone = BucketObservation {
        region: Err(failed("HeadBucket", ErrorClass::NotFound, "404")),
        ..fresh()
    };
    assert_eq!(
        brief(&revert_bucket(&full(), &bucket(), Some(&gone), None)),
        Vec::<String>::new(),
        "nothing is left of us"
    );
}

#[test]
fn two_clusters_on_one_bucket_do_not_fight() {
    let mut other = full();
    other.settings.cluster_hash = ClusterHash::of("cluster-two");
    let after_us = protected();
    let second = plan(&other, &after_us);
    assert_eq!(
        (brief(&second), operations(&second)),
        (vec![], vec![]),
        "satisfied by anyone is compliant"
    );
    let theirs = apply(&fresh(), &plan(&other, &fresh()));
    assert_eq!(operations(&plan(&full(), &theirs)), Vec::<&str>::new());
    let untouched = revert_bucket(&full(), &bucket(), Some(&theirs), Some(&operator()));
    assert_eq!(operations(&untouched), Vec::<&str>::new());
}

#[test]
fn two_policies_following_each_other_on_a_bucket_keep_each_others_role_statement() {
    let (first, second) = (named("first", Targets::default()), {
        let source = PolicySource {
            name: "second".to_owned(),
            ..PolicySource::default()
        };
        policy_from(&FULL_SPEC.replace("fraud-trainer", "risk-trainer"), source)
    });
    let after_first = apply(&fresh(), &plan(&first, &fresh()));
    let after_both = apply(&after_first, &plan(&second, &after_first));
    assert_eq!(sids(&after_both).len(), 4);
    assert_eq!(operations(&plan(&first, &after_both)), Vec::<&str>::new());
    assert_eq!(operations(&plan(&second, &after_both)), Vec::<&str>::new());
    let left = apply(
        &after_both,
        &revert_bucket(&second, &bucket(), Some(&after_both), Some(&operator())),
    );
    assert_eq!(
        sids(&left).len(),
        1,
        "the first one's statement stays: {:?}",
        sids(&left)
    );
}

#[test]
fn what_another_policy_of_the_cluster_holds_keeps_all_but_the_leaving_ones_own_statement() {
    let first = named("first", Targets::default());
    let second = ValidatedPolicy {
        held_elsewhere: [bucket()].into(),
        ..named("second", inventory("fraud-training-data"))
    };
    let both = apply(&protected(), &plan(&second, &protected()));
    let held = apply(&both, &plan(&first, &both));
    let left = apply(
        &held,
        &revert_bucket(&second, &bucket(), Some(&held), Some(&operator())),
    );
    assert_eq!(operations(&plan(&first, &left)), Vec::<&str>::new());
    assert!(
        sids(&left).iter().any(|sid| sid.starts_with(TLS_SID)),
        "{:?}",
        sids(&left)
    );
}

#[test]
fn unparsable_policy_is_left_alone() {
    for text in [
        "",
        "{",
        "[]",
        "{\"Statement\":[{\"Effect\":\"Maybe\"}]}",
        "{\"Statement\":[],\"Extra\":1}",
    ] {
        let plan = plan(&full(), &with_policy(text));
        assert_eq!(reasons(&plan), [HumanReason::PolicyUnparsable], "{text}");
        assert_eq!(
            plan.findings.iter().filter(|f| reasons_of(f)).count(),
            3,
            "every control that rests on it"
        );
        assert!(!operations(&plan).contains(&"PutBucketPolicy"));
    }
}

fn reasons_of(finding: &crate::domain::finding::Finding) -> bool {
    finding.disposition == Disposition::NeedsHuman(HumanReason::PolicyUnparsable)
}

#[test]
fn one_failed_reading_stops_the_write_of_its_control_only() {
    let class = |class, code| Some(Err(failed("GetBucketEncryption", class, code)));
    for (encryption, disposition) in [
        (
            class(ErrorClass::AccessDenied, "AccessDenied"),
            Disposition::NeedsHuman(HumanReason::AccessDenied),
        ),
        (class(ErrorClass::Throttled, "SlowDown"), Disposition::Unobserved),
        (class(ErrorClass::Transient, "503"), Disposition::Unobserved),
        (class(ErrorClass::Unsupported, "NotImplemented"), Disposition::Note),
        (None, Disposition::Unobserved),
    ] {
        let plan_now = plan(
            &full(),
            &BucketObservation {
                encryption: encryption.clone(),
                ..fresh()
            },
        );
        let finding = plan_now
            .findings
            .iter()
            .find(|f| f.control.id() == "S3.DefaultEncryption")
            .unwrap();
        assert_eq!(finding.disposition, disposition);
        assert_eq!(
            operations(&plan_now),
            [
                "PutBucketPolicy",
                "PutPublicAccessBlock",
                "PutBucketVersioning",
                "PutBucketOwnershipControls",
                "PutBucketLogging"
            ]
        );
        let alone = plan(
            &full(),
            &BucketObservation {
                encryption,
                ..protected()
            },
        );
        assert_eq!(alone.state, TargetState::Unknown, "never compliant, never drifted");
    }
}

#[test]
fn a_server_without_an_api_is_not_applicable() {
    let seen = BucketObservation {
        encryption: Some(Err(failed("GetBucketEncryption", ErrorClass::Unsupported, "501"))),
        ..protected()
    };
    assert_eq!(
        brief(&plan(&full(), &seen)),
        ["S3.DefaultEncryption encryption Note: NotApplicable"]
    );
}

#[test]
fn report_only_controls_report_and_write_nothing() {
    let policy = controls("encryption: {algorithm: SSE-S3}, transport: {mode: Audit}");
    let plan = plan(&policy, &fresh());
    assert_eq!(
        brief(&plan),
        [
            "S3.TLSOnly bucketPolicy.AidpDenyInsecureTransport Note: no statement denies them",
            "S3.MinimumTLSVersion bucketPolicy.AidpDenyOldTls Note: no statement denies them",
            "S3.PublicAccessBlock publicAccessBlock Note: absent",
            "S3.Versioning versioning.status Note: Unversioned",
        ]
    );
    assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Compliant));
}

/// Nothing enforced is nothing that could be unmet; what nobody could look at is not compliant for that.
#[test]
fn a_bucket_of_which_nothing_is_enforced_is_not_compliant_unseen() {
    let audited = "encryption: {algorithm: SSE-S3, mode: Audit}, transport: {mode: Audit}, publicAccess: {mode: Audit}, versioning: {mode: Audit}";
    let policy = controls(audited);
    let state = |seen: &BucketObservation| {
        let plan = plan(&policy, seen);
        assert!(
            plan.findings.iter().all(|f| f.gating == Gating::ReportOnly),
            "{:?}",
            brief(&plan)
        );
        plan.state
    };
    assert_eq!(state(&fresh()), TargetState::Compliant);
    for (class, code) in [
        (ErrorClass::AccessDenied, "AccessDenied"),
        (ErrorClass::Transient, "500"),
        (ErrorClass::Unsupported, "501"),
    ] {
        let seen = BucketObservation {
            encryption: Some(Err(failed("GetBucketEncryption", class, code))),
            policy: Some(Err(failed("GetBucketPolicy", class, code))),
            public_access_block: Some(Err(failed("GetPublicAccessBlock", class, code))),
            versioning: Some(Err(failed("GetBucketVersioning", class, code))),
            ..fresh()
        };
        assert_eq!(state(&seen), TargetState::Unknown, "{code}");
    }
    let directory = BucketTarget {
        name: BucketName::new("fast-data--euw1-az1--x-s3").unwrap(),
        ..target(&policy).clone()
    };
    let plan = plan_bucket(&policy, &directory, &fresh(), &around(&policy));
    assert_eq!(plan.state, TargetState::Unknown);
}

#[test]
fn a_foreign_statement_that_does_it_already_makes_ours_needless() {
    let resource = json!([ARN, format!("{ARN}/*")]);
    let foreign = json!([
        {"Sid": "Terraform1", "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": ["s3:*"], "Resource": resource, "Condition": {"Bool": {"aws:SecureTransport": false}}},
        {"Sid": "Terraform2", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", "Condition": {"NumericLessThan": {"s3:TlsVersion": 1.3}}},
    ]);
    let policy = controls(
        "transport: {}, encryption: {algorithm: SSE-S3, mode: Ignore}, publicAccess: {mode: Ignore}, versioning: {mode: Ignore}",
    );
    let plan = plan(&policy, &with_policy(&document(&foreign)));
    assert_eq!((brief(&plan), operations(&plan)), (vec![], vec![]));
}

#[test]
fn a_role_that_left_under_retain_stays_refused() {
    let mut inventory = Targets::default();
    inventory.roles.push(RoleTargetStatus {
        name: "old-trainer".to_owned(),
        arn: None,
        state: TargetState::Orphaned,
    });
    let policy = named("fraud-model", inventory);
    let after = apply(&fresh(), &plan(&policy, &fresh()));
    let text: Value = serde_json::from_str(stored(&after).unwrap()).unwrap();
    assert_eq!(
        text["Statement"][2]["Condition"]["ArnEquals"]["aws:PrincipalArn"],
        json!([
            "arn:aws:iam::123456789012:role/aidp/fraud-trainer",
            "arn:aws:iam::123456789012:role/aidp/old-trainer"
        ])
    );
}

#[test]
fn a_policy_without_roles_any_more_takes_their_statement_away() {
    let without = controls(
        "transport: {}, encryption: {algorithm: SSE-S3, mode: Ignore}, publicAccess: {mode: Ignore}, versioning: {mode: Ignore}",
    );
    let plan_now = plan(&without, &protected());
    assert_eq!(
        brief(&plan_now),
        ["S3.RoleWriteDeny bucketPolicy.AidpDenyRoleWrites Repair: a statement that is no longer asked for"]
    );
    let after = apply(&protected(), &plan_now);
    assert_eq!(sids(&after).len(), 2);
    assert_eq!(brief(&plan(&without, &after)), Vec::<String>::new());
}

#[test]
fn a_bucket_that_left_the_spec_is_a_finding_under_retain_and_reverted_under_revert() {
    let retain = named("fraud-model", inventory("old-bucket"));
    let old = crate::domain::names::BucketName::new("old-bucket").unwrap();
    let orphan = plan_orphan(&retain, &old, None, Some(&operator()));
    assert_eq!(
        brief(&orphan),
        ["S3.Bucket spec.buckets NeedsHuman(Orphaned): not named"]
    );
    assert_eq!((operations(&orphan), orphan.state), (vec![], TargetState::Orphaned));

    let source = PolicySource {
        name: "fraud-model".to_owned(),
        inventory: inventory("old-bucket"),
        ..PolicySource::default()
    };
    let revert = policy_from(
        &FULL_SPEC.replace("mode: Enforce\n", "mode: Enforce\ndeletionPolicy: Revert\n"),
        source,
    );
    let plan = plan_orphan(&revert, &old, Some(&protected()), Some(&operator()));
    assert_eq!(operations(&plan), ["DeleteBucketPolicy"]);
}

#[test]
fn every_bucket_of_spec_and_inventory_is_judged_once() {
    let policy = named("fraud-model", {
        let mut both = inventory("old-bucket");
        both.buckets.extend(inventory(NAME).buckets);
        both
    });
    let observed = Observed {
        buckets: [(bucket(), protected())].into(),
        ..around(&policy)
    };
    let states: Vec<_> = plan_buckets(&policy, &observed)
        .into_iter()
        .map(|p| (p.target.to_string(), p.state))
        .collect();
    assert_eq!(
        states,
        [
            ("bucket/fraud-training-data".to_owned(), TargetState::Compliant),
            ("bucket/old-bucket".to_owned(), TargetState::Orphaned)
        ]
    );
    let unseen = Observed {
        buckets: [].into(),
        ..observed
    };
    let first = &plan_buckets(&policy, &unseen)[0];
    assert_eq!(
        (first.state, first.target.clone()),
        (TargetState::Unknown, Target::Bucket(bucket()))
    );
}

#[test]
fn public_access_block_names_each_setting_that_is_off() {
    let mut seen = protected();
    let settings = seen
        .public_access_block
        .as_mut()
        .unwrap()
        .as_mut()
        .unwrap()
        .as_mut()
        .unwrap();
    settings.block_public_policy = false;
    settings.ignore_public_acls = false;
    let plan_now = plan(&full(), &seen);
    assert_eq!(
        brief(&plan_now),
        [
            "S3.PublicAccessBlock publicAccessBlock.ignorePublicAcls Repair: false",
            "S3.PublicAccessBlock publicAccessBlock.blockPublicPolicy Repair: false"
        ]
    );
    assert_eq!(apply(&seen, &plan_now), protected());
}

#[test]
fn with_the_account_guard_off_nobody_is_locked_out_by_a_role_statement() {
    let policy = full();
    let plan = plan_bucket(
        &policy,
        target(&policy),
        &fresh(),
        &Observed {
            caller: Ok(None),
            ..around(&policy)
        },
    );
    assert_eq!(reasons(&plan), Vec::<HumanReason>::new());
}

/// Other servers refuse a bucket policy with the condition key `s3:TlsVersion`, whatever else is in it.
#[test]
fn with_the_account_guard_off_the_tls_version_is_not_applicable_and_the_rest_is_written() {
    let mut policy = controls("transport: {}");
    policy.settings.account_guard = false;
    let not_applicable = "S3.MinimumTLSVersion bucketPolicy.AidpDenyOldTls Note: NotApplicable";
    let first = plan(&policy, &fresh());
    assert!(
        brief(&first).contains(&not_applicable.to_owned()),
        "{:?}",
        brief(&first)
    );
    let after = apply(&fresh(), &first);
    assert_eq!(sids(&after), [format!("{TLS_SID}{}", cluster())]);
    let again = plan(&policy, &after);
    let gating: Vec<_> = brief(&again)
        .into_iter()
        .filter(|f| f.contains("bucketPolicy"))
        .collect();
    assert_eq!((gating, operations(&again)), (vec![not_applicable.to_owned()], vec![]));
    assert_eq!(again.state, TargetState::Unknown, "no promise is made of it");

    // Where such a statement is, the server knows the key: nothing is to be said, and ours stays.
    let aws = controls("transport: {}");
    let full = apply(&fresh(), &plan(&aws, &fresh()));
    assert_eq!(brief(&plan(&policy, &full)), brief(&plan(&aws, &full)));
    assert_eq!(operations(&plan(&policy, &full)), Vec::<&str>::new());
}

#[test]
fn every_message_is_one_sentence_with_a_way_out() {
    let seen = [
        fresh(),
        with_policy("{"),
        with_policy(&document(&json!([allow("A"), allow("A")]))),
    ];
    for finding in seen.iter().flat_map(|s| plan(&full(), s).findings) {
        assert!(
            finding.message.contains([';', ',']) && !finding.message.ends_with('.'),
            "{}",
            finding.message
        );
        assert!(
            !finding.path.is_empty() && !finding.want.is_empty() && !finding.have.is_empty(),
            "{finding:?}"
        );
    }
}

#[test]
fn directory_bucket_is_not_applicable_and_nothing_is_written() {
    let policy = policy_from(
        &FULL_SPEC.replace(NAME, "fast-data--euw1-az1--x-s3"),
        PolicySource::default(),
    );
    let plan = plan_bucket(&policy, target(&policy), &fresh(), &around(&policy));
    assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Unknown));
    assert_eq!(plan.findings.len(), 8, "one for each control that is asked for");
    assert!(
        brief(&plan).iter().all(|b| b.ends_with("Note: NotApplicable")),
        "{:?}",
        brief(&plan)
    );
}

#[test]
fn a_public_foreign_statement_is_reported_and_kept() {
    let open = json!({"Sid": "Web", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": format!("{ARN}/*")});
    let seen = with_policy(&document(&json!([open])));
    let first = plan(&full(), &seen);
    let note = "S3.PublicPolicy bucketPolicy.Statement[0] Note: access for everybody".to_owned();
    assert!(brief(&first).contains(&note));
    let after = apply(&seen, &first);
    assert_eq!(brief(&plan(&full(), &after)), [note]);
    assert_eq!(plan(&full(), &after).state, TargetState::Compliant);
}
