//! Text for the object: bounded, one line, and never a document or a secret.

use crate::api::MAX_STRING;

/// Longest condition message, in characters. The API allows 32768; nobody reads that.
pub(super) const MAX_MESSAGE: usize = 1024;

/// Text for a finding or the history: at most [`MAX_STRING`] characters.
pub(super) fn shown(text: &str) -> String {
    if is_document(text) {
        format!("(a document of {} bytes)", text.len())
    } else {
        cut(text, MAX_STRING)
    }
}

/// Text for a condition: at most [`MAX_MESSAGE`] characters.
pub(super) fn message(text: &str) -> String {
    cut(text, MAX_MESSAGE)
}

/// At most `max` characters, the last an ellipsis if something is missing. Control characters (line breaks, terminal
/// escapes in a tag or policy that somebody else wrote) become spaces.
fn cut(text: &str, max: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut chars = text.chars();
    let mut out: String = chars.by_ref().take(max).map(clean).collect();
    if chars.next().is_some() {
        out.pop();
        out.push('…');
    }
    out
}

/// Whether a text is a whole JSON object: a policy document says too much (ExternalIds, other people's ARNs) and is too
/// long to be read in a status.
fn is_document(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_stays_as_it_is() {
        assert_eq!(shown("aws:kms"), "aws:kms");
        assert_eq!(shown(&"é".repeat(256)), "é".repeat(256));
    }

    #[test]
    fn long_text_is_cut_between_characters_and_says_so() {
        let long = "🔒".repeat(300);
        assert_eq!(shown(&long), format!("{}…", "🔒".repeat(255)));
        assert_eq!(message(&"a".repeat(1025)), format!("{}…", "a".repeat(1023)));
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(shown("a\n\u{1b}[31mb\u{0}"), "a  [31mb ");
    }

    #[test]
    fn a_document_is_never_shown() {
        let document = r#" {"Condition":{"StringEquals":{"sts:ExternalId":"hunter2"}}}"#;
        assert_eq!(shown(document), format!("(a document of {} bytes)", document.len()));
    }
}
