//! AdamW over one flat buffer (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2), with clipping by the
//! global norm.
//!
//! The update is written with tensor operations, so nothing is read back from the device between steps.
//! `sgd.rs` beside it is gradient descent with momentum.

mod sgd;

pub use sgd::{Rule, Sgd};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Settings of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, on matrices.
    pub weight_decay: f64,
    /// Largest global norm of a gradient; larger ones are scaled down to it.
    pub clip: f64,
}

impl Default for AdamW {
    /// β, ε and decay as in PyTorch; clip 1.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, clip: 1.0 }
    }
}

/// The optimizer's memory, outside the tensors: it belongs to a device's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Running mean of the gradient; empty before the first step.
    pub first: Vec<f32>,
    /// Running mean of the squared gradient.
    pub second: Vec<f32>,
    /// Steps taken.
    pub steps: u64,
}

/// Values and moments on the device, during a job.
pub(crate) struct Flat {
    pub values: Tensor<1>,
    pub first: Tensor<1>,
    pub second: Tensor<1>,
    pub steps: u64,
}

impl Flat {
    /// One step along `gradient`. `decay` is 1 where weight decay applies, `None` where there is none.
    ///
    /// A loss or a gradient that is not finite leaves values and moments as they are. Returns 1 where the step was
    /// taken and 0 where it was not, on the device.
    pub(crate) fn step(
        &mut self,
        loss: &Tensor<1>,
        gradient: Tensor<1>,
        lr: f64,
        rule: &AdamW,
        decay: Option<&Tensor<1>>,
    ) -> Tensor<1> {
        self.steps += 1;
        let t = self.steps as i32;
        let norm = gradient.clone().square().sum().sqrt();
        let finite = (norm.clone() + loss.clone()).is_finite();
        // min(1, clip / (norm + 1e-6)), as torch's clip_grad_norm_.
        let factor = norm.add_scalar(1e-6).recip().mul_scalar(rule.clip).clamp_max(1.0);
        let gradient = gradient * factor;
        let first = self.first.clone().mul_scalar(rule.beta1) + gradient.clone().mul_scalar(1.0 - rule.beta1);
        let second =
            self.second.clone().mul_scalar(rule.beta2) + gradient.square().mul_scalar(1.0 - rule.beta2);
        let mean = first.clone().div_scalar(1.0 - rule.beta1.powi(t));
        let root = second.clone().div_scalar(1.0 - rule.beta2.powi(t)).sqrt().add_scalar(rule.epsilon);
        let mut values = self.values.clone();
        if let Some(mask) = decay {
            values = values.clone() - values * mask.clone().mul_scalar(lr * rule.weight_decay);
        }
        let values = values - (mean / root).mul_scalar(lr);
        let keep = |new: Tensor<1>, old: &Tensor<1>| {
            let n = new.dims()[0];
            old.clone().mask_where(finite.clone().expand([n]), new)
        };
        self.values = keep(values, &self.values);
        self.first = keep(first, &self.first);
        self.second = keep(second, &self.second);
        finite.float()
    }
}

/// How the learning rate moves over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine from 1 down to the floor.
    Cosine,
    /// A straight line from 1 down to the floor.
    Linear,
    /// Always 1.
    Constant,
}

impl Schedule {
    /// The factor at `progress` (0 at the start, 1 at the end) when it may fall to `floor`.
    pub fn factor(self, progress: f64, floor: f64) -> f64 {
        let left = match self {
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()),
            Self::Linear => 1.0 - progress.clamp(0.0, 1.0),
            Self::Constant => 1.0,
        };
        floor + (1.0 - floor) * left
    }
}
