//! Findings, summary and inventory.

use super::*;
use crate::api::{BucketTargetStatus, MAX_FINDINGS, Severity, Summary};
use crate::domain::finding::HumanReason;
use crate::domain::policy::PolicySource;

fn many(n: usize) -> Vec<Finding> {
    (0..n)
        .map(|i| {
            let mut f = finding(Control::S3Versioning, Disposition::Repair).diff(format!("setting{i:03}"), "on", "off");
            f.severity = if i % 2 == 0 { Severity::Low } else { Severity::Critical };
            f
        })
        .collect()
}

#[test]
fn fifty_findings_are_shown_severest_first_and_the_rest_is_counted() {
    let status = look(&enforce(), &many(120), &failed(ErrorClass::Transient)).status;
    assert_eq!(status.findings.len(), MAX_FINDINGS);
    assert!(status.findings.iter().all(|f| f.severity == Severity::Critical));
    assert_eq!(status.findings[0].path, "setting001");
    assert_eq!(
        status.summary,
        Some(Summary {
            buckets: Some("0/1".to_owned()),
            roles: Some("1/1".to_owned()),
            egress: Some("1/1".to_owned()),
            findings: 120,
            gating_findings: 120,
            omitted_findings: 70,
        })
    );
}

#[test]
fn a_finding_remembers_since_when_it_is_there() {
    let policy = enforce();
    let mut series = Series::new();
    series.observe(&policy, &many(2), &failed(ErrorClass::Transient));
    let mut series = series.later(MINUTE);
    let report = series.observe(&policy, &many(3), &failed(ErrorClass::Transient));
    let since: Vec<_> = report
        .status
        .findings
        .iter()
        .map(|f| (f.path.as_str(), f.since_time.0))
        .collect();
    assert_eq!(
        since,
        [("setting001", now()), ("setting000", now()), ("setting002", series.now)]
    );
}

#[test]
fn what_cannot_be_seen_just_now_is_not_resolved() {
    let policy = enforce();
    let known = finding(Control::S3Versioning, Disposition::NeedsHuman(HumanReason::Conflict));
    let unseen = finding(Control::S3Bucket, Disposition::Unobserved);
    let mut series = Series::new();
    let before = series
        .observe(&policy, std::slice::from_ref(&known), &ActionResult::Done)
        .status;
    let mut fresh = series.later(MINUTE);
    let after = fresh
        .observe(&policy, std::slice::from_ref(&unseen), &ActionResult::Done)
        .status;
    assert_eq!(after, before);
    let mut stale = fresh.later(30 * MINUTE);
    let after = stale
        .observe(&policy, std::slice::from_ref(&unseen), &ActionResult::Done)
        .status;
    let controls: Vec<_> = after.findings.iter().map(|f| f.control.as_str()).collect();
    assert_eq!(controls, ["S3.Bucket", "S3.Versioning"]);
    assert_eq!(after.history, before.history);
}

#[test]
fn a_failed_repair_says_why_in_the_finding() {
    let report = look(
        &enforce(),
        &[finding(Control::S3Versioning, Disposition::Repair)],
        &failed(ErrorClass::AccessDenied),
    );
    assert_eq!(report.status.findings[0].message, "PutBucketVersioning: Code: refused");
    assert_eq!(
        condition(&report.status, READY).unwrap().message,
        "S3.Versioning on bucket/fraud-training-data: PutBucketVersioning: Code: refused"
    );
}

#[test]
fn no_document_and_no_long_text_reaches_the_object() {
    let document = r#"{"Statement":[{"Condition":{"StringEquals":{"sts:ExternalId":"hunter2"}}}]}"#;
    let f = finding(Control::IamTrust, Disposition::Repair).diff("trustPolicy", document, "x".repeat(5000));
    let status = look(&enforce(), &[f], &ActionResult::Done).status;
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(status.findings[0].have.chars().count(), 256);
    assert_eq!(status.history[0].have.chars().count(), 256);
}

#[test]
fn the_inventory_keeps_what_is_known_and_forgets_only_what_has_nothing_of_ours_left() {
    let policy = enforce();
    let mut series = Series::new();
    let mut step = |targets: &[TargetPlan]| {
        let plan = of_targets(&policy, targets.to_vec(), now());
        let outcome = Outcome::default();
        let judgement = Judgement::Observed {
            policy: &policy,
            plan: &plan,
            outcome: &outcome,
            caller: None,
        };
        let Status { targets, summary, .. } = series.step(&judgement).status;
        let buckets = targets.unwrap().buckets;
        (buckets, summary.unwrap().buckets.unwrap())
    };
    let bucket = |name: &str, region: Option<&str>, state| BucketTargetStatus {
        name: name.to_owned(),
        region: region.map(str::to_owned),
        selector: None,
        state,
    };
    let named = bucket("fraud-training-data", Some("eu-west-1"), TargetState::Compliant);
    let former = bucket("former", None, TargetState::Orphaned);
    let both = (vec![former, named.clone()], "1/1".to_owned());

    let mut targets = plan_with(&policy, &[]).targets().to_vec();
    targets[0].facts.region = Some("eu-west-1".to_owned());
    let target = Target::Bucket(BucketName::new("former").unwrap());
    let left = Disposition::NeedsHuman(HumanReason::Orphaned);
    targets.push(TargetPlan {
        target: target.clone(),
        state: TargetState::Orphaned,
        findings: vec![Finding::new(Control::S3Bucket, target, Gating::ReportOnly, left)],
        actions: Vec::new(),
        facts: TargetFacts::default(),
    });
    assert_eq!(step(&targets), both, "an orphan is not counted");
    targets[0].facts.region = None;
    assert_eq!(step(&targets), both, "the region is remembered");
    assert_eq!(step(&targets[..3]), both, "what the plan does not speak of stays");
    targets[3].findings.clear();
    assert_eq!(
        step(&targets),
        (vec![named], "1/1".to_owned()),
        "nothing of ours is left"
    );
}

#[test]
fn an_egress_rule_is_as_good_as_its_worst_namespace() {
    let policy = enforce();
    let mut targets = plan_with(&policy, &[]).targets()[..2].to_vec();
    for (namespace, state, rung) in [
        ("ml", TargetState::Compliant, Some("TLSRequired")),
        ("ml-two", TargetState::Drifted, Some("PortRestricted")),
        ("ml-three", TargetState::Compliant, Some("DestinationRestricted")),
    ] {
        targets.push(TargetPlan {
            target: Target::Egress {
                rule: "training".to_owned(),
                namespace: Some(namespace.to_owned()),
            },
            state,
            findings: vec![finding(Control::NetEgress, Disposition::Note)],
            actions: Vec::new(),
            facts: TargetFacts {
                rung: rung.map(str::to_owned),
                ..TargetFacts::default()
            },
        });
    }
    let plan = of_targets(&policy, targets, now());
    let outcome = Outcome::default();
    let status = Series::new()
        .report(&Judgement::Observed {
            policy: &policy,
            plan: &plan,
            outcome: &outcome,
            caller: None,
        })
        .status;
    let egress = status.targets.unwrap().egress;
    let entry: Vec<_> = egress
        .iter()
        .map(|e| (e.name.as_str(), e.state, e.rung.as_deref()))
        .collect();
    assert_eq!(entry, [("training", TargetState::Drifted, Some("PortRestricted"))]);
}

#[test]
fn nothing_is_written_to_what_the_stored_inventory_does_not_hold() {
    let policy = enforce();
    let plan = plan_with(&policy, &[finding(Control::S3Versioning, Disposition::Repair)]);
    assert!(unclaimed(None, &plan));
    let claim = look(&policy, &[], &ActionResult::Done).status;
    assert!(!unclaimed(Some(&claim), &plan));
    assert!(holds(Some(&claim), &role()) && holds(Some(&claim), &rule()));
    assert!(!holds(Some(&claim), &Target::Role(RoleName::new("other").unwrap())));
}

#[test]
fn the_caller_is_named_without_its_session() {
    let policy = enforce();
    let plan = plan_with(&policy, &[]);
    let outcome = Outcome::default();
    let report = |arn: &str| {
        let caller = CallerIdentity {
            account: AccountId::new("123456789012").unwrap(),
            partition: Partition::Aws,
            arn: arn.to_owned(),
        };
        Series::new()
            .report(&Judgement::Observed {
                policy: &policy,
                plan: &plan,
                outcome: &outcome,
                caller: Some(&caller),
            })
            .status
            .account
            .unwrap()
    };
    let expected = AccountStatus {
        id: "123456789012".to_owned(),
        partition: "aws".to_owned(),
        caller: "arn:aws:sts::123456789012:assumed-role/aidp".to_owned(),
    };
    assert_eq!(report("arn:aws:sts::123456789012:assumed-role/aidp/17000001"), expected);
    assert_eq!(
        report("arn:aws:iam::123456789012:user/me").caller,
        "arn:aws:iam::123456789012:user/me"
    );
}

#[test]
fn the_reconcile_request_is_echoed_once_it_was_acted_on() {
    let policy = enforce();
    let plan = plan_with(&policy, &[]);
    let outcome = Outcome::default();
    let context = Context {
        old: None,
        generation: 3,
        requested_at: Some("now, please"),
        last_observed: None,
        repairs: &RepairLog::default(),
        now: now(),
        heartbeat: DEFAULT_HEARTBEAT,
    };
    let seen = Judgement::Observed {
        policy: &policy,
        plan: &plan,
        outcome: &outcome,
        caller: None,
    };
    let failure = error(ErrorClass::Transient);
    let unseen = Judgement::Unobserved {
        policy: &policy,
        error: &failure,
    };
    let echo = |judgement| report(judgement, &context).status.last_handled_reconcile_at;
    assert_eq!(echo(&seen).as_deref(), Some("now, please"));
    assert_eq!(echo(&unseen), None);
}

#[test]
fn an_inventory_over_the_bound_keeps_what_is_claimed() {
    let policy = crate::domain::fixture::policy_from(FULL_SPEC, PolicySource::default());
    let of = |range: std::ops::Range<usize>| -> Vec<TargetPlan> {
        range
            .map(|i| TargetPlan {
                target: Target::Role(RoleName::new(&format!("role{i:04}")).unwrap()),
                state: TargetState::Compliant,
                findings: Vec::new(),
                actions: Vec::new(),
                facts: TargetFacts::default(),
            })
            .collect()
    };
    let mut series = Series::new();
    let mut roles = |range| {
        let mut targets = of(range);
        for target in &mut targets {
            let note = Finding::new(
                Control::IamRole,
                target.target.clone(),
                Gating::ReportOnly,
                Disposition::Note,
            );
            target.findings.push(note);
        }
        let plan = of_targets(&policy, targets, now());
        let outcome = Outcome::default();
        let status = series
            .step(&Judgement::Observed {
                policy: &policy,
                plan: &plan,
                outcome: &outcome,
                caller: None,
            })
            .status;
        let roles = status.targets.unwrap().roles;
        (roles.len(), roles[0].name.clone(), roles[roles.len() - 1].name.clone())
    };
    assert_eq!(roles(100..250), (150, "role0100".to_owned(), "role0249".to_owned()));
    assert_eq!(roles(0..250), (200, "role0000".to_owned(), "role0249".to_owned()));
}
