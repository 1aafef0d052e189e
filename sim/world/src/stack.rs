//! Jobs that are computed as one batch.
//!
//! Devices whose work is the tuning of one model do the same to different values. A stack of such jobs trains as one
//! batch (`Learner::tune_stacked`), which on a graphics card is one launch where there were as many as there are devices.
//! Which jobs stand together follows from the order in which they are submitted and joined, so from the simulation alone
//! and never from which thread is free. Each comes to what it comes to alone, but for rounding: the rows of a shorter text
//! are padded to those of a longer one, and a sum over more rows is taken in other parts.

use crate::job::{Job, Outcome};
use crate::method::training::Tuning;
use crate::packing;
use crate::plan::Plan;
use cotune_kernel::panics;
use std::sync::Arc;

/// Jobs of a stack at most (chosen: their activations are in memory at once).
pub(crate) const LARGEST: usize = 8;

/// What a job has in common with those that it may be stacked with: the model that it tunes. None for work that is more
/// than tuning, or that learners cannot do together ([`Learner::stacks_with`](cotune_models::learner::Learner::stacks_with)).
pub(crate) fn kind<'j>(job: &'j Job, plan: &'j Plan) -> Option<&'j str> {
    let Job::Device { task, .. } = job else { return None };
    let tuned = plan.method().device_tunes(&task.model)?;
    let model = plan.lab().model(tuned);
    let whole =
        plan.scenario().method.optimizer().is_none_or(|optimizer| optimizer.course().micro_batch.is_none());
    (whole && model.layout.is_low_rank() && model.dropout == 0.0).then_some(tuned)
}

/// Whether jobs can be one stack.
pub(crate) fn stands<'j>(mut jobs: impl ExactSizeIterator<Item = &'j Job>, plan: &'j Plan) -> bool {
    let fits = (1..=LARGEST).contains(&jobs.len());
    let first = jobs.next().and_then(|job| kind(job, plan));
    fits && first.is_some() && jobs.all(|job| kind(job, plan) == first)
}

/// Computes jobs of one kind. If one of them panics, each is computed alone, so that only that one is lost.
pub(crate) fn perform(jobs: Vec<Job>, plan: &Plan) -> Vec<Outcome> {
    let together = panics::caught(|| together(jobs.clone(), plan));
    together.unwrap_or_else(|_| jobs.into_iter().map(|job| job.caught(plan)).collect())
}

fn together(jobs: Vec<Job>, plan: &Plan) -> Vec<Outcome> {
    let (lab, method) = (plan.lab(), plan.method());
    let (mut works, mut tunings) = (Vec::new(), Vec::new());
    for job in jobs {
        let Job::Device { task, state, received, residual } = job else {
            unreachable!("only work of devices is stacked")
        };
        let received = packing::received(lab, &received);
        tunings.push(method.device_tuning(lab, &task, &state, &received));
        works.push((task, state, received, residual));
    }
    let done = works.into_iter().zip(Tuning::together(tunings));
    let outcomes = done.map(|((task, state, received, mut residual), tuned)| {
        let mut done = method.device_tuned(lab, &task, Arc::unwrap_or_clone(state), &received, tuned);
        done.update = packing::sent_up(lab, done.update, &received, &mut residual);
        Outcome::Device(Box::new(done), residual)
    });
    outcomes.collect()
}
