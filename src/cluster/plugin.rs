//! Policies of the network plugins' own APIs, where those are served: only that they are there. What they say is not read.

use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::call::{call, is_not_found};
use super::readings::Kept;
use super::{Cluster, list};
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

/// How Calico's API names the Kubernetes NetworkPolicies that it shows among its own.
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
            let preferred = served.preferred_version.as_ref().or_else(|| served.versions.first());
            if let Some(version) = preferred {
                let gvk = GroupVersionKind::gvk(group, &version.version, kind);
                let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
                out.extend(self.plugin_policies_of(&resource).await?);
            }
        }
        Ok(out.into())
    }

    async fn plugin_policies_of(&self, resource: &ApiResource) -> Read<Vec<PluginPolicy>> {
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
                (!name.starts_with(CALICO_SHADOW)).then(|| PluginPolicy {
                    kind: format!("{}.{}", resource.kind, resource.group),
                    namespace: object.metadata.namespace,
                    name,
                })
            },
        )
        .await;
        match found {
            // The group may be served without this kind.
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            other => other,
        }
    }
}
