//! Requests that AWS's documentation decides: one row a rule, each with its opposite beside it.

use serde_json::{Value, json};

use super::*;
use crate::domain::document::PolicyDocument;

const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/train/s";
const ROLE: &str = "arn:aws:iam::111111111111:role/train";
const OBJECT: &str = "arn:aws:s3:::b/team/k";

/// Context keys with their values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn policy(kind: PolicyKind, statements: &Value) -> Policy {
    let document = json!({"Version": "2012-10-17", "Statement": statements});
    let document = PolicyDocument::parse(&document.to_string()).unwrap();
    document.check(kind).unwrap();
    Policy::new(kind, "p", &document).unwrap()
}

fn everything(kind: PolicyKind) -> Policy {
    let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    if kind.names_principals() {
        statement["Principal"] = json!("*");
    }
    policy(kind, &statement)
}

fn context(pairs: Pairs<'_>) -> Context {
    let mut context = Context::new();
    for (key, value) in pairs {
        context.add(key, value);
    }
    context
}

fn ask_in(account: &str, caller: &str, context: Context, policies: &PolicySet) -> &'static str {
    let caller = Caller::parse(caller).unwrap();
    let request = Request::new(caller, "s3:GetObject", OBJECT, Some(account), context).unwrap();
    decide(&request, policies).verdict.as_str()
}

fn ask(pairs: Pairs<'_>, policies: &PolicySet) -> &'static str {
    ask_in("111111111111", SESSION, context(pairs), policies)
}

/// A Deny under this condition beside everything allowed: whether it hits.
fn denies(condition: &Value, pairs: Pairs<'_>) -> bool {
    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition});
    let policies = PolicySet {
        identity: vec![everything(PolicyKind::Identity), policy(PolicyKind::Identity, &deny)],
        ..PolicySet::default()
    };
    ask(pairs, &policies) == "ExplicitlyDenied"
}

#[test]
fn conditions_hold_as_documented() {
    let (org, tags, none): (_, _, Pairs<'_>) = (
        [("aws:PrincipalOrgID", "o-1")],
        [("aws:TagKeys", "a"), ("aws:TagKeys", "b")],
        &[],
    );
    let rows: &[(Value, Pairs<'_>, bool)] = &[
        // "If the key that you specify in a policy condition is not present in the request context … the condition is true"
        // for negated operators and …IfExists, and false for the others.
        (json!({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}), none, true),
        (json!({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}), &org, false),
        (
            json!({"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}),
            none,
            true,
        ),
        (
            json!({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-2"}}),
            none,
            true,
        ),
        (
            json!({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-2"}}),
            &org,
            false,
        ),
        (
            json!({"NumericLessThanIfExists": {"s3:TlsVersion": "1.2"}}),
            &[("s3:TlsVersion", "1.3")],
            false,
        ),
        (
            json!({"NumericLessThan": {"s3:TlsVersion": 1.2}}),
            &[("s3:TlsVersion", "1.1")],
            true,
        ),
        (
            json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}),
            none,
            true,
        ),
        (json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}}), none, false),
        // Several keys and operators are ANDed; several values of one key are ORed, of a negated one NORed.
        (
            json!({"StringNotEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}}),
            &org,
            false,
        ),
        (
            json!({"StringEquals": {"aws:PrincipalOrgID": "o-1", "aws:SourceVpc": "v"}}),
            &org,
            false,
        ),
        (json!({"StringEquals": {"aws:principalorgid": "o-1"}}), &org, true),
        (json!({"StringEquals": {"aws:PrincipalOrgID": "O-1"}}), &org, false),
        (json!({"StringEquals": {"aws:PrincipalOrgID": "o-*"}}), &org, false),
        (json!({"StringLike": {"aws:PrincipalOrgID": "o-?"}}), &org, true),
        // Null: true means that the key is absent; false that it is there.
        (json!({"Null": {"aws:PrincipalOrgID": "true"}}), none, true),
        (json!({"Null": {"aws:PrincipalOrgID": "false"}}), none, false),
        (json!({"Null": {"aws:PrincipalOrgID": false}}), &org, true),
        // ForAllValues holds for a missing key, ForAnyValue does not.
        (
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}}),
            &tags,
            true,
        ),
        (
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}),
            &tags,
            false,
        ),
        (json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}), none, true),
        (
            json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["b", "z"]}}),
            &tags,
            true,
        ),
        (
            json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["z"]}}),
            &tags,
            false,
        ),
        (json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["b"]}}), none, false),
        (
            json!({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a"]}}),
            &tags,
            true,
        ),
        (
            json!({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}),
            &tags,
            false,
        ),
    ];
    for (condition, pairs, wanted) in rows {
        assert_eq!(denies(condition, pairs), *wanted, "{condition} with {pairs:?}");
    }
}

#[test]
fn every_value_must_differ_where_all_values_are_asked_not_to_match() {
    let tags: Pairs<'_> = &[("aws:TagKeys", "a"), ("aws:TagKeys", "b")];
    let asked = |operator: &str, value: &str| denies(&json!({operator: {"aws:TagKeys": [value]}}), tags);
    assert!(!asked("ForAllValues:StringNotEquals", "a"));
    assert!(asked("ForAllValues:StringNotLike", "x*"));
}

#[test]
fn arns_addresses_and_dates_compare_as_documented() {
    let none: Pairs<'_> = &[];
    let arn = [("aws:SourceArn", "arn:aws:sns:eu-west-1:111111111111:topic/x")];
    let rows: &[(Value, Pairs<'_>, bool)] = &[
        // "Each of the six colon-delimited components of the ARN is checked separately."
        (
            json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:111111111111:topic/*"}}),
            &arn,
            true,
        ),
        (
            json!({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:*:*:topic/?"}}),
            &arn,
            true,
        ),
        (json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*"}}), &arn, false),
        (
            json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:sqs:*:*:*"}}),
            &arn,
            true,
        ),
        (
            json!({"ArnNotEquals": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}),
            none,
            true,
        ),
        (json!({"StringLike": {"aws:SourceArn": "arn:aws:sns:*"}}), &arn, true),
        // Addresses and dates.
        (
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
            &[("aws:SourceIp", "10.1.2.3")],
            true,
        ),
        (
            json!({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]}}),
            &[("aws:SourceIp", "192.0.2.9")],
            false,
        ),
        (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), none, true),
        (
            json!({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}),
            &[("aws:SourceIp", "2001:db8::1")],
            true,
        ),
        (
            json!({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}),
            &[("aws:CurrentTime", "2026-06-01T00:00:00Z")],
            true,
        ),
    ];
    for (condition, pairs, wanted) in rows {
        assert_eq!(denies(condition, pairs), *wanted, "{condition} with {pairs:?}");
    }
}

#[test]
fn variables_stand_for_values_of_the_request() {
    let tag = [("aws:PrincipalTag/team", "team")];
    let rows: [(&str, &str, Pairs<'_>, &str); 8] = [
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
            &tag,
            "Allowed",
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${AWS:principaltag/TEAM}/*",
            &tag,
            "Allowed",
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
            &[],
            "ImplicitlyDenied",
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team, 'team'}/*",
            &[],
            "Allowed",
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team, 'other'}/*",
            &tag,
            "Allowed",
        ),
        // A value is text, whatever it looks like; and `${*}` is a star.
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}",
            &[("aws:PrincipalTag/team", "*")],
            "ImplicitlyDenied",
        ),
        ("2012-10-17", "arn:aws:s3:::b/team/${*}", &[], "ImplicitlyDenied"),
        // "2008-10-17 … variables … are treated as literal strings."
        (
            "2008-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
            &tag,
            "ImplicitlyDenied",
        ),
    ];
    for (version, resource, pairs, wanted) in rows {
        let document = json!({"Version": version, "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}});
        let document = PolicyDocument::parse(&document.to_string()).unwrap();
        let policies = PolicySet {
            identity: vec![Policy::new(PolicyKind::Identity, "p", &document).unwrap()],
            ..PolicySet::default()
        };
        assert_eq!(ask(pairs, &policies), wanted, "{version} {resource} {pairs:?}");
    }
}

/// What stands in the way of a caller who may do everything, and of one whom the bucket's policy lets in.
#[test]
fn every_other_kind_of_policy_has_its_say() {
    let all = |kind| everything(kind);
    let nothing = |kind| policy(kind, &json!({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}));
    let own = || PolicySet {
        identity: vec![all(PolicyKind::Identity)],
        ..PolicySet::default()
    };
    let granted = |principal: Value| PolicySet {
        resource: Some(policy(
            PolicyKind::Resource,
            &json!({"Effect": "Allow", "Principal": principal, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}),
        )),
        ..PolicySet::default()
    };
    let session = |mut set: PolicySet| {
        set.session = vec![nothing(PolicyKind::Session)];
        set
    };
    let boundary = |mut set: PolicySet| {
        set.boundary = Some(nothing(PolicyKind::Boundary));
        set
    };
    let control = |mut set: PolicySet, levels: Vec<Vec<Policy>>| {
        set.service_control = levels;
        set
    };
    let (full, none) = (
        || all(PolicyKind::ServiceControl),
        || nothing(PolicyKind::ServiceControl),
    );
    let endpoint = |mut set: PolicySet, statement: Value| {
        set.vpc_endpoint = Some(policy(PolicyKind::VpcEndpoint, &statement));
        set
    };
    let resource_control = |mut set: PolicySet, condition: Value| {
        let deny =
            json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": condition});
        set.resource_control = vec![vec![policy(PolicyKind::ResourceControl, &deny)]];
        set
    };
    let (mine, other) = ("111111111111", "222222222222");
    let to = |who: &str| granted(json!({"AWS": who}));
    let both = || PolicySet {
        identity: own().identity,
        ..to(ROLE)
    };
    let rows: Vec<(&str, &str, PolicySet, &str)> = vec![
        ("session policy", mine, session(own()), "ImplicitlyDenied"),
        (
            "a grant to the role is limited by the session",
            mine,
            session(to(ROLE)),
            "ImplicitlyDenied",
        ),
        ("a grant to the session is not", mine, session(to(SESSION)), "Allowed"),
        (
            "a grant to the role is limited by the boundary",
            mine,
            boundary(to(ROLE)),
            "ImplicitlyDenied",
        ),
        ("a grant to the session is not", mine, boundary(to(SESSION)), "Allowed"),
        (
            "a grant to everybody is not",
            mine,
            boundary(granted(json!("*"))),
            "Allowed",
        ),
        (
            "a grant to the account needs the role's own",
            mine,
            to(mine),
            "ImplicitlyDenied",
        ),
        (
            "across accounts: only the resource's",
            other,
            to(ROLE),
            "ImplicitlyDenied",
        ),
        ("across accounts: only the role's own", other, own(), "ImplicitlyDenied"),
        ("across accounts: both", other, both(), "Allowed"),
        (
            "across accounts: both, and a boundary",
            other,
            boundary(both()),
            "ImplicitlyDenied",
        ),
        (
            "SCP of one level",
            mine,
            control(own(), vec![vec![full()], vec![none(), full()]]),
            "Allowed",
        ),
        (
            "SCP: a level without an Allow",
            mine,
            control(own(), vec![vec![full()], vec![none()]]),
            "ImplicitlyDenied",
        ),
        (
            "SCP stops a grant of the bucket too",
            mine,
            control(to(SESSION), vec![vec![none()]]),
            "ImplicitlyDenied",
        ),
        (
            "an RCP denies across accounts",
            other,
            resource_control(both(), json!({"StringNotEquals": {"aws:PrincipalAccount": other}})),
            "ExplicitlyDenied",
        ),
        (
            "an RCP whose condition fails",
            mine,
            resource_control(own(), json!({"StringNotEquals": {"aws:PrincipalAccount": mine}})),
            "Allowed",
        ),
        (
            "an endpoint for other buckets",
            mine,
            endpoint(
                own(),
                json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "arn:aws:s3:::c/*"}),
            ),
            "ImplicitlyDenied",
        ),
        (
            "an endpoint for the account",
            mine,
            endpoint(
                own(),
                json!({"Effect": "Allow", "Principal": {"AWS": mine}, "Action": "*", "Resource": "*"}),
            ),
            "Allowed",
        ),
        (
            "an endpoint that denies",
            mine,
            endpoint(
                own(),
                json!([
                    {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
                    {"Effect": "Deny", "Principal": "*", "Action": "s3:Get*", "Resource": "*"},
                ]),
            ),
            "ExplicitlyDenied",
        ),
    ];
    for (name, account, policies, wanted) in rows {
        assert_eq!(ask_in(account, SESSION, Context::new(), &policies), wanted, "{name}");
    }
}

#[test]
fn not_principal_names_everybody_else() {
    let with = |effect: &str, listed: Value| PolicySet {
        identity: if effect == "Deny" {
            vec![everything(PolicyKind::Identity)]
        } else {
            Vec::new()
        },
        resource: Some(policy(
            PolicyKind::Resource,
            &json!({"Effect": effect, "NotPrincipal": {"AWS": listed}, "Action": "s3:*", "Resource": "*"}),
        )),
        ..PolicySet::default()
    };
    let rows = [
        ("Deny", json!([ROLE, "arn:aws:iam::111111111111:root"]), "Allowed"),
        ("Deny", json!([SESSION, ROLE, "111111111111"]), "Allowed"),
        ("Deny", json!([ROLE]), "ExplicitlyDenied"),
        ("Deny", json!(["111111111111"]), "ExplicitlyDenied"),
        (
            "Deny",
            json!(["arn:aws:iam::111111111111:role/other", "111111111111"]),
            "ExplicitlyDenied",
        ),
        ("Allow", json!([ROLE]), "ImplicitlyDenied"),
        ("Allow", json!(["arn:aws:iam::222222222222:role/x"]), "Allowed"),
    ];
    for (effect, listed, wanted) in rows {
        assert_eq!(ask(&[], &with(effect, listed.clone())), wanted, "{effect} {listed}");
    }
}
