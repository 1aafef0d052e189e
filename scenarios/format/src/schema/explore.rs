//! Making the reader ask for everything it can ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Entry, Node, Table, Value};
use crate::reader::{Problems, Shape};
use crate::units::Dimension;

/// The name that stands for any.
pub(super) const NAME: &str = "NAME";

/// What a reader asks for, wherever it is led.
pub(super) struct Explored {
    /// The kinds at every path.
    pub shapes: BTreeMap<String, Vec<Shape>>,
    /// The paths that have to be there whenever they are asked for.
    pub required: BTreeSet<String>,
    /// Where the distributions of a dimension were looked into.
    pub spreads: Vec<(&'static Dimension, String)>,
}

/// What is written at a path.
#[derive(Clone, Copy)]
enum Written {
    Table,
    Text(&'static str),
    /// Of no kind that the language has.
    Something,
}

/// Has `read` read small files, each of which holds one thing more than another, until no new path and no new kind is
/// asked for.
pub(super) fn explore(read: &dyn Fn(Table, &Problems)) -> Explored {
    let mut explored = Explored { shapes: BTreeMap::new(), required: BTreeSet::new(), spreads: Vec::new() };
    let mut optional = BTreeSet::new();
    let mut files: Vec<Vec<(String, Written)>> = vec![Vec::new()];
    while let Some(file) = files.pop() {
        let problems = Problems::surveyed();
        read(table(&file), &problems);
        let Some(survey) = problems.survey else { continue };
        let (asked, required) = survey.into_parts();
        for (path, shapes) in asked {
            if !required.contains(&path) {
                optional.insert(path.clone());
            }
            for shape in shapes {
                let known = explored.shapes.entry(path.clone()).or_default();
                if known.contains(&shape) {
                    continue;
                }
                let mut more = Vec::new();
                openings(&path, &shape, &mut explored.spreads, &mut more);
                known.push(shape);
                files.extend(more.into_iter().map(|one| file.iter().cloned().chain([one]).collect()));
            }
        }
        explored.required.extend(required);
    }
    explored.required.retain(|path| !optional.contains(path));
    explored
}

/// What to write at `path` so that a reader which wants a value of this kind goes on.
fn openings(
    path: &str,
    shape: &Shape,
    spreads: &mut Vec<(&'static Dimension, String)>,
    more: &mut Vec<(String, Written)>,
) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match shape {
        Shape::Table => more.push((path.to_owned(), Written::Table)),
        Shape::Names => more.push((below(NAME), Written::Table)),
        Shape::Tables => more.push((below("0"), Written::Table)),
        Shape::Choice { choices, .. } => {
            for name in choices.available {
                let plain = choices.plain.contains(name);
                more.push((below(name), if plain { Written::Something } else { Written::Table }));
            }
        }
        Shape::Word(words) => more.extend(words.iter().map(|word| (path.to_owned(), Written::Text(word)))),
        Shape::Text => more.push((path.to_owned(), Written::Text("x"))),
        // All distributions of a dimension are alike.
        Shape::Distribution(dimension) if !spreads.iter().any(|(known, _)| known == dimension) => {
            spreads.push((dimension, path.to_owned()));
            more.push((path.to_owned(), Written::Table));
        }
        _ => {}
    }
}

/// The tree of a file.
fn table(file: &[(String, Written)]) -> Table {
    let mut root = Table::default();
    for (path, written) in file {
        let parts: Vec<&str> = path.split('.').collect();
        put(&mut root, &parts, *written);
    }
    root
}

fn put(table: &mut Table, path: &[&str], written: Written) {
    let Some((first, rest)) = path.split_first() else { return };
    if table.get(first).is_none() {
        let node = Node { value: Value::Table(Table::default()), at: None };
        table.entries.push(Entry { key: (*first).to_owned(), key_at: None, node });
    }
    let Some(entry) = table.get_mut(first) else { return };
    let value = &mut entry.node.value;
    match (rest, written) {
        ([], Written::Table) => {}
        ([], Written::Text(text)) => *value = Value::String(text.to_owned()),
        ([], Written::Something) => *value = Value::Date,
        (["0", rest @ ..], _) => {
            if !matches!(value, Value::Array(_)) {
                *value = Value::Array(vec![Node { value: Value::Table(Table::default()), at: None }]);
            }
            if let Value::Array(items) = value
                && let Some(Node { value: Value::Table(inner), .. }) = items.first_mut()
            {
                put(inner, rest, written);
            }
        }
        _ => {
            if let Value::Table(inner) = value {
                put(inner, rest, written);
            }
        }
    }
}
