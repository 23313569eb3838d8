//! Who may change what: foreign statements survive, claims do not fight, leaving takes along only what is ours.

use aidp_e2e::operator::Settings;
use aidp_e2e::plane::Lease;
use aidp_e2e::wait::{eventually, throughout};
use aidp_e2e::world::{PATIENCE, journey, policy};
use serde_json::{Value, json};
use std::time::Duration;

use crate::common::{
    ENFORCED, buckets_policy, foreign, foreign_statement, ours, patch, quick, role, seed, seed_bucket, whole_policy,
};

#[test]
fn a_foreign_statement_survives_enforce_tamper_repair_and_revert() {
    journey(async |world| {
        let key = seed(world, "guest").await?;
        let stored =
            async || -> aidp_e2e::Result<Vec<Value>> { Ok(foreign(world.aws.policy("guest-data").await?.as_ref())) };
        let original = vec![foreign_statement("guest-data")];
        assert_eq!(stored().await?, original);

        let _operator = world.operator("operator", &quick()).await?;
        let mut spec = whole_policy("guest", &key);
        spec["spec"]["deletionPolicy"] = json!("Revert");
        world.apply(&spec)?;
        let seen = world.until_row("guest", ENFORCED).await?;
        assert_eq!(seen.list("/metadata/finalizers"), ["aidp.dev/revert"]);
        assert_eq!(stored().await?, original, "after enforce");

        let document =
            json!({"Version": "2012-10-17", "Id": "partner", "Statement": [foreign_statement("guest-data")]});
        world.aws.put_policy("guest-data", &document.to_string()).await?;
        eventually(PATIENCE, "our statements are back", || async {
            let own = ours(world.aws.policy("guest-data").await?.as_ref());
            if own.is_empty() {
                Err(aidp_e2e::Error::from("none of ours"))
            } else {
                Ok(())
            }
        })
        .await?;
        world.until_row("guest", ENFORCED).await?;
        assert_eq!(stored().await?, original, "after tamper and repair");

        let settings = world.aws.bucket("guest-data").await?;
        world.plane.kubectl(&["delete", "adpp", "guest", "--timeout=60s"])?;
        let left = world.aws.bucket("guest-data").await?;
        assert_eq!(stored().await?, original, "after revert");
        assert_eq!(ours(left.policy.as_ref()), Vec::<Value>::new());
        assert_eq!(world.aws.role("guest-trainer").await?, None);
        assert_eq!(
            world
                .plane
                .kubectl(&["get", "networkpolicies", "-n", "ml-guest", "-o=name"])?,
            ""
        );
        assert_eq!(
            (left.encryption, left.public_access_block, left.versioning),
            (settings.encryption, settings.public_access_block, settings.versioning),
            "a setting is never changed back"
        );
        Ok(())
    });
}

#[test]
fn a_bucket_policy_that_was_only_ours_is_gone_after_revert() {
    journey(async |world| {
        world.aws.create_bucket("clean-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        let mut spec = buckets_policy("clean", &["clean-data"]);
        spec["spec"]["deletionPolicy"] = json!("Revert");
        world.apply(&spec)?;
        world.until_row("clean", ENFORCED).await?;
        world.plane.kubectl(&["delete", "adpp", "clean", "--timeout=60s"])?;
        assert_eq!(world.aws.policy("clean-data").await?, None);
        Ok(())
    });
}

#[test]
fn retain_leaves_everything_and_holds_nothing_up() {
    journey(async |world| {
        let key = seed(world, "stay").await?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&whole_policy("stay", &key))?;
        let seen = world.until_row("stay", ENFORCED).await?;
        assert_eq!(seen.list("/metadata/finalizers"), &[] as &[Value]);
        let (bucket, role) = (
            world.aws.bucket("stay-data").await?,
            world.aws.role("stay-trainer").await?,
        );
        let mark = world.proxy.mark();
        world.plane.kubectl(&["delete", "adpp", "stay", "--timeout=10s"])?;
        throughout(Duration::from_secs(5), "what was made stays", || async {
            let writes = world.proxy.writes_since(mark);
            if writes.is_empty() {
                Ok(())
            } else {
                Err(format!("{writes:?}"))
            }
        })
        .await?;
        assert_eq!(world.aws.bucket("stay-data").await?, bucket);
        assert_eq!(world.aws.role("stay-trainer").await?, role);
        assert_ne!(
            world
                .plane
                .kubectl(&["get", "networkpolicies", "-n", "ml-stay", "-o=name"])?,
            ""
        );
        Ok(())
    });
}

#[test]
fn an_item_that_leaves_the_spec_is_reverted_or_an_orphan() {
    journey(async |world| {
        for bucket in ["leave-one", "leave-two"] {
            seed_bucket(world, bucket).await?;
        }
        let _operator = world.operator("operator", &quick()).await?;
        let both = json!({"buckets": [{"name": "leave-one"}, {"name": "leave-two"}], "trainingRoles": [role("leaver", "leave-one")]});
        world.apply(&policy("leave", &both))?;
        world.until_row("leave", ENFORCED).await?;

        // Under Retain: it stays, and while the policy lives that is a finding.
        world.apply(&policy("leave", &json!({"buckets": [{"name": "leave-one"}]})))?;
        let orphans = |policy: &aidp_e2e::view::PolicyView| {
            let findings = policy.findings();
            ["bucket/leave-two", "role/leaver"].map(|resource| findings.iter().any(|f| f.contains(resource)))
        };
        world.until("leave", [true, true], orphans).await?;
        assert!(!ours(world.aws.policy("leave-two").await?.as_ref()).is_empty());
        assert!(world.aws.role("leaver").await?.is_some());

        // Under Revert: what is ours goes, what is foreign stays.
        patch(world, "leave", &json!({"deletionPolicy": "Revert"}))?;
        world.until("leave", [false, false], orphans).await?;
        assert_eq!(world.aws.role("leaver").await?, None);
        let left = world.aws.policy("leave-two").await?;
        assert_eq!(
            (ours(left.as_ref()), foreign(left.as_ref())),
            (vec![], vec![foreign_statement("leave-two")])
        );
        Ok(())
    });
}

#[test]
fn of_two_policies_on_one_bucket_one_claims_and_the_other_takes_over_when_it_goes() {
    journey(async |world| {
        seed_bucket(world, "both-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("older", &["both-data"]))?;
        world.until_row("older", ENFORCED).await?;
        world.apply(&policy(
            "younger",
            &json!({
                "buckets": [{"name": "both-data"}], "bucketControls": {"transport": {"minimumTLSVersion": "1.3"}},
            }),
        ))?;
        let seen = world.until_row("younger", "False - True True Conflict").await?;
        assert!(
            seen.condition("Ready").expect("Ready").message.contains("older"),
            "it says who holds the bucket"
        );

        let mark = world.proxy.mark();
        throughout(Duration::from_secs(7), "they do not fight", || async {
            let writes = world.proxy.writes_since(mark);
            let row = world.policy("older").map_err(|error| error.to_string())?.row();
            if writes.is_empty() && row == ENFORCED {
                Ok(())
            } else {
                Err(format!("{writes:?}, {row}"))
            }
        })
        .await?;

        // Audit claims nothing: two may look at the same bucket.
        world.apply(&buckets_policy("looker", &["both-data"]))?;
        patch(world, "looker", &json!({"mode": "Audit"}))?;
        world.until_row("looker", "True - - False Audited").await?;

        world.plane.kubectl(&["delete", "adpp", "older"])?;
        world.until_row("younger", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn two_clusters_share_a_bucket_and_neither_writes_again() {
    journey(async |world| {
        seed_bucket(world, "shared-data").await?;
        let other = match Lease::second() {
            Ok(plane) => plane,
            Err(error) => {
                eprintln!("NOT CHECKED: {error}");
                return Ok(());
            }
        };
        let kubeconfig = world.surroundings().folder.join("other.kubeconfig");
        other.write_operator_kubeconfig(&kubeconfig)?;
        let there = Settings {
            cluster_id: "other".to_owned(),
            kubeconfig: Some(kubeconfig),
            ..quick()
        };
        let _here = world.operator("here", &quick()).await?;
        let _there = world.operator("there", &there).await?;
        let spec = buckets_policy("shared", &["shared-data"]);
        world.apply(&spec)?;
        world.until_row("shared", ENFORCED).await?;
        other.kubectl_with(&["apply", "--server-side", "-f", "-"], &spec.to_string())?;
        eventually(PATIENCE, "the other cluster is content", || async {
            let text = other.kubectl(&["get", "adpp", "shared", "-o=json"])?;
            let row = aidp_e2e::view::PolicyView(serde_json::from_str(&text)?).row();
            if row == ENFORCED {
                Ok(())
            } else {
                Err(aidp_e2e::Error::from(row))
            }
        })
        .await?;

        let mark = world.proxy.mark();
        throughout(Duration::from_secs(7), "nobody writes again", || async {
            let writes = world.proxy.writes_since(mark);
            if writes.is_empty() {
                Ok(())
            } else {
                Err(format!("{writes:?}"))
            }
        })
        .await?;
        assert_eq!(
            foreign(world.aws.policy("shared-data").await?.as_ref()),
            [foreign_statement("shared-data")]
        );
        Ok(())
    });
}

#[test]
fn a_role_of_somebody_else_is_not_written_to() {
    journey(async |world| {
        world.aws.create_bucket("theirs-data").await?;
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ]});
        world.aws.create_role("theirs", &trust).await?;
        let before = world.aws.role("theirs").await?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&policy(
            "taker",
            &json!({"buckets": [{"name": "theirs-data"}], "trainingRoles": [role("theirs", "theirs-data")]}),
        ))?;
        let seen = world
            .until("taker", "False".to_owned(), |policy| policy.status("Ready"))
            .await?;
        let reason = seen.condition("Stalled").expect("Stalled").reason;
        assert!(["AdoptionRefused", "Conflict"].contains(&reason.as_str()), "{reason}");
        assert_eq!(world.aws.role("theirs").await?, before);
        assert_eq!(
            world
                .proxy
                .counts()
                .iter()
                .filter(|(name, _)| name.starts_with("iam:Put") || name.starts_with("iam:Update"))
                .count(),
            0
        );
        Ok(())
    });
}
