//! GPT-2's own file pair, from before `tokenizer.json`.

use std::collections::BTreeMap;

use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::{KNOWN_EOS, TokenizerError};

/// Byte-level BPE from the text of `vocab.json` and `merges.txt`.
pub(super) fn read(vocab: &str, merges: &str) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let vocab: BTreeMap<String, u32> = serde_json::from_str(vocab).map_err(TokenizerError::format)?;
    let merges: Vec<(String, String)> = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty())
        .map(|line| {
            let pair = line.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned()));
            pair.ok_or_else(|| TokenizerError::format(format!("merges.txt: no pair in {line:?}")))
        })
        .collect::<Result<_, _>>()?;
    let specials: Vec<AddedToken> = KNOWN_EOS
        .iter()
        .filter(|token| vocab.contains_key(**token))
        .map(|token| AddedToken::from(*token, true))
        .collect();
    let vocab: Vocab = vocab.into_iter().collect();
    let model = BPE::builder().vocab_and_merges(vocab, merges).build().map_err(TokenizerError::format)?;
    let splitter = ByteLevel::new(false, true, true);
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitter)).with_decoder(Some(splitter));
    tokenizer.add_special_tokens(specials).map_err(TokenizerError::format)?;
    Ok(tokenizer)
}
