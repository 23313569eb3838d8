//! Texts of a document that may hold policy variables: `Resource` values and the values of string and ARN conditions.
//!
//! Source: "IAM policy elements: Variables and tags", AWS IAM User Guide. Variables exist only in documents of `Version`
//! 2012-10-17; `${*}`, `${?}` and `${$}` stand for the characters; `${key, 'text'}` has a default; a variable whose key is
//! absent or multivalued has no value, and a text with such a variable equals nothing and matches nothing.

use super::context::Context;
use crate::domain::document::Version;
use crate::domain::glob::{Case, Glob};

/// A text with its variables found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
    /// The pattern, when no variable has a say in it.
    fixed: Option<Glob>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// As written; in a pattern its `*` and `?` are wildcards.
    Text(String),
    /// `${*}` and its like.
    Literal(char),
    Variable {
        key: String,
        default: Option<String>,
    },
}

impl Template {
    /// Finds the variables in `text`, as the document's version has it.
    pub fn parse(text: &str, version: Version) -> Self {
        let parts = match version {
            Version::Absent | Version::V2008 => vec![Part::Text(text.to_owned())],
            Version::V2012 => parse(text),
        };
        let mut template = Self {
            source: text.to_owned(),
            parts,
            fixed: None,
        };
        if !template.has_variables() {
            template.fixed = template.build(&Context::new());
        }
        template
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The ARN with `*` for each of its six fields that the text lacks; None when it lacks none, or is no ARN.
    ///
    /// "When you specify an incomplete ARN (one with fewer than the standard six fields) in an identity-based policy, AWS
    /// automatically completes the ARN by adding wildcard characters (*) to all missing fields." (Amazon Resource Names,
    /// AWS IAM User Guide.) Fields are counted as they are written: colons in the value of a variable divide nothing.
    pub fn completed(&self) -> Option<Self> {
        let colons = |part: &Part| match part {
            Part::Text(text) => text.matches(':').count(),
            Part::Literal(_) | Part::Variable { .. } => 0,
        };
        let lacking = 5_usize.checked_sub(self.parts.iter().map(colons).sum())?;
        let is_arn = self.source == "arn" || self.source.starts_with("arn:");
        if lacking == 0 || !is_arn {
            return None;
        }
        let missing = ":*".repeat(lacking);
        let mut whole = Self {
            source: format!("{}{missing}", self.source),
            parts: self.parts.clone(),
            fixed: None,
        };
        whole.parts.push(Part::Text(missing));
        if !whole.has_variables() {
            whole.fixed = whole.build(&Context::new());
        }
        Some(whole)
    }

    /// Whether what the text matches depends on the request.
    pub fn has_variables(&self) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Variable { .. }))
    }

    /// The pattern without regard to a request; None when variables have a say in it.
    pub fn fixed(&self) -> Option<&Glob> {
        self.fixed.as_ref()
    }

    /// Whether `text` is in the pattern.
    pub fn matches(&self, text: &str, context: &Context) -> bool {
        match &self.fixed {
            Some(glob) => glob.matches(text),
            None => self.can_be_in(text, context) && self.build(context).is_some_and(|glob| glob.matches(text)),
        }
    }

    /// The text with its variables replaced and its wildcards as written, where it is no longer than `max` bytes; None
    /// also when a variable has no value.
    pub fn text(&self, context: &Context, max: usize) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Literal(c) => out.push(*c),
                Part::Variable { key, default } => out.push_str(value(key, default.as_ref(), context)?),
            }
            if out.len() > max {
                return None;
            }
        }
        Some(out)
    }

    /// False when the pattern needs more characters than `text` has. Asked first, so that a document that repeats a long
    /// value a thousand times is never built.
    pub fn can_be_in(&self, text: &str, context: &Context) -> bool {
        let mut left = text.chars().count();
        self.parts.iter().all(|part| {
            let needed = match part {
                Part::Text(text) => text.chars().filter(|c| *c != '*').count(),
                Part::Literal(_) => 1,
                Part::Variable { key, default } => {
                    value(key, default.as_ref(), context).map_or(0, |value| value.chars().count())
                }
            };
            let enough = needed <= left;
            left = left.saturating_sub(needed);
            enough
        })
    }

    /// The pattern with every variable replaced by `*`: everything the text could ever match.
    pub fn widest(&self) -> Glob {
        let mut glob = Glob::empty(Case::Sensitive);
        for part in &self.parts {
            match part {
                Part::Text(text) => glob.push_pattern(text),
                Part::Literal(c) => glob.push_literal(c.encode_utf8(&mut [0; 4])),
                Part::Variable { .. } => glob.push_pattern("*"),
            }
        }
        glob
    }

    /// The six parts of an ARN pattern, divided at the first five colons; None when there are fewer, or a variable has no
    /// value.
    pub fn arn_segments(&self, context: &Context) -> Option<Vec<Glob>> {
        let mut done = Vec::with_capacity(6);
        let mut open = Glob::empty(Case::Sensitive);
        for part in &self.parts {
            let (text, wild) = match part {
                Part::Text(text) => (text.as_str(), true),
                Part::Literal(c) => {
                    open.push_literal(c.encode_utf8(&mut [0; 4]));
                    continue;
                }
                Part::Variable { key, default } => (value(key, default.as_ref(), context)?, false),
            };
            let mut rest = text;
            while done.len() < 5 {
                let Some((head, tail)) = rest.split_once(':') else {
                    break;
                };
                push(&mut open, head, wild);
                done.push(std::mem::replace(&mut open, Glob::empty(Case::Sensitive)));
                rest = tail;
            }
            push(&mut open, rest, wild);
        }
        done.push(open);
        (done.len() == 6).then_some(done)
    }

    fn build(&self, context: &Context) -> Option<Glob> {
        let mut glob = Glob::empty(Case::Sensitive);
        for part in &self.parts {
            match part {
                Part::Text(text) => glob.push_pattern(text),
                Part::Literal(c) => glob.push_literal(c.encode_utf8(&mut [0; 4])),
                Part::Variable { key, default } => glob.push_literal(value(key, default.as_ref(), context)?),
            }
        }
        Some(glob)
    }
}

fn push(glob: &mut Glob, text: &str, wild: bool) {
    if wild {
        glob.push_pattern(text);
    } else {
        glob.push_literal(text);
    }
}

fn value<'a>(key: &str, default: Option<&'a String>, context: &'a Context) -> Option<&'a str> {
    context.single(key).or(default.map(String::as_str))
}

fn parse(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        // Without an end there is no variable, only text.
        let Some((name, after)) = behind.split_once('}') else {
            break;
        };
        plain.push_str(before);
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(variable(name));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

fn variable(name: &str) -> Part {
    match name {
        "*" => Part::Literal('*'),
        "?" => Part::Literal('?'),
        "$" => Part::Literal('$'),
        _ => {
            // "Surround the default value with single quotes, and separate the variable text and the default value with a
            // comma and space": what is written otherwise is no default, and no key has such a name.
            let (key, default) = match name
                .split_once(", '")
                .and_then(|(k, d)| Some((k, d.strip_suffix('\'')?)))
            {
                Some((key, default)) => (key, Some(default.to_owned())),
                None => (name, None),
            };
            Part::Variable {
                key: key.trim().to_owned(),
                default,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, version: Version, text: &str) -> bool {
        let context = Context::from_iter([("aws:username", "a*b"), ("k", "1"), ("k", "2")]);
        Template::parse(pattern, version).matches(text, &context)
    }

    #[test]
    fn a_variable_is_replaced_in_documents_of_2012_only() {
        assert!(matches("b/${aws:username}/*", Version::V2012, "b/a*b/x"));
        assert!(matches("b/${AWS:UserName}", Version::V2012, "b/a*b"));
        for version in [Version::V2008, Version::Absent] {
            assert!(!matches("b/${aws:username}", version, "b/a*b"));
            assert!(matches("b/${aws:username}", version, "b/${aws:username}"));
        }
    }

    #[test]
    fn a_star_in_a_value_is_no_wildcard() {
        assert!(!matches("b/${aws:username}", Version::V2012, "b/axb"));
    }

    #[test]
    fn a_variable_without_a_single_value_matches_nothing_unless_it_has_a_default() {
        assert!(!matches("${missing}", Version::V2012, ""));
        assert!(!matches("*${missing}*", Version::V2012, "x"));
        assert!(!matches("${k}", Version::V2012, "1"));
        assert!(matches("b/${missing, 'all'}/*", Version::V2012, "b/all/x"));
        assert!(matches("b/${missing, ''}x", Version::V2012, "b/x"));
        assert!(matches("b/${missing, 'a, b'}x", Version::V2012, "b/a, bx"));
    }

    #[test]
    fn a_default_is_quoted_and_stands_behind_a_comma_and_a_space() {
        for written in [
            "missing, all",
            "missing,'all'",
            "missing,  'all'",
            "missing 'all'",
            "missing, \"all\"",
            "missing, 'all",
        ] {
            let text = format!("b/${{{written}}}");
            assert!(!matches(&text, Version::V2012, "b/all"), "{text}");
        }
        // Nor is the key used when it is there.
        assert!(!matches("b/${aws:username,'x'}", Version::V2012, "b/a*b"));
        assert!(matches("b/${aws:username, 'x'}", Version::V2012, "b/a*b"));
    }

    #[test]
    fn escaped_wildcards_stand_for_themselves() {
        assert!(matches("a${*}b${?}${$}", Version::V2012, "a*b?$"));
        assert!(!matches("a${*}b", Version::V2012, "axb"));
    }

    #[test]
    fn an_unfinished_variable_is_text() {
        assert!(matches("a${b", Version::V2012, "a${b"));
        assert!(matches("a$b{}", Version::V2012, "a$b{}"));
    }

    #[test]
    fn the_widest_pattern_takes_a_variable_for_a_star() {
        let template = Template::parse("b/${x}/${*}", Version::V2012);
        assert_eq!(template.widest().to_string(), "b/*/${*}");
    }

    #[test]
    fn an_incomplete_arn_is_completed_with_wildcards() {
        let completed = |text: &str, version| Template::parse(text, version).completed().map(|t| t.source);
        for (text, whole) in [
            ("arn", Some("arn:*:*:*:*:*")),
            ("arn:aws:s3", Some("arn:aws:s3:*:*:*")),
            ("arn:aws:s3:*", Some("arn:aws:s3:*:*:*")),
            ("arn:aws:s3::", Some("arn:aws:s3:::*")),
            ("arn:aws:s3:::", None),
            ("arn:aws:s3:::b", None),
            ("arn:aws:logs:eu-west-1:1:log-group:g:*", None),
            ("*", None),
            ("b/k", None),
            ("", None),
        ] {
            assert_eq!(completed(text, Version::V2012).as_deref(), whole, "{text}");
        }
        // The colon in a variable is none of the ARN's, unless the document's version knows no variables.
        let variable = "arn:aws:${aws:PrincipalTag/service}";
        assert_eq!(completed(variable, Version::V2012), Some(format!("{variable}:*:*:*")));
        assert_eq!(completed(variable, Version::V2008), Some(format!("{variable}:*:*")));
        let whole = Template::parse("arn:aws:${v}", Version::V2012).completed().unwrap();
        assert!(whole.matches("arn:aws:s3:::b/k", &Context::from_iter([("v", "s3")])));
        assert!(!whole.matches("arn:aws:s3:::b/k", &Context::new()));
    }

    #[test]
    fn an_arn_is_divided_at_its_first_five_colons() {
        let segments = |text: &str| {
            Template::parse(text, Version::V2012)
                .arn_segments(&Context::from_iter([("v", "x:y")]))
                .map(|s| s.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let expected = ["arn", "aws", "logs", "*", "1", "log-group:x:y:*"].map(str::to_owned);
        assert_eq!(segments("arn:aws:logs:*:1:log-group:${v}:*"), Some(expected.to_vec()));
        assert_eq!(segments("arn:aws:s3:*"), None);
        assert_eq!(segments("arn:aws:s3:::${missing}"), None);
    }
}
