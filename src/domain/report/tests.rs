//! One policy with a bucket, a role and an egress rule; what a reconcile of it comes to; and what its status then says.

mod conditions;
mod departed;
mod events;
mod findings;
mod history;
mod kstatus;
mod stability;

use super::*;
use crate::api::{Gating, TargetState};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::{Control, Part};
use crate::domain::finding::{Disposition, Finding, Target};
use crate::domain::fixture::{FULL_SPEC, now, policy};
use crate::domain::names::{AccountId, BucketName, Partition, Region, RoleName};
use crate::domain::plan::of_targets;
use crate::domain::target_plan::{TargetFacts, TargetPlan};

type Status = AIDataProtectionPolicyStatus;

fn bucket() -> Target {
    Target::Bucket(BucketName::new("fraud-training-data").unwrap())
}

fn role() -> Target {
    Target::Role(RoleName::new("fraud-trainer").unwrap())
}

fn rule() -> Target {
    Target::Egress {
        rule: "training".to_owned(),
        namespace: None,
    }
}

fn enforce() -> ValidatedPolicy {
    policy(FULL_SPEC)
}

fn audit() -> ValidatedPolicy {
    policy(&FULL_SPEC.replace("mode: Enforce", "mode: Audit"))
}

fn suspended() -> ValidatedPolicy {
    policy(&FULL_SPEC.replace(
        "mode: Enforce",
        "mode: Enforce\nsuspension: {untilTime: \"2026-06-02T00:00:00Z\", reason: CHG-1234}",
    ))
}

/// A gating finding of a control, on the target that the policy has for its part.
fn finding(control: Control, disposition: Disposition) -> Finding {
    let target = match control.info().part {
        Part::Buckets => bucket(),
        Part::Roles => role(),
        Part::Egress => rule(),
    };
    Finding::new(control, target, Gating::Gating, disposition)
        .diff("setting", "wanted", "found")
        .message("it is not as it should be")
}

/// The plan for a policy of which everything is compliant but what the findings say. Every Repair has its action.
fn plan_with(policy: &ValidatedPolicy, findings: &[Finding]) -> Plan {
    plan_at(policy, findings, now())
}

fn plan_at(policy: &ValidatedPolicy, findings: &[Finding], now: Timestamp) -> Plan {
    let targets = [bucket(), role(), rule()].map(|target| {
        let findings: Vec<Finding> = findings.iter().filter(|f| f.target == target).cloned().collect();
        let gating = |f: &&Finding| f.gating == Gating::Gating && f.disposition != Disposition::Note;
        let state = if findings
            .iter()
            .filter(gating)
            .any(|f| f.disposition != Disposition::Unobserved)
        {
            TargetState::Drifted
        } else if findings.iter().any(|f| gating(&f)) {
            TargetState::Unknown
        } else {
            TargetState::Compliant
        };
        let actions = findings
            .iter()
            .filter(|f| gating(f) && f.disposition == Disposition::Repair)
            .map(|f| PlannedAction {
                action: an_action_on(&target),
                repairs: vec![f.key()],
            })
            .collect();
        let rung = matches!(target, Target::Egress { .. }).then(|| "PortRestricted".to_owned());
        let facts = TargetFacts {
            rung,
            ..TargetFacts::default()
        };
        TargetPlan {
            target,
            state,
            findings,
            actions,
            facts,
        }
    });
    of_targets(policy, targets.to_vec(), now)
}

fn an_action_on(target: &Target) -> Action {
    match target {
        Target::Bucket(bucket) => Action::EnableBucketVersioning {
            bucket: bucket.clone(),
            region: Region::new("eu-west-1").unwrap(),
            seen: crate::domain::observed::VersioningState::Suspended,
        },
        Target::BucketSelector(name) => unreachable!("nothing is written to selector {name}"),
        Target::Role(role) => Action::UpdateRole {
            role: role.clone(),
            max_session_duration_seconds: 3600,
        },
        Target::Egress { rule, .. } => Action::DeleteNetworkPolicy {
            rule: rule.clone(),
            namespace: "ml".to_owned(),
            name: "aidp".to_owned(),
            uid: None,
        },
    }
}

/// Every action of the plan came to the same.
fn outcome_of(plan: &Plan, result: &ActionResult) -> Outcome {
    Outcome {
        actions: plan
            .actions()
            .iter()
            .map(|a| ActionOutcome::new(a, result.clone()))
            .collect(),
    }
}

fn failed(class: ErrorClass) -> ActionResult {
    ActionResult::Failed(CallError {
        operation: "PutBucketVersioning",
        class,
        code: Some("Code".to_owned()),
        message: "refused".to_owned(),
    })
}

fn error(class: ErrorClass) -> CallError {
    CallError {
        operation: "GetCallerIdentity",
        class,
        code: None,
        message: format!("attempt at {:?}", std::time::Instant::now()),
    }
}

/// A series of reconciles of one object: each builds on the status that the last one left.
struct Series {
    status: Option<Status>,
    now: Timestamp,
    last_observed: Option<Timestamp>,
    generation: i64,
    repairs: RepairLog,
}

impl Series {
    fn new() -> Self {
        Self {
            status: None,
            now: now(),
            last_observed: None,
            generation: 3,
            repairs: RepairLog::default(),
        }
    }

    fn later(mut self, duration: Duration) -> Self {
        self.now = self.now.checked_add(duration).unwrap();
        self
    }

    fn report(&self, judgement: &Judgement<'_>) -> Report {
        report(
            judgement,
            &Context {
                old: self.status.as_ref(),
                generation: self.generation,
                requested_at: None,
                last_observed: self.last_observed,
                repairs: &self.repairs,
                now: self.now,
                heartbeat: DEFAULT_HEARTBEAT,
            },
        )
    }

    /// Reports and stores the status, as the API would.
    fn step(&mut self, judgement: &Judgement<'_>) -> Report {
        let report = self.report(judgement);
        if report.complete {
            self.last_observed = Some(self.now);
        }
        let stored = serde_json::to_string(&report.status).unwrap();
        self.status = Some(serde_json::from_str(&stored).unwrap());
        report
    }

    fn observe(&mut self, policy: &ValidatedPolicy, findings: &[Finding], result: &ActionResult) -> Report {
        let plan = plan_at(policy, findings, self.now);
        let outcome = outcome_of(&plan, result);
        let report = self.step(&Judgement::Observed {
            policy,
            plan: &plan,
            outcome: &outcome,
            caller: None,
        });
        let done = outcome.actions.iter().any(|a| a.result == ActionResult::Done);
        self.repairs.record(
            plan.findings()
                .iter()
                .filter(|f| done && f.disposition == Disposition::Repair),
            self.now,
        );
        report
    }
}

/// One look at a fresh object.
fn look(policy: &ValidatedPolicy, findings: &[Finding], result: &ActionResult) -> Report {
    Series::new().observe(policy, findings, result)
}

/// "Ready=True Enforced", …: the whole set, in order.
fn said(status: &Status) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{}={} {}", c.type_, c.status, c.reason))
        .collect()
}

const MINUTE: Duration = Duration::from_mins(1);
