//! Products of matrices that lie anywhere in a slice.

/// Where a matrix lies: its first value and the distances of its rows and columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Index of the first value.
    pub start: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub column: usize,
}

impl Place {
    /// Rows of `width` values one behind the other, from `start`.
    pub(crate) fn rows(start: usize, width: usize) -> Self {
        Self { start, row: width, column: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub(crate) fn turned(self) -> Self {
        Self { start: self.start, row: self.column, column: self.row }
    }

    fn last(self, rows: usize, columns: usize) -> usize {
        self.start + (rows - 1) * self.row + (columns - 1) * self.column
    }
}

/// `c = scale · a b`, or `c += scale · a b`; `a` is `[m, k]`, `b` is `[k, n]`, `c` is `[m, n]`.
///
/// # Panics
/// A matrix reaches beyond its slice.
#[expect(clippy::too_many_arguments, reason = "three matrices and where they lie")]
pub(crate) fn multiply(
    [m, k, n]: [usize; 3],
    scale: f32,
    (a, a_at): (&[f32], Place),
    (b, b_at): (&[f32], Place),
    (c, c_at): (&mut [f32], Place),
    add: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(c_at.last(m, n) < c.len(), "the product fits");
    assert!(k == 0 || (a_at.last(m, k) < a.len() && b_at.last(k, n) < b.len()), "the factors are inside");
    // SAFETY: the asserts above keep every access inside the slices, and `c` is borrowed alone.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr().add(c_at.start),
            c_at.column as isize,
            c_at.row as isize,
            add,
            a.as_ptr().add(a_at.start),
            a_at.column as isize,
            a_at.row as isize,
            b.as_ptr().add(b_at.start),
            b_at.column as isize,
            b_at.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
