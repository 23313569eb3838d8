//! Buckets: their names or what selects them, and the controls on them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ControlMode;

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
