//! Networks that a pod has besides the cluster's, where no NetworkPolicy applies.

/// What Multus and its like go by (Kubernetes Network Custom Resource Definition De-facto Standard, "Network Attachment
/// Selection Annotation"): networks attached besides the cluster's, or in its place.
const ANNOTATIONS: [&str; 2] = ["k8s.v1.cni.cncf.io/networks", "v1.multus-cni.io/default-network"];

/// Does a pod with these annotations have other networks?
pub fn has_other_networks<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> bool {
    let mut values = ANNOTATIONS.iter().filter_map(|key| annotation(key));
    values.any(|networks| !networks.trim().is_empty())
}
