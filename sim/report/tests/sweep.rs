//! The report of a sweep from the outside.

use std::collections::BTreeMap;

use cotune_report::{Estimate, SweepInput, SweepPoint, SweepRung, SweepStanding, render_sweep};

/// A sweep of two axes from a formula; no number in it means anything.
fn sweep(cohorts: usize, rates: usize, seeds: usize) -> SweepInput {
    let mut points = Vec::new();
    for cohort in 0..cohorts {
        for rate in 0..rates {
            let quality = 40.0 + 4.0 * (cohort as f64).sqrt() + 3.0 * (rate as f64 - 2.0).abs();
            let estimate = |mean: f64| Estimate { mean, half_width: (seeds > 1).then_some(0.8), n: seeds };
            let metrics = BTreeMap::from([
                ("edge.rouge-l.mean".to_owned(), estimate(quality)),
                ("uplink.total_bytes".to_owned(), estimate(1e6 * (1.0 + cohort as f64))),
                ("energy.total_joules".to_owned(), estimate(5e3 * (1.0 + rate as f64))),
                ("virtual.seconds".to_owned(), estimate(600.0 + 60.0 * cohort as f64)),
            ]);
            points.push(SweepPoint {
                labels: vec![format!("{}", 4 << cohort), format!("1e-{rate}")],
                runs: seeds,
                complete: seeds,
                metrics,
                differs_from_best: (seeds > 1).then_some(rate < 3),
                curve: (0..9)
                    .map(|step| (75.0 * f64::from(step), 30.0 + (quality - 30.0) * f64::from(step) / 8.0))
                    .collect(),
            });
        }
    }
    SweepInput {
        name: "rates".to_owned(),
        metric: "edge.rouge-l.mean".to_owned(),
        lower_is_better: false,
        axes: vec!["coordination.sync.cohort".to_owned(), "method.co-plms.optimizer.adamw.lr".to_owned()],
        points,
        rungs: Vec::new(),
        command: "cotune sweep rates.toml".to_owned(),
        version: "0".to_owned(),
    }
}

#[test]
fn a_full_sweep_has_every_section_and_no_network() {
    let html = render_sweep(&sweep(4, 5, 3));
    for id in ["points", "effects", "parallel", "price", "time"] {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "section {id} is missing");
    }
    for forbidden in ["http://", "https://", "<script", "<link", "url("] {
        assert!(!html.contains(forbidden), "the page contains {forbidden}");
    }
    assert!(html.contains("on 3 seeds.") && html.contains("not distinguishable from"));
    if let Some(path) = std::env::var_os("COTUNE_KEEP_REPORT") {
        std::fs::write(path, html).expect("it can be kept");
    }
}

#[test]
fn one_seed_is_drawn_hollow_and_claims_nothing() {
    let html = render_sweep(&sweep(3, 3, 1));
    assert!(html.contains("class=\"hollow\"") && !html.contains("class=\"full\""));
    assert!(html.contains("on one seed: no interval, so no claim."));
    assert!(!html.contains("distinguishably worse"));
}

#[test]
fn two_hundred_and_forty_runs_stay_under_a_megabyte() {
    let html = render_sweep(&sweep(8, 10, 3));
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
}

/// The same where halving took the better half of the points to the end.
fn halved(cohorts: usize, rates: usize) -> SweepInput {
    let mut input = sweep(cohorts, rates, 3);
    let mut order: Vec<usize> = (0..input.points.len()).collect();
    let goal = |point: usize| input.points[point].metrics["edge.rouge-l.mean"];
    order.sort_by(|a, b| goal(*b).mean.total_cmp(&goal(*a).mean));
    let half = order.len() / 2;
    let standing = |(rank, point): (usize, &usize)| {
        let estimate = Some(Estimate { mean: goal(*point).mean - 9.0, ..goal(*point) });
        SweepStanding { point: *point, estimate, goes_on: rank < half }
    };
    let last = |point: &usize| SweepStanding { point: *point, estimate: Some(goal(*point)), goes_on: false };
    input.rungs = vec![
        SweepRung {
            round: 2,
            combinations: order.len(),
            standings: order.iter().enumerate().map(standing).collect(),
        },
        SweepRung { round: 6, combinations: half, standings: order[..half].iter().map(last).collect() },
    ];
    for point in &order[half..] {
        let point = &mut input.points[*point];
        *point = SweepPoint { labels: point.labels.clone(), runs: point.runs, ..SweepPoint::default() };
    }
    input
}

#[test]
fn points_that_were_stopped_are_told_apart_from_those_that_are_missing() {
    let html = render_sweep(&halved(4, 5));
    assert!(html.contains("<section id=\"rungs\">"));
    assert!(
        html.contains("30 of 60 runs complete, 30 stopped early") && html.contains("class=\"good\">30 of 60")
    );
    assert!(html.contains("20 points began; of them went on: 10 after round 2."), "{html}");
    assert_eq!(html.matches("<span class=\"quiet\">stopped</span>").count(), 10);
    if let Some(path) = std::env::var_os("COTUNE_KEEP_REPORT") {
        std::fs::write(path, html).expect("it can be kept");
    }
    let mut cut = halved(4, 5);
    cut.rungs[1].standings.clear();
    cut.points
        .iter_mut()
        .for_each(|point| *point = SweepPoint { complete: 0, metrics: BTreeMap::new(), ..point.clone() });
    let html = render_sweep(&cut);
    assert!(html.contains("not there yet") && html.contains("class=\"bad\">0 of 60"));
}

#[test]
fn what_the_user_wrote_is_escaped_and_a_sweep_without_results_has_a_page() {
    let mut input = sweep(2, 2, 2);
    input.name = "<script>".to_owned();
    input.points[0].labels[1] = "<b>&".to_owned();
    assert!(!render_sweep(&input).contains("<script>") && !render_sweep(&input).contains("<b>&<"));
    input.points.iter_mut().for_each(|point| *point = SweepPoint { runs: 2, ..SweepPoint::default() });
    assert!(render_sweep(&input).contains("No run is complete"));
}
