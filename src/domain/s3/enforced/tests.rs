use super::*;
use crate::domain::document::PolicyDocument;
use serde_json::{Value, json};

const BUCKET: &str = "arn:aws:s3:::train-data";
const OBJECTS: &str = "arn:aws:s3:::train-data/*";
const ROLE: &str = "arn:aws:iam::123456789012:role/aidp/trainer";

fn statements(list: &Value) -> Vec<Statement> {
    let text = json!({"Version": "2012-10-17", "Statement": list}).to_string();
    PolicyDocument::parse(&text).unwrap().statements
}

fn is_tls_only(list: &Value) -> bool {
    tls_only(&statements(list), BUCKET)
}

/// The canonical statement with some elements replaced.
fn deny(changes: Value) -> Value {
    let mut statement = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [BUCKET, OBJECTS],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}});
    let Value::Object(changes) = changes else {
        panic!("an object")
    };
    let object = statement.as_object_mut().unwrap();
    for (key, value) in changes {
        if let Some(base) = key.strip_prefix("Not") {
            object.remove(base);
        }
        object.insert(key, value);
    }
    statement
}

#[test]
fn golden_what_counts_as_tls_only() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/golden/tls-bucket-policy.json")).unwrap();
    let variants = golden["variants"].as_object().unwrap();
    assert_eq!(variants.len(), 10);
    for (name, variant) in variants {
        let expected = variant["countsAsTlsOnly"].as_bool().unwrap();
        assert_eq!(is_tls_only(&variant["statements"]), expected, "{name}");
    }
}

#[test]
fn one_statement_counts_only_if_it_holds_for_every_plaintext_request() {
    let cases = [
        ("canonical", deny(json!({})), true),
        ("principal as a map", deny(json!({"Principal": {"AWS": "*"}})), true),
        (
            "principal in a list",
            deny(json!({"Principal": {"AWS": ["*", "123456789012"]}})),
            true,
        ),
        ("every action", deny(json!({"Action": "*"})), true),
        ("action case", deny(json!({"Action": ["S3:*"]})), true),
        (
            "no action but one that is not S3's",
            deny(json!({"NotAction": "iam:*"})),
            true,
        ),
        ("every resource", deny(json!({"Resource": "*"})), true),
        (
            "one pattern for both",
            deny(json!({"Resource": "arn:aws:s3:::train-data*"})),
            true,
        ),
        (
            "a resource beside",
            deny(json!({"NotResource": "arn:aws:s3:::other/*"})),
            true,
        ),
        ("unconditional", deny(json!({"Condition": {}})), true),
        (
            "key case, boolean",
            deny(json!({"Condition": {"bool": {"AWS:SecureTransport": false}}})),
            true,
        ),
        (
            "not true",
            deny(json!({"Condition": {"StringNotEquals": {"aws:SecureTransport": "true"}}})),
            true,
        ),
        (
            "the key is there, and false",
            deny(
                json!({"Condition": {"Null": {"aws:SecureTransport": "false"}, "Bool": {"aws:SecureTransport": "false"}}}),
            ),
            true,
        ),
        ("Allow", deny(json!({"Effect": "Allow"})), false),
        (
            "NotPrincipal",
            deny(json!({"NotPrincipal": {"AWS": "123456789012"}})),
            false,
        ),
        ("service principal", deny(json!({"Principal": {"Service": "*"}})), false),
        (
            "anonymous user only",
            deny(json!({"Principal": {"CanonicalUser": "*"}})),
            false,
        ),
        ("reading only", deny(json!({"Action": "s3:Get*"})), false),
        ("all but reading", deny(json!({"NotAction": "s3:Get*"})), false),
        (
            "another bucket",
            deny(json!({"Resource": ["arn:aws:s3:::train-data-2", "arn:aws:s3:::train-data-2/*"]})),
            false,
        ),
        (
            "a prefix of the keys",
            deny(json!({"Resource": [BUCKET, "arn:aws:s3:::train-data/a*"]})),
            false,
        ),
        (
            "another partition",
            deny(json!({"Resource": ["arn:aws-cn:s3:::train-data", "arn:aws-cn:s3:::train-data/*"]})),
            false,
        ),
        (
            "all but a prefix",
            deny(json!({"NotResource": "arn:aws:s3:::train-data/a*"})),
            false,
        ),
        (
            "a policy variable",
            deny(json!({"Resource": [BUCKET, "arn:aws:s3:::train-data/${aws:username}*"]})),
            false,
        ),
        (
            "a variable excepted",
            deny(json!({"NotResource": "arn:aws:s3:::${aws:username}"})),
            false,
        ),
        (
            "StringLike is another test in the same words",
            deny(json!({"Condition": {"StringLike": {"aws:SecureTransport": "t*"}}})),
            false,
        ),
        (
            "a set operator",
            deny(json!({"Condition": {"ForAnyValue:Bool": {"aws:SecureTransport": "false"}}})),
            false,
        ),
        (
            "an address besides",
            deny(
                json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}, "NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}),
            ),
            false,
        ),
        (
            "AWS services exempt",
            deny(
                json!({"Condition": {"Bool": {"aws:SecureTransport": "false", "aws:PrincipalIsAWSService": "false"}}}),
            ),
            false,
        ),
    ];
    for (name, statement, expected) in cases {
        assert_eq!(is_tls_only(&json!([statement])), expected, "{name}");
    }
}

#[test]
fn several_statements_count_together() {
    let bucket = || deny(json!({"Resource": BUCKET}));
    let objects = || deny(json!({"Resource": OBJECTS}));
    let reads = || deny(json!({"Action": "s3:Get*"}));
    let rest = || deny(json!({"NotAction": ["s3:GetObject", "s3:GetBucket*"]}));
    let part = || deny(json!({"Resource": "arn:aws:s3:::train-data/a*"}));
    let others = || deny(json!({"NotResource": ["arn:aws:s3:::train-data/a/b*", "arn:aws:s3:::elsewhere"]}));
    assert!(is_tls_only(&json!([bucket(), objects()])), "bucket and objects");
    assert!(is_tls_only(&json!([rest(), reads()])), "reads and everything else");
    assert!(is_tls_only(&json!([others(), part()])), "some keys and all others");
    assert!(!is_tls_only(&json!([bucket(), part()])));
    assert!(!is_tls_only(&json!([reads(), part()])));
    assert!(!is_tls_only(&json!([rest(), deny(json!({"Action": "s3:GetObject"}))])));
    let conditional = deny(
        json!({"Resource": OBJECTS, "Condition": {"Bool": {"aws:SecureTransport": "false", "aws:MultiFactorAuthPresent": "false"}}}),
    );
    assert!(
        !is_tls_only(&json!([bucket(), conditional])),
        "each must be unconditional"
    );
}

#[test]
fn no_statements_enforce_nothing() {
    assert!(!is_tls_only(&json!([])));
    assert!(!minimum_tls(&&statements(&json!([])), BUCKET, TLSVersion::V12));
    assert!(!role_writes_denied(&statements(&json!([])), BUCKET, ROLE));
}

#[test]
fn a_minimum_version_counts_if_every_older_one_is_refused() {
    let tls = |operator: &str, value: Value| deny(json!({"Condition": {operator: {"s3:TlsVersion": value}}}));
    let cases = [
        (tls("NumericLessThan", json!("1.2")), true, false),
        (tls("NumericLessThan", json!(1.3)), true, true),
        (tls("NumericLessThan", json!(["1.1", "1.3"])), true, true),
        (tls("NumericLessThanIfExists", json!("1.2")), true, false),
        (tls("NumericLessThanEquals", json!("1.1")), true, false),
        (tls("NumericNotEquals", json!("1.3")), true, true),
        (tls("NumericLessThan", json!("1.1")), false, false),
        (tls("NumericGreaterThan", json!("1.2")), false, false),
        (tls("StringEquals", json!(["1.0", "1.1"])), true, false),
        (deny(json!({})), false, false),
    ];
    for (statement, v12, v13) in cases {
        let list = statements(&json!([statement]));
        assert_eq!(minimum_tls(&&list, BUCKET, TLSVersion::V12), v12, "1.2: {statement}");
        assert_eq!(minimum_tls(&&list, BUCKET, TLSVersion::V13), v13, "1.3: {statement}");
    }
    let by_version = statements(&json!([
        tls("NumericEquals", json!("1.0")),
        tls("NumericEquals", json!("1.1"))
    ]));
    assert!(
        minimum_tls(&&by_version, BUCKET, TLSVersion::V12),
        "one statement a version"
    );
}

#[test]
fn a_role_is_kept_from_writing_only_by_a_deny_of_everything_but_reads() {
    let roles = json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/aidp/*"}});
    let cases = [
        (
            "ours",
            deny(json!({"NotAction": READ_ACTIONS, "Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE}}})),
            true,
        ),
        (
            "stricter",
            deny(json!({"NotAction": "s3:GetObject", "Condition": roles})),
            true,
        ),
        (
            "as principal",
            deny(json!({"NotAction": "s3:GetObject", "Condition": {}, "Principal": {"AWS": ROLE}})),
            true,
        ),
        ("everything to everyone", deny(json!({"Condition": {}})), true),
        (
            "another role",
            deny(
                json!({"NotAction": READ_ACTIONS, "Condition": {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/aidp/other"}}}),
            ),
            false,
        ),
        (
            "a wildcard that also lets s3:GetDataAccess through",
            deny(json!({"NotAction": "s3:Get*", "Condition": roles})),
            false,
        ),
        (
            "the textbook two actions",
            deny(json!({"Action": ["s3:PutObject", "s3:DeleteObject"], "Condition": roles})),
            false,
        ),
        (
            "a session, not the role",
            deny(
                json!({"NotAction": "s3:GetObject", "Condition": {}, "Principal": {"AWS": "arn:aws:sts::123456789012:assumed-role/trainer/s"}}),
            ),
            false,
        ),
        (
            "objects only",
            deny(json!({"NotAction": READ_ACTIONS, "Resource": OBJECTS, "Condition": roles})),
            false,
        ),
        ("over plaintext only", deny(json!({"NotAction": READ_ACTIONS})), false),
    ];
    for (name, statement, expected) in cases {
        let list = statements(&json!([statement]));
        assert_eq!(role_writes_denied(&list, BUCKET, ROLE), expected, "{name}");
    }
}
