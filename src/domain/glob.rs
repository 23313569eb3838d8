//! Wildcard patterns as policy documents use them: `*` is any run of characters (`/` and `:` included), `?` exactly one,
//! everything else stands for itself.
//!
//! Lives here: matching a text, and the algebra that proofs need (do two patterns meet, does one contain the other, what
//! of a pattern starts with a given text). Does not live here: what is matched against what (`iam::compiled`), policy
//! variables (`iam::template`).
//!
//! Source: "IAM JSON policy elements: Action" and "Resource", and "Grammar of the IAM JSON policy language", AWS IAM User
//! Guide. Costs: matching takes `O(pattern + text)` steps without a `?` between two `*`, and else `O(pattern × text / 64)`,
//! without recursion; the algebra takes `O(a × b)` steps and `O(a + b)` memory.

mod search;

use std::fmt;

#[cfg(test)]
mod tests;

/// Whether `a` and `A` are the same character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Case {
    /// They differ: resources, principals, most condition values.
    Sensitive,
    /// They are the same (ASCII letters only): actions.
    Insensitive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
}

/// A pattern, in normal form: no two `*` in a row, and in a run of wildcards every `?` before the `*`. Two patterns that
/// differ only there are equal.
///
/// Algebra on two patterns is meaningful when both have the same [`Case`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob {
    case: Case,
    tokens: Vec<Token>,
}

impl Glob {
    /// Reads `pattern`, where `*` and `?` are wildcards. There is no escape: AWS has none but `${*}` and `${?}`.
    pub fn new(pattern: &str, case: Case) -> Self {
        let mut glob = Self::empty(case);
        glob.push_pattern(pattern);
        glob
    }

    /// The pattern that matches `text` and nothing else.
    pub fn literal(text: &str, case: Case) -> Self {
        let mut glob = Self::empty(case);
        glob.push_literal(text);
        glob
    }

    /// The pattern that matches the empty text only; grow it with [`Glob::push_pattern`] and [`Glob::push_literal`].
    pub fn empty(case: Case) -> Self {
        Self {
            case,
            tokens: Vec::new(),
        }
    }

    /// Appends `pattern`; `*` and `?` in it are wildcards.
    pub fn push_pattern(&mut self, pattern: &str) {
        for c in pattern.chars() {
            match c {
                '*' => self.push(Token::Any),
                '?' => self.push(Token::One),
                c => self.push(Token::Char(self.fold(c))),
            }
        }
    }

    /// Appends `text`; `*` and `?` in it stand for themselves.
    pub fn push_literal(&mut self, text: &str) {
        for c in text.chars() {
            self.push(Token::Char(self.fold(c)));
        }
    }

    fn push(&mut self, token: Token) {
        let ends_with_any = self.tokens.last() == Some(&Token::Any);
        match token {
            Token::Any if ends_with_any => {}
            Token::One if ends_with_any => {
                self.tokens.pop();
                self.tokens.push(Token::One);
                self.tokens.push(Token::Any);
            }
            Token::Any | Token::One | Token::Char(_) => self.tokens.push(token),
        }
    }

    fn fold(&self, c: char) -> char {
        match self.case {
            Case::Sensitive => c,
            Case::Insensitive => c.to_ascii_lowercase(),
        }
    }

    /// Whether the pattern is a plain text without wildcards.
    pub fn is_literal(&self) -> bool {
        self.tokens.iter().all(|t| matches!(t, Token::Char(_)))
    }

    /// Whether the pattern is `*`.
    pub fn is_everything(&self) -> bool {
        self.tokens == [Token::Any]
    }

    /// Whether `text` as a whole is in the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let mut chars = text.chars();
        // What stands before the first `*` and behind the last one has its place; only what is between must be searched.
        let mut middle = self.tokens.as_slice();
        while let Some((token, rest)) = middle.split_first() {
            if *token == Token::Any {
                break;
            }
            if !chars.next().is_some_and(|c| self.accepts(*token, c)) {
                return false;
            }
            middle = rest;
        }
        if middle.is_empty() {
            return chars.as_str().is_empty();
        }
        while let Some((token, rest)) = middle.split_last() {
            if *token == Token::Any {
                break;
            }
            if !chars.next_back().is_some_and(|c| self.accepts(*token, c)) {
                return false;
            }
            middle = rest;
        }
        self.found_in(middle, chars.as_str())
    }

    /// Whether `text` is in the pattern of these tokens, which begin and end with a `*`: whether the runs between the stars
    /// come one after the other, each as early as can be.
    fn found_in(&self, tokens: &[Token], mut text: &str) -> bool {
        let runs = tokens.split(|token| *token == Token::Any).filter(|run| !run.is_empty());
        for run in runs {
            match self.end_of_first(run, text).and_then(|end| text.get(end..)) {
                Some(rest) => text = rest,
                None => return false,
            }
        }
        true
    }

    fn accepts(&self, token: Token, c: char) -> bool {
        match token {
            Token::Any | Token::One => true,
            Token::Char(own) => own == self.fold(c),
        }
    }

    /// Whether some text is in both patterns. Exact.
    pub fn intersects(&self, other: &Self) -> bool {
        // `row[j]`: some text is in the first i tokens of `self` and in the first j tokens of `other`.
        let width = other.tokens.len() + 1;
        let mut row = vec![false; width];
        set(&mut row, 0);
        for a in self.tokens.iter().map(Some).chain([None]) {
            let mut next = vec![false; width];
            for (j, b) in other.tokens.iter().map(Some).chain([None]).enumerate() {
                if !get(&row, j) {
                    continue;
                }
                match (a, b) {
                    (Some(Token::Any), Some(_)) => {
                        set(&mut next, j);
                        set(&mut row, j + 1);
                    }
                    (Some(_), Some(Token::Any)) => {
                        set(&mut row, j + 1);
                        set(&mut next, j);
                    }
                    (Some(Token::Char(a)), Some(Token::Char(b))) if a != b => {}
                    (Some(Token::One | Token::Char(_)), Some(Token::One | Token::Char(_))) => set(&mut next, j + 1),
                    (Some(Token::Any), None) => set(&mut next, j),
                    (None, Some(Token::Any)) => set(&mut row, j + 1),
                    (Some(Token::One | Token::Char(_)), None) | (None, Some(Token::One | Token::Char(_))) => {}
                    (None, None) => return true,
                }
            }
            row = next;
        }
        false
    }

    /// Whether every text in `inner` is in `self`. Never true when it isn't so; false in rare cases where it is so, such as
    /// `?*` against `*b`, which cost a proof but never make one wrong.
    pub fn contains(&self, inner: &Self) -> bool {
        // Most patterns that are compared differ in plain text early on.
        let (mut own, mut read) = (self.tokens.as_slice(), inner.tokens.as_slice());
        while let Some((Token::Char(a), rest)) = own.split_first() {
            match read.split_first() {
                Some((Token::Char(b), read_rest)) if a == b => (own, read) = (rest, read_rest),
                Some(_) | None => return false,
            }
        }
        // A walk through `own` that reads the tokens of `inner`: a `*` of `inner` can only be read by a `*` of `own`, a `?`
        // by `*` or `?`. `row[i]` says that the first i tokens of `own` can have read what was read so far.
        let mut row = vec![false; own.len() + 1];
        set(&mut row, 0);
        for read in read {
            let mut next = vec![false; row.len()];
            for (i, own) in own.iter().enumerate() {
                if !get(&row, i) {
                    continue;
                }
                match (own, read) {
                    (Token::Any, Token::Any | Token::One | Token::Char(_)) => {
                        set(&mut next, i);
                        // The `*` may also stand for nothing.
                        set(&mut row, i + 1);
                    }
                    (Token::One, Token::One | Token::Char(_)) => set(&mut next, i + 1),
                    (Token::Char(a), Token::Char(b)) if a == b => set(&mut next, i + 1),
                    (Token::One, Token::Any) | (Token::Char(_), Token::Any | Token::One | Token::Char(_)) => {}
                }
            }
            row = next;
        }
        let last = own.len();
        get(&row, last) || (own.last() == Some(&Token::Any) && get(&row, last - 1))
    }

    /// The texts of the pattern that start with `prefix`, as patterns that each start with it. Exact; empty when there are
    /// none.
    pub fn starting_with(&self, prefix: &str) -> Vec<Self> {
        let mut live = vec![false; self.tokens.len() + 1];
        set(&mut live, 0);
        for c in prefix.chars() {
            let mut next = vec![false; live.len()];
            for (i, token) in self.tokens.iter().enumerate() {
                if !get(&live, i) {
                    continue;
                }
                if *token == Token::Any {
                    set(&mut next, i);
                    set(&mut live, i + 1);
                } else if self.accepts(*token, c) {
                    set(&mut next, i + 1);
                }
            }
            live = next;
        }
        // What is left behind the last live `*` contains what is left anywhere before it.
        let mut from = 0;
        for (i, token) in self.tokens.iter().enumerate() {
            if get(&live, i) && *token == Token::Any {
                from = i;
            }
        }
        let mut rests = Vec::new();
        for i in (from..live.len()).filter(|i| get(&live, *i)) {
            let mut glob = Self::literal(prefix, self.case);
            glob.tokens.extend(self.tokens.iter().skip(i));
            rests.push(glob);
        }
        rests
    }
}

fn get(row: &[bool], i: usize) -> bool {
    row.get(i).copied().unwrap_or(false)
}

fn set(row: &mut [bool], i: usize) {
    if let Some(cell) = row.get_mut(i) {
        *cell = true;
    }
}

/// The pattern as it would be written in a document. (A literal `*` is written `${*}`, a literal `?` `${?}`.)
impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            match token {
                Token::Any => f.write_str("*")?,
                Token::One => f.write_str("?")?,
                Token::Char('*') => f.write_str("${*}")?,
                Token::Char('?') => f.write_str("${?}")?,
                Token::Char(c) => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({self})")
    }
}
