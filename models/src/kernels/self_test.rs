//! Whether a device computes what the CPU computes: the operations of a decoder on small inputs, forward and backward, and a
//! step of the optimizer.

use super::activation::{gelu, gelu_erf, relu, swiglu};
use super::adamw::{Moved, Step, adamw};
use super::attention::{AttentionShape, CachedKeys, PositionTables, Reading, causal_attention};
use super::frozen::{frozen_rows, product};
use super::head::{self, Divergence, Lesson, SoftTargets};
use super::low_rank::{Update, add_low_ranks};
use super::norm::{layer_norm, rms_norm};
use crate::learner::int_tensor;
use crate::optimizer::AdamW;
use crate::spec::{DecoderSpec, Family, Position, Rotary};
use burn::tensor::{Device, Tensor, TensorData};
use cotune_kernel::panics;
use cotune_kernel::stream::Stream;

/// How far a device and the CPU are apart in one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// The operation.
    pub operation: &'static str,
    /// Largest difference of an output or a gradient, as a share of the largest value; infinite where there are no values.
    pub difference: f32,
    /// What the device said as it panicked over the operation: it cannot be opened, or its driver gave up.
    pub panic: Option<String>,
}

/// Differences up to this are rounding: exponentials and roots of shader compilers are coarser than the CPU's (chosen).
pub const TOLERANCE: f32 = 1e-3;

/// Sequences, tokens, heads, heads of keys and values, and their width.
const SHAPE: AttentionShape = AttentionShape { batch: 2, time: 9, heads: 4, kv_heads: 2, head_width: 6 };

/// A text whose rows of scores are [`WIDE`].
const LONG: AttentionShape = AttentionShape { batch: 1, time: WIDE, heads: 2, kv_heads: 1, head_width: 4 };

/// More than the threads of a workgroup, so that each of them has a second value of a row.
const WIDE: usize = 300;

/// Values of the head of low-rank updates, and the columns that each of them changes.
const RANK: usize = 3;
const COLUMNS: usize = 24;

type Operation = fn(Vec<Tensor<2>>, &Device) -> Tensor<2>;

/// Every operation that has a backward pass, and the shapes of what goes in.
fn operations() -> Vec<(&'static str, Vec<[usize; 2]>, Operation)> {
    let rows = SHAPE.batch * SHAPE.time;
    let (hidden, gain, heads) = ([rows, WIDE], [1, WIDE], vec![[rows, SHAPE.qkv_width()]]);
    vec![
        ("matrix product", vec![hidden, [WIDE, 33]], |x, _| product(x[0].clone(), x[1].clone())),
        ("rows by their numbers", vec![[4, WIDE]], |x, device| {
            frozen_rows(x[0].clone(), int_tensor(&[3, 0, 2, 3, 1], device))
        }),
        ("RMSNorm", vec![hidden, gain], |x, _| rms_norm(x[0].clone(), x[1].clone(), 1e-5)),
        ("LayerNorm", vec![hidden, gain, gain], |x, _| {
            layer_norm(x[0].clone(), x[1].clone(), x[2].clone(), 1e-5)
        }),
        ("SwiGLU", vec![hidden, hidden], |x, _| swiglu(x[0].clone(), x[1].clone())),
        ("GELU", vec![hidden], |x, _| gelu(x[0].clone())),
        ("GELU with the error function", vec![hidden], |x, _| gelu_erf(x[0].clone())),
        ("ReLU", vec![hidden], |x, _| relu(x[0].clone())),
        (
            "low-rank updates",
            vec![[rows, 2 * COLUMNS], hidden, [WIDE, 2 * RANK], [RANK, 2 * COLUMNS]],
            |x, _| {
                let update = |i: usize| Update {
                    a: Some(x[2].clone().narrow(1, i * RANK, RANK)),
                    b: x[3].clone().narrow(1, i * COLUMNS, COLUMNS),
                    scale: 0.5,
                    columns: i * COLUMNS..(i + 1) * COLUMNS,
                };
                add_low_ranks(x[0].clone(), x[1].clone(), &[0, 1].map(update))
            },
        ),
        (
            "low-rank updates of a stack",
            vec![[rows, COLUMNS], hidden, [2 * WIDE, RANK], [2 * RANK, COLUMNS]],
            |x, _| {
                let (a, b) = (Some(x[2].clone()), x[3].clone());
                add_low_ranks(x[0].clone(), x[1].clone(), &[Update { a, b, scale: 0.5, columns: 0..COLUMNS }])
            },
        ),
        ("attention with rotary positions", heads.clone(), |x, device| {
            attention(x, SHAPE, rotary(SHAPE, false), device)
        }),
        ("attention with neighbours turned", heads.clone(), |x, device| {
            attention(x, SHAPE, rotary(SHAPE, true), device)
        }),
        ("attention with ALiBi", heads, |x, device| attention(x, SHAPE, Position::Alibi, device)),
        ("attention over a long text", vec![[WIDE, LONG.qkv_width()]], |x, device| {
            attention(x, LONG, rotary(LONG, false), device)
        }),
        ("cross-entropy and forward divergence", vec![[3, WIDE]], |x, _| head_loss(x, Divergence::Forward)),
        ("cross-entropy and reverse divergence", vec![[3, WIDE]], |x, _| head_loss(x, Divergence::Reverse)),
        ("cross-entropy and Jensen-Shannon", vec![[3, WIDE]], |x, _| head_loss(x, Divergence::Jsd)),
        ("divergence from many entries", vec![[3, 2 * WIDE]], |x, _| {
            head::loss(x[0].clone(), lesson_of_many_entries()).reshape([1, 1])
        }),
        ("losses of a stack", vec![[6, WIDE]], |x, _| {
            let lessons = vec![lesson(Divergence::Forward); 2];
            head::losses(x[0].clone(), lessons).reshape([2, 1])
        }),
    ]
}

type Untracked = fn(&Device) -> Vec<Vec<f32>>;

/// What has no backward pass.
const UNTRACKED: [(&str, Untracked); 2] = [("attention with a cache", go_on), ("AdamW", optimize)];

fn head_loss(x: Vec<Tensor<2>>, kind: Divergence) -> Tensor<2> {
    head::loss(x[0].clone(), lesson(kind)).reshape([1, 1])
}

/// What three rows of logits are taught.
fn lesson(kind: Divergence) -> Lesson {
    let soft = SoftTargets {
        rows: vec![2, 0],
        ids: vec![1, 40, 266, 3, 0, 3],
        probabilities: vec![0.4, 0.3, 0.1, 0.7, 0.1, 0.0],
        rest: vec![0.2; 2],
        weights: vec![0.25, 0.75],
        k: 3,
        with_rest: true,
    };
    let (targets, weights) = (vec![3, 0, WIDE as u32 - 1], vec![0.5, 0.2, 0.3]);
    Lesson { targets, weights, soft, kind, temperature: 2.0 }
}

/// The same, but of the teacher's entries there are [`WIDE`].
fn lesson_of_many_entries() -> Lesson {
    let soft = SoftTargets {
        rows: vec![1],
        ids: (0..WIDE as u32).map(|i| 2 * i).collect(),
        probabilities: vec![0.8 / WIDE as f32; WIDE],
        rest: vec![0.2],
        weights: vec![1.0],
        k: WIDE,
        with_rest: true,
    };
    Lesson { soft, ..lesson(Divergence::Reverse) }
}

/// All but the last two values of a head are turned.
fn rotary(shape: AttentionShape, interleaved: bool) -> Position {
    Position::Rotary(Rotary { interleaved, ..Rotary::whole(shape.head_width - 2, 10_000.0) })
}

fn tables(shape: AttentionShape, position: Position, device: &Device) -> PositionTables {
    let AttentionShape { heads, kv_heads, head_width, time, .. } = shape;
    let spec = DecoderSpec::of(Family::Llama, 8, heads * head_width, 1, heads, 8, 2 * time);
    PositionTables::new(&DecoderSpec { kv_heads, position, ..spec }, device)
}

fn attention(x: Vec<Tensor<2>>, shape: AttentionShape, position: Position, device: &Device) -> Tensor<2> {
    causal_attention(x[0].clone(), shape, &tables(shape, position, device))
}

/// What two texts of different lengths attend to as they gain a token, twice.
fn go_on(device: &Device) -> Vec<Vec<f32>> {
    let tables = tables(SHAPE, rotary(SHAPE, false), device);
    let AttentionShape { batch, time, .. } = SHAPE;
    let mut cache = CachedKeys::with_capacity(SHAPE, time + 2, device);
    let mut reading = Reading { first: 0, lengths: vec![time, time - 4], padded: time, more: 0 };
    let mut attend = |rows: usize, reading: &Reading| {
        let qkv = drawn(device, &format!("cache/{}", reading.more), [rows, SHAPE.qkv_width()]);
        let shape = AttentionShape { time: rows / batch, ..SHAPE };
        cache.attend(qkv, shape, &tables, reading)
    };
    // What stands behind the end of the shorter text is read by nobody.
    let mut found = vec![values(attend(batch * time, &reading).narrow(0, 0, time))];
    for more in [1, 2] {
        reading.more = more;
        found.push(values(attend(batch, &reading)));
    }
    found
}

/// Every operation on `device` and on the CPU, up to the first over which the device panics.
pub fn compare(device: &Device) -> Vec<Disagreement> {
    let cpu = Device::flex();
    let of = |(operation, shapes, of): (&'static str, Vec<[usize; 2]>, Operation)| {
        let here = run(&cpu, operation, &shapes, of);
        compared(operation, &here, || run(device, operation, &shapes, of))
    };
    let untracked =
        |(operation, of): (&'static str, Untracked)| compared(operation, &of(&cpu), || of(device));
    up_to_a_panic(operations().into_iter().map(of).chain(UNTRACKED.into_iter().map(untracked)))
}

/// An operation whose values are `here` on the CPU.
fn compared(
    operation: &'static str,
    here: &[Vec<f32>],
    there: impl FnOnce() -> Vec<Vec<f32>>,
) -> Disagreement {
    match panics::caught(there) {
        Ok(there) => Disagreement { operation, difference: apart(&there, here), panic: None },
        Err(words) => Disagreement { operation, difference: f32::INFINITY, panic: Some(words) },
    }
}

/// A device that has panicked once is asked for nothing more.
fn up_to_a_panic(all: impl Iterator<Item = Disagreement>) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for one in all {
        let panicked = one.panic.is_some();
        found.push(one);
        if panicked {
            break;
        }
    }
    found
}

/// Largest difference of any two values, as a share of the largest of their kind.
fn apart(there: &[Vec<f32>], here: &[Vec<f32>]) -> f32 {
    let mut difference = 0.0_f32;
    for (there, here) in there.iter().zip(here) {
        let largest = here.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
        for (there, here) in there.iter().zip(here) {
            let apart = (there - here).abs() / largest;
            difference = difference.max(if apart.is_nan() { f32::INFINITY } else { apart });
        }
    }
    difference
}

/// Normal values.
fn drawn<const D: usize>(device: &Device, name: &str, shape: [usize; D]) -> Tensor<D> {
    let mut stream = Stream::keyed(1, name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of a tensor; no number where a kernel could not be compiled or carried out.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let read = tensor.try_into_data().ok().and_then(|data| data.try_into_vec().ok());
    read.unwrap_or_else(|| vec![f32::NAN])
}

/// Values and moments after two steps, the second of them clipped, and whether the steps were taken.
fn optimize(device: &Device) -> Vec<Vec<f32>> {
    const N: usize = 300;
    let mut moved = Moved {
        values: drawn(device, "AdamW/values", [N]),
        first: Tensor::zeros([N], device),
        second: Tensor::zeros([N], device),
    };
    let rule = AdamW { clip: 1.0, weight_decay: 0.1, ..AdamW::default() };
    let (decay, loss) = (Tensor::ones([N], device), Tensor::zeros([1], device));
    let mut taken = Vec::new();
    for number in [1, 2] {
        let gradient = drawn(device, "AdamW/gradient", [N]).mul_scalar(0.05 * (number * number) as f64);
        let how = Step { number, lr: 0.1, rule: &rule, decay: Some(&decay) };
        taken.push(values(adamw(&mut moved, &loss, gradient, &how))[0]);
    }
    vec![values(moved.values), values(moved.first), values(moved.second), taken]
}

/// The output, and the gradients of the inputs under a random weighting of it.
fn run(device: &Device, name: &str, shapes: &[[usize; 2]], of: Operation) -> Vec<Vec<f32>> {
    let drawn = |what: &str, shape: [usize; 2]| drawn(device, &format!("{name}/{what}"), shape);
    let leaves: Vec<Tensor<2>> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| drawn(&i.to_string(), *shape).autodiff().require_grad())
        .collect();
    let out = of(leaves.clone(), device);
    let weights = drawn("weights", out.dims());
    let gradients = (out.clone() * weights).sum().backward();
    let gradients = leaves.iter().filter_map(|leaf| leaf.grad(&gradients)).map(values);
    [values(out.inner())].into_iter().chain(gradients).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_or_could_not_be_read_disagrees() {
        let here = [vec![1.0, 4.0]];
        assert_eq!(apart(&[vec![1.0, 4.0]], &here), 0.0);
        assert_eq!(apart(&[vec![2.0, 4.0]], &here), 0.25);
        assert_eq!(apart(&[vec![f32::NAN]], &here), f32::INFINITY);
    }

    #[test]
    fn an_operation_over_which_a_device_panics_disagrees_and_is_the_last_one_tried() {
        let mut tried = Vec::new();
        let all = ["sum", "product", "root"].into_iter().map(|operation| {
            tried.push(operation);
            compared(operation, &[vec![1.0]], || {
                assert!(operation == "sum", "no device for a {operation}");
                vec![vec![1.0]]
            })
        });
        let found = up_to_a_panic(all);
        assert_eq!(tried, ["sum", "product"]);
        let words = "no device for a product".to_owned();
        let sum = Disagreement { operation: "sum", difference: 0.0, panic: None };
        let product = Disagreement { operation: "product", difference: f32::INFINITY, panic: Some(words) };
        assert_eq!(found, [sum, product]);
    }

    #[test]
    fn the_cpu_agrees_with_itself_and_every_operation_has_gradients() {
        let found = compare(&Device::flex());
        assert!(found.iter().all(|one| one.difference == 0.0), "{found:?}");
        for (operation, shapes, of) in operations() {
            let results = run(&Device::flex(), operation, &shapes, of);
            assert_eq!(results.len(), 1 + shapes.len(), "{operation}");
            assert!(results.iter().all(|values| values.iter().any(|x| *x != 0.0)), "{operation}");
        }
        for (operation, of) in UNTRACKED {
            let results = of(&Device::flex());
            assert!(results.iter().all(|values| values.iter().any(|x| *x != 0.0)), "{operation}");
        }
    }
}
