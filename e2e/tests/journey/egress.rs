//! NetworkPolicies on the API server. No node runs here, so nothing enforces them: what is judged is the objects, and what
//! the status claims on their behalf.

use std::time::{Duration, Instant};

use aidp_e2e::operator::Settings;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey, policy};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::common::{ENFORCED, quick, rule};

/// An edit must be undone within seconds: by watch, not by the next interval, which is half a minute here.
const SECONDS: Duration = Duration::from_secs(10);

fn egress_policy(name: &str) -> Value {
    policy(name, &json!({"egress": [rule("training", name)]}))
}

/// Name and spec of the operator's one NetworkPolicy in a namespace.
async fn the_policy(world: &World, namespace: &str) -> Result<(String, Value)> {
    eventually(PATIENCE, &format!("one NetworkPolicy in {namespace}"), || async {
        let list: Value =
            serde_json::from_str(
                &world
                    .plane
                    .kubectl(&["get", "networkpolicies", "-n", namespace, "-o=json"])?,
            )?;
        match list["items"].as_array().map(Vec::as_slice) {
            Some([one]) => Ok((
                one["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                one["spec"].clone(),
            )),
            other => Err(Error::from(format!("{} of them", other.map_or(0, <[Value]>::len)))),
        }
    })
    .await
}

/// Waits until the namespace's one NetworkPolicy is `spec` again.
async fn restored(world: &World, namespace: &str, spec: &Value) -> Result<Duration> {
    let start = Instant::now();
    eventually(PATIENCE, "the NetworkPolicy is as it was", || async {
        let (_, now) = the_policy(world, namespace).await?;
        if now == *spec {
            Ok(())
        } else {
            Err(Error::from(now.to_string()))
        }
    })
    .await?;
    Ok(start.elapsed())
}

#[test]
fn pods_may_reach_dns_and_443_and_never_the_metadata_address() {
    journey(async |world| {
        world.namespace("ml-net", &json!({"team": "net"}))?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&egress_policy("net"))?;
        let seen = world.until_row("net", ENFORCED).await?;
        assert_eq!(seen.short("EgressRestricted"), "True/PortRestricted");

        let (name, spec) = the_policy(world, "ml-net").await?;
        assert!(name.contains("training"), "the object is named after its rule: {name}");
        assert_eq!(spec["policyTypes"], json!(["Egress"]));
        assert_eq!(spec["podSelector"], json!({"matchLabels": {"workload": "training"}}));
        for rule in spec["egress"].as_array().expect("egress rules") {
            let ports: Vec<i64> = rule["ports"]
                .as_array()
                .expect("no rule without ports")
                .iter()
                .filter_map(|p| p["port"].as_i64())
                .collect();
            assert!(
                ports.iter().all(|port| [53, 443].contains(port)) && !ports.is_empty(),
                "{rule}"
            );
            for peer in rule["to"].as_array().expect("no rule without peers") {
                let cidr = peer["ipBlock"]["cidr"].as_str().unwrap_or_default();
                assert!(
                    peer["ipBlock"].get("except").is_none(),
                    "enforcers differ on except: {peer}"
                );
                assert!(
                    cidr != "0.0.0.0/0" && !cidr.starts_with("169.254.169.254"),
                    "the metadata address is within {cidr}"
                );
            }
        }
        Ok(())
    });
}

#[test]
fn an_edited_or_deleted_network_policy_is_restored_within_seconds() {
    journey(async |world| {
        world.namespace("ml-edit", &json!({"team": "edit"}))?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&egress_policy("edit"))?;
        world.until_row("edit", ENFORCED).await?;
        let (name, spec) = the_policy(world, "ml-edit").await?;

        let wide = json!({"spec": {"egress": [{}]}}).to_string();
        world.plane.kubectl(&[
            "patch",
            "networkpolicy",
            &name,
            "-n",
            "ml-edit",
            "--type=merge",
            "-p",
            &wide,
            "--field-manager=intruder",
        ])?;
        let edited = restored(world, "ml-edit", &spec).await?;
        let told = |policy: &aidp_e2e::view::PolicyView| {
            policy
                .list("/status/history")
                .iter()
                .any(|e| e["control"] == "Net.Egress" && e["outcome"] == "Corrected" && e["actor"] == "intruder")
        };
        world
            .until("edit", true, told)
            .await
            .map_err(|error| format!("the history names who did it: {error}"))?;

        world
            .plane
            .kubectl(&["delete", "networkpolicy", &name, "-n", "ml-edit"])?;
        let deleted = restored(world, "ml-edit", &spec).await?;
        world.until_row("edit", ENFORCED).await?;
        eprintln!("restored {edited:?} after an edit, {deleted:?} after a deletion");
        assert!(edited < SECONDS && deleted < SECONDS, "{edited:?} {deleted:?}");
        Ok(())
    });
}

#[test]
fn audit_reports_an_edited_network_policy_and_leaves_it() {
    journey(async |world| {
        world.namespace("ml-watch", &json!({"team": "watch"}))?;
        let _operator = world.operator("operator", &quick()).await?;
        world.apply(&egress_policy("watch"))?;
        world.until_row("watch", ENFORCED).await?;
        crate::common::patch(world, "watch", &json!({"mode": "Audit"}))?;
        world.until_row("watch", "True - - False Audited").await?;
        let (name, _) = the_policy(world, "ml-watch").await?;
        let wide = json!({"spec": {"egress": [{}]}}).to_string();
        world.plane.kubectl(&[
            "patch",
            "networkpolicy",
            &name,
            "-n",
            "ml-watch",
            "--type=merge",
            "-p",
            &wide,
        ])?;
        let seen = world.until_row("watch", "True - - True Audited").await?;
        assert!(
            seen.findings()
                .iter()
                .any(|finding| finding.starts_with("Net.Egress egress/training")),
            "{:?}",
            seen.findings()
        );
        world.reconcile("watch").await?;
        assert_eq!(the_policy(world, "ml-watch").await?.1["egress"], json!([{}]));
        Ok(())
    });
}

#[test]
fn a_namespace_that_appears_or_gets_the_label_is_covered_and_one_that_loses_it_is_let_go() {
    journey(async |world| {
        world.namespace("ml-first", &json!({"team": "grow"}))?;
        world.namespace("ml-later", &json!({"team": "other"}))?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        let mut spec = egress_policy("grow");
        spec["spec"]["deletionPolicy"] = json!("Revert");
        world.apply(&spec)?;
        world.until_row("grow", ENFORCED).await?;
        let (_, wanted) = the_policy(world, "ml-first").await?;

        world.namespace("ml-second", &json!({"team": "grow"}))?;
        let created = restored(world, "ml-second", &wanted).await?;
        world
            .plane
            .kubectl(&["label", "namespace", "ml-later", "team=grow", "--overwrite"])?;
        let labelled = restored(world, "ml-later", &wanted).await?;
        assert!(created < SECONDS && labelled < SECONDS, "{created:?} {labelled:?}");

        world
            .plane
            .kubectl(&["label", "namespace", "ml-later", "team=other", "--overwrite"])?;
        eventually(PATIENCE, "the NetworkPolicy has left the namespace", || async {
            let left = world
                .plane
                .kubectl(&["get", "networkpolicies", "-n", "ml-later", "-o=name"])?;
            if left.is_empty() {
                Ok(())
            } else {
                Err(Error::from(left))
            }
        })
        .await
    });
}

#[test]
fn no_claim_goes_beyond_its_evidence() {
    journey(async |world| {
        world.namespace("ml-claim", &json!({"team": "claim"}))?;
        // Nothing says what enforces NetworkPolicy here, and nothing does.
        let unknown = Settings {
            network_enforcer: None,
            ..quick()
        };
        let operator = world.operator("detecting", &unknown).await?;
        world.apply(&egress_policy("claim"))?;
        let seen = world
            .until("claim", "Unknown/EnforcerUnknown".to_owned(), |policy| {
                policy.short("EgressRestricted")
            })
            .await?;
        assert_ne!(seen.status("Ready"), "True");
        drop(operator);

        // Stated by the administrator: then the port is restricted, and no more than that.
        let _operator = world.operator("stated", &quick()).await?;
        world.until_row("claim", ENFORCED).await?;
        let mut stricter = egress_policy("claim");
        stricter["spec"]["egress"][0]["assurance"] = json!("TLS");
        world.apply(&stricter)?;
        world
            .until("claim", "False/NotEnforced".to_owned(), |policy| {
                policy.short("EgressRestricted")
            })
            .await?;
        world.apply(&egress_policy("claim"))?;
        world.until_row("claim", ENFORCED).await?;

        // Somebody else's policy selects the same pods: what they can reach is the union, and the watch brings it.
        world.apply(&json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "generous", "namespace": "ml-claim"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
        }))?;
        let seen = world
            .until("claim", "False/EgressExceeded".to_owned(), |policy| {
                policy.short("EgressRestricted")
            })
            .await?;
        assert!(
            seen.list("/status/findings")
                .iter()
                .any(|f| f.to_string().contains("NetworkPolicy/generous.spec.egress[0]")),
            "{:?}",
            seen.findings()
        );
        world
            .plane
            .kubectl(&["delete", "networkpolicy", "generous", "-n", "ml-claim"])?;
        world.until_row("claim", ENFORCED).await?;
        Ok(())
    });
}

#[test]
fn a_rule_that_would_cut_pods_off_from_their_credentials_is_refused() {
    journey(async |world| {
        world.namespace("ml-cut", &json!({"team": "cut"}))?;
        world.aws.create_bucket("cut-data").await?;
        let _operator = world.operator("operator", &quick()).await?;
        // The pods take their credentials from STS, and the rule lets them reach one private network only.
        let mut narrow = rule("training", "cut");
        narrow["allow"] = json!([{"type": "CIDR", "cidr": "10.20.0.0/16", "ports": [{"port": 8443}]}]);
        world.apply(&policy(
            "cut",
            &json!({
                "buckets": [{"name": "cut-data"}], "egress": [narrow],
                "trainingRoles": [{"name": "cut-trainer", "workloadIdentity": "IRSA", "read": [{"bucket": "cut-data"}],
                                   "serviceAccounts": [{"namespace": "ml-cut", "name": "trainer"}]}],
            }),
        ))?;
        let seen = world
            .until("cut", "BlocksOwnCredentials".to_owned(), |policy| {
                policy.condition("Stalled").map(|c| c.reason).unwrap_or_default()
            })
            .await?;
        assert!(
            seen.findings()
                .iter()
                .any(|f| f.starts_with("Net.BlocksOwnCredentials egress/training")),
            "{:?}",
            seen.findings()
        );
        assert_eq!(
            world
                .plane
                .kubectl(&["get", "networkpolicies", "-n", "ml-cut", "-o=name"])?,
            ""
        );
        Ok(())
    });
}

#[test]
fn the_operators_own_namespace_is_not_restricted() {
    journey(async |world| {
        let _operator = world.operator("operator", &quick()).await?;
        let mut own = rule("training", "x");
        own["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": aidp_e2e::plane::NAMESPACE}});
        let mut every = rule("everything", "x");
        every["namespaceSelector"] =
            json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]});
        world.apply(&policy("own", &json!({"egress": [own]})))?;
        world.apply(&policy("every", &json!({"egress": [every]})))?;
        world.until_row("own", "False - True Unknown Invalid").await?;
        let reason = |policy: &aidp_e2e::view::PolicyView| policy.condition("Stalled").map(|c| c.reason);
        world
            .until("every", Some("NamespaceRefused".to_owned()), reason)
            .await?;
        for namespace in [aidp_e2e::plane::NAMESPACE, "kube-system"] {
            assert_eq!(
                world
                    .plane
                    .kubectl(&["get", "networkpolicies", "-n", namespace, "-o=name"])?,
                "",
                "{namespace}"
            );
        }
        Ok(())
    });
}
