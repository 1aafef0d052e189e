//! The loss of the head: one pass over the vocabulary forward, with the log-sums of a row taken as it is read, and one
//! backward. Between them the log-sums are kept, and the slope of every teacher entry. The rows of several lessons go
//! through together; only the sums of their losses, and the gradients of these, are each lesson's own.

use super::reduce::total;
use super::{Values, WORKGROUP, close, count, each, each_row, empty, own, size, threads, upload};
use crate::kernels::head::{Divergence, HeadGradient, HeadOps, Lesson};
use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use cubecl::prelude::*;
use std::sync::Arc;

/// Lower than any logit.
const LOWEST: f32 = -1e30;

/// Probabilities below this count as it, so that a logarithm stays finite.
const LEAST: f32 = 1e-8;

/// What is kept of a forward pass.
#[derive(Clone, Debug)]
pub struct Kept {
    logits: Values,
    lessons: OnDevice,
    /// `log Σ e^z` and `log Σ e^(z/τ)`, `[rows, 2]`.
    log_sums: Values,
    /// Slope of the loss in the log-probability of every entry of every soft target, `[targets, k]`.
    slopes: Values,
}

/// Lessons beside their logits, the soft targets in the order of their rows.
#[derive(Clone, Debug)]
struct OnDevice {
    /// The token of each row; the first soft target of each row, and one past the last; the row of each soft target; the ids of
    /// their entries; the lesson of each row; the first row of each lesson, and one past the last.
    ids: Values,
    /// The weight of each row; weight and rest of each soft target; the probabilities of their entries.
    shares: Values,
    rows: usize,
    targets: usize,
    k: usize,
}

impl OnDevice {
    fn new(logits: &Values, lessons: &[Lesson]) -> Self {
        let lesson = Lesson::joined(lessons);
        let (rows, soft) = (lesson.targets.len(), &lesson.soft);
        let mut order: Vec<usize> = (0..soft.rows.len()).collect();
        order.sort_by_key(|n| soft.rows[*n]);
        let before = |row: usize| order.partition_point(|n| (soft.rows[*n] as usize) < row) as u32;
        let entries = |n: &usize| n * soft.k..(n + 1) * soft.k;
        let mut ids = lesson.targets.clone();
        ids.extend((0..=rows).map(before));
        ids.extend(order.iter().map(|n| soft.rows[*n]));
        ids.extend(order.iter().flat_map(|n| &soft.ids[entries(n)]));
        let sizes = || lessons.iter().map(|lesson| lesson.targets.len());
        ids.extend(sizes().enumerate().flat_map(|(number, rows)| vec![number as u32; rows]));
        ids.push(0);
        ids.extend(sizes().scan(0, |end, rows| {
            *end += rows as u32;
            Some(*end)
        }));
        let heat = (lesson.temperature * lesson.temperature) as f32;
        let mut shares = lesson.weights.clone();
        shares.extend(order.iter().map(|n| soft.weights[*n] * heat));
        shares.extend(order.iter().map(|n| soft.rest[*n]));
        shares.extend(order.iter().flat_map(|n| &soft.probabilities[entries(n)]));
        Self {
            ids: upload(logits, &ids, DType::U32),
            shares: upload(logits, &shares, DType::F32),
            rows,
            targets: order.len(),
            k: soft.k,
        }
    }
}

impl HeadOps for Cube {
    fn head_losses(logits: FloatTensor<Self>, lessons: Arc<[Lesson]>) -> FloatTensor<Self> {
        Self::head_losses_kept(logits, &lessons).0
    }
}

impl HeadGradient for Cube {
    type Kept = Kept;

    fn head_losses_kept(logits: FloatTensor<Self>, lessons: &[Lesson]) -> (FloatTensor<Self>, Kept) {
        let logits = close(logits);
        let (client, vocab) = (logits.client.clone(), size(&logits)[1]);
        let there = OnDevice::new(&logits, lessons);
        let tilt = tilt(lessons);
        let OnDevice { rows, targets, k, .. } = there;
        let (log_sums, slopes) = (empty(&logits, [rows, 2]), empty(&logits, [targets, k]));
        let losses = empty(&logits, [rows + targets]);
        let (groups, group) = each_row(rows, vocab);
        rows_forward::launch(
            &client,
            groups,
            group,
            logits.clone().into_buffer_arg(),
            there.ids.clone().into_buffer_arg(),
            there.shares.clone().into_buffer_arg(),
            log_sums.clone().into_buffer_arg(),
            losses.clone().into_buffer_arg(),
            vocab as u32,
            rows as u32,
            tilt,
            threads(vocab),
        );
        if targets > 0 {
            let (groups, group) = each(targets);
            targets_forward::launch(
                &client,
                groups,
                group,
                logits.clone().into_buffer_arg(),
                there.ids.clone().into_buffer_arg(),
                there.shares.clone().into_buffer_arg(),
                log_sums.clone().into_buffer_arg(),
                slopes.clone().into_buffer_arg(),
                losses.clone().into_buffer_arg(),
                vocab as u32,
                rows as u32,
                targets as u32,
                k as u32,
                tilt,
                kind(lessons[0].kind),
                lessons.iter().any(|lesson| lesson.soft.with_rest),
            );
        }
        let sums = empty(&logits, [lessons.len()]);
        let (groups, group) = each_row(lessons.len(), WORKGROUP);
        sum::launch(
            &client,
            groups,
            group,
            losses.into_buffer_arg(),
            there.ids.clone().into_buffer_arg(),
            sums.clone().into_buffer_arg(),
            rows as u32,
            targets as u32,
            k as u32,
            WORKGROUP,
        );
        (sums, Kept { logits, lessons: there, log_sums, slopes })
    }

    /// In the place of the logits where nobody else reads them.
    fn head_losses_back(kept: Kept, lessons: &[Lesson], grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let Kept { logits, lessons: there, log_sums, slopes } = kept;
        let (logits, grad) = (own(logits), close(grad));
        let vocab = size(&logits)[1];
        debug_assert_eq!(count(&grad), lessons.len());
        let (groups, group) = each_row(there.rows, vocab);
        rows_back::launch(
            &logits.client,
            groups,
            group,
            logits.clone().into_buffer_arg(),
            there.ids.into_buffer_arg(),
            there.shares.into_buffer_arg(),
            log_sums.into_buffer_arg(),
            slopes.into_buffer_arg(),
            grad.into_buffer_arg(),
            vocab as u32,
            there.rows as u32,
            there.targets as u32,
            there.k as u32,
            tilt(lessons),
            threads(vocab),
        );
        logits
    }
}

/// 1/τ of lessons that teach in one way.
fn tilt(lessons: &[Lesson]) -> f32 {
    (1.0 / lessons[0].temperature) as f32
}

/// A divergence as a number that a kernel is compiled for.
fn kind(kind: Divergence) -> u32 {
    match kind {
        Divergence::Forward => FORWARD,
        Divergence::Reverse => REVERSE,
        Divergence::Jsd => JSD,
    }
}

const FORWARD: u32 = 0;
const REVERSE: u32 = 1;
const JSD: u32 = 2;

/// The log-sums of a row of logits and its share of the cross-entropy.
#[cube(launch)]
fn rows_forward(
    logits: &[f32],
    ids: &[u32],
    shares: &[f32],
    log_sums: &mut [f32],
    losses: &mut [f32],
    vocab: u32,
    rows: u32,
    tilt: f32,
    #[comptime] threads: usize,
) {
    let (row, vocab) = (CUBE_POS, vocab as usize);
    if row >= rows as usize {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let mut most = Shared::new_slice(threads);
    let mut plain = Shared::new_slice(threads);
    let mut tempered = Shared::new_slice(threads);
    // The sums are of e^(z − most) and e^((z − most)/τ): when a larger logit comes, they shrink.
    let mut top = f32::new(LOWEST);
    let mut sum = 0.0f32;
    let mut sum_tempered = 0.0f32;
    let mut v = unit;
    while v < vocab {
        let z = logits[row * vocab + v];
        if z > top {
            sum = sum * (top - z).exp() + 1.0f32;
            sum_tempered = sum_tempered * ((top - z) * tilt).exp() + 1.0f32;
            top = z;
        } else {
            sum += (z - top).exp();
            sum_tempered += ((z - top) * tilt).exp();
        }
        v += threads;
    }
    most[unit] = top;
    plain[unit] = sum;
    tempered[unit] = sum_tempered;
    sync_cube();
    let mut half = CUBE_DIM as usize / 2;
    while half > 0 {
        if unit < half {
            let (a, b) = (most[unit], most[unit + half]);
            let top = select(a > b, a, b);
            let (other, other_tempered) = (plain[unit + half], tempered[unit + half]);
            plain[unit] = plain[unit] * (a - top).exp() + other * (b - top).exp();
            tempered[unit] =
                tempered[unit] * ((a - top) * tilt).exp() + other_tempered * ((b - top) * tilt).exp();
            most[unit] = top;
        }
        sync_cube();
        half /= 2;
    }
    if unit == 0 {
        let log_sum = plain[0].ln() + most[0];
        log_sums[2 * row] = log_sum;
        log_sums[2 * row + 1] = tempered[0].ln() + most[0] * tilt;
        losses[row] = shares[row] * (log_sum - logits[row * vocab + ids[row] as usize]);
    }
}

/// The divergence of a soft target and the slopes of its entries; a target a thread.
#[cube(launch)]
fn targets_forward(
    logits: &[f32],
    ids: &[u32],
    shares: &[f32],
    log_sums: &[f32],
    slopes: &mut [f32],
    losses: &mut [f32],
    vocab: u32,
    rows: u32,
    targets: u32,
    k: u32,
    tilt: f32,
    #[comptime] kind: u32,
    #[comptime] with_rest: bool,
) {
    let n = ABSOLUTE_POS;
    let (vocab, rows, targets, k) = (vocab as usize, rows as usize, targets as usize, k as usize);
    if n >= targets {
        terminate!();
    }
    let row = ids[2 * rows + 1 + n] as usize;
    let log_sum = log_sums[2 * row + 1];
    let entry_ids = 2 * rows + 1 + targets + n * k;
    let entries = rows + 2 * targets + n * k;
    let weight = shares[rows + n];
    let teacher_rest = at_least(shares[rows + targets + n]);

    // The rest, where it is a bucket of its own: what the student has outside the entries.
    let mut left = 1.0f32;
    if with_rest {
        let mut i = 0usize;
        while i < k {
            if shares[entries + i] > 0.0f32 {
                left -= (logits[row * vocab + ids[entry_ids + i] as usize] * tilt - log_sum).exp();
            }
            i += 1;
        }
    }
    let log_rest = at_least(left).ln();

    // The student is normalised over the entries, but for the forward divergence.
    let mut log_all = 0.0f32;
    if comptime!(kind != FORWARD) {
        let mut all = 0.0f32;
        if with_rest {
            all += at_least(left);
        }
        let mut i = 0usize;
        while i < k {
            if shares[entries + i] > 0.0f32 {
                all += (logits[row * vocab + ids[entry_ids + i] as usize] * tilt - log_sum).exp();
            }
            i += 1;
        }
        log_all = all.ln();
    }

    let mut loss = 0.0f32;
    let mut mean = 0.0f32;
    if with_rest {
        let log_q = log_rest - log_all;
        loss += part(teacher_rest, log_q, kind);
        mean += log_q.exp() * pull(teacher_rest, log_q, kind);
    }
    let mut i = 0usize;
    while i < k {
        let p = shares[entries + i];
        if p > 0.0f32 {
            let log_q = logits[row * vocab + ids[entry_ids + i] as usize] * tilt - log_sum - log_all;
            loss += part(p, log_q, kind);
            mean += log_q.exp() * pull(p, log_q, kind);
        }
        i += 1;
    }
    losses[rows + n] = weight * loss;

    let mut through_rest = 0.0f32;
    if with_rest {
        // Where it is bounded it does not move.
        if left >= LEAST {
            through_rest = -slope(teacher_rest, log_rest - log_all, mean, kind) / left;
        }
    }
    let mut i = 0usize;
    while i < k {
        let p = shares[entries + i];
        let mut to = 0.0f32;
        if p > 0.0f32 {
            let log_q = logits[row * vocab + ids[entry_ids + i] as usize] * tilt - log_sum;
            to = weight * (slope(p, log_q - log_all, mean, kind) + through_rest * log_q.exp());
        }
        slopes[n * k + i] = to;
        i += 1;
    }
}

#[cube]
fn at_least(p: f32) -> f32 {
    select(p > LEAST, p, LEAST)
}

/// What an entry adds to the divergence.
#[cube]
fn part(p: f32, log_q: f32, #[comptime] kind: u32) -> f32 {
    let q = log_q.exp();
    let log_p = at_least(p).ln();
    if comptime!(kind == FORWARD) {
        p * (log_p - log_q)
    } else if comptime!(kind == REVERSE) {
        q * (log_q - log_p)
    } else {
        let log_middle = at_least(0.5f32 * (p + q)).ln();
        0.5f32 * (p * (log_p - log_middle) + q * (log_q - log_middle))
    }
}

/// Slope of the divergence in the probability of an entry, but for what its normalisation takes back.
#[cube]
fn pull(p: f32, log_q: f32, #[comptime] kind: u32) -> f32 {
    if comptime!(kind == FORWARD) {
        0.0f32 * p
    } else if comptime!(kind == REVERSE) {
        log_q - at_least(p).ln()
    } else {
        0.5f32 * (log_q - at_least(0.5f32 * (p + log_q.exp())).ln())
    }
}

/// Slope of the divergence in the log-probability of an entry; `mean` is that of [`pull`].
#[cube]
fn slope(p: f32, log_q: f32, mean: f32, #[comptime] kind: u32) -> f32 {
    if comptime!(kind == FORWARD) { -p } else { log_q.exp() * (pull(p, log_q, kind) - mean) }
}

/// The loss of a lesson: the shares of its rows, then of its soft targets.
#[cube(launch)]
fn sum(
    losses: &[f32],
    ids: &[u32],
    sums: &mut [f32],
    rows: u32,
    targets: u32,
    k: u32,
    #[comptime] threads: usize,
) {
    let (lesson, rows, targets, k) = (CUBE_POS, rows as usize, targets as usize, k as usize);
    if lesson >= sums.len() {
        terminate!();
    }
    let mut shared = Shared::new_slice(threads);
    let firsts = lessons_of_rows(rows, targets, k) + rows;
    let (first_row, end_row) = (ids[firsts + lesson] as usize, ids[firsts + lesson + 1] as usize);
    let (first_target, end_target) = (ids[rows + first_row] as usize, ids[rows + end_row] as usize);
    let own_rows = end_row - first_row;
    let mut sum = 0.0f32;
    let mut i = UNIT_POS as usize;
    while i < own_rows + end_target - first_target {
        sum += losses[select(i < own_rows, first_row + i, rows + first_target + i - own_rows)];
        i += threads;
    }
    let sum = total(sum, &mut shared);
    if UNIT_POS == 0 {
        sums[lesson] = sum;
    }
}

/// Where the lessons of the rows begin among the ids of [`OnDevice`].
#[cube]
fn lessons_of_rows(rows: usize, targets: usize, k: usize) -> usize {
    2 * rows + 1 + targets + targets * k
}

/// Turns a row of logits into its gradient.
#[cube(launch)]
fn rows_back(
    logits: &mut [f32],
    ids: &[u32],
    shares: &[f32],
    log_sums: &[f32],
    slopes: &[f32],
    grad: &[f32],
    vocab: u32,
    rows: u32,
    targets: u32,
    k: u32,
    tilt: f32,
    #[comptime] threads: usize,
) {
    let (row, vocab) = (CUBE_POS, vocab as usize);
    let (rows, targets, k) = (rows as usize, targets as usize, k as usize);
    if row >= rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let mut shared = Shared::new_slice(threads);
    let (first, last) = (ids[rows + row] as usize * k, ids[rows + row + 1] as usize * k);
    let mut sum = 0.0f32;
    let mut i = first + unit;
    while i < last {
        sum += slopes[i];
        i += threads;
    }
    let grad = grad[ids[lessons_of_rows(rows, targets, k) + row] as usize];
    let tempered = -grad * tilt * total(sum, &mut shared);
    let plain = grad * shares[row];
    let (log_sum, log_sum_tempered) = (log_sums[2 * row], log_sums[2 * row + 1]);
    let mut v = unit;
    while v < vocab {
        let z = logits[row * vocab + v];
        let mut to = plain * (z - log_sum).exp();
        if last > first {
            to += tempered * (z * tilt - log_sum_tempered).exp();
        }
        logits[row * vocab + v] = to;
        v += threads;
    }
    sync_storage();
    // One thread, since two entries may be of the same token.
    if unit == 0 {
        logits[row * vocab + ids[row] as usize] -= plain;
        let mut i = first;
        while i < last {
            logits[row * vocab + ids[2 * rows + 1 + targets + i] as usize] += grad * tilt * slopes[i];
            i += 1;
        }
    }
}
