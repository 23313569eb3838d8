//! The proxy itself, in front of a server that answers every request with 200 and counts them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken fixture must stop the test"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aidp_e2e::proxy::{Act, Fault, Filter, Outcome, Proxy};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

/// An emulator that knows only one answer.
async fn yes_man() -> (SocketAddr, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let app = axum::Router::new().fallback(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { "" }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

fn client(proxy: &Proxy, endpoint: &str) -> Client {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    proxy.write_ca(&ca).unwrap();
    let trust = TrustStore::empty().with_pem_certificate(std::fs::read(&ca).unwrap());
    let context = TlsContext::builder().with_trust_store(trust).build().unwrap();
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .endpoint_url(endpoint)
        .region(Region::new("eu-west-1"))
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::for_tests())
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn a_call_over_tls_is_forwarded_and_recorded() {
    let (upstream, seen) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    client(&proxy, &proxy.endpoint())
        .get_bucket_encryption()
        .bucket("b")
        .send()
        .await
        .unwrap();
    let call = proxy.calls().pop().unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(
        (
            call.seq,
            call.scheme,
            call.name().as_str(),
            call.operation.resource.as_deref(),
            call.operation.write
        ),
        (0, "https", "s3:GetBucketEncryption", Some("b"), false)
    );
    assert_eq!(
        (call.operation.region.as_deref(), call.outcome),
        (Some("eu-west-1"), Outcome::Answered(200))
    );
}

#[tokio::test]
async fn plain_http_is_recorded_as_such() {
    let (upstream, _) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    client(&proxy, &proxy.plain_endpoint())
        .head_bucket()
        .bucket("b")
        .send()
        .await
        .unwrap();
    assert_eq!(proxy.calls().pop().unwrap().scheme, "http");
}

#[tokio::test]
async fn a_fault_meets_what_its_filter_says_and_no_more() {
    let (upstream, seen) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let s3 = client(&proxy, &proxy.endpoint());
    let filter = Filter::named("s3:GetBucketPolicy").on("a");
    proxy.inject(Fault {
        skip: 1,
        ..Fault::times(1, filter, Act::AccessDenied)
    });

    s3.get_bucket_policy()
        .bucket("a")
        .send()
        .await
        .expect("the first one passes");
    s3.get_bucket_policy().bucket("b").send().await.expect("another bucket");
    let error = s3
        .get_bucket_policy()
        .bucket("a")
        .send()
        .await
        .expect_err("the second one is met")
        .into_service_error();
    assert_eq!(error.code(), Some("AccessDenied"));
    s3.get_bucket_policy()
        .bucket("a")
        .send()
        .await
        .expect("it was met once");
    let outcomes: Vec<Outcome> = proxy.calls().iter().map(|call| call.outcome).collect();
    let ok = Outcome::Answered(200);
    assert_eq!(outcomes, [ok, ok, Outcome::Injected(403), ok]);
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn throttling_speaks_the_dialect_of_the_service() {
    let (upstream, _) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    proxy.inject(Fault::always(Filter::any(), Act::Throttle));
    let s3 = client(&proxy, &proxy.endpoint());
    let error = s3.get_bucket_policy().bucket("a").send().await.unwrap_err();
    assert_eq!(
        error.raw_response().map(|response| response.status().as_u16()),
        Some(503)
    );
    assert_eq!(error.into_service_error().code(), Some("SlowDown"));
}

#[tokio::test]
async fn a_dropped_connection_is_no_answer() {
    let (upstream, seen) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    proxy.inject(Fault::always(Filter::any(), Act::Drop));
    let error = client(&proxy, &proxy.endpoint())
        .head_bucket()
        .bucket("b")
        .send()
        .await
        .unwrap_err();
    assert!(error.raw_response().is_none(), "{error:?}");
    assert_eq!(proxy.calls().pop().unwrap().outcome, Outcome::Dropped);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_nth_write_kills_and_later_writes_do_not_pass() {
    let (upstream, seen) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let s3 = client(&proxy, &proxy.endpoint());
    let mut victim = tokio::process::Command::new("sleep")
        .arg("600")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    proxy.kill_after_write(victim.id().unwrap(), 2);

    s3.create_bucket()
        .bucket("one")
        .send()
        .await
        .expect("the first write passes");
    s3.head_bucket().bucket("one").send().await.expect("reads do not count");
    s3.create_bucket()
        .bucket("two")
        .send()
        .await
        .expect_err("the victim never learns of the second");
    let status = victim.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    s3.create_bucket()
        .bucket("three")
        .send()
        .await
        .expect_err("writes after death do not pass");
    assert!(proxy.killed());
    assert_eq!(seen.load(Ordering::SeqCst), 3);

    proxy.disarm();
    s3.create_bucket().bucket("four").send().await.expect("disarmed");
    let last: Vec<Outcome> = proxy.calls().iter().map(|call| call.outcome).collect();
    let ok = Outcome::Answered(200);
    assert_eq!(last, [ok, ok, Outcome::KilledAfter(200), Outcome::Dropped, ok]);
}

#[tokio::test]
async fn the_control_api_adds_faults_and_tells_counts() {
    let (upstream, _) = yes_man().await;
    let proxy = Proxy::start(upstream).await.unwrap();
    let (status, _) = http(
        &proxy,
        "POST",
        "/faults",
        r#"{"filter":{"service":"s3"},"act":{"type":"htmlError"}}"#,
    )
    .await;
    assert_eq!(status, 204);
    let error = client(&proxy, &proxy.endpoint())
        .list_buckets()
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        error.raw_response().map(|response| response.status().as_u16()),
        Some(500)
    );
    let (status, body) = http(&proxy, "GET", "/counts", "").await;
    assert_eq!((status, body.as_str()), (200, r#"{"s3:ListBuckets":1}"#));
    let (status, body) = http(&proxy, "GET", "/calls?since=0", "").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""outcome":{"injected":500}"#), "{body}");
    assert_eq!(
        http(&proxy, "POST", "/faults", r#"{"act":{"type":"nonsense"}}"#)
            .await
            .0,
        422
    );
}

/// One request to the control API.
async fn http(proxy: &Proxy, method: &str, path: &str, body: &str) -> (u16, String) {
    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    let client: hyper_util::client::legacy::Client<_, Full<Bytes>> =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request = hyper::Request::builder()
        .method(method)
        .uri(format!("{}{path}", proxy.control_url()))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
