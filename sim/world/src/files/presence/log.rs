//! A log of comings and goings: rows of device, seconds and whether it is online from then on, in the order of time for
//! every device. The loop ends with the log's last time, and a device is offline before its first row.

use std::collections::BTreeMap;

use super::{BadRow, Track};

/// The rows so far.
#[derive(Default)]
pub(super) struct Log {
    devices: BTreeMap<u64, Vec<(f64, bool)>>,
    end: f64,
}

impl Log {
    /// Adds a row, or says what is wrong with it.
    pub(super) fn push(&mut self, device: u64, seconds: f64, online: bool) -> Result<(), String> {
        let changes = self.devices.entry(device).or_default();
        if !(seconds >= 0.0 && seconds.is_finite()) || changes.last().is_some_and(|(last, _)| seconds < *last)
        {
            return Err(format!("{seconds} s is before the device's last line"));
        }
        changes.push((seconds, online));
        self.end = self.end.max(seconds);
        Ok(())
    }

    /// The devices in the order of their numbers.
    pub(super) fn tracks(self) -> Result<Vec<Track>, BadRow> {
        if self.end <= 0.0 {
            return Err(BadRow::whole("it ends when it begins: the last time is the length of the loop"));
        }
        Ok(self.devices.into_values().map(|changes| track(changes, self.end)).collect())
    }
}

fn track(changes: Vec<(f64, bool)>, end: f64) -> Track {
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
}
