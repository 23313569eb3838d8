//! `aidp egress`: the analysis of manifests, for pull requests. Needs no cluster.

mod files;
mod print;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::domain::egress::manifest::Manifests;
use crate::domain::egress::report::{Analysis, WorkloadReport};

/// Something exceeds the policy.
const EXIT_EXCEEDS: u8 = 1;
/// An input can't be read.
const EXIT_BAD_INPUT: u8 = 2;

/// Say what workloads can reach outside the cluster, from their manifests alone.
///
/// Reads Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, ReplicaSets, ReplicationControllers, Pods, Namespaces,
/// NetworkPolicies, AdminNetworkPolicies, BaselineAdminNetworkPolicies and ClusterNetworkPolicies; other kinds are ignored.
/// Exit code 0: done, and nothing exceeds the policy; 1: something does; 2: bad input.
#[derive(Debug, clap::Args)]
pub(super) struct Egress {
    /// File, directory (read with everything in it that ends in .yaml, .yml or .json), or - for standard input (repeatable)
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filename: Vec<PathBuf>,
    /// Output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON array.
    Json,
}

impl Egress {
    pub(super) fn run(&self) -> ExitCode {
        let manifests = match files::read(&self.filename) {
            Ok(manifests) => manifests,
            Err(problems) => {
                for problem in problems {
                    eprintln!("aidp egress: {problem}");
                }
                return ExitCode::from(EXIT_BAD_INPUT);
            }
        };
        let mut analysis = Analysis::new(&manifests, Vec::new());
        let found = analysis.reachable();
        warn(&manifests, &analysis);
        self.print(&found)
    }

    fn print(&self, found: &[WorkloadReport]) -> ExitCode {
        let printed = match self.output {
            Output::Text => print::text(found),
            Output::Json => print::json(found),
        };
        match printed {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads the output has had enough of it.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("aidp egress: writing the result: {e}");
                ExitCode::from(EXIT_BAD_INPUT)
            }
        }
    }
}

fn warn(manifests: &Manifests, analysis: &Analysis<'_>) {
    for warning in manifests.warnings.iter().chain(&analysis.doubts) {
        eprintln!("aidp egress: warning: {warning}");
    }
}
