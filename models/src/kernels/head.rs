//! The loss on rows of logits: cross-entropy and the divergence from a teacher's largest entries.

mod fused;

use burn::tensor::Tensor;
#[cfg(test)]
use burn::tensor::{Device, Int, TensorData, activation::log_softmax};
#[cfg(feature = "wgpu")]
pub(crate) use fused::{HeadGradient, HeadOps};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which divergence pulls the student to the teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// KL(teacher ‖ student): the student covers what the teacher finds likely.
    Forward,
    /// KL(student ‖ teacher) over the kept entries, the student renormalised there.
    Reverse,
    /// Jensen-Shannon over the kept entries, the student renormalised there.
    Jsd,
}

/// Teacher probabilities for some rows of the student's logits, already on the student's vocabulary.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SoftTargets {
    /// Row of the student's logits, one entry a target.
    pub rows: Vec<u32>,
    /// Token ids, `[targets, k]`; the unused tail of a target has probability 0.
    pub ids: Vec<u32>,
    /// Probabilities, `[targets, k]`; a target sums to 1, or to 1 − its rest.
    pub probabilities: Vec<f32>,
    /// Probability outside the kept entries, one a target; all 0 when the rest is not a bucket of its own.
    pub rest: Vec<f32>,
    /// Share of each target in the loss.
    pub weights: Vec<f32>,
    /// Entries a target.
    pub k: usize,
    /// Whether the rest is a bucket of its own.
    pub with_rest: bool,
}

impl SoftTargets {
    /// Whether there is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends `other`'s targets, its rows moved by `row_offset` and its weights multiplied by `weight`.
    ///
    /// # Panics
    /// The two differ in `k` or in `with_rest`.
    pub fn append(&mut self, other: &Self, row_offset: u32, weight: f32) {
        if self.is_empty() {
            (self.k, self.with_rest) = (other.k, other.with_rest);
        }
        assert!(other.is_empty() || (self.k, self.with_rest) == (other.k, other.with_rest));
        self.rows.extend(other.rows.iter().map(|row| row + row_offset));
        self.ids.extend(&other.ids);
        self.probabilities.extend(&other.probabilities);
        self.rest.extend(&other.rest);
        self.weights.extend(other.weights.iter().map(|w| w * weight));
    }

    /// The targets of some of the rows, which are counted from the first of them.
    pub(crate) fn of_rows(&self, rows: Range<usize>) -> Self {
        let mut own = Self { k: self.k, with_rest: self.with_rest, ..Self::default() };
        for (n, row) in self.rows.iter().enumerate() {
            if rows.contains(&(*row as usize)) {
                let entries = n * self.k..(n + 1) * self.k;
                own.rows.push(row - rows.start as u32);
                own.ids.extend(&self.ids[entries.clone()]);
                own.probabilities.extend(&self.probabilities[entries]);
                own.rest.push(self.rest[n]);
                own.weights.push(self.weights[n]);
            }
        }
        own
    }
}

/// What the rows of some logits should say.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// The token that each row should predict.
    pub targets: Vec<u32>,
    /// Weight of each row in the cross-entropy; a mean has `1/rows` everywhere.
    pub weights: Vec<f32>,
    /// What a teacher thinks of some of the rows.
    pub soft: SoftTargets,
    /// Which divergence pulls to the teacher.
    pub kind: Divergence,
    /// Temperature τ of teacher and student.
    pub temperature: f64,
}

impl Lesson {
    /// Several lessons as one, their rows below each other; it teaches in the first one's way.
    #[cfg(feature = "wgpu")]
    pub(crate) fn joined(lessons: &[Self]) -> Self {
        let mut all = lessons[0].clone();
        for lesson in &lessons[1..] {
            all.soft.append(&lesson.soft, all.targets.len() as u32, 1.0);
            all.targets.extend(&lesson.targets);
            all.weights.extend(&lesson.weights);
        }
        all
    }
}

/// The weighted cross-entropy and the divergence of a lesson on `logits`, `[rows, vocab]`; a scalar.
pub(crate) fn loss(logits: Tensor<2>, lesson: Lesson) -> Tensor<1> {
    losses(logits, vec![lesson])
}

/// The same of several lessons, whose rows stand below each other: `[rows of all, vocab] -> [lessons]`.
///
/// # Panics
/// The lessons differ in divergence or temperature.
pub(crate) fn losses(logits: Tensor<2>, lessons: Vec<Lesson>) -> Tensor<1> {
    let how = |lesson: &Lesson| (lesson.kind, lesson.temperature);
    assert!(lessons.iter().all(|lesson| how(lesson) == how(&lessons[0])), "lessons that teach in one way");
    fused::losses(logits, lessons.into())
}

#[cfg(test)]
fn reference(logits: Tensor<2>, lesson: &Lesson, device: &Device) -> Tensor<1> {
    let entropy = cross_entropy(logits.clone(), &lesson.targets, &lesson.weights, device);
    match lesson.soft.is_empty() {
        true => entropy,
        false => entropy + divergence(logits, &lesson.soft, lesson.kind, lesson.temperature, device),
    }
}

/// `Σ_r weight_r · (−log p_r(target_r))` over rows of `logits [rows, vocab]`; a scalar.
#[cfg(test)]
fn cross_entropy(logits: Tensor<2>, targets: &[u32], weights: &[f32], device: &Device) -> Tensor<1> {
    let rows = targets.len();
    let picked = log_softmax(logits, 1).gather(1, ints(targets, device).reshape([rows, 1]));
    (picked.reshape([rows]) * floats(weights, [rows], device)).sum().neg()
}

/// `Σ_n weight_n · τ² · D(teacher_n ‖ student_n)` where the student is `softmax(logits / τ)`; a scalar.
///
/// Pooling: without a rest bucket, forward KL is `Σ_k p_k (log p_k − z_k/τ + lse)` with the student
/// normalised over its whole vocabulary; with one, there are K+1 buckets.
#[cfg(test)]
fn divergence(
    logits: Tensor<2>,
    soft: &SoftTargets,
    kind: Divergence,
    temperature: f64,
    device: &Device,
) -> Tensor<1> {
    let (n, k) = (soft.rows.len(), soft.k);
    let student = log_softmax(logits.select(0, ints(&soft.rows, device)).div_scalar(temperature), 1);
    let mut student = student.gather(1, ints(&soft.ids, device).reshape([n, k]));
    let mut teacher = soft.probabilities.clone();
    let mut width = k;
    if soft.with_rest {
        let used: Vec<f32> = soft.probabilities.iter().map(|p| f32::from(u8::from(*p > 0.0))).collect();
        let kept = (student.clone().exp() * floats(&used, [n, k], device)).sum_dim(1);
        let rest = kept.neg().add_scalar(1.0).clamp_min(1e-8).log();
        student = Tensor::cat(vec![student, rest], 1);
        width = k + 1;
        teacher = (0..n)
            .flat_map(|i| {
                soft.probabilities[i * k..(i + 1) * k].iter().copied().chain([soft.rest[i].max(1e-8)])
            })
            .collect();
    }
    let weights: Vec<f32> = soft.weights.iter().map(|w| w * (temperature * temperature) as f32).collect();
    let per_row = match kind {
        Divergence::Forward => {
            let entropy: Vec<f32> = rows_of(&teacher, width, |p| p * p.ln());
            let cross = (floats(&teacher, [n, width], device) * student).sum_dim(1);
            floats(&entropy, [n, 1], device) - cross
        }
        Divergence::Reverse | Divergence::Jsd => {
            // Unused entries get a score so low that the renormalised student puts nothing there.
            let mask: Vec<f32> = teacher.iter().map(|p| if *p > 0.0 { 0.0 } else { -1e9 }).collect();
            let log_q = log_softmax(student + floats(&mask, [n, width], device), 1);
            let q = log_q.clone().exp();
            let log_teacher: Vec<f32> = teacher.iter().map(|p| p.max(1e-8).ln()).collect();
            let log_p = floats(&log_teacher, [n, width], device);
            if kind == Divergence::Reverse {
                (q * (log_q - log_p)).sum_dim(1)
            } else {
                let p = floats(&teacher, [n, width], device);
                let log_m = (p.clone() + q.clone()).mul_scalar(0.5).clamp_min(1e-8).log();
                let log_q = log_q.clamp_min(-30.0);
                ((p * (log_p - log_m.clone())).sum_dim(1) + (q * (log_q - log_m)).sum_dim(1)).mul_scalar(0.5)
            }
        }
    };
    (per_row * floats(&weights, [n, 1], device)).sum()
}

/// `Σ f(p)` over the positive entries of each row.
#[cfg(test)]
fn rows_of(values: &[f32], width: usize, f: impl Fn(f32) -> f32) -> Vec<f32> {
    values.chunks(width).map(|row| row.iter().filter(|p| **p > 0.0).map(|p| f(*p)).sum()).collect()
}

#[cfg(test)]
fn ints(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|v| *v as i32).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

#[cfg(test)]
fn floats<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, by_chance, drawn};
    use crate::learner::host;
    use cotune_kernel::Stream;

    /// With every divergence, with and without a rest bucket, at two temperatures, for several vocabularies; two targets
    /// may want the same row.
    #[test]
    fn the_fused_loss_is_the_reference_forward_and_backward() {
        let device = Device::flex();
        for (vocab, kind) in [
            (5, Divergence::Forward),
            (16, Divergence::Reverse),
            (33, Divergence::Jsd),
            (70, Divergence::Forward),
            (7, Divergence::Jsd),
        ] {
            for (with_rest, temperature) in [(false, 1.0), (true, 1.0), (false, 2.5), (true, 2.5)] {
                let mut soft = soft(with_rest);
                soft.ids = vec![1, 4, 0, 3, 0, 3];
                let again = soft.clone();
                soft.append(&again, 0, 0.5);
                let lesson =
                    Lesson { targets: vec![3, 0, 4], weights: vec![0.5, 0.0, 0.3], soft, kind, temperature };
                let logits = drawn("logits", [3, vocab], 2.0);
                agree(
                    std::array::from_ref(&logits),
                    |[z]| loss(z, lesson.clone()),
                    |[z]| reference(z, &lesson, &device),
                );
                let only_answers = Lesson { soft: SoftTargets::default(), ..lesson.clone() };
                agree(
                    &[logits],
                    |[z]| loss(z, only_answers.clone()),
                    |[z]| reference(z, &only_answers, &device),
                );
            }
        }
    }

    /// Vocabularies that the threads of a workgroup go through more than once, more rows than a block has, and rows that are
    /// longer than a block.
    #[test]
    fn the_fused_loss_is_the_reference_on_long_rows_and_over_several_blocks() {
        let kinds = [Divergence::Forward, Divergence::Reverse, Divergence::Jsd].into_iter().cycle();
        let chance = by_chance("head", [80, 1000]).map(|[rows, more]| [rows, 200 + more]);
        let shapes = [[1, 1000], [70, 1000], [3, 40_000]].into_iter().chain(chance);
        for ([rows, vocab], kind) in shapes.zip(kinds) {
            for (with_rest, temperature) in [(false, 1.0), (true, 2.5)] {
                let lesson = Lesson { kind, temperature, ..lesson_on([rows, vocab], K, with_rest) };
                agree(
                    &[drawn("logits", [rows, vocab], 2.0)],
                    |[z]| loss(z, lesson.clone()),
                    |[z]| reference(z, &lesson, &Device::flex()),
                );
            }
        }
    }

    /// One entry, as many as a register holds, and more than a workgroup has threads, each also as the whole vocabulary:
    /// there the rest is no bucket, since 1 less the sum of the probabilities is little but rounding.
    #[test]
    fn the_fused_loss_is_the_reference_for_one_entry_and_for_many() {
        for (k, shape) in
            [(1, [3, 1]), (1, [3, 33]), (16, [2, 16]), (16, [3, 70]), (300, [2, 300]), (300, [3, 1000])]
        {
            for kind in [Divergence::Forward, Divergence::Reverse, Divergence::Jsd] {
                for (with_rest, temperature) in [(false, 1.0), (k < shape[1], 2.5)] {
                    let lesson = Lesson { kind, temperature, ..lesson_on(shape, k, with_rest) };
                    agree(
                        &[drawn("logits", shape, 2.0)],
                        |[z]| loss(z, lesson.clone()),
                        |[z]| reference(z, &lesson, &Device::flex()),
                    );
                }
            }
        }
    }

    /// Answers anywhere in the vocabulary, and soft targets of `k` entries on some rows, in no order, the last row among
    /// them.
    fn lesson_on([rows, vocab]: [usize; 2], k: usize, with_rest: bool) -> Lesson {
        let mut stream = Stream::keyed(1, &format!("lesson/{rows}/{vocab}"));
        let mut below = |n: usize| stream.below(n as u64) as u32;
        let targets = (0..rows).map(|_| below(vocab)).collect();
        let soft_rows: Vec<u32> =
            [rows as u32 - 1].into_iter().chain((1..rows).map(|_| below(rows))).collect();
        let n = soft_rows.len();
        // Different tokens, over the whole vocabulary; of several entries the last is not used.
        let ids = (0..n).flat_map(|_| {
            let first = below(vocab) as usize;
            (0..k).map(move |i| ((first + i * (vocab / k)) % vocab) as u32)
        });
        let used = (k - 1).max(1);
        let shares: Vec<f32> = (0..k).map(|i| if i < used { (1 + i % 5) as f32 } else { 0.0 }).collect();
        let sum: f32 = shares.iter().sum();
        let scale: f32 = if with_rest { 0.8 } else { 1.0 };
        let probabilities: Vec<f32> = shares.iter().map(|share| share * scale / sum).collect();
        let soft = SoftTargets {
            rows: soft_rows,
            ids: ids.collect(),
            probabilities: probabilities.repeat(n),
            rest: vec![1.0 - scale; n],
            weights: vec![0.5 / n as f32; n],
            k,
            with_rest,
        };
        let weights = vec![1.0 / rows as f32; rows];
        Lesson { targets, weights, soft, kind: Divergence::Forward, temperature: 1.0 }
    }

    /// The second of two lessons on one matrix has soft targets; each loss and its gradient are those of the lesson alone,
    /// also where the losses count differently.
    #[test]
    fn the_losses_of_several_lessons_are_those_of_each() {
        let device = Device::flex();
        let lesson = |targets: Vec<u32>, soft| Lesson {
            weights: vec![0.4; targets.len()],
            targets,
            soft,
            kind: Divergence::Forward,
            temperature: 2.0,
        };
        let lessons = vec![lesson(vec![3, 1], SoftTargets::default()), lesson(vec![0, 6, 2], soft(false))];
        let shares = floats(&[1.0, 0.25], [2], &device);
        agree(
            &[drawn("logits", [5, VOCAB], 2.0)],
            |[z]| {
                let shares = shares.clone().to_device(&z.device().inner());
                losses(z, lessons.clone()) * shares
            },
            |[z]| {
                let each = [(0, 2), (2, 3)].into_iter().zip(&lessons);
                let each = each
                    .map(|((first, n), lesson)| reference(z.clone().narrow(0, first, n), lesson, &device));
                Tensor::cat(each.collect(), 0) * shares.clone()
            },
        );
    }

    const VOCAB: usize = 7;
    const K: usize = 3;

    /// Two targets on the rows 2 and 0 of three; the second uses only two of its three entries.
    fn soft(with_rest: bool) -> SoftTargets {
        let scale = if with_rest { 0.8 } else { 1.0 };
        SoftTargets {
            rows: vec![2, 0],
            ids: vec![1, 4, 6, 3, 0, 3],
            probabilities: [0.5, 0.3, 0.2, 0.9, 0.1, 0.0].map(|p| p * scale).to_vec(),
            rest: vec![1.0 - scale; 2],
            weights: vec![0.25, 0.75],
            k: K,
            with_rest,
        }
    }

    fn logits() -> Vec<f32> {
        let mut stream = Stream::keyed(1, "logits");
        (0..3 * VOCAB).map(|_| (2.0 * stream.normal()) as f32).collect()
    }

    fn log_softmax_plain(row: &[f32], temperature: f64) -> Vec<f64> {
        let z: Vec<f64> = row.iter().map(|z| f64::from(*z) / temperature).collect();
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        z.iter().map(|z| z - sum.ln()).collect()
    }

    /// The definition, bucket by bucket.
    fn plain(logits: &[f32], soft: &SoftTargets, kind: Divergence, temperature: f64) -> f64 {
        let mut total = 0.0;
        for (n, row) in soft.rows.iter().enumerate() {
            let row = *row as usize;
            let log_p = log_softmax_plain(&logits[row * VOCAB..(row + 1) * VOCAB], temperature);
            let mut teacher = Vec::new();
            let mut student = Vec::new();
            for i in n * K..(n + 1) * K {
                if soft.probabilities[i] > 0.0 {
                    teacher.push(f64::from(soft.probabilities[i]));
                    student.push(log_p[soft.ids[i] as usize].exp());
                }
            }
            if soft.with_rest {
                teacher.push(f64::from(soft.rest[n]));
                student.push(1.0 - student.iter().sum::<f64>());
            }
            if kind != Divergence::Forward {
                let sum: f64 = student.iter().sum();
                student.iter_mut().for_each(|q| *q /= sum);
            }
            let kl = |p: &[f64], q: &[f64]| -> f64 { p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum() };
            let middle: Vec<f64> = teacher.iter().zip(&student).map(|(p, q)| 0.5 * (p + q)).collect();
            let value = match kind {
                Divergence::Forward => kl(&teacher, &student),
                Divergence::Reverse => kl(&student, &teacher),
                Divergence::Jsd => 0.5 * (kl(&teacher, &middle) + kl(&student, &middle)),
            };
            total += f64::from(soft.weights[n]) * temperature * temperature * value;
        }
        total
    }

    #[test]
    fn every_divergence_is_its_definition_with_and_without_a_rest_bucket() {
        let device = Device::flex();
        let values = logits();
        for kind in [Divergence::Forward, Divergence::Reverse, Divergence::Jsd] {
            for with_rest in [false, true] {
                for temperature in [1.0, 2.5] {
                    let soft = soft(with_rest);
                    let got =
                        divergence(floats(&values, [3, VOCAB], &device), &soft, kind, temperature, &device);
                    let got = f64::from(host(got)[0]);
                    let expected = plain(&values, &soft, kind, temperature);
                    assert!(
                        (got - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                        "{kind:?}, rest {with_rest}, τ {temperature}: {got}, by definition {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_gradient_of_forward_divergence_is_that_of_the_fused_form() {
        // ∂loss/∂z = (1/τ)(Σ p · softmax(z/τ) − scatter(p)), times τ² and the weight of the row.
        let device = Device::flex();
        let (values, soft, temperature) = (logits(), soft(false), 2.0);
        let leaf = floats::<2>(&values, [3, VOCAB], &device).autodiff().require_grad();
        let loss = divergence(leaf.clone(), &soft, Divergence::Forward, temperature, &device);
        let gradient = host(leaf.grad(&loss.backward()).unwrap());
        let mut expected = vec![0.0; 3 * VOCAB];
        for (n, row) in soft.rows.iter().enumerate() {
            let row = *row as usize;
            let weight = f64::from(soft.weights[n]) * temperature;
            let q = log_softmax_plain(&values[row * VOCAB..(row + 1) * VOCAB], temperature);
            for (v, q) in q.iter().enumerate() {
                expected[row * VOCAB + v] += weight * q.exp();
            }
            for i in n * K..(n + 1) * K {
                expected[row * VOCAB + soft.ids[i] as usize] -= weight * f64::from(soft.probabilities[i]);
            }
        }
        for (got, expected) in gradient.iter().zip(&expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-5, "{got}, by hand {expected}");
        }
    }

    #[test]
    fn cross_entropy_is_the_weighted_mean_of_negative_log_probabilities() {
        let device = Device::flex();
        let (values, targets, weights) = (logits(), [3, 0, 6], [0.5, 0.2, 0.3]);
        let got = cross_entropy(floats(&values, [3, VOCAB], &device), &targets, &weights, &device);
        let expected: f64 = (0..3)
            .map(|row| {
                let log_p = log_softmax_plain(&values[row * VOCAB..(row + 1) * VOCAB], 1.0);
                -f64::from(weights[row]) * log_p[targets[row] as usize]
            })
            .sum();
        assert!((f64::from(host(got)[0]) - expected).abs() < 1e-6);
    }
}
