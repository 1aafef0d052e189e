//! The relay set (METHODS §8, point 2; ours, not the paper's): prompts and answers that the proxy makes itself.
//!
//! The proxy samples prompts with its adapter off, at temperature 1, from the opening of a prompt to the answer
//! boundary; the aggregated adapter answers them greedily; unfinished ones are dropped. Students then learn from the
//! pseudo-answers and from the proxy's cached top-K rows. Everyone who holds the same proxy samples the same set, so
//! it is made once and shared between jobs.

use crate::lab::{Lab, LabModel};
use cotune_kernel::Stream;
use cotune_models::batch::Sequence;
use cotune_models::corpus::Example;
use cotune_models::generate::{Sampling, generate};
use cotune_models::kernels::head::SoftTargets;
use cotune_models::mutual::Pooling;
use cotune_models::score::{answer_losses, soft_labels};
use cotune_scenario::method::Relay;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest prompt that is sampled, in the proxy's tokens (chosen: beyond every prompt of the builtin corpus).
pub(crate) const PROMPT_TOKENS: usize = 48;

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
    /// The prompts, for the guard.
    pub prompts: Vec<String>,
}

impl RelaySet {
    /// Prompts that were kept.
    pub(crate) fn len(&self) -> u32 {
        self.texts.len() as u32
    }
}

/// The relay set of a round, from the proxy with the adapter `values`.
pub(crate) fn relay_set(
    lab: &Lab,
    proxy: &LabModel,
    values: &[f32],
    relay: &Relay,
    round: u32,
) -> Arc<RelaySet> {
    let mut hasher = blake3::Hasher::new();
    values.iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    let key = format!("{round}/{}", hasher.finalize());
    lab.relays.get(&key, || make(lab, proxy, values, relay, round, key.clone()))
}

fn make(lab: &Lab, proxy: &LabModel, values: &[f32], relay: &Relay, round: u32, key: String) -> RelaySet {
    let tokenizer = proxy.base.tokenizer();
    let seed = lab.scenario().seed;
    let template = lab.template();
    let opening = tokenizer.encode(template.opening());
    let stop = |tokens: &[u32]| tokenizer.decode_continuation(tokens).ends_with(template.boundary());
    let stream = |i: usize| Stream::keyed(seed, &format!("relay/round/{round}/prompt/{i}"));
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
    let tokens: Vec<Vec<u32>> = prompts.iter().map(|prompt| tokenizer.encode(prompt)).collect();
    let adapter = Some((&proxy.layout, values));
    let longest = relay.max_tokens as usize;
    let answers = generate(&proxy.base, adapter.as_slice(), &tokens, longest, &Sampling::Greedy, &|_| false);
    let fits = |prompt: &str, answer: &str| {
        lab.models().all(|model| {
            let (tokenizer, most) = (model.base.tokenizer(), model.base.spec().max_positions);
            tokenizer.encode(prompt).len() + tokenizer.encode_continuation(answer).len() < most
        })
    };
    let texts = prompts
        .into_iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.finished && !answer.tokens.is_empty())
        .map(|(prompt, answer)| (prompt, tokenizer.decode_continuation(&answer.tokens)))
        .filter(|(prompt, answer)| template.bare_answer(answer).is_some() && fits(prompt, answer))
        .collect();
    RelaySet { key, texts }
}

/// A relay set in the tokens of `student`, with the proxy's rows mapped onto its vocabulary.
pub(crate) fn lessons(
    lab: &Lab,
    proxy: &LabModel,
    values: &[f32],
    set: &RelaySet,
    student: &LabModel,
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
        let soft = soft_labels(
            &proxy.base,
            &[(&proxy.layout, values)],
            &teacher_text.iter().collect::<Vec<_>>(),
            &sequences.iter().collect::<Vec<_>>(),
            &aligner,
            pooling,
        );
        let prompts = set.texts.iter().map(|(prompt, _)| prompt.clone()).collect();
        RelayLessons { sequences, soft, prompts }
    })
}

/// One party's labelled examples, in the tokens of the two models that are compared.
pub(crate) struct Labelled<'l> {
    /// The examples themselves.
    pub examples: Vec<&'l Example>,
    /// In the proxy's tokens.
    pub proxy: Vec<&'l Sequence>,
    /// In the receiver's tokens.
    pub receiver: Vec<&'l Sequence>,
}

/// Shared words over all words of two prompts below which they are about different things (chosen: prompts of one domain
/// share a third of their words or more, of two domains hardly more than the opening and an article).
const UNLIKE: f64 = 0.2;

/// The relay examples that pass the guard `dual-min-ce` (after FedMKT's DualMinCE, arXiv 2406.02224, on labelled
/// data): a prompt belongs to the domain of the nearest labelled prompt, and a domain passes where the proxy's mean
/// loss is below the receiver's. A prompt that is like none of the receiver's passes: about such a thing the receiver
/// knows nothing that the proxy could spoil. Losses are compared by answer, not by token, since tokenizers differ.
pub(crate) fn passing(
    lessons: &RelayLessons,
    labelled: &Labelled<'_>,
    proxy: (&LabModel, &[f32]),
    receiver: (&LabModel, &[f32]),
) -> Vec<u32> {
    let losses = |(model, values): (&LabModel, &[f32]), text: &[&Sequence]| -> Vec<f64> {
        let mean = answer_losses(&model.base, &[(&model.layout, values)], text);
        mean.iter().zip(text).map(|(loss, sequence)| loss * sequence.answer.len() as f64).collect()
    };
    let (of_proxy, of_receiver) = (losses(proxy, &labelled.proxy), losses(receiver, &labelled.receiver));
    let mut difference: BTreeMap<u16, f64> = BTreeMap::new();
    for ((example, p), r) in labelled.examples.iter().zip(&of_proxy).zip(&of_receiver) {
        *difference.entry(example.domain).or_default() += p - r;
    }
    let words = |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    let known: Vec<(u16, BTreeSet<String>)> =
        labelled.examples.iter().map(|example| (example.domain, words(&example.prompt))).collect();
    let nearest = |prompt: &str| {
        let own = words(prompt);
        let likeness = |other: &BTreeSet<String>| {
            let both = own.intersection(other).count();
            both as f64 / (own.len() + other.len() - both).max(1) as f64
        };
        // The first of the nearest, so that ties do not depend on anything but the order of the examples.
        known.iter().map(|(domain, words)| (likeness(words), domain)).fold(None, |best, next| match best {
            Some((most, _)) if most >= next.0 => best,
            _ => Some(next),
        })
    };
    (0..lessons.prompts.len() as u32)
        .filter(|i| {
            nearest(&lessons.prompts[*i as usize])
                .is_none_or(|(likeness, domain)| likeness < UNLIKE || difference[domain] < 0.0)
        })
        .collect()
}
