//! Causal self-attention over a fused query-key-value map.

mod cached;
mod fused;

use crate::kernels::cpu::attention::Angles;
pub use crate::kernels::cpu::attention::{AttentionShape, Positioning};
use crate::kernels::frozen::{count_product, product};
use crate::spec::{DecoderSpec, Position, Rotary, Scaling};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};
pub(crate) use cached::{CachedKeys, Reading};
#[cfg(feature = "wgpu")]
pub(crate) use fused::{AttentionGradient, AttentionOps};
use std::sync::Arc;

/// Added to the scores of what may not be looked at.
const MASKED: f32 = -1e9;

/// What attention needs to know of positions, made once a model.
#[derive(Clone, Debug)]
pub(crate) struct PositionTables {
    rotary: Option<RotaryTables>,
    /// All of `host` in one tensor on the device, for its kernels; empty on the CPU.
    table: Tensor<1>,
    /// The same angles on the host, and ALiBi's slopes, one a head.
    host: Arc<Positioning>,
}

/// Cosines and sines of the rotary angles, each `[max_positions, width / 2]`.
#[derive(Clone, Debug)]
struct RotaryTables {
    cos: Tensor<2>,
    sin: Tensor<2>,
    interleaved: bool,
}

impl PositionTables {
    pub(crate) fn new(spec: &DecoderSpec, device: &Device) -> Self {
        let angles = match spec.position {
            Position::Rotary(rotary) => Some(angles(rotary, spec.max_positions)),
            _ => None,
        };
        let slopes = if spec.position == Position::Alibi { alibi_slopes(spec.heads) } else { Vec::new() };
        let rotary = angles.as_ref().map(|angles| RotaryTables::new(angles, spec.max_positions, device));
        let host = Positioning { angles, slopes };
        let table = if *device == Device::flex() { Vec::new() } else { host.table() };
        let size = [table.len()];
        Self { rotary, table: Tensor::from_data(TensorData::new(table, size), device), host: Arc::new(host) }
    }

    /// ALiBi's slopes, or a slope of 0 for all heads.
    fn slopes(&self) -> &[f32] {
        if self.host.slopes.is_empty() { &[0.0] } else { &self.host.slopes }
    }

    /// Rotates query or key `[batch, heads, time, head_width]` by its positions, where positions are rotary.
    fn rotate(&self, x: Tensor<4>, positions: &Tensor<1, Int>) -> Tensor<4> {
        match &self.rotary {
            Some(rotary) => rotary.rotate(x, positions),
            None => x,
        }
    }
}

impl RotaryTables {
    fn new(angles: &Angles, positions: usize, device: &Device) -> Self {
        let table = |values: &[f32]| {
            Tensor::from_data(TensorData::new(values.to_vec(), [positions, angles.half]), device)
        };
        Self { cos: table(&angles.cos), sin: table(&angles.sin), interleaved: angles.interleaved }
    }

    /// Rotates the first values of every head and leaves the others; `positions` has one entry for each of
    /// `[batch, time]`.
    fn rotate(&self, x: Tensor<4>, positions: &Tensor<1, Int>) -> Tensor<4> {
        let [batch, heads, time, head_width] = x.dims();
        let half = self.cos.dims()[1];
        let width = 2 * half;
        let pick = |table: &Tensor<2>| -> Tensor<4> {
            table.clone().select(0, positions.clone()).reshape([batch, 1, time, half])
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

/// The cosines and sines of every position.
fn angles(rotary: Rotary, positions: usize) -> Angles {
    let half = rotary.width / 2;
    let frequencies = rotary_frequencies(rotary);
    let table = |f: fn(f64) -> f64| -> Vec<f32> {
        (0..positions * half).map(|i| f((i / half) as f64 * frequencies[i % half]) as f32).collect()
    };
    Angles { cos: table(f64::cos), sin: table(f64::sin), half, interleaved: rotary.interleaved }
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
    let AttentionShape { batch, time, heads, head_width, .. } = shape;
    (0..2).for_each(|_| count_product(batch * heads * time, head_width, time));
    fused::causal(qkv, tables.table.clone(), shape, tables.host.clone())
}

#[cfg(test)]
fn causal_reference(qkv: Tensor<2>, shape: AttentionShape, tables: &PositionTables) -> Tensor<2> {
    let device = qkv.device().inner();
    let [q, k, v] = split(qkv, shape);
    let bias = causal_bias(shape.time, tables, &device);
    let positions: Vec<i32> = (0..shape.batch).flat_map(|_| 0..shape.time as i32).collect();
    let positions = Tensor::from_data(positions.as_slice(), &device);
    let (q, k) = (tables.rotate(q, &positions), tables.rotate(k, &positions));
    merge(attend(q, k, v, bias))
}

/// The causal mask and the ALiBi penalty, `[1, heads or 1, time, time]`.
#[cfg(test)]
fn causal_bias(time: usize, tables: &PositionTables, device: &Device) -> Tensor<4> {
    let slopes = tables.slopes();
    let mut values = Vec::with_capacity(slopes.len() * time * time);
    for slope in slopes {
        for i in 0..time {
            values.extend((0..time).map(|j| if j > i { MASKED } else { -slope * (i - j) as f32 }));
        }
    }
    Tensor::from_data(TensorData::new(values, [1, slopes.len(), time, time]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{WIDE, agree, by_chance, drawn};
    use crate::kernels::cpu::attention::turn;
    use crate::learner::{host, int_tensor};
    use crate::spec::Family;

    /// A spec with the given heads and positions; only those matter here.
    fn spec([heads, kv_heads, head_width]: [usize; 3], position: Position) -> DecoderSpec {
        let llama = DecoderSpec::of(Family::Llama, 8, heads * head_width, 1, heads, 8, WIDE);
        DecoderSpec { kv_heads, head_width, position, ..llama }
    }

    #[test]
    fn fused_attention_is_the_reference_forward_and_backward() {
        for [batch, time] in [[2, 1], [2, 5], [2, 31], [2, 32], [2, 33], [2, 70], [1, WIDE], [3, WIDE]] {
            for (heads, position) in [
                ([1, 1, 2], turned(2, false)),
                ([3, 3, 7], Position::Alibi),
                ([4, 2, 20], turned(20, false)),
                ([2, 1, 24], turned(18, true)),
                ([6, 2, 9], turned(4, false)),
                ([2, 2, 16], Position::Learned { offset: 0 }),
            ] {
                agrees([batch, time], heads, position);
            }
        }
        for [batch, time, kv_heads, queries, pairs] in by_chance("attention", [4, 150, 3, 3, 12]) {
            let head_width = 2 * pairs + 1;
            let heads = [kv_heads * queries, kv_heads, head_width];
            for position in [turned(2 * pairs, false), turned(2 * pairs, true), Position::Alibi] {
                agrees([batch, time], heads, position);
            }
        }
    }

    /// So many of the first values of a head are turned.
    fn turned(width: usize, interleaved: bool) -> Position {
        Position::Rotary(Rotary { width, interleaved, ..Rotary::whole(width, 10_000.0) })
    }

    fn agrees([batch, time]: [usize; 2], heads: [usize; 3], position: Position) {
        let spec = spec(heads, position);
        let tables = |x: &Tensor<2>| PositionTables::new(&spec, &x.device().inner());
        let [heads, kv_heads, head_width] = heads;
        let shape = AttentionShape { batch, time, heads, kv_heads, head_width };
        let qkv = drawn("qkv", [batch * time, shape.qkv_width()], 1.5);
        agree(
            &[qkv],
            |[qkv]| causal_attention(qkv.clone(), shape, &tables(&qkv)),
            |[qkv]| causal_reference(qkv.clone(), shape, &tables(&qkv)),
        );
    }

    /// Queries and keys are turned as they are read, and their gradients turned back as they are written: of halves and of
    /// neighbours, of whole heads and of their beginnings.
    #[test]
    fn turning_while_reading_is_the_rotation_and_turning_back_its_gradient() {
        const TIME: usize = 11;
        let device = Device::flex();
        let positions = int_tensor(&(0..TIME as u32).collect::<Vec<_>>(), &device);
        for (head_width, width) in [(2, 2), (20, 20), (24, 18), (9, 4), (33, 32)] {
            for interleaved in [false, true] {
                let tables =
                    PositionTables::new(&spec([1, 1, head_width], turned(width, interleaved)), &device);
                let [x, grad] = ["x", "grad"].map(|name| drawn(name, [1, 1, TIME, head_width], 1.0));
                let leaf = x.clone().autodiff().require_grad();
                let rotated = tables.rotate(leaf.clone(), &positions);
                let gradients = (rotated.clone() * grad.clone()).sum().backward();
                let back = host(leaf.grad(&gradients).expect("it was rotated"));
                let angles = tables.host.angles.as_ref().expect("positions are rotary");
                for (from, direction, expected) in [(x, 1.0, host(rotated.inner())), (grad, -1.0, back)] {
                    let rows = host(from);
                    let rows = rows.chunks_exact(head_width).zip(expected.chunks_exact(head_width));
                    for (position, (row, expected)) in rows.enumerate() {
                        let mut to = vec![0.0; head_width];
                        turn(row, angles, position, direction, &mut to);
                        let close = |(got, expected): (&f32, &f32)| (got - expected).abs() < 1e-6;
                        let what = format!("{width} of {head_width}, position {position}, {direction}");
                        assert!(to.iter().zip(expected).all(close), "{what}: {to:?} {expected:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn alibi_slopes_are_the_papers() {
        assert_eq!(alibi_slopes(4), [0.25, 0.0625, 0.015_625, 0.003_906_25]);
        assert_eq!(alibi_slopes(3), [0.0625, 0.003_906_25, 0.25]);
    }
}
