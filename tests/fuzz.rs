//! Fuzzing on the stable toolchain: every input of the committed corpus, then mutations of it.
//!
//! The mutations are the same in every run. `AIDP_FUZZ_ITERATIONS` asks for more of them than the short default.
#![cfg(test)]

#[path = "fuzz/checks.rs"]
mod checks;

use std::path::Path;

/// Inputs made of each corpus in a short run.
const ITERATIONS: usize = 300;
/// Longest input made, in bytes.
const LONGEST: usize = 4_096;

/// Pseudo-random numbers (xorshift64*), the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % n.max(1)
    }

    fn pick<'a>(&mut self, from: &'a [String]) -> &'a str {
        &from[self.below(from.len())]
    }
}

fn corpus(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    files.into_iter().map(text).collect()
}

/// Words of the policy language, from the dictionary.
fn words() -> Vec<String> {
    let lines = include_str!("fuzz/policy.dict").lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.trim_matches('"').to_owned()).collect()
}

/// One to four changes: a word put in place of a quoted one, a part of another input, a cut, a repetition, a bit.
fn mutated(input: &str, all: &[String], words: &[String], dice: &mut Dice) -> String {
    let mut text = input.to_owned();
    for _ in 0..=dice.below(4) {
        let quoted: Vec<usize> = text.match_indices('"').map(|(i, _)| i).collect();
        match dice.below(5) {
            0 | 1 if quoted.len() > 1 => {
                let at = dice.below(quoted.len() - 1);
                text.replace_range(quoted[at] + 1..quoted[at + 1], dice.pick(words));
            }
            2 => {
                let other = dice.pick(all);
                let (from, to) = (boundary(other, dice), boundary(&text, dice));
                text.insert_str(to, &other[from..]);
            }
            3 => {
                let (a, b) = (boundary(&text, dice), boundary(&text, dice));
                let part = text[a.min(b)..a.max(b)].to_owned();
                if dice.below(2) == 0 {
                    text.replace_range(a.min(b)..a.max(b), "");
                } else {
                    text.insert_str(a.max(b), &part);
                }
            }
            _ => {
                let mut bytes = text.into_bytes();
                let at = dice.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// Some place between two characters.
fn boundary(text: &str, dice: &mut Dice) -> usize {
    let mut at = dice.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn run(target: &str, check: fn(&str)) {
    let all = corpus(target);
    for input in &all {
        check(input);
    }
    let iterations = std::env::var("AIDP_FUZZ_ITERATIONS").map_or(ITERATIONS, |n| n.parse().unwrap());
    let (words, mut dice) = (words(), Dice(0x9E37_79B9_7F4A_7C15));
    for _ in 0..iterations {
        let input = mutated(dice.pick(&all), &all, &words, &mut dice);
        // Printed with the panic of a failed check.
        println!("{input}");
        check(&input);
    }
}

#[test]
fn any_text_is_read_whole_or_refused() {
    run("document", checks::document);
}

#[test]
fn equality_stays_an_equivalence() {
    run("equivalence", checks::equivalence);
}

#[test]
fn any_documents_decide() {
    run("decide", checks::decide);
}

#[test]
fn whatever_is_proven_is_refused() {
    run("prove", checks::prove);
}

#[test]
fn a_merge_keeps_what_is_foreign_and_can_be_taken_back() {
    run("merge", checks::merge);
}

#[test]
fn any_request_is_decided_or_refused() {
    run("request", checks::request);
}

#[test]
fn any_manifests_are_analysed_or_refused() {
    run("manifest", checks::manifest);
}
