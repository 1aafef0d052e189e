//! Simulate cloud-edge language-model co-tuning: the command line and the facade library of cotune.
//!
//! One way leads through everything, and each arrow is one function:
//!
//! ```text
//! text ──parse──▶ Document ──check──▶ Scenario ──draw──▶ Plan ──simulate──▶ Event* ──tabulate──▶ Tables ──render──▶ report
//! ```
//!
//! # Map
//!
//! | module       | what it holds | begin with |
//! |--------------|---------------|------------|
//! | [`scenario`] | the scenario language: units, distributions, mistakes explained where they stand | [`scenario::Document`] |
//! | [`models`]   | decoders, adapters, tokenizers, alignment, corpora, metrics | [`models::base::Base`] |
//! | [`world`]    | fleet, availability, network, coordination, methods, and the actors that play them | [`world::Plan`], [`world::simulate`] |
//! | [`record`]   | events, the run's folder, tables, summary | [`record::Event`], [`record::tabulate()`] |
//! | [`report`]   | tables in, HTML and terminal text out | [`report::render`] |
//! | [`kernel`]   | virtual time, event queue, random streams, links, codec | [`kernel::EventQueue`] |
//!
//! # A run without the command line
//!
//! [`Experiment`] loads a scenario, changes it, plays it, and has what happened as events, rows and numbers:
//!
//! ```no_run
//! use cotune::Experiment;
//!
//! # fn main() -> Result<(), cotune::Error> {
//! let run = Experiment::new("scenarios/quickstart.toml").set("fleet.devices", "6").seed(3).play()?;
//! println!("{} updates in {} rounds", run.tables.reports.len(), run.tables.rounds.len());
//! println!("{:?}, digest {}", run.metric("edge.rouge-l.mean"), run.digest());
//! # Ok(())
//! # }
//! ```
//!
//! A method of the program's own is played by name: see [`Experiment::method`], and `examples/own_method.rs`.
//!
//! The other half of this package is the command `cotune`: `arguments` is what was typed, one file of `command` tells the
//! story of each command, and what several of them need stands beside it.
#![forbid(unsafe_code)]

mod arguments;
mod bounded;
mod columns;
mod command;
mod dispatch;
mod exit;
mod experiment;
mod failure;
mod load;
mod machine;
mod place;
mod progress;
mod ranks;
mod recording;
mod repeat;
mod results;
mod statistics;
mod stop;
mod talk;
mod telemetry;

pub use cotune_kernel as kernel;
pub use cotune_models as models;
pub use cotune_record as record;
pub use cotune_report as report;
pub use cotune_scenario as scenario;
pub use cotune_world as world;

pub use dispatch::command_line;
pub use experiment::{Error, Experiment, Run};
