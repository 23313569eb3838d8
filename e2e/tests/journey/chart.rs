//! The Helm chart, by Helm itself and by a real API server. What its pods do is tested on a node (`make test-node`).

use std::collections::BTreeSet;
use std::process::Command;

use aidp_e2e::Result;
use aidp_e2e::helm::{CHART, helm, output, tool};
use aidp_e2e::operator::binary;
use aidp_e2e::plane::{Lease, NAMESPACE};
use aidp_e2e::process::project_dir;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, journey};
use serde_json::Value;

const FULL: &str = "charts/aidp/ci/full-values.yaml";

/// What `helm template` makes of the chart, with more arguments.
pub(crate) fn render(more: &[&str]) -> Result<String> {
    let mut arguments = vec!["template", "aidp", CHART, "--namespace", NAMESPACE];
    arguments.extend(more);
    helm(None, &arguments)
}

/// The server's own opinion of every object: schema, unknown fields, CEL. Nothing is stored.
const DRY_RUN: [&str; 7] = [
    "apply",
    "--server-side",
    "--dry-run=server",
    "--validate=strict",
    "--force-conflicts",
    "-f",
    "-",
];

#[test]
fn the_chart_lints_without_a_warning() {
    for more in [&[][..], &["--values", FULL]] {
        let mut arguments = vec!["lint", CHART, "--strict", "--namespace", NAMESPACE];
        arguments.extend(more);
        let said = helm(None, &arguments).unwrap();
        assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{said}");
    }
}

#[test]
fn the_full_values_set_every_value_that_the_schema_knows() {
    let schema: Value = serde_json::from_str(&read("charts/aidp/values.schema.json")).unwrap();
    let full: Value = serde_yaml::from_str(&read(FULL)).unwrap();
    let mut missing = Vec::new();
    unset(&schema, &full, "", &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

fn unset(schema: &Value, values: &Value, at: &str, missing: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{at}.{name}");
        match values.get(name) {
            None => missing.push(path),
            Some(Value::Array(items)) => unset(
                &property["items"],
                items.first().unwrap_or(&Value::Null),
                &path,
                missing,
            ),
            Some(value) => unset(property, value, &path, missing),
        }
    }
}

#[test]
fn the_operator_understands_every_setting_that_the_chart_lets_through() {
    let full: Value = serde_yaml::from_str(&read(FULL)).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_yaml::to_string(&full["config"]).unwrap()).unwrap();
    let output = Command::new(binary().unwrap())
        .current_dir(project_dir())
        .args(["iam-policy", "-f", "examples/quickstart.yaml", "--config"])
        .arg(file.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_api_server_accepts_what_the_chart_renders_field_by_field() {
    journey(async |world| {
        let crds = tool("monitoring-crds")?;
        for kind in ["servicemonitors", "prometheusrules"] {
            let file = crds.join(format!("monitoring.coreos.com_{kind}.yaml"));
            world
                .plane
                .kubectl_with(&["apply", "--server-side", "-f", "-"], &std::fs::read_to_string(file)?)?;
            let crd = format!("crd/{kind}.monitoring.coreos.com");
            world
                .plane
                .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &crd])?;
        }
        let default = render(&[])?;
        let (full, plain) = (render(&["--values", FULL])?, read("charts/install.yaml"));
        for (what, objects) in [("default", &default), ("full", &full), ("plain", &plain)] {
            // Discovery of the new kinds lags behind their CRDs being established.
            eventually(PATIENCE, &format!("the {what} objects are accepted"), || async {
                world.plane.kubectl_with(&DRY_RUN, objects)
            })
            .await?;
        }
        // The check bites: one field that nobody knows.
        let typo = default.replace("maxUnavailable: 1\n  selector:", "maxUnavailible: 1\n  selector:");
        let error = world.plane.kubectl_with(&DRY_RUN, &typo).unwrap_err().to_string();
        assert!(error.contains("maxUnavailible"), "{error}");
        Ok(())
    });
}

#[test]
fn wrong_values_are_refused_by_name() {
    let cases = [
        ("replicas=0", "/replicas"),
        ("replicas=several", "/replicas"),
        ("replica=2", "replica"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.repository=", "/image/repository"),
        ("config.maxMode=Off", "/config/maxMode"),
        ("config.maxmode=Audit", "maxmode"),
        ("config.concurrency=1000", "/config/concurrency"),
        ("config.minInterval=often", "/config/minInterval"),
        ("config.oidcProviderARN=oidc.example.com", "/config/oidcProviderARN"),
        // Without quotes YAML makes a number of an account, and loses its leading zeros.
        ("config.accounts[0].id=123456789012", "/config/accounts/0/id"),
        ("config.accounts[0].roleARN=operator", "/config/accounts/0"),
        ("networkPolicy.extraPorts={70000}", "/networkPolicy/extraPorts/0"),
        ("env[0].value=x", "/env/0"),
        (
            "metrics.serviceMonitor.interval=often",
            "/metrics/serviceMonitor/interval",
        ),
        ("admissionPolicy.enabled=yes", "/admissionPolicy/enabled"),
        ("crds.keep=true", "keep"),
        ("fullnameOverride=Upper", "/fullnameOverride"),
        // The Deployment's selector is not anybody else's to choose.
        (
            r"podLabels.app\.kubernetes\.io/name=other",
            "/podLabels/app.kubernetes.io",
        ),
    ];
    let mut wrong = Vec::new();
    for (value, named) in cases {
        let answer = output(None, &["template", "aidp", CHART, "--set", value]).unwrap();
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        if answer.status.success() || !said.contains(named) {
            wrong.push(format!("{value}: {} {said}", answer.status));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn install_upgrade_and_uninstall_keep_the_crd_and_the_policies() {
    let Some(plane) = Lease::bare().unwrap() else { return };
    let admin = plane.admin().unwrap();
    let run = |arguments: &[&str]| helm(Some(admin), &[arguments, &["--namespace", NAMESPACE]].concat()).unwrap();
    let notes = run(&["install", "aidp", CHART, "--create-namespace"]);
    for word in ["kubectl apply -f -", "kubectl get adpp", "carries no IAM role"] {
        assert!(notes.contains(word), "the notes lack {word}:\n{notes}");
    }
    let hooks = run(&["get", "hooks", "aidp"]);
    assert!(
        hooks.contains("helm.sh/hook: test") && hooks.contains("kind: Pod"),
        "no `helm test`:\n{hooks}"
    );

    let crd = "crd/aidataprotectionpolicies.aidp.dev";
    plane
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", crd])
        .unwrap();
    let quickstart = project_dir().join("examples/quickstart.yaml");
    plane.kubectl(&["apply", "-f", quickstart.to_str().unwrap()]).unwrap();
    let identity = |object: &str, fields: &str| {
        plane
            .kubectl(&["get", object, &format!("-o=jsonpath={fields}")])
            .unwrap()
    };
    let both = || {
        (
            identity(crd, "{.metadata.uid}"),
            identity(
                "adpp/quickstart",
                "{.metadata.uid} {.metadata.resourceVersion} {.spec.mode}",
            ),
        )
    };
    let before = both();

    run(&["upgrade", "aidp", CHART, "--set", "replicas=3,config.maxMode=Audit"]);
    assert_eq!(both(), before, "after an upgrade");
    let replicas = format!("deployment/aidp --namespace={NAMESPACE}");
    let replicas: Vec<&str> = replicas.split(' ').chain(["-o=jsonpath={.spec.replicas}"]).collect();
    assert_eq!(plane.kubectl(&[&["get"], &replicas[..]].concat()).unwrap(), "3");

    run(&["upgrade", "aidp", CHART, "--set", "crds.install=false"]);
    assert_eq!(both(), before, "after an upgrade that no longer installs the CRD");

    run(&["uninstall", "aidp"]);
    assert_eq!(both(), before, "after the uninstallation");
    let gone = plane
        .kubectl(&["get", "clusterroles", "-l", "app.kubernetes.io/part-of=aidp", "-o=name"])
        .unwrap();
    assert_eq!(gone, "", "everything else is gone");

    run(&["install", "aidp", CHART]);
    assert_eq!(both(), before, "after the next installation");
}

#[test]
fn external_ids_are_in_the_secret_and_nowhere_else() {
    let rendered = render(&["--values", FULL]).unwrap();
    let mut kinds = Vec::new();
    for document in rendered.split("\n---\n") {
        if document.contains("an-external-id") {
            let kind = document.lines().find_map(|line| line.strip_prefix("kind: "));
            kinds.push(kind.unwrap_or_default().to_owned());
        }
    }
    assert_eq!(kinds, ["Secret"]);
}

#[test]
fn the_values_explain_every_value_that_the_schema_knows() {
    // What a user reads (`helm show values`) has every key that he may set, at least as a comment.
    let schema: Value = serde_json::from_str(&read("charts/aidp/values.schema.json")).unwrap();
    let text = helm(None, &["show", "values", CHART]).unwrap();
    let known: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
    // `global` is what Helm itself adds for subcharts.
    let silent: Vec<_> = known
        .into_iter()
        .filter(|name| *name != "global" && !text.contains(&format!("\n{name}:")))
        .collect();
    assert_eq!(silent, Vec::<&String>::new());
}

#[test]
fn the_values_explain_every_setting_of_the_operator() {
    let schema: Value = serde_json::from_str(&read("charts/aidp/values.schema.json")).unwrap();
    let text = helm(None, &["show", "values", CHART]).unwrap();
    let config = &schema["properties"]["config"]["properties"];
    let account = &config["accounts"]["items"]["properties"];
    let settings = config
        .as_object()
        .unwrap()
        .keys()
        .chain(account.as_object().unwrap().keys());
    let silent: Vec<_> = settings.filter(|name| !text.contains(&format!(" {name}: "))).collect();
    assert_eq!(silent, Vec::<&String>::new());
}

/// The objects that the chart renders, by kind and name.
fn objects(more: &[&str]) -> Vec<Value> {
    let rendered = render(more).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&rendered);
    let objects = documents.map(|document| serde::Deserialize::deserialize(document).unwrap());
    objects.filter(|object| *object != Value::Null).collect()
}

#[test]
fn everything_bears_the_chosen_name_whatever_the_release_is_called() {
    let names = |release: &str, more: &[&str]| {
        let arguments = [&["template", release, CHART, "--namespace", NAMESPACE][..], more].concat();
        let rendered = helm(None, &arguments).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&rendered);
        let objects = documents.map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
        let names = objects.map(|object| object["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        names
            .filter(|name| name != "aidataprotectionpolicies.aidp.dev")
            .collect::<BTreeSet<_>>()
    };
    let all = |name: &str| {
        ["", "-config", "-test", "-view"]
            .map(|end| format!("{name}{end}"))
            .into()
    };
    assert_eq!(names("aidp", &[]), all("aidp"));
    assert_eq!(names("my-aidp", &[]), all("my-aidp"));
    // ClusterRole "view" belongs to Kubernetes.
    assert_eq!(names("view", &[]), all("view-aidp"));
    assert_eq!(names("view", &["--set", "fullnameOverride=guard"]), all("guard"));
}

#[test]
fn the_pod_of_helm_test_is_none_of_the_operators_pods() {
    let objects = objects(&["--values", FULL]);
    let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let test = &of_kind("Pod")["metadata"]["labels"];
    let pods = &of_kind("Deployment")["spec"]["template"]["metadata"]["labels"];
    let selects = |selector: &Value, labels: &Value| {
        let wanted = selector.as_object().unwrap();
        wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    for selector in [
        &of_kind("Service")["spec"]["selector"],
        &of_kind("Deployment")["spec"]["selector"]["matchLabels"],
        &of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(
            (selects(selector, pods), selects(selector, test)),
            (true, false),
            "{selector}"
        );
    }
    let drawn = |pod: &Value| (pod["imagePullSecrets"].clone(), pod["containers"][0]["image"].clone());
    let operator = &of_kind("Deployment")["spec"]["template"]["spec"];
    assert_eq!(drawn(&of_kind("Pod")["spec"]), drawn(operator));
    assert_eq!(of_kind("Pod")["spec"]["nodeSelector"], operator["nodeSelector"]);
    assert_eq!(of_kind("Pod")["spec"]["tolerations"], operator["tolerations"]);
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project_dir().join(path)).unwrap()
}
