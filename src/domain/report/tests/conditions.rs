//! The condition table of the design, row by row, as whole sets.

use super::kstatus::{KStatus, kstatus};
use super::*;
use crate::domain::finding::HumanReason;

const PROVEN: [&str; 3] = [
    "BucketsProtected=True Protected",
    "RolesReadOnly=True Proven",
    "EgressRestricted=True PortRestricted",
];

fn unknown_parts(reason: &str) -> [String; 3] {
    ["BucketsProtected", "RolesReadOnly", "EgressRestricted"].map(|part| format!("{part}=Unknown {reason}"))
}

fn set(head: &[&str], parts: &[impl AsRef<str>]) -> Vec<String> {
    let head = head.iter().map(|s| (*s).to_owned());
    head.chain(parts.iter().map(|s| s.as_ref().to_owned())).collect()
}

fn drift() -> Finding {
    finding(Control::S3Versioning, Disposition::Repair)
}

fn unobserved(control: Control) -> Finding {
    finding(control, Disposition::Unobserved)
}

fn needs(reason: HumanReason) -> Finding {
    finding(Control::S3Bucket, Disposition::NeedsHuman(reason))
}

#[test]
fn not_yet_observed() {
    let policy = enforce();
    let report = Series::new().report(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Transient),
    });
    assert_eq!(
        said(&report.status),
        set(
            &[
                "Ready=Unknown Progressing",
                "Reconciling=True Progressing",
                "Drifted=Unknown Progressing"
            ],
            &unknown_parts("Progressing"),
        )
    );
    assert_eq!(report.status.observed_generation, 3);
    assert_eq!(kstatus(3, &report.status), KStatus::InProgress);
}

#[test]
fn the_first_look_at_a_generation_is_announced_and_only_the_first() {
    let policy = enforce();
    let mut series = Series::new();
    let begun = Judgement::Observing { policy: &policy };
    let report = series.step(&begun);
    assert_eq!(
        said(&report.status)[..2],
        ["Ready=Unknown Progressing", "Reconciling=True Progressing"]
    );
    assert_eq!(report.status.observed_generation, 3);
    assert!(!series.report(&begun).changed(series.status.as_ref()));
    series.observe(&policy, &[], &ActionResult::Done);
    assert!(!series.report(&begun).changed(series.status.as_ref()));
    series.generation = 4;
    assert_eq!(said(&series.report(&begun).status)[0], "Ready=Unknown Progressing");
}

#[test]
fn enforce_and_every_gating_control_compliant() {
    let report = look(&enforce(), &[], &ActionResult::Done);
    assert_eq!(
        said(&report.status),
        set(&["Ready=True Enforced", "Drifted=False Enforced"], &PROVEN)
    );
    assert_eq!(kstatus(3, &report.status), KStatus::Current);
    assert!(report.complete);
}

#[test]
fn a_repair_under_way_waiting_or_just_done() {
    // Just done is not yet seen: the claim waits for the next look.
    for result in [
        ActionResult::Done,
        ActionResult::ChangedUnderneath,
        ActionResult::Skipped(SkipReason::OutOfTime),
        failed(ErrorClass::Throttled),
        failed(ErrorClass::Transient),
        failed(ErrorClass::NotFound),
    ] {
        let report = look(&enforce(), &[drift()], &result);
        assert_eq!(
            said(&report.status),
            set(
                &[
                    "Ready=False Remediating",
                    "Reconciling=True Remediating",
                    "Drifted=True Remediating"
                ],
                &["BucketsProtected=False Drifted", PROVEN[1], PROVEN[2]],
            ),
            "{result:?}"
        );
        assert_eq!(kstatus(3, &report.status), KStatus::InProgress);
        assert_eq!(report.unproven, result == ActionResult::Done);
    }
}

#[test]
fn a_repair_that_the_cap_puts_off() {
    let plan = plan_with(&enforce(), &[drift()]);
    let policy = enforce();
    let report = Series::new().report(&Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &Outcome::default(),
        caller: None,
    });
    assert_eq!(
        said(&report.status)[..2],
        ["Ready=False Remediating", "Reconciling=True Remediating"]
    );
}

#[test]
fn every_reason_for_a_human_is_the_reason() {
    for (reason, drifted, part) in [
        (HumanReason::AccessDenied, "Unknown", "Unknown"),
        (HumanReason::SelectorUnusable, "Unknown", "Unknown"),
        (HumanReason::Conflict, "True", "False"),
        (HumanReason::BucketMissing, "True", "False"),
        (HumanReason::PolicyUnparsable, "Unknown", "Unknown"),
        (HumanReason::PolicyTooLarge, "True", "False"),
        (HumanReason::ForeignPolicyUnwritable, "True", "False"),
        (HumanReason::WouldLockOut, "True", "False"),
        (HumanReason::AdoptionRefused, "True", "False"),
        (HumanReason::KeyNotUsable, "True", "False"),
        (HumanReason::KeyAtRisk, "True", "False"),
        (HumanReason::LogTargetUnusable, "True", "False"),
        (HumanReason::BlocksOwnCredentials, "True", "False"),
        (HumanReason::NamespaceRefused, "True", "False"),
        (HumanReason::WriteNotObserved, "True", "False"),
        (HumanReason::ConflictingWriter, "True", "False"),
        (HumanReason::NotProven, "True", "Unknown"),
        (HumanReason::NotAnalysed, "True", "Unknown"),
        (HumanReason::EgressExceeded, "True", "False"),
        (HumanReason::NotEnforced, "True", "False"),
        (HumanReason::EnforcerUnknown, "True", "Unknown"),
        (HumanReason::WriteRefused, "True", "False"),
        (HumanReason::Orphaned, "True", "False"),
    ] {
        let word = reason.as_str();
        let report = look(&enforce(), &[needs(reason)], &ActionResult::Done);
        assert_eq!(
            said(&report.status),
            [
                format!("Ready=False {word}"),
                format!("Stalled=True {word}"),
                format!("Drifted={drifted} {word}"),
                format!("BucketsProtected={part} {word}"),
                PROVEN[1].to_owned(),
                PROVEN[2].to_owned(),
            ]
        );
        assert_eq!(kstatus(3, &report.status), KStatus::Failed);
    }
}

#[test]
fn a_refused_write_needs_a_human_and_the_drift_stays_known() {
    for (result, word) in [
        (failed(ErrorClass::AccessDenied), "AccessDenied"),
        (failed(ErrorClass::Terminal), "WriteRefused"),
        (failed(ErrorClass::Unsupported), "WriteRefused"),
        (ActionResult::NotObserved, "WriteNotObserved"),
    ] {
        let report = look(&enforce(), &[drift()], &result);
        assert_eq!(
            said(&report.status),
            [
                format!("Ready=False {word}"),
                format!("Stalled=True {word}"),
                format!("Drifted=True {word}"),
                format!("BucketsProtected=False {word}"),
                PROVEN[1].to_owned(),
                PROVEN[2].to_owned(),
            ]
        );
    }
}

#[test]
fn of_several_reasons_the_most_urgent_wins_and_stalled_wins_over_reconciling() {
    let findings = [
        needs(HumanReason::Orphaned),
        finding(Control::IamReadOnly, Disposition::NeedsHuman(HumanReason::NotProven)),
        drift(),
    ];
    let report = look(&enforce(), &findings, &ActionResult::Done);
    assert_eq!(
        said(&report.status),
        [
            "Ready=False NotProven",
            "Stalled=True NotProven",
            "Drifted=True NotProven",
            "BucketsProtected=False Orphaned",
            "RolesReadOnly=Unknown NotProven",
            "EgressRestricted=True PortRestricted",
        ]
    );
}

#[test]
fn audit_says_what_it_found_and_never_holds_ready_back() {
    let clean = look(&audit(), &[], &ActionResult::Done);
    assert_eq!(
        said(&clean.status),
        set(&["Ready=True Audited", "Drifted=False Audited"], &PROVEN)
    );
    for found in [drift(), needs(HumanReason::BucketMissing), needs(HumanReason::Conflict)] {
        let report = look(&audit(), std::slice::from_ref(&found), &ActionResult::Done);
        assert_eq!(
            said(&report.status)[..2],
            ["Ready=True Audited", "Drifted=True Audited"],
            "{found:?}"
        );
        assert_eq!(kstatus(3, &report.status), KStatus::Current);
    }
}

#[test]
fn an_audit_that_may_not_look_is_no_audit() {
    for reason in [
        HumanReason::AccessDenied,
        HumanReason::PolicyUnparsable,
        HumanReason::SelectorUnusable,
    ] {
        let word = reason.as_str();
        let report = look(&audit(), &[needs(reason)], &ActionResult::Done);
        assert_eq!(
            said(&report.status)[..3],
            [
                format!("Ready=False {word}"),
                format!("Stalled=True {word}"),
                format!("Drifted=Unknown {word}")
            ]
        );
    }
}

#[test]
fn suspended_is_as_audit() {
    let clean = look(&suspended(), &[], &ActionResult::Done);
    assert_eq!(
        said(&clean.status),
        set(&["Ready=True Suspended", "Drifted=False Suspended"], &PROVEN)
    );
    let drifted = look(&suspended(), &[drift()], &ActionResult::Done);
    assert_eq!(
        said(&drifted.status),
        set(
            &["Ready=True Suspended", "Drifted=True Suspended"],
            &["BucketsProtected=False Drifted", PROVEN[1], PROVEN[2]],
        )
    );
    assert_eq!(
        condition(&drifted.status, READY).unwrap().message,
        "suspended until 2026-06-02T00:00:00Z, nothing is written: 1 control is not met"
    );
}

#[test]
fn a_passing_failure_soon_after_a_good_look_changes_nothing_at_all() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    let mut series = series.later(9 * MINUTE);
    let before = series.status.clone();
    let whole = series.report(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Throttled),
    });
    assert_eq!(
        (whole.changed(before.as_ref()), whole.events, whole.complete),
        (false, vec![], false)
    );
    let part = series.observe(&policy, &[unobserved(Control::S3Versioning)], &ActionResult::Done);
    assert_eq!(
        (part.changed(before.as_ref()), part.events, part.complete),
        (false, vec![], false)
    );
}

#[test]
fn what_is_seen_to_be_wrong_is_said_whatever_else_could_not_be_seen() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    let mut series = series.later(MINUTE);
    let bucket = |report: &Report| {
        let targets = report.status.targets.clone().unwrap_or_default();
        let summary = report.status.summary.clone().unwrap_or_default();
        (targets.buckets[0].state, summary.buckets)
    };
    let late = ActionResult::Skipped(SkipReason::OutOfTime);
    let unseen = series.observe(&policy, &[unobserved(Control::S3AccessLogging)], &late);
    assert_eq!(bucket(&unseen), (TargetState::Compliant, Some("1/1".to_owned())));
    let wrong = series.observe(&policy, &[drift(), unobserved(Control::S3AccessLogging)], &late);
    assert_eq!(said(&wrong.status)[0], "Ready=False Remediating");
    assert_eq!(bucket(&wrong), (TargetState::Drifted, Some("0/1".to_owned())));
}

#[test]
fn a_passing_failure_that_lasts_is_said() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    let mut series = series.later(10 * MINUTE);
    let head = [
        "Ready=Unknown ObservationFailed",
        "Reconciling=True ObservationFailed",
        "Drifted=Unknown ObservationFailed",
    ];
    let whole = series.report(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Transient),
    });
    assert_eq!(said(&whole.status), set(&head, &unknown_parts("ObservationFailed")));
    assert_eq!(kstatus(3, &whole.status), KStatus::InProgress);
    let part = series.observe(&policy, &[unobserved(Control::S3Versioning)], &ActionResult::Done);
    assert_eq!(
        said(&part.status),
        set(
            &head,
            &["BucketsProtected=Unknown ObservationFailed", PROVEN[1], PROVEN[2]]
        )
    );
}

#[test]
fn after_a_restart_the_last_verified_time_counts() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    let mut series = series.later(11 * MINUTE);
    series.last_observed = None;
    let report = series.step(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Transient),
    });
    assert_eq!(said(&report.status)[0], "Ready=Unknown ObservationFailed");
}

#[test]
fn a_look_in_the_future_is_no_look() {
    let policy = enforce();
    let mut series = Series::new().later(60 * MINUTE);
    series.observe(&policy, &[], &ActionResult::Done);
    series.now = now();
    let report = series.report(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Transient),
    });
    assert_eq!(said(&report.status)[0], "Ready=Unknown ObservationFailed");
}

#[test]
fn unchanged_holds_for_the_same_generation_only() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    series.generation = 4;
    let report = series.step(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Transient),
    });
    assert_eq!(
        said(&report.status)[..2],
        ["Ready=Unknown Progressing", "Reconciling=True Progressing"]
    );
    assert_eq!(report.status.observed_generation, 4);
    let mut series = series.later(11 * MINUTE);
    let report = series.step(&Judgement::Unobserved {
        policy: &policy,
        error: &error(ErrorClass::Transient),
    });
    assert_eq!(
        said(&report.status)[0],
        "Ready=Unknown ObservationFailed",
        "never seen, for long"
    );
}

#[test]
fn wrong_account_and_no_credentials() {
    let policy = enforce();
    let wrong = AccountTrouble::WrongAccount {
        wanted: AccountId::new("123456789012").unwrap(),
        actual: AccountId::new("210987654321").unwrap(),
    };
    let denied = AccountTrouble::Unreadable(error(ErrorClass::Credentials));
    for (trouble, word) in [(wrong, "WrongAccount"), (denied, "CredentialsUnavailable")] {
        let report = Series::new().report(&Judgement::Account {
            policy: &policy,
            trouble: &trouble,
        });
        assert_eq!(
            said(&report.status),
            set(
                &[
                    &format!("Ready=False {word}"),
                    &format!("Stalled=True {word}"),
                    &format!("Drifted=Unknown {word}")
                ],
                &unknown_parts(word),
            )
        );
        assert_eq!(kstatus(3, &report.status), KStatus::Failed);
    }
}

#[test]
fn an_account_that_cannot_be_asked_for_now_is_a_passing_failure() {
    let policy = enforce();
    let report = Series::new().report(&Judgement::Account {
        policy: &policy,
        trouble: &AccountTrouble::Unreadable(error(ErrorClass::Throttled)),
    });
    assert_eq!(said(&report.status)[0], "Ready=Unknown Progressing");
}

#[test]
fn an_invalid_spec_is_judged_too() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    series.generation = 4;
    let invalid = InvalidSpec {
        problems: vec!["interval: too short".to_owned(), "buckets[x]: too short".to_owned()],
    };
    let report = series.step(&Judgement::Invalid(&invalid));
    assert_eq!(
        said(&report.status),
        set(
            &["Ready=False Invalid", "Stalled=True Invalid", "Drifted=Unknown Invalid"],
            &unknown_parts("Invalid")
        )
    );
    assert_eq!(report.status.observed_generation, 4);
    assert_eq!(
        condition(&report.status, READY).unwrap().message,
        "interval: too short; buckets[x]: too short"
    );
    assert!(report.status.targets.is_some(), "the inventory outlives everything");
}

#[test]
fn too_large_says_so_and_keeps_the_inventory() {
    let policy = enforce();
    let mut series = Series::new();
    let full = series.observe(&policy, &[drift()], &failed(ErrorClass::Transient));
    let context = Context {
        old: None,
        generation: 3,
        requested_at: None,
        last_observed: None,
        repairs: &RepairLog::default(),
        now: now(),
        heartbeat: DEFAULT_HEARTBEAT,
    };
    let small = too_large(&full, &context);
    assert_eq!(
        said(&small.status),
        [
            "Ready=False ObjectTooLarge",
            "Stalled=True ObjectTooLarge",
            "Drifted=True Remediating",
            "BucketsProtected=False Drifted",
            "RolesReadOnly=True Proven",
            "EgressRestricted=True PortRestricted",
        ]
    );
    assert_eq!(small.status.targets, full.status.targets);
    assert_eq!((small.status.findings.len(), small.status.history.len()), (0, 0));
}

#[test]
fn a_target_that_the_plan_forgets_is_never_compliant() {
    let policy = enforce();
    let plan = of_targets(&policy, Vec::new(), now());
    let report = Series::new().report(&Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &Outcome::default(),
        caller: None,
    });
    assert_eq!(
        said(&report.status),
        set(
            &[
                "Ready=Unknown Progressing",
                "Reconciling=True Progressing",
                "Drifted=Unknown Progressing"
            ],
            &unknown_parts("Progressing"),
        )
    );
    assert!(!report.complete);
}

#[test]
fn egress_without_a_rung_is_not_restricted() {
    let policy = enforce();
    let mut targets = plan_with(&policy, &[]).targets().to_vec();
    targets[2].facts.rung = None;
    let plan = of_targets(&policy, targets, now());
    let report = Series::new().report(&Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &Outcome::default(),
        caller: None,
    });
    assert_eq!(said(&report.status)[4], "EgressRestricted=Unknown EnforcerUnknown");
}

#[test]
fn selectors_that_find_nothing_promise_nothing() {
    let policy = policy(
        "{mode: Enforce, account: {id: \"123456789012\", region: eu-west-1}, bucketSelectors: [{name: all, namePrefix: fraud-}]}",
    );
    let selector = TargetPlan {
        target: Target::BucketSelector("all".to_owned()),
        state: TargetState::Compliant,
        findings: Vec::new(),
        actions: Vec::new(),
        facts: TargetFacts::default(),
    };
    let plan = of_targets(&policy, vec![selector], now());
    let report = Series::new().report(&Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &Outcome::default(),
        caller: None,
    });
    assert_eq!(said(&report.status)[2], "BucketsProtected=Unknown NothingEnforced");
}

#[test]
fn a_part_without_targets_is_absent() {
    let policy = policy(
        "{mode: Enforce, account: {id: \"123456789012\", region: eu-west-1}, buckets: [{name: fraud-training-data}]}",
    );
    let plan = of_targets(&policy, plan_with(&policy, &[]).targets()[..1].to_vec(), now());
    let report = Series::new().report(&Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &Outcome::default(),
        caller: None,
    });
    assert_eq!(
        said(&report.status),
        [
            "Ready=True Enforced",
            "Drifted=False Enforced",
            "BucketsProtected=True Protected"
        ]
    );
}

#[test]
fn what_is_not_enforced_is_counted_in_ready() {
    let of = |controls: &str| {
        let policy = policy(&format!(
            "{{mode: Enforce, account: {{id: \"123456789012\", region: eu-west-1}}, bucketControls: {controls}, buckets: [{{name: fraud-training-data}}]}}"
        ));
        let plan = of_targets(&policy, plan_with(&policy, &[]).targets()[..1].to_vec(), now());
        let report = Series::new().report(&Judgement::Observed {
            policy: &policy,
            plan: &plan,
            outcome: &Outcome::default(),
            caller: None,
        });
        let message = condition(&report.status, READY).unwrap().message.clone();
        (message, said(&report.status)[2].clone())
    };
    assert_eq!(
        of("{transport: {}, publicAccess: {}}"),
        (
            "every enforced control is met; 4 of 6 controls are report-only (left out of bucketControls, or in mode Audit): encryption, objectOwnership, versioning, accessLogging".to_owned(),
            "BucketsProtected=True Protected".to_owned()
        )
    );
    assert_eq!(
        of("{versioning: {mode: Ignore}}"),
        (
            "every enforced control is met; 5 of 6 controls are report-only (left out of bucketControls, or in mode Audit): encryption, transport, publicAccess, objectOwnership, accessLogging; 1 of 6 controls is ignored: versioning".to_owned(),
            "BucketsProtected=Unknown NothingEnforced".to_owned()
        )
    );
}

#[test]
fn report_only_findings_and_notes_hold_nothing_back() {
    let mut report_only = drift();
    report_only.gating = Gating::ReportOnly;
    let mut note = finding(Control::NetEgress, Disposition::Note);
    note.gating = Gating::ReportOnly;
    let report = look(&enforce(), &[report_only, note], &ActionResult::Done);
    assert_eq!(
        said(&report.status),
        set(&["Ready=True Enforced", "Drifted=False Enforced"], &PROVEN)
    );
    let summary = report.status.summary.unwrap();
    assert_eq!((summary.findings, summary.gating_findings), (2, 0));
}

#[test]
fn the_time_of_a_condition_changes_with_its_status_only() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &[], &ActionResult::Done);
    let mut series = series.later(MINUTE);
    let ready = |s: &Series| {
        condition(s.status.as_ref().unwrap(), READY)
            .unwrap()
            .last_transition_time
            .0
    };
    series.observe(&policy, &[drift()], &ActionResult::Done);
    assert_eq!(ready(&series), series.now);
    let broken = series.now;
    let mut series = series.later(MINUTE);
    series.observe(&policy, &[needs(HumanReason::Conflict)], &ActionResult::Done);
    assert_eq!(ready(&series), broken, "another reason, the same status");
    assert_eq!(
        condition(series.status.as_ref().unwrap(), STALLED)
            .unwrap()
            .last_transition_time
            .0,
        series.now
    );
}

#[test]
fn a_control_that_does_not_apply_is_neither_an_error_nor_a_promise() {
    let absent = finding(Control::S3Versioning, Disposition::Note);
    let report = look(&enforce(), &[absent], &ActionResult::Done);
    assert_eq!(
        said(&report.status),
        [
            "Ready=True Enforced",
            "Drifted=False Enforced",
            "BucketsProtected=Unknown NotApplicable",
            "RolesReadOnly=True Proven",
            "EgressRestricted=True PortRestricted",
        ]
    );
    let ready = &condition(&report.status, READY).unwrap().message;
    assert!(
        ready.starts_with("every enforced control is met; 1 control does not apply where it is asked for"),
        "{ready}"
    );
}
