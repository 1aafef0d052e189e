//! Every family against Hugging Face: `fixtures/hf/*` are tiny random checkpoints with the log-probabilities that
//! transformers computes for them in f64 (made by `fixtures/make.py`).

use cotune_models::base::Base;
use cotune_models::checkpoint::Precision;
use cotune_models::device::Compute;
use cotune_models::score::score_ids;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The most a log-probability may differ.
const TOLERANCE: f32 = 2e-4;

#[derive(Deserialize)]
struct Expected {
    ids: Vec<Vec<u32>>,
    logprobs: Vec<Vec<f32>>,
}

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expected.json").is_file())
        .collect();
    found.sort();
    found
}

fn expected(fixture: &Path) -> Expected {
    serde_json::from_slice(&std::fs::read(fixture.join("expected.json")).unwrap()).unwrap()
}

/// The largest difference over all sequences of a fixture.
fn difference(base: &Base, expected: &Expected) -> f32 {
    let mut worst = 0.0_f32;
    for (ids, wanted) in expected.ids.iter().zip(&expected.logprobs) {
        let got = score_ids(base, &[], ids).logprobs;
        assert_eq!(got.len(), wanted.len());
        worst = got.iter().zip(wanted).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
    }
    worst
}

#[test]
fn log_probabilities_are_those_of_transformers() {
    let found = fixtures("hf");
    assert!(found.len() >= 18, "the fixtures are there");
    for fixture in found {
        let base = Base::load_bare(&fixture, &Compute::cpu()).unwrap();
        let worst = difference(&base, &expected(&fixture));
        println!(
            "{:<22} {:<14} {worst:.1e}",
            fixture.file_name().unwrap().display(),
            base.spec().family_name()
        );
        assert!(worst < TOLERANCE, "{}: {worst}", fixture.display());
    }
}

#[test]
fn a_checkpoint_that_is_written_again_says_the_same() {
    for fixture in fixtures("hf") {
        let base = Base::load_bare(&fixture, &Compute::cpu()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        base.save(copy.path(), Precision::F32).unwrap();
        let again = Base::load_bare(copy.path(), &Compute::cpu()).unwrap();
        assert_eq!(again.digest(), base.digest(), "{}", fixture.display());
        // BLOOM's files do not say how long a text may be; transformers has no limit.
        assert_eq!(again.spec(), base.spec(), "{}", fixture.display());
    }
}
