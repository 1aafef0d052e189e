//! The operations of a decoder, one file each.
//!
//! | file           | operation |
//! |----------------|-----------|
//! | `attention.rs` | causal self-attention over a fused query-key-value map, with rotary positions or ALiBi |
//! | `norm.rs`      | RMSNorm and LayerNorm with their gain and bias |
//! | `activation.rs`| SwiGLU and GELU |
//! | `head.rs`      | cross-entropy and top-K divergence on rows of logits |
//!
//! Each file holds a reference written with burn's own operations, which runs on every device and is
//! what the others are tested against.

pub mod activation;
pub mod attention;
pub mod head;
pub mod norm;
