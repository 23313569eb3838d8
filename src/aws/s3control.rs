//! S3 Control: who is asked, and the settings of S3 that an account has as a whole.
//!
//! S3 Control puts the account's id before the host name, which no S3 server of one's own answers to. Behind another S3
//! endpoint than AWS's it is asked only where `AWS_ENDPOINT_URL_S3_CONTROL` says where it is.

use std::time::Duration;

use super::classify::Failure;
use super::service::Service;
use super::session::{AccountSession, Clients};
use crate::domain::observed::{ErrorClass, PublicAccessBlock, Read};

/// `GetPublicAccessBlock` of S3 Control, by the name that it has in CloudTrail: S3 has an operation of the same name.
const OPERATION: &str = "GetAccountPublicAccessBlock";

/// Whom to ask.
///
/// # Errors
/// [`ErrorClass::Unsupported`] where there is nobody.
pub(super) fn client<'a>(
    clients: &'a Clients,
    operation: &'static str,
) -> Result<&'a aws_sdk_s3control::Client, Failure> {
    clients.s3control.as_ref().ok_or_else(|| {
        let message = "the S3 endpoint is not AWS's, and AWS_ENDPOINT_URL_S3_CONTROL is not set";
        Failure::new(operation, ErrorClass::Unsupported, message)
    })
}

impl AccountSession {
    /// The account's own public access block, not older than `max_age`; `Ok(None)` = none set. One reading for all buckets
    /// and policies.
    ///
    /// # Errors
    /// Why it could not be read; [`ErrorClass::Unsupported`] where there is nobody to ask.
    pub async fn account_public_access_block(&self, max_age: Duration) -> Read<Option<PublicAccessBlock>> {
        let kept = &self.shared.readings.account_public_access_block;
        let reading = kept.get(&(), max_age, || self.read_account_block()).await;
        reading.map_err(Into::into)
    }

    async fn read_account_block(&self) -> Result<Option<PublicAccessBlock>, Failure> {
        let clients = self.home_clients();
        let request = client(&clients, OPERATION)?
            .get_public_access_block()
            .account_id(self.account().as_str());
        let output = match self.shared.caller.read(Service::S3, OPERATION, request.send()).await {
            Ok(output) => output,
            Err(failure) if failure.has_code("NoSuchPublicAccessBlockConfiguration") => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let found = output.public_access_block_configuration();
        let found = found.ok_or_else(|| Failure::incomplete(OPERATION, "configuration"))?;
        Ok(Some(PublicAccessBlock {
            block_public_acls: found.block_public_acls() == Some(true),
            ignore_public_acls: found.ignore_public_acls() == Some(true),
            block_public_policy: found.block_public_policy() == Some(true),
            restrict_public_buckets: found.restrict_public_buckets() == Some(true),
        }))
    }
}
