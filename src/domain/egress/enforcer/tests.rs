//! What enforces, by what is found in the cluster.

use super::*;

fn daemon_set(namespace: &str, name: &str, args: &[&str], env: &[(&str, &str)]) -> DaemonSet {
    DaemonSet {
        namespace: namespace.into(),
        name: name.into(),
        containers: vec![
            Container::default(),
            Container {
                args: args.iter().map(|a| (*a).to_owned()).collect(),
                env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            },
        ],
        desired: 3,
        ready: 3,
    }
}

fn facts(groups: &[&str], daemon_sets: Vec<DaemonSet>) -> ClusterFacts {
    ClusterFacts {
        api_groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        daemon_sets,
        config_maps: BTreeMap::new(),
    }
}

fn with(mut facts: ClusterFacts, namespace: &str, name: &str, key: &str, value: &str) -> ClusterFacts {
    let data = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    facts.config_maps.insert((namespace.into(), name.into()), data);
    facts
}

/// Name, whether it enforces, ids of the holes.
fn found(facts: &ClusterFacts) -> Option<(String, bool, Vec<&'static str>)> {
    detect(facts).map(|e| (e.name, e.rung.is_some(), e.holes.iter().map(|h| h.id).collect()))
}

#[test]
fn a_cluster_without_anything_known_is_unknown() {
    assert_eq!(detect(&ClusterFacts::default()), None);
    assert_eq!(EnforcerObservation::from(None), EnforcerObservation::Unknown);
}

#[test]
fn cilium_enforces_unless_its_configuration_says_never() {
    let running = facts(&["cilium.io"], vec![daemon_set("kube-system", "cilium", &[], &[])]);
    let holes = vec!["HostEntitiesByIdentity"];
    assert_eq!(found(&running), Some(("Cilium".into(), true, holes)));
    let never = with(
        running.clone(),
        "kube-system",
        "cilium-config",
        "enable-policy",
        "never",
    );
    assert_eq!(found(&never), Some(("Cilium".into(), false, vec![])));
    let off = with(
        running,
        "kube-system",
        "cilium-config",
        "enable-k8s-networkpolicy",
        "false",
    );
    assert_eq!(found(&off), Some(("Cilium".into(), false, vec![])));
}

#[test]
fn cilium_that_only_audits_enforces_nothing_wherever_that_is_set() {
    let agent = |args: &[&str], env: &[(&str, &str)]| {
        facts(&["cilium.io"], vec![daemon_set("kube-system", "cilium", args, env)])
    };
    let audit = |facts, value| with(facts, "kube-system", "cilium-config", "policy-audit-mode", value);
    let enforces = |facts: &ClusterFacts| detect(facts).is_some_and(|e| e.rung.is_some());
    for off in [
        audit(agent(&[], &[]), "true"),
        agent(&["--policy-audit-mode=true"], &[]),
        agent(&["--policy-audit-mode"], &[]),
        agent(&[], &[("CILIUM_POLICY_AUDIT_MODE", "True")]),
        audit(agent(&["--policy-audit-mode=true"], &[]), "false"),
    ] {
        assert!(!enforces(&off), "{off:?}");
    }
    for on in [
        audit(agent(&[], &[]), "false"),
        audit(agent(&["--policy-audit-mode=false"], &[]), "true"),
    ] {
        assert!(enforces(&on), "{on:?}");
    }
}

#[test]
fn a_daemon_set_of_a_known_name_in_an_unknown_place_proves_nothing() {
    for (namespace, name) in [
        ("tenant", "cilium"),
        ("tenant", "calico-node"),
        ("tenant", "kube-router"),
    ] {
        let groups = ["cilium.io", "crd.projectcalico.org"];
        assert_eq!(
            detect(&facts(&groups, vec![daemon_set(namespace, name, &[], &[])])),
            None
        );
    }
}

#[test]
fn vpc_cni_enforces_only_with_its_flag() {
    let node = |args: &[&str], env: &[(&str, &str)]| {
        facts(
            &["networking.k8s.aws"],
            vec![daemon_set("kube-system", "aws-node", args, env)],
        )
    };
    let off = detect(&node(&["--enable-network-policy=false"], &[])).unwrap();
    assert_eq!(
        (off.rung, off.evidence.as_str()),
        (
            None,
            "DaemonSet kube-system/aws-node without --enable-network-policy=true"
        )
    );
    let on = node(&["--enable-network-policy=true"], &[]);
    let controller = |value| {
        let key = "enable-network-policy-controller";
        with(on.clone(), "kube-system", "amazon-vpc-cni", key, value)
    };
    let enforces = |facts: &ClusterFacts| detect(facts).is_some_and(|e| e.rung.is_some());
    assert_eq!(
        (enforces(&controller("false")), enforces(&controller("true"))),
        (false, true)
    );
    let standard = detect(&node(&["--enable-ipv6=false", "--enable-network-policy=true"], &[])).unwrap();
    assert_eq!(
        standard.evidence,
        "DaemonSet kube-system/aws-node with --enable-network-policy=true, ready on 3 of 3 nodes"
    );
    assert_eq!(standard.holes, [VPC_CNI_NODE, VPC_CNI_SHARED, VPC_CNI_START]);
    let strict = node(
        &["--enable-network-policy=true"],
        &[("NETWORK_POLICY_ENFORCING_MODE", "strict")],
    );
    assert_eq!(detect(&strict).unwrap().holes, [VPC_CNI_NODE, VPC_CNI_SHARED]);
}

#[test]
fn auto_mode_enforces_only_with_the_controller_switched_on() {
    let auto = facts(&["eks.amazonaws.com"], vec![]);
    assert_eq!(found(&auto), Some(("EKS Auto Mode".into(), false, vec![])));
    let on = with(
        auto,
        "kube-system",
        "amazon-vpc-cni",
        "enable-network-policy-controller",
        "true",
    );
    assert!(detect(&on).unwrap().rung.is_some());
}

#[test]
fn kube_router_enforces_unless_its_firewall_is_off() {
    let router = |args: &[&str]| facts(&[], vec![daemon_set("kube-system", "kube-router", args, &[])]);
    assert!(detect(&router(&["--run-router=true"])).unwrap().rung.is_some());
    assert!(detect(&router(&["--run-firewall=true"])).unwrap().rung.is_some());
    assert!(detect(&router(&["--run-firewall=false"])).unwrap().rung.is_none());
}

#[test]
fn kindnet_and_flannel_are_not_counted_on() {
    for (namespace, name) in [("kube-system", "kindnet"), ("kube-flannel", "kube-flannel-ds")] {
        let idle = detect(&facts(&[], vec![daemon_set(namespace, name, &[], &[])])).unwrap();
        assert_eq!(idle.rung, None);
        assert!(matches!(
            EnforcerObservation::from(Some(&idle)),
            EnforcerObservation::NotEnforcing { .. }
        ));
    }
}

#[test]
fn an_enforcer_beside_an_idle_plugin_counts() {
    let both = facts(
        &["crd.projectcalico.org"],
        vec![
            daemon_set("kube-system", "aws-node", &[], &[]),
            daemon_set("calico-system", "calico-node", &[], &[]),
        ],
    );
    assert_eq!(found(&both), Some(("Calico".into(), true, vec![])));
}

#[test]
fn an_enforcer_that_is_not_ready_everywhere_says_so_and_one_ready_nowhere_enforces_nothing() {
    let mut agent = daemon_set("kube-system", "antrea-agent", &[], &[]);
    agent.ready = 2;
    assert!(
        detect(&facts(&[], vec![agent.clone()]))
            .unwrap()
            .holes
            .contains(&NOT_EVERYWHERE)
    );
    agent.ready = 0;
    assert_eq!(detect(&facts(&[], vec![agent])).unwrap().rung, None);
}

#[test]
fn none_is_an_enforcer_that_enforces_nothing() {
    for name in ["none", "None"] {
        assert_eq!(
            EnforcerObservation::from(Some(&Enforcer::stated(name))),
            EnforcerObservation::NotEnforcing {
                name: name.to_owned(),
                evidence: "stated by configuration".to_owned(),
            }
        );
    }
}

#[test]
fn what_is_stated_is_believed_with_the_holes_of_its_kind() {
    let stated = Enforcer::stated("Cilium");
    assert_eq!(stated.holes, [CILIUM_HOST]);
    assert_eq!(
        EnforcerObservation::from(Some(&stated)),
        EnforcerObservation::Found {
            name: "Cilium".into(),
            evidence: "stated by configuration".into(),
            holes: vec![CILIUM_HOST],
        }
    );
}

#[test]
fn what_ends_up_in_status_fits() {
    let all: Vec<Enforcer> = [
        facts(&["eks.amazonaws.com"], vec![]),
        facts(&["cilium.io"], vec![daemon_set("kube-system", "cilium", &[], &[])]),
    ]
    .iter()
    .filter_map(detect)
    .collect();
    for enforcer in all {
        assert!(
            enforcer.name.len() <= 64 && enforcer.evidence.len() <= 256,
            "{enforcer:?}"
        );
        assert!(enforcer.holes.iter().all(|h| h.message.len() <= 256));
    }
}
