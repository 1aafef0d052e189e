//! Alignment by dynamic time warping over token strings.
//!
//! Source: FuseLLM `transform_step_logits` and FedMKT (arXiv 2406.02224, appendix B): local cost Levenshtein,
//! steps diagonal, up, left in that order of preference, boundaries infinite.

use super::VocabMap;
use super::levenshtein::Patterns;
use crate::tokenizer::Tokenizer;

/// What both sides' end-of-sequence tokens are called while strings are compared.
const END: &str = "<eos>";

/// The cheapest monotone path through two sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Sum of local costs along the path.
    pub cost: usize,
    /// For each position of the second sequence, the positions of the first that the path passes, increasing.
    pub links: Vec<Vec<usize>>,
}

/// Warps `a` onto `b`; empty if either is.
pub fn warp(a: &[String], b: &[String]) -> Path {
    const FAR: u32 = u32::MAX / 2;

    let mut links = vec![Vec::new(); b.len()];
    if a.is_empty() || b.is_empty() {
        return Path { cost: 0, links };
    }
    let letters = |tokens: &[String]| -> Vec<Vec<char>> {
        tokens.iter().map(|token| token.chars().collect()).collect()
    };
    let patterns = Patterns::new(&letters(b));
    let width = b.len();
    let mut steps = vec![Step::Diagonal; a.len() * width];
    // Costs of the row above, from one place before the first.
    let mut above = vec![FAR; width + 1];
    above[0] = 0;
    for (token, steps) in letters(a).iter().zip(steps.chunks_exact_mut(width)) {
        let local = patterns.distances(token);
        let (mut diagonal, mut left) = (above[0], FAR);
        above[0] = FAR;
        for ((above, step), local) in above[1..].iter_mut().zip(steps).zip(local) {
            // The first of equal minima: diagonal before up before left.
            let (mut least, mut taken) = (diagonal, Step::Diagonal);
            if *above < least {
                (least, taken) = (*above, Step::Up);
            }
            if left < least {
                (least, taken) = (left, Step::Left);
            }
            diagonal = *above;
            left = least + local;
            *above = left;
            *step = taken;
        }
    }

    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        links[j - 1].push(i - 1);
        match steps[(i - 1) * width + j - 1] {
            Step::Diagonal => (i, j) = (i - 1, j - 1),
            Step::Up => i -= 1,
            Step::Left => j -= 1,
        }
    }
    for positions in &mut links {
        positions.reverse();
    }
    Path { cost: above[width] as usize, links }
}

/// Where a path comes from.
#[derive(Clone, Copy)]
enum Step {
    Diagonal,
    Up,
    Left,
}

/// Matched rows `(teacher, student)` of one answer, both strictly increasing.
///
/// A student token matches a teacher token if the path links it to that token alone and the two agree, by
/// string after swapping the space marker or through the vocabulary map. The rows *after* matched tokens then
/// carry the knowledge (a logit row of FuseLLM and FedMKT stands on the token it has read and predicts the
/// next). Row 0 stands on the prompt, which both sides have read to its end, and always matches.
pub(super) fn pairs(
    teacher: &Tokenizer,
    teacher_ids: &[u32],
    student: &Tokenizer,
    student_ids: &[u32],
    vocab: &VocabMap,
) -> Vec<(usize, usize)> {
    if teacher_ids.is_empty() || student_ids.is_empty() {
        return Vec::new();
    }
    let path = warp(&strings(teacher, teacher_ids), &strings(student, student_ids));
    let agree = |teacher_id: u32, student_id: u32| {
        vocab.get(teacher_id) == Some(student_id)
            || swap_marker(teacher, teacher_id, student) == student.token_text(student_id)
    };
    let mut matched = vec![(0, 0)];
    for (student_at, teacher_at) in path.links.iter().enumerate() {
        if let [teacher_at] = teacher_at[..]
            && teacher_at + 1 < teacher_ids.len()
            && student_at + 1 < student_ids.len()
            && agree(teacher_ids[teacher_at], student_ids[student_at])
            && matched.last().is_none_or(|last| last.0 < teacher_at + 1)
        {
            matched.push((teacher_at + 1, student_at + 1));
        }
    }
    matched
}

/// Surface form of a token of `from` with its space marker replaced by the one `to` uses.
pub(super) fn swap_marker(from: &Tokenizer, id: u32, to: &Tokenizer) -> String {
    let marker = to.surface().space();
    from.token_text(id).chars().map(|c| if c == from.surface().space() { marker } else { c }).collect()
}

fn strings(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let marker = tokenizer.surface().space();
    ids.iter()
        .map(|id| {
            if *id == tokenizer.eos() {
                END.to_owned()
            } else {
                tokenizer.token_text(*id).replace(marker, "")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_papers_example_warps_as_published() {
        let llama = words("we util ize the dynamic programming approach to align tokens");
        let bloom = words("we utilize the dynamic programming approach to align tokens");
        let there = warp(&llama, &bloom);
        assert_eq!(there.cost, 5);
        assert_eq!(
            there.links,
            [vec![0], vec![1], vec![2, 3], vec![4], vec![5], vec![6], vec![7], vec![8], vec![9]]
        );
        let back = warp(&bloom, &llama);
        assert_eq!(back.cost, 5);
        let expected: Vec<Vec<usize>> = [0, 1, 2, 2, 3, 4, 5, 6, 7, 8].map(|i| vec![i]).into();
        assert_eq!(back.links, expected);
    }

    #[test]
    fn nothing_warps_onto_nothing() {
        assert_eq!(warp(&[], &words("a")).links, [Vec::<usize>::new()]);
    }
}
