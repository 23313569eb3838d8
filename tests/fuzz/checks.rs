//! What must hold for any input whatever. Each check takes a text, and panics when something that must hold does not.
//!
//! An input is one or more policy documents divided by lines `---`; for [`request`] a request stands before them, for
//! [`manifest`] it is a file of Kubernetes manifests.

use std::collections::BTreeSet;

use aidp::domain::document::equivalence::{equivalent, same_meaning};
use aidp::domain::document::{PolicyDocument, PolicyKind, Statement};
use aidp::domain::egress::manifest::Manifests;
use aidp::domain::egress::report::Analysis;
use aidp::domain::iam::actions::{Place, escalations, s3_actions};
use aidp::domain::iam::compiled::Policy;
use aidp::domain::iam::context::Context;
use aidp::domain::iam::evaluate::{self, PolicySet, Request, Verdict};
use aidp::domain::iam::principal::Caller;
use aidp::domain::iam::proof::{self, AclFacts, BucketFacts, Evidence, Proof, ProofInput, RoleFacts};
use aidp::domain::s3::{deny_insecure_transport, deny_role_writes, merge as merge_statements};

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
pub fn document(input: &str) {
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
pub fn equivalence(input: &str) {
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
pub fn decide(input: &str) {
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
pub fn prove(input: &str) {
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

/// The merge is idempotent and indifferent to order, loses and alters nothing foreign, and can be taken back.
pub fn merge(input: &str) {
    const SIDS: [&str; 3] = ["AidpA", "AidpB", "AidpC"];
    let managed: BTreeSet<String> = SIDS.map(str::to_owned).into();
    let ours = |s: &Statement| s.sid.as_ref().is_some_and(|sid| managed.contains(sid));
    let foreign =
        |d: &PolicyDocument| -> Vec<Statement> { d.statements.iter().filter(|s| !ours(s)).cloned().collect() };
    let wanted = [
        deny_insecure_transport(SIDS[0], BUCKET),
        deny_role_writes(SIDS[1], BUCKET, &[ROLE.to_owned()]),
    ];
    for current in documents(input) {
        let merged = merge_statements(&current, &managed, &wanted);
        let again = merge_statements(&merged.document, &managed, &wanted);
        assert_eq!(again.document, merged.document);
        assert!(again.changes.is_empty());
        assert_eq!(merged.changes.is_empty(), equivalent(&merged.document, &current));
        assert_eq!(foreign(&merged.document), foreign(&current));
        let turned = current.with_statements(current.statements.iter().rev().cloned().collect());
        let other = merge_statements(&turned, &managed, &wanted);
        assert!(equivalent(&other.document, &merged.document));
        let reverted = merge_statements(&merged.document, &managed, &[]).document;
        assert_eq!(reverted, current.with_statements(foreign(&current)));
        let written = PolicyDocument::parse(&merged.document.to_json()).expect("what is written can be read");
        assert_eq!(written, merged.document);
    }
}

/// A request as `aidp can-i` takes it: a line each for caller, action, resource and the resource's account (may be empty),
/// then `key=value` lines; after a line `---` the documents, one of each kind.
pub fn request(input: &str) {
    let (head, rest) = input.split_once("\n---\n").unwrap_or((input, ""));
    let mut lines = head.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (caller, action, resource, account) = (line(), line(), line(), line());
    let account = Some(account).filter(|a| !a.is_empty());
    let context: Context = lines.filter_map(|pair| pair.split_once('=')).collect();
    let caller = match Caller::parse(caller) {
        Ok(caller) => caller,
        // 200 characters of what was given, each escaped by at most ten.
        Err(error) => return assert!(error.to_string().len() < 4_000, "{error}"),
    };
    let ask = |action: &str| Request::new(caller.clone(), action, resource, account, context.clone());
    let request = match ask(action) {
        Ok(request) => request,
        // 200 characters of what was given, each escaped by at most ten.
        Err(error) => return assert!(error.to_string().len() < 4_000, "{error}"),
    };
    let documents = documents(rest);
    let one = |kind, at: usize| compiled(kind, documents.get(at));
    let policies = PolicySet {
        identity: one(PolicyKind::Identity, 0).into_iter().collect(),
        resource: one(PolicyKind::Resource, 1).or_else(|| one(PolicyKind::Trust, 1)),
        boundary: one(PolicyKind::Boundary, 2),
        session: one(PolicyKind::Session, 3).into_iter().collect(),
        service_control: one(PolicyKind::ServiceControl, 4)
            .into_iter()
            .map(|p| vec![p])
            .collect(),
        resource_control: one(PolicyKind::ResourceControl, 5)
            .into_iter()
            .map(|p| vec![p])
            .collect(),
        vpc_endpoint: one(PolicyKind::VpcEndpoint, 6),
    };
    let decision = evaluate::decide(&request, &policies);
    // Actions are compared without regard to case.
    let loud = ask(&action.to_ascii_uppercase()).expect("a request");
    assert_eq!(evaluate::decide(&loud, &policies).verdict, decision.verdict);
    assert!(decision.reason.to_string().len() < 100_000);
}

/// Any manifests are read or refused, in bounds, and what was read can be analysed.
pub fn manifest(input: &str) {
    let mut manifests = Manifests::default();
    manifests.read("input.yaml", input);
    manifests.finish();
    assert!(manifests.problems.len() <= 50);
    let found = Analysis::new(&manifests, Vec::new()).reachable();
    assert_eq!(found.len(), manifests.workloads.len());
}
