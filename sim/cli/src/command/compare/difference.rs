//! Where the scenarios of groups differ.

use std::collections::BTreeSet;

use serde_json::Value;

use super::groups::{Group, Run};

/// A key whose values differ.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its dotted path in the lock file.
    pub key: String,
    /// What each group has there.
    pub values: Vec<String>,
}

/// The keys that differ between groups, seeds aside. A choice that differs is one key.
pub fn between(groups: &[Group]) -> Vec<Difference> {
    let locks: Vec<Option<&Value>> =
        groups.iter().map(|group| group.runs.values().next().map(|run| &run.lock)).collect();
    let mut found = Vec::new();
    descend(String::new(), &locks, &mut found);
    found
}

/// Whether two runs differ in nothing but the seed and what follows from it.
pub fn is_seed_only(a: &Run, b: &Run) -> bool {
    is_alike(&a.lock, &b.lock, (a.summary.seed, b.summary.seed), "")
}

fn is_alike(a: &Value, b: &Value, seeds: (u64, u64), key: &str) -> bool {
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, a)| right.get(key).is_some_and(|b| is_alike(a, b, seeds, key)))
        }
        _ if a == b => true,
        // A seed that nobody wrote is the run's.
        _ => key == "seed" && a.as_u64() == Some(seeds.0) && b.as_u64() == Some(seeds.1),
    }
}

fn descend(path: String, values: &[Option<&Value>], found: &mut Vec<Difference>) {
    if values.iter().all(|value| *value == values[0]) || path == "seed" || path.ends_with(".seed") {
        return;
    }
    let tables: Option<Vec<_>> = values.iter().map(|value| value.and_then(Value::as_object)).collect();
    let is_choice = |tables: &Vec<&serde_json::Map<String, Value>>| {
        let names: BTreeSet<_> = tables.iter().flat_map(|table| table.keys()).collect();
        names.len() > 1 && tables.iter().all(|table| table.len() == 1)
    };
    match tables {
        Some(tables) if !is_choice(&tables) => {
            let keys: BTreeSet<&String> = tables.iter().flat_map(|table| table.keys()).collect();
            for key in keys {
                let below: Vec<_> = tables.iter().map(|table| table.get(key)).collect();
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                descend(path, &below, found);
            }
        }
        _ => found.push(Difference { key: path, values: values.iter().map(|value| shown(*value)).collect() }),
    }
}

/// A choice by its name, anything else as it is.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(table)) if table.len() == 1 => table.keys().next().cloned().unwrap_or_default(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_choice_is_one_key_and_a_number_is_its_own() {
        let (a, b) = (
            json!({ "method": { "fedavg": { "batch": 4 } }, "fleet": { "devices": 3, "x": 1 }, "seed": 1 }),
            json!({ "method": { "co-plms": { "batch": 4 } }, "fleet": { "devices": 5, "x": 1 }, "seed": 2 }),
        );
        let mut found = Vec::new();
        descend(String::new(), &[Some(&a), Some(&b)], &mut found);
        let shown: Vec<_> = found.iter().map(|one| (one.key.as_str(), one.values.join("/"))).collect();
        assert_eq!(shown, [("fleet.devices", "3/5".to_owned()), ("method", "fedavg/co-plms".to_owned())]);
    }

    #[test]
    fn a_seed_that_follows_the_runs_is_no_difference_and_one_that_does_not_is() {
        let run = |seed: u64, corpus: u64| json!({ "seed": seed, "data": { "seed": corpus }, "n": 1 });
        assert!(is_alike(&run(1, 1), &run(2, 2), (1, 2), ""));
        assert!(is_alike(&run(1, 7), &run(2, 7), (1, 2), ""));
        assert!(!is_alike(&run(1, 7), &run(2, 8), (1, 2), ""));
    }
}
