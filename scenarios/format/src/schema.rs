//! The language as data: every key with its kind and its words, for the JSON Schema, the reference page and
//! `cotune explain`.
//!
//! Which keys there are and what may stand behind them comes from the reader itself, which is made to read one small
//! file after another until it asks for nothing new. What a key means comes from the doc comment of the field it ends
//! up in. So neither can say what the program does not do.

mod docs;
mod explore;
mod json;
mod reference;

use std::collections::BTreeMap;

use crate::document::{Context, Document};
use crate::reader::{Shape, View};
use crate::units;
use crate::words;

use docs::Docs;
use explore::{Explored, explore};

pub use json::json_schema;
pub use reference::reference;

/// A file that people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A scenario.
    Scenario,
    /// A sweep over one.
    Sweep,
}

impl Language {
    /// What it is called: `scenario`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scenario => "scenario",
            Self::Sweep => "sweep",
        }
    }

    fn explore(self) -> Explored {
        match self {
            Self::Scenario => explore(&|root, problems| {
                Document::of(root).read(&Context::default(), problems);
            }),
            Self::Sweep => explore(&|root, problems| {
                crate::sweep::read(View::root_of("sweep", &root, None, problems), "sweep");
            }),
        }
    }
}

/// A key of a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its dotted path; `NAME` stands for any name, `0` for any table of a list.
    pub path: String,
    /// What may stand behind it: `a time, such as "25min"`.
    pub kind: String,
    /// What it means, with its default; empty for a table that only holds others.
    pub doc: String,
    /// Whether it has to be written (or to come from a base).
    pub required: bool,
    /// The words it may be, with their meanings.
    pub words: Vec<(String, String)>,
}

impl Key {
    /// The path as it is written in a file: `fleet.class.<name>.memory`, `[[fault]] crash.rate`.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }

    /// Whether a person who writes `asked` may mean this key: all of its path, or its end.
    pub fn answers(&self, asked: &str) -> bool {
        let own: Vec<&str> = self.path.split('.').filter(|part| *part != "0").collect();
        let asked: Vec<&str> =
            asked.split('.').filter(|part| !part.is_empty() && part.parse::<usize>().is_err()).collect();
        let same = |(own, asked): (&&str, &&str)| own == asked || *own == "NAME";
        !asked.is_empty()
            && asked.last() == own.last()
            && asked.len() <= own.len()
            && own.iter().rev().zip(asked.iter().rev()).all(same)
    }
}

fn shown(path: &str) -> String {
    let path = path.replace("NAME", "<name>");
    match path.split_once(".0") {
        Some((list, rest)) => format!("[[{list}]] {}", rest.trim_start_matches('.')).trim_end().to_owned(),
        None => path,
    }
}

/// Every key of a language, by path.
pub fn keys(language: Language) -> Vec<Key> {
    let Explored { shapes, required, .. } = language.explore();
    let docs = Docs::new();
    let spread: Vec<String> =
        shapes.iter().filter(|(_, kinds)| is_spread(kinds)).map(|(path, _)| format!("{path}.")).collect();
    let key = |(path, kinds): (String, Vec<Shape>)| {
        // What a distribution is made of is told once.
        if path.is_empty() || spread.iter().any(|above| path.starts_with(above)) {
            return None;
        }
        let doc = docs.of(&path).unwrap_or_default();
        let required = required.contains(&path) && !doc.contains("Default");
        let words = words_of(&kinds).into_iter().map(|word| (word.to_owned(), docs.of_word(&path, word)));
        Some(Key { kind: kind(&kinds), required, words: words.collect(), doc, path })
    };
    shapes.into_iter().filter_map(key).collect()
}

fn is_spread(kinds: &[Shape]) -> bool {
    kinds.iter().any(|kind| matches!(kind, Shape::Distribution(_)))
}

fn words_of(kinds: &[Shape]) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for kind in kinds {
        let words = match kind {
            Shape::Word(words) => words.to_vec(),
            Shape::List(of) => words_of(std::slice::from_ref(of)),
            Shape::AnyOf(any) => words_of(any),
            Shape::Choice { choices, .. } => choices.available.to_vec(),
            _ => Vec::new(),
        };
        // A choice that may be a word or a table is met as both.
        for word in words {
            if !found.contains(&word) {
                found.push(word);
            }
        }
    }
    found
}

/// Kinds in words.
fn kind(kinds: &[Shape]) -> String {
    let one = |shape: &Shape| match shape {
        Shape::Text => "a string".to_owned(),
        Shape::Truth => "true or false".to_owned(),
        Shape::Whole { least } => format!("a whole number of at least {least}"),
        Shape::Number(bound) => match bound.words() {
            "" => "a number".to_owned(),
            words => format!("a number {words}"),
        },
        Shape::Quantity(dimension) => format!("{}, such as {:?}", dimension.name, dimension.example),
        Shape::Distribution(dimension) => {
            format!("{}, such as {:?}, or a distribution of it", dimension.name, dimension.example)
        }
        Shape::Clock => "a time of the day, such as \"02:30\"".to_owned(),
        Shape::Word(words) => format!("one of {}", words::list(words.iter().copied())),
        Shape::List(of) => format!("a list, each {}", kind(std::slice::from_ref(of))),
        Shape::AnyOf(any) => {
            any.iter().map(|one| kind(std::slice::from_ref(one))).collect::<Vec<_>>().join(", or ")
        }
        Shape::Table => "a table".to_owned(),
        Shape::Names => "a table for every name".to_owned(),
        Shape::Tables => "a list of tables".to_owned(),
        Shape::Choice { choices, .. } => {
            format!("{}: one of {}", choices.what, words::list(choices.available.iter().copied()))
        }
        Shape::Free => "a table with keys of your own".to_owned(),
    };
    // A table that turns out to hold names or a choice is only that.
    let telling = |shape: &&Shape| kinds.len() == 1 || !matches!(shape, Shape::Table);
    let mut all: Vec<String> = kinds.iter().filter(telling).map(one).collect();
    all.dedup();
    all.join(", or ")
}

/// Every dimension with its units, as a person would list them.
pub fn dimensions() -> BTreeMap<&'static str, Vec<&'static str>> {
    units::ALL.iter().map(|one| (one.name, one.units.iter().map(|(symbol, _)| *symbol).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::is_choice;

    /// A file that extends another replaces a choice whole: where that is to happen is written down once more, in
    /// `merge`, which reads no values.
    #[test]
    fn every_choice_of_the_reader_is_one_when_files_are_merged() {
        let unknown = |(path, kinds): (String, Vec<Shape>)| {
            let chooses = |kind: &Shape| matches!(kind, Shape::Choice { .. } | Shape::Distribution(_));
            let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
            // Lists are replaced whole anyway.
            let is_in_list = parts.iter().any(|part| part == "0");
            (kinds.iter().any(chooses) && !is_in_list && !is_choice(&parts)).then_some(path)
        };
        let unknown: Vec<String> =
            Language::Scenario.explore().shapes.into_iter().filter_map(unknown).collect();
        assert!(unknown.is_empty(), "choices that merging does not know: {unknown:?}");
    }

    #[test]
    fn a_key_is_found_by_its_end() {
        let keys = keys(Language::Scenario);
        let found = |asked: &str| {
            let paths: Vec<&str> =
                keys.iter().filter(|key| key.answers(asked)).map(|key| key.path.as_str()).collect();
            paths
        };
        assert_eq!(found("deadline"), ["coordination.sync.deadline"]);
        assert_eq!(found("fleet.class.phone.memory"), ["fleet.class.NAME.memory"]);
        assert_eq!(found("fault.crash.rate"), ["fault.0.crash.rate"]);
        assert!(found("fault.0.crash.rate") == found("fault.crash.rate") && found("rates").is_empty());
    }
}
