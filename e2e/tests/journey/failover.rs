//! Two replicas, and what happens to the one that leads: killed, stopped, paused, robbed of its Lease. No write is lost,
//! none is made twice, none is made by a replica that does not lead; and how long it takes until somebody leads again.

use std::time::{Duration, Instant};

use aidp_e2e::operator::{Operator, Settings};
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::view::PolicyView;
use aidp_e2e::wait::{eventually, throughout};
use aidp_e2e::world::{PATIENCE, World, journey};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::common::{ENFORCED, buckets_policy, quick};

/// Access keys of the two replicas.
const FIRST: &str = "AKIAOPERATORFIRST000";
const SECOND: &str = "AKIAOPERATORSECOND00";

/// The lease duration that users get, and what they are promised about it.
const LEASE: &str = "10s";
const AFTER_KILL: Duration = Duration::from_secs(15);
const AFTER_STOP: Duration = Duration::from_secs(2);
/// 100 policies make some 3,000 calls, of which the budget of S3 lets 50 a second through.
const STORM: Duration = Duration::from_mins(2);

fn replica(access_key: &'static str, settings: Settings) -> Settings {
    Settings { access_key, ..settings }
}

/// Two replicas, the first of which leads.
async fn replicas(world: &World, settings: &Settings) -> Result<(Operator, Operator)> {
    let first = world.operator("first", &replica(FIRST, settings.clone())).await?;
    first.until_leads(true).await?;
    let second = world.operator("second", &replica(SECOND, settings.clone())).await?;
    assert!(!second.leads().await?, "one leads, the other waits");
    Ok((first, second))
}

/// Writes of one replica since a mark, whatever became of them.
fn writes_by(world: &World, access_key: &str, mark: u64) -> Vec<String> {
    let calls = world.proxy.calls_since(mark);
    let writes = calls
        .iter()
        .filter(|call| call.operation.write && call.is_by(access_key));
    writes
        .map(|call| format!("{} {}", call.name(), call.operation.resource.as_deref().unwrap_or("-")))
        .collect()
}

/// The writes that bring a bare bucket of the emulator into line (it has SSE-S3 from the start, as AWS's have).
const WRITES: [&str; 3] = [
    "s3:PutBucketPolicy",
    "s3:PutBucketVersioning",
    "s3:PutPublicAccessBlock",
];

/// What was lost, repeated or unexpected while these buckets were brought into line.
fn not_made_once(world: &World, buckets: &[String]) -> Vec<String> {
    let expected = buckets
        .iter()
        .flat_map(|bucket| WRITES.map(|write| format!("{write} {bucket}")));
    aidp_e2e::proxy::not_made_once(&world.proxy.calls(), expected)
}

/// Waits until a write of this replica has arrived at AWS.
async fn until_writing(world: &World, access_key: &str, writes: usize) -> Result<()> {
    eventually(PATIENCE, &format!("{writes} writes of {access_key}"), || async {
        let seen = writes_by(world, access_key, 0).len();
        if seen >= writes { Ok(()) } else { Err(format!("{seen}")) }
    })
    .await
}

#[test]
fn a_leader_killed_in_a_storm_of_100_policies_loses_no_write_and_none_is_made_twice() {
    journey(async |world| {
        let buckets: Vec<String> = (0..100).map(|n| format!("storm-{n:02}")).collect();
        for bucket in &buckets {
            world.aws.create_bucket(bucket).await?;
        }
        let settings = Settings {
            lease_duration: LEASE,
            ..Settings::default()
        };
        let (mut first, second) = replicas(world, &settings).await?;
        let policies: Vec<Value> = buckets.iter().map(|bucket| buckets_policy(bucket, &[bucket])).collect();
        world.apply(&json!({"apiVersion": "v1", "kind": "List", "items": policies}))?;
        until_writing(world, FIRST, 100).await?;
        first.kill().await?;
        let killed = Instant::now();
        let mark = world.proxy.mark();

        second.until_leads(true).await?;
        world.measured(
            "until another replica leads after the leader was killed",
            killed.elapsed(),
            AFTER_KILL,
        )?;
        eventually(STORM, "all 100 policies are enforced", || async {
            let list: Value = serde_json::from_str(&world.plane.kubectl(&["get", "adpp", "-o=json"])?)?;
            let policies = list["items"]
                .as_array()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .map(PolicyView);
            let open = policies
                .filter(|policy| !policy.current() || policy.row() != ENFORCED)
                .count();
            if open == 0 {
                Ok(())
            } else {
                Err(Error::from(format!("{open} are not")))
            }
        })
        .await?;
        world.measured(
            "until 100 policies are enforced after the leader was killed at the 100th of 300 writes",
            killed.elapsed(),
            STORM,
        )?;
        assert_eq!(not_made_once(world, &buckets), Vec::<String>::new());
        assert_eq!(
            writes_by(world, FIRST, mark),
            Vec::<String>::new(),
            "the dead write nothing"
        );
        let calls = world.proxy.calls();
        let early = calls
            .iter()
            .filter(|call| call.seq < mark && call.is_by(SECOND))
            .count();
        assert_eq!(early, 0, "a replica that waits asks AWS nothing");
        Ok(())
    });
}

#[test]
fn a_leader_asked_to_stop_ends_its_write_begins_no_other_and_hands_over_within_two_seconds() {
    journey(async |world| {
        world.aws.create_bucket("handed").await?;
        let settings = Settings {
            lease_duration: LEASE,
            ..Settings::default()
        };
        let (mut first, second) = replicas(world, &settings).await?;
        let write = Filter {
            write: Some(true),
            ..Filter::any()
        };
        world.proxy.inject(Fault::times(1, write, Act::Delay { millis: 4_000 }));
        world.apply(&buckets_policy("handed", &["handed"]))?;
        until_writing(world, FIRST, 1).await?;
        first.signal("TERM").await?;
        let mark = world.proxy.mark();
        // The write is under way for four seconds: long enough to see that nobody is sent here any more.
        eventually(PATIENCE, "readiness fails before the end", || async {
            match first.get("/readyz").await? {
                (503, body) if body.contains("running: stopping") => Ok(()),
                (status, body) => Err(Error::from(format!("{status} {body}"))),
            }
        })
        .await?;
        let status = first.wait(PATIENCE).await?;
        let stopped = Instant::now();
        assert_eq!(status.code(), Some(0));
        second.until_leads(true).await?;
        world.measured(
            "until another replica leads after a clean stop",
            stopped.elapsed(),
            AFTER_STOP,
        )?;
        world.until_row("handed", ENFORCED).await?;
        assert_eq!(writes_by(world, FIRST, mark), Vec::<String>::new());
        assert_eq!(not_made_once(world, &["handed".to_owned()]), Vec::<String>::new());
        Ok(())
    });
}

/// A process can be stopped for any time between two instructions (a frozen container, a starved node), and go on as if
/// nothing had happened.
#[test]
fn a_leader_that_was_frozen_writes_nothing_once_another_leads() {
    journey(async |world| {
        world.aws.create_bucket("frozen").await?;
        let (mut first, second) = replicas(world, &Settings::default()).await?;
        let write = Filter {
            write: Some(true),
            ..Filter::any()
        };
        world.proxy.inject(Fault::always(write, Act::Delay { millis: 500 }));
        world.apply(&buckets_policy("frozen", &["frozen"]))?;
        // In the middle of its writes: three more are to follow.
        until_writing(world, FIRST, 1).await?;
        first.signal("STOP").await?;
        let frozen = Instant::now();
        let mark = world.proxy.mark();
        second.until_leads(true).await?;
        world.measured(
            "until another replica leads after the leader froze (Lease of 3 s)",
            frozen.elapsed(),
            Duration::from_secs(6),
        )?;
        first.signal("CONT").await?;
        first.until_leads(false).await?;
        world.until_row("frozen", ENFORCED).await?;
        assert_eq!(writes_by(world, FIRST, mark), Vec::<String>::new());
        assert_eq!(not_made_once(world, &["frozen".to_owned()]), Vec::<String>::new());
        assert!(first.running());
        assert!(second.leads().await?);
        Ok(())
    });
}

#[test]
fn a_stolen_lease_stops_all_writes_and_is_taken_back_when_the_thief_falls_silent() {
    journey(async |world| {
        world.aws.create_bucket("loot").await?;
        let (first, second) = replicas(world, &quick()).await?;
        world.apply(&buckets_policy("loot", &["loot"]))?;
        world.until_row("loot", ENFORCED).await?;
        let theft = json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 8}}).to_string();
        world.plane.kubectl(&[
            "patch",
            "lease",
            "aidp",
            "-n",
            "aidp-system",
            "--type=merge",
            "-p",
            &theft,
        ])?;
        let stolen = Instant::now();
        first.until_leads(false).await?;
        world.measured(
            "until a leader knows that its Lease was stolen (Lease of 3 s)",
            stolen.elapsed(),
            Duration::from_secs(4),
        )?;

        let mark = world.proxy.mark();
        world.aws.suspend_versioning("loot").await?;
        throughout(Duration::from_secs(5), "nobody leads, nobody writes", || async {
            let writes = [writes_by(world, FIRST, mark), writes_by(world, SECOND, mark)].concat();
            if writes.is_empty() {
                Ok(())
            } else {
                Err(writes.join(", "))
            }
        })
        .await?;
        eventually(PATIENCE, "somebody leads", || async {
            let leaders = [first.leads().await?, second.leads().await?];
            if leaders.contains(&true) {
                Ok(())
            } else {
                Err(Error::from("nobody"))
            }
        })
        .await?;
        world.measured(
            "until somebody leads again after a thief took the Lease for 8 s",
            stolen.elapsed(),
            Duration::from_secs(12),
        )?;
        eventually(PATIENCE, "versioning is enabled again", || async {
            match world.aws.bucket("loot").await?.versioning.as_deref() {
                Some("Enabled") => Ok(()),
                other => Err(Error::from(format!("{other:?}"))),
            }
        })
        .await?;
        world.until_row("loot", ENFORCED).await?;
        Ok(())
    });
}
