//! Attention of sequences that are continued token by token: keys and values of what was read are kept.
//!
//! Prompts are read in one pass, padded on the right; from then on every sequence gains one token a pass. New tokens of
//! all sequences go to the same slot of the cache, so a short prompt leaves slots unused between its end and its first new
//! token: they are hidden, and positions count tokens, not slots.

use super::{AttentionShape, MASKED, PositionTables, attend, merge, split};
use crate::kernels::cpu::cached::KeyValues;
pub(crate) use crate::kernels::cpu::cached::Reading;
use crate::learner::{host, int_tensor};
use burn::tensor::{Device, Tensor, TensorData};

/// The mask and the ALiBi penalty (a constant a row cancels in the softmax), `[batch, heads or 1, time, slots]`.
fn bias(reading: &Reading, tables: &PositionTables, device: &Device) -> Tensor<4> {
    let (batch, time) = reading.size();
    let (slots, slopes) = (reading.slots(), tables.slopes());
    let mut values = Vec::with_capacity(batch * slopes.len() * time * slots);
    for row in 0..batch {
        let (from, to) = reading.hidden(row);
        for slope in slopes {
            for query in slots - time..slots {
                values.extend((0..slots).map(|slot| {
                    let hidden = reading.more > 0 && (from..to).contains(&slot);
                    if slot > query || hidden { MASKED } else { slope * reading.position(row, slot) as f32 }
                }));
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [batch, slopes.len(), time, slots]), device)
}

/// Keys and values of what a batch has already read, for one block: room for every token it will ever read.
#[derive(Clone, Debug)]
pub(crate) enum CachedKeys {
    /// On the CPU.
    Host(KeyValues),
    /// Elsewhere.
    Device(Box<KeyTensors>),
}

/// Keys and values as tensors.
#[derive(Clone, Debug)]
pub(crate) struct KeyTensors {
    /// `[batch, kv_heads, capacity, head_width]`, of which the first `used` slots hold something.
    keys: Tensor<4>,
    values: Tensor<4>,
    used: usize,
}

impl CachedKeys {
    /// An empty cache.
    pub(crate) fn with_capacity(shape: AttentionShape, capacity: usize, device: &Device) -> Self {
        if *device == Device::flex() {
            return Self::Host(KeyValues::with_capacity(shape, capacity));
        }
        Self::Device(Box::new(KeyTensors::with_capacity(shape, capacity, device)))
    }

    /// Keeps the given rows of the batch.
    pub(crate) fn keep(&mut self, rows: &[usize]) {
        match self {
            Self::Host(cache) => cache.keep(rows),
            Self::Device(cache) => {
                let rows = rows.iter().map(|row| *row as u32).collect::<Vec<_>>();
                let rows = int_tensor(&rows, &cache.keys.device());
                cache.keys = cache.keys.clone().select(0, rows.clone());
                cache.values = cache.values.clone().select(0, rows);
            }
        }
    }

    /// Self-attention of the tokens of this pass against everything read so far, which they join,
    /// `[batch · time, qkv] -> [batch · time, width]`.
    pub(crate) fn attend(
        &mut self,
        qkv: Tensor<2>,
        shape: AttentionShape,
        tables: &PositionTables,
        reading: &Reading,
    ) -> Tensor<2> {
        match self {
            Self::Device(cache) => cache.attend(qkv, shape, tables, reading),
            Self::Host(cache) => {
                let (device, qkv) = (qkv.device(), host(qkv));
                let mut out = vec![0.0; shape.batch * shape.time * shape.width()];
                match reading.more {
                    0 => cache.read(&qkv, reading, &tables.host, &mut out),
                    _ => cache.go_on(&qkv, reading, &tables.host, &mut out),
                }
                Tensor::from_data(TensorData::new(out, [shape.batch * shape.time, shape.width()]), &device)
            }
        }
    }
}

impl KeyTensors {
    fn with_capacity(shape: AttentionShape, capacity: usize, device: &Device) -> Self {
        let empty = || Tensor::zeros([shape.batch, shape.kv_heads, capacity, shape.head_width], device);
        Self { keys: empty(), values: empty(), used: 0 }
    }

    fn attend(
        &mut self,
        qkv: Tensor<2>,
        shape: AttentionShape,
        tables: &PositionTables,
        reading: &Reading,
    ) -> Tensor<2> {
        assert_eq!(reading.first, 0, "here all sequences of a batch are read at once");
        let device = qkv.device();
        let [q, k, v] = split(qkv, shape);
        let positions = int_tensor(&reading.positions(), &device);
        let (q, k) = (tables.rotate(q, &positions), tables.rotate(k, &positions));
        self.push(k, v);
        let keys = self.keys.clone().narrow(2, 0, self.used);
        let values = self.values.clone().narrow(2, 0, self.used);
        merge(attend(q, keys, values, bias(reading, tables, &device)))
    }

    /// Writes keys and values `[batch, kv_heads, time, head_width]` into the next slots.
    fn push(&mut self, k: Tensor<4>, v: Tensor<4>) {
        let [batch, heads, time, width] = k.dims();
        let place = [0..batch, 0..heads, self.used..self.used + time, 0..width];
        let nothing = || Tensor::zeros([0, 0, 0, 0], &k.device());
        let (keys, values) =
            (std::mem::replace(&mut self.keys, nothing()), std::mem::replace(&mut self.values, nothing()));
        self.keys = keys.slice_assign(place.clone(), k);
        self.values = values.slice_assign(place, v);
        self.used += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::drawn;
    use crate::spec::{DecoderSpec, Family, Position, Rotary};

    /// A cache that reads its prompts one or two at a time, each pass as long as its longest, goes on as one that reads all
    /// of them at once.
    #[test]
    fn prompts_that_are_read_a_few_at_a_time_give_the_same_cache() {
        let device = Device::flex();
        let spec = DecoderSpec::of(Family::Llama, 8, 40, 1, 2, 8, 100);
        let tables = PositionTables::new(&spec, &device);
        let at = |batch, time| AttentionShape { batch, time, heads: 2, kv_heads: 2, head_width: 20 };
        let lengths = vec![5, 2, 7];
        let qkv = drawn("qkv", [3 * 7, at(3, 7).qkv_width()], 1.5);
        let mut whole = CachedKeys::with_capacity(at(3, 1), 9, &device);
        let all = Reading { first: 0, lengths: lengths.clone(), padded: 7, more: 0 };
        whole.attend(qkv.clone(), at(3, 7), &tables, &all);
        let mut parts = CachedKeys::with_capacity(at(3, 1), 9, &device);
        for rows in [0..2, 2..3] {
            let lengths = lengths[rows.clone()].to_vec();
            let padded = *lengths.iter().max().unwrap();
            let own: Vec<Tensor<2>> =
                rows.clone().map(|row| qkv.clone().narrow(0, row * 7, padded)).collect();
            let reading = Reading { first: rows.start, lengths, padded, more: 0 };
            parts.attend(Tensor::cat(own, 0), at(rows.len(), padded), &tables, &reading);
        }
        let next = drawn("next", [3, at(3, 1).qkv_width()], 1.5);
        let reading = Reading { more: 1, ..all };
        let [whole, parts] = [&mut whole, &mut parts]
            .map(|cache| host(cache.attend(next.clone(), at(3, 1), &tables, &reading)));
        assert_eq!(whole, parts);
    }

    /// Three prompts of different lengths, then tokens one by one, then the same without the middle sequence.
    #[test]
    fn the_cache_on_the_host_gives_what_the_one_of_tensors_gives() {
        let device = Device::flex();
        for (heads, kv_heads, head_width, position) in [
            (4, 2, 20, Position::Rotary(Rotary::whole(20, 10_000.0))),
            (3, 3, 7, Position::Alibi),
            (2, 1, 16, Position::Learned { offset: 0 }),
        ] {
            let spec = DecoderSpec::of(Family::Llama, 8, heads * head_width, 1, heads, 8, 100);
            let tables =
                PositionTables::new(&DecoderSpec { kv_heads, head_width, position, ..spec }, &device);
            let at = |batch, time| AttentionShape { batch, time, heads, kv_heads, head_width };
            let mut host_cache = CachedKeys::with_capacity(at(3, 1), 20, &device);
            let mut device_cache =
                CachedKeys::Device(Box::new(KeyTensors::with_capacity(at(3, 1), 20, &device)));
            assert!(matches!(host_cache, CachedKeys::Host(_)));
            let mut reading = Reading { first: 0, lengths: vec![5, 2, 7], padded: 7, more: 0 };
            for pass in 0..6 {
                let (batch, time) = reading.size();
                let shape = at(batch, time);
                let qkv = drawn(&format!("qkv {pass}"), [batch * time, shape.qkv_width()], 1.5);
                let got = host(host_cache.attend(qkv.clone(), shape, &tables, &reading));
                let expected = host(device_cache.attend(qkv, shape, &tables, &reading));
                for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                    let (row, token) = (i / shape.width() / time, i / shape.width() % time);
                    let padding = pass == 0 && token >= reading.lengths[row];
                    assert!(padding || (got - expected).abs() < 2e-5, "pass {pass}: {got}, {expected}");
                }
                if pass == 3 {
                    host_cache.keep(&[0, 2]);
                    device_cache.keep(&[0, 2]);
                    reading.lengths = vec![5, 7];
                }
                reading.more += 1;
            }
        }
    }
}
