//! The pretrained models that every build carries: `models/zoo/<name>/`, made by `cotune pretrain
//! models/zoo/<name>.toml`.

use crate::base::CheckpointFiles;

include!(concat!(env!("OUT_DIR"), "/zoo.rs"));

/// The names of the models, in alphabetical order.
pub fn names() -> Vec<&'static str> {
    MODELS.iter().map(|(name, _)| *name).collect()
}
