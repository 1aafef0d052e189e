//! Runs against what is known of them beforehand. A simulator is trusted for what it was checked against.
//!
//! | oracle | where |
//! |---|---|
//! | Little's law, order statistics of the K-th arrival, conservation of bytes and joules | here; conservation also on every scenario of `random.rs` |
//! | M/M/1 on a link that serves one flow after another | here |
//! | M/M/1 wait on the event queue | `sim/kernel/src/queue/tests.rs` |
//! | M/G/1 processor sharing on a link; fast max-min against naive | `sim/kernel/src/network/link/tests.rs` |
//! | LV08's 0.996079 s, Mathis's TCP bound | `sim/kernel/src/network/tcp.rs` |
//! | moments of Dirichlet proportions and of every distribution | `sim/kernel/src/dirichlet.rs`, `distribution/tests.rs` |
//! | stationary availability | `sim/world/src/availability/tests.rs` |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cotune_kernel::{Bytes, FlowId, SharedLink, Stream, VirtualDuration, VirtualTime};
use cotune_record::{
    Event, EventDigest, EventKind, Outcome, Reason, Status, Tables, Wall, summarize, tabulate,
};
use cotune_tests::{fedavg, plan, play, tiny};
use cotune_world::Plan;
use cotune_world::effect::Message;

use crate::told::{Told, folded, sent};

/// Σ 1/i and Σ 1/i² over the last `k` of 1..=n: mean and variance of the k-th of n exponential variates of mean 1
/// (Rényi 1953).
fn order_statistic(n: u32, k: u32) -> (f64, f64) {
    let terms = (n - k + 1..=n).map(f64::from);
    terms.fold((0.0, 0.0), |(mean, variance), i| (mean + 1.0 / i, variance + 1.0 / (i * i)))
}

#[test]
fn a_round_of_a_cohort_lasts_as_long_as_the_kth_of_n_exponential_devices() {
    const ROUNDS: u32 = 400;
    const MEAN: f64 = 40.0;
    let sizes = [("fleet.devices", "20"), ("data.split.dirichlet.min", "1"), ("budget.rounds", "1000")];
    let sync = "[coordination.sync]\ncohort = 8\novercommit = 2.5";
    let (mut told, mut effects) = Told::open(&format!("{}\n{sync}", fedavg("on = \"proxy\"")), &sizes);
    let mut times = Stream::keyed(3, "test/order-statistics");
    let mut total = 0.0;
    for round in 1..=ROUNDS {
        let opened = told.now;
        let invited = sent(&effects);
        assert_eq!(invited.len(), 20, "all devices are back");
        let mut arrivals: Vec<(VirtualDuration, u32)> = invited
            .iter()
            .map(|(_, device)| (VirtualDuration::from_secs_f64(MEAN * times.exponential()), *device))
            .collect();
        arrivals.sort_unstable();
        let mut closed = None;
        for (after, device) in arrivals {
            told.now = opened + after;
            if folded(&told.receive(round, device, 0.5)).is_some() {
                closed = Some(after.as_secs_f64());
            }
        }
        total += closed.expect("eight of twenty came");
        told.worked(round);
        effects = told.tell(Message::Open);
    }
    let (mean, variance) = order_statistic(20, 8);
    let error = MEAN * (variance / f64::from(ROUNDS)).sqrt();
    let measured = total / f64::from(ROUNDS);
    println!("8th of 20: {measured:.2} s, theory {:.2} ± {error:.2} s", MEAN * mean);
    assert!(
        (measured - MEAN * mean).abs() < 4.0 * error,
        "{measured} s, expected {} ± {error} s",
        MEAN * mean
    );
}

/// Twelve devices whose work outlasts every crash: a round is over with the last of twelve exponential times.
#[test]
fn a_round_that_waits_for_everybody_lasts_as_long_as_the_last_of_n_exponential_devices() {
    const ROUNDS: u32 = 1_500;
    let overrides = [
        ("fleet.devices", "12"),
        ("data.split.dirichlet.min", "1"),
        ("fleet.class.phone.compute", "\"0.001MFLOP/s\""),
        ("fleet.class.gateway.compute", "\"0.001MFLOP/s\""),
        ("budget.rounds", "1500"),
        ("evaluation.every.rounds", "10000"),
    ];
    let crash = "[[fault]]\ncrash = { rate = \"120/h\" }";
    let plan = plan(&tiny(&format!("{}\n{crash}", fedavg("on = \"proxy\"")), &overrides));
    let events = play(&plan, 1, false).events;
    let tables = tabulate(&events).expect("a run");
    assert_eq!(tables.count(Outcome::Not(Reason::Crashed)), 12 * u64::from(ROUNDS));
    // From the first device's start of work, since transfers are no part of it; they differ by less than a second.
    let work = |round: u32| {
        let spans = || tables.reports_of(round).iter().map(|report| report.training);
        let first = spans().filter_map(|span| span.from_s).fold(f64::INFINITY, f64::min);
        spans().filter_map(|span| span.to_s).fold(0.0, f64::max) - first
    };
    let measured = (1..=ROUNDS).map(work).sum::<f64>() / f64::from(ROUNDS);
    let (mean, variance) = order_statistic(12, 12);
    let error = 30.0 * (variance / f64::from(ROUNDS)).sqrt();
    let expected = 30.0 * mean;
    println!("12th of 12: {measured:.2} s, theory {expected:.2} ± {error:.2} s");
    assert!((measured - expected).abs() < 4.0 * error + 1.0, "{measured} s, expected {expected} ± {error} s");
}

/// Poisson arrivals of exponential sizes that a link carries one after another respond in 1 / (μ − λ) on average, and are
/// alone on arrival in a share 1 − ρ of the cases.
#[test]
fn a_link_that_serves_one_flow_at_a_time_is_an_mm1_queue() {
    const FLOWS: u64 = 200_000;
    for rho in [0.3, 0.7] {
        let mut gaps = Stream::keyed_parts(11, &[&"test/mm1/gap", &rho]);
        let mut sizes = Stream::keyed_parts(11, &[&"test/mm1/size", &rho]);
        let mut link = SharedLink::new(1e6); // μ = 1: a flow is a megabyte on average
        let (mut arrival, mut free) = (VirtualTime::ZERO, VirtualTime::ZERO);
        let (mut responses, mut alone) = (0.0, 0);
        for id in 0..FLOWS {
            arrival += VirtualDuration::from_secs_f64(gaps.exponential() / rho);
            alone += u32::from(free <= arrival);
            link.start(
                arrival.max(free),
                FlowId(id),
                Bytes((1e6 * sizes.exponential()) as u64),
                f64::INFINITY,
            );
            let done = link.next_completion().expect("a flow is under way");
            assert_eq!(link.advance(done).len(), 1);
            free = done;
            responses += (free - arrival).as_secs_f64();
        }
        let (mean, theory) = (responses / FLOWS as f64, 1.0 / (1.0 - rho));
        println!("M/M/1 at {rho}: mean response {mean:.4} s, theory {theory:.4} s");
        assert!((mean / theory - 1.0).abs() < 0.03, "at {rho}: mean response {mean}, theory {theory}");
        let share = f64::from(alone) / FLOWS as f64;
        assert!((share - (1.0 - rho)).abs() < 0.01, "at {rho}: {share} find the link idle");
    }
}

/// L = λW (Little 1961): a buffered cloud keeps so many devices at work, and what leaves it per second is that number over
/// the mean time a device takes, whatever goes wrong on the way.
#[test]
fn littles_law_holds_for_the_devices_at_work() {
    const AT_WORK: f64 = 8.0;
    let overrides = [
        ("fleet.devices", "40"),
        ("data.split", "\"iid\""),
        ("fleet.class.phone.compute", "{ lognormal = { median = \"40MFLOP/s\", p95 = \"200MFLOP/s\" } }"),
        ("fleet.class.phone.link.drop", "\"0.1/transfer\""),
        ("budget.rounds", "100000"),
        ("budget.virtual_time", "\"3h\""),
        ("evaluation.every.rounds", "100000"),
    ];
    let tables =
        "[coordination.buffered]\nconcurrency = 8\nbuffer = 5\n[[fault]]\ncrash = { rate = \"30/h\" }";
    let plan = plan(&tiny(&format!("{}\n{tables}", fedavg("on = \"proxy\"")), &overrides));
    let events = play(&plan, 1, false).events;
    let (from, to) = (600.0, 3.0 * 3600.0 - 600.0);
    let mut began: BTreeMap<u32, f64> = BTreeMap::new();
    let (mut left, mut stayed, mut present, mut since, mut crowd) = (0.0, 0.0, 0.0, from, 0.0);
    for event in &events {
        let now = event.seconds();
        if (from..to).contains(&now) {
            present += crowd * (now - since);
            since = now;
        }
        match event.kind {
            EventKind::DownloadStarted { device, .. } => {
                began.insert(device, now);
                crowd += 1.0;
            }
            EventKind::UpdateAccepted { device, .. } | EventKind::NotContributed { device, .. } => {
                let arrival = began.remove(&device).expect("it was at work");
                crowd -= 1.0;
                if (from..to).contains(&now) {
                    left += 1.0;
                    stayed += now - arrival;
                }
            }
            _ => {}
        }
    }
    let (rate, time) = (left / (to - from), stayed / left);
    let mean = present / (since - from);
    println!("Little: L = {mean:.4}, λ = {rate:.4}/s, W = {time:.3} s, λW = {:.4}", rate * time);
    assert!(left > 1_000.0, "only {left} left in {} s", to - from);
    assert!((mean / AT_WORK - 1.0).abs() < 1e-3, "{mean} at work, {AT_WORK} asked for");
    assert!((rate * time / AT_WORK - 1.0).abs() < 0.01, "λW = {rate} · {time} = {}", rate * time);
}

/// A run in which transfers are lost, devices crash, and updates come late or are corrupt.
fn eventful(coordination: &str) -> (Arc<Plan>, Vec<Event>) {
    let overrides = [
        ("fleet.devices", "12"),
        ("data.split.dirichlet.min", "1"),
        ("fleet.class.phone.compute", "{ lognormal = { median = \"40MFLOP/s\", p95 = \"200MFLOP/s\" } }"),
        ("fleet.class.phone.availability", "{ markov = { mean_on = \"90s\", mean_off = \"30s\" } }"),
        ("fleet.class.phone.link.drop", "\"0.1/transfer\""),
        ("fleet.class.gateway.power", "{ train = \"15W\", radio = \"3W\", idle = \"6W\" }"),
        ("budget.rounds", "60"),
    ];
    let faults = "[[fault]]\ncrash = { rate = \"20/h\" }\n[[fault]]\ncorrupt = { fraction = 0.1, how = \"nan\" }\n[[fault]]\ncloud_restart = { at = \"45s\", outage = \"20s\" }";
    let tables = format!("{}\n{coordination}\n{faults}", fedavg("on = \"proxy\""));
    let plan = plan(&tiny(&tables, &overrides));
    let events = play(&plan, 1, false).events;
    (plan, events)
}

/// What was lost in a run that adds up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost {
    /// Bytes of transfers that broke off.
    pub crossed: u64,
    /// Bytes of theirs that never crossed.
    pub uncrossed: u64,
    /// Updates that were accepted into a round which turned out void.
    pub in_void_rounds: u32,
}

/// Adds up by hand what every device moved and drew, from the plan's bytes, the watts of its class and the virtual time between two
/// events, and holds what events, tables and summary say to it.
pub fn adds_up(plan: &Plan, events: &[Event], tables: &Tables) -> Lost {
    let mut lost = Lost::default();
    let (mut sent, mut received, mut joules) = (0, 0, 0.0);
    let mut by_device: BTreeMap<(u32, u32), (u64, f64)> = BTreeMap::new();
    // A device does one thing at a time in a round.
    let mut began: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    // The round whose aggregate an update is part of, and the rounds that have none.
    let (mut aggregates, mut void) = (BTreeMap::new(), BTreeSet::new());
    for event in events {
        match event.kind {
            EventKind::DownloadStarted { round, device, bytes }
            | EventKind::UploadStarted { round, device, bytes } => {
                sent += bytes;
                began.insert((round, device), event.time_ns);
            }
            EventKind::TrainingStarted { round, device, .. } => {
                began.insert((round, device), event.time_ns);
            }
            EventKind::DownloadFinished { round, device, bytes, seconds, joules: j, complete }
            | EventKind::UploadFinished { round, device, bytes, seconds, joules: j, complete } => {
                let whole = match event.kind {
                    EventKind::DownloadFinished { .. } => plan.traffic(device, round).down,
                    _ => plan.traffic(device, round).up,
                };
                if complete {
                    received += bytes
                } else {
                    lost.crossed += bytes;
                    lost.uncrossed += whole.checked_sub(bytes).expect("no more crosses than there is");
                }
                let watts = plan.fleet().class_of(device).power.radio_watts;
                let radio = drawn(watts, began.remove(&(round, device)), event, (seconds, j));
                joules += radio;
                let spent = by_device.entry((round, device)).or_default();
                *spent = (spent.0 + bytes, spent.1 + radio);
            }
            EventKind::TrainingFinished { round, device, seconds, joules: j, .. } => {
                let watts = plan.fleet().class_of(device).power.train_watts;
                let training = drawn(watts, began.remove(&(round, device)), event, (seconds, j));
                joules += training;
                by_device.entry((round, device)).or_default().1 += training;
            }
            EventKind::UpdateAccepted { round, device, aggregate, .. } => {
                aggregates.insert((round, device), aggregate.unwrap_or(round));
            }
            EventKind::RoundClosed { round, void: true, .. } => {
                void.insert(round);
            }
            _ => {}
        }
    }
    assert!(began.is_empty(), "begun and never ended, by round and device: {began:?}");
    assert_eq!(sent, received + lost.crossed + lost.uncrossed, "bytes are made or forgotten");

    let (name, status, digest) = ("oracle", Status::Complete, EventDigest::new());
    let summary = summarize(name, status, tables, &digest, &[], Wall::default());
    let metric = |name: &str| summary.metrics[name];
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
    let crossed = metric("uplink.total_bytes") + metric("downlink.total_bytes");
    assert_eq!(crossed, (received + lost.crossed) as f64);
    // Nobody idles for longer than the run lasts.
    let idle = tables.run.idle_joules;
    let watts: f64 = plan.fleet().iter().map(|view| view.class.power.idle_watts).sum();
    let most = watts * events.last().map_or(0.0, Event::seconds);
    assert!(idle >= 0.0 && idle <= most * (1.0 + 1e-9), "{idle} J of at most {most} J idle");
    let total = joules + idle;
    assert!(near(metric("energy.total_joules"), total), "{total} J by hand");
    let (mut wasted_bytes, mut wasted_joules) = (0, 0.0);
    for report in &tables.reports {
        let key = (report.round, report.device);
        let (bytes, joules) = by_device.get(&key).copied().unwrap_or_default();
        assert_eq!(report.bytes_down + report.bytes_up, bytes, "{report:?}");
        assert!(near(report.joules, joules), "{joules} J by hand: {report:?}");
        let was_accepted = report.outcome == Some(Outcome::Accepted);
        assert_eq!(was_accepted, aggregates.contains_key(&key), "{report:?}");
        let for_nothing = aggregates.get(&key).is_none_or(|aggregate| void.contains(aggregate));
        assert!(!for_nothing || report.weight == 0.0, "it counts for something: {report:?}");
        lost.in_void_rounds += u32::from(for_nothing && was_accepted);
        let wasted = if for_nothing { (bytes, joules) } else { (0, 0.0) };
        assert_eq!(report.wasted_bytes, wasted.0, "{report:?}");
        assert!(near(report.wasted_joules, wasted.1), "{} J by hand: {report:?}", wasted.1);
        (wasted_bytes, wasted_joules) = (wasted_bytes + wasted.0, wasted_joules + wasted.1);
    }
    assert_eq!(metric("wasted.total_bytes"), wasted_bytes as f64);
    let in_rounds: f64 = tables.rounds.iter().map(|row| row.wasted_joules).sum();
    assert!(near(in_rounds, wasted_joules), "{in_rounds} J wasted in rounds, {wasted_joules} J by hand");
    lost
}

/// Watts times the virtual time since something began, which is what its end says of both.
fn drawn(watts: f64, began_ns: Option<u64>, ended: &Event, (seconds, joules): (f64, f64)) -> f64 {
    let began_ns = began_ns.unwrap_or_else(|| panic!("it ends and never began: {ended:?}"));
    let span = (ended.time_ns - began_ns) as f64 / 1e9;
    // A device that would work for years knows the time less finely.
    assert!((seconds - span).abs() <= 1e-8 + 1e-15 * ended.seconds(), "it took {span} s: {ended:?}");
    let drawn = watts * seconds;
    assert!((joules - drawn).abs() <= 1e-12 * drawn, "{watts} W are {drawn} J: {ended:?}");
    drawn
}

#[test]
fn bytes_and_joules_are_conserved() {
    let sync = "[coordination.sync]\ncohort = 5\novercommit = 1.6\ndeadline = \"15s\"\nmin_updates = 4";
    let buffered = "[coordination.buffered]\nconcurrency = 6\nbuffer = 2\nmax_staleness = 2";
    let mut in_void_rounds = 0;
    for coordination in [sync, buffered] {
        let (plan, events) = eventful(coordination);
        let lost = adds_up(&plan, &events, &tabulate(&events).expect("a run"));
        assert!(lost.crossed > 0 && lost.uncrossed > 0, "every transfer arrived");
        in_void_rounds += lost.in_void_rounds;
    }
    assert!(in_void_rounds > 0, "no accepted update is lost with its round");
}

#[test]
fn an_idle_cloud_has_nobody_at_work() {
    let (_, events) = eventful("[coordination.sync]\ndeadline = \"40s\"");
    let ended = events.iter().position(|event| matches!(event.kind, EventKind::RunEnded { .. }));
    let outcomes = |wanted: fn(&EventKind) -> bool| events.iter().filter(|event| wanted(&event.kind)).count();
    let invited: usize = events
        .iter()
        .map(|event| match &event.kind {
            EventKind::RoundOpened { invited, .. } => invited.len(),
            _ => 0,
        })
        .sum();
    let left =
        outcomes(|kind| matches!(kind, EventKind::UpdateAccepted { .. } | EventKind::NotContributed { .. }));
    assert_eq!((ended, left), (Some(events.len() - 1), invited), "a run ends when every outcome is known");
}
