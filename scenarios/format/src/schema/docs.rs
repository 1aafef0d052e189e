//! What keys mean: the doc comments of the fields they end up in.
//!
//! A scenario that was read is written to its lock file, whose schema is derived from its types. A key is found there by
//! its path; where the two differ in more than a unit at a name's end, [`ALIASES`] says how.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::explore::NAME;
use crate::scenario::Scenario;

/// Beginnings of paths in a file, and what they are in the lock file; the first that fits counts.
const ALIASES: &[(&str, &str)] = &[
    ("fleet.class.NAME.availability.diurnal.online.", "fleet.classes.NAME.availability.diurnal.online_"),
    ("fleet.class.NAME.power.", "fleet.classes.NAME.power."),
    ("fleet.class.NAME.drop", "fleet.classes.NAME.drop"),
    ("fleet.class", "fleet.classes"),
    ("fault", "faults"),
    ("expect", "expectations"),
    ("data.source.0.jsonl", "data.corpus.sources.0.layout.jsonl"),
    ("data.source.0.csv", "data.corpus.sources.0.layout.csv"),
    ("data.source.0.scan", "data.corpus.sources.0.layout.scan"),
    ("data.source.0.spans", "data.corpus.sources.0.layout.spans"),
    ("data.source", "data.corpus.sources"),
    ("budget.virtual_time", "budget.virtual_seconds"),
    ("evaluation.every.time", "evaluation.every.seconds"),
];

/// What has no field of its own in the lock file, or one that says it to programmers; `*` is any beginning.
const OTHERS: &[(&str, &str)] = &[
    ("format", "Version of the scenario language: 1."),
    (
        "extends",
        "A file to lay this one over, relative to it; one level. Tables merge, lists replace, choices replace whole.",
    ),
    ("fleet.model", "The model of every class that names none."),
    ("fleet.class.NAME.weight", "Instead of `share`, in every class: shares are normalised."),
    ("fleet.class.NAME.availability.diurnal.online", "Fractions of the devices that are online."),
    (
        "fleet.class.NAME.availability.trace",
        "A file of when devices are there; devices take its rows in turn.",
    ),
    (
        "fleet.class.NAME.availability.diurnal.timezones",
        "Local time minus the simulation's clock. Default: 0.",
    ),
    ("fault.0.partition.class", "The class that is cut off; `*`, the default, is all of them."),
    ("fault.0.partition.region", "The region that is cut off, instead of a class."),
    (
        "fault.0.cloud_restart",
        "The cloud stops and comes back with its last model; what was in progress is lost.",
    ),
    ("fault.0.cloud_restart.at", "When the cloud stops."),
    ("fault.0.cloud_restart.outage", "How long it cannot be reached."),
    ("fault.0.corrupt.factor", "With `how = \"scale\"`: the factor, not 0. Default: 100 (chosen)."),
    ("*.proxy", "The model that is shared, with `on = \"proxy\"`. Default: the model called `proxy`."),
    ("*.beta1", "The first of `betas` alone."),
    ("*.beta2", "The second of `betas` alone."),
    ("*.lognormal.p95", "What 95 of a hundred stay below: says how wide the distribution is."),
    ("*.lognormal.p5", "What 5 of a hundred stay below: says how wide the distribution is."),
    ("scenario", "The scenario's file, relative to this one."),
    ("seeds", "Seeds of every combination. Default: the scenario's own."),
    ("goal", "The metric that the sweep is about."),
    ("goal.maximize", "A metric: the larger the better."),
    ("goal.minimize", "A metric: the smaller the better."),
    ("search", "Which combinations of the axes are run. Default: grid, all of them."),
    ("search.grid", "All combinations."),
    ("search.random", "Some combinations, drawn without replacement."),
    ("search.random.points", "How many."),
    ("search.random.seed", "Seed of the draw. Default: 1."),
    (
        "search.halving",
        "Successive halving: all begin, and after every rung the best part goes on from where it is. Needs `goal`, \
         `budget.rounds` and scores after rounds.",
    ),
    ("search.halving.resource", "What rungs are counted in. Default: rounds."),
    ("search.halving.resource.rounds", "Rounds of the same run."),
    ("search.halving.eta", "One of so many combinations goes on. Default: 3 (Li et al. 2018)."),
    ("search.halving.first", "The first rung ends after at least so many rounds. Default: 1."),
    ("search.halving.points", "Begins with so many combinations, drawn as by random. Default: with all."),
    ("search.halving.seed", "Seed of that draw. Default: 1."),
    ("axes", "What varies: a dotted path and a list of its values, whole tables included."),
    ("together", "Lists of one length, walked side by side: one axis."),
    ("together.0", "Dotted paths and lists of one length."),
    ("skip", "Combinations to leave out: those with all of these values; a list means any of its values."),
    ("skip.0", "Dotted paths and values."),
    (
        "labels",
        "Names of an axis's values, one for each: a dotted path and a list of names. Default: the choice, or the value.",
    ),
    ("replicate", "More seeds, and what comes along with them: still the same points."),
    ("replicate.0.seeds", "The seeds."),
    ("replicate.0.set", "Changes of these runs, before the axes."),
    ("contrast", "Differences that `compare` says first, fixed before anything ran."),
    ("contrast.0.name", "What it is called."),
    ("contrast.0.of", "The label of the points that are held against others."),
    ("contrast.0.against", "The labels of those others; of several the best, metric by metric."),
    ("set", "Changes of every run, before the axes."),
    ("limits", "What bounds the work."),
    ("limits.jobs", "Runs at once. Default: 1."),
    ("limits.runs", "A sweep of more runs is refused. Default: 200."),
    ("limits.retries", "How often a run that failed is tried again at once. Default: 0."),
];

/// How names in the lock file end that say their unit.
const UNITS: [&str; 6] = ["_bytes", "_second", "_seconds", "_watts", "_joules", "_transfer"];

/// The schema of the lock file.
pub(super) struct Docs(Value);

impl Docs {
    pub fn new() -> Self {
        let generator = SchemaSettings::draft2020_12().into_generator();
        Self(generator.into_root_schema_for::<Scenario>().to_value())
    }

    /// What the key at a path means.
    pub fn of(&self, path: &str) -> Option<String> {
        if let Some((_, doc)) = OTHERS.iter().find(|(other, _)| *other == path) {
            return Some((*doc).to_owned());
        }
        let found =
            self.find(path).and_then(|(_, doc)| doc).map(|doc| plain(&doc)).filter(|doc| !doc.is_empty());
        let ends_so = |other: &str| other.strip_prefix('*').is_some_and(|end| path.ends_with(end));
        let other = || OTHERS.iter().find(|(other, _)| ends_so(other)).map(|(_, doc)| (*doc).to_owned());
        found.or_else(other)
    }

    /// What a word at a path means; empty where the word says it all.
    pub fn of_word(&self, path: &str, word: &str) -> String {
        let below = format!("{path}.{word}");
        if let Some(doc) = self.of(&below) {
            return doc;
        }
        let Some((node, _)) = self.find(path) else { return String::new() };
        let meaning = self.alternatives(node).into_iter().find(|one| is_word(one, word));
        meaning.and_then(description).map_or(String::new(), |doc| plain(&doc))
    }

    /// The schema at a path and its description.
    fn find(&self, path: &str) -> Option<(&Value, Option<String>)> {
        let alias = ALIASES.iter().find(|(from, _)| path.starts_with(from));
        let path = alias.map_or(path.to_owned(), |(from, to)| format!("{to}{}", &path[from.len()..]));
        let mut found = (&self.0, None);
        for part in path.split('.') {
            found = self.step(found.0, part)?;
        }
        Some(found)
    }

    fn step<'a>(&'a self, node: &'a Value, key: &str) -> Option<(&'a Value, Option<String>)> {
        let alternatives = self.alternatives(node);
        for exact in [true, false] {
            for one in &alternatives {
                if let Some(properties) = one.get("properties").and_then(Value::as_object)
                    && let Some(property) = property(properties, key, exact)
                {
                    // A variant's words stand beside it, those of a field at it.
                    let is_variant = one.get("additionalProperties") == Some(&Value::Bool(false));
                    let variant = if is_variant && properties.len() == 1 { description(one) } else { None };
                    let of_type = || self.alternatives(property).into_iter().find_map(description);
                    return Some((property, variant.or_else(|| description(property)).or_else(of_type)));
                }
            }
        }
        let any = match key {
            NAME => "additionalProperties",
            "0" => "items",
            _ => {
                let word = alternatives.into_iter().find(|one| is_word(one, key))?;
                return Some((word, description(word)));
            }
        };
        let inner =
            alternatives.into_iter().find_map(|one| one.get(any)).filter(|inner| inner.is_object())?;
        Some((inner, self.alternatives(inner).into_iter().find_map(description)))
    }

    /// A schema and everything that it refers to or chooses from.
    fn alternatives<'a>(&'a self, node: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![node];
        let referred = node.get("$ref").and_then(Value::as_str);
        if let Some(target) = referred.and_then(|path| self.0.pointer(path.trim_start_matches('#'))) {
            found.extend(self.alternatives(target));
        }
        for any in ["anyOf", "oneOf", "allOf"] {
            let members = node.get(any).and_then(Value::as_array);
            found.extend(members.into_iter().flatten().flat_map(|member| self.alternatives(member)));
        }
        found
    }
}

/// The property of this name, or of this name with a unit behind it: `deadline` is `deadline_seconds`.
fn property<'a>(properties: &'a Map<String, Value>, key: &str, exact: bool) -> Option<&'a Value> {
    if exact {
        return properties.get(key);
    }
    let unit = format!("{key}_");
    let named = properties.iter().filter(|(name, _)| name.starts_with(&unit));
    // `memory` is `memory_bytes` and not its neighbour `memory_free`.
    let order = |name: &String| (!UNITS.iter().any(|unit| name.ends_with(unit)), name.len());
    named.min_by_key(|(name, _)| order(name)).map(|(_, value)| value)
}

fn is_word(node: &Value, word: &str) -> bool {
    let listed = node.get("enum").and_then(Value::as_array);
    node.get("const").and_then(Value::as_str) == Some(word)
        || listed.is_some_and(|words| words.iter().any(|one| one.as_str() == Some(word)))
}

fn description(node: &Value) -> Option<String> {
    node.get("description").and_then(Value::as_str).map(str::to_owned)
}

/// A doc comment without its markup. The unit in brackets is that of the lock file, and in a scenario it is written.
fn plain(doc: &str) -> String {
    let mut text = doc.replace('\n', " ").replace("[`", "`").replace("`]", "`");
    while let Some(start) = text.find(" \\[") {
        let Some(end) = text[start..].find("\\]") else { break };
        text.replace_range(start..start + end + 2, "");
    }
    text
}
