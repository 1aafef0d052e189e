//! Per-source sequence numbers.
//!
//! Counters live in pages of 64 neighbouring sources, and only the pages of sources that ever pushed exist: a million
//! idle devices cost nothing, a million busy ones 8 MB, and a page lookup in the small tree stays in cache.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PAGE: u64 = 64;

/// How often each source has pushed.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequences {
    pages: BTreeMap<u64, Box<[u64; PAGE as usize]>>,
}

impl Sequences {
    /// The sequence number of this push of `source`: 0, 1, 2, …
    pub(super) fn next(&mut self, source: u64) -> u64 {
        let page = self.pages.entry(source / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
        let counter = &mut page[(source % PAGE) as usize];
        *counter += 1;
        *counter - 1
    }

    /// Every source that ever pushed and how often, by source.
    fn rows(&self) -> impl Iterator<Item = (u64, u64)> {
        let row = |page: u64, (at, count): (usize, &u64)| (page * PAGE + at as u64, *count);
        self.pages
            .iter()
            .flat_map(move |(page, counts)| counts.iter().enumerate().map(move |counter| row(*page, counter)))
            .filter(|(_, count)| *count > 0)
    }
}

impl Serialize for Sequences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows().collect::<Vec<_>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sequences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sequences = Self::default();
        for (source, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            sequences.next(source);
            let page = sequences.pages.get_mut(&(source / PAGE)).expect("the page was just made");
            page[(source % PAGE) as usize] = count;
        }
        Ok(sequences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_counts_its_own_pushes_and_only_pushers_have_rows() {
        let mut sequences = Sequences::default();
        assert_eq!([7, 7, 900_000, 7].map(|source| sequences.next(source)), [0, 1, 0, 2]);
        assert_eq!(sequences.rows().collect::<Vec<_>>(), [(7, 3), (900_000, 1)]);
        assert_eq!(sequences.pages.len(), 2);
    }
}
