//! What holds for every coordination, whatever happens in whatever order: devices that answer at random times with good,
//! broken or no updates, deadlines, and a cloud that stops twice. A new coordination is added to [`COORDINATIONS`] and inherits
//! all of this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cotune_kernel::{Stream, VirtualDuration, VirtualTime};
use cotune_record::{Digest, Event, EventKind, Outcome as Ended, Reason, Tables, tabulate};
use cotune_tests::{fedavg, plan, tiny};
use cotune_world::Plan;
use cotune_world::coordination::CloudCore;
use cotune_world::effect::{Effect, Label, Message, Transfer, View};
use cotune_world::job::{Job, Outcome};
use cotune_world::payload::Payload;

const COORDINATIONS: [&str; 6] = [
    "sync]",
    "sync]\ncohort = 3\novercommit = 1.6\nmin_updates = 2",
    "sync]\ncohort = 4\novercommit = 1.5\ndeadline = \"30s\"\nmin_updates = 3",
    "buffered]\nconcurrency = 4\nbuffer = 3\nmax_staleness = 1",
    "buffered]\nconcurrency = 6\nbuffer = 6",
    "async]\nconcurrency = 3",
];

const FAULTS: &str = "
[[fault]]
cloud_restart = { at = \"70s\", outage = \"20s\" }
[[fault]]
partition = { class = \"phone\", at = \"100s\", lasts = \"40s\" }
[[fault]]
cloud_restart = { at = \"200s\", outage = \"0s\" }
";

fn federation(coordination: &str) -> Arc<Plan> {
    let tables = format!("{}\n[coordination.{coordination}\n{FAULTS}", fedavg("on = \"proxy\""));
    let sizes = [
        ("fleet.devices", "6"),
        ("data.split.dirichlet.min", "1"),
        ("budget.rounds", "40"),
        ("fleet.class.gateway.memory_free", "0.001"),
    ];
    plan(&tiny(&tables, &sizes))
}

/// What is to come.
enum Due {
    Tell(Message),
    /// A device answers the invitation to a round.
    Answer(u32, u32),
}

/// A cloud, and a world that answers it at random.
struct World<'p> {
    plan: &'p Plan,
    cloud: CloudCore,
    now: VirtualTime,
    due: BTreeMap<(VirtualTime, u64), Due>,
    answers: Stream,
    /// Devices that were sent something and have not answered.
    busy: BTreeSet<u32>,
    /// Rounds whose work the cloud has begun.
    works: Vec<u32>,
    events: Vec<Event>,
    count: u64,
    over: bool,
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, seed: u64) -> Self {
        let cloud = CloudCore::new(plan.method().start_cloud(plan.lab()), plan.coordination());
        let mut world = Self {
            plan,
            cloud,
            now: VirtualTime::ZERO,
            due: BTreeMap::new(),
            answers: Stream::keyed(seed, "test/coordination"),
            busy: BTreeSet::new(),
            works: Vec::new(),
            events: Vec::new(),
            count: 0,
            over: false,
        };
        let (scenario_digest, method) = (Digest::of(b"scenario"), "fedavg".to_owned());
        world.record(EventKind::RunStarted { scenario_digest, seed, devices: 6, method, footprint: None });
        world.at(VirtualDuration::ZERO, Due::Tell(Message::Open));
        world
    }

    fn record(&mut self, kind: EventKind) {
        let seq = self.events.len() as u64;
        self.events.push(Event { time_ns: self.now.as_nanos(), class: 2, source: 1, seq, kind });
    }

    fn at(&mut self, after: VirtualDuration, due: Due) {
        self.count += 1;
        self.due.insert((self.now + after, self.count), due);
    }

    /// Until the run is over.
    fn play(mut self) -> Self {
        while let Some(((time, _), due)) = self.due.pop_first() {
            self.now = time;
            assert!(self.events.len() < 20_000, "the run does not end");
            let effects = match due {
                Due::Tell(message) => self.tell(message),
                Due::Answer(round, device) => self.answer(round, device),
            };
            self.carry_out(effects);
            if self.over {
                break;
            }
        }
        self
    }

    fn tell(&mut self, message: Message) -> Vec<Effect> {
        self.cloud.on(message, &View { now: self.now, plan: self.plan })
    }

    /// Seven in ten send a good update; the others none, one that is no number, or nothing.
    fn answer(&mut self, round: u32, device: u32) -> Vec<Effect> {
        assert!(self.busy.remove(&device));
        let shape = self.plan.update_shape(device, round);
        let payload = match self.answers.below(10) {
            0 => Arc::new(Payload::adapter("proxy", &[f32::NAN])),
            1 => Arc::default(),
            2 => {
                let (reason, wasted_bytes, wasted_joules) = (Reason::Crashed, 5, 0.0);
                self.record(EventKind::NotContributed { round, device, reason, wasted_bytes, wasted_joules });
                return self.tell(Message::Gone { device, round });
            }
            _ => Arc::clone(shape),
        };
        let (bytes, spent) = (self.plan.traffic(device, round).up, (7, 0.0));
        self.tell(Message::Received(Transfer {
            round,
            device,
            up: true,
            payload,
            bytes,
            seconds: 1.0,
            spent,
        }))
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(kind) => {
                    assert!(!self.over, "{kind:?} after the end");
                    self.record(kind);
                }
                Effect::Send(transfer) => {
                    assert!(self.busy.insert(transfer.device), "device {} is at work", transfer.device);
                    let class = self.plan.fleet().device(transfer.device).class_index;
                    let cut = self.plan.faults().cut_from(class, self.now);
                    assert_ne!(cut, Some(self.now), "nobody is invited who cannot be reached");
                    let after = VirtualDuration::from_secs_f64(12.0 * self.answers.exponential());
                    self.at(after, Due::Answer(transfer.round, transfer.device));
                }
                Effect::Train { job: Job::Cloud { updates, .. }, label, .. } => {
                    let Label::Work { round } = label else { panic!("{label:?} is no work") };
                    assert!(updates.is_sorted_by_key(|update| update.device));
                    assert!(updates.iter().all(|update| update.discount > 0.0 && update.discount <= 1.0));
                    self.works.push(round);
                    let after = VirtualDuration::from_secs_f64(4.0 * self.answers.uniform());
                    let outcome = Outcome::Skipped;
                    self.at(after, Due::Tell(Message::Done { label, outcome }));
                }
                Effect::Wake { after, message } => self.at(after, Due::Tell(message)),
                Effect::Measure { .. } => {}
                Effect::End(_) => self.over = true,
                other => panic!("a cloud does not ask for {other:?}"),
            }
        }
    }
}

fn outcomes(tables: &Tables) -> BTreeMap<Ended, usize> {
    let mut counts = BTreeMap::new();
    for report in &tables.reports {
        *counts.entry(report.outcome.expect("every invitation has an outcome")).or_default() += 1;
    }
    counts
}

#[test]
fn whatever_happens_every_invitation_has_one_outcome_and_every_round_one_end() {
    for coordination in COORDINATIONS {
        let plan = federation(coordination);
        let mut seen: BTreeMap<Ended, usize> = BTreeMap::new();
        for seed in 0..60 {
            let world = World::new(&plan, seed).play();
            assert!(
                world.over && world.busy.is_empty(),
                "{coordination}, seed {seed}: nothing is due any more"
            );
            assert!(matches!(world.events.last().expect("events").kind, EventKind::RunEnded { .. }));

            // Tabulating refuses two outcomes, outcomes of those who were not invited, and rounds that open twice.
            let tables = tabulate(&world.events)
                .unwrap_or_else(|error| panic!("{coordination}, seed {seed}: {error}"));
            for (outcome, count) in outcomes(&tables) {
                *seen.entry(outcome).or_default() += count;
            }
            let numbers: Vec<u32> = tables.rounds.iter().map(|row| row.round).collect();
            assert_eq!(numbers, (1..=40).collect::<Vec<_>>(), "{coordination}, seed {seed}");
            assert!(tables.rounds.iter().all(|row| row.closed_s.is_some()));
            let overlap = tables.rounds.windows(2).any(|pair| pair[0].closed_s > Some(pair[1].opened_s));
            assert!(!overlap, "{coordination}, seed {seed}: two rounds are open at once");

            // A round that counts is worked on once; one that is void has been lost at work or had nothing to work on.
            let worked: BTreeSet<u32> = world.works.iter().copied().collect();
            assert_eq!(worked.len(), world.works.len(), "{coordination}, seed {seed}: worked on twice");
            for row in &tables.rounds {
                assert!(
                    row.void || worked.contains(&row.round),
                    "{coordination}, seed {seed}, round {}",
                    row.round
                );
                let closed = |event: &&Event| {
                    matches!(event.kind, EventKind::RoundClosed { round, accepted, invited, .. }
                        if (round, accepted, invited) == (row.round, row.accepted, row.invited))
                };
                assert_eq!(
                    world.events.iter().filter(closed).count(),
                    1,
                    "{coordination}, seed {seed}: {row:?}"
                );
            }
        }
        for expected in [
            Ended::Accepted,
            Ended::Not(Reason::Rejected),
            Ended::Not(Reason::Late),
            Ended::Not(Reason::Crashed),
        ] {
            assert!(seen.contains_key(&expected), "{coordination}: {expected} never occurs: {seen:?}");
        }
    }
}
