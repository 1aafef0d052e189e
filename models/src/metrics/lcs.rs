//! The length of a longest common subsequence of words that are numbers.
//!
//! [`Lengths`] keeps a row of the dynamic program in bits: Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA
//! 2004. [`reference_length`] is the dynamic program itself (Wagner & Fischer 1974).

/// Computes lengths one after the other in memory that it keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Lengths {
    /// For every word, which of the masks is its own, from 1; 0 for words that the first text has not.
    numbers: Vec<u32>,
    /// Where each word of the first text stands in it, a bit a place.
    masks: Vec<u64>,
    /// Bit i is 0 where the dynamic program's row rises between columns i and i+1.
    row: Vec<u64>,
}

impl Lengths {
    /// Length of a longest common subsequence of `a` and `b`, whose words are below `words`; |a|/64 steps for each word
    /// of `b`.
    pub(super) fn length(&mut self, a: &[u32], b: &[u32], words: usize) -> usize {
        let blocks = a.len().div_ceil(64);
        self.numbers.resize(self.numbers.len().max(words), 0);
        self.masks.clear();
        for (place, word) in a.iter().enumerate() {
            let number = &mut self.numbers[*word as usize];
            if *number == 0 {
                self.masks.resize(self.masks.len() + blocks, 0);
                *number = (self.masks.len() / blocks) as u32;
            }
            self.masks[(*number as usize - 1) * blocks + place / 64] |= 1 << (place % 64);
        }
        self.row.clear();
        self.row.resize(blocks, u64::MAX);
        for word in b {
            let Some(number) = (self.numbers[*word as usize] as usize).checked_sub(1) else { continue };
            let mut carry = false;
            for (row, here) in self.row.iter_mut().zip(&self.masks[number * blocks..]) {
                let matched = *row & here;
                let (sum, first) = row.overflowing_add(matched);
                let (sum, second) = sum.overflowing_add(u64::from(carry));
                carry = first || second;
                *row = sum | (*row & !matched);
            }
        }
        for word in a {
            self.numbers[*word as usize] = 0;
        }
        // No word stands behind the end of `a`, so those bits stay 1.
        self.row.iter().map(|row| row.count_zeros() as usize).sum()
    }
}

/// The same by the quadratic dynamic program.
#[cfg(test)]
pub(super) fn reference_length<T: Eq>(a: &[T], b: &[T]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Also where the memory still holds what the pair before left.
        #[test]
        fn the_bit_parallel_length_is_the_dynamic_programs(
            pairs in proptest::collection::vec(
                (proptest::collection::vec(0_u32..6, 0..200), proptest::collection::vec(0_u32..6, 0..200)),
                1..4,
            ),
        ) {
            let mut lengths = Lengths::default();
            for (a, b) in &pairs {
                prop_assert_eq!(lengths.length(a, b, 6), reference_length(a, b));
            }
        }
    }

    #[test]
    fn carries_cross_words() {
        let a: Vec<u32> = (0..130).collect();
        let mut lengths = Lengths::default();
        assert_eq!(lengths.length(&a, &a, 130), 130);
        assert_eq!(lengths.length(&a, &[129, 0, 64, 128], 130), 3);
        assert_eq!(lengths.length(&[], &[1], 2), 0);
    }
}
