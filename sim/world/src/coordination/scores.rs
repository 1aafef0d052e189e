//! The scores of the models at the cloud, and what can be told from them.

use crate::effect::{Effect, Label, View};
use crate::job::{Job, Outcome};
use crate::method::{State, Subject};
use crate::privacy::{Leak, Surface};
use crate::score::{DomainScores, scores_of};
use cotune_kernel::VirtualDuration;
use cotune_record::{EventKind, Scope};

/// Has every model at the cloud scored; that takes no virtual time.
pub(super) fn measure(state: &State, round: u32, view: &View<'_>) -> Vec<Effect> {
    let subjects = view.plan.method().cloud_subjects(state);
    let attacks = attacks(&subjects, round, view);
    let scores = subjects.into_iter();
    scores
        .map(|(scope, subject)| Effect::Train {
            job: Job::Score(subject),
            label: Label::Score { round, scope },
            after: VirtualDuration::ZERO,
        })
        .chain(attacks)
        .collect()
}

/// Attacks on the model that travels and, once there is one, on the relay set that it would make next.
fn attacks(subjects: &[(Scope, Subject)], round: u32, view: &View<'_>) -> Vec<Effect> {
    let scenario = view.plan.scenario();
    let Some((_, subject)) = subjects.iter().find(|(scope, _)| *scope == Scope::Proxy) else {
        return Vec::new();
    };
    if scenario.evaluation.privacy.is_none() {
        return Vec::new();
    }
    let next = round + 1;
    let relay = scenario.method.table().relay_starts().is_some_and(|first| next >= first);
    let surfaces = [
        Some((Scope::Proxy, Surface::Adapter)),
        relay.then_some((Scope::Relay, Surface::Relay { round: next })),
    ];
    let attack = |(scope, surface)| Effect::Train {
        job: Job::Attack(subject.clone(), surface),
        label: Label::Attack { round, scope },
        after: VirtualDuration::ZERO,
    };
    surfaces.into_iter().flatten().map(attack).collect()
}

/// What attacks came to; without learning there are metrics without values, so that the schedule is the same.
pub(super) fn attacked(round: u32, scope: Scope, outcome: &Outcome) -> Vec<Effect> {
    let values = match outcome {
        Outcome::Leak(Some(leak)) => leak.values().map(Some),
        Outcome::Leak(None) | Outcome::Skipped => [None; 2],
        _ => return Vec::new(),
    };
    let record = |(metric, value): (&str, Option<f64>)| {
        let (metric, device, domain, weight) = (metric.to_owned(), None, None, 1.0);
        Effect::Record(EventKind::Evaluated { round, scope, device, metric, domain, value, weight })
    };
    Leak::METRICS.into_iter().zip(values).map(record).collect()
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
