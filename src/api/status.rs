//! What the operator found, did and proved. Written whole, by one field manager, and only when something changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most findings kept in `status.findings`; the summary counts the rest.
pub const MAX_FINDINGS: usize = 50;
/// Most entries kept in `status.history`.
pub const MAX_HISTORY: usize = 20;
/// Longest string in findings and history, in characters.
pub const MAX_STRING: usize = 256;

fn unseen() -> i64 {
    -1
}

/// Observed state of an AIDataProtectionPolicy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AIDataProtectionPolicyStatus {
    /// Generation of the spec that was judged; -1 before the first look.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled, Drifted, BucketsProtected, RolesReadOnly, EgressRestricted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// When everything was last observed completely; refreshed at most once an hour while nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// The account as AWS names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStatus>,
    /// Counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What this policy has claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// What is not as it should be, severest first; 50 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub findings: Vec<FindingStatus>,
    /// The newest 20 drifts and what became of them, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<HistoryEntry>,
    /// The newest value of annotation aidp.dev/reconcile-requested-at that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub last_handled_reconcile_at: Option<String>,
}

impl Default for AIDataProtectionPolicyStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            conditions: Vec::new(),
            last_verified_time: None,
            account: None,
            summary: None,
            targets: None,
            findings: Vec::new(),
            history: Vec::new(),
            last_handled_reconcile_at: None,
        }
    }
}

/// The account as `sts:GetCallerIdentity` names it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountStatus {
    /// Account id.
    #[schemars(length(max = 12))]
    pub id: String,
    /// Partition: aws, aws-cn, aws-us-gov.
    #[schemars(length(max = 32))]
    pub partition: String,
    /// ARN of the principal that the operator acts as.
    #[schemars(length(max = 2048))]
    pub caller: String,
}

/// Counts. "2/3" reads: two of three compliant.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Buckets compliant of buckets claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub buckets: Option<String>,
    /// Roles proven of roles claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub roles: Option<String>,
    /// Egress rules compliant of egress rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub egress: Option<String>,
    /// All findings, listed or not.
    pub findings: i64,
    /// Findings that hold Ready back.
    pub gating_findings: i64,
    /// Findings that did not fit into the list.
    pub omitted_findings: i64,
}

/// Inventory: what this policy has claimed, so that a crash forgets nothing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Buckets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000))]
    pub buckets: Vec<BucketTargetStatus>,
    /// Roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub roles: Vec<RoleTargetStatus>,
    /// Egress rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub egress: Vec<EgressTargetStatus>,
}

/// A claimed bucket.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct BucketTargetStatus {
    /// Bucket name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Region, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub region: Option<String>,
    /// Name of the bucket selector that found it; absent where the spec names the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub selector: Option<String>,
    /// State.
    pub state: TargetState,
}

/// A claimed role.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct RoleTargetStatus {
    /// Role name.
    #[schemars(length(max = 64))]
    pub name: String,
    /// ARN, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub arn: Option<String>,
    /// State.
    pub state: TargetState,
}

/// An egress rule and what its claim rests on.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct EgressTargetStatus {
    /// Name of the rule.
    #[schemars(length(max = 63))]
    pub name: String,
    /// What enforces NetworkPolicy in this cluster, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub enforcer: Option<String>,
    /// The rung reached: PortRestricted, DestinationRestricted, TLSRequired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub rung: Option<String>,
    /// What says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub evidence: Option<String>,
    /// State.
    pub state: TargetState,
}

/// State of a target.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Claimed, not judged yet.
    Pending,
    /// Every gating control is met.
    Compliant,
    /// A gating control is not met.
    Drifted,
    /// It could not be read, or the claim is not proven.
    Unknown,
    /// Somebody else's claim comes first.
    Conflict,
    /// The bucket or role is gone.
    Missing,
    /// It has left the spec; kept (`deletionPolicy: Retain`) or being reverted.
    Orphaned,
}

/// How bad a finding is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Data is exposed or about to be lost.
    Critical,
    /// A protection is missing.
    High,
    /// A protection is weaker than asked.
    Medium,
    /// Worth knowing.
    Low,
}

/// Whether a finding holds Ready back.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gating {
    /// It does.
    Gating,
    /// It is only reported.
    ReportOnly,
}

/// One thing that is not as it should be.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// Stable id of the control, e.g. S3.TLSOnly.
    #[schemars(length(max = 64))]
    pub control: String,
    /// Severity.
    pub severity: Severity,
    /// What it is about, e.g. bucket/fraud-training-data.
    #[schemars(length(max = 256))]
    pub resource: String,
    /// Setting, e.g. encryption.algorithm.
    #[schemars(length(max = 256))]
    pub path: String,
    /// Wanted value.
    #[schemars(length(max = 256))]
    pub want: String,
    /// Value found.
    #[schemars(length(max = 256))]
    pub have: String,
    /// One sentence, with the way out.
    #[schemars(length(max = 256))]
    pub message: String,
    /// When it was first seen.
    pub since_time: Time,
    /// Whether it holds Ready back.
    pub gating: Gating,
}

/// What became of a drift.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryOutcome {
    /// Seen, not repaired yet.
    Detected,
    /// We repaired it.
    Corrected,
    /// Somebody else repaired it, or it went away.
    Resolved,
    /// The repair failed; it is tried again.
    Failed,
}

/// One drift.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Stable id of the control.
    #[schemars(length(max = 64))]
    pub control: String,
    /// What it is about.
    #[schemars(length(max = 256))]
    pub resource: String,
    /// Setting.
    #[schemars(length(max = 256))]
    pub path: String,
    /// Wanted value.
    #[schemars(length(max = 256))]
    pub want: String,
    /// Value found.
    #[schemars(length(max = 256))]
    pub have: String,
    /// When it was found.
    pub detected_time: Time,
    /// When it was right again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_time: Option<Time>,
    /// What became of it.
    pub outcome: HistoryOutcome,
    /// Who did it, where that is known (Kubernetes: the field manager).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub actor: Option<String>,
}
