//! The relay set (ours, not the paper's): prompts and answers that the proxy makes itself.
//!
//! The proxy samples prompts with its adapter off, at temperature 1, from the opening of a prompt to the answer
//! boundary; the aggregated adapter answers them greedily; unfinished ones are dropped. Students then learn from the
//! pseudo-answers and from the proxy's cached top-K rows. Everyone who holds the same proxy samples the same set, so
//! it is made once and shared between jobs.

mod focus;
mod guard;
mod nearest;

pub(crate) use guard::held_for_guard;

use self::focus::Focus;
use self::guard::{GUARD_SHARE, Labelled, passing};
use super::training::{Batches, all, pick};
use super::{Evaluated, EvaluationLoad, GenerationLoad, Load, RelayCounts};
use crate::effect::Party;
use crate::lab::{Lab, LabModel};
use crate::payload::Part;
use cotune_kernel::Stream;
use cotune_models::batch::Sequence;
use cotune_models::generate::{Generated, Sampling, generate};
use cotune_models::kernels::head::SoftTargets;
use cotune_models::learner::Trained;
use cotune_models::mutual::{Extra, Pooling};
use cotune_models::score::soft_labels;
use cotune_scenario::method::{Delivery, Guard, Relay};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest prompt that is sampled, in the proxy's tokens (chosen: beyond every prompt of the builtin corpus).
const PROMPT_TOKENS: usize = 48;

/// Bytes charged for one relay prompt that the cloud sends (chosen: the longest prompt of the builtin corpus).
pub(crate) const SENT_PROMPT_BYTES: u32 = 96;

/// What the proxy made.
#[derive(Debug)]
pub(crate) struct RelaySet {
    /// Digest of the adapter that answered, and the round.
    key: String,
    /// Prompts with their answers, sorted by prompt.
    texts: Vec<(String, String)>,
}

/// A relay set in a student's tokens.
#[derive(Debug)]
pub(crate) struct RelayLessons {
    /// The texts.
    pub sequences: Vec<Sequence>,
    /// What the proxy thinks of each answer.
    pub soft: Vec<SoftTargets>,
    /// The prompts, from which the guard and the focus tell what they are about.
    pub prompts: Vec<String>,
    /// How sure the proxy is of each answer: the geometric mean of the probabilities of its tokens, the
    /// length-normalised log-probability by which translations are ranked (Wu et al. 2016, arXiv 1609.08144, §7). Empty
    /// unless the guard asks for it.
    pub confidence: Vec<f64>,
}

impl RelaySet {
    /// Prompts with their answers.
    pub(crate) fn texts(&self) -> &[(String, String)] {
        &self.texts
    }

    /// Prompts that were kept.
    fn len(&self) -> u32 {
        self.texts.len() as u32
    }
}

/// BLAKE3 of an adapter's values, hex.
pub(crate) fn digest_of(values: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    values.iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    hasher.finalize().to_string()
}

/// The relay set of a proxy with the adapter `values`; `draw` is the path of its prompts.
pub(crate) fn relay_set(
    lab: &Lab,
    proxy: &LabModel,
    values: &[f32],
    relay: &Relay,
    draw: &str,
) -> Arc<RelaySet> {
    let key = format!("{draw}/{}", digest_of(values));
    lab.relays.get(&key, || {
        let prompts = sampled(lab, proxy, relay, draw);
        let given = answers(lab, proxy, values, &prompts, relay.max_tokens);
        let texts = prompts.into_iter().zip(given).filter_map(|(prompt, answer)| Some((prompt, answer?)));
        RelaySet { key: key.clone(), texts: texts.collect() }
    })
}

/// Prompts that a base samples, in alphabetical order and each once.
fn sampled(lab: &Lab, proxy: &LabModel, relay: &Relay, draw: &str) -> Vec<String> {
    let tokenizer = proxy.base.tokenizer();
    let seed = lab.scenario().seed;
    let template = lab.template();
    let opening = tokenizer.encode(template.opening());
    let stop = |tokens: &[u32]| tokenizer.decode_continuation(tokens).ends_with(template.boundary());
    let stream = |i: usize| Stream::keyed(seed, &format!("relay/{draw}/prompt/{i}"));
    let sampling = Sampling::Temperature { temperature: 1.0, top_p: 1.0, stream: &stream };
    let openings = vec![opening; relay.prompts as usize];
    // A prompt that runs on into the next is no prompt: none has more lines than those everybody may see.
    let lines = |prompt: &str| prompt.matches('\n').count();
    let shown = lab.public().iter().map(|example| lines(&example.prompt)).max();
    let most_lines = shown.unwrap_or_else(|| lines(&template.prompt("")));
    let sampled = generate(&proxy.base, &[], &openings, PROMPT_TOKENS, &sampling, &stop);
    let prompts: BTreeSet<String> = sampled
        .iter()
        .filter(|text| text.finished)
        .map(|text| format!("{}{}", template.opening(), tokenizer.decode_continuation(&text.tokens)))
        .filter(|prompt| prompt.ends_with(template.boundary()) && lines(prompt) <= most_lines)
        .collect();
    prompts.into_iter().collect()
}

/// What a model answers, greedily; none where it does not come to an end, or what it says is no answer that every model
/// could read.
pub(crate) fn answers(
    lab: &Lab,
    model: &LabModel,
    values: &[f32],
    prompts: &[String],
    max_tokens: u32,
) -> Vec<Option<String>> {
    let tokenizer = model.base.tokenizer();
    let tokens: Vec<Vec<u32>> = prompts.iter().map(|prompt| tokenizer.encode(prompt)).collect();
    let adapter = Some((&model.layout, values));
    let longest = max_tokens as usize;
    let answers = generate(&model.base, adapter.as_slice(), &tokens, longest, &Sampling::Greedy, &|_| false);
    let fits = |prompt: &str, answer: &str| {
        lab.models().all(|model| {
            let (tokenizer, most) = (model.base.tokenizer(), model.base.spec().max_positions);
            tokenizer.encode(prompt).len() + tokenizer.encode_continuation(answer).len() < most
        })
    };
    let read = |(prompt, answer): (&String, &Generated)| {
        let text = tokenizer.decode_continuation(&answer.tokens);
        let usable = answer.finished
            && !answer.tokens.is_empty()
            && lab.template().bare_answer(&text).is_some()
            && fits(prompt, &text);
        usable.then_some(text)
    };
    prompts.iter().zip(&answers).map(read).collect()
}

/// A relay set in the tokens of `student`, with the proxy's rows mapped onto its vocabulary.
fn lessons(
    lab: &Lab,
    proxy: &LabModel,
    values: &[f32],
    set: &RelaySet,
    (student, relay): (&LabModel, &Relay),
    pooling: Pooling,
) -> Arc<RelayLessons> {
    let key = format!("{}/{}", set.key, student.name);
    lab.relay_lessons.get(&key, || {
        let encode = |model: &LabModel| -> Vec<Sequence> {
            let longest = model.base.spec().max_positions;
            let one = |(prompt, answer): &(String, String)| {
                Sequence::encode(model.base.tokenizer(), prompt, answer, longest)
            };
            set.texts.iter().map(|text| one(text).expect("texts that do not fit were dropped")).collect()
        };
        let (teacher_text, sequences) = (encode(proxy), encode(student));
        let aligner = lab.aligner(&proxy.name, &student.name);
        let adapter = [(&proxy.layout, values)];
        let both = [&teacher_text, &sequences].map(|text| text.iter().collect::<Vec<_>>());
        let guarded = matches!(relay.guard, Guard::Confidence);
        let taught = soft_labels(
            &proxy.base,
            &adapter,
            both.each_ref().map(Vec::as_slice),
            &aligner,
            pooling,
            guarded,
        );
        let confidence = taught.iter().filter_map(|text| text.loss).map(|loss| libm::exp(-loss)).collect();
        let soft = taught.into_iter().map(|text| text.soft).collect();
        let prompts = set.texts.iter().map(|(prompt, _)| prompt.clone()).collect();
        RelayLessons { sequences, soft, prompts, confidence }
    })
}

/// Who wants relay examples.
pub(crate) struct RelayAsk<'a> {
    /// Who learns.
    pub party: Party,
    pub round: u32,
    /// Path of its streams, that of its task.
    pub path: &'a str,
    /// The model that answers.
    pub proxy: &'a LabModel,
    /// Its adapter.
    pub theta: &'a [f32],
    pub student: &'a LabModel,
    /// The student's adapter before the round's training.
    pub adapter: &'a Trained,
    /// What is kept of the proxy's rows.
    pub pooling: Pooling,
}

/// Relay examples for the steps of one student.
pub(crate) struct RelaySource<'l> {
    relay: &'l Relay,
    lessons: Arc<RelayLessons>,
    batches: Batches,
    /// Where a part of each batch comes from the device's own domains, these.
    focus: Option<(f64, Focus)>,
    kept: u32,
}

/// The relay table, from the round on in which the relay starts at the cloud.
pub(crate) fn relay_at_cloud(relay: Option<&Relay>, round: u32) -> Option<&Relay> {
    relay.filter(|relay| round >= relay.from_round.cloud)
}

/// The relay table, from the round on in which the relay starts on devices.
pub(crate) fn relay_on_device(relay: Option<&Relay>, round: u32) -> Option<&Relay> {
    relay.filter(|relay| round >= relay.from_round.device)
}

impl<'l> RelaySource<'l> {
    /// The relay set of a round for a student, of which it uses what passes the guard; none before the relay starts.
    pub(crate) fn new(lab: &Lab, relay: Option<&'l Relay>, ask: &RelayAsk<'_>) -> Option<Self> {
        let relay = match ask.party {
            Party::Cloud => relay_at_cloud(relay, ask.round),
            Party::Device(_) => relay_on_device(relay, ask.round),
        }?;
        let (proxy, theta) = (ask.proxy, ask.theta);
        let set = relay_set(lab, proxy, theta, relay, &format!("round/{}", ask.round));
        let lessons = lessons(lab, proxy, theta, &set, (ask.student, relay), ask.pooling);
        let usable = match relay.guard {
            Guard::None => all(&lessons.sequences),
            Guard::Confidence => {
                let least = relay.confidence.unwrap_or_default();
                let sure = |i: &u32| lessons.confidence[*i as usize] >= least;
                all(&lessons.sequences).into_iter().filter(sure).collect()
            }
            Guard::DualMinCe => {
                let receiver = (ask.student, ask.adapter.values.as_slice());
                passing(&lessons, &Labelled::new(lab, relay, ask), (proxy, theta), receiver)
            }
        };
        let path = format!("{}/relay", ask.path);
        let batches = Batches::new(&usable, lab.scenario().seed, &path);
        let focus = match (ask.party, relay.focus) {
            (Party::Device(device), Some(share)) => {
                Some((share, Focus::new(lab, device, &lessons, &usable, &format!("{path}/focus"))))
            }
            _ => None,
        };
        Some(Self { relay, lessons, batches, focus, kept: set.len() })
    }

    /// Prompts that were sampled, and those of them that were kept, before the guard.
    pub(crate) fn counts(&self) -> RelayCounts {
        RelayCounts { sampled: self.relay.prompts, kept: self.kept }
    }

    /// The examples of the next step; none if nothing can be used.
    pub(crate) fn next(&mut self) -> Option<Extra<'_>> {
        let batch = self.relay.batch;
        let mut chosen = match &mut self.focus {
            Some((share, focus)) => focus.next((*share * f64::from(batch)).round() as u32),
            None => Vec::new(),
        };
        chosen.extend(self.batches.next(batch - chosen.len() as u32));
        (!chosen.is_empty()).then(|| Extra {
            sequences: pick(&self.lessons.sequences, &chosen),
            soft: chosen.iter().map(|i| &self.lessons.soft[*i as usize]).collect(),
            ce: self.relay.ce,
            kl: self.relay.weight,
        })
    }
}

/// What answering the prompts of a relay set takes.
pub(crate) fn relay_answers(relay: &Relay, model: &str) -> GenerationLoad {
    GenerationLoad { model: model.to_string(), sequences: relay.prompts, tokens: relay.max_tokens }
}

/// What making a relay set and guarding a student takes, training apart.
pub(crate) fn relay_load(relay: Option<&Relay>, proxy: &str, student: &str) -> Load {
    let Some(relay) = relay else { return Load::default() };
    let prompts = GenerationLoad { tokens: PROMPT_TOKENS as u32, ..relay_answers(relay, proxy) };
    let compare = |model: &str| EvaluationLoad {
        model: model.to_string(),
        on: Evaluated::Share(1.0 / GUARD_SHARE as f64),
    };
    let evaluation = match relay.guard {
        Guard::None | Guard::Confidence => Vec::new(),
        Guard::DualMinCe => vec![compare(proxy), compare(student)],
    };
    let generation = vec![prompts, relay_answers(relay, proxy)];
    Load { generation, evaluation, ..Load::default() }
}

/// The same on a device, to which the cloud may have sent the prompts.
pub(crate) fn relay_load_on_device(relay: Option<&Relay>, proxy: &str, student: &str) -> Load {
    let mut load = relay_load(relay, proxy, student);
    if relay.is_some_and(|relay| relay.delivery == Delivery::Send) {
        load.generation.remove(0);
    }
    load
}

/// With `delivery = "send"`, room for the prompts of the relay set in a broadcast.
pub(crate) fn sent_prompts(relay: &Relay) -> Option<Part> {
    (relay.delivery == Delivery::Send).then(|| {
        let blank = " ".repeat(SENT_PROMPT_BYTES as usize);
        Part::Prompts { texts: vec![blank; relay.prompts as usize], padded: SENT_PROMPT_BYTES }
    })
}
