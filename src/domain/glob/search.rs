//! Finding a run of a pattern's tokens, without a `*` among them, in a text: in time that grows with the text plus, where
//! the run has a `?`, the text times a 64th of the run. A search that begins anew at each character takes the product of
//! both, which a hostile document makes large.

use std::collections::BTreeMap;

use super::{Case, Glob, Token};

const BITS: usize = 64;

/// For each character, at which places of a run it stands: one bit a place.
struct Rows {
    words: usize,
    /// One row after the other; the first is that of all characters that the run does not have.
    bits: Vec<u64>,
    ascii: [usize; 128],
    others: BTreeMap<char, usize>,
}

impl Rows {
    fn new(words: usize) -> Self {
        Self {
            words,
            bits: vec![0; words],
            ascii: [0; 128],
            others: BTreeMap::new(),
        }
    }

    fn number(&self, c: char) -> usize {
        let ascii = self.ascii.get(c as usize);
        ascii.or_else(|| self.others.get(&c)).copied().unwrap_or(0)
    }

    fn of(&self, c: char) -> &[u64] {
        let start = self.number(c) * self.words;
        self.bits.get(start..start + self.words).unwrap_or_default()
    }

    fn of_mut(&mut self, c: char) -> &mut [u64] {
        let mut start = self.number(c) * self.words;
        if start == 0 {
            start = self.bits.len();
            self.bits.resize(start + self.words, 0);
            let number = start / self.words;
            match self.ascii.get_mut(c as usize) {
                Some(ascii) => *ascii = number,
                None => drop(self.others.insert(c, number)),
            }
        }
        self.bits
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..self.words))
            .unwrap_or_default()
    }
}

impl Glob {
    /// Where the first occurrence of `run` in `text` ends, in bytes.
    pub(super) fn end_of_first(&self, run: &[Token], text: &str) -> Option<usize> {
        let plain: Option<String> = run
            .iter()
            .map(|token| match token {
                Token::Char(c) => Some(*c),
                Token::One | Token::Any => None,
            })
            .collect();
        match (plain, self.case) {
            (Some(plain), Case::Sensitive) => text.find(&plain).map(|at| at + plain.len()),
            // Folding leaves every byte where it was.
            (Some(plain), Case::Insensitive) => text.to_ascii_lowercase().find(&plain).map(|at| at + plain.len()),
            (None, _) => self.end_of_first_with_gaps(run, text),
        }
    }

    /// Shift-And (Baeza-Yates and Gonnet, "A new approach to text searching", 1992): bit i of `live` says that the first
    /// i + 1 tokens have matched up to here.
    fn end_of_first_with_gaps(&self, run: &[Token], text: &str) -> Option<usize> {
        let words = run.len().div_ceil(BITS);
        let mut anything = vec![0_u64; words];
        let mut rows = Rows::new(words);
        for (i, token) in run.iter().enumerate() {
            let row = match token {
                Token::One | Token::Any => &mut anything,
                Token::Char(c) => rows.of_mut(*c),
            };
            if let Some(word) = row.get_mut(i / BITS) {
                *word |= 1 << (i % BITS);
            }
        }
        let whole = 1_u64 << (run.len().saturating_sub(1) % BITS);
        let mut live = vec![0_u64; words];
        for (at, c) in text.char_indices() {
            let here = rows.of(self.fold(c));
            let mut carried = 1;
            for (live, (anything, here)) in live.iter_mut().zip(anything.iter().zip(here)) {
                let shifted = (*live << 1) | carried;
                carried = *live >> (BITS - 1);
                *live = shifted & (anything | here);
            }
            if live.last().is_some_and(|last| last & whole != 0) {
                return Some(at + c.len_utf8());
            }
        }
        None
    }
}
