//! Classes of failed calls.

use aws_credential_types::Credentials;
use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_http_client::test_util::NeverClient;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::shared::IntoShared;

use super::*;
use crate::aws::budget::Budgets;
use crate::aws::call::Caller;
use crate::domain::observed::{CallError, ErrorClass};

const HTML: &str = "<!DOCTYPE html><html><body>Internal Server Error AKIA…</body></html>";

/// What the class and code of `answer` to GetPublicAccessBlock are.
async fn read_error(answer: Answer) -> CallError {
    let aws = Aws::new(move |_, _| answer.clone()).await;
    let at = aws.session.place(&bucket("logs"), &home());
    aws.session.get_public_access_block(&at).await.unwrap_err().error
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_its_class() {
    use ErrorClass::{AccessDenied, Credentials, NotFound, Terminal, Throttled, Transient, Unsupported};
    let html = |status| Answer { status, ..ok(HTML) };
    let table = [
        (s3_error(403, "AccessDenied"), AccessDenied),
        (s3_error(403, "AllAccessDisabled"), AccessDenied),
        (status(403), AccessDenied),
        (html(403), AccessDenied),
        (status(401), AccessDenied),
        (s3_error(400, "ExpiredToken"), Credentials),
        (s3_error(403, "InvalidAccessKeyId"), Credentials),
        (s3_error(403, "SignatureDoesNotMatch"), Credentials),
        (s3_error(403, "RequestTimeTooSkewed"), Credentials),
        (s3_error(404, "NoSuchBucket"), NotFound),
        (s3_error(503, "SlowDown"), Throttled),
        (s3_error(429, "SomethingNew"), Throttled),
        (s3_error(400, "Throttling"), Throttled),
        (s3_error(400, "RequestTimeout"), Transient),
        (s3_error(409, "OperationAborted"), Transient),
        (s3_error(500, "InternalError"), Transient),
        (s3_error(503, "ServiceUnavailable"), Transient),
        (status(500), Transient),
        (html(500), Transient),
        (html(502), Transient),
        // Nothing says that this comes from AWS, so it does not say that there is none.
        (html(404), Transient),
        (status(404), Transient),
        (html(400), Transient),
        (status(301), Transient),
        (s3_error(301, "PermanentRedirect"), Transient),
        (s3_error(501, "NotImplemented"), Unsupported),
        (status(501), Unsupported),
        (status(405), Unsupported),
        (s3_error(405, "MethodNotAllowed"), Unsupported),
        (s3_error(400, "MalformedPolicy"), Terminal),
        (s3_error(400, "SomethingNew"), Terminal),
        (s3_error(409, "BucketAlreadyExists"), Terminal),
    ];
    for (answer, class) in table {
        let error = read_error(answer.clone()).await;
        assert_eq!(
            (error.operation, error.class),
            ("GetPublicAccessBlock", class),
            "{answer:?}: {error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_one_short_line_and_never_the_body_of_something_else() {
    let error = read_error(Answer {
        status: 500,
        ..ok(HTML)
    })
    .await;
    assert_eq!(error.code, None);
    assert_eq!(error.message, "HTTP status 500 without an AWS error code");

    let long = format!("first\nsecond\t{}", "x".repeat(5_000));
    let body = format!("<Error><Code>MalformedPolicy</Code><Message>{long}</Message></Error>");
    let error = read_error(Answer {
        status: 400,
        ..ok(body)
    })
    .await;
    assert_eq!(error.message.chars().count(), 256);
    assert!(error.message.starts_with("first second x"), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_not_an_answer_of_awss_is_never_a_reading() {
    let aws = Aws::new(|_, _| ok(HTML)).await;
    let at = aws.session.place(&bucket("logs"), &home());
    let encryption = aws.session.get_bucket_encryption(&at).await.unwrap_err().error;
    let block = aws.session.get_public_access_block(&at).await.unwrap_err().error;
    let versioning = aws.session.get_bucket_versioning(&at).await.unwrap_err().error;
    for error in [encryption, block, versioning] {
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
    }
    let role = aws.session.observe_role(&role("trainer"), AGE).await.unwrap_err();
    assert_eq!(role.class, ErrorClass::Transient, "{role}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_empty_is_never_a_reading() {
    let aws = Aws::new(|_, _| ok("")).await;
    let at = aws.session.place(&bucket("logs"), &home());
    assert!(aws.session.get_bucket_encryption(&at).await.is_err());
    assert!(aws.session.get_public_access_block(&at).await.is_err());
    assert!(aws.session.get_bucket_versioning(&at).await.is_err());
    assert_eq!(
        aws.session.get_bucket_policy(&at).await.unwrap_err().error.class,
        ErrorClass::Transient
    );
    assert!(aws.session.observe_role(&role("trainer"), AGE).await.is_err());
}

async fn with_credentials(client: SharedHttpClient, error: fn() -> CredentialsError) -> CallError {
    let credentials = provide_credentials_fn(move || async move { Err::<Credentials, _>(error()) });
    let config = config(client, credentials).await;
    let metrics = Metrics::new();
    let sessions = Sessions::from_config(&config, &AwsSettings::default(), &metrics.aws).await;
    let session = sessions.session(&account(), &home()).unwrap();
    session.caller_identity().await.unwrap_err()
}

fn no_server() -> SharedHttpClient {
    infallible_client_fn(|_| -> http::Response<SdkBody> { panic!("nothing is sent without credentials") })
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_are_named_as_such() {
    let error = with_credentials(no_server(), || CredentialsError::not_loaded("none")).await;
    assert_eq!(error.class, ErrorClass::Credentials);
    assert!(error.message.starts_with("no AWS credentials found"), "{error}");

    let error = with_credentials(no_server(), || {
        CredentialsError::provider_timed_out(Duration::from_secs(5))
    })
    .await;
    assert_eq!(error.class, ErrorClass::Credentials);

    let error = with_credentials(no_server(), || {
        CredentialsError::provider_error("AccessDenied: not yours")
    })
    .await;
    assert_eq!(error.class, ErrorClass::Credentials);
    assert!(error.message.ends_with("AccessDenied: not yours"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_source_of_credentials_that_is_out_of_reach_is_only_transient() {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    let error = with_credentials(no_server(), || {
        CredentialsError::provider_error(ConnectorError::io("connection refused".into()))
    });
    let error = error.await;
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_within_the_deadline() {
    let config = config(NeverClient::new().into_shared(), Credentials::for_tests()).await;
    let metrics = Metrics::new();
    let sessions = Sessions::from_config(&config, &AwsSettings::default(), &metrics.aws).await;
    let session = sessions.session(&account(), &home()).unwrap();
    let started = tokio::time::Instant::now();
    let error = session.caller_identity().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(
        started.elapsed() <= super::super::call::DEADLINE,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_look_up_of_a_host_is_counted_by_outcome() {
    let metrics = Metrics::new();
    let caller = Caller::new("default".to_owned(), &Budgets::default(), metrics.aws.clone());
    let here = caller.look_up("localhost").await.unwrap();
    assert!(
        !here.is_empty() && here.iter().all(std::net::IpAddr::is_loopback),
        "{here:?}"
    );
    let error = caller.look_up("no\0name").await.unwrap_err().error;
    assert_eq!((error.operation, error.class), ("LookUpHost", ErrorClass::Transient));
    let text = metrics.encode().unwrap();
    for outcome in ["success", "transient"] {
        let line = format!(
            r#"aidp_aws_calls_total{{account="default",service="dns",operation="LookUpHost",outcome="{outcome}"}} 1"#
        );
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
}
