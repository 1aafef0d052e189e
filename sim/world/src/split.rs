//! Which device has which private examples: one file per kind of split.
//!
//! A split is a list of example numbers per device, ascending. Lists are disjoint; together they hold every example,
//! except where a kind documents what it drops (`shards`, `pathological`). Every device has at least one example.
//!
//! Labels are category numbers: of the field that the split names in `by`. Categories that no example has do not
//! exist here.

mod dirichlet;
mod follow;
mod iid;
mod natural;
mod pathological;
mod quantity;
mod shards;

pub use follow::deal as follow;

use std::collections::BTreeMap;
use std::ops::Range;

use cotune_kernel::Stream;
use cotune_scenario::data::Split;

use crate::files::Files;

/// Why no split was made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// Some device would have nothing.
    #[error(
        "{devices} devices cannot share {examples} private examples; raise `examples` or have fewer devices"
    )]
    FewExamples {
        /// Devices.
        devices: u32,
        /// Private examples.
        examples: usize,
    },
    /// The least size that is asked for does not fit.
    #[error(
        "{devices} devices with at least {min} examples each need {}, and {examples} are private; \
         write min = {} or less",
        u64::from(*devices) * min,
        *examples as u64 / u64::from(*devices)
    )]
    Minimum {
        /// Devices.
        devices: u32,
        /// Fewest examples of a device.
        min: u64,
        /// Private examples.
        examples: usize,
    },
    /// No draw of a Dirichlet split had enough examples on every device.
    #[error(
        "in {draws} draws of the Dirichlet split with alpha = {alpha} some of {devices} devices always had fewer than \
         min = {min} examples (the mean is {mean:.1}); raise alpha, lower min, or have fewer devices"
    )]
    Dirichlet {
        /// Concentration.
        alpha: f64,
        /// Fewest examples of a device.
        min: u64,
        /// Examples per device.
        mean: f64,
        /// Devices.
        devices: u32,
        /// Draws tried.
        draws: u32,
    },
    /// A device is to have more categories than there are.
    #[error(
        "a device cannot have {wanted} of {categories} categories; write classes_per_device = {categories} or less"
    )]
    FewCategories {
        /// Categories per device.
        wanted: u32,
        /// Categories that have examples.
        categories: usize,
    },
    /// A category has fewer examples than devices that are to share it, and one of these would have nothing.
    #[error("device {device} would have no examples: its categories have too few for all their devices")]
    Nothing {
        /// The device.
        device: u32,
    },
    /// There are fewer shards than devices.
    #[error(
        "{examples} examples make {shards} shards of {size}, too few for {devices} devices; write a smaller `size`"
    )]
    FewShards {
        /// Private examples.
        examples: usize,
        /// Shards that they make.
        shards: u64,
        /// Examples per shard.
        size: u64,
        /// Devices.
        devices: u32,
    },
    /// The assignment lies in a file that was not read.
    #[error("the split `{path}` was not read")]
    File {
        /// The file as written.
        path: String,
    },
    /// The file does not fit the corpus.
    #[error(
        "the split `{path}` has {lines} lines and there are {examples} private examples; write one line an example, in \
         the order of the corpus"
    )]
    Lines {
        /// The file as written.
        path: String,
        /// Its lines.
        lines: usize,
        /// Private examples.
        examples: usize,
    },
    /// The file does not fit the fleet.
    #[error("the split `{path}` names the device {device}, and the last of {devices} devices is {}", devices - 1)]
    NoDevice {
        /// The file as written.
        path: String,
        /// The device it names.
        device: u32,
        /// Devices.
        devices: u32,
    },
    /// The corpus is only counted.
    #[error(
        "examples that are only counted have no domains to be split by; write split = \"iid\" or split.quantity"
    )]
    OnlyCounted,
}

/// Deals examples `0..labels.len()` to devices `0..devices`; `labels` holds the category of every example.
///
/// # Errors
/// Fewer examples than devices, or what the kind of split asks for cannot be had.
pub fn deal(
    split: &Split,
    labels: &[u16],
    files: &Files,
    devices: u32,
    seed: u64,
) -> Result<Vec<Vec<u32>>, SplitError> {
    if labels.len() < devices as usize || devices == 0 {
        return Err(SplitError::FewExamples { devices, examples: labels.len() });
    }
    let mut hands = match split {
        Split::Iid => iid::deal(labels.len(), devices, seed),
        Split::Dirichlet(asked) => dirichlet::deal(asked, labels, devices, seed)?,
        Split::Pathological { classes_per_device, .. } => {
            pathological::deal(*classes_per_device, labels, devices, seed)?
        }
        Split::Shards(asked) => shards::deal(asked, labels, devices, seed)?,
        Split::Natural { .. } => natural::deal(labels, devices, seed),
        Split::Quantity(law) => quantity::deal(law, labels.len(), devices, seed),
        Split::File { path } => from_file(path, labels.len(), files, devices)?,
    };
    if let Some(device) = hands.iter().position(Vec::is_empty) {
        return Err(SplitError::Nothing { device: device as u32 });
    }
    hands.iter_mut().for_each(|hand| hand.sort_unstable());
    Ok(hands)
}

/// Examples of every device in a corpus that is only counted, for the splits that look at nothing else.
///
/// # Errors
/// As [`deal`], or the split looks at domains.
pub fn counts(split: &Split, examples: u64, devices: u32, seed: u64) -> Result<Vec<u32>, SplitError> {
    let total = usize::try_from(examples).unwrap_or(usize::MAX);
    if total < devices as usize || devices == 0 {
        return Err(SplitError::FewExamples { devices, examples: total });
    }
    let parts = devices as usize;
    match split {
        Split::Iid => Ok((0..parts).map(|part| piece(total, part, parts).len() as u32).collect()),
        Split::Quantity(law) => {
            Ok(quantity::sizes(law, total, devices, seed).into_iter().map(|size| size as u32).collect())
        }
        _ => Err(SplitError::OnlyCounted),
    }
}

/// The split that a file says.
fn from_file(path: &str, examples: usize, files: &Files, devices: u32) -> Result<Vec<Vec<u32>>, SplitError> {
    let path = path.to_owned();
    let Some(owners) = files.owners(&path) else { return Err(SplitError::File { path }) };
    if owners.len() != examples {
        return Err(SplitError::Lines { path, lines: owners.len(), examples });
    }
    let mut hands = vec![Vec::new(); devices as usize];
    for (example, device) in (0..).zip(owners.iter()) {
        match hands.get_mut(*device as usize) {
            Some(hand) => hand.push(example),
            None => return Err(SplitError::NoDevice { path, device: *device, devices }),
        }
    }
    Ok(hands)
}

/// Per device, the fraction of its examples in each of `categories` categories; zeros for a device without examples.
///
/// # Panics
/// If an example of `assignment` has no label, or a label is not below `categories`.
pub fn shares(assignment: &[Vec<u32>], labels: &[u16], categories: usize) -> Vec<Vec<f64>> {
    let of_device = |hand: &Vec<u32>| {
        let mut counts = vec![0.0; categories];
        hand.iter().for_each(|example| counts[usize::from(labels[*example as usize])] += 1.0);
        counts.iter_mut().for_each(|count| *count /= hand.len().max(1) as f64);
        counts
    };
    assignment.iter().map(of_device).collect()
}

/// The examples of every category that has any, both ascending.
fn categories(labels: &[u16]) -> Vec<Vec<u32>> {
    let mut examples: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    for (example, label) in labels.iter().enumerate() {
        examples.entry(*label).or_default().push(example as u32);
    }
    examples.into_values().collect()
}

/// The examples of every category in random order: the order of category 3 comes from the stream `split/category/3`.
fn shuffled_categories(labels: &[u16], seed: u64) -> Vec<Vec<u32>> {
    let mut categories = categories(labels);
    for (index, examples) in categories.iter_mut().enumerate() {
        Stream::keyed_parts(seed, &[&"split/category", &index]).shuffle(examples);
    }
    categories
}

/// All `examples` numbers in random order.
fn shuffled(examples: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..examples as u32).collect();
    Stream::keyed(seed, "split/order").shuffle(&mut order);
    order
}

/// The `part`-th of `parts` pieces of `0..n` whose sizes differ by one at most.
fn piece(n: usize, part: usize, parts: usize) -> Range<usize> {
    part * n / parts..(part + 1) * n / parts
}

#[cfg(test)]
mod tests;
