use super::*;
use crate::api::MAX_STRING;
use crate::domain::control::Part;
use crate::domain::fixture::now;
use crate::domain::iam::plan_role;
use crate::domain::iam::simulated::{SPEC, made, pod_identity_policy, policy_of, seen, settings, settings_with_eks};
use crate::domain::observed::{CallError, NamespaceObservation, PodIdentityAssociation};

const ARN: &str = "arn:aws:iam::123456789012:role/aidp/fraud-trainer";
const EGRESS: &str = "
egress:
- name: training
  namespaceSelector: {matchLabels: {team: ml}}
  podSelector: {matchLabels: {workload: training}}
  allow: [{type: CIDR, cidr: 0.0.0.0/0}]
";

fn policy() -> ValidatedPolicy {
    policy_of(&format!("{SPEC}{EGRESS}"), &settings())
}

fn account(namespace: &str, name: &str, role_arn: Option<&str>) -> ServiceAccountObservation {
    ServiceAccountObservation {
        namespace: namespace.into(),
        name: name.into(),
        role_arn: role_arn.map(str::to_owned),
    }
}

fn pod(name: &str, labels: &[(&str, &str)]) -> PodObservation {
    PodObservation {
        namespace: "ml".into(),
        name: name.into(),
        service_account: "trainer".into(),
        labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..PodObservation::default()
    }
}

/// The listed ServiceAccount points at the role, and its pod is selected by the rule.
fn good() -> ClusterObservation {
    ClusterObservation {
        namespaces: vec![NamespaceObservation {
            name: "ml".into(),
            labels: BTreeMap::from([("team".into(), "ml".into())]),
            terminating: false,
        }],
        service_accounts: Some(Ok(vec![account("ml", "trainer", Some(ARN))])),
        pods: Some(Ok(vec![pod("train-0", &[("workload", "training")])])),
        ..ClusterObservation::default()
    }
}

fn found(policy: &ValidatedPolicy, cluster: ClusterObservation) -> Vec<Finding> {
    let mut observed = seen(None);
    observed.cluster = Ok(cluster);
    findings(policy, &policy.roles[0], ARN, &observed)
}

/// What of the only finding decides.
fn only(policy: &ValidatedPolicy, cluster: ClusterObservation) -> (Control, Severity, Gating, String, String) {
    let found = found(policy, cluster);
    assert_eq!(found.len(), 1, "{found:?}");
    let Finding {
        control,
        severity,
        gating,
        path,
        have,
        ..
    } = found[0].clone();
    (control, severity, gating, path, have)
}

#[test]
fn a_chain_without_a_fault_has_no_finding() {
    assert_eq!(found(&policy(), good()), vec![]);
}

#[test]
fn a_service_account_that_is_absent_or_points_nowhere_is_reported_with_the_command() {
    let absent = ClusterObservation {
        service_accounts: Some(Ok(vec![])),
        pods: Some(Ok(vec![])),
        ..good()
    };
    assert_eq!(
        found(&policy(), absent.clone())[0].message,
        "run: kubectl create serviceaccount -n ml trainer && kubectl annotate serviceaccount -n ml trainer \
         eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/aidp/fraud-trainer --overwrite (a listed ServiceAccount \
         does not exist)"
    );
    assert_eq!(
        only(&policy(), absent),
        (
            Control::IamWorkloadIdentity,
            Severity::Low,
            Gating::ReportOnly,
            "serviceAccounts[ml/trainer]".into(),
            "absent".into()
        )
    );
    let unannotated = ClusterObservation {
        service_accounts: Some(Ok(vec![account("ml", "trainer", None)])),
        ..good()
    };
    assert_eq!(
        only(&policy(), unannotated),
        (
            Control::IamWorkloadIdentity,
            Severity::Medium,
            Gating::ReportOnly,
            "serviceAccounts[ml/trainer].roleARN".into(),
            "absent".into()
        )
    );
}

#[test]
fn a_listed_service_account_with_another_role_is_not_proven() {
    let other = "arn:aws:iam::123456789012:role/admin";
    let cluster = ClusterObservation {
        service_accounts: Some(Ok(vec![account("ml", "trainer", Some(other))])),
        ..good()
    };
    let found = found(&policy(), cluster);
    assert_eq!(found[0].disposition, Disposition::NeedsHuman(HumanReason::NotProven));
    assert_eq!((found[0].gating, found[0].have.as_str()), (Gating::Gating, other));
}

#[test]
fn a_service_account_that_points_at_the_role_unlisted_is_reported() {
    let cluster = ClusterObservation {
        service_accounts: Some(Ok(vec![
            account("ml", "trainer", Some(ARN)),
            account("dev", "trainer", Some(ARN)),
            account("dev", "other", Some("arn:aws:iam::123456789012:role/other")),
        ])),
        ..good()
    };
    assert_eq!(
        only(&policy(), cluster),
        (
            Control::IamWorkloadIdentity,
            Severity::Medium,
            Gating::ReportOnly,
            "serviceAccounts[dev/trainer]".into(),
            "pointing at the role".into()
        )
    );
}

#[test]
fn an_environment_that_comes_whole_from_elsewhere_is_said_to_be_unknown() {
    let mut whole = pod("train-1", &[("workload", "training")]);
    whole.unnamed_environment = true;
    let mut other_account = whole.clone();
    other_account.service_account = "web".into();
    let cluster = ClusterObservation {
        pods: Some(Ok(vec![other_account, whole])),
        ..good()
    };
    assert_eq!(
        only(&policy(), cluster),
        (
            Control::IamWorkloadIdentity,
            Severity::Low,
            Gating::ReportOnly,
            "pods[ml/trainer].envFrom".into(),
            "train-1".into()
        )
    );
}

#[test]
fn keys_in_a_pods_environment_are_not_proven() {
    let mut keyed = pod("train-1", &[("workload", "training")]);
    keyed.static_credentials = true;
    let mut other_account = keyed.clone();
    other_account.service_account = "web".into();
    let cluster = ClusterObservation {
        pods: Some(Ok(vec![other_account, keyed])),
        ..good()
    };
    assert_eq!(
        only(&policy(), cluster),
        (
            Control::IamWorkloadIdentity,
            Severity::High,
            Gating::Gating,
            "pods[ml/trainer].env".into(),
            "train-1".into()
        )
    );
}

#[test]
fn a_pod_that_no_egress_rule_selects_makes_egress_unrestricted() {
    let unlabelled = ClusterObservation {
        pods: Some(Ok(vec![pod("train-0", &[("workload", "training")]), pod("free", &[])])),
        ..good()
    };
    let elsewhere = ClusterObservation {
        namespaces: Vec::new(),
        ..good()
    };
    for (cluster, name) in [(unlabelled, "free"), (elsewhere, "train-0")] {
        let found = found(&policy(), cluster);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].control.info().part, Part::Egress);
        assert_eq!(
            (
                found[0].disposition,
                found[0].gating,
                found[0].severity,
                found[0].have.as_str()
            ),
            (
                Disposition::NeedsHuman(HumanReason::NotEnforced),
                Gating::Gating,
                Severity::High,
                name
            )
        );
    }
}

#[test]
fn without_egress_rules_pods_may_be_unselected() {
    let policy = policy_of(SPEC, &settings());
    let cluster = ClusterObservation {
        pods: Some(Ok(vec![pod("free", &[])])),
        ..good()
    };
    assert_eq!(found(&policy, cluster), vec![]);
}

#[test]
fn what_may_not_be_listed_is_said_and_a_passing_failure_is_a_gap() {
    let note = (Gating::ReportOnly, Disposition::Note);
    let gap = (Gating::Gating, Disposition::Unobserved);
    for (class, expected) in [(ErrorClass::AccessDenied, note), (ErrorClass::Transient, gap)] {
        let error = CallError {
            operation: "list pods",
            class,
            code: None,
            message: "no".into(),
        };
        let cluster = ClusterObservation {
            service_accounts: Some(Err(error.clone())),
            pods: Some(Err(error)),
            ..good()
        };
        let found = found(&policy(), cluster);
        let said: Vec<_> = found.iter().map(|f| (f.gating, f.disposition)).collect();
        assert_eq!(said, [expected; 2]);
    }
}

#[test]
fn what_pods_reach_does_not_change_the_state_of_the_role() {
    let policy = policy();
    let mut observed = seen(Some(made(&policy)));
    observed.cluster = Ok(ClusterObservation {
        pods: Some(Ok(vec![pod("free", &[])])),
        ..good()
    });
    let plan = plan_role(&policy, &policy.roles[0], &observed, now());
    assert_eq!(plan.state, crate::api::TargetState::Compliant);
    assert_eq!(plan.findings.len(), 1);
}

// Pod Identity.

fn association(change: impl FnOnce(&mut PodIdentityAssociation)) -> PodIdentityAssociation {
    let mut association = PodIdentityAssociation {
        id: "a-1".into(),
        namespace: "ml".into(),
        service_account: "trainer".into(),
        role_arn: ARN.into(),
        target_role_arn: None,
        session_tags_disabled: false,
    };
    change(&mut association);
    association
}

/// What of each finding decides, and the command in its message.
fn with_associations(
    policy: &ValidatedPolicy,
    annotation: Option<&str>,
    associations: Vec<PodIdentityAssociation>,
) -> Vec<(Severity, Gating, String, String)> {
    let mut observed = seen(None);
    observed.account.pod_identity_associations = Some(Ok(associations.into_iter().collect()));
    observed.cluster = Ok(ClusterObservation {
        service_accounts: Some(Ok(vec![account("ml", "trainer", annotation)])),
        pods: None,
        ..good()
    });
    findings(policy, &policy.roles[0], ARN, &observed)
        .into_iter()
        .map(|f| {
            // What of it a status shows.
            let shown: String = f.message.chars().take(MAX_STRING - 1).collect();
            let command = shown.split("run: ").nth(1).and_then(|rest| rest.split(" (").next());
            (f.severity, f.gating, f.path, command.unwrap_or_default().to_owned())
        })
        .collect()
}

const PATH: &str = "podIdentity[ml/trainer]";
const UPDATE: &str =
    "aws eks update-pod-identity-association --region eu-west-1 --cluster-name training --association-id a-1";

#[test]
fn an_association_with_the_role_and_session_tags_is_all_that_pod_identity_needs() {
    let policy = pod_identity_policy();
    assert_eq!(with_associations(&policy, None, vec![association(|_| {})]), []);
}

#[test]
fn each_fault_of_an_association_is_found_with_the_command_that_ends_it() {
    let policy = pod_identity_policy();
    let other = "arn:aws:iam::123456789012:role/admin";
    let (note, gate) = (
        |path: String, command: String| vec![(Severity::Medium, Gating::ReportOnly, path, command)],
        |path: String, command: String| vec![(Severity::High, Gating::Gating, path, command)],
    );
    let create = format!(
        "aws eks create-pod-identity-association --region eu-west-1 --cluster-name training --namespace ml --service-account trainer --role-arn {ARN}"
    );
    let unannotate = "kubectl annotate serviceaccount -n ml trainer eks.amazonaws.com/role-arn-".to_owned();
    let cases = [
        (None, vec![], note(PATH.into(), create)),
        (
            None,
            vec![association(|a| a.role_arn = other.into())],
            gate(format!("{PATH}.roleARN"), format!("{UPDATE} --role-arn {ARN}")),
        ),
        (
            None,
            vec![association(|a| a.target_role_arn = Some(other.into()))],
            gate(
                format!("{PATH}.targetRoleARN"),
                format!("{UPDATE} --target-role-arn ''"),
            ),
        ),
        (
            None,
            vec![association(|a| a.session_tags_disabled = true)],
            note(
                format!("{PATH}.sessionTags"),
                format!("{UPDATE} --no-disable-session-tags"),
            ),
        ),
        (
            Some(ARN),
            vec![association(|_| {})],
            note(format!("{PATH}.annotation"), unannotate.clone()),
        ),
        (
            Some(other),
            vec![association(|_| {})],
            gate(format!("{PATH}.annotation"), unannotate),
        ),
    ];
    for (annotation, associations, expected) in cases {
        assert_eq!(
            with_associations(&policy, annotation, associations.clone()),
            expected,
            "{associations:?}"
        );
    }
}

#[test]
fn associations_that_give_the_role_to_others_are_reported() {
    let stranger = |id: &str, change: fn(&mut PodIdentityAssociation)| {
        let mut found = association(change);
        (found.id, found.service_account) = (id.into(), id.into());
        found
    };
    let associations = vec![
        association(|_| {}),
        stranger("direct", |_| {}),
        stranger("target", |a| {
            a.role_arn = "arn:aws:iam::123456789012:role/base".into();
            a.target_role_arn = Some(ARN.into());
        }),
        stranger("unrelated", |a| {
            a.role_arn = "arn:aws:iam::123456789012:role/base".into();
        }),
    ];
    let delete = |id: &str| {
        let command = format!(
            "aws eks delete-pod-identity-association --region eu-west-1 --cluster-name training --association-id {id}"
        );
        (
            Severity::Medium,
            Gating::ReportOnly,
            format!("podIdentity[ml/{id}]"),
            command,
        )
    };
    assert_eq!(
        with_associations(&pod_identity_policy(), None, associations),
        [delete("direct"), delete("target")]
    );
}

#[test]
fn an_association_beside_irsa_is_ambiguous() {
    let policy = policy_of(SPEC, &settings_with_eks());
    let delete =
        "aws eks delete-pod-identity-association --region eu-west-1 --cluster-name training --association-id a-1";
    assert_eq!(
        with_associations(&policy, Some(ARN), vec![association(|_| {})]),
        [(Severity::Medium, Gating::ReportOnly, PATH.to_owned(), delete.to_owned())]
    );
}

#[test]
fn associations_that_may_not_be_read_are_said() {
    let policy = pod_identity_policy();
    let mut observed = seen(None);
    observed.cluster = Ok(good());
    observed.account.pod_identity_associations = Some(Err(CallError {
        operation: "ListPodIdentityAssociations",
        class: ErrorClass::AccessDenied,
        code: None,
        message: "no".into(),
    }));
    let found = findings(&policy, &policy.roles[0], ARN, &observed);
    let unread = found.iter().find(|f| f.path == "podIdentity").expect("a finding");
    assert!(
        unread.message.contains("eks:ListPodIdentityAssociations"),
        "{}",
        unread.message
    );
}
