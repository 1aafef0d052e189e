//! Putting one text over another: tables merge, arrays and values replace, choices replace whole.

use crate::node::{Entry, Table, Value};

/// Tables whose sub-table's name is the choice; `*` is any name.
const CHOICES: &[&[&str]] = &[
    &["method"],
    &["method", "*", "optimizer"],
    &["method", "*", "aggregate"],
    &["method", "*", "saml", "combine"],
    &["method", "*", "local"],
    &["method", "*", "server"],
    &["coordination"],
    &["cost"],
    &["transfer", "up"],
    &["transfer", "down"],
    &["data", "corpus"],
    &["data", "split"],
    &["data", "split", "quantity"],
    &["models", "*", "adapter"],
    &["models", "*", "init"],
    &["fleet", "class", "*", "availability"],
    &["fleet", "class", "*", "compute"],
    &["fleet", "class", "*", "memory_bandwidth"],
    &["fleet", "class", "*", "link", "down"],
    &["fleet", "class", "*", "link", "up"],
    &["fleet", "class", "*", "link", "rtt"],
    &["fleet", "class", "*", "sample"],
    &["fleet", "class", "*", "availability", "diurnal", "session"],
    &["fleet", "class", "*", "availability", "diurnal", "timezones"],
    &["fleet", "class", "*", "availability", "sessions", "online"],
    &["fleet", "class", "*", "availability", "sessions", "offline"],
    &["evaluation", "every"],
    &["search"],
];

/// Whether the table at `path` is a choice.
pub(crate) fn is_choice(path: &[String]) -> bool {
    CHOICES.iter().any(|pattern| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(part, name)| *part == "*" || part == name)
    })
}

/// Whether a value put at `path` replaces what is there, even where both are tables.
pub(crate) fn replaces(path: &[String]) -> bool {
    is_choice(path) || path.split_last().is_some_and(|(_, parent)| is_choice(parent))
}

/// Lays `over` on top of `base`.
pub(crate) fn merge(base: &mut Table, over: Table, path: &mut Vec<String>) {
    for entry in over.entries {
        path.push(entry.key.clone());
        put(base, entry, path);
        path.pop();
    }
}

/// Lays one entry on top of `base`; `path` ends with its key.
pub(crate) fn put(base: &mut Table, entry: Entry, path: &mut Vec<String>) {
    match (base.get_mut(&entry.key), entry.node.value) {
        (Some(Entry { node, .. }), Value::Table(over)) if !replaces(path) => match &mut node.value {
            Value::Table(below) => merge(below, over, path),
            below => *below = Value::Table(over),
        },
        (Some(below), value) => {
            below.key_at = entry.key_at;
            below.node.value = value;
            below.node.at = entry.node.at;
        }
        (None, value) => {
            base.entries.push(Entry { node: crate::node::Node { value, ..entry.node }, ..entry })
        }
    }
}
