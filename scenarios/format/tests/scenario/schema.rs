//! The language as data: schema, reference page and `explain` say what the reader does, no more and no less.
//!
//! With `COTUNE_BLESS=1` the files that are made from it are written instead of compared.

use std::fs;
use std::path::Path;

use cotune_scenario::schema::{Language, json_schema, keys, reference};
use serde_json::Value;

const LANGUAGES: [Language; 2] = [Language::Scenario, Language::Sweep];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package lies in the workspace")
}

/// Compares a file that is made with what is committed.
fn is_as_committed(path: &str, made: &str) {
    let path = root().join(path);
    if std::env::var_os("COTUNE_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder can be made");
        fs::write(&path, made).expect("the file can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "{} is out of date: run this test with COTUNE_BLESS=1", path.display());
}

#[test]
fn every_key_says_what_it_means() {
    for language in LANGUAGES {
        let keys = keys(language);
        assert!(keys.len() > 10, "{language:?} has {} keys", keys.len());
        for key in keys {
            assert!(key.doc.len() > 2 && !key.kind.is_empty(), "{} says nothing: {key:?}", key.path);
            assert!(!key.doc.contains("\\["), "{} shows markup: {}", key.path, key.doc);
        }
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_reader() {
    for language in LANGUAGES {
        is_as_committed(&format!("scenarios/schema/{}-v1.json", language.name()), &json_schema(language));
    }
}

#[test]
fn the_committed_reference_is_that_of_the_reader() {
    is_as_committed("book/src/reference.md", &reference());
}

#[test]
fn every_scenario_that_ships_satisfies_the_schema() {
    let schema: Value = serde_json::from_str(&json_schema(Language::Scenario)).expect("it is JSON");
    let sweep: Value = serde_json::from_str(&json_schema(Language::Sweep)).expect("it is JSON");
    let mut checked = 0;
    for (folder, schema) in [
        ("scenarios", &schema),
        ("scenarios/fleets", &schema),
        ("scenarios/real", &schema),
        ("scenarios/sweeps", &sweep),
    ] {
        for entry in fs::read_dir(root().join(folder)).expect("scenarios ship") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(&path).expect("a scenario can be read");
                let written: Value = toml_edit::de::from_str(&text).expect("a scenario is TOML");
                let wrong = mistakes(schema, schema, &written, "");
                assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked} scenarios");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema: Value = serde_json::from_str(&json_schema(Language::Scenario)).expect("it is JSON");
    for (wrong, place) in [
        ("fleet.devises = 3", "fleet"),
        ("seed = \"one\"", "seed"),
        ("coordination.sync.overcommit = 0.5", "coordination"),
        ("coordination = \"sink\"", "coordination"),
        ("coordination = { sync = {}, async = {} }", "coordination"),
        ("simulation.actors = \"some\"", "simulation.actors"),
        ("evaluation.metrics = [\"accuracy\"]", "evaluation.metrics"),
        ("[[fault]]\ncrash.rates = 1", "fault"),
    ] {
        let written: Value = toml_edit::de::from_str(wrong).expect("it is TOML");
        let found = mistakes(&schema, &schema, &written, "");
        assert!(found.iter().any(|path| path.starts_with(place)), "{wrong}: {found:?}");
    }
}

/// Where a value breaks a schema: the part of draft-07 that ours are written in, patterns aside.
fn mistakes(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let holds = match keyword.as_str() {
            "$ref" => {
                let target = rule.as_str().and_then(|rule| root.pointer(rule.trim_start_matches('#')));
                found.extend(mistakes(root, target.expect("a definition"), value, path));
                true
            }
            "allOf" => {
                rule.as_array().expect("a list").iter().all(|one| mistakes(root, one, value, path).is_empty())
            }
            "anyOf" => {
                rule.as_array().expect("a list").iter().any(|one| mistakes(root, one, value, path).is_empty())
            }
            "oneOf" => {
                let fits = |one: &&Value| mistakes(root, one, value, path).is_empty();
                rule.as_array().expect("a list").iter().filter(fits).count() == 1
            }
            "type" => match rule.as_str().expect("a word") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                other => panic!("a type `{other}`"),
            },
            "const" => value == rule,
            "enum" => rule.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|value| value <= rule.as_f64().expect("a number")),
            "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > rule.as_f64().expect("a number")),
            "exclusiveMaximum" => value.as_f64().is_none_or(|value| value < rule.as_f64().expect("a number")),
            "minProperties" => {
                value.as_object().is_none_or(|table| table.len() as u64 >= rule.as_u64().expect("a number"))
            }
            "maxProperties" => {
                value.as_object().is_none_or(|table| table.len() as u64 <= rule.as_u64().expect("a number"))
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    found.extend(mistakes(root, rule, item, path));
                }
                true
            }
            "properties" => {
                for (name, rule) in rule.as_object().expect("an object") {
                    if let Some(value) = value.get(name) {
                        found.extend(mistakes(root, rule, value, &below(name)));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known =
                    |name: &str| schema.get("properties").is_some_and(|known| known.get(name).is_some());
                let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                for (name, value) in others {
                    match rule {
                        Value::Bool(false) => found.push(below(name)),
                        rule => found.extend(mistakes(root, rule, value, &below(name))),
                    }
                }
                true
            }
            "$schema" | "title" | "description" | "definitions" | "examples" | "pattern" => true,
            other => panic!("a keyword `{other}`"),
        };
        if !holds {
            found.push(path.to_owned());
        }
    }
    found
}
