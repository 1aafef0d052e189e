//! Tiny checkpoints and adapters with what Hugging Face says of them.

use cotune_models::base::Base;
use cotune_models::learner::AdapterRef;
use cotune_models::score::score_ids;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The most a log-probability may differ.
pub const TOLERANCE: f32 = 2e-4;

/// What transformers or PEFT computed.
#[derive(Deserialize)]
pub struct Expected {
    /// Sequences of token ids.
    pub ids: Vec<Vec<u32>>,
    /// Log-probabilities of all but the first id of each.
    pub logprobs: Vec<Vec<f32>>,
}

impl Expected {
    /// What stands beside a fixture.
    pub fn of(fixture: &Path) -> Self {
        serde_json::from_slice(&std::fs::read(fixture.join("expected.json")).unwrap()).unwrap()
    }
}

/// The folders of `fixtures/<kind>` in alphabetical order.
pub fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.json").is_file())
        .collect();
    found.sort();
    found
}

/// The largest difference over all sequences of a fixture.
pub fn difference(base: &Base, adapters: &[AdapterRef<'_>], expected: &Expected) -> f32 {
    let mut worst = 0.0_f32;
    for (ids, wanted) in expected.ids.iter().zip(&expected.logprobs) {
        let got = score_ids(base, adapters, ids).logprobs;
        assert_eq!(got.len(), wanted.len());
        worst = got.iter().zip(wanted).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
    }
    worst
}
