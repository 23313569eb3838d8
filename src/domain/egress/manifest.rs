//! Reads manifests (YAML or JSON, several documents a file) into what the analysis needs: namespaces, workloads, policies.
//!
//! Kinds that say nothing about egress are ignored. What the API server would refuse in the kinds that are read is an error
//! with its field: a policy that is silently skipped or half understood would make the answer wrong.

mod owners;
mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use super::admin::{AdminKind, AdminPolicy};
use super::fields;
use super::network_policy::EgressPolicy;
use super::selector::{Labels, NAMESPACE_NAME};
use owners::Owned;
use pods::{CronJob, PodObject, Templated};
pub use pods::{PodShape, set_later};

/// The most lists within lists.
const MAX_LIST_DEPTH: usize = 8;
/// How deep in a spec of another kind containers are looked for.
const MAX_SPEC_DEPTH: usize = 8;
/// The most problems that are kept.
const MAX_PROBLEMS: usize = 50;

/// What is wrong with an input, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// File as named by the caller.
    pub file: String,
    /// Document in the file, from 1; None if the file as a whole can't be read.
    pub document: Option<usize>,
    /// The object in the document, as far as it is known: `NetworkPolicy ml/web`, `items[3]`.
    pub object: Option<String>,
    /// Field, e.g. `spec.egress[0].ports[0].port`; empty if it is about the whole.
    pub field: String,
    /// What is wrong.
    pub problem: String,
}

impl Problem {
    /// A problem with a file as a whole.
    pub fn of_file(file: &str, problem: String) -> Self {
        Self {
            file: file.to_owned(),
            document: None,
            object: None,
            field: String::new(),
            problem,
        }
    }
}

/// `web.yaml, document 2, NetworkPolicy ml/web: spec.egress[0].ports[0].port: 70000 is not a port (1 to 65535)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ", {object}")?;
        }
        if !self.field.is_empty() && self.field != "." {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// A workload: something that has pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName {
    /// Namespace.
    pub namespace: String,
    /// Kind, e.g. `Deployment`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// An object that bears on egress and is not analysed: a policy of another API, or of a kind that makes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its namespace; None where it says none, so that it may bear on any.
    pub namespace: Option<String>,
    /// Kind and API version.
    pub kind: String,
}

/// Everything read.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// Labels of the namespaces that are given as manifests.
    pub namespaces: BTreeMap<String, Labels>,
    /// Workloads with their pods, owners only.
    pub workloads: BTreeMap<WorkloadName, BTreeSet<PodShape>>,
    /// NetworkPolicies.
    pub network_policies: Vec<EgressPolicy>,
    /// Cluster-wide policies.
    pub admin_policies: Vec<AdminPolicy>,
    /// What does not make the input bad and should still be known.
    pub warnings: Vec<String>,
    /// What makes the input bad, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Objects that bear on egress and are not analysed.
    pub unread: Vec<Unread>,
    /// Number of Kubernetes objects seen, of whatever kind.
    pub objects: usize,
    /// Namespace of objects that name none; None = `default`.
    fallback_namespace: Option<String>,
    owned: BTreeMap<WorkloadName, Owned>,
    seen: BTreeMap<(String, WorkloadName), Value>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    labels: Option<Labels>,
    annotations: Option<BTreeMap<String, Value>>,
    owner_references: Option<Vec<OwnerReference>>,
}

#[derive(Deserialize)]
struct OwnerReference {
    kind: Option<String>,
    name: String,
    controller: Option<bool>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// Where an object comes from.
#[derive(Clone, Copy)]
struct At<'a> {
    file: &'a str,
    document: usize,
    item: Option<usize>,
}

impl Manifests {
    /// For manifests that leave their namespace to the command that applies them (`kubectl apply -n`, `helm install -n`).
    pub fn for_namespace(namespace: &str) -> Self {
        Self {
            fallback_namespace: Some(namespace.to_owned()),
            ..Self::default()
        }
    }

    /// Reads one file's text; `file` is its name in messages. Call [`Self::finish`] after the last one.
    pub fn read(&mut self, file: &str, text: &str) {
        if text.trim_start().starts_with(['{', '[']) && self.read_json(file, text) {
            return;
        }
        for (i, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
            let at = At {
                file,
                document: i + 1,
                item: None,
            };
            let value = Value::deserialize(document).map_err(|e| e.to_string());
            match value.and_then(|mut v| v.apply_merge().map(|()| v).map_err(|e| e.to_string())) {
                Ok(value) => self.document(at, value, 0),
                Err(problem) => {
                    self.problem(at, None, "", problem);
                    // After a syntax error there is no telling where the next document starts.
                    return;
                }
            }
        }
    }

    /// JSON may hold tabs, which YAML refuses. False: not JSON.
    fn read_json(&mut self, file: &str, text: &str) -> bool {
        let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        let Ok(documents) = documents else {
            return false;
        };
        for (i, value) in documents.into_iter().enumerate() {
            let at = At {
                file,
                document: i + 1,
                item: None,
            };
            self.document(at, value, 0);
        }
        true
    }

    /// Sorts out what can only be said when all files are read: what has an owner is that owner's.
    pub fn finish(&mut self) {
        owners::merge(&mut self.workloads, &std::mem::take(&mut self.owned));
        self.seen.clear();
    }

    /// The labels of a namespace. One that is not among the manifests has at least its name.
    pub fn namespace_labels(&self, namespace: &str) -> Labels {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels.insert(NAMESPACE_NAME.to_owned(), namespace.to_owned());
        labels
    }

    /// Every namespace that is given or has a workload, with its labels.
    pub fn used_namespaces(&self) -> BTreeMap<String, Labels> {
        let names = self
            .workloads
            .keys()
            .map(|w| &w.namespace)
            .chain(self.namespaces.keys());
        let names: BTreeSet<&String> = names.collect();
        names
            .into_iter()
            .map(|n| (n.clone(), self.namespace_labels(n)))
            .collect()
    }

    fn problem(&mut self, at: At<'_>, object: Option<String>, field: impl Into<String>, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                file: at.file.to_owned(),
                document: Some(at.document),
                object: object.or_else(|| at.item.map(|i| format!("items[{i}]"))),
                field: field.into(),
                problem: problem.into(),
            });
        }
    }

    /// A directory may hold other files; what is skipped is said.
    fn skipped(&mut self, at: At<'_>, why: &str) {
        let place = at.item.map(|i| format!(", items[{i}]")).unwrap_or_default();
        let (file, document) = (at.file, at.document);
        self.warnings.push(format!(
            "{file}, document {document}{place}: skipped, no Kubernetes object ({why})"
        ));
    }

    fn document(&mut self, at: At<'_>, value: Value, depth: usize) {
        if value.is_null() {
            return;
        }
        if !value.is_mapping() {
            return self.skipped(at, "not a mapping");
        }
        let head = match typed::<Head>(&value) {
            Ok(head) => head,
            Err((field, problem)) => return self.problem(at, None, field, problem),
        };
        match (head.api_version, head.kind) {
            (None, None) => self.skipped(at, "no apiVersion and no kind"),
            // A chart's Chart.yaml has an apiVersion, a pipeline's configuration a kind.
            (None, _) | (_, None) if !["metadata", "spec", "items"].iter().any(|f| value.get(f).is_some()) => {
                self.skipped(at, "neither metadata nor spec");
            }
            (None, Some(_)) => self.problem(at, None, "apiVersion", "missing"),
            (Some(_), None) => self.problem(at, None, "kind", "missing"),
            (Some(api_version), Some(kind)) => match kind.strip_suffix("List") {
                Some(item_kind) => self.list(at, value, &api_version, item_kind, depth),
                None => self.object(at, &value, &api_version, &kind),
            },
        }
    }

    fn list(&mut self, at: At<'_>, value: Value, api_version: &str, item_kind: &str, depth: usize) {
        let Value::Mapping(mut list) = value else {
            return;
        };
        let items = match list.remove("items") {
            None | Some(Value::Null) => return,
            Some(Value::Sequence(items)) => items,
            Some(_) => return self.problem(at, None, "items", "expected a list"),
        };
        if depth >= MAX_LIST_DEPTH {
            return self.problem(at, None, "items", "lists are nested too deeply");
        }
        for (i, mut item) in items.into_iter().enumerate() {
            if let (Value::Mapping(fields), false) = (&mut item, item_kind.is_empty()) {
                // A typed list need not repeat the type in its items.
                for (key, default) in [("apiVersion", api_version), ("kind", item_kind)] {
                    if !fields.contains_key(key) {
                        fields.insert(key.into(), default.into());
                    }
                }
            }
            self.document(At { item: Some(i), ..at }, item, depth + 1);
        }
    }

    fn object(&mut self, at: At<'_>, value: &Value, api_version: &str, kind: &str) {
        self.objects += 1;
        let group = group_of(api_version);
        let workload = workload_api(group, kind);
        if let Some(served) = workload.filter(|served| !serves(served, group)) {
            let (file, document) = (at.file, at.document);
            self.warnings.push(format!(
                "{file}, document {document}: no API server has a {kind} in {api_version}; read as {served}"
            ));
        }
        let subject = workload.is_some()
            || matches!(
                (group, kind),
                ("", "Namespace") | ("networking.k8s.io", "NetworkPolicy")
            )
            || AdminKind::of(api_version, kind).is_some();
        if !subject {
            let is_workload =
                || POD_MAKERS.contains(&(group, kind)) || value.get("spec").is_some_and(|spec| makes_pods(spec, 0));
            let makes = if is_other_policy(group, kind) {
                ""
            } else if is_workload() {
                " makes pods and"
            } else {
                return;
            };
            let (file, document) = (at.file, at.document);
            let kind = format!("{kind} ({api_version})");
            self.warnings
                .push(format!("{file}, document {document}: {kind}{makes} is not analysed"));
            let namespace = value.get("metadata").and_then(|m| m.get("namespace"));
            let namespace = namespace.and_then(Value::as_str).map(str::to_owned);
            self.unread.push(Unread { namespace, kind });
            return;
        }
        let fallback = self.fallback_namespace.as_deref().unwrap_or("default");
        let (name, metadata) = match named(value, kind, fallback) {
            Ok(named) => named,
            Err((field, problem)) => return self.problem(at, Some(kind.to_owned()), field, problem),
        };
        let what = if name.namespace.is_empty() {
            format!("{kind} {}", name.name)
        } else {
            format!("{kind} {}/{}", name.namespace, name.name)
        };
        // The same object twice is nothing new; two of one name can't both be meant. A prefix is no name yet.
        match self
            .seen
            .get(&(group.to_owned(), name.clone()))
            .filter(|_| metadata.name.is_some())
        {
            Some(same) if same == value => return,
            Some(_) => {
                return self.problem(at, Some(what), "metadata.name", "defined before, with other content");
            }
            None => drop(self.seen.insert((group.to_owned(), name.clone()), value.clone())),
        }
        let is_policy = kind.ends_with("NetworkPolicy");
        if let Some(field) = stray_field(value).filter(|_| is_policy) {
            return self.problem(at, Some(what), field, "an unknown field");
        }
        let added = match kind {
            "Namespace" => {
                self.namespaces.insert(name.name, metadata.labels.unwrap_or_default());
                Ok(())
            }
            "Pod" => {
                typed::<PodObject>(value).map(|p| self.workload(name, &metadata, p.shape(&metadata), p.has_ended()))
            }
            "VirtualMachineInstance" => typed::<PodObject>(value).map(|p| {
                let shape = pods::of_machine(p.shape(&metadata), &metadata);
                self.workload(name, &metadata, shape, p.has_ended());
            }),
            "CronJob" => typed::<CronJob>(value).map(|c| {
                let shape = c.spec.job_template.spec.shape(kind, &metadata);
                self.workload(name, &metadata, shape, false);
            }),
            "NetworkPolicy" => self.network_policy(&name.namespace, value),
            _ => match AdminKind::of(api_version, kind) {
                Some(admin) => self.admin_policy(admin, value),
                None => typed::<Templated>(value)
                    .map(|t| self.workload(name, &metadata, t.spec.shape(kind, &metadata), false)),
            },
        };
        if let Err((field, problem)) = added {
            self.problem(at, Some(what), field, problem);
        }
    }

    fn workload(&mut self, name: WorkloadName, metadata: &Metadata, shape: PodShape, ended: bool) {
        if let Some(owner) = controller(&name, metadata) {
            self.owned.insert(name.clone(), Owned { owner, ended });
        }
        self.workloads.entry(name).or_default().insert(shape);
    }

    fn network_policy(&mut self, namespace: &str, value: &Value) -> Result<(), (String, String)> {
        let mut policy: NetworkPolicy = typed(value)?;
        policy.metadata.namespace = Some(namespace.to_owned());
        if let Some(field) = unknown_field(value, &policy.spec) {
            return Err((field, "an unknown field".to_owned()));
        }
        self.network_policies
            .push(EgressPolicy::read(&policy).map_err(|e| (e.path, e.problem))?);
        Ok(())
    }

    fn admin_policy(&mut self, kind: AdminKind, value: &Value) -> Result<(), (String, String)> {
        let object = serde_json::to_value(value).map_err(|e| (String::new(), e.to_string()))?;
        let policy = AdminPolicy::read(kind, &object).map_err(|e| (e.path, e.problem))?;
        let notes = policy.unknown.iter().map(|e| format!("{kind} {}: {e}", policy.name));
        self.warnings.extend(notes);
        self.admin_policies.push(policy);
        Ok(())
    }
}

/// Name and metadata of an object; the namespace is empty for what has none.
fn named(value: &Value, kind: &str, fallback_namespace: &str) -> Result<(WorkloadName, Metadata), (String, String)> {
    let metadata = typed::<Named>(value)?
        .metadata
        .ok_or_else(|| ("metadata".to_owned(), "missing".to_owned()))?;
    let name = metadata
        .name
        .clone()
        .or_else(|| metadata.generate_name.clone())
        .filter(|n| !n.is_empty());
    let name = name.ok_or_else(|| ("metadata.name".to_owned(), "missing".to_owned()))?;
    let cluster_wide = kind == "Namespace" || (kind != "NetworkPolicy" && kind.ends_with("NetworkPolicy"));
    let namespace = metadata.namespace.clone().filter(|n| !n.is_empty());
    let namespace = if cluster_wide {
        String::new()
    } else {
        namespace.unwrap_or_else(|| fallback_namespace.to_owned())
    };
    let name = WorkloadName {
        namespace,
        kind: kind.to_owned(),
        name,
    };
    Ok((name, metadata))
}

/// The controlling owner. A static pod's owner is its node, which is no workload.
fn controller(name: &WorkloadName, metadata: &Metadata) -> Option<WorkloadName> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners
        .iter()
        .find(|o| o.controller == Some(true) && o.kind.as_deref() != Some("Node"))?;
    Some(WorkloadName {
        namespace: name.namespace.clone(),
        kind: owner.kind.clone().unwrap_or_else(|| name.kind.clone()),
        name: owner.name.clone(),
    })
}

/// The kinds that make pods and are read, with the API version that has them today.
const WORKLOADS: [(&str, &str); 11] = [
    ("CronJob", "batch/v1"),
    ("DaemonSet", "apps/v1"),
    ("Deployment", "apps/v1"),
    ("Job", "batch/v1"),
    ("Pod", "v1"),
    ("ReplicaSet", "apps/v1"),
    ("ReplicationController", "v1"),
    ("StatefulSet", "apps/v1"),
    ("VirtualMachine", "kubevirt.io/v1"),
    ("VirtualMachineInstance", "kubevirt.io/v1"),
    ("VirtualMachineInstanceReplicaSet", "kubevirt.io/v1"),
];
/// Kinds that make pods without saying so: no containers stand in their spec.
const POD_MAKERS: [(&str, &str); 9] = [
    ("argoproj.io", "CronWorkflow"),
    ("argoproj.io", "Workflow"),
    ("flink.apache.org", "FlinkDeployment"),
    ("pool.kubevirt.io", "VirtualMachinePool"),
    ("serving.kserve.io", "InferenceService"),
    ("sparkoperator.k8s.io", "ScheduledSparkApplication"),
    ("sparkoperator.k8s.io", "SparkApplication"),
    ("tekton.dev", "PipelineRun"),
    ("tekton.dev", "TaskRun"),
];

/// The API version that serves a workload of this kind. Among Kubernetes' own groups a wrong one is a slip of the pen: what
/// is meant is plain, and leaving it out would leave out its pods.
fn workload_api(group: &str, kind: &str) -> Option<&'static str> {
    const OWN: [&str; 4] = ["", "apps", "batch", "extensions"];
    let (_, served) = WORKLOADS.iter().find(|(known, _)| *known == kind)?;
    let right = serves(served, group) || (OWN.contains(&group) && OWN.contains(&group_of(served)));
    right.then_some(*served)
}

/// Is (or was: `extensions/v1beta1`) it the group that has this kind?
fn serves(served: &str, group: &str) -> bool {
    group_of(served) == group || (group == "extensions" && group_of(served) == "apps")
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Whether there are containers somewhere in a spec, as in those of training operators (PyTorchJob, RayCluster).
fn makes_pods(spec: &Value, depth: usize) -> bool {
    match spec {
        Value::Mapping(fields) => {
            fields.get("containers").is_some_and(Value::is_sequence)
                || (depth < MAX_SPEC_DEPTH && fields.values().any(|value| makes_pods(value, depth + 1)))
        }
        Value::Sequence(items) => depth < MAX_SPEC_DEPTH && items.iter().any(|item| makes_pods(item, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => false,
    }
}

/// Policies of others that decide about egress too.
fn is_other_policy(group: &str, kind: &str) -> bool {
    kind == "EgressFirewall" || (kind.ends_with("NetworkPolicy") && !group.is_empty())
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(value).map_err(|e| (e.path().to_string(), e.inner().to_string()))
}

/// A field beside the spec that no policy has there. Most often it belongs into the spec, and is not indented.
fn stray_field(object: &Value) -> Option<String> {
    const OF_A_POLICY: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let Value::Mapping(fields) = object else {
        return None;
    };
    let mut names = fields.keys().filter_map(Value::as_str);
    names.find(|name| !OF_A_POLICY.contains(name)).map(str::to_owned)
}

/// The first field under `spec` of an object that its type does not know; a strict `kubectl apply` refuses it too.
pub fn unknown_field(object: &Value, spec: &impl Serialize) -> Option<String> {
    let given = serde_json::to_value(object.get("spec")?).ok()?;
    fields::unknown_field("spec", &given, spec)
}

#[cfg(test)]
mod tests;
