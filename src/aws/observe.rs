//! Everything AWS has to say about one policy: account first, then buckets and roles, several at once, each on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use ipnet::IpNet;

use super::access_points::Listed as AccessPointListed;
use super::classify::Failure;
use super::discover::{Listed, TagQuery, Tagged};
use super::eks::Listed as AssociationListed;
use super::iam::{Bulk, PolicyVersions};
use super::kms::{Described, KeyPlace};
use super::reach::regions_to_reach;
use super::s3::{BucketReads, Cadence, OCCASIONAL_AGE, Place, Versioning, wanted};
use super::session::AccountSession;
use crate::api::Gating;
use crate::domain::iam::others::{OtherRole, other_roles};
use crate::domain::names::{AccountId, BucketName, Region, RoleName};
use crate::domain::observed::{
    AccessLoggingState, AccountObservation, AccountRoles, BucketAcl, BucketObservation, CallerIdentity,
    ClusterObservation, EncryptionState, ExpiryRule, KeyGrant, KeyObservation, KeyQuery, KeyRotation, ObjectLock,
    ObjectOwnershipState, Observed, PodIdentityAssociation, PublicAccessBlock, Read, ReplicationDestination,
    RoleObservation,
};
use crate::domain::policy::{BucketTarget, ValidatedPolicy};
use crate::shelf::Shelf;

/// Buckets of one policy read at once. The budget of the account bounds all policies together.
pub(super) const CONCURRENT_BUCKETS: usize = 8;
/// Roles, or managed policies, of one policy read at once.
const CONCURRENT_ROLES: usize = 4;
/// Most buckets of an account whose readings are kept.
const BUCKET_CAPACITY: usize = 10_000;
/// Most roles, or managed policies, of an account whose readings are kept.
const ROLE_CAPACITY: usize = 2_000;

/// Most keys of an account whose readings are kept.
const KEY_CAPACITY: usize = 1_000;
/// Most Pod Identity associations of an account whose readings are kept.
const ASSOCIATION_CAPACITY: usize = 5_000;
/// Most prefix lists of an account whose readings are kept.
const PREFIX_LIST_CAPACITY: usize = 200;
/// Most regions of an account whose lists of access points are kept.
const REGION_CAPACITY: usize = 50;
/// Prefix lists of one policy read at once.
const CONCURRENT_PREFIX_LISTS: usize = 2;
/// Most searches for buckets of an account whose results are kept.
const SEARCH_CAPACITY: usize = 256;
/// Keys of one policy read at once.
const CONCURRENT_KEYS: usize = 4;

/// What was read lately in one account.
pub(super) struct Readings {
    pub caller: Shelf<(), CallerIdentity, Failure>,
    pub regions: Shelf<(AccountId, BucketName), Region, Failure>,
    pub encryption: Shelf<Place, EncryptionState, Failure>,
    pub policy: Shelf<Place, Option<String>, Failure>,
    pub public_access_block: Shelf<Place, Option<PublicAccessBlock>, Failure>,
    pub account_public_access_block: Shelf<(), Option<PublicAccessBlock>, Failure>,
    pub object_ownership: Shelf<Place, Option<ObjectOwnershipState>, Failure>,
    pub acl: Shelf<Place, BucketAcl, Failure>,
    pub versioning: Shelf<Place, Versioning, Failure>,
    pub access_logging: Shelf<Place, Option<AccessLoggingState>, Failure>,
    pub object_lock: Shelf<Place, Option<ObjectLock>, Failure>,
    pub expiry_rules: Shelf<Place, Vec<ExpiryRule>, Failure>,
    pub replication: Shelf<Place, BTreeSet<ReplicationDestination>, Failure>,
    pub keys: Shelf<KeyQuery, Described, Failure>,
    pub key_rotation: Shelf<KeyPlace, KeyRotation, Failure>,
    pub key_policies: Shelf<KeyPlace, String, Failure>,
    pub key_grants: Shelf<KeyPlace, BTreeSet<KeyGrant>, Failure>,
    pub access_points: Shelf<Region, Vec<AccessPointListed>, Failure>,
    pub access_point_policies: Shelf<(Region, String), Option<String>, Failure>,
    pub prefix_lists: Shelf<(Region, String), Vec<IpNet>, Failure>,
    /// By prefix.
    pub bucket_lists: Shelf<String, Listed, Failure>,
    pub tagged_buckets: Shelf<TagQuery, Tagged, Failure>,
    pub roles: Shelf<RoleName, Option<RoleObservation>, Failure>,
    pub account_roles: Shelf<(), Bulk, Failure>,
    pub managed_policies: Shelf<String, String, Failure>,
    pub policy_versions: PolicyVersions,
    pub associations: Shelf<String, Vec<AssociationListed>, Failure>,
    pub association: Shelf<(String, String), Option<PodIdentityAssociation>, Failure>,
}

impl Readings {
    pub fn new() -> Self {
        Self {
            caller: Shelf::new(1),
            regions: Shelf::new(BUCKET_CAPACITY),
            encryption: Shelf::new(BUCKET_CAPACITY),
            policy: Shelf::new(BUCKET_CAPACITY),
            public_access_block: Shelf::new(BUCKET_CAPACITY),
            account_public_access_block: Shelf::new(1),
            object_ownership: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            acl: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            versioning: Shelf::new(BUCKET_CAPACITY),
            access_logging: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            object_lock: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            expiry_rules: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            replication: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            keys: Shelf::new(KEY_CAPACITY),
            key_rotation: Shelf::keeping(KEY_CAPACITY, OCCASIONAL_AGE),
            key_policies: Shelf::keeping(KEY_CAPACITY, OCCASIONAL_AGE),
            key_grants: Shelf::keeping(KEY_CAPACITY, OCCASIONAL_AGE),
            access_points: Shelf::keeping(REGION_CAPACITY, OCCASIONAL_AGE),
            access_point_policies: Shelf::keeping(BUCKET_CAPACITY, OCCASIONAL_AGE),
            prefix_lists: Shelf::new(PREFIX_LIST_CAPACITY),
            bucket_lists: Shelf::new(SEARCH_CAPACITY),
            tagged_buckets: Shelf::new(SEARCH_CAPACITY),
            roles: Shelf::new(ROLE_CAPACITY),
            account_roles: Shelf::new(1),
            managed_policies: Shelf::new(ROLE_CAPACITY),
            policy_versions: PolicyVersions::new(),
            associations: Shelf::new(1),
            association: Shelf::keeping(ASSOCIATION_CAPACITY, OCCASIONAL_AGE),
        }
    }
}

/// The part of `Observed` that AWS has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsObservation {
    /// The caller; `Ok(None)` where the account guard is switched off.
    pub caller: Read<Option<CallerIdentity>>,
    /// One entry for each bucket of the policy or its inventory; none if the account is not the policy's.
    pub buckets: BTreeMap<BucketName, BucketObservation>,
    /// One entry for each role of the policy or its inventory; none if the account is not the policy's.
    pub roles: BTreeMap<RoleName, Read<Option<RoleObservation>>>,
    /// Documents of the managed policies that are attached to those roles, that the policy wants attached, and of their
    /// boundaries.
    pub managed_policies: BTreeMap<String, Read<String>>,
    /// Keys of the buckets, and those that the policy wants for them.
    pub keys: BTreeMap<KeyQuery, Read<KeyObservation>>,
    /// The account as a whole.
    pub account: AccountObservation,
}

impl AwsObservation {
    /// An observation that ended with the caller: nothing else was read.
    pub fn of_caller(caller: Read<Option<CallerIdentity>>) -> Self {
        Self {
            caller,
            buckets: BTreeMap::new(),
            roles: BTreeMap::new(),
            managed_policies: BTreeMap::new(),
            keys: BTreeMap::new(),
            account: AccountObservation::default(),
        }
    }

    /// The whole observation, with what Kubernetes says.
    pub fn with_cluster(self, cluster: Read<ClusterObservation>) -> Observed {
        let Self {
            caller,
            buckets,
            roles,
            managed_policies,
            keys,
            account,
        } = self;
        Observed {
            caller,
            buckets,
            roles,
            managed_policies,
            keys,
            account,
            cluster,
        }
    }
}

impl AccountSession {
    /// Observes what `policy` names and what it has claimed. Nothing is older than `max_age` (the caller: five minutes).
    /// If the credentials are not of the policy's account, or that cannot be told, nothing else is read.
    pub async fn observe(&self, policy: &ValidatedPolicy, max_age: Duration) -> AwsObservation {
        let caller = if policy.settings.account_guard {
            match self.caller_identity().await {
                Ok(caller) if caller.account == policy.account => Ok(Some(caller)),
                other => return AwsObservation::of_caller(other.map(Some)),
            }
        } else {
            Ok(None)
        };
        let selected = self.discover(policy, max_age).await;
        // What the selectors found is part of the policy from here on.
        let covered;
        let policy = if policy.selectors.is_empty() {
            policy
        } else {
            covered = policy.clone().cover(&selected);
            &covered
        };
        let is_private = policy.buckets.iter().any(|bucket| bucket.public_access.is_some());
        let (buckets, (roles, account_roles), pod_identity_associations, public_access_block) = futures::join!(
            self.buckets(policy, max_age),
            self.roles(policy, max_age),
            self.associations(policy, max_age),
            wanted(is_private, self.account_public_access_block(max_age)),
        );
        let (log_targets, s3_offers_tls13) = futures::join!(
            self.log_targets(policy, &buckets, max_age),
            self.regions_with_tls13(policy, &buckets),
        );
        let associations = pod_identity_associations.as_ref().and_then(|read| read.as_ref().ok());
        let all_roles = account_roles.as_ref().and_then(|read| read.as_deref().ok());
        let others: Vec<OtherRole<'_>> = match all_roles {
            Some(all) => {
                let of_role = |role| other_roles(policy, role, all, associations);
                policy.roles.iter().flat_map(of_role).collect()
            }
            None => Vec::new(),
        };
        // Ours is denied every one of them.
        let may_use_access_points = !others.is_empty();
        let (managed_policies, access_points, keys, prefix_lists) = futures::join!(
            self.managed_policies(policy, &roles, attached(&others), account_roles.as_ref(), max_age),
            wanted(may_use_access_points, self.access_points(policy, &buckets, max_age)),
            self.keys(policy, &buckets, max_age),
            self.prefix_lists(policy, max_age),
        );
        AwsObservation {
            caller,
            buckets,
            roles,
            managed_policies,
            keys,
            account: AccountObservation {
                roles: account_roles,
                pod_identity_associations,
                prefix_lists,
                log_targets,
                s3_offers_tls13,
                public_access_block,
                selected,
                access_points: access_points.unwrap_or_default(),
            },
        }
    }

    async fn prefix_lists(&self, policy: &ValidatedPolicy, max_age: Duration) -> BTreeMap<String, Read<Vec<IpNet>>> {
        let services: Vec<String> = policy.aws_services().into_iter().map(str::to_owned).collect();
        stream::iter(services)
            .map(async |service| {
                let read = self.prefix_list(&service, max_age).await;
                (service, read)
            })
            .buffer_unordered(CONCURRENT_PREFIX_LISTS)
            .collect()
            .await
    }

    async fn keys(
        &self,
        policy: &ValidatedPolicy,
        buckets: &BTreeMap<BucketName, BucketObservation>,
        max_age: Duration,
    ) -> BTreeMap<KeyQuery, Read<KeyObservation>> {
        stream::iter(key_queries(policy, buckets))
            .map(|(query, rights)| async move {
                let seen = self.observe_key(&query, max_age, rights).await;
                (query, seen)
            })
            .buffer_unordered(CONCURRENT_KEYS)
            .collect()
            .await
    }

    /// The buckets that take the policy's access logs: afresh where a bucket is about to be switched to one, else as rarely
    /// as readings are kept.
    async fn log_targets(
        &self,
        policy: &ValidatedPolicy,
        buckets: &BTreeMap<BucketName, BucketObservation>,
        max_age: Duration,
    ) -> BTreeMap<BucketName, BucketObservation> {
        let regions = known_regions(policy);
        stream::iter(log_target_reads(policy, buckets))
            .map(|(bucket, switched_to)| {
                let region = regions.get(&bucket).cloned();
                let rare = Cadence::Occasionally.age(max_age).unwrap_or(max_age);
                let age = if switched_to { max_age } else { rare };
                async move {
                    let seen = self.observe_bucket(&bucket, LOG_TARGET, region.as_ref(), age).await;
                    (bucket, seen)
                }
            })
            .buffer_unordered(CONCURRENT_BUCKETS)
            .collect()
            .await
    }

    /// Looked at only where a bucket policy shall ask for TLS 1.3.
    async fn regions_with_tls13(
        &self,
        policy: &ValidatedPolicy,
        buckets: &BTreeMap<BucketName, BucketObservation>,
    ) -> BTreeMap<Region, bool> {
        stream::iter(regions_to_reach(policy, buckets))
            .map(async |region| {
                let offers = self.s3_offers_tls13(&region).await;
                (region, offers)
            })
            .buffer_unordered(CONCURRENT_BUCKETS)
            .collect()
            .await
    }

    async fn buckets(&self, policy: &ValidatedPolicy, max_age: Duration) -> BTreeMap<BucketName, BucketObservation> {
        let regions = known_regions(policy);
        stream::iter(bucket_reads(policy))
            .map(|(bucket, reads)| {
                let region = regions.get(&bucket).cloned();
                async move {
                    let seen = self.observe_bucket(&bucket, reads, region.as_ref(), max_age).await;
                    (bucket, seen)
                }
            })
            .buffer_unordered(CONCURRENT_BUCKETS)
            .collect()
            .await
    }

    /// The associations of the operator's cluster, if it can have some with the policy's roles.
    async fn associations(
        &self,
        policy: &ValidatedPolicy,
        max_age: Duration,
    ) -> Option<Read<BTreeSet<PodIdentityAssociation>>> {
        let cluster = policy.settings.eks_cluster.as_ref()?;
        if policy.roles.is_empty() || cluster.account != policy.account {
            return None;
        }
        let listed = policy
            .roles
            .iter()
            .flat_map(|role| role.service_accounts.iter().cloned());
        Some(
            self.pod_identity_associations(cluster, &listed.collect(), max_age)
                .await,
        )
    }

    /// The policy's roles, and every role of the account: whether a role can only read depends on whom it can become.
    async fn roles(&self, policy: &ValidatedPolicy, max_age: Duration) -> (Roles, Option<Read<Arc<AccountRoles>>>) {
        let of_policy = policy.roles.iter().map(|role| role.name.clone());
        let claimed = policy
            .inventory
            .roles
            .iter()
            .filter_map(|role| RoleName::new(&role.name).ok());
        let names: BTreeSet<RoleName> = of_policy.chain(claimed).collect();
        if names.is_empty() {
            return (Roles::new(), None);
        }
        // Once for all; each role then comes out of it, or is read on its own where that cannot be.
        let all = self.account_roles(max_age).await;
        let roles = stream::iter(names)
            .map(|name| async move {
                let seen = self.role_from_bulk(&name, max_age).await;
                (name, seen)
            })
            .buffer_unordered(CONCURRENT_ROLES)
            .collect()
            .await;
        (roles, Some(all))
    }

    async fn managed_policies(
        &self,
        policy: &ValidatedPolicy,
        roles: &Roles,
        others: BTreeSet<String>,
        account_roles: Option<&Read<Arc<AccountRoles>>>,
        max_age: Duration,
    ) -> BTreeMap<String, Read<String>> {
        let wanted = policy.roles.iter().flat_map(|role| role.managed_policy_arns.iter());
        let boundary = policy
            .roles
            .iter()
            .filter_map(|role| role.permissions_boundary_arn.as_ref());
        let attached = roles.values().flatten().flatten().flat_map(|role| {
            let boundary = role.permissions_boundary_arn.iter();
            role.attached_policy_arns.iter().chain(boundary)
        });
        let arns: BTreeSet<String> = wanted.chain(boundary).chain(attached).cloned().chain(others).collect();
        let known = account_roles.and_then(|all| all.as_ref().ok());
        let known = known.map(|all| &all.managed_policies);
        stream::iter(arns)
            .map(|arn| async move {
                let seen = match known.and_then(|known| known.get(&arn)) {
                    Some(document) => Ok(document.clone()),
                    None => self.managed_policy(&arn, max_age).await,
                };
                (arn, seen)
            })
            .buffer_unordered(CONCURRENT_ROLES)
            .collect()
            .await
    }
}

/// Managed policies and boundaries of roles that are not the policy's and that its ServiceAccounts can get all the same.
fn attached(others: &[OtherRole<'_>]) -> BTreeSet<String> {
    let roles = others.iter().map(|other| other.role);
    roles
        .flat_map(|role| role.attached_policy_arns.iter().chain(&role.permissions_boundary_arn))
        .cloned()
        .collect()
}

/// Readings of roles by name.
type Roles = BTreeMap<RoleName, Read<Option<RoleObservation>>>;

/// Region of each bucket as far as the inventory or the search for it knows it.
fn known_regions(policy: &ValidatedPolicy) -> BTreeMap<BucketName, Region> {
    let known = policy.inventory.buckets.iter().filter_map(|bucket| {
        let region = Region::new(bucket.region.as_ref()?).ok()?;
        Some((BucketName::new(&bucket.name).ok()?, region))
    });
    let found = policy.selected_regions();
    known.chain(found).collect()
}

/// The keys that the policy's buckets are encrypted with, and those that they shall be encrypted with; with how often it
/// must be known who may use them: always where a role's proof rests on it, or the switch of a bucket to the key.
fn key_queries(
    policy: &ValidatedPolicy,
    buckets: &BTreeMap<BucketName, BucketObservation>,
) -> BTreeMap<KeyQuery, Cadence> {
    let mut queries = BTreeMap::new();
    for target in &policy.buckets {
        let Some((seen, region)) = buckets
            .get(&target.name)
            .and_then(|b| Some((b, b.region.as_ref().ok()?)))
        else {
            continue;
        };
        let found = match &seen.encryption {
            Some(Ok(EncryptionState::Rules(rules))) => rules.as_slice(),
            Some(Ok(EncryptionState::Implicit) | Err(_)) | None => &[],
        };
        let found: Vec<&str> = found.iter().filter_map(|rule| rule.kms_key_id.as_deref()).collect();
        let wanted = target.encryption.as_ref().and_then(|c| c.want.key_for(region));
        for key_id in found.iter().copied().chain(wanted) {
            let rests_on_it = !policy.roles.is_empty() || !found.contains(&key_id);
            let query = KeyQuery {
                region: region.clone(),
                key_id: key_id.to_owned(),
            };
            let rights = queries.entry(query).or_insert(Cadence::Occasionally);
            if rests_on_it {
                *rights = Cadence::EverySweep;
            }
        }
    }
    queries
}

/// What says whether a bucket can take access logs.
const LOG_TARGET: BucketReads = BucketReads {
    encryption: true,
    policy: true,
    public_access_block: true,
    object_ownership: Cadence::EverySweep,
    versioning: false,
    access_logging: Cadence::EverySweep,
    details: Cadence::Never,
};

/// The buckets that the policy names for its access logs; with whether a bucket is about to be switched to one. None for
/// buckets whose own logging could not be read: then there is nothing to be decided.
fn log_target_reads(
    policy: &ValidatedPolicy,
    buckets: &BTreeMap<BucketName, BucketObservation>,
) -> BTreeMap<BucketName, bool> {
    let mut targets = BTreeMap::new();
    for bucket in &policy.buckets {
        let wanted = bucket.access_logging.as_ref().and_then(|c| c.want.bucket.as_ref());
        let seen = buckets.get(&bucket.name).and_then(|b| b.access_logging.as_ref());
        let (Some(wanted), Some(Ok(seen))) = (wanted, seen) else {
            continue;
        };
        let there = seen.as_ref().is_some_and(|s| s.target_bucket == wanted.as_str());
        if *wanted != bucket.name {
            *targets.entry(wanted.clone()).or_insert(false) |= !there;
        }
    }
    targets.retain(|name, _| !name.is_directory_bucket());
    targets
}

/// What must be read of each bucket. Of one that has left the policy only the bucket policy is ours to look after.
fn bucket_reads(policy: &ValidatedPolicy) -> BTreeMap<BucketName, BucketReads> {
    let left = BucketReads {
        policy: true,
        ..BucketReads::default()
    };
    let claimed = policy.inventory.buckets.iter();
    let claimed = claimed.filter_map(|bucket| BucketName::new(&bucket.name).ok());
    let mut all: BTreeMap<_, _> = claimed.map(|name| (name, left)).collect();
    let read_by_roles: BTreeSet<&BucketName> = policy
        .roles
        .iter()
        .flat_map(|role| role.read.iter().map(|grant| &grant.bucket))
        .collect();
    let has_roles = !policy.roles.is_empty() || !policy.inventory.roles.is_empty();
    for target in &policy.buckets {
        let reads = reads_of(target, has_roles, read_by_roles.contains(&target.name));
        all.insert(target.name.clone(), reads);
    }
    // Directory buckets have another API: the SDK would open a session with S3 Express first.
    all.retain(|name, _| !name.is_directory_bucket());
    all
}

fn reads_of(target: &BucketTarget, has_roles: bool, read_by_a_role: bool) -> BucketReads {
    let BucketTarget {
        name: _,
        region_hint: _,
        encryption,
        transport,
        public_access,
        object_ownership,
        versioning,
        access_logging,
    } = target;
    BucketReads {
        // A role that reads the bucket needs its key.
        encryption: encryption.is_some() || read_by_a_role,
        // It carries the statements about transport, uploads and roles, and says whether the bucket is public.
        policy: transport.is_some() || public_access.is_some() || encryption.is_some() || has_roles,
        public_access_block: public_access.is_some(),
        object_ownership: cadence(object_ownership.as_ref().map(|c| c.gating)),
        versioning: versioning.is_some(),
        access_logging: cadence(access_logging.as_ref().map(|c| c.gating)),
        details: Cadence::Occasionally,
    }
}

fn cadence(gating: Option<Gating>) -> Cadence {
    match gating {
        Some(Gating::Gating) => Cadence::EverySweep,
        Some(Gating::ReportOnly) => Cadence::Occasionally,
        None => Cadence::Never,
    }
}
