//! Settings of a bucket that are reported and never written.

use std::collections::BTreeSet;

use super::Read;

/// Readings of a bucket that are only reported; None = not read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BucketDetails {
    /// `GetObjectLockConfiguration`; `Ok(None)` = off.
    pub object_lock: Option<Read<Option<ObjectLock>>>,
    /// MFA delete, as `GetBucketVersioning` says; no read of its own.
    pub mfa_delete: Option<Read<bool>>,
    /// Rules of `GetBucketLifecycleConfiguration` that expire objects; empty = none.
    pub expiry_rules: Option<Read<Vec<ExpiryRule>>>,
    /// `GetBucketReplication`: the rules' destinations; empty = no replication.
    pub replication: Option<Read<BTreeSet<ReplicationDestination>>>,
}

/// Object Lock of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Default retention; None = each object says for itself.
    pub default_retention: Option<Retention>,
}

/// A default retention: `mode` and one of days and years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: Option<String>,
    /// Days.
    pub days: Option<i32>,
    /// Years.
    pub years: Option<i32>,
}

/// An enabled lifecycle rule that removes objects or versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryRule {
    /// Id, if it has one.
    pub id: Option<String>,
    /// Current versions expire after so many days.
    pub current_after_days: Option<i32>,
    /// Current versions expire on a date.
    pub current_on_date: bool,
    /// Noncurrent versions expire after so many days.
    pub noncurrent_after_days: Option<i32>,
}

/// Where an enabled replication rule copies objects to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicationDestination {
    /// ARN of the bucket.
    pub bucket_arn: String,
    /// Account that owns it, where the rule says so.
    pub account: Option<String>,
}
