//! Values as a person reads them: on one line, and in a few words.

use super::Assignment;
use crate::node::{Entry, Node, Value};
use crate::reader::quoted;

/// A value as TOML on one line.
pub(super) fn toml(node: &Node) -> String {
    match &node.value {
        Value::String(text) => toml_edit::Value::from(text.as_str()).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => toml_edit::Value::from(*number).to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Date => "a date".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Table(table) if table.entries.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let entry = |entry: &Entry| format!("{} = {}", quoted(&entry.key), toml(&entry.node));
            format!("{{ {} }}", table.entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A value in a few words: a string without quotes, a choice by its name.
pub(super) fn short(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.clone(),
        Value::Table(table) => match &table.entries[..] {
            [Entry { key, node: Node { value: Value::Table(_), .. }, .. }] => key.clone(),
            _ => toml(node),
        },
        _ => toml(node),
    }
}

/// Labels of one axis: short where that tells them apart, whole where it does not.
pub(super) fn labels(values: &[Node]) -> Vec<String> {
    let shorts: Vec<String> = values.iter().map(short).collect();
    let is_unique = |label: &String| shorts.iter().filter(|other| *other == label).count() == 1;
    let whole = |(node, label): (&Node, &String)| if is_unique(label) { label.clone() } else { toml(node) };
    values.iter().zip(&shorts).map(whole).collect()
}

/// Whether a value of an axis is the one that `[[skip]]` names: equal, or called by its label or its choice's name.
pub(super) fn is_meant(assigned: &Assignment, named: &Node) -> bool {
    let value = &assigned.node;
    let is_called = |name: &String| short(value) == *name || assigned.label == *name;
    toml(value) == toml(named) || matches!(&named.value, Value::String(name) if is_called(name))
}
