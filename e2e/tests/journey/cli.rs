//! `aidp plan`: what an administrator or a pipeline runs before `kubectl apply`. No cluster is asked.

use std::process::Output;

use aidp_e2e::Result;
use aidp_e2e::operator::{OIDC_PROVIDER, Operator, Settings, binary, environment};
use aidp_e2e::world::{World, journey};
use serde_json::{Value, json};

use crate::common::{ENFORCED, buckets_policy, quick, seed_bucket};

fn plan(world: &World, policy: &Value, more: &[&str]) -> Result<Output> {
    world.note(policy);
    let file = world.surroundings().folder.join("policy.yaml");
    std::fs::write(&file, serde_yaml::to_string(policy)?)?;
    let settings = Settings {
        kubeconfig: Some("/nonexistent".into()),
        ..Settings::default()
    };
    Ok(std::process::Command::new(binary()?)
        .args([
            "plan",
            "--cluster-id",
            "e2e",
            "--oidc-provider-arn",
            OIDC_PROVIDER,
            "-f",
        ])
        .arg(&file)
        .args(more)
        .env_clear()
        .envs(environment(world.surroundings(), &settings))
        .output()?)
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn health_is_that_of_a_replica_that_leads() {
    journey(async |world| {
        let leader = world.operator("leader", &Settings::default()).await?;
        leader.until_leads(true).await?;
        let standby = world.operator("standby", &Settings::default()).await?;
        let health = |operator: &Operator| {
            let command = std::process::Command::new(binary()?)
                .args(["health", &operator.url()])
                .output()?;
            Ok::<_, aidp_e2e::Error>((command.status.code(), text(&command)))
        };
        let (code, said) = health(&leader)?;
        assert_eq!(
            (code, said.contains("is ready, and a replica leads")),
            (Some(0), true),
            "{said}"
        );
        let (code, said) = health(&standby)?;
        assert_eq!((code, said.contains("no replica leads")), (Some(1), true), "{said}");
        Ok(())
    });
}

#[test]
fn plan_shows_findings_and_actions_and_writes_nothing() {
    journey(async |world| {
        seed_bucket(world, "plan-data").await?;
        let policy = buckets_policy("plan", &["plan-data"]);
        let output = plan(world, &policy, &[])?;
        assert_eq!(
            output.status.code(),
            Some(2),
            "there is something to do: {}",
            text(&output)
        );
        for word in [
            "S3.TLSOnly",
            "S3.PublicAccessBlock",
            "plan-data",
            "PutBucketPolicy",
            "PutPublicAccessBlock",
        ] {
            assert!(
                text(&output).contains(word),
                "the plan lacks {word}:\n{}",
                text(&output)
            );
        }
        let output = plan(world, &policy, &["-o", "json"])?;
        assert_eq!(output.status.code(), Some(2));
        let parsed: Value = serde_json::from_slice(&output.stdout)?;
        assert!(
            parsed["findings"].as_array().is_some_and(|list| !list.is_empty()),
            "{parsed}"
        );
        assert!(
            parsed["actions"].as_array().is_some_and(|list| !list.is_empty()),
            "{parsed}"
        );
        assert_eq!(world.proxy.writes_since(0), Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn plan_has_nothing_to_do_where_the_operator_has_been() {
    journey(async |world| {
        seed_bucket(world, "done-data").await?;
        let policy = buckets_policy("done", &["done-data"]);
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&policy)?;
        world.until_row("done", ENFORCED).await?;
        let output = plan(world, &policy, &[])?;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        Ok(())
    });
}

#[test]
fn plan_fails_with_the_field_and_the_fix() {
    journey(async |world| {
        let mut policy = buckets_policy("bad", &["bad-data"]);
        policy["spec"]["interval"] = json!("1s");
        let output = plan(world, &policy, &[])?;
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output).contains("interval") && text(&output).contains("30s"),
            "{}",
            text(&output)
        );
        Ok(())
    });
}
