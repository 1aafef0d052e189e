use std::collections::{BTreeMap, BTreeSet};

use cotune_kernel::stream::Stream;
use proptest::prelude::*;

use super::*;

fn parts(private: usize, public: usize, validation: usize, test: usize) -> Parts {
    Parts {
        private: Amount::PerDomain(private),
        public: Amount::PerDomain(public),
        validation: Amount::PerDomain(validation),
        test: Amount::PerDomain(test),
    }
}

fn spec(seed: u64, parts: Parts, overlap: f64) -> DomainsSpec {
    DomainsSpec { seed, parts, overlap, unseen_domains: Vec::new() }
}

fn all(corpus: &Corpus) -> Vec<&Example> {
    [&corpus.private, &corpus.public, &corpus.validation, &corpus.test].into_iter().flatten().collect()
}

/// Pretraining text: in some thousand draws every wording of every domain shows.
fn source(n: usize, unseen: &[&str]) -> Vec<Example> {
    let unseen: Vec<String> = unseen.iter().map(|name| (*name).to_owned()).collect();
    source_text(Stream::keyed(1, "test/source"), n, &unseen).unwrap().collect()
}

/// How a prompt opens: `Q:` and two words.
fn opening(example: &Example) -> String {
    example.prompt.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_corpus_has_the_counts_asked_for_and_no_prompt_twice() {
    let corpus = domains(&spec(7, parts(96, 12, 10, 25), 1.0)).unwrap();
    assert_eq!(corpus.domains, domain_names());
    let sizes = [&corpus.private, &corpus.public, &corpus.validation, &corpus.test].map(Vec::len);
    assert_eq!(sizes, [96, 12, 10, 25].map(|count| count * 8));
    let mut prompts = BTreeSet::new();
    for (number, example) in all(&corpus).into_iter().enumerate() {
        assert_eq!(example.id as usize, number);
        assert!(prompts.insert(&example.prompt), "{} twice", example.prompt);
        assert!(example.prompt.starts_with("Q: ") && example.prompt.ends_with("\nA:"), "{}", example.prompt);
        assert!(example.answer().starts_with(' ') && !example.answer().starts_with("  "), "{example:?}");
    }
}

#[test]
fn a_seed_decides_the_corpus() {
    let draw = |seed| domains(&spec(seed, parts(20, 5, 5, 5), 0.5)).unwrap();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1).test, draw(2).test);
}

#[test]
fn a_total_is_spread_evenly() {
    let total = Parts { private: Amount::Total(803), ..parts(0, 5, 0, 10) };
    let corpus = domains(&spec(1, total, 1.0)).unwrap();
    assert_eq!(corpus.private.len(), 803);
    let count = |domain| corpus.private.iter().filter(|example| example.domain == domain).count();
    assert_eq!([0, 2, 3, 7].map(count), [101, 101, 100, 100]);
}

#[test]
fn eight_thousand_examples_fit() {
    let corpus = domains(&spec(1, parts(800, 50, 50, 100), 1.0)).unwrap();
    assert_eq!(all(&corpus).len(), 8_000);
}

#[test]
fn too_many_questions_are_refused_with_the_number_there_are() {
    let error = domains(&spec(1, parts(2_000, 0, 0, 40), 1.0)).unwrap_err().to_string();
    assert!(error.contains("`lang`") || error.contains("`shop`"), "{error}");
    let error = domains(&spec(1, parts(0, 0, 0, 700), 1.0)).unwrap_err().to_string();
    assert!(error.contains("`lang`") && error.contains("640") && error.contains("700"), "{error}");
}

#[test]
fn tested_combinations_occur_in_no_training_wording() {
    // 640 combinations in `lang`: training has to reword, testing must not meet its own questions again.
    let corpus = domains(&spec(3, parts(900, 100, 50, 100), 0.5)).unwrap();
    let lang = corpus.domains.iter().position(|name| name == "lang").unwrap() as u16;
    let answers = |part: &[Example]| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for example in part.iter().filter(|example| example.domain == lang) {
            *counts.entry(example.answer().to_owned()).or_insert(0) += 1;
        }
        counts
    };
    // In `lang` the answer spells the combination out.
    let (train, test) = (answers(&corpus.private), answers(&corpus.test));
    assert_eq!(test.len(), 100);
    assert!(train.values().any(|count| *count > 1), "900 of 490 combinations without rewording");
    assert!(test.keys().all(|answer| !train.contains_key(answer)));
}

#[test]
fn overlap_is_the_share_of_wordings_that_pretraining_saw() {
    let seen: BTreeSet<String> = source(4_000, &[]).iter().map(opening).collect();
    let shop = |overlap| {
        let corpus = domains(&spec(5, parts(100, 0, 0, 0), overlap)).unwrap();
        let openings: Vec<String> =
            corpus.private.iter().filter(|example| example.domain == 0).map(opening).collect();
        openings.iter().filter(|words| seen.contains(*words)).count()
    };
    // Wordings of `shop`: "Where do", "A customer", "Which shelf" are seen, "Where is", "I want" are held
    // out; "I want" is held out of `unit`, too.
    assert_eq!([shop(1.0), shop(0.5), shop(0.0)], [100, 50, 0]);
    let error = domains(&spec(5, parts(1, 0, 0, 0), 1.5)).unwrap_err().to_string();
    assert!(error.contains("overlap is 1.5"), "{error}");
}

#[test]
fn pretraining_text_leaves_unseen_domains_out() {
    let text = source(500, &["edit"]);
    assert!(text.iter().all(|example| example.domain != 7));
    assert_eq!(text.iter().map(|example| example.domain).collect::<BTreeSet<_>>().len(), 7);
    let unknown = source_text(Stream::keyed(1, "test"), 1, &["edits".to_owned()]).err().unwrap().to_string();
    assert!(unknown.contains("`edits`") && unknown.contains("intent, edit"), "{unknown}");
}

#[test]
fn nine_in_ten_pretraining_answers_tell_of_one_world() {
    // The answer to the commonest question of each combination is the source world's.
    let text = source(40_000, &[]);
    let mut answers: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for example in text.iter().filter(|example| example.domain == 3) {
        *answers.entry(&example.prompt).or_default().entry(example.answer()).or_insert(0) += 1;
    }
    let (mut agreeing, mut all) = (0, 0);
    for counts in answers.values() {
        agreeing += counts.values().max().unwrap();
        all += counts.values().sum::<usize>();
    }
    let share = agreeing as f64 / all as f64;
    assert!((0.88..0.94).contains(&share), "{share}");
}

#[test]
fn no_scenario_asks_about_the_source_world() {
    let asked = domains(&spec(SOURCE_WORLD_SEED, parts(0, 0, 0, 600), 1.0)).unwrap();
    let known: BTreeMap<String, String> =
        source(60_000, &[]).into_iter().map(|e| (e.prompt.clone(), e.answer().to_owned())).collect();
    let lang: Vec<&Example> =
        asked.test.iter().filter(|e| e.domain == 3 && known.contains_key(&e.prompt)).collect();
    assert!(lang.len() > 400);
    let equal = lang.iter().filter(|e| known[&e.prompt] == e.answer()).count();
    assert!(equal * 10 < lang.len(), "{equal} of {}", lang.len());
}

const SCAN: &str = "IN: jump twice OUT: I_JUMP I_JUMP\nIN: turn left OUT: I_TURN_LEFT\n\
                    IN: walk OUT: I_WALK I_WALK\n\
                    IN: turn left OUT: I_TURN_LEFT\nIN: look OUT: I_FLY\nIN: run OUT: \nnonsense\n\n";

fn scan() -> SourceSpec {
    SourceSpec { max_actions: Some(2), ..SourceSpec::new("scan", SourceKind::Scan, "scan.txt") }
}

fn texts(rows: &SourceRows) -> BTreeMap<&str, &str> {
    rows.rows.iter().map(|row| (row.prompt.as_str(), row.answers[0].as_str())).collect()
}

#[test]
fn scan_actions_become_words() {
    let rows = read(&scan(), SCAN).unwrap();
    assert_eq!(
        texts(&rows),
        BTreeMap::from([
            ("Q: robot: jump twice\nA:", " jump jump"),
            ("Q: robot: turn left\nA:", " left"),
            ("Q: robot: walk\nA:", " walk walk"),
        ])
    );
    assert_eq!(rows.report.to_string(), "3 of 7 rows kept, 3 malformed, 1 duplicate");
    let permuted = read(&SourceSpec { permute_labels: true, ..scan() }, SCAN).unwrap();
    assert_eq!(texts(&permuted)["Q: robot: walk\nA:"], " run run");
}

#[test]
fn labels_of_a_table_are_chosen_and_permuted() {
    let table = "id,text,category\n1,Where is my card?,card_arrival\n2,\"Fees, why?\",Fees\n\
                 3,PIN?,Change_pin?\n4,x,\n";
    let csv = |text: &str| SourceKind::Csv { text: text.to_owned(), label: "category".to_owned() };
    let spec = SourceSpec::new("bank", csv("text"), "bank.csv");
    let plain = read(&spec, table).unwrap();
    assert_eq!(texts(&plain)["Q: bank: Where is my card?\nA:"], " card arrival");
    assert_eq!(texts(&plain)["Q: bank: PIN?\nA:"], " change pin");
    assert_eq!(plain.report.unanswered, 1);

    let permuted = read(&SourceSpec { permute_labels: true, ..spec.clone() }, table).unwrap();
    for (prompt, answer) in texts(&permuted) {
        assert_ne!(answer, texts(&plain)[prompt]);
    }
    let two = read(&SourceSpec { labels: Some(2), ..spec.clone() }, table).unwrap();
    assert_eq!((two.rows.len(), two.report.other_label), (2, 1));
    let error = read(&SourceSpec { labels: Some(9), ..spec.clone() }, table).unwrap_err().to_string();
    assert!(error.contains("keep 9 labels but has 3"), "{error}");
    let error = read(&SourceSpec { kind: csv("question"), ..spec }, table).unwrap_err().to_string();
    assert!(error.contains("`question`") && error.contains("id, text, category"), "{error}");
}

#[test]
fn span_indices_count_characters_of_the_text_as_written() {
    let turns = r#"[
        {"userInput": {"text": "café at 7 pm"},
         "labels": [{"slot": "time", "valueSpan": {"startIndex": 8, "endIndex": 12}}]},
        {"userInput": {"text": "Oslo please"},
         "labels": [{"slot": "to_city", "valueSpan": {"endIndex": 4}}]},
        {"userInput": {"text": "hello"}},
        {"userInput": {"text": "short"},
         "labels": [{"slot": "time", "valueSpan": {"startIndex": 3, "endIndex": 40}}]}
    ]"#;
    let spec = SourceSpec::new("bus", SourceKind::Spans, "bus.json");
    let rows = read(&spec, turns).unwrap();
    assert_eq!(
        texts(&rows),
        BTreeMap::from([
            ("Q: bus: caf at 7 pm\nA:", " time = 7 pm"),
            ("Q: bus: Oslo please\nA:", " to city = oslo")
        ])
    );
    assert_eq!((rows.report.unanswered, rows.report.malformed), (1, 1));
    let permuted = read(&SourceSpec { permute_labels: true, ..spec }, turns).unwrap();
    assert_eq!(texts(&permuted)["Q: bus: caf at 7 pm\nA:"], " to city = 7 pm");
}

#[test]
fn lines_of_json_may_name_domains_and_several_references() {
    let lines = r#"{"prompt": "Two and two?", "references": ["four", "4"], "domain": "sums"}
{"prompt": "Q: Already whole\nA:", "answer": " yes"}
{"prompt": "No answer"}
{"answer": "no prompt"}"#;
    let rows = read(&SourceSpec::new("own", SourceKind::Jsonl, "own.jsonl"), lines).unwrap();
    let of = |domain: &str| rows.rows.iter().find(|row| row.domain == domain).unwrap();
    assert_eq!(of("sums").prompt, "Q: Two and two?\nA:");
    assert_eq!(of("sums").answers, [" four", " 4"]);
    assert_eq!((of("own").prompt.as_str(), of("own").answers[0].as_str()), ("Q: Already whole\nA:", " yes"));
    assert_eq!((rows.report.unanswered, rows.report.malformed), (1, 1));
}

fn sni(domain: TaskDomain) -> SourceSpec {
    SourceSpec::new("task001_sums", SourceKind::Sni { domain }, "task001_sums/train.json")
}

#[test]
fn a_task_asks_its_instruction_and_its_input() {
    let task = r#"{
        "Definition": ["Add the\nnumbers {input}."], "Domains": ["Mathematics -> Sums", "News"],
        "Categories": "Question Answering",
        "Instances": [{"input": " 2 and 2", "output": ["4", "four"]}, {"input": "x", "output": "y"},
                      {"input": "silence", "output": []}, {"output": "4"}]
    }"#;
    let template = Template::new("{prompt}\nOutput:", " {answer}").unwrap();
    let published = SourceSpec { template, ..sni(TaskDomain::Domain) };
    let rows = read(&published, task).unwrap();
    let sum = rows.rows.iter().find(|row| row.answers.len() == 2).unwrap();
    assert_eq!(sum.prompt, "Add the\nnumbers {input}.\n\nInput: 2 and 2\nOutput:");
    assert_eq!(
        (sum.domain.as_str(), &*sum.answers),
        ("Mathematics", &[" 4".to_owned(), " four".to_owned()][..])
    );
    assert_eq!((rows.report.kept, rows.report.unanswered, rows.report.malformed), (2, 1, 1));

    let of = |domain| read(&sni(domain), task).unwrap().rows[0].domain.clone();
    assert_eq!([of(TaskDomain::Category), of(TaskDomain::Task)], ["Question Answering", "task001_sums"]);
    let wording = Some("{input} ({definition})".to_owned());
    let rows = read(&SourceSpec { wording, ..sni(TaskDomain::Task) }, task).unwrap();
    assert!(rows.rows.iter().any(|row| row.prompt == "Q: x (Add the\nnumbers {input}.)\nA:"));
}

#[test]
fn tasks_are_found_by_the_names_of_files_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    for file in
        ["task2_b.json", "task1_a/test.json", "task1_a/train.json", "splits/default.json", "task3.txt"]
    {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{}").unwrap();
    }
    let found = |tasks: &[&str]| {
        let tasks: Vec<String> = tasks.iter().map(|task| (*task).to_owned()).collect();
        task_files(folder.path(), &tasks)
            .map(|files| files.into_iter().map(|file| file.task).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    assert_eq!(found(&[]).unwrap(), ["task1_a", "task1_a", "task2_b"]);
    assert_eq!(found(&["task2_b"]).unwrap(), ["task2_b"]);
    let error = found(&["task2_b", "task9"]).unwrap_err();
    assert!(error.contains("`task9`") && error.contains("begins with `task`"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_to_folders_lead_nowhere_and_links_to_files_are_read() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("task1_a.json"), "{}").unwrap();
    symlink("task1_a.json", folder.path().join("task2_b.json")).unwrap();
    // Two of these have more ways through them than anybody can walk.
    ["a", "b"].iter().for_each(|name| symlink(".", folder.path().join(name)).unwrap());
    let found = task_files(folder.path(), &[]).unwrap();
    assert_eq!(found.into_iter().map(|file| file.task).collect::<Vec<_>>(), ["task1_a", "task2_b"]);
}

#[test]
fn fields_have_the_names_they_are_given() {
    let fields = Fields {
        prompt: "description".to_owned(),
        answer: "code".to_owned(),
        references: "also".to_owned(),
        domain: "platform".to_owned(),
    };
    let own = SourceSpec { domain: None, fields, ..SourceSpec::new("", SourceKind::Jsonl, "tldr.jsonl") };
    let lines = r#"{"description": "List", "code": "ls", "also": ["dir", "ls"], "platform": "linux"}
{"description": "Sum", "code": 4, "platform": "common"}
{"description": "Nowhere", "code": "x"}"#;
    let rows = read(&own, lines).unwrap();
    let of = |domain: &str| rows.rows.iter().find(|row| row.domain == domain).unwrap();
    assert_eq!(of("linux").answers, [" ls", " dir"]);
    assert_eq!(of("common").answers, [" 4"]);
    assert_eq!(rows.report.to_string(), "2 of 3 rows kept, 1 without a domain");

    let table = "platform,description,also\nlinux,List,\"[\"\"ls\"\", \"\"dir\"\"]\"\ncommon,\"A, b\",[x\nosx,None,\n";
    let csv = SourceSpec { kind: SourceKind::Table, ..own.clone() };
    let rows = read(&csv, table).unwrap();
    let of = |domain: &str| rows.rows.iter().find(|row| row.domain == domain).unwrap();
    assert_eq!(of("linux").answers, [" ls", " dir"]);
    assert_eq!(
        (of("common").prompt.as_str(), &*of("common").answers),
        ("Q: A, b\nA:", &[" [x".to_owned()][..])
    );
    assert_eq!(rows.report.unanswered, 1);
    let error = read(&csv, "description,platform\n").unwrap_err().to_string();
    assert!(error.contains("`code or also`") && error.contains("description, platform"), "{error}");
    let error = read(&csv, "description,code\n").unwrap_err().to_string();
    assert!(error.contains("`platform`"), "a source without a domain needs the column: {error}");
}

#[test]
fn a_template_changes_the_words_and_not_the_halves() {
    let lines: String = (0..30).map(|n| format!("{{\"prompt\": \"p{n}\", \"answer\": \"a\"}}\n")).collect();
    let standard = SourceSpec {
        half: Some(Half::Source),
        wording: Some("say {prompt}".to_owned()),
        ..SourceSpec::new("own", SourceKind::Jsonl, "own.jsonl")
    };
    let template = Template::new("<{prompt}>\n", "={answer}").unwrap();
    let other = SourceSpec { template: template.clone(), ..standard.clone() };
    let (a, b) = (read(&standard, &lines).unwrap().rows, read(&other, &lines).unwrap().rows);
    assert_eq!((a.len(), b.len()), (10, 10));
    for (a, b) in a.iter().zip(&b) {
        let question = Template::default().question(&a.prompt).unwrap().to_owned();
        assert!(question.starts_with("say p"), "{question}");
        assert_eq!((&b.prompt, &b.answers[0]), (&template.prompt(&question), &"=a".to_owned()));
    }
    let builtin = domains(&spec(1, parts(2, 1, 1, 1), 1.0)).unwrap();
    let reworded = builtin.clone().reworded(&Template::default(), &template);
    assert!(all(&reworded).iter().all(|e| e.prompt.starts_with('<') && e.answer().starts_with('=')));
    assert_eq!(reworded.reworded(&template, &Template::default()), builtin);
}

#[test]
fn what_does_not_apply_or_leaves_nothing_is_said() {
    let jsonl = SourceSpec { permute_labels: true, ..SourceSpec::new("own", SourceKind::Jsonl, "own.jsonl") };
    let error = read(&jsonl, "").unwrap_err().to_string();
    assert!(error.contains("`permute_labels`") && error.contains("jsonl"), "{error}");
    let error = read(&scan(), "nonsense").unwrap_err().to_string();
    assert!(error.contains("0 of 1 rows kept, 1 malformed"), "{error}");
    let error = read_file(&scan()).unwrap_err().to_string();
    assert!(error.contains("scan.txt"), "{error}");
}

#[test]
fn a_file_is_read_as_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.txt");
    std::fs::write(&path, SCAN).unwrap();
    assert_eq!(read_file(&SourceSpec { path, ..scan() }).unwrap(), read(&scan(), SCAN).unwrap());
}

#[test]
fn sources_of_one_domain_are_joined_and_the_rest_is_private() {
    let lines = |range: std::ops::Range<u32>| -> SourceRows {
        let text: String =
            range.map(|n| format!("{{\"prompt\": \"What is {n}?\", \"answer\": \"{n}\"}}\n")).collect();
        read(&SourceSpec::new("own", SourceKind::Jsonl, "own.jsonl"), &text).unwrap()
    };
    let parts = Parts {
        private: Amount::Rest,
        public: Amount::PerDomain(7),
        validation: Amount::Share(0.1),
        test: Amount::Share(0.2),
    };
    let corpus = assemble(&[lines(0..60), lines(40..100)], parts, 1).unwrap();
    let sizes = [&corpus.private, &corpus.public, &corpus.validation, &corpus.test].map(Vec::len);
    assert_eq!(sizes, [63, 7, 10, 20]);
    assert_eq!(corpus, assemble(&[lines(40..100), lines(0..60)], parts, 1).unwrap());
    assert_ne!(corpus, assemble(&[lines(0..100)], parts, 2).unwrap());
    let error = assemble(&[lines(0..10)], self::parts(20, 0, 0, 1), 1).unwrap_err().to_string();
    assert!(error.contains("10") && error.contains("21"), "{error}");
    let error = domains(&spec(1, parts, 1.0)).unwrap_err().to_string();
    assert!(error.contains("needs a count"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn halves_are_disjoint_and_every_row_is_accounted_for(n in 1usize..900, limit in 1usize..400) {
        let line = |k: usize| format!("{{\"prompt\": \"p{}\", \"answer\": \"a\"}}\n", k % 700);
        let text: String = (0..n).map(line).collect();
        let whole = SourceSpec::new("own", SourceKind::Jsonl, "own.jsonl");
        let half = |half, limit| read(&SourceSpec { half: Some(half), limit, ..whole.clone() }, &text);
        let target = half(Half::Target, None).unwrap();
        // One or two rows have no third to give.
        let source = half(Half::Source, None).map(|rows| rows.rows).unwrap_or_default();
        let both = target.rows.iter().chain(&source);
        let prompts: BTreeSet<&str> = both.map(|row| row.prompt.as_str()).collect();
        prop_assert_eq!(prompts.len(), n.min(700));
        prop_assert_eq!(target.rows.len() + source.len(), n.min(700));

        let report = half(Half::Target, Some(limit)).unwrap().report;
        let dropped: usize = report.dropped().iter().map(|(_, rows)| rows).sum();
        prop_assert_eq!(report.kept + dropped, report.read);
        prop_assert_eq!(report.kept, target.rows.len().min(limit));
    }
}

#[test]
fn the_real_files_read_as_in_the_feasibility_study() {
    let spans =
        |domain: &str, path: &str| (SourceSpec::new(domain, SourceKind::Spans, path), path.to_owned());
    let banking = SourceKind::Csv { text: "text".to_owned(), label: "category".to_owned() };
    let banking = SourceSpec {
        max_chars: Some(60),
        labels: Some(20),
        ..SourceSpec::new("bank", banking, "banking77/train.csv")
    };
    let sources = [
        (SourceSpec::new("scan", SourceKind::Scan, ""), "scan/tasks_train_simple.txt".to_owned()),
        (banking, "banking77/train.csv".to_owned()),
        spans("rest", "spans_dstc8/restaurant8k/train_2.json"),
        spans("bus", "spans_dstc8/Buses_1/train_0.json"),
        spans("event", "spans_dstc8/Events_1/train_0.json"),
        spans("home", "spans_dstc8/Homes_1/train_0.json"),
        spans("car", "spans_dstc8/RentalCars_1/train_0.json"),
    ];
    let mut read_rows = Vec::new();
    for (source, path) in sources {
        let Some(text) = reference_data(&path) else { return };
        let target = read(&SourceSpec { half: Some(Half::Target), ..source.clone() }, &text).unwrap();
        let permuted = SourceSpec { half: Some(Half::Source), permute_labels: true, ..source.clone() };
        let known = read(&permuted, &text).unwrap();
        let asked: BTreeSet<&str> = target.rows.iter().map(|row| row.prompt.as_str()).collect();
        assert!(known.rows.iter().all(|row| !asked.contains(row.prompt.as_str())), "{path}: halves overlap");
        assert!(target.rows.len() >= 100, "{path}: {}", target.report);
        println!("{path}: {}", target.report);
        read_rows.push(target);
    }
    let corpus = assemble(&read_rows, parts(60, 20, 0, 30), 1).unwrap();
    assert_eq!((corpus.domains.len(), corpus.private.len()), (7, 420));
    assert!(corpus.private.iter().all(|example| example.answer().len() > 1));
}
