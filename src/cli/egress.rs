//! `aidp egress`: the analysis of manifests, for pull requests. Needs no cluster.

mod files;
mod policy;
mod print;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::domain::egress::manifest::{Manifests, Problem};
use crate::domain::egress::report::{Analysis, WorkloadReport};

/// Something exceeds the policy.
const EXIT_EXCEEDS: u8 = 1;
/// An input can't be read.
const EXIT_BAD_INPUT: u8 = 2;
/// Nothing that was judged exceeds the policy, but not everything was.
const EXIT_NOT_JUDGED: u8 = 3;

/// What the comparison with a policy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing exceeds it, or there was none.
    Fine,
    /// Something does.
    Exceeds,
    /// Nothing does of what was judged; this was not.
    NotJudged(Vec<String>),
}

/// Say what workloads can reach outside the cluster, from their manifests alone.
///
/// Reads Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, ReplicaSets, ReplicationControllers, Pods, KubeVirt's
/// virtual machines, Namespaces, NetworkPolicies, AdminNetworkPolicies, BaselineAdminNetworkPolicies and ClusterNetworkPolicies; other kinds are ignored.
/// Exit code 0: done, and nothing exceeds the policy; 1: something does; 2: bad input; 3: not everything that the policy is
/// about could be judged, or it selects nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Egress {
    /// File, directory (read with everything in it that ends in .yaml, .yml or .json), or - for standard input (repeatable)
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filename: Vec<PathBuf>,
    /// Namespace of objects that name none, as with kubectl and helm
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Print only what exceeds the egress rules of this AIDataProtectionPolicy, for the workloads that they select
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Count the NetworkPolicies that the operator would write for --policy as present. Without it, manifests must restrict
    /// the workloads themselves
    #[arg(long, requires = "policy")]
    assume_enforced: bool,
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
        match self.analyse() {
            Ok((found, verdict)) => self.print(&found, &verdict),
            Err(problems) => {
                for problem in problems {
                    eprintln!("aidp egress: {problem}");
                }
                ExitCode::from(EXIT_BAD_INPUT)
            }
        }
    }

    /// What is to be printed, and what a comparison came to.
    fn analyse(&self) -> Result<(Vec<WorkloadReport>, Verdict), Vec<Problem>> {
        let rules = self.policy.as_deref().map(policy::read);
        let manifests = files::read(&self.filename, &self.namespace);
        let (rules, manifests) = match (rules.transpose(), manifests) {
            (Ok(rules), Ok(manifests)) => (rules, manifests),
            (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => return Err(problems),
            (Err(mut problems), Err(more)) => {
                problems.extend(more);
                return Err(problems);
            }
        };
        let Some(rules) = rules else {
            let mut analysis = Analysis::new(&manifests, Vec::new());
            let found = analysis.reachable();
            warn(&manifests, &analysis);
            return Ok((found, Verdict::Fine));
        };
        let assumed = if self.assume_enforced {
            policy::enforced(&rules, &manifests.used_namespaces())
        } else {
            Vec::new()
        };
        let mut analysis = Analysis::new(&manifests, assumed);
        let found = analysis
            .exceeding(&rules)
            .map_err(|e| vec![Problem::of_file("policy", e.to_string())])?;
        warn(&manifests, &analysis);
        let gaps = analysis.gaps(&rules);
        let verdict = match (found.is_empty(), gaps.is_empty()) {
            (false, _) => Verdict::Exceeds,
            (true, true) => Verdict::Fine,
            (true, false) => Verdict::NotJudged(gaps),
        };
        Ok((found, verdict))
    }

    fn print(&self, found: &[WorkloadReport], verdict: &Verdict) -> ExitCode {
        let printed = match (self.output, verdict) {
            (Output::Text, Verdict::Fine) if self.policy.is_some() => print::line("Nothing exceeds the policy."),
            (Output::Text, Verdict::NotJudged(gaps)) => print::line(&format!("Not judged: {}.", gaps.join("; "))),
            (Output::Text, Verdict::Fine | Verdict::Exceeds) => print::text(found),
            (Output::Json, Verdict::NotJudged(gaps)) => {
                eprintln!("aidp egress: not judged: {}", gaps.join("; "));
                print::json(found)
            }
            (Output::Json, Verdict::Fine | Verdict::Exceeds) => print::json(found),
        };
        let code = match verdict {
            Verdict::Fine => ExitCode::SUCCESS,
            Verdict::Exceeds => ExitCode::from(EXIT_EXCEEDS),
            Verdict::NotJudged(_) => ExitCode::from(EXIT_NOT_JUDGED),
        };
        match printed {
            Ok(()) => code,
            // Whoever reads the output has had enough of it; the verdict stands.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => code,
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
