use super::*;
use crate::api::TargetState;
use crate::domain::observed::{BucketObservation, Observed};
use crate::domain::policy::ValidatedPolicy;
use crate::domain::s3::plan_bucket;
use crate::domain::s3::simulated::{around, brief, controls, failed, fresh, operations, target};
use crate::domain::target_plan::TargetPlan;

type Block = Option<PublicAccessBlock>;

const ACLS: PublicAccessBlock = PublicAccessBlock {
    block_public_acls: true,
    ignore_public_acls: true,
    ..ALL_OFF
};
const POLICIES: PublicAccessBlock = PublicAccessBlock {
    block_public_policy: true,
    restrict_public_buckets: true,
    ..ALL_OFF
};

fn private() -> ValidatedPolicy {
    controls(
        "publicAccess: {}, encryption: {algorithm: SSE-S3, mode: Ignore}, transport: {mode: Ignore}, versioning: {mode: Ignore}",
    )
}

fn judged(bucket: Read<Block>, account: Option<Read<Block>>) -> TargetPlan {
    let policy = private();
    let seen = BucketObservation {
        public_access_block: Some(bucket),
        ..fresh()
    };
    let mut around: Observed = around(&policy);
    around.account.public_access_block = account;
    plan_bucket(&policy, target(&policy), &seen, &around)
}

fn refused(operation: &'static str) -> crate::domain::observed::CallError {
    failed(operation, ErrorClass::AccessDenied, "AccessDenied")
}

#[test]
fn a_bucket_that_its_account_keeps_private_is_compliant_and_not_written() {
    for bucket in [Ok(None), Ok(Some(ACLS)), Ok(Some(ALL_ON))] {
        let plan = judged(bucket, Some(Ok(Some(ALL_ON))));
        assert_eq!((brief(&plan), operations(&plan)), (vec![], vec![]));
        assert_eq!(plan.state, TargetState::Compliant);
    }
    let together = judged(Ok(Some(ACLS)), Some(Ok(Some(POLICIES))));
    assert_eq!((brief(&together), operations(&together)), (vec![], vec![]));
}

#[test]
fn an_account_keeps_no_bucket_private_that_is_not_shown_to_be_its_own() {
    let plan = judged(Err(refused("GetPublicAccessBlock")), Some(Ok(Some(ALL_ON))));
    assert_eq!(
        brief(&plan),
        ["S3.PublicAccessBlock publicAccessBlock NeedsHuman(AccessDenied): AccessDenied"]
    );
    assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Unknown));
}

#[test]
fn what_neither_has_on_is_a_gap() {
    let plan = judged(Ok(None), Some(Ok(None)));
    assert_eq!(brief(&plan), ["S3.PublicAccessBlock publicAccessBlock Repair: absent"]);
    assert_eq!(operations(&plan), ["PutPublicAccessBlock"]);
    let plan = judged(Ok(None), Some(Ok(Some(ACLS))));
    assert_eq!(
        brief(&plan),
        [
            "S3.PublicAccessBlock publicAccessBlock.blockPublicPolicy Repair: false",
            "S3.PublicAccessBlock publicAccessBlock.restrictPublicBuckets Repair: false"
        ]
    );
    assert_eq!(operations(&plan), ["PutPublicAccessBlock"]);
}

#[test]
fn an_account_that_cannot_be_read_is_not_taken_for_off() {
    let plan = judged(Ok(None), Some(Err(refused("GetAccountPublicAccessBlock"))));
    assert_eq!(
        brief(&plan),
        ["S3.PublicAccessBlock accountPublicAccessBlock NeedsHuman(AccessDenied): AccessDenied"]
    );
    assert!(plan.findings[0].message.contains("s3:GetAccountPublicAccessBlock"));
    assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Unknown));

    let slow = failed("GetAccountPublicAccessBlock", ErrorClass::Throttled, "SlowDown");
    for account in [Some(Err(slow)), None] {
        let plan = judged(Ok(Some(ACLS)), account);
        assert_eq!(
            brief(&plan),
            ["S3.PublicAccessBlock accountPublicAccessBlock Unobserved: unknown"]
        );
        assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Unknown));
    }
}

#[test]
fn a_bucket_with_a_block_of_its_own_needs_nothing_of_its_account() {
    for account in [None, Some(Ok(None)), Some(Err(refused("GetAccountPublicAccessBlock")))] {
        let plan = judged(Ok(Some(ALL_ON)), account);
        assert_eq!((brief(&plan), plan.state), (vec![], TargetState::Compliant));
    }
}

#[test]
fn a_server_without_accounts_is_judged_by_the_bucket_alone() {
    let nobody = failed("GetAccountPublicAccessBlock", ErrorClass::Unsupported, "NotImplemented");
    let plan = judged(Ok(None), Some(Err(nobody)));
    assert_eq!(operations(&plan), ["PutPublicAccessBlock"]);
}

#[test]
fn a_bucket_that_is_gone_is_missing_however_private_the_account() {
    let gone = failed("GetPublicAccessBlock", ErrorClass::NotFound, "NoSuchBucket");
    assert_eq!(judged(Err(gone), Some(Ok(Some(ALL_ON)))).state, TargetState::Missing);
}
