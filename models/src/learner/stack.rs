//! Several learners on one base that take their steps as one batch.
//!
//! Fleets are many small equal models: what differs between two devices is their adapters and their texts. Their sequences
//! are read below each other, the frozen products over all rows at once; each low-rank map is a stack `[members, inputs,
//! rank]` and `[members, rank, outputs]`, of which every member changes its own rows. Losses, clipping, moments and numbers
//! of steps are each learner's own, so nothing of one enters another.

use super::{Batch, Learner, answer_logits, views};
use crate::decoder::{Attached, Decoder};
use crate::kernels::head::{self, Divergence, SoftTargets};
use burn::tensor::Tensor;
use std::collections::BTreeMap;

impl Learner<'_> {
    /// Whether this and `other` can take a step as one batch: low-rank maps of one shape on one base, and nothing else,
    /// without dropout.
    pub fn stacks_with(&self, other: &Self) -> bool {
        let plain = |learner: &Self| {
            let maps = 2 * learner.layout.maps().count() == learner.layout.entries().len();
            maps && learner.layout.fixed().is_empty()
                && learner.beside.is_empty()
                && learner.dropout.is_none()
        };
        std::ptr::eq(self.base, other.base) && self.layout == other.layout && plain(self) && plain(other)
    }

    /// One step of cross-entropy of every learner on the answers of its own batch: what [`Learner::tune`] does to each, at
    /// once. A learner whose batch has no answer token takes none.
    ///
    /// # Panics
    /// Two learners do not stack, there is not a batch for each, or the batches differ in their number of sequences.
    pub fn tune_stacked(members: Vec<(&mut Self, Batch, f64)>) {
        let mut members: Vec<(&mut Self, Batch, f64)> =
            members.into_iter().filter(|(_, batch, _)| !batch.rows.is_empty()).collect();
        let Some((first, ..)) = members.first() else { return };
        assert!(members.iter().all(|(learner, ..)| first.stacks_with(learner)), "learners of one kind");
        let (base, layout) = (first.base, first.layout);
        let device = base.compute().device();

        let own: Vec<BTreeMap<String, Tensor<2>>> =
            members.iter().map(|(learner, ..)| views(layout, &learner.flat.state.values)).collect();
        let stacked = |name: &String| {
            let tensors = own.iter().map(|tensors| tensors[name].clone()).collect();
            Tensor::cat(tensors, 0).autodiff().require_grad()
        };
        let leaves: Vec<(String, Tensor<2>)> =
            layout.entries().iter().map(|entry| (entry.name.clone(), stacked(&entry.name))).collect();
        let tensors = leaves.iter().cloned().collect();
        let attached = Attached { layout, tensors, dropout: None };
        let decoder = Decoder::assemble(base.spec(), &base.tables, &base.weights, &[attached]);

        let batches: Vec<Batch> = members.iter().map(|(_, batch, _)| batch.clone()).collect();
        let logits = answer_logits(&decoder, &Batch::stacked(&batches), base.compute());
        let lessons = batches.iter().map(|batch| head::Lesson {
            weights: vec![1.0 / batch.rows.len() as f32; batch.rows.len()],
            targets: batch.targets.clone(),
            soft: SoftTargets::default(),
            kind: Divergence::Forward,
            temperature: 1.0,
        });
        let losses = head::losses(logits, lessons.collect(), device);
        let mut gradients = losses.backward();
        let losses = losses.inner();

        let gradients: Vec<Tensor<2>> = leaves
            .into_iter()
            .map(|(_, leaf)| leaf.grad_remove(&mut gradients).expect("every map is on the way to the loss"))
            .collect();
        for (i, (learner, batch, lr)) in members.iter_mut().enumerate() {
            learner.tokens += batch.computed_tokens();
            let parts = layout.entries().iter().zip(&gradients).map(|(entry, gradient)| {
                gradient.clone().narrow(0, i * entry.shape[0], entry.shape[0]).reshape([entry.len()])
            });
            let gradient = Tensor::cat(parts.collect(), 0);
            learner.step(losses.clone().narrow(0, i, 1), gradient, *lr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Layout, LoraSpec, Target};
    use crate::base::Base;
    use crate::batch::Sequence;
    use crate::device::Compute;
    use crate::learner::{Progress, Trained};
    use crate::optimizer::AdamW;
    use cotune_kernel::Stream;

    const DEVICES: usize = 3;

    /// Texts of a device: their lengths differ from device to device.
    fn batch(base: &Base, device: usize, step: usize) -> Batch {
        let mut stream = Stream::keyed(1, &format!("text/{device}/{step}"));
        let mut ids = |n: usize| -> Vec<u32> {
            (0..n).map(|_| stream.below(base.spec().vocab as u64) as u32).collect()
        };
        let text: Vec<Sequence> =
            (0..4).map(|i| Sequence { prompt: ids(3 + i), answer: ids(5 + 2 * device) }).collect();
        Batch::pack(&text.iter().collect::<Vec<_>>(), base.pad())
    }

    /// The device's steps, and how it learns: it begins where nobody else does, and clips earlier.
    fn steps(device: usize) -> usize {
        3 + device
    }

    fn rule(device: usize) -> AdamW {
        AdamW { clip: 0.05 * (1.0 + device as f64), ..AdamW::default() }
    }

    fn start(base: &Base, layout: &Layout, device: usize) -> Trained {
        let mut stream = Stream::keyed(device as u64, "start");
        let mut values = layout.init(&mut stream, |tensor| base.host_values(tensor));
        values.iter_mut().for_each(|value| *value += 0.05 * stream.normal() as f32);
        Trained { values, ..Trained::default() }
    }

    fn lora(base: &Base) -> Layout {
        let targets = vec![Target::Q, Target::V, Target::O, Target::Up, Target::Down];
        Layout::lora(base.spec(), &LoraSpec { rank: 4, alpha: 8.0, targets, modules_to_save: Vec::new() })
    }

    fn learners<'l>(base: &'l Base, layout: &'l Layout) -> Vec<Learner<'l>> {
        let learner = |device| Learner::new(base, layout, &start(base, layout, device), rule(device));
        (0..DEVICES).map(learner).collect()
    }

    fn separately(base: &Base, layout: &Layout) -> Vec<(Trained, Progress)> {
        let trained = learners(base, layout).into_iter().enumerate().map(|(device, mut learner)| {
            (0..steps(device)).for_each(|step| learner.tune(batch(base, device, step), 1e-2));
            learner.finish()
        });
        trained.collect()
    }

    fn stacked(base: &Base, layout: &Layout) -> Vec<(Trained, Progress)> {
        let mut learners = learners(base, layout);
        for step in 0..steps(DEVICES - 1) {
            let members = learners.iter_mut().enumerate().filter(|(device, _)| step < steps(*device));
            let members = members.map(|(device, learner)| (learner, batch(base, device, step), 1e-2));
            Learner::tune_stacked(members.collect());
        }
        learners.into_iter().map(Learner::finish).collect()
    }

    /// Devices with texts of their own lengths, starts, clipping and numbers of steps; some are done while others go on.
    #[test]
    fn a_stack_learns_what_its_members_learn_alone() {
        for name in ["slm-llama-small", "slm-gpt2-small", "slm-bloom-small"] {
            let base = Base::zoo(name, &Compute::cpu()).unwrap();
            let layout = lora(&base);
            let (alone, together) = (separately(&base, &layout), stacked(&base, &layout));
            for ((alone, progress), (together, also)) in alone.iter().zip(&together) {
                let pairs = alone.values.iter().zip(&together.values);
                let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-5, "{name}: values are {apart} apart");
                assert_eq!(alone.moments.steps, together.moments.steps);
                assert_eq!((progress.steps, progress.tokens), (also.steps, also.tokens));
                assert!((progress.loss.unwrap() - also.loss.unwrap()).abs() < 1e-5);
            }
            assert_eq!(together, stacked(&base, &layout), "the same again");
        }
    }

    #[test]
    fn learners_of_two_kinds_do_not_stack() {
        let base = Base::zoo("slm-llama-small", &Compute::cpu()).unwrap();
        let (narrow, full) = (lora(&base), Layout::full(base.spec()));
        let learner = |layout| Learner::new(&base, layout, &start(&base, layout, 0), rule(0));
        assert!(learner(&narrow).stacks_with(&learner(&narrow)));
        assert!(!learner(&narrow).stacks_with(&learner(&full)));
        assert!(!learner(&full).stacks_with(&learner(&full)), "every device would need weights of its own");
        let dropping = learner(&narrow).with_dropout(0.1, 1, "path");
        assert!(!dropping.stacks_with(&learner(&narrow)));
    }
}
