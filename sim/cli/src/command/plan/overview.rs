//! A plan in words: every choice and its price, so that nobody has to run it to find out.

use std::collections::BTreeMap;

use cotune_kernel::{Bytes, Flops, VirtualDuration};
use cotune_world::Overview;
use cotune_world::fleet::{Asked, Quantity, Tied};
use cotune_world::lab::{Fit, Intake};
use cotune_world::payload::Content;
use cotune_world::plan::ClassOverview;

use crate::columns::{columns, row};

/// Devices in the picture of the split at most.
const PICTURED: usize = 72;
/// Characters of an example at most.
const LONGEST: usize = 96;
/// Shares from none to all.
const SHADES: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The whole overview.
pub fn in_words(overview: &Overview) -> String {
    let mut sections = vec![
        format!("{}  {}, seed {}\n{}\n", overview.name, overview.method, overview.seed, overview.citation),
        section("models", &models(overview)),
        section("a round", &round(overview)),
        section(
            "fleet, asked and drawn (median · p95)",
            &(drawn(&overview.drawn) + &tied(&overview.correlations)),
        ),
    ];
    if overview.domains.is_empty() {
        let counted = format!(
            "{} private examples, counted and not read: run with --no-train\n",
            count(overview.examples)
        );
        sections.push(section("data", &counted));
    } else {
        sections.extend([
            section("data", &data(overview)),
            section("split: one column a device, one row a domain", &split(overview)),
            section("three examples of each domain", &examples(overview)),
        ]);
    }
    let warnings = overview.warnings.iter().map(|warning| format!("\nwarning: {warning}\n"));
    sections.join("\n") + &warnings.collect::<String>()
}

fn section(title: &str, body: &str) -> String {
    let lines =
        body.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    format!("{title}\n{}", lines.collect::<String>())
}

fn models(overview: &Overview) -> String {
    let head = row(&["model", "trained as", "billed as", "adapter", "tokens/example"]);
    let lines = overview.models.iter().map(|model| {
        vec![
            model.name.clone(),
            model.trained_as.clone(),
            model.billed_as.clone(),
            count(model.adapter_values as u64),
            format!("{:.1}", model.mean_tokens),
        ]
    });
    columns("lllrr", &std::iter::once(head).chain(lines).collect::<Vec<_>>())
}

fn round(overview: &Overview) -> String {
    let head = row(&["class", "model", "devices", "down", "up", "memory needed", "has", "work", "online"]);
    let lines = overview.classes.iter().map(|class| {
        vec![
            class.class.clone(),
            class.model.clone(),
            class.devices.to_string(),
            Bytes(class.down_bytes).to_string(),
            Bytes(class.up_bytes).to_string(),
            Bytes(class.memory_bytes as u64).to_string(),
            Bytes(class.has_memory_bytes).to_string(),
            seconds(class.train_seconds),
            format!("{:.0} %", 100.0 * class.share_online),
        ]
    });
    let table = columns("llrrrrrrr", &std::iter::once(head).chain(lines).collect::<Vec<_>>());
    let table = table + &travelling(overview);
    let devices: u32 = overview.classes.iter().map(|class| class.devices).sum();
    let round = typical_round(overview);
    let invites = match overview.updates_per_round < overview.invited {
        true => format!("keeps {} of {devices} devices at work", overview.invited),
        false => format!("invites {} of {devices} devices", overview.invited),
    };
    let mut text = format!(
        "{table}\n{invites}; the cloud works {}; with median devices it takes {}\n",
        seconds(overview.cloud_seconds),
        seconds(round),
    );
    if let Some(rounds) = overview.rounds {
        text += &format!(
            "{rounds} rounds: about {} of virtual time, waiting for devices that are offline not counted\n",
            seconds(round * rounds as f64)
        );
    }
    if let Some(matched) = &overview.matched {
        let steps = |steps: cotune_scenario::method::Steps| steps.tune + steps.mutual;
        text += &format!(
            "matched by {}: a device takes {} steps a round where {} are written, worth {} of {}\n",
            matched.measure,
            steps(matched.taken),
            steps(matched.written),
            amount(matched.reached),
            amount(matched.wanted),
        );
    }
    if let Some(tokens) = overview.trained_tokens {
        text += &format!("this computer trains on {} tokens, evaluation not counted\n", count(tokens));
    }
    text
}

/// What else than adapters travels, a line a class.
fn travelling(overview: &Overview) -> String {
    let words = |bytes: &BTreeMap<Content, u64>| {
        let one = |(content, bytes): (&Content, &u64)| format!("{} {}", content.name(), Bytes(*bytes));
        bytes.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let alone = |content: &Content| matches!(content, Content::Adapter | Content::Frame);
    let more = |bytes: &BTreeMap<Content, u64>| !bytes.keys().all(alone);
    let line = |class: &ClassOverview| {
        format!("{}: down {}; up {}\n", class.class, words(&class.down), words(&class.up))
    };
    let classes = overview.classes.iter().filter(|class| more(&class.down) || more(&class.up));
    let lines: String = classes.map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// A count, or many in powers of ten.
fn amount(n: f64) -> String {
    if n < 1e9 { count(n.round() as u64) } else { format!("{n:.3e}") }
}

/// How long a round takes if every class had median links: the slowest class, then the cloud \[s\]. Where devices do not
/// wait for each other, so many rounds begin while one device works as are made of those at work.
fn typical_round(overview: &Overview) -> f64 {
    let median = |class: &ClassOverview, quantity: Quantity| {
        let row = overview.drawn.iter().find(|row| *row.class == *class.class && row.quantity == quantity);
        row.map_or(f64::INFINITY, |row| row.drawn_median)
    };
    let device = |class: &ClassOverview| {
        let down = class.down_bytes as f64 / median(class, Quantity::Down);
        let up = class.up_bytes as f64 / median(class, Quantity::Up);
        down + class.train_seconds + up
    };
    let share = overview.updates_per_round as f64 / overview.invited.max(1) as f64;
    overview.classes.iter().map(device).fold(0.0, f64::max) * share.min(1.0) + overview.cloud_seconds
}

fn drawn(rows: &[Asked]) -> String {
    let head = row(&["class", "quantity", "asked", "", "drawn", ""]);
    let lines = rows.iter().map(|row| {
        let value = |value: f64| in_unit(row.quantity, value);
        vec![
            row.class.to_string(),
            row.quantity.key().to_owned(),
            value(row.asked_median),
            value(row.asked_p95),
            value(row.drawn_median),
            value(row.drawn_p95),
        ]
    });
    columns("llrrrr", &std::iter::once(head).chain(lines).collect::<Vec<_>>())
}

/// Lines on the classes whose up- and downlink are correlated.
fn tied(rows: &[Tied]) -> String {
    let line = |Tied { class, asked, drawn }: &Tied| {
        format!("{class}: correlation of up and down, on the log scale: {asked:.2} asked, {drawn:.2} drawn\n")
    };
    rows.iter().map(line).collect()
}

fn in_unit(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::Compute => format!("{}/s", Flops(value)),
        Quantity::MemoryBandwidth => decimal(value, "B/s"),
        Quantity::Down | Quantity::Up => decimal(8.0 * value, "bit/s"),
        Quantity::Rtt => seconds(value),
    }
}

/// Counts of every domain; below them, what of the files is not among them.
fn data(overview: &Overview) -> String {
    let Intake { sources, left_out, fits } = &overview.intake;
    let mut text = counts(overview);
    if !sources.is_empty() {
        let lines = sources.iter().map(|read| vec![read.source.clone(), read.report.to_string()]);
        text += &format!("\n{}", columns("ll", &lines.collect::<Vec<_>>()));
    }
    if *left_out > 0 {
        text += &format!("\n{left_out} more are left out, for some model cannot hold their answers\n");
    }
    for Fit { model, longest, unanswerable, cut } in fits {
        text += &format!(
            "{model} holds {longest} tokens: {unanswerable} answers do not fit, {cut} prompts lose their beginning\n"
        );
    }
    text
}

fn counts(overview: &Overview) -> String {
    let head = row(&["domain", "private", "public", "held out"]);
    let mut rows = vec![head];
    let mut sums = [0; 3];
    for domain in &overview.domains {
        let counts = [domain.private, domain.public, domain.held_out];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        rows.push(std::iter::once(domain.domain.clone()).chain(counts.map(|n| n.to_string())).collect());
    }
    rows.push(std::iter::once("all".to_owned()).chain(sums.map(|n| n.to_string())).collect());
    columns("lrrr", &rows)
}

fn split(overview: &Overview) -> String {
    let shown = overview.split.len().min(PICTURED);
    let lines = overview.domains.iter().enumerate().map(|(index, domain)| {
        let shares = overview.split[..shown].iter().map(|shares| shares.get(index).copied().unwrap_or(0.0));
        vec![domain.domain.clone(), shares.map(shade).collect()]
    });
    let picture = columns("ll", &lines.collect::<Vec<_>>());
    match overview.split.len() - shown {
        0 => picture,
        more => format!("{picture}and {more} more devices\n"),
    }
}

/// A share of 0 to 1 as the height of a block; a dot for none at all.
fn shade(share: f64) -> char {
    if share <= 0.0 { SHADES[0] } else { SHADES[((share * 8.0).ceil() as usize).clamp(1, 8)] }
}

fn examples(overview: &Overview) -> String {
    let lines = overview.domains.iter().flat_map(|domain| {
        domain.examples.iter().map(|(prompt, answer)| {
            let text = format!("{}{answer}", prompt.replace('\n', " "));
            vec![domain.domain.clone(), shortened(&text)]
        })
    });
    columns("ll", &lines.collect::<Vec<_>>())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A whole number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

/// A span of time, to three digits or so.
fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return "never".to_owned();
    }
    let step = match value {
        _ if value >= 10.0 => 1.0,
        _ if value >= 1.0 => 0.01,
        _ => 1e-3,
    };
    VirtualDuration::from_secs_f64((value / step).round() * step).to_string()
}

/// Three digits under a decimal prefix.
fn decimal(value: f64, unit: &str) -> String {
    let prefixes = ["", "k", "M", "G", "T", "P"];
    let power =
        if value >= 1.0 { ((value.log10() / 3.0 + 1e-9) as usize).min(prefixes.len() - 1) } else { 0 };
    let scaled = value / 1_000_f64.powi(power as i32);
    let digits = if scaled >= 99.95 {
        0
    } else if scaled >= 9.995 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$} {}{unit}", prefixes[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_a_person_would_write_them() {
        assert_eq!(in_unit(Quantity::Down, 1e7), "80.0 Mbit/s");
        assert_eq!(in_unit(Quantity::Compute, 9e11), "900 GFLOP/s");
        assert_eq!(in_unit(Quantity::Rtt, 0.035), "35ms");
        assert_eq!(decimal(1e9, "B/s"), "1.00 GB/s");
        assert_eq!(decimal(0.5, "B/s"), "0.50 B/s");
        assert_eq!([count(7), count(2_182_744)], ["7", "2,182,744"]);
        assert_eq!([seconds(270.4), seconds(f64::INFINITY)], ["4m 30s", "never"]);
    }

    #[test]
    fn a_share_has_a_height_and_none_has_a_dot() {
        assert_eq!([0.0, 0.01, 0.5, 1.0].map(shade), ['·', '▁', '▄', '█']);
    }

    #[test]
    fn a_long_example_is_cut_between_characters() {
        assert_eq!(shortened(&"ü".repeat(200)).chars().count(), LONGEST + 1);
        assert_eq!(shortened("short"), "short");
    }
}
