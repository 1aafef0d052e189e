//! What a model thinks of given answers: losses and soft targets, without training.

use crate::adapter::Layout;
use crate::align::CachedAligner;
use crate::base::Base;
use crate::batch::Sequence;
use crate::kernels::head::SoftTargets;
use crate::mutual::{Pooling, label, soften};

/// Mean cross-entropy of each answer in nats a token.
pub fn answer_losses(base: &Base, adapter: Option<(&Layout, &[f32])>, sequences: &[&Sequence]) -> Vec<f64> {
    let vocab = base.spec().vocab;
    let mut losses = vec![0.0; sequences.len()];
    label(base, adapter, sequences, |i, rows| {
        let answer = &sequences[i].answer;
        let sum: f64 = rows
            .chunks(vocab)
            .zip(answer)
            .map(|(row, token)| {
                let largest = row.iter().copied().fold(f32::MIN, f32::max);
                let sum: f64 = row.iter().map(|z| f64::from((z - largest).exp())).sum();
                sum.ln() + f64::from(largest - row[*token as usize])
            })
            .sum();
        losses[i] = sum / answer.len() as f64;
    });
    losses
}

/// Soft targets of a teacher for the same texts in a student's tokens, one entry a text.
pub fn soft_labels(
    base: &Base,
    adapter: Option<(&Layout, &[f32])>,
    teacher_sequences: &[&Sequence],
    student_sequences: &[&Sequence],
    aligner: &CachedAligner,
    pooling: Pooling,
) -> Vec<SoftTargets> {
    let mut soft = vec![SoftTargets::default(); teacher_sequences.len()];
    label(base, adapter, teacher_sequences, |i, rows| {
        let (teacher, student) = (&teacher_sequences[i].answer, &student_sequences[i].answer);
        soft[i] = soften(rows, base.spec().vocab, teacher, student, aligner, pooling);
    });
    soft
}
