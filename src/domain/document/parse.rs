//! The parser of policy documents.

use serde_json::{Map, Value};

use super::{
    ActionElement, Condition, Effect, PolicyDocument, PrincipalElement, PrincipalKind, Principals, ResourceElement,
    Statement, Version, json,
};

/// Why a document is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`json::MAX_BYTES`].
    #[error("{bytes} bytes long; no policy of AWS has more than {max}", max = json::MAX_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Percent-encoded in a way that cannot be decoded.
    #[error("percent-encoding: {0}")]
    Encoding(&'static str),
    /// Not JSON, or JSON with a key twice in one object.
    #[error("not JSON: {0}")]
    Json(String),
    /// JSON, but not in the policy grammar.
    #[error("{at}: {problem}")]
    Grammar {
        /// Where, e.g. `Statement[2].Action`.
        at: String,
        /// What is wrong there.
        problem: String,
    },
}

/// Where the document itself is meant and no element of it.
const WHOLE: &str = "document";

/// The start of a text that somebody else wrote, for messages: status fields and logs are short and public.
pub(super) fn shorten(text: &str) -> String {
    const MAX: usize = 80;
    if text.chars().nth(MAX).is_some() {
        text.chars().take(MAX).chain(['…']).collect()
    } else {
        text.to_owned()
    }
}

fn bad<T>(at: impl Into<String>, problem: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError::Grammar {
        at: shorten(&at.into()),
        problem: problem.into(),
    })
}

pub(super) fn document(text: &str) -> Result<PolicyDocument, ParseError> {
    from_value(json::read(text)?)
}

pub(super) fn documents(text: &str) -> Result<Vec<PolicyDocument>, ParseError> {
    match json::read(text)? {
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(i, item)| from_value(item).map_err(|e| of_document(i, e)))
            .collect(),
        one => Ok(vec![from_value(one)?]),
    }
}

/// Says in which document of an array the element is.
fn of_document(index: usize, error: ParseError) -> ParseError {
    match error {
        ParseError::Grammar { at, problem } if at == WHOLE => ParseError::Grammar {
            at: format!("[{index}]"),
            problem,
        },
        ParseError::Grammar { at, problem } => ParseError::Grammar {
            at: format!("[{index}].{at}"),
            problem,
        },
        ParseError::TooLarge { .. } | ParseError::Encoding(_) | ParseError::Json(_) => error,
    }
}

fn from_value(value: Value) -> Result<PolicyDocument, ParseError> {
    let Value::Object(top) = value else {
        return bad(WHOLE, "expected a JSON object");
    };
    let (mut version, mut id, mut statements) = (Version::Absent, None, None);
    for (key, value) in top {
        match (key.as_str(), value) {
            ("Version", Value::String(v)) => {
                version = match v.as_str() {
                    "2008-10-17" => Version::V2008,
                    "2012-10-17" => Version::V2012,
                    other => return bad("Version", format!("unknown version {:?}", shorten(other))),
                }
            }
            ("Id", Value::String(v)) => id = Some(v),
            ("Statement", Value::Array(items)) => {
                statements = Some(
                    items
                        .into_iter()
                        .enumerate()
                        .map(|(i, v)| statement(i, v))
                        .collect::<Result<Vec<_>, _>>()?,
                );
            }
            ("Statement", one @ Value::Object(_)) => statements = Some(vec![statement(0, one)?]),
            (other, _) => return bad(other, "unknown element, or not of its type"),
        }
    }
    match statements {
        Some(statements) => Ok(PolicyDocument {
            version,
            id,
            statements,
        }),
        None => bad("Statement", "missing"),
    }
}

pub(super) fn statement(index: usize, value: Value) -> Result<Statement, ParseError> {
    let at = |element: &str| format!("Statement[{index}].{element}");
    let Value::Object(raw) = value else {
        return bad(format!("Statement[{index}]"), "expected an object");
    };
    let (mut sid, mut effect, mut principal, mut action, mut resource) = (None, None, None, None, None);
    let mut conditions = Vec::new();
    for (key, value) in &raw {
        let here = at(key);
        match key.as_str() {
            "Sid" => match value {
                Value::String(s) => sid = Some(s.clone()),
                _ => return bad(here, "expected a string"),
            },
            "Effect" => {
                effect = Some(match value.as_str() {
                    Some("Allow") => Effect::Allow,
                    Some("Deny") => Effect::Deny,
                    _ => return bad(here, "expected \"Allow\" or \"Deny\""),
                });
            }
            "Principal" | "NotPrincipal" if principal.is_some() => {
                return bad(here, "Principal and NotPrincipal exclude each other");
            }
            "Principal" => principal = Some(PrincipalElement::Principal(principals(&here, value)?)),
            "NotPrincipal" => principal = Some(PrincipalElement::NotPrincipal(principals(&here, value)?)),
            "Action" | "NotAction" if action.is_some() => return bad(here, "Action and NotAction exclude each other"),
            "Action" => action = Some(ActionElement::Action(strings(&here, value, 1)?)),
            "NotAction" => action = Some(ActionElement::NotAction(strings(&here, value, 1)?)),
            "Resource" | "NotResource" if resource.is_some() => {
                return bad(here, "Resource and NotResource exclude each other");
            }
            "Resource" => resource = Some(ResourceElement::Resource(strings(&here, value, 1)?)),
            "NotResource" => resource = Some(ResourceElement::NotResource(strings(&here, value, 1)?)),
            "Condition" => conditions = condition_block(&here, value)?,
            _ => return bad(here, "unknown element"),
        }
    }
    let Some(effect) = effect else {
        return bad(at("Effect"), "missing");
    };
    let Some(action) = action else {
        return bad(at("Action"), "missing");
    };
    Ok(Statement {
        sid,
        effect,
        principal,
        action,
        resource,
        conditions,
        raw,
    })
}

fn principals(at: &str, value: &Value) -> Result<Principals, ParseError> {
    match value {
        Value::String(s) if s == "*" => Ok(Principals {
            everyone: true,
            ..Principals::default()
        }),
        Value::Object(map) => {
            let mut out = Principals::default();
            for (kind, values) in map {
                let kind = match kind.as_str() {
                    "AWS" => PrincipalKind::Aws,
                    "Service" => PrincipalKind::Service,
                    "Federated" => PrincipalKind::Federated,
                    "CanonicalUser" => PrincipalKind::CanonicalUser,
                    other => return bad(at, format!("unknown principal type {:?}", shorten(other))),
                };
                out.entries.insert(kind, strings(at, values, 0)?);
            }
            Ok(out)
        }
        _ => bad(at, "expected \"*\" or an object"),
    }
}

fn condition_block(at: &str, value: &Value) -> Result<Vec<Condition>, ParseError> {
    let mut out = Vec::new();
    for (operator, keys) in object(at, value)? {
        for (key, values) in object(&format!("{at}.{operator}"), keys)? {
            let here = format!("{at}.{operator}.{key}");
            let values = match values {
                Value::Array(items) => items.iter().map(|v| scalar(&here, v)).collect::<Result<_, _>>()?,
                one => vec![scalar(&here, one)?],
            };
            out.push(Condition {
                operator: operator.clone(),
                key: key.clone(),
                values,
            });
        }
    }
    Ok(out)
}

fn object<'a>(at: &str, value: &'a Value) -> Result<&'a Map<String, Value>, ParseError> {
    value.as_object().map_or_else(|| bad(at, "expected an object"), Ok)
}

/// One string or an array of them. `min` is 1 where AWS refuses an empty list.
fn strings(at: &str, value: &Value, min: usize) -> Result<Vec<String>, ParseError> {
    let one = |v: &Value| {
        v.as_str().map_or_else(
            || bad(at, "expected a string or an array of strings"),
            |s| Ok(s.to_owned()),
        )
    };
    match value {
        Value::Array(items) if items.len() < min => bad(at, "an empty list"),
        Value::Array(items) => items.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

fn scalar(at: &str, value: &Value) -> Result<String, ParseError> {
    match value {
        Value::String(s) => Ok(s.clone()),
        Value::Bool(b) => Ok(b.to_string()),
        Value::Number(n) => Ok(n.to_string()),
        _ => bad(at, "expected a string, number or boolean"),
    }
}
