//! Virtual time, event queue, keyed random streams, flow-level network and wire codec of cotune.
//!
//! The kernel is pure: no threads, no actors, no learning, and no I/O but in [`bounded`], which is here because every package
//! that reads files has this one below it. Every other function is a function of its arguments,
//! on every machine: time is integer nanoseconds, order comes from total keys, random numbers come from named streams,
//! and every transcendental function comes from [`libm`], never from the platform.
//!
//! | file | what it holds |
//! |---|---|
//! | [`time`] | instants and spans of virtual time, in nanoseconds |
//! | [`quantity`] | bytes, floating-point operations and joules as types |
//! | [`queue`] | the one place that decides order: pending events under a total key |
//! | `queue/heap` | the 4-ary heap below the queue |
//! | `queue/sequence` | per-source sequence numbers, kept only for sources that ever pushed |
//! | [`stream`] | random numbers named by (seed, path) |
//! | [`distribution`] | what a scenario may write where a number varies |
//! | [`mod@dirichlet`] | proportions for data splits, safe for tiny concentrations |
//! | [`normal`] | the normal distribution function and its inverse |
//! | [`network`] | flows that share a link max-min fairly; TCP bounds; the naive oracle |
//! | [`codec`] | the versioned, checksummed, size-limited frame around every stored or sent value |
//! | [`digest`] | the rolling digest that names a run |
//! | [`bounded`] | reading a file whole, but only so much of it |
//! | [`panics`] | panics as values |
//!
//! ```
//! use cotune_kernel::{EventQueue, Stream, VirtualDuration, VirtualTime};
//!
//! let mut queue = EventQueue::new();
//! let mut arrivals = Stream::keyed(1, "device/17/arrivals");
//! let first = VirtualTime::ZERO + VirtualDuration::from_secs_f64(arrivals.exponential());
//! queue.push(first, 0, 17, "hello");
//! let (key, event) = queue.pop().unwrap();
//! assert_eq!((key.time, key.source, event), (first, 17, "hello"));
//! ```
#![forbid(unsafe_code)]

pub mod bounded;
pub mod codec;
pub mod digest;
pub mod dirichlet;
pub mod distribution;
pub mod network;
pub mod normal;
pub mod panics;
pub mod quantity;
pub mod queue;
pub mod stream;
pub mod time;

pub use codec::{CodecError, Frame};
pub use digest::{Digest, RollingDigest};
pub use dirichlet::dirichlet;
pub use distribution::{Distribution, DistributionError};
pub use network::{Completion, FlowId, SharedLink};
pub use quantity::{Bytes, Flops, Joules};
pub use queue::{EventId, EventKey, EventQueue};
pub use stream::Stream;
pub use time::{VirtualDuration, VirtualTime};
