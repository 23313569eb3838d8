//! What a reading of a role comes to where it failed, and the state that findings add up to.

use crate::api::{Gating, TargetState};
use crate::domain::control::{Control, Part};
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::RoleName;
use crate::domain::observed::{CallError, ErrorClass, Observed, RoleObservation};

/// The role as it was seen; None = there is no such role.
///
/// # Errors
/// The finding that says why nothing is known. Unreadable is never taken for absent.
pub fn role_seen<'a>(observed: &'a Observed, name: &RoleName) -> Result<Option<&'a RoleObservation>, Box<Finding>> {
    let target = Target::Role(name.clone());
    match observed.roles.get(name) {
        Some(Ok(role)) => Ok(role.as_ref()),
        Some(Err(error)) => Err(Box::new(unreadable(Control::IamRole, target, "role", error))),
        None => Err(Box::new(
            Finding::new(Control::IamRole, target, Gating::Gating, Disposition::Unobserved)
                .diff("role", "read", "not read")
                .message("the role was not read in this sweep"),
        )),
    }
}

/// The finding for a failed reading of `path`.
pub fn unreadable(control: Control, target: Target, path: &str, error: &CallError) -> Finding {
    let (disposition, way_out) = match error.class {
        ErrorClass::AccessDenied => (
            Disposition::NeedsHuman(HumanReason::AccessDenied),
            "grant the operator the right; `aidp iam-policy` prints what it needs",
        ),
        ErrorClass::Credentials | ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::NotFound => {
            (Disposition::Unobserved, "it is read again")
        }
        ErrorClass::Unsupported => (
            Disposition::NeedsHuman(HumanReason::NotProven),
            "the server does not have this API, so that nothing about the role can be shown",
        ),
        ErrorClass::Terminal => (
            Disposition::NeedsHuman(HumanReason::NotProven),
            "the reading is refused for good, so that nothing about the role can be shown",
        ),
    };
    Finding::new(control, target, Gating::Gating, disposition)
        .diff(path, "readable", error.operation)
        .message(format!("{error}; {way_out}"))
}

/// The state of a role that exists, by its gating findings: wrong before unknown before compliant. What the role's pods can
/// reach is not the role's state.
pub fn state_of(findings: &[Finding]) -> TargetState {
    let (mut conflict, mut wrong, mut unknown) = (false, false, false);
    let counts = |f: &&Finding| f.gating == Gating::Gating && f.control.info().part == Part::Roles;
    for finding in findings.iter().filter(counts) {
        match finding.disposition {
            Disposition::NeedsHuman(HumanReason::Conflict | HumanReason::AdoptionRefused) => conflict = true,
            Disposition::NeedsHuman(reason) if reason.is_unknown() => unknown = true,
            Disposition::Unobserved => unknown = true,
            Disposition::NeedsHuman(_) | Disposition::Repair => wrong = true,
            Disposition::Note => {}
        }
    }
    match (conflict, wrong, unknown) {
        (true, _, _) => TargetState::Conflict,
        (false, true, _) => TargetState::Drifted,
        (false, false, true) => TargetState::Unknown,
        (false, false, false) => TargetState::Compliant,
    }
}
