use super::*;

/// Every kind once, parameters chosen so that the first four moments exist comfortably.
fn kinds() -> Vec<Distribution> {
    vec![
        Distribution::Constant(3.5),
        Distribution::Uniform { low: -1.0, high: 4.0 },
        Distribution::Normal { mean: 2.0, sd: 3.0 },
        Distribution::TruncatedNormal { mean: 1.0, sd: 2.0 },
        Distribution::lognormal_p95(900.0, 1_600.0).unwrap(),
        Distribution::lognormal_p5(80.0, 8.0).unwrap(),
        Distribution::Exponential { mean: 50.0 },
        Distribution::Weibull { shape: 0.59, scale: 30.0 },
        Distribution::empirical(vec![4.0, 1.0, 9.0, 1.0]).unwrap(),
        Distribution::Discrete { values: vec![1.0, 2.0, 10.0], weights: vec![3.0, 0.0, 1.0] },
    ]
}

fn samples(distribution: &Distribution, n: usize) -> Vec<f64> {
    let mut stream = Stream::keyed_parts(1, &[&"samples", &distribution.name()]);
    (0..n).map(|_| distribution.sample(&mut stream)).collect()
}

#[test]
fn the_median_and_the_percentile_that_were_asked_for_come_out() {
    let cases = [
        (Distribution::lognormal_p95(900.0, 1_600.0).unwrap(), 0.95, 900.0, 1_600.0),
        (Distribution::lognormal_p5(80.0, 8.0).unwrap(), 0.05, 80.0, 8.0),
    ];
    for (distribution, share, median, percentile) in cases {
        assert!((distribution.quantile(0.5) / median - 1.0).abs() < 1e-12);
        assert!((distribution.quantile(share) / percentile - 1.0).abs() < 1e-12);
        let mut drawn = samples(&distribution, 200_001);
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[100_000] / median - 1.0).abs() < 0.02);
        assert!((drawn[(200_001.0 * share) as usize] / percentile - 1.0).abs() < 0.03);
    }
}

#[test]
fn the_mean_of_many_samples_is_the_mean_within_its_error() {
    for distribution in kinds() {
        let drawn = samples(&distribution, 200_000);
        let n = drawn.len() as f64;
        let mean = drawn.iter().sum::<f64>() / n;
        let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let error = 5.0 * libm::sqrt(variance / n) + 1e-9;
        assert!(
            (mean - distribution.mean()).abs() < error,
            "{distribution:?}: {mean}, not {}",
            distribution.mean()
        );
    }
}

/// Kolmogorov-Smirnov: the share of samples at or below the quantile of `p` is `p` within 1.95/√n (α = 0.001), for kinds
/// with a continuous distribution function.
#[test]
fn samples_fall_below_each_quantile_as_often_as_they_should() {
    for distribution in kinds() {
        if matches!(distribution.name(), "constant" | "empirical" | "discrete") {
            continue;
        }
        let drawn = samples(&distribution, 100_000);
        for percent in 1..100 {
            let p = f64::from(percent) / 100.0;
            let at = distribution.quantile(p);
            let share = drawn.iter().filter(|x| **x <= at).count() as f64 / drawn.len() as f64;
            assert!(
                (share - p).abs() < 1.95 / libm::sqrt(100_000.0),
                "{distribution:?}: {share} below the p{percent}"
            );
        }
    }
}

#[test]
fn listed_values_have_the_quantiles_of_their_shares() {
    let empirical = Distribution::empirical(vec![4.0, 1.0, 9.0, 1.0]).unwrap();
    assert_eq!([0.0, 0.5, 0.51, 0.75, 1.0].map(|p| empirical.quantile(p)), [1.0, 1.0, 4.0, 4.0, 9.0]);
    let discrete = Distribution::Discrete { values: vec![1.0, 2.0, 10.0], weights: vec![3.0, 0.0, 1.0] };
    assert_eq!([0.0, 0.75, 0.76, 1.0].map(|p| discrete.quantile(p)), [1.0, 1.0, 10.0, 10.0]);
    assert_eq!(discrete.mean(), 3.25);
}

#[test]
fn a_truncated_normal_is_never_negative() {
    let distribution = Distribution::TruncatedNormal { mean: 0.0, sd: 1.0 };
    assert!(samples(&distribution, 10_000).into_iter().all(|x| x >= 0.0));
    assert!((distribution.mean() - libm::sqrt(2.0 / std::f64::consts::PI)).abs() < 1e-12, "half-normal");
    assert_eq!(distribution.quantile(0.0), 0.0);
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let refusal = |distribution: Distribution| distribution.validate().unwrap_err().to_string();
    assert_eq!(
        refusal(Distribution::Exponential { mean: -1.0 }),
        "the mean of the exponential distribution is -1; it must be finite and not negative"
    );
    assert_eq!(
        Distribution::lognormal_p95(900.0, 160.0).unwrap_err().to_string(),
        "the p95 160 of a lognormal distribution lies on the wrong side of its median 900"
    );
    for bad in [
        Distribution::Constant(f64::NAN),
        Distribution::Uniform { low: 2.0, high: 1.0 },
        Distribution::Normal { mean: 0.0, sd: f64::INFINITY },
        Distribution::TruncatedNormal { mean: -1.0, sd: 1.0 },
        Distribution::Weibull { shape: 0.0, scale: 1.0 },
        Distribution::Empirical { values: vec![] },
        Distribution::Empirical { values: vec![2.0, 1.0] },
        Distribution::Discrete { values: vec![1.0], weights: vec![0.0] },
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
    for (median, p5) in [(0.0, 0.0), (1.0, 2.0), (1.0, f64::NAN), (f64::NAN, 1.0), (1.0, 0.0), (1.0, -1.0)] {
        assert!(Distribution::lognormal_p5(median, p5).is_err(), "median {median}, p5 {p5}");
        assert!(Distribution::lognormal_p95(p5, median).is_err(), "median {p5}, p95 {median}");
    }
    assert!(kinds().iter().all(|distribution| distribution.validate().is_ok()));
}

#[test]
fn a_distribution_survives_being_stored() {
    for distribution in kinds() {
        let bytes = bincode::serde::encode_to_vec(&distribution, bincode::config::standard()).unwrap();
        let (read, _): (Distribution, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        assert_eq!(read, distribution);
    }
}

#[test]
fn a_score_leads_to_its_quantile() {
    for distribution in kinds() {
        for score in [-2.0, -0.5, 0.0, 1.3] {
            let expected = distribution.quantile(normal::cdf(score));
            let at = distribution.at_score(score);
            assert!(
                (at - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                "{distribution:?} at {score}: {at}"
            );
        }
    }
}

/// Every kind from a stream of its own, so that a change of one is seen as a change of that one.
#[test]
fn the_stream_of_every_kind_is_pinned() {
    let drawn: Vec<(&str, [f64; 3])> = kinds()
        .iter()
        .map(|distribution| {
            let mut stream = Stream::keyed_parts(1, &[&"golden/distribution", &distribution.name()]);
            (distribution.name(), std::array::from_fn(|_| distribution.sample(&mut stream)))
        })
        .collect();
    assert_eq!(drawn, GOLDEN);
}

const GOLDEN: [(&str, [f64; 3]); 10] = [
    ("constant", [3.5, 3.5, 3.5]),
    ("uniform", [0.940_822_542_850_442_2, 1.759_044_768_238_871, 0.007_666_327_076_012_891]),
    ("normal", [4.044_984_711_003_198, 6.953_067_520_667_085, -0.036_418_198_727_960_59]),
    ("truncated-normal", [2.373_743_111_088_179, 2.060_341_654_208_702, 2.078_814_170_615_136_6]),
    ("lognormal", [854.813_074_942_684_8, 662.563_373_773_024_6, 1_126.271_185_290_458]),
    ("lognormal", [65.096_958_215_339_92, 23.483_820_554_341_502, 196.283_088_197_687_45]),
    ("exponential", [61.679_748_562_508_74, 3.412_915_251_193_005, 38.914_742_070_718_27]),
    ("weibull", [33.381_409_691_121_945, 59.759_395_304_051_5, 28.206_387_186_308_195]),
    ("empirical", [1.0, 9.0, 1.0]),
    ("discrete", [1.0, 1.0, 1.0]),
];

#[test]
fn the_samples_are_pinned() {
    let mut stream = Stream::keyed(1, "golden/distribution");
    let drawn: Vec<f64> = kinds().iter().map(|distribution| distribution.sample(&mut stream)).collect();
    let expected = [
        3.5,
        1.490_922_735_882_846_5,
        2.738_712_827_746_509,
        2.519_904_557_111_730_4,
        1_078.176_915_407_469,
        144.136_976_699_217_63,
        7.745_980_851_097_357,
        20.061_367_683_446_644,
        1.0,
        10.0,
    ];
    assert_eq!(drawn, expected);
}
