//! What became of the plan's writes, as the controller hands it to the report.

use crate::domain::action::PlannedAction;
use crate::domain::finding::{FindingKey, Target};
use crate::domain::observed::CallError;

/// What became of the actions of one plan: one entry for each action, in the order in which they were tried. An action
/// without an entry was not tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One entry for each action.
    pub actions: Vec<ActionOutcome>,
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionOutcome {
    /// The operation as the API names it.
    pub operation: &'static str,
    /// What it was to write to.
    pub target: Target,
    /// The findings that it was to repair.
    pub repairs: Vec<FindingKey>,
    /// What happened.
    pub result: ActionResult,
}

impl ActionOutcome {
    /// The outcome of a planned action.
    pub fn new(planned: &PlannedAction, result: ActionResult) -> Self {
        Self {
            operation: planned.action.operation(),
            target: planned.action.target(),
            repairs: planned.repairs.clone(),
            result,
        }
    }
}

/// What happened to one action.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionResult {
    /// Written, and seen afterwards where the executor reads back.
    Done,
    /// The call failed; whether the write happened is not known (a time-out may have come after it).
    Failed(CallError),
    /// The state was no longer the one that the decision rests on, so nothing was written. The next look decides anew.
    ChangedUnderneath,
    /// The write was accepted and cannot be seen.
    NotObserved,
    /// It was not tried.
    Skipped(SkipReason),
}

/// Why an action was not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// An earlier action on the same target did not succeed, and this one builds on it.
    EarlierFailure,
    /// Somebody keeps reverting our repairs: at most one repair per interval and target now.
    RepairedTooOften,
    /// This replica is not, or no longer, the leader.
    NotLeader,
    /// The time for one reconcile is up, or the operator is stopping. The rest follows in the next.
    OutOfTime,
}

impl SkipReason {
    /// As a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EarlierFailure => "earlier_failure",
            Self::RepairedTooOften => "repaired_too_often",
            Self::NotLeader => "not_leader",
            Self::OutOfTime => "out_of_time",
        }
    }
}
