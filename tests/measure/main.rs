//! Prints what the union analysis costs in a release build; fails above one second of processor time.

mod analysis;

use std::process::ExitCode;
use std::time::Duration;

/// The promise for all pods together.
const LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match analysis::analyse() {
        Ok(measured) => {
            println!("{measured} (promised: {} ms)", LIMIT.as_millis());
            ExitCode::from(u8::from(measured.processor > LIMIT))
        }
        Err(error) => {
            eprintln!("aidp-measure: {error}");
            ExitCode::FAILURE
        }
    }
}
