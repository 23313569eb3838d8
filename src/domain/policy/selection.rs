//! Buckets by selector: what a selector asks for, and how what it found becomes part of the policy.
//!
//! Lives here: which buckets a policy covers, given what was found and what it has claimed. Does not live here: the search
//! (`aws`), and what is said about selectors and about buckets that they find no more (`domain::s3`).

use std::collections::{BTreeMap, BTreeSet};

use super::{BucketTarget, Controlled, OperatorSettings, ValidatedPolicy, WantAccessLogging, WantEncryption};
use crate::api::{TLSVersion, Targets};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{CallError, Read};

/// Most buckets that the selectors of one policy may find together; as many as a spec may name.
pub const MAX_SELECTED: usize = 2000;

/// What is asked of a bucket, whichever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketTemplate {
    /// Default encryption.
    pub encryption: Option<Controlled<WantEncryption>>,
    /// TLS-only, with the minimum version.
    pub transport: Option<Controlled<TLSVersion>>,
    /// Public access block.
    pub public_access: Option<Controlled<()>>,
    /// Object Ownership.
    pub object_ownership: Option<Controlled<()>>,
    /// Versioning.
    pub versioning: Option<Controlled<()>>,
    /// Server access logs.
    pub access_logging: Option<Controlled<WantAccessLogging>>,
}

impl BucketTemplate {
    /// The same, asked of one bucket.
    pub fn bucket(self, name: BucketName, region_hint: Region) -> BucketTarget {
        let Self {
            encryption,
            transport,
            public_access,
            object_ownership,
            versioning,
            access_logging,
        } = self;
        BucketTarget {
            name,
            region_hint,
            encryption,
            transport,
            public_access,
            object_ownership,
            versioning,
            access_logging,
        }
    }

    /// What is asked of this bucket.
    pub fn of(bucket: &BucketTarget) -> Self {
        let BucketTarget {
            name: _,
            region_hint: _,
            encryption,
            transport,
            public_access,
            object_ownership,
            versioning,
            access_logging,
        } = bucket.clone();
        Self {
            encryption,
            transport,
            public_access,
            object_ownership,
            versioning,
            access_logging,
        }
    }
}

/// A bucket selector: prefix and tags must both hold; never without either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorTarget {
    /// Name.
    pub name: String,
    /// How bucket names start, literally.
    pub name_prefix: Option<String>,
    /// Tags, all of them, literally.
    pub match_tags: BTreeMap<String, String>,
    /// What is asked of what it finds.
    pub template: BucketTemplate,
}

/// What one selector found: every bucket of the account that matches, or it would not be this but an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectedBuckets {
    /// The buckets, with their region where the search told it.
    pub buckets: BTreeMap<BucketName, Option<Region>>,
    /// Names that match and are none that this version can protect: from before the naming rules.
    pub unusable: BTreeSet<String>,
}

/// How a bucket came into the policy that the spec does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The selector that found it; the first by name.
    pub selector: String,
    /// Whether it still does.
    pub presence: Presence,
}

/// Whether a selector finds a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Selected,
    /// It did, and does no more.
    Left,
    /// It did; just now the search failed.
    Unknown,
}

/// What came of one selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The search went through.
    Found {
        /// Buckets that match, those that the spec names included.
        buckets: usize,
        /// Names that match and are not covered: the operator's configuration does not allow them, or they are unusable.
        refused: BTreeSet<String>,
        /// Names that match and are not covered, since the policy would have more than [`MAX_SELECTED`].
        surplus: usize,
    },
    /// It failed.
    Unread(CallError),
}

/// What all selectors of a policy came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Buckets that are in the policy by selector alone.
    pub origins: BTreeMap<BucketName, Origin>,
    /// By selector; one that is not there was not asked.
    pub matched: BTreeMap<String, Matched>,
    /// Regions that the search told, of all buckets that were found.
    pub regions: BTreeMap<BucketName, Region>,
}

impl Selection {
    /// The selector by which a bucket is in the policy.
    pub fn selector_of(&self, bucket: &BucketName) -> Option<&str> {
        self.origins.get(bucket).map(|origin| origin.selector.as_str())
    }
}

impl ValidatedPolicy {
    /// The policy with the buckets that its selectors `found`, and with those that they once found and that nobody has
    /// released: whoever may untag a bucket shall not be able to switch its protection off. A bucket that the spec names is
    /// as the spec says. A search that failed takes nothing away.
    #[must_use]
    pub fn cover(mut self, found: &BTreeMap<String, Read<SelectedBuckets>>) -> Self {
        if self.selectors.is_empty() {
            return self;
        }
        let named: BTreeSet<BucketName> = self.buckets.iter().map(|b| b.name.clone()).collect();
        let mut selection = Selection::default();
        for selector in &self.selectors {
            let matched = match found.get(&selector.name) {
                None => continue,
                Some(Err(error)) => Matched::Unread(error.clone()),
                Some(Ok(seen)) => {
                    selection.regions.extend(known_regions(seen));
                    take(selector, seen, &named, &self.settings, &mut selection.origins)
                }
            };
            selection.matched.insert(selector.name.clone(), matched);
        }
        bound(&mut selection, &self.inventory, found);
        self.keep_claimed(&named, &mut selection);
        let claimed: BTreeMap<BucketName, Region> = inventory_regions(&self.inventory).collect();
        let templates: BTreeMap<&str, &BucketTemplate> =
            self.selectors.iter().map(|s| (s.name.as_str(), &s.template)).collect();
        let covered = selection.origins.iter().filter_map(|(name, origin)| {
            let template = (*templates.get(origin.selector.as_str())?).clone();
            let region = selection.regions.get(name).or_else(|| claimed.get(name));
            let region = region.unwrap_or(&self.region).clone();
            Some(template.bucket(name.clone(), region))
        });
        self.buckets.extend(covered);
        self.buckets.sort_by(|a, b| a.name.cmp(&b.name));
        self.selection = selection;
        self
    }

    /// Regions of the buckets that are in the policy by selector: as far as the search told them.
    pub fn selected_regions(&self) -> impl Iterator<Item = (BucketName, Region)> + '_ {
        let known = |name: &BucketName| self.selection.regions.get(name).cloned();
        let selected = self.selection.origins.keys();
        selected.filter_map(move |name| Some((name.clone(), known(name)?)))
    }

    /// Buckets that a selector found before, and that none finds now.
    fn keep_claimed(&self, named: &BTreeSet<BucketName>, selection: &mut Selection) {
        // A bucket may have gone over from one selector to another: with one of them unread, that can't be told.
        let all_read = self
            .selectors
            .iter()
            .all(|s| matches!(selection.matched.get(&s.name), Some(Matched::Found { .. })));
        for claimed in &self.inventory.buckets {
            let (Some(selector), Ok(name)) = (&claimed.selector, BucketName::new(&claimed.name)) else {
                continue;
            };
            let in_spec = self.selectors.iter().any(|s| s.name == *selector);
            let allowed = self.settings.allows_bucket(name.as_str());
            if named.contains(&name) || selection.origins.contains_key(&name) || !in_spec || !allowed {
                continue;
            }
            if all_read && self.released.contains(&name) {
                continue;
            }
            let presence = if all_read { Presence::Left } else { Presence::Unknown };
            let selector = selector.clone();
            selection.origins.insert(name, Origin { selector, presence });
        }
    }
}

fn known_regions(seen: &SelectedBuckets) -> impl Iterator<Item = (BucketName, Region)> + '_ {
    let known = |(name, region): (&BucketName, &Option<Region>)| Some((name.clone(), region.clone()?));
    seen.buckets.iter().filter_map(known)
}

fn inventory_regions(inventory: &Targets) -> impl Iterator<Item = (BucketName, Region)> + '_ {
    inventory.buckets.iter().filter_map(|bucket| {
        let region = Region::new(bucket.region.as_ref()?).ok()?;
        Some((BucketName::new(&bucket.name).ok()?, region))
    })
}

/// What a selector found becomes part of the policy, as far as the operator's configuration allows it.
fn take(
    selector: &SelectorTarget,
    seen: &SelectedBuckets,
    named: &BTreeSet<BucketName>,
    settings: &OperatorSettings,
    origins: &mut BTreeMap<BucketName, Origin>,
) -> Matched {
    let SelectedBuckets { buckets, unusable } = seen;
    let mut refused = unusable.clone();
    for name in buckets.keys() {
        if !settings.allows_bucket(name.as_str()) {
            refused.insert(name.to_string());
        } else if !named.contains(name) {
            origins.entry(name.clone()).or_insert_with(|| Origin {
                selector: selector.name.clone(),
                presence: Presence::Selected,
            });
        }
    }
    Matched::Found {
        buckets: buckets.len() + unusable.len(),
        refused,
        surplus: 0,
    }
}

/// Over the bound, what is claimed already is kept, and then what comes first by name.
fn bound(selection: &mut Selection, inventory: &Targets, found: &BTreeMap<String, Read<SelectedBuckets>>) {
    let too_many = selection.origins.len().saturating_sub(MAX_SELECTED);
    if too_many == 0 {
        return;
    }
    let claimed: BTreeSet<&str> = inventory.buckets.iter().map(|b| b.name.as_str()).collect();
    let mut names: Vec<BucketName> = selection.origins.keys().cloned().collect();
    names.sort_by_key(|name| (!claimed.contains(name.as_str()), name.clone()));
    for name in names.split_off(MAX_SELECTED) {
        selection.origins.remove(&name);
        for (selector, matched) in &mut selection.matched {
            let its = found.get(selector).and_then(|read| read.as_ref().ok());
            if let Matched::Found { surplus, .. } = matched
                && its.is_some_and(|seen| seen.buckets.contains_key(&name))
            {
                *surplus += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
