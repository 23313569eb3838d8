use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::documents::INLINE_PATH;
use super::policies::foreign_inline;
use super::*;
use crate::api::{ForeignPolicies, Severity};
use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::fixture::now;
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::iam::role::LEFT_OPEN;
use crate::domain::iam::simulated::{
    CLUSTER, FOREIGN, MANAGED, SPEC, allow, apply, made, pod_identity_policy, policy, policy_of, role_name, seen,
    settings,
};
use crate::domain::observed::{CallError, ErrorClass};
use crate::domain::policy::TAG_POLICY;

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";

const DENY_ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;

fn detaching(mut policy: ValidatedPolicy) -> ValidatedPolicy {
    policy.roles[0].foreign_policies = ForeignPolicies::Detach;
    policy
}

fn adopting(mut policy: ValidatedPolicy) -> ValidatedPolicy {
    policy.roles[0].adoption = Adoption::Tagged;
    policy
}

fn plan_of(policy: &ValidatedPolicy, role: Option<RoleObservation>) -> TargetPlan {
    plan_role(policy, &policy.roles[0], &seen(role), now())
}

fn operations(plan: &TargetPlan) -> Vec<&'static str> {
    plan.actions.iter().map(|a| a.action.operation()).collect()
}

/// What of each finding decides: control, severity, disposition, path.
fn gist(plan: &TargetPlan) -> Vec<(Control, Severity, Disposition, &str)> {
    plan.findings
        .iter()
        .map(|f| (f.control, f.severity, f.disposition, f.path.as_str()))
        .collect()
}

/// With a boundary and a managed policy, so that everything can drift.
fn rich_policy() -> ValidatedPolicy {
    let spec = format!("{SPEC}  managedPolicyARNs: ['{MANAGED}']\n");
    let settings = crate::domain::policy::OperatorSettings {
        role_boundary_arn: Some(BOUNDARY.into()),
        ..settings()
    };
    policy_of(&spec, &settings)
}

#[test]
fn a_missing_role_is_created_with_everything_before_anything_is_attached() {
    let policy = rich_policy();
    let plan = plan_of(&policy, None);
    assert_eq!(operations(&plan), ["CreateRole", "PutRolePolicy", "AttachRolePolicy"]);
    assert_eq!(plan.state, TargetState::Missing);
    assert_eq!(plan.facts.arn, None);
    assert_eq!(
        gist(&plan),
        [
            (Control::IamRole, Severity::High, Disposition::Repair, "role"),
            (
                Control::IamRole,
                Severity::Medium,
                Disposition::Repair,
                "managedPolicyARNs.arn:aws:iam::123456789012:policy/checkpoint-writer"
            ),
        ]
    );
    let documents = role::documents(&policy, &policy.roles[0]);
    assert_eq!(
        made(&policy),
        RoleObservation {
            arn: "arn:aws:iam::123456789012:role/aidp/fraud-trainer".into(),
            role_id: "AROAEXAMPLE".into(),
            path: "/aidp/".into(),
            trust_policy: documents.trust.unwrap().json,
            max_session_duration_seconds: 3600,
            permissions_boundary_arn: Some(BOUNDARY.into()),
            tags: BTreeMap::from([
                ("aidp.dev/managed-by".into(), CLUSTER.into()),
                ("aidp.dev/policy".into(), "fraud-model".into()),
            ]),
            inline_policies: BTreeMap::from([("aidp-readonly".into(), documents.inline.unwrap().json)]),
            attached_policy_arns: BTreeSet::from([MANAGED.into()]),
            created_time: Some(now()),
            last_used_time: None,
        }
    );
}

#[test]
fn no_drift_makes_no_write_and_no_finding() {
    let policy = policy();
    let plan = plan_of(&policy, Some(made(&policy)));
    assert_eq!(
        plan,
        TargetPlan {
            target: Target::Role(role_name()),
            state: TargetState::Compliant,
            findings: vec![],
            actions: vec![],
            facts: TargetFacts {
                arn: Some("arn:aws:iam::123456789012:role/aidp/fraud-trainer".into()),
                ..TargetFacts::default()
            },
        }
    );
}

#[test]
fn another_spelling_of_the_same_documents_is_no_drift() {
    let policy = policy();
    let mut role = made(&policy);
    let respell = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        let statements = value["Statement"].as_array_mut().unwrap();
        statements.reverse();
        for statement in statements {
            statement.as_object_mut().unwrap().remove("Sid");
            if let Some(Value::String(action)) = statement.get("Action") {
                statement["Action"] = json!([action.to_ascii_uppercase()]);
            }
        }
        serde_json::to_string_pretty(&value).unwrap()
    };
    role.trust_policy = respell(&role.trust_policy);
    for text in role.inline_policies.values_mut() {
        *text = respell(text);
    }
    let plan = plan_of(&policy, Some(role));
    assert_eq!((plan.findings, plan.actions), (vec![], vec![]));
}

#[test]
fn a_role_that_is_not_ours_is_refused_and_not_written() {
    let policy = policy();
    let mut other_path = made(&policy);
    other_path.path = "/".into();
    let mut untagged = made(&policy);
    untagged.tags.clear();
    let mut other_cluster = made(&policy);
    other_cluster.tags.insert(TAG_MANAGED_BY.into(), "cluster-b".into());
    for (mut role, reason) in [
        (other_path, HumanReason::AdoptionRefused),
        (untagged, HumanReason::AdoptionRefused),
        (other_cluster, HumanReason::Conflict),
    ] {
        role.trust_policy = "{}".into();
        role.inline_policies.clear();
        let plan = plan_of(&policy, Some(role));
        assert_eq!(
            gist(&plan),
            [(
                Control::IamRole,
                Severity::High,
                Disposition::NeedsHuman(reason),
                "role"
            )]
        );
        assert_eq!(
            (plan.actions, plan.state, plan.facts.arn),
            (vec![], TargetState::Conflict, None)
        );
    }
}

#[test]
fn an_unreadable_role_is_never_taken_for_a_missing_one() {
    let policy = policy();
    let access_denied = Disposition::NeedsHuman(HumanReason::AccessDenied);
    let not_proven = Disposition::NeedsHuman(HumanReason::NotProven);
    for (class, disposition) in [
        (ErrorClass::AccessDenied, access_denied),
        (ErrorClass::Credentials, Disposition::Unobserved),
        (ErrorClass::NotFound, Disposition::Unobserved),
        (ErrorClass::Throttled, Disposition::Unobserved),
        (ErrorClass::Transient, Disposition::Unobserved),
        (ErrorClass::Unsupported, not_proven),
        (ErrorClass::Terminal, not_proven),
    ] {
        let mut observed = seen(None);
        let error = CallError {
            operation: "GetRole",
            class,
            code: Some("Code".into()),
            message: "no".into(),
        };
        observed.roles.insert(role_name(), Err(error));
        let plan = plan_role(&policy, &policy.roles[0], &observed, now());
        assert_eq!(gist(&plan), [(Control::IamRole, Severity::High, disposition, "role")]);
        assert_eq!((plan.actions, plan.state), (vec![], TargetState::Unknown), "{class:?}");
    }
    let mut observed = seen(None);
    observed.roles.clear();
    let plan = plan_role(&policy, &policy.roles[0], &observed, now());
    assert_eq!((plan.actions, plan.state), (vec![], TargetState::Unknown));
}

type Case = (
    RoleObservation,
    (Control, Severity, Disposition, &'static str),
    &'static str,
    &'static str,
);

/// Roles that were tampered with; the finding, the write that repairs it, and what was found.
fn tampered_documents(good: &RoleObservation) -> Vec<Case> {
    let inline = |edit: fn(&mut Value)| {
        let mut role = good.clone();
        let text = role.inline_policies.get_mut(INLINE_POLICY).unwrap();
        let mut value: Value = serde_json::from_str(text).unwrap();
        edit(&mut value["Statement"]);
        *text = value.to_string();
        role
    };
    let with = |edit: fn(&mut RoleObservation)| {
        let mut role = good.clone();
        edit(&mut role);
        role
    };
    let ro = (
        Control::IamReadOnly,
        Severity::Critical,
        Disposition::Repair,
        INLINE_PATH,
    );
    vec![
        (with(|r| r.inline_policies.clear()), ro, "PutRolePolicy", "absent"),
        (
            inline(|s| drop(s.as_array_mut().unwrap().remove(5))),
            ro,
            "PutRolePolicy",
            "removed or edited: AidpDenyAllButRead",
        ),
        (
            inline(|s| {
                s.as_array_mut()
                    .unwrap()
                    .push(json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}));
            }),
            ro,
            "PutRolePolicy",
            "not as generated: Statement[12]",
        ),
        (
            inline(|s| s[0]["Action"] = json!("s3:*")),
            ro,
            "PutRolePolicy",
            "removed or edited: AidpRead; not as generated: AidpRead",
        ),
        (
            inline(|s| s[5]["Condition"] = json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}})),
            ro,
            "PutRolePolicy",
            "removed or edited: AidpDenyAllButRead; not as generated: AidpDenyAllButRead",
        ),
        (
            inline(|s| drop(s.as_array_mut().unwrap().remove(0))),
            (Control::IamReadOnly, Severity::Medium, Disposition::Repair, INLINE_PATH),
            "PutRolePolicy",
            "removed or edited: AidpRead",
        ),
    ]
}

/// The same for what is not the inline policy.
fn tampered_settings(good: &RoleObservation) -> Vec<Case> {
    let with = |edit: fn(&mut RoleObservation)| {
        let mut role = good.clone();
        edit(&mut role);
        role
    };
    vec![
        (
            with(|r| r.permissions_boundary_arn = None),
            (
                Control::IamRole,
                Severity::High,
                Disposition::Repair,
                "permissionsBoundary",
            ),
            "PutRolePermissionsBoundary",
            "none",
        ),
        (
            with(|r| {
                r.trust_policy = r
                    .trust_policy
                    .replace("system:serviceaccount:ml:trainer", "system:serviceaccount:dev:shell");
            }),
            (
                Control::IamTrust,
                Severity::High,
                Disposition::Repair,
                "trustPolicy.Statement[0].sub",
            ),
            "UpdateAssumeRolePolicy",
            "system:serviceaccount:dev:shell",
        ),
        (
            with(|r| r.max_session_duration_seconds = 43_200),
            (
                Control::IamSessionDuration,
                Severity::Medium,
                Disposition::Repair,
                "maxSessionDurationSeconds",
            ),
            "UpdateRole",
            "43200",
        ),
        (
            with(|r| drop(r.tags.remove(TAG_POLICY))),
            (
                Control::IamRole,
                Severity::Low,
                Disposition::Repair,
                "tags.aidp.dev/policy",
            ),
            "TagRole",
            "absent",
        ),
        (
            with(|r| r.attached_policy_arns.clear()),
            (
                Control::IamRole,
                Severity::Medium,
                Disposition::Repair,
                "managedPolicyARNs.arn:aws:iam::123456789012:policy/checkpoint-writer",
            ),
            "AttachRolePolicy",
            "detached",
        ),
    ]
}

#[test]
fn every_kind_of_tampering_is_found_and_repaired() {
    let policy = rich_policy();
    let good = made(&policy);
    let cases = tampered_documents(&good).into_iter().chain(tampered_settings(&good));
    for (role, expected, operation, have) in cases {
        let plan = plan_of(&policy, Some(role.clone()));
        let repairs: Vec<&Finding> = plan
            .findings
            .iter()
            .filter(|f| f.disposition == Disposition::Repair)
            .collect();
        assert_eq!(operations(&plan), [operation], "{expected:?}");
        let found = repairs[0];
        assert_eq!(
            (found.control, found.severity, found.disposition, found.path.as_str()),
            expected
        );
        assert_eq!(found.have, have);
        assert_eq!(plan.state, TargetState::Drifted);
        let keys: Vec<_> = repairs.iter().map(|f| f.key()).collect();
        assert_eq!(plan.actions[0].repairs, keys);
        assert_eq!(apply(Some(role), &plan.actions), Some(good.clone()));
    }
}

#[test]
fn several_trust_defects_are_repaired_by_one_write() {
    let policy = policy();
    let good = made(&policy);
    let mut role = good.clone();
    let mut trust: Value = serde_json::from_str(&role.trust_policy).unwrap();
    trust["Statement"][0]["Condition"] = json!({});
    trust["Statement"]
        .as_array_mut()
        .unwrap()
        .push(json!({"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}));
    role.trust_policy = trust.to_string();
    let plan = plan_of(&policy, Some(role.clone()));
    assert_eq!(
        gist(&plan),
        [
            (
                Control::IamTrust,
                Severity::High,
                Disposition::Repair,
                "trustPolicy.Statement[0].aud"
            ),
            (
                Control::IamTrust,
                Severity::Critical,
                Disposition::Repair,
                "trustPolicy.Statement[0].sub"
            ),
            (
                Control::IamTrust,
                Severity::Critical,
                Disposition::Repair,
                "trustPolicy.Statement[1].Principal[123456789012]"
            ),
        ]
    );
    assert_eq!(operations(&plan), ["UpdateAssumeRolePolicy"]);
    assert_eq!(plan.actions[0].repairs.len(), 3);
    assert_eq!(apply(Some(role), &plan.actions), Some(good));
}

#[test]
fn somebody_elses_deny_in_the_trust_survives_a_repair() {
    let policy = policy();
    let mut role = made(&policy);
    let mut trust: Value = serde_json::from_str(&role.trust_policy).unwrap();
    let deny = json!({"Sid": "Incident42", "Effect": "Deny", "Principal": "*", "Action": "sts:*"});
    trust["Statement"].as_array_mut().unwrap().insert(0, deny.clone());
    role.trust_policy = trust.to_string();

    let plan = plan_of(&policy, Some(role.clone()));
    assert_eq!(
        gist(&plan),
        [(Control::IamTrust, Severity::Low, Disposition::Note, "trustPolicy.deny")]
    );
    assert_eq!((plan.actions, plan.state), (vec![], TargetState::Compliant));

    role.trust_policy = role.trust_policy.replace("ml:trainer", "ml:*");
    let plan = plan_of(&policy, Some(role.clone()));
    let repaired = apply(Some(role), &plan.actions).unwrap();
    let statements: Value = serde_json::from_str(&repaired.trust_policy).unwrap();
    assert_eq!(statements["Statement"][1], deny);
    assert_eq!(plan_of(&policy, Some(repaired)).actions, vec![]);
}

#[test]
fn an_unparsable_trust_is_not_replaced_but_the_deny_is_still_kept() {
    let policy = policy();
    let mut role = made(&policy);
    role.trust_policy = r#"{"Version":"2012-10-17","Statement":[{"Efect":"Allow"}]}"#.into();
    role.inline_policies.clear();
    let plan = plan_of(&policy, Some(role));
    assert_eq!(
        gist(&plan),
        [
            (
                Control::IamReadOnly,
                Severity::Critical,
                Disposition::Repair,
                INLINE_PATH
            ),
            (
                Control::IamTrust,
                Severity::Critical,
                Disposition::NeedsHuman(HumanReason::PolicyUnparsable),
                "trustPolicy"
            ),
        ]
    );
    assert_eq!(operations(&plan), ["PutRolePolicy"]);
}

#[test]
fn a_policy_of_others_that_opens_more_is_reported_with_what_it_opens() {
    let policy = policy();
    let mut role = made(&policy);
    role.inline_policies
        .insert("extra".into(), allow("iam:PutRolePolicy", "*"));
    let plan = plan_of(&policy, Some(role));
    assert_eq!(
        gist(&plan),
        [
            (
                Control::IamReadOnly,
                Severity::Critical,
                Disposition::NeedsHuman(HumanReason::NotReadOnly),
                "readOnly.escalation[statement 0 of identity policy extra]"
            ),
            (
                Control::IamReadOnly,
                Severity::High,
                Disposition::Note,
                "inlinePolicies.extra"
            ),
        ]
    );
    assert_eq!(
        plan.findings[0].have,
        "statement 0 of identity policy extra allows iam:PutRolePolicy on *"
    );
    assert_eq!((plan.actions, plan.state), (vec![], TargetState::Drifted));
}

#[test]
fn a_policy_of_others_that_is_proven_harmless_is_only_reported() {
    let policy = policy();
    let mut role = made(&policy);
    role.inline_policies
        .insert("extra".into(), allow("s3:PutObject", "arn:aws:s3:::checkpoints/*"));
    let plan = plan_of(&policy, Some(role));
    assert_eq!(
        gist(&plan),
        [(
            Control::IamReadOnly,
            Severity::Medium,
            Disposition::Note,
            "inlinePolicies.extra"
        )]
    );
    assert_eq!((plan.actions, plan.state), (vec![], TargetState::Compliant));
}

/// The access review: control, severity, disposition, path, have.
fn reviewed(policy: &ValidatedPolicy, role: RoleObservation) -> (Vec<String>, TargetState) {
    let plan = plan_of(policy, Some(role));
    assert_eq!(plan.actions, vec![]);
    let review = plan.findings.iter().filter(|f| f.control == Control::IamAccessReview);
    let told = review.map(|f| {
        assert_eq!((f.severity, f.disposition), (Severity::Low, Disposition::Note));
        format!("{}: {}", f.path, f.have)
    });
    (told.collect(), plan.state)
}

#[test]
fn a_role_that_nobody_uses_is_put_up_for_review_and_stays_compliant() {
    let policy = policy();
    let old = RoleObservation {
        created_time: Some(now() - jiff::SignedDuration::from_hours(200 * 24)),
        ..made(&policy)
    };
    let used = |days: i64| RoleObservation {
        last_used_time: Some(now() - jiff::SignedDuration::from_hours(days * 24)),
        ..old.clone()
    };
    let review = |told: &[&str]| (told.iter().map(ToString::to_string).collect(), TargetState::Compliant);
    assert_eq!(
        reviewed(&policy, old.clone()),
        review(&["lastUsed: never, as far as AWS remembers"])
    );
    assert_eq!(reviewed(&policy, used(100)), review(&["lastUsed: 2026-02-21"]));
    assert_eq!(reviewed(&policy, used(30)), review(&[]));
}

#[test]
fn rights_to_read_past_the_policy_are_put_up_for_review() {
    let policy = policy();
    let with = |document: String| {
        let mut role = made(&policy);
        role.inline_policies.insert("extra".into(), document);
        reviewed(&policy, role)
    };
    let review = |told: &[&str]| (told.iter().map(ToString::to_string).collect(), TargetState::Compliant);
    assert_eq!(
        with(allow("s3:GetObject", "*")),
        review(&["rights[extra]: fraud-data, fraud-features"])
    );
    // Outside the prefix that the role is to read, and by an ARN that AWS completes.
    assert_eq!(
        with(allow("s3:GetObject", "arn:aws:s3:::fraud-data/raw/*")),
        review(&["rights[extra]: fraud-data"])
    );
    assert_eq!(
        with(allow("s3:GetObject", "arn:aws:s3")),
        review(&["rights[extra]: fraud-data, fraud-features"])
    );
    assert_eq!(with(allow("s3:GetObject", "arn:aws:s3:::checkpoints/*")), review(&[]));
}

#[test]
fn a_listed_policy_with_which_the_role_could_write_is_not_attached() {
    let mut policy = policy();
    policy.roles[0].managed_policy_arns.insert(FOREIGN.into());
    let plan = plan_of(&policy, Some(made(&policy)));
    assert_eq!(plan.actions, vec![]);
    assert!(
        plan.findings
            .iter()
            .any(|f| f.disposition == Disposition::NeedsHuman(HumanReason::NotReadOnly))
    );
    assert_eq!(
        plan.findings.last().map(|f| (f.path.as_str(), f.disposition)),
        Some((
            "managedPolicyARNs.arn:aws:iam::aws:policy/AmazonS3FullAccess",
            Disposition::NeedsHuman(HumanReason::NotProven)
        ))
    );
}

#[test]
fn a_policy_that_cannot_be_read_proves_nothing() {
    let policy = policy();
    let mut role = made(&policy);
    role.attached_policy_arns.insert(FOREIGN.into());
    let mut observed = seen(Some(role));
    observed.managed_policies.clear();
    let plan = plan_role(&policy, &policy.roles[0], &observed, now());
    assert_eq!(
        gist(&plan)[0],
        (
            Control::IamReadOnly,
            Severity::High,
            Disposition::NeedsHuman(HumanReason::NotProven),
            "readOnly"
        )
    );
    assert_eq!(plan.state, TargetState::Unknown);
}

#[test]
fn what_bucket_policies_grant_the_role_is_closed_by_its_own_deny_and_reported() {
    let policy = policy();
    let mut observed = seen(Some(made(&policy)));
    for bucket in &policy.buckets {
        let arn = policy.partition.bucket_arn(&bucket.name);
        let open = json!({"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [arn, format!("{arn}/*")]}});
        let observation = crate::domain::observed::BucketObservation {
            details: crate::domain::observed::BucketDetails::default(),
            region: Ok(policy.region.clone()),
            encryption: None,
            policy: Some(Ok(Some(open.to_string()))),
            public_access_block: None,
            object_ownership: None,
            acl: None,
            access_logging: None,
            versioning: None,
        };
        observed.buckets.insert(bucket.name.clone(), observation);
    }
    let plan = plan_role(&policy, &policy.roles[0], &observed, now());
    assert_eq!(plan.state, TargetState::Compliant);
    let note = |path| (Control::IamReadOnly, Severity::Medium, Disposition::Note, path);
    assert_eq!(
        gist(&plan),
        [
            note("bucketPolicy[statement 0 of resource policy arn:aws:s3:::fraud-data]"),
            note("bucketPolicy[statement 0 of resource policy arn:aws:s3:::fraud-features]"),
        ]
    );
}

#[test]
fn a_policy_that_only_denies_is_kept_and_harms_no_proof() {
    let policy = detaching(policy());
    let mut role = made(&policy);
    let deny_all = "arn:aws:iam::aws:policy/AWSDenyAll";
    role.inline_policies
        .insert("AWSRevokeOlderSessions".into(), DENY_ALL.into());
    role.attached_policy_arns.insert(deny_all.into());
    let mut observed = seen(Some(role));
    observed.managed_policies.insert(deny_all.into(), Ok(DENY_ALL.into()));
    let plan = plan_role(&policy, &policy.roles[0], &observed, now());
    assert_eq!(
        gist(&plan),
        [
            (
                Control::IamReadOnly,
                Severity::Low,
                Disposition::Note,
                "inlinePolicies.AWSRevokeOlderSessions"
            ),
            (
                Control::IamReadOnly,
                Severity::Low,
                Disposition::Note,
                "attachedPolicies.arn:aws:iam::aws:policy/AWSDenyAll"
            ),
        ]
    );
    assert_eq!((plan.actions, plan.state), (vec![], TargetState::Compliant));
}

#[test]
fn detach_takes_off_what_is_not_listed_and_nothing_else() {
    let policy = detaching(rich_policy());
    let good = made(&policy);
    let mut role = good.clone();
    role.inline_policies.insert("extra".into(), allow("*", "*"));
    role.inline_policies.remove(INLINE_POLICY);
    role.attached_policy_arns.insert(FOREIGN.into());
    let plan = plan_of(&policy, Some(role.clone()));
    assert_eq!(
        operations(&plan),
        ["PutRolePolicy", "DeleteRolePolicy", "DetachRolePolicy"]
    );
    assert_eq!(apply(Some(role), &plan.actions), Some(good));
}

#[test]
fn detach_takes_off_nothing_that_cannot_be_read() {
    let policy = detaching(policy());
    let mut role = made(&policy);
    role.attached_policy_arns.insert(FOREIGN.into());
    role.inline_policies.insert("odd".into(), "{".into());
    let read_only = Control::IamReadOnly;
    for (class, disposition) in [
        (ErrorClass::Throttled, Disposition::Unobserved),
        (
            ErrorClass::AccessDenied,
            Disposition::NeedsHuman(HumanReason::NotProven),
        ),
    ] {
        let mut observed = seen(Some(role.clone()));
        let error = CallError {
            operation: "GetPolicyVersion",
            class,
            code: None,
            message: "no".into(),
        };
        observed.managed_policies.insert(FOREIGN.into(), Err(error));
        let plan = plan_role(&policy, &policy.roles[0], &observed, now());
        assert_eq!(operations(&plan), Vec::<&str>::new());
        let proof = plan.findings.iter().find(|f| f.path == "readOnly").unwrap();
        assert_eq!((proof.control, proof.disposition), (read_only, disposition));
    }
}

/// A role of somebody else, tagged for the policy.
fn adoptable(policy: &ValidatedPolicy) -> RoleObservation {
    RoleObservation {
        arn: "arn:aws:iam::123456789012:role/team/fraud-trainer".into(),
        path: "/team/".into(),
        trust_policy: r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}}"#.into(),
        tags: BTreeMap::from([("team".into(), "ml".into()), (TAG_ADOPT.into(), policy.name.clone())]),
        inline_policies: BTreeMap::new(),
        ..made(policy)
    }
}

#[test]
fn a_tagged_role_is_adopted_with_its_trust_last() {
    let policy = adopting(policy());
    let role = adoptable(&policy);
    let plan = plan_of(&policy, Some(role.clone()));
    assert_eq!(
        operations(&plan),
        ["PutRolePolicy", "TagRole", "UpdateAssumeRolePolicy"]
    );
    assert_eq!(plan.facts.arn, Some(role.arn.clone()));
    let adopted = apply(Some(role), &plan.actions);
    let again = plan_of(&policy, adopted);
    assert_eq!(
        (again.actions, again.findings, again.state),
        (vec![], vec![], TargetState::Compliant)
    );
}

#[test]
fn an_adopted_role_is_not_trusted_to_anybody_while_it_is_not_proven() {
    let policy = adopting(policy());
    let mut role = adoptable(&policy);
    role.attached_policy_arns.insert(FOREIGN.into());
    let plan = plan_of(&policy, Some(role));
    assert_eq!(operations(&plan), ["PutRolePolicy", "TagRole"]);
    assert!(gist(&plan).contains(&(
        Control::IamTrust,
        Severity::Critical,
        Disposition::NeedsHuman(HumanReason::NotProven),
        "trustPolicy"
    )));
}

#[test]
fn a_role_is_adopted_only_with_consent_on_both_sides() {
    let never = policy();
    let tagged = adopting(policy());
    let role = adoptable(&tagged);
    let mut other_policy = role.clone();
    other_policy.tags.insert(TAG_ADOPT.into(), "other".into());
    let mut withdrawn = role.clone();
    withdrawn.tags.insert(TAG_MANAGED_BY.into(), CLUSTER.into());
    withdrawn.tags.remove(TAG_ADOPT);
    let mut other_cluster = role.clone();
    other_cluster.tags.insert(TAG_MANAGED_BY.into(), "cluster-two".into());
    for (policy, role, reason) in [
        (&never, role, HumanReason::AdoptionRefused),
        (&tagged, other_policy, HumanReason::AdoptionRefused),
        (&tagged, withdrawn, HumanReason::AdoptionRefused),
        (&tagged, other_cluster, HumanReason::Conflict),
    ] {
        let plan = plan_of(policy, Some(role));
        assert_eq!(
            gist(&plan),
            [(
                Control::IamRole,
                Severity::High,
                Disposition::NeedsHuman(reason),
                "role"
            )]
        );
        assert_eq!((plan.actions, plan.state), (vec![], TargetState::Conflict));
    }
}

#[test]
fn the_policys_own_boundary_is_put_on_where_the_operator_has_none() {
    let policy = policy_of(&format!("{SPEC}  permissionsBoundaryARN: '{BOUNDARY}'\n"), &settings());
    let good = made(&policy);
    assert_eq!(good.permissions_boundary_arn, Some(BOUNDARY.into()));
    let mut role = good.clone();
    role.permissions_boundary_arn = None;
    let plan = plan_of(&policy, Some(role.clone()));
    assert_eq!(operations(&plan), ["PutRolePermissionsBoundary"]);
    assert_eq!(apply(Some(role), &plan.actions), Some(good));
}

/// The operator's rights (`aidp iam-policy`) let it write documents only on roles that carry the boundary.
#[test]
fn the_boundary_is_put_on_before_anything_that_the_operators_rights_bind_to_it() {
    let policy = detaching(adopting(rich_policy()));
    let unbound = |role: RoleObservation, boundary: Option<&str>| RoleObservation {
        permissions_boundary_arn: boundary.map(str::to_owned),
        inline_policies: BTreeMap::from([("theirs".into(), allow("s3:GetObject", "*"))]),
        attached_policy_arns: BTreeSet::from([FOREIGN.into()]),
        ..role
    };
    let cases = [
        ("ours, its boundary taken off", unbound(made(&policy), None)),
        ("ours, its boundary replaced", unbound(made(&policy), Some(MANAGED))),
        ("to be adopted", unbound(adoptable(&policy), None)),
    ];
    for (what, role) in cases {
        let operations = operations(&plan_of(&policy, Some(role)));
        let bound = [
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "DeleteRolePolicy",
            "DetachRolePolicy",
            "AttachRolePolicy",
        ];
        let operations: Vec<_> = operations.into_iter().filter(|o| bound.contains(o)).collect();
        assert_eq!(operations, bound, "{what}");
    }
    // One that somebody else chose may be narrower than ours: it goes when our Deny is there.
    let role = unbound(adoptable(&policy), Some(MANAGED));
    let operations = operations(&plan_of(&policy, Some(role)));
    assert_eq!(operations[..2], ["PutRolePolicy", "PutRolePermissionsBoundary"]);
}

#[test]
fn our_policy_is_not_written_where_it_does_not_fit_beside_others() {
    let policy = policy();
    let mut role = made(&policy);
    role.inline_policies.clear();
    role.inline_policies.insert("bulk".into(), "x".repeat(9_000));
    let plan = plan_of(&policy, Some(role));
    assert_eq!(
        gist(&plan)[0],
        (
            Control::IamReadOnly,
            Severity::Critical,
            Disposition::NeedsHuman(HumanReason::PolicyTooLarge),
            INLINE_PATH
        )
    );
    assert_eq!(plan.actions, vec![]);
}

#[test]
fn a_role_whose_documents_cannot_be_made_is_not_created() {
    let mut policy = policy();
    policy.roles[0].read[0].prefixes = (0..200).map(|n| format!("{n:060}/")).collect();
    let plan = plan_of(&policy, None);
    assert_eq!(
        gist(&plan),
        [(
            Control::IamReadOnly,
            Severity::Critical,
            Disposition::NeedsHuman(HumanReason::PolicyTooLarge),
            INLINE_PATH
        )]
    );
    assert_eq!(plan.actions, vec![]);
}

#[test]
fn a_trust_that_cannot_be_made_does_not_stop_the_repair_of_the_deny() {
    let mut policy = policy();
    let mut role = made(&policy);
    role.inline_policies.clear();
    policy.settings.oidc_provider_arn = None;
    let plan = plan_of(&policy, Some(role));
    assert_eq!(operations(&plan), ["PutRolePolicy"]);
    assert_eq!(
        plan.findings[1].disposition,
        Disposition::NeedsHuman(HumanReason::WriteRefused)
    );
}

#[test]
fn a_boundary_that_others_set_is_left_where_none_is_configured() {
    let policy = policy();
    let mut role = made(&policy);
    role.permissions_boundary_arn = Some(BOUNDARY.into());
    let plan = plan_of(&policy, Some(role));
    assert_eq!((plan.findings, plan.actions), (vec![], vec![]));
}

fn documents() -> impl Strategy<Value = String> {
    let policy = rich_policy();
    let documents = role::documents(&policy, &policy.roles[0]);
    prop_oneof![
        Just(documents.trust.unwrap().json),
        Just(documents.inline.unwrap().json),
        Just(r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned()),
        Just(allow("s3:*", "*")),
        Just(allow("s3:PutObject", "arn:aws:s3:::*")),
        Just(r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"x"}}"#.to_owned()),
        Just(r#"{"Statement":{"Effect":"Deny","Principal":{"AWS":["AROAX"]},"Action":"sts:*"}}"#.to_owned()),
        Just(r#"{"Statement":{"Effect":"Deny","Principal":"*","NotAction":"sts:*"}}"#.to_owned()),
        ".{0,40}",
    ]
}

prop_compose! {
    /// A role of ours on which anything may have happened.
    fn tampered()(
        trust_policy in documents(),
        inline_policies in prop::collection::btree_map(prop_oneof![Just(INLINE_POLICY.to_owned()), "[a-c]"], documents(), 0..3),
        attached_policy_arns in prop::collection::btree_set(prop_oneof![Just(MANAGED.to_owned()), Just(FOREIGN.to_owned())], 0..3),
        max_session_duration_seconds in prop_oneof![Just(3_600), Just(7_200)],
        permissions_boundary_arn in prop::option::of(prop_oneof![Just(BOUNDARY.to_owned()), Just(MANAGED.to_owned())]),
        policy_tag in prop::option::of(prop_oneof![Just("fraud-model".to_owned()), Just("other".to_owned())]),
    ) -> RoleObservation {
        let mut tags = BTreeMap::from([(TAG_MANAGED_BY.to_owned(), CLUSTER.to_owned())]);
        tags.extend(policy_tag.map(|value| (TAG_POLICY.to_owned(), value)));
        RoleObservation {
            trust_policy,
            max_session_duration_seconds,
            permissions_boundary_arn,
            tags,
            inline_policies,
            attached_policy_arns,
            ..made(&rich_policy())
        }
    }
}

prop_compose! {
    /// A policy with each way to treat what is not ours.
    fn any_policy()(
        managed in any::<bool>(),
        detach in any::<bool>(),
        adopt in any::<bool>(),
    ) -> ValidatedPolicy {
        let mut policy = rich_policy();
        if !managed {
            policy.roles[0].managed_policy_arns.clear();
        }
        if detach {
            policy = detaching(policy);
        }
        if adopt {
            policy = adopting(policy);
        }
        policy
    }
}

/// Whether the role's policies allow a request, by the evaluator.
fn allowed(role: &RoleObservation, action: &str, resource: &str) -> bool {
    let managed = seen(None).managed_policies;
    let attached = role
        .attached_policy_arns
        .iter()
        .map(|arn| managed[arn].clone().unwrap());
    let policies = PolicySet {
        identity: role
            .inline_policies
            .values()
            .cloned()
            .chain(attached)
            .map(|text| Policy::new(PolicyKind::Identity, "p", &PolicyDocument::parse(&text).unwrap()).unwrap())
            .collect(),
        ..PolicySet::default()
    };
    let caller = Caller::parse("arn:aws:sts::123456789012:assumed-role/fraud-trainer/pod").unwrap();
    let mut context = Context::new();
    context.add("aws:SecureTransport", "true");
    decide(
        &Request::new(caller, action, resource, None, context).unwrap(),
        &policies,
    )
    .is_allowed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn after_the_actions_of_a_plan_there_is_nothing_left_to_do(policy in any_policy(), role in prop::option::of(tampered())) {
        let plan = plan_of(&policy, role.clone());
        let after = apply(role, &plan.actions);
        let again = plan_of(&policy, after);
        prop_assert_eq!(&again.actions, &vec![]);
        prop_assert!(again.findings.iter().all(|f| f.disposition != Disposition::Repair));
    }

    #[test]
    fn every_repair_has_an_action_and_every_action_a_finding(policy in any_policy(), role in prop::option::of(tampered())) {
        let plan = plan_of(&policy, role);
        let found: BTreeSet<_> = plan.findings.iter().filter(|f| f.disposition == Disposition::Repair).map(Finding::key).collect();
        let repaired: BTreeSet<_> = plan.actions.iter().flat_map(|a| a.repairs.iter().cloned()).collect();
        prop_assert_eq!(found, repaired);
    }

    #[test]
    fn no_request_of_a_compliant_role_changes_the_data(policy in any_policy(), role in tampered()) {
        let role = apply(Some(role.clone()), &plan_of(&policy, Some(role)).actions).unwrap();
        if plan_of(&policy, Some(role.clone())).state == TargetState::Compliant {
            for (action, resource) in LEFT_OPEN {
                prop_assert!(!allowed(&role, action, resource), "{action}");
            }
        }
    }

    #[test]
    fn under_report_what_others_put_on_the_role_is_never_touched(role in tampered()) {
        let after = apply(Some(role.clone()), &plan_of(&rich_policy(), Some(role.clone())).actions).unwrap();
        prop_assert!(after.attached_policy_arns.is_superset(&role.attached_policy_arns));
        let foreign = |r: &RoleObservation| foreign_inline(r).map(|(n, t)| (n.clone(), t.clone())).collect::<Vec<_>>();
        prop_assert_eq!(foreign(&after), foreign(&role));
    }

    #[test]
    fn a_role_that_is_not_ours_is_never_written(policy in any_policy(), role in tampered(), tags in prop::sample::select(vec![
        BTreeMap::from([(TAG_POLICY.to_owned(), "fraud-model".to_owned())]),
        BTreeMap::from([(TAG_MANAGED_BY.to_owned(), "cluster-two".to_owned())]),
        BTreeMap::from([(TAG_MANAGED_BY.to_owned(), CLUSTER.to_owned()), (TAG_ADOPT.to_owned(), "other".to_owned())]),
        BTreeMap::from([(TAG_MANAGED_BY.to_owned(), "cluster-two".to_owned()), (TAG_ADOPT.to_owned(), "fraud-model".to_owned())]),
    ])) {
        let plan = plan_of(&policy, Some(RoleObservation { tags, ..role }));
        prop_assert_eq!(plan.actions, vec![]);
    }
}

#[test]
fn a_role_with_pod_identity_is_made_and_its_trust_repaired() {
    let policy = pod_identity_policy();
    let role = made(&policy);
    assert!(
        role.trust_policy.contains("pods.eks.amazonaws.com"),
        "{}",
        role.trust_policy
    );
    assert_eq!(plan_of(&policy, Some(role.clone())).findings, vec![]);
    let mut open = role.clone();
    open.trust_policy = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"],
    }})
    .to_string();
    let plan = plan_of(&policy, Some(open.clone()));
    let repair = |severity, path| (Control::IamTrust, severity, Disposition::Repair, path);
    assert_eq!(
        gist(&plan),
        [
            repair(Severity::High, "trustPolicy.Statement[0].cluster"),
            repair(Severity::Critical, "trustPolicy.Statement[0].serviceAccounts"),
        ]
    );
    assert_eq!(operations(&plan), ["UpdateAssumeRolePolicy"]);
    assert_eq!(apply(Some(open), &plan.actions), Some(role));
}
