//! What summary and report are made of: one row per round, per invited device and round, per score, per fault.

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::event::{EndReason, FaultKind, Footprint, Loss, Reason, Scope};

pub(crate) mod columns;
pub(crate) mod csv_files;
pub(crate) mod parquet_files;

pub use parquet_files::read_foreign;

/// What can go wrong between events and tables.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The stream does not begin with [`EventKind::RunStarted`](crate::event::EventKind::RunStarted).
    #[error("the events do not begin with run-started, so they are not a run's")]
    NoBeginning,
    /// A round was opened twice.
    #[error("round {round} was opened twice: a retried round needs a new number")]
    RoundTwice {
        /// The round.
        round: u32,
    },
    /// An event of a round that never opened.
    #[error("an event at {seconds} s speaks of round {round}, which never opened")]
    NoSuchRound {
        /// The round.
        round: u32,
        /// Virtual time \[s\].
        seconds: f64,
    },
    /// A round invites a device that is not there.
    #[error("round {round} invites device {device} of a fleet of {devices}")]
    NotInFleet {
        /// The round.
        round: u32,
        /// The device.
        device: u32,
        /// How many devices there are, numbered from 0.
        devices: u32,
    },
    /// A round invites a device again.
    #[error("round {round} invites device {device} twice")]
    InvitedTwice {
        /// The round.
        round: u32,
        /// The device.
        device: u32,
    },
    /// An event of a device that was not invited.
    #[error(
        "an event at {seconds} s says that device {device} took part in round {round}, which did not invite it"
    )]
    NotInvited {
        /// The round.
        round: u32,
        /// The device.
        device: u32,
        /// Virtual time \[s\].
        seconds: f64,
    },
    /// A device ended one round twice.
    #[error("device {device} has two outcomes in round {round}: {first}, then {second}")]
    TwoOutcomes {
        /// The round.
        round: u32,
        /// The device.
        device: u32,
        /// The outcome it had.
        first: Outcome,
        /// The outcome it got.
        second: Outcome,
    },
    /// A table could not be written or read.
    #[error("cannot write or read the table {path}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A table could not be written or read.
    #[error("cannot write or read the table {path}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: parquet::errors::ParquetError,
    },
}

/// How a device ended a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its update is in the aggregate.
    Accepted,
    /// It contributed nothing.
    Not(Reason),
}

impl Outcome {
    /// `accepted`, or the reason's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Not(reason) => reason.name(),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

/// What is told of the run as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// BLAKE3 of the resolved scenario.
    pub scenario_digest: Digest,
    /// Seed of every random stream.
    pub seed: u64,
    /// Devices in the fleet.
    pub devices: u32,
    /// Name of the method.
    pub method: String,
    /// Power of the cloud and carbon intensities, where they are counted.
    pub footprint: Footprint,
    /// Which budget ended it; absent while it goes on, or if it was cut.
    pub ended: Option<EndReason>,
    /// Virtual time of the last event \[s\].
    pub seconds: f64,
    /// Events tabulated.
    pub events: u64,
    /// Tokens that devices trained on, those of updates that were lost among them.
    pub device_tokens: u64,
    /// Tokens that the cloud trained on.
    pub cloud_tokens: u64,
    /// Price of the cloud \[USD\]; of its training only until the run has ended.
    pub cost_usd: f64,
    /// Energy devices would have drawn anyway \[J\]; 0 until the run has ended.
    pub idle_joules: f64,
}

/// One round. Times in virtual seconds since the run began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoundRow {
    /// Round number.
    pub round: u32,
    /// When it opened \[s\].
    pub opened_s: f64,
    /// When it closed \[s\]; absent if it never did.
    pub closed_s: Option<f64>,
    /// The part of its duration that was waiting \[s\].
    pub wait_s: f64,
    /// The critical device's download \[s\].
    pub down_s: f64,
    /// The critical device's work \[s\].
    pub compute_s: f64,
    /// The critical device's upload \[s\].
    pub up_s: f64,
    /// The cloud's training \[s\].
    pub cloud_s: f64,
    /// Devices invited.
    pub invited: u32,
    /// Updates in the aggregate.
    pub accepted: u32,
    /// Whether there were too few updates.
    pub void: bool,
    /// Bytes sent to devices \[B\].
    pub bytes_down: u64,
    /// Bytes sent by devices \[B\].
    pub bytes_up: u64,
    /// Bytes moved for nothing \[B\], both ways.
    pub wasted_bytes: u64,
    /// Marginal energy of devices \[J\].
    pub joules: f64,
    /// The part of it spent for nothing \[J\].
    pub wasted_joules: f64,
    /// Tokens trained on, devices and cloud.
    pub tokens: u64,
    /// Mean training losses at the cloud.
    pub cloud_losses: Vec<Loss>,
    /// Mean training loss of the devices that finished \[nat/token\].
    pub loss: Option<f64>,
    /// Relay prompts sampled, everywhere.
    pub relay_prompts: u64,
    /// Relay prompts kept, everywhere.
    pub relay_kept: u64,
}

impl RoundRow {
    /// Time from opening to closing \[s\].
    pub fn duration_s(&self) -> Option<f64> {
        self.closed_s.map(|closed| closed - self.opened_s)
    }
}

/// From when to when \[s\]; absent if it never began, and still open if it never ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    /// When it began \[s\].
    pub from_s: Option<f64>,
    /// When it ended, whole or cut \[s\].
    pub to_s: Option<f64>,
}

impl Span {
    /// How long it took \[s\]; 0 if it never began or never ended.
    pub fn seconds(&self) -> f64 {
        self.within(f64::NEG_INFINITY, f64::INFINITY)
    }

    /// How much of it lies between two moments \[s\].
    pub fn within(&self, from: f64, to: f64) -> f64 {
        match (self.from_s, self.to_s) {
            (Some(begin), Some(end)) => (end.min(to) - begin.max(from)).max(0.0),
            _ => 0.0,
        }
    }
}

/// One invited device in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRow {
    /// Round number.
    pub round: u32,
    /// Device.
    pub device: u32,
    /// How it ended; absent if the run ended first.
    pub outcome: Option<Outcome>,
    /// When the outcome was known \[s\].
    pub ended_s: Option<f64>,
    /// Weight in the aggregate \[examples\]; 0 unless accepted, and where the round turned out void.
    pub weight: f64,
    /// Aggregates made between the model it was sent and the one its update is part of.
    pub staleness: u32,
    /// Receiving.
    pub download: Span,
    /// Working.
    pub training: Span,
    /// Sending.
    pub upload: Span,
    /// Bytes received \[B\].
    pub bytes_down: u64,
    /// Bytes sent \[B\].
    pub bytes_up: u64,
    /// Bytes moved for nothing \[B\].
    pub wasted_bytes: u64,
    /// Marginal energy \[J\].
    pub joules: f64,
    /// The part of it spent for nothing \[J\].
    pub wasted_joules: f64,
}

impl ReportRow {
    /// A device that was invited, and nothing more yet.
    pub(crate) fn new(round: u32, device: u32) -> Self {
        Self {
            round,
            device,
            outcome: None,
            ended_s: None,
            weight: 0.0,
            staleness: 0,
            download: Span::default(),
            training: Span::default(),
            upload: Span::default(),
            bytes_down: 0,
            bytes_up: 0,
            wasted_bytes: 0,
            joules: 0.0,
            wasted_joules: 0.0,
        }
    }
}

/// One score of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationRow {
    /// Virtual time \[s\].
    pub time_s: f64,
    /// Rounds done; 0 before training.
    pub round: u32,
    /// Which model on which data.
    pub scope: Scope,
    /// Whose model, if a device's.
    pub device: Option<u32>,
    /// Metric.
    pub metric: String,
    /// Domain, or the whole mix.
    pub domain: Option<String>,
    /// The score; absent without training.
    pub value: Option<f64>,
    /// Weight in a mean over devices of one domain.
    pub weight: f64,
}

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRow {
    /// Virtual time \[s\].
    pub time_s: f64,
    /// What kind.
    pub kind: FaultKind,
    /// Whom it struck, if one device.
    pub device: Option<u32>,
    /// What a person should know.
    pub detail: String,
}

/// One warning.
#[derive(Clone, Debug, PartialEq)]
pub struct WarningRow {
    /// Virtual time \[s\].
    pub time_s: f64,
    /// What to read before trusting the result.
    pub text: String,
    /// Optimizer steps it is about, that were skipped.
    pub skipped: u64,
}

/// Everything that summary and report are made of, besides the [`crate::Fleet`].
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// The run as a whole.
    pub run: RunRow,
    /// Rounds, in the order in which they opened.
    pub rounds: Vec<RoundRow>,
    /// Invited devices, by round, then device.
    pub reports: Vec<ReportRow>,
    /// Scores, in the order in which they were taken.
    pub evaluations: Vec<EvaluationRow>,
    /// Faults, in order.
    pub faults: Vec<FaultRow>,
    /// Warnings of the simulated world, in order.
    pub warnings: Vec<WarningRow>,
}

impl Tables {
    /// The rows of one round in [`Self::reports`].
    pub fn reports_of(&self, round: u32) -> &[ReportRow] {
        let from = self.reports.partition_point(|row| row.round < round);
        let to = self.reports.partition_point(|row| row.round <= round);
        &self.reports[from..to]
    }

    /// How many invitations ended with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.reports.iter().filter(|row| row.outcome == Some(outcome)).count() as u64
    }

    /// Writes `rounds.csv`, `reports.csv`, `evaluations.csv` and `faults.csv` into a folder.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_csv(&self, folder: &Path) -> Result<(), TableError> {
        csv_files::write(&columns::rounds(self), folder)?;
        csv_files::write(&columns::reports(self), folder)?;
        csv_files::write(&columns::evaluations(self), folder)?;
        csv_files::write(&columns::faults(self), folder)
    }

    /// Writes the same tables as Parquet: `rounds.parquet` and so on.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_parquet(&self, folder: &Path) -> Result<(), TableError> {
        parquet_files::write(&columns::rounds(self), folder)?;
        parquet_files::write(&columns::reports(self), folder)?;
        parquet_files::write(&columns::evaluations(self), folder)?;
        parquet_files::write(&columns::faults(self), folder)
    }
}
