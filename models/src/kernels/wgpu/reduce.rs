//! Sums and maxima over the threads of a workgroup.

use cubecl::prelude::*;

/// The sum of one value a thread, known to all of them, whose number is a power of two.
#[cube]
pub(super) fn total(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    folded(value, shared, false)
}

/// The largest of one value a thread, known to all of them, whose number is a power of two.
#[cube]
pub(super) fn largest(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    folded(value, shared, true)
}

/// Halves are folded onto each other, so the order is always the same.
#[cube]
fn folded(value: f32, shared: &mut Shared<[f32]>, #[comptime] largest: bool) -> f32 {
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    let mut half = CUBE_DIM as usize / 2;
    while half > 0 {
        if unit < half {
            let (own, other) = (shared[unit], shared[unit + half]);
            if comptime!(largest) {
                shared[unit] = select(other > own, other, own);
            } else {
                shared[unit] = own + other;
            }
        }
        sync_cube();
        half /= 2;
    }
    let all = shared[0];
    // Nobody writes the next values before all have read this one.
    sync_cube();
    all
}
