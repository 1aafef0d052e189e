//! `[cloud]`: the server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reader::{Bound, View};
use crate::units;

/// The cloud server; the whole table may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cloud {
    /// Sustained training speed \[FLOP/s\]. Default: 240 TFLOP/s (chosen: about what an A100 sustains in bf16).
    pub compute_flops_per_second: f64,
    /// Memory \[bytes\]. Default: 80 GiB (A100).
    pub memory_bytes: u64,
    /// Memory bandwidth \[bytes/s\]. Default: 2 TB/s (A100 80 GB: 2.04 TB/s peak).
    pub memory_bandwidth_bytes_per_second: f64,
    /// The link that all devices share.
    pub link: CloudLink,
    /// Prices; none: no money is counted.
    pub price: Option<Price>,
    /// Power while computing \[W\]; none: the cloud's energy is not counted.
    pub power_watts: Option<f64>,
    /// Carbon intensity of the cloud's electricity \[gCO2/J\]; none: not counted.
    pub carbon_grams_per_joule: Option<f64>,
}

/// The cloud's link, shared by all devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudLink {
    /// Capacity from the devices \[bytes/s\]. Default: 10 Gbit/s (chosen).
    pub down_bytes_per_second: f64,
    /// Capacity towards the devices \[bytes/s\]. Default: 10 Gbit/s (chosen).
    pub up_bytes_per_second: f64,
}

/// Cloud prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Computing \[USD/s\]. Default: 0.
    pub compute_usd_per_second: f64,
    /// Bytes sent to devices \[USD/byte\]. Default: 0.
    pub egress_usd_per_byte: f64,
}

pub(crate) fn read(view: View) -> Cloud {
    let compute = view.quantity("compute", &units::COMPUTE, Bound::Positive);
    let bandwidth = view.quantity("memory_bandwidth", &units::BANDWIDTH, Bound::Positive);
    let cloud = Cloud {
        compute_flops_per_second: compute.or(240e12),
        memory_bytes: view.bytes("memory").or(80 << 30),
        memory_bandwidth_bytes_per_second: bandwidth.or(2e12),
        link: link(view.table_or_empty("link")),
        price: view.table("price").optional().map(price),
        power_watts: view.quantity("power", &units::POWER, Bound::NonNegative).optional(),
        carbon_grams_per_joule: view.quantity("carbon", &units::CARBON, Bound::NonNegative).optional(),
    };
    view.finish();
    cloud
}

fn link(view: View) -> CloudLink {
    let rate = |key| view.quantity(key, &units::RATE, Bound::Positive).or(1.25e9);
    let link = CloudLink { down_bytes_per_second: rate("down"), up_bytes_per_second: rate("up") };
    view.finish();
    link
}

fn price(view: View) -> Price {
    let price = Price {
        compute_usd_per_second: view.quantity("compute", &units::PRICE_PER_TIME, Bound::NonNegative).or(0.0),
        egress_usd_per_byte: view.quantity("egress", &units::PRICE_PER_SIZE, Bound::NonNegative).or(0.0),
    };
    view.finish();
    price
}
