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

/// How closely up- and downlink of a class are tied.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Tied {
    /// The class.
    pub class: String,
    /// `link.correlation`.
    pub asked: f64,
    /// Pearson's correlation of the logarithms over the devices drawn.
    pub drawn: f64,
}

impl Fleet {
    /// The correlation of up- and downlink in every class that asks for one and has at least three devices.
    pub fn correlations(&self) -> Vec<Tied> {
        let tied = |(index, class): (usize, &super::DeviceClass)| {
            let mine = (0..self.class.len()).filter(|device| usize::from(self.class[*device]) == index);
            let links: Vec<(f64, f64)> =
                mine.map(|device| (self.down[device].ln(), self.up[device].ln())).collect();
            let asked = class.correlation;
            let drawn = pearson(&links).filter(|_| asked != 0.0 && links.len() > 2)?;
            Some(Tied { class: class.name.to_string(), asked, drawn })
        };
        self.classes.iter().enumerate().filter_map(tied).collect()
    }

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

/// Pearson's correlation; none where one side does not vary.
fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / n, sum.1 + pair.1 / n));
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| of(a - x, b - y)).sum::<f64>();
    let spread = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    (spread > 0.0).then(|| sum(&|a, b| a * b) / spread)
}
