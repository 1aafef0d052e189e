//! The operations of a decoder, one file each.
//!
//! | file           | operation |
//! |----------------|-----------|
//! | `attention.rs` | causal self-attention over a fused query-key-value map, with rotary positions or ALiBi |
//! | `norm.rs`      | RMSNorm and LayerNorm with their gain and bias |
//! | `activation.rs`| SwiGLU, both GELUs and ReLU |
//! | `low_rank.rs`  | low-rank updates of a linear map, added to its output |
//! | `frozen.rs`    | products with weights that are stored in half precision |
//! | `dropout.rs`   | dropout with masks from keyed streams |
//! | `head.rs`      | cross-entropy and top-K divergence on rows of logits |
//! | `adamw.rs`     | one step of AdamW over flat buffers, with clipping by the global norm |
//!
//! Each file holds a reference written with burn's own operations, which runs on every device and is
//! what the others are tested against, and one operation that fuses it: a trait of the backend, its implementation on the
//! CPU with the loops in `cpu/`, that on WebGPU in `wgpu/`, and one backward pass for every backend that has the trait.
//! Rotary positions are no operation of their own: attention turns queries and keys as it reads them (`turn` in
//! `cpu/attention.rs`, `wgpu/heads.rs`), so that no turned copy of a whole batch is written and read again.
//! `low_rank.rs`, `frozen.rs` and `dropout.rs` are made of burn's operations on WebGPU. `self_test.rs` compares another device
//! with the CPU, operation by operation; `timed.rs` has inputs for benches.

pub mod activation;
pub mod adamw;
pub mod attention;
#[cfg(test)]
pub(crate) mod check;
#[expect(
    unsafe_code,
    reason = "a matrix product on strides; functions for instruction sets that are looked up first"
)]
mod cpu;
pub(crate) mod dropout;
pub(crate) mod flex;
pub mod frozen;
pub mod head;
pub mod low_rank;
pub mod norm;
pub mod self_test;
pub mod timed;
#[cfg(feature = "wgpu")]
mod wgpu;

/// The instructions that the loops of the CPU use here.
pub(crate) fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match cpu::simd::level() {
        cpu::simd::Level::V4 => return "AVX-512",
        cpu::simd::Level::V3 => return "AVX2 with FMA",
        cpu::simd::Level::Built => {}
    }
    "the instructions of the build"
}
