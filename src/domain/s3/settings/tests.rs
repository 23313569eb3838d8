use super::*;
use crate::api::TargetState;
use crate::domain::observed::{AclGrant, BucketObservation, ErrorClass, LogKeyFormat};
use crate::domain::policy::ValidatedPolicy;
use crate::domain::s3::simulated::*;

const REST: &str = "encryption: {algorithm: SSE-S3, mode: Ignore}, transport: {mode: Ignore}, publicAccess: {mode: Ignore}, versioning: {mode: Ignore}";

fn only(control: &str) -> ValidatedPolicy {
    let other = if control.starts_with("objectOwnership") {
        "accessLogging"
    } else {
        "objectOwnership"
    };
    crate::domain::fixture::policy(&format!(
        "{{mode: Enforce, account: {{id: '123456789012', region: eu-west-1}}, bucketControls: {{{control}, {other}: {{mode: Ignore}}, {REST}}}, buckets: [{{name: {NAME}}}]}}"
    ))
}

fn owned(ownership: Option<ObjectOwnershipState>, grants: Vec<AclGrant>) -> BucketObservation {
    let acl = BucketAcl {
        owner: Some("owner-id".to_owned()),
        grants,
    };
    BucketObservation {
        object_ownership: Some(Ok(ownership)),
        acl: Some(Ok(acl)),
        ..fresh()
    }
}

#[test]
fn ownership_is_taken_over_where_the_acl_grants_nobody_else_anything() {
    let policy = only("objectOwnership: {}");
    let mine = || vec![grant(Grantee::CanonicalUser("owner-id".to_owned()))];
    for state in [
        None,
        Some(ObjectOwnershipState::ObjectWriter),
        Some(ObjectOwnershipState::BucketOwnerPreferred),
    ] {
        assert_eq!(
            operations(&plan(&policy, &owned(state, mine()))),
            ["PutBucketOwnershipControls"]
        );
    }
    let enforced = owned(Some(ObjectOwnershipState::BucketOwnerEnforced), mine());
    assert_eq!(brief(&plan(&policy, &enforced)), Vec::<String>::new());
}

#[test]
fn a_grant_to_somebody_else_leaves_ownership_to_a_human() {
    let policy = only("objectOwnership: {}");
    let others = [
        Grantee::CanonicalUser("stranger".to_owned()),
        Grantee::Group("http://acs.amazonaws.com/groups/s3/LogDelivery".to_owned()),
        Grantee::Email("a@example.com".to_owned()),
        Grantee::Unknown,
    ];
    for grantee in others {
        let plan = plan(&policy, &owned(None, vec![grant(grantee)]));
        assert_eq!(
            brief(&plan),
            ["S3.ObjectOwnership objectOwnership NeedsHuman(AclInUse): ObjectWriter (nothing configured)"]
        );
        assert_eq!(operations(&plan), Vec::<&str>::new());
    }
    let mut nobody_known = owned(None, vec![grant(Grantee::CanonicalUser("owner-id".to_owned()))]);
    nobody_known.acl = Some(Ok(BucketAcl {
        owner: None,
        ..own_acl()
    }));
    assert_eq!(
        operations(&plan(&policy, &nobody_known)),
        Vec::<&str>::new(),
        "whose grant it is can't be told"
    );
}

#[test]
fn without_the_acl_ownership_is_not_written() {
    let policy = only("objectOwnership: {}");
    for acl in [
        None,
        Some(Err(failed("GetBucketAcl", ErrorClass::AccessDenied, "AccessDenied"))),
        Some(Err(failed("GetBucketAcl", ErrorClass::Throttled, "SlowDown"))),
    ] {
        let seen = BucketObservation { acl, ..fresh() };
        let plan = plan(&policy, &seen);
        assert_eq!(operations(&plan), Vec::<&str>::new());
        let drift = "S3.ObjectOwnership objectOwnership Repair: ObjectWriter (nothing configured)".to_owned();
        assert!(
            brief(&plan).contains(&drift),
            "what is wrong is known: {:?}",
            brief(&plan)
        );
        assert_eq!((plan.findings.len(), plan.state), (2, TargetState::Drifted));
    }
    let lacks = Some(Err(failed("GetBucketAcl", ErrorClass::Unsupported, "NotImplemented")));
    let lacking = plan(&policy, &BucketObservation { acl: lacks, ..fresh() });
    assert_eq!(brief(&lacking), ["S3.ObjectOwnership acl Note: NotApplicable"]);
}

#[test]
fn a_grant_to_everybody_is_named() {
    let everybody = grant(Grantee::Group(
        "http://acs.amazonaws.com/groups/global/AllUsers".to_owned(),
    ));
    let plan = plan(&only("objectOwnership: {mode: Audit}"), &owned(None, vec![everybody]));
    assert_eq!(
        brief(&plan),
        [
            "S3.ACL acl Note: AllUsers",
            "S3.ObjectOwnership objectOwnership Note: ObjectWriter (nothing configured)"
        ]
    );
}

#[test]
fn access_logs_are_switched_on_and_kept_as_others_shaped_them() {
    let policy = only("accessLogging: {bucket: central-logs, prefix: s3/}");
    let off = plan(&policy, &fresh());
    assert_eq!(brief(&off), ["S3.AccessLogging accessLogging Repair: off"]);
    let elsewhere = AccessLoggingState {
        target_bucket: "other-logs".to_owned(),
        target_prefix: "x/".to_owned(),
        key_format: Some(LogKeyFormat::Partitioned(Some("EventTime".to_owned()))),
        target_grants: vec![grant(Grantee::Group(
            "http://acs.amazonaws.com/groups/s3/LogDelivery".to_owned(),
        ))],
    };
    let seen = BucketObservation {
        access_logging: Some(Ok(Some(elsewhere.clone()))),
        ..fresh()
    };
    let moved = plan(&policy, &seen);
    assert_eq!(
        brief(&moved),
        [
            "S3.AccessLogging accessLogging.bucket Repair: other-logs",
            "S3.AccessLogging accessLogging.prefix Repair: x/"
        ]
    );
    let expected = AccessLoggingState {
        target_bucket: "central-logs".to_owned(),
        target_prefix: "s3/".to_owned(),
        ..elsewhere
    };
    assert_eq!(apply(&seen, &moved).access_logging, Some(Ok(Some(expected))));
}

#[test]
fn a_prefix_that_is_not_asked_for_stays() {
    let policy = only("accessLogging: {bucket: central-logs}");
    let mut state = AccessLoggingState {
        target_bucket: "central-logs".to_owned(),
        target_prefix: "theirs/".to_owned(),
        key_format: None,
        target_grants: Vec::new(),
    };
    let seen = |state: &AccessLoggingState| BucketObservation {
        access_logging: Some(Ok(Some(state.clone()))),
        ..fresh()
    };
    assert_eq!(brief(&plan(&policy, &seen(&state))), Vec::<String>::new());
    state.target_bucket = "other-logs".to_owned();
    let after = apply(&seen(&state), &plan(&policy, &seen(&state)));
    state.target_bucket = "central-logs".to_owned();
    assert_eq!(after, seen(&state));
}

#[test]
fn the_bucket_that_takes_the_logs_is_not_logged_to_itself() {
    let plan = plan(&only(&format!("accessLogging: {{bucket: {NAME}}}")), &fresh());
    assert_eq!(brief(&plan), ["S3.AccessLogging accessLogging Note: NotApplicable"]);
    assert_eq!(operations(&plan), Vec::<&str>::new());
}
