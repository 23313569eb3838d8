//! What the upload statements do to uploads, and how a bucket's key is changed under them.

use serde_json::{Value, json};

use super::simulated::*;
use crate::domain::action::Action;
use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::observed::{BucketObservation, ErrorClass};
use crate::domain::policy::ValidatedPolicy;

const REST: &str = ", transport: {mode: Ignore}, publicAccess: {mode: Ignore}, versioning: {mode: Ignore}";

fn kms(algorithm: &str, key: &str, uploads: &str, more: &str) -> ValidatedPolicy {
    controls(&format!(
        "encryption: {{algorithm: {algorithm}, kmsKeys: [{{region: eu-west-1, keyARN: '{key}'}}], uploads: {uploads}{more}}}{REST}"
    ))
}

fn sse_s3(uploads: &str) -> ValidatedPolicy {
    controls(&format!("encryption: {{algorithm: SSE-S3, uploads: {uploads}}}{REST}"))
}

/// The bucket after as many plans as it takes, two at most.
fn settled(policy: &ValidatedPolicy, seen: &BucketObservation) -> BucketObservation {
    let once = apply(seen, &plan(policy, seen));
    let twice = apply(&once, &plan(policy, &once));
    assert_eq!(
        operations(&plan(policy, &twice)),
        Vec::<&str>::new(),
        "settled after two plans"
    );
    twice
}

/// The verdict on an upload with these headers, under the bucket's policy.
fn upload(seen: &BucketObservation, headers: &Value) -> &'static str {
    let document = |text: &str| PolicyDocument::parse(text).unwrap();
    let identity =
        document(r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#);
    let policies = PolicySet {
        identity: vec![Policy::new(PolicyKind::Identity, "identity", &identity).unwrap()],
        resource: stored(seen).map(|t| Policy::new(PolicyKind::Resource, "bucket", &document(t)).unwrap()),
        ..PolicySet::default()
    };
    let mut context = Context::new();
    for (key, value) in headers.as_object().unwrap() {
        context.add(
            &format!("s3:x-amz-server-side-encryption{key}"),
            value.as_str().unwrap(),
        );
    }
    let caller = Caller::parse("arn:aws:sts::123456789012:assumed-role/train/s").unwrap();
    let request = Request::new(
        caller,
        "s3:PutObject",
        &format!("{ARN}/x"),
        Some("123456789012"),
        context,
    )
    .unwrap();
    decide(&request, &policies).verdict.as_str()
}

fn letters(seen: &BucketObservation) -> String {
    const KEY_ID: &str = "-aws-kms-key-id";
    [
        json!({}),
        json!({"": "AES256"}),
        json!({"": "aws:kms"}),
        json!({"": "aws:kms", KEY_ID: KEY}),
        json!({"": "aws:kms", KEY_ID: OTHER_KEY}),
        json!({"": "aws:kms:dsse", KEY_ID: KEY}),
        json!({"-customer-algorithm": "AES256"}),
    ]
    .iter()
    .map(|headers| if upload(seen, headers) == "Allowed" { '+' } else { '-' })
    .collect()
}

#[test]
fn uploads_are_refused_as_the_matrix_says() {
    // none, AES256, kms without a key, kms + ours, kms + another, dsse + ours, SSE-C
    let cases = [
        (kms("SSE-KMS", KEY, "Allow", ""), "+++++++"),
        (kms("SSE-KMS", KEY, "RejectWeaker", ""), "+-++-+-"),
        (kms("SSE-KMS", KEY, "RejectWeaker", ", customerKeys: Allow"), "+-++-++"),
        (kms("SSE-KMS", KEY, "RequireKey", ""), "+--+-+-"),
        (kms("DSSE-KMS", KEY, "RejectWeaker", ""), "+----+-"),
        (sse_s3("RejectWeaker"), "++++++-"),
    ];
    for (policy, expected) in cases {
        assert_eq!(letters(&settled(&policy, &fresh())), expected);
    }
}

#[test]
fn a_re_keyed_object_is_refused_like_an_upload() {
    let seen = settled(&kms("SSE-KMS", KEY, "RejectWeaker", ""), &fresh());
    let text: Value = serde_json::from_str(stored(&seen).unwrap()).unwrap();
    assert_eq!(
        text["Statement"][1]["Action"],
        json!(["s3:PutObject", "s3:UpdateObjectEncryption"])
    );
}

/// The keys that our statement lets in, and the default key that the plan would set.
fn step(policy: &ValidatedPolicy, seen: &BucketObservation) -> (Vec<&'static str>, BucketObservation) {
    let plan = plan(policy, seen);
    (operations(&plan), apply(seen, &plan))
}

fn keys(seen: &BucketObservation) -> Value {
    let text: Value = serde_json::from_str(stored(seen).unwrap()).unwrap();
    text["Statement"][1]["Condition"]["StringNotEquals"]["s3:x-amz-server-side-encryption-aws-kms-key-id"].clone()
}

#[test]
fn a_key_is_changed_without_a_moment_in_which_uploads_are_refused() {
    let before = settled(&kms("SSE-KMS", OTHER_KEY, "RejectWeaker", ""), &fresh());
    let policy = kms("SSE-KMS", KEY, "RejectWeaker", "");

    let (first, both) = step(&policy, &before);
    assert_eq!(
        first,
        ["PutBucketPolicy", "PutBucketEncryption"],
        "both keys are let in before the default is switched"
    );
    assert_eq!(keys(&both), json!([KEY, OTHER_KEY]));
    let (second, after) = step(&policy, &both);
    assert_eq!((second, keys(&after)), (vec!["PutBucketPolicy"], json!(KEY)));
    assert_eq!(brief(&plan(&policy, &after)), Vec::<String>::new());
}

#[test]
fn a_default_key_that_somebody_else_set_is_not_let_in() {
    let policy = kms("SSE-KMS", KEY, "RejectWeaker", "");
    let right = settled(&policy, &fresh());
    let tampered = BucketObservation {
        encryption: encrypted(vec![rule("aws:kms", Some(OTHER_KEY), None)]).encryption,
        ..right.clone()
    };
    let (operations, after) = step(&policy, &tampered);
    assert_eq!(operations, ["PutBucketEncryption"]);
    assert_eq!(keys(&after), json!(KEY));
}

#[test]
fn the_first_key_statement_waits_for_the_default_key() {
    let policy = kms("SSE-KMS", KEY, "RejectWeaker", "");
    for stored_key in [Some(OTHER_KEY), Some("alias/data"), None] {
        let seen = encrypted(vec![rule("aws:kms", stored_key, None)]);
        let first = plan(&policy, &seen);
        let waiting =
            "S3.UploadEncryption bucketPolicy.AidpDenyWrongKmsKey Repair: no statement denies them".to_owned();
        assert!(brief(&first).contains(&waiting), "{:?}", brief(&first));
        assert_eq!(letters(&settled(&policy, &seen)), "+-++-+-");
    }
}

#[test]
fn the_default_key_stays_while_the_statement_cannot_be_changed() {
    let before = settled(&kms("SSE-KMS", OTHER_KEY, "RejectWeaker", ""), &fresh());
    let policy = kms("SSE-KMS", KEY, "RejectWeaker", "");
    let mut text: Value = serde_json::from_str(stored(&before).unwrap()).unwrap();
    let dead = json!({"Effect": "Allow", "Principal": {"AWS": "AROAEXAMPLEEXAMPLE123"}, "Action": "s3:GetObject", "Resource": "*"});
    text["Statement"].as_array_mut().unwrap().push(dead);
    let denied = failed("GetBucketPolicy", ErrorClass::AccessDenied, "AccessDenied");
    let late = failed("GetBucketPolicy", ErrorClass::Transient, "503");
    for read in [
        Ok(Some(text.to_string())),
        Ok(Some("{".to_owned())),
        Err(denied),
        Err(late),
    ] {
        let seen = BucketObservation {
            policy: Some(read),
            ..before.clone()
        };
        assert_eq!(operations(&plan(&policy, &seen)), Vec::<&str>::new());
    }
}

#[test]
fn uploads_allow_takes_our_statements_away_again() {
    let before = settled(&kms("SSE-KMS", KEY, "RequireKey", ""), &fresh());
    let after = settled(&kms("SSE-KMS", KEY, "Allow", ""), &before);
    assert_eq!(stored(&after), None, "they were the whole policy");
}

#[test]
fn an_audited_control_leaves_our_statements_as_they_are() {
    let before = settled(&kms("SSE-KMS", KEY, "RequireKey", ""), &fresh());
    for uploads in ["Allow", "RejectWeaker", "RequireKey"] {
        let audit = kms("SSE-KMS", KEY, uploads, ", mode: Audit");
        assert_eq!(operations(&plan(&audit, &before)), Vec::<&str>::new());
    }
}

#[test]
fn the_same_statement_of_somebody_else_is_enough() {
    let policy = kms("SSE-KMS", KEY, "RejectWeaker", "");
    let ours = settled(&policy, &fresh());
    let mut text: Value = serde_json::from_str(stored(&ours).unwrap()).unwrap();
    for (i, statement) in text["Statement"].as_array_mut().unwrap().iter_mut().enumerate() {
        statement["Sid"] = format!("Terraform{i}").into();
    }
    let theirs = |text: &Value| BucketObservation {
        policy: Some(Ok(Some(text.to_string()))),
        ..ours.clone()
    };
    assert_eq!(brief(&plan(&policy, &theirs(&text))), Vec::<String>::new());

    text["Statement"][0]["Condition"]["NumericEquals"] = json!({});
    let written = operations(&plan(&policy, &theirs(&text)));
    assert_eq!(written, ["PutBucketPolicy"], "an operator that compares nothing");
}

#[test]
fn a_plan_writes_the_policy_before_the_default_encryption() {
    let policy = kms("SSE-KMS", KEY, "RejectWeaker", "");
    let plan = plan(&policy, &fresh());
    let [first, second] = plan.actions.as_slice() else {
        panic!("two writes")
    };
    assert!(matches!(first.action, Action::PutBucketPolicy { .. }));
    assert!(matches!(second.action, Action::PutBucketEncryption { .. }));
}
