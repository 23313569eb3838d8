//! Reads of who owns a bucket's objects, whom its ACL lets in, and where its access logs go.

use aws_sdk_s3::types::{
    BucketLogsPermission, ObjectOwnership, OwnershipControls, Permission, TargetObjectKeyFormat, Type,
};

use super::Place;
use crate::aws::classify::Failure;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::observed::{AccessLoggingState, AclGrant, BucketAcl, Grantee, LogKeyFormat, ObjectOwnershipState};

impl AccountSession {
    pub(in crate::aws) async fn get_bucket_ownership_controls(
        &self,
        at: &Place,
    ) -> Result<Option<ObjectOwnershipState>, Failure> {
        const OPERATION: &str = "GetBucketOwnershipControls";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_ownership_controls()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let output = match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.has_code("OwnershipControlsNotFoundError") => return Ok(None),
            Err(failure) => return Err(failure),
        };
        match output.ownership_controls().map(OwnershipControls::rules) {
            Some([rule]) => match rule.object_ownership() {
                ObjectOwnership::BucketOwnerEnforced => Ok(Some(ObjectOwnershipState::BucketOwnerEnforced)),
                ObjectOwnership::BucketOwnerPreferred => Ok(Some(ObjectOwnershipState::BucketOwnerPreferred)),
                ObjectOwnership::ObjectWriter => Ok(Some(ObjectOwnershipState::ObjectWriter)),
                _ => Err(Failure::incomplete(OPERATION, "ownership that is known")),
            },
            Some(_) | None => Err(Failure::incomplete(OPERATION, "single rule")),
        }
    }

    pub(in crate::aws) async fn get_bucket_acl(&self, at: &Place) -> Result<BucketAcl, Failure> {
        const OPERATION: &str = "GetBucketAcl";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_acl()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let output = self.shared.caller.read(Service::S3, OPERATION, request.send()).await?;
        Ok(BucketAcl {
            owner: output.owner().and_then(|o| o.id()).map(str::to_owned),
            grants: output
                .grants()
                .iter()
                .map(|g| acl_grant(g.grantee(), g.permission().map(Permission::as_str)))
                .collect(),
        })
    }

    pub(in crate::aws) async fn get_bucket_logging(&self, at: &Place) -> Result<Option<AccessLoggingState>, Failure> {
        const OPERATION: &str = "GetBucketLogging";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_logging()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let output = self.shared.caller.read(Service::S3, OPERATION, request.send()).await?;
        Ok(output.logging_enabled().map(|logging| AccessLoggingState {
            target_bucket: logging.target_bucket().to_owned(),
            target_prefix: logging.target_prefix().to_owned(),
            key_format: logging.target_object_key_format().and_then(log_key_format),
            target_grants: logging
                .target_grants()
                .iter()
                .map(|g| acl_grant(g.grantee(), g.permission().map(BucketLogsPermission::as_str)))
                .collect(),
        }))
    }
}

fn acl_grant(grantee: Option<&aws_sdk_s3::types::Grantee>, permission: Option<&str>) -> AclGrant {
    let grantee = grantee.map_or(Grantee::Unknown, |g| {
        match (g.r#type(), g.id(), g.uri(), g.email_address()) {
            (Type::CanonicalUser, Some(id), _, _) => Grantee::CanonicalUser(id.to_owned()),
            (Type::Group, _, Some(uri), _) => Grantee::Group(uri.to_owned()),
            (Type::AmazonCustomerByEmail, _, _, Some(email)) => Grantee::Email(email.to_owned()),
            _ => Grantee::Unknown,
        }
    });
    AclGrant {
        grantee,
        permission: permission.unwrap_or_default().to_owned(),
    }
}

fn log_key_format(format: &TargetObjectKeyFormat) -> Option<LogKeyFormat> {
    if let Some(partitioned) = format.partitioned_prefix() {
        let source = partitioned.partition_date_source().map(|s| s.as_str().to_owned());
        return Some(LogKeyFormat::Partitioned(source));
    }
    format.simple_prefix().map(|_| LogKeyFormat::Simple)
}
