//! Edit distance with unit costs, over characters.
//!
//! [`distance`] is Myers' bit-vector algorithm (J. ACM 46(3), 1999, in Hyyrö's 2003 form for whole strings),
//! with the dynamic program of Wagner & Fischer (1974) for strings over 64 characters, against which the
//! tests hold it. [`Patterns`] runs the same algorithm for many strings side by side.

use std::collections::BTreeMap;

/// The least number of insertions, deletions and substitutions of characters that turn `a` into `b`.
pub fn distance(a: &str, b: &str) -> usize {
    let [a, b]: [Vec<char>; 2] = [a.chars().collect(), b.chars().collect()];
    distance_of_letters(&a, &b)
}

/// As [`distance`], of characters.
pub(super) fn distance_of_letters(a: &[char], b: &[char]) -> usize {
    // No distance exceeds the longer length.
    distance_within(a, b, a.len().max(b.len())).unwrap_or_default()
}

/// As [`distance`], but gives up (`None`) once the distance is sure to exceed `limit`.
pub fn distance_within(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    let (pattern, text) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if text.len() - pattern.len() > limit {
        return None;
    }
    match pattern.len() {
        0 => Some(text.len()),
        1..=64 => myers(pattern, text, limit),
        _ => Some(wagner_fischer(pattern, text)).filter(|distance| *distance <= limit),
    }
}

/// One bit per character of `pattern` (1 to 64 of them) holds the vertical differences of a column.
fn myers(pattern: &[char], text: &[char], limit: usize) -> Option<usize> {
    let mut positive = u64::MAX; // the column rises by one at each character
    let mut negative = 0;
    let last = 1 << (pattern.len() - 1);
    let mut score = pattern.len();
    for (read, letter) in text.iter().enumerate() {
        let mut equal = 0;
        for (bit, own) in pattern.iter().enumerate() {
            equal |= u64::from(own == letter) << bit;
        }
        let diagonal = (((equal & positive).wrapping_add(positive)) ^ positive) | equal | negative;
        let mut rises = negative | !(diagonal | positive);
        let mut falls = positive & diagonal;
        score = score + usize::from(rises & last != 0) - usize::from(falls & last != 0);
        // Each character left can lower the score by one at most.
        if score.saturating_sub(text.len() - read - 1) > limit {
            return None;
        }
        rises = rises << 1 | 1; // whole strings: the first row counts insertions
        falls <<= 1;
        positive = falls | !(diagonal | rises);
        negative = rises & diagonal;
    }
    (score <= limit).then_some(score)
}

/// Strings that another one is compared with all at once: sixteen bits each, side by side in registers.
pub(super) struct Patterns {
    /// Where a letter stands in each string, one bit a place: a row for each letter that occurs.
    places: BTreeMap<char, Vec<u16>>,
    /// The bit of the last letter.
    last: Vec<u16>,
    lengths: Vec<u16>,
    /// Strings that have no letter or too many for that.
    others: Vec<(usize, Vec<char>)>,
}

impl Patterns {
    pub(super) fn new(strings: &[Vec<char>]) -> Self {
        let n = strings.len();
        let mut patterns =
            Self { places: BTreeMap::new(), last: vec![0; n], lengths: vec![0; n], others: Vec::new() };
        for (i, letters) in strings.iter().enumerate() {
            if !(1..=16).contains(&letters.len()) {
                patterns.others.push((i, letters.clone()));
                continue;
            }
            patterns.lengths[i] = letters.len() as u16;
            patterns.last[i] = 1 << (letters.len() - 1);
            for (bit, letter) in letters.iter().enumerate() {
                patterns.places.entry(*letter).or_insert_with(|| vec![0; n])[i] |= 1 << bit;
            }
        }
        patterns
    }

    /// The distance of every string to `text`.
    pub(super) fn distances(&self, text: &[char]) -> Vec<u32> {
        let n = self.last.len();
        let nowhere = vec![0; n];
        let (mut positive, mut negative, mut scores) =
            (vec![u16::MAX; n], vec![0_u16; n], self.lengths.clone());
        for letter in text {
            let equal = self.places.get(letter).unwrap_or(&nowhere);
            let columns = positive.iter_mut().zip(&mut negative).zip(&mut scores).zip(equal).zip(&self.last);
            // As in `myers`, for whole strings.
            for ((((positive, negative), score), equal), last) in columns {
                let diagonal =
                    (((equal & *positive).wrapping_add(*positive)) ^ *positive) | equal | *negative;
                let rises = *negative | !(diagonal | *positive);
                let falls = *positive & diagonal;
                *score = score
                    .wrapping_add(u16::from(rises & last != 0))
                    .wrapping_sub(u16::from(falls & last != 0));
                let rises = rises << 1 | 1;
                *positive = falls << 1 | !(diagonal | rises);
                *negative = rises & diagonal;
            }
        }
        let mut distances: Vec<u32> = scores.into_iter().map(u32::from).collect();
        for (i, letters) in &self.others {
            distances[*i] = distance_of_letters(letters, text) as u32;
        }
        distances
    }
}

/// The dynamic program, one row at a time.
fn wagner_fischer(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(diagonal + usize::from(x != y));
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_bit_vectors_agree_with_the_dynamic_program(a in "[abc▁]{0,80}", b in "[abcĠ]{0,80}") {
            let expected = wagner_fischer(&letters(&a), &letters(&b));
            prop_assert_eq!(distance(&a, &b), expected);
            for limit in [0, 1, 3, expected.saturating_sub(1), expected, expected + 1] {
                let within = distance_within(&letters(&a), &letters(&b), limit);
                prop_assert_eq!(within, (expected <= limit).then_some(expected), "limit {}", limit);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn many_at_once_are_each_on_its_own(
            strings in proptest::collection::vec("[abc▁]{0,20}", 0..40),
            text in "[abcĠ]{0,80}",
        ) {
            let strings: Vec<Vec<char>> = strings.iter().map(|s| letters(s)).collect();
            let text = letters(&text);
            let expected: Vec<u32> =
                strings.iter().map(|string| wagner_fischer(string, &text) as u32).collect();
            prop_assert_eq!(Patterns::new(&strings).distances(&text), expected);
        }
    }

    #[test]
    fn textbook_distances_come_out() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Ġthe", "▁the"), 1);
    }
}
