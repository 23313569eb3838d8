//! What our documents do, by the evaluator.

use serde_json::{Value, json};

use super::*;
use crate::domain::document::PolicyKind;
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::iam::simulated::{ISSUER, SPEC, policy, policy_of, settings};

const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/fraud-trainer/pod";
const BUCKET: &str = "arn:aws:s3:::fraud-data";
const OBJECT: &str = "arn:aws:s3:::fraud-data/curated/part-0";

/// What a role with a Deny of `s3:PutObject` and `s3:DeleteObject` can still do as soon as anything else allows it: the
/// action, and the resource it is about.
pub(in crate::domain::iam) const LEFT_OPEN: [(&str, &str); 21] = [
    ("s3:DeleteObjectVersion", OBJECT),
    ("s3:PutObjectTagging", OBJECT),
    ("s3:DeleteObjectTagging", OBJECT),
    ("s3:PutObjectAcl", OBJECT),
    ("s3:AbortMultipartUpload", OBJECT),
    ("s3:RestoreObject", OBJECT),
    ("s3:PutObjectRetention", OBJECT),
    ("s3:PutObjectLegalHold", OBJECT),
    ("s3:BypassGovernanceRetention", OBJECT),
    ("s3:ReplicateObject", OBJECT),
    ("s3:ReplicateDelete", OBJECT),
    ("s3:ObjectOwnerOverrideToBucketOwner", OBJECT),
    ("s3:UpdateObjectEncryption", OBJECT),
    ("s3:PutBucketPolicy", BUCKET),
    ("s3:DeleteBucketPolicy", BUCKET),
    ("s3:PutEncryptionConfiguration", BUCKET),
    ("s3:PutBucketVersioning", BUCKET),
    ("s3:PutLifecycleConfiguration", BUCKET),
    ("s3:PutReplicationConfiguration", BUCKET),
    ("s3:PutBucketPublicAccessBlock", BUCKET),
    ("s3:DeleteBucket", BUCKET),
];

fn compiled(kind: PolicyKind, document: &PolicyDocument) -> Policy {
    document.check(kind).unwrap();
    Policy::new(kind, "p", document).unwrap()
}

fn identity(statements: &Value) -> Policy {
    let document = json!({"Version": "2012-10-17", "Statement": statements});
    compiled(
        PolicyKind::Identity,
        &PolicyDocument::parse(&document.to_string()).unwrap(),
    )
}

fn ours() -> Policy {
    let policy = policy();
    compiled(
        PolicyKind::Identity,
        &documents(&policy, &policy.roles[0]).inline.unwrap().parsed,
    )
}

/// Somebody has attached the widest policy there is beside it.
fn beside_everything(deny: Policy) -> PolicySet {
    PolicySet {
        identity: vec![
            deny,
            identity(&json!({"Effect": "Allow", "Action": "*", "Resource": "*"})),
        ],
        ..PolicySet::default()
    }
}

fn alone() -> PolicySet {
    PolicySet {
        identity: vec![ours()],
        ..PolicySet::default()
    }
}

fn verdict_with(policies: &PolicySet, action: &str, resource: &str, keys: &[(&str, &str)]) -> Verdict {
    let mut context = Context::new();
    context.add("aws:SecureTransport", "true");
    for (key, value) in keys {
        context.add(key, value);
    }
    let request = Request::new(Caller::parse(SESSION).unwrap(), action, resource, None, context).unwrap();
    decide(&request, policies).verdict
}

fn verdict(policies: &PolicySet, action: &str, resource: &str) -> Verdict {
    verdict_with(policies, action, resource, &[])
}

#[test]
fn what_the_textbook_deny_leaves_open_is_closed_by_ours() {
    let textbook = beside_everything(identity(&json!({
        "Effect": "Deny", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": [BUCKET, format!("{BUCKET}/*")],
    })));
    let hardened = beside_everything(ours());
    for (action, resource) in LEFT_OPEN {
        assert_eq!(verdict(&textbook, action, resource), Verdict::Allowed, "{action}");
        assert_eq!(
            verdict(&hardened, action, resource),
            Verdict::ExplicitlyDenied,
            "{action}"
        );
    }
    for action in ["s3:PutObject", "s3:DeleteObject"] {
        assert_eq!(
            verdict(&textbook, action, OBJECT),
            Verdict::ExplicitlyDenied,
            "{action}"
        );
        assert_eq!(
            verdict(&hardened, action, OBJECT),
            Verdict::ExplicitlyDenied,
            "{action}"
        );
    }
}

#[test]
fn whatever_else_is_attached_the_data_stays_readable_and_nothing_more() {
    let hardened = beside_everything(ours());
    for (action, resource) in [
        ("s3:GetObject", OBJECT),
        ("s3:GetObjectVersion", OBJECT),
        ("s3:ListBucket", BUCKET),
        ("s3:GetBucketLocation", BUCKET),
    ] {
        assert_eq!(verdict(&hardened, action, resource), Verdict::Allowed, "{action}");
    }
    for (action, resource) in [
        (
            "s3:GetDataAccess",
            "arn:aws:s3:eu-west-1:123456789012:access-grants/default",
        ),
        (
            "s3express:CreateSession",
            "arn:aws:s3express:eu-west-1:123456789012:bucket/b--az--x-s3",
        ),
        (
            "s3:PutObject",
            "arn:aws:s3:eu-west-1:999999999999:accesspoint/ap/object/k",
        ),
        (
            "s3:DeleteAccessPoint",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap",
        ),
        (
            "s3:PutObject",
            "arn:aws:s3::123456789012:accesspoint/mrap.mrap/object/k",
        ),
        (
            "s3-object-lambda:WriteGetObjectResponse",
            "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/l",
        ),
        (
            "kms:ScheduleKeyDeletion",
            "arn:aws:kms:eu-west-1:123456789012:key/1234abcd",
        ),
        ("kms:CreateGrant", "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"),
        ("sts:AssumeRole", "arn:aws:iam::123456789012:role/admin"),
        // Not made yet: what AWS adds tomorrow is denied today.
        ("s3:PutObjectSomethingNew", OBJECT),
    ] {
        assert_eq!(
            verdict(&hardened, action, resource),
            Verdict::ExplicitlyDenied,
            "{action}"
        );
    }
    // The job keeps its own buckets and everything that is not S3.
    assert_eq!(
        verdict(&hardened, "s3:PutObject", "arn:aws:s3:::checkpoints/k"),
        Verdict::Allowed
    );
    assert_eq!(
        verdict(
            &hardened,
            "logs:PutLogEvents",
            "arn:aws:logs:eu-west-1:123456789012:log-group:g:log-stream:s"
        ),
        Verdict::Allowed
    );
}

#[test]
fn on_its_own_the_role_reads_its_prefixes_and_nothing_else() {
    let alone = alone();
    let list = |prefix: &str| verdict_with(&alone, "s3:ListBucket", BUCKET, &[("s3:prefix", prefix)]);
    assert_eq!(verdict(&alone, "s3:GetObject", OBJECT), Verdict::Allowed);
    assert_eq!(
        verdict(&alone, "s3:GetObject", "arn:aws:s3:::fraud-features/any"),
        Verdict::Allowed
    );
    assert_eq!(list("curated/"), Verdict::Allowed);
    assert_eq!(list("curated/2026/"), Verdict::Allowed);
    assert_eq!(
        verdict(&alone, "s3:ListBucket", "arn:aws:s3:::fraud-features"),
        Verdict::Allowed
    );

    assert_eq!(
        verdict(&alone, "s3:GetObject", "arn:aws:s3:::fraud-data/raw/x"),
        Verdict::ImplicitlyDenied
    );
    assert_eq!(
        verdict(&alone, "s3:GetObject", "arn:aws:s3:::fraud-data-copy/curated/x"),
        Verdict::ImplicitlyDenied
    );
    assert_eq!(list(""), Verdict::ImplicitlyDenied);
    assert_eq!(list("raw/"), Verdict::ImplicitlyDenied);
    assert_eq!(verdict(&alone, "s3:ListBucket", BUCKET), Verdict::ImplicitlyDenied);
    assert_eq!(
        verdict(&alone, "s3:GetObjectTagging", OBJECT),
        Verdict::ImplicitlyDenied
    );
}

#[test]
fn with_object_tags_untagged_objects_are_refused() {
    let spec = SPEC.replace("prefixes: ['curated/']", "objectTags: [{key: class, value: train}]");
    let policy = policy_of(&spec, &settings());
    let inline = documents(&policy, &policy.roles[0]).inline.unwrap();
    let tagged = PolicySet {
        identity: vec![compiled(PolicyKind::Identity, &inline.parsed)],
        ..PolicySet::default()
    };
    let get = |keys: &[(&str, &str)]| verdict_with(&tagged, "s3:GetObject", OBJECT, keys);
    assert_eq!(get(&[("s3:ExistingObjectTag/class", "train")]), Verdict::Allowed);
    assert_eq!(
        get(&[("s3:ExistingObjectTag/class", "test")]),
        Verdict::ImplicitlyDenied
    );
    assert_eq!(get(&[]), Verdict::ImplicitlyDenied);
}

#[test]
fn plaintext_requests_are_refused() {
    let mut context = Context::new();
    context.add("aws:SecureTransport", "false");
    let request = Request::new(Caller::parse(SESSION).unwrap(), "s3:GetObject", OBJECT, None, context).unwrap();
    assert_eq!(decide(&request, &alone()).verdict, Verdict::ExplicitlyDenied);
}

#[test]
fn the_key_decrypts_through_s3_of_its_region_only() {
    let key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd";
    // A key's own policy must let the account's identity policies decide.
    let delegated = json!({"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "kms:*", "Resource": "*"}});
    let policies = PolicySet {
        resource: Some(compiled(
            PolicyKind::Resource,
            &PolicyDocument::parse(&delegated.to_string()).unwrap(),
        )),
        ..alone()
    };
    let via = |service: &str| verdict_with(&policies, "kms:Decrypt", key, &[("kms:ViaService", service)]);
    assert_eq!(via("s3.eu-west-1.amazonaws.com"), Verdict::Allowed);
    assert_eq!(via("s3.us-east-1.amazonaws.com"), Verdict::ImplicitlyDenied);
    assert_eq!(via("ec2.eu-west-1.amazonaws.com"), Verdict::ImplicitlyDenied);
    assert_eq!(verdict(&policies, "kms:Decrypt", key), Verdict::ImplicitlyDenied);
    assert_eq!(
        verdict(&policies, "kms:GenerateDataKey", key),
        Verdict::ImplicitlyDenied
    );
}

#[test]
fn the_trust_lets_in_the_listed_service_account_with_our_audience_and_nobody_else() {
    let policy = policy();
    let trust = documents(&policy, &policy.roles[0]).trust.unwrap().parsed;
    let policies = PolicySet {
        resource: Some(compiled(PolicyKind::Trust, &trust)),
        ..PolicySet::default()
    };
    let role = policy.role_arn(&policy.roles[0].name);
    let assume = |provider: &str, sub: &str, aud: &str| {
        let mut context = Context::new();
        context.add(&format!("{ISSUER}:sub"), sub);
        context.add(&format!("{ISSUER}:aud"), aud);
        let caller = Caller::parse(&format!("arn:aws:iam::123456789012:oidc-provider/{provider}")).unwrap();
        let request = Request::new(caller, "sts:AssumeRoleWithWebIdentity", &role, None, context).unwrap();
        decide(&request, &policies).verdict
    };
    let sub = "system:serviceaccount:ml:trainer";
    assert_eq!(assume(ISSUER, sub, AUDIENCE), Verdict::Allowed);
    assert_eq!(
        assume(ISSUER, "system:serviceaccount:ml:other", AUDIENCE),
        Verdict::ImplicitlyDenied
    );
    assert_eq!(
        assume(ISSUER, "system:serviceaccount:ml:trainer2", AUDIENCE),
        Verdict::ImplicitlyDenied
    );
    assert_eq!(assume(ISSUER, sub, "vault"), Verdict::ImplicitlyDenied);
    assert_eq!(assume("other.example.com", sub, AUDIENCE), Verdict::ImplicitlyDenied);
}
