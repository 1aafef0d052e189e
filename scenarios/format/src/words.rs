//! The words of the language: what each choice can be, and what is not there yet.

use crate::method::Method;

/// A table (or string) whose sub-table's name is the choice.
#[derive(Debug, PartialEq)]
pub(crate) struct Choices {
    /// What is chosen: "a method".
    pub what: &'static str,
    /// What this version does.
    pub available: &'static [&'static str],
    /// What the language names and this version does not do. To make one available, move it.
    pub planned: &'static [&'static str],
    /// The words that hold a value instead of a table: `every = { rounds = 5 }`.
    pub plain: &'static [&'static str],
}

pub(crate) const METHOD: Choices =
    Choices { what: "a method", available: Method::NAMES, planned: &[], plain: &[] };

pub(crate) const COORDINATION: Choices =
    Choices { what: "a coordination", available: &["sync", "buffered", "async"], planned: &[], plain: &[] };

pub(crate) const ENCODING: Choices =
    Choices { what: "an encoding", available: &["none", "int8", "topk"], planned: &[], plain: &[] };

pub(crate) const FAULT: Choices = Choices {
    what: "a fault",
    available: &["crash", "slowdown", "partition", "corrupt", "cloud_restart"],
    planned: &[],
    plain: &[],
};

pub(crate) const AGGREGATE: Choices = Choices {
    what: "an aggregation",
    available: &["mean", "weighted", "uniform", "norm-clip", "median", "trimmed-mean", "krum"],
    planned: &[],
    plain: &[],
};

pub(crate) const CORPUS: Choices = Choices {
    what: "a corpus",
    available: &["builtin", "sources", "sni", "sizes"],
    planned: &[],
    plain: &[],
};

pub(crate) const SPLIT: Choices = Choices {
    what: "a split",
    available: &["iid", "dirichlet", "pathological", "shards", "natural", "quantity", "file"],
    planned: &[],
    plain: &["file"],
};

pub(crate) const QUANTITY: Choices = Choices {
    what: "a law of sizes",
    available: &["linear", "square", "exponential", "lognormal"],
    planned: &[],
    plain: &[],
};

pub(crate) const AVAILABILITY: Choices = Choices {
    what: "an availability",
    available: &["always", "markov", "diurnal", "sessions", "trace"],
    planned: &[],
    plain: &["trace"],
};

pub(crate) const ADAPTER: Choices =
    Choices { what: "an adapter", available: &["lora", "bottleneck"], planned: &[], plain: &[] };

pub(crate) const COST: Choices = Choices {
    what: "a cost model",
    available: &["roofline", "fedscale", "federatedscope"],
    planned: &[],
    plain: &[],
};

pub(crate) const INIT: Choices =
    Choices { what: "an initialisation", available: &["checkpoint", "distill"], planned: &[], plain: &[] };

pub(crate) const OPTIMIZER: Choices =
    Choices { what: "an optimizer", available: &["adamw", "sgd"], planned: &[], plain: &[] };

pub(crate) const LOCAL: Choices =
    Choices { what: "a local objective", available: &["none", "prox", "scaffold"], planned: &[], plain: &[] };

pub(crate) const SERVER: Choices = Choices {
    what: "a server optimizer",
    available: &["sgd", "momentum", "adam", "yogi", "adagrad"],
    planned: &[],
    plain: &[],
};

pub(crate) const COMBINE: Choices =
    Choices { what: "a combination", available: &["additive", "convex"], planned: &[], plain: &["convex"] };

pub(crate) const EVERY: Choices =
    Choices { what: "an interval", available: &["rounds", "time"], planned: &[], plain: &["rounds", "time"] };

pub(crate) const DISTRIBUTION: Choices = Choices {
    what: "a distribution",
    available: &["constant", "uniform", "normal", "lognormal", "exponential", "weibull", "empirical"],
    planned: &[],
    plain: &["constant", "empirical"],
};

pub(crate) const SEARCH: Choices =
    Choices { what: "a search", available: &["grid", "random", "halving"], planned: &[], plain: &[] };

/// The word that was probably meant: the nearest, if it is near.
pub fn meant<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count().max(written.chars().count()) / 4)
        .filter(|(distance, word)| *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `a`, `b` and `c`.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// "did you mean `x`?", or else what there is.
pub(crate) fn suggestion<'a>(written: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match meant(written, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None if words.is_empty() => "there are none".to_owned(),
        None => format!("there {} {}", if words.len() == 1 { "is" } else { "are" }, list(words)),
    }
}
