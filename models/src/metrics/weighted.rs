//! A mean that can be merged.

/// A sum and the weight it was taken over: the mean is their quotient, and two of them add up to the mean
/// over both. Source: `Weighted` of apple/pfl-research, `pfl/metrics.py`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Weighted {
    /// Sum of value × weight.
    pub sum: f64,
    /// Sum of weights.
    pub weight: f64,
}

impl Weighted {
    /// One value of weight `weight`.
    pub fn new(value: f64, weight: f64) -> Self {
        Self { sum: value * weight, weight }
    }

    /// Adds a value of weight 1.
    pub fn add(&mut self, value: f64) {
        self.merge(Self::new(value, 1.0));
    }

    /// Adds another mean's sum and weight. Floating-point sums depend on order: merge in a fixed one.
    pub fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.weight += other.weight;
    }

    /// Sum over weight; none where nothing was weighed.
    pub fn mean(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

impl FromIterator<f64> for Weighted {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut total = Self::default();
        for value in values {
            total.add(value);
        }
        total
    }
}

impl std::iter::Sum for Weighted {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        let mut total = Self::default();
        for part in parts {
            total.merge(part);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_means_are_the_mean_over_both() {
        let halves: [Weighted; 2] = [[1.0, 2.0].into_iter().collect(), [6.0].into_iter().collect()];
        assert_eq!(halves.into_iter().sum::<Weighted>().mean(), Some(3.0));
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(Weighted::default().mean(), None);
    }
}
