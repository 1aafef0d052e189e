//! Rouge-L: how much of two texts is a common subsequence of words.
//!
//! Source: Lin, "ROUGE: a package for automatic evaluation of summaries", 2004, as `rouge-score` 0.1.2
//! implements it: lower-case, everything outside [a-z0-9] is a space, optionally Porter's stem of words
//! longer than three letters.

use super::{lcs, porter};

/// F-measure of the longest common subsequence of words, 0..1; 0 where either text has no words.
pub fn rouge_l(prediction: &str, reference: &str, stem: bool) -> f64 {
    let [prediction, reference] = [words(prediction, stem), words(reference, stem)];
    if prediction.is_empty() || reference.is_empty() {
        return 0.0;
    }
    let common = lcs::length(&prediction, &reference) as f64;
    let precision = common / prediction.len() as f64;
    let recall = common / reference.len() as f64;
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

fn words(text: &str, stem: bool) -> Vec<String> {
    let text = text.to_lowercase();
    let kept = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    text.split(|letter| !kept(letter))
        .filter(|word| !word.is_empty())
        .map(|word| if stem && word.len() > 3 { porter::stem(word) } else { word.to_owned() })
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_score_one_and_disjoint_texts_zero() {
        assert_eq!(rouge_l("Red aisle, shelf 4", "red aisle shelf 4!", true), 1.0);
        assert_eq!(rouge_l("red", "blue", true), 0.0);
        assert_eq!(rouge_l("", "blue", true), 0.0);
        assert_eq!(rouge_l("...", "...", true), 0.0);
    }

    #[test]
    fn stemming_joins_inflections() {
        assert!(
            rouge_l("the dogs running", "the dog runs", true)
                > rouge_l("the dogs running", "the dog runs", false)
        );
    }
}
