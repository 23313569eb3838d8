//! The least AWS rights that the operator needs for given policies: what `aidp iam-policy` prints.
//!
//! Lives here: which IAM actions authorise which call, and which calls a policy leads to. Does not live here: how the
//! operator gets its credentials.
//!
//! Source of the action names: "Actions, resources, and condition keys for Amazon S3" and "… for AWS Identity and Access
//! Management (IAM)", Service Authorization Reference.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::iam::pod_identity::EksCluster;
use super::names::AccountId;
use super::policy::{BucketTemplate, Controlled, RoleTarget, SelectorTarget, ValidatedPolicy, WantEncryption};
use crate::api::{Adoption, DeletionPolicy, ForeignPolicies, Gating, Mode, Uploads};

/// Most characters of a customer managed policy, white space not counted (IAM and STS quotas).
pub const MANAGED_POLICY_LIMIT: usize = 6144;

/// The IAM action that authorises a call of ours, by the operation's name in the AWS API. None for
/// `GetCallerIdentity`, which needs no right, and for operations that we never call.
pub fn action_for(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "ListBuckets" => "s3:ListAllMyBuckets",
        "GetResources" => "tag:GetResources",
        "HeadBucket" => "s3:ListBucket",
        "GetBucketEncryption" => "s3:GetEncryptionConfiguration",
        "PutBucketEncryption" => "s3:PutEncryptionConfiguration",
        "GetBucketPolicy" => "s3:GetBucketPolicy",
        "PutBucketPolicy" => "s3:PutBucketPolicy",
        "DeleteBucketPolicy" => "s3:DeleteBucketPolicy",
        "GetPublicAccessBlock" => "s3:GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" => "s3:PutBucketPublicAccessBlock",
        // S3 Control's GetPublicAccessBlock, by its name in CloudTrail.
        "GetAccountPublicAccessBlock" => "s3:GetAccountPublicAccessBlock",
        "GetBucketVersioning" => "s3:GetBucketVersioning",
        "PutBucketVersioning" => "s3:PutBucketVersioning",
        "GetBucketOwnershipControls" => "s3:GetBucketOwnershipControls",
        "PutBucketOwnershipControls" => "s3:PutBucketOwnershipControls",
        "GetBucketAcl" => "s3:GetBucketAcl",
        "GetBucketLogging" => "s3:GetBucketLogging",
        "PutBucketLogging" => "s3:PutBucketLogging",
        "DescribeManagedPrefixLists" => "ec2:DescribeManagedPrefixLists",
        "GetManagedPrefixListEntries" => "ec2:GetManagedPrefixListEntries",
        "GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
        "GetBucketReplication" => "s3:GetReplicationConfiguration",
        "DescribeKey" => "kms:DescribeKey",
        "GetKeyRotationStatus" => "kms:GetKeyRotationStatus",
        "GetKeyPolicy" => "kms:GetKeyPolicy",
        "ListGrants" => "kms:ListGrants",
        "ListAccessPoints" => "s3:ListAccessPoints",
        "GetAccessPointPolicy" => "s3:GetAccessPointPolicy",
        "GetAccountAuthorizationDetails" => "iam:GetAccountAuthorizationDetails",
        "ListRoles" => "iam:ListRoles",
        "ListPodIdentityAssociations" => "eks:ListPodIdentityAssociations",
        "DescribePodIdentityAssociation" => "eks:DescribePodIdentityAssociation",
        "GetRole" => "iam:GetRole",
        "ListRolePolicies" => "iam:ListRolePolicies",
        "GetRolePolicy" => "iam:GetRolePolicy",
        "ListAttachedRolePolicies" => "iam:ListAttachedRolePolicies",
        "GetPolicy" => "iam:GetPolicy",
        "GetPolicyVersion" => "iam:GetPolicyVersion",
        "CreateRole" => "iam:CreateRole",
        "TagRole" => "iam:TagRole",
        "UpdateAssumeRolePolicy" => "iam:UpdateAssumeRolePolicy",
        "UpdateRole" => "iam:UpdateRole",
        "PutRolePermissionsBoundary" => "iam:PutRolePermissionsBoundary",
        "PutRolePolicy" => "iam:PutRolePolicy",
        "DeleteRolePolicy" => "iam:DeleteRolePolicy",
        "AttachRolePolicy" => "iam:AttachRolePolicy",
        "DetachRolePolicy" => "iam:DetachRolePolicy",
        "DeleteRole" => "iam:DeleteRole",
        _ => return None,
    })
}

/// Actions on roles that IAM can make depend on the role's boundary (condition key `iam:PermissionsBoundary`).
const BOUND: [&str; 6] = [
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
];

/// Why there is no one policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// An IAM policy is for one account.
    #[error("the policies are for several accounts ({}); ask for one account at a time", list(.0))]
    SeveralAccounts(BTreeSet<AccountId>),
    /// Nothing was given.
    #[error("no policy was given")]
    Nothing,
}

fn list(accounts: &BTreeSet<AccountId>) -> String {
    accounts.iter().map(AccountId::as_str).collect::<Vec<_>>().join(", ")
}

/// The IAM policy document that lets the operator do what these policies of one account need, and nothing else. A policy in
/// Audit adds reads only; a control that is not enforced adds no write.
///
/// # Errors
/// [`RightsError`].
pub fn operator_policy(policies: &[ValidatedPolicy]) -> Result<Value, RightsError> {
    let accounts: BTreeSet<AccountId> = policies.iter().map(|p| p.account.clone()).collect();
    if accounts.len() > 1 {
        return Err(RightsError::SeveralAccounts(accounts));
    }
    if policies.is_empty() {
        return Err(RightsError::Nothing);
    }
    let mut grants = Grants::default();
    for policy in policies {
        for bucket in &policy.buckets {
            let arn = policy.partition.bucket_arn(&bucket.name);
            grants.bucket(policy, &arn, &BucketTemplate::of(bucket));
        }
        for selector in &policy.selectors {
            grants.selector(policy, selector);
        }
        for role in &policy.roles {
            grants.role(policy, role);
        }
        if !policy.aws_services().is_empty() {
            // Neither call can be narrowed to a resource that is known beforehand.
            grants.allow(
                "*",
                None,
                &["DescribeManagedPrefixLists", "GetManagedPrefixListEntries"],
            );
        }
    }
    Ok(grants.document())
}

/// Selectors that find buckets by tag alone: a policy for the operator can't be narrowed to what they will find, and covers
/// every bucket, or all of `allowedBuckets`.
pub fn selectors_without_prefix(policies: &[ValidatedPolicy]) -> Vec<String> {
    let of = |policy: &ValidatedPolicy| -> Vec<String> {
        let wide = policy.selectors.iter().filter(|s| s.name_prefix.is_none());
        wide.map(|s| format!("{}: bucketSelectors[{}]", policy.name, s.name))
            .collect()
    };
    policies.iter().flat_map(of).collect()
}

/// Actions by resource and boundary.
#[derive(Default)]
struct Grants {
    actions: BTreeMap<(String, Option<String>), BTreeSet<&'static str>>,
}

impl Grants {
    fn allow(&mut self, resource: &str, boundary: Option<&str>, operations: &[&str]) {
        let key = (resource.to_owned(), boundary.map(ToOwned::to_owned));
        self.actions
            .entry(key)
            .or_default()
            .extend(operations.iter().filter_map(|o| action_for(o)));
    }

    /// Neither call of the search can be narrowed to a resource; what it finds, to a prefix.
    fn selector(&mut self, policy: &ValidatedPolicy, selector: &SelectorTarget) {
        let SelectorTarget {
            name: _,
            name_prefix,
            match_tags,
            template,
        } = selector;
        self.allow("*", None, &["ListBuckets"]);
        if !match_tags.is_empty() {
            self.allow("*", None, &["GetResources"]);
        }
        let patterns: Vec<String> = match (name_prefix, &policy.settings.allowed_buckets) {
            (Some(prefix), _) => vec![format!("{prefix}*")],
            (None, Some(globs)) => globs.clone(),
            (None, None) => vec!["*".to_owned()],
        };
        for pattern in patterns {
            let arn = format!("arn:{}:s3:::{pattern}", policy.partition);
            self.bucket(policy, &arn, template);
        }
    }

    fn bucket(&mut self, policy: &ValidatedPolicy, arn: &str, asked: &BucketTemplate) {
        let BucketTemplate {
            encryption,
            transport,
            public_access,
            object_ownership,
            versioning,
            access_logging,
        } = asked;
        let writes = |gating: Option<Gating>| policy.mode == Mode::Enforce && gating == Some(Gating::Gating);
        let gating = |c: &Controlled<()>| c.gating;
        self.allow(arn, None, &["HeadBucket"]);
        // What is only reported, of every bucket.
        let reports = [
            "GetObjectLockConfiguration",
            "GetBucketLifecycleConfiguration",
            "GetBucketReplication",
        ];
        self.allow(arn, None, &reports);
        for (read, write, gating) in [
            (
                "GetBucketEncryption",
                "PutBucketEncryption",
                encryption.as_ref().map(|c| c.gating),
            ),
            (
                "GetPublicAccessBlock",
                "PutPublicAccessBlock",
                public_access.as_ref().map(gating),
            ),
            (
                "GetBucketVersioning",
                "PutBucketVersioning",
                versioning.as_ref().map(gating),
            ),
            (
                "GetBucketOwnershipControls",
                "PutBucketOwnershipControls",
                object_ownership.as_ref().map(gating),
            ),
            (
                "GetBucketLogging",
                "PutBucketLogging",
                access_logging.as_ref().map(|c| c.gating),
            ),
        ] {
            if gating.is_some() {
                self.allow(arn, None, &[read]);
            }
            if writes(gating) {
                self.allow(arn, None, &[write]);
            }
        }
        let log_bucket = access_logging.as_ref().and_then(|c| c.want.bucket.as_ref());
        if let Some(log_bucket) = log_bucket {
            // Whether it can take the logs.
            let reads = [
                "HeadBucket",
                "GetBucketPolicy",
                "GetBucketEncryption",
                "GetPublicAccessBlock",
                "GetBucketOwnershipControls",
                "GetBucketAcl",
                "GetBucketLogging",
            ];
            self.allow(&policy.partition.bucket_arn(log_bucket), None, &reads);
        }
        if public_access.is_some() {
            // Of the account, so of no resource.
            self.allow("*", None, &["GetAccountPublicAccessBlock"]);
        }
        if object_ownership.is_some() {
            self.allow(arn, None, &["GetBucketAcl"]);
        }
        let transport = transport.as_ref().map(|c| c.gating);
        let uploads = encryption
            .as_ref()
            .filter(|c| c.want.uploads != Uploads::Allow)
            .map(|c| c.gating);
        if encryption.is_some() || !policy.roles.is_empty() {
            self.allow(arn, None, &["GetBucketEncryption"]);
            self.keys(policy, encryption.as_ref());
        }
        if transport.is_some() || encryption.is_some() || public_access.is_some() || !policy.roles.is_empty() {
            self.allow(arn, None, &["GetBucketPolicy"]);
        }
        if writes(transport) || writes(uploads) || (policy.mode == Mode::Enforce && !policy.roles.is_empty()) {
            self.allow(arn, None, &["PutBucketPolicy"]);
            if policy.deletion_policy == DeletionPolicy::Revert {
                self.allow(arn, None, &["DeleteBucketPolicy"]);
            }
        }
    }

    /// Keys are read only: those of the account, whichever the bucket has now, and those that the policy names.
    fn keys(&mut self, policy: &ValidatedPolicy, encryption: Option<&Controlled<WantEncryption>>) {
        let reads = ["DescribeKey", "GetKeyRotationStatus", "GetKeyPolicy", "ListGrants"];
        let own = format!("arn:{}:kms:*:{}:key/*", policy.partition, policy.account);
        self.allow(&own, None, &reads);
        let own_key = format!(":{}:key/", policy.account);
        let named = encryption
            .iter()
            .flat_map(|c| c.want.kms_keys.values().chain(&c.want.kms_key_arn));
        for arn in named.filter(|arn| !arn.contains(&own_key)) {
            self.allow(arn, None, &reads);
        }
    }

    fn role(&mut self, policy: &ValidatedPolicy, role: &RoleTarget) {
        let arns = role_arns(policy, role);
        // The configuration's, else the policy's own.
        let boundary = role.permissions_boundary_arn.as_deref();
        for arn in &arns {
            self.allow(
                arn,
                None,
                &[
                    "GetRole",
                    "ListRolePolicies",
                    "GetRolePolicy",
                    "ListAttachedRolePolicies",
                ],
            );
        }
        // Whom the role can become depends on every other role. Neither call can be narrowed to a resource.
        self.allow("*", None, &["GetAccountAuthorizationDetails", "ListRoles"]);
        // Through which it could write, if it is another role than the policy's.
        let access_points = format!("arn:{}:s3:*:{}:accesspoint/*", policy.partition, policy.account);
        self.allow("*", None, &["ListAccessPoints"]);
        self.allow(&access_points, None, &["GetAccessPointPolicy"]);
        if let Some(cluster) = policy
            .settings
            .eks_cluster
            .as_ref()
            .filter(|c| c.account == policy.account)
        {
            let EksCluster {
                arn,
                region,
                account,
                name,
            } = cluster;
            self.allow(arn, None, &["ListPodIdentityAssociations"]);
            let any = format!(
                "arn:{}:eks:{region}:{account}:podidentityassociation/{name}/*",
                policy.partition
            );
            self.allow(&any, None, &["DescribePodIdentityAssociation"]);
        }
        // Whatever hangs on the role must be read, whoever made it.
        let any_policy = format!("arn:{}:iam::*:policy/*", policy.partition);
        self.allow(&any_policy, None, &["GetPolicy", "GetPolicyVersion"]);
        if policy.mode == Mode::Audit {
            return;
        }
        // Made, and deleted, is only what bears our path.
        let created = policy.created_role_arn(&role.name);
        self.allow(&created, boundary, &["CreateRole"]);
        if policy.deletion_policy == DeletionPolicy::Revert {
            self.allow(&created, None, &["DeleteRole"]);
        }
        let mut writes = vec![
            "TagRole",
            "UpdateAssumeRolePolicy",
            "UpdateRole",
            "PutRolePolicy",
            "PutRolePermissionsBoundary",
        ];
        if role.permissions_boundary_arn.is_none() {
            writes.retain(|w| *w != "PutRolePermissionsBoundary");
        }
        if !role.managed_policy_arns.is_empty() {
            writes.push("AttachRolePolicy");
        }
        if policy.deletion_policy == DeletionPolicy::Revert || role.foreign_policies == ForeignPolicies::Detach {
            writes.extend(["DeleteRolePolicy", "DetachRolePolicy"]);
        }
        let bound = |operation: &&str| action_for(operation).is_some_and(|a| BOUND.contains(&a));
        let (bound, free): (Vec<&str>, Vec<&str>) = writes.into_iter().partition(bound);
        for arn in &arns {
            self.allow(arn, None, &free);
            self.allow(arn, boundary, &bound);
        }
    }

    /// Resources with the same actions share a statement.
    fn document(self) -> Value {
        let mut shared: BTreeMap<(BTreeSet<&'static str>, Option<String>), BTreeSet<String>> = BTreeMap::new();
        for ((resource, boundary), actions) in self.actions {
            shared.entry((actions, boundary)).or_default().insert(resource);
        }
        let statements: Vec<Value> = shared
            .into_iter()
            .filter(|((actions, _), _)| !actions.is_empty())
            .map(statement)
            .collect();
        json!({"Version": "2012-10-17", "Statement": statements})
    }
}

/// Where the role may be. One that is taken over keeps its path, which only IAM knows; its name is unique in the account.
fn role_arns(policy: &ValidatedPolicy, role: &RoleTarget) -> Vec<String> {
    let RoleTarget { name, adoption, .. } = role;
    match adoption {
        Adoption::Never => vec![policy.role_arn(name)],
        Adoption::Tagged => ["", "*/"]
            .map(|path| format!("arn:{}:iam::{}:role/{path}{name}", policy.partition, policy.account))
            .into(),
    }
}

fn statement(((actions, boundary), resources): ((BTreeSet<&'static str>, Option<String>), BTreeSet<String>)) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
    if let (Some(boundary), Value::Object(fields)) = (boundary, &mut statement) {
        fields.insert(
            "Condition".to_owned(),
            json!({"StringEquals": {"iam:PermissionsBoundary": boundary}}),
        );
    }
    statement
}

#[cfg(test)]
mod tests;
