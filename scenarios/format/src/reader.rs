//! Walking a tree of what was written, key by key.
//!
//! A [`View`] is a table being read: it knows its path, remembers which keys were asked for, and puts every
//! mistake on one list, so that a section's reader says what it wants and nothing else.

use std::cell::RefCell;

use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::limits;
use crate::node::{Node, Place, Table, Value};
use crate::units::{self, Dimension};
use crate::words::{self, Choices};

pub(crate) mod survey;
mod value;

pub(crate) use survey::Shape;
use survey::Survey;
pub(crate) use value::{MOST_EXACT, number, quantity, quoted, text, whole, word, wrong_type};
use value::{choose, choose_one, out_of_range, whole_within};

/// The list that mistakes are put on.
#[derive(Default)]
pub(crate) struct Problems {
    found: RefCell<Vec<Diagnostic>>,
    /// What is asked for, where somebody wants to know.
    pub survey: Option<Survey>,
}

impl Problems {
    /// A list that also remembers what was asked for.
    pub fn surveyed() -> Self {
        Self { survey: Some(Survey::default()), ..Self::default() }
    }

    pub fn add(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub fn into_diagnostics(self) -> Diagnostics {
        Diagnostics(self.found.into_inner())
    }
}

static NO_TABLE: Table = Table { entries: Vec::new() };

/// A table being read.
pub(crate) struct View<'a> {
    table: &'a Table,
    /// Dotted path from the root; empty at the root.
    pub path: String,
    /// What the file is: `scenario` or `sweep`.
    what: &'static str,
    /// Where the table is written, for what is missing in it.
    pub at: Option<Place>,
    pub problems: &'a Problems,
    asked: RefCell<Vec<&'static str>>,
}

/// A value that was asked for.
pub(crate) struct Field<T> {
    value: Option<T>,
    /// What to say if it has to be there and is not; none if it is there, right or wrong.
    missing: Option<Diagnostic>,
    /// Its path, where a survey is made.
    path: Option<String>,
}

impl<T> Field<T> {
    /// The value, or a default.
    pub fn or(self, default: T) -> T {
        self.value.unwrap_or(default)
    }

    /// The value, if it was written (and is right).
    pub fn optional(self) -> Option<T> {
        self.value
    }

    /// The value; a mistake where there is none.
    pub fn required(self, problems: &Problems) -> Option<T> {
        if let (Some(survey), Some(path)) = (&problems.survey, self.path) {
            survey.require(path);
        }
        if let Some(missing) = self.missing {
            problems.add(missing);
        }
        self.value
    }
}

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Above 0.
    Positive,
    /// 0 or above.
    NonNegative,
    /// 0 to 1.
    Fraction,
    /// 0 to 1, without 1.
    BelowOne,
    /// 0 to 0.5, without 0.5.
    BelowHalf,
    /// 0 to 1, without 0.
    Share,
    /// -1 to 1.
    Correlation,
    /// 1 or above.
    AtLeastOne,
    /// Anything finite.
    Finite,
}

impl Bound {
    /// In words, behind "a number"; nothing if anything goes.
    pub fn words(self) -> &'static str {
        match self {
            Self::Positive => "above 0",
            Self::NonNegative => "of 0 or above",
            Self::Fraction => "between 0 and 1",
            Self::BelowOne => "of at least 0 and below 1",
            Self::BelowHalf => "of at least 0 and below 0.5",
            Self::Share => "above 0 and at most 1",
            Self::Correlation => "between -1 and 1",
            Self::AtLeastOne => "of 1 or above",
            Self::Finite => "",
        }
    }

    /// As JSON Schema.
    pub fn schema(self) -> serde_json::Value {
        use serde_json::json;
        match self {
            Self::Positive => json!({ "type": "number", "exclusiveMinimum": 0 }),
            Self::NonNegative => json!({ "type": "number", "minimum": 0 }),
            Self::Fraction => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            Self::BelowOne => json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 }),
            Self::BelowHalf => json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 0.5 }),
            Self::Share => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
            Self::Correlation => json!({ "type": "number", "minimum": -1, "maximum": 1 }),
            Self::AtLeastOne => json!({ "type": "number", "minimum": 1 }),
            Self::Finite => json!({ "type": "number" }),
        }
    }

    /// What a number has to be that is not within it.
    pub fn broken(self, number: f64) -> Option<&'static str> {
        let (holds, wanted) = match self {
            Self::Positive => (number > 0.0, "has to be above 0"),
            Self::NonNegative => (number >= 0.0, "has to be 0 or above"),
            Self::Fraction => ((0.0..=1.0).contains(&number), "has to be between 0 and 1"),
            Self::BelowOne => ((0.0..1.0).contains(&number), "has to be at least 0 and below 1"),
            Self::BelowHalf => ((0.0..0.5).contains(&number), "has to be at least 0 and below 0.5"),
            Self::Share => (number > 0.0 && number <= 1.0, "has to be above 0 and at most 1"),
            Self::Correlation => (number.abs() <= 1.0, "has to be between -1 and 1"),
            Self::AtLeastOne => (number >= 1.0, "has to be 1 or above"),
            Self::Finite => (true, ""),
        };
        if number.is_finite() && holds {
            None
        } else {
            Some(if wanted.is_empty() { "has to be finite" } else { wanted })
        }
    }
}

impl<'a> View<'a> {
    pub fn root(table: &'a Table, at: Option<Place>, problems: &'a Problems) -> Self {
        Self::root_of("scenario", table, at, problems)
    }

    /// The root of a file that is not a scenario.
    pub fn root_of(what: &'static str, table: &'a Table, at: Option<Place>, problems: &'a Problems) -> Self {
        Self { table, path: String::new(), what, at, problems, asked: RefCell::default() }
    }

    /// The dotted path of a key.
    pub fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Tells a survey what kind of value belongs here.
    fn note(&self, key: &str, shape: impl FnOnce() -> Shape) {
        if let Some(survey) = &self.problems.survey {
            survey.note(self.full(key), shape());
        }
    }

    /// The same of this table itself.
    fn note_here(&self, shape: impl FnOnce() -> Shape) {
        if let Some(survey) = &self.problems.survey {
            survey.note(self.path.clone(), shape());
        }
    }

    fn get(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        self.table.get(key).map(|entry| &entry.node)
    }

    /// Whether a key is written. Does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Where a key's value is written.
    pub fn place(&self, key: &str) -> Option<Place> {
        self.table.get(key).and_then(|entry| entry.node.at.clone().or(entry.key_at.clone()))
    }

    /// Where a key is written.
    pub fn key_place(&self, key: &str) -> Option<Place> {
        self.table.get(key).and_then(|entry| entry.key_at.clone().or(entry.node.at.clone()))
    }

    fn missing(&self, key: &'static str, help: &str) -> Diagnostic {
        let (holder, label) = match self.path.as_str() {
            "" => (format!("the {}", self.what), "nowhere in this file"),
            path => (format!("[{path}]"), "in this table"),
        };
        let missing = Diagnostic::new(codes::MISSING_KEY, format!("{holder} has no `{key}`"));
        missing.label(self.at.clone(), label).help(help)
    }

    fn field<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&'a Node, &str) -> Result<T, Diagnostic>,
    ) -> Field<T> {
        self.field_or(key, &format!("write {key} = {example}"), read)
    }

    /// A field whose absence, where it is required, is explained with `help`.
    fn field_or<T>(
        &self,
        key: &'static str,
        help: &str,
        read: impl FnOnce(&'a Node, &str) -> Result<T, Diagnostic>,
    ) -> Field<T> {
        let read =
            |node: &'a Node, path: &str| read(node, path).map_err(|error| self.problems.add(error)).ok();
        self.part_or(key, help, read)
    }

    /// A value of a kind of its own, whose reader puts its mistakes on the list itself.
    pub fn part<T>(
        &self,
        key: &'static str,
        example: &str,
        shape: impl FnOnce() -> Shape,
        read: impl FnOnce(&'a Node, &str) -> Option<T>,
    ) -> Field<T> {
        self.note(key, shape);
        self.part_or(key, &format!("write {key} = {example}"), read)
    }

    fn part_or<T>(
        &self,
        key: &'static str,
        help: &str,
        read: impl FnOnce(&'a Node, &str) -> Option<T>,
    ) -> Field<T> {
        let path = self.problems.survey.is_some().then(|| self.full(key));
        match self.get(key) {
            Some(node) => Field { value: read(node, &self.full(key)), missing: None, path },
            None => Field { value: None, missing: Some(self.missing(key, help)), path },
        }
    }

    pub fn string(&self, key: &'static str, example: &str) -> Field<String> {
        self.note(key, || Shape::Text);
        self.field(key, example, |node, path| text(node, path, example).map(str::to_owned))
    }

    pub fn boolean(&self, key: &'static str) -> Field<bool> {
        self.note(key, || Shape::Truth);
        self.field(key, "true", |node, path| match node.value {
            Value::Boolean(truth) => Ok(truth),
            _ => Err(wrong_type(node, path, "true or false", "true")),
        })
    }

    /// A whole number of at least `least`, and within the limit of its place.
    pub fn count<N: TryFrom<i64>>(&self, key: &'static str, least: i64) -> Field<N> {
        self.note(key, || Shape::Whole { least });
        let example = least.max(1).to_string();
        self.field(key, &example, |node, path| whole_within(node, path, least, limits::most(path)))
    }

    pub fn number(&self, key: &'static str, bound: Bound) -> Field<f64> {
        self.note(key, || Shape::Number(bound));
        self.field(key, "", |node, path| number(node, path, bound))
    }

    pub fn quantity(&self, key: &'static str, dimension: &'static Dimension, bound: Bound) -> Field<f64> {
        self.note(key, || Shape::Quantity(dimension));
        self.field(key, &format!("{:?}", dimension.example), |node, path| {
            quantity(node, path, dimension, bound)
        })
    }

    /// A size in whole bytes, above 0.
    pub fn bytes(&self, key: &'static str) -> Field<u64> {
        self.note(key, || Shape::Quantity(&units::SIZE));
        self.field(key, "\"6GiB\"", |node, path| {
            let bytes = quantity(node, path, &units::SIZE, Bound::Positive)?.round();
            if (1.0..=MOST_EXACT).contains(&bytes) {
                Ok(bytes as u64)
            } else {
                Err(out_of_range(node, path, "has to be between 1B and 9000TB", codes::BAD_QUANTITY))
            }
        })
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Field<T> {
        self.note(key, || Shape::words(choices));
        let example = format!("{:?}", choices[0].0);
        self.field(key, &example, |node, path| word(node, path, choices))
    }

    /// A list of one kind; every element is read, every mistake kept.
    pub fn list<T>(
        &self,
        key: &'static str,
        example: &str,
        shape: impl FnOnce() -> Shape,
        read: impl Fn(&'a Node, &str) -> Result<T, Diagnostic>,
    ) -> Field<Vec<T>> {
        self.note(key, || Shape::List(Box::new(shape())));
        self.field(key, example, |node, path| {
            let Value::Array(items) = &node.value else {
                return Err(wrong_type(node, path, "a list", example));
            };
            let element = |item| read(item, path).map_err(|diagnostic| self.problems.add(diagnostic)).ok();
            Ok(items.iter().filter_map(element).collect())
        })
    }

    /// The tables of `[[key]]`, each with its number; none where there are none.
    pub fn tables(&self, key: &'static str) -> Vec<View<'a>> {
        self.note(key, || Shape::Tables);
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::Array(items) = &node.value else {
            let path = self.full(key);
            self.problems.add(
                wrong_type(node, &path, "a list of tables", "")
                    .help(format!("write [[{path}]] over each of them")),
            );
            return Vec::new();
        };
        let view = |(index, item): (usize, &'a Node)| {
            let path = format!("{}.{index}", self.full(key));
            match &item.value {
                Value::Table(table) => Some(self.view(table, path, item.at.clone())),
                _ => {
                    self.problems.add(wrong_type(item, &path, "a table", ""));
                    None
                }
            }
        };
        items.iter().enumerate().filter_map(view).collect()
    }

    pub fn view(&self, table: &'a Table, path: String, at: Option<Place>) -> View<'a> {
        View { table, path, what: self.what, at, problems: self.problems, asked: RefCell::default() }
    }

    /// A sub-table.
    pub fn table(&self, key: &'static str) -> Field<View<'a>> {
        self.note(key, || Shape::Table);
        let at = self.key_place(key);
        self.field_or(key, &format!("write a table under the header [{}]", self.full(key)), |node, path| {
            match &node.value {
                Value::Table(table) => Ok(self.view(table, path.to_owned(), at)),
                _ => Err(wrong_type(node, path, "a table", "")
                    .help(format!("write a table under the header [{path}]"))),
            }
        })
    }

    /// A sub-table whose keys all have defaults.
    pub fn table_or_empty(&self, key: &'static str) -> View<'a> {
        self.table(key).or(self.view(&NO_TABLE, self.full(key), self.at.clone()))
    }

    /// The named tables below this one, `[models.NAME]`; every name counts as asked for.
    pub fn named_tables(&self) -> Vec<(&'a str, View<'a>)> {
        self.note_here(|| Shape::Names);
        let named = |entry: &'a crate::node::Entry| {
            let path = self.full(&quoted(&entry.key));
            let at = entry.key_at.clone().or(entry.node.at.clone());
            match &entry.node.value {
                Value::Table(table) => Some((entry.key.as_str(), self.view(table, path, at))),
                _ => {
                    self.problems.add(wrong_type(&entry.node, &path, "a table", ""));
                    None
                }
            }
        };
        self.table.entries.iter().filter_map(named).collect()
    }

    /// A choice: the name of the one sub-table, or a string that stands for an empty one.
    pub fn choice(&self, key: &'static str, choices: &'static Choices) -> Field<(&'static str, View<'a>)> {
        self.note(key, || Shape::Choice { choices, word: true });
        let at = self.key_place(key);
        self.field_or(key, &choose_one(&self.full(key), choices), |node, path| match &node.value {
            Value::String(word) => {
                let name = choose(word, node.at.clone(), path, choices)?;
                Ok((name, self.view(&NO_TABLE, format!("{path}.{name}"), node.at.clone())))
            }
            Value::Table(table) => self.view(table, path.to_owned(), at).chosen(choices),
            _ => Err(wrong_type(node, path, choices.what, "").help(choose_one(path, choices))),
        })
    }

    /// The choice that this table makes.
    pub fn chosen(&self, choices: &'static Choices) -> Result<(&'static str, View<'a>), Diagnostic> {
        self.note_here(|| Shape::Choice { choices, word: false });
        match &self.table.entries[..] {
            [entry] => {
                let at = entry.key_at.clone().or(entry.node.at.clone());
                let name = choose(&entry.key, at.clone(), &self.path, choices)?;
                let path = self.full(name);
                match &entry.node.value {
                    Value::Table(table) => Ok((name, self.view(table, path, at))),
                    // `every = { rounds = 5 }`: the choice is read from the table that makes it.
                    _ if choices.plain.contains(&name) => {
                        Ok((name, self.view(self.table, self.path.clone(), at)))
                    }
                    _ => Err(wrong_type(&entry.node, &path, "a table", "")
                        .help(format!("write {name} = {{}}, with its keys between the braces"))),
                }
            }
            [] => Err(Diagnostic::new(codes::NO_CHOICE, format!("`{}` does not say which", self.path))
                .label(self.at.clone(), "nothing is chosen here")
                .help(choose_one(&self.path, choices))),
            [first, second, ..] => {
                let names = words::list(self.table.entries.iter().map(|entry| entry.key.as_str()));
                Err(Diagnostic::new(
                    codes::TWO_CHOICES,
                    format!("`{}` chooses {names}, and only one is possible", self.path),
                )
                .label(second.key_at.clone(), "the second")
                .label(first.key_at.clone(), "the first")
                .help("keep one of them"))
            }
        }
    }

    /// Everything that is written in this table.
    pub fn entries(&self) -> &'a [crate::node::Entry] {
        self.note_here(|| Shape::Free);
        &self.table.entries
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.into_inner();
        for entry in self.table.entries.iter().filter(|entry| !asked.contains(&entry.key.as_str())) {
            let holder =
                if self.path.is_empty() { format!("a {}", self.what) } else { format!("`{}`", self.path) };
            let place = entry.key_at.clone().or(entry.node.at.clone());
            let diagnostic =
                Diagnostic::new(codes::UNKNOWN_KEY, format!("{holder} has no key `{}`", entry.key));
            let known = asked.iter().copied();
            let help = match words::meant(&entry.key, known.clone()) {
                Some(word) => format!("did you mean `{word}`?"),
                None if asked.is_empty() => "it takes no keys: leave this one out".to_owned(),
                None => format!("its keys are {}", words::list(known)),
            };
            self.problems.add(diagnostic.label(place, "unknown").help(help));
        }
    }
}
