//! Tables as CSV files, one per table, a header line each.

use std::path::Path;

use super::{TableError, Tables};

pub(super) fn write(tables: &Tables, folder: &Path) -> Result<(), TableError> {
    write_table(
        &folder.join("rounds.csv"),
        &[
            "round",
            "opened_s",
            "closed_s",
            "wait_s",
            "down_s",
            "compute_s",
            "up_s",
            "cloud_s",
            "invited",
            "accepted",
            "void",
            "bytes_down",
            "bytes_up",
            "wasted_bytes",
            "joules",
            "wasted_joules",
            "tokens",
            "loss",
            "relay_prompts",
            "relay_kept",
        ],
        tables.rounds.iter().map(|row| {
            vec![
                row.round.to_string(),
                row.opened_s.to_string(),
                optional(row.closed_s),
                row.wait_s.to_string(),
                row.down_s.to_string(),
                row.compute_s.to_string(),
                row.up_s.to_string(),
                row.cloud_s.to_string(),
                row.invited.to_string(),
                row.accepted.to_string(),
                row.void.to_string(),
                row.bytes_down.to_string(),
                row.bytes_up.to_string(),
                row.wasted_bytes.to_string(),
                row.joules.to_string(),
                row.wasted_joules.to_string(),
                row.tokens.to_string(),
                optional(row.loss),
                row.relay_prompts.to_string(),
                row.relay_kept.to_string(),
            ]
        }),
    )?;
    write_table(
        &folder.join("reports.csv"),
        &[
            "round",
            "device",
            "outcome",
            "ended_s",
            "weight",
            "staleness",
            "download_from_s",
            "download_to_s",
            "training_from_s",
            "training_to_s",
            "upload_from_s",
            "upload_to_s",
            "bytes_down",
            "bytes_up",
            "wasted_bytes",
            "joules",
            "wasted_joules",
        ],
        tables.reports.iter().map(|row| {
            vec![
                row.round.to_string(),
                row.device.to_string(),
                row.outcome.map_or(String::new(), |outcome| outcome.name().to_owned()),
                optional(row.ended_s),
                row.weight.to_string(),
                row.staleness.to_string(),
                optional(row.download.from_s),
                optional(row.download.to_s),
                optional(row.training.from_s),
                optional(row.training.to_s),
                optional(row.upload.from_s),
                optional(row.upload.to_s),
                row.bytes_down.to_string(),
                row.bytes_up.to_string(),
                row.wasted_bytes.to_string(),
                row.joules.to_string(),
                row.wasted_joules.to_string(),
            ]
        }),
    )?;
    write_table(
        &folder.join("evaluations.csv"),
        &["time_s", "round", "scope", "device", "metric", "domain", "value", "weight"],
        tables.evaluations.iter().map(|row| {
            vec![
                row.time_s.to_string(),
                row.round.to_string(),
                row.scope.name().to_owned(),
                optional(row.device),
                row.metric.clone(),
                row.domain.clone().unwrap_or_default(),
                optional(row.value),
                row.weight.to_string(),
            ]
        }),
    )?;
    write_table(
        &folder.join("faults.csv"),
        &["time_s", "kind", "device", "detail"],
        tables.faults.iter().map(|row| {
            vec![row.time_s.to_string(), row.kind.name().to_owned(), optional(row.device), row.detail.clone()]
        }),
    )
}

/// Writes one table; an absent value is an empty cell.
pub(crate) fn write_table(
    path: &Path,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<(), TableError> {
    let failed = |source| TableError::Csv { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(&row).map_err(failed)?;
    }
    writer.flush().map_err(|source| failed(source.into()))
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
