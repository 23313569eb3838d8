//! Step four: the plan's actions, executed. Targets at the same time, the actions of one target one after the other, since
//! they build on each other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::account::Account;
use super::memory::Memory;
use crate::aws::WriteGuard;
use crate::cluster::Cluster;
use crate::domain::action::{Action, PlannedAction};
use crate::domain::finding::{Finding, Target};
use crate::domain::plan::Plan;
use crate::domain::policy::ValidatedPolicy;
use crate::domain::report::{ActionOutcome, ActionResult, Outcome, Pace, SkipReason};

/// Targets written to at the same time, for one policy.
const CONCURRENT_TARGETS: usize = 4;

/// What execution needs.
pub(super) struct Hands<'a> {
    pub account: &'a dyn Account,
    pub cluster: &'a Cluster,
    pub guard: &'a dyn WriteGuard,
    /// No action is begun after this.
    pub deadline: Instant,
    /// No action is begun once this is cancelled.
    pub stopping: &'a CancellationToken,
    /// Whether the policy is still the one that the plan was made for: no action is begun once it was edited, suspended or
    /// deleted.
    pub still_wanted: &'a (dyn Fn() -> bool + Sync),
}

/// What became of the plan.
#[derive(Debug, Default)]
pub(super) struct Enforced {
    /// One entry for each action, in the plan's order.
    pub outcome: Outcome,
    /// When a repair that had to wait may be made.
    pub wait_until: Option<Timestamp>,
}

/// What is decided about an action before anything is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ruling {
    /// Execute it.
    Go,
    /// Don't, for this reason.
    Leave(ActionResult),
    /// Not before this time: somebody undoes it, or it was written just now.
    Wait(Timestamp),
}

/// Rules on every action of the plan: pure. A target is repaired whole or not at all, so the strictest ruling on one of its
/// actions holds for all of them.
pub(super) fn rule(policy: &ValidatedPolicy, plan: &Plan, memory: &Memory, now: Timestamp) -> Vec<Ruling> {
    let of_action = |planned: &PlannedAction| rule_one(policy, plan, memory, planned, now);
    let mut waits: BTreeMap<Target, Timestamp> = BTreeMap::new();
    let rulings: Vec<Ruling> = plan.actions().iter().map(of_action).collect();
    for (planned, ruling) in plan.actions().iter().zip(&rulings) {
        if let Ruling::Wait(until) = ruling {
            let wait = waits.entry(planned.action.target()).or_insert(*until);
            *wait = (*wait).max(*until);
        }
    }
    let whole = |(planned, ruling): (&PlannedAction, Ruling)| match (ruling, waits.get(&planned.action.target())) {
        (Ruling::Go | Ruling::Wait(_), Some(until)) => Ruling::Wait(*until),
        (ruling, _) => ruling,
    };
    plan.actions().iter().zip(rulings).map(whole).collect()
}

fn rule_one(policy: &ValidatedPolicy, plan: &Plan, memory: &Memory, planned: &PlannedAction, now: Timestamp) -> Ruling {
    // A write that was accepted and did not show is repeated once an interval.
    let key = (planned.action.operation(), planned.action.target());
    let tried = memory.not_observed.get(&key);
    if tried.is_some_and(|at| is_recent(*at, policy.interval, now)) {
        return Ruling::Leave(ActionResult::NotObserved);
    }
    let repaired = plan.findings().iter().filter(|f| planned.repairs.contains(&f.key()));
    let paces = repaired.map(|finding| memory.repairs.allowed_finding(finding, policy.interval, now).pace);
    let latest = paces
        .filter_map(|pace| match pace {
            Pace::Now => None,
            Pace::NotBefore(until) => Some(until),
        })
        .max();
    latest.map_or(Ruling::Go, Ruling::Wait)
}

/// Whether a write that did not show was tried less than an interval ago. A time in the future (the clock was set back)
/// holds nothing up.
pub(super) fn is_recent(tried: Timestamp, interval: Duration, now: Timestamp) -> bool {
    tried <= now && tried.checked_add(interval).is_ok_and(|until| until > now)
}

/// An action, its place in the plan, and what was ruled.
type Ruled<'a> = (usize, &'a PlannedAction, &'a Ruling);

/// Executes what was ruled to go.
pub(super) async fn enforce(plan: &Plan, rulings: &[Ruling], hands: &Hands<'_>) -> Enforced {
    let wait_until = rulings
        .iter()
        .filter_map(|ruling| match ruling {
            Ruling::Wait(until) => Some(*until),
            Ruling::Go | Ruling::Leave(_) => None,
        })
        .min();
    let mut targets: Vec<(Target, Vec<Ruled<'_>>)> = Vec::new();
    for (n, (planned, ruling)) in plan.actions().iter().zip(rulings).enumerate() {
        let target = planned.action.target();
        match targets.iter_mut().find(|(t, _)| *t == target) {
            Some((_, actions)) => actions.push((n, planned, ruling)),
            None => targets.push((target, vec![(n, planned, ruling)])),
        }
    }
    // Boxed: the compiler cannot see through the lifetimes otherwise.
    let all: Vec<BoxFuture<'_, _>> = targets
        .into_iter()
        .map(|(_, actions)| one_target(actions, hands).boxed())
        .collect();
    let mut done: Vec<(usize, ActionOutcome)> = stream::iter(all)
        .buffer_unordered(CONCURRENT_TARGETS)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .flatten()
        .collect();
    done.sort_by_key(|(n, _)| *n);
    Enforced {
        outcome: Outcome {
            actions: done.into_iter().map(|(_, outcome)| outcome).collect(),
        },
        wait_until,
    }
}

async fn one_target(actions: Vec<Ruled<'_>>, hands: &Hands<'_>) -> Vec<(usize, ActionOutcome)> {
    let mut out = Vec::with_capacity(actions.len());
    let mut failed: Vec<&Action> = Vec::new();
    for (n, planned, ruling) in actions {
        let result = match ruling {
            Ruling::Leave(result) => result.clone(),
            Ruling::Wait(_) => ActionResult::Skipped(SkipReason::RepairedTooOften),
            Ruling::Go if failed.iter().any(|earlier| planned.action.depends_on(earlier)) => {
                ActionResult::Skipped(SkipReason::EarlierFailure)
            }
            Ruling::Go if hands.stopping.is_cancelled() || Instant::now() >= hands.deadline => {
                ActionResult::Skipped(SkipReason::OutOfTime)
            }
            Ruling::Go if !(hands.still_wanted)() => ActionResult::ChangedUnderneath,
            Ruling::Go => execute(&planned.action, hands).await,
        };
        if result != ActionResult::Done {
            failed.push(&planned.action);
        }
        out.push((n, ActionOutcome::new(planned, result)));
    }
    out
}

async fn execute(action: &Action, hands: &Hands<'_>) -> ActionResult {
    let result = match action {
        Action::ApplyNetworkPolicy { .. } | Action::DeleteNetworkPolicy { .. } => {
            hands.cluster.execute(action, hands.guard).await
        }
        Action::PutBucketEncryption { .. }
        | Action::PutBucketPolicy { .. }
        | Action::DeleteBucketPolicy { .. }
        | Action::PutPublicAccessBlock { .. }
        | Action::EnableBucketVersioning { .. }
        | Action::EnforceBucketOwner { .. }
        | Action::PutBucketLogging { .. }
        | Action::CreateRole { .. }
        | Action::UpdateAssumeRolePolicy { .. }
        | Action::UpdateRole { .. }
        | Action::PutRolePermissionsBoundary { .. }
        | Action::TagRole { .. }
        | Action::PutRolePolicy { .. }
        | Action::DeleteRolePolicy { .. }
        | Action::AttachRolePolicy { .. }
        | Action::DetachRolePolicy { .. }
        | Action::DeleteRole { .. } => hands.account.execute(action, hands.guard).await,
    };
    let (operation, target) = (action.operation(), action.target());
    match &result {
        ActionResult::Done => info!(operation, %target, "Wrote."),
        ActionResult::Failed(error) => warn!(operation, %target, %error, "A write failed."),
        ActionResult::ChangedUnderneath => info!(operation, %target, "Not written: it changed in the meantime."),
        ActionResult::NotObserved => warn!(operation, %target, "A write was accepted and cannot be seen."),
        ActionResult::Skipped(reason) => info!(operation, %target, reason = reason.as_str(), "Not written."),
    }
    result
}

/// The findings that were repaired.
pub(super) fn repaired<'a>(plan: &'a Plan, outcome: &'a Outcome) -> impl Iterator<Item = &'a Finding> {
    let done = |finding: &&Finding| {
        let key = finding.key();
        outcome
            .actions
            .iter()
            .any(|a| a.result == ActionResult::Done && a.repairs.contains(&key))
    };
    plan.findings().iter().filter(done)
}
