//! Whether two documents mean the same.
//!
//! AWS reorders, respells and wraps what it is given (scalars become arrays, `root` ARNs become account ids), and people
//! write the same thing in many ways. Both are brought into one canonical form here and compared. What is *implied* by
//! something else (a statement that another one covers) is not equal to it.

use std::collections::BTreeSet;

use super::{
    ActionElement, Condition, Decimal, Effect, PolicyDocument, PrincipalElement, PrincipalKind, Principals,
    ResourceElement, Statement, Version,
};

/// Whether two documents are the same but for spelling: order, scalar or array, case where AWS ignores it. `Id` is
/// ignored. `Sid`s count, since they say whose a statement is.
pub fn equivalent(a: &PolicyDocument, b: &PolicyDocument) -> bool {
    let whole = |d: &PolicyDocument| multiset(d.statements.iter().map(CanonicalStatement::of));
    language(a.version) == language(b.version) && whole(a) == whole(b)
}

/// Whether two documents decide every request alike as far as spelling goes: [`equivalent`], with `Sid`s ignored.
pub fn same_meaning(a: &PolicyDocument, b: &PolicyDocument) -> bool {
    let plain = |d: &PolicyDocument| multiset(d.statements.iter().map(|s| CanonicalStatement::of(s).without_sid()));
    language(a.version) == language(b.version) && plain(a) == plain(b)
}

/// "If you do not include a Version element, the value defaults to 2008-10-17" (AWS IAM User Guide, Version).
fn language(version: Version) -> Version {
    match version {
        Version::Absent | Version::V2008 => Version::V2008,
        Version::V2012 => Version::V2012,
    }
}

/// Whether two conditions are the same but for spelling.
pub fn same_condition(a: &Condition, b: &Condition) -> bool {
    canonical_condition(a) == canonical_condition(b)
}

fn multiset(statements: impl Iterator<Item = CanonicalStatement>) -> Vec<CanonicalStatement> {
    let mut all: Vec<_> = statements.collect();
    all.sort();
    all
}

/// A statement without its spelling. Equal values mean equal statements; also usable as a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanonicalStatement {
    sid: Option<String>,
    effect: Effect,
    principal: Option<(Sense, BTreeSet<(PrincipalKind, String)>)>,
    action: (Sense, BTreeSet<String>),
    resource: Option<(Sense, BTreeSet<String>)>,
    conditions: BTreeSet<CanonicalCondition>,
}

/// `X` or `NotX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Sense {
    Named,
    AllBut,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct CanonicalCondition {
    operator: String,
    key: String,
    values: BTreeSet<String>,
}

impl CanonicalStatement {
    /// The canonical form of `statement`, its `Sid` included. (An empty `Sid` is none.)
    pub fn of(statement: &Statement) -> Self {
        let Statement {
            sid,
            effect,
            principal,
            action,
            resource,
            conditions,
            raw: _,
        } = statement;
        Self {
            sid: sid.clone().filter(|s| !s.is_empty()),
            effect: *effect,
            principal: principal.as_ref().and_then(canonical_principal),
            action: match action {
                ActionElement::Action(list) => (Sense::Named, lower(list)),
                ActionElement::NotAction(list) => (Sense::AllBut, lower(list)),
            },
            resource: resource.as_ref().map(|r| match r {
                ResourceElement::Resource(list) => (Sense::Named, list.iter().cloned().collect()),
                ResourceElement::NotResource(list) => (Sense::AllBut, list.iter().cloned().collect()),
            }),
            conditions: conditions.iter().map(canonical_condition).collect(),
        }
    }

    /// The same without its `Sid`: what the statement does, whoever's it is.
    #[must_use]
    pub fn without_sid(self) -> Self {
        Self { sid: None, ..self }
    }
}

fn lower(list: &[String]) -> BTreeSet<String> {
    list.iter().map(|s| s.to_ascii_lowercase()).collect()
}

/// None for a `Principal` that names nobody, as for one that is not there. (A `NotPrincipal` with nobody in it is everybody.)
fn canonical_principal(element: &PrincipalElement) -> Option<(Sense, BTreeSet<(PrincipalKind, String)>)> {
    let (sense, Principals { everyone, entries }) = match element {
        PrincipalElement::Principal(p) => (Sense::Named, p),
        PrincipalElement::NotPrincipal(p) => (Sense::AllBut, p),
    };
    let mut set = BTreeSet::new();
    if *everyone {
        set.insert((PrincipalKind::Aws, "*".to_owned()));
    }
    for (kind, values) in entries {
        for value in values {
            let value = match kind {
                PrincipalKind::Aws => account_of_root(value).unwrap_or(value),
                PrincipalKind::Service | PrincipalKind::Federated | PrincipalKind::CanonicalUser => value,
            };
            set.insert((*kind, value.to_owned()));
        }
    }
    (sense == Sense::AllBut || !set.is_empty()).then_some((sense, set))
}

/// The account id in `arn:P:iam::ID:root`. The partition is dropped: a principal of another partition than the
/// document's is refused by AWS, so that within one document both spellings name one account.
fn account_of_root(principal: &str) -> Option<&str> {
    let mut parts = principal.split(':');
    let head = [parts.next(), parts.next(), parts.next(), parts.next()];
    let (account, name) = (parts.next()?, parts.next()?);
    let [Some("arn"), Some(partition), Some("iam"), Some("")] = head else {
        return None;
    };
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (partition.starts_with("aws") && is_account && name == "root" && parts.next().is_none()).then_some(account)
}

fn canonical_condition(condition: &Condition) -> CanonicalCondition {
    let operator = condition.operator.to_ascii_lowercase();
    let base = operator.rsplit(':').next().unwrap_or(&operator);
    let boolean = base.starts_with("bool") || base == "null";
    let numeric = base.starts_with("numeric");
    let value = |v: &String| {
        if boolean {
            v.to_ascii_lowercase()
        } else if numeric {
            Decimal::parse_exactly(v).map_or_else(|| v.clone(), |d| d.to_string())
        } else {
            v.clone()
        }
    };
    CanonicalCondition {
        key: condition.key.to_ascii_lowercase(),
        values: condition.values.iter().map(value).collect(),
        operator,
    }
}
