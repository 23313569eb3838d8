//! What `Ready` says, in words. Nothing in it may change while the state doesn't: every change is a write.

use super::situation::Situation;
use super::verdict::{Judged, Verdict, Weight};
use crate::api::{Gating, Mode};
use crate::domain::observed::ErrorClass;
use crate::domain::policy::{BucketTarget, ValidatedPolicy};

/// What `Ready` says.
pub(super) fn ready(situation: &Situation, policy: &ValidatedPolicy, verdict: &Verdict<'_>) -> String {
    let gating = verdict.gating.len();
    let unenforced = inapplicable(verdict) + &unenforced(policy);
    match situation {
        Situation::NotYetObserved => format!("not observed yet: {}; retried", gaps(verdict)),
        Situation::Enforced => format!("every enforced control is met{unenforced}"),
        Situation::Remediating if gating == 0 => format!("removing what has left the spec{unenforced}"),
        Situation::Remediating => format!("{}{unenforced}", under_repair(verdict)),
        Situation::NeedsHuman { message, .. } => format!("{message}{unenforced}"),
        Situation::Audited { .. } => {
            let cap = if policy.settings.max_mode == Mode::Audit {
                " (the operator's configuration caps every policy at Audit)"
            } else {
                ""
            };
            format!(
                "looked at everything, wrote nothing{cap}: {}{unenforced}",
                found(gating)
            )
        }
        Situation::Suspended { .. } => {
            let until = policy
                .suspended_until
                .map(|t| format!(" until {t}"))
                .unwrap_or_default();
            format!("suspended{until}, nothing is written: {}{unenforced}", found(gating))
        }
        Situation::ObservationFailed { .. } => {
            format!(
                "no complete look for more than two intervals: {}; retried",
                gaps(verdict)
            )
        }
        Situation::Refused(_) => String::new(),
    }
}

fn inapplicable(verdict: &Verdict<'_>) -> String {
    match verdict.inapplicable.len() {
        0 => String::new(),
        1 => "; 1 control does not apply where it is asked for, and nothing is claimed about it".to_owned(),
        n => format!("; {n} controls do not apply where they are asked for, and nothing is claimed about them"),
    }
}

fn found(gating: usize) -> String {
    match gating {
        0 => "every control is met".to_owned(),
        1 => "1 control is not met".to_owned(),
        n => format!("{n} controls are not met"),
    }
}

pub(super) fn needs_human(judged: &Judged<'_>, verdict: &Verdict<'_>, enforcing: bool) -> String {
    let others = verdict
        .gating
        .iter()
        .filter(|j| matches!(j.weight, Weight::Human(_)) && (enforcing || j.is_unreadable()))
        .count()
        .saturating_sub(1);
    let text = judged.failure.as_deref().unwrap_or(&judged.finding.message);
    let text = if text.is_empty() {
        judged.finding.control.info().remediation
    } else {
        text
    };
    let more = match others {
        0 => String::new(),
        n => format!(" (and {n} more that need a human)"),
    };
    format!(
        "{} on {}: {text}{more}",
        judged.finding.control.id(),
        judged.finding.target
    )
}

fn under_repair(verdict: &Verdict<'_>) -> String {
    let first = verdict.gating.iter().find(|j| j.weight == Weight::Repair);
    let first = first.map_or_else(String::new, |j| {
        let failure = j
            .failure
            .as_ref()
            .map(|f| format!(", last try: {f}"))
            .unwrap_or_default();
        format!(", first {} on {}{failure}", j.finding.control.id(), j.finding.target)
    });
    format!("repairing: {}{first}", found(verdict.gating.len()))
}

/// What could not be seen, without the error's own words: those change from try to try, and each change would be a write.
fn gaps(verdict: &Verdict<'_>) -> String {
    let unobserved = verdict.gating.iter().filter(|j| j.weight == Weight::Unobserved);
    let first = unobserved
        .map(|j| format!("{} on {}", j.finding.control.id(), j.finding.target))
        .chain(verdict.unjudged.iter().map(ToString::to_string))
        .next();
    first.map_or_else(String::new, |first| format!("{first} could not be read for now"))
}

/// A failed look in a word or two.
pub(super) const fn class_word(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::AccessDenied => "was denied",
        ErrorClass::Credentials => "found no valid credentials",
        ErrorClass::NotFound => "found nothing",
        ErrorClass::Throttled => "was throttled",
        ErrorClass::Transient => "got no usable answer",
        ErrorClass::Unsupported => "is not supported by this server",
        ErrorClass::Terminal => "was refused",
    }
}

type GatingOf = fn(&BucketTarget) -> Option<Gating>;

/// How many bucket controls are not enforced, and which: nobody shall read more into `Ready` than there is.
fn unenforced(policy: &ValidatedPolicy) -> String {
    if policy.buckets.is_empty() {
        return String::new();
    }
    let gating: [(&str, GatingOf); 6] = [
        ("encryption", |b| b.encryption.as_ref().map(|c| c.gating)),
        ("transport", |b| b.transport.as_ref().map(|c| c.gating)),
        ("publicAccess", |b| b.public_access.as_ref().map(|c| c.gating)),
        ("objectOwnership", |b| b.object_ownership.as_ref().map(|c| c.gating)),
        ("versioning", |b| b.versioning.as_ref().map(|c| c.gating)),
        ("accessLogging", |b| b.access_logging.as_ref().map(|c| c.gating)),
    ];
    let total = gating.len();
    let on_some = |wanted: Option<Gating>| -> Vec<&str> {
        gating
            .iter()
            .filter(|(_, of)| policy.buckets.iter().any(|b| of(b) == wanted))
            .map(|(name, _)| *name)
            .collect()
    };
    [
        (
            on_some(Some(Gating::ReportOnly)),
            "report-only (left out of bucketControls, or in mode Audit)",
        ),
        (on_some(None), "ignored"),
    ]
    .into_iter()
    .filter(|(names, _)| !names.is_empty())
    .map(|(names, what)| {
        let verb = if names.len() == 1 { "is" } else { "are" };
        format!(
            "; {} of {total} controls {verb} {what}: {}",
            names.len(),
            names.join(", ")
        )
    })
    .collect::<Vec<_>>()
    .concat()
}
