//! What methods share: the order of examples, the learning rate, plain tuning.

use super::{CloudTask, DeviceTask};
use crate::lab::{Lab, LabModel};
use cotune_kernel::Stream;
use cotune_models::batch::{Batch, Sequence};
use cotune_models::learner::{Learner, Progress, Trained};
use cotune_models::optimizer::{AdamW, Rule, Schedule, Sgd};
use cotune_scenario::method::{Course, Optimizer, Schedule as Written, WarmUp};

/// Batches of indices: each example once, in random order, before any comes again.
pub struct Batches {
    indices: Vec<u32>,
    left: Vec<u32>,
    stream: Stream,
}

impl Batches {
    /// Batches over `indices`, in an order that `path` decides.
    pub fn new(indices: &[u32], seed: u64, path: &str) -> Self {
        Self { indices: indices.to_vec(), left: Vec::new(), stream: Stream::keyed(seed, path) }
    }

    /// The next `n` indices; empty if there is nothing to draw from.
    pub fn next(&mut self, n: u32) -> Vec<u32> {
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
pub fn all(sequences: &[Sequence]) -> Vec<u32> {
    (0..sequences.len() as u32).collect()
}

/// The sequences with the given numbers.
pub fn pick<'s>(sequences: &'s [Sequence], indices: &[u32]) -> Vec<&'s Sequence> {
    indices.iter().map(|i| &sequences[*i as usize]).collect()
}

/// The optimizer that a scenario asks for.
pub fn rule(optimizer: &Optimizer) -> Rule {
    match optimizer {
        Optimizer::AdamW(adamw) => Rule::AdamW(AdamW {
            beta1: adamw.betas[0],
            beta2: adamw.betas[1],
            epsilon: adamw.eps,
            weight_decay: adamw.weight_decay,
            clip: adamw.clip.unwrap_or(f64::INFINITY),
        }),
        Optimizer::Sgd(sgd) => Rule::Sgd(Sgd {
            momentum: sgd.momentum,
            weight_decay: sgd.weight_decay,
            clip: sgd.clip.unwrap_or(f64::INFINITY),
        }),
    }
}

/// The learning rate over the steps of one job: the schedule moves it from round to round, warm-up from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// What the schedule makes of the first rate in this round.
    scheduled: f64,
    /// Steps that a party which missed no round has behind it.
    taken: f64,
    /// Steps over which the rate rises; 0 for none.
    warm_up: f64,
}

impl Rate {
    /// The rate of a device that takes `steps` steps in each round.
    pub fn of_device(lab: &Lab, optimizer: &Optimizer, task: &DeviceTask, steps: u32) -> Self {
        let course = optimizer.course();
        Self::new(&course, course.lr, (task.round, task.progress), steps, lab.scenario().budget.rounds)
    }

    /// The rate of the cloud, which takes `steps` steps in each round.
    pub fn of_cloud(lab: &Lab, optimizer: &Optimizer, task: &CloudTask, steps: u32) -> Self {
        let course = optimizer.course();
        Self::new(&course, course.cloud_lr, (task.round, task.progress), steps, lab.scenario().budget.rounds)
    }

    fn new(
        course: &Course,
        first: f64,
        (round, progress): (u32, f64),
        steps: u32,
        rounds: Option<u64>,
    ) -> Self {
        let schedule = match course.schedule {
            Written::Cosine => Schedule::Cosine,
            Written::Linear => Schedule::Linear,
            Written::Constant => Schedule::Constant,
        };
        let steps = f64::from(steps);
        let warm_up = match course.warm_up {
            None => 0.0,
            Some(WarmUp::Steps(warm)) => f64::from(warm),
            // Checked: whoever writes a fraction writes a number of rounds.
            Some(WarmUp::Fraction(share)) => share * steps * rounds.map_or(0.0, |n| n as f64),
        };
        let scheduled = first * schedule.factor(progress, course.floor);
        Self { scheduled, taken: f64::from(round - 1) * steps, warm_up }
    }

    /// The rate of the job's step `step`, from 0.
    pub fn at(&self, step: u32) -> f64 {
        let reached = self.taken + f64::from(step) + 1.0;
        if reached < self.warm_up { self.scheduled * (reached / self.warm_up) } else { self.scheduled }
    }

    /// The sum of the rates of the steps that were taken, Kη. One whose loss or gradient is not finite is not, and who has
    /// no examples takes none. Where some were skipped the rates are those of as many first ones.
    pub(crate) fn descended(&self, progress: &Progress) -> f64 {
        let taken = (progress.steps - progress.skipped) as u32;
        (0..taken).map(|step| self.at(step)).sum()
    }

    /// The same for what follows `steps` steps of the job.
    pub fn after(self, steps: u32) -> Self {
        Self { taken: self.taken + f64::from(steps), ..self }
    }
}

/// A learner on a model of the lab, with the optimizer's micro-batch; `path` is that of its dropout, if it has any.
pub fn learner<'l>(
    lab: &Lab,
    model: &'l LabModel,
    state: &Trained,
    optimizer: &Optimizer,
    path: &str,
) -> Learner<'l> {
    let path = format!("{path}/dropout/{}", model.name);
    Learner::new(&model.base, &model.layout, state, rule(optimizer))
        .with_dropout(model.dropout, lab.scenario().seed, &path)
        .with_micro_batch(optimizer.course().micro_batch)
}

/// `steps` steps of cross-entropy on the answers of `text`.
pub fn tune(
    learner: &mut Learner<'_>,
    text: &[Sequence],
    batches: &mut Batches,
    steps: u32,
    Pace { batch, rate }: Pace,
) {
    for step in 0..steps {
        let batch = batches.next(batch);
        if batch.is_empty() {
            return;
        }
        let parts = learner.parts(&pick(text, &batch));
        learner.tune_in_parts(parts, rate.at(step));
    }
}

/// How [`tune`] goes on from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Examples a step.
    pub batch: u32,
    /// The learning rate.
    pub rate: Rate,
}

/// Tunes one model of the lab on some of its text and returns what became of it.
pub fn tuned(
    lab: &Lab,
    model: &str,
    state: &Trained,
    text: impl Fn(&LabModel) -> Vec<Sequence>,
    plan: &TunePlan<'_>,
) -> (Trained, Progress) {
    Tuning::new(lab, model, state, text, plan).alone()
}

/// Tuning that has not begun.
pub struct Tuning<'l> {
    learner: Learner<'l>,
    text: Vec<Sequence>,
    batches: Batches,
    steps: u32,
    pace: Pace,
}

impl<'l> Tuning<'l> {
    /// Of one model of the lab on some of its text.
    pub fn new(
        lab: &'l Lab,
        model: &str,
        state: &Trained,
        text: impl Fn(&LabModel) -> Vec<Sequence>,
        plan: &TunePlan<'_>,
    ) -> Self {
        let model = lab.model(model);
        let text = text(model);
        Self {
            learner: learner(lab, model, state, plan.optimizer, &plan.path),
            batches: Batches::new(&all(&text), lab.scenario().seed, &plan.path),
            text,
            steps: plan.steps,
            pace: Pace { batch: plan.batch, rate: plan.rate },
        }
    }

    /// The same by a learner to which `with` has added something.
    #[must_use]
    pub(crate) fn with(self, with: impl FnOnce(Learner<'l>) -> Learner<'l>) -> Self {
        Self { learner: with(self.learner), ..self }
    }

    /// What becomes of the model.
    pub fn alone(self) -> (Trained, Progress) {
        let Self { mut learner, text, mut batches, steps, pace } = self;
        tune(&mut learner, &text, &mut batches, steps, pace);
        learner.finish()
    }

    /// What becomes of several, each as if it were alone: every step of all of them is one batch, where they can take it
    /// together. One that has taken its last step leaves the others.
    pub fn together(mut tunings: Vec<Self>) -> Vec<(Trained, Progress)> {
        let whole = |tuning: &Self| tuning.learner.reads_at_once(tuning.pace.batch as usize);
        let stack = tunings.first().is_some_and(|first| {
            let alike =
                |one: &Self| one.learner.stacks_with(&first.learner) && one.pace.batch == first.pace.batch;
            tunings.iter().all(|one| whole(one) && alike(one))
        });
        if !stack {
            return tunings.into_iter().map(Self::alone).collect();
        }
        for step in 0..tunings.iter().map(|tuning| tuning.steps).max().unwrap_or(0) {
            let members = tunings.iter_mut().filter(|tuning| step < tuning.steps).filter_map(|tuning| {
                let batch = tuning.batches.next(tuning.pace.batch);
                let pad = tuning.learner.base().tokenizer().pad();
                let batch = (!batch.is_empty()).then(|| Batch::pack(&pick(&tuning.text, &batch), pad))?;
                Some((&mut tuning.learner, batch, tuning.pace.rate.at(step)))
            });
            Learner::tune_stacked(members.collect());
        }
        tunings.into_iter().map(|tuning| tuning.learner.finish()).collect()
    }
}

/// How [`tuned`] tunes.
#[derive(Clone, Debug)]
pub struct TunePlan<'a> {
    /// The optimizer.
    pub optimizer: &'a Optimizer,
    /// Path of the streams that order the examples and draw dropout.
    pub path: String,
    /// Optimizer steps.
    pub steps: u32,
    /// Examples a step.
    pub batch: u32,
    /// The learning rate.
    pub rate: Rate,
}

impl<'a> TunePlan<'a> {
    /// All steps of a device in a round, where these are plain tuning.
    pub fn of_device(lab: &Lab, optimizer: &'a Optimizer, task: &DeviceTask, steps: u32, batch: u32) -> Self {
        let rate = Rate::of_device(lab, optimizer, task, steps);
        Self { optimizer, path: format!("{}/tune", task.path()), steps, batch, rate }
    }

    /// The same of the cloud.
    pub fn of_cloud(lab: &Lab, optimizer: &'a Optimizer, task: &CloudTask, steps: u32, batch: u32) -> Self {
        let rate = Rate::of_cloud(lab, optimizer, task, steps);
        Self { optimizer, path: format!("{}/tune", task.path()), steps, batch, rate }
    }
}

/// A device's private examples in a model's tokens.
pub fn private_text(lab: &Lab, model: &LabModel, device: u32) -> Vec<Sequence> {
    lab.examples_of(device).iter().map(|i| model.text.private[*i as usize].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(warm_up: Option<WarmUp>) -> Course {
        Course { lr: 0.5, cloud_lr: 0.25, schedule: Written::Linear, floor: 0.0, warm_up, micro_batch: None }
    }

    /// The rates of the 4 steps of every one of 3 rounds.
    fn rates(warm_up: Option<WarmUp>) -> Vec<f64> {
        let round = |round: u32| {
            let rate = Rate::new(&course(warm_up), 0.5, (round, f64::from(round - 1) / 3.0), 4, Some(3));
            (0..4).map(move |step| rate.at(step))
        };
        (1..=3).flat_map(round).collect()
    }

    #[test]
    fn the_schedule_goes_by_rounds_and_warm_up_by_steps() {
        let plain = rates(None);
        assert_eq!(plain, [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|progress| [0.5 * (1.0 - progress); 4]).concat());
        let warm = rates(Some(WarmUp::Steps(8)));
        for (step, (warm, plain)) in warm.iter().zip(&plain).enumerate() {
            let factor = (step as f64 + 1.0).min(8.0) / 8.0;
            assert!((warm - factor * plain).abs() < 1e-15, "step {step}: {warm}");
        }
        assert_eq!(rates(Some(WarmUp::Fraction(0.5))), rates(Some(WarmUp::Steps(6))));
        assert_eq!(rates(Some(WarmUp::Steps(1))), plain);
    }

    #[test]
    fn steps_that_were_not_taken_are_no_descent() {
        let rate = Rate::new(&course(None), 0.5, (1, 0.0), 4, Some(3));
        let of = |steps, skipped| rate.descended(&Progress { steps, skipped, ..Progress::default() });
        assert_eq!([of(4, 0), of(4, 1), of(4, 4), of(0, 0)], [2.0, 1.5, 0.0, 0.0]);
    }

    #[test]
    fn what_follows_goes_on_where_the_steps_before_ended() {
        let rate = Rate::new(&course(Some(WarmUp::Steps(40))), 0.5, (2, 0.0), 10, None);
        assert_eq!(rate.after(3).at(2), rate.at(5));
        assert_eq!(rate.at(5), 0.5 * 16.0 / 40.0);
    }
}
