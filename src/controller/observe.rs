//! Step two: everything that is seen for one policy, AWS and the cluster at the same time. No decision is taken here.

use std::time::Duration;

use super::account::Account;
use crate::cluster::Cluster;
use crate::domain::observed::Observed;
use crate::domain::policy::ValidatedPolicy;

/// Observes. What could not be read is in there as such.
pub(super) async fn observe(
    policy: &ValidatedPolicy,
    account: &dyn Account,
    cluster: &Cluster,
    max_age: Duration,
) -> Observed {
    let (aws, cluster) = futures::join!(account.observe(policy, max_age), cluster.observe(policy));
    aws.with_cluster(cluster)
}
