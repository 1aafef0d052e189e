//! Query, key and value of a row taken apart into heads and put together again, turned by their positions on the way
//! (Su et al. 2021, arXiv 2104.09864, equation 34): a value a thread.

use super::{Values, each, empty};
use crate::kernels::attention::AttentionShape;
use cubecl::prelude::*;

/// Where the angles of the positions lie in a table: cosines, then sines, each `[positions, half]`.
#[derive(Clone, Copy)]
pub(super) struct Angles {
    /// Pairs of a head that are turned; 0 where positions are not rotary.
    pub half: usize,
    /// Positions of the table.
    pub positions: usize,
    /// Whether a pair is two neighbours, not the same place of two halves.
    pub interleaved: bool,
}

/// `[batch · time, (heads + 2 kv_heads) · width]` to the turned queries and keys and the values, each `[batch, heads or
/// kv_heads, time, width]`.
pub(super) fn apart(qkv: &Values, table: &Values, shape: AttentionShape, angles: Angles) -> [Values; 3] {
    let AttentionShape { batch, time, heads, kv_heads, head_width } = shape;
    let [q, k, v] = [heads, kv_heads, kv_heads].map(|heads| empty(qkv, [batch, heads, time, head_width]));
    let (groups, group) = each(batch * time * shape.qkv_width());
    take_apart::launch(
        &qkv.client,
        groups,
        group,
        qkv.clone().into_buffer_arg(),
        table.clone().into_buffer_arg(),
        q.clone().into_buffer_arg(),
        k.clone().into_buffer_arg(),
        v.clone().into_buffer_arg(),
        time as u32,
        heads as u32,
        kv_heads as u32,
        head_width as u32,
        angles.positions as u32,
        angles.half,
        angles.interleaved,
    );
    [q, k, v]
}

/// The reverse of [`apart`], queries and keys turned back.
pub(super) fn together(
    [q, k, v]: [Values; 3],
    table: &Values,
    shape: AttentionShape,
    angles: Angles,
) -> Values {
    let AttentionShape { batch, time, heads, kv_heads, head_width } = shape;
    let to = empty(&q, [batch * time, shape.qkv_width()]);
    let (groups, group) = each(batch * time * shape.qkv_width());
    put_together::launch(
        &to.client,
        groups,
        group,
        q.into_buffer_arg(),
        k.into_buffer_arg(),
        v.into_buffer_arg(),
        table.clone().into_buffer_arg(),
        to.clone().into_buffer_arg(),
        time as u32,
        heads as u32,
        kv_heads as u32,
        head_width as u32,
        angles.positions as u32,
        angles.half,
        angles.interleaved,
    );
    to
}

/// Whether the place `d` of a head is the first of two neighbours.
#[cube]
fn is_even(d: usize) -> bool {
    d / 2 * 2 == d
}

/// The other value of the pair that place `d` of a head is turned with.
#[cube]
fn partner(d: usize, #[comptime] half: usize, #[comptime] interleaved: bool) -> usize {
    if interleaved {
        select(is_even(d), d + 1, d - d % 2)
    } else {
        select(d < half, d + half, d - select(d < half, 0, half))
    }
}

/// A value turned with the other of its pair, forward or backward.
#[cube]
fn turned(
    value: f32,
    other: f32,
    table: &[f32],
    d: usize,
    position: usize,
    positions: usize,
    #[comptime] half: usize,
    #[comptime] interleaved: bool,
    #[comptime] back: bool,
) -> f32 {
    let pair = if interleaved { d / 2 } else { d % half };
    let first = if interleaved { is_even(d) } else { d < half };
    let at = position * half + pair;
    let cos = table[at];
    let mut sin = table[positions * half + at];
    if back {
        sin = -sin;
    }
    value * cos + select(first, -other, other) * sin
}

#[cube(launch)]
fn take_apart(
    qkv: &[f32],
    table: &[f32],
    q: &mut [f32],
    k: &mut [f32],
    v: &mut [f32],
    time: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    positions: u32,
    #[comptime] half: usize,
    #[comptime] interleaved: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= qkv.len() {
        terminate!();
    }
    let (time, heads, kv_heads, width) = (time as usize, heads as usize, kv_heads as usize, width as usize);
    let row = (heads + 2 * kv_heads) * width;
    let (sequence, position) = (i / row / time, i / row % time);
    let (head, d) = (i % row / width, i % width);
    let mut value = qkv[i];
    if comptime!(half > 0) {
        // Without a pair there is no angle to look up.
        if head < heads + kv_heads && d < 2 * half {
            let other = qkv[i - d + partner(d, half, interleaved)];
            value = turned(value, other, table, d, position, positions as usize, half, interleaved, false);
        }
    }
    let (each, at) = (time * width, position * width + d);
    if head < heads {
        q[(sequence * heads + head) * each + at] = value;
    } else if head < heads + kv_heads {
        k[(sequence * kv_heads + head - heads) * each + at] = value;
    } else {
        v[(sequence * kv_heads + head - heads - kv_heads) * each + at] = value;
    }
}

/// The value of a head of a sequence, be it of a query, a key or a value; a head has `each` values, and it is that `at` among
/// them.
#[cube]
fn read(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    heads: usize,
    kv_heads: usize,
    sequence: usize,
    head: usize,
    each: usize,
    at: usize,
) -> f32 {
    if head < heads {
        q[(sequence * heads + head) * each + at]
    } else if head < heads + kv_heads {
        k[(sequence * kv_heads + head - heads) * each + at]
    } else {
        v[(sequence * kv_heads + head - heads - kv_heads) * each + at]
    }
}

#[cube(launch)]
fn put_together(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    table: &[f32],
    to: &mut [f32],
    time: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    positions: u32,
    #[comptime] half: usize,
    #[comptime] interleaved: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= to.len() {
        terminate!();
    }
    let (time, heads, kv_heads, width) = (time as usize, heads as usize, kv_heads as usize, width as usize);
    let row = (heads + 2 * kv_heads) * width;
    let (sequence, position) = (i / row / time, i / row % time);
    let (head, d) = (i % row / width, i % width);
    let (each, at) = (time * width, position * width + d);
    let mut value = read(q, k, v, heads, kv_heads, sequence, head, each, at);
    if comptime!(half > 0) {
        // Without a pair there is no angle to look up.
        if head < heads + kv_heads && d < 2 * half {
            let pair = position * width + partner(d, half, interleaved);
            let other = read(q, k, v, heads, kv_heads, sequence, head, each, pair);
            value = turned(value, other, table, d, position, positions as usize, half, interleaved, true);
        }
    }
    to[i] = value;
}
