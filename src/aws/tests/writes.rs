//! Writes.

use std::collections::{BTreeMap, BTreeSet};

use aws_smithy_http_client::test_util::NeverClient;
use aws_smithy_runtime_api::shared::IntoShared;

use super::*;
use crate::domain::action::Action;
use crate::domain::observed::{
    AccessLoggingState, AclGrant, BucketAcl, EncryptionRule, EncryptionState, ErrorClass, Grantee, LogKeyFormat,
    PublicAccessBlock, VersioningState,
};
use crate::domain::report::{ActionResult, SkipReason};

const SEEN: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::data"}]}"#;
const NEW: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Ours","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::data/*"}]}"#;

fn put_policy(seen: Option<&str>) -> Action {
    Action::PutBucketPolicy {
        bucket: bucket("data"),
        region: home(),
        seen: seen.map(str::to_owned),
        document: NEW.to_owned(),
    }
}

fn put_encryption(blocked: Option<Vec<String>>) -> Action {
    Action::PutBucketEncryption {
        bucket: bucket("data"),
        region: home(),
        seen: EncryptionState::Implicit,
        rule: EncryptionRule {
            algorithm: Some("aws:kms".to_owned()),
            kms_key_id: Some("arn:aws:kms:eu-west-1:123456789012:key/k".to_owned()),
            bucket_key_enabled: Some(true),
            blocked_encryption_types: blocked,
        },
    }
}

fn block_public_access() -> Action {
    Action::PutPublicAccessBlock {
        bucket: bucket("data"),
        region: home(),
        seen: None,
        settings: PublicAccessBlock {
            block_public_acls: true,
            ignore_public_acls: true,
            block_public_policy: true,
            restrict_public_buckets: true,
        },
    }
}

fn enable_versioning() -> Action {
    Action::EnableBucketVersioning {
        bucket: bucket("data"),
        region: home(),
        seen: VersioningState::Suspended,
    }
}

fn enforce_owner() -> Action {
    Action::EnforceBucketOwner {
        bucket: bucket("data"),
        region: home(),
        seen: None,
        acl: BucketAcl {
            owner: Some("owner-id".to_owned()),
            grants: vec![AclGrant {
                grantee: Grantee::CanonicalUser("owner-id".to_owned()),
                permission: "FULL_CONTROL".to_owned(),
            }],
        },
    }
}

fn put_logging(logging: AccessLoggingState) -> Action {
    Action::PutBucketLogging {
        bucket: bucket("data"),
        region: home(),
        seen: None,
        logging,
    }
}

fn central_logs() -> AccessLoggingState {
    AccessLoggingState {
        target_bucket: "central-logs".to_owned(),
        target_prefix: "s3/".to_owned(),
        key_format: Some(LogKeyFormat::Partitioned(Some("EventTime".to_owned()))),
        target_grants: vec![AclGrant {
            grantee: Grantee::Group("http://acs.amazonaws.com/groups/s3/LogDelivery".to_owned()),
            permission: "READ".to_owned(),
        }],
    }
}

const OWNER: &str = "<Owner><ID>owner-id</ID></Owner>";

fn full_control(id: &str) -> String {
    format!(
        "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>{id}</ID>\
         </Grantee><Permission>FULL_CONTROL</Permission></Grant>"
    )
}

/// The bucket as every action here has seen it; any write is taken.
fn as_seen(operation: &str) -> Answer {
    match operation {
        "GetBucketPolicy" => ok(SEEN),
        "GetBucketEncryption" => s3_error(404, "ServerSideEncryptionConfigurationNotFoundError"),
        "GetPublicAccessBlock" => s3_error(404, "NoSuchPublicAccessBlockConfiguration"),
        "GetBucketVersioning" => versioning_answer("<Status>Suspended</Status>"),
        "GetBucketOwnershipControls" => s3_error(404, "OwnershipControlsNotFoundError"),
        "GetBucketAcl" => acl_answer(OWNER, &full_control("owner-id")),
        "GetBucketLogging" => logging_answer(""),
        _ => status(200),
    }
}

/// Each write of a setting, the reading that it rests on, and something that is no longer what was seen: stronger, or
/// somebody else's.
fn setting_writes() -> Vec<(Action, &'static str, Answer)> {
    let dsse = "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>\
                </ApplyServerSideEncryptionByDefault>";
    let theirs = "<LoggingEnabled><TargetBucket>theirs</TargetBucket><TargetPrefix>x/</TargetPrefix></LoggingEnabled>";
    let everybody = full_control("owner-id") + &full_control("partner-id");
    vec![
        (put_encryption(None), "GetBucketEncryption", encryption_answer(dsse)),
        (block_public_access(), "GetPublicAccessBlock", ok(BLOCKED)),
        (
            enable_versioning(),
            "GetBucketVersioning",
            versioning_answer("<Status>Enabled</Status>"),
        ),
        (
            enforce_owner(),
            "GetBucketOwnershipControls",
            ownership_answer("BucketOwnerPreferred"),
        ),
        (enforce_owner(), "GetBucketAcl", acl_answer(OWNER, &everybody)),
        (put_logging(central_logs()), "GetBucketLogging", logging_answer(theirs)),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_changed_underneath_is_not_overwritten() {
    for (action, reading, changed) in setting_writes() {
        let aws = Aws::new(move |request, _| {
            if request.operation == reading {
                changed.clone()
            } else {
                as_seen(&request.operation)
            }
        })
        .await;
        let result = aws.session.execute(&action, &LEADER).await;
        assert_eq!(result, ActionResult::ChangedUnderneath, "{action}");
        let operations = aws.operations();
        assert_eq!(operations.last().map(String::as_str), Some(reading), "{action}");
        assert!(operations.iter().all(|o| o.starts_with("Get")), "{operations:?}");
        assert!(operations.len() <= 2, "{operations:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_cannot_be_read_again_is_not_written() {
    for (action, reading, _) in setting_writes() {
        let aws = Aws::new(move |request, _| {
            if request.operation == reading {
                s3_error(403, "AccessDenied")
            } else {
                as_seen(&request.operation)
            }
        })
        .await;
        let ActionResult::Failed(error) = aws.session.execute(&action, &LEADER).await else {
            panic!("{action} without {reading}")
        };
        assert_eq!((error.operation, error.class), (reading, ErrorClass::AccessDenied));
        assert!(aws.operations().iter().all(|o| o.starts_with("Get")), "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_change_underneath_the_next_look_reads_anew() {
    let aws = Aws::new(|request, before| match (request.operation.as_str(), before) {
        ("GetBucketVersioning", 1..) => versioning_answer("<Status>Enabled</Status>"),
        (operation, _) => as_seen(operation),
    })
    .await;
    let reads = crate::aws::BucketReads {
        versioning: true,
        ..Default::default()
    };
    let look = || async {
        let seen = aws
            .session
            .observe_bucket(&bucket("data"), reads, Some(&home()), AGE)
            .await;
        seen.versioning
    };
    assert_eq!(look().await, Some(Ok(VersioningState::Suspended)));
    aws.session.execute(&enable_versioning(), &LEADER).await;
    assert_eq!(look().await, Some(Ok(VersioningState::Enabled)));
}

fn create_role() -> Action {
    Action::CreateRole {
        role: role("trainer"),
        path: "/aidp/".to_owned(),
        trust_policy: "{}".to_owned(),
        max_session_duration_seconds: 3600,
        permissions_boundary_arn: Some("arn:aws:iam::123456789012:policy/cap".to_owned()),
        tags: BTreeMap::from([("aidp.dev/policy".to_owned(), "fraud".to_owned())]),
    }
}

fn put_role_policy() -> Action {
    Action::PutRolePolicy {
        role: role("trainer"),
        policy_name: "aidp-readonly".to_owned(),
        document: "{}".to_owned(),
    }
}

/// A bucket policy that stores what is put.
fn storing_policy(request: &Request, before: usize, first: Option<&str>) -> Answer {
    match (request.operation.as_str(), before) {
        ("GetBucketPolicy", 0) => first.map_or_else(|| s3_error(404, "NoSuchBucketPolicy"), ok),
        ("GetBucketPolicy", _) => ok(NEW),
        ("PutBucketPolicy", _) => status(204),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_policy_is_read_written_and_read_back() {
    for seen in [None, Some(SEEN)] {
        let aws = Aws::new(move |request, before| storing_policy(request, before, seen)).await;
        assert_eq!(
            aws.session.execute(&put_policy(seen), &LEADER).await,
            ActionResult::Done
        );
        assert_eq!(
            aws.operations(),
            ["GetBucketPolicy", "PutBucketPolicy", "GetBucketPolicy"]
        );
        let requests = aws.requests();
        assert_eq!(requests[1].body, NEW);
        assert!(requests.iter().all(|r| r.expected_owner.as_deref() == Some(ACCOUNT)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_changed_underneath_is_not_written() {
    let changed = SEEN.replace("Theirs", "Newer");
    let cases = [
        (None, Some(SEEN)),
        (Some(SEEN), None),
        (Some(changed.as_str()), Some(SEEN)),
    ];
    for (now, seen) in cases {
        let now = now.map(str::to_owned);
        let aws = Aws::new(move |request, before| storing_policy(request, before, now.as_deref())).await;
        let result = aws.session.execute(&put_policy(seen), &LEADER).await;
        assert_eq!(result, ActionResult::ChangedUnderneath);
        assert_eq!(aws.operations(), ["GetBucketPolicy"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_again_is_not_written() {
    let aws = Aws::new(|_, _| s3_error(403, "AccessDenied")).await;
    let result = aws.session.execute(&put_policy(Some(SEEN)), &LEADER).await;
    let ActionResult::Failed(error) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (error.operation, error.class),
        ("GetBucketPolicy", ErrorClass::AccessDenied)
    );
    assert_eq!(aws.operations(), ["GetBucketPolicy"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_does_not_stick_is_said_to() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketPolicy" => ok(SEEN),
        _ => status(204),
    })
    .await;
    let result = aws.session.execute(&put_policy(Some(SEEN)), &LEADER).await;
    assert_eq!(result, ActionResult::NotObserved);
}

#[tokio::test(start_paused = true)]
async fn a_refused_policy_that_is_public_is_said_to_be() {
    let public = NEW.replace(
        "\"Statement\":[",
        r#""Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"},"#,
    );
    let told = async |document: &str| {
        let aws = Aws::new(|request, _| match request.operation.as_str() {
            "GetBucketPolicy" => ok(SEEN),
            _ => s3_error(403, "AccessDenied"),
        })
        .await;
        let put = Action::PutBucketPolicy {
            bucket: bucket("data"),
            region: home(),
            seen: Some(SEEN.to_owned()),
            document: document.to_owned(),
        };
        let ActionResult::Failed(error) = aws.session.execute(&put, &LEADER).await else {
            panic!("a refused write is a failure")
        };
        (error.class, error.message)
    };
    assert_eq!(
        told(NEW).await,
        (ErrorClass::AccessDenied, "about AccessDenied".to_owned())
    );
    let reason = "statement 0 of the bucket policy lets everybody in, and AWS refuses every policy with it while BlockPublicPolicy is on; narrow its principal (about AccessDenied)";
    assert_eq!(told(&public).await, (ErrorClass::AccessDenied, reason.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_gone_already_is_not_deleted_again() {
    let delete = Action::DeleteBucketPolicy {
        bucket: bucket("data"),
        region: home(),
        seen: SEEN.to_owned(),
    };
    let gone = Aws::new(|_, _| s3_error(404, "NoSuchBucketPolicy")).await;
    assert_eq!(gone.session.execute(&delete, &LEADER).await, ActionResult::Done);
    assert_eq!(gone.operations(), ["GetBucketPolicy"]);

    let changed = Aws::new(|_, _| ok(NEW)).await;
    assert_eq!(
        changed.session.execute(&delete, &LEADER).await,
        ActionResult::ChangedUnderneath
    );
    assert_eq!(changed.operations(), ["GetBucketPolicy"]);

    let there = Aws::new(|request, before| match (request.operation.as_str(), before) {
        ("GetBucketPolicy", 0) => ok(SEEN),
        ("GetBucketPolicy", _) => s3_error(404, "NoSuchBucketPolicy"),
        _ => status(204),
    })
    .await;
    assert_eq!(there.session.execute(&delete, &LEADER).await, ActionResult::Done);
    assert_eq!(
        there.operations(),
        ["GetBucketPolicy", "DeleteBucketPolicy", "GetBucketPolicy"]
    );

    let stranger = Aws::new(|request, _| match request.operation.as_str() {
        "GetBucketPolicy" => ok(SEEN),
        _ => s3_error(405, "MethodNotAllowed"),
    })
    .await;
    let ActionResult::Failed(error) = stranger.session.execute(&delete, &LEADER).await else {
        panic!("a refused deletion is a failure")
    };
    assert_eq!(error.class, ErrorClass::AccessDenied);
}

#[tokio::test(start_paused = true)]
async fn encryption_is_sent_whole_and_a_dropped_field_is_noticed() {
    let stored = |blocked: &str| {
        encryption_answer(&format!(
            "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
             <KMSMasterKeyID>arn:aws:kms:eu-west-1:123456789012:key/k</KMSMasterKeyID>\
             </ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled>{blocked}"
        ))
    };
    let blocked = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
    for (answer, expected) in [
        (stored(blocked), ActionResult::Done),
        (stored(""), ActionResult::NotObserved),
    ] {
        let aws = Aws::new(move |request, before| match (request.operation.as_str(), before) {
            ("GetBucketEncryption", 1) => answer.clone(),
            (operation, _) => as_seen(operation),
        })
        .await;
        let action = put_encryption(Some(vec!["SSE-C".to_owned()]));
        assert_eq!(aws.session.execute(&action, &LEADER).await, expected);
        let body = &aws.requests()[1].body;
        assert!(body.contains("<SSEAlgorithm>aws:kms</SSEAlgorithm>"), "{body}");
        assert!(
            body.contains("<KMSMasterKeyID>arn:aws:kms:eu-west-1:123456789012:key/k<"),
            "{body}"
        );
        assert!(body.contains("<BucketKeyEnabled>true</BucketKeyEnabled>"), "{body}");
        assert!(body.contains(blocked), "{body}");
    }
    let aws = Aws::new(move |request, before| match (request.operation.as_str(), before) {
        ("GetBucketEncryption", 1) => stored(""),
        (operation, _) => as_seen(operation),
    })
    .await;
    assert_eq!(
        aws.session.execute(&put_encryption(None), &LEADER).await,
        ActionResult::Done
    );
    assert!(!aws.requests()[1].body.contains("BlockedEncryptionTypes"));
}

#[tokio::test(start_paused = true)]
async fn settings_of_a_bucket_are_written_and_read_back() {
    let aws = Aws::new(|request, before| match (request.operation.as_str(), before) {
        ("GetPublicAccessBlock", 1) => ok(BLOCKED),
        ("GetBucketVersioning", 1) => versioning_answer("<Status>Enabled</Status>"),
        (operation, _) => as_seen(operation),
    })
    .await;
    assert_eq!(
        aws.session.execute(&block_public_access(), &LEADER).await,
        ActionResult::Done
    );
    assert_eq!(
        aws.session.execute(&enable_versioning(), &LEADER).await,
        ActionResult::Done
    );
    let requests = aws.requests();
    assert_eq!(requests[1].body.matches(">true<").count(), 4, "{}", requests[1].body);
    assert!(requests[4].body.contains("<Status>Enabled</Status>") && !requests[4].body.contains("MfaDelete"));
    assert!(requests.iter().all(|r| r.expected_owner.as_deref() == Some(ACCOUNT)));

    let forgetful = Aws::new(|request, _| as_seen(&request.operation)).await;
    for action in [block_public_access(), enable_versioning()] {
        assert_eq!(
            forgetful.session.execute(&action, &LEADER).await,
            ActionResult::NotObserved
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_goes_to_the_buckets_region() {
    let aws = Aws::new(|request, before| storing_policy(request, before, None)).await;
    let action = Action::PutBucketPolicy {
        bucket: bucket("data"),
        region: Region::new("us-west-2").unwrap(),
        seen: None,
        document: NEW.to_owned(),
    };
    assert_eq!(aws.session.execute(&action, &LEADER).await, ActionResult::Done);
    assert!(aws.requests().iter().all(|r| r.region == "us-west-2"));
}

/// Each kind of write, and what its operation is called on the wire.
fn one_of_each() -> Vec<(Action, &'static str)> {
    let trainer = || role("trainer");
    let arn = || "arn:aws:iam::aws:policy/P".to_owned();
    vec![
        (put_policy(Some(SEEN)), "PutBucketPolicy"),
        (
            Action::DeleteBucketPolicy {
                bucket: bucket("data"),
                region: home(),
                seen: SEEN.to_owned(),
            },
            "DeleteBucketPolicy",
        ),
        (put_encryption(None), "PutBucketEncryption"),
        (block_public_access(), "PutPublicAccessBlock"),
        (enable_versioning(), "PutBucketVersioning"),
        (enforce_owner(), "PutBucketOwnershipControls"),
        (put_logging(central_logs()), "PutBucketLogging"),
        (create_role(), "CreateRole"),
        (put_role_policy(), "PutRolePolicy"),
        (
            Action::UpdateAssumeRolePolicy {
                role: trainer(),
                trust_policy: "{}".to_owned(),
            },
            "UpdateAssumeRolePolicy",
        ),
        (
            Action::UpdateRole {
                role: trainer(),
                max_session_duration_seconds: 3600,
            },
            "UpdateRole",
        ),
        (
            Action::PutRolePermissionsBoundary {
                role: trainer(),
                permissions_boundary_arn: arn(),
            },
            "PutRolePermissionsBoundary",
        ),
        (
            Action::TagRole {
                role: trainer(),
                tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            },
            "TagRole",
        ),
        (
            Action::DeleteRolePolicy {
                role: trainer(),
                policy_name: "p".to_owned(),
            },
            "DeleteRolePolicy",
        ),
        (
            Action::AttachRolePolicy {
                role: trainer(),
                policy_arn: arn(),
            },
            "AttachRolePolicy",
        ),
        (
            Action::DetachRolePolicy {
                role: trainer(),
                policy_arn: arn(),
            },
            "DetachRolePolicy",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_throttled_write_is_not_repeated() {
    for (action, operation) in one_of_each() {
        let aws = Aws::new(|request, _| match request.operation.as_str() {
            reading if reading.starts_with("Get") => as_seen(reading),
            _ if request.body.starts_with("Action=") => iam_error(400, "Throttling", "Rate exceeded"),
            _ => s3_error(503, "SlowDown"),
        })
        .await;
        let result = aws.session.execute(&action, &LEADER).await;
        let ActionResult::Failed(error) = result else {
            panic!("{operation}: {result:?}")
        };
        assert_eq!((error.operation, error.class), (operation, ErrorClass::Throttled));
        assert_eq!(aws.count(operation), 1, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_the_leader_sends_no_write() {
    for (action, operation) in one_of_each() {
        let aws = Aws::new(|request, _| match request.operation.as_str() {
            reading if reading.starts_with("Get") => as_seen(reading),
            other => panic!("{other} was sent"),
        })
        .await;
        let result = aws.session.execute(&action, &Follower).await;
        assert_eq!(result, ActionResult::Skipped(SkipReason::NotLeader), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_not_waited_for_longer_than_the_lease_lasts() {
    let config = config(
        NeverClient::new().into_shared(),
        aws_credential_types::Credentials::for_tests(),
    )
    .await;
    let metrics = Metrics::new();
    let sessions = Sessions::from_config(&config, &AwsSettings::default(), &metrics.aws).await;
    let session = sessions.session(&account(), &home()).unwrap();
    let started = tokio::time::Instant::now();
    let result = session
        .execute(&put_role_policy(), &Leader(Duration::from_secs(2)))
        .await;
    let ActionResult::Failed(error) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (error.class, error.message.as_str()),
        (ErrorClass::Transient, "no answer within 2 s")
    );
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_role_is_created_with_everything_at_once() {
    let aws = Aws::new(|_, _| {
        let created = "<Role><Path>/aidp/</Path><RoleName>trainer</RoleName><RoleId>AROA1</RoleId><Arn>a</Arn>\
             <CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>";
        iam_result("CreateRole", created)
    })
    .await;
    assert_eq!(aws.session.execute(&create_role(), &LEADER).await, ActionResult::Done);
    let requests = aws.requests();
    let sent: Vec<Option<String>> = [
        "RoleName",
        "Path",
        "AssumeRolePolicyDocument",
        "MaxSessionDuration",
        "PermissionsBoundary",
        "Tags.member.1.Key",
        "Tags.member.1.Value",
    ]
    .into_iter()
    .map(|name| requests[0].parameter(name))
    .collect();
    let expected = [
        "trainer",
        "/aidp/",
        "{}",
        "3600",
        "arn:aws:iam::123456789012:policy/cap",
        "aidp.dev/policy",
        "fraud",
    ];
    assert_eq!(sent, expected.map(|v| Some(v.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_exists_by_now_is_not_touched() {
    let aws = Aws::new(|_, _| iam_error(409, "EntityAlreadyExists", "Role with name trainer already exists.")).await;
    let result = aws.session.execute(&create_role(), &LEADER).await;
    assert_eq!(result, ActionResult::ChangedUnderneath);
}

#[tokio::test(start_paused = true)]
async fn removing_what_is_gone_is_done_and_writing_to_it_is_a_change() {
    for (action, operation) in one_of_each() {
        let aws = Aws::new(|_, _| iam_error(404, "NoSuchEntity", "cannot be found")).await;
        let result = aws.session.execute(&action, &LEADER).await;
        match operation {
            "DeleteRolePolicy" | "DetachRolePolicy" => assert_eq!(result, ActionResult::Done, "{operation}"),
            "PutRolePolicy" | "UpdateAssumeRolePolicy" | "UpdateRole" | "TagRole" => {
                assert_eq!(result, ActionResult::ChangedUnderneath, "{operation}");
            }
            _ => assert!(matches!(result, ActionResult::Failed(_)), "{operation}: {result:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_new_may_be_unknown_for_a_minute() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "CreateRole" => iam_result(
            "CreateRole",
            "<Role><Path>/aidp/</Path><RoleName>trainer</RoleName><RoleId>AROA1</RoleId><Arn>a</Arn>\
             <CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>",
        ),
        "PutRolePolicy" => iam_error(404, "NoSuchEntity", "The role with name trainer cannot be found."),
        "GetBucketPolicy" => ok(SEEN),
        "PutBucketPolicy" => Answer {
            status: 400,
            ..ok("<Error><Code>MalformedPolicy</Code><Message>Invalid principal in policy</Message></Error>")
        },
        other => panic!("{other}"),
    })
    .await;
    assert_eq!(aws.session.execute(&create_role(), &LEADER).await, ActionResult::Done);
    for action in [put_role_policy(), put_policy(Some(SEEN))] {
        let result = aws.session.execute(&action, &LEADER).await;
        let ActionResult::Failed(error) = result else {
            panic!("{result:?}")
        };
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
    }
    tokio::time::advance(Duration::from_secs(61)).await;
    let late = aws.session.execute(&put_role_policy(), &LEADER).await;
    assert_eq!(late, ActionResult::ChangedUnderneath);
    let late = aws.session.execute(&put_policy(Some(SEEN)), &LEADER).await;
    let ActionResult::Failed(error) = late else {
        panic!("{late:?}")
    };
    assert_eq!(error.class, ErrorClass::Terminal, "a dead principal stays one");
}

fn role_with(inline: &'static [&'static str], path: &'static str) -> impl Fn(&Request) -> Answer {
    move |request| match request.operation.as_str() {
        "GetRole" => iam_result(
            "GetRole",
            &format!(
                "<Role><Path>{path}</Path><RoleName>trainer</RoleName><RoleId>AROA1</RoleId><Arn>a</Arn>\
                 <CreateDate>2026-01-01T00:00:00Z</CreateDate>\
                 <AssumeRolePolicyDocument>%7B%7D</AssumeRolePolicyDocument></Role>"
            ),
        ),
        "ListRolePolicies" => {
            let members = members(inline, str::to_owned);
            iam_result("ListRolePolicies", &format!("<PolicyNames>{members}</PolicyNames>"))
        }
        "ListAttachedRolePolicies" => iam_result(
            "ListAttachedRolePolicies",
            "<AttachedPolicies><member><PolicyArn>arn:aws:iam::aws:policy/P</PolicyArn></member></AttachedPolicies>",
        ),
        "GetRolePolicy" => iam_result(
            "GetRolePolicy",
            "<RoleName>trainer</RoleName><PolicyName>p</PolicyName><PolicyDocument>%7B%7D</PolicyDocument>",
        ),
        _ => ok(""),
    }
}

fn delete_role() -> Action {
    Action::DeleteRole {
        role: role("trainer"),
        inline_policies: BTreeSet::from(["aidp-readonly".to_owned()]),
        attached_policy_arns: BTreeSet::from(["arn:aws:iam::aws:policy/P".to_owned()]),
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_is_deleted_after_what_hangs_on_it() {
    let answer = role_with(&["aidp-readonly"], "/aidp/");
    let aws = Aws::new(move |request, _| answer(request)).await;
    assert_eq!(aws.session.execute(&delete_role(), &LEADER).await, ActionResult::Done);
    let operations = aws.operations();
    assert_eq!(operations[4..], ["DetachRolePolicy", "DeleteRolePolicy", "DeleteRole"]);
}

#[tokio::test(start_paused = true)]
async fn a_role_on_which_something_foreign_hangs_by_now_keeps_everything() {
    for (inline, path) in [
        (["aidp-readonly", "theirs"].as_slice(), "/aidp/"),
        (&["aidp-readonly"], "/"),
    ] {
        let answer = role_with(inline, path);
        let aws = Aws::new(move |request, _| answer(request)).await;
        let result = aws.session.execute(&delete_role(), &LEADER).await;
        assert_eq!(result, ActionResult::ChangedUnderneath);
        assert!(
            aws.operations()
                .iter()
                .all(|o| o.starts_with("Get") || o.starts_with("List"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_write_the_next_look_reads_anew() {
    let aws = Aws::new(|request, before| match (request.operation.as_str(), before) {
        ("GetBucketVersioning", 2..) => versioning_answer("<Status>Enabled</Status>"),
        (operation, _) => as_seen(operation),
    })
    .await;
    let reads = crate::aws::BucketReads {
        versioning: true,
        ..Default::default()
    };
    let look = || async {
        aws.session
            .observe_bucket(&bucket("data"), reads, Some(&home()), AGE)
            .await
    };
    look().await;
    look().await;
    assert_eq!(aws.count("GetBucketVersioning"), 1);
    aws.session.execute(&enable_versioning(), &LEADER).await;
    look().await;
    assert_eq!(
        aws.operations()[1..],
        [
            "GetBucketVersioning",
            "PutBucketVersioning",
            "GetBucketVersioning",
            "GetBucketVersioning"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn object_ownership_is_written_and_read_back() {
    for (read_back, expected) in [
        ("BucketOwnerEnforced", ActionResult::Done),
        ("ObjectWriter", ActionResult::NotObserved),
    ] {
        let aws = Aws::new(move |request, before| match (request.operation.as_str(), before) {
            ("GetBucketOwnershipControls", 1) => ownership_answer(read_back),
            (operation, _) => as_seen(operation),
        })
        .await;
        assert_eq!(aws.session.execute(&enforce_owner(), &LEADER).await, expected);
        assert_eq!(
            aws.operations(),
            [
                "GetBucketOwnershipControls",
                "GetBucketAcl",
                "PutBucketOwnershipControls",
                "GetBucketOwnershipControls"
            ]
        );
        let written = &aws.requests()[2];
        assert!(
            written
                .body
                .contains("<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>")
        );
        assert_eq!(written.expected_owner.as_deref(), Some(ACCOUNT));
    }
}

#[tokio::test(start_paused = true)]
async fn access_logging_is_written_with_what_others_shaped_and_read_back() {
    let action = put_logging(central_logs());
    let stored =
        "<LoggingEnabled><TargetBucket>central-logs</TargetBucket><TargetPrefix>s3/</TargetPrefix></LoggingEnabled>";
    for (read_back, expected) in [(stored, ActionResult::Done), ("", ActionResult::NotObserved)] {
        let aws = Aws::new(move |request, before| match (request.operation.as_str(), before) {
            ("GetBucketLogging", 1) => logging_answer(read_back),
            (operation, _) => as_seen(operation),
        })
        .await;
        assert_eq!(aws.session.execute(&action, &LEADER).await, expected);
        let body = &aws.requests()[1].body;
        for part in [
            "<TargetBucket>central-logs</TargetBucket>",
            "<TargetPrefix>s3/</TargetPrefix>",
            "<PartitionDateSource>EventTime</PartitionDateSource>",
            "<URI>http://acs.amazonaws.com/groups/s3/LogDelivery</URI>",
        ] {
            assert!(body.contains(part), "{part} in {body}");
        }
    }
}
