//! The fleet as drawn: what the scenario says of a class becomes numbers for every device.
//!
//! Every number of a device comes from a stream of its own, `fleet/device/17/compute`, so no draw depends on another
//! device, on the size of the fleet or on another attribute: a sweep over the number of devices keeps the speed of
//! device 17. Its *class* does depend on the fleet: classes get their counts exactly (largest remainder), in blocks
//! that the stream `fleet/classes` shuffles, so that device numbers say nothing about classes. Splits deal data by
//! device number; without the shuffle the devices with the most data would all be of the class that comes last in the
//! alphabet.
//!
//! The table is kept column by column: 42 bytes per device, 42 MB for a million of them.

mod asked;
mod convert;
mod slowdown;

use std::sync::Arc;

use cotune_kernel::{Bytes, Distribution, Stream};
use cotune_scenario::fault::Fault;
use cotune_scenario::fleet::Power;

use crate::availability::{Availability, AvailabilityError};

pub use asked::{Asked, Quantity};
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
    /// divide compute and memory bandwidth of the devices they hit.
    ///
    /// # Errors
    /// More devices or classes than can be numbered, or a distribution or availability that this version does not have.
    pub fn draw(
        seed: u64,
        fleet: &cotune_scenario::fleet::Fleet,
        faults: &[Fault],
    ) -> Result<Self, FleetError> {
        let devices = u32::try_from(fleet.devices)
            .map_err(|_| FleetError::TooManyDevices { devices: fleet.devices })?;
        if fleet.classes.len() > usize::from(u16::MAX) {
            return Err(FleetError::TooManyClasses { classes: fleet.classes.len() });
        }
        let counts = fleet.class_counts();
        let classes = fleet
            .classes
            .iter()
            .zip(&counts)
            .map(|((name, class), (_, count))| DeviceClass::new(name, *count as u32, class, faults))
            .collect::<Result<Vec<_>, _>>()?;
        let mut class: Vec<u16> = Vec::with_capacity(devices as usize);
        for (index, (_, count)) in counts.iter().enumerate() {
            class.extend(std::iter::repeat_n(index as u16, *count as usize));
        }
        Stream::keyed(seed, "fleet/classes").shuffle(&mut class);

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
            down: column("link/down", |asked| &asked.down, SLOWEST),
            up: column("link/up", |asked| &asked.up, SLOWEST),
            rtt: column("link/rtt", |asked| &asked.rtt, 0.0),
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
        }
    }

    /// All devices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = DeviceView<'_>> {
        (0..self.devices()).map(|device| self.device(device))
    }
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
    ) -> Result<Self, FleetError> {
        let distribution = |quantity: &'static str, asked| {
            not_negative(asked).map_err(|source| FleetError::Distribution {
                class: name.to_owned(),
                quantity,
                source,
            })
        };
        let crash_rate = faults.iter().map(|fault| match fault {
            Fault::Crash { class, rate_per_second } if class.includes(name) => *rate_per_second,
            _ => 0.0,
        });
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
            availability: Availability::new(&class.availability)
                .map_err(|source| FleetError::Availability { class: name.to_owned(), source })?,
            asked: AskedOf {
                compute: distribution("compute", &class.compute_flops_per_second)?,
                memory_bandwidth: distribution("memory_bandwidth", &class.memory_bandwidth_bytes_per_second)?,
                down: distribution("link.down", &class.link.down_bytes_per_second)?,
                up: distribution("link.up", &class.link.up_bytes_per_second)?,
                rtt: distribution("link.rtt", &class.link.rtt_seconds)?,
            },
        })
    }
}

#[cfg(test)]
mod tests;
