//! What was written, as a tree in which every key and value knows its place in a text.
//!
//! TOML, JSON and command-line overrides all become this tree, so that merging and reading are written once.

use std::ops::Range;
use std::sync::Arc;

use toml_edit::{Item, TableLike, Value as TomlValue};

use crate::codes;
use crate::diagnostic::Diagnostic;

/// A text that a person wrote: a scenario file, its base, or a command-line override.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The file's name as written, or the name of the flag.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A place in a text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub source: Arc<SourceText>,
    /// The bytes of it.
    pub range: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub value: Value,
    pub at: Option<Place>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A TOML date or time; the language has none, so it is always a mistake.
    Date,
    Array(Vec<Node>),
    Table(Table),
}

/// A table in the order written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_at: Option<Place>,
    pub node: Node,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    /// The entry at a path; a number names an element of an array.
    pub fn find(&self, path: &[String]) -> Option<&Entry> {
        let (first, rest) = path.split_first()?;
        let entry = self.get(first)?;
        if rest.is_empty() { Some(entry) } else { entry.node.find(entry, rest) }
    }
}

impl Node {
    /// How a person would call this kind of value.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number with a point",
            Value::Boolean(_) => "a boolean",
            Value::Date => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    fn find<'a>(&'a self, holder: &'a Entry, path: &[String]) -> Option<&'a Entry> {
        match &self.value {
            Value::Table(table) => table.find(path),
            Value::Array(items) => {
                let (index, rest) = path.split_first()?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                if rest.is_empty() { Some(holder) } else { item.find(holder, rest) }
            }
            _ => None,
        }
    }
}

/// Parses TOML, or JSON where the text begins with a brace.
pub(crate) fn parse(source: &Arc<SourceText>) -> Result<Table, Diagnostic> {
    if source.text.trim_start().starts_with('{') { crate::json::parse(source) } else { parse_toml(source) }
}

fn parse_toml(source: &Arc<SourceText>) -> Result<Table, Diagnostic> {
    let document = toml_edit::Document::parse(source.text.as_str()).map_err(|error| {
        // The parser's message may have a second line with what it expected.
        let mut lines = error.message().lines();
        let label = lines.next().unwrap_or("not TOML").to_owned();
        let expected = lines.next().map(str::to_owned);
        let place = error.span().map(|range| Place { source: source.clone(), range });
        let duplicate = label.contains("duplicate key");
        let help = match expected {
            Some(expected) => expected,
            None if duplicate => "merge the two: a key or table may be written once".to_owned(),
            None => "strings need quotes, a table's header stands alone on its line: see https://toml.io"
                .to_owned(),
        };
        let what = if duplicate { "says something twice" } else { "is not valid TOML" };
        Diagnostic::new(codes::SYNTAX, format!("{} {what}", source.name)).label(place, label).help(help)
    })?;
    Ok(table_of(document.as_table(), source))
}

/// Parses one TOML value that stands in `source` at `offset`.
pub(crate) fn parse_value(source: &Arc<SourceText>, offset: usize) -> Result<Node, String> {
    let text = &source.text[offset..];
    // The parser wants a document; the prefix is as long as nothing in a message may point to.
    const PREFIX: &str = "v=";
    let document = toml_edit::Document::parse(format!("{PREFIX}{text}"))
        .map_err(|error| error.message().lines().next().unwrap_or("not a TOML value").to_owned())?;
    let [(_, item)] = document.iter().collect::<Vec<_>>()[..] else {
        return Err("one value is wanted".to_owned());
    };
    let mut node = node_of(item, source);
    shift(&mut node, &|position| (position + offset).saturating_sub(PREFIX.len()));
    Ok(node)
}

fn shift(node: &mut Node, to: &dyn Fn(usize) -> usize) {
    let move_place = |at: &mut Option<Place>| {
        if let Some(place) = at {
            place.range = to(place.range.start)..to(place.range.end);
        }
    };
    move_place(&mut node.at);
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, to)),
        Value::Table(table) => {
            for entry in &mut table.entries {
                move_place(&mut entry.key_at);
                shift(&mut entry.node, to);
            }
        }
        _ => {}
    }
}

fn place(source: &Arc<SourceText>, range: Option<Range<usize>>) -> Option<Place> {
    range.map(|range| Place { source: source.clone(), range })
}

fn table_of(table: &dyn TableLike, source: &Arc<SourceText>) -> Table {
    let entries = table.iter().map(|(key, item)| Entry {
        key: key.to_owned(),
        key_at: place(source, table.key(key).and_then(|key| key.span())),
        node: node_of(item, source),
    });
    Table { entries: entries.collect() }
}

fn node_of(item: &Item, source: &Arc<SourceText>) -> Node {
    match item {
        Item::None => Node { value: Value::Table(Table::default()), at: None },
        Item::Value(value) => node_of_value(value, source),
        Item::Table(table) => {
            Node { value: Value::Table(table_of(table, source)), at: place(source, table.span()) }
        }
        Item::ArrayOfTables(tables) => {
            let items = tables.iter().map(|table| Node {
                value: Value::Table(table_of(table, source)),
                at: place(source, table.span()),
            });
            Node { value: Value::Array(items.collect()), at: place(source, item.span()) }
        }
    }
}

fn node_of_value(value: &TomlValue, source: &Arc<SourceText>) -> Node {
    let at = place(source, value.span());
    let value = match value {
        TomlValue::String(text) => Value::String(text.value().clone()),
        TomlValue::Integer(number) => Value::Integer(*number.value()),
        TomlValue::Float(number) => Value::Float(*number.value()),
        TomlValue::Boolean(truth) => Value::Boolean(*truth.value()),
        TomlValue::Datetime(_) => Value::Date,
        TomlValue::Array(items) => {
            Value::Array(items.iter().map(|item| node_of_value(item, source)).collect())
        }
        TomlValue::InlineTable(table) => Value::Table(table_of(table, source)),
    };
    Node { value, at }
}
