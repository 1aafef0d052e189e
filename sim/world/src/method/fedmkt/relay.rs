//! A relay set for FedMKT (ours): generated prompts and answers join the public examples.
//!
//! FedMKT has no model that holds what everybody learned, so nobody labels for all: whoever is surest answers.
//!
//! ```text
//!   cloud → devices: prompts that the LLM's base samples;  the LLM's answers, its (loss, top-K logits) of them
//!   device k: learns from the LLM's answers;  answers the prompts itself
//!     device → cloud: the prompts, its answers, its (loss, top-K logits) of them
//!   cloud: of every prompt the answer of least loss;  learns from these
//! ```
//!
//! What nobody learns from yet does not travel (`relay.from_round`): the LLM's answers from the devices' first round on, the
//! devices' from the cloud's, and the prompts with the first of them.
//!
//! As on public examples (DualMinCE) an answer teaches only where its giver's loss is below the learner's own on it, and
//! with `guard = "confidence"` only where the giver is sure enough. Prompts and answers travel, padded to one length, and
//! so do logits for the longest answer: what is charged does not depend on what was learned.

use super::knowledge::{Listening, blank, heard, spoken};
use crate::lab::{Lab, LabModel};
use crate::method::RelayCounts;
use crate::method::relay::{SENT_PROMPT_BYTES, answers, digest_of};
use crate::method::training::{Batches, all, pick};
use crate::payload::{Part, Payload};
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::SoftTargets;
use cotune_models::knowledge::{Knowledge, knowledge};
use cotune_models::mutual::Extra;
use cotune_models::score::answer_losses;
use cotune_scenario::method::Relay;
use std::collections::BTreeMap;

/// Bytes charged for a token of an answer's text (chosen: the longest tokens of the zoo's vocabularies).
const SENT_TOKEN_BYTES: u32 = 8;

/// What a relay set is to be, and the logits K that are told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RelayTerms<'r> {
    pub relay: &'r Relay,
    pub top_k: u32,
}

/// One prompt with somebody's answer, and what that one knows of it.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub prompt: String,
    pub answer: String,
    pub known: Knowledge,
}

/// What a model with these values answers to prompts, as far as that can be sent.
pub(super) fn answered(
    lab: &Lab,
    model: &LabModel,
    values: &[f32],
    prompts: &[String],
    terms: RelayTerms<'_>,
) -> Vec<Answered> {
    let given = answers(lab, model, values, prompts, terms.relay.max_tokens);
    let texts = prompts.iter().zip(given).filter_map(|(prompt, answer)| Some((prompt.clone(), answer?)));
    known(lab, model, values, texts.collect(), terms)
}

/// What a model with these values knows of answers, as far as they can be sent. The same is asked for by every broadcast.
pub(super) fn known(
    lab: &Lab,
    model: &LabModel,
    values: &[f32],
    texts: Vec<(String, String)>,
    RelayTerms { relay, top_k }: RelayTerms<'_>,
) -> Vec<Answered> {
    let encoded: Vec<(String, String, Sequence)> = texts
        .into_iter()
        .filter(|(prompt, answer)| {
            padded(prompt, SENT_PROMPT_BYTES).is_some() && padded(answer, answer_bytes(relay)).is_some()
        })
        .filter_map(|(prompt, answer)| {
            let sequence = encode(model, &prompt, &answer)?;
            Some((prompt, answer, sequence)).filter(|(.., s)| s.answer.len() <= longest(relay))
        })
        .collect();
    let mut texts = blake3::Hasher::new();
    encoded.iter().for_each(|(prompt, answer, _)| {
        texts.update(format!("{prompt}\0{answer}\0").as_bytes());
    });
    let key = format!("{}/{}/{}", of(model), digest_of(values), texts.finalize());
    let known = lab.knowledge.get(&key, || {
        let sequences: Vec<&Sequence> = encoded.iter().map(|(.., sequence)| sequence).collect();
        knowledge(&model.base, &[(&model.layout, values)], &sequences, top_k as usize)
    });
    let one =
        |((prompt, answer, _), known): (_, &Knowledge)| Answered { prompt, answer, known: known.clone() };
    encoded.into_iter().zip(known.iter()).map(one).collect()
}

/// The prompts of answers as they travel, with room for as many as there are prompts.
pub(super) fn sent_prompts(answered: &[Answered], terms: RelayTerms<'_>) -> Part {
    texts(answered, |one| &one.prompt, SENT_PROMPT_BYTES, terms)
}

fn texts(
    answered: &[Answered],
    text: fn(&Answered) -> &str,
    bytes: u32,
    RelayTerms { relay, .. }: RelayTerms<'_>,
) -> Part {
    let written = answered.iter().filter_map(|one| padded(text(one), bytes));
    let texts = written.chain(std::iter::repeat(" ".repeat(bytes as usize)));
    Part::Prompts { texts: texts.take(relay.prompts as usize).collect(), padded: bytes }
}

/// Prompts with their answers, and what is known of these, as they travel.
pub(super) fn sent(model: &LabModel, answered: &[Answered], terms: RelayTerms<'_>) -> Vec<Part> {
    let RelayTerms { relay, top_k } = terms;
    let room = relay.prompts as usize;
    let mut known = blank(model, std::iter::repeat_n(longest(relay), room), top_k);
    for (place, one) in known.iter_mut().zip(answered) {
        place.loss = one.known.loss;
        place.ids[..one.known.ids.len()].copy_from_slice(&one.known.ids);
        place.logits[..one.known.logits.len()].copy_from_slice(&one.known.logits);
    }
    let mut parts =
        vec![sent_prompts(answered, terms), texts(answered, |one| &one.answer, answer_bytes(relay), terms)];
    parts.extend(spoken(&of(model), model, &known));
    parts
}

fn texts_of(payload: &Payload) -> impl Iterator<Item = &Vec<String>> {
    payload.parts.iter().filter_map(|part| match part {
        Part::Prompts { texts, .. } => Some(texts),
        _ => None,
    })
}

/// Reads the prompts that were sent of a relay set.
pub(super) fn received_prompts(payload: &Payload) -> Vec<String> {
    let texts = texts_of(payload).next().into_iter().flatten().map(|text| text.trim_end_matches(' '));
    texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Reads what was sent of a relay set by a model.
pub(super) fn received(payload: &Payload, model: &LabModel, terms: RelayTerms<'_>) -> Vec<Answered> {
    let RelayTerms { relay, top_k } = terms;
    let mut texts = texts_of(payload);
    let (Some(prompts), Some(answers)) = (texts.next(), texts.next()) else { return Vec::new() };
    let room = std::iter::repeat_n(longest(relay), prompts.len());
    let known = heard(payload, &of(model), model, room, top_k).unwrap_or_default();
    let k = (top_k as usize).min(model.base.spec().vocab);
    let one = |((prompt, answer), mut known): ((&String, &String), Knowledge)| {
        let (prompt, answer) = (prompt.trim_end_matches(' '), answer.trim_end_matches(' '));
        let tokens = encode(model, prompt, answer).filter(|_| !answer.is_empty())?.answer.len();
        // Of a longer one its sender cannot have told what it knows.
        if tokens > longest(relay) {
            return None;
        }
        known.ids.truncate(tokens * k);
        known.logits.truncate(tokens * k);
        Some(Answered { prompt: prompt.to_owned(), answer: answer.to_owned(), known })
    };
    prompts.iter().zip(answers).zip(known).filter_map(one).collect()
}

/// Relay examples for the steps of one learner.
pub(super) struct RelayExamples<'r> {
    relay: &'r Relay,
    sequences: Vec<Sequence>,
    soft: Vec<SoftTargets>,
    batches: Batches,
}

impl<'r> RelayExamples<'r> {
    /// Of every prompt the answer of least loss, the first's among equals, where it may teach a learner with these values.
    pub(super) fn new(
        listening: &Listening<'_>,
        values: &[f32],
        voices: &[(&LabModel, Vec<Answered>)],
        relay: &'r Relay,
        path: &str,
    ) -> Self {
        let mut best: BTreeMap<&str, (&LabModel, &Answered)> = BTreeMap::new();
        for (model, one) in voices.iter().flat_map(|(model, all)| all.iter().map(move |one| (*model, one))) {
            let known = best.entry(&one.prompt).or_insert((model, one));
            if one.known.loss < known.1.known.loss {
                *known = (model, one);
            }
        }
        let learner = listening.learner;
        let sure =
            |one: &Answered| relay.confidence.is_none_or(|c| libm::exp(-f64::from(one.known.loss)) >= c);
        let taught: Vec<(&LabModel, &Answered, Sequence)> = best
            .into_values()
            .filter(|(_, one)| sure(one))
            .filter_map(|(model, one)| Some((model, one, encode(learner, &one.prompt, &one.answer)?)))
            .collect();
        let read: Vec<&Sequence> = taught.iter().map(|(.., sequence)| sequence).collect();
        let own = answer_losses(&learner.base, &[(&learner.layout, values)], &read);
        let (mut sequences, mut soft) = (Vec::new(), Vec::new());
        for ((teacher, one, sequence), own) in taught.iter().zip(own) {
            let theirs = encode(teacher, &one.prompt, &one.answer);
            if let Some(theirs) = theirs.filter(|_| f64::from(one.known.loss) < own) {
                soft.push(listening.soften(teacher, &one.known, &theirs.answer, &sequence.answer));
                sequences.push(sequence.clone());
            }
        }
        let seed = listening.lab.scenario().seed;
        let batches = Batches::new(&all(&sequences), seed, &format!("{path}/relay"));
        Self { relay, sequences, soft, batches }
    }

    /// Prompts that were sampled, and those from which is learned.
    pub(super) fn counts(&self) -> RelayCounts {
        RelayCounts { sampled: self.relay.prompts, kept: self.sequences.len() as u32 }
    }

    /// The examples of the next step; none if nothing can be used.
    pub(super) fn next(&mut self) -> Option<Extra<'_>> {
        let chosen = self.batches.next(self.relay.batch);
        (!chosen.is_empty()).then(|| Extra {
            sequences: pick(&self.sequences, &chosen),
            soft: chosen.iter().map(|i| &self.soft[*i as usize]).collect(),
            ce: self.relay.ce,
            kl: self.relay.weight,
        })
    }
}

/// What relay answers of a model are called in a payload.
fn of(model: &LabModel) -> String {
    format!("{}/relay", model.name)
}

fn encode(model: &LabModel, prompt: &str, answer: &str) -> Option<Sequence> {
    Sequence::encode(model.base.tokenizer(), prompt, answer, model.base.spec().max_positions)
}

/// Tokens of the longest answer that travels, its end among them.
fn longest(relay: &Relay) -> usize {
    relay.max_tokens as usize + 1
}

fn answer_bytes(relay: &Relay) -> u32 {
    SENT_TOKEN_BYTES * relay.max_tokens
}

/// A text with spaces behind it up to `bytes`; none if it is longer, or would not be found again.
fn padded(text: &str, bytes: u32) -> Option<String> {
    let room = (bytes as usize).checked_sub(text.len())?;
    (!text.is_empty() && !text.ends_with(' ')).then(|| format!("{text}{}", " ".repeat(room)))
}

#[cfg(test)]
mod tests {
    use super::padded;

    #[test]
    fn padding_has_one_length_and_is_taken_off_again() {
        assert_eq!(padded(" red é", 10).as_deref(), Some(" red é   "));
        assert_eq!(padded(" red é", 10).map(|text| text.len()), Some(10));
        assert_eq!([padded("red", 2), padded("red ", 9), padded("", 9)], [None, None, None]);
    }
}
