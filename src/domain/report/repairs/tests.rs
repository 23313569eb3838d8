use super::*;
use crate::api::Gating;
use crate::domain::finding::Disposition;
use crate::domain::fixture::now;
use crate::domain::names::{BucketName, RoleName};

const INTERVAL: Duration = Duration::from_mins(5);

fn rule() -> Target {
    Target::Egress {
        rule: "training".to_owned(),
        namespace: Some("ml".to_owned()),
    }
}

fn bucket() -> Target {
    Target::Bucket(BucketName::new("fraud-training-data").unwrap())
}

fn drift(target: Target, want: &str) -> Finding {
    Finding::new(Control::NetEgress, target, Gating::Gating, Disposition::Repair).diff("spec", want, "other")
}

fn at(minutes: u64) -> Timestamp {
    now().checked_add(Duration::from_mins(minutes)).unwrap()
}

fn log(drift: &Finding, times: &[Timestamp]) -> RepairLog {
    let mut log = RepairLog::default();
    for time in times {
        log.record([drift], *time);
    }
    log
}

#[test]
fn two_repairs_are_free_and_the_third_waits_an_interval() {
    let drift = drift(rule(), "ours");
    let decide =
        |times: &[Timestamp], now| log(&drift, times).allowed(&rule(), std::slice::from_ref(&drift), INTERVAL, now);
    let free = Decision {
        pace: Pace::Now,
        conflicting: false,
    };
    assert_eq!(decide(&[], at(0)), free);
    assert_eq!(decide(&[at(0)], at(0)), free);
    let slowed = |pace| Decision {
        pace,
        conflicting: true,
    };
    assert_eq!(decide(&[at(0), at(1)], at(2)), slowed(Pace::NotBefore(at(6))));
    assert_eq!(decide(&[at(0), at(1)], at(6)), slowed(Pace::Now));
    assert_eq!(decide(&[at(0), at(1), at(6)], at(7)), slowed(Pace::NotBefore(at(11))));
}

#[test]
fn after_an_hour_it_is_forgotten() {
    let drift = drift(rule(), "ours");
    let decision = log(&drift, &[at(0), at(1)]).allowed(&rule(), std::slice::from_ref(&drift), INTERVAL, at(61));
    assert_eq!((decision.pace, decision.conflicting), (Pace::Now, false));
}

#[test]
fn neither_another_wanted_value_nor_another_target_slows_a_repair() {
    let reverted = drift(rule(), "ours");
    let log = log(&reverted, &[at(0), at(1)]);
    let edited = drift(rule(), "ours, edited");
    let elsewhere = drift(bucket(), "ours");
    for (target, finding) in [(rule(), edited), (bucket(), elsewhere)] {
        let decision = log.allowed(&target, &[reverted.clone(), finding.clone()], INTERVAL, at(2));
        let alone = log.allowed_finding(&finding, INTERVAL, at(2));
        assert_eq!((alone.pace, alone.conflicting), (Pace::Now, false));
        assert_eq!(decision.conflicting, target == rule(), "a target is repaired whole");
    }
}

#[test]
fn aws_gets_time_to_show_a_write() {
    let drift = drift(bucket(), "ours");
    let log = log(&drift, &[at(0)]);
    let seconds = |s| at(0).checked_add(Duration::from_secs(s)).unwrap();
    let decide = |now| log.allowed(&bucket(), std::slice::from_ref(&drift), INTERVAL, now);
    assert_eq!(
        decide(seconds(3)),
        Decision {
            pace: Pace::NotBefore(seconds(10)),
            conflicting: false
        }
    );
    assert_eq!(decide(seconds(10)).pace, Pace::Now);
}

#[test]
fn a_restarted_operator_knows_what_the_history_says() {
    use crate::api::HistoryEntry;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    let drift = drift(rule(), "ours");
    let entry = |minutes, outcome| HistoryEntry {
        control: "Net.Egress".to_owned(),
        resource: "egress/training/ml".to_owned(),
        path: "spec".to_owned(),
        want: "ours".to_owned(),
        have: "other".to_owned(),
        detected_time: Time(at(minutes)),
        corrected_time: Some(Time(at(minutes))),
        outcome,
        actor: None,
    };
    let corrected = HistoryOutcome::Corrected;
    let log_of = |history: &[HistoryEntry]| RepairLog::from_history(history).allowed_finding(&drift, INTERVAL, at(2));
    assert!(log_of(&[entry(1, corrected), entry(0, corrected)]).conflicting);
    assert!(!log_of(&[entry(1, corrected), entry(0, HistoryOutcome::Resolved)]).conflicting);
}

#[test]
fn a_clock_that_jumps_back_never_blocks_a_repair_for_long() {
    let drift = drift(rule(), "ours");
    let decision = log(&drift, &[at(600), at(601)]).allowed_finding(&drift, INTERVAL, at(0));
    assert_eq!((decision.pace, decision.conflicting), (Pace::Now, false));
}

#[test]
fn the_log_forgets_what_decides_nothing() {
    let drift = drift(rule(), "ours");
    let mut log = log(&drift, &[at(0), at(1), at(2), at(3)]);
    assert_eq!(log.settings.values().map(Vec::len).sum::<usize>(), FREE_REPAIRS);
    log.record([], at(120));
    assert_eq!(log, RepairLog::default());
}

fn role() -> Target {
    Target::Role(RoleName::new("fraud-trainer").unwrap())
}

fn of_role(control: Control, path: &str, have: &str) -> Finding {
    Finding::new(control, role(), Gating::Gating, Disposition::Repair).diff(path, "ours", have)
}

fn after(seconds: u64) -> Timestamp {
    at(0).checked_add(Duration::from_secs(seconds)).unwrap()
}

#[test]
fn what_was_there_before_a_write_to_iam_is_no_drift_for_a_minute() {
    let repaired = of_role(Control::IamTrust, "trustPolicy", "everybody");
    let log = log(&repaired, &[at(0)]);
    let judged = [0, 30, 59, 60].map(|s| log.echo_until(&repaired, after(s)));
    assert_eq!(judged, [Some(after(60)), Some(after(60)), Some(after(60)), None]);
    let other = [
        of_role(Control::IamTrust, "trustPolicy", "somebody else"),
        of_role(Control::IamTrust, "trustPolicy.Statement[1]", "everybody"),
        of_role(Control::IamReadOnly, "inlinePolicies.aidp-readonly", "absent"),
    ];
    assert_eq!(
        other.map(|f| log.echo_until(&f, after(1))),
        [None; 3],
        "somebody's doing"
    );
}

#[test]
fn a_role_made_just_now_may_lack_what_was_put_on_it() {
    let made = of_role(Control::IamRole, "role", "absent");
    let log = log(&made, &[at(0)]);
    let inline = |have| of_role(Control::IamReadOnly, "inlinePolicies.aidp-readonly", have);
    for lacking in [&made, &inline("absent")] {
        assert_eq!(log.echo_until(lacking, after(59)), Some(after(60)));
        assert_eq!(log.echo_until(lacking, after(60)), None);
    }
    assert_eq!(log.echo_until(&inline("without AidpDenyAllButRead"), after(1)), None);
    let mut elsewhere = inline("absent");
    elsewhere.target = Target::Role(RoleName::new("another").unwrap());
    assert_eq!(log.echo_until(&elsewhere, after(1)), None);
}

#[test]
fn only_iam_gets_a_minute() {
    for target in [bucket(), rule()] {
        let drift = drift(target, "ours");
        assert_eq!(log(&drift, &[at(0)]).echo_until(&drift, after(1)), None);
    }
}
