//! `[[expect]]`: what the run is expected to show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::data::BUILTIN_DOMAINS;
use crate::diagnostic::Diagnostic;
use crate::method::Method;
use crate::metrics::{self, per_domain};
use crate::reader::{Bound, View};
use crate::words;

/// A bound on a metric at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    /// A metric name, such as `edge.rouge-l.mean`.
    pub metric: String,
    /// When. Default: end.
    pub at: At,
    /// Smallest value that passes.
    pub min: Option<f64>,
    /// Largest value that passes.
    pub max: Option<f64>,
}

impl Expectation {
    /// Whether `value` is within the bounds.
    pub fn accepts(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// When an expectation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// When the run has ended.
    End,
}

pub(crate) fn read(root: &View, method: Option<&Method>, builtin: bool) -> Vec<Expectation> {
    root.tables("expect").into_iter().filter_map(|view| expectation(view, method, builtin)).collect()
}

fn expectation(view: View, method: Option<&Method>, builtin: bool) -> Option<Expectation> {
    let metric = view.string("metric", "\"edge.rouge-l.mean\"").required(view.problems);
    let at = view.word("at", &[("end", At::End)]).or(At::End);
    let (min, max) =
        (view.number("min", Bound::Finite).optional(), view.number("max", Bound::Finite).optional());
    if !view.has("min") && !view.has("max") {
        let error = Diagnostic::new(codes::CONFLICT, format!("`{}` expects nothing", view.path));
        view.problems.add(
            error
                .label(view.place("metric").or(view.at.clone()), "how much?")
                .help("write min = … or max = …"),
        );
    }
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        let error = Diagnostic::new(
            codes::INVERTED,
            format!("`{}`: no number is above min and below max", view.path),
        );
        let error = error.label(view.place("max"), "below").label(view.place("min"), "above");
        view.problems.add(error.help("exchange min and max"));
    }
    if let Some(metric) = &metric {
        check_metric(&view, metric, method, builtin);
    }
    view.finish();
    Some(Expectation { metric: metric?, at, min, max })
}

fn check_metric(view: &View, metric: &str, method: Option<&Method>, builtin: bool) {
    let domain = per_domain(metric);
    let unknown_domain = domain.filter(|domain| builtin && !BUILTIN_DOMAINS.contains(domain));
    if let Some(domain) = unknown_domain {
        let error =
            Diagnostic::new(codes::UNKNOWN_DOMAIN, format!("the builtin corpus has no domain `{domain}`"));
        let help = words::suggestion(domain, BUILTIN_DOMAINS.iter().copied());
        view.problems.add(error.label(view.place("metric"), "unknown").help(help));
    } else {
        check_name(view, "metric", metric);
    }
    let Some(method) = method else { return };
    let absent = match metric.split('.').next() {
        Some("cloud") => method.cloud_model().is_none(),
        Some("proxy") => method.proxy_model().is_none(),
        Some("relay") => method.relay().is_none(),
        _ => false,
    };
    if absent {
        let message = format!("the method `{}` has no model that `{metric}` could measure", method.name());
        let warning = Diagnostic::new(codes::SKIPPED, message).label(view.place("metric"), "will be skipped");
        view.problems.add(warning.help("expect something of the models that the method has"));
    }
}

/// Whether there is such a metric; `key` is where it is written.
pub(crate) fn check_name(view: &View, key: &str, metric: &str) {
    if per_domain(metric).is_some() || metrics::ALL.iter().any(|known| known.name == metric) {
        return;
    }
    let help = match words::meant(metric, metrics::ALL.iter().map(|known| known.name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "names are scope.metric.statistic, such as `edge.rouge-l.mean`, `cloud.exact-match` or \
                 `uplink.total_bytes`"
            .to_owned(),
    };
    let error = Diagnostic::new(codes::UNKNOWN_METRIC, format!("there is no metric `{metric}`"));
    view.problems.add(error.label(view.place(key), "unknown").help(help));
}
