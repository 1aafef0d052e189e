//! Whether a device computes what the CPU computes: the operations of a decoder on small inputs, forward and backward.

use super::activation::{gelu, swiglu};
use super::attention::{AttentionShape, PositionTables, causal_attention};
use super::frozen::product;
use super::head::{self, Divergence, Lesson, SoftTargets};
use super::norm::{layer_norm, rms_norm};
use crate::learner::host;
use crate::spec::{DecoderSpec, Family};
use burn::tensor::{Device, Tensor, TensorData};
use cotune_kernel::stream::Stream;

/// How far a device and the CPU are apart in one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// The operation.
    pub operation: &'static str,
    /// Largest difference of an output or a gradient, as a share of the largest value.
    pub difference: f32,
}

/// Differences up to this are rounding: exponentials and roots of shader compilers are coarser than the CPU's (chosen).
pub const TOLERANCE: f32 = 1e-3;

/// Sequences, tokens, heads, heads of keys and values, and their width.
const SHAPE: AttentionShape = AttentionShape { batch: 2, time: 9, heads: 4, kv_heads: 2, head_width: 6 };

type Operation = fn(Vec<Tensor<2>>, &Device) -> Tensor<2>;

/// Every operation, and the shapes of what goes in.
fn operations() -> Vec<(&'static str, Vec<[usize; 2]>, Operation)> {
    let rows = SHAPE.batch * SHAPE.time;
    vec![
        ("matrix product", vec![[rows, 24], [24, 33]], |x, _| product(x[0].clone(), x[1].clone())),
        ("RMSNorm", vec![[rows, 24], [1, 24]], |x, _| rms_norm(x[0].clone(), x[1].clone(), 1e-5)),
        ("LayerNorm", vec![[rows, 24], [1, 24], [1, 24]], |x, _| {
            layer_norm(x[0].clone(), x[1].clone(), x[2].clone(), 1e-5)
        }),
        ("SwiGLU", vec![[rows, 33], [rows, 33]], |x, _| swiglu(x[0].clone(), x[1].clone())),
        ("GELU", vec![[rows, 33]], |x, _| gelu(x[0].clone())),
        ("attention with rotary positions", vec![[rows, SHAPE.qkv_width()]], |x, device| {
            attention(Family::Llama, x, device)
        }),
        ("attention with ALiBi", vec![[rows, SHAPE.qkv_width()]], |x, device| {
            attention(Family::Bloom, x, device)
        }),
        ("loss of the head", vec![[3, 70]], |x, _| {
            let soft = SoftTargets {
                rows: vec![2, 0],
                ids: vec![1, 40, 66, 3, 0, 3],
                probabilities: vec![0.4, 0.3, 0.1, 0.7, 0.1, 0.0],
                rest: vec![0.2; 2],
                weights: vec![0.25, 0.75],
                k: 3,
                with_rest: true,
            };
            let (targets, weights) = (vec![3, 0, 69], vec![0.5, 0.2, 0.3]);
            let lesson = Lesson { targets, weights, soft, kind: Divergence::Forward, temperature: 2.0 };
            head::loss(x[0].clone(), lesson).reshape([1, 1])
        }),
    ]
}

fn attention(family: Family, x: Vec<Tensor<2>>, device: &Device) -> Tensor<2> {
    let AttentionShape { heads, kv_heads, head_width, time, .. } = SHAPE;
    let spec = DecoderSpec::of(family, 8, heads * head_width, 1, heads, 8, time);
    let tables = PositionTables::new(&DecoderSpec { kv_heads, ..spec }, device);
    causal_attention(x[0].clone(), SHAPE, &tables)
}

/// Every operation on `device` and on the CPU.
pub fn compare(device: &Device) -> Vec<Disagreement> {
    operations()
        .into_iter()
        .map(|(operation, shapes, of)| {
            let (there, here) =
                (run(device, operation, &shapes, of), run(&Device::flex(), operation, &shapes, of));
            let mut difference = 0.0_f32;
            for (there, here) in there.iter().zip(&here) {
                let largest = here.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
                for (there, here) in there.iter().zip(here) {
                    let apart = (there - here).abs() / largest;
                    difference = if apart.is_nan() { f32::INFINITY } else { difference.max(apart) };
                }
            }
            Disagreement { operation, difference }
        })
        .collect()
}

/// The output, and the gradients of the inputs under a random weighting of it.
fn run(device: &Device, name: &str, shapes: &[[usize; 2]], of: Operation) -> Vec<Vec<f32>> {
    let drawn = |what: &str, shape: [usize; 2]| -> Tensor<2> {
        let mut stream = Stream::keyed(1, &format!("{name}/{what}"));
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.normal() as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    let leaves: Vec<Tensor<2>> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| drawn(&i.to_string(), *shape).autodiff().require_grad())
        .collect();
    let out = of(leaves.clone(), device);
    let weights = drawn("weights", out.dims());
    let gradients = (out.clone() * weights).sum().backward();
    let gradients = leaves.iter().filter_map(|leaf| leaf.grad(&gradients)).map(host);
    [host(out.inner())].into_iter().chain(gradients).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself_and_every_operation_has_gradients() {
        let found = compare(&Device::flex());
        assert!(found.iter().all(|one| one.difference == 0.0), "{found:?}");
        for (operation, shapes, of) in operations() {
            let results = run(&Device::flex(), operation, &shapes, of);
            assert_eq!(results.len(), 1 + shapes.len(), "{operation}");
            assert!(results.iter().all(|values| values.iter().any(|x| *x != 0.0)), "{operation}");
        }
    }
}
