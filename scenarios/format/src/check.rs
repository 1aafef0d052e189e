//! What must fit together across sections.

use std::collections::BTreeMap;

use crate::budget::Budget;
use crate::codes::{self, Code};
use crate::cost::Cost;
use crate::data::{BUILTIN_DOMAINS, Corpus, Data, Portion, Split};
use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::evaluation::{Evaluation, HeldOut};
use crate::fairness::Fairness;
use crate::fleet::Fleet;
use crate::method::{Method, Schedule, WarmUp, unknown_model};
use crate::models::{Adapter, Init, Lora, Model};
use crate::node::Place;
use crate::reader::Problems;

/// The sections, as far as they are right in themselves.
pub(crate) struct Parts<'a> {
    pub models: Option<&'a BTreeMap<String, Option<Model>>>,
    pub data: Option<&'a Data>,
    pub fleet: Option<&'a Fleet>,
    pub method: Option<&'a Method>,
    pub evaluation: &'a Evaluation,
    pub budget: Option<&'a Budget>,
    pub cost: &'a Cost,
    pub fairness: Option<&'a Fairness>,
}

/// Checks every rule whose sections are there.
pub(crate) fn together(parts: &Parts, document: &Document, problems: &Problems) {
    let check = Check { document, problems };
    if let (Some(models), Some(fleet), Some(method)) = (parts.models, parts.fleet, parts.method) {
        check.adapters(models, fleet, method);
        check.distillation(models, method);
        check.ranks(models, fleet, method);
        check.unused(models, fleet, method);
    }
    if let (Some(data), Some(fleet)) = (parts.data, parts.fleet) {
        check.split(data, fleet.devices);
    }
    if let Some(data) = parts.data {
        check.held_out(data, parts.evaluation);
        check.privacy(data, parts.evaluation, parts.method);
        if let Some(method) = parts.method {
            check.public(data, method, parts.models);
            check.relay(data, method);
        }
    }
    if let Some(fleet) = parts.fleet {
        check.samples(fleet, parts.cost);
    }
    if let (Some(method), Some(fairness)) = (parts.method, parts.fairness) {
        check.fairness(method, fairness);
    }
    if let (Some(method), Some(budget)) = (parts.method, parts.budget) {
        check.rounds(method, budget);
    }
}

struct Check<'a> {
    document: &'a Document,
    problems: &'a Problems,
}

impl Check<'_> {
    fn place(&self, path: &[&str]) -> Option<Place> {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        self.document.place(&path)
    }

    fn add(&self, code: &'static Code, message: String, path: &[&str], label: &str, help: &str) {
        self.problems.add(Diagnostic::new(code, message).label(self.place(path), label).help(help));
    }

    fn adapters(&self, models: &BTreeMap<String, Option<Model>>, fleet: &Fleet, method: &Method) {
        let edge: Vec<&str> = fleet.classes.values().map(|class| class.model.as_str()).collect();
        let mut trained = method.table().trains(&edge);
        trained.sort_unstable();
        trained.dedup();
        let bottlenecks = method.table().needs_bottlenecks();
        for name in trained {
            let Some(Some(model)) = models.get(name) else { continue };
            let path = ["models", name, "adapter"];
            match &model.adapter {
                None => {
                    let message = format!(
                        "the method `{}` trains the model `{name}`, which has no adapter",
                        method.name()
                    );
                    let help = match bottlenecks {
                        true => "write adapter.bottleneck = { size = 16 } under it",
                        false => "write adapter.lora = { rank = 8 } under it",
                    };
                    self.add(codes::NO_ADAPTER, message, &path, "nothing to train", help);
                }
                Some(Adapter::Lora(_)) if bottlenecks => {
                    let message = format!(
                        "the method `{}` averages bottleneck adapters, and `{name}` has a LoRA",
                        method.name()
                    );
                    let help = "write adapter.bottleneck = { size = 16 }, or choose [method.fedavg]";
                    self.add(codes::CONFLICT, message, &path, "not a bottleneck", help);
                }
                Some(_) => {}
            }
        }
    }

    fn distillation(&self, models: &BTreeMap<String, Option<Model>>, method: &Method) {
        let names: Vec<&str> = models.keys().map(String::as_str).collect();
        for (name, model) in models {
            let Some(Model { init: Init::Distill(distill), .. }) = model else { continue };
            if method.proxy_model() != Some(name) {
                let message = format!("the model `{name}` is distilled, and it is not the method's proxy");
                let help = "remove `init`, or make it the proxy";
                self.add(codes::NOT_THE_PROXY, message, &["models", name, "init"], "only the proxy is", help);
            }
            let from = ["models", name, "init", "distill", "from"];
            if !models.contains_key(&distill.from) {
                let error = unknown_model(&distill.from, &names);
                self.problems.add(error.label(self.place(&from), "not in [models]"));
            } else if distill.from == *name {
                let message = format!("the model `{name}` is distilled from itself");
                self.add(codes::CONFLICT, message, &from, "the same model", "name the model that teaches");
            }
        }
    }

    /// Adapters of different ranks are brought together map by map.
    fn ranks(&self, models: &BTreeMap<String, Option<Model>>, fleet: &Fleet, method: &Method) {
        let ranks = match method {
            Method::FedAvg(table) => table.ranks,
            Method::FedAp(table) => table.0.ranks,
            _ => None,
        };
        let Some(ranks) = ranks else { return };
        let mut first: BTreeMap<String, (&str, &Lora)> = BTreeMap::new();
        let edge: std::collections::BTreeSet<&str> =
            fleet.classes.values().map(|class| class.model.as_str()).collect();
        for name in edge {
            let Some(Some(model)) = models.get(name) else { continue };
            let refuse = |key: &str, what: &str, help: &str| {
                let message = format!(
                    "the ranks of `{}` are those of low-rank maps, and `{name}` {what}",
                    ranks.name()
                );
                let path = ["models", name, "adapter", "lora", key];
                self.add(codes::CONFLICT, message, &path, "not with `ranks`", help);
            };
            match &model.adapter {
                Some(Adapter::Bottleneck { .. }) => {
                    refuse("", "has a bottleneck adapter", "write adapter.lora = { rank = 8 }");
                }
                Some(Adapter::Lora(lora)) if !lora.modules_to_save.is_empty() => {
                    refuse("modules_to_save", "trains other parts as well", "leave `modules_to_save` out");
                }
                Some(Adapter::Lora(lora)) if lora.freeze.is_some() => {
                    refuse("freeze", "freezes a factor that others change", "leave `freeze` or `ranks` out");
                }
                Some(Adapter::Lora(lora)) => {
                    let (other, seen) = first.entry(format!("{:?}", model.base)).or_insert((name, lora));
                    let (mut own, mut theirs) = (lora.targets.clone(), seen.targets.clone());
                    own.sort_unstable();
                    theirs.sort_unstable();
                    if own != theirs {
                        let what = format!("adapts other matrices than `{other}`, which has the same base");
                        refuse("targets", &what, "write the same targets under both");
                    }
                }
                None => {}
            }
        }
    }

    fn unused(&self, models: &BTreeMap<String, Option<Model>>, fleet: &Fleet, method: &Method) {
        let mut used: Vec<&str> = fleet.classes.values().map(|class| class.model.as_str()).collect();
        used.extend(method.cloud_model());
        used.extend(method.proxy_model());
        used.extend(models.values().flatten().filter_map(|model| match &model.init {
            Init::Distill(distill) => Some(distill.from.as_str()),
            Init::Checkpoint => None,
        }));
        for name in models.keys().filter(|name| !used.contains(&name.as_str())) {
            // Scenarios that differ only in the method share their models.
            if matches!(name.as_str(), "cloud" | "proxy") {
                continue;
            }
            let message = format!("nothing uses the model `{name}`");
            let place = self.document.place(&["models".to_owned(), name.clone()]);
            let warning = Diagnostic::new(codes::UNUSED_MODEL, message).label(place, "not used");
            self.problems.add(warning.help("name it in a device class or in the method, or remove it"));
        }
    }

    fn split(&self, data: &Data, devices: u64) {
        // Sources are counted when they are read.
        let (Some(private), domains) = (match &data.corpus {
            Corpus::Builtin(builtin) => {
                (data.private, (BUILTIN_DOMAINS.len() - builtin.unseen_domains.len()) as u64)
            }
            Corpus::Sizes(_) => (data.private, 1),
            Corpus::Sources(_) | Corpus::Sni(_) => return,
        }) else {
            return;
        };
        if matches!(data.corpus, Corpus::Sizes(_)) && data.follows.is_some() {
            let message =
                "examples that are only counted have no domains that could follow the device".to_owned();
            self.add(
                codes::SPLIT,
                message,
                &["data", "follows"],
                "needs texts",
                "remove it, or have a corpus with texts",
            );
        }
        if matches!(data.corpus, Corpus::Sizes(_)) && !matches!(data.split, Split::Iid | Split::Quantity(_)) {
            let message = "examples that are only counted have no domains to be split by".to_owned();
            let help = "write split = \"iid\" or split.quantity, or have a corpus with texts";
            self.add(codes::SPLIT, message, &["data", "split"], "needs texts", help);
        }
        match &data.split {
            Split::Dirichlet(dirichlet) if devices.saturating_mul(dirichlet.min) > private => {
                let message = format!(
                    "{devices} devices with at least {} examples each need {}, and {private} are private",
                    dirichlet.min,
                    devices.saturating_mul(dirichlet.min)
                );
                let help = format!(
                    "write min = {} or less, raise `examples`, or have fewer devices",
                    private / devices
                );
                let help = if private < devices { "raise `examples`, or have fewer devices" } else { &help };
                self.add(codes::SPLIT, message, &["data", "split", "dirichlet", "min"], "too many", help);
            }
            Split::Pathological { by, classes_per_device }
                if by == "domain" && u64::from(*classes_per_device) > domains =>
            {
                let message = format!("a device cannot have {classes_per_device} of {domains} domains");
                let path = ["data", "split", "pathological", "classes_per_device"];
                self.add(codes::SPLIT, message, &path, "too many", &format!("write at most {domains}"));
            }
            Split::Shards(shards)
                if shards.size.is_some_and(|size| {
                    let all = devices.saturating_mul(u64::from(shards.per_device)).saturating_mul(size);
                    all > private && !shards.keep_incomplete && size > private
                }) =>
            {
                let message = format!("a shard is larger than the {private} private examples");
                self.add(
                    codes::SPLIT,
                    message,
                    &["data", "split", "shards", "size"],
                    "too large",
                    "leave `size` out",
                );
            }
            _ if devices > private => {
                let message = format!("{devices} devices cannot share {private} private examples");
                self.add(
                    codes::SPLIT,
                    message,
                    &["fleet", "devices"],
                    "too many",
                    "raise `examples`, or have fewer devices",
                );
            }
            _ => {}
        }
    }

    /// The formulas of other simulators need the time of an example in every class.
    fn samples(&self, fleet: &Fleet, cost: &Cost) {
        for (name, class) in &fleet.classes {
            if !cost.is_roofline() && class.sample_seconds.is_none() {
                let message = format!(
                    "class `{name}` has no `sample`, which this cost model charges for every example"
                );
                let path = ["fleet", "class", name, "sample"];
                self.add(
                    codes::MISSING_KEY,
                    message,
                    &path,
                    "how long?",
                    "write sample = \"12ms\", or choose cost.roofline",
                );
            }
        }
    }

    fn held_out(&self, data: &Data, evaluation: &Evaluation) {
        if matches!(data.corpus, Corpus::Sizes(_)) {
            return;
        }
        let (key, part) = match evaluation.split {
            HeldOut::Validation => ("validation", data.validation),
            HeldOut::Test => ("test", data.test),
        };
        if is_nothing(part) {
            let message = format!("evaluation is on the {key} part, and it is empty");
            self.add(
                codes::NOTHING_HELD_OUT,
                message,
                &["data", key],
                "nothing",
                &format!("write {key} = 0.1"),
            );
        }
    }

    fn public(&self, data: &Data, method: &Method, models: Option<&BTreeMap<String, Option<Model>>>) {
        if !is_nothing(data.public) {
            return;
        }
        let distills = |model: &Option<Model>| matches!(model, Some(Model { init: Init::Distill(_), .. }));
        let distilled = || models.is_some_and(|models| models.values().any(distills));
        let reader =
            method.table().reads_public().or_else(|| distilled().then_some("the proxy is distilled"));
        if let Some(reader) = reader {
            let message = format!("{reader} on the public part, and it is empty");
            self.add(
                codes::NO_PUBLIC_DATA,
                message,
                &["data", "public"],
                "nothing",
                "write public = 0.05, or set those steps to 0",
            );
        }
    }

    /// A prompt that is sampled ends at the boundary.
    fn relay(&self, data: &Data, method: &Method) {
        if method.relay().is_some() && data.template.boundary().is_empty() {
            let message =
                "the relay samples prompts, and the template does not say where they end".to_owned();
            let help = "write a boundary behind {prompt}, such as \"{prompt}\\nA:\", or leave the relay out";
            self.add(codes::CONFLICT, message, &["data", "template", "prompt"], "no boundary", help);
        }
    }

    /// What is attacked is a shared model that the cloud sends, on texts.
    fn privacy(&self, data: &Data, evaluation: &Evaluation, method: Option<&Method>) {
        let path = ["evaluation", "privacy"];
        if evaluation.privacy.is_none() {
            return;
        }
        if matches!(data.corpus, Corpus::Sizes(_)) {
            let message = "privacy is measured on texts, and the examples are only counted".to_owned();
            let help = "leave evaluation.privacy out, or have a corpus with texts";
            self.add(codes::CONFLICT, message, &path, "needs texts", help);
        } else if let Some(method) = method
            && method.proxy_model().is_none()
        {
            let message =
                format!("under `{}` no shared model travels whose privacy could be measured", method.name());
            let help = "choose a method with a proxy, such as co-plms or fedavg with on = \"proxy\"";
            self.add(codes::SKIPPED, message, &path, "will be skipped", help);
        }
    }

    /// Steps can be scaled, passes over a device's examples cannot.
    fn fairness(&self, method: &Method, fairness: &Fairness) {
        if let Method::Custom(table) = method {
            let message = format!(
                "[fairness] scales the steps of methods that it knows, and those of `{}` stay as they are",
                table.name
            );
            let help = "leave [fairness] out, and write device_steps that are worth as much";
            self.add(codes::UNMATCHED, message, &["fairness"], "not matched", help);
        }
        let epochs = match method {
            Method::FedAvg(table) => table.epochs,
            Method::FedAp(table) => table.0.epochs,
            _ => None,
        };
        if epochs.is_some() {
            let message = format!(
                "[fairness] matches `{}` by scaling steps, and the devices count passes over their examples",
                fairness.matched.name()
            );
            let path = ["method", method.name(), "device_steps", "epochs"];
            let help = "write device_steps = { tune = 40 }, or leave [fairness] out";
            self.add(codes::CONFLICT, message, &path, "not steps", help);
        }
    }

    fn rounds(&self, method: &Method, budget: &Budget) {
        let Some(optimizer) = method.optimizer() else { return };
        let course = optimizer.course();
        let Some(rounds) = budget.rounds else {
            let written = self.document.has(&["budget".to_owned(), "rounds".to_owned()]);
            if course.schedule != Schedule::Constant && !written {
                let message =
                    "the learning rate falls over the rounds, and the budget has no number of rounds"
                        .to_owned();
                let help = "write rounds under [budget], or schedule = \"constant\"";
                let path = ["budget", "rounds"];
                self.add(codes::SCHEDULE, message, &path, "falls over the share of this budget used", help);
            }
            if matches!(course.warm_up, Some(WarmUp::Fraction(_))) {
                let message = "the warm-up is a fraction of the steps of all rounds, and the budget has no number of rounds";
                let path = ["method", method.name(), "optimizer", optimizer.name(), "warm_up"];
                let help = "write rounds under [budget], or a whole number of steps";
                self.add(codes::CONFLICT, message.to_owned(), &path, "of how many?", help);
            }
            return;
        };
        if method.table().relay_starts().is_some_and(|first| u64::from(first) > rounds) {
            let message = format!("the relay starts after the last of {rounds} rounds");
            let path = ["method", method.name(), "relay", "from_round"];
            self.add(codes::RELAY_NEVER, message, &path, "too late", "start it earlier, or run more rounds");
        }
    }
}

fn is_nothing(part: Portion) -> bool {
    match part {
        Portion::Count(count) => count == 0,
        Portion::Fraction(fraction) => fraction <= 0.0,
    }
}
