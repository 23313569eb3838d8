//! How pods of this cluster resolve names: what shows of it in the namespaces of the cluster's own pods, and in the
//! operator's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use tracing::warn;

use super::call::{call, is_not_found};
use super::{Cluster, list};
use crate::domain::observed::{ErrorClass, Read, ResolverObservation, ResolverPods};

const NAMESPACE: &str = "kube-system";
/// NodeLocal DNSCache, as Kubernetes and Kubespray name it.
const NODE_LOCAL: [&str; 2] = ["node-local-dns", "nodelocaldns"];
/// Pods that enough of them show; there are rarely more than a few.
const ENOUGH: u32 = 10;

impl Cluster {
    /// Looks. Where the rights for it are missing, nothing is known, and the usual is assumed.
    pub(super) async fn resolvers(&self) -> Read<ResolverObservation> {
        match self.see_resolvers().await {
            Err(error) if error.class == ErrorClass::AccessDenied => {
                warn!(%error, "How names are resolved cannot be looked for; pods k8s-app=kube-dns are assumed.");
                let told = self.told().await;
                Ok(ResolverObservation {
                    told,
                    ..ResolverObservation::default()
                })
            }
            other => other,
        }
    }

    async fn see_resolvers(&self) -> Read<ResolverObservation> {
        let mut seen = ResolverObservation {
            told: self.told().await,
            ..ResolverObservation::default()
        };
        for resolver in ResolverPods::ALL {
            let pods = self.resolver_pods(resolver).await?;
            if !pods.is_empty() {
                seen.ipv6 |= pods.iter().flat_map(addresses).any(|a| a.is_ipv6());
                seen.pods.insert(resolver, pods.iter().flat_map(udp_ports).collect());
                break;
            }
        }
        let daemon_sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let everything = ListParams::default();
        let found = list::all(&self.metrics, "list daemonsets", &everything, |page| {
            let api = daemon_sets.clone();
            async move { api.list(&page).await }
        });
        for daemon_set in found.await? {
            let name = daemon_set.metadata.name.as_deref();
            if name.is_some_and(|name| NODE_LOCAL.contains(&name)) {
                seen.node_local.extend(local_addresses(&daemon_set));
            }
        }
        let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
        match call(&self.metrics, "get services", services.get("kube-dns")).await {
            Ok(service) => seen.service = cluster_addresses(service),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
        seen.ipv6 |= seen.service.iter().any(IpAddr::is_ipv6);
        Ok(seen)
    }

    async fn resolver_pods(&self, resolver: ResolverPods) -> Read<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), resolver.namespace());
        let (key, value) = resolver.label();
        let params = ListParams::default().labels(&format!("{key}={value}")).limit(ENOUGH);
        Ok(call(&self.metrics, "list pods", pods.list(&params)).await?.items)
    }

    /// What the kubelet told the operator's own pod; nothing outside of a cluster.
    async fn told(&self) -> BTreeSet<IpAddr> {
        let Some(file) = &self.resolv_conf else {
            return BTreeSet::new();
        };
        match tokio::fs::read_to_string(file).await {
            Ok(text) => nameservers(&text),
            Err(error) => {
                warn!(%error, file = %file.display(), "Where this pod resolves names is not known.");
                BTreeSet::new()
            }
        }
    }
}

/// Of resolv.conf(5).
fn nameservers(text: &str) -> BTreeSet<IpAddr> {
    let lines = text.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| Some(words.next()? == "nameserver").filter(|is| *is).and(words.next()))
        .filter_map(|address| address.parse().ok())
        .collect()
}

/// The UDP ports that a resolver's pod has: those on which it is asked.
fn udp_ports(pod: &Pod) -> Vec<u16> {
    let containers = pod.spec.iter().flat_map(|s| &s.containers);
    let ports = containers.flat_map(|c| c.ports.iter().flatten());
    let udp = ports.filter(|p| p.protocol.as_deref() == Some("UDP"));
    udp.filter_map(|p| u16::try_from(p.container_port).ok()).collect()
}

fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let ips = pod.status.iter().flat_map(|s| s.pod_ips.iter().flatten());
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

fn cluster_addresses(service: Service) -> BTreeSet<IpAddr> {
    let ips = service.spec.and_then(|s| s.cluster_ips).unwrap_or_default();
    ips.iter().filter_map(|ip| ip.parse().ok()).collect()
}

/// The values of `-localip`: one argument `-localip=A,B`, or the one after `-localip` (kubernetes.io, "Using NodeLocal
/// DNSCache in Kubernetes Clusters": the link-local address, and with iptables the Service's own).
fn local_addresses(daemon_set: &DaemonSet) -> BTreeSet<IpAddr> {
    let pod = daemon_set.spec.iter().filter_map(|s| s.template.spec.as_ref());
    let mut out = BTreeSet::new();
    for container in pod.flat_map(|p| &p.containers) {
        let command = container.command.iter().flatten();
        let mut arguments = command.chain(container.args.iter().flatten()).map(String::as_str);
        while let Some(argument) = arguments.next() {
            let value = match argument.trim_start_matches('-').split_once('=') {
                Some(("localip", value)) => Some(value),
                None if argument.trim_start_matches('-') == "localip" => arguments.next(),
                Some(_) | None => None,
            };
            out.extend(
                value
                    .into_iter()
                    .flat_map(|v| v.split(','))
                    .filter_map(|v| v.trim().parse::<IpAddr>().ok()),
            );
        }
    }
    out
}
