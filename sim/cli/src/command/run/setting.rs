//! What all runs of one command share: this computer's side of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cotune_models::device::Compute;
use cotune_record::{FORMAT, Manifest, Status, Wall};
use cotune_scenario::Scenario;
use cotune_world::{Options, Site};

use crate::arguments::{ProgressMode, Run};
use crate::failure::Failure;
use crate::machine;
use crate::ranks::Ranks;
use crate::stop::Stop;
use crate::talk::Talk;
use crate::telemetry;

/// What is needed to carry out what was typed.
pub struct Setting {
    /// Where run folders are made.
    pub runs: PathBuf,
    /// Rounds between two checkpoints, where said.
    pub checkpoint_every: Option<u32>,
    /// Jobs at once.
    pub threads: usize,
    /// Whether jobs wait for random times of the wall clock.
    pub chaos: bool,
    /// The round after which runs are paused, where said.
    pub until_round: Option<u32>,
    /// The MPI job that this process is the first of.
    pub ranks: Option<Arc<Ranks>>,
    /// Whether anything is learned.
    pub train: bool,
    /// Where models train.
    pub compute: Compute,
    /// Whether equal work of several devices is one batch.
    pub stacks: bool,
    /// How to show how far a run is.
    pub progress: ProgressMode,
    /// The wish to stop.
    pub stop: Stop,
    /// How much to say.
    pub talk: Talk,
}

impl Setting {
    /// Opens the device and listens for signals.
    ///
    /// # Errors
    /// There is no such device.
    pub fn new(typed: &Run) -> Result<Self, Failure> {
        Self::on(Compute::open(typed.device)?, typed)
    }

    /// Listens for signals; models train on `compute`.
    ///
    /// # Errors
    /// What listens cannot.
    pub fn on(compute: Compute, typed: &Run) -> Result<Self, Failure> {
        let talk = Talk::from(typed.talk);
        if let Some(address) = typed.metrics_listen {
            telemetry::listen(address, talk)?;
        }
        if let Some(warning) = compute.warning() {
            talk.say(format_args!("warning: {warning}"));
        }
        let threads = compute.jobs(typed.threads.map_or_else(machine::cores, usize::from));
        let compute = compute.with_cores(threads);
        talk.detail(format_args!("jobs compute on {}, {threads} at once", compute.describe()));
        Ok(Self {
            runs: typed.runs.clone(),
            checkpoint_every: typed.checkpoint_every.map(u32::from),
            threads,
            chaos: typed.chaos,
            until_round: None,
            ranks: None,
            train: !typed.no_train,
            stacks: typed.stack.on(&compute),
            compute,
            progress: typed.progress,
            stop: Stop::listen(typed.wall_limit, talk)?,
            talk,
        })
    }

    /// How the simulation is carried out. Other ranks are ready when this returns.
    ///
    /// # Errors
    /// One of them is not what this process is.
    pub fn options(&self, scenario: &Scenario) -> Result<Options, Failure> {
        let ranks = self.ranks.as_ref().filter(|_| self.train);
        Ok(Options {
            remote: ranks.map(|ranks| ranks.gather(scenario)).transpose()?,
            threads: self.threads,
            train: self.train,
            stacks: self.stacks,
            stop: self.stop.flag(),
            keep_every: self.checkpoint_every,
            delays: self.delays(scenario),
            until_round: self.until_round,
        })
    }

    /// The seed of the waits of jobs, if they wait.
    pub fn delays(&self, scenario: &Scenario) -> Option<u64> {
        self.chaos.then_some(scenario.seed)
    }

    /// The manifest of a run that begins now; the scenario's paths lead to places of `site`.
    pub fn manifest(&self, scenario: &Scenario, site: &Site, command: String) -> Manifest {
        Manifest {
            format: FORMAT,
            status: Status::Running,
            name: scenario.name.clone(),
            seed: scenario.seed,
            scenario_digest: super::digest(scenario),
            version: machine::VERSION.to_owned(),
            commit: machine::COMMIT.to_owned(),
            platform: machine::platform(),
            cpu_features: machine::cpu_features(),
            device: self.compute.describe(),
            threads: self.threads_u32(),
            train: self.train,
            stacks: self.stacks,
            scenario_dir: absolute(&site.scenario_dir),
            data_dir: absolute(&site.data_dir),
            matched: String::new(),
            command,
            started_unix_ms: machine::unix_ms(),
            doubts: Vec::new(),
            warnings: warnings(&self.compute),
        }
    }

    /// What the computer did, besides what was `measured`.
    pub fn wall(&self, measured: Wall, status: Status) -> Wall {
        let cut = (status == Status::Interrupted).then(|| match self.until_round {
            Some(round) if !self.stop.is_wished() => {
                format!("the run was paused after round {round}: its numbers are those of a shorter run")
            }
            _ => self.stop.reason().to_owned(),
        });
        Wall {
            peak_rss_bytes: machine::peak_rss_bytes(),
            threads: self.threads_u32(),
            device: self.compute.describe(),
            warnings: cut.into_iter().collect(),
            ..measured
        }
    }

    fn threads_u32(&self) -> u32 {
        u32::try_from(self.threads).unwrap_or(u32::MAX)
    }
}

/// What a person should know of results that come from `compute`.
fn warnings(compute: &Compute) -> Vec<String> {
    let inexact = "learning on WebGPU repeats within a tolerance only; the schedule repeats exactly";
    let inexact = (!compute.is_cpu()).then_some(inexact);
    compute.warning().into_iter().chain(inexact).map(str::to_owned).collect()
}

/// A path that means the same wherever it is read.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_on_the_cpu_instead_of_a_card_keeps_why() {
        assert_eq!(warnings(&Compute::cpu()), [""; 0]);
        let why = "a card differs from the CPU: computing on the CPU instead";
        let instead = Compute::cpu().with_warning(why.to_owned()).with_cores(2);
        assert_eq!(warnings(&instead), [why]);
    }
}
