//! What an installation changes under a running operator: its credentials, and whom it trusts. And what a configuration
//! that is wrong in more than one place says.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use aidp_e2e::operator::Settings;
use aidp_e2e::plane::{NAMESPACE, SERVICE_ACCOUNT};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::common::{ENFORCED, buckets_policy, quick};

/// What `credential_process` answers: the form in which every refreshed credential (IRSA, Pod Identity, a profile) comes,
/// with an end.
fn write_credentials(path: &Path, access_key: &str, ends_in: Duration) -> Result<()> {
    let expiration = jiff::Timestamp::now() + ends_in;
    let credentials = json!({
        "Version": 1, "AccessKeyId": access_key, "SecretAccessKey": "secret", "SessionToken": "token",
        "Expiration": expiration.to_string(),
    });
    // In one step: the operator may be reading.
    let new = path.with_extension("new");
    std::fs::write(&new, credentials.to_string())?;
    Ok(std::fs::rename(new, path)?)
}

#[test]
fn credentials_that_are_replaced_before_they_end_are_used_without_a_restart() {
    const OLD: &str = "AKIAOPERATOROLD00000";
    const NEW: &str = "AKIAOPERATORNEW00000";
    journey(async |world| {
        world.aws.create_bucket("key-data").await?;
        let home = world.surroundings().folder.clone();
        let file = home.join("credentials.json");
        write_credentials(&file, OLD, Duration::from_secs(20))?;
        std::fs::create_dir(home.join(".aws"))?;
        let profile = format!("[default]\ncredential_process = cat {}\n", file.display());
        std::fs::write(home.join(".aws/config"), profile)?;
        let settings = Settings {
            credentials: false,
            ..quick()
        };
        let mut operator = world.operator("operator", &settings).await?;
        world.apply(&buckets_policy("key", &["key-data"]))?;
        world.until_row("key", ENFORCED).await?;
        assert!(world.proxy.calls().iter().all(|call| call.is_by(OLD)));
        write_credentials(&file, NEW, Duration::from_hours(1))?;
        eventually(PATIENCE, "calls are signed with the new key", || async {
            if world.proxy.calls().iter().any(|call| call.is_by(NEW)) {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await?;
        world.aws.suspend_versioning("key-data").await?;
        eventually(PATIENCE, "the repair is signed with the new key", || async {
            let calls = world.proxy.calls();
            let mut writes = calls.iter().filter(|call| call.operation.write && call.is_by(NEW));
            writes.next().map(drop).ok_or("no repair")
        })
        .await?;
        world.until_row("key", ENFORCED).await?;
        assert!(operator.running());
        Ok(())
    });
}

#[test]
fn a_ca_bundle_that_changes_is_trusted_without_a_restart() {
    journey(async |world| {
        world.aws.create_bucket("ca-data").await?;
        // The authority of another server.
        let ca = world.surroundings().ca.clone();
        let other = aidp_e2e::proxy::Proxy::start("127.0.0.1:9".parse()?).await?;
        other.write_ca(&ca)?;
        let mut operator = world.operator("operator", &quick()).await?;
        world.apply(&buckets_policy("ca", &["ca-data"]))?;
        world
            .until_row("ca", "Unknown True - Unknown ObservationFailed")
            .await?;
        assert_eq!(
            world.proxy.calls(),
            [],
            "nothing is said to a server that is not trusted"
        );

        // A bundle that is half written is not taken over, and does no harm.
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?;
        eventually(PATIENCE, "the bad bundle is told", || async {
            if operator.log()?.contains("cannot be used; the old one holds") {
                Ok(())
            } else {
                Err(Error::from("not yet"))
            }
        })
        .await?;
        world.proxy.write_ca(&ca)?;
        let written = std::time::Instant::now();
        world.until_row("ca", ENFORCED).await?;
        world.measured(
            "until a policy is enforced after the CA bundle was put right",
            written.elapsed(),
            Duration::from_mins(1),
        )?;
        assert!(operator.running());
        Ok(())
    });
}

/// A token of the operator's ServiceAccount that ends with a Secret.
fn bound_token(world: &World, secret: &str) -> Result<String> {
    let plane = &world.plane;
    plane.kubectl(&["create", "secret", "generic", secret, "-n", NAMESPACE])?;
    let bound = format!("--bound-object-name={secret}");
    let create = [
        "create",
        "token",
        SERVICE_ACCOUNT,
        "-n",
        NAMESPACE,
        "--bound-object-kind=Secret",
        &bound,
    ];
    Ok(plane.kubectl(&create)?.trim().to_owned())
}

/// By which credentials the operator was known, from the API server's audit log.
fn credentials_in(log: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(log)?;
    let complete = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let mut ids = BTreeSet::new();
    for line in complete.lines().filter(|line| line.contains("credential-id")) {
        let user = &serde_json::from_str::<Value>(line)?["user"];
        if user["username"] == format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}") {
            let id = user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str();
            ids.extend(id.map(str::to_owned));
        }
    }
    Ok(ids)
}

#[test]
fn a_service_account_token_that_is_replaced_is_used_without_a_restart() {
    journey(async |world| {
        let Some(log) = world.plane.audit_log() else {
            eprintln!(
                "NOT CHECKED: tokens of the operator, since KUBECONFIG names a cluster without an audit log to read"
            );
            return Ok(());
        };
        world.aws.create_bucket("token-data").await?;
        let folder = world.surroundings().folder.clone();
        let (file, kubeconfig) = (folder.join("token"), folder.join("rotated.kubeconfig"));
        std::fs::write(&file, bound_token(world, "first-token")?)?;
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&world.surroundings().kubeconfig)?)?;
        config["users"][0]["user"] = json!({"tokenFile": file});
        std::fs::write(&kubeconfig, config.to_string())?;
        let settings = Settings {
            kubeconfig: Some(kubeconfig),
            lease_duration: "10s",
            ..quick()
        };
        let before = credentials_in(&log)?;
        let mut operator = world.operator("operator", &settings).await?;
        world.apply(&buckets_policy("token", &["token-data"]))?;
        world.until_row("token", ENFORCED).await?;
        let first = credentials_in(&log)?;
        assert_eq!(first.difference(&before).count(), 1);

        // As the kubelet does it: the new one is there well before the old one ends.
        let new = file.with_extension("new");
        std::fs::write(&new, bound_token(world, "second-token")?)?;
        std::fs::rename(new, &file)?;
        let replaced = std::time::Instant::now();
        eventually(PATIENCE, "requests are made with the new token", || async {
            if credentials_in(&log)?.difference(&first).count() == 1 {
                Ok(())
            } else {
                Err(Error::from("not yet"))
            }
        })
        .await?;
        world.measured(
            "until a new ServiceAccount token is used",
            replaced.elapsed(),
            Duration::from_secs(75),
        )?;
        world
            .plane
            .kubectl(&["delete", "secret", "first-token", "-n", NAMESPACE])?;
        world.aws.suspend_versioning("token-data").await?;
        eventually(PATIENCE, "versioning is repaired", || async {
            let bucket = world.aws.bucket("token-data").await?;
            if bucket.versioning.as_deref() == Some("Enabled") {
                Ok(())
            } else {
                Err(Error::from("not yet"))
            }
        })
        .await?;
        world.until_row("token", ENFORCED).await?;
        assert_eq!(operator.log()?.matches("No longer leader").count(), 0);
        assert!(operator.running());
        world
            .plane
            .kubectl(&["delete", "secret", "second-token", "-n", NAMESPACE])
            .map(drop)
    });
}

#[test]
fn everything_that_is_wrong_with_the_configuration_is_told_at_once() {
    journey(async |world| {
        let settings = Settings {
            arguments: vec!["--concurrency", "0", "--min-interval", "soon"],
            configuration: Some(json!({"maxMode": "Enforced", "accounts": [{"id": "12"}]})),
            ..Settings::default()
        };
        let mut operator = world.operator_unready("operator", &settings).await?;
        let status = operator.wait(PATIENCE).await?;
        assert_eq!(status.code(), Some(1));
        let log = operator.log()?;
        for setting in ["concurrency", "minInterval", "maxMode", "accounts[12]"] {
            assert!(log.contains(setting), "{setting} is not in: {log}");
        }
        Ok(())
    });
}
