//! One cluster, one account, one operator: what the controller's tests play on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::watcher::Event;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::account::{Account, Accounts};
use super::super::context::{Clock, Context, Guarded, Parts};
use super::super::metrics::ControllerMetrics;
use super::super::on_event;
use super::super::reconcile::reconcile;
use crate::api::AIDataProtectionPolicyStatus;
use crate::aws::{AwsObservation, NotLeader, WriteGuard};
use crate::cluster::KubeMetrics;
use crate::cluster::fake::{Fake, policy_path};
use crate::config::{ClusterFacts, Config, ConfigArgs, NetworkEnforcer};
use crate::domain::action::Action;
use crate::domain::finding::Target;
use crate::domain::fixture;
use crate::domain::iam::simulated::apply_one;
use crate::domain::names::{AccountId, BucketName, Partition, Region, RoleName};
use crate::domain::observed::{
    BucketDetails, BucketObservation, CallError, CallerIdentity, EncryptionRule, EncryptionState, ErrorClass,
    ObjectOwnershipState, PublicAccessBlock, RoleObservation, VersioningState,
};
use crate::domain::policy::ValidatedPolicy;
use crate::domain::report::{ActionResult, holds};

/// A spec whose only enforced control is versioning.
pub(super) fn spec() -> Value {
    json!({
        "mode": "Enforce",
        "account": {"id": "123456789012", "region": "eu-west-1"},
        "bucketControls": {"versioning": {}},
        "buckets": [{"name": "fraud-data"}],
    })
}

/// AWS: buckets that differ in versioning only, and roles.
#[derive(Default)]
pub(super) struct Aws {
    /// Buckets with versioning enabled.
    pub enabled: BTreeMap<String, bool>,
    /// Bucket policies.
    pub policies: BTreeMap<String, String>,
    /// Roles as they are.
    pub roles: BTreeMap<RoleName, RoleObservation>,
    /// Roles as IAM shows them, where it lags behind.
    pub lagging_roles: Option<BTreeMap<RoleName, RoleObservation>>,
    /// Writes, as text.
    pub writes: Vec<String>,
    /// Ages that were asked for.
    pub max_ages: Vec<Duration>,
    /// The account of the credentials.
    pub account: Option<&'static str>,
    /// Everything fails with this class.
    pub fault: Option<ErrorClass>,
    /// Writes come to this and change nothing.
    pub write_result: Option<ActionResult>,
    /// What happens elsewhere while something is written.
    pub on_write: Option<Box<dyn Fn() + Send>>,
}

#[derive(Clone)]
struct FakeAccount {
    aws: Arc<Mutex<Aws>>,
    fake: Fake,
}

impl Accounts for FakeAccount {
    fn account(&self, _: &AccountId, _: &Region) -> Result<Arc<dyn Account>, CallError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Account for FakeAccount {
    fn observe<'a>(&'a self, policy: &'a ValidatedPolicy, max_age: Duration) -> BoxFuture<'a, AwsObservation> {
        let mut aws = self.aws.lock().unwrap();
        aws.max_ages.push(max_age);
        if let Some(class) = aws.fault {
            let error = CallError {
                operation: "GetCallerIdentity",
                class,
                code: None,
                message: "a fault of the test".to_owned(),
            };
            return std::future::ready(AwsObservation::of_caller(Err(error))).boxed();
        }
        let account = aws.account.unwrap_or("123456789012");
        let caller = CallerIdentity {
            account: AccountId::new(account).unwrap(),
            partition: Partition::Aws,
            arn: format!("arn:aws:sts::{account}:assumed-role/aidp/session"),
        };
        let claimed = policy.inventory.buckets.iter().map(|b| b.name.clone());
        let named = policy.buckets.iter().map(|b| b.name.to_string());
        let buckets = claimed
            .chain(named)
            .map(|name| {
                let enabled = aws.enabled.get(&name).copied().unwrap_or_default();
                let policy = aws.policies.get(&name).cloned();
                (BucketName::new(&name).unwrap(), bucket(enabled, policy))
            })
            .collect();
        let shown = aws.lagging_roles.as_ref().unwrap_or(&aws.roles);
        let roles = policy
            .roles
            .iter()
            .map(|role| (role.name.clone(), Ok(shown.get(&role.name).cloned())))
            .collect();
        let observation = AwsObservation {
            buckets,
            roles,
            ..AwsObservation::of_caller(Ok(Some(caller)))
        };
        std::future::ready(observation).boxed()
    }

    fn execute<'a>(&'a self, action: &'a Action, guard: &'a dyn WriteGuard) -> BoxFuture<'a, ActionResult> {
        assert!(guard.permit().is_ok(), "only the leader gets this far");
        let status = |policy: &Value| -> Option<AIDataProtectionPolicyStatus> {
            serde_json::from_value(policy["status"].clone()).ok()
        };
        let target = action.target();
        let claimed = self
            .fake
            .state()
            .objects
            .values()
            .any(|p| holds(status(p).as_ref(), &target));
        assert!(claimed, "{target} is in some inventory before it is written to");
        let mut aws = self.aws.lock().unwrap();
        aws.writes.push(action.to_string());
        if let Some(on_write) = &aws.on_write {
            on_write();
        }
        if let Some(result) = aws.write_result.clone() {
            return std::future::ready(result).boxed();
        }
        match target {
            Target::Bucket(name) => {
                if let Action::PutBucketPolicy { document, .. } = action {
                    aws.policies.insert(name.to_string(), document.clone());
                } else {
                    aws.enabled.insert(name.to_string(), true);
                }
            }
            Target::Role(name) => {
                let before = aws.roles.remove(&name);
                aws.roles.extend(apply_one(before, action).map(|role| (name, role)));
            }
            Target::BucketSelector(_) | Target::Egress { .. } => {}
        }
        std::future::ready(ActionResult::Done).boxed()
    }
}

fn bucket(versioning: bool, policy: Option<String>) -> BucketObservation {
    BucketObservation {
        details: BucketDetails::default(),
        region: Ok(Region::new("eu-west-1").unwrap()),
        encryption: Some(Ok(EncryptionState::Rules(vec![EncryptionRule {
            algorithm: Some("AES256".to_owned()),
            kms_key_id: None,
            bucket_key_enabled: None,
            blocked_encryption_types: None,
        }]))),
        policy: Some(Ok(policy)),
        public_access_block: Some(Ok(Some(PublicAccessBlock {
            block_public_acls: true,
            ignore_public_acls: true,
            block_public_policy: true,
            restrict_public_buckets: true,
        }))),
        object_ownership: Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced))),
        acl: None,
        access_logging: Some(Ok(None)),
        versioning: Some(Ok(if versioning {
            VersioningState::Enabled
        } else {
            VersioningState::Suspended
        })),
    }
}

#[derive(Clone, Default)]
struct Guard {
    refuses: Arc<Mutex<bool>>,
}

impl WriteGuard for Guard {
    fn permit(&self) -> Result<Duration, NotLeader> {
        if *self.refuses.lock().unwrap() {
            Err(NotLeader)
        } else {
            Ok(Duration::from_secs(9))
        }
    }
}

/// The test's world.
pub(super) struct World {
    pub fake: Fake,
    pub aws: Arc<Mutex<Aws>>,
    pub ctx: Arc<Context>,
    registry: Registry,
    writer: Arc<Mutex<Writer<Guarded>>>,
    guard: Guard,
    time: Arc<Mutex<Timestamp>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let fake = Fake::default();
        let aws = Arc::new(Mutex::new(Aws::default()));
        let guard = Guard::default();
        let time = Arc::new(Mutex::new(fixture::now()));
        let (store, writer) = reflector::store();
        let mut config = ConfigArgs::default().load().unwrap();
        config.network_enforcer = NetworkEnforcer::Stated("calico".to_owned());
        change(&mut config);
        let clock: Clock = {
            let time = time.clone();
            Arc::new(move || *time.lock().unwrap())
        };
        let mut registry = Registry::default();
        let metrics = ControllerMetrics::register(&mut registry);
        metrics.leads(true);
        let parts = Parts {
            client: fake.client(),
            accounts: Arc::new(FakeAccount {
                aws: aws.clone(),
                fake: fake.clone(),
            }),
            guard: Arc::new(guard.clone()),
            config,
            facts: ClusterFacts {
                cluster_id: "cluster-one".to_owned(),
                operator_namespace: "aidp-system".to_owned(),
                s3_over_plaintext: false,
            },
            instance: "test".to_owned(),
            kube_metrics: KubeMetrics::register(&mut registry),
            metrics,
            clock,
        };
        Self {
            ctx: Arc::new(Context::new(parts, store, CancellationToken::new())),
            fake,
            aws,
            registry,
            writer: Arc::new(Mutex::new(writer)),
            guard,
            time,
        }
    }

    /// Stores a policy as a user would: the next generation, the status untouched.
    pub fn apply(&mut self, name: &str, spec: Value) {
        self.edit(name, |policy| {
            let generation = policy["metadata"]["generation"].as_i64().unwrap_or_default();
            policy["metadata"]["generation"] = json!(generation + 1);
            policy["spec"] = spec;
        });
    }

    /// Changes a policy in any other way, and lets the watch see it.
    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let path = policy_path(name);
        let created = format!("2026-01-01T00:00:{:02}Z", self.fake.state().objects.len());
        let mut policy = self.fake.get(&path).unwrap_or_else(|| {
            json!({
                "apiVersion": "aidp.dev/v1alpha1", "kind": "AIDataProtectionPolicy",
                "metadata": {"name": name, "uid": format!("uid-of-{name}"), "creationTimestamp": created},
                "status": {"observedGeneration": -1},
            })
        });
        edit(&mut policy);
        self.fake.put(&path, policy);
        self.sync();
    }

    /// The watch catches up.
    pub fn sync(&mut self) {
        let mut writer = self.writer.lock().unwrap();
        writer.apply_watcher_event(&Event::Init);
        let objects = self.fake.state().objects.clone();
        for (path, object) in objects {
            if path.contains("aidataprotectionpolicies") {
                let guarded: Guarded = serde_json::from_value(object).unwrap();
                writer.apply_watcher_event(&Event::InitApply(guarded));
            }
        }
        writer.apply_watcher_event(&Event::InitDone);
    }

    /// Changes a policy, and lets the watch see it, whenever it is called.
    pub fn shows(&self, name: &str, change: fn(&mut Value)) -> Box<dyn Fn() + Send> {
        let (fake, writer, path) = (self.fake.clone(), self.writer.clone(), policy_path(name));
        Box::new(move || {
            let mut policy = fake.get(&path).unwrap();
            change(&mut policy);
            fake.put(&path, policy.clone());
            let guarded: Guarded = serde_json::from_value(policy).unwrap();
            writer.lock().unwrap().apply_watcher_event(&Event::Apply(guarded));
        })
    }

    /// Deletes a policy, and lets the watch see it, whenever it is called.
    pub fn deletes(&self, name: &str) -> Box<dyn Fn() + Send> {
        let (fake, writer, path) = (self.fake.clone(), self.writer.clone(), policy_path(name));
        let ctx = self.ctx.clone();
        Box::new(move || {
            let policy = fake.state().objects.remove(&path).unwrap();
            let gone = Event::Delete(serde_json::from_value(policy).unwrap());
            writer.lock().unwrap().apply_watcher_event(&gone);
            on_event(&ctx, &gone);
        })
    }

    /// Reconciles as the watch would have it; returns what the next pass waits for, in seconds (None: for a change).
    pub async fn reconcile(&mut self, name: &str) -> Option<u64> {
        self.sync();
        let object = self
            .ctx
            .store
            .get(&reflector::ObjectRef::new(name))
            .expect("the watch knows the policy");
        let Ok(action) = reconcile(object, self.ctx.clone()).await;
        self.sync();
        // The one thing an `Action` shows of itself.
        let text = format!("{action:?}");
        let inner = text
            .split_once("Some(")
            .map(|(_, rest)| rest.trim_end_matches([')', ' ', '}']))?;
        let seconds: f64 = if let Some(ms) = inner.strip_suffix("ms") {
            ms.parse::<f64>().unwrap() / 1000.0
        } else {
            inner.trim_end_matches('s').parse().unwrap_or_default()
        };
        Some(Duration::from_secs_f64(seconds.round()).as_secs())
    }

    /// Time passes, on both clocks.
    pub async fn pass(&self, time: Duration) {
        let passed = {
            let mut now = self.time.lock().unwrap();
            *now = now.checked_add(time).unwrap();
            time
        };
        tokio::time::advance(passed).await;
    }

    /// Somebody sets the clock back; the monotonic time goes on.
    pub fn set_back(&self, time: Duration) {
        let mut now = self.time.lock().unwrap();
        *now = now.checked_sub(time).unwrap();
    }

    pub fn lose_leadership(&self) {
        *self.guard.refuses.lock().unwrap() = true;
    }

    pub fn aws(&self) -> std::sync::MutexGuard<'_, Aws> {
        self.aws.lock().unwrap()
    }

    /// The writes to AWS since the last call.
    pub fn take_aws_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.aws().writes)
    }

    /// The line of a series, as it is scraped; None if it is not there.
    pub fn series(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .find(|line| line.starts_with(&format!("{name}{{")))
            .map(ToOwned::to_owned)
    }

    /// `Ready` of a policy: status and reason.
    pub fn ready(&self, name: &str) -> (String, String) {
        let policy = self.fake.get(&policy_path(name)).expect("the policy");
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|c| c["type"] == "Ready").expect("Ready");
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        (text("status"), text("reason"))
    }

    pub fn status(&self, name: &str) -> Value {
        self.fake.get(&policy_path(name)).expect("the policy")["status"].clone()
    }

    pub fn finalizers(&self, name: &str) -> Value {
        let policy = self.fake.get(&policy_path(name)).expect("the policy");
        policy["metadata"]["finalizers"].clone()
    }
}
