//! `cotune export`: a run for the tools of others.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cotune_record::export::{tensorboard, trace};
use cotune_record::run_directory::refuse_link;
use cotune_record::{EventReader, run_id, scores, write_metrics_csv};

use crate::arguments::{Export, ExportTo};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::results::Results;
use crate::talk;

/// Writes what was asked for and prints where it is.
pub fn export(typed: &Export) -> Result<Exit, Failure> {
    let directory = run_id::resolve(&typed.runs, &typed.run)?;
    let results = Results::read(&directory)?;
    let place = |name: &str| match &typed.output {
        Some(path) => Ok(path.clone()),
        // Where nobody said so, nothing is written outside the run's folder.
        None => {
            let path = directory.path().join(name);
            refuse_link(&path).map(|()| path)
        }
    };
    let path = match typed.to {
        ExportTo::Csv | ExportTo::Parquet => {
            let folder = made(place("tables")?)?;
            if typed.to == ExportTo::Csv {
                results.tables.write_csv(&folder)?;
                results.fleet.write_csv(&folder)?;
                write_metrics_csv(&scores(&results.tables.evaluations), &folder.join("metrics.csv"))?;
            } else {
                results.tables.write_parquet(&folder)?;
                results.fleet.write_parquet(&folder)?;
            }
            folder
        }
        ExportTo::Trace => {
            let path = place("trace.json")?;
            let mut file = create(&path)?;
            trace::write(EventReader::open(&directory.events_path())?, &results.fleet, &mut file)?;
            file.flush().map_err(|error| Failure::file("write", &path, error))?;
            path
        }
        ExportTo::Tensorboard => {
            let folder = made(place("tensorboard")?)?;
            // TensorBoard sorts files by the second in their names.
            let began = results.manifest.started_unix_ms / 1000;
            let path = folder.join(format!("events.out.tfevents.{began}.cotune"));
            refuse_link(&path)?;
            let mut file = create(&path)?;
            let scores = scores(&results.tables.evaluations);
            tensorboard::write(&scores, &results.tables.rounds, began as f64, &mut file)
                .and_then(|()| file.flush())
                .map_err(|error| Failure::file("write", &path, error))?;
            folder
        }
    };
    talk::print(format_args!("{}\n", path.display()))?;
    Ok(Exit::Done)
}

fn made(folder: PathBuf) -> Result<PathBuf, Failure> {
    fs::create_dir_all(&folder).map_err(|error| Failure::file("create", &folder, error))?;
    Ok(folder)
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    File::create(path).map(BufWriter::new).map_err(|error| Failure::file("create", path, error))
}
