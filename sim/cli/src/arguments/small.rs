//! What may be typed after the small commands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::WhichRun;

/// `cotune init`.
#[derive(Args, Debug)]
pub struct Init {
    /// The folder; made if it is not there.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The scenario to begin with; another name lists them.
    #[arg(long, value_name = "NAME", default_value = "quickstart")]
    pub from: String,
}

/// `cotune schema`.
#[derive(Args, Debug)]
pub struct Schema {
    /// `scenario`, `sweep`, or `event`: a line of a run's events.jsonl.zst.
    #[arg(value_enum, hide_possible_values = true)]
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    Scenario,
    Sweep,
    Event,
}

/// `cotune completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// For which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `cotune explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// A code (E0107), a key (its end will do), or a metric (edge.rouge-l.mean).
    #[arg(value_name = "CODE|KEY|METRIC")]
    pub what: String,
    /// Print a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `cotune watch`.
#[derive(Args, Debug)]
pub struct Watch {
    #[command(flatten)]
    pub which: WhichRun,
    /// Print one picture and end, as where the output is no terminal.
    #[arg(long)]
    pub once: bool,
}

/// `cotune runs rm`.
#[derive(Args, Debug)]
pub struct RunsRm {
    /// Ids, beginnings of ids, or paths.
    #[arg(required = true, value_name = "RUN")]
    pub which: Vec<String>,
    /// The folder of runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Remove runs that may still be going on.
    #[arg(long)]
    pub force: bool,
}

/// `cotune export`.
#[derive(Args, Debug)]
pub struct Export {
    /// An id, the beginning of one, a path, or `latest`.
    pub run: String,
    /// `csv` or `parquet`: tables; `trace`: a timeline for ui.perfetto.dev; `tensorboard`: scalars.
    #[arg(value_enum, hide_possible_values = true)]
    pub to: ExportTo,
    /// Where to write it [default: in the run's folder].
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// The folder of runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
}

/// What a run can be made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportTo {
    Csv,
    Parquet,
    Trace,
    Tensorboard,
}
