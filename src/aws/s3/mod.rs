//! Reads of buckets. Every call says whose bucket it expects (`ExpectedBucketOwner`): bucket names are global, and a bucket
//! that was deleted can come back as a stranger's. With the account guard off none does: S3 servers that know no accounts
//! refuse what names one.

mod details;
mod ownership;
mod settings;
mod versioning;

pub(in crate::aws) use settings::not_the_owner;
pub(in crate::aws) use versioning::Versioning;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use super::classify::Failure;
use super::service::Service;
use super::session::AccountSession;
use crate::domain::names::{AccountId, BucketName, Region};
use crate::domain::observed::{
    AccessLoggingState, BucketAcl, BucketDetails, BucketObservation, EncryptionState, ErrorClass, ExpiryRule,
    ObjectLock, ObjectOwnershipState, PublicAccessBlock, Read, ReplicationDestination,
};

/// How long a region that S3 named is taken for granted; a wrong one is found out by the redirect anyway.
const REGION_AGE: Duration = Duration::from_mins(10);

/// How old a reading may be that is only reported, not enforced: twelve sweeps at the default interval.
pub(super) const OCCASIONAL_AGE: Duration = Duration::from_hours(1);

/// How often a setting is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cadence {
    /// Not at all.
    #[default]
    Never,
    /// As often as everything that is enforced.
    EverySweep,
    /// Once an hour, or when everything is asked for afresh.
    Occasionally,
}

impl Cadence {
    pub(super) fn age(self, max_age: Duration) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::EverySweep => Some(max_age),
            Self::Occasionally if max_age.is_zero() => Some(max_age),
            Self::Occasionally => Some(OCCASIONAL_AGE.max(max_age)),
        }
    }
}

/// Which settings of a bucket are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct BucketReads {
    /// `GetBucketEncryption`.
    pub encryption: bool,
    /// `GetBucketPolicy`.
    pub policy: bool,
    /// `GetPublicAccessBlock`.
    pub public_access_block: bool,
    /// `GetBucketOwnershipControls`; with ACLs on also `GetBucketAcl`.
    pub object_ownership: Cadence,
    /// `GetBucketVersioning`.
    pub versioning: bool,
    /// `GetBucketLogging`.
    pub access_logging: Cadence,
    /// What is only ever reported: Object Lock, lifecycle, replication.
    pub details: Cadence,
}

/// A bucket as it is asked for: in one region, as one owner's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// None with the account guard off.
    owner: Option<AccountId>,
    pub bucket: BucketName,
    pub region: Region,
}

impl Place {
    /// For the calls' `ExpectedBucketOwner`.
    pub fn expected_owner(&self) -> Option<String> {
        self.owner.as_ref().map(ToString::to_string)
    }
}

/// Settings as they came in, before a redirect is looked for.
struct Settings {
    encryption: Option<Result<EncryptionState, Failure>>,
    policy: Option<Result<Option<String>, Failure>>,
    public_access_block: Option<Result<Option<PublicAccessBlock>, Failure>>,
    object_ownership: Option<Result<Option<ObjectOwnershipState>, Failure>>,
    acl: Option<Result<BucketAcl, Failure>>,
    versioning: Option<Result<Versioning, Failure>>,
    access_logging: Option<Result<Option<AccessLoggingState>, Failure>>,
    object_lock: Option<Result<Option<ObjectLock>, Failure>>,
    expiry_rules: Option<Result<Vec<ExpiryRule>, Failure>>,
    replication: Option<Result<BTreeSet<ReplicationDestination>, Failure>>,
}

impl Settings {
    fn failures(&self) -> impl Iterator<Item = &Failure> {
        let Self {
            encryption,
            policy,
            public_access_block,
            object_ownership,
            acl,
            versioning,
            access_logging,
            object_lock,
            expiry_rules,
            replication,
        } = self;
        [
            encryption.as_ref().and_then(|r| r.as_ref().err()),
            policy.as_ref().and_then(|r| r.as_ref().err()),
            public_access_block.as_ref().and_then(|r| r.as_ref().err()),
            object_ownership.as_ref().and_then(|r| r.as_ref().err()),
            acl.as_ref().and_then(|r| r.as_ref().err()),
            versioning.as_ref().and_then(|r| r.as_ref().err()),
            access_logging.as_ref().and_then(|r| r.as_ref().err()),
            object_lock.as_ref().and_then(|r| r.as_ref().err()),
            expiry_rules.as_ref().and_then(|r| r.as_ref().err()),
            replication.as_ref().and_then(|r| r.as_ref().err()),
        ]
        .into_iter()
        .flatten()
    }
}

impl AccountSession {
    /// Reads a bucket: one call for each wanted setting, all at once. S3 is asked for the region only where `known_region`
    /// is None or turns out to be wrong. Nothing read is older than `max_age`.
    pub async fn observe_bucket(
        &self,
        bucket: &BucketName,
        reads: BucketReads,
        known_region: Option<&Region>,
        max_age: Duration,
    ) -> BucketObservation {
        let region = match known_region {
            Some(region) => Ok(region.clone()),
            None => self.bucket_region(bucket, REGION_AGE.min(max_age)).await,
        };
        let region = match region {
            Ok(region) => region,
            Err(failure) => return unreachable_bucket(reads, failure),
        };
        let settings = self.settings(bucket, &region, reads, max_age).await;
        if !settings.failures().any(|f| f.redirect) {
            return observation(region, settings);
        }
        let actual = match self.bucket_region(bucket, Duration::ZERO).await {
            Ok(actual) => actual,
            Err(failure) => return unreachable_bucket(reads, failure),
        };
        if actual == region {
            return observation(region, settings);
        }
        let settings = self.settings(bucket, &actual, reads, max_age).await;
        observation(actual, settings)
    }

    async fn settings(&self, bucket: &BucketName, region: &Region, reads: BucketReads, max_age: Duration) -> Settings {
        let at = self.place(bucket, region);
        let kept = &self.shared.readings;
        let (encryption, policy, public_access_block, object_ownership, versioning, access_logging) = futures::join!(
            wanted(
                reads.encryption,
                kept.encryption.get(&at, max_age, || self.get_bucket_encryption(&at))
            ),
            wanted(
                reads.policy,
                kept.policy.get(&at, max_age, || self.get_bucket_policy(&at))
            ),
            wanted(
                reads.public_access_block,
                kept.public_access_block
                    .get(&at, max_age, || self.get_public_access_block(&at)),
            ),
            at_times(reads.object_ownership.age(max_age), |age| {
                kept.object_ownership
                    .get(&at, age, || self.get_bucket_ownership_controls(&at))
            }),
            wanted(
                reads.versioning,
                kept.versioning.get(&at, max_age, || self.get_bucket_versioning(&at))
            ),
            at_times(reads.access_logging.age(max_age), |age| {
                kept.access_logging.get(&at, age, || self.get_bucket_logging(&at))
            }),
        );
        // Without ACLs there is nothing to ask about them.
        let acls_are_on =
            |state: &Option<ObjectOwnershipState>| *state != Some(ObjectOwnershipState::BucketOwnerEnforced);
        let acls_are_on = matches!(&object_ownership, Some(Ok(state)) if acls_are_on(state));
        let age = reads.object_ownership.age(max_age).filter(|_| acls_are_on);
        let acl = at_times(age, |age| kept.acl.get(&at, age, || self.get_bucket_acl(&at))).await;
        let age = reads.details.age(max_age);
        let (object_lock, expiry_rules, replication) = futures::join!(
            at_times(age, |age| kept
                .object_lock
                .get(&at, age, || self.get_object_lock_configuration(&at))),
            at_times(age, |age| {
                kept.expiry_rules
                    .get(&at, age, || self.get_bucket_lifecycle_configuration(&at))
            }),
            at_times(age, |age| kept
                .replication
                .get(&at, age, || self.get_bucket_replication(&at))),
        );
        Settings {
            encryption,
            policy,
            public_access_block,
            object_ownership,
            acl,
            versioning,
            access_logging,
            object_lock,
            expiry_rules,
            replication,
        }
    }

    pub(super) fn place(&self, bucket: &BucketName, region: &Region) -> Place {
        Place {
            owner: self.bucket_owner().cloned(),
            bucket: bucket.clone(),
            region: region.clone(),
        }
    }

    async fn bucket_region(&self, bucket: &BucketName, max_age: Duration) -> Result<Region, Failure> {
        let key = (self.account.clone(), bucket.clone());
        let kept = &self.shared.readings;
        kept.regions.get(&key, max_age, || self.head_bucket(bucket)).await
    }

    /// The bucket's region. S3 names it in the header of every answer, also where it refuses or redirects.
    async fn head_bucket(&self, bucket: &BucketName) -> Result<Region, Failure> {
        const OPERATION: &str = "HeadBucket";
        let request = self
            .home_clients()
            .s3
            .head_bucket()
            .bucket(bucket.as_str())
            .set_expected_bucket_owner(self.bucket_owner().map(ToString::to_string));
        let region = match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => match output.bucket_region() {
                Some(name) => Region::new(name).map_err(|_| Failure::incomplete(OPERATION, "readable region"))?,
                // An S3-compatible server that knows no regions.
                None => self.home.clone(),
            },
            Err(failure) if failure.error.class == ErrorClass::NotFound => {
                return Err(failure);
            }
            Err(failure) => failure.region.clone().ok_or(failure)?,
        };
        if region.partition() == self.home.partition() {
            Ok(region)
        } else {
            let message = format!("the bucket is in {region}, outside the account's partition");
            Err(Failure::new(OPERATION, ErrorClass::Terminal, message))
        }
    }
}

async fn at_times<T, F: Future<Output = T>>(age: Option<Duration>, reading: impl FnOnce(Duration) -> F) -> Option<T> {
    match age {
        Some(age) => Some(reading(age).await),
        None => None,
    }
}

pub(super) async fn wanted<T>(is_wanted: bool, reading: impl Future<Output = T>) -> Option<T> {
    if is_wanted { Some(reading.await) } else { None }
}

fn observation(region: Region, settings: Settings) -> BucketObservation {
    // The bucket is gone: then it has no region either.
    let gone = settings.failures().find(|f| f.has_code("NoSuchBucket")).cloned();
    let Settings {
        encryption,
        policy,
        public_access_block,
        object_ownership,
        acl,
        versioning,
        access_logging,
        object_lock,
        expiry_rules,
        replication,
    } = settings;
    // It comes with the versioning, and is judged with the details.
    let mfa_delete = versioning.clone().filter(|_| object_lock.is_some());
    BucketObservation {
        region: gone.map_or(Ok(region), |failure| Err(failure.error)),
        encryption: encryption.map(public),
        policy: policy.map(public),
        public_access_block: public_access_block.map(public),
        object_ownership: object_ownership.map(public),
        acl: acl.map(public),
        versioning: versioning.map(|read| public(read.map(|v| v.state))),
        access_logging: access_logging.map(public),
        details: BucketDetails {
            object_lock: object_lock.map(public),
            mfa_delete: mfa_delete.map(|read| public(read.map(|v| v.mfa_delete))),
            expiry_rules: expiry_rules.map(public),
            replication: replication.map(public),
        },
    }
}

fn public<T>(reading: Result<T, Failure>) -> Read<T> {
    reading.map_err(Into::into)
}

/// The region cannot be had, so nothing else was asked for.
fn unreachable_bucket(reads: BucketReads, failure: Failure) -> BucketObservation {
    let error = failure.error;
    let BucketReads {
        encryption,
        policy,
        public_access_block,
        object_ownership,
        versioning,
        access_logging,
        details,
    } = reads;
    BucketObservation {
        encryption: encryption.then(|| Err(error.clone())),
        policy: policy.then(|| Err(error.clone())),
        public_access_block: public_access_block.then(|| Err(error.clone())),
        object_ownership: (object_ownership != Cadence::Never).then(|| Err(error.clone())),
        acl: None,
        versioning: versioning.then(|| Err(error.clone())),
        access_logging: (access_logging != Cadence::Never).then(|| Err(error.clone())),
        details: BucketDetails {
            object_lock: (details != Cadence::Never).then(|| Err(error.clone())),
            mfa_delete: None,
            expiry_rules: (details != Cadence::Never).then(|| Err(error.clone())),
            replication: (details != Cadence::Never).then(|| Err(error.clone())),
        },
        region: Err(error),
    }
}
