//! Trace events ("Trace Event Format", as Chrome and Perfetto read it): a lane for the cloud, one for the network and one
//! for every device that was ever invited, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::event::{Event, EventKind};
use crate::fleet::Fleet;
use crate::log::LogError;

const CLOUD: u32 = 1;
const NETWORK: u32 = 2;
const DEVICES: u32 = 3;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The trace cannot be written.
    #[error("the trace cannot be written")]
    Write(#[from] io::Error),
}

/// Writes the trace of a run's events as one JSON object.
///
/// # Errors
/// The log cannot be read, or the trace cannot be written.
pub fn write(
    events: impl Iterator<Item = Result<Event, LogError>>,
    fleet: &Fleet,
    out: &mut impl Write,
) -> Result<(), TraceError> {
    let mut trace =
        Trace { out, is_first: true, down: 0, up: 0, lanes: BTreeSet::new(), begun: BTreeMap::new() };
    trace.out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")?;
    for (pid, name) in [(CLOUD, "cloud"), (NETWORK, "network"), (DEVICES, "devices")] {
        trace.put(&json!({ "ph": "M", "pid": pid, "name": "process_name", "args": { "name": name } }))?;
        trace.put(
            &json!({ "ph": "M", "pid": pid, "name": "process_sort_index", "args": { "sort_index": pid } }),
        )?;
    }
    for event in events {
        trace.event(&event?)?;
    }
    for device in trace.lanes.clone() {
        let class = fleet.device(device).map_or("", |row| &row.class);
        let name = format!("device {device} {class}");
        trace.put(&json!({
            "ph": "M", "pid": DEVICES, "tid": device + 1, "name": "thread_name", "args": { "name": name.trim_end() },
        }))?;
    }
    trace.out.write_all(b"\n]}\n")?;
    Ok(())
}

struct Trace<'a, W: Write> {
    out: &'a mut W,
    is_first: bool,
    /// Transfers in progress, each way.
    down: i64,
    up: i64,
    /// Devices that have a lane.
    lanes: BTreeSet<u32>,
    /// What goes on, and when it began \[µs\]: name, round, device.
    begun: BTreeMap<(&'static str, u32, Option<u32>), f64>,
}

impl<W: Write> Trace<'_, W> {
    fn put(&mut self, event: &Value) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *self.out, event).map_err(io::Error::from)
    }

    fn begin(&mut self, name: &'static str, round: u32, device: Option<u32>, event: &Event) {
        self.begun.insert((name, round, device), microseconds(event));
    }

    /// A span that ends now, in the lane of a device or of the cloud.
    fn end(
        &mut self,
        name: &'static str,
        round: u32,
        device: Option<u32>,
        event: &Event,
        args: Value,
    ) -> io::Result<()> {
        self.lanes.extend(device);
        let (pid, tid) = device.map_or((CLOUD, 2), |device| (DEVICES, device + 1));
        let end = microseconds(event);
        let begin = self.begun.remove(&(name, round, device)).unwrap_or(end);
        self.put(&json!({
            "ph": "X", "pid": pid, "tid": tid, "name": name, "ts": begin, "dur": end - begin, "args": args,
        }))
    }

    fn instant(&mut self, name: &str, device: Option<u32>, event: &Event, args: Value) -> io::Result<()> {
        let (pid, tid) = device.map_or((CLOUD, 1), |device| (DEVICES, device + 1));
        self.lanes.extend(device);
        self.put(&json!({
            "ph": "i", "s": "t", "pid": pid, "tid": tid, "name": name, "ts": microseconds(event), "args": args,
        }))
    }

    fn transfers(&mut self, event: &Event) -> io::Result<()> {
        let args = json!({ "down": self.down, "up": self.up });
        self.put(&json!({ "ph": "C", "pid": NETWORK, "name": "transfers", "ts": microseconds(event), "args": args }))
    }

    /// Rounds may overlap, so they are spans with an id of their own.
    fn round(&mut self, phase: &str, round: u32, event: &Event, args: Value) -> io::Result<()> {
        self.put(&json!({
            "ph": phase, "cat": "round", "id": round, "pid": CLOUD, "tid": 1, "name": format!("round {round}"),
            "ts": microseconds(event), "args": args,
        }))
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RoundOpened { round, invited } => {
                self.lanes.extend(invited);
                self.round("b", *round, event, json!({ "invited": invited.len() }))
            }
            EventKind::RoundClosed { round, accepted, void, .. } => {
                self.round("e", *round, event, json!({ "accepted": accepted, "void": void }))
            }
            EventKind::DownloadStarted { round, device, .. } => {
                self.begin("download", *round, Some(*device), event);
                self.down += 1;
                self.transfers(event)
            }
            EventKind::TrainingStarted { round, device, .. } => {
                self.begin("train", *round, Some(*device), event);
                Ok(())
            }
            EventKind::UploadStarted { round, device, .. } => {
                self.begin("upload", *round, Some(*device), event);
                self.up += 1;
                self.transfers(event)
            }
            EventKind::DownloadFinished { round, device, bytes, complete, .. } => {
                self.down -= 1;
                self.transfers(event)?;
                let args = json!({ "round": round, "bytes": bytes, "complete": complete });
                self.end("download", *round, Some(*device), event, args)
            }
            EventKind::TrainingFinished { round, device, steps, complete, .. } => {
                let args = json!({ "round": round, "steps": steps, "complete": complete });
                self.end("train", *round, Some(*device), event, args)
            }
            EventKind::UploadFinished { round, device, bytes, complete, .. } => {
                self.up -= 1;
                self.transfers(event)?;
                let args = json!({ "round": round, "bytes": bytes, "complete": complete });
                self.end("upload", *round, Some(*device), event, args)
            }
            EventKind::NotContributed { round, device, reason, .. } => {
                self.instant(reason.name(), Some(*device), event, json!({ "round": round }))
            }
            EventKind::CloudTraining { round, .. } => {
                self.begin("train", *round, None, event);
                Ok(())
            }
            EventKind::CloudTrained { round, steps, .. } => {
                self.end("train", *round, None, event, json!({ "round": round, "steps": steps }))
            }
            EventKind::Fault { kind, device, detail } => {
                self.instant(kind.name(), *device, event, json!({ "detail": detail }))
            }
            EventKind::Warning { text, .. } => self.instant("warning", None, event, json!({ "text": text })),
            _ => Ok(()),
        }
    }
}

/// Virtual time \[µs\], the unit of the format.
fn microseconds(event: &Event) -> f64 {
    event.time_ns as f64 / 1e3
}
