//! `[fleet]`: the devices, class by class.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Distribution;

/// The fleet of edge devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Devices in all.
    pub devices: u64,
    /// The classes by name; their shares add up to 1.
    pub classes: BTreeMap<String, DeviceClass>,
}

impl Fleet {
    /// Devices of every class, by name: largest remainder of `share · devices`, ties to the first name.
    pub fn class_counts(&self) -> Vec<(&str, u64)> {
        let quota = |class: &DeviceClass| class.share * self.devices as f64;
        // Shares such as 0.1 are not exact in binary: 0.3 · 10 must count as 3, not as 2.9999….
        let floor = |quota: f64| (quota + 1e-9).floor();
        let mut counts: Vec<(&str, u64)> =
            self.classes.iter().map(|(name, class)| (name.as_str(), floor(quota(class)) as u64)).collect();
        let given: u64 = counts.iter().map(|(_, count)| count).sum();
        let mut order: Vec<(usize, f64)> =
            self.classes.values().map(|class| quota(class) - floor(quota(class))).enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (index, _) in order.into_iter().cycle().take(self.devices.saturating_sub(given) as usize) {
            counts[index].1 += 1;
        }
        counts
    }
}

/// A class of devices: what is drawn for each of its devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceClass {
    /// Fraction of the fleet, in (0, 1].
    pub share: f64,
    /// The model its devices run: a name in `[models]`.
    pub model: String,
    /// Sustained training speed [FLOP/s].
    pub compute_flops_per_second: Distribution,
    /// Memory for the model and its training [bytes].
    pub memory_bytes: u64,
    /// Memory bandwidth [bytes/s]. Default: 50 GB/s (chosen: LPDDR5-6400 on 64 bits peaks at 51.2).
    pub memory_bandwidth_bytes_per_second: Distribution,
    /// Power draw.
    pub power: Power,
    /// The battery; none: mains.
    pub battery: Option<Battery>,
    /// The access link.
    pub link: Link,
    /// When its devices are there.
    pub availability: Availability,
}

/// Power draw of a device [W].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// While computing, above idle. Default: 5 W (chosen: a phone under sustained load).
    pub train_watts: f64,
    /// While sending or receiving, above idle. Default: 1.5 W (chosen: a phone's radio).
    pub radio_watts: f64,
    /// Always. Default: 0.2 W (chosen: a phone at rest).
    pub idle_watts: f64,
}

/// A battery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Battery {
    /// Energy when full [J].
    pub capacity_joules: f64,
    /// Trains only while the charge is above this fraction of the capacity, in [0, 1). Default: 0.5 (chosen).
    pub train_above: f64,
}

/// An access link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Capacity towards the device [bytes/s].
    pub down_bytes_per_second: Distribution,
    /// Capacity towards the cloud [bytes/s].
    pub up_bytes_per_second: Distribution,
    /// Round-trip time [s]. Default: 50 ms (chosen).
    pub rtt_seconds: Distribution,
    /// Packet loss, in [0, 1): makes transport slower. Default: 0.
    pub loss: f64,
    /// Probability that a transfer is lost, in [0, 1]. Default: 0.
    pub drop_per_transfer: f64,
}

/// When devices are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// Always. The default.
    Always,
    /// On and off for exponential times.
    Markov {
        /// Mean time on [s].
        mean_on_seconds: f64,
        /// Mean time off [s].
        mean_off_seconds: f64,
    },
    /// Sessions whose rate follows the local hour.
    Diurnal(Diurnal),
    /// Alternating sessions and gaps from given distributions.
    Sessions {
        /// Length of a session [s].
        online_seconds: Distribution,
        /// Length of a gap [s].
        offline_seconds: Distribution,
    },
    /// Read from a trace.
    Trace {
        /// Path as written.
        file: String,
    },
}

/// A day's rhythm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diurnal {
    /// Local time of the peak [s after midnight].
    pub peak_seconds: f64,
    /// Fraction online at the peak, in (0, 1].
    pub online_at_peak: f64,
    /// Fraction online half a day later, in (0, online_at_peak].
    pub online_at_trough: f64,
    /// Length of a session [s]. Default: exponential, mean 50 min (chosen).
    pub session_seconds: Distribution,
    /// Local time minus the simulation's clock [s]. Default: 0.
    pub timezone_seconds: Distribution,
}
