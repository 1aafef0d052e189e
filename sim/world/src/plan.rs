//! The plan: the fleet drawn, the method made, and what every piece of work costs. Nothing is trained for it.

use crate::fairness::{self, Matched};
use crate::fault::Faults;
use crate::fleet::{Asked, Fleet, FleetError, Tied};
use crate::lab::{Intake, Lab, LabModel};
use crate::method::{self, Evaluated, EvaluationLoad, Load, Method, Refusal, TrainingLoad};
use crate::packing;
use crate::payload::{Content, Part, Payload};
use cotune_kernel::{Distribution, Stream};
use cotune_record::{Fleet as FleetTable, FleetRow};
use cotune_scenario::Scenario;
use cotune_scenario::coordination::Coordination;
use cotune_scenario::cost::Cost as CostModel;
use cotune_scenario::transfer::Encoding;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that is decided before the first event.
#[derive(Debug)]
pub struct Plan {
    lab: Arc<Lab>,
    method: Box<dyn Method>,
    fleet: Fleet,
    panel: Vec<u32>,
    /// What travels, by class, and from which round on; ascending, the first from the first round on.
    stretches: Vec<(u32, Vec<Travels>)>,
    faults: Faults,
    matched: Option<Matched>,
}

/// What travels for one device's round.
#[derive(Debug)]
struct Travels {
    /// Bytes down and up.
    traffic: Traffic,
    /// Those down by content.
    down: BTreeMap<Content, u64>,
    /// Those up by content.
    up: BTreeMap<Content, u64>,
    /// What an update looks like.
    update: Arc<Payload>,
}

/// Bytes of one device's round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Cloud to device \[B\].
    pub down: u64,
    /// Device to cloud \[B\].
    pub up: u64,
}

/// The price of work in time and operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Floating-point operations of the billed models \[FLOP\].
    pub flops: f64,
    /// Duration on the machine that does it \[s\].
    pub seconds: f64,
    /// Memory that must be there at once \[B\].
    pub memory_bytes: f64,
    /// Optimizer steps.
    pub steps: u32,
    /// Tokens trained on, by the mean length of an example.
    pub tokens: u64,
}

/// The speed of a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    flops_per_second: f64,
    bytes_per_second: f64,
}

impl Machine {
    /// One operation and one byte a second, where time does not matter.
    pub(crate) const UNIT: Self = Self { flops_per_second: 1.0, bytes_per_second: 1.0 };
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The fleet cannot be drawn.
    #[error("[fleet]: {0}")]
    Fleet(#[from] FleetError),
    /// The method cannot serve the scenario.
    #[error(transparent)]
    Method(#[from] Refusal),
    /// Nobody can be in time.
    #[error(
        "[coordination]: the deadline of {deadline_seconds} s is shorter than the fastest possible update: device {device} \
         needs {fastest_seconds:.1} s; write a longer one, or leave it out"
    )]
    Deadline {
        /// The deadline \[s\].
        deadline_seconds: f64,
        /// Least time from invitation to update \[s\].
        fastest_seconds: f64,
        /// Whose it is.
        device: u32,
    },
    /// The models of a round do not fit a class.
    #[error(
        "[{}{class}]: a round needs {needs:.2} GiB of memory, but it has {has:.2} GiB: give it more memory, a smaller model or fewer weights' bits in bill_as",
        if class == "cloud" { "" } else { "fleet.class." }
    )]
    Memory {
        /// The class, or `cloud`.
        class: String,
        /// What is needed \[GiB\].
        needs: f64,
        /// What is there \[GiB\].
        has: f64,
    },
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

impl Plan {
    /// Draws the fleet, makes the method and prices its work.
    ///
    /// # Errors
    /// The fleet cannot be drawn, the method refuses the scenario, or a model does not fit its class.
    pub fn draw(lab: Arc<Lab>) -> Result<Self, PlanError> {
        let (table, matched) = fairness::matched(&lab)?;
        let method = method::made(&lab, &table)?;
        Self::drawn(lab, method, matched)
    }

    /// The same with a method of the caller's own, for `[method.custom]`.
    ///
    /// # Errors
    /// As [`Plan::draw`]; or the scenario names another method.
    pub fn draw_with(lab: Arc<Lab>, method: Box<dyn Method>) -> Result<Self, PlanError> {
        Self::drawn(lab, method, None)
    }

    fn drawn(lab: Arc<Lab>, method: Box<dyn Method>, matched: Option<Matched>) -> Result<Self, PlanError> {
        method::suits(method.as_ref(), &lab)?;
        let scenario = lab.scenario();
        let fleet = Fleet::draw(scenario.seed, &scenario.fleet, &scenario.faults, lab.files())?;
        let travels = |round: u32| {
            let models = fleet.classes().iter().map(|class| &*class.model);
            (round, models.map(|model| Travels::of(&lab, method.as_ref(), model, round)).collect())
        };
        let stretches = turns(scenario).into_iter().map(travels).collect();
        let panel = panel(scenario);
        let faults = Faults::draw(scenario, &fleet);
        let plan = Self { lab, method, fleet, panel, stretches, faults, matched };
        plan.fits()?;
        plan.in_time()?;
        Ok(plan)
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        self.lab.scenario()
    }

    /// The method.
    pub fn method(&self) -> &dyn Method {
        self.method.as_ref()
    }

    /// How the method's steps were matched, where the scenario asks for it.
    pub fn matched(&self) -> Option<&Matched> {
        self.matched.as_ref()
    }

    /// The devices.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The devices whose models are scored, ascending; the same every time.
    pub fn panel(&self) -> &[u32] {
        &self.panel
    }

    /// Who is invited, and when there is a new model.
    pub fn coordination(&self) -> &Coordination {
        &self.scenario().coordination
    }

    /// What strikes everyone, and who alters updates.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// A payload of the shape of a device's update of a round; its values mean nothing.
    pub fn update_shape(&self, device: u32, round: u32) -> &Arc<Payload> {
        &self.travels(device, round).update
    }

    /// Bytes that a device moves in a round.
    pub fn traffic(&self, device: u32, round: u32) -> Traffic {
        if let Some(bytes) = self.scenario().cost.payload_bytes() {
            return Traffic { down: bytes, up: bytes };
        }
        self.travels(device, round).traffic
    }

    /// Whether other parts may travel in this round than in the one before.
    pub(crate) fn is_turn(&self, round: u32) -> bool {
        self.stretches.iter().any(|(from, _)| *from == round)
    }

    fn travels(&self, device: u32, round: u32) -> &Travels {
        let begun = self.stretches.partition_point(|(from, _)| *from <= round);
        &self.stretches[begun.saturating_sub(1)].1[usize::from(self.fleet.device(device).class_index)]
    }

    /// What a device's work of a round costs.
    pub fn device_cost(&self, device: u32, round: u32) -> Cost {
        self.device_cost_of(device, self.lab.count_of(device), round)
    }

    /// The same if the device had so many private examples.
    fn device_cost_of(&self, device: u32, examples: u32, round: u32) -> Cost {
        let view = self.fleet.device(device);
        let machine = Machine {
            flops_per_second: view.compute_flops_per_second,
            bytes_per_second: view.memory_bandwidth_bytes_per_second,
        };
        let load = self.method.device_load(&view.class.model, examples, round);
        let cost = price(&self.lab, &load, machine, examples.into());
        let samples = |load: &TrainingLoad| f64::from(load.batch) * f64::from(load.steps);
        match self.scenario().cost {
            CostModel::Roofline => cost,
            // FedScale, `fedscale/cloud/fllibs.py`: 3 · batch · steps · computation; forward and twice as much backward.
            CostModel::FedScale { .. } => {
                let samples: f64 = load.training.iter().map(samples).sum();
                Cost { seconds: 3.0 * samples * view.sample_seconds, ..cost }
            }
            // FederatedScope, `federatedscope/core/workers/base_client.py`: 3 · examples · computation.
            CostModel::FederatedScope { .. } => {
                let samples = f64::from(examples);
                Cost { seconds: 3.0 * samples * view.sample_seconds, ..cost }
            }
        }
    }

    /// What the cloud's work of a round costs.
    pub fn cloud_cost(&self, round: u32) -> Cost {
        let cloud = &self.scenario().cloud;
        let machine = Machine {
            flops_per_second: cloud.compute_flops_per_second,
            bytes_per_second: cloud.memory_bandwidth_bytes_per_second,
        };
        let cost = price(&self.lab, &self.method.cloud_load(round), machine, self.lab.public().len() as u64);
        // The formulas of other simulators know no work of the cloud.
        if self.scenario().cost.is_roofline() { cost } else { Cost { seconds: 0.0, ..cost } }
    }

    /// Share of the budget that is behind a run when a round opens.
    pub fn progress(&self, round: u32, seconds: f64) -> f64 {
        let budget = &self.scenario().budget;
        match (budget.rounds, budget.virtual_seconds) {
            (Some(rounds), _) => f64::from(round - 1) / rounds as f64,
            (None, Some(limit)) => seconds / limit,
            (None, None) => 0.0,
        }
    }

    /// Refuses models that do not fit; the last round has every part of the work.
    fn fits(&self) -> Result<(), PlanError> {
        let last = u32::MAX;
        for class in self.fleet.classes() {
            let Some(device) = self.fleet.iter().find(|view| *view.class.name == *class.name) else {
                continue;
            };
            let needs = self.device_cost(device.device, last).memory_bytes;
            if needs > class.memory.as_f64() {
                let (class, has) = (class.name.to_string(), class.memory.as_f64() / GIB);
                return Err(PlanError::Memory { class, needs: needs / GIB, has });
            }
        }
        let (needs, has) = (self.cloud_cost(last).memory_bytes, self.scenario().cloud.memory_bytes as f64);
        if needs > has {
            return Err(PlanError::Memory { class: "cloud".to_string(), needs: needs / GIB, has: has / GIB });
        }
        Ok(())
    }

    /// Refuses a deadline that the fastest device cannot meet even in luck: with transfers as fast as one in 30,000 is.
    fn in_time(&self) -> Result<(), PlanError> {
        let Some(deadline_seconds) = self.coordination().deadline_seconds() else { return Ok(()) };
        let roofline = self.scenario().cost.is_roofline();
        let fastest = self.fleet.iter().map(|view| {
            let luck = match Distribution::lognormal_mean_cv(1.0, view.class.noise_cv) {
                Ok(noise) if roofline => noise.at_score(4.0).max(1.0),
                _ => 1.0,
            };
            let traffic = self.traffic(view.device, 1);
            let handshakes = if roofline { 3.0 * view.rtt_seconds } else { 0.0 };
            let transfers = traffic.down as f64 / view.down_bytes_per_second
                + traffic.up as f64 / view.up_bytes_per_second;
            (handshakes + transfers / luck + self.device_cost(view.device, 1).seconds, view.device)
        });
        let Some((fastest_seconds, device)) = fastest.min_by(|a, b| a.0.total_cmp(&b.0)) else {
            return Ok(());
        };
        if fastest_seconds <= deadline_seconds {
            return Ok(());
        }
        Err(PlanError::Deadline { deadline_seconds, fastest_seconds, device })
    }

    /// The fleet as a table for the record.
    pub fn record_fleet(&self) -> FleetTable {
        let mut domains = self.lab.domains().to_vec();
        if !self.lab.has_texts() {
            domains.push("any".to_owned());
        }
        let rows = self.fleet.iter().map(|view| {
            let mut examples = vec![0; domains.len()];
            if !self.lab.has_texts() {
                examples[0] = self.lab.count_of(view.device);
            }
            for index in self.lab.examples_of(view.device) {
                examples[self.lab.private()[*index as usize].domain as usize] += 1;
            }
            FleetRow {
                device: view.device,
                class: view.class.name.clone(),
                model: view.class.model.clone(),
                compute_flops: view.compute_flops_per_second,
                memory_bytes: view.memory.0,
                down_bps: 8.0 * view.down_bytes_per_second,
                up_bps: 8.0 * view.up_bytes_per_second,
                rtt_s: view.rtt_seconds,
                examples,
            }
        });
        FleetTable { devices: rows.collect(), domains }
    }

    /// What to read before trusting the results: where `bill_as` turns the models' sizes around, or changes their ratio
    /// more than twofold. What is learned is then the learning of other proportions than those that are paid for.
    pub fn warnings(&self) -> Vec<String> {
        let models: Vec<&LabModel> = self.lab.models().collect();
        let mut warnings = Vec::new();
        for (index, one) in models.iter().enumerate() {
            for other in &models[index + 1..] {
                let trained = |model: &LabModel| model.base.spec().parameters() as f64;
                let trains = trained(one) / trained(other);
                let bills = one.shape.parameters / other.shape.parameters;
                let (one, other) = (&one.name, &other.name);
                if (trains - 1.0) * (bills - 1.0) < 0.0 {
                    let (larger, smaller) = if trains > 1.0 { (one, other) } else { (other, one) };
                    warnings.push(format!(
                        "bill_as turns sizes around: `{larger}` trains larger than `{smaller}` and is billed smaller"
                    ));
                } else if !(0.5..=2.0).contains(&(bills / trains)) {
                    warnings.push(format!(
                        "bill_as changes proportions: `{one}` trains {trains:.2} times as large as `{other}` and is billed \
                         {bills:.2} times as large"
                    ));
                }
            }
        }
        warnings
    }

    /// Every model in words.
    pub fn model_lines(&self) -> Vec<ModelLine> {
        self.lab.models().map(ModelLine::of).collect()
    }

    /// What `cotune plan` shows.
    pub fn overview(&self) -> Overview {
        let scenario = self.scenario();
        let rounds = scenario.budget.rounds;
        let classes = self.fleet.classes().iter().enumerate().filter_map(|(index, class)| {
            let device = self.fleet.iter().find(|view| view.class_index as usize == index)?.device;
            let (traffic, travels) = (self.traffic(device, u32::MAX), self.travels(device, u32::MAX));
            Some(ClassOverview {
                class: class.name.to_string(),
                model: class.model.to_string(),
                devices: class.devices,
                down_bytes: traffic.down,
                up_bytes: traffic.up,
                down: travels.down.clone(),
                up: travels.up.clone(),
                memory_bytes: self.device_cost(device, u32::MAX).memory_bytes,
                has_memory_bytes: class.memory.0,
                train_seconds: self.device_cost(device, u32::MAX).seconds,
                share_online: class.availability.share_online(),
            })
        });
        let domains = self.lab.domains().iter().enumerate().map(|(index, name)| {
            let of = |examples: &[cotune_models::corpus::Example]| {
                examples.iter().filter(|e| e.domain as usize == index).count()
            };
            let three = self.lab.private().iter().filter(|e| e.domain as usize == index).take(3);
            DomainOverview {
                domain: name.clone(),
                private: of(self.lab.private()),
                public: of(self.lab.public()),
                held_out: of(self.lab.held_out()),
                examples: three.map(|e| (e.prompt.clone(), e.answer().to_string())).collect(),
            }
        });
        Overview {
            name: scenario.name.clone(),
            seed: scenario.seed,
            method: self.method.name().to_string(),
            citation: self.method.citation().to_string(),
            models: self.model_lines(),
            classes: classes.collect(),
            drawn: self.fleet.asked_against_drawn(),
            correlations: self.fleet.correlations(),
            domains: domains.collect(),
            intake: self.lab.intake().clone(),
            split: match self.lab.has_texts() {
                true => (0..self.fleet.devices()).map(|device| self.lab.shares_of(device).to_vec()).collect(),
                false => Vec::new(),
            },
            examples: (0..self.fleet.devices()).map(|device| u64::from(self.lab.count_of(device))).sum(),
            invited: self.coordination().invited(u64::from(self.fleet.devices())),
            updates_per_round: self.coordination().updates_per_round(u64::from(self.fleet.devices())),
            cloud_seconds: self.cloud_cost(u32::MAX).seconds,
            rounds,
            trained_tokens: self.trained_tokens(),
            matched: self.matched,
            warnings: self.warnings(),
        }
    }

    /// Tokens that the whole run trains on if nothing goes wrong; what the real duration grows with.
    fn trained_tokens(&self) -> Option<u64> {
        let rounds = u32::try_from(self.scenario().budget.rounds?).ok()?;
        let devices = u64::from(self.fleet.devices());
        // Devices of one class train on equally many tokens, or on as many as their examples: counted for the mean.
        let mut classes: Vec<(u32, u64, u64)> = vec![(0, 0, 0); self.fleet.classes().len()];
        for view in self.fleet.iter() {
            let (first, count, examples) = &mut classes[usize::from(view.class_index)];
            *first = if *count == 0 { view.device } else { *first };
            (*count, *examples) = (*count + 1, *examples + u64::from(self.lab.count_of(view.device)));
        }
        classes.retain(|(_, count, _)| *count > 0);
        let mean = |round: u32| {
            let tokens = |(device, count, examples): &(u32, u64, u64)| {
                count * self.device_cost_of(*device, (examples / count) as u32, round).tokens
            };
            classes.iter().map(tokens).sum::<u64>() / devices.max(1)
        };
        let cohort = self.coordination().updates_per_round(devices);
        Some((1..=rounds).map(|round| cohort * mean(round) + self.cloud_cost(round).tokens).sum())
    }
}

impl Travels {
    fn of(lab: &Lab, method: &dyn Method, model: &str, round: u32) -> Self {
        let transfer = &lab.scenario().transfer;
        let update = method.uplink(lab, model, round);
        let down = bytes(lab, &method.downlink(lab, model, round), &transfer.down);
        let up = bytes(lab, &update, &transfer.up);
        let traffic = Traffic { down: down.values().sum(), up: up.values().sum() };
        Self { traffic, down, up, update: Arc::new(update) }
    }
}

/// The rounds from which on other parts may travel than before: the first, and where a relay set starts.
fn turns(scenario: &Scenario) -> BTreeSet<u32> {
    let starts = scenario.method.relay().map(|relay| relay.from_round);
    let starts = starts.into_iter().flat_map(|from| [from.device, from.cloud]);
    starts.chain([1]).collect()
}

/// Bytes that are charged for a payload, by content: the billed shape's for a billed model's values, else the encoded
/// size.
fn bytes(lab: &Lab, payload: &Payload, encoding: &Encoding) -> BTreeMap<Content, u64> {
    let billed = |part: &Part| match part {
        Part::Adapter { model, .. } | Part::Packed { model, .. } => {
            Some(packing::packed_bytes(encoding, lab.model(model).billed_adapter_values?))
        }
        Part::Control { model, .. } => {
            Some(packing::packed_bytes(&Encoding::None, lab.model(model).billed_adapter_values?))
        }
        Part::Merged { model, .. } => {
            Some(packing::packed_bytes(&Encoding::None, lab.model(model).billed_map_values?))
        }
        _ => None,
    };
    let mut bytes: BTreeMap<Content, u64> = BTreeMap::new();
    let mut rest = Payload::default();
    for part in &payload.parts {
        match billed(part) {
            Some(charged) => *bytes.entry(part.content()).or_default() += charged as u64,
            None => rest.parts.push(part.clone()),
        }
    }
    // The size of an encoding does not depend on the values.
    let rest = packing::packed(encoding, &rest, |model| packing::fresh(lab, model));
    let (whole, mut inside) = (rest.encoded_bytes(), 0);
    for (content, counted) in rest.bytes_by_content() {
        *bytes.entry(content).or_default() += counted;
        inside += counted;
    }
    bytes.insert(Content::Frame, whole - inside);
    bytes
}

/// Roofline: the longer of computing and moving weights. A training step moves the weights three times, a
/// generated token of a batch once, an evaluation of all `examples` once.
pub(crate) fn price(lab: &Lab, load: &Load, machine: Machine, examples: u64) -> Cost {
    let mut cost = Cost::default();
    let time =
        |flops: f64, bytes: f64| (flops / machine.flops_per_second).max(bytes / machine.bytes_per_second);
    for training in load.training.iter().filter(|training| training.steps > 0) {
        let model = lab.model(&training.model);
        let tokens = f64::from(training.batch) * model.mean_tokens;
        let steps = f64::from(training.steps);
        let flops = steps * model.shape.training_flops(tokens, model.mean_tokens);
        cost.flops += flops;
        cost.seconds += time(flops, steps * 3.0 * model.shape.weight_bytes());
        cost.steps += training.steps;
        cost.tokens += (steps * tokens) as u64;
    }
    for generation in &load.generation {
        let model = lab.model(&generation.model);
        let (sequences, tokens) = (f64::from(generation.sequences), f64::from(generation.tokens));
        let flops = model.shape.forward_flops(sequences * tokens, model.mean_tokens);
        cost.flops += flops;
        cost.seconds += time(flops, tokens * model.shape.weight_bytes());
    }
    for EvaluationLoad { model, on } in &load.evaluation {
        let model = lab.model(model);
        let examples = match on {
            Evaluated::Share(share) => (share * examples as f64).ceil(),
            Evaluated::Public => lab.public().len() as f64,
            Evaluated::Made(examples) => f64::from(*examples),
        };
        let tokens = examples * model.mean_tokens;
        let flops = model.shape.forward_flops(tokens, model.mean_tokens);
        cost.flops += flops;
        cost.seconds += time(flops, if tokens > 0.0 { model.shape.weight_bytes() } else { 0.0 });
    }
    let mut models: Vec<(&str, f64)> = Vec::new();
    for training in &load.training {
        let model: &LabModel = lab.model(&training.model);
        let bytes = model.shape.training_memory_bytes(f64::from(training.batch) * model.mean_tokens);
        match models.iter_mut().find(|(name, _)| *name == training.model) {
            Some((_, most)) => *most = most.max(bytes),
            None => models.push((&training.model, bytes)),
        }
    }
    cost.memory_bytes = models.iter().map(|(_, bytes)| bytes).sum();
    cost
}

/// The devices that are scored.
fn panel(scenario: &Scenario) -> Vec<u32> {
    let mut stream = Stream::keyed(scenario.seed, "evaluation/panel");
    let size = scenario.evaluation.panel.min(scenario.fleet.devices) as usize;
    let mut panel: Vec<u32> =
        stream.sample_indices(scenario.fleet.devices, size).into_iter().map(|i| i as u32).collect();
    panel.sort_unstable();
    panel
}

/// The plan in numbers and words.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// Name of the scenario.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Name of the method.
    pub method: String,
    /// Where the method is from.
    pub citation: String,
    /// Every model.
    pub models: Vec<ModelLine>,
    /// Every class of devices; costs are those of its first device in a round with everything on.
    pub classes: Vec<ClassOverview>,
    /// What was asked of the fleet against what was drawn.
    pub drawn: Vec<Asked>,
    /// The same of the correlation of up- and downlink.
    pub correlations: Vec<Tied>,
    /// Every domain of the corpus.
    pub domains: Vec<DomainOverview>,
    /// What became of the data on its way into the models.
    pub intake: Intake,
    /// Share of every domain in each device's private examples.
    pub split: Vec<Vec<f64>>,
    /// Private examples of all devices.
    pub examples: u64,
    /// Devices at work at the same time.
    pub invited: u64,
    /// Devices that work for one aggregate: fewer than are at work where these do not wait for each other.
    pub updates_per_round: u64,
    /// Duration of the cloud's work in a round with everything on \[s\].
    pub cloud_seconds: f64,
    /// Rounds of the budget.
    pub rounds: Option<u64>,
    /// Tokens the whole run trains on, where the budget counts rounds.
    pub trained_tokens: Option<u64>,
    /// How a device's steps were matched, where the scenario asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Matched>,
    /// What to read before trusting the results.
    pub warnings: Vec<String>,
}

/// One model in the overview.
#[derive(Clone, Debug, Serialize)]
pub struct ModelLine {
    /// Its key in `[models]`.
    pub name: String,
    /// What really trains.
    pub trained_as: String,
    /// What is billed.
    pub billed_as: String,
    /// Trained values of the adapter.
    pub adapter_values: usize,
    /// Mean tokens of an example.
    pub mean_tokens: f64,
}

impl ModelLine {
    fn of(model: &LabModel) -> Self {
        Self {
            name: model.name.clone(),
            trained_as: model.trained_as(),
            billed_as: model.billed_as(),
            adapter_values: model.layout.total(),
            mean_tokens: model.mean_tokens,
        }
    }
}

/// One class in the overview.
#[derive(Clone, Debug, Serialize)]
pub struct ClassOverview {
    /// Its name.
    pub class: String,
    /// The model it runs.
    pub model: String,
    /// How many devices.
    pub devices: u32,
    /// Bytes down of a round with everything on \[B\].
    pub down_bytes: u64,
    /// Bytes up of such a round \[B\].
    pub up_bytes: u64,
    /// What is in a payload down, by content \[B\]; adds up to the former, where the cost model does not have a size of its
    /// own for all payloads.
    pub down: BTreeMap<Content, u64>,
    /// What is in one up.
    pub up: BTreeMap<Content, u64>,
    /// Memory a round needs \[B\].
    pub memory_bytes: f64,
    /// Memory there is \[B\].
    pub has_memory_bytes: u64,
    /// Duration of the work of a round \[s\].
    pub train_seconds: f64,
    /// Long-run share of time online.
    pub share_online: f64,
}

/// One domain in the overview.
#[derive(Clone, Debug, Serialize)]
pub struct DomainOverview {
    /// Its name.
    pub domain: String,
    /// Private examples.
    pub private: usize,
    /// Public examples.
    pub public: usize,
    /// Examples that models are scored on.
    pub held_out: usize,
    /// Three prompts with their answers.
    pub examples: Vec<(String, String)>,
}
