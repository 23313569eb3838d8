use serde_json::json;

use super::*;

/// A policy that names bucket `data` and role `Trainer`.
fn policy(name: &str, created: &str) -> AIDataProtectionPolicy {
    serde_json::from_value(json!({
        "apiVersion": "aidp.dev/v1alpha1",
        "kind": "AIDataProtectionPolicy",
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {
            "mode": "Enforce",
            "account": {"id": "123456789012", "region": "eu-west-1"},
            "buckets": [{"name": "data"}],
            "trainingRoles": [{"name": "Trainer", "serviceAccounts": [{"namespace": "ml", "name": "t"}], "workloadIdentity": "IRSA"}],
        },
    }))
    .unwrap()
}

fn holding(mut policy: AIDataProtectionPolicy, state: &str, ready: &str) -> AIDataProtectionPolicy {
    policy.status = serde_json::from_value(json!({
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "True", "reason": ready, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "targets": {"buckets": [{"name": "data", "state": state}], "roles": [{"name": "trainer", "state": state}]},
    }))
    .unwrap();
    policy
}

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-02-01T00:00:00Z";

fn conflicts(me: &AIDataProtectionPolicy, others: &[&AIDataProtectionPolicy]) -> Vec<(String, String)> {
    let others: Vec<Claims> = others.iter().map(|p| Claims::of(p, Mode::Enforce)).collect();
    Claims::of(me, Mode::Enforce)
        .conflicts(&others)
        .into_iter()
        .map(|(target, holder)| (target.to_string(), holder))
        .collect()
}

fn both(holder: &str) -> Vec<(String, String)> {
    ["bucket/data", "role/Trainer"]
        .map(|t| (t.to_owned(), holder.to_owned()))
        .to_vec()
}

#[test]
fn a_policy_alone_has_no_conflict() {
    let a = policy("a", OLD);
    assert_eq!(conflicts(&a, &[&a]), []);
}

#[test]
fn the_older_policy_wins_and_then_the_name() {
    let (old, new) = (policy("z", OLD), policy("a", NEW));
    assert_eq!(conflicts(&new, &[&old, &new]), both("z"));
    assert_eq!(conflicts(&old, &[&old, &new]), []);
    let (a, b) = (policy("a", OLD), policy("b", OLD));
    assert_eq!(conflicts(&b, &[&a]), both("a"));
    assert_eq!(conflicts(&a, &[&b]), []);
}

#[test]
fn whoever_holds_a_target_keeps_it_from_an_older_policy() {
    let old = policy("old", OLD);
    let new = holding(policy("new", NEW), "Compliant", "Enforced");
    assert_eq!(conflicts(&old, &[&new]), both("new"));
    assert_eq!(conflicts(&new, &[&old]), []);
}

#[test]
fn a_policy_that_audits_claims_nothing_and_meets_no_conflict() {
    let mut audit = policy("audit", OLD);
    audit.spec.mode = Mode::Audit;
    let enforce = policy("enforce", NEW);
    assert_eq!(conflicts(&enforce, &[&audit]), []);
    assert_eq!(conflicts(&audit, &[&enforce]), []);
}

#[test]
fn under_the_kill_switch_nobody_claims() {
    let (old, new) = (policy("old", OLD), policy("new", NEW));
    let old = Claims::of(&old, Mode::Audit);
    assert_eq!(Claims::of(&new, Mode::Audit).conflicts(&[old]), Conflicts::new());
}

#[test]
fn an_inventory_from_audit_times_is_no_hold() {
    let was_audit = holding(policy("was-audit", OLD), "Compliant", "Audited");
    let holder = holding(policy("holder", NEW), "Compliant", "Enforced");
    assert_eq!(conflicts(&was_audit, &[&holder]), both("holder"));
    assert_eq!(conflicts(&holder, &[&was_audit]), []);
}

#[test]
fn what_is_in_conflict_is_not_held() {
    let refused = holding(policy("refused", OLD), "Conflict", "Conflict");
    let holder = holding(policy("holder", NEW), "Drifted", "Remediating");
    assert_eq!(conflicts(&holder, &[&refused]), []);
    assert_eq!(conflicts(&refused, &[&holder]), both("holder"));
}

#[test]
fn what_left_the_spec_is_let_go_under_retain_and_held_until_reverted_under_revert() {
    let wants = policy("wants", NEW);
    let mut left = holding(policy("left", OLD), "Orphaned", "Enforced");
    left.spec.buckets.clear();
    left.spec.training_roles.clear();
    assert_eq!(conflicts(&wants, &[&left]), []);
    left.spec.deletion_policy = DeletionPolicy::Revert;
    assert_eq!(conflicts(&wants, &[&left]), both("left"));
}

#[test]
fn a_policy_that_is_being_deleted_wants_nothing_but_holds_what_it_had() {
    let wants = policy("wants", NEW);
    let mut going = holding(policy("going", OLD), "Compliant", "Enforced");
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    assert_eq!(conflicts(&wants, &[&going]), both("going"));
    assert_eq!(conflicts(&going, &[&wants]), []);
    going.status = None;
    assert_eq!(conflicts(&wants, &[&going]), []);
}

#[test]
fn the_same_role_name_in_another_account_is_another_role() {
    let mut other = policy("other", OLD);
    other.spec.account.id = "999999999999".to_owned();
    other.spec.buckets.clear();
    assert_eq!(conflicts(&policy("a", NEW), &[&other]), []);
}

#[test]
fn a_bucket_that_a_selector_found_is_claimed_like_one_that_the_spec_shown() {
    let data = [BucketName::new("data").unwrap()];
    let selecting = |name: &str, created: &str, enforce: bool| {
        let mut policy = policy(name, created);
        policy.spec.buckets.clear();
        policy.spec.training_roles.clear();
        if !enforce {
            policy.spec.mode = Mode::Audit;
        }
        Claims::of(&policy, Mode::Enforce).wanting(&data)
    };
    let shown = |conflicts: Conflicts| -> Vec<(String, String)> {
        let text = |(target, holder): (Target, String)| (target.to_string(), holder);
        conflicts.into_iter().map(text).collect()
    };
    let (old, new) = (selecting("old", OLD, true), selecting("new", NEW, true));
    assert_eq!(
        shown(new.conflicts([&old])),
        [("bucket/data".to_owned(), "old".to_owned())]
    );
    assert_eq!(shown(old.conflicts([&new])), []);
    // Found before the other was made, or by somebody who only looks.
    let by_name = Claims::of(&policy("named", NEW), Mode::Enforce);
    assert_eq!(
        shown(by_name.conflicts([&old])),
        [("bucket/data".to_owned(), "old".to_owned())]
    );
    assert_eq!(shown(by_name.conflicts([&selecting("audit", OLD, false)])), []);
    assert_eq!(shown(selecting("audit", NEW, false).conflicts([&old])), []);
}
