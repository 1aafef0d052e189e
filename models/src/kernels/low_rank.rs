//! Low-rank updates of a linear map, added to its output in place (Hu et al. 2021, arXiv 2106.09685, section 4.1).

use crate::kernels::cpu::matrix::{Place, multiply};
use crate::kernels::flex;
use crate::kernels::frozen::{count_product, product};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// One low-rank map and the columns of the output that it changes.
///
/// Of a stack of adapters it has the halves of every member, one below the other: the first member changes the first
/// `rows / members` rows, the second those that follow, and so on.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    /// `[members · inputs, rank]`; none where `b` is a whole update.
    pub a: Option<Tensor<2>>,
    /// `[members · rank, columns]`, or `[inputs, columns]`.
    pub b: Tensor<2>,
    /// Multiplies the product of the two halves.
    pub scale: f32,
    /// The columns.
    pub columns: Range<usize>,
}

/// `y + Σ scale · (x a) b`, each sum in its columns; `y` is `[rows, outputs]`, `x` is `[rows, inputs]`.
pub(crate) fn add_low_ranks(y: Tensor<2>, x: Tensor<2>, updates: &[Update]) -> Tensor<2> {
    if !flex::on_cpu(&x) {
        return reference(y, x, updates);
    }
    let (updates, whole): (Vec<Update>, Vec<Update>) =
        updates.iter().cloned().partition(|update| update.a.is_some());
    let y = reference(y, x.clone(), &whole);
    if updates.is_empty() {
        return y;
    }
    let [rows, inputs] = x.dims();
    let (mut rank, mut values) = (0, 0);
    let parts = updates
        .iter()
        .map(|update| {
            let [_, own] = update.a.as_ref().expect("whole updates are apart").dims();
            let [halves, columns] = update.b.dims();
            count_product(rows, inputs, own);
            count_product(rows, own, columns);
            let part = Part {
                first: rank,
                rank: own,
                b: values,
                columns: update.columns.clone(),
                scale: update.scale,
            };
            (rank, values) = (rank + own, values + halves * columns);
            part
        })
        .collect();
    // All maps read `x` at once; their second halves may have different widths, so they lie one behind the other.
    let joined = |tensors: Vec<Tensor<2>>, axis| match tensors.len() {
        1 => tensors.into_iter().next().expect("there is one"),
        _ => Tensor::cat(tensors, axis),
    };
    let a = joined(updates.iter().filter_map(|update| update.a.clone()).collect(), 1);
    let flat = |b: &Tensor<2>| {
        let [rank, columns] = b.dims();
        b.clone().reshape([1, rank * columns])
    };
    let b = joined(updates.iter().map(|update| flat(&update.b)).collect(), 1);
    let [y, x, a, b] = [y, x, a, b].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as LowRankOps>::add_low_ranks(y, x, a, b, parts))
}

/// Columns side by side, with zeros in those that nothing changes; the members of a stack are the first axis of a product.
fn reference(y: Tensor<2>, x: Tensor<2>, updates: &[Update]) -> Tensor<2> {
    let ([rows, width], inputs) = (y.dims(), x.dims()[1]);
    let nothing = |columns: usize| Tensor::zeros([rows, columns], &x.device().inner());
    updates.iter().fold(y, |y, update| {
        let columns = update.b.dims()[1];
        let change = match &update.a {
            None => product(x.clone(), update.b.clone()),
            Some(a) => {
                let [halves, rank] = a.dims();
                let members = halves / inputs;
                let x = x.clone().reshape([members, rows / members, inputs]);
                let inner = product(x, a.clone().reshape([members, inputs, rank])).mul_scalar(update.scale);
                product(inner, update.b.clone().reshape([members, rank, columns])).reshape([rows, columns])
            }
        };
        let Range { start, end } = update.columns;
        let mut parts = vec![change];
        if start > 0 {
            parts.insert(0, nothing(start));
        }
        if end < width {
            parts.push(nothing(width - end));
        }
        if parts.len() == 1 { y + parts.remove(0) } else { y + Tensor::cat(parts, 1) }
    })
}

/// Where one update lies in the joined maps.
#[derive(Clone, Debug)]
pub struct Part {
    /// First column of its half of `a`.
    first: usize,
    rank: usize,
    /// First value of its half of `b`.
    b: usize,
    /// Columns of the output.
    columns: Range<usize>,
    scale: f32,
}

/// Updates of one map as one operation.
#[backend_extension(Autodiff, Flex)]
pub trait LowRankOps: Backend {
    /// `a` is `[members · inputs, Σ rank]`, `b` has the second halves one behind the other,
    /// `[1, Σ members · rank · columns]`.
    fn add_low_ranks(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        parts: Arc<[Part]>,
    ) -> FloatTensor<Self>;
}

/// What a training step needs of a backend beside [`LowRankOps`].
pub trait LowRankGradients: Backend {
    /// The sum, and `x a`.
    fn add_low_ranks_kept(
        y: FloatTensor<Self>,
        x: &FloatTensor<Self>,
        a: &FloatTensor<Self>,
        b: &FloatTensor<Self>,
        parts: &[Part],
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
    /// The gradients of `x`, where it is `wanted`, `a` and `b`; `inner` is `x a`.
    fn add_low_ranks_back(
        inputs: [FloatTensor<Self>; 3],
        inner: FloatTensor<Self>,
        parts: &[Part],
        grad: &FloatTensor<Self>,
        wanted: bool,
    ) -> [FloatTensor<Self>; 3];
}

impl LowRankOps for Flex {
    fn add_low_ranks(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        parts: Arc<[Part]>,
    ) -> FloatTensor<Self> {
        Self::add_low_ranks_kept(y, &x, &a, &b, &parts).0
    }
}

impl LowRankGradients for Flex {
    fn add_low_ranks_kept(
        y: FloatTensor<Self>,
        x: &FloatTensor<Self>,
        a: &FloatTensor<Self>,
        b: &FloatTensor<Self>,
        parts: &[Part],
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (mut y, x, a, b) =
            (flex::own(y), flex::close(x.clone()), flex::close(a.clone()), flex::close(b.clone()));
        let ([rows, inputs], width) = (flex::size(&x), flex::size(&y)[1]);
        let ranks = flex::size(&a)[1];
        let mut inner = vec![0.0; rows * ranks];
        let sum = y.storage_mut::<f32>();
        for Member { rows, first_row, first_half, number } in members(&x, &a) {
            let from = (flex::values(&x), Place::rows(first_row * inputs, inputs));
            let halves = (flex::values(&a), Place::rows(first_half * ranks, ranks));
            let to = (&mut inner[..], Place::rows(first_row * ranks, ranks));
            multiply([rows, inputs, ranks], 1.0, from, halves, to, false);
            for part in parts {
                let columns = part.columns.len();
                let left = (&inner[..], Place::rows(first_row * ranks + part.first, ranks));
                let right = (flex::values(&b), part.second_half(number));
                let to = (&mut *sum, Place::rows(first_row * width + part.columns.start, width));
                multiply([rows, part.rank, columns], part.scale, left, right, to, true);
            }
        }
        (y, flex::tensor(inner, [rows, ranks]))
    }

    fn add_low_ranks_back(
        [x, a, b]: [FloatTensor<Self>; 3],
        inner: FloatTensor<Self>,
        parts: &[Part],
        grad: &FloatTensor<Self>,
        wanted: bool,
    ) -> [FloatTensor<Self>; 3] {
        let [x, a, b] = [x, a, b].map(flex::close);
        let grad = flex::close(grad.clone());
        let ([rows, inputs], [halves, ranks]) = (flex::size(&x), flex::size(&a));
        let width = flex::size(&grad)[1];
        let (mut to_inner, mut to_a) = (vec![0.0; rows * ranks], vec![0.0; halves * ranks]);
        let mut to_b = vec![0.0; flex::values(&b).len()];
        let mut to_x = vec![0.0; if wanted { rows * inputs } else { 0 }];
        for Member { rows, first_row, first_half, number } in members(&x, &a) {
            for part in parts {
                let columns = part.columns.len();
                let from = (flex::values(&grad), Place::rows(first_row * width + part.columns.start, width));
                let at = Place::rows(first_row * ranks + part.first, ranks);
                let second = part.second_half(number);
                let turned = (flex::values(&b), second.turned());
                multiply([rows, columns, part.rank], part.scale, from, turned, (&mut to_inner, at), false);
                let inner = (flex::values(&inner), at.turned());
                multiply([part.rank, rows, columns], part.scale, inner, from, (&mut to_b, second), false);
            }
            let lines = Place::rows(first_row * inputs, inputs);
            let at = Place::rows(first_row * ranks, ranks);
            let first = Place::rows(first_half * ranks, ranks);
            let turned = (flex::values(&x), lines.turned());
            multiply([inputs, rows, ranks], 1.0, turned, (&to_inner, at), (&mut to_a, first), false);
            if wanted {
                let turned = (flex::values(&a), first.turned());
                multiply([rows, ranks, inputs], 1.0, (&to_inner, at), turned, (&mut to_x, lines), false);
            }
        }
        let [to_x_rows, n] = [if wanted { rows } else { 0 }, to_b.len()];
        [
            flex::tensor(to_x, [to_x_rows, inputs]),
            flex::tensor(to_a, [halves, ranks]),
            flex::tensor(to_b, [1, n]),
        ]
    }
}

impl Part {
    /// Where the second half of a member of the stack lies.
    fn second_half(&self, member: usize) -> Place {
        let columns = self.columns.len();
        Place::rows(self.b + member * self.rank * columns, columns)
    }
}

/// One adapter of a stack: its rows, and the first row of its half of `a`.
struct Member {
    number: usize,
    rows: usize,
    first_row: usize,
    first_half: usize,
}

/// The members of a stack on `x`, `[rows, inputs]`, with `a`, `[members · inputs, ranks]`.
fn members(x: &FlexTensor, a: &FlexTensor) -> impl Iterator<Item = Member> + use<> {
    let ([rows, inputs], halves) = (flex::size(x), flex::size(a)[0]);
    let rows = rows / (halves / inputs);
    (0..halves / inputs).map(move |number| Member {
        number,
        rows,
        first_row: number * rows,
        first_half: number * inputs,
    })
}

/// Backward pass of [`LowRankOps::add_low_ranks`].
#[derive(Debug)]
struct LowRanks;

impl<B: LowRankGradients> Backward<B, 4> for LowRanks {
    type State = ([FloatTensor<B>; 3], FloatTensor<B>, Arc<[Part]>);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (inputs, inner, parts) = ops.state;
        let [y, x, a, b] = ops.parents;
        if x.is_some() || a.is_some() || b.is_some() {
            let found = B::add_low_ranks_back(inputs, inner, &parts, &grad, x.is_some());
            for (parent, gradient) in [x, a, b].into_iter().zip(found) {
                if let Some(parent) = parent {
                    grads.register::<B>(parent.id, gradient);
                }
            }
        }
        if let Some(y) = y {
            grads.register::<B>(y.id, grad);
        }
    }
}

impl<B: LowRankOps + LowRankGradients, C: CheckpointStrategy> LowRankOps for Autodiff<B, C> {
    fn add_low_ranks(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        parts: Arc<[Part]>,
    ) -> FloatTensor<Self> {
        let nodes = [y.node(), x.node(), a.node(), b.node()];
        let [y, x, a, b] = [y, x, a, b].map(|tensor| tensor.into_primitive());
        let (sum, inner) = B::add_low_ranks_kept(y, &x, &a, &b, &parts);
        match LowRanks.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([x, a, b], inner, parts), sum),
            OpsKind::UnTracked(prep) => prep.finish(sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{SIZES, agree, drawn};
    use crate::learner::host;

    #[test]
    fn fused_updates_are_the_reference_forward_and_backward() {
        for rows in SIZES {
            for (inputs, widths, rank) in [(1, vec![1], 1), (17, vec![16, 5, 33], 8), (32, vec![3, 64], 3)] {
                let outputs: usize = widths.iter().sum();
                let (y, x) = (drawn("y", [rows, outputs], 1.0), drawn("x", [rows, inputs], 1.0));
                let a = drawn("a", [inputs, rank], 0.3);
                let b: Vec<Tensor<2>> = widths.iter().map(|width| drawn("b", [rank, *width], 0.3)).collect();
                // The second half of the first map is tracked, those of the others stand still.
                let updates = |a: Tensor<2>, first: Tensor<2>| -> Vec<Update> {
                    let mut start = 0;
                    let mut updates: Vec<Update> = Vec::new();
                    for (i, b) in b.iter().enumerate() {
                        let columns = start..start + widths[i];
                        start = columns.end;
                        let b =
                            if i == 0 { first.clone() } else { b.clone().to_device(&first.device().inner()) };
                        updates.push(Update { a: Some(a.clone()), b, scale: 0.5 + i as f32, columns });
                    }
                    updates
                };
                agree(
                    &[y, x, a, b[0].clone()],
                    |[y, x, a, b]| add_low_ranks(y, x, &updates(a, b)),
                    |[y, x, a, b]| reference(y, x, &updates(a, b)),
                );
            }
        }
    }

    /// A stack of three is the reference, and bit for bit what its members are one by one.
    #[test]
    fn a_stack_gives_every_row_its_own_members_update() {
        for rows in [1, 16, 33] {
            let (members, inputs, columns, rank) = (3, 17, 21, 4);
            let update =
                |a: Tensor<2>, b: Tensor<2>| Update { a: Some(a), b, scale: 0.5, columns: 2..2 + columns };
            let (y, x) = (drawn("y", [members * rows, 30], 1.0), drawn("x", [members * rows, inputs], 1.0));
            let (a, b) =
                (drawn("a", [members * inputs, rank], 0.3), drawn("b", [members * rank, columns], 0.3));
            agree(
                &[y.clone(), x.clone(), a.clone(), b.clone()],
                |[y, x, a, b]| add_low_ranks(y, x, &[update(a, b)]),
                |[y, x, a, b]| reference(y, x, &[update(a, b)]),
            );
            let one_by_one = (0..members).map(|i| {
                let own = |all: &Tensor<2>, rows: usize| all.clone().narrow(0, i * rows, rows);
                add_low_ranks(own(&y, rows), own(&x, rows), &[update(own(&a, inputs), own(&b, rank))])
            });
            let one_by_one = host(Tensor::cat(one_by_one.collect(), 0));
            assert_eq!(host(add_low_ranks(y, x, &[update(a, b)])), one_by_one);
        }
    }
}
