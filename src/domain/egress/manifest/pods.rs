//! What the pods of a workload look like: what its manifest says of them, and what its controller adds.

use std::collections::BTreeMap;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::{Labels, Metadata};
use crate::domain::egress::networks::has_other_networks;

/// Stands for a label value that only the controller knows, when it makes the pod. No label can have this value.
const LATER: &str = "?";
/// The longest label value.
const MAX_LABEL: usize = 63;

/// What selects the pods of a workload, and what keeps policies from applying to them. Pods that one owner has given
/// different labels stand side by side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodShape {
    /// Labels of the pod, with those that its controller adds; see [`set_later`].
    pub labels: Labels,
    /// It shares its node's network.
    pub host_network: bool,
    /// It has other networks besides the cluster's, where no NetworkPolicy applies.
    pub other_networks: bool,
}

/// Is this the value of a label whose real value only the controller knows?
pub fn set_later(value: &str) -> bool {
    value == LATER
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    #[serde(default, deserialize_with = "boolean")]
    host_network: Option<bool>,
    /// A virtual machine's networks; a pod has no such field.
    networks: Option<Vec<MachineNetwork>>,
}

/// A boolean as kubectl reads it, which still speaks YAML 1.1: `yes` and `on` are true.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let word = value.as_str().map(str::to_ascii_lowercase);
    match (&value, word.as_deref()) {
        (Value::Null, _) => Ok(None),
        (Value::Bool(is), _) => Ok(Some(*is)),
        (_, Some("y" | "yes" | "on")) => Ok(Some(true)),
        (_, Some("n" | "no" | "off")) => Ok(Some(false)),
        _ => Err(D::Error::custom("expected true or false")),
    }
}

#[derive(Deserialize)]
struct MachineNetwork {
    multus: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Template {
    metadata: Option<TemplateMetadata>,
    spec: Option<PodSpec>,
}

#[derive(Deserialize)]
struct TemplateMetadata {
    labels: Option<Labels>,
    annotations: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
pub(super) struct Templated {
    pub(super) spec: TemplatedSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplatedSpec {
    template: Template,
    manual_selector: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct CronJob {
    pub(super) spec: CronJobSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJobSpec {
    pub(super) job_template: Templated,
}

#[derive(Deserialize)]
pub(super) struct PodObject {
    spec: PodSpec,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
struct PodStatus {
    phase: Option<String>,
}

impl PodObject {
    /// It has ended, and sends nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        let phase = self.status.as_ref().and_then(|s| s.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    pub(super) fn shape(&self, metadata: &Metadata) -> PodShape {
        shape(metadata.labels.clone(), metadata.annotations.as_ref(), Some(&self.spec))
    }
}

impl TemplatedSpec {
    /// What a workload of that kind makes of the template.
    pub(super) fn shape(&self, kind: &str, metadata: &Metadata) -> PodShape {
        let Template { metadata: of_pod, spec } = &self.template;
        let labels = of_pod.as_ref().and_then(|m| m.labels.clone());
        let annotations = of_pod.as_ref().and_then(|m| m.annotations.as_ref());
        let mut shape = shape(labels, annotations, spec.as_ref());
        // Who picks a Job's pods by hand gets no labels for it.
        if !(kind == "Job" && self.manual_selector == Some(true)) {
            shape.labels.extend(added(kind, metadata.name.as_deref()));
        }
        shape
    }
}

/// The labels that its controller gives the pods of a virtual machine (KubeVirt, `pkg/virt-controller/services`).
pub(super) fn of_machine(mut shape: PodShape, metadata: &Metadata) -> PodShape {
    let added = added("VirtualMachineInstance", metadata.name.as_deref());
    shape.labels.extend(added);
    shape
}

fn shape(labels: Option<Labels>, annotations: Option<&BTreeMap<String, Value>>, spec: Option<&PodSpec>) -> PodShape {
    let machine_networks = spec.and_then(|s| s.networks.as_deref()).unwrap_or_default();
    let annotated = has_other_networks(|key| annotations?.get(key)?.as_str());
    PodShape {
        labels: labels.unwrap_or_default(),
        host_network: spec.and_then(|s| s.host_network).unwrap_or(false),
        other_networks: annotated || machine_networks.iter().any(|network| network.multus.is_some()),
    }
}

/// The labels that a controller sets on the pods it makes (Kubernetes, "Well-Known Labels, Annotations and Taints"). One
/// whose value can't be told from the manifest has a value for which [`set_later`] holds.
fn added(kind: &str, name: Option<&str>) -> Vec<(String, String)> {
    let named: &[&str] = match kind {
        "Job" | "CronJob" => &["batch.kubernetes.io/job-name", "job-name"],
        "VirtualMachine" | "VirtualMachineInstance" => &["vm.kubevirt.io/name"],
        _ => &[],
    };
    let later: &[&str] = match kind {
        "Deployment" => &["pod-template-hash"],
        "StatefulSet" => &[
            "apps.kubernetes.io/pod-index",
            "controller-revision-hash",
            "statefulset.kubernetes.io/pod-name",
        ],
        "DaemonSet" => &["controller-revision-hash", "pod-template-generation"],
        "Job" | "CronJob" => &["batch.kubernetes.io/controller-uid", "controller-uid"],
        "VirtualMachine" | "VirtualMachineInstance" | "VirtualMachineInstanceReplicaSet" => {
            &["kubevirt.io/created-by", "kubevirt.io/nodeName"]
        }
        _ => &[],
    };
    // The name of a CronJob's Job has its time in it, and one that is too long for a label is cut.
    let name = name.filter(|name| kind != "CronJob" && name.len() <= MAX_LABEL);
    let fixed = later
        .contains(&"kubevirt.io/created-by")
        .then_some(("kubevirt.io", "virt-launcher"));
    let named = named.iter().map(|key| (*key, name.unwrap_or(LATER)));
    let later = later.iter().map(|key| (*key, LATER));
    let all = named.chain(later).chain(fixed);
    all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
