//! Which statements of others refuse what ours against weaker uploads do, held against the evaluator as well.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::EncryptionAlgorithm;
use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::s3::statement::{deny_kms_without_key_id, deny_sse_c, deny_wrong_kms_key, deny_wrong_sse_algorithm};

const BUCKET: &str = "arn:aws:s3:::train-data";
const OBJECTS: &str = "arn:aws:s3:::train-data/*";
const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111";
const OTHER_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/22222222-2222-2222-2222-222222222222";
const SSE: &str = "s3:x-amz-server-side-encryption";
const SSE_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const SSE_C: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

/// Our statements by what they are about: the algorithm (at least KMS), the key, the key's id, the client's own keys.
fn ours() -> [Statement; 4] {
    [
        deny_wrong_sse_algorithm("A", BUCKET, EncryptionAlgorithm::SseKms),
        deny_wrong_kms_key("B", BUCKET, &[KEY.to_owned(), OTHER_KEY.to_owned()]),
        deny_kms_without_key_id("C", BUCKET),
        deny_sse_c("D", BUCKET),
    ]
}

fn document(statements: &Value) -> PolicyDocument {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    PolicyDocument::parse(&text).unwrap()
}

fn deny(action: &Value, condition: &Value) -> Value {
    json!({"Effect": "Deny", "Principal": "*", "Action": action, "Resource": OBJECTS, "Condition": condition})
}

/// Whether the statements refuse what each of ours does.
fn like_ours(statements: &Value) -> [bool; 4] {
    let theirs = document(statements).statements;
    ours().map(|wanted| refused_like(&theirs, BUCKET, &wanted))
}

#[test]
fn who_refuses_more_than_ours_refuses_what_ours_does() {
    let put = json!("s3:PutObject");
    let both = json!(["s3:PutObject", "s3:UpdateObjectEncryption"]);
    let not = |operator: &str, key: &str, values: Value| json!({operator: {key: values}});
    let cases = [
        (
            "the textbook's algorithm",
            json!([deny(&put, &not("StringNotEquals", SSE, json!("aws:kms")))]),
            [true, false, false, false],
        ),
        (
            "the same, if it exists",
            json!([deny(
                &put,
                &not("stringnotequalsifexists", SSE, json!(["aws:kms:dsse", "aws:kms"]))
            )]),
            [true, false, false, false],
        ),
        (
            "an algorithm that is too weak let in",
            json!([deny(&put, &not("StringNotEquals", SSE, json!(["aws:kms", "AES256"])))]),
            [false; 4],
        ),
        (
            "a pattern",
            json!([deny(&put, &not("StringNotLike", SSE, json!("aws:kms*")))]),
            [false; 4],
        ),
        (
            "the textbook's key, which a missing id is not",
            json!([deny(&both, &not("StringNotEquals", SSE_KEY, json!(KEY)))]),
            [false, true, true, false],
        ),
        (
            "uploads alone, and objects can be re-keyed",
            json!([deny(&put, &not("StringNotEquals", SSE_KEY, json!(KEY)))]),
            [false, false, true, false],
        ),
        (
            "a third key let in",
            json!([deny(
                &both,
                &not(
                    "StringNotEquals",
                    SSE_KEY,
                    json!([KEY, "arn:aws:kms:eu-west-1:1:key/3"])
                )
            )]),
            [false, false, true, false],
        ),
        (
            "no upload without a key id",
            json!([deny(&json!("s3:Put*"), &json!({"Null": {SSE_KEY: true}}))]),
            [false, false, true, false],
        ),
        (
            "no keys of the client's own, in two halves",
            json!([
                {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "NotResource": "arn:aws:s3:::train-data/a/*",
                 "Condition": {"Null": {SSE_C: "false"}}},
                {"Effect": "Deny", "Principal": {"AWS": "*"}, "NotAction": "s3:Get*", "Resource": "arn:aws:s3:::train-data/a*",
                 "Condition": {"null": {SSE_C: ["False"]}}},
            ]),
            [false, false, false, true],
        ),
        ("no uploads", json!([deny(&json!("*"), &json!({}))]), [true; 4]),
        (
            "over plaintext only",
            json!([deny(&json!("*"), &json!({"Bool": {"aws:SecureTransport": "false"}}))]),
            [false; 4],
        ),
        (
            "half of the conditions and one more",
            json!([deny(
                &put,
                &json!({"Null": {SSE_C: "false"}, "StringEquals": {"aws:PrincipalAccount": "1"}})
            )]),
            [false; 4],
        ),
        (
            "a variable",
            json!([deny(
                &put,
                &not("StringNotEquals", SSE, json!("${aws:PrincipalTag/sse}"))
            )]),
            [false; 4],
        ),
        (
            "nothing at all to differ from",
            json!([deny(&put, &not("StringNotEquals", SSE, json!([])))]),
            [false; 4],
        ),
        (
            "an account",
            json!([{"Effect": "Deny", "Principal": {"AWS": "123456789012"}, "Action": "s3:*", "Resource": OBJECTS}]),
            [false; 4],
        ),
        (
            "Allow",
            json!([{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": OBJECTS}]),
            [false; 4],
        ),
    ];
    for (name, statements, expected) in cases {
        assert_eq!(like_ours(&statements), expected, "{name}");
    }
}

fn any_condition() -> impl Strategy<Value = Value> {
    let operator = prop::sample::select(
        &[
            "StringNotEquals",
            "StringNotEquals",
            "StringNotEqualsIfExists",
            "StringEquals",
            "StringNotLike",
            "StringNotEqualsIgnoreCase",
            "ForAllValues:StringNotEquals",
            "ForAnyValue:StringNotEquals",
            "Null",
            "Null",
        ][..],
    );
    let values = prop::sample::subsequence(
        &[
            "aws:kms",
            "aws:kms:dsse",
            "AES256",
            KEY,
            OTHER_KEY,
            "true",
            "false",
            "aws:*",
        ][..],
        0..4,
    );
    (operator, prop::sample::select(&[SSE, SSE_KEY, SSE_C][..]), values)
        .prop_map(|(operator, key, values)| json!({operator: {key: values}}))
}

fn any_statement() -> impl Strategy<Value = Value> {
    let own = (0..4_usize).prop_map(|i| Value::Object(ours()[i].raw().clone())["Condition"].clone());
    let condition = prop_oneof![2 => own, 6 => any_condition(), 1 => Just(json!({}))];
    let more = prop::option::weighted(0.4, any_condition());
    let action = prop::sample::select(vec![
        json!("s3:PutObject"),
        json!(["s3:PutObject", "s3:UpdateObjectEncryption"]),
        json!("s3:*"),
    ]);
    (condition, more, action).prop_map(|(mut condition, more, action)| {
        for (operator, keys) in more.iter().filter_map(Value::as_object).flatten() {
            condition
                .as_object_mut()
                .unwrap()
                .insert(operator.clone(), keys.clone());
        }
        deny(&action, &condition)
    })
}

fn refuses(document: &PolicyDocument, action: &str, headers: &[(&str, &str)]) -> bool {
    let everything = PolicyDocument::parse(
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
    )
    .unwrap();
    let policies = PolicySet {
        identity: vec![Policy::new(PolicyKind::Identity, "identity", &everything).unwrap()],
        resource: Some(Policy::new(PolicyKind::Resource, "bucket", document).unwrap()),
        ..PolicySet::default()
    };
    let context: Context = headers.iter().copied().collect();
    let caller = Caller::parse("arn:aws:sts::123456789012:assumed-role/train/s").unwrap();
    let request = Request::new(caller, action, &format!("{BUCKET}/x"), Some("123456789012"), context).unwrap();
    decide(&request, &policies).verdict == Verdict::ExplicitlyDenied
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_to_be_refused_like_ours_is_refused(list in prop::collection::vec(any_statement(), 1..3)) {
        let theirs = document(&json!(list));
        for wanted in ours().iter().filter(|wanted| refused_like(&theirs.statements, BUCKET, wanted)) {
            let alone = PolicyDocument::empty().with_statements(vec![wanted.clone()]);
            for algorithm in [None, Some("AES256"), Some("aws:kms"), Some("aws:kms:dsse"), Some("aws:new")] {
                for key in [None, Some(KEY), Some(OTHER_KEY), Some("arn:aws:kms:eu-west-1:1:key/3"), Some("alias/x")] {
                    for own in [None, Some("AES256")] {
                        let headers = [(SSE, algorithm), (SSE_KEY, key), (SSE_C, own)];
                        let headers: Vec<_> = headers.iter().filter_map(|(key, value)| Some((*key, (*value)?))).collect();
                        for action in ["s3:PutObject", "s3:UpdateObjectEncryption"] {
                            if refuses(&alone, action, &headers) {
                                prop_assert!(refuses(&theirs, action, &headers), "{action} {headers:?} {}", theirs.to_json());
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The property above would hold of a verdict that is never given.
#[test]
fn the_statements_that_are_tried_are_often_enough_said_to_refuse_like_ours() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut often = [0; 4];
    for _ in 0..500 {
        let list = prop::collection::vec(any_statement(), 1..3)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        for (count, is) in often.iter_mut().zip(like_ours(&json!(list))) {
            *count += usize::from(is);
        }
    }
    assert!(often.iter().all(|count| *count > 20), "{often:?}");
}
