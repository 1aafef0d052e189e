use std::collections::BTreeSet;

use super::*;

fn many(draw: impl FnMut(&mut Stream) -> f64, path: &str) -> Vec<f64> {
    let (mut stream, mut draw) = (Stream::keyed(1, path), draw);
    (0..200_000).map(|_| draw(&mut stream)).collect()
}

/// Mean and variance within five standard errors, the variance's error from the sample's fourth moment.
fn assert_moments(drawn: &[f64], mean: f64, variance: f64) {
    let n = drawn.len() as f64;
    let moment = |power: i32| drawn.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
    assert!(moment(1).abs() < 5.0 * libm::sqrt(variance / n), "mean {}, expected {mean}", mean + moment(1));
    let error = 5.0 * libm::sqrt((moment(4) - variance * variance) / n);
    assert!((moment(2) - variance).abs() < error, "variance {}, expected {variance}", moment(2));
}

#[test]
fn a_stream_is_a_function_of_its_seed_and_its_path() {
    let first = |seed, path| Stream::keyed(seed, path).next_u64();
    assert_eq!(first(1, "device/17"), first(1, "device/17"));
    let names = [
        first(1, "device/17"),
        first(2, "device/17"),
        first(1, "device/18"),
        first(1, "device/1/7"),
        first(1, ""),
    ];
    for (index, name) in names.iter().enumerate() {
        assert!(!names[..index].contains(name));
    }
}

#[test]
fn parts_are_joined_by_slashes() {
    let whole = Stream::keyed(9, "device/17/availability/day/3").next_u64();
    assert_eq!(Stream::keyed_parts(9, &[&"device", &17, &"availability", &"day", &3]).next_u64(), whole);
    assert_eq!(Stream::keyed_parts(9, &[&"device/17", &"availability/day", &3u64]).next_u64(), whole);
}

#[test]
fn the_variates_have_their_moments() {
    assert_moments(&many(Stream::uniform, "uniform"), 0.5, 1.0 / 12.0);
    assert_moments(&many(Stream::uniform_open, "open"), 0.5, 1.0 / 12.0);
    assert_moments(&many(|s| s.range(-3.0, 9.0), "range"), 3.0, 12.0);
    assert_moments(&many(Stream::normal, "normal"), 0.0, 1.0);
    assert_moments(&many(Stream::exponential, "exponential"), 1.0, 1.0);
    for shape in [0.2, 0.9, 1.0, 1.5, 30.0] {
        assert_moments(&many(|s| s.gamma(shape), &format!("gamma/{shape}")), shape, shape);
    }
}

/// The tails are drawn anew here, so their mass and their shape are checked apart.
#[test]
fn the_tails_beyond_the_ziggurat_are_those_of_the_distributions() {
    let mut stream = Stream::keyed(1, "tails");
    const DRAWS: usize = 4_000_000;
    let normal: Vec<f64> = (0..DRAWS).map(|_| stream.normal()).filter(|x| x.abs() > NORMAL_TAIL).collect();
    let expected = 2.0 * crate::normal::cdf(-NORMAL_TAIL) * DRAWS as f64;
    assert!(
        (normal.len() as f64 - expected).abs() < 5.0 * libm::sqrt(expected),
        "{} not {expected}",
        normal.len()
    );
    let mean = normal.iter().map(|x| x.abs()).sum::<f64>() / normal.len() as f64;
    let theory = crate::normal::density(NORMAL_TAIL) / crate::normal::cdf(-NORMAL_TAIL);
    assert!((mean - theory).abs() < 5.0 * 0.25 / libm::sqrt(expected), "tail mean {mean}, theory {theory}");

    let waits: Vec<f64> =
        (0..DRAWS).map(|_| stream.exponential()).filter(|x| *x > EXPONENTIAL_TAIL).collect();
    let expected = libm::exp(-EXPONENTIAL_TAIL) * DRAWS as f64;
    assert!(
        (waits.len() as f64 - expected).abs() < 5.0 * libm::sqrt(expected),
        "{} not {expected}",
        waits.len()
    );
    let mean = waits.iter().sum::<f64>() / waits.len() as f64 - EXPONENTIAL_TAIL;
    assert!((mean - 1.0).abs() < 5.0 / libm::sqrt(expected), "tail mean {mean} beyond its start");
}

#[test]
fn the_logarithm_of_a_gamma_variate_is_finite_where_the_variate_underflows() {
    let mut stream = Stream::keyed(1, "tiny");
    assert!((0..10_000).all(|_| stream.ln_gamma(1e-4).is_finite()));
    assert!((0..100).any(|_| stream.gamma(1e-4) == 0.0));
}

#[test]
fn integers_below_a_bound_are_unbiased() {
    let mut stream = Stream::keyed(1, "below");
    let mut counts = [0u32; 7];
    (0..70_000).for_each(|_| counts[stream.below(7) as usize] += 1);
    let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
    assert!(chi_square < 22.46, "χ² = {chi_square} with 6 degrees of freedom (99.9 % lie below 22.46)");
    // A bound of 2/3 of the range, where a biased method doubles the lower half's share.
    let bound = u64::MAX / 3 * 2;
    let low = (0..30_000).filter(|_| stream.below(bound) < bound / 2).count();
    assert!((14_500..15_500).contains(&low), "{low} of 30,000 in the lower half");
    assert_eq!(stream.below(1), 0);
}

#[test]
fn every_permutation_is_equally_likely() {
    let mut stream = Stream::keyed(1, "shuffle");
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..24_000 {
        let mut items = [0, 1, 2, 3];
        stream.shuffle(&mut items);
        *counts.entry(items).or_insert(0u32) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|count| (840..1_160).contains(count)), "{counts:?}");
}

#[test]
fn sampled_indices_are_distinct_and_every_ordered_sample_is_equally_likely() {
    let mut stream = Stream::keyed(1, "indices");
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..20_000 {
        *counts.entry(stream.sample_indices(5, 2)).or_insert(0u32) += 1;
    }
    assert_eq!(counts.len(), 20, "ordered pairs of distinct integers below 5");
    assert!(counts.values().all(|count| (840..1_160).contains(count)), "{counts:?}");

    let huge = stream.sample_indices(u64::MAX, 1_000);
    assert_eq!(huge.iter().collect::<BTreeSet<_>>().len(), 1_000);
    let mut all = stream.sample_indices(10, 10);
    all.sort_unstable();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
    assert_eq!(stream.sample_indices(0, 0), []);
}

#[test]
fn weights_decide_how_often_an_index_is_drawn() {
    let mut stream = Stream::keyed(1, "weighted");
    let mut counts = [0u32; 4];
    (0..40_000).for_each(|_| counts[stream.weighted(&[1.0, 0.0, 2.0, 1.0])] += 1);
    assert_eq!(counts[1], 0);
    assert!((9_500..10_500).contains(&counts[0]) && (19_400..20_600).contains(&counts[2]), "{counts:?}");
    assert_eq!(stream.choice::<u8>(&[]), None);
    assert!(std::panic::catch_unwind(|| Stream::keyed(1, "").weighted(&[0.0])).is_err());
}

/// These values pin the streams across machines and releases. If this test fails, every recorded digest is void: do not
/// update the numbers, find what changed.
#[test]
fn the_streams_are_pinned() {
    let mut stream = Stream::keyed(42, "golden/stream");
    assert_eq!(
        [stream.next_u64(), stream.next_u64()],
        [18_264_349_162_187_033_234, 17_469_471_773_784_526_028]
    );
    assert_eq!(stream.uniform(), 0.158_542_479_944_724_04);
    assert_eq!(stream.uniform_open(), 0.184_737_753_159_906_7);
    assert_eq!(stream.range(-1.0, 1.0), -0.416_511_712_484_445_74);
    assert_eq!(stream.below(1_000_000), 562_246);
    assert_eq!([stream.normal(), stream.normal()], [-1.618_762_153_530_438_8, 2.609_565_552_505_296]);
    assert_eq!(
        [stream.exponential(), stream.exponential()],
        [0.104_045_473_688_034_6, 0.359_071_470_125_749_25]
    );
    let gammas =
        [1.193_148_165_697_836_8e-89, 0.186_715_899_021_479_28, 2.114_631_390_593_706, 2.136_627_948_878_693];
    assert_eq!([0.01, 0.3, 1.0, 4.5].map(|shape| stream.gamma(shape)), gammas);
    let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
    stream.shuffle(&mut items);
    assert_eq!(items, [1, 2, 5, 7, 0, 4, 6, 3]);
    assert_eq!(stream.sample_indices(1_000_000, 4), [476_223, 41_914, 293_635, 653_859]);
    assert_eq!(stream.choice(&["a", "b", "c", "d"]), Some(&"c"));
    assert_eq!([0; 5].map(|_| stream.weighted(&[1.0, 2.0, 3.0])), [1, 1, 2, 1, 2]);
}

#[test]
fn the_tails_are_pinned() {
    let mut stream = Stream::keyed(42, "golden/tails");
    let normal = (0..).map(|_| stream.normal()).find(|x| x.abs() > NORMAL_TAIL);
    assert_eq!(normal, Some(3.674_656_620_154_706));
    let wait = (0..).map(|_| stream.exponential()).find(|x| *x > EXPONENTIAL_TAIL);
    assert_eq!(wait, Some(8.133_457_015_637_13));
}
