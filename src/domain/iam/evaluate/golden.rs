//! Requests that others decided.

use serde_json::{Value, json};

use super::*;
use crate::domain::document::PolicyDocument;

const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/train/sess";

fn policy(kind: PolicyKind, name: &str, document: &Value) -> Policy {
    let document = PolicyDocument::parse(&document.to_string()).unwrap();
    document.check(kind).unwrap();
    Policy::new(kind, name, &document).unwrap()
}

fn context(value: Option<&Value>) -> Context {
    let mut context = Context::new();
    for (key, values) in value.and_then(Value::as_object).into_iter().flatten() {
        match values {
            Value::Array(items) => items.iter().for_each(|v| context.add(key, v.as_str().unwrap())),
            one => context.add(key, one.as_str().unwrap()),
        }
    }
    context
}

fn request(principal: &str, action: &str, resource: &str, context: Context) -> Request {
    Request::new(
        Caller::parse(principal).unwrap(),
        action,
        resource,
        Some(ACCOUNT),
        context,
    )
    .unwrap()
}

#[test]
fn every_golden_request_is_decided_as_the_third_party_or_the_documentation_has_it() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/golden/iam-eval.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let one = |kind, key: &str| case.get(key).map(|document| policy(kind, key, document));
        let policies = PolicySet {
            identity: case["identity"]
                .as_array()
                .unwrap()
                .iter()
                .map(|document| policy(PolicyKind::Identity, "identity", document))
                .collect(),
            boundary: one(PolicyKind::Boundary, "boundary"),
            resource: one(PolicyKind::Resource, "resourcePolicy"),
            ..PolicySet::default()
        };
        let request = request(
            text("principal"),
            text("action"),
            text("resource"),
            context(case.get("context")),
        );
        // `awsDocsExpected` overrules the third party. The one case is a Deny with NotPrincipal that lists another role and
        // the account: AWS excepts a session only if its role is listed too ("include both the ARN for a role and the ARN
        // for the account containing that role", AWS JSON policy elements: NotPrincipal).
        let expected = case.get("awsDocsExpected").unwrap_or(&case["expected"]);
        assert_eq!(
            decide(&request, &policies).verdict.as_str(),
            expected,
            "{}",
            text("name")
        );
    }
}

/// The matrices come without the policies that let the requests in; these do.
fn wide_open(statements: &Value, also: Option<Value>) -> PolicySet {
    let mut statements = statements.as_array().unwrap().clone();
    statements.extend(also);
    PolicySet {
        identity: vec![policy(
            PolicyKind::Identity,
            "identity",
            &json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}),
        )],
        resource: Some(policy(
            PolicyKind::Resource,
            "bucket",
            &json!({"Version": "2012-10-17", "Statement": statements}),
        )),
        ..PolicySet::default()
    }
}

#[test]
fn every_form_of_encryption_backstop_decides_as_the_third_party_has_it() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/golden/sse-bucket-policy.json")).unwrap();
    for (variant, content) in golden["variants"].as_object().unwrap() {
        let policies = wide_open(&content["statements"], None);
        for (upload, expected) in content["expected"].as_object().unwrap() {
            let headers = context(golden["requestContexts"].get(upload));
            let request = request(ROLE, "s3:PutObject", "arn:aws:s3:::train-data/x", headers);
            assert_eq!(
                decide(&request, &policies).verdict.as_str(),
                expected,
                "{variant}: {upload}"
            );
        }
    }
}

#[test]
fn every_form_of_tls_policy_decides_as_the_third_party_has_it() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/golden/tls-bucket-policy.json")).unwrap();
    let other_account = "arn:aws:sts::111122223333:assumed-role/other/sess";
    for (variant, content) in golden["variants"].as_object().unwrap() {
        for (column, expected) in content["expected"].as_object().unwrap() {
            let (object, bucket) = ("arn:aws:s3:::train-data/x", "arn:aws:s3:::train-data");
            let (caller, scheme, action, resource) = match column.as_str() {
                "https get" => (ROLE, "https", "s3:GetObject", object),
                "http get" => (ROLE, "http", "s3:GetObject", object),
                "http list" => (ROLE, "http", "s3:ListBucket", bucket),
                "http put" => (ROLE, "http", "s3:PutObject", object),
                "tls1.1 get" => (ROLE, "tls1.1", "s3:GetObject", object),
                "http get xacct" => (other_account, "http", "s3:GetObject", object),
                other => panic!("unknown column {other}"),
            };
            // A caller of another account gets in only where the bucket lets him in.
            let door = (caller == other_account)
                .then(|| json!({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}));
            let policies = wide_open(&content["statements"], door);
            let request = request(caller, action, resource, context(golden["contexts"].get(scheme)));
            assert_eq!(
                decide(&request, &policies).verdict.as_str(),
                expected,
                "{variant}: {column}"
            );
        }
    }
}
