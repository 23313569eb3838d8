//! The KMS keys of a bucket: whether they can be used, and who else may. Reported, never repaired: a key that is switched
//! off or about to be deleted was somebody's decision, and switching it on again is not ours.
//!
//! Does not live here: whether a bucket may be switched to a key (`usable`), and what the roles may do to keys
//! (`iam::proof`). Sources: AWS KMS Developer Guide, "Key states", "Rotating keys", "Default key policy"; S3 User Guide,
//! "Using server-side encryption with AWS KMS keys" (symmetric keys only).

use std::collections::BTreeMap;

use crate::api::{EncryptionAlgorithm, Gating, Severity};
use crate::domain::control::Control;
use crate::domain::document::{Condition, Effect, PolicyDocument, PrincipalElement, PrincipalKind, Statement};
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{
    CallError, EncryptionState, ErrorClass, KeyGrant, KeyManager, KeyObservation, KeyQuery, KeyRotation, KeyState, Read,
};
use crate::domain::policy::{BucketTarget, Controlled, ValidatedPolicy, WantEncryption};

use super::key::KeyRef;
use super::unread::{self, NOT_APPLICABLE};

/// Keys that bind a request to somebody, lower case: the account or organization that asks. `kms:ViaService` alone binds
/// nobody: every account reaches S3.
const BINDING_KEYS: [&str; 8] = [
    "kms:calleraccount",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
];

/// The readings of keys, as a bucket in one region asks for them.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub policy: &'a ValidatedPolicy,
    pub region: &'a Region,
    pub readings: &'a BTreeMap<KeyQuery, Read<KeyObservation>>,
}

impl<'a> Keys<'a> {
    /// What was read of the key that `key_id` means; None = it was not read.
    pub fn reading(&self, key_id: &str) -> Option<&'a Read<KeyObservation>> {
        self.readings.get(&KeyQuery {
            region: self.region.clone(),
            key_id: key_id.to_owned(),
        })
    }

    /// The key that a stored reference means; an alias is the key that it points at now.
    pub fn resolve(&self, text: Option<&str>) -> KeyRef {
        match (KeyRef::read(text, self.region, &self.policy.account), text) {
            (alias @ KeyRef::Alias { .. }, Some(text)) => match self.reading(text) {
                Some(Ok(key)) => KeyRef::Key(key.arn.clone()),
                Some(Err(_)) | None => alias,
            },
            (other, _) => other,
        }
    }

    /// The keys that the bucket has and is to have, each once, in whatever form it can be asked for.
    fn of_bucket<'t>(&self, want: &'t WantEncryption, state: Option<&'t EncryptionState>) -> Vec<&'t str> {
        let rules = match state {
            Some(EncryptionState::Rules(rules)) => rules.as_slice(),
            Some(EncryptionState::Implicit) | None => &[],
        };
        let found = rules
            .iter()
            .filter(|rule| rule.algorithm.as_deref() != Some("AES256"))
            .filter_map(|rule| rule.kms_key_id.as_deref());
        let wanted = (want.algorithm != EncryptionAlgorithm::SseS3)
            .then(|| want.key_for(self.region))
            .flatten();
        let mut seen = Vec::new();
        let mut keys = Vec::new();
        for text in wanted.into_iter().chain(found) {
            let key = self.resolve(Some(text));
            // The AWS-managed key is AWS's to look after; what names no key is the encryption's finding.
            let judged = match key {
                KeyRef::Key(_) | KeyRef::Alias { .. } => true,
                KeyRef::AwsManaged | KeyRef::Invalid(_) => false,
            };
            if judged && !seen.contains(&key) {
                seen.push(key);
                keys.push(text);
            }
        }
        keys
    }
}

/// Judges the keys of a bucket.
pub(super) fn findings(
    target: &BucketTarget,
    control: &Controlled<WantEncryption>,
    state: Option<&EncryptionState>,
    keys: &Keys<'_>,
) -> Vec<Finding> {
    let Controlled { gating, want } = control;
    let judge = Judge {
        bucket: &target.name,
        account: keys.policy.account.as_str(),
        gating: *gating,
    };
    keys.of_bucket(want, state)
        .into_iter()
        .flat_map(|key| match keys.reading(key) {
            Some(Ok(seen)) => judge.key(seen),
            Some(Err(error)) => vec![judge.unreadable(Control::KmsKeyUsable, *gating, &path(key, "state"), error)],
            None if *gating == Gating::Gating => {
                let path = path(key, "state");
                vec![unread::not_read(Control::KmsKeyUsable, &target.name, &path)]
            }
            None => Vec::new(),
        })
        .collect()
}

/// `kmsKey[ID].what`; an id is shorter than an ARN and names the key as well.
fn path(key: &str, what: &str) -> String {
    let id = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
    format!("kmsKey[{id}].{what}")
}

/// What is wrong with the key itself, so that S3 can't encrypt or decrypt with it: found value, and the way out.
pub(super) fn defect(key: &KeyObservation) -> Option<(String, &'static str)> {
    let KeyObservation {
        arn: _,
        state,
        spec,
        usage,
        manager: _,
        origin: _,
        valid_to: _,
        deletion_time,
        rotation: _,
        policy: _,
        grants: _,
    } = key;
    match state {
        KeyState::Enabled => {}
        KeyState::Disabled => {
            return Some((
                "Disabled".to_owned(),
                "nothing encrypted with the key can be read; enable it",
            ));
        }
        KeyState::PendingDeletion => {
            let have = deletion_time.map_or_else(
                || "PendingDeletion".to_owned(),
                |time| format!("PendingDeletion on {time}"),
            );
            let message = "the key is about to be deleted, and everything encrypted with it lost for good; cancel the deletion (kms:CancelKeyDeletion) and enable the key";
            return Some((have, message));
        }
        KeyState::PendingImport => {
            let message =
                "the key has no material, so nothing encrypted with it can be read; import the material again";
            return Some(("PendingImport".to_owned(), message));
        }
        KeyState::Unavailable => {
            let message =
                "the key's store is out of reach, so nothing encrypted with it can be read; reconnect the key store";
            return Some(("Unavailable".to_owned(), message));
        }
        KeyState::Other(state) => {
            let message = "the key is in a state in which it can't be used; look it up in the KMS console";
            return Some((state.clone(), message));
        }
    }
    // Not said is not wrong: older servers leave them out.
    if let Some(spec) = spec.as_deref().filter(|s| *s != "SYMMETRIC_DEFAULT") {
        return Some((spec.to_owned(), "S3 takes symmetric keys only; use another key"));
    }
    let usage = usage.as_deref().filter(|u| *u != "ENCRYPT_DECRYPT")?;
    Some((usage.to_owned(), "S3 takes keys for encryption only; use another key"))
}

struct Judge<'a> {
    bucket: &'a BucketName,
    account: &'a str,
    gating: Gating,
}

impl Judge<'_> {
    fn note(&self, control: Control, path: String, want: &str, have: String, message: &str) -> Finding {
        let target = Target::Bucket(self.bucket.clone());
        Finding::new(control, target, Gating::ReportOnly, Disposition::Note)
            .diff(path, want, have)
            .message(message)
    }

    fn key(&self, key: &KeyObservation) -> Vec<Finding> {
        let KeyObservation {
            arn,
            state: _,
            spec: _,
            usage: _,
            manager,
            origin,
            valid_to,
            deletion_time: _,
            rotation,
            policy,
            grants,
        } = key;
        let mut findings = Vec::new();
        if let Some((have, message)) = defect(key) {
            let disposition = match self.gating {
                Gating::Gating => Disposition::NeedsHuman(HumanReason::KeyAtRisk),
                Gating::ReportOnly => Disposition::Note,
            };
            let target = Target::Bucket(self.bucket.clone());
            let finding = Finding::new(Control::KmsKeyUsable, target, self.gating, disposition);
            findings.push(
                finding
                    .diff(path(arn, "state"), "Enabled, symmetric, for encryption", have)
                    .message(message),
            );
        }
        if *manager == Some(KeyManager::Aws) {
            let message = "the policy of an AWS-managed key can't be changed, so nobody can be kept from it; use a key of your own";
            let mut note = self.note(
                Control::KmsKeyPolicy,
                path(arn, "manager"),
                "Customer",
                "AWS".to_owned(),
                message,
            );
            note.severity = Severity::Low;
            findings.push(note);
            return findings;
        }
        if let Some(time) = valid_to {
            let have = format!("{} material until {time}", origin.as_deref().unwrap_or("imported"));
            let message = "the key's material expires, and with it every object's readability; import it again before that time, or without an expiry";
            let mut note = self.note(Control::KmsKeyUsable, path(arn, "validTo"), "no expiry", have, message);
            note.severity = Severity::Medium;
            findings.push(note);
        }
        findings.extend(self.rotation(arn, rotation));
        findings.extend(self.policy(arn, policy));
        findings.extend(self.grants(arn, grants));
        findings
    }

    fn rotation(&self, arn: &str, rotation: &Read<KeyRotation>) -> Option<Finding> {
        let path = path(arn, "rotation");
        match rotation {
            Ok(KeyRotation::Enabled | KeyRotation::NotApplicable) => None,
            Ok(KeyRotation::Disabled) => Some(self.note(
                Control::KmsKeyRotation,
                path,
                "Enabled",
                "Disabled".to_owned(),
                "the key's material stays the same for ever; enable automatic rotation (kms:EnableKeyRotation)",
            )),
            Err(error) => Some(self.unreadable(Control::KmsKeyRotation, Gating::ReportOnly, &path, error)),
        }
    }

    fn policy(&self, arn: &str, policy: &Read<String>) -> Option<Finding> {
        let text = match policy {
            Ok(text) => text,
            Err(error) => {
                let path = path(arn, "policy");
                return Some(self.unreadable(Control::KmsKeyPolicy, Gating::ReportOnly, &path, error));
            }
        };
        let document = match PolicyDocument::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let message =
                    "the key policy can't be read as a policy, so who may use the key is not known; correct it";
                let path = path(arn, "policy");
                return Some(self.note(Control::KmsKeyPolicy, path, "a key policy", error.to_string(), message));
            }
        };
        let i = document.statements.iter().position(lets_anybody_in)?;
        let path = path(arn, &format!("policy.Statement[{i}]"));
        Some(self.note(
            Control::KmsKeyPolicy,
            path,
            "access for named principals",
            "access for everybody".to_owned(),
            "anybody with an AWS account may use the key; name the principals, or condition the statement on kms:CallerAccount or aws:PrincipalOrgID",
        ))
    }

    fn grants(&self, arn: &str, grants: &Read<std::collections::BTreeSet<KeyGrant>>) -> Option<Finding> {
        let path = path(arn, "grants");
        let grants = match grants {
            Ok(grants) => grants,
            Err(error) => return Some(self.unreadable(Control::KmsKeyGrants, Gating::ReportOnly, &path, error)),
        };
        let strangers: Vec<&str> = grants
            .iter()
            .map(|grant| grant.grantee.as_str())
            .filter(|grantee| self.is_stranger(grantee))
            .collect();
        let first = strangers.first()?;
        let have = match strangers.len() {
            1 => (*first).to_owned(),
            more => format!("{first} and {} more", more - 1),
        };
        Some(self.note(
            Control::KmsKeyGrants,
            path,
            "grants within the account",
            have,
            "a grant lets another account use the key past its policy; revoke it if nobody knows it (kms:RevokeGrant)",
        ))
    }

    /// A principal of another account; services get their grants from whoever uses them.
    fn is_stranger(&self, grantee: &str) -> bool {
        let parts: Vec<&str> = grantee.splitn(6, ':').collect();
        matches!(parts.as_slice(), ["arn", _, "iam" | "sts", _, account, _] if *account != self.account)
    }

    fn unreadable(&self, control: Control, gating: Gating, path: &str, error: &CallError) -> Finding {
        let target = Target::Bucket(self.bucket.clone());
        let code = error.code.as_deref().unwrap_or(error.operation);
        let finding = |disposition, have: &str, message: String| {
            let mut finding = Finding::new(control, target.clone(), gating, disposition)
                .diff(path, "readable", have)
                .message(message);
            finding.severity = Severity::Medium;
            finding
        };
        match error.class {
            ErrorClass::AccessDenied => finding(
                Disposition::NeedsHuman(HumanReason::AccessDenied),
                code,
                format!(
                    "AWS refuses {}, so nothing is known about it; allow the operator kms:{} in its role and, for a key of another account, in the key policy",
                    error.operation, error.operation
                ),
            ),
            ErrorClass::NotFound => {
                let disposition = match gating {
                    Gating::Gating => Disposition::NeedsHuman(HumanReason::KeyAtRisk),
                    Gating::ReportOnly => Disposition::Note,
                };
                let mut finding = finding(
                    disposition,
                    code,
                    "there is no such key, so nothing encrypted with it can be read; correct the key's ARN".to_owned(),
                );
                finding.severity = Severity::Critical;
                finding
            }
            ErrorClass::Unsupported => finding(
                Disposition::Note,
                NOT_APPLICABLE,
                format!(
                    "the server has no {}; nothing is claimed about it, see to the key by hand",
                    error.operation
                ),
            ),
            ErrorClass::Credentials | ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Terminal => finding(
                Disposition::Unobserved,
                "unknown",
                format!("{} failed and is tried again: {}", error.operation, error.message),
            ),
        }
    }
}

/// An Allow for whoever asks, that no condition binds to an account or organization.
fn lets_anybody_in(statement: &Statement) -> bool {
    if statement.effect == Effect::Deny {
        return false;
    }
    let open = match &statement.principal {
        Some(PrincipalElement::Principal(principals)) => {
            let aws = principals.entries.get(&PrincipalKind::Aws);
            principals.everyone || aws.is_some_and(|values| values.iter().any(|v| v == "*"))
        }
        Some(PrincipalElement::NotPrincipal(_)) | None => true,
    };
    open && !statement.conditions.iter().any(binds)
}

/// Conditions are ANDed, so one is enough; its values are ORed, so each must be fixed.
fn binds(condition: &Condition) -> bool {
    let Condition { operator, key, values } = condition;
    let operator = operator.to_ascii_lowercase();
    // Of a key with several values in the request, one is enough; the others must not slip through an empty set.
    let operator = operator.strip_prefix("foranyvalue:").unwrap_or(&operator);
    let text = matches!(
        operator,
        "stringequals" | "stringequalsignorecase" | "stringlike" | "arnequals" | "arnlike"
    );
    let key = key.to_ascii_lowercase();
    text && BINDING_KEYS.contains(&key.as_str()) && !values.is_empty() && values.iter().all(|v| is_bound(&key, v))
}

fn is_bound(key: &str, value: &str) -> bool {
    let wild = |text: &str| text.contains(['*', '?']) || text.contains("${");
    match key {
        // A wildcard in the name is fine as long as the account is fixed, and its place: to a string operator a wildcard
        // before it is any number of parts, and a user's path may hold colons.
        "aws:principalarn" | "aws:sourcearn" => {
            let parts: Vec<&str> = value.splitn(6, ':').collect();
            matches!(parts.as_slice(), [head @ .., account, _] if head.len() == 4 && !account.is_empty() && !wild(account) && !head.iter().any(|p| wild(p)))
        }
        // o-ID/r-ID/…: the organization comes first.
        "aws:principalorgpaths" => value.split('/').next().is_some_and(|org| !org.is_empty() && !wild(org)),
        _ => !value.is_empty() && !wild(value),
    }
}

#[cfg(test)]
mod tests;
