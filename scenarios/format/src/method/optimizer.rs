//! `optimizer`: AdamW, or gradient descent with momentum.

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use crate::reader::{self, Bound, Shape, View};
use crate::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// AdamW (Loshchilov & Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW(AdamW),
    /// Gradient descent with momentum, as `torch.optim.SGD`.
    Sgd(Sgd),
}

/// AdamW; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdamW {
    /// Learning rate on devices. Default: 1e-2.
    pub lr: f64,
    /// Learning rate at the cloud. Default: 5e-3.
    pub cloud_lr: f64,
    /// Decoupled weight decay. Default: 0.01 (PyTorch).
    pub weight_decay: f64,
    /// Largest gradient norm; none: no clipping (`"off"`). Default: 1.
    pub clip: Option<f64>,
    /// The learning rate over the rounds. Default: cosine.
    pub schedule: Schedule,
    /// Final learning rate as a fraction of the first, in [0, 1]. Default: 0.15.
    pub floor: f64,
    /// Decay of the first and second moments, β1 and β2. Default: 0.9 and 0.999 (PyTorch).
    pub betas: [f64; 2],
    /// Added to the root of the second moment. Default: 1e-8 (PyTorch).
    pub eps: f64,
    /// The first steps, over which the rate rises in a line to what the schedule says. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// Examples whose gradient is computed at once: a step sums over its micro-batches, in their order, each with its
    /// share of the mean; idle cores take some of them. A mutual step keeps all of them until both models know what they
    /// learn. Default: all of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
}

/// Gradient descent with momentum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sgd {
    /// Learning rate on devices. Default: 1 (chosen: on the quickstart it comes near AdamW's).
    pub lr: f64,
    /// Learning rate at the cloud. Default: 0.5 (chosen: half of the devices', as with AdamW).
    pub cloud_lr: f64,
    /// What is kept of the direction before, in [0, 1). Default: 0 (PyTorch).
    pub momentum: f64,
    /// Weight decay, part of the gradient. Default: 0 (PyTorch).
    pub weight_decay: f64,
    /// Largest gradient norm; none: no clipping (`"off"`). Default: 1.
    pub clip: Option<f64>,
    /// The learning rate over the rounds. Default: cosine.
    pub schedule: Schedule,
    /// Final learning rate as a fraction of the first, in [0, 1]. Default: 0.15.
    pub floor: f64,
    /// The first steps, over which the rate rises in a line to what the schedule says. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// Examples whose gradient is computed at once, as with AdamW. Default: all of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
}

/// What every optimizer says of the learning rate and of the gradient of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// Learning rate on devices.
    pub lr: f64,
    /// Learning rate at the cloud.
    pub cloud_lr: f64,
    /// The learning rate over the rounds.
    pub schedule: Schedule,
    /// Final learning rate as a fraction of the first.
    pub floor: f64,
    /// The first steps.
    pub warm_up: Option<WarmUp>,
    /// Examples whose gradient is computed at once.
    pub micro_batch: Option<u32>,
}

/// The first steps of a party.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUp {
    /// So many steps, counted as if the party took part in every round.
    Steps(u32),
    /// This fraction of the steps of all rounds of the budget, in (0, 1).
    Fraction(f64),
}

/// The learning rate over the budget's rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine from the first rate to the floor.
    Cosine,
    /// A line from the first rate to the floor.
    Linear,
    /// The first rate throughout.
    Constant,
}

impl Optimizer {
    /// Its name in the scenario language.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AdamW(_) => "adamw",
            Self::Sgd(_) => "sgd",
        }
    }

    /// What it says of learning rate and gradient, whichever it is.
    pub fn course(&self) -> Course {
        match *self {
            Self::AdamW(AdamW { lr, cloud_lr, schedule, floor, warm_up, micro_batch, .. })
            | Self::Sgd(Sgd { lr, cloud_lr, schedule, floor, warm_up, micro_batch, .. }) => {
                Course { lr, cloud_lr, schedule, floor, warm_up, micro_batch }
            }
        }
    }
}

/// The key `optimizer` of a method's table.
pub(super) fn optimizer(view: &View) -> Optimizer {
    let adamw = AdamW {
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
    match view.choice("optimizer", &words::OPTIMIZER).optional() {
        None => Optimizer::AdamW(adamw),
        Some(("sgd", view)) => Optimizer::Sgd(sgd(view)),
        Some((_, view)) => Optimizer::AdamW(read_adamw(view, adamw)),
    }
}

fn read_adamw(view: View, default: AdamW) -> AdamW {
    let Course { lr, cloud_lr, schedule, floor, warm_up, micro_batch } =
        course(&view, Optimizer::AdamW(default.clone()).course());
    let weight_decay = view.number("weight_decay", Bound::NonNegative).or(default.weight_decay);
    let clip = clip(&view).unwrap_or(default.clip);
    let betas = betas(&view, default.betas);
    let eps = view.number("eps", Bound::Positive).or(default.eps);
    view.finish();
    AdamW { lr, cloud_lr, weight_decay, clip, schedule, floor, betas, eps, warm_up, micro_batch }
}

fn sgd(view: View) -> Sgd {
    let default = Course {
        lr: 1.0,
        cloud_lr: 0.5,
        schedule: Schedule::Cosine,
        floor: 0.15,
        warm_up: None,
        micro_batch: None,
    };
    let Course { lr, cloud_lr, schedule, floor, warm_up, micro_batch } = course(&view, default);
    let momentum = view.number("momentum", Bound::BelowOne).or(0.0);
    let weight_decay = view.number("weight_decay", Bound::NonNegative).or(0.0);
    let clip = clip(&view).unwrap_or(Some(1.0));
    view.finish();
    Sgd { lr, cloud_lr, momentum, weight_decay, clip, schedule, floor, warm_up, micro_batch }
}

fn course(view: &View, default: Course) -> Course {
    const SCHEDULES: &[(&str, Schedule)] =
        &[("cosine", Schedule::Cosine), ("linear", Schedule::Linear), ("constant", Schedule::Constant)];
    let warm_up = |node: &Node, path: &str| {
        let read = match node.value {
            Value::Integer(_) => reader::whole(node, path, 1).map(WarmUp::Steps),
            _ => reader::number(node, path, Bound::BelowOne).map(WarmUp::Fraction),
        };
        let help = "write a whole number of steps, or a fraction of all steps below 1";
        read.map_err(|error| view.problems.add(error.help(help))).ok()
    };
    Course {
        lr: view.number("lr", Bound::Positive).or(default.lr),
        cloud_lr: view.number("cloud_lr", Bound::Positive).or(default.cloud_lr),
        schedule: view.word("schedule", SCHEDULES).or(default.schedule),
        floor: view.number("floor", Bound::Fraction).or(default.floor),
        warm_up: view
            .part(
                "warm_up",
                "100",
                || Shape::AnyOf(vec![Shape::Whole { least: 1 }, Shape::Number(Bound::BelowOne)]),
                warm_up,
            )
            .optional(),
        micro_batch: view.count("micro_batch", 1).optional(),
    }
}

/// The largest gradient norm, none for `"off"`; none at all if it is not written.
fn clip(view: &View) -> Option<Option<f64>> {
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
    view.part(
        "clip",
        "1.0",
        || Shape::AnyOf(vec![Shape::Number(Bound::Positive), Shape::Word(vec!["off"])]),
        clip,
    )
    .optional()
}

/// β1 and β2, as `betas` or one by one.
pub(super) fn betas(view: &View, default: [f64; 2]) -> [f64; 2] {
    let mut betas = default;
    let beta = |node: &_, path: &str| reader::number(node, path, Bound::BelowOne);
    if let Some(written) =
        view.list("betas", "[0.9, 0.999]", || Shape::Number(Bound::BelowOne), beta).optional()
    {
        match <[f64; 2]>::try_from(written) {
            Ok(written) => betas = written,
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
    for (beta, key) in betas.iter_mut().zip(["beta1", "beta2"]) {
        if view.has(key) && view.has("betas") {
            let message = format!("`{}.{key}` says again what `betas` says", view.path);
            let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place(key), "once more");
            view.problems.add(error.label(view.key_place("betas"), "both").help("keep one of them"));
        }
        *beta = view.number(key, Bound::BelowOne).or(*beta);
    }
    betas
}
