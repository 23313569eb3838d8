//! What the proof is given: documents and settings as they were read, and what could not be read.

use crate::domain::iam::compiled::Policy;
use crate::domain::iam::principal::Caller;

/// Something that bears on the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence<T> {
    /// It was read, whole.
    Seen(T),
    /// It could not be read, or not be understood, for this reason: it may say anything.
    Missing(String),
    /// It is not part of the question, as in a question about files: it is taken to give nothing.
    Outside,
}

impl<T> Evidence<T> {
    /// What was read.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::Missing(_) | Self::Outside => None,
        }
    }
}

/// A role, as far as it bears on what its credentials can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// Who it is: a role without a session name.
    pub caller: Caller,
    /// Its inline and attached policies.
    pub identity: Vec<Evidence<Policy>>,
    /// Its permissions boundary. One that can't be read is none here: it could only take away.
    pub boundary: Option<Policy>,
    /// Its trust policy; needed of every role but the one to prove.
    pub trust: Evidence<Policy>,
}

impl RoleFacts {
    /// The role's ARN (its session's, where the path is unknown).
    pub fn arn(&self) -> String {
        self.caller.principal_arn().unwrap_or_else(|| self.caller.to_string())
    }
}

/// A protected bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketFacts {
    /// ARN, e.g. `arn:aws:s3:::train-data`.
    pub arn: String,
    /// Bucket policy; `Seen(None)` where it has none.
    pub policy: Evidence<Option<Policy>>,
    /// Access control lists.
    pub acl: Evidence<AclFacts>,
}

/// Whether access control lists give anything, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclFacts {
    /// Object ownership is BucketOwnerEnforced, or public ACLs are ignored (the bucket's block on public access or the
    /// account's): no ACL gives anything to a role.
    Disabled,
    /// They count.
    Enabled {
        /// Grants on the bucket.
        grants: Vec<AclGrant>,
    },
}

/// One grant of a bucket's ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclGrant {
    /// To whom.
    pub grantee: AclGrantee,
    /// What.
    pub permission: AclPermission,
}

/// To whom an ACL grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclGrantee {
    /// `http://acs.amazonaws.com/groups/global/AllUsers`.
    AllUsers,
    /// `http://acs.amazonaws.com/groups/global/AuthenticatedUsers`: any AWS credentials, our roles' too.
    AuthenticatedUsers,
    /// An account, or log delivery. An account's roles still need a policy of their own.
    Other,
}

/// What an ACL grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclPermission {
    /// `READ`.
    Read,
    /// `WRITE`.
    Write,
    /// `READ_ACP`.
    ReadAcp,
    /// `WRITE_ACP`.
    WriteAcp,
    /// `FULL_CONTROL`.
    FullControl,
}

/// An access point of a protected bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPointFacts {
    /// ARN.
    pub arn: String,
    /// Its policy; `Seen(None)` where it has none.
    pub policy: Evidence<Option<Policy>>,
}

/// A KMS key that protected data is encrypted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Key ARN.
    pub arn: String,
    /// Key policy.
    pub policy: Evidence<Policy>,
    /// Grants (`ListGrants`).
    pub grants: Evidence<Vec<KeyGrant>>,
}

/// A grant on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    /// `GranteePrincipal`.
    pub grantee: String,
    /// `Operations`, e.g. `Decrypt`.
    pub operations: Vec<String>,
}

/// Everything the proof looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofInput {
    /// The role to prove.
    pub role: RoleFacts,
    /// The buckets that it must not change.
    pub buckets: Vec<BucketFacts>,
    /// The keys of those buckets.
    pub keys: Evidence<Vec<KeyFacts>>,
    /// Their access points, of every account.
    pub access_points: Evidence<Vec<AccessPointFacts>>,
    /// Every other role of the account.
    pub roles: Evidence<Vec<RoleFacts>>,
    /// Service control policies of the role's account, and resource control policies of the buckets' and keys', that surely
    /// apply; only their Denies are used. Resource control policies close nothing else: AWS has them for a few services
    /// only, and access points may lie in other organizations.
    pub organization: Vec<Policy>,
}
