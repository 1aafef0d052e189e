//! What paired differences say, in numbers and in sentences.

use cotune_report::format;
use serde_json::{Value, json};

use super::groups::Group;
use crate::statistics::{LEVEL, Paired, holm};

/// Metrics that are tested together: Holm's correction is within a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// How good the models are, per scope; domains and quantiles are shown and not tested.
    Quality,
    /// What it took.
    Cost,
}

impl Family {
    /// The family of a metric; none if it is not tested.
    pub fn of(metric: &str) -> Option<Self> {
        let parts: Vec<&str> = metric.split('.').collect();
        match parts[..] {
            [_, "rouge-l" | "exact-match" | "loss"] | [_, "rouge-l" | "exact-match" | "loss", "mean"] => {
                Some(Self::Quality)
            }
            ["uplink" | "downlink" | "energy" | "cost" | "virtual", _] => Some(Self::Cost),
            _ => None,
        }
    }
}

/// A group against the first.
pub struct Verdict {
    name: String,
    baseline: String,
    findings: Vec<Finding>,
}

/// One metric.
pub struct Finding {
    pub metric: String,
    pub paired: Paired,
    /// Corrected over the family; none for one seed.
    pub p: Option<f64>,
}

impl Finding {
    fn is_distinguishable(&self) -> bool {
        is_distinguishable(&self.metric, &self.paired, self.p)
    }

    /// Whether every seed came to the same.
    fn is_equal(&self) -> bool {
        self.paired.mean == 0.0 && self.paired.interval.is_none_or(|(low, high)| low == high)
    }

    /// For a program.
    pub fn to_json(&self) -> Value {
        json!({
            "metric": self.metric,
            "n": self.paired.n,
            "difference": self.paired.mean,
            "interval": self.paired.interval,
            "p": self.paired.p,
            "p_holm": self.p,
            "distinguishable": self.is_distinguishable(),
        })
    }
}

/// Whether interval and corrected test agree that there is a difference.
///
/// Scores differ from seed to seed. Where their differences are the same to the last digit, a score of few answers has
/// few values, and a spread of zero says nothing of the next seed. What a run costs may be the same every time.
pub fn is_distinguishable(metric: &str, paired: &Paired, p: Option<f64>) -> bool {
    let Some((low, high)) = paired.interval else { return false };
    let is_score = matches!(metric.split('.').nth(1), Some("rouge-l" | "exact-match" | "loss"));
    let is_coincidence = is_score && low == high;
    (low > 0.0 || high < 0.0) && !is_coincidence && p.is_some_and(|p| p < 1.0 - LEVEL)
}

/// What the seeds that both have say.
pub fn of(baseline: &Group, other: &Group) -> Verdict {
    let mut findings = Vec::new();
    for family in [Family::Quality, Family::Cost] {
        let mut tested: Vec<Finding> = super::metrics(std::slice::from_ref(baseline))
            .into_iter()
            .filter(|metric| Family::of(metric) == Some(family))
            .filter_map(|metric| finding(metric, baseline, other))
            .collect();
        correct(tested.iter_mut());
        findings.extend(tested);
    }
    Verdict { name: other.name.clone(), baseline: baseline.name.clone(), findings }
}

/// Corrects the p values of tests that are looked at together (Holm).
pub fn correct<'f>(tested: impl Iterator<Item = &'f mut Finding>) {
    let (with_p, ps): (Vec<&mut Finding>, Vec<f64>) =
        tested.filter_map(|one| one.paired.p.map(|p| (one, p))).unzip();
    for (one, p) in with_p.into_iter().zip(holm(&ps)) {
        one.p = Some(p);
    }
}

/// The other's metric minus the baseline's, over the seeds that both have.
pub fn finding(metric: String, baseline: &Group, other: &Group) -> Option<Finding> {
    let pairs = baseline.runs.iter().filter_map(|(seed, run)| {
        let (a, b) = (run.summary.metrics.get(&metric)?, other.runs.get(seed)?.summary.metrics.get(&metric)?);
        Some(b - a)
    });
    let paired = Paired::of(&pairs.collect::<Vec<_>>())?;
    Some(Finding { metric, paired, p: None })
}

impl Verdict {
    /// A sentence for every metric that differs, and one each for those that cannot be told apart and those that are
    /// equal.
    pub fn sentences(&self) -> Vec<String> {
        let (name, baseline) = (&self.name, &self.baseline);
        if self.findings.is_empty() {
            return vec![format!("{name} and {baseline} have no seed in common: nothing is paired")];
        }
        let mut said: Vec<String> = self.findings.iter().filter_map(|finding| self.claim(finding)).collect();
        let named = |wanted: &dyn Fn(&Finding) -> bool| -> Vec<String> {
            let found = self.findings.iter().filter(|finding| wanted(finding));
            found.map(|finding| format::metric_name(&finding.metric)).collect()
        };
        let open =
            |one: &Finding| one.paired.interval.is_some() && !one.is_distinguishable() && !one.is_equal();
        let (alike, equal) = (named(&open), named(&Finding::is_equal));
        let seeds = self.findings.iter().map(|finding| finding.paired.n).max().unwrap_or(0);
        if !alike.is_empty() {
            let seeds = format::plural(seeds, "seed");
            said.push(format!(
                "{name} and {baseline} are not distinguishable on {seeds} in {}",
                list(&alike)
            ));
        }
        if !equal.is_empty() {
            said.push(format!("{name} is as {baseline} in {}", list(&equal)));
        }
        said
    }

    /// What is claimed of a metric, if anything.
    fn claim(&self, finding: &Finding) -> Option<String> {
        let (Finding { metric, paired, .. }, Self { name, baseline, .. }) = (finding, self);
        if finding.is_equal() {
            return None;
        }
        let (size, what) = (format::value(metric, paired.mean.abs()), format::metric_name(metric));
        let what = if metric == "cost.total_usd" { "money".to_owned() } else { what };
        match paired.interval {
            None => {
                let more = if paired.mean > 0.0 { "higher" } else { "lower" };
                Some(format!("{name} is {size} {more} than {baseline} in {what}, on one seed: no interval"))
            }
            Some((low, high)) if finding.is_distinguishable() => {
                let half = format::value(metric, (high - low) / 2.0);
                let word = word(metric, paired.mean);
                let seeds = format::plural(paired.n, "seed");
                Some(match Family::of(metric) {
                    Some(Family::Cost) => {
                        format!("{name} takes {word} {what} than {baseline}: {size} ± {half} on {seeds}")
                    }
                    _ => format!("{name} is {word} than {baseline} by {size} ± {half} in {what} on {seeds}"),
                })
            }
            Some(_) => None,
        }
    }

    /// For a program.
    pub fn to_json(&self) -> Value {
        let metrics: Vec<_> = self.findings.iter().map(Finding::to_json).collect();
        json!({ "name": self.name, "baseline": self.baseline, "metrics": metrics })
    }
}

/// `a, b and c`.
fn list(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Quality is better or worse, cost more or less.
fn word(metric: &str, change: f64) -> &'static str {
    match (Family::of(metric), (change > 0.0) != format::lower_is_better(metric)) {
        (Some(Family::Quality), true) => "better",
        (Some(Family::Quality), false) => "worse",
        (_, true) => "more",
        (_, false) => "less",
    }
}

#[cfg(test)]
mod tests {
    use cotune_kernel::Stream;

    use super::*;

    fn said(metric: &str, differences: &[f64], p: Option<f64>) -> String {
        let paired = Paired::of(differences).unwrap();
        let finding = Finding { metric: metric.to_owned(), paired, p };
        Verdict { name: "b".into(), baseline: "a".into(), findings: vec![finding] }.sentences().remove(0)
    }

    #[test]
    fn a_sentence_claims_no_more_than_interval_and_test_do() {
        let clear = [3.0, 3.2, 2.8, 3.1, 2.9];
        let sentence = said("edge.rouge-l.mean", &clear, Some(0.001));
        assert!(sentence.starts_with("b is better than a by 3.00 ± 0.1"), "{sentence}");
        assert!(sentence.ends_with(" in edge Rouge-L on 5 seeds"), "{sentence}");
        let bytes = said("uplink.total_bytes", &clear.map(|one| one * 1e6), Some(0.001));
        assert!(bytes.starts_with("b takes more uplink than a: 3.00 MB ± "), "{bytes}");
        assert!(said("edge.loss.mean", &clear, Some(0.001)).contains("worse"));
        assert!(said("edge.rouge-l.mean", &clear, Some(0.2)).contains("not distinguishable on 5 seeds"));
        assert!(said("edge.rouge-l.mean", &[1.0, -1.0], Some(0.001)).contains("not distinguishable"));
        assert!(said("cloud.rouge-l", &[3.0], None).contains("on one seed: no interval"));
        assert!(said("cloud.rouge-l", &[0.0, 0.0], Some(1.0)).contains("b is as a"));
    }

    #[test]
    fn equal_differences_of_few_answers_are_a_coincidence_and_equal_bytes_are_not() {
        let same = [0.625, 0.625];
        assert!(said("cloud.rouge-l", &same, Some(0.0)).contains("not distinguishable on 2 seeds"));
        assert!(
            said("uplink.total_bytes", &same.map(|one| one * 1e6), Some(0.0)).contains("takes more uplink")
        );
    }

    /// Two scenarios that are one: what is claimed of them is claimed by chance, and at most of one pair in twenty.
    #[test]
    fn scenarios_that_do_not_differ_are_hardly_ever_said_to() {
        let mut stream = Stream::keyed(0, "compare/null");
        for answers in [8, 520] {
            // A score of some answers, each of them right or wrong by the toss of a coin.
            let mut score =
                || 100.0 * (0..answers).filter(|_| stream.below(2) == 0).count() as f64 / f64::from(answers);
            for seeds in [2, 3, 5] {
                let mut claims = 0;
                for _ in 0..200 {
                    let mut findings: Vec<Finding> = ["edge", "cloud", "proxy"]
                        .map(|scope| {
                            let differences: Vec<f64> = (0..seeds).map(|_| score() - score()).collect();
                            let paired = Paired::of(&differences).expect("there are seeds");
                            Finding { metric: format!("{scope}.exact-match"), paired, p: None }
                        })
                        .into();
                    correct(findings.iter_mut());
                    claims += usize::from(findings.iter().any(Finding::is_distinguishable));
                }
                assert!(claims <= 14, "{claims} of 200 on {seeds} seeds of {answers} answers");
            }
        }
    }

    #[test]
    fn domains_and_quantiles_are_not_tested() {
        for metric in ["edge.rouge-l.p10", "edge.loss.domain.shop", "updates.late", "rounds"] {
            assert_eq!(Family::of(metric), None, "{metric}");
        }
        assert_eq!(Family::of("cloud.exact-match"), Some(Family::Quality));
        assert_eq!(Family::of("uplink.total_bytes"), Some(Family::Cost));
    }
}
