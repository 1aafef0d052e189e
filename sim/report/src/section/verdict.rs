//! Section 1: the run in one screen.

use cotune_record::{ExpectationResult, Status};
use maud::{Markup, html};

use crate::ReportInput;
use crate::format;

/// Always there, so no option: the head of the page.
pub fn render(input: &ReportInput) -> Markup {
    let summary = input.summary;
    let warnings = summary.warnings.len() + summary.wall.warnings.len() + input.manifest.warnings.len();
    html! {
        header {
            p.eyebrow { "cotune · run report · " span.(status_class(summary.status)) { (summary.status) } }
            h1 { (summary.name) }
            p.lede {
                strong { (summary.method) } " on " (fleet_words(input)) ", seed " (summary.seed) ". "
                (ending_words(input))
            }
            @if !summary.expectations.is_empty() {
                ul.expectations { @for result in &summary.expectations { (expectation(result)) } }
            }
            @if warnings > 0 {
                p.attention { a href="#wrong" { (format::plural(warnings, "warning")) } " to read before trusting these numbers." }
            }
            div.cards { @for card in cards(input) { (card) } }
            @if !input.models.is_empty() {
                div.scroll {
                    table.models {
                        thead { tr { th { "Model" } th { "Trained as" } th { "Billed as" } } }
                        tbody {
                            @for model in input.models {
                                tr { td { (model.name) } td { (model.trained_as) } td { (model.billed_as) } }
                            }
                        }
                    }
                }
                p.note { "Learning is real and happens at the size on the left; time, memory, bytes and energy are charged for the size on the right." }
            }
            p.label { "Reproduce" }
            pre.command { code { (input.manifest.command) } }
            p.digest { "event digest " code { (summary.digest) } }
        }
    }
}

fn status_class(status: Status) -> &'static str {
    if status == Status::Complete { "good" } else { "bad" }
}

fn fleet_words(input: &ReportInput) -> String {
    let classes = input.fleet.classes();
    let total = format::plural(input.tables.run.devices as usize, "device");
    let counted = classes.iter().map(|class| {
        let number = input.fleet.devices.iter().filter(|row| row.class == *class).count();
        format!("{} {class}", format::count(number as f64))
    });
    if classes.len() > 1 { format!("{total} ({})", counted.collect::<Vec<_>>().join(", ")) } else { total }
}

fn ending_words(input: &ReportInput) -> String {
    let rounds =
        format::plural(input.tables.rounds.iter().filter(|row| row.closed_s.is_some()).count(), "round");
    let time = format::seconds(input.tables.run.seconds);
    let reach = format!("{rounds} in {time} of virtual time");
    match input.summary.ended.as_deref() {
        Some("virtual-time") => format!("{reach}, when the time was used up."),
        Some("rounds") => format!("{reach}, when the rounds were used up."),
        Some("uplink") => format!("{reach}, when the uplink budget was used up."),
        Some("exhausted") => format!("{reach}, then no device could take part any more."),
        Some("finished") => format!("{reach}, then the method was done."),
        Some(other) => format!("{reach}, ended by {other}."),
        None => format!("{reach} so far: the run did not reach its end."),
    }
}

fn expectation(result: &ExpectationResult) -> Markup {
    let (class, mark, word) = match result.passed {
        Some(true) => ("good", "✓", "met"),
        Some(false) => ("bad", "✗", "missed"),
        None => ("quiet", "–", "skipped"),
    };
    let mut bounds = Vec::new();
    bounds.extend(result.min.map(|min| format!("≥ {}", format::value(&result.metric, min))));
    bounds.extend(result.max.map(|max| format!("≤ {}", format::value(&result.metric, max))));
    html! {
        li.(class) {
            b { (mark) " " (word) } " " code { (result.metric) } " " (bounds.join(" and "))
            @if let Some(value) = result.value { " · it is " (format::value(&result.metric, value)) }
            @else { " · the run has no such metric" }
        }
    }
}

/// Six numbers: up to three scores, then time, bytes and energy, then money.
fn cards(input: &ReportInput) -> Vec<Markup> {
    const SCORES: [(&str, &str); 7] = [
        ("edge.rouge-l.mean", "Edge Rouge-L"),
        ("edge.exact-match.mean", "Edge exact match"),
        ("cloud.rouge-l", "Cloud Rouge-L"),
        ("cloud.exact-match", "Cloud exact match"),
        ("edge.loss.mean", "Edge loss"),
        ("cloud.loss", "Cloud loss"),
        ("proxy.rouge-l", "Proxy Rouge-L"),
    ];
    let metrics = &input.summary.metrics;
    let scores = SCORES.iter().filter_map(|(name, label)| {
        let end = *metrics.get(*name)?;
        Some(score_card(label, input.summary.start.get(*name).copied(), end, format::lower_is_better(name)))
    });
    let number = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    let system = [
        plain_card(
            "Virtual time",
            format::seconds(number("virtual.seconds")),
            metrics
                .get("round.duration.mean_seconds")
                .map(|mean| format!("{} a round", format::seconds(*mean))),
        ),
        plain_card(
            "Uplink",
            format::bytes(number("uplink.total_bytes")),
            Some(format!("{} down", format::bytes(number("downlink.total_bytes")))),
        ),
        plain_card(
            "Device energy",
            format::joules(number("energy.total_joules")),
            Some(format!(
                "{} of it idle",
                format::share(input.tables.run.idle_joules, number("energy.total_joules"))
            )),
        ),
        plain_card("Cloud cost", format::usd(number("cost.total_usd")), None),
        plain_card("Updates accepted", format::count(number("updates.accepted")), None),
        plain_card("Wasted on the wire", format::bytes(number("wasted.total_bytes")), None),
    ];
    scores.take(3).chain(system).take(6).collect()
}

fn score_card(label: &str, start: Option<f64>, end: f64, lower_is_better: bool) -> Markup {
    html! {
        div.card {
            p.label { (label) }
            p.number { (format!("{end:.1}")) }
            @if let Some(start) = start { p.from { "from " (format!("{start:.1}")) br; (delta(end - start, lower_is_better)) } }
        }
    }
}

fn plain_card(label: &str, number: String, below: Option<String>) -> Markup {
    html! {
        div.card {
            p.label { (label) }
            p.number {
                @for (index, word) in number.split(' ').enumerate() {
                    @if index > 0 { " " }
                    @if word.starts_with(char::is_alphabetic) { small { (word) } } @else { (word) }
                }
            }
            @if let Some(below) = below { p.from { (below) } }
        }
    }
}

/// A change with an arrow, and a colour that says whether it is an improvement.
pub fn delta(change: f64, lower_is_better: bool) -> Markup {
    let shown = format::change(change);
    let (class, arrow) = match () {
        () if shown.starts_with('±') => ("quiet", "="),
        () if (change < 0.0) == lower_is_better => ("good", if change < 0.0 { "▼" } else { "▲" }),
        () => ("bad", if change < 0.0 { "▼" } else { "▲" }),
    };
    html! { span.delta.(class) { (arrow) " " (shown) } }
}
