//! The scores of the models at the cloud.

use crate::effect::{Effect, Label, View};
use crate::job::{Job, Outcome};
use crate::method::State;
use crate::score::{DomainScores, scores_of};
use cotune_kernel::VirtualDuration;
use cotune_record::{EventKind, Scope};

/// Has every model at the cloud scored; that takes no virtual time.
pub(super) fn measure(state: &State, round: u32, view: &View<'_>) -> Vec<Effect> {
    let subjects = view.plan.method().cloud_subjects(state).into_iter();
    subjects
        .map(|(scope, subject)| Effect::Train {
            job: Job::Score(subject),
            label: Label::Score { round, scope },
            after: VirtualDuration::ZERO,
        })
        .collect()
}

/// Scores of a model at the cloud: the mean over all domains, and every domain.
pub(super) fn scored(round: u32, scope: Scope, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
    let Some(scores) = scores_of(outcome, view) else { return Vec::new() };
    let domains = view.plan.lab().domains();
    let uniform = vec![1.0; domains.len()];
    let mut effects = Vec::new();
    for (metric, values) in &scores.metrics {
        let mut record = |domain: Option<String>, value| {
            let (metric, device, weight) = (metric.clone(), None, 1.0);
            effects.push(Effect::Record(EventKind::Evaluated {
                round,
                scope,
                device,
                metric,
                domain,
                value,
                weight,
            }));
        };
        record(None, DomainScores::mixed(values, &uniform));
        for (domain, value) in domains.iter().zip(values) {
            record(Some(domain.clone()), value.mean());
        }
    }
    effects
}
