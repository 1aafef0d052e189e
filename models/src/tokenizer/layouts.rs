//! The layouts of `tokenizer.json` that checkpoints come with: in each, the tokens' spans tile the text, and where
//! nothing was normalised away a token's bytes are the bytes it covers.

use super::tests::{assert_tiles, both, texts};
use super::*;
use crate::corpus::reference_data;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A trained tokenizer's file with some components replaced.
fn file(metaspace: bool, components: &[(&str, Value)]) -> Value {
    let mut file: Value = serde_json::from_str(both()[usize::from(metaspace)].to_json()).unwrap();
    for (name, component) in components {
        file[*name] = component.clone();
    }
    file
}

/// The file with a token for every byte, as SentencePiece falls back to.
fn with_byte_fallback(mut file: Value) -> Value {
    let from = file["model"]["vocab"].as_object().unwrap().len();
    file["model"]["byte_fallback"] = true.into();
    for (id, byte) in (from..).zip(0..=u8::MAX) {
        file["model"]["vocab"][format!("<0x{byte:02X}>")] = json!(id);
    }
    file
}

fn byte_level(prefix: bool, regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": regex})
}

/// Every layout by the checkpoints that have it, and whether it spells any text exactly.
fn layouts() -> Vec<(&'static str, bool, Tokenizer)> {
    let split = |pattern: Value, behavior: &str| json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": false});
    let words = json!({"Regex": r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"});
    let sequence = |parts: Value| json!({"type": "Sequence", "pretokenizers": parts});
    let nfc = json!({"type": "NFC"});
    let spaces = json!([{"id": 330, "content": "   ", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": true, "special": false}]);
    let digits = json!({"type": "Digits", "individual_digits": true});
    let to_marker = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    let files = [
        ("GPT-2, BLOOM", true, file(false, &[])),
        ("OPT with a prefix space", true, file(false, &[("pre_tokenizer", byte_level(true, true))])),
        (
            "SmolLM: digits apart",
            true,
            file(false, &[("pre_tokenizer", sequence(json!([digits, byte_level(false, true)])))]),
        ),
        (
            "LLaMA 3: an own pattern before the bytes",
            true,
            file(
                false,
                &[(
                    "pre_tokenizer",
                    sequence(json!([split(words.clone(), "Isolated"), byte_level(false, false)])),
                )],
            ),
        ),
        (
            "Qwen 2: NFC, an own pattern",
            false,
            file(
                false,
                &[
                    ("normalizer", nfc.clone()),
                    ("pre_tokenizer", sequence(json!([split(words, "Isolated"), byte_level(false, false)]))),
                ],
            ),
        ),
        ("Pythia: NFC, tokens added for spaces", false, {
            let mut neox = file(false, &[("normalizer", nfc)]);
            let added = neox["added_tokens"].as_array_mut().unwrap();
            added.extend(spaces.as_array().unwrap().clone());
            neox
        }),
        (
            "LLaMA 2: the normalizer marks spaces",
            true,
            with_byte_fallback(file(
                true,
                &[
                    ("pre_tokenizer", Value::Null),
                    ("normalizer", json!({"type": "Sequence", "normalizers": [prepend, to_marker.clone()]})),
                ],
            )),
        ),
        (
            "Mistral: the pre-tokenizer marks spaces",
            true,
            with_byte_fallback(file(
                true,
                &[(
                    "pre_tokenizer",
                    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}),
                )],
            )),
        ),
        (
            "Gemma: spaces marked, nothing prepended",
            true,
            with_byte_fallback(file(
                true,
                &[
                    ("normalizer", to_marker),
                    ("pre_tokenizer", split(json!({"String": " "}), "MergedWithPrevious")),
                ],
            )),
        ),
    ];
    let open = |(name, exact, file): (&'static str, bool, Value)| {
        let tokenizer =
            Tokenizer::from_json(file.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, exact, tokenizer)
    };
    files.into_iter().map(open).collect()
}

/// What every layout has to hold for a text; `exact` where tokens spell it byte by byte.
fn assert_covers(name: &str, tokenizer: &Tokenizer, text: &str, exact: bool) {
    let (ids, spans) = tokenizer.encode_with_offsets(text);
    assert_eq!(ids, tokenizer.encode(text), "{name}: {text:?}");
    assert_tiles(text, &spans);
    if !exact {
        return;
    }
    for (index, (id, span)) in ids.iter().zip(&spans).enumerate() {
        let mut bytes = tokenizer.token_bytes(*id);
        // The space that encoding put there covers nothing.
        if index == 0 && tokenizer.prepends_space() && bytes.len() > span.len() {
            bytes = &bytes[1..];
        }
        assert_eq!(bytes, &text.as_bytes()[span.clone()], "{name}: {text:?} at {span:?}");
    }
    let decoded = tokenizer.decode(&ids);
    // To those who put a space before a text unless it begins with one, " a" is what "a" is.
    let same = tokenizer.prepends_space().then(|| text.strip_prefix(' ')).flatten();
    assert!(decoded == text || same == Some(&*decoded), "{name}: {text:?} became {decoded:?}");
}

#[test]
fn every_layout_is_recognised() {
    for (name, _, tokenizer) in layouts() {
        let marked = ["LLaMA 2", "Mistral", "Gemma"].iter().any(|own| name.starts_with(own));
        let surface = if marked { Surface::Metaspace } else { Surface::ByteLevel };
        assert_eq!(tokenizer.surface(), surface, "{name}");
        let prepends = ["OPT", "LLaMA 2", "Mistral"].iter().any(|own| name.starts_with(own));
        assert_eq!(tokenizer.prepends_space(), prepends, "{name}");
        for text in texts() {
            assert_covers(name, &tokenizer, text, true);
        }
    }
}

#[test]
fn an_answer_has_one_space_in_every_layout() {
    for (name, _, tokenizer) in layouts() {
        let ids = tokenizer.encode_continuation(" red aisle");
        assert_eq!(tokenizer.decode_continuation(&ids), " red aisle", "{name}");
        let whole: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id).to_vec()).collect();
        assert_eq!(whole, b" red aisle", "{name}");
        assert_eq!(tokenizer.decode_continuation(&tokenizer.encode_continuation("  ")).trim(), "", "{name}");
    }
}

#[test]
fn tokens_added_for_spaces_stand_for_their_spaces() {
    let (name, _, tokenizer) = layouts().swap_remove(5);
    let ids = tokenizer.encode("a    b");
    assert!(ids.contains(&330), "{name}: {ids:?}");
    assert_covers(name, &tokenizer, "a    b", true);
}

#[test]
fn what_a_normalizer_composes_is_still_covered() {
    let (name, _, tokenizer) = layouts().swap_remove(4);
    // An e and a combining accent, three bytes, become one letter of two.
    let text = "cafe\u{301} lamp";
    let (ids, spans) = tokenizer.encode_with_offsets(text);
    assert_tiles(text, &spans);
    assert_eq!(tokenizer.decode(&ids), "caf\u{e9} lamp", "{name}");
    let after =
        spans.iter().zip(&ids).find(|(_, id)| tokenizer.token_bytes(**id).starts_with(b" ")).unwrap().0;
    assert_eq!(text.get(after.clone()).map(|text| &text[..1]), Some(" "), "{spans:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn spans_tile_any_text_in_every_layout(text in "\\PC{0,20}|[ -~\n\t]{0,40}|[a-z0-9 ▁Ġé\u{301}]{0,24}") {
        // A text that begins with a space hides the space that encoding puts there from nobody.
        for (name, exact, tokenizer) in layouts() {
            // '▁' is a letter to the bytes, and a space to whoever marks spaces with it.
            let ambiguous = text.contains('▁') && tokenizer.surface() == Surface::Metaspace;
            // Only scripts without combining characters are sure to be normal already.
            assert_covers(name, &tokenizer, &text, (exact || text.is_ascii()) && !ambiguous);
        }
    }
}

#[test]
fn gpt2s_own_tokens_tile_what_people_write() {
    let Some(vocab) = reference_data("tokenizers/gpt2/vocab.json") else { return };
    let Some(merges) = reference_data("tokenizers/gpt2/merges.txt") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.json"), &vocab).unwrap();
    std::fs::write(folder.path().join("merges.txt"), &merges).unwrap();
    let tokenizer = Tokenizer::from_directory(folder.path()).unwrap();
    assert_eq!(tokenizer, Tokenizer::from_gpt2(&vocab, &merges).unwrap());
    assert_eq!((tokenizer.eos(), tokenizer.pad(), tokenizer.vocab_size()), (50_256, 50_256, 50_257));
    let Some(lines) = reference_data("tldr/tldr_pages.jsonl") else { return };
    for line in lines.lines().step_by(97) {
        assert_covers("GPT-2", &tokenizer, line, true);
    }
    for text in ["naïve café — 42 °C\n\n\tso  it   goes", "日本語のテキスト", "👩‍🚀 and 🇳🇴", " <|endoftext|> "]
    {
        assert_covers("GPT-2", &tokenizer, text, true);
    }
}
