//! Transfers take what their links allow, and bytes are neither made nor forgotten.

use std::collections::BTreeMap;

use cotune_kernel::VirtualTime;
use cotune_record::{EventKind, Reason};
use cotune_tests::{data_file, fedavg, plan, play, tiny};
use cotune_world::hazard::{Direction, transfer_noise};
use cotune_world::packing::received;
use cotune_world::payload::Payload;

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

/// Bytes up and the digest of every update of a run that really trains.
fn uplink(overrides: &[(&str, &str)]) -> (Vec<u64>, Vec<String>) {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), overrides));
    let (mut bytes, mut updates) = (Vec::new(), Vec::new());
    for event in play(&plan, 1, true).events {
        match event.kind {
            EventKind::UploadFinished { bytes: sent, .. } => bytes.push(sent),
            EventKind::TrainingFinished { update: Some(update), .. } => updates.push(update.to_hex()),
            _ => {}
        }
    }
    (bytes, updates)
}

#[test]
fn an_encoding_changes_the_bytes_and_the_weights() {
    let (plain, as_trained) = uplink(&[]);
    let (int8, rounded) = uplink(&[("transfer.up.int8", "{}")]);
    let (topk, cut) = uplink(&[("transfer.up.topk", "{ share = 0.1 }")]);
    for (plain, (int8, topk)) in plain.iter().zip(int8.iter().zip(&topk)) {
        // Of 4 bytes a value: 1 and a 64th of 4; a tenth of 8.
        let share = |of: u64| of as f64 / *plain as f64;
        assert!((share(*int8) - 1.062_5 / 4.0).abs() < 0.03, "int8 sends {int8} of {plain} B");
        assert!((share(*topk) - 0.2).abs() < 0.03, "top-k sends {topk} of {plain} B");
    }
    assert_eq!((plain.len(), as_trained.len()), (6, 6));
    for device in 0..6 {
        assert_ne!(as_trained[device], rounded[device], "update {device} is the same after int8");
        assert_ne!(as_trained[device], cut[device], "update {device} is the same after top-k");
    }
}

#[test]
fn an_encoding_changes_the_broadcast_too() {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &[("transfer.down.int8", "{}")]));
    let lab = plan.lab();
    let proxy = lab.model("proxy").fresh(plan.scenario().seed).values;
    let trained: Vec<f32> = proxy.iter().zip(0u16..).map(|(x, i)| x + 1e-3 * f32::from(i % 101)).collect();
    let sent = Payload::adapter("proxy", &trained);
    let arrived = received(lab, &sent);
    let worst = arrived.values("proxy").unwrap().iter().zip(&trained).map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, f32::max);
    assert!(worst > 0.0 && worst <= 0.5 * 0.1 / 127.0 * 1.01, "off by {worst}");
}

#[test]
fn a_bandwidth_trace_decides_how_long_a_transfer_takes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    // Dead for 4 of every 5 seconds, then a burst: a transfer of less than a burst waits for the next one.
    std::fs::write(&path, "0 0\n1 0\n2 0\n3 0\n4 80\n").unwrap();
    let trace = format!("{{ up = {:?} }}", path.display().to_string());
    let plan = plan(&tiny(
        &fedavg("on = \"proxy\""),
        &[("fleet.class.phone.link.trace", &trace), ("fleet.class.phone.link.up", "\"1Gbit/s\"")],
    ));
    let mut seen = 0;
    for event in play(&plan, 1, false).events {
        let end = event.seconds();
        let EventKind::UploadFinished { device, bytes, .. } = event.kind else { continue };
        let class = plan.fleet().class_of(device);
        let Some(rates) = class.rates[1].as_ref() else { continue };
        let shift = rates.shift(plan.scenario().seed, device, &Direction::Up);
        let (rate, _) = rates.at(shift, VirtualTime::from_secs_f64(end - 1e-6));
        assert_eq!(
            rate, 1e7,
            "device {device} sent its last of {bytes} B at {end} s, when its link was dead"
        );
        seen += 1;
    }
    assert_eq!(seen, 4, "two phones, two rounds");
}

#[test]
fn pensieves_files_load_as_they_are() {
    let Some(path) = data_file("traces/pensieve/cooked_test_traces/norway_bus_1") else { return };
    let trace =
        format!("{{ down = {:?}, up = {:?} }}", path.display().to_string(), path.display().to_string());
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &[("fleet.class.phone.link.trace", &trace)]));
    let phone = plan.fleet().classes().iter().find(|class| &*class.name == "phone").unwrap();
    let mean = phone.rates[0].as_ref().unwrap().mean() / 125_000.0;
    assert!((0.2..10.0).contains(&mean), "a bus in Norway had {mean} Mbit/s over 3G");
    assert!(play(&plan, 1, false).events.len() > 20);
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
                let whole = plan.traffic(device, round).down;
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
