//! One pass over one policy: validate → observe → plan → enforce → report, each step in a place of its own.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::account::Account;
use super::context::{Context, Guarded};
use super::enforce::{Enforced, Hands, Ruling, enforce, is_recent, repaired, rule};
use super::memory::{Due, Fingerprint, Memory, Next, Notes, due, has_finalizer};
use super::object::Stored;
use super::observe::observe;
use super::report::{Delivered, deliver, may_write};
use super::rest::{Rest, next};
use super::{leave, undecodable};
use crate::api::{
    AIDataProtectionPolicy, DeletionPolicy, Mode, RECONCILE_REQUESTED_AT, RELEASE, SUSPEND_UNTIL, Targets,
};
use crate::cluster::Ages;
use crate::domain::action::PlannedAction;
use crate::domain::finding::Target;
use crate::domain::observed::{CallError, CallerIdentity, Observed, Read};
use crate::domain::plan::{AccountTrouble, Plan, guard_account, plan};
use crate::domain::policy::{InvalidSpec, OperatorSettings, PolicySource, ValidatedPolicy, annotated_at, validate};
use crate::domain::report::{self, ActionResult, Judgement, Outcome, RepairLog, SkipReason, holds, report, unclaimed};

/// No write of one pass is begun later than this.
const PASS: Duration = Duration::from_mins(5);
/// How old readings may be in a sweep: those that another policy of the account made just now.
const SHARED: Duration = Duration::from_secs(30);
/// How old AWS's part may be when only the cluster moved.
const BESIDE: Duration = Duration::from_mins(1);

/// Reconciles one policy if that is due. Never fails: what goes wrong ends in the status, the log, and a later pass.
pub(super) async fn reconcile(object: Arc<Guarded>, ctx: Arc<Context>) -> Result<Action, Infallible> {
    let name = object.name_any();
    let fingerprint = Fingerprint::of(object.meta());
    let (due, memory) = {
        let mut memories = ctx.memories();
        let notes = ctx.notes().get(&name).cloned().unwrap_or_default();
        let due = due(memories.get(&name), &fingerprint, &notes, Instant::now());
        match due {
            Due::Idle => return Ok(Action::await_change()),
            Due::In(pause) => return Ok(Action::requeue(pause)),
            Due::Fresh | Due::Sweep | Due::Cluster => {}
        }
        let same = |memory: &Memory| memory.fingerprint.same_object(&fingerprint);
        (due, memories.remove(&name).filter(same))
    };
    if let Some(notes) = ctx.notes().get_mut(&name) {
        // Whatever moves from now on asks for another pass.
        (notes.moved, notes.stirred, notes.claims) = (false, false, false);
    }
    let started = Instant::now();
    let memory = memory.unwrap_or_else(|| Memory::new(fingerprint.clone(), started));
    debug!(policy = name, ?due, "Reconciling.");
    let mut pass = Pass {
        ctx: &ctx,
        name: &name,
        due,
        seen: fingerprint.clone(),
        now: (ctx.clock)(),
        deadline: started + PASS,
        memory,
        wake: None,
        reason: None,
    };
    let rest = pass.run().await;
    let Pass {
        mut memory,
        wake,
        reason,
        ..
    } = pass;
    match reason {
        Some(reason) => ctx.metrics.reconciled(reason, started.elapsed()),
        None if rest == Rest::Retry => ctx.metrics.failed(started.elapsed()),
        None => {}
    }
    if rest == Rest::Gone {
        ctx.forget(&name);
        return Ok(Action::await_change());
    }
    let now = Instant::now();
    let time = (ctx.clock)();
    (memory.next, memory.attempts) = next(&name, rest, due, &memory, wake, (now, time));
    memory.ended = now;
    let pause = match memory.next {
        Next::Sweep(at) | Next::Fresh(at) => Some(at.saturating_duration_since(now)),
        Next::Change => None,
    };
    debug!(policy = name, ?rest, ?pause, "Reconciled.");
    ctx.memories().insert(name, memory);
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
}

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
    async fn run(&mut self) -> Rest {
        match self.ctx.policies.get(self.name).await {
            Err(error) => self.put_off(&error),
            Ok(None) => Rest::Gone,
            Ok(Some(Stored::Undecodable(object, problem))) => {
                self.memory.fingerprint = Fingerprint::of(&object.metadata);
                undecodable::tell(self, &object, problem).await
            }
            Ok(Some(Stored::Policy(object))) => {
                self.memory.fingerprint = Fingerprint::of(&object.metadata);
                if object.metadata.deletion_timestamp.is_some() {
                    Box::pin(leave::leave(self, &object)).await
                } else {
                    Box::pin(self.keep(&object)).await
                }
            }
        }
    }

    /// The policy's everyday life.
    async fn keep(&mut self, object: &AIDataProtectionPolicy) -> Rest {
        if self.memory.attempts == 0 && self.memory.repairs == RepairLog::default() {
            let history = object.status.as_ref().map(|s| s.history.as_slice()).unwrap_or_default();
            self.memory.repairs = RepairLog::from_history(history);
        }
        if object.spec.deletion_policy == DeletionPolicy::Retain
            && has_finalizer(object)
            && let Err(error) = self.remove_finalizer(object).await
        {
            return self.put_off(&error);
        }
        let policy = match self.validated(object) {
            Ok(policy) => policy,
            Err(invalid) => {
                info!(policy = self.name, problem = %invalid, "The spec is invalid.");
                return match self.tell(object, &Judgement::Invalid(&invalid)).await {
                    Ok(_) => Rest::Change,
                    Err(error) => self.put_off(&error),
                };
            }
        };
        let mut object = object.clone();
        match self.tell(&object, &Judgement::Observing { policy: &policy }).await {
            Ok(begun) => begun.put_on(&mut object),
            Err(error) => return self.put_off(&error),
        }
        let (account, observed) = match self.look(&policy).await {
            Ok(seen) => seen,
            Err(trouble) => return self.trouble(&object, &policy, &trouble).await,
        };
        let policy = self.covered(&object, policy, &observed);
        // What IAM shows may be older than our last write; reading again decides.
        let plan = plan(&policy, &observed, self.now).settled(|f| self.memory.repairs.echo_until(f, self.now));
        let plan = plan.in_turn(policy.max_writes, &self.memory.late);
        self.wake = plan.next_wakeup();
        self.ctx.metrics.found(self.name, plan.findings());
        self.remember_namespaces(&policy, &observed);
        let caller = observed.caller.as_ref().ok().and_then(Option::as_ref);
        match self.act(object, &policy, &plan, caller, &*account).await {
            Ok(rest) => rest,
            Err(error) => self.put_off(&error),
        }
    }

    /// Writes the inventory, then to AWS and the network, then the report.
    async fn act(
        &mut self,
        mut object: AIDataProtectionPolicy,
        policy: &ValidatedPolicy,
        plan: &Plan,
        caller: Option<&CallerIdentity>,
        account: &dyn Account,
    ) -> Read<Rest> {
        if wants_finalizer(&object, policy, plan) {
            may_write(self.ctx, "patch policies")?;
            self.ctx.policies.add_finalizer(&object).await?;
            self.memory.fingerprint.finalizer_set(true);
        }
        if unclaimed(object.status.as_ref(), plan) {
            let outcome = Outcome::default();
            let before = Judgement::Observed {
                policy,
                plan,
                outcome: &outcome,
                caller,
            };
            self.tell(&object, &before).await?.put_on(&mut object);
        }
        // Without inventory no write: a crash would forget it.
        let held = |target: &Target| holds(object.status.as_ref(), target);
        let Enforced { outcome, wait_until } = self.enforce(policy, plan, account, held).await;
        let after = Judgement::Observed {
            policy,
            plan,
            outcome: &outcome,
            caller,
        };
        // What was written is remembered whatever becomes of the report.
        let told = self.tell(&object, &after).await;
        self.settle(policy, plan, &outcome, told.as_ref().ok());
        told?;
        self.wake = self.wake.into_iter().chain(wait_until).min();
        Ok(Rest::of(plan, &outcome, policy.interval))
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

    /// The policy as it is to be understood, and who holds what of it.
    fn validated(&mut self, object: &AIDataProtectionPolicy) -> Result<ValidatedPolicy, InvalidSpec> {
        let conflicts = self.ctx.conflicts(object);
        let source = PolicySource {
            conflicts,
            held_elsewhere: self.ctx.held_elsewhere(object),
            ..source(object)
        };
        let mut policy = validate(&object.spec, source, &self.settings(object), self.now)?;
        policy.interval = policy.interval.min(self.ctx.config.max_interval);
        Ok(policy)
    }

    /// The policy with the buckets that its selectors found, and who holds what of those.
    fn covered(
        &self,
        object: &AIDataProtectionPolicy,
        policy: ValidatedPolicy,
        observed: &Observed,
    ) -> ValidatedPolicy {
        let mut policy = policy.cover(&observed.account.selected);
        self.ctx.note_selected(self.name, &policy.selection);
        policy.conflicts = self.ctx.conflicts(object);
        policy
    }

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

    async fn trouble(
        &mut self,
        object: &AIDataProtectionPolicy,
        policy: &ValidatedPolicy,
        trouble: &AccountTrouble,
    ) -> Rest {
        warn!(policy = self.name, problem = %trouble, "The account cannot be used.");
        match self.tell(object, &Judgement::Account { policy, trouble }).await {
            Ok(_) => match trouble {
                AccountTrouble::WrongAccount { .. } | AccountTrouble::WrongPartition { .. } => {
                    Rest::Interval(policy.interval)
                }
                AccountTrouble::Unreadable(_) => Rest::Retry,
            },
            Err(error) => self.put_off(&error),
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

    /// Which namespaces matter from now on, for the watch.
    fn remember_namespaces(&self, policy: &ValidatedPolicy, observed: &Observed) {
        let Ok(cluster) = &observed.cluster else { return };
        let namespaces = if policy.egress.is_empty() {
            Vec::new()
        } else {
            let accounts = policy.roles.iter().flat_map(|role| &role.service_accounts);
            let matched = cluster.namespaces.iter().map(|n| n.name.clone());
            accounts
                .map(|account| account.namespace.clone())
                .chain(matched)
                .collect()
        };
        let mut all = self.ctx.notes();
        let notes: &mut Notes = all.entry(self.name.to_owned()).or_default();
        notes.namespaces = namespaces.into_iter().collect();
    }

    pub(super) async fn remove_finalizer(&mut self, object: &AIDataProtectionPolicy) -> Read<()> {
        may_write(self.ctx, "patch policies")?;
        self.ctx.policies.remove_finalizer(object).await?;
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

/// Only a policy that is to be reverted, and has or will have something to revert, may hold up its deletion.
fn wants_finalizer(object: &AIDataProtectionPolicy, policy: &ValidatedPolicy, plan: &Plan) -> bool {
    let Targets { buckets, roles, egress } = &policy.inventory;
    let claimed = !(buckets.is_empty() && roles.is_empty() && egress.is_empty());
    policy.deletion_policy == DeletionPolicy::Revert
        && policy.mode == Mode::Enforce
        && (claimed || !plan.actions().is_empty())
        && !has_finalizer(object)
}
