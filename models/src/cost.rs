//! What work on a model costs, in closed form: floating-point operations, bytes, memory.
//!
//! A [`ModelShape`] is either the shape of a base that really computes or the shape it is billed as. Per token,
//! with N parameters of which n are trained, L layers, width d and T tokens of context (WORLD §2; Kaplan et al.
//! 2020, table 1):
//!
//! | pass     | FLOPs |
//! |----------|-------|
//! | forward  | 2 N + 4 L T d |
//! | training | 2 N (forward) + 2 N (activation gradients) + 2 n (weight gradients) + 3 · 4 L T d |

use crate::adapter::Layout;
use crate::spec::DecoderSpec;
use serde::{Deserialize, Serialize};

/// The shape that is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Parameters of the frozen base, N.
    pub parameters: f64,
    /// Trained parameters, n.
    pub trained: f64,
    /// Layers, L.
    pub layers: f64,
    /// Width of the residual stream, d.
    pub width: f64,
    /// Size of one frozen weight.
    pub bits_per_weight: f64,
}

impl ModelShape {
    /// The shape of a model that is billed as what it is.
    pub fn of(spec: &DecoderSpec, layout: &Layout) -> Self {
        Self {
            parameters: spec.parameters() as f64,
            trained: layout.total() as f64,
            layers: spec.layers as f64,
            width: spec.width as f64,
            bits_per_weight: 32.0,
        }
    }

    /// FLOPs of reading `tokens` tokens with `context` tokens of attention each.
    pub fn forward_flops(&self, tokens: f64, context: f64) -> f64 {
        tokens * (2.0 * self.parameters + 4.0 * self.layers * context * self.width)
    }

    /// FLOPs of one training pass over `tokens` tokens, base frozen, with `context` tokens of attention each.
    pub fn training_flops(&self, tokens: f64, context: f64) -> f64 {
        tokens * (4.0 * self.parameters + 2.0 * self.trained + 3.0 * 4.0 * self.layers * context * self.width)
    }

    /// Bytes of frozen weights that one pass moves from memory \[B\].
    pub fn weight_bytes(&self) -> f64 {
        self.parameters * self.bits_per_weight / 8.0
    }

    /// Bytes of memory that training needs: weights, adapter with gradient and two moments in f32, and the
    /// activations of `tokens` tokens (34 values of f16 a layer, token and unit of width; Korthikanti et al.
    /// 2022, without recomputation) \[B\].
    pub fn training_memory_bytes(&self, tokens: f64) -> f64 {
        self.weight_bytes() + 16.0 * self.trained + 34.0 * tokens * self.layers * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{LoraSpec, Target};
    use crate::spec::Family;

    #[test]
    fn a_forward_pass_costs_two_flops_a_parameter_and_its_attention() {
        let spec = DecoderSpec::of(Family::Llama, 512, 64, 2, 4, 128, 96);
        let lora = LoraSpec { rank: 4, alpha: 8.0, targets: vec![Target::Q], modules_to_save: Vec::new() };
        let shape = ModelShape::of(&spec, &Layout::lora(&spec, &lora));
        let expected = 10.0 * (2.0 * spec.parameters() as f64 + 4.0 * 2.0 * 30.0 * 64.0);
        assert_eq!(shape.forward_flops(10.0, 30.0), expected);
    }
}
