use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use cotune_record::scores::{gini, quantile};
use cotune_record::tables::read_foreign;
use cotune_record::{
    Event, EventDigest, EventKind, Expectation, Fleet, FleetRow, Outcome, Reason, Status, Summary,
    TableError, Wall, scores, summarize, tabulate, write_metrics_csv,
};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::common::{buffered, run};

fn summary(expectations: &[Expectation]) -> Summary {
    summary_of(&run(), expectations)
}

fn summary_of(events: &[Event], expectations: &[Expectation]) -> Summary {
    let tables = tabulate(events).unwrap();
    let mut digest = EventDigest::new();
    events.iter().for_each(|event| digest.push(event));
    summarize("demo", Status::Complete, &tables, &digest, expectations, Wall::measured(&tables, 2.0))
}

#[test]
fn tabulation_conserves_invitations_bytes_and_joules() {
    let events = run();
    let tables = tabulate(&events).unwrap();
    let (mut invited, mut bytes, mut joules) = (0, 0, 0.0);
    for event in &events {
        match &event.kind {
            EventKind::RoundOpened { invited: devices, .. } => invited += devices.len(),
            EventKind::DownloadFinished { bytes: b, joules: j, .. }
            | EventKind::UploadFinished { bytes: b, joules: j, .. } => {
                (bytes, joules) = (bytes + b, joules + j)
            }
            EventKind::TrainingFinished { joules: j, .. } => joules += j,
            _ => {}
        }
    }
    assert_eq!(tables.reports.len(), invited);
    let outcomes = Reason::ALL.into_iter().map(Outcome::Not).chain([Outcome::Accepted]);
    assert_eq!(outcomes.map(|outcome| tables.count(outcome)).sum::<u64>(), invited as u64);
    assert_eq!(tables.rounds.iter().map(|row| row.bytes_up + row.bytes_down).sum::<u64>(), bytes);
    assert_eq!(tables.reports.iter().map(|row| row.bytes_up + row.bytes_down).sum::<u64>(), bytes);
    assert_eq!(tables.rounds.iter().map(|row| row.joules).sum::<f64>(), joules);
    assert_eq!(tables.reports.iter().map(|row| row.joules).sum::<f64>(), joules);
    assert_eq!(tables.run.events, events.len() as u64);
}

#[test]
fn a_rounds_time_is_split_along_the_device_accepted_last() {
    let tables = tabulate(&run()).unwrap();
    let first = &tables.rounds[0];
    assert_eq!(
        (first.wait_s, first.down_s, first.compute_s, first.up_s, first.cloud_s),
        (1.0, 3.0, 5.0, 3.0, 3.0)
    );
    assert_eq!(first.duration_s(), Some(15.0));
    let void = &tables.rounds[1];
    assert_eq!((void.wait_s, void.void, void.accepted), (5.0, true, 0));
    assert_eq!(first.loss, Some(3.0));
}

#[test]
fn a_second_outcome_in_one_round_is_refused() {
    let mut events = run();
    let accepted = |event: &Event| matches!(event.kind, EventKind::UpdateAccepted { .. });
    let again = events.iter().find(|event| accepted(event)).unwrap().clone();
    events.push(again);
    let error = tabulate(&events).unwrap_err();
    assert!(matches!(error, TableError::TwoOutcomes { round: 1, device: 0, .. }), "{error}");
    assert!(matches!(tabulate(&events[1..]), Err(TableError::NoBeginning)));
}

#[test]
fn a_stranger_in_a_round_is_named() {
    let mut events = run();
    let mut stranger = events.last().unwrap().clone();
    stranger.kind = EventKind::DownloadStarted { round: 2, device: 1, bytes: 1 };
    events.push(stranger);
    let error = tabulate(&events).unwrap_err().to_string();
    assert_eq!(error, "an event at 20 s says that device 1 took part in round 2, which did not invite it");
}

/// A line that names four million devices is short once it is compressed, and its rows would take a gigabyte.
#[test]
fn invitations_that_the_fleet_cannot_answer_are_refused() {
    let begin = run().remove(0);
    let refused = |kinds: &[EventKind]| {
        let events = kinds.iter().map(|kind| Event { kind: kind.clone(), ..begin.clone() });
        let events: Vec<Event> = std::iter::once(begin.clone()).chain(events).collect();
        tabulate(&events).unwrap_err().to_string()
    };
    let opened = |invited: Vec<u32>| EventKind::RoundOpened { round: 1, invited };
    assert_eq!(refused(&[opened(vec![0; 4_000_000])]), "round 1 invites device 0 twice");
    assert_eq!(refused(&[opened(vec![3, 1, 2, 3])]), "round 1 invites device 3 twice");
    assert_eq!(refused(&[opened(vec![4, 1])]), "round 1 invites device 4 of a fleet of 4");
    let later = |device| EventKind::Invited { round: 1, device };
    assert_eq!(refused(&[opened(vec![1]), later(1)]), "round 1 invites device 1 twice");
    assert_eq!(refused(&[opened(vec![1]), later(2), later(2)]), "round 1 invites device 2 twice");
    assert_eq!(refused(&[opened(vec![1]), later(9)]), "round 1 invites device 9 of a fleet of 4");
}

#[test]
fn the_summary_has_exactly_the_documented_keys() {
    let json = serde_json::to_string_pretty(&summary(&[])).unwrap();
    let keys: Vec<String> = json
        .lines()
        .filter(|line| line.starts_with("  \""))
        .map(|line| line.trim().split('"').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        keys,
        [
            "format",
            "name",
            "seed",
            "method",
            "status",
            "ended",
            "digest",
            "schedule_digest",
            "scenario_digest",
            "metrics",
            "start",
            "expectations",
            "warnings",
            "wall"
        ]
    );
    let wall = serde_json::to_value(&summary(&[]).wall).unwrap();
    let wall: BTreeSet<String> = wall.as_object().unwrap().keys().cloned().collect();
    let documented = "device events events_per_second peak_rss_bytes seconds threads train_tokens_per_second trained_tokens";
    assert_eq!(wall.iter().cloned().collect::<Vec<_>>().join(" "), documented);
}

#[test]
fn the_metrics_have_the_documented_names_and_values() {
    let summary = summary(&[]);
    let metrics: Vec<String> =
        summary.metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(
        metrics,
        [
            "cloud.rouge-l 42",
            "cost.total_usd 0.5",
            "downlink.total_bytes 260",
            "edge-all.rouge-l.mean 44",
            "edge.rouge-l.domain.med 45",
            "edge.rouge-l.mean 55",
            "edge.rouge-l.p10 51",
            "edge.rouge-l.p90 59",
            "energy.marginal_joules 32",
            "energy.total_joules 132",
            "participation.gini 0.5",
            "round.duration.mean_seconds 10",
            "round.duration.p95_seconds 14.5",
            "rounds 2",
            "steps.skipped 0",
            "tokens.cloud 1000",
            "tokens.device 1000",
            "updates.accepted 2",
            "updates.battery 0",
            "updates.crashed 0",
            "updates.download-lost 1",
            "updates.dropped-while-training 0",
            "updates.late 0",
            "updates.offline 1",
            "updates.refused-memory 0",
            "updates.rejected 0",
            "updates.stale 0",
            "updates.upload-lost 0",
            "uplink.total_bytes 100",
            "virtual.seconds 20",
            "wasted.total_bytes 60",
        ]
    );
    let start: Vec<String> = summary.start.iter().map(|(name, value)| format!("{name} {value}")).collect();
    assert_eq!(
        start,
        [
            "cloud.rouge-l 35",
            "edge.rouge-l.domain.med 30",
            "edge.rouge-l.mean 40.5",
            "edge.rouge-l.p10 40.1",
            "edge.rouge-l.p90 40.9",
        ]
    );
    assert_eq!(summary.ended.as_deref(), Some("rounds"));
    assert_eq!(summary.warnings, ["device 2 diverged", "round 2 is void"]);
}

#[test]
fn skipped_steps_are_counted_and_told_once() {
    let mut events = run();
    let at = events
        .iter()
        .position(|event| matches!(event.kind, EventKind::Warning { learned: true, .. }))
        .unwrap();
    for (text, skipped) in [("device 3 diverged", 2), ("device 4 diverged", 4)] {
        let kind = EventKind::Warning { text: text.into(), learned: true, skipped };
        events.insert(at + 1, Event { kind, ..events[at].clone() });
    }
    let summary = summary_of(&events, &[]);
    assert_eq!(summary.metrics["steps.skipped"], 6.0);
    let told = "device 4 diverged (6 steps in 2 jobs altogether)";
    assert_eq!(summary.warnings, [told, "device 2 diverged", "round 2 is void"]);
}

#[test]
fn expectations_are_met_missed_or_skipped() {
    let expect = |metric: &str, min, max| Expectation { metric: metric.into(), min, max };
    let results = summary(&[
        expect("edge.rouge-l.mean", Some(28.0), None),
        expect("virtual.seconds", None, Some(19.0)),
        expect("proxy.rouge-l", Some(1.0), None),
    ])
    .expectations;
    let verdicts: Vec<_> = results.iter().map(|result| (result.passed, result.skipped)).collect();
    assert_eq!(verdicts, [(Some(true), false), (Some(false), false), (None, true)]);
    let json = serde_json::to_string(&results[2]).unwrap();
    assert_eq!(json, r#"{"metric":"proxy.rouge-l","skipped":true,"min":1.0}"#);
}

#[test]
fn a_metric_that_is_no_number_is_absent_and_warned_about() {
    let mut events = run();
    for event in &mut events {
        if let EventKind::Evaluated { value, device: None, round: 2, .. } = &mut event.kind {
            *value = Some(f64::NAN);
        }
    }
    let tables = tabulate(&events).unwrap();
    let summary = summarize("demo", Status::Complete, &tables, &EventDigest::new(), &[], Wall::default());
    assert!(!summary.metrics.contains_key("cloud.rouge-l"));
    assert!(summary.warnings.iter().any(|warning| warning.starts_with("cloud.rouge-l is not")));
}

/// Two rounds that overlap: what is accepted late counts for the round that aggregates it, and its bytes for the round
/// that sent the model; what a void round accepted is wasted where it was spent.
#[test]
fn a_late_update_belongs_to_two_rounds_and_is_lost_with_the_one_that_aggregates_it() {
    let tables = tabulate(&buffered()).unwrap();
    let rounds: Vec<_> = tables
        .rounds
        .iter()
        .map(|row| {
            (row.round, row.invited, row.accepted, row.void, row.bytes_up + row.bytes_down, row.wasted_bytes)
        })
        .collect();
    assert_eq!(rounds, [(1, 3, 1, false, 350, 200), (2, 1, 2, true, 150, 150)]);
    let reports: Vec<_> = tables
        .reports
        .iter()
        .map(|row| (row.round, row.device, row.staleness, row.weight, row.wasted_bytes, row.wasted_joules))
        .collect();
    let lost = [(1, 2, 0, 0.0, 50, 2.0), (1, 4, 1, 0.0, 150, 5.0), (2, 0, 0, 0.0, 150, 5.0)];
    assert_eq!(reports, [&[(1, 0, 0, 12.0, 0, 0.0)][..], &lost].concat());
    assert_eq!(tables.rounds[0].up_s, 3.0, "along the device that was accepted into it");
}

#[test]
fn a_summary_reads_back_as_written() {
    let summary = summary(&[]);
    let json = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
}

#[test]
fn quantiles_interpolate_and_gini_counts_those_who_never_took_part() {
    assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
    assert_eq!(quantile(&[7.0], 0.9), 7.0);
    assert!(quantile(&[], 0.5).is_nan());
    assert_eq!(gini(vec![5, 5, 5, 5], 4), 0.0);
    assert_eq!(gini(vec![9], 10), 0.9);
    assert_eq!(gini(vec![1, 3], 2), 0.25);
}

#[test]
fn the_tables_become_csv_files_and_the_fleet_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tabulate(&run()).unwrap();
    tables.write_csv(folder.path()).unwrap();
    let reports = fs::read_to_string(folder.path().join("reports.csv")).unwrap();
    assert_eq!(reports.lines().count(), 1 + tables.reports.len());
    assert!(reports.contains("\n1,1,download-lost,3,0,0,1,3,,,,,60,0,60,2,2\n"), "{reports}");

    let metrics = folder.path().join("metrics.csv");
    write_metrics_csv(&scores(&tables.evaluations), &metrics).unwrap();
    let metrics = fs::read_to_string(metrics).unwrap();
    assert!(
        metrics.starts_with("virtual_s,round,scope,metric,value\n0,0,edge,rouge-l.domain.med,30\n")
            || metrics.contains("\n0,0,edge,rouge-l.mean,40.5\n"),
        "{metrics}"
    );

    let device = |device: u32, class: &str| FleetRow {
        device,
        class: class.into(),
        model: "edge-m".into(),
        compute_flops: 9e11,
        memory_bytes: 6 << 30,
        down_bps: 8.1e7,
        up_bps: 0.1 + 0.2,
        rtt_s: 0.035,
        examples: vec![device, 2],
    };
    let fleet = Fleet {
        domains: vec!["med".into(), "law, \"old\"".into()],
        devices: vec![device(0, "phone"), device(1, "phone"), device(4, "gateway")],
    };
    fleet.write_csv(folder.path()).unwrap();
    let csv = fs::read_to_string(folder.path().join("fleet.csv")).unwrap();
    assert!(csv.starts_with("device,class,") && csv.contains(",\"examples.law, \"\"old\"\"\"\n"), "{csv}");
    fleet.write_parquet(folder.path()).unwrap();
    assert_eq!(Fleet::read_parquet(folder.path()).unwrap(), fleet);
    assert_eq!(fleet.device(4).map(|row| &*row.class), Some("gateway"));

    fs::write(folder.path().join("fleet.parquet"), "device,class\n").unwrap();
    let error = Fleet::read_parquet(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("fleet.parquet"), "{error}");
}

#[test]
fn a_fleet_whose_devices_are_all_alike_is_not_taken_for_one_that_lies() {
    let folder = tempfile::tempdir().unwrap();
    let device = |device: u32| device_of(device, "phone", vec![40]);
    let fleet = Fleet { domains: vec!["med".into()], devices: (0..400_000).map(device).collect() };
    fleet.write_parquet(folder.path()).unwrap();
    let bytes = fs::metadata(folder.path().join("fleet.parquet")).unwrap().len();
    println!("{} devices in {bytes} bytes", fleet.devices.len());
    assert!(Fleet::read_parquet(folder.path()).unwrap() == fleet);
}

/// A device, its class and how many examples of each domain it has.
fn device_of(device: u32, class: &str, examples: Vec<u32>) -> FleetRow {
    FleetRow {
        device,
        class: class.into(),
        model: "edge-m".into(),
        compute_flops: 9e11,
        memory_bytes: 6 << 30,
        down_bps: 8e7,
        up_bps: 1e7,
        rtt_s: 0.035,
        examples,
    }
}

#[test]
fn a_name_is_kept_once_however_often_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let by_turns = |names: [&str; 2]| {
        let device = |device: u32| device_of(device, names[device as usize % 2], Vec::new());
        let fleet = Fleet { domains: Vec::new(), devices: (0..100).map(device).collect() };
        fleet.write_parquet(folder.path()).unwrap();
        Fleet::read_parquet(folder.path())
    };
    let read = by_turns(["phone", "gateway"]).unwrap().devices;
    assert_eq!((&*read[0].class, &*read[1].class), ("phone", "gateway"));
    for pair in read.windows(3) {
        assert!(Arc::ptr_eq(&pair[0].class, &pair[2].class) && Arc::ptr_eq(&pair[0].model, &pair[1].model));
    }
    let refused = by_turns(["phone", &"x".repeat(1 << 20)]).unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("a name of 1048576 bytes"), "{why}");
}

#[test]
fn a_file_is_refused_for_all_its_columns_together() {
    let folder = tempfile::tempdir().unwrap();
    let domains = (0..108).map(|domain| format!("d{domain}")).collect();
    let devices = (0..10_000).map(|device| device_of(device, "phone", vec![40; 108])).collect();
    Fleet { domains, devices }.write_parquet(folder.path()).unwrap();
    let open = || fs::File::open(folder.path().join("fleet.parquet")).unwrap();
    let refused = read_foreign(open(), 0, |_| ()).unwrap_err().to_string();
    assert!(refused.contains("its columns have"), "{refused}");
    assert_eq!(Fleet::read_parquet(folder.path()).unwrap().devices.len(), 10_000, "at its own size it may");
}

#[test]
fn a_panic_over_a_parquet_file_is_its_damage() {
    let folder = tempfile::tempdir().unwrap();
    tabulate(&run()).unwrap().write_parquet(folder.path()).unwrap();
    let open = || fs::File::open(folder.path().join("rounds.parquet")).unwrap();
    assert_eq!(read_foreign(open(), 1, |_| 7).unwrap(), 7);
    let error = read_foreign(open(), 1, |_| -> u8 { panic!("row {}", 3) }).unwrap_err().to_string();
    assert!(error.contains("it is damaged: row 3"), "{error}");
}

#[test]
fn a_parquet_table_says_what_its_csv_says() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tabulate(&run()).unwrap();
    tables.write_csv(folder.path()).unwrap();
    tables.write_parquet(folder.path()).unwrap();
    for name in ["rounds", "reports", "evaluations", "faults"] {
        let mut csv = csv::Reader::from_path(folder.path().join(name).with_extension("csv")).unwrap();
        let file = fs::File::open(folder.path().join(name).with_extension("parquet")).unwrap();
        let parquet = SerializedFileReader::new(file).unwrap();
        let rows: Vec<_> = parquet.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        let header: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
        let lines: Vec<_> = csv.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), lines.len(), "{name}");
        for (row, line) in rows.iter().zip(&lines) {
            let cells: Vec<(&String, String)> =
                row.get_column_iter().map(|(name, field)| (name, text(field))).collect();
            assert_eq!(cells.iter().map(|(name, _)| (*name).clone()).collect::<Vec<_>>(), header, "{name}");
            assert_eq!(
                cells.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>(),
                line.iter().collect::<Vec<_>>()
            );
        }
    }
}

/// A value as CSV has it.
fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Long(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        Field::Bool(value) => value.to_string(),
        Field::Str(value) => value.clone(),
        other => panic!("no table has {other:?}"),
    }
}
