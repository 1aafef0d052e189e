//! Reading `[method]`.

pub(super) use super::optimizer::optimizer;
use super::*;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::Node;
use crate::reader::{Bound, View};
use crate::words;

/// The method; `models` are the names in `[models]`, none where that table is wrong itself.
pub(crate) fn read(root: &View, models: Option<&[&str]>) -> Option<Method> {
    let (name, view) = root.choice("method", &words::METHOD).required(root.problems)?;
    let models = Models(models);
    Method::read(name, view, &models)
}

/// The names in `[models]`.
pub(super) struct Models<'a>(Option<&'a [&'a str]>);

impl Models<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.is_none_or(|names| names.contains(&name))
    }

    /// The model that `key` names, or else the model called as the key.
    pub(super) fn named(&self, view: &View, key: &'static str) -> Option<String> {
        self.named_or(view, key, key)
    }

    /// The model that `key` names, or else the model called `default`.
    pub(super) fn named_or(&self, view: &View, key: &'static str, default: &str) -> Option<String> {
        match view.string(key, &format!("{default:?}")).optional() {
            Some(name) => self.check(view, key, name),
            None if view.has(key) => None,
            None if self.has(default) => Some(default.to_owned()),
            None => {
                let called = if key == default { "so".to_owned() } else { format!("`{default}`") };
                let message =
                    format!("`{}` needs a model for `{key}`, and none is called {called}", view.path);
                let error =
                    Diagnostic::new(codes::UNKNOWN_MODEL, message).label(view.at.clone(), "which one?");
                let help = format!("write [models.{default}], or name another with {key} = …");
                view.problems.add(error.help(help));
                None
            }
        }
    }

    /// The same, and none where nothing is named and no model is called as the key.
    pub(super) fn if_there(&self, view: &View, key: &'static str) -> Option<String> {
        match view.string(key, &format!("{key:?}")).optional() {
            Some(name) => self.check(view, key, name),
            None => self.has(key).then(|| key.to_owned()),
        }
    }

    fn check(&self, view: &View, key: &'static str, name: String) -> Option<String> {
        if self.has(&name) {
            return Some(name);
        }
        view.problems
            .add(unknown_model(&name, self.0.unwrap_or_default()).label(view.place(key), "not in [models]"));
        None
    }
}

/// A model that `[models]` does not have.
pub(crate) fn unknown_model(name: &str, models: &[&str]) -> Diagnostic {
    let help = words::suggestion(name, models.iter().copied());
    Diagnostic::new(codes::UNKNOWN_MODEL, format!("there is no model `{name}`")).help(help)
}

impl Models<'_> {
    pub(super) fn named_as(&self, view: &View, node: &Node, name: &str) -> Option<Option<String>> {
        if self.has(name) {
            return Some(Some(name.to_owned()));
        }
        view.problems
            .add(unknown_model(name, self.0.unwrap_or_default()).label(node.at.clone(), "not in [models]"));
        None
    }
}

/// The cloud's model and, under another key, a small one that is not the same.
pub(super) fn two_models(
    view: &View,
    models: &Models,
    small: &'static str,
) -> (Option<String>, Option<String>) {
    let cloud = models.named(view, "cloud");
    let proxy = models.named_or(view, small, "proxy");
    if cloud.is_some() && cloud == proxy {
        let small_one = if small == "proxy" { "the proxy".to_owned() } else { format!("`{small}`") };
        let message =
            format!("the cloud's model and {small_one} are both `{}`", cloud.as_deref().unwrap_or_default());
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.place(small), "the same model");
        view.problems.add(error.help(format!("give {small_one} a table of its own in [models]")));
    }
    (cloud, proxy)
}

/// Steps of the kinds that the party takes; 0 turns a kind off.
pub(super) fn steps(view: &View, key: &'static str, default: Steps, kinds: &[&str]) -> Steps {
    let view = view.table_or_empty(key);
    let mut steps = default;
    if kinds.contains(&"tune") {
        steps.tune = view.count("tune", 0).or(default.tune);
    }
    if kinds.contains(&"mutual") {
        steps.mutual = view.count("mutual", 0).or(default.mutual);
    }
    view.finish();
    steps
}

pub(super) fn aggregate(view: &View) -> Aggregate {
    let Some((name, view)) = view.choice("aggregate", &words::AGGREGATE).optional() else {
        return Aggregate::Weighted;
    };
    let aggregate = match name {
        "uniform" => Aggregate::Uniform,
        "norm-clip" => Aggregate::NormClip { norm: view.number("norm", Bound::Positive).optional() },
        "median" => Aggregate::Median,
        "trimmed-mean" => Aggregate::TrimmedMean { trim: view.number("trim", Bound::BelowHalf).or(0.1) },
        "krum" => Aggregate::Krum {
            byzantine: view.count("byzantine", 0).optional(),
            keep: view.count("keep", 1).or(1),
        },
        _ => Aggregate::Weighted,
    };
    view.finish();
    aggregate
}

/// How rows and tokens are matched: `align`, `fallback` and `vocab` of a table, whose default goes with `align`.
pub(super) fn alignment(view: &View, default: Align) -> Alignment {
    const FALLBACKS: &[(&str, Fallback)] =
        &[("off", Fallback::Off), ("target", Fallback::Target), ("fate", Fallback::Fate)];
    const MAPS: &[(&str, VocabularyMap)] = &[
        ("first-token", VocabularyMap::FirstToken),
        ("equal", VocabularyMap::Equal),
        ("edit", VocabularyMap::Edit),
    ];
    let align = view.word("align", &[("bytes", Align::Bytes), ("dtw", Align::Dtw)]).or(default);
    let map = match align {
        Align::Bytes => VocabularyMap::FirstToken,
        Align::Dtw => VocabularyMap::Edit,
    };
    let fallback = view.word("fallback", FALLBACKS).or(Fallback::Off);
    Alignment { align, fallback, vocab: view.word("vocab", MAPS).or(map) }
}

/// Least confidence of a relay answer under `guard = "confidence"`.
const CONFIDENCE: f64 = 0.9;

/// The relay set of a method whose devices keep models of their own, which may be sent the prompts and learn from the
/// answers in proportion to their domains.
pub(super) fn relay(view: View) -> Relay {
    const DELIVERIES: &[(&str, Delivery)] = &[("resample", Delivery::Resample), ("send", Delivery::Send)];
    let focus = view.number("focus", Bound::Fraction).optional();
    let delivery = view.word("delivery", DELIVERIES).or(Delivery::Resample);
    Relay { focus, delivery, ..relay_for_all(view) }
}

/// The relay set of a method whose devices do not learn from it, or are sent all of it in any case.
pub(super) fn relay_for_all(view: View) -> Relay {
    let start = view.table_or_empty("from_round");
    let from_round =
        RelayStart { device: start.count("device", 1).or(3), cloud: start.count("cloud", 1).or(2) };
    start.finish();
    const GUARDS: &[(&str, Guard)] =
        &[("none", Guard::None), ("dual-min-ce", Guard::DualMinCe), ("confidence", Guard::Confidence)];
    let guard = view.word("guard", GUARDS).or(Guard::None);
    let confidence = view.number("confidence", Bound::BelowOne).optional();
    if confidence.is_some() && guard != Guard::Confidence {
        let message = format!("`{}.confidence` has no meaning without guard = \"confidence\"", view.path);
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place("confidence"), "not used");
        view.problems.add(error.help("remove it, or write guard = \"confidence\""));
    }
    let relay = Relay {
        prompts: view.count("prompts", 1).or(256),
        batch: view.count("batch", 1).or(16),
        max_tokens: view.count("max_tokens", 1).or(48),
        from_round,
        guard,
        delivery: Delivery::Resample,
        weight: view.number("weight", Bound::NonNegative).or(1.0),
        ce: view.number("ce", Bound::NonNegative).or(1.0),
        confidence: (guard == Guard::Confidence).then_some(confidence.unwrap_or(CONFIDENCE)),
        focus: None,
    };
    view.finish();
    relay
}
