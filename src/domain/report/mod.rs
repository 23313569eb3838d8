//! The report: what the object says after a reconcile. From what was judged and done, and from what the status said before,
//! come the next status and the events worth sending. Pure and total; the controller patches what comes out of here if it
//! differs from what is there.
//!
//! Two rules run through all of it. A claim rests on an observation: `Ready=True` needs one made after the last write.
//! And what did not change is not written: equal input gives an equal status, but for the hourly `lastVerifiedTime`.

mod conditions;
mod events;
mod findings;
mod history;
mod inventory;
mod outcome;
mod repairs;
mod situation;
mod standing;
mod text;
mod verdict;
mod wording;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::finding::FindingKey;
use super::observed::{CallError, CallerIdentity, ErrorClass};
use super::plan::{AccountTrouble, Plan};
use super::policy::{InvalidSpec, ValidatedPolicy};
use crate::api::{AIDataProtectionPolicyStatus, AccountStatus, Mode};

pub use conditions::{
    BUCKETS_PROTECTED, DRIFTED, EGRESS_RESTRICTED, READY, RECONCILING, ROLES_READ_ONLY, STALLED, condition,
};
pub use events::{Event, EventReason, EventType, MAX_EVENTS};
pub use inventory::{holds, unclaimed};
pub use outcome::{ActionOutcome, ActionResult, Outcome, SkipReason};
pub use repairs::{Decision, Pace, RepairLog};
pub use situation::{Reason, Refusal};

use situation::Situation;
use standing::Standing;
use verdict::Verdict;

/// Default of [`Context::heartbeat`].
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_hours(1);

/// What a reconcile came to.
#[derive(Clone, Copy, Debug)]
pub enum Judgement<'a> {
    /// The spec cannot be used, or the stored object can't be decoded.
    Invalid(&'a InvalidSpec),
    /// The account guard refused: nothing of the account was believed or written.
    Account {
        /// The policy.
        policy: &'a ValidatedPolicy,
        /// Why.
        trouble: &'a AccountTrouble,
    },
    /// The first look at this generation begins; says so, if the status speaks of another generation or of none.
    Observing {
        /// The policy.
        policy: &'a ValidatedPolicy,
    },
    /// Nothing could be looked at, for a reason that may pass.
    Unobserved {
        /// The policy.
        policy: &'a ValidatedPolicy,
        /// The call that failed.
        error: &'a CallError,
    },
    /// It was looked at and, as far as the plan asks for it, acted upon. With the default [`Outcome`]: before acting, for the
    /// inventory write.
    Observed {
        /// The policy.
        policy: &'a ValidatedPolicy,
        /// The plan.
        plan: &'a Plan,
        /// What became of its actions.
        outcome: &'a Outcome,
        /// Whom AWS takes the operator for; None without account guard.
        caller: Option<&'a CallerIdentity>,
    },
}

/// What the report builds on besides the judgement.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The object's status as read; None if there is none.
    pub old: Option<&'a AIDataProtectionPolicyStatus>,
    /// `metadata.generation` of the object that was judged.
    pub generation: i64,
    /// Annotation `aidp.dev/reconcile-requested-at`.
    pub requested_at: Option<&'a str>,
    /// When this process last saw everything ([`Report::complete`]); None after a start.
    pub last_observed: Option<Timestamp>,
    /// Our repairs, *before* those of this reconcile.
    pub repairs: &'a RepairLog,
    /// Now.
    pub now: Timestamp,
    /// How often `lastVerifiedTime` is written while nothing else changes.
    pub heartbeat: Duration,
}

/// The next status, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole status.
    pub status: AIDataProtectionPolicyStatus,
    /// Events: transitions only, [`MAX_EVENTS`] at most.
    pub events: Vec<Event>,
    /// Everything that the policy enforces was seen: remember `now` as [`Context::last_observed`].
    pub complete: bool,
    /// The reason of `Ready`, as a bounded metric label.
    pub reason: Reason,
    /// Something was written and not yet seen again: look again in a few seconds rather than after an interval.
    pub unproven: bool,
}

impl Report {
    /// Whether the status must be written.
    pub fn changed(&self, old: Option<&AIDataProtectionPolicyStatus>) -> bool {
        old != Some(&self.status)
    }
}

/// Writes the report.
pub fn report(judgement: &Judgement<'_>, context: &Context<'_>) -> Report {
    // The API keeps whole seconds; what is compared with what was read must be cut alike.
    let now = Timestamp::from_second(context.now.as_second()).unwrap_or(context.now);
    let context = &Context { now, ..*context };
    match judgement {
        Judgement::Invalid(InvalidSpec { problems }) => refused(
            Refusal::Invalid,
            &problems.join("; "),
            &conditions::stated(context.old),
            context,
        ),
        Judgement::Account { policy, trouble } => match trouble {
            AccountTrouble::WrongAccount { .. } | AccountTrouble::WrongPartition { .. } => refused(
                Refusal::WrongAccount,
                &trouble.to_string(),
                &conditions::promised(policy),
                context,
            ),
            AccountTrouble::Unreadable(error) => match error.class {
                ErrorClass::Throttled | ErrorClass::Transient => unobserved(policy, error, context),
                ErrorClass::AccessDenied
                | ErrorClass::Credentials
                | ErrorClass::NotFound
                | ErrorClass::Unsupported
                | ErrorClass::Terminal => refused(
                    Refusal::CredentialsUnavailable,
                    &format!("{error}; check the operator's AWS credentials and the role configured for this account"),
                    &conditions::promised(policy),
                    context,
                ),
            },
        },
        Judgement::Observing { policy } => observing(policy, context),
        Judgement::Unobserved { policy, error } => unobserved(policy, error, context),
        Judgement::Observed {
            policy,
            plan,
            outcome,
            caller,
        } => observed(policy, plan, outcome, *caller, context),
    }
}

/// The same status for an API server that refuses it as too large: without history and findings, never without the
/// inventory. For a human: the spec must become smaller, or be applied server-side.
pub fn too_large(report: &Report, context: &Context<'_>) -> Report {
    let mut status = report.status.clone();
    status.findings.clear();
    status.history.clear();
    let message = "the API server refuses the object as too large: split the policy, or apply it with --server-side so that \
                   managedFields and the last-applied annotation take less room";
    conditions::stall(
        &mut status.conditions,
        Refusal::ObjectTooLarge,
        message,
        context.old,
        context.now,
    );
    let reason = Reason::Refused(Refusal::ObjectTooLarge);
    let events = events::ready_changed(context.old, &status, reason, None)
        .into_iter()
        .collect();
    Report {
        status,
        events,
        complete: report.complete,
        reason,
        unproven: report.unproven,
    }
}

/// Nothing was looked at, and that is for a human.
fn refused(refusal: Refusal, message: &str, parts: &conditions::Parts, context: &Context<'_>) -> Report {
    let situation = Situation::Refused(refusal);
    let mut status = carried(context);
    status.observed_generation = context.generation;
    status.last_handled_reconcile_at = echoed(context);
    status.conditions = conditions::build(&situation, message, &parts.all_unknown(situation.reason()), context);
    finish(status, &situation, &[], context)
}

/// Nothing was looked at yet.
fn observing(policy: &ValidatedPolicy, context: &Context<'_>) -> Report {
    let mut status = carried(context);
    if status.observed_generation == context.generation && condition(&status, READY).is_some() {
        return unchanged(status);
    }
    let audited = condition(&status, READY).is_some_and(|ready| ready.reason == Reason::Audited.as_str());
    if audited && policy.mode == Mode::Enforce {
        inventory::let_go(&mut status);
    }
    let situation = Situation::NotYetObserved;
    status.observed_generation = context.generation;
    let parts = conditions::promised(policy).all_unknown(situation.reason());
    status.conditions = conditions::build(
        &situation,
        "not observed yet: the first look has begun",
        &parts,
        context,
    );
    finish(status, &situation, &[], context)
}

/// Nothing to say.
fn unchanged(status: AIDataProtectionPolicyStatus) -> Report {
    Report {
        status,
        events: Vec::new(),
        complete: false,
        reason: Reason::Unchanged,
        unproven: false,
    }
}

/// Nothing could be looked at, and that may pass.
fn unobserved(policy: &ValidatedPolicy, error: &CallError, context: &Context<'_>) -> Report {
    let standing = Standing::of(policy, context);
    let what = format!("{} {}", error.operation, wording::class_word(error.class));
    let mut status = carried(context);
    let (situation, message) = match standing {
        Standing::Fresh => return unchanged(status),
        Standing::Stale => (
            Situation::ObservationFailed {
                drifted: conditions::Tri::Unknown,
            },
            format!("nothing could be observed: {what}; retried"),
        ),
        Standing::Never => (Situation::NotYetObserved, format!("not observed yet: {what}; retried")),
    };
    status.observed_generation = context.generation;
    let parts = conditions::promised(policy).all_unknown(situation.reason());
    status.conditions = conditions::build(&situation, &message, &parts, context);
    finish(status, &situation, &[], context)
}

fn observed(
    policy: &ValidatedPolicy,
    plan: &Plan,
    outcome: &Outcome,
    caller: Option<&CallerIdentity>,
    context: &Context<'_>,
) -> Report {
    let standing = Standing::of(policy, context);
    let verdict = Verdict::of(policy, plan, outcome, context);
    let listed = findings::list(plan, &verdict, standing, context);
    let (history, changes) = history::next(&listed, &verdict, outcome, context);

    let mut status = carried(context);
    status.observed_generation = context.generation;
    status.last_handled_reconcile_at = echoed(context);
    status.account = caller.map(account_status).or(status.account);
    let targets = inventory::next(policy, plan, &verdict, standing, status.targets.as_ref());
    status.summary = Some(findings::summary(&listed, &targets));
    status.targets = Some(targets);
    status.findings = listed.shown;
    status.history = history;

    let situation = situation::judge(policy, plan, &verdict, standing, context);
    let unproven = outcome.actions.iter().any(|a| a.result == ActionResult::Done);
    if let Some(situation) = situation {
        let message = wording::ready(&situation, policy, &verdict);
        let parts = conditions::parts(policy, plan, &verdict, standing, context);
        status.conditions = conditions::build(&situation, &message, &parts, context);
        status.last_verified_time = verified(&status, verdict.complete(), context);
        let mut report = finish(status, &situation, &changes, context);
        report.complete = verdict.complete();
        report.unproven = unproven;
        report
    } else {
        // Part of it could not be seen just now. What was said stands; what was seen besides is added.
        Report {
            events: events::of_history(&changes),
            status,
            complete: false,
            reason: Reason::Unchanged,
            unproven,
        }
    }
}

/// The old status, to be changed where there is something to say.
fn carried(context: &Context<'_>) -> AIDataProtectionPolicyStatus {
    context.old.cloned().unwrap_or_default()
}

fn echoed(context: &Context<'_>) -> Option<String> {
    match context.requested_at {
        Some(requested) => Some(text::shown(requested)),
        None => context.old.and_then(|o| o.last_handled_reconcile_at.clone()),
    }
}

/// The session's name changes with every renewal of the credentials and says nothing; without it the status stays still.
fn account_status(caller: &CallerIdentity) -> AccountStatus {
    let CallerIdentity {
        account,
        partition,
        arn,
    } = caller;
    let caller = match arn.split_once(":assumed-role/") {
        Some((head, role)) => format!("{head}:assumed-role/{}", role.split('/').next().unwrap_or_default()),
        None => arn.clone(),
    };
    AccountStatus {
        id: account.as_str().to_owned(),
        partition: partition.as_str().to_owned(),
        caller: text::shown(&caller),
    }
}

/// `lastVerifiedTime`: now if the status is written anyway or the heartbeat is due, else as it was.
fn verified(status: &AIDataProtectionPolicyStatus, complete: bool, context: &Context<'_>) -> Option<Time> {
    let old = context.old.and_then(|o| o.last_verified_time.clone());
    if !complete {
        return old;
    }
    let unchanged = context.old == Some(status);
    let heartbeat = SignedDuration::try_from(context.heartbeat).unwrap_or(SignedDuration::MAX);
    let recent = |t: &Time| t.0 <= context.now && context.now.duration_since(t.0) < heartbeat;
    old.filter(|t| unchanged && recent(t)).or(Some(Time(context.now)))
}

fn finish(
    status: AIDataProtectionPolicyStatus,
    situation: &Situation,
    changes: &[history::Change],
    context: &Context<'_>,
) -> Report {
    let mut events = events::of_history(changes);
    events.extend(events::ready_changed(
        context.old,
        &status,
        situation.reason(),
        situation.culprit(),
    ));
    Report {
        status,
        events,
        complete: false,
        reason: situation.reason(),
        unproven: false,
    }
}

/// Key of a finding as a status shows it.
fn shown_key(key: &FindingKey) -> (String, String, String) {
    (
        key.control.to_owned(),
        text::shown(&key.resource),
        text::shown(&key.path),
    )
}

#[cfg(test)]
mod tests;
