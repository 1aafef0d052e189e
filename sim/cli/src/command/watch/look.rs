//! What there is to see of a run, from its files alone.

use cotune_record::{
    EventReader, Manifest, Outcome, Reason, RunDirectory, Score, Status, Tables, Tabulator, scores,
};
use cotune_scenario::Scenario;
use cotune_scenario::budget::Budget;

use crate::bounded;
use crate::failure::Failure;

/// A run as it is now.
pub struct Look {
    /// What it was made with.
    pub manifest: Manifest,
    /// When it ends; unlimited where its lock file cannot be read.
    pub budget: Budget,
    /// What happened; nothing before the first events are on the disk.
    pub tables: Option<Tables>,
    /// Named statistics of the scores.
    pub scores: Vec<Score>,
}

impl Look {
    /// Reads a run. What is being written while it is read is simply not there yet.
    ///
    /// # Errors
    /// There is no manifest.
    pub fn at(directory: &RunDirectory) -> Result<Self, Failure> {
        let manifest = directory.manifest()?;
        let lock = bounded::read_to_string(&directory.lock_path()).ok();
        let lock = lock.and_then(|text| Scenario::from_lock_json(&text).ok());
        let budget = lock.map(|scenario| scenario.budget);
        let tables = tables(directory);
        let scores = tables.as_ref().map_or(Vec::new(), |tables| scores(&tables.evaluations));
        let unlimited = Budget { virtual_seconds: None, rounds: None, uplink_bytes: None };
        Ok(Self { manifest, budget: budget.unwrap_or(unlimited), tables, scores })
    }

    /// Whether there may be more to see later.
    pub fn goes_on(&self) -> bool {
        self.manifest.status == Status::Running
    }

    /// Rounds that closed.
    pub fn rounds(&self) -> usize {
        let rounds = self.tables.iter().flat_map(|tables| &tables.rounds);
        rounds.filter(|row| row.closed_s.is_some()).count()
    }

    /// Virtual time \[s\].
    pub fn seconds(&self) -> f64 {
        self.tables.as_ref().map_or(0.0, |tables| tables.run.seconds)
    }

    /// The share of the budget that is used up, 0 to 1.
    pub fn done(&self) -> f64 {
        if self.manifest.status == Status::Complete {
            return 1.0;
        }
        let sum = |of: fn(&cotune_record::RoundRow) -> u64| -> u64 {
            self.tables.iter().flat_map(|tables| &tables.rounds).map(of).sum()
        };
        let shares = [
            self.budget.virtual_seconds.map(|limit| self.seconds() / limit),
            self.budget.rounds.map(|limit| self.rounds() as f64 / limit as f64),
            self.budget.uplink_bytes.map(|limit| sum(|row| row.bytes_up) as f64 / limit as f64),
        ];
        shares.into_iter().flatten().fold(0.0, f64::max).min(1.0)
    }

    /// What became of invitations, the most frequent first.
    pub fn outcomes(&self) -> Vec<(&'static str, u64)> {
        let Some(tables) = &self.tables else { return Vec::new() };
        let all = Reason::ALL.into_iter().map(Outcome::Not).chain([Outcome::Accepted]);
        let counted = all.map(|outcome| (outcome.name(), tables.count(outcome)));
        let mut outcomes: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
        outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        outcomes
    }
}

fn tables(directory: &RunDirectory) -> Option<Tables> {
    let mut tables = Tabulator::default();
    for event in EventReader::open(&directory.events_path()).ok()? {
        tables.push(&event.ok()?).ok()?;
    }
    tables.finish().ok()
}
