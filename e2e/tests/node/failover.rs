//! The leader's pod dies or is moved: another takes over, under the chart's own rights and network policy.

use std::time::{Duration, Instant};

use aidp_e2e::proxy::{Call, not_made_once};
use aidp_e2e::view::PolicyView;
use aidp_e2e::wait::eventually;
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::stage::{NAMESPACE, PATIENCE, Stage, on_stage, policy};

/// What users are promised: after a kill, and after a pod was deleted (its SIGTERM included).
const AFTER_KILL: Duration = Duration::from_secs(15);
const AFTER_DELETION: Duration = Duration::from_secs(5);
/// The request budget of S3 lets 50 calls a second through, and this takes some 3,000.
const STORM: Duration = Duration::from_mins(3);

const WRITES: [&str; 3] = [
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutPublicAccessBlock",
];

fn measured(what: &str, took: Duration, bound: Duration) {
    eprintln!("measured: {:.1} s {what}", took.as_secs_f64());
    assert!(took <= bound, "{what}: {took:?}, more than {bound:?}");
}

async fn until_writes(stage: &Stage, mark: u64, writes: usize) -> Result<()> {
    eventually(PATIENCE, &format!("{writes} writes"), || async {
        let seen = stage
            .proxy
            .calls_since(mark)
            .iter()
            .filter(|call| call.took_effect())
            .count();
        if seen >= writes { Ok(()) } else { Err(format!("{seen}")) }
    })
    .await
}

/// Deletes a pod and waits for the one that replaces it.
fn replace_pod(stage: &Stage, pod: &str) -> Result<()> {
    stage.kubectl(&["delete", "pod", pod, "-n", NAMESPACE, "--timeout=60s"])?;
    let rollout = ["rollout", "status", "deployment/aidp", "-n", NAMESPACE, "--timeout=90s"];
    stage.kubectl(&rollout).map(drop)
}

#[test]
fn a_leader_pod_killed_in_a_storm_of_100_policies_loses_no_write_and_none_is_made_twice() {
    on_stage(async |stage| {
        let buckets: Vec<String> = (0..100).map(|n| format!("storm-{n:02}")).collect();
        for bucket in &buckets {
            stage.aws.create_bucket(bucket).await?;
        }
        let policies: Vec<Value> = buckets
            .iter()
            .map(|bucket| {
                let controls = json!({"encryption": {"algorithm": "SSE-S3"}, "transport": {}, "publicAccess": {}, "versioning": {}});
                policy(bucket, json!({"bucketControls": controls, "buckets": [{"name": bucket}]}))
            })
            .collect();
        let leader = stage.leader()?;
        let mark = stage.proxy.mark();
        stage.apply(&policies)?;
        until_writes(stage, mark, 100).await?;
        stage.kill_container(&leader.pod)?;
        let killed = Instant::now();
        stage.until_leader_is_not(&leader).await?;
        measured(
            "until another process leads after the leader was killed",
            killed.elapsed(),
            AFTER_KILL,
        );
        eventually(STORM, "all 100 policies are enforced", || async {
            let list: Value = serde_json::from_str(&stage.kubectl(&["get", "adpp", "-o=json"])?)?;
            let policies = list["items"]
                .as_array()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .map(PolicyView);
            let enforced = policies
                .filter(|p| buckets.iter().any(|bucket| p.0["metadata"]["name"] == **bucket))
                .filter(|p| p.current() && p.row() == "True - - False Enforced")
                .count();
            if enforced == 100 {
                Ok(())
            } else {
                Err(Error::from(format!("{enforced} are")))
            }
        })
        .await?;
        measured(
            "until 100 policies are enforced after the leader was killed",
            killed.elapsed(),
            STORM,
        );
        let expected = buckets
            .iter()
            .flat_map(|bucket| WRITES.map(|write| format!("{write} {bucket}")));
        let calls: Vec<Call> = stage.proxy.calls_since(mark);
        let calls: Vec<Call> = calls
            .into_iter()
            .filter(|call| call.operation.resource.as_ref().is_some_and(|r| buckets.contains(r)))
            .collect();
        // Cleared away first: the tests that follow have the same stage.
        let mut names = vec!["delete", "adpp", "--timeout=60s"];
        names.extend(buckets.iter().map(String::as_str));
        stage.kubectl(&names)?;
        replace_pod(stage, &leader.pod)?;
        assert_eq!(not_made_once(&calls, expected), Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_leader_pod_that_is_deleted_hands_over_at_once() {
    on_stage(async |stage| {
        let leader = stage.leader()?;
        stage.kubectl(&["delete", "pod", &leader.pod, "-n", NAMESPACE, "--wait=false"])?;
        let took = stage.until_leader_is_not(&leader).await?;
        measured(
            "until another pod leads after the leader's was deleted",
            took,
            AFTER_DELETION,
        );
        let rollout = ["rollout", "status", "deployment/aidp", "-n", NAMESPACE, "--timeout=90s"];
        stage.kubectl(&rollout).map(drop)
    });
}
