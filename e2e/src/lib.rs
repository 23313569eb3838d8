//! End-to-end harness of aidp: a real control plane, an AWS emulator behind a recording, fault-injecting proxy, and the
//! operator as a process of its own. What is tested lives in `tests/`; nothing here knows what the operator should do.

pub mod audit;
pub mod aws;
pub mod emulator;
pub mod helm;
pub mod operator;
pub mod plane;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod record;
pub mod session;
pub mod view;
pub mod wait;
pub mod world;

/// Whatever goes wrong in the harness: the test that meets it fails and prints it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Result of the harness's own work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with everything that caused it: the AWS SDK's own text is only "service error".
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
