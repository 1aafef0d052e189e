//! Per-source sequence numbers.
//!
//! Counters live in pages of 64 neighbouring sources, and only the pages of sources that ever pushed exist: a million
//! idle devices cost a pointer per page, a million busy ones 8 MB. Sources numbered beyond the devices (named parts of
//! the world, which may sit at the top of the range) are few and have a small tree.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PAGE: usize = 64;
/// Sources below this have pages (chosen: room for 16 million devices; the directory is then 2 MB).
const NEAR: u64 = 1 << 24;

/// How often each source has pushed.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequences {
    pages: Vec<Option<Box<[u64; PAGE]>>>,
    far: BTreeMap<u64, u64>,
}

impl Sequences {
    /// The sequence number of this push of `source`: 0, 1, 2, …
    #[inline]
    pub(super) fn next(&mut self, source: u64) -> u64 {
        let counter = self.counter(source);
        *counter += 1;
        *counter - 1
    }

    #[inline]
    fn counter(&mut self, source: u64) -> &mut u64 {
        if source >= NEAR {
            return self.far.entry(source).or_default();
        }
        let (page, at) = (source as usize / PAGE, source as usize % PAGE);
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        &mut self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[at]
    }

    /// Every source that ever pushed and how often, by source.
    fn rows(&self) -> impl Iterator<Item = (u64, u64)> {
        let near = self.pages.iter().enumerate().flat_map(|(page, counters)| {
            let counters = counters.iter().flat_map(|counters| counters.iter().enumerate());
            counters.map(move |(at, count)| ((page * PAGE + at) as u64, *count))
        });
        near.filter(|(_, count)| *count > 0).chain(self.far.iter().map(|(source, count)| (*source, *count)))
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
            *sequences.counter(source) = count;
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
        let far = super::super::SOURCE_LIMIT - 1;
        assert_eq!([7, 7, far, 900_000, 7, far].map(|source| sequences.next(source)), [0, 1, 0, 0, 2, 1]);
        assert_eq!(sequences.rows().collect::<Vec<_>>(), [(7, 3), (900_000, 1), (far, 2)]);
        assert_eq!(sequences.pages.iter().flatten().count(), 2);
    }
}
