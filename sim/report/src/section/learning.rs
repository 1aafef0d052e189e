//! Section 2: how good the models got, by virtual time and by round.

use cotune_record::{Scope, Score, scores};
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
            @for metric in metrics.iter().filter(|metric| **metric != "loss") { (picture(input, &scores, metric, true)) }
            @for metric in metrics.iter().filter(|metric| **metric != "loss") { (picture(input, &scores, metric, false)) }
            @if metrics.contains(&"loss") {
                (picture(input, &scores, "loss", true))
                (picture(input, &scores, "loss", false))
            }
        }
        @if !input.tables.faults.is_empty() && input.tables.faults.len() <= MOST_MARKS {
            p.note { "Ticks on the time axis are faults." }
        }
        (super::budget::render(input))
    })
}

fn has(scores: &[Score], metric: &str) -> bool {
    scores.iter().any(|score| score.statistic.split('.').next() == Some(metric))
}

fn picture(input: &ReportInput, scores: &[Score], metric: &str, by_time: bool) -> Markup {
    let unit = TimeUnit::of(input.tables.run.seconds);
    let x_of = |score: &Score| if by_time { score.time_s / unit.seconds } else { f64::from(score.round) };
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
    let last_round = scores.iter().map(|score| score.round).max().unwrap_or(0);
    let x_label = if by_time { format!("virtual time [{}]", unit.name) } else { "round".to_owned() };
    let faults = &input.tables.faults;
    let marks = faults.iter().filter(|_| by_time && faults.len() <= MOST_MARKS);
    let y_unit = if metric == "loss" { "nat per token, lower is better" } else { "0–100" };
    let chart = LineChart {
        title: format!("{} by {x_label}", format::metric(metric)),
        x_label: &x_label,
        x_begin: 0.0,
        x_end: if by_time { input.tables.run.seconds / unit.seconds } else { f64::from(last_round) },
        x_whole: !by_time,
        series: series.collect(),
        marks: marks.map(|fault| (fault.time_s / unit.seconds, fault.kind.to_string())).collect(),
        steps: false,
        decimals: if metric == "loss" { 2 } else { 1 },
    };
    html! {
        figure {
            figcaption { b { (format::metric(metric)) } " " span { (if by_time { "by virtual time" } else { "by round" }) ", " (y_unit) } }
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
