//! Events: transitions, and nothing that somebody outside should not read.

use super::*;
use crate::domain::finding::HumanReason;

fn drift() -> Finding {
    finding(Control::S3Versioning, Disposition::Repair)
}

fn told(report: &Report) -> Vec<String> {
    report
        .events
        .iter()
        .map(
            |Event {
                 event_type,
                 reason,
                 action,
                 note,
             }| format!("{event_type:?} {} {action}: {note}", reason.as_str()),
        )
        .collect()
}

#[test]
fn a_tampered_setting_tells_its_story_once() {
    let policy = enforce();
    let mut series = Series::new();
    let first = series.observe(&policy, &[], &ActionResult::Done);
    assert_eq!(told(&first), ["Normal Enforced Reconcile: Enforced"]);
    let mut series = series.later(MINUTE);
    let second = series.observe(&policy, &[drift()], &ActionResult::Done);
    assert_eq!(
        told(&second),
        [
            "Warning DriftDetected S3.Versioning: S3.Versioning bucket/fraud-training-data",
            "Normal DriftCorrected S3.Versioning: S3.Versioning bucket/fraud-training-data",
            "Normal Remediating Reconcile: Remediating",
        ]
    );
    let mut series = series.later(Duration::from_secs(2));
    let third = series.observe(&policy, &[], &ActionResult::Done);
    assert_eq!(told(&third), ["Normal Enforced Reconcile: Enforced"]);
    let mut series = series.later(MINUTE);
    assert_eq!(
        told(&series.observe(&policy, &[], &ActionResult::Done)),
        Vec::<String>::new()
    );
}

#[test]
fn a_lasting_failure_is_told_once() {
    let policy = enforce();
    let mut series = Series::new();
    let first = series.observe(&policy, &[drift()], &failed(ErrorClass::AccessDenied));
    assert_eq!(
        told(&first),
        [
            "Warning DriftDetected S3.Versioning: S3.Versioning bucket/fraud-training-data",
            "Warning RepairFailed S3.Versioning: S3.Versioning bucket/fraud-training-data",
            "Warning AccessDenied S3.Versioning: S3.Versioning bucket/fraud-training-data",
        ]
    );
    let mut series = series.later(MINUTE);
    let again = series.observe(&policy, &[drift()], &failed(ErrorClass::AccessDenied));
    assert_eq!(told(&again), Vec::<String>::new());
}

#[test]
fn an_event_names_control_and_resource_only() {
    let secret = finding(Control::IamTrust, Disposition::NeedsHuman(HumanReason::NotProven))
        .diff("trust", "hunter2", "hunter2")
        .message("hunter2");
    let report = look(&enforce(), &[secret], &ActionResult::Done);
    assert!(!told(&report).join("\n").contains("hunter2"), "{:?}", report.events);
    assert_eq!(
        told(&report)[1],
        "Warning NotProven IAM.Trust: IAM.Trust role/fraud-trainer"
    );
}

#[test]
fn a_flood_is_bounded_and_ready_is_still_told() {
    let all: Vec<Finding> = (0..80)
        .map(|i| drift().diff(format!("setting{i}"), "on", "off"))
        .collect();
    let report = look(&enforce(), &all, &ActionResult::Done);
    assert_eq!(report.events.len(), MAX_EVENTS);
    assert_eq!(
        report.events.last().map(|e| e.reason),
        Some(EventReason::Ready(Reason::Remediating))
    );
}
