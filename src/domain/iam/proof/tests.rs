#![expect(
    clippy::needless_pass_by_value,
    reason = "documents read best as literals in the call"
)]

mod holes;
mod near;
mod soundness;
mod textbook;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::iam::actions::Place;
use crate::domain::iam::principal::Caller;

const BUCKET: &str = "arn:aws:s3:::train-data";
const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/k1";

/// A role's ARN by its name.
fn arn(name: &str) -> String {
    format!("arn:aws:iam::111111111111:role/team/{name}")
}

fn policy(kind: PolicyKind, name: &str, statements: Value) -> Policy {
    let document = json!({"Version": "2012-10-17", "Statement": statements});
    let document = PolicyDocument::parse(&document.to_string()).unwrap();
    document.check(kind).unwrap();
    Policy::new(kind, name, &document).unwrap()
}

/// A role that trusts nobody.
fn role(name: &str, statements: Value) -> RoleFacts {
    RoleFacts {
        caller: Caller::parse(&arn(name)).unwrap(),
        identity: vec![Evidence::Seen(policy(PolicyKind::Identity, "inline", statements))],
        boundary: None,
        trust: Evidence::Seen(policy(PolicyKind::Trust, "trust", json!([]))),
    }
}

fn trusting(mut role: RoleFacts, principal: Value) -> RoleFacts {
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"});
    role.trust = Evidence::Seen(policy(PolicyKind::Trust, "trust", statement));
    role
}

/// One bucket without a policy, everything read, no other role.
fn input(statements: Value) -> ProofInput {
    ProofInput {
        role: role("train", statements),
        buckets: vec![BucketFacts {
            arn: BUCKET.to_owned(),
            policy: Evidence::Seen(None),
            acl: Evidence::Seen(AclFacts::Disabled),
        }],
        keys: Evidence::Seen(Vec::new()),
        access_points: Evidence::Seen(Vec::new()),
        roles: Evidence::Seen(Vec::new()),
        organization: Vec::new(),
    }
}

/// The same with this bucket policy.
fn with_bucket_policy(mut input: ProofInput, statements: Value) -> ProofInput {
    input.buckets[0].policy = Evidence::Seen(Some(policy(PolicyKind::Resource, "bucket", statements)));
    input
}

/// An Allow for an identity policy.
fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

/// What keeps a role reading whatever else it is allowed, on every path to the bucket.
fn guard() -> Value {
    let reads = crate::domain::iam::role::READ_ACTIONS;
    json!({"Effect": "Deny", "NotAction": reads, "Resource": [BUCKET, format!("{BUCKET}/*"), "arn:aws:s3:*:*:accesspoint/*"]})
}

/// Every action that some violation names, by kind of violation.
fn violated(input: &ProofInput) -> Vec<(Kind, Vec<String>)> {
    match prove(input) {
        Proof::Violated(violations) => violations.into_iter().map(|v| (v.kind, v.actions)).collect(),
        Proof::Proven | Proof::Unknown(_) => Vec::new(),
    }
}

fn reasons(input: &ProofInput) -> Vec<Reason> {
    match prove(input) {
        Proof::Unknown(reasons) => reasons,
        other => panic!("expected Unknown, got {other:?}"),
    }
}

/// Whether the proof finds this action open.
fn opens(input: &ProofInput, kind: Kind, action: &str) -> bool {
    violated(input)
        .iter()
        .any(|(k, actions)| *k == kind && actions.iter().any(|a| a == action))
}

const PUT: &str = "s3:PutObject";
const OBJECTS: Kind = Kind::Data(Place::Objects);

#[test]
fn a_role_that_only_reads_is_proven() {
    let reads = json!([
        allow("s3:GetObject", "arn:aws:s3:::train-data/*"),
        allow("s3:ListBucket", BUCKET),
        allow("kms:Decrypt", "*"),
        allow("logs:PutLogEvents", "*"),
        allow("s3:PutObject", "arn:aws:s3:::checkpoints/*"),
    ]);
    assert_eq!(prove(&input(reads)), Proof::Proven);
}

#[test]
fn a_violation_quotes_statement_actions_and_resources_and_says_what_closes_it() {
    let statements = json!([
        allow("s3:GetObject", "*"),
        {"Sid": "Upload", "Effect": "Allow", "Action": "s3:putobject", "Resource": "arn:aws:s3:::train-*/in/*"},
    ]);
    let Proof::Violated(violations) = prove(&input(statements)) else {
        panic!("expected a violation");
    };
    let [violation] = &violations[..] else {
        panic!("expected one violation, got {violations:?}");
    };
    assert_eq!(
        violation.to_string(),
        "statement 1 (Upload) of identity policy inline allows s3:PutObject on arn:aws:s3:::train-data/*/in/*, \
         arn:aws:s3:::train-data/in/*"
    );
    let expected = json!({
        "Effect": "Deny",
        "NotAction": crate::domain::iam::role::READ_ACTIONS,
        "Resource": [BUCKET, format!("{BUCKET}/*")],
    });
    assert_eq!(violation.remedy(), expected);
}

#[test]
fn two_thousand_buckets_are_judged_in_a_moment() {
    let mut many = input(json!([allow("s3:*", "*"), allow("kms:Decrypt", "*")]));
    many.buckets = (0..2_000)
        .map(|i| BucketFacts {
            arn: format!("arn:aws:s3:::train-data-{i}"),
            policy: Evidence::Seen(None),
            acl: Evidence::Seen(AclFacts::Disabled),
        })
        .collect();
    let start = Instant::now();
    let Proof::Violated(violations) = prove(&many) else {
        panic!("expected violations");
    };
    assert_eq!(
        violations
            .iter()
            .filter(|v| v.kind == OBJECTS)
            .map(|v| v.resources.len())
            .sum::<usize>(),
        2_000
    );
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn ten_kilobytes_of_stars_are_judged_in_a_moment() {
    for pattern in ["*", "*a", "?*", "a*b"] {
        let many = vec![pattern.repeat(4); 10_000 / (4 * pattern.len() + 3)];
        let long = pattern.repeat(10_000 / pattern.len());
        for statements in [
            json!([{"Effect": "Allow", "Action": many, "Resource": "*"}, {"Effect": "Deny", "NotAction": many, "Resource": many}]),
            json!([{"Effect": "Allow", "NotAction": many, "NotResource": many}]),
            json!([{"Effect": "Allow", "Action": "*", "Resource": long}, {"Effect": "Deny", "Action": long, "Resource": long}]),
        ] {
            let start = Instant::now();
            let _ = prove(&input(statements));
            assert!(
                start.elapsed() < Duration::from_secs(5),
                "{pattern}: {:?}",
                start.elapsed()
            );
        }
    }
}
