//! Adapters of different ranks on one base: what devices are sent, and what the cloud makes of what comes back.

use std::sync::Arc;

use cotune_models::low_rank::{Term, add_stacked, update_norm};
use cotune_record::EventKind;
use cotune_scenario::Scenario;
use cotune_tests::{fedavg, plan, play, tiny};
use cotune_world::Plan;
use cotune_world::method::{State, Update};
use cotune_world::payload::{Part, Payload};

/// The tiny federation with phones of rank 2 and gateways of rank 4 on one base.
fn mixed(ranks: &str, more: &[(&str, &str)]) -> Scenario {
    let gateway = [
        ("models.edge-b.base", "\"zoo:slm-gpt2-small\""),
        ("models.edge-b.adapter", "{ lora = { rank = 4, alpha = 2, targets = [\"qkv\"] } }"),
    ];
    let overrides: Vec<(&str, &str)> = gateway.iter().chain(more).copied().collect();
    tiny(&fedavg(&format!("on = \"edge\"\nranks = {ranks:?}")), &overrides)
}

/// An update of every device, drawn at random.
fn updates(plan: &Plan) -> Vec<Update> {
    let update = |device: u32| {
        let model = plan.fleet().class_of(device).model.to_string();
        let mut stream = cotune_kernel::Stream::keyed(9, &format!("test/update/{device}"));
        let values: Vec<f32> =
            (0..plan.lab().model(&model).layout.total()).map(|_| 0.1 * stream.normal() as f32).collect();
        Update {
            device,
            examples: u64::from(plan.lab().count_of(device)),
            discount: 1.0,
            base: None,
            payload: Arc::new(Payload::adapter(&model, &values)),
            model,
        }
    };
    (0..plan.fleet().devices()).map(update).collect()
}

fn fold(plan: &Plan, updates: &[Update]) -> State {
    plan.method().fold(plan.lab(), plan.method().start_cloud(plan.lab()), updates)
}

/// The whole update that an adapter stands for.
fn whole(plan: &Plan, model: &str, values: &[f32], weight: f64) -> Vec<f32> {
    let layout = &plan.lab().model(model).layout;
    let mut sum = vec![0.0; layout.deltas().total()];
    add_stacked(&mut sum, &[Term { weight, layout, values }]);
    sum
}

/// Σ w_k s_k A_k B_k with the weights of `weigh`.
fn mean(plan: &Plan, updates: &[Update], weigh: impl Fn(&Update) -> f64) -> Vec<f32> {
    let total: f64 = updates.iter().map(&weigh).sum();
    let parts = updates.iter().map(|update| {
        let values = update.payload.values(&update.model).expect("an adapter is sent");
        whole(plan, &update.model, values, weigh(update) / total)
    });
    let parts: Vec<Vec<f32>> = parts.collect();
    (0..parts[0].len()).map(|i| parts.iter().map(|part| part[i]).sum()).collect()
}

fn apart(a: &[f32], b: &[f32]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    squares.sqrt()
}

fn by_examples(update: &Update) -> f64 {
    update.examples as f64
}

#[test]
fn flora_merges_the_weighted_sum_of_all_updates_and_adapters_begin_anew() {
    let plan = plan(&mixed("flora", &[]));
    let updates = updates(&plan);
    let cloud = fold(&plan, &updates);
    let expected = mean(&plan, &updates, by_examples);
    let merged = &cloud["edge-b/merged"].values;
    assert!(apart(merged, &expected) < 1e-5 * apart(&expected, &vec![0.0; expected.len()]));
    for model in ["edge-a", "edge-b"] {
        let sent = plan.method().broadcast(plan.lab(), &cloud, model, 1);
        assert_eq!(sent.merged("edge-b"), Some(merged.as_slice()), "all devices merge the same");
        let subject = plan.method().edge_subject(&cloud, &State::new(), model);
        assert_eq!(&subject.beneath, merged);
        assert!(subject.values.iter().all(|value| *value == 0.0));
    }
    let twice = plan.method().fold(plan.lab(), cloud, &updates);
    let doubled: Vec<f32> = expected.iter().map(|value| 2.0 * value).collect();
    assert!(
        apart(&twice["edge-b/merged"].values, &doubled) < 1e-5 * apart(&doubled, &vec![0.0; doubled.len()])
    );
}

#[test]
fn flexlora_gives_every_rank_the_nearest_update() {
    let plan = plan(&mixed("flexlora", &[]));
    // One update of rank 4 is known to those of rank 4 exactly, and to those of rank 2 in part.
    let gateway: Vec<Update> = updates(&plan).into_iter().filter(|update| update.model == "edge-b").collect();
    assert_eq!(gateway.len(), 1);
    let cloud = fold(&plan, &gateway);
    let exact = mean(&plan, &gateway, by_examples);
    let length = apart(&exact, &vec![0.0; exact.len()]);
    let error = |model: &str| apart(&whole(&plan, model, &cloud[model].values, 1.0), &exact) / length;
    assert!(error("edge-b") < 1e-5, "rank 4 is enough: {}", error("edge-b"));
    assert!((0.05..0.95).contains(&error("edge-a")), "rank 2 keeps most of it: {}", error("edge-a"));
    // What rank 2 has is the best of rank 2: orthogonal to what it lacks.
    let kept = whole(&plan, "edge-a", &cloud["edge-a"].values, 1.0);
    let inner: f64 = kept.iter().zip(&exact).map(|(k, e)| f64::from(k * (e - k))).sum();
    assert!(inner.abs() < 1e-5 * length * length, "{inner}");
}

#[test]
fn hetlora_weighs_by_the_norm_of_updates_and_truncates_on_the_way_down() {
    let plan = plan(&mixed("hetlora", &[]));
    let updates = updates(&plan);
    let cloud = fold(&plan, &updates);
    let layout = |model: &str| &plan.lab().model(model).layout;
    let norm = |update: &Update| {
        update_norm(layout(&update.model), update.payload.values(&update.model).expect("an adapter"))
    };
    let total: f64 = updates.iter().map(norm).sum();
    // Entry (0, k) of A of the first map: column k of a device exists where its rank is above k.
    for (model, rank) in [("edge-a", 2), ("edge-b", 4)] {
        for k in 0..rank {
            let expected: f64 = updates
                .iter()
                .filter(|update| update.model == "edge-b" || k < 2)
                .map(|update| {
                    norm(update) / total * f64::from(update.payload.values(&update.model).unwrap()[k])
                })
                .sum();
            let found = f64::from(cloud[model].values[k]);
            assert!((found - expected).abs() < 1e-6, "{model}, column {k}: {found}, not {expected}");
        }
    }
    // The first rows of B are the same update below both ranks, at the scale of each: 2 of phones, 1/2 of gateways.
    let (narrow, wide) = (layout("edge-a").maps().next().unwrap(), layout("edge-b").maps().next().unwrap());
    let (b, wide_b) = (narrow.b.offset, wide.b.offset);
    for j in 0..2 * narrow.b.shape[1] {
        let (scaled, whole) = (cloud["edge-a"].values[b + j] * 2.0, cloud["edge-b"].values[wide_b + j] * 0.5);
        assert!((scaled - whole).abs() < 1e-6, "{scaled} and {whole}");
    }
}

#[test]
fn what_travels_is_charged_by_rank_and_a_merged_update_whole() {
    for (ranks, down) in [("flexlora", None), ("hetlora", None), ("flora", Some("edge-b"))] {
        let plan = plan(&mixed(ranks, &[]));
        let cloud = plan.method().start_cloud(plan.lab());
        for device in 0..plan.fleet().devices() {
            let model = &plan.fleet().class_of(device).model;
            let adapter = plan.lab().model(model).layout.total() as u64;
            let sent = plan.method().broadcast(plan.lab(), &cloud, model, 1);
            let values = match (down, &sent.parts[0]) {
                (None, Part::Adapter { values, .. }) | (Some(_), Part::Merged { values, .. }) => values.len(),
                (_, other) => panic!("{ranks} sends {other:?}"),
            };
            let traffic = plan.traffic(device, 1);
            assert!(traffic.up > 4 * adapter && traffic.up < 4 * adapter + 100, "{ranks}: {}", traffic.up);
            let bytes = 4 * values as u64;
            assert!(traffic.down > bytes && traffic.down < bytes + 100, "{ranks}: {}", traffic.down);
        }
    }
}

#[test]
fn billed_models_are_charged_for_the_maps_of_the_billed_shape() {
    let bill =
        ("models.edge-b.bill_as", "{ params = \"12.3M\", weights = \"f32\", layers = 4, width = 512 }");
    let bill_a = ("models.edge-a.bill_as", bill.1);
    let plan = plan(&mixed("flora", &[bill, bill_a, ("fleet.class.phone.memory", "\"8GiB\"")]));
    for device in 0..3 {
        // The fused map reads 512 and writes 3 · 512, in each of 4 layers; an empty frame goes around it.
        let rank = if &*plan.fleet().class_of(device).model == "edge-a" { 2 } else { 4 };
        let frame = Payload::default().encoded_bytes();
        let traffic = plan.traffic(device, 1);
        assert_eq!(traffic.down, 4 * 4 * 512 * 3 * 512 + frame);
        assert_eq!(traffic.up, 4 * 4 * rank * (512 + 3 * 512) + frame);
    }
}

#[test]
fn runs_of_mixed_ranks_learn_and_repeat() {
    for ranks in ["flora", "flexlora", "hetlora"] {
        for coordination in ["{ sync = {} }", "{ buffered = { concurrency = 3, buffer = 2 } }"] {
            let scenario = mixed(ranks, &[("coordination", coordination), ("budget.rounds", "4")]);
            let scenario = Scenario { seed: 3, ..scenario };
            let played = play(&plan(&scenario), 2, true);
            let losses: Vec<f64> = played
                .events
                .iter()
                .filter_map(|event| match event.kind {
                    EventKind::TrainingFinished { loss, .. } => loss,
                    _ => None,
                })
                .collect();
            let (first, last) =
                (losses[..3].iter().sum::<f64>(), losses[losses.len() - 3..].iter().sum::<f64>());
            assert!(last < first, "{ranks}, {coordination}: {losses:?}");
            assert_eq!(play(&plan(&scenario), 1, true).digest, played.digest, "{ranks}, {coordination}");
            assert_eq!(
                play(&plan(&scenario), 1, false).schedule_digest,
                played.schedule_digest,
                "{ranks}, {coordination}"
            );
        }
    }
}
