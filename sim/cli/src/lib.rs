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
//! ```no_run
//! use std::sync::{Arc, mpsc};
//!
//! use cotune::models::{device::Compute, zoo};
//! use cotune::record::{Event, tabulate};
//! use cotune::scenario::{Context, Document};
//! use cotune::world::{Lab, Options, Plan, Reach, Site, simulate};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = std::fs::read_to_string("scenarios/city-clinics.toml")?;
//! let base = |name: &str| std::fs::read_to_string(name).map_err(|error| error.to_string());
//! let document = Document::parse("city-clinics.toml", &text, &base)?;
//! let scenario = document.check(&Context { zoo: &zoo::names() })?.scenario;
//!
//! let site = Site {
//!     scenario_dir: "scenarios".into(),
//!     data_dir: "data".into(),
//!     cache_dir: "target/cotune-cache".into(),
//!     reach: Reach::Anywhere,
//! };
//! let lab = Lab::open(&scenario, &site, &Compute::cpu(), &mut |words| eprintln!("{words}"))?;
//! let plan = Arc::new(Plan::draw(Arc::new(lab))?);
//!
//! let (sender, receiver) = mpsc::channel();
//! let options = Options { threads: 4, ..Options::default() };
//! simulate(plan, options, Box::new(move |event| sender.send(event).map_err(|error| error.to_string())))?;
//!
//! let events: Vec<Event> = receiver.iter().collect();
//! let tables = tabulate(&events)?;
//! println!("{} updates in {} rounds", tables.reports.len(), tables.rounds.len());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub use cotune_kernel as kernel;
pub use cotune_models as models;
pub use cotune_record as record;
pub use cotune_report as report;
pub use cotune_scenario as scenario;
pub use cotune_world as world;
