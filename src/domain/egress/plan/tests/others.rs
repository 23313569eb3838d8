//! What other policies, and none, let the rule's pods reach.

use serde_json::json;

use super::*;
use crate::domain::egress::admin::{AdminKind, AdminPolicy};
use crate::domain::observed::{AdminObservation, PluginPolicy};

fn pod(name: &str, labels: &[(&str, &str)]) -> PodObservation {
    PodObservation {
        namespace: "ml".to_owned(),
        name: name.to_owned(),
        service_account: "default".to_owned(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..PodObservation::default()
    }
}

fn trainer(more: &[(&str, &str)]) -> PodObservation {
    let all: Vec<(&str, &str)> = [("workload", "training")].iter().chain(more).copied().collect();
    pod("trainer", &all)
}

/// Findings of the union as (path, have).
fn beyond(plan: &TargetPlan) -> Vec<(String, String)> {
    let exceeding = |f: &&Finding| {
        let known = f.control == Control::NetUnion && f.disposition == needs(HumanReason::EgressExceeded);
        assert!(known, "{f:?}");
        known
    };
    let found = plan.findings.iter().filter(exceeding);
    found.map(|f| (f.path.clone(), f.have.clone())).collect()
}

fn with(policy: &ValidatedPolicy, foreign_spec: &str, pods: Vec<PodObservation>) -> TargetPlan {
    let mut cluster = converged(policy);
    cluster.network_policies.push(foreign("ml", foreign_spec));
    cluster.pods = Some(Ok(pods));
    plan(policy, &cluster)
}

fn found(path: &str, have: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), have.to_owned())]
}

#[test]
fn a_policy_that_opens_port_80_is_named_with_rule_ports_and_destination() {
    let policy = policy(FULL_SPEC);
    let plan = with(
        &policy,
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 443}], to: [{ipBlock: {cidr: 10.0.0.0/8}}]}, {ports: [{port: 80}]}]}",
        vec![trainer(&[])],
    );
    assert_eq!(
        beyond(&plan),
        found("NetworkPolicy/foreign.spec.egress[1]", "TCP/80 to any")
    );
    assert_eq!(plan.state, TargetState::Drifted, "wrong, not unknown");
    assert_eq!(plan.actions, [], "somebody else's policy is not touched");
}

#[test]
fn a_policy_that_opens_no_more_than_the_rule_is_nothing() {
    let policy = policy(FULL_SPEC);
    for spec in [
        "{podSelector: {}, policyTypes: [Egress]}",
        "{podSelector: {}, policyTypes: [Ingress]}",
        "{podSelector: {}, ingress: [{}]}",
        "{podSelector: {}, egress: [{ports: [{port: 443}], to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
        "{podSelector: {matchLabels: {workload: serving}}, policyTypes: [Egress], egress: [{}]}",
    ] {
        let plan = with(&policy, spec, vec![trainer(&[])]);
        assert_eq!(
            (beyond(&plan), plan.state),
            (Vec::new(), TargetState::Compliant),
            "{spec}"
        );
    }
}

#[test]
fn it_counts_before_the_first_pod_if_it_selects_every_pod_of_the_rule() {
    let policy = policy(FULL_SPEC);
    let open =
        "{podSelector: {matchExpressions: [{key: workload, operator: Exists}]}, policyTypes: [Egress], egress: [{}]}";
    assert_eq!(
        beyond(&with(&policy, open, Vec::new())),
        found("NetworkPolicy/foreign.spec.egress[0]", "all")
    );
}

#[test]
fn one_that_selects_some_pods_counts_when_such_a_pod_is_there() {
    let policy = policy(FULL_SPEC);
    let open = "{podSelector: {matchLabels: {debug: 'true'}}, policyTypes: [Egress], egress: [{ports: [{port: 22}]}]}";
    assert_eq!(beyond(&with(&policy, open, vec![trainer(&[])])), []);
    assert_eq!(
        beyond(&with(&policy, open, vec![trainer(&[]), trainer(&[("debug", "true")])])),
        found("NetworkPolicy/foreign.spec.egress[0]", "TCP/22 to any")
    );
    let elsewhere = PodObservation {
        namespace: "ml-two".to_owned(),
        ..trainer(&[("debug", "true")])
    };
    assert_eq!(beyond(&with(&policy, open, vec![elsewhere])), [], "the policy is in ml");
}

#[test]
fn hundreds_of_pods_make_one_finding() {
    let policy = policy(FULL_SPEC);
    let pods = (0..300).map(|n| trainer(&[("index", &n.to_string())])).collect();
    let open = "{podSelector: {}, policyTypes: [Egress], egress: [{}]}";
    assert_eq!(
        beyond(&with(&policy, open, pods)),
        found("NetworkPolicy/foreign.spec.egress[0]", "all")
    );
}

#[test]
fn a_pod_on_its_nodes_network_is_beyond_every_policy() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    let host = |name: &str| PodObservation {
        name: name.to_owned(),
        host_network: true,
        ..trainer(&[])
    };
    cluster.pods = Some(Ok(vec![host("b"), host("a"), trainer(&[])]));
    assert_eq!(beyond(&plan(&policy, &cluster)), found("pods.hostNetwork", "a"));
}

#[test]
fn a_pod_with_other_networks_besides_the_clusters_is_never_compliant() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    let networks = |name: &str, other_networks| PodObservation {
        name: name.to_owned(),
        other_networks,
        ..trainer(&[])
    };
    cluster.pods = Some(Ok(vec![networks("b", true), networks("a", true), networks("0", false)]));
    let found = plan(&policy, &cluster);
    let said: Vec<_> = found
        .findings
        .iter()
        .map(|f| (f.path.as_str(), f.have.as_str(), f.disposition))
        .collect();
    assert_eq!(said, [("pods.networks", "a", needs(HumanReason::NotAnalysed))]);
    assert_ne!(found.state, TargetState::Compliant);
}

#[test]
fn a_pod_that_nothing_owns_is_not_restricted_by_vpc_cni_and_is_by_others() {
    let policy = policy(FULL_SPEC);
    let standalone = |enforcer: &str| {
        let mut cluster = ClusterObservation {
            enforcer: Some(&Enforcer::stated(enforcer)).into(),
            ..converged(&policy)
        };
        let alone = PodObservation {
            standalone: true,
            ..trainer(&[])
        };
        cluster.pods = Some(Ok(vec![alone]));
        let found = plan(&policy, &cluster);
        let gating = found.findings.iter().filter(|f| f.gating == Gating::Gating);
        let said: Vec<_> = gating
            .map(|f| (f.control.id(), f.path.clone(), f.have.clone(), f.disposition))
            .collect();
        (said, found.state == TargetState::Compliant)
    };
    let refused = needs(HumanReason::NotEnforced);
    assert_eq!(
        standalone("vpc-cni"),
        (
            vec![(
                "Net.Enforcement",
                "pods.ownerReferences".to_owned(),
                "trainer".to_owned(),
                refused
            )],
            false
        )
    );
    assert_eq!(standalone("calico"), (vec![], true));
}

#[test]
fn a_pod_on_fargate_is_restricted_by_nothing() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    cluster.pods = Some(Ok(vec![
        trainer(&[("eks.amazonaws.com/fargate-profile", "batch")]),
        trainer(&[]),
    ]));
    let found = plan(&policy, &cluster);
    let said: Vec<_> = found
        .findings
        .iter()
        .map(|f| (f.control.id(), f.path.as_str(), f.disposition))
        .collect();
    assert_eq!(
        said,
        [("Net.Enforcement", "pods.nodes", needs(HumanReason::NotEnforced))]
    );
    assert_eq!(found.state, TargetState::Drifted);
}

#[test]
fn pods_that_outlive_the_network_policy_of_a_namespace_that_is_being_deleted_are_said() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    cluster.namespaces[0].terminating = true;
    cluster.pods = Some(Ok(vec![trainer(&[])]));
    assert_eq!(plan(&policy, &cluster).findings, [], "its policy is still there");
    cluster
        .network_policies
        .retain(|o| o.metadata.namespace.as_deref() != Some("ml"));
    let found = plan(&policy, &cluster);
    let said: Vec<_> = found
        .findings
        .iter()
        .map(|f| (f.path.as_str(), f.have.as_str(), f.disposition))
        .collect();
    assert_eq!(said, [("pods", "trainer", needs(HumanReason::EgressExceeded))]);
    assert_eq!((found.state, found.actions), (TargetState::Drifted, vec![]));
    cluster.pods = Some(Ok(vec![]));
    assert_eq!(plan(&policy, &cluster).findings, []);
}

#[test]
fn two_rules_of_one_policy_on_the_same_pods_exceed_nothing() {
    let spec = format!(
        "{FULL_SPEC}- {{name: tracking, namespaceSelector: {{matchLabels: {{team: ml}}}}, podSelector: {{matchLabels: {{track: 'yes'}}}}, allow: [{{type: CIDR, cidr: 0.0.0.0/0}}, {{type: CIDR, cidr: 10.9.0.0/16, ports: [{{port: 5000}}]}}]}}\n"
    );
    let policy = policy(&spec);
    let both = trainer(&[("track", "yes")]);
    let mut cluster = cluster();
    for _ in 0..2 {
        let plans = plan_rules(&policy, &Ok(cluster.clone()), &AccountObservation::default());
        let actions: Vec<PlannedAction> = plans.into_iter().flat_map(|p| p.actions).collect();
        cluster = apply(cluster, &actions);
    }
    cluster.pods = Some(Ok(vec![both]));
    for plan in plan_rules(&policy, &Ok(cluster), &AccountObservation::default()) {
        assert_eq!((plan.findings, plan.state), (Vec::new(), TargetState::Compliant));
    }
}

fn admin(egress: &serde_json::Value) -> AdminObservation {
    let object = json!({
        "metadata": {"name": "platform"},
        "spec": {"priority": 5, "subject": {"namespaces": {}}, "egress": egress},
    });
    AdminObservation {
        kind: AdminKind::AdminNetworkPolicy,
        name: "platform".to_owned(),
        policy: AdminPolicy::read(AdminKind::AdminNetworkPolicy, &object),
    }
}

#[test]
fn an_admin_policy_that_allows_more_is_named_and_one_that_denies_is_not() {
    let policy = policy(FULL_SPEC);
    let judge = |egress| {
        let mut cluster = converged(&policy);
        cluster.pods = Some(Ok(vec![trainer(&[])]));
        cluster.admin_policies = Ok(vec![admin(&egress)]);
        plan(&policy, &cluster)
    };
    let rule = |action: &str| json!([{"action": action, "to": [{"networks": ["0.0.0.0/0"]}], "ports": [{"portNumber": {"protocol": "TCP", "port": 80}}]}]);
    let open = judge(rule("Allow"));
    let paths: BTreeSet<String> = beyond(&open).into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        BTreeSet::from(["AdminNetworkPolicy/platform.spec.egress[0]".to_owned()])
    );
    let closed = judge(rule("Deny"));
    assert_eq!((beyond(&closed), closed.state), (Vec::new(), TargetState::Compliant));
}

type Change = Box<dyn Fn(&mut ClusterObservation)>;

#[test]
fn what_cannot_be_read_or_is_ambiguous_is_unknown_and_never_compliant() {
    let policy = policy(FULL_SPEC);
    let error = |class| CallError {
        operation: "list",
        class,
        code: None,
        message: "no".to_owned(),
    };
    let not_analysed = needs(HumanReason::NotAnalysed);
    let allow = json!([{"action": "Allow", "to": [{"networks": ["10.0.0.0/8"]}]}]);
    let deny = json!([{"action": "Deny", "to": [{"networks": ["10.0.0.0/8"]}]}]);
    let cases: Vec<(Change, Disposition)> = vec![
        (
            Box::new(move |c| c.pods = Some(Err(error(ErrorClass::AccessDenied)))),
            not_analysed,
        ),
        (
            Box::new(move |c| c.pods = Some(Err(error(ErrorClass::Transient)))),
            Disposition::Unobserved,
        ),
        (Box::new(move |c| c.pods = None), not_analysed),
        (
            Box::new(move |c| c.admin_policies = Err(error(ErrorClass::AccessDenied))),
            not_analysed,
        ),
        (
            Box::new(|c| c.admin_policies = Ok(vec![admin(&json!([{"action": "Alow", "to": []}]))])),
            not_analysed,
        ),
        (
            Box::new(move |c| c.plugin_policies = Err(error(ErrorClass::AccessDenied))),
            not_analysed,
        ),
        (
            Box::new(move |c| c.plugin_policies = Err(error(ErrorClass::Transient))),
            Disposition::Unobserved,
        ),
        (
            Box::new(move |c| c.plugin_policies = Ok(vec![cilium(None), cilium(Some("other"))])),
            not_analysed,
        ),
        (
            Box::new(move |c| c.plugin_policies = Ok(vec![cilium(Some("ml"))])),
            not_analysed,
        ),
        (
            Box::new(|c| {
                c.network_policies
                    .push(foreign("ml", "{podSelector: {}, policyTypes: [egress]}"));
            }),
            not_analysed,
        ),
        (
            Box::new(move |c| {
                let mut second = admin(&deny);
                second.policy.as_mut().unwrap().name = "other".to_owned();
                c.admin_policies = Ok(vec![admin(&allow), second]);
            }),
            not_analysed,
        ),
    ];
    for (n, (change, want)) in cases.into_iter().enumerate() {
        let mut cluster = converged(&policy);
        cluster.namespaces.truncate(1);
        cluster.network_policies.truncate(1);
        cluster.pods = Some(Ok(vec![trainer(&[])]));
        change(&mut cluster);
        let plan = plan(&policy, &cluster);
        assert!(
            plan.findings
                .iter()
                .any(|f| f.control == Control::NetUnion && f.disposition == want && f.gating == Gating::Gating),
            "{n}: {:?}",
            plan.findings
        );
        assert_ne!(plan.state, TargetState::Compliant, "{n}");
        assert_eq!(plan.actions, [], "{n}");
    }
}

#[test]
fn a_rule_is_applied_although_the_others_cannot_be_seen() {
    let policy = policy(FULL_SPEC);
    let mut cluster = cluster();
    cluster.pods = None;
    assert_eq!(plan(&policy, &cluster).actions.len(), 2);
}

/// A policy of Cilium's own, of which only the place is known.
fn cilium(namespace: Option<&str>) -> PluginPolicy {
    PluginPolicy {
        kind: "CiliumNetworkPolicy.cilium.io".to_owned(),
        namespace: namespace.map(str::to_owned),
        name: "open".to_owned(),
    }
}

#[test]
fn a_plugins_own_policy_in_another_namespace_is_no_matter() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    let before = plan(&policy, &cluster);
    cluster.plugin_policies = Ok(vec![cilium(Some("elsewhere"))]);
    assert_eq!(plan(&policy, &cluster), before);
}
