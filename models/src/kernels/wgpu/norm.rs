//! RMSNorm and LayerNorm: a row a workgroup. The statistics of a row are computed again for its gradient.

use super::reduce::total;
use super::{Values, close, count, each_row, empty, size, threads};
use crate::kernels::norm::{NormGradients, NormOps};
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use cubecl::prelude::*;

/// Rows whose share of the gradients of gain and bias one thread adds up.
const ROWS: usize = 32;

impl NormOps for Cube {
    fn fused_rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        forward(x, gain.clone(), gain, epsilon, false)
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        forward(x, gain, bias, epsilon, true)
    }
}

impl NormGradients for Cube {
    fn rms_norm_back(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        grad: FloatTensor<Self>,
        [_, gain_wanted]: [bool; 2],
    ) -> [FloatTensor<Self>; 2] {
        let [x, gain, _] = backward(x, gain, epsilon, grad, gain_wanted, false);
        [x, gain]
    }

    fn layer_norm_back(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        grad: FloatTensor<Self>,
        [_, gain_wanted, bias_wanted]: [bool; 3],
    ) -> [FloatTensor<Self>; 3] {
        backward(x, gain, epsilon, grad, gain_wanted || bias_wanted, true)
    }
}

/// `bias` is read where rows are `centred`.
fn forward(x: Values, gain: Values, bias: Values, epsilon: f32, centred: bool) -> Values {
    let (x, gain, bias) = (close(x), close(gain), close(bias));
    let [rows, width] = size(&x);
    let out = empty(&x, [rows, width]);
    let (groups, group) = each_row(rows, width);
    normalise::launch(
        &x.client.clone(),
        groups,
        group,
        x.into_buffer_arg(),
        gain.into_buffer_arg(),
        bias.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        epsilon,
        centred,
        threads(width),
    );
    out
}

/// The gradients of input, gain and bias; the latter two are computed only if `parameters` are wanted.
fn backward(
    x: Values,
    gain: Values,
    epsilon: f32,
    grad: Values,
    parameters: bool,
    centred: bool,
) -> [Values; 3] {
    let (x, gain, grad) = (close(x), close(gain), close(grad));
    let [rows, width] = size(&x);
    let (to, statistics) = (empty(&x, [rows, width]), empty(&x, [rows, 2]));
    let client = x.client.clone();
    let (groups, group) = each_row(rows, width);
    normalise_back::launch(
        &client,
        groups,
        group,
        x.clone().into_buffer_arg(),
        gain.clone().into_buffer_arg(),
        grad.clone().into_buffer_arg(),
        to.clone().into_buffer_arg(),
        statistics.clone().into_buffer_arg(),
        epsilon,
        centred,
        threads(width),
    );
    if !parameters {
        return [to, gain.clone(), gain];
    }
    let parts = rows.div_ceil(ROWS);
    let (to_gain, to_bias) = (empty(&x, [parts, width]), empty(&x, [parts, width]));
    let columns = threads(width);
    let (groups, group) = each_row(parts * width.div_ceil(columns), columns);
    parameters_back::launch(
        &client,
        groups,
        group,
        x.into_buffer_arg(),
        grad.into_buffer_arg(),
        statistics.into_buffer_arg(),
        to_gain.clone().into_buffer_arg(),
        to_bias.clone().into_buffer_arg(),
        width as u32,
        ROWS,
    );
    debug_assert_eq!(count(&to_gain), parts * width);
    [to, Cube::float_sum_dim(to_gain, 0), Cube::float_sum_dim(to_bias, 0)]
}

/// Mean of a row of `width` values from `start`, 0 unless rows are `centred`; and `1 / √(mean((x − mean)²) + ε)`.
#[cube]
fn statistics_of(
    x: &[f32],
    start: usize,
    width: usize,
    epsilon: f32,
    shared: &mut Shared<[f32]>,
    #[comptime] centred: bool,
    #[comptime] threads: usize,
) -> (f32, f32) {
    let mut mean = 0.0f32;
    if centred {
        let mut sum = 0.0f32;
        let mut i = UNIT_POS as usize;
        while i < width {
            sum += x[start + i];
            i += threads;
        }
        mean = total(sum, shared) / width as f32;
    }
    let mut squares = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < width {
        let apart = x[start + i] - mean;
        squares += apart * apart;
        i += threads;
    }
    (mean, 1.0f32 / (total(squares, shared) / width as f32 + epsilon).sqrt())
}

#[cube(launch)]
fn normalise(
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
    out: &mut [f32],
    epsilon: f32,
    #[comptime] centred: bool,
    #[comptime] threads: usize,
) {
    let width = gain.len();
    let start = CUBE_POS * width;
    if start >= out.len() {
        terminate!();
    }
    let mut shared = Shared::new_slice(threads);
    let (middle, scale) = statistics_of(x, start, width, epsilon, &mut shared, centred, threads);
    let mut i = UNIT_POS as usize;
    while i < width {
        let mut value = (x[start + i] - middle) * scale * gain[i];
        if centred {
            value += bias[i];
        }
        out[start + i] = value;
        i += threads;
    }
}

/// The gradient of the input; mean and inverse deviation of every row are kept in `statistics`.
#[cube(launch)]
fn normalise_back(
    x: &[f32],
    gain: &[f32],
    grad: &[f32],
    to: &mut [f32],
    statistics: &mut [f32],
    epsilon: f32,
    #[comptime] centred: bool,
    #[comptime] threads: usize,
) {
    let width = gain.len();
    let start = CUBE_POS * width;
    if start >= to.len() {
        terminate!();
    }
    let mut shared = Shared::new_slice(threads);
    let (middle, scale) = statistics_of(x, start, width, epsilon, &mut shared, centred, threads);
    let mut push = 0.0f32;
    let mut pull = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < width {
        let slope = grad[start + i] * gain[i];
        push += slope;
        pull += slope * (x[start + i] - middle) * scale;
        i += threads;
    }
    let pull = total(pull, &mut shared) / width as f32;
    let mut shift = 0.0f32;
    if centred {
        shift = total(push, &mut shared) / width as f32;
    }
    let mut i = UNIT_POS as usize;
    while i < width {
        let unit = (x[start + i] - middle) * scale;
        to[start + i] = scale * (grad[start + i] * gain[i] - shift - pull * unit);
        i += threads;
    }
    if UNIT_POS == 0 {
        statistics[2 * CUBE_POS] = middle;
        statistics[2 * CUBE_POS + 1] = scale;
    }
}

/// The gradients of gain and bias, added up over `rows` rows each: a column a thread.
#[cube(launch)]
fn parameters_back(
    x: &[f32],
    grad: &[f32],
    statistics: &[f32],
    to_gain: &mut [f32],
    to_bias: &mut [f32],
    width: u32,
    #[comptime] rows: usize,
) {
    let width = width as usize;
    let blocks = width.div_ceil(CUBE_DIM as usize);
    let part = CUBE_POS / blocks;
    let column = CUBE_POS % blocks * CUBE_DIM as usize + UNIT_POS as usize;
    let at = part * width + column;
    if column < width && at < to_gain.len() {
        let mut gain = 0.0f32;
        let mut bias = 0.0f32;
        let mut row = part * rows;
        while row < (part + 1) * rows && row * width < x.len() {
            let slope = grad[row * width + column];
            gain += slope * (x[row * width + column] - statistics[2 * row]) * statistics[2 * row + 1];
            bias += slope;
            row += 1;
        }
        to_gain[at] = gain;
        to_bias[at] = bias;
    }
}
