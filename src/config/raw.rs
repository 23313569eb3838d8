//! Where values come from: flags over environment over file over default; then every one is checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::account::{RawAccount, check_arn};
use super::{AccountGuard, Accounts, Config, ConfigError, LogFormat, NetworkEnforcer};
use crate::api::Mode;
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::policy::parse_duration;

/// Largest configuration file, bytes.
const MAX_FILE: usize = 1 << 20;

/// Flags of the operator. Values are text here and checked together, so that one start shows every mistake.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Configuration file (YAML); flags and environment win over it
    #[arg(long, env = "AIDP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    values: Values,
}

/// The values that flags, environment and file share.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Values {
    /// Identifies this cluster in AWS; default: the uid of namespace kube-system
    #[arg(long, env = "AIDP_CLUSTER_ID", value_name = "ID")]
    #[serde(deserialize_with = "scalar")]
    cluster_id: Option<String>,
    /// IAM OIDC provider of this cluster, for roles of ServiceAccounts (IRSA)
    #[arg(long, env = "AIDP_OIDC_PROVIDER_ARN", value_name = "ARN")]
    #[serde(rename = "oidcProviderARN", deserialize_with = "scalar")]
    oidc_provider_arn: Option<String>,
    /// This cluster as EKS knows it, for roles of ServiceAccounts (Pod Identity)
    #[arg(long, env = "AIDP_EKS_CLUSTER_ARN", value_name = "ARN")]
    #[serde(rename = "eksClusterARN", deserialize_with = "scalar")]
    eks_cluster_arn: Option<String>,
    /// What enforces NetworkPolicy here: Detect, or a name such as calico; default Detect
    #[arg(long, env = "AIDP_NETWORK_ENFORCER", value_name = "NAME")]
    #[serde(deserialize_with = "scalar")]
    network_enforcer: Option<String>,
    /// Ceiling over the mode of every policy, Audit or Enforce; Audit stops every write; default Enforce
    #[arg(long, env = "AIDP_MAX_MODE", value_name = "MODE")]
    #[serde(deserialize_with = "scalar")]
    max_mode: Option<String>,
    /// Enabled: check with STS that the credentials are of the policy's account; Disabled: for S3 servers without STS
    #[arg(long, env = "AIDP_ACCOUNT_GUARD", value_name = "STATE")]
    #[serde(deserialize_with = "scalar")]
    account_guard: Option<String>,
    /// Namespace of the operator, which no rule may restrict; default: that of its ServiceAccount
    #[arg(long, env = "AIDP_OPERATOR_NAMESPACE", value_name = "NAME")]
    #[serde(deserialize_with = "scalar")]
    operator_namespace: Option<String>,
    /// Policies reconciled at the same time, 1 to 64; default 8
    #[arg(long, env = "AIDP_CONCURRENCY", value_name = "N")]
    #[serde(deserialize_with = "scalar")]
    concurrency: Option<String>,
    /// Address of /metrics, /livez and /readyz; default 0.0.0.0:8080
    #[arg(long, env = "AIDP_LISTEN_ADDRESS", value_name = "ADDR")]
    #[serde(deserialize_with = "scalar")]
    listen_address: Option<String>,
    /// Form of the log, json or text; default json
    #[arg(long, env = "AIDP_LOG_FORMAT", value_name = "FORMAT")]
    #[serde(deserialize_with = "scalar")]
    log_format: Option<String>,
    /// What is logged, e.g. aidp=debug,warn; default info,kube_runtime=warn
    #[arg(long, env = "AIDP_LOG", value_name = "FILTER")]
    #[serde(deserialize_with = "scalar")]
    log_filter: Option<String>,
    /// Shortest spec.interval let through; default 30s
    #[arg(long, env = "AIDP_MIN_INTERVAL", value_name = "DURATION")]
    #[serde(deserialize_with = "scalar")]
    min_interval: Option<String>,
    /// Re-check every policy at least this often, whatever its spec.interval; default 24h
    #[arg(long, env = "AIDP_MAX_INTERVAL", value_name = "DURATION")]
    #[serde(deserialize_with = "scalar")]
    max_interval: Option<String>,
    /// Longest suspension by annotation; default 24h
    #[arg(long, env = "AIDP_MAX_SUSPENSION", value_name = "DURATION")]
    #[serde(deserialize_with = "scalar")]
    max_suspension: Option<String>,
    /// How often status.lastVerifiedTime is refreshed while nothing changes; default 1h
    #[arg(long, env = "AIDP_HEARTBEAT", value_name = "DURATION")]
    #[serde(deserialize_with = "scalar")]
    heartbeat: Option<String>,
    /// Name of the Lease for leader election; default aidp
    #[arg(long, env = "AIDP_LEASE_NAME", value_name = "NAME")]
    #[serde(deserialize_with = "scalar")]
    lease_name: Option<String>,
    /// How long a leadership holds without renewal, 3s to 60s; default 10s
    #[arg(long, env = "AIDP_LEASE_DURATION", value_name = "DURATION")]
    #[serde(deserialize_with = "scalar")]
    lease_duration: Option<String>,
    /// Accounts; in the file only.
    #[arg(skip)]
    accounts: Option<Accs>,
}

/// The list of accounts, kept from `Debug`: it holds external ids.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
struct Accs(Vec<RawAccount>);

impl std::fmt::Debug for Accs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} accounts)", self.0.len())
    }
}

/// A string, or a number or boolean as its text: `concurrency: 4` needs no quotes.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Text(String),
        Integer(i64),
        Boolean(bool),
    }
    Ok(Option::<Scalar>::deserialize(deserializer)?.map(|scalar| match scalar {
        Scalar::Text(text) => text,
        Scalar::Integer(n) => n.to_string(),
        Scalar::Boolean(b) => b.to_string(),
    }))
}

impl ConfigArgs {
    /// Reads the file, if there is one, and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] with *all* problems.
    pub fn load(self) -> Result<Config, ConfigError> {
        let Self { config, values } = self;
        let mut problems = Vec::new();
        let file = config.map_or_else(Values::default, |path| {
            let at = path.display();
            match std::fs::read(&path) {
                Ok(bytes) if bytes.len() > MAX_FILE => {
                    problems.push(format!("{at}: larger than {MAX_FILE} bytes"));
                    Values::default()
                }
                Ok(bytes) => parse(&bytes).unwrap_or_else(|problem| {
                    problems.push(format!("{at}: {problem}"));
                    Values::default()
                }),
                Err(error) => {
                    problems.push(format!("{at}: {error}"));
                    Values::default()
                }
            }
        });
        values.over(file).check(problems)
    }

    /// The same with the file's content given.
    #[cfg(test)]
    pub(super) fn with_file(self, yaml: &str) -> Result<Config, ConfigError> {
        let mut problems = Vec::new();
        let file = parse(yaml.as_bytes()).unwrap_or_else(|problem| {
            problems.push(problem);
            Values::default()
        });
        self.values.over(file).check(problems)
    }
}

/// An empty file is an empty configuration.
fn parse(yaml: &[u8]) -> Result<Values, String> {
    serde_yaml::from_slice::<Option<Values>>(yaml)
        .map(Option::unwrap_or_default)
        .map_err(|e| e.to_string())
}

impl Values {
    fn over(self, file: Self) -> Self {
        let Self {
            cluster_id,
            oidc_provider_arn,
            eks_cluster_arn,
            network_enforcer,
            max_mode,
            account_guard,
            operator_namespace,
            concurrency,
            listen_address,
            log_format,
            log_filter,
            min_interval,
            max_interval,
            max_suspension,
            heartbeat,
            lease_name,
            lease_duration,
            accounts,
        } = self;
        Self {
            cluster_id: cluster_id.or(file.cluster_id),
            oidc_provider_arn: oidc_provider_arn.or(file.oidc_provider_arn),
            eks_cluster_arn: eks_cluster_arn.or(file.eks_cluster_arn),
            network_enforcer: network_enforcer.or(file.network_enforcer),
            max_mode: max_mode.or(file.max_mode),
            account_guard: account_guard.or(file.account_guard),
            operator_namespace: operator_namespace.or(file.operator_namespace),
            concurrency: concurrency.or(file.concurrency),
            listen_address: listen_address.or(file.listen_address),
            log_format: log_format.or(file.log_format),
            log_filter: log_filter.or(file.log_filter),
            min_interval: min_interval.or(file.min_interval),
            max_interval: max_interval.or(file.max_interval),
            max_suspension: max_suspension.or(file.max_suspension),
            heartbeat: heartbeat.or(file.heartbeat),
            lease_name: lease_name.or(file.lease_name),
            lease_duration: lease_duration.or(file.lease_duration),
            accounts: accounts.or(file.accounts),
        }
    }

    fn check(self, problems: Vec<String>) -> Result<Config, ConfigError> {
        let mut check = Check { problems };
        let hour = Duration::from_hours(1);
        let day = Duration::from_hours(24);
        let second = Duration::from_secs(1);
        let min_interval = check.duration("minInterval", self.min_interval, Duration::from_secs(30), second..=day);
        let max_interval = check.duration("maxInterval", self.max_interval, day, second..=day);
        check_arn(
            &mut check.problems,
            "oidcProviderARN",
            self.oidc_provider_arn.as_deref(),
            None,
            "oidc-provider/",
        );
        let eks_cluster = self.eks_cluster_arn.and_then(|arn| {
            EksCluster::parse(&arn)
                .map_err(|e| check.add(format!("eksClusterARN: {e}")))
                .ok()
        });
        // The id becomes the value of a tag: https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html
        if let Some(id) = &self.cluster_id
            && !((1..=128).contains(&id.len())
                && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/=+@-".contains(c)))
        {
            check.add("clusterId: expected 1 to 128 letters, digits and _.:/=+@-");
        }
        for (at, name) in [
            ("operatorNamespace", &self.operator_namespace),
            ("leaseName", &self.lease_name),
        ] {
            if let Some(name) = name
                && !dns_label(name)
            {
                check.add(format!(
                    "{at}: {name:?} is no name; expected lower-case letters, digits and hyphens"
                ));
            }
        }
        let config = Config {
            cluster_id: self.cluster_id,
            oidc_provider_arn: self.oidc_provider_arn,
            eks_cluster,
            accounts: check.accounts(self.accounts),
            network_enforcer: check.enforcer(self.network_enforcer),
            max_mode: check.choice(
                "maxMode",
                self.max_mode,
                Mode::Enforce,
                &[("Audit", Mode::Audit), ("Enforce", Mode::Enforce)],
            ),
            account_guard: check.choice(
                "accountGuard",
                self.account_guard,
                AccountGuard::Enabled,
                &[("Enabled", AccountGuard::Enabled), ("Disabled", AccountGuard::Disabled)],
            ),
            operator_namespace: self.operator_namespace,
            concurrency: check.concurrency(self.concurrency),
            listen_address: check.parsed("listenAddress", self.listen_address, "expected ADDRESS:PORT", || {
                SocketAddr::from(([0, 0, 0, 0], 8080))
            }),
            log_format: check.choice(
                "logFormat",
                self.log_format,
                LogFormat::Json,
                &[("json", LogFormat::Json), ("text", LogFormat::Text)],
            ),
            log_filter: check.filter(self.log_filter),
            min_interval,
            max_interval,
            max_suspension: check.duration("maxSuspension", self.max_suspension, day, Duration::ZERO..=day * 7),
            heartbeat: check.duration("heartbeat", self.heartbeat, hour, second..=day),
            lease_name: self.lease_name.unwrap_or_else(|| "aidp".to_owned()),
            lease_duration: check.duration(
                "leaseDuration",
                self.lease_duration,
                second * 10,
                second * 3..=second * 60,
            ),
        };
        if check.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError {
                problems: check.problems,
            })
        }
    }
}

fn dns_label(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.chars().all(|c| ok(c) || c == '-')
        && name.starts_with(ok)
        && name.ends_with(ok)
}

struct Check {
    problems: Vec<String>,
}

impl Check {
    fn add(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn choice<T: Copy>(&mut self, at: &str, value: Option<String>, default: T, choices: &[(&str, T)]) -> T {
        let Some(value) = value else { return default };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == value) {
            return *choice;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.add(format!("{at}: {value:?} is none of {}", names.join(", ")));
        default
    }

    fn parsed<T: FromStr>(&mut self, at: &str, value: Option<String>, expected: &str, default: impl Fn() -> T) -> T {
        let Some(value) = value else { return default() };
        value.parse().unwrap_or_else(|_| {
            self.add(format!("{at}: {value:?}: {expected}"));
            default()
        })
    }

    fn concurrency(&mut self, value: Option<String>) -> NonZeroU16 {
        let default = NonZeroU16::MIN.saturating_add(7);
        let n = self.parsed("concurrency", value, "expected 1 to 64", || default);
        if n.get() > 64 {
            self.add(format!("concurrency: {n}: expected 1 to 64"));
        }
        n
    }

    fn duration(
        &mut self,
        at: &str,
        value: Option<String>,
        default: Duration,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = value else { return default };
        match parse_duration(&value) {
            Some(duration) if range.contains(&duration) => duration,
            Some(_) => {
                let (from, to) = (range.start().as_secs(), range.end().as_secs());
                self.add(format!("{at}: {value:?} lies outside {from}s to {to}s"));
                default
            }
            None => {
                self.add(format!("{at}: {value:?} is no duration; expected e.g. 90s, 5m, 1h30m"));
                default
            }
        }
    }

    fn enforcer(&mut self, value: Option<String>) -> NetworkEnforcer {
        match value {
            None => NetworkEnforcer::Detect,
            // A slip in the case must not become an enforcer that is believed.
            Some(name) if name.eq_ignore_ascii_case("Detect") => NetworkEnforcer::Detect,
            Some(name) if dns_label(&name) => NetworkEnforcer::Stated(name),
            Some(name) => {
                self.add(format!(
                    "networkEnforcer: {name:?} is neither Detect nor a name in lower-case letters, digits and hyphens"
                ));
                NetworkEnforcer::Detect
            }
        }
    }

    fn filter(&mut self, value: Option<String>) -> String {
        let value = value.unwrap_or_else(|| "info,kube_runtime=warn".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&value) {
            self.add(format!("logFilter: {value:?}: {error}"));
        }
        value
    }

    fn accounts(&mut self, accounts: Option<Accs>) -> Accounts {
        let Some(Accs(raw)) = accounts else {
            return Accounts::Default;
        };
        if raw.is_empty() {
            self.add("accounts: empty; leave it out to use the account of the default credentials");
        }
        let mut listed = BTreeMap::new();
        for account in raw {
            let Some(account) = account.check(&mut self.problems) else {
                continue;
            };
            let id = account.id.clone();
            if listed.insert(id.clone(), account).is_some() {
                self.add(format!("accounts[{id}]: listed twice"));
            }
        }
        Accounts::Listed(listed)
    }
}
