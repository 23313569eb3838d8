//! What a user asks for. Doc comments are the text of `kubectl explain`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// The controls on buckets.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BucketControls {
    /// Default encryption of new objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Refuse requests without TLS, and with an old TLS version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// All four settings of the bucket's public access block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access: Option<PublicAccess>,
    /// Objects belong to the bucket's owner, and ACLs are off (Object Ownership: bucket owner enforced).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_ownership: Option<ObjectOwnership>,
    /// Object versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versioning: Option<Versioning>,
    /// Server access logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_logging: Option<AccessLogging>,
}

/// Default encryption.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.algorithm == 'SSE-S3' || has(self.kmsKeys)", "encryption.algorithm SSE-KMS and DSSE-KMS need encryption.kmsKeys: name the key ARN for each region"))]
#[x_kube(validation = ("self.algorithm != 'SSE-S3' || !has(self.kmsKeys)", "encryption.kmsKeys needs algorithm SSE-KMS or DSSE-KMS; SSE-S3 uses no KMS key"))]
#[x_kube(validation = ("self.algorithm == 'SSE-KMS' || !has(self.bucketKey)", "encryption.bucketKey needs algorithm SSE-KMS: SSE-S3 and DSSE-KMS have no bucket key"))]
#[x_kube(validation = ("self.algorithm != 'SSE-S3' || !has(self.uploads) || self.uploads != 'RequireKey'", "encryption.uploads RequireKey needs algorithm SSE-KMS or DSSE-KMS: SSE-S3 uses no KMS key"))]
pub struct Encryption {
    /// Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
    /// At least this: SSE-S3 (keys owned by S3), SSE-KMS (a KMS key) or DSSE-KMS (two layers with a KMS key). Stronger is
    /// compliant and never downgraded.
    pub algorithm: EncryptionAlgorithm,
    /// The KMS key for each region, by full key ARN. A key works only for buckets of its region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["region".into()]))]
    pub kms_keys: Vec<KMSKey>,
    /// S3 Bucket Key, which makes KMS requests cheaper. Absent: left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_key: Option<BucketKey>,
    /// Uploads with keys that the client keeps for itself (SSE-C): Block or Allow. Absent: left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_keys: Option<CustomerKeys>,
    /// What the bucket policy says about uploads that choose their own encryption: Allow (nothing), RejectWeaker (refuse a
    /// weaker algorithm, another KMS key, and SSE-C unless customerKeys is Allow), RequireKey (also refuse SSE-KMS without a
    /// key id, which would use the AWS-managed key; may stop multipart uploads that send no key id). Uploads that ask for
    /// nothing are always let in and get the default encryption. Default Allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads: Option<Uploads>,
}

/// Server-side encryption, weakest first: SSE-S3, SSE-KMS, DSSE-KMS. On a single bucket the default is that of
/// bucketControls.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EncryptionAlgorithm {
    /// Keys owned by S3 (`AES256`).
    #[serde(rename = "SSE-S3")]
    SseS3,
    /// A KMS key (`aws:kms`).
    #[serde(rename = "SSE-KMS")]
    SseKms,
    /// Two layers, with a KMS key (`aws:kms:dsse`).
    #[serde(rename = "DSSE-KMS")]
    DsseKms,
}

/// Uploads with keys that the client keeps for itself (SSE-C): Block or Allow. Absent: left as it is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerKeys {
    /// They are refused.
    Block,
    /// They are let in.
    Allow,
}

/// What the bucket policy says about uploads that choose their own encryption: Allow (nothing), RejectWeaker (refuse a
/// weaker algorithm, another KMS key, and SSE-C unless customerKeys is Allow), RequireKey (also refuse SSE-KMS without a key
/// id, which would use the AWS-managed key; may stop multipart uploads that send no key id). Uploads that ask for nothing
/// are always let in and get the default encryption. Default Allow.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploads {
    /// Nothing.
    Allow,
    /// Refuse weaker algorithms, other keys, and SSE-C.
    RejectWeaker,
    /// Also refuse SSE-KMS without a key id.
    RequireKey,
}

/// S3 Bucket Key, which makes KMS requests cheaper: Enabled or Disabled. Absent: left as it is; on a single bucket: as in
/// bucketControls.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketKey {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// A KMS key and the region in which it works.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = ("self.keyARN.startsWith('arn:aws:kms:' + self.region + ':') || self.keyARN.startsWith('arn:aws-cn:kms:' + self.region + ':') || self.keyARN.startsWith('arn:aws-us-gov:kms:' + self.region + ':')", "keyARN must lie in the region beside it: a KMS key works only in its own region"))]
pub struct KMSKey {
    /// Region of the key and of the buckets that use it.
    #[schemars(length(min = 5, max = 32), regex(pattern = "^[a-z]{2,4}(-[a-z0-9]+)+-[0-9]+$"))]
    pub region: String,
    /// Full ARN of the key (no alias, no bare id), e.g. arn:aws:kms:eu-west-1:123456789012:key/1234abcd-…
    #[serde(rename = "keyARN")]
    #[schemars(
        length(min = 20, max = 256),
        regex(pattern = "^arn:aws(-[a-z]+)*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$")
    )]
    pub key_arn: String,
}

/// TLS-only access, by statements in the bucket policy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Transport {
    /// Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
    /// Oldest TLS version let in, "1.2" or "1.3". Default "1.2". "1.3" breaks interface VPC endpoints and Multi-Region
    /// Access Points, which do not offer it.
    #[serde(rename = "minimumTLSVersion", default, skip_serializing_if = "Option::is_none")]
    pub minimum_tls_version: Option<TLSVersion>,
}

/// Oldest TLS version let in, "1.2" or "1.3". "1.3" breaks interface VPC endpoints and Multi-Region Access Points, which do
/// not offer it. Default "1.2"; on a single bucket: as in bucketControls.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TLSVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// The bucket's public access block, all four settings on.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicAccess {
    /// Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
}

/// Objects belong to the bucket's owner, and ACLs are off. A bucket whose ACL grants somebody else access is left alone and
/// reported.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectOwnership {
    /// Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
}

/// Server access logs, delivered to another bucket of the same account and region.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(validation = ("has(self.bucket) || (has(self.mode) && self.mode == 'Ignore')", "accessLogging needs bucket: name the bucket that takes the logs"))]
pub struct AccessLogging {
    /// Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
    /// Bucket that takes the logs. It must let logging.s3.amazonaws.com write; it is not logged to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')", "bare bucket name expected: lower-case letters, digits, dots and hyphens; no s3://, no ARN"))]
    pub bucket: Option<String>,
    /// Prefix of the logs' keys, e.g. "s3/". Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub prefix: Option<String>,
}

/// Server access logs of one bucket, field by field over `bucketControls.accessLogging`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLoggingOverride {
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')", "bare bucket name expected: lower-case letters, digits, dots and hyphens; no s3://, no ARN"))]
    pub bucket: Option<String>,
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub prefix: Option<String>,
}

/// Object versioning, enabled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioning {
    /// Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
}

/// A bucket to protect.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Bare bucket name.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')", "bare bucket name expected: lower-case letters, digits, dots and hyphens; no s3://, no ARN"))]
    pub name: String,
    /// Controls of this bucket that differ from bucketControls, field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<BucketControlsOverride>,
}

/// Buckets of the account by name and tags; bucketControls hold for them. A bucket that it once found and finds no more
/// stays protected, with a finding, until it is deleted or an administrator releases it by annotation aidp.dev/release.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.namePrefix) || has(self.matchTags)", "a bucket selector may not be empty: give namePrefix, matchTags, or both"))]
pub struct BucketSelector {
    /// Name of the selector.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// How the bucket's name starts; taken literally. Default: any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9][a-z0-9.-]*$')", "start of a bucket name expected: lower-case letters, digits, dots and hyphens; no wildcard, no s3://, no ARN"))]
    pub name_prefix: Option<String>,
    /// Tags that the bucket carries, all of them. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub match_tags: Vec<BucketTag>,
}

/// A tag of a bucket.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct BucketTag {
    /// Key; taken literally.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
    /// Value; taken literally.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// What one bucket has different from `bucketControls`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BucketControlsOverride {
    /// Default encryption of new objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionOverride>,
    /// TLS-only access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Public access block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access: Option<PublicAccess>,
    /// Object Ownership.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_ownership: Option<ObjectOwnership>,
    /// Object versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versioning: Option<Versioning>,
    /// Server access logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_logging: Option<AccessLoggingOverride>,
}

/// Encryption of one bucket, field by field over `bucketControls.encryption`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionOverride {
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ControlMode>,
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<EncryptionAlgorithm>,
    /// Full ARN of this bucket's key; it must lie in the bucket's region. Absent: the key of that region in
    /// bucketControls.
    #[serde(rename = "kmsKeyARN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 256),
        regex(pattern = "^arn:aws(-[a-z]+)*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$")
    )]
    pub kms_key_arn: Option<String>,
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_key: Option<BucketKey>,
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_keys: Option<CustomerKeys>,
    /// Absent: as in bucketControls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads: Option<Uploads>,
}

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

/// What the pods of some namespaces may talk to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.namespaceSelector.matchLabels) || has(self.namespaceSelector.matchExpressions)", "namespaceSelector may not be empty: say which namespaces train"))]
#[x_kube(validation = ("has(self.podSelector.matchLabels) || has(self.podSelector.matchExpressions)", "podSelector may not be empty: say which pods train"))]
#[x_kube(validation = ("!has(self.namespaceSelector.matchLabels) || !('kubernetes.io/metadata.name' in self.namespaceSelector.matchLabels) || self.namespaceSelector.matchLabels['kubernetes.io/metadata.name'] != 'kube-system'", "kube-system cannot be restricted by a policy: it carries the cluster itself"))]
#[x_kube(validation = ("!has(self.namespaceSelector.matchExpressions) || !self.namespaceSelector.matchExpressions.exists(e, e.key == 'kubernetes.io/metadata.name' && e.operator == 'In' && has(e.values) && 'kube-system' in e.values)", "kube-system cannot be restricted by a policy: it carries the cluster itself"))]
pub struct EgressRule {
    /// Name of the rule; it becomes part of the NetworkPolicy's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// Namespaces of the training pods, by label; may not be empty.
    pub namespace_selector: Selector,
    /// The training pods, by label; may not be empty.
    pub pod_selector: Selector,
    /// What must be reached to be compliant: Port (only the allowed ports), Destination (only the allowed places) or TLS
    /// (only TLS to the allowed names). Default Port. What the cluster's network plugin cannot do is never compliant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<Assurance>,
    /// What may be reached besides DNS.
    #[schemars(length(min = 1, max = 100))]
    pub allow: Vec<Allow>,
}

/// What must be reached to be compliant: Port (only the allowed ports), Destination (only the allowed places) or TLS (only
/// TLS to the allowed names). What the cluster's network plugin cannot do is never compliant. Default Port.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// Only the allowed ports.
    Port,
    /// Only the allowed destinations.
    Destination,
    /// Only TLS.
    #[serde(rename = "TLS")]
    Tls,
}

/// A destination; which fields it has depends on its type.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.type == 'CIDR') == has(self.cidr)", "cidr goes with type CIDR, and only with it"))]
#[x_kube(validation = ("(self.type == 'AWSService') == has(self.service)", "service goes with type AWSService, and only with it"))]
#[x_kube(validation = ("self.type == 'Pods' || (!has(self.namespaceSelector) && !has(self.podSelector))", "namespaceSelector and podSelector go with type Pods only"))]
#[x_kube(validation = ("self.type != 'Pods' || (has(self.namespaceSelector) && has(self.podSelector))", "type Pods needs namespaceSelector and podSelector"))]
#[x_kube(validation = ("self.type != 'Pods' || has(self.ports)", "type Pods needs ports"))]
#[x_kube(validation = ("!has(self.cidr) || !(self.cidr in ['0.0.0.0/0', '::/0']) || !has(self.ports) || self.ports.all(p, p.port == 443 && !has(p.endPort) && (!has(p.protocol) || p.protocol == 'TCP'))", "0.0.0.0/0 and ::/0 (anywhere) are allowed on 443/TCP only"))]
pub struct Allow {
    /// Kind of destination: CIDR (addresses), AWSService (the addresses of an AWS service in the policy's region) or Pods (of
    /// this cluster, e.g. distributed training; listed as a plaintext exception).
    pub r#type: AllowType,
    /// With type CIDR: addresses, IPv4 or IPv6. 0.0.0.0/0 means anywhere but link-local, on 443/TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 64))]
    #[x_kube(validation = ("isCIDR(self) && cidr(self).masked() == cidr(self)", "cidr must be a network address in CIDR notation, e.g. 10.20.0.0/16"))]
    pub cidr: Option<String>,
    /// With type AWSService: the service as AWS names its managed prefix list com.amazonaws.REGION.SERVICE, e.g. s3 or
    /// dynamodb. Its addresses serve all customers of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub service: Option<String>,
    /// With type Pods: namespaces of the pods. An empty selector means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    /// With type Pods: the pods. An empty selector means all of those namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<Selector>,
    /// Ports. Default 443/TCP; required with type Pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 50))]
    pub ports: Vec<AllowPort>,
}

/// Discriminator of `allow`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowType {
    /// Addresses.
    #[serde(rename = "CIDR")]
    Cidr,
    /// An AWS service, by its managed prefix list.
    #[serde(rename = "AWSService")]
    AwsService,
    /// Pods of this cluster.
    Pods,
}

/// A port or a range of ports.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.endPort) || self.endPort >= self.port", "endPort may not lie below port"))]
pub struct AllowPort {
    /// First or only port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Last port of a range. Default: the port itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub end_port: Option<i32>,
    /// TCP, UDP or SCTP. Default TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// Transport protocol: TCP, UDP or SCTP. Default TCP.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// A label selector, bounded. Semantics as everywhere in Kubernetes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must all be there with these values.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub match_labels: std::collections::BTreeMap<String, LabelValue>,
    /// Requirements that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub match_expressions: Vec<SelectorRequirement>,
}

/// Value of a label.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// One requirement of a label selector.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = ("(self.operator in ['In', 'NotIn']) == has(self.values)", "values go with operators In and NotIn, and only with them"))]
pub struct SelectorRequirement {
    /// Label key.
    #[schemars(length(min = 1, max = 316))]
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    pub operator: SelectorOperator,
    /// Values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// Operator of a selector requirement.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorOperator {
    /// The label's value is one of `values`.
    In,
    /// The label is missing, or its value is none of `values`.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
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
