//! What holds for every bucket policy: the algebra of the merge, and that a plan leaves nothing to plan.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::merge;
use super::revert_bucket;
use super::simulated::*;
use crate::domain::document::equivalence::{CanonicalStatement, equivalent};
use crate::domain::document::{PolicyDocument, PolicyKind, Statement};
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::names::ClusterHash;
use crate::domain::observed::{
    AccessLoggingState, BucketDetails, BucketObservation, EncryptionState, ObjectOwnershipState, PublicAccessBlock,
    VersioningState,
};
use crate::domain::s3::Rule;

fn our_sid(rule: Rule) -> String {
    rule.sid(&ClusterHash::of("cluster-one"), "fraud-model")
}

/// A scalar or a list: AWS takes both.
fn one_or_many(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(values).prop_map(Value::from),
        prop::sample::subsequence(values, 1..=values.len()).prop_map(Value::from),
    ]
}

fn any_statement() -> impl Strategy<Value = Value> {
    let principal = prop_oneof![
        Just(json!("*")),
        one_or_many(&["*", "123456789012", "arn:aws:iam::123456789012:role/etl"]).prop_map(|v| json!({"AWS": v})),
        Just(json!({"Service": "logging.s3.amazonaws.com"})),
    ];
    let action = one_or_many(&["s3:*", "s3:Get*", "s3:PutObject", "*"]);
    let resource = one_or_many(&[
        "*",
        "arn:aws:s3:::fraud-training-data",
        "arn:aws:s3:::fraud-training-data/*",
        "arn:aws:s3:::fraud-training-data/a*",
    ]);
    let condition = prop_oneof![
        Just(None),
        Just(Some(json!({"Bool": {"aws:SecureTransport": "false"}}))),
        Just(Some(json!({"Bool": {"aws:SecureTransport": true}}))),
        Just(Some(json!({"NumericLessThan": {"s3:TlsVersion": 1.2}}))),
        Just(Some(json!({"StringNotEquals": {"aws:SourceVpce": ["vpce-1"]}}))),
    ];
    let sid = prop_oneof![
        3 => Just(None),
        1 => Just(Some(our_sid(Rule::DenyInsecureTransport))),
        1 => Just(Some(our_sid(Rule::DenyOldTls))),
        1 => Just(Some(our_sid(Rule::DenyRoleWrites))),
        2 => "(Aidp)?[A-Z][a-z]{0,3}".prop_map(Some),
    ];
    (
        sid,
        any::<bool>(),
        principal,
        any::<bool>(),
        action,
        any::<bool>(),
        resource,
        condition,
    )
        .prop_map(
            |(sid, deny, principal, not_action, action, not_resource, resource, condition)| {
                let mut statement = json!({"Effect": if deny { "Deny" } else { "Allow" }, "Principal": principal});
                if let Some(sid) = sid {
                    statement["Sid"] = sid.into();
                }
                statement[if not_action { "NotAction" } else { "Action" }] = action;
                statement[if not_resource { "NotResource" } else { "Resource" }] = resource;
                if let Some(condition) = condition {
                    statement["Condition"] = condition;
                }
                statement
            },
        )
}

fn any_policy() -> impl Strategy<Value = PolicyDocument> {
    let version = prop::sample::select(&[None, Some("2008-10-17"), Some("2012-10-17")][..]);
    (version, prop::collection::vec(any_statement(), 0..6)).prop_map(|(version, statements)| {
        let mut document = json!({ "Statement": statements });
        if let Some(version) = version {
            document["Version"] = version.into();
        }
        PolicyDocument::parse(&document.to_string()).unwrap()
    })
}

fn wanted() -> Vec<Statement> {
    vec![
        super::deny_insecure_transport(&our_sid(Rule::DenyInsecureTransport), ARN),
        super::deny_old_tls(&our_sid(Rule::DenyOldTls), ARN, crate::api::TLSVersion::V12),
    ]
}

fn managed() -> std::collections::BTreeSet<String> {
    Rule::ALL.map(our_sid).into()
}

fn foreign(document: &PolicyDocument) -> Vec<&Statement> {
    let ours = |s: &&Statement| s.sid.as_ref().is_some_and(|sid| managed().contains(sid));
    document.statements.iter().filter(|s| !ours(s)).collect()
}

fn as_set(document: &PolicyDocument) -> Vec<CanonicalStatement> {
    let mut all: Vec<_> = document.statements.iter().map(CanonicalStatement::of).collect();
    all.sort();
    all
}

fn any_bucket() -> impl Strategy<Value = BucketObservation> {
    let algorithm = prop::sample::select(&["AES256", "aws:kms", "aws:kms:dsse"][..]);
    let key = prop::sample::select(&[None, Some(KEY), Some(OTHER_KEY), Some("alias/x"), Some("aws/s3")][..]);
    let rules = prop::collection::vec(
        (algorithm, key, any::<Option<bool>>()).prop_map(|(a, k, b)| rule(a, k, b)),
        0..3,
    );
    let encryption = prop_oneof![Just(EncryptionState::Implicit), rules.prop_map(EncryptionState::Rules)];
    let block = any::<Option<[bool; 4]>>().prop_map(|flags| {
        flags.map(|[a, b, c, d]| PublicAccessBlock {
            block_public_acls: a,
            ignore_public_acls: b,
            block_public_policy: c,
            restrict_public_buckets: d,
        })
    });
    let versioning = prop::sample::select(
        &[
            VersioningState::Unversioned,
            VersioningState::Enabled,
            VersioningState::Suspended,
        ][..],
    );
    let ownership = prop::sample::select(
        &[
            None,
            Some(ObjectOwnershipState::ObjectWriter),
            Some(ObjectOwnershipState::BucketOwnerPreferred),
            Some(ObjectOwnershipState::BucketOwnerEnforced),
        ][..],
    );
    let logging =
        prop::option::of(
            ("[a-c]{3}", "[a-c]{0,2}").prop_map(|(target_bucket, target_prefix)| AccessLoggingState {
                target_bucket,
                target_prefix,
                key_format: None,
                target_grants: Vec::new(),
            }),
        );
    let settings = (encryption, block, ownership, versioning, logging);
    (settings, prop::option::of(any_policy())).prop_map(
        |((encryption, block, ownership, versioning, logging), policy)| BucketObservation {
            details: BucketDetails::default(),
            region: Ok(region("eu-west-1")),
            encryption: Some(Ok(encryption)),
            policy: Some(Ok(policy.map(|p| p.to_json()))),
            public_access_block: Some(Ok(block)),
            object_ownership: Some(Ok(ownership)),
            acl: Some(Ok(own_acl())),
            versioning: Some(Ok(versioning)),
            access_logging: Some(Ok(logging)),
        },
    )
}

/// The verdict on a request for an object, under the bucket's policy and an identity policy that allows everything.
fn verdict(policy: Option<&str>, caller: &str, action: &str, context: &[(&str, &str)]) -> Verdict {
    let read = |kind, text: &str| Policy::new(kind, "p", &PolicyDocument::parse(text).unwrap()).unwrap();
    let everything = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let policies = PolicySet {
        identity: vec![read(PolicyKind::Identity, everything)],
        resource: policy.map(|text| read(PolicyKind::Resource, text)),
        ..PolicySet::default()
    };
    let caller = Caller::parse(caller).unwrap();
    let context: Context = context.iter().copied().collect();
    let request = Request::new(caller, action, &format!("{ARN}/rows"), Some("123456789012"), context).unwrap();
    decide(&request, &policies).verdict
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn merging_twice_is_merging_once(policy in any_policy()) {
        let once = merge(&policy, &managed(), &wanted());
        let twice = merge(&once.document, &managed(), &wanted());
        prop_assert_eq!(&twice.document, &once.document);
        prop_assert!(twice.changes.is_empty());
    }

    #[test]
    fn no_change_is_told_exactly_when_nothing_changes(policy in any_policy()) {
        let merged = merge(&policy, &managed(), &wanted());
        prop_assert_eq!(merged.changes.is_empty(), equivalent(&merged.document, &policy));
    }

    #[test]
    fn the_order_of_statements_does_not_matter(policy in any_policy(), seed in any::<prop::sample::Index>()) {
        let mut turned = policy.clone();
        if !turned.statements.is_empty() {
            let by = seed.index(turned.statements.len());
            turned.statements.rotate_left(by);
            turned.statements.reverse();
        }
        let (a, b) = (merge(&policy, &managed(), &wanted()), merge(&turned, &managed(), &wanted()));
        prop_assert_eq!(as_set(&a.document), as_set(&b.document));
    }

    #[test]
    fn no_foreign_statement_is_lost_or_altered(policy in any_policy()) {
        let merged = merge(&policy, &managed(), &wanted());
        prop_assert_eq!(foreign(&merged.document), foreign(&policy));
        prop_assert_eq!(merged.document.version, policy.version);
    }

    #[test]
    fn reverting_a_merge_leaves_the_foreign_policy(policy in any_policy()) {
        let merged = merge(&policy, &managed(), &wanted());
        let reverted = merge(&merged.document, &managed(), &[]).document;
        let expected = policy.with_statements(foreign(&policy).into_iter().cloned().collect());
        prop_assert_eq!(reverted, expected);
    }

    #[test]
    fn after_a_plan_there_is_nothing_left_to_plan(seen in any_bucket()) {
        let policy = full();
        let first = plan(&policy, &seen);
        let after = apply(&seen, &first);
        let second = plan(&policy, &after);
        prop_assert_eq!(operations(&second), Vec::<&str>::new());
        let unrepaired: Vec<_> = second.findings.iter().map(|f| f.disposition).collect();
        prop_assert!(!unrepaired.contains(&crate::domain::finding::Disposition::Repair));
    }

    /// Asked of the evaluator, which decides one request at a time: what the plan says is right, is.
    #[test]
    fn after_a_plan_what_is_not_said_to_be_open_is_refused(seen in any_bucket()) {
        let policy = full();
        let after = apply(&seen, &plan(&policy, &seen));
        let said: Vec<&str> = plan(&policy, &after).findings.iter().map(|f| f.control.id()).collect();
        let role = "arn:aws:iam::123456789012:role/aidp/fraud-trainer";
        let tls: &[(&str, &str)] = &[("aws:SecureTransport", "true"), ("s3:TlsVersion", "1.3")];
        let old: &[(&str, &str)] = &[("aws:SecureTransport", "true"), ("s3:TlsVersion", "1.1")];
        let plain: &[(&str, &str)] = &[("aws:SecureTransport", "false")];
        for (control, caller, action, context) in [
            ("S3.TLSOnly", "*", "s3:GetObject", plain),
            ("S3.TLSOnly", "arn:aws:iam::999999999999:role/partner", "s3:PutObject", plain),
            ("S3.MinimumTLSVersion", "*", "s3:GetObject", old),
            ("S3.RoleWriteDeny", role, "s3:PutObject", tls),
            ("S3.RoleWriteDeny", role, "s3:DeleteObjectVersion", tls),
        ] {
            let verdict = verdict(stored(&after), caller, action, context);
            prop_assert!(
                said.contains(&control) || verdict == Verdict::ExplicitlyDenied,
                "{control}: {caller} may {action}: {verdict:?} under {:?}", stored(&after)
            );
        }
    }

    #[test]
    fn a_plan_and_its_revert_leave_the_foreign_policy(seen in any_bucket()) {
        let policy = full();
        let after = apply(&seen, &plan(&policy, &seen));
        let reverted = apply(&after, &revert_bucket(&policy, &bucket(), Some(&after), Some(&operator())));
        let parse = |seen: &BucketObservation| stored(seen).map(|t| PolicyDocument::parse(t).unwrap());
        let before = parse(&seen).map(|d| foreign(&d).into_iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let left = parse(&reverted).map(|d| foreign(&d).into_iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
        prop_assert_eq!(left, before);
    }

    #[test]
    fn no_policy_text_makes_the_plan_panic(text in ".{0,200}") {
        let plan = plan(&full(), &with_policy(&text));
        prop_assert!(plan.actions.len() <= 6);
    }
}
