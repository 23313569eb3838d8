//! What a test's operators asked of the API server and of AWS, kept for the comparison with the rights they are given
//! (`tests/rights`): in `target/e2e/rights/<test>.json`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Result;
use crate::audit::Request;
use crate::process::project_dir;
use crate::proxy::Call;

/// A call to AWS, without what differs from time to time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AwsCall {
    /// Signing name: `s3`, `iam`.
    pub service: String,
    /// API operation.
    pub operation: String,
    /// Bucket, role name, ARN, key id; none for calls on no one resource.
    pub resource: Option<String>,
}

/// Path of the roles that tests let an operator take over: it shows in no call, and rights are for ARNs.
pub const ADOPTED_PATH: &str = "/team/";

/// One test.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// Name of the test.
    pub test: String,
    /// What was asked of the API server; empty on a cluster without an audit log to read.
    pub requests: BTreeSet<Request>,
    /// What was asked of AWS.
    pub calls: BTreeSet<AwsCall>,
    /// Every policy that was applied, in every version that was seen.
    pub policies: Vec<Value>,
    /// The configuration files of the operators that had one.
    pub configurations: Vec<Value>,
    /// Whether refusals of the API server are no sign of a missing right, see [`Lease::refuses`](crate::plane::Lease::refuses).
    pub refuses: bool,
    /// Access keys of the operators; what others signed is not theirs.
    #[serde(skip)]
    pub keys: BTreeSet<String>,
}

impl Record {
    /// The permissions boundary of the roles, or of this one: what the operators were configured with, else the policy's own.
    #[must_use]
    pub fn boundary(&self, role: Option<&str>) -> Option<String> {
        let accounts = self.configurations.iter().filter_map(|c| c.get("accounts")?.as_array());
        let configured = accounts
            .flatten()
            .find_map(|account| account.get("roleBoundaryARN")?.as_str());
        let mut own = self.roles().filter(|r| r.get("name").and_then(Value::as_str) == role);
        let own = own.find_map(|r| r.get("permissionsBoundaryARN")?.as_str());
        configured.or(own).map(str::to_owned)
    }

    /// The training roles of every policy.
    fn roles(&self) -> impl Iterator<Item = &Value> {
        let roles = self
            .policies
            .iter()
            .filter_map(|p| p.pointer("/spec/trainingRoles")?.as_array());
        roles.flatten()
    }

    /// Names of the roles that the policies may take over.
    #[must_use]
    pub fn adopted(&self) -> BTreeSet<&str> {
        let is_tagged = |role: &&Value| role.get("adoption").is_some_and(|a| a == "Tagged");
        let tagged = self.roles().filter(is_tagged);
        tagged.filter_map(|role| role.get("name")?.as_str()).collect()
    }

    /// Adds a policy, or those of a List, unless it is known: name and spec count.
    pub fn policy(&mut self, object: &Value) {
        for item in object["items"].as_array().into_iter().flatten() {
            self.policy(item);
        }
        let part = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
        if part("/kind") != "AIDataProtectionPolicy" {
            return;
        }
        let policy = json!({
            "apiVersion": part("/apiVersion"), "kind": part("/kind"),
            "metadata": {"name": part("/metadata/name")}, "spec": part("/spec"),
        });
        if !self.policies.contains(&policy) {
            self.policies.push(policy);
        }
    }

    /// Adds the calls that the operators signed.
    pub fn calls(&mut self, calls: &[Call]) {
        for operation in calls.iter().map(|call| &call.operation) {
            if operation.access_key.as_ref().is_some_and(|key| self.keys.contains(key)) {
                self.calls.insert(AwsCall {
                    service: operation.service.clone(),
                    operation: operation.operation.clone(),
                    resource: operation.resource.clone(),
                });
            }
        }
    }

    /// Writes it where the comparison finds it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self) -> Result<()> {
        let folder = folder();
        std::fs::create_dir_all(&folder)?;
        let name = self.test.replace("::", "-");
        Ok(std::fs::write(
            folder.join(format!("{name}.json")),
            serde_json::to_string_pretty(self)?,
        )?)
    }

    /// The records of the last run of the journey, by name.
    ///
    /// # Errors
    /// When there is none, or one can't be read.
    pub fn all() -> Result<Vec<Self>> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(folder()).map_err(|error| format!("no records of a journey: {error}"))? {
            records.push(serde_json::from_slice::<Self>(&std::fs::read(entry?.path())?)?);
        }
        records.sort_by(|a, b| a.test.cmp(&b.test));
        Ok(records)
    }
}

fn folder() -> PathBuf {
    project_dir().join("target/e2e/rights")
}
