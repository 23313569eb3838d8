//! Writes to buckets: who owns objects, and where access logs go.

use aws_sdk_s3::types::builders::GranteeBuilder;
use aws_sdk_s3::types::{
    BucketLoggingStatus, BucketLogsPermission, LoggingEnabled, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PartitionDateSource, PartitionedPrefix, SimplePrefix, TargetGrant, TargetObjectKeyFormat,
    Type,
};
use aws_smithy_types::error::operation::BuildError;

use super::{Outcome, Written, s3::observed};
use crate::aws::call::WriteGuard;
use crate::aws::classify::Failure;
use crate::aws::s3::Place;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::observed::{
    AccessLoggingState, AclGrant, BucketAcl, ErrorClass, Grantee, LogKeyFormat, ObjectOwnershipState,
};

impl AccountSession {
    pub(super) async fn enforce_bucket_owner(
        &self,
        at: &Place,
        seen: Option<ObjectOwnershipState>,
        acl: &BucketAcl,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        const OPERATION: &str = "PutBucketOwnershipControls";
        let rule = OwnershipControlsRule::builder()
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .build()
            .and_then(|rule| OwnershipControls::builder().rules(rule).build())
            .map_err(|e| unbuildable(OPERATION, &e))?;
        // The ACL too: a grant that came meanwhile would end unseen.
        if self.get_bucket_ownership_controls(at).await? != seen || self.get_bucket_acl(at).await? != *acl {
            self.shared.readings.object_ownership.invalidate(at);
            self.shared.readings.acl.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        let request = self
            .clients(&at.region)
            .s3_once
            .put_bucket_ownership_controls()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .ownership_controls(rule);
        let put = self.shared.caller.write(Service::S3, OPERATION, guard, request.send());
        let put = put.await;
        self.shared.readings.object_ownership.invalidate(at);
        self.shared.readings.acl.invalidate(at);
        put?;
        let found = self.get_bucket_ownership_controls(at).await?;
        Ok(observed(found == Some(ObjectOwnershipState::BucketOwnerEnforced)))
    }

    pub(super) async fn put_bucket_logging(
        &self,
        at: &Place,
        seen: Option<&AccessLoggingState>,
        logging: &AccessLoggingState,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        const OPERATION: &str = "PutBucketLogging";
        let enabled = logging_enabled(logging).map_err(|e| unbuildable(OPERATION, &e))?;
        if self.get_bucket_logging(at).await?.as_ref() != seen {
            self.shared.readings.access_logging.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        let request = self
            .clients(&at.region)
            .s3_once
            .put_bucket_logging()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .bucket_logging_status(BucketLoggingStatus::builder().logging_enabled(enabled).build());
        let put = self.shared.caller.write(Service::S3, OPERATION, guard, request.send());
        let put = put.await;
        self.shared.readings.access_logging.invalidate(at);
        put?;
        let found = self.get_bucket_logging(at).await?;
        // What was only carried over is not asked for by the policy.
        let arrived = |found: &AccessLoggingState| {
            found.target_bucket == logging.target_bucket && found.target_prefix == logging.target_prefix
        };
        Ok(observed(found.as_ref().is_some_and(arrived)))
    }
}

fn unbuildable(operation: &'static str, error: &BuildError) -> Failure {
    let message = format!("the request cannot be built: {error}");
    Failure::new(operation, ErrorClass::Terminal, message)
}

fn logging_enabled(logging: &AccessLoggingState) -> Result<LoggingEnabled, BuildError> {
    let AccessLoggingState {
        target_bucket,
        target_prefix,
        key_format,
        target_grants,
    } = logging;
    let grants = target_grants.iter().map(target_grant).collect::<Result<Vec<_>, _>>()?;
    LoggingEnabled::builder()
        .target_bucket(target_bucket)
        .target_prefix(target_prefix)
        .set_target_object_key_format(key_format.as_ref().map(object_key_format))
        .set_target_grants((!grants.is_empty()).then_some(grants))
        .build()
}

fn object_key_format(format: &LogKeyFormat) -> TargetObjectKeyFormat {
    let builder = TargetObjectKeyFormat::builder();
    match format {
        LogKeyFormat::Simple => builder.simple_prefix(SimplePrefix::builder().build()),
        LogKeyFormat::Partitioned(source) => {
            let source = source.as_deref().map(PartitionDateSource::from);
            builder.partitioned_prefix(PartitionedPrefix::builder().set_partition_date_source(source).build())
        }
    }
    .build()
}

fn target_grant(grant: &AclGrant) -> Result<TargetGrant, BuildError> {
    let AclGrant { grantee, permission } = grant;
    let builder: GranteeBuilder = aws_sdk_s3::types::Grantee::builder();
    let grantee = match grantee {
        Grantee::CanonicalUser(id) => builder.r#type(Type::CanonicalUser).id(id),
        Grantee::Group(uri) => builder.r#type(Type::Group).uri(uri),
        Grantee::Email(email) => builder.r#type(Type::AmazonCustomerByEmail).email_address(email),
        // Without a type it does not build: what was not understood is not written back.
        Grantee::Unknown => builder,
    };
    Ok(TargetGrant::builder()
        .grantee(grantee.build()?)
        .permission(BucketLogsPermission::from(permission.as_str()))
        .build())
}
