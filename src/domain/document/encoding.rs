//! Percent-encoding of policy documents: IAM's answers carry them RFC 3986-encoded (GetRole, GetRolePolicy,
//! GetPolicyVersion, GetAccountAuthorizationDetails), S3's and KMS's don't.

use percent_encoding::percent_decode_str;

use super::parse::ParseError;

/// Decodes `%XX`, and only that: in RFC 3986 `+` is a plus sign, unlike in HTML forms.
///
/// # Errors
/// [`ParseError::Encoding`] when the decoded bytes are not UTF-8, or a `%` starts no escape.
pub fn decode_percent(text: &str) -> Result<String, ParseError> {
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let two = [rest.next(), rest.next()];
            if !two.iter().all(|b| b.is_some_and(u8::is_ascii_hexdigit)) {
                return Err(ParseError::Encoding("a % that starts no escape"));
            }
        }
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(ParseError::Encoding("not UTF-8 once decoded")),
    }
}

/// Decodes a document, or an array of them, that may or may not be percent-encoded. In a decoded one the first character is
/// a brace or a bracket, in an encoded one it never is, so that nothing is ever decoded twice.
///
/// # Errors
/// As [`decode_percent`].
pub fn decode_if_encoded(text: &str) -> Result<String, ParseError> {
    if text.trim_start().starts_with(['{', '[']) {
        Ok(text.to_owned())
    } else {
        decode_percent(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_stays_a_plus() {
        assert_eq!(decode_percent("a+b%2Bc%20d/e"), Ok("a+b+c d/e".to_owned()));
    }

    #[test]
    fn broken_escapes_and_broken_utf8_are_errors() {
        for broken in ["%", "%2", "%zz", "%+1", "%ff%fe"] {
            assert!(
                matches!(decode_percent(broken), Err(ParseError::Encoding(_))),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_document_that_is_plain_already_keeps_its_percent_signs() {
        let plain = r#" {"a":"%41"}"#;
        assert_eq!(decode_if_encoded(plain), Ok(plain.to_owned()));
    }
}
