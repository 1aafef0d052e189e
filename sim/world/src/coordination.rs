//! Coordination: who is invited, when a round ends, what becomes of late updates. It never sees a weight.

pub mod sync;
