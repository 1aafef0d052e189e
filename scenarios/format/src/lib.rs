//! The scenario language of cotune: schema, units, distributions, diagnostics, expansion. No I/O.
//!
//! Text becomes a document (what was written, with its places in the text), a document becomes a
//! [`Scenario`] (valid, every default resolved, SI units), and everything that was wrong on the way
//! becomes diagnostics.

pub mod budget;
pub mod cloud;
pub mod coordination;
pub mod data;
pub mod distribution;
pub mod evaluation;
pub mod expect;
pub mod fault;
pub mod fleet;
pub mod method;
pub mod models;
pub mod scenario;
pub mod transfer;

pub use distribution::Distribution;
pub use scenario::Scenario;
