//! Dropout whose masks come from keyed streams, so that a job drops the same values wherever it runs.

use burn::tensor::{Tensor, TensorData};
use cotune_kernel::stream::Stream;

/// Which values are dropped: a rate and the stream that decides.
#[derive(Clone, Debug)]
pub(crate) struct Dropout {
    /// Share of the values that are set to zero, in (0, 1).
    pub rate: f64,
    /// Seed of the stream.
    pub seed: u64,
    /// Path of the stream; a map's name is appended to it.
    pub path: String,
}

impl Dropout {
    /// The same rate on a stream of its own for the map `name`.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}", self.path), ..*self }
    }

    /// 0 where a value is dropped, `1 / (1 − rate)` where it is kept (inverted dropout; Srivastava et al. 2014).
    fn mask(&self, values: usize) -> Vec<f32> {
        let mut stream = Stream::keyed(self.seed, &self.path);
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        (0..values).map(|_| if stream.chance(self.rate) { 0.0 } else { kept }).collect()
    }
}

/// `x · mask`, `[rows, width]`.
pub(crate) fn dropout(x: Tensor<2>, rule: &Dropout) -> Tensor<2> {
    let [rows, width] = x.dims();
    let mask = TensorData::new(rule.mask(rows * width), [rows, width]);
    let mask = Tensor::from_data(mask, &x.device().inner());
    x * mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_dropped_values_is_the_rate_and_the_mean_stays() {
        let rule = Dropout { rate: 0.3, seed: 1, path: "dropout".to_string() };
        let mask = rule.mask(100_000);
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64 / 1e5;
        let mean = mask.iter().map(|m| f64::from(*m)).sum::<f64>() / 1e5;
        // Five standard deviations of a binomial share.
        assert!((dropped - 0.3).abs() < 5.0 * (0.3_f64 * 0.7 / 1e5).sqrt(), "{dropped}");
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn every_map_has_a_mask_of_its_own_and_the_same_map_the_same_mask() {
        let rule = Dropout { rate: 0.5, seed: 1, path: "dropout".to_string() };
        assert_eq!(rule.at("blocks.0.q").mask(64), rule.at("blocks.0.q").mask(64));
        assert_ne!(rule.at("blocks.0.q").mask(64), rule.at("blocks.1.q").mask(64));
    }
}
