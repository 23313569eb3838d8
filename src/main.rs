//! The `aidp` binary.

fn main() {
    if let Ok(crd) = aidp::api::crd() {
        println!("{}", serde_yaml::to_string(&crd).unwrap_or_default());
    }
}
