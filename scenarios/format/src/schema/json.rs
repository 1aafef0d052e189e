//! The JSON Schema (draft-07) of a language, for editors.
//!
//! Nothing is `required`: what a file leaves out may come from the file that it extends, and a sweep or `--set` may add
//! the rest. The descriptions say what has to be there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::docs::Docs;
use super::explore::{Explored, NAME};
use super::{Language, Shape};
use crate::units::Dimension;

/// The schema as pretty JSON with a newline at its end.
pub fn json_schema(language: Language) -> String {
    let Explored { shapes, required, spreads } = language.explore();
    let mut tree = Tree::default();
    for (path, kinds) in &shapes {
        tree.at(path).shapes.clone_from(kinds);
    }
    let writer = Writer { docs: Docs::new(), required };
    let mut schema = writer.table(&tree, "");
    let mut definitions = Map::new();
    for (dimension, path) in &spreads {
        let choice = writer.choice_of(tree.at(path), path);
        let any = json!({ "anyOf": [quantity(dimension), choice] });
        definitions.insert(definition(dimension), any);
    }
    let title = format!("cotune {}", language.name());
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(title));
    if !definitions.is_empty() {
        schema.insert("definitions".to_owned(), Value::Object(definitions));
    }
    serde_json::to_string_pretty(&Value::Object(schema)).expect("a schema is JSON") + "\n"
}

/// Keys below each other.
#[derive(Default)]
struct Tree {
    shapes: Vec<Shape>,
    below: BTreeMap<String, Tree>,
}

impl Tree {
    fn at(&mut self, path: &str) -> &mut Self {
        let parts = path.split('.').filter(|part| !part.is_empty());
        parts.fold(self, |tree, part| tree.below.entry(part.to_owned()).or_default())
    }
}

struct Writer {
    docs: Docs,
    required: BTreeSet<String>,
}

impl Writer {
    /// The schema of the key at `path`.
    fn key(&self, tree: &Tree, path: &str) -> Value {
        let mut kinds: Vec<Value> = self.kinds(tree, path);
        if kinds.is_empty() {
            kinds.push(Value::Object(self.table(tree, path)));
        }
        let mut schema = match (kinds.pop(), kinds.is_empty()) {
            (Some(Value::Object(only)), true) if !only.contains_key("$ref") => only,
            (Some(only), true) => Map::from_iter([("allOf".to_owned(), json!([only]))]),
            (last, _) => {
                kinds.extend(last);
                Map::from_iter([("anyOf".to_owned(), Value::Array(kinds))])
            }
        };
        let doc = self.docs.of(path).unwrap_or_default();
        let required = self.required.contains(path) && !doc.contains("Default");
        let words = if required { format!("{doc} Has to be given.") } else { doc };
        if !words.trim().is_empty() {
            schema.insert("description".to_owned(), json!(words.trim()));
        }
        Value::Object(schema)
    }

    fn kinds(&self, tree: &Tree, path: &str) -> Vec<Value> {
        let is_only_table = !tree
            .shapes
            .iter()
            .any(|shape| matches!(shape, Shape::Names | Shape::Free | Shape::Choice { .. } | Shape::Tables));
        let takes_word = tree.shapes.iter().any(|shape| matches!(shape, Shape::Choice { word: true, .. }));
        let mut found: Vec<Value> = Vec::new();
        for shape in &tree.shapes {
            let schema = match shape {
                Shape::Table if is_only_table => Value::Object(self.table(tree, path)),
                Shape::Table => continue,
                Shape::Names => {
                    let inner = tree.below.get(NAME);
                    let inner = inner.map(|inner| self.key(inner, &format!("{path}.{NAME}")));
                    json!({ "type": "object", "additionalProperties": inner })
                }
                Shape::Tables => {
                    let inner = tree.below.get("0").map(|inner| self.key(inner, &format!("{path}.0")));
                    json!({ "type": "array", "items": inner })
                }
                // The same choice, asked for again where its table is read.
                Shape::Choice { word: false, .. } if takes_word => continue,
                Shape::Choice { choices, word } => {
                    if *word {
                        found.push(self.words(path, choices.available));
                    }
                    let mut choice = self.choice_of(tree, path);
                    // What is chosen without keys of its own was never read any further.
                    for name in choices.available {
                        let properties =
                            choice["properties"].as_object_mut().expect("a table has properties");
                        let below = || self.key(&Tree::default(), &format!("{path}.{name}"));
                        properties.entry(*name).or_insert_with(below);
                    }
                    choice
                }
                Shape::Free => json!({ "type": "object" }),
                other => self.value(other, path),
            };
            if !found.contains(&schema) {
                found.push(schema);
            }
        }
        found
    }

    /// The schema of a value that is no table.
    fn value(&self, shape: &Shape, path: &str) -> Value {
        match shape {
            Shape::Text => json!({ "type": "string" }),
            Shape::Truth => json!({ "type": "boolean" }),
            Shape::Whole { least } => json!({ "type": "integer", "minimum": least }),
            Shape::Number(bound) => bound.schema(),
            Shape::Quantity(dimension) => quantity(dimension),
            Shape::Distribution(dimension) => {
                json!({ "$ref": format!("#/definitions/{}", definition(dimension)) })
            }
            Shape::Clock => json!({ "type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5]?[0-9]$" }),
            Shape::Word(words) => self.words(path, words),
            Shape::List(of) => json!({ "type": "array", "items": self.value(of, path) }),
            Shape::AnyOf(any) => {
                json!({ "anyOf": any.iter().map(|one| self.value(one, path)).collect::<Vec<_>>() })
            }
            Shape::Table | Shape::Names | Shape::Tables | Shape::Choice { .. } | Shape::Free => {
                json!({ "type": "object" })
            }
        }
    }

    /// Words with their meanings where they have any.
    fn words(&self, path: &str, words: &[&str]) -> Value {
        let meanings: Vec<String> = words.iter().map(|word| self.docs.of_word(path, word)).collect();
        if meanings.iter().all(String::is_empty) {
            return json!({ "enum": words });
        }
        let one = |(word, meaning): (&&str, &String)| match meaning.as_str() {
            "" => json!({ "const": word }),
            _ => json!({ "const": word, "description": meaning }),
        };
        json!({ "oneOf": words.iter().zip(&meanings).map(one).collect::<Vec<_>>() })
    }

    fn table(&self, tree: &Tree, path: &str) -> Map<String, Value> {
        let mut properties = Map::new();
        for (name, below) in &tree.below {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            properties.insert(name.clone(), self.key(below, &path));
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(properties));
        schema.insert("additionalProperties".to_owned(), json!(false));
        schema
    }

    /// A table with exactly one of its sub-tables.
    fn choice_of(&self, tree: &Tree, path: &str) -> Value {
        let mut schema = self.table(tree, path);
        schema.insert("minProperties".to_owned(), json!(1));
        schema.insert("maxProperties".to_owned(), json!(1));
        Value::Object(schema)
    }
}

/// `distribution-time`.
fn definition(dimension: &Dimension) -> String {
    let name = dimension.name.trim_start_matches("a ").trim_start_matches("an ");
    format!("distribution-{}", name.replace(' ', "-"))
}

fn quantity(dimension: &Dimension) -> Value {
    let units: Vec<String> = dimension.units.iter().map(|(symbol, _)| symbol.replace('.', "\\.")).collect();
    json!({
        "type": "string",
        "pattern": format!(r"^\s*[+-]?[0-9][0-9_]*(\.[0-9_]+)?([eE][+-]?[0-9]+)?\s*({})\s*$", units.join("|")),
        "examples": [dimension.example],
    })
}
