//! `[method.fedavg]` and its family.

use super::optimizer::{betas, optimizer};
use super::read::{Models, aggregate, steps};
use super::{Aggregate, Optimizer, Seen, Steps, Table};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{Bound, View};
use crate::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Federated averaging: A̅ = Σ w A, B̅ = Σ w B; with what a device adds to its loss, and what the cloud makes of the mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FedAvg {
    /// What is averaged.
    pub on: Averaged,
    /// Steps of a device per round. Default: tune 40 (chosen: what co-plms does in all).
    pub device_steps: Steps,
    /// Passes of a device over its examples per round, instead of steps (`device_steps = { epochs = 1 }`): devices with more
    /// examples take more steps. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Weights of the mean. Default: weighted.
    pub aggregate: Aggregate,
    /// What keeps devices together while they train. Default: none.
    #[serde(default, skip_serializing_if = "Local::is_none")]
    pub local: Local,
    /// How the cloud steps along the mean change Δ; none: it takes the mean as it is. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerOptimizer>,
    /// FedNova (Wang et al. 2020): changes count per local step, so that devices that take more do not count more.
    /// Beside local.prox a step counts as at the optimizer's first rate, whatever its schedule. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nova: bool,
    /// How adapters of different ranks on one base become one, `on = "edge"`. Default: none, every model by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<Ranks>,
}

/// What federated averaging averages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Averaged {
    /// One shared model, by name, on every device.
    Proxy(String),
    /// The devices' own models, per architecture group.
    Edge,
}

impl Table for FedAvg {
    fn proxy_model(&self) -> Option<&str> {
        match &self.on {
            Averaged::Proxy(model) => Some(model),
            Averaged::Edge => None,
        }
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        match &self.on {
            Averaged::Proxy(proxy) => vec![proxy],
            Averaged::Edge => edge.to_vec(),
        }
    }

    fn aggregate(&self) -> Option<&Aggregate> {
        Some(&self.aggregate)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn device_steps_mut(&mut self) -> Option<&mut Steps> {
        Some(&mut self.device_steps)
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        vec![&mut self.device_steps]
    }

    fn seen(&self) -> [Seen; 2] {
        let private = self.epochs.is_some() || self.device_steps.tune > 0;
        [Seen { private, ..Seen::default() }, Seen::default()]
    }
}

/// What keeps the models of devices together while they train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Local {
    /// Nothing.
    #[default]
    None,
    /// FedProx (Li et al. 2020): (μ/2)‖θ − θ^t‖² beside the loss.
    Prox {
        /// μ. Default: 0.01.
        mu: f64,
    },
    /// SCAFFOLD (Karimireddy et al. 2020), option II: gradients are corrected by control variates.
    Scaffold,
}

impl Local {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How the cloud steps along the mean change Δ of a round (Reddi et al. 2021, arXiv 2003.00295).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerOptimizer {
    /// θ ← θ + ηΔ.
    Sgd {
        /// η. Default: 1.
        lr: f64,
    },
    /// FedAvgM (Hsu et al. 2019): m ← βm + Δ, θ ← θ + ηm.
    Momentum {
        /// η. Default: 1.
        lr: f64,
        /// β, in [0, 1). Default: 0.9.
        momentum: f64,
    },
    /// FedAdam.
    Adam(Adaptive),
    /// FedYogi.
    Yogi(Adaptive),
    /// FedAdagrad.
    Adagrad(Adaptive),
}

/// Settings of an adaptive server optimizer; the defaults are those of its paper.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Adaptive {
    /// η. Default: 1e-3.
    pub lr: f64,
    /// β1 and β2; Adagrad has no use for the second. Default: 0.9 and 0.99.
    pub betas: [f64; 2],
    /// τ, added to the root of the second moment, which starts at τ². Default: 1e-3.
    pub tau: f64,
}

/// How adapters of different ranks on one base become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ranks {
    /// Wang et al. 2024: updates are stacked and merged into the base, adapters begin anew in every round.
    FLoRA,
    /// Bai et al. 2024: the mean update is decomposed, every rank gets its largest singular values.
    FlexLoRA,
    /// Cho et al. 2024: padded with zeros, weighted by the norm of the update, truncated on the way down.
    HetLoRA,
}

impl Ranks {
    /// Its name in the scenario language.
    pub fn name(self) -> &'static str {
        match self {
            Self::FLoRA => "flora",
            Self::FlexLoRA => "flexlora",
            Self::HetLoRA => "hetlora",
        }
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<FedAvg> {
    #[derive(Clone, Copy, PartialEq)]
    enum On {
        Proxy,
        Edge,
    }
    const RANKS: &[(&str, Ranks)] =
        &[("flora", Ranks::FLoRA), ("flexlora", Ranks::FlexLoRA), ("hetlora", Ranks::HetLoRA)];
    let where_to = view.word("on", &[("proxy", On::Proxy), ("edge", On::Edge)]).required(view.problems);
    let on = match where_to {
        Some(On::Proxy) => models.named(&view, "proxy").map(Averaged::Proxy),
        Some(On::Edge) => Some(Averaged::Edge),
        None => {
            models.if_there(&view, "proxy");
            None
        }
    };
    let (device_steps, epochs) = steps_or_epochs(&view);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let aggregate = aggregate(&view);
    let local = local(&view, &optimizer);
    let server = view.choice("server", &words::SERVER).optional().map(server);
    let nova = view.boolean("nova").or(false);
    let ranks = view.word("ranks", RANKS).optional();
    if ranks.is_some() {
        alone(&view, where_to == Some(On::Proxy), local == Local::Scaffold, &aggregate);
    }
    view.finish();
    Some(FedAvg { on: on?, device_steps, epochs, batch, optimizer, aggregate, local, server, nova, ranks })
}

/// `device_steps = { tune = 40 }`, or `{ epochs = 1 }`.
fn steps_or_epochs(view: &View) -> (Steps, Option<u32>) {
    let default = Steps { tune: 40, mutual: 0 };
    let table = view.table_or_empty("device_steps");
    if !table.has("epochs") {
        return (steps(view, "device_steps", default, &["tune"]), None);
    }
    let epochs = table.count("epochs", 1).optional();
    let tune: Option<u32> = table.count("tune", 0).optional();
    if tune.is_some() {
        let message = format!("`{}` counts both steps and passes over the examples", table.path);
        let error = Diagnostic::new(codes::CONFLICT, message).label(table.key_place("epochs"), "passes");
        let error = error.label(table.key_place("tune"), "steps");
        view.problems.add(error.help("keep one of them"));
    }
    table.finish();
    (default, epochs)
}

fn local(view: &View, optimizer: &Optimizer) -> Local {
    let Some((name, table)) = view.choice("local", &words::LOCAL).optional() else { return Local::None };
    let local = match name {
        "prox" => Local::Prox { mu: table.number("mu", Bound::Positive).or(0.01) },
        "scaffold" => Local::Scaffold,
        _ => Local::None,
    };
    table.finish();
    let refusal = match optimizer {
        Optimizer::AdamW(_) => Some(("optimizer", "AdamW")),
        Optimizer::Sgd(sgd) if sgd.momentum > 0.0 => Some(("optimizer", "momentum")),
        Optimizer::Sgd(sgd) if sgd.weight_decay > 0.0 => Some(("optimizer", "weight decay")),
        Optimizer::Sgd(_) => None,
    };
    if let (Local::Scaffold, Some((key, what))) = (local, refusal) {
        let message =
            format!("`{}` corrects the gradients of plain descent, not those of {what}", view.full("local"));
        let at = view.key_place(key).or(view.place("local"));
        let error = Diagnostic::new(codes::CONFLICT, message).label(at, "not plain descent");
        let help = format!("write {} = {{ lr = 0.1 }}", view.full("optimizer.sgd"));
        view.problems.add(error.help(help));
    }
    local
}

fn server((name, view): (&str, View)) -> ServerOptimizer {
    let lr = |default| view.number("lr", Bound::Positive).or(default);
    let adaptive = |default: [f64; 2]| Adaptive {
        lr: lr(1e-3),
        betas: betas(&view, default),
        tau: view.number("tau", Bound::Positive).or(1e-3),
    };
    let server = match name {
        "sgd" => ServerOptimizer::Sgd { lr: lr(1.0) },
        "momentum" => ServerOptimizer::Momentum {
            lr: lr(1.0),
            momentum: view.number("momentum", Bound::BelowOne).or(0.9),
        },
        "adam" => ServerOptimizer::Adam(adaptive([0.9, 0.99])),
        "yogi" => ServerOptimizer::Yogi(adaptive([0.9, 0.99])),
        _ => ServerOptimizer::Adagrad(adaptive([0.9, 0.99])),
    };
    view.finish();
    server
}

/// What `ranks` decides by itself.
fn alone(view: &View, on_proxy: bool, scaffold: bool, aggregate: &Aggregate) {
    let refuse = |key: &str, message: String, help: &str| {
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place(key), "not both");
        view.problems.add(error.label(view.key_place("ranks"), "with this").help(help));
    };
    let ranks = view.full("ranks");
    if on_proxy {
        let message = format!("`{ranks}` is about devices whose adapters differ, and all tune one proxy");
        refuse("on", message, "write on = \"edge\", or leave `ranks` out");
    }
    for key in ["server", "nova"].into_iter().filter(|key| view.has(key)) {
        refuse(
            key,
            format!("`{ranks}` decides how updates become one, and so does `{key}`"),
            "keep one of them",
        );
    }
    if *aggregate != Aggregate::Weighted {
        let message = format!("`{ranks}` decides how updates become one, and so does `aggregate`");
        refuse("aggregate", message, "leave `aggregate` out");
    }
    if scaffold {
        let message = format!("`{ranks}` changes the values between rounds, which control variates remember");
        refuse("local", message, "write local.prox = {}, or leave `local` out");
    }
}
