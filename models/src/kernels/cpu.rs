//! The loops behind the fused operations on the CPU: plain slices, one thread, a fixed order of every sum.
//!
//! Nothing here knows of tensors or tapes. Each function is compiled three times, for AVX-512, for AVX2 and for the
//! processor that the whole program is built for, and picks its version when it is called ([`simd`]).

pub(crate) mod activation;
pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod cached;
pub(crate) mod head;
pub(crate) mod matrix;
pub(crate) mod norm;
pub(crate) mod simd;
