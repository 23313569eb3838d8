//! The plan: what was found and what is to be done about it, from everything that was seen. Pure and total.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::action::PlannedAction;
use super::control::{Control, Part};
use super::finding::{Disposition, Finding, FindingKey, HumanReason, Target};
use super::names::{AccountId, Partition, RoleName};
use super::observed::{CallError, CallerIdentity, Observed, Read};
use super::policy::ValidatedPolicy;
use super::target_plan::TargetPlan;
use super::{egress, iam, s3};
use crate::api::{Gating, TargetState};

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

    /// The plan without what AWS may merely not show yet: a finding that is the state from before our own write counts as
    /// unobserved, and what would only repair such findings is not done again. `echo_until` says until when that holds; by
    /// then it is looked at again.
    #[must_use]
    pub fn settled(mut self, echo_until: impl Fn(&Finding) -> Option<Timestamp>) -> Self {
        let until = |f: &Finding| Some((f.key(), echo_until(f)?));
        let echoes: BTreeMap<FindingKey, Timestamp> = self.findings.iter().filter_map(until).collect();
        self.next_wakeup = self.next_wakeup.into_iter().chain(echoes.values().copied()).min();
        if echoes.is_empty() {
            return self;
        }
        let mute = |findings: &mut Vec<Finding>| {
            let mut muted = false;
            for finding in findings.iter_mut().filter(|f| echoes.contains_key(&f.key())) {
                finding.disposition = Disposition::Unobserved;
                muted = true;
            }
            muted
        };
        let remains = |planned: &PlannedAction| planned.repairs.iter().any(|key| !echoes.contains_key(key));
        mute(&mut self.findings);
        self.findings.sort_by(|a, b| order(a).cmp(&order(b)));
        self.actions.retain(remains);
        for target in &mut self.targets {
            if mute(&mut target.findings) {
                target.state = TargetState::Unknown;
                target.actions.retain(remains);
            }
        }
        self
    }

    /// The plan with the room under the cap given to other targets before those that are `late`: whose writes are refused
    /// again and again must not keep the rest from being protected.
    #[must_use]
    pub fn in_turn(mut self, max_writes: usize, late: &BTreeSet<Target>) -> Self {
        let all: Vec<&PlannedAction> = self.targets.iter().flat_map(|t| &t.actions).collect();
        // Nothing to choose; in Audit and while suspended there is nothing at all.
        if self.actions.is_empty() || all.len() <= max_writes {
            return self;
        }
        let (last, first): (Vec<_>, Vec<_>) = all.into_iter().partition(|a| late.contains(&a.action.target()));
        self.actions = first.into_iter().chain(last).take(max_writes).cloned().collect();
        self
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
    let mut plan = assemble(policy, target_plans(policy, observed, now), now);
    if guard_account(policy, &observed.caller).is_err() {
        plan.actions.clear();
    }
    plan
}

/// Decides what goes when the policy is deleted with `deletionPolicy: Revert`: our statements, the roles we made, our
/// NetworkPolicies. Roles first, so that a bucket's own Deny against a role outlives the role.
///
/// A suspension does not hold this up: a pause must not block deletion. In Audit nothing is reverted.
pub fn revert(policy: &ValidatedPolicy, observed: &Observed) -> Plan {
    let mut targets = policy_roles(policy)
        .map(|name| iam::revert_role(policy, &name, observed))
        .collect::<Vec<_>>();
    targets.extend(s3::revert_buckets(policy, observed));
    targets.extend(egress::plan::revert(policy, &observed.cluster));
    let mut plan = assemble(policy, targets, Timestamp::MAX);
    if guard_account(policy, &observed.caller).is_err() {
        plan.actions.clear();
    }
    plan
}

/// Roles that this policy names or has claimed.
fn policy_roles(policy: &ValidatedPolicy) -> impl Iterator<Item = RoleName> {
    let claimed = policy
        .inventory
        .roles
        .iter()
        .filter_map(|r| RoleName::new(&r.name).ok());
    claimed
        .chain(policy.roles.iter().map(|r| r.name.clone()))
        .collect::<BTreeSet<_>>()
        .into_iter()
}

fn target_plans(policy: &ValidatedPolicy, observed: &Observed, now: Timestamp) -> Vec<TargetPlan> {
    let mut plans = s3::plan_buckets(policy, observed);
    plans.extend(
        policy
            .roles
            .iter()
            .map(|role| iam::plan_role(policy, role, observed, now)),
    );
    let left = policy_roles(policy).filter(|name| policy.roles.iter().all(|r| r.name != *name));
    plans.extend(left.map(|name| iam::revert_role(policy, &name, observed)));
    plans.extend(egress::plan::plan_rules(policy, &observed.cluster, &observed.account));
    plans
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

/// A plan of given targets, for tests of what comes after planning.
#[cfg(test)]
pub(crate) fn of_targets(policy: &ValidatedPolicy, targets: Vec<TargetPlan>, now: Timestamp) -> Plan {
    assemble(policy, targets, now)
}

/// Only one policy may hold a target (design: "Only Enforce claims"). The others touch nothing of it and say so.
fn yield_to_claims(policy: &ValidatedPolicy, plan: TargetPlan) -> TargetPlan {
    let whole = match &plan.target {
        Target::Egress { rule, namespace: _ } => Target::Egress {
            rule: rule.clone(),
            namespace: None,
        },
        other @ (Target::Bucket(_) | Target::BucketSelector(_) | Target::Role(_)) => other.clone(),
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
