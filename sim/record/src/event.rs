//! What can happen in a run. The event stream is the only source of truth: tables, summary and report are
//! derived from it, and its digest is what two runs are compared by.
//!
//! # Rules the simulation keeps
//!
//! 1. Events are recorded in the order of their keys `(time_ns, class, source, seq)`.
//! 2. A `…Started` is followed by exactly one `…Finished` of the same round and device, also when it was cut
//!    short: `complete` says which, and bytes, seconds and joules are what was really spent. So the sum over
//!    all `…Finished` is the total, and bytes sent = bytes received + bytes lost.
//! 3. Every invited device ends in exactly one outcome per round: [`EventKind::UpdateAccepted`] or
//!    [`EventKind::NotContributed`]. It may come after the round closed (a late update).
//!    Rounds of buffered coordination overlap: a device's outcome belongs to the round whose model it was sent, also
//!    when its update is part of a later aggregate.
//! 4. Round numbers start at 1 and are never reused: a void round that is retried is a new round. Round 0 is
//!    the state before training; its [`EventKind::Evaluated`] events are the summary's `start`.
//! 5. Joules on devices are marginal (above idle). Idle energy is one total in [`EventKind::RunEnded`].

use cotune_kernel::queue::EventKey;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::real;

pub use crate::names::{EndReason, FaultKind, Reason, Scope};

/// One thing that happened, with the key that orders it among all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Virtual time \[ns\] since the run began.
    pub time_ns: u64,
    /// Priority class of the kernel's queue: at one instant lower classes come first.
    pub class: u8,
    /// Who recorded it: the kernel's source key (scheduler, cloud or a device).
    pub source: u64,
    /// Position among the events of one source.
    pub seq: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. Externally tagged in JSON: `{"round-closed": {"round": 3, …}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum EventKind {
    /// The first event of every run.
    RunStarted {
        /// BLAKE3 of the resolved scenario.
        scenario_digest: Digest,
        /// Seed of every random stream.
        seed: u64,
        /// Devices in the fleet.
        devices: u32,
        /// Name of the method, as in the scenario (`co-plms`, `fedavg`, …).
        method: String,
        /// What energy is counted beyond the devices' own, where the scenario says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        footprint: Option<Footprint>,
    },
    /// A round began: these devices were asked to take part.
    RoundOpened {
        /// Round number, from 1.
        round: u32,
        /// Invited devices, ascending.
        invited: Vec<u32>,
    },
    /// A device was asked to take part in a round that is open: buffered coordination fills places as they get free.
    Invited {
        /// Round number.
        round: u32,
        /// The device; at most once in a round.
        device: u32,
    },
    /// A device began to receive the round's payload.
    DownloadStarted {
        /// Round number.
        round: u32,
        /// Receiving device.
        device: u32,
        /// Size of the payload \[B\].
        bytes: u64,
    },
    /// A download ended, whole or cut.
    DownloadFinished {
        /// Round number.
        round: u32,
        /// Receiving device.
        device: u32,
        /// Bytes that crossed the wire \[B\].
        bytes: u64,
        /// Time from start to end \[s\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        seconds: f64,
        /// Marginal energy of the device's radio \[J\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        joules: f64,
        /// Whether the whole payload arrived.
        complete: bool,
    },
    /// A device began its local work: training, and generation or evaluation billed with it.
    TrainingStarted {
        /// Round number.
        round: u32,
        /// Training device.
        device: u32,
        /// Work to be done \[FLOP\], of the model that is billed.
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        flops: f64,
        /// Planned duration \[s\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        seconds: f64,
    },
    /// Local work ended, whole or cut.
    TrainingFinished {
        /// Round number.
        round: u32,
        /// Training device.
        device: u32,
        /// Optimizer steps done.
        steps: u32,
        /// Tokens trained on.
        tokens: u64,
        /// Time from start to end \[s\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        seconds: f64,
        /// Marginal energy of the device \[J\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        joules: f64,
        /// Whether all steps were done.
        complete: bool,
        /// Mean training loss \[nat/token\]; learning, so absent in the schedule form and without training.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "real::option")]
        #[schemars(with = "Option<real::Real>")]
        loss: Option<f64>,
        /// BLAKE3 of the update's weights; learning, so absent in the schedule form and without training.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        update: Option<Digest>,
    },
    /// A device began to send its update.
    UploadStarted {
        /// Round number.
        round: u32,
        /// Sending device.
        device: u32,
        /// Size of the payload \[B\].
        bytes: u64,
    },
    /// An upload ended, whole or cut.
    UploadFinished {
        /// Round number.
        round: u32,
        /// Sending device.
        device: u32,
        /// Bytes that crossed the wire \[B\].
        bytes: u64,
        /// Time from start to end \[s\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        seconds: f64,
        /// Marginal energy of the device's radio \[J\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        joules: f64,
        /// Whether the whole payload arrived.
        complete: bool,
    },
    /// Outcome: the device's update is part of an aggregate; of none if that round turns out void.
    UpdateAccepted {
        /// Round number.
        round: u32,
        /// Contributing device.
        device: u32,
        /// Weight in the aggregate \[examples\], after any discount for staleness.
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        weight: f64,
        /// Aggregates made between the model that the device was sent and the one its update is part of.
        #[serde(default, skip_serializing_if = "is_fresh")]
        staleness: u32,
        /// The round whose aggregate it is part of, where that is a later one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aggregate: Option<u32>,
    },
    /// Outcome: the device was invited and contributed nothing.
    NotContributed {
        /// Round number.
        round: u32,
        /// The device.
        device: u32,
        /// Why.
        reason: Reason,
        /// Bytes this device moved in this round, both ways, for nothing \[B\].
        wasted_bytes: u64,
        /// Marginal energy this device spent in this round for nothing \[J\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        wasted_joules: f64,
    },
    /// The cloud began its own training of the round.
    CloudTraining {
        /// Round number.
        round: u32,
        /// Planned duration \[s\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        seconds: f64,
        /// Work to be done \[FLOP\], of the models that are billed.
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        flops: f64,
    },
    /// The cloud finished its training of the round.
    CloudTrained {
        /// Round number.
        round: u32,
        /// Optimizer steps done.
        steps: u32,
        /// Tokens trained on.
        tokens: u64,
        /// Price of the cloud's compute for this training \[USD\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        cost_usd: f64,
        /// Mean training loss per model; learning, so empty in the schedule form and without training.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        losses: Vec<Loss>,
        /// BLAKE3 of the cloud's trainable state; learning, so absent in the schedule form.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Digest>,
    },
    /// A relay set was generated.
    RelayMade {
        /// Round number.
        round: u32,
        /// Where: a device, or absent for the cloud.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<u32>,
        /// Prompts sampled.
        prompts: u32,
        /// Prompts that survived the filters; learning, so absent in the schedule form and without training.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<u32>,
    },
    /// A round ended, aggregate made or void.
    RoundClosed {
        /// Round number.
        round: u32,
        /// Updates in the aggregate.
        accepted: u32,
        /// Devices invited.
        invited: u32,
        /// Whether no aggregate was made: of too few updates, or because the cloud stopped.
        void: bool,
        /// Time since the round opened \[s\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        duration_s: f64,
    },
    /// A model was scored.
    Evaluated {
        /// Rounds done; 0 before training.
        round: u32,
        /// Which model on which data.
        scope: Scope,
        /// The device whose model it is; absent for cloud, proxy and relay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<u32>,
        /// `rouge-l` and `exact-match` in 0-100, `loss` \[nat/token\], `exposure` \[bit\], `membership-auc` in 0-1.
        metric: String,
        /// The domain scored; absent for the whole mix of the scope.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        domain: Option<String>,
        /// The score; learning, so absent in the schedule form and without training.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "real::option")]
        #[schemars(with = "Option<real::Real>")]
        value: Option<f64>,
        /// What the score counts for in a mean over devices of one domain: the device's private share or
        /// number of examples of that domain. Whole-mix scores of devices are averaged unweighted.
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        weight: f64,
    },
    /// A fault of the scenario struck, or a job panicked.
    Fault {
        /// What kind.
        kind: FaultKind,
        /// The device it struck; absent for the cloud or a whole class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<u32>,
        /// What a person should know about it.
        detail: String,
    },
    /// Read this before trusting the result. Only for what the simulated world caused: words about the machine
    /// belong into the manifest.
    Warning {
        /// One sentence.
        text: String,
        /// Whether only learned values caused it (a diverged loss). Such a warning has no schedule form, and
        /// repeats the key of the event that caused it, so that no later `seq` depends on learning.
        learned: bool,
        /// Optimizer steps it is about: skipped, for their loss or gradient was not finite.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped: u64,
    },
    /// The last event of every run that was not interrupted.
    RunEnded {
        /// Which budget ran out.
        reason: EndReason,
        /// Price of cloud compute and egress over the whole run \[USD\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        cost_usd: f64,
        /// Energy all devices would have drawn anyway, summed over the fleet and the run \[J\].
        #[serde(with = "real")]
        #[schemars(with = "real::Real")]
        idle_joules: f64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_fresh(staleness: &u32) -> bool {
    *staleness == 0
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Power of the cloud and carbon intensities, for the totals of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// Power of the cloud while it computes \[W\].
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real::option")]
    #[schemars(with = "Option<real::Real>")]
    pub cloud_watts: Option<f64>,
    /// Carbon intensity of the cloud's electricity \[gCO2/J\].
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real::option")]
    #[schemars(with = "Option<real::Real>")]
    pub cloud_grams_per_joule: Option<f64>,
    /// Carbon intensity of the devices' electricity \[gCO2/J\].
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real::option")]
    #[schemars(with = "Option<real::Real>")]
    pub device_grams_per_joule: Option<f64>,
}

/// One model's mean training loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// `cloud`, `proxy`, or the part of a method's loss.
    pub name: String,
    /// Mean over the steps \[nat/token\].
    #[serde(with = "real")]
    #[schemars(with = "real::Real")]
    pub value: f64,
}

/// The JSON Schema (draft-07) of one line of `events.jsonl.zst`, with a newline at its end.
pub fn json_schema() -> String {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Event>();
    schema.insert("title".to_owned(), "cotune event".into());
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}

impl Event {
    /// The event with the key under which the kernel's queue delivered its cause.
    pub fn new(key: EventKey, kind: EventKind) -> Self {
        Self { time_ns: key.time.as_nanos(), class: key.class, source: key.source, seq: key.seq, kind }
    }

    /// The event without anything that learning decides: what is left is equal with and without training, on
    /// CPU and WebGPU. `None` for an event that exists only through learned values.
    pub fn schedule_form(&self) -> Option<Self> {
        if matches!(self.kind, EventKind::Warning { learned: true, .. }) {
            return None;
        }
        let mut event = self.clone();
        match &mut event.kind {
            EventKind::TrainingFinished { loss, update, .. } => (*loss, *update) = (None, None),
            EventKind::CloudTrained { losses, state, .. } => (*losses, *state) = (Vec::new(), None),
            EventKind::RelayMade { kept, .. } => *kept = None,
            EventKind::Evaluated { value, .. } => *value = None,
            _ => {}
        }
        Some(event)
    }

    /// Whether [`Self::schedule_form`] differs from the event.
    pub fn is_learned(&self) -> bool {
        match &self.kind {
            EventKind::TrainingFinished { loss, update, .. } => loss.is_some() || update.is_some(),
            EventKind::CloudTrained { losses, state, .. } => !losses.is_empty() || state.is_some(),
            EventKind::RelayMade { kept, .. } => kept.is_some(),
            EventKind::Evaluated { value, .. } => value.is_some(),
            EventKind::Warning { learned, .. } => *learned,
            _ => false,
        }
    }

    /// Appends the canonical encoding, the line of `events.jsonl.zst` without its line end: JSON with the fields
    /// in declaration order, absent ones left out, and floats as the shortest decimal with the same bits.
    pub fn encode_into(&self, buffer: &mut Vec<u8>) {
        serde_json::to_writer(buffer, self).expect("an event has no map keys and a Vec never refuses bytes");
    }

    /// Virtual time \[s\].
    pub fn seconds(&self) -> f64 {
        self.time_ns as f64 / 1e9
    }
}
