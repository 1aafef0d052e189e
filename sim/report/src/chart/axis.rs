//! From values to pixels, with ticks at round numbers.

use crate::format;

/// A linear axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    /// An axis over `low..high` that ends at round numbers, drawn from pixel `from` to pixel `to`, with about
    /// `wanted` ticks.
    pub fn nice(low: f64, high: f64, (from, to): (f64, f64), wanted: usize) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        let step = nice_step((high - low) / wanted.max(1) as f64);
        let ends = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        Self { low: ends.0, high: ends.1, from, to, step }
    }

    /// An axis that ends exactly at `low` and `high`, with ticks at round numbers between.
    pub fn tight(low: f64, high: f64, (from, to): (f64, f64), wanted: usize) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, from, to, step: nice_step((high - low) / wanted.max(1) as f64) }
    }

    /// The same axis with ticks at whole numbers only.
    pub fn whole(mut self) -> Self {
        self.step = self.step.max(1.0);
        self
    }

    /// The pixel of a value; values outside are drawn at the edge.
    pub fn at(&self, value: f64) -> f64 {
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.from + part * (self.to - self.from)
    }

    /// Values and labels of the ticks.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let decimals = usize::try_from((-self.step.log10()).ceil() as i64).unwrap_or(0).min(6);
        let first = (self.low / self.step - 1e-9).ceil();
        (0..100)
            .map(|index| (first + f64::from(index)) * self.step)
            .take_while(|value| *value <= self.high + self.step * 1e-9)
            .map(|value| (value, label(value, decimals)))
            .collect()
    }
}

fn label(value: f64, decimals: usize) -> String {
    if decimals == 0 {
        format::count(value)
    } else if value < 0.0 {
        format!("−{:.decimals$}", -value)
    } else {
        format!("{value:.decimals$}")
    }
}

/// The smallest of 1, 2, 5 and their tenfolds that is at least `raw` (Heckbert, "Nice numbers for graph labels",
/// Graphics Gems 1990).
fn nice_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let mantissa = raw / power;
    let nice = [1.0, 2.0, 5.0].into_iter().find(|nice| mantissa <= nice * (1.0 + 1e-9));
    nice.unwrap_or(10.0) * power
}

/// The unit in which a span of virtual time has two or three digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeUnit {
    /// Its length \[s\].
    pub seconds: f64,
    /// Its name.
    pub name: &'static str,
}

impl TimeUnit {
    /// The unit for a span of so many seconds.
    pub fn of(span: f64) -> Self {
        let (seconds, name) = match span {
            _ if span < 180.0 => (1.0, "s"),
            _ if span < 3.0 * 3_600.0 => (60.0, "min"),
            _ if span < 5.0 * 86_400.0 => (3_600.0, "h"),
            _ => (86_400.0, "d"),
        };
        Self { seconds, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> String {
        axis.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_stand_at_round_numbers() {
        assert_eq!(labels(&Axis::nice(12.3, 67.9, (0.0, 1.0), 5)), "0 20 40 60 80");
        assert_eq!(labels(&Axis::nice(0.0, 0.3, (0.0, 1.0), 4)), "0.0 0.1 0.2 0.3");
        assert_eq!(labels(&Axis::nice(-3.0, 2.0, (0.0, 1.0), 5)), "−3 −2 −1 0 1 2");
        assert_eq!(labels(&Axis::tight(0.0, 36.4, (0.0, 1.0), 6)), "0 10 20 30");
        assert_eq!(labels(&Axis::tight(0.0, 2.0, (0.0, 1.0), 8).whole()), "0 1 2");
    }

    #[test]
    fn an_axis_without_extent_still_has_a_place_for_its_value() {
        let axis = Axis::nice(5.0, 5.0, (0.0, 100.0), 4);
        assert_eq!(axis.at(5.0), 50.0);
        assert!(Axis::tight(0.0, 0.0, (0.0, 1.0), 3).at(0.0).is_finite());
    }
}
