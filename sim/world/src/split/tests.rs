use cotune_scenario::data::{Dirichlet, Quantity, Retry, Shards};

use cotune_scenario::{FileKind, FileReference};

use super::*;
use crate::site::{Reach, Site};

/// A split that needs no file.
fn deal_of(split: &Split, labels: &[u16], devices: u32, seed: u64) -> Result<Vec<Vec<u32>>, SplitError> {
    deal(split, labels, &Files::default(), devices, seed)
}

fn dirichlet(alpha: f64, min: u64, self_balancing: bool) -> Split {
    Split::Dirichlet(Dirichlet { by: "domain".into(), alpha, min, self_balancing, retry: Retry::NiidBench })
}

fn shards(per_device: u32, size: Option<u64>, keep_incomplete: bool) -> Split {
    Split::Shards(Shards { by: "domain".into(), per_device, size, keep_incomplete })
}

fn pathological(classes_per_device: u32) -> Split {
    Split::Pathological { by: "domain".into(), classes_per_device }
}

fn natural() -> Split {
    Split::Natural { by: "clinic".into() }
}

/// `examples` labels, `categories` of them in turn.
fn labels(examples: usize, categories: usize) -> Vec<u16> {
    (0..examples).map(|example| (example % categories) as u16).collect()
}

fn sizes(hands: &[Vec<u32>]) -> Vec<usize> {
    hands.iter().map(Vec::len).collect()
}

fn sorted_sizes(hands: &[Vec<u32>]) -> Vec<usize> {
    let mut sizes = sizes(hands);
    sizes.sort_unstable();
    sizes
}

/// How many categories every device has examples of.
fn spread(hands: &[Vec<u32>], labels: &[u16], categories: usize) -> Vec<usize> {
    let shares = shares(hands, labels, categories);
    shares.iter().map(|mix| mix.iter().filter(|share| **share > 0.0).count()).collect()
}

#[test]
fn linear_and_square_sizes_of_60_000_examples_are_flowers() {
    let labels = labels(60_000, 10);
    let of = |law| sizes(&deal_of(&Split::Quantity(law), &labels, 10, 1).unwrap());
    assert_eq!(of(Quantity::Linear), [1090, 2181, 3272, 4363, 5454, 6545, 7636, 8727, 9818, 10914]);
    assert_eq!(of(Quantity::Square), [155, 623, 1402, 2493, 3896, 5610, 7636, 9974, 12623, 15588]);
}

#[test]
fn shards_of_60_000_examples_are_flowers() {
    let labels = labels(60_000, 10);
    let nine = deal_of(&shards(7, Some(1_000), false), &labels, 9, 1).unwrap();
    assert_eq!(sorted_sizes(&nine), [6000, 6000, 6000, 7000, 7000, 7000, 7000, 7000, 7000]);
    let ten = deal_of(&shards(7, Some(990), true), &labels, 10, 1).unwrap();
    assert_eq!(sorted_sizes(&ten), [5550, 5940, 5940, 5940, 5940, 5940, 5940, 5940, 5940, 6930]);
}

#[test]
fn exponential_sizes_grow_by_e_and_never_reach_zero() {
    let few = sizes(&deal_of(&Split::Quantity(Quantity::Exponential), &labels(60_000, 4), 5, 1).unwrap());
    for pair in few.windows(2) {
        let ratio = pair[1] as f64 / pair[0] as f64;
        assert!((ratio / std::f64::consts::E - 1.0).abs() < 0.01, "{few:?}");
    }
    let many = sizes(&deal_of(&Split::Quantity(Quantity::Exponential), &labels(1_000, 4), 900, 1).unwrap());
    assert_eq!(many.iter().sum::<usize>(), 1_000);
    assert!(many.is_sorted() && many[0] == 1);
    // 100 examples are left when everyone has one; the last device has 1 - 1/e of them, and what rounding leaves.
    assert_eq!(many[899] - 1, 100 - 23 - 8 - 3 - 1);
}

#[test]
fn lognormal_sizes_have_the_spread_that_is_asked_for() {
    let law = Quantity::LogNormal { sigma: 0.8 };
    let sizes = sizes(&deal_of(&Split::Quantity(law), &labels(1_000_000, 4), 1_000, 1).unwrap());
    let logs: Vec<f64> = sizes.iter().map(|size| (*size as f64).ln()).collect();
    let mean = logs.iter().sum::<f64>() / 1_000.0;
    let deviation = (logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / 1_000.0).sqrt();
    assert!((deviation - 0.8).abs() < 4.0 * 0.8 / 2_000f64.sqrt(), "σ = {deviation}");
}

#[test]
fn iid_sizes_differ_by_one_and_every_device_has_the_mix_of_the_whole() {
    let labels = labels(10_003, 4);
    let hands = deal_of(&Split::Iid, &labels, 10, 1).unwrap();
    assert!(hands.iter().all(|hand| hand.len() == 1_000 || hand.len() == 1_001));
    for mix in shares(&hands, &labels, 4) {
        assert!(mix.iter().all(|share| (share - 0.25).abs() < 5.0 * (0.1875f64 / 1_000.0).sqrt()), "{mix:?}");
    }
}

#[test]
fn a_small_alpha_skews_and_a_large_one_does_not() {
    let labels = labels(40_000, 8);
    let largest = |alpha| {
        let hands = deal_of(&dirichlet(alpha, 10, false), &labels, 20, 1).unwrap();
        let mixes = shares(&hands, &labels, 8);
        mixes.iter().map(|mix| mix.iter().copied().fold(0.0, f64::max)).sum::<f64>() / 20.0
    };
    let (skewed, moderate, even) = (largest(0.1), largest(1.0), largest(1_000.0));
    assert!(
        skewed > 0.6 && moderate < skewed && even < moderate && even < 0.15,
        "{skewed} {moderate} {even}"
    );
}

/// Per category, a device's share of it has variance (k-1)/(k²(kα+1)): Dir(α) over k devices.
#[test]
fn the_devices_shares_of_a_category_vary_as_the_dirichlet_distribution_says() {
    let (devices, alpha, draws) = (5, 0.5, 400);
    let labels = labels(5_000, 2);
    let mut squares = 0.0;
    for seed in 0..draws {
        let hands = deal_of(&dirichlet(alpha, 1, false), &labels, devices, seed).unwrap();
        for hand in &hands {
            let first = hand.iter().filter(|example| labels[**example as usize] == 0).count();
            squares += (first as f64 / 2_500.0 - 0.2).powi(2);
        }
    }
    let k = f64::from(devices);
    let variance = squares / (draws as f64 * k);
    let theory = (k - 1.0) / (k * k * (k * alpha + 1.0));
    assert!((variance / theory - 1.0).abs() < 0.1, "variance {variance}, theory {theory}");
}

#[test]
fn every_device_has_the_minimum_even_where_many_redraws_are_needed() {
    let hands = deal_of(&dirichlet(0.3, 40, false), &labels(1_000, 8), 8, 1).unwrap();
    assert!(hands.iter().all(|hand| hand.len() >= 40), "{:?}", sizes(&hands));
}

#[test]
fn self_balancing_keeps_devices_near_their_fair_share() {
    let labels = labels(8_000, 20);
    let widest = |balanced| {
        let hands = deal_of(&dirichlet(0.3, 1, balanced), &labels, 10, 5).unwrap();
        assert_eq!(hands.iter().map(Vec::len).sum::<usize>(), 8_000);
        hands.iter().map(Vec::len).max().unwrap()
    };
    // A device below its fair share of 800 takes at most one more category of 400.
    assert!(widest(true) < 1_200 && widest(false) > widest(true));
}

#[test]
fn pathological_devices_have_the_categories_they_were_promised() {
    let labels = labels(10_000, 10);
    let hands = deal_of(&pathological(2), &labels, 25, 1).unwrap();
    assert_eq!(spread(&hands, &labels, 10), vec![2; 25]);
    // 50 places for 10 categories: every category is on 5 devices.
    assert_eq!(sizes(&hands), vec![400; 25]);
}

#[test]
fn a_pathological_split_with_too_few_places_drops_whole_categories() {
    let labels = labels(1_000, 10);
    let hands = deal_of(&pathological(2), &labels, 3, 1).unwrap();
    assert_eq!(hands.iter().map(Vec::len).sum::<usize>(), 600);
    assert_eq!(spread(&hands, &labels, 10), vec![2; 3]);
}

#[test]
fn shards_of_sorted_examples_hold_few_categories() {
    let labels = labels(10_000, 10);
    let hands = deal_of(&shards(2, None, false), &labels, 50, 1).unwrap();
    assert_eq!(sizes(&hands), vec![200; 50]);
    assert!(spread(&hands, &labels, 10).iter().all(|count| *count <= 2));
}

#[test]
fn shards_without_a_size_drop_the_remainder_unless_told_to_keep_it() {
    let labels = labels(1_019, 10);
    let total = |keep| {
        let hands = deal_of(&shards(2, None, keep), &labels, 50, 1).unwrap();
        hands.iter().map(Vec::len).sum::<usize>()
    };
    assert_eq!(total(false), 1_000);
    assert_eq!(total(true), 1_019);
}

#[test]
fn a_natural_split_makes_one_value_one_device() {
    let labels = [7, 3, 7, 3, 9, 9, 9];
    let hands = deal_of(&natural(), &labels, 3, 1).unwrap();
    assert_eq!(hands, [vec![1, 3], vec![0, 2], vec![4, 5, 6]]);
}

#[test]
fn a_natural_split_over_few_devices_groups_whole_values() {
    let labels = labels(700, 7);
    let hands = deal_of(&natural(), &labels, 3, 1).unwrap();
    assert_eq!(sorted_sizes(&hands), [200, 200, 300]);
    assert_eq!(spread(&hands, &labels, 7).iter().sum::<usize>(), 7);
}

#[test]
fn a_natural_split_over_many_devices_gives_each_one_value() {
    let labels = labels(700, 7);
    let hands = deal_of(&natural(), &labels, 17, 1).unwrap();
    assert_eq!(spread(&hands, &labels, 7), vec![1; 17]);
    // 17 devices for 7 values: three share a value of 100, or two do.
    assert!(hands.iter().all(|hand| [33, 34, 50].contains(&hand.len())), "{:?}", sizes(&hands));
    assert_eq!(hands.iter().map(Vec::len).sum::<usize>(), 700);
}

#[test]
fn impossible_splits_say_what_to_write_instead() {
    let of = |split: Split, examples, devices| deal_of(&split, &labels(examples, 4), devices, 1).unwrap_err();
    assert_eq!(
        of(Split::Iid, 3, 4).to_string(),
        "4 devices cannot share 3 private examples; raise `examples` or have fewer devices"
    );
    assert_eq!(
        of(dirichlet(0.3, 30, false), 100, 4).to_string(),
        "4 devices with at least 30 examples each need 120, and 100 are private; write min = 25 or less"
    );
    assert_eq!(
        of(dirichlet(0.01, 25, false), 1_000, 40).to_string(),
        "in 1000 draws of the Dirichlet split with alpha = 0.01 some of 40 devices always had fewer than \
         min = 25 examples (the mean is 25.0); raise alpha, lower min, or have fewer devices"
    );
    assert_eq!(
        of(pathological(5), 100, 4).to_string(),
        "a device cannot have 5 of 4 categories; write classes_per_device = 4 or less"
    );
    assert_eq!(
        of(pathological(1), 5, 5).to_string(),
        "device 3 would have no examples: its categories have too few for all their devices"
    );
    assert_eq!(
        of(shards(1, Some(30), false), 100, 4).to_string(),
        "100 examples make 3 shards of 30, too few for 4 devices; write a smaller `size`"
    );
    assert_eq!(
        of(Split::File { path: "a.txt".into() }, 100, 4).to_string(),
        "the split `a.txt` was not read"
    );
}

#[test]
fn a_split_from_a_file_is_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("owners.txt"), "# by hand\n2\n0\n1\n2\n").unwrap();
    let mut files = Files::default();
    let reference = FileReference { path: "owners.txt".into(), kind: FileKind::Split, key: String::new() };
    let (scenario_dir, data_dir, cache_dir) =
        (folder.path().into(), folder.path().into(), folder.path().into());
    files.add(&reference, &Site { scenario_dir, data_dir, cache_dir, reach: Reach::Anywhere }).unwrap();
    let of = |examples, devices| {
        deal(&Split::File { path: "owners.txt".into() }, &labels(examples, 2), &files, devices, 1)
    };
    assert_eq!(of(4, 3), Ok(vec![vec![1], vec![2], vec![0, 3]]));
    assert!(
        of(5, 3).unwrap_err().to_string().starts_with("the split `owners.txt` has 4 lines and there are 5")
    );
    assert_eq!(
        of(4, 2).unwrap_err().to_string(),
        "the split `owners.txt` names the device 2, and the last of 2 devices is 1"
    );
    assert_eq!(of(4, 4).unwrap_err(), SplitError::Nothing { device: 3 });
}

#[test]
fn counts_are_the_sizes_of_the_split_that_deals_examples() {
    for split in
        [Split::Iid, Split::Quantity(Quantity::Linear), Split::Quantity(Quantity::LogNormal { sigma: 1.0 })]
    {
        let dealt = deal_of(&split, &labels(1_003, 4), 17, 3).unwrap();
        let counted = counts(&split, 1_003, 17, 3).unwrap();
        assert_eq!(
            counted.iter().map(|count| *count as usize).collect::<Vec<_>>(),
            sizes(&dealt),
            "{split:?}"
        );
    }
    assert_eq!(counts(&natural(), 1_000, 10, 1), Err(SplitError::OnlyCounted));
}

#[test]
fn a_split_is_a_function_of_its_seed() {
    let labels = labels(2_000, 8);
    for split in [
        Split::Iid,
        dirichlet(0.3, 10, false),
        pathological(2),
        shards(2, Some(50), true),
        natural(),
        Split::Quantity(Quantity::LogNormal { sigma: 1.0 }),
    ] {
        assert_eq!(deal_of(&split, &labels, 12, 4), deal_of(&split, &labels, 12, 4));
        assert_ne!(deal_of(&split, &labels, 12, 4), deal_of(&split, &labels, 12, 5), "{split:?}");
    }
}

/// Any split, and whether it may drop examples.
fn any_split(stream: &mut Stream) -> (Split, bool) {
    let coin = stream.chance(0.5);
    match stream.below(6) {
        0 => (Split::Iid, false),
        1 => (dirichlet(stream.range(0.05, 5.0), 1 + stream.below(3), coin), false),
        2 => (pathological(1 + stream.below(3) as u32), true),
        3 => {
            let size = stream.chance(0.5).then(|| 1 + stream.below(29));
            (shards(1 + stream.below(4) as u32, size, coin), size.is_some() || !coin)
        }
        4 => (natural(), false),
        _ => (Split::Quantity(any_law(stream)), false),
    }
}

fn any_law(stream: &mut Stream) -> Quantity {
    match stream.below(4) {
        0 => Quantity::Linear,
        1 => Quantity::Square,
        2 => Quantity::Exponential,
        _ => Quantity::LogNormal { sigma: stream.range(0.1, 4.0) },
    }
}

#[test]
fn any_split_is_disjoint_complete_and_leaves_nobody_empty() {
    let mut made = 0;
    for case in 0..4_000u64 {
        let mut stream = Stream::keyed_parts(11, &[&"test/split", &case]);
        let (split, may_drop) = any_split(&mut stream);
        let labels: Vec<u16> = (0..=stream.below(400)).map(|_| stream.below(9) as u16).collect();
        let devices = 1 + stream.below(24) as u32;
        let Ok(hands) = deal_of(&split, &labels, devices, case) else { continue };
        made += 1;
        let what = format!("case {case}: {split:?} of {} examples to {devices} devices", labels.len());
        assert_eq!(hands.len(), devices as usize, "{what}");
        let mut times_dealt = vec![0; labels.len()];
        for hand in &hands {
            assert!(!hand.is_empty() && hand.is_sorted(), "{what}: {hand:?}");
            hand.iter().for_each(|example| times_dealt[*example as usize] += 1);
        }
        assert!(
            times_dealt.iter().all(|times| *times == 1 || may_drop && *times == 0),
            "{what}: {times_dealt:?}"
        );
        let whole = |mix: &Vec<f64>| (mix.iter().sum::<f64>() - 1.0).abs() < 1e-9;
        assert!(shares(&hands, &labels, 9).iter().all(whole), "{what}");
    }
    assert!(made > 2_500, "only {made} of 4,000 splits could be made");
}

#[test]
fn iid_and_quantity_splits_succeed_wherever_every_device_can_have_an_example() {
    for case in 0..2_000u64 {
        let mut stream = Stream::keyed_parts(12, &[&"test/split", &case]);
        let split = if stream.chance(0.2) { Split::Iid } else { Split::Quantity(any_law(&mut stream)) };
        let examples = 1 + stream.below(500) as usize;
        let devices = 1 + stream.below(examples as u64) as u32;
        let hands = deal_of(&split, &labels(examples, 3), devices, case);
        let dealt = hands.as_ref().map(|hands| sizes(hands).iter().sum::<usize>());
        assert_eq!(dealt, Ok(examples), "case {case}: {split:?} of {examples} examples to {devices} devices");
    }
}

#[test]
fn flower_gives_up_after_its_eleventh_draw() {
    let hard = |retry| {
        Split::Dirichlet(Dirichlet { by: "domain".into(), alpha: 0.1, min: 12, self_balancing: false, retry })
    };
    let (mut early, mut late) = (0, 0);
    for seed in 0..40 {
        let flower = deal_of(&hard(Retry::Flower), &labels(1_000, 8), 12, seed);
        let niid = deal_of(&hard(Retry::NiidBench), &labels(1_000, 8), 12, seed);
        match (flower, niid) {
            (Ok(flower), niid) => {
                assert_eq!(Ok(flower), niid, "the same draws in the same order");
                early += 1;
            }
            (Err(SplitError::Dirichlet { draws, .. }), Ok(_)) => {
                assert_eq!(draws, 11);
                late += 1;
            }
            (flower, niid) => assert!(flower.is_err() && niid.is_err()),
        }
    }
    assert!(early > 0 && late > 0, "{early} within eleven draws, {late} later");
}
