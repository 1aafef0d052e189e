//! The log as CSV: lines `device,t_s,online` with 0 or 1, under a heading or without.

use super::log::Log;
use super::{BadRow, Track};
use crate::files::{number, rows};

pub(super) fn read(text: &str) -> Result<Vec<Track>, BadRow> {
    let mut log = Log::default();
    for (place, (index, line)) in rows(text).enumerate() {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if place == 0 && cells == ["device", "t_s", "online"] {
            continue;
        }
        let [device, time, online] = cells[..] else {
            return Err(BadRow::at(index, format!("`{line}` is not device,t_s,online")));
        };
        let device = device
            .parse()
            .map_err(|_| BadRow::at(index, format!("`{device}` is not the number of a device")))?;
        let time = number(index, time)?;
        let online = match online {
            "1" | "true" => true,
            "0" | "false" => false,
            other => return Err(BadRow::at(index, format!("`{other}` is neither 0 nor 1"))),
        };
        log.push(device, time, online).map_err(|problem| BadRow::at(index, problem))?;
    }
    log.tracks()
}
