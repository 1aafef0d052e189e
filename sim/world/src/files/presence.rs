//! When measured devices were there, looped.
//!
//! Two layouts. FedScale's (Lai et al. 2022; its pickle as JSON): an object whose values have `active` and `inactive`,
//! lists of seconds at which a device came and went, and `finish_time`, after which they begin again. CSV: lines
//! `device,t_s,online` with 0 or 1, in the order of time for every device; the loop ends with the file's last time, and
//! a device is offline before its first line.

use std::collections::BTreeMap;

use cotune_kernel::{Stream, VirtualDuration, VirtualTime};
use serde::Deserialize;

use super::{BadRow, number, rows};

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

/// FedScale's record of one device \[s\].
#[derive(Deserialize)]
struct Record {
    active: Vec<f64>,
    inactive: Vec<f64>,
    finish_time: f64,
}

impl Presence {
    pub(super) fn parse(text: &str) -> Result<Self, BadRow> {
        let devices = if text.trim_start().starts_with('{') { fedscale(text)? } else { csv(text)? };
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

fn fedscale(text: &str) -> Result<Vec<Track>, BadRow> {
    let records: BTreeMap<String, Record> = serde_json::from_str(text)
        .map_err(|error| BadRow { line: Some(error.line()), problem: error.to_string() })?;
    let track = |(device, record): (&String, &Record)| {
        let Record { active, inactive, finish_time } = record;
        let wrong = |what: &str| BadRow::whole(format!("the device `{device}` {what}"));
        if active.len() != inactive.len() {
            return Err(wrong("comes and goes a different number of times"));
        }
        let stays: Vec<(f64, f64)> = active.iter().copied().zip(inactive.iter().copied()).collect();
        let ordered = stays.iter().all(|(from, to)| 0.0 <= *from && from <= to)
            && stays.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        if !ordered {
            return Err(wrong("does not come and go in the order of time"));
        }
        if !(*finish_time > 0.0 && stays.last().is_none_or(|(_, to)| to <= finish_time)) {
            return Err(wrong("is still there after finish_time"));
        }
        Ok(Track::new(&stays, *finish_time))
    };
    // In the order of their numbers, where they have numbers: 2 before 10.
    let mut entries: Vec<_> = records.iter().collect();
    entries.sort_by_key(|(device, _)| (device.parse::<u64>().unwrap_or(u64::MAX), device.as_str()));
    entries.into_iter().map(track).collect()
}

fn csv(text: &str) -> Result<Vec<Track>, BadRow> {
    let mut devices: BTreeMap<u64, Vec<(f64, bool)>> = BTreeMap::new();
    let mut end: f64 = 0.0;
    for (place, (index, line)) in rows(text).enumerate() {
        if place == 0 && line.split(',').map(str::trim).eq(["device", "t_s", "online"]) {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [device, time, online] = cells[..] else {
            return Err(BadRow::at(index, format!("`{line}` is not device,t_s,online")));
        };
        let device: u64 = device
            .parse()
            .map_err(|_| BadRow::at(index, format!("`{device}` is not the number of a device")))?;
        let time = number(index, time)?;
        let online = match online {
            "1" | "true" => true,
            "0" | "false" => false,
            other => return Err(BadRow::at(index, format!("`{other}` is neither 0 nor 1"))),
        };
        let changes = devices.entry(device).or_default();
        if time < 0.0 || changes.last().is_some_and(|(last, _)| time < *last) {
            return Err(BadRow::at(index, format!("{time} s is before the device's last line")));
        }
        changes.push((time, online));
        end = end.max(time);
    }
    if end <= 0.0 {
        return Err(BadRow::whole("it ends when it begins: the last time is the length of the loop"));
    }
    let track = |changes: Vec<(f64, bool)>| {
        let (mut stays, mut since) = (Vec::new(), None);
        for (at, online) in changes {
            match (since, online) {
                (None, true) => since = Some(at),
                (Some(from), false) => {
                    stays.push((from, at));
                    since = None;
                }
                _ => {}
            }
        }
        stays.extend(since.map(|from| (from, end)));
        Track::new(&stays, end)
    };
    Ok(devices.into_values().map(track).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> VirtualTime {
        VirtualTime::from_secs_f64(seconds)
    }

    fn track(presence: &Presence, index: usize, seconds: f64) -> (bool, Option<f64>) {
        let (online, next) = presence.devices[index].state(at(seconds));
        (online, next.map(VirtualTime::as_secs_f64))
    }

    #[test]
    fn fedscales_layout_is_played_and_looped() {
        let presence = Presence::parse(
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
        let presence = Presence::parse("device,t_s,online\n4,0,1\n4,20,0\n4,70,1\n9,0,1\n9,100,1\n").unwrap();
        assert_eq!(track(&presence, 0, 10.0), (true, Some(20.0)));
        assert_eq!(track(&presence, 0, 80.0), (true, Some(120.0)));
        assert_eq!(track(&presence, 0, 100.0), (true, Some(120.0)));
        assert_eq!(track(&presence, 1, 55.0), (true, None), "it never leaves");
    }

    #[test]
    fn devices_of_the_fleet_are_dealt_measured_ones() {
        let presence = Presence::parse("0,0,1\n0,50,0\n1,50,1\n1,100,0\n").unwrap();
        let early = (0..2_000).filter(|device| presence.state(1, *device, at(10.0)).0).count();
        assert!((900..1_100).contains(&early), "{early} of 2,000 behave like the first of two");
        for device in 0..50 {
            assert_eq!(presence.state(1, device, at(10.0)).0, presence.state(1, device, at(1_010.0)).0);
        }
    }

    #[test]
    fn bad_rows_are_named() {
        let problem = |text| Presence::parse(text).unwrap_err();
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
