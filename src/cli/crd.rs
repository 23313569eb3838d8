//! `aidp crd`: the CustomResourceDefinition, for `kubectl apply`.

use std::process::ExitCode;

/// Print the CustomResourceDefinition.
#[derive(Debug, clap::Args)]
pub(super) struct Crd {}

impl Crd {
    pub(super) fn run(&self) -> ExitCode {
        let Self {} = self;
        let printed = crate::api::crd().map_err(|e| e.to_string());
        match printed.and_then(|crd| serde_yaml::to_string(&crd).map_err(|e| e.to_string())) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(problem) => {
                eprintln!("aidp crd: {problem}");
                ExitCode::FAILURE
            }
        }
    }
}
