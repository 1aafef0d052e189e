//! Section 2: how good the models got, by virtual time and by round.

use cotune_record::{RoundRow, Scope, Score, scores};
use maud::{Markup, html};

use crate::ReportInput;
use crate::chart::{Band, LineChart, Series, TimeUnit};
use crate::format;

/// Faults drawn on a time axis at most; more would be a grey bar.
const MOST_MARKS: usize = 150;

pub fn render(input: &ReportInput) -> Option<Markup> {
    let scores = scores(&input.tables.evaluations);
    if scores.is_empty() {
        return Some(html! {
            p { "No model was scored: this run simulated the system without training." }
            (super::budget::render(input))
        });
    }
    let metrics = ["rouge-l", "exact-match", "loss"].into_iter().filter(|metric| has(&scores, metric));
    let metrics: Vec<&str> = metrics.collect();
    Some(html! {
        p.note {
            "Edge: mean over the panel's devices, each on its own mix of domains; the shaded band reaches from the 10th to the 90th percentile of devices. "
            "Edge, all: the same models on all domains. Rouge-L can be high on filler words alone: read it beside exact match."
        }
        @if let Some(words) = trained_for_others(input) { p.note { (words) } }
        div.pair {
            @for over in [Over::Time, Over::Rounds] {
                @for metric in metrics.iter().filter(|metric| **metric != "loss") { (picture(input, &scores, metric, over)) }
            }
            @if metrics.contains(&"loss") {
                (picture(input, &scores, "loss", Over::Time))
                (picture(input, &scores, "loss", Over::Rounds))
            }
        }
        @if input.tables.rounds.iter().any(|row| row.bytes_up > 0) {
            details {
                summary { "The same by bytes sent and by energy spent" }
                div.pair {
                    @for metric in &metrics {
                        (picture(input, &scores, metric, Over::Bytes))
                        (picture(input, &scores, metric, Over::Joules))
                    }
                }
            }
        }
        @if !input.tables.faults.is_empty() && input.tables.faults.len() <= MOST_MARKS {
            p.note { "Ticks on the time axis are faults." }
        }
        (super::budget::render(input))
    })
}

/// What curves run over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Time,
    Rounds,
    /// Bytes that devices had sent.
    Bytes,
    /// Energy that devices had spent above idle.
    Joules,
}

impl Over {
    /// Where a score stands, in SI units.
    fn of(self, input: &ReportInput, score: &Score) -> f64 {
        let before = || input.tables.rounds.iter().filter(|row| row.round <= score.round);
        match self {
            Self::Time => score.time_s,
            Self::Rounds => f64::from(score.round),
            Self::Bytes => before().map(|row| row.bytes_up as f64).sum(),
            Self::Joules => before().map(|row| row.joules).sum(),
        }
    }

    /// Where the axis ends at least.
    fn end(self, input: &ReportInput) -> f64 {
        if self == Self::Time { input.tables.run.seconds } else { 0.0 }
    }

    /// A unit in which numbers are short, and its name.
    fn scale(self, input: &ReportInput) -> (f64, &'static str) {
        let fit = |most: f64, units: &[(f64, &'static str)]| {
            units.iter().rev().find(|(size, _)| most >= *size).copied().unwrap_or(units[0])
        };
        let sum = |of: fn(&RoundRow) -> f64| input.tables.rounds.iter().map(of).sum::<f64>();
        match self {
            Self::Time => {
                let unit = TimeUnit::of(input.tables.run.seconds);
                (unit.seconds, unit.name)
            }
            Self::Rounds => (1.0, ""),
            Self::Bytes => fit(
                sum(|row| row.bytes_up as f64),
                &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")],
            ),
            Self::Joules => fit(sum(|row| row.joules), &[(1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ")]),
        }
    }

    fn label(self, unit: &str) -> String {
        match self {
            Self::Time => format!("virtual time [{unit}]"),
            Self::Rounds => "round".to_owned(),
            Self::Bytes => format!("sent by devices [{unit}]"),
            Self::Joules => format!("energy above idle [{unit}]"),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Time => "by virtual time",
            Self::Rounds => "by round",
            Self::Bytes => "by bytes sent",
            Self::Joules => "by energy",
        }
    }
}

fn has(scores: &[Score], metric: &str) -> bool {
    scores.iter().any(|score| score.statistic.split('.').next() == Some(metric))
}

fn picture(input: &ReportInput, scores: &[Score], metric: &str, over: Over) -> Markup {
    let by_time = over == Over::Time;
    let scale = over.scale(input);
    let x_of = |score: &Score| over.of(input, score) / scale.0;
    let series = [
        (Scope::Cloud, "cloud", "cloud"),
        (Scope::Proxy, "proxy", "proxy"),
        (Scope::Edge, "edge", "edge"),
        (Scope::EdgeAll, "edge, all", "edge-all"),
    ];
    let series = series.into_iter().filter_map(|(scope, label, class)| {
        let statistic = match scope {
            Scope::Edge | Scope::EdgeAll => format!("{metric}.mean"),
            Scope::Cloud | Scope::Proxy | Scope::Relay => metric.to_owned(),
        };
        let of = |statistic: &str| -> Vec<(f64, f64, String)> {
            let wanted = |score: &&Score| score.scope == scope && score.statistic == statistic;
            scores
                .iter()
                .filter(wanted)
                .map(|score| {
                    let when = format!("round {}, {}", score.round, format::seconds(score.time_s));
                    (x_of(score), score.value, format!("{label} {:.2}\n{when}", score.value))
                })
                .collect()
        };
        let points = of(&statistic);
        let (low, high) = (of(&format!("{metric}.p10")), of(&format!("{metric}.p90")));
        let around: Vec<_> = low.iter().zip(&high).map(|(low, high)| (low.0, low.1, high.1)).collect();
        let band = (around.len() > 1).then_some(Band { points: around });
        (!points.is_empty()).then(|| Series { label: label.to_owned(), class, points, band })
    });
    let x_label = over.label(scale.1);
    let faults = &input.tables.faults;
    let marks = faults.iter().filter(|_| by_time && faults.len() <= MOST_MARKS);
    let y_unit = if metric == "loss" { "nat per token, lower is better" } else { "0–100" };
    let chart = LineChart {
        title: format!("{} by {x_label}", format::metric(metric)),
        x_label: &x_label,
        x_begin: 0.0,
        x_end: scores.iter().map(x_of).fold(over.end(input) / scale.0, f64::max),
        x_whole: over == Over::Rounds,
        series: series.collect(),
        marks: marks.map(|fault| (fault.time_s / scale.0, fault.kind.to_string())).collect(),
        steps: false,
        decimals: if metric == "loss" { 2 } else { 1 },
    };
    html! {
        figure {
            figcaption { b { (format::metric(metric)) } " " span { (over.words()) ", " (y_unit) } }
            (chart.draw())
        }
    }
}

/// Whose scores these are where something else is paid for: quality is that of the models that train.
fn trained_for_others(input: &ReportInput) -> Option<String> {
    let billed = input.models.iter().filter(|model| model.trained_as != model.billed_as);
    let lines: Vec<String> = billed
        .map(|model| format!("{} scores as {}, billed as {}", model.name, model.trained_as, model.billed_as))
        .collect();
    (!lines.is_empty())
        .then(|| format!("Quality is that of the models that really train: {}.", lines.join("; ")))
}
