//! What may be typed after `cotune sweep` and `cotune compare`.

use std::env;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use cotune_models::device::DeviceChoice;

use super::{TalkFlags, device};

/// `cotune sweep`.
#[derive(Args, Debug)]
pub struct Sweep {
    /// The sweep's file.
    pub file: PathBuf,
    /// Points at once; never changes results [default: limits.jobs, else 1].
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Run one part of n only; parts need not know of each other.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<Shard>,
    /// One point only: its number from 0, or `env`: a job array's task.
    #[arg(long, value_name = "N|env", value_parser = chosen_point, conflicts_with = "shard")]
    pub point: Option<usize>,
    /// Print how many points there are, and do nothing.
    #[arg(long)]
    pub count: bool,
    /// Run points that failed before once more.
    #[arg(long)]
    pub retry_failed: bool,
    /// Check every point and say what would run.
    #[arg(long)]
    pub dry_run: bool,
    /// Run even more than limits.runs allows.
    #[arg(long)]
    pub yes: bool,
    /// Shrink every point, as `run --smoke` does.
    #[arg(long)]
    pub smoke: bool,
    /// Leave the learning out, as `run --no-train` does.
    #[arg(long)]
    pub no_train: bool,
    /// The folder that the sweep's folder is made in.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// What `data:` in a scenario stands for.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Jobs that train at once, all points together [default: all cores].
    #[arg(short = 'j', long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Where models train: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
    /// Serve the engine's metrics for Prometheus, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDR", value_parser = super::run::address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Print the table of results as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub talk: TalkFlags,
}

/// `cotune compare`.
#[derive(Args, Debug)]
pub struct Compare {
    /// Runs (an id, its beginning, a path, `latest`), or a sweep's folder: all its points.
    #[arg(required = true, value_name = "RUN")]
    pub which: Vec<String>,
    /// What the others are compared with: a column's name [default: the first].
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// The folder of runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// End with exit code 4 if any metric differs.
    #[arg(long)]
    pub fail_on_diff: bool,
}

/// One part of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub part: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// Whether the run of this number, from 0, is in this part.
    pub fn has(self, number: usize) -> bool {
        number % self.of == self.part - 1
    }
}

/// What job arrays call the number of a task.
const TASK_NUMBERS: [&str; 3] = ["SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"];

fn chosen_point(text: &str) -> Result<usize, String> {
    let number =
        |text: &str| text.parse().map_err(|_| format!("`{text}` is not the number of a point, from 0"));
    if text != "env" {
        return number(text);
    }
    match TASK_NUMBERS.iter().find_map(|name| env::var(name).ok()) {
        Some(value) => number(&value),
        None => Err(format!("this is no task of a job array: none of {} is set", TASK_NUMBERS.join(", "))),
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(part, of)| Some(Shard { part: part.parse().ok()?, of: of.parse().ok()? }));
    parsed
        .filter(|shard| (1..=shard.of).contains(&shard.part))
        .ok_or_else(|| "write a part and how many there are, such as 2/5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_every_run_once() {
        for number in 0..20 {
            assert_eq!((1..=3).filter(|part| Shard { part: *part, of: 3 }.has(number)).count(), 1);
        }
        assert_eq!(shard("2/5"), Ok(Shard { part: 2, of: 5 }));
        for wrong in ["0/5", "6/5", "2", "a/b", "1/0"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
