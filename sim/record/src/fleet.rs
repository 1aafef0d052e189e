//! The fleet that was drawn: the one table that events do not carry, passed in by the simulation and kept as
//! `tables/fleet.parquet`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cotune_kernel::bounded;
use parquet::errors::ParquetError;

use crate::tables::parquet_files::{Columns, read_foreign};
use crate::tables::{TableError, columns, csv_files, parquet_files};

/// Devices that a byte of a fleet's file can stand for (chosen: thirty times those of a fleet whose devices are all alike).
const DEVICES_PER_BYTE: u64 = 16;

/// The longest name that is read \[B\] (chosen: far more than anybody writes as a key).
const LONGEST_NAME: usize = 4 << 10;

/// Every device of a run, and the domains its examples come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// Names of the domains, in the order of [`FleetRow::examples`].
    pub domains: Vec<String>,
    /// The devices, ascending.
    pub devices: Vec<FleetRow>,
}

/// One device as drawn. The names are shared, so that a million devices of one class hold them once.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetRow {
    /// Device number, from 0.
    pub device: u32,
    /// Its class.
    pub class: Arc<str>,
    /// The model it runs, a key of the scenario's `[models]`.
    pub model: Arc<str>,
    /// Sustained compute \[FLOP/s\].
    pub compute_flops: f64,
    /// Memory \[B\].
    pub memory_bytes: u64,
    /// Access capacity down \[bit/s\].
    pub down_bps: f64,
    /// Access capacity up \[bit/s\].
    pub up_bps: f64,
    /// Round-trip time \[s\].
    pub rtt_s: f64,
    /// Private examples per domain.
    pub examples: Vec<u32>,
}

impl Fleet {
    /// Writes `fleet.csv` into a folder; one column `examples.<domain>` per domain.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_csv(&self, folder: &Path) -> Result<(), TableError> {
        csv_files::write(&columns::fleet(self), folder)
    }

    /// Writes the same table as `fleet.parquet`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_parquet(&self, folder: &Path) -> Result<(), TableError> {
        parquet_files::write(&columns::fleet(self), folder)
    }

    /// Reads `fleet.parquet` back from a folder.
    ///
    /// # Errors
    /// The file is missing or no fleet.
    pub fn read_parquet(folder: &Path) -> Result<Self, TableError> {
        let path = folder.join("fleet.parquet");
        let open = || -> Result<Self, ParquetError> {
            let file = bounded::open(&path, u64::MAX)?;
            read_foreign(file, DEVICES_PER_BYTE, |reader| Self::from_columns(&Columns::of(reader)))?
        };
        open().map_err(|source| TableError::Parquet { path, source })
    }

    fn from_columns(table: &Columns) -> Result<Self, ParquetError> {
        let names = table.names().iter();
        let domains: Vec<String> =
            names.filter_map(|name| name.strip_prefix("examples.")).map(str::to_owned).collect();
        if domains.iter().collect::<BTreeSet<_>>().len() < domains.len() {
            return Err(ParquetError::General("two columns are of one domain".to_owned()));
        }
        let examples = domains.iter().map(|domain| table.whole(&format!("examples.{domain}")));
        let examples: Vec<Vec<i64>> = examples.collect::<Result<_, _>>()?;
        let [device, class, model, compute, memory, down, up, rtt] = columns::FLEET;
        let (class, model) = (table.words(class)?, table.words(model)?);
        let (compute, memory) = (table.real(compute)?, table.whole(memory)?);
        let (down, up, rtt) = (table.real(down)?, table.real(up)?, table.real(rtt)?);
        let (mut devices, mut names) = (Vec::with_capacity(class.len()), Names::default());
        for (index, device) in table.whole(device)?.into_iter().enumerate() {
            devices.push(FleetRow {
                device: fit(device)?,
                class: names.shared(class[index].as_utf8()?)?,
                model: names.shared(model[index].as_utf8()?)?,
                compute_flops: compute[index],
                memory_bytes: fit(memory[index])?,
                down_bps: down[index],
                up_bps: up[index],
                rtt_s: rtt[index],
                examples: examples.iter().map(|column| fit(column[index])).collect::<Result<_, _>>()?,
            });
        }
        Ok(Self { domains, devices })
    }

    /// The device with this number.
    pub fn device(&self, device: u32) -> Option<&FleetRow> {
        // Where no device is missing its number is its place.
        let place = self.devices.get(device as usize).filter(|row| row.device == device);
        place.or_else(|| {
            let found = self.devices.binary_search_by_key(&device, |row| row.device);
            found.ok().map(|index| &self.devices[index])
        })
    }

    /// Names of the classes, in the order in which they first appear.
    pub fn classes(&self) -> Vec<Arc<str>> {
        let mut classes: Vec<Arc<str>> = Vec::new();
        for row in &self.devices {
            if !classes.contains(&row.class) {
                classes.push(row.class.clone());
            }
        }
        classes
    }
}

/// A number of the size that belongs there.
fn fit<N: TryFrom<i64>>(value: i64) -> Result<N, ParquetError> {
    N::try_from(value).map_err(|_| ParquetError::General(format!("{value} is out of range")))
}

/// The names of classes and models, each of them once however often it is written.
#[derive(Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &str) -> Result<Arc<str>, ParquetError> {
        if let Some(known) = self.0.get(name) {
            return Ok(known.clone());
        }
        if name.len() > LONGEST_NAME {
            return Err(ParquetError::General(format!("a name of {} bytes is too long", name.len())));
        }
        let name: Arc<str> = name.into();
        self.0.insert(name.clone());
        Ok(name)
    }
}
