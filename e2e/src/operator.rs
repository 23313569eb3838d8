//! The operator as a process of its own: with its ServiceAccount's token, never as administrator; with AWS behind the proxy.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::plane::NAMESPACE;
use crate::ports::free_address;
use crate::process::{Process, Program};
use crate::wait::{PATIENCE, eventually};
use crate::{Error, Result};

/// Access key of the operator at moto: the proxy tells its calls from others by it.
pub const ACCESS_KEY: &str = "AKIAOPERATOR00000000";

/// EKS cluster that the operator is configured with where Pod Identity matters.
pub const EKS_CLUSTER: &str = "arn:aws:eks:eu-west-1:123456789012:cluster/training";
/// OIDC provider that the operator is configured with.
pub const OIDC_PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/E2E";

/// How an operator is started. `Settings::default()` is what the journey uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--cluster-id`.
    pub cluster_id: String,
    /// `--network-enforcer`.
    pub network_enforcer: Option<String>,
    /// More arguments of `aidp run`.
    pub arguments: Vec<&'static str>,
    /// Content of the configuration file.
    pub configuration: Option<Value>,
    /// Whether it gets AWS credentials.
    pub credentials: bool,
    /// Kubeconfig instead of its own.
    pub kubeconfig: Option<PathBuf>,
    /// Endpoint instead of the proxy's.
    pub endpoint: Option<String>,
    /// `--lease-duration`. A killed operator's Lease has to run out before the next one may write: not longer than a test
    /// likes to wait, unless that is what it is about.
    pub lease_duration: &'static str,
    /// Access key, by which the proxy tells replicas apart.
    pub access_key: &'static str,
    /// Everything it prints meets a full disk.
    pub disk_full: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_id: "e2e".to_owned(),
            network_enforcer: Some("kube-router".to_owned()),
            arguments: Vec::new(),
            configuration: None,
            credentials: true,
            kubeconfig: None,
            endpoint: None,
            lease_duration: "3s",
            access_key: ACCESS_KEY,
            disk_full: false,
        }
    }
}

/// Where things are that every operator of a test needs.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Folder for logs and files.
    pub folder: PathBuf,
    /// Kubeconfig of the ServiceAccount.
    pub kubeconfig: PathBuf,
    /// The proxy's endpoint.
    pub endpoint: String,
    /// The proxy's CA.
    pub ca: PathBuf,
    /// Access key and secret of the operator, on an emulator that takes only those it knows; else it is
    /// [`Settings::access_key`].
    pub known_key: Option<(String, String)>,
}

/// A running operator.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    listen: SocketAddr,
    log: PathBuf,
}

impl Operator {
    /// Starts `aidp run`. It may not be ready yet.
    ///
    /// # Errors
    /// When the binary is missing or can't be started.
    pub async fn start(surroundings: &Surroundings, name: &str, settings: &Settings) -> Result<Self> {
        let Settings {
            cluster_id,
            network_enforcer,
            arguments,
            configuration,
            lease_duration,
            disk_full,
            ..
        } = settings;
        let listen = free_address()?;
        let mut all: Vec<OsString> = ["run", "--log-format", "json", "--listen-address"]
            .map(OsString::from)
            .to_vec();
        all.extend([listen.to_string().into(), "--cluster-id".into(), cluster_id.into()]);
        all.extend(["--oidc-provider-arn", OIDC_PROVIDER, "--operator-namespace", NAMESPACE].map(OsString::from));
        all.extend(["--lease-duration", lease_duration].map(OsString::from));
        if let Some(enforcer) = network_enforcer {
            all.extend(["--network-enforcer".into(), enforcer.into()]);
        }
        if let Some(configuration) = configuration {
            let file = surroundings.folder.join(format!("{name}.config.yaml"));
            std::fs::write(&file, serde_yaml::to_string(configuration)?)?;
            all.extend(["--config".into(), file.into()]);
        }
        all.extend(arguments.iter().map(OsString::from));
        let log = surroundings.folder.join(format!("{name}.log"));
        let environment = environment(surroundings, settings);
        let process = Process::start(&Program {
            path: binary()?,
            arguments: all,
            environment,
            log: log.clone(),
            disk_full: *disk_full,
        })
        .await?;
        Ok(Self { process, listen, log })
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it as a node that loses power would.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.signal("KILL").await?;
        self.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// Sends a signal by name: `TERM`, `STOP`, `CONT`.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name).await
    }

    /// Whether it says that it leads.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn leads(&self) -> Result<bool> {
        let (_, metrics) = self.get("/metrics").await?;
        Ok(metrics.lines().any(|line| line == "aidp_leader 1"))
    }

    /// Waits until it leads (or does not), and says how long that took.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn until_leads(&self, wanted: bool) -> Result<Duration> {
        let start = Instant::now();
        let what = if wanted {
            "the replica leads"
        } else {
            "the replica leads no more"
        };
        eventually(PATIENCE, what, || async {
            match self.leads().await {
                Ok(leads) if leads == wanted => Ok(()),
                Ok(leads) => Err(Error::from(format!("leads: {leads}"))),
                Err(error) => Err(error),
            }
        })
        .await?;
        Ok(start.elapsed())
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal("TERM").await?;
        self.wait(Duration::from_secs(30)).await
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit).await
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        self.process.running()
    }

    /// All it logged, over restarts under the same name.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// Where its endpoints are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Status and body of a GET on its port: `/readyz`, `/metrics`.
    ///
    /// # Errors
    /// When it does not answer within five seconds.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let uri = format!("http://{}{path}", self.listen).parse()?;
        let answer = async {
            let response = client.get(uri).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, Error>((status, String::from_utf8(body.to_vec())?))
        };
        tokio::time::timeout(Duration::from_secs(5), answer).await?
    }
}

/// The environment of an operator or of `aidp plan`: nothing of the caller's AWS configuration reaches it.
#[must_use]
pub fn environment(surroundings: &Surroundings, settings: &Settings) -> Vec<(String, OsString)> {
    let Surroundings {
        folder,
        kubeconfig,
        endpoint,
        ca,
        known_key,
    } = surroundings;
    let mut environment: Vec<(String, OsString)> = vec![
        ("PATH".to_owned(), std::env::var_os("PATH").unwrap_or_default()),
        ("HOME".to_owned(), folder.into()),
        (
            "KUBECONFIG".to_owned(),
            settings.kubeconfig.as_ref().unwrap_or(kubeconfig).into(),
        ),
        (
            "AWS_ENDPOINT_URL".to_owned(),
            settings.endpoint.as_ref().unwrap_or(endpoint).into(),
        ),
        ("AWS_REGION".to_owned(), crate::emulator::REGION.into()),
        ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".into()),
        ("AWS_CA_BUNDLE".to_owned(), ca.into()),
        ("RUST_BACKTRACE".to_owned(), "1".into()),
    ];
    if settings.credentials {
        let (access_key, secret) = match known_key {
            Some((access_key, secret)) => (access_key.as_str(), secret.as_str()),
            None => (settings.access_key, "secret"),
        };
        environment.push(("AWS_ACCESS_KEY_ID".to_owned(), access_key.into()));
        environment.push(("AWS_SECRET_ACCESS_KEY".to_owned(), secret.into()));
    }
    environment
}

/// The `aidp` binary: `AIDP_BIN`, else the one that cargo built beside the test.
///
/// # Errors
/// When it is not there, with the command that builds it.
pub fn binary() -> Result<PathBuf> {
    // Empty is not unset: whoever sets it means to say which binary is tested.
    if let Some(path) = std::env::var_os("AIDP_BIN") {
        if !Path::new(&path).is_file() {
            return Err(format!("AIDP_BIN={} is no file", path.display()).into());
        }
        return Ok(PathBuf::from(path));
    }
    let test = std::env::current_exe()?;
    let beside = test.parent().and_then(Path::parent).map(|folder| folder.join("aidp"));
    match beside.filter(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => Err("no `aidp` binary beside the tests: run them by `make e2e`, or name it in AIDP_BIN".into()),
    }
}
