//! Section 3: what rounds were made of, and one round seen closely.

use std::collections::BTreeMap;

use cotune_record::{Fleet, Outcome, ReportRow, RoundRow, Span, Tables};
use maud::{Markup, html};

use super::{cell, stacked_by, stacks, table};
use crate::ReportInput;
use crate::chart::{Bars, Lane, Part, Segment, Strip, Strips, TimeUnit, Timeline, legend};
use crate::format;

const PARTS: [Part; 5] = [
    Part { class: "down", label: "download" },
    Part { class: "compute", label: "device work" },
    Part { class: "up", label: "upload" },
    Part { class: "cloudwork", label: "cloud" },
    Part { class: "wait", label: "waiting" },
];

/// Devices a timeline shows at most.
const MOST_LANES: usize = 32;

pub fn render(input: &ReportInput) -> Option<Markup> {
    let closed: Vec<RoundRow> =
        input.tables.rounds.iter().filter(|row| row.closed_s.is_some()).cloned().collect();
    let longest = closed.iter().filter_map(RoundRow::duration_s).fold(0.0, f64::max);
    if closed.is_empty() {
        return None;
    }
    let unit = TimeUnit::of(longest);
    let (group, stacks) = stacks(
        &closed,
        |row| parts(row).map(|seconds| seconds / unit.seconds).to_vec(),
        |values| {
            let named = PARTS.iter().zip(values);
            let lines = named
                .map(|(part, value)| format!("{} {}", part.label, format::seconds(value * unit.seconds)));
            lines.collect::<Vec<_>>().join("\n")
        },
    );
    let bars = Bars {
        title: "Time per round, split",
        y_label: unit.name,
        x_label: &stacked_by(group, &stacks),
        parts: &PARTS,
        stacks,
        height: 260.0,
    };
    Some(html! {
        p.note {
            "Along the device whose update was accepted last in its round. What is neither its transfers, its work nor the cloud's is waiting: for devices to come online, for a turn on the link, for stragglers."
        }
        (bars.draw())
        (totals(&closed))
        (whole_run(input.tables, input.fleet))
        @if let Some(row) = characteristic(&closed) { (close_up(input.tables, input.fleet, row)) }
    })
}

fn parts(row: &RoundRow) -> [f64; 5] {
    [row.down_s, row.compute_s, row.up_s, row.cloud_s, row.wait_s]
}

fn totals(rounds: &[RoundRow]) -> Markup {
    let whole: f64 = rounds.iter().flat_map(parts).sum();
    let rows: Vec<Vec<Markup>> = PARTS
        .iter()
        .enumerate()
        .map(|(index, part)| {
            let sum: f64 = rounds.iter().map(|row| parts(row)[index]).sum();
            vec![
                html! { i.swatch.(part.class) {} (part.label) },
                cell(format::seconds(sum)),
                cell(format::seconds(sum / rounds.len() as f64)),
                cell(format::share(sum, whole)),
                super::bar(part.class, sum, whole),
            ]
        })
        .collect();
    table(&["", "All rounds", "Per round", "Share", ""], &rows)
}

/// Everything that devices did, those that did most first.
fn whole_run(tables: &Tables, fleet: &Fleet) -> Markup {
    let mut by_device: BTreeMap<u32, Vec<&ReportRow>> = BTreeMap::new();
    for row in &tables.reports {
        by_device.entry(row.device).or_default().push(row);
    }
    let accepted =
        |rows: &[&ReportRow]| rows.iter().filter(|row| row.outcome == Some(Outcome::Accepted)).count();
    let mut devices: Vec<(u32, Vec<&ReportRow>)> = by_device.into_iter().collect();
    let all = devices.len();
    devices.sort_by_key(|(device, rows)| (std::cmp::Reverse(accepted(rows)), *device));
    let shown: Vec<&(u32, Vec<&ReportRow>)> = match all {
        0..=MOST_LANES => devices.iter().collect(),
        _ => (0..MOST_LANES).map(|index| &devices[index * (all - 1) / (MOST_LANES - 1)]).collect(),
    };
    let unit = TimeUnit::of(tables.run.seconds);
    let strips = shown.iter().map(|(device, rows)| {
        let stretches = |wanted: &dyn Fn(&ReportRow) -> bool| -> Vec<(f64, f64)> {
            let rows = rows.iter().filter(|row| wanted(row));
            rows.filter_map(|row| busy(row))
                .map(|(from, to)| (from / unit.seconds, to / unit.seconds))
                .collect()
        };
        let class = fleet.device(*device).map_or("", |device| &device.class);
        let words = format!("{class} {device}: {} invitations, {} accepted", rows.len(), accepted(rows));
        let counts = |row: &ReportRow| row.outcome == Some(Outcome::Accepted);
        Strip {
            label: format!("{} {device}", shorten(class)),
            stretches: vec![
                ("lost", stretches(&|row| !counts(row) && row.outcome.is_some())),
                ("wait", stretches(&|row| row.outcome.is_none())),
                ("compute", stretches(&counts)),
            ],
            words,
        }
    });
    let strips = Strips {
        title: "The whole run, device by device".to_owned(),
        x_label: format!("virtual time [{}]", unit.name),
        x_end: tables.run.seconds / unit.seconds,
        strips: strips.collect(),
    };
    let never = fleet.devices.len().saturating_sub(all);
    html! {
        h3 { "The whole run, device by device" }
        p.note {
            "When each device worked for the federation, transfers included: those with the most accepted updates first"
            @if all > MOST_LANES { "; " (MOST_LANES) " of " (all) " devices, evenly spaced" }
            "."
            @if never > 0 { " " (format::plural(never, "device")) " of the fleet " (if never == 1 { "was" } else { "were" }) " never invited." }
        }
        (legend([("compute", "for an update that counts"), ("lost", "for nothing"), ("wait", "not over at the end")]))
        (strips.draw())
    }
}

/// From when to when a device worked in a round \[s\]; nothing if it never began.
fn busy(row: &ReportRow) -> Option<(f64, f64)> {
    let spans = [row.download, row.training, row.upload];
    let from = spans.iter().filter_map(|span| span.from_s).reduce(f64::min)?;
    let to = spans.iter().filter_map(|span| span.to_s).chain(row.ended_s).reduce(f64::max)?;
    Some((from, to))
}

/// The round of median duration: neither the best nor the worst. Void rounds only if there are no others.
fn characteristic(rounds: &[RoundRow]) -> Option<&RoundRow> {
    let mut rows: Vec<&RoundRow> = rounds.iter().filter(|row| !row.void).collect();
    if rows.is_empty() {
        rows = rounds.iter().collect();
    }
    rows.sort_by(|a, b| a.duration_s().partial_cmp(&b.duration_s()).unwrap_or(std::cmp::Ordering::Equal));
    rows.get(rows.len() / 2).copied()
}

fn close_up(tables: &Tables, fleet: &Fleet, round: &RoundRow) -> Markup {
    let mut reports: Vec<&ReportRow> = tables.reports_of(round.round).iter().collect();
    reports.sort_by(|a, b| a.ended_s.partial_cmp(&b.ended_s).unwrap_or(std::cmp::Ordering::Equal));
    let all = reports.len();
    let shown: Vec<&ReportRow> = match all {
        0..=MOST_LANES => reports,
        _ => (0..MOST_LANES).map(|index| reports[index * (all - 1) / (MOST_LANES - 1)]).collect(),
    };
    let end = shown.iter().filter_map(|row| row.ended_s).chain(round.closed_s).fold(round.opened_s, f64::max);
    let unit = TimeUnit::of(end - round.opened_s);
    let x = |seconds: f64| (seconds - round.opened_s) / unit.seconds;
    let lanes = shown.iter().map(|row| {
        let pieces = [
            ("down", "download", row.download),
            ("compute", "work", row.training),
            ("up", "upload", row.upload),
        ];
        let class = fleet.device(row.device).map_or("", |device| &device.class);
        Lane {
            label: format!("{} {}", shorten(class), row.device),
            segments: pieces.into_iter().filter_map(|piece| segment(piece, x, row.ended_s)).collect(),
            end: row
                .outcome
                .zip(row.ended_s)
                .map(|(outcome, at)| (x(at), outcome.name(), outcome == Outcome::Accepted)),
        }
    });
    let timeline = Timeline {
        title: format!("Round {}, device by device", round.round),
        x_label: format!("time since the round opened [{}]", unit.name),
        x_end: x(end),
        closed: round.closed_s.map(x),
        lanes: lanes.collect(),
    };
    html! {
        h3 { "Round " (round.round) ", device by device" }
        p.note {
            "The round of median duration. A dot is an accepted update, a cross says why there is none, the line is the moment the round closed"
            @if all > MOST_LANES { "; " (MOST_LANES) " of its " (all) " devices, evenly spaced by when they ended" }
            "."
        }
        (timeline.draw())
    }
}

fn segment(
    (class, name, span): (&'static str, &str, Span),
    x: impl Fn(f64) -> f64,
    ended: Option<f64>,
) -> Option<Segment> {
    let from = span.from_s?;
    let to = span.to_s.or(ended)?;
    Some(Segment { class, span: (x(from), x(to)), words: format!("{name} {}", format::seconds(to - from)) })
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= 12 { name.to_owned() } else { name.chars().take(11).chain(['…']).collect() }
}
