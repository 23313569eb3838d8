//! A child process that cannot outlive the test process, however that ends.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Result;

/// What to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// Executable.
    pub path: PathBuf,
    /// Arguments.
    pub arguments: Vec<OsString>,
    /// The whole environment: nothing is inherited.
    pub environment: Vec<(String, OsString)>,
    /// Where stdout and stderr go; appended to.
    pub log: PathBuf,
    /// Instead of into the log all output goes to a device that is always full.
    pub disk_full: bool,
}

/// A running child. Dropping it kills the process at once, so that what a test started does nothing after it.
#[derive(Debug)]
pub struct Process {
    tether: Child,
    /// Held open for as long as the process may live; apart from the child, whose `wait` would close it.
    _lifeline: Option<ChildStdin>,
    pid: u32,
}

impl Process {
    /// Starts `program` under `tether.sh`, which ends it when this process ends.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn start(program: &Program) -> Result<Self> {
        let Program {
            path,
            arguments,
            environment,
            log,
            disk_full,
        } = program;
        let pidfile = log.with_extension("pid");
        if pidfile.exists() {
            std::fs::remove_file(&pidfile)?;
        }
        let output = if *disk_full { Path::new("/dev/full") } else { log };
        let output = File::options().create(true).append(true).open(output)?;
        let mut tether = Command::new("bash")
            .arg(e2e_dir().join("tether.sh"))
            .arg(&pidfile)
            .arg(path)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let lifeline = tether.stdin.take();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(text) = std::fs::read_to_string(&pidfile) {
                return Ok(Self {
                    tether,
                    _lifeline: lifeline,
                    pid: text.trim().parse()?,
                });
            }
            if Instant::now() > deadline {
                return Err(format!("{} did not start; see {}", path.display(), log.display()).into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Process id of the program itself, not of the tether.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by name: `KILL`, `TERM`, `STOP`, `CONT`.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid.to_string())
            .status()
            .await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("no process {} to signal", self.pid).into())
        }
    }

    /// Waits for the end. By a signal it is status 128 + its number, as shells count.
    ///
    /// # Errors
    /// When the process is still there after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match timeout(limit, self.tether.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(format!("process {} did not end within {limit:?}", self.pid).into()),
        }
    }

    /// Whether it is still running.
    pub fn running(&mut self) -> bool {
        matches!(self.tether.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.running() {
            // A process that has just ended needs no killing.
            let _ = std::process::Command::new("kill")
                .arg("-KILL")
                .arg(self.pid.to_string())
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// The folder of this crate: scripts and pins.
#[must_use]
pub fn e2e_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the whole project.
#[must_use]
pub fn project_dir() -> PathBuf {
    e2e_dir().parent().unwrap_or_else(e2e_dir).to_owned()
}
