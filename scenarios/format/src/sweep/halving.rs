//! Successive halving: many combinations begin, and after each rung only the best part goes on.
//!
//! Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (arXiv
//! 1502.07943), with the geometry of Li et al. 2018, "Hyperband" (JMLR 18-185, algorithm 1, one bracket): with η = 3,
//! R rounds and n combinations the rungs end at …, R/9, R/3 and R rounds, and n, n/3, n/9, … combinations climb to them.
//! The resource is rounds of the same run: nothing begins anew, so the last rung's runs are those of a plain grid.

use serde::Serialize;

/// What rungs are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Rounds of the same run.
    Rounds,
}

/// `[search.halving]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Halving {
    /// What rungs are counted in. Default: rounds.
    pub resource: Resource,
    /// One of so many combinations goes on from rung to rung; at least 2. Default: 3 (Li et al. 2018).
    pub eta: u32,
    /// The first rung ends after at least so many rounds. Default: 1.
    pub first: u32,
    /// Begins with combinations that are drawn instead of with all.
    pub draw: Option<Draw>,
}

/// Combinations drawn without replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Draw {
    /// How many.
    pub points: usize,
    /// Seed of the draw. Default: 1.
    pub seed: u64,
}

/// One rung: combinations that are judged after the same number of rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The round after which they are judged; the last rung's is the budget's.
    pub rounds: u32,
    /// How many combinations come here.
    pub combinations: usize,
}

impl Halving {
    /// The rungs of so many combinations whose runs have `rounds` rounds and are scored after every `every`.
    ///
    /// There are as many as it takes to leave one combination, or as fit between the first rung and the last. A rung ends
    /// where runs are scored: its rounds are rounded up to a multiple of `every`.
    pub fn rungs(&self, combinations: usize, rounds: u32, every: u32) -> Vec<Rung> {
        let (eta, every) = (u64::from(self.eta.max(2)), u64::from(every.max(1)));
        let first = u64::from(self.first.max(1)).max(every);
        let fits = |steps: &u32| {
            let power = eta.checked_pow(*steps);
            power.is_some_and(|power| {
                power <= combinations as u64 && u64::from(rounds) >= first.saturating_mul(power)
            })
        };
        let steps = (1..).take_while(fits).count() as u32;
        let mut rungs: Vec<Rung> = Vec::new();
        for step in 0..=steps {
            let share = u64::from(rounds).div_ceil(eta.pow(steps - step));
            let rounds = match step == steps {
                true => rounds,
                false => u32::try_from(share.next_multiple_of(every)).unwrap_or(rounds).min(rounds),
            };
            let combinations = (combinations as u64 / eta.pow(step)).max(1) as usize;
            // Rungs that the interval of scoring puts into one place are one, the stricter.
            rungs.retain(|rung| rung.rounds < rounds);
            rungs.push(Rung { rounds, combinations });
        }
        // Everything begins on the first.
        if let Some(first) = rungs.first_mut() {
            first.combinations = combinations;
        }
        rungs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Halving = Halving { resource: Resource::Rounds, eta: 3, first: 1, draw: None };

    fn rungs(halving: Halving, combinations: usize, rounds: u32, every: u32) -> Vec<(u32, usize)> {
        let rungs = halving.rungs(combinations, rounds, every);
        rungs.into_iter().map(|rung| (rung.rounds, rung.combinations)).collect()
    }

    #[test]
    fn rungs_are_those_of_the_paper() {
        // Table 1 of Li et al. 2018: R = 81, η = 3, the bracket s = 4.
        assert_eq!(rungs(THREE, 81, 81, 1), [(1, 81), (3, 27), (9, 9), (27, 3), (81, 1)]);
    }

    #[test]
    fn the_first_rung_is_not_shorter_than_said_and_every_rung_ends_where_runs_are_scored() {
        assert_eq!(rungs(Halving { first: 9, ..THREE }, 81, 81, 1), [(9, 81), (27, 27), (81, 9)]);
        assert_eq!(rungs(THREE, 9, 20, 5), [(10, 9), (20, 3)]);
        assert_eq!(rungs(Halving { eta: 2, ..THREE }, 6, 8, 1), [(2, 6), (4, 3), (8, 1)]);
        assert_eq!(rungs(THREE, 4, 8, 8), [(8, 4)], "nothing to stop where nothing is known before the end");
        assert_eq!(rungs(THREE, 2, 8, 1), [(8, 2)], "two are not thirded");
    }

    #[test]
    fn rungs_climb_and_thin_out_whatever_is_asked_for() {
        for eta in 2..6 {
            for combinations in 1..40 {
                for rounds in 1..40 {
                    for every in 1..6 {
                        let rungs = rungs(Halving { eta, ..THREE }, combinations, rounds, every);
                        assert!(rungs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1));
                        assert_eq!((rungs[0].1, rungs.last().unwrap().0), (combinations, rounds));
                        assert!(rungs[..rungs.len() - 1].iter().all(|rung| rung.0 % every == 0));
                    }
                }
            }
        }
    }
}
