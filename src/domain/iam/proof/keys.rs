//! The loss of the data with its key: deletion, disabling, and whatever permits them.

use super::Judge;
use super::facts::{Evidence, KeyFacts, KeyGrant};
use super::reach::{Source, may_name_role};
use super::region::Target;
use super::verdict::{Findings, Kind, Origin, Reason};
use crate::domain::document::PrincipalKind;
use crate::domain::glob::{Case, Glob};
use crate::domain::iam::actions::{KEY_ACTIONS, KEY_STORE_ACTIONS};
use crate::domain::iam::compiled::{Actions, Rule};

impl<'a> Judge<'a> {
    /// Judges every key.
    pub(super) fn keys(&self, findings: &mut Findings) {
        // No key is named in these requests, and so no Deny on keys refuses them.
        let no_key = Target::One("*".to_owned());
        self.opened_on(&no_key, &KEY_STORE_ACTIONS, &self.sources, &self.denials, findings);
        let any = format!("arn:{}:kms:*:*:key/*", self.partition());
        let any = Target::Like(Glob::new(&any, Case::Sensitive));
        match &self.input.keys {
            Evidence::Seen(keys) => {
                for key in keys {
                    self.key(key, findings);
                }
            }
            Evidence::Missing(why) => {
                let (what, why) = ("the keys of the buckets".to_owned(), why.clone());
                let unknown = Source::unknown(Reason::Unreadable { what, why });
                let sources: Vec<_> = self.sources.iter().cloned().chain([unknown]).collect();
                self.opened_on(&any, &KEY_ACTIONS, &sources, &self.denials, findings);
            }
            Evidence::Outside => self.opened_on(&any, &KEY_ACTIONS, &self.sources, &self.denials, findings),
        }
    }

    fn key(&self, key: &'a KeyFacts, findings: &mut Findings) {
        let KeyFacts { arn, policy, grants } = key;
        let seen = policy.seen();
        let mut sources = self.sources.clone();
        let rules = seen.into_iter().flat_map(|p| &p.rules);
        sources.extend(rules.filter_map(|rule| Source::of_resource_policy(rule, &self.role.caller)));
        let missing = |what: &str, why: &str| {
            Source::unknown(Reason::Unreadable {
                what: format!("the {what} of {arn}"),
                why: why.to_owned(),
            })
        };
        match policy {
            Evidence::Seen(_) | Evidence::Outside => {}
            Evidence::Missing(why) => sources.push(missing("key policy", why)),
        }
        match grants {
            Evidence::Seen(grants) => sources.extend(grants.iter().filter_map(|g| self.granted(arn, g))),
            Evidence::Outside => {}
            Evidence::Missing(why) => sources.push(missing("grants", why)),
        }
        self.opened_on(
            &Target::One(arn.clone()),
            &KEY_ACTIONS,
            &sources,
            &self.denials_on_own_with(seen),
            findings,
        );
    }

    /// A grant can give no more than cryptography, reading, and the making of further grants.
    fn granted(&self, key: &str, grant: &KeyGrant) -> Option<Source<'a>> {
        let KeyGrant { grantee, operations } = grant;
        let caller = &self.role.caller;
        let names = caller.named_by(PrincipalKind::Aws, grantee).is_some() || may_name_role(grantee, caller).is_some();
        let actions = operations
            .iter()
            .map(|o| Glob::literal(&format!("kms:{o}"), Case::Insensitive))
            .collect();
        names.then(|| Source::other(Origin::Grant(key.to_owned()), Actions::Named(actions)))
    }

    fn opened_on(
        &self,
        target: &Target,
        actions: &[&str],
        sources: &[Source<'a>],
        denials: &[&Rule],
        findings: &mut Findings,
    ) {
        for source in sources {
            let pieces = Self::reached(source, target, denials);
            for action in actions {
                if let Some(piece) = self.opens(source, action, &pieces) {
                    findings.add(&source.origin, Kind::Key, action, &piece.to_string(), &self.via);
                }
            }
        }
    }
}
