//! Agreement with `rouge-score` 0.1.2 on recorded pairs.

use super::*;
use crate::corpus::reference_data;
use serde_json::Value;

#[test]
fn recorded_pairs_score_as_rouge_score_does() {
    let Some(lines) = reference_data("metric_golden/rouge_em_golden.jsonl") else { return };
    let mut scorers = [false, true].map(Scorer::new);
    let mut pairs = 0;
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let number = |key: &str| row[key].as_f64().unwrap();
        let (prediction, target) = (text("prediction"), text("target"));
        for (scorer, key) in scorers.iter_mut().zip(["rougeL_f", "rougeL_f_stem"]) {
            let ours = scorer.score(&prediction, &[&target]);
            let difference = (ours.rouge_l - number(key)).abs();
            assert!(difference < 1e-9, "{key} of {}: {} against {}", text("src"), ours.rouge_l, number(key));
            assert_eq!(ours.exact_match, number("em_norm"), "exact match of {}", text("src"));
        }
        pairs += 1;
    }
    assert_eq!(pairs, 504);
}

#[test]
fn recorded_words_have_nltks_stems() {
    let Some(text) = reference_data("metric_golden/stems_and_alignment.json") else { return };
    let file: Value = serde_json::from_str(&text).unwrap();
    let stems = file["stem"].as_object().unwrap();
    for (word, expected) in stems {
        assert_eq!(stem(word), expected.as_str().unwrap(), "the stem of {word}");
    }
    assert_eq!(stems.len(), 93);
    for row in file["rouge"].as_array().unwrap() {
        let (a, b) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let ours = Scorer::new(true).score(a, &[b]);
        assert!((ours.rouge_l - row[2].as_f64().unwrap()).abs() < 1e-9, "{a:?} against {b:?}: {ours:?}");
        assert_eq!(ours.exact_match == 1.0, row[3].as_bool().unwrap(), "{a:?} against {b:?}");
    }
}

#[test]
fn the_best_reference_counts_for_each_metric() {
    let mut scorer = Scorer::new(true);
    let both = scorer.score("red aisle", &["blue", "Red aisle."]);
    assert_eq!(both, Score { rouge_l: 1.0, exact_match: 1.0 });
    assert_eq!(scorer.score::<&str>("red", &[]), Score::default());
}
