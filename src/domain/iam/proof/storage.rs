//! Changes of the data itself: through the bucket, its objects, access points, Object Lambda and file systems.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Judge;
use super::facts::{AclFacts, AclGrant, AclGrantee, AclPermission, BucketFacts, Evidence};
use super::reach::Source;
use super::region::{Piece, Target, closes, may_reach, opened};
use super::verdict::{Findings, Kind, Origin, Reason};
use crate::domain::document::Effect;
use crate::domain::glob::{Case, Glob};
use crate::domain::iam::actions::{Place, s3_action_named, s3_actions};
use crate::domain::iam::compiled::{Actions, Policy, Rule};

/// Ends of names that no general purpose bucket can have. (Amazon S3 User Guide, "General purpose bucket naming rules".)
const RESERVED_ENDS: [&str; 5] = ["--x-s3", "--table-s3", "--ol-s3", "-s3alias", ".mrap"];

/// Actions that a source leaves open.
#[derive(Debug, Default, PartialEq, Eq)]
struct Open {
    /// Writes that the lists have, and literal actions that they don't.
    actions: Vec<String>,
    /// Patterns that take in actions yet to come.
    future: Vec<String>,
}

/// What was opened for the same source by the same statements, so that it is worked out once for many buckets.
type Memo = BTreeMap<(usize, Place, Vec<usize>, Vec<usize>), Rc<Open>>;

impl<'a> Judge<'a> {
    /// Judges every place of the data.
    pub(super) fn storage(&self, findings: &mut Findings) {
        let mut memo = Memo::new();
        for bucket in &self.input.buckets {
            self.bucket(bucket, &mut memo, findings);
        }
        self.access_points(findings);
        let systems = self.anywhere("s3files", "*");
        self.place(
            Place::FileSystems,
            &systems,
            &self.sources,
            &self.denials,
            &mut Memo::new(),
            findings,
        );
    }

    fn bucket(&self, bucket: &'a BucketFacts, memo: &mut Memo, findings: &mut Findings) {
        let BucketFacts { arn, policy, acl } = bucket;
        if RESERVED_ENDS.iter().any(|end| arn.ends_with(end)) {
            findings.unknown(Reason::OtherKindOfBucket(arn.clone()));
        }
        let (sources, _) = self.with_resource_policy(&format!("the policy of {arn}"), policy);
        let denials = self.denials_on_own_with(policy.seen().and_then(Option::as_ref));
        let targets = [
            (Place::Bucket, Target::One(arn.clone())),
            (Place::Objects, Target::Under(format!("{arn}/"))),
        ];
        let by_acl = acl_sources(arn, acl);
        for (place, target) in targets {
            // The role's own statements come first and are the same for all buckets; a bucket's own get their own memory.
            let own = sources.len() == self.sources.len() && denials.len() == self.denials.len();
            let mut fresh = Memo::new();
            let memo = if own { &mut *memo } else { &mut fresh };
            self.place(place, &target, &sources, &denials, memo, findings);
            self.place(place, &target, &by_acl, &denials, &mut Memo::new(), findings);
        }
    }

    fn access_points(&self, findings: &mut Findings) {
        let anywhere = self.anywhere("s3", "accesspoint/*");
        let lambda = self.anywhere("s3-object-lambda", "accesspoint/*");
        let unknown = match &self.input.access_points {
            Evidence::Seen(points) => {
                for point in points {
                    let (sources, denials) =
                        self.with_resource_policy(&format!("the policy of {}", point.arn), &point.policy);
                    let places = [Target::One(point.arn.clone()), Target::Under(format!("{}/", point.arn))];
                    for target in places {
                        self.place(
                            Place::AccessPoints,
                            &target,
                            &sources,
                            &denials,
                            &mut Memo::new(),
                            findings,
                        );
                    }
                }
                self.unlisted_access_points(&anywhere, findings);
                None
            }
            Evidence::Missing(why) => {
                let what = "the policies of the access points".to_owned();
                Some(Source::unknown(Reason::Unreadable { what, why: why.clone() }))
            }
            Evidence::Outside => None,
        };
        let sources: Vec<_> = self.sources.iter().cloned().chain(unknown).collect();
        if self.input.access_points.seen().is_none() {
            self.place(
                Place::AccessPoints,
                &anywhere,
                &sources,
                &self.denials,
                &mut Memo::new(),
                findings,
            );
        }
        self.place(
            Place::ObjectLambda,
            &lambda,
            &sources,
            &self.denials,
            &mut Memo::new(),
            findings,
        );
    }

    /// Access points of other accounts and multi-Region ones are not in the list that was read; what may write through them
    /// is said. (Their own policies give nothing by themselves: "the underlying bucket must also permit the same access".)
    fn unlisted_access_points(&self, anywhere: &Target, findings: &mut Findings) {
        let own = self.role.caller.account().unwrap_or_default();
        let listed = format!("arn:{}:s3:?*:{own}:accesspoint/*", self.partition());
        let listed = Glob::new(&listed, Case::Sensitive);
        let buckets = self.buckets_by_arn();
        let elsewhere = |piece: &Piece| !piece.is_within(&listed) && !piece.is_within(&buckets);
        let writes = || {
            let known = s3_actions().iter().filter(|a| !a.reads);
            known.filter(|a| a.places.contains(&Place::AccessPoints))
        };
        for source in &self.sources {
            let pieces = Self::reached(source, anywhere, &self.denials);
            let unlisted: Vec<_> = pieces.into_iter().filter(|(piece, _)| elsewhere(piece)).collect();
            let piece = writes().find_map(|action| self.opens(source, action.name, &unlisted));
            let (Some(piece), Origin::Statement(statement)) = (piece, &source.origin) else {
                continue;
            };
            findings.unknown(Reason::UnlistedAccessPoints {
                statement: statement.clone(),
                resource: piece.to_string(),
            });
        }
    }

    /// The role's sources and denials with those of a resource's policy.
    pub(super) fn with_resource_policy(
        &self,
        what: &str,
        policy: &'a Evidence<Option<Policy>>,
    ) -> (Vec<Source<'a>>, Vec<&'a Rule>) {
        let mut sources = self.sources.clone();
        let seen = match policy {
            Evidence::Seen(policy) => policy.as_ref(),
            Evidence::Outside => None,
            Evidence::Missing(why) => {
                let (what, why) = (what.to_owned(), why.clone());
                sources.push(Source::unknown(Reason::Unreadable { what, why }));
                None
            }
        };
        let rules = seen.into_iter().flat_map(|p| &p.rules);
        sources.extend(rules.filter_map(|rule| Source::of_resource_policy(rule, &self.role.caller)));
        (sources, self.denials_with(seen))
    }

    /// What is no access point, whatever colons the key of an object has: the ARN of an access point has an account, that of a
    /// bucket none.
    pub(super) fn buckets_by_arn(&self) -> Glob {
        Glob::new(&format!("arn:{}:s3:::*", self.partition()), Case::Sensitive)
    }

    fn anywhere(&self, service: &str, name: &str) -> Target {
        let pattern = format!("arn:{}:{service}:*:*:{name}", self.partition());
        Target::Like(Glob::new(&pattern, Case::Sensitive))
    }

    /// Adds what each source opens at one place.
    fn place(
        &self,
        place: Place,
        target: &Target,
        sources: &[Source<'a>],
        denials: &[&'a Rule],
        memo: &mut Memo,
        findings: &mut Findings,
    ) {
        let buckets = self.buckets_by_arn();
        for (number, source) in sources.iter().enumerate() {
            for piece in opened(&source.resources, target) {
                if place == Place::AccessPoints && piece.is_within(&buckets) {
                    continue;
                }
                let closing = |d: &&&Rule| closes(&d.resources, &piece);
                let covering: Vec<usize> = indices(denials, closing);
                let boundary = self.role.boundary.as_ref().filter(|_| source.capped);
                let rules: Vec<&Rule> = boundary.into_iter().flat_map(|p| &p.rules).collect();
                let letting = |r: &&&Rule| r.effect == Effect::Allow && may_reach(&r.resources, &piece);
                let bounds: Vec<usize> = indices(&rules, letting);
                let key = (number, place, covering, bounds);
                let open = memo.get(&key).cloned().unwrap_or_else(|| {
                    let bounds = boundary.map(|_| chosen(&rules, &key.3));
                    Rc::new(still_open(place, source, &chosen(denials, &key.2), bounds.as_deref()))
                });
                memo.insert(key, Rc::clone(&open));
                self.report(place, source, &piece, &open, findings);
            }
        }
    }

    fn report(&self, place: Place, source: &Source<'a>, piece: &Piece, open: &Open, findings: &mut Findings) {
        let resource = piece.to_string();
        for action in &open.actions {
            findings.add(&source.origin, Kind::Data(place), action, &resource, &self.via);
        }
        for pattern in &open.future {
            match &source.origin {
                Origin::Statement(statement) => findings.unknown(Reason::MayGrantFutureWrites {
                    statement: statement.clone(),
                    pattern: pattern.clone(),
                    resource: resource.clone(),
                }),
                Origin::Unknown(reason) => findings.unknown(reason.clone()),
                Origin::Acl(_) | Origin::Grant(_) => {}
            }
        }
    }
}

fn indices<T>(all: &[T], wanted: impl Fn(&&T) -> bool) -> Vec<usize> {
    all.iter()
        .enumerate()
        .filter(|(_, t)| wanted(t))
        .map(|(i, _)| i)
        .collect()
}

fn chosen<'a>(all: &[&'a Rule], numbers: &[usize]) -> Vec<&'a Rule> {
    numbers.iter().filter_map(|i| all.get(*i).copied()).collect()
}

/// What the source leaves open at a place under Denies that cover it, and the Allows of a boundary that reach it.
fn still_open(place: Place, source: &Source<'_>, covering: &[&Rule], bounds: Option<&[&Rule]>) -> Open {
    let denied = |name: &str| covering.iter().any(|d| d.actions.matches(name));
    let bounded = |name: &str| bounds.is_none_or(|rules| rules.iter().any(|r| r.actions.matches(name)));
    let known = s3_actions()
        .iter()
        .filter(|a| !a.reads && a.places.contains(&place))
        .map(|a| a.name.to_owned());
    let known = known.filter(|name| source.actions.matches(name));
    let services: Vec<Glob> = place.services().iter().map(|s| every(s)).collect();
    let literals = literals(&source.actions, &services).filter(|name| s3_action_named(name).is_none());
    let future = services
        .iter()
        .flat_map(|service| future(source, service, covering, bounds))
        .collect();
    Open {
        actions: known
            .chain(literals)
            .filter(|name| !denied(name) && bounded(name))
            .collect(),
        future,
    }
}

/// The patterns by which the source takes in actions of the service that no list has, and nothing stops.
fn future(source: &Source<'_>, service: &Glob, covering: &[&Rule], bounds: Option<&[&Rule]>) -> Vec<String> {
    if bounds.is_some_and(|rules| !rules.iter().any(|r| lets_unknown_through(&r.actions, service))) {
        return Vec::new();
    }
    match &*source.actions {
        Actions::Named(globs) => {
            let wild = globs.iter().filter(|g| !g.is_literal() && g.intersects(service));
            wild.filter(|g| !takes_all_future(covering, Some(g), service))
                .map(ToString::to_string)
                .collect()
        }
        Actions::AllBut(globs) if globs.iter().any(|g| g.contains(service)) => Vec::new(),
        Actions::AllBut(_) if takes_all_future(covering, None, service) => Vec::new(),
        Actions::AllBut(_) => vec!["NotAction".to_owned()],
    }
}

/// `service:*`
fn every(service: &str) -> Glob {
    Glob::new(&format!("{service}:*"), Case::Insensitive)
}

/// The literal actions of these services among the patterns.
fn literals(actions: &Actions, services: &[Glob]) -> impl Iterator<Item = String> {
    let globs = match actions {
        Actions::Named(globs) => globs.as_slice(),
        Actions::AllBut(_) => &[],
    };
    let ours = |g: &&Glob| g.is_literal() && services.iter().any(|service| service.contains(g));
    globs.iter().filter(ours).map(ToString::to_string)
}

/// Whether one of the Denies covers every action of the service that no list has, as far as `allowed` takes them in.
fn takes_all_future(covering: &[&Rule], allowed: Option<&Glob>, service: &Glob) -> bool {
    covering.iter().any(|deny| match &deny.actions {
        Actions::Named(globs) => globs
            .iter()
            .any(|g| g.contains(service) || allowed.is_some_and(|allowed| g.contains(allowed))),
        // What a Deny excepts by a name that the lists have is judged by its name; a pattern excepts what may come.
        Actions::AllBut(globs) => globs.iter().all(|g| {
            let listed = g.is_literal() && s3_action_named(&g.to_string()).is_some();
            listed || !g.intersects(service)
        }),
    })
}

/// Whether an Allow of a boundary takes in actions that no list has.
fn lets_unknown_through(actions: &Actions, service: &Glob) -> bool {
    match actions {
        Actions::Named(globs) => globs.iter().any(|g| {
            let listed = g.is_literal() && s3_action_named(&g.to_string()).is_some();
            !listed && g.intersects(service)
        }),
        Actions::AllBut(globs) => !globs.iter().any(|g| g.contains(service)),
    }
}

/// What a bucket's ACL, and those of its objects, give to everybody. (Amazon S3 User Guide, "Access control list
/// overview": mapping of ACL permissions.)
fn acl_sources(bucket: &str, acl: &Evidence<AclFacts>) -> Vec<Source<'static>> {
    let named = |names: &[&str]| Actions::Named(names.iter().map(|n| Glob::new(n, Case::Insensitive)).collect());
    let objects = ["s3:PutObjectAcl", "s3:PutObjectVersionAcl"];
    let write = ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"];
    match acl {
        Evidence::Outside | Evidence::Seen(AclFacts::Disabled) => Vec::new(),
        Evidence::Missing(why) => {
            let (what, why) = (format!("the ACL of {bucket}"), why.clone());
            let all = [&objects[..], &write[..], &["s3:PutBucketAcl"]].concat();
            vec![Source::other(
                Origin::Unknown(Reason::Unreadable { what, why }),
                named(&all),
            )]
        }
        Evidence::Seen(AclFacts::Enabled { grants }) => {
            let of_objects = Source::other(Origin::Unknown(Reason::ObjectAcls(bucket.to_owned())), named(&objects));
            let granted = |grant: &AclGrant| {
                let AclGrant { grantee, permission } = grant;
                let actions: &[&str] = match (grantee, permission) {
                    (AclGrantee::Other, _) | (_, AclPermission::Read | AclPermission::ReadAcp) => return None,
                    (_, AclPermission::Write) => &write,
                    (_, AclPermission::WriteAcp) => &["s3:PutBucketAcl"],
                    (_, AclPermission::FullControl) => &[
                        "s3:PutObject",
                        "s3:DeleteObject",
                        "s3:DeleteObjectVersion",
                        "s3:PutBucketAcl",
                    ],
                };
                Some(Source::other(Origin::Acl(bucket.to_owned()), named(actions)))
            };
            grants.iter().filter_map(granted).chain([of_objects]).collect()
        }
    }
}
