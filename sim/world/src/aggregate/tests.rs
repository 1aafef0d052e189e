//! Every rule against a plain definition of it, and against an update that is scaled.

use super::*;
use cotune_kernel::Stream;

const COORDINATES: usize = 40;

/// The rules that bound what a corrupt update does.
fn robust() -> Vec<(&'static str, Aggregate)> {
    vec![
        ("norm-clip", Aggregate::NormClip { norm: None }),
        ("norm-clip at 7", Aggregate::NormClip { norm: Some(7.0) }),
        ("median", Aggregate::Median),
        ("trimmed-mean", Aggregate::TrimmedMean { trim: 0.2 }),
        ("krum", Aggregate::Krum { byzantine: Some(2), keep: 1 }),
        ("multi-krum", Aggregate::Krum { byzantine: None, keep: 4 }),
    ]
}

fn update(device: u32, examples: u64, values: Vec<f32>) -> Update {
    let payload = std::sync::Arc::new(crate::payload::Payload::adapter("m", &values));
    Update { device, model: "m".to_owned(), examples, discount: 1.0, base: None, payload }
}

/// Updates around 5 with a spread of 1, and the model 0 that they changed.
fn honest(seed: u64, count: u32) -> Vec<Update> {
    let mut stream = Stream::keyed(seed, "honest");
    (0..count)
        .map(|device| {
            let values = (0..COORDINATES).map(|_| 5.0 + stream.normal() as f32).collect();
            update(device, 10 + u64::from(device), values)
        })
        .collect()
}

fn of(rule: Aggregate, updates: &[Update]) -> Vec<f32> {
    aggregate(&rule, updates, "m", &[0.0; COORDINATES]).expect("they carry the model")
}

fn columns(updates: &[Update]) -> Vec<Vec<f64>> {
    let column = |i: usize| {
        let mut column: Vec<f64> =
            updates.iter().map(|update| f64::from(update.payload.values("m").unwrap()[i])).collect();
        column.sort_by(f64::total_cmp);
        column
    };
    (0..COORDINATES).map(column).collect()
}

fn assert_near(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{what}: {found}, by definition {expected}");
    }
}

#[test]
fn the_mean_weighs_by_examples_and_discount_or_by_neither() {
    let mut updates = vec![update(0, 30, vec![1.0]), update(1, 10, vec![5.0])];
    let mean = |updates: &[Update], rule| aggregate(&rule, updates, "m", &[0.0]).unwrap();
    assert_eq!(mean(&updates, Aggregate::Weighted), [2.0]);
    assert_eq!(mean(&updates, Aggregate::Uniform), [3.0]);
    updates[0].discount = 1.0 / 3.0;
    assert_eq!(mean(&updates, Aggregate::Weighted), [3.0]);
    assert_eq!(mean(&updates, Aggregate::Uniform), [4.0]);
    assert_eq!(aggregate(&Aggregate::Median, &updates, "another", &[0.0]), None);
}

#[test]
fn median_and_trimmed_mean_are_what_sorting_says() {
    for count in 1..12 {
        let updates = honest(u64::from(count), count);
        let middle = |column: &Vec<f64>| (column[(column.len() - 1) / 2] + column[column.len() / 2]) / 2.0;
        let medians: Vec<f64> = columns(&updates).iter().map(middle).collect();
        assert_near(&of(Aggregate::Median, &updates), &medians, "median");
        for (trim, out) in [(0.0, [0; 12]), (0.25, [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3])] {
            let out = out[count as usize];
            let trimmed = |column: &Vec<f64>| {
                let kept = &column[out..column.len() - out];
                kept.iter().sum::<f64>() / kept.len() as f64
            };
            let means: Vec<f64> = columns(&updates).iter().map(trimmed).collect();
            assert_near(&of(Aggregate::TrimmedMean { trim }, &updates), &means, "trimmed mean");
        }
    }
}

#[test]
fn a_clipped_update_keeps_its_direction_and_loses_its_length() {
    let long = [update(0, 1, vec![30.0, 40.0])];
    let clipped = aggregate(&Aggregate::NormClip { norm: Some(5.0) }, &long, "m", &[0.0; 2]).unwrap();
    assert_eq!(clipped, [3.0, 4.0]);
    let from_elsewhere =
        aggregate(&Aggregate::NormClip { norm: Some(5.0) }, &long, "m", &[30.0, 0.0]).unwrap();
    assert_eq!(from_elsewhere, [30.0, 5.0]);
    // Norms 5, 10 and 50: the median is 10, so the third is shortened to a fifth.
    let three = [update(0, 1, vec![3.0, 4.0]), update(1, 1, vec![6.0, 8.0]), update(2, 1, vec![30.0, 40.0])];
    assert_eq!(
        aggregate(&Aggregate::NormClip { norm: None }, &three, "m", &[0.0; 2]).unwrap(),
        [5.0, 20.0 / 3.0]
    );
}

/// Blanchard et al., definition in §4, worked by hand on a line: K = 5, f = 1, so two nearest others count.
#[test]
fn krum_takes_the_update_that_is_closest_to_others() {
    let at = [0.0, 1.0, 1.5, 3.0, 100.0];
    let updates: Vec<Update> =
        (0..).zip(at).map(|(device, value)| update(device, 1, vec![value as f32])).collect();
    let votes: Vec<Vote<'_>> =
        updates.iter().map(|u| Vote { weight: 1.0, values: u.payload.values("m").unwrap() }).collect();
    let nearest = [1.0 + 2.25, 0.25 + 1.0, 0.25 + 2.25, 2.25 + 4.0, 97.0f64.powi(2) + 98.5f64.powi(2)];
    assert_eq!(krum::scores(&votes, Some(1)), nearest);
    let krum =
        |byzantine, keep| aggregate(&Aggregate::Krum { byzantine, keep }, &updates, "m", &[0.0]).unwrap()[0];
    assert_eq!((krum(Some(1), 1), krum(Some(1), 3)), (1.0, 2.5 / 3.0));
    assert_eq!(krum(None, 1), 1.0, "five updates bear one");
    assert_eq!(krum(Some(9), 1), 1.0, "and no more than one");
    let two = aggregate(&Aggregate::Krum { byzantine: None, keep: 1 }, &updates[..2], "m", &[0.0]).unwrap();
    assert_eq!(two, [0.5]);
}

/// Two of twelve updates are scaled by a factor of any size: the mean follows them, nothing robust does. By norm clipping
/// each moves the mean by no more than an honest one could.
#[test]
fn every_robust_rule_bounds_a_scaled_update_and_the_mean_does_not() {
    for factor in [-1e30, -100.0, 100.0, 1e6, 1e30] {
        let mut updates = honest(3, 12);
        let clean = updates.clone();
        for corrupt in [4, 9] {
            let scaled: Vec<f32> =
                updates[corrupt].payload.values("m").unwrap().iter().map(|v| v * factor as f32).collect();
            updates[corrupt] = update(corrupt as u32, updates[corrupt].examples, scaled);
        }
        let farthest = |rule: Aggregate| {
            let (now, then) = (of(rule, &updates), of(rule, &clean));
            now.iter().zip(&then).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        for (name, rule) in robust() {
            assert!(farthest(rule) < 3.0, "{name}: moved by {} under a factor of {factor}", farthest(rule));
        }
        assert!(
            farthest(Aggregate::Weighted) > 50.0,
            "the mean is moved by {}",
            farthest(Aggregate::Weighted)
        );
    }
}

#[test]
fn every_rule_leaves_one_update_and_equal_updates_as_they_are() {
    let one = honest(7, 1);
    let same: Vec<Update> = (0..6).map(|device| update(device, 5, vec![0.1; COORDINATES])).collect();
    let rules = [Aggregate::Weighted, Aggregate::Uniform].map(|rule| ("mean", rule));
    for (name, rule) in robust().into_iter().chain(rules) {
        if name != "norm-clip at 7" {
            assert_eq!(of(rule, &one), one[0].payload.values("m").unwrap(), "{name}");
        }
        assert_eq!(of(rule, &same), [0.1; COORDINATES], "{name}");
    }
}
