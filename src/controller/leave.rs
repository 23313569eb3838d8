//! The end of a policy: what is ours is taken back under `deletionPolicy: Revert`, and only then may the object go.
//!
//! Suspension does not hold a deletion up. In mode Audit, the operator's ceiling included, nothing is taken back.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tracing::{info, warn};

use super::enforce::Enforced;
use super::memory::has_finalizer;
use super::pass::{Pass, source};
use super::rest::Rest;
use crate::api::{AIDataProtectionPolicy, DeletionPolicy, Mode};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::names::{AccountId, NameError, Region};
use crate::domain::observed::Read;
use crate::domain::plan::{Plan, revert};
use crate::domain::policy::{OperatorSettings, Selection, ValidatedPolicy, validate};
use crate::domain::report::{ActionResult, Event, EventReason, EventType, Judgement, Outcome, Reason};

/// How far taking back has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing of ours is left but what may stay.
    Finished,
    /// There is more to take back, or to look at.
    Going,
    /// It stops at something for a human, named here.
    Stalled(String),
}

/// One pass over a policy that is being deleted.
pub(super) async fn leave(pass: &mut Pass<'_>, object: &AIDataProtectionPolicy) -> Rest {
    if !has_finalizer(object) {
        // Somebody else's finalizer holds it.
        return Rest::Change;
    }
    let result = if object.spec.deletion_policy == DeletionPolicy::Retain {
        pass.remove_finalizer(object).await.map(|()| Rest::Gone)
    } else {
        take_back(pass, object).await
    };
    result.unwrap_or_else(|error| pass.put_off(&error))
}

async fn take_back(pass: &mut Pass<'_>, object: &AIDataProtectionPolicy) -> Read<Rest> {
    let policy = match going(object, &pass.settings(object), pass.now) {
        Ok(policy) => ValidatedPolicy {
            held_elsewhere: pass.ctx.held_elsewhere(object),
            ..policy
        },
        Err(problem) => return Ok(stall(pass, object, &problem.to_string()).await),
    };
    if policy.mode == Mode::Audit {
        info!(policy = pass.name, "Deleted in mode Audit: nothing is taken back.");
        pass.remove_finalizer(object).await?;
        return Ok(Rest::Gone);
    }
    let (account, observed) = match pass.look(&policy).await {
        Ok(seen) => seen,
        Err(trouble) => return Ok(stall(pass, object, &trouble.to_string()).await),
    };
    let plan = revert(&policy, &observed);
    let Enforced { outcome, wait_until: _ } = pass.enforce(&policy, &plan, &*account, |_| true).await;
    let judgement = Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &outcome,
        caller: observed.caller.as_ref().ok().and_then(Option::as_ref),
    };
    match progress(&plan) {
        Progress::Finished => {
            info!(policy = pass.name, "Everything of ours is taken back.");
            pass.remove_finalizer(object).await?;
            Ok(Rest::Gone)
        }
        Progress::Going => {
            let told = pass.tell(object, &judgement).await;
            pass.settle(&policy, &plan, &outcome, told.as_ref().ok());
            let told = told?;
            // A write that is refused, or does not stick, is not in the plan: only its outcome says that a human is needed.
            match refused(&outcome, told.reason) {
                Some(what) => {
                    stall(pass, object, &what).await;
                }
                None => pass.ctx.metrics.revert_stalls(pass.name, false),
            }
            Ok(match Rest::of(&plan, &outcome, policy.interval) {
                Rest::Interval(_) => Rest::Retry,
                rest @ (Rest::Soon | Rest::Retry | Rest::Change | Rest::Gone) => rest,
            })
        }
        Progress::Stalled(what) => {
            let told = pass.tell(object, &judgement).await;
            pass.settle(&policy, &plan, &outcome, told.as_ref().ok());
            told?;
            stall(pass, object, &what).await;
            Ok(match Rest::of(&plan, &outcome, policy.interval) {
                Rest::Interval(_) => Rest::Retry,
                rest @ (Rest::Soon | Rest::Retry | Rest::Change | Rest::Gone) => rest,
            })
        }
    }
}

/// Says that the deletion waits for a human: a status alone would not show, since the object reads as terminating.
async fn stall(pass: &mut Pass<'_>, object: &AIDataProtectionPolicy, what: &str) -> Rest {
    warn!(policy = pass.name, problem = what, "The deletion cannot go on.");
    pass.ctx.metrics.revert_stalls(pass.name, true);
    let event = Event {
        event_type: EventType::Warning,
        reason: EventReason::RevertStalled,
        action: "Revert".to_owned(),
        note: what.chars().take(256).collect(),
    };
    // Once, not at every try.
    if !pass.memory.stalled {
        pass.memory.stalled = true;
        pass.ctx.events.publish(object, &[event]).await;
    }
    Rest::Retry
}

/// How far it has come, by what is left: pure. An action that has just been done is seen in the next pass.
fn progress(plan: &Plan) -> Progress {
    let mut going = !plan.actions().is_empty();
    for finding in plan.findings() {
        match finding.disposition {
            Disposition::Repair | Disposition::Unobserved => going = true,
            Disposition::NeedsHuman(reason) if stays(reason) => {}
            Disposition::NeedsHuman(reason) => {
                let Finding { control, target, .. } = finding;
                return Progress::Stalled(format!("{} {target}: {}", Control::id(*control), reason.as_str()));
            }
            Disposition::Note => {}
        }
    }
    if going { Progress::Going } else { Progress::Finished }
}

/// The write that keeps a deletion from going on until a human acts, if the pass came to that.
fn refused(outcome: &Outcome, reason: Reason) -> Option<String> {
    let Reason::Human(reason) = reason else { return None };
    if stays(reason) {
        return None;
    }
    let held = outcome.actions.iter().find(|action| match &action.result {
        ActionResult::Failed(_) | ActionResult::NotObserved => true,
        ActionResult::Done | ActionResult::ChangedUnderneath | ActionResult::Skipped(_) => false,
    });
    held.map(|action| format!("{} {}: {}", action.operation, action.target, reason.as_str()))
}

/// What does not hold a deletion up: something foreign hangs on it and it stays, or it is gone.
const fn stays(reason: HumanReason) -> bool {
    match reason {
        HumanReason::Orphaned
        | HumanReason::UnknownAlgorithm
        | HumanReason::AclInUse
        | HumanReason::BucketMissing
        | HumanReason::SelectorUnusable
        | HumanReason::AdoptionRefused
        | HumanReason::NotReadOnly
        | HumanReason::NotProven
        | HumanReason::NotAnalysed
        | HumanReason::EgressExceeded
        | HumanReason::NotEnforced
        | HumanReason::EnforcerUnknown
        | HumanReason::NamespaceRefused
        | HumanReason::BlocksOwnCredentials
        | HumanReason::KeyNotUsable
        | HumanReason::LogTargetUnusable
        | HumanReason::KeyAtRisk => true,
        HumanReason::AccessDenied
        | HumanReason::Conflict
        | HumanReason::PolicyUnparsable
        | HumanReason::PolicyTooLarge
        | HumanReason::ForeignPolicyUnwritable
        | HumanReason::WouldLockOut
        | HumanReason::WriteNotObserved
        | HumanReason::ConflictingWriter
        | HumanReason::WriteRefused => false,
    }
}

/// The policy for its last passes: never suspended. A spec that is invalid by now must not hold the deletion up: for that
/// the account, the region and the inventory are enough.
fn going(
    object: &AIDataProtectionPolicy,
    settings: &OperatorSettings,
    now: Timestamp,
) -> Result<ValidatedPolicy, NameError> {
    let spec = &object.spec;
    let source = source(object);
    let account = AccountId::new(&spec.account.id)?;
    let region = Region::new(&spec.account.region)?;
    let mut policy = validate(spec, source.clone(), settings, now).unwrap_or_else(|_invalid| ValidatedPolicy {
        name: source.name,
        generation: source.generation,
        mode: if settings.max_mode == Mode::Audit {
            Mode::Audit
        } else {
            spec.mode
        },
        interval: settings.min_interval,
        suspended_until: None,
        deletion_policy: spec.deletion_policy,
        account,
        partition: region.partition(),
        region,
        buckets: Vec::new(),
        selectors: Vec::new(),
        selection: Selection::default(),
        released: BTreeSet::new(),
        roles: Vec::new(),
        egress: Vec::new(),
        max_writes: 50,
        inventory: source.inventory,
        conflicts: source.conflicts,
        held_elsewhere: source.held_elsewhere,
        settings: settings.clone(),
    });
    policy.suspended_until = None;
    // Nothing new is looked for: the inventory has all that is to be taken back.
    policy.selectors.clear();
    Ok(policy)
}
