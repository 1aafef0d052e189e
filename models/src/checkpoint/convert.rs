//! A checkpoint from one layout or precision into a folder in Hugging Face's layout.

use super::llama2c::{Llama2c, tokenizer_json};
use super::{Checkpoint, CheckpointError, Config, Precision, write};
use crate::base::{BaseError, read_tokenizer, zoo_files};
use crate::spec::DecoderSpec;
use crate::tokenizer::LONGEST;
use cotune_kernel::bounded;
use std::path::{Path, PathBuf};

/// Where a checkpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A model of the zoo.
    Zoo(&'a str),
    /// A folder in Hugging Face's layout.
    Folder(&'a Path),
    /// A file in the format of llama2.c, version 0.
    Llama2c(&'a Path),
}

/// What a conversion made.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// Shape and switches of the model.
    pub spec: DecoderSpec,
    /// The format of its weights.
    pub precision: Precision,
    /// Whether a tokenizer was written.
    pub tokenizer: bool,
}

/// What transformers keeps beside a tokenizer.
const BESIDE_TOKENIZER: [&str; 3] =
    ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/// Writes a checkpoint into `folder`, which may not be there or is empty; all of it, or nothing.
///
/// `tokenizer` is a `tokenizer.json` or llama2.c's `tokenizer.bin` and stands in for the source's own. Without a
/// `precision`, weights keep the one they have.
///
/// # Errors
/// The source cannot be read, or `folder` is not empty or cannot be written.
pub fn convert(
    source: Source<'_>,
    tokenizer: Option<&Path>,
    folder: &Path,
    precision: Option<Precision>,
) -> Result<Converted, BaseError> {
    let io = |path: &Path, source| CheckpointError::Io { path: path.to_path_buf(), source };
    let filled = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(io(folder, error).into()),
    };
    if filled {
        return Err(CheckpointError::NotEmpty { path: folder.to_path_buf() }.into());
    }
    let draft = Draft::beside(folder).map_err(|error| io(folder, error))?;
    let converted = write_all(source, tokenizer, &draft.folder, precision)?;
    draft.publish(folder).map_err(|error| io(folder, error))?;
    Ok(converted)
}

fn write_all(
    source: Source<'_>,
    tokenizer: Option<&Path>,
    folder: &Path,
    precision: Option<Precision>,
) -> Result<Converted, BaseError> {
    match source {
        Source::Zoo(name) => {
            let files = zoo_files(name)?;
            let place = Path::new("zoo").join(name);
            let checkpoint = Checkpoint::in_memory(&place, files.config, files.model)?;
            let tokenizer = match tokenizer {
                Some(path) => Some(read_bytes(path)?),
                None => Some((place.join("tokenizer.json"), files.tokenizer.to_vec())),
            };
            write_checkpoint(checkpoint, tokenizer, folder, precision)
        }
        Source::Folder(from) => {
            let checkpoint = Checkpoint::open(from)?;
            let own = from.join("tokenizer.json");
            let chosen = tokenizer.or(own.is_file().then_some(own.as_path())).map(read_bytes).transpose()?;
            let converted = write_checkpoint(checkpoint, chosen, folder, precision)?;
            if tokenizer.is_none() {
                for name in BESIDE_TOKENIZER.into_iter().filter(|name| from.join(name).is_file()) {
                    let path = from.join(name);
                    std::fs::copy(&path, folder.join(name))
                        .map_err(|source| CheckpointError::Io { path, source })?;
                }
            }
            Ok(converted)
        }
        Source::Llama2c(path) => {
            let mut model = Llama2c::read(path)?;
            let config = model.config.clone();
            let tokenizer = tokenizer.map(read_bytes).transpose()?;
            write_tokenizer(tokenizer.as_ref(), &config, folder)?;
            let precision = precision.unwrap_or(Precision::F32);
            write(folder, &config, precision, |tensor| Ok(model.take(tensor)))?;
            Ok(Converted { spec: config.spec, precision, tokenizer: tokenizer.is_some() })
        }
    }
}

fn write_checkpoint(
    mut checkpoint: Checkpoint<'_>,
    tokenizer: Option<(PathBuf, Vec<u8>)>,
    folder: &Path,
    precision: Option<Precision>,
) -> Result<Converted, BaseError> {
    let config = checkpoint.config.clone();
    write_tokenizer(tokenizer.as_ref(), &config, folder)?;
    let precision = precision.unwrap_or_else(|| checkpoint.precision());
    write(folder, &config, precision, |tensor| checkpoint.read_f32(tensor))?;
    Ok(Converted { spec: config.spec, precision, tokenizer: tokenizer.is_some() })
}

fn read_bytes(path: &Path) -> Result<(PathBuf, Vec<u8>), BaseError> {
    let bytes = bounded::bytes(path, LONGEST)
        .map_err(|source| CheckpointError::Io { path: path.to_path_buf(), source })?;
    Ok((path.to_path_buf(), bytes))
}

/// Writes a tokenizer that fits the model; a `tokenizer.json` byte for byte.
fn write_tokenizer(
    tokenizer: Option<&(PathBuf, Vec<u8>)>,
    config: &Config,
    folder: &Path,
) -> Result<(), BaseError> {
    let Some((path, bytes)) = tokenizer else { return Ok(()) };
    let json = match bytes.first() {
        Some(b'{') => bytes.clone(),
        _ => tokenizer_json(bytes, config.spec.vocab)
            .map_err(|problem| BaseError::Tokenizer { path: path.clone(), problem })?
            .into_bytes(),
    };
    read_tokenizer(&json, config, path)?;
    let to = folder.join("tokenizer.json");
    std::fs::write(&to, json).map_err(|source| CheckpointError::Io { path: to, source }.into())
}

/// A folder beside the one to be made, which is removed unless it takes its place.
struct Draft {
    folder: PathBuf,
}

impl Draft {
    fn beside(folder: &Path) -> std::io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(folder.file_name().unwrap_or_else(|| "model".as_ref()));
        name.push(format!(".{}.partial", std::process::id()));
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let draft = Self { folder: folder.with_file_name(name) };
        std::fs::create_dir(&draft.folder)?;
        Ok(draft)
    }

    fn publish(self, folder: &Path) -> std::io::Result<()> {
        if folder.is_dir() {
            std::fs::remove_dir(folder)?;
        }
        std::fs::rename(&self.folder, folder)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it took its place there is nothing left to remove; a failure leaves a folder that says it is partial.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
