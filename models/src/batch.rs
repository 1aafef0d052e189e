//! From token sequences to the padded rectangle a model reads.

use crate::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// One question and its answer as tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Tokens of the prompt.
    pub prompt: Vec<u32>,
    /// Tokens of the answer, ended by the end-of-sequence token.
    pub answer: Vec<u32>,
}

impl Sequence {
    /// Encodes prompt and answer apart, so that the answer's tokens do not depend on the prompt; cuts the
    /// prompt's beginning, never the answer, to fit `longest` tokens.
    ///
    /// Returns `None` if the answer alone is too long.
    pub fn encode(tokenizer: &Tokenizer, prompt: &str, answer: &str, longest: usize) -> Option<Self> {
        let mut answer = tokenizer.encode_continuation(answer);
        answer.push(tokenizer.eos());
        let room = longest.checked_sub(answer.len()).filter(|room| *room > 0)?;
        Some(Self { prompt: last(tokenizer.encode(prompt), room), answer })
    }

    /// Tokens of prompt and answer.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.answer.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The last `n` tokens of a sequence.
pub(crate) fn last(mut tokens: Vec<u32>, n: usize) -> Vec<u32> {
    tokens.drain(..tokens.len().saturating_sub(n));
    tokens
}

/// Sequences padded on the right to one length, and where their answers are predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Tokens read, `[batch · time]`.
    pub ids: Vec<u32>,
    /// Number of sequences.
    pub batch: usize,
    /// Padded length; the last token of a sequence is only predicted, never read.
    pub time: usize,
    /// Rows of `[batch · time]` that predict an answer token, sequence by sequence.
    pub rows: Vec<u32>,
    /// The token each of `rows` should predict.
    pub targets: Vec<u32>,
    /// For each sequence, which of `rows` are its own.
    pub spans: Vec<Range<usize>>,
}

impl Batch {
    /// Packs sequences for training on their answers.
    ///
    /// # Panics
    /// `sequences` is empty, or one of them has no prompt or no answer.
    pub fn pack(sequences: &[&Sequence], pad: u32) -> Self {
        Self::pack_rows(sequences, pad, |sequence| sequence.prompt.len() - 1)
    }

    /// Packs sequences for training on every token but the first: pretraining.
    pub fn pack_whole(sequences: &[&Sequence], pad: u32) -> Self {
        Self::pack_rows(sequences, pad, |_| 0)
    }

    /// The same sequences in a rectangle whose length is the next multiple of `step`, at most `longest`; what is added is
    /// read and never predicted.
    pub(crate) fn rounded(&self, step: usize, longest: usize) -> Self {
        self.padded(self.time.next_multiple_of(step).min(longest).max(self.time))
    }

    /// The same sequences in a rectangle of length `time`, which is not shorter than theirs.
    fn padded(&self, time: usize) -> Self {
        let mut ids = vec![0; self.batch * time];
        for (old, new) in self.ids.chunks(self.time).zip(ids.chunks_mut(time)) {
            new[..self.time].copy_from_slice(old);
        }
        let moved = |row: &u32| {
            let (sequence, place) = (*row as usize / self.time, *row as usize % self.time);
            (sequence * time + place) as u32
        };
        Self { ids, time, rows: self.rows.iter().map(moved).collect(), ..self.clone() }
    }

    /// Batches of equally many sequences below each other, in the length of the longest.
    ///
    /// # Panics
    /// There is none, or they differ in how many sequences they have.
    pub(crate) fn stacked(batches: &[Self]) -> Self {
        let time = batches.iter().map(|batch| batch.time).max().expect("a stack has a batch");
        let mut all = Self {
            ids: Vec::new(),
            batch: 0,
            time,
            rows: Vec::new(),
            targets: Vec::new(),
            spans: Vec::new(),
        };
        for batch in batches {
            assert_eq!(batch.batch, batches[0].batch, "as many sequences in every batch of a stack");
            let Self { ids, rows, targets, spans, .. } = batch.padded(time);
            let (first, answers) = ((all.batch * time) as u32, all.rows.len());
            all.batch += batch.batch;
            all.ids.extend(ids);
            all.rows.extend(rows.iter().map(|row| first + row));
            all.targets.extend(targets);
            all.spans.extend(spans.iter().map(|span| answers + span.start..answers + span.end));
        }
        all
    }

    fn pack_rows(sequences: &[&Sequence], pad: u32, first_row: impl Fn(&Sequence) -> usize) -> Self {
        let time = sequences.iter().map(|s| s.len() - 1).max().expect("a batch has a sequence");
        let mut packed = Self {
            ids: vec![pad; sequences.len() * time],
            batch: sequences.len(),
            time,
            rows: Vec::new(),
            targets: Vec::new(),
            spans: Vec::new(),
        };
        for (i, sequence) in sequences.iter().enumerate() {
            let tokens: Vec<u32> = sequence.prompt.iter().chain(&sequence.answer).copied().collect();
            let start = i * time;
            packed.ids[start..start + tokens.len() - 1].copy_from_slice(&tokens[..tokens.len() - 1]);
            let begin = packed.rows.len();
            for position in first_row(sequence)..tokens.len() - 1 {
                packed.rows.push((start + position) as u32);
                packed.targets.push(tokens[position + 1]);
            }
            packed.spans.push(begin..packed.rows.len());
        }
        packed
    }

    /// Tokens that a forward pass computes, padding included.
    pub fn computed_tokens(&self) -> u64 {
        (self.batch * self.time) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_point_at_the_token_before_each_answer_token() {
        let short = Sequence { prompt: vec![5, 6], answer: vec![7, 0] };
        let long = Sequence { prompt: vec![5, 6, 8], answer: vec![9, 0] };
        let batch = Batch::pack(&[&short, &long], 1);
        assert_eq!((batch.batch, batch.time), (2, 4));
        assert_eq!(batch.ids, [5, 6, 7, 1, 5, 6, 8, 9]);
        assert_eq!(batch.rows, [1, 2, 6, 7]);
        assert_eq!(batch.targets, [7, 0, 9, 0]);
        assert_eq!(batch.spans, [0..2, 2..4]);
    }

    #[test]
    fn pretraining_predicts_every_token_but_the_first() {
        let sequence = Sequence { prompt: vec![5, 6], answer: vec![7, 0] };
        let batch = Batch::pack_whole(&[&sequence], 1);
        assert_eq!((batch.rows, batch.targets), (vec![0, 1, 2], vec![6, 7, 0]));
    }

    #[test]
    fn a_stack_predicts_what_its_batches_predict() {
        let long = Sequence { prompt: vec![5, 6, 8], answer: vec![9, 1] };
        let short = Sequence { prompt: vec![3], answer: vec![4] };
        let batches = [Batch::pack(&[&short], 0), Batch::pack(&[&long], 0)];
        let stack = Batch::stacked(&batches);
        assert_eq!((stack.batch, stack.time), (2, 4));
        assert_eq!(stack.ids, [3, 0, 0, 0, 5, 6, 8, 9]);
        assert_eq!((stack.rows, stack.targets), (vec![0, 6, 7], vec![4, 9, 1]));
        assert_eq!(stack.spans, [0..1, 1..3]);
    }

    #[test]
    fn a_rounded_batch_predicts_the_same_tokens_at_the_same_places() {
        let sequences = [
            Sequence { prompt: vec![1, 2, 3], answer: vec![4, 5] },
            Sequence { prompt: vec![6], answer: vec![7] },
        ];
        let batch = Batch::pack(&sequences.iter().collect::<Vec<_>>(), 9);
        let rounded = batch.rounded(8, 100);
        assert_eq!((rounded.time, rounded.ids.len()), (8, 16));
        let read = |batch: &Batch| batch.rows.iter().map(|row| batch.ids[*row as usize]).collect::<Vec<_>>();
        assert_eq!((read(&rounded), &rounded.targets), (read(&batch), &batch.targets));
        assert_eq!(batch.rounded(8, 6).time, 6, "never longer than the model reads");
    }
}
