use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::fake::{Fake, namespace_path, network_policy_path};
use super::*;
use crate::aws::{NotLeader, WriteGuard};
use crate::domain::action::Action;
use crate::domain::egress::admin::AdminKind;
use crate::domain::egress::enforcer::Enforcer;
use crate::domain::egress::ownership::{LABEL_MANAGED_BY, LABEL_POLICY};
use crate::domain::fixture;
use crate::domain::observed::{
    EnforcerObservation, ErrorClass, PluginPolicy, PodObservation, ResolverObservation, ResolverPods,
    ServiceAccountObservation,
};
use crate::domain::report::{ActionResult, SkipReason};

struct Leads(bool);

impl WriteGuard for Leads {
    fn permit(&self) -> Result<Duration, NotLeader> {
        self.0.then_some(Duration::from_secs(9)).ok_or(NotLeader)
    }
}

fn cluster(fake: &Fake) -> Cluster {
    let metrics = KubeMetrics::register(&mut Registry::default());
    Cluster::new(fake.client(), metrics, NetworkEnforcer::Stated("calico".to_owned()))
}

fn put_namespace(fake: &Fake, name: &str, labels: &Value) {
    fake.put(
        &namespace_path(name),
        json!({"metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": labels}}),
    );
}

fn put_network_policy(fake: &Fake, namespace: &str, name: &str, labels: &Value) {
    fake.put(
        &network_policy_path(namespace, name),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace, "uid": "uid-1", "labels": labels},
            "spec": {"podSelector": {}},
        }),
    );
}

fn ours() -> Value {
    json!({LABEL_MANAGED_BY: "aidp", LABEL_POLICY: "fraud-model"})
}

#[tokio::test]
async fn matching_namespaces_and_those_with_policies_of_ours_are_seen_with_all_their_policies() {
    let fake = Fake::default();
    put_namespace(&fake, "ml", &json!({"team": "ml"}));
    put_namespace(&fake, "left", &json!({}));
    put_namespace(&fake, "other", &json!({"team": "web"}));
    put_network_policy(&fake, "ml", "foreign", &json!({}));
    put_network_policy(&fake, "left", "ours", &ours());
    put_network_policy(&fake, "other", "unseen", &json!({}));
    let seen = cluster(&fake)
        .observe(&fixture::policy(fixture::FULL_SPEC), Ages::FRESH)
        .await
        .unwrap();
    let namespaces: Vec<&str> = seen.namespaces.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(namespaces, ["left", "ml"]);
    let policies: Vec<&str> = seen
        .network_policies
        .iter()
        .filter_map(|p| p.metadata.name.as_deref())
        .collect();
    assert_eq!(policies, ["ours", "foreign"]);
    assert_eq!(
        seen.enforcer,
        EnforcerObservation::Found {
            name: "calico".to_owned(),
            evidence: "stated by configuration".to_owned(),
            holes: Enforcer::stated("calico").holes,
        }
    );
}

#[tokio::test]
async fn a_policy_without_egress_rules_asks_the_api_server_nothing() {
    let fake = Fake::default();
    let spec = "{mode: Enforce, account: {id: '123456789012', region: eu-west-1}, buckets: [{name: data}]}";
    cluster(&fake)
        .observe(&fixture::policy(spec), Ages::FRESH)
        .await
        .unwrap();
    assert_eq!(fake.state().reads, 0);
}

#[tokio::test]
async fn one_list_that_fails_makes_the_whole_view_fail() {
    let fake = Fake::default();
    put_namespace(&fake, "ml", &json!({"team": "ml"}));
    fake.fail(|_, path, _| {
        path.ends_with("/ml/networkpolicies")
            .then_some((403, "Forbidden", "no"))
    });
    let error = cluster(&fake)
        .observe(&fixture::policy(fixture::FULL_SPEC), Ages::FRESH)
        .await
        .unwrap_err();
    assert_eq!(
        (error.operation, error.class),
        ("list networkpolicies", ErrorClass::AccessDenied)
    );
}

fn desired() -> k8s_openapi::api::networking::v1::NetworkPolicy {
    serde_json::from_value(json!({
        "metadata": {"name": "aidp-fraud-model.training", "namespace": "ml", "labels": ours()},
        "spec": {"podSelector": {"matchLabels": {"workload": "training"}}, "policyTypes": ["Egress"], "egress": []},
    }))
    .unwrap()
}

fn apply() -> Action {
    Action::ApplyNetworkPolicy {
        rule: "training".to_owned(),
        object: Box::new(desired()),
    }
}

#[tokio::test]
async fn an_apply_is_one_request() {
    let fake = Fake::default();
    assert_eq!(cluster(&fake).execute(&apply(), &Leads(true)).await, ActionResult::Done);
    let path = network_policy_path("ml", "aidp-fraud-model.training");
    assert_eq!(fake.take_writes(), [format!("PATCH {path}")]);
}

#[tokio::test]
async fn what_somebody_put_beside_our_fields_is_removed() {
    let fake = Fake::default();
    let path = network_policy_path("ml", "aidp-fraud-model.training");
    let mut edited = json!(desired());
    edited["spec"]["ingress"] = json!([{}]);
    fake.put(&path, edited);
    assert_eq!(cluster(&fake).execute(&apply(), &Leads(true)).await, ActionResult::Done);
    assert_eq!(fake.get(&path).unwrap()["spec"], json!(desired().spec));
}

#[tokio::test]
async fn whoever_does_not_lead_sends_nothing() {
    let fake = Fake::default();
    let result = cluster(&fake).execute(&apply(), &Leads(false)).await;
    assert_eq!(result, ActionResult::Skipped(SkipReason::NotLeader));
    assert_eq!(fake.take_writes(), Vec::<String>::new());
}

fn delete(uid: &str) -> Action {
    Action::DeleteNetworkPolicy {
        rule: "training".to_owned(),
        namespace: "ml".to_owned(),
        name: "ours".to_owned(),
        uid: Some(uid.to_owned()),
    }
}

#[tokio::test]
async fn only_the_object_that_was_seen_is_deleted() {
    let fake = Fake::default();
    put_network_policy(&fake, "ml", "ours", &ours());
    let cluster = cluster(&fake);
    let another = cluster.execute(&delete("uid-of-another"), &Leads(true)).await;
    assert_eq!(another, ActionResult::ChangedUnderneath);
    assert!(fake.get(&network_policy_path("ml", "ours")).is_some());
    let seen = cluster.execute(&delete("uid-1"), &Leads(true)).await;
    assert_eq!(seen, ActionResult::Done);
    let gone = cluster.execute(&delete("uid-1"), &Leads(true)).await;
    assert_eq!(gone, ActionResult::Done, "gone is what was wanted");
}

#[tokio::test]
async fn a_namespace_that_is_going_away_is_no_missing_right() {
    let fake = Fake::default();
    fake.fail(|_, _, _| {
        Some((
            403,
            "Forbidden",
            "unable to create new content in namespace ml because it is being terminated",
        ))
    });
    let result = cluster(&fake).execute(&apply(), &Leads(true)).await;
    let ActionResult::Failed(error) = result else {
        panic!("{result:?}")
    };
    assert_eq!(error.class, ErrorClass::Transient);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends() {
    let metrics = KubeMetrics::register(&mut Registry::default());
    let error = call(&metrics, "get policies", std::future::pending::<kube::Result<()>>())
        .await
        .unwrap_err();
    assert_eq!(
        (error.class, error.code.as_deref()),
        (ErrorClass::Transient, Some("Timeout"))
    );
}

#[tokio::test]
async fn a_list_that_never_ends_is_cut_off() {
    let metrics = KubeMetrics::register(&mut Registry::default());
    let page = |_| async {
        let mut list: kube::api::ObjectList<Namespace> = serde_json::from_value(json!({
            "kind": "List", "apiVersion": "v1", "metadata": {}, "items": [{"metadata": {"name": "x"}}],
        }))
        .unwrap();
        list.metadata.continue_ = Some("more".to_owned());
        Ok(list)
    };
    let params = kube::api::ListParams::default();
    let error = list::all(&metrics, "list namespaces", &params, page).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Terminal);
}

#[test]
fn every_status_code_has_its_class() {
    let class = |code: u16| {
        let status = kube::core::Status {
            code,
            ..kube::core::Status::default()
        };
        call::classify("get policies", &kube::Error::Api(Box::new(status))).class
    };
    for (code, expected) in [
        (401, ErrorClass::Credentials),
        (403, ErrorClass::AccessDenied),
        (404, ErrorClass::NotFound),
        (409, ErrorClass::Transient),
        (410, ErrorClass::Transient),
        (422, ErrorClass::Terminal),
        (429, ErrorClass::Throttled),
        (500, ErrorClass::Transient),
        (501, ErrorClass::Unsupported),
        (503, ErrorClass::Transient),
    ] {
        assert_eq!(class(code), expected, "{code}");
    }
}

fn detecting(fake: &Fake) -> Cluster {
    fake.put(
        "/apis",
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
    );
    let metrics = KubeMetrics::register(&mut Registry::default());
    Cluster::new(fake.client(), metrics, NetworkEnforcer::Detect)
}

fn put_kube_router(fake: &Fake) {
    fake.put(
        "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-router",
        json!({
            "metadata": {"name": "kube-router", "namespace": "kube-system"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "kube-router", "args": ["--run-firewall=true", "--run-router=true"]},
            ]}}},
            "status": {"currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1},
        }),
    );
}

#[tokio::test]
async fn an_enforcer_that_runs_is_found_by_its_daemon_set() {
    let fake = Fake::default();
    put_kube_router(&fake);
    let found = detecting(&fake).enforcer().await.unwrap();
    let EnforcerObservation::Found { name, .. } = &found else {
        panic!("{found:?}")
    };
    assert_eq!(name.to_ascii_lowercase(), "kube-router");
}

#[tokio::test]
async fn where_nothing_known_runs_it_is_unknown() {
    let fake = Fake::default();
    assert_eq!(detecting(&fake).enforcer().await, Ok(EnforcerObservation::Unknown));
}

#[tokio::test]
async fn whoever_may_not_look_for_the_enforcer_does_not_know_it_and_sees_the_rest() {
    let fake = Fake::default();
    put_kube_router(&fake);
    fake.fail(|_, path, _| path.ends_with("/daemonsets").then_some((403, "Forbidden", "no")));
    assert_eq!(detecting(&fake).enforcer().await, Ok(EnforcerObservation::Unknown));
}

#[tokio::test]
async fn an_enforcer_that_could_not_be_looked_for_just_now_fails_the_view() {
    let fake = Fake::default();
    fake.fail(|_, path, _| {
        path.ends_with("/daemonsets")
            .then_some((503, "ServiceUnavailable", "down"))
    });
    let error = detecting(&fake).enforcer().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
}

#[tokio::test(start_paused = true)]
async fn what_enforces_is_looked_for_once_a_minute() {
    let fake = Fake::default();
    let cluster = detecting(&fake);
    cluster.enforcer().await.unwrap();
    let reads = fake.state().reads;
    cluster.clone().enforcer().await.unwrap();
    assert_eq!(fake.state().reads, reads);
    tokio::time::advance(Duration::from_mins(1)).await;
    put_kube_router(&fake);
    let found = cluster.enforcer().await.unwrap();
    assert!(matches!(found, EnforcerObservation::Found { .. }), "{found:?}");
}

fn put_service_account(fake: &Fake, namespace: &str, name: &str, annotations: &Value) {
    fake.put(
        &format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}"),
        json!({"metadata": {"name": name, "namespace": namespace, "annotations": annotations}}),
    );
}

fn put_pod(fake: &Fake, name: &str, account: &str, env: &Value) {
    fake.put(
        &format!("/api/v1/namespaces/ml/pods/{name}"),
        json!({
            "metadata": {"name": name, "namespace": "ml", "labels": {"workload": "training"}},
            "spec": {"serviceAccountName": account, "containers": [{"name": "main", "env": env}]},
        }),
    );
}

#[tokio::test]
async fn of_service_accounts_and_pods_those_are_kept_that_have_to_do_with_the_roles() {
    let fake = Fake::default();
    let arn = "arn:aws:iam::123456789012:role/aidp/fraud-trainer";
    put_service_account(&fake, "ml", "trainer", &json!({}));
    put_service_account(&fake, "dev", "shell", &json!({"eks.amazonaws.com/role-arn": arn}));
    put_service_account(
        &fake,
        "web",
        "app",
        &json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/web"}),
    );
    put_pod(
        &fake,
        "keyed",
        "trainer",
        &json!([{"name": "AWS_ACCESS_KEY_ID", "value": "AKIA"}]),
    );
    put_pod(
        &fake,
        "plain",
        "trainer",
        &json!([{"name": "AWS_REGION", "value": "eu-west-1"}]),
    );
    put_pod(&fake, "web", "app", &json!([]));
    fake.put(
        "/api/v1/namespaces/ml/pods/whole",
        json!({
            "metadata": {"name": "whole", "namespace": "ml", "labels": {"workload": "training"}},
            "spec": {"serviceAccountName": "trainer", "containers": [{"name": "main", "envFrom": [{"secretRef": {"name": "s"}}]}]},
        }),
    );
    let seen = cluster(&fake)
        .observe(&fixture::policy(fixture::FULL_SPEC), Ages::FRESH)
        .await
        .unwrap();
    let account = |namespace: &str, name: &str, role_arn: Option<&str>| ServiceAccountObservation {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        role_arn: role_arn.map(str::to_owned),
    };
    assert_eq!(
        seen.service_accounts,
        Some(Ok(vec![
            account("dev", "shell", Some(arn)),
            account("ml", "trainer", None)
        ]))
    );
    let pod = |name: &str, static_credentials| PodObservation {
        namespace: "ml".to_owned(),
        name: name.to_owned(),
        service_account: "trainer".to_owned(),
        labels: [("workload".to_owned(), "training".to_owned())].into(),
        static_credentials,
        standalone: true,
        ..PodObservation::default()
    };
    let web = PodObservation {
        service_account: "app".to_owned(),
        ..pod("web", false)
    };
    let whole = PodObservation {
        unnamed_environment: true,
        ..pod("whole", false)
    };
    let all = vec![pod("keyed", true), pod("plain", false), web, whole];
    assert_eq!(seen.pods, Some(Ok(all)));
}

#[tokio::test]
async fn a_right_that_is_missing_hides_nothing_else() {
    let fake = Fake::default();
    put_namespace(&fake, "ml", &json!({"team": "ml"}));
    fake.fail(|_, path, _| path.ends_with("/pods").then_some((403, "Forbidden", "no")));
    let seen = cluster(&fake)
        .observe(&fixture::policy(fixture::FULL_SPEC), Ages::FRESH)
        .await
        .unwrap();
    assert_eq!(seen.pods.unwrap().map_err(|e| e.class), Err(ErrorClass::AccessDenied));
    assert_eq!(seen.service_accounts, Some(Ok(vec![])));
    assert_eq!(seen.namespaces.len(), 1);
}

async fn seen(fake: &Fake) -> crate::domain::observed::ClusterObservation {
    put_namespace(fake, "ml", &json!({"team": "ml"}));
    let policy = fixture::policy(fixture::FULL_SPEC);
    cluster(fake).observe(&policy, Ages::FRESH).await.unwrap()
}

#[tokio::test]
async fn of_a_pod_its_network_and_the_way_to_its_credentials_are_kept() {
    let fake = Fake::default();
    let env = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    put_pod(
        &fake,
        "a-irsa",
        "trainer",
        &env("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
    );
    let agent = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    put_pod(
        &fake,
        "b-agent",
        "trainer",
        &env(agent, "http://169.254.170.23/v1/credentials"),
    );
    put_pod(
        &fake,
        "c-agent6",
        "trainer",
        &env(agent, "http://[fd00:ec2::23]/v1/credentials"),
    );
    put_pod(&fake, "d-ecs", "trainer", &env(agent, "http://169.254.170.2/v2/x"));
    fake.put(
        "/api/v1/namespaces/ml/pods/e-host",
        json!({"metadata": {"name": "e-host", "namespace": "ml"}, "spec": {"hostNetwork": true, "containers": []}}),
    );
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"});
    fake.put(
        "/api/v1/namespaces/ml/pods/f-owned",
        json!({"metadata": {"name": "f-owned", "namespace": "ml", "ownerReferences": [owner],
                            "annotations": {"k8s.v1.cni.cncf.io/networks": "sriov"}}, "spec": {"containers": []}}),
    );
    let pods = seen(&fake).await.pods.unwrap().unwrap();
    let kept: Vec<_> = pods
        .iter()
        .map(|p| (p.name.as_str(), p.web_identity, p.pod_identity, p.host_network))
        .collect();
    assert_eq!(
        kept,
        [
            ("a-irsa", true, false, false),
            ("b-agent", false, true, false),
            ("c-agent6", false, true, false),
            ("d-ecs", false, false, false),
            ("e-host", false, false, true),
            ("f-owned", false, false, false),
        ]
    );
    let networks: Vec<_> = pods
        .iter()
        .filter(|p| p.other_networks)
        .map(|p| p.name.as_str())
        .collect();
    let made: Vec<_> = pods.iter().filter(|p| !p.standalone).map(|p| p.name.as_str()).collect();
    assert_eq!((networks, made), (vec!["f-owned"], vec!["f-owned"]));
}

#[tokio::test]
async fn every_page_of_the_living_pods_is_read() {
    let fake = Fake::default();
    for n in 0..1_201 {
        let name = format!("pod-{n:04}");
        let phase = if n % 100 == 7 { "Succeeded" } else { "Running" };
        fake.put(
            &format!("/api/v1/namespaces/ml/pods/{name}"),
            json!({"metadata": {"name": name, "namespace": "ml"}, "status": {"phase": phase},
                   "spec": {"hostNetwork": n == 1_200, "containers": []}}),
        );
    }
    let pods = seen(&fake).await.pods.unwrap().unwrap();
    let last = pods.last().map(|p| (p.name.as_str(), p.host_network));
    assert_eq!((pods.len(), last), (1_189, Some(("pod-1200", true))));
    let host: Vec<_> = pods.iter().filter(|p| p.host_network).collect();
    assert_eq!(host.len(), 1, "each pod once");
}

fn put_node_local(fake: &Fake, args: &Value) {
    fake.put(
        "/apis/apps/v1/namespaces/kube-system/daemonsets/node-local-dns",
        json!({
            "metadata": {"name": "node-local-dns", "namespace": "kube-system"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "node-cache", "args": args}]}}},
            "status": {"currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1},
        }),
    );
}

fn put_service(fake: &Fake, ips: &Value) {
    fake.put(
        "/api/v1/namespaces/kube-system/services/kube-dns",
        json!({"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {"clusterIPs": ips}}),
    );
}

#[tokio::test]
async fn how_names_are_resolved_is_seen_in_kube_system() {
    let fake = Fake::default();
    assert_eq!(seen(&fake).await.resolvers, ResolverObservation::default());

    put_service(&fake, &json!(["10.100.0.10", "fd00::a"]));
    let addresses = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
    let auto_mode = ResolverObservation {
        service: addresses(&["10.100.0.10", "fd00::a"]),
        ipv6: true,
        ..ResolverObservation::default()
    };
    assert_eq!(seen(&fake).await.resolvers, auto_mode);

    fake.put(
        "/api/v1/namespaces/kube-system/pods/coredns",
        json!({
            "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
            "spec": {"containers": [{"name": "coredns", "ports": [
                {"containerPort": 1053, "protocol": "UDP"}, {"containerPort": 1053, "protocol": "TCP"},
                {"containerPort": 9153, "protocol": "TCP"},
            ]}]},
            "status": {"podIPs": [{"ip": "10.244.0.3"}, {"ip": "fd01::3"}]},
        }),
    );
    for args in [
        json!(["-localip", "169.254.20.10,10.100.0.10", "-conf", "/etc/Corefile"]),
        json!(["-localip=169.254.20.10,10.100.0.10"]),
    ] {
        put_node_local(&fake, &args);
        let both = ResolverObservation {
            pods: BTreeMap::from([(ResolverPods::KubeDns, BTreeSet::from([1053]))]),
            node_local: addresses(&["169.254.20.10", "10.100.0.10"]),
            ..auto_mode.clone()
        };
        assert_eq!(seen(&fake).await.resolvers, both, "{args}");
    }
}

#[tokio::test]
async fn openshifts_resolvers_are_looked_for_where_the_usual_ones_are_not() {
    let fake = Fake::default();
    fake.put(
        "/api/v1/namespaces/openshift-dns/pods/dns-default-x",
        json!({
            "metadata": {"name": "dns-default-x", "namespace": "openshift-dns",
                         "labels": {"dns.operator.openshift.io/daemonset-dns": "default"}},
            "spec": {"containers": [{"name": "dns", "ports": [{"containerPort": 5353, "protocol": "UDP"}]}]},
        }),
    );
    let want = ResolverObservation {
        pods: BTreeMap::from([(ResolverPods::OpenShift, BTreeSet::from([5353]))]),
        ..ResolverObservation::default()
    };
    assert_eq!(seen(&fake).await.resolvers, want);
}

#[tokio::test]
async fn where_the_operators_own_pod_resolves_names_is_seen() {
    let fake = Fake::default();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let told = || async {
        let cluster = cluster(&fake).told_by(file.clone());
        cluster
            .observe(&fixture::policy(fixture::FULL_SPEC), Ages::FRESH)
            .await
            .unwrap()
            .resolvers
            .told
    };
    assert_eq!(told().await, BTreeSet::new(), "no such file");
    let text = "# nameserver 1.1.1.1\nsearch ml.svc.cluster.local\nnameserver 10.9.0.2\nnameserver  fd00::a\nnameserver x\nnameserver\n";
    std::fs::write(&file, text).unwrap();
    assert_eq!(told().await, ["10.9.0.2", "fd00::a"].map(|a| a.parse().unwrap()).into());
}

#[tokio::test]
async fn without_the_right_to_look_the_usual_resolvers_are_assumed() {
    let fake = Fake::default();
    put_service(&fake, &json!(["10.100.0.10"]));
    fake.fail(|_, path, _| path.contains("/services/").then_some((403, "Forbidden", "no")));
    assert_eq!(seen(&fake).await.resolvers, ResolverObservation::default());
}

#[tokio::test]
async fn cluster_wide_policies_are_read_where_their_group_is_served() {
    let fake = Fake::default();
    let path = "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies/platform";
    fake.put(
        path,
        json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy", "metadata": {"name": "platform"},
            "spec": {"priority": 5, "subject": {"namespaces": {}}, "egress": [
                {"action": "Allow", "to": [{"networks": ["10.0.0.0/8"]}]},
            ]},
        }),
    );
    assert_eq!(seen(&fake).await.admin_policies, Ok(vec![]), "the group is not served");
    fake.put(
        "/apis",
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
            "name": "policy.networking.k8s.io",
            "versions": [{"groupVersion": "policy.networking.k8s.io/v1alpha1", "version": "v1alpha1"}],
        }]}),
    );
    let read = seen(&fake).await.admin_policies.unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|p| {
            (
                p.kind,
                p.name.as_str(),
                p.policy.as_ref().map(|policy| policy.rules.len()),
            )
        })
        .collect();
    assert_eq!(told, [(AdminKind::AdminNetworkPolicy, "platform", Ok(1))]);
    fake.fail(|_, path, _| {
        path.ends_with("adminnetworkpolicies")
            .then_some((403, "Forbidden", "no"))
    });
    assert_eq!(
        seen(&fake).await.admin_policies.map_err(|e| e.class),
        Err(ErrorClass::AccessDenied),
        "not seen is not absent"
    );
}

#[tokio::test]
async fn policies_of_the_network_plugins_own_api_are_seen_where_it_is_served() {
    let fake = Fake::default();
    for (path, metadata) in [
        (
            "/apis/cilium.io/v2/namespaces/ml/ciliumnetworkpolicies/open",
            json!({"namespace": "ml", "name": "open"}),
        ),
        (
            "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies/all",
            json!({"name": "all"}),
        ),
    ] {
        fake.put(
            path,
            json!({"apiVersion": "cilium.io/v2", "kind": "Any", "metadata": metadata}),
        );
    }
    assert_eq!(seen(&fake).await.plugin_policies, Ok(vec![]), "the group is not served");
    fake.put(
        "/apis",
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
            "name": "cilium.io", "versions": [{"groupVersion": "cilium.io/v2", "version": "v2"}],
        }]}),
    );
    let policy = |kind: &str, namespace: Option<&str>, name: &str| PluginPolicy {
        kind: format!("{kind}.cilium.io"),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    assert_eq!(
        seen(&fake).await.plugin_policies,
        Ok(vec![
            policy("CiliumNetworkPolicy", Some("ml"), "open"),
            policy("CiliumClusterwideNetworkPolicy", None, "all"),
        ])
    );
    fake.fail(|_, path, _| {
        path.ends_with("ciliumnetworkpolicies")
            .then_some((403, "Forbidden", "no"))
    });
    assert_eq!(
        seen(&fake).await.plugin_policies.map_err(|e| e.class),
        Err(ErrorClass::AccessDenied),
        "not seen is not absent"
    );
}

#[tokio::test]
async fn a_cluster_wide_policy_in_a_version_that_cannot_be_read_is_not_overlooked() {
    let fake = Fake::default();
    let group = "policy.networking.k8s.io";
    let serve = |versions: &[&str]| {
        let version = |v: &&str| json!({"groupVersion": format!("{group}/{v}"), "version": v});
        let versions: Vec<_> = versions.iter().map(version).collect();
        let groups = json!([{"name": group, "versions": versions}]);
        fake.put(
            "/apis",
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
        );
    };
    let resource = |name: &str, kind: &str| json!({"name": name, "kind": kind, "singularName": "", "namespaced": false, "verbs": []});
    for version in ["v1", "v1beta1"] {
        fake.put(
            &format!("/apis/{group}/{version}"),
            json!({"kind": "APIResourceList", "groupVersion": format!("{group}/{version}"), "resources": [
                resource("clusternetworkpolicies", "ClusterNetworkPolicy"),
                resource("clusternetworkpolicies/status", "ClusterNetworkPolicy"),
            ]}),
        );
    }
    // The fake server lists it in every version, as a real one does.
    fake.put(
        &format!("/apis/{group}/v1/clusternetworkpolicies/open"),
        json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterNetworkPolicy", "metadata": {"name": "open"}}),
    );
    let open = PluginPolicy {
        kind: format!("ClusterNetworkPolicy.{group}"),
        namespace: None,
        name: "open".to_owned(),
    };
    serve(&["v1", "v1beta1"]);
    assert_eq!(seen(&fake).await.plugin_policies, Ok(vec![open]));
    serve(&["v1alpha2", "v1beta1"]);
    assert_eq!(
        seen(&fake).await.plugin_policies,
        Ok(vec![]),
        "it is read in the other version"
    );
}

#[tokio::test]
async fn a_calico_policy_under_the_name_of_a_shadow_is_seen_in_whatever_version_it_is_served() {
    let fake = Fake::default();
    let group = |name: &str, versions: &[&str]| {
        let version = |v: &&str| json!({"groupVersion": format!("{name}/{v}"), "version": v});
        json!({"name": name, "versions": versions.iter().map(version).collect::<Vec<_>>()})
    };
    fake.put(
        "/apis",
        json!({"kind": "APIGroupList", "apiVersion": "v1",
               "groups": [group("crd.projectcalico.org", &["v2", "v1"]), group("projectcalico.org", &["v3"])]}),
    );
    fake.fail(|_, path, _| {
        path.starts_with("/apis/crd.projectcalico.org/v2/")
            .then_some((404, "NotFound", "not in this version"))
    });
    // The fake server lists it in both groups, as Calico does.
    fake.put(
        "/apis/crd.projectcalico.org/v1/namespaces/ml/networkpolicies/knp.default.open",
        json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy",
               "metadata": {"namespace": "ml", "name": "knp.default.open"}}),
    );
    let found = seen(&fake).await.plugin_policies.unwrap();
    let kinds: Vec<_> = found.iter().map(|p| p.kind.as_str()).collect();
    assert_eq!(kinds, ["NetworkPolicy.crd.projectcalico.org"]);
}

/// As after an event: what is watched may be of any age.
const WATCHED: Ages = Ages {
    watched: Duration::MAX,
    polled: Duration::MAX,
};

#[tokio::test]
async fn one_change_costs_the_same_few_requests_in_a_small_cluster_and_in_a_large_one() {
    let mut costs = Vec::new();
    for namespaces in [2, 200] {
        let fake = Fake::default();
        for n in 0..namespaces {
            let name = format!("ml-{n}");
            put_namespace(&fake, &name, &json!({"team": "ml"}));
            put_network_policy(&fake, &name, "foreign", &json!({}));
        }
        let cluster = cluster(&fake);
        let policy = fixture::policy(fixture::FULL_SPEC);
        let before = cluster.observe(&policy, Ages::FRESH).await.unwrap();
        let cost = async |moved: &dyn Fn()| {
            moved();
            let reads = fake.state().reads;
            let now = cluster.observe(&policy, WATCHED).await.unwrap();
            (fake.state().reads - reads, now)
        };
        let (idle, same) = cost(&|| {}).await;
        assert_eq!((idle, &same), (0, &before));

        let seen = NetworkPolicySeen {
            namespace: "ml-1".to_owned(),
            policy: None,
        };
        let (of_policy, now) = cost(&|| {
            put_network_policy(&fake, "ml-1", "debug", &json!({}));
            cluster.network_policy_moved(&seen);
        })
        .await;
        assert_eq!(now.network_policies.len(), before.network_policies.len() + 1);

        let (of_pod, now) = cost(&|| {
            fake.put(
                "/api/v1/namespaces/ml-1/pods/trainer",
                json!({"metadata": {"name": "trainer", "namespace": "ml-1"}, "spec": {"containers": []}}),
            );
            cluster.pods_moved("ml-1");
        })
        .await;
        assert_eq!(now.pods.unwrap().unwrap().len(), 1);

        let (of_namespace, now) = cost(&|| {
            put_namespace(&fake, "new", &json!({"team": "ml"}));
            cluster.namespace_moved(&NamespaceSeen {
                name: "new".to_owned(),
                labels: [("team".to_owned(), "ml".to_owned())].into(),
            });
        })
        .await;
        assert_eq!(now.namespaces.len(), before.namespaces.len() + 1);
        costs.push((of_policy, of_pod, of_namespace));
    }
    // A NetworkPolicy, a pod: one list. A namespace: the list of namespaces, and its policies and pods.
    assert_eq!(costs, [(1, 1, 3); 2]);
}

#[tokio::test]
async fn what_we_wrote_is_read_again() {
    let fake = Fake::default();
    put_namespace(&fake, "ml", &json!({"team": "ml"}));
    let cluster = cluster(&fake);
    let policy = fixture::policy(fixture::FULL_SPEC);
    let before = cluster.observe(&policy, WATCHED).await.unwrap();
    assert_eq!(before.network_policies, []);
    cluster.execute(&apply(), &Leads(true)).await;
    let now = cluster.observe(&policy, WATCHED).await.unwrap();
    assert_eq!(now.network_policies.len(), 1);
}
