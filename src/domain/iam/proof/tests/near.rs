//! Soundness where it is hardest: policies that are proven, or nearly, with one to six things changed. A prover that
//! believes too much is caught here, since whatever protects the data is what gets changed.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::soundness::{
    ACTIONS, PRINCIPALS, RESOURCES, any_condition, any_statement, assembled, borne_out, config, guards, word,
};
use super::*;
use crate::domain::iam::context::Context;

/// The documents of an input, as they are before they are read.
#[derive(Clone, Debug)]
struct Documents {
    own: Vec<Value>,
    bucket: Vec<Value>,
    boundary: Option<Vec<Value>>,
    key: Vec<Value>,
    trust: Vec<Value>,
    others: Vec<Value>,
    /// The access points are not known, so that any may exist.
    any_access_point: bool,
}

impl Documents {
    fn input(&self) -> ProofInput {
        let Self {
            own,
            bucket,
            boundary,
            key,
            trust,
            others,
            any_access_point,
        } = self.clone();
        let [own, bucket, key, trust, others] = [own, bucket, key, trust, others].map(Value::Array);
        let mut input = assembled(own, bucket, boundary.map(Value::Array), key, trust, others);
        if any_access_point {
            input.access_points = Evidence::Outside;
        }
        input
    }

    /// The same without what could protect: no Deny and no boundary.
    fn unprotected(mut self) -> ProofInput {
        let Self {
            own,
            bucket,
            boundary,
            key,
            trust,
            others,
            any_access_point: _,
        } = &mut self;
        for statements in [own, bucket, key, trust, others] {
            statements.retain(|s| s["Effect"] == "Allow");
        }
        *boundary = None;
        self.input()
    }
}

fn everybody(mut statement: Value) -> Value {
    statement["Principal"] = json!("*");
    statement
}

/// Everything that our role needs to do on its way to a proof is refused by one means or another.
fn base(number: usize) -> Documents {
    let plain = Documents {
        own: vec![
            allow("s3:GetObject", &format!("{BUCKET}/*")),
            allow("s3:ListBucket", BUCKET),
        ],
        bucket: Vec::new(),
        boundary: None,
        key: Vec::new(),
        trust: Vec::new(),
        others: Vec::new(),
        any_access_point: false,
    };
    let widely = allow("s3:*", "*");
    let reads = vec![
        allow("s3:GetObject", &format!("{BUCKET}/*")),
        allow("s3:ListBucket", BUCKET),
        allow("kms:Decrypt", "*"),
    ];
    match number {
        // Our own Deny, beside everything allowed; access points closed.
        0 => Documents {
            own: guards(),
            any_access_point: true,
            ..plain
        },
        // The bucket's Deny, beside a wide Allow for the role.
        1 => Documents {
            own: [guards()[1..].to_vec(), vec![widely, guard_of_points()]].concat(),
            bucket: vec![everybody(guard_of_bucket())],
            ..plain
        },
        // A boundary, beside everything allowed.
        2 => Documents {
            own: vec![allow("*", "*")],
            boundary: Some(reads),
            ..plain
        },
        // Another role that may be assumed and is guarded itself.
        3 => Documents {
            own: [plain.own.clone(), vec![allow("sts:AssumeRole", &arn("other"))]].concat(),
            trust: vec![json!({"Effect": "Allow", "Principal": {"AWS": arn("train")}, "Action": "sts:AssumeRole"})],
            others: guards(),
            ..plain
        },
        // A bucket policy and a key policy that name the role, to read.
        4 => Documents {
            own: vec![allow("logs:PutLogEvents", "*")],
            bucket: vec![json!({
                "Effect": "Allow", "Principal": {"AWS": arn("train")}, "Action": "s3:GetObject", "Resource": format!("{BUCKET}/*"),
            })],
            key: vec![json!({
                "Effect": "Allow", "Principal": {"AWS": arn("train")}, "Action": "kms:Decrypt", "Resource": "*",
            })],
            ..plain
        },
        _ => plain,
    }
}

fn guard_of_bucket() -> Value {
    json!({
        "Effect": "Deny", "NotAction": crate::domain::iam::role::READ_ACTIONS, "Resource": [BUCKET, format!("{BUCKET}/*")],
    })
}

fn guard_of_points() -> Value {
    json!({"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "arn:aws:s3:*:*:accesspoint/*"})
}

/// One change of one statement, or of a list of them.
#[derive(Clone, Debug)]
enum Change {
    Drop,
    Add(Value),
    Condition(Value),
    Actions(bool, Vec<String>),
    Resources(bool, Vec<String>),
    Principal(bool, Vec<String>),
    /// An Allow of what must not be, on what may be the data.
    Risk(String, String),
    /// Takes an entry from the statement's actions or resources.
    Shorten(usize),
    Effect,
}

/// Writes by every spelling: known, unknown, by pattern, of the key, and ways to more rights.
const RISKS: [&str; 9] = [
    "s3:PutObject",
    "s3:putobjecttagging",
    "s3:PutFuture",
    "s3:GetFuture",
    "s3:Put*",
    "s3:?elete*",
    "kms:ScheduleKeyDeletion",
    "iam:PassRole",
    "s3:GetDataAccess",
];

/// The data, by every spelling.
const PLACES: [&str; 7] = [
    "*",
    "arn:aws:s3:::train-data/*",
    "arn:aws:s3:::train-*",
    "arn:aws:s3:::train-data/a/*",
    "arn:aws:s3:::train-data/${aws:PrincipalTag/t}/*",
    "arn:aws:s3:::train-data/${aws:SourceVpc, 'a'}/*",
    "arn:aws:s3:::${aws:PrincipalTag/t}-data/*",
];

/// Often just those that a `NotPrincipal` must list to except our role.
fn any_principals() -> impl Strategy<Value = Vec<String>> {
    let ours = Just(vec![arn("train"), "111111111111".to_owned()]);
    prop_oneof![ours, proptest::collection::vec(word(&PRINCIPALS), 1..3)]
}

fn any_change() -> impl Strategy<Value = Change> {
    let some = |words: &'static [&'static str]| (any::<bool>(), proptest::collection::vec(word(words), 1..3));
    prop_oneof![
        2 => Just(Change::Drop),
        3 => any_statement(true, true).prop_map(Change::Add),
        3 => any_condition().prop_map(Change::Condition),
        2 => some(&ACTIONS).prop_map(|(not, words)| Change::Actions(not, words)),
        3 => some(&RESOURCES).prop_map(|(not, words)| Change::Resources(not, words)),
        4 => (any::<bool>(), any_principals()).prop_map(|(not, who)| Change::Principal(not, who)),
        4 => (word(&RISKS), word(&PLACES)).prop_map(|(action, resource)| Change::Risk(action, resource)),
        2 => any::<usize>().prop_map(Change::Shorten),
        1 => Just(Change::Effect),
    ]
}

/// `wanted` in place of `other`, whichever the statement has.
fn put(statement: &mut Value, name: &str, not: bool, value: Value) {
    let fields = statement.as_object_mut().unwrap();
    fields.remove(name);
    fields.remove(&format!("Not{name}"));
    fields.insert(if not { format!("Not{name}") } else { name.to_owned() }, value);
}

/// `principals` and `resources`: whether statements of this policy have the element.
fn change(statements: &mut Vec<Value>, at: usize, change: Change, principals: bool, resources: bool) {
    let added = match &change {
        Change::Add(statement) => Some(statement.clone()),
        Change::Risk(action, resource) => Some(everybody(allow(action, resource))),
        Change::Drop
        | Change::Condition(_)
        | Change::Actions(..)
        | Change::Resources(..)
        | Change::Principal(..)
        | Change::Shorten(_)
        | Change::Effect => None,
    };
    if let Some(mut statement) = added {
        let fields = statement.as_object_mut().unwrap();
        if !principals {
            fields.remove("Principal");
            fields.remove("NotPrincipal");
        }
        if !resources {
            fields.remove("Resource");
            fields.remove("NotResource");
        }
        return statements.push(statement);
    }
    if statements.is_empty() {
        return;
    }
    let at = at % statements.len();
    let statement = &mut statements[at];
    match change {
        Change::Drop => drop(statements.remove(at)),
        Change::Condition(condition) => statement["Condition"] = condition,
        Change::Actions(not, words) => put(statement, "Action", not, json!(words)),
        Change::Resources(not, words) if resources => put(statement, "Resource", not, json!(words)),
        Change::Principal(not, who) if principals => put(statement, "Principal", not, json!({"AWS": who})),
        Change::Add(_) | Change::Risk(..) | Change::Resources(..) | Change::Principal(..) => {}
        Change::Shorten(which) => {
            let lists = ["Action", "NotAction", "Resource", "NotResource"];
            let name = lists[which % 4];
            if let Some(list) = statement
                .get_mut(name)
                .and_then(Value::as_array_mut)
                .filter(|l| l.len() > 1)
            {
                list.remove(which / 4 % list.len());
            }
        }
        Change::Effect => {
            let other = if statement["Effect"] == "Allow" {
                "Deny"
            } else {
                "Allow"
            };
            statement["Effect"] = json!(other);
        }
    }
}

fn any_documents() -> impl Strategy<Value = Documents> {
    // Bucket and role have most to say, so they are changed most.
    let which = proptest::sample::select(vec![0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5]);
    let changes = proptest::collection::vec((which, any::<usize>(), any_change()), 1..7);
    let number = proptest::sample::select(vec![0, 1, 1, 2, 3, 4, 5]);
    (number, any::<bool>(), changes).prop_map(|(number, access_points, changes)| {
        let mut documents = base(number);
        documents.any_access_point |= access_points;
        for (which, at, one) in changes {
            let (statements, principals, resources) = match which {
                1 => (&mut documents.bucket, true, true),
                2 => match &mut documents.boundary {
                    Some(boundary) => (boundary, false, true),
                    None => (&mut documents.own, false, true),
                },
                3 => (&mut documents.key, true, true),
                4 => (&mut documents.trust, true, false),
                5 => (&mut documents.others, false, true),
                _ => (&mut documents.own, false, true),
            };
            change(statements, at, one, principals, resources);
        }
        documents
    })
}

/// A context in which any condition of the vocabulary may hold or not.
fn any_context() -> impl Strategy<Value = Context> {
    let value = || {
        proptest::option::of(word(&[
            "a",
            "true",
            "false",
            "b",
            "arn:aws:iam::111111111111:role/team/train",
        ]))
    };
    (value(), value(), value()).prop_map(|(vpc, tag, transport)| {
        let keys = ["aws:SourceVpc", "aws:PrincipalTag/t", "aws:SecureTransport"];
        let pairs = keys.into_iter().zip([vpc, tag, transport]);
        let pairs: Vec<_> = pairs.filter_map(|(key, value)| Some((key, value?))).collect();
        pairs.iter().map(|(key, value)| (*key, value.as_str())).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: config().cases * 2, ..config() })]

    #[test]
    fn what_is_still_proven_after_a_change_is_refused(documents in any_documents(), contexts in proptest::collection::vec(any_context(), 3)) {
        let input = documents.input();
        if prove(&input) != Proof::Proven {
            return Ok(());
        }
        for context in contexts {
            prop_assert_eq!(borne_out(&input, &context), Ok(()));
        }
    }
}

#[test]
fn every_base_is_proven() {
    for number in 0..6 {
        assert_eq!(prove(&base(number).input()), Proof::Proven, "{number}");
    }
}

/// Every way in which a Deny comes to protect less than it did.
fn weakened(statement: &Value, principals: bool, resources: bool) -> Vec<Value> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = statement.clone();
        change(&mut changed);
        changed
    };
    let mut all = Vec::new();
    if principals {
        let except_ours = json!({"AWS": [arn("train"), "111111111111"]});
        for (not, who) in [
            (true, except_ours),
            (true, json!({"AWS": [arn("train"), "arn:aws:iam::111111111111:root"]})),
            (true, json!("*")),
            (false, json!({"AWS": arn("other")})),
            (false, json!({"AWS": "AROAEXAMPLEEXAMPLE123"})),
            (false, json!({"AWS": "222222222222"})),
            (
                false,
                json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/another"}),
            ),
            (false, json!({"Federated": "arn:aws:iam::111111111111:oidc-provider/x"})),
            (false, json!({"Service": "s3.amazonaws.com"})),
        ] {
            all.push(with(&|s| put(s, "Principal", not, who.clone())));
        }
    }
    for condition in [
        json!({"StringEquals": {"aws:SourceVpc": "a"}}),
        json!({"StringNotEquals": {"aws:SourceVpc": "a"}}),
        json!({"Null": {"aws:PrincipalTag/t": "true"}}),
        json!({"Bool": {"aws:SecureTransport": "false"}}),
        json!({"StringLikeIfExists": {"aws:SourceVpc": "*"}, "StringEquals": {"aws:SecureTransport": "true"}}),
        json!({"ArnEquals": {"aws:PrincipalArn": arn("other")}}),
        json!({"ArnNotEquals": {"aws:PrincipalArn": arn("train")}}),
        json!({"StringEquals": {"aws:PrincipalType": "${aws:PrincipalTag/t}"}}),
        json!({"StringNotEquals": {"aws:PrincipalType": "AssumedRole"}}),
        json!({"ForAllValues:StringEquals": {"aws:SourceVpc": "b"}}),
        json!({"StringEquals": {"aws:PrincipalAccount": []}}),
    ] {
        all.push(with(&|s| s["Condition"] = condition.clone()));
    }
    for (not, actions) in [
        (false, json!(["s3:Put*", "s3:Delete*", "s3:Replicate*", "s3:Abort*"])),
        (true, json!(["s3:Get*", "s3:List*"])),
        (true, json!(["s3:GetObject", "s3:PutObjectTagging"])),
        (true, json!(["s3:GetObject", "s3:PutFuture"])),
        (true, json!("s3:?etObject")),
    ] {
        all.push(with(&|s| put(s, "Action", not, actions.clone())));
    }
    for (not, places) in [
        (false, json!([format!("{BUCKET}/*")])),
        (false, json!([BUCKET, format!("{BUCKET}/a/*")])),
        (false, json!([BUCKET, format!("{BUCKET}/?*/*")])),
        (false, json!([BUCKET, "arn:aws:s3:::train-data/${aws:PrincipalTag/t}*"])),
        (true, json!([format!("{BUCKET}/b")])),
        (
            true,
            json!(["arn:aws:s3:::other/*", "arn:aws:s3:::${aws:PrincipalTag/t}-data/*"]),
        ),
        (true, json!("*")),
    ] {
        if resources {
            all.push(with(&|s| put(s, "Resource", not, places.clone())));
        }
    }
    all
}

/// Statements of an input, and whether they have principals and resources.
type Part = (fn(&mut Documents) -> &mut Vec<Value>, bool, bool);

/// The random changes above may miss one; these are all of them, one at a time.
#[test]
fn no_deny_can_be_weakened_without_the_proof_noticing() {
    let contexts = [
        Context::new(),
        Context::from_iter([
            ("aws:SourceVpc", "a"),
            ("aws:PrincipalTag/t", "train"),
            ("aws:SecureTransport", "true"),
        ]),
        Context::from_iter([
            ("aws:SourceVpc", "b"),
            ("aws:PrincipalTag/t", "b"),
            ("aws:SecureTransport", "false"),
        ]),
    ];
    let judge = |documents: &Documents| {
        let input = documents.input();
        if prove(&input) == Proof::Proven {
            for context in &contexts {
                assert_eq!(borne_out(&input, context), Ok(()), "{documents:?}");
            }
        }
    };
    for number in 0..6 {
        let base = base(number);
        let parts: [Part; 5] = [
            (|d| &mut d.own, false, true),
            (|d| &mut d.bucket, true, true),
            (|d| &mut d.key, true, true),
            (|d| &mut d.trust, true, false),
            (|d| &mut d.others, false, true),
        ];
        for (part, principals, resources) in parts {
            for at in 0..part(&mut base.clone()).len() {
                let statement = part(&mut base.clone())[at].clone();
                if statement["Effect"] != "Deny" {
                    continue;
                }
                for changed in weakened(&statement, principals, resources) {
                    let mut documents = base.clone();
                    part(&mut documents)[at] = changed;
                    judge(&documents);
                }
                let mut documents = base.clone();
                part(&mut documents).remove(at);
                judge(&documents);
            }
        }
    }
}

/// A property over proofs says nothing if there are few, or if nothing had to be refused.
#[test]
fn a_good_part_of_the_changed_policies_is_proven_by_what_protects_them() {
    const SAMPLES: usize = 400;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut proven, mut protected) = (0, 0);
    for _ in 0..SAMPLES {
        let documents = any_documents().new_tree(&mut runner).unwrap().current();
        if prove(&documents.input()) == Proof::Proven {
            proven += 1;
            protected += usize::from(prove(&documents.unprotected()) != Proof::Proven);
        }
    }
    eprintln!("{proven} of {SAMPLES} are proven, {protected} of them by a Deny or a boundary");
    assert!(proven > SAMPLES / 4 && proven < SAMPLES * 3 / 4, "{proven}");
    assert!(protected > SAMPLES / 10, "{protected}");
}
