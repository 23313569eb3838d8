use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::api::{Gating, Mode};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::fixture::{FULL_SPEC, now, policy, settings};
use crate::domain::names::{BucketName, Region, RoleName};
use crate::domain::policy::{PolicySource, validate};

const HEAD: &str = "apiVersion: aidp.dev/v1alpha1\nkind: AIDataProtectionPolicy\nmetadata: {name: fraud-model}\n";

fn problems(text: &str) -> Vec<String> {
    documents::parse("policy.yaml", text).unwrap_err()
}

fn with_spec(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!("{HEAD}spec:\n  {spec}")
}

#[test]
fn several_documents_are_read_and_other_kinds_passed_over() {
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    let policy = with_spec(FULL_SPEC);
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        with_spec(FULL_SPEC)
            .replace("fraud-model", "in-a-list")
            .replace('\n', "\n  ")
    );
    let text = format!("---\n{config_map}---\n{policy}\n---\n---\n{list}\n");
    let found = documents::parse("policy.yaml", &text).unwrap();
    let places: Vec<&str> = found.iter().map(|d| d.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "policy.yaml, document 2 (fraud-model)",
            "policy.yaml, document 4 (in-a-list)"
        ]
    );
}

#[test]
fn an_error_names_file_document_and_field() {
    for (text, expected) in [
        (
            with_spec(&FULL_SPEC.replace("mode: Enforce", "mode: Maybe")),
            "policy.yaml, document 1 (fraud-model): spec.mode: unknown variant `Maybe`, expected `Audit` or `Enforce`",
        ),
        (
            with_spec(&FULL_SPEC.replace("publicAccess: {}", "publicAccess: null")),
            "policy.yaml, document 1 (fraud-model): spec.bucketControls.publicAccess: null means nothing here; leave the field out or give it a value",
        ),
        (
            with_spec(&FULL_SPEC.replace("publicAccess: {}", "publicAcess: {}")),
            "policy.yaml, document 1 (fraud-model): spec.bucketControls.publicAcess: unknown field; known are accessLogging, encryption, objectOwnership, publicAccess, transport, versioning",
        ),
        (
            with_spec(&FULL_SPEC.replace("name: trainer", "nam: trainer")),
            "policy.yaml, document 1 (fraud-model): spec.trainingRoles[0].serviceAccounts[0].nam: unknown field; known are name, namespace",
        ),
        (
            with_spec(FULL_SPEC).replace("fraud-model", &"x".repeat(53)),
            &format!(
                "policy.yaml, document 1 ({}): metadata.name: expected 1 to 52 characters",
                "x".repeat(53)
            ),
        ),
        (
            with_spec(FULL_SPEC).replace("v1alpha1", "v9"),
            "policy.yaml, document 1 (fraud-model): apiVersion: \"aidp.dev/v9\" is unknown; expected aidp.dev/v1alpha1",
        ),
        (
            "- just\n- a list\n".to_owned(),
            "policy.yaml, document 1: not a Kubernetes object",
        ),
    ] {
        assert_eq!(problems(&text)[0], expected);
    }
}

#[test]
fn what_is_no_yaml_is_said_and_ends_the_file() {
    let text = format!("{}\n---\n{{unclosed: [\n", with_spec(FULL_SPEC));
    let found = problems(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("policy.yaml, document 2: "), "{found:?}");
}

#[test]
fn hostile_files_end_with_an_error() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(problems(&deep).len(), 1);
    let bomb = (0..40).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        let list = format!("*a{i},").repeat(9);
        format!("{text}a{}: &a{} [{list}]\n", i + 1, i + 1)
    });
    assert_eq!(problems(&bomb).len(), 1);
    let noisy = with_spec("mode: Audit\naccount: {id: \"123456789012\", region: eu-west-1}\n")
        + &(0..1000)
            .map(|i| format!("\n  unknown{i}: 1"))
            .collect::<Vec<_>>()
            .concat();
    assert_eq!(problems(&noisy).len(), 20);
}

/// The lines of the CRD's table of bad input that a schema or CEL refuses in a cluster.
#[test]
fn what_the_api_server_refuses_is_refused_here_too() {
    let accepted: Vec<&str> = [
        ("mode: Enforce", "mode: Enforce\ninterval: 1s"),
        ("123456789012\", region", "1234\", region"),
        (", kmsKeys: [{region: eu-west-1, keyARN: \"arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111\"}]", ""),
        ("keyARN: \"arn:aws:kms:eu-west-1", "keyARN: \"arn:aws:kms:eu-central-1"),
        ("keyARN: \"arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111\"", "keyARN: alias/mine"),
        ("cidr: 0.0.0.0/0", "cidr: 10.0.0.0/33"),
        ("cidr: 0.0.0.0/0", "cidr: 10.0.0.1/8"),
        ("cidr: 0.0.0.0/0", "cidr: 0.0.0.0/0, ports: [{port: 80}]"),
        ("podSelector: {matchLabels: {workload: training}}", "podSelector: {}"),
        ("namespaceSelector: {matchLabels: {team: ml}}", "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}"),
        ("bucket: fraud-training-data, prefixes", "bucket: somebody-elses, prefixes"),
        ("buckets: [{name: fraud-training-data}]", "buckets: [{name: \"s3://fraud-training-data\"}]"),
        ("buckets: [{name: fraud-training-data}]", "buckets: [{name: fraud-training-data}, {name: fraud-training-data}]"),
        ("algorithm: SSE-KMS", "algorithm: ROT13"),
    ]
    .into_iter()
    .filter(|(from, to)| {
        assert!(FULL_SPEC.contains(from), "{from}");
        let read = documents::parse("policy.yaml", &with_spec(&FULL_SPEC.replace(from, to)));
        read.is_ok_and(|found| validate(&found[0].policy.spec, PolicySource::default(), &settings(), now()).is_ok())
    })
    .map(|(_, to)| to)
    .collect();
    assert_eq!(accepted, Vec::<&str>::new());
}

fn bucket() -> BucketName {
    BucketName::new("fraud-training-data").unwrap()
}

fn look(findings: Vec<Finding>, actions: Vec<PlannedAction>) -> look::Look {
    look::Look {
        policy: "fraud-model".to_owned(),
        place: "policy.yaml, document 1 (fraud-model)".to_owned(),
        mode: Mode::Enforce,
        caller: Some("arn:aws:iam::123456789012:user/me".to_owned()),
        findings,
        actions,
        not_looked_at: vec!["egress/training: the cluster was not asked.".to_owned()],
    }
}

fn finding(disposition: Disposition) -> Finding {
    Finding::new(
        Control::S3TlsOnly,
        Target::Bucket(bucket()),
        Gating::Gating,
        disposition,
    )
    .diff("bucketPolicy", "refuses plaintext", "lets it in")
    .message("the bucket lets plaintext in")
}

fn put_policy() -> PlannedAction {
    PlannedAction {
        action: Action::PutBucketPolicy {
            bucket: bucket(),
            region: Region::new("eu-west-1").unwrap(),
            seen: Some(r#"{"Statement":[{"Sid":"Partner"},{"Sid":"AidpOld"}]}"#.to_owned()),
            document: r#"{"Statement":[{"Sid":"Partner"},{"Sid":"AidpTLSOnly"}]}"#.to_owned(),
        },
        repairs: vec![finding(Disposition::Repair).key()],
    }
}

#[test]
fn the_table_says_what_was_found_and_exactly_what_would_be_done() {
    let text = print::table(&[look(vec![finding(Disposition::Repair)], vec![put_policy()])], 200);
    let expected = "\
Policy fraud-model (mode Enforce), from policy.yaml, document 1 (fraud-model)
seen as arn:aws:iam::123456789012:user/me

Findings (1)
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 Severity   Control      Resource                     Setting        Want                Have         What follows                          
════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════
 High       S3.TLSOnly   bucket/fraud-training-data   bucketPolicy   refuses plaintext   lets it in   repaired: the bucket lets plaintext in 
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

The operator would do (1)
   1. PutBucketPolicy bucket/fraud-training-data
      - {\"Sid\":\"AidpOld\"}
      + {\"Sid\":\"AidpTLSOnly\"}
        1 statement(s) stay as they are

Not looked at
  * egress/training: the cluster was not asked.

";
    let trimmed = |text: &str| {
        text.lines()
            .map(str::trim_end)
            .map(rule_of_any_length)
            .collect::<Vec<_>>()
    };
    assert_eq!(trimmed(&text), trimmed(expected));
}

/// The length of a rule is the table crate's business.
fn rule_of_any_length(line: &str) -> String {
    match line.chars().next() {
        Some(c @ ('─' | '═')) => c.to_string(),
        Some(_) | None => line.to_owned(),
    }
}

#[test]
fn json_names_the_policy_of_each_finding_and_action() {
    let json = print::json(&[look(
        vec![finding(Disposition::NeedsHuman(HumanReason::Conflict))],
        vec![put_policy()],
    )]);
    assert_eq!(
        json,
        json!({
            "policies": [{
                "policy": "fraud-model",
                "source": "policy.yaml, document 1 (fraud-model)",
                "mode": "Enforce",
                "caller": "arn:aws:iam::123456789012:user/me",
            }],
            "findings": [{
                "policy": "fraud-model",
                "control": "S3.TLSOnly",
                "severity": "High",
                "resource": "bucket/fraud-training-data",
                "path": "bucketPolicy",
                "want": "refuses plaintext",
                "have": "lets it in",
                "message": "the bucket lets plaintext in",
                "gating": "Gating",
                "follows": "NeedsHuman",
                "reason": "Conflict",
                "actor": null,
            }],
            "actions": [{
                "policy": "fraud-model",
                "operation": "PutBucketPolicy",
                "resource": "bucket/fraud-training-data",
                "parameters": {
                    "region": "eu-west-1",
                    "Policy": {"Statement": [{"Sid": "Partner"}, {"Sid": "AidpTLSOnly"}]},
                },
                "repairs": [{"control": "S3.TLSOnly", "resource": "bucket/fraud-training-data", "path": "bucketPolicy"}],
            }],
            "notLookedAt": [{"policy": "fraud-model", "message": "egress/training: the cluster was not asked."}],
        })
    );
}

#[test]
fn text_that_others_wrote_cannot_move_the_cursor_or_flood_the_screen() {
    let mut hostile = finding(Disposition::Repair);
    hostile.have = format!("\u{1b}[2J\r{}", "x".repeat(100_000));
    let text = print::table(&[look(vec![hostile], Vec::new())], 120);
    assert!(!text.contains('\u{1b}') && !text.contains('\r'));
    assert!(text.len() < 20_000, "{}", text.len());
}

#[test]
fn work_gaps_and_rest_are_told_apart() {
    let of = |disposition, gating| {
        let mut found = finding(disposition);
        found.gating = gating;
        let look = look(vec![found], Vec::new());
        (look.has_gaps(), look.has_work())
    };
    assert_eq!(of(Disposition::Repair, Gating::Gating), (false, true));
    assert_eq!(of(Disposition::Repair, Gating::ReportOnly), (false, false));
    assert_eq!(of(Disposition::Note, Gating::Gating), (false, false));
    assert_eq!(
        of(Disposition::NeedsHuman(HumanReason::Conflict), Gating::Gating),
        (false, true)
    );
    assert_eq!(
        of(Disposition::NeedsHuman(HumanReason::AccessDenied), Gating::Gating),
        (true, true)
    );
    assert_eq!(of(Disposition::Unobserved, Gating::Gating), (true, true));
    assert!(!look(Vec::new(), Vec::new()).has_work());
}

#[test]
fn egress_that_is_wrong_anywhere_is_found_without_a_cluster() {
    let egress = |selector: &str, allow: &str| {
        let spec = FULL_SPEC
            .replace(
                "namespaceSelector: {matchLabels: {team: ml}}",
                &format!("namespaceSelector: {selector}"),
            )
            .replace("{type: CIDR, cidr: 0.0.0.0/0}", allow);
        let found = offline::egress_findings(&policy(&spec));
        found.iter().map(|f| f.control.id()).collect::<Vec<_>>()
    };
    let ml = "{matchLabels: {kubernetes.io/metadata.name: ml}}";
    // The role of the policy is for a ServiceAccount in ml: its pods need STS.
    let pods_only = "{type: Pods, namespaceSelector: {}, podSelector: {}, ports: [{port: 29500}]}";
    assert_eq!(egress(ml, pods_only), ["Net.BlocksOwnCredentials"]);
    assert_eq!(egress(ml, "{type: CIDR, cidr: 0.0.0.0/0}"), Vec::<&str>::new());
    assert_eq!(
        egress("{matchLabels: {team: ml}}", pods_only),
        Vec::<&str>::new(),
        "no namespace is known"
    );
}

#[test]
fn what_was_not_looked_at_is_named() {
    assert_eq!(
        offline::left_out(&policy(FULL_SPEC)),
        [
            "role/fraud-trainer: the cluster was not asked. Whether its ServiceAccounts point at it, whether others do, and \
             which credentials their pods use is not known here.",
            "egress/training: the cluster was not asked. The operator would keep NetworkPolicy aidp-fraud-model.training in every namespace \
          with team=ml; whether it is there, what other policies allow, and what enforces them is not known here."
        ]
    );
}

#[test]
fn every_kind_of_action_shows_what_it_sends() {
    let role = RoleName::new("fraud-trainer").unwrap();
    let lines = |action: &Action| details::lines(action);
    assert_eq!(
        lines(&Action::CreateRole {
            role: role.clone(),
            path: "/aidp/".to_owned(),
            trust_policy: r#"{"Statement":[]}"#.to_owned(),
            max_session_duration_seconds: 3600,
            permissions_boundary_arn: None,
            tags: BTreeMap::from([("aidp.dev/policy".to_owned(), "fraud-model".to_owned())]),
        }),
        [
            "  Path: /aidp/",
            r#"  AssumeRolePolicyDocument: {"Statement":[]}"#,
            "  MaxSessionDuration: 3600",
            r#"  Tags: {"aidp.dev/policy":"fraud-model"}"#
        ]
    );
    assert_eq!(
        lines(&Action::DeleteRole {
            role,
            inline_policies: BTreeSet::from(["aidp-readonly".to_owned()]),
            attached_policy_arns: BTreeSet::new(),
        }),
        [r#"  inlinePolicies: ["aidp-readonly"]"#, "  attachedPolicyARNs: []"]
    );
}
