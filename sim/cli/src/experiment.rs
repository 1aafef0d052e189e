//! A run from a program: load a scenario, change it, play it, look at what happened.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use cotune_models::device::{Compute, DeviceChoice};
use cotune_record::{
    Digest, Event, EventDigest, EventReader, Fleet, RunDirectory, Score, Status, Summary, Tables, Wall,
    scores, summarize, tabulate,
};
use cotune_scenario::{Override, Scenario, Style};
use cotune_world::method::Method;
use cotune_world::{End, Lab, Options, Plan, simulate};

use crate::arguments::Stacking;
use crate::exit::latest_panic;
use crate::failure::Failure;
use crate::load::{Loaded, load};
use crate::machine;
use crate::results::{self, Results};

/// Makes a method for a scenario that asks for it by `[method.custom]`.
type Maker = Box<dyn Fn(&Scenario) -> Result<Box<dyn Method>, String>>;

/// A scenario that is about to be played, in this process and in memory: nothing is written.
///
/// ```no_run
/// use cotune::Experiment;
///
/// # fn main() -> Result<(), cotune::Error> {
/// for cohort in [4, 6, 8] {
///     let run = Experiment::new("scenarios/quickstart.toml")
///         .set("coordination.sync.cohort", &cohort.to_string())
///         .seed(3)
///         .play()?;
///     println!("{cohort}: {:?} after {} events", run.metric("edge.rouge-l.mean"), run.events.len());
/// }
/// # Ok(())
/// # }
/// ```
///
/// What it comes to is what `cotune run` comes to with the same changes, digest and all.
pub struct Experiment {
    file: PathBuf,
    overrides: Vec<Override>,
    smoke: bool,
    data: Option<PathBuf>,
    threads: usize,
    train: bool,
    device: DeviceChoice,
    method: Option<Maker>,
}

impl Experiment {
    /// Of a scenario file. It is read when it is needed.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            overrides: Vec::new(),
            smoke: false,
            data: None,
            threads: machine::cores(),
            train: true,
            device: DeviceChoice::Cpu,
            method: None,
        }
    }

    /// Sets a value: a dotted path and a TOML value, as `--set` takes them. Later ones are laid over earlier ones.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.overrides.push(Override::new(key, value));
        self
    }

    /// Draws everything from this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.set("seed", &seed.to_string())
    }

    /// Shrinks the scenario as `--smoke` does.
    #[must_use]
    pub fn smoke(mut self) -> Self {
        self.smoke = true;
        self
    }

    /// The folder that `data:` stands for.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Jobs that train at once; never changes results. Default: all cores.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Leaves the learning out and keeps sizes and durations.
    #[must_use]
    pub fn without_learning(mut self) -> Self {
        self.train = false;
        self
    }

    /// Where models train. Default: the CPU.
    #[must_use]
    pub fn device(mut self, device: DeviceChoice) -> Self {
        self.device = device;
        self
    }

    /// Has a method of the caller's own play scenarios with `[method.custom]`; what it says instead of a method becomes
    /// the error.
    #[must_use]
    pub fn method(mut self, maker: impl Fn(&Scenario) -> Result<Box<dyn Method>, String> + 'static) -> Self {
        self.method = Some(Box::new(maker));
        self
    }

    /// The valid scenario with every default resolved.
    ///
    /// # Errors
    /// Every mistake at once, drawn where it stands.
    pub fn scenario(&self) -> Result<Scenario, Error> {
        Ok(self.load()?.scenario)
    }

    /// What a run would be: models loaded, data dealt, the fleet drawn.
    ///
    /// # Errors
    /// The scenario has mistakes, or cannot be planned.
    pub fn plan(&self) -> Result<Arc<Plan>, Error> {
        let loaded = self.load()?;
        let compute = Compute::open(self.device).map_err(Failure::from)?;
        self.planned(&loaded, &compute)
    }

    /// Plays it.
    ///
    /// # Errors
    /// The scenario has mistakes, cannot be planned, or an invariant of cotune broke.
    pub fn play(&self) -> Result<Run, Error> {
        self.play_with(|_| {})
    }

    /// Plays it and hands every event over while it happens, in order, on the calling thread.
    ///
    /// # Errors
    /// The scenario has mistakes, cannot be planned, or an invariant of cotune broke.
    pub fn play_with(&self, mut each: impl FnMut(&Event)) -> Result<Run, Error> {
        let loaded = self.load()?;
        let compute = Compute::open(self.device).map_err(Failure::from)?;
        let plan = self.planned(&loaded, &compute)?;
        let fleet = plan.record_fleet();
        let options = Options {
            threads: compute.jobs(self.threads),
            train: self.train,
            stacks: Stacking::Auto.on(&compute),
            ..Options::default()
        };
        let begun = machine::now();
        let (sender, receiver) = mpsc::channel();
        let simulation = std::thread::spawn(move || {
            let sink = Box::new(move |event| sender.send(event).map_err(|error| error.to_string()));
            panic::catch_unwind(AssertUnwindSafe(|| simulate(plan, options, sink)))
        });
        let mut events: Vec<Event> = Vec::new();
        for event in receiver {
            each(&event);
            events.push(event);
        }
        match simulation.join() {
            Ok(Ok(Ok(End::Complete))) => {}
            Ok(Ok(Ok(End::Interrupted | End::Paused))) => {
                return Err(Failure::bug("nobody interrupted it").into());
            }
            Ok(Ok(Err(error))) => return Err(Failure::bug(error.to_string()).into()),
            _ => return Err(Failure::bug(latest_panic()).into()),
        }
        let tables = tabulate(&events).map_err(|error| Failure::bug(error.to_string()))?;
        let mut digest = EventDigest::new();
        events.iter().for_each(|event| digest.push(event));
        let wall = Wall {
            warnings: compute.warning().map(str::to_owned).into_iter().collect(),
            ..Wall::measured(&tables, begun.elapsed().as_secs_f64())
        };
        let (name, expected) = (&loaded.scenario.name, results::expectations(&loaded.scenario));
        let summary = summarize(name, Status::Complete, &tables, &digest, &expected, wall);
        Ok(Run { events, tables, fleet, summary })
    }

    fn load(&self) -> Result<Loaded, Error> {
        let loaded = load(&self.file, &self.overrides, self.smoke, self.data.as_deref());
        Ok(loaded.map_err(Failure::from)?)
    }

    fn planned(&self, loaded: &Loaded, compute: &Compute) -> Result<Arc<Plan>, Error> {
        let scenario = &loaded.scenario;
        let lab = Lab::open(scenario, &loaded.site, compute, &mut |_| {}).map_err(Failure::from)?;
        let lab = Arc::new(lab);
        let plan = match &self.method {
            Some(maker) if scenario.method.name() == "custom" => {
                Plan::draw_with(lab, maker(scenario).map_err(Failure::wrong)?)
            }
            _ => Plan::draw(lab),
        };
        Ok(Arc::new(plan.map_err(Failure::from)?))
    }
}

/// What happened in a run.
pub struct Run {
    /// Everything, in order.
    pub events: Vec<Event>,
    /// The same as rows.
    pub tables: Tables,
    /// The fleet that was drawn.
    pub fleet: Fleet,
    /// The same as one number for every metric.
    pub summary: Summary,
}

impl Run {
    /// Reads a run that `cotune run` recorded.
    ///
    /// # Errors
    /// The folder holds no run, or a file of it is damaged.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = RunDirectory::at(folder.as_ref());
        let Results { summary, tables, fleet, .. } = Results::read(&directory)?;
        let events = EventReader::open(&directory.events_path()).map_err(Failure::from)?;
        let events = events.collect::<Result<Vec<Event>, _>>().map_err(Failure::from)?;
        Ok(Self { events, tables, fleet, summary })
    }

    /// A metric at the end, `edge.rouge-l.mean`; none if the run has no such number.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.summary.metrics.get(name).copied()
    }

    /// Every statistic of every evaluation, in order.
    pub fn scores(&self) -> Vec<Score> {
        scores(&self.tables.evaluations)
    }

    /// The digest of everything that happened.
    pub fn digest(&self) -> Digest {
        self.summary.digest
    }
}

/// Why an experiment came to nothing: a sentence for its author, with the places in the scenario where there are any.
pub struct Error(Box<Failure>);

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Failure::Scenario(mistakes) => formatter.write_str(mistakes.render(Style::default()).trim_end()),
            other => {
                write!(formatter, "{other}")?;
                other.advice().map_or(Ok(()), |advice| write!(formatter, " ({advice})"))
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Error {}
