//! Reading a sweep's file.

use std::sync::Arc;

use super::{
    Assignment, Axis, Draw, Goal, Halving, Limits, MOST_COMBINATIONS, Resource, Search, Skip, Sweep, expand,
    study, value,
};
use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::usable_name;
use crate::expect;
use crate::node::{self, Entry, Node, Place, SourceText, Value};
use crate::overrides::parse_path;
use crate::reader::{Problems, Shape, View, quoted, whole, wrong_type};
use crate::words::{self, SEARCH};

impl Sweep {
    /// Parses a sweep's file called `file`; `stem` is what the sweep is called unless it says otherwise.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(file: &str, stem: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Arc::new(SourceText { name: file.to_owned(), text: text.to_owned() });
        let root = node::parse(&source).map_err(|error| Diagnostics(vec![error]))?;
        let problems = Problems::default();
        let top = Place { source, range: 0..0 };
        let sweep = read(View::root_of("sweep", &root, Some(top), &problems), stem);
        let mut found = problems.into_diagnostics();
        found.0.sort_by_key(|diagnostic| diagnostic.labels.first().map_or(0, |label| label.range.start));
        match sweep {
            Some(sweep) if !found.has_errors() => Ok(sweep),
            _ => Err(found),
        }
    }
}

pub(crate) fn read(root: View, stem: &str) -> Option<Sweep> {
    let problems = root.problems;
    let named = root.string("name", "\"study\"").optional();
    named.iter().for_each(|name| usable_name(problems, name, root.place("name")));
    let name = named.or_else(|| (!root.has("name")).then(|| stem.to_owned()));
    let scenario = root.string("scenario", "\"city-clinics.toml\"").required(problems);
    let seeds = root
        .list("seeds", "[1, 2, 3]", || Shape::Whole { least: 0 }, |node, path| whole::<u64>(node, path, 0))
        .or(Vec::new());
    let replicates = study::replicates(&root, seeds);
    let goal = root.table("goal").optional().and_then(goal);
    let search = root.choice("search", &SEARCH).optional().map_or(Some(Search::Grid), search);
    if matches!(search, Some(Search::Halving(_))) && !root.has("goal") {
        let error = Diagnostic::new(codes::MISSING_KEY, "halving has no `goal` to judge by");
        let help = "write goal = { maximize = \"edge.rouge-l.mean\" }, or another metric";
        problems.add(error.label(root.key_place("search"), "judges after every rung").help(help));
    }
    let set = root.table("set").optional().map_or(Vec::new(), |view| assignments(&view));
    let mut axes: Vec<Axis> = root.table("axes").optional().map_or(Vec::new(), |view| {
        lists(&view)
            .into_iter()
            .map(|list| Axis { steps: list.into_iter().map(|one| vec![one]).collect() })
            .collect()
    });
    axes.extend(root.tables("together").iter().filter_map(together));
    if let Some(labels) = root.table("labels").optional() {
        study::label(&labels, &mut axes);
    }
    let keys: Vec<String> = axes.iter().flat_map(|axis| &axis.steps[0]).map(|one| one.key.clone()).collect();
    let replicated = replicates.iter().flat_map(|one| &one.set).map(|one| one.key.clone());
    for key in replicated.collect::<std::collections::BTreeSet<_>>() {
        if let Some(axis) = keys.iter().find(|axis| **axis == key || axis.starts_with(&format!("{key}."))) {
            let message = format!("`{key}` of [[replicate]] is what the axis `{axis}` varies");
            let error = Diagnostic::new(codes::CONFLICT, message).label(root.key_place("axes"), "an axis");
            problems.add(error.help("a replicate sets what no axis does"));
        }
    }
    for (at, key) in keys.iter().enumerate() {
        let both = |other: &&String| **other == *key || other.starts_with(&format!("{key}."));
        if let Some(other) =
            keys.iter().enumerate().find(|(i, other)| *i != at && both(other)).map(|(_, k)| k)
            && (other != key || keys.iter().position(|first| first == key) == Some(at))
        {
            let error = Diagnostic::new(codes::CONFLICT, format!("`{key}` and `{other}` set the same place"));
            problems.add(error.label(root.key_place("axes"), "two axes").help("keep one of them"));
        }
    }
    let skips = root.tables("skip").iter().map(|view| skip(view, &keys)).collect();
    let contrasts = study::contrasts(&root, &axes);
    let limits = limits(root.table_or_empty("limits"));
    if expand::size(&axes).is_none_or(|size| size > MOST_COMBINATIONS) {
        let message = format!("the axes have more than {MOST_COMBINATIONS} combinations");
        let error = Diagnostic::new(codes::OUT_OF_RANGE, message).label(root.key_place("axes"), "too many");
        problems.add(error.help("leave out values, or walk some of them side by side with [[together]]"));
    }
    root.finish();
    Some(Sweep {
        name: name?,
        scenario: scenario?,
        replicates,
        goal,
        search: search?,
        limits,
        contrasts,
        set,
        axes,
        skips,
    })
}

fn goal(view: View) -> Option<Goal> {
    let up = view.string("maximize", "\"edge.rouge-l.mean\"").optional();
    let down = view.string("minimize", "\"edge.loss.mean\"").optional();
    for (key, metric) in [("maximize", &up), ("minimize", &down)] {
        if let Some(metric) = metric {
            expect::check_name(&view, key, metric);
        }
    }
    let goal = match (up, down) {
        (Some(metric), None) => Some(Goal::Maximize(metric)),
        (None, Some(metric)) => Some(Goal::Minimize(metric)),
        _ => {
            let error = Diagnostic::new(codes::CONFLICT, "`goal` takes one of `maximize` and `minimize`");
            let help = "write goal = { maximize = \"edge.rouge-l.mean\" }";
            view.problems.add(error.label(view.at.clone(), "one of the two").help(help));
            None
        }
    };
    view.finish();
    goal
}

fn search((name, view): (&'static str, View)) -> Option<Search> {
    let search = match name {
        "random" => {
            let points = view.count("points", 1).required(view.problems);
            let seed = view.count("seed", 0).or(1);
            points.map(|points| Search::Random(Draw { points, seed }))
        }
        "halving" => Some(Search::Halving(halving(&view))),
        _ => Some(Search::Grid),
    };
    view.finish();
    search
}

fn halving(view: &View) -> Halving {
    let resource = view.word("resource", &[("rounds", Resource::Rounds)]).or(Resource::Rounds);
    let (eta, first) = (view.count("eta", 2).or(3), view.count("first", 1).or(1));
    let points = view.count("points", 1).optional();
    let seed = view.count("seed", 0).optional();
    if seed.is_some() && points.is_none() {
        let error =
            Diagnostic::new(codes::CONFLICT, "`search.halving.seed` is of a draw, and nothing is drawn");
        view.problems.add(
            error.label(view.key_place("seed"), "without `points`").help("add `points`, or leave it out"),
        );
    }
    Halving { resource, eta, first, draw: points.map(|points| Draw { points, seed: seed.unwrap_or(1) }) }
}

fn limits(view: View) -> Limits {
    let default = Limits::default();
    let jobs = view.count("jobs", 1).optional();
    let runs = view.count("runs", 1).or(default.runs);
    let retries = view.count("retries", 0).or(default.retries);
    view.finish();
    Limits { jobs, runs, retries }
}

/// `[set]`: every entry is laid over the scenario where its path says.
pub(super) fn assignments(view: &View) -> Vec<Assignment> {
    let one = |entry: &Entry| {
        let (key, path) = path_of(view, "", entry)?;
        Some(assignment(key, path, entry, entry.node.clone(), value::short(&entry.node)))
    };
    view.entries().iter().filter_map(one).collect()
}

/// The lists of `[axes]` or `[[together]]`: tables on the way to a list are parts of its path.
pub(super) fn lists(view: &View) -> Vec<Vec<Assignment>> {
    let mut found = Vec::new();
    walk(view, "", view.entries(), &mut |key, path, entry| match &entry.node.value {
        Value::Array(values) if !values.is_empty() => {
            let labelled = values.iter().zip(value::labels(values));
            let one = |(node, label): (&Node, String)| {
                assignment(key.clone(), path.clone(), entry, node.clone(), label)
            };
            found.push(labelled.map(one).collect());
        }
        Value::Array(_) => {
            let error = Diagnostic::new(codes::CONFLICT, format!("the axis `{key}` has no values"));
            view.problems
                .add(error.label(entry.node.at.clone(), "empty").help("list its values, or leave it out"));
        }
        _ => view.problems.add(
            wrong_type(&entry.node, &key, "a list of values", "")
                .help(format!("write {key} = [{}, …]", value::toml(&entry.node))),
        ),
    });
    found
}

fn together(view: &View) -> Option<Axis> {
    let lists = lists(view);
    let length = lists.first()?.len();
    if let Some(other) = lists.iter().find(|list| list.len() != length) {
        let message = format!(
            "`{}` has {length} values and `{}` has {}: they are walked side by side",
            lists[0][0].key,
            other[0].key,
            other.len()
        );
        let error =
            Diagnostic::new(codes::CONFLICT, message).label(other[0].key_at.clone(), "another length");
        view.problems.add(error.help("give both as many values, or make them two axes"));
        return None;
    }
    let step = |index: usize| lists.iter().map(|list| list[index].clone()).collect();
    Some(Axis { steps: (0..length).map(step).collect() })
}

fn skip(view: &View, keys: &[String]) -> Skip {
    let mut conditions = Vec::new();
    // A table may be a value of an axis, or the way to one.
    fn conditions_of(
        view: &View,
        prefix: &str,
        entries: &[Entry],
        keys: &[String],
        found: &mut Vec<(String, Vec<Node>)>,
    ) {
        for entry in entries {
            let Some((key, _)) = path_of(view, prefix, entry) else { continue };
            match &entry.node.value {
                _ if keys.contains(&key) => {
                    let values = match &entry.node.value {
                        Value::Array(values) => values.clone(),
                        _ => vec![entry.node.clone()],
                    };
                    found.push((key, values));
                }
                Value::Table(table) if keys.iter().any(|axis| axis.starts_with(&format!("{key}."))) => {
                    conditions_of(view, &key, &table.entries, keys, found);
                }
                _ => {
                    let error = Diagnostic::new(codes::UNKNOWN_KEY, format!("no axis is called `{key}`"));
                    let help = words::suggestion(&key, keys.iter().map(String::as_str));
                    view.problems.add(error.label(entry.key_at.clone(), "not an axis").help(help));
                }
            }
        }
    }
    conditions_of(view, "", view.entries(), keys, &mut conditions);
    if view.entries().is_empty() {
        let error = Diagnostic::new(codes::CONFLICT, format!("`{}` would skip every point", view.path));
        view.problems.add(error.label(view.at.clone(), "no condition").help("name an axis and a value"));
    }
    Skip { conditions }
}

fn assignment(key: String, path: Vec<String>, entry: &Entry, node: Node, label: String) -> Assignment {
    Assignment { key, label, toml: value::toml(&node), path, node, key_at: entry.key_at.clone() }
}

/// Hands every entry that is no table to `leaf`, with its dotted path.
fn walk(view: &View, prefix: &str, entries: &[Entry], leaf: &mut dyn FnMut(String, Vec<String>, &Entry)) {
    for entry in entries {
        let Some((key, path)) = path_of(view, prefix, entry) else { continue };
        match &entry.node.value {
            Value::Table(table) => walk(view, &key, &table.entries, leaf),
            _ => leaf(key, path, entry),
        }
    }
}

/// The dotted path of an entry, whose key may be one itself.
fn path_of(view: &View, prefix: &str, entry: &Entry) -> Option<(String, Vec<String>)> {
    let below = parse_path(&entry.key).unwrap_or_else(|| vec![entry.key.clone()]);
    let mut path = if prefix.is_empty() { Vec::new() } else { parse_path(prefix)? };
    path.extend(below);
    if matches!(path[0].as_str(), "seed" | "name" | "format" | "extends") {
        let error = Diagnostic::new(codes::CONFLICT, format!("a sweep does not change `{}` here", path[0]));
        let help = if path[0] == "seed" { "write seeds = [1, 2, 3] at the top" } else { "leave it out" };
        view.problems.add(error.label(entry.key_at.clone(), "not here").help(help));
        return None;
    }
    let key = path.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(".");
    Some((key, path))
}
