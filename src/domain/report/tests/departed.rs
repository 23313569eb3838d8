//! A bucket that a selector found and that is deleted.

use super::*;
use crate::api::{BucketTargetStatus, HistoryOutcome, Targets};
use crate::domain::finding::HumanReason;

fn gone() -> Target {
    Target::Bucket(BucketName::new("fraud-features-a").unwrap())
}

/// A look in which everything is compliant but one selected bucket, which is gone.
fn look(old: Option<&Status>, with_gone: bool) -> Report {
    let policy = enforce();
    let mut targets = plan_with(&policy, &[]).targets().to_vec();
    if with_gone {
        let missing = Disposition::NeedsHuman(HumanReason::BucketMissing);
        let finding =
            Finding::new(Control::S3Bucket, gone(), Gating::ReportOnly, missing).diff("bucket", "found", "gone");
        targets.push(TargetPlan {
            target: gone(),
            state: TargetState::Missing,
            findings: vec![finding],
            actions: Vec::new(),
            facts: TargetFacts::default(),
        });
    }
    let plan = of_targets(&policy, targets, now());
    let (outcome, repairs) = (Outcome::default(), RepairLog::default());
    let judgement = Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &outcome,
        caller: None,
    };
    let context = Context {
        old,
        generation: 3,
        requested_at: None,
        last_observed: None,
        repairs: &repairs,
        now: now(),
        heartbeat: DEFAULT_HEARTBEAT,
    };
    report(&judgement, &context)
}

#[test]
fn it_leaves_the_inventory_with_one_finding_and_one_entry_in_the_history_and_holds_nothing_back() {
    let mut before = look(None, false).status;
    before.targets = before.targets.map(|targets| Targets {
        buckets: [
            targets.buckets,
            vec![BucketTargetStatus {
                name: "fraud-features-a".to_owned(),
                region: None,
                selector: Some("features".to_owned()),
                state: TargetState::Compliant,
            }],
        ]
        .concat(),
        ..targets
    });
    let report = look(Some(&before), true);
    let names = |status: &Status| -> Vec<String> {
        let buckets = &status.targets.as_ref().unwrap().buckets;
        buckets.iter().map(|b| b.name.clone()).collect()
    };
    assert_eq!(names(&report.status), ["fraud-training-data"]);
    assert_eq!(report.reason.as_str(), "Enforced");
    let findings: Vec<&str> = report.status.findings.iter().map(|f| f.resource.as_str()).collect();
    assert_eq!(findings, ["bucket/fraud-features-a"]);
    let entry = report.status.history.first().unwrap();
    assert_eq!(
        (entry.resource.as_str(), entry.outcome, entry.corrected_time.is_some()),
        ("bucket/fraud-features-a", HistoryOutcome::Resolved, true)
    );
    assert_eq!(report.status.history.len(), 1);
    assert_eq!(report.events.len(), 1);

    // It may show once more, before the search takes note.
    let again = look(Some(&report.status), true);
    assert_eq!((&again.status, again.events.len()), (&report.status, 0));
    let after = look(Some(&again.status), false);
    assert_eq!((after.status.findings.len(), after.events.len()), (0, 0));
    assert_eq!(after.status.history, report.status.history);
}
