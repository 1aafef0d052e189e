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
//!
//! Each file holds a reference written with burn's own operations, which runs on every device and is
//! what the others are tested against.

pub mod activation;
pub mod attention;
pub(crate) mod dropout;
pub mod frozen;
pub mod head;
pub mod norm;
