//! Everything that lets a rule's pods out, on a real API server: what moves is judged by watch, for a handful of requests
//! whatever the size of the cluster, which the server's own audit log says.

use aidp_e2e::operator::Settings;
use aidp_e2e::view::PolicyView;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey, policy};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::common::{ENFORCED, rule};

/// Namespaces of the policy: enough that one request for each of them would show.
const NAMESPACES: usize = 25;
/// The policy, the namespace's NetworkPolicies or pods, and the status; twice, should the change come in two events.
const HANDFUL: usize = 8;

fn pod(namespace: &str, labels: &Value, more: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "main", "image": "registry.local/none"}]});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trainer", "namespace": namespace, "labels": labels},
        "spec": spec,
    })
}

fn restricted(policy: &PolicyView) -> String {
    policy.short("EgressRestricted")
}

/// Makes a change, waits for what it does to the condition, and counts the operator's requests until then.
async fn cost(world: &World, want: &str, change: impl FnOnce() -> Result<()>) -> Result<usize> {
    let audit = world.audit()?;
    change()?;
    world.until("union", want.to_owned(), restricted).await?;
    let Some(audit) = audit else { return Ok(0) };
    let requests: Vec<_> = audit
        .requests()?
        .into_iter()
        .filter(|r| r.resource != "leases" && r.verb != "watch")
        .collect();
    eprintln!("{want}: {requests:#?}");
    Ok(requests.len())
}

#[test]
fn what_else_lets_the_pods_out_is_found_by_watch_for_a_handful_of_requests() {
    journey(async |world| {
        for n in 0..NAMESPACES {
            world.namespace(&format!("ml-union-{n}"), &json!({"team": "union"}))?;
        }
        let _operator = world.operator("operator", &Settings::default()).await?;
        let mut long = policy("union", &json!({"egress": [rule("training", "union")]}));
        // No sweep comes in between.
        long["spec"]["interval"] = json!("20m");
        world.apply(&long)?;
        world.until_row("union", ENFORCED).await?;

        let open = |name: &str, labels: Value| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": "ml-union-7"},
                "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Egress"],
                         "egress": [{"ports": [{"protocol": "TCP", "port": 80}]}]},
            })
        };
        let good = "True/PortRestricted";
        let bad = "False/EgressExceeded";
        let delete = |kind: &str, name: &str| {
            world
                .plane
                .kubectl(&["delete", kind, name, "-n", "ml-union-7", "--grace-period=0", "--force"])
                .map(drop)
        };

        // A NetworkPolicy that selects every pod of the rule.
        let of_policy = cost(world, bad, || {
            world.apply(&open("every", json!({"workload": "training"})))
        })
        .await?;
        let findings = world.policy("union")?.findings();
        assert!(
            findings
                .iter()
                .any(|f| f.contains("NetworkPolicy/every.spec.egress[0]") && f.contains("ml-union-7")),
            "{findings:?}"
        );
        cost(world, good, || delete("networkpolicy", "every")).await?;

        // One that selects some: it matters once such a pod is there, and no longer than that.
        world.apply(&open("debug", json!({"debug": "true"})))?;
        world.apply(&pod("ml-union-7", &json!({"workload": "training"}), &json!({})))?;
        let of_pod = cost(world, bad, || {
            world
                .plane
                .kubectl(&["label", "pod", "trainer", "-n", "ml-union-7", "debug=true"])
                .map(drop)
        })
        .await?;
        cost(world, good, || delete("pod", "trainer")).await?;

        // A pod that no policy can hold.
        let host = json!({"hostNetwork": true});
        cost(world, bad, || {
            world.apply(&pod("ml-union-7", &json!({"workload": "training"}), &host))
        })
        .await?;
        let findings = world.policy("union")?.findings();
        assert!(findings.iter().any(|f| f.contains("hostNetwork")), "{findings:?}");
        cost(world, good, || delete("pod", "trainer")).await?;

        assert!(
            of_policy <= HANDFUL && of_pod <= HANDFUL,
            "{of_policy} and {of_pod} requests"
        );
        eventually(PATIENCE, "all is well again", || async {
            let seen = world.policy("union")?;
            if seen.row() == ENFORCED {
                Ok(())
            } else {
                Err(Error::from(seen.row()))
            }
        })
        .await
    });
}
