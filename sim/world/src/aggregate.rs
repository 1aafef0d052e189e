//! Aggregation: how the updates of many devices become one.
//!
//! | file              | rule | source |
//! |-------------------|------|--------|
//! | `mean.rs`         | weighted or uniform mean | McMahan et al. 2017 |
//! | `norm_clip.rs`    | mean of updates shortened to a norm | Sun et al. 2019 |
//! | `median.rs`       | median of every coordinate | Yin et al. 2018 |
//! | `trimmed_mean.rs` | mean of every coordinate without its extremes | Yin et al. 2018 |
//! | `krum.rs`         | the updates that are closest to others | Blanchard et al. 2017 |
//! | `huge.rs`         | what no plain mean takes | Sun et al. 2019 |
//! | `nova.rs`         | changes per local step, before they are aggregated | Wang et al. 2020 |
//! | `server.rs`       | a step of the cloud along the aggregate's change | Reddi et al. 2021 |
//! | `stale.rs`        | what an update counts for that is based on an older model | Nguyen et al. 2022 |
//!
//! Updates come in ascending order of devices, and sums are taken in f64 in that order.

mod huge;
mod krum;
mod mean;
mod median;
mod norm_clip;
pub(crate) mod nova;
pub(crate) mod server;
pub(crate) mod stale;
mod trimmed_mean;

pub(crate) use huge::huge;

use crate::method::Update;
use cotune_scenario::method::Aggregate;

/// One update's values of one model.
#[derive(Clone, Copy, Debug)]
struct Vote<'a> {
    /// What it counts for in a weighted mean.
    weight: f64,
    values: &'a [f32],
}

/// The aggregate of one model's values over the updates that carry it; `None` if none does. `current` are the values
/// that the cloud has.
pub(crate) fn aggregate(
    rule: &Aggregate,
    updates: &[Update],
    model: &str,
    current: &[f32],
) -> Option<Vec<f32>> {
    let weigh = |update: &Update| match rule {
        Aggregate::Weighted | Aggregate::NormClip { .. } => update.examples as f64 * update.discount,
        _ => update.discount,
    };
    let votes: Vec<Vote<'_>> = updates
        .iter()
        .filter_map(|update| Some(Vote { weight: weigh(update), values: update.payload.values(model)? }))
        .collect();
    if votes.is_empty() {
        return None;
    }
    Some(match rule {
        Aggregate::Weighted | Aggregate::Uniform => mean::of(&votes),
        Aggregate::NormClip { norm } => norm_clip::of(&votes, current, *norm),
        Aggregate::Median => median::of(&votes),
        Aggregate::TrimmedMean { trim } => trimmed_mean::of(&votes, *trim),
        Aggregate::Krum { byzantine, keep } => krum::of(&votes, *byzantine, *keep),
    })
}

/// One coordinate of every vote.
fn column(votes: &[Vote<'_>], coordinate: usize, into: &mut Vec<f32>) {
    into.clear();
    into.extend(votes.iter().map(|vote| vote.values[coordinate]));
}

#[cfg(test)]
mod tests;
