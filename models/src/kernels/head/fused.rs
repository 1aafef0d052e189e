//! The loss over rows of logits as one operation. While a tape is kept, each row becomes its gradient as soon as its loss is
//! known, so logits come from memory once and gradients go there once; nothing else of the forward pass is kept.

use super::{Divergence, Lesson};
use crate::kernels::cpu::head::{LogSums, Shares, log_sums, scale, softmaxes};
use crate::kernels::flex;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// The operation; [`super::losses`] says what it computes.
pub(super) fn losses(logits: Tensor<2>, lessons: Arc<[Lesson]>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as HeadOps>::head_losses(logits.into_dispatch(), lessons))
}

/// The loss of a head as one operation.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "wgpu"))]
pub trait HeadOps: Backend {
    /// `[rows, vocab] -> [lessons]`; the first lesson has the first rows.
    fn head_losses(logits: FloatTensor<Self>, lessons: Arc<[Lesson]>) -> FloatTensor<Self>;
}

/// What a training step needs of a backend beside [`HeadOps`].
pub trait HeadGradient: Backend {
    /// What the forward pass leaves for the backward one.
    type Kept: Clone + std::fmt::Debug + Send + 'static;

    /// The losses, and what the backward pass needs; the logits are written over where nobody else reads them.
    fn head_losses_kept(logits: FloatTensor<Self>, lessons: &[Lesson]) -> (FloatTensor<Self>, Self::Kept);
    /// The gradient of the logits.
    fn head_losses_back(kept: Self::Kept, lessons: &[Lesson], grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl HeadOps for Flex {
    fn head_losses(logits: FloatTensor<Self>, lessons: Arc<[Lesson]>) -> FloatTensor<Self> {
        let logits = flex::close(logits);
        let vocab = flex::size(&logits)[1];
        let mut left = flex::values(&logits);
        let losses = lessons.iter().map(|lesson| {
            let (own, others) = left.split_at(lesson.targets.len() * vocab);
            left = others;
            let mut rows = Rows::new(lesson);
            for block in own.chunks(block_of(vocab)) {
                rows.read(block, vocab);
            }
            rows.loss()
        });
        flex::tensor(losses.collect(), [lessons.len()])
    }
}

impl HeadGradient for Flex {
    /// The gradient of the logits where that of every loss is 1.
    type Kept = FloatTensor<Self>;

    fn head_losses_kept(logits: FloatTensor<Self>, lessons: &[Lesson]) -> (FloatTensor<Self>, Self::Kept) {
        let mut logits = flex::own(logits);
        let vocab = flex::size(&logits)[1];
        let mut left = logits.storage_mut::<f32>();
        let mut losses = Vec::with_capacity(lessons.len());
        for lesson in lessons {
            let (own, others) = left.split_at_mut(lesson.targets.len() * vocab);
            left = others;
            let mut rows = Rows::new(lesson);
            for block in own.chunks_mut(block_of(vocab)) {
                let read = rows.read(block, vocab);
                rows.differentiate(read, block, vocab);
            }
            losses.push(rows.loss());
        }
        (flex::tensor(losses, [lessons.len()]), logits)
    }

    fn head_losses_back(
        mut gradient: Self::Kept,
        lessons: &[Lesson],
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let grad = flex::close(grad);
        let grads = flex::values(&grad);
        if grads.iter().any(|grad| *grad != 1.0) {
            gradient = flex::own(gradient);
            let vocab = flex::size(&gradient)[1];
            let mut left = gradient.storage_mut::<f32>();
            for (lesson, grad) in lessons.iter().zip(grads) {
                let (own, others) = left.split_at_mut(lesson.targets.len() * vocab);
                left = others;
                scale(own, *grad);
            }
        }
        gradient
    }
}

/// Values of a block of rows: it is read twice, the second time from a cache of 256 KiB (chosen: any core's second level).
const BLOCK: usize = 1 << 15;

/// Values of as many rows as fit in a block, at least one.
fn block_of(vocab: usize) -> usize {
    (BLOCK / vocab).max(1) * vocab
}

/// A lesson on its way through the rows, which come in order.
struct Rows<'l> {
    lesson: &'l Lesson,
    /// 1/τ.
    tilt: f32,
    /// The soft targets by row, those of one row in their own order; and how many rows and targets are done.
    order: Vec<usize>,
    done: (usize, usize),
    /// Cross-entropy of the rows so far.
    entropy: f64,
    /// Divergence of every soft target.
    divergences: Vec<f64>,
    /// Slope of the loss in the log-probability of every entry of every soft target, `[targets, k]`.
    slopes: Vec<f32>,
    /// Of the rows of a block.
    sums: Vec<LogSums>,
    tempered: Vec<bool>,
    shares: Vec<Shares>,
    entries: Entries,
}

/// The rows and the soft targets of a block, among all rows and in the order of the soft targets.
struct Read {
    rows: Range<usize>,
    targets: Range<usize>,
}

impl<'l> Rows<'l> {
    fn new(lesson: &'l Lesson) -> Self {
        let soft = &lesson.soft;
        let mut order: Vec<usize> = (0..soft.rows.len()).collect();
        order.sort_by_key(|n| soft.rows[*n]);
        Self {
            lesson,
            tilt: (1.0 / lesson.temperature) as f32,
            divergences: vec![0.0; order.len()],
            order,
            done: (0, 0),
            entropy: 0.0,
            slopes: vec![0.0; soft.ids.len()],
            sums: Vec::new(),
            tempered: Vec::new(),
            shares: Vec::new(),
            entries: Entries::default(),
        }
    }

    /// Log-sums, losses and slopes of the next rows.
    fn read(&mut self, block: &[f32], vocab: usize) -> Read {
        let (Lesson { targets, weights, soft, kind, temperature }, tilt) = (self.lesson, self.tilt);
        let (first, next) = self.done;
        let rows = first..first + block.len() / vocab;
        let own = self.order[next..].iter().take_while(|n| (soft.rows[**n] as usize) < rows.end).count();
        self.done = (rows.end, next + own);
        let read = Read { targets: next..next + own, rows };
        let row_of = |n: usize| soft.rows[n] as usize - first;
        self.tempered.clear();
        self.tempered.resize(read.rows.len(), false);
        for n in &self.order[read.targets.clone()] {
            self.tempered[row_of(*n)] = true;
        }
        self.sums.resize(read.rows.len(), LogSums::default());
        log_sums(block, vocab, tilt, &self.tempered, &mut self.sums);
        let answers = targets[read.rows.clone()].iter().zip(&weights[read.rows.clone()]);
        for ((z, sums), (target, weight)) in block.chunks_exact(vocab).zip(&self.sums).zip(answers) {
            self.entropy += f64::from(*weight) * f64::from(sums.plain - z[*target as usize]);
        }
        for n in &self.order[read.targets.clone()] {
            let (n, row) = (*n, row_of(*n));
            let span = n * soft.k..(n + 1) * soft.k;
            let (z, sum) = (&block[row * vocab..(row + 1) * vocab], self.sums[row].tempered);
            let log_q = soft.ids[span.clone()].iter().map(|id| z[*id as usize] * tilt - sum);
            let rest = soft.with_rest.then(|| soft.rest[n]);
            let weight = f64::from(soft.weights[n]) * temperature * temperature;
            self.entries.fill(&soft.probabilities[span.clone()], log_q, rest);
            self.divergences[n] = weight * self.entries.divergence(*kind, weight, &mut self.slopes[span]);
        }
        read
    }

    /// Turns the rows of a block that has just been read into their gradients.
    fn differentiate(&mut self, Read { rows, targets }: Read, block: &mut [f32], vocab: usize) {
        let (Lesson { targets: answers, weights, soft, .. }, tilt) = (self.lesson, self.tilt);
        let (answers, weights) = (&answers[rows.clone()], &weights[rows.clone()]);
        let of = |n: &usize| (soft.rows[*n] as usize - rows.start, *n * soft.k..(*n + 1) * soft.k);
        let soft_rows = || self.order[targets.clone()].iter().map(of);
        self.shares.clear();
        self.shares.extend(weights.iter().map(|weight| Shares { plain: *weight, tempered: 0.0 }));
        for (row, span) in soft_rows() {
            self.shares[row].tempered -= tilt * self.slopes[span].iter().sum::<f32>();
        }
        softmaxes(block, vocab, tilt, &self.sums, &self.shares);
        for (row, (answer, weight)) in answers.iter().zip(weights).enumerate() {
            block[row * vocab + *answer as usize] -= weight;
        }
        for (row, span) in soft_rows() {
            for (id, slope) in soft.ids[span.clone()].iter().zip(&self.slopes[span]) {
                block[row * vocab + *id as usize] += tilt * slope;
            }
        }
    }

    /// The loss of all rows.
    fn loss(&self) -> f32 {
        self.divergences.iter().fold(self.entropy, |loss, divergence| loss + divergence) as f32
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

/// Backward pass of [`HeadOps::head_losses`].
#[derive(Debug)]
struct HeadLosses;

impl<B: HeadGradient> Backward<B, 1> for HeadLosses {
    type State = (B::Kept, Arc<[Lesson]>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (kept, lessons) = ops.state;
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::head_losses_back(kept, &lessons, grad));
        }
    }
}

impl<B: HeadOps + HeadGradient, C: CheckpointStrategy> HeadOps for Autodiff<B, C> {
    fn head_losses(logits: FloatTensor<Self>, lessons: Arc<[Lesson]>) -> FloatTensor<Self> {
        let node = logits.node();
        let logits = logits.into_primitive();
        match HeadLosses.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (losses, kept) = B::head_losses_kept(logits, &lessons);
                prep.finish((kept, lessons), losses)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::head_losses(logits, lessons)),
        }
    }
}
