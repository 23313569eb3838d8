//! What generic tools make of the object: the rules of sigs.k8s.io/cli-utils `kstatus` for resources it has no code for.

use super::*;

/// What kstatus computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KStatus {
    InProgress,
    Failed,
    Current,
}

/// kstatus, generic rules: observedGeneration, then Reconciling, then Stalled, then Ready.
pub(super) fn kstatus(generation: i64, status: &Status) -> KStatus {
    if status.observed_generation != generation {
        return KStatus::InProgress;
    }
    let is = |kind: &str, value: &str| condition(status, kind).is_some_and(|c| c.status == value);
    if is("Reconciling", "True") {
        return KStatus::InProgress;
    }
    if is("Stalled", "True") {
        return KStatus::Failed;
    }
    match condition(status, "Ready") {
        Some(ready) if ready.status == "True" => KStatus::Current,
        Some(_) => KStatus::InProgress,
        None => KStatus::Current,
    }
}

#[test]
fn an_object_that_nobody_has_seen_is_in_progress() {
    assert_eq!(kstatus(1, &Status::default()), KStatus::InProgress);
}

#[test]
fn an_edited_object_is_in_progress_until_it_is_judged() {
    let report = look(&enforce(), &[], &ActionResult::Done);
    assert_eq!(kstatus(3, &report.status), KStatus::Current);
    assert_eq!(kstatus(4, &report.status), KStatus::InProgress);
}
