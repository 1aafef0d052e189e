//! This process among the ranks of an MPI job, if it was started in one.

use std::env;

use cotune_scenario::Scenario;
use cotune_world::pool::Remote;
use std::sync::Arc;

use crate::failure::Failure;

/// What the starters of MPI jobs tell every process of how many there are.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"];
/// What they tell where they do not say that.
const RANKS: [&str; 2] = ["PMIX_RANK", "PMI_RANK"];

/// Whether this process was started as one of several.
fn is_started_in_a_job() -> bool {
    let size = SIZES.iter().find_map(|name| env::var(name).ok()?.parse::<u32>().ok());
    size.map_or_else(|| RANKS.iter().any(|name| env::var_os(name).is_some()), |size| size > 1)
}

#[cfg(not(feature = "mpi"))]
mod imp {
    use super::{Arc, Failure, Remote, Scenario};

    /// No process of this build is one of several.
    pub enum Ranks {}

    /// Refuses to be one of several: each would run everything.
    pub fn join() -> Result<Option<Ranks>, Failure> {
        if !super::is_started_in_a_job() {
            return Ok(None);
        }
        let message = "this process was started by mpirun, and this cotune was built without MPI";
        Err(Failure::wrong(message).help("build it with `--features mpi`, or start it without mpirun"))
    }

    impl Ranks {
        pub fn is_first(&self) -> bool {
            match *self {}
        }

        pub fn gather(&self, _scenario: &Scenario) -> Result<Arc<dyn Remote>, Failure> {
            match *self {}
        }

        pub fn work(
            &self,
            _scenario: &Scenario,
            _plan: &Arc<cotune_world::Plan>,
            _threads: usize,
            _delays: Option<u64>,
        ) -> Result<(), Failure> {
            match *self {}
        }

        pub fn abort(&self, _code: u8) -> ! {
            match *self {}
        }
    }
}

#[cfg(feature = "mpi")]
mod imp {
    use super::{Arc, Failure, Remote, Scenario};
    use crate::machine;
    use cotune_world::ranks::{self, Likeness, RanksError};

    /// The ranks of the MPI job that this process is in.
    pub struct Ranks(ranks::Ranks);

    /// Joins the job that this process was started in, if it was.
    ///
    /// # Errors
    /// The library cannot do what is needed of it.
    pub fn join() -> Result<Option<Ranks>, Failure> {
        if !super::is_started_in_a_job() {
            return Ok(None);
        }
        let joined = ranks::Ranks::join().map_err(told)?;
        Ok((joined.size() > 1).then_some(Ranks(joined)))
    }

    impl Ranks {
        /// Whether this process simulates; the others train.
        pub fn is_first(&self) -> bool {
            self.0.is_first()
        }

        /// Rank 0 before a run: the others, ready to train.
        ///
        /// # Errors
        /// One of them is not what this process is.
        pub fn gather(&self, scenario: &Scenario) -> Result<Arc<dyn Remote>, Failure> {
            let workers = self.0.gather(&likeness(scenario)).map_err(told)?;
            Ok(workers)
        }

        /// Any other rank during a run.
        ///
        /// # Errors
        /// What rank 0 sent is no job.
        pub fn work(
            &self,
            scenario: &Scenario,
            plan: &Arc<cotune_world::Plan>,
            threads: usize,
            delays: Option<u64>,
        ) -> Result<(), Failure> {
            self.0.work(&likeness(scenario), plan, threads, delays).map_err(told)
        }

        /// Ends all ranks, because one cannot go on and the others would wait for it.
        pub fn abort(&self, code: u8) -> ! {
            self.0.abort(i32::from(code))
        }
    }

    fn likeness(scenario: &Scenario) -> Likeness {
        Likeness {
            scenario: scenario.digest(),
            build: format!("{} {}", machine::VERSION, machine::COMMIT),
            cpu_features: machine::cpu_features().join(" "),
        }
    }

    fn told(error: RanksError) -> Failure {
        Failure::wrong(error.to_string())
    }
}

pub use imp::{Ranks, join};
