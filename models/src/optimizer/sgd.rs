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
            gradient = gradient + self.values.clone() * mask.clone().mul_scalar(rule.weight_decay);
        }
        let direction = self.first.clone().mul_scalar(rule.momentum) + gradient;
        let values = self.values.clone() - direction.clone().mul_scalar(lr);
        let taken = finite.clone().expand([values.dims()[0]]);
        self.values = self.values.clone().mask_where(taken.clone(), values);
        self.first = self.first.clone().mask_where(taken, direction);
        finite.float()
    }
}
