//! The proof for the other roles that the role's ServiceAccounts can assume, and for whatever those can become. Nothing is
//! written to them; who can be sent where is said.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::RolePlan;
use super::proof::{OnRole, compiled, identity};
use crate::api::Severity;
use crate::domain::control::Control;
use crate::domain::document::PolicyKind;
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::iam::others::{OtherRole, may_trust_roles, other_roles, trust_of};
use crate::domain::iam::principal::Caller;
use crate::domain::iam::proof::{
    AccessPointFacts, AclFacts, BucketFacts, Evidence, KeyFacts, KeyGrant, Proof, ProofInput, Reason, RoleFacts, prove,
};
use crate::domain::observed::{
    AccountRoles, BucketObservation, CallError, EncryptionState, ErrorClass, KeyObservation, KeyQuery,
    ObjectOwnershipState, PublicAccessBlock, RoleObservation,
};
use crate::domain::policy::BucketTarget;

/// How many violations of one other role are told; the first shows enough.
const TOLD: usize = 3;

impl RolePlan<'_> {
    /// Judges every role besides the policy's own that pods of the listed ServiceAccounts can get.
    pub(super) fn other_roles(&mut self) {
        let all = match &self.observed.account.roles {
            None => return,
            Some(Ok(all)) => all.clone(),
            Some(Err(error)) => {
                return self.others_unknown(error, "iam:GetAccountAuthorizationDetails and iam:ListRoles");
            }
        };
        let associations = match &self.observed.account.pod_identity_associations {
            None => None,
            Some(Ok(associations)) => Some(associations),
            Some(Err(error)) => {
                let rights = "eks:ListPodIdentityAssociations and eks:DescribePodIdentityAssociation";
                return self.others_unknown(error, rights);
            }
        };
        let others = other_roles(self.policy, self.role, &all, associations);
        if others.is_empty() {
            return;
        }
        let assumable = all.roles.iter().filter(|role| may_trust_roles(role));
        let roles: Vec<RoleFacts> = assumable.filter_map(|role| self.facts_of(role, &all)).collect();
        let buckets: Vec<BucketFacts> = self
            .policy
            .buckets
            .iter()
            .map(|b| self.bucket_facts_with_acl(b))
            .collect();
        let (keys, access_points) = (self.key_facts(), self.access_point_facts());
        let mut findings = Vec::new();
        for OtherRole { role: other, by } in others {
            let proof = match self.facts_of(other, &all) {
                Some(role) => prove(&ProofInput {
                    role,
                    buckets: buckets.clone(),
                    keys: keys.clone(),
                    access_points: access_points.clone(),
                    roles: Evidence::Seen(roles.clone()),
                    organization: Vec::new(),
                }),
                None => Proof::Unknown(vec![Reason::Unreadable {
                    what: "the role".to_owned(),
                    why: format!("{:?} is no role's ARN", other.arn),
                }]),
            };
            let (reason, severity, what, have) = match proof {
                Proof::Proven => continue,
                Proof::Violated(violations) => {
                    let shown: Vec<String> = violations.iter().take(TOLD).map(ToString::to_string).collect();
                    let what = "which is not read-only";
                    (HumanReason::NotReadOnly, Severity::Critical, what, shown.join("; "))
                }
                Proof::Unknown(reasons) => {
                    let shown: Vec<String> = reasons.iter().take(TOLD).map(ToString::to_string).collect();
                    let what = "which is not proven read-only";
                    (HumanReason::NotProven, Severity::High, what, shown.join("; "))
                }
            };
            let of_which_cluster = if self.policy.settings.oidc_provider_arn.is_some() {
                ""
            } else {
                "; if it is for another cluster's ServiceAccount of that name, tell them apart by configuring oidcProviderARN"
            };
            let mut finding: Finding = self
                .finding(Control::IamReadOnly, Disposition::NeedsHuman(reason))
                .diff(format!("readOnly.otherRoles[{}]", other.arn), "read-only, or out of reach", have.as_str())
                .message(format!(
                    "pods of ServiceAccount {}/{} can also assume {}, {what}: {have}; take the ServiceAccount out of that role's trust policy or association{of_which_cluster}",
                    by.namespace, by.name, other.arn
                ));
            finding.severity = severity;
            findings.push(finding);
        }
        self.findings.extend(findings);
    }

    /// Which other roles there are is not known, so that nothing is proven about them.
    fn others_unknown(&mut self, error: &CallError, rights: &str) {
        let disposition = match error.class {
            ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Credentials => Disposition::Unobserved,
            ErrorClass::AccessDenied | ErrorClass::NotFound | ErrorClass::Unsupported | ErrorClass::Terminal => {
                Disposition::NeedsHuman(HumanReason::NotProven)
            }
        };
        let mut finding = self
            .finding(Control::IamReadOnly, disposition)
            .diff("readOnly.otherRoles", "known", error.operation)
            .message(format!(
                "which other roles the ServiceAccounts can assume is not known: {error}; grant the operator {rights}"
            ));
        finding.severity = Severity::High;
        self.findings.push(finding);
    }

    /// A role of the account, as far as its policies were read: of AWS's own managed policies those that are attached to
    /// roles within reach.
    fn facts_of(&self, role: &RoleObservation, all: &AccountRoles) -> Option<RoleFacts> {
        let managed = |arn: &str| match all.managed_policies.get(arn) {
            Some(document) => Ok(document.clone()),
            None => self.managed_document(arn).map(str::to_owned),
        };
        let inline = role.inline_policies.iter().map(|(name, document)| {
            identity(&OnRole {
                name,
                document: Ok(document),
            })
        });
        let attached = role.attached_policy_arns.iter().map(|arn| {
            let document = managed(arn);
            identity(&OnRole {
                name: arn,
                document: document.as_deref().map_err(Clone::clone),
            })
        });
        let boundary = role.permissions_boundary_arn.as_ref().and_then(|arn| {
            let document = managed(arn).ok()?;
            compiled(PolicyKind::Boundary, arn, &document).ok()
        });
        Some(RoleFacts {
            caller: Caller::parse(&role.arn).ok()?,
            identity: inline.chain(attached).collect(),
            boundary,
            trust: trust_of(role),
        })
    }

    /// The bucket with its ACL, where it is known to give nothing: nobody else's Deny stands against it.
    fn bucket_facts_with_acl(&self, bucket: &BucketTarget) -> BucketFacts {
        let mut facts = self.bucket_facts(bucket);
        if self.observed.buckets.get(&bucket.name).is_some_and(acls_are_off) {
            facts.acl = Evidence::Seen(AclFacts::Disabled);
        }
        facts
    }

    fn key_facts(&self) -> Evidence<Vec<KeyFacts>> {
        let mut keys: Vec<KeyFacts> = Vec::new();
        for bucket in &self.policy.buckets {
            let missing = |why: &str| Evidence::Missing(format!("{}: {why}", bucket.name));
            let Some(seen) = self.observed.buckets.get(&bucket.name) else {
                return missing("not read");
            };
            let (Ok(region), Some(Ok(encryption))) = (&seen.region, &seen.encryption) else {
                return missing("its encryption is not known");
            };
            let rules = match encryption {
                EncryptionState::Implicit => &[][..],
                EncryptionState::Rules(rules) => rules.as_slice(),
            };
            for key_id in rules.iter().filter_map(|rule| rule.kms_key_id.clone()) {
                let query = KeyQuery {
                    region: region.clone(),
                    key_id,
                };
                match self.observed.keys.get(&query) {
                    Some(Ok(key)) => keys.push(key_facts(key)),
                    Some(Err(error)) => return missing(&error.to_string()),
                    None => return missing("its key is not known"),
                }
            }
        }
        Evidence::Seen(keys)
    }

    fn access_point_facts(&self) -> Evidence<Vec<AccessPointFacts>> {
        let names: BTreeSet<_> = self.policy.buckets.iter().map(|b| &b.name).collect();
        let mut points = Vec::new();
        for bucket in &self.policy.buckets {
            let region = self
                .observed
                .buckets
                .get(&bucket.name)
                .and_then(|seen| seen.region.as_ref().ok());
            match region.and_then(|region| self.observed.account.access_points.get(region)) {
                Some(Ok(found)) => points.extend(found.iter().filter(|p| names.contains(&p.bucket))),
                Some(Err(error)) => return Evidence::Missing(error.to_string()),
                None => return Evidence::Missing("not read".to_owned()),
            }
        }
        let facts = points.into_iter().map(|point| AccessPointFacts {
            arn: point.arn.clone(),
            policy: match &point.policy {
                Ok(None) => Evidence::Seen(None),
                Ok(Some(text)) => match compiled(PolicyKind::Resource, &point.arn, text) {
                    Ok(policy) => Evidence::Seen(Some(policy)),
                    Err(why) => Evidence::Missing(why),
                },
                Err(error) => Evidence::Missing(error.to_string()),
            },
        });
        Evidence::Seen(facts.collect())
    }
}

/// Object Ownership that switches ACLs off, or a public access block that ignores what they give to everybody.
fn acls_are_off(seen: &BucketObservation) -> bool {
    let enforced = matches!(
        seen.object_ownership,
        Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced)))
    );
    let ignored = matches!(
        seen.public_access_block,
        Some(Ok(Some(PublicAccessBlock {
            ignore_public_acls: true,
            ..
        })))
    );
    enforced || ignored
}

fn key_facts(key: &KeyObservation) -> KeyFacts {
    KeyFacts {
        arn: key.arn.clone(),
        policy: match &key.policy {
            Ok(text) => match compiled(PolicyKind::Resource, &key.arn, text) {
                Ok(policy) => Evidence::Seen(policy),
                Err(why) => Evidence::Missing(why),
            },
            Err(error) => Evidence::Missing(error.to_string()),
        },
        grants: match &key.grants {
            Ok(grants) => {
                let facts = grants.iter().map(|grant| KeyGrant {
                    grantee: grant.grantee.clone(),
                    operations: grant.operations.iter().cloned().collect(),
                });
                Evidence::Seen(facts.collect())
            }
            Err(error) => Evidence::Missing(error.to_string()),
        },
    }
}
