//! `aidp version`: which build this is.

use std::process::ExitCode;

use crate::api::{AIDataProtectionPolicy, GROUP};

/// Print the version, and the API version that it serves.
#[derive(Debug, clap::Args)]
pub(super) struct Version {}

impl Version {
    pub(super) fn run(&self) -> ExitCode {
        let Self {} = self;
        let api = <AIDataProtectionPolicy as kube::Resource>::version(&());
        println!("aidp {} ({GROUP}/{api})", env!("CARGO_PKG_VERSION"));
        ExitCode::SUCCESS
    }
}
