//! Helm, as a user runs it on the chart.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::process::{e2e_dir, project_dir};
use crate::{Error, Result};

/// The chart, relative to the project's folder, in which [`helm`] runs.
pub const CHART: &str = "charts/aidp";

/// The executable: `AIDP_HELM`, else the pinned one, built when the cache lacks it.
///
/// # Errors
/// When it can't be built; what is missing was printed then.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| tool("helm").map_err(|error| error.to_string()));
    found.clone().map_err(Error::from)
}

/// What `tools.sh` prints for a tool: the path of its executable, or of a folder.
///
/// # Errors
/// When it can't be built; what is missing was printed then.
pub fn tool(name: &str) -> Result<PathBuf> {
    let output = Command::new("bash")
        .arg(e2e_dir().join("tools.sh"))
        .arg(name)
        .stderr(Stdio::inherit())
        .output()?;
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    if output.status.success() && !path.is_empty() {
        Ok(PathBuf::from(path))
    } else {
        Err(format!("tools.sh {name} failed").into())
    }
}

/// Runs helm to its end, whatever that is. Nothing of the caller's Helm configuration reaches it.
///
/// # Errors
/// When it can't be started.
pub fn output(kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command
        .args(arguments)
        .current_dir(project_dir())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        // Helm wants a home for its caches and leaves nothing there for a local chart.
        .env("HOME", project_dir().join("target"));
    if let Some(kubeconfig) = kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    Ok(command.output()?)
}

/// Runs helm and returns its stdout.
///
/// # Errors
/// With what helm said on stderr.
pub fn helm(kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let output = output(kubeconfig, arguments)?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("helm {}: {}", arguments.join(" "), said.trim()).into())
    }
}
