use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::TargetState;
use crate::domain::document::PolicyKind;
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::observed::{AccessLoggingState, Observed, PublicAccessBlock};
use crate::domain::policy::ValidatedPolicy;
use crate::domain::s3::plan_bucket;
use crate::domain::s3::simulated::*;
use crate::domain::target_plan::TargetPlan;

const LOGS: &str = "arn:aws:s3:::central-logs/*";

fn logged(mode: &str) -> ValidatedPolicy {
    let rest =
        ["transport", "publicAccess", "versioning", "objectOwnership"].map(|c| format!("{c}: {{mode: Ignore}}, "));
    let ignored = format!("encryption: {{algorithm: SSE-S3, mode: Ignore}}, {}", rest.concat());
    crate::domain::fixture::policy(&format!(
        "{{mode: Enforce, account: {{id: '123456789012', region: eu-west-1}}, bucketControls: {{{ignored}accessLogging: {{bucket: central-logs, prefix: s3/, mode: {mode}}}}}, buckets: [{{name: {NAME}}}]}}"
    ))
}

fn allow(condition: &Value) -> Value {
    json!({"Sid": "Logs", "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": LOGS, "Condition": condition})
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// A log bucket as the S3 User Guide has it made.
fn log_bucket() -> BucketObservation {
    let condition = json!({"ArnLike": {"aws:SourceArn": ARN}, "StringEquals": {"aws:SourceAccount": "123456789012"}});
    BucketObservation {
        object_ownership: Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced))),
        acl: None,
        ..with_policy(&document(&[allow(&condition)]))
    }
}

fn with_statements(statements: &[Value]) -> BucketObservation {
    BucketObservation {
        policy: Some(Ok(Some(document(statements)))),
        ..log_bucket()
    }
}

fn logging_to(bucket: &str) -> AccessLoggingState {
    AccessLoggingState {
        target_bucket: bucket.to_owned(),
        target_prefix: "s3/".to_owned(),
        key_format: None,
        target_grants: Vec::new(),
    }
}

fn plan_of(policy: &ValidatedPolicy, seen: &BucketObservation, target_bucket: BucketObservation) -> TargetPlan {
    let mut around: Observed = around(policy);
    around
        .account
        .log_targets
        .insert(BucketName::new("central-logs").unwrap(), target_bucket);
    plan_bucket(policy, target(policy), seen, &around)
}

fn obstacle(seen: &BucketObservation) -> Option<String> {
    let account = AccountId::new("123456789012").unwrap();
    let (source, target) = (bucket(), BucketName::new("central-logs").unwrap());
    let delivery = Delivery {
        account: &account,
        source: &source,
        region: &region("eu-west-1"),
        target: &target,
        prefix: "s3/",
    };
    delivery.obstacle(seen).map(|o| o.have)
}

#[test]
fn a_bucket_that_lets_the_logging_service_write_can_take_the_logs() {
    let everybody = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"});
    let conditions = [
        json!({}),
        json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::fraud-*"}}),
        json!({"StringEquals": {"aws:SourceAccount": ["999999999999", "123456789012"]}}),
        json!({"StringEquals": {"aws:SourceOrgID": "o-1"}}),
        json!({"Bool": {"aws:SecureTransport": "true"}}),
    ];
    for condition in conditions {
        assert_eq!(obstacle(&with_statements(&[allow(&condition)])), None, "{condition}");
    }
    assert_eq!(obstacle(&log_bucket()), None);
    assert_eq!(obstacle(&with_statements(&[everybody])), None);
    let tls_only = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": LOGS,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}});
    assert_eq!(
        obstacle(&with_statements(&[allow(&json!({})), tls_only])),
        None,
        "our own statement"
    );
    let mut narrower = allow(&json!({}));
    narrower["Resource"] = json!("arn:aws:s3:::central-logs/s3/*");
    assert_eq!(obstacle(&with_statements(&[narrower])), None);
}

#[test]
fn a_bucket_that_does_not_can_not() {
    let changed = |element: &str, value: Value| {
        let mut statement = allow(&json!({}));
        statement[element] = value;
        statement
    };
    let closed = "not writable for S3's logging service";
    for (statement, what) in [
        (
            changed("Principal", json!({"Service": "cloudtrail.amazonaws.com"})),
            "another service",
        ),
        (changed("Principal", json!({"AWS": "123456789012"})), "the account"),
        (changed("Action", json!("s3:GetObject")), "reading"),
        (
            changed("Resource", json!("arn:aws:s3:::central-logs/elb/*")),
            "another prefix",
        ),
        (
            changed("Resource", json!("arn:aws:s3:::central-logs")),
            "the bucket itself",
        ),
        (
            changed(
                "Condition",
                json!({"StringEquals": {"aws:SourceAccount": "999999999999"}}),
            ),
            "another account",
        ),
        (
            changed("Condition", json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}})),
            "another bucket",
        ),
    ] {
        assert_eq!(
            obstacle(&with_statements(&[statement])).as_deref(),
            Some(closed),
            "{what}"
        );
    }
    let no_policy = BucketObservation {
        policy: Some(Ok(None)),
        ..log_bucket()
    };
    assert_eq!(obstacle(&no_policy).as_deref(), Some(closed));
    let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": LOGS,
        "Condition": {"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::other"}}});
    assert_eq!(
        obstacle(&with_statements(&[allow(&json!({})), deny])).as_deref(),
        Some("bucketPolicy.Statement[1] of central-logs")
    );
    let garbage = BucketObservation {
        policy: Some(Ok(Some("{".to_owned()))),
        ..log_bucket()
    };
    assert_eq!(obstacle(&garbage).as_deref(), Some("unreadable bucket policy"));
}

#[test]
fn where_acls_are_on_the_grant_to_the_log_delivery_group_does() {
    let with_acl = |permission: &str| {
        let mut acl = own_acl();
        let mut group = grant(Grantee::Group(
            "http://acs.amazonaws.com/groups/s3/LogDelivery".to_owned(),
        ));
        permission.clone_into(&mut group.permission);
        acl.grants.push(group);
        BucketObservation {
            policy: Some(Ok(None)),
            object_ownership: Some(Ok(None)),
            acl: Some(Ok(acl)),
            ..log_bucket()
        }
    };
    assert_eq!(obstacle(&with_acl("WRITE")), None);
    assert_eq!(obstacle(&with_acl("FULL_CONTROL")), None);
    assert_eq!(
        obstacle(&with_acl("READ_ACP")).as_deref(),
        Some("not writable for S3's logging service")
    );
}

#[test]
fn region_existence_encryption_and_loops_are_seen() {
    let elsewhere = BucketObservation {
        region: Ok(region("us-east-1")),
        ..log_bucket()
    };
    let gone = BucketObservation {
        region: Err(failed("HeadBucket", ErrorClass::NotFound, "404")),
        ..log_bucket()
    };
    let by_kms = BucketObservation {
        encryption: Some(Ok(EncryptionState::Rules(vec![rule("aws:kms", Some(KEY), None)]))),
        ..log_bucket()
    };
    let back = BucketObservation {
        access_logging: Some(Ok(Some(logging_to(NAME)))),
        ..log_bucket()
    };
    let sse_s3 = BucketObservation {
        encryption: Some(Ok(EncryptionState::Rules(vec![rule("AES256", None, None)]))),
        ..log_bucket()
    };
    assert_eq!(obstacle(&elsewhere).as_deref(), Some("us-east-1"));
    assert_eq!(obstacle(&gone).as_deref(), Some("NoSuchBucket"));
    assert_eq!(obstacle(&by_kms).as_deref(), Some("aws:kms"));
    assert_eq!(obstacle(&back).as_deref(), Some("logs to this bucket"));
    assert_eq!(obstacle(&sse_s3), None);
}

#[test]
fn logging_is_switched_on_only_to_a_bucket_that_can_take_the_logs() {
    let good = plan_of(&logged("Enforce"), &fresh(), log_bucket());
    assert_eq!(
        (brief(&good), operations(&good)),
        (
            vec!["S3.AccessLogging accessLogging Repair: off".to_owned()],
            vec!["PutBucketLogging"]
        )
    );
    let closed = with_statements(&[]);
    let bad = plan_of(&logged("Enforce"), &fresh(), closed.clone());
    assert_eq!(
        (brief(&bad), operations(&bad), bad.state),
        (
            vec!["S3.AccessLogging accessLogging NeedsHuman(LogTargetUnusable): off".to_owned()],
            vec![],
            TargetState::Drifted
        )
    );
    assert!(
        bad.findings[0].message.contains("allow it s3:PutObject"),
        "{:?}",
        bad.findings
    );

    // Logs that are sent there already are lost just the same.
    let on = BucketObservation {
        access_logging: Some(Ok(Some(logging_to("central-logs")))),
        ..fresh()
    };
    let lost = plan_of(&logged("Enforce"), &on, closed.clone());
    let said = "accessLogging.bucket NeedsHuman(LogTargetUnusable): not writable for S3's logging service";
    assert_eq!(brief(&lost), [format!("S3.AccessLogging {said}")]);
    let audited = plan_of(&logged("Audit"), &on, closed);
    assert_eq!(
        (brief(&audited), audited.state),
        (
            vec!["S3.AccessLogging accessLogging.bucket Note: not writable for S3's logging service".to_owned()],
            TargetState::Compliant
        )
    );
    assert_eq!(
        brief(&plan_of(&logged("Enforce"), &on, log_bucket())),
        Vec::<String>::new()
    );
}

#[test]
fn a_target_that_cannot_be_read_stops_the_switch_and_not_what_is_on() {
    let on = BucketObservation {
        access_logging: Some(Ok(Some(logging_to("central-logs")))),
        ..fresh()
    };
    for (class, disposition) in [
        (
            ErrorClass::AccessDenied,
            Disposition::NeedsHuman(HumanReason::AccessDenied),
        ),
        // That nothing is logged is known; the rest is looked at again.
        (ErrorClass::Transient, Disposition::Repair),
    ] {
        let policy = BucketObservation {
            policy: Some(Err(failed("GetBucketPolicy", class, "x"))),
            ..log_bucket()
        };
        let encryption = BucketObservation {
            encryption: Some(Err(failed("GetBucketEncryption", class, "x"))),
            ..log_bucket()
        };
        let logging = BucketObservation {
            access_logging: Some(Err(failed("GetBucketLogging", class, "x"))),
            ..log_bucket()
        };
        let region = BucketObservation {
            region: Err(failed("HeadBucket", class, "x")),
            ..log_bucket()
        };
        for unread in [policy, encryption, logging, region] {
            let switch = plan_of(&logged("Enforce"), &fresh(), unread.clone());
            assert_eq!(
                (switch.findings[0].disposition, operations(&switch)),
                (disposition, vec![]),
                "{unread:?}"
            );
            let again = switch.findings.iter().any(|f| f.disposition == Disposition::Unobserved);
            assert_eq!(again, class == ErrorClass::Transient, "{unread:?}");
            let stays = plan_of(&logged("Enforce"), &on, unread);
            assert_eq!(brief(&stays), ["S3.AccessLogging accessLogging.bucket Note: unknown"]);
            assert_eq!(
                stays.state,
                TargetState::Compliant,
                "S3 took the target when it was set"
            );
        }
    }
}

/// Each new word in a finding is a write of the status.
#[test]
fn a_passing_failure_of_the_target_is_told_in_the_same_words_at_every_try() {
    let on = BucketObservation {
        access_logging: Some(Ok(Some(logging_to("central-logs")))),
        ..fresh()
    };
    let told = |seen: &BucketObservation, words: &str| {
        let mut error = failed("GetBucketPolicy", ErrorClass::Throttled, "SlowDown");
        words.clone_into(&mut error.message);
        let unread = BucketObservation {
            policy: Some(Err(error)),
            ..log_bucket()
        };
        plan_of(&logged("Enforce"), seen, unread).findings
    };
    for seen in [fresh(), on] {
        assert_eq!(told(&seen, "first"), told(&seen, "second"));
        assert_ne!(told(&seen, "first"), []);
    }
}

/// A server that lacks an API has no such rule either.
#[test]
fn what_the_server_lacks_is_not_held_against_the_log_bucket() {
    let lacks = |operation| failed(operation, ErrorClass::Unsupported, "NotImplemented");
    let seen = BucketObservation {
        encryption: Some(Err(lacks("GetBucketEncryption"))),
        access_logging: Some(Err(lacks("GetBucketLogging"))),
        ..log_bucket()
    };
    assert_eq!(obstacle(&seen), None);
}

/// S3 answers 403 to whoever expects another owner than the bucket has, and names the region all the same.
#[test]
fn a_log_bucket_of_another_account_takes_no_logs_and_the_message_says_what_to_look_at() {
    let denied = |operation| failed(operation, ErrorClass::AccessDenied, "AccessDenied");
    let foreign = BucketObservation {
        encryption: Some(Err(denied("GetBucketEncryption"))),
        policy: Some(Err(denied("GetBucketPolicy"))),
        public_access_block: Some(Err(denied("GetPublicAccessBlock"))),
        object_ownership: Some(Err(denied("GetBucketOwnershipControls"))),
        access_logging: Some(Err(denied("GetBucketLogging"))),
        ..log_bucket()
    };
    let switch = plan_of(&logged("Enforce"), &fresh(), foreign);
    let told = "S3.AccessLogging accessLogging NeedsHuman(AccessDenied): off";
    assert_eq!((brief(&switch), operations(&switch)), (vec![told.to_owned()], vec![]));
    let message = &switch.findings[0].message;
    assert!(message.contains("of the same account"), "{message}");
}

#[test]
fn an_open_log_bucket_and_one_that_logs_itself_are_reported() {
    let everybody = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": LOGS});
    let open = || with_statements(&[allow(&json!({})), everybody.clone()]);
    let on = BucketObservation {
        access_logging: Some(Ok(Some(logging_to("central-logs")))),
        ..fresh()
    };
    let said = plan_of(&logged("Enforce"), &on, open());
    let note =
        "S3.AccessLogging accessLogging.bucket.access Note: central-logs: bucketPolicy.Statement[1] names everybody";
    assert_eq!(
        (brief(&said), said.state),
        (vec![note.to_owned()], TargetState::Compliant)
    );
    let blocked = PublicAccessBlock {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
    let shut = BucketObservation {
        public_access_block: Some(Ok(Some(blocked))),
        ..open()
    };
    assert_eq!(brief(&plan_of(&logged("Enforce"), &on, shut)), Vec::<String>::new());
    let itself = BucketObservation {
        access_logging: Some(Ok(Some(logging_to("central-logs")))),
        ..log_bucket()
    };
    let said = brief(&plan_of(&logged("Enforce"), &on, itself));
    assert_eq!(
        said,
        ["S3.AccessLogging accessLogging.bucket.accessLogging Note: central-logs"]
    );
}

/// The verdict of the evaluator on one delivery, in some surroundings.
fn delivered(document: &PolicyDocument, surroundings: &[(&str, &str)]) -> Verdict {
    let policies = PolicySet {
        resource: Some(Policy::new(PolicyKind::Resource, "bucket", document).unwrap()),
        ..PolicySet::default()
    };
    let known = [
        ("aws:SecureTransport", "true"),
        ("aws:SourceAccount", "123456789012"),
        ("aws:SourceArn", ARN),
    ];
    let context: Context = known.iter().chain(surroundings).copied().collect();
    let log = format!("arn:aws:s3:::central-logs/s3/{LOG_NAME}");
    let service = Caller::parse(LOGGING).unwrap();
    let request = Request::new(service, "s3:PutObject", &log, Some("123456789012"), context).unwrap();
    decide(&request, &policies).verdict
}

fn any_statement() -> impl Strategy<Value = Value> {
    let principal = prop::sample::select(vec![
        json!("*"),
        json!({"Service": LOGGING}),
        json!({"Service": ["cloudtrail.amazonaws.com", LOGGING]}),
        json!({"AWS": "123456789012"}),
    ]);
    let action = prop::sample::select(vec![
        ("Action", json!("s3:*")),
        ("Action", json!(["s3:Get*", "s3:putobject"])),
        ("Action", json!("s3:GetObject")),
        ("NotAction", json!("s3:Put*")),
        ("NotAction", json!("s3:DeleteBucket")),
    ]);
    let resource = prop::sample::select(vec![
        ("Resource", json!("*")),
        ("Resource", json!(LOGS)),
        ("Resource", json!("arn:aws:s3:::central-logs/elb/*")),
        ("Resource", json!("arn:aws:s3:::central-logs/${aws:SourceAccount}/*")),
        ("NotResource", json!("arn:aws:s3:::central-logs/s3/*")),
        ("NotResource", json!("arn:aws:s3:::other/*")),
    ]);
    let condition = prop::sample::select(vec![
        json!({}),
        json!({"Bool": {"aws:SecureTransport": "false"}}),
        json!({"StringEquals": {"aws:SourceAccount": "123456789012"}}),
        json!({"StringNotEquals": {"aws:SourceAccount": "123456789012"}}),
        json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::fraud-*"}}),
        json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::other"}}),
        json!({"ArnNotLike": {"aws:SourceArn": "*"}}),
        json!({"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}),
        json!({"StringNotEqualsIfExists": {"aws:PrincipalServiceName": LOGGING}}),
        json!({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}),
        json!({"StringEquals": {"s3:x-amz-server-side-encryption": "AES256"}}),
        json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/admin"}}),
    ]);
    (prop::bool::weighted(0.4), principal, action, resource, condition).prop_map(
        |(deny, principal, (act, actions), (res, resources), condition)| {
            let effect = if deny { "Deny" } else { "Allow" };
            json!({"Effect": effect, "Principal": principal, act: actions, res: resources, "Condition": condition})
        },
    )
}

proptest! {
    /// A wrong alarm keeps logging off: where it is said that logs don't arrive, the evaluator lets none in, whatever else
    /// is in the request.
    #[test]
    fn what_is_said_to_keep_the_logs_out_does(list in prop::collection::vec(any_statement(), 1..4)) {
        let text = document(&list);
        let said = obstacle(&with_statements(&list));
        if said.is_some() {
            let read = PolicyDocument::parse(&text).unwrap();
            for surroundings in [
                &[][..],
                &[("aws:SourceVpce", "vpce-1"), ("s3:TlsVersion", "1.3")],
                &[("s3:x-amz-server-side-encryption", "AES256"), ("s3:TlsVersion", "1.1")],
            ] {
                prop_assert_ne!(delivered(&read, surroundings), Verdict::Allowed, "{:?} {}", said, text);
            }
        }
    }
}
