//! The operations of a decoder, one file each.
//!
//! | file           | operation |
//! |----------------|-----------|
//! | `attention.rs` | causal self-attention over a fused query-key-value map, with rotary positions or ALiBi |
//! | `norm.rs`      | RMSNorm and LayerNorm with their gain and bias |
//! | `activation.rs`| SwiGLU, both GELUs and ReLU |
//! | `frozen.rs`    | products with weights that are stored in half precision |
//! | `dropout.rs`   | dropout with masks from keyed streams |
//! | `head.rs`      | cross-entropy and top-K divergence on rows of logits |
//! | `adamw.rs`     | one step of AdamW over flat buffers, with clipping by the global norm |
//!
//! Each file holds a reference written with burn's own operations, which runs on every device and is
//! what the others are tested against, and one operation that fuses it: a trait of the backend, its implementation on the
//! CPU with the loops in `cpu/`, and one backward pass for every backend that has the trait.

pub mod activation;
pub mod adamw;
pub mod attention;
#[cfg(test)]
mod check;
#[expect(
    unsafe_code,
    reason = "a matrix product on strides; functions for instruction sets that are looked up first"
)]
mod cpu;
pub(crate) mod dropout;
pub(crate) mod flex;
pub mod frozen;
pub mod head;
pub mod norm;
