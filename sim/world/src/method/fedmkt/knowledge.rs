//! What parties of FedMKT tell each other about answers that all of them read, and whom a learner listens to.

use crate::lab::{Lab, LabModel};
use crate::method::relay::digest_of;
use crate::payload::{Part, Payload, Tokens};
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::SoftTargets;
use cotune_models::knowledge::{Knowledge, knowledge};
use cotune_scenario::method::Selection;
use std::sync::Arc;

/// S: what a model with these values knows of D_p. The same is asked for by whoever sends and by whoever learns next.
pub(super) fn known_of_public(
    lab: &Lab,
    model: &LabModel,
    values: &[f32],
    top_k: u32,
) -> Arc<Vec<Knowledge>> {
    lab.knowledge.get(&format!("{}/{}", model.name, digest_of(values)), || {
        let text: Vec<&Sequence> = model.text.public.iter().collect();
        knowledge(&model.base, &[(&model.layout, values)], &text, top_k as usize)
    })
}

/// What is known of some answers, as it travels; `of` says whose it is and of what.
pub(super) fn spoken(of: &str, model: &LabModel, known: &[Knowledge]) -> Vec<Part> {
    let ids: Vec<u32> = known.iter().flat_map(|one| one.ids.iter().copied()).collect();
    let of = || of.to_owned();
    vec![
        Part::Losses { of: of(), values: known.iter().map(|one| one.loss).collect() },
        Part::Logits { of: of(), values: known.iter().flat_map(|one| one.logits.iter().copied()).collect() },
        Part::Indices { of: of(), tokens: Tokens::of(&ids, model.base.spec().vocab) },
    ]
}

/// Nothing known of answers of so many tokens: what is sent has its size.
pub(super) fn blank(model: &LabModel, tokens: impl Iterator<Item = usize>, top_k: u32) -> Vec<Knowledge> {
    let k = (top_k as usize).min(model.base.spec().vocab);
    tokens.map(|n| Knowledge { loss: 0.0, ids: vec![0; n * k], logits: vec![0.0; n * k] }).collect()
}

/// Reads what was sent of answers that take so many tokens each; nothing if the payload does not speak of them.
pub(super) fn heard(
    payload: &Payload,
    of: &str,
    model: &LabModel,
    tokens: impl Iterator<Item = usize>,
    top_k: u32,
) -> Option<Vec<Knowledge>> {
    let (mut losses, mut logits, mut ids) = (None, None, None);
    for part in &payload.parts {
        match part {
            Part::Losses { of: whose, values } if whose == of => losses = Some(values),
            Part::Logits { of: whose, values } if whose == of => logits = Some(values),
            Part::Indices { of: whose, tokens } if whose == of => ids = Some(tokens.ids()),
            _ => {}
        }
    }
    let (losses, logits, ids) = (losses?, logits?, ids?);
    let k = (top_k as usize).min(model.base.spec().vocab);
    let mut at = 0;
    let one = |(n, loss): (usize, &f32)| {
        let span = at..at + n * k;
        at = span.end;
        falling(Knowledge { loss: *loss, ids: ids[span.clone()].to_vec(), logits: logits[span].to_vec() }, k)
    };
    Some(tokens.zip(losses).map(one).collect())
}

/// The same with the k logits of every token in falling order, as models tell them and as soft targets are made of them: out
/// of it they would be none, whoever sent them.
fn falling(mut known: Knowledge, k: usize) -> Knowledge {
    for (ids, logits) in known.ids.chunks_mut(k.max(1)).zip(known.logits.chunks_mut(k.max(1))) {
        if logits.is_sorted_by(|a, b| a >= b) {
            continue;
        }
        let mut row: Vec<(u32, f32)> = ids.iter().copied().zip(logits.iter().copied()).collect();
        row.sort_by(|a, b| b.1.total_cmp(&a.1)); // stable: equal ones stay in the order they came in
        for ((id, logit), (sent_id, sent_logit)) in ids.iter_mut().zip(logits).zip(row) {
            (*id, *logit) = (sent_id, sent_logit);
        }
    }
    known
}

/// What one party says of the public examples.
pub(super) struct Voice<'a> {
    /// The model that speaks.
    pub model: &'a LabModel,
    /// Of every example, in their order.
    pub known: &'a [Knowledge],
}

/// Whom a learner listens to, and how.
pub(super) struct Listening<'a> {
    pub lab: &'a Lab,
    pub learner: &'a LabModel,
    pub selection: Selection,
    pub top_k: u32,
    pub temperature: f64,
}

impl Listening<'_> {
    /// DualMinCE (equation 6 and algorithm 2 of the paper): for every public example the soft targets of the party with the
    /// least loss, and none where the learner's own is not above it. Under `fate` the learner is one of the parties.
    /// Of equal losses the learner's own counts as the least, then the first voice's.
    pub(super) fn selected(&self, own: &[Knowledge], voices: &[Voice<'_>]) -> Vec<SoftTargets> {
        (0..own.len())
            .map(|i| {
                let loss = |voice: &&Voice<'_>| voice.known[i].loss;
                let best = voices.iter().min_by(|a, b| loss(a).total_cmp(&loss(b)));
                match best.filter(|best| loss(best) < own[i].loss) {
                    Some(best) => self.softened(best, i),
                    None if self.selection == Selection::Fate => {
                        self.softened(&Voice { model: self.learner, known: own }, i)
                    }
                    None => SoftTargets::default(),
                }
            })
            .collect()
    }

    /// A voice's logits about one example as soft targets in the learner's tokens.
    fn softened(&self, voice: &Voice<'_>, i: usize) -> SoftTargets {
        let answer = |model: &LabModel| model.text.public[i].answer.clone();
        self.soften(voice.model, &voice.known[i], &answer(voice.model), &answer(self.learner))
    }

    /// The same of any answer, in the tokens of both.
    pub(super) fn soften(
        &self,
        teacher: &LabModel,
        known: &Knowledge,
        theirs: &[u32],
        own: &[u32],
    ) -> SoftTargets {
        let aligner = self.lab.aligner(&teacher.name, &self.learner.name);
        known.soften(theirs, own, &aligner, (self.top_k as usize, self.temperature))
    }
}

/// Tokens of every public answer.
pub(super) fn public_tokens(model: &LabModel) -> impl Iterator<Item = usize> + '_ {
    model.text.public.iter().map(|sequence| sequence.answer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_heard_in_falling_order_and_those_that_fall_as_they_are() {
        let told =
            |ids: &[u32], logits: &[f32]| Knowledge { loss: 1.0, ids: ids.to_vec(), logits: logits.to_vec() };
        let sorted = told(&[4, 2, 9, 1, 3, 5], &[7.0, 7.0, -1.0, 0.0, 0.0, 0.0]);
        assert_eq!(falling(sorted.clone(), 3), sorted);
        let turned = told(&[4, 2, 9, 1, 3, 5], &[-7.0, 2.0, 9000.0, 0.0, 0.0, 1.0]);
        assert_eq!(falling(turned, 3), told(&[9, 2, 4, 5, 1, 3], &[9000.0, 2.0, -7.0, 1.0, 0.0, 0.0]));
        assert_eq!(falling(told(&[], &[]), 0), told(&[], &[]));
    }
}
