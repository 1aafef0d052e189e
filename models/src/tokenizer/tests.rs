use super::*;
use proptest::prelude::*;

pub(super) fn texts() -> Vec<&'static str> {
    vec![
        "Q: Where do we keep the tiny copper lamp?\nA: red aisle shelf 4 top",
        "Q: Where do we keep the large iron table?\nA: blue aisle shelf 7 back",
        "Q: A child has fever and rash. Treatment?\nA: mild zorin with honey",
        "Q: Say in Volan: the old dog runs\nA: palo mitu seka",
    ]
}

pub(super) fn both() -> [Tokenizer; 2] {
    [Tokenizer::train_byte_level(texts(), 330).unwrap(), Tokenizer::train_metaspace(texts(), 160).unwrap()]
}

#[test]
fn training_twice_gives_the_same_bytes() {
    let [first, second] = [both(), both()];
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.to_json(), b.to_json());
        assert_eq!(a.digest(), b.digest());
    }
}

#[test]
fn a_tokenizer_survives_its_own_json() {
    for tokenizer in both() {
        let read = Tokenizer::from_json(tokenizer.to_json()).unwrap();
        assert_eq!(read, tokenizer);
        assert_eq!(read.vocab_size(), tokenizer.vocab_size());
        for text in texts() {
            assert_eq!(read.encode(text), tokenizer.encode(text));
        }
    }
}

#[test]
fn special_ids_are_fixed_and_stand_for_no_bytes() {
    let [bytes, meta] = both();
    assert_eq!((bytes.eos(), bytes.pad(), bytes.unknown()), (0, 1, None));
    assert_eq!((meta.eos(), meta.pad(), meta.unknown()), (0, 1, Some(2)));
    assert_eq!((bytes.vocab_size(), meta.vocab_size()), (330, 160));
    for id in 0..3 {
        assert_eq!(meta.token_bytes(id), b"");
    }
    assert_eq!(meta.decode(&[0, 1, 2]), "");
}

#[test]
fn text_that_spells_a_special_token_is_text() {
    for tokenizer in both() {
        let ids = tokenizer.encode("a<eos>b");
        assert!(!ids.contains(&tokenizer.eos()), "{ids:?}");
        assert_eq!(tokenizer.decode(&ids), "a<eos>b");
    }
}

#[test]
fn byte_tokens_of_one_character_share_its_bytes() {
    let [tokenizer, _] = both();
    let (ids, offsets) = tokenizer.encode_with_offsets("é€");
    assert_eq!(ids.len(), 5);
    assert_eq!(offsets, [0..1, 1..2, 2..3, 3..4, 4..5]);
    assert_eq!(tokenizer.token_bytes(ids[0]), [0xC3]);
}

#[test]
fn offsets_tile_a_text_with_unknown_letters() {
    let [_, tokenizer] = both();
    let text = "the caf\u{e9}s red";
    let (ids, offsets) = tokenizer.encode_with_offsets(text);
    assert!(ids.contains(&2));
    assert_tiles(text, &offsets);
}

#[test]
fn a_space_is_spelled_by_its_marker() {
    let [bytes, meta] = both();
    let spaced = |tokenizer: &Tokenizer| {
        let ids = tokenizer.encode(" the");
        ids.iter().map(|id| tokenizer.token_text(*id).to_owned()).collect::<String>()
    };
    assert_eq!(spaced(&bytes), "Ġthe");
    assert_eq!(spaced(&meta), "▁the");
}

#[test]
fn a_tokenizer_that_prepends_a_space_gives_the_text_back() {
    let json = both()[1].to_json().replace(r#""prepend_scheme":"never""#, r#""prepend_scheme":"always""#);
    let tokenizer = Tokenizer::from_json(json).unwrap();
    assert!(tokenizer.prepends_space());
    let (ids, offsets) = tokenizer.encode_with_offsets("the lamp");
    assert_tiles("the lamp", &offsets);
    assert_eq!(tokenizer.decode(&ids), "the lamp");
}

#[test]
fn llama_2s_layout_gives_text_and_bytes_back() {
    // No pre-tokenizer: the normalizer puts '▁' in front and for every space, and unknown letters fall to bytes.
    let mut file: serde_json::Value = serde_json::from_str(both()[1].to_json()).unwrap();
    file["pre_tokenizer"] = serde_json::Value::Null;
    file["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]});
    file["model"]["byte_fallback"] = true.into();
    for (id, byte) in (200..).zip(0..=u8::MAX) {
        file["model"]["vocab"][format!("<0x{byte:02X}>")] = serde_json::json!(id);
    }
    let tokenizer = Tokenizer::from_json(file.to_string()).unwrap();
    assert_eq!((tokenizer.surface(), tokenizer.prepends_space()), (Surface::Metaspace, true));
    assert_eq!(tokenizer.vocab_size(), 456);
    let text = "the café lamp";
    let (ids, offsets) = tokenizer.encode_with_offsets(text);
    assert!(ids.contains(&(200 + 0xC3)), "{ids:?}");
    assert_tiles(text, &offsets);
    assert_eq!(tokenizer.decode(&ids), text);
}

#[test]
fn a_file_without_a_known_end_token_is_refused_until_it_is_named() {
    let json = both()[0].to_json().replace("<eos>", "<fin>");
    let error = Tokenizer::from_json(&json).unwrap_err().to_string();
    assert!(error.contains("`eos_token_id`"), "{error}");
    assert_eq!(Tokenizer::from_json_with_specials(&json, 0, 1).unwrap().eos(), 0);
    let error = Tokenizer::from_json_with_specials(&json, 999, 1).unwrap_err().to_string();
    assert!(error.contains("999") && error.contains("330"), "{error}");
}

#[test]
fn an_id_far_beyond_the_others_is_refused_before_there_is_room_for_it() {
    let mut file: serde_json::Value = serde_json::from_str(both()[0].to_json()).unwrap();
    file["model"]["vocab"]["zz"] = u32::MAX.into();
    let error = Tokenizer::from_json(file.to_string()).unwrap_err().to_string();
    assert!(error.contains("the largest id is 4294967295"), "{error}");
    // As they lie in checkpoints whose vocabulary was filled up.
    file["model"]["vocab"]["zz"] = 66_000.into();
    assert_eq!(Tokenizer::from_json(file.to_string()).unwrap().vocab_size(), 66_001);
}

#[test]
fn a_token_may_have_two_ids() {
    let mut file: serde_json::Value = serde_json::from_str(both()[0].to_json()).unwrap();
    let again = |id: u32| {
        serde_json::json!({"id": id, "content": "<eos>", "single_word": false, "lstrip": false, "rstrip": false,
                           "normalized": false, "special": true})
    };
    file["added_tokens"].as_array_mut().unwrap().push(again(7_000));
    // Whatever becomes of it: an id that is known stands inside the vocabulary.
    if let Ok(tokenizer) = Tokenizer::from_json(file.to_string()) {
        assert!((tokenizer.eos() as usize) < tokenizer.vocab_size());
        assert_eq!(tokenizer.decode(&tokenizer.encode("red lamp")), "red lamp");
    }
}

pub(super) fn assert_tiles(text: &str, offsets: &[Range<usize>]) {
    let mut end = 0;
    for range in offsets {
        assert_eq!(range.start, end, "a gap in {offsets:?}");
        assert!(range.end >= range.start);
        end = range.end;
    }
    assert_eq!(end, text.len(), "{text:?} is not covered by {offsets:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn byte_level_text_goes_there_and_back(text in "\\PC{0,24}") {
        let tokenizer = Tokenizer::train_byte_level(texts(), 300).unwrap();
        let (ids, offsets) = tokenizer.encode_with_offsets(&text);
        assert_tiles(&text, &offsets);
        for (id, range) in ids.iter().zip(&offsets) {
            prop_assert_eq!(tokenizer.token_bytes(*id), &text.as_bytes()[range.clone()]);
        }
        prop_assert_eq!(tokenizer.decode(&ids), text);
    }

    #[test]
    fn metaspace_ascii_goes_there_and_back(text in "[ -~\n]{0,40}") {
        let tokenizer = Tokenizer::train_metaspace(texts(), 140).unwrap();
        let (ids, offsets) = tokenizer.encode_with_offsets(&text);
        assert_tiles(&text, &offsets);
        prop_assert_eq!(tokenizer.decode(&ids), text);
    }
}
