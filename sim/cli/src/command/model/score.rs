//! `cotune model score`: what a model thinks of given tokens.

use cotune_models::device::Compute;
use cotune_models::score::{Scored, score_ids};
use serde::Serialize;

use super::{Adapters, check_ids, encode, open};
use crate::arguments::ModelScore;
use crate::columns::{columns, row};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome<'a> {
    /// Where a text was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a [u32]>,
    logprobs: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Vec<&'a [f32]>>,
}

/// Prints the natural-log probability of every token but the first, given those before it.
pub fn score(typed: &ModelScore) -> Result<Exit, Failure> {
    let base = open(&typed.model, &Compute::open(typed.device)?)?;
    let ids = match &typed.text {
        Some(text) => encode(&base, text)?,
        None => typed.ids.clone(),
    };
    check_ids(&ids, base.spec())?;
    let adapters = Adapters::read(&typed.adapter, base.spec())?;
    let Scored { logprobs, logits } = score_ids(&base, &adapters.as_refs(), &ids);
    if typed.json {
        let outcome = Outcome {
            ids: typed.text.is_some().then_some(&ids),
            logprobs: &logprobs,
            logits: typed.logits.then(|| logits.chunks(base.spec().vocab).collect()),
        };
        talk::print(serde_json::to_string(&outcome).expect("numbers become JSON") + "\n")?;
    } else {
        let name = |id: u32| match base.has_tokenizer() {
            true => format!("{:?}", base.tokenizer().token_text(id)),
            false => String::new(),
        };
        talk::print(table(&ids, &logprobs, &name))?;
    }
    Ok(Exit::Done)
}

/// A row for each token, and what they come to.
fn table(ids: &[u32], logprobs: &[f32], name: &dyn Fn(u32) -> String) -> String {
    let mut rows = vec![row(&["id", "token", "ln p"])];
    let scored = logprobs.iter().map(|logprob| format!("{logprob:.6}"));
    for (id, logprob) in ids.iter().zip(std::iter::once("–".to_owned()).chain(scored)) {
        rows.push(vec![id.to_string(), name(*id), logprob]);
    }
    let mut text = columns("rlr", &rows);
    if !logprobs.is_empty() {
        let nll = -logprobs.iter().map(|logprob| f64::from(*logprob)).sum::<f64>() / logprobs.len() as f64;
        text += &format!("\n{} tokens, {nll:.6} nats each, perplexity {:.3}\n", logprobs.len(), nll.exp());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_tokens_that_were_predicted() {
        let text = table(&[3, 4, 5], &[-1.0, -3.0], &|id| format!("t{id}"));
        assert!(text.ends_with("2 tokens, 2.000000 nats each, perplexity 7.389\n"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}
