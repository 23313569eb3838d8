//! One pass over one policy: validate → observe → plan → enforce → report, each step in a place of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::account::Account;
use super::context::{Context, Guarded};
use super::enforce::Enforced;
use super::memory::{Due, Fingerprint, Memory, Next, Notes, due, has_finalizer};
use super::object::Stored;
use super::pass::{Pass, source};
use super::report::may_write;
use super::rest::{Rest, next};
use super::{leave, undecodable};
use crate::api::{AIDataProtectionPolicy, DeletionPolicy, Mode, Targets};
use crate::domain::finding::Target;
use crate::domain::observed::{CallerIdentity, Observed, Read};
use crate::domain::plan::{AccountTrouble, Plan, plan};
use crate::domain::policy::{InvalidSpec, PolicySource, ValidatedPolicy, validate};
use crate::domain::report::{Judgement, Outcome, RepairLog, holds, unclaimed};

/// No write of one pass is begun later than this.
const PASS: Duration = Duration::from_mins(5);
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
    ctx.memories().insert(name.clone(), memory);
    if ctx.store.get(&ObjectRef::new(&name)).is_none() {
        // Deleted under way: the watch said so before the last that was remembered and measured, and never says so again.
        ctx.forget(&name);
        return Ok(Action::await_change());
    }
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
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
            let within = may_write(self.ctx, "patch policies")?;
            self.ctx.policies.add_finalizer(&object, within).await?;
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
