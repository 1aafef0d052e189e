//! Tokenizers: text to token ids and back, with the bytes each token stands for.
//!
//! A [`Tokenizer`] wraps the `tokenizers` crate (the Hugging Face `tokenizer.json` format) and adds what
//! cross-tokenizer learning needs: every token knows its bytes, and an encoding knows which bytes of the text
//! each token covers. Training is our own small loop ([`Tokenizer::train_byte_level`],
//! [`Tokenizer::train_metaspace`]), because a checkpoint's tokenizer must come out the same, byte for byte,
//! every time it is made.

mod gpt2;
mod specials;
mod surface;
mod train;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cotune_kernel::{bounded, panics};
use tokenizers::PostProcessorWrapper;

pub use surface::Surface;

/// The end-of-sequence token of the tokenizers trained here; its id is 0.
pub const EOS_TOKEN: &str = "<eos>";
/// The padding token of the tokenizers trained here; its id is 1.
pub const PAD_TOKEN: &str = "<pad>";
/// The unknown token of metaspace tokenizers trained here; its id is 2.
pub const UNK_TOKEN: &str = "<unk>";

/// End-of-sequence tokens of well-known model families, tried in this order when a file is loaded.
const KNOWN_EOS: [&str; 6] =
    [EOS_TOKEN, "</s>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<end_of_turn>"];
/// Padding tokens of well-known model families; a tokenizer without any pads with its end-of-sequence token.
const KNOWN_PAD: [&str; 4] = [PAD_TOKEN, "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"];

/// The longest tokenizer that is read \[B\] (chosen: eight times those of a quarter of a million tokens).
pub(crate) const LONGEST: u64 = 256 << 20;

/// Ids that a vocabulary may leave out between its tokens: as many for each of them, and so many besides.
const GAPS_PER_TOKEN: usize = 3;
const GAPS_BESIDES: usize = 1 << 16;

/// A letter that no vocabulary is likely to have.
const RARE_LETTER: &str = "\u{10fffd}";

/// What can be wrong with a tokenizer file or a request to train one.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file could not be read.
    #[error("cannot read the tokenizer {path}: {source}")]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The bytes are not a `tokenizer.json` that the `tokenizers` crate understands.
    #[error("not a tokenizer.json: {reason}")]
    Format {
        /// What the parser said.
        reason: String,
    },
    /// No known end-of-sequence token is in the vocabulary.
    #[error(
        "nothing says which token ends a text, and the tokenizer has none of {tried:?}: name it as `eos_token` \
         in tokenizer_config.json or as `eos_token_id` in generation_config.json or config.json"
    )]
    NoEndOfSequence {
        /// The names that were tried.
        tried: Vec<&'static str>,
    },
    /// A special token was named that the vocabulary lacks.
    #[error("the tokenizer has no token {}", wanted.join(", "))]
    NoSuchToken {
        /// The token, or all that would do.
        wanted: Vec<String>,
    },
    /// A special id lies outside the vocabulary.
    #[error("special token id {id} lies outside a vocabulary of {vocab_size}")]
    SpecialOutside {
        /// The id asked for.
        id: u32,
        /// Number of tokens.
        vocab_size: usize,
    },
    /// The vocabulary asked for cannot even hold the alphabet.
    #[error("a vocabulary of {vocab_size} is too small: special tokens and alphabet alone need {needed}")]
    VocabTooSmall {
        /// The size asked for.
        vocab_size: usize,
        /// The smallest size that works for these texts.
        needed: usize,
    },
}

impl TokenizerError {
    fn format(reason: impl ToString) -> Self {
        Self::Format { reason: reason.to_string() }
    }
}

/// A tokenizer; cheap to clone, safe to share between threads.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    model: tokenizers::Tokenizer,
    surface: Surface,
    tokens: Vec<Token>,
    eos: u32,
    pad: u32,
    unknown: Option<u32>,
    /// Whether encoding puts a space before the text (LLaMA's and T5's habit).
    prepends_space: bool,
    /// Special tokens that the file puts before a text.
    beginning: Vec<u32>,
    json: String,
    digest: String,
}

#[derive(Clone, Default)]
struct Token {
    text: Box<str>,
    bytes: Box<[u8]>,
    special: bool,
}

impl Tokenizer {
    /// Trains byte-level BPE (GPT-2's scheme, no prefix space) of exactly `vocab_size` tokens, or fewer when
    /// the texts run out of pairs to merge. `<eos>` = 0, `<pad>` = 1. The same texts give the same bytes
    /// every time.
    ///
    /// # Errors
    /// [`TokenizerError::VocabTooSmall`] below 258 tokens.
    ///
    /// Source: Sennrich et al., arXiv 1508.07909; Radford et al. 2019.
    pub fn train_byte_level<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        vocab_size: usize,
    ) -> Result<Self, TokenizerError> {
        train::byte_level(texts, vocab_size).and_then(Self::from_model)
    }

    /// Trains metaspace BPE (a space is the letter '▁', nothing is prepended). The alphabet is printable
    /// ASCII, the line feed and whatever else the texts contain; other letters become `<unk>`. `<eos>` = 0,
    /// `<pad>` = 1, `<unk>` = 2. The same texts give the same bytes every time.
    ///
    /// # Errors
    /// [`TokenizerError::VocabTooSmall`] when special tokens and alphabet exceed `vocab_size`.
    ///
    /// Source: Sennrich et al., arXiv 1508.07909; Kudo & Richardson, arXiv 1808.06226 (the marker).
    pub fn train_metaspace<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        vocab_size: usize,
    ) -> Result<Self, TokenizerError> {
        train::metaspace(texts, vocab_size).and_then(Self::from_model)
    }

    /// Reads a `tokenizer.json` from memory; the end-of-sequence and padding tokens are recognised by name.
    ///
    /// # Errors
    /// [`TokenizerError::Format`], [`TokenizerError::NoEndOfSequence`].
    pub fn from_json(bytes: impl AsRef<[u8]>) -> Result<Self, TokenizerError> {
        parse(bytes.as_ref()).and_then(Self::from_model)
    }

    /// Reads a `tokenizer.json` from memory and names its special ids, as a checkpoint's `config.json` does.
    ///
    /// # Errors
    /// [`TokenizerError::Format`], [`TokenizerError::SpecialOutside`].
    pub fn from_json_with_specials(
        bytes: impl AsRef<[u8]>,
        eos: u32,
        pad: u32,
    ) -> Result<Self, TokenizerError> {
        Self::build(parse(bytes.as_ref())?, Some((eos, pad)))
    }

    /// Reads a `tokenizer.json` file.
    ///
    /// # Errors
    /// [`TokenizerError::Read`] and those of [`Tokenizer::from_json`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let bytes = bounded::bytes(path, LONGEST)
            .map_err(|source| TokenizerError::Read { path: path.to_path_buf(), source })?;
        Self::from_json(bytes)
    }

    /// Byte-level BPE from the text of GPT-2's `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    /// [`TokenizerError::Format`], [`TokenizerError::NoEndOfSequence`].
    pub fn from_gpt2(vocab: &str, merges: &str) -> Result<Self, TokenizerError> {
        gpt2::read(vocab, merges).and_then(Self::from_model)
    }

    fn from_model(model: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        Self::build(model, None)
    }

    fn build(model: tokenizers::Tokenizer, specials: Option<(u32, u32)>) -> Result<Self, TokenizerError> {
        panics::undamaged(|| Self::tried(model, specials)).map_err(TokenizerError::format)?
    }

    fn tried(mut model: tokenizers::Tokenizer, specials: Option<(u32, u32)>) -> Result<Self, TokenizerError> {
        // Text that happens to spell "<eos>" is text: special tokens are put in by id, never by reading.
        model.set_encode_special_tokens(true);
        model.with_truncation(None).map_err(TokenizerError::format)?;
        model.with_padding(None);
        // A file can name an unknown token that its vocabulary lacks; it fails at the first unknown letter.
        model.encode(RARE_LETTER, false).map_err(TokenizerError::format)?;
        let json = model.to_string(false).map_err(TokenizerError::format)?;
        let surface = Surface::of(&json).map_err(TokenizerError::format)?;
        let tokens = tokens(&model, surface)?;

        let (eos, pad) = specials.map_or_else(|| Self::recognised(&model), Ok)?;
        let vocab_size = tokens.len();
        for id in [eos, pad] {
            if id as usize >= vocab_size {
                return Err(TokenizerError::SpecialOutside { id, vocab_size });
            }
        }
        let mut tokens = tokens;
        for id in [eos, pad] {
            tokens[id as usize].bytes = Box::default();
            tokens[id as usize].special = true;
        }
        let unknown = first_of(&model, &[UNK_TOKEN, "[UNK]"]).filter(|id| tokens[*id as usize].special);
        let digest = blake3::hash(format!("{eos} {pad} {json}").as_bytes()).to_hex().to_string();
        let beginning = beginning(&model).map_err(TokenizerError::format)?;
        // Encoding adds no special tokens, so all that a post-processor would do is trim spaces from offsets.
        model.with_post_processor(None::<PostProcessorWrapper>);
        let mut inner = Inner {
            model,
            surface,
            tokens,
            eos,
            pad,
            unknown,
            prepends_space: false,
            beginning,
            json,
            digest,
        };
        inner.prepends_space = inner.concatenate(&inner.encode("a")).starts_with(b" ");
        Ok(Self { inner: Arc::new(inner) })
    }

    /// End and padding of well-known names.
    fn recognised(model: &tokenizers::Tokenizer) -> Result<(u32, u32), TokenizerError> {
        let eos = first_of(model, &KNOWN_EOS)
            .ok_or_else(|| TokenizerError::NoEndOfSequence { tried: KNOWN_EOS.to_vec() })?;
        Ok((eos, first_of(model, &KNOWN_PAD).unwrap_or(eos)))
    }

    /// Token ids of a text; no special token is added or recognised.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.inner.encode(text)
    }

    /// Token ids and, for each, the bytes of `text` it covers. The ranges tile the text: they start at 0,
    /// follow one another without gaps and end at `text.len()`; a token that is part of one UTF-8 character
    /// covers its part.
    pub fn encode_with_offsets(&self, text: &str) -> (Vec<u32>, Vec<Range<usize>>) {
        self.inner.encode_with_offsets(text)
    }

    /// The text of token ids; special tokens are skipped, bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes = self.inner.concatenate(ids);
        let text = match bytes.strip_prefix(b" ") {
            Some(rest) if self.inner.prepends_space => rest,
            _ => &bytes,
        };
        String::from_utf8_lossy(text).into_owned()
    }

    /// Token ids of a text that follows another, such as an answer: a tokenizer that puts a space before every text
    /// takes the text's own first space for it.
    pub fn encode_continuation(&self, text: &str) -> Vec<u32> {
        match text.strip_prefix(' ') {
            Some(rest) if self.inner.prepends_space && !rest.is_empty() && !rest.starts_with(' ') => {
                self.encode(rest)
            }
            _ => self.encode(text),
        }
    }

    /// The text of token ids that follow others: as [`Tokenizer::decode`], with the space that begins it.
    pub fn decode_continuation(&self, ids: &[u32]) -> String {
        String::from_utf8_lossy(&self.inner.concatenate(ids)).into_owned()
    }

    /// The bytes token `id` stands for; empty for special tokens and ids outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.inner.tokens.get(id as usize).map_or(&[], |token| &token.bytes)
    }

    /// The surface form of token `id` as the vocabulary spells it, with 'Ġ' or '▁' for a space.
    pub fn token_text(&self, id: u32) -> &str {
        self.inner.tokens.get(id as usize).map_or("", |token| &token.text)
    }

    /// Whether `id` is a control token (end, padding, unknown, …) that stands for no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.tokens.get(id as usize).is_some_and(|token| token.special)
    }

    /// One more than the largest token id: the number of rows an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.inner.tokens.len()
    }

    /// The end-of-sequence id.
    pub fn eos(&self) -> u32 {
        self.inner.eos
    }

    /// The special tokens that the file puts before a text, such as LLaMA's `<s>`; [`Tokenizer::encode`] leaves them
    /// out.
    pub fn beginning(&self) -> &[u32] {
        &self.inner.beginning
    }

    /// The padding id; equal to [`Tokenizer::eos`] when the vocabulary has no padding token.
    pub fn pad(&self) -> u32 {
        self.inner.pad
    }

    /// The id that stands for letters outside the alphabet, if the tokenizer has one.
    pub fn unknown(&self) -> Option<u32> {
        self.inner.unknown
    }

    /// How the vocabulary spells bytes.
    pub fn surface(&self) -> Surface {
        self.inner.surface
    }

    /// Whether encoding puts a space before the text, so that tokens stand for one byte more than the text
    /// has.
    pub fn prepends_space(&self) -> bool {
        self.inner.prepends_space
    }

    /// BLAKE3 of the serialised tokenizer and its special ids, in hex: equal digests mean equal tokenizers.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// The tokenizer as `tokenizer.json`, on one line.
    pub fn to_json(&self) -> &str {
        &self.inner.json
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("surface", &self.inner.surface)
            .field("vocab_size", &self.vocab_size())
            .field("digest", &self.inner.digest)
            .finish()
    }
}

impl PartialEq for Tokenizer {
    fn eq(&self, other: &Self) -> bool {
        self.inner.digest == other.inner.digest
    }
}

impl Eq for Tokenizer {}

/// Why encoding cannot fail: [`Tokenizer::build`] removed truncation and tried an unknown letter.
const ENCODES: &str = "a tokenizer that encoded an unknown letter encodes any text";

impl Inner {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.model.encode_fast(text, false).expect(ENCODES).get_ids().to_vec()
    }

    fn concatenate(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .filter_map(|id| self.tokens.get(*id as usize))
            .flat_map(|t| t.bytes.iter().copied())
            .collect()
    }

    fn encode_with_offsets(&self, text: &str) -> (Vec<u32>, Vec<Range<usize>>) {
        let encoding = self.model.encode(text, false).expect(ENCODES);
        let ids = encoding.get_ids().to_vec();
        let spelled = self.concatenate(&ids);
        let added = spelled.len().saturating_sub(text.len());
        let exact = spelled.ends_with(text.as_bytes()) && (added == 0 || (added == 1 && self.prepends_space));
        let mut end = 0;
        let ends: Vec<usize> = if exact {
            let mut spelled = 0;
            let lengths = ids.iter().map(|id| self.tokens[*id as usize].bytes.len());
            lengths
                .map(|length| {
                    spelled += length;
                    spelled.saturating_sub(added)
                })
                .collect()
        } else {
            // Where the next token starts, so that what a normalizer took out belongs to the token before it.
            let starts =
                encoding.get_offsets().iter().skip(1).map(|offsets| text.ceil_char_boundary(offsets.0));
            starts.chain([text.len()]).collect()
        };
        let mut ranges: Vec<Range<usize>> = ends
            .into_iter()
            .map(|next| {
                let start = end;
                end = next.max(start).min(text.len());
                start..end
            })
            .collect();
        if let Some(last) = ranges.last_mut() {
            last.end = text.len();
        }
        (ids, ranges)
    }
}

/// A `tokenizer.json` as its crate reads it, which panics over some that are damaged.
fn parse(json: &[u8]) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let read = panics::undamaged(|| tokenizers::Tokenizer::from_bytes(json));
    read.map_err(TokenizerError::format)?.map_err(TokenizerError::format)
}

/// The first of some tokens that a vocabulary has.
fn first_of(model: &tokenizers::Tokenizer, names: &[&str]) -> Option<u32> {
    names.iter().find_map(|name| model.token_to_id(name))
}

/// What stands before a text when special tokens are added.
fn beginning(model: &tokenizers::Tokenizer) -> tokenizers::Result<Vec<u32>> {
    let ids = |specials| Ok::<_, tokenizers::Error>(model.encode_fast("a", specials)?.get_ids().to_vec());
    let (with, without) = (ids(true)?, ids(false)?);
    let start = (0..with.len()).find(|start| with[*start..].starts_with(&without)).unwrap_or(0);
    Ok(with[..start].to_vec())
}

/// The tokens by their ids; those between them stand for nothing.
fn tokens(model: &tokenizers::Tokenizer, surface: Surface) -> Result<Vec<Token>, TokenizerError> {
    let (vocabulary, added) = (model.get_vocab(true), model.get_added_tokens_decoder());
    // A text of two ids has one in the vocabulary, and the other only here.
    let largest = vocabulary.values().chain(added.keys()).max();
    let size = largest.map_or(0, |id| *id as usize + 1);
    let count = vocabulary.len() + added.len();
    if size > (GAPS_PER_TOKEN + 1) * count + GAPS_BESIDES {
        return Err(TokenizerError::format(format!("{count} tokens, and the largest id is {}", size - 1)));
    }
    let mut tokens = vec![Token::default(); size];
    for (text, id) in vocabulary {
        tokens[id as usize] = Token { bytes: surface.bytes(&text).into(), text: text.into(), special: false };
    }
    for (id, added) in added {
        let bytes = if added.special { Box::default() } else { added.content.as_bytes().into() };
        tokens[id as usize] = Token { text: added.content.into(), bytes, special: added.special };
    }
    Ok(tokens)
}

#[cfg(test)]
mod layouts;
#[cfg(test)]
mod tests;
