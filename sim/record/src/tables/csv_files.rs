//! Tables as CSV files, one per table, a header line each; an absent value is an empty cell.

use std::path::Path;

use super::TableError;
use super::columns::{Cell, Table};
use crate::run_directory::replace_with;

/// Writes `<name>.csv` into a folder.
pub(crate) fn write<R>(table: &Table<R>, folder: &Path) -> Result<(), TableError> {
    let path = folder.join(table.name).with_extension("csv");
    let header: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let row = |row: &R| table.columns.iter().map(|column| text(&column.cell, row)).collect();
    write_table(&path, &header, table.rows.iter().map(row))
}

fn text<R>(cell: &Cell<R>, row: &R) -> String {
    match cell {
        Cell::Whole(read) => read(row).to_string(),
        Cell::MaybeWhole(read) => read(row).map_or(String::new(), |value| value.to_string()),
        Cell::Real(read) => read(row).to_string(),
        Cell::MaybeReal(read) => read(row).map_or(String::new(), |value| value.to_string()),
        Cell::Truth(read) => read(row).to_string(),
        Cell::Word(read) => read(row).unwrap_or_default().to_owned(),
    }
}

/// Writes rows of text.
pub(crate) fn write_table(
    path: &Path,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<(), TableError> {
    let failed = |source| TableError::Csv { path: path.to_owned(), source };
    replace_with(path, false, |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(header)?;
        for row in rows {
            writer.write_record(&row)?;
        }
        Ok(writer.flush()?)
    })
    .map_err(failed)
}
