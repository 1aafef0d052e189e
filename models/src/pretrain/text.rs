//! The texts of a recipe.

use super::recipe::CorpusRecipe;
use super::{PretrainError, Resolve};
use crate::corpus::{self, Row};
use cotune_kernel::stream::Stream;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Text to learn from: prompts with their answers.
pub(super) enum Text {
    Builtin { unseen_domains: Vec<String> },
    Files(Vec<Vec<Row>>),
}

impl Text {
    pub(super) fn open(recipe: &CorpusRecipe, resolve: &Resolve<'_>) -> Result<Self, PretrainError> {
        if let Some(builtin) = &recipe.builtin {
            return Ok(Self::Builtin { unseen_domains: builtin.unseen_domains.clone() });
        }
        let wrong = |path: &str, problem| PretrainError::Recipe { path: PathBuf::from(path), problem };
        let mut files = Vec::new();
        for source in &recipe.source {
            let Some((path, mut spec)) = source.spec() else {
                let problem = "write exactly one of jsonl, csv, scan, spans".to_string();
                return Err(wrong(&source.domain, problem));
            };
            spec.path = resolve(path).map_err(|problem| wrong(path, problem))?;
            files.push(corpus::read_file(&spec)?.rows);
        }
        Ok(Self::Files(files))
    }

    /// `n` prompts with their answers; every file is as likely as another.
    pub(super) fn draw(&self, mut stream: Stream, n: usize) -> Result<Vec<(String, String)>, PretrainError> {
        Ok(match self {
            Self::Builtin { unseen_domains } => corpus::source_text(stream, n, unseen_domains)?
                .map(|mut example| (example.prompt, example.answers.remove(0)))
                .collect(),
            Self::Files(domains) => (0..n)
                .map(|_| {
                    let domain = &domains[stream.below(domains.len() as u64) as usize];
                    let row = &domain[stream.below(domain.len() as u64) as usize];
                    (row.prompt.clone(), row.answers[0].clone())
                })
                .collect(),
        })
    }

    /// `per_domain` questions of every domain with their answers; builtin ones are about the source world only.
    pub(super) fn questions(
        &self,
        stream: Stream,
        per_domain: usize,
    ) -> Result<BTreeMap<String, Vec<(String, String)>>, PretrainError> {
        let mut out: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let mut add = |domain: &str, prompt: &str, answer: &str| {
            let questions = out.entry(domain.to_string()).or_default();
            if questions.len() < per_domain {
                questions.push((prompt.to_string(), answer.to_string()));
            }
        };
        match self {
            Self::Builtin { unseen_domains } => {
                // Enough draws that every domain is full, give or take one in millions.
                let names = corpus::domain_names();
                let draws = 4 * per_domain * names.len();
                for example in corpus::source_questions(stream, draws, unseen_domains)? {
                    add(&names[example.domain as usize], &example.prompt, example.answer());
                }
            }
            Self::Files(domains) => {
                for row in domains.iter().flatten() {
                    add(&row.domain, &row.prompt, &row.answers[0]);
                }
            }
        }
        Ok(out)
    }
}
