//! The length of a longest common subsequence.
//!
//! [`length`] keeps a row of the dynamic program in bits: Hyyrö, "Bit-parallel LCS-length computation
//! revisited", AWOCA 2004. [`reference_length`] is the dynamic program itself (Wagner & Fischer 1974).

use std::collections::BTreeMap;

/// Length of a longest common subsequence of `a` and `b`; |a|/64 words of work per element of `b`.
pub(super) fn length<T: Ord>(a: &[T], b: &[T]) -> usize {
    let blocks = a.len().div_ceil(64);
    let mut positions: BTreeMap<&T, Vec<u64>> = BTreeMap::new();
    for (index, item) in a.iter().enumerate() {
        positions.entry(item).or_insert_with(|| vec![0; blocks])[index / 64] |= 1 << (index % 64);
    }
    // Bit i of `row` is 0 where the dynamic program's row rises between columns i and i+1.
    let mut row = vec![u64::MAX; blocks];
    for item in b {
        let Some(here) = positions.get(item) else { continue };
        let mut carry = false;
        for (word, here) in row.iter_mut().zip(here) {
            let matched = *word & here;
            let (sum, first) = word.overflowing_add(matched);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            carry = first || second;
            *word = sum | (*word & !matched);
        }
    }
    (0..a.len()).filter(|index| row[index / 64] >> (index % 64) & 1 == 0).count()
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

        #[test]
        fn the_bit_parallel_length_is_the_dynamic_programs(
            a in proptest::collection::vec(0u8..6, 0..200),
            b in proptest::collection::vec(0u8..6, 0..200),
        ) {
            prop_assert_eq!(length(&a, &b), reference_length(&a, &b));
        }
    }

    #[test]
    fn carries_cross_words() {
        let a: Vec<u32> = (0..130).collect();
        assert_eq!(length(&a, &a), 130);
        assert_eq!(length(&a, &[129, 0, 64, 128]), 3);
        assert_eq!(length::<u32>(&[], &[1]), 0);
    }
}
