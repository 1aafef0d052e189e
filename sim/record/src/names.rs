//! The closed sets of names in events: why not, which model, what broke, what ended it. One spelling serves
//! events, metric names and reports.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an invited device contributed nothing to a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Not reachable when invited.
    Offline,
    /// The work does not fit what is free of the device's memory.
    RefusedMemory,
    /// Below the charge it trains at.
    Battery,
    /// The connection dropped while it received the payload.
    DownloadLost,
    /// It went offline while training.
    DroppedWhileTraining,
    /// A crash fault, or a panic in its job.
    Crashed,
    /// The connection dropped while it sent the update.
    UploadLost,
    /// The update came after the deadline, when the cohort was full, or after a restart of the cloud.
    Late,
    /// The update was based on too old a model.
    Stale,
    /// The cloud refused the update: not finite, or of the wrong shape.
    Rejected,
}

impl Reason {
    /// Every reason, in the order in which a round can meet them.
    pub const ALL: [Self; 10] = [
        Self::Offline,
        Self::RefusedMemory,
        Self::Battery,
        Self::DownloadLost,
        Self::DroppedWhileTraining,
        Self::Crashed,
        Self::UploadLost,
        Self::Late,
        Self::Stale,
        Self::Rejected,
    ];

    /// The name in events, metrics (`updates.<name>`) and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::RefusedMemory => "refused-memory",
            Self::Battery => "battery",
            Self::DownloadLost => "download-lost",
            Self::DroppedWhileTraining => "dropped-while-training",
            Self::Crashed => "crashed",
            Self::UploadLost => "upload-lost",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Rejected => "rejected",
        }
    }
}

/// Which model is scored on which data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The model a device uses, on the device's own mix of domains.
    Edge,
    /// The model a device uses, on all domains, uniform.
    EdgeAll,
    /// The cloud's model, on all domains.
    Cloud,
    /// The proxy model, on all domains.
    Proxy,
    /// The relay set that the proxy makes.
    Relay,
}

impl Scope {
    /// Every scope, in the order in which reports show them.
    pub const ALL: [Self; 5] = [Self::Edge, Self::EdgeAll, Self::Cloud, Self::Proxy, Self::Relay];

    /// The name in events, metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::EdgeAll => "edge-all",
            Self::Cloud => "cloud",
            Self::Proxy => "proxy",
            Self::Relay => "relay",
        }
    }
}

/// What kind of fault struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A device lost its work in progress.
    Crash,
    /// A device computes slower than drawn.
    Slowdown,
    /// A class or region lost its connection.
    Partition,
    /// An update was altered before it was sent.
    Corrupt,
    /// The cloud lost the round in progress.
    CloudRestart,
    /// A training job panicked; the message is in `detail`.
    Panic,
}

impl FaultKind {
    /// The name in events and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Slowdown => "slowdown",
            Self::Partition => "partition",
            Self::Corrupt => "corrupt",
            Self::CloudRestart => "cloud-restart",
            Self::Panic => "panic",
        }
    }
}

/// Which budget ended the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// `virtual_time` passed.
    VirtualTime,
    /// `rounds` were done.
    Rounds,
    /// `uplink` bytes were sent.
    Uplink,
    /// The method had nothing left to do.
    Finished,
    /// No event was left: nobody can take part any more.
    Exhausted,
}

impl EndReason {
    /// The name in events, summary and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtualTime => "virtual-time",
            Self::Rounds => "rounds",
            Self::Uplink => "uplink",
            Self::Finished => "finished",
            Self::Exhausted => "exhausted",
        }
    }
}

macro_rules! display_as_name {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.pad(self.name())
            }
        }
    )*};
}
display_as_name!(Reason, Scope, FaultKind, EndReason);
