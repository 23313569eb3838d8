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
    assert!(variants.len() >= 10);
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

/// Forms that AWS's own guides, blogs and Config rules show, and what people make of them.
#[test]
fn documented_forms_count_for_what_they_refuse() {
    let resources = |list: Value| deny(json!({"Resource": list}));
    let actions = |list: Value| deny(json!({"Action": list}));
    let principal = |p: Value| deny(json!({"Principal": p}));
    let condition = |c: Value| deny(json!({"Condition": c}));
    let plain = |value: Value| json!({"Bool": {"aws:SecureTransport": value}});
    let and = |operator: &str, key: &str, value: Value| {
        let mut condition = plain(json!("false"));
        condition[operator] = match operator {
            "Bool" => json!({"aws:SecureTransport": "false", key: value}),
            _ => json!({key: value}),
        };
        deny(json!({"Condition": condition}))
    };
    let yes = [
        ("a list of one value", condition(plain(json!(["false"])))),
        ("values are ORed", condition(plain(json!(["true", "false"])))),
        ("a JSON boolean", condition(plain(json!(false)))),
        ("case of the value", condition(plain(json!("FALSE")))),
        (
            "case of operator and key",
            condition(json!({"BOOL": {"AWS:SECURETRANSPORT": "false"}})),
        ),
        (
            "not true, or absent",
            condition(json!({"StringNotEqualsIfExists": {"aws:SecureTransport": "true"}})),
        ),
        (
            "ignoring case",
            condition(json!({"StringEqualsIgnoreCase": {"aws:SecureTransport": "False"}})),
        ),
        (
            "one of both forms",
            condition(
                json!({"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:SecureTransport": "false"}}),
            ),
        ),
        ("every bucket", resources(json!(["arn:aws:s3:::*"]))),
        (
            "every bucket and every object",
            resources(json!(["arn:aws:s3:::train-dat?", "arn:aws:s3:::train-dat?/*"])),
        ),
        (
            "empty region and account as wildcards",
            resources(json!(["arn:aws:s3:*:*:train-data", "arn:aws:s3:*:*:train-data/*"])),
        ),
        (
            "a wildcard for the slash",
            resources(json!([BUCKET, "arn:aws:s3:::train-data?*"])),
        ),
        (
            "keys with a character at least",
            resources(json!([BUCKET, "arn:aws:s3:::train-data/?*"])),
        ),
        ("duplicates", resources(json!([BUCKET, BUCKET, OBJECTS, OBJECTS]))),
        ("other services' actions beside", actions(json!(["iam:*", "s3:*"]))),
        ("at least one letter", actions(json!("s3:?*"))),
        ("a list of one principal", principal(json!({"AWS": ["*"]}))),
        ("services as well", principal(json!({"AWS": "*", "Service": "*"}))),
        (
            "all but another bucket",
            deny(json!({"NotResource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]})),
        ),
    ];
    let no = [
        ("a list of the wrong value", condition(plain(json!(["true"])))),
        ("no value", condition(plain(json!([])))),
        ("an operator without keys", condition(json!({"Bool": {}}))),
        (
            "an operator without keys besides",
            condition(json!({"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {}})),
        ),
        ("a value that is no boolean", condition(plain(json!("0")))),
        (
            "a wildcard for a boolean",
            condition(json!({"StringLike": {"aws:SecureTransport": "f*"}})),
        ),
        (
            "not like a wildcard",
            condition(json!({"StringNotLike": {"aws:SecureTransport": "t*"}})),
        ),
        (
            "a boolean that is compared as an ARN",
            condition(json!({"ArnEquals": {"aws:SecureTransport": "false"}})),
        ),
        (
            "no boolean of ARNs' kind",
            condition(json!({"ArnNotLike": {"aws:SecureTransport": "true"}})),
        ),
        (
            "an operator that does not exist",
            condition(json!({"NullIfExists": {"aws:SecureTransport": "false"}})),
        ),
        (
            "case counts in StringEquals",
            condition(json!({"StringEquals": {"aws:SecureTransport": "False"}})),
        ),
        (
            "the key is always there",
            condition(json!({"Null": {"aws:SecureTransport": "true"}})),
        ),
        (
            "two forms that exclude each other",
            condition(
                json!({"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:SecureTransport": "true"}}),
            ),
        ),
        (
            "the TLS version alone",
            condition(json!({"NumericLessThan": {"s3:TlsVersion": "1.2"}})),
        ),
        (
            "AWS services are let off",
            and("Bool", "aws:PrincipalIsAWSService", json!("false")),
        ),
        (
            "calls through AWS services are let off",
            and("Bool", "aws:ViaAWSService", json!("false")),
        ),
        (
            "the same, if it exists",
            and("BoolIfExists", "aws:ViaAWSService", json!("false")),
        ),
        (
            "a network is let off",
            and("NotIpAddress", "aws:SourceIp", json!("10.0.0.0/8")),
        ),
        (
            "an endpoint is let off",
            and("StringNotEquals", "aws:SourceVpce", json!("vpce-1")),
        ),
        (
            "a role is let off",
            and(
                "ArnNotLike",
                "aws:PrincipalArn",
                json!("arn:aws:iam::123456789012:role/etl"),
            ),
        ),
        (
            "the organization only",
            and("StringEquals", "aws:PrincipalOrgID", json!("o-1")),
        ),
        (
            "the same by another name",
            and("StringNotEqualsIfExists", "aws:PrincipalAccount", json!("123456789012")),
        ),
        (
            "a date",
            and("DateGreaterThan", "aws:CurrentTime", json!("2026-01-01T00:00:00Z")),
        ),
        (
            "another bucket by case",
            resources(json!(["arn:aws:s3:::Train-Data", "arn:aws:s3:::Train-Data/*"])),
        ),
        (
            "objects in a folder at least",
            resources(json!([BUCKET, "arn:aws:s3:::train-data/*/*"])),
        ),
        ("names that go on", resources(json!("arn:aws:s3:::train-data-*"))),
        ("an ARN cut short", resources(json!("arn:aws:s3*"))),
        (
            "all but an ARN cut short",
            deny(json!({"NotResource": ["arn:aws:iam::1:role/x", "arn:*:s3"]})),
        ),
        ("all but a service", deny(json!({"NotAction": "s3"}))),
        ("an ARN of wildcards", resources(json!("arn:*"))),
        (
            "access points only",
            resources(json!([
                "arn:aws:s3:eu-west-1:123456789012:accesspoint/*",
                "arn:aws:s3:eu-west-1:123456789012:accesspoint/*/object/*"
            ])),
        ),
        (
            "a prefix is let off",
            deny(json!({"NotResource": "arn:aws:s3:::train-data/public/*"})),
        ),
        (
            "half of the actions",
            actions(json!(["s3:Get*", "s3:List*", "s3:Put*", "s3:Delete*"])),
        ),
        ("actions on objects", actions(json!("s3:*Object*"))),
        ("an action cut short", actions(json!("s3*"))),
        ("one action is let off", deny(json!({"NotAction": "s3:GetObject"}))),
        ("the directory buckets' API", actions(json!("s3express:*"))),
        (
            "every account root but one's",
            principal(json!({"AWS": "arn:aws:iam::*:root"})),
        ),
        ("an account by number", principal(json!({"AWS": "123456789012"}))),
        ("every identity provider", principal(json!({"Federated": "*"}))),
        ("nobody", principal(json!({"AWS": []}))),
    ];
    for (name, statement) in yes {
        assert!(is_tls_only(&json!([statement])), "{name}");
    }
    for (name, statement) in no {
        assert!(!is_tls_only(&json!([statement])), "{name}");
    }
    let unnamed = json!([{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]);
    assert!(!is_tls_only(&unnamed), "a statement without a principal");
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
    let named = |actions: &str| deny(json!({"Action": actions, "Resource": OBJECTS}));
    let but = |actions: &str| deny(json!({"NotAction": actions, "Resource": OBJECTS}));
    assert!(
        is_tls_only(&json!([bucket(), but("s3:Get*"), named("s3:Get*")])),
        "the objects by halves"
    );
    assert!(
        is_tls_only(&json!([bucket(), but("s3:GetObject"), named("s3:G*")])),
        "and more than half"
    );
    assert!(
        !is_tls_only(&json!([bucket(), but("s3:Get*"), named("s3:GetObject")])),
        "a gap"
    );
    assert!(
        !is_tls_only(&json!([but("s3:Get*"), named("s3:Get*")])),
        "nothing for the bucket"
    );
    let cut = |operator: &str| {
        deny(json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}, operator: {"aws:SourceVpc": "vpc-1"}}}))
    };
    assert!(
        !is_tls_only(&json!([cut("StringEquals"), cut("StringNotEquals")])),
        "together they do, and it takes a proof that is not made"
    );
    let who = |element: &str| deny(json!({element: {"AWS": "123456789012"}}));
    assert!(
        !is_tls_only(&json!([who("Principal"), who("NotPrincipal")])),
        "NotPrincipal counts for nobody"
    );
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
        // The key is a number, and how its text is spelled is not documented.
        (tls("StringEquals", json!(["1.0", "1.1", "1.2"])), false, false),
        (tls("StringNotEquals", json!("1.3")), false, false),
        (tls("StringLike", json!("1.?")), false, false),
        (tls("ArnNotEquals", json!("1.3")), false, false),
        (tls("Null", json!("false")), true, true),
        // No numbers as AWS documents them.
        (tls("NumericLessThan", json!("+1.3")), false, false),
        (tls("NumericLessThan", json!("01.3")), false, false),
        (tls("NumericLessThan", json!(" 1.3")), false, false),
        (tls("NumericNotEquals", json!("TLSv1.3")), false, false),
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
        (
            "everybody but everybody",
            deny(json!({"Condition": {"ArnNotEquals": {"aws:PrincipalArn": "*"}}})),
            false,
        ),
        (
            "everybody but an ARN cut short",
            deny(json!({"Condition": {"ArnNotLike": {"aws:PrincipalArn": "arn:*"}}})),
            false,
        ),
    ];
    for (name, statement, expected) in cases {
        let list = statements(&json!([statement]));
        assert_eq!(role_writes_denied(&list, BUCKET, ROLE), expected, "{name}");
    }
}
