//! What holds for every scenario there is, on as many as fit into a test's time, each made from a seed.
//!
//! A seed that fails prints the command that plays it alone. `COTUNE_SEEDS=5000..9000` plays other seeds, `COTUNE_SEED=17`
//! plays one and prints its scenario.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use cotune_record::{Digest, Event, EventDigest, EventKind, FaultKind, Scope, Tables, tabulate};
use cotune_scenario::Scenario;
use cotune_scenario::coordination::Coordination;
use cotune_tests::{checked, kept, lab, plan, play, play_delayed, random, read_snapshot, try_plan};
use cotune_world::method::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, Need, State, Subject, Update,
};
use cotune_world::payload::Payload;
use cotune_world::{Lab, Plan};

use crate::oracles;

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
/// played, as most of many have to be: a rule that is held against nothing says nothing. Returns how many were.
fn for_each(test: &str, default: Range<u64>, check: impl Fn(u64) -> bool) -> usize {
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
    played
}

#[test]
fn a_schedule_keeps_the_rules_whatever_happens() {
    for_each("a_schedule_keeps_the_rules_whatever_happens", SCHEDULES, |seed| {
        let scenario = scenario(seed, false);
        let Some(first) = drawn(&scenario) else { return false };
        let played = play(&first, 1, false);
        keeps_the_rules(&first, &played.events);
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
    let folded = Cell::new(0);
    let played = for_each("learning_keeps_the_rules_whatever_happens", LEARNING, |seed| {
        let scenario = scenario(seed, true);
        let Some(plan) = drawn(&scenario) else { return false };
        let (watched, folds) = watched(&scenario, &plan);
        let played = play(&watched, 2, true);
        keeps_the_rules(&watched, &played.events);
        let folds = std::mem::take(&mut *folds.lock().expect("no job panics"));
        folded.set(folded.get() + no_update_is_folded_twice(&folds, &played.events));
        assert_eq!(play_delayed(&plan, 4, true, Some(seed)).digest, played.digest, "with other threads");
        assert_eq!(play(&plan, 1, false).schedule_digest, played.schedule_digest, "without learning");
        goes_on(&plan, true, &played.events, seed);
        true
    });
    println!("{} updates were folded", folded.get());
    assert!(played < MANY / 2 || folded.get() > 0, "in {played} runs no update was folded");
}

/// What a method was given to fold for the aggregate of a round: who sent it, and its digest.
#[derive(Debug)]
struct Fold {
    round: u32,
    updates: Vec<(u32, Digest)>,
}

type Folds = Arc<Mutex<Vec<Fold>>>;

/// The method of a plan, with a note of everything that it folds.
#[derive(Debug)]
struct Watched {
    plan: Arc<Plan>,
    folds: Folds,
}

/// The same plan with its method watched, and what that notes.
fn watched(scenario: &Scenario, plan: &Arc<Plan>) -> (Arc<Plan>, Folds) {
    let folds = Folds::default();
    let method = Watched { plan: Arc::clone(plan), folds: Arc::clone(&folds) };
    let watched = Plan::draw_with(Arc::new(lab(scenario)), Box::new(method));
    (Arc::new(watched.unwrap_or_else(|error| panic!("{error}"))), folds)
}

impl Method for Watched {
    fn name(&self) -> &'static str {
        self.plan.method().name()
    }

    fn citation(&self) -> &str {
        self.plan.method().citation()
    }

    fn needs(&self) -> Vec<Need> {
        self.plan.method().needs()
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        self.plan.method().start_cloud(lab)
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        self.plan.method().start_device(lab, model)
    }

    fn broadcast(&self, lab: &Lab, cloud: &State, model: &str, round: u32) -> Payload {
        self.plan.method().broadcast(lab, cloud, model, round)
    }

    fn downlink(&self, lab: &Lab, model: &str, round: u32) -> Payload {
        self.plan.method().downlink(lab, model, round)
    }

    fn uplink(&self, lab: &Lab, model: &str, round: u32) -> Payload {
        self.plan.method().uplink(lab, model, round)
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        self.plan.method().device_work(lab, task, state, received)
    }

    fn fold(&self, lab: &Lab, cloud: State, updates: &[Update]) -> State {
        self.plan.method().fold(lab, cloud, updates)
    }

    /// Follows the fold, of the same updates, and knows the round.
    fn cloud_work(&self, lab: &Lab, task: &CloudTask, state: State, updates: &[Update]) -> CloudOutcome {
        let digest = |update: &Update| Digest::from_bytes(*update.payload.digest().as_bytes());
        let updates_noted = updates.iter().map(|update| (update.device, digest(update))).collect();
        let fold = Fold { round: task.round, updates: updates_noted };
        self.folds.lock().expect("no job panics").push(fold);
        self.plan.method().cloud_work(lab, task, state, updates)
    }

    fn device_load(&self, model: &str, examples: u32, round: u32) -> Load {
        self.plan.method().device_load(model, examples, round)
    }

    fn cloud_load(&self, round: u32) -> Load {
        self.plan.method().cloud_load(round)
    }

    fn edge_subject(&self, cloud: &State, device: &State, model: &str) -> Subject {
        self.plan.method().edge_subject(cloud, device, model)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        self.plan.method().cloud_subjects(cloud)
    }
}

/// Every update that was folded is what its device sent and was accepted into that aggregate, and none was folded before. Returns how
/// many there were.
fn no_update_is_folded_twice(folds: &[Fold], events: &[Event]) -> usize {
    let (mut sent, mut latest, mut altered) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut accepted: BTreeMap<u32, Vec<(u32, u32, u32)>> = BTreeMap::new();
    let (mut aggregates, mut warnings) = (BTreeSet::new(), Vec::new());
    for event in events {
        match &event.kind {
            EventKind::TrainingFinished { round, device, update: Some(update), .. } => {
                sent.insert((*round, *device), *update);
                latest.insert(*device, *round);
            }
            EventKind::Fault { kind: FaultKind::Corrupt, device: Some(device), .. } => {
                altered.insert((latest[device], *device));
            }
            EventKind::UpdateAccepted { round, device, staleness, aggregate, .. } => {
                let into = aggregate.unwrap_or(*round);
                accepted.entry(into).or_default().push((*round, *device, *staleness));
            }
            EventKind::CloudTrained { round, .. } => {
                aggregates.insert(*round);
            }
            EventKind::Warning { text, .. } => warnings.push(text.as_str()),
            _ => {}
        }
    }
    let (mut rounds, mut digests) = (BTreeSet::new(), BTreeSet::new());
    for Fold { round: into, updates } in folds {
        assert!(rounds.insert(*into), "the cloud worked twice on round {into}");
        let mut open = accepted.remove(into).unwrap_or_default();
        for (device, digest) in updates {
            assert!(digests.insert(*digest), "device {device}: folded twice, at last in round {into}");
            // What was altered on its way, or moved from an older model onto the newest, has another digest than what was sent.
            let is_it = |(round, sender, staleness): &(u32, u32, u32)| {
                let key = (*round, *sender);
                let differs = *staleness > 0 || altered.contains(&key);
                sender == device && (differs || sent.get(&key) == Some(digest))
            };
            let place = open.iter().position(is_it);
            let place = place.unwrap_or_else(|| panic!("device {device}: not accepted into round {into}"));
            open.remove(place);
        }
        for (_, device, _) in open {
            let said = format!("the update of device {device} is left out of ");
            let is_left_out = warnings.iter().any(|text| text.starts_with(&said));
            assert!(is_left_out, "device {device}: accepted into round {into}, and not folded");
        }
    }
    assert!(aggregates.is_subset(&rounds), "made of nothing: {:?}", &aggregates - &rounds);
    digests.len()
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
fn keeps_the_rules(plan: &Plan, events: &[Event]) {
    assert!(events.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns), "time runs backwards");
    assert!(matches!(events.last().map(|event| &event.kind), Some(EventKind::RunEnded { .. })), "no end");
    every_invitation_has_one_outcome(events);
    an_aggregate_is_of_what_arrived(events);
    let tables = tabulate(events).unwrap_or_else(|error| panic!("{error}"));
    no_update_comes_after_its_deadline(plan.scenario(), &tables, events);
    bytes_are_conserved(&tables, events);
    oracles::adds_up(plan, events, &tables);
    assert!(tables.run.cost_usd >= 0.0);
}

/// Whole updates are accepted once, after they arrived; a round closes with those that were accepted into it; and their age is
/// the number of aggregates that were made meanwhile.
fn an_aggregate_is_of_what_arrived(events: &[Event]) {
    let mut arrived = BTreeSet::new();
    let mut made: BTreeSet<u32> = BTreeSet::new();
    let mut into: BTreeMap<u32, u32> = BTreeMap::new();
    for event in events {
        match event.kind {
            EventKind::UploadFinished { round, device, complete: true, .. } => {
                arrived.insert((round, device));
            }
            EventKind::UpdateAccepted { round, device, staleness, aggregate, .. } => {
                let has_arrived = arrived.remove(&(round, device));
                assert!(has_arrived, "device {device}: accepted in round {round}, and nothing came");
                let aggregate = aggregate.unwrap_or(round);
                *into.entry(aggregate).or_default() += 1;
                let meanwhile = made.range(round..aggregate).count();
                assert_eq!(staleness as usize, meanwhile, "device {device}: from round {round}");
            }
            EventKind::RoundClosed { round, accepted, void, .. } => {
                assert_eq!(into.remove(&round).unwrap_or(0), accepted, "updates of round {round}");
                if !void {
                    made.insert(round);
                }
            }
            _ => {}
        }
    }
    assert!(into.is_empty(), "accepted into rounds that never closed: {into:?}");
}

/// So no update is accepted twice.
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
