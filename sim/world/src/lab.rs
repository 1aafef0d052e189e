//! The lab: everything that a job reads and nothing that it changes.
//!
//! Bases, tokenizers, the corpus in every model's tokens, and who has which example. A lab is opened once a run
//! and shared by all jobs; what is cached in it is a function of its key, so the cache never changes a result.

mod bases;
mod corpus;
mod intake;

use crate::availability::Availability;
use crate::files::{FileError, Files};
use crate::fleet::classes_of_devices;
use crate::memo::Memo;
use crate::privacy::{self, Suspects};
use crate::score::DomainScores;
use crate::split::{self, SplitError};
use cotune_kernel::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Module, Target};
use cotune_models::align::{Align, AlignSpec, Aligner, CachedAligner, Fallback, Vocab};
use cotune_models::base::Base;
use cotune_models::batch::Sequence;
use cotune_models::cores::Cores;
use cotune_models::corpus::{Corpus, Example, Template};
use cotune_models::cost::ModelShape;
use cotune_models::device::Compute;
use cotune_models::learner::Trained;
use cotune_scenario::models as written;
use cotune_scenario::{Scenario, data, method};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use crate::site::Site;
pub use intake::{Fit, Intake, SourceRead};

/// Everything a job reads.
#[derive(Debug)]
pub struct Lab {
    scenario: Scenario,
    models: BTreeMap<String, LabModel>,
    corpus: Corpus,
    template: Template,
    suspects: Suspects,
    intake: Intake,
    files: Files,
    holdings: Holdings,
    align: AlignSpec,
    aligners: Memo<[String; 2], CachedAligner>,
    pub(crate) scores: Memo<String, DomainScores>,
    pub(crate) knowledge: Memo<String, Vec<cotune_models::knowledge::Knowledge>>,
    pub(crate) relays: Memo<String, crate::method::relay::RelaySet>,
    pub(crate) relay_lessons: Memo<String, crate::method::relay::RelayLessons>,
}

/// Which private examples every device has.
#[derive(Debug)]
enum Holdings {
    /// These, as indices, and their share of every domain.
    Examples { assignment: Vec<Vec<u32>>, shares: Vec<Vec<f64>> },
    /// So many, in a corpus that is only counted.
    Counts(Vec<u32>),
}

/// One model of the scenario, loaded.
#[derive(Debug)]
pub struct LabModel {
    /// Its key in `[models]`.
    pub name: String,
    /// The frozen weights and the tokenizer.
    pub base: Base,
    /// What is trained.
    pub layout: Layout,
    /// The low-rank adapter that the layout is of, if it is of one.
    pub lora: Option<LoraSpec>,
    /// Dropout on the inputs of its low-rank maps; 0 for none.
    pub dropout: f64,
    /// What is charged for.
    pub shape: ModelShape,
    /// Values of an adapter of the billed shape; `None` where the model is billed as what it is.
    pub billed_adapter_values: Option<f64>,
    /// Values of whole updates of the adapted maps in the billed shape; `None` likewise.
    pub billed_map_values: Option<f64>,
    /// The corpus in its tokens.
    pub text: Texts,
    /// Mean tokens of prompt and answer over the private examples.
    pub mean_tokens: f64,
}

/// The parts of the corpus as token sequences, in the order of the corpus.
#[derive(Debug, Default)]
pub struct Texts {
    /// Private examples of all devices.
    pub private: Vec<Sequence>,
    /// The cloud's public examples.
    pub public: Vec<Sequence>,
    /// Held out for evaluation: the part the scenario names.
    pub held_out: Vec<Sequence>,
}

/// Why a lab cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A base cannot be loaded.
    #[error("[models.{model}]: {source}")]
    Base {
        /// The model.
        model: String,
        /// Why.
        source: cotune_models::base::BaseError,
    },
    /// A base cannot be made.
    #[error("[models.{model}]: {source}")]
    Pretrain {
        /// The model.
        model: String,
        /// Why.
        source: cotune_models::pretrain::PretrainError,
    },
    /// A base whose tokenizer lacks the tokens that the scenario names.
    #[error("[models.{model}]: {source}, which data.template names")]
    Tokens {
        /// The model.
        model: String,
        /// What it lacks.
        source: cotune_models::tokenizer::TokenizerError,
    },
    /// A base that saw what the scenario says no base has seen.
    #[error(
        "[models.{model}]: {base} saw the domains {unseen} in pretraining, which data.corpus.builtin.unseen_domains rules out: write base = \"pretrain:FILE.toml\" with a recipe whose [corpus.builtin] has these unseen_domains"
    )]
    Seen {
        /// The model.
        model: String,
        /// Its base as written.
        base: String,
        /// The domains.
        unseen: String,
    },
    /// Low-rank maps of a rank that their matrices cannot have.
    #[error("[models.{model}]: a rank above the model's width adds nothing: write at most {width}")]
    Rank {
        /// The model.
        model: String,
        /// Its width.
        width: usize,
    },
    /// The corpus cannot be made.
    #[error("[data]: {0}")]
    Corpus(#[from] cotune_models::corpus::CorpusError),
    /// A trace, samples or a split cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The corpus has too few examples.
    #[error("[data]: {0}")]
    Data(String),
    /// The examples cannot be dealt to the devices.
    #[error("[data.split]: {0}")]
    Split(#[from] SplitError),
}

impl Lab {
    /// Loads the models, makes the corpus and deals it to the devices. A base of `pretrain:` is made on first
    /// use; `talk` hears about what takes long.
    ///
    /// # Errors
    /// A model, a file or a number of examples does not allow it; the message names the table.
    pub fn open(
        scenario: &Scenario,
        site: &Site,
        compute: &Compute,
        talk: &mut dyn FnMut(&str),
    ) -> Result<Self, LabError> {
        let files = Files::read(scenario, site)?;
        let mut bases = bases::open(scenario, site, compute, talk)?;
        let corpus::Made { mut corpus, sources } = corpus::make(scenario, site)?;
        let intake = Intake::fit(sources, &mut corpus, &bases);
        bases::distill(&mut bases, scenario, &corpus, talk)?;
        let devices = u32::try_from(scenario.fleet.devices)
            .map_err(|_| LabError::Data(format!("{} devices are too many", scenario.fleet.devices)))?;
        let template = corpus::template(&scenario.data)?;
        let mut holdings = Holdings::deal(scenario, &corpus, &files, devices)?;
        let held_out = corpus::held_out(scenario, &mut corpus);
        let suspects = suspects(scenario, &template, &mut corpus, &mut holdings, &held_out);
        let models = bases
            .into_iter()
            .map(|(name, base)| {
                let model = LabModel::new(&name, base, scenario, &corpus, &held_out)?;
                Ok((name, model))
            })
            .collect::<Result<_, LabError>>()?;
        let corpus = Corpus { test: held_out, ..corpus };
        Ok(Self {
            scenario: scenario.clone(),
            models,
            corpus,
            template,
            suspects,
            intake,
            files,
            holdings,
            align: align_spec(&scenario.method),
            aligners: Memo::new(usize::MAX),
            scores: Memo::new(4096),
            knowledge: Memo::new(32),
            relays: Memo::new(4),
            relay_lessons: Memo::new(32),
        })
    }

    /// The scenario it was opened for.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// One model.
    ///
    /// # Panics
    /// The scenario has no such model.
    pub fn model(&self, name: &str) -> &LabModel {
        &self.models[name]
    }

    /// The cores that jobs may borrow while they are idle.
    pub fn cores(&self) -> Cores {
        self.models().next().map_or_else(|| Cores::new(0), |model| model.base.compute().cores().clone())
    }

    /// All models in alphabetical order.
    pub fn models(&self) -> impl Iterator<Item = &LabModel> {
        self.models.values()
    }

    /// The traces, samples and splits that the scenario names.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Names of the domains.
    pub fn domains(&self) -> &[String] {
        &self.corpus.domains
    }

    /// The private examples, all devices together.
    pub fn private(&self) -> &[Example] {
        &self.corpus.private
    }

    /// The cloud's public examples.
    pub fn public(&self) -> &[Example] {
        &self.corpus.public
    }

    /// What models are scored on.
    pub fn held_out(&self) -> &[Example] {
        &self.corpus.test
    }

    /// The words around questions and before answers.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What the privacy attacks are tried on; nothing where the scenario does not ask.
    pub fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// What became of the data on its way into the models.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Indices of a device's private examples; none where the corpus is only counted.
    pub fn examples_of(&self, device: u32) -> &[u32] {
        match &self.holdings {
            Holdings::Examples { assignment, .. } => &assignment[device as usize],
            Holdings::Counts(_) => &[],
        }
    }

    /// How many private examples a device has.
    pub fn count_of(&self, device: u32) -> u32 {
        match &self.holdings {
            Holdings::Examples { assignment, .. } => assignment[device as usize].len() as u32,
            Holdings::Counts(counts) => counts[device as usize],
        }
    }

    /// A device's share of every domain; sums to 1 unless it has no examples.
    pub fn shares_of(&self, device: u32) -> &[f64] {
        match &self.holdings {
            Holdings::Examples { shares, .. } => &shares[device as usize],
            Holdings::Counts(_) => &[],
        }
    }

    /// Whether there are texts to learn from.
    pub fn has_texts(&self) -> bool {
        matches!(self.holdings, Holdings::Examples { .. })
    }

    /// Maps rows of `teacher` to rows of `student`, both keys of `[models]`; made once a pair of tokenizers.
    pub fn aligner(&self, teacher: &str, student: &str) -> Arc<CachedAligner> {
        let [teacher, student] = [teacher, student].map(|model| self.model(model).base.tokenizer());
        let content = [teacher, student].map(|tokenizer| tokenizer.digest().to_owned());
        self.aligners.get(&content, || {
            CachedAligner::new(Aligner::with_cores(teacher, student, self.align, &self.cores()))
        })
    }
}

/// Puts the canaries into the private examples of their devices, and chooses who else is suspected. Shares of domains stay
/// those that were dealt.
fn suspects(
    scenario: &Scenario,
    template: &Template,
    corpus: &mut Corpus,
    holdings: &mut Holdings,
    held_out: &[Example],
) -> Suspects {
    let (Some(asked), Holdings::Examples { assignment, .. }) = (&scenario.evaluation.privacy, holdings)
    else {
        return Suspects::default();
    };
    let canaries = privacy::canaries(scenario, asked, template, &corpus.private, assignment);
    let suspects = privacy::suspects(scenario.seed, asked, canaries, &corpus.private, held_out);
    for canary in suspects.canaries() {
        let own = &mut assignment[canary.device as usize];
        let like = own.first().map_or(0, |first| corpus.private[*first as usize].domain);
        let number = corpus.private.len() as u32;
        corpus.private.push(Example {
            id: u32::MAX - number,
            domain: like,
            prompt: canary.prompt.clone(),
            answers: vec![canary.answer.clone()],
        });
        own.extend(std::iter::repeat_n(number, asked.repeats as usize));
    }
    suspects
}

impl Holdings {
    fn deal(scenario: &Scenario, corpus: &Corpus, files: &Files, devices: u32) -> Result<Self, SplitError> {
        let (data, seed) = (&scenario.data, scenario.seed);
        if let data::Corpus::Sizes(_) = data.corpus {
            let private = data.private.unwrap_or(0);
            return Ok(Self::Counts(split::counts(&data.split, private, devices, seed)?));
        }
        let labels: Vec<u16> = corpus.private.iter().map(|example| example.domain).collect();
        let mut assignment = split::deal(&data.split, &labels, files, devices, seed)?;
        if let Some(follows) = data.follows {
            let traits = traits(scenario, files, follows.what);
            assignment = split::follow(assignment, &labels, &traits, follows.strength, seed);
        }
        let shares = split::shares(&assignment, &labels, corpus.domains.len());
        Ok(Self::Examples { assignment, shares })
    }
}

/// What every device is ordered by where data follow the device.
fn traits(scenario: &Scenario, files: &Files, what: data::Trait) -> Vec<f64> {
    let (fleet, seed) = (&scenario.fleet, scenario.seed);
    let regions: BTreeSet<Option<&str>> =
        fleet.classes.values().map(|class| class.region.as_deref()).collect();
    let class_of = classes_of_devices(seed, fleet);
    let by_class: Vec<(f64, Option<Availability>)> = fleet
        .classes
        .values()
        .enumerate()
        .map(|(index, class)| match what {
            data::Trait::Class => (index as f64, None),
            data::Trait::Region => {
                let rank = regions.iter().position(|region| *region == class.region.as_deref());
                (rank.unwrap_or(0) as f64, None)
            }
            data::Trait::Availability => {
                // An availability that cannot be played is refused when the fleet is drawn.
                let availability = Availability::new(&class.availability, files).ok();
                (availability.as_ref().map_or(0.0, Availability::share_online), availability)
            }
        })
        .collect();
    let trait_of = |(device, class): (u32, &u16)| {
        let (rank, availability) = &by_class[usize::from(*class)];
        // A time zone orders within a class, and never between two.
        let zone = availability.as_ref().map_or(0.0, |availability| availability.timezone(seed, device));
        rank + 1e-12 * zone
    };
    (0..).zip(&class_of).map(trait_of).collect()
}

impl LabModel {
    fn new(
        name: &str,
        base: Base,
        scenario: &Scenario,
        corpus: &Corpus,
        held_out: &[Example],
    ) -> Result<Self, LabError> {
        let model = &scenario.models[name];
        let (layout, lora, dropout) = match &model.adapter {
            None => (Layout::none(), None, 0.0),
            Some(written::Adapter::Lora(lora)) => {
                let spec = lora_spec(lora);
                let width = base.spec().width;
                if spec.rank > width {
                    return Err(LabError::Rank { model: name.to_owned(), width });
                }
                let layout = Layout::lora(base.spec(), &spec);
                let layout = match lora.freeze {
                    None => layout,
                    Some(written::Factor::A) => {
                        layout.freezing_a(&drawn(&layout, &base, scenario.seed, &start_path(name)))
                    }
                };
                (layout, Some(spec), lora.dropout)
            }
            Some(written::Adapter::Bottleneck { size }) => {
                (Layout::bottleneck(base.spec(), *size as usize), None, 0.0)
            }
        };
        let own = ModelShape::of(base.spec(), &layout);
        let (shape, billed_adapter_values, billed_map_values) = match &model.bill_as {
            None => (own, None, None),
            Some(billed) => {
                let shape = billed_shape(billed, model.adapter.as_ref());
                (shape, Some(shape.trained), Some(billed_maps(billed, model.adapter.as_ref())))
            }
        };
        let encode = |examples: &[Example]| -> Vec<Sequence> {
            let longest = base.spec().max_positions;
            let one = |e: &Example| Sequence::encode(base.tokenizer(), &e.prompt, e.answer(), longest);
            examples.iter().map(|e| one(e).expect("examples that do not fit were left out")).collect()
        };
        let text = Texts {
            private: encode(&corpus.private),
            public: encode(&corpus.public),
            held_out: encode(held_out),
        };
        let tokens: usize = text.private.iter().map(Sequence::len).sum();
        let mean_tokens = match &scenario.data.corpus {
            data::Corpus::Sizes(counted) => counted.mean_tokens,
            _ => tokens as f64 / text.private.len().max(1) as f64,
        };
        let name = name.to_string();
        Ok(Self {
            name,
            base,
            layout,
            lora,
            dropout,
            shape,
            billed_adapter_values,
            billed_map_values,
            text,
            mean_tokens,
        })
    }

    /// A fresh adapter: `A` random by the run's seed and the model's name, `B` zero. Every device that runs the
    /// model starts from the same values.
    pub fn fresh(&self, seed: u64) -> Trained {
        self.fresh_from(seed, &start_path(&self.name))
    }

    /// A fresh adapter drawn from the stream `path`.
    pub(crate) fn fresh_from(&self, seed: u64, path: &str) -> Trained {
        Trained { values: drawn(&self.layout, &self.base, seed, path), ..Trained::default() }
    }

    /// What trains, in words.
    pub fn trained_as(&self) -> String {
        let (name, n) = (self.base.name(), self.base.spec().parameters() as f64);
        format!("{name}: {}, {} parameters", self.base.spec().family_name(), scaled(n))
    }

    /// What is billed, in words.
    pub fn billed_as(&self) -> String {
        match self.billed_adapter_values {
            None => self.trained_as(),
            Some(_) => {
                format!("{} parameters of {} bit", scaled(self.shape.parameters), self.shape.bits_per_weight)
            }
        }
    }
}

/// The stream that a model's first adapter is drawn from.
fn start_path(model: &str) -> String {
    format!("adapter/{model}")
}

fn drawn(layout: &Layout, base: &Base, seed: u64, path: &str) -> Vec<f32> {
    layout.init(&mut Stream::keyed(seed, path), |tensor| base.host_values(tensor))
}

/// `1.39M` for 1,390,000.
fn scaled(n: f64) -> String {
    let (divisor, suffix) = match n {
        n if n >= 1e9 => (1e9, "B"),
        n if n >= 1e6 => (1e6, "M"),
        _ => (1e3, "k"),
    };
    format!("{:.2}{suffix}", n / divisor)
}

fn lora_spec(lora: &written::Lora) -> LoraSpec {
    use written::{LoraTarget as T, SavedModule};
    let targets = lora.targets.iter().map(|target| match target {
        T::Q => Target::Q,
        T::K => Target::K,
        T::V => Target::V,
        T::O => Target::O,
        T::Up => Target::Up,
        T::Gate => Target::Gate,
        T::Down => Target::Down,
        T::Qkv => Target::Qkv,
    });
    let modules = lora.modules_to_save.iter().map(|module| match module {
        SavedModule::Embeddings => Module::Embeddings,
        SavedModule::Norms => Module::Norms,
    });
    LoraSpec {
        rank: lora.rank as usize,
        alpha: lora.alpha,
        targets: targets.collect(),
        modules_to_save: modules.collect(),
    }
}

/// Inputs and outputs of a billed map. An MLP is four times as wide as the model, as `12 · layers · width²` parameters
/// imply.
fn billed_map(billed: &written::Billed, target: written::LoraTarget) -> (f64, f64) {
    use written::LoraTarget as T;
    let (width, kv) = (f64::from(billed.width), f64::from(billed.kv_width));
    match target {
        T::Q | T::O => (width, width),
        T::K | T::V => (width, kv),
        T::Qkv => (width, width + 2.0 * kv),
        T::Up | T::Gate => (width, 4.0 * width),
        T::Down => (4.0 * width, width),
    }
}

/// Values of whole updates of the adapted maps in the billed shape.
fn billed_maps(billed: &written::Billed, adapter: Option<&written::Adapter>) -> f64 {
    let Some(written::Adapter::Lora(lora)) = adapter else { return 0.0 };
    let maps = lora.targets.iter().map(|target| billed_map(billed, *target));
    f64::from(billed.layers) * maps.map(|(inputs, outputs)| inputs * outputs).sum::<f64>()
}

/// The shape that is charged for. A LoRA has `rank · (inputs + outputs)` values for every target and layer, without the
/// inputs where A is frozen; a bottleneck has two maps with their biases at two places of every layer.
fn billed_shape(billed: &written::Billed, adapter: Option<&written::Adapter>) -> ModelShape {
    let (layers, width, kv) = (f64::from(billed.layers), f64::from(billed.width), f64::from(billed.kv_width));
    let trained = match adapter {
        None => 0.0,
        Some(written::Adapter::Lora(lora)) => {
            let values = lora.targets.iter().map(|target| match (billed_map(billed, *target), lora.freeze) {
                ((_, outputs), Some(written::Factor::A)) => outputs,
                ((inputs, outputs), None) => inputs + outputs,
            });
            f64::from(lora.rank) * layers * values.sum::<f64>()
        }
        Some(written::Adapter::Bottleneck { size }) => {
            let size = f64::from(*size);
            2.0 * layers * (2.0 * width * size + size + width)
        }
    };
    ModelShape {
        parameters: billed.params as f64,
        multiplied: billed.params as f64,
        first: width * (width + 2.0 * kv),
        trained,
        layers,
        width,
        attention_width: width,
        kv_width: kv,
        bits_per_weight: f64::from(billed.weights.bits()),
    }
}

fn align_spec(method: &method::Method) -> AlignSpec {
    let Some(method::Alignment { align, fallback, vocab }) = method.table().alignment() else {
        return AlignSpec::default();
    };
    AlignSpec {
        align: match align {
            method::Align::Bytes => Align::Bytes,
            method::Align::Dtw => Align::Dtw,
        },
        vocab: match vocab {
            method::VocabularyMap::Equal => Vocab::Equal,
            method::VocabularyMap::FirstToken => Vocab::FirstToken,
            method::VocabularyMap::Edit => Vocab::Edit,
        },
        fallback: match fallback {
            method::Fallback::Off => Fallback::Off,
            method::Fallback::Target => Fallback::Target,
            method::Fallback::Fate => Fallback::Fate,
        },
    }
}
