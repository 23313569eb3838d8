//! Step two: everything that is seen for one policy, AWS and the cluster at the same time. No decision is taken here.

use std::time::Duration;

use super::account::Account;
use crate::cluster::{Ages, Cluster};
use crate::domain::observed::Observed;
use crate::domain::policy::ValidatedPolicy;

/// Observes. What could not be read is in there as such. No reading of AWS is older than `max_age`, none of the cluster
/// older than `ages`.
pub(super) async fn observe(
    policy: &ValidatedPolicy,
    account: &dyn Account,
    cluster: &Cluster,
    max_age: Duration,
    ages: Ages,
) -> Observed {
    let (aws, cluster) = futures::join!(account.observe(policy, max_age), cluster.observe(policy, ages));
    aws.with_cluster(cluster)
}
