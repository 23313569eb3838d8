//! What a policy asks of a bucket policy: one demand a rule, with the statement that would meet it.

use std::collections::BTreeSet;

use crate::api::{CustomerKeys, DeletionPolicy, EncryptionAlgorithm, Gating, TLSVersion, Uploads};
use crate::domain::control::Control;
use crate::domain::document::{PolicyDocument, Statement};
use crate::domain::finding::{Disposition, Finding, Target};
use crate::domain::names::{BucketName, Region, RoleName};
use crate::domain::policy::{BucketTarget, ValidatedPolicy, WantEncryption};

use super::encryption::DefaultKey;
use super::enforced;
use super::key;
use super::sid::{self, Rule};
use super::statement;

/// One rule that the policy asks for.
pub(super) struct Demand {
    pub(super) gating: Gating,
    pub(super) rule: Rule,
    pub(super) sid: String,
    pub(super) statement: Statement,
    kind: Kind,
}

/// What meets a demand besides our own statement.
enum Kind {
    TlsOnly,
    MinimumTls(TLSVersion),
    RoleWrites(Vec<String>),
    /// Statements that refuse all that ours does.
    Uploads,
}

/// All demands on one bucket.
pub(super) struct Demands {
    /// In order of importance, most important first.
    pub(super) list: Vec<Demand>,
    /// The Sids that this policy is in charge of: one of them without a demand is a leftover of ours.
    pub(super) managed: BTreeSet<String>,
    /// The statement against other keys has to wait until the bucket's default key is switched.
    pub(super) key_rule_waits: bool,
}

/// The control that a rule belongs to.
pub(super) const fn control(rule: Rule) -> Control {
    match rule {
        Rule::DenyInsecureTransport => Control::S3TlsOnly,
        Rule::DenyOldTls => Control::S3MinimumTlsVersion,
        Rule::DenyWrongSseAlgorithm | Rule::DenyWrongKmsKey | Rule::DenyKmsWithoutKeyId | Rule::DenySseC => {
            Control::S3UploadEncryption
        }
        Rule::DenyRoleWrites => Control::S3RoleWriteDeny,
    }
}

/// Where a finding about a rule points.
pub(super) fn path(rule: Rule) -> String {
    format!("bucketPolicy.{}", sid::plain(rule))
}

impl Demand {
    /// Whether `statements` meet the demand, whoever's they are.
    pub(super) fn enforced_by<'a>(
        &self,
        statements: impl IntoIterator<Item = &'a Statement> + Clone,
        bucket_arn: &str,
    ) -> bool {
        match &self.kind {
            Kind::TlsOnly => enforced::tls_only(statements, bucket_arn),
            Kind::MinimumTls(minimum) => enforced::minimum_tls(&statements, bucket_arn, *minimum),
            Kind::RoleWrites(arns) => arns
                .iter()
                .all(|arn| enforced::role_writes_denied(statements.clone(), bucket_arn, arn)),
            Kind::Uploads => enforced::refused_like(statements, bucket_arn, &self.statement),
        }
    }

    pub(super) fn finding(
        &self,
        bucket: &BucketName,
        disposition: Disposition,
        have: String,
        message: String,
    ) -> Finding {
        let target = Target::Bucket(bucket.clone());
        Finding::new(control(self.rule), target, self.gating, disposition)
            .diff(path(self.rule), self.want(), have)
            .message(message)
    }

    fn want(&self) -> &'static str {
        match (self.rule, &self.kind) {
            (Rule::DenyInsecureTransport, _) => "requests without TLS are denied",
            (Rule::DenyOldTls, Kind::MinimumTls(TLSVersion::V13)) => "TLS below 1.3 is denied",
            (Rule::DenyOldTls, _) => "TLS below 1.2 is denied",
            (Rule::DenyWrongSseAlgorithm, _) => "uploads with a weaker algorithm are denied",
            (Rule::DenyWrongKmsKey, _) => "uploads with another KMS key are denied",
            (Rule::DenyKmsWithoutKeyId, _) => "uploads with KMS and without a key id are denied",
            (Rule::DenySseC, _) => "uploads with keys of the client's own are denied",
            (Rule::DenyRoleWrites, _) => "everything but reading is denied to the training roles",
        }
    }

    pub(super) fn repair_message(&self) -> String {
        let sid = &self.sid;
        match self.rule {
            Rule::DenyInsecureTransport => {
                format!("the bucket answers requests without TLS; statement {sid} denies them")
            }
            Rule::DenyOldTls => {
                format!("the bucket answers requests with an old TLS version; statement {sid} denies them")
            }
            Rule::DenyWrongSseAlgorithm | Rule::DenyWrongKmsKey | Rule::DenyKmsWithoutKeyId | Rule::DenySseC => {
                format!("an upload may choose encryption of its own; statement {sid} denies what is weaker")
            }
            Rule::DenyRoleWrites => {
                format!("only IAM keeps the training roles from writing; statement {sid} makes the bucket refuse it")
            }
        }
    }
}

/// What the policy asks of the bucket's policy. `default_key` is the bucket's default encryption key as it is now;
/// `current` is the bucket policy, if it can be read.
pub(super) fn demands(
    policy: &ValidatedPolicy,
    target: &BucketTarget,
    region: &Region,
    default_key: &DefaultKey,
    current: Option<&PolicyDocument>,
) -> Demands {
    let bucket_arn = region.partition().bucket_arn(&target.name);
    let sid = |rule: Rule| rule.sid(&policy.settings.cluster_hash, &policy.name);
    let demand = |gating, rule, statement: &dyn Fn(&str) -> Statement, kind| {
        let sid = sid(rule);
        let statement = statement(&sid);
        Demand {
            gating,
            rule,
            sid,
            statement,
            kind,
        }
    };
    let mut list = Vec::new();
    let mut managed = BTreeSet::from([sid(Rule::DenyRoleWrites)]);
    if let Some(transport) = &target.transport {
        let (gating, minimum) = (transport.gating, transport.want);
        let tls = |sid: &str| statement::deny_insecure_transport(sid, &bucket_arn);
        list.push(demand(gating, Rule::DenyInsecureTransport, &tls, Kind::TlsOnly));
        let old = |sid: &str| statement::deny_old_tls(sid, &bucket_arn, minimum);
        list.push(demand(gating, Rule::DenyOldTls, &old, Kind::MinimumTls(minimum)));
    }
    let mut key_rule_waits = false;
    if let Some(encryption) = &target.encryption {
        let (gating, want) = (encryption.gating, &encryption.want);
        let own_key_rule = current
            .into_iter()
            .flat_map(|c| &c.statements)
            .find(|s| s.sid.as_deref() == Some(&sid(Rule::DenyWrongKmsKey)));
        let keys = match current {
            Some(_) => allowed_keys(want, region, default_key, own_key_rule),
            // Only to say that this demand, too, can't be judged.
            None => AllowedKeys::These(want.key_for(region).map(str::to_owned).into_iter().collect()),
        };
        key_rule_waits = keys == AllowedKeys::Wait
            && own_key_rule.is_none()
            && gating == Gating::Gating
            && upload_rules(want).contains(&Rule::DenyWrongKmsKey);
        for rule in upload_rules(want) {
            let statement = |sid: &str| match (rule, &keys) {
                (Rule::DenyWrongSseAlgorithm, _) => {
                    Some(statement::deny_wrong_sse_algorithm(sid, &bucket_arn, want.algorithm))
                }
                (Rule::DenyWrongKmsKey, AllowedKeys::These(keys)) => {
                    Some(statement::deny_wrong_kms_key(sid, &bucket_arn, keys))
                }
                (Rule::DenyKmsWithoutKeyId, _) => Some(statement::deny_kms_without_key_id(sid, &bucket_arn)),
                (Rule::DenySseC, _) => Some(statement::deny_sse_c(sid, &bucket_arn)),
                (Rule::DenyWrongKmsKey | Rule::DenyInsecureTransport | Rule::DenyOldTls | Rule::DenyRoleWrites, _) => {
                    None
                }
            };
            let sid = sid(rule);
            if let Some(statement) = statement(&sid) {
                list.push(Demand {
                    gating,
                    rule,
                    sid,
                    statement,
                    kind: Kind::Uploads,
                });
            }
        }
        if gating == Gating::Gating {
            managed.extend(UPLOAD_RULES.map(sid));
            if upload_rules(want).contains(&Rule::DenyWrongKmsKey) && keys == AllowedKeys::Wait {
                managed.remove(&sid(Rule::DenyWrongKmsKey));
            }
        }
    }
    managed.extend(
        list.iter()
            .filter(|d| d.gating == Gating::Gating)
            .map(|d| d.sid.clone()),
    );
    let arns = role_arns(policy);
    if !arns.is_empty() {
        let roles = |sid: &str| statement::deny_role_writes(sid, &bucket_arn, &arns);
        list.push(demand(
            Gating::Gating,
            Rule::DenyRoleWrites,
            &roles,
            Kind::RoleWrites(arns.clone()),
        ));
    }
    Demands {
        list,
        managed,
        key_rule_waits,
    }
}

const UPLOAD_RULES: [Rule; 4] = [
    Rule::DenyWrongSseAlgorithm,
    Rule::DenyWrongKmsKey,
    Rule::DenyKmsWithoutKeyId,
    Rule::DenySseC,
];

/// The statements that `uploads` stands for.
fn upload_rules(want: &WantEncryption) -> Vec<Rule> {
    let kms = want.algorithm != EncryptionAlgorithm::SseS3;
    let rejects = want.uploads != Uploads::Allow;
    UPLOAD_RULES
        .into_iter()
        .filter(|rule| match rule {
            Rule::DenyWrongSseAlgorithm => rejects,
            Rule::DenyWrongKmsKey => rejects && kms,
            Rule::DenyKmsWithoutKeyId => want.uploads == Uploads::RequireKey && kms,
            Rule::DenySseC => rejects && want.customer_keys != Some(CustomerKeys::Allow),
            Rule::DenyInsecureTransport | Rule::DenyOldTls | Rule::DenyRoleWrites => false,
        })
        .collect()
}

/// Which keys an upload may name.
#[derive(Debug, PartialEq, Eq)]
enum AllowedKeys {
    These(Vec<String>),
    /// Not decided now: the statement stays as it is, or stays out.
    Wait,
}

/// S3 seems to check the *default* key of an upload without headers against the statement too. So a key is changed in three
/// steps: the statement lets in the old key and the new, the default is switched, the statement lets in the new one only.
fn allowed_keys(
    want: &WantEncryption,
    region: &Region,
    default_key: &DefaultKey,
    own: Option<&Statement>,
) -> AllowedKeys {
    let Some(new) = want
        .key_for(region)
        .filter(|k| key::region_of(k) == Some(region.as_str()))
    else {
        return AllowedKeys::Wait;
    };
    let only_new = || AllowedKeys::These(vec![new.to_owned()]);
    match (default_key, own) {
        (DefaultKey::Key(now), _) if now == new => only_new(),
        // A key that our own statement let in was the policy's: its uploads go on until the default is switched.
        (DefaultKey::Key(now), Some(own)) if statement::lets_key_in(own, now) => {
            let both: BTreeSet<String> = [now.clone(), new.to_owned()].into();
            AllowedKeys::These(both.into_iter().collect())
        }
        (DefaultKey::NoKms, _) | (DefaultKey::Key(_), Some(_)) => only_new(),
        (DefaultKey::Key(_), None) | (DefaultKey::Unclear, _) => AllowedKeys::Wait,
    }
}

/// The roles whose writes the bucket refuses: all of the policy, whatever they may read. Under Retain also those that have
/// left the spec, as the roles themselves stay.
fn role_arns(policy: &ValidatedPolicy) -> Vec<String> {
    let mut arns: BTreeSet<String> = policy.roles.iter().map(|r| policy.role_arn(&r.name)).collect();
    if policy.deletion_policy == DeletionPolicy::Retain {
        let retained = policy
            .inventory
            .roles
            .iter()
            .filter_map(|r| RoleName::new(&r.name).ok());
        arns.extend(retained.map(|name| policy.role_arn(&name)));
    }
    arns.into_iter().collect()
}
