//! Default encryption: what is set, whether it is at least what is asked, and the one rule that would be.

use std::collections::BTreeSet;

use crate::api::{BucketKey, CustomerKeys, EncryptionAlgorithm, Gating};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{EncryptionRule, EncryptionState, Observed, Read};
use crate::domain::policy::{BucketTarget, Controlled, ValidatedPolicy, WantEncryption};

use super::bucket_policy::Part;
use super::key::{KeyRef, region_of};
use super::keys::{self, Keys};
use super::{unread, usable};

const CONTROL: Control = Control::S3DefaultEncryption;

/// The member of `BlockedEncryptionTypes` that stands for keys of the client's own.
const SSE_C: &str = "SSE-C";

/// What AWS is known to offer, weakest first. Stronger than asked is compliant and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    SseS3,
    SseKms,
    DsseKms,
}

impl Strength {
    /// A rule that names no algorithm leaves S3's own.
    fn read(algorithm: Option<&str>) -> Option<Self> {
        match algorithm {
            None | Some("AES256") => Some(Self::SseS3),
            Some("aws:kms") => Some(Self::SseKms),
            Some("aws:kms:dsse") => Some(Self::DsseKms),
            Some(_) => None,
        }
    }

    const fn as_aws(self) -> &'static str {
        match self {
            Self::SseS3 => "AES256",
            Self::SseKms => "aws:kms",
            Self::DsseKms => "aws:kms:dsse",
        }
    }
}

impl From<EncryptionAlgorithm> for Strength {
    fn from(algorithm: EncryptionAlgorithm) -> Self {
        match algorithm {
            EncryptionAlgorithm::SseS3 => Self::SseS3,
            EncryptionAlgorithm::SseKms => Self::SseKms,
            EncryptionAlgorithm::DsseKms => Self::DsseKms,
        }
    }
}

/// Judges the default encryption of a bucket.
pub(super) fn plan(
    policy: &ValidatedPolicy,
    target: &BucketTarget,
    control: &Controlled<WantEncryption>,
    region: &Region,
    read: Option<&Read<EncryptionState>>,
    observed: &Observed,
) -> Part {
    let Controlled { gating, want } = control;
    let keys = Keys {
        policy,
        region,
        readings: &observed.keys,
    };
    let mut part = Part::default();
    let state = match read {
        Some(Ok(state)) => state,
        Some(Err(error)) => {
            part.findings
                .push(unread::failed(CONTROL, &target.name, *gating, "encryption", error));
            part.findings.extend(keys::findings(target, control, None, &keys));
            return part;
        }
        None => {
            if *gating == Gating::Gating {
                part.findings
                    .push(unread::not_read(CONTROL, &target.name, "encryption"));
            }
            return part;
        }
    };
    let health = keys::findings(target, control, Some(state), &keys);
    let judge = Judge {
        bucket: &target.name,
        gating: *gating,
    };
    let (mut findings, rule) = match judge.compare(policy, want, region, state) {
        Ok(judged) => judged,
        Err(finding) => {
            part.findings.push(*finding);
            part.findings.extend(health);
            return part;
        }
    };
    let switched_to = rule
        .kms_key_id
        .clone()
        .filter(|key| !is_current(key, rules(state), &keys));
    if *gating == Gating::Gating && !findings.is_empty() {
        part.action = Some(PlannedAction {
            action: Action::PutBucketEncryption {
                bucket: target.name.clone(),
                region: region.clone(),
                seen: state.clone(),
                rule,
            },
            repairs: findings.iter().map(Finding::key).collect(),
        });
    }
    part.findings.append(&mut findings);
    if let (Some(_), Some(key)) = (&part.action, &switched_to)
        && let Some(obstacle) = usable::obstacle(policy, target, region, key, observed)
    {
        hold_back(&mut part, obstacle.disposition, &obstacle.message);
    }
    part.findings.extend(health);
    part
}

/// The rules that are stored; none where nothing is configured.
fn rules(state: &EncryptionState) -> &[EncryptionRule] {
    match state {
        EncryptionState::Implicit => &[],
        EncryptionState::Rules(rules) => rules,
    }
}

/// Whether new objects are encrypted with this key already.
fn is_current(key: &str, rules: &[EncryptionRule], keys: &Keys<'_>) -> bool {
    let [rule] = rules else { return false };
    let kms = match Strength::read(rule.algorithm.as_deref()) {
        Some(Strength::SseKms | Strength::DsseKms) => true,
        Some(Strength::SseS3) | None => false,
    };
    let stored = rule.kms_key_id.as_deref();
    kms && (stored == Some(key) || keys.resolve(stored) == keys.resolve(Some(key)))
}

/// The key that uploads get which ask for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DefaultKey {
    /// None: SSE-S3.
    NoKms,
    /// This one, by ARN.
    Key(String),
    /// Not read, or named in a way that does not tell its ARN.
    Unclear,
}

impl DefaultKey {
    /// Reads it from the bucket's default encryption.
    pub(super) fn of(policy: &ValidatedPolicy, region: &Region, read: Option<&Read<EncryptionState>>) -> Self {
        let rule = match read {
            Some(Ok(EncryptionState::Implicit)) => return Self::NoKms,
            Some(Ok(EncryptionState::Rules(rules))) => match rules.as_slice() {
                [rule] => rule,
                _ => return Self::Unclear,
            },
            Some(Err(_)) | None => return Self::Unclear,
        };
        match Strength::read(rule.algorithm.as_deref()) {
            Some(Strength::SseS3) => Self::NoKms,
            Some(Strength::SseKms | Strength::DsseKms) => {
                match KeyRef::read(rule.kms_key_id.as_deref(), region, &policy.account) {
                    KeyRef::Key(arn) => Self::Key(arn),
                    KeyRef::Alias { .. } | KeyRef::AwsManaged | KeyRef::Invalid(_) => Self::Unclear,
                }
            }
            None => Self::Unclear,
        }
    }
}

/// What is said where our own statement against other keys could not be made to let the new one in.
pub(super) const ONLY_THE_OLD_KEY: &str = "the bucket policy lets only the old key in and can't be changed, so the default stays; see the finding about the bucket policy";

/// Holds the write back. What is wrong is known all the same: a reading that failed for now makes it none that was not seen.
pub(super) fn hold_back(part: &mut Part, disposition: Disposition, message: &str) {
    part.action = None;
    let disposition = if disposition == Disposition::Unobserved {
        Disposition::Repair
    } else {
        disposition
    };
    for finding in part
        .findings
        .iter_mut()
        .filter(|f| f.disposition == Disposition::Repair)
    {
        finding.disposition = disposition;
        message.clone_into(&mut finding.message);
    }
}

struct Judge<'a> {
    bucket: &'a BucketName,
    gating: Gating,
}

impl Judge<'_> {
    fn finding(&self, path: &str, want: &str, have: &str, message: &str) -> Finding {
        let disposition = match self.gating {
            Gating::Gating => Disposition::Repair,
            Gating::ReportOnly => Disposition::Note,
        };
        Finding::new(CONTROL, Target::Bucket(self.bucket.clone()), self.gating, disposition)
            .diff(path, want, have)
            .message(unread::repaired(self.gating, message))
    }

    fn needs_human(&self, reason: HumanReason, path: &str, want: &str, have: &str, message: String) -> Box<Finding> {
        let disposition = match self.gating {
            Gating::Gating => Disposition::NeedsHuman(reason),
            Gating::ReportOnly => Disposition::Note,
        };
        let target = Target::Bucket(self.bucket.clone());
        let finding = Finding::new(CONTROL, target, self.gating, disposition);
        Box::new(finding.diff(path, want, have).message(message))
    }

    /// What differs, and the rule that would not. With nothing different the rule is what is there.
    fn compare(
        &self,
        policy: &ValidatedPolicy,
        want: &WantEncryption,
        region: &Region,
        state: &EncryptionState,
    ) -> Result<(Vec<Finding>, EncryptionRule), Box<Finding>> {
        let mut findings = Vec::new();
        let wanted = Strength::from(want.algorithm);
        let implicit = [EncryptionRule {
            algorithm: None,
            kms_key_id: None,
            bucket_key_enabled: None,
            blocked_encryption_types: None,
        }];
        let rules = match state {
            EncryptionState::Implicit => &implicit[..],
            EncryptionState::Rules(rules) => rules.as_slice(),
        };
        if rules.len() != 1 {
            findings.push(self.finding(
                "encryption.rules",
                "1",
                &rules.len().to_string(),
                "S3 heeds exactly one rule, so what holds can't be told; it is replaced by one",
            ));
        }
        let (have, base) = self.strongest(rules, wanted)?;
        if have < wanted {
            let shown = match state {
                EncryptionState::Implicit => "AES256 (nothing configured)",
                EncryptionState::Rules(_) => have.as_aws(),
            };
            let message = format!(
                "new objects are encrypted with less than the policy asks; {} is set",
                wanted.as_aws()
            );
            findings.push(self.finding("encryption.algorithm", wanted.as_aws(), shown, &message));
        }
        let strength = have.max(wanted);
        let mut rule = EncryptionRule {
            algorithm: Some(strength.as_aws().to_owned()),
            kms_key_id: base
                .filter(|_| strength > Strength::SseS3)
                .and_then(|r| r.kms_key_id.clone()),
            bucket_key_enabled: base.and_then(|r| r.bucket_key_enabled),
            // Carried over as found: leaving it out may reset it, and whether it does is not documented.
            blocked_encryption_types: blocked(rules),
        };
        if wanted > Strength::SseS3 {
            let key = self.usable_key(want, region)?;
            let differing = [
                self.key(key, &mut rule, region, policy),
                self.bucket_key(want, strength, &mut rule),
            ];
            // With the algorithm itself missing these are no second thing to say.
            findings.extend(differing.into_iter().flatten().filter(|_| have >= wanted));
        }
        findings.extend(self.customer_keys(want, &mut rule));
        Ok((findings, rule))
    }

    /// The strongest of the rules: what is written may not be weaker than any of them.
    fn strongest<'r>(
        &self,
        rules: &'r [EncryptionRule],
        wanted: Strength,
    ) -> Result<(Strength, Option<&'r EncryptionRule>), Box<Finding>> {
        let mut found = (Strength::SseS3, None);
        for rule in rules {
            let Some(strength) = Strength::read(rule.algorithm.as_deref()) else {
                let have = rule.algorithm.as_deref().unwrap_or_default();
                return Err(self.needs_human(
                    HumanReason::UnknownAlgorithm,
                    "encryption.algorithm",
                    wanted.as_aws(),
                    have,
                    format!("it is not known whether {have} is stronger or weaker, so it is left; set an algorithm that the policy knows"),
                ));
            };
            if found.1.is_none() || strength > found.0 {
                found = (strength, Some(rule));
            }
        }
        Ok(found)
    }

    fn key(&self, key: &str, rule: &mut EncryptionRule, region: &Region, policy: &ValidatedPolicy) -> Option<Finding> {
        let there = KeyRef::read(rule.kms_key_id.as_deref(), region, &policy.account);
        if there == KeyRef::Key(key.to_owned()) {
            return None;
        }
        let have = rule.kms_key_id.replace(key.to_owned());
        let have = have.as_deref().unwrap_or("aws/s3");
        Some(self.finding("encryption.kmsKey", key, have, &key_message(&there)))
    }

    fn bucket_key(&self, want: &WantEncryption, strength: Strength, rule: &mut EncryptionRule) -> Option<Finding> {
        let on = match want.bucket_key.filter(|_| strength == Strength::SseKms)? {
            BucketKey::Enabled => true,
            BucketKey::Disabled => false,
        };
        let word = |on| if on { "Enabled" } else { "Disabled" };
        let have = rule.bucket_key_enabled.replace(on).unwrap_or(false);
        let message = || "the bucket key is not as asked; it is set".to_owned();
        (have != on).then(|| self.finding("encryption.bucketKey", word(on), word(have), &message()))
    }

    /// `["NONE"]`, an empty list and no list at all mean the same. What we write is always explicit.
    fn customer_keys(&self, want: &WantEncryption, rule: &mut EncryptionRule) -> Option<Finding> {
        let block = match want.customer_keys? {
            CustomerKeys::Block => true,
            CustomerKeys::Allow => false,
        };
        let mut types: BTreeSet<String> = rule.blocked_encryption_types.take().into_iter().flatten().collect();
        types.remove("NONE");
        let blocked = types.contains(SSE_C);
        if block {
            types.insert(SSE_C.to_owned());
        } else {
            types.remove(SSE_C);
        }
        if types.is_empty() {
            types.insert("NONE".to_owned());
        }
        rule.blocked_encryption_types = Some(types.into_iter().collect());
        let word = |blocked| if blocked { "Block" } else { "Allow" };
        let message = if block {
            "uploads may bring a key that nobody else has (SSE-C); they are blocked"
        } else {
            "uploads with a key of their own (SSE-C) are blocked and the policy allows them; they are let in"
        };
        (blocked != block).then(|| self.finding("encryption.customerKeys", word(block), word(blocked), message))
    }

    /// The configured key of the bucket's region: another region's key would make every upload fail.
    fn usable_key<'w>(&self, want: &'w WantEncryption, region: &Region) -> Result<&'w str, Box<Finding>> {
        let key = want.key_for(region);
        match key {
            Some(key) if region_of(key) == Some(region.as_str()) => Ok(key),
            Some(key) => Err(self.needs_human(
                HumanReason::KeyNotUsable,
                "encryption.kmsKey",
                &format!("a key in {region}"),
                key,
                format!("the bucket lies in {region}, its key does not; give it a key of {region} in controls.encryption.kmsKeyARN"),
            )),
            None => Err(self.needs_human(
                HumanReason::KeyNotUsable,
                "encryption.kmsKey",
                &format!("a key in {region}"),
                "none configured",
                format!("the bucket lies in {region}, and the policy has no key there; add one to bucketControls.encryption.kmsKeys"),
            )),
        }
    }
}

fn key_message(there: &KeyRef) -> String {
    match there {
        KeyRef::Key(_) => "new objects are encrypted with another key; the policy's is set",
        KeyRef::Alias { .. } => "an alias may be pointed at another key at any time; the policy's key ARN is set",
        KeyRef::AwsManaged => "new objects are encrypted with the AWS-managed key; the policy's is set",
        KeyRef::Invalid(_) => "the stored value names no key, so uploads fail; the policy's key is set",
    }
    .to_owned()
}

/// What all rules together block; None if none of them says anything.
fn blocked(rules: &[EncryptionRule]) -> Option<Vec<String>> {
    match rules {
        [one] => one.blocked_encryption_types.clone(),
        many => {
            let lists: Vec<_> = many
                .iter()
                .filter_map(|r| r.blocked_encryption_types.as_ref())
                .collect();
            let mut all: Vec<String> = lists.iter().flat_map(|l| l.iter().cloned()).collect();
            all.sort();
            all.dedup();
            // "NONE" beside something blocked would contradict it.
            if all.len() > 1 {
                all.retain(|t| t != "NONE");
            }
            (!lists.is_empty()).then_some(all)
        }
    }
}

#[cfg(test)]
mod tests;
