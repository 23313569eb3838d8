//! What enforces NetworkPolicy in a cluster, from facts that anybody who may read it can see, and what is known of the
//! holes of each enforcer.
//!
//! A NetworkPolicy is an object like any other: without an enforcer it is stored and does nothing. So nothing counts as an
//! enforcer by guess: it must run where it is known to run (a DaemonSet of that name elsewhere could be anybody's), and
//! must not be switched off. What is not recognised is unknown, and the operator's configuration can say it.

use std::collections::{BTreeMap, BTreeSet};

use super::rung::Rung;
use crate::domain::observed::{EnforcerObservation, Hole};

/// One container of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Command and arguments.
    pub args: Vec<String>,
    /// Environment variables with a literal value.
    pub env: BTreeMap<String, String>,
}

/// A DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonSet {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Containers, init containers left out.
    pub containers: Vec<Container>,
    /// `status.desiredNumberScheduled`.
    pub desired: i32,
    /// `status.numberReady`.
    pub ready: i32,
}

/// What discovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// API groups, without version.
    pub api_groups: BTreeSet<String>,
    /// DaemonSets of the namespaces in [`NAMESPACES`].
    pub daemon_sets: Vec<DaemonSet>,
    /// Data of the ConfigMaps in [`CONFIG_MAPS`] that exist, by namespace and name.
    pub config_maps: BTreeMap<(String, String), BTreeMap<String, String>>,
}

/// The namespaces in which enforcers are looked for.
pub const NAMESPACES: [&str; 7] = [
    "kube-system",
    "cilium",
    "calico-system",
    "kube-flannel",
    "kube-router",
    "openshift-ovn-kubernetes",
    "ovn-kubernetes",
];

/// The ConfigMaps that say whether an enforcer is switched on.
pub const CONFIG_MAPS: [(&str, &str); 3] = [
    ("kube-system", "cilium-config"),
    ("cilium", "cilium-config"),
    ("kube-system", "amazon-vpc-cni"),
];

/// What enforces NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcer {
    /// E.g. `Cilium`; the names of all of them where there are several.
    pub name: String,
    /// The highest rung that NetworkPolicies reach with it; None: it does not enforce them.
    pub rung: Option<Rung>,
    /// What says so.
    pub evidence: String,
    /// What is known to be open all the same.
    pub holes: Vec<Hole>,
}

impl Enforcer {
    /// An enforcer that the operator's configuration names: believed, and said so; `none` is believed as well.
    pub fn stated(name: &str) -> Self {
        let holes = match name.to_ascii_lowercase().as_str() {
            "cilium" => vec![CILIUM_HOST],
            "vpc-cni" | "vpccni" | "aws-vpc-cni" | "vpc cni" => vec![VPC_CNI_NODE, VPC_CNI_SHARED, VPC_CNI_START],
            "kube-router" => vec![KUBE_ROUTER_DNAT],
            _ => Vec::new(),
        };
        Self {
            name: name.to_owned(),
            rung: (!name.eq_ignore_ascii_case("none")).then_some(Rung::DestinationRestricted),
            evidence: "stated by configuration".to_owned(),
            holes,
        }
    }
}

/// The label of pods on Fargate. No enforcer runs there: they run from DaemonSets, and Fargate has none (EKS user guide,
/// "Simplify compute management with AWS Fargate").
pub(super) const FARGATE_PROFILE: &str = "eks.amazonaws.com/fargate-profile";

/// Does it leave out pods that nothing owns? VPC CNI finds a pod by what made it (EKS user guide, "Limit Pod traffic with
/// Kubernetes network policies"; aws/aws-network-policy-agent#327). An enforcer beside it would hold them.
pub(super) fn leaves_out_standalone_pods(observed: &EnforcerObservation) -> bool {
    match observed {
        EnforcerObservation::Found { name, holes, .. } => holes.contains(&VPC_CNI_SHARED) && !name.contains(", "),
        EnforcerObservation::NotEnforcing { .. } | EnforcerObservation::Unknown => false,
    }
}

impl From<Option<&Enforcer>> for EnforcerObservation {
    fn from(enforcer: Option<&Enforcer>) -> Self {
        match enforcer {
            None => Self::Unknown,
            Some(Enforcer {
                name,
                rung: Some(_),
                evidence,
                holes,
            }) => Self::Found {
                name: name.clone(),
                evidence: evidence.clone(),
                holes: holes.clone(),
            },
            Some(Enforcer {
                name,
                rung: None,
                evidence,
                holes: _,
            }) => Self::NotEnforcing {
                name: name.clone(),
                evidence: evidence.clone(),
            },
        }
    }
}

const VPC_CNI_NODE: Hole = Hole {
    id: "NodeLocalEgressOpen",
    message: "VPC CNI always lets a pod reach its own node on every port: a proxy on the node's network opens everything",
};
const VPC_CNI_SHARED: Hole = Hole {
    id: "EnforcementAmbiguous",
    message: "VPC CNI keeps rules per pod-name prefix on a node: keep training pods apart from others by name",
};
const VPC_CNI_START: Hole = Hole {
    id: "EnforcementGapAtStart",
    message: "VPC CNI lets a new pod's traffic through until its rules are there: set NETWORK_POLICY_ENFORCING_MODE=strict",
};
const CILIUM_HOST: Hole = Hole {
    id: "HostEntitiesByIdentity",
    message: "Cilium matches nodes and the pod network by identity: no ipBlock opens or closes them; check its own policies",
};
const KUBE_ROUTER_DNAT: Hole = Hole {
    id: "ServicesJudgedAfterTranslation",
    message: "kube-router judges connections to Services by the pod behind them, not by the Service's address",
};
const NOT_EVERYWHERE: Hole = Hole {
    id: "NotOnEveryNode",
    message: "the enforcer is not ready on every node: pods there may not be restricted",
};

/// What the facts say about one plugin: None if it is not there.
type Judgement = Option<Enforcer>;

/// What enforces NetworkPolicy according to the facts; None if nothing known was found. Where several plugins run, those
/// that enforce count.
pub fn detect(facts: &ClusterFacts) -> Option<Enforcer> {
    let judged = [
        cilium,
        calico,
        vpc_cni,
        auto_mode,
        kube_router,
        antrea,
        ovn,
        kindnet,
        flannel,
    ]
    .map(|judge| judge(facts));
    let (enforcing, idle): (Vec<Enforcer>, Vec<Enforcer>) =
        judged.into_iter().flatten().partition(|e| e.rung.is_some());
    let mut enforcing = enforcing.into_iter();
    let Some(first) = enforcing.next() else {
        return idle.into_iter().next();
    };
    Some(enforcing.fold(first, |all, one| {
        Enforcer {
            name: format!("{}, {}", all.name, one.name),
            rung: all.rung,
            evidence: format!("{}; {}", all.evidence, one.evidence),
            holes: all
                .holes
                .into_iter()
                .chain(one.holes)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }))
}

fn find<'a>(facts: &'a ClusterFacts, places: &[(&str, &str)]) -> Option<&'a DaemonSet> {
    let here = |d: &&DaemonSet| places.contains(&(d.namespace.as_str(), d.name.as_str()));
    facts.daemon_sets.iter().find(here)
}

fn config<'a>(facts: &'a ClusterFacts, namespace: &str, name: &str, key: &str) -> Option<&'a str> {
    let map = facts.config_maps.get(&(namespace.to_owned(), name.to_owned()))?;
    map.get(key).map(String::as_str)
}

/// Value of a flag: `--flag=value`, or `true` for `--flag` alone. The last one counts.
fn flag<'a>(daemon_set: &'a DaemonSet, name: &str) -> Option<&'a str> {
    let args = daemon_set.containers.iter().flat_map(|c| &c.args);
    let value = |arg: &'a String| match arg.trim_start_matches('-').split_once('=') {
        Some((flag, value)) if flag == name => Some(value),
        None if arg.trim_start_matches('-') == name => Some("true"),
        Some(_) | None => None,
    };
    args.rev().find_map(value)
}

fn env<'a>(daemon_set: &'a DaemonSet, name: &str) -> Option<&'a str> {
    daemon_set
        .containers
        .iter()
        .find_map(|c| c.env.get(name))
        .map(String::as_str)
}

fn enforcing(name: &str, daemon_set: &DaemonSet, how: &str, mut holes: Vec<Hole>) -> Enforcer {
    let DaemonSet {
        namespace,
        name: object,
        desired,
        ready,
        containers: _,
    } = daemon_set;
    if ready < desired {
        holes.push(NOT_EVERYWHERE);
    }
    Enforcer {
        name: name.to_owned(),
        // Where no pod of it runs, nothing is enforced, whatever is configured.
        rung: (*ready > 0).then_some(Rung::DestinationRestricted),
        evidence: format!("DaemonSet {namespace}/{object}{how}, ready on {ready} of {desired} nodes"),
        holes,
    }
}

fn idle(name: &str, daemon_set: &DaemonSet, why: &str) -> Enforcer {
    let DaemonSet {
        namespace,
        name: object,
        ..
    } = daemon_set;
    Enforcer {
        name: name.to_owned(),
        rung: None,
        evidence: format!("DaemonSet {namespace}/{object} {why}"),
        holes: Vec::new(),
    }
}

fn cilium(facts: &ClusterFacts) -> Judgement {
    let agent = find(facts, &[("kube-system", "cilium"), ("cilium", "cilium")])?;
    if !facts.api_groups.contains("cilium.io") {
        return Some(idle("Cilium", agent, "without the API group cilium.io"));
    }
    // A flag wins over the environment, and that over the ConfigMap (Cilium, "Configuration").
    let setting = |key: &str| {
        let variable = format!("CILIUM_{}", key.to_ascii_uppercase().replace('-', "_"));
        flag(agent, key)
            .or_else(|| env(agent, &variable))
            .or_else(|| config(facts, &agent.namespace, "cilium-config", key))
    };
    for (key, off, why) in [
        ("enable-policy", "never", "with enable-policy: never"),
        (
            "enable-k8s-networkpolicy",
            "false",
            "with enable-k8s-networkpolicy: false",
        ),
        // What would be dropped is logged, and let through.
        ("policy-audit-mode", "true", "with policy-audit-mode: true"),
    ] {
        if setting(key).is_some_and(|value| value.eq_ignore_ascii_case(off)) {
            return Some(idle("Cilium", agent, why));
        }
    }
    Some(enforcing("Cilium", agent, "", vec![CILIUM_HOST]))
}

fn calico(facts: &ClusterFacts) -> Judgement {
    let places = [
        ("kube-system", "calico-node"),
        ("calico-system", "calico-node"),
        ("kube-system", "canal"),
    ];
    let agent = find(facts, &places)?;
    let known = ["crd.projectcalico.org", "projectcalico.org"];
    if !known.iter().any(|g| facts.api_groups.contains(*g)) {
        return Some(idle("Calico", agent, "without the API group projectcalico.org"));
    }
    Some(enforcing("Calico", agent, "", Vec::new()))
}

fn vpc_cni(facts: &ClusterFacts) -> Judgement {
    let agent = find(facts, &[("kube-system", "aws-node")])?;
    if flag(agent, "enable-network-policy") != Some("true") {
        return Some(idle("VPC CNI", agent, "without --enable-network-policy=true"));
    }
    if !facts.api_groups.contains("networking.k8s.aws") {
        return Some(idle(
            "VPC CNI",
            agent,
            "without the API group networking.k8s.aws, which its controller writes",
        ));
    }
    if config(
        facts,
        "kube-system",
        "amazon-vpc-cni",
        "enable-network-policy-controller",
    ) == Some("false")
    {
        let why = "with enable-network-policy-controller: \"false\" in ConfigMap amazon-vpc-cni";
        return Some(idle("VPC CNI", agent, why));
    }
    let mut holes = vec![VPC_CNI_NODE, VPC_CNI_SHARED];
    if env(agent, "NETWORK_POLICY_ENFORCING_MODE") != Some("strict") {
        holes.push(VPC_CNI_START);
    }
    Some(enforcing("VPC CNI", agent, " with --enable-network-policy=true", holes))
}

/// EKS Auto Mode runs the node agent outside the cluster's sight; only the controller's switch can be seen.
fn auto_mode(facts: &ClusterFacts) -> Judgement {
    let has_agent = find(facts, &[("kube-system", "aws-node")]).is_some();
    if has_agent || !facts.api_groups.contains("eks.amazonaws.com") {
        return None;
    }
    let key = "enable-network-policy-controller";
    let on = config(facts, "kube-system", "amazon-vpc-cni", key) == Some("true");
    let is = if on { "" } else { "not " };
    Some(Enforcer {
        name: "EKS Auto Mode".to_owned(),
        rung: on.then_some(Rung::DestinationRestricted),
        evidence: format!("API group eks.amazonaws.com; ConfigMap kube-system/amazon-vpc-cni: {key} {is}\"true\""),
        holes: if on {
            vec![VPC_CNI_NODE, VPC_CNI_SHARED, VPC_CNI_START]
        } else {
            Vec::new()
        },
    })
}

fn kube_router(facts: &ClusterFacts) -> Judgement {
    let agent = find(facts, &[("kube-system", "kube-router"), ("kube-router", "kube-router")])?;
    if flag(agent, "run-firewall").is_some_and(|v| v != "true") {
        return Some(idle("kube-router", agent, "with --run-firewall off"));
    }
    Some(enforcing("kube-router", agent, "", vec![KUBE_ROUTER_DNAT]))
}

fn antrea(facts: &ClusterFacts) -> Judgement {
    let agent = find(facts, &[("kube-system", "antrea-agent")])?;
    Some(enforcing("Antrea", agent, "", Vec::new()))
}

fn ovn(facts: &ClusterFacts) -> Judgement {
    let places = [
        ("openshift-ovn-kubernetes", "ovnkube-node"),
        ("ovn-kubernetes", "ovnkube-node"),
    ];
    let agent = find(facts, &places)?;
    Some(enforcing("OVN-Kubernetes", agent, "", Vec::new()))
}

/// Older versions of kindnet enforce nothing, and a DaemonSet does not say which one it is: not counted on.
fn kindnet(facts: &ClusterFacts) -> Judgement {
    let agent = find(facts, &[("kube-system", "kindnet")])?;
    Some(idle(
        "kindnet",
        agent,
        "enforces NetworkPolicy in new versions only; state it by configuration if yours does",
    ))
}

fn flannel(facts: &ClusterFacts) -> Judgement {
    let places = [("kube-flannel", "kube-flannel-ds"), ("kube-system", "kube-flannel-ds")];
    let agent = find(facts, &places)?;
    Some(idle("flannel", agent, "does not enforce NetworkPolicy"))
}

#[cfg(test)]
mod tests;
