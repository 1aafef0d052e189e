//! Adapters of random ranks, scales and weights on maps of random shapes.

use super::*;
use crate::adapter::{LoraSpec, Target};
use crate::spec::{DecoderSpec, Family};
use cotune_kernel::Stream;
use proptest::prelude::*;

/// An adapter with random values.
#[derive(Debug)]
struct Adapter {
    weight: f64,
    layout: Layout,
    values: Vec<f32>,
}

fn layout(rank: usize, alpha: f64) -> Layout {
    let spec = DecoderSpec::of(Family::Gpt2, 32, 12, 1, 2, 20, 16);
    let targets = vec![Target::Qkv, Target::O, Target::Down];
    Layout::lora(&spec, &LoraSpec { rank, alpha, targets, modules_to_save: Vec::new() })
}

fn random(layout: &Layout, path: &str) -> Vec<f32> {
    let mut stream = Stream::keyed(1, path);
    (0..layout.total()).map(|_| stream.normal() as f32).collect()
}

fn adapters(ranks: &[usize]) -> Vec<Adapter> {
    let one = |(k, rank): (usize, &usize)| {
        let layout = layout(*rank, 1.0 + k as f64);
        let values = random(&layout, &format!("adapter/{k}/{rank}"));
        Adapter { weight: 0.3 + 0.1 * k as f64, layout, values }
    };
    ranks.iter().enumerate().map(one).collect()
}

fn terms(adapters: &[Adapter]) -> Vec<Term<'_>> {
    adapters.iter().map(|a| Term { weight: a.weight, layout: &a.layout, values: &a.values }).collect()
}

/// Σ w s A B of every map, by the definition.
fn dense(terms: &[Term<'_>]) -> Vec<f64> {
    let mut sum = vec![0.0; terms[0].layout.deltas().total()];
    for Term { weight, layout, values } in terms {
        let deltas = layout.deltas();
        for (map, delta) in layout.maps().zip(deltas.entries()) {
            let ([inputs, rank], outputs) = (map.a.shape, map.b.shape[1]);
            for (i, j) in (0..inputs).flat_map(|i| (0..outputs).map(move |j| (i, j))) {
                let product: f64 = (0..rank)
                    .map(|k| {
                        let (a, b) = (map.a.offset + i * rank + k, map.b.offset + k * outputs + j);
                        f64::from(values[a]) * f64::from(values[b])
                    })
                    .sum();
                sum[delta.offset + i * outputs + j] += weight * f64::from(layout.scale()) * product;
            }
        }
    }
    sum
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn one<'t>(layout: &'t Layout, values: &'t [f32]) -> [Term<'t>; 1] {
    [Term { weight: 1.0, layout, values }]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// FLoRA: the stack is Σ w_k s_k A_k B_k.
    #[test]
    fn a_stack_is_the_sum_of_the_updates(ranks in prop::collection::vec(1usize..6, 1..5)) {
        let adapters = adapters(&ranks);
        let mut sum = vec![0.0f32; adapters[0].layout.deltas().total()];
        add_stacked(&mut sum, &terms(&adapters));
        let sum: Vec<f64> = sum.into_iter().map(f64::from).collect();
        let exact = dense(&terms(&adapters));
        prop_assert!(apart(&sum, &exact) < 1e-6 * apart(&exact, &vec![0.0; exact.len()]));
    }

    /// FlexLoRA: with rank enough, redistribution is exact; with less, what is lost are the smallest singular values.
    #[test]
    fn redistribution_is_exact_where_the_rank_is_enough(
        ranks in prop::collection::vec(1usize..4, 1..4),
        more in 0usize..3,
    ) {
        let adapters = adapters(&ranks);
        let all: usize = ranks.iter().sum();
        let to = layout(all + more, 3.0);
        let fresh = random(&to, "fresh");
        let values = redistributed(&terms(&adapters), &to, &fresh);
        let exact = dense(&terms(&adapters));
        let length = apart(&exact, &vec![0.0; exact.len()]);
        prop_assert!(apart(&dense(&one(&to, &values)), &exact) < 1e-5 * length);

        let narrow = layout(1, 5.0);
        let cut = redistributed(&terms(&adapters), &narrow, &random(&narrow, "fresh"));
        let lost = apart(&dense(&one(&narrow, &cut)), &exact);
        // Eckart & Young: no update of rank 1 is nearer, that of any device least of all.
        for adapter in &adapters {
            let resized = resized(&adapter.layout, &adapter.values, &narrow, &random(&narrow, "fresh"));
            prop_assert!(lost <= apart(&dense(&one(&narrow, &resized)), &exact) * (1.0 + 1e-6));
        }
    }

    /// HetLoRA: zeros change nothing, and cutting them off again restores what was there.
    #[test]
    fn padding_changes_nothing_and_truncation_keeps_the_first_columns(small in 1usize..5, more in 1usize..4) {
        let (narrow, wide) = (layout(small, 4.0), layout(small + more, 1.0));
        let values = random(&narrow, "narrow");
        let padded = resized(&narrow, &values, &wide, &random(&wide, "fresh"));
        let (before, after) = (dense(&one(&narrow, &values)), dense(&one(&wide, &padded)));
        let length = apart(&before, &vec![0.0; before.len()]);
        prop_assert!(apart(&before, &after) < 1e-6 * length);
        prop_assert!((update_norm(&narrow, &values) - length).abs() < 1e-6 * length);
        let back = resized(&wide, &padded, &narrow, &random(&narrow, "other"));
        for (back, value) in back.iter().zip(&values) {
            prop_assert!((back - value).abs() <= 1e-6 * value.abs());
        }
    }
}

#[test]
fn truncation_drops_the_last_columns_of_a_and_the_last_rows_of_b() {
    let (wide, narrow) = (layout(3, 3.0), layout(2, 2.0));
    let values = random(&wide, "wide");
    let cut = resized(&wide, &values, &narrow, &vec![0.0; narrow.total()]);
    for (from, to) in wide.maps().zip(narrow.maps()) {
        for i in 0..from.a.shape[0] {
            assert_eq!(cut[to.a.offset + 2 * i..][..2], values[from.a.offset + 3 * i..][..2]);
        }
        let kept = 2 * to.b.shape[1];
        assert_eq!(cut[to.b.offset..][..kept], values[from.b.offset..][..kept]);
    }
}

#[test]
fn what_a_sum_has_no_use_for_stays_fresh_so_that_it_can_still_learn() {
    let adapters = adapters(&[1]);
    let to = layout(3, 3.0);
    let fresh = random(&to, "fresh");
    let values = redistributed(&terms(&adapters), &to, &fresh);
    for map in to.maps() {
        let outputs = map.b.shape[1];
        assert!(values[map.b.offset + outputs..][..2 * outputs].iter().all(|b| *b == 0.0));
        for i in 0..map.a.shape[0] {
            let place = map.a.offset + 3 * i;
            assert_eq!(values[place + 1..place + 3], fresh[place + 1..place + 3]);
        }
    }
}

#[test]
fn a_frozen_a_is_not_trained_and_everything_else_is() {
    let whole = layout(2, 4.0);
    let values = random(&whole, "values");
    let frozen = whole.freezing_a(&values);
    let b: usize = whole.maps().map(|map| map.b.len()).sum();
    assert_eq!((frozen.total(), frozen.scale()), (b, whole.scale()));
    assert!(frozen.entries().iter().all(|entry| entry.name.ends_with(".lora_b")));
    for (fixed, map) in frozen.fixed().iter().zip(whole.maps()) {
        assert_eq!(fixed.values, values[map.a.offset..map.a.offset + map.a.len()]);
    }
    let trained: Vec<f32> =
        whole.maps().flat_map(|map| &values[map.b.offset..map.b.offset + map.b.len()]).copied().collect();
    assert_eq!(frozen.unfrozen(&whole, &trained), values, "both factors together are what they were");
    assert_eq!(whole.unfrozen(&whole, &values), values);
}
