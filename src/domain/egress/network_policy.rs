//! Reads a NetworkPolicy (`networking.k8s.io/v1`): whom it isolates and what it lets out.
//!
//! Source of the rules: the API's field documentation and its defaulting and validation. What the API server would refuse
//! is an error here too.

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::address::{AddressSet, parse_cidr};
use super::port::{ALL_PORTS, NamedPort, Ports, Protocol};
use super::rule::{Action, Peer, Peers, PolicyError, Rule};
use super::selector::{Labels, Selector};

/// A NetworkPolicy's egress side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Name.
    pub name: String,
    /// Namespace, and so the namespace of the pods it can select.
    pub namespace: String,
    /// The pods.
    pub pods: Selector,
    /// What they may reach; None when the policy says nothing about egress and so isolates nobody.
    pub egress: Option<Vec<Rule>>,
}

impl EgressPolicy {
    /// Reads a policy. `metadata.namespace` absent is the namespace `default`.
    ///
    /// # Errors
    /// [`PolicyError`] names the field that the API server would refuse.
    pub fn read(policy: &NetworkPolicy) -> Result<Self, PolicyError> {
        let spec = policy.spec.clone().unwrap_or_default();
        let pods = selector("spec.podSelector", &spec.pod_selector.unwrap_or_default())?;
        let rules = spec.egress.unwrap_or_default();
        let types = spec.policy_types.unwrap_or_default();
        if let Some((i, odd)) = types
            .iter()
            .enumerate()
            .find(|(_, t)| !["Ingress", "Egress"].contains(&t.as_str()))
        {
            let problem = format!("{odd:?} is not one of Ingress, Egress");
            return Err(PolicyError::new(format!("spec.policyTypes[{i}]"), problem));
        }
        // Defaulting: without types a policy is about egress when it has an egress rule; an empty list is none.
        let isolates = if types.is_empty() {
            !rules.is_empty()
        } else {
            types.iter().any(|t| t == "Egress")
        };
        let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
        for (index, rule) in spec.ingress.iter().flatten().enumerate() {
            // Of no interest here, but a policy that the API server refuses is no policy.
            let at = format!("spec.ingress[{index}]");
            peers(
                &format!("{at}.from"),
                namespace,
                rule.from.as_deref().unwrap_or_default(),
            )?;
            ports(&at, rule.ports.as_deref().unwrap_or_default())?;
        }
        let mut egress = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("spec.egress[{index}]");
            let peers = peers(&format!("{at}.to"), namespace, rule.to.as_deref().unwrap_or_default())?;
            let ports = ports(&at, rule.ports.as_deref().unwrap_or_default())?;
            egress.push(Rule {
                index,
                action: Action::Allow,
                peers,
                ports,
            });
        }
        Ok(Self {
            name: policy.metadata.name.clone().unwrap_or_default(),
            namespace: policy
                .metadata
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            pods,
            egress: isolates.then_some(egress),
        })
    }

    /// Does it isolate, for egress, a pod with these labels in this namespace?
    pub fn isolates(&self, namespace: &str, labels: &Labels) -> bool {
        self.egress.is_some() && self.namespace == namespace && self.pods.matches(labels)
    }
}

pub(super) fn selector(at: &str, selector: &LabelSelector) -> Result<Selector, PolicyError> {
    Selector::parse(selector).map_err(|e| PolicyError::new(at, e.to_string()))
}

fn peers(at: &str, namespace: &str, list: &[NetworkPolicyPeer]) -> Result<Peers, PolicyError> {
    if list.is_empty() {
        return Ok(Peers::everything());
    }
    let mut out = Peers::default();
    let mut blocks = Vec::new();
    for (i, peer) in list.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let NetworkPolicyPeer {
            ip_block,
            namespace_selector,
            pod_selector,
        } = peer;
        match (ip_block, namespace_selector, pod_selector) {
            (Some(block), None, None) => blocks.push(ip_block_addresses(&at, block)?),
            (Some(_), _, _) => {
                return Err(PolicyError::new(
                    at,
                    "ipBlock excludes podSelector and namespaceSelector",
                ));
            }
            (None, None, None) => {
                return Err(PolicyError::new(
                    at,
                    "needs one of ipBlock, namespaceSelector, podSelector",
                ));
            }
            (None, namespaces, pods) => {
                // Without a namespaceSelector the policy's own namespace is meant.
                let namespaces = match namespaces {
                    Some(s) => selector(&format!("{at}.namespaceSelector"), s)?,
                    None => Selector::namespace(namespace),
                };
                let pods = selector(&format!("{at}.podSelector"), &pods.clone().unwrap_or_default())?;
                out.others.insert(Peer::Pods { namespaces, pods });
            }
        }
    }
    out.addresses = blocks.into_iter().collect();
    Ok(out)
}

fn ip_block_addresses(at: &str, block: &IPBlock) -> Result<AddressSet, PolicyError> {
    let path = format!("{at}.ipBlock.cidr");
    let net = parse_cidr(&block.cidr).map_err(|e| PolicyError::new(path, e.to_string()))?;
    let mut except = Vec::new();
    for (i, text) in block.except.iter().flatten().enumerate() {
        let path = format!("{at}.ipBlock.except[{i}]");
        let hole = parse_cidr(text).map_err(|e| PolicyError::new(path.clone(), e.to_string()))?;
        if !net.contains(&hole) || hole == net {
            return Err(PolicyError::new(
                path,
                format!("{hole} must lie within {net} and be smaller"),
            ));
        }
        except.push(hole);
    }
    Ok(AddressSet::from(net).difference(&except.into_iter().collect()))
}

fn ports(at: &str, entries: &[NetworkPolicyPort]) -> Result<Ports, PolicyError> {
    if entries.is_empty() {
        return Ok(Ports::all());
    }
    let mut out = Ports::none();
    for (i, entry) in entries.iter().enumerate() {
        let at = format!("{at}.ports[{i}]");
        let NetworkPolicyPort {
            port,
            end_port,
            protocol,
        } = entry;
        let protocol = protocol_named(&at, protocol.as_deref())?;
        match (port, end_port) {
            (None, None) => out.insert(protocol, ALL_PORTS),
            (None, Some(_)) => return Err(PolicyError::new(format!("{at}.endPort"), "needs a port")),
            (Some(IntOrString::Int(from)), end) => {
                let first = port_number(&format!("{at}.port"), *from)?;
                let last = end.map_or(Ok(first), |e| port_number(&format!("{at}.endPort"), e))?;
                if last < first {
                    let problem = format!("{last} lies below port {first}");
                    return Err(PolicyError::new(format!("{at}.endPort"), problem));
                }
                out.insert(protocol, first..=last);
            }
            (Some(IntOrString::String(_)), Some(_)) => {
                return Err(PolicyError::new(
                    format!("{at}.endPort"),
                    "needs a port by number, not by name",
                ));
            }
            (Some(IntOrString::String(name)), None) => {
                let name = port_name(&format!("{at}.port"), name)?;
                out.insert_named(NamedPort {
                    protocol: Some(protocol),
                    name,
                });
            }
        }
    }
    Ok(out)
}

pub(super) fn protocol_named(at: &str, text: Option<&str>) -> Result<Protocol, PolicyError> {
    Protocol::parse(text).ok_or_else(|| {
        let odd: String = text.unwrap_or_default().chars().take(64).collect();
        PolicyError::new(
            format!("{at}.protocol"),
            format!("{odd:?} is not one of TCP, UDP, SCTP"),
        )
    })
}

pub(super) fn port_number(path: &str, number: i32) -> Result<u16, PolicyError> {
    u16::try_from(number)
        .ok()
        .filter(|n| ALL_PORTS.contains(n))
        .ok_or_else(|| PolicyError::new(path, format!("{number} is not a port (1 to 65535)")))
}

/// A container port's name (`IANA_SVC_NAME`): at most 15 of `a-z0-9-`, with a letter.
pub(super) fn port_name(path: &str, name: &str) -> Result<String, PolicyError> {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let lettered = name.chars().any(|c| c.is_ascii_lowercase());
    if plain && lettered && name.len() <= 15 && !name.starts_with('-') && !name.ends_with('-') && !name.contains("--") {
        return Ok(name.to_owned());
    }
    let name: String = name.chars().take(64).collect();
    let problem = format!("{name:?} is no port: a number (unquoted), or a name of at most 15 of a-z, 0-9, -");
    Err(PolicyError::new(path, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(spec: &Value) -> Result<EgressPolicy, PolicyError> {
        let object = json!({"metadata": {"name": "p", "namespace": "ml"}, "spec": spec});
        EgressPolicy::read(&serde_json::from_value(object).unwrap())
    }

    fn rules(egress: &Value) -> Vec<Rule> {
        let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": egress});
        read(&spec).unwrap().egress.unwrap()
    }

    fn refused(egress: &Value) -> String {
        read(&json!({"podSelector": {}, "egress": [egress]}))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_policies_about_egress_isolate() {
        let isolates = |spec| read(&spec).unwrap().egress.is_some();
        assert!(!isolates(
            json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]})
        ));
        assert!(!isolates(json!({"podSelector": {}})));
        assert!(!isolates(json!({"podSelector": {}, "egress": []})));
        assert!(isolates(json!({"podSelector": {}, "egress": [{}]})));
        assert!(isolates(json!({"podSelector": {}, "policyTypes": ["Egress"]})));
        assert!(isolates(
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        ));
    }

    #[test]
    fn an_empty_to_is_everything_and_no_rule_is_nothing() {
        for egress in [json!([{}]), json!([{"to": []}]), json!([{"to": [], "ports": []}])] {
            let rule = &rules(&egress)[0];
            assert_eq!(
                (rule.peers.clone(), rule.ports.clone()),
                (Peers::everything(), Ports::all())
            );
        }
        assert_eq!(rules(&json!([])), []);
    }

    #[test]
    fn one_entry_is_and_two_entries_are_or() {
        let ns = json!({"matchLabels": {"team": "x"}});
        let pod = json!({"matchLabels": {"app": "db"}});
        let and = rules(&json!([{"to": [{"namespaceSelector": ns, "podSelector": pod}]}]));
        let or = rules(&json!([{"to": [{"namespaceSelector": ns}, {"podSelector": pod}]}]));
        let text = |r: &[Rule]| r[0].peers.others.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(&and), ["pods app=db in namespaces team=x"]);
        assert_eq!(text(&or), ["pods app=db in ml", "pods in namespaces team=x"]);
    }

    #[test]
    fn every_namespace_is_pods_and_no_address() {
        let rule = &rules(&json!([{"to": [{"namespaceSelector": {}}]}]))[0];
        assert!(rule.peers.addresses.is_empty());
        assert_eq!(rule.peers.others.first().unwrap().to_string(), "pods in all namespaces");
    }

    #[test]
    fn an_except_cuts_only_its_own_block() {
        let rule = &rules(&json!([{"to": [
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "10.128.0.0/10"]}},
            {"ipBlock": {"cidr": "10.0.0.0/16"}},
        ]}]))[0];
        let texts: Vec<_> = rule.peers.addresses.cidrs().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/16", "10.192.0.0/10"]);
    }

    #[test]
    fn ports_default_to_tcp_and_to_all_numbers() {
        let ports = |list: Value| rules(&json!([{"ports": list}]))[0].ports.to_string();
        assert_eq!(ports(json!([{"port": 443}])), "TCP/443");
        assert_eq!(ports(json!([{"protocol": "UDP"}])), "UDP/all");
        assert_eq!(ports(json!([{}])), "TCP/all");
        assert_eq!(
            ports(json!([{"port": 8000, "endPort": 8100, "protocol": "SCTP"}])),
            "SCTP/8000-8100"
        );
        assert_eq!(ports(json!([{"port": 80, "endPort": 80}])), "TCP/80");
        assert_eq!(ports(json!([{"port": "web"}, {"port": 1}])), "TCP/1, TCP/<named web>");
    }

    #[test]
    fn what_the_api_refuses_is_refused_with_its_field() {
        let block = |cidr: &str, except: Value| json!({"to": [{"ipBlock": {"cidr": cidr, "except": except}}]});
        assert_eq!(
            refused(&block("10.0.0.0/40", json!([]))),
            "spec.egress[0].to[0].ipBlock.cidr: \"10.0.0.0/40\" is not a CIDR: expected an address and a prefix length, \
             such as 10.0.0.0/8 or 2001:db8::/32"
        );
        assert_eq!(
            refused(&block("10.0.0.0/8", json!(["11.0.0.0/16"]))),
            "spec.egress[0].to[0].ipBlock.except[0]: 11.0.0.0/16 must lie within 10.0.0.0/8 and be smaller"
        );
        assert_eq!(
            refused(&json!({"to": [{}]})),
            "spec.egress[0].to[0]: needs one of ipBlock, namespaceSelector, podSelector"
        );
        assert_eq!(
            refused(&json!({"to": [{"ipBlock": {"cidr": "::/0"}, "podSelector": {}}]})),
            "spec.egress[0].to[0]: ipBlock excludes podSelector and namespaceSelector"
        );
        let port = |p: Value| refused(&json!({"ports": [p]}));
        assert_eq!(
            port(json!({"port": 0})),
            "spec.egress[0].ports[0].port: 0 is not a port (1 to 65535)"
        );
        assert_eq!(
            port(json!({"port": 65536})),
            "spec.egress[0].ports[0].port: 65536 is not a port (1 to 65535)"
        );
        assert_eq!(
            port(json!({"port": 90, "endPort": 80})),
            "spec.egress[0].ports[0].endPort: 80 lies below port 90"
        );
        assert_eq!(
            port(json!({"endPort": 80})),
            "spec.egress[0].ports[0].endPort: needs a port"
        );
        assert_eq!(
            port(json!({"port": "web", "endPort": 80})),
            "spec.egress[0].ports[0].endPort: needs a port by number, not by name"
        );
        assert_eq!(
            port(json!({"port": 80, "protocol": "ICMP"})),
            "spec.egress[0].ports[0].protocol: \"ICMP\" is not one of TCP, UDP, SCTP"
        );
        assert_eq!(
            port(json!({"port": "80"})),
            "spec.egress[0].ports[0].port: \"80\" is no port: a number (unquoted), or a name of at most 15 of a-z, 0-9, -"
        );
        assert_eq!(
            read(&json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::/0"]}}]}]}))
                .unwrap_err()
                .to_string(),
            "spec.ingress[0].from[0].ipBlock.except[0]: ::/0 must lie within 10.0.0.0/8 and be smaller"
        );
        assert_eq!(
            read(&json!({"podSelector": {"matchLabels": {"app@b": "x"}}}))
                .unwrap_err()
                .to_string(),
            "spec.podSelector: \"app@b\" is not a label key"
        );
        assert_eq!(
            read(&json!({"podSelector": {}, "policyTypes": ["egress"]}))
                .unwrap_err()
                .to_string(),
            "spec.policyTypes[0]: \"egress\" is not one of Ingress, Egress"
        );
    }
}
