//! The report from the outside: what it escapes, how large it gets, what it leaves out.

#[path = "../examples/synthetic/mod.rs"]
mod synthetic;

use cotune_record::Tables;
use cotune_report::terminal;
use synthetic::synthetic;

#[test]
fn markup_in_names_is_shown_and_never_run() {
    let evil = "<script>alert('x')</script>\"&";
    let mut run = synthetic(evil, 8, 3, 4);
    run.fleet.domains[0] = evil.into();
    run.fleet.devices.iter_mut().for_each(|row| row.class = evil.into());
    run.models[0].trained_as = evil.into();
    run.manifest.command = evil.into();
    run.manifest.warnings.push(evil.into());
    run.scenario = evil.into();
    let html = run.report();
    assert!(!html.contains("<script"), "a script tag reached the page");
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn the_page_needs_no_network_and_no_javascript() {
    let html = synthetic("demo", 20, 6, 8).report();
    for forbidden in ["http://", "https://", "<script", "<link", "@import", "url(", " onload", "javascript:"]
    {
        assert!(!html.contains(forbidden), "the page contains {forbidden}");
    }
}

#[test]
fn a_thousand_devices_and_120_rounds_stay_under_a_megabyte() {
    let html = synthetic("large", 1_000, 120, 100).report();
    if let Some(path) = std::env::var_os("COTUNE_KEEP_RUN_REPORT") {
        std::fs::write(path, &html).expect("it can be kept");
    }
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(synthetic("demo", 20, 6, 8).report(), synthetic("demo", 20, 6, 8).report());
}

#[test]
fn every_section_of_a_full_run_is_there() {
    let html = synthetic("demo", 40, 12, 16).report();
    for id in ["learning", "time", "part", "benefit", "wire", "devices", "wrong", "fleet", "appendix"] {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "section {id} is missing");
    }
    assert!(html.contains("Trained as") && html.contains("Billed as"));
    assert!(
        html.contains("Quality is that of the models that really train: "),
        "the scores say whose they are"
    );
    assert!(html.contains("By what became of the device's round"), "bytes by reason");
    assert!(html.contains("cotune run demo.toml --seed 1"));
}

#[test]
fn no_picture_has_a_coordinate_that_is_no_number() {
    let bare = |tables: &Tables| Tables {
        rounds: Vec::new(),
        reports: Vec::new(),
        evaluations: Vec::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
        run: tables.run.clone(),
    };
    let mut run = synthetic("demo", 1, 1, 1);
    let mut pages = vec![run.report()];
    for row in &mut run.tables.evaluations {
        row.value = row.value.map(|_| f64::NAN);
    }
    pages.push(run.report());
    run.tables = bare(&run.tables);
    run.fleet.devices.clear();
    pages.push(run.report());
    for (index, page) in pages.iter().enumerate() {
        for (position, _) in page.match_indices("NaN").chain(page.match_indices("inf ")) {
            let context = &page[position.saturating_sub(60)..(position + 20).min(page.len())];
            assert!(context.contains('>'), "page {index}: {context}");
        }
    }
}

#[test]
fn a_score_that_fell_is_shown_falling() {
    let html = synthetic("demo", 40, 12, 16).report();
    assert!(html.contains("delta bad\">▼ −"), "the domain `edit` gets worse in this run");
}

#[test]
fn a_run_without_training_says_so() {
    let mut run = synthetic("demo", 20, 6, 8);
    run.tables.evaluations.clear();
    let html = run.report();
    assert!(html.contains("simulated the system without training"));
    assert!(!html.contains("id=\"benefit\""));
}

#[test]
fn the_terminal_summary_is_short_and_aligned() {
    let text = terminal(&synthetic("demo", 40, 12, 16).summary);
    assert!(text.lines().count() <= 40, "{text}");
    let ends: Vec<usize> = text
        .lines()
        .filter(|line| {
            line.starts_with("  edge") || line.starts_with("  cloud.") || line.starts_with("  proxy.")
        })
        .map(|line| line.chars().count())
        .collect();
    assert!(ends.len() >= 12 && ends.iter().all(|end| *end == ends[0]), "{text}");
    assert!(text.contains("MISSED"), "{text}");
}
