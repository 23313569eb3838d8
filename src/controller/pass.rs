//! What every pass can do, whether the policy is kept, leaves or cannot be read: look, enforce, report, remember.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::warn;

use super::account::Account;
use super::context::Context;
use super::enforce::{Enforced, Hands, Ruling, enforce, is_recent, repaired, rule};
use super::memory::{Due, Fingerprint, Memory};
use super::observe::observe;
use super::report::{Delivered, deliver, may_write};
use super::rest::Rest;
use crate::api::{AIDataProtectionPolicy, RECONCILE_REQUESTED_AT, RELEASE, SUSPEND_UNTIL};
use crate::cluster::Ages;
use crate::domain::action::PlannedAction;
use crate::domain::finding::Target;
use crate::domain::observed::{CallError, Observed, Read};
use crate::domain::plan::{AccountTrouble, Plan, guard_account};
use crate::domain::policy::{OperatorSettings, PolicySource, ValidatedPolicy, annotated_at};
use crate::domain::report::{self, ActionResult, Judgement, Outcome, SkipReason, report};

/// How old readings may be in a sweep: those that another policy of the account made just now.
const SHARED: Duration = Duration::from_secs(30);
/// How old AWS's part may be when only the cluster moved.
const BESIDE: Duration = Duration::from_mins(1);

/// One pass.
pub(super) struct Pass<'a> {
    pub ctx: &'a Context,
    pub name: &'a str,
    pub due: Due,
    /// The object as the watch had it when the pass began.
    pub seen: Fingerprint,
    pub now: Timestamp,
    pub deadline: Instant,
    pub memory: Memory,
    /// By when to look again in any case.
    pub wake: Option<Timestamp>,
    /// What was reported.
    pub reason: Option<report::Reason>,
}

impl Pass<'_> {
    pub(super) fn settings(&self, object: &AIDataProtectionPolicy) -> OperatorSettings {
        self.ctx.config.settings(&object.spec.account.id, &self.ctx.facts)
    }

    /// Everything that can be seen, unless the account is not the policy's.
    pub(super) async fn look(&self, policy: &ValidatedPolicy) -> Result<(Arc<dyn Account>, Observed), AccountTrouble> {
        let account = self.ctx.accounts.account(&policy.account, &policy.region);
        let account = account.map_err(AccountTrouble::Unreadable)?;
        let (max_age, ages) = match self.due {
            Due::Sweep => {
                let shared = SHARED.min(policy.interval / 4);
                let ages = Ages {
                    watched: shared,
                    polled: shared,
                };
                (shared, ages)
            }
            // What a watch follows is as it was, but for what the watch has spoken of.
            Due::Cluster => {
                let beside = BESIDE.min(policy.interval);
                let ages = Ages {
                    watched: Duration::MAX,
                    polled: beside,
                };
                (beside, ages)
            }
            Due::Fresh | Due::In(_) | Due::Idle => (Duration::ZERO, Ages::FRESH),
        };
        let observed = observe(policy, &*account, &self.ctx.cluster, max_age, ages).await;
        guard_account(policy, &observed.caller)?;
        Ok((account, observed))
    }

    /// Executes the plan as far as it is due, on targets that are held.
    pub(super) async fn enforce(
        &self,
        policy: &ValidatedPolicy,
        plan: &Plan,
        account: &dyn Account,
        held: impl Fn(&Target) -> bool,
    ) -> Enforced {
        let rulings = rule(policy, plan, &self.memory, self.now);
        let rule_held = |(planned, ruling): (&PlannedAction, Ruling)| {
            if held(&planned.action.target()) {
                ruling
            } else {
                Ruling::Leave(ActionResult::ChangedUnderneath)
            }
        };
        let rulings: Vec<Ruling> = plan.actions().iter().zip(rulings).map(rule_held).collect();
        let (read, judged) = (&self.seen, &self.memory.fingerprint);
        // The watch may lag behind what was read, but what it shows as neither is newer.
        let still_wanted = || {
            let shown = self.ctx.store.get(&ObjectRef::new(self.name));
            let shown = shown.map(|object| Fingerprint::of(object.meta()));
            shown.is_some_and(|shown| shown == *read || shown == *judged)
        };
        let hands = Hands {
            account,
            cluster: &self.ctx.cluster,
            guard: &*self.ctx.guard,
            deadline: self.deadline,
            stopping: &self.ctx.stopping,
            still_wanted: &still_wanted,
        };
        let enforced = enforce(plan, &rulings, &hands).await;
        self.ctx.metrics.wrote(&enforced.outcome);
        enforced
    }

    /// Remembers what the next pass builds on.
    pub(super) fn settle(
        &mut self,
        policy: &ValidatedPolicy,
        plan: &Plan,
        outcome: &Outcome,
        told: Option<&Delivered>,
    ) {
        let repaired: Vec<_> = repaired(plan, outcome).collect();
        self.memory.repairs.record(repaired, self.now);
        for action in &outcome.actions {
            let key = (action.operation, action.target.clone());
            match &action.result {
                ActionResult::NotObserved => {
                    let tried = self.memory.not_observed.entry(key).or_insert(self.now);
                    // It was due once more: the next interval begins.
                    if !is_recent(*tried, policy.interval, self.now) {
                        *tried = self.now;
                    }
                }
                ActionResult::Done => {
                    self.memory.not_observed.remove(&key);
                }
                ActionResult::Failed(_) | ActionResult::ChangedUnderneath | ActionResult::Skipped(_) => {}
            }
        }
        self.memory.late = late(&self.memory.late, plan, outcome);
        // A look at the cluster alone may rest on older readings of AWS.
        if told.is_some_and(|told| told.complete) && self.due != Due::Cluster {
            self.memory.last_observed = Some(self.now);
        }
    }

    /// Reports.
    pub(super) async fn tell(&mut self, object: &AIDataProtectionPolicy, judgement: &Judgement<'_>) -> Read<Delivered> {
        let annotations = object.annotations();
        let context = report::Context {
            old: object.status.as_ref(),
            generation: object.metadata.generation.unwrap_or_default(),
            requested_at: annotations.get(RECONCILE_REQUESTED_AT).map(String::as_str),
            last_observed: self.memory.last_observed,
            repairs: &self.memory.repairs,
            now: self.now,
            heartbeat: self.ctx.config.heartbeat,
        };
        let report = report(judgement, &context);
        let delivered = deliver(self.ctx, object, report, &context).await?;
        self.reason = Some(delivered.reason);
        Ok(delivered)
    }

    pub(super) async fn remove_finalizer(&mut self, object: &AIDataProtectionPolicy) -> Read<()> {
        let within = may_write(self.ctx, "patch policies")?;
        self.ctx.policies.remove_finalizer(object, within).await?;
        self.memory.fingerprint.finalizer_set(false);
        Ok(())
    }

    /// Something failed that is not the policy's matter.
    pub(super) fn put_off(&self, error: &CallError) -> Rest {
        warn!(policy = self.name, %error, "Failed to reconcile; it is tried again.");
        Rest::Retry
    }
}

/// Which targets come last in the next pass, should there be more to write than one pass may.
fn late(before: &BTreeSet<Target>, plan: &Plan, outcome: &Outcome) -> BTreeSet<Target> {
    let in_time = |result: &ActionResult| match result {
        ActionResult::Done | ActionResult::Skipped(SkipReason::NotLeader | SkipReason::OutOfTime) => true,
        ActionResult::Failed(_)
        | ActionResult::ChangedUnderneath
        | ActionResult::NotObserved
        | ActionResult::Skipped(SkipReason::EarlierFailure | SkipReason::RepairedTooOften) => false,
    };
    let tried = outcome.actions.iter().filter(|a| !in_time(&a.result));
    let refused: BTreeSet<&Target> = before.iter().chain(tried.map(|a| &a.target)).collect();
    let actions = plan.targets().iter().flat_map(|t| &t.actions);
    let wanted: BTreeSet<Target> = actions.map(|a| a.action.target()).collect();
    let late: BTreeSet<Target> = wanted.iter().filter(|t| refused.contains(t)).cloned().collect();
    // All had their turn: the next round begins.
    if late == wanted { BTreeSet::new() } else { late }
}

/// What an object's metadata and status say.
pub(super) fn source(object: &AIDataProtectionPolicy) -> PolicySource {
    PolicySource {
        name: object.name_any(),
        generation: object.metadata.generation.unwrap_or_default(),
        suspend_until: object.annotations().get(SUSPEND_UNTIL).cloned(),
        suspended_at: annotated_at(&object.metadata, SUSPEND_UNTIL),
        release: object.annotations().get(RELEASE).cloned(),
        inventory: object
            .status
            .as_ref()
            .and_then(|s| s.targets.clone())
            .unwrap_or_default(),
        ..PolicySource::default()
    }
}
