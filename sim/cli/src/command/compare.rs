//! `cotune compare`: what differs between scenarios, and whether what they came to differs with it.

mod contrast;
mod difference;
mod groups;
mod verdict;

use std::collections::BTreeMap;

use cotune_report::format;
use serde_json::json;

use crate::arguments::Compare;
use crate::columns::folded;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::statistics::Mean;
use crate::talk;

pub use verdict::is_distinguishable;

use contrast::Contrast;
use difference::Difference;
use groups::{Group, Named};
use verdict::Verdict;

/// Puts runs side by side.
pub fn compare(typed: &Compare) -> Result<Exit, Failure> {
    let Named { groups, contrasts } = groups::read(typed)?;
    let baseline = baseline(typed, &groups)?;
    let differences = difference::between(&groups);
    let others = groups.iter().enumerate().filter(|(index, _)| *index != baseline);
    let verdicts: Vec<Verdict> = others.map(|(_, other)| verdict::of(&groups[baseline], other)).collect();
    let contrasts = contrast::evaluate(&contrasts, &groups);
    if typed.json {
        talk::print(as_json(&groups, &differences, &verdicts, &contrasts))?;
    } else {
        talk::print(text(&groups, &differences, &verdicts, &contrasts, talk::room()))?;
    }
    let differs = has_any_difference(&groups);
    Ok(if typed.fail_on_diff && differs { Exit::Different } else { Exit::Done })
}

/// What the others are compared with: the first, or the one that was named.
fn baseline(typed: &Compare, groups: &[Group]) -> Result<usize, Failure> {
    let Some(wanted) = &typed.baseline else { return Ok(0) };
    let is_it = |group: &Group| group.name == *wanted || group.labels.contains(wanted);
    let found: Vec<usize> = (0..groups.len()).filter(|index| is_it(&groups[*index])).collect();
    match found[..] {
        [only] => Ok(only),
        _ => {
            let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
            let how = if found.is_empty() { "nothing" } else { "more than one group" };
            let failure = Failure::wrong(format!("--baseline {wanted}: {how} is called that"));
            Err(failure.help(format!("write one of: {}", names.join("; "))))
        }
    }
}

fn has_any_difference(groups: &[Group]) -> bool {
    let mut runs = groups.iter().flat_map(|group| group.runs.values());
    let first = runs.next();
    runs.any(|run| Some(&run.summary.metrics) != first.map(|first| &first.summary.metrics))
}

/// Metrics of any group, those that are tested first.
fn metrics(groups: &[Group]) -> Vec<String> {
    let runs = groups.iter().flat_map(|group| group.runs.values());
    let mut names: Vec<String> = runs.flat_map(|run| run.summary.metrics.keys().cloned()).collect();
    names.sort_by_key(|name| (verdict::Family::of(name).is_none(), name.clone()));
    names.dedup();
    names
}

fn text(
    groups: &[Group],
    differences: &[Difference],
    verdicts: &[Verdict],
    contrasts: &[Contrast],
    room: Option<usize>,
) -> String {
    let mut text = String::new();
    let heads = || groups.iter().map(|group| group.name.clone());
    if differences.is_empty() {
        let seeds = groups[0].runs.len();
        text.push_str(&format!(
            "one scenario, {}: nothing to compare it with\n\n",
            format::plural(seeds, "seed")
        ));
    } else {
        let mut rows = vec![["scenario".to_owned()].into_iter().chain(heads()).collect::<Vec<_>>()];
        rows.extend(
            differences.iter().map(|one| [one.key.clone()].into_iter().chain(one.values.clone()).collect()),
        );
        text.push_str(&folded(&"l".repeat(groups.len() + 1), &rows, room));
        text.push('\n');
    }
    let cell = |group: &Group, metric: &str| match group.mean(metric) {
        None => "–".to_owned(),
        Some(Mean { mean, half_width: None, .. }) => format::value(metric, mean),
        Some(Mean { mean, half_width: Some(half), .. }) => {
            format!("{} ± {}", format::value(metric, mean), format::value(metric, half))
        }
    };
    let mut rows = vec![["metric".to_owned()].into_iter().chain(heads()).collect::<Vec<_>>()];
    for metric in metrics(groups) {
        let cells = groups.iter().map(|group| cell(group, &metric)).collect::<Vec<_>>();
        rows.push([metric].into_iter().chain(cells).collect());
    }
    text.push_str(&folded(&("l".to_owned() + &"r".repeat(groups.len())), &rows, room));
    text.push_str(&contrast::text(contrasts));
    for verdict in verdicts {
        text.push('\n');
        for sentence in verdict.sentences() {
            text.push_str(&sentence);
            text.push('\n');
        }
    }
    text
}

fn as_json(
    groups: &[Group],
    differences: &[Difference],
    verdicts: &[Verdict],
    contrasts: &[Contrast],
) -> String {
    let group = |group: &Group| {
        let ids: Vec<_> = group.runs.values().map(|run| &run.id).collect();
        let seeds: Vec<_> = group.runs.keys().collect();
        let names = metrics(std::slice::from_ref(group));
        let mean = |name: String| {
            let mean = group.mean(&name)?;
            Some((name, json!({ "n": mean.n, "mean": mean.mean, "half_width": mean.half_width })))
        };
        let metrics: BTreeMap<_, _> = names.into_iter().filter_map(mean).collect();
        json!({ "name": group.name, "runs": ids, "seeds": seeds, "metrics": metrics })
    };
    let all = json!({
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "scenario": differences.iter().map(|one| json!({ "key": one.key, "values": one.values })).collect::<Vec<_>>(),
        "contrasts": contrasts.iter().map(contrast::to_json).collect::<Vec<_>>(),
        "comparisons": verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>(),
        "sentences": verdicts.iter().flat_map(Verdict::sentences).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).expect("a comparison is JSON") + "\n"
}
