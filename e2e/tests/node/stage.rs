//! What all tests share: the node that `test.sh` started, an AWS emulator behind the proxy, and the chart installed once.

use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use aidp_e2e::aws::Aws;
use aidp_e2e::emulator::{Emulator, Kind};
use aidp_e2e::proxy::Proxy;
use aidp_e2e::view::PolicyView;
use aidp_e2e::wait::eventually;
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// This machine as the pods see it.
const HOST: &str = "10.99.0.254";
/// How long anything may take that is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Where the chart is installed.
pub(crate) const NAMESPACE: &str = "aidp-system";

/// Everything that is up.
pub(crate) struct Stage {
    runtime: Runtime,
    pub(crate) proxy: Proxy,
    pub(crate) aws: Aws,
    kubeconfig: String,
    _emulator: Emulator,
}

/// Who holds the Lease: a process, and the pod that it runs in.
pub(crate) struct Leader {
    holder: String,
    pub(crate) pod: String,
}

/// Runs a test on the stage, which the first one sets up.
pub(crate) fn on_stage(test: impl AsyncFnOnce(&Stage) -> Result<()>) {
    static STAGE: OnceLock<std::result::Result<Stage, String>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| Stage::set().map_err(|e| e.to_string()));
    let stage = stage.as_ref().expect("the stage could not be set");
    stage.runtime.block_on(test(stage)).unwrap();
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: run these tests by `make test-node`").into())
}

impl Stage {
    fn set() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let folder = PathBuf::from(variable("AIDP_NODE_DIR")?);
        let (emulator, proxy) = runtime.block_on(async {
            let emulator = Emulator::start(Kind::Moto, &folder).await?;
            let host: SocketAddr = format!("{HOST}:0").parse()?;
            let proxy = Proxy::start_on(emulator.address(), host, "127.0.0.1:0".parse()?).await?;
            Ok::<_, Error>((emulator, proxy))
        })?;
        let aws = Aws::new(emulator.address());
        let stage = Self {
            runtime,
            proxy,
            aws,
            kubeconfig: variable("AIDP_NODE_KUBECONFIG")?,
            _emulator: emulator,
        };
        stage.install(&folder)?;
        Ok(stage)
    }

    /// `helm install`, as a user does it, with the image that was side-loaded.
    fn install(&self, folder: &Path) -> Result<()> {
        let ca = folder.join("ca.pem");
        self.proxy.write_ca(&ca)?;
        let port = self.proxy.endpoint().rsplit(':').next().unwrap_or_default().to_owned();
        let values = folder.join("values.yaml");
        let text = json!({
            "image": {"repository": "registry.local/aidp", "tag": "e2e", "pullPolicy": "Never"},
            "priorityClassName": "",
            "caBundle": std::fs::read_to_string(&ca)?,
            "awsRegion": "eu-west-1",
            "env": [
                {"name": "AWS_ENDPOINT_URL", "value": self.proxy.endpoint()},
                {"name": "AWS_ACCESS_KEY_ID", "value": "AKIAOPERATOR"},
                {"name": "AWS_SECRET_ACCESS_KEY", "value": "secret"},
            ],
            "networkPolicy": {"extraPorts": [port.parse::<u16>()?]},
            "config": {
                "oidcProviderARN": "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/NODE",
                "networkEnforcer": "kube-router",
                "logFormat": "text",
            },
        });
        std::fs::write(&values, serde_yaml::to_string(&text)?)?;
        self.kubectl(&["create", "namespace", NAMESPACE])?;
        self.release("install", "charts/aidp")
    }

    /// `helm install` or `helm upgrade` of a chart with the values of these tests, until both replicas are ready.
    pub(crate) fn release(&self, verb: &str, chart: &str) -> Result<()> {
        let values = PathBuf::from(variable("AIDP_NODE_DIR")?).join("values.yaml");
        let values = values.to_str().ok_or("path")?;
        helm(&[verb, "aidp", chart, "--namespace", NAMESPACE, "--values", values])?;
        self.kubectl(&["rollout", "status", "deployment/aidp", "-n", NAMESPACE, "--timeout=90s"])
            .inspect_err(|_| {
                for about in [
                    vec!["get", "pods", "-o", "wide"],
                    vec!["logs", "deployment/aidp", "--tail=30"],
                ] {
                    let arguments: Vec<&str> = about.into_iter().chain(["-n", NAMESPACE]).collect();
                    eprintln!("{}", self.kubectl(&arguments).unwrap_or_else(|e| e.to_string()));
                }
            })
            .map(drop)
    }

    /// Kills the operator's container in a pod as the kernel would, without a word to it or to Kubernetes.
    pub(crate) fn kill_container(&self, pod: &str) -> Result<()> {
        let path = "jsonpath={.status.containerStatuses[0].containerID}";
        let id = self.kubectl(&["get", "pod", pod, "-n", NAMESPACE, "-o", path])?;
        let id = id.strip_prefix("containerd://").ok_or("no container is running")?;
        let socket = PathBuf::from(variable("AIDP_NODE_DIR")?).join("node/ctd.sock");
        let socket = socket.to_str().ok_or("path")?;
        run(
            "ctr",
            &["-a", socket, "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", id],
            "",
        )
        .map(drop)
    }

    /// Who holds the Lease.
    pub(crate) fn leader(&self) -> Result<Leader> {
        let path = "jsonpath={.spec.holderIdentity}";
        let holder = self.kubectl(&["get", "lease", "aidp", "-n", NAMESPACE, "-o", path])?;
        let pod = holder.split('_').next().filter(|pod| !pod.is_empty());
        let pod = pod.map(str::to_owned).ok_or("nobody holds the Lease")?;
        Ok(Leader { holder, pod })
    }

    /// Waits until the Lease is held by another process than `leader`, and says how long that took. The container of a
    /// killed leader is started again in the same pod: it is another process, and may well be the next to lead.
    pub(crate) async fn until_leader_is_not(&self, leader: &Leader) -> Result<Duration> {
        let start = std::time::Instant::now();
        eventually(PATIENCE, "another process leads", || async {
            match self.leader()? {
                now if now.holder != leader.holder => Ok(()),
                now => Err(Error::from(now.holder)),
            }
        })
        .await?;
        Ok(start.elapsed())
    }

    /// Runs kubectl as the administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "")
    }

    /// The same with standard input.
    pub(crate) fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        let mut all = vec!["--kubeconfig", self.kubeconfig.as_str()];
        all.extend(arguments);
        run(&variable("AIDP_KUBECTL")?, &all, stdin)
    }

    /// Applies objects.
    pub(crate) fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl_with(&["apply", "--server-side", "-f", "-"], &list.to_string())
            .map(drop)
    }

    /// Waits until the policy's row (Ready Reconciling Stalled Drifted reason) is `row`.
    pub(crate) async fn until_row(&self, name: &str, row: &str) -> Result<PolicyView> {
        eventually(PATIENCE, &format!("policy {name} is {row}"), || async {
            let view = PolicyView(serde_json::from_str(
                &self.kubectl(&["get", "adpp", name, "-o", "json"])?,
            )?);
            if view.row() == row && view.current() {
                Ok(view)
            } else {
                Err(Error::from(format!(
                    "{}\n  {}",
                    view.row(),
                    view.findings().join("\n  ")
                )))
            }
        })
        .await
    }

    /// Waits until a request to look again has been handled.
    pub(crate) async fn until_handled(&self, name: &str, value: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name} has handled the request {value}"), || async {
            let handled = self.kubectl(&["get", "adpp", name, "-o", "jsonpath={.status.lastHandledReconcileAt}"])?;
            if handled == value {
                Ok(())
            } else {
                Err(Error::from(handled))
            }
        })
        .await
    }

    /// The policy's findings, as soon as one of them has `text` in it.
    pub(crate) async fn until_finding(&self, name: &str, text: &str) -> Result<String> {
        eventually(PATIENCE, &format!("a finding of {name} says {text}"), || async {
            let view = PolicyView(serde_json::from_str(
                &self.kubectl(&["get", "adpp", name, "-o", "json"])?,
            )?);
            let found = view.findings().into_iter().find(|finding| finding.contains(text));
            found.ok_or_else(|| Error::from(view.findings().join("\n  ")))
        })
        .await
    }

    /// Does the probe in a pod succeed? `what` is its verb and arguments.
    pub(crate) fn probe(&self, namespace: &str, pod: &str, what: &[&str]) -> bool {
        let mut arguments = vec!["exec", "-n", namespace, pod, "--", "/probe"];
        arguments.extend(what);
        self.kubectl(&arguments).is_ok()
    }

    /// Waits until a probe has the wanted result, and says how long that took.
    pub(crate) async fn until_probe(&self, namespace: &str, pod: &str, what: &[&str], want: bool) -> Result<Duration> {
        let start = std::time::Instant::now();
        eventually(
            PATIENCE,
            &format!("{what:?} from {namespace}/{pod} is {want}"),
            || async {
                if self.probe(namespace, pod, what) == want {
                    Ok(())
                } else {
                    Err("not yet")
                }
            },
        )
        .await?;
        Ok(start.elapsed())
    }

    /// A pod of the probe image, running.
    pub(crate) fn pod(&self, namespace: &str, name: &str, labels: &Value, arguments: &[&str]) -> Result<()> {
        self.apply(&[probe_pod(namespace, name, labels, arguments)])?;
        self.kubectl(&[
            "wait",
            "-n",
            namespace,
            "--for=condition=Ready",
            &format!("pod/{name}"),
            "--timeout=60s",
        ])
        .map(drop)
    }

    /// Address of a pod.
    pub(crate) fn pod_ip(&self, namespace: &str, name: &str) -> Result<String> {
        self.kubectl(&["get", "pod", "-n", namespace, name, "-o", "jsonpath={.status.podIP}"])
    }
}

/// Makes something answer at the address of the instance metadata service, on 80 and 443: the host, which has it as
/// a second address and routes it for the node. Once for all tests.
pub(crate) fn metadata_server() -> Result<()> {
    static SERVED: OnceLock<()> = OnceLock::new();
    if SERVED.get().is_some() {
        return Ok(());
    }
    run("ip", &["addr", "add", "169.254.169.254/32", "dev", "aidpe2e0"], "")?;
    for port in [80, 443] {
        let listener = std::net::TcpListener::bind(("169.254.169.254", port))?;
        std::thread::spawn(move || {
            // Bounded by the process: the tests end, the thread ends.
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                let _ = stream.write_all(b"ok");
            }
        });
    }
    let _ = SERVED.set(());
    Ok(())
}

/// A pod of the probe image.
pub(crate) fn probe_pod(namespace: &str, name: &str, labels: &Value, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
            "containers": [{"name": "probe", "image": "registry.local/probe:1", "imagePullPolicy": "Never", "args": arguments}],
        },
    })
}

/// A namespace.
pub(crate) fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A policy in mode Enforce.
pub(crate) fn policy(name: &str, mut spec: Value) -> Value {
    spec["mode"] = "Enforce".into();
    spec["account"] = json!({"id": "123456789012", "region": "eu-west-1"});
    json!({"apiVersion": "aidp.dev/v1alpha1", "kind": "AIDataProtectionPolicy", "metadata": {"name": name}, "spec": spec})
}

/// Runs helm from the project's folder.
pub(crate) fn helm(arguments: &[&str]) -> Result<String> {
    let kubeconfig = variable("AIDP_NODE_KUBECONFIG")?;
    let mut all = vec!["--kubeconfig", kubeconfig.as_str()];
    all.extend(arguments);
    run(&variable("AIDP_HELM")?, &all, "")
}

fn run(program: &str, arguments: &[&str], stdin: &str) -> Result<String> {
    let mut child = Command::new(OsStr::new(program))
        .args(arguments)
        .current_dir(aidp_e2e::process::project_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("stdin")?.write_all(stdin.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {}", arguments.join(" "), said.trim()).into())
    }
}
