//! Every row of the condition table, each one brought about for real.
//! A row reads: Ready Reconciling Stalled Drifted reason; a dash is a condition that is absent.

use aidp_e2e::operator::Settings;
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::wait::{eventually, throughout};
use aidp_e2e::world::{PATIENCE, journey, policy};
use serde_json::json;
use std::time::Duration;

use crate::common::{ENFORCED, buckets_policy, ours, patch, quick, seed_bucket};

#[test]
fn not_yet_observed_is_progressing() {
    journey(async |world| {
        seed_bucket(world, "slow-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        // The first look takes its time: until it is over nothing is known.
        world.proxy.inject(Fault::times(
            1,
            Filter::named("s3:GetBucketPolicy"),
            Act::Delay { millis: 8_000 },
        ));
        world.apply(&buckets_policy("slow", &["slow-data"]))?;
        let seen = world.until_row("slow", "Unknown True - Unknown Progressing").await?;
        assert_eq!(seen.status("BucketsProtected"), "Unknown");
        world.until_row("slow", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn a_repair_in_backoff_is_remediating() {
    journey(async |world| {
        seed_bucket(world, "fix-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        world
            .proxy
            .inject(Fault::always(Filter::named("s3:PutBucketEncryption"), Act::HtmlError));
        world.apply(&buckets_policy("fix", &["fix-data"]))?;
        let seen = world.until_row("fix", "False True - True Remediating").await?;
        assert_eq!(seen.status("BucketsProtected"), "False");
        world.proxy.heal();
        world.until_row("fix", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn what_needs_a_human_says_so_in_one_word() {
    journey(async |world| {
        for bucket in ["denied-read", "denied-write", "garbled", "crowded", "shared"] {
            seed_bucket(world, bucket).await?;
        }
        world.aws.put_policy("garbled", "this is no policy").await?;
        world
            .aws
            .put_policy("crowded", &policy_of_bytes("crowded", 20_400))
            .await?;
        world.proxy.inject(Fault::always(
            Filter::named("s3:GetBucketPolicy").on("denied-read"),
            Act::AccessDenied,
        ));
        world.proxy.inject(Fault::always(
            Filter::named("s3:PutBucketPolicy").on("denied-write"),
            Act::AccessDenied,
        ));
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("first", &["shared"]))?;
        world.until_row("first", ENFORCED).await?;

        let cases = [
            ("denied-read", "False - True Unknown AccessDenied"),
            ("denied-write", "False - True True AccessDenied"),
            ("garbled", "False - True Unknown PolicyUnparsable"),
            ("crowded", "False - True True PolicyTooLarge"),
            ("shared", "False - True True Conflict"),
            ("absent", "False - True True BucketMissing"),
        ];
        for (bucket, _) in cases {
            world.apply(&buckets_policy(&format!("p-{bucket}"), &[bucket]))?;
        }
        let mut rows = Vec::new();
        for (bucket, row) in cases {
            let name = format!("p-{bucket}");
            // All rows are told at once: which one is wrong matters more than the first that is.
            let seen = match world.until_row(&name, row).await {
                Ok(seen) => seen,
                Err(_) => world.policy(&name)?,
            };
            rows.push((bucket, seen.row()));
            let message = seen.condition("Stalled").map(|c| c.message).unwrap_or_default();
            assert!(message.contains(bucket), "Stalled names what it is about: {message}");
        }
        assert_eq!(rows, cases.map(|(bucket, row)| (bucket, row.to_owned())));
        assert_eq!(
            world.aws.policy_text("garbled").await?.as_deref(),
            Some("this is no policy"),
            "not overwritten"
        );
        assert_eq!(
            world.aws.policy_text("crowded").await?.map(|text| text.len()),
            Some(20_400),
            "not overwritten"
        );

        // The human acts; nothing is restarted.
        world.proxy.heal();
        world
            .aws
            .put_policy("garbled", r#"{"Version":"2012-10-17","Statement":[]}"#)
            .await?;
        world
            .aws
            .put_policy("crowded", &policy_of_bytes("crowded", 2_000))
            .await?;
        world.aws.create_bucket("absent").await?;
        world.plane.kubectl(&["delete", "adpp", "first"])?;
        for (bucket, _) in cases {
            world.request_reconcile(&format!("p-{bucket}"), "now")?;
        }
        for (bucket, _) in cases {
            world.until_row(&format!("p-{bucket}"), ENFORCED).await?;
        }
        Ok(())
    });
}

/// A valid policy of somebody else with exactly this many bytes.
fn policy_of_bytes(bucket: &str, bytes: usize) -> String {
    let document = |filler: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:GetObject",
            "Resource": format!("arn:aws:s3:::{bucket}/{filler}"),
        }]})
        .to_string()
    };
    let empty = document("").len();
    document(&"x".repeat(bytes - empty))
}

#[test]
fn audit_is_ready_and_says_what_has_drifted() {
    journey(async |world| {
        seed_bucket(world, "look-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        let mut look = buckets_policy("look", &["look-data"]);
        look["spec"]["mode"] = json!("Audit");
        world.apply(&look)?;
        world.until_row("look", "True - - True Audited").await?;
        patch(world, "look", &json!({"mode": "Enforce"}))?;
        world.until_row("look", ENFORCED).await?;
        patch(world, "look", &json!({"mode": "Audit"}))?;
        world.until_row("look", "True - - False Audited").await?;
        Ok(())
    });
}

#[test]
fn suspended_observes_and_writes_nothing() {
    journey(async |world| {
        seed_bucket(world, "pause-data").await?;
        let before = world.aws.bucket("pause-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        let mut paused = buckets_policy("pause", &["pause-data"]);
        paused["spec"]["suspension"] = json!({"untilTime": "2099-01-01T00:00:00Z", "reason": "CHG-1234"});
        world.apply(&paused)?;
        world.until_row("pause", "True - - True Suspended").await?;
        world.reconcile("pause").await?;
        assert_eq!(world.aws.bucket("pause-data").await?, before);

        patch(world, "pause", &json!({"suspension": null}))?;
        world.until_row("pause", ENFORCED).await?;

        // The same by annotation, which GitOps leaves alone.
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        world
            .plane
            .kubectl(&["annotate", "adpp", "pause", &format!("aidp.dev/suspend-until={soon}")])?;
        world.until_row("pause", "True - - False Suspended").await?;
        world
            .plane
            .kubectl(&["annotate", "adpp", "pause", "aidp.dev/suspend-until-"])?;
        world.until_row("pause", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn the_operators_ceiling_turns_enforce_into_audit() {
    journey(async |world| {
        seed_bucket(world, "ceiling-data").await?;
        let before = world.aws.bucket("ceiling-data").await?;
        let settings = Settings {
            arguments: vec!["--max-interval", "2s", "--max-mode", "Audit"],
            ..Settings::default()
        };
        let _operator = world.operator("operator", &settings).await?;
        world.apply(&buckets_policy("ceiling", &["ceiling-data"]))?;
        world.until_row("ceiling", "True - - True Audited").await?;
        assert_eq!(world.aws.bucket("ceiling-data").await?, before);
        Ok(())
    });
}

#[test]
fn a_short_outage_changes_nothing_and_a_long_one_is_told() {
    journey(async |world| {
        seed_bucket(world, "away-data").await?;
        // Twice the interval is what an observation is good for.
        let settings = Settings {
            arguments: vec!["--max-interval", "8s"],
            ..Settings::default()
        };
        let _operator = world.operator("operator", &settings).await?;
        world.apply(&buckets_policy("away", &["away-data"]))?;
        let good = world.until_row("away", ENFORCED).await?;

        world.proxy.inject(Fault::always(Filter::any(), Act::Drop));
        let mark = world.proxy.mark();
        throughout(Duration::from_secs(9), "a young observation stays good", || async {
            let now = world.policy("away").map_err(|error| error.to_string())?;
            if now.0["status"] == good.0["status"] {
                Ok(())
            } else {
                Err(now.summary())
            }
        })
        .await?;
        world
            .until_row("away", "Unknown True - Unknown ObservationFailed")
            .await?;
        assert_eq!(
            world.proxy.writes_since(mark),
            Vec::<String>::new(),
            "no write in the dark"
        );

        world.proxy.heal();
        world.until_row("away", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn the_wrong_account_is_told_and_not_touched() {
    journey(async |world| {
        seed_bucket(world, "mine-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        let spec =
            json!({"account": {"id": "999999999999", "region": "eu-west-1"}, "buckets": [{"name": "mine-data"}]});
        world.apply(&policy("elsewhere", &spec))?;
        let seen = world
            .until_row("elsewhere", "False - True Unknown WrongAccount")
            .await?;
        let message = seen.condition("Ready").expect("Ready").message;
        assert!(
            message.contains("123456789012") && message.contains("999999999999"),
            "{message}"
        );
        let services: Vec<String> = world
            .proxy
            .calls()
            .into_iter()
            .map(|call| call.operation.service)
            .collect();
        assert!(
            services.iter().all(|service| service == "sts"),
            "nothing but the question who we are: {services:?}"
        );
        Ok(())
    });
}

#[test]
fn missing_credentials_are_told_and_found_when_they_come() {
    journey(async |world| {
        seed_bucket(world, "key-data").await?;
        let folder = world.surroundings().folder.join(".aws");
        let settings = Settings {
            credentials: false,
            ..quick()
        };
        let operator = world.operator("operator", &settings).await?;
        world.apply(&buckets_policy("keyless", &["key-data"]))?;
        let seen = world
            .until_row("keyless", "False - True Unknown CredentialsUnavailable")
            .await?;
        assert!(!seen.condition("Ready").expect("Ready").message.is_empty());
        assert_eq!(
            operator.get("/livez").await?.0,
            200,
            "missing credentials are no reason to be restarted"
        );

        // A profile appears where the SDK looks for one, HOME being this test's folder.
        std::fs::create_dir(&folder)?;
        std::fs::write(
            folder.join("credentials"),
            "[default]\naws_access_key_id = AKIAOPERATOR00000000\naws_secret_access_key = secret\n",
        )?;
        let recovered = world.until_row("keyless", ENFORCED).await;
        if recovered.is_err() {
            // The SDK may read its profile once: then a restart must do.
            drop(operator);
            let _operator = world.operator("operator", &settings).await?;
            world.until_row("keyless", ENFORCED).await?;
        }
        Ok(())
    });
}

#[test]
fn expired_credentials_are_told_and_retried() {
    journey(async |world| {
        seed_bucket(world, "stale-data").await?;
        let expired = Act::Error {
            status: 403,
            code: "ExpiredToken".to_owned(),
            message: "The security token included in the request is expired".to_owned(),
        };
        world.proxy.inject(Fault::always(Filter::any(), expired));
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("stale", &["stale-data"]))?;
        world
            .until_row("stale", "False - True Unknown CredentialsUnavailable")
            .await?;
        world.proxy.heal();
        world.until_row("stale", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn what_the_schema_cannot_refuse_is_invalid_and_others_go_on() {
    journey(async |world| {
        seed_bucket(world, "bad-data").await?;
        seed_bucket(world, "good-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        let mut bad = buckets_policy("bad", &["bad-data"]);
        bad["metadata"]["annotations"] = json!({"aidp.dev/suspend-until": "next tuesday"});
        world.apply(&bad)?;
        world.apply(&buckets_policy("good", &["good-data"]))?;
        let seen = world.until_row("bad", "False - True Unknown Invalid").await?;
        let message = seen.condition("Ready").expect("Ready").message;
        assert!(
            message.contains("aidp.dev/suspend-until"),
            "the message names the field: {message}"
        );
        world.until_row("good", ENFORCED).await?;
        assert!(
            ours(world.aws.policy("bad-data").await?.as_ref()).is_empty(),
            "invalid means untouched"
        );
        Ok(())
    });
}

#[test]
fn an_object_of_an_older_schema_is_invalid_and_others_go_on() {
    journey(async |world| {
        seed_bucket(world, "old-data").await?;
        seed_bucket(world, "new-data").await?;
        // An object of a time when `mode` was free text: stored through a laxer schema, which is then taken back.
        let crd = "crd/aidataprotectionpolicies.aidp.dev";
        let strict = aidp_e2e::process::project_dir().join("crds");
        let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/mode/enum";
        let lax = json!([{"op": "remove", "path": path}]).to_string();
        world.plane.kubectl(&["patch", crd, "--type=json", "-p", &lax])?;
        let mut old = buckets_policy("old", &["old-data"]);
        old["spec"]["mode"] = json!("Whatever");
        let stored = eventually(PATIENCE, "the lax schema is served", || async { world.apply(&old) }).await;
        let strict = strict.to_str().ok_or("path is not UTF-8")?;
        world
            .plane
            .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", strict])?;
        stored?;

        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("new", &["new-data"]))?;
        world.until_row("new", ENFORCED).await?;
        world.until_row("old", "False - True Unknown Invalid").await?;
        Ok(())
    });
}
