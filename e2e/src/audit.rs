//! What the operator asked of the API server, from the server's own audit log.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plane::{NAMESPACE, SERVICE_ACCOUNT};
use crate::{Error, Result};

/// One request of the operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Resource in the plural, with subresource: `aidataprotectionpolicies/status`. Empty for discovery.
    pub resource: String,
    /// Object, where the request named one.
    pub name: String,
    /// Namespace, where it named one.
    pub namespace: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Whether the authorizer let it through. A 403 may also come from admission, which is no question of rights.
    pub authorized: bool,
}

impl Request {
    /// Whether it changes something. Leases are the operator's heartbeat and not counted as writes.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && self.resource != "leases"
    }
}

/// Reads the log from a mark on.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
    from: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    stage: String,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    subresource: String,
    api_group: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Audit {
    /// From the end of the log as it is now.
    ///
    /// # Errors
    /// When there is no log.
    pub fn from_now(path: PathBuf) -> Result<Self> {
        let from = std::fs::metadata(&path)
            .map_err(|error| Error::from(format!("no audit log {}: {error}", path.display())))?
            .len();
        Ok(Self { path, from })
    }

    /// The operator's finished requests since the mark, in the order in which they ended.
    ///
    /// # Errors
    /// When the log can't be read or is not what the API server writes.
    pub fn requests(&self) -> Result<Vec<Request>> {
        self.read(|stage| stage == "ResponseComplete")
    }

    /// The operator's requests since the mark, watches that still run included; the same one may come twice.
    ///
    /// # Errors
    /// As [`Audit::requests`].
    pub fn begun(&self) -> Result<Vec<Request>> {
        self.read(|_| true)
    }

    fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Request>> {
        let operator = format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}");
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut requests = Vec::new();
        // The last line may be half written; the ones before it may not.
        let complete = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        for line in complete.lines() {
            let Line {
                stage,
                verb,
                user,
                object_ref,
                response_status,
                annotations,
            } = serde_json::from_str(line)?;
            if user.username != operator || !wanted(&stage) {
                continue;
            }
            let Object {
                resource,
                subresource,
                api_group,
                namespace,
                name,
            } = object_ref.unwrap_or_default();
            let resource = if subresource.is_empty() {
                resource
            } else {
                format!("{resource}/{subresource}")
            };
            let status = response_status.map_or(0, |status| status.code);
            requests.push(Request {
                verb,
                group: api_group,
                resource,
                name,
                namespace,
                status,
                authorized: annotations.get("authorization.k8s.io/decision").map(String::as_str) != Some("forbid"),
            });
        }
        Ok(requests)
    }

    /// The operator's writes since the mark, counted by `verb resource`.
    ///
    /// # Errors
    /// As [`Audit::requests`].
    pub fn writes(&self) -> Result<BTreeMap<String, usize>> {
        let mut writes = BTreeMap::new();
        for request in self.requests()?.into_iter().filter(Request::is_write) {
            *writes
                .entry(format!("{} {}", request.verb, request.resource))
                .or_default() += 1;
        }
        Ok(writes)
    }
}
