//! The log as Parquet: columns `device` (whole), `t_s` (number) and `online` (boolean, or 0 and 1), in any order and
//! among others.

use bytes::Bytes;
use cotune_record::tables::read_foreign;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::log::Log;
use super::{BadRow, Track};

/// Whether a file is Parquet: it begins and ends with `PAR1`.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1")
}

/// Rows that a byte of a file can stand for (chosen: those of devices that were looked at in regular intervals, in deltas).
const ROWS_PER_BYTE: u64 = 128;

pub(super) fn read(bytes: Vec<u8>) -> Result<Vec<Track>, BadRow> {
    read_foreign(Bytes::from(bytes), ROWS_PER_BYTE, |reader| tracks(&reader)).map_err(broken)?
}

fn broken(error: ParquetError) -> BadRow {
    BadRow::whole(error.to_string())
}

fn tracks(reader: &SerializedFileReader<Bytes>) -> Result<Vec<Track>, BadRow> {
    let mut log = Log::default();
    for (index, row) in reader.get_row_iter(None).map_err(broken)?.enumerate() {
        let row = row.map_err(broken)?;
        let find = |name: &str| {
            let mut columns = row.get_column_iter();
            let column = columns.find(|(column, _)| *column == name).map(|(_, field)| field);
            column.ok_or_else(|| {
                BadRow::whole(format!("it has no column `{name}`: device, t_s and online are read"))
            })
        };
        let wrong = |name: &str, field: &Field| BadRow::at(index, format!("`{name}` cannot be {field}"));
        let (device, time, online) = (find("device")?, find("t_s")?, find("online")?);
        let number = |name: &str, field: &Field| as_number(field).ok_or_else(|| wrong(name, field));
        let whole = number("device", device)?;
        if whole < 0.0 || whole.fract() != 0.0 {
            return Err(wrong("device", device));
        }
        let online = match (online, as_number(online)) {
            (Field::Bool(online), _) => *online,
            (_, Some(0.0)) => false,
            (_, Some(1.0)) => true,
            _ => return Err(wrong("online", online)),
        };
        let pushed = log.push(whole as u64, number("t_s", time)?, online);
        pushed.map_err(|problem| BadRow::at(index, problem))?;
    }
    log.tracks()
}

fn as_number(field: &Field) -> Option<f64> {
    match field {
        Field::Byte(n) => Some(f64::from(*n)),
        Field::Short(n) => Some(f64::from(*n)),
        Field::Int(n) => Some(f64::from(*n)),
        Field::Long(n) => Some(*n as f64),
        Field::UByte(n) => Some(f64::from(*n)),
        Field::UShort(n) => Some(f64::from(*n)),
        Field::UInt(n) => Some(f64::from(*n)),
        Field::ULong(n) => Some(*n as f64),
        Field::Float(n) => Some(f64::from(*n)),
        Field::Double(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Presence;
    use parquet::data_type::{BoolType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    /// A file with a column that nobody asked for.
    fn written(rows: &[(i64, f64, bool)]) -> Vec<u8> {
        let schema = "message log { required double t_s; required int64 device; required boolean online; \
                      required int64 battery; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut out = Vec::new();
        let properties = Arc::new(WriterProperties::builder().build());
        let mut file = SerializedFileWriter::new(&mut out, schema, properties).unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = 0;
        while let Some(mut writer) = group.next_column().unwrap() {
            let whole = |of: fn(&(i64, f64, bool)) -> i64| rows.iter().map(of).collect::<Vec<_>>();
            match column {
                0 => {
                    let times: Vec<f64> = rows.iter().map(|row| row.1).collect();
                    writer.typed::<DoubleType>().write_batch(&times, None, None).map(drop)
                }
                1 => writer.typed::<Int64Type>().write_batch(&whole(|row| row.0), None, None).map(drop),
                2 => {
                    let online: Vec<bool> = rows.iter().map(|row| row.2).collect();
                    writer.typed::<BoolType>().write_batch(&online, None, None).map(drop)
                }
                _ => writer.typed::<Int64Type>().write_batch(&whole(|_| 7), None, None).map(drop),
            }
            .unwrap();
            writer.close().unwrap();
            column += 1;
        }
        group.close().unwrap();
        file.close().unwrap();
        out
    }

    #[test]
    fn the_same_log_says_the_same_as_parquet_and_as_csv() {
        let rows = [(4, 0.0, true), (4, 20.0, false), (9, 10.5, true), (4, 70.0, true), (9, 100.0, true)];
        let csv: String =
            rows.iter().map(|(device, t, online)| format!("{device},{t},{}\n", u8::from(*online))).collect();
        assert_eq!(Presence::read(written(&rows)).unwrap(), Presence::read(csv.into_bytes()).unwrap());
    }

    #[test]
    fn bad_files_are_refused_in_words() {
        let back = written(&[(1, 5.0, true), (1, 4.0, false)]);
        assert_eq!(read(back).unwrap_err(), BadRow::at(1, "4 s is before the device's last line"));
        let mut cut = written(&[(1, 5.0, true)]);
        cut.drain(10..30);
        assert!(read(cut).is_err());
        assert!(!is(b"device,t_s,online"));
    }
}
