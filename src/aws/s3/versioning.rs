//! `GetBucketVersioning`. Some servers name the root of their answer after the operation, which the SDK does not take.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_bucket_versioning::{GetBucketVersioningError, GetBucketVersioningOutput};
use aws_sdk_s3::types::{BucketVersioningStatus, MfaDeleteStatus};
use aws_smithy_xml::decode::{Document, XmlDecodeError, try_data};
use futures::TryFutureExt;

use super::Place;
use crate::aws::classify::Failure;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::observed::VersioningState;

const OPERATION: &str = "GetBucketVersioning";
/// The root as moto 5.2 spells it; S3's is `VersioningConfiguration`.
const OTHER_ROOT: &str = "GetBucketVersioningResponse";

/// What `GetBucketVersioning` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::aws) struct Versioning {
    pub state: VersioningState,
    pub mfa_delete: bool,
}

impl AccountSession {
    pub(in crate::aws) async fn get_bucket_versioning(&self, at: &Place) -> Result<Versioning, Failure> {
        let request = self
            .clients(&at.region)
            .s3
            .get_bucket_versioning()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .send()
            .or_else(async |error| under_other_root(&error).ok_or(error));
        let output = self.shared.caller.read(Service::S3, OPERATION, request).await?;
        let state = match output.status() {
            None => VersioningState::Unversioned,
            Some(BucketVersioningStatus::Enabled) => VersioningState::Enabled,
            Some(BucketVersioningStatus::Suspended) => VersioningState::Suspended,
            Some(_) => return Err(Failure::incomplete(OPERATION, "status that is known")),
        };
        let mfa_delete = output.mfa_delete() == Some(&MfaDeleteStatus::Enabled);
        Ok(Versioning { state, mfa_delete })
    }
}

/// The answer behind `error`, if all that is wrong with it is the name of its root.
fn under_other_root(error: &SdkError<GetBucketVersioningError>) -> Option<GetBucketVersioningOutput> {
    let response = error.raw_response().filter(|r| r.status().as_u16() == 200)?;
    let status = status(response.body().bytes()?).ok()?;
    let status = status.as_deref().map(BucketVersioningStatus::from);
    Some(GetBucketVersioningOutput::builder().set_status(status).build())
}

/// The text of `Status` under the other root, if there is one; an error if the document is anything else.
fn status(body: &[u8]) -> Result<Option<String>, XmlDecodeError> {
    // The reader takes the end of the text for the end of the document.
    let trimmed = body.trim_ascii_end();
    if !trimmed.ends_with(b"/>") && !trimmed.ends_with(format!("</{OTHER_ROOT}>").as_bytes()) {
        return Err(XmlDecodeError::custom("cut off"));
    }
    let mut document = Document::try_from(body)?;
    let mut root = document.root_element()?;
    if !root.start_el().matches(OTHER_ROOT) {
        return Err(XmlDecodeError::custom("another root"));
    }
    let mut status = None;
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().matches("Status") {
            status = Some(try_data(&mut tag)?.into_owned());
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_other_root_is_taken_and_nothing_broken() {
        let enabled = "<?xml version=\"1.0\"?><GetBucketVersioningResponse><Status>Enabled</Status></GetBucketVersioningResponse>";
        assert_eq!(status(enabled.as_bytes()).ok(), Some(Some("Enabled".to_owned())));
        let never_enabled = "<GetBucketVersioningResponse xmlns=\"u\"/>";
        assert_eq!(status(never_enabled.as_bytes()).ok(), Some(None));
        for broken in [
            "<html><Status>Enabled</Status></html>",
            "<GetBucketVersioningResponse><Status>Enabled</Sta",
            "",
            "Enabled",
        ] {
            assert!(status(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
