//! Kubernetes objects other than our own custom resource: namespaces, NetworkPolicies, ServiceAccounts and pods, read and
//! written here only.
//!
//! Lives here: the choke point of calls to the API server, reads → domain values, actions → calls, and the watches that
//! say that something moved. Does not live here: what a NetworkPolicy should look like (`domain::egress`).

mod admin;
mod call;
mod enforcer;
mod execute;
mod list;
mod observe;
mod plugin;
mod pods;
mod readings;
mod resolvers;
mod watch;
mod workloads;

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use tokio::time::Instant;

pub use call::{CALL_TIMEOUT, KubeMetrics};
pub(crate) use call::{call, call_within, is_conflict, is_not_found};
pub use readings::Ages;
pub(crate) use watch::WATCH_SECONDS;
pub use watch::{NamespaceSeen, NetworkPolicySeen, PodSeen, namespaces, network_policies, pods};

use crate::config::NetworkEnforcer;
use crate::domain::observed::{EnforcerObservation, Read};

/// The cluster as one operator sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    metrics: KubeMetrics,
    enforcer: NetworkEnforcer,
    /// What enforces NetworkPolicy, as last found, and when.
    found: Arc<tokio::sync::Mutex<Option<(Instant, EnforcerObservation)>>>,
    readings: Arc<readings::Readings>,
    /// Where this pod is told to resolve names; None outside of a cluster.
    resolv_conf: Option<PathBuf>,
}

impl Cluster {
    /// Reaches the cluster with this client.
    pub fn new(client: kube::Client, metrics: KubeMetrics, enforcer: NetworkEnforcer) -> Self {
        Self {
            client,
            metrics,
            enforcer,
            found: Arc::default(),
            readings: Arc::default(),
            resolv_conf: std::env::var_os("KUBERNETES_SERVICE_HOST").map(|_| PathBuf::from("/etc/resolv.conf")),
        }
    }

    /// The same, told by another file where to resolve names.
    #[cfg(test)]
    fn told_by(self, resolv_conf: PathBuf) -> Self {
        Self {
            resolv_conf: Some(resolv_conf),
            ..self
        }
    }

    /// A namespace appeared, changed or went: what was read of it before serves no more.
    pub fn namespace_moved(&self, seen: &NamespaceSeen) {
        self.readings.namespace_moved(&seen.name);
    }

    /// A NetworkPolicy appeared, changed or went.
    pub fn network_policy_moved(&self, seen: &NetworkPolicySeen) {
        self.readings.network_policy_moved(seen);
    }

    /// A pod of this namespace appeared, changed or went.
    pub fn pods_moved(&self, namespace: &str) {
        self.readings.pods_moved(namespace);
    }

    /// Uid of namespace kube-system: what tells this cluster from every other.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn uid(&self) -> Read<Option<String>> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = call(&self.metrics, "get namespaces", api.get_metadata("kube-system")).await?;
        Ok(namespace.metadata.uid)
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
