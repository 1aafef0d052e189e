//! A run that never happened: events with the shape of a real one, from a formula. For the demonstration and the
//! tests of the report only; no number in it means anything.

use cotune_record::{
    Digest, EndReason, Event, EventDigest, EventKind, Expectation, FORMAT, FaultKind, Fleet, FleetRow,
    Manifest, Reason, Scope, Status, Summary, Tables, Wall, summarize, tabulate,
};
use cotune_report::{ModelLine, ReportInput, render};

const DOMAINS: [&str; 8] = ["shop", "med", "law", "lang", "cal", "unit", "intent", "edit"];

/// A made-up run with everything a report needs.
pub struct Synthetic {
    pub summary: Summary,
    pub tables: Tables,
    pub fleet: Fleet,
    pub manifest: Manifest,
    pub models: Vec<ModelLine>,
    pub scenario: String,
}

impl Synthetic {
    /// Its report.
    pub fn report(&self) -> String {
        render(&ReportInput {
            summary: &self.summary,
            tables: &self.tables,
            fleet: &self.fleet,
            manifest: &self.manifest,
            models: &self.models,
            scenario: &self.scenario,
            sees: ["their private examples", "the public examples"],
        })
    }
}

/// Splitmix64: enough disorder for a picture.
struct Dice(u64);

impl Dice {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn around(&mut self, median: f64, spread: f64) -> f64 {
        median * ((self.uniform() + self.uniform() + self.uniform() - 1.5) * spread).exp()
    }
}

struct Log {
    events: Vec<(u64, EventKind)>,
}

impl Log {
    fn at(&mut self, seconds: f64, kind: EventKind) {
        self.events.push(((seconds * 1e9) as u64, kind));
    }

    fn sorted(mut self) -> Vec<Event> {
        self.events.sort_by_key(|(time_ns, _)| *time_ns);
        let numbered = self.events.into_iter().zip(0..);
        numbered.map(|((time_ns, kind), seq)| Event { time_ns, class: 0, source: 0, seq, kind }).collect()
    }
}

/// Makes a run of so many devices, rounds and invitations per round.
pub fn synthetic(name: &str, devices: u32, rounds: u32, cohort: u32) -> Synthetic {
    let mut dice = Dice(7);
    let fleet = fleet(&mut dice, devices);
    let mut log = Log { events: Vec::new() };
    let scenario_digest = Digest::of(name.as_bytes());
    log.at(
        0.0,
        EventKind::RunStarted {
            scenario_digest,
            seed: 1,
            devices,
            method: "co-plms".into(),
            footprint: None,
        },
    );
    evaluate(&mut log, &mut dice, &fleet, 0, 0.0, 0.0);
    let mut now = 0.001;
    for round in 1..=rounds {
        now = play_round(&mut log, &mut dice, &fleet, round, cohort, now);
        if round % 5 == 0 || round == rounds {
            evaluate(&mut log, &mut dice, &fleet, round, f64::from(round) / f64::from(rounds), now);
        }
    }
    let text =
        "rounds 7 and 19 closed with too few updates: the deadline is short for the slowest links".to_owned();
    log.at(now, EventKind::Warning { text, learned: false, skipped: 0 });
    let idle_joules = now * f64::from(devices) * 0.9;
    log.at(now + 0.001, EventKind::RunEnded { reason: EndReason::Rounds, cost_usd: 3.41, idle_joules });

    let events = log.sorted();
    let tables = tabulate(&events).expect("the made-up events keep the rules");
    let mut digest = EventDigest::new();
    events.iter().for_each(|event| digest.push(event));
    let expect = |metric: &str, min, max| Expectation { metric: metric.into(), min, max };
    let expectations = [
        expect("edge.rouge-l.mean", Some(28.0), None),
        expect("wasted.total_bytes", None, Some(1e6)),
        expect("proxy.accuracy", Some(0.5), None),
    ];
    let wall = Wall {
        threads: 2,
        device: "cpu".into(),
        peak_rss_bytes: 402 << 20,
        ..Wall::measured(&tables, 212.0)
    };
    let summary = summarize(name, Status::Complete, &tables, &digest, &expectations, wall);
    let manifest = Manifest {
        format: FORMAT,
        status: Status::Complete,
        name: name.to_owned(),
        seed: 1,
        scenario_digest,
        version: "0.1.0".into(),
        commit: "5b3726e".into(),
        platform: "linux-x86_64".into(),
        cpu_features: vec!["avx2".into(), "fma".into()],
        device: "cpu".into(),
        threads: 2,
        train: true,
        stacks: false,
        scenario_dir: String::new(),
        data_dir: String::new(),
        matched:
            "Matched by tokens: a device takes 26 steps a round where 40 are written, worth 5 120 of 5 200."
                .into(),
        doubts: Vec::new(),
        command: format!("cotune run {name}.toml --seed 1"),
        started_unix_ms: 0,
        warnings: Vec::new(),
    };
    let model = |name: &str, trained_as: &str, billed_as: &str| ModelLine {
        name: name.into(),
        trained_as: trained_as.into(),
        billed_as: billed_as.into(),
    };
    let models = vec![
        model("cloud", "zoo:llm, 1.39 M parameters, LoRA r=16", "7.6 B, bf16"),
        model("proxy", "zoo:dpm, 0.31 M parameters, LoRA r=8", "0.5 B, bf16"),
        model("edge-m", "zoo:slm-llama, 0.28 M parameters, LoRA r=8", "1.5 B, int4"),
        model("edge-s", "zoo:slm-bloom, 0.23 M parameters, LoRA r=4", "0.23 M, f32"),
    ];
    let scenario = format!("format = 1\nname   = \"{name}\"\nseed   = 1\n\n[fleet]\ndevices = {devices}\n");
    Synthetic { summary, tables, fleet, manifest, models, scenario }
}

fn fleet(dice: &mut Dice, devices: u32) -> Fleet {
    let row = |device: u32| {
        let is_phone = device < devices * 3 / 4;
        let mut examples = vec![0; DOMAINS.len()];
        for (domain, number) in examples.iter_mut().enumerate() {
            let favourite = dice.uniform() < 0.3 || domain as u32 == device % 8;
            *number = (dice.around(if favourite { 40.0 } else { 2.0 }, 2.0)) as u32;
        }
        let (compute, memory, down, up, rtt) =
            if is_phone { (9e11, 6, 8e7, 2e7, 0.035) } else { (6e12, 16, 5e8, 1e8, 0.008) };
        let spread = if is_phone { 1.0 } else { 0.0 };
        FleetRow {
            device,
            class: if is_phone { "phone" } else { "gateway" }.into(),
            model: if is_phone { "edge-m" } else { "edge-s" }.into(),
            compute_flops: dice.around(compute, spread),
            memory_bytes: memory << 30,
            down_bps: dice.around(down, spread),
            up_bps: dice.around(up, spread),
            rtt_s: dice.around(rtt, spread),
            examples,
        }
    };
    Fleet { domains: DOMAINS.map(str::to_owned).to_vec(), devices: (0..devices).map(row).collect() }
}

/// Plays one round and says when the next may open.
fn play_round(log: &mut Log, dice: &mut Dice, fleet: &Fleet, round: u32, cohort: u32, opened: f64) -> f64 {
    let all = fleet.devices.len() as u32;
    let stride = (all / cohort).max(1);
    let offset = (dice.uniform() * f64::from(stride)) as u32;
    let invited: Vec<u32> = (0..cohort.min(all)).map(|index| (index * stride + offset) % all).collect();
    let mut invited = invited;
    invited.sort_unstable();
    invited.dedup();
    let number = invited.len() as u32;
    log.at(opened, EventKind::RoundOpened { round, invited: invited.clone() });
    let deadline = opened + 1_500.0;
    let (mut accepted, mut last) = (0, opened);
    let is_bad_round = matches!(round, 7 | 19);
    for device in invited {
        let row = &fleet.devices[device as usize];
        let luck = if is_bad_round { 0.1 * dice.uniform() } else { dice.uniform() };
        let not = |reason, wasted_bytes, wasted_joules| EventKind::NotContributed {
            round,
            device,
            reason,
            wasted_bytes,
            wasted_joules,
        };
        if luck < 0.06 {
            let reason = if luck < 0.045 { Reason::Offline } else { Reason::Battery };
            log.at(opened + 1.0, not(reason, 0, 0.0));
            continue;
        }
        let bytes = 2_100_000;
        let begin = opened + dice.uniform() * 90.0;
        let down = bytes as f64 * 8.0 / row.down_bps * dice.around(40.0, 1.0);
        let joules = down * 1.8;
        log.at(begin, EventKind::DownloadStarted { round, device, bytes });
        let now = begin + down;
        let complete = luck > 0.08;
        let moved = if complete { bytes } else { bytes / 3 };
        log.at(
            now,
            EventKind::DownloadFinished { round, device, bytes: moved, seconds: down, joules, complete },
        );
        if !complete {
            log.at(now, not(Reason::DownloadLost, moved, joules));
            continue;
        }
        let work = 4.2e14 / row.compute_flops * dice.around(1.0, 0.5);
        log.at(now, EventKind::TrainingStarted { round, device, flops: 4.2e14, seconds: work });
        let complete = luck > 0.11;
        let worked = if complete { work } else { work * dice.uniform() };
        let power = if &*row.class == "phone" { 4.5 } else { 35.0 };
        let now = now + worked;
        let spent = joules + worked * power;
        log.at(
            now,
            EventKind::TrainingFinished {
                round,
                device,
                steps: 40,
                tokens: 9_600,
                seconds: worked,
                joules: worked * power,
                complete,
                loss: complete.then(|| 1.2 + 1.8 / f64::from(round).sqrt()),
                update: complete.then(|| Digest::of(&device.to_le_bytes())),
            },
        );
        if !complete {
            if luck < 0.09 {
                let detail = "lost 40 steps of work".to_owned();
                log.at(now, EventKind::Fault { kind: FaultKind::Crash, device: Some(device), detail });
                log.at(now, not(Reason::Crashed, bytes, spent));
            } else {
                log.at(now, not(Reason::DroppedWhileTraining, bytes, spent));
            }
            continue;
        }
        log.at(now, EventKind::UploadStarted { round, device, bytes: 540_000 });
        let up = 540_000.0 * 8.0 / row.up_bps * dice.around(60.0, 1.5);
        let end = (now + up).min(deadline.max(now));
        let is_late = now + up > deadline;
        let moved = if is_late { 200_000 } else { 540_000 };
        let joules = (end - now) * 1.8;
        let (seconds, complete) = (end - now, !is_late);
        log.at(end, EventKind::UploadFinished { round, device, bytes: moved, seconds, joules, complete });
        if is_late {
            log.at(end, not(Reason::Late, bytes + moved, spent + joules));
            continue;
        }
        log.at(end, EventKind::UpdateAccepted { round, device, weight: 64.0, staleness: 0, aggregate: None });
        accepted += 1;
        last = last.max(end);
    }
    let void = is_bad_round;
    let closed = if void {
        deadline
    } else {
        log.at(last, EventKind::CloudTraining { round, seconds: 95.0, flops: 2e16 });
        let (steps, tokens) = (40, 96_000);
        let losses = Vec::new();
        log.at(
            last + 95.0,
            EventKind::CloudTrained { round, steps, tokens, cost_usd: 0.06, losses, state: None },
        );
        last + 95.0
    };
    let duration_s = closed - opened;
    log.at(closed, EventKind::RoundClosed { round, accepted, invited: number, void, duration_s });
    closed + 1.0
}

fn evaluate(log: &mut Log, dice: &mut Dice, fleet: &Fleet, round: u32, progress: f64, now: f64) {
    let rise = 1.0 - (-3.0 * progress).exp();
    for (metric, start, gain) in [("rouge-l", 38.0, 44.0), ("exact-match", 2.0, 62.0), ("loss", 3.1, -2.2)] {
        let mut score = |scope, device: Option<u32>, domain: Option<&str>, value: f64, weight: f64| {
            let value = if metric == "loss" { value.max(0.2) } else { value.clamp(0.0, 100.0) };
            let (metric, domain) = (metric.to_owned(), domain.map(str::to_owned));
            let value = Some(value);
            log.at(now, EventKind::Evaluated { round, scope, device, metric, domain, value, weight });
        };
        let at = |share: f64| start + gain * share * rise;
        score(Scope::Cloud, None, None, at(1.03), 1.0);
        score(Scope::Proxy, None, None, at(0.97), 1.0);
        for row in fleet.devices.iter().step_by(fleet.devices.len().div_ceil(50)) {
            let own = f64::from(row.device * 37 % 101) / 101.0;
            let jitter = dice.uniform() * 0.1 + own * 0.6 - 0.05;
            score(Scope::Edge, Some(row.device), None, at(0.45 + jitter), 1.0);
            score(Scope::EdgeAll, Some(row.device), None, at(0.4 + 0.7 * jitter), 1.0);
            for (index, domain) in DOMAINS.iter().enumerate() {
                let talent = if *domain == "edit" { -0.12 } else { 0.5 + 0.07 * index as f64 };
                score(
                    Scope::Edge,
                    Some(row.device),
                    Some(domain),
                    at(talent),
                    f64::from(row.examples[index]),
                );
            }
        }
    }
}
