//! One read for each setting of a bucket.

use aws_sdk_s3::types::ServerSideEncryptionRule;

use super::Place;
use crate::aws::classify::Failure;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::observed::{EncryptionRule, EncryptionState, ErrorClass, PublicAccessBlock};

impl AccountSession {
    pub(in crate::aws) async fn get_bucket_encryption(&self, at: &Place) -> Result<EncryptionState, Failure> {
        const OPERATION: &str = "GetBucketEncryption";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_encryption()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
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

    pub(in crate::aws) async fn get_bucket_policy(&self, at: &Place) -> Result<Option<String>, Failure> {
        const OPERATION: &str = "GetBucketPolicy";
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_policy()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => match output.policy {
                Some(policy) => Ok(Some(policy)),
                None => Err(Failure::incomplete(OPERATION, "policy")),
            },
            Err(failure) if failure.has_code("NoSuchBucketPolicy") => Ok(None),
            Err(failure) if at.owner.is_some() => Err(not_the_owner(failure)),
            Err(failure) => Err(failure),
        }
    }

    pub(in crate::aws) async fn get_public_access_block(
        &self,
        at: &Place,
    ) -> Result<Option<PublicAccessBlock>, Failure> {
        const OPERATION: &str = "GetPublicAccessBlock";
        let request = self
            .clients(&at.region)
            .s3
            .get_public_access_block()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
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
}

/// `GetBucketPolicy` and `DeleteBucketPolicy` answer 405 to everybody who is not of the bucket's account (S3 API reference).
pub(in crate::aws) fn not_the_owner(mut failure: Failure) -> Failure {
    if failure.has_code("MethodNotAllowed") {
        failure.error.class = ErrorClass::AccessDenied;
    }
    failure
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
