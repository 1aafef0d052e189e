//! Causal self-attention over a fused query-key-value map.

use crate::spec::{DecoderSpec, Position, ROTARY_BASE};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

/// Added to the scores of what may not be looked at.
const MASKED: f32 = -1e9;

/// What attention needs to know of positions, made once a model.
#[derive(Clone, Debug)]
pub(crate) struct PositionTables {
    /// Cosines and sines of the rotary angles, each `[max_positions, head_width / 2]`.
    rotary: Option<(Tensor<2>, Tensor<2>)>,
    /// ALiBi slopes, one a head.
    slopes: Option<Vec<f32>>,
}

/// The shape of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub batch: usize,
    pub time: usize,
    pub heads: usize,
    pub head_width: usize,
}

impl PositionTables {
    pub(crate) fn new(spec: &DecoderSpec, device: &Device) -> Self {
        let rotary = (spec.position == Position::Rotary).then(|| {
            let half = spec.head_width() / 2;
            let table = |f: fn(f64) -> f64| {
                let values: Vec<f32> = (0..spec.max_positions * half)
                    .map(|i| {
                        let (position, pair) = (i / half, i % half);
                        f(position as f64 * ROTARY_BASE.powf(-(pair as f64) / half as f64)) as f32
                    })
                    .collect();
                Tensor::from_data(TensorData::new(values, [spec.max_positions, half]), device)
            };
            (table(f64::cos), table(f64::sin))
        });
        let slopes = (spec.position == Position::Alibi).then(|| alibi_slopes(spec.heads));
        Self { rotary, slopes }
    }

    /// Rotates query or key `[batch, heads, time, head_width]` by its positions; `rows` has one position
    /// for each of `[batch, time]`, or for each of `[time]` when all sequences start at zero.
    fn rotate(&self, x: Tensor<4>, positions: &Positions) -> Tensor<4> {
        let Some((cos, sin)) = &self.rotary else { return x };
        let [batch, heads, time, width] = x.dims();
        let half = width / 2;
        let pick = |table: &Tensor<2>| -> Tensor<4> {
            match positions {
                Positions::FromZero => table.clone().slice([0..time, 0..half]).reshape([1, 1, time, half]),
                Positions::Each(index) => {
                    table.clone().select(0, (**index).clone()).reshape([batch, 1, time, half])
                }
            }
        };
        let (cos, sin) = (pick(cos), pick(sin));
        let first = x.clone().slice([0..batch, 0..heads, 0..time, 0..half]);
        let second = x.slice([0..batch, 0..heads, 0..time, half..width]);
        Tensor::cat(
            vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin],
            3,
        )
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

/// Splits `[batch · time, 3 · width]` into query, key and value, each `[batch, heads, time, head_width]`.
fn split(qkv: Tensor<2>, shape: AttentionShape) -> [Tensor<4>; 3] {
    let AttentionShape { batch, time, heads, head_width } = shape;
    let width = heads * head_width;
    [0, 1, 2].map(|i| {
        qkv.clone()
            .slice([0..batch * time, i * width..(i + 1) * width])
            .reshape([batch, time, heads, head_width])
            .swap_dims(1, 2)
    })
}

/// Concatenates heads: `[batch, heads, time, head_width] -> [batch · time, width]`.
fn merge(x: Tensor<4>) -> Tensor<2> {
    let [batch, heads, time, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch * time, heads * width])
}

/// `softmax(q kᵀ / √head_width + bias) v`.
fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
    let scale = 1.0 / (q.dims()[3] as f32).sqrt();
    softmax(q.matmul(k.swap_dims(2, 3)).mul_scalar(scale) + bias, 3).matmul(v)
}

/// Self-attention of whole sequences that start at position zero, `[batch · time, 3 · width] -> [batch · time,
/// width]` (Vaswani et al. 2017, equation 1, with a causal mask).
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

/// Keys and values of what a batch has already read, for one block.
#[derive(Clone, Debug)]
pub(crate) struct CachedKeys {
    keys: Tensor<4>,
    values: Tensor<4>,
}

/// Self-attention of new tokens against everything read so far.
///
/// `bias` is `[batch, heads or 1, time, slots]` and says which slots each new token sees; `slots` counts the
/// cached ones and the new ones. Returns the output and the grown cache.
pub(crate) fn cached_attention(
    qkv: Tensor<2>,
    shape: AttentionShape,
    tables: &PositionTables,
    positions: &Positions,
    bias: Tensor<4>,
    cache: Option<CachedKeys>,
) -> (Tensor<2>, CachedKeys) {
    let [q, k, v] = split(qkv, shape);
    let (q, k) = (tables.rotate(q, positions), tables.rotate(k, positions));
    let cache = match cache {
        None => CachedKeys { keys: k, values: v },
        Some(old) => CachedKeys {
            keys: Tensor::cat(vec![old.keys, k], 2),
            values: Tensor::cat(vec![old.values, v], 2),
        },
    };
    let out = attend(q, cache.keys.clone(), cache.values.clone(), bias);
    (merge(out), cache)
}

impl CachedKeys {
    /// Keeps the given rows of the batch.
    pub(crate) fn keep(self, rows: Tensor<1, Int>) -> Self {
        Self { keys: self.keys.select(0, rows.clone()), values: self.values.select(0, rows) }
    }
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
