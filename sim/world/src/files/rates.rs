//! Bandwidth over time: lines `seconds Mbit/s`, separated by blanks or a comma, as in the traces of Pensieve (Mao,
//! Netravali & Alizadeh 2017), looped.
//!
//! A line's rate holds from its time to the next line's. The trace begins at its first line, and its last line holds
//! for the mean distance between lines; then it begins again.

use cotune_kernel::{Stream, VirtualDuration, VirtualTime};

use super::{BadRow, number, rows};

/// Bytes per second of one Mbit/s.
const MEGABIT: f64 = 125_000.0;

/// A looped trace of bandwidth.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// When a rate begins to hold \[ns after the trace's start\]; strictly rising from 0.
    from: Vec<u64>,
    /// The rates \[bytes/s\].
    rate: Vec<f64>,
    /// Length of the loop \[ns\].
    length: u64,
}

impl Rates {
    pub(super) fn parse(text: &str) -> Result<Self, BadRow> {
        let (mut from, mut rate): (Vec<u64>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut first = None;
        for (index, line) in rows(text) {
            let cells: Vec<&str> =
                line.split(|c: char| c == ',' || c.is_whitespace()).filter(|cell| !cell.is_empty()).collect();
            let [time, megabits] = cells[..] else {
                return Err(BadRow::at(
                    index,
                    format!("`{line}` is not a time in seconds and a rate in Mbit/s"),
                ));
            };
            let (time, megabits) = (number(index, time)?, number(index, megabits)?);
            if megabits < 0.0 {
                return Err(BadRow::at(index, format!("a rate of {megabits} Mbit/s")));
            }
            let since = time - *first.get_or_insert(time);
            let at = VirtualDuration::from_secs_f64(since).as_nanos();
            if since < 0.0 || from.last().is_some_and(|last| at <= *last) {
                return Err(BadRow::at(
                    index,
                    format!("the time {time} s is not after that of the line before: sort the lines by time"),
                ));
            }
            from.push(at);
            rate.push(megabits * MEGABIT);
        }
        let [.., last] = from[..] else { return Err(BadRow::whole("there are no rates in it")) };
        if rate.iter().all(|rate| *rate == 0.0) {
            return Err(BadRow::whole("its rate is always 0, so that no transfer would ever end"));
        }
        let step = if from.len() > 1 { last / (from.len() as u64 - 1) } else { 1_000_000_000 };
        Ok(Self { length: last + step.max(1), from, rate })
    }

    /// How far into the loop a device is when the simulation starts \[ns\]; `direction` is `down` or `up`.
    pub fn shift(&self, seed: u64, device: u32, direction: &dyn std::fmt::Display) -> u64 {
        Stream::keyed_parts(seed, &[&"device", &device, &"link/trace", direction]).below(self.length)
    }

    /// The rate \[bytes/s\] at `t` of a device that began `shift` into the loop, and when it changes.
    pub fn at(&self, shift: u64, t: VirtualTime) -> (f64, VirtualTime) {
        let position = ((u128::from(t.as_nanos()) + u128::from(shift)) % u128::from(self.length)) as u64;
        let index = self.from.partition_point(|from| *from <= position) - 1;
        let until = self.from.get(index + 1).copied().unwrap_or(self.length);
        (self.rate[index], t.saturating_add(VirtualDuration::from_nanos(until - position)))
    }

    /// The mean rate over the loop \[bytes/s\].
    pub fn mean(&self) -> f64 {
        let ends = self.from[1..].iter().chain([&self.length]);
        let parts = self.from.iter().zip(ends).zip(&self.rate);
        parts.map(|((from, to), rate)| (to - from) as f64 * rate).sum::<f64>() / self.length as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> VirtualTime {
        VirtualTime::from_secs_f64(seconds)
    }

    #[test]
    fn a_rate_holds_until_the_next_line_and_the_trace_is_looped() {
        let rates = Rates::parse("10\t8\n11\t16\n14,4\n").unwrap();
        // Two lines are 4 s apart, so the last one holds for 2 s, and the loop has 6 s.
        for (t, megabytes, until) in [
            (0.0, 1.0, 1.0),
            (0.5, 1.0, 1.0),
            (1.0, 2.0, 4.0),
            (5.9, 0.5, 6.0),
            (6.0, 1.0, 7.0),
            (61.5, 2.0, 64.0),
        ] {
            assert_eq!(rates.at(0, at(t)), (megabytes * 1e6, at(until)), "at {t} s");
        }
        assert_eq!(rates.at(4_000_000_000, at(0.0)), (0.5e6, at(2.0)));
        assert!((rates.mean() - (1.0 + 3.0 * 2.0 + 2.0 * 0.5) / 6.0 * 1e6).abs() < 1e-6);
    }

    #[test]
    fn bad_rows_are_named() {
        let problem = |text| Rates::parse(text).unwrap_err();
        assert_eq!(
            problem("0 1\n1 2 3\n"),
            BadRow::at(1, "`1 2 3` is not a time in seconds and a rate in Mbit/s")
        );
        assert_eq!(
            problem("0 1\n0 2\n"),
            BadRow::at(1, "the time 0 s is not after that of the line before: sort the lines by time")
        );
        assert_eq!(problem("0 1\n1 -2\n"), BadRow::at(1, "a rate of -2 Mbit/s"));
        assert_eq!(problem(""), BadRow::whole("there are no rates in it"));
        assert!(problem("0 0\n1 0\n").problem.contains("always 0"));
    }
}
