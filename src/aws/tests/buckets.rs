//! Reads of buckets.

use super::*;
use crate::aws::s3::{BucketReads, Cadence, OCCASIONAL_AGE};
use crate::domain::action::Action;
use crate::domain::observed::{
    AccessLoggingState, AclGrant, BucketAcl, BucketDetails, BucketObservation, EncryptionRule, EncryptionState,
    ErrorClass, Grantee, LogKeyFormat, ObjectOwnershipState, PublicAccessBlock, VersioningState,
};

const ALL: BucketReads = BucketReads {
    details: Cadence::Never,
    encryption: true,
    policy: true,
    public_access_block: true,
    object_ownership: Cadence::EverySweep,
    versioning: true,
    access_logging: Cadence::EverySweep,
};

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;

/// A bucket with everything set.
fn full(request: &Request) -> Answer {
    match request.operation.as_str() {
        "HeadBucket" => status(200),
        "GetBucketEncryption" => encryption_answer(
            "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
             <KMSMasterKeyID>alias/data</KMSMasterKeyID></ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>true</BucketKeyEnabled>\
             <BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>",
        ),
        "GetBucketPolicy" => ok(POLICY),
        "GetPublicAccessBlock" => ok(BLOCKED),
        "GetBucketOwnershipControls" => ownership_answer("BucketOwnerEnforced"),
        "GetBucketVersioning" => versioning_answer("<Status>Enabled</Status>"),
        "GetBucketLogging" => logging_answer(
            "<LoggingEnabled><TargetBucket>central-logs</TargetBucket><TargetPrefix>s3/</TargetPrefix>\
             <TargetGrants><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\">\
             <URI>http://acs.amazonaws.com/groups/s3/LogDelivery</URI></Grantee><Permission>READ</Permission></Grant>\
             </TargetGrants><TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>EventTime\
             </PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat></LoggingEnabled>",
        ),
        other => panic!("{other}"),
    }
}

fn full_in(region: &str) -> BucketObservation {
    BucketObservation {
        details: BucketDetails::default(),
        region: Ok(Region::new(region).unwrap()),
        encryption: Some(Ok(EncryptionState::Rules(vec![EncryptionRule {
            algorithm: Some("aws:kms".to_owned()),
            kms_key_id: Some("alias/data".to_owned()),
            bucket_key_enabled: Some(true),
            blocked_encryption_types: Some(vec!["SSE-C".to_owned()]),
        }]))),
        policy: Some(Ok(Some(POLICY.to_owned()))),
        public_access_block: Some(Ok(Some(PublicAccessBlock {
            block_public_acls: true,
            ignore_public_acls: true,
            block_public_policy: true,
            restrict_public_buckets: true,
        }))),
        object_ownership: Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced))),
        acl: None,
        versioning: Some(Ok(VersioningState::Enabled)),
        access_logging: Some(Ok(Some(AccessLoggingState {
            target_bucket: "central-logs".to_owned(),
            target_prefix: "s3/".to_owned(),
            key_format: Some(LogKeyFormat::Partitioned(Some("EventTime".to_owned()))),
            target_grants: vec![AclGrant {
                grantee: Grantee::Group("http://acs.amazonaws.com/groups/s3/LogDelivery".to_owned()),
                permission: "READ".to_owned(),
            }],
        }))),
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_whose_region_is_known_costs_one_read_a_setting() {
    let aws = Aws::new(|request, _| full(request)).await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    assert_eq!(seen, full_in(HOME));
    let mut operations = aws.operations();
    operations.sort();
    let expected = [
        "GetBucketEncryption",
        "GetBucketLogging",
        "GetBucketOwnershipControls",
        "GetBucketPolicy",
        "GetBucketVersioning",
        "GetPublicAccessBlock",
    ];
    assert_eq!(operations, expected);
}

#[tokio::test(start_paused = true)]
async fn every_call_says_whose_bucket_it_expects() {
    let aws = Aws::new(|request, _| full(request)).await;
    aws.session.observe_bucket(&bucket("data"), ALL, None, AGE).await;
    let requests = aws.requests();
    assert_eq!(requests.len(), 7);
    for request in requests {
        assert_eq!(
            request.expected_owner.as_deref(),
            Some(ACCOUNT),
            "{}",
            request.operation
        );
    }
}

/// Servers that know no accounts refuse a call that names one.
#[tokio::test(start_paused = true)]
async fn with_the_account_guard_off_no_call_says_whose_bucket_it_expects() {
    let settings = AwsSettings {
        account_guard_off: true,
        ..AwsSettings::default()
    };
    let with_policy = |request: &Request| match request.operation.as_str() {
        "PutBucketPolicy" => status(204),
        "GetObjectLockConfiguration" | "GetBucketLifecycleConfiguration" | "GetBucketReplication" => {
            s3_error(501, "NotImplemented")
        }
        _ => full(request),
    };
    let aws = Aws::with(&settings, move |request, _| with_policy(request)).await;
    let reads = BucketReads {
        details: Cadence::EverySweep,
        ..ALL
    };
    aws.session.observe_bucket(&bucket("data"), reads, None, AGE).await;
    let write = Action::PutBucketPolicy {
        bucket: bucket("data"),
        region: home(),
        seen: Some(POLICY.to_owned()),
        document: POLICY.replace(
            "[]",
            r#"[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]"#,
        ),
    };
    aws.session.execute(&write, &LEADER).await;
    let requests = aws.requests();
    assert_eq!(requests.len(), 10 + 3, "region, nine settings; read, write, read");
    for request in requests {
        assert_eq!(request.expected_owner, None, "{}", request.operation);
    }
}

/// "If you have the correct permissions, but you're not using an identity that belongs to the bucket owner's account" (S3 API
/// reference, `GetBucketPolicy`): that S3 has no such call would be the wrong word for somebody else's bucket.
#[tokio::test(start_paused = true)]
async fn a_policy_that_only_the_owner_may_read_is_refused_and_not_a_lack_of_the_server() {
    let strange = |request: &Request| match request.operation.as_str() {
        "GetBucketPolicy" => s3_error(405, "MethodNotAllowed"),
        _ => full(request),
    };
    for (account_guard_off, expected) in [(false, ErrorClass::AccessDenied), (true, ErrorClass::Unsupported)] {
        let settings = AwsSettings {
            account_guard_off,
            ..AwsSettings::default()
        };
        let aws = Aws::with(&settings, move |request, _| strange(request)).await;
        let seen = aws
            .session
            .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
            .await;
        let class = seen.policy.map(|read| read.map_err(|error| error.class));
        assert_eq!(class, Some(Err(expected)), "guard off: {account_guard_off}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_is_not_wanted_is_not_read() {
    let aws = Aws::new(|request, _| full(request)).await;
    let only_policy = BucketReads {
        policy: true,
        ..BucketReads::default()
    };
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), only_policy, Some(&home()), AGE)
        .await;
    assert_eq!(aws.operations(), ["GetBucketPolicy"]);
    assert_eq!(
        (seen.encryption, seen.public_access_block, seen.versioning),
        (None, None, None)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_configured_is_read_as_absent() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketEncryption" => s3_error(404, "ServerSideEncryptionConfigurationNotFoundError"),
        "GetBucketPolicy" => s3_error(404, "NoSuchBucketPolicy"),
        "GetPublicAccessBlock" => s3_error(404, "NoSuchPublicAccessBlockConfiguration"),
        "GetBucketOwnershipControls" => s3_error(404, "OwnershipControlsNotFoundError"),
        "GetBucketAcl" => acl_answer("<Owner><ID>me</ID></Owner>", ""),
        "GetBucketVersioning" => versioning_answer(""),
        "GetBucketLogging" => logging_answer(""),
        other => panic!("{other}"),
    })
    .await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    let expected = BucketObservation {
        details: BucketDetails::default(),
        region: Ok(home()),
        encryption: Some(Ok(EncryptionState::Implicit)),
        policy: Some(Ok(None)),
        public_access_block: Some(Ok(None)),
        object_ownership: Some(Ok(None)),
        acl: Some(Ok(BucketAcl {
            owner: Some("me".to_owned()),
            grants: Vec::new(),
        })),
        versioning: Some(Ok(VersioningState::Unversioned)),
        access_logging: Some(Ok(None)),
    };
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn the_code_for_one_absent_setting_says_nothing_about_another() {
    let aws = Aws::new(|_, _| s3_error(404, "NoSuchBucketPolicy")).await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    assert_eq!(seen.policy, Some(Ok(None)));
    assert_eq!(seen.encryption.unwrap().unwrap_err().class, ErrorClass::NotFound);
    assert_eq!(
        seen.public_access_block.unwrap().unwrap_err().class,
        ErrorClass::NotFound
    );
    assert_eq!(seen.versioning.unwrap().unwrap_err().class, ErrorClass::NotFound);
}

#[tokio::test(start_paused = true)]
async fn one_refused_reading_hides_no_other() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketPolicy" => s3_error(403, "AccessDenied"),
        _ => full(request),
    })
    .await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    let refused = seen.policy.clone().unwrap().unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_deref()),
        (ErrorClass::AccessDenied, Some("AccessDenied"))
    );
    let expected = BucketObservation {
        policy: seen.policy.clone(),
        ..full_in(HOME)
    };
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_region_is_asked_for_once_and_followed() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "HeadBucket" => Answer {
            headers: vec![("x-amz-bucket-region", "us-west-2")],
            ..status(200)
        },
        _ => full(request),
    })
    .await;
    for _ in 0..2 {
        let seen = aws.session.observe_bucket(&bucket("data"), ALL, None, AGE).await;
        assert_eq!(seen, full_in("us-west-2"));
    }
    assert_eq!(aws.requests().len(), 7);
    for request in aws.requests() {
        let expected = if request.operation == "HeadBucket" {
            HOME
        } else {
            "us-west-2"
        };
        assert_eq!(request.region, expected, "{}", request.operation);
        assert_eq!(request.host, format!("data.s3.{expected}.amazonaws.com"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_region_is_taken_from_refusals_and_redirects_too() {
    for code in [301, 403, 400] {
        let aws = Aws::new(move |request, _| match request.operation.as_str() {
            "HeadBucket" => Answer {
                headers: vec![("x-amz-bucket-region", "us-west-2")],
                ..status(code)
            },
            _ => full(request),
        })
        .await;
        let seen = aws.session.observe_bucket(&bucket("data"), ALL, None, AGE).await;
        assert_eq!(seen, full_in("us-west-2"), "HTTP status {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_elsewhere_by_now_is_followed_there() {
    for redirect in [
        s3_error(301, "PermanentRedirect"),
        s3_error(400, "AuthorizationHeaderMalformed"),
    ] {
        let aws = Aws::new(
            move |request, _| match (request.operation.as_str(), request.region.as_str()) {
                ("HeadBucket", _) => Answer {
                    headers: vec![("x-amz-bucket-region", "us-west-2")],
                    ..status(301)
                },
                (_, HOME) => redirect.clone(),
                _ => full(request),
            },
        )
        .await;
        let seen = aws
            .session
            .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
            .await;
        assert_eq!(seen, full_in("us-west-2"));
        assert_eq!(aws.count("HeadBucket"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_of_another_partition_is_not_followed() {
    let aws = Aws::new(|_, _| Answer {
        headers: vec![("x-amz-bucket-region", "cn-north-1")],
        ..status(301)
    })
    .await;
    let seen = aws.session.observe_bucket(&bucket("data"), ALL, None, AGE).await;
    assert_eq!(seen.region.unwrap_err().class, ErrorClass::Terminal);
    assert_eq!(aws.operations(), ["HeadBucket"]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_that_leads_nowhere_ends() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "HeadBucket" => Answer {
            headers: vec![("x-amz-bucket-region", "us-west-2")],
            ..status(301)
        },
        _ => s3_error(301, "PermanentRedirect"),
    })
    .await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    assert_eq!(seen.encryption.unwrap().unwrap_err().class, ErrorClass::Transient);
    assert_eq!(aws.requests().len(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_gone_has_no_region() {
    let gone = Aws::new(|request, _| match request.operation.as_str() {
        "HeadBucket" => status(404),
        _ => s3_error(404, "NoSuchBucket"),
    })
    .await;
    for known in [None, Some(home())] {
        let seen = gone
            .session
            .observe_bucket(&bucket("data"), ALL, known.as_ref(), AGE)
            .await;
        assert_eq!(seen.region.unwrap_err().class, ErrorClass::NotFound);
        assert_eq!(seen.policy.unwrap().unwrap_err().class, ErrorClass::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_read_is_repeated() {
    let aws = Aws::new(|request, before| match before {
        0 => s3_error(503, "SlowDown"),
        _ => full(request),
    })
    .await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    assert_eq!(seen, full_in(HOME));
    assert_eq!(aws.requests().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn policies_that_share_a_bucket_share_its_readings() {
    let aws = Aws::new(|request, _| full(request)).await;
    let name = bucket("data");
    let region = home();
    let looks = (0..10).map(|_| aws.session.observe_bucket(&name, ALL, Some(&region), AGE));
    let seen = futures::future::join_all(looks).await;
    assert_eq!(seen, vec![full_in(HOME); 10]);
    assert_eq!(aws.requests().len(), 6);
    tokio::time::advance(AGE).await;
    aws.session.observe_bucket(&name, ALL, Some(&region), AGE).await;
    assert_eq!(aws.requests().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_by_outcome() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketPolicy" => s3_error(403, "AccessDenied"),
        _ => full(request),
    })
    .await;
    aws.session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    let text = aws.metrics.encode().unwrap();
    for (operation, outcome) in [("GetBucketPolicy", "access_denied"), ("GetBucketEncryption", "success")] {
        let line = format!(
            r#"aidp_aws_calls_total{{account="default",service="s3",operation="{operation}",outcome="{outcome}"}} 1"#
        );
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn acls_are_asked_for_only_where_they_are_on() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketOwnershipControls" => ownership_answer("ObjectWriter"),
        "GetBucketAcl" => acl_answer(
            "<Owner><ID>me</ID></Owner>",
            "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>me</ID>\
             </Grantee><Permission>FULL_CONTROL</Permission></Grant>",
        ),
        _ => full(request),
    })
    .await;
    let seen = aws
        .session
        .observe_bucket(&bucket("data"), ALL, Some(&home()), AGE)
        .await;
    let expected = BucketAcl {
        owner: Some("me".to_owned()),
        grants: vec![AclGrant {
            grantee: Grantee::CanonicalUser("me".to_owned()),
            permission: "FULL_CONTROL".to_owned(),
        }],
    };
    assert_eq!(seen.acl, Some(Ok(expected)));
}

#[tokio::test(start_paused = true)]
async fn what_is_only_reported_is_read_once_an_hour_and_when_everything_is_read_afresh() {
    let aws = Aws::new(|request, _| full(request)).await;
    let reads = BucketReads {
        object_ownership: Cadence::Occasionally,
        policy: true,
        ..BucketReads::default()
    };
    let data = bucket("data");
    let home = home();
    let look = |age| aws.session.observe_bucket(&data, reads, Some(&home), age);
    let counts = || (aws.count("GetBucketPolicy"), aws.count("GetBucketOwnershipControls"));
    look(AGE).await;
    tokio::time::advance(AGE * 30).await;
    assert_eq!(look(AGE).await.object_ownership, full_in(HOME).object_ownership);
    assert_eq!(counts(), (2, 1));
    tokio::time::advance(OCCASIONAL_AGE).await;
    look(AGE).await;
    assert_eq!(counts(), (3, 2));
    look(Duration::ZERO).await;
    assert_eq!(counts(), (4, 3));
}
