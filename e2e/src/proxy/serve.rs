//! Accepting, forwarding, recording.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::classify::{Operation, Received, classify};
use super::log::{Outcome, State};
use super::{UPSTREAM_TIMEOUT, fault};
use crate::{Error, Result};

/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Largest request or answer: far above every policy document, far below what could hurt.
const MAX_BODY: usize = 16 << 20;

/// The emulator.
#[derive(Clone)]
pub(super) struct Upstream {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Upstream {
    pub(super) fn new(address: SocketAddr) -> Self {
        // No idle connections: the emulator's server closes them when it likes, and a request lost that way would look
        // like a fault that nobody injected.
        Self {
            address,
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        }
    }
}

pub(super) async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: Upstream, state: Arc<State>) {
    loop {
        // Running out of file descriptors passes; nothing else makes accept fail for long.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (acceptor, upstream, state) = (acceptor.clone(), upstream.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            tokio::select! {
                () = state.closed() => {}
                // A client that goes away in mid-handshake is its own business.
                _ = connection(stream, acceptor, upstream, &state) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, upstream: Upstream, state: &Arc<State>) -> Result<()> {
    let mut first = [0_u8; 1];
    if stream.peek(&mut first).await? == 1 && first == [TLS_HANDSHAKE] {
        requests(acceptor.accept(stream).await?, "https", upstream, state).await
    } else {
        requests(stream, "http", upstream, state).await
    }
}

async fn requests<S>(stream: S, scheme: &'static str, upstream: Upstream, state: &Arc<State>) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(request, scheme, upstream.clone(), Arc::clone(state)));
    Ok(hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?)
}

/// An error of this function makes hyper close the connection without an answer: that is how a drop is done.
async fn answer(
    request: Request<Incoming>,
    scheme: &'static str,
    upstream: Upstream,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
    let operation = classify(&Received {
        method: parts.method.as_str(),
        uri_path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        header: &|name| parts.headers.get(name).and_then(|value| value.to_str().ok()),
        body: &body,
    });
    let admission = state.admit(operation.clone(), scheme);
    let seq = admission.seq;

    if let Some(act) = &admission.act {
        if let Some(delay) = fault::delay(act) {
            tokio::time::sleep(delay.min(State::MAX_DELAY)).await;
        } else if let Some(mut response) = fault::answer(act, &operation) {
            state.finish(seq, Outcome::Injected(response.status().as_u16()));
            if parts.method == Method::HEAD {
                *response.body_mut() = Full::default();
            }
            return Ok(response);
        } else {
            state.finish(seq, Outcome::Dropped);
            return Err("connection dropped by a fault".into());
        }
    }

    // What has arrived is carried out, as AWS does, even if the caller is gone by then.
    let request = Request::from_parts(parts, Full::new(body));
    tokio::spawn(carry_out(request, operation, seq, scheme, upstream, state)).await?
}

async fn carry_out(
    request: Request<Full<Bytes>>,
    operation: Operation,
    seq: u64,
    scheme: &'static str,
    upstream: Upstream,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>> {
    let _turn = if operation.write && state.armed() {
        Some(state.one_write.lock().await)
    } else {
        None
    };
    if operation.write && state.killed() {
        state.finish(seq, Outcome::Dropped);
        return Err("the caller is dead".into());
    }
    let response = match forward(request, scheme, &upstream).await {
        Ok(response) => response,
        Err(error) => {
            state.finish(seq, Outcome::Unreachable);
            return Err(error);
        }
    };
    let status = response.status().as_u16();
    // Only a write that took effect counts.
    if operation.write
        && response.status().is_success()
        && let Some(pid) = state.write_answered()
    {
        kill(pid).await?;
        state.finish(seq, Outcome::KilledAfter(status));
        return Err("the caller is dead".into());
    }
    state.finish(seq, Outcome::Answered(status));
    Ok(response)
}

async fn forward(
    mut request: Request<Full<Bytes>>,
    scheme: &'static str,
    upstream: &Upstream,
) -> Result<Response<Full<Bytes>>> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{}{path}", upstream.address).parse::<Uri>()?;
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_str(&upstream.address.to_string())?);
    }
    // What a load balancer in front of a server says, for emulators that judge aws:SecureTransport.
    headers.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
    let response = tokio::time::timeout(UPSTREAM_TIMEOUT, upstream.client.request(request)).await??;
    let (mut parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// SIGKILL through the `kill` command: the crate forbids the unsafe block that the system call would need.
async fn kill(pid: u32) -> Result<()> {
    let status = tokio::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .await?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::from(format!("could not kill process {pid}")))
    }
}
