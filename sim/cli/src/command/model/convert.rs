//! `cotune model convert`: a checkpoint in Hugging Face's layout from another layout or precision.

use std::path::Path;

use cotune_models::checkpoint::{self, Source};

use super::source;
use crate::arguments::ModelConvert;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// Writes the folder and prints what is in it.
pub fn convert(typed: &ModelConvert) -> Result<Exit, Failure> {
    let from = match source(&typed.from) {
        Source::Folder(path) if path.is_file() => file(path)?,
        other => other,
    };
    let made = checkpoint::convert(from, typed.tokenizer.as_deref(), &typed.output, typed.precision)?;
    let tokenizer = if made.tokenizer { "with its tokenizer" } else { "without a tokenizer" };
    talk::print(format_args!(
        "{}: {}, {} parameters in {}, {tokenizer}\n",
        typed.output.display(),
        made.spec.family_name(),
        made.spec.parameters(),
        made.precision
    ))?;
    Ok(Exit::Done)
}

/// A model that is one file: llama2.c's, or a part of a folder.
fn file(path: &Path) -> Result<Source<'_>, Failure> {
    if path.extension().is_some_and(|extension| extension == "safetensors") {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        return Err(Failure::wrong(format!("{} has no shape without its config.json", path.display()))
            .help(format!("name the folder: {}", folder.display())));
    }
    Ok(Source::Llama2c(path))
}
