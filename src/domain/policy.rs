//! The validated policy: the spec after every default, override and cap, in types that can't be wrong. Nothing downstream
//! reads the raw spec.

mod annotated;
mod selection;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::glob::{Case, Glob};
use super::iam::pod_identity::EksCluster;
use super::names::{AccountId, BucketName, ClusterHash, Partition, Region, RoleName};
use crate::api::{
    Adoption, Assurance, BucketKey, CustomerKeys, DeletionPolicy, EncryptionAlgorithm, ForeignPolicies, Gating, Mode,
    Protocol, Selector, TLSVersion, Targets, Uploads, WorkloadIdentity,
};

pub use annotated::annotated_at;
pub use selection::{
    BucketTemplate, MAX_SELECTED, Matched, Origin, Presence, SelectedBuckets, Selection, SelectorTarget,
};
pub use validate::{InvalidSpec, PolicySource, egress_targets, parse_duration, validate};

/// What one control asks of one bucket, and whether it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controlled<T> {
    /// Gating (mode Enforce, or Audit under policy mode Audit) or report-only (left out, or Audit). An ignored control is
    /// no `Controlled` at all.
    pub gating: Gating,
    /// What is asked.
    pub want: T,
}

/// What encryption is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantEncryption {
    /// At least this.
    pub algorithm: EncryptionAlgorithm,
    /// Key ARN by region; with `any_region` None.
    pub kms_keys: BTreeMap<Region, String>,
    /// The bucket's own key, from an override; wins over `kms_keys`.
    pub kms_key_arn: Option<String>,
    /// Bucket key; None = left as it is.
    pub bucket_key: Option<BucketKey>,
    /// SSE-C; None = left as it is.
    pub customer_keys: Option<CustomerKeys>,
    /// What the bucket policy does about uploads that choose their own encryption.
    pub uploads: Uploads,
}

impl WantEncryption {
    /// The key asked for in `region`; the bucket's own first.
    pub fn key_for(&self, region: &Region) -> Option<&str> {
        let by_region = || self.kms_keys.get(region).map(String::as_str);
        self.kms_key_arn.as_deref().or_else(by_region)
    }
}

/// A bucket and what is asked of it. None = ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketTarget {
    /// Name.
    pub name: BucketName,
    /// Region according to the inventory; the account's home region before it is known.
    pub region_hint: Region,
    /// Default encryption.
    pub encryption: Option<Controlled<WantEncryption>>,
    /// TLS-only, with the minimum version.
    pub transport: Option<Controlled<TLSVersion>>,
    /// Public access block, all on.
    pub public_access: Option<Controlled<()>>,
    /// Object Ownership: bucket owner enforced.
    pub object_ownership: Option<Controlled<()>>,
    /// Versioning enabled.
    pub versioning: Option<Controlled<()>>,
    /// Server access logs.
    pub access_logging: Option<Controlled<WantAccessLogging>>,
}

impl BucketTarget {
    /// Whether at least one control of the bucket is enforced.
    pub fn is_enforced(&self) -> bool {
        let Self {
            name: _,
            region_hint: _,
            encryption,
            transport,
            public_access,
            object_ownership,
            versioning,
            access_logging,
        } = self;
        [
            encryption.as_ref().map(|c| c.gating),
            transport.as_ref().map(|c| c.gating),
            public_access.as_ref().map(|c| c.gating),
            object_ownership.as_ref().map(|c| c.gating),
            versioning.as_ref().map(|c| c.gating),
            access_logging.as_ref().map(|c| c.gating),
        ]
        .contains(&Some(Gating::Gating))
    }
}

/// Where a bucket's access logs are to go. None = anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantAccessLogging {
    /// Bucket that takes them; always there where the control is enforced.
    pub bucket: Option<BucketName>,
    /// Prefix of their keys.
    pub prefix: Option<String>,
}

/// A ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What a role may read of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadGrant {
    /// Bucket.
    pub bucket: BucketName,
    /// Literal key prefixes; empty = the whole bucket.
    pub prefixes: BTreeSet<String>,
    /// Tags that an object must carry, all of them; empty = any object.
    pub object_tags: BTreeMap<String, String>,
}

/// A training role and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTarget {
    /// Name.
    pub name: RoleName,
    /// Who may assume it.
    pub service_accounts: BTreeSet<ServiceAccount>,
    /// How their pods get its credentials.
    pub workload_identity: WorkloadIdentity,
    /// What it may read, one entry a bucket, never empty.
    pub read: Vec<ReadGrant>,
    /// Managed policies to attach.
    pub managed_policy_arns: BTreeSet<String>,
    /// Boundary: the operator's, else the policy's own.
    pub permissions_boundary_arn: Option<String>,
    /// Seconds.
    pub max_session_duration_seconds: i32,
    /// What becomes of policies that others put on the role.
    pub foreign_policies: ForeignPolicies,
    /// Whether an existing role is taken over.
    pub adoption: Adoption,
}

/// Ports of an allowed destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    /// First, 1–65535.
    pub first: u16,
    /// Last, ≥ first.
    pub last: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// An allowed destination; ports never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Addresses.
    Cidr {
        /// Network.
        cidr: ipnet::IpNet,
        /// Ports.
        ports: Vec<PortRange>,
    },
    /// An AWS service in the policy's region, by its managed prefix list.
    AwsService {
        /// E.g. `s3`.
        service: String,
        /// Ports.
        ports: Vec<PortRange>,
    },
    /// Pods of this cluster.
    Pods {
        /// Namespaces; empty = all.
        namespace_selector: Selector,
        /// Pods; empty = all of those namespaces.
        pod_selector: Selector,
        /// Ports.
        ports: Vec<PortRange>,
    },
}

impl Destination {
    /// The AWS service, if it is one.
    pub fn aws_service(&self) -> Option<&str> {
        match self {
            Self::AwsService { service, ports: _ } => Some(service),
            Self::Cidr { .. } | Self::Pods { .. } => None,
        }
    }
}

/// An egress rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTarget {
    /// Name.
    pub name: String,
    /// Namespaces, never empty.
    pub namespace_selector: Selector,
    /// Pods, never empty.
    pub pod_selector: Selector,
    /// What must be reached.
    pub assurance: Assurance,
    /// What is allowed besides DNS.
    pub allow: Vec<Destination>,
}

/// What the operator's configuration adds or caps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSettings {
    /// Which cluster we are.
    pub cluster_hash: ClusterHash,
    /// The cluster id itself, value of the tag `aidp.dev/managed-by`.
    pub cluster_id: String,
    /// Ceiling over every policy's mode (kill switch).
    pub max_mode: Mode,
    /// OIDC provider of the cluster, for IRSA: `arn:aws:iam::ACCT:oidc-provider/ISSUER`.
    pub oidc_provider_arn: Option<String>,
    /// The cluster as EKS knows it, for Pod Identity.
    pub eks_cluster: Option<EksCluster>,
    /// Boundary that every role we create carries, for this account.
    pub role_boundary_arn: Option<String>,
    /// Bucket name globs the account's configuration allows; None = all.
    pub allowed_buckets: Option<Vec<String>>,
    /// Accounts whose KMS keys may be used; the policy's own always. None = any.
    pub allowed_kms_accounts: Option<Vec<AccountId>>,
    /// Namespace of the operator itself, which no rule may restrict.
    pub operator_namespace: String,
    /// Shortest interval let through (30 s; shorter only in tests of the operator itself).
    pub min_interval: Duration,
    /// Cap on the annotation `aidp.dev/suspend-until`.
    pub max_suspension: Duration,
    /// Whether `sts:GetCallerIdentity` must agree with the policy's account.
    pub account_guard: bool,
    /// The client reaches S3 without TLS (an `http://` endpoint): a TLS-only policy would lock the operator out.
    pub s3_over_plaintext: bool,
}

impl OperatorSettings {
    /// Whether the operator's configuration lets policies have this bucket (`allowedBuckets`).
    pub fn allows_bucket(&self, name: &str) -> bool {
        self.allowed_buckets
            .as_ref()
            .is_none_or(|globs| globs.iter().any(|glob| Glob::new(glob, Case::Sensitive).matches(name)))
    }
}

/// A target that another policy claims first.
pub type Conflicts = BTreeMap<super::finding::Target, String>;

/// The policy, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedPolicy {
    /// Name.
    pub name: String,
    /// Generation that was validated.
    pub generation: i64,
    /// Effective mode: the policy's under the operator's ceiling.
    pub mode: Mode,
    /// Re-check interval.
    pub interval: Duration,
    /// Nothing is written before this.
    pub suspended_until: Option<Timestamp>,
    /// What becomes of our things.
    pub deletion_policy: DeletionPolicy,
    /// Account.
    pub account: AccountId,
    /// Home region.
    pub region: Region,
    /// Partition, from the region.
    pub partition: Partition,
    /// Buckets, by name.
    pub buckets: Vec<BucketTarget>,
    /// Bucket selectors, by name.
    pub selectors: Vec<SelectorTarget>,
    /// What the selectors found; those buckets are among `buckets`. Empty before [`ValidatedPolicy::cover`].
    pub selection: Selection,
    /// Buckets that an administrator lets go (annotation `aidp.dev/release`), should they have left the policy.
    pub released: BTreeSet<BucketName>,
    /// Roles, by name.
    pub roles: Vec<RoleTarget>,
    /// Egress rules, by name.
    pub egress: Vec<EgressTarget>,
    /// Cap on writes.
    pub max_writes: usize,
    /// What this policy has claimed so far (status.targets).
    pub inventory: Targets,
    /// Targets that other policies claim first, with the policy's name.
    pub conflicts: Conflicts,
    /// Buckets of the inventory that another policy of this cluster names and holds: what the bucket as such owes to the
    /// operator is that policy's by now, and stays when this one leaves.
    pub held_elsewhere: BTreeSet<BucketName>,
    /// The operator's settings.
    pub settings: OperatorSettings,
}

impl ValidatedPolicy {
    /// The AWS services that egress rules allow.
    pub fn aws_services(&self) -> BTreeSet<&str> {
        let allowed = self.egress.iter().flat_map(|rule| &rule.allow);
        allowed.filter_map(Destination::aws_service).collect()
    }

    /// Whether writes are allowed at `now`: mode Enforce and not suspended.
    pub fn writes_allowed(&self, now: Timestamp) -> bool {
        self.mode == Mode::Enforce && self.suspended_until.is_none_or(|until| until <= now)
    }

    /// ARN of a role of this policy, path included: as the inventory knows it, since an adopted role keeps its path, else
    /// as it will be once it is created.
    pub fn role_arn(&self, role: &RoleName) -> String {
        let claimed = self.inventory.roles.iter().find(|r| r.name == role.as_str());
        if let Some(arn) = claimed.and_then(|r| r.arn.clone()) {
            return arn;
        }
        self.created_role_arn(role)
    }

    /// ARN of a role that this policy creates.
    pub fn created_role_arn(&self, role: &RoleName) -> String {
        format!("arn:{}:iam::{}:role{ROLE_PATH}{role}", self.partition, self.account)
    }
}

/// Path of every role that we create.
pub const ROLE_PATH: &str = "/aidp/";
/// Tag: id of the cluster whose operator manages the role.
pub const TAG_MANAGED_BY: &str = "aidp.dev/managed-by";
/// Tag: set by an administrator of the account on a role that a policy may take over; its value is the policy's name.
pub const TAG_ADOPT: &str = "aidp.dev/adopt";
/// Tag: name of the policy that the role belongs to.
pub const TAG_POLICY: &str = "aidp.dev/policy";
