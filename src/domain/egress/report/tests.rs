use serde_json::{Value, json};

use super::*;

const TRAIN: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: train, namespace: ml}, spec: {template: \
                     {metadata: {labels: {app: train}}, spec: {}}}}\n---\n";

fn manifests(text: &str) -> Manifests {
    let mut out = Manifests::default();
    out.read("in.yaml", text);
    out.finish();
    assert_eq!(out.problems, []);
    out
}

fn policy(name: &str, egress: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: ml}}, \
         spec: {{podSelector: {{}}, policyTypes: [Egress], egress: {egress}}}}}\n---\n"
    )
}

fn reachable(text: &str) -> Value {
    let manifests = manifests(text);
    serde_json::to_value(Analysis::new(&manifests, Vec::new()).reachable()).unwrap()
}

fn wanted(egress: &Value) -> WantedRule {
    let object =
        json!({"metadata": {"name": "aidp"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}});
    WantedRule {
        name: "training".into(),
        namespaces: Selector::namespace("ml"),
        pods: Selector::label("app", "train"),
        policy: serde_json::from_value(object).unwrap(),
    }
}

#[test]
fn a_workload_that_nothing_isolates_reaches_every_address_on_every_port() {
    let all =
        |cidr: &str, protocol: &str| json!({"cidr": cidr, "protocol": protocol, "ports": [[1, 65535]], "policies": []});
    assert_eq!(
        reachable(TRAIN),
        json!([{"namespace": "ml", "kind": "Deployment", "name": "train", "isolated": false, "egress": [
            all("0.0.0.0/0", "SCTP"), all("0.0.0.0/0", "TCP"), all("0.0.0.0/0", "UDP"),
            all("::/0", "SCTP"), all("::/0", "TCP"), all("::/0", "UDP"),
        ]}])
    );
}

#[test]
fn blocks_name_the_policies_that_open_them() {
    let text = TRAIN.to_owned()
        + &policy(
            "a",
            "[{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 443}, {port: 8000, endPort: 8100}]}]",
        )
        + &policy("b", "[{to: [{ipBlock: {cidr: 10.128.0.0/9}}], ports: [{port: 80}]}]");
    assert_eq!(
        reachable(&text)[0]["egress"],
        json!([
            {"cidr": "10.0.0.0/9", "protocol": "TCP", "ports": [[443, 443], [8000, 8100]], "policies": ["NetworkPolicy/ml/a"]},
            {"cidr": "10.128.0.0/9", "protocol": "TCP", "ports": [[80, 80], [443, 443], [8000, 8100]],
             "policies": ["NetworkPolicy/ml/a", "NetworkPolicy/ml/b"]},
        ])
    );
}

#[test]
fn pods_of_the_cluster_are_not_outside() {
    let text = TRAIN.to_owned() + &policy("a", "[{to: [{namespaceSelector: {}}]}]");
    assert_eq!(
        reachable(&text),
        json!([{"namespace": "ml", "kind": "Deployment", "name": "train", "isolated": true, "egress": []}])
    );
}

#[test]
fn a_host_network_workload_is_isolated_by_nothing() {
    let text = TRAIN.replace("spec: {}", "spec: {hostNetwork: true}") + &policy("none", "[]");
    let manifests = manifests(&text);
    let mut analysis = Analysis::new(&manifests, Vec::new());
    let found = analysis.reachable();
    assert_eq!((found[0].isolated, found[0].egress.len()), (false, 6));
    let doubts: Vec<_> = analysis.doubts.iter().collect();
    assert_eq!(doubts, ["Deployment ml/train: no policy applies to hostNetwork pods"]);
}

#[test]
fn replicas_with_other_labels_count_together() {
    let pod = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: ml, labels: {{n: {name}}}, \
             ownerReferences: [{{kind: ReplicaSet, name: r, controller: true}}]}}, spec: {{}}}}\n---\n"
        )
    };
    let only_a = policy("p", "[]").replace("podSelector: {}", "podSelector: {matchLabels: {n: a}}");
    let found = reachable(&(pod("a") + &pod("b") + &only_a));
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!((&found[0]["name"], &found[0]["isolated"]), (&json!("r"), &json!(false)));
}

#[test]
fn only_selected_workloads_that_exceed_are_listed() {
    let https = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]);
    let within = policy("a", "[{to: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 443}]}]");
    let beyond = policy(
        "b",
        "[{to: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 80}]}, {to: [{podSelector: {}}]}]",
    );
    let exceeding = |text: &str| {
        let manifests = manifests(text);
        let found = Analysis::new(&manifests, Vec::new())
            .exceeding(&[wanted(&https)])
            .unwrap();
        serde_json::to_value(found).unwrap()
    };
    assert_eq!(exceeding(&(TRAIN.to_owned() + &within)), json!([]));
    assert_eq!(exceeding(&TRAIN.replace("app: train", "app: serve")), json!([]));
    assert_eq!(exceeding(TRAIN)[0]["egress"].as_array().unwrap().len(), 14);
    assert_eq!(
        exceeding(&(TRAIN.to_owned() + &within + &beyond)),
        json!([{
            "namespace": "ml", "kind": "Deployment", "name": "train", "isolated": true,
            "egress": [{"cidr": "10.1.0.0/16", "protocol": "TCP", "ports": [[80, 80]], "policies": ["NetworkPolicy/ml/b"]}],
            "peers": [{"to": "pods in ml", "ports": "all", "policies": ["NetworkPolicy/ml/b"]}],
        }])
    );
}

#[test]
fn namespace_labels_of_manifests_decide_and_the_name_is_always_one() {
    let anp = |labels: &str| {
        format!(
            "{{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {{name: deny}}, \
             spec: {{priority: 1, subject: {{namespaces: {{matchLabels: {labels}}}}}, \
             egress: [{{action: Deny, to: [{{networks: [0.0.0.0/0, '::/0']}}]}}]}}}}\n---\n"
        )
    };
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: ml, labels: {team: x}}}\n---\n";
    let none = |text: String| reachable(&text)[0]["egress"] == json!([]);
    assert!(none(TRAIN.to_owned() + namespace + &anp("{team: x}")));
    assert!(!none(TRAIN.to_owned() + &anp("{team: x}")));
    assert!(none(TRAIN.to_owned() + &anp("{kubernetes.io/metadata.name: ml}")));
}

fn analysed(text: &str) -> (Vec<WorkloadReport>, Vec<String>) {
    let manifests = manifests(text);
    let mut analysis = Analysis::new(&manifests, Vec::new());
    let found = analysis.reachable();
    (found, analysis.doubts.into_iter().collect())
}

#[test]
fn a_job_s_pods_have_the_job_s_name_as_label() {
    let job = "{apiVersion: batch/v1, kind: Job, metadata: {name: train, namespace: ml}, spec: {template: {spec: {}}}}\n---\n";
    let selecting = |selector: &str| job.to_owned() + &policy("p", "[]").replace("podSelector: {}", selector);
    for key in ["job-name", "batch.kubernetes.io/job-name"] {
        let (found, doubts) = analysed(&selecting(&format!("podSelector: {{matchLabels: {{{key}: train}}}}")));
        assert_eq!((found[0].isolated, doubts), (true, vec![]), "{key}");
        let (found, doubts) = analysed(&selecting(&format!("podSelector: {{matchLabels: {{{key}: other}}}}")));
        assert_eq!((found[0].isolated, doubts), (false, vec![]), "{key}");
    }
}

#[test]
fn a_policy_that_selects_by_a_label_of_the_controller_is_a_doubt() {
    let selecting = |selector: &str| {
        TRAIN.to_owned() + &policy("p", "[]").replace("podSelector: {}", &format!("podSelector: {selector}"))
    };
    let (found, doubts) = analysed(&selecting("{matchLabels: {pod-template-hash: 5d8f}}"));
    assert!(!found[0].isolated);
    assert_eq!(
        doubts,
        [
            "whether NetworkPolicy/ml/p applies hangs on labels that the pods of Deployment ml/train get only when they \
          are made"
        ]
    );
    let (found, doubts) = analysed(&selecting(
        "{matchExpressions: [{key: pod-template-hash, operator: Exists}]}",
    ));
    assert_eq!((found[0].isolated, doubts), (true, vec![]));
    let (found, doubts) = analysed(&selecting("{matchLabels: {pod-template-hash: 5d8f, app: serve}}"));
    assert_eq!((found[0].isolated, doubts), (false, vec![]));
}

#[test]
fn an_admin_policy_for_a_label_of_a_namespace_that_is_not_given_is_a_doubt() {
    let anp = "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: open}, spec: \
               {priority: 1, subject: {namespaces: {matchLabels: {team: x}}}, egress: [{action: Allow, to: [{networks: \
               [0.0.0.0/0]}]}]}}\n---\n";
    let (_, doubts) = analysed(&(TRAIN.to_owned() + anp));
    assert_eq!(
        doubts,
        [
            "whether AdminNetworkPolicy/open applies hangs on the labels of the namespace ml, which is not among the manifests"
        ]
    );
    let given = "{apiVersion: v1, kind: Namespace, metadata: {name: ml}}\n---\n";
    assert_eq!(analysed(&(TRAIN.to_owned() + anp + given)).1, [""; 0]);
}

#[test]
fn names_that_an_admin_policy_opens_are_said_though_they_have_no_address() {
    let anp = "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: a}, spec: \
               {priority: 1, subject: {namespaces: {}}, egress: [{action: Allow, to: [{domainNames: ['*.example.com']}], \
               ports: [{portNumber: {port: 443, protocol: TCP}}]}, {action: Deny, to: [{networks: [0.0.0.0/0, '::/0']}]}]}}\n---\n";
    let (found, doubts) = analysed(&(TRAIN.to_owned() + anp));
    assert_eq!(found[0].egress, []);
    assert_eq!(
        doubts,
        [
            "Deployment ml/train: can also reach names *.example.com, TCP/443, by AdminNetworkPolicy/a; which addresses those \
          are is not known"
        ]
    );
}

#[test]
fn networks_where_no_policy_applies_are_a_doubt() {
    let text = TRAIN.replace(
        "{labels:",
        "{annotations: {k8s.v1.cni.cncf.io/networks: sriov-a}, labels:",
    );
    let (found, doubts) = analysed(&(text + &policy("none", "[]")));
    assert!(found[0].isolated);
    assert_eq!(
        doubts,
        ["Deployment ml/train: has other networks besides the cluster's, where NetworkPolicies do not apply"]
    );
}

#[test]
fn thousands_of_rules_take_no_longer_than_they_must() {
    let rule = |i: u32| {
        format!(
            "{{to: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}, {{ipBlock: {{cidr: 11.{}.{}.0/25}}}}], ports: [{{port: {}}}]}}",
            i / 256,
            i % 256,
            2 * i + 1
        )
    };
    let rules: Vec<String> = (0..3_000).map(rule).collect();
    let manifests = manifests(&(TRAIN.to_owned() + &policy("a", &format!("[{}]", rules.join(", ")))));
    let start = std::time::Instant::now();
    let found = Analysis::new(&manifests, Vec::new()).reachable();
    assert_eq!(found[0].egress.len(), 3_001);
    assert_eq!(found[0].egress[0].ports.len(), 3_000);
    // Well under a second on an idle machine; minutes if it were quadratic.
    assert!(start.elapsed() < std::time::Duration::from_secs(30));
}
