//! What does not change is not written, whatever was found; and whatever was found, the object obeys the contract.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::kstatus::{KStatus, kstatus};
use super::*;
use crate::domain::finding::HumanReason;

#[test]
fn no_change_makes_no_write_until_the_heartbeat() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    for _ in 0..11 {
        series = series.later(5 * MINUTE);
        let before = series.status.clone();
        let report = series.observe(&policy, &[], &ActionResult::Done);
        assert_eq!((report.changed(before.as_ref()), report.events), (false, vec![]));
    }
    let mut series = series.later(5 * MINUTE);
    let before = series.status.clone().unwrap();
    let report = series.observe(&policy, &[], &ActionResult::Done);
    let expected = Status {
        last_verified_time: Some(Time(series.now)),
        ..before
    };
    assert_eq!(report.status, expected, "the hour is over: the time, and nothing else");
}

#[test]
fn a_status_of_nanoseconds_compares_equal_once_it_was_stored() {
    let policy = enforce();
    let mut series = Series::new();
    series.now = "2026-06-01T12:00:00.123456789Z".parse().unwrap();
    let report = series.observe(&policy, &[], &ActionResult::Done);
    assert_eq!(series.status.as_ref(), Some(&report.status));
}

#[test]
fn an_incomplete_look_verifies_nothing() {
    let policy = enforce();
    for f in [
        finding(Control::S3Versioning, Disposition::Unobserved),
        finding(Control::S3Bucket, Disposition::NeedsHuman(HumanReason::AccessDenied)),
    ] {
        let report = look(&policy, &[f], &ActionResult::Done);
        assert_eq!((report.status.last_verified_time, report.complete), (None, false));
    }
}

fn dispositions() -> impl Strategy<Value = Disposition> {
    prop_oneof![
        Just(Disposition::Repair),
        Just(Disposition::Unobserved),
        Just(Disposition::Note),
        proptest::sample::select(vec![
            HumanReason::AccessDenied,
            HumanReason::Conflict,
            HumanReason::PolicyUnparsable,
            HumanReason::NotProven,
            HumanReason::EnforcerUnknown,
            HumanReason::Orphaned,
        ])
        .prop_map(Disposition::NeedsHuman),
    ]
}

fn any_finding() -> impl Strategy<Value = Finding> {
    (
        proptest::sample::select(Control::ALL.to_vec()),
        dispositions(),
        0..4_usize,
        any::<bool>(),
        ".{0,300}",
    )
        .prop_map(|(control, disposition, path, gating, text)| {
            // A setting was seen or it wasn't.
            let path = match disposition {
                Disposition::Unobserved => format!("unseen{path}"),
                Disposition::Repair | Disposition::NeedsHuman(_) | Disposition::Note => format!("setting{path}"),
            };
            let mut f = finding(control, disposition)
                .diff(path, text.clone(), text.clone())
                .message(text);
            f.gating = if gating { Gating::Gating } else { Gating::ReportOnly };
            f
        })
}

fn any_result() -> impl Strategy<Value = ActionResult> {
    proptest::sample::select(vec![
        ActionResult::Done,
        ActionResult::ChangedUnderneath,
        ActionResult::NotObserved,
        ActionResult::Skipped(SkipReason::EarlierFailure),
        failed(ErrorClass::AccessDenied),
        failed(ErrorClass::Throttled),
        failed(ErrorClass::Terminal),
    ])
}

fn any_policy() -> impl Strategy<Value = ValidatedPolicy> {
    static POLICIES: LazyLock<Vec<ValidatedPolicy>> = LazyLock::new(|| vec![enforce(), audit(), suspended()]);
    proptest::sample::select(POLICIES.clone())
}

/// What holds of every status.
fn assert_contract(status: &Status, findings: &[Finding], policy: &ValidatedPolicy) {
    let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    let all = [
        READY,
        RECONCILING,
        STALLED,
        DRIFTED,
        BUCKETS_PROTECTED,
        ROLES_READ_ONLY,
        EGRESS_RESTRICTED,
    ];
    let expected: Vec<&str> = all.into_iter().filter(|t| types.contains(t)).collect();
    assert_eq!(types, expected, "fixed order, nothing twice");
    assert!(!(types.contains(&RECONCILING) && types.contains(&STALLED)));
    assert!(
        status
            .conditions
            .iter()
            .all(|c| c.observed_generation == Some(3) && !c.reason.is_empty())
    );
    let ready = condition(status, READY).unwrap();
    assert_eq!(
        kstatus(3, status) == KStatus::Current,
        ready.status == "True",
        "generic tools agree with Ready"
    );
    let gating = |f: &&Finding| f.gating == Gating::Gating && f.disposition != Disposition::Note;
    if policy.writes_allowed(now()) && ready.status == "True" {
        assert_eq!(
            findings.iter().find(gating),
            None,
            "no claim in the face of a gating finding"
        );
    }
    for (part, kind) in [
        (Part::Buckets, BUCKETS_PROTECTED),
        (Part::Roles, ROLES_READ_ONLY),
        (Part::Egress, EGRESS_RESTRICTED),
    ] {
        // A control that does not apply is no failure, and no promise either.
        let of_part = findings
            .iter()
            .any(|f| f.gating == Gating::Gating && f.control.info().part == part);
        assert_eq!(condition(status, kind).unwrap().status == "True", !of_part, "{kind}");
    }
    let strings = status
        .findings
        .iter()
        .flat_map(|f| [&f.want, &f.have, &f.message, &f.path]);
    let strings = strings.chain(status.history.iter().flat_map(|e| [&e.want, &e.have, &e.path]));
    assert!(strings.into_iter().all(|s| s.chars().count() <= 256));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_look_twice_makes_one_write(
        policy in any_policy(),
        findings in prop::collection::vec(any_finding(), 0..70),
        result in any_result().prop_filter("a second repair is a second event", |r| *r != ActionResult::Done),
    ) {
        let mut series = Series::new();
        series.observe(&policy, &findings, &result);
        let mut series = series.later(Duration::from_secs(30));
        let before = series.status.clone();
        let again = series.observe(&policy, &findings, &result);
        prop_assert_eq!(before.as_ref(), Some(&again.status));
        prop_assert_eq!(again.events, vec![]);
    }

    #[test]
    fn every_first_status_obeys_the_contract(
        policy in any_policy(),
        findings in prop::collection::vec(any_finding(), 0..70),
        result in any_result(),
    ) {
        let report = look(&policy, &findings, &result);
        assert_contract(&report.status, &findings, &policy);
    }

    #[test]
    fn history_and_findings_stay_bounded_over_any_story(
        looks in prop::collection::vec((prop::collection::vec(any_finding(), 0..70), any_result(), 1..4000_u64), 1..8),
    ) {
        let policy = enforce();
        let mut series = Series::new();
        for (findings, result, seconds) in looks {
            let report = series.observe(&policy, &findings, &result);
            prop_assert!(report.status.findings.len() <= 50 && report.status.history.len() <= 20);
            prop_assert!(report.events.len() <= MAX_EVENTS);
            prop_assert!(report.status.history.is_sorted_by(|a, b| a.detected_time >= b.detected_time));
            series = series.later(Duration::from_secs(seconds));
        }
    }
}
