//! The vocabulary between the simulation and everyone else.
//!
//! The simulation says what happened in [`Event`]s and in nothing else. Everything a person sees is derived
//! from them, one function per arrow:
//!
//! ```text
//! Event* ──EventWriter──▶ events.jsonl.zst ──EventReader──▶ Event* ──tabulate──▶ Tables ──summarize──▶ Summary
//!    └─────EventDigest──▶ digest, schedule digest
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`event`] | what can happen: [`Event`], [`EventKind`], [`Reason`] |
//! | [`digest`] | the two rolling digests of an event stream, and the first difference between two streams |
//! | [`log`] | `events.jsonl.zst`: append, cut at a checkpoint, read back |

pub mod digest;
pub mod event;
mod real;

pub use digest::{Digest, EventDigest};
pub use event::{EndReason, Event, EventKind, FaultKind, Reason, Scope};
