//! Attention of one new token a sequence against the keys and values of all before it.

use super::attention::{AttentionShape, Positioning, causal, turn};
use super::simd::{exp, largest, mul_add, replace_and_sum, vectorised};

/// Where the sequences of a batch stand.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The first sequence of the cache that this pass reads: prompts may be read a few at a time.
    pub first: usize,
    /// Tokens of the prompt of each sequence that is read.
    pub lengths: Vec<usize>,
    /// Tokens of the longest prompt: while prompts are read, of those of this pass; then, of the batch as it began.
    pub padded: usize,
    /// Tokens read since, of every sequence; 0 while the prompts themselves are read.
    pub more: usize,
}

impl Reading {
    /// Sequences and tokens of each in this pass.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.lengths.len(), if self.more == 0 { self.padded } else { 1 })
    }

    /// Slots that are used after this pass.
    pub(crate) fn slots(&self) -> usize {
        self.padded + self.more
    }

    /// The slots of a sequence, from and up to, that no new token sees.
    pub(crate) fn hidden(&self, row: usize) -> (usize, usize) {
        (self.lengths[row], self.padded)
    }

    /// The position of the token in a slot.
    pub(crate) fn position(&self, row: usize, slot: usize) -> usize {
        if slot < self.padded { slot } else { self.lengths[row] + slot - self.padded }
    }

    /// The positions of the tokens of this pass, `[batch · time]`.
    pub(crate) fn positions(&self) -> Vec<u32> {
        let (_, time) = self.size();
        let new = self.slots() - time..self.slots();
        (0..self.lengths.len())
            .flat_map(|row| new.clone().map(move |slot| self.position(row, slot) as u32))
            .collect()
    }
}

/// Keys and values of what a batch has read, for one block: room for every token it will ever read.
#[derive(Clone, Debug)]
pub(crate) struct KeyValues {
    shape: AttentionShape,
    capacity: usize,
    /// `[batch, kv_heads, head_width, capacity]`: a new query meets all keys of one place at once.
    keys: Vec<f32>,
    /// `[batch, kv_heads, capacity, head_width]`.
    values: Vec<f32>,
}

impl KeyValues {
    /// An empty cache.
    pub(crate) fn with_capacity(shape: AttentionShape, capacity: usize) -> Self {
        // Both come zeroed from the system, so that room which is never used is never touched either.
        let empty = || vec![0.0; shape.batch * shape.kv_heads * shape.head_width * capacity];
        Self { shape, capacity, keys: empty(), values: empty() }
    }

    /// Values of one sequence.
    fn stride(&self) -> usize {
        self.shape.kv_heads * self.shape.head_width * self.capacity
    }

    /// Keeps the given rows of the batch.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        let stride = self.stride();
        for buffer in [&mut self.keys, &mut self.values] {
            for (to, from) in rows.iter().enumerate() {
                buffer.copy_within(from * stride..(from + 1) * stride, to * stride);
            }
            buffer.truncate(rows.len() * stride);
        }
        self.shape.batch = rows.len();
    }

    /// Reads whole prompts into the cache, those of the sequences from `reading.first` on,
    /// `[sequences · time, qkv] -> [sequences · time, width]`.
    pub(crate) fn read(
        &mut self,
        qkv: &[f32],
        reading: &Reading,
        positioning: &Positioning,
        out: &mut [f32],
    ) {
        let (batch, time) = reading.size();
        let shape = AttentionShape { batch, time, ..self.shape };
        causal(qkv, shape, positioning, out);
        for (row, qkv) in qkv.chunks_exact(shape.qkv_width()).enumerate() {
            self.store(reading.first + row / time, row % time, row % time, qkv, positioning);
        }
    }

    /// Keeps keys and values of one token of a sequence.
    fn store(&mut self, row: usize, slot: usize, position: usize, qkv: &[f32], positioning: &Positioning) {
        let AttentionShape { heads, kv_heads, head_width: width, .. } = self.shape;
        let mut turned = vec![0.0; width];
        for head in 0..kv_heads {
            let key = &qkv[(heads + head) * width..][..width];
            match &positioning.angles {
                Some(angles) => turn(key, angles, position, 1.0, &mut turned),
                None => turned.copy_from_slice(key),
            }
            let start = row * self.stride() + head * width * self.capacity;
            for (d, key) in turned.iter().enumerate() {
                self.keys[start + d * self.capacity + slot] = *key;
            }
            let value = &qkv[(heads + kv_heads + head) * width..][..width];
            self.values[start + slot * width..][..width].copy_from_slice(value);
        }
    }

    /// Reads one token a sequence, `[batch, qkv] -> [batch, width]`.
    pub(crate) fn go_on(
        &mut self,
        qkv: &[f32],
        reading: &Reading,
        positioning: &Positioning,
        out: &mut [f32],
    ) {
        let shape = self.shape;
        let AttentionShape { heads, kv_heads, head_width: width, .. } = shape;
        let used = reading.slots();
        let (mut turned, mut scores) = (vec![0.0; width], vec![0.0; used]);
        let rows = qkv.chunks_exact(shape.qkv_width()).zip(out.chunks_exact_mut(shape.width()));
        for (row, (qkv, out)) in rows.enumerate() {
            let position = reading.position(row, used - 1);
            self.store(row, used - 1, position, qkv, positioning);
            for (head, out) in out.chunks_exact_mut(width).enumerate() {
                let query = &qkv[head * width..][..width];
                match &positioning.angles {
                    Some(angles) => turn(query, angles, position, 1.0, &mut turned),
                    None => turned.copy_from_slice(query),
                }
                let start = row * self.stride() + head / (heads / kv_heads) * width * self.capacity;
                let length = width * self.capacity;
                let (keys, values) = (&self.keys[start..][..length], &self.values[start..][..length]);
                let hidden = reading.hidden(row);
                let slope = positioning.slopes.get(head).copied().unwrap_or(0.0);
                attend(&turned, keys, values, slope, hidden, &mut scores, out);
            }
        }
    }
}

vectorised! {
    /// `softmax(q k / √head_width + slope · position) v` over the slots outside `hidden`; keys `[head_width, capacity]`,
    /// values `[capacity, head_width]`, as many slots as `scores`.
    fn attend(
        q: &[f32],
        keys: &[f32],
        values: &[f32],
        slope: f32,
        hidden: (usize, usize),
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let width = q.len();
        let scale = 1.0 / (width as f32).sqrt();
        scores.fill(0.0);
        for (q, keys) in q.iter().zip(keys.chunks_exact(keys.len() / width)) {
            let q = q * scale;
            for (score, key) in scores.iter_mut().zip(keys) {
                *score = mul_add::<FMA>(q, *key, *score);
            }
        }
        let (from, to) = hidden;
        if slope != 0.0 {
            for (slot, score) in scores.iter_mut().enumerate() {
                let position = if slot < to { slot } else { slot - (to - from) };
                *score = mul_add::<FMA>(slope, position as f32, *score);
            }
        }
        scores[from..to].fill(f32::MIN);
        let most = largest(scores);
        let inverse = 1.0 / replace_and_sum(scores, |score| exp::<FMA>(score - most));
        out.fill(0.0);
        for (slot, (weight, value)) in scores.iter().zip(values.chunks_exact(width)).enumerate() {
            if slot < from || slot >= to {
                let weight = weight * inverse;
                for (out, value) in out.iter_mut().zip(value) {
                    *out = mul_add::<FMA>(weight, *value, *out);
                }
            }
        }
    }
}
