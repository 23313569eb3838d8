//! Error classes, decided once, here. `SdkError` goes no further than this file.
//!
//! AWS's error codes come first, then the HTTP status, then the kind of failure. A code decides only what AWS documents for
//! it: the domain takes `NotFound` for "it does not exist", so an answer without a code (a proxy's 404 page) never means it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::domain::names::Region;
use crate::domain::observed::{CallError, ErrorClass};

/// Longest message that is passed on, in characters.
const MAX_MESSAGE: usize = 256;
/// Deepest chain of causes that is looked through.
const MAX_CAUSES: usize = 16;

/// A failed call, with what S3 says about where the bucket really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What is told to everybody else.
    pub error: CallError,
    /// Region that S3 named in its answer.
    pub region: Option<Region>,
    /// The request went to another region than the bucket's.
    pub redirect: bool,
}

impl Failure {
    /// A failure that is not an answer of AWS's.
    pub fn new(operation: &'static str, class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            error: CallError {
                operation,
                class,
                code: None,
                message: message.into(),
            },
            region: None,
            redirect: false,
        }
    }

    /// An answer that lacks what its operation promises.
    pub fn incomplete(operation: &'static str, lacks: &str) -> Self {
        let message = format!("the answer has no {lacks}; it may come from something else than AWS");
        Self::new(operation, ErrorClass::Transient, message)
    }

    /// Whether AWS gave exactly this error code.
    pub fn has_code(&self, code: &str) -> bool {
        self.error.code.as_deref() == Some(code)
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Class, code and message of a failed call.
pub(super) fn classify<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let response = error.raw_response();
    let status = response.map(|r| r.status().as_u16());
    let region = response
        .and_then(|r| r.headers().get("x-amz-bucket-region"))
        .and_then(|region| Region::new(region).ok());
    // The SDK makes up `NotFound` for every 404 without a body. Only of a HEAD request is that S3's own way to say so.
    let code = error
        .code()
        .filter(|&code| code != "NotFound" || operation == "HeadBucket");
    let code = code.map(str::to_owned);
    let redirect = matches!(status, Some(301 | 307 | 308))
        || matches!(
            code.as_deref(),
            Some(
                "PermanentRedirect"
                    | "TemporaryRedirect"
                    | "AuthorizationHeaderMalformed"
                    | "IllegalLocationConstraintException"
            )
        );
    let (class, message) = match (error, status) {
        (_, Some(status)) => (
            class_of_answer(code.as_deref(), status),
            describe_answer(code.as_deref(), error.message(), status),
        ),
        (SdkError::TimeoutError(_), None) => (ErrorClass::Transient, "no answer in time".to_owned()),
        (_, None) => without_answer(error),
    };
    Failure {
        error: CallError {
            operation,
            class,
            code,
            message,
        },
        region,
        redirect,
    }
}

/// Class of an answer. Codes: "Error responses" of the S3 API reference, "Common errors" of the IAM, STS and KMS references.
fn class_of_answer(code: Option<&str>, status: u16) -> ErrorClass {
    code.and_then(class_of_code).unwrap_or(match (status, code) {
        (429, _) => ErrorClass::Throttled,
        // S3-compatible servers, for operations that they do not have.
        (405 | 501, _) => ErrorClass::Unsupported,
        // HEAD answers have no body, hence no code.
        (401 | 403, None) => ErrorClass::AccessDenied,
        (301 | 307 | 308 | 500.., _) | (_, None) => ErrorClass::Transient,
        (_, Some(_)) => ErrorClass::Terminal,
    })
}

fn class_of_code(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "UnauthorizedException"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "NotSignedUp"
        | "OptInRequired" => ErrorClass::AccessDenied,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "TokenRefreshRequired"
        | "InvalidToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "MissingSecurityHeader"
        | "AuthFailure"
        | "InvalidIdentityToken"
        | "IDPRejectedClaim"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => ErrorClass::Credentials,
        "NoSuchBucket"
        | "NoSuchEntity"
        | "NoSuchEntityException"
        | "NotFound"
        | "NotFoundException"
        | "ResourceNotFoundException"
        | "NoSuchBucketPolicy"
        | "NoSuchPublicAccessBlockConfiguration"
        | "ServerSideEncryptionConfigurationNotFoundError"
        | "OwnershipControlsNotFoundError"
        | "ObjectLockConfigurationNotFoundError"
        | "NoSuchLifecycleConfiguration"
        | "ReplicationConfigurationNotFoundError"
        | "NoSuchTagSet" => ErrorClass::NotFound,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "SlowDown"
        | "EC2ThrottledException" => ErrorClass::Throttled,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServiceError"
        | "InternalServiceException"
        | "KMSInternalException"
        | "DependencyTimeoutException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ServiceFailure"
        | "ServiceFailureException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "IncompleteBody"
        // Somebody else is writing, or the resource is settling.
        | "OperationAborted"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "EntityTemporarilyUnmodifiable"
        // The bucket is in another region; followed where it can be.
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => ErrorClass::Transient,
        "NotImplemented" | "MethodNotAllowed" | "UnsupportedOperation" | "NotSupported" => ErrorClass::Unsupported,
        _ => return None,
    })
}

fn describe_answer(code: Option<&str>, message: Option<&str>, status: u16) -> String {
    if let Some(message) = message.map(one_line).filter(|m| !m.is_empty()) {
        return message;
    }
    match (code, status) {
        (Some(_), _) => format!("HTTP status {status}"),
        (None, 200..=299) => "the answer could not be read; it may come from something else than AWS".to_owned(),
        (None, 301 | 307 | 308) => "the bucket is in another region".to_owned(),
        (None, 401 | 403) => format!("refused with HTTP status {status} and no error code"),
        (None, _) => format!("HTTP status {status} without an AWS error code"),
    }
}

/// A call that never got an answer: nobody there, no credentials, or a request that cannot be built.
fn without_answer(error: &(dyn Error + 'static)) -> (ErrorClass, String) {
    let last_words = || one_line(&causes(error).last().map(ToString::to_string).unwrap_or_default());
    if let Some(credentials) = causes(error).find_map(|e| e.downcast_ref::<CredentialsError>()) {
        return no_credentials(credentials, &last_words());
    }
    if causes(error).any(|e| e.downcast_ref::<ConnectorError>().is_some()) {
        return (ErrorClass::Transient, format!("no connection: {}", last_words()));
    }
    (
        ErrorClass::Terminal,
        format!("the request could not be made: {}", last_words()),
    )
}

/// The error and what caused it, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
    .take(MAX_CAUSES)
}

fn no_credentials(error: &CredentialsError, cause: &str) -> (ErrorClass, String) {
    let offline = causes(error).any(|e| e.downcast_ref::<ConnectorError>().is_some());
    match error {
        CredentialsError::CredentialsNotLoaded(_) => (
            ErrorClass::Credentials,
            "no AWS credentials found: give the operator's ServiceAccount a role (IRSA or EKS Pod Identity), or set \
             AWS_PROFILE or AWS_ACCESS_KEY_ID"
                .to_owned(),
        ),
        CredentialsError::ProviderTimedOut(_) => (
            ErrorClass::Credentials,
            "the source of AWS credentials did not answer; the operator needs to reach STS, the EKS Pod Identity agent or \
             the instance metadata service"
                .to_owned(),
        ),
        // STS out of reach says nothing about the credentials.
        _ if offline => (ErrorClass::Transient, format!("no connection to the source of AWS credentials: {cause}")),
        _ => (ErrorClass::Credentials, format!("AWS credentials could not be had: {cause}")),
    }
}

/// One line, printable, bounded. Bodies that are no AWS error (HTML) are not passed on.
fn one_line(text: &str) -> String {
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_MESSAGE)
        .collect();
    clean.trim().to_owned()
}
