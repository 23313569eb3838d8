//! The rows of the condition table, and which of them applies.

use super::conditions::Tri;
use super::verdict::{Verdict, Weight};
use super::{Context, Standing, wording};
use crate::api::Mode;
use crate::domain::finding::HumanReason;
use crate::domain::plan::Plan;
use crate::domain::policy::ValidatedPolicy;

/// Why nothing was looked at, or nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The credentials belong to another account.
    WrongAccount,
    /// There are no credentials, or AWS does not take them.
    CredentialsUnavailable,
    /// The spec cannot be used.
    Invalid,
    /// The API server refuses the status as too large.
    ObjectTooLarge,
}

/// Reason of `Ready`. A closed set: it is a metric label and an event reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Not observed yet.
    Progressing,
    /// Every gating control is met.
    Enforced,
    /// A repair is under way, or waits for the next try.
    Remediating,
    /// A human is needed.
    Human(HumanReason),
    /// Mode Audit: everything was looked at.
    Audited,
    /// Suspended: everything was looked at.
    Suspended,
    /// It can't be observed any more.
    ObservationFailed,
    /// Nothing was looked at, and that won't pass by itself.
    Refused(Refusal),
    /// A passing failure: what was said before still stands. Never on an object.
    Unchanged,
}

impl Reason {
    /// As on the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Progressing => "Progressing",
            Self::Enforced => "Enforced",
            Self::Remediating => "Remediating",
            Self::Human(reason) => reason.as_str(),
            Self::Audited => "Audited",
            Self::Suspended => "Suspended",
            Self::ObservationFailed => "ObservationFailed",
            Self::Refused(Refusal::WrongAccount) => "WrongAccount",
            Self::Refused(Refusal::CredentialsUnavailable) => "CredentialsUnavailable",
            Self::Refused(Refusal::Invalid) => "Invalid",
            Self::Refused(Refusal::ObjectTooLarge) => "ObjectTooLarge",
            Self::Unchanged => "Unchanged",
        }
    }
}

/// A row of the condition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    NotYetObserved,
    Enforced,
    Remediating,
    NeedsHuman {
        reason: HumanReason,
        drifted: Tri,
        /// Control and resource.
        culprit: (&'static str, String),
        message: String,
    },
    Audited {
        drifted: Tri,
    },
    Suspended {
        drifted: Tri,
    },
    ObservationFailed {
        drifted: Tri,
    },
    Refused(Refusal),
}

/// Which of the two, if any, stands beside `Ready`. One type: they are never both there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    None,
    Reconciling,
    Stalled,
}

impl Situation {
    /// The row: Ready, Reconciling or Stalled, Drifted.
    pub fn row(&self) -> (Tri, Progress, Tri) {
        match self {
            Self::NotYetObserved => (Tri::Unknown, Progress::Reconciling, Tri::Unknown),
            Self::Enforced => (Tri::True, Progress::None, Tri::False),
            Self::Remediating => (Tri::False, Progress::Reconciling, Tri::True),
            Self::NeedsHuman { drifted, .. } => (Tri::False, Progress::Stalled, *drifted),
            Self::Audited { drifted } | Self::Suspended { drifted } => (Tri::True, Progress::None, *drifted),
            Self::ObservationFailed { drifted } => (Tri::Unknown, Progress::Reconciling, *drifted),
            Self::Refused(_) => (Tri::False, Progress::Stalled, Tri::Unknown),
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::NotYetObserved => Reason::Progressing,
            Self::Enforced => Reason::Enforced,
            Self::Remediating => Reason::Remediating,
            Self::NeedsHuman { reason, .. } => Reason::Human(*reason),
            Self::Audited { .. } => Reason::Audited,
            Self::Suspended { .. } => Reason::Suspended,
            Self::ObservationFailed { .. } => Reason::ObservationFailed,
            Self::Refused(refusal) => Reason::Refused(*refusal),
        }
    }

    /// Control and resource of what holds it up, for the event.
    pub fn culprit(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::NeedsHuman { culprit, .. } => Some((culprit.0, &culprit.1)),
            Self::NotYetObserved
            | Self::Enforced
            | Self::Remediating
            | Self::Audited { .. }
            | Self::Suspended { .. }
            | Self::ObservationFailed { .. }
            | Self::Refused(_) => None,
        }
    }
}

/// The situation after a look; None: the conditions stay as they are (a passing failure after a recent good look).
pub(super) fn judge(
    policy: &ValidatedPolicy,
    plan: &Plan,
    verdict: &Verdict<'_>,
    standing: Standing,
    context: &Context<'_>,
) -> Option<Situation> {
    let enforcing = policy.writes_allowed(context.now);
    let drift = |otherwise| if verdict.drifted() { Tri::True } else { otherwise };
    // In Audit and under suspension a human is only needed for what could not even be looked at.
    if let Some((reason, judged)) = verdict.human(|j| enforcing || j.is_unreadable()) {
        return Some(Situation::NeedsHuman {
            reason,
            drifted: drift(Tri::Unknown),
            culprit: (judged.finding.control.id(), judged.finding.target.to_string()),
            message: wording::needs_human(judged, verdict, enforcing),
        });
    }
    if let Some(loose) = verdict.loose.iter().min_by_key(|l| l.reason) {
        return Some(Situation::NeedsHuman {
            reason: loose.reason,
            drifted: drift(Tri::True),
            culprit: ("", loose.resource.clone()),
            message: format!("{}: {}", loose.resource, loose.message),
        });
    }
    if enforcing && (!plan.actions().is_empty() || verdict.gating.iter().any(|j| j.weight == Weight::Repair)) {
        return Some(Situation::Remediating);
    }
    if verdict.has_gaps() {
        return match standing {
            Standing::Fresh => None,
            Standing::Stale => Some(Situation::ObservationFailed {
                drifted: drift(Tri::Unknown),
            }),
            Standing::Never => Some(Situation::NotYetObserved),
        };
    }
    let drifted = drift(Tri::False);
    Some(match policy.mode {
        Mode::Audit => Situation::Audited { drifted },
        Mode::Enforce if !enforcing => Situation::Suspended { drifted },
        Mode::Enforce => Situation::Enforced,
    })
}
