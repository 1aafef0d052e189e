//! Checkpoints on disk in Hugging Face's layout: `config.json`, `model.safetensors` (or its shards) and
//! `tokenizer.json`.
//!
//! | file           | what it knows |
//! |----------------|---------------|
//! | `config.rs`    | `config.json` of every family, in the spellings of transformers 4 and 5 |
//! | `names.rs`     | what each family calls its tensors and how they lie |
//! | `parts.rs`     | which files a folder is made of, and their digest |
//! | `store.rs`     | safetensors files, read tensor by tensor |
//! | `values.rs`    | tensors in f32, f16 or bf16 on their way between file and device |
//! | `llama2c.rs`   | the format of llama2.c |
//! | `convert.rs`   | from any of these into a folder |

mod config;
mod convert;
mod llama2c;
pub(crate) mod names;
mod parts;
pub(crate) mod store;
pub(crate) mod values;

use crate::spec::DecoderSpec;
use cotune_kernel::bounded;
use names::Place;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use store::TensorStore;
use values::Values;

pub use config::Config;
pub use convert::{Converted, Source, convert};
pub use parts::{Parts, file_digest};
pub use values::Precision;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file has the wrong content.
    #[error("{path}: {problem}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The tensors are not those of the configuration.
    #[error("{path} does not hold the model of its config.json: {}", listed(problems), path = path.display())]
    Tensors {
        /// The folder or file.
        path: PathBuf,
        /// One sentence a tensor.
        problems: Vec<String>,
    },
    /// A folder that is to be made has something in it.
    #[error("{path} is not empty: nothing is overwritten", path = path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Weights are there, as a pickle.
    #[error(
        "{path} is a pickle, which may run any code when it is read: write safetensors with\n  python -c 'from \
         transformers import AutoModelForCausalLM as M, AutoTokenizer as T; M.from_pretrained(\"{folder}\")\
         .save_pretrained(\"{folder}-safe\", safe_serialization=True); \
         T.from_pretrained(\"{folder}\").save_pretrained(\"{folder}-safe\")'\nand read {folder}-safe",
        path = path.display(), folder = path.parent().unwrap_or(path).display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
}

/// The longest configuration that is read \[B\]: of a model, of an adapter, of special tokens.
pub(crate) const LONGEST_CONFIG: u64 = 16 << 20;

/// How many problems a message lists.
const LISTED: usize = 12;

pub(crate) fn listed(problems: &[String]) -> String {
    let mut text = problems.iter().take(LISTED).cloned().collect::<Vec<_>>().join("; ");
    if problems.len() > LISTED {
        text += &format!("; and {} more", problems.len() - LISTED);
    }
    text
}

/// A checkpoint whose tensors are read when they are asked for.
pub(crate) struct Checkpoint<'a> {
    pub config: Config,
    place: PathBuf,
    store: TensorStore<'a>,
}

impl Checkpoint<'static> {
    /// Opens a folder in Hugging Face's layout.
    pub(crate) fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join("config.json");
        let config = bounded::bytes(&path, LONGEST_CONFIG).map_err(|source| match pickle_in(folder) {
            Some(path) => CheckpointError::Pickle { path },
            None => CheckpointError::Io { path: path.clone(), source },
        })?;
        let config = config::read(&config).map_err(|problem| CheckpointError::Malformed { path, problem })?;
        let store = TensorStore::open(folder)?;
        Self::checked(config, folder.to_path_buf(), store)
    }
}

impl<'a> Checkpoint<'a> {
    /// A checkpoint in memory; `place` is its name in messages.
    pub(crate) fn in_memory(place: &Path, config: &[u8], model: &'a [u8]) -> Result<Self, CheckpointError> {
        let config = config::read(config)
            .map_err(|problem| CheckpointError::Malformed { path: place.join("config.json"), problem })?;
        let store = TensorStore::in_memory(&place.join("model.safetensors"), model)?;
        Self::checked(config, place.to_path_buf(), store)
    }

    /// Lists every tensor that is missing, unexpected or misshapen, or of a type that is no float.
    fn checked(config: Config, place: PathBuf, store: TensorStore<'a>) -> Result<Self, CheckpointError> {
        let names = names::of(config.spec.family);
        // Before anything is sized after a number of the configuration.
        let (layers, there) = (config.spec.layers, store.names().count());
        if layers > there {
            let problems = vec![format!("{layers} layers, and {there} tensors in all")];
            return Err(CheckpointError::Tensors { path: place, problems });
        }
        let mut problems = Vec::new();
        let mut wanted = BTreeSet::new();
        for (tensor, _) in config.spec.tensors() {
            for (name, shape) in names.place(&config.spec, &tensor).file_tensors(&config.spec, &tensor) {
                match store.find(&name, names.optional_prefix) {
                    None => problems.push(format!("missing tensor `{name}` {shape:?}")),
                    Some((found, info)) => {
                        if info.shape != shape {
                            problems.push(format!("tensor `{found}` is {:?}, not {shape:?}", info.shape));
                        } else if Precision::of(info.dtype).is_none() {
                            problems
                                .push(format!("tensor `{found}` is {:?}, not F32, F16 or BF16", info.dtype));
                        }
                        wanted.insert(found.to_string());
                    }
                }
            }
        }
        let unexpected =
            store.names().filter(|name| !wanted.contains(*name) && !names.is_ignored(name, config.spec.tied));
        problems.extend(unexpected.map(|name| format!("unexpected tensor `{name}`")));
        match problems.is_empty() {
            true => Ok(Self { config, place, store }),
            false => Err(CheckpointError::Tensors { path: place, problems }),
        }
    }

    /// The shape and switches of the model.
    pub(crate) fn spec(&self) -> &DecoderSpec {
        &self.config.spec
    }

    /// The format of its embedding.
    pub(crate) fn precision(&self) -> Precision {
        let names = names::of(self.config.spec.family);
        let place = names.place(&self.config.spec, "embedding").file_tensors(&self.config.spec, "embedding");
        let found = place.first().and_then(|(name, _)| self.store.find(name, names.optional_prefix));
        found.and_then(|(_, info)| Precision::of(info.dtype)).unwrap_or(Precision::F32)
    }

    /// One tensor of [`DecoderSpec::tensors`] as its files hold it, with its place.
    pub(crate) fn read(&mut self, tensor: &str) -> Result<(Place, Vec<Values>), CheckpointError> {
        let names = names::of(self.config.spec.family);
        let place = names.place(&self.config.spec, tensor);
        let parts = place
            .file_tensors(&self.config.spec, tensor)
            .iter()
            .map(|(name, _)| {
                let (found, _) = self.store.find(name, names.optional_prefix).expect("checked when opened");
                let found = found.to_string();
                self.store.read(&found).map_err(|problem| CheckpointError::Malformed {
                    path: self.place.clone(),
                    problem: format!("tensor `{found}`: {problem}"),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok((place, parts))
    }

    /// One tensor as f32 in the order of [`DecoderSpec::tensors`].
    pub(crate) fn read_f32(&mut self, tensor: &str) -> Result<Vec<f32>, CheckpointError> {
        let spec = self.config.spec.clone();
        let (place, parts) = self.read(tensor)?;
        let parts: Vec<Vec<f32>> = parts.into_iter().map(Values::into_f32).collect();
        Ok(place.assemble(&spec, tensor, parts))
    }
}

/// Weights of a folder that only a pickle holds.
fn pickle_in(folder: &Path) -> Option<PathBuf> {
    let is_pickle = |path: &Path| path.extension().is_some_and(|e| e == "bin" || e == "pt" || e == "pth");
    if folder.is_file() {
        return is_pickle(folder).then(|| folder.to_path_buf());
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_pickle(path))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Writes `config.json` and `model.safetensors` in the layout of the spec's family; `value(tensor)` yields the
/// values of one of [`DecoderSpec::tensors`].
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn write(
    folder: &Path,
    config: &Config,
    precision: Precision,
    mut value: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<(), CheckpointError> {
    let io = |path: &Path, source| CheckpointError::Io { path: path.to_path_buf(), source };
    std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
    let names = names::of(config.spec.family);
    let mut tensors = Vec::new();
    for (tensor, _) in config.spec.tensors() {
        let place = names.place(&config.spec, &tensor);
        let parts = place.take_apart(&config.spec, &tensor, &value(&tensor)?);
        for ((name, shape), values) in place.file_tensors(&config.spec, &tensor).into_iter().zip(parts) {
            tensors.push((name, shape, precision.bytes(&values)));
        }
    }
    let path = folder.join("model.safetensors");
    store::write(&path, &tensors, precision).map_err(|source| io(&path, source))?;
    let path = folder.join("config.json");
    std::fs::write(&path, config::write(config, precision)).map_err(|source| io(&path, source))
}
