//! Finds and reads the files, within bounds.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::domain::egress::manifest::{Manifests, Problem};

/// Bytes of one file.
const MAX_FILE: u64 = 64 << 20;
/// Files of one run.
const MAX_FILES: usize = 50_000;
/// Directories within directories.
const MAX_DEPTH: usize = 64;

/// Reads all manifests; `namespace` is that of objects that name none.
///
/// # Errors
/// Every problem of every input.
pub(super) fn read(inputs: &[PathBuf], namespace: &str) -> Result<Manifests, Vec<Problem>> {
    let mut manifests = Manifests::for_namespace(namespace);
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for input in inputs {
        if input.as_os_str() == "-" {
            files.push(input.clone());
        } else if let Err(problem) = find(input, 0, true, &mut files) {
            problems.push(problem);
        }
    }
    if files.len() > MAX_FILES {
        problems.push(about(Path::new("input"), format!("more than {MAX_FILES} files")));
        files.clear();
    }
    for file in &files {
        match text(file) {
            Ok(text) => manifests.read(&file.display().to_string(), &text),
            Err(e) => problems.push(about(file, e.to_string())),
        }
    }
    manifests.finish();
    problems.append(&mut manifests.problems);
    if problems.is_empty() && manifests.objects == 0 {
        let input = inputs
            .iter()
            .map(|i| i.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        problems.push(about(Path::new(&input), "no Kubernetes object found".to_owned()));
    }
    if problems.is_empty() {
        Ok(manifests)
    } else {
        Err(problems)
    }
}

fn about(path: &Path, problem: String) -> Problem {
    Problem::of_file(&path.display().to_string(), problem)
}

/// Adds a file, or the manifests of a directory in the order of their names. Directories are not entered through links, so
/// there are no circles; hidden ones (such as .git) are not entered at all.
fn find(path: &Path, depth: usize, named: bool, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let failed = |e: io::Error| about(path, e.to_string());
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Err(about(
            path,
            format!("directories are nested more than {MAX_DEPTH} deep"),
        ));
    }
    if !named && fs::symlink_metadata(path).map_err(failed)?.is_symlink() {
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(path)
        .map_err(failed)?
        .map(|e| e.map(|e| e.path()))
        .collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        let hidden = name.starts_with('.');
        // A link to nowhere is a manifest that is missing; hidden ones are the locks of editors.
        let missing = !hidden && fs::metadata(&entry).is_err();
        let directory = !hidden && entry.is_dir();
        if files.len() <= MAX_FILES && (directory || (manifest && (missing || entry.is_file()))) {
            find(&entry, depth + 1, false, files)?;
        }
    }
    Ok(())
}

/// The text of a file, or of standard input.
pub(super) fn text(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|n| n > MAX_FILE) {
        return Err(io::Error::other(format!("larger than {} MiB", MAX_FILE >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8 text"))?;
    // A byte order mark, as some editors write it, is no content.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
