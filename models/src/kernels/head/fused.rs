//! The loss over rows of logits as one operation: the vocabulary is passed over once forward and once backward, and only
//! the log-sums of a row are kept, beside the slope of each teacher entry.

use super::{Divergence, Lesson};
use crate::kernels::cpu::head::{LogSums, Shares, log_sums, softmaxes};
use crate::kernels::flex;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use std::sync::Arc;

/// The operation; [`super::loss`] says what it computes.
pub(super) fn loss(logits: Tensor<2>, lesson: Arc<Lesson>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as HeadOps>::head_loss(logits.into_dispatch(), lesson))
}

/// The loss of a head as one operation.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "wgpu"))]
pub trait HeadOps: Backend {
    /// `[rows, vocab] -> [1]`.
    fn head_loss(logits: FloatTensor<Self>, lesson: Arc<Lesson>) -> FloatTensor<Self>;
}

/// What a training step needs of a backend beside [`HeadOps`].
pub trait HeadGradient: Backend {
    /// What is kept of a forward pass.
    type Kept: Clone + std::fmt::Debug + Send + 'static;

    /// The loss, and what the backward pass needs beside the logits.
    fn head_loss_kept(logits: &FloatTensor<Self>, lesson: &Lesson) -> (FloatTensor<Self>, Self::Kept);
    /// The gradient of the logits, in their place where nobody else reads them.
    fn head_loss_back(
        logits: FloatTensor<Self>,
        lesson: &Lesson,
        kept: &Self::Kept,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// What the CPU keeps of a forward pass.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// One a row.
    log_sums: Vec<LogSums>,
    /// Slope of the loss in the log-probability of every entry of every soft target, `[targets, k]`.
    slopes: Vec<f32>,
}

impl HeadOps for Flex {
    fn head_loss(logits: FloatTensor<Self>, lesson: Arc<Lesson>) -> FloatTensor<Self> {
        Self::head_loss_kept(&logits, &lesson).0
    }
}

impl HeadGradient for Flex {
    type Kept = Kept;

    fn head_loss_kept(logits: &FloatTensor<Self>, lesson: &Lesson) -> (FloatTensor<Self>, Kept) {
        let logits = flex::close(logits.clone());
        let [rows, vocab] = flex::size(&logits);
        let (z, soft) = (flex::values(&logits), &lesson.soft);
        let tilt = (1.0 / lesson.temperature) as f32;
        let mut tempered = vec![false; rows];
        soft.rows.iter().for_each(|row| tempered[*row as usize] = true);
        let mut sums = vec![LogSums::default(); rows];
        log_sums(z, vocab, tilt, &tempered, &mut sums);
        let mut loss = 0.0;
        for (row, (target, weight)) in lesson.targets.iter().zip(&lesson.weights).enumerate() {
            loss += f64::from(*weight) * f64::from(sums[row].plain - z[row * vocab + *target as usize]);
        }
        let mut slopes = vec![0.0; soft.ids.len()];
        let mut entries = Entries::default();
        for n in 0..soft.rows.len() {
            let row = soft.rows[n] as usize;
            let span = n * soft.k..(n + 1) * soft.k;
            let z = &z[row * vocab..(row + 1) * vocab];
            let log_q = soft.ids[span.clone()].iter().map(|id| z[*id as usize] * tilt - sums[row].tempered);
            let rest = soft.with_rest.then(|| soft.rest[n]);
            let weight = f64::from(soft.weights[n]) * lesson.temperature * lesson.temperature;
            entries.fill(&soft.probabilities[span.clone()], log_q, rest);
            loss += weight * entries.divergence(lesson.kind, weight, &mut slopes[span]);
        }
        (flex::tensor(vec![loss as f32], [1]), Kept { log_sums: sums, slopes })
    }

    fn head_loss_back(
        logits: FloatTensor<Self>,
        lesson: &Lesson,
        kept: &Kept,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let grad = flex::values(&flex::close(grad))[0];
        let mut logits = flex::own(logits);
        let vocab = flex::size(&logits)[1];
        let (soft, tilt) = (&lesson.soft, (1.0 / lesson.temperature) as f32);
        let mut shares: Vec<Shares> =
            lesson.weights.iter().map(|w| Shares { plain: w * grad, tempered: 0.0 }).collect();
        for (row, slopes) in soft.rows.iter().zip(kept.slopes.chunks_exact(soft.k.max(1))) {
            shares[*row as usize].tempered -= grad * tilt * slopes.iter().sum::<f32>();
        }
        let z = logits.storage_mut::<f32>();
        softmaxes(z, vocab, tilt, &kept.log_sums, &shares);
        for (row, (target, weight)) in lesson.targets.iter().zip(&lesson.weights).enumerate() {
            z[row * vocab + *target as usize] -= weight * grad;
        }
        let entries = soft.ids.chunks_exact(soft.k.max(1)).zip(kept.slopes.chunks_exact(soft.k.max(1)));
        for (row, (ids, slopes)) in soft.rows.iter().zip(entries) {
            for (id, slope) in ids.iter().zip(slopes) {
                z[*row as usize * vocab + *id as usize] += grad * tilt * slope;
            }
        }
        logits
    }
}

/// Probabilities below this count as it, so that a logarithm stays finite.
const LEAST: f64 = 1e-8;

/// Teacher and student over the entries of one target: the kept ones, and the rest where it is a bucket of its own.
#[derive(Default)]
struct Entries {
    teacher: Vec<f64>,
    /// Log-probabilities of the student.
    student: Vec<f64>,
    /// Slope of the loss in each of `student`.
    slope: Vec<f64>,
    /// Of the rest, before it was bounded; none without a bucket.
    student_rest: Option<f64>,
}

impl Entries {
    fn fill(&mut self, teacher: &[f32], student: impl Iterator<Item = f32>, rest: Option<f32>) {
        self.teacher.clear();
        self.teacher.extend(teacher.iter().map(|p| f64::from(*p)));
        self.student.clear();
        self.student.extend(student.map(f64::from));
        self.student_rest = rest.map(|rest| {
            let used = self.student.iter().zip(teacher).filter(|(_, p)| **p > 0.0);
            let left = 1.0 - used.map(|(s, _)| s.exp()).sum::<f64>();
            self.teacher.push(f64::from(rest).max(LEAST));
            left
        });
        self.student.extend(self.student_rest.map(|left| left.max(LEAST).ln()));
        self.slope.clear();
        self.slope.resize(self.student.len(), 0.0);
    }

    /// The divergence; the slopes in the log-probabilities of the kept entries, times `weight`, go to `slopes`.
    fn divergence(&mut self, kind: Divergence, weight: f64, slopes: &mut [f32]) -> f64 {
        let loss = match kind {
            Divergence::Forward => self.forward(),
            Divergence::Reverse | Divergence::Jsd => self.renormalised(kind),
        };
        let through_rest = match self.student_rest {
            Some(left) if left >= LEAST => -self.slope[slopes.len()] / left,
            _ => 0.0,
        };
        for (i, to) in slopes.iter_mut().enumerate() {
            let used = self.teacher[i] > 0.0;
            let by_rest =
                if used && through_rest != 0.0 { through_rest * self.student[i].exp() } else { 0.0 };
            *to = (weight * (self.slope[i] + by_rest)) as f32;
        }
        loss
    }

    /// `Σ p (log p − log q)`.
    fn forward(&mut self) -> f64 {
        let mut loss = 0.0;
        for ((p, log_q), slope) in self.teacher.iter().zip(&self.student).zip(&mut self.slope) {
            if *p > 0.0 {
                loss += p * (p.ln() - log_q);
                *slope = -p;
            }
        }
        loss
    }

    /// Reverse or Jensen-Shannon, the student renormalised over the entries that the teacher has.
    fn renormalised(&mut self, kind: Divergence) -> f64 {
        let used = || self.teacher.iter().zip(&self.student).filter(|(p, _)| **p > 0.0);
        let log_sum = used().map(|(_, s)| s.exp()).sum::<f64>().ln();
        let mut loss = 0.0;
        // Σ q · pull, where `pull` is the slope of the loss in q.
        let mut mean = 0.0;
        for ((p, s), slope) in self.teacher.iter().zip(&self.student).zip(&mut self.slope) {
            if *p <= 0.0 {
                continue;
            }
            let (log_q, log_p) = (s - log_sum, p.max(LEAST).ln());
            let q = log_q.exp();
            let pull = if kind == Divergence::Reverse {
                loss += q * (log_q - log_p);
                log_q - log_p
            } else {
                let log_m = (0.5 * (p + q)).max(LEAST).ln();
                loss += 0.5 * (p * (log_p - log_m) + q * (log_q - log_m));
                0.5 * (log_q - log_m)
            };
            mean += q * pull;
            *slope = pull;
        }
        for ((p, s), slope) in self.teacher.iter().zip(&self.student).zip(&mut self.slope) {
            if *p > 0.0 {
                *slope = (s - log_sum).exp() * (*slope - mean);
            }
        }
        loss
    }
}

/// Backward pass of [`HeadOps::head_loss`].
#[derive(Debug)]
struct HeadLoss;

impl<B: HeadGradient> Backward<B, 1> for HeadLoss {
    type State = (FloatTensor<B>, Arc<Lesson>, B::Kept);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (logits, lesson, kept) = ops.state;
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::head_loss_back(logits, &lesson, &kept, grad));
        }
    }
}

impl<B: HeadOps + HeadGradient, C: CheckpointStrategy> HeadOps for Autodiff<B, C> {
    fn head_loss(logits: FloatTensor<Self>, lesson: Arc<Lesson>) -> FloatTensor<Self> {
        let node = logits.node();
        let logits = logits.into_primitive();
        let (loss, kept) = B::head_loss_kept(&logits, &lesson);
        match HeadLoss.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((logits, lesson, kept), loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        }
    }
}
