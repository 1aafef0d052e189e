//! AdamW over flat buffers: the norm of the gradient, whether the step is taken, and the step. Nothing is read back.

use super::reduce::total;
use super::{WORKGROUP, close, count, each, each_row, empty, own, upload};
use crate::kernels::adamw::{AdamWOps, Factors};
use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use cubecl::prelude::*;

/// Values that one workgroup squares and adds up.
const SHARE: usize = 16 * WORKGROUP;

impl AdamWOps for Cube {
    fn adamw_step(
        values: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        loss: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [gradient, loss] = [gradient, loss].map(close);
        let [values, first, second] = [values, first, second].map(own);
        let (n, client) = (count(&values), values.client.clone());
        let decays = count(&decay) > 0;
        let decay = if decays { close(decay) } else { upload(&values, &[0.0_f32], DType::F32) };
        let parts = empty(&values, [n.div_ceil(SHARE)]);
        let (groups, group) = each_row(count(&parts), WORKGROUP);
        squares::launch(
            &client,
            groups,
            group,
            gradient.clone().into_buffer_arg(),
            parts.clone().into_buffer_arg(),
            SHARE,
            WORKGROUP,
        );
        let (shrink, taken) = (empty(&values, [1]), empty(&values, [1]));
        let (groups, group) = each_row(1, WORKGROUP);
        verdict::launch(
            &client,
            groups,
            group,
            parts.into_buffer_arg(),
            loss.into_buffer_arg(),
            shrink.clone().into_buffer_arg(),
            taken.clone().into_buffer_arg(),
            factors.clip,
            WORKGROUP,
        );
        let (groups, group) = each(n);
        let Factors { beta1, beta2, unbias1, unbias2, epsilon, lr, .. } = factors;
        step::launch(
            &client,
            groups,
            group,
            values.clone().into_buffer_arg(),
            first.clone().into_buffer_arg(),
            second.clone().into_buffer_arg(),
            gradient.into_buffer_arg(),
            decay.into_buffer_arg(),
            shrink.into_buffer_arg(),
            taken.clone().into_buffer_arg(),
            beta1,
            beta2,
            unbias1,
            unbias2,
            epsilon,
            lr,
            factors.decay,
            decays,
        );
        (values, first, second, taken)
    }
}

/// Sums of the squares of `share` values each.
#[cube(launch)]
fn squares(x: &[f32], parts: &mut [f32], #[comptime] share: usize, #[comptime] threads: usize) {
    if CUBE_POS >= parts.len() {
        terminate!();
    }
    let mut shared = Shared::new_slice(threads);
    let mut sum = 0.0f32;
    let mut i = CUBE_POS * share + UNIT_POS as usize;
    while i < (CUBE_POS + 1) * share && i < x.len() {
        sum += x[i] * x[i];
        i += threads;
    }
    let sum = total(sum, &mut shared);
    if UNIT_POS == 0 {
        parts[CUBE_POS] = sum;
    }
}

/// What the gradient is multiplied with, `min(1, clip / (norm + 1e-6))`, and 1 where norm and loss are finite or 0 where
/// they are not.
#[cube(launch)]
fn verdict(
    parts: &[f32],
    loss: &[f32],
    shrink: &mut [f32],
    taken: &mut [f32],
    clip: f32,
    #[comptime] threads: usize,
) {
    let mut shared = Shared::new_slice(threads);
    let mut sum = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < parts.len() {
        sum += parts[i];
        i += threads;
    }
    let squared = total(sum, &mut shared);
    if UNIT_POS == 0 {
        let factor = clip / (squared.sqrt() + 1e-6f32);
        shrink[0] = select(factor < 1.0f32, factor, 1.0f32);
        taken[0] = select(finite(squared) && finite(loss[0]), 1.0f32, 0.0f32);
    }
}

/// Told by the bits: a shader may take it that no value is infinite.
#[cube]
fn finite(x: f32) -> bool {
    let bits = u32::reinterpret(x);
    (bits & 0x7f80_0000u32) != 0x7f80_0000u32
}

#[cube(launch)]
fn step(
    values: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
    decay: &[f32],
    shrink: &[f32],
    taken: &[f32],
    beta1: f32,
    beta2: f32,
    unbias1: f32,
    unbias2: f32,
    epsilon: f32,
    lr: f32,
    lr_decay: f32,
    #[comptime] decays: bool,
) {
    let i = ABSOLUTE_POS;
    if i < values.len() && taken[0] > 0.0f32 {
        let g = gradient[i] * shrink[0];
        let m = first[i] * beta1 + g * (1.0f32 - beta1);
        let v = second[i] * beta2 + g * g * (1.0f32 - beta2);
        let mut value = values[i];
        if decays {
            value -= value * (decay[i] * lr_decay);
        }
        values[i] = value - lr * (m * unbias1 / ((v * unbias2).sqrt() + epsilon));
        first[i] = m;
        second[i] = v;
    }
}
