//! The annotations that are for humans: they do what they say, and no more.

use std::time::{Duration, Instant};

use aidp_e2e::operator::Settings;
use aidp_e2e::proxy::Call;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use aidp_e2e::{Error, Result};
use serde_json::json;

use crate::common::{ENFORCED, buckets_policy};

fn annotate(world: &World, name: &str, annotation: &str) -> Result<()> {
    world
        .plane
        .kubectl(&["annotate", "adpp", name, "--overwrite", annotation])
        .map(drop)
}

async fn until_versioned(world: &World, bucket: &str) -> Result<()> {
    eventually(PATIENCE, &format!("{bucket} is versioned"), || async {
        match world.aws.bucket(bucket).await?.versioning.as_deref() {
            Some("Enabled") => Ok(()),
            other => Err(Error::from(format!("{other:?}"))),
        }
    })
    .await
}

/// A suspension that somebody set for years and forgot must not switch protection off for years.
#[test]
fn a_suspension_by_annotation_ends_with_the_cap_though_the_annotation_stays() {
    journey(async |world| {
        world.aws.create_bucket("forgot-data").await?;
        let settings = Settings {
            arguments: vec!["--max-interval", "2s", "--max-suspension", "12s"],
            ..Settings::default()
        };
        let mut operator = world.operator("operator", &settings).await?;
        world.apply(&buckets_policy("forgot", &["forgot-data"]))?;
        world.until_row("forgot", ENFORCED).await?;
        let annotated = jiff::Timestamp::now();
        annotate(world, "forgot", "aidp.dev/suspend-until=2099-01-01T00:00:00Z")?;
        world.until_row("forgot", "True - - False Suspended").await?;
        let mark = world.proxy.mark();
        world.aws.suspend_versioning("forgot-data").await?;
        world.until_row("forgot", "True - - True Suspended").await?;
        until_versioned(world, "forgot-data").await?;
        world.until_row("forgot", ENFORCED).await?;
        let calls = world.proxy.calls_since(mark);
        let writes: Vec<&Call> = calls.iter().filter(|call| call.operation.write).collect();
        assert_eq!(writes.len(), 1);
        // Kubernetes counts in whole seconds.
        let suspended = writes[0].time.duration_since(annotated);
        assert!(suspended >= jiff::SignedDuration::from_secs(11), "{suspended:?}");

        // What the cap ended does not begin again with the next process.
        operator.kill().await?;
        world.aws.suspend_versioning("forgot-data").await?;
        let _next = world.operator("next", &settings).await?;
        until_versioned(world, "forgot-data").await?;
        world.until_row("forgot", ENFORCED).await?;
        // Whoever sets it again means it.
        annotate(world, "forgot", "aidp.dev/suspend-until=2098-01-01T00:00:00Z")?;
        world.until_row("forgot", "True - - False Suspended").await?;
        Ok(())
    });
}

#[test]
fn a_request_to_look_again_is_acted_on_at_once_and_echoed() {
    journey(async |world| {
        world.aws.create_bucket("ask-data").await?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        let mut policy = buckets_policy("ask", &["ask-data"]);
        // Nothing but the request can bring a pass during this test.
        policy["spec"]["interval"] = json!("1h");
        world.apply(&policy)?;
        world.until_row("ask", ENFORCED).await?;
        let mark = world.proxy.mark();
        world.aws.suspend_versioning("ask-data").await?;
        let asked = Instant::now();
        let seen = world.reconcile("ask").await?;
        until_versioned(world, "ask-data").await?;
        world.measured(
            "until drift is repaired on request",
            asked.elapsed(),
            Duration::from_secs(20),
        )?;
        let echoed = seen.text("/status/lastHandledReconcileAt").to_owned();
        let value = seen.text("/metadata/annotations/aidp.dev~1reconcile-requested-at");
        assert_eq!(echoed, value);
        // Handled once: the same value asks for nothing more.
        world.until_row("ask", ENFORCED).await?;
        let writes = world
            .proxy
            .calls_since(mark)
            .into_iter()
            .filter(Call::took_effect)
            .count();
        assert_eq!(writes, 1);
        Ok(())
    });
}
