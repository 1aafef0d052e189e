//! The network: flows on a star. Each direction of the cloud's access is one [`SharedLink`] that its flows share max-min
//! fairly, each flow bounded by a cap of its own (the device's access rate, or a TCP bound).
//!
//! Flows, not packets: the model of SimGrid (Casanova et al. 2014; Velho & Legrand 2009), in which a transfer lasts a
//! handshake plus the time its bytes take at piecewise constant rates.
//!
//! | file | what it holds |
//! |---|---|
//! | `network/link.rs` | the shared link: the fast path, O(log n) per arrival or departure |
//! | `network/rate.rs` | rates and amounts as integers, so that sums of rates are exact |
//! | [`naive`] | the slow, readable reference: recompute everything, by progressive filling in floats |
//! | [`tcp`] | what bounds one flow: window, loss; SimGrid's LV08 correction |

mod link;
pub mod naive;
mod rate;
pub mod tcp;

pub use link::{Completion, FlowId, SharedLink};
