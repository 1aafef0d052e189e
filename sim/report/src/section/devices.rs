//! Section 7: energy.

use maud::{Markup, html};

use super::{bar, cell, stacked_by, stacks, table};
use crate::ReportInput;
use crate::chart::{Bars, Part};
use crate::format;

const PARTS: [Part; 2] =
    [Part { class: "compute", label: "marginal energy, used" }, Part { class: "lost", label: "wasted" }];

pub fn render(input: &ReportInput) -> Option<Markup> {
    let marginal: f64 = input.tables.rounds.iter().map(|row| row.joules).sum();
    let idle = input.tables.run.idle_joules;
    if marginal + idle == 0.0 {
        return None;
    }
    let tallest = input.tables.rounds.iter().map(|row| row.joules).fold(0.0, f64::max);
    let (scale, unit) = match tallest {
        _ if tallest >= 1e6 => (1e6, "MJ"),
        _ if tallest >= 1e3 => (1e3, "kJ"),
        _ => (1.0, "J"),
    };
    let (group, stacks) = stacks(
        &input.tables.rounds,
        |row| vec![(row.joules - row.wasted_joules).max(0.0) / scale, row.wasted_joules / scale],
        |values| {
            format!(
                "used {}\nwasted {}",
                format::joules(values[0] * scale),
                format::joules(values[1] * scale)
            )
        },
    );
    let bars = Bars {
        title: "Marginal energy per round",
        y_label: unit,
        x_label: &stacked_by(group, &stacks),
        parts: &PARTS,
        stacks,
        height: 200.0,
    };
    let total = marginal + idle;
    Some(html! {
        p.note {
            "The devices drew " (format::joules(total)) " (" (format::significant(total / 3.6e6)) " kWh): "
            (format::joules(marginal)) " for this work, " (format::joules(idle)) " they would have drawn anyway."
        }
        @if marginal > 0.0 { (bars.draw()) (classes(input, marginal)) }
    })
}

fn classes(input: &ReportInput, marginal: f64) -> Markup {
    let fleet = input.fleet;
    let rows: Vec<Vec<Markup>> = fleet
        .classes()
        .iter()
        .map(|class| {
            let devices = fleet.devices.iter().filter(|row| row.class == *class).count() as f64;
            let reports = input.tables.reports.iter();
            let mine =
                reports.filter(|row| fleet.device(row.device).is_some_and(|device| device.class == *class));
            let (joules, wasted) =
                mine.fold((0.0, 0.0), |sums, row| (sums.0 + row.joules, sums.1 + row.wasted_joules));
            vec![
                cell(class),
                cell(format::joules(joules)),
                cell(format!("{} Wh", format::significant(joules / 3600.0 / devices.max(1.0)))),
                cell(format::share(wasted, joules)),
                cell(format::share(joules, marginal)),
                bar("compute", joules, marginal),
            ]
        })
        .collect();
    table(&["Class", "Marginal energy", "Per device", "Wasted", "Share", ""], &rows)
}
