//! Where a statement reaches: the part of a target that an Allow can open, and whether a Deny surely closes it.
//!
//! Allows are taken at their widest, Denies at their narrowest; so whatever AWS allows is in a piece, and whatever a Deny
//! is said to close AWS refuses.

use crate::domain::glob::{Case, Glob};
use crate::domain::iam::compiled::Resources;
use crate::domain::iam::template::Template;

/// What must be protected: one resource, or all whose ARN starts alike, or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One ARN.
    One(String),
    /// Every ARN that starts with this.
    Under(String),
    /// Every ARN in the pattern.
    Like(Glob),
}

impl Target {
    pub(super) fn glob(&self) -> Glob {
        match self {
            Self::One(arn) => Glob::literal(arn, Case::Sensitive),
            Self::Under(prefix) => {
                let mut glob = Glob::literal(prefix, Case::Sensitive);
                glob.push_pattern("*");
                glob
            }
            Self::Like(glob) => glob.clone(),
        }
    }

    /// Any ARN at all.
    pub(super) fn anything() -> Self {
        Self::Like(Glob::new("*", Case::Sensitive))
    }
}

/// A part of a target that an Allow can open: it lies within each of these patterns, the first being the closest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Piece(Vec<Glob>);

impl Piece {
    pub(super) fn whole(target: &Target) -> Self {
        Self(vec![target.glob()])
    }

    /// Whether all of the piece is surely in `pattern`.
    pub(super) fn is_within(&self, pattern: &Glob) -> bool {
        self.0.iter().any(|bound| pattern.contains(bound))
    }

    /// Whether some of the piece may be in `pattern`.
    pub(super) fn meets(&self, pattern: &Glob) -> bool {
        self.0.iter().all(|bound| pattern.intersects(bound))
    }
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.first() {
            Some(glob) => write!(f, "{glob}"),
            None => Ok(()),
        }
    }
}

/// The parts of `target` that an Allow on these resources can open, variables standing for anything.
pub(super) fn opened(resources: &Resources, target: &Target) -> Vec<Piece> {
    let whole = target.glob();
    match resources {
        Resources::Own => vec![Piece(vec![whole])],
        Resources::Named(list) => widest(list).flat_map(|g| meeting(&g, target, &whole)).collect(),
        Resources::AllBut(list) => {
            // An exception protects as a Deny does, and so only one that is as certain takes anything away.
            if list.iter().filter_map(certain).any(|g| g.contains(&whole)) {
                Vec::new()
            } else {
                vec![Piece(vec![whole])]
            }
        }
    }
}

fn meeting(pattern: &Glob, target: &Target, whole: &Glob) -> Vec<Piece> {
    match target {
        Target::One(arn) if pattern.matches(arn) => vec![Piece(vec![whole.clone()])],
        Target::One(_) => Vec::new(),
        Target::Under(prefix) => {
            let parts = pattern.starting_with(prefix).into_iter();
            parts.map(|part| Piece(vec![part, whole.clone()])).collect()
        }
        Target::Like(glob) if !pattern.intersects(glob) => Vec::new(),
        Target::Like(glob) if pattern.contains(glob) => vec![Piece(vec![glob.clone()])],
        Target::Like(glob) => vec![Piece(vec![pattern.clone(), glob.clone()])],
    }
}

/// Whether an Allow on these resources may reach into the piece: what a boundary lets through.
pub(super) fn may_reach(resources: &Resources, piece: &Piece) -> bool {
    match resources {
        Resources::Own => true,
        Resources::Named(list) => widest(list).any(|g| piece.meets(&g)),
        Resources::AllBut(list) => !list.iter().filter_map(certain).any(|g| piece.is_within(g)),
    }
}

/// Whether a Deny on these resources surely covers all of the piece.
pub(super) fn closes(resources: &Resources, piece: &Piece) -> bool {
    match resources {
        // No policy that we judge may leave the element out.
        Resources::Own => false,
        Resources::Named(list) => list.iter().any(|t| certain(t).is_some_and(|g| piece.is_within(g))),
        // A variable in an exception might except anything.
        Resources::AllBut(list) => {
            list.iter().all(|t| t.fixed().is_some()) && !widest(list).any(|exception| piece.meets(&exception))
        }
    }
}

/// Everything that the patterns could match. That AWS completes an ARN is documented for identity policies; here it is
/// reckoned with wherever it would open something.
fn widest(list: &[Template]) -> impl Iterator<Item = Glob> + '_ {
    let both = |t: &Template| std::iter::once(t.widest()).chain(t.completed().map(|whole| whole.widest()));
    list.iter().flat_map(both)
}

/// The pattern of a Deny, or of an Allow's exception, where AWS's documentation leaves no doubt about it: no variables, and
/// before the resource part of the ARN a `*` only at the end of a segment ("it can expand to match beyond the colon
/// boundaries"), none in the service ("You can't use a wildcard in the service segment").
fn certain(template: &Template) -> Option<&Glob> {
    let source = template.source();
    let segments: Vec<&str> = source.splitn(6, ':').collect();
    let plain = |s: &&str| !s.trim_end_matches('*').contains(['*', '?']);
    let clear = match segments[..] {
        ["*"] => true,
        ["arn", partition, service, region, account, _] => {
            !service.contains(['*', '?']) && [partition, region, account].iter().all(plain)
        }
        _ => false,
    };
    template.fixed().filter(|_| clear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::document::Version;

    fn named(patterns: &[&str]) -> Resources {
        Resources::Named(patterns.iter().map(|p| Template::parse(p, Version::V2012)).collect())
    }

    fn all_but(patterns: &[&str]) -> Resources {
        Resources::AllBut(patterns.iter().map(|p| Template::parse(p, Version::V2012)).collect())
    }

    fn objects() -> Target {
        Target::Under("arn:aws:s3:::b/".to_owned())
    }

    fn pieces(resources: &Resources) -> Vec<String> {
        opened(resources, &objects()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_allow_opens_what_of_it_lies_in_the_target() {
        assert_eq!(pieces(&named(&["*"])), ["arn:aws:s3:::b/*"]);
        assert_eq!(
            pieces(&named(&["arn:aws:s3:::b/x/*", "arn:aws:s3:::c/*"])),
            ["arn:aws:s3:::b/x/*"]
        );
        assert_eq!(
            pieces(&named(&["arn:aws:s3:::${aws:username}/x"])),
            ["arn:aws:s3:::b/*/x", "arn:aws:s3:::b/x"]
        );
        assert_eq!(pieces(&named(&["arn:aws:s3:::b"])), [""; 0]);
        assert_eq!(pieces(&named(&["arn:aws:s3"])), ["arn:aws:s3:::b/*"]);
        assert_eq!(pieces(&all_but(&["arn:aws:s3"])), ["arn:aws:s3:::b/*"]);
        assert_eq!(pieces(&all_but(&["arn:aws:s3:::c/*"])), ["arn:aws:s3:::b/*"]);
        assert_eq!(pieces(&all_but(&["arn:aws:s3:::b/*"])), [""; 0]);
        assert_eq!(pieces(&all_but(&["arn:aws:s3:::b/x*"])), ["arn:aws:s3:::b/*"]);
        // That a star in the middle of a segment crosses colons is not documented.
        assert_eq!(pieces(&all_but(&["arn:aws:*b/*"])), ["arn:aws:s3:::b/*"]);
        assert_eq!(pieces(&all_but(&["arn:aws:s3*:b/*"])), ["arn:aws:s3:::b/*"]);
        assert_eq!(pieces(&all_but(&["arn:aws:s3:::*"])), [""; 0]);
        let piece = Piece::whole(&objects());
        assert!(may_reach(&all_but(&["arn:aws:*b/*"]), &piece));
        assert!(!may_reach(&all_but(&["arn:aws:s3:::b*"]), &piece));
        assert_eq!(
            pieces(&all_but(&["arn:aws:s3:::${aws:username}/*"])),
            ["arn:aws:s3:::b/*"]
        );
    }

    #[test]
    fn a_deny_closes_only_what_it_surely_covers() {
        let piece = Piece::whole(&objects());
        for (resources, verdict) in [
            (named(&["arn:aws:s3:::b/*"]), true),
            (named(&["*"]), true),
            (named(&["arn:aws:s3:::*"]), true),
            (named(&["arn:aws:s3:::b*"]), true),
            (named(&["arn:*:s3:::b/*"]), true),
            (named(&["arn:aws:s3:::b/x/*"]), false),
            (named(&["arn:aws:s3:::b"]), false),
            (named(&["arn:aws:s3:::${aws:username}/*"]), false),
            (named(&["arn:aws:*:::b/*"]), false),
            (named(&["arn:aws:s3:*"]), false),
            (named(&["arn:a*s:s3:::b/*"]), false),
            (all_but(&["arn:aws:s3:::c/*"]), true),
            (all_but(&["arn:aws:s3:::b/x"]), false),
            (all_but(&["arn:aws:s3:::${aws:username}/*"]), false),
            (all_but(&["arn:aws:s3"]), false),
            (all_but(&["arn:aws:sqs"]), true),
            (named(&["arn:aws:s3"]), false),
            (Resources::Own, false),
        ] {
            assert_eq!(closes(&resources, &piece), verdict, "{resources:?}");
        }
    }
}
