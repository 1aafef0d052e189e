//! The vocabulary between the simulation and everyone else.
//!
//! The simulation says what happened in [`Event`]s and in nothing else. Everything a person sees is derived
//! from them, one function per arrow:
//!
//! ```text
//! Event* ──EventWriter──▶ events.jsonl.zst ──EventReader──▶ Event* ──tabulate──▶ Tables ──summarize──▶ Summary
//!    └─────EventDigest──▶ digest, schedule digest                      Fleet ──┴─────▶ report
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`event`] | what can happen: [`Event`], [`EventKind`], [`Reason`] |
//! | [`digest`] | the two rolling digests of an event stream |
//! | [`difference`] | the first event in which two streams differ |
//! | [`checkpoint`] | where a run that was cut goes on |
//! | [`log`] | `events.jsonl.zst`: append, cut at a checkpoint, read back |
//! | [`tables`], [`fleet`] | rows, and their Parquet and CSV files; [`tabulate()`] makes them |
//! | [`export`] | a run for the tools of others: Perfetto, TensorBoard |
//! | [`scores()`] | named statistics of the models' scores; `metrics.csv` |
//! | [`summary`] | `summary.json` |
//! | [`run_directory`], [`manifest`], [`run_id`] | the folder of a run, `run.json`, and which run a person means |

pub mod checkpoint;
pub mod difference;
pub mod digest;
pub mod event;
pub mod export;
pub mod fleet;
pub mod log;
pub mod manifest;
mod names;
mod real;
pub mod run_directory;
pub mod run_id;
pub mod scores;
pub mod summary;
pub mod tables;
mod tabulate;

pub use checkpoint::{Checkpoint, CheckpointError, Checkpoints};
pub use difference::{Difference, first_difference};
pub use digest::{Digest, EventDigest, RoundDigest};
pub use event::{EndReason, Event, EventKind, FaultKind, Footprint, Loss, Reason, Scope};
pub use fleet::{Fleet, FleetRow};
pub use log::{EventReader, EventWriter, LogError, LogPosition};
pub use manifest::{FORMAT, Manifest, Status};
pub use run_directory::{Claim, RunDirectory, RunDirectoryError};
pub use run_id::RunIdError;
pub use scores::{Score, scores, write_metrics_csv};
pub use summary::{Expectation, ExpectationResult, Summary, Wall, participation, summarize};
pub use tables::{
    EvaluationRow, FaultRow, Outcome, ReportRow, RoundRow, RunRow, Span, TableError, Tables, WarningRow,
};
pub use tabulate::{Tabulator, tabulate};
