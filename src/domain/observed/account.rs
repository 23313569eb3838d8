//! An account as a whole: what bears on a bucket or a role without hanging on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::{BucketObservation, PublicAccessBlock, Read, RoleObservation};
use crate::domain::names::{BucketName, Region};
use crate::domain::policy::SelectedBuckets;

/// What was read of the account; None = not read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountObservation {
    /// Every role. Shared, not copied: an account can have thousands.
    pub roles: Option<Read<Arc<AccountRoles>>>,
    /// The account's own public access block; `Ok(None)` = none set. A bucket is blocked if either says so.
    pub public_access_block: Option<Read<Option<PublicAccessBlock>>>,
    /// The account's access points in each region in which the policy has buckets. Those that other accounts have made for
    /// its buckets can't be listed.
    pub access_points: BTreeMap<Region, Read<Vec<AccessPoint>>>,
    /// By region, whether S3 is known to be reached over TLS 1.3. Only where a bucket of the policy must have it.
    pub s3_offers_tls13: BTreeMap<Region, bool>,
    /// What the policy's bucket selectors found, by name of the selector.
    pub selected: BTreeMap<String, Read<SelectedBuckets>>,
    /// EKS Pod Identity associations of the operator's cluster.
    pub pod_identity_associations: Option<Read<BTreeSet<PodIdentityAssociation>>>,
    /// Addresses of the AWS services that egress rules allow, from their managed prefix lists.
    pub prefix_lists: BTreeMap<String, Read<Vec<IpNet>>>,
    /// The buckets that the policy's access logs go to, or shall go to; not those of buckets whose logging is not known.
    pub log_targets: BTreeMap<BucketName, BucketObservation>,
}

/// Every role of an account (`GetAccountAuthorizationDetails`, `ListRoles`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRoles {
    /// The roles.
    pub roles: Vec<RoleObservation>,
    /// The account's own managed policies by ARN: default version, decoded. AWS's are not among them.
    pub managed_policies: BTreeMap<String, String>,
}

/// An access point.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessPoint {
    /// ARN.
    pub arn: String,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its policy as JSON text; `Ok(None)` = no policy.
    pub policy: Read<Option<String>>,
}

/// A Pod Identity association: one for each ServiceAccount at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodIdentityAssociation {
    /// Id, by which it is changed.
    pub id: String,
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub service_account: String,
    /// ARN of the role.
    pub role_arn: String,
    /// ARN of the role that is assumed from it, where there is one: then that is the one whose credentials the pods get.
    pub target_role_arn: Option<String>,
    /// Whether sessions carry no tags, so that no trust condition on `aws:RequestTag/kubernetes-…` is ever met.
    pub session_tags_disabled: bool,
}
