//! `cotune model` as a script meets it: numbers as JSON, texts that stop, what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cotune_tests::{cotune, workspace};
use serde_json::Value;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    workspace().join("models/tests/fixtures").join(name)
}

/// The standard output of `cotune model …`, which has to succeed.
fn succeed(arguments: &[&str]) -> String {
    let output = model(arguments).output().expect("cotune can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{told}");
    String::from_utf8(output.stdout).expect("cotune prints UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).expect("one JSON value")
}

fn model(arguments: &[&str]) -> Command {
    let mut command = cotune();
    command.arg("model").args(arguments);
    command
}

/// The weights of a checkpoint as they are stored.
fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).expect("a checkpoint has weights")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[test]
fn scores_are_those_of_transformers_and_peft_in_folders_without_a_tokenizer() {
    for name in ["hf/llama-gqa", "hf/gptj", "peft/llama-gqa-rslora", "peft/gpt-neox-all"] {
        let folder = fixture(name);
        let expected: Value =
            serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let ids: Vec<String> =
            expected["ids"][1].as_array().unwrap().iter().map(|id| id.to_string()).collect();
        let ids = ids.join(",");
        let base = expected["base"].as_str().map_or(folder.clone(), fixture);
        let mut arguments = vec!["score", "--ids", &ids, text(&base), "--json"];
        if expected["base"].is_string() {
            arguments.extend(["--adapter", text(&folder)]);
        }
        let scored = json(&arguments);
        let (got, wanted) = (numbers(&scored["logprobs"]), numbers(&expected["logprobs"][1]));
        assert_eq!(got.len(), wanted.len());
        assert!(got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 2e-4), "{name}: {got:?} {wanted:?}");
        assert_eq!(scored.as_object().unwrap().len(), 1, "log-probabilities and nothing else");
    }
}

#[test]
fn logits_say_the_same_as_log_probabilities() {
    let base = fixture("hf/opt");
    let scored = json(&["score", "--ids", "3,7,11,2", text(&base), "--json", "--logits"]);
    let logits: Vec<Vec<f64>> = scored["logits"].as_array().unwrap().iter().map(numbers).collect();
    assert_eq!((logits.len(), logits[0].len()), (4, 48));
    for ((row, next), logprob) in logits.iter().zip([7, 11, 2]).zip(numbers(&scored["logprobs"])) {
        let sum: f64 = row.iter().map(|z| z.exp()).sum();
        assert!((row[next] - sum.ln() - logprob).abs() < 1e-5);
    }
}

#[test]
fn generation_is_greedy_drawn_batched_and_without_a_tokenizer() {
    let base = fixture("hf/gpt2");
    let ids = |more: &[&str]| succeed(&[&["generate", "--ids", "3,7,11", text(&base)], more].concat());
    let greedy = ids(&["--max-tokens", "6"]);
    let listed: Vec<u32> = greedy.trim_end().split(',').map(|id| id.parse().unwrap()).collect();
    assert!(!listed.is_empty() && listed.len() <= 6, "{greedy}");
    let same: Value = serde_json::from_str(&ids(&["--max-tokens", "6", "--json"])).unwrap();
    assert_eq!(same[0]["ids"], serde_json::json!(listed));
    assert!(same[0].get("text").is_none());
    let drawn = |seed: &str| ids(&["--temperature", "3", "--top-p", "0.99", "--seed", seed]);
    assert_eq!(drawn("1"), drawn("1"));
    assert!((2..6).any(|seed| drawn(&seed.to_string()) != drawn("1")));
    assert_eq!(ids(&["--top-p", "0.000001"]), ids(&[]), "the smallest nucleus is the likeliest token");

    let prompts = ["Q: where is the lamp?\nA:", "Q: red\nA:"];
    let one = |prompt: &str| succeed(&["generate", "zoo:llm-small", "--prompt", prompt]);
    let batch = succeed(&["generate", "zoo:llm-small", "--prompt", prompts[0], "--prompt", prompts[1]]);
    assert_eq!(batch, one(prompts[0]) + &one(prompts[1]));
}

#[test]
fn a_converted_model_is_the_same_model() {
    let place = TempDir::new().expect("a temporary folder");
    let (whole, half) = (place.path().join("whole"), place.path().join("half"));
    succeed(&["convert", "zoo:slm-bloom-small", "-o", text(&whole)]);
    succeed(&["convert", text(&whole), "-o", text(&half), "--precision", "bf16"]);
    let (kept, rounded) = (weights(&whole), weights(&half));
    assert!(kept != rounded);
    let shown = |model: &str| json(&["show", model, "--json"]);
    let (zoo, copy) = (shown("zoo:slm-bloom-small"), shown(text(&whole)));
    for key in ["digest", "spec", "tokenizer", "parameters"] {
        assert_eq!(zoo[key], copy[key], "{key}");
    }
    assert!(succeed(&["show", text(&half)]).contains("BLOOM-like"));
    let score =
        |model: &str| numbers(&json(&["score", "--text", "Q: red\nA: blue", model, "--json"])["logprobs"]);
    let (zoo, half) = (score("zoo:slm-bloom-small"), score(text(&half)));
    assert!(zoo.iter().zip(&half).any(|(a, b)| a != b), "rounding shows");
    assert!(zoo.iter().zip(&half).all(|(a, b)| (a - b).abs() < 0.5), "{zoo:?} {half:?}");
}

#[test]
fn what_a_model_cannot_do_is_told_with_exit_code_2() {
    let base = fixture("hf/gpt2");
    let base = text(&base);
    let place = TempDir::new().expect("a temporary folder");
    fs::write(place.path().join("model.bin"), [7; 64]).unwrap();
    fs::write(place.path().join("pytorch_model.bin"), "PK\u{3}\u{4}").unwrap();
    let (llama2c, folder) = (place.path().join("model.bin"), place.path().join("new"));
    let adapter = fixture("peft/bloom-fused");
    let long = vec!["1"; 41].join(",");
    for (arguments, said) in [
        (&["score", "--ids", "3,48", base][..], "the model has no token 48: its tokens are 0 to 47"),
        (&["score", "--ids", &long, base], "41 tokens are more than the 40"),
        (&["score", "--ids", "a", base], "invalid value 'a'"),
        (&["score", base], "--ids"),
        (&["score", "--text", "red", base], "has no tokenizer.json"),
        (
            &["score", "--ids", "1,2", "--adapter", text(&adapter), base],
            "does not hold an adapter of this model",
        ),
        (&["score", "--ids", "1,2", "--adapter", "nowhere", base], "nowhere"),
        (&["score", "--ids", "1,2", "nowhere"], "nowhere"),
        (&["score", "--ids", "1,2", text(place.path())], "is a pickle"),
        (&["score", "--ids", "1,2", "zoo:nobody"], "the zoo has no model `nobody`"),
        (&["generate", "--ids", "48", base], "the model has no token 48"),
        (&["generate", "--ids", &long[2..], base], "no room"),
        (&["generate", "--prompt", "red", base], "has no tokenizer.json"),
        (&["generate", "--ids", "1", "--top-p", "2", base], "a probability is"),
        (&["convert", base, "-o", base], "is not empty"),
        (&["convert", text(&llama2c), "-o", text(&folder)], "is not llama2.c's format"),
        (&["convert", base, "-o", text(&folder), "--precision", "f8"], "write f32, f16 or bf16"),
        (&["convert", base, "-o", text(&folder), "--tokenizer", text(&llama2c)], "tokens"),
    ] {
        let output = model(arguments).output().expect("cotune can be started");
        let told = String::from_utf8_lossy(&output.stderr).replace("\n  │ ", " ");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{told}");
        assert!(told.contains(said), "{arguments:?} is not told with `{said}`:\n{told}");
        assert!(output.stdout.is_empty(), "{arguments:?} prints a result");
    }
    assert!(!folder.exists());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "nothing half-written is left");
}

/// The rows of `cotune model align` from one tokenizer to another: token, whether it is linked, token, what stands for it.
fn aligned(rule: &str) -> Vec<String> {
    let models = ["--from", "zoo:llm-small", "--to", "zoo:slm-bloom-small"];
    let text = succeed(&[&["align"][..], &models, &["--align", rule, " red aisle with honey"]].concat());
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_tokens_of_two_models_are_linked_by_bytes_or_by_warping() {
    let head = "from to stands for it";
    let bytes = [
        head,
        r#""Ġred" ── "Ġ" "Ġ""#,
        r#""re""#,
        r#""d""#,
        r#""Ġaisle" ── "Ġaisle" "Ġaisle""#,
        r#""Ġwith" ── "Ġwith" "Ġwith""#,
        r#""Ġhoney" ── "Ġh" "Ġh""#,
        r#""one""#,
        r#""y""#,
        "",
        "4 of 4 tokens linked to 4 of 8",
    ];
    assert_eq!(aligned("bytes"), bytes);
    // "red" is warped onto three tokens, so the row after it speaks about none; the nearest tokens are not its pieces.
    let warped = [
        head,
        r#""Ġred" ── "Ġ" "Ġd""#,
        r#""Ġaisle""#,
        r#""re""#,
        r#""d""#,
        r#""Ġaisle""#,
        r#""Ġwith" ── "Ġwith" "Ġwith""#,
        r#""Ġhoney" ── "Ġh" "Ġhel""#,
        r#""one""#,
        r#""y""#,
        "",
        "3 of 4 tokens linked to 3 of 8",
    ];
    assert_eq!(aligned("dtw"), warped);
    let models = ["--from", "zoo:llm-small", "--to", "zoo:slm-bloom-small"];
    let output = model(&[&["align"][..], &models, &["--align", "words", "red"]].concat()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("`bytes` or by `dtw`"), "{told}");
}
