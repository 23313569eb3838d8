//! `aidp egress` as a pipeline uses it: files in, text or JSON and an exit code out.
#![cfg(test)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const TRAIN: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: train, namespace: ml}
spec: {template: {metadata: {labels: {app: train}}, spec: {}}}
";
const HTTPS: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: https, namespace: ml}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: 10.20.0.0/16}}], ports: [{port: 443}]}]
";
const FOREIGN: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: foreign, namespace: ml}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}]}
";
const POLICY: &str = "apiVersion: aidp.dev/v1alpha1
kind: AIDataProtectionPolicy
metadata: {name: fraud-model}
spec:
  mode: Enforce
  account: {id: '123456789012', region: eu-west-1}
  egress:
  - name: training
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ml}}
    podSelector: {matchLabels: {app: train}}
    allow: [{type: CIDR, cidr: 10.20.0.0/16}]
";

fn aidp(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aidp"));
    command
        .arg("egress")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_directory_is_read_with_everything_in_it() {
    let dir = directory(&[
        ("app/train.yaml", TRAIN),
        ("app/net/https.yml", HTTPS),
        ("app/README.md", "no: manifest: at all"),
        ("app/.git/config.yaml", "{"),
    ]);
    let output = aidp(dir.path(), &["-f", "app", "-o", "json"]);
    assert_eq!((output.status.code(), errors(&output)), (Some(0), String::new()));
    assert_eq!(
        json_of(&output),
        json!([{
            "namespace": "ml", "kind": "Deployment", "name": "train", "isolated": true,
            "egress": [{"cidr": "10.20.0.0/16", "protocol": "TCP", "ports": [[443, 443]],
                "policies": ["NetworkPolicy/ml/https"]}],
        }])
    );
}

#[test]
fn several_files_and_standard_input_count_together() {
    let dir = directory(&[("https.yaml", HTTPS)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_aidp"))
        .args(["egress", "-f", "https.yaml", "-f", "-"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(TRAIN.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(
        row,
        [
            "ml",
            "Deployment/train",
            "yes",
            "10.20.0.0/16",
            "TCP/443",
            "NetworkPolicy/ml/https"
        ]
    );
}

#[test]
fn what_exceeds_a_policy_is_exit_code_1() {
    let dir = directory(&[
        ("train.yaml", TRAIN),
        ("https.yaml", HTTPS),
        ("foreign.yaml", FOREIGN),
        ("p/adpp.yaml", POLICY),
    ]);
    let args = [
        "-f",
        "train.yaml",
        "-f",
        "https.yaml",
        "--policy",
        "p/adpp.yaml",
        "-o",
        "json",
    ];
    let fine = aidp(dir.path(), &args);
    assert_eq!((fine.status.code(), json_of(&fine)), (Some(0), json!([])));
    let exceeding = aidp(dir.path(), &[&args[..], &["-f", "foreign.yaml"]].concat());
    assert_eq!(exceeding.status.code(), Some(1));
    assert_eq!(
        json_of(&exceeding)[0]["egress"],
        json!([{"cidr": "10.0.0.0/8", "protocol": "TCP", "ports": [[80, 80]], "policies": ["NetworkPolicy/ml/foreign"]}])
    );
}

#[test]
fn a_comparison_that_judges_nothing_or_not_everything_is_exit_code_3() {
    const JOB: &str = "apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: train, namespace: ml}
spec: {pytorchReplicaSpecs: {Worker: {template: {metadata: {labels: {app: train}}, spec: {containers: [{name: a}]}}}}}
";
    const CILIUM: &str = "apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: open, namespace: ml}
spec: {}
";
    let mistyped = POLICY.replace("app: train", "app: trian");
    let elsewhere = JOB.replace("namespace: ml", "namespace: web");
    for (policy, more, expected) in [
        (POLICY, "", 0),
        (mistyped.as_str(), "", 3),
        (POLICY, JOB, 3),
        (POLICY, elsewhere.as_str(), 0),
        (POLICY, CILIUM, 3),
    ] {
        let dir = directory(&[
            ("app/train.yaml", TRAIN),
            ("app/https.yaml", HTTPS),
            ("app/more.yaml", more),
            ("policy.yaml", policy),
        ]);
        let output = aidp(dir.path(), &["-f", "app", "--policy", "policy.yaml"]);
        assert_eq!(output.status.code(), Some(expected), "{more}");
        let fine = output.stdout.starts_with(b"Nothing exceeds");
        assert_eq!(fine, expected == 0);
    }
}

#[test]
fn a_rule_that_selects_by_labels_of_a_namespace_not_given_is_exit_code_3() {
    const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: ml, labels: {team: ml}}}\n";
    let policy = POLICY.replace("kubernetes.io/metadata.name: ml", "team: ml");
    let elsewhere = TRAIN.replace("namespace: ml", "namespace: web");
    let unlabelled = NAMESPACE.replace("name: ml, labels: {team: ml}", "name: web");
    for (more, expected) in [
        ("", 0),
        (elsewhere.as_str(), 3),
        (&format!("{elsewhere}---\n{unlabelled}"), 0),
    ] {
        let dir = directory(&[
            ("app/train.yaml", &format!("{TRAIN}---\n{NAMESPACE}")),
            ("app/https.yaml", HTTPS),
            ("app/more.yaml", more),
            ("policy.yaml", &policy),
        ]);
        let text = aidp(dir.path(), &["-f", "app", "--policy", "policy.yaml"]);
        assert_eq!(text.status.code(), Some(expected), "{more}");
        let json = aidp(dir.path(), &["-f", "app", "--policy", "policy.yaml", "-o", "json"]);
        assert_eq!((json.status.code(), json_of(&json)), (Some(expected), json!([])));
        let said = errors(&json).contains(
            "not judged: whether the rule training applies hangs on the labels of the namespace web, which is not among the \
             manifests",
        );
        assert_eq!(said, expected == 3, "{}", errors(&json));
    }
}

#[test]
fn manifests_without_a_namespace_are_judged_in_the_one_they_will_be_applied_to() {
    let chart = format!("{TRAIN}---\n{HTTPS}").replace(", namespace: ml", "");
    let dir = directory(&[("chart.yaml", &chart), ("policy.yaml", POLICY)]);
    let args = ["-f", "chart.yaml", "--policy", "policy.yaml"];
    assert_eq!(aidp(dir.path(), &args).status.code(), Some(3));
    let there = aidp(dir.path(), &[&args[..], &["-n", "ml"]].concat());
    assert_eq!((there.status.code(), errors(&there)), (Some(0), String::new()));
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_no_content() {
    let windows = format!("\u{feff}{TRAIN}---\n{HTTPS}").replace('\n', "\r\n");
    let dir = directory(&[("app.yaml", &windows)]);
    let output = aidp(dir.path(), &["-f", "app.yaml", "-o", "json"]);
    assert_eq!((output.status.code(), errors(&output)), (Some(0), String::new()));
    assert_eq!(
        json_of(&output)[0]["egress"][0]["policies"],
        json!(["NetworkPolicy/ml/https"])
    );
}

#[test]
fn a_workload_that_nothing_restricts_exceeds_unless_the_operator_is_counted_in() {
    let dir = directory(&[("train.yaml", TRAIN), ("p/adpp.yaml", POLICY)]);
    let args = ["-f", "train.yaml", "--policy", "p/adpp.yaml"];
    assert_eq!(aidp(dir.path(), &args).status.code(), Some(1));
    let counted = aidp(dir.path(), &[&args[..], &["--assume-enforced"]].concat());
    assert_eq!(counted.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(counted.stdout).unwrap(),
        "Nothing exceeds the policy.\n"
    );
}

#[test]
fn bad_input_is_exit_code_2_and_says_where() {
    let bad = format!("{TRAIN}---\n{}", HTTPS.replace("port: 443", "port: 0"));
    let dir = directory(&[
        ("a/bad.yaml", &bad),
        ("a/worse.yaml", "a: [1"),
        ("typo.yaml", &POLICY.replace("allow:", "alow:")),
    ]);
    let output = aidp(dir.path(), &["-f", "a"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let errors_of = errors(&output);
    assert!(
        errors_of
            .contains("a/bad.yaml, document 2, NetworkPolicy ml/https: spec.egress[0].ports[0].port: 0 is not a port"),
        "{errors_of}"
    );
    assert!(errors_of.contains("a/worse.yaml, document 1: "), "{errors_of}");

    let typo = aidp(dir.path(), &["-f", "a/bad.yaml", "--policy", "typo.yaml"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(
        errors(&typo).contains("typo.yaml, document 1: spec.egress[0]: missing field `allow`"),
        "{}",
        errors(&typo)
    );
}

#[test]
fn a_policy_to_compare_with_is_a_policy_and_names_what_is_wrong_with_it() {
    let twice = POLICY.replace("  - name: training", "  - &t\n    name: training") + "  - *t\n";
    let inputs = [
        (
            "kind.yaml",
            POLICY.replace("kind: AIData", "kind: Data"),
            "document 1: kind: expected AIDataProtectionPolicy",
        ),
        (
            "api.yaml",
            POLICY.replace("v1alpha1", "v2"),
            "document 1: apiVersion: expected aidp.dev/v1alpha1",
        ),
        (
            "cidr.yaml",
            format!("{POLICY}---\n{}", POLICY.replace("10.20.0.0/16", "10.20.0.0/33")),
            "document 2, AIDataProtectionPolicy fraud-model: spec.egress[training].allow[0].cidr: expected a network",
        ),
        (
            "service.yaml",
            POLICY.replace("{type: CIDR, cidr: 10.20.0.0/16}", "{type: AWSService, service: s3}"),
            "spec.egress[training].allow: where the AWS service s3 is, only the operator knows",
        ),
        ("twice.yaml", twice, "spec.egress[training]: named twice"),
    ];
    for (file, text, problem) in inputs {
        let dir = directory(&[("train.yaml", TRAIN), (file, &text)]);
        let output = aidp(dir.path(), &["-f", "train.yaml", "--policy", file]);
        let said = errors(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(
            said.starts_with(&format!("aidp egress: {file}, ")) && said.contains(problem),
            "{said}"
        );
    }
}

#[test]
fn a_manifest_that_is_a_link_to_nowhere_is_missing_and_not_skipped() {
    let dir = directory(&[("train.yaml", TRAIN)]);
    std::os::unix::fs::symlink("locked-by-an-editor", dir.path().join(".#train.yaml")).unwrap();
    assert_eq!(aidp(dir.path(), &["-f", "."]).status.code(), Some(0));

    std::os::unix::fs::symlink("../gone.yaml", dir.path().join("allow-all.yaml")).unwrap();
    let output = aidp(dir.path(), &["-f", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors(&output).contains("allow-all.yaml: No such file"),
        "{}",
        errors(&output)
    );
}

#[test]
fn missing_empty_and_binary_inputs_are_refused() {
    let dir = directory(&[("empty.yaml", "# nothing\n")]);
    fs::write(dir.path().join("binary.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    for (input, problem) in [
        ("gone.yaml", "gone.yaml: No such file"),
        ("empty.yaml", "empty.yaml: no Kubernetes object found"),
        ("binary.yaml", "binary.yaml: not UTF-8 text"),
    ] {
        let output = aidp(dir.path(), &["-f", input]);
        assert_eq!(output.status.code(), Some(2), "{input}");
        assert!(errors(&output).contains(problem), "{}", errors(&output));
    }
}
