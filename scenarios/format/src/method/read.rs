//! Reading `[method]`.

use super::*;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use crate::reader::{self, Bound, Shape, View};
use crate::words;

/// The method; `models` are the names in `[models]`, none where that table is wrong itself.
pub(crate) fn read(root: &View, models: Option<&[&str]>) -> Option<Method> {
    let (name, view) = root.choice("method", &words::METHOD).required(root.problems)?;
    let models = Models(models);
    match name {
        "zero-shot" => {
            let method =
                ZeroShot { cloud: models.if_there(&view, "cloud"), proxy: models.if_there(&view, "proxy") };
            view.finish();
            Some(Method::ZeroShot(method))
        }
        "standalone" => Some(Method::Standalone(standalone(view, &models))),
        "fedavg" => fedavg(view, &models).map(Method::FedAvg),
        "proxy-relay" => proxy_relay::read(view, &models).map(|method| Method::ProxyRelay(Box::new(method))),
        _ => co_plms(view, &models).map(|method| Method::CoPlms(Box::new(method))),
    }
}

/// The names in `[models]`.
pub(super) struct Models<'a>(Option<&'a [&'a str]>);

impl Models<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.is_none_or(|names| names.contains(&name))
    }

    /// The model that `key` names, or else the model called as the key.
    fn named(&self, view: &View, key: &'static str) -> Option<String> {
        match view.string(key, &format!("{key:?}")).optional() {
            Some(name) => self.check(view, key, name),
            None if view.has(key) => None,
            None if self.has(key) => Some(key.to_owned()),
            None => {
                let message = format!("`{}` needs a model for `{key}`, and none is called so", view.path);
                let error =
                    Diagnostic::new(codes::UNKNOWN_MODEL, message).label(view.at.clone(), "which one?");
                view.problems
                    .add(error.help(format!("write [models.{key}], or name another with {key} = …")));
                None
            }
        }
    }

    /// The same, and none where nothing is named and no model is called as the key.
    fn if_there(&self, view: &View, key: &'static str) -> Option<String> {
        match view.string(key, &format!("{key:?}")).optional() {
            Some(name) => self.check(view, key, name),
            None => self.has(key).then(|| key.to_owned()),
        }
    }

    fn check(&self, view: &View, key: &'static str, name: String) -> Option<String> {
        if self.has(&name) {
            return Some(name);
        }
        view.problems
            .add(unknown_model(&name, self.0.unwrap_or_default()).label(view.place(key), "not in [models]"));
        None
    }
}

/// A model that `[models]` does not have.
pub(crate) fn unknown_model(name: &str, models: &[&str]) -> Diagnostic {
    let help = words::suggestion(name, models.iter().copied());
    Diagnostic::new(codes::UNKNOWN_MODEL, format!("there is no model `{name}`")).help(help)
}

fn standalone(view: View, models: &Models) -> Standalone {
    // true: the model called `cloud`; false: none; a string: that model.
    let cloud = |node: &Node, path: &str| match &node.value {
        Value::Boolean(false) => Some(None),
        Value::Boolean(true) => models.named_as(&view, node, "cloud"),
        Value::String(name) => models.named_as(&view, node, name),
        _ => {
            view.problems.add(
                reader::word::<()>(node, path, &[("cloud", ())])
                    .err()?
                    .help("write cloud = true or cloud = false"),
            );
            None
        }
    };
    let default = models.has("cloud").then(|| "cloud".to_owned());
    let method = Standalone {
        cloud: view
            .part("cloud", "true", || Shape::AnyOf(vec![Shape::Truth, Shape::Text]), cloud)
            .or(default),
        public: view.boolean("public").or(false),
        device_steps: steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &["tune"]),
        cloud_steps: steps(&view, "cloud_steps", Steps { tune: 40, mutual: 0 }, &["tune"]),
        batch: view.count("batch", 1).or(16),
        optimizer: optimizer(&view),
    };
    view.finish();
    method
}

impl Models<'_> {
    fn named_as(&self, view: &View, node: &Node, name: &str) -> Option<Option<String>> {
        if self.has(name) {
            return Some(Some(name.to_owned()));
        }
        view.problems
            .add(unknown_model(name, self.0.unwrap_or_default()).label(node.at.clone(), "not in [models]"));
        None
    }
}

fn fedavg(view: View, models: &Models) -> Option<FedAvg> {
    #[derive(Clone, Copy)]
    enum On {
        Proxy,
        Edge,
    }
    let on = view.word("on", &[("proxy", On::Proxy), ("edge", On::Edge)]).required(view.problems);
    let on = match on {
        Some(On::Proxy) => models.named(&view, "proxy").map(Averaged::Proxy),
        Some(On::Edge) => Some(Averaged::Edge),
        None => {
            models.if_there(&view, "proxy");
            None
        }
    };
    let device_steps = steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &["tune"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let aggregate = aggregate(&view);
    view.finish();
    Some(FedAvg { on: on?, device_steps, batch, optimizer, aggregate })
}

/// The cloud's model and the proxy, which are not the same.
pub(super) fn two_models(view: &View, models: &Models) -> (Option<String>, Option<String>) {
    let cloud = models.named(view, "cloud");
    let proxy = models.named(view, "proxy");
    if cloud.is_some() && cloud == proxy {
        let message =
            format!("the cloud's model and the proxy are both `{}`", cloud.as_deref().unwrap_or_default());
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.place("proxy"), "the same model");
        view.problems.add(error.help("give the proxy a table of its own in [models]"));
    }
    (cloud, proxy)
}

fn co_plms(view: View, models: &Models) -> Option<CoPlms> {
    let (cloud, proxy) = two_models(&view, models);
    const DST: &[(&str, DomainTuning)] = &[
        ("both", DomainTuning::Both),
        ("slm", DomainTuning::Slm),
        ("proxy", DomainTuning::Proxy),
        ("domain-adapter", DomainTuning::DomainAdapter),
        ("off", DomainTuning::Off),
    ];
    let dst = view.word("dst", DST).or(DomainTuning::Both);
    let device_steps = steps(&view, "device_steps", Steps { tune: 20, mutual: 20 }, &["tune", "mutual"]);
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 0, mutual: 40 }, &["mutual"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let saml = saml(view.table_or_empty("saml"));
    let relay = view.table("relay").optional().map(relay);
    let aggregate = aggregate(&view);
    view.finish();
    let (cloud, proxy) = (cloud?, proxy?);
    Some(CoPlms { cloud, proxy, dst, device_steps, cloud_steps, batch, optimizer, saml, relay, aggregate })
}

/// Steps of the kinds that the party takes; 0 turns a kind off.
pub(super) fn steps(view: &View, key: &'static str, default: Steps, kinds: &[&str]) -> Steps {
    let view = view.table_or_empty(key);
    let mut steps = default;
    if kinds.contains(&"tune") {
        steps.tune = view.count("tune", 0).or(default.tune);
    }
    if kinds.contains(&"mutual") {
        steps.mutual = view.count("mutual", 0).or(default.mutual);
    }
    view.finish();
    steps
}

pub(super) fn aggregate(view: &View) -> Aggregate {
    let Some((name, view)) = view.choice("aggregate", &words::AGGREGATE).optional() else {
        return Aggregate::Weighted;
    };
    let aggregate = match name {
        "uniform" => Aggregate::Uniform,
        "norm-clip" => Aggregate::NormClip { norm: view.number("norm", Bound::Positive).optional() },
        "median" => Aggregate::Median,
        "trimmed-mean" => Aggregate::TrimmedMean { trim: view.number("trim", Bound::BelowHalf).or(0.1) },
        "krum" => Aggregate::Krum {
            byzantine: view.count("byzantine", 0).optional(),
            keep: view.count("keep", 1).or(1),
        },
        _ => Aggregate::Weighted,
    };
    view.finish();
    aggregate
}

pub(super) fn optimizer(view: &View) -> Optimizer {
    let mut adamw = AdamW {
        lr: 1e-2,
        cloud_lr: 5e-3,
        weight_decay: 0.01,
        clip: Some(1.0),
        schedule: Schedule::Cosine,
        floor: 0.15,
        betas: [0.9, 0.999],
        eps: 1e-8,
        warm_up: None,
        micro_batch: None,
    };
    let Some((_, view)) = view.choice("optimizer", &words::OPTIMIZER).optional() else {
        return Optimizer::AdamW(adamw);
    };
    const SCHEDULES: &[(&str, Schedule)] =
        &[("cosine", Schedule::Cosine), ("linear", Schedule::Linear), ("constant", Schedule::Constant)];
    adamw.lr = view.number("lr", Bound::Positive).or(adamw.lr);
    adamw.cloud_lr = view.number("cloud_lr", Bound::Positive).or(adamw.cloud_lr);
    adamw.weight_decay = view.number("weight_decay", Bound::NonNegative).or(adamw.weight_decay);
    let clip = |node: &Node, path: &str| match &node.value {
        Value::String(word) if word == "off" => Some(None),
        _ => match reader::number(node, path, Bound::Positive) {
            Ok(norm) => Some(Some(norm)),
            Err(error) => {
                view.problems.add(error.help("write a gradient norm, or \"off\""));
                None
            }
        },
    };
    adamw.clip = view
        .part(
            "clip",
            "1.0",
            || Shape::AnyOf(vec![Shape::Number(Bound::Positive), Shape::Word(vec!["off"])]),
            clip,
        )
        .or(adamw.clip);
    adamw.schedule = view.word("schedule", SCHEDULES).or(adamw.schedule);
    adamw.floor = view.number("floor", Bound::Fraction).or(adamw.floor);
    let beta = |node: &_, path: &str| reader::number(node, path, Bound::BelowOne);
    if let Some(betas) =
        view.list("betas", "[0.9, 0.999]", || Shape::Number(Bound::BelowOne), beta).optional()
    {
        match <[f64; 2]>::try_from(betas) {
            Ok(betas) => adamw.betas = betas,
            Err(_) => {
                let error = Diagnostic::new(
                    codes::WRONG_TYPE,
                    format!("`{}.betas` is two numbers below 1", view.path),
                );
                view.problems
                    .add(error.label(view.place("betas"), "not two").help("write betas = [0.9, 0.999]"));
            }
        }
    }
    for (beta, key) in adamw.betas.iter_mut().zip(["beta1", "beta2"]) {
        if view.has(key) && view.has("betas") {
            let message = format!("`{}.{key}` says again what `betas` says", view.path);
            let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place(key), "once more");
            view.problems.add(error.label(view.key_place("betas"), "both").help("keep one of them"));
        }
        *beta = view.number(key, Bound::BelowOne).or(*beta);
    }
    adamw.eps = view.number("eps", Bound::Positive).or(adamw.eps);
    let warm_up = |node: &Node, path: &str| {
        let read = match node.value {
            Value::Integer(_) => reader::whole(node, path, 1).map(WarmUp::Steps),
            _ => reader::number(node, path, Bound::BelowOne).map(WarmUp::Fraction),
        };
        let help = "write a whole number of steps, or a fraction of all steps below 1";
        read.map_err(|error| view.problems.add(error.help(help))).ok()
    };
    adamw.warm_up = view
        .part(
            "warm_up",
            "100",
            || Shape::AnyOf(vec![Shape::Whole { least: 1 }, Shape::Number(Bound::BelowOne)]),
            warm_up,
        )
        .optional();
    adamw.micro_batch = view.count("micro_batch", 1).optional();
    view.finish();
    Optimizer::AdamW(adamw)
}

fn saml(view: View) -> Saml {
    let align = view.word("align", &[("bytes", Align::Bytes), ("dtw", Align::Dtw)]).or(Align::Bytes);
    const FALLBACKS: &[(&str, Fallback)] =
        &[("off", Fallback::Off), ("target", Fallback::Target), ("fate", Fallback::Fate)];
    const MAPS: &[(&str, VocabularyMap)] = &[
        ("first-token", VocabularyMap::FirstToken),
        ("equal", VocabularyMap::Equal),
        ("edit", VocabularyMap::Edit),
    ];
    const DIVERGENCES: &[(&str, Divergence)] =
        &[("forward", Divergence::Forward), ("reverse", Divergence::Reverse), ("jsd", Divergence::Jsd)];
    let map = match align {
        Align::Bytes => VocabularyMap::FirstToken,
        Align::Dtw => VocabularyMap::Edit,
    };
    let updates = &[("simultaneous", Update::Simultaneous), ("alternating", Update::Alternating)];
    let combine = view.choice("combine", &words::COMBINE).optional().and_then(combine);
    let saml = Saml {
        align,
        fallback: view.word("fallback", FALLBACKS).or(Fallback::Off),
        vocab: view.word("vocab", MAPS).or(map),
        top_k: view.count("top_k", 1).or(16),
        rest: view.boolean("rest").or(false),
        temperature: view.number("temperature", Bound::Positive).or(1.0),
        kl: view.word("kl", DIVERGENCES).or(Divergence::Forward),
        combine: combine.unwrap_or(Combine::Additive),
        update: view.word("update", updates).or(Update::Simultaneous),
        weight: weights(view.table_or_empty("weight")),
        data: view
            .word("data", &[("private", SamlData::Private), ("public", SamlData::Public)])
            .or(SamlData::Private),
    };
    if view.has("weight") && matches!(saml.combine, Combine::Convex { .. }) {
        let message = format!("`{}.weight` has no meaning beside combine.convex", view.path);
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place("weight"), "not used");
        view.problems.add(
            error
                .label(view.key_place("combine"), "one λ for all")
                .help("remove `weight`, or write combine = \"additive\""),
        );
    }
    view.finish();
    saml
}

fn combine((name, view): (&str, View)) -> Option<Combine> {
    let combine = match name {
        "convex" => {
            let lambda = view.number("convex", Bound::Fraction).required(view.problems);
            lambda.map(|lambda| Combine::Convex { lambda })
        }
        _ => Some(Combine::Additive),
    };
    view.finish();
    combine
}

fn weights(view: View) -> SamlWeights {
    let weight = |key, default| view.number(key, Bound::NonNegative).or(default);
    let weights = SamlWeights {
        proxy_to_edge: weight("proxy_to_edge", 0.5),
        edge_to_proxy: weight("edge_to_proxy", 0.1),
        proxy_to_cloud: weight("proxy_to_cloud", 1.0),
        cloud_to_proxy: weight("cloud_to_proxy", 0.1),
    };
    view.finish();
    weights
}

pub(super) fn relay(view: View) -> Relay {
    let start = view.table_or_empty("from_round");
    let from_round =
        RelayStart { device: start.count("device", 1).or(3), cloud: start.count("cloud", 1).or(2) };
    start.finish();
    let relay = Relay {
        prompts: view.count("prompts", 1).or(256),
        batch: view.count("batch", 1).or(16),
        max_tokens: view.count("max_tokens", 1).or(48),
        from_round,
        guard: view
            .word("guard", &[("none", Guard::None), ("dual-min-ce", Guard::DualMinCe)])
            .or(Guard::None),
        delivery: view
            .word("delivery", &[("resample", Delivery::Resample), ("send", Delivery::Send)])
            .or(Delivery::Resample),
        weight: view.number("weight", Bound::NonNegative).or(1.0),
        ce: view.number("ce", Bound::NonNegative).or(1.0),
    };
    view.finish();
    relay
}
