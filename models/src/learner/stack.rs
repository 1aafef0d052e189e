//! Several learners on one base that take their steps as one batch.
//!
//! Fleets are many small equal models: what differs between two devices is their adapters and their texts. Their sequences
//! are read below each other, the frozen products over all rows at once; each low-rank map is a stack `[members, inputs,
//! rank]` and `[members, rank, outputs]`, of which every member changes its own rows. Losses, clipping, moments and numbers
//! of steps are each learner's own, so nothing of one enters another.

use super::{Batch, Learner, answer_logits};
use crate::adapter::Entry;
use crate::decoder::{Attached, Decoder};
use crate::kernels::head::{self, Divergence, SoftTargets};
use burn::tensor::Tensor;

impl Learner<'_> {
    /// Whether this and `other` can take a step as one batch: low-rank maps of one shape on one base, and nothing else,
    /// without dropout.
    pub fn stacks_with(&self, other: &Self) -> bool {
        let plain = |learner: &Self| {
            learner.layout.is_low_rank() && learner.beside.is_empty() && learner.dropout.is_none()
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

        // The flat buffers are the rows of one matrix, `[members, values]`; a tensor of all members is a band of its columns.
        let n = members.len();
        let values = members.iter().map(|(learner, ..)| learner.flat.state.values.clone());
        let values = Tensor::cat(values.map(|values| values.reshape([1, layout.total()])).collect(), 0);
        let leaf = |entry: &Entry| {
            let [rows, columns] = entry.shape;
            let band = values.clone().narrow(1, entry.offset, entry.len());
            band.reshape([n * rows, columns]).autodiff().require_grad()
        };
        let leaves: Vec<Tensor<2>> = layout.entries().iter().map(leaf).collect();
        let names = layout.entries().iter().map(|entry| entry.name.clone());
        let tensors = names.zip(leaves.iter().cloned()).collect();
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
        let losses = head::losses(logits, lessons.collect());
        let mut gradients = losses.backward();
        let losses = losses.inner();

        let bands = leaves.into_iter().zip(layout.entries()).map(|(leaf, entry)| {
            let gradient = leaf.grad_remove(&mut gradients).expect("every map is on the way to the loss");
            gradient.reshape([n, entry.len()])
        });
        let gradients = Tensor::cat(bands.collect(), 1);
        for (i, (learner, batch, lr)) in members.iter_mut().enumerate() {
            learner.tokens += batch.computed_tokens();
            let gradient = gradients.clone().narrow(0, i, 1).reshape([layout.total()]);
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
    use crate::device::{Compute, DeviceChoice};
    use crate::kernels::check::places;
    use crate::learner::{Progress, Trained};
    use crate::optimizer::{AdamW, Rule, Sgd};
    use cotune_kernel::Stream;

    /// Devices whose texts, starts and numbers of steps differ. One is clipped in every step, and one never.
    const DEVICES: usize = 4;
    const CLIPPED: usize = 0;
    const FREE: usize = 1;
    /// One whose adapter is no number.
    const BROKEN: usize = 2;
    /// The step in which one has nothing to answer.
    const SILENT: (usize, usize) = (FREE, 1);

    /// Texts of a device: their lengths differ from device to device.
    fn batch(base: &Base, device: usize, step: usize) -> Batch {
        let mut stream = Stream::keyed(1, &format!("text/{device}/{step}"));
        let mut ids = |n: usize| -> Vec<u32> {
            (0..n).map(|_| stream.below(base.spec().vocab as u64) as u32).collect()
        };
        let answer = if (device, step) == SILENT { 0 } else { 5 + 2 * device };
        let text: Vec<Sequence> =
            (0..4).map(|i| Sequence { prompt: ids(3 + i), answer: ids(answer) }).collect();
        Batch::pack(&text.iter().collect::<Vec<_>>(), base.pad())
    }

    fn steps(device: usize) -> usize {
        3 + device
    }

    fn clip(device: usize) -> f64 {
        if device == FREE { f64::INFINITY } else { 0.05 * (1.0 + device as f64) }
    }

    fn adamw(device: usize) -> Rule {
        AdamW { clip: clip(device), ..AdamW::default() }.into()
    }

    /// An epsilon so large that a gradient which is nothing but rounding moves nothing.
    fn steady_adamw(device: usize) -> Rule {
        AdamW { epsilon: 1e-4, clip: clip(device), ..AdamW::default() }.into()
    }

    fn descent(device: usize) -> Rule {
        Sgd { momentum: 0.5, weight_decay: 0.0, clip: clip(device) }.into()
    }

    fn start(base: &Base, layout: &Layout, device: usize) -> Trained {
        let mut stream = Stream::keyed(device as u64, "start");
        let mut values = layout.init(&mut stream, |tensor| base.host_values(tensor));
        values.iter_mut().for_each(|value| *value += 0.05 * stream.normal() as f32);
        if device == BROKEN {
            values[7] = f32::NAN;
        }
        Trained { values, ..Trained::default() }
    }

    fn lora(base: &Base) -> Layout {
        let targets = vec![Target::Q, Target::V, Target::O, Target::Up, Target::Down];
        Layout::lora(base.spec(), &LoraSpec { rank: 4, alpha: 8.0, targets, modules_to_save: Vec::new() })
    }

    /// Learning rate of every step.
    const LR: f64 = 1e-2;

    fn alone(base: &Base, layout: &Layout, device: usize, rule: Rule) -> (Trained, Progress) {
        let mut learner = Learner::new(base, layout, &start(base, layout, device), rule);
        (0..steps(device)).for_each(|step| learner.tune(batch(base, device, step), LR));
        learner.finish()
    }

    fn stacked(base: &Base, layout: &Layout, rule: fn(usize) -> Rule) -> Vec<(Trained, Progress)> {
        let learner = |device| Learner::new(base, layout, &start(base, layout, device), rule(device));
        let mut learners: Vec<Learner<'_>> = (0..DEVICES).map(learner).collect();
        for step in 0..steps(DEVICES - 1) {
            let members = learners.iter_mut().enumerate().filter(|(device, _)| step < steps(*device));
            let members = members.map(|(device, learner)| (learner, batch(base, device, step), LR));
            Learner::tune_stacked(members.collect());
        }
        learners.into_iter().map(Learner::finish).collect()
    }

    /// Bits, so that what is no number is compared as well.
    fn bits(found: &[(Trained, Progress)]) -> Vec<Vec<u32>> {
        found
            .iter()
            .map(|(trained, _)| trained.values.iter().map(|value| value.to_bits()).collect())
            .collect()
    }

    /// What a device comes to in the stack and alone is at most `tolerance` apart.
    fn learns_the_same(
        what: &str,
        found: &(Trained, Progress),
        expected: &(Trained, Progress),
        tolerance: f32,
    ) {
        let ((together, also), (alone, progress)) = (found, expected);
        let apart = alone.values.iter().zip(&together.values).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < tolerance, "{what}: values are {apart} apart");
        assert_eq!(alone.moments.steps, together.moments.steps, "{what}");
        let counts = |of: &Progress| (of.steps, of.skipped, of.tokens);
        assert_eq!(counts(also), counts(progress), "{what}");
        let losses = (also.loss.unwrap(), progress.loss.unwrap());
        assert!((losses.0 - losses.1).abs() < f64::from(tolerance), "{what}: {losses:?}");
    }

    #[test]
    fn a_stack_learns_what_its_members_learn_alone() {
        for name in ["slm-llama-small", "slm-gpt2-small", "slm-bloom-small"] {
            let base = Base::zoo(name, &Compute::cpu()).unwrap();
            let layout = lora(&base);
            for rule in [adamw, descent] {
                let together = stacked(&base, &layout, rule);
                for device in (0..DEVICES).filter(|device| *device != BROKEN) {
                    let expected = alone(&base, &layout, device, rule(device));
                    learns_the_same(&format!("{name}, {device}"), &together[device], &expected, 1e-5);
                }
                assert_eq!(bits(&together), bits(&stacked(&base, &layout, rule)), "the same again");
            }
            let free = Sgd { momentum: 0.5, weight_decay: 0.0, clip: f64::INFINITY };
            let [clipped, free] =
                [descent(CLIPPED), free.into()].map(|rule| alone(&base, &layout, CLIPPED, rule));
            assert_ne!(bits(&[clipped]), bits(&[free]), "there is something to clip");
        }
    }

    #[test]
    fn a_member_whose_update_is_not_finite_keeps_what_it_had_and_harms_nobody() {
        let base = Base::zoo("slm-llama-small", &Compute::cpu()).unwrap();
        let layout = lora(&base);
        let together = stacked(&base, &layout, adamw);
        let (kept, progress) = &together[BROKEN];
        let steps = steps(BROKEN) as u64;
        assert_eq!((progress.steps, progress.skipped, progress.loss), (steps, steps, None));
        let had = (start(&base, &layout, BROKEN), Progress::default());
        assert_eq!(bits(&[(kept.clone(), progress.clone())]), bits(&[had]));
        let finite = |device: usize| together[device].0.values.iter().all(|value| value.is_finite());
        assert!((0..DEVICES).filter(|device| *device != BROKEN).all(finite));
    }

    /// A stack may add up in another order, and AdamW makes a whole step of the sign of a gradient that is nothing but
    /// rounding. With a large epsilon no value is further off than a twentieth of a step (chosen: by the gradient of another
    /// member it would be whole steps); with its own a few may be, but on average values are within a thousandth of one.
    #[test]
    fn a_stack_learns_on_webgpu_what_its_members_learn_there_alone() {
        if places().len() < 2 {
            return;
        }
        let base = Base::zoo("slm-llama-small", &Compute::open(DeviceChoice::Wgpu(0)).unwrap()).unwrap();
        let layout = lora(&base);
        let rules = [descent as fn(usize) -> Rule, steady_adamw];
        for (rule, tolerance) in rules.into_iter().zip([1e-5, LR as f32 / 20.0]) {
            let together = stacked(&base, &layout, rule);
            for device in [CLIPPED, FREE] {
                let expected = alone(&base, &layout, device, rule(device));
                let what = format!("device {device}, {:?}", rule(device));
                learns_the_same(&what, &together[device], &expected, tolerance);
            }
            assert_eq!(bits(&together), bits(&stacked(&base, &layout, rule)), "the same again");
        }
        let together = stacked(&base, &layout, adamw);
        for device in [CLIPPED, FREE] {
            let (expected, _) = alone(&base, &layout, device, adamw(device));
            let apart = expected.values.iter().zip(&together[device].0.values).map(|(a, b)| (a - b).abs());
            let mean = apart.map(f64::from).sum::<f64>() / expected.values.len() as f64;
            assert!(mean < LR / 1000.0, "device {device}: values are {mean} apart on average");
        }
    }

    #[test]
    fn learners_of_two_kinds_do_not_stack() {
        let base = Base::zoo("slm-llama-small", &Compute::cpu()).unwrap();
        let (narrow, full) = (lora(&base), Layout::full(base.spec()));
        let learner = |layout| Learner::new(&base, layout, &start(&base, layout, 0), adamw(0));
        assert!(learner(&narrow).stacks_with(&learner(&narrow)));
        assert!(!learner(&narrow).stacks_with(&learner(&full)));
        assert!(!learner(&full).stacks_with(&learner(&full)), "every device would need weights of its own");
        let dropping = learner(&narrow).with_dropout(0.1, 1, "path");
        assert!(!dropping.stacks_with(&learner(&narrow)));
    }
}
