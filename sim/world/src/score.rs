//! Scores of one model: Rouge-L, exact match and loss per domain.

use crate::effect::View;
use crate::job::Outcome;
use crate::lab::Lab;
use crate::method::Subject;
use cotune_models::generate::{Sampling, generate};
use cotune_models::metrics::{Score, Scorer, Weighted};
use cotune_models::score::answer_losses;
use cotune_scenario::evaluation::Metric;
use serde::{Deserialize, Serialize};
use std::cell::LazyCell;

/// A model's scores on the held-out examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DomainScores {
    /// One entry a metric of the scenario: its name, and a mean for every domain.
    pub metrics: Vec<(String, Vec<Weighted>)>,
}

impl DomainScores {
    /// Scores without values: what is measured when learning is switched off.
    pub(crate) fn unscored(lab: &Lab) -> Self {
        let blank = vec![Weighted::default(); lab.domains().len()];
        let metrics = measured(&lab.scenario().evaluation.metrics);
        Self { metrics: metrics.map(|name| (name.to_string(), blank.clone())).collect() }
    }

    /// The mean over domains, weighted by `shares`; `None` where no weighted domain was scored.
    pub fn mixed(values: &[Weighted], shares: &[f64]) -> Option<f64> {
        let scored = values.iter().zip(shares).filter(|(value, share)| value.weight > 0.0 && **share > 0.0);
        let (sum, weight) = scored.fold((0.0, 0.0), |(sum, weight), (value, share)| {
            (sum + share * value.sum / value.weight, weight + share)
        });
        (weight > 0.0).then(|| sum / weight)
    }
}

/// The scores that a job came to; without learning there are some without values, so that the schedule is the same.
pub(crate) fn scores_of(outcome: Outcome, view: &View<'_>) -> Option<DomainScores> {
    match outcome {
        Outcome::Score(scores) => Some(scores),
        Outcome::Skipped => Some(DomainScores::unscored(view.plan.lab())),
        Outcome::Device(..)
        | Outcome::Cloud(_)
        | Outcome::Leak(_)
        | Outcome::Stack(_)
        | Outcome::Panicked(_) => None,
    }
}

/// Names of the metrics that a scenario asks for, in the order in which they are recorded.
fn measured(wanted: &[Metric]) -> impl Iterator<Item = &'static str> {
    let all = [(Metric::Loss, "loss"), (Metric::RougeL, "rouge-l"), (Metric::ExactMatch, "exact-match")];
    all.into_iter().filter(|(metric, _)| wanted.contains(metric)).map(|(_, name)| name)
}

/// Scores a model on everything held out. Pure, so equal values are scored once.
pub(crate) fn score(lab: &Lab, subject: &Subject) -> DomainScores {
    let mut hasher = blake3::Hasher::new();
    for value in subject.values.iter().chain(&subject.beneath) {
        hasher.update(&value.to_le_bytes());
    }
    let key = format!("{}/{}", subject.model, hasher.finalize());
    (*lab.scores.get(&key, || score_anew(lab, subject))).clone()
}

fn score_anew(lab: &Lab, subject: &Subject) -> DomainScores {
    let model = lab.model(&subject.model);
    let evaluation = &lab.scenario().evaluation;
    let deltas = model.layout.deltas();
    let beneath = (!subject.beneath.is_empty()).then_some((&deltas, subject.beneath.as_slice()));
    let adapters: Vec<_> = beneath.into_iter().chain([(&model.layout, subject.values.as_slice())]).collect();
    let held_out = lab.held_out();
    let losses = LazyCell::new(|| {
        let sequences: Vec<_> = model.text.held_out.iter().collect();
        answer_losses(&model.base, &adapters, &sequences)
    });
    let texts = LazyCell::new(|| {
        let prompts: Vec<_> = model.text.held_out.iter().map(|sequence| sequence.prompt.clone()).collect();
        let tokens = evaluation.max_tokens as usize;
        let texts = generate(&model.base, &adapters, &prompts, tokens, &Sampling::Greedy, &|_| false);
        let mut scorer = Scorer::new(true);
        let scored = texts.iter().zip(held_out).map(|(text, example)| {
            scorer.score(&model.base.tokenizer().decode(&text.tokens), &example.answers)
        });
        scored.collect::<Vec<Score>>()
    });
    let value = |name: &str, i: usize| match name {
        "loss" => losses[i],
        "rouge-l" => 100.0 * texts[i].rouge_l,
        _ => 100.0 * texts[i].exact_match,
    };
    let scores = measured(&evaluation.metrics).map(|name| {
        let mut means = vec![Weighted::default(); lab.domains().len()];
        for (i, example) in held_out.iter().enumerate() {
            means[example.domain as usize].add(value(name, i));
        }
        (name.to_string(), means)
    });
    DomainScores { metrics: scores.collect() }
}
