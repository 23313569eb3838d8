//! Tests of the adapter on the wire: real SDK clients, scripted answers, every request recorded.

mod access_points;
mod buckets;
mod bulk;
mod details;
mod discover;
mod eks;
mod errors;
mod keys;
mod observe;
mod prefix_lists;
mod roles;
mod sessions;
mod writes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::body::SdkBody;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::call::{NotLeader, WriteGuard};
use super::session::{AccountSession, AwsSettings, Sessions, loader};
use crate::domain::names::{AccountId, BucketName, Region, RoleName};
use crate::metrics::Metrics;

const ACCOUNT: &str = "123456789012";
const HOME: &str = "eu-west-1";
const AGE: Duration = Duration::from_mins(1);

fn account() -> AccountId {
    AccountId::new(ACCOUNT).unwrap()
}

fn home() -> Region {
    Region::new(HOME).unwrap()
}

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

/// One request as AWS would see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    operation: String,
    host: String,
    uri: String,
    /// Region that the signature is for.
    region: String,
    expected_owner: Option<String>,
    body: String,
}

impl Request {
    fn of(request: &http::Request<SdkBody>) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let authorization = header("authorization").unwrap();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let scope = authorization.split("Credential=").nth(1).unwrap();
        Self {
            operation: operation(request, &body),
            host: request.uri().host().unwrap().to_owned(),
            uri: request.uri().to_string(),
            region: scope.split('/').nth(2).unwrap().to_owned(),
            expected_owner: header("x-amz-expected-bucket-owner"),
            body,
        }
    }

    /// A parameter of the query protocol (IAM, STS), decoded.
    fn parameter(&self, name: &str) -> Option<String> {
        let value = self
            .body
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
        Some(
            percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .unwrap()
                .into_owned(),
        )
    }
}

fn operation(request: &http::Request<SdkBody>, body: &str) -> String {
    if let Some(action) = body.strip_prefix("Action=") {
        return action.split('&').next().unwrap().to_owned();
    }
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.to_str().unwrap().split('.').nth(1).unwrap().to_owned();
    }
    let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match path[..] {
        ["clusters", _, "pod-identity-associations"] => return "ListPodIdentityAssociations".to_owned(),
        ["clusters", _, "pod-identity-associations", _] => return "DescribePodIdentityAssociation".to_owned(),
        [_, "accesspoint"] => return "ListAccessPoints".to_owned(),
        [_, "accesspoint", _, "policy"] => return "GetAccessPointPolicy".to_owned(),
        [_, "configuration", "publicAccessBlock"] => return "GetAccountPublicAccessBlock".to_owned(),
        _ => {}
    }
    if request.uri().query().unwrap_or_default().contains("x-id=ListBuckets") {
        return "ListBuckets".to_owned();
    }
    let setting = request
        .uri()
        .query()
        .unwrap_or_default()
        .split(['&', '='])
        .next()
        .unwrap();
    let setting = match setting {
        "" | "x-id" => "Bucket",
        "encryption" => "BucketEncryption",
        "policy" => "BucketPolicy",
        "publicAccessBlock" => "PublicAccessBlock",
        "versioning" => "BucketVersioning",
        "object-lock" => "ObjectLockConfiguration",
        "lifecycle" => "BucketLifecycleConfiguration",
        "replication" => "BucketReplication",
        "ownershipControls" => "BucketOwnershipControls",
        "acl" => "BucketAcl",
        "logging" => "BucketLogging",
        other => panic!("a request that no test expects: {other}"),
    };
    let verb = match request.method().as_str() {
        "HEAD" => "Head",
        "GET" => "Get",
        "PUT" => "Put",
        "DELETE" => "Delete",
        other => panic!("a request that no test expects: {other}"),
    };
    format!("{verb}{setting}")
}

/// A scripted answer.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

fn ok(body: impl Into<String>) -> Answer {
    Answer {
        status: 200,
        headers: Vec::new(),
        body: body.into(),
    }
}

fn status(status: u16) -> Answer {
    Answer { status, ..ok("") }
}

/// An error of S3's.
fn s3_error(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>about {code}</Message><RequestId>r</RequestId></Error>");
    Answer { status, ..ok(body) }
}

/// An error of the query protocol's (IAM, STS).
fn iam_error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    );
    Answer { status, ..ok(body) }
}

/// A result of the query protocol's.
fn iam_result(operation: &str, result: &str) -> Answer {
    ok(format!(
        "<{operation}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{operation}Result>{result}\
         </{operation}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{operation}Response>"
    ))
}

/// The items of a list in the query protocol.
fn members(items: &[&str], item: impl Fn(&str) -> String) -> String {
    let members: Vec<String> = items.iter().map(|i| format!("<member>{}</member>", item(i))).collect();
    members.concat()
}

fn caller_is(account: &str) -> Answer {
    iam_result(
        "GetCallerIdentity",
        &format!(
            "<Arn>arn:aws:sts::{account}:assumed-role/aidp/s</Arn><UserId>A:s</UserId><Account>{account}</Account>"
        ),
    )
}

fn encryption_answer(rule: &str) -> Answer {
    ok(format!(
        "<ServerSideEncryptionConfiguration><Rule>{rule}</Rule></ServerSideEncryptionConfiguration>"
    ))
}

fn versioning_answer(status: &str) -> Answer {
    ok(format!("<VersioningConfiguration>{status}</VersioningConfiguration>"))
}

fn ownership_answer(ownership: &str) -> Answer {
    ok(format!(
        "<OwnershipControls><Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule></OwnershipControls>"
    ))
}

fn acl_answer(owner: &str, grants: &str) -> Answer {
    ok(format!(
        "<AccessControlPolicy>{owner}<AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
    ))
}

fn logging_answer(logging: &str) -> Answer {
    ok(format!("<BucketLoggingStatus>{logging}</BucketLoggingStatus>"))
}

const BLOCKED: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true\
    </IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
    </PublicAccessBlockConfiguration>";

/// AWS, as scripted.
struct Aws {
    session: AccountSession,
    metrics: Metrics,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Aws {
    /// Answers every request by `answer`, which is given the request and how often this operation was asked before.
    async fn new(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(&AwsSettings::default(), answer).await
    }

    async fn with(settings: &AwsSettings, answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let client = recording(requests.clone(), answer);
        let config = config(client, Credentials::for_tests()).await;
        let metrics = Metrics::new();
        let sessions = Sessions::from_config(&config, settings, &metrics.aws).await;
        Self {
            session: sessions.session(&account(), &home()).unwrap(),
            metrics,
            requests,
        }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn operations(&self) -> Vec<String> {
        self.requests().into_iter().map(|r| r.operation).collect()
    }

    fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|r| r.operation == operation).count()
    }
}

fn recording(
    requests: Arc<Mutex<Vec<Request>>>,
    answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
) -> SharedHttpClient {
    infallible_client_fn(move |request| {
        let request = Request::of(&request);
        let mut requests = requests.lock().unwrap();
        let before = requests.iter().filter(|r| r.operation == request.operation).count();
        requests.push(request.clone());
        let Answer { status, headers, body } = answer(&request, before);
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(SdkBody::from(body)).unwrap()
    })
}

/// The SDK configuration of production, apart from client and credentials, and deaf to the environment of the test run.
async fn config(
    client: SharedHttpClient,
    credentials: impl aws_credential_types::provider::ProvideCredentials + 'static,
) -> SdkConfig {
    let region = aws_config::Region::new(HOME);
    let loader = loader(client).region(region).credentials_provider(credentials);
    let mut builder = loader.load().await.to_builder();
    builder.set_endpoint_url(None);
    builder.service_config(NoServiceConfig).build()
}

/// No endpoints per service, whatever the environment says.
#[derive(Debug)]
struct NoServiceConfig;

impl LoadServiceConfig for NoServiceConfig {
    fn load_config(&self, _: ServiceConfigKey<'_>) -> Option<String> {
        None
    }
}

/// A leader with this much left of its lease.
struct Leader(Duration);

impl WriteGuard for Leader {
    fn permit(&self) -> Result<Duration, NotLeader> {
        Ok(self.0)
    }
}

const LEADER: Leader = Leader(Duration::from_secs(15));

/// A replica that is not the leader.
struct Follower;

impl WriteGuard for Follower {
    fn permit(&self) -> Result<Duration, NotLeader> {
        Err(NotLeader)
    }
}
