//! Relay examples that look like what a device has data of: `focus` (ours).
//!
//! A relay set covers what all devices know together. A device that is asked mostly about its own domains gains more
//! from examples of these; how much of each batch they are is the scenario's to say.

use super::RelayLessons;
use super::nearest::Nearest;
use crate::lab::Lab;
use crate::method::training::Batches;
use cotune_kernel::Stream;
use std::collections::BTreeMap;

/// The relay examples of a device's own domains.
pub(super) struct Focus {
    /// Of each domain that the relay set and the device share, the device's examples and the order of the relay set's.
    domains: Vec<(f64, Batches)>,
    stream: Stream,
}

impl Focus {
    /// Sorts the `usable` examples of a relay set by what the device's own examples are about. `path` names the streams.
    pub(super) fn new(lab: &Lab, device: u32, lessons: &RelayLessons, usable: &[u32], path: &str) -> Self {
        let own: Vec<_> = lab.examples_of(device).iter().map(|i| &lab.private()[*i as usize]).collect();
        let nearest = Nearest::of(own.iter().copied());
        let mut sorted: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for i in usable {
            if let Some(domain) = nearest.domain(&lessons.prompts[*i as usize]) {
                sorted.entry(domain).or_default().push(*i);
            }
        }
        let seed = lab.scenario().seed;
        let order = |(domain, examples): (u16, Vec<u32>)| {
            let mine = own.iter().filter(|example| example.domain == domain).count();
            (mine as f64, Batches::new(&examples, seed, &format!("{path}/domain/{domain}")))
        };
        let domains = sorted.into_iter().map(order).collect();
        Self { domains, stream: Stream::keyed(seed, &format!("{path}/domains")) }
    }

    /// The next `n` examples, each of a domain drawn by its share of the device's data; none where the relay set has
    /// nothing of the device's domains.
    pub(super) fn next(&mut self, n: u32) -> Vec<u32> {
        let shares: Vec<f64> = self.domains.iter().map(|(share, _)| *share).collect();
        if shares.is_empty() {
            return Vec::new();
        }
        (0..n).flat_map(|_| self.domains[self.stream.weighted(&shares)].1.next(1)).collect()
    }
}
