//! Tables as Parquet files: one per table, compressed by zstd, whole numbers as signed 64-bit ones so that differences
//! may be negative wherever they are read.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use cotune_kernel::panics;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::page::Page;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::TableError;
use super::columns::{Cell, Column, Table};
use crate::run_directory::replace_with;

/// Rows of a row group, the unit that readers skip and load.
const GROUP: usize = 1 << 20;

/// Writes `<name>.parquet` into a folder.
pub(crate) fn write<R>(table: &Table<R>, folder: &Path) -> Result<(), TableError> {
    let path = folder.join(table.name).with_extension("parquet");
    let written = replace_with(&path, false, |file| -> Result<(), ParquetError> {
        let level = ZstdLevel::try_new(3)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let fields = table.columns.iter().map(|column| field(column).map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder(table.name).with_fields(fields).build()?;
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
        for rows in table.rows.chunks(GROUP) {
            let mut group = writer.next_row_group()?;
            for column in &table.columns {
                write_column(&mut group, &column.cell, rows)?;
            }
            group.close()?;
        }
        writer.close()?;
        Ok(())
    });
    written.map_err(|source| TableError::Parquet { path, source })
}

fn field<R>(column: &Column<R>) -> Result<Type, ParquetError> {
    let (required, optional) = (Repetition::REQUIRED, Repetition::OPTIONAL);
    let (physical, repetition, logical) = match column.cell {
        Cell::Whole(_) => (Physical::INT64, required, None),
        Cell::MaybeWhole(_) => (Physical::INT64, optional, None),
        Cell::Real(_) => (Physical::DOUBLE, required, None),
        Cell::MaybeReal(_) => (Physical::DOUBLE, optional, None),
        Cell::Truth(_) => (Physical::BOOLEAN, required, None),
        Cell::Word(_) => (Physical::BYTE_ARRAY, optional, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    builder.with_repetition(repetition).with_logical_type(logical).build()
}

fn write_column<R, S: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, S>,
    cell: &Cell<R>,
    rows: &[R],
) -> Result<(), ParquetError> {
    // Nothing recorded is beyond what is exact in a signed number.
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    match cell {
        Cell::Whole(read) => {
            put::<Int64Type, _>(group, rows.iter().map(|row| Some(signed(read(row)))), false)
        }
        Cell::MaybeWhole(read) => {
            put::<Int64Type, _>(group, rows.iter().map(|row| read(row).map(signed)), true)
        }
        Cell::Real(read) => put::<DoubleType, _>(group, rows.iter().map(|row| Some(read(row))), false),
        Cell::MaybeReal(read) => put::<DoubleType, _>(group, rows.iter().map(read), true),
        Cell::Truth(read) => put::<BoolType, _>(group, rows.iter().map(|row| Some(read(row))), false),
        Cell::Word(read) => {
            put::<ByteArrayType, _>(group, rows.iter().map(|row| read(row).map(ByteArray::from)), true)
        }
    }
}

fn put<T: DataType, S: std::io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, S>,
    values: impl Iterator<Item = Option<T::T>>,
    optional: bool,
) -> Result<(), ParquetError> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has no such column".to_owned()));
    };
    column.typed::<T>().write_batch(&present, optional.then_some(&levels), None)?;
    column.close()
}

/// Values of a column that the smallest file may hold.
const VALUES_ANYWAY: u64 = 1 << 16;

/// Columns with as many values as one may have that a file may hold (chosen: a million devices that are all alike may have
/// examples of four hundred domains).
const FULL_COLUMNS: u64 = 16;

/// Encodings that say inside a page how many texts there are, where nobody looks before room is made for them.
const TEXTS_IN_DELTAS: [Encoding; 2] = [Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY];

/// Reads a Parquet file that may come from anyone, where a column has at most `values_per_byte` values for every byte of the
/// file, and all columns together sixteen times as many. The crate that reads them panics at some that are damaged, and allocates what others claim to hold.
///
/// # Errors
/// It is no Parquet file, is damaged, or holds more than its size allows.
pub fn read_foreign<S: ChunkReader + 'static, T>(
    source: S,
    values_per_byte: u64,
    read: impl FnOnce(SerializedFileReader<S>) -> T,
) -> Result<T, ParquetError> {
    let most = source.len().saturating_mul(values_per_byte).saturating_add(VALUES_ANYWAY);
    let read = || {
        let reader = SerializedFileReader::new(source)?;
        refuse_claims(&reader, most)?;
        Ok(read(reader))
    };
    panics::undamaged(read).unwrap_or_else(|damage| Err(ParquetError::General(damage)))
}

/// Refuses a file whose pages claim to hold what they cannot, before anything is as large as they claim.
fn refuse_claims<S: ChunkReader + 'static>(
    reader: &SerializedFileReader<S>,
    most: u64,
) -> Result<(), ParquetError> {
    let refused = |problem: String| Err(ParquetError::General(problem));
    let columns = reader.metadata().file_metadata().schema_descr().num_columns();
    let (mut values, mut all) = (vec![0_u64; columns], 0_u64);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        for (column, values) in values.iter_mut().enumerate() {
            let mut pages = group.get_column_page_reader(column)?;
            while let Some(page) = pages.get_next_page()? {
                let (claimed, length) = (page.num_values(), page.buffer().len());
                match page {
                    // Every value of a dictionary takes a byte of it or more.
                    Page::DictionaryPage { .. } if claimed as usize > length => {
                        return refused(format!("a dictionary of {claimed} values in {length} bytes"));
                    }
                    Page::DictionaryPage { .. } => {}
                    page if TEXTS_IN_DELTAS.contains(&page.encoding()) => {
                        return refused(format!("the encoding {} is not read", page.encoding()));
                    }
                    _ => {
                        *values += u64::from(claimed);
                        all += u64::from(claimed);
                    }
                }
                if *values > most {
                    return refused(format!("a column has {values} values, more than a file of its size"));
                }
                if all > most.saturating_mul(FULL_COLUMNS) {
                    return refused(format!("its columns have {all} values, more than a file of its size"));
                }
            }
        }
    }
    Ok(())
}

/// A Parquet file whose columns are read whole.
pub(crate) struct Columns {
    reader: SerializedFileReader<File>,
    names: Vec<String>,
}

impl Columns {
    /// The columns of an open file.
    pub fn of(reader: SerializedFileReader<File>) -> Self {
        let columns = reader.metadata().file_metadata().schema_descr().columns();
        let names = columns.iter().map(|column| column.name().to_owned()).collect();
        Self { reader, names }
    }

    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whole numbers of a column without gaps.
    pub fn whole(&self, name: &str) -> Result<Vec<i64>, ParquetError> {
        self.read::<Int64Type>(name)
    }

    /// Numbers of a column without gaps.
    pub fn real(&self, name: &str) -> Result<Vec<f64>, ParquetError> {
        self.read::<DoubleType>(name)
    }

    /// Texts of a column without gaps.
    pub fn words(&self, name: &str) -> Result<Vec<ByteArray>, ParquetError> {
        self.read::<ByteArrayType>(name)
    }

    fn read<T: DataType>(&self, name: &str) -> Result<Vec<T::T>, ParquetError> {
        let missing = || ParquetError::General(format!("there is no column `{name}`"));
        let index = self.names.iter().position(|known| known == name).ok_or_else(missing)?;
        let mut values = Vec::new();
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let physical = group.metadata().column(index).column_type();
            if physical != T::get_physical_type() {
                return Err(ParquetError::General(format!("the column `{name}` is of type {physical}")));
            }
            let mut column = get_typed_column_reader::<T>(group.get_column_reader(index)?);
            let (mut levels, mut read) = (Vec::new(), 0);
            while read < rows {
                let (records, _, _) =
                    column.read_records(rows - read, Some(&mut levels), None, &mut values)?;
                if records == 0 {
                    break;
                }
                read += records;
            }
        }
        let rows = usize::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        if values.len() == rows {
            Ok(values)
        } else {
            Err(ParquetError::General(format!("the column `{name}` has gaps")))
        }
    }
}
