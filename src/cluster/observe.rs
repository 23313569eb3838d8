//! What Kubernetes says about one policy's egress rules. No cache: a claim rests on what the API server answers now.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::core::{PartialObjectMeta, Selector};

use super::call::{call, is_not_found};
use super::{Cluster, list};
use crate::api;
use crate::domain::egress::desired::label_selector;
use crate::domain::egress::plan::{LABEL_MANAGED_BY, LABEL_POLICY};
use crate::domain::observed::{
    CallError, ClusterObservation, EnforcerObservation, ErrorClass, NamespaceObservation, Read,
};
use crate::domain::policy::ValidatedPolicy;

/// Namespaces looked at at the same time, for one policy.
const CONCURRENT_NAMESPACES: usize = 4;

impl Cluster {
    /// Observes what the policy's egress rules, present and claimed, are about, and who uses its roles. Without any,
    /// nothing is asked.
    ///
    /// # Errors
    /// The first call that failed: half a view of the network would be none.
    pub async fn observe(&self, policy: &ValidatedPolicy) -> Read<ClusterObservation> {
        // Boxed: together they would be a large future.
        let (network, workloads) = futures::join!(Box::pin(self.network(policy)), Box::pin(self.workloads(policy)));
        let (service_accounts, pods) = workloads;
        let (namespaces, network_policies, enforcer) = network?;
        Ok(ClusterObservation {
            namespaces,
            network_policies,
            enforcer,
            service_accounts,
            pods,
        })
    }

    async fn network(
        &self,
        policy: &ValidatedPolicy,
    ) -> Read<(Vec<NamespaceObservation>, Vec<NetworkPolicy>, EnforcerObservation)> {
        if policy.egress.is_empty() && policy.inventory.egress.is_empty() {
            return Ok((Vec::new(), Vec::new(), EnforcerObservation::Unknown));
        }
        let mut namespaces = self.matching_namespaces(policy).await?;
        let ours = self.ours(&policy.name).await?;
        self.add_namespaces_of(&ours, &mut namespaces).await?;
        let network_policies: Vec<Vec<NetworkPolicy>> = stream::iter(namespaces.keys().cloned())
            .map(|namespace| self.network_policies_in(namespace))
            .buffered(CONCURRENT_NAMESPACES)
            .try_collect()
            .await?;
        Ok((
            namespaces.into_values().collect(),
            network_policies.into_iter().flatten().collect(),
            self.enforcer().await?,
        ))
    }

    async fn matching_namespaces(&self, policy: &ValidatedPolicy) -> Read<BTreeMap<String, NamespaceObservation>> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let mut selectors: Vec<&api::Selector> = Vec::new();
        for rule in &policy.egress {
            if !selectors.contains(&&rule.namespace_selector) {
                selectors.push(&rule.namespace_selector);
            }
        }
        let mut out = BTreeMap::new();
        for selector in selectors {
            let params = ListParams::default().labels_from(&server_selector(selector)?);
            let found = list::all(&self.metrics, "list namespaces", &params, |page| {
                let api = api.clone();
                async move { api.list_metadata(&page).await }
            })
            .await?;
            out.extend(found.into_iter().filter_map(namespace));
        }
        Ok(out)
    }

    /// NetworkPolicies of this policy, wherever they are: also where no rule matches any more.
    async fn ours(&self, policy: &str) -> Read<Vec<PartialObjectMeta<NetworkPolicy>>> {
        let api: Api<NetworkPolicy> = Api::all(self.client.clone());
        let labels = format!("{LABEL_MANAGED_BY}={},{LABEL_POLICY}={policy}", api::FIELD_MANAGER);
        let params = ListParams::default().labels(&labels);
        list::all(&self.metrics, "list networkpolicies", &params, |page| {
            let api = api.clone();
            async move { api.list_metadata(&page).await }
        })
        .await
    }

    async fn add_namespaces_of(
        &self,
        ours: &[PartialObjectMeta<NetworkPolicy>],
        namespaces: &mut BTreeMap<String, NamespaceObservation>,
    ) -> Read<()> {
        let left: BTreeSet<&String> = ours
            .iter()
            .filter_map(|o| o.metadata.namespace.as_ref())
            .filter(|n| !namespaces.contains_key(*n))
            .collect();
        let api: Api<Namespace> = Api::all(self.client.clone());
        for name in left {
            match call(&self.metrics, "get namespaces", api.get_metadata(name)).await {
                Ok(found) => namespaces.extend(namespace(found)),
                // It went away in between, and the NetworkPolicy with it.
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn network_policies_in(&self, namespace: String) -> Read<Vec<NetworkPolicy>> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), &namespace);
        list::all(&self.metrics, "list networkpolicies", &ListParams::default(), |page| {
            let api = api.clone();
            async move { api.list(&page).await }
        })
        .await
    }
}

fn namespace(found: PartialObjectMeta<Namespace>) -> Option<(String, NamespaceObservation)> {
    let metadata = found.metadata;
    let name = metadata.name?;
    let observation = NamespaceObservation {
        name: name.clone(),
        labels: metadata.labels.unwrap_or_default(),
        terminating: metadata.deletion_timestamp.is_some(),
    };
    Some((name, observation))
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
