//! `cotune model generate`: text from a model, as it comes.

use std::sync::{Mutex, PoisonError};

use cotune_kernel::stream::Stream;
use cotune_models::base::Base;
use cotune_models::device::Compute;
use cotune_models::generate::{self, Generated, Sampling};
use serde::Serialize;

use super::{Adapters, check_ids, encode, open};
use crate::arguments::ModelGenerate;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// What `--json` prints of one prompt.
#[derive(Serialize)]
struct Outcome<'a> {
    /// New tokens, without the one that ended the text.
    ids: &'a [u32],
    /// What they say, where the model has a tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Whether the model ended the text.
    finished: bool,
}

/// Continues prompts, with the likeliest tokens or with drawn ones.
pub fn generate(typed: &ModelGenerate) -> Result<Exit, Failure> {
    let base = open(&typed.model, &Compute::open(typed.device)?)?;
    let adapters = Adapters::read(&typed.adapter, base.spec())?;
    let prompts: Vec<Vec<u32>> = match typed.ids.as_slice() {
        [] => typed.prompt.iter().map(|prompt| encode(&base, prompt)).collect::<Result<_, _>>()?,
        ids => vec![ids.to_vec()],
    };
    for prompt in &prompts {
        check_ids(prompt, base.spec())?;
    }
    // The longest prompt decides how much there is room for, so that none loses its beginning.
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let room = base.spec().max_positions - longest;
    if room == 0 {
        return Err(Failure::wrong(format!(
            "a prompt of {longest} tokens leaves the model no room for another"
        )));
    }
    let max_tokens = typed.max_tokens.get().min(room);
    let stream = |prompt: usize| Stream::keyed(typed.seed, &format!("model/generate/{prompt}"));
    let sampling = match (typed.temperature, typed.top_p) {
        (None, None) => Sampling::Greedy,
        (temperature, top_p) => Sampling::Temperature {
            temperature: temperature.unwrap_or(1.0),
            top_p: top_p.unwrap_or(1.0),
            stream: &stream,
        },
    };
    let live = prompts.len() == 1 && !typed.json;
    let ticker = Mutex::new(Ticker::new(&base));
    let stop =
        |tokens: &[u32]| live && ticker.lock().unwrap_or_else(PoisonError::into_inner).shows(tokens).is_err();
    let texts = generate::generate(&base, &adapters.as_refs(), &prompts, max_tokens, &sampling, &stop);
    if typed.json {
        let outcomes: Vec<Outcome<'_>> = texts.iter().map(|text| outcome(&base, text)).collect();
        talk::print(serde_json::to_string(&outcomes).expect("text becomes JSON") + "\n")?;
    } else if live {
        ticker.into_inner().unwrap_or_else(PoisonError::into_inner).ends()?;
    } else {
        for text in &texts {
            let mut ticker = Ticker::new(&base);
            ticker.shows(&text.tokens)?;
            ticker.ends()?;
        }
    }
    Ok(Exit::Done)
}

fn outcome<'a>(base: &Base, text: &'a Generated) -> Outcome<'a> {
    let bytes =
        |tokens: &[u32]| tokens.iter().flat_map(|id| base.tokenizer().token_bytes(*id)).copied().collect();
    let words = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome {
        ids: &text.tokens,
        text: base.has_tokenizer().then(|| words(bytes(&text.tokens))),
        finished: text.finished,
    }
}

/// Prints a text that grows by tokens: letters as soon as all their bytes are there, or ids.
struct Ticker<'a> {
    base: &'a Base,
    shown: usize,
    /// The beginning of a letter.
    bytes: Vec<u8>,
}

impl<'a> Ticker<'a> {
    fn new(base: &'a Base) -> Self {
        Self { base, shown: 0, bytes: Vec::new() }
    }

    /// Prints what `tokens` has more than before.
    fn shows(&mut self, tokens: &[u32]) -> Result<(), Failure> {
        for id in &tokens[self.shown..] {
            if self.base.has_tokenizer() {
                self.bytes.extend(self.base.tokenizer().token_bytes(*id));
            } else {
                let comma = if self.shown > 0 { "," } else { "" };
                self.bytes.extend(format!("{comma}{id}").bytes());
            }
            self.shown += 1;
        }
        let ready = whole_letters(&self.bytes);
        let text = String::from_utf8_lossy(&self.bytes[..ready]).into_owned();
        self.bytes.drain(..ready);
        talk::print(text)
    }

    /// Prints the rest and ends the line.
    fn ends(self) -> Result<(), Failure> {
        talk::print(String::from_utf8_lossy(&self.bytes).into_owned() + "\n")
    }
}

/// How many bytes from the beginning do not belong to a letter that goes on behind the end.
fn whole_letters(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let goes_on = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
    if goes_on { bytes.len() - last.len() } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_waits_for_its_last_byte() {
        assert_eq!(whole_letters("né".as_bytes()), 3);
        assert_eq!(whole_letters(&"né".as_bytes()[..2]), 1);
        assert_eq!(whole_letters(&"a🙂".as_bytes()[..4]), 1);
        assert_eq!(whole_letters(b"a\xff"), 2);
        assert_eq!(whole_letters(b""), 0);
    }
}
