//! What a set of statements, anybody's, already enforces: TLS only, a minimum TLS version, no writes by a role, no uploads
//! with weaker encryption.
//!
//! Sound and not complete: "enforced" is said only where it follows for *every* request of the kind; what can't be told
//! counts as not enforced, and then we write our own statement beside it. Unions count: several Denies that together cover
//! the bucket, its objects and all actions. A Deny with `NotPrincipal` counts for nobody (its meaning differs between AWS's
//! documents and observation).

use crate::api::TLSVersion;
use crate::domain::document::equivalence::same_condition;
use crate::domain::document::{
    ActionElement, Condition, Effect, PrincipalElement, PrincipalKind, Principals, ResourceElement, Statement,
};
use crate::domain::glob::{Case, Glob};
use crate::domain::iam::role::READ_ACTIONS;

use super::facts::Facts;
use super::statement::{PRINCIPAL_ARN, SECURE_TRANSPORT, TLS_VERSION};

/// TLS versions that exist, oldest first, as `s3:TlsVersion` spells them.
const TLS_VERSIONS: [&str; 4] = ["1.0", "1.1", "1.2", "1.3"];

/// Whether every request without TLS to the bucket or its objects is refused, by whomever it is made.
pub fn tls_only<'a>(statements: impl IntoIterator<Item = &'a Statement>, bucket_arn: &str) -> bool {
    let plaintext = Facts::default().is(SECURE_TRANSPORT, "false");
    let told = told(statements, is_pattern_of_a_boolean);
    let denies = denies(told, &plaintext, names_everyone);
    cover(&denies, bucket_arn, &[])
}

/// A wildcard for a boolean (`StringLike aws:SecureTransport f*`): AWS documents wildcards for strings only.
fn is_pattern_of_a_boolean(condition: &Condition) -> bool {
    let Condition { operator, key, values } = condition;
    key.eq_ignore_ascii_case(SECURE_TRANSPORT)
        && operator.to_ascii_lowercase().contains("like")
        && values.iter().any(|v| v.contains(['*', '?']))
}

/// A text operator on the TLS version: AWS documents the key as a number, not how its text is spelled.
fn is_text_of_a_number(condition: &Condition) -> bool {
    let Condition {
        operator,
        key,
        values: _,
    } = condition;
    let operator = operator.to_ascii_lowercase();
    key.eq_ignore_ascii_case(TLS_VERSION) && !operator.starts_with("numeric") && operator != "null"
}

/// The statements without those whose conditions AWS doesn't document.
fn told<'a>(
    statements: impl IntoIterator<Item = &'a Statement>,
    is_undocumented: fn(&Condition) -> bool,
) -> impl Iterator<Item = &'a Statement> {
    let documented = move |s: &&Statement| !s.conditions.iter().any(is_undocumented);
    statements.into_iter().filter(documented)
}

/// Whether every request with a TLS version below `minimum` is refused, by whomever it is made.
pub fn minimum_tls<'a>(
    statements: &(impl IntoIterator<Item = &'a Statement> + Clone),
    bucket_arn: &str,
    minimum: TLSVersion,
) -> bool {
    let older: &[&str] = match minimum {
        TLSVersion::V12 => TLS_VERSIONS.first_chunk::<2>().map_or(&[], |older| older),
        TLSVersion::V13 => TLS_VERSIONS.first_chunk::<3>().map_or(&[], |older| older),
    };
    older.iter().all(|version| {
        let request = Facts::default().is(SECURE_TRANSPORT, "true").is(TLS_VERSION, version);
        let told = told(statements.clone(), is_text_of_a_number);
        cover(&denies(told, &request, names_everyone), bucket_arn, &[])
    })
}

/// Whether every request of the role that is not a read is refused.
pub fn role_writes_denied<'a>(
    statements: impl IntoIterator<Item = &'a Statement>,
    bucket_arn: &str,
    role_arn: &str,
) -> bool {
    let request = Facts::default().is(PRINCIPAL_ARN, role_arn);
    let names_role = |p: &Principals| {
        let aws = p.entries.get(&PrincipalKind::Aws);
        names_everyone(p) || aws.is_some_and(|list| list.iter().any(|v| v == role_arn))
    };
    cover(&denies(statements, &request, names_role), bucket_arn, &READ_ACTIONS)
}

/// `"*"` and `{"AWS": "*"}` mean the same in a resource policy.
pub(super) fn names_everyone(principals: &Principals) -> bool {
    let Principals { everyone, entries } = principals;
    *everyone
        || entries
            .get(&PrincipalKind::Aws)
            .is_some_and(|list| list.iter().any(|v| v == "*"))
}

/// Whether everything on the bucket's objects that `wanted` refuses is refused, by whomever it is made. `wanted` is a Deny of
/// literal actions.
pub(super) fn refused_like<'a>(
    statements: impl IntoIterator<Item = &'a Statement>,
    bucket_arn: &str,
    wanted: &Statement,
) -> bool {
    let ActionElement::Action(actions) = &wanted.action else {
        return false;
    };
    let implied = |s: &Statement| s.conditions.iter().all(|c| is_implied(c, &wanted.conditions));
    let denies: Vec<Deny> = statements
        .into_iter()
        .filter(|s| s.effect == Effect::Deny && implied(s))
        .filter_map(|s| Deny::of(s, names_everyone))
        .collect();
    let objects = objects_of(&Glob::literal(bucket_arn, Case::Sensitive));
    actions.iter().all(|action| {
        let action = Glob::literal(action, Case::Insensitive);
        let of_action = denies.iter().filter(|d| d.actions.covers(&action));
        union_covers(&objects, &of_action.map(|d| &d.resources).collect::<Vec<_>>())
    })
}

/// Whether `condition` holds in every request in which all of `given` do: it is one of them, or asks that a key have none
/// of some values of which they exclude these and more, or the key altogether.
fn is_implied(condition: &Condition, given: &[Condition]) -> bool {
    let Condition { operator, key, values } = condition;
    let is =
        |c: &Condition, operator: &str| c.operator.eq_ignore_ascii_case(operator) && c.key.eq_ignore_ascii_case(key);
    let is_missing = |c: &Condition| is(c, "Null") && matches!(c.values.as_slice(), [v] if v == "true");
    let excludes_them = |c: &Condition| is(c, "StringNotEquals") && values.iter().all(|v| c.values.contains(v));
    let negated = ["StringNotEquals", "StringNotEqualsIfExists"];
    let is_negated = negated.iter().any(|name| operator.eq_ignore_ascii_case(name));
    let told = !values.is_empty() && !values.iter().any(|v| v.contains("${"));
    given.iter().any(|c| same_condition(condition, c))
        || (is_negated && told && given.iter().any(|c| is_missing(c) || excludes_them(c)))
}

/// A Deny that holds for every request of the class, reduced to what it is about.
struct Deny {
    actions: Patterns,
    resources: Patterns,
}

impl Deny {
    /// Of a statement whose conditions hold for the whole class.
    fn of(statement: &Statement, names: impl Fn(&Principals) -> bool) -> Option<Self> {
        let is_named = matches!(&statement.principal, Some(PrincipalElement::Principal(p)) if names(p));
        if !is_named || statement.has_empty_operator() {
            return None;
        }
        Some(Self {
            actions: Patterns::of_actions(&statement.action)?,
            resources: Patterns::of_resources(statement.resource.as_ref()?)?,
        })
    }
}

fn denies<'a>(
    statements: impl IntoIterator<Item = &'a Statement>,
    request: &Facts,
    names: impl Fn(&Principals) -> bool,
) -> Vec<Deny> {
    statements
        .into_iter()
        .filter(|s| s.effect == Effect::Deny && request.all_hold(&s.conditions) == Some(true))
        .filter_map(|s| Deny::of(s, &names))
        .collect()
}

/// The ARNs of all objects. A key has at least one character.
fn objects_of(bucket: &Glob) -> Glob {
    let mut objects = bucket.clone();
    objects.push_pattern("/?*");
    objects
}

/// Whether the Denies cover every action but `except` on the bucket and on every object.
fn cover(denies: &[Deny], bucket_arn: &str, except: &[&str]) -> bool {
    // An action has at least one letter; so `s3:?*` covers all as well.
    let every_action = Glob::new("s3:?*", Case::Insensitive);
    let excepted = Patterns {
        sense: Sense::Named,
        globs: except.iter().map(|a| Glob::literal(a, Case::Insensitive)).collect(),
    };
    let bucket = Glob::literal(bucket_arn, Case::Sensitive);
    let objects = objects_of(&bucket);
    [bucket, objects].iter().all(|resource| {
        let on_all_of_it = denies.iter().filter(|d| union_covers(resource, &[&d.resources]));
        let actions: Vec<_> = on_all_of_it.map(|d| &d.actions).chain([&excepted]).collect();
        let all_actions = denies
            .iter()
            .filter(|d| union_covers(&every_action, &[&d.actions, &excepted]));
        let resources: Vec<_> = all_actions.map(|d| &d.resources).collect();
        union_covers(&every_action, &actions) || union_covers(resource, &resources)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sense {
    Named,
    AllBut,
}

/// `X` or `NotX` of a Deny, without what can't be told: a pattern with a policy variable, or one whose wildcard would have
/// to reach over the parts of a name (`arn:aws:s3*`, `s*`), names nothing for sure, and excepts anything. (With all its
/// parts a pattern matches a bucket's ARN part by part or not at all: both have the same number of colons.)
struct Patterns {
    sense: Sense,
    globs: Vec<Glob>,
}

impl Patterns {
    fn new(sense: Sense, list: &[String], case: Case, parts: usize) -> Option<Self> {
        let variable = |pattern: &str| pattern.contains("${");
        let whole = |pattern: &str| pattern == "*" || pattern.splitn(parts, ':').count() == parts;
        let told = |pattern: &&String| whole(pattern) && !variable(pattern);
        if sense == Sense::AllBut && !list.iter().all(|p| told(&p)) {
            return None;
        }
        let globs = list.iter().filter(told).map(|p| Glob::new(p, case)).collect();
        Some(Self { sense, globs })
    }

    fn of_actions(element: &ActionElement) -> Option<Self> {
        // service:Name
        match element {
            ActionElement::Action(list) => Self::new(Sense::Named, list, Case::Insensitive, 2),
            ActionElement::NotAction(list) => Self::new(Sense::AllBut, list, Case::Insensitive, 2),
        }
    }

    fn of_resources(element: &ResourceElement) -> Option<Self> {
        // arn:partition:service:region:account:resource
        match element {
            ResourceElement::Resource(list) => Self::new(Sense::Named, list, Case::Sensitive, 6),
            ResourceElement::NotResource(list) => Self::new(Sense::AllBut, list, Case::Sensitive, 6),
        }
    }

    /// Whether everything that `glob` matches is in here, told by one pattern.
    fn covers(&self, glob: &Glob) -> bool {
        match self.sense {
            Sense::Named => self.globs.iter().any(|own| own.contains(glob)),
            Sense::AllBut => !self.globs.iter().any(|own| own.intersects(glob)),
        }
    }
}

/// Whether the parts together cover `universe`: one of them alone, or an "all but" whose exceptions lie outside or are
/// covered by the others.
fn union_covers(universe: &Glob, parts: &[&Patterns]) -> bool {
    parts.iter().any(|part| part.covers(universe))
        || parts.iter().enumerate().any(|(i, part)| {
            let by_others = |glob: &Glob| parts.iter().enumerate().any(|(j, p)| j != i && p.covers(glob));
            part.sense == Sense::AllBut && part.globs.iter().all(|g| !g.intersects(universe) || by_others(g))
        })
}

#[cfg(test)]
mod soundness;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upload_tests;
