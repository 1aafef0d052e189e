//! Training of byte-pair encodings, the same bytes every time.
//!
//! The trainer of the `tokenizers` crate keeps its words and pairs in hash maps with a random state and may
//! queue one pair twice, so that a tie can fall differently from run to run. This loop counts in ordered maps
//! and breaks ties by the smaller pair of ids, as that trainer means to. Source: Sennrich et al., arXiv
//! 1508.07909, algorithm 1.

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::surface::byte_alphabet;
use super::{EOS_TOKEN, PAD_TOKEN, TokenizerError, UNK_TOKEN};

type Pair = (u32, u32);

pub(super) fn byte_level<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    vocab_size: usize,
) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let splitter = ByteLevel::new(false, true, true);
    let words = count_words(texts, &splitter)?;
    let learned = learn(&words, byte_alphabet(), &[EOS_TOKEN, PAD_TOKEN], vocab_size)?;
    let model = learned.model(None)?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitter)).with_decoder(Some(splitter));
    finish(tokenizer, &[EOS_TOKEN, PAD_TOKEN])
}

pub(super) fn metaspace<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    vocab_size: usize,
) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let splitter = Metaspace::new('▁', PrependScheme::Never, true);
    let words = count_words(texts, &splitter)?;
    let alphabet = ('!'..='~').chain(['\n', '▁']).collect();
    let specials = [EOS_TOKEN, PAD_TOKEN, UNK_TOKEN];
    let learned = learn(&words, alphabet, &specials, vocab_size)?;
    let model = learned.model(Some(UNK_TOKEN))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitter.clone())).with_decoder(Some(splitter));
    finish(tokenizer, &specials)
}

fn finish(
    mut tokenizer: tokenizers::Tokenizer,
    specials: &[&str],
) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let specials: Vec<AddedToken> = specials.iter().map(|token| AddedToken::from(*token, true)).collect();
    tokenizer.add_special_tokens(specials).map_err(TokenizerError::format)?;
    Ok(tokenizer)
}

/// How often each pre-token occurs.
fn count_words<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    splitter: &impl PreTokenizer,
) -> Result<BTreeMap<String, u64>, TokenizerError> {
    let mut words = BTreeMap::new();
    for text in texts {
        let mut pieces = PreTokenizedString::from(text);
        splitter.pre_tokenize(&mut pieces).map_err(TokenizerError::format)?;
        for (word, _, _) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *words.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(words)
}

/// A learned vocabulary: surface forms by id, and the merges by rank.
struct Learned {
    tokens: Vec<String>,
    merges: Vec<Pair>,
}

impl Learned {
    fn model(self, unknown: Option<&str>) -> Result<BPE, TokenizerError> {
        let name = |id: u32| self.tokens[id as usize].clone();
        let merges = self.merges.iter().map(|(left, right)| (name(*left), name(*right))).collect();
        let vocabulary: Vocab = (0..).zip(&self.tokens).map(|(id, token)| (token.clone(), id)).collect();
        let builder = BPE::builder().vocab_and_merges(vocabulary, merges);
        let builder = match unknown {
            Some(token) => builder.unk_token(token.to_owned()),
            None => builder,
        };
        builder.build().map_err(TokenizerError::format)
    }
}

/// Merges the most frequent adjacent pair (ties: the smaller ids) until the vocabulary is full.
fn learn(
    words: &BTreeMap<String, u64>,
    alphabet: Vec<char>,
    specials: &[&str],
    vocab_size: usize,
) -> Result<Learned, TokenizerError> {
    let mut letters: BTreeSet<char> = alphabet.into_iter().collect();
    letters.extend(words.keys().flat_map(|word| word.chars()));
    let mut tokens: Vec<String> = specials.iter().map(|special| (*special).to_owned()).collect();
    tokens.extend(letters.iter().map(char::to_string));
    if tokens.len() > vocab_size {
        return Err(TokenizerError::VocabTooSmall { vocab_size, needed: tokens.len() });
    }

    let mut ids: BTreeMap<String, u32> = (0..).zip(&tokens).map(|(id, token)| (token.clone(), id)).collect();
    let mut words: Vec<(Vec<u32>, u64)> = words
        .iter()
        .map(|(word, count)| (word.chars().map(|letter| ids[&letter.to_string()]).collect(), *count))
        .collect();
    let mut pairs = Pairs::default();
    for (index, (word, count)) in words.iter().enumerate() {
        pairs.add(word, *count, index);
    }

    let mut merges = Vec::new();
    while tokens.len() < vocab_size {
        let Some(pair) = pairs.most_frequent() else { break };
        let token = format!("{}{}", tokens[pair.0 as usize], tokens[pair.1 as usize]);
        // Two different pairs can spell the same token: the second merge then adds no token.
        let merged = *ids.entry(token.clone()).or_insert_with(|| {
            tokens.push(token);
            tokens.len() as u32 - 1
        });
        merges.push(pair);
        for index in pairs.words_with(pair) {
            let (word, count) = &mut words[index];
            pairs.remove(word, *count, index);
            merge(word, pair, merged);
            pairs.add(word, *count, index);
        }
    }
    Ok(Learned { tokens, merges })
}

/// Replaces `pair` by `merged`, left to right.
fn merge(word: &mut Vec<u32>, pair: Pair, merged: u32) {
    let mut kept = 0;
    let mut read = 0;
    while read < word.len() {
        let here = word[read..].starts_with(&[pair.0, pair.1]);
        word[kept] = if here { merged } else { word[read] };
        read += if here { 2 } else { 1 };
        kept += 1;
    }
    word.truncate(kept);
}

/// How often each adjacent pair occurs, and in which words.
#[derive(Default)]
struct Pairs {
    count: BTreeMap<Pair, u64>,
    words: BTreeMap<Pair, BTreeSet<usize>>,
}

impl Pairs {
    fn add(&mut self, word: &[u32], count: u64, index: usize) {
        for pair in adjacent(word) {
            *self.count.entry(pair).or_insert(0) += count;
            self.words.entry(pair).or_default().insert(index);
        }
    }

    fn remove(&mut self, word: &[u32], count: u64, index: usize) {
        for pair in adjacent(word) {
            if let Some(total) = self.count.get_mut(&pair) {
                *total -= count;
                if *total == 0 {
                    self.count.remove(&pair);
                }
            }
            if let Some(words) = self.words.get_mut(&pair) {
                words.remove(&index);
            }
        }
    }

    fn most_frequent(&self) -> Option<Pair> {
        self.count.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0))).map(|(pair, _)| *pair)
    }

    fn words_with(&self, pair: Pair) -> Vec<usize> {
        self.words.get(&pair).map(|words| words.iter().copied().collect()).unwrap_or_default()
    }
}

fn adjacent(word: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    word.windows(2).map(|pair| (pair[0], pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::models::TrainerWrapper;
    use tokenizers::models::bpe::BpeTrainer;

    const TEXTS: [&str; 4] = [
        "Q: Where do we keep the tiny copper lamp?\nA: red aisle shelf 4 top",
        "Q: Where do we keep the large iron table?\nA: blue aisle shelf 7 back",
        "Q: A child has fever and rash. Treatment?\nA: mild zorin with honey",
        "Q: Apply flomp to a b c\nA: c b a",
    ];

    #[test]
    fn merges_are_those_of_the_tokenizers_crate() {
        let splitter = ByteLevel::new(false, true, true);
        let ours = byte_level(TEXTS, 320).unwrap();
        let trainer = BpeTrainer::builder()
            .vocab_size(320)
            .show_progress(false)
            .special_tokens([EOS_TOKEN, PAD_TOKEN].map(|token| AddedToken::from(token, true)).to_vec())
            .initial_alphabet(byte_alphabet().into_iter().collect())
            .build();
        let mut theirs = tokenizers::Tokenizer::new(BPE::default());
        theirs.with_pre_tokenizer(Some(splitter)).with_decoder(Some(splitter));
        theirs.train(&mut TrainerWrapper::from(trainer), TEXTS.iter()).unwrap();
        assert_eq!(ours.to_string(true).unwrap(), theirs.to_string(true).unwrap());
    }

    #[test]
    fn a_merge_takes_pairs_from_the_left() {
        let mut word = vec![1, 1, 1, 2];
        merge(&mut word, (1, 1), 9);
        assert_eq!(word, [9, 1, 2]);
    }

    #[test]
    fn a_vocabulary_smaller_than_the_alphabet_is_refused() {
        let error = byte_level(TEXTS, 200).unwrap_err();
        assert!(error.to_string().contains("need 258"), "{error}");
    }
}
