//! The names of a run's metrics, and what they are.

/// A metric of a run's summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, scope.metric.statistic.
    pub name: &'static str,
    /// What it is, with its unit.
    pub doc: &'static str,
}

macro_rules! metrics {
    ($($name:literal = $doc:literal;)*) => {
        /// Every metric, apart from `….domain.<name>`.
        pub const ALL: &[Metric] = &[$(Metric { name: $name, doc: $doc }),*];
    };
}

metrics! {
    "edge.rouge-l.mean" = "Rouge-L of the devices' models, 0-100: mean over the panel's devices, each on its own mix of domains.";
    "edge.rouge-l.p10" = "Rouge-L that nine devices of ten reach, 0-100.";
    "edge.rouge-l.p90" = "Rouge-L that one device of ten reaches, 0-100.";
    "edge.exact-match.mean" = "Answers of the devices' models that are right word for word, 0-100: mean over the panel's devices, each on its own mix of domains.";
    "edge.exact-match.p10" = "Exact match that nine devices of ten reach, 0-100.";
    "edge.exact-match.p90" = "Exact match that one device of ten reaches, 0-100.";
    "edge.loss.mean" = "Cross-entropy of the devices' models on answers, in nats per token: mean over the panel's devices. Lower is better.";
    "edge.loss.p10" = "The loss of the best tenth of the devices, in nats per token.";
    "edge.loss.p90" = "The loss of the worst tenth of the devices, in nats per token.";
    "edge-all.rouge-l.mean" = "Rouge-L of the devices' models on all domains alike, 0-100.";
    "edge-all.exact-match.mean" = "Exact match of the devices' models on all domains alike, 0-100.";
    "edge-all.loss.mean" = "Loss of the devices' models on all domains alike, in nats per token.";
    "cloud.rouge-l" = "Rouge-L of the cloud's model on all domains, 0-100.";
    "cloud.exact-match" = "Exact match of the cloud's model on all domains, 0-100.";
    "cloud.loss" = "Loss of the cloud's model on all domains, in nats per token.";
    "proxy.rouge-l" = "Rouge-L of the proxy on all domains, 0-100.";
    "proxy.exact-match" = "Exact match of the proxy on all domains, 0-100.";
    "proxy.loss" = "Loss of the proxy on all domains, in nats per token.";
    "proxy.exposure" = "How much more likely the proxy is to say a planted secret than the secrets it is ranked among, in bits (canaries): mean over the canaries.";
    "proxy.membership-auc" = "Area under the curve of an attack that tells training examples from held-out ones by the proxy's loss: 0.5 is guessing, 1 is certainty.";
    "relay.exposure" = "The same exposure of planted secrets, in bits, through the relay set.";
    "relay.membership-auc" = "The same membership attack through the relay set.";
    "tokens.device" = "Tokens that devices trained on.";
    "tokens.cloud" = "Tokens that the cloud trained on.";
    "uplink.total_bytes" = "Bytes sent by devices, whole transfers and cut ones.";
    "downlink.total_bytes" = "Bytes sent to devices, whole transfers and cut ones.";
    "wasted.total_bytes" = "Bytes moved, both ways, for updates that are part of no aggregate.";
    "energy.total_joules" = "Energy of the devices in joules: idle, computing and on the air.";
    "energy.marginal_joules" = "The part of the devices' energy that the run caused, in joules: above idle.";
    "energy.cloud_joules" = "Energy of the cloud while it computes, in joules; there if `cloud.power` is given.";
    "carbon.total_grams" = "Grams of CO2 of devices and cloud; there if a `carbon` is given.";
    "cost.total_usd" = "Price of the cloud's computing and egress in US dollars.";
    "virtual.seconds" = "Virtual time of the whole run in seconds.";
    "rounds" = "Rounds that closed.";
    "round.duration.mean_seconds" = "Mean virtual time of a round in seconds.";
    "round.duration.p95_seconds" = "Virtual time in seconds that 95 rounds of a hundred stay below.";
    "updates.accepted" = "Updates that are part of an aggregate.";
    "steps.skipped" = "Optimizer steps that were skipped because their loss or gradient was not finite.";
    "updates.offline" = "Invited devices that could not be reached.";
    "updates.refused-memory" = "Invited devices whose free memory was too small for the work.";
    "updates.battery" = "Invited devices below the charge they train at.";
    "updates.download-lost" = "Devices whose connection dropped while they received the payload.";
    "updates.dropped-while-training" = "Devices that went offline while they trained.";
    "updates.crashed" = "Devices that a crash struck, or a panic in their job.";
    "updates.upload-lost" = "Devices whose connection dropped while they sent the update.";
    "updates.late" = "Updates that came after the deadline, when the cohort was full, or after a restart of the cloud.";
    "updates.stale" = "Updates that were based on too old a model.";
    "updates.rejected" = "Updates that the cloud refused: not finite, or of the wrong shape.";
    "participation.gini" = "How unequally accepted updates are spread over the fleet: 0 if every device has as many, near 1 if one has all.";
}

/// What a metric is, those of single domains included.
pub fn explain(name: &str) -> Option<String> {
    if let Some(metric) = ALL.iter().find(|metric| metric.name == name) {
        return Some(metric.doc.to_owned());
    }
    let domain = per_domain(name)?;
    let (scope, rest) = name.split_once('.')?;
    let measure = rest.split('.').next()?;
    let whole = [format!("{scope}.{measure}.mean"), format!("{scope}.{measure}")];
    let whole = ALL.iter().find(|metric| whole.iter().any(|name| name == metric.name))?;
    Some(format!("On the domain `{domain}` alone. For all: {}", whole.doc))
}

/// The domain of a per-domain metric: the last part of `edge.rouge-l.domain.<name>`.
pub(crate) fn per_domain(metric: &str) -> Option<&str> {
    let (scope, rest) = metric.split_once('.')?;
    let (measure, domain) = rest.split_once(".domain.")?;
    let known = ["edge", "edge-all", "cloud", "proxy"].contains(&scope)
        && ["rouge-l", "exact-match", "loss"].contains(&measure);
    (known && !domain.is_empty()).then_some(domain)
}
