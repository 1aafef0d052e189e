//! The neural half against slow references: finite differences, uncached generation, one thread.

use cotune_kernel::stream::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Module, Target};
use cotune_models::base::{Base, HostWeights};
use cotune_models::batch::{Batch, Sequence};
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::learner::{Learner, Trained};
use cotune_models::optimizer::AdamW;
use cotune_models::score::answer_losses;
use cotune_models::spec::{DecoderSpec, Family};
use cotune_models::tokenizer::Tokenizer;

fn tokenizer() -> Tokenizer {
    let texts = ["where do we keep the small iron lamp", "the red lamp is on the top shelf"];
    Tokenizer::train_byte_level(texts, 280).unwrap()
}

/// A model whose every weight is random, gains and biases too.
fn base(family: Family) -> Base {
    let tokenizer = tokenizer();
    let mut spec = DecoderSpec::of(family, tokenizer.vocab_size(), 16, 2, 2, 24, 48);
    if family == Family::Llama {
        spec.kv_heads = 1;
    }
    let host: HostWeights = spec
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let mut stream = Stream::keyed(7, &name);
            let offset = if name.ends_with("gain") { 1.0 } else { 0.0 };
            let n = shape.iter().product();
            (name, (0..n).map(|_| (offset + 0.2 * stream.normal()) as f32).collect())
        })
        .collect();
    Base::new("test", spec, tokenizer, &host, &Compute::cpu())
}

fn everything() -> LoraSpec {
    LoraSpec {
        rank: 2,
        alpha: 4.0,
        targets: vec![Target::Q, Target::V, Target::O, Target::Gate, Target::Up, Target::Down],
        modules_to_save: vec![Module::Embeddings, Module::Norms],
    }
}

fn random_values(layout: &Layout, base: &Base) -> Vec<f32> {
    let _ = base;
    let mut stream = Stream::keyed(3, "values");
    (0..layout.total()).map(|_| (0.1 * stream.normal()) as f32).collect()
}

fn sequences(base: &Base) -> Vec<Sequence> {
    [("where is the lamp?", " top shelf"), ("keep the iron", " red lamp"), ("on", " small")]
        .iter()
        .map(|(p, a)| Sequence::encode(base.tokenizer(), p, a, base.spec().max_positions).unwrap())
        .collect()
}

#[test]
fn gradients_match_finite_differences_in_every_family() {
    for family in Family::ALL {
        let base = base(family);
        let layout = Layout::lora(base.spec(), &everything());
        let values = random_values(&layout, &base);
        let sequences = sequences(&base);
        let all: Vec<&Sequence> = sequences.iter().collect();
        // Plain SGD would show the gradient; AdamW's first moment after one step is (1 − β1) · gradient.
        let rule = AdamW { clip: 1e9, ..AdamW::default() };
        let state = Trained { values: values.clone(), ..Trained::default() };
        let mut learner = Learner::new(&base, &layout, &state, rule);
        learner.tune(Batch::pack(&all, base.tokenizer().pad()), 0.0);
        let (after, progress) = learner.finish();
        assert_eq!((progress.steps, progress.skipped), (1, 0));
        assert_eq!(after.values, values, "a learning rate of zero moves nothing");
        let gradient: Vec<f32> = after.moments.first.iter().map(|m| m / (1.0 - 0.9)).collect();
        assert_eq!(
            layout
                .entries()
                .iter()
                .filter(|e| gradient[e.offset..e.offset + e.len()].iter().all(|g| *g == 0.0))
                .count(),
            0,
            "every trained tensor of {family:?} receives a gradient"
        );
        let rows: Vec<f64> = all.iter().map(|s| s.answer.len() as f64).collect();
        let loss = |values: &[f32]| -> f64 {
            let losses = answer_losses(&base, &[(&layout, values)], &all);
            losses.iter().zip(&rows).map(|(l, n)| l * n).sum::<f64>() / rows.iter().sum::<f64>()
        };
        let mut stream = Stream::keyed(5, "picks");
        for entry in layout.entries() {
            let i = entry.offset + stream.below(entry.len() as u64) as usize;
            let nudge = |delta: f32| {
                let mut moved = values.clone();
                moved[i] += delta;
                loss(&moved)
            };
            let expected = (nudge(1e-2) - nudge(-1e-2)) / 2e-2;
            let got = f64::from(gradient[i]);
            assert!(
                (got - expected).abs() < 2e-3 + 0.02 * expected.abs(),
                "{family:?} {}: gradient {got}, finite difference {expected}",
                entry.name
            );
        }
    }
}

#[test]
fn generation_with_a_cache_in_a_batch_equals_one_prompt_at_a_time_without() {
    for family in Family::ALL {
        let base = base(family);
        let layout = Layout::lora(base.spec(), &everything());
        let values = random_values(&layout, &base);
        let adapter = [(&layout, values.as_slice())];
        let prompts: Vec<Vec<u32>> = ["the lamp", "where do we keep the iron", "on", "small red shelf is"]
            .iter()
            .map(|text| base.tokenizer().encode(text))
            .collect();
        let batched = generate(&base, &adapter, &prompts, 12, &Sampling::Greedy, &|_| false);
        for (prompt, batched) in prompts.iter().zip(&batched) {
            let mut tokens = Vec::new();
            for _ in 0..12 {
                let grown: Vec<u32> = prompt.iter().chain(&tokens).copied().collect();
                let one = generate(&base, &adapter, &[grown], 1, &Sampling::Greedy, &|_| false).remove(0);
                if one.finished {
                    break;
                }
                tokens.extend(one.tokens);
            }
            assert_eq!(batched.tokens, tokens, "{family:?}");
        }
    }
}

#[test]
fn training_in_two_threads_equals_training_one_after_the_other() {
    let base = base(Family::Llama);
    let layout = Layout::lora(base.spec(), &everything());
    let sequences = sequences(&base);
    let train = |seed: usize| {
        let state = Trained { values: random_values(&layout, &base), ..Trained::default() };
        let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
        for step in 0..5 {
            let batch = Batch::pack(&[&sequences[(seed + step) % 3]], base.tokenizer().pad());
            learner.tune(batch, 1e-2);
        }
        learner.finish()
    };
    let alone = [train(0), train(1)];
    let together = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(|| train(0)), scope.spawn(|| train(1)));
        [a.join().unwrap(), b.join().unwrap()]
    });
    assert_eq!(alone, together);
}

#[test]
fn training_lowers_the_loss() {
    let base = base(Family::Gpt2);
    let layout = Layout::lora(base.spec(), &everything());
    let sequences = sequences(&base);
    let all: Vec<&Sequence> = sequences.iter().collect();
    let state = Trained { values: random_values(&layout, &base), ..Trained::default() };
    let before: f64 = answer_losses(&base, &[(&layout, &state.values)], &all).iter().sum();
    let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
    for _ in 0..30 {
        learner.tune(Batch::pack(&all, base.tokenizer().pad()), 1e-2);
    }
    let (after, _) = learner.finish();
    let after: f64 = answer_losses(&base, &[(&layout, &after.values)], &all).iter().sum();
    assert!(after < before / 2.0, "{before} -> {after}");
}
