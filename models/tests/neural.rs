//! The neural half against slow references: finite differences, uncached generation, one thread.

use cotune_kernel::stream::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Module, Target};
use cotune_models::align::{AlignSpec, Aligner, CachedAligner};
use cotune_models::base::{Base, HostWeights};
use cotune_models::batch::{Batch, Sequence};
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::kernels::head::{Divergence, SoftTargets};
use cotune_models::learner::{Distillation, Learner, Progress, Trained};
use cotune_models::low_rank::{Term, add_stacked};
use cotune_models::mutual::{Combine, Extra, MutualRule, Pooling, Side, Update, mutual_step, taught_step};
use cotune_models::optimizer::{AdamW, Sgd};
use cotune_models::score::{answer_losses, score_ids};
use cotune_models::spec::{DecoderSpec, Family};
use cotune_models::tokenizer::Tokenizer;

fn tokenizer() -> Tokenizer {
    let texts = ["where do we keep the small iron lamp", "the red lamp is on the top shelf"];
    Tokenizer::train_byte_level(texts, 280).unwrap()
}

/// A model whose every weight is random, gains and biases too.
fn base(family: Family) -> Base {
    base_on(family, &Compute::cpu())
}

fn base_on(family: Family, compute: &Compute) -> Base {
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
    Base::new("test", spec, tokenizer, &host, compute)
}

fn everything() -> LoraSpec {
    LoraSpec {
        rank: 2,
        alpha: 4.0,
        targets: vec![Target::Q, Target::V, Target::O, Target::Gate, Target::Up, Target::Down],
        modules_to_save: vec![Module::Embeddings, Module::Norms],
    }
}

fn random_values(layout: &Layout) -> Vec<f32> {
    let mut stream = Stream::keyed(3, "values");
    (0..layout.total()).map(|_| (0.1 * stream.normal()) as f32).collect()
}

fn sequences(base: &Base) -> Vec<Sequence> {
    [("where is the lamp?", " top shelf"), ("keep the iron", " red lamp"), ("on", " small")]
        .iter()
        .map(|(p, a)| Sequence::encode(base.tokenizer(), p, a, base.spec().max_positions).unwrap())
        .collect()
}

/// Every trained tensor of a layout receives a gradient, and a value of each has the one of finite differences.
fn assert_gradients(base: &Base, layout: &Layout) {
    let family = base.spec().family;
    let values = random_values(layout);
    let sequences = sequences(base);
    let all: Vec<&Sequence> = sequences.iter().collect();
    // Plain SGD would show the gradient; AdamW's first moment after one step is (1 − β1) · gradient.
    let rule = AdamW { clip: 1e9, weight_decay: 0.0, ..AdamW::default() };
    let state = Trained { values: values.clone(), ..Trained::default() };
    let mut learner = Learner::new(base, layout, &state, rule);
    learner.tune(Batch::pack(&all, base.pad()), 0.0);
    let (after, progress) = learner.finish();
    assert_eq!((progress.steps, progress.skipped), (1, 0));
    assert_eq!(after.values, values, "a learning rate of zero moves nothing");
    let gradient: Vec<f32> = after.moments.first.iter().map(|m| m / (1.0 - rule.beta1 as f32)).collect();
    let rows: Vec<f64> = all.iter().map(|s| s.answer.len() as f64).collect();
    let loss = |values: &[f32]| -> f64 {
        let losses = answer_losses(base, &[(layout, values)], &all);
        losses.iter().zip(&rows).map(|(l, n)| l * n).sum::<f64>() / rows.iter().sum::<f64>()
    };
    let mut stream = Stream::keyed(5, "picks");
    for entry in layout.entries() {
        let of_entry = &gradient[entry.offset..entry.offset + entry.len()];
        assert!(of_entry.iter().any(|g| *g != 0.0), "{family:?} {} receives a gradient", entry.name);
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

#[test]
fn gradients_match_finite_differences_in_every_family() {
    for family in Family::ALL {
        let base = base(family);
        assert_gradients(&base, &Layout::lora(base.spec(), &everything()));
    }
}

#[test]
fn generation_with_a_cache_in_a_batch_equals_one_prompt_at_a_time_without() {
    for family in Family::ALL {
        let base = base(family);
        let layout = Layout::lora(base.spec(), &everything());
        let values = random_values(&layout);
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
        let state = Trained { values: random_values(&layout), ..Trained::default() };
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
    let state = Trained { values: random_values(&layout), ..Trained::default() };
    let before: f64 = answer_losses(&base, &[(&layout, &state.values)], &all).iter().sum();
    let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
    for _ in 0..30 {
        learner.tune(Batch::pack(&all, base.tokenizer().pad()), 1e-2);
    }
    let (after, _) = learner.finish();
    let after: f64 = answer_losses(&base, &[(&layout, &after.values)], &all).iter().sum();
    assert!(after < before / 2.0, "{before} -> {after}");
}

/// Every linear map adapted, those of query, key and value one by one.
fn every_map() -> LoraSpec {
    let targets = vec![Target::Q, Target::K, Target::V, Target::O, Target::Gate, Target::Up, Target::Down];
    LoraSpec { rank: 2, alpha: 3.0, targets, modules_to_save: Vec::new() }
}

#[test]
fn an_adapter_says_what_a_model_says_into_whose_weights_it_is_merged() {
    for family in Family::ALL {
        let base = base(family);
        let spec = base.spec();
        let layout = Layout::lora(spec, &every_map());
        let values = random_values(&layout);
        let part = |name: &str| {
            let entry = layout.entries().iter().find(|entry| entry.name == name).unwrap();
            (&values[entry.offset..entry.offset + entry.len()], entry.shape)
        };
        let mut merged: HostWeights =
            spec.tensors().into_iter().map(|(name, _)| (name.clone(), base.host_values(&name))).collect();
        let adapted = layout.entries().iter().filter_map(|entry| entry.name.strip_suffix(".lora_a"));
        for name in adapted {
            let (a, [inputs, rank]) = part(&format!("{name}.lora_a"));
            let (b, [_, outputs]) = part(&format!("{name}.lora_b"));
            let (block, map) = name.rsplit_once('.').unwrap();
            let [q, k, v] = spec.qkv_widths();
            let (whole, first) = match map {
                "q" => ("qkv", 0),
                "k" => ("qkv", q),
                "v" => ("qkv", q + k),
                other => (other, 0),
            };
            let columns = if whole == "qkv" { q + k + v } else { outputs };
            let weight = merged.get_mut(&format!("{block}.{whole}.weight")).unwrap();
            for i in 0..inputs {
                for j in 0..outputs {
                    let sum: f32 = (0..rank).map(|r| a[i * rank + r] * b[r * outputs + j]).sum();
                    weight[i * columns + first + j] += layout.scale() * sum;
                }
            }
        }
        let merged = Base::new("merged", spec.clone(), tokenizer(), &merged, &Compute::cpu());
        let ids: Vec<u32> = (5..25).collect();
        let beside = score_ids(&base, &[(&layout, &values)], &ids).logits;
        let inside = score_ids(&merged, &[], &ids).logits;
        let plain = score_ids(&base, &[], &ids).logits;
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(distance(&beside, &inside) < 1e-4, "{family:?}: {}", distance(&beside, &inside));
        assert!(distance(&beside, &plain) > 1e-2, "{family:?}: the adapter does something");
    }
}

#[test]
fn two_adapters_on_one_base_are_one_adapter_of_both_ranks() {
    let base = base(Family::Llama);
    let targets = [Target::Q, Target::Down];
    let lora = |rank: usize, alpha: f64| {
        let spec = LoraSpec { rank, alpha, targets: targets.to_vec(), modules_to_save: Vec::new() };
        Layout::lora(base.spec(), &spec)
    };
    // Scale 2 everywhere, so that the joined adapter has both.
    let (theta, delta, joined) = (lora(2, 4.0), lora(3, 6.0), lora(5, 10.0));
    let (theta_values, delta_values) = (random_values(&theta), random_values(&delta));
    let mut joined_values = vec![0.0; joined.total()];
    for (index, entry) in joined.entries().iter().enumerate() {
        let parts = [(&theta, &theta_values), (&delta, &delta_values)]
            .map(|(layout, values)| (&layout.entries()[index], values));
        let mut before = 0;
        for (part, values) in parts {
            let values = &values[part.offset..part.offset + part.len()];
            for (i, value) in values.iter().enumerate() {
                let (row, column) = (i / part.shape[1], i % part.shape[1]);
                // A's parts stand beside each other, B's below each other.
                let place = match entry.name.ends_with("lora_a") {
                    true => row * entry.shape[1] + before + column,
                    false => (before + row) * entry.shape[1] + column,
                };
                joined_values[entry.offset + place] = *value;
            }
            before += if entry.name.ends_with("lora_a") { part.shape[1] } else { part.shape[0] };
        }
    }
    let ids: Vec<u32> = (5..25).collect();
    let two = score_ids(&base, &[(&theta, &theta_values), (&delta, &delta_values)], &ids).logprobs;
    let one = score_ids(&base, &[(&joined, &joined_values)], &ids).logprobs;
    assert!(two.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5), "{two:?}\n{one:?}");
    assert_ne!(two, score_ids(&base, &[(&theta, &theta_values)], &ids).logprobs);

    // Training δ beside θ leaves θ's part of the model in place and lowers the loss.
    let sequences = sequences(&base);
    let all: Vec<&Sequence> = sequences.iter().collect();
    let loss = |delta_values: &[f32]| -> f64 {
        answer_losses(&base, &[(&theta, &theta_values), (&delta, delta_values)], &all).iter().sum()
    };
    let state = Trained { values: delta_values.clone(), ..Trained::default() };
    let mut learner = Learner::new(&base, &delta, &state, AdamW::default()).beside((&theta, &theta_values));
    for _ in 0..30 {
        learner.tune(Batch::pack(&all, base.pad()), 1e-2);
    }
    let trained = learner.finish().0.values;
    assert!(loss(&trained) < 0.7 * loss(&delta_values), "{} -> {}", loss(&delta_values), loss(&trained));
}

#[test]
fn a_bottleneck_starts_as_nothing_and_its_gradients_match_finite_differences() {
    for family in [Family::Llama, Family::GptNeox, Family::GptJ] {
        let base = base(family);
        let layout = Layout::bottleneck(base.spec(), 3);
        let ids: Vec<u32> = (5..25).collect();
        let fresh = layout.init(&mut Stream::keyed(1, "fresh"), |_| unreachable!("nothing of the base"));
        let plain = score_ids(&base, &[], &ids);
        assert_eq!(score_ids(&base, &[(&layout, &fresh)], &ids), plain, "{family:?}");
        assert_gradients(&base, &layout);
    }
}

#[test]
fn a_frozen_a_reads_as_it_did_and_b_has_the_gradients_of_finite_differences() {
    for family in [Family::Gpt2, Family::Llama] {
        let base = base(family);
        let lora = LoraSpec { modules_to_save: vec![Module::Norms], ..everything() };
        let whole = Layout::lora(base.spec(), &lora);
        let values = random_values(&whole);
        let frozen = whole.freezing_a(&values);
        let rest: Vec<f32> = whole
            .entries()
            .iter()
            .filter(|entry| !entry.name.ends_with("lora_a"))
            .flat_map(|entry| values[entry.offset..entry.offset + entry.len()].to_vec())
            .collect();
        let ids: Vec<u32> = (5..25).collect();
        let (read, split) =
            (score_ids(&base, &[(&whole, &values)], &ids), score_ids(&base, &[(&frozen, &rest)], &ids));
        assert_eq!(read, split, "{family:?}");
        assert_gradients(&base, &frozen);
    }
}

#[test]
fn updates_that_are_merged_read_as_the_adapters_they_were() {
    for family in [Family::Gpt2, Family::Llama] {
        let base = base(family);
        let layout = |rank: usize, alpha: f64| {
            Layout::lora(base.spec(), &LoraSpec { rank, alpha, modules_to_save: Vec::new(), ..everything() })
        };
        let (narrow, wide) = (layout(2, 4.0), layout(3, 3.0));
        let (one, other) = (random_values(&narrow), random_values(&wide));
        let term = |layout, values| Term { weight: 1.0, layout, values };
        let deltas = narrow.deltas();
        let mut merged = vec![0.0; deltas.total()];
        add_stacked(&mut merged, &[term(&narrow, &one), term(&wide, &other)]);
        let ids: Vec<u32> = (5..25).collect();
        let beside = score_ids(&base, &[(&narrow, &one), (&wide, &other)], &ids).logprobs;
        let read = score_ids(&base, &[(&deltas, &merged)], &ids).logprobs;
        for (beside, read) in beside.iter().zip(&read) {
            assert!((beside - read).abs() < 1e-4, "{family:?}: {beside} and {read}");
        }
        assert_ne!(read, score_ids(&base, &[], &ids).logprobs);
    }
}

#[test]
fn a_proximal_term_pulls_back_to_the_start_by_mu() {
    let base = base(Family::Gpt2);
    let layout = Layout::lora(base.spec(), &everything());
    let (all, state) = (sequences(&base), Trained { values: random_values(&layout), ..Trained::default() });
    let all: Vec<&Sequence> = all.iter().collect();
    let rule = Sgd { momentum: 0.0, weight_decay: 0.0, clip: 1e9 };
    let (lr, mu) = (0.05_f32, 0.5_f32);
    let train = |steps: usize, mu: Option<f32>| {
        let learner = Learner::new(&base, &layout, &state, rule);
        let mut learner = match mu {
            Some(mu) => learner.with_proximal_term(f64::from(mu)),
            None => learner,
        };
        for _ in 0..steps {
            learner.tune(Batch::pack(&all, base.pad()), f64::from(lr));
        }
        learner.finish().0.values
    };
    let (once, twice) = (train(1, None), train(2, None));
    assert_eq!(train(1, Some(mu)), once, "nothing has moved before the first step");
    let pulled = train(2, Some(mu));
    for i in 0..layout.total() {
        let expected = twice[i] - lr * mu * (once[i] - state.values[i]);
        assert!((pulled[i] - expected).abs() < 1e-6, "{}: {expected} and {}", i, pulled[i]);
    }
    assert_ne!(pulled, twice);
}

#[test]
fn dropout_changes_training_by_its_stream_alone_and_never_reading() {
    let base = base(Family::Gpt2);
    let layout = Layout::lora(base.spec(), &everything());
    let state = Trained { values: random_values(&layout), ..Trained::default() };
    let sequences = sequences(&base);
    let all: Vec<&Sequence> = sequences.iter().collect();
    let train = |rate: f64, path: &str| {
        let mut learner = Learner::new(&base, &layout, &state, AdamW::default()).with_dropout(rate, 1, path);
        for _ in 0..3 {
            learner.tune(Batch::pack(&all, base.pad()), 1e-2);
        }
        learner.finish().0.values
    };
    assert_eq!(train(0.0, "a"), train(0.0, "b"), "a rate of zero is none");
    assert_eq!(train(0.3, "a"), train(0.3, "a"));
    assert_ne!(train(0.3, "a"), train(0.3, "b"));
    assert_ne!(train(0.3, "a"), train(0.0, "a"));
}

#[test]
fn a_batch_that_is_read_in_parts_is_one_step() {
    let base = base(Family::Qwen2);
    let layout = Layout::lora(base.spec(), &everything());
    let state = Trained { values: random_values(&layout), ..Trained::default() };
    let sequences = sequences(&base);
    let all: Vec<&Sequence> = sequences.iter().collect();
    let run = |parts: Vec<Batch>| {
        let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
        learner.tune_in_parts(parts, 1e-2);
        learner.finish()
    };
    let (whole, one) = run(vec![Batch::pack(&all, base.pad())]);
    let (parts, two) = run(vec![Batch::pack(&all[..1], base.pad()), Batch::pack(&all[1..], base.pad())]);
    assert_eq!((one.steps, two.steps), (1, 1));
    assert!((one.loss.unwrap() - two.loss.unwrap()).abs() < 1e-6);
    for (a, b) in whole.moments.first.iter().zip(&parts.moments.first) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn a_batch_without_answers_is_no_step_and_a_loss_that_is_not_finite_changes_nothing() {
    let base = base(Family::Opt);
    let layout = Layout::lora(base.spec(), &everything());
    let mut state = Trained { values: random_values(&layout), ..Trained::default() };
    let sequences = sequences(&base);
    let mut masked = Batch::pack(&[&sequences[0]], base.pad());
    (masked.rows, masked.targets, masked.spans) = (Vec::new(), Vec::new(), std::iter::once(0..0).collect());
    let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
    learner.tune(masked, 1e-2);
    let (after, progress) = learner.finish();
    assert_eq!((after.values, progress.steps, progress.loss), (state.values.clone(), 0, None));

    state.values[0] = f32::NAN;
    let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
    learner.tune(Batch::pack(&[&sequences[0]], base.pad()), 1e-2);
    let (after, progress) = learner.finish();
    assert_eq!((progress.steps, progress.skipped, progress.loss), (1, 1, None));
    assert_eq!(after.values[1..], state.values[1..]);
    assert!(after.moments.first.iter().all(|m| *m == 0.0));
}

/// What a teacher says of one row: two entries.
fn soft_target(row: u32) -> SoftTargets {
    SoftTargets {
        rows: vec![row],
        ids: vec![3, 5],
        probabilities: vec![0.75, 0.25],
        rest: vec![0.0],
        weights: vec![1.0],
        k: 2,
        with_rest: false,
    }
}

#[test]
fn a_taught_step_is_a_mutual_step_of_weight_zero() {
    let base = base(Family::Llama);
    let layout = Layout::lora(base.spec(), &everything());
    let state = Trained { values: random_values(&layout), ..Trained::default() };
    let sequences = sequences(&base);
    let soft = soft_target(0);
    let shared: Vec<&Sequence> = sequences[..2].iter().collect();
    let extra = |kl| Extra { sequences: vec![&sequences[2]], soft: vec![&soft], ce: 0.5, kl };
    let how = Distillation { kind: Divergence::Forward, temperature: 1.0 };
    let start = || Learner::new(&base, &layout, &state, AdamW::default());
    let taught = |extra: Extra<'_>| {
        let mut learner = start();
        let labelled = Extra { sequences: shared.clone(), soft: Vec::new(), ce: 1.0, kl: 0.0 };
        taught_step(&mut learner, &[labelled, extra], how, 1e-2);
        learner.finish()
    };
    let aligner = CachedAligner::new(Aligner::new(base.tokenizer(), base.tokenizer(), AlignSpec::default()));
    let (mut one, mut other) = (start(), start());
    let side = |learner, extra| Side {
        learner,
        sequences: shared.clone(),
        from_other: &aligner,
        weight: 0.0,
        extra,
        teaches_with: None,
        lr: 1e-2,
    };
    let rule = MutualRule {
        pooling: Pooling { top_k: 2, rest: false, temperature: 1.0 },
        distillation: how,
        combine: Combine::Additive,
        update: Update::Simultaneous,
    };
    mutual_step(side(&mut one, Some(extra(1.0))), side(&mut other, None), &rule);
    assert_eq!(taught(extra(1.0)), one.finish());
    assert_ne!(taught(extra(1.0)).0, taught(extra(0.0)).0, "the soft targets count");
    let mut plain = start();
    plain.tune(Batch::pack(&shared, base.pad()), 1e-2);
    let (alone, plain) = (taught(Extra::default()), plain.finish());
    assert_eq!(alone.1.tokens, plain.1.tokens);
    assert!((alone.1.loss.unwrap() - plain.1.loss.unwrap()).abs() < 1e-6);
}

/// Idle cores beside the thread of a job.
const IDLE: [usize; 3] = [0, 1, 3];

/// Plain descent: AdamW's first steps make a whole step of the sign of a tiny gradient.
const DESCENT: Sgd = Sgd { momentum: 0.0, weight_decay: 0.0, clip: f64::INFINITY };

/// What `with` comes to on three questions that are read one by one, whatever the number of idle cores, and all at once.
fn in_parts_and_at_once<R: PartialEq + std::fmt::Debug>(with: impl Fn(&Compute, Option<u32>) -> R) -> [R; 2] {
    let parts = IDLE.map(|idle| with(&Compute::cpu().with_cores(idle), Some(1)));
    assert!(parts.iter().all(|one| *one == parts[0]), "{IDLE:?} idle cores give {parts:?}");
    let [parts, ..] = parts;
    [parts, with(&Compute::cpu(), None)]
}

/// Two learners came to the same but for the rounding of another order of sums.
fn assert_alike(what: &str, (a, of_a): &(Trained, Progress), (b, of_b): &(Trained, Progress)) {
    assert_eq!((of_a.steps, of_a.skipped), (of_b.steps, of_b.skipped), "{what}");
    assert!((of_a.loss.unwrap() - of_b.loss.unwrap()).abs() < 1e-5, "{what}: {of_a:?} {of_b:?}");
    for (a, b) in a.values.iter().zip(&b.values) {
        assert!((a - b).abs() < 1e-5, "{what}: {a} {b}");
    }
}

#[test]
fn parts_sum_to_the_same_bits_whatever_the_number_of_idle_cores() {
    let [parts, whole] = in_parts_and_at_once(|compute, micro_batch| {
        let base = base_on(Family::Qwen2, compute);
        let layout = Layout::lora(base.spec(), &everything());
        let state = Trained { values: random_values(&layout), ..Trained::default() };
        let sequences = sequences(&base);
        let all: Vec<&Sequence> = sequences.iter().collect();
        let mut learner = Learner::new(&base, &layout, &state, DESCENT).with_micro_batch(micro_batch);
        for _ in 0..3 {
            let parts = learner.parts(&all);
            assert_eq!(parts.len(), if micro_batch.is_some() { 3 } else { 1 });
            learner.tune_in_parts(parts, 1e-2);
        }
        learner.finish()
    });
    assert_alike("tuning", &parts, &whole);
}

#[test]
fn a_taught_step_in_parts_is_the_step_at_once() {
    let (first, second) = (soft_target(0), soft_target(1));
    let [parts, whole] = in_parts_and_at_once(|compute, micro_batch| {
        let base = base_on(Family::Llama, compute);
        let layout = Layout::lora(base.spec(), &everything());
        let state = Trained { values: random_values(&layout), ..Trained::default() };
        let sequences = sequences(&base);
        let mut learner = Learner::new(&base, &layout, &state, DESCENT).with_micro_batch(micro_batch);
        let how = Distillation { kind: Divergence::Forward, temperature: 2.0 };
        for _ in 0..2 {
            let labelled = Extra { sequences: vec![&sequences[0]], soft: Vec::new(), ce: 1.0, kl: 0.0 };
            let sequences = vec![&sequences[1], &sequences[2]];
            let extra = Extra { sequences, soft: vec![&first, &second], ce: 0.5, kl: 0.75 };
            taught_step(&mut learner, &[labelled, extra], how, 1e-2);
        }
        learner.finish()
    });
    assert_alike("a taught step", &parts, &whole);
}

#[test]
fn a_mutual_step_in_parts_is_the_step_at_once() {
    let aligner = CachedAligner::new(Aligner::new(&tokenizer(), &tokenizer(), AlignSpec::default()));
    for (update, combine) in
        [(Update::Simultaneous, Combine::Additive), (Update::Alternating, Combine::Convex(0.25))]
    {
        let rule = MutualRule {
            pooling: Pooling { top_k: 4, rest: true, temperature: 2.0 },
            distillation: Distillation { kind: Divergence::Forward, temperature: 2.0 },
            combine,
            update,
        };
        let [parts, whole] = in_parts_and_at_once(|compute, micro_batch| {
            let bases = [Family::Llama, Family::Gpt2].map(|family| base_on(family, compute));
            let layouts = bases.each_ref().map(|base| Layout::lora(base.spec(), &everything()));
            let states = layouts
                .each_ref()
                .map(|layout| Trained { values: random_values(layout), ..Trained::default() });
            let text = sequences(&bases[0]);
            let start = |i: usize| {
                Learner::new(&bases[i], &layouts[i], &states[i], DESCENT).with_micro_batch(micro_batch)
            };
            let (mut one, mut other) = (start(0), start(1));
            for _ in 0..2 {
                let side = |learner, weight, extra| Side {
                    learner,
                    sequences: text[..2].iter().collect(),
                    from_other: &aligner,
                    weight,
                    extra,
                    teaches_with: None,
                    lr: 1e-2,
                };
                let extra = Extra { sequences: vec![&text[2]], soft: Vec::new(), ce: 0.5, kl: 0.0 };
                mutual_step(side(&mut one, 1.0, Some(extra)), side(&mut other, 0.5, None), &rule);
            }
            [one.finish(), other.finish()]
        });
        for (parts, whole) in parts.iter().zip(&whole) {
            assert_alike(&format!("{update:?}"), parts, whole);
        }
    }
}

/// Were the masks of all parts one, the mean over two parts that read the same would be that over three.
#[test]
fn parts_of_a_step_drop_values_of_their_own() {
    let base = base(Family::Gpt2);
    let layout = Layout::lora(base.spec(), &everything());
    let state = Trained { values: random_values(&layout), ..Trained::default() };
    let sequences = sequences(&base);
    let loss = |rate: f64, parts: usize| {
        let mut learner = Learner::new(&base, &layout, &state, DESCENT).with_dropout(rate, 1, "a");
        learner.tune_in_parts(vec![Batch::pack(&[&sequences[0]], base.pad()); parts], 1e-2);
        learner.finish().1.loss.unwrap()
    };
    assert!((loss(0.0, 2) - loss(0.0, 3)).abs() < 1e-5);
    assert!((loss(0.3, 2) - loss(0.3, 3)).abs() > 1e-5, "two parts {}, three {}", loss(0.3, 2), loss(0.3, 3));
}
