//! Successive halving of a sweep: all combinations climb to the first rung, the best of them to the second, and so on.
//!
//! A rung is a pause, not a shorter run: the points that climb on continue from their checkpoints, and those that come to the
//! last rung are the runs, digest and all, that a grid would have made. What is known of a rung is read from the points'
//! folders, so the same command again goes on wherever it was cut.

use std::collections::BTreeSet;
use std::path::Path;

use cotune_record::Summary;
use cotune_report::format;
use cotune_scenario::Sweep as Written;
use cotune_scenario::evaluation::Every;
use cotune_scenario::sweep::{Goal, Halving, Rung};

use super::crew::Crew;
use super::lock::{Lock, LockedRung, Standing};
use super::points::{Planned, State};
use crate::columns::{columns, row};
use crate::failure::Failure;
use crate::statistics::Mean;

/// The way up.
pub struct Climb<'a> {
    goal: &'a Goal,
    rungs: Vec<Rung>,
    /// The points of every combination.
    combinations: Vec<&'a [Planned]>,
}

impl<'a> Climb<'a> {
    /// The rungs for points that can be judged after the same rounds.
    ///
    /// # Errors
    /// The scenario has no number of rounds, scores by time, or an axis varies either.
    pub fn plan(halving: Halving, written: &'a Written, planned: &'a [Planned]) -> Result<Self, Failure> {
        let lengths: BTreeSet<Option<u64>> =
            planned.iter().map(|point| point.scenario().budget.rounds).collect();
        let rounds = match lengths.iter().copied().collect::<Vec<_>>()[..] {
            [Some(rounds)] => u32::try_from(rounds).unwrap_or(u32::MAX),
            [None] => {
                let failure = Failure::wrong(
                    "halving counts its rungs in rounds, and the scenario has no `budget.rounds`",
                );
                return Err(failure.help("write budget.rounds under [set]"));
            }
            _ => {
                let failure = Failure::wrong(
                    "halving judges after the same rounds, and an axis varies `budget.rounds`",
                );
                return Err(failure.help("leave the axis out, or search the grid"));
            }
        };
        let mut intervals = BTreeSet::new();
        for point in planned {
            match point.scenario().evaluation.every {
                Every::Rounds(every) => intervals.insert(u32::try_from(every).unwrap_or(u32::MAX)),
                Every::Seconds(_) => {
                    let message = "halving judges after rounds, and `evaluation.every` counts virtual time";
                    return Err(Failure::wrong(message).help("write evaluation.every.rounds = 1 under [set]"));
                }
            };
        }
        let [every] = intervals.into_iter().collect::<Vec<_>>()[..] else {
            let failure =
                Failure::wrong("halving judges after the same rounds, and an axis varies `evaluation.every`");
            return Err(failure.help("leave the axis out, or search the grid"));
        };
        let combinations: Vec<&[Planned]> =
            planned.chunk_by(|a, b| a.point.combination == b.point.combination).collect();
        let goal = written.goal.as_ref().expect("halving has a goal, or its file is not read");
        Ok(Self { goal, rungs: halving.rungs(combinations.len(), rounds, every), combinations })
    }

    /// What it will be, in a sentence.
    pub fn words(&self) -> String {
        let (first, last) = (self.rungs[0], self.rungs[self.rungs.len() - 1]);
        format!(
            "{} climb {}, {} to the end; {} of {} rounds",
            format::plural(first.combinations, "point"),
            format::plural(self.rungs.len(), "rung"),
            last.combinations,
            self.rounds(),
            self.points().len() as u64 * u64::from(last.rounds)
        )
    }

    /// The rungs: rounds, combinations, runs, and how many of the runs are there already.
    pub fn table(&self) -> Result<String, Failure> {
        let mut lines = vec![row(&["rung", "rounds", "points", "runs", "done"])];
        for (index, rung) in self.rungs.iter().enumerate() {
            let mut done = 0;
            for point in self.points() {
                // Whoever only looks writes nothing.
                let summary = match self.rungs.get(index + 1) {
                    Some(_) => point.summary_after(rung.rounds)?,
                    None => point.summary()?,
                };
                done += usize::from(summary.is_some());
            }
            let runs = self.runs_of(rung);
            let cells = [index + 1, rung.rounds as usize, rung.combinations, runs, done];
            lines.push(cells.iter().map(ToString::to_string).collect());
        }
        Ok(columns("rrrrr", &lines))
    }

    /// Plays what is missing, rung by rung, and writes down how each stands; says whether it came to the last rung. It ends early
    /// where somebody stops it, or where points are left or in the hands of another process.
    ///
    /// # Errors
    /// The disk refuses, or no run has the goal's metric.
    pub fn climb(&self, crew: &mut Crew, lock: &mut Lock, folder: &Path) -> Result<bool, Failure> {
        let talk = crew.talk();
        let rung = |rung: &Rung| LockedRung {
            round: rung.rounds,
            combinations: rung.combinations,
            standings: Vec::new(),
        };
        lock.rungs = self.rungs.iter().map(rung).collect();
        lock.write(folder)?;
        let mut climbing: Vec<usize> = (0..self.combinations.len()).collect();
        for (index, rung) in self.rungs.iter().enumerate() {
            let missing = self.missing(&climbing, index, crew.retries_failed())?;
            talk.say(format_args!(
                "rung {} of {}: round {}, {}, {} to do",
                index + 1,
                self.rungs.len(),
                rung.rounds,
                format::plural(climbing.len(), "point"),
                format::plural(missing.len(), "run")
            ));
            let is_last = index + 1 == self.rungs.len();
            crew.play(&missing, (!is_last).then_some(rung.rounds))?;
            let waiting = self.missing(&climbing, index, false)?.len();
            if waiting > 0 && crew.is_stopped() {
                return Ok(false);
            }
            if waiting > 0 {
                talk.say(format_args!(
                    "{waiting} runs of this rung are left, or in the hands of other processes: repeat the command once that is over"
                ));
                return Ok(false);
            }
            let next = self.rungs.get(index + 1).map_or(0, |next| next.combinations);
            let judged = self.judge(&climbing, index, next)?;
            climbing =
                judged.iter().filter(|(_, one)| one.goes_on).map(|(combination, _)| *combination).collect();
            climbing.sort_unstable();
            lock.rungs[index].standings = judged.into_iter().map(|(_, standing)| standing).collect();
            lock.write(folder)?;
            if climbing.is_empty() {
                break;
            }
        }
        Ok(true)
    }

    /// How combinations stand on a rung, the best first; the first `next` go on, as far as all their runs came here.
    fn judge(&self, climbing: &[usize], rung: usize, next: usize) -> Result<Vec<(usize, Standing)>, Failure> {
        let metric = self.goal.metric();
        let mut judged = Vec::new();
        for &combination in climbing {
            let points = self.combinations[combination];
            let mut values = Vec::new();
            for point in points {
                values.extend(
                    self.summary(point, rung)?.and_then(|summary| summary.metrics.get(metric).copied()),
                );
            }
            // The mean of some seeds is not held against the mean of all.
            let mean = Mean::of(&values).filter(|mean| mean.n == points.len());
            judged.push((combination, points[0].labels(), mean));
        }
        let has_failed = |point: &&Planned| point.state().has_failed();
        let is_nothing_known = judged.iter().all(|(.., mean)| mean.is_none());
        if is_nothing_known
            && !climbing.iter().flat_map(|one| self.combinations[*one]).any(|one| has_failed(&one))
        {
            let round = self.rungs[rung].rounds;
            let failure =
                Failure::wrong(format!("no point has `{metric}` on all its seeds after round {round}"));
            let help = "write another goal: a score is not known under --no-train, nor of a model that the method lacks";
            return Err(failure.help(help));
        }
        let worth = |mean: &Option<Mean>| match (mean, self.goal) {
            (None, _) => f64::INFINITY,
            (Some(mean), Goal::Minimize(_)) => mean.mean,
            (Some(mean), Goal::Maximize(_)) => -mean.mean,
        };
        // Of equals the first in the file goes on.
        judged.sort_by(|a, b| worth(&a.2).total_cmp(&worth(&b.2)).then(a.0.cmp(&b.0)));
        let standing = |(rank, (combination, labels, mean)): (usize, (usize, Vec<String>, Option<Mean>))| {
            let standing = Standing {
                labels,
                mean: mean.map(|mean| mean.mean),
                half_width: mean.and_then(|mean| mean.half_width),
                n: mean.map_or(0, |mean| mean.n),
                goes_on: rank < next && mean.is_some(),
            };
            (combination, standing)
        };
        Ok(judged.into_iter().enumerate().map(standing).collect())
    }

    /// The runs of some combinations that have not come to a rung, each scenario once.
    fn missing(
        &self,
        climbing: &[usize],
        rung: usize,
        retry_failed: bool,
    ) -> Result<Vec<&'a Planned>, Failure> {
        let (mut missing, mut seen) = (Vec::new(), BTreeSet::new());
        for point in climbing.iter().flat_map(|combination| self.combinations[*combination]) {
            let state = point.state();
            let is_to_run = !state.has_failed() || (retry_failed && state != State::Unreadable);
            if is_to_run && self.summary(point, rung)?.is_none() && seen.insert(point.id()) {
                missing.push(point);
            }
        }
        Ok(missing)
    }

    /// What a run had come to on a rung; none if it is not there yet.
    fn summary(&self, point: &Planned, rung: usize) -> Result<Option<Summary>, Failure> {
        match self.rungs.get(rung + 1) {
            Some(_) => point.kept_after(self.rungs[rung].rounds),
            None => point.summary(),
        }
    }

    fn points(&self) -> Vec<&'a Planned> {
        self.combinations.iter().flat_map(|points| points.iter()).collect()
    }

    /// Runs that come to a rung, every combination having as many seeds.
    fn runs_of(&self, rung: &Rung) -> usize {
        rung.combinations * self.points().len() / self.combinations.len()
    }

    /// Rounds that are played in all.
    fn rounds(&self) -> u64 {
        let mut before = 0;
        let mut sum = 0;
        for rung in &self.rungs {
            sum += self.runs_of(rung) as u64 * u64::from(rung.rounds - before);
            before = rung.rounds;
        }
        sum
    }
}
