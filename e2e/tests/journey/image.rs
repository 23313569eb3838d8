//! The image: what the Dockerfile says, what the node tests run, what the chart and the package say of it, are one.

use std::process::Command;

use aidp_e2e::process::project_dir;
use serde_json::{Value, json};

use crate::chart::render;

fn read(path: &str) -> String {
    std::fs::read_to_string(project_dir().join(path)).unwrap()
}

/// The configuration of the image that the node tests' script makes around some file as `aidp`.
fn configuration() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root/usr/bin");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::copy("/bin/true", root.join("aidp")).unwrap();
    let archive = folder.path().join("aidp.tar");
    let made = Command::new("python3")
        .arg(project_dir().join("e2e/node/mkimage.py"))
        .args(["registry.local/aidp:e2e".as_ref(), archive.as_os_str()])
        .arg(folder.path().join("root"))
        .env("IMAGE_DOCKERFILE", project_dir().join("Dockerfile"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .status();
    assert!(unpacked.unwrap().success());
    let json = |path: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.path().join(path)).unwrap()).unwrap()
    };
    let manifest = json("manifest.json");
    json(manifest[0]["Config"].as_str().unwrap())["config"].clone()
}

/// What `cargo metadata` knows of the package.
fn package() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(project_dir())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .find(|package| package["name"] == "aidp")
        .unwrap()
        .clone()
}

#[test]
fn the_image_has_user_entry_point_and_labels_of_the_dockerfile_the_chart_and_the_package() {
    let package = package();
    let chart: Value = serde_yaml::from_str(&read("charts/aidp/Chart.yaml")).unwrap();
    let repository = package["repository"].as_str().unwrap();
    assert_eq!(
        (&chart["home"], &chart["appVersion"]),
        (&package["repository"], &package["version"])
    );
    assert_eq!(
        configuration(),
        json!({
            "Entrypoint": ["/usr/bin/aidp"],
            "Env": ["PATH=/usr/bin:/bin"],
            // Numeric, or `runAsNonRoot` could not be judged.
            "User": "65532:65532",
            "Labels": {
                "org.opencontainers.image.title": package["name"],
                "org.opencontainers.image.description": chart["description"],
                "org.opencontainers.image.licenses": package["license"],
                "org.opencontainers.image.source": repository,
                "org.opencontainers.image.documentation": format!("{repository}/blob/main/README.md"),
                "org.opencontainers.image.base.name": "gcr.io/distroless/cc-debian12:nonroot",
                "org.opencontainers.image.version": "dev",
                "org.opencontainers.image.revision": "unknown",
            },
        })
    );
    let rendered = render(&["--show-only", "templates/deployment.yaml"]).unwrap();
    let deployment: Value = serde_yaml::from_str(&rendered).unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let (user, group) = (
        &pod["securityContext"]["runAsUser"],
        &pod["securityContext"]["runAsGroup"],
    );
    assert_eq!(format!("{user}:{group}"), "65532:65532");
    // The chart adds arguments to the image's entry point.
    assert_eq!(
        (&pod["containers"][0]["command"], &pod["containers"][0]["args"][0]),
        (&Value::Null, &json!("run"))
    );
}

#[test]
fn the_dockerfile_builds_the_packages_binary_with_its_compiler_and_puts_it_where_it_is_started() {
    let package = package();
    let dockerfile = read("Dockerfile");
    let version = package["rust_version"].as_str().unwrap();
    let lines = [
        format!("FROM rust:{version}-bookworm AS build"),
        "FROM gcr.io/distroless/cc-debian12:nonroot".to_owned(),
        "COPY --from=build /aidp /usr/bin/aidp".to_owned(),
        r#"ENTRYPOINT ["/usr/bin/aidp"]"#.to_owned(),
        // The SBOM: the dependencies, in the binary itself.
        "    cargo auditable build --release --locked --bin aidp && cp target/release/aidp /aidp".to_owned(),
    ];
    let missing: Vec<_> = lines
        .iter()
        .filter(|line| !dockerfile.lines().any(|l| l == **line))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
    let targets = package["targets"].as_array().unwrap();
    assert!(
        targets
            .iter()
            .any(|target| target["name"] == "aidp" && target["kind"] == json!(["bin"]))
    );
}
