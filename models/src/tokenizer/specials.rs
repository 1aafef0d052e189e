//! Which tokens end an answer and fill up a batch: read from where a checkpoint says so.

use std::path::{Path, PathBuf};

use cotune_kernel::bounded;
use serde_json::Value;

use super::{LONGEST, Tokenizer, TokenizerError, gpt2};
use crate::checkpoint::LONGEST_CONFIG;

/// Where the Hugging Face layout names special tokens, most particular first. The first two name them by their
/// text, the others by their id.
const PLACES: [&str; 4] =
    ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"];

impl Tokenizer {
    /// Reads the `tokenizer.json` of a checkpoint directory, or GPT-2's older pair of `vocab.json` and `merges.txt`. The end and padding tokens are those that the
    /// files beside it name, each taken from the first that does: `tokenizer_config.json` and
    /// `special_tokens_map.json` (`eos_token`, `pad_token`), `generation_config.json` and `config.json`
    /// (`eos_token_id`, the first of several, and `pad_token_id`). Where none does, they are recognised by name as in
    /// [`Tokenizer::from_json`]; a checkpoint without a padding token pads with its end token.
    ///
    /// # Errors
    /// [`TokenizerError::Read`] without a `tokenizer.json`, [`TokenizerError::Format`] where a file is not JSON,
    /// [`TokenizerError::NoSuchToken`] where a file names a token that the vocabulary lacks,
    /// [`TokenizerError::NoEndOfSequence`] where nothing names an end, [`TokenizerError::SpecialOutside`].
    pub fn from_directory(directory: &Path) -> Result<Self, TokenizerError> {
        let model = model(directory)?;
        let places = PLACES.iter().map(|file| place(directory.join(file))).collect::<Result<Vec<_>, _>>()?;
        let find = |role: &str| -> Result<Option<u32>, TokenizerError> {
            for file in &places {
                if let Some(text) = spelled(&file[format!("{role}_token")]) {
                    let id = model.token_to_id(text);
                    let wanted = || TokenizerError::NoSuchToken { wanted: vec![text.to_owned()] };
                    return id.ok_or_else(wanted).map(Some);
                }
                if let Some(id) = id(&file[format!("{role}_token_id")]) {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        };
        let (end, pad) = (find("eos")?, find("pad")?);
        let (end, pad) = match (end, pad) {
            (Some(end), pad) => (end, pad.unwrap_or(end)),
            (None, pad) => {
                let (end, known) = Self::recognised(&model)?;
                (end, pad.unwrap_or(known))
            }
        };
        Self::build(model, Some((end, pad)))
    }

    /// The same tokenizer with other special tokens: the first of `end` and the first of `pad` that the vocabulary
    /// has. An empty list leaves the token as it is.
    ///
    /// # Errors
    /// [`TokenizerError::NoSuchToken`] where it has none of a list.
    pub fn with_tokens(&self, end: &[String], pad: &[String]) -> Result<Self, TokenizerError> {
        let first = |wanted: &[String], own: u32| match wanted {
            [] => Ok(own),
            _ => wanted
                .iter()
                .find_map(|token| self.inner.model.token_to_id(token))
                .ok_or_else(|| TokenizerError::NoSuchToken { wanted: wanted.to_vec() }),
        };
        Self::build(self.inner.model.clone(), Some((first(end, self.eos())?, first(pad, self.pad())?)))
    }
}

/// The tokenizer of a directory before anything is known of its special tokens.
fn model(directory: &Path) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let read = |file: &str| {
        let path = directory.join(file);
        bounded::text(&path, LONGEST).map_err(|source| TokenizerError::Read { path, source })
    };
    match read("tokenizer.json") {
        Ok(json) => super::parse(json.as_bytes()),
        Err(missing) => match (read("vocab.json"), read("merges.txt")) {
            (Ok(vocab), Ok(merges)) => gpt2::read(&vocab, &merges),
            _ => Err(missing),
        },
    }
}

/// A JSON file; null where there is none.
fn place(path: PathBuf) -> Result<Value, TokenizerError> {
    match bounded::bytes(&path, LONGEST_CONFIG) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(source) => Err(TokenizerError::Read { path, source }),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| TokenizerError::Format { reason: format!("{}: {error}", path.display()) }),
    }
}

/// A token's text: a string, or an object around it.
fn spelled(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token["content"].as_str())
}

/// A token's id: a number, or the first of several.
fn id(token: &Value) -> Option<u32> {
    token.as_u64().or_else(|| token[0].as_u64()).and_then(|id| u32::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vocabulary with `<eos>` = 0, `<pad>` = 1 and `</s>` somewhere behind them.
    fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, u32) {
        let trained = Tokenizer::train_byte_level(["one </s> two"], 260).unwrap();
        let mut file: Value = serde_json::from_str(trained.to_json()).unwrap();
        let id = trained.vocab_size() as u32;
        file["model"]["vocab"]["</s>"] = id.into();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        (folder, id)
    }

    fn specials(files: &[(&str, &str)]) -> Result<(u32, u32), String> {
        let (folder, _) = directory(files);
        let read = Tokenizer::from_directory(folder.path());
        read.map(|tokenizer| (tokenizer.eos(), tokenizer.pad())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_most_particular_file_names_the_tokens() {
        let (_, end) = directory(&[]);
        let config = ("config.json", r#"{"eos_token_id": 7, "pad_token_id": 8}"#);
        let generation = ("generation_config.json", r#"{"eos_token_id": [9, 7]}"#);
        let map = ("special_tokens_map.json", r#"{"eos_token": {"content": "</s>"}}"#);
        let tokenizer = ("tokenizer_config.json", r#"{"eos_token": "<pad>", "pad_token": null}"#);
        assert_eq!(specials(&[]), Ok((0, 1)), "by name");
        assert_eq!(specials(&[config]), Ok((7, 8)));
        assert_eq!(specials(&[config, generation]), Ok((9, 8)));
        assert_eq!(specials(&[config, generation, map]), Ok((end, 8)));
        assert_eq!(specials(&[config, generation, map, tokenizer]), Ok((1, 8)));
        assert_eq!(specials(&[map]), Ok((end, end)), "whoever names no padding pads with the end");
    }

    #[test]
    fn tokens_that_are_not_there_are_refused() {
        let unknown = specials(&[("tokenizer_config.json", r#"{"eos_token": "<|end|>"}"#)]).unwrap_err();
        assert!(unknown.contains("<|end|>"), "{unknown}");
        let outside = specials(&[("config.json", r#"{"eos_token_id": 5000}"#)]).unwrap_err();
        assert!(outside.contains("5000"), "{outside}");
        let broken = specials(&[("config.json", "{")]).unwrap_err();
        assert!(broken.contains("config.json"), "{broken}");
        let missing = Tokenizer::from_directory(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(missing.contains("tokenizer.json"), "{missing}");
    }

    #[test]
    fn a_scenario_may_name_tokens_in_order_of_preference() {
        let (folder, end) = directory(&[]);
        let tokenizer = Tokenizer::from_directory(folder.path()).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let named = tokenizer.with_tokens(&names(&["<|im_end|>", "</s>"]), &[]).unwrap();
        assert_eq!((named.eos(), named.pad()), (end, 1));
        assert!(named.is_special(end) && named != tokenizer);
        assert_eq!(tokenizer.with_tokens(&[], &[]).unwrap(), tokenizer);
        let error = tokenizer.with_tokens(&[], &names(&["<a>", "<b>"])).unwrap_err().to_string();
        assert!(error.contains("<a>, <b>"), "{error}");
    }
}
