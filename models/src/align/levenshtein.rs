//! Edit distance with unit costs, over characters.
//!
//! [`distance`] is Myers' bit-vector algorithm (J. ACM 46(3), 1999, in Hyyrö's 2003 form for whole strings),
//! with the dynamic program of Wagner & Fischer (1974) for strings over 64 characters, against which the
//! tests hold it.

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

    #[test]
    fn textbook_distances_come_out() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Ġthe", "▁the"), 1);
    }
}
