//! Causal self-attention over rows of query, key and value, head by head, in blocks of queries whose scores stay in the
//! cache. What a query may not see is neither multiplied (but for the rest of its block) nor exponentiated. The backward
//! pass computes the probabilities again; nothing but the input is kept.

use super::matrix::{Place, multiply};
use super::simd::{LANES, exp, largest, mul_add, replace, replace_and_sum, sum_of_pairs, vectorised};

/// The shape of one call.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub time: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
}

impl AttentionShape {
    /// Values of a row of query, key and value.
    pub(crate) fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_width
    }

    /// Values of a row of the output.
    pub(crate) fn width(&self) -> usize {
        self.heads * self.head_width
    }
}

/// Rotary angles on the host: cosines and sines, each `[positions, half]`.
#[derive(Clone, Debug)]
pub struct Angles {
    /// Cosines.
    pub cos: Vec<f32>,
    /// Sines.
    pub sin: Vec<f32>,
    /// Pairs of a head that are turned.
    pub half: usize,
    /// Whether a pair is two neighbours, not the same place of two halves.
    pub interleaved: bool,
}

/// How positions enter the scores.
#[derive(Clone, Debug, Default)]
pub struct Positioning {
    /// Turns queries and keys.
    pub angles: Option<Angles>,
    /// Penalty on the distance, one a head; empty without.
    pub slopes: Vec<f32>,
}

impl Positioning {
    /// Cosines, sines and slopes one behind the other; a zero where there are none of them, since a kernel is bound to no
    /// buffer of nothing.
    pub(crate) fn table(&self) -> Vec<f32> {
        let angles = self.angles.iter().flat_map(|angles| angles.cos.iter().chain(&angles.sin));
        let table: Vec<f32> = angles.chain(&self.slopes).copied().collect();
        if table.is_empty() { vec![0.0] } else { table }
    }
}

/// Queries whose scores are computed together (measured: fewer waste calls, more waste products above the diagonal).
const QUERIES: usize = 32;

/// The rows of one head: `time` rows of `width` values, `stride` apart, from `start`.
#[derive(Clone, Copy)]
struct Head {
    start: usize,
    stride: usize,
    time: usize,
    width: usize,
}

vectorised! {
    /// Copies a head into rows that lie close, turned by its positions 0, 1, 2, …
    fn gather(from: &[f32], head: Head, angles: Option<&Angles>, to: &mut [f32]) {
        for (t, to) in to.chunks_exact_mut(head.width).enumerate() {
            let row = &from[head.start + t * head.stride..][..head.width];
            match angles {
                Some(angles) => turn(row, angles, t, 1.0, to),
                None => to.copy_from_slice(row),
            }
        }
    }
}

vectorised! {
    /// Copies close rows into the place of a head, turned back.
    fn scatter(from: &[f32], head: Head, angles: Option<&Angles>, to: &mut [f32]) {
        for (t, from) in from.chunks_exact(head.width).enumerate() {
            let row = &mut to[head.start + t * head.stride..][..head.width];
            match angles {
                Some(angles) => turn(from, angles, t, -1.0, row),
                None => row.copy_from_slice(from),
            }
        }
    }
}

/// Pairs that are turned together.
const EIGHT: usize = 8;

/// Turns the pairs of a row by the angles of `position`, forward or backward; what lies behind them stays.
#[inline(always)]
pub(crate) fn turn(row: &[f32], angles: &Angles, position: usize, direction: f32, to: &mut [f32]) {
    let half = angles.half;
    let cos = &angles.cos[position * half..][..half];
    let sin = &angles.sin[position * half..][..half];
    to[2 * half..].copy_from_slice(&row[2 * half..]);
    if angles.interleaved {
        let pairs = row.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<2>().0);
        for (([a, b], to), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
            *to = [a * cos - b * sin * direction, b * cos + a * sin * direction];
        }
    } else {
        let (a, b) = row[..2 * half].split_at(half);
        let (to_a, to_b) = to[..2 * half].split_at_mut(half);
        let whole = half - half % EIGHT;
        for i in (0..whole).step_by(EIGHT) {
            let cut = |x: &[f32]| -> [f32; EIGHT] { x[i..i + EIGHT].try_into().expect("eight values") };
            let (a, b, cos, sin) = (cut(a), cut(b), cut(cos), cut(sin));
            let (mut turned_a, mut turned_b) = ([0.0; EIGHT], [0.0; EIGHT]);
            for i in 0..EIGHT {
                turned_a[i] = a[i] * cos[i] - b[i] * sin[i] * direction;
                turned_b[i] = b[i] * cos[i] + a[i] * sin[i] * direction;
            }
            to_a[i..i + EIGHT].copy_from_slice(&turned_a);
            to_b[i..i + EIGHT].copy_from_slice(&turned_b);
        }
        for i in whole..half {
            to_a[i] = a[i] * cos[i] - b[i] * sin[i] * direction;
            to_b[i] = b[i] * cos[i] + a[i] * sin[i] * direction;
        }
    }
}

vectorised! {
    /// `e^(score − the largest)` of the columns that each row sees, 0 in the others; and the inverse of each row's sum.
    /// Row `r` stands at position `first + r` and sees that many columns and one more.
    fn exponentials(scores: &mut [f32], columns: usize, first: usize, slope: f32, inverse: &mut [f32]) {
        for (r, (row, inverse)) in scores.chunks_exact_mut(columns).zip(inverse).enumerate() {
            let seen = first + r + 1;
            if slope != 0.0 {
                for (j, score) in row[..seen].iter_mut().enumerate() {
                    *score = mul_add::<FMA>(-slope, (first + r - j) as f32, *score);
                }
            }
            // Whole registers are filled up with what becomes nothing.
            row[seen..].fill(f32::MIN);
            let whole = &mut row[..seen.next_multiple_of(LANES).min(columns)];
            let most = largest(whole);
            *inverse = 1.0 / replace_and_sum(whole, |score| exp::<FMA>(score - most));
            row[seen..].fill(0.0);
        }
    }
}

vectorised! {
    /// Multiplies each of the rows, which may lie apart, by a number of its own.
    fn scale_rows(x: &mut [f32], head: Head, by: &[f32]) {
        for (t, by) in by.iter().enumerate() {
            for x in &mut x[head.start + t * head.stride..][..head.width] {
                *x *= by;
            }
        }
    }
}

vectorised! {
    /// From the exponentials of [`exponentials`] to probabilities, and from the gradient of the probabilities to that of
    /// the scores: `p (g − Σ p g)`.
    fn softmax_back(weights: &mut [f32], columns: usize, first: usize, inverse: &[f32], grad: &mut [f32]) {
        let rows = weights.chunks_exact_mut(columns).zip(grad.chunks_exact_mut(columns)).zip(inverse);
        for (r, ((weights, grad), inverse)) in rows.enumerate() {
            let whole = (first + r + 1).next_multiple_of(LANES).min(columns);
            let (weights, grad) = (&mut weights[..whole], &mut grad[..]);
            let (grad, hidden) = grad.split_at_mut(whole);
            replace(weights, |weight| weight * inverse);
            let pull = sum_of_pairs(weights, grad, |p, g| p * g);
            for (grad, p) in grad.iter_mut().zip(weights.iter()) {
                *grad = p * (*grad - pull);
            }
            hidden.fill(0.0);
        }
    }
}

/// One key-value head of one sequence and the blocks of its queries.
struct Group<'a> {
    shape: AttentionShape,
    positioning: &'a Positioning,
    scale: f32,
    sequence: usize,
}

impl<'a> Group<'a> {
    fn new(shape: AttentionShape, positioning: &'a Positioning, sequence: usize) -> Self {
        let scale = 1.0 / (shape.head_width as f32).sqrt();
        Self { shape, positioning, scale, sequence }
    }

    /// Head `index` of a row of query, key and value: first the queries, then the keys, then the values.
    fn part(&self, index: usize) -> Head {
        let stride = self.shape.qkv_width();
        let start = self.sequence * self.shape.time * stride + index * self.shape.head_width;
        Head { start, stride, time: self.shape.time, width: self.shape.head_width }
    }

    fn key(&self, group: usize) -> Head {
        self.part(self.shape.heads + group)
    }

    fn value(&self, group: usize) -> Head {
        self.part(self.shape.heads + self.shape.kv_heads + group)
    }

    /// Head `index` of a row of the output.
    fn output(&self, index: usize) -> Head {
        let stride = self.shape.width();
        let start = self.sequence * self.shape.time * stride + index * self.shape.head_width;
        Head { start, stride, time: self.shape.time, width: self.shape.head_width }
    }

    fn angles(&self) -> Option<&'a Angles> {
        self.positioning.angles.as_ref()
    }

    /// Exponentials of the scores of the queries `first..end`, `[end − first, end]`, and the inverse sums.
    fn weigh(
        &self,
        head: usize,
        (q, k): (&[f32], &[f32]),
        first: usize,
        end: usize,
        (scores, inverse): (&mut [f32], &mut [f32]),
    ) {
        let width = self.shape.head_width;
        let (rows, columns) = (end - first, end);
        let keys = (k, Place::rows(0, width).turned());
        let queries = (q, Place::rows(first * width, width));
        multiply([rows, width, columns], self.scale, queries, keys, (scores, Place::rows(0, columns)), false);
        let slope = self.positioning.slopes.get(head).copied().unwrap_or(0.0);
        exponentials(&mut scores[..rows * columns], columns, first, slope, &mut inverse[..rows]);
    }
}

/// The blocks of queries of a sequence, as first and end.
fn blocks(time: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..time).step_by(QUERIES).map(move |first| (first, (first + QUERIES).min(time)))
}

impl Head {
    fn place(self, row: usize) -> Place {
        Place::rows(self.start + row * self.stride, self.stride)
    }

    fn after(self, row: usize) -> Self {
        Self { start: self.start + row * self.stride, time: self.time - row, ..self }
    }
}

/// `softmax(q kᵀ / √head_width − slope · distance) v` of every head, `[batch · time, qkv] -> [batch · time, width]`.
pub(crate) fn causal(qkv: &[f32], shape: AttentionShape, positioning: &Positioning, out: &mut [f32]) {
    let AttentionShape { time, heads, kv_heads, head_width: width, .. } = shape;
    let (mut q, mut k) = (vec![0.0; time * width], vec![0.0; time * width]);
    let (mut scores, mut inverse) = (vec![0.0; QUERIES.min(time) * time], [0.0; QUERIES]);
    for sequence in 0..shape.batch {
        let rows = Group::new(shape, positioning, sequence);
        for group in 0..kv_heads {
            gather(qkv, rows.key(group), rows.angles(), &mut k);
            let value = rows.value(group);
            for head in group * (heads / kv_heads)..(group + 1) * (heads / kv_heads) {
                gather(qkv, rows.part(head), rows.angles(), &mut q);
                let to = rows.output(head);
                for (first, end) in blocks(time) {
                    rows.weigh(head, (&q, &k), first, end, (&mut scores, &mut inverse));
                    let weights = (&scores[..], Place::rows(0, end));
                    let size = [end - first, end, width];
                    multiply(size, 1.0, weights, (qkv, value.place(0)), (out, to.place(first)), false);
                    scale_rows(out, to.after(first), &inverse[..end - first]);
                }
            }
        }
    }
}

/// The gradient of [`causal`] for its input, every value of `to` written, where `grad` is that of its output.
pub(crate) fn causal_back(
    qkv: &[f32],
    shape: AttentionShape,
    positioning: &Positioning,
    grad: &[f32],
    to: &mut [f32],
) {
    let AttentionShape { time, heads, kv_heads, head_width: width, .. } = shape;
    let line = || vec![0.0; time * width];
    let (mut q, mut k, mut to_q, mut to_k, mut to_v) = (line(), line(), line(), line(), line());
    let block = || vec![0.0; QUERIES.min(time) * time];
    let (mut weights, mut to_scores, mut inverse) = (block(), block(), [0.0; QUERIES]);
    for sequence in 0..shape.batch {
        let rows = Group::new(shape, positioning, sequence);
        for group in 0..kv_heads {
            gather(qkv, rows.key(group), rows.angles(), &mut k);
            let value = rows.value(group);
            to_k.fill(0.0);
            to_v.fill(0.0);
            for head in group * (heads / kv_heads)..(group + 1) * (heads / kv_heads) {
                gather(qkv, rows.part(head), rows.angles(), &mut q);
                let from = rows.output(head);
                for (first, end) in blocks(time) {
                    rows.weigh(head, (&q, &k), first, end, (&mut weights, &mut inverse));
                    let (n, scores) = (end - first, Place::rows(0, end));
                    let rest = (grad, from.place(first));
                    let values = (qkv, value.place(0).turned());
                    multiply([n, width, end], 1.0, rest, values, (&mut to_scores, scores), false);
                    let size = n * end;
                    let slopes = &mut to_scores[..size];
                    softmax_back(&mut weights[..size], end, first, &inverse[..n], slopes);
                    let close = Place::rows(0, width);
                    let probabilities = (&weights[..], scores.turned());
                    multiply([end, n, width], 1.0, probabilities, rest, (&mut to_v, close), true);
                    let (slopes, of) = (&to_scores[..], Place::rows(first * width, width));
                    let to_block = (&mut to_q[..], of);
                    multiply([n, end, width], rows.scale, (slopes, scores), (&k, close), to_block, false);
                    let turned = (slopes, scores.turned());
                    multiply([end, n, width], rows.scale, turned, (&q, of), (&mut to_k, close), true);
                }
                scatter(&to_q, rows.part(head), rows.angles(), to);
            }
            scatter(&to_k, rows.key(group), rows.angles(), to);
            scatter(&to_v, value, None, to);
        }
    }
}
