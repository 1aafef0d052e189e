//! Text metrics: Rouge-L and exact match as the Super-NaturalInstructions scorer computes them, and mergeable
//! means.
//!
//! Source: allenai/natural-instructions `eval/automatic/evaluation.py` over google-research's `rouge-score`
//! 0.1.2. Scores here are in 0..1; reports multiply by 100.

mod exact_match;
mod lcs;
mod porter;
mod rouge_l;
mod weighted;
mod words;

pub use exact_match::exact_match;
pub use porter::stem;
pub use weighted::Weighted;

use rouge_l::RougeL;

/// The scores of one prediction, each the maximum over its references.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Rouge-L F-measure in 0..1.
    pub rouge_l: f64,
    /// 1 if some reference equals the prediction after normalisation, else 0.
    pub exact_match: f64,
}

/// Scores texts. It remembers the words that it has met, so one scorer for many texts is faster than many scorers; what it
/// says of a text does not depend on those before.
#[derive(Clone, Debug)]
pub struct Scorer {
    rouge_l: RougeL,
}

impl Scorer {
    /// `stem` as in `rouge-score`'s `use_stemmer` (the scorer's default is true).
    pub fn new(stem: bool) -> Self {
        Self { rouge_l: RougeL::new(stem) }
    }

    /// Scores a prediction against its references. Without references both scores are 0.
    pub fn score<R: AsRef<str>>(&mut self, prediction: &str, references: &[R]) -> Score {
        let exact = references.iter().any(|reference| exact_match(prediction, reference.as_ref()));
        Score { rouge_l: self.rouge_l(prediction, references), exact_match: f64::from(u8::from(exact)) }
    }

    /// Rouge-L alone: the best over the references of the F-measure of the longest common subsequence of words, 0..1; 0
    /// where either text has no words.
    pub fn rouge_l<R: AsRef<str>>(&mut self, prediction: &str, references: &[R]) -> f64 {
        self.rouge_l.predicted(prediction);
        references.iter().fold(0.0, |best, reference| best.max(self.rouge_l.against(reference.as_ref())))
    }
}

#[cfg(test)]
mod tests;
