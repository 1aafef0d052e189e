//! Quantities with units: `"25min"`, `"6GiB"`, `"80Mbit/s"` become plain numbers in SI units.

/// A kind of quantity and the units it can be written in.
#[derive(Debug, PartialEq)]
pub struct Dimension {
    /// What it is called in a message: "a time".
    pub name: &'static str,
    /// A good example to show.
    pub example: &'static str,
    /// The units that people mean most, for a number that came without.
    pub common: &'static [&'static str],
    /// Every unit with its size in SI units; case matters.
    pub units: &'static [(&'static str, f64)],
}

macro_rules! dimensions {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $example:literal, [$($common:literal),*], [$($unit:literal = $size:expr),* $(,)?];)*) => {
        $(
            $(#[$doc])*
            pub const $constant: Dimension =
                Dimension { name: $name, example: $example, common: &[$($common),*], units: &[$(($unit, $size)),*] };
        )*
        /// Every dimension.
        pub const ALL: &[Dimension] = &[$($constant),*];
    };
}

dimensions! {
    /// Seconds.
    TIME = "a time", "25min", ["s", "min", "h"], ["ns" = 1e-9, "us" = 1e-6, "ms" = 1e-3, "s" = 1.0, "min" = 60.0, "h" = 3600.0, "d" = 86_400.0];
    /// Bytes.
    SIZE = "a size", "6GiB", ["MB", "GB", "GiB"], [
        "B" = 1.0, "kB" = 1e3, "MB" = 1e6, "GB" = 1e9, "TB" = 1e12,
        "KiB" = 1024.0, "MiB" = 1_048_576.0, "GiB" = 1_073_741_824.0, "TiB" = 1_099_511_627_776.0,
    ];
    /// Bytes per second.
    RATE = "a rate", "80Mbit/s", ["Mbit/s", "MB/s"], [
        "bit/s" = 0.125, "kbit/s" = 125.0, "Mbit/s" = 125e3, "Gbit/s" = 125e6,
        "B/s" = 1.0, "kB/s" = 1e3, "MB/s" = 1e6, "GB/s" = 1e9, "TB/s" = 1e12,
    ];
    /// Bytes per second, of a memory.
    BANDWIDTH = "a memory bandwidth", "50GB/s", ["GB/s", "TB/s"], [
        "bit/s" = 0.125, "kbit/s" = 125.0, "Mbit/s" = 125e3, "Gbit/s" = 125e6,
        "B/s" = 1.0, "kB/s" = 1e3, "MB/s" = 1e6, "GB/s" = 1e9, "TB/s" = 1e12,
    ];
    /// Floating-point operations per second.
    COMPUTE = "a computing speed", "900GFLOP/s", ["GFLOP/s", "TFLOP/s"], ["MFLOP/s" = 1e6, "GFLOP/s" = 1e9, "TFLOP/s" = 1e12, "PFLOP/s" = 1e15];
    /// Watts.
    POWER = "a power", "4.5W", ["W"], ["mW" = 1e-3, "W" = 1.0, "kW" = 1e3];
    /// Joules.
    ENERGY = "an energy", "17Wh", ["J", "Wh"], ["J" = 1.0, "kJ" = 1e3, "Wh" = 3600.0, "kWh" = 3.6e6];
    /// US dollars per second.
    PRICE_PER_TIME = "a price per hour", "2.40USD/h", ["USD/h"], ["USD/h" = 1.0 / 3600.0];
    /// US dollars per byte.
    PRICE_PER_SIZE = "a price per gigabyte", "0.08USD/GB", ["USD/GB"], ["USD/GB" = 1e-9];
    /// Events per second.
    HAZARD = "a rate of events", "0.02/h", ["/h", "/d"], ["/s" = 1.0, "/min" = 1.0 / 60.0, "/h" = 1.0 / 3600.0, "/d" = 1.0 / 86_400.0];
    /// Events per transfer.
    PER_TRANSFER = "a probability per transfer", "0.01/transfer", ["/transfer"], ["/transfer" = 1.0];
    /// Parameters.
    PARAMETERS = "a number of parameters", "7.6B", ["M", "B"], ["k" = 1e3, "M" = 1e6, "B" = 1e9, "T" = 1e12];
    /// Grams of CO2 per joule.
    CARBON = "a carbon intensity", "400gCO2/kWh", ["gCO2/kWh"], ["gCO2/kWh" = 1.0 / 3.6e6];
}

/// What is wrong with a quantity.
#[derive(Clone, Debug, PartialEq)]
pub enum Mistake {
    /// It does not begin with a number.
    NotANumber,
    /// A number alone, as written and as read.
    NoUnit(String, f64),
    /// The number and the unit as written.
    UnknownUnit(String, String),
}

/// Reads a quantity in SI units.
///
/// # Errors
/// It has no number, no unit, or a unit of another dimension.
pub fn parse(dimension: &Dimension, text: &str) -> Result<f64, Mistake> {
    let text = text.trim();
    let (digits, unit) = number_prefix(text);
    let number = plain_number(digits).ok_or(Mistake::NotANumber)?;
    if unit.is_empty() {
        return Err(Mistake::NoUnit(digits.to_owned(), number));
    }
    match dimension.units.iter().find(|(symbol, _)| *symbol == unit) {
        Some((_, size)) => Ok(tidy(number * size)),
        None => Err(Mistake::UnknownUnit(digits.to_owned(), unit.to_owned())),
    }
}

/// The longest prefix that can be a number, and the rest without its leading space.
fn number_prefix(text: &str) -> (&str, &str) {
    let mantissa = text.find(|c: char| !matches!(c, '+' | '-' | '.' | '_' | '0'..='9')).unwrap_or(text.len());
    let mut end = mantissa;
    // An exponent, but not the e of a unit.
    if let Some(exponent) = text[mantissa..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let digits = exponent[sign..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            end = mantissa + 1 + sign + digits;
        }
    }
    (&text[..end], text[end..].trim_start())
}

/// A decimal number; underscores stand between digits.
fn plain_number(digits: &str) -> Option<f64> {
    let bytes = digits.as_bytes();
    let between = |index: usize| {
        index > 0 && bytes[index - 1].is_ascii_digit() && bytes.get(index + 1).is_some_and(u8::is_ascii_digit)
    };
    if bytes.iter().enumerate().any(|(index, byte)| *byte == b'_' && !between(index)) {
        return None;
    }
    digits.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
}

/// Keeps 15 significant decimal digits, and none beyond the 22nd decimal place.
///
/// Such a number survives the decimal text of a lock file bit for bit (its digits and its power of ten are
/// both exact in binary), and 35 ms are 0.035 s whatever 35 · 10⁻³ is in binary.
pub fn tidy(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return if number == 0.0 { 0.0 } else { number };
    }
    let short = format!("{number:.14e}");
    let exponent: i32 = short.rsplit_once('e').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0);
    let text = if exponent < -8 { format!("{number:.22}") } else { short };
    text.parse().unwrap_or(number)
}

/// What a number without a unit may have meant: `"25s", "25min" or "25h"`.
///
/// A number as large as 9e11 was meant in SI units, and is shown in the largest unit that fits.
pub(crate) fn likely(dimension: &Dimension, digits: &str, number: f64) -> String {
    if number >= 1e5
        && let Some((symbol, size)) = dimension.units.iter().rfind(|(_, size)| *size <= number)
    {
        return format!("\"{}{symbol}\", if it was meant in SI units", tidy(number / size));
    }
    let mut shown: Vec<String> =
        dimension.common.iter().map(|symbol| format!("\"{digits}{symbol}\"")).collect();
    match (shown.pop(), shown.is_empty()) {
        (Some(last), false) => format!("{} or {last}", shown.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}

/// The dimension that has this unit.
pub(crate) fn dimension_of(unit: &str) -> Option<&'static Dimension> {
    ALL.iter().find(|dimension| dimension.units.iter().any(|(symbol, _)| *symbol == unit))
}

/// The unit of `dimension` that was probably meant.
pub(crate) fn meant(dimension: &Dimension, unit: &str) -> Option<&'static str> {
    const ALIASES: &[(&str, &str)] = &[
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("m", "min"),
        ("mins", "min"),
        ("minute", "min"),
        ("minutes", "min"),
        ("hr", "h"),
        ("hrs", "h"),
        ("hour", "h"),
        ("hours", "h"),
        ("day", "d"),
        ("days", "d"),
        ("µs", "us"),
        ("bps", "bit/s"),
        ("kbps", "kbit/s"),
        ("mbps", "Mbit/s"),
        ("gbps", "Gbit/s"),
        ("flops", "FLOP/s"),
        ("mflops", "MFLOP/s"),
        ("gflops", "GFLOP/s"),
        ("tflops", "TFLOP/s"),
        ("pflops", "PFLOP/s"),
        ("bytes", "B"),
        ("kb", "kB"),
        ("k", "KiB"),
        ("m", "MiB"),
        ("g", "GiB"),
        ("$/h", "USD/h"),
        ("$/gb", "USD/GB"),
        ("/hour", "/h"),
        ("/hr", "/h"),
        ("/day", "/d"),
        ("/minute", "/min"),
        ("bn", "B"),
        ("g/kwh", "gCO2/kWh"),
    ];
    let units = || dimension.units.iter().map(|(symbol, _)| *symbol);
    let lower = unit.to_lowercase();
    let alias = ALIASES
        .iter()
        .filter(|(alias, _)| *alias == lower)
        .find_map(|(_, meant)| units().find(|symbol| symbol == meant));
    alias.or_else(|| units().find(|symbol| symbol.eq_ignore_ascii_case(unit))).or_else(|| {
        let near = units().min_by_key(|symbol| strsim::damerau_levenshtein(symbol, unit))?;
        (unit.len() > 2 && strsim::damerau_levenshtein(near, unit) == 1).then_some(near)
    })
}
