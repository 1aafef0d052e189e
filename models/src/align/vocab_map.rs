//! Which student token stands for which teacher token.
//!
//! Sources: FuseLLM's and FedMKT's edit-distance map (arXiv 2406.02224, appendix B), which break ties by map
//! or lexicographic order where this takes the lowest token id; first tokens and equal bytes as in X-Token
//! (2026).

use std::collections::BTreeMap;

use super::dtw::swap_marker;
use super::{Vocab, levenshtein};
use crate::cores::Cores;
use crate::tokenizer::Tokenizer;

/// Teacher tokens that a core maps at once (chosen: of large vocabularies they are milliseconds of work).
const AT_ONCE: u32 = 64;

/// A student token, or none, for every teacher token. End, padding and unknown tokens map onto each other;
/// other special tokens, and ordinary ones onto special ones, never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VocabMap {
    student_of: Vec<Option<u32>>,
}

impl VocabMap {
    /// Maps `teacher`'s vocabulary into `student`'s; the identity if they are the same tokenizer. Idle cores map some of it.
    pub fn new(teacher: &Tokenizer, student: &Tokenizer, how: Vocab, cores: &Cores) -> Self {
        let ids = 0..teacher.vocab_size() as u32;
        if teacher == student {
            return Self { student_of: ids.map(Some).collect() };
        }
        let ordinary: Box<dyn Fn(u32) -> Option<u32> + Sync + '_> = match how {
            Vocab::Equal => {
                let by_bytes = by_bytes(student);
                Box::new(move |id| by_bytes.get(teacher.token_bytes(id)).copied())
            }
            Vocab::FirstToken => {
                let by_bytes = by_bytes(student);
                Box::new(move |id| first_token(teacher.token_bytes(id), student, &by_bytes))
            }
            Vocab::Edit => {
                let nearest = Nearest::new(student);
                Box::new(move |id| nearest.find(&swap_marker(teacher, id, student)))
            }
        };
        let map = |id: u32| {
            if id == teacher.eos() {
                Some(student.eos())
            } else if id == teacher.pad() {
                Some(student.pad())
            } else if Some(id) == teacher.unknown() {
                student.unknown()
            } else if teacher.is_special(id) || teacher.token_text(id).is_empty() {
                None
            } else {
                ordinary(id)
            }
        };
        let parts = ids.clone().step_by(AT_ONCE as usize).map(|first| first..(first + AT_ONCE).min(ids.end));
        let mapped = cores.map(parts.collect(), |part| part.map(map).collect::<Vec<_>>());
        Self { student_of: mapped.concat() }
    }

    /// The student token for `teacher_id`; none where there is none or the id is outside the vocabulary.
    pub fn get(&self, teacher_id: u32) -> Option<u32> {
        self.student_of.get(teacher_id as usize).copied().flatten()
    }

    /// The whole map, indexed by teacher token.
    pub fn as_slice(&self) -> &[Option<u32>] {
        &self.student_of
    }
}

fn ordinary_ids(tokenizer: &Tokenizer) -> impl Iterator<Item = u32> + '_ {
    (0..tokenizer.vocab_size() as u32)
        .filter(|id| !tokenizer.is_special(*id) && !tokenizer.token_text(*id).is_empty())
}

/// The lowest token id for each byte string.
fn by_bytes(tokenizer: &Tokenizer) -> BTreeMap<&[u8], u32> {
    let mut ids = BTreeMap::new();
    for id in ordinary_ids(tokenizer) {
        ids.entry(tokenizer.token_bytes(id)).or_insert(id);
    }
    ids
}

/// The token of equal bytes, or the first that `student` would cut the bytes into. Where that cannot be asked
/// (bytes that are no UTF-8 text on their own, a tokenizer that would put a space before them) it is the
/// longest token that starts them.
fn first_token(bytes: &[u8], student: &Tokenizer, by_bytes: &BTreeMap<&[u8], u32>) -> Option<u32> {
    if let Some(id) = by_bytes.get(bytes) {
        return Some(*id);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !student.prepends_space() => {
            student.encode(text).first().copied().filter(|id| !student.is_special(*id))
        }
        _ => (1..bytes.len()).rev().find_map(|end| by_bytes.get(&bytes[..end]).copied()),
    }
}

/// Finds the token of the least edit distance, the lowest id among equals.
struct Nearest<'a> {
    exact: BTreeMap<&'a str, u32>,
    /// `by_length[n]`: tokens of n characters, by id.
    by_length: Vec<Vec<Candidate>>,
}

struct Candidate {
    id: u32,
    letters: Vec<char>,
    signature: u64,
}

impl<'a> Nearest<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        let mut exact = BTreeMap::new();
        let mut by_length: Vec<Vec<Candidate>> = Vec::new();
        for id in ordinary_ids(tokenizer) {
            let text = tokenizer.token_text(id);
            exact.entry(text).or_insert(id);
            let letters: Vec<char> = text.chars().collect();
            if by_length.len() <= letters.len() {
                by_length.resize_with(letters.len() + 1, Vec::new);
            }
            let signature = signature(&letters);
            by_length[letters.len()].push(Candidate { id, letters, signature });
        }
        Self { exact, by_length }
    }

    /// Lengths are tried outwards from the word's own: a length that differs by d costs at least d.
    fn find(&self, text: &str) -> Option<u32> {
        if let Some(id) = self.exact.get(text) {
            return Some(*id);
        }
        let letters: Vec<char> = text.chars().collect();
        let signature = signature(&letters);
        let mut best: Option<(usize, u32)> = None;
        for difference in 0..self.by_length.len().max(letters.len() + 1) {
            if best.is_some_and(|(distance, _)| difference > distance) {
                break;
            }
            let shorter = letters.len().checked_sub(difference).filter(|_| difference > 0);
            for length in [shorter, Some(letters.len() + difference)].into_iter().flatten() {
                for candidate in self.by_length.get(length).into_iter().flatten() {
                    let limit = best.map_or(usize::MAX, |(distance, _)| distance);
                    if at_least(signature, candidate.signature) > limit {
                        continue;
                    }
                    if let Some(distance) = levenshtein::distance_within(&letters, &candidate.letters, limit)
                    {
                        let found = (distance, candidate.id);
                        best = Some(best.map_or(found, |known| known.min(found)));
                    }
                }
            }
        }
        best.map(|(_, id)| id)
    }
}

/// A bit per class of letters that occurs.
fn signature(letters: &[char]) -> u64 {
    letters.iter().fold(0, |bits, letter| bits | 1 << (u32::from(*letter) % 64))
}

/// A lower bound of the edit distance: one edit brings in at most one missing class and removes at most one.
fn at_least(a: u64, b: u64) -> usize {
    (a & !b).count_ones().max((b & !a).count_ones()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_search_finds_what_comparing_all_finds() {
        let texts =
            ["Q: Where do we keep the tiny copper lamp?\nA: red aisle shelf 4 top", "mild zorin with honey"];
        let teacher = Tokenizer::train_byte_level(texts, 340).unwrap();
        let student = Tokenizer::train_metaspace(texts, 140).unwrap();
        let map = VocabMap::new(&teacher, &student, Vocab::Edit, &Cores::none());
        for id in ordinary_ids(&teacher) {
            let text = swap_marker(&teacher, id, &student);
            let cost = |other: &u32| (levenshtein::distance(&text, student.token_text(*other)), *other);
            assert_eq!(map.get(id), ordinary_ids(&student).min_by_key(cost), "{text:?}");
        }
        assert_eq!(VocabMap::new(&teacher, &student, Vocab::Edit, &Cores::new(3)), map);
    }
}
