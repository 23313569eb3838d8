//! Statements from their parts: what we put into a document ourselves, with JSON that is in the grammar by construction.

use serde_json::{Map, Value};

use super::{
    ActionElement, Condition, Effect, PrincipalElement, PrincipalKind, Principals, ResourceElement, Statement,
};

/// The elements of a statement; what [`Statement::from`] turns into JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementParts {
    /// `Sid`.
    pub sid: Option<String>,
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`; none in identity policies.
    pub principal: Option<PrincipalElement>,
    /// `Action` or `NotAction`.
    pub action: ActionElement,
    /// `Resource` or `NotResource`; none in trust policies.
    pub resource: Option<ResourceElement>,
    /// `Condition`; of two conditions with the same operator and key the last one counts.
    pub conditions: Vec<Condition>,
}

impl From<StatementParts> for Statement {
    fn from(parts: StatementParts) -> Self {
        let StatementParts {
            sid,
            effect,
            principal,
            action,
            resource,
            conditions,
        } = parts;
        let mut raw = Map::new();
        if let Some(sid) = &sid {
            raw.insert("Sid".into(), sid.clone().into());
        }
        let effect_word = match effect {
            Effect::Allow => "Allow",
            Effect::Deny => "Deny",
        };
        raw.insert("Effect".into(), effect_word.into());
        match &principal {
            Some(PrincipalElement::Principal(p)) => drop(raw.insert("Principal".into(), principals(p))),
            Some(PrincipalElement::NotPrincipal(p)) => drop(raw.insert("NotPrincipal".into(), principals(p))),
            None => {}
        }
        match &action {
            ActionElement::Action(list) => raw.insert("Action".into(), strings(list)),
            ActionElement::NotAction(list) => raw.insert("NotAction".into(), strings(list)),
        };
        match &resource {
            Some(ResourceElement::Resource(list)) => drop(raw.insert("Resource".into(), strings(list))),
            Some(ResourceElement::NotResource(list)) => drop(raw.insert("NotResource".into(), strings(list))),
            None => {}
        }
        if !conditions.is_empty() {
            raw.insert("Condition".into(), condition_block(&conditions));
        }
        Self {
            sid,
            effect,
            principal,
            action,
            resource,
            conditions,
            raw,
        }
    }
}

fn principals(principals: &Principals) -> Value {
    let Principals { everyone, entries } = principals;
    if *everyone {
        return "*".into();
    }
    let entries = entries.iter().map(|(kind, values)| {
        let kind = match kind {
            PrincipalKind::Aws => "AWS",
            PrincipalKind::Service => "Service",
            PrincipalKind::Federated => "Federated",
            PrincipalKind::CanonicalUser => "CanonicalUser",
        };
        (kind.to_owned(), strings(values))
    });
    Value::Object(entries.collect())
}

fn condition_block(conditions: &[Condition]) -> Value {
    let mut block: Map<String, Value> = Map::new();
    for Condition { operator, key, values } in conditions {
        let keys = block
            .entry(operator.clone())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(keys) = keys {
            keys.insert(key.clone(), strings(values));
        }
    }
    Value::Object(block)
}

/// One value stands alone: the shape that scanners look for (Prowler wants `"false"`, not `["false"]`).
fn strings(list: &[String]) -> Value {
    match list {
        [one] => one.clone().into(),
        many => many.iter().map(|s| Value::from(s.clone())).collect(),
    }
}
