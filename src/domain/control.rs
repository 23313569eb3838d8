//! The table of controls: one row for everything that can be right or wrong. Ids are stable; dashboards, exceptions and
//! other tools' findings are keyed by them. `docs/controls.md` is generated from here.

use crate::api::Severity;

/// Which of the three promises a control belongs to, and so which part condition it feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `BucketsProtected`.
    Buckets,
    /// `RolesReadOnly`.
    Roles,
    /// `EgressRestricted`.
    Egress,
}

/// A control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Control {
    /// The bucket exists, is ours to see, and its policy can be read and written.
    S3Bucket,
    /// Default encryption is at least as asked.
    S3DefaultEncryption,
    /// The keys that encrypt the data work, and are not about to be deleted.
    KmsKeyUsable,
    /// Their material rotates.
    KmsKeyRotation,
    /// Their policies let in named principals only.
    KmsKeyPolicy,
    /// No grant lets another account use them.
    KmsKeyGrants,
    /// Uploads that choose a weaker encryption are refused.
    S3UploadEncryption,
    /// Requests without TLS are refused.
    S3TlsOnly,
    /// Requests with an old TLS version are refused.
    S3MinimumTlsVersion,
    /// The public access block is on.
    S3PublicAccessBlock,
    /// No statement of the bucket policy grants public access.
    S3PublicPolicy,
    /// Objects belong to the bucket's owner and ACLs are off.
    S3ObjectOwnership,
    /// No ACL grants access to everybody.
    S3Acl,
    /// Versioning is enabled.
    S3Versioning,
    /// Versions can't be deleted before their time.
    S3ObjectLock,
    /// Versions can't be deleted without a second factor.
    S3MfaDelete,
    /// No lifecycle rule removes data.
    S3LifecycleExpiry,
    /// No replication copies data out of the policy's reach, or writes into the bucket.
    S3Replication,
    /// How the objects are encrypted that were there before.
    S3ExistingObjects,
    /// Access logs are delivered.
    S3AccessLogging,
    /// The bucket refuses writes by the training roles, whatever IAM says.
    S3RoleWriteDeny,
    /// The role exists, is ours, and has its path, tags and boundary.
    IamRole,
    /// Only the listed ServiceAccounts can assume the role.
    IamTrust,
    /// The role's credentials can read the data and not change it.
    IamReadOnly,
    /// Sessions are no longer than asked.
    IamSessionDuration,
    /// The listed ServiceAccounts get the role's credentials, and their pods use no others.
    IamWorkloadIdentity,
    /// The role is in use, and nothing on it gives more than the policy needs.
    IamAccessReview,
    /// The NetworkPolicy is as it must be.
    NetEgress,
    /// Something in the cluster enforces NetworkPolicy, to the asked rung.
    NetEnforcement,
    /// No other policy lets the same pods out further.
    NetUnion,
    /// The rule would cut the pods off from their own credentials or from DNS.
    NetBlocksOwnCredentials,
    /// Every pod with a training role's credentials is selected by an egress rule.
    NetCoverage,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlInfo {
    /// Stable id, e.g. `S3.TLSOnly`.
    pub id: &'static str,
    /// The promise it belongs to.
    pub part: Part,
    /// Severity of a finding, unless the finding says otherwise.
    pub severity: Severity,
    /// What it says, in one clause.
    pub title: &'static str,
    /// What a human does about it, in one sentence.
    pub remediation: &'static str,
    /// Ids of the matching Prowler checks.
    pub prowler: &'static [&'static str],
    /// Ids of the matching Security Hub controls.
    pub security_hub: &'static [&'static str],
    /// Ids of the matching AWS Config rules.
    pub aws_config: &'static [&'static str],
}

impl Control {
    /// Every control, in the order of the table.
    pub const ALL: [Self; 32] = [
        Self::S3Bucket,
        Self::S3DefaultEncryption,
        Self::KmsKeyUsable,
        Self::KmsKeyRotation,
        Self::KmsKeyPolicy,
        Self::KmsKeyGrants,
        Self::S3UploadEncryption,
        Self::S3TlsOnly,
        Self::S3MinimumTlsVersion,
        Self::S3PublicAccessBlock,
        Self::S3PublicPolicy,
        Self::S3ObjectOwnership,
        Self::S3Acl,
        Self::S3Versioning,
        Self::S3AccessLogging,
        Self::S3ObjectLock,
        Self::S3MfaDelete,
        Self::S3LifecycleExpiry,
        Self::S3Replication,
        Self::S3ExistingObjects,
        Self::S3RoleWriteDeny,
        Self::IamRole,
        Self::IamTrust,
        Self::IamReadOnly,
        Self::IamSessionDuration,
        Self::IamWorkloadIdentity,
        Self::IamAccessReview,
        Self::NetEgress,
        Self::NetEnforcement,
        Self::NetUnion,
        Self::NetBlocksOwnCredentials,
        Self::NetCoverage,
    ];

    /// The control's row.
    #[expect(clippy::too_many_lines, reason = "a table; splitting it would hide it")]
    pub const fn info(self) -> ControlInfo {
        match self {
            Self::S3Bucket => ControlInfo {
                id: "S3.Bucket",
                part: Part::Buckets,
                severity: Severity::High,
                title: "the bucket exists, belongs to the account, and can be read and configured",
                remediation: "create the bucket, correct its name in the policy, or grant the operator the missing right",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3DefaultEncryption => ControlInfo {
                id: "S3.DefaultEncryption",
                part: Part::Buckets,
                severity: Severity::High,
                title: "new objects are encrypted at least as the policy asks",
                remediation: "set the bucket's default encryption to the algorithm and key of the policy",
                prowler: &["s3_bucket_default_encryption", "s3_bucket_kms_encryption"],
                security_hub: &["S3.17"],
                aws_config: &["S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED", "S3_DEFAULT_ENCRYPTION_KMS"],
            },
            Self::KmsKeyUsable => ControlInfo {
                id: "KMS.KeyUsable",
                part: Part::Buckets,
                severity: Severity::Critical,
                title: "the keys that encrypt the data are enabled, symmetric, and not about to be deleted",
                remediation: "cancel the key's deletion, enable it, or import its material again",
                prowler: &["kms_cmk_not_deleted_unintentionally"],
                security_hub: &["KMS.3"],
                aws_config: &["KMS_CMK_NOT_SCHEDULED_FOR_DELETION"],
            },
            Self::KmsKeyRotation => ControlInfo {
                id: "KMS.KeyRotation",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "the material of the keys that encrypt the data is rotated",
                remediation: "enable automatic rotation of the key",
                prowler: &["kms_cmk_rotation_enabled"],
                security_hub: &["KMS.4"],
                aws_config: &["CMK_BACKING_KEY_ROTATION_ENABLED"],
            },
            Self::KmsKeyPolicy => ControlInfo {
                id: "KMS.KeyPolicy",
                part: Part::Buckets,
                severity: Severity::High,
                title: "the policies of the keys that encrypt the data let in named principals only",
                remediation: "name the principals in the key policy, or condition the statement on kms:CallerAccount or aws:PrincipalOrgID",
                prowler: &["kms_key_not_publicly_accessible"],
                security_hub: &["KMS.5"],
                aws_config: &["KMS_KEY_POLICY_NO_PUBLIC_ACCESS"],
            },
            Self::KmsKeyGrants => ControlInfo {
                id: "KMS.KeyGrants",
                part: Part::Buckets,
                severity: Severity::Low,
                title: "no grant lets another account use the keys that encrypt the data",
                remediation: "revoke grants to other accounts that nobody can explain",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3UploadEncryption => ControlInfo {
                id: "S3.UploadEncryption",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "the bucket refuses uploads that choose weaker encryption than the policy's",
                remediation: "deny s3:PutObject with another algorithm, another KMS key or a key of the client's own",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3TlsOnly => ControlInfo {
                id: "S3.TLSOnly",
                part: Part::Buckets,
                severity: Severity::High,
                title: "the bucket refuses requests without TLS",
                remediation: "deny s3:* on bucket and objects where aws:SecureTransport is false",
                prowler: &["s3_bucket_secure_transport_policy"],
                security_hub: &["S3.5"],
                aws_config: &["S3_BUCKET_SSL_REQUESTS_ONLY"],
            },
            Self::S3MinimumTlsVersion => ControlInfo {
                id: "S3.MinimumTLSVersion",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "the bucket refuses TLS versions older than the policy's",
                remediation: "deny s3:* on bucket and objects where s3:TlsVersion is less than the minimum",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3PublicAccessBlock => ControlInfo {
                id: "S3.PublicAccessBlock",
                part: Part::Buckets,
                severity: Severity::Critical,
                title: "all four settings of the public access block are on",
                remediation: "switch on BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy and RestrictPublicBuckets",
                prowler: &["s3_bucket_level_public_access_block"],
                security_hub: &["S3.2", "S3.3", "S3.8"],
                aws_config: &["S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED"],
            },
            Self::S3PublicPolicy => ControlInfo {
                id: "S3.PublicPolicy",
                part: Part::Buckets,
                severity: Severity::High,
                title: "no statement of the bucket policy grants access to everybody",
                remediation: "narrow the statement's principal, or condition it on a fixed organisation, account or VPC endpoint",
                prowler: &["s3_bucket_public_access", "s3_bucket_policy_public_write_access"],
                security_hub: &["S3.2", "S3.3"],
                aws_config: &["S3_BUCKET_PUBLIC_READ_PROHIBITED", "S3_BUCKET_PUBLIC_WRITE_PROHIBITED"],
            },
            Self::S3ObjectOwnership => ControlInfo {
                id: "S3.ObjectOwnership",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "objects belong to the bucket's owner, and ACLs are off",
                remediation: "set Object Ownership to bucket owner enforced, after replacing ACL grants by policies",
                prowler: &["s3_bucket_acl_prohibited"],
                security_hub: &["S3.12"],
                aws_config: &["S3_BUCKET_ACL_PROHIBITED"],
            },
            Self::S3Acl => ControlInfo {
                id: "S3.ACL",
                part: Part::Buckets,
                severity: Severity::High,
                title: "the bucket's ACL grants nothing to everybody",
                remediation: "remove the grants to AllUsers and AuthenticatedUsers",
                prowler: &[
                    "s3_bucket_public_access",
                    "s3_bucket_public_list_acl",
                    "s3_bucket_public_write_acl",
                ],
                security_hub: &["S3.2", "S3.3"],
                aws_config: &["S3_BUCKET_PUBLIC_READ_PROHIBITED", "S3_BUCKET_PUBLIC_WRITE_PROHIBITED"],
            },
            Self::S3AccessLogging => ControlInfo {
                id: "S3.AccessLogging",
                part: Part::Buckets,
                severity: Severity::Low,
                title: "access logs go to the bucket that the policy names",
                remediation: "switch on server access logging to a bucket that lets logging.s3.amazonaws.com write",
                prowler: &["s3_bucket_server_access_logging_enabled"],
                security_hub: &["S3.9"],
                aws_config: &["S3_BUCKET_LOGGING_ENABLED"],
            },
            Self::S3Versioning => ControlInfo {
                id: "S3.Versioning",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "versioning is enabled",
                remediation: "enable versioning",
                prowler: &["s3_bucket_object_versioning"],
                security_hub: &["S3.14"],
                aws_config: &["S3_BUCKET_VERSIONING_ENABLED"],
            },
            Self::S3ObjectLock => ControlInfo {
                id: "S3.ObjectLock",
                part: Part::Buckets,
                severity: Severity::Low,
                title: "Object Lock with a default retention keeps versions from being deleted (reported only)",
                remediation: "enable Object Lock with a default retention; it can't be switched off again",
                prowler: &["s3_bucket_object_lock"],
                security_hub: &["S3.15"],
                aws_config: &["S3_BUCKET_DEFAULT_LOCK_ENABLED"],
            },
            Self::S3MfaDelete => ControlInfo {
                id: "S3.MFADelete",
                part: Part::Buckets,
                severity: Severity::Low,
                title: "versions can't be deleted without a second factor (reported only)",
                remediation: "enable MFA delete as the account's root user, or Object Lock with a default retention",
                prowler: &["s3_bucket_no_mfa_delete"],
                security_hub: &["S3.20"],
                aws_config: &["S3_BUCKET_MFA_DELETE_ENABLED"],
            },
            Self::S3LifecycleExpiry => ControlInfo {
                id: "S3.LifecycleExpiry",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "no lifecycle rule removes objects or versions (reported only)",
                remediation: "remove the rule, or narrow its filter to what may go",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3Replication => ControlInfo {
                id: "S3.Replication",
                part: Part::Buckets,
                severity: Severity::Medium,
                title: "no replication copies the data to a bucket outside the policy, or writes into the bucket (reported only)",
                remediation: "list the destination in a policy too, or end the replication",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3ExistingObjects => ControlInfo {
                id: "S3.ExistingObjects",
                part: Part::Buckets,
                severity: Severity::Low,
                title: "how objects are encrypted that are older than the setting is not known (reported only)",
                remediation: "look at EncryptionStatus in an S3 Inventory, and encrypt anew what is weaker (S3 Batch Operations)",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::S3RoleWriteDeny => ControlInfo {
                id: "S3.RoleWriteDeny",
                part: Part::Roles,
                severity: Severity::High,
                title: "the bucket itself refuses writes by the training roles",
                remediation: "deny everything but reads to the training role in the bucket policy",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::IamRole => ControlInfo {
                id: "IAM.Role",
                part: Part::Roles,
                severity: Severity::High,
                title: "the training role exists, is ours, and carries its tags and boundary",
                remediation: "let the operator create the role, or remove the role of the same name that is not ours",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::IamTrust => ControlInfo {
                id: "IAM.Trust",
                part: Part::Roles,
                severity: Severity::Critical,
                title: "exactly the listed ServiceAccounts can assume the role",
                remediation: "restrict the trust policy to the sub and aud of the listed ServiceAccounts",
                prowler: &["iam_no_custom_policy_permissive_role_assumption"],
                security_hub: &[],
                aws_config: &[],
            },
            Self::IamReadOnly => ControlInfo {
                id: "IAM.ReadOnly",
                part: Part::Roles,
                severity: Severity::Critical,
                title: "the role's credentials can read the data and not change it",
                remediation: "remove the policy that grants more, or list it in managedPolicyARNs if the job needs it",
                prowler: &[
                    "iam_inline_policy_no_administrative_privileges",
                    "iam_role_administratoraccess_policy",
                ],
                security_hub: &["IAM.1", "IAM.21"],
                aws_config: &["IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS"],
            },
            Self::IamSessionDuration => ControlInfo {
                id: "IAM.SessionDuration",
                part: Part::Roles,
                severity: Severity::Medium,
                title: "sessions of the role end in time",
                remediation: "set the role's maximum session duration to the policy's",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::IamWorkloadIdentity => ControlInfo {
                id: "IAM.WorkloadIdentity",
                part: Part::Roles,
                severity: Severity::Medium,
                title: "the listed ServiceAccounts point at the role, nobody else does, and their pods use no other credentials",
                remediation: "annotate the ServiceAccount with the role's ARN, and take AWS keys out of the pods' environment",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::IamAccessReview => ControlInfo {
                id: "IAM.AccessReview",
                part: Part::Roles,
                severity: Severity::Low,
                title: "the role is in use, and nothing on it gives more than the policy needs",
                remediation: "take a role that nobody uses out of the policy, and narrow what other policies on it allow",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::NetEgress => ControlInfo {
                id: "Net.Egress",
                part: Part::Egress,
                severity: Severity::High,
                title: "the NetworkPolicy of the rule is in place, unchanged, in every matching namespace",
                remediation: "let the operator apply the NetworkPolicy, and find out who changes it",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::NetEnforcement => ControlInfo {
                id: "Net.Enforcement",
                part: Part::Egress,
                severity: Severity::High,
                title: "something in the cluster enforces NetworkPolicy as strongly as asked",
                remediation: "install a network plugin that enforces NetworkPolicy, or name it with --network-enforcer",
                prowler: &["eks_cluster_network_policy_enabled"],
                security_hub: &[],
                aws_config: &[],
            },
            Self::NetUnion => ControlInfo {
                id: "Net.Union",
                part: Part::Egress,
                severity: Severity::High,
                title: "no other policy lets the same pods out further",
                remediation: "narrow or remove the other policy that selects these pods",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::NetBlocksOwnCredentials => ControlInfo {
                id: "Net.BlocksOwnCredentials",
                part: Part::Egress,
                severity: Severity::High,
                title: "the rule leaves the pods a way to their own credentials and to DNS",
                remediation: "allow 443/TCP to the STS endpoint in the rule's allow list",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
            Self::NetCoverage => ControlInfo {
                id: "Net.Coverage",
                part: Part::Egress,
                severity: Severity::High,
                title: "every pod with a training role's credentials is selected by an egress rule",
                remediation: "label the pods as the egress rules ask, or widen a rule's selectors",
                prowler: &[],
                security_hub: &[],
                aws_config: &[],
            },
        }
    }

    /// Stable id.
    pub const fn id(self) -> &'static str {
        self.info().id
    }
}
