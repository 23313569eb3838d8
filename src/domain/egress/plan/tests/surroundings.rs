//! What the NetworkPolicy depends on besides its rule: name resolution, and where credentials come from.

use std::net::IpAddr;

use super::*;
use crate::domain::observed::PodIdentityAssociation;

/// Destinations of the NetworkPolicy wanted in `ml`, each with its ports.
fn wanted(cluster: &ClusterObservation, associations: Option<&BTreeSet<PodIdentityAssociation>>) -> Vec<String> {
    // 443 to one network, so that the list is short.
    let spec = FULL_SPEC.replace("cidr: 0.0.0.0/0", "cidr: 10.0.0.0/8");
    let account = AccountObservation {
        pod_identity_associations: associations.map(|all| Ok(all.clone())),
        ..AccountObservation::default()
    };
    destinations(&plan_rules(&policy(&spec), &Ok(cluster.clone()), &account).remove(0))
}

fn destinations(plan: &TargetPlan) -> Vec<String> {
    let object = plan.actions.iter().find_map(|planned| match &planned.action {
        Action::ApplyNetworkPolicy { object, .. } if object.metadata.namespace.as_deref() == Some("ml") => Some(object),
        _ => None,
    });
    let rules = object.expect("a policy in ml").spec.clone().unwrap().egress.unwrap();
    let mut out = Vec::new();
    for rule in rules {
        let ports: Vec<String> = rule
            .ports
            .iter()
            .flatten()
            .map(|p| {
                format!(
                    "{}/{}",
                    p.protocol.as_deref().unwrap_or_default(),
                    serde_json::json!(p.port)
                )
            })
            .collect();
        for peer in rule.to.iter().flatten() {
            let to = peer.ip_block.as_ref().map_or("pods", |b| b.cidr.as_str());
            out.push(format!("{to} {}", ports.join(",")));
        }
    }
    out
}

fn resolvers(kube_dns: bool, node_local: &[&str], service: &[&str]) -> ClusterObservation {
    let set = |list: &[&str]| list.iter().map(|a| a.parse::<IpAddr>().unwrap()).collect();
    ClusterObservation {
        resolvers: ResolverObservation {
            pods: kube_dns
                .then(|| (ResolverPods::KubeDns, BTreeSet::from([53])))
                .into_iter()
                .collect(),
            node_local: set(node_local),
            service: set(service),
            ..ResolverObservation::default()
        },
        ..cluster()
    }
}

const DNS: &str = "UDP/53,TCP/53";

#[test]
fn names_are_resolved_where_the_cluster_resolves_them() {
    let usual = format!("pods {DNS}");
    let node = format!("169.254.20.10/32 {DNS}");
    let service = format!("10.100.0.10/32 {DNS}");
    for (cluster, want) in [
        (resolvers(true, &[], &[]), vec![&usual]),
        // Nothing shows: the usual.
        (resolvers(false, &[], &[]), vec![&usual]),
        (resolvers(true, &["169.254.20.10"], &[]), vec![&usual, &node]),
        // EKS Auto Mode: no pods, and the node answers at the Service's address.
        (resolvers(false, &[], &["10.100.0.10"]), vec![&service]),
        (resolvers(false, &["169.254.20.10"], &[]), vec![&node]),
        // With pods behind it, the Service's address is not needed.
        (resolvers(true, &[], &["10.100.0.10"]), vec![&usual]),
    ] {
        let mut want: Vec<&str> = want.into_iter().map(String::as_str).collect();
        want.push("10.0.0.0/8 TCP/443");
        assert_eq!(wanted(&cluster, None), want, "{:?}", cluster.resolvers);
    }
}

/// What the plan says about name resolution, and the destinations on ports of it.
fn said(resolvers: ResolverObservation) -> (Vec<String>, Vec<String>) {
    let cluster = ClusterObservation { resolvers, ..cluster() };
    let plan = plan_rules(&policy(FULL_SPEC), &Ok(cluster), &AccountObservation::default()).remove(0);
    let about = plan
        .findings
        .iter()
        .filter(|f| f.control == Control::NetBlocksOwnCredentials);
    let findings = about
        .map(|f| format!("{:?} {:?} {}", f.gating, f.disposition, f.want))
        .collect();
    let open = destinations(&plan).into_iter().filter(|d| d.contains("UDP")).collect();
    (findings, open)
}

#[test]
fn resolvers_of_openshift_and_on_other_ports_are_reached() {
    let on = |pods, ports: &[u16]| ResolverObservation {
        pods: BTreeMap::from([(pods, ports.iter().copied().collect())]),
        // OpenShift's Service, whose address is not read.
        told: BTreeSet::from(["172.30.0.10".parse().unwrap()]),
        service: BTreeSet::from(["172.30.0.10".parse().unwrap()]),
        ..ResolverObservation::default()
    };
    let both = "pods UDP/53,TCP/53,UDP/5353,TCP/5353".to_owned();
    assert_eq!(said(on(ResolverPods::OpenShift, &[5353])), (vec![], vec![both.clone()]));
    assert_eq!(said(on(ResolverPods::KubeDns, &[5353])), (vec![], vec![both]));
}

#[test]
fn a_resolver_that_does_not_show_is_assumed_with_a_finding() {
    let usual = vec![format!("pods {DNS}")];
    let note = vec!["ReportOnly Note Dns reachable".to_owned()];
    assert_eq!(said(ResolverObservation::default()), (note.clone(), usual.clone()));
    let told = |told: &str, kube_dns: bool| {
        let mut seen = resolvers(kube_dns, &["169.254.20.10"], &["10.100.0.10"]).resolvers;
        seen.told = BTreeSet::from([told.parse().unwrap()]);
        said(seen).0
    };
    assert_eq!(told("10.9.0.2", true), note);
    assert_eq!(told("10.9.0.2", false), note);
    assert_eq!(told("10.100.0.10", true), [""; 0]);
    assert_eq!(told("169.254.20.10", false), [""; 0]);
}

fn association(namespace: &str) -> BTreeSet<PodIdentityAssociation> {
    BTreeSet::from([PodIdentityAssociation {
        id: "a-1".to_owned(),
        namespace: namespace.to_owned(),
        service_account: "trainer".to_owned(),
        role_arn: "arn:aws:iam::123456789012:role/aidp/fraud-trainer".to_owned(),
        target_role_arn: None,
        session_tags_disabled: false,
    }])
}

#[test]
fn the_pod_identity_agent_is_open_where_it_is_used_and_nowhere_else() {
    let agent = "169.254.170.23/32 TCP/80".to_owned();
    let opens = |cluster: &ClusterObservation, associations: Option<BTreeSet<PodIdentityAssociation>>| {
        wanted(cluster, associations.as_ref()).contains(&agent)
    };
    let plain = cluster();
    assert!(!opens(&plain, None));
    assert!(opens(&plain, Some(association("ml"))));
    assert!(!opens(&plain, Some(association("web"))));

    let with_pod = |workload: &str| ClusterObservation {
        pods: Some(Ok(vec![PodObservation {
            namespace: "ml".to_owned(),
            name: "trainer-0".to_owned(),
            labels: [("workload".to_owned(), workload.to_owned())].into(),
            pod_identity: true,
            ..PodObservation::default()
        }])),
        ..cluster()
    };
    assert!(opens(&with_pod("training"), None));
    assert!(
        !opens(&with_pod("serving"), None),
        "another workload's agent is not the rule's"
    );
}

#[test]
fn cilium_and_the_pod_identity_agent_do_not_go_together() {
    let mut cluster = cluster();
    cluster.enforcer = EnforcerObservation::Found {
        name: "Cilium".to_owned(),
        evidence: "DaemonSet".to_owned(),
        holes: Vec::new(),
    };
    let account = AccountObservation {
        pod_identity_associations: Some(Ok(association("ml"))),
        ..AccountObservation::default()
    };
    let plan = plan_rules(&policy(FULL_SPEC), &Ok(cluster), &account).remove(0);
    assert!(
        plan.findings
            .iter()
            .any(|f| f.control == Control::NetBlocksOwnCredentials
                && f.disposition == needs(HumanReason::BlocksOwnCredentials)
                && f.message.contains("Cilium")),
        "{:?}",
        plan.findings
    );
    let names: Vec<String> = plan.actions.iter().map(|a| a.action.to_string()).collect();
    assert_eq!(names, ["ApplyNetworkPolicy egress/training/ml-two"]);
}

#[test]
fn a_pod_that_shows_irsa_counts_like_a_role_that_trusts_its_namespace() {
    let spec = FULL_SPEC
        .replace(
            "{type: CIDR, cidr: 0.0.0.0/0}",
            "{type: CIDR, cidr: 10.0.0.0/8, ports: [{port: 8443}]}",
        )
        .replace(
            "serviceAccounts: [{namespace: ml,",
            "serviceAccounts: [{namespace: elsewhere,",
        );
    let policy = policy(&spec);
    assert_eq!(plan(&policy, &cluster()).actions.len(), 2);
    let mut cluster = cluster();
    cluster.pods = Some(Ok(vec![PodObservation {
        namespace: "ml".to_owned(),
        name: "trainer-0".to_owned(),
        labels: [("workload".to_owned(), "training".to_owned())].into(),
        web_identity: true,
        ..PodObservation::default()
    }]));
    let plan = plan(&policy, &cluster);
    assert_eq!(plan.actions.len(), 1, "only where STS is not needed");
}

#[test]
fn whether_some_addresses_include_sts_is_said_to_be_unknown() {
    let spec = FULL_SPEC.replace("cidr: 0.0.0.0/0", "cidr: 10.0.0.0/8");
    let policy = policy(&spec);
    let plan = plan(&policy, &converged(&policy));
    let notes: Vec<_> = plan
        .findings
        .iter()
        .map(|f| (f.control.id(), f.gating, f.disposition))
        .collect();
    assert_eq!(
        notes,
        [("Net.BlocksOwnCredentials", Gating::ReportOnly, Disposition::Note)]
    );
    assert_eq!(plan.state, TargetState::Compliant);
}

/// Where the NetworkPolicy of each rule is applied, and which rules are refused for what they cut their pods off from: rule
/// `training` opens no way to STS, rule `sts` opens one for these pods.
fn with_second_rule(pods: &str, change: impl FnOnce(&mut ClusterObservation)) -> (Vec<String>, Vec<String>) {
    let spec = FULL_SPEC.replace(
        "{type: CIDR, cidr: 0.0.0.0/0}",
        "{type: CIDR, cidr: 10.0.0.0/8, ports: [{port: 8443}]}",
    );
    let second = format!(
        "- {{name: sts, namespaceSelector: {{matchLabels: {{team: ml}}}}, podSelector: {pods}, \
         allow: [{{type: CIDR, cidr: 0.0.0.0/0}}]}}\n"
    );
    let mut cluster = cluster();
    cluster.namespaces.retain(|n| n.name == "ml");
    change(&mut cluster);
    let plans = plan_rules(&policy(&(spec + &second)), &Ok(cluster), &AccountObservation::default());
    let actions = plans.iter().flat_map(|p| &p.actions).map(|a| a.action.to_string());
    let refused = plans.iter().flat_map(|p| &p.findings).filter(|f| {
        f.control == Control::NetBlocksOwnCredentials && f.disposition == needs(HumanReason::BlocksOwnCredentials)
    });
    let mut refused: Vec<String> = refused.map(|f| f.target.to_string()).collect();
    let mut actions: Vec<String> = actions.collect();
    actions.sort();
    refused.sort();
    (actions, refused)
}

const TRAINING: &str = "ApplyNetworkPolicy egress/training/ml";
const STS: &str = "ApplyNetworkPolicy egress/sts/ml";

#[test]
fn what_another_rule_opens_for_the_same_pods_counts() {
    for pods in [
        "{matchLabels: {workload: training}}",
        "{matchExpressions: [{key: workload, operator: In, values: [training, serving]}]}",
    ] {
        let both = (vec![STS.to_owned(), TRAINING.to_owned()], vec![]);
        assert_eq!(with_second_rule(pods, |_| {}), both, "{pods}");
    }
    let some = with_second_rule("{matchLabels: {workload: training, track: 'yes'}}", |_| {});
    assert_eq!(some, (vec![STS.to_owned()], vec!["egress/training/ml".to_owned()]));
}

#[test]
fn a_rule_that_is_refused_opens_nothing_for_the_others() {
    // Rule `sts` also selects pods that need the Pod Identity agent, which Cilium does not let through.
    let pods = "{matchExpressions: [{key: workload, operator: In, values: [training, serving]}]}";
    let seen = with_second_rule(pods, |cluster| {
        cluster.enforcer = EnforcerObservation::Found {
            name: "Cilium".to_owned(),
            evidence: "DaemonSet".to_owned(),
            holes: Vec::new(),
        };
        cluster.pods = Some(Ok(vec![PodObservation {
            namespace: "ml".to_owned(),
            name: "server-0".to_owned(),
            labels: [("workload".to_owned(), "serving".to_owned())].into(),
            pod_identity: true,
            ..PodObservation::default()
        }]));
    });
    let both = ["egress/sts/ml", "egress/training/ml"].map(str::to_owned).to_vec();
    assert_eq!(seen, (vec![], both));
}

#[test]
fn what_somebody_elses_policy_opens_for_every_pod_of_the_rule_counts() {
    let elsewhere = "{matchLabels: {workload: other}}";
    let with = |spec: &str| with_second_rule(elsewhere, |cluster| cluster.network_policies.push(foreign("ml", spec))).1;
    let all = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}";
    assert_eq!(with(all), [""; 0]);
    for other in [
        all.replace("podSelector: {}", "podSelector: {matchLabels: {track: 'yes'}}"),
        all.replace("443", "80"),
        all.replace("policyTypes: [Egress]", "policyTypes: [Ingress]"),
    ] {
        assert_eq!(with(&other), ["egress/training/ml"], "{other}");
    }
}

/// A rule that allows S3 only, with what is known of where S3 is.
fn s3(known: Option<Read<Vec<&str>>>) -> TargetPlan {
    let spec = FULL_SPEC
        .replace("{type: CIDR, cidr: 0.0.0.0/0}", "{type: AWSService, service: s3}")
        .replace(
            "serviceAccounts: [{namespace: ml,",
            "serviceAccounts: [{namespace: elsewhere,",
        );
    let prefix_lists = known.map(|read| {
        let nets = read.map(|all| all.iter().map(|c| c.parse().unwrap()).collect());
        ("s3".to_owned(), nets)
    });
    let account = AccountObservation {
        prefix_lists: prefix_lists.into_iter().collect(),
        ..AccountObservation::default()
    };
    plan_rules(&policy(&spec), &Ok(cluster()), &account).remove(0)
}

#[test]
fn an_aws_service_is_the_addresses_of_its_prefix_list_and_a_destination() {
    let plan = s3(Some(Ok(vec!["52.216.0.0/15", "3.5.64.0/21"])));
    assert_eq!(
        destinations(&plan)[1..],
        ["3.5.64.0/21 TCP/443", "52.216.0.0/15 TCP/443"]
    );
    assert_eq!(plan.facts.rung.as_deref(), Some("DestinationRestricted"));
}

#[test]
fn a_prefix_list_that_changes_changes_the_network_policy() {
    let before = s3(Some(Ok(vec!["52.216.0.0/15"])));
    let after = s3(Some(Ok(vec!["52.216.0.0/15", "3.5.64.0/21"])));
    assert_ne!(destinations(&before), destinations(&after));
}

#[test]
fn without_the_addresses_nothing_is_applied_and_what_is_there_stays() {
    let error = |class| {
        Some(Err(CallError {
            operation: "DescribeManagedPrefixLists",
            class,
            code: None,
            message: "no".to_owned(),
        }))
    };
    for (known, want) in [
        (None, Disposition::Unobserved),
        (error(ErrorClass::Transient), Disposition::Unobserved),
        (error(ErrorClass::AccessDenied), needs(HumanReason::AccessDenied)),
        (error(ErrorClass::NotFound), needs(HumanReason::WriteRefused)),
        (Some(Ok(vec![])), needs(HumanReason::WriteRefused)),
        (Some(Ok(vec!["169.254.0.0/16"])), needs(HumanReason::WriteRefused)),
    ] {
        let plan = s3(known);
        assert_eq!(plan.actions, []);
        assert_eq!(reasons(&plan), [("Net.Egress", want); 2]);
        assert_ne!(plan.state, TargetState::Compliant);
    }
}

#[test]
fn a_prefix_list_is_no_way_to_sts() {
    let spec = FULL_SPEC.replace("{type: CIDR, cidr: 0.0.0.0/0}", "{type: AWSService, service: s3}");
    let account = AccountObservation {
        prefix_lists: [("s3".to_owned(), Ok(vec!["52.216.0.0/15".parse().unwrap()]))].into(),
        ..AccountObservation::default()
    };
    let plan = plan_rules(&policy(&spec), &Ok(cluster()), &account).remove(0);
    assert!(reasons(&plan).contains(&("Net.BlocksOwnCredentials", needs(HumanReason::BlocksOwnCredentials))));
}
