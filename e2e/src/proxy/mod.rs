//! A proxy in front of the AWS emulator that records every call and injects faults.
//!
//! It terminates TLS with a certificate of its own (and takes plain HTTP on the same port), so that the operator talks to
//! it exactly as to AWS. It sees service, operation, resource and the region and access key of the signature; it knows
//! nothing of the operator.

mod classify;
mod control;
mod fault;
mod log;
mod serve;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use classify::{Operation, classify};
pub use fault::{Act, Fault, Filter};
pub use log::{Call, Counts, Outcome, not_made_once};

use crate::Result;

/// Longest time the proxy waits for the emulator.
const UPSTREAM_TIMEOUT: Duration = Duration::from_mins(1);

/// A running proxy. Dropping it closes both ports and every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: SocketAddr,
    ca_pem: String,
    state: Arc<log::State>,
    tasks: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream` (plain HTTP) on two free ports of the loopback interface.
    ///
    /// # Errors
    /// When a port can't be bound or a certificate can't be made.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        Self::start_on(upstream, local(0), local(0)).await
    }

    /// Starts a proxy on the given addresses: `address` for AWS calls, `control` for the control API.
    ///
    /// # Errors
    /// When a port can't be bound or a certificate can't be made.
    pub async fn start_on(upstream: SocketAddr, address: SocketAddr, control: SocketAddr) -> Result<Self> {
        let authority = tls::Authority::new()?;
        let listener = TcpListener::bind(address).await?;
        let control_listener = TcpListener::bind(control).await?;
        let state = Arc::new(log::State::default());
        let (address, control) = (listener.local_addr()?, control_listener.local_addr()?);
        let tasks = vec![
            tokio::spawn(serve::accept(
                listener,
                authority.acceptor(),
                serve::Upstream::new(upstream),
                Arc::clone(&state),
            )),
            tokio::spawn(control::serve(control_listener, Arc::clone(&state))),
        ];
        Ok(Self {
            address,
            control,
            ca_pem: authority.pem().to_owned(),
            state,
            tasks,
        })
    }

    /// What `AWS_ENDPOINT_URL` is to be. An IP address, so that the SDK addresses buckets by path.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The same endpoint without TLS.
    #[must_use]
    pub fn plain_endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Base URL of the control API, see [`control`](self).
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}/_proxy", self.control)
    }

    /// Writes the CA that signed the proxy's certificate as PEM: what `AWS_CA_BUNDLE` is to name.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_ca(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, &self.ca_pem)?)
    }

    /// Every call so far, in the order in which it arrived.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls()
    }

    /// Sequence number of the next call: a mark for [`Proxy::calls_since`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.state.next_seq()
    }

    /// The calls that arrived since `mark`.
    #[must_use]
    pub fn calls_since(&self, mark: u64) -> Vec<Call> {
        self.state.calls().into_iter().filter(|call| call.seq >= mark).collect()
    }

    /// The writes among them by `service:Operation`, whatever became of them.
    #[must_use]
    pub fn writes_since(&self, mark: u64) -> Vec<String> {
        let mut calls = self.calls_since(mark);
        calls.retain(|call| call.operation.write);
        calls.iter().map(Call::name).collect()
    }

    /// Calls by `service:Operation`, since the start or the last [`Proxy::reset`].
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Forgets calls and faults and disarms the kill switch.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Adds a fault. The first one that matches a call wins.
    pub fn inject(&self, fault: Fault) {
        self.state.inject(fault);
    }

    /// Removes every fault.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// Sends SIGKILL to the process `pid` once the emulator has answered its `n`-th write from now, before the answer
    /// reaches it: the write has happened, the writer never learns. Writes that arrive later are not forwarded until
    /// [`Proxy::disarm`].
    pub fn kill_after_write(&self, pid: u32, n: u32) {
        self.state.arm(pid, n);
    }

    /// Whether the kill switch has fired.
    #[must_use]
    pub fn killed(&self) -> bool {
        self.state.killed()
    }

    /// Takes the kill switch back; writes pass again.
    pub fn disarm(&self) {
        self.state.disarm();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.state.close();
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
