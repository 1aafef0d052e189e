//! A table as columns over rows: the one description that its CSV and its Parquet file are written from.

use super::{EvaluationRow, FaultRow, ReportRow, RoundRow, Tables};
use crate::fleet::{Fleet, FleetRow};

/// Rows of one kind, and what each column reads from a row.
pub(crate) struct Table<'a, R> {
    /// The file's name without its extension.
    pub name: &'static str,
    /// The rows.
    pub rows: &'a [R],
    /// The columns, in order.
    pub columns: Vec<Column<R>>,
}

/// A column.
pub(crate) struct Column<R> {
    /// Its name; units are at its end.
    pub name: String,
    /// What it reads.
    pub cell: Cell<R>,
}

/// How a value is read from a row.
type Read<R, V> = Box<dyn Fn(&R) -> V>;

/// How a text is read from a row.
type ReadWord<R> = Box<dyn Fn(&R) -> Option<&str>>;

/// What a column reads from a row.
pub(crate) enum Cell<R> {
    /// A whole number, always there.
    Whole(Read<R, u64>),
    /// A whole number or nothing.
    MaybeWhole(Read<R, Option<u64>>),
    /// A number, always there.
    Real(Read<R, f64>),
    /// A number or nothing.
    MaybeReal(Read<R, Option<f64>>),
    /// true or false.
    Truth(Read<R, bool>),
    /// A text or nothing.
    Word(ReadWord<R>),
}

impl<'a, R> Table<'a, R> {
    fn new(name: &'static str, rows: &'a [R]) -> Self {
        Self { name, rows, columns: Vec::new() }
    }

    fn with(mut self, name: &str, cell: Cell<R>) -> Self {
        self.columns.push(Column { name: name.to_owned(), cell });
        self
    }

    fn whole(self, name: &str, cell: impl Fn(&R) -> u64 + 'static) -> Self {
        self.with(name, Cell::Whole(Box::new(cell)))
    }

    fn maybe_whole(self, name: &str, cell: impl Fn(&R) -> Option<u64> + 'static) -> Self {
        self.with(name, Cell::MaybeWhole(Box::new(cell)))
    }

    fn real(self, name: &str, cell: impl Fn(&R) -> f64 + 'static) -> Self {
        self.with(name, Cell::Real(Box::new(cell)))
    }

    fn maybe_real(self, name: &str, cell: impl Fn(&R) -> Option<f64> + 'static) -> Self {
        self.with(name, Cell::MaybeReal(Box::new(cell)))
    }

    fn truth(self, name: &str, cell: impl Fn(&R) -> bool + 'static) -> Self {
        self.with(name, Cell::Truth(Box::new(cell)))
    }

    fn word(self, name: &str, cell: impl Fn(&R) -> Option<&str> + 'static) -> Self {
        self.with(name, Cell::Word(Box::new(cell)))
    }
}

/// `rounds`.
pub(crate) fn rounds(tables: &Tables) -> Table<'_, RoundRow> {
    Table::new("rounds", &tables.rounds)
        .whole("round", |row| row.round.into())
        .real("opened_s", |row| row.opened_s)
        .maybe_real("closed_s", |row| row.closed_s)
        .real("wait_s", |row| row.wait_s)
        .real("down_s", |row| row.down_s)
        .real("compute_s", |row| row.compute_s)
        .real("up_s", |row| row.up_s)
        .real("cloud_s", |row| row.cloud_s)
        .whole("invited", |row| row.invited.into())
        .whole("accepted", |row| row.accepted.into())
        .truth("void", |row| row.void)
        .whole("bytes_down", |row| row.bytes_down)
        .whole("bytes_up", |row| row.bytes_up)
        .whole("wasted_bytes", |row| row.wasted_bytes)
        .real("joules", |row| row.joules)
        .real("wasted_joules", |row| row.wasted_joules)
        .whole("tokens", |row| row.tokens)
        .maybe_real("loss", |row| row.loss)
        .whole("relay_prompts", |row| row.relay_prompts)
        .whole("relay_kept", |row| row.relay_kept)
}

/// `reports`: a row for every invitation.
pub(crate) fn reports(tables: &Tables) -> Table<'_, ReportRow> {
    Table::new("reports", &tables.reports)
        .whole("round", |row| row.round.into())
        .whole("device", |row| row.device.into())
        .word("outcome", |row| row.outcome.map(super::Outcome::name))
        .maybe_real("ended_s", |row| row.ended_s)
        .real("weight", |row| row.weight)
        .whole("staleness", |row| row.staleness.into())
        .maybe_real("download_from_s", |row| row.download.from_s)
        .maybe_real("download_to_s", |row| row.download.to_s)
        .maybe_real("training_from_s", |row| row.training.from_s)
        .maybe_real("training_to_s", |row| row.training.to_s)
        .maybe_real("upload_from_s", |row| row.upload.from_s)
        .maybe_real("upload_to_s", |row| row.upload.to_s)
        .whole("bytes_down", |row| row.bytes_down)
        .whole("bytes_up", |row| row.bytes_up)
        .whole("wasted_bytes", |row| row.wasted_bytes)
        .real("joules", |row| row.joules)
        .real("wasted_joules", |row| row.wasted_joules)
}

/// `evaluations`: a row for every score.
pub(crate) fn evaluations(tables: &Tables) -> Table<'_, EvaluationRow> {
    Table::new("evaluations", &tables.evaluations)
        .real("time_s", |row| row.time_s)
        .whole("round", |row| row.round.into())
        .word("scope", |row| Some(row.scope.name()))
        .maybe_whole("device", |row| row.device.map(u64::from))
        .word("metric", |row| Some(row.metric.as_str()))
        .word("domain", |row| row.domain.as_deref())
        .maybe_real("value", |row| row.value)
        .real("weight", |row| row.weight)
}

/// `faults`.
pub(crate) fn faults(tables: &Tables) -> Table<'_, FaultRow> {
    Table::new("faults", &tables.faults)
        .real("time_s", |row| row.time_s)
        .word("kind", |row| Some(row.kind.name()))
        .maybe_whole("device", |row| row.device.map(u64::from))
        .word("detail", |row| Some(row.detail.as_str()))
}

/// Columns of [`fleet`] before those of the domains.
pub(crate) const FLEET: [&str; 8] =
    ["device", "class", "model", "compute_flops", "memory_bytes", "down_bps", "up_bps", "rtt_s"];

/// `fleet`: a row for every device, a column `examples.<domain>` for every domain.
pub(crate) fn fleet(fleet: &Fleet) -> Table<'_, FleetRow> {
    let table = Table::new("fleet", &fleet.devices)
        .whole(FLEET[0], |row| row.device.into())
        .word(FLEET[1], |row| Some(&row.class))
        .word(FLEET[2], |row| Some(&row.model))
        .real(FLEET[3], |row| row.compute_flops)
        .whole(FLEET[4], |row| row.memory_bytes)
        .real(FLEET[5], |row| row.down_bps)
        .real(FLEET[6], |row| row.up_bps)
        .real(FLEET[7], |row| row.rtt_s);
    fleet.domains.iter().enumerate().fold(table, |table, (index, domain)| {
        let examples = move |row: &FleetRow| row.examples.get(index).copied().unwrap_or(0).into();
        table.whole(&format!("examples.{domain}"), examples)
    })
}
