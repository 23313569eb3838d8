//! A fake API server for tests: objects by path, resourceVersions, server-side apply as far as one writer needs it, and
//! faults on demand. What a test did not foresee panics.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

/// A request that writes, as `VERB path`.
pub(crate) type Write = String;

/// Decides whether a request fails: code, reason, message.
type Fault = Box<dyn Fn(&Method, &str, &Value) -> Option<(u16, &'static str, &'static str)> + Send>;

/// The server. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub objects: BTreeMap<String, Value>,
    /// Requests that write, in order; events apart.
    pub writes: Vec<Write>,
    /// Requests that read.
    pub reads: usize,
    /// Events published, by reason.
    pub events: Vec<String>,
    version: u64,
    fault: Option<Fault>,
}

/// Path of a policy.
pub(crate) fn policy_path(name: &str) -> String {
    format!("/apis/aidp.dev/v1alpha1/aidataprotectionpolicies/{name}")
}

/// Path of a namespace.
pub(crate) fn namespace_path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

/// Path of a NetworkPolicy.
pub(crate) fn network_policy_path(namespace: &str, name: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}")
}

impl Fake {
    /// A client of this server.
    pub fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// What the server holds and saw.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stores an object as somebody else would.
    pub fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state();
        let version = state.next_version();
        object["metadata"]["resourceVersion"] = json!(version);
        state.objects.insert(path.to_owned(), object);
    }

    /// The object at a path.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// Makes requests fail.
    pub fn fail(
        &self,
        fault: impl Fn(&Method, &str, &Value) -> Option<(u16, &'static str, &'static str)> + Send + 'static,
    ) {
        self.state().fault = Some(Box::new(fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// The writes seen since the last call.
    pub fn take_writes(&self) -> Vec<Write> {
        std::mem::take(&mut self.state().writes)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let content = parts.headers.get("content-type").and_then(|v| v.to_str().ok());
        let apply = content.is_some_and(|c| c.contains("apply-patch"));
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut state = self.state();
        let fault = state.fault.as_ref().and_then(|f| f(&parts.method, &path, &body));
        let (code, answer) = match fault {
            Some((code, reason, message)) => failure(code, reason, message),
            None => state.serve(&parts.method, &path, &query, body, apply),
        };
        Response::builder()
            .status(code)
            .body(Body::from(serde_json::to_vec(&answer).unwrap()))
            .unwrap()
    }
}

impl State {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn serve(&mut self, method: &Method, path: &str, query: &str, body: Value, apply: bool) -> (u16, Value) {
        match *method {
            Method::GET => {
                self.reads += 1;
                match self.objects.get(path) {
                    Some(object) => (200, object.clone()),
                    None if is_list(path) => (200, self.list(path, query)),
                    None => failure(404, "NotFound", "not found"),
                }
            }
            Method::POST if path.ends_with("/events") => {
                self.events.push(body["reason"].as_str().unwrap_or_default().to_owned());
                (201, body)
            }
            Method::PATCH if path.contains("/events/") => (200, body),
            Method::PATCH => {
                self.writes.push(format!("PATCH {path}"));
                self.patch(path, &body, apply)
            }
            Method::DELETE => {
                self.writes.push(format!("DELETE {path}"));
                let Some(object) = self.objects.get(path) else {
                    return failure(404, "NotFound", "not found");
                };
                let wanted = &body["preconditions"]["uid"];
                if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
                    return failure(409, "Conflict", "the uid differs");
                }
                self.objects.remove(path);
                (
                    200,
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
                )
            }
            ref method => panic!("unexpected {method} {path}"),
        }
    }

    fn list(&self, path: &str, query: &str) -> Value {
        let mut labels: Vec<(String, String)> = Vec::new();
        let mut other_phases: Vec<String> = Vec::new();
        let (mut limit, mut start) = (usize::MAX, 0);
        for (key, value) in form(query) {
            let mut terms = value.split(',');
            match key.as_str() {
                "labelSelector" => {
                    let term = |term: &str| {
                        let (key, value) = term.split_once('=').expect("an equality");
                        (key.to_owned(), value.to_owned())
                    };
                    labels = terms.map(term).collect();
                }
                "fieldSelector" => {
                    let phase = |term: &str| term.strip_prefix("status.phase!=").expect("a phase").to_owned();
                    other_phases = terms.by_ref().map(phase).collect();
                }
                "limit" => limit = value.parse().unwrap(),
                "continue" => start = value.parse().unwrap(),
                _ => {}
            }
        }
        let phase = |object: &Value| object["status"]["phase"].as_str().map(str::to_owned);
        let of_phase = |object: &Value| phase(object).is_none_or(|phase| !other_phases.contains(&phase));
        // A list over all namespaces has no namespace in its path.
        let plural = path.rsplit('/').next().unwrap();
        let within = |candidate: &str| {
            let parent = candidate.rsplit_once('/').unwrap().0;
            parent == path || (!path.contains("/namespaces/") && parent.ends_with(&format!("/{plural}")))
        };
        let labelled = |object: &Value| {
            labels
                .iter()
                .all(|(k, v)| object["metadata"]["labels"].get(k).and_then(Value::as_str) == Some(v.as_str()))
        };
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(candidate, object)| within(candidate) && labelled(object) && of_phase(object))
            .map(|(_, object)| object)
            .collect();
        let page: Vec<&Value> = items.iter().copied().skip(start).take(limit).collect();
        let next = start + page.len();
        let metadata = if next < items.len() {
            json!({"continue": next.to_string()})
        } else {
            json!({})
        };
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page})
    }

    fn patch(&mut self, path: &str, body: &Value, apply: bool) -> (u16, Value) {
        let (at, status) = match path.strip_suffix("/status") {
            Some(at) => (at, true),
            None => (path, false),
        };
        let version = self.next_version();
        let stored = self.objects.get(at).cloned();
        let mut object = match stored {
            Some(object) => object,
            None if apply && !status => {
                json!({"metadata": {"uid": format!("uid-{version}")}})
            }
            None => return failure(404, "NotFound", "not found"),
        };
        let expected = &body["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
            return failure(409, "Conflict", "the object has been modified");
        }
        if status {
            object["status"] = body["status"].clone();
        } else {
            merge(&mut object, body);
        }
        object["metadata"]["resourceVersion"] = json!(version);
        self.objects.insert(at.to_owned(), object.clone());
        (200, object)
    }
}

fn is_list(path: &str) -> bool {
    [
        "/namespaces",
        "/networkpolicies",
        "/aidataprotectionpolicies",
        "/daemonsets",
        "/serviceaccounts",
        "/pods",
        "/adminnetworkpolicies",
        "/clusternetworkpolicies",
        "/ciliumnetworkpolicies",
        "/ciliumclusterwidenetworkpolicies",
    ]
    .iter()
    .any(|plural| path.ends_with(plural))
}

/// RFC 7386. An apply merges the same way as long as there is one manager for each list.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn form(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (decode(k), decode(v)))
        .collect()
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code});
    (code, status)
}
