//! Egress rules: which pods, and what they may talk to.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the pods of some namespaces may talk to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.namespaceSelector.matchLabels) || has(self.namespaceSelector.matchExpressions)", "namespaceSelector may not be empty: say which namespaces train"))]
#[x_kube(validation = ("has(self.podSelector.matchLabels) || has(self.podSelector.matchExpressions)", "podSelector may not be empty: say which pods train"))]
#[x_kube(validation = ("!has(self.namespaceSelector.matchLabels) || !('kubernetes.io/metadata.name' in self.namespaceSelector.matchLabels) || self.namespaceSelector.matchLabels['kubernetes.io/metadata.name'] != 'kube-system'", "kube-system cannot be restricted by a policy: it carries the cluster itself"))]
#[x_kube(validation = ("!has(self.namespaceSelector.matchExpressions) || !self.namespaceSelector.matchExpressions.exists(e, e.key == 'kubernetes.io/metadata.name' && e.operator == 'In' && has(e.values) && 'kube-system' in e.values)", "kube-system cannot be restricted by a policy: it carries the cluster itself"))]
pub struct EgressRule {
    /// Name of the rule; it becomes part of the NetworkPolicy's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// Namespaces of the training pods, by label; may not be empty.
    pub namespace_selector: Selector,
    /// The training pods, by label; may not be empty.
    pub pod_selector: Selector,
    /// What must be reached to be compliant: Port (only the allowed ports), Destination (only the allowed places) or TLS
    /// (only TLS to the allowed names). Default Port. What the cluster's network plugin cannot do is never compliant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<Assurance>,
    /// What may be reached besides DNS.
    #[schemars(length(min = 1, max = 100))]
    pub allow: Vec<Allow>,
}

/// What must be reached to be compliant: Port (only the allowed ports), Destination (only the allowed places) or TLS (only
/// TLS to the allowed names). What the cluster's network plugin cannot do is never compliant. Default Port.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// Only the allowed ports.
    Port,
    /// Only the allowed destinations.
    Destination,
    /// Only TLS.
    #[serde(rename = "TLS")]
    Tls,
}

/// A destination; which fields it has depends on its type.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.type == 'CIDR') == has(self.cidr)", "cidr goes with type CIDR, and only with it"))]
#[x_kube(validation = ("(self.type == 'AWSService') == has(self.service)", "service goes with type AWSService, and only with it"))]
#[x_kube(validation = ("self.type == 'Pods' || (!has(self.namespaceSelector) && !has(self.podSelector))", "namespaceSelector and podSelector go with type Pods only"))]
#[x_kube(validation = ("self.type != 'Pods' || (has(self.namespaceSelector) && has(self.podSelector))", "type Pods needs namespaceSelector and podSelector"))]
#[x_kube(validation = ("self.type != 'Pods' || has(self.ports)", "type Pods needs ports"))]
#[x_kube(validation = ("!has(self.cidr) || !(self.cidr in ['0.0.0.0/0', '::/0']) || !has(self.ports) || self.ports.all(p, p.port == 443 && !has(p.endPort) && (!has(p.protocol) || p.protocol == 'TCP'))", "0.0.0.0/0 and ::/0 (anywhere) are allowed on 443/TCP only"))]
pub struct Allow {
    /// Kind of destination: CIDR (addresses), AWSService (the addresses of an AWS service in the policy's region) or Pods (of
    /// this cluster, e.g. distributed training; listed as a plaintext exception).
    pub r#type: AllowType,
    /// With type CIDR: addresses, IPv4 or IPv6. 0.0.0.0/0 means anywhere but link-local, on 443/TCP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 64))]
    #[x_kube(validation = ("isCIDR(self) && cidr(self).masked() == cidr(self)", "cidr must be a network address in CIDR notation, e.g. 10.20.0.0/16"))]
    pub cidr: Option<String>,
    /// With type AWSService: the service as AWS names its managed prefix list com.amazonaws.REGION.SERVICE, e.g. s3 or
    /// dynamodb. Its addresses serve all customers of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub service: Option<String>,
    /// With type Pods: namespaces of the pods. An empty selector means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    /// With type Pods: the pods. An empty selector means all of those namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<Selector>,
    /// Ports. Default 443/TCP; required with type Pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 50))]
    pub ports: Vec<AllowPort>,
}

/// Discriminator of `allow`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowType {
    /// Addresses.
    #[serde(rename = "CIDR")]
    Cidr,
    /// An AWS service, by its managed prefix list.
    #[serde(rename = "AWSService")]
    AwsService,
    /// Pods of this cluster.
    Pods,
}

/// A port or a range of ports.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.endPort) || self.endPort >= self.port", "endPort may not lie below port"))]
pub struct AllowPort {
    /// First or only port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Last port of a range. Default: the port itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub end_port: Option<i32>,
    /// TCP, UDP or SCTP. Default TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// Transport protocol: TCP, UDP or SCTP. Default TCP.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// A label selector, bounded. Semantics as everywhere in Kubernetes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must all be there with these values.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub match_labels: std::collections::BTreeMap<String, LabelValue>,
    /// Requirements that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub match_expressions: Vec<SelectorRequirement>,
}

/// Value of a label.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// One requirement of a label selector.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = ("(self.operator in ['In', 'NotIn']) == has(self.values)", "values go with operators In and NotIn, and only with them"))]
pub struct SelectorRequirement {
    /// Label key.
    #[schemars(length(min = 1, max = 316))]
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    pub operator: SelectorOperator,
    /// Values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// Operator of a selector requirement.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorOperator {
    /// The label's value is one of `values`.
    In,
    /// The label is missing, or its value is none of `values`.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
}
