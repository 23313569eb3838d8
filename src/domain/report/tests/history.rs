//! What became of each drift.

use super::*;
use crate::api::{HistoryOutcome, MAX_HISTORY};

fn drift() -> Finding {
    finding(Control::S3Versioning, Disposition::Repair)
}

fn history(report: &Report) -> Vec<(String, HistoryOutcome, Timestamp, Option<Timestamp>)> {
    report
        .status
        .history
        .iter()
        .map(|e| {
            (
                e.path.clone(),
                e.outcome,
                e.detected_time.0,
                e.corrected_time.as_ref().map(|t| t.0),
            )
        })
        .collect()
}

fn entry(
    outcome: HistoryOutcome,
    detected: Timestamp,
    corrected: Option<Timestamp>,
) -> Vec<(String, HistoryOutcome, Timestamp, Option<Timestamp>)> {
    vec![("setting".to_owned(), outcome, detected, corrected)]
}

#[test]
fn a_repaired_drift_is_one_entry_with_both_times() {
    let policy = enforce();
    let mut series = Series::new();
    // The write of the inventory comes before the repair.
    let claim = series.observe(&policy, &[drift()], &ActionResult::Skipped(SkipReason::OutOfTime));
    assert_eq!(history(&claim), entry(HistoryOutcome::Detected, now(), None));
    let mut series = series.later(Duration::from_secs(2));
    let report = series.observe(&policy, &[drift()], &ActionResult::Done);
    let repaired = entry(HistoryOutcome::Corrected, now(), Some(series.now));
    assert_eq!(history(&report), repaired);
    let e = &report.status.history[0];
    assert_eq!(
        (
            e.control.as_str(),
            e.resource.as_str(),
            e.want.as_str(),
            e.have.as_str()
        ),
        ("S3.Versioning", "bucket/fraud-training-data", "wanted", "found")
    );
    let mut series = series.later(Duration::from_secs(2));
    assert_eq!(history(&series.observe(&policy, &[], &ActionResult::Done)), repaired);
}

#[test]
fn a_drift_that_goes_away_by_itself_is_resolved() {
    let policy = audit();
    let mut series = Series::new();
    series.observe(&policy, &[drift()], &ActionResult::Done);
    let mut series = series.later(MINUTE);
    let report = series.observe(&policy, &[], &ActionResult::Done);
    assert_eq!(
        history(&report),
        entry(HistoryOutcome::Resolved, now(), Some(series.now))
    );
}

#[test]
fn a_failed_repair_is_failed_until_it_works() {
    let policy = enforce();
    let mut series = Series::new();
    let report = series.observe(&policy, &[drift()], &failed(ErrorClass::Transient));
    assert_eq!(history(&report), entry(HistoryOutcome::Failed, now(), None));
    let mut series = series.later(MINUTE);
    let report = series.observe(&policy, &[drift()], &ActionResult::Done);
    assert_eq!(
        history(&report),
        entry(HistoryOutcome::Corrected, now(), Some(series.now))
    );
}

#[test]
fn a_repair_in_several_writes_is_done_when_all_are() {
    let policy = enforce();
    let one = drift();
    let targets = plan_with(&policy, std::slice::from_ref(&one)).targets().to_vec();
    let mut twice = targets.clone();
    twice[0].actions.extend(targets[0].actions.clone());
    let plan = of_targets(&policy, twice, now());
    let of = |first: ActionResult, second: ActionResult| {
        let results = [first, second];
        let outcome = Outcome {
            actions: plan
                .actions()
                .iter()
                .zip(results)
                .map(|(a, r)| ActionOutcome::new(a, r))
                .collect(),
        };
        Series::new()
            .report(&Judgement::Observed {
                policy: &policy,
                plan: &plan,
                outcome: &outcome,
                caller: None,
            })
            .status
            .history[0]
            .outcome
    };
    let skipped = ActionResult::Skipped(SkipReason::EarlierFailure);
    assert_eq!(of(ActionResult::Done, ActionResult::Done), HistoryOutcome::Corrected);
    assert_eq!(
        of(ActionResult::Done, ActionResult::ChangedUnderneath),
        HistoryOutcome::Detected
    );
    assert_eq!(of(failed(ErrorClass::Transient), skipped), HistoryOutcome::Failed);
    assert_eq!(
        of(ActionResult::Done, ActionResult::NotObserved),
        HistoryOutcome::Failed
    );
}

#[test]
fn a_write_that_shows_late_is_the_same_drift_and_a_reverted_one_is_a_new_one() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[drift()], &ActionResult::Done);
    let mut soon = series.later(Duration::from_secs(3));
    let report = soon.observe(
        &policy,
        &[drift()],
        &ActionResult::Skipped(SkipReason::RepairedTooOften),
    );
    assert_eq!(history(&report), entry(HistoryOutcome::Detected, now(), None));
    soon.observe(&policy, &[drift()], &ActionResult::Done);
    let corrected = soon.now;
    let mut later = soon.later(MINUTE);
    let report = later.observe(&policy, &[drift()], &ActionResult::Skipped(SkipReason::OutOfTime));
    assert_eq!(
        history(&report),
        [
            entry(HistoryOutcome::Detected, later.now, None),
            entry(HistoryOutcome::Corrected, now(), Some(corrected)),
        ]
        .concat()
    );
}

#[test]
fn a_value_that_changes_while_it_is_wrong_stays_one_drift() {
    let policy = audit();
    let mut series = Series::new();
    series.observe(&policy, &[drift()], &ActionResult::Done);
    let mut series = series.later(MINUTE);
    let report = series.observe(
        &policy,
        &[drift().diff("setting", "wanted", "worse")],
        &ActionResult::Done,
    );
    assert_eq!(history(&report), entry(HistoryOutcome::Detected, now(), None));
    assert_eq!(report.status.history[0].have, "worse");
}

#[test]
fn the_newest_twenty_stay_and_the_severest_come_first() {
    let policy = enforce();
    let all: Vec<Finding> = (0..80)
        .map(|i| drift().diff(format!("setting{i:02}"), "on", "off"))
        .collect();
    let report = look(&policy, &all, &failed(ErrorClass::Transient));
    let paths: Vec<_> = report.status.history.iter().map(|e| e.path.as_str()).collect();
    let first: Vec<_> = (0..MAX_HISTORY).map(|i| format!("setting{i:02}")).collect();
    assert_eq!(paths, first);
}

#[test]
fn who_did_it_is_kept_where_it_is_known() {
    let mut by = finding(Control::NetEgress, Disposition::Repair);
    by.actor = Some("kubectl-edit".to_owned());
    let report = look(&enforce(), &[by], &ActionResult::Done);
    assert_eq!(report.status.history[0].actor.as_deref(), Some("kubectl-edit"));
}

#[test]
fn the_third_revert_within_an_hour_needs_a_human_and_names_the_other_side() {
    let policy = enforce();
    let mut by = finding(Control::NetEgress, Disposition::Repair);
    by.actor = Some("argocd".to_owned());
    let mut series = Series::new();
    for _ in 0..2 {
        let report = series.observe(&policy, std::slice::from_ref(&by), &ActionResult::Done);
        assert_eq!(said(&report.status)[0], "Ready=False Remediating");
        series = series.later(MINUTE);
        series.observe(&policy, &[], &ActionResult::Done);
        series = series.later(MINUTE);
    }
    let report = series.observe(&policy, std::slice::from_ref(&by), &ActionResult::Done);
    assert_eq!(
        said(&report.status)[..3],
        [
            "Ready=False ConflictingWriter",
            "Stalled=True ConflictingWriter",
            "Drifted=True ConflictingWriter"
        ]
    );
    assert_eq!(
        condition(&report.status, READY).unwrap().message,
        "Net.Egress on egress/training: argocd keeps undoing the repair; repaired at most every 300s until that stops"
    );
}
