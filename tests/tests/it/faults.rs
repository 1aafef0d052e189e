//! What goes wrong, and what becomes of those whom it hits: every reason for not contributing, and every fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_record::{
    Event, EventDigest, EventKind, FaultKind, Outcome, Reason, Status, Tables, Wall, summarize, tabulate,
};
use cotune_tests::{co_plms, fedavg, fedmkt, plan, play, relay, tiny};
use cotune_world::Plan;
use cotune_world::effect::{Effect, Message};
use cotune_world::method::Update;
use cotune_world::payload::{Part, Payload};

use crate::told::{Told, folded, opens_after, outcomes, sent, void};

/// A federation of twelve in which everything goes wrong that can, in phases of an hour or so of virtual time.
const TROUBLED: &[(&str, &str)] = &[
    ("fleet.devices", "12"),
    ("data.split.dirichlet.min", "1"),
    ("budget.rounds", "80"),
    // Comes and goes within a transfer, and within a task.
    ("fleet.class.phone.availability", "{ markov = { mean_on = \"40s\", mean_off = \"30s\" } }"),
    ("fleet.class.phone.compute", "\"20MFLOP/s\""),
    ("fleet.class.phone.link.rtt", "\"1s\""),
    ("fleet.class.phone.link.drop", "\"0.1/transfer\""),
    ("fleet.class.gateway.compute", "\"30MFLOP/s\""),
    // The work nearly fills the memory, of which a part is in use.
    ("fleet.class.gateway.memory_free", "0.5"),
];

const FAULTS: &str = "
[[fault]]
crash = { class = \"gateway\", rate = \"60/h\" }
[[fault]]
corrupt = { class = \"gateway\", fraction = 0.3, how = \"nan\" }
";

/// The tiny federation in trouble, with the gateways' memory such that half of the invitations find too little.
fn troubled(tables: &str) -> Arc<Plan> {
    let tables = format!("{tables}\n{FAULTS}");
    let easy = plan(&tiny(&tables, TROUBLED));
    let gateway = easy.fleet().iter().find(|view| &*view.class.name == "gateway").expect("there is one");
    let memory = format!("\"{}B\"", (1.2 * easy.device_cost(gateway.device, 1).memory_bytes).ceil());
    let overrides: Vec<_> =
        TROUBLED.iter().copied().chain([("fleet.class.gateway.memory", memory.as_str())]).collect();
    plan(&tiny(&tables, &overrides))
}

fn counted(tables: &Tables) -> BTreeMap<Reason, u64> {
    let counts = Reason::ALL.into_iter().map(|reason| (reason, tables.count(Outcome::Not(reason))));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Every reason by name in the summary: `updates.<reason>`.
fn summarized(events: &[Event], tables: &Tables) -> BTreeMap<String, f64> {
    let mut digest = EventDigest::new();
    events.iter().for_each(|event| digest.push(event));
    summarize("troubled", Status::Complete, tables, &digest, &[], Wall::default()).metrics
}

#[test]
fn every_reason_occurs_and_is_counted_in_tables_and_summary() {
    let mut seen: BTreeMap<Reason, u64> = BTreeMap::new();
    let sync = "[coordination.sync]\ncohort = 6\novercommit = 1.5\ndeadline = \"30s\"\nmin_updates = 1";
    let buffered = "[coordination.buffered]\nconcurrency = 8\nbuffer = 1\nmax_staleness = 1";
    for coordination in [sync, buffered] {
        let plan = troubled(&format!("{}\n{coordination}", fedavg("on = \"proxy\"")));
        let events = play(&plan, 1, false).events;
        let tables = tabulate(&events).expect("every invitation has one outcome");
        assert!(tables.reports.iter().all(|report| report.outcome.is_some()));
        let metrics = summarized(&events, &tables);
        let counts = counted(&tables);
        for reason in Reason::ALL {
            let count = counts.get(&reason).copied().unwrap_or(0);
            assert_eq!(metrics[&format!("updates.{reason}")], count as f64, "{reason}");
        }
        let all: f64 = Reason::ALL.iter().map(|reason| metrics[&format!("updates.{reason}")]).sum();
        assert_eq!(all + metrics["updates.accepted"], tables.reports.len() as f64);
        for (reason, count) in counts {
            *seen.entry(reason).or_default() += count;
        }
    }
    // Batteries have tests of their own.
    let missing: Vec<&Reason> = Reason::ALL
        .iter()
        .filter(|reason| **reason != Reason::Battery && !seen.contains_key(reason))
        .collect();
    assert!(missing.is_empty(), "{missing:?} never occurs: {seen:?}");
}

/// The faults of a kind, with when and whom they struck.
fn struck(events: &[Event], wanted: FaultKind) -> Vec<(f64, Option<u32>)> {
    let fault = |event: &Event| match &event.kind {
        EventKind::Fault { kind, device, .. } if *kind == wanted => Some((event.seconds(), *device)),
        _ => None,
    };
    events.iter().filter_map(fault).collect()
}

#[test]
fn a_partition_breaks_transfers_and_keeps_a_class_out_while_it_lasts() {
    // A round takes about 20 s of work on a phone; the partition begins while some of the first round are at it.
    let (from, to) = (15.0, 100.0);
    let slow = [
        ("fleet.devices", "6"),
        ("data.split.dirichlet.min", "2"),
        ("fleet.class.phone.compute", "\"20MFLOP/s\""),
        ("fleet.class.gateway.compute", "\"60MFLOP/s\""),
        ("budget.rounds", "1000"),
        ("budget.virtual_time", "\"3min\""),
    ];
    let fault = format!(
        "[[fault]]\npartition = {{ class = \"phone\", at = \"{from}s\", lasts = \"{}s\" }}",
        to - from
    );
    let plan = plan(&tiny(&format!("{}\n{fault}", fedavg("on = \"proxy\"")), &slow));
    let is_phone = |device: u32| &*plan.fleet().class_of(device).name == "phone";
    let events = play(&plan, 1, false).events;
    assert_eq!(struck(&events, FaultKind::Partition), [(from, None)]);
    let (mut lost, mut alone, mut after) = (0, 0, 0);
    for event in &events {
        let now = event.seconds();
        match &event.kind {
            EventKind::RoundOpened { invited, .. } => {
                let phones = invited.iter().filter(|device| is_phone(**device)).count();
                if (from..to).contains(&now) {
                    assert_eq!(phones, 0, "a phone was invited at {now} s");
                    alone += 1;
                } else {
                    after += usize::from(now >= to && phones > 0);
                }
            }
            EventKind::UpdateAccepted { device, .. } => {
                assert!(!is_phone(*device) || !(from..to).contains(&now), "device {device} at {now} s");
            }
            EventKind::NotContributed { device, reason, .. } => {
                assert!(
                    is_phone(*device) && (from..to).contains(&now),
                    "device {device}: {reason} at {now} s"
                );
                assert_eq!(*reason, Reason::UploadLost, "what is computed goes on, and finds no way out");
                lost += 1;
            }
            _ => {}
        }
    }
    assert!(
        lost > 0 && alone > 1 && after > 0,
        "{lost} lost, {alone} rounds without phones, {after} with them again"
    );
}

#[test]
fn a_restart_loses_the_round_in_progress_and_goes_on_from_the_last_aggregate() {
    let (at, back) = (50.0, 80.0);
    let fault = format!("[[fault]]\ncloud_restart = {{ at = \"{at}s\", outage = \"{}s\" }}", back - at);
    for coordination in ["[coordination.sync]", "[coordination.buffered]\nconcurrency = 5\nbuffer = 3"] {
        let slow = [
            ("fleet.devices", "6"),
            ("data.split.dirichlet.min", "2"),
            ("fleet.class.phone.compute", "\"20MFLOP/s\""),
            ("fleet.class.gateway.compute", "\"30MFLOP/s\""),
            ("budget.rounds", "1000"),
            ("budget.virtual_time", "\"3min\""),
        ];
        let plan = plan(&tiny(&format!("{}\n{coordination}\n{fault}", fedavg("on = \"proxy\"")), &slow));
        let events = play(&plan, 1, false).events;
        let tables = tabulate(&events).expect("every invitation has one outcome");
        assert_eq!(struck(&events, FaultKind::CloudRestart), [(at, None)]);
        let lost: Vec<_> = tables.rounds.iter().filter(|round| round.void).collect();
        assert_eq!(lost.iter().map(|round| round.closed_s).collect::<Vec<_>>(), [Some(at)], "{coordination}");
        let next = &tables.rounds[lost[0].round as usize];
        assert_eq!(next.opened_s, back, "{coordination}: nothing opens while the cloud is away");
        let during = |report: &&cotune_record::ReportRow| {
            report.ended_s.is_some_and(|ended| (at..back).contains(&ended))
        };
        let hit: Vec<_> = tables.reports.iter().filter(during).collect();
        assert!(!hit.is_empty(), "{coordination}: nobody was at work");
        for report in hit {
            let lost = [Reason::DownloadLost, Reason::UploadLost, Reason::Offline]
                .map(|why| Some(Outcome::Not(why)));
            assert!(
                lost.contains(&report.outcome),
                "{coordination}: {:?} while the cloud is away",
                report.outcome
            );
        }
        // Whatever the lost round cost is wasted, also what was accepted into it.
        for report in tables.reports_of(lost[0].round) {
            if report.outcome != Some(Outcome::Accepted) || report.ended_s <= Some(at) {
                assert_eq!(
                    report.wasted_bytes,
                    report.bytes_down + report.bytes_up,
                    "device {}",
                    report.device
                );
            }
        }
    }
}

#[test]
fn a_cloud_that_stops_forgets_its_round_and_nothing_else() {
    let fault = "[[fault]]\ncloud_restart = { at = \"20s\", outage = \"30s\" }";
    for (coordination, closing) in
        [("[coordination.sync]\ncohort = 2\novercommit = 1.5", 2), ("[coordination.buffered]\nbuffer = 2", 2)]
    {
        let (mut told, _) =
            Told::open(&format!("{}\n{coordination}\n{fault}", co_plms("")), &[("budget.rounds", "9")]);
        let before = told.cloud.state().clone();
        let working = (0..closing).map(|device| told.receive(1, device, 0.5)).last().expect("two came");
        assert!(folded(&working).is_some(), "the cloud is at work");

        // A message at the instant of the restart finds the round lost already.
        told.now = VirtualTime::ZERO + VirtualDuration::from_secs(20);
        let effects = told.receive(1, 2, 0.5);
        assert!(void(&effects), "{coordination}");
        assert_eq!(outcomes(&effects), [(2, Some(Reason::Late))], "nobody remembers that it was asked");
        assert_eq!(opens_after(&effects), Some(30.0));
        assert!(told.tell(Message::Strike).is_empty(), "it strikes once");

        // The work that was lost has no result, and nothing opens before the cloud is back.
        let done = told.worked(1);
        assert!(done.is_empty(), "{done:?}");
        assert!(told.tell(Message::Open).is_empty());
        assert!(told.cloud.state() == &before);
        told.now = VirtualTime::ZERO + VirtualDuration::from_secs(50);
        assert_eq!(sent(&told.tell(Message::Open)), [(2, 0), (2, 1), (2, 2)], "{coordination}");
    }
}

/// Three rounds of six devices, some of which are corrupt.
fn corrupted(how: &str, aggregate: &str) -> Vec<Event> {
    corrupted_with(how, aggregate, "")
}

/// The same with more keys of the method.
fn corrupted_with(how: &str, aggregate: &str, keys: &str) -> Vec<Event> {
    let fault = format!("[[fault]]\ncorrupt = {{ fraction = 0.2, {how} }}");
    let sizes = [
        ("fleet.devices", "6"),
        ("data.split.dirichlet.min", "2"),
        ("budget.rounds", "3"),
        ("evaluation.every.rounds", "1"),
    ];
    let method = fedavg(&format!("on = \"proxy\"\naggregate = \"{aggregate}\"\n{keys}"));
    play(&plan(&tiny(&format!("{method}\n{fault}"), &sizes)), 2, true).events
}

/// Devices whose updates were left out of a round's work, by the warnings that say so.
fn left_out<'e>(kinds: impl IntoIterator<Item = &'e EventKind>) -> Vec<u32> {
    let device = |kind: &EventKind| match kind {
        EventKind::Warning { text, learned: true, .. } => {
            let (device, _) = text.strip_prefix("the update of device ")?.split_once(" is left out of ")?;
            device.parse().ok()
        }
        _ => None,
    };
    kinds.into_iter().filter_map(device).collect()
}

/// The same of a run.
fn left_out_of(events: &[Event]) -> Vec<u32> {
    left_out(events.iter().map(|event| &event.kind))
}

/// The same of what a cloud answers.
fn left_out_by(effects: &[Effect]) -> Vec<u32> {
    left_out(effects.iter().filter_map(|effect| match effect {
        Effect::Record(kind) => Some(kind),
        _ => None,
    }))
}

/// The proxy's loss after the last round.
fn loss(events: &[Event]) -> f64 {
    let score =
        |event: &Event| match &event.kind {
            EventKind::Evaluated {
                scope: cotune_record::Scope::Proxy, metric, domain: None, value, ..
            } if metric == "loss" => *value,
            _ => None,
        };
    events.iter().rev().find_map(score).expect("the proxy is scored")
}

#[test]
fn an_update_that_is_no_number_is_refused_every_time() {
    let events = corrupted("how = \"nan\"", "mean");
    let corrupt = struck(&events, FaultKind::Corrupt);
    assert_eq!(corrupt.len(), 3, "one of six devices, in three rounds");
    let device = corrupt[0].1.expect("a device sends it");
    let tables = tabulate(&events).expect("a run");
    for report in tables.reports.iter().filter(|report| report.device == device) {
        assert_eq!(report.outcome, Some(Outcome::Not(Reason::Rejected)));
    }
    assert_eq!(tables.count(Outcome::Accepted), 15);
    assert!(loss(&events).is_finite());
}

/// A fifth of the devices, one of six, sends its update fifty times too large: the mean is ruined, every robust rule holds.
#[test]
fn robust_rules_hold_where_the_mean_does_not() {
    let fast = "optimizer.adamw = { lr = 0.05 }";
    let of =
        |factor: &str, rule: &str| corrupted_with(&format!("how = \"scale\", factor = {factor}"), rule, fast);
    let honest = loss(&of("1.0", "mean"));
    let ruined = loss(&of("-50", "mean"));
    assert!(
        ruined.is_nan() || ruined > 2.0 * honest,
        "the mean comes to {ruined}, without corruption to {honest}"
    );
    for rule in ["norm-clip", "median", "trimmed-mean", "krum"] {
        let events = of("-50", rule);
        assert_eq!((struck(&events, FaultKind::Corrupt).len(), left_out_of(&events).len()), (3, 0));
        let loss = loss(&events);
        assert!(loss < 1.1 * honest, "{rule} comes to {loss}, the mean without corruption to {honest}");
    }
}

/// What is a thousand times too large and more never reaches a mean, and the log says so.
#[test]
fn a_huge_update_is_left_out_of_the_mean() {
    let honest = corrupted("how = \"scale\", factor = 1.0", "mean");
    assert!(left_out_of(&honest).is_empty(), "nobody is without a reason");
    for rule in ["mean", "uniform"] {
        let events = corrupted("how = \"scale\", factor = -100000", rule);
        assert_eq!(left_out_of(&events).len(), 3, "{rule}: one of six devices, in three rounds");
        let (loss, honest) = (loss(&events), loss(&honest));
        assert!(loss < 1.1 * honest, "{rule} comes to {loss}, without corruption to {honest}");
    }
}

/// One device of a hundred sends what it should not: values that are no numbers, another shape, or numbers that are huge.
#[test]
fn one_bad_update_in_a_hundred_never_reaches_the_aggregate_unless_a_robust_rule_takes_it() {
    let sizes = [
        ("fleet.devices", "100"),
        ("data.corpus.builtin.examples", "400"),
        ("data.split", "\"iid\""),
        ("coordination.sync.cohort", "100"),
        ("coordination.sync.overcommit", "1.0"),
    ];
    let bad = 41;
    let rules = [
        "\"mean\"",
        "\"uniform\"",
        "\"norm-clip\"",
        "\"median\"",
        "{ trimmed-mean = { trim = 0.02 } }",
        "\"krum\"",
    ];
    for rule in rules {
        let method = fedavg(&format!("on = \"proxy\"\naggregate = {rule}"));
        let plan = plan(&tiny(&format!("{method}\n[coordination.sync]\n"), &sizes));
        for how in ["nan", "infinite", "longer", "shorter", "of another model", "without parts", "huge"] {
            let (mut told, effects) = Told::of(Arc::clone(&plan));
            assert_eq!(sent(&effects).len(), 100, "everybody is invited");
            let before = told.cloud.state().clone();
            let mut came = Vec::new();
            for device in 0..100 {
                let mut payload = told.update(device, 0.5);
                if device == bad {
                    spoil(&mut payload, how);
                }
                came.extend(told.receive_payload(1, device, payload));
            }
            let is_bad = |(device, _): &(u32, Option<Reason>)| *device == bad;
            let outcomes = outcomes(&came);
            let expected = if how == "huge" { None } else { Some(Reason::Rejected) };
            assert_eq!(outcomes.iter().copied().find(is_bad), Some((bad, expected)), "{rule}, {how}");
            assert_eq!(
                outcomes.iter().filter(|(_, reason)| reason.is_none()).count(),
                if how == "huge" { 100 } else { 99 }
            );
            let updates = folded(&came).expect("the cloud goes to work");
            let is_plain = ["\"mean\"", "\"uniform\""].contains(&rule);
            let is_borne = how == "huge" && !is_plain;
            assert_eq!(updates.iter().any(|update| update.device == bad), is_borne, "{rule}, {how}");
            assert_eq!(updates.len(), if is_borne { 100 } else { 99 }, "{rule}, {how}");

            let after = told.plan.method().fold(told.plan.lab(), before.clone(), updates);
            let moved = |(after, before): (&f32, &f32)| f64::from(after - before).abs();
            let most =
                after["proxy"].values.iter().zip(&before["proxy"].values).map(moved).fold(0.0, f64::max);
            // Everybody else moved no value by more than this.
            let honest = told.update(0, 0.5);
            let honest =
                honest.values("proxy").expect("it is of the proxy").iter().zip(&before["proxy"].values);
            let bound = honest.map(moved).fold(0.0, f64::max);
            assert!(most <= bound * (1.0 + 1e-6), "{rule}, {how}: {most}, others {bound}");
        }
    }
}

/// Makes an update what a broken or hostile device might send.
fn spoil(payload: &mut Payload, how: &str) {
    let Some(Part::Adapter { model, values }) = payload.parts.first_mut() else {
        panic!("an adapter comes first")
    };
    match how {
        "nan" => values[7] = f32::NAN,
        "infinite" => values[7] = f32::INFINITY,
        "longer" => values.push(0.0),
        "shorter" => drop(values.pop()),
        "of another model" => *model = "cloud".to_owned(),
        "without parts" => payload.parts.clear(),
        _ => values.iter_mut().for_each(|value| *value = 1e30 * (*value + 1.0)),
    }
}

/// Updates that are huge or no numbers from one of three devices, whatever the coordination and the method: where a round has
/// one update, where every architecture has its own mean, where a robust rule sees no control variates, where losses and
/// logits travel. What happens when is the same without learning.
#[test]
fn one_bad_device_spoils_nothing_whatever_the_coordination_and_the_method() {
    const NAN: &str = "how = \"nan\"";
    const HUGE: &str = "how = \"scale\", factor = 1e20";
    const TURNED: &str = "how = \"scale\", factor = -1e20";
    let scaffold = "local = \"scaffold\"\noptimizer.sgd = { lr = 0.1 }";
    let methods: [(String, &[&str]); 6] = [
        (fedavg("on = \"edge\""), &[NAN, HUGE, TURNED]),
        (fedavg(&format!("on = \"edge\"\n{scaffold}")), &[NAN, HUGE, TURNED]),
        (fedavg(&format!("on = \"proxy\"\naggregate = \"median\"\n{scaffold}")), &[TURNED]),
        (fedmkt(""), &[NAN, HUGE, TURNED]),
        (fedmkt(&relay("")), &[TURNED]),
        (co_plms(""), &[TURNED]),
    ];
    let coordinations = [
        ("[coordination.sync]", "2"),
        ("[coordination.buffered]\nbuffer = 2", "4"),
        ("[coordination.async]", "6"),
    ];
    for (method, hows) in &methods {
        for (coordination, rounds) in coordinations {
            for how in *hows {
                let fault = format!("[[fault]]\ncorrupt = {{ fraction = 0.3, {how} }}");
                let tables = format!("{method}\n{coordination}\n{fault}");
                let alike = [
                    ("fleet.class.gateway.compute", "\"1GFLOP/s\""),
                    ("fleet.class.gateway.link", "{ down = \"20Mbit/s\", up = \"5Mbit/s\", rtt = \"40ms\" }"),
                    ("budget.rounds", rounds),
                    ("evaluation.every.rounds", rounds),
                ];
                let plan = plan(&tiny(&tables, &alike));
                let played = play(&plan, 2, true);
                let events = &played.events;
                assert_eq!(play(&plan, 1, false).schedule_digest, played.schedule_digest, "{tables}");

                let bad = struck(events, FaultKind::Corrupt)[0].1.expect("a device sends it");
                let counted = |kind: fn(&EventKind) -> Option<u32>| {
                    events.iter().filter(|event| kind(&event.kind) == Some(bad)).count()
                };
                let accepted = counted(|kind| match kind {
                    EventKind::UpdateAccepted { device, .. } => Some(*device),
                    _ => None,
                });
                let rejected = counted(|kind| match kind {
                    EventKind::NotContributed { device, reason: Reason::Rejected, .. } => Some(*device),
                    _ => None,
                });
                let left_out = left_out_of(events);
                if *how == NAN {
                    assert!(accepted == 0 && rejected > 0 && left_out.is_empty(), "{tables}: {left_out:?}");
                } else {
                    assert!(accepted > 0 && rejected == 0, "{tables}: {accepted} and {rejected}");
                    assert_eq!(left_out, vec![bad; accepted], "{tables}");
                }

                let mut scores = 0;
                for event in events {
                    match &event.kind {
                        EventKind::Evaluated { metric, value: Some(value), .. } => {
                            assert!(value.is_finite(), "{tables}: {metric} is {value}");
                            scores += 1;
                        }
                        EventKind::Fault { kind: FaultKind::Panic, detail, .. } => {
                            panic!("{tables}: {detail}")
                        }
                        EventKind::Warning { text, skipped, .. } => {
                            assert_eq!(*skipped, 0, "{tables}: {text}")
                        }
                        _ => {}
                    }
                }
                assert!(scores > 0, "{tables}");
            }
        }
    }
}

#[test]
fn a_huge_update_that_is_alone_in_its_round_is_left_out_from_the_first_round_on() {
    // Whatever the rule: one update is outvoted by nobody.
    for rule in ["mean", "norm-clip", "median"] {
        let method = fedavg(&format!("on = \"proxy\"\naggregate = \"{rule}\""));
        let (mut told, _) = Told::open(&format!("{method}\n[coordination.async]"), &[("budget.rounds", "9")]);
        for (device, is_bad) in [(0, true), (1, false), (2, true)] {
            let round = device + 1;
            let mut payload = told.update(device, 0.5);
            if is_bad {
                spoil(&mut payload, "huge");
            }
            // All three were sent the first model.
            let effects = told.receive_payload(1, device, payload);
            assert_eq!(outcomes(&effects), [(device, None)], "{rule}");
            assert_eq!(folded(&effects).map(<[Update]>::len), Some(usize::from(!is_bad)), "{rule}");
            assert_eq!(left_out_by(&effects), if is_bad { vec![device] } else { Vec::new() }, "{rule}");
            told.worked(round);
            told.tell(Message::Open);
        }
    }
}

/// Devices whose updates a cloud works on, of three that all are accepted: `spoil` is done to that of device 1.
fn taken(plan: &Arc<Plan>, spoil: impl Fn(&mut Part)) -> Vec<u32> {
    let (mut told, _) = Told::of(Arc::clone(plan));
    let mut came = Vec::new();
    for device in 0..3 {
        let mut payload = told.update(device, 0.5);
        if device == 1 {
            payload.parts.iter_mut().for_each(&spoil);
        }
        came.extend(told.receive_payload(1, device, payload));
    }
    assert_eq!(outcomes(&came), [(0, None), (1, None), (2, None)]);
    let devices: Vec<u32> =
        folded(&came).expect("the cloud goes to work").iter().map(|update| update.device).collect();
    let missing: Vec<u32> = (0..3).filter(|device| !devices.contains(device)).collect();
    assert_eq!(left_out_by(&came), missing, "whatever is left out is said");
    devices
}

#[test]
fn losses_and_logits_that_no_model_has_are_left_out() {
    let plan = plan(&tiny(&fedmkt(""), &[]));
    for (loss, logit, is_taken) in
        [(0.0, 9e3, true), (70.0, -9e3, true), (-0.5, 0.0, false), (0.0, 2e4, false), (0.0, -2e4, false)]
    {
        let devices = taken(&plan, |part| match part {
            Part::Losses { values, .. } => values[0] = loss,
            Part::Logits { values, .. } => values[0] = logit,
            _ => {}
        });
        assert_eq!(devices.contains(&1), is_taken, "a loss of {loss}, a logit of {logit}");
        assert!(devices.contains(&0) && devices.contains(&2));
    }
}

#[test]
fn a_huge_control_variate_is_left_out_whatever_the_rule() {
    for rule in ["mean", "uniform", "norm-clip", "median", "trimmed-mean", "krum"] {
        let method = fedavg(&format!(
            "on = \"proxy\"\naggregate = \"{rule}\"\nlocal = \"scaffold\"\noptimizer.sgd = {{ lr = 0.1 }}"
        ));
        let plan = plan(&tiny(&method, &[]));
        for (size, expected) in [(1.0, vec![0, 1, 2]), (1e20, vec![0, 2]), (-1e20, vec![0, 2])] {
            let devices = taken(&plan, |part| {
                if let Part::Control { values, .. } = part {
                    values.fill(size);
                }
            });
            assert_eq!(devices, expected, "{rule}, {size}");
        }
    }
}

#[test]
fn flipped_bits_never_stop_an_update_and_the_schedule_is_the_same_without_learning() {
    let fault = "[[fault]]\ncorrupt = { fraction = 1.0, how = \"bit-flip\" }";
    let tables = format!("{}\n{fault}", fedavg("on = \"edge\"\naggregate = \"median\""));
    let plan = plan(&tiny(&tables, &[]));
    let played = play(&plan, 2, true);
    assert_eq!(struck(&played.events, FaultKind::Corrupt).len(), 6, "three devices in two rounds");
    let tables = tabulate(&played.events).expect("a run");
    assert_eq!(tables.count(Outcome::Accepted), 6);
    assert_eq!(play(&plan, 1, false).schedule_digest, played.schedule_digest);
}

#[test]
fn an_effect_of_a_fault_is_an_effect_of_the_cloud() {
    let fault = "[[fault]]\npartition = { at = \"1h\", lasts = \"1min\" }";
    let (mut told, _) = Told::open(&format!("{}\n{fault}", fedavg("on = \"proxy\"")), &[]);
    told.now = VirtualTime::ZERO + VirtualDuration::from_secs(3600);
    let effects = told.tell(Message::Strike);
    let [Effect::Record(EventKind::Fault { kind: FaultKind::Partition, device: None, detail })] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(detail, "every class cannot reach the cloud for 60 s");
}
