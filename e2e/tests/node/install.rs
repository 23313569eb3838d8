//! What `helm install` gives a user.

use aidp_e2e::process::project_dir;
use serde_json::{Value, json};

use crate::stage::{NAMESPACE, helm, namespace, on_stage};

#[test]
fn the_chart_brings_the_quickstart_to_ready_under_its_own_rights_and_network_policy() {
    on_stage(async |stage| {
        stage.aws.create_bucket("fraud-training-data").await?;
        stage.apply(&[namespace("ml", &json!({}))])?;
        // "Change account, key, bucket … to yours", it says; only the key has to be.
        let quickstart = std::fs::read_to_string(project_dir().join("examples/quickstart.yaml"))?;
        let key = stage.aws.create_key().await?;
        let (before, rest) = quickstart.split_once("keyARN: ").ok_or("the quickstart names no key")?;
        let (_, after) = rest.split_once('\n').ok_or("the quickstart ends with the key")?;
        stage.kubectl_with(&["apply", "-f", "-"], &format!("{before}keyARN: {key}\n{after}"))?;
        stage.until_row("quickstart", "True - - True Audited").await?;
        stage.kubectl(&[
            "patch",
            "adpp",
            "quickstart",
            "--type=merge",
            "-p",
            r#"{"spec":{"mode":"Enforce"}}"#,
        ])?;
        stage.until_row("quickstart", "True - - False Enforced").await?;
        stage.kubectl(&["delete", "adpp", "quickstart", "--timeout=30s"])?;
        Ok(())
    });
}

#[test]
fn both_replicas_are_ready_and_the_pods_run_without_privileges() {
    on_stage(async |stage| {
        let pods: Value = serde_json::from_str(&stage.kubectl(&[
            "get",
            "pods",
            "-n",
            NAMESPACE,
            "-l",
            "app.kubernetes.io/name=aidp",
            "-o",
            "json",
        ])?)?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        assert_eq!(pods.len(), 2);
        for pod in pods {
            assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], json!(0));
            let security = &pod["spec"]["containers"][0]["securityContext"];
            assert_eq!(
                *security,
                json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
            );
        }
        Ok(())
    });
}

#[test]
fn helm_test_passes_on_a_working_installation_and_fails_on_one_that_does_not_answer() {
    on_stage(async |stage| {
        let test = ["test", "aidp", "--namespace", NAMESPACE, "--timeout", "90s", "--logs"];
        let said = helm(&test)?;
        assert!(
            said.contains("http://aidp.aidp-system:8080") && said.contains("is ready, and a replica leads"),
            "{said}"
        );
        let scale = |replicas: &str| stage.kubectl(&["scale", "deployment/aidp", "-n", NAMESPACE, replicas]);
        scale("--replicas=0")?;
        let error = helm(&test).unwrap_err().to_string();
        assert!(error.contains("aidp-test") && error.contains("failed"), "{error}");
        scale("--replicas=2")?;
        stage.kubectl(&["delete", "pod", "aidp-test", "-n", NAMESPACE])?;
        let rollout = ["rollout", "status", "deployment/aidp", "-n", NAMESPACE, "--timeout=90s"];
        stage.kubectl(&rollout).map(drop)
    });
}
