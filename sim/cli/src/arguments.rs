//! What was typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cotune_models::device::DeviceChoice;
use cotune_scenario::units;

use crate::exit;
use crate::talk::Talk;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "cotune",
    version,
    about = "Simulate cloud-edge co-tuning of language models: how good, how long, what it costs, who is left out.",
    after_help = exit::HELP,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with a scenario.
    Check(Check),
    /// Draw the fleet and say what a run would cost; trains nothing.
    Plan(Plan),
    /// Run a scenario, record it, report it; prints the run's folder.
    Run(Run),
    /// Render a run's report again.
    Report(Report),
    /// List runs, or show one.
    #[command(subcommand, disable_help_subcommand = true)]
    Runs(RunsCommand),
    /// Look at a model, let it write, compare tokenizers.
    #[command(subcommand, disable_help_subcommand = true)]
    Model(ModelCommand),
    /// Make a checkpoint from its recipe.
    Pretrain(Pretrain),
    /// Rouge-L and exact match of predictions in a file.
    Metrics(Metrics),
    /// Explain the code of a mistake, such as E0107.
    Explain(Explain),
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
    /// Shrink to 10 devices, 2 rounds and 4 steps, after --set: shows within seconds that it runs.
    #[arg(long)]
    pub smoke: bool,
    /// What `data:` in a scenario stands for [default: $COTUNE_DATA, else ../shared/data seen from the workspace].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `cotune check`.
#[derive(Args, Debug)]
pub struct Check {
    /// Scenario files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// For people (drawn, on the standard error), or one JSON array on the standard output.
    #[arg(long, value_enum, default_value_t, value_name = "human|json", hide_possible_values = true)]
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

/// `cotune run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The scenario file.
    pub file: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
    /// Run once for each value, and for each combination where repeated.
    #[arg(long, value_name = "KEY=V1,V2,…")]
    pub vary: Vec<String>,
    /// Call the run something else than the scenario does.
    #[arg(long)]
    pub name: Option<String>,
    /// The folder that run folders are made in.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Jobs that train at once; never changes results [default: all cores].
    #[arg(short = 'j', long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Where models train: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
    /// Leave the learning out and keep sizes and durations: the same schedule, no scores.
    #[arg(long)]
    pub no_train: bool,
    /// Stop after so long on this computer, as Ctrl-C would ("90s", "2h").
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wall_limit: Option<Duration>,
    /// How to show how far it is.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "auto|bar|lines|none",
        hide_possible_values = true
    )]
    pub progress: ProgressMode,
    /// Print the summary instead of the folder; an array with --vary.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub talk: TalkFlags,
}

/// How to show how far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// A bar.
    Bar,
    /// A line for every evaluation.
    Lines,
    /// Not at all.
    None,
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

/// `cotune model …`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Shape, size and tokenizer.
    Show(ModelShow),
    /// Continue a prompt.
    Generate(ModelGenerate),
    /// How the tokens of two models belong together over one text.
    Align(ModelAlign),
}

/// `cotune model show`.
#[derive(Args, Debug)]
pub struct ModelShow {
    /// `zoo:NAME`, or the folder of a checkpoint.
    #[arg(value_name = "zoo:NAME|DIR")]
    pub model: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `cotune model generate`.
#[derive(Args, Debug)]
pub struct ModelGenerate {
    /// `zoo:NAME`, or the folder of a checkpoint.
    #[arg(value_name = "zoo:NAME|DIR")]
    pub model: String,
    /// The text to continue, as it is; the zoo's models know $'Q: …\nA:'.
    #[arg(long)]
    pub prompt: String,
    /// The most tokens to add.
    #[arg(long, value_name = "N", default_value = "48")]
    pub max_tokens: NonZeroUsize,
    /// Draw from softmax(logits / T) instead of taking the likeliest token.
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// The seed to draw with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Where to compute: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
}

/// `cotune model align`.
#[derive(Args, Debug)]
pub struct ModelAlign {
    /// The model that teaches.
    #[arg(long, value_name = "zoo:NAME|DIR")]
    pub from: String,
    /// The model that learns.
    #[arg(long, value_name = "zoo:NAME|DIR")]
    pub to: String,
    /// The text.
    pub text: String,
}

/// `cotune pretrain`.
#[derive(Args, Debug)]
pub struct Pretrain {
    /// Recipes.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The checkpoint's folder [default: the recipe's path without its extension].
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Where to train: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
    /// What `data:` in a recipe stands for.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub talk: TalkFlags,
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

/// `cotune explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The code, such as E0107.
    pub code: String,
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    text.parse().map_err(|error: cotune_models::device::DeviceError| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = units::parse(&units::TIME, text).ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "write a time with its unit, such as 90s, 10min or 2h".to_owned())
}

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a temperature is a number above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(line: &str) -> Result<Run, clap::Error> {
        let words = ["cotune", "run"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| match arguments.command {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_fits_a_screen() {
        assert!(Arguments::command().render_help().to_string().lines().count() <= 24);
    }

    #[test]
    fn a_bare_run_has_the_documented_defaults() {
        let typed = run("city.toml").unwrap();
        assert_eq!(typed.file, PathBuf::from("city.toml"));
        assert_eq!(typed.runs, PathBuf::from("runs"));
        assert_eq!(typed.device, DeviceChoice::Cpu);
        assert_eq!(typed.progress, ProgressMode::Auto);
        assert!(typed.threads.is_none() && !typed.no_train && !typed.json && !typed.changes.smoke);
    }

    #[test]
    fn every_flag_of_a_run_is_understood() {
        let typed = run(
            "city.toml --set a=1 --set b=2 --vary c=1,2 --seed 7 --name x --runs out -j 4 --device wgpu:1 \
             --smoke --no-train --data d --wall-limit 10min --progress lines --json -q",
        )
        .unwrap();
        assert_eq!(typed.changes.set, ["a=1", "b=2"]);
        assert_eq!(typed.vary, ["c=1,2"]);
        assert_eq!(typed.device, DeviceChoice::Wgpu(1));
        assert_eq!(typed.wall_limit, Some(Duration::from_secs(600)));
        assert_eq!(typed.progress, ProgressMode::Lines);
        assert!(Talk::from(typed.talk).quiet);
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_read() {
        for line in [
            "",
            "f --threads 0",
            "f --device tpu",
            "f --wall-limit 10",
            "f --wall-limit -1s",
            "f --seed -1",
            "f --seed 9999999999999999999",
            "f --quiet --verbose",
            "f --resume x",
        ] {
            assert!(run(line).is_err(), "`cotune run {line}` was accepted");
        }
    }
}
