//! What became of the data on its way into the models: rows that were left out, prompts that were cut.

use cotune_models::base::Base;
use cotune_models::batch::Sequence;
use cotune_models::corpus::{Corpus, ReadReport};
use serde::Serialize;
use std::collections::BTreeMap;

/// What became of the data of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Intake {
    /// Every file that was read; none for a generated corpus.
    pub sources: Vec<SourceRead>,
    /// Examples that are in no part because some model cannot hold their answer.
    pub left_out: usize,
    /// Every model that cannot hold all of the examples.
    pub fits: Vec<Fit>,
}

/// What became of the rows of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceRead {
    /// The file as written, or the task.
    pub source: String,
    /// Its rows.
    pub report: ReadReport,
}

/// How the examples fit one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Its key in `[models]`.
    pub model: String,
    /// Longest sequence it reads \[tokens\].
    pub longest: usize,
    /// Examples whose answer alone is longer: no model sees them.
    pub unanswerable: usize,
    /// Examples whose prompt this model reads without its beginning; the answer is always whole.
    pub cut: usize,
}

impl Intake {
    /// Takes the examples out whose answer some model cannot hold, and counts the prompts that some model reads in
    /// part.
    pub(super) fn fit(sources: Vec<SourceRead>, corpus: &mut Corpus, bases: &BTreeMap<String, Base>) -> Self {
        let mut fits: Vec<Fit> = bases
            .iter()
            .map(|(name, base)| {
                let longest = base.spec().max_positions;
                Fit { model: name.clone(), longest, unanswerable: 0, cut: 0 }
            })
            .collect();
        let mut left_out = 0;
        for part in [&mut corpus.private, &mut corpus.public, &mut corpus.validation, &mut corpus.test] {
            part.retain(|example| {
                let mut whole = Vec::with_capacity(fits.len());
                for (fit, base) in fits.iter_mut().zip(bases.values()) {
                    let tokenizer = base.tokenizer();
                    let sequence =
                        Sequence::encode(tokenizer, &example.prompt, example.answer(), fit.longest);
                    match sequence {
                        None => fit.unanswerable += 1,
                        // Only a sequence that is full can have lost something.
                        Some(sequence) => whole.push(
                            sequence.len() < fit.longest
                                || tokenizer.encode(&example.prompt).len() == sequence.prompt.len(),
                        ),
                    }
                }
                let stays = whole.len() == fits.len();
                left_out += usize::from(!stays);
                for (fit, whole) in fits.iter_mut().zip(whole).filter(|_| stays) {
                    fit.cut += usize::from(!whole);
                }
                stays
            });
        }
        fits.retain(|fit| fit.unanswerable + fit.cut > 0);
        Self { sources, left_out, fits }
    }

    /// What to read before trusting a result, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for SourceRead { source, report } in &self.sources {
            let unusable = [
                ("are not of the file's form", report.malformed),
                ("name no domain, and the source has none", report.no_domain),
            ];
            for (what, rows) in unusable.into_iter().filter(|(_, rows)| *rows > 0) {
                lines.push(format!("data: {rows} of {} rows of {source} {what}", report.read));
            }
        }
        for fit in &self.fits {
            let Fit { model, longest, unanswerable, cut } = fit;
            if *unanswerable > 0 {
                lines.push(format!(
                    "data: {unanswerable} examples are left out, for their answers do not fit the {longest} tokens of models.{model}"
                ));
            }
            if *cut > 0 {
                lines.push(format!(
                    "data: models.{model} reads the prompts of {cut} examples without their beginning, for it holds {longest} tokens"
                ));
            }
        }
        lines
    }
}
