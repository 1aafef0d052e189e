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

pub use exact_match::exact_match;
pub use porter::stem;
pub use rouge_l::rouge_l;
pub use weighted::Weighted;

/// The scores of one prediction, each the maximum over its references.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Rouge-L F-measure in 0..1.
    pub rouge_l: f64,
    /// 1 if some reference equals the prediction after normalisation, else 0.
    pub exact_match: f64,
}

/// Scores a prediction against its references; `stem` as in `rouge-score`'s `use_stemmer` (the scorer's
/// default is true). Without references both scores are 0.
pub fn score<R: AsRef<str>>(prediction: &str, references: &[R], stem: bool) -> Score {
    let mut best = Score::default();
    for reference in references {
        let reference = reference.as_ref();
        best.rouge_l = best.rouge_l.max(rouge_l(prediction, reference, stem));
        if exact_match(prediction, reference) {
            best.exact_match = 1.0;
        }
    }
    best
}

#[cfg(test)]
mod tests;
