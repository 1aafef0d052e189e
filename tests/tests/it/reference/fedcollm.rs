//! FedCoLLM in a plain loop by its equations: the simulation agrees with it in weights.

use cotune_models::batch::Sequence;
use cotune_models::learner::Trained;
use cotune_tests::{fedcollm, plan, tiny};
use cotune_world::Plan;

use super::matching::{Matching, Pair};
use super::{CLOUD_LR, LR, Order, ROUNDS, agree, driven, optimizer, private, rate, rows, step, tune};

const STEPS: usize = 2;
const LAMBDA: f64 = 0.7;
const K: usize = 24;

/// The LLM's and the SLM's values after two rounds.
fn plain(plan: &Plan, matching: Matching) -> (Trained, Vec<f32>) {
    let lab = plan.lab();
    let (llm, slm) = (lab.model("cloud"), lab.model("proxy"));
    let mut omega = llm.fresh(1);
    let mut theta = slm.fresh(1).values;
    let (mut to_llm, mut to_slm) = (Pair::new(slm, llm, matching), Pair::new(llm, slm, matching));
    for round in 1..=ROUNDS {
        // θ_k ← θ;  E steps of CE on D_k;  θ ← mean of θ_k
        let devices = plan.fleet().devices();
        let mut sum = vec![0.0_f64; theta.len()];
        for device in 0..devices {
            let start = Trained { values: theta.clone(), ..Trained::default() };
            let path = format!("device/{device}/round/{round}/tune");
            let text = private(plan, slm, device);
            let tuned = tune(slm, &start, &text, STEPS, &path, rate(LR, round));
            sum.iter_mut().zip(&tuned.values).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        theta = sum.iter().map(|sum| (sum / f64::from(devices)) as f32).collect();
        // θ ← θ − η∇[CE(g) + λ KL(f ‖ g)];  ω ← ω − η∇[CE(f) + λ KL(g ‖ f)]
        let mut small = Trained { values: theta.clone(), ..Trained::default() };
        let mut order = Order::new(llm.text.public.len(), &format!("cloud/round/{round}/saml"));
        for _ in 0..STEPS {
            let batch = order.next();
            let text_f: Vec<&Sequence> = batch.iter().map(|i| &llm.text.public[*i]).collect();
            let text_g: Vec<&Sequence> = batch.iter().map(|i| &slm.text.public[*i]).collect();
            let both: Vec<_> = text_f.iter().zip(&text_g).collect();
            let for_f: Vec<_> = both
                .iter()
                .map(|(f, g)| to_llm.soft(&rows(slm, &small.values, g), &g.answer, &f.answer, K))
                .collect();
            let for_g: Vec<_> = both
                .iter()
                .map(|(f, g)| to_slm.soft(&rows(llm, &omega.values, f), &f.answer, &g.answer, K))
                .collect();
            let lr = rate(CLOUD_LR, round);
            omega = step(llm, &omega, (text_f, for_f.iter().collect()), (1.0, LAMBDA), lr);
            small = step(slm, &small, (text_g, for_g.iter().collect()), (1.0, LAMBDA), lr);
        }
        theta = small.values;
    }
    (omega, theta)
}

fn agrees(align: &str, matching: Matching, slm: &str) {
    let keys = format!("align = \"{align}\"\nlambda = {LAMBDA}\ntop_k = {K}\n{}", optimizer());
    let plan = plan(&tiny(&fedcollm(&keys), &[("models.proxy.base", slm)]));
    let (omega, theta) = plain(&plan, matching);
    let cloud = driven(&plan).cloud;
    agree("the LLM", &cloud["cloud"].values, &omega.values, &plan.lab().model("cloud").fresh(1).values);
    agree("the SLM", &cloud["proxy"].values, &theta, &plan.lab().model("proxy").fresh(1).values);
}

#[test]
fn the_simulation_comes_to_the_weights_of_a_plain_loop_with_one_tokenizer() {
    agrees("bytes", Matching::Bytes, "\"zoo:dpm-small\"");
}

#[test]
fn the_simulation_comes_to_the_weights_of_a_plain_loop_across_tokenizers() {
    agrees("bytes", Matching::Bytes, "\"zoo:slm-llama-small\"");
    agrees("dtw", Matching::Warped, "\"zoo:slm-llama-small\"");
}
