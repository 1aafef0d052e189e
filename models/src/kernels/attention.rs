//! Causal self-attention over a fused query-key-value map.

use crate::kernels::frozen::product;
use crate::spec::{DecoderSpec, Position, Rotary, Scaling};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

/// Added to the scores of what may not be looked at.
const MASKED: f32 = -1e9;

/// What attention needs to know of positions, made once a model.
#[derive(Clone, Debug)]
pub(crate) struct PositionTables {
    rotary: Option<RotaryTables>,
    /// ALiBi slopes, one a head.
    slopes: Option<Vec<f32>>,
}

/// Cosines and sines of the rotary angles, each `[max_positions, width / 2]`.
#[derive(Clone, Debug)]
struct RotaryTables {
    cos: Tensor<2>,
    sin: Tensor<2>,
    interleaved: bool,
}

/// The shape of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub batch: usize,
    pub time: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
}

impl PositionTables {
    pub(crate) fn new(spec: &DecoderSpec, device: &Device) -> Self {
        let rotary = match spec.position {
            Position::Rotary(rotary) => Some(RotaryTables::new(rotary, spec.max_positions, device)),
            _ => None,
        };
        let slopes = (spec.position == Position::Alibi).then(|| alibi_slopes(spec.heads));
        Self { rotary, slopes }
    }

    /// Rotates query or key `[batch, heads, time, head_width]` by its positions, where positions are rotary.
    fn rotate(&self, x: Tensor<4>, positions: &Positions) -> Tensor<4> {
        match &self.rotary {
            Some(rotary) => rotary.rotate(x, positions),
            None => x,
        }
    }
}

impl RotaryTables {
    fn new(rotary: Rotary, positions: usize, device: &Device) -> Self {
        let half = rotary.width / 2;
        let frequencies = rotary_frequencies(rotary);
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> =
                (0..positions * half).map(|i| f((i / half) as f64 * frequencies[i % half]) as f32).collect();
            Tensor::from_data(TensorData::new(values, [positions, half]), device)
        };
        Self { cos: table(f64::cos), sin: table(f64::sin), interleaved: rotary.interleaved }
    }

    /// Rotates the first values of every head and leaves the others; `positions` has one entry for each of
    /// `[batch, time]`, or all sequences start at zero.
    fn rotate(&self, x: Tensor<4>, positions: &Positions) -> Tensor<4> {
        let [batch, heads, time, head_width] = x.dims();
        let half = self.cos.dims()[1];
        let width = 2 * half;
        let pick = |table: &Tensor<2>| -> Tensor<4> {
            match positions {
                Positions::FromZero => table.clone().slice([0..time, 0..half]).reshape([1, 1, time, half]),
                Positions::Each(index) => {
                    table.clone().select(0, (**index).clone()).reshape([batch, 1, time, half])
                }
            }
        };
        let (cos, sin) = (pick(&self.cos), pick(&self.sin));
        let cut = |from: usize, to: usize| x.clone().slice([0..batch, 0..heads, 0..time, from..to]);
        let [first, second] = if self.interleaved {
            let pairs = cut(0, width).reshape([batch, heads, time, half, 2]);
            [0, 1].map(|i| pairs.clone().narrow(4, i, 1).reshape([batch, heads, time, half]))
        } else {
            [cut(0, half), cut(half, width)]
        };
        let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
        let turned_second = second * cos + first * sin;
        let turned = if self.interleaved {
            let pairs = [turned_first, turned_second].map(|x| x.reshape([batch, heads, time, half, 1]));
            Tensor::cat(pairs.to_vec(), 4).reshape([batch, heads, time, width])
        } else {
            Tensor::cat(vec![turned_first, turned_second], 3)
        };
        if width == head_width { turned } else { Tensor::cat(vec![turned, cut(width, head_width)], 3) }
    }
}

/// The angle that one position adds to each pair.
fn rotary_frequencies(rotary: Rotary) -> Vec<f64> {
    let half = rotary.width / 2;
    let plain = (0..half).map(|pair| rotary.base.powf(-(pair as f64) / half as f64));
    match rotary.scaling {
        Scaling::None => plain.collect(),
        Scaling::Linear(factor) => plain.map(|frequency| frequency / factor).collect(),
        Scaling::Llama3 { factor, low, high, original } => plain
            .map(|frequency| {
                let turns = original * frequency / (2.0 * std::f64::consts::PI);
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            })
            .collect(),
    }
}

/// Where the tokens of a call stand in their sequences.
#[derive(Clone, Debug)]
pub(crate) enum Positions {
    /// Every row of the batch is 0, 1, 2, …
    FromZero,
    /// One position a token, `[batch · time]`.
    Each(Box<Tensor<1, Int>>),
}

/// The slopes of ALiBi for `heads` heads (Press et al. 2022, section 3, and BLOOM's rule for head counts
/// that are not a power of two).
pub(crate) fn alibi_slopes(heads: usize) -> Vec<f32> {
    let power =
        |n: usize| -> Vec<f32> { (1..=n).map(|i| 2.0_f64.powf(-8.0 * i as f64 / n as f64) as f32).collect() };
    let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let mut slopes = power(below);
    slopes.extend(power(2 * below).into_iter().step_by(2).take(heads - below));
    slopes
}

/// Splits `[batch · time, (heads + 2 kv_heads) · head_width]` into query, key and value, each `[batch, heads or
/// kv_heads, time, head_width]`.
fn split(qkv: Tensor<2>, shape: AttentionShape) -> [Tensor<4>; 3] {
    let AttentionShape { batch, time, heads, kv_heads, head_width } = shape;
    let mut start = 0;
    [heads, kv_heads, kv_heads].map(|heads| {
        let part = qkv.clone().slice([0..batch * time, start..start + heads * head_width]);
        start += heads * head_width;
        part.reshape([batch, time, heads, head_width]).swap_dims(1, 2)
    })
}

/// Concatenates heads: `[batch, heads, time, head_width] -> [batch · time, width]`.
fn merge(x: Tensor<4>) -> Tensor<2> {
    let [batch, heads, time, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch * time, heads * width])
}

/// `softmax(q kᵀ / √head_width + bias) v`; query heads share key-value heads group by group (Ainslie et al. 2023).
fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
    let [batch, heads, time, width] = q.dims();
    let [_, kv_heads, slots, _] = k.dims();
    let scale = 1.0 / (width as f32).sqrt();
    // The queries of a group stand below each other, so that no key or value is copied.
    let stacked = [batch, kv_heads, heads / kv_heads * time];
    let regroup = |x: Tensor<4>, to: [usize; 4]| if heads == kv_heads { x } else { x.reshape(to) };
    let q = regroup(q, [stacked[0], stacked[1], stacked[2], width]);
    let scores = regroup(product(q, k.swap_dims(2, 3)), [batch, heads, time, slots]);
    let weights = softmax(scores.mul_scalar(scale) + bias, 3);
    let weights = regroup(weights, [stacked[0], stacked[1], stacked[2], slots]);
    regroup(product(weights, v), [batch, heads, time, width])
}

/// Self-attention of whole sequences that start at position zero, `[batch · time, (heads + 2 kv_heads) · head_width]
/// -> [batch · time, heads · head_width]` (Vaswani et al. 2017, equation 1, with a causal mask).
pub(crate) fn causal_attention(qkv: Tensor<2>, shape: AttentionShape, tables: &PositionTables) -> Tensor<2> {
    let device = qkv.device().inner();
    let [q, k, v] = split(qkv, shape);
    let bias = causal_bias(shape.time, tables, &device);
    let (q, k) = (tables.rotate(q, &Positions::FromZero), tables.rotate(k, &Positions::FromZero));
    merge(attend(q, k, v, bias))
}

/// The causal mask and the ALiBi penalty, `[1, heads or 1, time, time]`.
fn causal_bias(time: usize, tables: &PositionTables, device: &Device) -> Tensor<4> {
    let no_slope = [0.0];
    let slopes = tables.slopes.as_deref().unwrap_or(&no_slope);
    let mut values = Vec::with_capacity(slopes.len() * time * time);
    for slope in slopes {
        for i in 0..time {
            values.extend((0..time).map(|j| if j > i { MASKED } else { -slope * (i - j) as f32 }));
        }
    }
    Tensor::from_data(TensorData::new(values, [1, slopes.len(), time, time]), device)
}

/// Keys and values of what a batch has already read, for one block: room for every token it will ever read.
#[derive(Clone, Debug)]
pub(crate) struct CachedKeys {
    /// `[batch, kv_heads, capacity, head_width]`, of which the first `used` slots hold something.
    keys: Tensor<4>,
    values: Tensor<4>,
    used: usize,
}

impl CachedKeys {
    /// An empty cache.
    pub(crate) fn with_capacity(shape: AttentionShape, capacity: usize, device: &Device) -> Self {
        let empty = || Tensor::zeros([shape.batch, shape.kv_heads, capacity, shape.head_width], device);
        Self { keys: empty(), values: empty(), used: 0 }
    }

    /// Keeps the given rows of the batch.
    pub(crate) fn keep(self, rows: Tensor<1, Int>) -> Self {
        let (keys, values) = (self.keys.select(0, rows.clone()), self.values.select(0, rows));
        Self { keys, values, used: self.used }
    }

    /// Writes keys and values `[batch, kv_heads, time, head_width]` into the next slots.
    fn push(self, k: Tensor<4>, v: Tensor<4>) -> Self {
        let [batch, heads, time, width] = k.dims();
        let place = [0..batch, 0..heads, self.used..self.used + time, 0..width];
        Self {
            keys: self.keys.slice_assign(place.clone(), k),
            values: self.values.slice_assign(place, v),
            used: self.used + time,
        }
    }

    /// What has been written so far.
    fn written(&self) -> (Tensor<4>, Tensor<4>) {
        (self.keys.clone().narrow(2, 0, self.used), self.values.clone().narrow(2, 0, self.used))
    }
}

/// Self-attention of new tokens against everything read so far.
///
/// `bias` is `[batch, heads or 1, time, slots]` and says which slots each new token sees; `slots` counts the
/// cached ones and the new ones. Returns the output and the fuller cache.
pub(crate) fn cached_attention(
    qkv: Tensor<2>,
    shape: AttentionShape,
    tables: &PositionTables,
    positions: &Positions,
    bias: Tensor<4>,
    cache: CachedKeys,
) -> (Tensor<2>, CachedKeys) {
    let [q, k, v] = split(qkv, shape);
    let (q, k) = (tables.rotate(q, positions), tables.rotate(k, positions));
    let cache = cache.push(k, v);
    let (keys, values) = cache.written();
    (merge(attend(q, keys, values, bias)), cache)
}

/// What [`cached_attention`] adds to its scores: `visible(row, query, slot)` says whether a slot is seen, and
/// `position(row, slot)` where its token stands (ALiBi penalises by it; a constant a row cancels in the softmax).
pub(crate) fn slot_bias(
    [batch, time, slots]: [usize; 3],
    tables: &PositionTables,
    visible: impl Fn(usize, usize, usize) -> bool,
    position: impl Fn(usize, usize) -> usize,
    device: &Device,
) -> Tensor<4> {
    let no_slope = [0.0];
    let slopes = tables.slopes.as_deref().unwrap_or(&no_slope);
    let mut values = Vec::with_capacity(batch * slopes.len() * time * slots);
    for row in 0..batch {
        for slope in slopes {
            for query in 0..time {
                values.extend((0..slots).map(|slot| {
                    if visible(row, query, slot) { slope * position(row, slot) as f32 } else { MASKED }
                }));
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [batch, slopes.len(), time, slots]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alibi_slopes_are_the_papers() {
        assert_eq!(alibi_slopes(4), [0.25, 0.0625, 0.015_625, 0.003_906_25]);
        assert_eq!(alibi_slopes(3), [0.0625, 0.003_906_25, 0.25]);
    }
}
