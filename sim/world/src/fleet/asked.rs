//! What was asked of the fleet against what was drawn: the table that `plan` prints, so that nobody has to trust a
//! sample.

use cotune_kernel::Distribution;

use super::{AskedOf, Fleet};

/// A quantity that is drawn for every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Sustained training speed \[FLOP/s\].
    Compute,
    /// Memory bandwidth \[bytes/s\].
    MemoryBandwidth,
    /// Capacity towards the device \[bytes/s\].
    Down,
    /// Capacity towards the cloud \[bytes/s\].
    Up,
    /// Round-trip time \[s\].
    Rtt,
}

impl Quantity {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Compute, Self::MemoryBandwidth, Self::Down, Self::Up, Self::Rtt];

    /// Its key in a device class.
    pub fn key(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::MemoryBandwidth => "memory_bandwidth",
            Self::Down => "link.down",
            Self::Up => "link.up",
            Self::Rtt => "link.rtt",
        }
    }

    fn asked(self, of: &AskedOf) -> &Distribution {
        match self {
            Self::Compute => &of.compute,
            Self::MemoryBandwidth => &of.memory_bandwidth,
            Self::Down => &of.down,
            Self::Up => &of.up,
            Self::Rtt => &of.rtt,
        }
    }

    fn drawn(self, fleet: &Fleet) -> &[f64] {
        match self {
            Self::Compute => &fleet.compute,
            Self::MemoryBandwidth => &fleet.memory_bandwidth,
            Self::Down => &fleet.down,
            Self::Up => &fleet.up,
            Self::Rtt => &fleet.rtt,
        }
    }
}

/// One row of the table: a quantity of a class, in the quantity's unit.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Asked {
    /// The class.
    pub class: String,
    /// Its devices: the size of the sample.
    pub devices: u32,
    /// The quantity.
    pub quantity: Quantity,
    /// Median of the distribution asked for.
    pub asked_median: f64,
    /// Its 95th percentile.
    pub asked_p95: f64,
    /// Median of the devices drawn, slowdowns included.
    pub drawn_median: f64,
    /// Their 95th percentile.
    pub drawn_p95: f64,
}

impl Fleet {
    /// Every quantity of every class that has devices, by class, then in the order of [`Quantity::ALL`]. Percentiles
    /// of what was drawn are nearest ranks: the least value that a share `p` of the devices does not exceed.
    pub fn asked_against_drawn(&self) -> Vec<Asked> {
        let mut devices: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        for (device, class) in self.class.iter().enumerate() {
            devices[usize::from(*class)].push(device);
        }
        let mut rows = Vec::new();
        for (class, devices) in self.classes.iter().zip(&devices).filter(|(_, devices)| !devices.is_empty()) {
            for quantity in Quantity::ALL {
                let column = quantity.drawn(self);
                let mut values: Vec<f64> = devices.iter().map(|device| column[*device]).collect();
                values.sort_by(f64::total_cmp);
                let drawn = Distribution::Empirical { values };
                let asked = quantity.asked(&class.asked);
                rows.push(Asked {
                    class: class.name.to_string(),
                    devices: class.devices,
                    quantity,
                    asked_median: asked.quantile(0.5),
                    asked_p95: asked.quantile(0.95),
                    drawn_median: drawn.quantile(0.5),
                    drawn_p95: drawn.quantile(0.95),
                });
            }
        }
        rows
    }
}
