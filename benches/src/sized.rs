//! Decoders of three sizes with random weights, and work for them: what is also measured in PyTorch.

use std::sync::OnceLock;

use cotune_kernel::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Target};
use cotune_models::align::{AlignSpec, Aligner, CachedAligner};
use cotune_models::base::{Base, HostWeights};
use cotune_models::batch::{Batch, Sequence};
use cotune_models::corpus::Example;
use cotune_models::device::{Compute, DeviceChoice};
use cotune_models::kernels::head::Divergence;
use cotune_models::kernels::timed::Sizes;
use cotune_models::learner::{Distillation, Learner, Trained};
use cotune_models::mutual::{Combine, MutualRule, Pooling, Side, Update, mutual_step};
use cotune_models::optimizer::AdamW;
use cotune_models::spec::{DecoderSpec, Family};
use cotune_models::tokenizer::Tokenizer;

/// The names of the sizes.
pub const SIZES: [&str; 3] = ["d64", "d128", "d256"];
/// Sequences of a step.
pub const BATCH: usize = 16;
/// Tokens of each.
pub const TIME: usize = 128;

/// Where models of these sizes compute: on what the environment variable `DEVICE` names (`cpu`, `wgpu`, `wgpu:N`), or on the
/// CPU.
///
/// # Panics
/// There is no such device, or it does not compute what the CPU computes.
pub fn compute() -> &'static Compute {
    static COMPUTE: OnceLock<Compute> = OnceLock::new();
    COMPUTE.get_or_init(|| {
        let named = std::env::var("DEVICE").unwrap_or_else(|_| "cpu".to_owned());
        let opened = named.parse::<DeviceChoice>().and_then(Compute::open);
        let compute = opened.unwrap_or_else(|problem| panic!("DEVICE: {problem}"));
        assert_eq!(compute.warning(), None, "the device that is named is the one that is measured");
        compute
    })
}

/// The sizes of a step: vocabulary, width, heads; LoRA at rank 8.
///
/// # Panics
/// There is no size of that name.
pub fn sizes(size: &str) -> Sizes {
    let (vocab, width, heads, _) = shape(size);
    Sizes { sequences: BATCH, time: TIME, width, heads, mlp: mlp(width), vocab, rank: 8 }
}

/// Vocabulary, width, heads and layers.
fn shape(size: &str) -> (usize, usize, usize, usize) {
    match size {
        "d64" => (512, 64, 4, 2),
        "d128" => (2048, 128, 4, 4),
        "d256" => (4096, 256, 8, 6),
        other => panic!("`{other}` is none of d64, d128, d256"),
    }
}

/// Inner width of an MLP.
fn mlp(width: usize) -> usize {
    width * 8 / 3 / 16 * 16
}

/// A LLaMA of one of the sizes with random weights; nothing makes it end a text.
///
/// # Panics
/// There is no size of that name.
pub fn model(size: &str) -> Base {
    let tokenizer = Tokenizer::train_byte_level(["where is the lamp"], 262).expect("it can be trained");
    model_of(size, shape(size).0, tokenizer)
}

fn model_of(size: &str, vocab: usize, tokenizer: Tokenizer) -> Base {
    let (_, width, heads, layers) = shape(size);
    let spec = DecoderSpec::of(Family::Llama, vocab, width, layers, heads, mlp(width), TIME + 64);
    let end = tokenizer.eos() as usize;
    let host: HostWeights = spec
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let mut stream = Stream::keyed(1, &name);
            let sd = if name == "embedding" { 1.0 } else { 1.0 / (shape[0] as f64).sqrt() };
            let mut values: Vec<f32> =
                (0..shape.iter().product()).map(|_| (sd * stream.normal()) as f32).collect();
            if name.ends_with(".gain") {
                values.fill(1.0);
            }
            if name == "head.weight" {
                values.chunks_mut(vocab).for_each(|row| row[end] = 0.0);
            }
            (name, values)
        })
        .collect();
    Base::new(size, spec, tokenizer, &host, compute())
}

/// What is trained, and where it begins: every weight, or LoRA at rank 8 on query, key, value and output.
pub fn layout(base: &Base, lora: bool) -> (Layout, Trained) {
    let targets = vec![Target::Q, Target::K, Target::V, Target::O];
    let layout = match lora {
        true => {
            let lora = LoraSpec { rank: 8, alpha: 16.0, targets, modules_to_save: Vec::new() };
            Layout::lora(base.spec(), &lora)
        }
        false => Layout::full(base.spec()),
    };
    let values = layout.init(&mut Stream::keyed(1, "bench"), |tensor| base.host_values(tensor));
    (layout, Trained { values, ..Trained::default() })
}

/// Random tokens, all but the first of each sequence predicted.
pub fn random_batch(base: &Base, seed: u64, [sequences, time]: [usize; 2]) -> Batch {
    let mut stream = Stream::keyed(seed, "text");
    let mut ids =
        |n: usize| (0..n).map(|_| stream.below(base.spec().vocab as u64) as u32).collect::<Vec<u32>>();
    let text: Vec<Sequence> =
        (0..sequences).map(|_| Sequence { prompt: ids(1), answer: ids(time) }).collect();
    Batch::pack(&text.iter().collect::<Vec<_>>(), base.pad())
}

/// Texts of the builtin corpus, some thirty questions each.
pub fn texts() -> Vec<String> {
    let text = |chunk: &[Example]| chunk.iter().map(|q| format!("{} {} ", q.prompt, q.answer())).collect();
    crate::questions(600).chunks(30).map(text).collect()
}

/// The first 128 tokens of one text, as two tokenizers cut it.
///
/// # Panics
/// A tokenizer cannot be trained.
pub fn tokens_of_two() -> [Vec<String>; 2] {
    let texts = texts();
    [600, 400].map(|vocab| {
        let tokenizer = Tokenizer::train_byte_level(texts.iter().map(String::as_str), vocab);
        let tokenizer = tokenizer.expect("it can be trained");
        let ids = tokenizer.encode(&texts[0]);
        ids[..TIME].iter().map(|id| tokenizer.token_text(*id).to_owned()).collect()
    })
}

/// Texts of 82 words.
pub fn short_texts() -> Vec<String> {
    let words = |text: &String| text.split_whitespace().take(82).collect::<Vec<_>>().join(" ");
    texts().iter().map(words).collect()
}

/// Eight devices that share a base, each with LoRA as in [`layout`] and a text of its own: 8 sequences of 64 tokens.
pub struct Devices {
    base: Base,
    layout: Layout,
    start: Trained,
    batches: Vec<Batch>,
}

impl Devices {
    /// Devices on a base of one of the sizes.
    ///
    /// # Panics
    /// There is no size of that name.
    pub fn new(size: &str) -> Self {
        let base = model(size);
        let (layout, start) = layout(&base, true);
        let batches = (0..8).map(|device| random_batch(&base, device, [8, 64])).collect();
        Self { base, layout, start, batches }
    }

    /// A learner for each.
    pub fn learners(&self) -> Vec<Learner<'_>> {
        let learner = |_: &Batch| Learner::new(&self.base, &self.layout, &self.start, AdamW::default());
        self.batches.iter().map(learner).collect()
    }

    /// Tokens of a step, of all of them.
    pub fn tokens(&self) -> u64 {
        self.batches.iter().map(Batch::computed_tokens).sum()
    }

    /// One step of each, one after the other.
    pub fn separately(&self, learners: &mut [Learner<'_>]) {
        for (learner, batch) in learners.iter_mut().zip(&self.batches) {
            learner.tune(batch.clone(), 1e-3);
        }
    }

    /// The same as one batch.
    pub fn stacked(&self, learners: &mut [Learner<'_>]) {
        let members = learners.iter_mut().zip(&self.batches);
        Learner::tune_stacked(members.map(|(learner, batch)| (learner, batch.clone(), 1e-3)).collect());
    }
}

/// So many made-up words of three syllables.
fn made_up(words: usize) -> String {
    let mut stream = Stream::keyed(1, "words");
    let mut one_of =
        |letters: &str| char::from(letters.as_bytes()[stream.below(letters.len() as u64) as usize]);
    let mut text = String::new();
    for _ in 0..words {
        text.push(' ');
        for _ in 0..3 {
            text.extend([one_of("bdfgklmnprstvz"), one_of("aeiou")]);
        }
    }
    text
}

/// Two models of one size with different tokenizers that learn from each other, every weight trained, K = 16.
///
/// PyTorch's side takes the sixteen largest logits of every position and carries all of them over by a map of the whole
/// vocabulary. So that there is as much to do here, a tokenizer has as many tokens as its model's vocabulary: every entry
/// stands for a token of the other side, and texts are long enough to fill every row. Beside that work this side cuts and
/// aligns the answers, and remembers how.
pub struct Couple {
    models: [Partner; 2],
}

struct Partner {
    base: Base,
    text: Vec<Sequence>,
    layout: Layout,
    start: Trained,
    from_other: CachedAligner,
}

impl Couple {
    /// Two models with vocabularies in the ratio of four to three.
    ///
    /// # Panics
    /// There is no size of that name.
    pub fn new(size: &str) -> Self {
        let (vocab, texts) = (shape(size).0, texts());
        // The corpus alone has too few words for the larger vocabularies; every made-up word makes at least one token.
        let words = made_up(vocab);
        let [a, b] = [vocab, vocab * 3 / 4].map(|vocab| {
            let texts = texts.iter().map(String::as_str).chain([words.as_str()]);
            let tokenizer = Tokenizer::train_byte_level(texts, vocab).expect("it can be trained");
            assert_eq!(tokenizer.vocab_size(), vocab, "every logit is that of a token");
            model_of(size, vocab, tokenizer)
        });
        let partner = |base: &Base, other: &Base| {
            let text = texts[..BATCH].iter().map(|text| {
                let mut ids = base.tokenizer().encode(text);
                assert!(ids.len() > TIME, "a text fills its row");
                ids.truncate(TIME + 1);
                let answer = ids.split_off(1);
                Sequence { prompt: ids, answer }
            });
            let (layout, start) = layout(base, false);
            let aligner = Aligner::new(other.tokenizer(), base.tokenizer(), AlignSpec::default());
            let from_other = CachedAligner::new(aligner);
            Partner { base: base.clone(), text: text.collect(), layout, start, from_other }
        };
        Self { models: [partner(&a, &b), partner(&b, &a)] }
    }

    /// Learners of both.
    pub fn learners<'l>(&'l self) -> [Learner<'l>; 2] {
        let learner =
            |model: &'l Partner| Learner::new(&model.base, &model.layout, &model.start, AdamW::default());
        self.models.each_ref().map(learner)
    }

    /// Tokens of a step, of both models.
    pub fn tokens(&self) -> u64 {
        self.models.iter().flat_map(|model| &model.text).map(|text| text.len() as u64 - 1).sum()
    }

    /// Answer rows of each model that align with a row of the other's and are pulled towards it; PyTorch's side pulls all.
    pub fn aligned(&self) -> [usize; 2] {
        let [a, b] = &self.models;
        [(a, b), (b, a)].map(|(own, other)| {
            let answers = other.text.iter().zip(&own.text);
            let pairs = answers.map(|(from, to)| own.from_other.align(&from.answer, &to.answer).pairs.len());
            pairs.sum::<usize>()
        })
    }

    /// One step.
    pub fn step<'l>(&'l self, [a, b]: &mut [Learner<'l>; 2]) {
        let rule = MutualRule {
            pooling: Pooling { top_k: 16, rest: false, temperature: 1.0 },
            distillation: Distillation { kind: Divergence::Forward, temperature: 1.0 },
            combine: Combine::Additive,
            update: Update::Simultaneous,
        };
        let [side_a, side_b] = [(a, &self.models[0]), (b, &self.models[1])].map(|(learner, model)| Side {
            learner,
            sequences: model.text.iter().collect(),
            from_other: &model.from_other,
            weight: 1.0,
            extra: None,
            teaches_with: None,
            lr: 1e-3,
        });
        mutual_step(side_a, side_b, &rule);
    }
}
