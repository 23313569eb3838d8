//! What Kubernetes says about one policy's egress rules, and who uses its roles.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::core::{PartialObjectMeta, Selector};

use super::call::{call, is_not_found};
use super::readings::{Ages, Kept};
use super::workloads::listed;
use super::{Cluster, list};
use crate::api;
use crate::domain::egress::desired::label_selector;
use crate::domain::egress::ownership::{LABEL_MANAGED_BY, LABEL_POLICY};
use crate::domain::observed::{CallError, ClusterObservation, ErrorClass, NamespaceObservation, Read};
use crate::domain::policy::ValidatedPolicy;

/// Namespaces looked at at the same time, for one policy.
const CONCURRENT_NAMESPACES: usize = 4;

impl Cluster {
    /// Observes what the policy's egress rules, present and claimed, are about, and who uses its roles. Without any,
    /// nothing is asked. Readings that are not older than `ages` serve once more.
    ///
    /// # Errors
    /// The first call that failed: half a view of the network would be none. Pods, ServiceAccounts and cluster-wide
    /// policies fail each on its own.
    pub async fn observe(&self, policy: &ValidatedPolicy, ages: Ages) -> Read<ClusterObservation> {
        // Boxed: together they would be a large future.
        let (network, service_accounts) = futures::join!(
            Box::pin(self.network(policy, ages)),
            Box::pin(self.service_accounts(policy, ages))
        );
        let mut seen = network?;
        let matched = seen.namespaces.iter().map(|n| n.name.clone());
        let namespaces: BTreeSet<String> = listed(policy).into_keys().chain(matched).collect();
        seen.service_accounts = service_accounts;
        seen.pods = Box::pin(self.pods(namespaces, ages)).await;
        Ok(seen)
    }

    async fn network(&self, policy: &ValidatedPolicy, ages: Ages) -> Read<ClusterObservation> {
        if policy.egress.is_empty() && policy.inventory.egress.is_empty() {
            return Ok(ClusterObservation::default());
        }
        let mut namespaces = self.matching_namespaces(policy, ages).await?;
        self.add_namespaces_of_ours(policy, ages, &mut namespaces).await?;
        let network_policies: Vec<Kept<NetworkPolicy>> = stream::iter(namespaces.keys().cloned())
            .map(|namespace| self.network_policies(namespace, ages))
            .buffered(CONCURRENT_NAMESPACES)
            .try_collect()
            .await?;
        let polled = ages.polled;
        let (enforcer, admin_policies, plugin_policies, resolvers) = futures::join!(
            self.enforcer(),
            self.readings.admin_policies.get(&(), polled, || self.admin_policies()),
            self.readings
                .plugin_policies
                .get(&(), polled, || self.plugin_policies()),
            self.readings.resolvers.get(&(), polled, || self.resolvers()),
        );
        Ok(ClusterObservation {
            namespaces: namespaces.into_values().collect(),
            network_policies: network_policies.iter().flat_map(|all| all.iter().cloned()).collect(),
            enforcer: enforcer?,
            admin_policies: admin_policies.map(|all| all.to_vec()),
            plugin_policies: plugin_policies.map(|all| all.to_vec()),
            resolvers: resolvers?,
            ..ClusterObservation::default()
        })
    }

    async fn matching_namespaces(
        &self,
        policy: &ValidatedPolicy,
        ages: Ages,
    ) -> Read<BTreeMap<String, NamespaceObservation>> {
        let mut selectors: Vec<&api::Selector> = Vec::new();
        for rule in &policy.egress {
            if !selectors.contains(&&rule.namespace_selector) {
                selectors.push(&rule.namespace_selector);
            }
        }
        let mut out = BTreeMap::new();
        for selector in selectors {
            let selector = server_selector(selector)?;
            let read = || self.namespaces_of(&selector);
            let found = self
                .readings
                .matching
                .get(&selector.to_string(), ages.watched, read)
                .await?;
            out.extend(found.iter().map(|n| (n.name.clone(), n.clone())));
        }
        Ok(out)
    }

    async fn namespaces_of(&self, selector: &Selector) -> Read<Kept<NamespaceObservation>> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let params = ListParams::default().labels_from(selector);
        let found = list::kept(
            &self.metrics,
            "list namespaces",
            &params,
            |page| {
                let api = api.clone();
                async move { api.list_metadata(&page).await }
            },
            namespace,
        );
        Ok(found.await?.into())
    }

    /// Where NetworkPolicies of this policy lie, wherever that is: also where no rule matches any more.
    async fn add_namespaces_of_ours(
        &self,
        policy: &ValidatedPolicy,
        ages: Ages,
        namespaces: &mut BTreeMap<String, NamespaceObservation>,
    ) -> Read<()> {
        let read = || self.ours(&policy.name);
        let ours = self.readings.ours.get(&policy.name, ages.watched, read).await?;
        for name in ours.iter() {
            if namespaces.contains_key(name) {
                continue;
            }
            let read = || self.namespace_named(name);
            if let Some(found) = self.readings.namespaces.get(name, ages.watched, read).await? {
                namespaces.insert(name.clone(), found);
            }
        }
        Ok(())
    }

    async fn ours(&self, policy: &str) -> Read<Kept<String>> {
        let api: Api<NetworkPolicy> = Api::all(self.client.clone());
        let labels = format!("{LABEL_MANAGED_BY}={},{LABEL_POLICY}={policy}", api::FIELD_MANAGER);
        let params = ListParams::default().labels(&labels);
        let found = list::kept(
            &self.metrics,
            "list networkpolicies",
            &params,
            |page| {
                let api = api.clone();
                async move { api.list_metadata(&page).await }
            },
            |object| object.metadata.namespace,
        );
        let namespaces: BTreeSet<String> = found.await?.into_iter().collect();
        Ok(namespaces.into_iter().collect::<Vec<_>>().into())
    }

    async fn namespace_named(&self, name: &str) -> Read<Option<NamespaceObservation>> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match call(&self.metrics, "get namespaces", api.get_metadata(name)).await {
            Ok(found) => Ok(namespace(found)),
            // It went away in between, and the NetworkPolicy with it.
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn network_policies(&self, namespace: String, ages: Ages) -> Read<Kept<NetworkPolicy>> {
        let read = || self.network_policies_in(&namespace);
        let known = &self.readings.network_policies;
        known.get(&namespace, ages.watched, read).await
    }

    async fn network_policies_in(&self, namespace: &str) -> Read<Kept<NetworkPolicy>> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), namespace);
        let everything = ListParams::default();
        let found = list::kept(
            &self.metrics,
            "list networkpolicies",
            &everything,
            |page| {
                let api = api.clone();
                async move { api.list(&page).await }
            },
            |object| Some(pruned(object)),
        );
        Ok(found.await?.into())
    }
}

/// Who wrote what is asked of ours only, and it is the larger part of an object.
fn pruned(mut object: NetworkPolicy) -> NetworkPolicy {
    let labels = object.metadata.labels.as_ref();
    let ours = labels.and_then(|l| l.get(LABEL_MANAGED_BY)).map(String::as_str) == Some(api::FIELD_MANAGER);
    if !ours {
        object.metadata.managed_fields = None;
        object.metadata.annotations = None;
    }
    object
}

fn namespace(found: PartialObjectMeta<Namespace>) -> Option<NamespaceObservation> {
    let metadata = found.metadata;
    Some(NamespaceObservation {
        name: metadata.name?,
        labels: metadata.labels.unwrap_or_default(),
        terminating: metadata.deletion_timestamp.is_some(),
    })
}

/// The selector as the API server takes it.
fn server_selector(selector: &api::Selector) -> Read<Selector> {
    Selector::try_from(label_selector(selector)).map_err(|error| CallError {
        operation: "list namespaces",
        class: ErrorClass::Terminal,
        code: None,
        message: format!("namespaceSelector: {error}"),
    })
}
