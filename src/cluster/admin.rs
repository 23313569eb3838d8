//! Cluster-wide policies of `policy.networking.k8s.io`, where that group is served.

use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::call::{call, is_not_found};
use super::readings::Kept;
use super::{Cluster, list};
use crate::domain::egress::admin::{AdminKind, AdminPolicy, GROUP};
use crate::domain::observed::{AdminObservation, Read};

/// Version, plural and kind of each that can be read.
pub(super) const KINDS: [(&str, &str, AdminKind); 3] = [
    ("v1alpha1", "adminnetworkpolicies", AdminKind::AdminNetworkPolicy),
    (
        "v1alpha1",
        "baselineadminnetworkpolicies",
        AdminKind::BaselineAdminNetworkPolicy,
    ),
    ("v1alpha2", "clusternetworkpolicies", AdminKind::ClusterNetworkPolicy),
];

impl Cluster {
    /// All of them. What the API server does not know is not there.
    pub(super) async fn admin_policies(&self) -> Read<Kept<AdminObservation>> {
        let groups = call(&self.metrics, "get apis", self.client.list_api_groups()).await;
        let groups = match groups {
            Ok(groups) => groups.groups,
            Err(error) if is_not_found(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        let versions: Vec<String> = groups
            .into_iter()
            .filter(|g| g.name == GROUP)
            .flat_map(|g| g.versions)
            .map(|v| v.version)
            .collect();
        let mut out = Vec::new();
        for (version, plural, kind) in KINDS {
            if versions.iter().any(|v| v == version) {
                out.extend(self.admin_policies_of(version, plural, kind).await?);
            }
        }
        Ok(out.into())
    }

    async fn admin_policies_of(&self, version: &str, plural: &str, kind: AdminKind) -> Read<Vec<AdminObservation>> {
        let gvk = GroupVersionKind::gvk(GROUP, version, kind.as_str());
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let found = list::kept(
            &self.metrics,
            "list admin policies",
            &ListParams::default(),
            |page| {
                let api = api.clone();
                async move { api.list(&page).await }
            },
            |object| Some(observation(kind, object)),
        )
        .await;
        match found {
            // The group may be served without this kind.
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            other => other,
        }
    }
}

fn observation(kind: AdminKind, mut object: DynamicObject) -> AdminObservation {
    object.metadata.managed_fields = None;
    let name = object.metadata.name.clone().unwrap_or_default();
    // What came as JSON goes back into it; null would not be read as a policy.
    let value = serde_json::to_value(&object).unwrap_or(Value::Null);
    AdminObservation {
        kind,
        policy: AdminPolicy::read(kind, &value),
        name,
    }
}
