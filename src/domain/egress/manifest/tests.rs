use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Manifests {
    let mut out = Manifests::default();
    out.read("in.yaml", text);
    out.finish();
    out
}

fn problems(text: &str) -> Vec<String> {
    read(text).problems.iter().map(ToString::to_string).collect()
}

fn workloads(text: &str) -> Vec<String> {
    let all = read(text);
    assert_eq!(all.problems, []);
    all.workloads
        .keys()
        .map(|w| format!("{}/{}/{}", w.namespace, w.kind, w.name))
        .collect()
}

const DEPLOYMENT: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: ml}, spec: {template: \
                          {metadata: {labels: {app: train}}, spec: {containers: []}}}}";

fn pod(name: &str, owner: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: ml, labels: {{app: {name}}}, \
         ownerReferences: [{owner}]}}, spec: {{}}}}"
    )
}

/// Labels as text, e.g. `app=x controller-uid=?`.
fn labels_of(text: &str) -> Vec<String> {
    let all = read(text);
    assert_eq!(all.problems, []);
    let shapes = all.workloads.into_values().flatten();
    let text = |shape: PodShape| {
        shape
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    shapes.map(text).collect()
}

#[test]
fn every_workload_kind_gives_its_pods_labels_and_what_its_controller_adds() {
    let template = "{metadata: {labels: {app: x}}, spec: {hostNetwork: true}}";
    for (api, kind, labels) in [
        ("apps/v1", "Deployment", "app=x pod-template-hash=?"),
        (
            "apps/v1",
            "StatefulSet",
            "app=x apps.kubernetes.io/pod-index=? controller-revision-hash=? statefulset.kubernetes.io/pod-name=?",
        ),
        (
            "apps/v1",
            "DaemonSet",
            "app=x controller-revision-hash=? pod-template-generation=?",
        ),
        ("apps/v1", "ReplicaSet", "app=x"),
        (
            "batch/v1",
            "Job",
            "app=x batch.kubernetes.io/controller-uid=? batch.kubernetes.io/job-name=w controller-uid=? job-name=w",
        ),
        ("v1", "ReplicationController", "app=x"),
        (
            "kubevirt.io/v1",
            "VirtualMachine",
            "app=x kubevirt.io=virt-launcher kubevirt.io/created-by=? kubevirt.io/nodeName=? vm.kubevirt.io/name=w",
        ),
    ] {
        let text =
            format!("{{apiVersion: {api}, kind: {kind}, metadata: {{name: w}}, spec: {{template: {template}}}}}");
        let all = read(&text);
        let (name, shapes) = all.workloads.into_iter().next().unwrap();
        assert_eq!(
            (name.namespace.as_str(), name.kind.as_str(), name.name.as_str()),
            ("default", kind, "w")
        );
        assert!(shapes.iter().all(|s| s.host_network) && shapes.len() == 1, "{kind}");
        assert_eq!(labels_of(&text), [labels], "{kind}");
    }
    let cron = format!(
        "{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: w}}, \
         spec: {{jobTemplate: {{spec: {{template: {template}}}}}}}}}"
    );
    assert_eq!(
        labels_of(&cron),
        ["app=x batch.kubernetes.io/controller-uid=? batch.kubernetes.io/job-name=? controller-uid=? job-name=?"]
    );
    let by_hand = format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: w}}, spec: {{manualSelector: true, template: {template}}}}}"
    );
    assert_eq!(labels_of(&by_hand), ["app=x"]);
}

#[test]
fn a_boolean_is_read_as_kubectl_reads_it() {
    let pod =
        |value: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{hostNetwork: {value}}}}}");
    let host = |value: &str| {
        read(&pod(value))
            .workloads
            .into_values()
            .flatten()
            .all(|s| s.host_network)
    };
    for (value, expected) in [
        ("true", true),
        ("yes", true),
        ("On", true),
        ("no", false),
        ("null", false),
        ("false", false),
    ] {
        assert_eq!(host(value), expected, "{value}");
        assert_eq!(problems(&pod(value)), [""; 0]);
    }
    assert_eq!(
        problems(&pod("perhaps")),
        ["in.yaml, document 1, Pod default/p: spec.hostNetwork: expected true or false"]
    );
}

#[test]
fn networks_besides_the_cluster_s_are_noticed() {
    let others = |text: &str| read(text).workloads.into_values().flatten().any(|s| s.other_networks);
    let pod = |annotations: &str| {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p, annotations: {annotations}}}, spec: {{}}}}")
    };
    assert!(others(&pod("{k8s.v1.cni.cncf.io/networks: sriov-a}")));
    assert!(!others(&pod("{k8s.v1.cni.cncf.io/networks: ''}")));
    assert!(!others(&pod("{prometheus.io/scrape: true}")));
    assert!(others(&DEPLOYMENT.replace(
        "{labels:",
        "{annotations: {k8s.v1.cni.cncf.io/networks: sriov-a}, labels:"
    )));
    let machine = |networks: &str| {
        format!(
            "{{apiVersion: kubevirt.io/v1, kind: VirtualMachine, metadata: {{name: v}}, \
             spec: {{template: {{spec: {{networks: {networks}}}}}}}}}"
        )
    };
    assert!(others(&machine(
        "[{name: a, pod: {}}, {name: b, multus: {networkName: l2}}]"
    )));
    assert!(!others(&machine("[{name: a, pod: {}}]")));
}

#[test]
fn a_workload_under_a_wrong_group_of_kubernetes_is_read_and_a_policy_is_not() {
    let slip = read("{apiVersion: apps/v1, kind: Pod, metadata: {name: p}, spec: {}}");
    assert_eq!((slip.workloads.len(), slip.problems, slip.unread), (1, vec![], vec![]));
    assert_eq!(
        slip.warnings,
        ["in.yaml, document 1: no API server has a Pod in apps/v1; read as v1"]
    );
    assert_eq!(
        read(&DEPLOYMENT.replace("apps/v1", "extensions/v1beta1")).warnings,
        [""; 0]
    );
    // Another project's Job is another kind, and a policy that no API server takes restricts nobody.
    for other in [
        "{apiVersion: batch.volcano.sh/v1alpha1, kind: Job, metadata: {name: j}, spec: {tasks: [{template: {spec: \
         {containers: []}}}]}}",
        "{apiVersion: extensions/v1beta1, kind: NetworkPolicy, metadata: {name: n}, spec: {podSelector: {}}}",
        "{apiVersion: sparkoperator.k8s.io/v1beta2, kind: SparkApplication, metadata: {name: s}, spec: {image: i}}",
    ] {
        let all = read(other);
        assert_eq!(
            (all.workloads.len(), all.network_policies.len(), all.unread.len()),
            (0, 0, 1),
            "{other}"
        );
    }
}

#[test]
fn what_has_an_owner_is_listed_as_that_owner() {
    let given = format!(
        "{DEPLOYMENT}\n---\n{}\n---\n{}",
        "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, namespace: ml, ownerReferences: \
         [{kind: Deployment, name: d, controller: true}]}, spec: {template: {}}}",
        pod("d-1-x", "{kind: ReplicaSet, name: d-1, controller: true}"),
    );
    assert_eq!(workloads(&given), ["ml/Deployment/d"]);

    let replicas = format!(
        "{}\n---\n{}",
        pod("a", "{kind: ReplicaSet, name: gone, controller: true}"),
        pod("b", "{kind: ReplicaSet, name: gone, controller: true}")
    );
    assert_eq!(workloads(&replicas), ["ml/ReplicaSet/gone"]);
    assert_eq!(read(&replicas).workloads.values().next().unwrap().len(), 2);
}

#[test]
fn a_pod_that_no_longer_looks_like_its_owner_s_template_counts_beside_it() {
    let chain = |phase: &str| {
        format!(
            "{DEPLOYMENT}\n---\n{}\n---\n{}",
            "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, namespace: ml, ownerReferences: \
             [{kind: Deployment, name: d, controller: true}]}, spec: {template: {metadata: {labels: {app: old}}}}}",
            pod("odd", "{kind: ReplicaSet, name: d-1, controller: true}")
                .replace("spec: {}", &format!("spec: {{}}, status: {{phase: {phase}}}")),
        )
    };
    assert_eq!(workloads(&chain("Running")), ["ml/Deployment/d"]);
    assert_eq!(
        labels_of(&chain("Running")),
        ["app=odd", "app=train pod-template-hash=?"]
    );
    assert_eq!(labels_of(&chain("Succeeded")), ["app=train pod-template-hash=?"]);
}

#[test]
fn pods_are_their_deployment_s_though_the_replica_set_between_is_not_given() {
    let owner = "{kind: ReplicaSet, name: d-5d8f, controller: true}";
    let hashed = pod("p", owner).replace("{app: p}", "{app: train, pod-template-hash: 5d8f}");
    assert_eq!(workloads(&format!("{DEPLOYMENT}\n---\n{hashed}")), ["ml/Deployment/d"]);
    assert_eq!(workloads(&hashed), ["ml/ReplicaSet/d-5d8f"]);
    assert_eq!(
        workloads(&format!(
            "{DEPLOYMENT}\n---\n{}",
            hashed.replace("hash: 5d8f", "hash: other")
        )),
        ["ml/Deployment/d", "ml/ReplicaSet/d-5d8f"]
    );
}

#[test]
fn owners_that_own_each_other_hide_nothing() {
    let circle = format!(
        "{}\n---\n{}",
        pod("a", "{kind: Pod, name: b, controller: true}"),
        pod("b", "{kind: Pod, name: a, controller: true}")
    );
    assert_eq!(workloads(&circle), ["ml/Pod/a", "ml/Pod/b"]);
    assert_eq!(
        workloads(&pod("a", "{kind: Pod, name: a, controller: true}")),
        ["ml/Pod/a"]
    );
}

#[test]
fn owners_that_do_not_control_and_nodes_are_no_owners() {
    assert_eq!(
        workloads(&pod("a", "{kind: Node, name: n, controller: true}")),
        ["ml/Pod/a"]
    );
    assert_eq!(
        workloads(&pod("a", "{kind: Foo, name: n, controller: false}")),
        ["ml/Pod/a"]
    );
}

#[test]
fn lists_of_every_form_are_opened() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {DEPLOYMENT}\n");
    assert_eq!(workloads(&list), ["ml/Deployment/d"]);
    let typed = r#"{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}, "spec": {}}]}"#;
    assert_eq!(workloads(typed), ["default/Pod/p"]);
    assert_eq!(workloads("{apiVersion: v1, kind: List, items: null}"), [""; 0]);
}

#[test]
fn json_with_tabs_and_several_documents_is_read() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"a\"}\n}\n\
                {\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"b\"}}";
    assert_eq!(read(text).namespaces.into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn anchors_and_merges_are_followed() {
    let text =
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels:\n    <<: &common {app: x}\n    tier: y\nspec: {}\n";
    let labels = Labels::from([("app".into(), "x".into()), ("tier".into(), "y".into())]);
    assert_eq!(
        read(text)
            .workloads
            .into_values()
            .next()
            .unwrap()
            .into_iter()
            .next()
            .unwrap()
            .labels,
        labels
    );
}

#[test]
fn other_kinds_are_ignored_and_other_policies_said() {
    let all = read(
        "{apiVersion: v1, kind: Service, metadata: {name: s}}\n---\n\
         {apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: c}}\n---\n{a: b}\n---\n[1]\n",
    );
    assert_eq!((all.objects, all.problems), (2, vec![]));
    assert_eq!(
        all.warnings,
        [
            "in.yaml, document 2: CiliumNetworkPolicy (cilium.io/v2) is not analysed",
            "in.yaml, document 3: skipped, no Kubernetes object (no apiVersion and no kind)",
            "in.yaml, document 4: skipped, no Kubernetes object (not a mapping)",
        ]
    );
}

/// Without its rules the policy would let nothing out, and a strict `kubectl apply` refuses it.
#[test]
fn rules_that_are_not_indented_into_the_spec_are_refused() {
    let network = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: ml}\n\
                   spec: {podSelector: {}, policyTypes: [Egress]}\nstatus: {}\n";
    assert_eq!(problems(network), [""; 0]);
    assert_eq!(
        problems(&format!("{network}egress: [{{}}]\n")),
        ["in.yaml, document 1, NetworkPolicy ml/web: egress: an unknown field"]
    );
    let admin = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\n\
                 spec: {priority: 1, subject: {namespaces: {}}}\negress: []\n";
    assert_eq!(
        problems(admin),
        ["in.yaml, document 1, AdminNetworkPolicy a: egress: an unknown field"]
    );
}

#[test]
fn a_problem_names_file_document_object_and_field() {
    let policy = |spec: &str| {
        format!(
            "{DEPLOYMENT}\n---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: web, \
             namespace: ml}}, spec: {spec}}}"
        )
    };
    let at = "in.yaml, document 2, NetworkPolicy ml/web: ";
    assert_eq!(
        problems(&policy("{podSelector: {}, egress: [{ports: [{port: 70000}]}]}")),
        [format!(
            "{at}spec.egress[0].ports[0].port: 70000 is not a port (1 to 65535)"
        )]
    );
    assert_eq!(
        problems(&policy("{podSelector: {}, egress: {}}")),
        [format!("{at}spec.egress: invalid type: map, expected a sequence")]
    );
    assert_eq!(
        problems(&policy("{podSelector: {}, policyTypes: [Egress], egres: [{}]}")),
        [format!("{at}spec.egres: an unknown field")]
    );
    assert_eq!(
        problems(&policy("{podSelector: {matchLabels: {app: 1}}}")),
        [format!(
            "{at}spec.podSelector.matchLabels.app: invalid type: integer `1`, expected a string"
        )]
    );
    assert_eq!(
        problems(&policy(
            "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}"
        ))
        .len(),
        1
    );
}

#[test]
fn malformed_objects_are_problems() {
    assert_eq!(
        problems("kind: Pod\nmetadata: {name: p}"),
        ["in.yaml, document 1: apiVersion: missing"]
    );
    assert_eq!(
        problems("apiVersion: v1\nmetadata: {name: p}"),
        ["in.yaml, document 1: kind: missing"]
    );
    assert_eq!(
        problems("{apiVersion: v1, kind: Pod, metadata: {}, spec: {}}"),
        ["in.yaml, document 1, Pod: metadata.name: missing"]
    );
    assert_eq!(
        problems("{apiVersion: v1, kind: List, items: [{kind: Pod, metadata: {}}]}"),
        ["in.yaml, document 1, items[0]: apiVersion: missing"]
    );
    assert_eq!(problems("a: [1").len(), 1);
    assert_eq!(problems("a: 1\na: 2").len(), 1);
}

#[test]
fn files_of_other_tools_that_share_a_field_with_manifests_are_skipped() {
    for text in [
        "apiVersion: v2\nname: chart\nversion: 1.0.0",
        "kind: pipeline\nsteps: []",
    ] {
        let all = read(text);
        assert_eq!((all.objects, all.problems), (0, vec![]), "{text}");
        assert_eq!(
            all.warnings,
            ["in.yaml, document 1: skipped, no Kubernetes object (neither metadata nor spec)"]
        );
    }
}

#[test]
fn an_empty_namespace_is_none_in_policies_as_in_workloads() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ''}, spec: {}}\n---\n{apiVersion: \
                networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: n, namespace: ''}, spec: {podSelector: {}}}";
    for (mut all, expected) in [
        (Manifests::default(), "default"),
        (Manifests::for_namespace("ml"), "ml"),
    ] {
        all.read("in.yaml", text);
        all.finish();
        let workloads: Vec<_> = all.workloads.keys().map(|w| w.namespace.as_str()).collect();
        let policies: Vec<_> = all.network_policies.iter().map(|p| p.namespace.as_str()).collect();
        assert_eq!((workloads, policies), (vec![expected], vec![expected]));
    }
}

#[test]
fn one_name_with_two_contents_is_a_problem_and_a_copy_is_none() {
    let other = DEPLOYMENT.replace("train", "serve");
    assert_eq!(
        workloads(&format!("{DEPLOYMENT}\n---\n{DEPLOYMENT}")),
        ["ml/Deployment/d"]
    );
    assert_eq!(
        problems(&format!("{DEPLOYMENT}\n---\n{other}")),
        ["in.yaml, document 2, Deployment ml/d: metadata.name: defined before, with other content"]
    );
}

#[test]
fn objects_whose_names_the_server_makes_stand_side_by_side() {
    let generated = |app: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{generateName: x-, labels: {{app: {app}}}}}, spec: {{}}}}\n---\n"
        )
    };
    let all = read(&(generated("a") + &generated("b")));
    assert_eq!(all.problems, []);
    let shapes: Vec<usize> = all.workloads.values().map(BTreeSet::len).collect();
    assert_eq!(shapes, [2]);
}

#[test]
fn a_bomb_of_aliases_and_endless_nesting_are_refused() {
    let level = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
    let bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned() + &(1..30).map(level).collect::<String>();
    assert_eq!(problems(&bomb).len(), 1);
    assert_eq!(problems(&"[".repeat(100_000)).len(), 1);
    assert_eq!(problems(&format!("a: {}", "{a: ".repeat(10_000))).len(), 1);
    let mut nested = DEPLOYMENT.to_owned();
    for _ in 0..20 {
        nested = format!("{{apiVersion: v1, kind: List, items: [{nested}]}}");
    }
    assert_eq!(
        problems(&nested),
        ["in.yaml, document 1, items[0]: items: lists are nested too deeply"]
    );
}

#[test]
fn problems_are_bounded() {
    let all = "---\n{kind: Pod, metadata: {}}\n".repeat(1_000);
    assert_eq!(problems(&all).len(), MAX_PROBLEMS);
}

/// Values that could stand anywhere in a manifest, right or wrong.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("[{}]".to_owned()),
        Just("Egress".to_owned()),
        Just("[Egress]".to_owned()),
        Just("{matchLabels: {a: b}}".to_owned()),
        Just(
            "[{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 1, endPort: 2}]}]".to_owned()
        ),
        any::<i64>().prop_map(|n| n.to_string()),
        "[a-z0-9./:*&!|>{}\\[\\],'\"-]{0,12}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn any_values_in_a_policy_are_read_or_refused(
        selector in any_value(), types in any_value(), egress in any_value(), name in any_value(), extra in any_value(),
    ) {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}}}\nspec:\n  podSelector: {selector}\n  \
             policyTypes: {types}\n  egress: {egress}\n  {extra}: {extra}\n"
        );
        let all = read(&text);
        prop_assert_eq!(all.network_policies.len() + all.problems.len().min(1), 1, "{}", text);
    }

    #[test]
    fn every_port_is_a_port_or_a_problem(port in -70_000_i64..70_000, end in prop::option::of(-70_000_i64..70_000)) {
        let end_port = end.map(|e| format!(", endPort: {e}")).unwrap_or_default();
        let all = read(&format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, \
             spec: {{podSelector: {{}}, egress: [{{ports: [{{port: {port}{end_port}}}]}}]}}}}"
        ));
        let valid = |p: i64| (1..=65_535).contains(&p);
        let right = valid(port) && end.is_none_or(|e| valid(e) && e >= port);
        prop_assert_eq!(all.problems.is_empty(), right);
    }
}
