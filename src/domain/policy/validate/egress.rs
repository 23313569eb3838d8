//! Egress rules: selectors, destinations, ports.

use super::Problems;
use crate::api::{Allow, AllowPort, AllowType, Assurance, EgressRule, Protocol, Selector};
use crate::domain::egress::address::parse_cidr;
use crate::domain::egress::desired::label_selector;
use crate::domain::egress::selector;
use crate::domain::policy::{Destination, EgressTarget, PortRange};

pub(super) fn validate_egress(
    rules: &[EgressRule],
    operator_namespace: &str,
    problems: &mut Problems,
) -> Vec<EgressTarget> {
    let mut out = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let EgressRule {
            name,
            namespace_selector,
            pod_selector,
            assurance,
            allow,
        } = rule;
        let field = format!("egress[{name}]");
        if rules.iter().take(index).any(|earlier| earlier.name == *name) {
            problems.add(format!("{field}: named twice"));
        }
        for (part, selector) in [("namespaceSelector", namespace_selector), ("podSelector", pod_selector)] {
            if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
                problems.add(format!("{field}.{part}: may not be empty"));
            }
            readable(&format!("{field}.{part}"), selector, problems);
        }
        for forbidden in ["kube-system", operator_namespace] {
            if namespace_selector
                .match_labels
                .get("kubernetes.io/metadata.name")
                .is_some_and(|v| v.0 == forbidden)
            {
                problems.add(format!(
                    "{field}.namespaceSelector: namespace {forbidden} cannot be restricted"
                ));
            }
        }
        if allow.is_empty() {
            problems.add(format!("{field}.allow: name at least one destination"));
        }
        let allow = allow
            .iter()
            .enumerate()
            .filter_map(|(i, a)| destination(&format!("{field}.allow[{i}]"), a, problems))
            .collect();
        out.push(EgressTarget {
            name: name.clone(),
            namespace_selector: namespace_selector.clone(),
            pod_selector: pod_selector.clone(),
            assurance: assurance.unwrap_or(Assurance::Port),
            allow,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// A selector that the API server takes for none would select nothing, and so restrict nobody.
fn readable(field: &str, selector: &Selector, problems: &mut Problems) {
    if let Err(error) = selector::Selector::parse(&label_selector(selector)) {
        problems.add(format!("{field}: {error}"));
    }
}

fn destination(field: &str, allow: &Allow, problems: &mut Problems) -> Option<Destination> {
    let Allow {
        r#type,
        cidr,
        service,
        namespace_selector,
        pod_selector,
        ports,
    } = allow;
    let ports = ports
        .iter()
        .filter_map(|p| port_range(field, p, problems))
        .collect::<Vec<_>>();
    match r#type {
        AllowType::Cidr => {
            let Some(cidr) = cidr
                .as_deref()
                .filter(|c| parse_cidr(c).is_ok())
                .and_then(|c| c.parse::<ipnet::IpNet>().ok())
                .filter(|c| c.trunc() == *c)
            else {
                problems.add(format!(
                    "{field}.cidr: expected a network address in CIDR notation, e.g. 10.20.0.0/16"
                ));
                return None;
            };
            let ports = or_https(ports);
            let https = |p: &PortRange| (p.first, p.last, p.protocol) == (443, 443, Protocol::Tcp);
            if cidr.prefix_len() == 0 && !ports.iter().all(https) {
                problems.add(format!("{field}: {cidr} (anywhere) is allowed on 443/TCP only"));
            }
            Some(Destination::Cidr { cidr, ports })
        }
        AllowType::AwsService => {
            let Some(service) = service.clone().filter(|s| is_service(s)) else {
                problems.add(format!(
                    "{field}.service: expected the name of an AWS service's managed prefix list, e.g. s3"
                ));
                return None;
            };
            let ports = or_https(ports);
            Some(Destination::AwsService { service, ports })
        }
        AllowType::Pods => {
            if ports.is_empty() {
                problems.add(format!("{field}.ports: required with type Pods"));
            }
            let (Some(namespace_selector), Some(pod_selector)) = (namespace_selector.clone(), pod_selector.clone())
            else {
                problems.add(format!("{field}: type Pods needs namespaceSelector and podSelector"));
                return None;
            };
            readable(&format!("{field}.namespaceSelector"), &namespace_selector, problems);
            readable(&format!("{field}.podSelector"), &pod_selector, problems);
            Some(Destination::Pods {
                namespace_selector,
                pod_selector,
                ports,
            })
        }
    }
}

/// What AWS's names of services consist of; it goes into the name of a prefix list.
fn is_service(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    !name.is_empty() && name.len() <= 63 && name.chars().all(plain)
}

fn or_https(ports: Vec<PortRange>) -> Vec<PortRange> {
    if !ports.is_empty() {
        return ports;
    }
    vec![PortRange {
        first: 443,
        last: 443,
        protocol: Protocol::Tcp,
    }]
}

fn port_range(field: &str, port: &AllowPort, problems: &mut Problems) -> Option<PortRange> {
    let AllowPort {
        port,
        end_port,
        protocol,
    } = port;
    let number = |n: i32| u16::try_from(n).ok().filter(|n| *n > 0);
    match (number(*port), end_port.map_or_else(|| number(*port), number)) {
        (Some(first), Some(last)) if first <= last => Some(PortRange {
            first,
            last,
            protocol: protocol.unwrap_or(Protocol::Tcp),
        }),
        _ => {
            problems.add(format!(
                "{field}.ports: {port}–{} is no port range within 1 to 65535",
                end_port.unwrap_or(*port)
            ));
            None
        }
    }
}
