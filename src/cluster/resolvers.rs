//! How pods of this cluster resolve names: what shows of it in `kube-system`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use tracing::warn;

use super::call::{call, is_not_found};
use super::{Cluster, list};
use crate::domain::observed::{ErrorClass, Read, ResolverObservation};

const NAMESPACE: &str = "kube-system";
/// Pods that enough of them show; there are rarely more than a few.
const ENOUGH: u32 = 10;

impl Cluster {
    /// Looks. Where the rights for it are missing, nothing is known, and the usual is assumed.
    pub(super) async fn resolvers(&self) -> Read<ResolverObservation> {
        match self.see_resolvers().await {
            Err(error) if error.class == ErrorClass::AccessDenied => {
                warn!(%error, "How names are resolved cannot be looked for; pods k8s-app=kube-dns are assumed.");
                Ok(ResolverObservation::default())
            }
            other => other,
        }
    }

    async fn see_resolvers(&self) -> Read<ResolverObservation> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let params = ListParams::default().labels("k8s-app=kube-dns").limit(ENOUGH);
        let pods = call(&self.metrics, "list pods", pods.list(&params)).await?.items;
        let mut seen = ResolverObservation {
            cluster_pods: !pods.is_empty(),
            ipv6: pods.iter().flat_map(addresses).any(|a| a.is_ipv6()),
            ..ResolverObservation::default()
        };
        let daemon_sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), NAMESPACE);
        let params = ListParams::default().fields("metadata.name=node-local-dns");
        let found = list::all(&self.metrics, "list daemonsets", &params, |page| {
            let api = daemon_sets.clone();
            async move { api.list(&page).await }
        });
        for daemon_set in found.await? {
            if daemon_set.metadata.name.as_deref() == Some("node-local-dns") {
                seen.node_local.extend(local_addresses(&daemon_set));
            }
        }
        if !seen.cluster_pods {
            let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
            match call(&self.metrics, "get services", services.get("kube-dns")).await {
                Ok(service) => seen.service = cluster_addresses(service),
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
            seen.ipv6 = seen.service.iter().any(IpAddr::is_ipv6);
        }
        Ok(seen)
    }
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
