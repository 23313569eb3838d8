//! The AWS emulators, moto and fakecloud, and the S3 server versitygw: one process for each test, so that no test sees
//! another's buckets.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::ports::free_address;
use crate::process::{Process, Program, e2e_dir};
use crate::wait::eventually;
use crate::{Error, Result};

/// The account that the emulators play.
pub const ACCOUNT: &str = "123456789012";

/// Home region of the tests.
pub const REGION: &str = "eu-west-1";

/// The secret of every access key that an emulator is asked with from outside.
pub(crate) const SECRET: &str = "secret";

/// Where versitygw keeps metadata, versions and objects.
const STORE: [&str; 3] = ["sidecar", "versions", "data"];

/// Which emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// moto: quick to get, stores what it is told, enforces nothing.
    Moto,
    /// The same with AWS's own managed policies, such as `ReadOnlyAccess`; loading them takes seconds.
    MotoWithManagedPolicies,
    /// fakecloud in strict mode: refuses what IAM, bucket policies and the public access block forbid. Access keys that
    /// begin with `test` are exempt.
    Fakecloud,
    /// versitygw: an S3 server that is not AWS's. It lacks half of the S3 API, has no accounts, no IAM, STS or KMS, and
    /// knows one user, whom nothing is refused.
    Versitygw,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Moto | Self::MotoWithManagedPolicies => "moto",
            Self::Fakecloud => "fakecloud",
            Self::Versitygw => "versitygw",
        }
    }

    /// The access key of one who seeds, tampers and judges, and whom nothing is refused.
    pub(crate) fn outsider(self) -> &'static str {
        match self {
            Self::Moto | Self::MotoWithManagedPolicies => "AKIAOUTSIDER00000000",
            Self::Fakecloud => "testoutsider",
            Self::Versitygw => "AKIAROOT000000000000",
        }
    }

    fn arguments(self, address: SocketAddr, folder: &Path) -> Vec<OsString> {
        let (port, address) = (address.port().to_string(), address.to_string());
        let more = match self {
            Self::Moto | Self::MotoWithManagedPolicies | Self::Fakecloud => Vec::new(),
            Self::Versitygw => {
                let [sidecar, versions, data] = STORE.map(|name| folder.join(name).into_os_string());
                vec!["--sidecar".into(), sidecar, "--versioning-dir".into(), versions, data]
            }
        };
        let words = match self {
            Self::Moto | Self::MotoWithManagedPolicies => vec!["-H", "127.0.0.1", "-p", &port],
            Self::Fakecloud => vec![
                "--addr",
                &address,
                "--region",
                REGION,
                "--account-id",
                ACCOUNT,
                "--iam",
                "strict",
                "--log-level",
                "warn",
            ],
            Self::Versitygw => vec![
                "-a",
                self.outsider(),
                "-s",
                SECRET,
                "--region",
                REGION,
                "-p",
                &address,
                "posix",
            ],
        };
        words.into_iter().map(OsString::from).chain(more).collect()
    }
}

/// A running emulator. Dropping it stops it.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    process: Process,
    log: PathBuf,
}

impl Emulator {
    /// Starts an emulator on a free port; its log goes to `folder`.
    ///
    /// # Errors
    /// When it can't be installed or does not answer within a minute.
    pub async fn start(kind: Kind, folder: &Path) -> Result<Self> {
        let (name, executable) = (kind.name(), installed(kind)?);
        if kind == Kind::Versitygw {
            STORE
                .map(|name| std::fs::create_dir_all(folder.join(name)))
                .into_iter()
                .collect::<Result<(), _>>()?;
        }
        // Free now may be taken in a moment: then the emulator ends at once, and another port is tried.
        let mut last = Error::from("no attempt");
        for _ in 0..3 {
            let address = free_address()?;
            let program = Program {
                path: executable.clone(),
                arguments: kind.arguments(address, folder),
                environment: vec![
                    ("PATH".to_owned(), std::env::var_os("PATH").unwrap_or_default()),
                    ("HOME".to_owned(), folder.into()),
                    // Without a region of its own boto looks for one in places that tests should not read.
                    ("AWS_DEFAULT_REGION".to_owned(), REGION.into()),
                    (
                        "MOTO_IAM_LOAD_MANAGED_POLICIES".to_owned(),
                        (kind == Kind::MotoWithManagedPolicies).to_string().into(),
                    ),
                ],
                log: folder.join(format!("{name}.log")),
                disk_full: false,
            };
            let mut process = Process::start(&program).await?;
            let up = eventually(Duration::from_mins(1), "the emulator accepts connections", || async {
                TcpStream::connect(address)
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string())
            });
            let ended = async {
                while process.running() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let outcome = tokio::select! {
                outcome = up => outcome,
                () = ended => Err(Error::from(format!("{name} ended at once; see {}", program.log.display()))),
            };
            match outcome {
                Ok(()) => {
                    return Ok(Self {
                        address,
                        process,
                        log: program.log,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What it printed, if it has ended although a test still needs it.
    pub fn obituary(&mut self) -> Option<String> {
        (!self.process.running()).then(|| std::fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// Where it listens, plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Installs an emulator once per process, unless the cache has it.
fn installed(kind: Kind) -> Result<PathBuf> {
    static MOTO: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    static FAKECLOUD: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    static VERSITYGW: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let name = kind.name();
    let install = || {
        let output = Command::new("bash")
            .arg(e2e_dir().join("tools.sh"))
            .arg(name)
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|error| format!("tools.sh: {error}"))?;
        if output.status.success() {
            Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        } else {
            Err(format!("{name} could not be installed; the reason was printed above"))
        }
    };
    let known = match kind {
        Kind::Moto | Kind::MotoWithManagedPolicies => &MOTO,
        Kind::Fakecloud => &FAKECLOUD,
        Kind::Versitygw => &VERSITYGW,
    };
    Ok(known.get_or_init(install).clone()?)
}
