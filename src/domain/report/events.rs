//! Events: transitions only, from a closed set of reasons, naming control and resource only. Events of a cluster-scoped
//! object land in namespace `default`, where more people read than may read the policy.

use super::conditions::{READY, condition};
use super::history::{Change, ChangeKind};
use super::situation::Reason;
use crate::api::AIDataProtectionPolicyStatus;

/// Most events of one report; what comes beyond is in the history.
pub const MAX_EVENTS: usize = 20;

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Worth a look.
    Warning,
}

/// Reason of an event. Closed, as Kubernetes counts repeats by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventReason {
    /// A control is no longer met.
    DriftDetected,
    /// The operator repaired it.
    DriftCorrected,
    /// It is met again without the operator's doing.
    DriftResolved,
    /// A repair failed.
    RepairFailed,
    /// While the policy is being deleted, taking things back fails.
    RevertStalled,
    /// `Ready` has a new status or reason.
    Ready(Reason),
}

impl EventReason {
    /// As on the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DriftDetected => "DriftDetected",
            Self::DriftCorrected => "DriftCorrected",
            Self::DriftResolved => "DriftResolved",
            Self::RepairFailed => "RepairFailed",
            Self::RevertStalled => "RevertStalled",
            Self::Ready(reason) => reason.as_str(),
        }
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Type.
    pub event_type: EventType,
    /// Reason.
    pub reason: EventReason,
    /// What was done or judged: the control's id, or `Reconcile`.
    pub action: String,
    /// Control and resource, nothing else.
    pub note: String,
}

/// One event for each change of the history.
pub(super) fn of_history(changes: &[Change]) -> Vec<Event> {
    changes
        .iter()
        .take(MAX_EVENTS - 1)
        .map(
            |Change {
                 kind,
                 control,
                 resource,
             }| {
                let (event_type, reason) = match kind {
                    ChangeKind::Detected => (EventType::Warning, EventReason::DriftDetected),
                    ChangeKind::Corrected => (EventType::Normal, EventReason::DriftCorrected),
                    ChangeKind::Resolved => (EventType::Normal, EventReason::DriftResolved),
                    ChangeKind::Failed => (EventType::Warning, EventReason::RepairFailed),
                };
                Event {
                    event_type,
                    reason,
                    action: control.clone(),
                    note: format!("{control} {resource}"),
                }
            },
        )
        .collect()
}

/// The event for a `Ready` that says something new.
pub(super) fn ready_changed(
    old: Option<&AIDataProtectionPolicyStatus>,
    status: &AIDataProtectionPolicyStatus,
    reason: Reason,
    culprit: Option<(&str, &str)>,
) -> Option<Event> {
    let said = |s: &AIDataProtectionPolicyStatus| condition(s, READY).map(|c| (c.status.clone(), c.reason.clone()));
    if old.and_then(said) == said(status) {
        return None;
    }
    let event_type = match reason {
        Reason::Progressing
        | Reason::Enforced
        | Reason::Remediating
        | Reason::Audited
        | Reason::Suspended
        | Reason::Unchanged => EventType::Normal,
        Reason::Human(_) | Reason::ObservationFailed | Reason::Refused(_) => EventType::Warning,
    };
    let (action, note) = match culprit {
        Some(("", resource)) => ("Reconcile", resource.to_owned()),
        Some((control, resource)) => (control, format!("{control} {resource}")),
        None => ("Reconcile", reason.as_str().to_owned()),
    };
    Some(Event {
        event_type,
        reason: EventReason::Ready(reason),
        action: action.to_owned(),
        note,
    })
}
