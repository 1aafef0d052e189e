//! The guard `dual-min-ce`: relay examples of domains in which the proxy does better than the receiver on labelled
//! examples that were kept aside.

use super::nearest::Nearest;
use super::{RelayAsk, RelayLessons};
use crate::effect::Party;
use crate::lab::{Lab, LabModel};
use crate::method::training::pick;
use cotune_models::batch::Sequence;
use cotune_models::corpus::Example;
use cotune_models::score::answer_losses;
use cotune_scenario::method::{Guard, Relay};
use std::collections::BTreeMap;

/// One labelled example in this many is kept for the guard instead of being trained on (chosen): a model's loss on what
/// it was trained on says nothing.
pub(super) const GUARD_SHARE: usize = 6;

/// Of `n` labelled examples, those kept for the guard and those trained on; the former are spread evenly, since
/// examples are in the order of their domains. They are the same in every round.
pub(crate) fn held_for_guard(relay: Option<&Relay>, n: usize) -> (Vec<u32>, Vec<u32>) {
    let guarded = relay.is_some_and(|relay| relay.guard == Guard::DualMinCe);
    (0..n as u32).partition(|i| guarded && (*i as usize).is_multiple_of(GUARD_SHARE))
}

/// One party's labelled examples, in the tokens of the two models that are compared.
pub(super) struct Labelled<'l> {
    /// The examples themselves.
    pub examples: Vec<&'l Example>,
    /// In the proxy's tokens.
    pub proxy: Vec<&'l Sequence>,
    /// In the receiver's tokens.
    pub receiver: Vec<&'l Sequence>,
}

impl<'l> Labelled<'l> {
    /// What a party keeps for the guard.
    pub(super) fn new(lab: &'l Lab, relay: &Relay, ask: &RelayAsk<'l>) -> Self {
        let (examples, text): (_, fn(&LabModel) -> &[Sequence]) = match ask.party {
            Party::Cloud => (lab.public(), |model| &model.text.public),
            Party::Device(_) => (lab.private(), |model| &model.text.private),
        };
        let held: Vec<u32> = match ask.party {
            Party::Cloud => held_for_guard(Some(relay), examples.len()).0,
            Party::Device(device) => {
                let mine = lab.examples_of(device);
                held_for_guard(Some(relay), mine.len()).0.iter().map(|i| mine[*i as usize]).collect()
            }
        };
        Self {
            examples: held.iter().map(|i| &examples[*i as usize]).collect(),
            proxy: pick(text(ask.proxy), &held),
            receiver: pick(text(ask.student), &held),
        }
    }
}

/// The relay examples that pass the guard `dual-min-ce` (after FedMKT's DualMinCE, arXiv 2406.02224, on labelled
/// data): a prompt belongs to the domain of the nearest labelled prompt, and a domain passes where the proxy's mean
/// loss is below the receiver's. A prompt that is like none of the receiver's passes: about such a thing the receiver
/// knows nothing that the proxy could spoil. Losses are compared by answer, not by token, since tokenizers differ.
pub(super) fn passing(
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
    let nearest = Nearest::of(labelled.examples.iter().copied());
    let passes = |prompt: &str| nearest.domain(prompt).is_none_or(|domain| difference[&domain] < 0.0);
    (0..lessons.prompts.len() as u32).filter(|i| passes(&lessons.prompts[*i as usize])).collect()
}
