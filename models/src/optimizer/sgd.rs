//! Stochastic gradient descent with momentum over one flat buffer, as `torch.optim.SGD` takes it (dampening 0, no
//! Nesterov): `g ← g + λ θ`, `b ← μ b + g`, `θ ← θ − η b`.
//!
//! Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning". The first moment of
//! [`Moments`](super::Moments) is b; the second stays as it is.

use super::{AdamW, Flat};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Settings of gradient descent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// What is kept of the direction before, μ; 0 for plain descent.
    pub momentum: f64,
    /// Weight decay λ, part of the gradient, on matrices.
    pub weight_decay: f64,
    /// Largest global norm of a gradient; larger ones are scaled down to it.
    pub clip: f64,
}

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// AdamW.
    #[serde(rename = "adamw")]
    AdamW(AdamW),
    /// Gradient descent with momentum.
    Sgd(Sgd),
}

impl Rule {
    /// Whether and how much weights decay.
    pub(crate) fn weight_decay(&self) -> f64 {
        match self {
            Self::AdamW(rule) => rule.weight_decay,
            Self::Sgd(rule) => rule.weight_decay,
        }
    }
}

impl From<AdamW> for Rule {
    fn from(rule: AdamW) -> Self {
        Self::AdamW(rule)
    }
}

impl From<Sgd> for Rule {
    fn from(rule: Sgd) -> Self {
        Self::Sgd(rule)
    }
}

impl Flat {
    /// One step of descent along `gradient`; `decay` is 1 where weight decay applies. `correction` is added to the
    /// clipped gradient (SCAFFOLD's c − c_k).
    ///
    /// A loss or a gradient that is not finite leaves values and momentum as they are. Returns 1 where the step was
    /// taken and 0 where it was not, on the device.
    pub(crate) fn descend(
        &mut self,
        loss: &Tensor<1>,
        gradient: Tensor<1>,
        lr: f64,
        rule: &Sgd,
        decay: Option<&Tensor<1>>,
        correction: Option<&Tensor<1>>,
    ) -> Tensor<1> {
        self.steps += 1;
        let norm = gradient.clone().square().sum().sqrt();
        let finite = (norm.clone() + loss.clone()).is_finite();
        // min(1, clip / (norm + 1e-6)), as torch's clip_grad_norm_.
        let mut gradient = gradient * norm.add_scalar(1e-6).recip().mul_scalar(rule.clip).clamp_max(1.0);
        if let Some(correction) = correction {
            gradient = gradient + correction.clone();
        }
        if let Some(mask) = decay {
            gradient = gradient + self.state.values.clone() * mask.clone().mul_scalar(rule.weight_decay);
        }
        let direction = self.state.first.clone().mul_scalar(rule.momentum) + gradient;
        let values = self.state.values.clone() - direction.clone().mul_scalar(lr);
        let taken = finite.clone().expand([values.dims()[0]]);
        self.state.values = self.state.values.clone().mask_where(taken.clone(), values);
        self.state.first = self.state.first.clone().mask_where(taken, direction);
        finite.float()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Compute;
    use crate::kernels::adamw::Moved;
    use burn::tensor::TensorData;

    const GRADIENTS: [[f32; 3]; 3] = [[3.0, -4.0, 12.0], [0.1, 0.2, -0.3], [0.0, 1.0, 0.5]];

    fn vector(values: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), Compute::cpu().device())
    }

    fn start() -> Flat {
        let zeros = || vector(&[0.0; 3]);
        let state = Moved { values: vector(&[1.0, -2.0, 0.5]), first: zeros(), second: zeros() };
        Flat { state, steps: 0 }
    }

    fn host(tensor: &Tensor<1>) -> Vec<f32> {
        tensor.clone().into_data().try_into_vec().expect("floats")
    }

    /// Three steps at rate 0.5, the last value without decay.
    fn three_steps(rule: Sgd) -> Vec<Vec<f32>> {
        let (mut flat, decay) = (start(), vector(&[1.0, 1.0, 0.0]));
        let steps = GRADIENTS.iter().map(|gradient| {
            let taken = flat.descend(&vector(&[1.0]), vector(gradient), 0.5, &rule, Some(&decay), None);
            assert_eq!(host(&taken), [1.0]);
            host(&flat.state.values)
        });
        steps.collect()
    }

    fn near(found: &[Vec<f32>], expected: [[f32; 3]; 3]) {
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    /// `torch.optim.SGD(lr=0.5, momentum=0.9, weight_decay=0.1)` after `clip_grad_norm_(…, 1.0)`, torch 2.
    #[test]
    fn steps_are_those_of_torch() {
        near(
            &three_steps(Sgd { momentum: 0.9, weight_decay: 0.1, clip: 1.0 }),
            [
                [0.834_615_4, -1.746_154, 0.038_461_574],
                [0.594_038_5, -1.530_384_6, -0.226_923],
                [0.347_817_33, -1.706_886_3, -0.689_375_73],
            ],
        );
        near(
            &three_steps(Sgd { momentum: 0.0, weight_decay: 0.0, clip: 1e9 }),
            [[-0.5, 0.0, -5.5], [-0.55, -0.1, -5.35], [-0.55, -0.6, -5.6]],
        );
    }

    #[test]
    fn a_correction_is_added_behind_the_clip() {
        let mut flat = start();
        let rule = Sgd { momentum: 0.0, weight_decay: 0.0, clip: 1.0 };
        let correction = vector(&[10.0, 0.0, -10.0]);
        flat.descend(&vector(&[1.0]), vector(&[0.0, 5.0, 0.0]), 0.1, &rule, None, Some(&correction));
        for (found, expected) in host(&flat.state.values).iter().zip([0.0, -2.1, 1.5]) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn what_is_not_finite_moves_nothing() {
        let rule = Sgd { momentum: 0.9, weight_decay: 0.0, clip: 1.0 };
        for (loss, gradient) in [(f32::NAN, [1.0; 3]), (1.0, [f32::INFINITY, 0.0, 0.0])] {
            let mut flat = start();
            let taken = flat.descend(&vector(&[loss]), vector(&gradient), 0.5, &rule, None, None);
            assert_eq!((host(&taken), host(&flat.state.values)), (vec![0.0], vec![1.0, -2.0, 0.5]));
            assert_eq!(host(&flat.state.first), [0.0; 3]);
        }
    }
}
