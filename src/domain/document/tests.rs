use proptest::prelude::*;
use serde_json::json;

use super::equivalence::{equivalent, same_meaning};
use super::*;

fn parse(value: &Value) -> PolicyDocument {
    PolicyDocument::parse(&value.to_string()).unwrap()
}

fn statement() -> Value {
    json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"})
}

fn error_of(text: &str) -> String {
    PolicyDocument::parse(text).unwrap_err().to_string()
}

#[test]
fn golden_equivalence_cases_hold() {
    let cases: Value = serde_json::from_str(include_str!("../../../tests/golden/policy-equivalence.json")).unwrap();
    let read = |v: &Value| match v {
        Value::String(wire) => PolicyDocument::parse_encoded(wire).unwrap(),
        other => parse(other),
    };
    for case in cases.as_array().unwrap() {
        let verdict = equivalent(&read(&case["a"]), &read(&case["b"]));
        assert_eq!(verdict, case["equivalent"], "{}", case["name"]);
    }
}

#[test]
fn a_repeated_key_is_an_error_at_every_depth() {
    for text in [
        r#"{"Statement": [], "Statement": []}"#,
        r#"{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*"}}"#,
        r#"{"Statement": {"Effect": "Deny", "Action": "*", "Condition": {"Bool": {"a": "1"}, "Bool": {}}}}"#,
        r#"{"Statement": {"Effect": "Deny", "Action": "*", "Condition": {"Bool": {"a": "1", "a": "2"}}}}"#,
        r#"{"Statement": {"Effect": "Deny", "Action": "*", "Principal": {"AWS": "1", "AWS": "2"}}}"#,
    ] {
        assert!(error_of(text).contains("duplicate key"), "{text}");
    }
}

#[test]
fn what_is_outside_the_grammar_is_an_error_that_says_where() {
    for (text, at) in [
        ("", "EOF"),
        ("[]", "document"),
        ("{}", "Statement"),
        (r#"{"Version": "2020-01-01", "Statement": []}"#, "Version"),
        (r#"{"Version": 2012, "Statement": []}"#, "Version"),
        (r#"{"Id": 1, "Statement": []}"#, "Id"),
        (r#"{"statement": []}"#, "statement"),
        (r#"{"Statement": [1]}"#, "Statement[0]"),
        (r#"{"Statement": {"Action": "*"}}"#, "Statement[0].Effect"),
        (
            r#"{"Statement": {"Effect": "deny", "Action": "*"}}"#,
            "Statement[0].Effect",
        ),
        (r#"{"Statement": {"Effect": "Deny"}}"#, "Statement[0].Action"),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": []}}"#,
            "Statement[0].Action",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Resource": []}}"#,
            "Statement[0].Resource",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "NotAction": "*"}}"#,
            "Statement[0].NotAction",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": null}}"#,
            "Statement[0].Action",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Principal": "me"}}"#,
            "Statement[0].Principal",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Principal": {"aws": "1"}}}"#,
            "Statement[0].Principal",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Condition": {"Bool": "x"}}}"#,
            "Statement[0].Condition.Bool",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Condition": {"Bool": {"k": null}}}}"#,
            "Condition.Bool.k",
        ),
        (
            r#"{"Statement": {"Effect": "Deny", "Action": "*", "Resources": "*"}}"#,
            "Statement[0].Resources",
        ),
        (r#"{"Statement": [], "Extra": 1}"#, "Extra"),
    ] {
        assert!(error_of(text).contains(at), "{text} said {}", error_of(text));
    }
}

#[test]
fn hostile_sizes_and_depths_are_refused_before_they_cost_anything() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(error_of(&deep).contains("recursion limit"));
    let long = " ".repeat(MAX_BYTES + 1);
    assert_eq!(
        PolicyDocument::parse(&long),
        Err(ParseError::TooLarge { bytes: MAX_BYTES + 1 })
    );
    let key = "k".repeat(100_000);
    assert!(error_of(&format!(r#"{{"{key}": 1, "Statement": []}}"#)).len() < 500);
}

#[test]
fn a_number_that_could_not_be_written_back_is_refused() {
    let with = |n: &str| {
        format!(
            r#"{{"Statement": {{"Effect": "Deny", "Action": "*", "Condition": {{"NumericEquals": {{"k": {n}}}}}}}}}"#
        )
    };
    assert!(error_of(&with("123456789012345678901234567890")).contains("quote it"));
    assert!(error_of(&with("1e999")).contains("out of range"));
    for other_digits in ["1.20", "1e2", "1E2", "-0", "0.10000000000000000001"] {
        assert!(error_of(&with(other_digits)).contains("quote it"), "{other_digits}");
        let quoted = with(&format!("\"{other_digits} \\\" {other_digits}\""));
        assert!(PolicyDocument::parse(&quoted).is_ok(), "{quoted}");
    }
    for exact in ["1.2", "-3", "0.5", "3600.0", "true", "false", "18446744073709551615"] {
        let document = PolicyDocument::parse(&with(exact)).unwrap();
        assert_eq!(document.statements[0].conditions[0].values, [exact]);
        assert!(document.to_json().contains(&format!(":{exact}}}")));
    }
}

#[test]
fn a_document_is_written_back_as_it_was_read() {
    let text = r#"{"Version":"2008-10-17","Id":"x","Statement":[{"Resource":["b","a"],"Sid":"","Effect":"Allow","Action":"S3:Get*","Principal":{"AWS":[]},"Condition":{}}]}"#;
    assert_eq!(PolicyDocument::parse(text).unwrap().to_json(), text);
}

#[test]
fn statements_can_be_added_and_taken_away_without_touching_the_rest() {
    let foreign = PolicyDocument::parse(r#"{"Id":"x","Statement":[{"Effect":"Allow","Action":"a:b"}]}"#).unwrap();
    let ours = Statement::from_value(statement()).unwrap();
    let mut all = foreign.statements.clone();
    all.push(ours);
    let merged = foreign.with_statements(all);
    assert_eq!(merged.statements.len(), 2);
    assert_eq!(merged.with_statements(merged.statements[..1].to_vec()), foreign);
}

#[test]
fn a_list_of_documents_is_read_as_one_or_many() {
    let one = r#"{"Statement":[]}"#;
    let document = PolicyDocument::parse(one).unwrap();
    assert_eq!(PolicyDocument::parse_many(one), Ok(vec![document.clone()]));
    assert_eq!(
        PolicyDocument::parse_many(&format!("[{one},{one}]")),
        Ok(vec![document.clone(), document])
    );
    assert!(PolicyDocument::parse_many(r#"[{"Statement":[],"Statement":[]}]"#).is_err());
}

#[test]
fn elements_are_checked_against_the_place_of_the_document() {
    let with_both = parse(&json!({"Statement": statement()}));
    let neither = parse(&json!({"Statement": {"Effect": "Allow", "Action": "*"}}));
    let ok = |d: &PolicyDocument, kind| d.check(kind).is_ok();
    assert!(ok(&with_both, PolicyKind::Resource) && ok(&with_both, PolicyKind::VpcEndpoint));
    assert!(!ok(&with_both, PolicyKind::Identity) && !ok(&with_both, PolicyKind::Trust));
    assert!(!ok(&neither, PolicyKind::Identity) && !ok(&neither, PolicyKind::Trust));
}

/// Pairs that differ in spelling only, beyond the golden ones.
#[test]
fn spelling_does_not_matter() {
    let base = || {
        json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "A", "Effect": "Deny", "Principal": {"AWS": ["123456789012", "arn:aws:iam::123456789012:role/a"]},
            "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}, "NumericLessThan": {"s3:TlsVersion": "1.2"}}
        }]})
    };
    let edits: [(&str, &str, Value); 9] = [
        ("/Id", "Id is ignored", json!("anything")),
        ("/Statement", "object statement", base()["Statement"][0].clone()),
        (
            "/Statement/0/Action",
            "action order and case",
            json!(["S3:putobject", "s3:getobject", "s3:GetObject"]),
        ),
        (
            "/Statement/0/Resource",
            "resource order",
            json!(["arn:aws:s3:::b/*", "arn:aws:s3:::b"]),
        ),
        (
            "/Statement/0/Principal/AWS",
            "order, root",
            json!(["arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:root"]),
        ),
        ("/Statement/0/Principal/Service", "empty kind", json!([])),
        (
            "/Statement/0/Condition/StringEquals",
            "key case, order",
            json!({"AWS:principalorgid": ["o-2", "o-1", "o-2"]}),
        ),
        (
            "/Statement/0/Condition/NumericLessThan",
            "number",
            json!({"s3:TlsVersion": [1.20]}),
        ),
        ("/Statement/0/Condition/Bool", "empty operator", json!({})),
    ];
    for (path, what, value) in edits {
        let mut other = base();
        let (parent, leaf) = path.rsplit_once('/').unwrap();
        other.pointer_mut(parent).unwrap()[leaf] = value;
        assert!(equivalent(&parse(&base()), &parse(&other)), "{what}");
    }
}

/// Pairs that do not mean the same, however much they look alike.
#[test]
fn meaning_matters() {
    let base = || {
        json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "A", "Effect": "Deny", "Principal": {"AWS": ["123456789012"]},
            "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
        }]})
    };
    let edits: [(&str, &str, Value); 11] = [
        ("/Version", "version", json!("2008-10-17")),
        ("/Statement/0/Sid", "Sid", json!("B")),
        ("/Statement/0/Effect", "effect", json!("Allow")),
        ("/Statement/0/Resource", "resource case", json!("arn:aws:s3:::B")),
        ("/Statement/0/Principal/AWS", "other account", json!("123456789013")),
        (
            "/Statement/0/Principal/Service",
            "one more kind",
            json!("s3.amazonaws.com"),
        ),
        (
            "/Statement/0/Condition/StringEquals",
            "value case",
            json!({"aws:PrincipalOrgID": "O-1"}),
        ),
        (
            "/Statement/0/Condition",
            "operator",
            json!({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}),
        ),
        (
            "/Statement/0/Condition/Bool",
            "one more condition",
            json!({"aws:SecureTransport": "true"}),
        ),
        (
            "/Statement",
            "multiplicity",
            json!([base()["Statement"][0], base()["Statement"][0]]),
        ),
        (
            "/Statement/0/Condition/NumericLessThan",
            "a number spelled as AWS may not read it",
            json!({"s3:TlsVersion": "01.2"}),
        ),
    ];
    let base = || {
        let mut base = base();
        base["Statement"][0]["Condition"]["NumericLessThan"] = json!({"s3:TlsVersion": 1.2});
        base
    };
    for (path, what, value) in edits {
        let mut other = base();
        let (parent, leaf) = path.rsplit_once('/').unwrap();
        other.pointer_mut(parent).unwrap()[leaf] = value;
        assert!(!equivalent(&parse(&base()), &parse(&other)), "{what}");
    }
    for (element, not) in [
        ("Action", "NotAction"),
        ("Resource", "NotResource"),
        ("Principal", "NotPrincipal"),
    ] {
        let negated = base()
            .to_string()
            .replace(&format!("\"{element}\""), &format!("\"{not}\""));
        assert!(
            !equivalent(&parse(&base()), &PolicyDocument::parse(&negated).unwrap()),
            "{not}"
        );
    }
}

#[test]
fn a_principal_that_names_nobody_is_none() {
    let statement = |element: &str, principal: &Value| {
        parse(&json!({"Statement": {"Effect": "Allow", element: principal, "Action": "sts:AssumeRole"}}))
    };
    let none = parse(&json!({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole"}}));
    for nobody in [json!({}), json!({"AWS": []}), json!({"Service": [], "Federated": []})] {
        assert!(equivalent(&statement("Principal", &nobody), &none), "{nobody}");
        assert!(equivalent(&none, &statement("Principal", &nobody)), "{nobody}");
        let everybody_else = statement("NotPrincipal", &nobody);
        assert!(!equivalent(&everybody_else, &none), "{nobody}");
        assert!(
            !equivalent(&everybody_else, &statement("Principal", &nobody)),
            "{nobody}"
        );
    }
}

#[test]
fn only_the_comparison_by_meaning_ignores_sids() {
    let with = |sid: &str| parse(&json!({"Statement": {"Sid": sid, "Effect": "Deny", "Action": "*"}}));
    assert!(same_meaning(&with("A"), &with("B")));
    assert!(!equivalent(&with("A"), &with("B")));
    assert!(equivalent(
        &with(""),
        &parse(&json!({"Statement": {"Effect": "Deny", "Action": "*"}}))
    ));
}

/// Any legal statement over a small vocabulary, so that two random ones are equal now and then.
fn any_statement() -> impl Strategy<Value = Value> {
    let list = |of: &'static [&'static str]| proptest::collection::vec(proptest::sample::select(of), 1..4);
    (
        proptest::option::of(proptest::sample::select(vec!["A", "B"])),
        proptest::bool::ANY,
        proptest::sample::select(vec!["Action", "NotAction"]),
        list(&["s3:Get*", "s3:getobject", "S3:*"]),
        list(&["arn:aws:s3:::b", "arn:aws:s3:::b/*", "*"]),
        list(&["*", "123456789012", "arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:role/r"]),
        proptest::option::of((
            proptest::sample::select(vec!["StringEquals", "Bool", "NumericLessThan"]),
            proptest::sample::select(vec!["aws:SecureTransport", "s3:TlsVersion"]),
            list(&["true", "1.2", "TRUE"]),
        )),
    )
        .prop_map(|(sid, deny, action, actions, resources, principals, condition)| {
            let mut s = json!({"Effect": if deny { "Deny" } else { "Allow" }, "Resource": resources, "Principal": {"AWS": principals}});
            s[action] = json!(actions);
            if let Some(sid) = sid {
                s["Sid"] = json!(sid);
            }
            if let Some((operator, key, values)) = condition {
                s["Condition"] = json!({operator: {key: values}});
            }
            s
        })
}

/// The same statement, respelled in every way that must not matter.
fn respelled(statement: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in statement.as_object().unwrap().iter().rev() {
        let value = match (key.as_str(), value) {
            ("Action" | "NotAction", Value::Array(items)) => items
                .iter()
                .rev()
                .map(|v| v.as_str().unwrap().to_uppercase())
                .map(Value::from)
                .collect(),
            ("Principal", v) => json!({"AWS": turned(&v["AWS"]), "Service": []}),
            ("Condition", v) => {
                let (operator, keys) = v.as_object().unwrap().iter().next().unwrap();
                let (key, values) = keys.as_object().unwrap().iter().next().unwrap();
                json!({operator.to_uppercase(): {key.to_lowercase(): turned(values)}})
            }
            (_, v) => turned(v),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// A list in reverse, or its only element alone.
fn turned(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.len() == 1 => items[0].clone(),
        Value::Array(items) => items.iter().rev().cloned().collect(),
        other => other.clone(),
    }
}

fn any_document() -> impl Strategy<Value = Value> {
    proptest::collection::vec(any_statement(), 0..4)
        .prop_map(|statements| json!({"Version": "2012-10-17", "Statement": statements}))
}

proptest! {
    #[test]
    fn equality_is_reflexive_and_blind_to_spelling(document in any_document()) {
        let mut other = document.clone();
        other["Id"] = json!("other");
        other["Statement"] = document["Statement"].as_array().unwrap().iter().rev().map(respelled).collect();
        prop_assert!(equivalent(&parse(&document), &parse(&document)));
        prop_assert!(equivalent(&parse(&document), &parse(&other)));
    }

    #[test]
    fn equality_is_symmetric_and_implied_by_nothing_less(a in any_document(), b in any_document()) {
        let (a, b) = (parse(&a), parse(&b));
        prop_assert_eq!(equivalent(&a, &b), equivalent(&b, &a));
        prop_assert!(!equivalent(&a, &b) || same_meaning(&a, &b));
        let mut more = a.statements.clone();
        more.push(Statement::from_value(statement()).unwrap());
        prop_assert!(!equivalent(&a, &a.with_statements(more)));
    }

    #[test]
    fn what_is_read_and_written_and_read_is_the_same(document in any_document()) {
        let once = parse(&document);
        let twice = PolicyDocument::parse(&once.to_json()).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = PolicyDocument::parse(&text);
        let _ = PolicyDocument::parse_encoded(&text);
    }
}
