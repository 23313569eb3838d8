use super::*;

/// The verdict of one condition on a context.
fn met(operator: &str, values: &[&str], context: &[(&str, &str)]) -> bool {
    let condition = Condition {
        operator: operator.to_owned(),
        key: "aws:Key".to_owned(),
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    };
    let context = context.iter().map(|(_, v)| ("AWS:key", *v)).collect();
    CompiledCondition::new(&condition, Version::V2012)
        .unwrap()
        .is_met(&context)
}

/// Each row: operator, values of the document, value of the request, verdict.
#[test]
fn operators_compare_as_documented() {
    for (operator, own, value, verdict) in [
        ("StringEquals", vec!["a", "b"], "b", true),
        ("StringEquals", vec!["a"], "A", false),
        ("StringEquals", vec!["a*"], "ab", false),
        ("StringEquals", vec!["a${*}"], "a*", true),
        ("StringNotEquals", vec!["a", "b"], "b", false),
        ("StringNotEquals", vec!["a", "b"], "c", true),
        ("StringEqualsIgnoreCase", vec!["Straße"], "STRAßE", true),
        ("StringNotEqualsIgnoreCase", vec!["a"], "A", false),
        ("StringLike", vec!["a*", "b?"], "b1", true),
        ("StringLike", vec!["a.c"], "abc", false),
        ("StringNotLike", vec!["a*"], "abc", false),
        ("stringlike", vec!["A*"], "abc", false),
        ("NumericEquals", vec!["1.2"], "1.20", true),
        ("NumericNotEquals", vec!["1.2"], "1.3", true),
        ("NumericLessThan", vec!["1.2"], "1.1", true),
        ("NumericLessThan", vec!["1.2"], "1.2", false),
        ("NumericLessThan", vec!["10"], "9", true),
        ("NumericLessThanEquals", vec!["1.2"], "1.2", true),
        ("NumericGreaterThan", vec!["-1"], "-0.5", true),
        ("NumericGreaterThanEquals", vec!["1"], "0.99", false),
        ("NumericLessThan", vec!["x"], "1", false),
        ("NumericNotEquals", vec!["1"], "x", true),
        (
            "DateLessThan",
            vec!["2026-01-01T00:00:00Z"],
            "2025-12-31T23:59:59Z",
            true,
        ),
        ("DateGreaterThan", vec!["2026-01-01T00:00:00Z"], "1767225601", true),
        ("DateEquals", vec!["2026-01-01"], "2026-01-01T00:00:00Z", true),
        ("DateNotEquals", vec!["2026-01-01"], "2026-01-02", true),
        ("DateLessThanEquals", vec!["2026"], "2026-01-01", true),
        ("DateGreaterThanEquals", vec!["2026"], "2025-12-31", false),
        ("Bool", vec!["false"], "False", true),
        ("Bool", vec!["true"], "false", false),
        ("Bool", vec!["yes"], "yes", false),
        ("BinaryEquals", vec!["QmluYXJ5"], "QmluYXJ5", true),
        ("BinaryEquals", vec!["QmluYXJ5"], "qmluyxj5", false),
        ("IpAddress", vec!["203.0.113.0/24"], "203.0.113.7", true),
        ("IpAddress", vec!["203.0.113.7"], "203.0.113.7", true),
        ("IpAddress", vec!["203.0.113.0/24"], "203.0.114.1", false),
        ("IpAddress", vec!["2001:db8::/32"], "2001:db8:1::1", true),
        ("IpAddress", vec!["0.0.0.0/0"], "::1", false),
        (
            "NotIpAddress",
            vec!["10.0.0.0/8", "192.168.0.0/16"],
            "192.168.1.1",
            false,
        ),
        ("NotIpAddress", vec!["10.0.0.0/8"], "11.0.0.1", true),
        (
            "ArnEquals",
            vec!["arn:aws:iam::1:role/*"],
            "arn:aws:iam::1:role/a/b",
            true,
        ),
        ("ArnLike", vec!["arn:aws:iam::*:role/a"], "arn:aws:iam::1:role/a", true),
        ("ArnLike", vec!["arn:aws:iam:*:role/a"], "arn:aws:iam::1:role/a", false),
        ("ArnLike", vec!["arn:aws:s3:::b"], "b", false),
        ("ArnLike", vec!["*"], "arn:aws:s3:::b", true),
        (
            "ArnNotEquals",
            vec!["arn:aws:iam::1:role/a"],
            "arn:aws:iam::1:role/b",
            true,
        ),
        (
            "ArnNotLike",
            vec!["arn:aws:iam::1:role/*"],
            "arn:aws:iam::1:role/b",
            false,
        ),
        ("Null", vec!["true"], "x", false),
        ("Null", vec!["false"], "x", true),
        ("Null", vec!["False"], "x", true),
    ] {
        assert_eq!(
            met(operator, &own, &[("k", value)]),
            verdict,
            "{operator} {own:?} {value}"
        );
    }
}

#[test]
fn a_missing_key_fails_what_asks_for_a_value_and_passes_what_asks_for_another() {
    for (operator, verdict) in [
        ("StringEquals", false),
        ("StringLike", false),
        ("NumericLessThan", false),
        ("DateGreaterThan", false),
        ("Bool", false),
        ("IpAddress", false),
        ("ArnLike", false),
        ("BinaryEquals", false),
        ("StringNotEquals", true),
        ("StringNotEqualsIgnoreCase", true),
        ("StringNotLike", true),
        ("NumericNotEquals", true),
        ("DateNotEquals", true),
        ("NotIpAddress", true),
        ("ArnNotEquals", true),
        ("ArnNotLike", true),
        ("StringEqualsIfExists", true),
        ("StringNotEqualsIfExists", true),
        ("BoolIfExists", true),
        ("IpAddressIfExists", true),
        ("ArnLikeIfExists", true),
        ("ForAllValues:StringEquals", true),
        ("ForAllValues:StringNotEquals", true),
        ("ForAnyValue:StringEquals", false),
        ("ForAnyValue:StringNotEquals", false),
        ("ForAnyValue:StringEqualsIfExists", false),
    ] {
        assert_eq!(met(operator, &["x"], &[]), verdict, "{operator}");
    }
    assert!(met("Null", &["true"], &[]));
    assert!(!met("Null", &["false"], &[]));
}

#[test]
fn set_operators_look_at_each_value_of_the_request() {
    let two = [("k", "a"), ("k", "b")];
    for (operator, own, verdict) in [
        ("ForAllValues:StringEquals", vec!["a", "b", "c"], true),
        ("ForAllValues:StringEquals", vec!["a"], false),
        ("ForAnyValue:StringEquals", vec!["a"], true),
        ("ForAnyValue:StringEquals", vec!["c"], false),
        ("ForAllValues:StringNotEquals", vec!["c"], true),
        ("ForAllValues:StringNotEquals", vec!["a"], false),
        ("ForAnyValue:StringNotEquals", vec!["a"], true),
        ("ForAnyValue:StringNotEquals", vec!["a", "b"], false),
        ("forallvalues:stringlike", vec!["?"], true),
    ] {
        assert_eq!(met(operator, &own, &two), verdict, "{operator} {own:?}");
    }
}

#[test]
fn an_empty_text_is_no_value_to_set_operators() {
    for (operator, own, verdict) in [
        ("ForAllValues:StringEquals", "a", true),
        ("ForAllValues:StringNotEquals", "", true),
        ("ForAllValues:Bool", "true", true),
        ("ForAnyValue:StringEquals", "", false),
        ("ForAnyValue:StringLike", "*", false),
        ("ForAnyValue:StringNotEquals", "a", false),
        // To the others it is one.
        ("StringEquals", "", true),
        ("StringEquals", "a", false),
        ("StringNotEquals", "a", true),
        ("Null", "false", true),
    ] {
        assert_eq!(met(operator, &[own], &[("k", "")]), verdict, "{operator} {own:?}");
    }
    // Beside another it is a member like any.
    let two = [("k", ""), ("k", "a")];
    assert!(!met("ForAllValues:StringEquals", &["a"], &two));
    assert!(met("ForAnyValue:StringEquals", &[""], &two));
}

#[test]
fn a_multivalued_key_without_a_set_operator_never_matches() {
    let two = [("k", "a"), ("k", "b")];
    assert!(!met("StringEquals", &["a", "b"], &two));
    assert!(!met("StringNotEquals", &["c"], &two));
    assert!(met("Null", &["false"], &two));
}

#[test]
fn variables_are_replaced_for_strings_and_arns_only() {
    let with = |operator: &str, own: &str, value: &str| {
        let condition = Condition {
            operator: operator.to_owned(),
            key: "s3:prefix".to_owned(),
            values: vec![own.to_owned()],
        };
        let context = Context::from_iter([("s3:prefix", value), ("aws:username", "1")]);
        CompiledCondition::new(&condition, Version::V2012)
            .unwrap()
            .is_met(&context)
    };
    assert!(with("StringLike", "home/${aws:username}/*", "home/1/x"));
    assert!(with("StringEquals", "${aws:username}", "1"));
    assert!(with(
        "ArnLike",
        "arn:aws:s3:::b/${aws:username}/*",
        "arn:aws:s3:::b/1/x"
    ));
    assert!(!with("NumericEquals", "${aws:username}", "1"));
    // A variable without a value is equal to nothing, so the negated operators match.
    assert!(!with("StringEquals", "${missing}", "1"));
    assert!(with("StringNotEquals", "${missing}", "1"));
    assert!(with("StringNotLike", "${missing}", "1"));
}

#[test]
fn a_condition_without_values_matches_nothing() {
    assert!(!met("StringEquals", &[], &[("k", "x")]));
    assert!(met("StringNotEquals", &[], &[("k", "x")]));
    assert!(!met("Null", &[], &[("k", "x")]));
}

#[test]
fn an_operator_that_does_not_exist_is_an_error() {
    for operator in [
        "",
        "StringMatches",
        "NullIfExists",
        "ForAnyValue:Null",
        "ForSome:Bool",
        "BoolIfExistsIfExists",
    ] {
        let condition = Condition {
            operator: operator.to_owned(),
            key: "k".to_owned(),
            values: Vec::new(),
        };
        let error = CompiledCondition::new(&condition, Version::V2012);
        assert_eq!(error, Err(UnknownOperator(operator.to_owned())));
    }
}

#[test]
fn a_negated_operator_always_holds_only_for_values_of_its_kind() {
    let known = Context::from_iter([
        ("aws:PrincipalArn", "arn:aws:iam::123456789012:role/etl"),
        ("aws:PrincipalAccount", "123456789012"),
    ]);
    for (operator, key, values, expected) in [
        ("ArnNotEquals", "aws:PrincipalArn", vec!["arn:aws:iam::*:role/a"], true),
        (
            "ArnNotEquals",
            "aws:PrincipalArn",
            vec!["arn:aws:iam::*:role/etl"],
            false,
        ),
        ("ArnNotLike", "aws:PrincipalArn", vec!["arn:*:role/a"], false),
        (
            "ArnNotLike",
            "aws:PrincipalArn",
            vec!["arn:aws:iam::*:role/a", "etl"],
            false,
        ),
        ("ArnNotLike", "aws:PrincipalArn", vec![], false),
        (
            "ArnNotLike",
            "aws:PrincipalAccount",
            vec!["arn:aws:iam::*:role/a"],
            false,
        ),
        ("NumericNotEquals", "aws:PrincipalAccount", vec!["1"], true),
        ("NumericNotEquals", "aws:PrincipalAccount", vec!["one"], false),
        ("NumericNotEquals", "aws:PrincipalAccount", vec!["01"], false),
        ("NotIpAddress", "aws:PrincipalArn", vec!["10.0.0.0/8"], false),
        ("StringNotEquals", "aws:PrincipalAccount", vec!["210987654321"], true),
        ("StringNotLike", "aws:PrincipalTag/team", vec!["a"], false),
        (
            "ArnLike",
            "aws:PrincipalArn",
            vec!["etl", "arn:aws:iam::*:role/*"],
            true,
        ),
        // AWS documents six parts, each checked separately, and nothing of one star for all.
        ("ArnLike", "aws:PrincipalArn", vec!["*"], false),
        ("ArnLike", "aws:PrincipalArn", vec!["*", "arn:*:*:*:*:*"], true),
        ("ArnNotLike", "aws:PrincipalArn", vec!["*"], false),
    ] {
        let condition = Condition {
            operator: operator.to_owned(),
            key: key.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        let compiled = CompiledCondition::new(&condition, Version::V2012).unwrap();
        assert_eq!(compiled.always_holds(&known), expected, "{operator} {key} {values:?}");
    }
}
