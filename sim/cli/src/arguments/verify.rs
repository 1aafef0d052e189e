//! What may be typed after `cotune verify`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cotune_models::device::DeviceChoice;
use cotune_scenario::scenario;

use super::{TalkFlags, WhichRun, device};

/// `cotune verify`.
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    pub which: WhichRun,
    /// Jobs that train at once; must not matter [default: all cores].
    #[arg(short = 'j', long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Which devices have a live actor, active or all; must not matter.
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    pub actors: Option<Actors>,
    /// Let jobs end in a random order; must not matter.
    #[arg(long)]
    pub chaos: bool,
    /// Where models train: auto, cpu, wgpu or wgpu:N [default: the run's].
    #[arg(long, value_parser = device)]
    pub device: Option<DeviceChoice>,
    /// Where `data:` leads, if not where it led when the run was made.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub talk: TalkFlags,
}

/// Which devices have a live actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Actors {
    /// Those that have something to do.
    Active,
    /// All of them.
    All,
}

impl From<Actors> for scenario::Actors {
    fn from(actors: Actors) -> Self {
        match actors {
            Actors::Active => Self::Active,
            Actors::All => Self::All,
        }
    }
}
