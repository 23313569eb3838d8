//! Settings of a bucket that are only reported.

use std::collections::BTreeSet;

use super::*;
use crate::aws::s3::{BucketReads, Cadence};
use crate::domain::observed::{BucketDetails, ExpiryRule, ObjectLock, ReplicationDestination, Retention};

fn reads() -> BucketReads {
    BucketReads {
        details: Cadence::Occasionally,
        ..BucketReads::default()
    }
}

fn everything_set(request: &Request) -> Answer {
    match request.operation.as_str() {
        "GetObjectLockConfiguration" => ok(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
             <Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
        ),
        "GetBucketLifecycleConfiguration" => ok("<LifecycleConfiguration>\
             <Rule><ID>tmp</ID><Status>Enabled</Status><Filter><Prefix>tmp/</Prefix></Filter>\
             <Expiration><Days>7</Days></Expiration></Rule>\
             <Rule><ID>off</ID><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule>\
             <Rule><ID>moves</ID><Status>Enabled</Status><Transition><Days>3</Days>\
             <StorageClass>GLACIER</StorageClass></Transition></Rule>\
             </LifecycleConfiguration>"),
        "GetBucketReplication" => ok("<ReplicationConfiguration><Role>r</Role>\
             <Rule><Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::copy</Bucket><Account>999999999999</Account>\
             </Destination></Rule>\
             <Rule><Status>Disabled</Status><Destination><Bucket>arn:aws:s3:::old</Bucket></Destination></Rule>\
             </ReplicationConfiguration>"),
        other => panic!("{other}"),
    }
}

fn nothing_set(request: &Request) -> Answer {
    match request.operation.as_str() {
        "GetObjectLockConfiguration" => s3_error(404, "ObjectLockConfigurationNotFoundError"),
        "GetBucketLifecycleConfiguration" => s3_error(404, "NoSuchLifecycleConfiguration"),
        "GetBucketReplication" => s3_error(404, "ReplicationConfigurationNotFoundError"),
        other => panic!("{other}"),
    }
}

async fn details(aws: &Aws) -> BucketDetails {
    let session = &aws.session;
    session
        .observe_bucket(&bucket("data"), reads(), Some(&home()), AGE)
        .await
        .details
}

#[tokio::test(start_paused = true)]
async fn every_setting_is_read() {
    let aws = Aws::new(|request, _| everything_set(request)).await;
    let expected = BucketDetails {
        mfa_delete: None,
        object_lock: Some(Ok(Some(ObjectLock {
            default_retention: Some(Retention {
                mode: Some("COMPLIANCE".to_owned()),
                days: Some(30),
                years: None,
            }),
        }))),
        expiry_rules: Some(Ok(vec![ExpiryRule {
            id: Some("tmp".to_owned()),
            current_after_days: Some(7),
            current_on_date: false,
            noncurrent_after_days: None,
        }])),
        replication: Some(Ok(BTreeSet::from([ReplicationDestination {
            bucket_arn: "arn:aws:s3:::copy".to_owned(),
            account: Some("999999999999".to_owned()),
        }]))),
    };
    assert_eq!(details(&aws).await, expected);
    assert!(
        aws.requests()
            .iter()
            .all(|r| r.expected_owner.as_deref() == Some(ACCOUNT))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_set_is_absent_and_not_an_error() {
    let aws = Aws::new(|request, _| nothing_set(request)).await;
    let expected = BucketDetails {
        mfa_delete: None,
        object_lock: Some(Ok(None)),
        expiry_rules: Some(Ok(Vec::new())),
        replication: Some(Ok(BTreeSet::new())),
    };
    assert_eq!(details(&aws).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_no_answer_is_never_a_setting() {
    for answer in [ok("<html/>"), ok("")] {
        let aws = Aws::new(move |_, _| answer.clone()).await;
        let BucketDetails {
            object_lock,
            mfa_delete: _,
            expiry_rules,
            replication,
        } = details(&aws).await;
        assert!(object_lock.unwrap().is_err());
        assert!(expiry_rules.unwrap().is_err());
        assert!(replication.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_only_reported_is_read_once_an_hour() {
    let aws = Aws::new(|request, _| everything_set(request)).await;
    for _ in 0..120 {
        details(&aws).await;
        tokio::time::advance(AGE).await;
    }
    assert_eq!(aws.count("GetBucketReplication"), 2);
}
