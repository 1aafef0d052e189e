//! From rows of files to a corpus in four parts.

use std::collections::BTreeSet;

use cotune_kernel::stream::Stream;

use super::{Corpus, CorpusError, Row, SourceRows};

/// How many examples a part has.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many of each domain.
    PerDomain(usize),
    /// So many in all, spread evenly; the first domains take what does not divide.
    Total(usize),
    /// A share, 0..=1, of each domain's distinct prompts, rounded. Sources only.
    Share(f64),
    /// What the other parts leave; for one part only. Sources only.
    Rest,
}

/// How many examples each part of a corpus has.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parts {
    /// Shared out among devices.
    pub private: Amount,
    /// Seen by the cloud.
    pub public: Amount,
    /// For guards and settings.
    pub validation: Amount,
    /// For reports.
    pub test: Amount,
}

impl Parts {
    /// Names of the parts, in the order of [`Parts::amounts`].
    pub(super) const NAMES: [&'static str; 4] = ["private", "public", "validation", "test"];

    pub(super) fn amounts(&self) -> [Amount; 4] {
        [self.private, self.public, self.validation, self.test]
    }

    /// Counts for domain `index` of `domains`, which has `available` distinct prompts (none: not known).
    pub(super) fn counts(
        &self,
        index: usize,
        domains: usize,
        available: Option<usize>,
    ) -> Result<[usize; 4], CorpusError> {
        let mut counts = [0; 4];
        let mut rest = None;
        for (slot, (part, amount)) in Self::NAMES.into_iter().zip(self.amounts()).enumerate() {
            counts[slot] = match (amount, available) {
                (Amount::PerDomain(count), _) => count,
                (Amount::Total(count), _) => count / domains + usize::from(index < count % domains),
                (Amount::Share(value), _) if !(0.0..=1.0).contains(&value) => {
                    return Err(CorpusError::NotAShare { what: part, value });
                }
                (Amount::Share(share), Some(available)) => (share * available as f64).round() as usize,
                (Amount::Rest, Some(_)) => match rest.replace(slot) {
                    Some(first) => {
                        return Err(CorpusError::TwoRests { first: Self::NAMES[first], second: part });
                    }
                    None => 0,
                },
                (Amount::Share(_) | Amount::Rest, None) => return Err(CorpusError::NeedsCount { part }),
            };
        }
        if let (Some(slot), Some(available)) = (rest, available) {
            counts[slot] = available.saturating_sub(counts.iter().sum());
        }
        Ok(counts)
    }
}

/// Makes a corpus of what was read: sources of one domain are joined, a prompt that occurs twice counts once
/// (the first wins), and each domain's prompts are dealt out by a stream of `seed`, test first.
///
/// # Errors
/// [`CorpusError::TooFewRows`] and those of a wrong [`Amount`].
pub fn assemble(sources: &[SourceRows], parts: Parts, seed: u64) -> Result<Corpus, CorpusError> {
    let mut domains: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in sources.iter().flat_map(|source| &source.rows) {
        match domains.iter_mut().find(|(name, _)| *name == row.domain) {
            Some((_, rows)) => rows.push(row),
            None => domains.push((&row.domain, vec![row])),
        }
    }
    let number = domains.len();
    let mut draws = Vec::new();
    for (index, (name, mut rows)) in domains.into_iter().enumerate() {
        let mut prompts = BTreeSet::new();
        rows.retain(|row| prompts.insert(&row.prompt));
        let available = rows.len();
        let counts = parts.counts(index, number, Some(available))?;
        let wanted = counts.iter().sum();
        if wanted > available {
            return Err(CorpusError::TooFewRows { domain: name.to_owned(), wanted, available });
        }
        // Sorted before shuffling, so that the order of files and rows does not matter.
        rows.sort_by(|a, b| a.prompt.cmp(&b.prompt));
        Stream::keyed(seed, &format!("corpus/assemble/{name}")).shuffle(&mut rows);
        let mut rest = rows.into_iter().cloned();
        let [private, public, validation, test] = counts;
        let [test, validation, public, private] =
            [test, validation, public, private].map(|count| rest.by_ref().take(count).collect());
        draws.push((name.to_owned(), [private, public, validation, test]));
    }
    Ok(Corpus::from_draws(draws))
}
