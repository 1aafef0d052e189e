//! Numbers for people: three significant digits, a unit, a thin space between thousands.

/// A thin space, which does not break.
const THIN: char = '\u{202f}';

/// A signed whole number with its thousands apart: `12 345`.
pub fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value <= -0.5 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 && digits.len() > 4 {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// Three significant digits, never in exponents: `1.23`, `45.6`, `789`.
pub fn significant(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !value.is_finite() => return value.to_string(),
        // What four decimals cannot show is what sums leave over.
        _ if size < 5e-5 => return count(0.0),
        _ if size >= 99.95 => return count(value),
        _ if size >= 9.995 => format!("{size:.1}"),
        _ if size >= 0.0995 => format!("{size:.2}"),
        _ => format!("{size:.4}"),
    };
    if value < 0.0 { format!("−{text}") } else { text }
}

fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut index = 0;
    while value.abs() >= 0.9995 * base && index + 1 < units.len() {
        value /= base;
        index += 1;
    }
    if index == 0 {
        format!("{} {}", count(value), units[0])
    } else {
        format!("{} {}", significant(value), units[index])
    }
}

/// Bytes in decimal units, as links are sold: `1.23 GB`.
pub fn bytes(value: f64) -> String {
    scaled(value, 1e3, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// Memory in binary units: `6.00 GiB`.
pub fn memory(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// Energy: `1.23 MJ`.
pub fn joules(value: f64) -> String {
    scaled(value, 1e3, &["J", "kJ", "MJ", "GJ", "TJ"])
}

/// A link's rate: `80.0 Mbit/s`.
pub fn bit_rate(value: f64) -> String {
    scaled(value, 1e3, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// A processor's rate: `900 GFLOP/s`.
pub fn flop_rate(value: f64) -> String {
    scaled(value, 1e3, &["FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s"])
}

/// Money: `1.23 USD`; below a cent in cents' fractions.
pub fn usd(value: f64) -> String {
    if value == 0.0 || value.abs() >= 0.01 { format!("{value:.2} USD") } else { format!("{value:.5} USD") }
}

/// A span of time in its two largest units: `1 d 12 h`, `4 min 30 s`, `1.25 s`.
pub fn seconds(value: f64) -> String {
    let whole = value.round();
    let two = |first: f64, one: &str, second: f64, other: &str| {
        if second == 0.0 { format!("{first} {one}") } else { format!("{first} {one} {second} {other}") }
    };
    match value {
        _ if !value.is_finite() => "–".to_owned(),
        _ if value < 59.5 => format!("{} s", significant(value)),
        _ if whole < 3_600.0 => two((whole / 60.0).floor(), "min", whole % 60.0, "s"),
        _ if value < 86_370.0 => {
            let minutes = (value / 60.0).round();
            two((minutes / 60.0).floor(), "h", minutes % 60.0, "min")
        }
        _ => {
            let hours = (value / 3_600.0).round();
            two((hours / 24.0).floor(), "d", hours % 24.0, "h")
        }
    }
}

/// A change with its sign: `+1.23`, `−4.56`, `±0.00`.
pub fn change(value: f64) -> String {
    match format!("{:.2}", value.abs()) {
        zero if zero == "0.00" => "±0.00".to_owned(),
        size if value < 0.0 => format!("−{size}"),
        size => format!("+{size}"),
    }
}

/// A share of a whole in percent: `12.3 %`; `–` of nothing.
pub fn share(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1}{THIN}%", 100.0 * part / whole) } else { "–".to_owned() }
}

/// `1 device`, `2 devices`.
pub fn plural(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number as f64), if number == 1 { "" } else { "s" })
}

/// A metric's value in the unit that its name ends with.
pub fn value(metric: &str, value: f64) -> String {
    match metric.rsplit(['.', '_']).next() {
        Some("bytes") => bytes(value),
        Some("joules") => joules(value),
        Some("usd") => usd(value),
        Some("seconds") => seconds(value),
        // A mean of few.
        _ if metric.starts_with("updates.") && value.abs() < 100.0 && value.fract() != 0.0 => {
            format!("{value:.1}")
        }
        _ if metric.starts_with("updates.") || metric.starts_with("tokens.") || metric == "rounds" => {
            count(value)
        }
        _ => format!("{value:.2}"),
    }
}

/// How a metric is spelt in headings: `rouge-l` is `Rouge-L`.
pub fn metric(name: &str) -> String {
    match name {
        "rouge-l" => "Rouge-L".to_owned(),
        "exact-match" => "Exact match".to_owned(),
        "loss" => "Loss".to_owned(),
        other => other.to_owned(),
    }
}

/// A metric as a person would call it in a sentence: `edge.rouge-l.mean` is `edge Rouge-L`.
pub fn metric_name(name: &str) -> String {
    let known = match name {
        "uplink.total_bytes" => "uplink",
        "downlink.total_bytes" => "downlink",
        "wasted.total_bytes" => "wasted traffic",
        "energy.total_joules" => "energy",
        "energy.marginal_joules" => "energy above idle",
        "energy.cloud_joules" => "the cloud's energy",
        "carbon.total_grams" => "carbon",
        "cost.total_usd" => "cost",
        "virtual.seconds" => "virtual time",
        "rounds" => "rounds",
        "tokens.device" => "tokens of devices",
        "tokens.cloud" => "tokens of the cloud",
        "round.duration.mean_seconds" => "a round's mean duration",
        "round.duration.p95_seconds" => "a round's 95th percentile duration",
        "participation.gini" => "inequality of participation",
        "steps.skipped" => "skipped steps",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let parts: Vec<&str> = name.split('.').collect();
    let scope =
        |scope: &str| if scope == "edge-all" { "edge (all domains)".to_owned() } else { scope.to_owned() };
    // In a sentence only names keep their capitals.
    let word = |name: &str| match name {
        "rouge-l" => "Rouge-L".to_owned(),
        other => other.replace('-', " "),
    };
    match parts[..] {
        ["updates", outcome] => format!("{} updates", outcome.replace('-', " ")),
        [of, measure] | [of, measure, "mean"] => format!("{} {}", scope(of), word(measure)),
        [of, measure, "p10"] => format!("{} {}, 10th percentile", scope(of), word(measure)),
        [of, measure, "p90"] => format!("{} {}, 90th percentile", scope(of), word(measure)),
        [of, measure, "domain", domain] => format!("{} {} on {domain}", scope(of), word(measure)),
        _ => name.to_owned(),
    }
}

/// Whether a smaller value is the better one.
pub fn lower_is_better(metric: &str) -> bool {
    metric.contains("loss") || metric.contains("perplexity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_would_write_them() {
        assert_eq!(count(1234567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(count(-0.2), "0");
        assert_eq!(
            [0.0, -1e-14, 0.01234, 1.005, 45.67, -789.4].map(significant),
            ["0", "0", "0.0123", "1.00", "45.7", "−789"]
        );
        assert_eq!([999.0, 999.6, 1.5e9].map(bytes), ["999 B", "1.00 kB", "1.50 GB"]);
        assert_eq!(memory((6_u64 << 30) as f64), "6.00 GiB");
        assert_eq!(
            [0.5, 59.6, 270.0, 3_600.0, 5_400.0, 129_600.0, 86_399.0].map(seconds),
            ["0.50 s", "1 min", "4 min 30 s", "1 h", "1 h 30 min", "1 d 12 h", "1 d"]
        );
        assert_eq!([1.5, -0.001, -2.0].map(change), ["+1.50", "±0.00", "−2.00"]);
        assert_eq!(share(0.0, 0.0), "–");
        assert_eq!([1.0, 1.5, 1234.5].map(|mean| value("updates.late", mean)), ["1", "1.5", "1234"]);
        assert_eq!(
            ["edge.rouge-l.mean", "cloud.exact-match", "edge-all.loss.mean", "updates.upload-lost"]
                .map(metric_name),
            ["edge Rouge-L", "cloud exact match", "edge (all domains) loss", "upload lost updates"]
        );
    }
}
