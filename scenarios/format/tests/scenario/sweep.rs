//! Sweeps: what they expand to, and what is told about a file that is none.

use cotune_scenario::{Diagnostics, Document, Sweep};

use crate::common::{ZOO, parse};

const GOOD: &str = r#"
scenario = "city-clinics.toml"
seeds = [1, 2]
goal = { maximize = "edge.rouge-l.mean" }
[axes]
coordination.sync.cohort = [8, 16]
method = ["zero-shot", { fedavg = { on = "edge" } }, { fedavg = { on = "proxy" } }]
[[together]]
fleet.devices = [50, 100]
"data.corpus.builtin.examples" = [4_000, 8_000]
[[skip]]
method = "zero-shot"
coordination.sync.cohort = 16
[set]
budget.rounds = 4
coordination.sync.min_updates = 4
"#;

fn sweep(text: &str) -> Result<Sweep, Diagnostics> {
    Sweep::parse("a.toml", "a", text)
}

fn good() -> Document {
    parse("good", "city-clinics.toml").expect("it is good")
}

#[test]
fn a_sweep_is_every_combination_but_those_skipped_times_every_seed() {
    let sweep = sweep(GOOD).unwrap_or_else(|found| panic!("{found}"));
    let points = sweep.points();
    // 2 cohorts × 3 methods × 2 pairs, without zero-shot at 16, at 2 seeds.
    assert_eq!(points.len(), (2 * 3 * 2 - 2) * 2);
    let keys = ["coordination.sync.cohort", "method", "fleet.devices", "data.corpus.builtin.examples"];
    assert_eq!(sweep.axis_keys(), keys);
    let labels = |point: usize| points[point].axes.iter().map(|axis| axis.label.as_str()).collect::<Vec<_>>();
    assert_eq!(labels(0), ["8", "zero-shot", "50", "4000"]);
    assert_eq!(labels(2), ["8", "zero-shot", "100", "8000"], "the last axis is the fastest, seeds within it");
    assert_eq!(labels(4)[1], "{ fedavg = { on = \"edge\" } }", "one name for two values tells nothing");
    assert_eq!((points[2].seed, points[3].seed), (Some(1), Some(2)));
}

#[test]
fn a_point_is_the_scenario_with_its_values_and_its_digest_is_its_own() {
    let sweep = sweep(GOOD).unwrap_or_else(|found| panic!("{found}"));
    let mut digests = Vec::new();
    for point in sweep.points() {
        let mut document = good();
        document.assign(&point.assignments).unwrap_or_else(|found| panic!("{found}"));
        let scenario = document.check(&ZOO).unwrap_or_else(|found| panic!("{found}")).scenario;
        assert_eq!(Some(scenario.seed), point.seed);
        assert_eq!(scenario.budget.rounds, Some(4));
        assert_eq!(
            scenario.method.name(),
            if point.axes[1].label == "zero-shot" { "zero-shot" } else { "fedavg" }
        );
        // What is said of a point can be typed.
        let mut typed = good();
        let flags: Vec<_> = point.assignments.iter().map(|one| format!("{}={}", one.key, one.toml)).collect();
        let flags: Vec<_> =
            flags.iter().map(|flag| cotune_scenario::Override::parse(flag).unwrap()).collect();
        typed.set(&flags).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(typed.check(&ZOO).unwrap().scenario, scenario);
        digests.push(scenario.digest());
    }
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn a_random_search_keeps_its_points_when_it_grows() {
    let chosen = |points: usize, seed: u64| -> Vec<String> {
        let text = format!(
            "scenario = \"a\"\n[search.random]\npoints = {points}\nseed = {seed}\n[axes]\na = [1,2,3,4,5,6]\nb = [1,2,3,4,5,6]"
        );
        let toml =
            |point: &cotune_scenario::sweep::Point| format!("{}/{}", point.axes[0].toml, point.axes[1].toml);
        sweep(&text).unwrap_or_else(|found| panic!("{found}")).points().iter().map(toml).collect()
    };
    let (few, many) = (chosen(5, 1), chosen(12, 1));
    assert_eq!((few.len(), many.len(), chosen(99, 1).len()), (5, 12, 36));
    assert!(few.iter().all(|point| many.contains(point)));
    assert_ne!(few, chosen(5, 2));
}

#[test]
fn all_mistakes_of_a_sweep_are_told_at_once() {
    let said = sweep(
        "scenaro = \"x\"\nseeds = [1, 1]\ngoal = { maximize = \"edge.rouge.mean\" }\n[search.halving]\nseed = 2\netta = 4\n[axes]\na = 3\nb = []\nmethod = [\"zero-shot\"]\n\
         [[together]]\nc = [1, 2]\nd = [1]\n[[skip]]\nmetod = \"zero-shot\"\n[limits]\njobs = 0\n[set]\nseed = 3",
    )
    .expect_err("nothing is right with it");
    let codes: Vec<_> = said.0.iter().map(|one| one.code.name).collect();
    for code in ["E0002", "E0003", "E0004", "E0012", "E0013", "E0114"] {
        assert!(codes.contains(&code), "{code} is missing:\n{said}");
    }
    let text = said.to_string();
    for words in [
        "the sweep has no `scenario`",
        "did you mean `scenario`?",
        "the seed 1 is listed twice",
        "`search.halving.seed` is of a draw, and nothing is drawn",
        "did you mean `eta`?",
        "write a = [3, …]",
        "the axis `b` has no values",
        "`c` has 2 values and `d` has 1",
        "did you mean `method`?",
        "write seeds = [1, 2, 3] at the top",
    ] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
}

#[test]
fn halving_needs_a_goal_and_may_draw_what_it_begins_with() {
    let text =
        |halving: &str| format!("scenario = \"a\"\n{halving}\n[axes]\na = [1,2,3,4,5,6]\nb = [1,2,3,4,5,6]");
    let said = sweep(&text("[search.halving]\nresource = \"hours\"")).expect_err("no goal").to_string();
    for words in ["halving has no `goal` to judge by", "write goal = {", "`rounds`"] {
        assert!(said.contains(words), "{words} is missing:\n{said}");
    }
    let goal = "goal = { minimize = \"edge.loss.mean\" }";
    let whole = sweep(&text(&format!("{goal}\n[search.halving]"))).unwrap_or_else(|found| panic!("{found}"));
    let halving = whole.halving().expect("it is halving");
    assert_eq!((halving.eta, halving.first, halving.draw, whole.points().len()), (3, 1, None, 36));
    let titles = |search: &str| -> Vec<String> {
        let sweep = sweep(&text(&format!("{goal}\n{search}"))).unwrap_or_else(|found| panic!("{found}"));
        sweep.points().iter().map(|point| format!("{}/{}", point.axes[0].toml, point.axes[1].toml)).collect()
    };
    assert_eq!(
        titles("[search.halving]\npoints = 9\nseed = 4"),
        titles("[search.random]\npoints = 9\nseed = 4")
    );
}

#[test]
fn axes_that_set_the_same_place_are_a_mistake() {
    let text =
        "scenario = \"x\"\n[axes]\nmethod = [\"zero-shot\"]\n[[together]]\n\"method.fedavg.batch\" = [1]";
    assert!(sweep(text).expect_err("they overlap").to_string().contains("set the same place"));
}

const STUDY: &str = r#"
scenario = "city-clinics.toml"
seeds = [1, 2]
[axes]
coordination.sync.cohort = [8, 16]
method = [{ fedavg = { on = "edge" } }, { fedavg = { on = "proxy" } }]
[labels]
method = ["own models", "one proxy"]
[[replicate]]
seeds = [3, 4, 5]
[replicate.set]
models.cloud.base = "zoo:llm-small"
[[skip]]
method = "own models"
coordination.sync.cohort = 16
[[contrast]]
name    = "a shared model"
of      = "one proxy"
against = ["own models"]
[set]
coordination.sync.min_updates = 4
"#;

#[test]
fn replicates_bring_their_seeds_and_bases_and_stay_the_same_point() {
    let sweep = sweep(STUDY).unwrap_or_else(|found| panic!("{found}"));
    let points = sweep.points();
    assert_eq!(points.len(), 3 * 5);
    let seeds: Vec<_> = points[..5].iter().map(|point| point.seed.unwrap()).collect();
    assert_eq!(seeds, [1, 2, 3, 4, 5]);
    assert!(points[..5].iter().all(|point| point.combination == points[0].combination));
    assert_eq!(points[0].axes[1].label, "own models");
    let base = |point: usize| {
        let mut document = good();
        document.assign(&points[point].assignments).unwrap_or_else(|found| panic!("{found}"));
        document.check(&ZOO).unwrap_or_else(|found| panic!("{found}")).scenario.models["cloud"].base.clone()
    };
    assert_ne!(base(1), base(2));
    assert_eq!(base(2), base(4));
    let contrast = &sweep.contrasts[0];
    assert_eq!((contrast.of.as_str(), &contrast.against[..]), ("one proxy", &["own models".to_owned()][..]));
}

#[test]
fn a_study_that_does_not_add_up_is_refused_where_it_says_so() {
    for (right, wrong, words) in [
        ("[\"own models\", \"one proxy\"]", "[\"own models\"]", "`method` has 2 values and 1 labels"),
        ("\"own models\", \"one proxy\"", "\"one proxy\", \"one proxy\"", "is no label of its own"),
        ("[labels]\nmethod", "[labels]\nmetod", "no axis is called `metod`"),
        ("seeds = [3, 4, 5]", "seeds = [2, 4]", "the seed 2 is listed twice"),
        (
            "models.cloud.base = \"zoo:llm-small\"",
            "coordination.sync.cohort = 4",
            "a replicate sets what no axis does",
        ),
        ("of      = \"one proxy\"", "of      = \"one prxy\"", "did you mean `one proxy`?"),
        ("against = [\"own models\"]", "against = \"own models\"", "`contrast.0.against` is a list"),
    ] {
        assert!(STUDY.contains(right), "{right}");
        let said = sweep(&STUDY.replace(right, wrong)).expect_err(words).to_string();
        assert!(said.contains(words), "{words} is missing:\n{said}");
    }
}
