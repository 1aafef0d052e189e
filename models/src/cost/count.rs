//! The slow reference of the closed forms: every product of matrices of a pass, one after the other.
//!
//! [`count`] walks the graph that the decoder builds; that it is the decoder's is tested by counting what a real
//! forward pass executes.

use crate::adapter::Layout;
use crate::spec::{DecoderSpec, Residual};

/// FLOPs of a batch.
pub(super) struct Passes {
    pub forward: f64,
    pub backward: f64,
}

impl Passes {
    pub(super) fn training(&self) -> f64 {
        self.forward + self.backward
    }
}

/// A value on its way through the graph: whether a gradient is wanted for it.
type Tracked = bool;

struct Walk<'w> {
    spec: &'w DecoderSpec,
    layout: &'w Layout,
    batch: usize,
    time: usize,
    forward: f64,
    backward: f64,
}

/// Counts a forward pass over `batch` sequences of `time` tokens with scores for every token, and its backward pass.
pub(super) fn count(spec: &DecoderSpec, layout: &Layout, batch: usize, time: usize) -> Passes {
    let mut walk = Walk { spec, layout, batch, time, forward: 0.0, backward: 0.0 };
    let mut x = walk.trains("embedding");
    for block in 0..spec.layers {
        x = walk.block(&format!("blocks.{block}"), x);
    }
    x |= walk.trains("final_norm.gain");
    let head = if spec.tied { "embedding" } else { "head.weight" };
    walk.product(batch * time, spec.width, spec.vocab, x, walk.trains(head));
    Passes { forward: walk.forward, backward: walk.backward }
}

impl Walk<'_> {
    fn trains(&self, name: &str) -> Tracked {
        self.layout.entries().iter().any(|entry| entry.name == name)
    }

    /// `[m, k] · [k, n]`: one product forward, one backward for each side that wants a gradient.
    fn product(&mut self, m: usize, k: usize, n: usize, left: Tracked, right: Tracked) -> Tracked {
        let flops = 2.0 * m as f64 * k as f64 * n as f64;
        self.forward += flops;
        self.backward += flops * (f64::from(u8::from(left)) + f64::from(u8::from(right)));
        left || right
    }

    /// A linear map with the low-rank updates that stand on it or on its parts.
    fn linear(&mut self, block: &str, parts: &[&str], k: usize, n: usize, x: Tracked) -> Tracked {
        let rows = self.batch * self.time;
        let mut y = self.product(rows, k, n, x, self.trains(&format!("{block}.{}.weight", parts[0])));
        for part in parts {
            let update = |end: &str| {
                let name = format!("{block}.{part}.{end}");
                self.layout.entries().iter().find(|entry| entry.name == name).map(|entry| entry.shape)
            };
            if let (Some([k, r]), Some([_, n])) = (update("lora_a"), update("lora_b")) {
                let inner = self.product(rows, k, r, x, true);
                y |= self.product(rows, r, n, inner, true);
            }
        }
        y
    }

    fn block(&mut self, name: &str, x: Tracked) -> Tracked {
        let (d, f) = (self.spec.width, self.spec.mlp);
        let [q, k, v] = self.spec.qkv_widths();
        let normed = x || self.trains(&format!("{name}.attention_norm.gain"));
        let qkv = self.linear(name, &["qkv", "q", "k", "v"], d, q + k + v, normed);
        for _ in 0..self.batch * self.spec.heads {
            let scores = self.product(self.time, self.spec.head_width, self.time, qkv, qkv);
            self.product(self.time, self.time, self.spec.head_width, scores, qkv);
        }
        let attended = self.linear(name, &["o"], q, d, qkv);
        let between = x || attended;
        let read = match self.spec.residual {
            Residual::Serial => between || self.trains(&format!("{name}.mlp_norm.gain")),
            Residual::Parallel => x || self.trains(&format!("{name}.mlp_norm.gain")),
            Residual::ParallelShared => normed,
        };
        let mut inner = self.linear(name, &["up"], d, f, read);
        if self.spec.gated() {
            inner |= self.linear(name, &["gate"], d, f, read);
        }
        self.linear(name, &["down"], f, d, inner) || between
    }
}

#[test]
fn the_walk_counts_what_a_real_forward_pass_multiplies() {
    use crate::adapter::{LoraSpec, Target};
    use crate::base::{Base, HostWeights};
    use crate::device::Compute;
    use crate::kernels::frozen::multiplied;
    use crate::score::score_ids;
    use crate::spec::Family;
    use crate::tokenizer::Tokenizer;

    let tokenizer = Tokenizer::train_byte_level(["where is the lamp"], 262).unwrap();
    for family in Family::ALL {
        let mut spec = DecoderSpec::of(family, 262, 24, 2, 4, 40, 16);
        if family == Family::Llama {
            spec.kv_heads = 2;
        }
        let host: HostWeights = spec
            .tensors()
            .into_iter()
            .map(|(name, shape)| (name, vec![0.01; shape.iter().product()]))
            .collect();
        let base = Base::new("count", spec.clone(), tokenizer.clone(), &host, &Compute::cpu());
        let targets = vec![Target::Q, Target::V, Target::O, Target::Up];
        let lora = LoraSpec { rank: 3, alpha: 3.0, targets, modules_to_save: Vec::new() };
        for layout in [Layout::none(), Layout::lora(&spec, &lora)] {
            let values = vec![0.01; layout.total()];
            let before = multiplied();
            score_ids(&base, &[(&layout, &values)], &[5; 11]);
            let executed = multiplied() - before;
            assert_eq!(count(&spec, &layout, 1, 11).forward, executed, "{family:?}");
        }
    }
}
