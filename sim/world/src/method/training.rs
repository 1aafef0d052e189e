//! What methods share: the order of examples, the learning rate, plain tuning.

use crate::lab::{Lab, LabModel};
use cotune_kernel::Stream;
use cotune_models::batch::{Batch, Sequence};
use cotune_models::learner::{Learner, Progress, Trained};
use cotune_models::optimizer::{AdamW, Schedule};
use cotune_scenario::method::{Optimizer, Schedule as Written};

/// Batches of indices: each example once, in random order, before any comes again.
pub(crate) struct Batches {
    indices: Vec<u32>,
    left: Vec<u32>,
    stream: Stream,
}

impl Batches {
    /// Batches over `indices`, in an order that `path` decides.
    pub(crate) fn new(indices: &[u32], seed: u64, path: &str) -> Self {
        Self { indices: indices.to_vec(), left: Vec::new(), stream: Stream::keyed(seed, path) }
    }

    /// The next `n` indices; empty if there is nothing to draw from.
    pub(crate) fn next(&mut self, n: u32) -> Vec<u32> {
        let mut batch = Vec::with_capacity(n as usize);
        while batch.len() < n as usize && !self.indices.is_empty() {
            if self.left.is_empty() {
                self.left = self.indices.clone();
                self.stream.shuffle(&mut self.left);
            }
            batch.extend(self.left.pop());
        }
        batch
    }
}

/// Numbers of all examples of a text.
pub(crate) fn all(sequences: &[Sequence]) -> Vec<u32> {
    (0..sequences.len() as u32).collect()
}

/// The sequences with the given numbers.
pub(crate) fn pick<'s>(sequences: &'s [Sequence], indices: &[u32]) -> Vec<&'s Sequence> {
    indices.iter().map(|i| &sequences[*i as usize]).collect()
}

/// The optimizer that a scenario asks for.
pub(crate) fn rule(optimizer: &Optimizer) -> AdamW {
    let Optimizer::AdamW(adamw) = optimizer;
    AdamW {
        beta1: adamw.betas[0],
        beta2: adamw.betas[1],
        epsilon: adamw.eps,
        weight_decay: adamw.weight_decay,
        clip: adamw.clip.unwrap_or(f64::INFINITY),
    }
}

/// Learning rates of device and cloud at a share of the budget.
pub(crate) fn learning_rates(optimizer: &Optimizer, progress: f64) -> (f64, f64) {
    let Optimizer::AdamW(adamw) = optimizer;
    let schedule = match adamw.schedule {
        Written::Cosine => Schedule::Cosine,
        Written::Linear => Schedule::Linear,
        Written::Constant => Schedule::Constant,
    };
    let factor = schedule.factor(progress, adamw.floor);
    (adamw.lr * factor, adamw.cloud_lr * factor)
}

/// A learner on a model of the lab; `path` is that of its dropout, if it has any.
pub(crate) fn learner<'l>(
    lab: &Lab,
    model: &'l LabModel,
    state: &Trained,
    optimizer: &Optimizer,
    path: &str,
) -> Learner<'l> {
    let path = format!("{path}/dropout/{}", model.name);
    Learner::new(&model.base, &model.layout, state, rule(optimizer)).with_dropout(
        model.dropout,
        lab.scenario().seed,
        &path,
    )
}

/// `steps` steps of cross-entropy on the answers of `text`.
pub(crate) fn tune(
    learner: &mut Learner<'_>,
    text: &[Sequence],
    batches: &mut Batches,
    steps: u32,
    size: u32,
    lr: f64,
) {
    for _ in 0..steps {
        let batch = batches.next(size);
        if batch.is_empty() {
            return;
        }
        learner.tune(Batch::pack(&pick(text, &batch), learner.base().tokenizer().pad()), lr);
    }
}

/// Tunes one model of the lab on some of its text and returns what became of it.
pub(crate) fn tuned(
    lab: &Lab,
    model: &str,
    state: &Trained,
    text: impl Fn(&LabModel) -> Vec<Sequence>,
    plan: &TunePlan<'_>,
) -> (Trained, Progress) {
    let model = lab.model(model);
    let text = text(model);
    let mut learner = learner(lab, model, state, plan.optimizer, plan.path);
    let mut batches = Batches::new(&all(&text), lab.scenario().seed, plan.path);
    tune(&mut learner, &text, &mut batches, plan.steps, plan.batch, plan.lr);
    learner.finish()
}

/// How [`tuned`] tunes.
pub(crate) struct TunePlan<'a> {
    pub optimizer: &'a Optimizer,
    pub path: &'a str,
    pub steps: u32,
    pub batch: u32,
    pub lr: f64,
}

/// A device's private examples in a model's tokens.
pub(crate) fn private_text(lab: &Lab, model: &LabModel, device: u32) -> Vec<Sequence> {
    lab.examples_of(device).iter().map(|i| model.text.private[*i as usize].clone()).collect()
}
