//! The scenario language, from the outside.
//!
//! - `language`: what a scenario means, section by section
//! - `quantities`: units
//! - `changes`: extending files, overrides, axes
//! - `identity`: lock file, digest, smoke runs
//! - `mistakes`: what a person is told; every file of `../bad` has its text beside it
//! - `sweep`: axes, points, and what is wrong with them
//! - `garbage`: no text makes the reader panic

mod changes;
mod common;
mod garbage;
mod identity;
mod language;
mod mistakes;
mod quantities;
mod schema;
mod sweep;
