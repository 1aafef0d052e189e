//! What the benches of cotune measure on: models of the zoo with questions of the builtin corpus in their tokens, and models
//! of three sizes with random weights ([`sized`]).
//!
//! The benches themselves are in `benches/`, one file for each part of a run that takes time; kept results are in
//! `runs/`.

pub mod sized;

use std::path::PathBuf;
use std::sync::Arc;

use cotune_kernel::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Target};
use cotune_models::base::Base;
use cotune_models::batch::Sequence;
use cotune_models::corpus::{Amount, DomainsSpec, Example, Parts, domains};
use cotune_models::device::Compute;
use cotune_models::learner::{Learner, Trained};
use cotune_models::optimizer::AdamW;
use cotune_scenario::{Context, Document, Override};
use cotune_world::{Lab, Plan, Reach, Site};

/// Questions with answers, the same ones for every bench.
///
/// # Panics
/// The corpus cannot be drawn.
pub fn questions(n: usize) -> Vec<Example> {
    let none = Amount::Total(0);
    let parts = Parts { private: Amount::Total(n), public: none, validation: none, test: none };
    let spec = DomainsSpec { seed: 1, parts, overlap: 1.0, unseen_domains: Vec::new() };
    domains(&spec).expect("a corpus of this size can be drawn").private
}

/// The plan of `scenarios/million.toml` with fewer devices.
///
/// # Panics
/// The scenario is not there, or is not valid.
pub fn idle_fleet(devices: u64) -> Arc<Plan> {
    let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let text = std::fs::read_to_string(scenarios.join("million.toml")).expect("the scenario is shipped");
    let fewer = [
        ("fleet.devices", devices.to_string()),
        ("coordination.sync", "{ cohort = 10 }".to_owned()),
        ("simulation.actors", "\"all\"".to_owned()),
    ]
    .map(|(key, value)| Override::new(key, &value));
    let mut document = Document::parse("million.toml", &text, &|_| Err("it extends nothing".to_owned()))
        .expect("the scenario is TOML");
    document.set(&fewer).expect("the keys are there");
    let checked = document.check(&Context { zoo: &cotune_models::zoo::names() }).expect("it is valid");
    let (data_dir, cache_dir) = (scenarios.clone(), scenarios.clone());
    let site = Site { scenario_dir: scenarios, data_dir, cache_dir, reach: Reach::Anywhere };
    let lab = Lab::open(&checked.scenario, &site, &Compute::cpu(), &mut |_| {}).expect("there are no texts");
    Arc::new(Plan::draw(Arc::new(lab)).expect("it can be planned"))
}

/// A model of the zoo with a fresh adapter, and questions in its tokens.
pub struct Pupil {
    base: Base,
    layout: Layout,
    start: Trained,
    text: Vec<Sequence>,
}

impl Pupil {
    /// Loads `zoo:<name>` on the CPU; rank 8 on the maps of attention and MLP that it has, as in the quickstart.
    ///
    /// # Panics
    /// There is no such model.
    pub fn new(name: &str, questions: &[Example]) -> Self {
        let base = Base::zoo(name, &Compute::cpu()).expect("the zoo has it");
        let mut targets = vec![Target::Qkv, Target::O, Target::Up, Target::Down];
        if base.spec().family_name().starts_with("LLaMA") {
            targets.push(Target::Gate);
        }
        let lora = LoraSpec { rank: 8, alpha: 16.0, targets, modules_to_save: Vec::new() };
        let layout = Layout::lora(base.spec(), &lora);
        let values = layout.init(&mut Stream::keyed(1, "bench"), |tensor| base.host_values(tensor));
        let longest = base.spec().max_positions;
        let encode = |example: &Example| {
            Sequence::encode(base.tokenizer(), &example.prompt, example.answer(), longest).expect("it fits")
        };
        let text = questions.iter().map(encode).collect();
        Self { start: Trained { values, ..Trained::default() }, base, layout, text }
    }

    /// The model.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The questions in its tokens.
    pub fn text(&self) -> &[Sequence] {
        &self.text
    }

    /// Its adapter before training.
    pub fn adapter(&self) -> (&Layout, &[f32]) {
        (&self.layout, &self.start.values)
    }

    /// A learner on the fresh adapter.
    pub fn learner(&self) -> Learner<'_> {
        Learner::new(&self.base, &self.layout, &self.start, AdamW::default())
    }
}

/// Memory that this process holds now \[MiB\]; 0 where the system does not say.
pub fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
