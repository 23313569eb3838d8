//! The controller on a fake API server and a fake account.

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use world::{World, spec};

use super::object::Policies;
use super::{ControllerMetrics, Guarded, Lead, note_served};
use crate::api::{AIDataProtectionPolicy, FINALIZER, Mode};
use crate::cluster::fake::{namespace_path, network_policy_path, policy_path};
use crate::cluster::{KubeMetrics, NamespaceSeen, NetworkPolicySeen, PodSeen};
use crate::domain::observed::{CallError, ErrorClass};
use crate::domain::report::ActionResult;
use crate::readiness::{Gate, Readiness};

const NAME: &str = "fraud-model";
/// Seconds of the default interval, a tenth more or less.
const INTERVAL: std::ops::RangeInclusive<u64> = 270..=330;

fn ready(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// A world in which the policy is enforced and at rest.
async fn at_rest(spec: Value) -> World {
    let mut world = World::new();
    world.apply(NAME, spec);
    world.reconcile(NAME).await;
    world.pass(Duration::from_secs(11)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
    world.take_aws_writes();
    world.fake.take_writes();
    world
}

#[tokio::test(start_paused = true)]
async fn a_drift_is_repaired_and_ready_follows_the_next_look() {
    let mut world = World::new();
    world.apply(NAME, spec());
    assert_eq!(
        world.reconcile(NAME).await,
        Some(1),
        "what was written is looked at soon"
    );
    assert_eq!(world.take_aws_writes(), ["PutBucketVersioning bucket/fraud-data"]);
    assert_eq!(world.ready(NAME), ready("False", "Remediating"));
    world.pass(Duration::from_secs(1)).await;
    let pause = world.reconcile(NAME).await.unwrap();
    assert!(INTERVAL.contains(&pause), "{pause}");
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn no_drift_makes_no_write() {
    let mut world = at_rest(spec()).await;
    for _ in 0..5 {
        world.pass(Duration::from_secs(331)).await;
        let pause = world.reconcile(NAME).await.unwrap();
        assert!(INTERVAL.contains(&pause), "{pause}");
    }
    assert_eq!(world.fake.take_writes(), Vec::<String>::new());
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn once_an_hour_the_time_of_verification_is_refreshed() {
    let mut world = at_rest(spec()).await;
    let before = world.status(NAME);
    world.pass(Duration::from_mins(61)).await;
    world.reconcile(NAME).await;
    let after = world.status(NAME);
    assert_eq!(
        world.fake.take_writes(),
        [format!("PATCH {}/status", policy_path(NAME))]
    );
    assert_ne!(before["lastVerifiedTime"], after["lastVerifiedTime"]);
    assert_eq!(before["conditions"], after["conditions"]);
}

#[tokio::test(start_paused = true)]
async fn the_operators_own_status_write_asks_for_no_pass() {
    let mut world = at_rest(spec()).await;
    let reads = world.fake.state().reads;
    let pause = world.reconcile(NAME).await.unwrap();
    assert!(INTERVAL.contains(&pause), "{pause}");
    assert_eq!(world.fake.state().reads, reads);
}

#[tokio::test(start_paused = true)]
async fn an_annotation_asks_for_a_pass_with_fresh_readings_and_is_echoed() {
    let mut world = at_rest(spec()).await;
    world.aws().max_ages.clear();
    world.edit(NAME, |policy| {
        policy["metadata"]["annotations"] = json!({"aidp.dev/reconcile-requested-at": "now"});
    });
    world.reconcile(NAME).await;
    assert_eq!(world.aws().max_ages, [Duration::ZERO]);
    assert_eq!(world.status(NAME)["lastHandledReconcileAt"], "now");
}

#[tokio::test(start_paused = true)]
async fn audit_reports_and_writes_nothing() {
    let mut world = World::new();
    let mut audit = spec();
    audit["mode"] = json!("Audit");
    world.apply(NAME, audit);
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Audited"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_turns_enforce_into_audit() {
    let mut world = World::with(|config| config.max_mode = Mode::Audit);
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Audited"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_policy_is_looked_at_exactly_when_the_suspension_ends() {
    let mut world = World::new();
    let mut suspended = spec();
    // Two minutes from the time of every test.
    suspended["suspension"] = json!({"untilTime": "2026-06-01T12:02:00Z", "reason": "CHG-1"});
    world.apply(NAME, suspended);
    assert_eq!(world.reconcile(NAME).await, Some(120));
    assert_eq!(world.ready(NAME), ready("True", "Suspended"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
    world.pass(Duration::from_mins(2)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes(), ["PutBucketVersioning bucket/fraud-data"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_writes_nothing_at_all() {
    let mut world = World::new();
    world.lose_leadership();
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.fake.take_writes(), Vec::<String>::new());
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_invalid_spec_is_said_and_then_waits_for_an_edit() {
    let mut world = World::new();
    let mut invalid = spec();
    invalid["interval"] = json!("1s");
    world.apply(NAME, invalid);
    assert_eq!(world.reconcile(NAME).await, None);
    assert_eq!(world.ready(NAME), ready("False", "Invalid"));
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("False", "Remediating"));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_decode_is_invalid_and_keeps_its_inventory() {
    let mut world = at_rest(spec()).await;
    let before = world.status(NAME);
    let mut unknown = spec();
    unknown["mode"] = json!("Sometimes");
    world.apply(NAME, unknown);
    assert_eq!(world.reconcile(NAME).await, None);
    assert_eq!(world.ready(NAME), ready("False", "Invalid"));
    assert_eq!(world.status(NAME)["targets"], before["targets"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_asks_for_what_this_version_does_not_know_is_not_called_met() {
    let mut world = at_rest(revert()).await;
    let mut newer = revert();
    newer["bucketControls"]["mfaDelete"] = json!({"mode": "Enforce"});
    world.apply(NAME, newer);
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("False", "Invalid"));
    assert!(
        world.status(NAME)["conditions"]
            .to_string()
            .contains("spec.bucketControls.mfaDelete")
    );
    world.edit(NAME, delete);
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!([]), "it may go all the same");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_decode_stops_no_other() {
    let mut world = World::new();
    world.apply("broken", json!({"mode": "Sometimes"}));
    world.apply(NAME, spec());
    world.reconcile("broken").await;
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes(), ["PutBucketVersioning bucket/fraud-data"]);
}

#[tokio::test(start_paused = true)]
async fn without_inventory_nothing_is_written() {
    let mut world = World::new();
    world.apply(NAME, spec());
    world.fake.fail(|method, path, body| {
        let inventory = !body["status"]["targets"].is_null();
        (*method == http::Method::PATCH && path.ends_with("/status") && inventory).then_some((
            500,
            "InternalError",
            "etcdserver: request is too large",
        ))
    });
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_too_large_goes_without_findings_and_history_but_with_inventory() {
    let mut world = World::new();
    world.apply(NAME, spec());
    world.fake.fail(|_, path, body| {
        let full = !body["status"]["history"].is_null() || !body["status"]["findings"].is_null();
        (path.ends_with("/status") && full).then_some((500, "InternalError", "etcdserver: request is too large"))
    });
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("False", "ObjectTooLarge"));
    assert_eq!(world.status(NAME)["targets"]["buckets"][0]["name"], "fraud-data");
    assert_eq!(world.status(NAME)["findings"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn the_api_servers_failures_are_met_with_growing_pauses() {
    let mut world = at_rest(spec()).await;
    world.pass(Duration::from_mins(6)).await;
    world.fake.fail(|_, _, _| Some((503, "ServiceUnavailable", "down")));
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let pause = world.reconcile(NAME).await.unwrap();
        pauses.push(pause);
        world.pass(Duration::from_secs(pause + 1)).await;
    }
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!((270..=330).contains(&pauses[9]), "{pauses:?}");
    world.fake.heal();
    let pause = world.reconcile(NAME).await.unwrap();
    assert!(INTERVAL.contains(&pause), "{pause}");
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_changes_nothing_until_the_last_look_is_too_old() {
    let mut world = at_rest(spec()).await;
    world.aws().fault = Some(ErrorClass::Transient);
    world.pass(Duration::from_secs(331)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
    assert_eq!(world.fake.take_writes(), Vec::<String>::new());
    world.pass(Duration::from_mins(5)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("Unknown", "ObservationFailed"));
    world.aws().fault = None;
    world.pass(Duration::from_mins(6)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
}

#[tokio::test(start_paused = true)]
async fn in_the_wrong_account_nothing_happens() {
    let mut world = World::new();
    world.aws().account = Some("999999999999");
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("False", "WrongAccount"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_show_is_repeated_once_an_interval() {
    let mut world = World::new();
    world.aws().write_result = Some(ActionResult::NotObserved);
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("False", "WriteNotObserved"));
    assert_eq!(world.take_aws_writes().len(), 1);
    world.edit(NAME, |policy| {
        policy["metadata"]["annotations"] = json!({"aidp.dev/reconcile-requested-at": "again"});
    });
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
    assert_eq!(world.ready(NAME), ready("False", "WriteNotObserved"));
    for again in ["twice", "thrice"] {
        world.pass(Duration::from_secs(331)).await;
        world.reconcile(NAME).await;
        assert_eq!(world.take_aws_writes().len(), 1);
        world.edit(NAME, |policy| {
            policy["metadata"]["annotations"] = json!({"aidp.dev/reconcile-requested-at": again});
        });
        world.reconcile(NAME).await;
        assert_eq!(world.take_aws_writes(), Vec::<String>::new(), "{again}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_remembered_though_it_cannot_be_reported() {
    let mut world = World::new();
    world.aws().write_result = Some(ActionResult::NotObserved);
    world.apply(NAME, spec());
    // The inventory is written; the report after the write is not.
    world.fake.fail(|_, path, body| {
        let reports = path.ends_with("/status") && body["status"].to_string().contains("WriteNotObserved");
        reports.then_some((500, "InternalError", "no"))
    });
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes().len(), 1);
    world.pass(Duration::from_secs(2)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_drift_that_the_object_cannot_tell_is_told_by_the_metrics() {
    let mut world = at_rest(spec()).await;
    let ready = |world: &World| world.series("policy_ready").unwrap();
    assert!(ready(&world).ends_with(" 1"));
    world.aws().enabled.clear();
    world.aws().write_result = Some(ActionResult::NotObserved);
    world
        .fake
        .fail(|_, path, _| path.ends_with("/status").then_some((403, "Forbidden", "no")));
    world.pass(Duration::from_secs(331)).await;
    world.reconcile(NAME).await;
    assert!(ready(&world).ends_with(" 0"), "{}", ready(&world));
}

#[tokio::test(start_paused = true)]
async fn a_status_is_not_written_on_another_object_of_the_same_name() {
    let mut world = World::new();
    world.apply(NAME, spec());
    let fake = world.fake.clone();
    // Deleted and made anew while AWS is written to.
    world.aws().on_write = Some(Box::new(move || {
        let path = policy_path(NAME);
        let mut policy = fake.get(&path).unwrap();
        policy["metadata"]["uid"] = json!("another");
        policy["status"] = json!({"observedGeneration": -1});
        fake.put(&path, policy);
    }));
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes().len(), 1);
    assert_eq!(world.status(NAME), json!({"observedGeneration": -1}));
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_though_the_object_was_annotated_meanwhile() {
    let mut world = World::new();
    world.apply(NAME, spec());
    let fake = world.fake.clone();
    world.aws().on_write = Some(Box::new(move || {
        let path = policy_path(NAME);
        let mut policy = fake.get(&path).unwrap();
        policy["metadata"]["annotations"] = json!({"example.com/note": "x"});
        fake.put(&path, policy);
    }));
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("False", "Remediating"));
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_written_once_the_policy_was_suspended_edited_or_deleted() {
    let suspend = |policy: &mut Value| {
        policy["metadata"]["annotations"] = json!({"aidp.dev/suspend-until": "2027-01-01T00:00:00Z"});
    };
    let edit = |policy: &mut Value| policy["metadata"]["generation"] = json!(7);
    for change in [suspend as fn(&mut Value), edit, delete] {
        let mut world = World::new();
        let mut two = spec();
        // Of one target, so that they follow each other.
        two["bucketControls"] = json!({"versioning": {}, "transport": {}});
        world.apply(NAME, two);
        let shown = world.shows(NAME, change);
        world.aws().on_write = Some(shown);
        world.reconcile(NAME).await;
        assert_eq!(world.take_aws_writes().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_writes_are_refused_does_not_keep_others_from_their_turn() {
    let mut world = World::new();
    let mut narrow = spec();
    narrow["limits"] = json!({"maxWritesPerReconcile": 1});
    narrow["buckets"] = json!([{"name": "fraud-a"}, {"name": "fraud-b"}, {"name": "fraud-c"}]);
    world.aws().write_result = Some(ActionResult::Failed(CallError {
        operation: "PutBucketVersioning",
        class: ErrorClass::AccessDenied,
        code: None,
        message: "no".to_owned(),
    }));
    world.apply(NAME, narrow);
    let mut tried = Vec::new();
    for _ in 0..4 {
        world.reconcile(NAME).await;
        tried.extend(world.take_aws_writes());
        world.pass(Duration::from_secs(331)).await;
    }
    let of = |bucket: &str| format!("PutBucketVersioning bucket/{bucket}");
    assert_eq!(tried, [of("fraud-a"), of("fraud-b"), of("fraud-c"), of("fraud-a")]);
}

/// A policy about one role; its bucket asks for nothing.
fn role_spec() -> Value {
    json!({
        "mode": "Enforce",
        "account": {"id": "123456789012", "region": "eu-west-1"},
        "bucketControls": {"versioning": {"mode": "Ignore"}},
        "buckets": [{"name": "fraud-data"}],
        "trainingRoles": [{
            "name": "fraud-trainer", "workloadIdentity": "IRSA",
            "serviceAccounts": [{"namespace": "ml", "name": "trainer"}],
        }],
    })
}

fn world_with_roles() -> World {
    World::with(|config| {
        config.oidc_provider_arn = Some("arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/ABCD".to_owned());
    })
}

/// The writes to roles since the last call.
fn role_writes(world: &World) -> Vec<String> {
    let mut writes = world.take_aws_writes();
    writes.retain(|w| w.contains("role/"));
    writes
}

#[tokio::test(start_paused = true)]
async fn a_role_that_iam_does_not_show_yet_is_neither_drift_nor_made_twice() {
    let mut world = world_with_roles();
    world.aws().lagging_roles = Some(BTreeMap::new());
    world.apply(NAME, role_spec());
    world.reconcile(NAME).await;
    assert_eq!(
        role_writes(&world),
        ["CreateRole role/fraud-trainer", "PutRolePolicy role/fraud-trainer"]
    );
    let history = world.status(NAME)["history"].clone();
    for (seconds, longest) in [(1, 59), (8, 51), (46, 5)] {
        world.pass(Duration::from_secs(seconds)).await;
        let pause = world.reconcile(NAME).await.unwrap();
        assert!(pause <= longest, "looked at again when the minute is over: {pause}");
        assert_eq!(role_writes(&world), Vec::<String>::new());
        assert_eq!(world.status(NAME)["history"], history, "one drift, repaired once");
    }
    // The role shows before what hangs on it.
    let mut bare = world.aws().roles.clone();
    for role in bare.values_mut() {
        role.inline_policies.clear();
    }
    world.aws().lagging_roles = Some(bare);
    world.reconcile(NAME).await;
    assert_eq!(role_writes(&world), Vec::<String>::new());
    assert_eq!(world.status(NAME)["history"], history);

    world.aws().lagging_roles = None;
    world.pass(Duration::from_mins(5)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn after_a_minute_what_iam_shows_is_what_is_there() {
    let mut world = world_with_roles();
    world.apply(NAME, role_spec());
    world.reconcile(NAME).await;
    world.pass(Duration::from_secs(11)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
    role_writes(&world);
    world.aws().roles.clear();
    world.pass(Duration::from_secs(61)).await;
    world.edit(NAME, |policy| {
        policy["metadata"]["annotations"] = json!({"aidp.dev/reconcile-requested-at": "now"});
    });
    world.reconcile(NAME).await;
    assert_eq!(
        role_writes(&world),
        ["CreateRole role/fraud-trainer", "PutRolePolicy role/fraud-trainer"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_does_to_a_role_within_the_minute_is_undone_at_once() {
    let mut world = world_with_roles();
    world.apply(NAME, role_spec());
    world.reconcile(NAME).await;
    role_writes(&world);
    for role in world.aws().roles.values_mut() {
        let wide = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        role.inline_policies.insert("aidp-readonly".to_owned(), wide.to_owned());
    }
    world.pass(Duration::from_secs(2)).await;
    world.reconcile(NAME).await;
    assert_eq!(role_writes(&world), ["PutRolePolicy role/fraud-trainer"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_holds_no_write_up() {
    let mut world = World::new();
    world.aws().write_result = Some(ActionResult::NotObserved);
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes().len(), 1);
    world.set_back(Duration::from_hours(24));
    world.pass(Duration::from_secs(331)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes().len(), 1, "once an interval, whatever the day");
}

#[tokio::test(start_paused = true)]
async fn whoever_reverts_a_repair_for_the_third_time_is_named_and_slowed_but_not_given_way() {
    let mut world = at_rest(spec()).await;
    let mut tamper = 0;
    let mut repairs = 0;
    // The first repair was the convergence; the second is free too.
    for _ in 0..3 {
        world.aws().enabled.clear();
        tamper += 1;
        let request = format!("{tamper}");
        world.edit(NAME, |policy| {
            policy["metadata"]["annotations"] = json!({"aidp.dev/reconcile-requested-at": request});
        });
        world.reconcile(NAME).await;
        repairs += world.take_aws_writes().len();
        world.pass(Duration::from_secs(15)).await;
    }
    assert_eq!(repairs, 1, "the second at once, the third waits");
    assert_eq!(world.ready(NAME), ready("False", "ConflictingWriter"));
    for _ in 0..20 {
        let pause = world.reconcile(NAME).await.unwrap();
        world.pass(Duration::from_secs(pause.clamp(1, 60))).await;
        repairs += world.take_aws_writes().len();
    }
    assert!(repairs >= 2, "protection is never given up");
}

#[tokio::test(start_paused = true)]
async fn under_retain_there_is_no_finalizer() {
    let world = at_rest(spec()).await;
    assert_eq!(world.finalizers(NAME), Value::Null);
}

fn revert() -> Value {
    let mut revert = spec();
    revert["deletionPolicy"] = json!("Revert");
    revert
}

#[tokio::test(start_paused = true)]
async fn under_revert_the_finalizer_comes_before_the_first_write() {
    let mut world = World::new();
    world.apply(NAME, revert());
    world.fake.fail(|_, path, body| {
        let finalizer = !body["metadata"]["finalizers"].is_null();
        (!path.ends_with("/status") && finalizer).then_some((500, "InternalError", "no"))
    });
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
    world.fake.heal();
    world.pass(Duration::from_secs(2)).await;
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!([FINALIZER]));
    assert_eq!(world.take_aws_writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_is_waited_for_no_longer_than_the_lease_lasts() {
    let mute = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, std::convert::Infallible>>()
    });
    let metrics = KubeMetrics::register(&mut Registry::default());
    let policies = Policies::new(kube::Client::new(mute, "default"), metrics);
    let object: AIDataProtectionPolicy = serde_json::from_value(json!({
        "apiVersion": "aidp.dev/v1alpha1", "kind": "AIDataProtectionPolicy",
        "metadata": {"name": NAME, "resourceVersion": "1"}, "spec": spec(),
    }))
    .unwrap();
    let left = Duration::from_secs(2);
    let started = tokio::time::Instant::now();
    assert!(policies.add_finalizer(&object, left).await.is_err());
    assert!(policies.remove_finalizer(&object, left).await.is_err());
    assert!(
        started.elapsed() <= 2 * left + Duration::from_millis(10),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_finalizer_stays() {
    let mut world = World::new();
    world.apply(NAME, revert());
    world.edit(NAME, |policy| {
        policy["metadata"]["finalizers"] = json!(["example.com/other"]);
    });
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!(["example.com/other", FINALIZER]));
    world.apply(NAME, spec());
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!(["example.com/other"]));
}

fn delete(policy: &mut Value) {
    policy["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_policy_goes_once_nothing_of_ours_is_left_even_while_suspended() {
    let mut suspended = revert();
    suspended["suspension"] = json!({"untilTime": "2026-06-02T12:00:00Z", "reason": "CHG-1"});
    let mut world = at_rest(revert()).await;
    world.apply(NAME, suspended);
    world.edit(NAME, delete);
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!([]));
}

#[tokio::test(start_paused = true)]
async fn of_a_policy_that_goes_while_it_is_reconciled_nothing_is_left() {
    let mut world = World::new();
    world.apply(NAME, spec());
    world.aws().write_result = Some(ActionResult::NotObserved);
    let deletes = world.deletes(NAME);
    world.aws().on_write = Some(deletes);
    world.reconcile(NAME).await;
    assert_eq!(world.take_aws_writes().len(), 1);
    let series = ["findings", "policy_ready", "policy_drifted", "policy_stalled"].map(|name| world.series(name));
    assert_eq!(series, [const { None }; 4]);
    assert!(world.ctx.memories().is_empty() && world.ctx.notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_cannot_go_on_says_so_once_and_goes_on_when_it_can() {
    let mut world = at_rest(revert()).await;
    world.aws().fault = Some(ErrorClass::Credentials);
    world.edit(NAME, delete);
    for _ in 0..3 {
        world.reconcile(NAME).await;
        world.pass(Duration::from_mins(6)).await;
    }
    let stalled = |world: &World| {
        let events = world.fake.state().events.clone();
        events.iter().filter(|reason| *reason == "RevertStalled").count()
    };
    assert_eq!((stalled(&world), world.finalizers(NAME)), (1, json!([FINALIZER])));
    world.aws().fault = None;
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!([]));
}

#[tokio::test(start_paused = true)]
async fn in_audit_a_deletion_takes_nothing_back() {
    let mut world = at_rest(revert()).await;
    let mut audit = revert();
    audit["mode"] = json!("Audit");
    world.apply(NAME, audit);
    world.edit(NAME, delete);
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!([]));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_is_invalid_by_now_does_not_hold_the_deletion_up() {
    let mut world = at_rest(revert()).await;
    let mut invalid = revert();
    invalid["interval"] = json!("1s");
    world.apply(NAME, invalid);
    world.edit(NAME, delete);
    world.reconcile(NAME).await;
    assert_eq!(world.finalizers(NAME), json!([]));
}

#[tokio::test(start_paused = true)]
async fn of_two_policies_one_claims_and_the_other_follows_as_soon_as_it_goes() {
    let mut world = at_rest(spec()).await;
    world.apply("younger", spec());
    world.aws().enabled.clear();
    world.reconcile("younger").await;
    assert_eq!(world.ready("younger"), ready("False", "Conflict"));
    assert_eq!(world.take_aws_writes(), Vec::<String>::new());
    assert_eq!(world.ctx.claims_moved(), []);

    world.fake.state().objects.remove(&policy_path(NAME));
    world.sync();
    let moved: Vec<String> = world.ctx.claims_moved().into_iter().map(|r| r.name).collect();
    assert_eq!(moved, ["younger"]);
    assert_eq!(world.ctx.claims_moved(), [], "once");
    world.reconcile("younger").await;
    assert_eq!(world.take_aws_writes(), ["PutBucketVersioning bucket/fraud-data"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_enforces_after_an_audit_takes_nothing_from_whoever_holds_it() {
    let mut audit = spec();
    audit["mode"] = json!("Audit");
    let mut world = World::new();
    world.apply("older", audit);
    world.reconcile("older").await;
    assert_eq!(world.ready("older"), ready("True", "Audited"));
    world.apply(NAME, spec());
    for _ in 0..2 {
        world.reconcile(NAME).await;
        world.pass(Duration::from_secs(11)).await;
    }
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
    world.apply("older", spec());
    world.reconcile("older").await;
    assert_eq!(world.ready("older"), ready("False", "Conflict"));
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME), ready("True", "Enforced"));
}

/// TLS only, and everything taken back at the end.
fn revert_transport() -> Value {
    let mut spec = revert();
    spec["bucketControls"] = json!({"transport": {}});
    spec
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_goes_or_lets_a_bucket_go_takes_nothing_from_the_one_that_holds_it() {
    for leaves in [delete as fn(&mut Value), |policy: &mut Value| {
        policy["metadata"]["generation"] = json!(2);
        policy["spec"]["buckets"] = json!([{"name": "fraud-other"}]);
    }] {
        let mut world = at_rest(revert_transport()).await;
        world.apply("younger", revert_transport());
        for _ in 0..2 {
            world.reconcile("younger").await;
            assert_eq!(world.ready("younger"), ready("False", "Conflict"));
        }
        world.edit("younger", leaves);
        world.reconcile("younger").await;
        let touched = |write: &String| write.contains("fraud-data");
        assert!(!world.take_aws_writes().iter().any(touched));
    }
}

#[tokio::test(start_paused = true)]
async fn another_object_of_the_same_name_is_another_policy() {
    let mut world = at_rest(spec()).await;
    world.edit(NAME, |policy| {
        policy["metadata"]["uid"] = json!("another");
        policy["status"] = json!({"observedGeneration": -1});
    });
    world.aws().max_ages.clear();
    world.reconcile(NAME).await;
    assert_eq!(world.aws().max_ages, [Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_appears_concerns_the_policies_whose_rules_match_it() {
    let mut world = at_rest(spec()).await;
    let mut egress = spec();
    egress["egress"] = json!([{
        "name": "training", "namespaceSelector": {"matchLabels": {"team": "ml"}},
        "podSelector": {"matchLabels": {"workload": "training"}}, "allow": [{"type": "CIDR", "cidr": "0.0.0.0/0"}],
    }]);
    egress["buckets"] = json!([{"name": "other-data"}]);
    world.apply("egress", egress);
    let seen = |team: &str| NamespaceSeen {
        name: "ml-one".to_owned(),
        labels: [("team".to_owned(), team.to_owned())].into(),
    };
    assert_eq!(world.ctx.namespace_moved(&seen("web")), []);
    let moved: Vec<String> = world
        .ctx
        .namespace_moved(&seen("ml"))
        .into_iter()
        .map(|r| r.name)
        .collect();
    assert_eq!(moved, ["egress"]);
}

fn names(moved: Vec<ObjectRef<Guarded>>) -> Vec<String> {
    moved.into_iter().map(|r| r.name).collect()
}

fn seen_policy(namespace: &str, policy: Option<&str>) -> NetworkPolicySeen {
    NetworkPolicySeen {
        namespace: namespace.to_owned(),
        policy: policy.map(str::to_owned),
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_that_names_no_policy_leads_nowhere() {
    let world = at_rest(spec()).await;
    let moved = |policy| names(world.ctx.network_policy_moved(&seen_policy("ml", Some(policy))));
    assert_eq!(moved("no-such-policy"), Vec::<String>::new());
    assert_eq!(moved(NAME), [NAME]);
}

#[tokio::test(start_paused = true)]
async fn what_moves_in_the_cluster_costs_aws_no_fresh_readings() {
    let mut world = at_rest(spec()).await;
    world.aws().max_ages.clear();
    world.ctx.network_policy_moved(&seen_policy("ml", Some(NAME)));
    world.pass(Duration::from_secs(1)).await;
    let pause = world.reconcile(NAME).await.unwrap();
    assert_eq!(world.aws().max_ages, [Duration::from_mins(1)]);
    assert!((200..330).contains(&pause), "the sweep is not put off: {pause}");
}

/// A policy with an egress rule over `namespaces` namespaces, at rest.
async fn guarding(namespaces: usize) -> World {
    let mut guarded = spec();
    guarded["limits"] = json!({"maxWritesPerReconcile": 1000});
    guarded["egress"] = json!([{
        "name": "training", "namespaceSelector": {"matchLabels": {"team": "ml"}},
        "podSelector": {"matchLabels": {"workload": "training"}}, "allow": [{"type": "CIDR", "cidr": "0.0.0.0/0"}],
    }]);
    let mut world = World::new();
    for n in 0..namespaces {
        let name = format!("ml-{n}");
        let object = json!({"metadata": {"name": name, "uid": name, "labels": {"team": "ml"}}});
        world.fake.put(&namespace_path(&name), object);
    }
    world.apply(NAME, guarded);
    for _ in 0..3 {
        world.reconcile(NAME).await;
        world.pass(Duration::from_secs(2)).await;
    }
    world.reconcile(NAME).await;
    assert_eq!(world.ready(NAME).1, "Enforced");
    world.fake.take_writes();
    world
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_network_policy_is_judged_at_once_and_costs_the_same_whatever_the_clusters_size() {
    let mut costs = Vec::new();
    for namespaces in [2, 60] {
        let mut world = guarding(namespaces).await;
        world.pass(Duration::from_secs(10)).await;
        world.fake.put(
            &network_policy_path("ml-1", "debug"),
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "debug", "namespace": "ml-1", "uid": "uid-of-debug"},
                "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
            }),
        );
        assert_eq!(
            names(world.ctx.network_policy_moved(&seen_policy("ml-1", None))),
            [NAME]
        );
        let reads = world.fake.state().reads;
        world.reconcile(NAME).await;
        costs.push(world.fake.state().reads - reads);
        assert_eq!(world.ready(NAME), ("False".to_owned(), "EgressExceeded".to_owned()));
        let status = world.status(NAME);
        let said: Vec<String> = status["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            said.iter().any(|f| f.contains("NetworkPolicy/debug.spec.egress[0]")),
            "{said:?}"
        );
        assert_eq!(world.fake.take_writes().len(), 1, "the status, and nothing else");
    }
    // The policy itself, and the NetworkPolicies of the one namespace.
    assert_eq!(costs, [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn of_what_happens_to_pods_only_labels_and_their_end_matter_and_only_where_a_rule_looks() {
    let world = guarding(2).await;
    let there = |namespace: &str, version: &str| PodSeen::There {
        namespace: namespace.to_owned(),
        uid: "uid-1".to_owned(),
        labels: [("version".to_owned(), version.to_owned())].into(),
    };
    let gone = |namespace: &str| PodSeen::Gone {
        namespace: namespace.to_owned(),
        uid: "uid-1".to_owned(),
    };
    let moved = |seen: PodSeen| !world.ctx.pod_moved(&seen).is_empty();
    assert!(!moved(there("web", "1")), "no rule looks there");
    assert!(moved(there("ml-1", "1")), "new");
    assert!(!moved(there("ml-1", "1")), "only its status changed");
    assert!(moved(there("ml-1", "2")), "relabelled");
    assert!(moved(gone("ml-1")));
    assert!(!moved(gone("ml-1")), "unknown");
    assert!(moved(there("ml-1", "2")));
    assert!(!moved(PodSeen::Relisted));
    assert!(moved(there("ml-1", "2")), "what happened in between is not known");
}

/// A watch begins anew with `Init`, before the API server is asked anything.
#[test]
fn a_missing_crd_is_told_until_the_api_server_serves_it_or_somebody_else_leads() {
    let missing = || {
        let status = kube::core::Status {
            code: 404,
            ..kube::core::Status::default()
        };
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
    };
    let readiness = Readiness::default();
    readiness.open(Gate::ApiServer);
    readiness.open(Gate::Crd);
    let ready_after = |seen| {
        note_served(&readiness, &seen);
        readiness.check().is_ok()
    };
    let seen = [
        Ok(Event::Init),
        missing(),
        Ok(Event::Init),
        missing(),
        Ok(Event::Init),
        Ok(Event::InitDone),
    ];
    assert_eq!(seen.map(ready_after), [true, false, false, false, false, true]);

    let lead = Lead {
        metrics: ControllerMetrics::register(&mut Registry::default()),
        readiness: readiness.clone(),
    };
    note_served(&readiness, &missing());
    drop(lead);
    assert_eq!(readiness.check(), Ok(()));
}

#[test]
fn only_the_servers_own_words_for_size_count_as_too_large() {
    let error = |code: &str, message: &str| CallError {
        operation: "apply policies/status",
        class: ErrorClass::Transient,
        code: Some(code.to_owned()),
        message: message.to_owned(),
    };
    assert!(super::object::is_too_large(&error(
        "InternalError",
        "etcdserver: request is too large"
    )));
    assert!(super::object::is_too_large(&error(
        "RequestEntityTooLarge",
        "limit is 3145728"
    )));
    assert!(!super::object::is_too_large(&error(
        "InternalError",
        "etcdserver: leader changed"
    )));
}
