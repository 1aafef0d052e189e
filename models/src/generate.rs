//! Text from a model, many prompts at once, with a cache of keys and values.
//!
//! Prompts are read a few at a time, padded on the right; from then on every sequence gains one token a pass.

use crate::base::Base;
use crate::kernels::attention::Reading;
use crate::learner::{AdapterRef, host, int_tensor, reader};
use burn::tensor::Tensor;
use cotune_kernel::stream::Stream;

/// Sequences that are computed together. Fixed, so that results do not depend on the machine.
const ROWS: usize = 64;

/// Tokens of prompts that are read in one pass on the CPU, padding included, or one prompt that has more (chosen: what lies
/// between the layers of a small decoder then stays in a core's cache, and in memory beside the keys there is little).
const PROMPT_TOKENS: usize = 128;

/// How the next token is chosen.
pub enum Sampling<'s> {
    /// The likeliest; the lowest id among equals.
    Greedy,
    /// From `softmax(logits / temperature)`, with a stream of its own for each prompt.
    Temperature {
        /// Divides the logits.
        temperature: f64,
        /// Only the likeliest tokens that together reach this probability are drawn from (Holtzman et al. 2020,
        /// section 3.1); 1 is all.
        top_p: f64,
        /// The stream of prompt `i`.
        stream: &'s (dyn Fn(usize) -> Stream + Sync),
    },
}

/// When a text is complete, besides the end-of-sequence token.
pub type Stop<'s> = &'s (dyn Fn(&[u32]) -> bool + Sync);

/// One generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// New tokens, without the end-of-sequence token.
    pub tokens: Vec<u32>,
    /// Whether it ended by itself: by the end-of-sequence token or the stop rule.
    pub finished: bool,
}

/// Continues every prompt by at most `max_tokens` tokens.
///
/// `stop` sees the new tokens after each one. Prompts longer than the model allows keep their end.
///
/// # Panics
/// A prompt is empty.
pub fn generate(
    base: &Base,
    adapters: &[AdapterRef<'_>],
    prompts: &[Vec<u32>],
    max_tokens: usize,
    sampling: &Sampling<'_>,
    stop: Stop<'_>,
) -> Vec<Generated> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|i| prompts[*i].len());
    let mut out = vec![Generated { tokens: Vec::new(), finished: false }; prompts.len()];
    // Idle cores write some of the chunks.
    let written = base.compute().cores().map(order.chunks(ROWS).collect(), |chunk| {
        generate_chunk(base, adapters, prompts, chunk, max_tokens, sampling, stop)
    });
    for (prompt, text) in order.iter().zip(written.into_iter().flatten()) {
        out[*prompt] = text;
    }
    out
}

/// The texts of the prompts whose numbers are in `chunk`, in that order.
fn generate_chunk(
    base: &Base,
    adapters: &[AdapterRef<'_>],
    prompts: &[Vec<u32>],
    chunk: &[usize],
    max_tokens: usize,
    sampling: &Sampling<'_>,
    stop: Stop<'_>,
) -> Vec<Generated> {
    let (spec, device) = (base.spec(), base.compute().device());
    let decoder = reader(base, adapters);
    let room = spec.max_positions.saturating_sub(max_tokens).max(1);
    let cut = |i: &usize| &prompts[*i][prompts[*i].len().saturating_sub(room)..];
    let mut out = vec![Generated { tokens: Vec::new(), finished: false }; chunk.len()];
    // The sequences still growing: which of the chunk, and the length of its prompt.
    let mut active: Vec<(usize, usize)> = chunk.iter().map(|i| cut(i).len()).enumerate().collect();
    let mut streams: Vec<Option<Stream>> = chunk
        .iter()
        .map(|i| match sampling {
            Sampling::Greedy => None,
            Sampling::Temperature { stream, .. } => Some(stream(*i)),
        })
        .collect();
    let time = active.iter().map(|(_, length)| *length).max().expect("a chunk has a prompt");
    assert!(active.iter().all(|(_, length)| *length > 0), "a prompt has at least one token");

    let mut cache = decoder.cache(active.len(), time + max_tokens, device);
    let lengths: Vec<usize> = active.iter().map(|(_, length)| *length).collect();
    // Prompts are in order of their lengths, so a few at a time also have less padding.
    let at_once = if base.compute().is_cpu() { (PROMPT_TOKENS / time).max(1) } else { chunk.len() };
    let read = (0..chunk.len()).step_by(at_once).map(|first| {
        let prompts = &chunk[first..(first + at_once).min(chunk.len())];
        let lengths = lengths[first..first + prompts.len()].to_vec();
        let time = *lengths.iter().max().expect("a pass reads a prompt");
        let padded = |i: &usize| cut(i).iter().copied().chain(std::iter::repeat(base.pad())).take(time);
        let ids: Vec<u32> = prompts.iter().flat_map(padded).collect();
        let ends = lengths.iter().enumerate().map(|(row, length)| (row * time + length - 1) as u32);
        let ends = int_tensor(&ends.collect::<Vec<_>>(), device);
        let reading = Reading { first, lengths, padded: time, more: 0 };
        decoder.advance(int_tensor(&ids, device), &reading, &mut cache).select(0, ends)
    });
    let hidden = Tensor::cat(read.collect(), 0);
    let mut reading = Reading { first: 0, lengths, padded: time, more: 0 };
    let mut logits = host(decoder.logits(hidden));

    for step in 0..max_tokens {
        let mut next = Vec::with_capacity(active.len());
        let mut kept = Vec::with_capacity(active.len());
        for (row, (text, _)) in active.iter().enumerate() {
            let scores = &logits[row * spec.vocab..(row + 1) * spec.vocab];
            let token = match (sampling, &mut streams[row]) {
                (Sampling::Temperature { temperature, top_p, .. }, Some(stream)) => {
                    draw(scores, *temperature, *top_p, stream.uniform())
                }
                _ => argmax(scores),
            };
            let text = &mut out[*text];
            if base.ends().contains(&token) {
                text.finished = true;
                continue;
            }
            text.tokens.push(token);
            text.finished = stop(&text.tokens);
            if !text.finished {
                next.push(token);
                kept.push(row);
            }
        }
        let positions_left = active.iter().any(|(_, length)| length + step + 1 < spec.max_positions);
        if kept.is_empty() || step + 1 == max_tokens || !positions_left {
            break;
        }
        if kept.len() < active.len() {
            cache.iter_mut().for_each(|keys| keys.keep(&kept));
            let old_streams = std::mem::take(&mut streams);
            let mut keep = kept.iter().peekable();
            for (row, stream) in old_streams.into_iter().enumerate() {
                if keep.next_if(|kept| **kept == row).is_some() {
                    streams.push(stream);
                }
            }
            active = kept.iter().map(|row| active[*row]).collect();
            reading.lengths = active.iter().map(|(_, length)| *length).collect();
        }
        reading.more += 1;
        let hidden = decoder.advance(int_tensor(&next, device), &reading, &mut cache);
        logits = host(decoder.logits(hidden));
    }
    out
}

/// The index of the largest score; the first among equals.
fn argmax(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = i;
        }
    }
    best as u32
}

/// The index at which the cumulated `softmax(scores / temperature)` passes `u`, among the likeliest tokens that
/// reach `top_p`.
fn draw(scores: &[f32], temperature: f64, top_p: f64, u: f64) -> u32 {
    let largest = scores.iter().copied().fold(f32::MIN, f32::max);
    let mut weights: Vec<f64> =
        scores.iter().map(|s| libm::exp(f64::from(s - largest) / temperature)).collect();
    if top_p < 1.0 {
        keep_nucleus(&mut weights, top_p);
    }
    let mut left = u * weights.iter().sum::<f64>();
    for (i, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return i as u32;
        }
    }
    argmax(scores)
}

/// Sets to zero what lies behind the likeliest entries that together reach `top_p` of the sum; the lower index
/// comes first among equals.
fn keep_nucleus(weights: &mut [f64], top_p: f64) {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let enough = top_p * weights.iter().sum::<f64>();
    let mut reached = 0.0;
    for i in order {
        if reached >= enough {
            weights[i] = 0.0;
        } else {
            reached += weights[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nucleus_is_the_smallest_set_that_reaches_top_p() {
        let mut weights = [0.1, 0.4, 0.1, 0.4];
        keep_nucleus(&mut weights, 0.85);
        assert_eq!(weights, [0.1, 0.4, 0.0, 0.4]);
        let mut weights = [0.1, 0.9];
        keep_nucleus(&mut weights, 1e-9);
        assert_eq!(weights, [0.0, 0.9]);
    }

    #[test]
    fn draws_follow_the_probabilities_inside_the_nucleus_only() {
        let scores = [0.0, 2.0_f32.ln(), -3.0];
        let mut counts = [0_u32; 3];
        for i in 0..3000 {
            counts[draw(&scores, 1.0, 0.9, f64::from(i) / 3000.0) as usize] += 1;
        }
        assert_eq!(counts, [1000, 2000, 0]);
    }
}
