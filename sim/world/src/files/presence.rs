//! When measured devices were there, looped.
//!
//! | layout | file |
//! |---|---|
//! | FedScale's, as JSON | `presence/fedscale.rs` |
//! | a log `device, t_s, online`, as CSV | `presence/csv.rs` |
//! | the same log, as Parquet | `presence/parquet.rs` |

mod csv;
mod fedscale;
mod log;
mod parquet;

use cotune_kernel::{Stream, VirtualDuration, VirtualTime};

use super::BadRow;

/// The presence of measured devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    devices: Vec<Track>,
}

/// One measured device: it is there from every even entry of `changes` to the next.
#[derive(Clone, Debug, PartialEq)]
struct Track {
    /// \[ns\]; strictly rising, below `length`.
    changes: Vec<u64>,
    /// Length of the loop \[ns\].
    length: u64,
}

impl Presence {
    /// Reads a file of any layout; its content says which.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self, BadRow> {
        if parquet::is(&bytes) {
            return Self::of(parquet::read(bytes)?);
        }
        let text = String::from_utf8(bytes).map_err(|_| BadRow::whole("it is neither text nor Parquet"))?;
        Self::of(if text.trim_start().starts_with('{') { fedscale::read(&text)? } else { csv::read(&text)? })
    }

    fn of(devices: Vec<Track>) -> Result<Self, BadRow> {
        if devices.is_empty() {
            return Err(BadRow::whole("there are no devices in it"));
        }
        Ok(Self { devices })
    }

    /// Measured devices.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Whether a device of the fleet is there at `t`, and when that changes next. It behaves like the measured device
    /// that `device/17/availability/trace` draws.
    pub(crate) fn state(&self, seed: u64, device: u32, t: VirtualTime) -> (bool, Option<VirtualTime>) {
        let mut stream = Stream::keyed_parts(seed, &[&"device", &device, &"availability/trace"]);
        self.devices[stream.below(self.devices.len() as u64) as usize].state(t)
    }

    /// The fraction of time there, over all measured devices.
    pub fn share_online(&self) -> f64 {
        self.devices.iter().map(Track::share).sum::<f64>() / self.devices.len() as f64
    }
}

impl Track {
    /// From intervals \[s\], ascending, that do not touch.
    fn new(intervals: &[(f64, f64)], length: f64) -> Self {
        let nanos = |seconds: f64| VirtualDuration::from_secs_f64(seconds).as_nanos();
        let length = nanos(length).max(1);
        let mut changes: Vec<u64> = Vec::with_capacity(2 * intervals.len());
        for (from, to) in intervals {
            let (from, to) = (nanos(*from).min(length), nanos(*to).min(length));
            match changes.last() {
                _ if from >= to => {}
                // It left and came back in the same nanosecond.
                Some(last) if *last == from => {
                    changes.pop();
                    changes.push(to);
                }
                _ => changes.extend([from, to]),
            }
        }
        Self { changes, length }
    }

    fn state(&self, t: VirtualTime) -> (bool, Option<VirtualTime>) {
        let now = t.as_nanos() % self.length;
        let passed = self.changes.partition_point(|at| *at <= now);
        let online = passed % 2 == 1;
        // A stay that lasts to the loop's end may go on at its start.
        let joined = self.changes.first() == Some(&0) && self.changes.last() == Some(&self.length);
        if self.changes.is_empty() || joined && self.changes.len() == 2 {
            return (online, None);
        }
        let next = match self.changes.get(passed) {
            Some(at) if *at == self.length && joined => self.length + self.changes[1],
            Some(at) => *at,
            None => self.length + self.changes[0],
        };
        let next = t.as_nanos().checked_add(next - now).map(VirtualTime::from_nanos);
        (online, next)
    }

    fn share(&self) -> f64 {
        let there: u64 = self.changes.chunks_exact(2).map(|stay| stay[1] - stay[0]).sum();
        there as f64 / self.length as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Presence, BadRow> {
        Presence::read(text.as_bytes().to_vec())
    }

    fn at(seconds: f64) -> VirtualTime {
        VirtualTime::from_secs_f64(seconds)
    }

    fn track(presence: &Presence, index: usize, seconds: f64) -> (bool, Option<f64>) {
        let (online, next) = presence.devices[index].state(at(seconds));
        (online, next.map(VirtualTime::as_secs_f64))
    }

    #[test]
    fn fedscales_layout_is_played_and_looped() {
        let presence = parsed(
            r#"{"0": {"duration": 60, "active": [10, 50], "inactive": [30, 90], "finish_time": 100, "model": "m"},
                "1": {"active": [], "inactive": [], "finish_time": 100}}"#,
        )
        .unwrap();
        for (t, seen) in [
            (0.0, (false, Some(10.0))),
            (10.0, (true, Some(30.0))),
            (29.0, (true, Some(30.0))),
            (30.0, (false, Some(50.0))),
            (95.0, (false, Some(110.0))),
            (115.0, (true, Some(130.0))),
        ] {
            assert_eq!(track(&presence, 0, t), seen, "at {t} s");
        }
        assert_eq!(track(&presence, 1, 3.0), (false, None));
        assert!((presence.share_online() - 0.3).abs() < 1e-12);
    }

    #[test]
    fn a_stay_across_the_end_of_the_loop_is_one_stay() {
        let presence = parsed("device,t_s,online\n4,0,1\n4,20,0\n4,70,1\n9,0,1\n9,100,1\n").unwrap();
        assert_eq!(track(&presence, 0, 10.0), (true, Some(20.0)));
        assert_eq!(track(&presence, 0, 80.0), (true, Some(120.0)));
        assert_eq!(track(&presence, 0, 100.0), (true, Some(120.0)));
        assert_eq!(track(&presence, 1, 55.0), (true, None), "it never leaves");
    }

    #[test]
    fn devices_of_the_fleet_are_dealt_measured_ones() {
        let presence = parsed("0,0,1\n0,50,0\n1,50,1\n1,100,0\n").unwrap();
        let early = (0..2_000).filter(|device| presence.state(1, *device, at(10.0)).0).count();
        assert!((900..1_100).contains(&early), "{early} of 2,000 behave like the first of two");
        for device in 0..50 {
            assert_eq!(presence.state(1, device, at(10.0)).0, presence.state(1, device, at(1_010.0)).0);
        }
    }

    #[test]
    fn bad_rows_are_named() {
        let problem = |text| parsed(text).unwrap_err();
        assert_eq!(problem("device,t_s,online\n0,1\n"), BadRow::at(1, "`0,1` is not device,t_s,online"));
        assert_eq!(problem("0,5,1\n0,4,0\n"), BadRow::at(1, "4 s is before the device's last line"));
        assert_eq!(problem("0,5,yes\n"), BadRow::at(0, "`yes` is neither 0 nor 1"));
        assert_eq!(
            problem("0,0,1\n"),
            BadRow::whole("it ends when it begins: the last time is the length of the loop")
        );
        assert_eq!(problem("{\n\"0\": 3}").line, Some(2));
        let late = r#"{"7": {"active": [1], "inactive": [3], "finish_time": 2}}"#;
        assert_eq!(problem(late), BadRow::whole("the device `7` is still there after finish_time"));
    }
}
