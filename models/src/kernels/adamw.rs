//! One step of AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2) over flat buffers, with clipping by the
//! global norm.

pub use crate::kernels::cpu::adamw::Factors;
use crate::kernels::cpu::adamw::{squared_norm, step};
use crate::kernels::flex;
use crate::optimizer::AdamW;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

/// What a step moves.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// The trained values.
    pub values: Tensor<1>,
    /// Running mean of the gradient.
    pub first: Tensor<1>,
    /// Running mean of the squared gradient.
    pub second: Tensor<1>,
}

/// What a step is told.
pub(crate) struct Step<'s> {
    /// Number of the step, from 1.
    pub number: u64,
    /// Learning rate.
    pub lr: f64,
    /// Settings.
    pub rule: &'s AdamW,
    /// 1 where weight decay applies; none where there is none.
    pub decay: Option<&'s Tensor<1>>,
}

/// One step along `gradient`; a loss or a gradient that is not finite moves nothing. Returns 1 where the step was taken
/// and 0 where it was not, on the device.
pub(crate) fn adamw(state: &mut Moved, loss: &Tensor<1>, gradient: Tensor<1>, how: &Step<'_>) -> Tensor<1> {
    let nothing = Tensor::zeros([0], &gradient.device());
    let taken = |x: &mut Tensor<1>| std::mem::replace(x, nothing.clone()).into_dispatch();
    let rule = how.rule;
    let unbias = |beta: f64| (1.0 / (1.0 - beta.powi(how.number as i32))) as f32;
    let factors = Factors {
        clip: rule.clip as f32,
        beta1: rule.beta1 as f32,
        beta2: rule.beta2 as f32,
        unbias1: unbias(rule.beta1),
        unbias2: unbias(rule.beta2),
        epsilon: rule.epsilon as f32,
        lr: how.lr as f32,
        decay: (how.lr * rule.weight_decay) as f32,
    };
    let decay = how.decay.cloned().unwrap_or_else(|| nothing.clone());
    let (values, first, second, finite) = <Dispatch as AdamWOps>::adamw_step(
        taken(&mut state.values),
        taken(&mut state.first),
        taken(&mut state.second),
        gradient.into_dispatch(),
        loss.clone().into_dispatch(),
        decay.into_dispatch(),
        factors,
    );
    *state = Moved {
        values: Tensor::from_dispatch(values),
        first: Tensor::from_dispatch(first),
        second: Tensor::from_dispatch(second),
    };
    Tensor::from_dispatch(finite)
}

/// The same with burn's own operations.
#[cfg(test)]
fn adamw_reference(state: &mut Moved, loss: &Tensor<1>, gradient: Tensor<1>, how: &Step<'_>) -> Tensor<1> {
    let (rule, lr, t) = (how.rule, how.lr, how.number as i32);
    let norm = gradient.clone().square().sum().sqrt();
    let finite = (norm.clone() + loss.clone()).is_finite();
    // min(1, clip / (norm + 1e-6)), as torch's clip_grad_norm_.
    let factor = norm.add_scalar(1e-6).recip().mul_scalar(rule.clip).clamp_max(1.0);
    let gradient = gradient * factor;
    let first = state.first.clone().mul_scalar(rule.beta1) + gradient.clone().mul_scalar(1.0 - rule.beta1);
    let second = state.second.clone().mul_scalar(rule.beta2) + gradient.square().mul_scalar(1.0 - rule.beta2);
    let mean = first.clone().div_scalar(1.0 - rule.beta1.powi(t));
    let root = second.clone().div_scalar(1.0 - rule.beta2.powi(t)).sqrt().add_scalar(rule.epsilon);
    let mut values = state.values.clone();
    if let Some(mask) = how.decay {
        values = values.clone() - values * mask.clone().mul_scalar(lr * rule.weight_decay);
    }
    let values = values - (mean / root).mul_scalar(lr);
    let keep = |new: Tensor<1>, old: &Tensor<1>| {
        let n = new.dims()[0];
        old.clone().mask_where(finite.clone().expand([n]), new)
    };
    *state = Moved {
        values: keep(values, &state.values),
        first: keep(first, &state.first),
        second: keep(second, &state.second),
    };
    finite.float()
}

/// The optimizer's step as one operation, without a tape.
#[backend_extension(Flex, Cube: cfg(feature = "wgpu"))]
pub trait AdamWOps: Backend {
    /// Values and moments after the step, and 1 where it was taken or 0; `factors.clip` is the largest norm.
    fn adamw_step(
        values: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        loss: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AdamWOps for Flex {
    fn adamw_step(
        values: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        loss: FloatTensor<Self>,
        decay: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [gradient, loss, decay] = [gradient, loss, decay].map(flex::close);
        let norm = squared_norm(flex::values(&gradient)).sqrt() as f32;
        if !(norm + flex::values(&loss)[0]).is_finite() {
            return (values, first, second, flex::tensor(vec![0.0], [1]));
        }
        let [mut values, mut first, mut second] = [values, first, second].map(flex::own);
        // min(1, clip / (norm + 1e-6)), as torch's clip_grad_norm_.
        let factors = Factors { clip: (factors.clip / (norm + 1e-6)).min(1.0), ..factors };
        let (gradient, decay) = (flex::values(&gradient), flex::values(&decay));
        step(factors, gradient, decay, values.storage_mut(), first.storage_mut(), second.storage_mut());
        (values, first, second, flex::tensor(vec![1.0], [1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{Place, SIZES, drawn, places};
    use crate::learner::host;
    use burn::tensor::Device;

    #[test]
    fn three_fused_steps_are_three_of_the_reference_with_and_without_decay_and_clipping() {
        let cpu = Device::flex();
        for Place { device, tolerance } in places() {
            for n in SIZES.into_iter().chain([1000, 10_000]) {
                for (clip, weight_decay) in [(1e9, 0.0), (0.5, 0.1)] {
                    let rule = AdamW { clip, weight_decay, ..AdamW::default() };
                    let start = |device: &Device| Moved {
                        values: drawn("values", [n], 1.0).to_device(device),
                        first: Tensor::zeros([n], device),
                        second: Tensor::zeros([n], device),
                    };
                    let (mut fused, mut reference) = (start(&device), start(&cpu));
                    let mask = |device: &Device| (weight_decay > 0.0).then(|| Tensor::ones([n], device));
                    let (there, here) = (mask(&device), mask(&cpu));
                    let loss = drawn("loss", [1], 1.0);
                    for number in 1..=3 {
                        let how = Step { number, lr: 0.1, rule: &rule, decay: there.as_ref() };
                        let gradient = drawn(&format!("gradient {number}"), [n], 1.0);
                        let (loss_there, gradient_there) =
                            (loss.clone().to_device(&device), gradient.clone().to_device(&device));
                        let taken = adamw(&mut fused, &loss_there, gradient_there, &how);
                        assert_eq!(host(taken), [1.0]);
                        let how = Step { decay: here.as_ref(), ..how };
                        adamw_reference(&mut reference, &loss, gradient, &how);
                    }
                    for (a, b) in [
                        (&fused.values, &reference.values),
                        (&fused.first, &reference.first),
                        (&fused.second, &reference.second),
                    ] {
                        for (a, b) in host(a.clone()).into_iter().zip(host(b.clone())) {
                            assert!(
                                (a - b).abs() < tolerance * (1.0 + b.abs()),
                                "{device:?}, {n} values: {a}, by the reference {b}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_gradient_or_a_loss_that_is_no_number_moves_nothing() {
        for Place { device, .. } in places() {
            let start = Moved {
                values: drawn("values", [20], 1.0).to_device(&device),
                first: drawn("first", [20], 1.0).to_device(&device),
                second: drawn("second", [20], 1.0).abs().to_device(&device),
            };
            let rule = AdamW::default();
            let how = Step { number: 1, lr: 0.1, rule: &rule, decay: None };
            let (fine, odd) = (drawn("fine", [20], 1.0), drawn("odd", [20], 1.0) / 0.0);
            for (loss, gradient) in
                [(fine.clone().narrow(0, 0, 1), odd.clone()), (odd.narrow(0, 0, 1) * 0.0, fine)]
            {
                let mut state = start.clone();
                let (loss, gradient) = (loss.to_device(&device), gradient.to_device(&device));
                assert_eq!(host(adamw(&mut state, &loss, gradient, &how)), [0.0]);
                assert_eq!(host(state.values), host(start.values.clone()));
                assert_eq!(host(state.second), host(start.second.clone()));
            }
        }
    }
}
