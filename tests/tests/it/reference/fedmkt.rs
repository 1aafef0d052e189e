//! FedMKT in a plain loop: the simulation agrees with it in weights.

use std::collections::BTreeMap;

use cotune_models::kernels::head::SoftTargets;
use cotune_models::learner::Trained;
use cotune_tests::{fedmkt, plan, tiny};
use cotune_world::Plan;
use cotune_world::lab::LabModel;

use super::matching::{Matching, Pair};
use super::{
    CLOUD_LR, Decoder, LR, Order, ROUNDS, agree, driven, loss, optimizer, private, rate, step, tune,
};

const K: usize = 12;
const LAMBDA: f64 = 0.6;
/// Steps of a device on its own examples, of a device on the public ones, of the cloud.
const TUNE: usize = 1;
const MUTUAL: usize = 2;

/// What a model knows of every public example: its loss, and rows of which only the K largest logits are used.
type Known = Vec<(f32, Vec<Vec<f32>>)>;

fn known(model: &LabModel, values: &[f32]) -> Known {
    let decoder = Decoder::new(model, values, false);
    let one = |text| {
        let rows = decoder.rows(text);
        (loss(&rows, &text.answer) as f32, rows)
    };
    model.text.public.iter().map(one).collect()
}

/// One side's exchange: for every example whom it listens to, then steps of λ·CE + (1−λ)·KD. And how many examples it
/// listened to somebody about.
fn exchange(
    learner: &LabModel,
    start: &Trained,
    voices: &[(&LabModel, &Known)],
    (fate, matching): (bool, Matching),
    (path, lr): (&str, f64),
) -> (Trained, usize) {
    let own = known(learner, &start.values);
    let mut pairs: BTreeMap<String, Pair<'_>> = voices
        .iter()
        .map(|(model, _)| *model)
        .chain([learner])
        .map(|model| (model.name.clone(), Pair::new(model, learner, matching)))
        .collect();
    let mut soft: Vec<SoftTargets> = Vec::new();
    for (i, (own_loss, own_rows)) in own.iter().enumerate() {
        let mut best: Option<(&LabModel, f32, &Vec<Vec<f32>>)> = None;
        for (model, known) in voices {
            if best.is_none_or(|best| known[i].0 < best.1) {
                best = Some((model, known[i].0, &known[i].1));
            }
        }
        let teacher = match best.filter(|best| best.1 < *own_loss) {
            Some((model, _, rows)) => Some((model, rows)),
            None => fate.then_some((learner, own_rows)),
        };
        soft.push(teacher.map_or_else(SoftTargets::default, |(model, rows)| {
            let pair = pairs.get_mut(&model.name).expect("every voice has a pair");
            pair.soft(rows, &model.text.public[i].answer, &learner.text.public[i].answer, K)
        }));
    }
    let heard = soft.iter().filter(|one| !one.is_empty()).count();
    let mut order = Order::new(own.len(), path);
    let mut state = start.clone();
    for _ in 0..MUTUAL {
        let batch = order.next();
        let text = batch.iter().map(|i| &learner.text.public[*i]).collect();
        let soft = batch.iter().map(|i| &soft[*i]).collect();
        state = step(learner, &state, (text, soft), (LAMBDA, 1.0 - LAMBDA), lr);
    }
    (state, heard)
}

/// The LLM and every device's model after two rounds, and how many examples the LLM and the devices were taught about.
fn plain(plan: &Plan, rule: (bool, Matching)) -> (Trained, BTreeMap<u32, Trained>, [usize; 2]) {
    let lab = plan.lab();
    let llm = lab.model("cloud");
    let model = |device: u32| lab.model(&plan.fleet().class_of(device).model);
    let mut omega = llm.fresh(1);
    let mut alpha: BTreeMap<u32, Trained> =
        (0..plan.fleet().devices()).map(|device| (device, model(device).fresh(1))).collect();
    let mut taught = [0; 2];
    for round in 1..=ROUNDS {
        let s_0 = known(llm, &omega.values);
        let mut said: Vec<(u32, Known)> = Vec::new();
        for (device, state) in &mut alpha {
            let (own, path) = (model(*device), format!("device/{device}/round/{round}"));
            let lr = rate(LR, round);
            let (exchanged, heard) =
                exchange(own, state, &[(llm, &s_0)], rule, (&format!("{path}/exchange"), lr));
            taught[1] += heard;
            *state = tune(own, &exchanged, &private(plan, own, *device), TUNE, &format!("{path}/tune"), lr);
            said.push((*device, known(own, &state.values)));
        }
        let voices: Vec<_> = said.iter().map(|(device, known)| (model(*device), known)).collect();
        let path = format!("cloud/round/{round}/exchange");
        let (exchanged, heard) = exchange(llm, &omega, &voices, rule, (&path, rate(CLOUD_LR, round)));
        omega = exchanged;
        taught[0] += heard;
    }
    (omega, alpha, taught)
}

fn agrees(selection: &str, align: &str, llm: &str, rule: (bool, Matching)) -> [usize; 2] {
    let keys = format!(
        "selection = \"{selection}\"\nalign = \"{align}\"\nlambda = {LAMBDA}\ntop_k = {K}\n{}",
        optimizer()
    );
    let plan = plan(&tiny(&fedmkt(&keys), &[("models.cloud.base", llm)]));
    let (omega, alpha, taught) = plain(&plan, rule);
    let driven = driven(&plan);
    let start = |model: &str| plan.lab().model(model).fresh(1).values;
    agree("the LLM", &driven.cloud["cloud"].values, &omega.values, &start("cloud"));
    for (device, plain) in &alpha {
        let model = plan.fleet().class_of(*device).model.to_string();
        let state = &driven.devices[device][&model];
        agree(&format!("device {device}"), &state.values, &plain.values, &start(&model));
    }
    taught
}

#[test]
fn the_simulation_comes_to_the_weights_of_a_plain_loop_by_the_papers_rule() {
    let by_devices = agrees("dual-min-ce", "dtw", "\"zoo:llm-small\"", (false, Matching::Warped));
    let by_the_llm = agrees("dual-min-ce", "dtw", "\"zoo:llm\"", (false, Matching::Warped));
    assert!(by_devices[0] > 0 && by_the_llm[1] > 0, "both directions teach: {by_devices:?}, {by_the_llm:?}");
}

#[test]
fn the_simulation_comes_to_the_weights_of_a_plain_loop_by_the_rule_of_fate() {
    let taught = agrees("fate", "bytes", "\"zoo:llm-small\"", (true, Matching::Bytes));
    assert!(taught.iter().all(|examples| *examples > 0), "everybody is taught, if by itself: {taught:?}");
}
