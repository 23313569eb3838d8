//! Control planes. A test has one to itself: the policy is cluster-scoped, so two operators on one API server would see
//! each other's objects. Planes are started when needed and used again, at most [`limit`] at a time.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::helm::{CHART, helm};
use crate::process::e2e_dir;
use crate::{Error, Result};

/// Namespace of the operator.
pub const NAMESPACE: &str = "aidp-system";

/// ServiceAccount of the operator; the chart names everything after its release, so that is the release's name too.
pub const SERVICE_ACCOUNT: &str = "aidp";

/// A running control plane, or the cluster that `KUBECONFIG` names.
#[derive(Debug)]
struct Plane {
    kubectl: PathBuf,
    admin: PathBuf,
    own: Option<Own>,
}

/// What only a plane of our own has.
#[derive(Debug)]
struct Own {
    folder: TempDir,
    /// Ends, and takes the plane with it, when its stdin closes: with this process.
    process: Child,
}

/// The right to use a control plane; gives it back, cleaned, when dropped.
#[derive(Debug)]
pub struct Lease {
    plane: Option<Plane>,
    /// Whether the next test may have the plane after this one.
    reusable: bool,
    /// Whether the API server may have refused the operator what it is given, see [`Lease::refuses`].
    refuses: AtomicBool,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Plane>,
    in_use: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    idle: Vec::new(),
    in_use: 0,
});
static FREED: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most control planes at a time: `AIDP_E2E_PLANES`, else four. One on a given cluster.
fn limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        if given().is_some() {
            return 1;
        }
        std::env::var("AIDP_E2E_PLANES")
            .ok()
            .and_then(|n| n.parse().ok())
            .unwrap_or(4)
    })
}

/// The cluster that the caller named, if any.
fn given() -> Option<PathBuf> {
    std::env::var_os("KUBECONFIG")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

impl Lease {
    /// A control plane with the CRD, the operator's namespace and its RBAC, and no policy. Blocks while all are in use.
    ///
    /// # Errors
    /// When none can be started.
    pub fn take() -> Result<Self> {
        let mut pool = pool();
        while pool.in_use >= limit() {
            pool = FREED.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.in_use += 1;
        let idle = pool.idle.pop();
        drop(pool);
        // From here on a failure gives the place back, through Drop.
        let mut lease = Self {
            plane: None,
            reusable: true,
            refuses: AtomicBool::new(false),
        };
        lease.plane = Some(match idle {
            Some(plane) => plane,
            None => Plane::start()?,
        });
        Ok(lease)
    }

    /// One more control plane for a test that needs a second cluster, beyond the limit: waiting for it while holding the
    /// first could wait for ever.
    ///
    /// # Errors
    /// When it can't be started, or the cluster is given: there is only that one.
    pub fn second() -> Result<Self> {
        if given().is_some() {
            return Err("KUBECONFIG names one cluster, and this test needs two".into());
        }
        Self::extra(true, Plane::start)
    }

    /// A control plane with nothing in it, beyond the limit as [`Lease::second`]: for installing into. None on a given
    /// cluster, which may hold an installation.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn bare() -> Result<Option<Self>> {
        if given().is_some() {
            eprintln!("NOT CHECKED: an installation from nothing, since KUBECONFIG names a cluster");
            return Ok(None);
        }
        Self::extra(false, Plane::start_own).map(Some)
    }

    fn extra(reusable: bool, start: impl FnOnce() -> Result<Plane>) -> Result<Self> {
        pool().in_use += 1;
        let mut lease = Self {
            plane: None,
            reusable,
            refuses: AtomicBool::new(false),
        };
        lease.plane = Some(start()?);
        Ok(lease)
    }

    fn plane(&self) -> Result<&Plane> {
        self.plane
            .as_ref()
            .ok_or_else(|| Error::from("the control plane has been given back"))
    }

    /// Kubeconfig of the administrator: for the test, never for the operator.
    ///
    /// # Errors
    /// Never while the lease is held.
    pub fn admin(&self) -> Result<&Path> {
        Ok(&self.plane()?.admin)
    }

    /// Runs kubectl as the administrator and returns its stdout.
    ///
    /// # Errors
    /// With kubectl's stderr.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.plane()?.kubectl(arguments, None)
    }

    /// Runs kubectl as the administrator with `stdin`.
    ///
    /// # Errors
    /// With kubectl's stderr.
    pub fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        self.plane()?.kubectl(arguments, Some(stdin))
    }

    /// Writes a kubeconfig that acts as the operator's ServiceAccount by a token of its own.
    ///
    /// # Errors
    /// When the token can't be made.
    pub fn write_operator_kubeconfig(&self, path: &Path) -> Result<()> {
        let token = self.kubectl(&["create", "token", SERVICE_ACCOUNT, "-n", NAMESPACE, "--duration=8h"])?;
        let admin: Value =
            serde_json::from_str(&self.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o=json"])?)?;
        let cluster = admin
            .pointer("/clusters/0/cluster")
            .ok_or("kubeconfig without a cluster")?;
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "operator",
            "clusters": [{"name": "cluster", "cluster": cluster}],
            "users": [{"name": "operator", "user": {"token": token.trim()}}],
            "contexts": [{"name": "operator", "context": {"cluster": "cluster", "user": "operator"}}],
        });
        Ok(std::fs::write(path, config.to_string())?)
    }

    /// Stops the API server as if it had crashed.
    ///
    /// # Errors
    /// On a cluster that is not ours to stop.
    pub fn stop_apiserver(&self) -> Result<()> {
        self.script("stop-apiserver")
    }

    /// Starts the API server again, on the same port.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_apiserver(&self) -> Result<()> {
        self.will_refuse();
        self.script("start-apiserver")
    }

    /// Makes the API server hang: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// On a cluster that is not ours.
    pub fn pause_apiserver(&self) -> Result<()> {
        self.script("pause-apiserver")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// On a cluster that is not ours.
    pub fn resume_apiserver(&self) -> Result<()> {
        self.script("resume-apiserver")
    }

    /// Stops etcd under a running API server.
    ///
    /// # Errors
    /// On a cluster that is not ours.
    pub fn stop_etcd(&self) -> Result<()> {
        self.script("stop-etcd")
    }

    /// Starts etcd again with the data that it had.
    ///
    /// # Errors
    /// When it does not get healthy.
    pub fn start_etcd(&self) -> Result<()> {
        self.script("start-etcd")
    }

    /// Whether this control plane is ours to stop; if not, says aloud that the test checks nothing.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let ours = self.plane.as_ref().is_some_and(|plane| plane.own.is_some());
        if !ours {
            eprintln!("NOT CHECKED: the control plane that KUBECONFIG names is not ours to disturb");
        }
        ours
    }

    fn script(&self, verb: &str) -> Result<()> {
        let own = self
            .plane()?
            .own
            .as_ref()
            .ok_or("KUBECONFIG names a cluster whose API server is not ours to stop")?;
        let status = Command::new("bash")
            .arg(e2e_dir().join("controlplane/plane.sh"))
            .arg(verb)
            .arg(own.folder.path())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("plane.sh {verb} failed").into())
        }
    }

    /// Says that the API server will refuse the operator what the chart gives it, because of what this test does.
    pub fn will_refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    /// Whether this test started the API server again, which refuses everybody until it has read its roles, or took a right
    /// away: a refusal is then no sign of a right that the chart lacks.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// The API server's audit log; none on a cluster that `KUBECONFIG` names.
    #[must_use]
    pub fn audit_log(&self) -> Option<PathBuf> {
        let own = self.plane.as_ref()?.own.as_ref()?;
        Some(own.folder.path().join("log/audit.jsonl"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // After a failed test nobody knows in which state its plane is: it is stopped, not used again.
        let clean = self
            .plane
            .take()
            .filter(|_| self.reusable && !std::thread::panicking())
            .and_then(|plane| plane.clean().ok().map(|()| plane));
        let mut pool = pool();
        pool.in_use -= 1;
        pool.idle.extend(clean);
        drop(pool);
        FREED.notify_one();
    }
}

impl Plane {
    fn start() -> Result<Self> {
        let plane = match given() {
            Some(admin) => Self {
                kubectl: kubectl_of_given_cluster(),
                admin,
                own: None,
            },
            None => Self::start_own()?,
        };
        plane.prepare()?;
        Ok(plane)
    }

    fn start_own() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("aidp-e2e-").tempdir()?;
        let mut process = Command::new("bash")
            .arg(e2e_dir().join("controlplane/plane.sh"))
            .arg("run")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("plane.sh without stdout")?;
        let mut admin = String::new();
        BufReader::new(stdout).read_line(&mut admin)?;
        if admin.is_empty() {
            process.wait()?;
            return Err("the control plane did not start; what is missing was printed above".into());
        }
        let environment = std::fs::read_to_string(folder.path().join("env"))?;
        let binaries = environment
            .lines()
            .find_map(|line| line.strip_prefix("BIN="))
            .ok_or("plane.sh wrote no BIN")?;
        Ok(Self {
            kubectl: Path::new(binaries).join("kubectl"),
            admin: PathBuf::from(admin.trim()),
            own: Some(Own { folder, process }),
        })
    }

    /// CRD, namespace, ServiceAccount and RBAC: the chart, but for the operator's pods, which no node would run.
    fn prepare(&self) -> Result<()> {
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let rights = helm(
            None,
            &[
                "template",
                SERVICE_ACCOUNT,
                CHART,
                "--namespace",
                NAMESPACE,
                "--show-only",
                "templates/crd.yaml",
                "--show-only",
                "templates/serviceaccount.yaml",
                "--show-only",
                "templates/rbac.yaml",
            ],
        )?;
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl(&apply, Some(&format!("{namespace}\n---\n{rights}")))?;
        self.kubectl(
            &[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd/aidataprotectionpolicies.aidp.dev",
            ],
            None,
        )?;
        self.clean()
    }

    /// Removes what a test left: policies (with their finalizers), NetworkPolicies of the operator, its Leases.
    fn clean(&self) -> Result<()> {
        let names = self.kubectl(&["get", "adpp", "-o=name"], None)?;
        for name in names.lines() {
            self.kubectl(
                &[
                    "patch",
                    name,
                    "--type=merge",
                    "-p",
                    r#"{"metadata":{"finalizers":null}}"#,
                ],
                None,
            )?;
        }
        self.kubectl(&["delete", "adpp", "--all", "--wait=true", "--timeout=30s"], None)?;
        self.kubectl(
            &[
                "delete",
                "networkpolicies",
                "-A",
                "-l",
                "app.kubernetes.io/managed-by=aidp",
            ],
            None,
        )?;
        self.kubectl(&["delete", "leases", "-n", NAMESPACE, "--all"], None)?;
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
        use std::io::Write;
        let mut child = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.admin)
            .arg("--request-timeout=60s")
            .args(arguments)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            pipe.write_all(text.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(format!("kubectl {}: {}", arguments.join(" "), stderr.trim()).into())
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            drop(own.process.stdin.take());
            // Nothing to do about a failure: the process sees its stdin close in any case.
            let _ = own.process.wait();
        }
    }
}

fn kubectl_of_given_cluster() -> PathBuf {
    std::env::var_os("KUBEBUILDER_ASSETS").map_or_else(
        || PathBuf::from("kubectl"),
        |folder| PathBuf::from(folder).join("kubectl"),
    )
}
