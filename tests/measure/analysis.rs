//! The size that the operator must manage: 500 namespaces × 20 pods × 5 policies, analysed once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use aidp::domain::egress::AddressSet;
use aidp::domain::egress::excess::Desired;
use aidp::domain::egress::union::{Pod, Union};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;

const NAMESPACES: usize = 500;
const PODS_EACH: usize = 20;
const POLICIES_EACH: usize = 5;

/// What was found, and what it cost.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Pods judged.
    pub pods: usize,
    /// Different answers among them, counted by namespace.
    pub distinct: usize,
    /// Rules that let more out than wanted, over all different answers.
    pub exceeding: usize,
    /// Processor time of the analysis, reading the policies included.
    pub processor: Duration,
    /// Resident memory that the inputs take, in KiB.
    pub inputs_kib: u64,
    /// Resident memory that the analysis added to it, in KiB: the policies as read, and what one namespace takes.
    pub growth_kib: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pods,
            distinct,
            exceeding,
            processor,
            inputs_kib,
            growth_kib,
        } = self;
        write!(
            f,
            "union analysis of {pods} pods ({distinct} different answers, {exceeding} rules beyond the policy): {} ms of \
             processor time, {growth_kib} KiB of memory besides {inputs_kib} KiB of policies",
            processor.as_millis()
        )
    }
}

/// Analyses the union of all policies of every pod, and what exceeds a policy.
///
/// # Errors
/// A policy can't be read, or the kernel does not say what it cost (Linux does).
pub fn analyse() -> Result<Measured, Box<dyn std::error::Error>> {
    let empty = kib("VmRSS:")?;
    let namespaces: Vec<String> = (0..NAMESPACES).map(|n| format!("ns-{n}")).collect();
    let pods: Vec<BTreeMap<String, String>> = (0..PODS_EACH).map(labels).collect();
    let mut policies = Vec::with_capacity(NAMESPACES * POLICIES_EACH);
    for namespace in &namespaces {
        for i in 0..POLICIES_EACH {
            policies.push(policy(namespace, i)?);
        }
    }
    let none = BTreeMap::new();
    let desired = Desired::of(policies.first())?;
    let before = kib("VmRSS:")?;

    let start = processor()?;
    let mut union = Union::new(AddressSet::all());
    for policy in &policies {
        union.add_network_policy(policy)?;
    }
    let (mut judged, mut distinct, mut exceeding) = (0, 0, 0);
    // One namespace after the other, as the operator does: of each only what exceeds is kept.
    for namespace in &namespaces {
        let effective = union.effective_of_all(pods.iter().map(|labels| Pod {
            namespace,
            namespace_labels: &none,
            labels,
            host_network: false,
        }));
        let mut seen = BTreeSet::new();
        for one in &effective {
            if seen.insert(Rc::as_ptr(one)) {
                exceeding += union.excess(one, &desired).len();
            }
        }
        judged += effective.len();
        distinct += seen.len();
    }
    let processor = processor()?.saturating_sub(start);
    Ok(Measured {
        pods: judged,
        distinct,
        exceeding,
        processor,
        inputs_kib: before.saturating_sub(empty),
        growth_kib: kib("VmRSS:")?.saturating_sub(before),
    })
}

/// Each policy leaves out one of seven shards.
fn labels(pod: usize) -> BTreeMap<String, String> {
    let pairs = [
        ("app", "train".to_owned()),
        ("shard", (pod % 7).to_string()),
        ("pod", pod.to_string()),
    ];
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

fn policy(namespace: &str, i: usize) -> Result<NetworkPolicy, serde_json::Error> {
    serde_json::from_value(json!({
        "metadata": {"name": format!("p{i}"), "namespace": namespace},
        "spec": {
            "podSelector": {"matchExpressions": [{"key": "shard", "operator": "NotIn", "values": [i.to_string()]}]},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}], "ports": [{"port": 443}]},
                {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}],
                 "ports": [{"port": 5432}, {"port": 8000, "endPort": 8100}]},
                {"ports": [{"port": 9000 + i}]},
            ],
        },
    }))
}

/// Time that this thread has had a processor (kernel documentation, sched-stats: nanoseconds, the first field).
fn processor() -> Result<Duration, Box<dyn std::error::Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("schedstat is empty")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// A field of `/proc/self/status` that is in KiB.
fn kib(field: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .ok_or("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
