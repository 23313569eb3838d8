//! Sessions: how an account is reached. One set of credentials, clients, budgets and recent readings per account, shared by
//! all its policies.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;
use tokio::time::Instant;

use super::budget::Budgets;
use super::call::Caller;
use super::http::{self, CaBundleError};
use super::observe::Readings;
use crate::domain::names::{AccountId, Region, RoleName};
use crate::domain::observed::{CallError, ErrorClass};
use crate::metrics::AwsMetrics;
use crate::shelf::RETENTION;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts of a read, the first included.
const READ_ATTEMPTS: u32 = 4;
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Session length of an assumed role: the shortest that AWS grants.
const SESSION_LENGTH: Duration = Duration::from_mins(15);
/// Regions for which clients are kept; AWS has fewer.
const MAX_REGIONS: usize = 64;
/// How long a role that we created may be unknown to other parts of AWS (semantics: IAM is eventually consistent).
const SETTLING: Duration = Duration::from_mins(1);

/// How one account is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountAccess {
    /// Account.
    pub id: AccountId,
    /// Role to assume there; None = the default credentials are of this account.
    pub role_arn: Option<String>,
    /// External id for assuming it. Never shown.
    pub external_id: Option<String>,
    /// Region of the STS endpoint that is asked for the role; None = the default region.
    pub region: Option<Region>,
}

impl fmt::Debug for AccountAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            role_arn,
            external_id,
            region,
        } = self;
        f.debug_struct("AccountAccess")
            .field("id", id)
            .field("role_arn", role_arn)
            .field("external_id", &external_id.as_ref().map(|_| "…"))
            .field("region", region)
            .finish()
    }
}

/// What the operator's configuration says about AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// Accounts; none = the one account of the default credentials, whichever it is.
    pub accounts: Vec<AccountAccess>,
    /// Request budgets of each account.
    pub budgets: Budgets,
    /// Session name for assumed roles, seen in CloudTrail; None = `aidp`.
    pub session_name: Option<String>,
    /// For S3 servers that know no accounts: no call says whose bucket it expects.
    pub account_guard_off: bool,
}

/// Every account that the operator can reach.
pub struct Sessions {
    configured: BTreeMap<AccountId, Arc<Shared>>,
    /// The account of the default credentials, where no account is configured.
    default: Option<Arc<Shared>>,
    s3_endpoint: Option<String>,
    account_guard_off: bool,
}

impl Sessions {
    /// Sets up every account. Makes no call to AWS, but may ask the instance metadata service for the region.
    ///
    /// # Errors
    /// [`CaBundleError`] if `AWS_CA_BUNDLE` names something else than a bundle of certificates.
    pub async fn load(settings: &AwsSettings, metrics: &AwsMetrics) -> Result<Self, CaBundleError> {
        let config = loader(http::client().await?).load().await;
        Ok(Self::from_config(&config, settings, metrics).await)
    }

    /// The same from a loaded SDK configuration.
    pub(super) async fn from_config(base: &SdkConfig, settings: &AwsSettings, metrics: &AwsMetrics) -> Self {
        let AwsSettings {
            accounts,
            budgets,
            session_name,
            account_guard_off,
        } = settings;
        let session_name = session_name.as_deref().unwrap_or("aidp");
        let s3_endpoint = s3_endpoint(base);
        let endpoints = Endpoints {
            path_style: s3_endpoint.is_some(),
            s3control: s3_endpoint.is_none() || own_endpoint(base, "S3 Control"),
        };
        let shared = |config: SdkConfig, label: &str| {
            let caller = Caller::new(label.to_owned(), budgets, metrics.clone());
            Arc::new(Shared::new(config, endpoints, caller))
        };
        let mut configured = BTreeMap::new();
        for access in accounts {
            let config = account_config(base, access, session_name).await;
            configured.insert(access.id.clone(), shared(config, access.id.as_str()));
        }
        let default = configured.is_empty().then(|| shared(base.clone(), "default"));
        Self {
            configured,
            default,
            s3_endpoint,
            account_guard_off: *account_guard_off,
        }
    }

    /// The session of `account`, with `home` as the region of its global services.
    ///
    /// # Errors
    /// [`ErrorClass::Credentials`] if accounts are configured and this is none of them.
    pub fn session(&self, account: &AccountId, home: &Region) -> Result<AccountSession, CallError> {
        match self.default.as_ref().or_else(|| self.configured.get(account)) {
            Some(shared) => Ok(AccountSession {
                shared: shared.clone(),
                account: account.clone(),
                home: home.clone(),
                account_guard_off: self.account_guard_off,
            }),
            None => Err(CallError {
                operation: "AssumeRole",
                class: ErrorClass::Credentials,
                code: None,
                message: format!("account {account} is not in the operator's configuration (accounts)"),
            }),
        }
    }

    /// Whether S3 is reached without TLS (an `http://` endpoint): a TLS-only bucket policy would then lock the operator out.
    pub fn s3_over_plaintext(&self) -> bool {
        let plain = |endpoint: &String| !endpoint.to_ascii_lowercase().starts_with("https://");
        self.s3_endpoint.as_ref().is_some_and(plain)
    }
}

/// The SDK configuration of every client but for region and credentials.
pub(super) fn loader(client: SharedHttpClient) -> ConfigLoader {
    let retries = RetryConfig::standard()
        .with_max_attempts(READ_ATTEMPTS)
        .with_max_backoff(MAX_BACKOFF);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(client)
        .retry_config(retries)
        .timeout_config(timeouts)
        // One partition for each account; the default of 64 would start to evict.
        .identity_cache(IdentityCache::lazy().max_partitions(1024).build());
    match AppName::new("aidp") {
        Ok(name) => loader.app_name(name),
        Err(_) => loader,
    }
}

/// The endpoint that S3 clients will use, if it is not AWS's: the same look-up that the SDK makes.
fn s3_endpoint(config: &SdkConfig) -> Option<String> {
    endpoint(config, "S3")
}

/// The endpoint that clients of a service will use, if it is not AWS's: the same look-up that the SDK makes.
fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    if config.get_origin("endpoint_url").is_client_config() {
        return config.endpoint_url().map(str::to_owned);
    }
    service_endpoint(config, service).or_else(|| config.endpoint_url().map(str::to_owned))
}

/// Whether the environment or the profile names an endpoint for this service alone, other than the one for all.
fn own_endpoint(config: &SdkConfig, service: &str) -> bool {
    service_endpoint(config, service).is_some_and(|own| Some(own.as_str()) != config.endpoint_url())
}

/// The endpoint that the environment or the profile names for this service, or else for all.
fn service_endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    config.service_config().and_then(|services| services.load_config(key))
}

async fn account_config(base: &SdkConfig, access: &AccountAccess, session_name: &str) -> SdkConfig {
    let AccountAccess {
        id: _,
        role_arn,
        external_id,
        region,
    } = access;
    let mut config = base.to_builder();
    if let Some(region) = region {
        config = config.region(sdk_region(region));
    }
    let config = config.build();
    let Some(role_arn) = role_arn else {
        return config;
    };
    let mut provider = AssumeRoleProvider::builder(role_arn)
        .configure(&config)
        .session_name(session_name)
        .session_length(SESSION_LENGTH);
    if let Some(external_id) = external_id {
        provider = provider.external_id(external_id);
    }
    let provider = SharedCredentialsProvider::new(provider.build().await);
    config.to_builder().credentials_provider(provider).build()
}

fn sdk_region(region: &Region) -> aws_config::Region {
    aws_config::Region::new(region.as_str().to_owned())
}

/// One account as one policy sees it. Cheap to clone; whatever costs something is shared with all other policies of the
/// account.
#[derive(Clone)]
pub struct AccountSession {
    pub(super) shared: Arc<Shared>,
    pub(super) account: AccountId,
    pub(super) home: Region,
    account_guard_off: bool,
}

impl AccountSession {
    /// The account.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Whose every bucket must be; None with the account guard off.
    pub(super) fn bucket_owner(&self) -> Option<&AccountId> {
        (!self.account_guard_off).then_some(&self.account)
    }

    /// Host name of S3's endpoint in a region.
    ///
    /// # Errors
    /// The endpoint that is configured in its place.
    pub(super) fn s3_host(&self, region: &Region) -> Result<String, String> {
        let config = &self.shared.config;
        if let Some(own) = s3_endpoint(config) {
            return Err(own);
        }
        let fips = config.use_fips().unwrap_or(false);
        let dual_stack = config.use_dual_stack().unwrap_or(false);
        let (service, stack) = (
            if fips { "s3-fips" } else { "s3" },
            if dual_stack { ".dualstack" } else { "" },
        );
        Ok(format!("{service}{stack}.{region}.{}", region.partition().dns_suffix()))
    }

    /// Clients for the services of one region.
    pub(super) fn clients(&self, region: &Region) -> Clients {
        self.shared.clients(region)
    }

    /// Clients for the account's home region: the global services.
    pub(super) fn home_clients(&self) -> Clients {
        self.shared.clients(&self.home)
    }
}

/// What all policies of an account share.
pub(super) struct Shared {
    config: SdkConfig,
    endpoints: Endpoints,
    pub caller: Caller,
    pub readings: Readings,
    clients: Mutex<HashMap<Region, Clients>>,
    created_roles: Mutex<HashMap<RoleName, Instant>>,
    written_roles: Mutex<HashMap<RoleName, Instant>>,
    /// For the calls that no SDK signs.
    credentials: tokio::sync::Mutex<Option<Credentials>>,
}

/// What the endpoints of the configuration mean for the clients.
#[derive(Clone, Copy)]
struct Endpoints {
    /// Buckets are addressed by path.
    path_style: bool,
    /// S3 Control can be reached.
    s3control: bool,
}

/// Clients of one region. `…_once` never repeat a request: for writes.
#[derive(Clone)]
pub(super) struct Clients {
    pub s3: aws_sdk_s3::Client,
    pub s3_once: aws_sdk_s3::Client,
    pub iam: aws_sdk_iam::Client,
    pub iam_once: aws_sdk_iam::Client,
    pub sts: aws_sdk_sts::Client,
    pub kms: aws_sdk_kms::Client,
    pub eks: aws_sdk_eks::Client,
    /// None where there is nobody to ask: see `s3control`.
    pub s3control: Option<aws_sdk_s3control::Client>,
    pub tagging: aws_sdk_resourcegroupstagging::Client,
}

impl Clients {
    fn new(config: &SdkConfig, endpoints: Endpoints) -> Self {
        let Endpoints { path_style, s3control } = endpoints;
        let once = config.to_builder().retry_config(RetryConfig::disabled()).build();
        let s3 = |config: &SdkConfig| {
            let config = aws_sdk_s3::config::Builder::from(config).force_path_style(path_style);
            aws_sdk_s3::Client::from_conf(config.build())
        };
        Self {
            s3: s3(config),
            s3_once: s3(&once),
            iam: aws_sdk_iam::Client::new(config),
            iam_once: aws_sdk_iam::Client::new(&once),
            sts: aws_sdk_sts::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            eks: aws_sdk_eks::Client::new(config),
            s3control: s3control.then(|| aws_sdk_s3control::Client::new(config)),
            tagging: aws_sdk_resourcegroupstagging::Client::new(config),
        }
    }
}

impl Shared {
    fn new(config: SdkConfig, endpoints: Endpoints, caller: Caller) -> Self {
        Self {
            config,
            endpoints,
            caller,
            readings: Readings::new(),
            clients: Mutex::new(HashMap::new()),
            created_roles: Mutex::new(HashMap::new()),
            written_roles: Mutex::new(HashMap::new()),
            credentials: tokio::sync::Mutex::default(),
        }
    }

    /// The SDK configuration of the account.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Where credentials for calls that no SDK signs are kept.
    pub fn kept_credentials(&self) -> &tokio::sync::Mutex<Option<Credentials>> {
        &self.credentials
    }

    /// Endpoint of EC2 in a region.
    pub fn ec2_endpoint(&self, region: &Region) -> String {
        let suffix = region.partition().dns_suffix();
        endpoint(&self.config, "EC2").unwrap_or_else(|| format!("https://ec2.{region}.{suffix}"))
    }

    /// Building clients takes no I/O, so a plain lock is all that keeps two from being built for one region.
    fn clients(&self, region: &Region) -> Clients {
        let mut by_region = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = by_region.get(region) {
            return clients.clone();
        }
        if by_region.len() >= MAX_REGIONS {
            by_region.clear();
        }
        let config = self.config.to_builder().region(sdk_region(region)).build();
        let clients = Clients::new(&config, self.endpoints);
        by_region.insert(region.clone(), clients.clone());
        clients
    }

    /// Remembers that this role is new: for a minute AWS may say in places that it does not exist.
    pub fn role_created(&self, role: &RoleName) {
        let mut created = self.created_roles.lock().unwrap_or_else(PoisonError::into_inner);
        created.retain(|_, at| at.elapsed() < SETTLING);
        created.insert(role.clone(), Instant::now());
    }

    /// Remembers that this role was, or may have been, written: nothing read of it before now counts any more.
    pub fn role_written(&self, role: &RoleName) {
        self.readings.roles.invalidate(role);
        let mut written = self.written_roles.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, at| at.elapsed() < 2 * RETENTION);
        written.insert(role.clone(), Instant::now());
    }

    /// Whether we have written this role since `then`, which must lie within the retention of readings.
    pub fn written_since(&self, role: &RoleName, then: Instant) -> bool {
        let written = self.written_roles.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(role).is_some_and(|at| *at >= then)
    }

    /// Whether we created this role within the last minute.
    pub fn is_settling(&self, role: &RoleName) -> bool {
        let created = self.created_roles.lock().unwrap_or_else(PoisonError::into_inner);
        created.get(role).is_some_and(|at| at.elapsed() < SETTLING)
    }

    /// Whether we created any role within the last minute.
    pub fn any_settling(&self) -> bool {
        let created = self.created_roles.lock().unwrap_or_else(PoisonError::into_inner);
        created.values().any(|at| at.elapsed() < SETTLING)
    }
}
