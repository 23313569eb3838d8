//! Pods of one namespace, page by page and pruned: of a pod no more is kept than the plan asks for; of its environment,
//! names only, but for the address of the EKS Pod Identity agent.

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{Api, ListParams};

use super::list::LIVING;
use super::readings::Kept;
use super::{Cluster, list};
use crate::domain::egress::networks::has_other_networks;
use crate::domain::observed::{PodObservation, Read};

/// Variables from which every AWS SDK takes keys, before it looks for a role (AWS SDKs reference, "Environment variables").
const KEY_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
/// Variable that the webhook of IRSA sets (amazon-eks-pod-identity-webhook).
const WEB_IDENTITY_VARIABLE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
/// Variable that the webhook of EKS Pod Identity sets; ECS has it too, with another address.
const POD_IDENTITY_VARIABLE: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// The agent's addresses, as they stand in that variable.
const AGENTS: [&str; 2] = ["http://169.254.170.23/", "http://[fd00:ec2::23]/"];

impl Cluster {
    /// The living pods of a namespace.
    pub(super) async fn pods_in(&self, namespace: &str) -> Read<Kept<PodObservation>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = ListParams::default().fields(LIVING);
        let list = list::kept(
            &self.metrics,
            "list pods",
            &params,
            |page| {
                let api = api.clone();
                async move { api.list(&page).await }
            },
            pod,
        );
        Ok(list.await?.into())
    }
}

fn pod(found: Pod) -> Option<PodObservation> {
    let spec = found.spec?;
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let any = |wanted: &dyn Fn(&str, Option<&str>) -> bool| {
        containers().any(|container: &Container| {
            let mut variables = container.env.iter().flatten();
            variables.any(|v| wanted(&v.name, v.value.as_deref()))
        })
    };
    let annotations = found.metadata.annotations.as_ref();
    let owners = found.metadata.owner_references.as_deref().unwrap_or_default();
    Some(PodObservation {
        other_networks: has_other_networks(|key| annotations?.get(key).map(String::as_str)),
        standalone: owners.is_empty(),
        namespace: found.metadata.namespace?,
        name: found.metadata.name?,
        service_account: spec.service_account_name.clone().unwrap_or_default(),
        static_credentials: any(&|name, _| KEY_VARIABLES.contains(&name)),
        unnamed_environment: containers().any(|c| c.env_from.as_ref().is_some_and(|from| !from.is_empty())),
        web_identity: any(&|name, _| name == WEB_IDENTITY_VARIABLE),
        pod_identity: any(&|name, value| {
            name == POD_IDENTITY_VARIABLE && value.is_some_and(|uri| AGENTS.iter().any(|a| uri.starts_with(a)))
        }),
        host_network: spec.host_network.unwrap_or_default(),
        labels: found.metadata.labels.unwrap_or_default(),
    })
}
