//! Whatever is proven, AWS refuses: the evaluator is asked about every writing action on sampled requests.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::domain::iam::actions::{KEY_ACTIONS, KEY_STORE_ACTIONS, s3_actions};
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, decide};

/// A word of the vocabulary. Words are few, so that Allows and Denies meet.
pub(super) fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

pub(super) const ACTIONS: [&str; 24] = [
    "s3:GetObject",
    "s3:ListBucket",
    "s3:GetObject",
    "s3:PutObject",
    "s3:Put*",
    "s3:*",
    "*",
    "s3:Delete*",
    "s3:*Object*",
    "s3:?etObject",
    "kms:Decrypt",
    "kms:*",
    "kms:ScheduleKeyDeletion",
    "iam:*",
    "iam:PassRole",
    "sts:AssumeRole",
    "sts:*",
    "s3:GetObject*",
    "s3:List*",
    "s3:PutFuture",
    "ec2:Describe*",
    "s3-object-lambda:*",
    "s3:GetDataAccess",
    "s3express:*",
];
pub(super) const RESOURCES: [&str; 17] = [
    "*",
    "arn:aws:s3:::train-data/*",
    "arn:aws:s3:::train-data",
    "arn:aws:s3:::train-data*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::train-data/a/*",
    "arn:aws:s3:::train-data/${aws:PrincipalTag/t}/*",
    "arn:aws:s3:::other/*",
    "arn:aws:s3:*:*:accesspoint/*",
    "arn:aws:kms:*:*:key/*",
    "arn:aws:kms:eu-west-1:111111111111:key/k1",
    "arn:aws:iam::111111111111:role/*",
    "arn:aws:iam::222222222222:role/x",
    "arn:aws:iam::111111111111:role/team/other",
    "arn:aws:s3:*",
    "arn:aws:s3",
    "arn:aws:s3::",
];
pub(super) const PRINCIPALS: [&str; 8] = [
    "*",
    "arn:aws:iam::111111111111:role/team/train",
    "arn:aws:sts::111111111111:assumed-role/train/s",
    "111111111111",
    "arn:aws:iam::111111111111:role/team/other",
    "AROAEXAMPLEEXAMPLE123",
    "222222222222",
    "arn:aws:iam::111111111111:root",
];

pub(super) fn any_condition() -> impl Strategy<Value = Value> {
    let key = word(&[
        "aws:PrincipalArn",
        "aws:SourceVpc",
        "aws:PrincipalTag/t",
        "aws:SecureTransport",
    ]);
    let operator = word(&[
        "StringEquals",
        "StringNotEquals",
        "StringLikeIfExists",
        "Null",
        "Bool",
        "ForAllValues:StringLike",
    ]);
    let value = word(&[
        "a",
        "true",
        "false",
        "*",
        "arn:aws:iam::111111111111:role/team/train",
        "${aws:SourceVpc}",
    ]);
    (operator, key, value).prop_map(|(operator, key, value)| json!({operator: {key: value}}))
}

pub(super) fn any_statement(principals: bool, resources: bool) -> impl Strategy<Value = Value> {
    let list = |words: &'static [&'static str]| proptest::collection::vec(word(words), 1..3);
    (
        word(&["Allow", "Deny"]),
        (word(&["Action", "Action", "Action", "NotAction"]), list(&ACTIONS)),
        (
            word(&["Resource", "Resource", "Resource", "NotResource"]),
            list(&RESOURCES),
        ),
        (
            word(&["Principal", "Principal", "Principal", "NotPrincipal"]),
            list(&PRINCIPALS),
        ),
        proptest::option::weighted(0.3, any_condition()),
    )
        .prop_map(
            move |(effect, (action, actions), (resource, named), (principal, who), condition)| {
                let mut statement = json!({"Effect": effect, action: actions});
                if resources {
                    statement[resource] = json!(named);
                }
                if principals {
                    statement[principal] = json!({"AWS": who});
                }
                if let Some(condition) = condition {
                    statement["Condition"] = condition;
                }
                statement
            },
        )
}

/// What makes a proof possible beside any Allow of S3.
pub(super) fn guards() -> Vec<Value> {
    let ways_round = [
        "iam:*",
        "sts:Get*",
        "kms:Put*",
        "kms:*Key*",
        "kms:*Alias",
        "kms:*Grant",
        "kms:*Store",
        "kms:*Region",
        "s3files:*",
        "s3:Create*",
        "s3:UpdateJob*",
        "s3:Associate*",
        "s3:PutAccessGrants*",
        "s3:UpdateAccessGrants*",
        "s3:GetDataAccess",
    ];
    vec![
        guard(),
        json!({"Effect": "Deny", "Action": ways_round, "Resource": "*"}),
        json!({"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "arn:aws:s3-object-lambda:*:*:accesspoint/*"}),
        json!({"Effect": "Allow", "Action": ["s3:*", "kms:Decrypt"], "Resource": "*"}),
    ]
}

/// Statements; for a role's own, often with guards.
fn any_statements(principals: bool, resources: bool) -> impl Strategy<Value = Value> {
    let some = proptest::collection::vec(any_statement(principals, resources), 0..6);
    (some, proptest::bool::weighted(0.4)).prop_map(move |(mut all, guarded)| {
        if guarded && resources && !principals {
            all.extend(guards());
        }
        Value::Array(all)
    })
}

fn any_input() -> impl Strategy<Value = ProofInput> {
    (
        any_statements(false, true),
        any_statements(true, true),
        proptest::option::of(any_statements(false, true)),
        any_statements(true, true),
        any_statements(true, false),
        any_statements(false, true),
    )
        .prop_map(|(own, bucket, boundary, key, trust, others)| assembled(own, bucket, boundary, key, trust, others))
}

/// Our role with a key, a bucket, and one other role.
pub(super) fn assembled(
    own: Value,
    bucket: Value,
    boundary: Option<Value>,
    key: Value,
    trust: Value,
    others: Value,
) -> ProofInput {
    let mut input = with_bucket_policy(with_key(own, key), bucket);
    input.role.boundary = boundary.map(|b| policy(PolicyKind::Boundary, "boundary", b));
    let mut other = role("other", others);
    other.trust = Evidence::Seen(policy(PolicyKind::Trust, "trust", trust));
    input.roles = Evidence::Seen(vec![other]);
    input
}

fn with_key(own: Value, key_policy: Value) -> ProofInput {
    ProofInput {
        keys: Evidence::Seen(vec![KeyFacts {
            arn: KEY.to_owned(),
            policy: Evidence::Seen(policy(PolicyKind::Resource, "key", key_policy)),
            grants: Evidence::Seen(Vec::new()),
        }]),
        ..input(own)
    }
}

/// What a session of a role may do in one context.
struct Session<'a> {
    caller: Caller,
    own: PolicySet,
    context: &'a Context,
}

impl<'a> Session<'a> {
    fn of(role: &RoleFacts, context: &'a Context) -> Self {
        let mut caller = role.caller.clone();
        let Caller::Role { session, .. } = &mut caller else {
            panic!("not a role");
        };
        *session = Some("s".to_owned());
        let own = PolicySet {
            identity: role.identity.iter().filter_map(Evidence::seen).cloned().collect(),
            boundary: role.boundary.clone(),
            ..PolicySet::default()
        };
        Self { caller, own, context }
    }

    /// With the policy of the resource that it asks about.
    fn at(&self, policy: Option<&Policy>) -> impl Fn(&str, &str) -> bool {
        let policies = PolicySet {
            resource: policy.cloned(),
            ..self.own.clone()
        };
        move |action, resource| {
            let (caller, context) = (self.caller.clone(), self.context.clone());
            let request = Request::new(caller, action, resource, Some("111111111111"), context).unwrap();
            decide(&request, &policies).is_allowed()
        }
    }
}

/// Resources at a place, of several shapes. Access points of the account only where the proof had to answer for any that may
/// exist.
fn resources(place: Place, input: &ProofInput) -> Vec<String> {
    let point = "arn:aws:s3:eu-west-1:111111111111:accesspoint/ap";
    match place {
        Place::Bucket => vec![BUCKET.to_owned()],
        Place::Objects => ["a/x", "b", "a/b/c", "true/x"]
            .map(|key| format!("{BUCKET}/{key}"))
            .into(),
        Place::AccessPoints => {
            // Some of these are in no list.
            let elsewhere = "arn:aws:s3:eu-west-1:222222222222:accesspoint/ap".to_owned();
            let multi_region = "arn:aws:s3::111111111111:accesspoint/m.mrap/object/a/x".to_owned();
            let mut all = vec![elsewhere, multi_region];
            if input.access_points.seen().is_none() {
                all.extend([point.to_owned(), format!("{point}/object/a/x")]);
            }
            all
        }
        Place::ObjectLambda => vec!["arn:aws:s3-object-lambda:eu-west-1:111111111111:accesspoint/ol".to_owned()],
        Place::FileSystems => vec!["arn:aws:s3files:eu-west-1:111111111111:file-system/fs-1".to_owned()],
    }
}

/// A write that the evaluator allows to the role, if there is one.
pub(super) fn some_write(role: &RoleFacts, input: &ProofInput, context: &Context) -> Option<String> {
    let session = Session::of(role, context);
    let in_bucket = session.at(input.buckets[0].policy.seen().unwrap().as_ref());
    let on_key = session.at(input.keys.seen().unwrap()[0].policy.seen());
    let elsewhere = session.at(None);
    let writes = s3_actions().iter().filter(|a| !a.reads);
    let writes = writes.flat_map(|a| a.places.iter().map(|place| (a.name, *place)));
    // Actions that no list has count as writes, whatever they are called.
    let future = ["s3:PutFuture", "s3:GetFuture"].into_iter();
    let future = future.flat_map(|name| [Place::Bucket, Place::Objects].map(|place| (name, place)));
    for (action, place) in writes.chain(future) {
        let mut arns = resources(place, input).into_iter();
        let found = match place {
            Place::Bucket | Place::Objects => arns.find(|arn| in_bucket(action, arn)),
            Place::AccessPoints | Place::ObjectLambda | Place::FileSystems => arns.find(|arn| elsewhere(action, arn)),
        };
        if let Some(arn) = found {
            return Some(format!("{action} on {arn}"));
        }
    }
    let key = KEY_ACTIONS.iter().find(|action| on_key(action, KEY));
    let store = || KEY_STORE_ACTIONS.iter().find(|action| elsewhere(action, "*"));
    let key = key.or_else(store).copied();
    // What S3's own ways are authorised against, besides `*`.
    let grants = "arn:aws:s3:eu-west-1:111111111111:access-grants/default/location/l";
    let job = "arn:aws:s3:eu-west-1:111111111111:job/j";
    let more = || {
        escalations()
            .iter()
            .map(|e| e.name)
            .find(|action| ["*", grants, job].iter().any(|arn| elsewhere(action, arn)))
    };
    key.or_else(more).map(str::to_owned)
}

/// Whether the evaluator bears out a proof in one context: the role can write nothing, and nor can the role it can assume.
pub(super) fn borne_out(input: &ProofInput, context: &Context) -> Result<(), String> {
    let other = &input.roles.seen().unwrap()[0];
    let assumes = Session::of(&input.role, context).at(other.trust.seen())("sts:AssumeRole", &other.arn());
    let roles = [Some(&input.role), assumes.then_some(other)];
    match roles
        .into_iter()
        .flatten()
        .find_map(|role| some_write(role, input, context))
    {
        None => Ok(()),
        Some(write) => Err(format!("proven, and {write} is allowed with {context:?}")),
    }
}

pub(super) fn contexts() -> [Context; 3] {
    [
        Context::new(),
        Context::from_iter([
            ("aws:SourceVpc", "a"),
            ("aws:PrincipalTag/t", "a"),
            ("aws:SecureTransport", "true"),
        ]),
        Context::from_iter([("aws:SourceVpc", "true"), ("aws:SecureTransport", "false")]),
    ]
}

/// Fewer than usual, since each asks hundreds of questions; `PROPTEST_CASES` for a long run.
pub(super) fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(100))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_proven_is_refused(input in any_input()) {
        if prove(&input) != Proof::Proven {
            return Ok(());
        }
        for context in contexts() {
            prop_assert_eq!(borne_out(&input, &context), Ok(()));
        }
    }

    #[test]
    fn the_statement_that_is_said_to_close_a_violation_closes_it(input in any_input()) {
        let Proof::Violated(violations) = prove(&input) else {
            return Ok(());
        };
        let own: Vec<Value> = violations.iter().filter(|v| v.via.is_empty()).map(Violation::remedy).collect();
        let mut closed = input.clone();
        closed.role.identity.push(Evidence::Seen(policy(PolicyKind::Identity, "remedies", Value::Array(own))));
        if let Proof::Violated(left) = prove(&closed) {
            prop_assert!(left.iter().all(|v| !v.via.is_empty()), "{left:?}");
        }
    }
}

#[test]
fn the_samples_contain_proofs_violations_and_doubts() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0_usize; 3];
    for _ in 0..300 {
        let input = any_input().new_tree(&mut runner).unwrap().current();
        match prove(&input) {
            Proof::Proven => seen[0] += 1,
            Proof::Violated(_) => seen[1] += 1,
            Proof::Unknown(_) => seen[2] += 1,
        }
    }
    assert!(seen.iter().all(|n| *n >= 5), "{seen:?}");
}
