//! Normalisation over the last axis, `[rows, width] -> [rows, width]`.

use burn::tensor::Tensor;

/// `x / rms(x) · gain` (Zhang & Sennrich 2019, equation 4).
pub(crate) fn rms_norm(x: Tensor<2>, gain: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let scale = x.clone().square().mean_dim(1).add_scalar(epsilon).sqrt().recip();
    x * scale * gain
}

/// `(x − mean(x)) / sd(x) · gain + bias` (Ba et al. 2016, equation 4).
pub(crate) fn layer_norm(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let scale = centred.clone().square().mean_dim(1).add_scalar(epsilon).sqrt().recip();
    centred * scale * gain + bias
}
