//! A base: the frozen weights of one model, its tokenizer and its place of computation.
//!
//! A base is shared by everything that trains on it: a thousand devices with the same model hold a thousand
//! adapters and one base.

use crate::adapter::as_matrix;
use crate::decoder::Weights;
use crate::device::Compute;
use crate::kernels::attention::PositionTables;
use crate::spec::DecoderSpec;
use crate::tokenizer::Tokenizer;
use burn::tensor::{Tensor, TensorData};
use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Values of a model by tensor name, on the host.
pub type HostWeights = BTreeMap<String, Vec<f32>>;

/// The frozen part of a model, ready to compute with. Clones share the weights.
#[derive(Clone, Debug)]
pub struct Base {
    name: String,
    spec: DecoderSpec,
    tokenizer: Tokenizer,
    compute: Compute,
    pub(crate) weights: Weights,
    pub(crate) tables: PositionTables,
    digest: String,
}

/// Why a base cannot be loaded or stored.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such model in the zoo.
    #[error("the zoo has no model `{name}`; it has {known}")]
    UnknownZooModel {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A file has the wrong content.
    #[error("{path}: {problem}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The three files of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointFiles<'a> {
    /// `config.json`: a [`DecoderSpec`].
    pub config: &'a [u8],
    /// `model.safetensors`: one tensor for each of [`DecoderSpec::tensors`], f16 or f32.
    pub model: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
}

impl Base {
    /// Puts host values on a device.
    pub fn new(
        name: &str,
        spec: DecoderSpec,
        tokenizer: Tokenizer,
        host: &HostWeights,
        compute: &Compute,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut weights = Weights::new();
        for (tensor, shape) in spec.tensors() {
            let values = &host[&tensor];
            hasher.update(tensor.as_bytes());
            for value in values {
                hasher.update(&value.to_le_bytes());
            }
            let data = TensorData::new(values.clone(), as_matrix(&shape));
            weights.insert(tensor, Tensor::from_data(data, compute.device()));
        }
        let tables = PositionTables::new(&spec, compute.device());
        Self {
            name: name.to_string(),
            spec,
            tokenizer,
            compute: compute.clone(),
            weights,
            tables,
            digest: hasher.finalize().to_hex().to_string(),
        }
    }

    /// Reads a checkpoint directory made by `cotune pretrain`.
    ///
    /// # Errors
    /// A file is missing or malformed.
    pub fn load(directory: &Path, compute: &Compute) -> Result<Self, BaseError> {
        let read = |file: &str| {
            let path = directory.join(file);
            std::fs::read(&path).map_err(|source| BaseError::Io { path, source })
        };
        let (config, model, tokenizer) =
            (read("config.json")?, read("model.safetensors")?, read("tokenizer.json")?);
        let name = directory.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let files = CheckpointFiles { config: &config, model: &model, tokenizer: &tokenizer };
        Self::from_files(&name, files, compute)
            .map_err(|(file, problem)| BaseError::Malformed { path: directory.join(file), problem })
    }

    /// Reads a model of the zoo that this build carries.
    ///
    /// # Errors
    /// The zoo has no model of that name.
    pub fn zoo(name: &str, compute: &Compute) -> Result<Self, BaseError> {
        let Some((_, files)) = crate::zoo::MODELS.iter().find(|(known, _)| *known == name) else {
            let known = crate::zoo::names().join(", ");
            return Err(BaseError::UnknownZooModel { name: name.to_string(), known });
        };
        Self::from_files(name, *files, compute)
            .map_err(|(file, problem)| BaseError::Malformed { path: Path::new("zoo").join(file), problem })
    }

    /// Decodes a checkpoint; the error names the file and its problem.
    fn from_files(
        name: &str,
        files: CheckpointFiles<'_>,
        compute: &Compute,
    ) -> Result<Self, (&'static str, String)> {
        let spec: DecoderSpec =
            serde_json::from_slice(files.config).map_err(|e| ("config.json", e.to_string()))?;
        if let Some(problem) = spec.problem() {
            return Err(("config.json", problem));
        }
        let tokenizer =
            Tokenizer::from_json(files.tokenizer).map_err(|e| ("tokenizer.json", e.to_string()))?;
        if tokenizer.vocab_size() > spec.vocab {
            let (has, fits) = (tokenizer.vocab_size(), spec.vocab);
            return Err(("tokenizer.json", format!("has {has} tokens, but the model has {fits}")));
        }
        let host = read_safetensors(files.model, &spec).map_err(|e| ("model.safetensors", e))?;
        Ok(Self::new(name, spec, tokenizer, &host, compute))
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
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
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
        let data = self.weights[tensor].clone().into_data();
        data.try_into_vec::<f32>().expect("weights are f32")
    }
}

/// Writes a checkpoint directory: `config.json`, `model.safetensors` (f16) and `tokenizer.json`.
///
/// # Errors
/// The directory cannot be written.
pub fn save_checkpoint(
    directory: &Path,
    spec: &DecoderSpec,
    tokenizer: &Tokenizer,
    host: &HostWeights,
) -> Result<(), BaseError> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = spec
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let values = host[&name].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
            (name, shape, values)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F16, shape.clone(), bytes).expect("shape and bytes agree");
        (name.as_str(), view)
    });
    let model = safetensors::serialize(views, None).expect("a checkpoint is well formed");
    let config = serde_json::to_string_pretty(spec).expect("a spec is JSON");
    std::fs::create_dir_all(directory)
        .map_err(|source| BaseError::Io { path: directory.to_path_buf(), source })?;
    for (file, content) in [
        ("config.json", config.as_bytes()),
        ("model.safetensors", &model),
        ("tokenizer.json", tokenizer.to_json().as_bytes()),
    ] {
        let path = directory.join(file);
        std::fs::write(&path, content).map_err(|source| BaseError::Io { path, source })?;
    }
    Ok(())
}

/// Reads every tensor of `spec`; lists all that are missing, unexpected or misshapen.
fn read_safetensors(bytes: &[u8], spec: &DecoderSpec) -> Result<HostWeights, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let wanted: BTreeMap<String, Vec<usize>> = spec.tensors().into_iter().collect();
    let mut problems: Vec<String> = file
        .names()
        .into_iter()
        .filter(|name| !wanted.contains_key(*name))
        .map(|name| format!("unexpected tensor `{name}`"))
        .collect();
    problems.sort_unstable();
    let mut host = HostWeights::new();
    for (name, shape) in &wanted {
        match file.tensor(name) {
            Err(_) => problems.push(format!("missing tensor `{name}`")),
            Ok(view) if view.shape() != shape => {
                problems.push(format!("tensor `{name}` is {:?}, not {shape:?}", view.shape()));
            }
            Ok(view) => match floats(&view) {
                Some(values) => drop(host.insert(name.clone(), values)),
                None => problems.push(format!("tensor `{name}` is {:?}, not F16 or F32", view.dtype())),
            },
        }
    }
    if problems.is_empty() { Ok(host) } else { Err(problems.join("; ")) }
}

fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F16 => {
            Some(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect())
        }
        Dtype::F32 => {
            Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        }
        _ => None,
    }
}
