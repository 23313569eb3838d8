//! Logs: JSON for machines or text for humans, filtered. Nothing else is decided here.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

/// Sends everything that is logged from now on to standard error. A line that cannot be written (the disk is full, nobody
/// reads) is lost, and nothing else: the subscriber's own complaint about it would go to standard error too, and panic.
///
/// # Errors
/// If a subscriber was installed before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .log_internal_errors(false)
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .log_internal_errors(false)
                    // Colours are for a terminal; in a file they are noise.
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    }
}
