//! Section 4: who was invited, who contributed, and why not.

use cotune_record::{Outcome, Reason, Tables, participation};
use maud::{Markup, html};

use super::{bar, cell, table};
use crate::ReportInput;
use crate::chart::{Bars, Part, Stack};
use crate::format;

pub fn render(input: &ReportInput) -> Option<Markup> {
    let tables = input.tables;
    if tables.reports.is_empty() {
        return None;
    }
    let gini = input.summary.metrics.get("participation.gini");
    Some(html! {
        (outcomes(tables))
        h3 { "By class" }
        (classes(input))
        h3 { "Updates accepted per device" }
        @if let Some(gini) = gini {
            p.note { "Gini coefficient " (format!("{gini:.2}")) ": 0 if every device contributed equally often, near 1 if a few contributed everything." }
        }
        (histogram(input))
    })
}

fn outcomes(tables: &Tables) -> Markup {
    let all = tables.reports.len() as f64;
    let row = |name: &str, class: &str, outcome: Option<Outcome>| {
        let reports = tables.reports.iter().filter(|report| report.outcome == outcome);
        let (number, bytes, joules) = reports.fold((0_u64, 0, 0.0), |sums, report| {
            (sums.0 + 1, sums.1 + report.wasted_bytes, sums.2 + report.wasted_joules)
        });
        // What was accepted is wasted only in rounds that turned out void.
        let none = outcome == Some(Outcome::Accepted) && bytes == 0;
        let waste = |text: String| if none { "–".to_owned() } else { text };
        let cells = vec![
            cell(name),
            cell(format::count(number as f64)),
            cell(format::share(number as f64, all)),
            bar(class, number as f64, all),
            cell(waste(format::bytes(bytes as f64))),
            cell(waste(format::joules(joules))),
        ];
        (number, cells)
    };
    let mut rows = vec![row("accepted", "compute", Some(Outcome::Accepted)).1];
    let mut never = Vec::new();
    for reason in Reason::ALL {
        let (number, cells) = row(reason.name(), "lost", Some(Outcome::Not(reason)));
        if number > 0 { rows.push(cells) } else { never.push(reason.name()) }
    }
    let (pending, cells) = row("still at work when the run ended", "wait", None);
    if pending > 0 {
        rows.push(cells);
    }
    html! {
        p.note { (format::count(all)) " invitations, each with one outcome." }
        (table(&["Outcome", "Devices", "Share", "", "Wasted bytes", "Wasted energy"], &rows))
        @if !never.is_empty() { p.note { "Never: " (never.join(", ")) "." } }
        @if let Some((mean, most)) = staleness(tables) {
            p.note { "An accepted update was " (format::significant(mean)) " models behind on average, and " (most) " at most." }
        }
    }
}

/// Mean and largest staleness of the accepted updates, where any is behind.
fn staleness(tables: &Tables) -> Option<(f64, u32)> {
    let accepted = tables.reports.iter().filter(|report| report.outcome == Some(Outcome::Accepted));
    let (sum, number, most) = accepted.fold((0.0, 0.0, 0), |(sum, number, most), report| {
        (sum + f64::from(report.staleness), number + 1.0, report.staleness.max(most))
    });
    (most > 0).then_some((sum / number, most))
}

fn classes(input: &ReportInput) -> Markup {
    let fleet = input.fleet;
    let rows: Vec<Vec<Markup>> = fleet
        .classes()
        .iter()
        .map(|class| {
            let devices = fleet.devices.iter().filter(|row| row.class == *class).count() as f64;
            let of_class = |device: u32| fleet.device(device).is_some_and(|row| row.class == *class);
            let reports: Vec<_> = input.tables.reports.iter().filter(|row| of_class(row.device)).collect();
            let accepted: Vec<_> =
                reports.iter().filter(|row| row.outcome == Some(Outcome::Accepted)).collect();
            let number = accepted.len() as f64;
            let seconds: f64 = accepted
                .iter()
                .map(|row| row.download.seconds() + row.training.seconds() + row.upload.seconds())
                .sum();
            vec![
                cell(class),
                cell(format::count(devices)),
                cell(format::count(reports.len() as f64)),
                cell(format::count(number)),
                cell(format::share(number, reports.len() as f64)),
                bar("compute", number, reports.len() as f64),
                cell(if devices > 0.0 { format::significant(number / devices) } else { "–".into() }),
                cell(if number > 0.0 { format::seconds(seconds / number) } else { "–".into() }),
            ]
        })
        .collect();
    let head =
        ["Class", "Devices", "Invited", "Accepted", "Share", "", "Accepted per device", "Busy per update"];
    table(&head, &rows)
}

fn histogram(input: &ReportInput) -> Markup {
    const PARTS: [Part; 1] = [Part { class: "compute", label: "devices with so many accepted updates" }];
    let counts = participation(input.tables);
    let most = counts.values().copied().max().unwrap_or(0);
    let width = (most + 1).div_ceil(30).max(1);
    let bins = usize::try_from(most / width + 1).unwrap_or(1);
    let mut devices = vec![0_u64; bins];
    devices[0] += u64::from(input.tables.run.devices).saturating_sub(counts.len() as u64);
    for count in counts.values() {
        devices[usize::try_from(count / width).unwrap_or(0)] += 1;
    }
    let stack = |(index, number): (usize, &u64)| {
        let (from, to) = (index as u64 * width, (index as u64 + 1) * width - 1);
        let range = if from == to { from.to_string() } else { format!("{from}–{to}") };
        Stack {
            from: u32::try_from(from).unwrap_or(u32::MAX),
            to: u32::try_from(to).unwrap_or(u32::MAX),
            values: vec![*number as f64],
            words: format!("{} with {range} accepted updates", format::plural(*number as usize, "device")),
            marked: false,
        }
    };
    let bars = Bars {
        title: "Devices by number of accepted updates",
        y_label: "devices",
        x_label: "accepted updates",
        parts: &PARTS,
        stacks: devices.iter().enumerate().map(stack).collect(),
        height: 170.0,
    };
    bars.draw()
}
