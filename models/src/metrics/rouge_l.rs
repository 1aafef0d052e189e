//! Rouge-L: how much of two texts is a common subsequence of words.
//!
//! Source: Lin, "ROUGE: a package for automatic evaluation of summaries", 2004, as `rouge-score` 0.1.2
//! implements it; `words.rs` says what a word is.

use super::lcs::Lengths;
use super::words::Words;

/// Compares texts, and remembers the words that it has met.
#[derive(Clone, Debug)]
pub(super) struct RougeL {
    words: Words,
    lengths: Lengths,
    prediction: Vec<u32>,
    reference: Vec<u32>,
}

impl RougeL {
    /// `stemmed` says whether stems stand for words.
    pub(super) fn new(stemmed: bool) -> Self {
        Self {
            words: Words::new(stemmed),
            lengths: Lengths::default(),
            prediction: Vec::new(),
            reference: Vec::new(),
        }
    }

    /// The text that the next references are compared with.
    pub(super) fn predicted(&mut self, prediction: &str) {
        self.words.read(prediction, &mut self.prediction);
    }

    /// F-measure of the longest common subsequence of words, 0..1; 0 where either text has no words.
    pub(super) fn against(&mut self, reference: &str) -> f64 {
        self.words.read(reference, &mut self.reference);
        let (prediction, reference) = (&self.prediction, &self.reference);
        if prediction.is_empty() || reference.is_empty() {
            return 0.0;
        }
        let common = self.lengths.length(prediction, reference, self.words.len());
        f_measure(common, prediction.len(), reference.len())
    }
}

/// The harmonic mean of `common / predicted` and `common / referred`.
fn f_measure(common: usize, predicted: usize, referred: usize) -> f64 {
    let precision = common as f64 / predicted as f64;
    let recall = common as f64 / referred as f64;
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{lcs, porter};
    use proptest::prelude::*;

    fn rouge_l(prediction: &str, reference: &str, stem: bool) -> f64 {
        let mut scorer = RougeL::new(stem);
        scorer.predicted(prediction);
        scorer.against(reference)
    }

    /// The definition, with a string for each word and the quadratic dynamic program.
    fn by_definition(prediction: &str, reference: &str, stem: bool) -> f64 {
        let words = |text: &str| -> Vec<String> {
            let text = text.to_lowercase();
            text.split(|letter: char| !letter.is_ascii_lowercase() && !letter.is_ascii_digit())
                .filter(|word| !word.is_empty())
                .map(|word| if stem && word.len() > 3 { porter::stem(word) } else { word.to_owned() })
                .filter(|stem| !stem.is_empty())
                .collect()
        };
        let (prediction, reference) = (words(prediction), words(reference));
        match prediction.is_empty() || reference.is_empty() {
            true => 0.0,
            false => {
                let common = lcs::reference_length(&prediction, &reference);
                f_measure(common, prediction.len(), reference.len())
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// One scorer reads all texts, so it also knows words of others; the letters have the Kelvin sign and a capital I
        /// with a dot, whose lower cases have letters of ASCII.
        #[test]
        fn scores_are_those_of_the_definition(
            texts in proptest::collection::vec("([a-cA-C]{0,3}(ing|ed|ies|s|ness|)[ .,'1\u{212a}\u{130}é-]){0,90}", 2..5),
            stem in any::<bool>(),
        ) {
            let mut scorer = RougeL::new(stem);
            for prediction in &texts {
                scorer.predicted(prediction);
                for reference in &texts {
                    prop_assert_eq!(scorer.against(reference), by_definition(prediction, reference, stem));
                }
            }
        }
    }

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
