use super::*;
use crate::domain::egress::enforcer::Enforcer;
use crate::domain::fixture::{FULL_SPEC, policy};
use crate::domain::observed::{EnforcerObservation, ResolverObservation, ResolverPods};

fn namespace(name: &str, labels: &[(&str, &str)]) -> NamespaceObservation {
    let own = [("kubernetes.io/metadata.name", name)];
    NamespaceObservation {
        name: name.to_owned(),
        labels: own
            .iter()
            .chain(labels)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        terminating: false,
    }
}

/// Two training namespaces and one that is none, with an enforcer stated by configuration.
fn cluster() -> ClusterObservation {
    ClusterObservation {
        namespaces: vec![
            namespace("ml", &[("team", "ml")]),
            namespace("ml-two", &[("team", "ml")]),
            namespace("web", &[("team", "web")]),
        ],
        network_policies: Vec::new(),
        enforcer: EnforcerObservation::Found {
            name: "kube-router".to_owned(),
            evidence: "stated by configuration".to_owned(),
            holes: Vec::new(),
        },
        pods: Some(Ok(Vec::new())),
        resolvers: ResolverObservation {
            pods: BTreeMap::from([(ResolverPods::KubeDns, BTreeSet::from([53]))]),
            ..ResolverObservation::default()
        },
        ..ClusterObservation::default()
    }
}

fn plan(policy: &ValidatedPolicy, cluster: &ClusterObservation) -> TargetPlan {
    plan_rules(policy, &Ok(cluster.clone()), &AccountObservation::default()).remove(0)
}

/// The cluster after the actions: what a server-side apply and a delete do, nothing more.
fn apply(mut cluster: ClusterObservation, actions: &[PlannedAction]) -> ClusterObservation {
    for PlannedAction { action, .. } in actions {
        match action {
            Action::ApplyNetworkPolicy { object, .. } => {
                let key = |o: &NetworkPolicy| (o.metadata.namespace.clone(), o.metadata.name.clone());
                cluster.network_policies.retain(|o| key(o) != key(object));
                let mut stored = (**object).clone();
                stored.metadata.uid = Some("uid-1".to_owned());
                cluster.network_policies.push(stored);
            }
            Action::DeleteNetworkPolicy { namespace, name, .. } => cluster
                .network_policies
                .retain(|o| o.metadata.namespace.as_ref() != Some(namespace) || o.metadata.name.as_ref() != Some(name)),
            other => panic!("unexpected {other}"),
        }
    }
    cluster
}

fn converged(policy: &ValidatedPolicy) -> ClusterObservation {
    apply(cluster(), &plan(policy, &cluster()).actions)
}

fn foreign(namespace: &str, yaml_spec: &str) -> NetworkPolicy {
    serde_yaml::from_str(&format!(
        "metadata: {{name: foreign, namespace: {namespace}}}\nspec: {yaml_spec}"
    ))
    .unwrap()
}

fn reasons(plan: &TargetPlan) -> Vec<(&'static str, Disposition)> {
    plan.findings.iter().map(|f| (f.control.id(), f.disposition)).collect()
}

fn needs(reason: HumanReason) -> Disposition {
    Disposition::NeedsHuman(reason)
}

#[test]
fn every_matching_namespace_gets_its_policy_and_then_nothing_is_left_to_do() {
    let policy = policy(FULL_SPEC);
    let first = plan(&policy, &cluster());
    let names: Vec<String> = first.actions.iter().map(|a| a.action.to_string()).collect();
    assert_eq!(
        names,
        [
            "ApplyNetworkPolicy egress/training/ml",
            "ApplyNetworkPolicy egress/training/ml-two"
        ]
    );
    assert_eq!(first.state, TargetState::Drifted);

    let second = plan(&policy, &converged(&policy));
    assert_eq!(second.findings, []);
    assert_eq!(second.actions, []);
    assert_eq!(second.state, TargetState::Compliant);
    assert_eq!(
        second.facts,
        TargetFacts {
            enforcer: Some("kube-router".to_owned()),
            rung: Some("PortRestricted".to_owned()),
            evidence: Some("stated by configuration".to_owned()),
            ..TargetFacts::default()
        }
    );
}

#[test]
fn an_edit_is_named_with_its_author_and_undone() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    let edited = &mut cluster.network_policies[0];
    edited.spec.as_mut().unwrap().egress = Some(vec![serde_yaml::from_str("{}").unwrap()]);
    edited.metadata.managed_fields = serde_yaml::from_str(
        "[{manager: aidp, time: 2026-01-01T00:00:00Z}, {manager: kubectl-edit, time: 2026-02-01T00:00:00Z}]",
    )
    .unwrap();
    let plan = plan(&policy, &cluster);
    assert!(
        plan.findings.iter().all(|f| f.actor.as_deref() == Some("kubectl-edit")),
        "{:?}",
        plan.findings
    );
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(apply(cluster, &plan.actions).network_policies.len(), 2);
}

#[test]
fn a_new_namespace_with_the_label_is_covered() {
    let policy = policy(FULL_SPEC);
    let mut cluster = converged(&policy);
    cluster.namespaces.push(namespace("ml-three", &[("team", "ml")]));
    let names: Vec<String> = plan(&policy, &cluster)
        .actions
        .iter()
        .map(|a| a.action.to_string())
        .collect();
    assert_eq!(names, ["ApplyNetworkPolicy egress/training/ml-three"]);
}

#[test]
fn a_rule_that_matches_no_namespace_promises_nothing() {
    let mut cluster = cluster();
    cluster.namespaces.retain(|n| n.name == "web");
    let plan = plan(&policy(FULL_SPEC), &cluster);
    let said: Vec<_> = plan
        .findings
        .iter()
        .map(|f| (f.gating, f.disposition, f.have.as_str()))
        .collect();
    assert_eq!(said, [(Gating::Gating, Disposition::Note, "none")]);
    assert_eq!((plan.state, plan.actions), (TargetState::Unknown, vec![]));
}

#[test]
fn a_namespace_that_is_being_deleted_is_left_alone() {
    let policy = policy(FULL_SPEC);
    let mut cluster = cluster();
    cluster.namespaces.truncate(1);
    cluster.namespaces[0].terminating = true;
    assert_eq!(plan(&policy, &cluster).actions, []);
}

#[test]
fn a_namespace_that_lost_the_label_keeps_its_policy_under_retain_and_loses_it_under_revert() {
    let retain = policy(FULL_SPEC);
    let mut cluster = converged(&retain);
    cluster.namespaces[1] = namespace("ml-two", &[]);
    let kept = plan(&retain, &cluster);
    assert_eq!(reasons(&kept), [("Net.Egress", needs(HumanReason::Orphaned))]);
    assert_eq!(kept.findings[0].gating, Gating::ReportOnly);
    assert_eq!((kept.actions, kept.state), (Vec::new(), TargetState::Compliant));

    let revert = policy(&format!("{FULL_SPEC}deletionPolicy: Revert\n"));
    let removed = plan(&revert, &cluster);
    assert_eq!(apply(cluster, &removed.actions).network_policies.len(), 1);
}

#[test]
fn a_rule_that_left_the_policy_is_an_orphan() {
    let cluster = converged(&policy(FULL_SPEC));
    let left = FULL_SPEC.replace("name: training\n", "name: renamed\n");
    let retain = plan_rules(&policy(&left), &Ok(cluster.clone()), &AccountObservation::default());
    assert_eq!(reasons(&retain[1]), [("Net.Egress", needs(HumanReason::Orphaned)); 2]);
    assert_eq!((retain[1].state, retain[1].actions.len()), (TargetState::Orphaned, 0));

    let reverting = plan_rules(
        &policy(&format!("{left}deletionPolicy: Revert\n")),
        &Ok(cluster.clone()),
        &AccountObservation::default(),
    );
    assert_eq!(apply(cluster, &reverting[1].actions).network_policies, []);
}

#[test]
fn a_claimed_rule_is_spoken_of_until_nothing_of_it_is_left() {
    let mut policy = policy(&FULL_SPEC.replace("name: training\n", "name: renamed\n"));
    policy.inventory.egress = vec![crate::api::EgressTargetStatus {
        name: "training".to_owned(),
        enforcer: None,
        rung: None,
        evidence: None,
        state: TargetState::Compliant,
    }];
    let of_claimed = |plans: Vec<TargetPlan>| {
        let plan = plans.into_iter().find(|p| p.target == whole("training")).unwrap();
        (plan.state, plan.findings.len(), plan.actions.len())
    };
    let gone = plan_rules(&policy, &Ok(cluster()), &AccountObservation::default());
    assert_eq!(of_claimed(gone), (TargetState::Orphaned, 0, 0), "done with");
    let error = CallError {
        operation: "list",
        class: ErrorClass::Transient,
        code: None,
        message: "timed out".to_owned(),
    };
    let unseen = plan_rules(&policy, &Err(error), &AccountObservation::default());
    assert_eq!(of_claimed(unseen), (TargetState::Unknown, 1, 0), "not done with");
}

#[test]
fn revert_removes_ours_and_nothing_else() {
    let policy = policy(&format!("{FULL_SPEC}deletionPolicy: Revert\n"));
    let mut cluster = converged(&policy);
    cluster.network_policies.push(foreign("ml", "{podSelector: {}}"));
    let plans = revert(&policy, &Ok(cluster.clone()));
    assert_eq!(plans.len(), 1);
    assert_eq!(
        apply(cluster, &plans[0].actions).network_policies,
        [foreign("ml", "{podSelector: {}}")]
    );
}

#[test]
fn an_unreadable_cluster_says_nothing_and_writes_nothing() {
    let policy = policy(FULL_SPEC);
    for (class, want) in [
        (ErrorClass::AccessDenied, needs(HumanReason::AccessDenied)),
        (ErrorClass::Transient, Disposition::Unobserved),
    ] {
        let error = CallError {
            operation: "list",
            class,
            code: None,
            message: "no".to_owned(),
        };
        for plans in [
            plan_rules(&policy, &Err(error.clone()), &AccountObservation::default()),
            revert(&policy, &Err(error)),
        ] {
            assert_eq!(plans.len(), 1);
            assert_eq!(reasons(&plans[0]), [("Net.Egress", want)]);
            assert_eq!((plans[0].state, plans[0].actions.len()), (TargetState::Unknown, 0));
        }
    }
}

#[test]
fn kube_system_and_the_operators_namespace_are_refused_however_they_are_selected() {
    let policy = policy(FULL_SPEC);
    for name in ["kube-system", "aidp-system"] {
        let mut cluster = cluster();
        cluster.namespaces = vec![namespace(name, &[("team", "ml")])];
        let plan = plan(&policy, &cluster);
        assert_eq!(reasons(&plan), [("Net.Egress", needs(HumanReason::NamespaceRefused))]);
        assert_eq!(plan.actions, []);
    }
}

#[test]
fn a_rule_that_blocks_sts_is_not_applied_where_irsa_is_used() {
    let spec = FULL_SPEC.replace(
        "{type: CIDR, cidr: 0.0.0.0/0}",
        "{type: CIDR, cidr: 10.0.0.0/8, ports: [{port: 8443}]}",
    );
    let policy = policy(&spec);
    let plan = plan(&policy, &cluster());
    assert_eq!(
        reasons(&plan),
        [
            ("Net.BlocksOwnCredentials", needs(HumanReason::BlocksOwnCredentials)),
            ("Net.Egress", Disposition::Repair),
        ]
    );
    let names: Vec<String> = plan.actions.iter().map(|a| a.action.to_string()).collect();
    assert_eq!(
        names,
        ["ApplyNetworkPolicy egress/training/ml-two"],
        "no ServiceAccount of ml-two is trusted"
    );
}

#[test]
fn what_enforces_decides_the_rung_and_an_assurance_above_it_is_never_compliant() {
    let narrow = FULL_SPEC.replace("cidr: 0.0.0.0/0", "cidr: 10.0.0.0/8").replace(
        "serviceAccounts: [{namespace: ml,",
        "serviceAccounts: [{namespace: elsewhere,",
    );
    let anywhere = "{type: CIDR, cidr: 0.0.0.0/0}";
    let halves = FULL_SPEC.replace(
        anywhere,
        "{type: CIDR, cidr: 0.0.0.0/1}, {type: CIDR, cidr: 128.0.0.0/1}",
    );
    assert_ne!(halves, FULL_SPEC);
    let found = cluster().enforcer;
    let flannel = EnforcerObservation::NotEnforcing {
        name: "flannel".to_owned(),
        evidence: "DaemonSet kube-flannel".to_owned(),
    };
    for (spec, assurance, enforcer, want) in [
        (FULL_SPEC, "Port", &found, None),
        (
            FULL_SPEC,
            "Destination",
            &found,
            Some((HumanReason::NotEnforced, "PortRestricted (kube-router)")),
        ),
        (
            halves.as_str(),
            "Destination",
            &found,
            Some((HumanReason::NotEnforced, "PortRestricted (kube-router)")),
        ),
        (narrow.as_str(), "Destination", &found, None),
        (
            narrow.as_str(),
            "TLS",
            &found,
            Some((HumanReason::NotEnforced, "DestinationRestricted (kube-router)")),
        ),
        (FULL_SPEC, "Port", &flannel, Some((HumanReason::NotEnforced, "flannel"))),
        (
            FULL_SPEC,
            "Port",
            &EnforcerObservation::Unknown,
            Some((HumanReason::EnforcerUnknown, "nothing known")),
        ),
    ] {
        let spec = spec.replace("  podSelector:", &format!("  assurance: {assurance}\n  podSelector:"));
        let policy = policy(&spec);
        let cluster = ClusterObservation {
            enforcer: enforcer.clone(),
            ..converged(&policy)
        };
        let plan = plan(&policy, &cluster);
        let have: Vec<_> = plan.findings.iter().map(|f| (f.disposition, f.have.as_str())).collect();
        let want: Vec<_> = want.into_iter().map(|(reason, have)| (needs(reason), have)).collect();
        assert_eq!(have, want, "{assurance} {enforcer:?}");
    }
}

#[test]
fn what_is_known_of_an_enforcers_holes_is_told_and_holds_nothing_back() {
    let policy = policy(FULL_SPEC);
    let cluster = ClusterObservation {
        enforcer: Some(&Enforcer::stated("vpc-cni")).into(),
        ..converged(&policy)
    };
    let plan = plan(&policy, &cluster);
    let told: Vec<_> = plan
        .findings
        .iter()
        .map(|f| (f.control.id(), f.path.as_str(), f.gating, f.disposition))
        .collect();
    let hole = |path| ("Net.Enforcement", path, Gating::ReportOnly, Disposition::Note);
    assert_eq!(
        told,
        [
            hole("enforcer.NodeLocalEgressOpen"),
            hole("enforcer.EnforcementAmbiguous"),
            hole("enforcer.EnforcementGapAtStart"),
        ]
    );
    assert_eq!(plan.state, TargetState::Compliant);
}

mod others;
mod surroundings;
