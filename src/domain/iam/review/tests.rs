use serde_json::json;

use super::*;
use crate::domain::fixture::now;
use crate::domain::iam::simulated::{allow, made, policy};

fn role(created_days_ago: i64, used_days_ago: Option<i64>) -> RoleObservation {
    let ago = |days: i64| now() - jiff::SignedDuration::from_hours(days * 24);
    RoleObservation {
        created_time: Some(ago(created_days_ago)),
        last_used_time: used_days_ago.map(ago),
        ..made(&policy())
    }
}

#[test]
fn an_old_role_that_nobody_uses_is_up_for_review() {
    let never = "never, as far as AWS remembers".to_owned();
    for (created, used, want) in [
        (200, None, Some(never)),
        (200, Some(100), Some("2026-02-21".to_owned())),
        (200, Some(91), Some("2026-03-02".to_owned())),
        (200, Some(89), None),
        (200, Some(-1), None),
        (89, None, None),
        (-1, None, None),
    ] {
        assert_eq!(unused(&role(created, used), now()), want, "{created} {used:?}");
    }
}

#[test]
fn a_role_of_unknown_age_is_not() {
    let mut role = role(200, None);
    role.created_time = None;
    assert_eq!(unused(&role, now()), None);
}

#[test]
fn a_document_that_reads_the_protected_data_is_found() {
    let policy = policy();
    let names = |document: &str| {
        let found = buckets_read(&policy, document);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&allow("s3:Get*", "*")), ["fraud-data", "fraud-features"]);
    assert_eq!(
        names(&allow("S3:GETOBJECT", "arn:aws:s3:::fraud-data/raw/*")),
        ["fraud-data"]
    );
    assert_eq!(
        names(&allow("s3:*", "arn:aws:s3:::fraud-${aws:PrincipalTag/x}/*")),
        ["fraud-data", "fraud-features"]
    );
    assert_eq!(
        names(&allow("s3:GetObject", "arn:aws:s3:::checkpoints/*")),
        Vec::<String>::new()
    );
    assert_eq!(names(&allow("s3:PutObject", "*")), Vec::<String>::new());
    let all_but = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::fraud-data/*"},
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"},
    ]});
    assert_eq!(names(&all_but.to_string()), ["fraud-features"]);
    assert_eq!(names("no policy"), Vec::<String>::new());
}
