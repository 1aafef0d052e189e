//! The words of a text as numbers: words with one stem have one number.
//!
//! As `rouge-score` 0.1.2 splits texts: lower-case, everything outside [a-z0-9] is a space, and optionally Porter's stem
//! stands for a word that is longer than three letters.

#![expect(clippy::disallowed_types, reason = "words are looked up; nothing walks over the maps")]

use super::porter;
use std::collections::HashMap;

/// Words that were met, and their numbers. A word is stemmed once.
#[derive(Clone, Debug)]
pub(super) struct Words {
    stemmed: bool,
    /// The number of a word as it is written in lower case; none where its stem is empty.
    known: HashMap<Box<str>, Option<u32>>,
    /// The number of a stem.
    numbers: HashMap<String, u32>,
    /// A text in lower case.
    lowered: String,
}

impl Words {
    /// No words yet; `stemmed` says whether stems stand for words.
    pub(super) fn new(stemmed: bool) -> Self {
        Self { stemmed, known: HashMap::new(), numbers: HashMap::new(), lowered: String::new() }
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Puts the numbers of a text's words into `into`, in the place of what is there.
    pub(super) fn read(&mut self, text: &str, into: &mut Vec<u32>) {
        let mut lowered = std::mem::take(&mut self.lowered);
        lowered.clear();
        if text.is_ascii() {
            lowered.push_str(text);
            lowered.make_ascii_lowercase();
        } else {
            // Some letters outside ASCII have a lower case inside: the Kelvin sign is a `k`.
            lowered.push_str(&text.to_lowercase());
        }
        into.clear();
        let kept = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut start = 0;
        for (at, byte) in lowered.bytes().chain([b' ']).enumerate() {
            if !kept(byte) {
                if start < at {
                    into.extend(self.number(&lowered[start..at]));
                }
                start = at + 1;
            }
        }
        self.lowered = lowered;
    }

    fn number(&mut self, word: &str) -> Option<u32> {
        if let Some(number) = self.known.get(word) {
            return *number;
        }
        let stem = if self.stemmed && word.len() > 3 { porter::stem(word) } else { word.to_owned() };
        let next = self.numbers.len() as u32;
        let number = (!stem.is_empty()).then(|| *self.numbers.entry(stem).or_insert(next));
        self.known.insert(word.into(), number);
        number
    }
}
