//! What must hold for any input whatever. Each check takes a text, and panics when something that must hold does not.
//!
//! An input is one or more policy documents divided by lines `---`.

use aidp::domain::document::equivalence::{equivalent, same_meaning};
use aidp::domain::document::{PolicyDocument, PolicyKind};
use aidp::domain::iam::actions::{Place, escalations, s3_actions};
use aidp::domain::iam::compiled::Policy;
use aidp::domain::iam::context::Context;
use aidp::domain::iam::evaluate::{self, PolicySet, Request, Verdict};
use aidp::domain::iam::principal::Caller;
use aidp::domain::iam::proof::{self, AclFacts, BucketFacts, Evidence, Proof, ProofInput, RoleFacts};

const ROLE: &str = "arn:aws:iam::111111111111:role/team/train";
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/train/s";
const BUCKET: &str = "arn:aws:s3:::b";
const OBJECT: &str = "arn:aws:s3:::b/a/k";

/// Every kind of attachment.
const KINDS: [PolicyKind; 8] = [
    PolicyKind::Identity,
    PolicyKind::Boundary,
    PolicyKind::Session,
    PolicyKind::Resource,
    PolicyKind::Trust,
    PolicyKind::ServiceControl,
    PolicyKind::ResourceControl,
    PolicyKind::VpcEndpoint,
];

fn documents(input: &str) -> Vec<PolicyDocument> {
    input
        .split("\n---\n")
        .filter_map(|text| PolicyDocument::parse(text).ok())
        .collect()
}

/// A document that is read is written and read again as the same; messages stay short.
pub(super) fn document(input: &str) {
    let _ = PolicyDocument::parse_many(input);
    let _ = PolicyDocument::parse_encoded(input);
    match PolicyDocument::parse(input) {
        Ok(document) => {
            let again = PolicyDocument::parse(&document.to_json()).expect("what is written can be read");
            assert_eq!(document, again);
            assert!(equivalent(&document, &again));
            for kind in KINDS {
                let _ = document.check(kind);
                let _ = Policy::new(kind, "p", &document);
            }
        }
        Err(error) => assert!(error.to_string().len() < 1_000, "{error}"),
    }
}

/// Equality is an equivalence relation and blind to the order of statements.
pub(super) fn equivalence(input: &str) {
    let documents = documents(input);
    for a in &documents {
        let turned = a.with_statements(a.statements.iter().rev().cloned().collect());
        assert!(equivalent(a, a) && equivalent(a, &turned) && same_meaning(a, &turned));
        for b in &documents {
            assert_eq!(equivalent(a, b), equivalent(b, a));
            assert!(!equivalent(a, b) || same_meaning(a, b));
        }
    }
}

fn compiled(kind: PolicyKind, document: Option<&PolicyDocument>) -> Option<Policy> {
    document.and_then(|d| Policy::new(kind, "p", d).ok())
}

fn contexts() -> [Context; 2] {
    let some = [
        ("aws:SourceVpc", "vpc-1"),
        ("aws:PrincipalTag/t", "a"),
        ("s3:prefix", "a"),
        ("s3:prefix", "b"),
    ];
    [Context::new(), Context::from_iter(some)]
}

fn ask(caller: &str, action: &str, resource: &str, context: &Context, policies: &PolicySet) -> Verdict {
    let caller = Caller::parse(caller).expect("a caller");
    let request = Request::new(caller, action, resource, None, context.clone()).expect("a request");
    evaluate::decide(&request, policies).verdict
}

/// Any documents decide any request; a Deny more never allows, an Allow more never denies.
pub(super) fn decide(input: &str) {
    let documents = documents(input);
    let policies = PolicySet {
        identity: compiled(PolicyKind::Identity, documents.first()).into_iter().collect(),
        resource: compiled(PolicyKind::Resource, documents.get(1)),
        boundary: compiled(PolicyKind::Boundary, documents.get(2)),
        session: compiled(PolicyKind::Session, documents.get(3)).into_iter().collect(),
        ..PolicySet::default()
    };
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"s3:Put*","Resource":"*"}}"#;
    let allow = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let with = |text: &str| {
        let document = PolicyDocument::parse(text).expect("a document");
        let mut more = policies.clone();
        more.identity.extend(compiled(PolicyKind::Identity, Some(&document)));
        more
    };
    let (more_denied, more_allowed) = (with(deny), with(allow));
    for context in contexts() {
        for caller in [
            ROLE,
            SESSION,
            "*",
            "s3.amazonaws.com",
            "arn:aws:iam::111111111111:user/u",
            "arn:aws:iam::222222222222:root",
        ] {
            for (action, resource) in [
                ("s3:GetObject", OBJECT),
                ("s3:PutObject", OBJECT),
                ("s3:DeleteBucket", BUCKET),
            ] {
                let verdict = ask(caller, action, resource, &context, &policies);
                let denied = ask(caller, action, resource, &context, &more_denied);
                let allowed = ask(caller, action, resource, &context, &more_allowed);
                assert!(verdict == Verdict::Allowed || denied != Verdict::Allowed);
                assert!(verdict != Verdict::Allowed || allowed == Verdict::Allowed);
                assert_eq!(
                    verdict == Verdict::ExplicitlyDenied,
                    allowed == Verdict::ExplicitlyDenied
                );
            }
        }
    }
}

/// What is proven read-only, the evaluator refuses to every writing action.
pub(super) fn prove(input: &str) {
    let documents = documents(input);
    let Some(identity) = compiled(PolicyKind::Identity, documents.first()) else {
        return;
    };
    let bucket = compiled(PolicyKind::Resource, documents.get(1));
    let boundary = compiled(PolicyKind::Boundary, documents.get(2));
    let trust = compiled(PolicyKind::Trust, documents.get(3));
    let other = RoleFacts {
        caller: Caller::parse("arn:aws:iam::111111111111:role/other").expect("a role"),
        identity: Vec::new(),
        boundary: None,
        trust: trust.map_or(Evidence::Outside, Evidence::Seen),
    };
    let input = ProofInput {
        role: RoleFacts {
            caller: Caller::parse(ROLE).expect("a role"),
            identity: vec![Evidence::Seen(identity.clone())],
            boundary: boundary.clone(),
            trust: Evidence::Outside,
        },
        buckets: vec![BucketFacts {
            arn: BUCKET.to_owned(),
            policy: Evidence::Seen(bucket.clone()),
            acl: Evidence::Seen(AclFacts::Disabled),
        }],
        keys: Evidence::Outside,
        access_points: Evidence::Seen(Vec::new()),
        roles: Evidence::Seen(vec![other]),
        organization: Vec::new(),
    };
    if proof::prove(&input) != Proof::Proven {
        return;
    }
    let own = PolicySet {
        identity: vec![identity],
        boundary,
        ..PolicySet::default()
    };
    let on_bucket = PolicySet {
        resource: bucket,
        ..own.clone()
    };
    for context in contexts() {
        for caller in [ROLE, SESSION] {
            for action in s3_actions().iter().filter(|a| !a.reads && a.name.starts_with("s3:")) {
                for resource in action.places.iter().filter_map(|place| resource(*place)) {
                    let verdict = ask(caller, action.name, resource, &context, &on_bucket);
                    assert_ne!(verdict, Verdict::Allowed, "{} on {resource}", action.name);
                }
            }
            for action in escalations() {
                assert_ne!(
                    ask(caller, action.name, "*", &context, &own),
                    Verdict::Allowed,
                    "{}",
                    action.name
                );
            }
        }
    }
}

fn resource(place: Place) -> Option<&'static str> {
    match place {
        Place::Bucket => Some(BUCKET),
        Place::Objects => Some(OBJECT),
        Place::AccessPoints | Place::ObjectLambda | Place::FileSystems => None,
    }
}
