//! Policies of the network plugins' own APIs, where those are served, and cluster-wide policies in versions that can't be
//! read: only that they are there. What they say is not read.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::GroupVersionForDiscovery;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::admin;
use super::call::{call, is_not_found};
use super::readings::Kept;
use super::{Cluster, list};
use crate::domain::egress::admin::GROUP;
use crate::domain::observed::{PluginPolicy, Read};

/// Group, plural and kind of each that can let out what a NetworkPolicy keeps in: a Cilium policy adds to it, the others can
/// decide before it. OVN's EgressFirewall only takes away.
const KINDS: [(&str, &str, &str); 10] = [
    ("cilium.io", "ciliumnetworkpolicies", "CiliumNetworkPolicy"),
    (
        "cilium.io",
        "ciliumclusterwidenetworkpolicies",
        "CiliumClusterwideNetworkPolicy",
    ),
    ("crd.projectcalico.org", "networkpolicies", "NetworkPolicy"),
    ("crd.projectcalico.org", "globalnetworkpolicies", "GlobalNetworkPolicy"),
    ("projectcalico.org", "networkpolicies", "NetworkPolicy"),
    ("projectcalico.org", "globalnetworkpolicies", "GlobalNetworkPolicy"),
    ("crd.antrea.io", "networkpolicies", "NetworkPolicy"),
    ("crd.antrea.io", "clusternetworkpolicies", "ClusterNetworkPolicy"),
    (
        "networking.k8s.aws",
        "applicationnetworkpolicies",
        "ApplicationNetworkPolicy",
    ),
    ("networking.k8s.aws", "clusternetworkpolicies", "ClusterNetworkPolicy"),
];

/// Calico's own API server shows Kubernetes NetworkPolicies among its own, under names that it lets nobody else use. In the
/// API group behind it (`crd.projectcalico.org`) such a name is anybody's.
const CALICO_API: &str = "projectcalico.org";
/// How those names start.
const CALICO_SHADOW: &str = "knp.default.";

impl Cluster {
    /// All of them. What the API server does not know is not there.
    pub(super) async fn plugin_policies(&self) -> Read<Kept<PluginPolicy>> {
        let groups = match call(&self.metrics, "get apis", self.client.list_api_groups()).await {
            Ok(groups) => groups.groups,
            Err(error) if is_not_found(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut out = Vec::new();
        for (group, plural, kind) in KINDS {
            let Some(served) = groups.iter().find(|g| g.name == group) else {
                continue;
            };
            // Not every version of a group has every kind.
            for version in served.preferred_version.iter().chain(&served.versions) {
                let gvk = GroupVersionKind::gvk(group, &version.version, kind);
                let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
                if let Some(found) = self.plugin_policies_of(&resource).await? {
                    out.extend(found);
                    break;
                }
            }
        }
        for served in groups.iter().filter(|g| g.name == GROUP) {
            out.extend(self.unreadable_admin_policies(&served.versions).await?);
        }
        Ok(out.into())
    }

    /// Policies of the admin tier's group that none of the versions that can be read has.
    async fn unreadable_admin_policies(&self, served: &[GroupVersionForDiscovery]) -> Read<Vec<PluginPolicy>> {
        let is_served = |version: &str| served.iter().any(|v| v.version == version);
        let mut read: BTreeSet<String> = admin::KINDS
            .iter()
            .filter(|(version, ..)| is_served(version))
            .map(|(_, plural, _)| (*plural).to_owned())
            .collect();
        let mut out: Vec<PluginPolicy> = Vec::new();
        for GroupVersionForDiscovery { group_version, version } in served {
            if admin::KINDS.iter().any(|(known, ..)| known == version) {
                continue;
            }
            let resources = self.client.list_api_group_resources(group_version);
            let resources = call(&self.metrics, "get apis", resources).await?.resources;
            let policies = resources
                .iter()
                .filter(|r| r.kind.ends_with("NetworkPolicy") && !r.name.contains('/'));
            for resource in policies {
                // Every version shows the same objects.
                if read.insert(resource.name.clone()) {
                    let gvk = GroupVersionKind::gvk(GROUP, version, &resource.kind);
                    let resource = ApiResource::from_gvk_with_plural(&gvk, &resource.name);
                    out.extend(self.plugin_policies_of(&resource).await?.unwrap_or_default());
                }
            }
        }
        Ok(out)
    }

    /// None: the API server has no such kind in this version.
    async fn plugin_policies_of(&self, resource: &ApiResource) -> Read<Option<Vec<PluginPolicy>>> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let found = list::kept(
            &self.metrics,
            "list plugin policies",
            &ListParams::default(),
            |page| {
                let api = api.clone();
                async move { api.list_metadata(&page).await }
            },
            |object| {
                let name = object.metadata.name?;
                let shadow = resource.group == CALICO_API && name.starts_with(CALICO_SHADOW);
                (!shadow).then(|| PluginPolicy {
                    kind: format!("{}.{}", resource.kind, resource.group),
                    namespace: object.metadata.namespace,
                    name,
                })
            },
        )
        .await;
        match found {
            Err(error) if is_not_found(&error) => Ok(None),
            other => other.map(Some),
        }
    }
}
