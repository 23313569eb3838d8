//! What a pod may reach beyond what is wanted, rule by rule.

use std::fmt;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::address::AddressSet;
use super::flows::Flows;
use super::network_policy::EgressPolicy;
use super::port::{Ports, Protocol};
use super::rule::{Peer, PolicyError, Rule};
use super::union::{Effective, Grant, PolicyName, Source, Union};

/// What may be reached, as wanted: the rules of one or more policies together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    flows: Flows,
    rules: Vec<Rule>,
}

impl Desired {
    /// Nothing may be reached.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// What these policies allow together, whomever they select.
    ///
    /// # Errors
    /// One of them can't be read.
    pub fn of<'a>(policies: impl IntoIterator<Item = &'a NetworkPolicy>) -> Result<Self, PolicyError> {
        let mut rules = Vec::new();
        for policy in policies {
            rules.extend(EgressPolicy::read(policy)?.egress.into_iter().flatten());
        }
        let each: Vec<Flows> = rules.iter().map(|r| Flows::new(&r.ports, &r.peers.addresses)).collect();
        Ok(Self {
            flows: Flows::union_of(&each.iter().collect::<Vec<_>>()),
            rules,
        })
    }

    /// The ports of `ports` that are surely not all wanted to `peer`.
    fn missing(&self, peer: &Peer, ports: &Ports, unknown: &AddressSet) -> Ports {
        // Wherever the pods, nodes or names are: if every address is wanted, so are theirs.
        let everywhere = self.flows.ports_open_to_all(&peer.somewhere(unknown));
        let covering = self.rules.iter().filter(|r| r.peers.cover(peer, unknown));
        covering.fold(ports.difference(&everywhere), |left, rule| left.difference(&rule.ports))
    }
}

/// What one source lets out beyond what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The source.
    pub source: Source,
    /// The ports of the rule, as written, that lead further than wanted.
    pub ports: Ports,
    /// What exceeds by address.
    pub flows: Flows,
    /// What exceeds otherwise.
    pub peers: Vec<(Peer, Ports)>,
    /// The addresses are all that can be reached.
    anywhere: bool,
    /// The same ports are wanted to every other address: only an exclusion was lifted.
    lifted: bool,
}

impl Union {
    /// What `effective` (of a pod of this cluster) lets out beyond `desired`, one entry a rule, in the order of the rules.
    pub fn excess(&self, effective: &Effective, desired: &Desired) -> Vec<Excess> {
        let unknown = self.unknown();
        effective
            .grants
            .iter()
            .filter_map(|g| self.excess_of(g, desired, &unknown))
            .collect()
    }

    fn excess_of(&self, grant: &Grant, desired: &Desired, unknown: &AddressSet) -> Option<Excess> {
        let flows = grant.flows.difference(&desired.flows);
        let mut peers = Vec::new();
        for (peer, ports) in &grant.peers {
            let ports = desired.missing(peer, ports, unknown);
            if !ports.is_empty() {
                peers.push((peer.clone(), ports));
            }
        }
        if flows.is_empty() && peers.is_empty() {
            return None;
        }
        let beyond = peers.iter().fold(flows.ports(), |all, (_, ports)| all.union(ports));
        Some(Excess {
            source: grant.source.clone(),
            ports: grant.ports.touching(&beyond),
            anywhere: self.space().is_subset(&flows.addresses()),
            lifted: !flows.is_empty() && peers.is_empty() && self.only_lifted(&flows, desired),
            flows,
            peers,
        })
    }

    fn only_lifted(&self, flows: &Flows, desired: &Desired) -> bool {
        Protocol::ALL.iter().all(|protocol| {
            flows.segments(*protocol).iter().all(|s| {
                let wanted = desired.flows.at(*protocol, *s.ports.start());
                wanted.is_some_and(|w| self.space().is_subset(&w.union(&s.addresses)))
            })
        })
    }
}

/// `foreign: TCP/80 to any`, `f: all to 10.0.0.0/8`, `everything`.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Rule {
                policy: PolicyName::Network { name, .. } | PolicyName::Admin { name, .. },
                rule: _,
            } => write!(f, "{name}: ")?,
            Source::HostNetwork => return f.write_str("everything (hostNetwork: no policy applies)"),
            Source::Default if self.anywhere && self.ports.is_all() => return f.write_str("everything"),
            Source::Default => f.write_str("not isolated: ")?,
        }
        f.write_str(&self.reach())
    }
}

impl Excess {
    /// `TCP/80 to any`, `all to 10.0.0.0/8`, `all`: what is reached, without who lets it out.
    pub fn reach(&self) -> String {
        let mut out = self.ports.to_string();
        if self.anywhere && self.ports.is_all() {
            return out;
        }
        let mut to = Vec::new();
        if self.anywhere {
            to.push("any".to_owned());
        } else if !self.flows.is_empty() {
            to.push(blocks(&self.flows.addresses()));
        }
        // Where any address can be reached, the rest adds nothing a reader needs.
        let others = self.peers.iter().filter(|_| !self.anywhere);
        to.extend(others.map(|(peer, _)| peer.to_string()));
        out.push_str(" to ");
        out.push_str(&to.join(", "));
        if self.lifted && !self.anywhere {
            out.push_str(" (our except is lifted by the union)");
        }
        out
    }
}

/// A readable list of blocks: as they are, or as one block with holes where that is shorter; at most eight.
fn blocks(addresses: &AddressSet) -> String {
    const MOST: usize = 8;
    let cidrs = addresses.cidrs();
    if let Some(around) = addresses.enclosing() {
        let holes = AddressSet::from(around).difference(addresses).cidrs();
        if holes.len() + 1 < cidrs.len() && holes.len() <= MOST {
            let holes: Vec<_> = holes.iter().map(ToString::to_string).collect();
            return format!("{around} except {}", holes.join(", "));
        }
    }
    let more = cidrs.len().saturating_sub(MOST);
    let mut texts: Vec<_> = cidrs.iter().take(MOST).map(ToString::to_string).collect();
    if more > 0 {
        texts.push(format!("{more} more blocks"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests;
