use serde_json::{Value, json};

use super::*;
use crate::api::TargetState;
use crate::domain::observed::Retention;
use crate::domain::s3::simulated::{NAME, apply, brief, failed, fresh, full, plan};

fn retention() -> Retention {
    Retention {
        mode: Some("COMPLIANCE".to_owned()),
        days: Some(30),
        years: None,
    }
}

/// Nothing to complain about.
fn details() -> BucketDetails {
    BucketDetails {
        object_lock: Some(Ok(Some(ObjectLock {
            default_retention: Some(retention()),
        }))),
        mfa_delete: Some(Ok(true)),
        expiry_rules: Some(Ok(Vec::new())),
        replication: Some(Ok([].into())),
    }
}

/// A bucket that is protected in every way, with these details; what is reported besides the existing objects.
fn reported(details: BucketDetails) -> Vec<String> {
    let mut seen = apply(&fresh(), &plan(&full(), &fresh()));
    seen.details = details;
    let plan = plan(&full(), &seen);
    assert_eq!(plan.state, TargetState::Compliant, "a report holds nothing back");
    assert_eq!(plan.actions, []);
    assert!(plan.findings.iter().all(|f| f.gating == Gating::ReportOnly));
    let mut brief = brief(&plan);
    brief.retain(|line| line != "S3.ExistingObjects existingObjects Note: Unknown");
    brief
}

fn rule(id: &str, current: Option<i32>, noncurrent: Option<i32>) -> ExpiryRule {
    ExpiryRule {
        id: Some(id.to_owned()),
        current_after_days: current,
        current_on_date: false,
        noncurrent_after_days: noncurrent,
    }
}

fn copies(bucket: &str, account: Option<&str>) -> ReplicationDestination {
    ReplicationDestination {
        bucket_arn: format!("arn:aws:s3:::{bucket}"),
        account: account.map(str::to_owned),
    }
}

#[test]
fn existing_objects_are_unknown_and_never_part_of_compliant() {
    let mut seen = apply(&fresh(), &plan(&full(), &fresh()));
    assert_eq!(brief(&plan(&full(), &seen)), Vec::<String>::new(), "not looked at yet");
    seen.details = details();
    let plan = plan(&full(), &seen);
    assert_eq!(brief(&plan), ["S3.ExistingObjects existingObjects Note: Unknown"]);
    assert_eq!(plan.findings[0].gating, Gating::ReportOnly);
}

#[test]
fn each_report_says_what_it_saw() {
    let with = |change: fn(&mut BucketDetails)| {
        let mut details = details();
        change(&mut details);
        reported(details)
    };
    assert_eq!(with(|_| ()), Vec::<String>::new());
    assert_eq!(
        with(|d| (d.object_lock, d.mfa_delete) = (Some(Ok(None)), Some(Ok(false)))),
        [
            "S3.ObjectLock objectLock Note: off",
            "S3.MFADelete versioning.mfaDelete Note: Disabled"
        ]
    );
    assert_eq!(
        with(|d| d.object_lock = Some(Ok(Some(ObjectLock {
            default_retention: None
        })))),
        ["S3.ObjectLock objectLock Note: on, without default retention"]
    );
    assert_eq!(
        with(|d| d.mfa_delete = Some(Ok(false))),
        Vec::<String>::new(),
        "retention keeps the versions"
    );
    assert_eq!(
        with(|d| d.expiry_rules = Some(Ok(vec![rule("old", None, Some(30)), rule("tmp", Some(7), None)]))),
        ["S3.LifecycleExpiry lifecycle Note: rule tmp: objects after 7 days; 1 more"]
    );
    assert_eq!(
        with(|d| d.expiry_rules = Some(Ok(vec![rule("old", None, Some(30))]))),
        ["S3.LifecycleExpiry lifecycle Note: rule old: noncurrent versions after 30 days"]
    );
    assert_eq!(
        with(|d| d.replication = Some(Ok([copies("a", None), copies("b", Some("999999999999"))].into()))),
        ["S3.Replication replication Note: arn:aws:s3:::b of account 999999999999"]
    );
    assert_eq!(
        with(|d| d.replication = Some(Ok([copies("a", None)].into()))),
        ["S3.Replication replication Note: arn:aws:s3:::a of an account that is not named"]
    );
    assert_eq!(
        with(|d| d.replication = Some(Ok([copies(NAME, None)].into()))),
        Vec::<String>::new(),
        "a bucket of the policy"
    );
}

#[test]
fn replicas_that_the_bucket_policy_lets_in_are_named() {
    let statement = |effect: &str, action: &Value| {
        let principal = json!({"AWS": "arn:aws:iam::999999999999:role/replicator"});
        let statement = json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": "*"});
        lets_replicas_in(&Statement::from_value(statement).unwrap())
    };
    for action in [
        json!("s3:ReplicateObject"),
        json!(["s3:GetObject", "s3:replicate*"]),
        json!("s3:*"),
    ] {
        assert!(statement("Allow", &action), "{action}");
        assert!(!statement("Deny", &action), "{action}");
    }
    assert!(!statement("Allow", &json!(["s3:GetObject", "s3:PutObject"])));
    let document = json!({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "NotAction": "s3:DeleteBucket", "Resource": "*"},
    ]});
    let (policy, bucket) = (full(), full().buckets[0].name.clone());
    let reporter = Reporter {
        policy: &policy,
        bucket: &bucket,
    };
    let found = reporter.inbound(&document.to_string()).unwrap();
    assert_eq!(found.path, "bucketPolicy.Statement[1]");
}

#[test]
fn a_report_that_cannot_be_read_is_said_and_holds_nothing_back() {
    let all = |class, code: &str| BucketDetails {
        object_lock: Some(Err(failed("GetObjectLockConfiguration", class, code))),
        mfa_delete: Some(Err(failed("GetBucketVersioning", class, code))),
        expiry_rules: Some(Err(failed("GetBucketLifecycleConfiguration", class, code))),
        replication: Some(Err(failed("GetBucketReplication", class, code))),
    };
    let shown = |details| -> Vec<String> {
        let lines = reported(details).into_iter();
        lines
            .map(|l| l.rsplit_once("] ").map_or(l.clone(), |(_, t)| t.to_owned()))
            .collect()
    };
    let ends = |lines: Vec<String>, end: &str| {
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines.iter().all(|l| l.ends_with(end)), "{lines:?}");
    };
    ends(
        shown(all(ErrorClass::AccessDenied, "AccessDenied")),
        "NeedsHuman(AccessDenied): AccessDenied",
    );
    ends(
        shown(all(ErrorClass::Unsupported, "NotImplemented")),
        "Note: NotApplicable",
    );
    for class in [ErrorClass::Throttled, ErrorClass::NotFound, ErrorClass::Terminal] {
        ends(shown(all(class, "X")), "Note: unknown");
    }
}
