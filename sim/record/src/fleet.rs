//! The fleet that was drawn: the one table that events do not carry, passed in by the simulation and kept as
//! `tables/fleet.csv`.

use std::path::Path;
use std::sync::Arc;

use crate::tables::TableError;

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

const FIXED: [&str; 8] =
    ["device", "class", "model", "compute_flops", "memory_bytes", "down_bps", "up_bps", "rtt_s"];

impl Fleet {
    /// Writes the table; one column `examples.<domain>` per domain.
    pub fn write_csv(&self, path: &Path) -> Result<(), TableError> {
        let failed = |source| TableError::Csv { path: path.to_owned(), source };
        let mut writer = csv::Writer::from_path(path).map_err(failed)?;
        let header = FIXED.iter().map(|name| (*name).to_owned());
        let domains = self.domains.iter().map(|domain| format!("examples.{domain}"));
        writer.write_record(header.chain(domains)).map_err(failed)?;
        for row in &self.devices {
            let fixed = [
                row.device.to_string(),
                row.class.to_string(),
                row.model.to_string(),
                row.compute_flops.to_string(),
                row.memory_bytes.to_string(),
                row.down_bps.to_string(),
                row.up_bps.to_string(),
                row.rtt_s.to_string(),
            ];
            let examples = row.examples.iter().map(u32::to_string);
            writer.write_record(fixed.into_iter().chain(examples)).map_err(failed)?;
        }
        writer.flush().map_err(|source| failed(source.into()))
    }

    /// Reads the table back.
    pub fn read_csv(path: &Path) -> Result<Self, TableError> {
        let failed = |source| TableError::Csv { path: path.to_owned(), source };
        let mut reader = csv::Reader::from_path(path).map_err(failed)?;
        let header = reader.headers().map_err(failed)?;
        let domain = |name: &str| name.strip_prefix("examples.").unwrap_or(name).to_owned();
        let domains = header.iter().skip(FIXED.len()).map(domain).collect();
        let mut devices: Vec<FleetRow> = Vec::new();
        for (index, record) in reader.records().enumerate() {
            let record = record.map_err(failed)?;
            let cells = Cells { path, line: index + 2, record: &record };
            let before = devices.last();
            devices.push(FleetRow {
                device: cells.number(0)?,
                class: shared(cells.text(1), before.map(|row| &row.class)),
                model: shared(cells.text(2), before.map(|row| &row.model)),
                compute_flops: cells.number(3)?,
                memory_bytes: cells.number(4)?,
                down_bps: cells.number(5)?,
                up_bps: cells.number(6)?,
                rtt_s: cells.number(7)?,
                examples: (FIXED.len()..record.len())
                    .map(|column| cells.number(column))
                    .collect::<Result<_, _>>()?,
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

struct Cells<'a> {
    path: &'a Path,
    line: usize,
    record: &'a csv::StringRecord,
}

impl Cells<'_> {
    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    fn number<T: std::str::FromStr>(&self, column: usize) -> Result<T, TableError> {
        self.text(column).parse().map_err(|_| TableError::NotANumber {
            path: self.path.to_owned(),
            line: self.line,
            column: FIXED.get(column).copied().unwrap_or("examples"),
            text: self.text(column).to_owned(),
        })
    }
}

/// The previous row's name if it is the same: devices of one class stand together.
fn shared(name: &str, before: Option<&Arc<str>>) -> Arc<str> {
    match before {
        Some(before) if &**before == name => before.clone(),
        _ => name.into(),
    }
}
