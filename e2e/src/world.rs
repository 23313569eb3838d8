//! Everything one test needs: a control plane, an emulator behind a proxy, and as many operators as it starts.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::Audit;
use crate::aws::Aws;
use crate::emulator::{ACCOUNT, Emulator, Kind, REGION, SECRET};
use crate::operator::{ACCESS_KEY, Operator, Settings, Surroundings};
use crate::plane::Lease;
use crate::process::project_dir;
use crate::proxy::Proxy;
use crate::record::Record;
use crate::view::PolicyView;
pub use crate::wait::PATIENCE;
use crate::wait::eventually;
use crate::{Error, Result};

/// The surroundings of one test.
pub struct World {
    /// The proxy in front of the emulator.
    pub proxy: Proxy,
    /// AWS as an outsider sees it.
    pub aws: Aws,
    /// The control plane.
    pub plane: Lease,
    surroundings: Surroundings,
    record: Mutex<Record>,
    since: Option<Audit>,
    // Fields are dropped in this order: the emulator outlives the proxy and the clients.
    emulator: Emulator,
}

/// Runs one test in a world of its own. On failure the operators' logs are printed; they stay in `target/e2e/<test>/`.
///
/// # Panics
/// When the test fails.
pub fn journey(test: impl AsyncFnOnce(&mut World) -> Result<()>) {
    journey_on(Kind::Moto, test);
}

/// The same in an account that has AWS's own managed policies, such as `ReadOnlyAccess`.
///
/// # Panics
/// When the test fails.
pub fn journey_with_managed_policies(test: impl AsyncFnOnce(&mut World) -> Result<()>) {
    journey_on(Kind::MotoWithManagedPolicies, test);
}

/// The same on the emulator that refuses what policies forbid. The operator is a user there who may do everything.
///
/// # Panics
/// When the test fails.
pub fn enforced_journey(test: impl AsyncFnOnce(&mut World) -> Result<()>) {
    journey_on(Kind::Fakecloud, test);
}

/// The same on an S3 server that is not AWS's, and lacks half of its API: policies of buckets only.
///
/// # Panics
/// When the test fails.
pub fn other_server_journey(test: impl AsyncFnOnce(&mut World) -> Result<()>) {
    journey_on(Kind::Versitygw, test);
}

#[expect(clippy::panic, reason = "this is how a test fails")]
fn journey_on(emulator: Kind, test: impl AsyncFnOnce(&mut World) -> Result<()>) {
    let start = std::time::Instant::now();
    let outcome = (|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut world = World::start(emulator).await?;
            let outcome = test(&mut world).await.inspect_err(|_| world.explain());
            note_duration(start.elapsed())?;
            outcome.and_then(|()| world.keep_record())
        })
    })();
    if let Err(error) = outcome {
        panic!("{}", crate::chain(&*error));
    }
}

impl World {
    async fn start(kind: Kind) -> Result<Self> {
        let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let folder = project_dir().join("target/e2e").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let plane = Lease::take()?;
        let emulator = Emulator::start(kind, &folder).await?;
        let aws = Aws::of(kind, emulator.address());
        let known_key = match kind {
            Kind::Moto | Kind::MotoWithManagedPolicies => None,
            Kind::Fakecloud => Some(aws.create_administrator("aidp-operator").await?),
            Kind::Versitygw => Some((kind.outsider().to_owned(), SECRET.to_owned())),
        };
        let proxy = Proxy::start(emulator.address()).await?;
        let (ca, kubeconfig) = (folder.join("ca.pem"), folder.join("operator.kubeconfig"));
        proxy.write_ca(&ca)?;
        plane.write_operator_kubeconfig(&kubeconfig)?;
        let since = plane.audit_log().map(Audit::from_now).transpose()?;
        let surroundings = Surroundings {
            folder,
            kubeconfig,
            endpoint: proxy.endpoint(),
            ca,
            known_key,
        };
        Ok(Self {
            aws,
            proxy,
            plane,
            surroundings,
            record: Mutex::default(),
            since,
            emulator,
        })
    }

    /// Where files and logs of this test are.
    #[must_use]
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// Starts an operator and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn operator(&self, name: &str, settings: &Settings) -> Result<Operator> {
        let mut operator = self.operator_unready(name, settings).await?;
        let ready = eventually(PATIENCE, "the operator is ready", || async {
            match operator.get("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(Error::from(format!("/readyz says {status}: {body}"))),
                Err(error) => Err(error),
            }
        })
        .await;
        match ready {
            Ok(()) => Ok(operator),
            Err(error) if operator.running() => Err(error),
            Err(_) => Err(format!("the operator ended; it said:\n{}", tail(&operator.log()?)).into()),
        }
    }

    /// Starts an operator without waiting.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn operator_unready(&self, name: &str, settings: &Settings) -> Result<Operator> {
        self.note_operator(settings);
        Operator::start(&self.surroundings, name, settings).await
    }

    /// Applies an object as a user would: `kubectl apply --server-side`.
    ///
    /// # Errors
    /// With the API server's answer.
    pub fn apply(&self, object: &Value) -> Result<()> {
        self.note(object);
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=e2e",
            "-f",
            "-",
        ];
        self.plane.kubectl_with(&arguments, &object.to_string()).map(drop)
    }

    /// Creates a namespace with labels.
    ///
    /// # Errors
    /// With the API server's answer.
    pub fn namespace(&self, name: &str, labels: &Value) -> Result<()> {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// With the API server's answer.
    pub fn policy(&self, name: &str) -> Result<PolicyView> {
        let text = self.plane.kubectl(&["get", "adpp", name, "-o=json"])?;
        let object = serde_json::from_str(&text)?;
        self.note(&object);
        Ok(PolicyView(object))
    }

    /// Keeps a policy that an operator, or `aidp plan`, works on: its rights are derived from it.
    pub fn note(&self, object: &Value) {
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .policy(object);
    }

    /// Keeps what an operator's calls are known by, and what its rights are derived from.
    fn note_operator(&self, settings: &Settings) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.configurations.extend(settings.configuration.clone());
        record.keys.insert(settings.access_key.to_owned());
    }

    /// Writes down what was asked, for the comparison with the rights.
    fn keep_record(&self) -> Result<()> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        std::thread::current()
            .name()
            .unwrap_or("test")
            .clone_into(&mut record.test);
        record.refuses = self.plane.refuses();
        record.keys.insert(ACCESS_KEY.to_owned());
        record.calls(&self.proxy.calls());
        if let Some(since) = &self.since {
            record.requests.extend(since.begun()?);
        }
        record.write()
    }

    /// Waits until a policy, judged as it is now, makes `seen` equal `wanted`.
    ///
    /// # Errors
    /// When it does not in time: with what was seen last.
    pub async fn until<T: PartialEq + Debug>(
        &self,
        name: &str,
        wanted: T,
        seen: impl Fn(&PolicyView) -> T,
    ) -> Result<PolicyView> {
        eventually(PATIENCE, &format!("policy {name} shows {wanted:?}"), || async {
            let policy = self.policy(name)?;
            if !policy.current() {
                return Err(Error::from(format!("not judged yet: {}", policy.summary())));
            }
            let now = seen(&policy);
            if now == wanted {
                Ok(policy)
            } else {
                Err(format!("{now:?}; {}", policy.summary()).into())
            }
        })
        .await
    }

    /// Waits for a row of the condition table: `Ready Reconciling Stalled Drifted reason`.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn until_row(&self, name: &str, row: &str) -> Result<PolicyView> {
        self.until(name, row.to_owned(), PolicyView::row).await
    }

    /// Asks for a reconcile now, as a user would, and waits until it has been handled.
    ///
    /// # Errors
    /// When it is not handled in time.
    pub async fn reconcile(&self, name: &str) -> Result<PolicyView> {
        let now = jiff::Timestamp::now().to_string();
        self.request_reconcile(name, &now)?;
        self.until(name, now, |policy| {
            policy.text("/status/lastHandledReconcileAt").to_owned()
        })
        .await
    }

    /// Asks for a reconcile without waiting for it.
    ///
    /// # Errors
    /// With the API server's answer.
    pub fn request_reconcile(&self, name: &str, value: &str) -> Result<()> {
        let annotation = format!("aidp.dev/reconcile-requested-at={value}");
        self.plane
            .kubectl(&["annotate", "adpp", name, "--overwrite", &annotation])
            .map(drop)
    }

    /// A mark in the audit log. None on a cluster that `KUBECONFIG` names: then the caller says aloud what it could not
    /// check.
    ///
    /// # Errors
    /// When a plane of our own has no log.
    pub fn audit(&self) -> Result<Option<Audit>> {
        let audit = self.plane.audit_log().map(Audit::from_now).transpose()?;
        if audit.is_none() {
            eprintln!(
                "NOT CHECKED: requests to the API server, since KUBECONFIG names a cluster without an audit log to read"
            );
        }
        Ok(audit)
    }

    /// Keeps a measured time for the table that `journey.sh` prints, and holds it to its bound.
    ///
    /// # Errors
    /// When it took longer.
    pub fn measured(&self, what: &str, took: Duration, bound: Duration) -> Result<()> {
        let line = format!("{:.1} s (bound {} s) {what}", took.as_secs_f64(), bound.as_secs());
        append("target/e2e/measured", &line)?;
        if took <= bound { Ok(()) } else { Err(line.into()) }
    }

    /// Keeps another figure for that table.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn note_measured(&self, line: &str) -> Result<()> {
        append("target/e2e/measured", line)
    }

    /// Prints what a developer wants to see of a failed test.
    fn explain(&mut self) {
        eprintln!("--- files of this test: {}", self.surroundings.folder.display());
        for log in self.logs() {
            eprintln!(
                "--- {}\n{}",
                log.display(),
                tail(&std::fs::read_to_string(&log).unwrap_or_default())
            );
        }
        if let Some(log) = self.emulator.obituary() {
            eprintln!("--- the emulator has ended\n{}", tail(&log));
        }
        let calls = self.proxy.calls();
        eprintln!("--- last of {} AWS calls", calls.len());
        for call in calls.iter().rev().take(30).rev() {
            let resource = call.operation.resource.as_deref().unwrap_or("-");
            eprintln!("{:5} {} {resource} {:?}", call.seq, call.name(), call.outcome);
        }
        eprintln!(
            "--- policies\n{}",
            self.plane.kubectl(&["get", "adpp", "-o=yaml"]).unwrap_or_default()
        );
    }

    fn logs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.surroundings.folder)
            .into_iter()
            .flatten()
            .flatten();
        let logs = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"));
        logs.filter(|path| {
            path.file_stem()
                .is_some_and(|stem| stem != "moto" && stem != "fakecloud" && stem != "versitygw")
        })
        .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
    }
}

/// Keeps how long a test took, for the table that `journey.sh` prints.
fn note_duration(took: Duration) -> Result<()> {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    append("target/e2e/seconds", &format!("{:.1} {name}", took.as_secs_f64()))
}

fn append(file: &str, line: &str) -> Result<()> {
    use std::io::Write;
    let path = project_dir().join(file);
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{line}")?)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(40))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// A policy in the account of the emulator, with `spec` over a mode of Enforce and an interval of half a minute.
#[must_use]
pub fn policy(name: &str, spec: &Value) -> Value {
    let mut whole = json!({"mode": "Enforce", "interval": "30s", "account": {"id": ACCOUNT, "region": REGION}});
    if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
        whole.extend(spec.clone());
    }
    json!({"apiVersion": "aidp.dev/v1alpha1", "kind": "AIDataProtectionPolicy", "metadata": {"name": name}, "spec": whole})
}
