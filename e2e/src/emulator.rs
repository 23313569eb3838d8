//! The AWS emulator (moto): one process for each test, so that no test sees another's buckets.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::process::{Process, Program, e2e_dir};
use crate::wait::eventually;
use crate::{Error, Result};

/// The account that moto plays.
pub const ACCOUNT: &str = "123456789012";

/// Home region of the tests.
pub const REGION: &str = "eu-west-1";

/// A running moto server. Dropping it stops it.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    _process: Process,
}

impl Emulator {
    /// Starts moto on a free port; its log goes to `folder`. `managed_policies`: with AWS's own managed policies, whose
    /// loading takes seconds.
    ///
    /// # Errors
    /// When it can't be installed or does not answer within a minute.
    pub async fn start(folder: &Path, managed_policies: bool) -> Result<Self> {
        let executable = installed()?;
        // Free now may be taken in a moment: then moto ends at once, and another port is tried.
        let mut last = Error::from("no attempt");
        for _ in 0..3 {
            let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
            let program = Program {
                path: executable.clone(),
                arguments: ["-H", "127.0.0.1", "-p", &address.port().to_string()]
                    .map(OsString::from)
                    .to_vec(),
                environment: vec![
                    ("PATH".to_owned(), std::env::var_os("PATH").unwrap_or_default()),
                    ("HOME".to_owned(), folder.into()),
                    // Without a region of its own boto looks for one in places that tests should not read.
                    ("AWS_DEFAULT_REGION".to_owned(), REGION.into()),
                    (
                        "MOTO_IAM_LOAD_MANAGED_POLICIES".to_owned(),
                        managed_policies.to_string().into(),
                    ),
                ],
                log: folder.join("moto.log"),
                disk_full: false,
            };
            let mut process = Process::start(&program).await?;
            let up = eventually(Duration::from_mins(1), "moto accepts connections", || async {
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
                () = ended => Err(Error::from(format!("moto ended at once; see {}", program.log.display()))),
            };
            match outcome {
                Ok(()) => {
                    return Ok(Self {
                        address,
                        _process: process,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where it listens, plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Installs moto once per process, unless the cache has it.
fn installed() -> Result<PathBuf> {
    static MOTO: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let install = || {
        let output = Command::new("bash")
            .arg(e2e_dir().join("tools.sh"))
            .arg("moto")
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|error| format!("tools.sh: {error}"))?;
        if output.status.success() {
            Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        } else {
            Err("moto could not be installed; the reason was printed above".to_owned())
        }
    };
    Ok(MOTO.get_or_init(install).clone()?)
}
