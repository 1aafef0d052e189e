//! What makes a sweep a study: names of its points, replicates that are more than a seed, and contrasts that were
//! fixed before anything ran.

use super::{Assignment, Axis, read};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::Value;
use crate::reader::{Shape, View, whole};
use crate::words;

/// Seeds, and what comes along with them: replicates of a point differ in it and are still the same point.
#[derive(Clone, Debug)]
pub struct Replicate {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What else is assigned, before the axes.
    pub set: Vec<Assignment>,
}

/// A difference that is looked at whatever the table shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// What it is called.
    pub name: String,
    /// The label of the points that are held against others.
    pub of: String,
    /// The labels of those others; of several the best, metric by metric.
    pub against: Vec<String>,
}

/// `seeds` and `[[replicate]]`. Seeds are those of all replicates, each once.
pub(super) fn replicates(root: &View, seeds: Vec<u64>) -> Vec<Replicate> {
    let mut all = vec![Replicate { seeds, set: Vec::new() }];
    for view in root.tables("replicate") {
        let seeds = view.list(
            "seeds",
            "[6, 7]",
            || Shape::Whole { least: 0 },
            |node, path| whole::<u64>(node, path, 0),
        );
        let seeds = seeds.required(view.problems).unwrap_or_default();
        let set = view.table("set").required(view.problems).map_or(Vec::new(), |set| read::assignments(&set));
        view.finish();
        all.push(Replicate { seeds, set });
    }
    let seeds: Vec<u64> = all.iter().flat_map(|one| one.seeds.iter().copied()).collect();
    if let Some(twice) = seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed)) {
        let error = Diagnostic::new(codes::CONFLICT, format!("the seed {} is listed twice", twice.1));
        let place = root.place("seeds").or_else(|| root.place("replicate"));
        root.problems.add(error.label(place, "twice").help("list every seed once"));
    }
    if all.len() > 1 && all[0].seeds.is_empty() {
        all.remove(0);
    }
    all
}

/// `[labels]`: for an axis, one name for each of its values.
pub(super) fn label(view: &View, axes: &mut [Axis]) {
    for list in read::lists(view) {
        let key = &list[0].key;
        let found = axes.iter_mut().find_map(|axis| {
            let at = axis.steps[0].iter().position(|assigned| assigned.key == *key)?;
            Some((axis, at))
        });
        let Some((axis, at)) = found else {
            let error = Diagnostic::new(codes::UNKNOWN_KEY, format!("no axis is called `{key}`"));
            view.problems.add(error.label(list[0].key_at.clone(), "not an axis"));
            continue;
        };
        if axis.steps.len() != list.len() {
            let message = format!("`{key}` has {} values and {} labels", axis.steps.len(), list.len());
            let error =
                Diagnostic::new(codes::CONFLICT, message).label(list[0].key_at.clone(), "another length");
            view.problems.add(error.help("give every value of the axis one label, in the same order"));
            continue;
        }
        for (index, (step, written)) in axis.steps.iter_mut().zip(&list).enumerate() {
            let twice = list[..index].iter().any(|other| other.label == written.label);
            match &written.node.value {
                Value::String(text) if !text.is_empty() && !twice => step[at].label.clone_from(text),
                _ => {
                    let message = format!("{} is no label of its own", written.toml);
                    let error =
                        Diagnostic::new(codes::CONFLICT, message).label(written.node.at.clone(), "here");
                    view.problems.add(error.help("write a text that no other value of the axis has"));
                }
            }
        }
    }
}

/// `[[contrast]]`.
pub(super) fn contrasts(root: &View, axes: &[Axis]) -> Vec<Contrast> {
    let labels: Vec<&str> =
        axes.iter().flat_map(|axis| axis.steps.iter().flatten()).map(|one| one.label.as_str()).collect();
    let known = |view: &View, key: &'static str, label: &String| {
        if !labels.contains(&label.as_str()) {
            let error =
                Diagnostic::new(codes::UNKNOWN_KEY, format!("no value of an axis is called `{label}`"));
            let help = words::suggestion(label, labels.iter().copied());
            view.problems.add(error.label(view.place(key), "not a label").help(help));
        }
    };
    let one = |view: View| {
        let name = view.string("name", "\"relay over none\"").required(view.problems);
        let of = view.string("of", "\"co-plms\"").required(view.problems);
        let against = view.list(
            "against",
            "[\"standalone\"]",
            || Shape::Text,
            |node, path| match &node.value {
                Value::String(text) => Ok(text.clone()),
                _ => Err(crate::reader::wrong_type(node, path, "a label", "\"standalone\"")),
            },
        );
        let against = against.required(view.problems);
        if let Some(label) = &of {
            known(&view, "of", label);
        }
        for label in against.iter().flatten() {
            known(&view, "against", label);
        }
        view.finish();
        Some(Contrast { name: name?, of: of?, against: against? })
    };
    root.tables("contrast").into_iter().filter_map(one).collect()
}
