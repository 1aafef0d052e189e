//! The singular value decomposition of a product `L · R`, by one-sided Jacobi rotations in f64.
//!
//! Hestenes 1958; Golub & Van Loan, *Matrix Computations*, 4th edition, §8.6.3. Where L is narrow it is factored first
//! (Gram-Schmidt, each column twice: "twice is enough", Giraud et al. 2005), so that the rotations work on as many
//! columns as L has. Jacobi is slower than bidiagonalisation and at least as accurate, it is short, and it sums in one
//! fixed order: the same bits wherever it runs.

/// A matrix as its columns.
pub(crate) type Columns = Vec<Vec<f64>>;

/// `U · diag(s) · Vᵀ`, singular values falling; columns of U and V that belong to a zero are zero.
#[derive(Clone, Debug)]
pub(crate) struct Svd {
    pub u: Columns,
    pub s: Vec<f64>,
    pub v: Columns,
}

/// Columns are orthogonal when their cosine is below this.
const ORTHOGONAL: f64 = 1e-15;

/// Singular values below this share of the largest count as zero.
const NEGLIGIBLE: f64 = 1e-13;

/// Sweeps over all pairs of columns at most; a dozen are usual.
const MOST_SWEEPS: usize = 60;

/// Decomposes `L · R` of `left` (columns of L) and `right` (rows of R, as many).
pub(crate) fn svd_of_product(left: &[Vec<f64>], right: &[Vec<f64>]) -> Svd {
    let (rows, inner) = (left.first().map_or(0, Vec::len), left.len());
    if inner < rows {
        // L = Q T, so L R = Q (T R): the rotations work on the rows of T R.
        let (q, t) = orthonormal(left);
        let core: Columns = t.iter().map(|row| combine(right, row)).collect();
        let Svd { u, s, v } = rotate(core);
        // The decomposition is that of (T R)ᵀ: its right vectors are left ones of T R.
        return Svd { u: v.iter().map(|column| combine(&q, column)).collect(), s, v: u };
    }
    let transposed: Columns =
        (0..rows).map(|i| combine(right, &left.iter().map(|column| column[i]).collect::<Vec<_>>())).collect();
    let Svd { u, s, v } = rotate(transposed);
    Svd { u: v, s, v: u }
}

/// `Σ weight · column`.
fn combine(columns: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; columns.first().map_or(0, Vec::len)];
    for (column, weight) in columns.iter().zip(weights) {
        if *weight != 0.0 {
            sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    sum
}

/// Q with orthonormal columns and the rows of the triangular T with `Q · T` the matrix of `columns`; a column that
/// depends on earlier ones leaves a zero column in Q.
fn orthonormal(columns: &[Vec<f64>]) -> (Columns, Vec<Vec<f64>>) {
    let n = columns.len();
    let mut t = vec![vec![0.0; n]; n];
    let mut q: Columns = Vec::with_capacity(n);
    for (j, column) in columns.iter().enumerate() {
        let mut rest = column.clone();
        for _ in 0..2 {
            for (i, direction) in q.iter().enumerate() {
                let part = dot(direction, &rest);
                t[i][j] += part;
                rest.iter_mut().zip(direction).for_each(|(rest, d)| *rest -= part * d);
            }
        }
        let length = dot(&rest, &rest).sqrt();
        if length > NEGLIGIBLE * dot(column, column).sqrt() {
            t[j][j] = length;
            rest.iter_mut().for_each(|value| *value /= length);
        } else {
            rest.fill(0.0);
        }
        q.push(rest);
    }
    (q, t)
}

/// The decomposition of the matrix of `columns`: they are rotated pairwise until all are orthogonal.
fn rotate(mut columns: Columns) -> Svd {
    let n = columns.len();
    let mut v: Columns = (0..n).map(|j| (0..n).map(|i| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..MOST_SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let (alpha, beta) = (dot(&columns[p], &columns[p]), dot(&columns[q], &columns[q]));
                let gamma = dot(&columns[p], &columns[q]);
                if gamma.abs() <= ORTHOGONAL * (alpha * beta).sqrt() || gamma == 0.0 {
                    continue;
                }
                turned = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let tangent = 1.0_f64.copysign(zeta) / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                turn(&mut columns, p, q, cosine, cosine * tangent);
                turn(&mut v, p, q, cosine, cosine * tangent);
            }
        }
        if !turned {
            break;
        }
    }
    let lengths: Vec<f64> = columns.iter().map(|column| dot(column, column).sqrt()).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| lengths[*b].total_cmp(&lengths[*a]));
    let least = NEGLIGIBLE * order.first().map_or(0.0, |first| lengths[*first]);
    let mut svd = Svd { u: Vec::with_capacity(n), s: Vec::with_capacity(n), v: Vec::with_capacity(n) };
    for j in order {
        let (mut u, mut right, s) = (std::mem::take(&mut columns[j]), std::mem::take(&mut v[j]), lengths[j]);
        if s > least {
            u.iter_mut().for_each(|value| *value /= s);
        } else {
            u.fill(0.0);
            right.fill(0.0);
        }
        svd.u.push(u);
        svd.s.push(if s > least { s } else { 0.0 });
        svd.v.push(right);
    }
    svd
}

/// Rotates columns p < q.
fn turn(columns: &mut [Vec<f64>], p: usize, q: usize, cosine: f64, sine: f64) {
    let (before, after) = columns.split_at_mut(q);
    for (x, y) in before[p].iter_mut().zip(&mut after[0]) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotune_kernel::Stream;

    fn random(stream: &mut Stream, rows: usize, columns: usize) -> Columns {
        (0..columns).map(|_| (0..rows).map(|_| stream.normal()).collect()).collect()
    }

    /// Entry (i, j) of `L · R`.
    fn entry(left: &[Vec<f64>], right: &[Vec<f64>], i: usize, j: usize) -> f64 {
        left.iter().zip(right).map(|(column, row)| column[i] * row[j]).sum()
    }

    #[test]
    fn the_parts_multiply_to_the_product_and_are_orthonormal() {
        let mut stream = Stream::keyed(1, "test/svd");
        for (rows, inner, columns) in [(9, 3, 7), (5, 5, 8), (4, 11, 6), (6, 11, 4), (1, 1, 1), (7, 7, 1)] {
            let (left, right) = (random(&mut stream, rows, inner), random(&mut stream, columns, inner));
            let Svd { u, s, v } = svd_of_product(&left, &right);
            assert!(s.is_sorted_by(|a, b| a >= b), "{s:?}");
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let sum: f64 = (0..s.len()).map(|k| u[k][i] * s[k] * v[k][j]).sum();
                assert!((sum - entry(&left, &right, i, j)).abs() < 1e-12, "{rows} {inner} {columns}");
            }
            let rank = rows.min(columns).min(inner);
            assert!(s[rank..].iter().all(|s| *s == 0.0), "rank {rank}: {s:?}");
            for side in [&u, &v] {
                for a in 0..rank {
                    for b in 0..rank {
                        let expected = f64::from(u8::from(a == b));
                        assert!((dot(&side[a], &side[b]) - expected).abs() < 1e-12);
                    }
                }
            }
        }
    }

    #[test]
    fn singular_values_of_a_known_matrix() {
        // [[3, 0], [4, 5]] has singular values √45 and √5.
        let svd = svd_of_product(&[vec![3.0, 4.0], vec![0.0, 5.0]], &[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert!((svd.s[0] - 45f64.sqrt()).abs() < 1e-14 && (svd.s[1] - 5f64.sqrt()).abs() < 1e-14);
    }

    #[test]
    fn columns_that_depend_on_each_other_lower_the_rank_and_nothing_else() {
        let column = vec![1.0, 2.0, 3.0, 4.0];
        let left = vec![column.clone(), column.iter().map(|x| -2.0 * x).collect(), column];
        let right = vec![vec![1.0, 0.5], vec![0.25, 1.0], vec![3.0, 3.0]];
        let Svd { u, s, v } = svd_of_product(&left, &right);
        assert_eq!(s[1..], [0.0, 0.0]);
        for (i, j) in (0..4).flat_map(|i| (0..2).map(move |j| (i, j))) {
            assert!((u[0][i] * s[0] * v[0][j] - entry(&left, &right, i, j)).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_decomposes_into_nothing() {
        let svd = svd_of_product(&[vec![0.0; 3]], &[vec![0.0; 2]]);
        assert_eq!((svd.s, &svd.u[0], &svd.v[0]), (vec![0.0], &vec![0.0; 3], &vec![0.0; 2]));
    }
}
