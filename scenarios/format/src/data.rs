//! `[data]`: the corpus, who may see which part of it, and how it is dealt to the devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The data of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Data {
    /// Where examples come from.
    pub corpus: Corpus,
    /// The words around questions and before answers.
    #[serde(default, skip_serializing_if = "Template::is_default")]
    pub template: Template,
    /// Examples that the cloud may see. Default: 5 % (chosen: the share of the shipped example).
    pub public: Portion,
    /// Examples held out for guards and model selection. Default: 5 % (chosen).
    pub validation: Portion,
    /// Examples held out for the report. Default: 10 % (chosen).
    pub test: Portion,
    /// At most this many private examples, over all devices; none: all the rest.
    pub private: Option<u64>,
    /// How the private examples are dealt to the devices.
    pub split: Split,
    /// What decides which device gets which part of the split. Default: chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
}

impl Data {
    /// Divides a corpus of `total` examples; none where no private example would be left.
    pub fn sizes(&self, total: u64) -> Option<Sizes> {
        let (public, validation, test) =
            (self.public.of(total), self.validation.of(total), self.test.of(total));
        let held = public.checked_add(validation)?.checked_add(test)?;
        let rest = total.checked_sub(held).filter(|rest| *rest > 0)?;
        let private = self.private.map_or(rest, |limit| limit.min(rest));
        Some(Sizes { public, validation, test, private })
    }
}

/// How many examples each part of a corpus has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sizes {
    /// Examples of the cloud.
    pub public: u64,
    /// Held out for guards and model selection.
    pub validation: u64,
    /// Held out for the report.
    pub test: u64,
    /// Dealt to the devices.
    pub private: u64,
}

/// A part of a corpus. With the builtin corpus, whose size the file states, always a count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Portion {
    /// This many examples.
    Count(u64),
    /// This fraction of all examples, in (0, 1).
    Fraction(f64),
}

impl Portion {
    /// Examples out of `total`, rounded to the nearest.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Fraction(fraction) => (fraction * total as f64).round() as u64,
        }
    }
}

/// Where examples come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Corpus {
    /// A generated world.
    Builtin(Builtin),
    /// Files (a domain may have several, a file several domains).
    Sources(Vec<Source>),
    /// A folder of Super-NaturalInstructions tasks.
    Sni(Tasks),
    /// No texts, only how many there are: for runs with `--no-train`.
    Sizes(Counted),
}

/// A corpus that is counted and not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// Public, private, validation and test examples together.
    pub examples: u64,
    /// Mean tokens of an example, in every model's tokens. Default: 64 (chosen: a question and a short answer).
    pub mean_tokens: f64,
}

/// A generated corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Builtin {
    /// Which generator.
    pub name: BuiltinName,
    /// Public, private, validation and test examples together.
    pub examples: u64,
    /// Seed of the world's facts. Default: the scenario's seed.
    pub seed: u64,
    /// Share of the questions in a wording that the zoo's bases saw in pretraining, in [0, 1]; the others use held-out
    /// wordings. Default: 1.
    pub overlap: f64,
    /// Domains that no base of the scenario may have seen in pretraining. The zoo's bases saw all of them, so this needs
    /// `base = "pretrain:FILE.toml"` with recipes that leave these domains out. Default: none.
    pub unseen_domains: Vec<String>,
}

/// The generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinName {
    /// The invented worlds: shop, med, law, lang, cal, unit, intent, edit.
    Domains,
}

/// How private examples are dealt to devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Uniformly at random, equal sizes.
    Iid,
    /// Per category, shares of the devices drawn from Dir(alpha).
    Dirichlet(Dirichlet),
    /// Every device has examples of this many categories only.
    Pathological {
        /// The category. Default: `domain`.
        by: String,
        /// Categories per device.
        classes_per_device: u32,
    },
    /// Sorted by category and cut into shards, some per device.
    Shards(Shards),
    /// One value of a field is one device.
    Natural {
        /// The field.
        by: String,
    },
    /// Categories alike, sizes not.
    Quantity(Quantity),
    /// The assignment is read from a file.
    File {
        /// Path as written: one device number per private example, in order.
        path: String,
    },
}

/// Dirichlet label skew (NIID-Bench, Flower).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dirichlet {
    /// The category. Default: `domain`.
    pub by: String,
    /// Concentration α, above 0.
    pub alpha: f64,
    /// Fewest examples of a device; the split is redrawn until all have them. Default: 10 (NIID-Bench).
    pub min: u64,
    /// Flower's self-balancing: a device with its fair share gets no more. Default: false.
    pub self_balancing: bool,
    /// When a draw is given up, and who has its fair share. Default: NIID-Bench's.
    #[serde(default, skip_serializing_if = "Retry::is_usual")]
    pub retry: Retry,
}

/// Whose rules a Dirichlet split follows in what the distribution leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// NIID-Bench: draws until every device has `min` (here at most 1,000 times); a device that has its fair share
    /// exactly gets no more.
    #[default]
    NiidBench,
    /// Flower: gives up after the eleventh draw; a device that has its fair share exactly still gets some.
    Flower,
}

impl Retry {
    fn is_usual(&self) -> bool {
        *self == Self::NiidBench
    }
}

/// What the hands of a split go by, where they are not dealt by chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Follows {
    /// What devices are ordered by.
    pub what: Trait,
    /// How closely, in [0, 1]: 0 is chance. Default: 1.
    pub strength: f64,
}

/// What devices are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trait {
    /// Their class, in the order of names.
    Class,
    /// Their region, in the order of names; devices without one come first.
    Region,
    /// The fraction of time their class is online, then their time zone.
    Availability,
}

/// Shards of sorted examples (McMahan et al. 2017).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shards {
    /// The category examples are sorted by. Default: `domain`.
    pub by: String,
    /// Shards per device.
    pub per_device: u32,
    /// Examples per shard; none: floor(n / (devices · per_device)).
    pub size: Option<u64>,
    /// Keep a last, smaller shard. Default: false.
    pub keep_incomplete: bool,
}

/// How sizes differ between devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Proportional to the device's number.
    Linear,
    /// Proportional to its square.
    Square,
    /// Proportional to its exponential.
    Exponential,
    /// Proportional to a lognormal draw.
    #[serde(rename = "lognormal")]
    LogNormal {
        /// Standard deviation of the logarithm, above 0.
        sigma: f64,
    },
}

/// The domains of the builtin corpus `domains`.
pub const BUILTIN_DOMAINS: &[&str] = &["shop", "med", "law", "lang", "cal", "unit", "intent", "edit"];

mod read;
mod source;
mod tasks;
mod template;

pub(crate) use read::read;
pub use source::{Fields, Half, Layout, Source};
pub use tasks::{TaskDomain, Tasks};
pub use template::Template;
