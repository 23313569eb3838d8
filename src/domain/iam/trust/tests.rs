use serde_json::{Value, json};

use super::*;
use crate::domain::iam::role::{documents, oidc_provider};
use crate::domain::iam::simulated::{ISSUER, policy};

const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/ABCD";

fn want() -> WantTrust {
    WantTrust {
        provider: oidc_provider(&policy()).unwrap(),
        subjects: BTreeSet::from(["system:serviceaccount:ml:trainer".to_owned()]),
    }
}

fn ours() -> Value {
    let policy = policy();
    let trust = documents(&policy, &policy.roles[0]).trust.unwrap();
    serde_json::from_str::<Value>(&trust.json).unwrap()["Statement"][0].clone()
}

fn with_condition(condition: &Value) -> Value {
    let mut statement = ours();
    statement["Condition"] = condition.clone();
    statement
}

fn defects_of(statements: &Value) -> Vec<(Severity, String)> {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    defects(&PolicyDocument::parse(&document).unwrap(), &want())
        .into_iter()
        .map(|d| (d.severity, d.path))
        .collect()
}

fn at(severity: Severity, part: &str) -> Vec<(Severity, String)> {
    vec![(severity, format!("trustPolicy.Statement[0].{part}"))]
}

#[test]
fn our_own_trust_has_no_defect() {
    assert_eq!(defects_of(&ours()), vec![]);
}

#[test]
fn every_way_to_leave_sub_open_is_critical() {
    let (sub, aud) = (format!("{ISSUER}:sub"), format!("{ISSUER}:aud"));
    let exact_aud = json!({ &aud: "sts.amazonaws.com" });
    for open in [
        json!({"StringEquals": exact_aud}),
        json!({"StringEquals": exact_aud, "StringLike": {&sub: "*"}}),
        json!({"StringEquals": exact_aud, "StringLike": {&sub: "system:serviceaccount:*:*"}}),
        json!({"StringEquals": exact_aud, "StringLike": {&sub: "system:serviceaccount:ml:*"}}),
        json!({"StringEquals": exact_aud, "StringLike": {&sub: ["system:serviceaccount:ml:trainer", "system:serviceaccount:ml:t?"]}}),
        json!({"StringEquals": exact_aud, "StringEqualsIfExists": {&sub: "system:serviceaccount:ml:trainer"}}),
        json!({"StringEquals": exact_aud, "ForAllValues:StringEquals": {&sub: "system:serviceaccount:ml:trainer"}}),
        json!({"StringEquals": exact_aud, "StringNotEquals": {&sub: "system:serviceaccount:ml:other"}}),
        json!({"StringEquals": exact_aud, "Null": {&sub: "false"}}),
        json!({"StringEquals": {&aud: "sts.amazonaws.com", &sub: "${aws:PrincipalTag/x}"}}),
        json!({"StringEquals": {&aud: "sts.amazonaws.com", "other-issuer:sub": "system:serviceaccount:ml:trainer"}}),
    ] {
        assert_eq!(
            defects_of(&with_condition(&open)),
            at(Severity::Critical, "sub"),
            "{open}"
        );
    }
}

#[test]
fn a_condition_that_holds_for_every_token_restricts_however_it_is_spelled() {
    let (sub, aud) = (format!("{ISSUER}:SUB"), format!("{ISSUER}:Aud"));
    for closed in [
        json!({"stringequals": {&sub: ["system:serviceaccount:ml:trainer"], &aud: ["sts.amazonaws.com"]}}),
        json!({"StringLike": {&sub: "system:serviceaccount:ml:trainer", &aud: "sts.amazonaws.com"}}),
        json!({"ForAnyValue:StringEquals": {&sub: "system:serviceaccount:ml:trainer", &aud: "sts.amazonaws.com"}}),
        json!({"StringEquals": {&sub: "system:serviceaccount:ml:trainer", &aud: "sts.amazonaws.com"}, "StringLike": {&sub: "*"}}),
        json!({"StringEquals": {&sub: "system:serviceaccount:ml:trainer", &aud: "sts.amazonaws.com", "aws:SourceIp": "10.0.0.0/8"}}),
    ] {
        assert_eq!(defects_of(&with_condition(&closed)), vec![], "{closed}");
    }
}

#[test]
fn a_missing_or_open_aud_is_high() {
    let (sub, aud) = (format!("{ISSUER}:sub"), format!("{ISSUER}:aud"));
    let exact = json!({ &sub: "system:serviceaccount:ml:trainer" });
    for open in [
        json!({"StringEquals": exact}),
        json!({"StringEquals": exact, "StringLike": {&aud: "*"}}),
        json!({"StringEquals": exact, "StringEqualsIfExists": {&aud: "sts.amazonaws.com"}}),
        json!({"StringEquals": {&sub: "system:serviceaccount:ml:trainer", &aud: ["sts.amazonaws.com", "vault"]}}),
    ] {
        assert_eq!(defects_of(&with_condition(&open)), at(Severity::High, "aud"), "{open}");
    }
}

#[test]
fn a_service_account_that_is_not_listed_is_high() {
    let condition = json!({"StringEquals": {
        format!("{ISSUER}:sub"): ["system:serviceaccount:ml:trainer", "system:serviceaccount:dev:shell"],
        format!("{ISSUER}:aud"): "sts.amazonaws.com",
    }});
    assert_eq!(defects_of(&with_condition(&condition)), at(Severity::High, "sub"));
}

#[test]
fn principals_besides_the_provider_are_found_each() {
    let cases = [
        (json!("*"), Severity::Critical, "*"),
        (json!({"AWS": "*"}), Severity::Critical, "*"),
        (
            json!({"AWS": "arn:aws:iam::123456789012:root"}),
            Severity::Critical,
            "arn:aws:iam::123456789012:root",
        ),
        (json!({"AWS": "123456789012"}), Severity::Critical, "123456789012"),
        (
            json!({"Service": "ec2.amazonaws.com"}),
            Severity::Critical,
            "ec2.amazonaws.com",
        ),
        (
            json!({"Federated": "arn:aws:iam::123456789012:oidc-provider/other"}),
            Severity::High,
            "arn:aws:iam::123456789012:oidc-provider/other",
        ),
        (
            json!({"Federated": "cognito-identity.amazonaws.com"}),
            Severity::High,
            "cognito-identity.amazonaws.com",
        ),
        (
            json!({"AWS": "AROAEXAMPLEEXAMPLE12"}),
            Severity::Medium,
            "AROAEXAMPLEEXAMPLE12",
        ),
        (
            json!({"AWS": "AIDAEXAMPLEEXAMPLE12"}),
            Severity::Medium,
            "AIDAEXAMPLEEXAMPLE12",
        ),
    ];
    for (principal, severity, name) in cases {
        let extra = json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"});
        let expected = vec![(severity, format!("trustPolicy.Statement[1].Principal[{name}]"))];
        assert_eq!(defects_of(&json!([ours(), extra])), expected, "{principal}");
    }
}

#[test]
fn a_principal_beside_the_provider_in_one_statement_is_found() {
    let mut statement = ours();
    statement["Principal"] = json!({"Federated": PROVIDER, "AWS": "arn:aws:iam::123456789012:role/admin"});
    assert_eq!(
        defects_of(&statement),
        at(Severity::Critical, "Principal[arn:aws:iam::123456789012:role/admin]")
    );
}

#[test]
fn an_allow_for_all_but_some_is_critical() {
    let mut statement = ours();
    let map = statement.as_object_mut().unwrap();
    let principal = map.remove("Principal").unwrap();
    map.insert("NotPrincipal".into(), principal);
    let found = defects_of(&statement);
    assert_eq!(found[0], at(Severity::Critical, "Principal[NotPrincipal]")[0]);
}

#[test]
fn wider_actions_are_found() {
    for (action, severity) in [
        (json!("sts:*"), Severity::High),
        (json!("*"), Severity::High),
        (
            json!(["sts:AssumeRoleWithWebIdentity", "sts:AssumeRole*"]),
            Severity::High,
        ),
        (
            json!(["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]),
            Severity::Medium,
        ),
    ] {
        let mut statement = ours();
        statement["Action"] = action.clone();
        assert_eq!(defects_of(&statement), at(severity, "Action"), "{action}");
    }
    let mut statement = ours();
    statement.as_object_mut().unwrap().remove("Action");
    statement["NotAction"] = json!("sts:GetCallerIdentity");
    assert_eq!(defects_of(&statement), at(Severity::High, "Action"));
}

#[test]
fn listed_service_accounts_that_cannot_get_in_are_found() {
    let shut_out = vec![(Severity::Medium, "trustPolicy.serviceAccounts".to_owned())];
    assert_eq!(defects_of(&json!([])), shut_out);
    let mut statement = ours();
    statement["Effect"] = json!("Deny");
    assert_eq!(defects_of(&statement), shut_out);
}

#[test]
fn denies_are_kept_unless_they_name_the_dead_alone() {
    let deny = |principal: Value| json!({"Effect": "Deny", "Principal": principal, "Action": "sts:*"});
    let document = json!({"Version": "2012-10-17", "Statement": [
        ours(),
        deny(json!("*")),
        deny(json!({"AWS": "AROAEXAMPLEEXAMPLE12"})),
        deny(json!({"AWS": ["AROAEXAMPLEEXAMPLE12", "123456789012"]})),
    ]});
    let document = PolicyDocument::parse(&document.to_string()).unwrap();
    assert_eq!(
        foreign_denies(&document),
        vec![document.statements[1].clone(), document.statements[3].clone()]
    );
}
