//! What a model knows of given answers, small enough to be sent: a loss for each, and the largest logits of its tokens
//! (FedMKT, arXiv 2406.02224, §3.3).

use crate::align::CachedAligner;
use crate::base::Base;
use crate::batch::Sequence;
use crate::kernels::head::SoftTargets;
use crate::learner::AdapterRef;
use crate::mutual::{Pooling, label, largest, soft_targets};
use crate::score::loss_of;

/// What a model knows of one answer, in its own tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Knowledge {
    /// Mean cross-entropy \[nat/token\].
    pub loss: f32,
    /// The tokens of the largest logits, `[answer tokens, k]`, in falling order of their logits.
    pub ids: Vec<u32>,
    /// Those logits, `[answer tokens, k]`.
    pub logits: Vec<f32>,
}

/// What a model knows of the answers of `sequences`: the `k` largest logits of every token, or all if there are fewer.
pub fn knowledge(
    base: &Base,
    adapters: &[AdapterRef<'_>],
    sequences: &[&Sequence],
    k: usize,
) -> Vec<Knowledge> {
    let (vocab, k) = (base.spec().vocab, k.min(base.spec().vocab));
    label(base, adapters, sequences, |i, rows| {
        let answer = &sequences[i].answer;
        let sum: f64 = rows.chunks(vocab).zip(answer).map(|(row, token)| loss_of(row, *token)).sum();
        let (ids, logits) = rows.chunks(vocab).flat_map(|row| largest(row, k)).unzip();
        Knowledge { loss: (sum / answer.len() as f64) as f32, ids, logits }
    })
}

impl Knowledge {
    /// Soft targets for a student that reads the same answer in its own tokens, as [`crate::mutual::soften`] makes them of
    /// whole rows; `top_k` entries a target, the unused ones of probability 0.
    pub fn soften(
        &self,
        teacher_answer: &[u32],
        student_answer: &[u32],
        aligner: &CachedAligner,
        (top_k, temperature): (usize, f64),
    ) -> SoftTargets {
        let k = self.ids.len() / teacher_answer.len().max(1);
        let entries = |row: usize| {
            let row = row * k..(row + 1) * k;
            self.ids[row.clone()].iter().copied().zip(self.logits[row].iter().copied()).collect()
        };
        let pooling = Pooling { top_k, rest: false, temperature };
        soft_targets(teacher_answer, student_answer, aligner, pooling, entries, |_| &[])
    }
}
