//! What a user asks for. Doc comments are the text of `kubectl explain`.

mod buckets;
mod egress;
mod roles;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::buckets::*;
pub use self::egress::*;
pub use self::roles::*;
use super::AIDataProtectionPolicyStatus;

/// Default of `spec.interval`.
pub const DEFAULT_INTERVAL: &str = "5m";

fn default_interval() -> String {
    DEFAULT_INTERVAL.to_owned()
}

/// What to protect and how: S3 buckets at rest and in transit, the IAM roles of training workloads, and the egress of
/// training pods.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "aidp.dev",
    version = "v1alpha1",
    kind = "AIDataProtectionPolicy",
    plural = "aidataprotectionpolicies",
    singular = "aidataprotectionpolicy",
    shortname = "adpp",
    category = "aidp",
    status = "AIDataProtectionPolicyStatus",
    derive = "PartialEq",
    doc = "AIDataProtectionPolicy keeps AI training data protected: the named S3 buckets encrypted, private and TLS-only; the training workloads' IAM roles read-only; the training pods' egress restricted. Status says what was found, done and proven.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Drifted", type_ = "string", json_path = r#".status.conditions[?(@.type=="Drifted")].status"#),
    printcolumn(name = "Buckets", type_ = "string", json_path = ".status.summary.buckets"),
    printcolumn(name = "Roles", type_ = "string", json_path = ".status.summary.roles"),
    printcolumn(name = "Egress", type_ = "string", json_path = ".status.summary.egress"),
    printcolumn(name = "Verified", type_ = "date", json_path = ".status.lastVerifiedTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Account", type_ = "string", json_path = ".spec.account.id", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    validation = ("self.metadata.name.size() <= 52", "metadata.name may have 52 characters at most: it becomes part of names in AWS and of NetworkPolicies")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.buckets) || has(self.bucketSelectors) || has(self.trainingRoles) || has(self.egress)", "the policy protects nothing: name at least one of buckets, bucketSelectors, trainingRoles, egress"))]
#[x_kube(validation = ("!has(self.trainingRoles) || !self.trainingRoles.exists(r, has(r.read)) || [(has(self.buckets) ? self.buckets : []).transformMapEntry(i, b, {b.name: true})].all(m, self.trainingRoles.all(r, !has(r.read) || r.read.all(x, x.bucket in m)))", "trainingRoles[].read[].bucket must be one of spec.buckets[].name: a role can only be given data that this policy protects"))]
#[x_kube(validation = ("!has(self.trainingRoles) || has(self.buckets)", "trainingRoles need spec.buckets: name the buckets that the roles read"))]
#[x_kube(validation = ("!has(self.bucketControls) || !has(self.bucketControls.encryption) || !has(self.bucketControls.encryption.kmsKeys) || self.bucketControls.encryption.kmsKeys.exists(k, k.region == self.account.region)", "bucketControls.encryption.kmsKeys needs a key for account.region: a KMS key works only in its bucket's region"))]
pub struct AIDataProtectionPolicySpec {
    /// Audit reads and reports and writes nothing to AWS or the network. Enforce also repairs. A ceiling: under Audit
    /// every Enforce below counts as Audit. Required.
    pub mode: Mode,

    /// How often everything is re-checked even if nothing seems to have happened. Gateway API duration format (units h,
    /// m, s, ms; e.g. "90s", "1h30m"). Default 5m, minimum 30s, maximum 24h.
    #[serde(default = "default_interval")]
    #[schemars(length(min = 1, max = 24), regex(pattern = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"))]
    #[x_kube(validation = ("duration(self) >= duration('30s') && duration(self) <= duration('24h')", "interval must lie between 30s and 24h"))]
    pub interval: String,

    /// Stop writing for a while, e.g. during a change window. Absent: not suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,

    /// What happens to what the operator made (bucket-policy statements, roles, NetworkPolicies) when the policy is
    /// deleted, or when an item leaves its spec. Default Retain. A bucket setting is never changed back.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// The AWS account of everything in this policy.
    pub account: Account,

    /// How the buckets are to be configured. Absent: encryption at least SSE-S3, TLS-only transport, and the public
    /// access block, all enforced. Present: the controls in it are enforced; a control left out is only reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_controls: Option<BucketControls>,

    /// The buckets to protect, by name. At most 2000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 2000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub buckets: Vec<Bucket>,

    /// Buckets to protect that are found by their names and tags, as they come and go. A bucket that spec.buckets names is
    /// as it says there. At most 50 selectors, and 2000 buckets found by all of them together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub bucket_selectors: Vec<BucketSelector>,

    /// The IAM roles of the training workloads; created under path /aidp/. At most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub training_roles: Vec<TrainingRole>,

    /// What the training pods may talk to. One NetworkPolicy per rule and matching namespace. At most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub egress: Vec<EgressRule>,

    /// Bounds on what one reconcile may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Whether the policy writes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read and report.
    Audit,
    /// Read, report and repair.
    Enforce,
}

/// Enforce repairs it and holds Ready back while it is not met, Audit only reports it, Ignore does not look at it. Default
/// Enforce; on a single bucket: as in bucketControls.
// The schema of an optional enum carries the enum's own text, not the field's.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlMode {
    /// Repair it, and hold Ready back while it is not met.
    Enforce,
    /// Report it, without effect on Ready.
    Audit,
    /// Do not look at it.
    Ignore,
}

/// What becomes of our own things on leaving.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// They are removed; the buckets' settings stay as they are.
    Revert,
}

/// A pause with an end.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// Until when nothing is written, RFC 3339. Observation goes on, and deletion still works.
    #[schemars(extend("format" = "date-time"), length(max = 64))]
    pub until_time: String,
    /// Why, e.g. a change number.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,
}

/// An AWS account. How to reach it is the operator's configuration, never the policy's.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The 12-digit account id. Immutable: another account is another policy.
    #[schemars(length(min = 12, max = 12), regex(pattern = "^[0-9]{12}$"))]
    #[x_kube(validation = ("self == oldSelf", "account.id is immutable: create another policy for another account"))]
    pub id: String,
    /// The account's home region, e.g. eu-west-1; buckets in other regions are followed.
    #[schemars(length(min = 5, max = 32), regex(pattern = "^[a-z]{2,4}(-[a-z0-9]+)+-[0-9]+$"))]
    pub region: String,
}

/// Bounds on one reconcile.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most writes to AWS and the network in one reconcile, 1 to 10000; the rest follows in the next. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_writes_per_reconcile: Option<i32>,
}
