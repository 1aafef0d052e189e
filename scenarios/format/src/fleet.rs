//! `[fleet]`: the devices, class by class.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::method::unknown_model;
use crate::node::{Node, Value};
use crate::reader::{Bound, Shape, View};
use crate::words;
use crate::{Distribution, units};

/// The fleet of edge devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// Devices in all.
    pub devices: u64,
    /// The classes by name; their shares add up to 1.
    pub classes: BTreeMap<String, DeviceClass>,
    /// Carbon intensity of the devices' electricity \[gCO2/J\]; none: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carbon_grams_per_joule: Option<f64>,
}

impl Fleet {
    /// Devices of every class, by name: largest remainder of `share · devices`, ties to the first name.
    pub fn class_counts(&self) -> Vec<(&str, u64)> {
        let quota = |class: &DeviceClass| class.share * self.devices as f64;
        // Shares such as 0.1 are not exact in binary: 0.3 · 10 must count as 3, not as 2.9999….
        let floor = |quota: f64| (quota + 1e-9).floor();
        let mut counts: Vec<(&str, u64)> =
            self.classes.iter().map(|(name, class)| (name.as_str(), floor(quota(class)) as u64)).collect();
        let given: u64 = counts.iter().map(|(_, count)| count).sum();
        let mut order: Vec<(usize, f64)> =
            self.classes.values().map(|class| quota(class) - floor(quota(class))).enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (index, _) in order.into_iter().cycle().take(self.devices.saturating_sub(given) as usize) {
            counts[index].1 += 1;
        }
        counts
    }
}

/// A class of devices: what is drawn for each of its devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceClass {
    /// Fraction of the fleet, in (0, 1].
    pub share: f64,
    /// The model its devices run: a name in `[models]`. Default: `fleet.model`.
    pub model: String,
    /// Where its devices are: a name that a `partition` fault can cut off. Default: nowhere in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Sustained training speed \[FLOP/s\].
    pub compute_flops_per_second: Distribution,
    /// Memory for the model and its training \[bytes\].
    pub memory_bytes: u64,
    /// The least share of the memory that its owner's use leaves free, in (0, 1]: at every invitation the free share is
    /// uniform between this and 1. Default: 1.
    #[serde(default = "all_of_it", skip_serializing_if = "is_all_of_it")]
    pub memory_free: f64,
    /// Memory bandwidth \[bytes/s\]. Default: 50 GB/s (chosen: LPDDR5-6400 on 64 bits peaks at 51.2).
    pub memory_bandwidth_bytes_per_second: Distribution,
    /// Time of one training example \[s\], for the cost models `fedscale` and `federatedscope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_seconds: Option<Distribution>,
    /// Power draw.
    pub power: Power,
    /// The battery; none: mains.
    pub battery: Option<Battery>,
    /// The access link.
    pub link: Link,
    /// When its devices are there.
    pub availability: Availability,
}

fn all_of_it() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_all_of_it(share: &f64) -> bool {
    *share == 1.0
}

/// Power draw of a device \[W\].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Power {
    /// While computing, above idle. Default: 5 W (chosen: a phone under sustained load).
    pub train_watts: f64,
    /// While sending or receiving, above idle. Default: 1.5 W (chosen: a phone's radio).
    pub radio_watts: f64,
    /// Always. Default: 0.2 W (chosen: a phone at rest).
    pub idle_watts: f64,
}

/// A battery. What its charge is at any time is said in the world's `battery.rs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Battery {
    /// Energy when full \[J\].
    pub capacity_joules: f64,
    /// Trains only while the charge is above this fraction of the capacity, in [0, 1). Default: 0.5 (chosen).
    pub train_above: f64,
    /// Power of the charger while plugged in \[W\]. Default: 10 W (chosen: USB at 5 V and 2 A).
    pub charge_watts: f64,
    /// What its owner draws while it is not plugged in, on average \[W\]. Default: half the capacity in 16 hours (chosen).
    pub use_watts: f64,
    /// When it is plugged in every day.
    pub plugged: Plugged,
}

/// A daily interval at the charger, in local time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plugged {
    /// Local time at which it is plugged in \[s after midnight\]. Default: 22:30 (chosen).
    pub from_seconds: f64,
    /// How long it stays there \[s\], at most a day. Default: 8 h (chosen).
    pub lasts_seconds: f64,
    /// How far a device's own habit is from that, either way \[s\]. Default: 2 h (chosen).
    pub spread_seconds: f64,
}

/// An access link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Capacity towards the device \[bytes/s\].
    pub down_bytes_per_second: Distribution,
    /// Capacity towards the cloud \[bytes/s\].
    pub up_bytes_per_second: Distribution,
    /// Round-trip time \[s\]. Default: 50 ms (chosen).
    pub rtt_seconds: Distribution,
    /// Packet loss, in [0, 1): makes transport slower. Default: 0.
    pub loss: f64,
    /// Probability that a transfer is lost, in [0, 1]. Default: 0.
    pub drop_per_transfer: f64,
    /// Correlation of the logarithms of `down` and `up` over the devices, in [-1, 1]: who is fast one way is fast the
    /// other. Default: 0. Measured: 0.53 over 10,000 NDT tests (M-Lab), 0.45 over 19 phones (FLASH).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub correlation: f64,
    /// Coefficient of variation of a transfer's rate around the device's own, lognormal. Default: 0.4 (FLASH: 0.37).
    #[serde(default = "usual_noise", skip_serializing_if = "is_usual_noise")]
    pub noise_cv: f64,
    /// Capacity over time, from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<LinkTrace>,
}

/// How much one device's transfers differ: near what FLASH saw within one phone's link (0.37).
const USUAL_NOISE: f64 = 0.4;

fn usual_noise() -> f64 {
    USUAL_NOISE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_usual_noise(cv: &f64) -> bool {
    *cv == USUAL_NOISE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// Capacity over time: files of `seconds Mbit/s` lines, looped. A device begins at a point of its own, and has the
/// least of what it drew and what the file says; the file stands in the place of `noise`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkTrace {
    /// Towards the device: a path as written.
    pub down: Option<String>,
    /// Towards the cloud: a path as written.
    pub up: Option<String>,
}

/// When devices are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// Always. The default.
    Always,
    /// On and off for exponential times.
    Markov {
        /// Mean time on \[s\].
        mean_on_seconds: f64,
        /// Mean time off \[s\].
        mean_off_seconds: f64,
    },
    /// Sessions whose rate follows the local hour.
    Diurnal(Diurnal),
    /// Alternating sessions and gaps from given distributions.
    Sessions {
        /// Length of a session \[s\].
        online_seconds: Distribution,
        /// Length of a gap \[s\].
        offline_seconds: Distribution,
    },
    /// Read from a trace.
    Trace {
        /// Path as written.
        file: String,
    },
}

/// A day's rhythm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diurnal {
    /// Local time of the peak \[s after midnight\].
    pub peak_seconds: f64,
    /// Fraction online at the peak, in (0, 1].
    pub online_at_peak: f64,
    /// Fraction online half a day later, in (0, at_peak].
    pub online_at_trough: f64,
    /// Length of a session \[s\]. Default: exponential, mean 50 min (chosen).
    pub session_seconds: Distribution,
    /// Local time minus the simulation's clock \[s\]. Default: 0.
    pub timezone_seconds: Distribution,
}

/// `models` are the names in `[models]`, none where that table is wrong itself.
pub(crate) fn read(view: View, models: Option<&[&str]>) -> Option<Fleet> {
    let devices: Option<u64> = view.count("devices", 1).required(view.problems);
    let carbon = view.quantity("carbon", &units::CARBON, Bound::NonNegative).optional();
    let usual = view.string("model", "\"edge-m\"").optional();
    let classes: Vec<(String, View)> = match view.table("class").required(view.problems) {
        Some(classes) => {
            classes.named_tables().into_iter().map(|(name, view)| (name.to_owned(), view)).collect()
        }
        None => Vec::new(),
    };
    if classes.is_empty() && view.has("class") {
        let error = Diagnostic::new(codes::MISSING_KEY, "the fleet has no device class");
        view.problems.add(error.label(view.key_place("class"), "empty").help("write [fleet.class.phone]"));
    }
    if let Some(devices) = devices.filter(|devices| *devices < classes.len() as u64) {
        let message = format!("a fleet of {devices} cannot have {} classes", classes.len());
        let error = Diagnostic::new(codes::FEW_DEVICES, message).label(view.place("devices"), "too few");
        view.problems.add(error.help(format!("write at least {}, or remove classes", classes.len())));
    }
    let shares = shares(&classes);
    let read = |((name, view), share): ((String, View), f64)| {
        device_class(view, share, usual.as_deref(), models).map(|class| (name, class))
    };
    let count = classes.len();
    let classes: BTreeMap<_, _> = classes.into_iter().zip(shares).filter_map(read).collect();
    view.finish();
    (classes.len() == count && count > 0).then_some(Fleet {
        devices: devices?,
        classes,
        carbon_grams_per_joule: carbon,
    })
}

/// Every class's share: as written and adding up to 1, or normalised weights.
fn shares(classes: &[(String, View)]) -> Vec<f64> {
    let mut written = Vec::new();
    for (name, view) in classes {
        let share = view.number("share", Bound::Share).optional();
        let weight = view.number("weight", Bound::Positive).optional();
        match (view.has("share"), view.has("weight")) {
            (true, true) => {
                let message = format!("class `{name}` has a share and a weight");
                let error =
                    Diagnostic::new(codes::CONFLICT, message).label(view.key_place("weight"), "the second");
                view.problems.add(error.label(view.key_place("share"), "the first").help("keep one of them"));
            }
            // The only class is the whole fleet.
            (false, false) if classes.len() == 1 => written.push((Some(1.0), None)),
            (false, false) => {
                let error = Diagnostic::new(codes::MISSING_KEY, format!("class `{name}` has no `share`"));
                let error = error.label(view.at.clone(), "how much of the fleet?");
                view.problems.add(error.help("write share = 0.25, or weight = 1 in every class"));
            }
            _ => written.push((share, weight)),
        }
    }
    let placeholder = vec![1.0 / classes.len().max(1) as f64; classes.len()];
    if written.len() < classes.len()
        || written.iter().any(|(share, weight)| share.is_none() && weight.is_none())
    {
        return placeholder;
    }
    let shares: Vec<f64> = written.iter().filter_map(|(share, _)| *share).collect();
    let weights: Vec<f64> = written.iter().filter_map(|(_, weight)| *weight).collect();
    if weights.len() == classes.len() {
        let total: f64 = weights.iter().sum();
        return weights.iter().map(|weight| units::tidy(weight / total)).collect();
    }
    if !weights.is_empty() {
        let odd = classes.iter().find(|(_, view)| view.has("weight")).expect("one class has a weight");
        let message = "some classes have a `share`, others a `weight`";
        let error = Diagnostic::new(codes::CONFLICT, message).label(odd.1.key_place("weight"), "a weight");
        odd.1.problems.add(error.help("write the same key in every class"));
        return placeholder;
    }
    let total: f64 = shares.iter().sum();
    if (total - 1.0).abs() > 1e-9 && !shares.is_empty() {
        shares_do_not_add_up(classes, &shares, total);
    }
    shares
}

fn shares_do_not_add_up(classes: &[(String, View)], shares: &[f64], total: f64) {
    let largest =
        (0..shares.len()).fold(0, |best, index| if shares[index] > shares[best] { index } else { best });
    let view = &classes[largest].1;
    // Enough decimals to show the difference, and no noise of binary fractions.
    let decimals =
        (2..12).find(|n| (total - format!("{total:.n$}").parse::<f64>().unwrap_or(total)).abs() < 1e-10);
    let decimals = decimals.unwrap_or(12);
    let shown = |share: &f64| {
        let short = format!("{share:.2}");
        if short.parse() == Ok(*share) { short } else { share.to_string() }
    };
    let sum = shares.iter().map(shown).collect::<Vec<_>>().join(" + ");
    let label = match shares.len() {
        1 => "the only class".to_owned(),
        count => format!("largest of {count}: {sum}"),
    };
    let rest = units::tidy(shares[largest] + 1.0 - total);
    let normalise = "use `weight` instead of `share` to have cotune normalise";
    let help = if rest > 0.0 && rest <= 1.0 {
        format!("write {} here, or {normalise}", shown(&units::tidy((rest * 1e9).round() / 1e9)))
    } else {
        normalise.to_owned()
    };
    let message = format!("the shares of the fleet's classes add up to {total:.decimals$}, not 1");
    let error = Diagnostic::new(codes::SHARES, message).label(view.place("share"), label);
    view.problems.add(error.help(help));
}

fn device_class(view: View, share: f64, usual: Option<&str>, models: Option<&[&str]>) -> Option<DeviceClass> {
    let model = match (usual, view.has("model")) {
        (Some(usual), false) => Some(view.string("model", "").or(usual.to_owned())),
        _ => view.string("model", "\"edge-m\"").required(view.problems),
    };
    if let (Some(model), Some(models)) = (&model, models)
        && !models.contains(&model.as_str())
    {
        view.problems.add(unknown_model(model, models).label(view.place("model"), "not in [models]"));
    }
    let region = view.string("region", "\"eu\"").optional();
    let compute = view.distribution("compute", &units::COMPUTE, Bound::Positive).required(view.problems);
    let memory = view.bytes("memory").required(view.problems);
    let memory_free = view.number("memory_free", Bound::Share).or(1.0);
    let memory_bandwidth = view.distribution("memory_bandwidth", &units::BANDWIDTH, Bound::Positive);
    let memory_bandwidth = memory_bandwidth.or(Distribution::Constant(50e9));
    let sample_seconds = view.distribution("sample", &units::TIME, Bound::NonNegative).optional();
    let power = power(view.table_or_empty("power"));
    let battery = view.table("battery").optional().map(battery);
    let link = view.table("link").required(view.problems).and_then(link);
    let availability = view.choice("availability", &words::AVAILABILITY).optional();
    let availability = match availability {
        Some(chosen) => self::availability(chosen),
        None => Some(Availability::Always),
    };
    view.finish();
    Some(DeviceClass {
        share,
        model: model?,
        region,
        compute_flops_per_second: compute?,
        memory_bytes: memory?,
        memory_free,
        memory_bandwidth_bytes_per_second: memory_bandwidth,
        sample_seconds,
        power,
        battery: match battery {
            Some(battery) => Some(battery?),
            None => None,
        },
        link: link?,
        availability: availability?,
    })
}

fn power(view: View) -> Power {
    let watts = |key, default| view.quantity(key, &units::POWER, Bound::NonNegative).or(default);
    let power = Power {
        train_watts: watts("train", 5.0),
        radio_watts: watts("radio", 1.5),
        idle_watts: watts("idle", 0.2),
    };
    view.finish();
    power
}

fn battery(view: View) -> Option<Battery> {
    let capacity = view.quantity("capacity", &units::ENERGY, Bound::Positive).required(view.problems);
    let train_above = view.number("train_above", Bound::BelowOne).or(0.5);
    let charge_watts = view.quantity("charge", &units::POWER, Bound::NonNegative).or(10.0);
    let use_watts = view.quantity("use", &units::POWER, Bound::NonNegative).optional();
    let plugged = plugged(view.table_or_empty("plugged"));
    view.finish();
    let capacity_joules = capacity?;
    let use_watts = use_watts.unwrap_or(units::tidy(0.5 * capacity_joules / (16.0 * 3600.0)));
    Some(Battery { capacity_joules, train_above, charge_watts, use_watts, plugged })
}

fn plugged(view: View) -> Plugged {
    let clock = |node: &Node, path: &str| clock(node, path).map_err(|error| view.problems.add(error)).ok();
    let from_seconds = view.part("from", "\"22:30\"", || Shape::Clock, clock).or(22.5 * 3600.0);
    let lasts = view.quantity("lasts", &units::TIME, Bound::NonNegative).or(8.0 * 3600.0);
    let spread_seconds = view.quantity("spread", &units::TIME, Bound::NonNegative).or(2.0 * 3600.0);
    view.finish();
    Plugged { from_seconds, lasts_seconds: lasts.min(86_400.0), spread_seconds }
}

fn link(view: View) -> Option<Link> {
    let down = view.distribution("down", &units::RATE, Bound::Positive).required(view.problems);
    let up = view.distribution("up", &units::RATE, Bound::Positive).required(view.problems);
    let rtt = view.distribution("rtt", &units::TIME, Bound::NonNegative).or(Distribution::Constant(0.05));
    let loss = view.number("loss", Bound::BelowOne).or(0.0);
    let drop = view.quantity("drop", &units::PER_TRANSFER, Bound::Fraction).or(0.0);
    let correlation = view.number("correlation", Bound::Correlation).or(0.0);
    let noise_cv = view.number("noise", Bound::NonNegative).or(USUAL_NOISE);
    let trace = view.table("trace").optional().map(|view| {
        let file = |key| view.string(key, "\"data:traces/bus.txt\"").optional();
        let trace = LinkTrace { down: file("down"), up: file("up") };
        view.finish();
        trace
    });
    view.finish();
    Some(Link {
        down_bytes_per_second: down?,
        up_bytes_per_second: up?,
        rtt_seconds: rtt,
        loss,
        drop_per_transfer: drop,
        correlation,
        noise_cv,
        trace,
    })
}

fn availability((name, view): (&str, View)) -> Option<Availability> {
    let availability = match name {
        "always" => Some(Availability::Always),
        "markov" => {
            let mean = |key| view.quantity(key, &units::TIME, Bound::Positive).required(view.problems);
            let means = (mean("mean_on"), mean("mean_off"));
            means.0.zip(means.1).map(|(mean_on_seconds, mean_off_seconds)| Availability::Markov {
                mean_on_seconds,
                mean_off_seconds,
            })
        }
        "diurnal" => return diurnal(view).map(Availability::Diurnal),
        "sessions" => {
            let time = |key| view.distribution(key, &units::TIME, Bound::Positive).required(view.problems);
            let times = (time("online"), time("offline"));
            times.0.zip(times.1).map(|(online_seconds, offline_seconds)| Availability::Sessions {
                online_seconds,
                offline_seconds,
            })
        }
        _ => {
            let file = view.string("trace", "\"data:traces/devices.csv\"").required(view.problems);
            file.map(|file| Availability::Trace { file })
        }
    };
    view.finish();
    availability
}

fn diurnal(view: View) -> Option<Diurnal> {
    let clock = |node: &Node, path: &str| clock(node, path).map_err(|error| view.problems.add(error)).ok();
    let peak = view.part("peak", "\"02:30\"", || Shape::Clock, clock).required(view.problems);
    let online = view.table("online").required(view.problems).and_then(|online| {
        let fraction = |key| online.number(key, Bound::Share).required(online.problems);
        let (peak, trough) = (fraction("at_peak"), fraction("at_trough"));
        if peak.zip(trough).is_some_and(|(peak, trough)| trough > peak) {
            let error =
                Diagnostic::new(codes::INVERTED, format!("`{}`: at_trough is above at_peak", online.path));
            let error =
                error.label(online.place("at_trough"), "above").label(online.place("at_peak"), "below");
            online.problems.add(error.help("exchange at_peak and at_trough"));
        }
        online.finish();
        peak.zip(trough)
    });
    let session = view.distribution("session", &units::TIME, Bound::Positive);
    let session_seconds = session.or(Distribution::Exponential { mean: 3000.0 });
    let timezones = view.distribution("timezones", &units::TIME, Bound::Finite);
    let timezone_seconds = timezones.or(Distribution::Constant(0.0));
    view.finish();
    let (online_at_peak, online_at_trough) = online?;
    Some(Diurnal { peak_seconds: peak?, online_at_peak, online_at_trough, session_seconds, timezone_seconds })
}

/// `"02:30"` in seconds after midnight.
fn clock(node: &Node, path: &str) -> Result<f64, Diagnostic> {
    let minutes = match &node.value {
        Value::String(text) => text.split_once(':').and_then(|(hours, minutes)| {
            let two_digits = |digits: &str| {
                let plain = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
                digits.parse::<u32>().ok().filter(|_| plain)
            };
            let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        }),
        _ => None,
    };
    minutes.map(|minutes| f64::from(minutes) * 60.0).ok_or_else(|| {
        Diagnostic::new(codes::BAD_QUANTITY, format!("`{path}` is a time of the day"))
            .label(node.at.clone(), "not a time of the day")
            .help("write hours and minutes in quotes, such as \"02:30\"")
    })
}
