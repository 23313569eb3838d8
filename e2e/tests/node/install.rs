//! What `helm install` gives a user.

use serde_json::{Value, json};

use crate::stage::{NAMESPACE, helm, namespace, on_stage};

#[test]
fn the_chart_brings_the_quickstart_to_ready_under_its_own_rights_and_network_policy() {
    on_stage(async |stage| {
        stage.aws.create_bucket("fraud-training-data").await?;
        stage.apply(&[namespace("quickstart", &json!({"team": "ml"}))])?;
        stage.kubectl(&["apply", "-f", "examples/quickstart.yaml"])?;
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
        helm(&["test", "aidp", "--namespace", NAMESPACE, "--timeout", "60s"])?;
        Ok(())
    });
}
