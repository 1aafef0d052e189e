//! safetensors files, one or many, read tensor by tensor so that a large model is never in memory twice.

use super::values::{Precision, Values};
use super::{CheckpointError, pickle_in};
use cotune_kernel::bounded;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The longest header that is read, as in the reference implementation \[B\].
const LONGEST_HEADER: u64 = 100_000_000;

/// The longest index of shards that is read \[B\] (chosen: half a million tensors).
const LONGEST_INDEX: u64 = 64 << 20;

/// Where the tensors of a checkpoint lie.
#[derive(Debug)]
pub(crate) struct TensorStore<'a> {
    shards: Vec<Shard<'a>>,
    tensors: BTreeMap<String, TensorPlace>,
}

#[derive(Debug)]
enum Shard<'a> {
    Memory(&'a [u8]),
    File(File),
}

/// One tensor of a file.
#[derive(Clone, Debug)]
pub(crate) struct TensorPlace {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    shard: usize,
    /// First and last byte in the file.
    bytes: (u64, u64),
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl TensorStore<'static> {
    /// The weights of a folder: `model.safetensors`, or the shards of `model.safetensors.index.json`.
    pub(crate) fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        let files = if single.is_file() {
            vec![single]
        } else if index.is_file() {
            shards(folder, &index)?
        } else if let Some(path) = pickle_in(folder) {
            return Err(CheckpointError::Pickle { path });
        } else {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CheckpointError::Io { path: single, source });
        };
        Self::open_files(&files)
    }

    /// The tensors of one file.
    pub(crate) fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_files(&[path.to_path_buf()])
    }

    fn open_files(files: &[PathBuf]) -> Result<Self, CheckpointError> {
        let mut store = Self { shards: Vec::new(), tensors: BTreeMap::new() };
        for path in files {
            let io = |source| CheckpointError::Io { path: path.clone(), source };
            let mut file = File::open(path).map_err(io)?;
            let length = file.metadata().map_err(io)?.len();
            let mut start = vec![0; length.min(8) as usize];
            file.read_exact(&mut start).map_err(io)?;
            let malformed = |problem| CheckpointError::Malformed { path: path.clone(), problem };
            let header_length = header_length(&start, length).map_err(malformed)?;
            let mut header = vec![0; header_length as usize];
            file.read_exact(&mut header).map_err(io)?;
            store.add(&header, length).map_err(malformed)?;
            store.shards.push(Shard::File(file));
        }
        Ok(store)
    }
}

/// The files an index names; they lie beside it.
pub(crate) fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let malformed = |problem| CheckpointError::Malformed { path: index.to_path_buf(), problem };
    let text = bounded::bytes(index, LONGEST_INDEX)
        .map_err(|source| CheckpointError::Io { path: index.to_path_buf(), source })?;
    let listed: Index = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
    let mut files: Vec<String> = listed.weight_map.into_values().collect();
    files.sort();
    files.dedup();
    if let Some(file) = files.iter().find(|file| Path::new(file).components().count() != 1 || *file == "..") {
        return Err(malformed(format!("the shard `{file}` does not lie beside the index")));
    }
    Ok(files.into_iter().map(|file| folder.join(file)).collect())
}

/// The first eight bytes of a file: how long its header is.
fn header_length(start: &[u8], file_length: u64) -> Result<u64, String> {
    let Ok(bytes) = <[u8; 8]>::try_from(start) else {
        return Err("is too short for a safetensors file".to_string());
    };
    let length = u64::from_le_bytes(bytes);
    if length > LONGEST_HEADER || length > file_length - 8 {
        return Err(format!("is not a safetensors file: a header of {length} bytes in {file_length}"));
    }
    Ok(length)
}

impl<'a> TensorStore<'a> {
    /// A file in memory.
    pub(crate) fn in_memory(path: &Path, bytes: &'a [u8]) -> Result<Self, CheckpointError> {
        let malformed = |problem| CheckpointError::Malformed { path: path.to_path_buf(), problem };
        let mut store = Self { shards: Vec::new(), tensors: BTreeMap::new() };
        let start = &bytes[..bytes.len().min(8)];
        let header = header_length(start, bytes.len() as u64).map_err(malformed)? as usize;
        store.add(&bytes[8..8 + header], bytes.len() as u64).map_err(malformed)?;
        store.shards.push(Shard::Memory(bytes));
        Ok(store)
    }

    /// Adds the tensors of a header to the next shard.
    fn add(&mut self, header: &[u8], file_length: u64) -> Result<(), String> {
        let metadata: Metadata = serde_json::from_slice(header).map_err(|e| e.to_string())?;
        let data = 8 + header.len() as u64;
        for (name, info) in metadata.tensors() {
            let (begin, end) = info.data_offsets;
            let bytes = (data + begin as u64, data + end as u64);
            if bytes.1 > file_length || bytes.0 > bytes.1 {
                return Err(format!(
                    "is cut off: tensor `{name}` ends at byte {}, the file at {file_length}",
                    bytes.1
                ));
            }
            let place =
                TensorPlace { dtype: info.dtype, shape: info.shape.clone(), shard: self.shards.len(), bytes };
            if self.tensors.insert(name.clone(), place).is_some() {
                return Err(format!("tensor `{name}` is there twice"));
            }
        }
        Ok(())
    }

    /// The names of all tensors, in alphabetical order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by its name, or by its name without `prefix`, as older checkpoints have it.
    pub(crate) fn find(&self, name: &str, prefix: &str) -> Option<(&str, &TensorPlace)> {
        let bare = name.strip_prefix(prefix).unwrap_or(name);
        [name, bare].iter().find_map(|name| self.tensors.get_key_value(*name)).map(|(n, p)| (n.as_str(), p))
    }

    /// The values of a tensor that is there.
    pub(crate) fn read(&mut self, name: &str) -> Result<Values, String> {
        let TensorPlace { dtype, shard, bytes: (begin, end), .. } = self.tensors[name];
        let decode = |bytes: &[u8]| Values::decode(dtype, bytes).ok_or_else(|| format!("is {dtype:?}"));
        match &mut self.shards[shard] {
            Shard::Memory(bytes) => decode(&bytes[begin as usize..end as usize]),
            Shard::File(file) => {
                let mut bytes = vec![0; (end - begin) as usize];
                file.seek(SeekFrom::Start(begin)).map_err(|e| e.to_string())?;
                file.read_exact(&mut bytes).map_err(|e| e.to_string())?;
                decode(&bytes)
            }
        }
    }
}

/// Writes a safetensors file of tensors of one format: name, shape, bytes. It has the bytes that the reference
/// implementation would give it, and is never in memory as a whole.
pub(crate) fn write(
    path: &Path,
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    precision: Precision,
) -> std::io::Result<()> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(name, ..)| name);
    let mut end = 0;
    let infos = sorted.iter().map(|(name, shape, bytes)| {
        let begin = end;
        end += bytes.len();
        (
            name.clone(),
            TensorInfo { dtype: precision.dtype(), shape: shape.clone(), data_offsets: (begin, end) },
        )
    });
    // transformers refuses a file that does not say that it is PyTorch's.
    let about = [("format".to_string(), "pt".to_string())].into();
    let metadata = Metadata::new(Some(about), infos.collect()).expect("shapes and bytes agree");
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (_, _, bytes) in sorted {
        file.write_all(bytes)?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn written(tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        write(&path, tensors, Precision::F32).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn files_are_those_of_the_reference_implementation() {
        let tensors =
            [("b", vec![2, 1], [1.0, 2.0].as_slice()), ("a", vec![3], &[3.0; 3]), ("c", vec![0], &[])];
        let tensors = tensors.map(|(name, shape, v)| (name.to_string(), shape, Precision::F32.bytes(v)));
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        let about = [("format".to_string(), "pt".to_string())].into();
        assert_eq!(written(&tensors), safetensors::serialize(views, Some(about)).unwrap());
    }

    #[test]
    fn a_file_that_lies_about_its_header_is_refused() {
        let path = Path::new("model.safetensors");
        for bytes in [&b"abc"[..], &[255; 20], &[2, 0, 0, 0, 0, 0, 0, 0, b'{']] {
            assert!(TensorStore::in_memory(path, bytes).is_err());
        }
    }

    #[test]
    fn a_cut_off_file_names_the_tensor() {
        let whole = written(&[("a".to_string(), vec![4], Precision::F32.bytes(&[1.0; 4]))]);
        let error = TensorStore::in_memory(Path::new("m"), &whole[..whole.len() - 1]).unwrap_err();
        assert!(error.to_string().contains("tensor `a` ends at byte"), "{error}");
        let mut store = TensorStore::in_memory(Path::new("m"), &whole).unwrap();
        assert_eq!(store.read("a"), Ok(Values::F32(vec![1.0; 4])));
    }
}
