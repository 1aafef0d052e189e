//! Causal self-attention: the softmax of the scores between two products of burn's, a row of scores a workgroup. The
//! backward pass computes the probabilities again; nothing but the input is kept.

use super::heads::{Angles, apart, together};
use super::reduce::{largest, total};
use super::{Values, close, each_row, own, threads};
use crate::kernels::attention::{AttentionGradient, AttentionOps, AttentionShape, Positioning};
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use cubecl::prelude::*;
use std::sync::Arc;

impl AttentionOps for Cube {
    fn causal_attention(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: Arc<Positioning>,
    ) -> FloatTensor<Self> {
        let [q, k, v] = apart(&close(qkv), &table, shape, angles(&positioning));
        let weights = probabilities(&q, k, &table, shape, &positioning);
        rows(Cube::float_matmul(weights, v), shape)
    }
}

impl AttentionGradient for Cube {
    fn causal_attention_back(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: &Positioning,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [q, k, v] = apart(&close(qkv), &table, shape, angles(positioning));
        let weights = probabilities(&q, k.clone(), &table, shape, positioning);
        let grad = grouped(heads(close(grad), shape), shape);
        let to_v = Cube::float_matmul(turned(weights.clone()), grad.clone());
        let to_weights = Cube::float_matmul(grad, turned(v));
        let to_scores = softmax_back(weights, to_weights, shape);
        let to_q = Cube::float_matmul(to_scores.clone(), k);
        let to_k = Cube::float_matmul(turned(to_scores), grouped(q, shape));
        together([to_q, to_k, to_v].map(close), &table, shape, angles(positioning))
    }
}

/// Where the angles lie in the table of [`Positioning::table`].
fn angles(positioning: &Positioning) -> Angles {
    match &positioning.angles {
        Some(angles) => Angles {
            half: angles.half,
            positions: angles.cos.len() / angles.half.max(1),
            interleaved: angles.interleaved,
        },
        None => Angles { half: 0, positions: 0, interleaved: false },
    }
}

/// Last two axes exchanged.
fn turned(x: Values) -> Values {
    Cube::float_swap_dims(x, 2, 3)
}

/// Queries of the heads that share keys and values below each other, `[batch, heads, time, _] -> [batch, kv_heads, heads /
/// kv_heads · time, _]`, so that no key or value is copied.
fn grouped(x: Values, shape: AttentionShape) -> Values {
    let AttentionShape { batch, time, heads, kv_heads, head_width } = shape;
    Cube::float_reshape(x, Shape::new([batch, kv_heads, heads / kv_heads * time, head_width]))
}

/// `[batch · time, heads · width] -> [batch, heads, time, width]`.
fn heads(x: Values, shape: AttentionShape) -> Values {
    let AttentionShape { batch, time, heads, head_width, .. } = shape;
    let x = Cube::float_reshape(x, Shape::new([batch, time, heads, head_width]));
    close(Cube::float_swap_dims(x, 1, 2))
}

/// The reverse of [`heads`], from heads in groups.
fn rows(x: Values, shape: AttentionShape) -> Values {
    let AttentionShape { batch, time, heads, head_width, .. } = shape;
    let x = Cube::float_reshape(x, Shape::new([batch, heads, time, head_width]));
    let x = close(Cube::float_swap_dims(x, 1, 2));
    Cube::float_reshape(x, Shape::new([batch * time, heads * head_width]))
}

/// `softmax(q kᵀ / √head_width − slope · distance)` over what each query may see, `[batch, kv_heads, heads / kv_heads · time,
/// time]`; 0 for what it may not.
fn probabilities(
    q: &Values,
    k: Values,
    table: &Values,
    shape: AttentionShape,
    positioning: &Positioning,
) -> Values {
    let AttentionShape { batch, time, heads, head_width, .. } = shape;
    let scores = own(Cube::float_matmul(grouped(q.clone(), shape), turned(k)));
    let Angles { half, positions, .. } = angles(positioning);
    let (groups, group) = each_row(batch * heads * time, time);
    causal_softmax::launch(
        &scores.client,
        groups,
        group,
        scores.clone().into_buffer_arg(),
        table.clone().into_buffer_arg(),
        time as u32,
        heads as u32,
        (2 * positions * half) as u32,
        scale(head_width),
        !positioning.slopes.is_empty(),
        threads(time),
    );
    scores
}

/// The gradient of the products of queries and keys.
fn softmax_back(weights: Values, to_weights: Values, shape: AttentionShape) -> Values {
    let AttentionShape { batch, time, heads, head_width, .. } = shape;
    let to = own(to_weights);
    let (groups, group) = each_row(batch * heads * time, time);
    causal_softmax_back::launch(
        &to.client,
        groups,
        group,
        close(weights).into_buffer_arg(),
        to.clone().into_buffer_arg(),
        time as u32,
        scale(head_width),
        threads(time),
    );
    to
}

fn scale(head_width: usize) -> f32 {
    1.0 / (head_width as f32).sqrt()
}

/// In the place of the scores, a row of `time` a workgroup. Columns that a query may not see are not read.
#[cube(launch)]
fn causal_softmax(
    scores: &mut [f32],
    table: &[f32],
    time: u32,
    heads: u32,
    slopes: u32,
    scale: f32,
    #[comptime] alibi: bool,
    #[comptime] threads: usize,
) {
    let time = time as usize;
    let start = CUBE_POS * time;
    if start >= scores.len() {
        terminate!();
    }
    let mut shared = Shared::new_slice(threads);
    let query = CUBE_POS % time;
    let mut slope = 0.0f32;
    if alibi {
        slope = table[slopes as usize + CUBE_POS / time % heads as usize];
    }
    // Lower than any score.
    let mut most = f32::new(-1e30f32);
    let mut j = UNIT_POS as usize;
    while j <= query {
        let mut score = scores[start + j] * scale;
        if alibi {
            score -= slope * (query - j) as f32;
        }
        scores[start + j] = score;
        most = select(score > most, score, most);
        j += threads;
    }
    let most = largest(most, &mut shared);
    let mut sum = 0.0f32;
    let mut j = UNIT_POS as usize;
    while j <= query {
        let weight = (scores[start + j] - most).exp();
        scores[start + j] = weight;
        sum += weight;
        j += threads;
    }
    let inverse = 1.0f32 / total(sum, &mut shared);
    let mut j = UNIT_POS as usize;
    while j < time {
        let mut weight = 0.0f32;
        if j <= query {
            weight = scores[start + j] * inverse;
        }
        scores[start + j] = weight;
        j += threads;
    }
}

/// In the place of the gradient of the probabilities, a row of `time` a workgroup.
#[cube(launch)]
fn causal_softmax_back(weights: &[f32], to: &mut [f32], time: u32, scale: f32, #[comptime] threads: usize) {
    let time = time as usize;
    let start = CUBE_POS * time;
    if start >= to.len() {
        terminate!();
    }
    let mut shared = Shared::new_slice(threads);
    let query = CUBE_POS % time;
    let mut sum = 0.0f32;
    let mut j = UNIT_POS as usize;
    while j <= query {
        sum += weights[start + j] * to[start + j];
        j += threads;
    }
    let mean = total(sum, &mut shared);
    let mut j = UNIT_POS as usize;
    while j < time {
        let mut slope = 0.0f32;
        if j <= query {
            slope = weights[start + j] * (to[start + j] - mean) * scale;
        }
        to[start + j] = slope;
        j += threads;
    }
}
