//! What was typed.

mod model;
mod run;
mod small;
mod sweep;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cotune_models::device::{DeviceChoice, DeviceError};

use crate::exit;
use crate::talk::Talk;

pub use model::{ModelAlign, ModelCommand, ModelConvert, ModelGenerate, ModelScore, ModelShow, Pretrain};
pub use run::{ProgressMode, Run, Stacking};
pub use small::{Completions, Explain, Export, ExportTo, Init, RunsRm, Schema, SchemaOf, Watch};
pub use sweep::{Compare, Sweep};
pub use verify::Verify;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "cotune",
    version,
    about = "Simulate cloud-edge co-tuning of language models: how good, how long, at what cost, for whom.",
    after_help = exit::HELP,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Another folder that scenarios may read files of; repeatable.
    #[arg(long, global = true, value_name = "DIR")]
    pub allow_path: Vec<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a scenario, its schema and a README to begin with.
    Init(Init),
    /// Say everything that is wrong with a scenario.
    Check(Check),
    /// Draw the fleet and say what a run would cost; trains nothing.
    Plan(Plan),
    /// Run a scenario, record it, report it; prints the run's folder.
    Run(Run),
    /// Run every point of a sweep that is missing; prints a table of results.
    Sweep(Sweep),
    /// Watch a run on the terminal, live or finished.
    Watch(Watch),
    /// Say what differs between runs, and whether it means anything.
    Compare(Compare),
    /// Run a recorded run again; exit code 4 names the first event that differs.
    Verify(Verify),
    /// Render the report of a run or a sweep again.
    Report(Report),
    /// Make tables, a Perfetto trace or TensorBoard scalars of a run.
    Export(Export),
    /// List runs, show one, or remove some.
    #[command(subcommand, disable_help_subcommand = true)]
    Runs(RunsCommand),
    /// Look at a model, let it judge and write, convert it.
    #[command(subcommand, disable_help_subcommand = true)]
    Model(ModelCommand),
    /// Make a checkpoint from its recipe.
    Pretrain(Pretrain),
    /// Rouge-L and exact match of predictions in a file.
    Metrics(Metrics),
    /// Explain the code of a mistake, a key or a metric.
    Explain(Explain),
    /// Print the JSON Schema of a file, for editors.
    Schema(Schema),
    /// Print a shell's completions.
    Completions(Completions),
    /// List what there is to compute on, and test it.
    Doctor(Doctor),
}

/// How to change a scenario without editing it.
#[derive(Args, Clone, Debug, Default)]
pub struct Changes {
    /// Set a value: a dotted path and a TOML value; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Draw everything from another seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Shrink to 10 devices, 2 rounds, 4 steps, after --set.
    #[arg(long)]
    pub smoke: bool,
    /// What `data:` stands for [default: $COTUNE_DATA].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `cotune check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Scenario files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// `human`, or `json`: one array on the standard output.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", hide_possible_values = true)]
    pub format: Format,
    /// What `data:` in a scenario stands for.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// How mistakes are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Drawn with the lines they are on.
    #[default]
    Human,
    /// A JSON array.
    Json,
}

/// `cotune plan`.
#[derive(Args, Debug)]
pub struct Plan {
    /// The scenario file.
    pub file: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub talk: TalkFlags,
}

/// How much to say.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct TalkFlags {
    /// Say nothing but errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// Say what each step does.
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
}

impl From<TalkFlags> for Talk {
    fn from(flags: TalkFlags) -> Self {
        Self { quiet: flags.quiet, verbose: flags.verbose }
    }
}

/// Which run.
#[derive(Args, Debug)]
pub struct WhichRun {
    /// An id, the beginning of one, a path, or `latest`.
    #[arg(default_value = "latest")]
    pub run: String,
    /// The folder of runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
}

/// `cotune report`.
#[derive(Args, Debug)]
pub struct Report {
    #[command(flatten)]
    pub which: WhichRun,
    /// Where to write it [default: report.html in the run's folder].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `cotune runs …`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List all runs, the oldest first.
    Ls(RunsLs),
    /// Show what a run came to.
    Show(RunsShow),
    /// Remove runs from the disk.
    Rm(RunsRm),
}

/// `cotune runs ls`.
#[derive(Args, Debug)]
pub struct RunsLs {
    /// The folder of runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Print a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `cotune runs show`.
#[derive(Args, Debug)]
pub struct RunsShow {
    #[command(flatten)]
    pub which: WhichRun,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `cotune metrics`.
#[derive(Args, Debug)]
pub struct Metrics {
    /// Lines of {"prediction": "…", "references": ["…"]}.
    #[arg(value_name = "FILE.jsonl")]
    pub file: PathBuf,
    /// Print JSON, every line's scores included.
    #[arg(long)]
    pub json: bool,
    /// Compare words as they are, not their Porter stems.
    #[arg(long)]
    pub no_stem: bool,
}

/// `cotune doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `--device` may say.
fn device(text: &str) -> Result<DeviceChoice, String> {
    text.parse().map_err(|error: DeviceError| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    /// The help of a command, called by the words that lead to it, and of those below it.
    fn fits_a_screen(command: &clap::Command, words: &[String]) {
        let typed = words.iter().map(String::as_str).chain(["--help"]);
        let help = Arguments::command().try_get_matches_from(typed).expect_err("help is all there is");
        let (name, help) = (words.join(" "), help.to_string());
        assert!(help.lines().count() <= 40, "{name} --help has {} lines", help.lines().count());
        for line in help.lines() {
            let columns = line.chars().count();
            assert!(columns <= 100, "{name} --help has {columns} columns: {line}");
        }
        for below in command.get_subcommands() {
            fits_a_screen(below, &[words, &[below.get_name().to_owned()]].concat());
        }
    }

    #[test]
    fn every_help_fits_a_screen() {
        fits_a_screen(&Arguments::command(), &["cotune".to_owned()]);
    }
}
