//! Data of one's own: files with the names they have, in the words a scenario gives them, and nothing lost unsaid.

use std::fs;
use std::path::Path;
use std::process::Output;

use cotune_tests::{co_plms, cotune, plan, play, relay, shipped, tiny, workspace};
use cotune_world::Plan;
use serde_json::Value;
use tempfile::TempDir;

/// A TOML string.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Every prompt and its answers, all parts but the validation part.
fn examples(plan: &Plan) -> Vec<(String, String, Vec<String>)> {
    let lab = plan.lab();
    let parts = [lab.private(), lab.public(), lab.held_out()];
    let named = parts.into_iter().flatten().map(|example| {
        let domain = lab.domains()[usize::from(example.domain)].clone();
        (domain, example.prompt.clone(), example.answers.clone())
    });
    named.collect()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("it can be written");
    fs::write(&path, text).expect("it can be written");
    path.display().to_string()
}

/// 120 lines of three topics, two of which lack something.
fn lines(folder: &Path) -> String {
    let line = |n: u32| {
        let topic = ["sums", "names"][n as usize % 2];
        format!("{{\"q\": \"what is {n}\", \"topic\": {topic:?}, \"all\": [\"number {n}\", \"{n}\"]}}\n")
    };
    let text: String = (0..120).map(line).collect();
    write(folder, "own.jsonl", &(text + "{\"q\": \"no topic\", \"all\": [\"x\"]}\nnot JSON\n"))
}

const FIELDS: &str = "fields = { prompt = 'q', references = 'all', domain = 'topic' }";

#[test]
fn one_file_may_have_many_domains_and_answers() {
    let folder = TempDir::new().expect("a folder");
    let path = lines(folder.path());
    let source = format!("[{{ jsonl = {}, {FIELDS} }}]", quoted(&path));
    let template = "{ prompt = \"<{prompt}>\\n=\", answer = \" {answer}\" }";
    let scenario = tiny(
        "[method.zero-shot]\n",
        &[("data.corpus", "{ sources = {} }"), ("data.source", &source), ("data.template", template)],
    );
    let plan = plan(&scenario);
    let examples = examples(&plan);
    assert_eq!(examples.len(), 120 - 8, "all but the validation part: no half is kept back");
    for (domain, prompt, answers) in &examples {
        let number =
            prompt.strip_prefix("<what is ").and_then(|rest| rest.strip_suffix(">\n=")).expect(prompt);
        let topic = ["sums", "names"][number.parse::<usize>().expect("a number") % 2];
        assert_eq!(domain, topic);
        assert_eq!(answers, &[format!(" number {number}"), format!(" {number}")]);
    }
    let report = &plan.lab().intake().sources[0].report;
    assert_eq!((report.read, report.kept, report.malformed, report.no_domain), (122, 120, 1, 1));
    let warnings = plan.lab().intake().warnings();
    assert!(
        warnings.iter().any(|line| line.contains("1 of 122 rows") && line.contains("no domain")),
        "{warnings:?}"
    );
}

#[test]
fn a_folder_of_tasks_is_a_corpus() {
    let folder = TempDir::new().expect("a folder");
    let task = |definition: &str, domains: &str, from: u32| {
        let instances: Vec<String> = (from..from + 60)
            .map(|n| format!("{{\"input\": \"item {n}\", \"output\": [\"thing {n}\", \"{n}\"]}}"))
            .collect();
        format!(
            "{{\"Definition\": {definition}, \"Domains\": {domains}, \"Categories\": [\"QA\"], \"Instances\": [{}]}}",
            instances.join(", ")
        )
    };
    write(folder.path(), "task1_a/train.json", &task("[\"Name it.\"]", "[\"News -> Local\"]", 0));
    write(folder.path(), "task1_a/test.json", &task("[\"Name it.\"]", "[\"News -> Local\"]", 60));
    write(folder.path(), "task2_b.json", &task("\"Count it.\"", "\"Games\"", 0));
    let sni = |keys: &str| {
        format!("{{ sni = {{ dir = {}{keys} }} }}", quoted(&folder.path().display().to_string()))
    };
    let read = |keys: &str| {
        let changes = [("data.corpus", &*sni(keys)), ("data.split", "'iid'")];
        plan(&tiny("[method.zero-shot]\n", &changes))
    };

    let all = read("");
    assert_eq!(all.lab().domains(), ["News", "Games"]);
    assert_eq!(all.lab().intake().sources.len(), 3);
    let found = examples(&all);
    let of = |end: &str| found.iter().find(|(_, prompt, _)| prompt.ends_with(end)).expect(end);
    let (domain, prompt, answers) = of("Input: item 70\nOutput:");
    assert_eq!((domain.as_str(), prompt.as_str()), ("News", "Name it.\n\nInput: item 70\nOutput:"));
    assert_eq!(answers, &[" thing 70", " 70"]);

    let one = read(", tasks = ['task2_b'], domain = 'task', prompt = '{input}: {definition}', limit = 50");
    assert_eq!(one.lab().domains(), ["task2_b"]);
    assert_eq!(one.lab().intake().sources[0].report.over_limit, 10);
    assert!(examples(&one).iter().all(|(_, prompt, _)| prompt.ends_with(": Count it.\nOutput:")));
}

#[test]
fn answers_that_do_not_fit_are_left_out_and_prompts_that_do_not_lose_their_beginning() {
    let folder = TempDir::new().expect("a folder");
    let long = "word ".repeat(100);
    let rows: String = (0..60)
        .map(|n| match n {
            0..3 => format!("prompt {n},\"{long}\"\n"),
            3..8 => format!("\"{long} prompt {n}\",kept {n}\n"),
            _ => format!("prompt {n},answer {n}\n"),
        })
        .collect();
    let path = write(folder.path(), "own.csv", &format!("prompt,answer\n{rows}"));
    let source = format!("[{{ domain = 'own', csv = {}, fields = {{}} }}]", quoted(&path));
    let plan = plan(&tiny(
        "[method.zero-shot]\n",
        &[("data.corpus", "{ sources = {} }"), ("data.source", &source), ("data.validation", "0")],
    ));
    let intake = plan.lab().intake();
    assert_eq!((intake.left_out, examples(&plan).len()), (3, 57));
    assert_eq!(intake.fits.len(), plan.lab().models().count());
    for fit in &intake.fits {
        assert_eq!((fit.longest, fit.unanswerable, fit.cut), (96, 3, 5), "{}", fit.model);
    }
    for model in plan.lab().models() {
        let texts = [&model.text.private, &model.text.public, &model.text.held_out];
        let sequences = texts.into_iter().flatten();
        let read =
            sequences.map(|s| (s, model.base.tokenizer().decode(&s.prompt))).filter(|(s, _)| s.len() == 96);
        for (sequence, prompt) in read {
            assert!(prompt.ends_with("\nA:") && !prompt.starts_with("Q:"), "{prompt}");
            assert!(model.base.tokenizer().decode(&sequence.answer).starts_with(" kept"));
        }
    }
    let overview = plan.overview();
    assert_eq!(overview.intake, *intake);
}

#[test]
fn a_relay_speaks_in_the_words_of_the_template() {
    let reworded = "{ prompt = \"Q: {prompt}\\nA:\", answer = \" {answer}\", end = ['<nothing>', '<eos>'] }";
    let method = co_plms(&relay(""));
    let plain = play(&plan(&tiny(&method, &[])), 1, true);
    let same = play(&plan(&tiny(&method, &[("data.template", reworded)])), 1, true);
    // The first event names the scenario.
    assert_eq!(plain.events[1..], same.events[1..], "the default template, written out");
    let other = "{ prompt = \"Q: {prompt}\\nAnswer:\", answer = \" {answer}\" }";
    let other = play(&plan(&tiny(&method, &[("data.template", other)])), 1, true);
    assert_ne!(plain.events[1..], other.events[1..]);
}

#[test]
fn scenarios_with_real_checkpoints_say_how_to_get_them_and_run_once_they_are_there() {
    for (name, models) in [("smollm", &["cloud"][..]), ("pythia", &["cloud", "proxy", "laptop"])] {
        let path = workspace().join("scenarios/real").join(name).with_extension("toml");
        let text = fs::read_to_string(&path).expect("it ships");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(head.iter().any(|line| line.contains("huggingface-cli download")), "{head:?}");
        // Nothing but the checkpoints is missing.
        assert!(shipped(&format!("real/{name}"), &[]).models.contains_key("proxy"));
        let missing: Vec<String> =
            models.iter().map(|model| format!("models.{model}.base='dir:no/such/{model}'")).collect();
        let there: Vec<String> = models
            .iter()
            .map(|model| format!("models.{model}.base='dir:../../models/zoo/slm-gpt2'"))
            .collect();
        let run = |command: &str, changes: &[String]| {
            let mut cotune = cotune();
            cotune.arg(command).arg(&path);
            changes.iter().for_each(|change| {
                cotune.args(["--set", change]);
            });
            cotune
        };
        let output = run("plan", &missing).output().expect("cotune can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for model in models {
            assert!(said.contains(&format!("no/such/{model}")), "{said}");
        }
        let runs = TempDir::new().expect("a folder");
        let mut whole = run("run", &there);
        let output =
            whole.args(["--smoke", "-q", "--runs"]).arg(runs.path()).output().expect("cotune can be started");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_scenario_that_cannot_have_its_data_says_why() {
    let folder = TempDir::new().expect("a folder");
    let plan = |set: &[&str]| -> Output {
        let mut command = cotune();
        command.arg("plan").arg(workspace().join("scenarios/quickstart.toml")).arg("--json");
        set.iter().for_each(|change| {
            command.args(["--set", change]);
        });
        command.output().expect("cotune can be started")
    };
    let refused = |set: &[&str]| {
        let output = plan(set);
        assert_eq!(output.status.code(), Some(2), "{set:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let empty = format!("data.corpus={{ sni = {{ dir = {:?} }} }}", folder.path());
    let said = refused(&[&empty]);
    assert!(said.contains("has no task"), "{said}");
    let said = refused(&["data.template.end='<|im_end|>'"]);
    assert!(said.contains("<|im_end|>") && said.contains("data.template"), "{said}");

    let source = format!("data.source=[{{ jsonl = {:?}, {FIELDS} }}]", lines(folder.path()));
    let counts = [
        "data.public=10",
        "data.validation=10",
        "data.test=10",
        "data.split.dirichlet={ alpha = 1.0, min = 1 }",
    ];
    let output = plan(&[&["data.corpus={ sources = {} }", &*source][..], &counts].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let overview: Value = serde_json::from_slice(&output.stdout).expect("an overview is JSON");
    assert_eq!(overview["intake"]["sources"][0]["report"]["no_domain"], 1);
}
