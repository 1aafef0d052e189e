//! Scores of one model: Rouge-L, exact match and loss per domain.

use crate::lab::Lab;
use cotune_models::generate::{Sampling, generate};
use cotune_models::metrics::{self, Weighted};
use cotune_models::score::answer_losses;
use cotune_scenario::evaluation::Metric;
use serde::{Deserialize, Serialize};

/// A model's scores on the held-out examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DomainScores {
    /// One entry a metric of the scenario: its name, and a mean for every domain.
    pub metrics: Vec<(String, Vec<Weighted>)>,
}

impl DomainScores {
    /// The mean over domains, weighted by `shares`; `None` where no weighted domain was scored.
    pub fn mixed(values: &[Weighted], shares: &[f64]) -> Option<f64> {
        let scored = values.iter().zip(shares).filter(|(value, share)| value.weight > 0.0 && **share > 0.0);
        let (sum, weight) = scored.fold((0.0, 0.0), |(sum, weight), (value, share)| {
            (sum + share * value.sum / value.weight, weight + share)
        });
        (weight > 0.0).then(|| sum / weight)
    }
}

/// Scores `values` of `model` on everything held out. Pure, so equal values are scored once.
pub(crate) fn score(lab: &Lab, model: &str, values: &[f32]) -> DomainScores {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        hasher.update(&value.to_le_bytes());
    }
    let key = format!("{model}/{}", hasher.finalize());
    (*lab.scores.get(&key, || score_anew(lab, model, values))).clone()
}

fn score_anew(lab: &Lab, model: &str, values: &[f32]) -> DomainScores {
    let model = lab.model(model);
    let evaluation = &lab.scenario().evaluation;
    let adapter = Some((&model.layout, values));
    let wanted = |metric: Metric| evaluation.metrics.contains(&metric);
    let domains = lab.domains().len();
    let held_out = lab.held_out();
    let gather = |of: &dyn Fn(usize) -> f64| {
        let mut means = vec![Weighted::default(); domains];
        for (i, example) in held_out.iter().enumerate() {
            means[example.domain as usize].add(of(i));
        }
        means
    };
    let mut scores = DomainScores::default();
    if wanted(Metric::Loss) {
        let sequences: Vec<_> = model.text.held_out.iter().collect();
        let losses = answer_losses(&model.base, adapter, &sequences);
        scores.metrics.push(("loss".to_string(), gather(&|i| losses[i])));
    }
    if wanted(Metric::RougeL) || wanted(Metric::ExactMatch) {
        let prompts: Vec<_> = model.text.held_out.iter().map(|sequence| sequence.prompt.clone()).collect();
        let tokens = evaluation.max_tokens as usize;
        let texts = generate(&model.base, adapter, &prompts, tokens, &Sampling::Greedy, &|_| false);
        let items: Vec<metrics::Score> = texts
            .iter()
            .zip(held_out)
            .map(|(text, example)| {
                let references: Vec<&str> = example.answers.iter().map(String::as_str).collect();
                metrics::score(&model.base.tokenizer().decode(&text.tokens), &references, true)
            })
            .collect();
        if wanted(Metric::RougeL) {
            scores.metrics.push(("rouge-l".to_string(), gather(&|i| 100.0 * items[i].rouge_l)));
        }
        if wanted(Metric::ExactMatch) {
            scores.metrics.push(("exact-match".to_string(), gather(&|i| 100.0 * items[i].exact_match)));
        }
    }
    scores
}
