//! `[cloud]`: the server.

use serde::{Deserialize, Serialize};

/// The cloud server; the whole table may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cloud {
    /// Sustained training speed [FLOP/s]. Default: 240 TFLOP/s (chosen: about what an A100 sustains in bf16).
    pub compute_flops_per_second: f64,
    /// Memory [bytes]. Default: 80 GiB (A100).
    pub memory_bytes: u64,
    /// Memory bandwidth [bytes/s]. Default: 2 TB/s (A100 80 GB: 2.04 TB/s peak).
    pub memory_bandwidth_bytes_per_second: f64,
    /// The link that all devices share.
    pub link: CloudLink,
    /// Prices; none: no money is counted.
    pub price: Option<Price>,
    /// Power while computing [W]; none: the cloud's energy is not counted.
    pub power_watts: Option<f64>,
    /// Carbon intensity of the cloud's electricity [gCO2/J]; none: not counted.
    pub carbon_grams_per_joule: Option<f64>,
}

/// The cloud's link, shared by all devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudLink {
    /// Capacity from the devices [bytes/s]. Default: 10 Gbit/s (chosen).
    pub down_bytes_per_second: f64,
    /// Capacity towards the devices [bytes/s]. Default: 10 Gbit/s (chosen).
    pub up_bytes_per_second: f64,
}

/// Cloud prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Computing [USD/s]. Default: 0.
    pub compute_usd_per_second: f64,
    /// Bytes sent to devices [USD/byte]. Default: 0.
    pub egress_usd_per_byte: f64,
}
