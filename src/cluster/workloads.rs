//! Which ServiceAccounts point at the policy's roles, and the pods of the namespaces that the policy is about.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;

use super::readings::{Ages, Kept};
use super::{Cluster, list};
use crate::domain::iam::chain::ROLE_ARN_ANNOTATION;
use crate::domain::observed::{PodObservation, Read, ServiceAccountObservation};
use crate::domain::policy::ValidatedPolicy;

/// Namespaces whose pods are listed at the same time, for one policy.
const CONCURRENT_NAMESPACES: usize = 4;

/// ServiceAccounts that the policy lists, by namespace.
pub(super) type Listed = BTreeMap<String, BTreeSet<String>>;

/// The ServiceAccounts that the roles list.
pub(super) fn listed(policy: &ValidatedPolicy) -> Listed {
    let mut listed = Listed::new();
    for account in policy.roles.iter().flat_map(|role| &role.service_accounts) {
        listed
            .entry(account.namespace.clone())
            .or_default()
            .insert(account.name.clone());
    }
    listed
}

impl Cluster {
    /// What uses, or is to use, the policy's roles; None without roles.
    pub(super) async fn service_accounts(
        &self,
        policy: &ValidatedPolicy,
        ages: Ages,
    ) -> Option<Read<Vec<ServiceAccountObservation>>> {
        let listed = listed(policy);
        if listed.is_empty() {
            return None;
        }
        let key = (policy.name.clone(), policy.generation);
        let read = || self.read_service_accounts(policy, &listed);
        let seen = self.readings.service_accounts.get(&key, ages.polled, read).await;
        Some(seen.map(|accounts| accounts.to_vec()))
    }

    async fn read_service_accounts(
        &self,
        policy: &ValidatedPolicy,
        listed: &Listed,
    ) -> Read<Kept<ServiceAccountObservation>> {
        let roles: BTreeSet<String> = policy.roles.iter().map(|role| policy.role_arn(&role.name)).collect();
        let api: Api<ServiceAccount> = Api::all(self.client.clone());
        let everything = ListParams::default();
        let keep = |found| service_account(found).filter(|a| is_listed(listed, a) || points_at(&roles, a));
        let found = list::kept(
            &self.metrics,
            "list serviceaccounts",
            &everything,
            |page| {
                let api = api.clone();
                async move { api.list_metadata(&page).await }
            },
            keep,
        );
        Ok(found.await?.into())
    }

    /// The living pods of these namespaces; None without any.
    pub(super) async fn pods(&self, namespaces: BTreeSet<String>, ages: Ages) -> Option<Read<Vec<PodObservation>>> {
        if namespaces.is_empty() {
            return None;
        }
        let pods: Read<Vec<Kept<PodObservation>>> = stream::iter(namespaces)
            .map(|namespace| self.pods_of(namespace, ages))
            .buffered(CONCURRENT_NAMESPACES)
            .try_collect()
            .await;
        Some(pods.map(|all| all.iter().flat_map(|pods| pods.iter().cloned()).collect()))
    }

    async fn pods_of(&self, namespace: String, ages: Ages) -> Read<Kept<PodObservation>> {
        let read = || self.pods_in(&namespace);
        self.readings.pods.get(&namespace, ages.watched, read).await
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
