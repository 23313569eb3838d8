//! A finding: one thing that is not as it should be, as data. The operator puts it on the object, `aidp plan` prints it.

use std::fmt;

use super::control::{Control, Part};
use super::names::{BucketName, RoleName};
use crate::api::{Gating, Severity};

/// What a finding, an action or a claim is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A bucket.
    Bucket(BucketName),
    /// A bucket selector, by name.
    BucketSelector(String),
    /// A role.
    Role(RoleName),
    /// An egress rule, in one namespace or (None) as a whole.
    Egress {
        /// Name of the rule.
        rule: String,
        /// Namespace, if the matter is of one namespace.
        namespace: Option<String>,
    },
}

impl Target {
    /// The promise this target belongs to.
    pub const fn part(&self) -> Part {
        match self {
            Self::Bucket(_) | Self::BucketSelector(_) => Part::Buckets,
            Self::Role(_) => Part::Roles,
            Self::Egress { .. } => Part::Egress,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(name) => write!(f, "bucket/{name}"),
            Self::BucketSelector(name) => write!(f, "bucketSelector/{name}"),
            Self::Role(name) => write!(f, "role/{name}"),
            Self::Egress { rule, namespace: None } => write!(f, "egress/{rule}"),
            Self::Egress {
                rule,
                namespace: Some(namespace),
            } => write!(f, "egress/{rule}/{namespace}"),
        }
    }
}

/// Why a human is needed; the word that becomes the reason of `Ready` and `Stalled`. A closed set: it is a metric label.
/// In order of urgency: the first of several becomes the condition's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HumanReason {
    /// AWS or Kubernetes refused the operator.
    AccessDenied,
    /// Another policy, cluster or owner holds the target.
    Conflict,
    /// The bucket does not exist.
    BucketMissing,
    /// A bucket selector can't be used as it is: it finds too many buckets, or the server refuses the search for good.
    SelectorUnusable,
    /// The stored bucket policy is not in the policy grammar.
    PolicyUnparsable,
    /// The merged bucket policy would exceed AWS's limit.
    PolicyTooLarge,
    /// A foreign statement makes every write of the bucket policy fail.
    ForeignPolicyUnwritable,
    /// The write would lock the operator out.
    WouldLockOut,
    /// A role of this name exists and is not ours.
    AdoptionRefused,
    /// No configured key for the bucket's region, or the roles could not use it.
    KeyNotUsable,
    /// A key that the data is encrypted with is switched off, about to be deleted, or gone.
    KeyAtRisk,
    /// The bucket that access logs are to go to can't take them.
    LogTargetUnusable,
    /// The bucket's encryption is of a kind that this version does not know, so that it can't be called weaker.
    UnknownAlgorithm,
    /// ACL grants let others in, and would be lost.
    AclInUse,
    /// The rule would cut pods off from their own credentials.
    BlocksOwnCredentials,
    /// A namespace that may not be restricted.
    NamespaceRefused,
    /// A write was accepted and is not visible.
    WriteNotObserved,
    /// Somebody reverts our repairs.
    ConflictingWriter,
    /// The role's credentials can change the data.
    NotReadOnly,
    /// Read-only could not be proven.
    NotProven,
    /// What other policies let out is not known.
    NotAnalysed,
    /// Other policies, or none, let pods out further than their rule.
    EgressExceeded,
    /// Nothing enforces NetworkPolicy, or not as strongly as asked.
    NotEnforced,
    /// It is not known what enforces NetworkPolicy.
    EnforcerUnknown,
    /// AWS refused a write for another reason.
    WriteRefused,
    /// Something of ours that left the spec and stays.
    Orphaned,
}

impl HumanReason {
    /// As a condition reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::Conflict => "Conflict",
            Self::BucketMissing => "BucketMissing",
            Self::SelectorUnusable => "SelectorUnusable",
            Self::PolicyUnparsable => "PolicyUnparsable",
            Self::PolicyTooLarge => "PolicyTooLarge",
            Self::ForeignPolicyUnwritable => "ForeignPolicyUnwritable",
            Self::WouldLockOut => "WouldLockOut",
            Self::AdoptionRefused => "AdoptionRefused",
            Self::KeyNotUsable => "KeyNotUsable",
            Self::KeyAtRisk => "KeyAtRisk",
            Self::LogTargetUnusable => "LogTargetUnusable",
            Self::UnknownAlgorithm => "UnknownAlgorithm",
            Self::AclInUse => "AclInUse",
            Self::BlocksOwnCredentials => "BlocksOwnCredentials",
            Self::NamespaceRefused => "NamespaceRefused",
            Self::WriteNotObserved => "WriteNotObserved",
            Self::ConflictingWriter => "ConflictingWriter",
            Self::NotReadOnly => "NotReadOnly",
            Self::NotProven => "NotProven",
            Self::NotAnalysed => "NotAnalysed",
            Self::EgressExceeded => "EgressExceeded",
            Self::NotEnforced => "NotEnforced",
            Self::EnforcerUnknown => "EnforcerUnknown",
            Self::WriteRefused => "WriteRefused",
            Self::Orphaned => "Orphaned",
        }
    }

    /// Whether the finding says that the state is *unknown* rather than wrong (part condition Unknown instead of False).
    pub const fn is_unknown(self) -> bool {
        match self {
            Self::AccessDenied
            | Self::SelectorUnusable
            | Self::PolicyUnparsable
            | Self::NotProven
            | Self::NotAnalysed
            | Self::EnforcerUnknown => true,
            Self::Conflict
            | Self::BucketMissing
            | Self::PolicyTooLarge
            | Self::ForeignPolicyUnwritable
            | Self::WouldLockOut
            | Self::AdoptionRefused
            | Self::KeyNotUsable
            | Self::KeyAtRisk
            | Self::LogTargetUnusable
            | Self::UnknownAlgorithm
            | Self::AclInUse
            | Self::BlocksOwnCredentials
            | Self::NamespaceRefused
            | Self::WriteNotObserved
            | Self::ConflictingWriter
            | Self::NotReadOnly
            | Self::EgressExceeded
            | Self::NotEnforced
            | Self::WriteRefused
            | Self::Orphaned => false,
        }
    }
}

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// Somebody must act; the operator can't or mustn't.
    NeedsHuman(HumanReason),
    /// The plan carries the action that repairs it (in Audit: would).
    Repair,
    /// It could not be read for a passing reason (throttled, time-out, 5xx); says nothing about the state.
    Unobserved,
    /// Worth knowing, nothing follows.
    Note,
}

/// One thing that is not as it should be. Strings may be of any length here; the report shortens them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Control.
    pub control: Control,
    /// Severity.
    pub severity: Severity,
    /// What it is about.
    pub target: Target,
    /// Setting, e.g. `encryption.algorithm`.
    pub path: String,
    /// Wanted value.
    pub want: String,
    /// Value found.
    pub have: String,
    /// One sentence, with the way out.
    pub message: String,
    /// Whether it holds Ready back.
    pub gating: Gating,
    /// What follows.
    pub disposition: Disposition,
    /// Who caused it, where that is known (Kubernetes field manager).
    pub actor: Option<String>,
}

/// What makes two findings of different sweeps the same drift.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// Control id.
    pub control: &'static str,
    /// Target, as text.
    pub resource: String,
    /// Setting.
    pub path: String,
}

impl Finding {
    /// A finding of a control's own severity, without actor.
    pub fn new(control: Control, target: Target, gating: Gating, disposition: Disposition) -> Self {
        Self {
            control,
            severity: control.info().severity,
            target,
            path: String::new(),
            want: String::new(),
            have: String::new(),
            message: String::new(),
            gating,
            disposition,
            actor: None,
        }
    }

    /// With path, wanted and found value.
    #[must_use]
    pub fn diff(mut self, path: impl Into<String>, want: impl Into<String>, have: impl Into<String>) -> Self {
        self.path = path.into();
        self.want = want.into();
        self.have = have.into();
        self
    }

    /// With a sentence.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Identity over time.
    pub fn key(&self) -> FindingKey {
        FindingKey {
            control: self.control.id(),
            resource: self.target.to_string(),
            path: self.path.clone(),
        }
    }
}
