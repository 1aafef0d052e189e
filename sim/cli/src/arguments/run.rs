//! What may be typed after `cotune run`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use cotune_models::device::{Compute, DeviceChoice};
use cotune_scenario::units;

use super::{Changes, TalkFlags, device};

/// `cotune run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The scenario file.
    #[arg(required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    /// Go on with a run: its id, the beginning of it, a path, or `latest`.
    #[arg(long, value_name = "RUN", conflicts_with_all = SCENARIO_FLAGS)]
    pub resume: Option<String>,
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
    /// Train equal devices as one batch: auto, on or off.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", hide_possible_values = true)]
    pub stack: Stacking,
    /// Leave the learning out: the same schedule, no scores.
    #[arg(long)]
    pub no_train: bool,
    /// Rounds between checkpoints [default: 1; rarer without learning].
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<NonZeroU32>,
    /// Stop after so long on this computer, as Ctrl-C would (90s, 2h).
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wall_limit: Option<Duration>,
    /// Let jobs end in a random order; never changes results.
    #[arg(long)]
    pub chaos: bool,
    /// Serve the engine's metrics for Prometheus: 127.0.0.1:9464, or a port.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
    /// How to show how far it is: auto, bar, lines or none.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", hide_possible_values = true)]
    pub progress: ProgressMode,
    /// Print the summary instead of the folder; an array with --vary.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub talk: TalkFlags,
}

/// What says which run is meant, and may not be said of one that has begun.
const SCENARIO_FLAGS: [&str; 8] = ["file", "set", "seed", "smoke", "vary", "name", "stack", "no_train"];

impl Run {
    /// The scenario file.
    ///
    /// # Panics
    /// A run is resumed.
    pub fn file(&self) -> &Path {
        self.file.as_deref().expect("a run is of a file, or is resumed")
    }
}

/// Whether equal work of several devices is computed as one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Stacking {
    /// On graphics adapters; on the CPU it was measured slower.
    #[default]
    Auto,
    /// Everywhere.
    On,
    /// Nowhere.
    Off,
}

impl Stacking {
    /// Whether jobs are stacked that compute there.
    pub fn on(self, compute: &Compute) -> bool {
        match self {
            Self::Auto => !compute.is_cpu(),
            Self::On => true,
            Self::Off => false,
        }
    }
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

/// An address with its port, or a port alone.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.trim_start_matches(':').parse::<u16>().ok();
    let local = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "write an address and a port, such as 127.0.0.1:9464".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = units::parse(&units::TIME, text).ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "write a time with its unit, such as 90s, 10min or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::talk::Talk;

    fn run(line: &str) -> Result<Run, clap::Error> {
        let words = ["cotune", "run"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| match arguments.command {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_bare_run_has_the_documented_defaults() {
        let typed = run("city.toml").unwrap();
        assert_eq!(typed.file(), Path::new("city.toml"));
        assert_eq!(typed.runs, PathBuf::from("runs"));
        assert_eq!(typed.device, DeviceChoice::Auto);
        assert_eq!(typed.progress, ProgressMode::Auto);
        assert!(!typed.stack.on(&Compute::cpu()), "there it is not faster");
        assert!(typed.threads.is_none() && !typed.no_train && !typed.json && !typed.changes.smoke);
    }

    #[test]
    fn every_flag_of_a_run_is_understood() {
        let typed = run(
            "city.toml --set a=1 --set b=2 --vary c=1,2 --seed 7 --name x --runs out -j 4 --device wgpu:1 \
             --stack on --smoke --no-train --data d --wall-limit 10min --chaos --progress lines --json -q",
        )
        .unwrap();
        assert_eq!(typed.changes.set, ["a=1", "b=2"]);
        assert_eq!(typed.vary, ["c=1,2"]);
        assert_eq!(typed.device, DeviceChoice::Wgpu(1));
        assert_eq!(typed.wall_limit, Some(Duration::from_secs(600)));
        assert_eq!(typed.progress, ProgressMode::Lines);
        assert!(typed.stack.on(&Compute::cpu()));
        assert!(typed.chaos && Talk::from(typed.talk).quiet);
    }

    #[test]
    fn a_port_alone_is_on_this_computer_only() {
        assert!(address("9464").unwrap().ip().is_loopback());
        assert!(address(":0").unwrap().ip().is_loopback());
        assert_eq!(address("0.0.0.0:9464").unwrap().to_string(), "0.0.0.0:9464");
    }

    #[test]
    fn a_run_that_is_resumed_is_told_nothing_of_its_scenario() {
        let typed = run("--resume latest --runs out -j 2 --checkpoint-every 5 --json").unwrap();
        assert_eq!(typed.resume.as_deref(), Some("latest"));
        for flag in
            ["city.toml", "--seed 2", "--set a=1", "--smoke", "--no-train", "--name x", "--vary a=1,2"]
        {
            assert!(run(&format!("--resume latest {flag}")).is_err(), "{flag} was accepted");
        }
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_read() {
        for line in [
            "",
            "f --threads 0",
            "f --device tpu",
            "f --stack 8",
            "f --wall-limit 10",
            "f --wall-limit -1s",
            "f --metrics-listen localhost",
            "f --seed -1",
            "f --seed 9999999999999999999",
            "f --quiet --verbose",
            "f --resume x",
        ] {
            assert!(run(line).is_err(), "`cotune run {line}` was accepted");
        }
    }
}
