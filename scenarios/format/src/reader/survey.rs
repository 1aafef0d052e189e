//! What a reader asks for: the language as the program that reads it knows it.
//!
//! Schema, reference page and `cotune explain` are made of this, so that none of them can say what the reader does not.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Bound;
use crate::units::Dimension;
use crate::words::Choices;

/// The kind of value that belongs to a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Any string.
    Text,
    /// true or false.
    Truth,
    /// A whole number.
    Whole {
        /// The smallest.
        least: i64,
    },
    /// A number.
    Number(Bound),
    /// A string with a unit.
    Quantity(&'static Dimension),
    /// A quantity, or a table that says how it is spread.
    Distribution(&'static Dimension),
    /// `"02:30"`.
    Clock,
    /// One of a few words.
    Word(Vec<&'static str>),
    /// A list of one kind.
    List(Box<Shape>),
    /// Any of several kinds.
    AnyOf(Vec<Shape>),
    /// A table whose keys are asked for.
    Table,
    /// A table of tables with names of the user's choice.
    Names,
    /// `[[key]]`.
    Tables,
    /// A table whose one sub-table is the choice.
    Choice {
        /// What there is to choose.
        choices: &'static Choices,
        /// Whether a string may stand for an empty sub-table.
        word: bool,
    },
    /// A table whose keys are dotted paths of a scenario.
    Free,
}

impl Shape {
    /// One of the words that stand for values.
    pub fn words<T>(choices: &[(&'static str, T)]) -> Self {
        Self::Word(choices.iter().map(|(word, _)| *word).collect())
    }
}

/// What was asked for, by dotted path.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    shapes: RefCell<BTreeMap<String, Vec<Shape>>>,
    required: RefCell<BTreeSet<String>>,
}

impl Survey {
    pub fn note(&self, path: String, shape: Shape) {
        let mut shapes = self.shapes.borrow_mut();
        let known = shapes.entry(path).or_default();
        if !known.contains(&shape) {
            known.push(shape);
        }
    }

    pub fn require(&self, path: String) {
        self.required.borrow_mut().insert(path);
    }

    /// The kinds asked for at every path, and the paths that have to be there.
    pub fn into_parts(self) -> (BTreeMap<String, Vec<Shape>>, BTreeSet<String>) {
        (self.shapes.into_inner(), self.required.into_inner())
    }
}
