//! What training pods can really reach.

use std::time::{Duration, Instant};

use aidp_e2e::wait::eventually;
use aidp_e2e::{Error, Result};
use serde_json::json;

use crate::stage::{PATIENCE, Stage, metadata_server, namespace, on_stage, policy, probe_pod};

const ENFORCED: &str = "True - - False Enforced";

/// An echo server on 80 and 443, a training namespace with one training pod, and a policy over it.
async fn training(stage: &Stage, name: &str) -> Result<String> {
    let echo_namespace = format!("{name}-echo");
    stage.apply(&[
        namespace(name, &json!({"team": name})),
        namespace(&echo_namespace, &json!({})),
    ])?;
    stage.pod(
        &echo_namespace,
        "echo",
        &json!({"app": "echo"}),
        &["serve", "80", "443"],
    )?;
    stage.apply(&[json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": echo_namespace},
        "spec": {"selector": {"app": "echo"}, "ports": [{"port": 443}]},
    })])?;
    stage.pod(name, "trainer", &json!({"workload": "training"}), &["pause"])?;
    stage.apply(&[policy(
        name,
        json!({"egress": [{
            "name": "training",
            "namespaceSelector": {"matchLabels": {"team": name}},
            "podSelector": {"matchLabels": {"workload": "training"}},
            "allow": [{"type": "CIDR", "cidr": "0.0.0.0/0"}],
        }]}),
    )])?;
    stage.until_row(name, ENFORCED).await?;
    stage.pod_ip(&echo_namespace, "echo")
}

fn network_policy(stage: &Stage, namespace: &str) -> Result<String> {
    stage.kubectl(&[
        "get",
        "networkpolicy",
        "-n",
        namespace,
        "-l",
        "app.kubernetes.io/managed-by=aidp",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ])
}

#[test]
fn a_training_pod_resolves_names_and_reaches_443_and_nothing_else() {
    on_stage(async |stage| {
        let echo = training(stage, "reach").await?;
        stage
            .until_probe("reach", "trainer", &["tcp", &format!("{echo}:80"), "1s"], false)
            .await?;
        assert!(
            stage.probe("reach", "trainer", &["dns", "echo.reach-echo.svc.cluster.local", "3s"]),
            "DNS"
        );
        assert!(
            stage.probe(
                "reach",
                "trainer",
                &["tcp", "echo.reach-echo.svc.cluster.local:443", "3s"]
            ),
            "443 by name"
        );
        assert!(
            stage.probe("reach", "trainer", &["tcp", &format!("{echo}:443"), "3s"]),
            "443"
        );
        assert!(
            !stage.probe("reach", "trainer", &["tcp", &format!("{echo}:80"), "2s"]),
            "80"
        );
        Ok(())
    });
}

#[test]
fn the_metadata_address_is_not_reached_even_on_443() {
    on_stage(async |stage| {
        // Something must answer there, or its silence would prove nothing: a pod without policy reaches it.
        metadata_server()?;
        let _echo = training(stage, "imds").await?;
        stage.pod("imds-echo", "free", &json!({}), &["pause"])?;
        for target in ["169.254.169.254:80", "169.254.169.254:443"] {
            assert!(
                stage.probe("imds-echo", "free", &["tcp", target, "3s"]),
                "{target} answers"
            );
            stage
                .until_probe("imds", "trainer", &["tcp", target, "1s"], false)
                .await?;
        }
        Ok(())
    });
}

#[test]
fn a_deleted_policy_is_back_and_closed_within_seconds() {
    on_stage(async |stage| {
        let echo = training(stage, "deleted").await?;
        let plain = format!("{echo}:80");
        stage
            .until_probe("deleted", "trainer", &["tcp", &plain, "1s"], false)
            .await?;
        let name = network_policy(stage, "deleted")?;
        let start = Instant::now();
        stage.kubectl(&["delete", "networkpolicy", "-n", "deleted", &name])?;
        stage
            .until_probe("deleted", "trainer", &["tcp", &plain, "1s"], false)
            .await?;
        eventually(PATIENCE, "the policy is back", || async {
            network_policy(stage, "deleted").and_then(|n| {
                if n == name {
                    Ok(())
                } else {
                    Err(Error::from("no policy"))
                }
            })
        })
        .await?;
        println!(
            "deleted: closed again {} ms after the deletion",
            start.elapsed().as_millis()
        );
        assert!(start.elapsed() < Duration::from_secs(20));
        Ok(())
    });
}

#[test]
fn a_widened_policy_is_closed_again_within_seconds_and_its_author_named() {
    on_stage(async |stage| {
        let echo = training(stage, "widened").await?;
        let plain = format!("{echo}:80");
        stage
            .until_probe("widened", "trainer", &["tcp", &plain, "1s"], false)
            .await?;
        let name = network_policy(stage, "widened")?;
        let start = Instant::now();
        stage.kubectl(&[
            "patch",
            "networkpolicy",
            "-n",
            "widened",
            &name,
            "--type=merge",
            "--field-manager=mallory",
            "-p",
            r#"{"spec":{"egress":[{}]}}"#,
        ])?;
        eventually(PATIENCE, "the edit is undone", || async {
            let egress = stage.kubectl(&[
                "get",
                "networkpolicy",
                "-n",
                "widened",
                &name,
                "-o",
                "jsonpath={.spec.egress}",
            ])?;
            if egress == "[{}]" {
                Err(Error::from("still as edited"))
            } else {
                Ok(())
            }
        })
        .await?;
        stage
            .until_probe("widened", "trainer", &["tcp", &plain, "1s"], false)
            .await?;
        println!(
            "widened: closed again {} ms after the edit",
            start.elapsed().as_millis()
        );
        assert!(start.elapsed() < Duration::from_secs(20));
        let history = eventually(PATIENCE, "the edit is in the history", || async {
            let history = stage.kubectl(&["get", "adpp", "widened", "-o", "jsonpath={.status.history}"])?;
            if history.contains("mallory") {
                Ok(history)
            } else {
                Err(Error::from(history))
            }
        })
        .await?;
        assert!(history.contains("Net.Egress"), "{history}");
        Ok(())
    });
}

#[test]
fn another_policy_that_reopens_port_80_is_named() {
    on_stage(async |stage| {
        let echo = training(stage, "reopened").await?;
        let plain = format!("{echo}:80");
        stage
            .until_probe("reopened", "trainer", &["tcp", &plain, "1s"], false)
            .await?;
        stage.apply(&[json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "debug", "namespace": "reopened"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"protocol": "TCP", "port": 80}]}]},
        })])?;
        stage
            .until_probe("reopened", "trainer", &["tcp", &plain, "1s"], true)
            .await?;
        let finding = stage.until_finding("reopened", "debug").await?;
        assert!(
            finding.contains("Net.Union") && finding.contains("NetworkPolicy/debug.spec.egress[0]"),
            "{finding}"
        );
        Ok(())
    });
}

#[test]
fn a_namespace_that_gets_the_label_is_covered_before_its_first_pod_is_a_second_old() {
    on_stage(async |stage| {
        let echo = training(stage, "labelled").await?;
        stage.apply(&[namespace("labelled-two", &json!({}))])?;
        let start = Instant::now();
        stage.kubectl(&["label", "namespace", "labelled-two", "team=labelled"])?;
        stage.apply(&[probe_pod(
            "labelled-two",
            "trainer",
            &json!({"workload": "training"}),
            &["pause"],
        )])?;
        eventually(PATIENCE, "the namespace has its policy", || async {
            network_policy(stage, "labelled-two")
                .and_then(|n| if n.is_empty() { Err(Error::from("none")) } else { Ok(()) })
        })
        .await?;
        println!("labelled: covered {} ms after the label", start.elapsed().as_millis());
        stage.kubectl(&[
            "wait",
            "-n",
            "labelled-two",
            "--for=condition=Ready",
            "pod/trainer",
            "--timeout=60s",
        ])?;
        let took = stage
            .until_probe("labelled-two", "trainer", &["tcp", &format!("{echo}:80"), "1s"], false)
            .await?;
        println!("labelled: closed {} ms after the pod was ready", took.as_millis());
        assert!(took < Duration::from_secs(3));
        Ok(())
    });
}
