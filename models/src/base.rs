//! A base: the frozen weights of one model, its tokenizer and its place of computation.
//!
//! A base is shared by everything that trains on it: a thousand devices with the same model hold a thousand
//! adapters and one base.

use crate::adapter::as_matrix;
use crate::checkpoint::names::Place;
use crate::checkpoint::values::{Parts, Values};
use crate::checkpoint::{self, Checkpoint, CheckpointError, Precision};
use crate::decoder::Weights;
use crate::device::Compute;
use crate::kernels::attention::PositionTables;
use crate::spec::DecoderSpec;
use crate::tokenizer::{Tokenizer, TokenizerError};
use burn::tensor::{DType, Element, Tensor, TensorData};
use half::{bf16, f16};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Values of a model by tensor name, on the host.
pub type HostWeights = BTreeMap<String, Vec<f32>>;

/// The frozen part of a model, ready to compute with. Clones share the weights.
#[derive(Clone, Debug)]
pub struct Base {
    name: String,
    spec: DecoderSpec,
    tokenizer: Option<Tokenizer>,
    ends: Vec<u32>,
    pad: u32,
    compute: Compute,
    pub(crate) weights: Weights,
    pub(crate) tables: PositionTables,
    digest: String,
}

/// Why a base cannot be loaded or stored.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Its files cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is no such model in the zoo.
    #[error("the zoo has no model `{name}`; it has {known}")]
    UnknownZooModel {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The tokenizer is missing or does not fit the model.
    #[error("{path}: {problem}", path = path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The three files of a checkpoint in Hugging Face's layout.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointFiles<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `model.safetensors`.
    pub model: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
}

/// Parameters from which weights that a file holds in half precision stay so in memory (on the CPU): below, expanding
/// them at every use costs more than the memory is worth (chosen).
const HALF_FROM: usize = 32 << 20;

impl Base {
    /// Puts host values on a device.
    pub fn new(
        name: &str,
        spec: DecoderSpec,
        tokenizer: Tokenizer,
        host: &HostWeights,
        compute: &Compute,
    ) -> Self {
        let mut loading = Loading::new(&spec, compute);
        for (tensor, shape) in spec.tensors() {
            loading.add(&tensor, &shape, host[&tensor].clone());
        }
        loading.finish(name, spec, Some(tokenizer), Vec::new(), None)
    }

    /// Reads a folder in Hugging Face's layout, `tokenizer.json` included.
    ///
    /// # Errors
    /// A file is missing or malformed, the weights are not those of the configuration, or only a pickle holds them.
    pub fn load(folder: &Path, compute: &Compute) -> Result<Self, BaseError> {
        let base = Self::load_bare(folder, compute)?;
        match base.tokenizer {
            Some(_) => Ok(base),
            None => Err(BaseError::Tokenizer {
                path: folder.join("tokenizer.json"),
                problem: "is missing: texts cannot become tokens".to_string(),
            }),
        }
    }

    /// Like [`Base::load`], for work on token ids: the tokenizer may be missing.
    ///
    /// # Errors
    /// As [`Base::load`], except for a missing tokenizer.
    pub fn load_bare(folder: &Path, compute: &Compute) -> Result<Self, BaseError> {
        let checkpoint = Checkpoint::open(folder)?;
        let has = |file: &str| folder.join(file).is_file();
        let path = folder.join("tokenizer.json");
        let tokenizer = match has("tokenizer.json") || (has("vocab.json") && has("merges.txt")) {
            true => Some(fitting(Tokenizer::from_directory(folder), &checkpoint.config, &path)?),
            false => None,
        };
        let name = folder.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Self::from_checkpoint(&name, checkpoint, tokenizer, compute)
    }

    /// Reads a model of the zoo that this build carries.
    ///
    /// # Errors
    /// The zoo has no model of that name.
    pub fn zoo(name: &str, compute: &Compute) -> Result<Self, BaseError> {
        let files = zoo_files(name)?;
        let place = Path::new("zoo").join(name);
        let checkpoint = Checkpoint::in_memory(&place, files.config, files.model)?;
        let tokenizer = read_tokenizer(files.tokenizer, &checkpoint.config, &place.join("tokenizer.json"))?;
        Self::from_checkpoint(name, checkpoint, Some(tokenizer), compute)
    }

    fn from_checkpoint(
        name: &str,
        mut checkpoint: Checkpoint<'_>,
        tokenizer: Option<Tokenizer>,
        compute: &Compute,
    ) -> Result<Self, BaseError> {
        let spec = checkpoint.spec().clone();
        let mut loading = Loading::new(&spec, compute);
        for (tensor, shape) in spec.tensors() {
            if loading.keeps_half && shape.len() == 2 && tensor != "positions" {
                let (place, parts) = checkpoint.read(&tensor)?;
                loading.add_stored(&spec, &tensor, &shape, &place, parts);
            } else {
                let values = checkpoint.read_f32(&tensor)?;
                loading.add(&tensor, &shape, values);
            }
        }
        let (ends, pad) = (checkpoint.config.ends, checkpoint.config.pad);
        Ok(loading.finish(name, spec, tokenizer, ends, pad))
    }

    /// The same weights with another tokenizer, such as one with other special tokens.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        if !self.ends.contains(&tokenizer.eos()) {
            self.ends.push(tokenizer.eos());
        }
        self.pad = tokenizer.pad();
        self.tokenizer = Some(tokenizer);
        self
    }

    /// Writes the base as a checkpoint folder in Hugging Face's layout.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, folder: &Path, precision: Precision) -> Result<(), BaseError> {
        let config = checkpoint::Config {
            spec: self.spec.clone(),
            begin: self.tokenizer.as_ref().and_then(|tokenizer| tokenizer.beginning().first().copied()),
            ends: self.ends.clone(),
            pad: self.tokenizer.as_ref().map(Tokenizer::pad),
        };
        save(folder, &config, self.tokenizer.as_ref(), precision, |tensor| self.host_values(tensor))
    }

    /// Name of the checkpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape and switches.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// The tokenizer the base was trained with.
    ///
    /// # Panics
    /// The base was loaded for work on token ids and has none.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.tokenizer.as_ref().expect("only a base that was loaded bare lacks a tokenizer")
    }

    /// Whether texts can become tokens.
    pub fn has_tokenizer(&self) -> bool {
        self.tokenizer.is_some()
    }

    /// Tokens that end a text.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The token that fills the rest of a shorter sequence.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Where it computes.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// BLAKE3 over names and values, hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// One tensor's values, read back from the device.
    pub fn host_values(&self, tensor: &str) -> Vec<f32> {
        let data = self.weights[tensor].clone().cast(DType::F32).into_data();
        data.try_into_vec::<f32>().expect("cast to f32")
    }
}

/// The files of a model of the zoo.
pub(crate) fn zoo_files(name: &str) -> Result<&'static CheckpointFiles<'static>, BaseError> {
    let found = crate::zoo::MODELS.iter().find(|(known, _)| *known == name).map(|(_, files)| files);
    found.ok_or_else(|| BaseError::UnknownZooModel {
        name: name.to_string(),
        known: crate::zoo::names().join(", "),
    })
}

/// A tokenizer in memory, with the special tokens of the configuration.
pub(crate) fn read_tokenizer(
    bytes: &[u8],
    config: &checkpoint::Config,
    path: &Path,
) -> Result<Tokenizer, BaseError> {
    let tokenizer = match config.ends.first() {
        Some(end) => Tokenizer::from_json_with_specials(bytes, *end, config.pad.unwrap_or(*end)),
        None => Tokenizer::from_json(bytes),
    };
    fitting(tokenizer, config, path)
}

/// The tokenizer, unless it has tokens that the model lacks.
fn fitting(
    tokenizer: Result<Tokenizer, TokenizerError>,
    config: &checkpoint::Config,
    path: &Path,
) -> Result<Tokenizer, BaseError> {
    let wrong = |problem| BaseError::Tokenizer { path: path.to_path_buf(), problem };
    let tokenizer = tokenizer.map_err(|e| wrong(e.to_string()))?;
    match tokenizer.vocab_size() > config.spec.vocab {
        true => Err(wrong(format!(
            "has {} tokens, but the model has {}",
            tokenizer.vocab_size(),
            config.spec.vocab
        ))),
        false => Ok(tokenizer),
    }
}

/// A base whose tensors arrive one by one.
struct Loading {
    compute: Compute,
    tables: PositionTables,
    weights: Weights,
    hasher: blake3::Hasher,
    keeps_half: bool,
}

impl Loading {
    fn new(spec: &DecoderSpec, compute: &Compute) -> Self {
        Self {
            compute: compute.clone(),
            tables: PositionTables::new(spec, compute.device()),
            weights: Weights::new(),
            hasher: blake3::Hasher::new(),
            keeps_half: spec.parameters() >= HALF_FROM,
        }
    }

    /// A tensor as it is computed with.
    fn add(&mut self, tensor: &str, shape: &[usize], values: Vec<f32>) {
        self.hasher.update(tensor.as_bytes());
        self.hash(&values, |value| value.to_le_bytes());
        let data = TensorData::new(values, as_matrix(shape));
        self.weights.insert(tensor.to_string(), Tensor::from_data(data, self.compute.device()));
    }

    /// A matrix as its file holds it; only a view of it is turned.
    fn add_stored(
        &mut self,
        spec: &DecoderSpec,
        tensor: &str,
        shape: &[usize],
        place: &Place,
        parts: Vec<Values>,
    ) {
        self.hasher.update(tensor.as_bytes());
        let turned = !matches!(place, Place::Same(_));
        let [rows, columns] = as_matrix(shape);
        let stored = if turned { [columns, rows] } else { [rows, columns] };
        let matrix = match Parts::alike(parts, !self.compute.is_cpu()) {
            Parts::F32(parts) => {
                self.upload(place.stack(spec, tensor, parts), stored, DType::F32, f32::to_le_bytes)
            }
            Parts::F16(parts) => {
                self.upload(place.stack(spec, tensor, parts), stored, DType::F16, f16::to_le_bytes)
            }
            Parts::Bf16(parts) => {
                self.upload(place.stack(spec, tensor, parts), stored, DType::BF16, bf16::to_le_bytes)
            }
        };
        self.weights.insert(tensor.to_string(), if turned { matrix.transpose() } else { matrix });
    }

    fn upload<T: Element, const N: usize>(
        &mut self,
        values: Vec<T>,
        shape: [usize; 2],
        dtype: DType,
        bytes: fn(T) -> [u8; N],
    ) -> Tensor<2> {
        self.hash(&values, bytes);
        Tensor::from_data(TensorData::new(values, shape), (self.compute.device(), dtype))
    }

    fn hash<T: Copy, const N: usize>(&mut self, values: &[T], bytes: fn(T) -> [u8; N]) {
        let mut buffer = Vec::with_capacity(values.len().min(4096) * N);
        for chunk in values.chunks(4096) {
            buffer.clear();
            buffer.extend(chunk.iter().flat_map(|value| bytes(*value)));
            self.hasher.update(&buffer);
        }
    }

    fn finish(
        self,
        name: &str,
        spec: DecoderSpec,
        tokenizer: Option<Tokenizer>,
        mut ends: Vec<u32>,
        pad: Option<u32>,
    ) -> Base {
        if let Some(tokenizer) = &tokenizer
            && !ends.contains(&tokenizer.eos())
        {
            ends.push(tokenizer.eos());
        }
        let pad = tokenizer.as_ref().map(Tokenizer::pad).or(pad).or(ends.first().copied()).unwrap_or(0);
        Base {
            name: name.to_string(),
            spec,
            tokenizer,
            ends,
            pad,
            compute: self.compute,
            weights: self.weights,
            tables: self.tables,
            digest: self.hasher.finalize().to_hex().to_string(),
        }
    }
}

/// Writes a checkpoint folder in Hugging Face's layout.
///
/// # Errors
/// The folder cannot be written.
pub fn save_checkpoint(
    folder: &Path,
    spec: &DecoderSpec,
    tokenizer: Option<&Tokenizer>,
    precision: Precision,
    host: impl FnMut(&str) -> Vec<f32>,
) -> Result<(), BaseError> {
    let config = checkpoint::Config {
        spec: spec.clone(),
        begin: tokenizer.and_then(|tokenizer| tokenizer.beginning().first().copied()),
        ends: tokenizer.map(|t| vec![t.eos()]).unwrap_or_default(),
        pad: tokenizer.map(Tokenizer::pad),
    };
    save(folder, &config, tokenizer, precision, host)
}

fn save(
    folder: &Path,
    config: &checkpoint::Config,
    tokenizer: Option<&Tokenizer>,
    precision: Precision,
    mut host: impl FnMut(&str) -> Vec<f32>,
) -> Result<(), BaseError> {
    checkpoint::write(folder, config, precision, |tensor| Ok(host(tensor)))?;
    if let Some(tokenizer) = tokenizer {
        let path = folder.join("tokenizer.json");
        std::fs::write(&path, tokenizer.to_json()).map_err(|source| CheckpointError::Io { path, source })?;
    }
    Ok(())
}
