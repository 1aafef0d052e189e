//! From PEFT's tensors to a layout and its values.

use super::config::Config;
use super::{PREFIX, PeftError, in_peft};
use crate::adapter::{Layout, Start, as_matrix};
use crate::checkpoint::names::{self, Names, Place, Qkv, part_by_part, transpose};
use crate::checkpoint::store::TensorStore;
use crate::checkpoint::values::Values;
use crate::checkpoint::{LONGEST_CONFIG, Precision};
use crate::spec::DecoderSpec;
use cotune_kernel::bounded;
use std::collections::BTreeSet;
use std::path::Path;

/// Reads an adapter of a model with `spec` from a folder in PEFT's layout.
///
/// The layout is that of [`Layout::lora`] where one would have made the file: the same modules with the same rank in
/// every block. Modules with scales of their own have them in their B, and the layout's scale is then 1.
///
/// # Errors
/// A file is missing or malformed, the configuration asks for what is not implemented, or the tensors are not those
/// of the configuration and the model.
pub fn read(folder: &Path, spec: &DecoderSpec) -> Result<(Layout, Vec<f32>), PeftError> {
    let path = folder.join("adapter_config.json");
    let bytes = bounded::bytes(&path, LONGEST_CONFIG)
        .map_err(|source| PeftError::Io { path: path.clone(), source })?;
    let config = Config::read(&bytes).map_err(|problem| PeftError::Config { path: path.clone(), problem })?;
    let path = folder.join("adapter_model.safetensors");
    let pickle = folder.join("adapter_model.bin");
    if !path.is_file() && pickle.is_file() {
        return Err(PeftError::Pickle { path: pickle });
    }
    let store = TensorStore::open_file(&path)?;
    let mut file = AdapterFile { path: &path, store, wanted: BTreeSet::new(), problems: Vec::new() };

    // With an untied spec a head can be saved whole where the base's is its embedding.
    let untied = DecoderSpec { tied: false, ..spec.clone() };
    let names = names::of(spec.family);
    let maps = file.maps(&config, names, spec);
    let saved = file.saved(&config, names, &untied);
    let (maps, saved) = file.checked(maps, saved)?;

    let scale = match maps.as_slice() {
        [first, others @ ..] if others.iter().all(|map| map.scale == first.scale) => first.scale,
        _ => 1.0,
    };
    let mut tensors = Vec::new();
    let mut values = Vec::new();
    for map in maps {
        let factor = if map.scale == scale { 1.0 } else { map.scale };
        let (a, b) = map.read(&mut file, names, spec)?;
        tensors.push((format!("{}.lora_a", map.name), [map.inputs, map.rank], Start::Kaiming));
        values.extend(a);
        tensors.push((format!("{}.lora_b", map.name), [map.rank, map.outputs], Start::Zero));
        values.extend(b.into_iter().map(|value| (f64::from(value) * factor) as f32));
    }
    let mut whole = Vec::new();
    for saved in saved {
        let values = saved.read(&mut file, &untied)?;
        whole.push((saved, values));
    }
    if spec.tied {
        tie(&mut whole, &config, &untied)
            .map_err(|problem| PeftError::Config { path: folder.join("adapter_config.json"), problem })?;
    }
    for (saved, whole) in whole {
        tensors.push((saved.tensor, as_matrix(&saved.shape), Start::Base));
        values.extend(whole);
    }
    Ok((Layout::of(tensors, scale as f32), values))
}

/// The tensors of an adapter, and what was found out about them.
struct AdapterFile<'a> {
    path: &'a Path,
    store: TensorStore<'static>,
    wanted: BTreeSet<String>,
    problems: Vec<String>,
}

/// A linear map with a low-rank update.
struct Map {
    /// `blocks.0.q`.
    name: String,
    /// Path of the module in the transformers model.
    module: String,
    fused: bool,
    inputs: usize,
    outputs: usize,
    rank: usize,
    scale: f64,
}

/// A tensor of the base that is trained whole.
struct Saved {
    tensor: String,
    shape: Vec<usize>,
    place: Place,
    /// The tensors of the file that it is made of.
    parts: Vec<String>,
}

impl AdapterFile<'_> {
    /// The adapted maps, block by block.
    fn maps(&mut self, config: &Config, names: &Names, spec: &DecoderSpec) -> Vec<Map> {
        let mut maps = Vec::new();
        for block in 0..spec.layers {
            for (target, part) in names.maps(spec) {
                let module = format!("{}{block}.{part}", names.block);
                let [a, b] = ["A", "B"].map(|factor| lora_name(&module, factor));
                let there = || self.store.find(&a, "").is_some() || self.store.find(&b, "").is_some();
                if !config.targets(&module, block).unwrap_or_else(there) {
                    continue;
                }
                let (rank, scale) = match config.rank_and_scale(&module) {
                    Ok(both) => both,
                    Err(problem) => {
                        self.problems.push(problem);
                        continue;
                    }
                };
                let (inputs, outputs, name) = target.shape(spec).expect("the family has the map");
                self.want(&a, &[rank, inputs]);
                self.want(&b, &[outputs, rank]);
                let fused = matches!(names.qkv, Qkv::PerHead(fused) if fused == part);
                let name = format!("blocks.{block}.{name}");
                maps.push(Map { name, module, fused, inputs, outputs, rank, scale });
            }
        }
        maps
    }

    /// The tensors of the base that are trained whole.
    fn saved(&mut self, config: &Config, names: &Names, untied: &DecoderSpec) -> Vec<Saved> {
        let mut saved = Vec::new();
        for (tensor, shape) in untied.tensors() {
            let place = names.place(untied, &tensor);
            let files = place.file_tensors(untied, &tensor);
            let saves = |name: &str| {
                name.trim_start_matches(PREFIX)
                    .rsplit_once('.')
                    .is_some_and(|(module, _)| config.saves(module))
            };
            let chosen: Vec<bool> =
                files.iter().map(|(name, _)| saves(name) || saves(&in_peft(name))).collect();
            if !chosen.contains(&true) {
                continue;
            }
            if chosen.contains(&false) {
                self.problems.push(format!(
                    "query, key and value of `{tensor}` are one map here, and only some are in modules_to_save"
                ));
                continue;
            }
            let mut parts = Vec::new();
            for (name, shape) in files {
                let old = format!("{PREFIX}{name}");
                let name = if self.store.find(&old, "").is_some() { old } else { in_peft(&name) };
                self.want(&name, &shape);
                parts.push(name);
            }
            saved.push(Saved { tensor, shape, place, parts });
        }
        saved
    }

    /// Notes what is wrong with a tensor that has to be there.
    fn want(&mut self, name: &str, shape: &[usize]) {
        match self.store.find(name, "") {
            None => self.problems.push(format!("missing tensor `{name}` {shape:?}")),
            Some((_, place)) if place.shape != shape => {
                self.problems.push(format!("tensor `{name}` is {:?}, not {shape:?}", place.shape));
            }
            Some((_, place)) if Precision::of(place.dtype).is_none() => {
                self.problems.push(format!("tensor `{name}` is {:?}, not F32, F16 or BF16", place.dtype));
            }
            Some(_) => {}
        }
        self.wanted.insert(name.to_string());
    }

    /// Maps and whole tensors, if nothing is wrong with the file.
    fn checked(&mut self, maps: Vec<Map>, saved: Vec<Saved>) -> Result<(Vec<Map>, Vec<Saved>), PeftError> {
        let unexpected = self.store.names().filter(|name| !self.wanted.contains(*name));
        self.problems.extend(unexpected.map(|name| format!("unexpected tensor `{name}`")));
        if maps.is_empty() && saved.is_empty() && self.problems.is_empty() {
            self.problems.push("it is empty".to_string());
        }
        match self.problems.is_empty() {
            true => Ok((maps, saved)),
            false => {
                let problems = std::mem::take(&mut self.problems);
                Err(PeftError::Tensors { path: self.path.to_path_buf(), problems })
            }
        }
    }

    fn read(&mut self, name: &str) -> Result<Vec<f32>, PeftError> {
        self.store.read(name).map(Values::into_f32).map_err(|problem| PeftError::Tensors {
            path: self.path.to_path_buf(),
            problems: vec![format!("tensor `{name}`: {problem}")],
        })
    }
}

impl Map {
    /// A `[inputs, rank]` and B `[rank, outputs]`, outputs in the decoder's order.
    fn read(
        &self,
        file: &mut AdapterFile<'_>,
        names: &Names,
        spec: &DecoderSpec,
    ) -> Result<(Vec<f32>, Vec<f32>), PeftError> {
        debug_assert!(self.module.starts_with(names.block));
        let a = file.read(&lora_name(&self.module, "A"))?;
        let b = file.read(&lora_name(&self.module, "B"))?;
        let b = if self.fused { part_by_part(&b, spec.head_width * self.rank) } else { b };
        Ok((transpose(&a, self.inputs), transpose(&b, self.rank)))
    }
}

impl Saved {
    fn read(&self, file: &mut AdapterFile<'_>, untied: &DecoderSpec) -> Result<Vec<f32>, PeftError> {
        let parts: Vec<Vec<f32>> = self.parts.iter().map(|name| file.read(name)).collect::<Result<_, _>>()?;
        Ok(self.place.assemble(untied, &self.tensor, parts))
    }
}

/// Embedding and head of a base in which they are one matrix: equal ones become one again.
fn tie(whole: &mut Vec<(Saved, Vec<f32>)>, config: &Config, untied: &DecoderSpec) -> Result<(), String> {
    let find = |tensor: &str| whole.iter().position(|(saved, _)| saved.tensor == tensor);
    match (find("embedding"), find("head.weight")) {
        (Some(_), None) if !config.ties => Err(
            "modules_to_save trains the embedding apart from the head, which are one matrix in this model: save both, \
             or set ensure_weight_tying"
                .to_string(),
        ),
        (Some(embedding), Some(head))
            if whole[head].1 == transpose(&whole[embedding].1, untied.width) =>
        {
            whole.remove(head);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The name of a factor in PEFT's file.
pub(super) fn lora_name(module: &str, factor: &str) -> String {
    format!("{PREFIX}{module}.lora_{factor}.weight")
}
