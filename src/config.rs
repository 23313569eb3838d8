//! Operator configuration: one YAML file, environment and flags, put together and checked as a whole.
//!
//! Lives here: where a value comes from, what it may be, and what it is by default. Does not live here: what a policy may
//! ask for (`domain::policy`). Credentials are not configuration: they come the AWS SDK's standard way.

mod account;
mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use crate::api::Mode;
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::names::{AccountId, ClusterHash};
use crate::domain::policy::OperatorSettings;

pub use account::AccountConfig;
pub use raw::ConfigArgs;

/// Everything the operator is told at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which cluster this is; None: the uid of namespace kube-system.
    pub cluster_id: Option<String>,
    /// OIDC provider of the cluster, for IRSA.
    pub oidc_provider_arn: Option<String>,
    /// The cluster as EKS knows it, for Pod Identity.
    pub eks_cluster: Option<EksCluster>,
    /// Accounts that may be reached.
    pub accounts: Accounts,
    /// What enforces NetworkPolicy.
    pub network_enforcer: NetworkEnforcer,
    /// Ceiling over the mode of every policy.
    pub max_mode: Mode,
    /// Whether `sts:GetCallerIdentity` must agree with the policy's account.
    pub account_guard: AccountGuard,
    /// Namespace of the operator; None: that of its ServiceAccount.
    pub operator_namespace: Option<String>,
    /// Policies reconciled at the same time.
    pub concurrency: NonZeroU16,
    /// Address of /metrics, /livez and /readyz.
    pub listen_address: SocketAddr,
    /// Form of the log.
    pub log_format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Shortest interval let through.
    pub min_interval: Duration,
    /// Longest interval: every policy is re-checked at least this often, whatever it asks for.
    pub max_interval: Duration,
    /// Cap on the annotation `aidp.dev/suspend-until`.
    pub max_suspension: Duration,
    /// How often `status.lastVerifiedTime` is refreshed while nothing changes.
    pub heartbeat: Duration,
    /// Name of the Lease.
    pub lease_name: String,
    /// How long a leadership holds without renewal.
    pub lease_duration: Duration,
}

/// Which accounts may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// The account of the default credentials, whichever it is.
    Default,
    /// These and no other.
    Listed(BTreeMap<AccountId, AccountConfig>),
}

/// What enforces NetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEnforcer {
    /// Look for what is known.
    Detect,
    /// The administrator says so.
    Stated(String),
}

/// Whether the account of the credentials is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountGuard {
    /// Before anything else, with `sts:GetCallerIdentity`.
    Enabled,
    /// Not at all: for S3 servers without STS.
    Disabled,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a human at a terminal.
    Text,
}

/// Everything that is wrong with the configuration. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is invalid:\n  {}", .problems.join("\n  "))]
pub struct ConfigError {
    /// One sentence each: setting, problem, way out.
    pub problems: Vec<String>,
}

/// What has been found out at start and completes the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Cluster id, configured or derived.
    pub cluster_id: String,
    /// Namespace of the operator, configured or found.
    pub operator_namespace: String,
    /// The client reaches S3 without TLS.
    pub s3_over_plaintext: bool,
}

impl Config {
    /// The settings that hold for policies of one account. One that is not listed gets no caps, and no session either
    /// (`aws::Sessions`): nothing can be read or written there.
    pub fn settings(&self, account: &str, facts: &ClusterFacts) -> OperatorSettings {
        let listed = match &self.accounts {
            Accounts::Default => None,
            Accounts::Listed(accounts) => accounts.values().find(|a| a.id.as_str() == account),
        };
        OperatorSettings {
            cluster_hash: ClusterHash::of(&facts.cluster_id),
            cluster_id: facts.cluster_id.clone(),
            max_mode: self.max_mode,
            oidc_provider_arn: self.oidc_provider_arn.clone(),
            eks_cluster: self.eks_cluster.clone(),
            role_boundary_arn: listed.and_then(|a| a.role_boundary_arn.clone()),
            allowed_buckets: listed.and_then(|a| a.allowed_buckets.clone()),
            allowed_kms_accounts: listed.and_then(|a| a.allowed_kms_accounts.clone()),
            operator_namespace: facts.operator_namespace.clone(),
            min_interval: self.min_interval,
            max_suspension: self.max_suspension,
            account_guard: self.account_guard == AccountGuard::Enabled,
            s3_over_plaintext: facts.s3_over_plaintext,
        }
    }
}

#[cfg(test)]
mod tests;
