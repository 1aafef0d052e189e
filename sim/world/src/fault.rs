//! Faults of a scenario that strike at a time or alter an update, as functions of (seed, device, time).
//!
//! Crashes and slowdowns are properties of a device and live in [`crate::hazard`] and [`crate::fleet`]. Here are those
//! that cut connections and those that alter what is sent:
//!
//! | fault | what happens |
//! |---|---|
//! | partition | devices of a class or region cannot reach the cloud: transfers break off, nobody there is invited; what they compute goes on |
//! | cloud restart | every transfer breaks off, the round in progress is lost, and after the outage the cloud goes on from its last aggregate |
//! | corrupt | the same devices alter every update before they send it |

use crate::fleet::Fleet;
use crate::payload::Payload;
use cotune_kernel::{Stream, VirtualDuration, VirtualTime};
use cotune_record::FaultKind;
use cotune_scenario::Scenario;
use cotune_scenario::fault::{Corruption, Fault};
use std::collections::BTreeMap;

/// One value in so many is hit by a corruption that hits single values (chosen).
const HIT_ONE_IN: usize = 1_000;

/// The faults of a run that are not a property of a device.
#[derive(Debug, Default)]
pub struct Faults {
    strikes: Vec<Strike>,
    partitions: Vec<Partition>,
    /// What becomes of the updates of a device.
    corrupt: BTreeMap<u32, Vec<Corruption>>,
}

/// A fault that strikes everyone it concerns at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Strike {
    /// When.
    pub at: VirtualTime,
    /// When it is over.
    pub until: VirtualTime,
    /// What kind: a partition or a restart of the cloud.
    pub kind: FaultKind,
    /// What a person should know about it.
    pub detail: String,
}

#[derive(Debug)]
struct Partition {
    /// By index of a class: whether it is cut off.
    classes: Vec<bool>,
    at: VirtualTime,
    until: VirtualTime,
}

impl Faults {
    /// The faults of a scenario. Of the devices that a `corrupt` fault may hit, the fraction is exact: `fraction · n` to
    /// the nearest, at least one, drawn from `fault/3/corrupt` where 3 is the fault's place in the scenario.
    pub fn draw(scenario: &Scenario, fleet: &Fleet) -> Self {
        let mut faults = Self::default();
        for (index, fault) in scenario.faults.iter().enumerate() {
            match fault {
                Fault::Crash { .. } | Fault::Slowdown { .. } => {}
                Fault::Partition { part, at_seconds, lasts_seconds } => {
                    let (at, until) = interval(*at_seconds, *lasts_seconds);
                    let classes = scenario.fleet.classes.iter();
                    let classes = classes.map(|(name, class)| part.includes(name, class.region.as_deref()));
                    faults.partitions.push(Partition { classes: classes.collect(), at, until });
                    let detail = format!("{part} cannot reach the cloud for {lasts_seconds} s");
                    faults.strikes.push(Strike { at, until, kind: FaultKind::Partition, detail });
                }
                Fault::CloudRestart { at_seconds, outage_seconds } => {
                    let (at, until) = interval(*at_seconds, *outage_seconds);
                    let detail = format!(
                        "the cloud stopped and is back after {outage_seconds} s with its last aggregate"
                    );
                    faults.strikes.push(Strike { at, until, kind: FaultKind::CloudRestart, detail });
                }
                Fault::Corrupt { class, fraction, how } => {
                    let devices: Vec<u32> = fleet
                        .iter()
                        .filter(|view| class.includes(&view.class.name))
                        .map(|view| view.device)
                        .collect();
                    if devices.is_empty() {
                        continue;
                    }
                    let hit = ((fraction * devices.len() as f64).round() as usize).clamp(1, devices.len());
                    let mut stream = Stream::keyed_parts(scenario.seed, &[&"fault", &index, &"corrupt"]);
                    for chosen in stream.sample_indices(devices.len() as u64, hit) {
                        faults.corrupt.entry(devices[chosen as usize]).or_default().push(*how);
                    }
                }
            }
        }
        faults.strikes.sort_by_key(|strike| strike.at);
        faults
    }

    /// What strikes at a time, in order.
    pub fn strikes(&self) -> &[Strike] {
        &self.strikes
    }

    /// The first instant from `now` on at which a connection between the cloud and a device of a class breaks, or
    /// could not be made; none: never.
    pub fn cut_from(&self, class_index: u16, now: VirtualTime) -> Option<VirtualTime> {
        let from = |at: VirtualTime, until: VirtualTime| match () {
            () if now < at => Some(at),
            () if now < until => Some(now),
            () => None,
        };
        let partitions = self.partitions.iter().filter(|partition| partition.cuts(class_index));
        let restarts = self.strikes.iter().filter(|strike| strike.kind == FaultKind::CloudRestart);
        let partitions = partitions.filter_map(|partition| from(partition.at, partition.until));
        partitions.chain(restarts.filter_map(|restart| from(restart.at, restart.until))).min()
    }

    /// Whether anyone cannot reach the cloud because of a partition.
    pub fn is_partitioned(&self, now: VirtualTime) -> bool {
        self.partitions.iter().any(|partition| partition.lasts(now))
    }

    /// Whether devices of a class can reach the cloud, as far as partitions are concerned.
    pub fn reachable(&self, class_index: u16, now: VirtualTime) -> bool {
        !self.partitions.iter().any(|partition| partition.cuts(class_index) && partition.lasts(now))
    }

    /// What becomes of a device's update of a round, and in which words; none: it is sent as it is.
    ///
    /// Whether the result is finite depends on the corruption alone, never on what was learned, so that the schedule
    /// is the same without learning.
    pub fn corrupted(
        &self,
        seed: u64,
        device: u32,
        round: u32,
        update: &Payload,
    ) -> Option<(Payload, String)> {
        let corruptions = self.corrupt.get(&device)?;
        let mut update = update.clone();
        let mut words = Vec::new();
        let mut stream = Stream::keyed_parts(seed, &[&"device", &device, &"round", &round, &"corrupt"]);
        for corruption in corruptions {
            for part in &mut update.parts {
                if let Some(values) = part.numbers_mut() {
                    corrupt(*corruption, values, &mut stream);
                }
            }
            words.push(match corruption {
                Corruption::Nan => "values that are no numbers".to_owned(),
                Corruption::BitFlip => "flipped bits".to_owned(),
                Corruption::Scale { factor } => format!("values times {factor}"),
            });
        }
        Some((update, format!("the update of round {round} has {}", words.join(", "))))
    }
}

impl Partition {
    fn cuts(&self, class_index: u16) -> bool {
        self.classes[usize::from(class_index)]
    }

    fn lasts(&self, now: VirtualTime) -> bool {
        (self.at..self.until).contains(&now)
    }
}

fn interval(at_seconds: f64, lasts_seconds: f64) -> (VirtualTime, VirtualTime) {
    let at = VirtualTime::from_secs_f64(at_seconds);
    (at, at.saturating_add(VirtualDuration::from_secs_f64(lasts_seconds)))
}

fn corrupt(corruption: Corruption, values: &mut [f32], stream: &mut Stream) {
    let hit = values.len().div_ceil(HIT_ONE_IN);
    match corruption {
        Corruption::Nan => {
            for index in stream.sample_indices(values.len() as u64, hit) {
                values[index as usize] = f32::NAN;
            }
        }
        Corruption::BitFlip => {
            for index in stream.sample_indices(values.len() as u64, hit) {
                let value = &mut values[index as usize];
                let flipped = f32::from_bits(value.to_bits() ^ (1 << stream.below(32)));
                // A flip that would leave a number that is none hits the sign instead.
                *value = if flipped.is_finite() { flipped } else { -*value };
            }
        }
        Corruption::Scale { factor } => {
            let scale =
                |value: f32| (f64::from(value) * factor).clamp(f64::from(f32::MIN), f64::from(f32::MAX));
            values.iter_mut().for_each(|value| *value = scale(*value) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        let values: Vec<f32> = (0..2_500).map(|i| 1.0 + i as f32 / 1_000.0).collect();
        Payload::adapter("proxy", &values)
    }

    fn after(how: Corruption, round: u32) -> Vec<f32> {
        let faults = Faults { corrupt: BTreeMap::from([(3, vec![how])]), ..Faults::default() };
        assert_eq!(faults.corrupted(1, 2, round, &payload()), None, "another device");
        let (corrupted, words) = faults.corrupted(1, 3, round, &payload()).expect("device 3 is corrupt");
        assert!(words.contains(&format!("round {round} ")), "{words}");
        corrupted.values("proxy").expect("it has the same parts").to_vec()
    }

    fn changed(values: &[f32]) -> usize {
        values
            .iter()
            .zip(payload().values("proxy").unwrap())
            .filter(|(a, b)| a.to_bits() != b.to_bits())
            .count()
    }

    #[test]
    fn one_value_in_a_thousand_is_no_number_or_has_one_bit_flipped() {
        let nan = after(Corruption::Nan, 1);
        assert_eq!((nan.iter().filter(|value| value.is_nan()).count(), changed(&nan)), (3, 3));
        for round in 0..200 {
            let flipped = after(Corruption::BitFlip, round);
            assert_eq!(changed(&flipped), 3, "round {round}");
            assert!(flipped.iter().all(|value| value.is_finite()), "round {round}");
        }
        assert_ne!(after(Corruption::BitFlip, 1), after(Corruption::BitFlip, 2), "every round anew");
    }

    #[test]
    fn scaling_reaches_every_value_and_stays_finite() {
        let scaled = after(Corruption::Scale { factor: -10.0 }, 1);
        assert!(scaled.iter().zip(payload().values("proxy").unwrap()).all(|(a, b)| *a == -10.0 * b));
        assert!(after(Corruption::Scale { factor: 1e300 }, 1).iter().all(|value| *value == f32::MAX));
    }

    #[test]
    fn a_connection_breaks_when_a_partition_or_an_outage_begins_and_cannot_be_made_before_it_ends() {
        let at = |seconds: f64| VirtualTime::from_secs_f64(seconds);
        let (begin, end) = interval(100.0, 50.0);
        let restart =
            Strike { at: at(300.0), until: at(310.0), kind: FaultKind::CloudRestart, detail: String::new() };
        let partitions = vec![Partition { classes: vec![true, false], at: begin, until: end }];
        let faults = Faults { strikes: vec![restart], partitions, ..Faults::default() };
        for (class, now, cut) in [
            (0, 0.0, Some(100.0)),
            (0, 100.0, Some(100.0)),
            (0, 149.0, Some(149.0)),
            (0, 150.0, Some(300.0)),
            (1, 0.0, Some(300.0)),
            (1, 305.0, Some(305.0)),
            (1, 310.0, None),
        ] {
            assert_eq!(faults.cut_from(class, at(now)), cut.map(at), "class {class} at {now} s");
        }
        let reachable = [99.0, 100.0, 149.9, 150.0].map(|now| faults.reachable(0, at(now)));
        assert_eq!(reachable, [true, false, false, true]);
        assert_eq!([99.0, 120.0, 150.0].map(|now| faults.is_partitioned(at(now))), [false, true, false]);
        assert!(faults.reachable(1, at(120.0)));
    }
}
