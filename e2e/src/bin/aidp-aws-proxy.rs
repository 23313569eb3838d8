//! The recording, fault-injecting proxy as a process, for scripts such as the demo.

use std::net::SocketAddr;
use std::path::PathBuf;

use aidp_e2e::proxy::Proxy;
use clap::Parser;

/// Recording, fault-injecting proxy in front of an AWS emulator.
#[derive(Parser)]
struct Arguments {
    /// Address of the emulator, plain HTTP.
    #[arg(long)]
    upstream: SocketAddr,
    /// Where to listen for AWS calls, TLS and plain HTTP alike.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to listen for the control API.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// File to write the CA certificate to (PEM).
    #[arg(long)]
    ca: PathBuf,
    /// File to write `AWS_ENDPOINT_URL=…` and `PROXY_CONTROL_URL=…` to once the proxy listens.
    #[arg(long)]
    env: PathBuf,
}

#[tokio::main]
async fn main() -> aidp_e2e::Result<()> {
    let Arguments {
        upstream,
        listen,
        control,
        ca,
        env,
    } = Arguments::parse();
    let proxy = Proxy::start_on(upstream, listen, control).await?;
    proxy.write_ca(&ca)?;
    std::fs::write(
        env,
        format!(
            "AWS_ENDPOINT_URL={}\nPROXY_CONTROL_URL={}\n",
            proxy.endpoint(),
            proxy.control_url()
        ),
    )?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
