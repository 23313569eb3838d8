use serde_json::json;

use super::*;

fn read(kind: AdminKind, spec: &Value) -> Result<AdminPolicy, PolicyError> {
    let name = if kind == AdminKind::BaselineAdminNetworkPolicy {
        "default"
    } else {
        "p"
    };
    AdminPolicy::read(kind, &json!({"metadata": {"name": name}, "spec": spec}))
}

fn anp(egress: &Value) -> Result<AdminPolicy, PolicyError> {
    let spec = json!({"priority": 5, "subject": {"namespaces": {}}, "egress": [egress]});
    read(AdminKind::AdminNetworkPolicy, &spec)
}

fn cnp(egress: &Value) -> Result<AdminPolicy, PolicyError> {
    let spec = json!({"tier": "Admin", "priority": 5, "subject": {"namespaces": {}}, "egress": [egress]});
    read(AdminKind::ClusterNetworkPolicy, &spec)
}

fn everywhere() -> Value {
    json!([{"networks": ["0.0.0.0/0", "::/0"]}])
}

#[test]
fn v1alpha1_ports_are_numbers_ranges_and_names() {
    let policy = anp(&json!({"action": "Deny", "to": everywhere(), "ports": [
        {"portNumber": {"port": 80}},
        {"portNumber": {"port": 53, "protocol": "UDP"}},
        {"portRange": {"start": 8000, "end": 8100, "protocol": "TCP"}},
        {"namedPort": "web"},
    ]}))
    .unwrap();
    assert_eq!(
        policy.rules[0].ports.to_string(),
        "TCP/80, TCP/8000-8100, UDP/53, <named web>"
    );
    assert_eq!(
        (policy.tier, policy.priority, policy.rules[0].action),
        (Tier::Admin, 5, Action::Deny)
    );
}

#[test]
fn absent_ports_are_all_an_empty_list_and_a_reversed_range_are_none() {
    let ports = |p: Value| {
        anp(&json!({"action": "Allow", "to": everywhere(), "ports": p}))
            .unwrap()
            .rules[0]
            .ports
            .clone()
    };
    assert_eq!(ports(Value::Null), Ports::all());
    assert_eq!(ports(json!([])), Ports::none());
    assert_eq!(ports(json!([{"portRange": {"start": 10, "end": 1}}])), Ports::none());
}

#[test]
fn v1alpha2_protocols_are_read() {
    let policy = cnp(&json!({"action": "Accept", "to": everywhere(), "protocols": [
        {"tcp": {"destinationPort": {"number": 443}}},
        {"udp": {"destinationPort": {"range": {"start": 100, "end": 200}}}},
        {"sctp": {}},
        {"destinationNamedPort": "web"},
    ]}))
    .unwrap();
    assert_eq!(
        policy.rules[0].ports.to_string(),
        "TCP/443, UDP/100-200, SCTP/all, <named web>"
    );
    assert_eq!(policy.rules[0].action, Action::Allow);
}

#[test]
fn every_kind_of_peer_is_read() {
    let policy = anp(&json!({"action": "Pass", "to": [
        {"namespaces": {"matchLabels": {"team": "x"}}},
        {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}},
        {"nodes": {}},
        {"networks": ["10.0.0.0/8"]},
        {"domainNames": ["*.example.com"]},
    ]}))
    .unwrap();
    let texts: Vec<_> = policy.rules[0].peers.others.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "pods app=db in all namespaces",
            "pods in namespaces team=x",
            "nodes",
            "names *.example.com"
        ]
    );
    assert_eq!(policy.rules[0].peers.addresses.cidrs()[0].to_string(), "10.0.0.0/8");
}

#[test]
fn an_unknown_peer_fails_closed_and_is_noted() {
    let to = json!([{"networks": ["10.0.0.0/8"]}, {"services": {"name": "x"}}]);
    let accept = cnp(&json!({"action": "Accept", "to": to})).unwrap();
    assert_eq!((accept.rules.len(), accept.unknown.len()), (0, 1));
    for action in ["Deny", "Pass"] {
        let policy = cnp(&json!({"action": action, "to": to, "protocols": [{"tcp": {}}]})).unwrap();
        let rule = &policy.rules[0];
        let all = (Action::Deny, Peers::everything(), Ports::all());
        assert_eq!((rule.action, rule.peers.clone(), rule.ports.clone()), all);
        assert_eq!(
            policy.unknown[0].to_string(),
            "spec.egress[0].to[1]: a peer of an unknown kind [\"services\"]"
        );
    }
}

#[test]
fn an_unknown_protocol_fails_closed_and_is_noted() {
    let policy = cnp(&json!({"action": "Deny", "to": everywhere(), "protocols": [{"icmp": {}}]})).unwrap();
    assert_eq!(policy.rules[0].ports, Ports::all());
    assert_eq!(policy.unknown[0].path, "spec.egress[0].protocols[0]");
}

#[test]
fn what_the_api_refuses_is_refused_with_its_field() {
    let anp = |rule: Value| anp(&rule).unwrap_err().to_string();
    assert_eq!(
        anp(json!({"action": "Allow"})),
        "spec.egress[0].to: needs at least one peer"
    );
    assert_eq!(
        anp(json!({"action": "Accept", "to": everywhere()})),
        "spec.egress[0].action: \"Accept\" is not one of Allow, Deny, Pass"
    );
    assert_eq!(
        anp(json!({"action": "Allow", "to": [{"namespaces": {}, "nodes": {}}]})),
        "spec.egress[0].to[0]: needs exactly one of namespaces, pods, nodes, networks, domainNames"
    );
    assert_eq!(
        anp(json!({"action": "Allow", "to": everywhere(), "ports": [{"portNumber": {"port": 0}}]})),
        "spec.egress[0].ports[0].portNumber.port: 0 is not a port (1 to 65535)"
    );
    assert_eq!(
        anp(json!({"action": "Allow", "to": everywhere(), "ports": [{"portNumber": {"port": "x"}}]})),
        "spec.egress[0].ports[0].portNumber.port: invalid type: string \"x\", expected i32"
    );
    let spec = |spec: Value| read(AdminKind::AdminNetworkPolicy, &spec).unwrap_err().to_string();
    assert_eq!(spec(json!({"subject": {"namespaces": {}}})), "spec.priority: missing");
    assert_eq!(
        spec(json!({"priority": 1001, "subject": {"namespaces": {}}})),
        "spec.priority: 1001 is not within 0 to 1000"
    );
    assert_eq!(
        spec(json!({"priority": 1, "subject": {}})),
        "spec.subject: needs exactly one of namespaces, pods"
    );
    assert_eq!(
        read(
            AdminKind::ClusterNetworkPolicy,
            &json!({"priority": 1, "subject": {"namespaces": {}}})
        )
        .unwrap_err()
        .to_string(),
        "spec.tier: expected Admin or Baseline"
    );
    let baseline = json!({"metadata": {"name": "other"}, "spec": {"subject": {"namespaces": {}}}});
    assert_eq!(
        AdminPolicy::read(AdminKind::BaselineAdminNetworkPolicy, &baseline)
            .unwrap_err()
            .to_string(),
        "metadata.name: a BaselineAdminNetworkPolicy must be named default"
    );
}

#[test]
fn a_policy_without_egress_rules_applies_to_nobody() {
    let policy = read(
        AdminKind::AdminNetworkPolicy,
        &json!({"priority": 1, "subject": {"namespaces": {}}}),
    )
    .unwrap();
    assert!(!policy.applies(&Labels::new(), &Labels::new()));
}

#[test]
fn a_misspelt_field_is_noted() {
    let policy = read(
        AdminKind::AdminNetworkPolicy,
        &json!({"priority": 1, "subject": {"namespaces": {}}, "egres": [],
            "egress": [{"action": "Deny", "to": everywhere(), "port": []}]}),
    )
    .unwrap();
    let notes: Vec<_> = policy.unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        ["spec.egres: an unknown field", "spec.egress[0].port: an unknown field"]
    );
}

#[test]
fn a_misspelt_field_within_a_rule_is_noted() {
    let notes = |policy: Result<AdminPolicy, PolicyError>| -> Vec<String> {
        policy.unwrap().unknown.iter().map(|e| e.path.clone()).collect()
    };
    let peers = json!([
        {"networks": ["10.0.0.0/8"], "except": ["10.1.0.0/16"]},
        {"pods": {"namespaceSelector": {}, "podselector": {"matchLabels": {"app": "db"}}}},
    ]);
    assert_eq!(
        notes(anp(
            &json!({"action": "Deny", "to": peers, "ports": [{"portNumber": {"port": 80, "endPort": 90}}]})
        )),
        [
            "spec.egress[0].to[1].pods.podselector",
            "spec.egress[0].ports[0].portNumber.endPort",
            "spec.egress[0].to[0].except",
        ]
    );
    let protocols = json!([{"tcp": {"destinationport": {"number": 80}}}, {"udp": {}, "sourcePort": {"number": 53}}]);
    assert_eq!(
        notes(cnp(
            &json!({"action": "Deny", "to": everywhere(), "protocols": protocols})
        )),
        [
            "spec.egress[0].protocols[0].tcp.destinationport",
            "spec.egress[0].protocols[1].sourcePort",
        ]
    );
    let known = json!([{"nodes": {}}, {"domainNames": ["a.example"]}, {"pods": {"namespaceSelector": {}, "podSelector": {}}},
        {"namespaces": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["x"]}]}}]);
    assert_eq!(
        notes(cnp(&json!({"action": "Deny", "to": known, "protocols": null}))),
        [""; 0]
    );
}

/// A selector without the field that narrows it selects everything, and a Deny would be said to hold for pods that nothing
/// restricts.
#[test]
fn a_misspelt_field_within_the_subject_is_refused() {
    let rules = json!([{"action": "Deny", "to": everywhere()}]);
    let cases = [
        (
            json!({"namespaces": {"matchLabel": {"team": "x"}}}),
            "namespaces.matchLabel",
        ),
        (
            json!({"pods": {"namespaceselector": {"matchLabels": {"team": "x"}}, "podSelector": {}}}),
            "pods.namespaceselector",
        ),
        (
            json!({"namespaces": {"matchExpressions": [{"key": "a", "operator": "Exists", "not": true}]}}),
            "namespaces.matchExpressions[0].not",
        ),
        (
            json!({"namespaces": {}, "serviceAccounts": {"names": ["x"]}}),
            "serviceAccounts",
        ),
    ];
    for (subject, field) in cases {
        let policy = json!({"priority": 1, "subject": subject, "egress": rules});
        let error = read(AdminKind::AdminNetworkPolicy, &policy).unwrap_err().to_string();
        assert_eq!(error, format!("spec.subject.{field}: an unknown field"));
    }
}
