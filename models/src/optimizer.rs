//! The optimizers over one flat buffer, and how their learning rate moves. A step of AdamW (Loshchilov & Hutter 2019, arXiv
//! 1711.05101) is an operation, [`crate::kernels::adamw`]; `sgd.rs` is gradient descent with momentum.

mod sgd;

pub use sgd::{Rule, Sgd};

use crate::kernels::adamw::{Moved, Step, adamw};
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
    pub state: Moved,
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
        adamw(&mut self.state, loss, gradient, &Step { number: self.steps, lr, rule, decay })
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
