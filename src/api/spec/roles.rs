//! Training roles: who assumes them and what they may read.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The IAM role of a training workload: created, kept read-only, and trusted to the listed ServiceAccounts alone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingRole {
    /// Name of the IAM role; unique in the account, without regard to case.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = ("self.matches('^[A-Za-z0-9+=,.@_-]+$')", "bare role name expected: letters, digits and +=,.@_-; no ARN, no path"))]
    pub name: String,
    /// The ServiceAccounts that may assume the role, and nobody else.
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub service_accounts: Vec<ServiceAccountRef>,
    /// How pods get the role's credentials: IRSA (IAM roles for service accounts), or PodIdentity (EKS Pod Identity).
    pub workload_identity: WorkloadIdentity,
    /// What the role may read. Default: every bucket of spec.buckets, whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["bucket".into()]))]
    pub read: Vec<ReadAccess>,
    /// Managed policies that the job needs besides; attached, and reported unless proven not to touch the protected data.
    #[serde(rename = "managedPolicyARNs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 10),
        inner(
            length(min = 20, max = 2048),
            regex(pattern = "^arn:aws(-[a-z]+)*:iam::([0-9]{12}|aws):policy/.+$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub managed_policy_arns: Vec<String>,
    /// Permissions boundary that the role carries. Default: the one of the operator's configuration, which no policy can
    /// replace; without one, none.
    #[serde(rename = "permissionsBoundaryARN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = "^arn:aws(-[a-z]+)*:iam::([0-9]{12}|aws):policy/.+$")
    )]
    pub permissions_boundary_arn: Option<String>,
    /// Longest session, in seconds, 3600 to 43200. Default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3600, max = 43200))]
    pub max_session_duration_seconds: Option<i32>,
    /// What becomes of policies that others put on the role: Report leaves them, Detach takes them off, but for those that
    /// only deny. Default Report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_policies: Option<ForeignPolicies>,
    /// Whether an existing role of this name is taken over: Never, or Tagged: only if it carries the tag
    /// aidp.dev/adopt=<name of this policy>. Its trust is written last, and only once the role is proven read-only; it is
    /// never deleted. Default Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
}

/// What becomes of policies that others put on the role: Report leaves them, Detach takes them off, but for those that
/// only deny. Default Report.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignPolicies {
    /// They stay, each with a finding.
    Report,
    /// They are taken off, but for those that only deny.
    Detach,
}

/// Whether an existing role of this name is taken over: Never, or Tagged: only if it carries the tag
/// aidp.dev/adopt=<name of this policy>. Its trust is written last, and only once the role is proven read-only; it is never
/// deleted. Default Never.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Never.
    Never,
    /// If it carries the tag `aidp.dev/adopt` with the policy's name.
    Tagged,
}

/// A ServiceAccount of this cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAccountRef {
    /// Namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub namespace: String,
    /// Name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub name: String,
}

/// How pods get AWS credentials.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadIdentity {
    /// IAM roles for service accounts: web identity tokens of the cluster's OIDC provider.
    #[serde(rename = "IRSA")]
    Irsa,
    /// EKS Pod Identity: an association of the cluster, and the agent on the node.
    PodIdentity,
}

/// Read access to one bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReadAccess {
    /// Name of a bucket in spec.buckets.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Key prefixes, e.g. "curated/"; taken literally. Default: the whole bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 50),
        inner(length(min = 1, max = 512), regex(pattern = r"^[^*?$]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub prefixes: Vec<String>,
    /// Tags that an object must carry, all of them, to be read; objects without are refused. Lists still show their names.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub object_tags: Vec<ObjectTag>,
}

/// A tag of an object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct ObjectTag {
    /// Key; taken literally.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9 +=._:/@-]+$"))]
    pub key: String,
    /// Value; taken literally.
    #[schemars(length(max = 256), regex(pattern = r"^[A-Za-z0-9 +=._:/@-]*$"))]
    pub value: String,
}
