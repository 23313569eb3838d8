//! Questions whose plausible answer is wrong, decided by AWS's documentation: the sentence that decides stands beside the
//! case, where a name does not say it. A case holds the policies that are there, and what of the request is not the usual.

#![expect(
    clippy::needless_pass_by_value,
    reason = "documents read best as literals in the call"
)]

use serde_json::{Value, json};

use super::*;
use crate::domain::document::PolicyDocument;

const ROLE: &str = "arn:aws:iam::111111111111:role/train";
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/train/s";
const USER: &str = "arn:aws:iam::111111111111:user/bob";
const ROOT: &str = "arn:aws:iam::111111111111:root";
const LINKED: &str = "arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX";
const MINE: &str = "111111111111";
const OTHER: &str = "222222222222";
const ALLOWED: &str = "Allowed";
const IMPLICIT: &str = "ImplicitlyDenied";
const EXPLICIT: &str = "ExplicitlyDenied";

/// Statements with what is usual left out: an Allow of everything, by everybody where principals are named.
fn policy(kind: PolicyKind, statements: &Value) -> Policy {
    let list = match statements {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let whole = |statement: Value| {
        let mut whole = json!({"Effect": "Allow"});
        let given = statement.as_object().unwrap();
        if !given.contains_key("NotAction") {
            whole["Action"] = json!("*");
        }
        if !given.contains_key("NotResource") && kind != PolicyKind::Trust {
            whole["Resource"] = json!("*");
        }
        if kind.names_principals() && !given.contains_key("NotPrincipal") {
            whole["Principal"] = json!("*");
        }
        whole.as_object_mut().unwrap().extend(given.clone());
        whole
    };
    let document = json!({"Version": "2012-10-17", "Statement": list.into_iter().map(whole).collect::<Vec<_>>()});
    let document = PolicyDocument::parse(&document.to_string()).unwrap();
    document.check(kind).unwrap();
    Policy::new(kind, "p", &document).unwrap()
}

/// `who`, `action`, `on`, `owner` and `context` make the request; `own` (a list of policies), `boundary`, `session` (a list),
/// `of` (the resource's), `scp` and `rcp` (levels of lists) and `endpoint` the policies.
fn verdict(case: &Value) -> &'static str {
    let text = |key: &str, usual: &'static str| {
        case.get(key)
            .map_or(usual.to_owned(), |v| v.as_str().unwrap().to_owned())
    };
    let list = |kind, key: &str| -> Vec<Policy> {
        let all = case.get(key).and_then(Value::as_array).into_iter().flatten();
        all.map(|statements| policy(kind, statements)).collect()
    };
    let levels = |kind, key: &str| -> Vec<Vec<Policy>> {
        let all = case.get(key).and_then(Value::as_array).into_iter().flatten();
        all.map(|level| level.as_array().unwrap().iter().map(|s| policy(kind, s)).collect())
            .collect()
    };
    let one = |kind, key: &str| case.get(key).map(|statements| policy(kind, statements));
    let action = text("action", "s3:GetObject");
    let of = if action.starts_with("sts:") {
        PolicyKind::Trust
    } else {
        PolicyKind::Resource
    };
    let policies = PolicySet {
        identity: list(PolicyKind::Identity, "own"),
        boundary: one(PolicyKind::Boundary, "boundary"),
        session: list(PolicyKind::Session, "session"),
        resource: one(of, "of"),
        service_control: levels(PolicyKind::ServiceControl, "scp"),
        resource_control: levels(PolicyKind::ResourceControl, "rcp"),
        vpc_endpoint: one(PolicyKind::VpcEndpoint, "endpoint"),
    };
    let mut context = Context::new();
    for (key, values) in case.get("context").and_then(Value::as_object).into_iter().flatten() {
        match values {
            Value::Array(values) => values.iter().for_each(|v| context.add(key, v.as_str().unwrap())),
            value => context.add(key, value.as_str().unwrap()),
        }
    }
    let caller = Caller::parse(&text("who", SESSION)).unwrap();
    let owner = text("owner", MINE);
    let request = Request::new(
        caller,
        &action,
        &text("on", "arn:aws:s3:::b/team/k"),
        Some(&owner),
        context,
    );
    decide(&request.unwrap(), &policies).verdict.as_str()
}

fn all_decided(cases: Vec<(&str, Value, &str)>) {
    for (name, case, wanted) in cases {
        assert_eq!(verdict(&case), wanted, "{name}: {case}");
    }
}

/// A case in which everything is allowed but for this Deny.
fn denying(mut deny: Value, context: Value) -> Value {
    deny["Effect"] = json!("Deny");
    json!({"own": [{}, deny], "context": context})
}

/// A case with this condition on a Deny.
fn denying_if(condition: Value, context: Value) -> Value {
    denying(json!({"Condition": condition}), context)
}

#[test]
fn actions_and_resources() {
    let own = |statement: Value| json!({"own": [statement]});
    all_decided(vec![
        ("actions have no case", own(json!({"Action": "S3:getOBJECT"})), ALLOWED),
        ("a ? is one character", own(json!({"Action": "s3:Get?bject"})), ALLOWED),
        ("a ? is not none", own(json!({"Action": "s3:GetObject?"})), IMPLICIT),
        ("a * may be none", own(json!({"Action": "s3:GetObject*"})), ALLOWED),
        (
            "actions hold no variables",
            own(json!({"Action": "s3:${aws:PrincipalType}"})),
            IMPLICIT,
        ),
        (
            "of another service",
            own(json!({"Action": "s3-object-lambda:*"})),
            IMPLICIT,
        ),
        ("a dot is a dot", own(json!({"Action": "s3.GetObject"})), IMPLICIT),
        (
            "resources have case",
            own(json!({"Resource": "arn:aws:s3:::B/*"})),
            IMPLICIT,
        ),
        (
            "a ? in a bucket's name",
            own(json!({"Resource": "arn:aws:s3:::?/*"})),
            ALLOWED,
        ),
        ("a ? is no path", own(json!({"Resource": "arn:aws:s3:::b/?"})), IMPLICIT),
        (
            "a bucket is not its objects",
            own(json!({"Resource": "arn:aws:s3:::b"})),
            IMPLICIT,
        ),
        // "it can expand to match beyond the colon boundaries"
        ("a * crosses colons", own(json!({"Resource": "arn:aws:s3:*"})), ALLOWED),
        (
            "a bucket's policy on objects only",
            json!({"action": "s3:ListBucket", "on": "arn:aws:s3:::b", "of": {"Resource": "arn:aws:s3:::b/*"}}),
            IMPLICIT,
        ),
        (
            "NotAction of an Allow",
            own(json!({"NotAction": ["iam:*", "sts:*"]})),
            ALLOWED,
        ),
        (
            "NotAction of an Allow that names it",
            own(json!({"NotAction": "S3:get*"})),
            IMPLICIT,
        ),
        (
            "NotAction of a Deny that names it",
            denying(json!({"NotAction": "s3:Get*"}), json!({})),
            ALLOWED,
        ),
        (
            "NotAction of a Deny that does not",
            denying(json!({"NotAction": "s3:List*"}), json!({})),
            EXPLICIT,
        ),
        (
            "NotResource of a Deny that names it",
            denying(json!({"NotResource": "arn:aws:s3:::b/*"}), json!({})),
            ALLOWED,
        ),
        (
            "NotResource of a Deny that does not",
            denying(
                json!({"NotResource": ["arn:aws:s3:::b", "arn:aws:s3:::c/*"]}),
                json!({}),
            ),
            EXPLICIT,
        ),
        (
            "NotResource of an Allow that names it",
            own(json!({"NotResource": "arn:aws:s3:::*"})),
            IMPLICIT,
        ),
        (
            "both complements",
            own(json!({"NotAction": "iam:*", "NotResource": "arn:aws:s3:::c/*"})),
            ALLOWED,
        ),
        ("no statement at all", json!({"own": [[]]}), IMPLICIT),
        ("no policy at all", json!({}), IMPLICIT),
    ]);
}

/// "When you specify an incomplete ARN (one with fewer than the standard six fields) in an identity-based policy, AWS
/// automatically completes the ARN by adding wildcard characters (*) to all missing fields. For example, specifying
/// arn:aws:sqs is equivalent to arn:aws:sqs:*:*:*."
#[test]
fn incomplete_arns() {
    let own = |resource: &str| json!({"own": [{"Resource": resource}]});
    let queue = "arn:aws:sqs:eu-west-1:111111111111:q";
    all_decided(vec![
        ("a service", own("arn:aws:s3"), ALLOWED),
        ("with an empty region", own("arn:aws:s3:"), ALLOWED),
        ("with an empty account too", own("arn:aws:s3::"), ALLOWED),
        ("and with an empty name it is complete", own("arn:aws:s3:::"), IMPLICIT),
        ("another service", own("arn:aws:sqs"), IMPLICIT),
        ("another region", own("arn:aws:s3:eu-west-1"), IMPLICIT),
        ("another account", own("arn:aws:s3::222222222222"), IMPLICIT),
        ("a partition", own("arn:aws"), ALLOWED),
        (
            "a queue's region",
            json!({"action": "sqs:SendMessage", "on": queue, "own": [{"Resource": "arn:aws:sqs:eu-west-1"}]}),
            ALLOWED,
        ),
        (
            "a queue's other region",
            json!({"action": "sqs:SendMessage", "on": queue, "own": [{"Resource": "arn:aws:sqs:eu-west-2"}]}),
            IMPLICIT,
        ),
        ("what is no ARN", own("s3"), IMPLICIT),
        (
            "in a Deny",
            denying(json!({"Resource": "arn:aws:s3"}), json!({})),
            EXPLICIT,
        ),
        (
            "as an exception of an Allow",
            json!({"own": [{"NotResource": "arn:aws:s3"}]}),
            IMPLICIT,
        ),
        (
            "as an exception of a Deny",
            denying(json!({"NotResource": "arn:aws:s3"}), json!({})),
            ALLOWED,
        ),
        (
            "in a boundary",
            json!({"own": [{}], "boundary": {"Resource": "arn:aws:s3"}}),
            ALLOWED,
        ),
        // STS refuses it ("session policies … do not support incomplete ARNs"): it means no less than elsewhere.
        (
            "in a session policy",
            json!({"own": [{}], "session": [{"Resource": "arn:aws:s3"}]}),
            ALLOWED,
        ),
        (
            "in a Deny of a session policy",
            json!({"own": [{}], "session": [[{}, {"Effect": "Deny", "Resource": "arn:aws:s3"}]]}),
            EXPLICIT,
        ),
        // Of the others there is nothing of the kind.
        (
            "in a bucket policy",
            json!({"of": {"Principal": {"AWS": ROLE}, "Resource": "arn:aws:s3"}}),
            IMPLICIT,
        ),
        (
            "in an SCP",
            json!({"own": [{}], "scp": [[{"Resource": "arn:aws:s3"}]]}),
            IMPLICIT,
        ),
    ]);
}

#[test]
fn keys_that_are_missing() {
    let tag = "aws:PrincipalTag/t";
    let (none, some) = (json!({}), json!({(tag): "a"}));
    let holds =
        |operator: &str, value: &str, context: &Value| denying_if(json!({operator: {(tag): value}}), context.clone());
    all_decided(vec![
        ("positive", holds("StringEquals", "a", &none), ALLOWED),
        ("negated", holds("StringNotEquals", "a", &none), EXPLICIT),
        (
            "negated, IfExists",
            holds("StringNotLikeIfExists", "a", &none),
            EXPLICIT,
        ),
        (
            "negated, IfExists, there",
            holds("StringNotLikeIfExists", "a", &some),
            ALLOWED,
        ),
        ("numbers", holds("NumericLessThanIfExists", "1", &none), EXPLICIT),
        ("numbers, no number", holds("NumericLessThan", "1", &some), ALLOWED),
        (
            "numbers, no number, negated",
            holds("NumericNotEquals", "1", &some),
            EXPLICIT,
        ),
        ("dates", holds("DateLessThan", "2030-01-01T00:00:00Z", &none), ALLOWED),
        (
            "dates, no date",
            holds("DateLessThan", "2030-01-01T00:00:00Z", &some),
            ALLOWED,
        ),
        ("addresses", holds("NotIpAddress", "10.0.0.0/8", &none), EXPLICIT),
        (
            "addresses, IfExists",
            holds("NotIpAddressIfExists", "10.0.0.0/8", &none),
            EXPLICIT,
        ),
        ("addresses, no address", holds("IpAddress", "0.0.0.0/0", &some), ALLOWED),
        ("ARNs", holds("ArnNotLike", "arn:aws:s3:::*", &none), EXPLICIT),
        ("ARNs, no ARN", holds("ArnLike", "*", &some), ALLOWED),
        ("binary", holds("BinaryEqualsIfExists", "YQ==", &none), EXPLICIT),
        // "ForAllValues … also returns true if there are no context keys in the request"
        ("ForAllValues", holds("ForAllValues:StringEquals", "z", &none), EXPLICIT),
        (
            "ForAllValues on an Allow",
            json!({"own": [{"Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": "z"}}}]}),
            ALLOWED,
        ),
        (
            "ForAllValues on an Allow that asks for the key",
            json!({"own": [{"Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": "z"}, "Null": {"aws:TagKeys": "false"}}}]}),
            IMPLICIT,
        ),
        ("ForAnyValue", holds("ForAnyValue:StringNotEquals", "z", &none), ALLOWED),
        ("Null true", holds("Null", "true", &none), EXPLICIT),
        ("Null false", holds("Null", "false", &none), ALLOWED),
        (
            "Null of both is always",
            denying_if(json!({"Null": {(tag): ["true", "false"]}}), some.clone()),
            EXPLICIT,
        ),
        // An empty value is a value.
        (
            "an empty value",
            denying_if(
                json!({"StringEquals": {"s3:prefix": ["", "a/"]}}),
                json!({"s3:prefix": ""}),
            ),
            EXPLICIT,
        ),
        (
            "no value at all",
            denying_if(json!({"StringEquals": {"s3:prefix": ["", "a/"]}}), none),
            ALLOWED,
        ),
    ]);
}

#[test]
fn several_keys_operators_and_values() {
    let ab = json!({"aws:A": "1", "aws:B": "2"});
    all_decided(vec![
        (
            "keys are ANDed",
            denying_if(json!({"StringEquals": {"aws:A": "1", "aws:B": "1"}}), ab.clone()),
            ALLOWED,
        ),
        (
            "so are negated ones",
            denying_if(json!({"StringNotEquals": {"aws:A": "1", "aws:B": "1"}}), ab.clone()),
            ALLOWED,
        ),
        (
            "operators are ANDed",
            denying_if(
                json!({"StringEquals": {"aws:A": "1"}, "StringLike": {"aws:B": "?"}}),
                ab.clone(),
            ),
            EXPLICIT,
        ),
        (
            "an operator twice, in other case",
            denying_if(
                json!({"StringEquals": {"aws:A": "1"}, "stringequals": {"AWS:a": "2"}}),
                ab.clone(),
            ),
            ALLOWED,
        ),
        (
            "values are ORed",
            denying_if(json!({"StringEquals": {"aws:A": ["0", "1"]}}), ab.clone()),
            EXPLICIT,
        ),
        (
            "negated values are NORed",
            denying_if(json!({"StringNotEquals": {"aws:A": ["0", "1"]}}), ab.clone()),
            ALLOWED,
        ),
        (
            "no values are no match",
            denying_if(json!({"StringEquals": {"aws:A": []}}), ab.clone()),
            ALLOWED,
        ),
        (
            "no keys are no condition",
            denying_if(json!({"StringEquals": {}}), ab.clone()),
            EXPLICIT,
        ),
        ("no operators are no condition", denying_if(json!({}), ab), EXPLICIT),
        (
            "a boolean of JSON",
            denying_if(
                json!({"Bool": {"aws:SecureTransport": false}}),
                json!({"aws:SecureTransport": "False"}),
            ),
            EXPLICIT,
        ),
        (
            "booleans are ORed",
            denying_if(
                json!({"Bool": {"aws:SecureTransport": ["true", "false"]}}),
                json!({"aws:SecureTransport": "true"}),
            ),
            EXPLICIT,
        ),
        (
            "a number of JSON",
            denying_if(
                json!({"NumericEquals": {"s3:max-keys": 10}}),
                json!({"s3:max-keys": "010"}),
            ),
            EXPLICIT,
        ),
        (
            "numbers are no text",
            denying_if(
                json!({"NumericLessThan": {"s3:max-keys": "9"}}),
                json!({"s3:max-keys": "10"}),
            ),
            ALLOWED,
        ),
    ]);
}

#[test]
fn addresses_dates_arns_and_binaries() {
    let address = |block: &str, of: &str| {
        denying_if(
            json!({"IpAddress": {"aws:SourceIp": block}}),
            json!({"aws:SourceIp": of}),
        )
    };
    let date = |operator: &str, value: &str, now: &str| {
        denying_if(
            json!({operator: {"aws:CurrentTime": value}}),
            json!({"aws:CurrentTime": now}),
        )
    };
    let arn = |operator: &str, pattern: &str| {
        let topic = "arn:aws:sns:eu-west-1:111111111111:a:b";
        denying_if(
            json!({operator: {"aws:SourceArn": pattern}}),
            json!({"aws:SourceArn": topic}),
        )
    };
    all_decided(vec![
        (
            "IPv6",
            address("2001:DB8:1234:5678::/64", "2001:db8:1234:5678::9"),
            EXPLICIT,
        ),
        (
            "IPv6, spelt out",
            address("2001:db8::/32", "2001:0db8:0000:0000:0000:0000:0000:0001"),
            EXPLICIT,
        ),
        (
            "IPv6, another block",
            address("2001:DB8:1234:5678::/64", "2001:db8:1234:5679::9"),
            ALLOWED,
        ),
        ("every IPv4 is no IPv6", address("0.0.0.0/0", "2001:db8::1"), ALLOWED),
        // "the default prefix value of /32 is used"
        ("one address", address("203.0.113.7", "203.0.113.7"), EXPLICIT),
        ("one address, another", address("203.0.113.7", "203.0.113.8"), ALLOWED),
        ("no block", address("203.0.113.*", "203.0.113.8"), ALLOWED),
        (
            "seconds and ISO 8601",
            date("DateGreaterThan", "1767225600", "2026-01-01T00:00:01Z"),
            EXPLICIT,
        ),
        (
            "zones",
            date("DateEquals", "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z"),
            EXPLICIT,
        ),
        (
            "not sooner",
            date("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ALLOWED,
        ),
        ("parts of an ARN", arn("ArnLike", "arn:aws:sns:*:*:a:*"), EXPLICIT),
        (
            "a * of an ARN ends at a colon",
            arn("ArnLike", "arn:aws:*:a:b"),
            ALLOWED,
        ),
        ("as a text it does not", arn("StringLike", "arn:aws:*:a:b"), EXPLICIT),
        (
            "ArnEquals has wildcards",
            arn("ArnEquals", "arn:aws:sns:eu-west-?:111111111111:*"),
            EXPLICIT,
        ),
        ("StringEquals has none", arn("StringEquals", "arn:aws:sns:*"), ALLOWED),
        (
            "ArnNotEquals",
            arn("ArnNotEquals", "arn:aws:sns:*:111111111111:a:b"),
            ALLOWED,
        ),
        (
            "binary",
            denying_if(json!({"BinaryEquals": {"k": "QUJD"}}), json!({"k": "QUJD"})),
            EXPLICIT,
        ),
        (
            "binary has case",
            denying_if(json!({"BinaryEquals": {"k": "QUJD"}}), json!({"k": "qujd"})),
            ALLOWED,
        ),
    ]);
}

/// AWS says of values that are none of the operator's kind only that they are a mistake ("Type mismatch number", "… date",
/// "… IP range", policy check reference of IAM Access Analyzer). Here they agree with nothing, as a variable without a value
/// does, and so the negated operators match; the read-only proof rests on neither.
#[test]
fn values_of_another_kind() {
    let asked = |operator: &str, own: &str, value: &str| {
        denying_if(json!({operator: {"aws:Key": own}}), json!({"aws:Key": value}))
    };
    all_decided(vec![
        ("no number", asked("NumericLessThan", "TLSv1.2", "1.1"), ALLOWED),
        (
            "no number, negated",
            asked("NumericNotEquals", "TLSv1.2", "1.2"),
            EXPLICIT,
        ),
        (
            "a number and white space",
            asked("NumericLessThanEquals", "1.2 ", "1.2"),
            ALLOWED,
        ),
        ("an exponent", asked("NumericGreaterThan", "1e0", "2"), ALLOWED),
        ("no whole part", asked("NumericGreaterThan", ".5", "1.2"), ALLOWED),
        ("no date", asked("DateLessThan", "soon", "2026-01-01"), ALLOWED),
        (
            "no date, negated",
            asked("DateNotEquals", "soon", "2026-01-01"),
            EXPLICIT,
        ),
        ("no truth", asked("Bool", "no", "false"), ALLOWED),
        ("no truth in the request", asked("Bool", "false", "no"), ALLOWED),
        ("no address", asked("IpAddress", "10.0.0.*", "10.0.0.1"), ALLOWED),
        (
            "no address, negated",
            asked("NotIpAddress", "10.0.0.*", "10.0.0.1"),
            EXPLICIT,
        ),
        (
            "no ARN of six parts",
            asked("ArnLike", "arn:aws:s3:*", "arn:aws:s3:::b"),
            ALLOWED,
        ),
        (
            "no ARN of six parts, negated",
            asked("ArnNotLike", "arn:aws:s3:*", "arn:aws:s3:::b"),
            EXPLICIT,
        ),
        // The same address and the same number in another spelling are the same.
        (
            "an address in another spelling",
            asked("NotIpAddress", "2001:DB8::1", "2001:0db8:0::0001"),
            ALLOWED,
        ),
        (
            "a block of the other family",
            asked("NotIpAddress", "2001:db8::1", "10.1.2.3"),
            EXPLICIT,
        ),
        // "an ISO 8601 date format … or in epoch (UNIX) time", which counts seconds.
        (
            "seconds beside a date",
            asked("DateLessThan", "2026-01-01", "1767225601"),
            ALLOWED,
        ),
        ("a year", asked("DateLessThan", "2027", "2026-01-01"), EXPLICIT),
    ]);
}

#[test]
fn variables() {
    let (team, star) = (
        json!({"aws:PrincipalTag/team": "team"}),
        json!({"aws:PrincipalTag/team": "*"}),
    );
    let own = |resource: &str, context: &Value| json!({"own": [{"Resource": resource}], "context": context});
    let none = json!({});
    all_decided(vec![
        (
            "a tag",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team}/*", &team),
            ALLOWED,
        ),
        (
            "no tag",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team}/*", &none),
            IMPLICIT,
        ),
        (
            "no tag beside stars",
            own("arn:aws:s3:::*${aws:PrincipalTag/team}*", &none),
            IMPLICIT,
        ),
        (
            "a tag that is a star",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team}/*", &star),
            IMPLICIT,
        ),
        (
            "a default",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team, 'team'}/*", &none),
            ALLOWED,
        ),
        // "Separate the variable text and the default value with a comma and space."
        (
            "a default without the space",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team,'team'}/*", &none),
            IMPLICIT,
        ),
        (
            "a default beside an empty tag, which is a value",
            own(
                "arn:aws:s3:::b/${aws:PrincipalTag/team, 'x'}team/*",
                &json!({"aws:PrincipalTag/team": ""}),
            ),
            ALLOWED,
        ),
        (
            "a default with a star",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team, '*'}/*", &none),
            IMPLICIT,
        ),
        (
            "a default beside a tag",
            own("arn:aws:s3:::b/${aws:PrincipalTag/team, 'x'}/*", &team),
            ALLOWED,
        ),
        ("a literal star", own("arn:aws:s3:::b/${*}", &none), IMPLICIT),
        (
            "a literal star, asked for",
            json!({"on": "arn:aws:s3:::b/*", "own": [{"Resource": "arn:aws:s3:::b/${*}"}]}),
            ALLOWED,
        ),
        (
            "a literal question mark and dollar",
            json!({"on": "arn:aws:s3:::b/?$", "own": [{"Resource": "arn:aws:s3:::b/${?}${$}"}]}),
            ALLOWED,
        ),
        (
            "a role has no user name",
            own("arn:aws:s3:::b/${aws:username}/*", &none),
            IMPLICIT,
        ),
        (
            "a user has",
            json!({"who": "arn:aws:iam::111111111111:user/x/team", "own": [{"Resource": "arn:aws:s3:::b/${aws:username}/*"}]}),
            ALLOWED,
        ),
        (
            "a Deny without its variable",
            denying(
                json!({"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}),
                json!({}),
            ),
            ALLOWED,
        ),
        // "The resource that includes a policy variable with no value will not match any resource": neither in Resource nor in
        // NotResource, whose statement is about all that it does not match.
        (
            "a Deny of all but what has no value",
            denying(
                json!({"NotResource": "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}),
                json!({}),
            ),
            EXPLICIT,
        ),
        (
            "an Allow of all but what has no value",
            json!({"own": [{"NotResource": "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}]}),
            ALLOWED,
        ),
        // "Inverted condition operators like StringNotEquals or StringNotLike do match against a null value, as the value of
        // the condition key they are testing against is not equal to or like the effectively null value."
        (
            "in a negated condition, without a value",
            denying_if(
                json!({"StringNotEquals": {"s3:ExistingObjectTag/Team": "${aws:PrincipalTag/team}"}}),
                json!({"s3:ExistingObjectTag/Team": "team"}),
            ),
            EXPLICIT,
        ),
        (
            "in a negated ARN condition, without a value",
            denying_if(
                json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::${aws:PrincipalTag/team}"}}),
                json!({"aws:SourceArn": "arn:aws:s3:::team"}),
            ),
            EXPLICIT,
        ),
        (
            "in a condition",
            denying_if(
                json!({"StringLike": {"s3:prefix": "${aws:PrincipalTag/team}/*"}}),
                json!({"s3:prefix": "team/x", "aws:PrincipalTag/team": "team"}),
            ),
            EXPLICIT,
        ),
        (
            "in an ARN condition",
            denying_if(
                json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::${aws:PrincipalTag/team}"}}),
                json!({"aws:SourceArn": "arn:aws:s3:::team", "aws:PrincipalTag/team": "team"}),
            ),
            EXPLICIT,
        ),
        (
            "not in a number",
            denying_if(
                json!({"NumericEquals": {"s3:max-keys": "${aws:PrincipalTag/team}"}}),
                json!({"s3:max-keys": "1", "aws:PrincipalTag/team": "1"}),
            ),
            ALLOWED,
        ),
        (
            "of many values",
            json!({"own": [{"Resource": "arn:aws:s3:::b/${aws:TagKeys}/*"}], "context": {"aws:TagKeys": ["team", "x"]}}),
            IMPLICIT,
        ),
    ]);
}

#[test]
fn principals() {
    let of = |principal: Value| json!({"of": {"Principal": principal}});
    let by = |who: &str, principal: Value| json!({"who": who, "of": {"Principal": principal}});
    let refused = |principal: Value| json!({"own": [{}], "of": {"Effect": "Deny", "Principal": principal}});
    all_decided(vec![
        ("the role of the session", of(json!({"AWS": ROLE})), ALLOWED),
        ("one of a list", of(json!({"AWS": [USER, SESSION]})), ALLOWED),
        (
            "another session",
            of(json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/t"})),
            IMPLICIT,
        ),
        // "You cannot use a wildcard to match part of a principal name or ARN."
        (
            "part of a role's name",
            of(json!({"AWS": "arn:aws:iam::111111111111:role/*"})),
            IMPLICIT,
        ),
        (
            "part of a session's name",
            of(json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/*"})),
            IMPLICIT,
        ),
        (
            "a role's unique id",
            of(json!({"AWS": "AROAEXAMPLEEXAMPLE123"})),
            IMPLICIT,
        ),
        ("the account only delegates", of(json!({"AWS": MINE})), IMPLICIT),
        ("the account's root only delegates", of(json!({"AWS": ROOT})), IMPLICIT),
        ("another account", of(json!({"AWS": OTHER})), IMPLICIT),
        (
            "a canonical user",
            of(json!({"CanonicalUser": "79a59df900b949e55d96a1e698fbaced"})),
            IMPLICIT,
        ),
        ("a service is no star", of(json!({"Service": "*"})), IMPLICIT),
        ("nobody", of(json!({"AWS": []})), IMPLICIT),
        ("anonymous, everybody", by("*", json!("*")), ALLOWED),
        ("anonymous, everybody by AWS", by("*", json!({"AWS": "*"})), ALLOWED),
        ("anonymous, an account", by("*", json!({"AWS": MINE})), IMPLICIT),
        (
            "a service by name",
            by(
                "logging.s3.amazonaws.com",
                json!({"Service": ["logging.s3.amazonaws.com"]}),
            ),
            ALLOWED,
        ),
        (
            "a service by another's",
            by("logging.s3.amazonaws.com", json!({"Service": "s3.amazonaws.com"})),
            IMPLICIT,
        ),
        (
            "a Deny of the role hits its sessions",
            refused(json!({"AWS": ROLE})),
            EXPLICIT,
        ),
        (
            "a Deny of the account hits all",
            refused(json!({"AWS": ROOT})),
            EXPLICIT,
        ),
        (
            "a Deny of another session",
            refused(json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/t"})),
            ALLOWED,
        ),
        // "aws:PrincipalArn … for IAM roles, the request context returns the ARN of the role"
        (
            "a session is known by its role",
            json!({"own": [{}, {"Effect": "Deny", "Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE}}}]}),
            EXPLICIT,
        ),
        (
            "and not by its own name",
            json!({"own": [{}, {"Effect": "Deny", "Condition": {"ArnEquals": {"aws:PrincipalArn": SESSION}}}]}),
            ALLOWED,
        ),
        (
            "everybody but the role",
            json!({"own": [{}], "of": {"Effect": "Deny", "Condition": {"ArnNotEquals": {"aws:PrincipalArn": ROLE}}}}),
            ALLOWED,
        ),
        (
            "everybody with a condition",
            json!({"of": {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}}),
            IMPLICIT,
        ),
    ]);
}

#[test]
fn accounts() {
    let across = |mut case: Value| {
        case["owner"] = json!(OTHER);
        case
    };
    let assume = |owner: &str, mut case: Value| {
        case["action"] = json!("sts:AssumeRole");
        case["on"] = json!(format!("arn:aws:iam::{owner}:role/other"));
        case["owner"] = json!(owner);
        case
    };
    let decrypt = |owner: &str, mut case: Value| {
        case["action"] = json!("kms:Decrypt");
        case["on"] = json!(format!("arn:aws:kms:eu-west-1:{owner}:key/k"));
        case["owner"] = json!(owner);
        case
    };
    let nothing = json!({"Action": "ec2:*"});
    all_decided(vec![
        ("their bucket, our policy", across(json!({"own": [{}]})), IMPLICIT),
        (
            "their bucket, their policy",
            across(json!({"of": {"Principal": {"AWS": SESSION}}})),
            IMPLICIT,
        ),
        (
            "their bucket, both",
            across(json!({"own": [{}], "of": {"Principal": {"AWS": MINE}}})),
            ALLOWED,
        ),
        ("their bucket, everybody", across(json!({"of": {}})), IMPLICIT),
        (
            "their bucket, both, in a narrow session",
            across(json!({"own": [{}], "of": {"Principal": {"AWS": SESSION}}, "session": [nothing]})),
            IMPLICIT,
        ),
        (
            "their bucket, our root",
            across(json!({"who": ROOT, "of": {"Principal": {"AWS": MINE}}})),
            ALLOWED,
        ),
        ("our key, no key policy", decrypt(MINE, json!({"own": [{}]})), IMPLICIT),
        (
            "our key, delegated",
            decrypt(MINE, json!({"own": [{}], "of": {"Principal": {"AWS": ROOT}}})),
            ALLOWED,
        ),
        (
            "our key, delegated, nothing of our own",
            decrypt(MINE, json!({"of": {"Principal": {"AWS": ROOT}}})),
            IMPLICIT,
        ),
        (
            "our key, the role named, under a boundary",
            decrypt(MINE, json!({"of": {"Principal": {"AWS": ROLE}}, "boundary": nothing})),
            IMPLICIT,
        ),
        (
            "their key, both",
            decrypt(OTHER, json!({"own": [{}], "of": {"Principal": {"AWS": MINE}}})),
            ALLOWED,
        ),
        (
            "their key, theirs only",
            decrypt(OTHER, json!({"of": {"Principal": {"AWS": ROLE}}})),
            IMPLICIT,
        ),
        // Every role has a trust policy ("a required resource-based policy that is attached to a role").
        (
            "our role, no trust policy",
            assume(MINE, json!({"own": [{}]})),
            IMPLICIT,
        ),
        (
            "our role, trusting us",
            assume(MINE, json!({"of": {"Principal": {"AWS": ROLE}}})),
            ALLOWED,
        ),
        (
            "our role, trusting the account",
            assume(MINE, json!({"of": {"Principal": {"AWS": ROOT}}})),
            IMPLICIT,
        ),
        (
            "their role, trusting us",
            assume(OTHER, json!({"of": {"Principal": {"AWS": ROLE}}})),
            IMPLICIT,
        ),
        (
            "their role, trusting us, and our own",
            assume(OTHER, json!({"own": [{}], "of": {"Principal": {"AWS": ROLE}}})),
            ALLOWED,
        ),
        (
            "tags of a session need their own right",
            json!({"who": "pods.eks.amazonaws.com", "action": "sts:TagSession", "on": "arn:aws:iam::111111111111:role/other", "of": {"Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"}}),
            IMPLICIT,
        ),
    ]);
}

#[test]
fn boundaries_and_sessions() {
    let nothing = json!({"Action": "ec2:*"});
    let by = |principal: &str, caps: &str| {
        let mut case = json!({"of": {"Principal": {"AWS": principal}}});
        case[caps] = if caps == "session" {
            json!([nothing])
        } else {
            nothing.clone()
        };
        case
    };
    let mut user = by(USER, "boundary");
    user["who"] = json!(USER);
    all_decided(vec![
        ("a boundary grants nothing", json!({"boundary": {}}), IMPLICIT),
        ("a session policy grants nothing", json!({"session": [{}]}), IMPLICIT),
        (
            "a boundary without it",
            json!({"own": [{}], "boundary": nothing}),
            IMPLICIT,
        ),
        (
            "a Deny of the boundary",
            json!({"own": [{}], "boundary": [{}, {"Effect": "Deny", "Action": "s3:*"}]}),
            EXPLICIT,
        ),
        (
            "a Deny of the boundary against the bucket's grant",
            json!({"of": {"Principal": {"AWS": SESSION}}, "boundary": {"Effect": "Deny"}}),
            EXPLICIT,
        ),
        (
            "a Deny of the session",
            json!({"own": [{}], "session": [[{}, {"Effect": "Deny", "Resource": "arn:aws:s3:::b/*"}]]}),
            EXPLICIT,
        ),
        (
            "one of two session policies is enough",
            json!({"own": [{}], "session": [nothing, {}]}),
            ALLOWED,
        ),
        (
            "a Deny in the other is not undone",
            json!({"own": [{}], "session": [{"Effect": "Deny"}, {}]}),
            EXPLICIT,
        ),
        ("the role named, under a boundary", by(ROLE, "boundary"), IMPLICIT),
        ("the session named, under a boundary", by(SESSION, "boundary"), ALLOWED),
        ("the role named, in a session", by(ROLE, "session"), IMPLICIT),
        ("the session named, in a session", by(SESSION, "session"), ALLOWED),
        (
            "everybody named, in a session",
            json!({"of": {}, "session": [nothing]}),
            ALLOWED,
        ),
        // "If you do not pass a policy, then the resulting federated user session has no permissions."
        (
            "a federated user without a session policy",
            json!({"who": "arn:aws:sts::111111111111:federated-user/bob", "own": [{}]}),
            IMPLICIT,
        ),
        (
            "a federated user with one",
            json!({"who": "arn:aws:sts::111111111111:federated-user/bob", "own": [{}], "session": [{}]}),
            ALLOWED,
        ),
        ("a user named, under a boundary", user, ALLOWED),
        // "The NotPrincipal element with a Deny effect will always deny any IAM principal that has a permissions boundary"
        (
            "NotPrincipal and a boundary",
            json!({"own": [{}], "boundary": {}, "of": {"Effect": "Deny", "NotPrincipal": {"AWS": [ROLE, SESSION, ROOT]}}}),
            EXPLICIT,
        ),
    ]);
}

#[test]
fn organizations_and_endpoints() {
    let (full, nothing) = (json!({}), json!({"Action": "ec2:*"}));
    let deny = json!({"Effect": "Deny", "Action": "s3:*"});
    let service = "logging.s3.amazonaws.com";
    let confused = json!({"Effect": "Deny", "Condition": {
        "StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}, "BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}});
    all_decided(vec![
        (
            "two policies of a level",
            json!({"own": [{}], "scp": [[nothing, full]]}),
            ALLOWED,
        ),
        (
            "a level without",
            json!({"own": [{}], "scp": [[full], [nothing], [full]]}),
            IMPLICIT,
        ),
        (
            "a level without any policy",
            json!({"own": [{}], "scp": [[full], []]}),
            IMPLICIT,
        ),
        (
            "a Deny of one level",
            json!({"own": [{}], "scp": [[full], [full, deny]]}),
            EXPLICIT,
        ),
        ("an SCP grants nothing", json!({"scp": [[full]]}), IMPLICIT),
        (
            "an SCP stops the root user",
            json!({"who": ROOT, "scp": [[nothing]]}),
            IMPLICIT,
        ),
        (
            "a Deny of an SCP does too",
            json!({"who": ROOT, "scp": [[full, deny]]}),
            EXPLICIT,
        ),
        (
            "an SCP does not stop a service-linked role",
            json!({"who": LINKED, "own": [{}], "scp": [[nothing, deny]]}),
            ALLOWED,
        ),
        // "SCPs affect only IAM users and roles that are managed by accounts that are part of the organization."
        (
            "nor a service",
            json!({"who": service, "of": {"Principal": {"Service": service}}, "scp": [[nothing, deny]]}),
            ALLOWED,
        ),
        (
            "nor anonymous requests",
            json!({"who": "*", "of": {}, "scp": [[nothing, deny]]}),
            ALLOWED,
        ),
        (
            "an RCP stops a service",
            json!({"who": service, "of": {"Principal": {"Service": service}}, "rcp": [[deny]]}),
            EXPLICIT,
        ),
        (
            "an RCP that spares services",
            json!({"who": service, "of": {"Principal": {"Service": service}}, "rcp": [[confused]]}),
            ALLOWED,
        ),
        ("and nobody else", json!({"own": [{}], "rcp": [[confused]]}), EXPLICIT),
        (
            "an RCP does not stop a service-linked role",
            json!({"who": LINKED, "own": [{}], "rcp": [[deny]]}),
            ALLOWED,
        ),
        (
            "an RCP stops the root user",
            json!({"who": ROOT, "rcp": [[deny]]}),
            EXPLICIT,
        ),
        (
            "an endpoint for others",
            json!({"own": [{}], "endpoint": {"Principal": {"AWS": OTHER}}}),
            IMPLICIT,
        ),
        (
            "an endpoint for the role",
            json!({"own": [{}], "endpoint": {"Principal": {"AWS": ROLE}}}),
            ALLOWED,
        ),
        ("an endpoint grants nothing", json!({"endpoint": {}}), IMPLICIT),
        (
            "an endpoint against the bucket's grant",
            json!({"of": {"Principal": {"AWS": SESSION}}, "endpoint": nothing}),
            IMPLICIT,
        ),
        (
            "an endpoint that denies",
            json!({"own": [{}], "endpoint": [{}, {"Effect": "Deny", "NotResource": "arn:aws:s3:::c/*"}]}),
            EXPLICIT,
        ),
    ]);
}

/// They are those of a resource's policy. (A gateway endpoint takes an account for its root user alone: there "the Principal
/// element must be set to *", and a file does not say which kind of endpoint has it.)
#[test]
fn principals_of_endpoints() {
    all_decided(vec![
        (
            "an endpoint that denies another role",
            json!({"own": [{}], "endpoint": [{}, {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111111111111:role/other"}}]}),
            ALLOWED,
        ),
        (
            "an endpoint for all but the role",
            json!({"own": [{}], "endpoint": {"NotPrincipal": {"AWS": [ROLE, ROOT]}}}),
            IMPLICIT,
        ),
    ]);
}

#[test]
fn the_root_user() {
    let locked = json!({"Effect": "Deny", "Action": "s3:*"});
    let policy_of = |who: &str, owner: &str| json!({"who": who, "owner": owner, "action": "s3:PutBucketPolicy", "on": "arn:aws:s3:::b", "own": [{}], "of": locked});
    all_decided(vec![
        ("needs no policy", json!({"who": ROOT}), ALLOWED),
        ("is denied like others", json!({"who": ROOT, "of": locked}), EXPLICIT),
        ("but for his bucket's policy", policy_of(ROOT, MINE), ALLOWED),
        ("not for another's", policy_of(ROOT, OTHER), EXPLICIT),
        ("nor can a role", policy_of(ROLE, MINE), EXPLICIT),
    ]);
}
