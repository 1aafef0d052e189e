//! The tokenizer of a llama2.c model as `tokenizer.json`.
//!
//! The file has, behind one `i32`, a score, a length and the bytes of every token, and no merges: llama2.c joins the
//! neighbours whose union has the highest score. The same order comes out of byte-pair merges that list every way to
//! split a token in two tokens, sorted by score, as transformers converts SentencePiece's models
//! (`generate_merges` in `convert_slow_tokenizer.py`).

use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// `<unk>`, `<s>` and `</s>`.
const SPECIALS: [&str; 3] = ["<unk>", "<s>", "</s>"];
/// The first id that is not a special token or a byte.
const FIRST_PIECE: usize = SPECIALS.len() + 256;

/// The file's tokens, `vocab` of them, as `tokenizer.json`.
///
/// # Errors
/// In words: what is wrong with the file.
pub(in crate::checkpoint) fn tokenizer_json(bytes: &[u8], vocab: usize) -> Result<String, String> {
    let (mut texts, scores) = read(bytes, vocab)?;
    for (text, special) in texts.iter_mut().zip(SPECIALS) {
        *text = special.to_string();
    }
    for (id, byte) in (SPECIALS.len()..FIRST_PIECE).zip(0_u8..) {
        let expected = format!("<0x{byte:02X}>");
        if texts[id] != expected {
            return Err(format!(
                "token {id} is {:?}, not {expected:?} as in llama2.c's tokenizers",
                texts[id]
            ));
        }
    }
    for text in &mut texts[FIRST_PIECE..] {
        *text = text.replace(' ', "▁");
    }
    let ids: BTreeMap<&str, usize> = texts.iter().enumerate().map(|(id, text)| (text.as_str(), id)).collect();
    if ids.len() < vocab {
        return Err(format!("only {} of its {vocab} tokens differ", ids.len()));
    }
    let merges = merges(&texts, &scores, &ids);
    let vocabulary: Map<String, Value> =
        texts.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect();
    let special = |(id, text): (usize, &&str)| {
        json!({
            "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        })
    };
    let begin = |kind: u8| json!({ "SpecialToken": { "id": "<s>", "type_id": kind } });
    let text = |name: &str, kind: u8| json!({ "Sequence": { "id": name, "type_id": kind } });
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": SPECIALS.iter().enumerate().map(special).collect::<Vec<_>>(),
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin(0), text("A", 0)],
            "pair": [begin(0), text("A", 0), begin(1), text("B", 1)],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } },
        },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": "<unk>",
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": true,
            "ignore_merges": false,
            "vocab": vocabulary,
            "merges": merges,
        },
    });
    Ok(file.to_string())
}

/// Text and score of every token.
fn read(bytes: &[u8], vocab: usize) -> Result<(Vec<String>, Vec<f32>), String> {
    let mut rest = bytes.get(4..).ok_or("is too short for llama2.c's tokenizer")?;
    if vocab < FIRST_PIECE {
        return Err(format!("the model has {vocab} tokens, fewer than special tokens and bytes"));
    }
    let (mut texts, mut scores) = (Vec::new(), Vec::new());
    for id in 0..vocab {
        let cut = || format!("ends within token {id} of the {vocab} that the model has");
        let (score, behind) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let (length, behind) = behind.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = i32::from_le_bytes(*length);
        let length = usize::try_from(length).map_err(|_| format!("token {id} has {length} bytes"))?;
        let (text, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
        texts.push(std::str::from_utf8(text).map_err(|_| format!("token {id} is not UTF-8"))?.to_string());
        scores.push(f32::from_le_bytes(*score));
        rest = behind;
    }
    match rest.len() {
        0 => Ok((texts, scores)),
        more => Err(format!("has {more} bytes behind the last of the model's {vocab} tokens")),
    }
}

/// Every pair of pieces that makes a piece, the best first.
fn merges(texts: &[String], scores: &[f32], ids: &BTreeMap<&str, usize>) -> Vec<[String; 2]> {
    let piece = |text: &str| ids.get(text).copied().filter(|id| *id >= FIRST_PIECE);
    let mut found = Vec::new();
    for (whole, text) in texts.iter().enumerate().skip(FIRST_PIECE) {
        for (place, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(place);
            if let (Some(left), Some(right)) = (piece(left), piece(right)) {
                found.push((whole, left, right));
            }
        }
    }
    let length = |id: usize| texts[id].chars().count();
    let order = |a: &(usize, usize, usize), b: &(usize, usize, usize)| -> Ordering {
        (scores[b.0].partial_cmp(&scores[a.0]).unwrap_or(Ordering::Equal))
            .then(length(b.1).cmp(&length(a.1)))
            .then(length(b.2).cmp(&length(a.2)))
            .then(a.1.cmp(&b.1))
            .then(a.2.cmp(&b.2))
    };
    found.sort_by(order);
    found.into_iter().map(|(_, left, right)| [texts[left].clone(), texts[right].clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;

    /// Special tokens, bytes, and then these pieces with the scores 0, -1, -2, …
    fn file(pieces: &[&str]) -> Vec<u8> {
        let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
        let first = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_string);
        let scored = pieces.iter().enumerate().map(|(i, piece)| (-(i as f32), piece.to_string()));
        let mut out = 4_i32.to_le_bytes().to_vec();
        for (score, text) in first.into_iter().chain(bytes).map(|text| (0.0, text)).chain(scored) {
            out.extend(score.to_le_bytes());
            out.extend((text.len() as i32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        out
    }

    #[test]
    fn the_best_pair_is_merged_first_and_unknown_letters_are_bytes() {
        let json = tokenizer_json(&file(&["ab", "bc", " a", "a", "b", "c", " "]), FIRST_PIECE + 7).unwrap();
        let tokenizer = Tokenizer::from_json_with_specials(json, 1, 2).unwrap();
        let texts = |text: &str| -> Vec<String> {
            tokenizer.encode(text).into_iter().map(|id| tokenizer.token_text(id).to_string()).collect()
        };
        assert_eq!(texts("abc"), ["▁", "ab", "c"]);
        assert_eq!(texts("bca"), ["▁", "bc", "a"]);
        assert_eq!(texts("é"), ["▁", "<0xC3>", "<0xA9>"]);
        assert_eq!(tokenizer.decode(&tokenizer.encode("a é c")), "a é c");
        assert_eq!(tokenizer.beginning(), [1]);
    }

    #[test]
    fn a_malformed_file_is_refused_in_words() {
        let good = file(&["a", "b"]);
        let error = |bytes: &[u8], vocab: usize| tokenizer_json(bytes, vocab).unwrap_err();
        assert!(error(&good[..good.len() - 1], FIRST_PIECE + 2).contains("ends within token 260"));
        assert!(error(&good, FIRST_PIECE + 1).contains("9 bytes behind the last"));
        assert!(error(&good, FIRST_PIECE + 3).contains("ends within token 261 of the 262"));
        assert!(error(&good, 10).contains("fewer than special tokens"));
        assert!(error(&[], FIRST_PIECE).contains("too short"));
        assert!(error(&file(&["a", "a"]), FIRST_PIECE + 2).contains("only 260 of its 261 tokens differ"));
        let mut lying = good.clone();
        lying[8..12].copy_from_slice(&(-5_i32).to_le_bytes());
        assert_eq!(error(&lying, FIRST_PIECE + 2), "token 0 has -5 bytes");
        lying[8..12].copy_from_slice(&i32::MAX.to_le_bytes());
        assert!(error(&lying, FIRST_PIECE + 2).contains("ends within token 0"));
    }
}
