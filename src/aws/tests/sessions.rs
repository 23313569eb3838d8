//! Sessions: which account, which credentials, which endpoint.

use super::*;
use crate::aws::session::AccountAccess;
use crate::domain::observed::ErrorClass;

fn assumed(request: &Request) -> Answer {
    match request.operation.as_str() {
        "AssumeRole" => iam_result(
            "AssumeRole",
            "<Credentials><AccessKeyId>ASIAOTHER</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>",
        ),
        "GetCallerIdentity" => caller_is("210987654321"),
        "GetBucketPolicy" => s3_error(404, "NoSuchBucketPolicy"),
        other => panic!("{other}"),
    }
}

fn cross_account() -> AwsSettings {
    AwsSettings {
        accounts: vec![AccountAccess {
            id: AccountId::new("210987654321").unwrap(),
            role_arn: Some("arn:aws:iam::210987654321:role/aidp-operator".to_owned()),
            external_id: Some("very-secret".to_owned()),
            region: None,
        }],
        ..AwsSettings::default()
    }
}

#[tokio::test]
async fn a_configured_account_is_reached_by_its_role_once_for_all_its_policies() {
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let client = recording(requests.clone(), |request, _| assumed(request));
    let config = config(client, Credentials::for_tests()).await;
    let sessions = Sessions::from_config(&config, &cross_account(), &Metrics::new().aws).await;
    let account = AccountId::new("210987654321").unwrap();
    for region in [HOME, "us-west-2"] {
        let session = sessions.session(&account, &Region::new(region).unwrap()).unwrap();
        let caller = session.caller_identity().await.unwrap();
        assert_eq!(caller.account, account);
        let at = session.place(&bucket("data"), &home());
        assert_eq!(session.get_bucket_policy(&at).await, Ok(None));
    }
    let requests = requests.lock().unwrap();
    let assume: Vec<&Request> = requests.iter().filter(|r| r.operation == "AssumeRole").collect();
    assert_eq!(assume.len(), 1);
    assert_eq!(assume[0].parameter("ExternalId").as_deref(), Some("very-secret"));
    assert_eq!(assume[0].parameter("RoleSessionName").as_deref(), Some("aidp"));
    assert_eq!(assume[0].parameter("DurationSeconds").as_deref(), Some("900"));
}

#[tokio::test]
async fn an_account_that_is_not_configured_is_not_reached() {
    let client = recording(Arc::default(), |request, _| panic!("{request:?}"));
    let config = config(client, Credentials::for_tests()).await;
    let sessions = Sessions::from_config(&config, &cross_account(), &Metrics::new().aws).await;
    let error = sessions.session(&account(), &home()).err().unwrap();
    assert_eq!(error.class, ErrorClass::Credentials);
    assert!(error.message.contains(ACCOUNT), "{error}");
}

#[test]
fn an_external_id_is_never_shown() {
    let shown = format!("{:?}", cross_account());
    assert!(
        shown.contains("aidp-operator") && !shown.contains("very-secret"),
        "{shown}"
    );
}

async fn over(endpoint: Option<&str>) -> (Sessions, Arc<Mutex<Vec<Request>>>) {
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let client = recording(requests.clone(), |_, _| s3_error(404, "NoSuchBucketPolicy"));
    let mut config = config(client, Credentials::for_tests()).await.to_builder();
    config.set_endpoint_url(endpoint.map(str::to_owned));
    let sessions = Sessions::from_config(&config.build(), &AwsSettings::default(), &Metrics::new().aws).await;
    (sessions, requests)
}

#[tokio::test]
async fn an_own_endpoint_addresses_buckets_by_path_and_aws_by_host() {
    for (endpoint, uri) in [
        (
            Some("https://s3.example.com:9000"),
            "https://s3.example.com:9000/data/?policy",
        ),
        (Some("http://127.0.0.1:5000"), "http://127.0.0.1:5000/data/?policy"),
        (None, "https://data.s3.eu-west-1.amazonaws.com/?policy"),
    ] {
        let (sessions, requests) = over(endpoint).await;
        let session = sessions.session(&account(), &home()).unwrap();
        let at = session.place(&bucket("data"), &home());
        assert_eq!(session.get_bucket_policy(&at).await, Ok(None));
        assert_eq!(requests.lock().unwrap()[0].uri, uri);
    }
}

#[tokio::test]
async fn the_host_of_s3_is_the_one_that_the_clients_use() {
    for (home, host) in [
        ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
    ] {
        let region = Region::new(home).unwrap();
        let session = over(None).await.0.session(&account(), &region).unwrap();
        assert_eq!(session.s3_host(&region).as_deref(), Ok(host));
    }
    let own = "https://s3.example.com:9000";
    let session = over(Some(own)).await.0.session(&account(), &home()).unwrap();
    assert_eq!(session.s3_host(&home()), Err(own.to_owned()));
}

#[tokio::test]
async fn only_an_http_endpoint_is_plaintext() {
    for (endpoint, plaintext) in [
        (None, false),
        (Some("https://s3.example.com"), false),
        (Some("HTTPS://s3.example.com"), false),
        (Some("http://s3.example.com"), true),
    ] {
        assert_eq!(over(endpoint).await.0.s3_over_plaintext(), plaintext, "{endpoint:?}");
    }
}
