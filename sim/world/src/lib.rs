//! The simulated world: who is there, who learns what from whom, how long it takes and what it costs.
//!
//! # One way through
//!
//! [`lab::Lab::open`] loads models and data; [`plan::Plan::draw`] draws the fleet, makes the method and prices its work;
//! [`simulate`] plays the plan and yields events.
//!
//! # Map
//!
//! | what it is about   | files |
//! |--------------------|-------|
//! | before the run     | [`site`] (paths), [`files`] (traces, samples), [`lab`] (models, corpus), [`plan`] (fleet, method, prices) |
//! | the world          | [`fleet`], [`availability`], [`battery`], [`hazard`], [`fault`], [`energy`], [`split`], [`select`], `network` |
//! | learning           | [`method`] (one file a method), `aggregate` (one file a rule), [`payload`] and [`packing`] (what travels), `score` (Rouge-L, EM), [`privacy`] (canaries, membership), [`fairness`] (methods made comparable), [`job`], [`pool`], `stack` (jobs computed as one batch) |
//! | the state machines | [`device`], [`coordination`] (the cloud), [`gate`] (who declines), [`effect`] (what they are told and answer) |
//! | the actors         | `actors`: thin shells, one arbiter, virtual time in the scheduler |
#![forbid(unsafe_code)]

mod actors;
mod aggregate;
pub mod availability;
pub mod battery;
pub mod coordination;
pub mod device;
pub mod effect;
pub mod energy;
pub mod fairness;
pub mod fault;
pub mod files;
pub mod fleet;
pub mod gate;
pub mod hazard;
pub mod job;
pub mod lab;
mod memo;
pub mod method;
mod network;
pub mod packing;
pub mod payload;
pub mod plan;
pub mod pool;
pub mod privacy;
#[cfg(feature = "mpi")]
pub mod ranks;
pub mod score;
pub mod select;
mod shared;
pub mod site;
pub mod split;
mod stack;

pub use actors::{
    End, Keeper, Options, SimulationError, Sink, Snapshot, deliver_nothing, simulate, simulate_from,
};
pub use lab::{Lab, LabError};
pub use plan::{ModelLine, Overview, Plan, PlanError};
pub use site::{NoDataFolder, OutOfReach, Reach, Site};
