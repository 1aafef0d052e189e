//! One source, several instruction sets; and the few functions that every loop needs.

/// Values that are summed side by side, whatever the width of a register: the order of a sum is the same everywhere.
pub(crate) const LANES: usize = 16;

/// Partial sums, one a lane.
pub(crate) type Lanes = [f32; LANES];

/// Defines a function once and compiles its body for AVX-512, for AVX2 with FMA, and for the build's own target; a
/// call takes the best that the processor has. `FMA` is a constant in the body: [`mul_add`] fuses where it is true.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi2")]
                fn v4($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,bmi2")]
                fn v3($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                match $crate::kernels::cpu::simd::level() {
                    // SAFETY: the processor has just said that it has every feature that `v4` is compiled for.
                    $crate::kernels::cpu::simd::Level::V4 => return unsafe { v4($($arg),*) },
                    // SAFETY: as above, for `v3`.
                    $crate::kernels::cpu::simd::Level::V3 => return unsafe { v3($($arg),*) },
                    $crate::kernels::cpu::simd::Level::Built => {}
                }
            }
            body::<false>($($arg),*)
        }
    };
}
pub(crate) use vectorised;

/// What the processor can do.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// AVX-512 (F, VL, BW, DQ).
    V4,
    /// AVX2 and FMA.
    V3,
    /// What the program was built for.
    Built,
}

/// The level of this processor; looked up once by the standard library, then read.
#[cfg(target_arch = "x86_64")]
pub(crate) fn level() -> Level {
    let v3 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi2");
    let v4 = v3
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (v4, v3) {
        (true, _) => Level::V4,
        (_, true) => Level::V3,
        _ => Level::Built,
    }
}

/// `a · b + c`, rounded once where `FMA` is true.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` to two units in the last place (the polynomial of Cephes, `expf.c`) from −60 to 60; 0 below, e^60 above; what is
/// not a number stays so.
///
/// A probability below e^−60 changes no sum that has a 1 in it, but its products soon leave the normal numbers, and each of
/// those costs a processor a hundred cycles in the matrix products that follow.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const RANGE: f32 = 60.0;
    let nothing = x < -RANGE;
    let x = if x > RANGE { RANGE } else { x };
    let rounded = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = mul_add::<FMA>(n, -LN_2_LOW, mul_add::<FMA>(n, -LN_2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = mul_add::<FMA>(p, r, c);
    }
    let p = mul_add::<FMA>(p * r, r, r) + 1.0;
    let p = p * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if nothing { 0.0 } else { p }
}

/// `1 / (1 + e^−x)`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// The same value, or 0 where it is so small that a thousandth of its square would leave the normal numbers.
#[inline(always)]
pub(crate) fn or_nothing(x: f32) -> f32 {
    if x.abs() < 1e-17 { 0.0 } else { x }
}

/// The sum of the lanes, halves onto halves.
#[inline(always)]
pub(crate) fn total(mut lanes: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The last lanes of a slice, filled up with `fill`.
#[inline(always)]
fn filled_up(rest: &[f32], fill: f32) -> Lanes {
    let mut lanes = [fill; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}

/// Puts `f(x_i)` in the place of every `x_i`.
#[inline(always)]
pub(crate) fn replace(x: &mut [f32], f: impl Fn(f32) -> f32) {
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    for block in blocks {
        for x in block {
            *x = f(*x);
        }
    }
    if !rest.is_empty() {
        let mut lanes = filled_up(rest, 0.0);
        for x in &mut lanes {
            *x = f(*x);
        }
        rest.copy_from_slice(&lanes[..rest.len()]);
    }
}

/// Puts `f(x_i)` in the place of every `x_i` and returns the sum of what was put there.
#[inline(always)]
pub(crate) fn replace_and_sum(x: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for (x, sum) in block.iter_mut().zip(&mut sums) {
            *x = f(*x);
            *sum += *x;
        }
    }
    if !rest.is_empty() {
        let mut lanes = filled_up(rest, 0.0);
        for x in &mut lanes {
            *x = f(*x);
        }
        rest.copy_from_slice(&lanes[..rest.len()]);
        for (sum, x) in sums.iter_mut().zip(filled_up(rest, 0.0)) {
            *sum += x;
        }
    }
    total(sums)
}

/// `Σ f(x_i)` in lanes; `f(0)` is 0.
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum_of_pairs(x, x, |x, _| f(x))
}

/// `Σ f(x_i, y_i)` in lanes; `f(0, 0)` is 0.
#[inline(always)]
pub(crate) fn sum_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for lane in 0..LANES {
            sums[lane] += f(x[lane], y[lane]);
        }
    }
    if !x_rest.is_empty() {
        let (x, y) = (filled_up(x_rest, 0.0), filled_up(y_rest, 0.0));
        for lane in 0..LANES {
            sums[lane] += f(x[lane], y[lane]);
        }
    }
    total(sums)
}

/// The largest value; `f32::MIN` without any, and what is not a number never is the largest.
#[inline(always)]
pub(crate) fn largest(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut most = [f32::MIN; LANES];
    for block in blocks {
        for lane in 0..LANES {
            most[lane] = if block[lane] > most[lane] { block[lane] } else { most[lane] };
        }
    }
    for (most, x) in most.iter_mut().zip(rest) {
        *most = if *x > *most { *x } else { *most };
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            most[i] = if most[i + width] > most[i] { most[i + width] } else { most[i] };
        }
        width /= 2;
    }
    most[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    vectorised! {
        fn exponentials(x: &[f32], out: &mut [f32]) {
            for (out, x) in out.iter_mut().zip(x) {
                *out = exp::<FMA>(*x);
            }
        }
    }

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        let x: Vec<f32> = (-600_000..=600_000).map(|i| i as f32 / 10_000.0).collect();
        let mut y = vec![0.0; x.len()];
        exponentials(&x, &mut y);
        for (x, y) in x.iter().zip(&y) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(*y) - exact).abs() / exact;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) is {exact}, not {y}");
        }
        let mut odd = [0.0; 4];
        exponentials(&[0.0, -1e9, 1e9, f32::NAN], &mut odd);
        assert!(odd[0] == 1.0 && odd[1] == 0.0 && odd[2] > 1e26 && odd[2].is_finite() && odd[3].is_nan());
    }

    #[test]
    fn sums_and_the_largest_take_every_value_at_any_length() {
        for n in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 40.0).collect();
            assert_eq!(sum_of(&x, |x| x), x.iter().sum::<f32>());
            assert_eq!(sum_of_pairs(&x, &x, |x, y| x * y), x.iter().map(|x| x * x).sum::<f32>());
            assert_eq!(largest(&x), x.iter().copied().fold(f32::MIN, f32::max));
        }
    }
}
