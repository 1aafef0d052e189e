//! From a layout and its values to PEFT's tensors.

use super::config::Config;
use super::read::lora_name;
use super::{PeftError, in_peft};
use crate::adapter::{Entry, Layout, LoraSpec, Start, Target};
use crate::checkpoint::Precision;
use crate::checkpoint::names::{self, Names, Qkv, head_by_head, transpose};
use crate::checkpoint::store;
use crate::spec::DecoderSpec;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// Writes the adapter that `values` are, in the order of [`Layout::lora`], into a folder in PEFT's layout. What was
/// there under these names is replaced.
///
/// # Errors
/// No map is adapted, or the folder cannot be written.
///
/// # Panics
/// `values` are not as many as the layout has.
pub fn write(folder: &Path, spec: &DecoderSpec, lora: &LoraSpec, values: &[f32]) -> Result<(), PeftError> {
    let layout = Layout::lora(spec, lora);
    assert_eq!(values.len(), layout.total(), "one value for each of the layout's");
    let adapter = Adapter {
        spec,
        names: names::of(spec.family),
        rank: lora.rank,
        entries: layout.entries().iter().map(|entry| (entry.name.as_str(), entry)).collect(),
        values,
    };
    let mut tensors = Vec::new();
    // How many updates of rank `lora.rank` each adapted module carries, by the module's short name.
    let mut updates: BTreeMap<String, usize> = BTreeMap::new();
    for block in 0..spec.layers {
        for (target, part) in adapter.names.maps(spec) {
            let module = format!("{}{block}.{part}", adapter.names.block);
            let found = adapter.updates(block, target);
            if found.is_empty() {
                continue;
            }
            updates.insert(adapter.names.short(spec, part), found.len());
            let rank = found.len() * lora.rank;
            let (inputs, outputs, _) = target.shape(spec).expect("the family has the map");
            let (a, b) = adapter.factors(&found, target, part);
            tensors.push((lora_name(&module, "A"), vec![rank, inputs], Precision::F32.bytes(&a)));
            tensors.push((lora_name(&module, "B"), vec![outputs, rank], Precision::F32.bytes(&b)));
        }
    }
    let fewest = *updates.values().min().ok_or(PeftError::NoTarget)?;
    let saved = adapter.saved(&layout, &mut tensors);
    let more = || updates.iter().filter(|(_, count)| **count > fewest);
    let config = Config {
        rank: fewest * lora.rank,
        alpha: fewest as f64 * lora.alpha,
        targets: Some(updates.keys().cloned().collect()),
        saved,
        rank_pattern: more().map(|(name, count)| (name.clone(), (count * lora.rank) as f64)).collect(),
        alpha_pattern: more().map(|(name, count)| (name.clone(), *count as f64 * lora.alpha)).collect(),
        conv1d: adapter.names.conv1d,
        ..Config::default()
    };

    std::fs::create_dir_all(folder).map_err(|source| PeftError::Io { path: folder.to_path_buf(), source })?;
    let path = folder.join("adapter_model.safetensors");
    store::write(&path, &tensors, Precision::F32).map_err(|source| PeftError::Io { path, source })?;
    let path = folder.join("adapter_config.json");
    std::fs::write(&path, config.write()).map_err(|source| PeftError::Io { path, source })
}

/// Name, shape and bytes of a tensor.
type FileTensor = (String, Vec<usize>, Vec<u8>);

/// An adapter on its way to a file.
struct Adapter<'a> {
    spec: &'a DecoderSpec,
    names: &'static Names,
    rank: usize,
    entries: BTreeMap<&'a str, &'a Entry>,
    values: &'a [f32],
}

/// A low-rank update and the outputs of its block's fused query-key-value map that it changes; any other map is
/// changed as a whole.
struct Update<'a> {
    a: &'a [f32],
    b: &'a [f32],
    outputs: Range<usize>,
}

impl<'a> Adapter<'a> {
    /// The outputs of a map, in the order of the fused map where it is a part of that.
    fn outputs(&self, target: Target) -> Range<usize> {
        let [q, k, v] = self.spec.qkv_widths();
        match target {
            Target::Q => 0..q,
            Target::K => q..q + k,
            Target::V => q + k..q + k + v,
            Target::Qkv => 0..q + k + v,
            other => 0..other.shape(self.spec).map_or(0, |(_, outputs, _)| outputs),
        }
    }

    /// The updates that change something of a file's map.
    fn updates(&self, block: usize, map: Target) -> Vec<Update<'a>> {
        let sources: &[Target] = match map {
            Target::Q => &[Target::Q, Target::Qkv],
            Target::K => &[Target::K, Target::Qkv],
            Target::V => &[Target::V, Target::Qkv],
            Target::Qkv => &[Target::Q, Target::K, Target::V, Target::Qkv],
            _ => &[map],
        };
        let update = |source: &Target| {
            let (_, _, name) = source.shape(self.spec)?;
            let factor = |factor: &str| {
                let entry = self.entries.get(format!("blocks.{block}.{name}.{factor}").as_str())?;
                Some(&self.values[entry.offset..entry.offset + entry.len()])
            };
            Some(Update { a: factor("lora_a")?, b: factor("lora_b")?, outputs: self.outputs(*source) })
        };
        sources.iter().filter_map(update).collect()
    }

    /// A `[rank, inputs]` and B `[outputs, rank]` of one adapter that does what several do.
    fn factors(&self, updates: &[Update<'_>], map: Target, part: &str) -> (Vec<f32>, Vec<f32>) {
        let outputs = self.outputs(map);
        let rank = updates.len() * self.rank;
        let a = updates.iter().flat_map(|update| transpose(update.a, self.rank)).collect();
        let mut b = vec![0.0; outputs.len() * rank];
        for (i, update) in updates.iter().enumerate() {
            let width = update.outputs.len();
            for output in update.outputs.start.max(outputs.start)..update.outputs.end.min(outputs.end) {
                for r in 0..self.rank {
                    b[(output - outputs.start) * rank + i * self.rank + r] =
                        update.b[r * width + output - update.outputs.start];
                }
            }
        }
        let per_head = matches!(self.names.qkv, Qkv::PerHead(fused) if fused == part);
        (a, if per_head { head_by_head(&b, self.spec.head_width * rank) } else { b })
    }

    /// Adds the tensors that are trained whole; the names of their modules.
    fn saved(&self, layout: &Layout, tensors: &mut Vec<FileTensor>) -> Vec<String> {
        let untied = DecoderSpec { tied: false, ..self.spec.clone() };
        let mut modules = Vec::new();
        let mut add = |tensor: &str, values: &[f32]| {
            let place = self.names.place(&untied, tensor);
            let parts = place.take_apart(&untied, tensor, values);
            for ((name, shape), values) in place.file_tensors(&untied, tensor).into_iter().zip(parts) {
                let name = in_peft(&name);
                let module = name.rsplit('.').nth(1).expect("a module has a name").to_string();
                if !modules.contains(&module) {
                    modules.push(module);
                }
                tensors.push((name, shape, Precision::F32.bytes(&values)));
            }
        };
        for entry in layout.entries().iter().filter(|entry| entry.start == Start::Base) {
            let values = &self.values[entry.offset..entry.offset + entry.len()];
            add(&entry.name, values);
            // PEFT copies what it trains, so that a shared matrix has to be there for embedding and head.
            if self.spec.tied && entry.name == "embedding" {
                add("head.weight", &transpose(values, self.spec.width));
            }
        }
        modules
    }
}

impl Names {
    /// The shortest end of a module's path that names no other map of a block.
    fn short(&self, spec: &DecoderSpec, part: &str) -> String {
        let last = |part: &str| part.rsplit('.').next().unwrap_or_default().to_string();
        let alike = self.maps(spec).iter().filter(|(_, other)| last(other) == last(part)).count();
        if alike == 1 { last(part) } else { part.to_string() }
    }
}
