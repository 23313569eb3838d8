//! Reads of buckets. Every call says whose bucket it expects (`ExpectedBucketOwner`): bucket names are global, and a bucket
//! that was deleted can come back as a stranger's.

use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::types::{BucketVersioningStatus, ServerSideEncryptionRule};

use super::call::Service;
use super::classify::Failure;
use super::session::AccountSession;
use crate::domain::names::{AccountId, BucketName, Region};
use crate::domain::observed::{
    BucketObservation, EncryptionRule, EncryptionState, ErrorClass, PublicAccessBlock, Read, VersioningState,
};

/// How long a region that S3 named is taken for granted; a wrong one is found out by the redirect anyway.
const REGION_AGE: Duration = Duration::from_mins(10);

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
    /// `GetBucketVersioning`.
    pub versioning: bool,
}

/// A bucket as it is asked for: in one region, as one owner's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub owner: AccountId,
    pub bucket: BucketName,
    pub region: Region,
}

/// Settings as they came in, before a redirect is looked for.
struct Settings {
    encryption: Option<Result<EncryptionState, Failure>>,
    policy: Option<Result<Option<String>, Failure>>,
    public_access_block: Option<Result<Option<PublicAccessBlock>, Failure>>,
    versioning: Option<Result<VersioningState, Failure>>,
}

impl Settings {
    fn failures(&self) -> impl Iterator<Item = &Failure> {
        let Self {
            encryption,
            policy,
            public_access_block,
            versioning,
        } = self;
        [
            encryption.as_ref().and_then(|r| r.as_ref().err()),
            policy.as_ref().and_then(|r| r.as_ref().err()),
            public_access_block.as_ref().and_then(|r| r.as_ref().err()),
            versioning.as_ref().and_then(|r| r.as_ref().err()),
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
        let (encryption, policy, public_access_block, versioning) = futures::join!(
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
            wanted(
                reads.versioning,
                kept.versioning.get(&at, max_age, || self.get_bucket_versioning(&at))
            ),
        );
        Settings {
            encryption,
            policy,
            public_access_block,
            versioning,
        }
    }

    pub(super) fn place(&self, bucket: &BucketName, region: &Region) -> Place {
        Place {
            owner: self.account.clone(),
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
            .expected_bucket_owner(self.account.as_str());
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

    pub(super) async fn get_bucket_encryption(&self, at: &Place) -> Result<EncryptionState, Failure> {
        const OPERATION: &str = "GetBucketEncryption";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_encryption()
            .bucket(at.bucket.as_str())
            .expected_bucket_owner(at.owner.as_str());
        match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => match output.server_side_encryption_configuration() {
                Some(found) => Ok(EncryptionState::Rules(
                    found.rules().iter().map(encryption_rule).collect(),
                )),
                None => Err(Failure::incomplete(OPERATION, "encryption configuration")),
            },
            Err(failure) if failure.has_code("ServerSideEncryptionConfigurationNotFoundError") => {
                Ok(EncryptionState::Implicit)
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn get_bucket_policy(&self, at: &Place) -> Result<Option<String>, Failure> {
        const OPERATION: &str = "GetBucketPolicy";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_policy()
            .bucket(at.bucket.as_str())
            .expected_bucket_owner(at.owner.as_str());
        match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => match output.policy {
                Some(policy) => Ok(Some(policy)),
                None => Err(Failure::incomplete(OPERATION, "policy")),
            },
            Err(failure) if failure.has_code("NoSuchBucketPolicy") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn get_public_access_block(&self, at: &Place) -> Result<Option<PublicAccessBlock>, Failure> {
        const OPERATION: &str = "GetPublicAccessBlock";
        let request = self
            .clients(&at.region)
            .s3
            .get_public_access_block()
            .bucket(at.bucket.as_str())
            .expected_bucket_owner(at.owner.as_str());
        match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => match output.public_access_block_configuration() {
                Some(found) => Ok(Some(PublicAccessBlock {
                    block_public_acls: found.block_public_acls() == Some(true),
                    ignore_public_acls: found.ignore_public_acls() == Some(true),
                    block_public_policy: found.block_public_policy() == Some(true),
                    restrict_public_buckets: found.restrict_public_buckets() == Some(true),
                })),
                None => Err(Failure::incomplete(OPERATION, "configuration")),
            },
            Err(failure) if failure.has_code("NoSuchPublicAccessBlockConfiguration") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn get_bucket_versioning(&self, at: &Place) -> Result<VersioningState, Failure> {
        const OPERATION: &str = "GetBucketVersioning";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_versioning()
            .bucket(at.bucket.as_str())
            .expected_bucket_owner(at.owner.as_str());
        let output = self.shared.caller.read(Service::S3, OPERATION, request.send()).await?;
        match output.status() {
            None => Ok(VersioningState::Unversioned),
            Some(BucketVersioningStatus::Enabled) => Ok(VersioningState::Enabled),
            Some(BucketVersioningStatus::Suspended) => Ok(VersioningState::Suspended),
            Some(_) => Err(Failure::incomplete(OPERATION, "status that is known")),
        }
    }
}

async fn wanted<T>(is_wanted: bool, reading: impl Future<Output = T>) -> Option<T> {
    if is_wanted { Some(reading.await) } else { None }
}

fn encryption_rule(rule: &ServerSideEncryptionRule) -> EncryptionRule {
    let by_default = rule.apply_server_side_encryption_by_default();
    EncryptionRule {
        algorithm: by_default.map(|d| d.sse_algorithm().as_str().to_owned()),
        kms_key_id: by_default.and_then(|d| d.kms_master_key_id()).map(str::to_owned),
        bucket_key_enabled: rule.bucket_key_enabled(),
        blocked_encryption_types: rule.blocked_encryption_types().map(|blocked| {
            blocked
                .encryption_type()
                .iter()
                .map(|t| t.as_str().to_owned())
                .collect()
        }),
    }
}

fn observation(region: Region, settings: Settings) -> BucketObservation {
    // The bucket is gone: then it has no region either.
    let gone = settings.failures().find(|f| f.has_code("NoSuchBucket")).cloned();
    let Settings {
        encryption,
        policy,
        public_access_block,
        versioning,
    } = settings;
    BucketObservation {
        region: gone.map_or(Ok(region), |failure| Err(failure.error)),
        encryption: encryption.map(public),
        policy: policy.map(public),
        public_access_block: public_access_block.map(public),
        versioning: versioning.map(public),
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
        versioning,
    } = reads;
    BucketObservation {
        encryption: encryption.then(|| Err(error.clone())),
        policy: policy.then(|| Err(error.clone())),
        public_access_block: public_access_block.then(|| Err(error.clone())),
        versioning: versioning.then(|| Err(error.clone())),
        region: Err(error),
    }
}
