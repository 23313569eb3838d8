use super::*;
use crate::api::Severity;
use crate::domain::action::Action;
use crate::domain::fixture::{FULL_SPEC, now, policy, policy_from};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::ErrorClass;
use crate::domain::policy::PolicySource;
use crate::domain::target_plan::TargetFacts;

fn bucket(name: &str) -> Target {
    Target::Bucket(BucketName::new(name).unwrap())
}

fn finding(name: &str, severity: Severity) -> Finding {
    let mut finding = Finding::new(Control::S3Versioning, bucket(name), Gating::Gating, Disposition::Repair);
    finding.severity = severity;
    finding.diff("versioning.status", "Enabled", "Suspended")
}

fn target(name: &str, severity: Severity) -> TargetPlan {
    let finding = finding(name, severity);
    let action = Action::EnableBucketVersioning {
        bucket: BucketName::new(name).unwrap(),
        region: Region::new("eu-west-1").unwrap(),
        seen: crate::domain::observed::VersioningState::Suspended,
    };
    TargetPlan {
        target: bucket(name),
        state: TargetState::Drifted,
        actions: vec![PlannedAction {
            action,
            repairs: vec![finding.key()],
        }],
        findings: vec![finding],
        facts: TargetFacts::default(),
    }
}

fn identity(account: &str, partition: Partition) -> CallerIdentity {
    CallerIdentity {
        account: AccountId::new(account).unwrap(),
        partition,
        arn: format!("arn:aws:sts::{account}:assumed-role/aidp/session"),
    }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.actions().iter().map(|a| a.action.target().to_string()).collect()
}

#[test]
fn findings_come_severest_first_and_then_by_name() {
    let policy = policy(FULL_SPEC);
    let targets = vec![
        target("bbb", Severity::Low),
        target("aaa", Severity::Low),
        target("ccc", Severity::Critical),
    ];
    let plan = assemble(&policy, targets, now());
    let order: Vec<String> = plan.findings().iter().map(|f| f.target.to_string()).collect();
    assert_eq!(order, ["bucket/ccc", "bucket/aaa", "bucket/bbb"]);
}

#[test]
fn audit_plans_no_write_and_keeps_every_finding() {
    let policy = policy(&FULL_SPEC.replace("mode: Enforce", "mode: Audit"));
    let plan = assemble(&policy, vec![target("aaa", Severity::Low)], now());
    assert_eq!(names(&plan), Vec::<String>::new());
    assert_eq!(plan.findings(), [finding("aaa", Severity::Low)]);
    assert_eq!(
        plan.targets()[0].actions.len(),
        1,
        "what it would do is still there to print"
    );
}

#[test]
fn suspension_plans_no_write_and_wakes_at_its_end() {
    let until = "2026-06-01T13:00:00Z";
    let source = PolicySource {
        suspend_until: Some(until.to_owned()),
        ..PolicySource::default()
    };
    let plan = assemble(
        &policy_from(FULL_SPEC, source),
        vec![target("aaa", Severity::Low)],
        now(),
    );
    assert_eq!(names(&plan), Vec::<String>::new());
    assert_eq!(plan.next_wakeup(), Some(until.parse().unwrap()));
}

#[test]
fn writes_stop_at_the_cap() {
    let spec = format!("{FULL_SPEC}limits: {{maxWritesPerReconcile: 2}}\n");
    let targets = ["aaa", "bbb", "ccc"].map(|n| target(n, Severity::Low)).to_vec();
    assert_eq!(
        names(&assemble(&policy(&spec), targets, now())),
        ["bucket/aaa", "bucket/bbb"]
    );
}

#[test]
fn a_target_that_another_policy_claims_is_not_touched() {
    let source = PolicySource {
        conflicts: [(bucket("aaa"), "older-policy".to_owned())].into(),
        ..PolicySource::default()
    };
    let plan = assemble(
        &policy_from(FULL_SPEC, source),
        vec![target("aaa", Severity::Low)],
        now(),
    );
    assert_eq!(names(&plan), Vec::<String>::new());
    let [target] = plan.targets() else { panic!("one target") };
    assert_eq!(target.state, TargetState::Conflict);
    assert_eq!(
        target.findings[0].disposition,
        Disposition::NeedsHuman(HumanReason::Conflict)
    );
    assert_eq!(target.findings[0].have, "older-policy");
}

#[test]
fn the_guard_lets_only_the_policys_own_account_and_partition_through() {
    let policy = policy(FULL_SPEC);
    assert_eq!(
        guard_account(&policy, &Ok(Some(identity("123456789012", Partition::Aws)))),
        Ok(())
    );
    assert_eq!(guard_account(&policy, &Ok(None)), Ok(()));
    assert_eq!(
        guard_account(&policy, &Ok(Some(identity("999999999999", Partition::Aws)))),
        Err(AccountTrouble::WrongAccount {
            wanted: AccountId::new("123456789012").unwrap(),
            actual: AccountId::new("999999999999").unwrap(),
        })
    );
    assert_eq!(
        guard_account(&policy, &Ok(Some(identity("123456789012", Partition::AwsCn)))),
        Err(AccountTrouble::WrongPartition {
            wanted: Partition::Aws,
            actual: Partition::AwsCn
        })
    );
    let error = CallError {
        operation: "GetCallerIdentity",
        class: ErrorClass::Credentials,
        code: Some("ExpiredToken".to_owned()),
        message: "the token is expired".to_owned(),
    };
    assert_eq!(
        guard_account(&policy, &Err(error.clone())),
        Err(AccountTrouble::Unreadable(error))
    );
}

#[test]
fn what_aws_may_not_show_yet_is_unobserved_and_not_repaired_again() {
    let policy = policy(FULL_SPEC);
    let targets = || vec![target("aaa", Severity::High), target("bbb", Severity::High)];
    let plan = assemble(&policy, targets(), now());
    assert_eq!(plan.clone().settled(|_| None), plan);
    let settled = plan.settled(|f| (f.target == bucket("aaa")).then_some(Timestamp::MAX));
    assert_eq!(settled.next_wakeup(), Some(Timestamp::MAX), "looked at again by then");
    assert_eq!(names(&settled), ["bucket/bbb"]);
    let dispositions: Vec<_> = settled.findings().iter().map(|f| f.disposition).collect();
    assert_eq!(dispositions, [Disposition::Repair, Disposition::Unobserved]);
    let of_target: Vec<_> = settled
        .targets()
        .iter()
        .map(|t| (t.state, t.findings[0].disposition, t.actions.len()))
        .collect();
    assert_eq!(
        of_target,
        [
            (TargetState::Unknown, Disposition::Unobserved, 0),
            (TargetState::Drifted, Disposition::Repair, 1)
        ]
    );
}
