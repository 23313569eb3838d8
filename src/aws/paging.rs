//! From page to page: listings end, and a server that repeats itself is not followed.

use super::classify::Failure;

/// The marker of the next page; None after the last one. A server that repeats itself is not followed.
pub(super) fn next_marker(
    operation: &'static str,
    is_truncated: bool,
    marker: Option<String>,
    previous: Option<&String>,
) -> Result<Option<String>, Failure> {
    match (is_truncated, marker) {
        (false, _) => Ok(None),
        (true, Some(marker)) if previous != Some(&marker) => Ok(Some(marker)),
        (true, _) => Err(Failure::incomplete(operation, "next page")),
    }
}

/// The same where the token alone says whether there is more.
pub(super) fn next_token(
    operation: &'static str,
    token: Option<String>,
    previous: Option<&String>,
) -> Result<Option<String>, Failure> {
    next_marker(operation, token.is_some(), token, previous)
}
