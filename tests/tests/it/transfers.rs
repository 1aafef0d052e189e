//! Transfers take what their links allow, and bytes are neither made nor forgotten.

use std::collections::BTreeMap;

use cotune_record::{EventKind, Reason};
use cotune_tests::{fedavg, plan, play, tiny};
use cotune_world::hazard::{Direction, transfer_noise};

#[test]
fn an_uncontended_transfer_takes_its_handshake_and_its_bytes_over_its_own_rate() {
    // The cloud's gigabit is never the bottleneck for three devices of at most 200 Mbit/s.
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &[]));
    let seed = plan.scenario().seed;
    let mut seen = 0;
    for event in play(&plan, 1, false).events {
        let (round, device, bytes, seconds, direction) = match event.kind {
            EventKind::DownloadFinished { round, device, bytes, seconds, .. } => {
                (round, device, bytes, seconds, Direction::Down)
            }
            EventKind::UploadFinished { round, device, bytes, seconds, .. } => {
                (round, device, bytes, seconds, Direction::Up)
            }
            _ => continue,
        };
        let view = plan.fleet().device(device);
        let rate = match direction {
            Direction::Down => view.down_bytes_per_second,
            Direction::Up => view.up_bytes_per_second,
        };
        let rate = rate * transfer_noise(seed, device, round, direction, view.class.noise_cv);
        let expected = 1.5 * view.rtt_seconds + bytes as f64 / rate;
        assert!(
            (seconds - expected).abs() < 1e-6,
            "device {device}, round {round}, {direction}: {seconds} s, by hand {expected} s"
        );
        seen += 1;
    }
    assert_eq!(seen, 12, "two rounds of three devices, down and up");
}

#[test]
fn a_shared_link_is_shared() {
    let narrow = [("cloud.link.up", "\"1Mbit/s\"")];
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &narrow));
    let downloads: Vec<(u64, f64)> = play(&plan, 1, false)
        .events
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::DownloadFinished { round: 1, bytes, seconds, .. } => Some((bytes, seconds)),
            _ => None,
        })
        .collect();
    let bytes: u64 = downloads.iter().map(|(bytes, _)| bytes).sum();
    let longest = downloads.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
    let whole = bytes as f64 / 125_000.0;
    assert!(longest >= whole, "three downloads of {bytes} B in {longest} s through 125 kB/s");
    assert!(longest < whole + 0.2, "the link was idle: {longest} s for {whole} s of bytes");
}

#[test]
fn lost_transfers_count_their_bytes_as_wasted_and_name_their_reason() {
    let lossy = [
        ("fleet.class.phone.link.drop", "\"0.4/transfer\""),
        ("fleet.class.gateway.link.drop", "\"0.4/transfer\""),
        ("budget.rounds", "20"),
        ("coordination.sync.cohort", "3"),
    ];
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &lossy));
    // Bytes that crossed the wire, by device and round.
    let mut crossed: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    let (mut started, mut finished) = (0, 0);
    let mut reasons = BTreeMap::new();
    for event in play(&plan, 1, false).events {
        match event.kind {
            EventKind::DownloadFinished { round, device, bytes, complete, .. }
            | EventKind::UploadFinished { round, device, bytes, complete, .. } => {
                let whole = plan.traffic(device).down;
                assert_eq!(complete, bytes == whole, "a transfer of {bytes} of {whole} bytes");
                *crossed.entry((round, device)).or_default() += bytes;
                finished += 1;
            }
            EventKind::DownloadStarted { .. } | EventKind::UploadStarted { .. } => started += 1,
            EventKind::NotContributed { round, device, reason, wasted_bytes, .. } => {
                assert_eq!(wasted_bytes, crossed[&(round, device)], "device {device} in round {round}");
                *reasons.entry(reason).or_insert(0) += 1;
            }
            _ => {}
        }
    }
    assert_eq!(started, finished, "a transfer that started has an end, also at the end of the run");
    assert!(reasons[&Reason::DownloadLost] > 5 && reasons[&Reason::UploadLost] > 5, "{reasons:?}");
}
