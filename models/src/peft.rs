//! Adapters on disk in the layout of PEFT: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! A LoRA that was trained here loads in PEFT, and the other way round. What differs between the two is where the
//! values lie:
//!
//! | here | in PEFT's file |
//! |------|----------------|
//! | `blocks.0.q.lora_a` `[inputs, rank]`  | `base_model.model.` + module + `.lora_A.weight` `[rank, inputs]` |
//! | `blocks.0.q.lora_b` `[rank, outputs]` | `base_model.model.` + module + `.lora_B.weight` `[outputs, rank]` |
//! | a tensor of the base, trained whole   | `base_model.model.` + its name (`modules_to_save`) |
//!
//! PEFT adapts the modules that a family has. Here query, key and value can be adapted one by one or as one map in
//! every family, so writing translates:
//!
//! - `qkv` on a family with three modules: each module gets the same A and its own columns of B;
//! - `q`, `k`, `v` on a family with one fused module: one adapter whose rank is the sum of theirs, with A the factors
//!   beside each other and B zero outside their blocks. `alpha` grows with the rank, so the scale stays.
//!
//! Reading yields the modules as they are in the file. What the file says and this crate cannot compute is refused by
//! name, never left out.
//!
//! | file        | what it knows |
//! |-------------|---------------|
//! | `config.rs` | `adapter_config.json` |
//! | `read.rs`   | from PEFT's tensors to a [`Layout`](crate::adapter::Layout) and its values |
//! | `write.rs`  | back |

mod config;
mod read;
mod write;

use crate::checkpoint::{CheckpointError, listed};
use std::path::PathBuf;

pub use read::read;
pub use write::write;

/// What stands before every tensor's name in PEFT's file.
const PREFIX: &str = "base_model.model.";

/// GPT-NeoX's head: what its checkpoints and transformers 4 call `embed_out`, transformers 5 calls `lm_head`.
const OLD_HEAD: &str = "embed_out.";
const HEAD: &str = "lm_head.";

/// The name in PEFT's file of a tensor of a checkpoint.
fn in_peft(name: &str) -> String {
    match name.strip_prefix(OLD_HEAD) {
        Some(rest) => format!("{PREFIX}{HEAD}{rest}"),
        None => format!("{PREFIX}{name}"),
    }
}

/// Why an adapter cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PeftError {
    /// The file of the weights cannot be read.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `adapter_config.json` is malformed, or asks for what is not implemented.
    #[error("{path}: {problem}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The tensors are not those that the configuration and the model ask for.
    #[error("{path} does not hold an adapter of this model: {}", listed(problems), path = path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// One sentence a tensor.
        problems: Vec<String>,
    },
    /// The weights are there, as a pickle.
    #[error(
        "{path} is a pickle, which may run any code when it is read: write safetensors with\n  python -c 'import torch; \
         from safetensors.torch import save_file as s; s(torch.load(\"{path}\", weights_only=True), \
         \"{folder}/adapter_model.safetensors\")'",
        path = path.display(), folder = path.parent().unwrap_or(path).display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// The adapter has no low-rank map; PEFT's LoRA needs one.
    #[error("the adapter adapts no linear map of this model: PEFT has no such LoRA")]
    NoTarget,
}
