//! Reads the cluster-wide policies of kubernetes-sigs/network-policy-api: AdminNetworkPolicy and
//! BaselineAdminNetworkPolicy (`policy.networking.k8s.io/v1alpha1`) and ClusterNetworkPolicy (`v1alpha2`).
//!
//! The types here hold the egress side only, and no more than the analysis needs; fields that a later version may add are
//! noticed, because the API asks for them to fail closed: an Accept with an unknown peer matches nothing, a Deny or Pass
//! with one denies everything.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::{AddressSet, parse_cidr};
use super::fields::unknown_field;
use super::network_policy::{port_name, port_number, protocol_named, selector};
use super::port::{ALL_PORTS, NamedPort, Ports, Protocol};
use super::rule::{Action, Peer, Peers, PolicyError, Rule};
use super::selector::{Labels, Selector};

/// API group of the policies read here.
pub const GROUP: &str = "policy.networking.k8s.io";

/// Which of the three it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminKind {
    /// `v1alpha1` AdminNetworkPolicy.
    AdminNetworkPolicy,
    /// `v1alpha1` BaselineAdminNetworkPolicy.
    BaselineAdminNetworkPolicy,
    /// `v1alpha2` ClusterNetworkPolicy.
    ClusterNetworkPolicy,
}

impl AdminKind {
    /// The API's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminNetworkPolicy => "AdminNetworkPolicy",
            Self::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
        }
    }

    /// The kind of an object, if it is one of these.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version.strip_prefix(GROUP)?, kind) {
            ("/v1alpha1", "AdminNetworkPolicy") => Some(Self::AdminNetworkPolicy),
            ("/v1alpha1", "BaselineAdminNetworkPolicy") => Some(Self::BaselineAdminNetworkPolicy),
            ("/v1alpha2", "ClusterNetworkPolicy") => Some(Self::ClusterNetworkPolicy),
            _ => None,
        }
    }
}

impl fmt::Display for AdminKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Before or after the NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Decides before NetworkPolicies, and over them.
    Admin,
    /// Decides only for pods that no NetworkPolicy isolates.
    Baseline,
}

/// The pods a policy applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Their namespaces.
    pub namespaces: Selector,
    /// The pods therein.
    pub pods: Selector,
}

/// A cluster-wide policy's egress side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPolicy {
    /// Kind.
    pub kind: AdminKind,
    /// Name.
    pub name: String,
    /// Tier.
    pub tier: Tier,
    /// 0 to 1000, lower first; 0 for a BaselineAdminNetworkPolicy, of which there is one.
    pub priority: i32,
    /// To whom it applies.
    pub subject: Subject,
    /// Egress rules; the first that matches decides.
    pub rules: Vec<Rule>,
    /// Rules with a peer or protocol that is unknown here and was taken to fail closed. A cluster that knows it may
    /// decide otherwise, so no claim should rest on such a policy.
    pub unknown: Vec<PolicyError>,
}

impl AdminPolicy {
    /// Reads an object of that kind.
    ///
    /// # Errors
    /// [`PolicyError`] names the field that the API server would refuse.
    pub fn read(kind: AdminKind, object: &Value) -> Result<Self, PolicyError> {
        let Object { metadata, spec } = serde_path_to_error::deserialize(object).map_err(|e| {
            let path = e.path().to_string();
            PolicyError::new(path, e.into_inner().to_string())
        })?;
        let (tier, priority) = tier_and_priority(kind, &metadata.name, &spec)?;
        let given = object.get("spec");
        // Misspelt, a selector would select everything.
        let subject = given.and_then(|s| unknown_field("spec.subject", s.get("subject")?, &spec.subject));
        if let Some(path) = subject {
            return Err(PolicyError::new(path, UNKNOWN_FIELD));
        }
        let subject = read_subject(spec.subject)?;
        let mut unknown = unknown_fields(object);
        let mut rules = Vec::with_capacity(spec.egress.len());
        let egress = given.and_then(|s| s.get("egress")).and_then(Value::as_array);
        let given = egress.into_iter().flatten();
        for (index, (rule, given)) in spec.egress.iter().zip(given).enumerate() {
            unknown.extend(unknown_in_rule(index, rule, given));
            rules.extend(read_rule(kind, index, rule, &mut unknown)?);
        }
        Ok(Self {
            kind,
            name: metadata.name,
            tier,
            priority,
            subject,
            rules,
            unknown,
        })
    }

    /// Does it apply to a pod with these labels in a namespace with those?
    pub fn applies(&self, namespace_labels: &Labels, labels: &Labels) -> bool {
        !self.rules.is_empty() && self.subject.namespaces.matches(namespace_labels) && self.subject.pods.matches(labels)
    }
}

impl AdminPolicy {
    /// Does it apply to every pod that `pods` selects in a namespace with those labels?
    pub fn applies_to_every(&self, namespace_labels: &Labels, pods: &Selector) -> bool {
        !self.rules.is_empty()
            && self.subject.namespaces.matches(namespace_labels)
            && pods.is_subset(&self.subject.pods)
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct Spec {
    tier: Option<String>,
    priority: Option<i32>,
    subject: RawSubject,
    #[serde(default)]
    egress: Vec<RawRule>,
}

#[derive(Deserialize, Serialize)]
struct RawSubject {
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPod>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct NamespacedPod {
    #[serde(default)]
    namespace_selector: LabelSelector,
    #[serde(default)]
    pod_selector: LabelSelector,
}

#[derive(Deserialize)]
struct RawRule {
    action: String,
    #[serde(default)]
    to: Vec<RawPeer>,
    /// v1alpha1
    ports: Option<Vec<RawPort>>,
    /// v1alpha2
    protocols: Option<Vec<RawProtocol>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RawPeer {
    namespaces: Option<LabelSelector>,
    pods: Option<NamespacedPod>,
    nodes: Option<LabelSelector>,
    networks: Option<Vec<String>>,
    domain_names: Option<Vec<String>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl RawPeer {
    fn is_known(&self) -> bool {
        let by_label = self.namespaces.is_some() || self.pods.is_some() || self.nodes.is_some();
        by_label || self.networks.is_some() || self.domain_names.is_some()
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    port_number: Option<Number>,
    named_port: Option<String>,
    port_range: Option<Range>,
}

#[derive(Deserialize, Serialize)]
struct Number {
    protocol: Option<String>,
    port: i32,
}

#[derive(Deserialize, Serialize)]
struct Range {
    protocol: Option<String>,
    start: i32,
    end: i32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RawProtocol {
    tcp: Option<Destination>,
    udp: Option<Destination>,
    sctp: Option<Destination>,
    destination_named_port: Option<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl RawProtocol {
    fn is_known(&self) -> bool {
        let numbered = self.tcp.is_some() || self.udp.is_some() || self.sctp.is_some();
        numbered || self.destination_named_port.is_some()
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    destination_port: Option<DestinationPort>,
}

#[derive(Deserialize, Serialize)]
struct DestinationPort {
    number: Option<i32>,
    range: Option<Range>,
}

const UNKNOWN_FIELD: &str = "an unknown field";

/// The first field within the peers of a rule, and within its ports, that is not in the API as known here, and what stands
/// beside a known kind of peer or protocol. That one is of an unknown kind altogether is [`read_rule`]'s business.
fn unknown_in_rule(index: usize, rule: &RawRule, given: &Value) -> Vec<PolicyError> {
    let at = |part| format!("spec.egress[{index}].{part}");
    let peers = given.get("to").and_then(|to| unknown_field(&at("to"), to, &rule.to));
    let ports = given
        .get("ports")
        .and_then(|p| unknown_field(&at("ports"), p, &rule.ports));
    let protocols = given.get("protocols");
    let protocols = protocols.and_then(|p| unknown_field(&at("protocols"), p, &rule.protocols));
    let beside = |part, i, keys: &BTreeMap<String, Value>| {
        let first = keys.keys().next();
        first.map(|key| format!("{}[{i}].{key}", at(part)))
    };
    let of_peers = rule.to.iter().enumerate().filter(|(_, peer)| peer.is_known());
    let of_peers = of_peers.filter_map(|(i, peer)| beside("to", i, &peer.unknown));
    let of_protocols = rule
        .protocols
        .iter()
        .flatten()
        .enumerate()
        .filter(|(_, p)| p.is_known());
    let of_protocols = of_protocols.filter_map(|(i, p)| beside("protocols", i, &p.unknown));
    let within = [peers, ports, protocols].into_iter().flatten();
    let all = within.chain(of_peers).chain(of_protocols);
    all.map(|path| PolicyError::new(path, UNKNOWN_FIELD)).collect()
}

/// Fields of the spec and its egress rules that are not in the API as known here.
fn unknown_fields(object: &Value) -> Vec<PolicyError> {
    let odd = |at: String, value: Option<&Value>, known: &[&str]| -> Vec<PolicyError> {
        let keys = value.and_then(Value::as_object).into_iter().flat_map(|o| o.keys());
        let unknown = keys.filter(|k| !known.contains(&k.as_str()));
        unknown
            .map(|k| PolicyError::new(format!("{at}.{k}"), UNKNOWN_FIELD))
            .collect()
    };
    let spec = object.get("spec");
    let mut out = odd(
        "spec".to_owned(),
        spec,
        &["tier", "priority", "subject", "ingress", "egress"],
    );
    let rules = spec.and_then(|s| s.get("egress")).and_then(Value::as_array);
    for (i, rule) in rules.into_iter().flatten().enumerate() {
        let known = ["name", "action", "to", "ports", "protocols"];
        out.extend(odd(format!("spec.egress[{i}]"), Some(rule), &known));
    }
    out
}

fn tier_and_priority(kind: AdminKind, name: &str, spec: &Spec) -> Result<(Tier, i32), PolicyError> {
    let tier = match (kind, spec.tier.as_deref()) {
        (AdminKind::AdminNetworkPolicy, _) | (AdminKind::ClusterNetworkPolicy, Some("Admin")) => Tier::Admin,
        (AdminKind::ClusterNetworkPolicy, Some("Baseline")) => Tier::Baseline,
        (AdminKind::ClusterNetworkPolicy, _) => {
            return Err(PolicyError::new("spec.tier", "expected Admin or Baseline"));
        }
        (AdminKind::BaselineAdminNetworkPolicy, _) if name == "default" => return Ok((Tier::Baseline, 0)),
        (AdminKind::BaselineAdminNetworkPolicy, _) => {
            return Err(PolicyError::new(
                "metadata.name",
                "a BaselineAdminNetworkPolicy must be named default",
            ));
        }
    };
    match spec.priority {
        Some(priority @ 0..=1000) => Ok((tier, priority)),
        Some(other) => Err(PolicyError::new(
            "spec.priority",
            format!("{other} is not within 0 to 1000"),
        )),
        None => Err(PolicyError::new("spec.priority", "missing")),
    }
}

fn read_subject(raw: RawSubject) -> Result<Subject, PolicyError> {
    match (raw.namespaces, raw.pods) {
        (Some(namespaces), None) => Ok(Subject {
            namespaces: selector("spec.subject.namespaces", &namespaces)?,
            pods: Selector::everything(),
        }),
        (None, Some(pods)) => {
            let (namespaces, pods) = namespaced_pod("spec.subject.pods", &pods)?;
            Ok(Subject { namespaces, pods })
        }
        (None, None) | (Some(_), Some(_)) => Err(PolicyError::new(
            "spec.subject",
            "needs exactly one of namespaces, pods",
        )),
    }
}

fn namespaced_pod(at: &str, raw: &NamespacedPod) -> Result<(Selector, Selector), PolicyError> {
    let namespaces = selector(&format!("{at}.namespaceSelector"), &raw.namespace_selector)?;
    Ok((namespaces, selector(&format!("{at}.podSelector"), &raw.pod_selector)?))
}

fn read_rule(
    kind: AdminKind,
    index: usize,
    raw: &RawRule,
    unknown: &mut Vec<PolicyError>,
) -> Result<Option<Rule>, PolicyError> {
    let at = format!("spec.egress[{index}]");
    let action = action(kind, &at, &raw.action)?;
    if raw.to.is_empty() {
        return Err(PolicyError::new(format!("{at}.to"), "needs at least one peer"));
    }
    let before = unknown.len();
    let mut peers = Peers::default();
    for (i, peer) in raw.to.iter().enumerate() {
        read_peer(&format!("{at}.to[{i}]"), peer, &mut peers, unknown)?;
    }
    let ports = match kind {
        AdminKind::ClusterNetworkPolicy => read_protocols(&at, raw.protocols.as_deref(), unknown)?,
        AdminKind::AdminNetworkPolicy | AdminKind::BaselineAdminNetworkPolicy => read_ports(&at, raw.ports.as_deref())?,
    };
    let rule = |action, peers, ports| Rule {
        index,
        action,
        peers,
        ports,
    };
    if unknown.len() == before {
        return Ok(Some(rule(action, peers, ports)));
    }
    Ok(match action {
        Action::Allow => None,
        Action::Deny | Action::Pass => Some(rule(Action::Deny, Peers::everything(), Ports::all())),
    })
}

fn action(kind: AdminKind, at: &str, text: &str) -> Result<Action, PolicyError> {
    let wanted = match (kind, text) {
        (AdminKind::ClusterNetworkPolicy, "Accept")
        | (AdminKind::AdminNetworkPolicy | AdminKind::BaselineAdminNetworkPolicy, "Allow") => return Ok(Action::Allow),
        (_, "Deny") => return Ok(Action::Deny),
        (AdminKind::ClusterNetworkPolicy | AdminKind::AdminNetworkPolicy, "Pass") => return Ok(Action::Pass),
        (AdminKind::ClusterNetworkPolicy, _) => "Accept, Deny, Pass",
        (AdminKind::AdminNetworkPolicy, _) => "Allow, Deny, Pass",
        (AdminKind::BaselineAdminNetworkPolicy, _) => "Allow, Deny",
    };
    let odd: String = text.chars().take(64).collect();
    Err(PolicyError::new(
        format!("{at}.action"),
        format!("{odd:?} is not one of {wanted}"),
    ))
}

fn read_peer(at: &str, raw: &RawPeer, peers: &mut Peers, unknown: &mut Vec<PolicyError>) -> Result<(), PolicyError> {
    let RawPeer {
        namespaces,
        pods,
        nodes,
        networks,
        domain_names,
        unknown: others,
    } = raw;
    match (namespaces, pods, nodes, networks, domain_names) {
        (None, None, None, None, None) => {
            let names: Vec<_> = others.keys().map(String::as_str).collect();
            unknown.push(PolicyError::new(at, format!("a peer of an unknown kind {names:?}")));
        }
        (Some(namespaces), None, None, None, None) => {
            let namespaces = selector(&format!("{at}.namespaces"), namespaces)?;
            let pods = Selector::everything();
            peers.others.insert(Peer::Pods { namespaces, pods });
        }
        (None, Some(pods), None, None, None) => {
            let (namespaces, pods) = namespaced_pod(&format!("{at}.pods"), pods)?;
            peers.others.insert(Peer::Pods { namespaces, pods });
        }
        (None, None, Some(nodes), None, None) => {
            peers
                .others
                .insert(Peer::Nodes(selector(&format!("{at}.nodes"), nodes)?));
        }
        (None, None, None, Some(networks), None) => {
            let mut nets = Vec::with_capacity(networks.len());
            for (i, text) in networks.iter().enumerate() {
                let path = format!("{at}.networks[{i}]");
                nets.push(parse_cidr(text).map_err(|e| PolicyError::new(path, e.to_string()))?);
            }
            peers.addresses = peers.addresses.union(&nets.into_iter().collect::<AddressSet>());
        }
        (None, None, None, None, Some(names)) => {
            peers.others.insert(Peer::Domains(names.iter().cloned().collect()));
        }
        _ => {
            let problem = "needs exactly one of namespaces, pods, nodes, networks, domainNames";
            return Err(PolicyError::new(at, problem));
        }
    }
    Ok(())
}

/// v1alpha1: absent means all; a list that is there and empty matches nothing.
fn read_ports(at: &str, raw: Option<&[RawPort]>) -> Result<Ports, PolicyError> {
    let Some(entries) = raw else {
        return Ok(Ports::all());
    };
    let mut out = Ports::none();
    for (i, entry) in entries.iter().enumerate() {
        let at = format!("{at}.ports[{i}]");
        match (&entry.port_number, &entry.named_port, &entry.port_range) {
            (Some(Number { protocol, port }), None, None) => {
                let at = format!("{at}.portNumber");
                let number = port_number(&format!("{at}.port"), *port)?;
                out.insert(protocol_named(&at, protocol.as_deref())?, number..=number);
            }
            (None, Some(name), None) => out.insert_named(NamedPort {
                protocol: None,
                name: port_name(&format!("{at}.namedPort"), name)?,
            }),
            (None, None, Some(range)) => {
                let at = format!("{at}.portRange");
                let protocol = protocol_named(&at, range.protocol.as_deref())?;
                let (start, end) = range_ends(&at, range)?;
                // The schema does not forbid a reversed range; nothing lies in it.
                if start <= end {
                    out.insert(protocol, start..=end);
                }
            }
            _ => {
                return Err(PolicyError::new(
                    at,
                    "needs exactly one of portNumber, namedPort, portRange",
                ));
            }
        }
    }
    Ok(out)
}

/// v1alpha2: absent means all.
fn read_protocols(at: &str, raw: Option<&[RawProtocol]>, unknown: &mut Vec<PolicyError>) -> Result<Ports, PolicyError> {
    let Some(entries) = raw.filter(|e| !e.is_empty()) else {
        return Ok(Ports::all());
    };
    let mut out = Ports::none();
    for (i, entry) in entries.iter().enumerate() {
        let at = format!("{at}.protocols[{i}]");
        let RawProtocol {
            tcp,
            udp,
            sctp,
            destination_named_port,
            unknown: others,
        } = entry;
        let (protocol, destination) = match (tcp, udp, sctp, destination_named_port) {
            (Some(d), None, None, None) => (Protocol::Tcp, d),
            (None, Some(d), None, None) => (Protocol::Udp, d),
            (None, None, Some(d), None) => (Protocol::Sctp, d),
            (None, None, None, Some(name)) => {
                let name = port_name(&format!("{at}.destinationNamedPort"), name)?;
                out.insert_named(NamedPort { protocol: None, name });
                continue;
            }
            (None, None, None, None) => {
                let names: Vec<_> = others.keys().map(String::as_str).collect();
                unknown.push(PolicyError::new(at, format!("a protocol of an unknown kind {names:?}")));
                continue;
            }
            _ => {
                return Err(PolicyError::new(
                    at,
                    "needs exactly one of tcp, udp, sctp, destinationNamedPort",
                ));
            }
        };
        let at = format!("{at}.destinationPort");
        match &destination.destination_port {
            None => out.insert(protocol, ALL_PORTS),
            Some(DestinationPort {
                number: Some(number),
                range: None,
            }) => {
                let number = port_number(&format!("{at}.number"), *number)?;
                out.insert(protocol, number..=number);
            }
            Some(DestinationPort {
                number: None,
                range: Some(range),
            }) => {
                let at = format!("{at}.range");
                let (start, end) = range_ends(&at, range)?;
                if start >= end {
                    return Err(PolicyError::new(
                        at,
                        format!("start {start} must be less than end {end}"),
                    ));
                }
                out.insert(protocol, start..=end);
            }
            Some(_) => return Err(PolicyError::new(at, "needs exactly one of number, range")),
        }
    }
    Ok(out)
}

fn range_ends(at: &str, range: &Range) -> Result<(u16, u16), PolicyError> {
    let start = port_number(&format!("{at}.start"), range.start)?;
    Ok((start, port_number(&format!("{at}.end"), range.end)?))
}

#[cfg(test)]
mod tests;
