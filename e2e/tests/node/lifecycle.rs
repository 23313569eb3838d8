//! The chart is upgraded, taken away, and brought back, around policies that live on.

use std::path::Path;

use aidp_e2e::process::project_dir;
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::stage::{NAMESPACE, Stage, helm, on_stage, policy};

const CRD: &str = "crd/aidataprotectionpolicies.aidp.dev";
const ENFORCED: &str = "True - - False Enforced";

/// A copy of the chart whose CRD knows one field more, as the next version's may.
fn next_chart(folder: &Path) -> Result<String> {
    let chart = folder.join("aidp");
    let copied = std::process::Command::new("cp")
        .args(["-r"])
        .arg(project_dir().join("charts/aidp"))
        .arg(&chart)
        .status()?;
    if !copied.success() {
        return Err(Error::from("the chart could not be copied"));
    }
    let file = chart.join("files/crd.yaml");
    let mut crd: Value = serde_yaml::from_str(&std::fs::read_to_string(&file)?)?;
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = crd.pointer_mut(spec).ok_or("the CRD has no spec")?;
    fields["fieldOfTheNextVersion"] = json!({"type": "string", "maxLength": 10});
    std::fs::write(&file, serde_yaml::to_string(&crd)?)?;
    Ok(chart.to_str().ok_or("path")?.to_owned())
}

fn knows_the_field(stage: &Stage) -> Result<bool> {
    let crd: Value = serde_json::from_str(&stage.kubectl(&["get", CRD, "-o", "json"])?)?;
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/fieldOfTheNextVersion";
    Ok(crd.pointer(path).is_some())
}

/// What must outlive it all: identity, spec, what the operator knows to be its own, and what it said.
fn kept(stage: &Stage) -> Result<Value> {
    let object: Value = serde_json::from_str(&stage.kubectl(&["get", "adpp", "kept", "-o", "json"])?)?;
    Ok(json!({
        "uid": object["metadata"]["uid"],
        "generation": object["metadata"]["generation"],
        "spec": object["spec"],
        "conditions": object["status"]["conditions"],
        "targets": object["status"]["targets"],
        "history": object["status"]["history"],
    }))
}

#[test]
fn an_upgrade_keeps_objects_and_status_and_an_uninstall_keeps_buckets_protected_and_the_crd() {
    on_stage(async |stage| {
        stage.aws.create_bucket("kept-data").await?;
        stage.apply(&[policy("kept", json!({"buckets": [{"name": "kept-data"}]}))])?;
        stage.until_row("kept", ENFORCED).await?;
        let (before, protected) = (kept(stage)?, stage.aws.bucket("kept-data").await?);
        assert!(protected.policy.is_some() && protected.public_access_block == Some([true; 4]));
        let mark = stage.proxy.mark();

        let folder = tempfile::tempdir()?;
        stage.release("upgrade", &next_chart(folder.path())?)?;
        assert!(knows_the_field(stage)?, "the CRD is upgraded with the release");
        assert_eq!(kept(stage)?, before);
        // The new pods look, and find nothing to do.
        stage.kubectl(&["annotate", "adpp", "kept", "aidp.dev/reconcile-requested-at=upgraded"])?;
        stage.until_handled("kept", "upgraded").await?;
        assert_eq!(kept(stage)?, before);

        helm(&[
            "uninstall",
            "aidp",
            "--namespace",
            NAMESPACE,
            "--wait",
            "--timeout",
            "90s",
        ])?;
        // Helm waits for the Deployment; its pods end a little later.
        let pods = [
            "wait",
            "--for=delete",
            "pods",
            "-l",
            "app.kubernetes.io/name=aidp",
            "-n",
            NAMESPACE,
            "--timeout=60s",
        ];
        stage.kubectl(&pods)?;
        assert!(knows_the_field(stage)?, "the CRD stays");
        assert_eq!(kept(stage)?, before, "and so do the objects");
        assert_eq!(stage.aws.bucket("kept-data").await?, protected);

        stage.release("install", "charts/aidp")?;
        stage.kubectl(&[
            "annotate",
            "adpp",
            "kept",
            "--overwrite",
            "aidp.dev/reconcile-requested-at=back",
        ])?;
        stage.until_handled("kept", "back").await?;
        assert_eq!(kept(stage)?, before);
        assert_eq!(stage.proxy.writes_since(mark), Vec::<String>::new());
        stage.kubectl(&["delete", "adpp", "kept", "--timeout=30s"]).map(drop)
    });
}
