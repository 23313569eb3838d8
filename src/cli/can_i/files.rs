//! Policy files: JSON documents, read whole or not at all.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::domain::document::{MAX_BYTES, PolicyDocument, PolicyKind};
use crate::domain::iam::compiled::Policy;

/// Reads a file with one document, plain or percent-encoded as IAM answers with it.
pub(super) fn policy(kind: PolicyKind, path: &Path) -> Result<Policy, String> {
    let document = PolicyDocument::parse_encoded(&text(path)?).map_err(|e| problem(path, e))?;
    compiled(kind, &path.display().to_string(), &document)
}

/// Reads a file with one document or an array of them.
pub(super) fn policies(kind: PolicyKind, path: &Path) -> Result<Vec<Policy>, String> {
    let documents = PolicyDocument::parse_many(&text(path)?).map_err(|e| problem(path, e))?;
    let name = |i: usize| match documents.len() {
        1 => path.display().to_string(),
        _ => format!("{}[{i}]", path.display()),
    };
    documents
        .iter()
        .enumerate()
        .map(|(i, document)| compiled(kind, &name(i), document))
        .collect()
}

fn compiled(kind: PolicyKind, name: &str, document: &PolicyDocument) -> Result<Policy, String> {
    document.check(kind).map_err(|e| format!("{name}: {e}"))?;
    Policy::new(kind, name, document).map_err(|e| format!("{name}: {e}"))
}

/// The file as text; no more of it is read than a policy can have.
fn text(path: &Path) -> Result<String, String> {
    let limit = MAX_BYTES as u64 + 1;
    let mut text = String::new();
    let file = File::open(path).map_err(|e| problem(path, e))?;
    file.take(limit)
        .read_to_string(&mut text)
        .map_err(|e| problem(path, e))?;
    // AWS takes none (RFC 8259, section 8.1: "MUST NOT add a byte order mark").
    if text.starts_with('\u{feff}') {
        return Err(problem(
            path,
            "starts with a byte order mark; save it as UTF-8 without one",
        ));
    }
    Ok(text)
}

fn problem(path: &Path, problem: impl Display) -> String {
    format!("{}: {problem}", path.display())
}
