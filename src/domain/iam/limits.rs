//! Limits of IAM that are checked before anything is written: IAM itself would refuse the document, with an error that
//! names no number. Source: AWS IAM User Guide, "IAM and AWS STS quotas".

/// Most characters of a role's trust policy. (AWS raises it to 4 096 on request; we stay within what every account has.)
pub const TRUST_CHARS: usize = 2_048;
/// Most characters of all inline policies of a role together, white space not counted.
pub const INLINE_CHARS: usize = 10_240;

/// Size of a document as IAM counts it. White space *between* elements is not counted; whether that holds for white
/// space *within* a value is not documented, so that it is counted here.
pub fn chars(document: &str) -> usize {
    let (mut in_string, mut escaped, mut count) = (false, false, 0);
    for c in document.chars() {
        if in_string || !c.is_ascii_whitespace() {
            count += 1;
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    count
}

/// The first character that IAM takes in no policy document, if there is one: it takes tab, line feed, carriage return
/// and U+0020 to U+00FF (API reference, `PutRolePolicy`, pattern of `PolicyDocument`).
pub fn refused_character(document: &str) -> Option<char> {
    document
        .chars()
        .find(|c| !matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_elements_is_free_and_within_values_is_not() {
        assert_eq!(chars("{ \"a\" :\n \"b c\" }"), r#"{"a":"b c"}"#.len());
        assert_eq!(chars(r#"{"a": "\" \\"}"#), r#"{"a":"\" \\"}"#.len());
        assert_eq!(chars("\"é\""), 3);
    }

    #[test]
    fn characters_beyond_latin_1_are_refused() {
        assert_eq!(refused_character("{\"a\":\t\"é\u{ff}~\"}\r\n"), None);
        assert_eq!(refused_character("data/日本"), Some('日'));
        assert_eq!(refused_character("a\u{7}b"), Some('\u{7}'));
    }
}
