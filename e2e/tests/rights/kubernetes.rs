//! The chart's ClusterRole and Role against the API server's audit log.

use std::collections::BTreeSet;

use aidp_e2e::audit::Request;
use aidp_e2e::helm::{CHART, helm};
use aidp_e2e::plane::NAMESPACE;
use serde::Deserialize;
use serde_json::Value;

use crate::{explained, records, whole};

/// One thing that one rule allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    group: String,
    resource: String,
    /// Only this object; none: every one.
    name: Option<String>,
    /// Only in this namespace; none: everywhere.
    namespace: Option<&'static str>,
}

impl Right {
    fn allows(&self, request: &Request) -> bool {
        let Self {
            verb,
            group,
            resource,
            name,
            namespace,
        } = self;
        *verb == request.verb
            && *group == request.group
            && *resource == request.resource
            && name.as_ref().is_none_or(|name| *name == request.name)
            && namespace.is_none_or(|namespace| namespace == request.namespace)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

/// Every right of the operator's ServiceAccount, from the chart as Helm renders it.
fn given() -> BTreeSet<Right> {
    let rendered = helm(
        None,
        &[
            "template",
            "aidp",
            CHART,
            "--namespace",
            NAMESPACE,
            "--show-only",
            "templates/rbac.yaml",
        ],
    )
    .unwrap();
    let mut rights = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&rendered) {
        let object = Value::deserialize(document).unwrap();
        let namespace = match (object["kind"].as_str(), object["metadata"]["name"].as_str()) {
            (Some("ClusterRole"), Some("aidp")) => None,
            (Some("Role"), Some("aidp")) => Some(NAMESPACE),
            _ => continue,
        };
        for rule in serde_json::from_value::<Vec<Rule>>(object["rules"].clone()).unwrap() {
            rights.extend(expanded(&rule, namespace));
        }
    }
    assert!(!rights.is_empty(), "the chart renders no rights");
    rights
}

fn expanded(rule: &Rule, namespace: Option<&'static str>) -> Vec<Right> {
    let names: Vec<Option<String>> = if rule.resource_names.is_empty() {
        vec![None]
    } else {
        rule.resource_names.iter().cloned().map(Some).collect()
    };
    let mut rights = Vec::new();
    for (verb, group) in rule
        .verbs
        .iter()
        .flat_map(|v| rule.api_groups.iter().map(move |g| (v, g)))
    {
        for (resource, name) in rule.resources.iter().flat_map(|r| names.iter().map(move |n| (r, n))) {
            rights.push(Right {
                verb: verb.clone(),
                group: group.clone(),
                resource: resource.clone(),
                name: name.clone(),
                namespace,
            });
        }
    }
    rights
}

/// A request for a resource, and where it comes from. Discovery and the version are everybody's.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    test: String,
    refuses: bool,
    request: Request,
}

fn asked() -> Vec<Asked> {
    let requests = records().into_iter().flat_map(|record| {
        let (test, refuses) = (record.test, record.refuses);
        record.requests.into_iter().map(move |request| Asked {
            test: test.clone(),
            refuses,
            request,
        })
    });
    requests.filter(|asked| !asked.request.resource.is_empty()).collect()
}

/// Without an audit log, on a cluster that `KUBECONFIG` names, nothing can be said.
fn log_was_read() -> bool {
    let given_cluster = std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    if given_cluster {
        eprintln!("NOT CHECKED: the operator's rights in the cluster, since KUBECONFIG names one without an audit log");
    } else {
        assert!(!asked().is_empty(), "the journey recorded no request to the API server");
    }
    !given_cluster
}

#[test]
fn no_request_goes_beyond_the_charts_rights() {
    if !log_was_read() {
        return;
    }
    let given = given();
    let beyond: Vec<_> = asked()
        .into_iter()
        .filter(|asked| {
            let refused = !asked.request.authorized && !asked.refuses;
            refused || !given.iter().any(|right| right.allows(&asked.request))
        })
        .collect();
    assert_eq!(beyond, []);
}

#[test]
fn every_right_of_the_chart_is_used_in_the_journey() {
    if !log_was_read() || !whole() {
        return;
    }
    let asked = asked();
    let unused = given()
        .into_iter()
        .filter(|right| !asked.iter().any(|asked| right.allows(&asked.request)));
    let right = |verb: &str, group: &str, resource: &str, name: Option<&str>| Right {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        namespace: None,
    };
    let applied = "server-side apply (a patch) of an object that is not there yet is authorized as its creation too";
    let served = "asked for only where the API is served, which a bare API server's is not";
    let listed = |group: &str, resource: &str| (right("list", group, resource, None), served);
    let reasons = [
        (right("create", "networking.k8s.io", "networkpolicies", None), applied),
        listed("policy.networking.k8s.io", "adminnetworkpolicies"),
        listed("policy.networking.k8s.io", "baselineadminnetworkpolicies"),
        listed("policy.networking.k8s.io", "clusternetworkpolicies"),
        listed("cilium.io", "ciliumnetworkpolicies"),
        listed("cilium.io", "ciliumclusterwidenetworkpolicies"),
        listed("crd.projectcalico.org", "networkpolicies"),
        listed("crd.projectcalico.org", "globalnetworkpolicies"),
        listed("projectcalico.org", "networkpolicies"),
        listed("projectcalico.org", "globalnetworkpolicies"),
        listed("crd.antrea.io", "networkpolicies"),
        listed("crd.antrea.io", "clusternetworkpolicies"),
        listed("networking.k8s.aws", "applicationnetworkpolicies"),
        listed("networking.k8s.aws", "clusternetworkpolicies"),
    ];
    explained(unused, reasons);
}

#[test]
fn a_right_is_for_its_verb_group_resource_object_and_namespace_only() {
    let right = Right {
        verb: "get".to_owned(),
        group: "coordination.k8s.io".to_owned(),
        resource: "leases".to_owned(),
        name: Some("aidp".to_owned()),
        namespace: Some(NAMESPACE),
    };
    let request = Request {
        verb: "get".to_owned(),
        group: "coordination.k8s.io".to_owned(),
        resource: "leases".to_owned(),
        name: "aidp".to_owned(),
        namespace: NAMESPACE.to_owned(),
        status: 200,
        authorized: true,
    };
    assert!(right.allows(&request));
    let other = "other".to_owned();
    for wrong in [
        Request {
            verb: other.clone(),
            ..request.clone()
        },
        Request {
            group: other.clone(),
            ..request.clone()
        },
        Request {
            resource: other.clone(),
            ..request.clone()
        },
        Request {
            name: other.clone(),
            ..request.clone()
        },
        Request {
            namespace: other,
            ..request
        },
    ] {
        assert!(!right.allows(&wrong), "{wrong:?}");
    }
}
