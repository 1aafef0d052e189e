//! Every family against Hugging Face: `fixtures/hf/*` are tiny random checkpoints with the log-probabilities that
//! transformers computes for them in f64 (made by `fixtures/make.py`).

mod common;

use common::{Expected, TOLERANCE, difference, fixtures};
use cotune_models::base::Base;
use cotune_models::checkpoint::Precision;
use cotune_models::device::Compute;

#[test]
fn log_probabilities_are_those_of_transformers() {
    let found = fixtures("hf");
    assert!(found.len() >= 18, "the fixtures are there");
    for fixture in found {
        let base = Base::load_bare(&fixture, &Compute::cpu()).unwrap();
        let worst = difference(&base, &[], &Expected::of(&fixture));
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
