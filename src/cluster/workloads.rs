//! Which ServiceAccounts point at the policy's roles, and the pods that run under those that the policy lists. Of a pod no
//! more is kept than the plan asks for; of its environment, names only.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Container, Pod, ServiceAccount};
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;

use super::{Cluster, list};
use crate::domain::iam::chain::ROLE_ARN_ANNOTATION;
use crate::domain::observed::{PodObservation, Read, ServiceAccountObservation};
use crate::domain::policy::ValidatedPolicy;

/// Namespaces whose pods are listed at the same time, for one policy.
const CONCURRENT_NAMESPACES: usize = 4;
/// Pods that have ended use no credentials any more.
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Variables from which every AWS SDK takes keys, before it looks for a role (AWS SDKs reference, "Environment variables").
const KEY_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// ServiceAccounts that the policy lists, by namespace.
type Listed = BTreeMap<String, BTreeSet<String>>;

/// ServiceAccounts and pods, each read or not.
pub(super) type Workloads = (
    Option<Read<Vec<ServiceAccountObservation>>>,
    Option<Read<Vec<PodObservation>>>,
);

impl Cluster {
    /// Observes what uses, or is to use, the policy's roles. Without roles nothing is asked.
    pub(super) async fn workloads(&self, policy: &ValidatedPolicy) -> Workloads {
        let mut listed = Listed::new();
        for account in policy.roles.iter().flat_map(|role| &role.service_accounts) {
            listed
                .entry(account.namespace.clone())
                .or_default()
                .insert(account.name.clone());
        }
        if listed.is_empty() {
            return (None, None);
        }
        let (accounts, pods) = futures::join!(self.service_accounts(policy, &listed), self.pods(listed.clone()));
        (Some(accounts), Some(pods))
    }

    async fn service_accounts(
        &self,
        policy: &ValidatedPolicy,
        listed: &Listed,
    ) -> Read<Vec<ServiceAccountObservation>> {
        let roles: BTreeSet<String> = policy.roles.iter().map(|role| policy.role_arn(&role.name)).collect();
        let api: Api<ServiceAccount> = Api::all(self.client.clone());
        let keep = |found| service_account(found).filter(|a| is_listed(listed, a) || points_at(&roles, a));
        list::kept(
            &self.metrics,
            "list serviceaccounts",
            &ListParams::default(),
            |page| {
                let api = api.clone();
                async move { api.list_metadata(&page).await }
            },
            keep,
        )
        .await
    }

    async fn pods(&self, listed: Listed) -> Read<Vec<PodObservation>> {
        let pods: Vec<Vec<PodObservation>> = stream::iter(listed)
            .map(|(namespace, accounts)| self.pods_in(namespace, accounts))
            .buffered(CONCURRENT_NAMESPACES)
            .try_collect()
            .await?;
        Ok(pods.into_iter().flatten().collect())
    }

    async fn pods_in(&self, namespace: String, accounts: BTreeSet<String>) -> Read<Vec<PodObservation>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let only = accounts.first().filter(|_| accounts.len() == 1);
        let fields = match only {
            Some(name) => format!("{LIVING},spec.serviceAccountName={name}"),
            None => LIVING.to_owned(),
        };
        let keep = |found| pod(found).filter(|pod: &PodObservation| accounts.contains(&pod.service_account));
        list::kept(
            &self.metrics,
            "list pods",
            &ListParams::default().fields(&fields),
            |page| {
                let api = api.clone();
                async move { api.list(&page).await }
            },
            keep,
        )
        .await
    }
}

fn is_listed(listed: &Listed, account: &ServiceAccountObservation) -> bool {
    listed
        .get(&account.namespace)
        .is_some_and(|names| names.contains(&account.name))
}

fn points_at(roles: &BTreeSet<String>, account: &ServiceAccountObservation) -> bool {
    account.role_arn.as_ref().is_some_and(|arn| roles.contains(arn))
}

fn service_account(found: PartialObjectMeta<ServiceAccount>) -> Option<ServiceAccountObservation> {
    let metadata = found.metadata;
    Some(ServiceAccountObservation {
        namespace: metadata.namespace?,
        name: metadata.name?,
        role_arn: metadata.annotations.and_then(|mut a| a.remove(ROLE_ARN_ANNOTATION)),
    })
}

fn pod(found: Pod) -> Option<PodObservation> {
    let spec = found.spec?;
    let has_keys = |container: &Container| {
        let names = container.env.iter().flatten().map(|variable| variable.name.as_str());
        names.into_iter().any(|name| KEY_VARIABLES.contains(&name))
    };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    Some(PodObservation {
        namespace: found.metadata.namespace?,
        name: found.metadata.name?,
        service_account: spec.service_account_name.clone()?,
        labels: found.metadata.labels.unwrap_or_default(),
        static_credentials: containers.into_iter().any(has_keys),
    })
}
