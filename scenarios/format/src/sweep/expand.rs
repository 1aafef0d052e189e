//! From a sweep to its points: every combination of the axes that is not skipped, every seed of each.

use super::{Assignment, Axis, Draw, Halving, Point, Search, Skip, Sweep, value};
use crate::node::{Node, Value};

impl Sweep {
    /// Every point, in the order of the grid: the last axis changes fastest, and within a combination the seed.
    /// A pure function of the file.
    pub fn points(&self) -> Vec<Point> {
        let mut combinations: Vec<Vec<Assignment>> = (0..size(&self.axes).unwrap_or(0))
            .map(|number| combination(&self.axes, number))
            .filter(|axes| !self.skips.iter().any(|skip| skip.holds(axes)))
            .collect();
        if let Search::Random(some) | Search::Halving(Halving { draw: Some(some), .. }) = self.search {
            combinations = draw(combinations, some);
        }
        let replicates: Vec<(Option<u64>, &[Assignment])> = match &self.replicates[..] {
            [only] if only.seeds.is_empty() => vec![(None, &[])],
            all => {
                all.iter().flat_map(|one| one.seeds.iter().map(|seed| (Some(*seed), &one.set[..]))).collect()
            }
        };
        let of = |(number, axes): (usize, Vec<Assignment>)| {
            let point = |(seed, along): &(Option<u64>, &[Assignment])| {
                let seeded = seed.map(Assignment::seed);
                let assignments = self.set.iter().chain(*along).chain(&axes).cloned().chain(seeded).collect();
                Point { combination: number, axes: axes.clone(), seed: *seed, assignments }
            };
            replicates.iter().map(point).collect::<Vec<_>>()
        };
        combinations.into_iter().enumerate().flat_map(of).collect()
    }
}

impl Assignment {
    fn seed(seed: u64) -> Self {
        // Seeds are read as whole numbers of at most 2^53.
        let node = Node { value: Value::Integer(seed as i64), at: None };
        let (key, text) = ("seed".to_owned(), seed.to_string());
        Self { path: vec![key.clone()], key, label: text.clone(), toml: text, node, key_at: None }
    }
}

impl Skip {
    fn holds(&self, axes: &[Assignment]) -> bool {
        self.conditions.iter().all(|(key, values)| {
            let has = |assigned: &Assignment| {
                assigned.key == *key && values.iter().any(|named| value::is_meant(assigned, named))
            };
            axes.iter().any(has)
        })
    }
}

/// Combinations of the axes; none where that is beyond counting.
pub(super) fn size(axes: &[Axis]) -> Option<usize> {
    axes.iter().try_fold(1_usize, |product, axis| product.checked_mul(axis.steps.len()))
}

/// The combination of this number, counted with the last axis fastest.
fn combination(axes: &[Axis], mut number: usize) -> Vec<Assignment> {
    let mut steps: Vec<&[Assignment]> = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        steps.push(&axis.steps[number % axis.steps.len()]);
        number /= axis.steps.len();
    }
    steps.into_iter().rev().flatten().cloned().collect()
}

/// Some of the combinations, in the order of the grid: those whose names hash lowest, so that more points keep the
/// ones that there were.
fn draw(combinations: Vec<Vec<Assignment>>, Draw { points, seed }: Draw) -> Vec<Vec<Assignment>> {
    let rank = |axes: &Vec<Assignment>| {
        let mut hasher = blake3::Hasher::new_derive_key("cotune sweep, random search, v1");
        hasher.update(&seed.to_le_bytes());
        for assigned in axes {
            hasher.update(format!("{}={}\n", assigned.key, assigned.toml).as_bytes());
        }
        *hasher.finalize().as_bytes()
    };
    let mut ranked: Vec<(usize, Vec<Assignment>)> = combinations.into_iter().enumerate().collect();
    ranked.sort_by_cached_key(|(_, axes)| rank(axes));
    ranked.truncate(points);
    ranked.sort_by_key(|(number, _)| *number);
    ranked.into_iter().map(|(_, axes)| axes).collect()
}
