//! What was seen, as plain values. Filled by `aws` and `cluster`, judged by `plan`. Each reading is a `Result` of its own:
//! one failure hides nothing, and unreadable is never the same as absent.

mod account;
mod details;
mod key;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::egress::admin::{AdminKind, AdminPolicy};
use super::egress::rule::PolicyError;
use super::names::{AccountId, BucketName, Partition, Region, RoleName};

pub use account::{AccessPoint, AccountObservation, AccountRoles, PodIdentityAssociation};
pub use details::{BucketDetails, ExpiryRule, ObjectLock, ReplicationDestination, Retention};
pub use key::{KeyGrant, KeyManager, KeyObservation, KeyQuery, KeyRotation, KeyState};

/// Class of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Refused: AccessDenied and kin. For a bucket this is also what AWS answers when the owner is another account.
    AccessDenied,
    /// No credentials, or expired ones.
    Credentials,
    /// The resource does not exist.
    NotFound,
    /// Too many requests.
    Throttled,
    /// Time-out, connection, 5xx, garbage: may work next time.
    Transient,
    /// The server does not have this API (501, 405): S3-compatible servers.
    Unsupported,
    /// Refused for good: malformed, invalid, limit exceeded.
    Terminal,
}

/// A failed call: nothing of the response but what a human can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}", match code { Some(code) => format!("{code}: {message}"), None => message.clone() })]
pub struct CallError {
    /// Operation as AWS names it, e.g. `GetBucketPolicy`.
    pub operation: &'static str,
    /// Class.
    pub class: ErrorClass,
    /// AWS error code, if there was one.
    pub code: Option<String>,
    /// One sentence; never a document, never a secret.
    pub message: String,
}

/// A reading.
pub type Read<T> = Result<T, CallError>;

/// Whom AWS takes us for (`sts:GetCallerIdentity`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// Account.
    pub account: AccountId,
    /// Partition, from the ARN.
    pub partition: Partition,
    /// ARN as STS gives it (an assumed role's ARN, without the role's path).
    pub arn: String,
}

/// Everything that was seen for one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The caller; None where the account guard is switched off.
    pub caller: Read<Option<CallerIdentity>>,
    /// One entry for each bucket of the policy or its inventory.
    pub buckets: BTreeMap<BucketName, BucketObservation>,
    /// One entry for each role of the policy or its inventory; `Ok(None)` = no such role.
    pub roles: BTreeMap<RoleName, Read<Option<RoleObservation>>>,
    /// Documents of the managed policies attached to those roles, by ARN: default version, decoded.
    pub managed_policies: BTreeMap<String, Read<String>>,
    /// KMS keys, as the buckets' encryption and the policy name them.
    pub keys: BTreeMap<KeyQuery, Read<KeyObservation>>,
    /// The account as a whole.
    pub account: AccountObservation,
    /// What Kubernetes says.
    pub cluster: Read<ClusterObservation>,
}

/// One bucket. Controls that are ignored are not read: None.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketObservation {
    /// Region; all other readings were made there.
    pub region: Read<Region>,
    /// Default encryption.
    pub encryption: Option<Read<EncryptionState>>,
    /// Bucket policy as JSON text; `Ok(None)` = no policy.
    pub policy: Option<Read<Option<String>>>,
    /// The bucket's public access block; `Ok(None)` = none set.
    pub public_access_block: Option<Read<Option<PublicAccessBlock>>>,
    /// Object Ownership; `Ok(None)` = no controls set, which AWS takes for ObjectWriter.
    pub object_ownership: Option<Read<Option<ObjectOwnershipState>>>,
    /// The bucket's ACL; read only where Object Ownership leaves ACLs on.
    pub acl: Option<Read<BucketAcl>>,
    /// Versioning.
    pub versioning: Option<Read<VersioningState>>,
    /// Server access logging; `Ok(None)` = off.
    pub access_logging: Option<Read<Option<AccessLoggingState>>>,
    /// What is only reported.
    pub details: BucketDetails,
}

/// `GetBucketEncryption`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncryptionState {
    /// AWS said that nothing is configured; every bucket is SSE-S3 since January 2023 (semantics: `Implicit`).
    Implicit,
    /// The rules; exactly one is meaningful.
    Rules(Vec<EncryptionRule>),
}

/// One rule of the default encryption, as AWS spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionRule {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`, or something newer; None if the rule names none.
    pub algorithm: Option<String>,
    /// `KMSMasterKeyID` in whatever form it was put.
    pub kms_key_id: Option<String>,
    /// `BucketKeyEnabled`.
    pub bucket_key_enabled: Option<bool>,
    /// `BlockedEncryptionTypes`, verbatim; None = absent.
    pub blocked_encryption_types: Option<Vec<String>>,
}

/// The four settings of a public access block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "AWS's own four switches")]
pub struct PublicAccessBlock {
    /// `BlockPublicAcls`.
    pub block_public_acls: bool,
    /// `IgnorePublicAcls`.
    pub ignore_public_acls: bool,
    /// `BlockPublicPolicy`.
    pub block_public_policy: bool,
    /// `RestrictPublicBuckets`.
    pub restrict_public_buckets: bool,
}

/// Object Ownership of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectOwnershipState {
    /// ACLs are off; everything belongs to the bucket's owner.
    BucketOwnerEnforced,
    /// ACLs are on; objects given to the owner become his.
    BucketOwnerPreferred,
    /// ACLs are on; objects belong to who wrote them.
    ObjectWriter,
}

/// A bucket's access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAcl {
    /// Canonical id of the owner.
    pub owner: Option<String>,
    /// The grants.
    pub grants: Vec<AclGrant>,
}

/// One grant, of the bucket's ACL or for log objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclGrant {
    /// To whom.
    pub grantee: Grantee,
    /// `FULL_CONTROL`, `READ`, `WRITE` …
    pub permission: String,
}

/// To whom an ACL grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// An account, by canonical id.
    CanonicalUser(String),
    /// A predefined group, by URI.
    Group(String),
    /// An account, by e-mail address.
    Email(String),
    /// Something newer.
    Unknown,
}

/// Where a bucket's access logs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLoggingState {
    /// Bucket that takes them.
    pub target_bucket: String,
    /// Prefix of their keys.
    pub target_prefix: String,
    /// Shape of their keys; None = the default.
    pub key_format: Option<LogKeyFormat>,
    /// Grants on the log objects.
    pub target_grants: Vec<AclGrant>,
}

/// Shape of the keys of access logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogKeyFormat {
    /// `[prefix][time]…`.
    Simple,
    /// By source and date; with the source of the date (`EventTime`, `DeliveryTime`).
    Partitioned(Option<String>),
}

/// Versioning of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersioningState {
    /// Never enabled.
    Unversioned,
    /// `Enabled`.
    Enabled,
    /// `Suspended`.
    Suspended,
}

/// One role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleObservation {
    /// Full ARN, path included.
    pub arn: String,
    /// Unique id (`AROA…`): another one is another role of the same name.
    pub role_id: String,
    /// Path, e.g. `/aidp/`.
    pub path: String,
    /// Trust policy, decoded.
    pub trust_policy: String,
    /// `MaxSessionDuration`, seconds.
    pub max_session_duration_seconds: i32,
    /// ARN of the permissions boundary.
    pub permissions_boundary_arn: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Inline policies by name, decoded.
    pub inline_policies: BTreeMap<String, String>,
    /// ARNs of attached managed policies.
    pub attached_policy_arns: BTreeSet<String>,
    /// When it was created.
    pub created_time: Option<Timestamp>,
    /// When its credentials were last used, within the 400 days that AWS looks back; None = not seen to be used.
    pub last_used_time: Option<Timestamp>,
}

/// What Kubernetes says.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterObservation {
    /// Namespaces that some rule's selector matches, or in which NetworkPolicies of ours lie.
    pub namespaces: Vec<NamespaceObservation>,
    /// Every NetworkPolicy in those namespaces, ours included.
    pub network_policies: Vec<NetworkPolicy>,
    /// What enforces NetworkPolicy.
    pub enforcer: EnforcerObservation,
    /// ServiceAccounts that a role of the policy lists, and those that point at one of its roles; None = not looked at, as
    /// without roles.
    pub service_accounts: Option<Read<Vec<ServiceAccountObservation>>>,
    /// Pods that run, or are to run, in the namespaces that rules match, and in those of listed ServiceAccounts; None = not
    /// looked at, as without rules and roles.
    pub pods: Option<Read<Vec<PodObservation>>>,
    /// Cluster-wide policies of the API group `policy.networking.k8s.io`; empty where it is not served.
    pub admin_policies: Read<Vec<AdminObservation>>,
    /// Policies of the network plugin's own API, cluster-wide or in any namespace; empty where there is none.
    pub plugin_policies: Read<Vec<PluginPolicy>>,
    /// How names are resolved.
    pub resolvers: ResolverObservation,
}

impl Default for ClusterObservation {
    /// Nothing is there, and it is not known what enforces NetworkPolicy.
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            network_policies: Vec::new(),
            enforcer: EnforcerObservation::Unknown,
            service_accounts: None,
            pods: None,
            admin_policies: Ok(Vec::new()),
            plugin_policies: Ok(Vec::new()),
            resolvers: ResolverObservation::default(),
        }
    }
}

/// A cluster-wide policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminObservation {
    /// Kind.
    pub kind: AdminKind,
    /// Name.
    pub name: String,
    /// What it says, or why that can't be read.
    pub policy: Result<AdminPolicy, PolicyError>,
}

/// A policy of a network plugin's own API, of which nothing but its existence is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginPolicy {
    /// Kind and API group, as in `CiliumNetworkPolicy.cilium.io`.
    pub kind: String,
    /// None = it is cluster-wide.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// Pods that resolve names for a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResolverPods {
    /// `k8s-app=kube-dns` in `kube-system`: CoreDNS and kube-dns, as nearly every distribution installs them.
    KubeDns,
    /// OpenShift's DNS operator has its own namespace and label, and its pods listen on 5353 (openshift/cluster-dns-operator).
    OpenShift,
}

impl ResolverPods {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 2] = [Self::KubeDns, Self::OpenShift];

    /// Their namespace.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::KubeDns => "kube-system",
            Self::OpenShift => "openshift-dns",
        }
    }

    /// Their label: key and value.
    pub const fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::KubeDns => ("k8s-app", "kube-dns"),
            Self::OpenShift => ("dns.operator.openshift.io/daemonset-dns", "default"),
        }
    }
}

/// How pods of the cluster resolve names, as far as that shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverObservation {
    /// The pods that are there, with the UDP ports of their containers: a policy is judged by the port that the pod listens
    /// on, which need not be that of its Service.
    pub pods: BTreeMap<ResolverPods, BTreeSet<u16>>,
    /// Addresses that NodeLocal DNSCache listens on (`-localip`).
    pub node_local: BTreeSet<IpAddr>,
    /// Addresses of the Service `kube-dns`. Where there are no such pods, as on EKS Auto Mode, the node answers for it.
    pub service: BTreeSet<IpAddr>,
    /// Where the kubelet tells pods to resolve names (`clusterDNS`), as the operator's own pod was told; empty where it does
    /// not run in the cluster.
    pub told: BTreeSet<IpAddr>,
    /// The pods of the cluster have IPv6 addresses, as those of its DNS show.
    pub ipv6: bool,
}

/// A ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountObservation {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Annotation `eks.amazonaws.com/role-arn`.
    pub role_arn: Option<String>,
}

/// A pod, as far as its credentials and its ways out go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a pod that hold or not, each on its own"
)]
pub struct PodObservation {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// ServiceAccount.
    pub service_account: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Some container has AWS keys in its environment, by name; their values are never read.
    pub static_credentials: bool,
    /// Some container takes whole `ConfigMaps` or Secrets into its environment (`envFrom`): which variables these are is not
    /// known, since nothing of them is read.
    pub unnamed_environment: bool,
    /// Some container is given a web identity token (IRSA).
    pub web_identity: bool,
    /// Some container is sent to the EKS Pod Identity agent.
    pub pod_identity: bool,
    /// It shares its node's network, where no NetworkPolicy applies.
    pub host_network: bool,
    /// It has networks besides the cluster's (Multus), where none applies either.
    pub other_networks: bool,
    /// Nothing owns it: it was not made by a Job, a ReplicaSet or the like.
    pub standalone: bool,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceObservation {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// It is being deleted: nothing can be created in it.
    pub terminating: bool,
}

/// Something an enforcer lets through, or may. Worth a finding of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// Stable id, e.g. `NodeLocalEgressOpen`.
    pub id: &'static str,
    /// What it means and what to do.
    pub message: &'static str,
}

/// What enforces NetworkPolicy, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnforcerObservation {
    /// An enforcer, by name, with the evidence ("stated by configuration", "DaemonSet kube-system/cilium …").
    Found {
        /// Name, e.g. `kube-router`.
        name: String,
        /// What says so.
        evidence: String,
        /// What is known to be open all the same.
        holes: Vec<Hole>,
    },
    /// A network plugin that is known not to enforce.
    NotEnforcing {
        /// Name, e.g. `flannel`.
        name: String,
        /// What says so.
        evidence: String,
    },
    /// Nothing known was found.
    Unknown,
}
