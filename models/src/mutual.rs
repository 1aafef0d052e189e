//! Mutual learning between two models whose tokenizers may differ (SAML).
//!
//! `L(b ← a) = CE(b) + λ · τ² · mean_s KL(P̃_{a→b}(s) ‖ p_b(s))`, the teacher detached, over the answer positions `s`
//! of b that have an aligned position of a.

use crate::align::CachedAligner;
use crate::base::Base;
use crate::batch::{Batch, Sequence};
use crate::kernels::head::SoftTargets;
use crate::learner::{AdapterRef, Distillation, Learner, Lesson, Read, answer_logits, host, reader};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How a teacher's rows become soft targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pooling {
    /// Entries kept of a row, K.
    pub top_k: usize,
    /// Whether what is left out is a bucket of its own.
    pub rest: bool,
    /// Temperature τ.
    pub temperature: f64,
}

/// How cross-entropy and divergence are combined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// `CE + λ · KL`, λ by direction.
    Additive,
    /// `λ · CE + (1 − λ) · KL`, one λ for both directions (FedMKT).
    Convex(f64),
}

/// Who learns first within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// Both from the state before the step.
    Simultaneous,
    /// The first side, then the second from the first's new state.
    Alternating,
}

/// The switches of a mutual step that both sides share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MutualRule {
    /// How rows become soft targets.
    pub pooling: Pooling,
    /// Which divergence, at which temperature.
    pub distillation: Distillation,
    /// How the parts of the loss add up.
    pub combine: Combine,
    /// Who learns first.
    pub update: Update,
}

/// One side of a mutual step.
pub struct Side<'s, 'a> {
    /// The model.
    pub learner: &'s mut Learner<'a>,
    /// The sequences both sides share, in this side's tokens.
    pub sequences: Vec<&'s Sequence>,
    /// Maps the other side's rows to this side's.
    pub from_other: &'s CachedAligner,
    /// λ of the pull towards the other side; 0 for none.
    pub weight: f64,
    /// More to learn in the same step.
    pub extra: Option<Extra<'s>>,
    /// An adapter that stands beside the trained one when this side teaches, and not when it learns (the private δ of a
    /// device's proxy).
    pub teaches_with: Option<AdapterRef<'s>>,
    /// Learning rate.
    pub lr: f64,
}

/// Some sequences of a lesson, with soft targets made beforehand.
#[derive(Default)]
pub struct Extra<'s> {
    /// The sequences, in the learner's tokens.
    pub sequences: Vec<&'s Sequence>,
    /// Soft targets for each sequence, rows counted from its first answer token; empty for no divergence at all.
    pub soft: Vec<&'s SoftTargets>,
    /// Weight of the mean cross-entropy on them.
    pub ce: f64,
    /// Weight of the mean divergence.
    pub kl: f64,
}

/// One step of mutual learning. A side whose learner has a micro-batch reads in parts, as when it tunes; here all parts are
/// kept until both sides know what they learn.
///
/// A teacher is read once, on the tape from which it learns in the same step, so dropout of a low-rank adapter is in what it
/// teaches as well; one that [teaches with another adapter](Side::teaches_with) is read apart and without dropout.
///
/// # Panics
/// A side has no sequence.
pub fn mutual_step(a: Side<'_, '_>, b: Side<'_, '_>, rule: &MutualRule) {
    let (text_a, text_b) = (Text::of(&a), Text::of(&b));
    // The two models have nothing in common but idle cores, if there are any.
    let cores = a.learner.base().compute().cores().clone();
    let (read_a, read_b) = cores.both(|| a.learner.read(&text_a.parts), || b.learner.read(&text_b.parts));
    let soft_a = soft_from(&read_b, (&b, &text_b), (&a, &text_a), rule);
    let soft_b_before = match rule.update {
        Update::Simultaneous => Some(soft_from(&read_a, (&a, &text_a), (&b, &text_b), rule)),
        Update::Alternating => None,
    };
    let (how, lesson_a) = (rule.distillation, lesson(&a, &text_a, soft_a, rule.combine));
    if let Some(soft_b) = soft_b_before {
        let lesson_b = lesson(&b, &text_b, soft_b, rule.combine);
        cores.both(
            || a.learner.learn(read_a, lesson_a, how, a.lr),
            || b.learner.learn(read_b, lesson_b, how, b.lr),
        );
    } else {
        a.learner.learn(read_a, lesson_a, how, a.lr);
        let read_a = a.learner.read(&text_a.parts);
        let soft_b = soft_from(&read_a, (&a, &text_a), (&b, &text_b), rule);
        let lesson_b = lesson(&b, &text_b, soft_b, rule.combine);
        b.learner.learn(read_b, lesson_b, how, b.lr);
    }
}

/// One step on groups of sequences, each with a mean and weights of its own, with no other model at hand. On
/// `[labelled, extra]` it is what [`mutual_step`] does to a side whose weight is 0, at the cost of that side alone. With a
/// micro-batch it reads in parts, as when it tunes.
///
/// # Panics
/// No group has a sequence.
pub fn taught_step(learner: &mut Learner<'_>, groups: &[Extra<'_>], how: Distillation, lr: f64) {
    let all: Vec<&Sequence> = groups.iter().flat_map(|group| group.sequences.iter().copied()).collect();
    let batch = Batch::pack(&all, learner.base().pad());
    let mut lesson = Lesson { batch, ce_weights: Vec::new(), soft: SoftTargets::default() };
    let mut first = 0;
    for group in groups {
        append(&mut lesson, first, group);
        first += group.sequences.len();
    }
    let lessons = lesson.in_parts(learner.parts(&all));
    learner.learn_in_parts(lessons, how, lr);
}

/// What a side reads in a step: its sequences, with the extra ones behind them.
struct Text {
    /// All of them.
    batch: Batch,
    /// The same in the parts in which they are read.
    parts: Vec<Batch>,
}

impl Text {
    fn of(side: &Side<'_, '_>) -> Self {
        let extra = side.extra.iter().flat_map(|extra| extra.sequences.iter().copied());
        let all: Vec<&Sequence> = side.sequences.iter().copied().chain(extra).collect();
        Self { batch: Batch::pack(&all, side.learner.base().pad()), parts: side.learner.parts(&all) }
    }
}

/// What a teacher, of whom `read` was read, says about the student's answer rows on the sequences both share.
fn soft_from(
    read: &[Read<'_>],
    (teacher, taught): (&Side<'_, '_>, &Text),
    (student, learned): (&Side<'_, '_>, &Text),
    rule: &MutualRule,
) -> SoftTargets {
    let pulled = match rule.combine {
        Combine::Additive => student.weight > 0.0,
        Combine::Convex(lambda) => lambda < 1.0,
    };
    let mut soft = SoftTargets::default();
    if !pulled {
        return soft;
    }
    let vocab = teacher.learner.base().spec().vocab;
    let mut students = learned.batch.spans[..student.sequences.len()].iter();
    for (part, read) in taught.parts.iter().zip(read) {
        // What a teacher reads beyond what both share comes last, and teaches nobody.
        if students.len() == 0 {
            break;
        }
        let rows = host(match teacher.teaches_with {
            Some(adapter) => teacher.learner.logits_beside(part, adapter),
            None => read.logits.clone().inner(),
        });
        for (own, to) in part.spans.iter().zip(students.by_ref()) {
            let one = soften(
                &rows[own.start * vocab..own.end * vocab],
                vocab,
                &part.targets[own.clone()],
                &learned.batch.targets[to.clone()],
                student.from_other,
                rule.pooling,
            );
            soft.append(&one, to.start as u32, 1.0);
        }
    }
    soft
}

/// The lesson of one side in parts: means over the shared rows and over the extra rows, each with its weight.
fn lesson(side: &Side<'_, '_>, text: &Text, mut soft: SoftTargets, combine: Combine) -> Vec<Lesson> {
    let batch = text.batch.clone();
    let weights = match combine {
        Combine::Additive => (1.0, side.weight),
        Combine::Convex(lambda) => (lambda, 1.0 - lambda),
    };
    let shared = batch.spans[..side.sequences.len()].last().map_or(0, |span| span.end);
    let ce_weights = vec![(weights.0 / shared as f64) as f32; shared];
    let targets = soft.rows.len();
    soft.weights = vec![(weights.1 / targets.max(1) as f64) as f32; targets];
    let mut lesson = Lesson { batch, ce_weights, soft };
    if let Some(extra) = &side.extra {
        append(&mut lesson, side.sequences.len(), extra);
    }
    lesson.in_parts(text.parts.clone())
}

/// Weights and soft targets of a group whose first sequence is the batch's sequence `first`.
fn append(lesson: &mut Lesson, first: usize, group: &Extra<'_>) {
    let spans = &lesson.batch.spans[first..first + group.sequences.len()];
    let rows: usize = spans.iter().map(ExactSizeIterator::len).sum();
    lesson.ce_weights.extend(vec![(group.ce / rows.max(1) as f64) as f32; rows]);
    let targets: usize = group.soft.iter().map(|soft| soft.rows.len()).sum();
    let weight = (group.kl / targets.max(1) as f64) as f32;
    for (one, span) in group.soft.iter().zip(spans) {
        lesson.soft.append(one, span.start as u32, weight);
    }
}

/// Turns a teacher's rows for one answer into soft targets on the student's vocabulary.
///
/// `rows` is `[teacher tokens, vocab]`. The K largest logits of a matched row are carried through the vocabulary
/// map, the first kept for equal ids, and `P̃ = softmax(z̃/τ)` over them; with a rest bucket the softmax is over
/// the teacher's full row and unmapped mass joins the rest. Rows of the result count from the first token of the
/// student's answer; every weight is 1.
pub fn soften(
    rows: &[f32],
    vocab: usize,
    teacher_answer: &[u32],
    student_answer: &[u32],
    aligner: &CachedAligner,
    pooling: Pooling,
) -> SoftTargets {
    let pooling = Pooling { top_k: pooling.top_k.min(vocab), ..pooling };
    let row = |row: usize| &rows[row * vocab..(row + 1) * vocab];
    let kept = |at: usize| largest(row(at), pooling.top_k);
    soft_targets(teacher_answer, student_answer, aligner, pooling, kept, row)
}

/// The same from the `top_k` largest entries of every row, as (teacher's token, logit) in falling order; whole rows are
/// asked for with a rest bucket only.
pub(crate) fn soft_targets<'r>(
    teacher_answer: &[u32],
    student_answer: &[u32],
    aligner: &CachedAligner,
    pooling: Pooling,
    entries: impl Fn(usize) -> Vec<(u32, f32)>,
    row: impl Fn(usize) -> &'r [f32],
) -> SoftTargets {
    let k = pooling.top_k;
    let mut soft = SoftTargets { k, with_rest: pooling.rest, ..SoftTargets::default() };
    let alignment = aligner.align(teacher_answer, student_answer);
    for (teacher_row, student_row) in &alignment.pairs {
        let kept = mapped(entries(*teacher_row), aligner);
        push_target(&mut soft, *student_row, row(*teacher_row), &kept, pooling);
    }
    for (student_row, token) in &alignment.fallback {
        soft.rows.push(*student_row as u32);
        soft.ids.push(*token);
        soft.probabilities.push(1.0);
        soft.ids.extend(std::iter::repeat_n(*token, k - 1));
        soft.probabilities.extend(std::iter::repeat_n(0.0, k - 1));
        soft.rest.push(0.0);
        soft.weights.push(1.0);
    }
    soft
}

/// The K largest entries of a row as (token, logit), in falling order; the lower id first among equals.
pub(crate) fn largest(row: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut order: Vec<u32> = (0..row.len() as u32).collect();
    let falling = |a: &u32, b: &u32| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, falling);
        order.truncate(k);
    }
    order.sort_unstable_by(falling);
    order.into_iter().map(|id| (id, row[id as usize])).collect()
}

/// Entries carried through the vocabulary map, the first kept of those that meet in one token.
fn mapped(entries: Vec<(u32, f32)>, aligner: &CachedAligner) -> Vec<(u32, f32)> {
    let mut kept: Vec<(u32, f32)> = Vec::with_capacity(entries.len());
    for (id, logit) in entries {
        if let Some(mapped) = aligner.map_token(id)
            && kept.iter().all(|(seen, _)| *seen != mapped)
        {
            kept.push((mapped, logit));
        }
    }
    kept
}

fn push_target(soft: &mut SoftTargets, row: usize, full: &[f32], kept: &[(u32, f32)], pooling: Pooling) {
    let Some((_, largest)) = kept.first() else { return };
    let weigh = |z: f32| ((z - largest) / pooling.temperature as f32).exp();
    let kept_mass: f32 = kept.iter().map(|(_, z)| weigh(*z)).sum();
    let total = if pooling.rest { full.iter().map(|z| weigh(*z)).sum() } else { kept_mass };
    soft.rows.push(row as u32);
    soft.ids.extend(kept.iter().map(|(id, _)| *id));
    soft.probabilities.extend(kept.iter().map(|(_, z)| weigh(*z) / total));
    soft.ids.extend(std::iter::repeat_n(kept[0].0, soft.k - kept.len()));
    soft.probabilities.extend(std::iter::repeat_n(0.0, soft.k - kept.len()));
    soft.rest.push(if pooling.rest { (1.0 - kept_mass / total).max(0.0) } else { 0.0 });
    soft.weights.push(1.0);
}

/// Sequences read together when a model only labels them. Fixed, so that results do not depend on the machine.
const LABEL_ROWS: usize = 64;

/// `each(i, rows)` of the logits `[answer tokens, vocab]` of every sequence's answer; idle cores read some of them.
pub(crate) fn label<R: Send>(
    base: &Base,
    adapters: &[AdapterRef<'_>],
    sequences: &[&Sequence],
    each: impl Fn(usize, &[f32]) -> R + Sync,
) -> Vec<R> {
    let decoder = reader(base, adapters);
    let vocab = base.spec().vocab;
    let chunks = sequences.chunks(LABEL_ROWS).enumerate().collect();
    let labelled = base.compute().cores().map(chunks, |(chunk, sequences): (usize, &[&Sequence])| {
        let batch = Batch::pack(sequences, base.pad());
        let rows = host(answer_logits(&decoder, &batch, base.compute()));
        let of = |(i, Range { start, end }): (usize, &Range<usize>)| {
            each(chunk * LABEL_ROWS + i, &rows[start * vocab..end * vocab])
        };
        batch.spans.iter().enumerate().map(of).collect::<Vec<R>>()
    });
    labelled.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::{AlignSpec, Aligner};
    use crate::tokenizer::Tokenizer;

    fn identity() -> CachedAligner {
        let tokenizer = Tokenizer::train_byte_level(["one two three"], 260).unwrap();
        CachedAligner::new(Aligner::new(&tokenizer, &tokenizer, AlignSpec::default()))
    }

    #[test]
    fn the_largest_entries_are_kept_in_falling_order_and_renormalised() {
        let row = [0.0, 3.0, 1.0, 2.0];
        let pooling = Pooling { top_k: 2, rest: false, temperature: 1.0 };
        let soft = soften(&row, 4, &[5], &[5], &identity(), pooling);
        assert_eq!((soft.rows, soft.ids), (vec![0], vec![1, 3]));
        let expected = 1.0 / (1.0 + (-1.0_f32).exp());
        assert!((soft.probabilities[0] - expected).abs() < 1e-6);
        assert!((soft.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn with_a_rest_bucket_the_softmax_is_over_the_whole_row() {
        let row = [0.0, 3.0, 1.0, 2.0];
        let pooling = Pooling { top_k: 2, rest: true, temperature: 2.0 };
        let soft = soften(&row, 4, &[5], &[5], &identity(), pooling);
        let total: f32 = row.iter().map(|z| (z / 2.0_f32).exp()).sum();
        assert!((soft.probabilities[0] - (1.5_f32).exp() / total).abs() < 1e-6);
        assert!((soft.rest[0] - (1.0 + (0.5_f32).exp()) / total).abs() < 1e-6);
    }

    #[test]
    fn equal_logits_are_kept_by_the_lower_id() {
        let pooling = Pooling { top_k: 2, rest: false, temperature: 1.0 };
        let soft = soften(&[1.0; 5], 5, &[5], &[5], &identity(), pooling);
        assert_eq!(soft.ids, [0, 1]);
    }
}
