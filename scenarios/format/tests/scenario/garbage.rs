//! No text makes the reader panic.

use cotune_scenario::{Override, Scenario};

use crate::common::{ZOO, parse_text, read};

/// A small generator of its own, so that a failure can be repeated: splitmix64.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize
}

#[test]
fn no_text_makes_it_panic() {
    const PIECES: &[&str] = &[
        "",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\"",
        "'",
        "\n",
        ".",
        ",",
        "-1",
        "0",
        "nan",
        "1e400",
        "99999999999999999999",
        "\"\"",
        "\"9e999s\"",
        "\"µs\"",
        "é",
        "\u{0}",
        "[[fault]]",
        "[[expect]]",
        "[method]",
        "true",
        "{}",
        "[[]]",
        "\"-0min\"",
        "9007199254740993",
        "\"1e308d\"",
        "fleet",
        "*",
        "#",
    ];
    let files = [read("good", "small.toml"), read("good", "city-clinics.toml")];
    let mut state = 7;
    for round in 0..3000 {
        let mut text = files[round % files.len()].clone();
        if round % 5 == 0 {
            text = parse_text(
                "good",
                "small.json",
                "{\"format\":1,\"fleet\":{\"devices\":[1,{\"a\":\"\\u00e9\"}]}}",
            )
            .map(|_| "{\"format\":1,\"fleet\":{\"devices\":[1,{\"a\":\"\\u00e9\"}]}}".to_owned())
            .expect("it is JSON");
        }
        for _ in 0..=next(&mut state) % 3 {
            let mut start = next(&mut state) % (text.len() + 1);
            let mut end = (start + next(&mut state) % 12).min(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, PIECES[next(&mut state) % PIECES.len()]);
        }
        let outcome = parse_text("good", "garbage.toml", &text).and_then(|mut document| {
            let _ = document.set(&[Override::new(PIECES[next(&mut state) % PIECES.len()], "{ a = [1] }")]);
            document.check(&ZOO)
        });
        match outcome {
            Ok(checked) => {
                let mut scenario = checked.scenario;
                assert_eq!(
                    Scenario::from_lock_json(&scenario.to_lock_json()).expect("a lock file"),
                    scenario,
                    "{text}"
                );
                scenario.smoke();
            }
            Err(diagnostics) => {
                assert!(diagnostics.has_errors(), "{text}");
                let shown = diagnostics.to_string();
                assert!(!shown.contains("Failed to read contents"), "{shown}");
                diagnostics.to_json();
            }
        }
    }
}
