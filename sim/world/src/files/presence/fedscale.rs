//! FedScale's layout (Lai et al. 2022; its pickle as JSON): an object whose values have `active` and `inactive`, lists of
//! seconds at which a device came and went, and `finish_time`, after which they begin again.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BadRow, Track};

/// FedScale's record of one device \[s\].
#[derive(Deserialize)]
struct Record {
    active: Vec<f64>,
    inactive: Vec<f64>,
    finish_time: f64,
}

pub(super) fn read(text: &str) -> Result<Vec<Track>, BadRow> {
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
