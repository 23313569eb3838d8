//! What the operator stands on goes away for longer: the API server, its storage, AWS's patience, the disk for its log.
//! No write without leadership, no end of the process, and a stated time until all is well again.

use std::time::{Duration, Instant};

use aidp_e2e::operator::{Operator, Settings};
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::wait::{eventually, throughout};
use aidp_e2e::world::{PATIENCE, World, journey};
use aidp_e2e::{Error, Result};
use serde_json::json;

use crate::common::{ENFORCED, buckets_policy, patch, quick, whole_policy};

/// Waits until `/readyz` answers with this status and a body that contains `text`.
async fn until_readyz(operator: &Operator, wanted: u16, text: &str) -> Result<()> {
    eventually(PATIENCE, &format!("/readyz says {wanted} {text}"), || async {
        match operator.get("/readyz").await? {
            (status, body) if status == wanted && body.contains(text) => Ok(()),
            (status, body) => Err(Error::from(format!("{status} {body}"))),
        }
    })
    .await
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

#[test]
fn an_api_server_that_hangs_for_a_minute_stops_every_write_and_nothing_else() {
    journey(async |world| {
        if !world.plane.is_ours() {
            return Ok(());
        }
        world.aws.create_bucket("hang-data").await?;
        let mut first = world.operator("first", &quick()).await?;
        let mut second = world.operator("second", &quick()).await?;
        world.apply(&buckets_policy("hang", &["hang-data"]))?;
        world.until_row("hang", ENFORCED).await?;

        world.plane.pause_apiserver()?;
        let hung = Instant::now();
        for replica in [&first, &second] {
            until_readyz(replica, 503, "api-server").await?;
            replica.until_leads(false).await?;
        }
        world.measured(
            "until nobody leads while the API server hangs (Lease of 3 s)",
            hung.elapsed(),
            Duration::from_secs(6),
        )?;
        let mark = world.proxy.mark();
        world.aws.suspend_versioning("hang-data").await?;
        let rest = Duration::from_mins(1).saturating_sub(hung.elapsed());
        throughout(rest, "a minute without API server", || async {
            let writes = world.proxy.writes_since(mark);
            if !writes.is_empty() {
                return Err(Error::from(format!("written: {writes:?}")));
            }
            for replica in [&first, &second] {
                let (status, _) = replica.get("/livez").await?;
                if status != 200 || replica.leads().await? {
                    return Err(Error::from(format!("/livez says {status}, or it leads")));
                }
            }
            Ok(())
        })
        .await?;
        world.plane.resume_apiserver()?;
        let back = Instant::now();
        until_versioned(world, "hang-data").await?;
        world.measured(
            "until drift is repaired after the API server hung for 60 s",
            back.elapsed(),
            Duration::from_secs(45),
        )?;
        world.until_row("hang", ENFORCED).await?;
        for replica in [&first, &second] {
            until_readyz(replica, 200, "").await?;
        }
        assert!(
            first.running() && second.running(),
            "a lost API server is no reason to end"
        );
        Ok(())
    });
}

#[test]
fn an_etcd_that_restarts_costs_the_leadership_and_nothing_else() {
    journey(async |world| {
        if !world.plane.is_ours() {
            return Ok(());
        }
        world.aws.create_bucket("etcd-data").await?;
        let mut operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("etcd", &["etcd-data"]))?;
        world.until_row("etcd", ENFORCED).await?;
        world.plane.stop_etcd()?;
        until_readyz(&operator, 503, "api-server").await?;
        operator.until_leads(false).await?;
        let mark = world.proxy.mark();
        world.aws.suspend_versioning("etcd-data").await?;
        throughout(Duration::from_secs(3), "nobody leads, nobody writes", || async {
            let writes = world.proxy.writes_since(mark);
            if writes.is_empty() {
                Ok(())
            } else {
                Err(writes.join(", "))
            }
        })
        .await?;
        world.plane.start_etcd()?;
        let back = Instant::now();
        until_versioned(world, "etcd-data").await?;
        world.measured(
            "until drift is repaired after etcd came back",
            back.elapsed(),
            Duration::from_secs(30),
        )?;
        // The watch is alive too: a change of the spec is seen.
        patch(world, "etcd", &json!({"mode": "Audit"}))?;
        world.until_row("etcd", "True - - False Audited").await?;
        assert!(operator.running());
        Ok(())
    });
}

#[test]
fn an_aws_that_takes_five_seconds_a_call_is_waited_for_and_costs_no_leadership() {
    journey(async |world| {
        world.aws.create_bucket("slow-data").await?;
        let settings = Settings {
            // As users have it: a write may take as long as the Lease is sure to hold.
            lease_duration: "10s",
            ..Settings::default()
        };
        let operator = world.operator("operator", &settings).await?;
        operator.until_leads(true).await?;
        world
            .proxy
            .inject(Fault::always(Filter::any(), Act::Delay { millis: 5_000 }));
        let mut policy = buckets_policy("slow", &["slow-data"]);
        policy["spec"]["bucketControls"] = json!({"versioning": {}});
        let applied = Instant::now();
        world.apply(&policy)?;
        world.until_row("slow", ENFORCED).await?;
        world.measured(
            "until one bucket with one control is enforced at 5 s a call",
            applied.elapsed(),
            Duration::from_secs(75),
        )?;
        assert_eq!(world.proxy.writes_since(0), ["s3:PutBucketVersioning"]);
        assert!(
            !operator.log()?.contains("No longer leader"),
            "the Lease was renewed all the time"
        );
        Ok(())
    });
}

#[test]
fn a_storm_of_throttling_is_met_with_less_and_less_and_is_over_when_it_is_over() {
    journey(async |world| {
        let names: Vec<String> = (0..10).map(|n| format!("storm{n}")).collect();
        for name in &names {
            world.aws.create_bucket(&format!("{name}-data")).await?;
        }
        let mut operator = world.operator("operator", &quick()).await?;
        // Reads in S3's own words, writes in those of something in between.
        let reads = Filter {
            write: Some(false),
            ..Filter::named("s3")
        };
        let writes = Filter {
            write: Some(true),
            ..Filter::named("s3")
        };
        world.proxy.inject(Fault::always(writes, Act::TooManyRequests));
        for name in &names {
            world.apply(&buckets_policy(name, &[&format!("{name}-data")]))?;
        }
        for name in &names {
            world.until_row(name, "False True - True Remediating").await?;
        }
        world.proxy.inject(Fault::always(reads, Act::Throttle));
        let ten = Duration::from_secs(10);
        let mut calls = Vec::new();
        for _ in 0..2 {
            let mark = world.proxy.mark();
            let span = Instant::now();
            throughout(ten, "the operator runs", || async {
                let (status, _) = operator.get("/livez").await?;
                if status == 200 {
                    Ok(())
                } else {
                    Err(Error::from(format!("{status}")))
                }
            })
            .await?;
            calls.push(f64::from(u32::try_from(world.proxy.calls_since(mark).len())?) / span.elapsed().as_secs_f64());
        }
        eprintln!("calls a second in the storm: {calls:?}");
        assert!(calls[1] < calls[0], "less and less: {calls:?}");
        assert!(calls[0] <= 50.0, "never more than the budget of S3: {calls:?}");
        world.proxy.heal();
        let over = Instant::now();
        for name in &names {
            world.until_row(name, ENFORCED).await?;
        }
        world.measured(
            "until 10 policies are enforced after half a minute of throttling",
            over.elapsed(),
            Duration::from_mins(1),
        )?;
        assert!(operator.running());
        Ok(())
    });
}

#[test]
fn a_full_disk_for_the_log_costs_the_log_and_nothing_else() {
    journey(async |world| {
        let key = crate::common::seed(world, "full").await?;
        let settings = Settings {
            disk_full: true,
            ..quick()
        };
        let mut operator = world.operator("operator", &settings).await?;
        world.apply(&whole_policy("full", &key))?;
        world.until_row("full", ENFORCED).await?;
        world.aws.suspend_versioning("full-data").await?;
        until_versioned(world, "full-data").await?;
        let restarted_by_panic = operator.get("/metrics").await?.1;
        assert!(restarted_by_panic.contains("aidp_leader 1"));
        assert_eq!(operator.stop().await?.code(), Some(0));
        Ok(())
    });
}

#[test]
fn a_missing_crd_is_waited_for_at_start_and_told_when_it_goes() {
    journey(async |world| {
        world.aws.create_bucket("crd-data").await?;
        let crd = "crd/aidataprotectionpolicies.aidp.dev";
        let manifest = aidp_e2e::process::project_dir().join("crds");
        let manifest = manifest.to_str().ok_or("path is not UTF-8")?;
        let install = || {
            world.plane.kubectl(&["apply", "--server-side", "-f", manifest])?;
            world
                .plane
                .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", crd])
        };
        world.plane.kubectl(&["delete", crd, "--timeout=30s"])?;
        let mut operator = world.operator_unready("operator", &quick()).await?;
        until_readyz(&operator, 503, "crd: the CustomResourceDefinition is missing").await?;
        assert_eq!(operator.get("/livez").await?.0, 200, "a restart would not bring it");
        install()?;
        let there = Instant::now();
        until_readyz(&operator, 200, "").await?;
        world.measured(
            "until the operator is ready after the CRD came",
            there.elapsed(),
            Duration::from_secs(10),
        )?;
        world.apply(&buckets_policy("crd", &["crd-data"]))?;
        world.until_row("crd", ENFORCED).await?;

        world.plane.kubectl(&["delete", crd, "--timeout=30s"])?;
        until_readyz(&operator, 503, "crd: the CustomResourceDefinition is missing").await?;
        install()?;
        until_readyz(&operator, 200, "").await?;
        world.apply(&buckets_policy("again", &["crd-data"]))?;
        world.until_row("again", ENFORCED).await?;
        assert!(operator.running());
        Ok(())
    });
}

#[test]
fn a_stop_does_not_wait_for_an_aws_that_never_answers() {
    journey(async |world| {
        world.aws.create_bucket("mute-data").await?;
        let mut operator = world.operator("operator", &quick()).await?;
        operator.until_leads(true).await?;
        let mute = Act::Delay { millis: 120_000 };
        world.proxy.inject(Fault::always(Filter::named("s3"), mute));
        world.apply(&buckets_policy("mute", &["mute-data"]))?;
        eventually(PATIENCE, "a read is under way", || async {
            let mut calls = world.proxy.calls().into_iter();
            calls
                .find(|call| call.operation.service == "s3")
                .map(drop)
                .ok_or("no read yet")
        })
        .await?;
        let asked = Instant::now();
        let status = operator.stop().await?;
        assert_eq!(status.code(), Some(0));
        world.measured(
            "until a stopped operator has ended though AWS never answers",
            asked.elapsed(),
            Duration::from_secs(25),
        )?;
        let path = "jsonpath={.spec.holderIdentity}";
        let holder = world
            .plane
            .kubectl(&["get", "lease", "aidp", "-n", "aidp-system", "-o", path])?;
        assert_eq!(holder, "", "the Lease is given back");
        Ok(())
    });
}
