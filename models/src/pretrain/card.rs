//! What is known of a finished base.

use super::text::Text;
use super::{PretrainError, Recipe};
use crate::base::{Base, BaseError};
use crate::checkpoint::CheckpointError;
use crate::generate::{Sampling, generate};
use crate::metrics::exact_match;
use cotune_kernel::stream::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What is known of a finished base, stored as `card.json` beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Name of the checkpoint.
    pub name: String,
    /// Family in words.
    pub family: String,
    /// Number of weights.
    pub parameters: usize,
    /// Tokens of the tokenizer.
    pub vocab: usize,
    /// Where the text came from.
    pub corpus: String,
    /// Steps trained.
    pub steps: u64,
    /// Tokens trained on, padding included.
    pub tokens: u64,
    /// Mean loss over the last tenth of the steps, nats a token of text.
    pub loss: f64,
    /// Exact match on questions of the corpus by domain, without adapter or examples, 0-100. For builtin worlds these
    /// are about the source world.
    pub exact_match: BTreeMap<String, f64>,
    /// How long it took on the machine that made it \[s\]; none where nobody looked at the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Questions a domain of the examination (chosen).
const QUESTIONS: usize = 32;
/// The longest answer that is waited for, in tokens (chosen; the builtin corpus needs 20).
const LONGEST_ANSWER: usize = 48;

impl Card {
    /// Writes `card.json` into a checkpoint folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), PretrainError> {
        let path = folder.join("card.json");
        let text = serde_json::to_string_pretty(self).expect("a card is JSON") + "\n";
        std::fs::write(&path, text)
            .map_err(|source| BaseError::from(CheckpointError::Io { path, source }).into())
    }
}

/// Exact match in percent by domain: greedy answers to questions of the corpus, without examples or adapter.
pub(super) fn examine(
    base: &Base,
    recipe: &Recipe,
    text: &Text,
) -> Result<BTreeMap<String, f64>, PretrainError> {
    let stream = Stream::keyed(recipe.seed, "pretrain/examination");
    let mut out = BTreeMap::new();
    for (domain, questions) in text.questions(stream, QUESTIONS)? {
        let prompts: Vec<Vec<u32>> =
            questions.iter().map(|(prompt, _)| base.tokenizer().encode(prompt)).collect();
        let answers = generate(base, &[], &prompts, LONGEST_ANSWER, &Sampling::Greedy, &|_| false);
        let right: f64 = answers
            .iter()
            .zip(&questions)
            .map(|(answer, (_, wanted))| {
                f64::from(u8::from(exact_match(&base.tokenizer().decode(&answer.tokens), wanted)))
            })
            .sum();
        out.insert(domain, (1000.0 * right / questions.len() as f64).round() / 10.0);
    }
    Ok(out)
}
