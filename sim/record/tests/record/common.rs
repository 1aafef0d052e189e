//! A small run in events: two rounds of three invited devices, the second one void.

use cotune_record::{Digest, EndReason, Event, EventKind, FaultKind, Loss, Reason, Scope};

/// Every kind of event of synchronous rounds at least once, in order.
pub fn run() -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = |seconds: f64, kind: EventKind| {
        let seq = events.len() as u64;
        events.push(Event { time_ns: (seconds * 1e9) as u64, class: 3, source: 7, seq, kind });
    };
    at(
        0.0,
        EventKind::RunStarted {
            scenario_digest: Digest::of(b"scenario"),
            seed: 1,
            devices: 4,
            method: "co-plms".into(),
            footprint: None,
        },
    );
    for device in 0..2 {
        at(0.0, score(0, Scope::Edge, Some(device), "rouge-l", None, 40.0 + f64::from(device)));
        at(0.0, score(0, Scope::Edge, Some(device), "rouge-l", Some("med"), 30.0));
    }
    at(0.0, score(0, Scope::Cloud, None, "rouge-l", None, 35.0));
    at(0.0, EventKind::RoundOpened { round: 1, invited: vec![2, 0, 1] });
    for device in 0..3 {
        at(1.0, EventKind::DownloadStarted { round: 1, device, bytes: 100 });
    }
    at(3.0, down(1, 0, 100, true));
    at(3.0, EventKind::TrainingStarted { round: 1, device: 0, flops: 1e9, seconds: 4.0 });
    at(3.0, down(1, 1, 60, false));
    at(3.0, not(1, 1, Reason::DownloadLost, 60, 2.0));
    at(4.0, down(1, 2, 100, true));
    at(4.0, EventKind::TrainingStarted { round: 1, device: 2, flops: 1e9, seconds: 5.0 });
    at(
        6.0,
        EventKind::Fault { kind: FaultKind::Slowdown, device: Some(2), detail: "to half its speed".into() },
    );
    at(7.0, trained(1, 0, 2.5));
    at(7.0, EventKind::UploadStarted { round: 1, device: 0, bytes: 50 });
    at(9.0, trained(1, 2, 3.5));
    at(9.0, EventKind::UploadStarted { round: 1, device: 2, bytes: 50 });
    at(10.0, up(1, 0));
    at(10.0, accepted(1, 0, 12.0));
    at(12.0, up(1, 2));
    at(12.0, accepted(1, 2, 20.0));
    at(12.0, EventKind::RelayMade { round: 1, device: None, prompts: 16, kept: Some(11) });
    at(12.0, EventKind::CloudTraining { round: 1, seconds: 3.0, flops: 1e12 });
    at(
        15.0,
        EventKind::CloudTrained {
            round: 1,
            steps: 40,
            tokens: 1000,
            cost_usd: 0.25,
            losses: vec![Loss { name: "cloud".into(), value: 1.5 }],
            state: Some(Digest::of(b"state")),
        },
    );
    at(15.0, EventKind::RoundClosed { round: 1, accepted: 2, invited: 3, void: false, duration_s: 15.0 });
    at(15.0, EventKind::Warning { text: "device 2 diverged".into(), learned: true, skipped: 0 });
    at(15.0, EventKind::RoundOpened { round: 2, invited: vec![3] });
    at(15.0, not(2, 3, Reason::Offline, 0, 0.0));
    at(20.0, EventKind::RoundClosed { round: 2, accepted: 0, invited: 1, void: true, duration_s: 5.0 });
    at(20.0, EventKind::Warning { text: "round 2 is void".into(), learned: false, skipped: 0 });
    for device in 0..2 {
        at(20.0, score(2, Scope::Edge, Some(device), "rouge-l", None, 50.0 + 10.0 * f64::from(device)));
        at(20.0, score(2, Scope::Edge, Some(device), "rouge-l", Some("med"), 45.0));
        at(20.0, score(2, Scope::EdgeAll, Some(device), "rouge-l", None, 44.0));
    }
    at(20.0, score(2, Scope::Cloud, None, "rouge-l", None, 42.0));
    at(20.0, EventKind::RunEnded { reason: EndReason::Rounds, cost_usd: 0.5, idle_joules: 100.0 });
    events
}

/// Buffered coordination with a buffer of one: device 4 gets a free place in round 1 and is accepted into round 2, which is
/// lost with what it has.
pub fn buffered() -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = |seconds: f64, kind: EventKind| {
        let seq = events.len() as u64;
        events.push(Event { time_ns: (seconds * 1e9) as u64, class: 2, source: 1, seq, kind });
    };
    let (scenario_digest, method) = (Digest::of(b"scenario"), "fedavg".to_owned());
    at(0.0, EventKind::RunStarted { scenario_digest, seed: 1, devices: 6, method, footprint: None });
    at(0.0, EventKind::RoundOpened { round: 1, invited: vec![0, 2] });
    for device in [0, 2] {
        at(0.0, EventKind::DownloadStarted { round: 1, device, bytes: 100 });
    }
    at(1.0, down(1, 2, 50, false));
    at(1.0, not(1, 2, Reason::DownloadLost, 50, 2.0));
    at(1.0, EventKind::Invited { round: 1, device: 4 });
    at(1.0, EventKind::DownloadStarted { round: 1, device: 4, bytes: 100 });
    at(2.0, down(1, 0, 100, true));
    at(2.0, EventKind::UploadStarted { round: 1, device: 0, bytes: 50 });
    at(3.0, down(1, 4, 100, true));
    at(5.0, up(1, 0));
    at(5.0, accepted(1, 0, 12.0));
    at(5.0, EventKind::RoundClosed { round: 1, accepted: 1, invited: 3, void: false, duration_s: 5.0 });
    at(5.0, EventKind::RoundOpened { round: 2, invited: vec![0] });
    at(5.0, EventKind::DownloadStarted { round: 2, device: 0, bytes: 100 });
    at(6.0, EventKind::UploadStarted { round: 1, device: 4, bytes: 50 });
    at(7.0, down(2, 0, 100, true));
    at(8.0, EventKind::UploadStarted { round: 2, device: 0, bytes: 50 });
    at(9.0, up(1, 4));
    let (weight, aggregate) = (20.0 * 0.5f64.sqrt(), Some(2));
    at(9.0, EventKind::UpdateAccepted { round: 1, device: 4, weight, staleness: 1, aggregate });
    at(11.0, up(2, 0));
    at(11.0, accepted(2, 0, 12.0));
    at(12.0, EventKind::Fault { kind: FaultKind::CloudRestart, device: None, detail: "for 1 min".into() });
    at(12.0, EventKind::RoundClosed { round: 2, accepted: 2, invited: 1, void: true, duration_s: 7.0 });
    at(12.0, EventKind::RunEnded { reason: EndReason::Rounds, cost_usd: 0.0, idle_joules: 0.0 });
    events
}

fn score(
    round: u32,
    scope: Scope,
    device: Option<u32>,
    metric: &str,
    domain: Option<&str>,
    value: f64,
) -> EventKind {
    let (metric, domain) = (metric.to_owned(), domain.map(str::to_owned));
    EventKind::Evaluated { round, scope, device, metric, domain, value: Some(value), weight: 1.0 }
}

fn down(round: u32, device: u32, bytes: u64, complete: bool) -> EventKind {
    EventKind::DownloadFinished { round, device, bytes, seconds: 2.0, joules: 2.0, complete }
}

fn up(round: u32, device: u32) -> EventKind {
    EventKind::UploadFinished { round, device, bytes: 50, seconds: 3.0, joules: 3.0, complete: true }
}

fn trained(round: u32, device: u32, loss: f64) -> EventKind {
    EventKind::TrainingFinished {
        round,
        device,
        steps: 20,
        tokens: 500,
        seconds: 4.0,
        joules: 10.0,
        complete: true,
        loss: Some(loss),
        update: Some(Digest::of(&device.to_le_bytes())),
    }
}

fn not(round: u32, device: u32, reason: Reason, wasted_bytes: u64, wasted_joules: f64) -> EventKind {
    EventKind::NotContributed { round, device, reason, wasted_bytes, wasted_joules }
}

fn accepted(round: u32, device: u32, weight: f64) -> EventKind {
    EventKind::UpdateAccepted { round, device, weight, staleness: 0, aggregate: None }
}
