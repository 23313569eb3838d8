//! EKS Pod Identity associations: which ServiceAccount of the operator's cluster gets which role.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::classify::Failure;
use super::paging::next_token;
use super::s3::OCCASIONAL_AGE;
use super::service::Service;
use super::session::AccountSession;
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::observed::{ErrorClass, PodIdentityAssociation, Read};
use crate::domain::policy::ServiceAccount;

/// Largest page that EKS gives (ListPodIdentityAssociations, maxResults).
const PAGE: i32 = 100;
/// Pages of one listing: a cluster has at most 5,000 associations (Amazon EKS quotas).
const MAX_PAGES: usize = 60;
/// Associations described at once.
const CONCURRENCY: usize = 4;
/// Associations of ServiceAccounts that no role lists are only reported; of more than these none is described.
const MAX_UNLISTED: usize = 200;

/// An association as the listing gives it, which does not tell its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    id: String,
    account: ServiceAccount,
}

impl AccountSession {
    /// Reads the associations of `cluster`. Those of `listed` ServiceAccounts are not older than `max_age`; the others,
    /// which no trust policy of ours lets in, may be an hour old.
    ///
    /// # Errors
    /// Why they could not be read whole.
    pub async fn pod_identity_associations(
        &self,
        cluster: &EksCluster,
        listed: &BTreeSet<ServiceAccount>,
        max_age: Duration,
    ) -> Read<BTreeSet<PodIdentityAssociation>> {
        let listings = &self.shared.readings.associations;
        let all = listings
            .get(&cluster.arn, max_age, || self.list_associations(cluster))
            .await?;
        let (ours, mut others): (Vec<Listed>, Vec<Listed>) = all.into_iter().partition(|a| listed.contains(&a.account));
        if others.len() > MAX_UNLISTED {
            others.clear();
        }
        let ours = ours.into_iter().map(|a| (a.id, max_age));
        let wanted = ours.chain(others.into_iter().map(|a| (a.id, OCCASIONAL_AGE)));
        let described: Vec<Option<PodIdentityAssociation>> = stream::iter(wanted)
            .map(|(id, age)| async move {
                let key = (cluster.arn.clone(), id);
                let kept = &self.shared.readings.association;
                kept.get(&key, age, || self.describe_association(cluster, &key.1)).await
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        Ok(described.into_iter().flatten().collect())
    }

    async fn list_associations(&self, cluster: &EksCluster) -> Result<Vec<Listed>, Failure> {
        const OPERATION: &str = "ListPodIdentityAssociations";
        let eks = self.clients(&cluster.region).eks;
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let request = eks
                .list_pod_identity_associations()
                .cluster_name(&cluster.name)
                .max_results(PAGE)
                .set_next_token(token.clone());
            let page = self.shared.caller.read(Service::Eks, OPERATION, request.send()).await?;
            for summary in page.associations() {
                let listed = || {
                    Some(Listed {
                        id: summary.association_id()?.to_owned(),
                        account: ServiceAccount {
                            namespace: summary.namespace()?.to_owned(),
                            name: summary.service_account()?.to_owned(),
                        },
                    })
                };
                all.push(listed().ok_or_else(|| Failure::incomplete(OPERATION, "id or ServiceAccount"))?);
            }
            token = next_token(OPERATION, page.next_token, token.as_ref())?;
            if token.is_none() {
                return Ok(all);
            }
        }
        Err(Failure::new(
            OPERATION,
            ErrorClass::Terminal,
            "more pages than a cluster can have",
        ))
    }

    /// None: it has gone since it was listed.
    async fn describe_association(
        &self,
        cluster: &EksCluster,
        id: &str,
    ) -> Result<Option<PodIdentityAssociation>, Failure> {
        const OPERATION: &str = "DescribePodIdentityAssociation";
        let eks = self.clients(&cluster.region).eks;
        let request = eks
            .describe_pod_identity_association()
            .cluster_name(&cluster.name)
            .association_id(id);
        let output = match self.shared.caller.read(Service::Eks, OPERATION, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.has_code("ResourceNotFoundException") => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let found = output.association.and_then(|a| {
            Some(PodIdentityAssociation {
                id: id.to_owned(),
                namespace: a.namespace?,
                service_account: a.service_account?,
                role_arn: a.role_arn?,
                target_role_arn: a.target_role_arn.filter(|arn| !arn.is_empty()),
                session_tags_disabled: a.disable_session_tags.unwrap_or(false),
            })
        });
        let found = found.ok_or_else(|| Failure::incomplete(OPERATION, "ServiceAccount or role"))?;
        Ok(Some(found))
    }
}
