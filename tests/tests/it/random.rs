//! What holds for every scenario there is, on as many as fit into a test's time, each made from a seed.
//!
//! A seed that fails prints the command that plays it alone. `COTUNE_SEEDS=5000..9000` plays other seeds, `COTUNE_SEED=17`
//! plays one and prints its scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use cotune_record::{Event, EventDigest, EventKind, Tables, tabulate};
use cotune_scenario::Scenario;
use cotune_scenario::coordination::Coordination;
use cotune_tests::{checked, kept, plan, play, play_delayed, random, read_snapshot, try_plan};
use cotune_world::Plan;

/// Seeds of schedules that are played by default.
const SCHEDULES: Range<u64> = 0..3_000;
/// Seeds whose devices learn.
const LEARNING: Range<u64> = 0..16;
/// So many seeds have to be mostly playable; fewer may happen not to be.
const MANY: usize = 16;
/// Every so many seeds a run is also cut and resumed, and played with every device alive.
const CUT_EVERY: u64 = 4;

/// Two devices that were watched for two hours.
static TRACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("random-presence.csv");
    std::fs::write(&path, "0,0,1\n0,1200,0\n0,1900,1\n0,6000,0\n1,300,1\n1,7200,0\n")
        .expect("it can be written");
    path
});

fn scenario(seed: u64, learns: bool) -> Scenario {
    let text = random::scenario(seed, &TRACE.display().to_string(), learns);
    if std::env::var_os("COTUNE_SEED").is_some() {
        eprintln!("{text}");
    }
    checked(&format!("random-{seed}.toml"), &text, &[])
}

/// The plan of a scenario; none if its deadline is too short for anyone, for the dice know nothing of how long anything takes.
fn drawn(scenario: &Scenario) -> Option<Arc<Plan>> {
    match try_plan(scenario) {
        Ok(plan) => Some(plan),
        Err(refusal) if refusal.contains("shorter than the fastest possible update") => None,
        Err(refusal) => panic!("{refusal}"),
    }
}

/// Plays the seeds that were asked for, and says how to play alone the first one that fails. `check` is true if the seed could be
/// played, as most of many have to be: a rule that is held against nothing says nothing.
fn for_each(test: &str, default: Range<u64>, check: impl Fn(u64) -> bool) {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("`{text}` is not a seed"));
    let range = |text: String| text.split_once("..").map(|(from, to)| number(from)..number(to));
    let variable = |name| std::env::var(name).ok();
    let seeds = variable("COTUNE_SEED").map(|seed| number(&seed)..number(&seed) + 1);
    let seeds = seeds.or_else(|| variable("COTUNE_SEEDS").and_then(range)).unwrap_or(default);
    let (mut asked, mut played) = (0, 0);
    for seed in seeds {
        asked += 1;
        match catch_unwind(AssertUnwindSafe(|| check(seed))) {
            Ok(was_played) => played += usize::from(was_played),
            Err(panic) => {
                eprintln!("seed {seed} fails. To play it alone:");
                eprintln!(
                    "  COTUNE_SEED={seed} cargo test --release --workspace --test it -- --exact random::{test}"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{test}: {played} of {asked} seeds were played");
    assert!(asked < MANY || 5 * played >= 4 * asked, "only {played} of {asked} seeds can be played");
}

#[test]
fn a_schedule_keeps_the_rules_whatever_happens() {
    for_each("a_schedule_keeps_the_rules_whatever_happens", SCHEDULES, |seed| {
        let scenario = scenario(seed, false);
        let Some(first) = drawn(&scenario) else { return false };
        let played = play(&first, 1, false);
        keeps_the_rules(&scenario, &played.events);
        let again = play(&plan(&scenario), 1, false);
        assert_eq!(again.digest, played.digest, "a second run differs");
        if seed % CUT_EVERY == 0 {
            let mut all = scenario.clone();
            all.simulation.actors = cotune_scenario::scenario::Actors::All;
            assert_eq!(play(&plan(&all), 1, false).digest, played.digest, "with every device alive");
            goes_on(&first, false, &played.events, seed);
        }
        true
    });
}

#[test]
fn learning_keeps_the_rules_whatever_happens() {
    for_each("learning_keeps_the_rules_whatever_happens", LEARNING, |seed| {
        let scenario = scenario(seed, true);
        let Some(plan) = drawn(&scenario) else { return false };
        let played = play(&plan, 2, true);
        keeps_the_rules(&scenario, &played.events);
        assert_eq!(play_delayed(&plan, 4, true, Some(seed)).digest, played.digest, "with other threads");
        assert_eq!(play(&plan, 1, false).schedule_digest, played.schedule_digest, "without learning");
        goes_on(&plan, true, &played.events, seed);
        true
    });
}

/// A run that goes on from one of its snapshots comes to the same events.
fn goes_on(plan: &Arc<Plan>, train: bool, events: &[Event], seed: u64) {
    let (_, snapshots) = kept(plan, train, None);
    let Some((before, bytes)) = snapshots.get((seed / CUT_EVERY) as usize % snapshots.len().max(1)) else {
        return;
    };
    let snapshot = read_snapshot(bytes);
    assert_eq!(snapshot.fits(plan, train), Ok(()));
    let (after, _) = kept(plan, train, Some(snapshot));
    let digest = |events: &mut dyn Iterator<Item = &Event>| {
        let mut digest = EventDigest::new();
        events.for_each(|event| digest.push(event));
        digest.digest()
    };
    let whole = digest(&mut events[..*before].iter().chain(&after));
    assert_eq!(whole, digest(&mut events.iter()), "it parts where it went on, after event {before}");
}

/// The rules that no run breaks.
fn keeps_the_rules(scenario: &Scenario, events: &[Event]) {
    assert!(events.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns), "time runs backwards");
    assert!(matches!(events.last().map(|event| &event.kind), Some(EventKind::RunEnded { .. })), "no end");
    every_invitation_has_one_outcome(events);
    let tables = tabulate(events).unwrap_or_else(|error| panic!("{error}"));
    no_update_comes_after_its_deadline(scenario, &tables, events);
    bytes_are_conserved(&tables, events);
    joules_are_conserved(&tables, events);
}

/// So no update is folded twice.
fn every_invitation_has_one_outcome(events: &[Event]) {
    let mut open = BTreeSet::new();
    for event in events {
        match &event.kind {
            EventKind::RoundOpened { round, invited } => {
                for device in invited {
                    assert!(
                        open.insert((*round, *device)),
                        "device {device} is invited twice into round {round}"
                    );
                }
            }
            EventKind::Invited { round, device } => {
                assert!(
                    open.insert((*round, *device)),
                    "device {device} is invited twice into round {round}"
                );
            }
            EventKind::UpdateAccepted { round, device, .. }
            | EventKind::NotContributed { round, device, .. } => {
                assert!(
                    open.remove(&(*round, *device)),
                    "device {device}: an outcome in round {round} too many"
                );
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "invited and never heard of again: {open:?}");
}

fn no_update_comes_after_its_deadline(scenario: &Scenario, tables: &Tables, events: &[Event]) {
    let opened: BTreeMap<u32, f64> = tables.rounds.iter().map(|row| (row.round, row.opened_s)).collect();
    let closed: BTreeMap<u32, f64> =
        tables.rounds.iter().filter_map(|row| Some((row.round, row.closed_s?))).collect();
    for event in events {
        let EventKind::UpdateAccepted { round, device, aggregate, staleness, .. } = event.kind else {
            continue;
        };
        let now = event.seconds();
        let into = aggregate.unwrap_or(round);
        assert!(
            closed.get(&into).is_none_or(|end| now <= *end),
            "{device} is folded into a closed round {into}"
        );
        match &scenario.coordination {
            Coordination::Sync(sync) => {
                assert!(aggregate.is_none() && staleness == 0, "a round took an update of another");
                let deadline =
                    sync.deadline_seconds.map_or(f64::INFINITY, |seconds| opened[&round] + seconds);
                assert!(
                    now <= deadline + 1e-6,
                    "device {device} was accepted in round {round} after its deadline"
                );
            }
            Coordination::Buffered(buffered) | Coordination::Async(buffered) => {
                let most = buffered.max_staleness.unwrap_or(u64::MAX);
                assert!(u64::from(staleness) <= most, "device {device} is {staleness} models behind");
            }
        }
    }
}

/// What arrives was sent, and every byte that crossed a wire is in exactly one round.
fn bytes_are_conserved(tables: &Tables, events: &[Event]) {
    let mut pending: BTreeMap<(bool, u32, u32), u64> = BTreeMap::new();
    let (mut down, mut up) = (0, 0);
    for event in events {
        match event.kind {
            EventKind::DownloadStarted { round, device, bytes, .. } => {
                assert_eq!(pending.insert((false, round, device), bytes), None, "two downloads at once");
            }
            EventKind::UploadStarted { round, device, bytes, .. } => {
                assert_eq!(pending.insert((true, round, device), bytes), None, "two uploads at once");
            }
            EventKind::DownloadFinished { round, device, bytes, complete, .. } => {
                down += bytes;
                let sent = pending.remove(&(false, round, device)).expect("a download ends that began");
                assert!(
                    bytes <= sent && (!complete || bytes == sent),
                    "{bytes} of {sent} bytes, whole: {complete}"
                );
            }
            EventKind::UploadFinished { round, device, bytes, complete, .. } => {
                up += bytes;
                let sent = pending.remove(&(true, round, device)).expect("an upload ends that began");
                assert!(
                    bytes <= sent && (!complete || bytes == sent),
                    "{bytes} of {sent} bytes, whole: {complete}"
                );
            }
            _ => {}
        }
    }
    assert!(pending.is_empty(), "transfers without an end: {pending:?}");
    assert_eq!(down, tables.rounds.iter().map(|row| row.bytes_down).sum::<u64>());
    assert_eq!(up, tables.rounds.iter().map(|row| row.bytes_up).sum::<u64>());
    for row in &tables.reports {
        let moved = row.bytes_down + row.bytes_up;
        assert!(row.wasted_bytes <= moved, "device {} wasted more than it moved: {row:?}", row.device);
    }
}

/// Energy is finite, not negative, in exactly one round, and no more of it is wasted than was drawn.
fn joules_are_conserved(tables: &Tables, events: &[Event]) {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0);
    let drawn: f64 = events
        .iter()
        .map(|event| match event.kind {
            EventKind::DownloadFinished { joules, .. }
            | EventKind::TrainingFinished { joules, .. }
            | EventKind::UploadFinished { joules, .. } => joules,
            _ => 0.0,
        })
        .sum();
    let rounds: f64 = tables.rounds.iter().map(|row| row.joules).sum();
    let reports: f64 = tables.reports.iter().map(|row| row.joules).sum();
    assert!(close(drawn, rounds), "{drawn} J drawn, {rounds} J in rounds");
    assert!(close(drawn, reports), "{drawn} J drawn, {reports} J of devices");
    for row in &tables.reports {
        assert!(row.joules.is_finite() && row.joules >= 0.0, "{row:?}");
        assert!(row.wasted_joules <= row.joules * (1.0 + 1e-9) + 1e-9, "wasted more than it drew: {row:?}");
    }
    assert!(tables.run.idle_joules.is_finite() && tables.run.cost_usd >= 0.0);
}
