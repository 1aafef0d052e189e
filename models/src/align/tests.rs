use super::*;
use crate::corpus::reference_data;
use proptest::prelude::*;

const TEXTS: [&str; 4] = [
    "Q: Where do we keep the tiny copper lamp?\nA: red aisle shelf 4 top",
    "Q: Where do we keep the large iron table?\nA: blue aisle shelf 7 back",
    "Q: A child has fever and rash. Treatment?\nA: mild zorin with honey",
    "Q: Say in Volan: the old dog runs\nA: palo mitu seka",
];

fn byte_level(vocab_size: usize) -> Tokenizer {
    Tokenizer::train_byte_level(TEXTS, vocab_size).unwrap()
}

fn metaspace(vocab_size: usize) -> Tokenizer {
    Tokenizer::train_metaspace(TEXTS, vocab_size).unwrap()
}

fn answer(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = tokenizer.encode_continuation(text);
    ids.push(tokenizer.eos());
    ids
}

fn spec(align: Align, vocab: Vocab, fallback: Fallback) -> AlignSpec {
    AlignSpec { align, vocab, fallback }
}

/// LLaMA 2's layout: '▁' is put before every text, and letters outside the alphabet fall to bytes.
fn llama_2() -> Tokenizer {
    let mut file: serde_json::Value = serde_json::from_str(metaspace(150).to_json()).unwrap();
    file["pre_tokenizer"] = serde_json::Value::Null;
    file["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]});
    file["model"]["byte_fallback"] = true.into();
    for (id, byte) in (150..).zip(0..=u8::MAX) {
        file["model"]["vocab"][format!("<0x{byte:02X}>")] = serde_json::json!(id);
    }
    Tokenizer::from_json(file.to_string()).unwrap()
}

fn assert_increasing(pairs: &[(usize, usize)]) {
    for pair in pairs.windows(2) {
        assert!(pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1, "{pairs:?} goes back");
    }
}

#[test]
fn rows_that_have_read_the_same_bytes_are_matched_as_counted_by_hand() {
    let (teacher, student) = (byte_level(330), byte_level(290));
    let (a, b) = (answer(&teacher, " mild zorin"), answer(&student, " mild zorin"));
    let texts = |tokenizer: &Tokenizer, ids: &[u32]| -> Vec<String> {
        ids.iter().map(|id| tokenizer.token_text(*id).to_string()).collect()
    };
    // Bytes read before each row:        0     2      5    6             9     11
    assert_eq!(texts(&teacher, &a), ["Ġm", "ild", "Ġ", "zor", "in", "<eos>"]);
    // The same of the student:           0     2      5    6    7    8    9     11
    assert_eq!(texts(&student, &b), ["Ġm", "ild", "Ġ", "z", "o", "r", "in", "<eos>"]);
    let aligner = Aligner::new(&teacher, &student, AlignSpec::default());
    assert_eq!(aligner.align(&a, &b).pairs, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 6), (5, 7)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn rows_matched_by_bytes_have_consumed_the_same_bytes(text in " [a-z é]{0,30}") {
        let (teacher, student) = (byte_level(330), byte_level(290));
        let aligner = Aligner::new(&teacher, &student, AlignSpec::default());
        let (a, b) = (answer(&teacher, &text), answer(&student, &text));
        let alignment = aligner.align(&a, &b);
        assert_increasing(&alignment.pairs);
        for (row_a, row_b) in &alignment.pairs {
            let consumed = |tokenizer: &Tokenizer, ids: &[u32]| -> Vec<u8> {
                ids.iter().flat_map(|id| tokenizer.token_bytes(*id).to_vec()).collect()
            };
            prop_assert_eq!(consumed(&teacher, &a[..*row_a]), consumed(&student, &b[..*row_b]));
        }
        // Both ends always match.
        prop_assert_eq!(alignment.pairs.first(), Some(&(0, 0)));
        prop_assert_eq!(alignment.pairs.last(), Some(&(a.len() - 1, b.len() - 1)));
    }

    #[test]
    fn llama_and_bloom_like_tokenizers_match_bytes_both_ways(text in " [a-zé€A-Z0-9,.]{1,8}( [a-z é]{0,12}){0,3}") {
        let (llama, bloom) = (llama_2(), byte_level(330));
        for (teacher, student) in [(&llama, &bloom), (&bloom, &llama)] {
            let aligner = Aligner::new(teacher, student, AlignSpec::default());
            let (a, b) = (answer(teacher, &text), answer(student, &text));
            let alignment = aligner.align(&a, &b);
            // Forward on both sides: no row of either is matched twice.
            assert_increasing(&alignment.pairs);
            let ends = |tokenizer: &Tokenizer, ids: &[u32]| -> Vec<usize> {
                let lengths = ids.iter().map(|id| tokenizer.token_bytes(*id).len());
                [0].into_iter().chain(lengths.scan(0, |end, length| { *end += length; Some(*end) })).collect()
            };
            let (ends_a, ends_b) = (ends(teacher, &a), ends(student, &b));
            prop_assert_eq!(ends_a.last(), ends_b.last(), "both spell {:?}", text);
            for (row_a, row_b) in &alignment.pairs {
                prop_assert_eq!(ends_a[*row_a], ends_b[*row_b]);
            }
            // And no two rows that have consumed the same are left apart.
            let rows_a = &ends_a[..a.len()];
            let common = rows_a.iter().filter(|end| ends_b[..b.len()].contains(end)).count();
            prop_assert_eq!(alignment.pairs.len(), common);
        }
    }

    #[test]
    fn warped_rows_go_forward_and_never_repeat(text in " [a-z ]{0,30}") {
        let (teacher, student) = (byte_level(330), metaspace(140));
        let aligner = Aligner::new(&teacher, &student, spec(Align::Dtw, Vocab::Edit, Fallback::Target));
        let (a, b) = (answer(&teacher, &text), answer(&student, &text));
        let alignment = aligner.align(&a, &b);
        assert_increasing(&alignment.pairs);
        // But for the first, a row stands after tokens that agree.
        for (row_a, row_b) in alignment.pairs.iter().skip(1) {
            let (read_a, read_b) = (a[row_a - 1], b[row_b - 1]);
            let same = teacher.token_bytes(read_a) == student.token_bytes(read_b);
            prop_assert!(same || aligner.map_token(read_a) == Some(read_b));
        }
        prop_assert_eq!(alignment.pairs.len() + alignment.fallback.len(), b.len());
        for (row, token) in &alignment.fallback {
            prop_assert_eq!(*token, b[*row]);
        }
    }

    #[test]
    fn the_cheapest_of_all_paths_is_found(a in "[ab]{0,3}( [abc]{0,3}){0,4}", b in "[ab]{0,3}( [abc]{0,3}){0,4}") {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (a, b) = (words(&a), words(&b));
        // Every monotone path from the ends back to the beginning, tried out.
        fn cheapest(a: &[String], b: &[String]) -> usize {
            let here = distance(&a[a.len() - 1], &b[b.len() - 1]);
            let (shorter_a, shorter_b) = (&a[..a.len() - 1], &b[..b.len() - 1]);
            let before = match (shorter_a.is_empty(), shorter_b.is_empty()) {
                (true, true) => 0,
                (true, false) => cheapest(a, shorter_b),
                (false, true) => cheapest(shorter_a, b),
                (false, false) => {
                    cheapest(shorter_a, shorter_b).min(cheapest(shorter_a, b)).min(cheapest(a, shorter_b))
                }
            };
            here + before
        }
        let path = warp(&a, &b);
        prop_assert_eq!(path.cost, cheapest(&a, &b));
        prop_assert_eq!(path.cost, warp(&b, &a).cost, "the other way costs the same");
        // The links are a path: they begin and end at the ends, leave nobody out, and never go back.
        prop_assert!(path.links.iter().all(|linked| linked.is_sorted() && !linked.is_empty()));
        prop_assert_eq!(path.links[0][0], 0);
        prop_assert_eq!(path.links.last().and_then(|linked| linked.last()), Some(&(a.len() - 1)));
        for two in path.links.windows(2) {
            let (end, start) = (two[0][two[0].len() - 1], two[1][0]);
            prop_assert!(start == end || start == end + 1, "{:?}", path.links);
        }
        let passed: usize = path
            .links
            .iter()
            .zip(&b)
            .map(|(linked, b)| linked.iter().map(|i| distance(&a[*i], b)).sum::<usize>())
            .sum();
        prop_assert_eq!(passed, path.cost, "the links are the path that is paid for");
    }

    #[test]
    fn one_tokenizer_aligns_with_itself_as_the_identity(text in "[ -~]{0,30}") {
        let tokenizer = metaspace(140);
        for align in [Align::Bytes, Align::Dtw] {
            let aligner = Aligner::new(&tokenizer, &metaspace(140), spec(align, Vocab::Edit, Fallback::Target));
            let ids = answer(&tokenizer, &text);
            let identity: Vec<_> = (0..ids.len()).map(|row| (row, row)).collect();
            prop_assert_eq!(aligner.align(&ids, &ids), Alignment { pairs: identity, fallback: vec![] });
            prop_assert!((0..140).all(|id| aligner.map_token(id) == Some(id)));
        }
    }
}

#[test]
fn after_an_unknown_letter_rows_match_from_the_end() {
    let (teacher, student) = (byte_level(330), metaspace(140));
    let text = " red caf\u{e9} top";
    let (a, b) = (answer(&teacher, text), answer(&student, text));
    assert!(b.contains(&student.unknown().unwrap()));
    let pairs = Aligner::new(&teacher, &student, AlignSpec::default()).align(&a, &b).pairs;
    assert_increasing(&pairs);
    assert_eq!(pairs.last(), Some(&(a.len() - 1, b.len() - 1)));
    let unknown = b.iter().position(|id| Some(*id) == student.unknown()).unwrap();
    assert!(pairs.iter().any(|pair| pair.1 > unknown && pair.1 < b.len() - 1), "{pairs:?}");
}

#[test]
fn a_prepended_space_does_not_shift_the_rows() {
    let always =
        metaspace(140).to_json().replace(r#""prepend_scheme":"never""#, r#""prepend_scheme":"always""#);
    let (teacher, student) = (Tokenizer::from_json(always).unwrap(), byte_level(330));
    let text = "red aisle";
    let (a, b) = (answer(&teacher, text), answer(&student, text));
    let pairs = Aligner::new(&teacher, &student, AlignSpec::default()).align(&a, &b).pairs;
    assert_eq!(pairs.first(), Some(&(0, 0)));
    assert_eq!(pairs.last(), Some(&(a.len() - 1, b.len() - 1)));
    assert_increasing(&pairs);
}

#[test]
fn equal_tokens_map_onto_each_other_across_spellings() {
    let (teacher, student) = (byte_level(330), metaspace(160));
    let id_of = |tokenizer: &Tokenizer, text: &str| {
        (0..tokenizer.vocab_size() as u32).find(|id| tokenizer.token_text(*id) == text).unwrap()
    };
    for vocab in [Vocab::Equal, Vocab::FirstToken, Vocab::Edit] {
        let map = VocabMap::new(&teacher, &student, vocab, &Cores::none());
        assert_eq!(map.get(teacher.eos()), Some(student.eos()), "{vocab:?}");
        assert_eq!(map.get(id_of(&teacher, "Ġ")), Some(id_of(&student, "▁")), "{vocab:?}");
        assert_eq!(map.get(id_of(&teacher, "a")), Some(id_of(&student, "a")), "{vocab:?}");
    }
}

#[test]
fn a_longer_token_maps_onto_the_first_piece_of_its_spelling() {
    let (teacher, student) = (byte_level(340), metaspace(101));
    let equal = VocabMap::new(&teacher, &student, Vocab::Equal, &Cores::none());
    let first = VocabMap::new(&teacher, &student, Vocab::FirstToken, &Cores::none());
    let mut split = 0;
    for id in 0..teacher.vocab_size() as u32 {
        let Ok(text) = std::str::from_utf8(teacher.token_bytes(id)) else { continue };
        let printable = text.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic());
        if equal.get(id).is_none()
            && printable
            && let Some(student_id) = first.get(id)
        {
            assert!(text.as_bytes().starts_with(student.token_bytes(student_id)), "{text:?}");
            split += 1;
        }
    }
    assert!(split > 10, "{split}");
}

#[test]
fn fates_fallback_is_one_token_late() {
    let (teacher, student) = (byte_level(300), byte_level(340));
    let text = " zorin with honey";
    let (a, b) = (answer(&teacher, text), answer(&student, text));
    let rows = |fallback| {
        let aligner = Aligner::new(&teacher, &student, spec(Align::Dtw, Vocab::Edit, fallback));
        aligner.align(&a, &b).fallback
    };
    assert_eq!(rows(Fallback::Off), []);
    for (row, token) in rows(Fallback::Target) {
        assert_eq!(token, b[row]);
    }
    for (row, token) in rows(Fallback::Fate) {
        assert_eq!(token, b[row - 1]);
    }
}

#[test]
fn recorded_warps_come_out() {
    let Some(text) = reference_data("metric_golden/stems_and_alignment.json") else { return };
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let llama = words("we util ize the dynamic programming approach to align tokens");
    let bloom = words("we utilize the dynamic programming approach to align tokens");
    for (key, path) in
        [("dtw_llama_to_bloom", warp(&llama, &bloom)), ("dtw_bloom_to_llama", warp(&bloom, &llama))]
    {
        let ours = serde_json::json!([path.cost, path.links]);
        assert_eq!(ours, file[key], "{key}");
    }
}

#[test]
fn the_papers_sentence_warps_both_ways() {
    // "utilize" in two pieces and in one; "ize" falls to "the".
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let llama = words("we util ize the dynamic programming approach to align tokens");
    let bloom = words("we utilize the dynamic programming approach to align tokens");
    let singles = |from: usize, to: usize| (from..to).map(|j| vec![j]).collect::<Vec<_>>();
    let to_bloom = warp(&llama, &bloom);
    let expected = [vec![vec![0], vec![1], vec![2, 3]], singles(4, 10)].concat();
    assert_eq!((to_bloom.cost, to_bloom.links), (5, expected));
    let to_llama = warp(&bloom, &llama);
    let expected = [vec![vec![0], vec![1], vec![2], vec![2]], singles(3, 9)].concat();
    assert_eq!((to_llama.cost, to_llama.links), (5, expected));
}

/// GPT-2's 50,257 tokens, or none where the reference data are not there.
fn gpt2() -> Option<Tokenizer> {
    let [vocab, merges] =
        ["vocab.json", "merges.txt"].map(|name| reference_data(&format!("tokenizers/gpt2/{name}")));
    Some(Tokenizer::from_gpt2(&vocab?, &merges?).unwrap())
}

#[test]
fn gpt2_teaches_a_small_tokenizer() {
    let Some(teacher) = gpt2() else { return };
    let student = metaspace(140);
    assert_eq!((teacher.vocab_size(), teacher.eos()), (50_257, 50_256));
    assert_eq!(teacher.encode("Hello world"), [15_496, 995]);
    let text = " red aisle shelf 4 top";
    let (a, b) = (answer(&teacher, text), answer(&student, text));
    for (align, vocab) in [(Align::Bytes, Vocab::FirstToken), (Align::Dtw, Vocab::Edit)] {
        let aligner = Aligner::new(&teacher, &student, spec(align, vocab, Fallback::Off));
        let alignment = aligner.align(&a, &b);
        assert_increasing(&alignment.pairs);
        let space = student.encode(" ")[0];
        assert_eq!(aligner.map_token(teacher.encode(" ")[0]), Some(space), "{vocab:?}");
    }
}

#[test]
fn a_remembered_alignment_is_the_computed_one() {
    let (teacher, student) = (byte_level(330), metaspace(140));
    let cached = CachedAligner::new(Aligner::new(&teacher, &student, AlignSpec::default()));
    let (a, b) = (answer(&teacher, " red aisle"), answer(&student, " red aisle"));
    let first = cached.align(&a, &b);
    assert_eq!(*first, cached.aligner().align(&a, &b));
    assert!(std::sync::Arc::ptr_eq(&first, &cached.align(&a, &b)));
}

#[test]
fn aligners_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<CachedAligner>();
    shared::<Tokenizer>();
}
