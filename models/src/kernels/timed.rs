//! Every operation of a decoder on drawn inputs, to be timed on any device; no tensor is in its interface.

use super::activation::{gelu, gelu_erf, relu, swiglu};
use super::adamw::{Moved, Step, adamw};
use super::attention::{AttentionShape, CachedKeys, PositionTables, Reading, causal_attention};
use super::dropout::{Dropout, dropout};
use super::frozen::frozen_matmul;
use super::head::{self, Divergence, Lesson, SoftTargets};
use super::low_rank::{Update, add_low_ranks};
use super::norm::{layer_norm, rms_norm};
use crate::device::Compute;
use crate::optimizer::{AdamW, Flat, Sgd};
use crate::spec::{DecoderSpec, Family};
use burn::tensor::{DType, Device, Tensor, TensorData};
use cotune_kernel::stream::Stream;
use std::hint::black_box;

/// Sizes of a batch and of a decoder.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences of a batch.
    pub sequences: usize,
    /// Tokens of each.
    pub time: usize,
    /// Width of the decoder.
    pub width: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Inner width of an MLP.
    pub mlp: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Rank of low-rank updates.
    pub rank: usize,
}

/// An operation, and inputs for it.
pub struct Timed {
    /// Its name.
    pub operation: &'static str,
    /// Whether it has a backward pass.
    pub learns: bool,
    /// Values that go in.
    pub values: u64,
    device: Device,
    prepare: Prepare,
}

/// Puts inputs in place on a device.
type Prepare = Box<dyn Fn(Passes, &Device) -> Work>;

/// What remains to be done once inputs are in place.
pub type Work = Box<dyn FnOnce()>;

/// What is timed of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Without a tape.
    Forward,
    /// Forward with a tape, and the gradients of all inputs.
    Both,
}

impl Timed {
    /// Puts inputs of their own in place, so that only the operation itself is timed; it is over when [`wait`] returns.
    pub fn prepare(&self, passes: Passes) -> Work {
        let work = (self.prepare)(passes, &self.device);
        finish(&self.device);
        work
    }

    /// `of` on normal values of the given shapes.
    fn new(
        device: &Device,
        operation: &'static str,
        shapes: &[[usize; 2]],
        of: impl Fn(Vec<Tensor<2>>) -> Tensor<2> + Clone + 'static,
    ) -> Self {
        let inputs: Vec<(Vec<f32>, [usize; 2])> =
            shapes.iter().map(|shape| (normals(operation, *shape), *shape)).collect();
        let prepare = move |passes: Passes, device: &Device| -> Work {
            // Written by a loop, as the operation before would: a plain copy of so much goes past the caches.
            let one = black_box(1.0_f32);
            let input = |(values, shape): &(Vec<f32>, [usize; 2])| {
                let values: Vec<f32> = values.iter().map(|value| value * one).collect();
                let tensor = Tensor::from_data(TensorData::new(values, *shape), device);
                if passes == Passes::Both { tensor.autodiff().require_grad() } else { tensor }
            };
            let (of, inputs): (_, Vec<Tensor<2>>) = (of.clone(), inputs.iter().map(input).collect());
            Box::new(move || {
                let out = of(inputs);
                if passes == Passes::Both {
                    drop(out.backward());
                }
            })
        };
        let values = shapes.iter().map(|[rows, columns]| (rows * columns) as u64).sum();
        Self { operation, learns: true, values, device: device.clone(), prepare: Box::new(prepare) }
    }

    /// Work that keeps no tape.
    fn untracked(
        device: &Device,
        operation: &'static str,
        values: usize,
        prepare: impl Fn(&Device) -> Work + 'static,
    ) -> Self {
        let prepare = move |_: Passes, device: &Device| prepare(device);
        let values = values as u64;
        Self { operation, learns: false, values, device: device.clone(), prepare: Box::new(prepare) }
    }
}

/// Waits until a device has done all that it was given; the CPU always has.
///
/// # Panics
/// The device cannot go on.
pub fn wait(compute: &Compute) {
    finish(compute.device());
}

fn finish(device: &Device) {
    device.sync().expect("the device does what it is given");
}

fn normals(name: &str, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut stream = Stream::keyed(1, name);
    (0..rows * columns).map(|_| stream.normal() as f32).collect()
}

fn drawn(name: &str, shape: [usize; 2]) -> TensorData {
    TensorData::new(normals(name, shape), shape)
}

/// Every operation at these sizes, on a device.
pub fn operations(sizes: Sizes, compute: &Compute) -> Vec<Timed> {
    let on = compute.device();
    let Sizes { sequences, time, width, heads, mlp, vocab, rank } = sizes;
    let rows = sequences * time;
    let (hidden, inner) = ([rows, width], [rows, mlp]);
    let attention = |family| {
        let spec = DecoderSpec::of(family, vocab, width, 1, heads, mlp, 2 * time);
        let shape =
            AttentionShape { batch: sequences, time, heads, kv_heads: heads, head_width: width / heads };
        (PositionTables::new(&spec, on), shape)
    };
    let causal = |operation, family| {
        let (tables, shape) = attention(family);
        Timed::new(on, operation, &[[rows, shape.qkv_width()]], move |x| {
            causal_attention(x[0].clone(), shape, &tables)
        })
    };
    let learn = |operation, soft, kind| {
        let lesson = lesson(rows, vocab, soft, kind);
        Timed::new(on, operation, &[[rows, vocab]], move |mut x| {
            head::loss(x.remove(0), lesson.clone()).reshape([1, 1])
        })
    };
    let (tables, shape) = attention(Family::Llama);
    let mut operations = vec![
        Timed::new(on, "RMSNorm", &[hidden, [1, width]], |x| rms_norm(x[0].clone(), x[1].clone(), 1e-5)),
        Timed::new(on, "LayerNorm", &[hidden, [1, width], [1, width]], |x| {
            layer_norm(x[0].clone(), x[1].clone(), x[2].clone(), 1e-5)
        }),
        Timed::new(on, "SwiGLU", &[inner, inner], |x| swiglu(x[0].clone(), x[1].clone())),
        Timed::new(on, "GELU, tanh", &[inner], |x| gelu(x[0].clone())),
        Timed::new(on, "GELU, erf", &[inner], |x| gelu_erf(x[0].clone())),
        Timed::new(on, "ReLU", &[inner], |x| relu(x[0].clone())),
        causal("attention, rotary", Family::Llama),
        causal("attention, ALiBi", Family::Bloom),
        Timed::untracked(on, "attention, one token with a cache", rows * width, move |device| {
            one_token(shape, tables.clone(), device)
        }),
        Timed::new(on, "product, f32 weights", &[hidden, [width, mlp]], |x| {
            frozen_matmul(x[0].clone(), x[1].clone())
        }),
        Timed::new(
            on,
            "low-rank updates of q, k, v",
            &[[rows, 3 * width], hidden, [width, 3 * rank], [rank, 3 * width]],
            move |x| {
                let update = |i: usize| Update {
                    a: Some(x[2].clone().narrow(1, i * rank, rank)),
                    b: x[3].clone().narrow(1, i * width, width),
                    scale: 2.0,
                    columns: i * width..(i + 1) * width,
                };
                add_low_ranks(x[0].clone(), x[1].clone(), &[0, 1, 2].map(update))
            },
        ),
        Timed::new(on, "dropout", &[hidden], |x| {
            dropout(x[0].clone(), &Dropout { rate: 0.1, seed: 1, path: "timed".to_owned() })
        }),
        Timed::new(
            on,
            "low-rank update of every sequence's own",
            &[hidden, hidden, [sequences * width, rank], [sequences * rank, width]],
            move |x| {
                let (a, b) = (Some(x[2].clone()), x[3].clone());
                let update = Update { a, b, scale: 2.0, columns: 0..width };
                add_low_ranks(x[0].clone(), x[1].clone(), &[update])
            },
        ),
        learn("head, cross-entropy", SoftTargets::default(), Divergence::Forward),
        learn("head, cross-entropy and top-16 divergence", soft_targets(rows, vocab), Divergence::Forward),
        learn("head, reverse divergence", soft_targets(rows, vocab), Divergence::Reverse),
        learn("head, Jensen-Shannon", soft_targets(rows, vocab), Divergence::Jsd),
        Timed::new(on, "head, cross-entropy of every sequence", &[[rows, vocab]], move |mut x| {
            let own = lesson(time, vocab, SoftTargets::default(), Divergence::Forward);
            head::losses(x.remove(0), vec![own; sequences]).reshape([1, sequences])
        }),
        Timed::untracked(on, "AdamW", vocab * width, move |device| adamw_step(vocab * width, device)),
        Timed::untracked(on, "descent with momentum", vocab * width, move |device| {
            descent_step(vocab * width, device)
        }),
    ];
    // Elsewhere weights are f32, whatever their file holds.
    if compute.is_cpu() {
        let w = Tensor::<2>::from_data(drawn("weights", [width, mlp]), on).cast(DType::F16);
        let product = move |x: Vec<Tensor<2>>| frozen_matmul(x[0].clone(), w.clone());
        operations.push(Timed::new(on, "product, f16 weights", &[hidden], product));
    }
    operations
}

/// Cross-entropy of every row, and soft targets.
fn lesson(rows: usize, vocab: usize, soft: SoftTargets, kind: Divergence) -> Lesson {
    let targets = (0..rows).map(|row| (row * 7919 % vocab) as u32).collect();
    Lesson { targets, weights: vec![1.0 / rows as f32; rows], soft, kind, temperature: 1.0 }
}

/// Sixteen entries for each row.
fn soft_targets(rows: usize, vocab: usize) -> SoftTargets {
    let k = 16.min(vocab);
    SoftTargets {
        rows: (0..rows as u32).collect(),
        ids: (0..rows * k).map(|i| (i * 104_729 % vocab) as u32).collect(),
        probabilities: vec![1.0 / k as f32; rows * k],
        rest: vec![0.0; rows],
        weights: vec![1.0 / rows as f32; rows],
        k,
        with_rest: false,
    }
}

/// The next token of every sequence, after `time` tokens of each were read.
fn one_token(shape: AttentionShape, tables: PositionTables, device: &Device) -> Work {
    let AttentionShape { batch, time, .. } = shape;
    let mut cache = CachedKeys::with_capacity(shape, 2 * time, device);
    let mut reading = Reading { first: 0, lengths: vec![time; batch], padded: time, more: 0 };
    let qkv = |rows| Tensor::from_data(drawn("qkv", [rows, shape.qkv_width()]), device);
    cache.attend(qkv(batch * time), shape, &tables, &reading);
    reading.more = 1;
    let (next, shape) = (qkv(batch), AttentionShape { time: 1, ..shape });
    Box::new(move || drop(cache.attend(next, shape, &tables, &reading)))
}

/// `n` values that an optimizer moves, their gradient, a mask for decay, and a loss.
fn optimized(n: usize, device: &Device) -> (Moved, [Tensor<1>; 3]) {
    let vector = |name| Tensor::<2>::from_data(drawn(name, [1, n]), device).reshape([n]);
    let zeros = || Tensor::zeros([n], device);
    let state = Moved { values: vector("values"), first: zeros(), second: zeros() };
    (state, [vector("gradient"), vector("mask"), Tensor::ones([1], device)])
}

/// One step over `n` values, with decay and clipping.
fn adamw_step(n: usize, device: &Device) -> Work {
    let (mut state, [gradient, mask, loss]) = optimized(n, device);
    Box::new(move || {
        let rule = AdamW::default();
        let how = Step { number: 1, lr: 1e-3, rule: &rule, decay: Some(&mask) };
        drop(adamw(&mut state, &loss, gradient, &how));
    })
}

/// The same of descent with momentum.
fn descent_step(n: usize, device: &Device) -> Work {
    let (state, [gradient, mask, loss]) = optimized(n, device);
    let mut flat = Flat { state, steps: 0 };
    Box::new(move || {
        let rule = Sgd { momentum: 0.9, weight_decay: 0.01, clip: 1.0 };
        drop(flat.descend(&loss, gradient, 1e-3, &rule, Some(&mask), None));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_can_be_timed_with_and_without_its_gradients() {
        let sizes = Sizes { sequences: 2, time: 5, width: 8, heads: 2, mlp: 12, vocab: 20, rank: 2 };
        let operations = operations(sizes, &Compute::cpu());
        for timed in &operations {
            timed.prepare(Passes::Forward)();
            timed.prepare(Passes::Both)();
            assert!(timed.values > 0);
        }
        assert!(operations.iter().any(|timed| !timed.learns) && operations.iter().any(|timed| timed.learns));
    }
}
