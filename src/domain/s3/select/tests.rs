use std::collections::BTreeMap;

use super::*;
use crate::api::{BucketTargetStatus, DeletionPolicy, Targets};
use crate::domain::fixture::policy_from;
use crate::domain::names::Region;
use crate::domain::observed::{BucketDetails, BucketObservation, EncryptionState, Read};
use crate::domain::policy::{PolicySource, SelectedBuckets};
use crate::domain::s3::simulated::around;
use crate::domain::s3::{plan_bucket, plan_orphan};

const SPEC: &str = r#"
mode: Enforce
account: {id: "123456789012", region: eu-west-1}
bucketControls: {encryption: {algorithm: SSE-S3}}
bucketSelectors: [{name: features, namePrefix: fraud-features-}]
"#;
const NAME: &str = "fraud-features-a";

fn name() -> BucketName {
    BucketName::new(NAME).unwrap()
}

fn policy(release: Option<&str>) -> ValidatedPolicy {
    let source = PolicySource {
        name: "fraud-model".to_owned(),
        release: release.map(ToOwned::to_owned),
        inventory: Targets {
            buckets: vec![BucketTargetStatus {
                name: NAME.to_owned(),
                region: None,
                selector: Some("features".to_owned()),
                state: TargetState::Compliant,
            }],
            ..Targets::default()
        },
        ..PolicySource::default()
    };
    policy_from(SPEC, source)
}

fn covering(found: Read<SelectedBuckets>) -> ValidatedPolicy {
    policy(None).cover(&[("features".to_owned(), found)].into())
}

fn found() -> SelectedBuckets {
    SelectedBuckets {
        buckets: [(name(), None)].into(),
        ..SelectedBuckets::default()
    }
}

fn error(operation: &'static str, class: ErrorClass) -> CallError {
    CallError {
        operation,
        class,
        code: Some("Code".to_owned()),
        message: "AWS's words".to_owned(),
    }
}

fn observation(region: Read<Region>) -> BucketObservation {
    BucketObservation {
        region,
        encryption: Some(Ok(EncryptionState::Implicit)),
        policy: Some(Ok(None)),
        public_access_block: Some(Ok(None)),
        object_ownership: None,
        acl: None,
        versioning: None,
        access_logging: None,
        details: BucketDetails::default(),
    }
}

/// The plan of the one bucket, after what follows from its selector.
fn planned(policy: &ValidatedPolicy, region: Read<Region>) -> TargetPlan {
    let target = policy.buckets.first().unwrap();
    of_selector(
        policy,
        plan_bucket(policy, target, &observation(region), &around(policy)),
    )
}

fn home() -> Region {
    Region::new("eu-west-1").unwrap()
}

fn brief(plan: &TargetPlan) -> Vec<String> {
    let one = |f: &Finding| format!("{} {:?} {:?} {}: {}", f.path, f.gating, f.disposition, f.target, f.have);
    let mut all: Vec<String> = plan.findings.iter().map(one).collect();
    all.retain(|line| !line.starts_with("bucketPolicy") && !line.contains("publicAccessBlock"));
    all
}

#[test]
fn a_search_that_went_through_says_nothing() {
    let plans = plan_selectors(&covering(Ok(found())));
    assert_eq!(
        (plans.len(), plans[0].state, brief(&plans[0])),
        (1, TargetState::Compliant, vec![])
    );
}

#[test]
fn a_search_that_failed_is_never_compliant() {
    for (class, operation, expected) in [
        (
            ErrorClass::AccessDenied,
            "GetResources",
            "NeedsHuman(AccessDenied) bucketSelector/features: Code",
        ),
        (
            ErrorClass::Unsupported,
            "GetResources",
            "NeedsHuman(SelectorUnusable) bucketSelector/features: Code",
        ),
        (
            ErrorClass::Terminal,
            "ListBuckets",
            "NeedsHuman(SelectorUnusable) bucketSelector/features: Code",
        ),
        (
            ErrorClass::Throttled,
            "ListBuckets",
            "Unobserved bucketSelector/features: unknown",
        ),
        (
            ErrorClass::Transient,
            "ListBuckets",
            "Unobserved bucketSelector/features: unknown",
        ),
        (
            ErrorClass::NotFound,
            "ListBuckets",
            "Unobserved bucketSelector/features: unknown",
        ),
        (
            ErrorClass::Credentials,
            "ListBuckets",
            "Unobserved bucketSelector/features: unknown",
        ),
    ] {
        let plans = plan_selectors(&covering(Err(error(operation, class))));
        assert_eq!(plans[0].state, TargetState::Unknown, "{class:?}");
        assert_eq!(brief(&plans[0]), [format!("bucketSelectors Gating {expected}")]);
    }
    let plans = plan_selectors(&covering(Err(error("GetResources", ErrorClass::AccessDenied))));
    assert!(
        plans[0].findings[0]
            .message
            .ends_with("grant the operator tag:GetResources")
    );
    // Not asked at all.
    let plans = plan_selectors(&policy(None).cover(&BTreeMap::new()));
    assert_eq!(plans[0].state, TargetState::Unknown);
    assert_eq!(
        brief(&plans[0]),
        ["bucketSelectors Gating Unobserved bucketSelector/features: unknown"]
    );
}

#[test]
fn a_selector_that_finds_nothing_and_one_that_is_capped_are_reported_and_hold_nothing_back() {
    let refused: BTreeSet<String> = ["A", "B", "C", "D"].map(str::to_owned).into();
    for (found, expected) in [
        (
            SelectedBuckets::default(),
            "bucketSelectors.found ReportOnly Note bucketSelector/features: none",
        ),
        (
            SelectedBuckets {
                unusable: refused,
                ..SelectedBuckets::default()
            },
            "bucketSelectors.refused ReportOnly Note bucketSelector/features: A, B, C and 1 more",
        ),
    ] {
        let plans = plan_selectors(&covering(Ok(found)));
        assert_eq!(
            (plans[0].state, brief(&plans[0])),
            (TargetState::Compliant, vec![expected.to_owned()])
        );
    }
}

#[test]
fn more_buckets_than_a_policy_protects_need_a_human() {
    let names = (0..=MAX_SELECTED).map(|i| BucketName::new(&format!("fraud-features-{i}")).unwrap());
    let found = SelectedBuckets {
        buckets: names.map(|name| (name, None)).collect(),
        ..SelectedBuckets::default()
    };
    let plans = plan_selectors(&covering(Ok(found)));
    assert_eq!(
        brief(&plans[0]),
        ["bucketSelectors Gating NeedsHuman(SelectorUnusable) bucketSelector/features: 1 more"]
    );
}

#[test]
fn a_bucket_that_left_its_selector_is_judged_as_before_with_a_finding() {
    let selected = planned(&covering(Ok(found())), Ok(home()));
    let left = planned(&covering(Ok(SelectedBuckets::default())), Ok(home()));
    assert_eq!(brief(&selected), Vec::<String>::new());
    assert_eq!(
        brief(&left),
        ["bucketSelectors ReportOnly NeedsHuman(Orphaned) bucket/fraud-features-a: not found"]
    );
    assert_eq!((left.state, &left.actions), (selected.state, &selected.actions));
    let unknown = planned(&covering(Err(error("ListBuckets", ErrorClass::Throttled))), Ok(home()));
    assert_eq!(unknown, selected);
}

#[test]
fn a_released_bucket_is_no_longer_judged_and_leaves_without_a_finding() {
    let released = policy(Some(NAME)).cover(&[("features".to_owned(), Ok(SelectedBuckets::default()))].into());
    assert!(released.buckets.is_empty());
    let seen = observation(Ok(home()));
    let plan = plan_orphan(&released, &name(), Some(&seen), None);
    assert_eq!(
        (plan.state, brief(&plan), plan.actions.len()),
        (TargetState::Orphaned, vec![], 0)
    );
    // Another bucket than the released one keeps its finding.
    let other = policy(Some("another-bucket"));
    assert_eq!(plan_orphan(&other, &name(), Some(&seen), None).findings.len(), 1);
    assert_eq!(released.deletion_policy, DeletionPolicy::Retain);
}

#[test]
fn a_deleted_bucket_leaves_with_a_finding_that_holds_nothing_back() {
    for found in [Ok(found()), Ok(SelectedBuckets::default())] {
        let plan = planned(&covering(found), Err(error("HeadBucket", ErrorClass::NotFound)));
        assert_eq!(
            brief(&plan),
            ["bucket ReportOnly NeedsHuman(BucketMissing) bucket/fraud-features-a: NoSuchBucket"]
        );
        assert_eq!((plan.state, plan.actions.len()), (TargetState::Missing, 0));
    }
}

#[test]
fn an_unreadable_bucket_is_not_a_deleted_one() {
    let plan = planned(
        &covering(Ok(found())),
        Err(error("HeadBucket", ErrorClass::AccessDenied)),
    );
    assert_eq!(
        brief(&plan),
        ["bucket Gating NeedsHuman(AccessDenied) bucket/fraud-features-a: Code"]
    );
}
