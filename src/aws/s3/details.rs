//! Settings of a bucket that are only reported, one read each.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{
    ExpirationStatus, LifecycleExpiration, LifecycleRule, NoncurrentVersionExpiration, ObjectLockEnabled,
    ReplicationRuleStatus,
};

use super::Place;
use crate::aws::classify::Failure;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::observed::{ExpiryRule, ObjectLock, ReplicationDestination, Retention};

impl AccountSession {
    pub(in crate::aws) async fn get_object_lock_configuration(
        &self,
        at: &Place,
    ) -> Result<Option<ObjectLock>, Failure> {
        const OPERATION: &str = "GetObjectLockConfiguration";
        let request = self
            .clients(&at.region)
            .s3
            .get_object_lock_configuration()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let output = match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.has_code("ObjectLockConfigurationNotFoundError") => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let lock = output.object_lock_configuration();
        let lock = lock.ok_or_else(|| Failure::incomplete(OPERATION, "configuration"))?;
        let retention = lock.rule().and_then(|rule| rule.default_retention());
        let is_on = lock.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled);
        Ok(is_on.then(|| ObjectLock {
            default_retention: retention.map(|r| Retention {
                mode: r.mode().map(|mode| mode.as_str().to_owned()),
                days: r.days(),
                years: r.years(),
            }),
        }))
    }

    pub(in crate::aws) async fn get_bucket_lifecycle_configuration(
        &self,
        at: &Place,
    ) -> Result<Vec<ExpiryRule>, Failure> {
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_lifecycle_configuration()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let read = self
            .shared
            .caller
            .read(Service::S3, "GetBucketLifecycleConfiguration", request.send());
        match read.await {
            Ok(output) => Ok(output.rules().iter().filter_map(expiry_rule).collect()),
            Err(failure) if failure.has_code("NoSuchLifecycleConfiguration") => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    pub(in crate::aws) async fn get_bucket_replication(
        &self,
        at: &Place,
    ) -> Result<BTreeSet<ReplicationDestination>, Failure> {
        const OPERATION: &str = "GetBucketReplication";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_replication()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let output = match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.has_code("ReplicationConfigurationNotFoundError") => return Ok(BTreeSet::new()),
            Err(failure) => return Err(failure),
        };
        let configuration = output.replication_configuration();
        let configuration = configuration.ok_or_else(|| Failure::incomplete(OPERATION, "configuration"))?;
        let enabled = configuration.rules().iter();
        let enabled = enabled.filter(|rule| *rule.status() != ReplicationRuleStatus::Disabled);
        Ok(enabled
            .filter_map(|rule| rule.destination())
            .map(|destination| ReplicationDestination {
                bucket_arn: destination.bucket().to_owned(),
                account: destination.account().map(str::to_owned),
            })
            .collect())
    }
}

/// The rule, if it is in force and removes anything.
fn expiry_rule(rule: &LifecycleRule) -> Option<ExpiryRule> {
    let current = rule.expiration();
    let found = ExpiryRule {
        id: rule.id().map(str::to_owned),
        current_after_days: current.and_then(LifecycleExpiration::days),
        current_on_date: current.is_some_and(|e| e.date().is_some()),
        noncurrent_after_days: rule
            .noncurrent_version_expiration()
            .and_then(NoncurrentVersionExpiration::noncurrent_days),
    };
    let removes = found.current_after_days.is_some() || found.current_on_date || found.noncurrent_after_days.is_some();
    (removes && *rule.status() != ExpirationStatus::Disabled).then_some(found)
}
