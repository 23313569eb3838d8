//! The plan: what was found and what is to be done about it, from everything that was seen. Pure and total.

use jiff::Timestamp;

use super::action::PlannedAction;
use super::control::{Control, Part};
use super::finding::{Disposition, Finding, HumanReason, Target};
use super::names::{AccountId, Partition};
use super::observed::{CallError, CallerIdentity, Observed, Read};
use super::policy::ValidatedPolicy;
use crate::api::{Gating, TargetState};

/// What one target (a bucket, a role, an egress rule) comes to. Made by `s3::plan`, `iam::plan`, `egress::plan`.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetPlan {
    /// What it is about.
    pub target: Target,
    /// State for the inventory.
    pub state: TargetState,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What repairs it, in the order in which it must be done. Already empty where nothing may be written for reasons of
    /// the target itself; mode, suspension, conflicts and the cap are `plan`'s business.
    pub actions: Vec<PlannedAction>,
    /// What the inventory says besides the state.
    pub facts: TargetFacts,
}

/// What the inventory shows of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Bucket: region.
    pub region: Option<String>,
    /// Role: ARN.
    pub arn: Option<String>,
    /// Egress: enforcer.
    pub enforcer: Option<String>,
    /// Egress: rung reached.
    pub rung: Option<String>,
    /// Egress: evidence.
    pub evidence: Option<String>,
}

/// Everything found and everything to do. Only `plan` makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    findings: Vec<Finding>,
    actions: Vec<PlannedAction>,
    targets: Vec<TargetPlan>,
    next_wakeup: Option<Timestamp>,
}

impl Plan {
    /// Findings, severest first, in a total order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Writes to be done now, in order; empty in Audit and while suspended, never more than the cap.
    pub fn actions(&self) -> &[PlannedAction] {
        &self.actions
    }

    /// One entry for each target, with its own findings and the actions it would take without mode, suspension and cap.
    pub fn targets(&self) -> &[TargetPlan] {
        &self.targets
    }

    /// When something changes by the clock alone (end of a suspension).
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.next_wakeup
    }
}

/// Why nothing may be read or written in the account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountTrouble {
    /// The credentials belong to another account than the policy's.
    #[error(
        "the operator's credentials belong to account {actual}, the policy is for {wanted}; give the operator a role in {wanted}, or correct spec.account.id"
    )]
    WrongAccount {
        /// Account of the policy.
        wanted: AccountId,
        /// Account of the credentials.
        actual: AccountId,
    },
    /// The region of the policy lies in another partition than the credentials.
    #[error(
        "the operator's credentials are of partition {actual}, the policy's region lies in {wanted}; correct spec.account.region"
    )]
    WrongPartition {
        /// Partition of the policy's region.
        wanted: Partition,
        /// Partition of the credentials.
        actual: Partition,
    },
    /// It could not be found out whose credentials these are.
    #[error("{0}")]
    Unreadable(CallError),
}

/// The account guard: judges whether the credentials are those of the policy's account. With the guard switched off in
/// the configuration (S3 servers without STS) there is no caller to judge.
///
/// # Errors
/// [`AccountTrouble`]: nothing else of the account may then be believed or written.
pub fn guard_account(policy: &ValidatedPolicy, caller: &Read<Option<CallerIdentity>>) -> Result<(), AccountTrouble> {
    match caller {
        Err(error) => Err(AccountTrouble::Unreadable(error.clone())),
        Ok(None) => Ok(()),
        Ok(Some(CallerIdentity {
            account,
            partition,
            arn: _,
        })) if *account == policy.account => {
            if *partition == policy.partition {
                Ok(())
            } else {
                Err(AccountTrouble::WrongPartition {
                    wanted: policy.partition,
                    actual: *partition,
                })
            }
        }
        Ok(Some(caller)) => Err(AccountTrouble::WrongAccount {
            wanted: policy.account.clone(),
            actual: caller.account.clone(),
        }),
    }
}

/// Judges everything that was seen and decides what to do about it.
///
/// Total: whatever was seen, there is a plan. With [`guard_account`] in trouble it has no actions.
pub fn plan(policy: &ValidatedPolicy, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = assemble(policy, target_plans(policy, observed), now);
    if guard_account(policy, &observed.caller).is_err() {
        plan.actions.clear();
    }
    plan
}

fn target_plans(_policy: &ValidatedPolicy, _observed: &Observed) -> Vec<TargetPlan> {
    Vec::new()
}

/// Puts the targets' plans together under the rules that hold for the policy as a whole: other policies' claims, mode,
/// suspension, and the cap on writes.
fn assemble(policy: &ValidatedPolicy, targets: Vec<TargetPlan>, now: Timestamp) -> Plan {
    let targets: Vec<TargetPlan> = targets
        .into_iter()
        .map(|target| yield_to_claims(policy, target))
        .collect();
    let mut findings: Vec<Finding> = targets.iter().flat_map(|t| t.findings.iter().cloned()).collect();
    findings.sort_by(|a, b| order(a).cmp(&order(b)));
    let actions = if policy.writes_allowed(now) {
        // Cut anywhere, a target's actions leave it no worse than it was: they are in the order add before remove.
        targets
            .iter()
            .flat_map(|t| t.actions.iter().cloned())
            .take(policy.max_writes)
            .collect()
    } else {
        Vec::new()
    };
    Plan {
        findings,
        actions,
        targets,
        next_wakeup: policy.suspended_until.filter(|until| *until > now),
    }
}

/// Only one policy may hold a target (design: "Only Enforce claims"). The others touch nothing of it and say so.
fn yield_to_claims(policy: &ValidatedPolicy, plan: TargetPlan) -> TargetPlan {
    let whole = match &plan.target {
        Target::Egress { rule, namespace: _ } => Target::Egress {
            rule: rule.clone(),
            namespace: None,
        },
        other @ (Target::Bucket(_) | Target::Role(_)) => other.clone(),
    };
    let Some(holder) = policy.conflicts.get(&whole) else {
        return plan;
    };
    let control = match whole.part() {
        Part::Buckets => Control::S3Bucket,
        Part::Roles => Control::IamRole,
        Part::Egress => Control::NetEgress,
    };
    let finding = Finding::new(
        control,
        whole.clone(),
        Gating::Gating,
        Disposition::NeedsHuman(HumanReason::Conflict),
    )
    .diff("claim", policy.name.as_str(), holder.as_str())
    .message(format!(
        "policy {holder} claims it first; remove it from one of the two policies"
    ));
    TargetPlan {
        target: plan.target,
        state: TargetState::Conflict,
        findings: vec![finding],
        actions: Vec::new(),
        facts: plan.facts,
    }
}

/// Severest first; then what holds Ready back; then by name: a total order, so that the same rows survive every sweep.
fn order(f: &Finding) -> impl Ord + '_ {
    (
        f.severity,
        f.gating,
        f.disposition,
        f.control.id(),
        &f.target,
        &f.path,
        &f.want,
        &f.have,
        &f.message,
    )
}

#[cfg(test)]
mod tests;
