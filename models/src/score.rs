//! What a model thinks of given answers: losses and soft targets, without training.

use crate::align::CachedAligner;
use crate::base::Base;
use crate::batch::Sequence;
use crate::kernels::head::SoftTargets;
use crate::learner::{AdapterRef, host, int_tensor, reader};
use crate::mutual::{Pooling, label, soften};

/// Mean cross-entropy of each answer in nats a token.
pub fn answer_losses(base: &Base, adapters: &[AdapterRef<'_>], sequences: &[&Sequence]) -> Vec<f64> {
    let vocab = base.spec().vocab;
    label(base, adapters, sequences, |i, rows| answer_loss(rows, vocab, &sequences[i].answer))
}

/// Mean cross-entropy of an answer, from its rows `[answer tokens, vocab]`.
fn answer_loss(rows: &[f32], vocab: usize, answer: &[u32]) -> f64 {
    let sum: f64 = rows.chunks(vocab).zip(answer).map(|(row, token)| loss_of(row, *token)).sum();
    sum / answer.len() as f64
}

/// What a model says of a sequence of token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Natural-log probability of `ids[1..]`, each given the tokens before it; `[n − 1]`.
    pub logprobs: Vec<f32>,
    /// Scores of every token after each prefix, `[n, vocab]`.
    pub logits: Vec<f32>,
}

/// Scores token ids as they are: nothing is put before or behind them.
///
/// # Panics
/// `ids` is empty, longer than the model reads, or has an id outside the vocabulary.
pub fn score_ids(base: &Base, adapters: &[AdapterRef<'_>], ids: &[u32]) -> Scored {
    let spec = base.spec();
    assert!((1..=spec.max_positions).contains(&ids.len()), "1 to {} ids", spec.max_positions);
    assert!(ids.iter().all(|id| (*id as usize) < spec.vocab), "ids below {}", spec.vocab);
    let decoder = reader(base, adapters);
    let hidden = decoder.hidden(int_tensor(ids, base.compute().device()), 1, ids.len());
    let logits = host(decoder.logits(hidden));
    let rows = logits.chunks(spec.vocab).zip(&ids[1..]);
    let logprobs = rows.map(|(row, next)| -loss_of(row, *next) as f32).collect();
    Scored { logprobs, logits }
}

/// `−log softmax(row)[token]` in nats.
pub(crate) fn loss_of(row: &[f32], token: u32) -> f64 {
    let largest = row.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = row.iter().map(|z| f64::from((z - largest).exp())).sum();
    sum.ln() + f64::from(largest - row[token as usize])
}

/// What a teacher says of a text.
#[derive(Clone, Debug)]
pub struct Taught {
    /// Soft targets in the student's tokens.
    pub soft: SoftTargets,
    /// Mean cross-entropy of the answer in nats a token, where it was asked for.
    pub loss: Option<f64>,
}

/// What a teacher says of texts that are there in its tokens and in a student's; each text is read once. With `losses` it also
/// says how likely it finds them.
pub fn soft_labels(
    base: &Base,
    adapters: &[AdapterRef<'_>],
    [teacher_sequences, student_sequences]: [&[&Sequence]; 2],
    aligner: &CachedAligner,
    pooling: Pooling,
    losses: bool,
) -> Vec<Taught> {
    let vocab = base.spec().vocab;
    label(base, adapters, teacher_sequences, |i, rows| {
        let (teacher, student) = (&teacher_sequences[i].answer, &student_sequences[i].answer);
        let soft = soften(rows, vocab, teacher, student, aligner, pooling);
        Taught { soft, loss: losses.then(|| answer_loss(rows, vocab, teacher)) }
    })
}
