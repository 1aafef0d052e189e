//! Which device gets which hand, where the data of a device have to do with what the device is.
//!
//! A split makes hands; which device holds which is chance, so that who is left out cannot bias what is learned. With
//! `follows` it is not chance: devices are ordered by their class, region or availability, hands by their main domain,
//! and the one order is laid beside the other. `strength` s blurs the devices' order: a device's place is that of
//! s·z + √(1 - s²)·z', with z the normal score of its rank and z' standard normal from `split/follows/device/17`. With 1 the
//! orders agree, with 0 the hands are dealt at random. The hands themselves stay those of the split.
//!
//! The construction is a rank copula (chosen); that coverage and data go together is what Kairouz et al. 2021 ("Advances and
//! open problems in federated learning", §7.2) call a source of bias.

use cotune_kernel::{Stream, normal};

/// Deals `hands` anew, so that their main category goes by what devices are. `trait_of` is what devices are ordered by,
/// `labels` the categories of the examples; `strength` is from 0 (as they were) to 1.
pub fn deal(
    hands: Vec<Vec<u32>>,
    labels: &[u16],
    trait_of: &[f64],
    strength: f64,
    seed: u64,
) -> Vec<Vec<u32>> {
    let n = hands.len();
    // Ties are broken by lot, so that devices of one class stand in no order.
    let lots = |path: &str| -> Vec<u64> {
        let mut lots: Vec<u64> = (0..n as u64).collect();
        Stream::keyed(seed, path).shuffle(&mut lots);
        lots
    };
    let (device_lots, hand_lots) = (lots("split/follows/devices"), lots("split/follows/hands"));
    let mut devices: Vec<usize> = (0..n).collect();
    devices.sort_by(|a, b| trait_of[*a].total_cmp(&trait_of[*b]).then(device_lots[*a].cmp(&device_lots[*b])));
    let mut place = vec![0.0; n];
    for (rank, device) in devices.iter().enumerate() {
        let score = normal::quantile((rank as f64 + 0.5) / n as f64);
        let noise = Stream::keyed_parts(seed, &[&"split/follows/device", device]).normal();
        place[*device] = strength * score + (1.0 - strength * strength).sqrt() * noise;
    }
    devices.sort_by(|a, b| place[*a].total_cmp(&place[*b]).then(a.cmp(b)));

    let main: Vec<u16> = hands.iter().map(|hand| main_category(hand, labels)).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|hand| (main[*hand], hand_lots[*hand]));

    let mut hands: Vec<Option<Vec<u32>>> = hands.into_iter().map(Some).collect();
    let mut dealt = vec![Vec::new(); n];
    for (device, hand) in devices.into_iter().zip(order) {
        dealt[device] = hands[hand].take().expect("an order names every hand once");
    }
    dealt
}

/// The category that most examples of a hand have; of equal ones the first.
fn main_category(hand: &[u32], labels: &[u16]) -> u16 {
    let mut counts = std::collections::BTreeMap::new();
    hand.iter().for_each(|example| *counts.entry(labels[*example as usize]).or_insert(0u32) += 1);
    let most = counts.values().copied().max().unwrap_or(0);
    counts.into_iter().find(|(_, count)| *count == most).map_or(0, |(category, _)| category)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 hands of one of four categories; the first half of the devices is of one kind, the second of another.
    fn dealt(strength: f64) -> (Vec<Vec<u32>>, Vec<u16>) {
        let labels: Vec<u16> = (0..1_200).map(|example| (example / 3 % 4) as u16).collect();
        let hands: Vec<Vec<u32>> = (0..400).map(|hand| (3 * hand..3 * hand + 3).collect()).collect();
        let kind: Vec<f64> = (0..400).map(|device| f64::from(device / 200)).collect();
        (deal(hands, &labels, &kind, strength, 7), labels)
    }

    fn of_low_categories(hands: &[Vec<u32>], labels: &[u16]) -> usize {
        hands.iter().filter(|hand| labels[hand[0] as usize] < 2).count()
    }

    #[test]
    fn with_full_strength_a_kind_of_devices_has_a_half_of_the_categories() {
        let (hands, labels) = dealt(1.0);
        assert_eq!(of_low_categories(&hands[..200], &labels), 200);
        let first: std::collections::BTreeSet<u16> =
            hands[..20].iter().map(|hand| labels[hand[0] as usize]).collect();
        assert_eq!(first.len(), 2, "within a kind devices stand in no order");
    }

    #[test]
    fn without_strength_it_is_chance_and_between_it_is_between() {
        let share = |strength| {
            let (hands, labels) = dealt(strength);
            of_low_categories(&hands[..200], &labels) as f64 / 200.0
        };
        // Four standard deviations of a hypergeometric share are 0.1.
        assert!((share(0.0) - 0.5).abs() < 0.1, "{}", share(0.0));
        // The sign of two normal variates, one a kind's score: more than half and less than all.
        assert!((0.65..0.9).contains(&share(0.7)), "{}", share(0.7));
    }

    #[test]
    fn the_hands_stay_those_of_the_split() {
        let (mut hands, _) = dealt(0.5);
        hands.sort();
        assert!(hands.iter().enumerate().all(|(index, hand)| hand[0] as usize == 3 * index));
    }
}
