//! From text to a valid scenario.

use std::sync::Arc;

use crate::codes::{self, Code};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::files::{FileKind, FileReference};
use crate::merge::merge;
use crate::node::{self, Place, SourceText, Table, Value};
use crate::overrides::{Override, parse_path};
use crate::reader::{Problems, View};
use crate::scenario::{Actors, FORMAT, Scenario, Simulation};
use crate::sweep::Assignment;
use crate::{
    budget, check, cloud, coordination, cost, data, evaluation, expect, fairness, fault, fleet, method,
    models, transfer,
};

/// What a scenario may refer to that this crate cannot know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Names of the embedded checkpoints, without `zoo:`.
    pub zoo: &'a [&'a str],
}

/// What was written: the file, over its base, under the command line's overrides.
#[derive(Clone, Debug)]
pub struct Document {
    root: Table,
    /// The scenario file itself.
    source: Arc<SourceText>,
}

/// A scenario with no mistakes, and what to read before trusting its results.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The valid scenario.
    pub scenario: Scenario,
    /// Warnings only.
    pub warnings: Diagnostics,
}

impl Document {
    /// Parses a scenario file called `name`; `load` reads the file that `extends` names.
    ///
    /// # Errors
    /// The text is not TOML (or JSON), or its base cannot be used.
    pub fn parse(
        name: &str,
        text: &str,
        load: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, Diagnostics> {
        let source = Arc::new(SourceText { name: name.to_owned(), text: text.to_owned() });
        let written = node::parse(&source).map_err(one)?;
        let root = match written.get("extends") {
            None => written,
            Some(entry) => {
                let place = entry.node.at.clone().or(entry.key_at.clone());
                let Value::String(base) = &entry.node.value else {
                    let error = Diagnostic::new(codes::WRONG_TYPE, "`extends` is the name of a file");
                    return Err(one(error
                        .label(place, "not a string")
                        .help("write extends = \"base.toml\"")));
                };
                let mut below = load_base(base, place, load)?;
                merge(&mut below, written, &mut Vec::new());
                below
            }
        };
        Ok(Self { root, source })
    }

    /// A document that nobody wrote.
    pub(crate) fn of(root: Table) -> Self {
        Self { root, source: Arc::new(SourceText { name: String::new(), text: String::new() }) }
    }

    /// Applies overrides in order.
    ///
    /// # Errors
    /// Those that cannot be applied; the others have been.
    pub fn set(&mut self, overrides: &[Override]) -> Result<(), Diagnostics> {
        let errors = overrides.iter().filter_map(|change| change.apply(&mut self.root).err());
        let errors = Diagnostics(errors.collect());
        if errors.has_errors() { Err(errors) } else { Ok(()) }
    }

    /// Applies the assignments of a sweep's point in order.
    ///
    /// # Errors
    /// Those that cannot be applied; the others have been.
    pub fn assign(&mut self, assignments: &[Assignment]) -> Result<(), Diagnostics> {
        let errors = assignments.iter().filter_map(|assignment| assignment.apply(&mut self.root).err());
        let errors = Diagnostics(errors.collect());
        if errors.has_errors() { Err(errors) } else { Ok(()) }
    }

    /// Checks everything and resolves every default.
    ///
    /// # Errors
    /// All mistakes at once, warnings among them.
    pub fn check(&self, context: &Context) -> Result<Checked, Diagnostics> {
        let problems = Problems::default();
        let scenario = self.read(context, &problems);
        let mut found = problems.into_diagnostics();
        found.0.sort_by_key(|diagnostic| self.order(diagnostic));
        match scenario {
            Some(scenario) if !found.has_errors() => Ok(Checked { scenario, warnings: found }),
            _ => Err(found),
        }
    }

    /// The scenario, as far as there is one; every mistake is put on the list.
    pub(crate) fn read(&self, context: &Context, problems: &Problems) -> Option<Scenario> {
        let top = Place { source: self.source.clone(), range: 0..0 };
        let root = View::root(&self.root, Some(top), problems);
        format(&root);
        let _ = root.string("extends", "");
        let name = name(&root);
        let seed = root.count("seed", 0).or(1);

        let models = root.table("models").required(problems).map(|view| models::read(view, context));
        let names: Vec<&str> = models.iter().flatten().map(|(name, _)| name.as_str()).collect();
        let names = models.is_some().then_some(&names[..]);
        let fleet = root.table("fleet").required(problems).and_then(|view| fleet::read(view, names));
        // The fleet's size is known even where something else is wrong with it.
        let devices = self.integer(&["fleet", "devices"]);
        let data = root.table("data").required(problems).and_then(|view| data::read(view, seed));
        let cloud = cloud::read(root.table_or_empty("cloud"));
        let method = method::read(&root, names);
        let coordination = coordination::read(&root, devices);
        let cost = cost::read(&root);
        let transfer = transfer::read(root.table_or_empty("transfer"));
        let fairness = fairness::read(&root);
        let faults = fault::read(&root, fleet.as_ref());
        let evaluation = evaluation::read(root.table_or_empty("evaluation"), devices);
        let budget = budget::read(&root);
        let builtin = data.as_ref().is_some_and(|data| matches!(data.corpus, data::Corpus::Builtin(_)));
        let expectations = expect::read(&root, method.as_ref(), builtin);
        let simulation = simulation(root.table_or_empty("simulation"));
        root.finish();

        let parts = check::Parts {
            models: models.as_ref(),
            data: data.as_ref(),
            fleet: fleet.as_ref(),
            method: method.as_ref(),
            evaluation: &evaluation,
            budget: budget.as_ref(),
            cost: &cost,
            fairness: fairness.as_ref(),
        };
        check::together(&parts, self, problems);

        let models = models?.into_iter().map(|(name, model)| Some((name, model?))).collect::<Option<_>>()?;
        Some(Scenario {
            format: FORMAT,
            name: name?,
            seed,
            models,
            data: data?,
            fleet: fleet?,
            cloud,
            method: method?,
            coordination,
            cost,
            transfer,
            fairness,
            faults,
            evaluation,
            budget: budget?,
            expectations,
            simulation,
            file_digests: Default::default(),
        })
    }

    /// A diagnostic about the value at a dotted path (`fleet.class.phone.memory`), for mistakes that only
    /// show when the machine or the plan is known. It points to the nearest place that was written.
    pub fn diagnostic(&self, code: &'static Code, key: &str, message: &str, label: &str) -> Diagnostic {
        let path = parse_path(key).unwrap_or_default();
        Diagnostic::new(code, message).label(self.place(&path), label)
    }

    /// The diagnostic for a file that the caller could not read.
    pub fn unreadable(&self, file: &FileReference, reason: &str) -> Diagnostic {
        let message = format!("{} `{}` cannot be read", file.kind.name(), file.path);
        let help = match file.kind {
            FileKind::Checkpoint => {
                "a checkpoint is a folder with config.json, model.safetensors and tokenizer.json, beside the scenario file unless its path says otherwise: `huggingface-cli download OWNER/NAME --local-dir FOLDER` fetches one"
            }
            _ => "paths are relative to the scenario file; data:X lies under the data folder",
        };
        self.diagnostic(codes::FILE, &file.key, &message, reason).help(help)
    }

    /// Where the value at `path` is written, or else the nearest table around it.
    pub(crate) fn place(&self, path: &[String]) -> Option<Place> {
        let exact = self.root.find(path).and_then(|entry| entry.node.at.clone().or(entry.key_at.clone()));
        exact.or_else(|| {
            let around = (1..path.len()).rev().find_map(|length| self.root.find(&path[..length]));
            around.and_then(|entry| entry.key_at.clone().or(entry.node.at.clone()))
        })
    }

    /// Whether something is written at `path`, right or wrong.
    pub(crate) fn has(&self, path: &[String]) -> bool {
        self.root.find(path).is_some()
    }

    fn integer(&self, path: &[&str]) -> Option<u64> {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        match self.root.find(&path)?.node.value {
            Value::Integer(number) => u64::try_from(number).ok().filter(|number| *number > 0),
            _ => None,
        }
    }

    /// The scenario's own mistakes come first, in the order of its lines; then its base's, then the flags'.
    fn order(&self, diagnostic: &Diagnostic) -> (usize, String, usize) {
        match &diagnostic.source {
            None => (0, String::new(), 0),
            Some(source) => {
                let start = diagnostic.labels.first().map_or(0, |label| label.range.start);
                let rank = if source.name.starts_with("--") { 3 } else { 2 };
                if Arc::ptr_eq(source, &self.source) {
                    (1, String::new(), start)
                } else {
                    (rank, source.name.clone(), start)
                }
            }
        }
    }
}

fn one(diagnostic: Diagnostic) -> Diagnostics {
    Diagnostics(vec![diagnostic])
}

fn load_base(
    name: &str,
    place: Option<Place>,
    load: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Table, Diagnostics> {
    let text = load(name).map_err(|reason| {
        let error = Diagnostic::new(codes::EXTENDS, format!("the base `{name}` cannot be read"));
        one(error.label(place.clone(), reason).help("the path is relative to this file"))
    })?;
    let source = Arc::new(SourceText { name: name.to_owned(), text });
    let base = node::parse(&source).map_err(one)?;
    if base.get("extends").is_some() {
        let error = Diagnostic::new(codes::EXTENDS, format!("the base `{name}` extends another file itself"));
        return Err(one(error
            .label(place, "one level only")
            .help("extend that other file, or write both into one base")));
    }
    Ok(base)
}

fn format(root: &View) {
    let format = root.count::<u32>("format", 1).required(root.problems);
    if let Some(format) = format.filter(|format| *format != FORMAT) {
        let error = Diagnostic::new(codes::FORMAT, format!("format {format} is not known"));
        root.problems.add(
            error
                .label(root.place("format"), "newer than this version")
                .help(format!("write format = {FORMAT}")),
        );
    }
}

fn name(root: &View) -> Option<String> {
    let name = root.string("name", "\"city-clinics\"").required(root.problems)?;
    usable_name(root.problems, &name, root.place("name"));
    Some(name)
}

/// Complains about a name, written at a place, that cannot be part of a folder's name.
pub(crate) fn usable_name(problems: &Problems, name: &str, at: Option<Place>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
        let error = Diagnostic::new(codes::NAME, "the name cannot be part of a folder's name");
        let help = "use letters, digits, '.', '_' and '-', at most 64, no '.' first";
        problems.add(error.label(at, "not usable").help(help));
    }
}

fn simulation(view: View) -> Simulation {
    let actors = view.word("actors", &[("active", Actors::Active), ("all", Actors::All)]).or(Actors::Active);
    view.finish();
    Simulation { actors }
}
