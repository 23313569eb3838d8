//! An action: one write, as data. Made by the plan, executed by `aws` and `cluster`, printed by `aidp plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::finding::{FindingKey, Target};
use super::names::{BucketName, Region, RoleName};
use super::observed::{
    AccessLoggingState, BucketAcl, EncryptionRule, EncryptionState, ObjectOwnershipState, PublicAccessBlock,
    VersioningState,
};

/// One write. Every variant carries all it needs: executing takes no decision.
///
/// A write to a bucket carries what the decision rests on (`seen`). The executor reads that again right before, and does
/// not write if it is any other by then: somebody may have set something stronger, and the next pass plans anew. S3 has no
/// conditional write of a setting, so this keeps the window small and cannot close it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `s3:PutBucketEncryption` with exactly one rule.
    PutBucketEncryption {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The encryption that the decision rests on, as read.
        seen: EncryptionState,
        /// The whole rule; `blocked_encryption_types: None` is left out of the request.
        rule: EncryptionRule,
    },
    /// `s3:PutBucketPolicy`. The same policy in another spelling counts as `seen`.
    PutBucketPolicy {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The policy that the decision rests on, as read; None = there was none.
        seen: Option<String>,
        /// The whole new policy, compact JSON.
        document: String,
    },
    /// `s3:DeleteBucketPolicy`, where nothing but our statements was left.
    DeleteBucketPolicy {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The policy that the decision rests on, as read.
        seen: String,
    },
    /// `s3:PutPublicAccessBlock`, all four settings.
    PutPublicAccessBlock {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The settings that the decision rests on, as read; None = there were none.
        seen: Option<PublicAccessBlock>,
        /// The settings.
        settings: PublicAccessBlock,
    },
    /// `s3:PutBucketVersioning` with Status Enabled; never MFADelete.
    EnableBucketVersioning {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The state that the decision rests on, as read.
        seen: VersioningState,
    },
    /// `s3:PutBucketOwnershipControls` with BucketOwnerEnforced.
    EnforceBucketOwner {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The ownership that the decision rests on, as read; None = none set.
        seen: Option<ObjectOwnershipState>,
        /// The ACL that the decision rests on: what it grants ends.
        acl: BucketAcl,
    },
    /// `s3:PutBucketLogging`.
    PutBucketLogging {
        /// Bucket.
        bucket: BucketName,
        /// Its region.
        region: Region,
        /// The configuration that the decision rests on, as read; None = logging was off.
        seen: Option<AccessLoggingState>,
        /// The whole configuration.
        logging: AccessLoggingState,
    },
    /// `iam:CreateRole`, with everything that can be given at creation.
    CreateRole {
        /// Role.
        role: RoleName,
        /// Path, `/aidp/`.
        path: String,
        /// Trust policy, compact JSON.
        trust_policy: String,
        /// Seconds.
        max_session_duration_seconds: i32,
        /// Boundary.
        permissions_boundary_arn: Option<String>,
        /// Tags.
        tags: BTreeMap<String, String>,
    },
    /// `iam:UpdateAssumeRolePolicy`.
    UpdateAssumeRolePolicy {
        /// Role.
        role: RoleName,
        /// Trust policy, compact JSON.
        trust_policy: String,
    },
    /// `iam:UpdateRole`: the session duration.
    UpdateRole {
        /// Role.
        role: RoleName,
        /// Seconds.
        max_session_duration_seconds: i32,
    },
    /// `iam:PutRolePermissionsBoundary`.
    PutRolePermissionsBoundary {
        /// Role.
        role: RoleName,
        /// Boundary.
        permissions_boundary_arn: String,
    },
    /// `iam:TagRole`.
    TagRole {
        /// Role.
        role: RoleName,
        /// Tags to set.
        tags: BTreeMap<String, String>,
    },
    /// `iam:PutRolePolicy`.
    PutRolePolicy {
        /// Role.
        role: RoleName,
        /// Name of the inline policy.
        policy_name: String,
        /// Compact JSON.
        document: String,
    },
    /// `iam:DeleteRolePolicy`: an inline policy of ours.
    DeleteRolePolicy {
        /// Role.
        role: RoleName,
        /// Name of the inline policy.
        policy_name: String,
    },
    /// `iam:AttachRolePolicy`.
    AttachRolePolicy {
        /// Role.
        role: RoleName,
        /// Managed policy.
        policy_arn: String,
    },
    /// `iam:DetachRolePolicy`.
    DetachRolePolicy {
        /// Role.
        role: RoleName,
        /// Managed policy.
        policy_arn: String,
    },
    /// `iam:DeleteRole`: a role that we created and on which nothing foreign hangs. The executor first removes the inline
    /// and attached policies named here.
    DeleteRole {
        /// Role.
        role: RoleName,
        /// Our inline policies on it.
        inline_policies: BTreeSet<String>,
        /// Managed policies that we attached.
        attached_policy_arns: BTreeSet<String>,
    },
    /// Server-side apply of one NetworkPolicy, forced, under our field manager.
    ApplyNetworkPolicy {
        /// Rule it belongs to.
        rule: String,
        /// The whole object.
        object: Box<NetworkPolicy>,
    },
    /// Deletion of a NetworkPolicy of ours.
    DeleteNetworkPolicy {
        /// Rule it belonged to.
        rule: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Uid of the object seen, as the precondition.
        uid: Option<String>,
    },
}

impl Action {
    /// What is written to.
    pub fn target(&self) -> Target {
        match self {
            Self::PutBucketEncryption { bucket, .. }
            | Self::PutBucketPolicy { bucket, .. }
            | Self::DeleteBucketPolicy { bucket, .. }
            | Self::PutPublicAccessBlock { bucket, .. }
            | Self::EnableBucketVersioning { bucket, .. }
            | Self::EnforceBucketOwner { bucket, .. }
            | Self::PutBucketLogging { bucket, .. } => Target::Bucket(bucket.clone()),
            Self::CreateRole { role, .. }
            | Self::UpdateAssumeRolePolicy { role, .. }
            | Self::UpdateRole { role, .. }
            | Self::PutRolePermissionsBoundary { role, .. }
            | Self::TagRole { role, .. }
            | Self::PutRolePolicy { role, .. }
            | Self::DeleteRolePolicy { role, .. }
            | Self::AttachRolePolicy { role, .. }
            | Self::DetachRolePolicy { role, .. }
            | Self::DeleteRole { role, .. } => Target::Role(role.clone()),
            Self::ApplyNetworkPolicy { rule, object } => Target::Egress {
                rule: rule.clone(),
                namespace: object.metadata.namespace.clone(),
            },
            Self::DeleteNetworkPolicy { rule, namespace, .. } => Target::Egress {
                rule: rule.clone(),
                namespace: Some(namespace.clone()),
            },
        }
    }

    /// Whether this may not be done where `earlier`, of the same target and before it in the plan, was not.
    pub const fn depends_on(&self, earlier: &Self) -> bool {
        match self {
            // The bucket policy must let a new key in before it becomes the default.
            Self::PutBucketEncryption { .. } => {
                matches!(earlier, Self::PutBucketPolicy { .. } | Self::DeleteBucketPolicy { .. })
            }
            Self::PutBucketPolicy { .. }
            | Self::DeleteBucketPolicy { .. }
            | Self::PutPublicAccessBlock { .. }
            | Self::EnableBucketVersioning { .. }
            | Self::EnforceBucketOwner { .. }
            | Self::PutBucketLogging { .. } => false,
            Self::CreateRole { .. }
            | Self::UpdateAssumeRolePolicy { .. }
            | Self::UpdateRole { .. }
            | Self::PutRolePermissionsBoundary { .. }
            | Self::TagRole { .. }
            | Self::PutRolePolicy { .. }
            | Self::DeleteRolePolicy { .. }
            | Self::AttachRolePolicy { .. }
            | Self::DetachRolePolicy { .. }
            | Self::DeleteRole { .. }
            | Self::ApplyNetworkPolicy { .. }
            | Self::DeleteNetworkPolicy { .. } => true,
        }
    }

    /// The operation as the API names it; a bounded label.
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::PutBucketEncryption { .. } => "PutBucketEncryption",
            Self::PutBucketPolicy { .. } => "PutBucketPolicy",
            Self::DeleteBucketPolicy { .. } => "DeleteBucketPolicy",
            Self::PutPublicAccessBlock { .. } => "PutPublicAccessBlock",
            Self::EnableBucketVersioning { .. } => "PutBucketVersioning",
            Self::EnforceBucketOwner { .. } => "PutBucketOwnershipControls",
            Self::PutBucketLogging { .. } => "PutBucketLogging",
            Self::CreateRole { .. } => "CreateRole",
            Self::UpdateAssumeRolePolicy { .. } => "UpdateAssumeRolePolicy",
            Self::UpdateRole { .. } => "UpdateRole",
            Self::PutRolePermissionsBoundary { .. } => "PutRolePermissionsBoundary",
            Self::TagRole { .. } => "TagRole",
            Self::PutRolePolicy { .. } => "PutRolePolicy",
            Self::DeleteRolePolicy { .. } => "DeleteRolePolicy",
            Self::AttachRolePolicy { .. } => "AttachRolePolicy",
            Self::DetachRolePolicy { .. } => "DetachRolePolicy",
            Self::DeleteRole { .. } => "DeleteRole",
            Self::ApplyNetworkPolicy { .. } => "ApplyNetworkPolicy",
            Self::DeleteNetworkPolicy { .. } => "DeleteNetworkPolicy",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation(), self.target())
    }
}

/// An action and the findings that it repairs.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedAction {
    /// The write.
    pub action: Action,
    /// Why: keys of findings of the same plan.
    pub repairs: Vec<FindingKey>,
}
