//! The fleet as drawn: what the scenario says of a class becomes numbers for every device.
//!
//! Every number of a device comes from a stream of its own, `fleet/device/17/compute`, so no draw depends on another
//! device, on the size of the fleet or on another attribute: a sweep over the number of devices keeps the speed of
//! device 17. Its *class* does depend on the fleet: classes get their counts exactly (largest remainder), in blocks
//! that the stream `fleet/classes` shuffles, so that device numbers say nothing about classes. Splits deal data by
//! device number; without the shuffle the devices with the most data would all be of the class that comes last in the
//! alphabet.
//!
//! Up- and downlink of a device may be correlated (`link.correlation`): a Gaussian copula, so that each keeps the
//! distribution it was asked for. For lognormal links the number is the correlation of their logarithms.
//!
//! The table is kept column by column: 42 bytes per device, 42 MB for a million of them.

mod asked;
mod convert;
mod slowdown;

use std::sync::Arc;

use cotune_kernel::{Bytes, Distribution, Stream, VirtualTime};
use cotune_scenario::fault::Fault;
use cotune_scenario::fleet::Power;

use crate::availability::{Availability, AvailabilityError};
use crate::battery::Battery;
use crate::files::{Files, Rates};

pub use asked::{Asked, Quantity, Tied};
pub use convert::{ConvertError, any_sign, not_negative};

/// Rates and speeds below one per second are raised to it: whatever is drawn, every transfer and every step ends.
const SLOWEST: f64 = 1.0;

/// The devices of a run, with everything about them that is drawn once.
#[derive(Clone, Debug)]
pub struct Fleet {
    classes: Vec<DeviceClass>,
    class: Vec<u16>,
    compute: Vec<f64>,
    memory_bandwidth: Vec<f64>,
    down: Vec<f64>,
    up: Vec<f64>,
    rtt: Vec<f64>,
    /// Empty where no class says how long an example takes.
    sample: Vec<f64>,
}

/// What the devices of a class have in common, and the distributions of what they do not.
#[derive(Clone, Debug)]
pub struct DeviceClass {
    /// Its name in the scenario.
    pub name: Arc<str>,
    /// Its devices.
    pub devices: u32,
    /// The model they run: a key of the scenario's `[models]`.
    pub model: Arc<str>,
    /// Memory for the model and its training.
    pub memory: Bytes,
    /// The least share of the memory that is free when a device is invited, in (0, 1\].
    pub memory_free: f64,
    /// Power draw \[W\].
    pub power: Power,
    /// Packet loss, in [0, 1).
    pub loss: f64,
    /// Probability that a transfer is lost, in [0, 1].
    pub drop_per_transfer: f64,
    /// Crashes per second of training: the sum of all `crash` faults that name the class.
    pub crash_rate_per_second: f64,
    /// When its devices are there.
    pub availability: Availability,
    /// Its devices' battery; none: mains.
    pub battery: Option<Battery>,
    /// Where its devices are, if a place has a name.
    pub region: Option<Arc<str>>,
    /// Coefficient of variation of a transfer's rate.
    pub noise_cv: f64,
    /// Capacity towards the device and towards the cloud over time, where it was measured.
    pub rates: [Option<Arc<Rates>>; 2],
    /// Correlation of the logarithms of down- and uplink.
    pub correlation: f64,
    asked: AskedOf,
}

/// The distributions of a class, in the kernel's terms.
#[derive(Clone, Debug)]
struct AskedOf {
    compute: Distribution,
    memory_bandwidth: Distribution,
    down: Distribution,
    up: Distribution,
    rtt: Distribution,
    sample: Option<Distribution>,
}

/// One device of the fleet.
#[derive(Clone, Copy, Debug)]
pub struct DeviceView<'a> {
    /// Its number, from 0.
    pub device: u32,
    /// The index of its class in [`Fleet::classes`].
    pub class_index: u16,
    /// Its class.
    pub class: &'a DeviceClass,
    /// Sustained training speed \[FLOP/s\], slowdown included.
    pub compute_flops_per_second: f64,
    /// Memory for the model and its training.
    pub memory: Bytes,
    /// Memory bandwidth \[bytes/s\], slowdown included.
    pub memory_bandwidth_bytes_per_second: f64,
    /// Capacity towards the device \[bytes/s\].
    pub down_bytes_per_second: f64,
    /// Capacity towards the cloud \[bytes/s\].
    pub up_bytes_per_second: f64,
    /// Round-trip time \[s\].
    pub rtt_seconds: f64,
    /// Time of one training example \[s\], for the cost models that charge it; else 0.
    pub sample_seconds: f64,
}

/// Why no fleet could be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FleetError {
    /// Devices are numbered with 32 bits.
    #[error("a fleet of {devices} devices; this version takes at most {}", u32::MAX)]
    TooManyDevices {
        /// Devices asked for.
        devices: u64,
    },
    /// Classes are numbered with 16 bits.
    #[error("a fleet of {classes} classes; this version takes at most {}", u16::MAX)]
    TooManyClasses {
        /// Classes asked for.
        classes: usize,
    },
    /// A distribution that cannot be drawn from.
    #[error("`{quantity}` of the device class `{class}`: {source}")]
    Distribution {
        /// The class.
        class: String,
        /// The key in its table.
        quantity: &'static str,
        /// What is wrong.
        source: ConvertError,
    },
    /// A trace of bandwidth that was not read.
    #[error("`link.trace` of the device class `{class}`: the trace `{file}` was not read")]
    Rates {
        /// The class.
        class: String,
        /// The file as written.
        file: String,
    },
    /// An availability that cannot be played.
    #[error("`availability` of the device class `{class}`: {source}")]
    Availability {
        /// The class.
        class: String,
        /// What is wrong.
        source: AvailabilityError,
    },
}

impl Fleet {
    /// Draws the fleet of a scenario. `faults` are the scenario's: crashes add to their classes' rates, slowdowns
    /// divide compute and memory bandwidth of the devices they hit; `files` are those it names, read.
    ///
    /// # Errors
    /// More devices or classes than can be numbered, a distribution that cannot be drawn from, or a file that was not read.
    pub fn draw(
        seed: u64,
        fleet: &cotune_scenario::fleet::Fleet,
        faults: &[Fault],
        files: &Files,
    ) -> Result<Self, FleetError> {
        u32::try_from(fleet.devices).map_err(|_| FleetError::TooManyDevices { devices: fleet.devices })?;
        if fleet.classes.len() > usize::from(u16::MAX) {
            return Err(FleetError::TooManyClasses { classes: fleet.classes.len() });
        }
        let counts = fleet.class_counts();
        let classes = fleet
            .classes
            .iter()
            .zip(&counts)
            .map(|((name, class), (_, count))| DeviceClass::new(name, *count as u32, class, faults, files))
            .collect::<Result<Vec<_>, _>>()?;
        let class = classes_of_devices(seed, fleet);

        let column = |name: &str, of: fn(&AskedOf) -> &Distribution, least: f64| -> Vec<f64> {
            let draw = |(device, class): (usize, &u16)| {
                let asked = of(&classes[usize::from(*class)].asked);
                draw(seed, device, name, asked).max(least)
            };
            class.iter().enumerate().map(draw).collect()
        };
        let mut drawn = Self {
            compute: column("compute", |asked| &asked.compute, SLOWEST),
            memory_bandwidth: column("memory_bandwidth", |asked| &asked.memory_bandwidth, SLOWEST),
            down: downlinks(seed, &classes, &class),
            up: uplinks(seed, &classes, &class),
            rtt: column("link/rtt", |asked| &asked.rtt, 0.0),
            sample: if classes.iter().any(|class| class.asked.sample.is_some()) {
                column("sample", |asked| asked.sample.as_ref().unwrap_or(&Distribution::Constant(0.0)), 0.0)
            } else {
                Vec::new()
            },
            class,
            classes,
        };
        slowdown::apply(&mut drawn, seed, faults);
        Ok(drawn)
    }

    /// How many devices there are.
    pub fn devices(&self) -> u32 {
        self.class.len() as u32
    }

    /// The classes, in order of their names.
    pub fn classes(&self) -> &[DeviceClass] {
        &self.classes
    }

    /// The class of a device.
    ///
    /// # Panics
    /// If there is no such device.
    pub fn class_of(&self, device: u32) -> &DeviceClass {
        &self.classes[usize::from(self.class[device as usize])]
    }

    /// One device.
    ///
    /// # Panics
    /// If there is no such device.
    pub fn device(&self, device: u32) -> DeviceView<'_> {
        let index = device as usize;
        let class = self.class_of(device);
        DeviceView {
            device,
            class_index: self.class[index],
            class,
            compute_flops_per_second: self.compute[index],
            memory: class.memory,
            memory_bandwidth_bytes_per_second: self.memory_bandwidth[index],
            down_bytes_per_second: self.down[index],
            up_bytes_per_second: self.up[index],
            rtt_seconds: self.rtt[index],
            sample_seconds: self.sample.get(index).copied().unwrap_or(0.0),
        }
    }

    /// Whether a device would accept an invitation at `t`: it is there, and its battery, as its owner alone uses it, is
    /// charged enough to train. What earlier rounds took from the battery the device alone knows.
    pub fn is_ready(&self, seed: u64, device: u32, t: VirtualTime) -> bool {
        let class = self.class_of(device);
        class.battery.as_ref().is_none_or(|battery| {
            let timezone = class.availability.timezone(seed, device);
            battery.allows(battery.undisturbed(seed, device, timezone, t))
        }) && class.availability.online(seed, device, t)
    }

    /// All devices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = DeviceView<'_>> {
        (0..self.devices()).map(|device| self.device(device))
    }
}

/// Every device's downlink, from its normal score where the uplink is correlated with it.
fn downlinks(seed: u64, classes: &[DeviceClass], class: &[u16]) -> Vec<f64> {
    let downlink = |(device, class): (usize, &u16)| {
        let DeviceClass { correlation, asked, .. } = &classes[usize::from(*class)];
        let drawn = match *correlation {
            0.0 => draw(seed, device, "link/down", &asked.down),
            _ => asked.down.at_score(score(seed, device, "link/down")),
        };
        drawn.max(SLOWEST)
    };
    class.iter().enumerate().map(downlink).collect()
}

/// A standard normal variate of one attribute of one device.
fn score(seed: u64, device: usize, name: &str) -> f64 {
    Stream::keyed_parts(seed, &[&"fleet/device", &device, &name]).normal()
}

/// Every device's uplink. Where it is correlated with the downlink, its normal score is ρ·z + √(1 - ρ²)·z', with z the
/// score of the device's downlink, drawn again from the downlink's stream, and z' from its own.
fn uplinks(seed: u64, classes: &[DeviceClass], class: &[u16]) -> Vec<f64> {
    let uplink = |(device, class): (usize, &u16)| {
        let DeviceClass { correlation, asked, .. } = &classes[usize::from(*class)];
        if *correlation == 0.0 {
            return draw(seed, device, "link/up", &asked.up).max(SLOWEST);
        }
        let (down, own) = (score(seed, device, "link/down"), score(seed, device, "link/up"));
        let score = correlation * down + (1.0 - correlation * correlation).sqrt() * own;
        asked.up.at_score(score).max(SLOWEST)
    };
    class.iter().enumerate().map(uplink).collect()
}

/// The class of every device, as an index in the order of names: classes get their counts exactly, and are shuffled.
pub fn classes_of_devices(seed: u64, fleet: &cotune_scenario::fleet::Fleet) -> Vec<u16> {
    let counts = fleet.class_counts();
    let blocks = counts.iter().enumerate();
    let mut class: Vec<u16> =
        blocks.flat_map(|(index, (_, count))| std::iter::repeat_n(index as u16, *count as usize)).collect();
    Stream::keyed(seed, "fleet/classes").shuffle(&mut class);
    class
}

/// One attribute of one device. A constant needs no stream.
fn draw(seed: u64, device: usize, name: &str, asked: &Distribution) -> f64 {
    match asked {
        Distribution::Constant(value) => *value,
        _ => asked.sample(&mut Stream::keyed_parts(seed, &[&"fleet/device", &device, &name])),
    }
}

impl DeviceClass {
    fn new(
        name: &str,
        devices: u32,
        class: &cotune_scenario::fleet::DeviceClass,
        faults: &[Fault],
        files: &Files,
    ) -> Result<Self, FleetError> {
        let distribution = |quantity: &'static str, asked| {
            not_negative(asked, files).map_err(|source| FleetError::Distribution {
                class: name.to_owned(),
                quantity,
                source,
            })
        };
        let crash_rate = faults.iter().map(|fault| match fault {
            Fault::Crash { class, rate_per_second } if class.includes(name) => *rate_per_second,
            _ => 0.0,
        });
        let trace = |file: &Option<String>| match file {
            None => Ok(None),
            Some(file) => files
                .rates(file)
                .cloned()
                .map(Some)
                .ok_or_else(|| FleetError::Rates { class: name.to_owned(), file: file.clone() }),
        };
        let rates = match &class.link.trace {
            None => [None, None],
            Some(written) => [trace(&written.down)?, trace(&written.up)?],
        };
        Ok(Self {
            name: name.into(),
            devices,
            model: class.model.as_str().into(),
            memory: Bytes(class.memory_bytes),
            memory_free: class.memory_free,
            power: class.power.clone(),
            loss: class.link.loss,
            drop_per_transfer: class.link.drop_per_transfer,
            crash_rate_per_second: crash_rate.sum(),
            battery: class.battery.as_ref().map(Battery::new),
            region: class.region.as_deref().map(Arc::from),
            noise_cv: class.link.noise_cv,
            rates,
            correlation: class.link.correlation,
            availability: Availability::new(&class.availability, files)
                .map_err(|source| FleetError::Availability { class: name.to_owned(), source })?,
            asked: AskedOf {
                compute: distribution("compute", &class.compute_flops_per_second)?,
                memory_bandwidth: distribution("memory_bandwidth", &class.memory_bandwidth_bytes_per_second)?,
                down: distribution("link.down", &class.link.down_bytes_per_second)?,
                up: distribution("link.up", &class.link.up_bytes_per_second)?,
                rtt: distribution("link.rtt", &class.link.rtt_seconds)?,
                sample: class
                    .sample_seconds
                    .as_ref()
                    .map(|asked| distribution("sample", asked))
                    .transpose()?,
            },
        })
    }
}

#[cfg(test)]
mod tests;
