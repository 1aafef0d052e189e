//! Which files make a checkpoint's folder what it is, and their digest.

use super::store;
use cotune_kernel::bounded;
use std::io;
use std::path::Path;

/// Files that say which tokens end an answer and fill up a batch; read where they are there.
const OPTIONAL: [&str; 3] = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];

/// Every file of a checkpoint's folder that is read, by name: configuration, weights and tokenizer, which have to be there, and
/// behind them what may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    needed: Vec<String>,
    optional: Vec<String>,
}

impl Parts {
    /// Those of a folder.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let is_there = |name: &str| folder.join(name).exists();
        let needed = [vec!["config.json".to_owned()], weights(folder)?, tokenizer(folder)].concat();
        let optional = OPTIONAL.into_iter().filter(|name| is_there(name)).map(str::to_owned).collect();
        Ok(Self { needed, optional })
    }

    /// BLAKE3 over the digests of all files, of which `digest` finds each by name. Those that need not be there count with
    /// their names, so that one more is another checkpoint.
    ///
    /// # Errors
    /// The first that `digest` has.
    pub fn digest<E>(&self, digest: impl Fn(&str) -> Result<blake3::Hash, E>) -> Result<blake3::Hash, E> {
        let mut whole = blake3::Hasher::new();
        for name in &self.needed {
            whole.update(digest(name)?.as_bytes());
        }
        for name in &self.optional {
            whole.update(name.as_bytes()).update(digest(name)?.as_bytes());
        }
        Ok(whole.finalize())
    }
}

/// The weight files: one, or an index and those that it names.
fn weights(folder: &Path) -> io::Result<Vec<String>> {
    const WHOLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";
    if folder.join(WHOLE).exists() || !folder.join(INDEX).exists() {
        return Ok(vec![WHOLE.to_owned()]);
    }
    let shards = store::shards(folder, &folder.join(INDEX)).map_err(io::Error::other)?;
    let names =
        shards.iter().filter_map(|shard| shard.file_name()).map(|name| name.to_string_lossy().into_owned());
    Ok(names.chain([INDEX.to_owned()]).collect())
}

/// The tokenizer's file, or GPT-2's older pair where that alone is there.
fn tokenizer(folder: &Path) -> Vec<String> {
    const FILE: &str = "tokenizer.json";
    const PAIR: [&str; 2] = ["vocab.json", "merges.txt"];
    let is_there = |name: &&str| folder.join(name).exists();
    let files: &[&str] = if !is_there(&FILE) && PAIR.iter().all(is_there) { &PAIR } else { &[FILE] };
    files.iter().map(|name| (*name).to_owned()).collect()
}

/// BLAKE3 of a file of at most so many bytes: one that would not be read later is not hashed either.
///
/// # Errors
/// It cannot be read, is no file, or is longer.
pub fn file_digest(path: &Path, longest: u64) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(bounded::open(path, longest)?)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn weights_in_several_files_are_all_of_them() {
        let folder = tempfile::TempDir::new().unwrap();
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        let write = |name: &str| fs::write(folder.path().join(name), index).unwrap();
        let weights = || weights(folder.path()).unwrap();
        assert_eq!(weights(), ["model.safetensors"], "what is missing");
        let parts = ["model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"];
        parts.into_iter().chain(["of-no-account.safetensors"]).rev().for_each(write);
        assert_eq!(weights(), parts);
        write("model.safetensors");
        assert_eq!(weights(), ["model.safetensors"]);
    }

    #[test]
    fn a_change_to_any_file_that_is_read_and_one_more_change_the_digest() {
        let folder = tempfile::TempDir::new().unwrap();
        let digest = || {
            let parts = Parts::of(folder.path()).unwrap();
            parts
                .digest(|name| file_digest(&folder.path().join(name), u64::MAX))
                .unwrap()
                .to_hex()
                .to_string()
        };
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for name in ["config.json", "model.safetensors", "vocab.json", "merges.txt"] {
            write(name, "{}");
        }
        assert!(seen.insert(digest()), "GPT-2's pair is a tokenizer");
        write("merges.txt", "a b");
        assert!(seen.insert(digest()), "merges.txt");
        for name in ["tokenizer.json"].into_iter().chain(OPTIONAL) {
            write(name, "{}");
            assert!(seen.insert(digest()), "{name} is there");
            write(name, "[]");
            assert!(seen.insert(digest()), "{name} has changed");
        }
        write("README.md", "of no account");
        assert!(!seen.insert(digest()));
    }
}
