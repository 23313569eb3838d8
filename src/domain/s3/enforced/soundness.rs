//! What is said to be enforced, held against the evaluator: it knows nothing of classes of requests, and decides one at a
//! time. If a set of statements is said to refuse all requests of a kind, it must refuse each that is tried.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::document::equivalence::{equivalent, same_meaning};
use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::principal::Caller;

const BUCKET: &str = "arn:aws:s3:::train-data";
const ROLE: &str = "arn:aws:iam::123456789012:role/aidp/trainer";

const CALLERS: [&str; 6] = [
    ROLE,
    "arn:aws:sts::123456789012:assumed-role/etl/session",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::999999999999:role/partner",
    "logging.s3.amazonaws.com",
    "*",
];

/// Actions with what they are done to, reads first.
const REQUESTS: [(&str, &str); 10] = [
    ("s3:GetObject", "/a/rows"),
    ("s3:GetObjectTagging", "/b/rows"),
    ("s3:ListBucket", ""),
    ("s3:PutObject", "/a/rows"),
    ("s3:PutObject", "/rows"),
    ("s3:DeleteObjectVersion", "/b/rows"),
    ("s3:PutObjectTagging", "/a/b/rows"),
    ("s3:BypassGovernanceRetention", "/a/rows"),
    ("s3:PutBucketPolicy", ""),
    ("s3:DeleteBucket", ""),
];

const SURROUNDINGS: [&[(&str, &str)]; 4] = [
    &[],
    &[("aws:SourceVpce", "vpce-1"), ("aws:SourceIp", "10.0.0.1")],
    &[("aws:SourceIp", "54.0.0.1"), ("aws:PrincipalOrgID", "o-1")],
    &[("aws:ViaAWSService", "true"), ("aws:SourceVpce", "vpce-2")],
];

fn pick(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => prop::sample::select(values).prop_map(Value::from),
        1 => prop::sample::subsequence(values, 1..=2).prop_map(Value::from),
    ]
}

/// Every operator there is, on keys and values that may or may not be of its kind.
fn any_pair() -> impl Strategy<Value = Value> {
    let operator = prop::sample::select(
        &[
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
            "NumericEquals",
            "NumericNotEquals",
            "NumericLessThan",
            "NumericLessThanEquals",
            "NumericGreaterThan",
            "NumericGreaterThanEquals",
            "DateEquals",
            "DateNotEquals",
            "DateLessThan",
            "Bool",
            "BinaryEquals",
            "IpAddress",
            "NotIpAddress",
            "ArnEquals",
            "ArnNotEquals",
            "ArnLike",
            "ArnNotLike",
        ][..],
    );
    let spelled = (operator, 0..5_usize).prop_map(|(operator, form)| match form {
        0 => format!("{operator}IfExists"),
        1 => format!("ForAllValues:{operator}"),
        2 => format!("ForAnyValue:{operator}"),
        3 => operator.to_ascii_uppercase(),
        _ => operator.to_owned(),
    });
    let key = prop::sample::select(
        &[
            "aws:SecureTransport",
            "AWS:securetransport",
            "s3:TlsVersion",
            "aws:PrincipalArn",
            "aws:SourceVpce",
            "aws:CurrentTime",
        ][..],
    );
    let value = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!(1.2)),
        prop::sample::select(
            &[
                "true",
                "false",
                "False",
                "",
                "*",
                "f*",
                "fals?",
                "1",
                "1.1",
                "1.2",
                "1.3",
                "1.?",
                "0",
                ROLE,
                "arn:*",
                "arn:aws:iam::*:role/*",
                "0.0.0.0/0",
                "2030-01-01",
                "${aws:SecureTransport}",
                "${aws:username}",
            ][..]
        )
        .prop_map(Value::from),
    ];
    (spelled, key, prop::collection::vec(value, 0..3))
        .prop_map(|(operator, key, values)| json!({operator: {key: values}}))
}

fn any_condition() -> impl Strategy<Value = Value> {
    let transport = prop::sample::select(vec![
        json!({"Bool": {"aws:SecureTransport": "false"}}),
        json!({"bool": {"AWS:securetransport": false}}),
        json!({"BoolIfExists": {"aws:SecureTransport": ["false"]}}),
        json!({"StringNotEquals": {"aws:SecureTransport": "true"}}),
        json!({"StringNotEqualsIfExists": {"aws:SecureTransport": ["true", "True"]}}),
        json!({"StringLike": {"aws:SecureTransport": "f*"}}),
        json!({"Null": {"aws:SecureTransport": "false"}}),
        json!({"ArnEquals": {"aws:SecureTransport": "false"}}),
        json!({"ArnNotEquals": {"aws:PrincipalArn": "*"}}),
        json!({"Bool": {"aws:SecureTransport": "true"}}),
        json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        json!({"NumericLessThan": {"s3:TlsVersion": 1.3}}),
        json!({"NumericLessThanEquals": {"s3:TlsVersion": ["1.1"]}}),
        json!({"NumericNotEquals": {"s3:TlsVersion": ["1.2", "1.3"]}}),
        json!({"NumericLessThanIfExists": {"s3:TlsVersion": "1.2"}}),
        json!({"StringEquals": {"s3:TlsVersion": ["1.0", "1.1", "1.2"]}}),
        json!({"ArnEquals": {"aws:PrincipalArn": ROLE}}),
        json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/aidp/*"}}),
        json!({"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}),
        json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/admin"}}),
    ]);
    let more = prop::sample::select(vec![
        json!({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}),
        json!({"StringEqualsIfExists": {"aws:SourceVpce": "vpce-1"}}),
        json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        json!({"BoolIfExists": {"aws:ViaAWSService": "false"}}),
        json!({"Bool": {"aws:PrincipalIsAWSService": "false"}}),
        json!({"StringEquals": {"aws:PrincipalAccount": "123456789012"}}),
        json!({"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        json!({"Null": {"aws:PrincipalOrgID": "true"}}),
    ]);
    let one = prop_oneof![1 => Just(json!({})), 12 => transport, 8 => any_pair()];
    (one, prop::option::weighted(0.15, more)).prop_map(|(mut condition, more)| {
        if let (Some(all), Some(Value::Object(more))) = (condition.as_object_mut(), more) {
            for (operator, keys) in more {
                all.entry(operator).or_insert(keys);
            }
        }
        condition
    })
}

/// Mostly Denies that come near to covering everything, so that unions of them often do.
fn any_statement() -> impl Strategy<Value = Value> {
    let principal = prop_oneof![
        8 => Just(json!("*")),
        4 => Just(json!({"AWS": "*"})),
        1 => pick(&["*", "123456789012", ROLE]).prop_map(|v| json!({"AWS": v})),
        1 => Just(json!({"Service": "logging.s3.amazonaws.com"})),
    ];
    let action = prop_oneof![
        6 => prop::sample::select(&["s3:*", "*", "S3:?*"][..]).prop_map(|a| ("Action", json!(a))),
        3 => pick(&["s3:Get*", "s3:Put*", "s3:List*", "s3:Delete*", "s3:GetObject"]).prop_map(|a| ("Action", a)),
        3 => pick(&["s3:Get*", "s3:GetObject", "s3:List*", "iam:*"]).prop_map(|a| ("NotAction", a)),
        1 => Just(("NotAction", json!(READ_ACTIONS))),
    ];
    let resource = prop_oneof![
        6 => Just(("Resource", json!([BUCKET, "arn:aws:s3:::train-data/*"]))),
        2 => Just(("Resource", json!("*"))),
        4 => pick(&[BUCKET, "arn:aws:s3:::train-data/*", "arn:aws:s3:::train-data*", "arn:aws:s3:::*", "arn:aws:s3:::train-data/a/*", "arn:aws:s3:::train-data/${aws:username}/*"])
            .prop_map(|r| ("Resource", r)),
        3 => pick(&["arn:aws:s3:::train-data/a/*", "arn:aws:s3:::other/*", "arn:aws:s3:::train-data/a*"])
            .prop_map(|r| ("NotResource", r)),
    ];
    (
        prop::bool::weighted(0.9),
        principal,
        prop::bool::weighted(0.05),
        action,
        resource,
        any_condition(),
    )
        .prop_map(
            |(deny, principal, all_but, (act, actions), (res, resources), condition)| {
                let who = if all_but { "NotPrincipal" } else { "Principal" };
                let effect = if deny { "Deny" } else { "Allow" };
                json!({"Effect": effect, who: principal, act: actions, res: resources, "Condition": condition})
            },
        )
}

fn any_document() -> impl Strategy<Value = PolicyDocument> {
    let version = prop::sample::select(&["2012-10-17", "2012-10-17", "2008-10-17"][..]);
    (version, prop::collection::vec(any_statement(), 1..5))
        .prop_map(|(version, list)| read(&json!({"Version": version, "Statement": list})))
}

fn read(document: &Value) -> PolicyDocument {
    PolicyDocument::parse(&document.to_string()).unwrap()
}

/// The bucket policy beside an identity policy that allows everything.
fn policies(document: &PolicyDocument) -> PolicySet {
    let everything =
        read(&json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}));
    PolicySet {
        identity: vec![Policy::new(PolicyKind::Identity, "identity", &everything).unwrap()],
        resource: Some(Policy::new(PolicyKind::Resource, "bucket", document).unwrap()),
        ..PolicySet::default()
    }
}

fn verdict(
    policies: &PolicySet,
    caller: &str,
    request: (&str, &str),
    context: &[(&str, &str)],
    more: &[(&str, &str)],
) -> Verdict {
    let (action, key) = request;
    let context: Context = context.iter().chain(more).copied().collect();
    let resource = format!("{BUCKET}{key}");
    let caller = Caller::parse(caller).unwrap();
    let request = Request::new(caller, action, &resource, Some("123456789012"), context).unwrap();
    decide(&request, policies).verdict
}

/// The first request, if any, that is not refused.
fn gap(
    document: &PolicyDocument,
    callers: &[&str],
    requests: impl Fn(&str) -> bool,
    context: &[(&str, &str)],
) -> Option<String> {
    let policies = policies(document);
    for caller in callers {
        for request in REQUESTS.into_iter().filter(|(action, _)| requests(action)) {
            for surroundings in SURROUNDINGS {
                if verdict(&policies, caller, request, context, surroundings) != Verdict::ExplicitlyDenied {
                    return Some(format!("{caller} {request:?} {context:?} {surroundings:?}"));
                }
            }
        }
    }
    None
}

const PLAINTEXT: &[(&str, &str)] = &[("aws:SecureTransport", "false")];

fn over_tls(version: &'static str) -> [(&'static str, &'static str); 2] {
    [("aws:SecureTransport", "true"), ("s3:TlsVersion", version)]
}

/// Everything that is wrong with a verdict on these statements.
fn contradictions(document: &PolicyDocument) -> Vec<String> {
    let mut found = Vec::new();
    if tls_only(&document.statements, BUCKET) {
        found.extend(gap(document, &CALLERS, |_| true, PLAINTEXT).map(|g| format!("not TLS-only: {g}")));
    }
    for (minimum, older) in [
        (TLSVersion::V12, &["1.0", "1.1"][..]),
        (TLSVersion::V13, &["1.0", "1.1", "1.2"][..]),
    ] {
        if minimum_tls(&&document.statements, BUCKET, minimum) {
            let gaps = older
                .iter()
                .filter_map(|v| gap(document, &CALLERS, |_| true, &over_tls(v)));
            found.extend(gaps.map(|g| format!("no minimum of {minimum:?}: {g}")));
        }
    }
    if role_writes_denied(&document.statements, BUCKET, ROLE) {
        let write = |action: &str| !READ_ACTIONS.contains(&action);
        for context in [PLAINTEXT, &over_tls("1.3")[..]] {
            found.extend(gap(document, &[ROLE], write, context).map(|g| format!("a write of the role: {g}")));
        }
    }
    found
}

/// One edit of a document: some change its meaning, some do not.
fn edited(document: &Value, edit: usize) -> Value {
    let mut other = document.clone();
    let statement = &mut other["Statement"][0];
    if (7..10).contains(&edit) {
        statement.as_object_mut().unwrap().remove("NotPrincipal");
    }
    let text = |v: &Value| v.to_string();
    let reread = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    match edit {
        0 => {
            *statement = reread(
                text(statement)
                    .replace("s3:", "S3:")
                    .replace("S3:TlsVersion", "s3:tlsversion"),
            );
        }
        1 => *statement = reread(text(statement).replace("\"false\"", "false")),
        2 => *statement = reread(text(statement).replace("\"Bool\"", "\"BOOL\"")),
        3 => *statement = reread(text(statement).replace("\"Bool\"", "\"BoolIfExists\"")),
        4 => *statement = reread(text(statement).replace("train-data", "Train-Data")),
        5 => *statement = reread(text(statement).replace("1.2", "1.20")),
        6 => statement["Condition"] = json!({}),
        7 => statement["Principal"] = json!({"AWS": ["*"]}),
        8 => statement["Principal"] = json!({"AWS": ["arn:aws:iam::123456789012:root"]}),
        9 => statement["Principal"] = json!({"AWS": "123456789012"}),
        10 => statement["Sid"] = json!("Other"),
        11 => other["Version"] = json!("2008-10-17"),
        12 => other["Statement"].as_array_mut().unwrap().reverse(),
        13 => drop(other["Statement"].as_array_mut().unwrap().pop()),
        14 => {
            let one = other["Statement"][0].clone();
            other["Statement"].as_array_mut().unwrap().push(one);
        }
        15 => statement["Effect"] = json!("Deny"),
        16 => *statement = reread(text(statement).replace("aws:SecureTransport", "aws:securetransport")),
        17 => *statement = reread(text(statement).replace("\"true\"", "\"True\"")),
        18 => *statement = reread(text(statement).replace("vpce-1", "VPCE-1")),
        _ => *statement = reread(text(statement).replace("StringNotEquals", "stringnotequals")),
    }
    other
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_to_be_refused_is_refused(document in any_document()) {
        prop_assert_eq!(contradictions(&document), Vec::<String>::new(), "{}", document.to_json());
    }

    #[test]
    fn documents_that_are_equal_decide_alike(list in prop::collection::vec(any_statement(), 1..4), edit in 0..20_usize) {
        let one = json!({"Version": "2012-10-17", "Statement": list});
        let other = edited(&one, edit);
        let (one, other) = (read(&one), read(&other));
        prop_assert_eq!(equivalent(&one, &other), equivalent(&other, &one));
        if same_meaning(&one, &other) {
            let (a, b) = (policies(&one), policies(&other));
            for caller in CALLERS {
                for request in REQUESTS {
                    for context in [PLAINTEXT, &over_tls("1.1"), &over_tls("1.3")] {
                        for more in SURROUNDINGS {
                            prop_assert_eq!(
                                verdict(&a, caller, request, context, more),
                                verdict(&b, caller, request, context, more),
                                "{} {:?} {:?} {:?}", caller, request, context, more
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The property above would hold of a verdict that is never given.
#[test]
fn the_statements_that_are_tried_are_often_enough_said_to_enforce_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut tls, mut version, mut role) = (0, 0, 0);
    for _ in 0..1000 {
        let statements = any_document().new_tree(&mut runner).unwrap().current().statements;
        tls += usize::from(tls_only(&statements, BUCKET));
        version += usize::from(minimum_tls(&&statements, BUCKET, TLSVersion::V12));
        role += usize::from(role_writes_denied(&statements, BUCKET, ROLE));
    }
    assert!(tls > 50 && version > 50 && role > 50, "{tls} {version} {role}");
}
