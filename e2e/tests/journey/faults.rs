//! The network, AWS and the API server misbehave: no wrong write, the right word on the object, recovery without a restart.

use std::time::Duration;

use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::world::journey;

use crate::common::{
    ENFORCED, buckets_policy, foreign, foreign_statement, ours, quick, seed, seed_bucket, whole_policy,
};

/// Each fault hits the reads of a policy that nobody has judged yet: nothing is known, so nothing may be written.
#[test]
fn reads_that_fail_for_a_passing_reason_lead_to_no_write_and_recover() {
    let cases = [
        ("unreachable", Act::Drop),
        ("throttled", Act::Throttle),
        ("too-many-requests", Act::TooManyRequests),
        ("html", Act::HtmlError),
    ];
    journey(async |world| {
        let mut operator = world.operator("operator", &quick()).await?;
        for (name, act) in cases {
            let bucket = format!("{name}-data");
            seed_bucket(world, &bucket).await?;
            let reads = Filter {
                write: Some(false),
                resource: Some(bucket.clone()),
                ..Filter::any()
            };
            world.proxy.inject(Fault::always(reads, act));
            let mark = world.proxy.mark();
            world.apply(&buckets_policy(name, &[&bucket]))?;
            let row = "Unknown True - Unknown ObservationFailed";
            world
                .until_row(name, row)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(world.proxy.writes_since(mark), Vec::<String>::new(), "{name}");

            world.proxy.heal();
            world
                .until_row(name, ENFORCED)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(
                foreign(world.aws.policy(&bucket).await?.as_ref()),
                [foreign_statement(&bucket)],
                "{name}"
            );
        }
        assert!(operator.running());
        Ok(())
    });
}

#[test]
fn an_answer_that_makes_no_sense_is_no_observation() {
    journey(async |world| {
        seed_bucket(world, "noise-data").await?;
        let noise = Act::Garbage {
            body: "\u{1}\u{2} certainly no XML".to_owned(),
        };
        world
            .proxy
            .inject(Fault::always(Filter::named("s3:GetBucketEncryption"), noise));
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("noise", &["noise-data"]))?;
        world
            .until_row("noise", "Unknown True - Unknown ObservationFailed")
            .await?;
        assert_eq!(world.proxy.counts().get("s3:PutBucketEncryption"), None);
        world.proxy.heal();
        world.until_row("noise", ENFORCED).await?;
        Ok(())
    });
}

/// A policy that cannot be read must not be mistaken for one that is absent: the foreign statement would be lost.
#[test]
fn a_policy_that_cannot_be_read_is_not_overwritten() {
    let cases = [
        ("hidden", Act::AccessDenied),
        ("broken", Act::HtmlError),
        ("cut", Act::Drop),
        (
            "garbled",
            Act::Garbage {
                body: "{\"Version\": \"2012-10-17\", \"Statement\": [".to_owned(),
            },
        ),
    ];
    journey(async |world| {
        let _operator = world.operator("operator", &quick()).await?;
        for (name, act) in cases {
            let bucket = format!("{name}-data");
            seed_bucket(world, &bucket).await?;
            world
                .proxy
                .inject(Fault::always(Filter::named("s3:GetBucketPolicy").on(&bucket), act));
            world.apply(&buckets_policy(name, &[&bucket]))?;
            world
                .until(name, true, |policy| {
                    policy.status("Ready") != "True" && policy.observed_generation() == 1
                })
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            world
                .reconcile(name)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            let puts = world.proxy.calls().into_iter().filter(|call| {
                call.name() == "s3:PutBucketPolicy" && call.operation.resource.as_deref() == Some(&bucket)
            });
            assert_eq!(puts.count(), 0, "{name}");
            world.proxy.heal();
            world
                .until_row(name, ENFORCED)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            assert_eq!(
                foreign(world.aws.policy(&bucket).await?.as_ref()),
                [foreign_statement(&bucket)],
                "{name}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_write_that_is_refused_stops_its_control_and_no_other() {
    journey(async |world| {
        seed_bucket(world, "partly-data").await?;
        world.proxy.inject(Fault::always(
            Filter::named("s3:PutPublicAccessBlock"),
            Act::AccessDenied,
        ));
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("partly", &["partly-data"]))?;
        world.until_row("partly", "False - True True AccessDenied").await?;
        let bucket = world.aws.bucket("partly-data").await?;
        assert_eq!(
            (bucket.public_access_block, ours(bucket.policy.as_ref()).is_empty()),
            (None, false)
        );
        assert_eq!(bucket.versioning.as_deref(), Some("Enabled"));
        world.proxy.heal();
        world.reconcile("partly").await?;
        world.until_row("partly", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn a_bucket_that_vanishes_is_missing_and_comes_back() {
    journey(async |world| {
        seed_bucket(world, "ghost-data").await?;
        seed_bucket(world, "solid-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("ghost", &["ghost-data", "solid-data"]))?;
        world.until_row("ghost", ENFORCED).await?;
        world.aws.s3.delete_bucket().bucket("ghost-data").send().await?;
        world.until_row("ghost", "False - True True BucketMissing").await?;
        // One bucket's trouble is not another's.
        world.aws.suspend_versioning("solid-data").await?;
        aidp_e2e::wait::eventually(aidp_e2e::world::PATIENCE, "the other bucket is still kept", || async {
            let versioning = world.aws.bucket("solid-data").await?.versioning;
            if versioning.as_deref() == Some("Enabled") {
                Ok(())
            } else {
                Err(aidp_e2e::Error::from(format!("{versioning:?}")))
            }
        })
        .await?;
        world.aws.create_bucket("ghost-data").await?;
        world.reconcile("ghost").await?;
        world.until_row("ghost", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn an_api_server_that_restarts_in_the_middle_of_a_reconcile_loses_nothing() {
    journey(async |world| {
        if world.plane.audit_log().is_none() {
            eprintln!("NOT CHECKED: the API server of the cluster that KUBECONFIG names is not ours to restart");
            return Ok(());
        }
        let key = seed(world, "restart").await?;
        let mut operator = world.operator("operator", &quick()).await?;
        // The first write is held while the API server goes away and comes back.
        world.proxy.inject(Fault::times(
            1,
            Filter {
                write: Some(true),
                ..Filter::any()
            },
            Act::Delay { millis: 6_000 },
        ));
        world.apply(&whole_policy("restart", &key))?;
        aidp_e2e::wait::eventually(aidp_e2e::world::PATIENCE, "the first write is under way", || async {
            if world.proxy.writes_since(0).is_empty() {
                Err("no write yet")
            } else {
                Ok(())
            }
        })
        .await?;
        world.plane.stop_apiserver()?;
        world.plane.start_apiserver()?;
        world.until_row("restart", ENFORCED).await?;
        assert!(operator.running(), "a lost API server is no reason to end");
        assert_eq!(
            foreign(world.aws.policy("restart-data").await?.as_ref()),
            [foreign_statement("restart-data")]
        );
        assert!(world.aws.role("restart-trainer").await?.is_some());
        Ok(())
    });
}

#[test]
fn a_termination_request_ends_the_operator_cleanly_and_soon() {
    journey(async |world| {
        seed_bucket(world, "bye-data").await?;
        let mut operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("bye", &["bye-data"]))?;
        world.until_row("bye", ENFORCED).await?;
        let asked = std::time::Instant::now();
        let status = operator.stop().await?;
        assert_eq!(status.code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        Ok(())
    });
}
