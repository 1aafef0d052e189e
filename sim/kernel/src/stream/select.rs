//! Integers, permutations and choices drawn from a stream.

use std::collections::BTreeSet;

use rand::Rng;

use super::Stream;

impl Stream {
    /// An integer uniform in 0..`n`, without bias.
    ///
    /// Lemire, "Fast random integer generation in an interval" (2019): the high word of a product, with the few
    /// over-represented low words drawn again.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no integer lies below 0");
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// Puts `items` in uniformly random order (Fisher & Yates, in Durstenfeld's form, 1964).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// `k` distinct integers of 0..`n` in uniformly random order, in O(k) memory and O(k log k) time however large `n`.
    ///
    /// Floyd's algorithm (Bentley & Floyd, "A sample of brilliance", 1987), then a shuffle.
    ///
    /// # Panics
    /// If `k` is larger than `n`.
    pub fn sample_indices(&mut self, n: u64, k: usize) -> Vec<u64> {
        assert!(k as u64 <= n, "{k} distinct integers below {n}");
        let mut seen = BTreeSet::new();
        let mut drawn = Vec::with_capacity(k);
        for limit in n - k as u64..n {
            let candidate = self.below(limit + 1);
            let index = if seen.insert(candidate) { candidate } else { limit };
            seen.insert(index);
            drawn.push(index);
        }
        self.shuffle(&mut drawn);
        drawn
    }

    /// One of `items`, all equally likely; `None` if there are none.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { Some(&items[self.below(items.len() as u64) as usize]) }
    }

    /// An index into `weights`, each with probability proportional to its weight; O(n).
    ///
    /// # Panics
    /// If a weight is negative or not finite, or none is positive.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let total: f64 = weights.iter().sum();
        assert!(
            total > 0.0 && total.is_finite() && weights.iter().all(|weight| *weight >= 0.0),
            "weights must be finite and not negative, one of them positive: {weights:?}"
        );
        let mut left = self.uniform() * total;
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        // Rounding used up the total: the last index that can be drawn at all.
        weights.iter().rposition(|weight| *weight > 0.0).expect("one weight is positive")
    }
}
