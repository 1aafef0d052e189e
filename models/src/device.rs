//! Where tensors live: the CPU through burn-flex, or a WebGPU adapter through burn-wgpu.

mod adapter;

use crate::cores::Cores;
use crate::kernels::self_test::{self, Disagreement};
pub use adapter::{Adapter, adapters};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// What `--device` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// The first adapter that is a card and is reached by more than OpenGL, or the CPU where there is none.
    Auto,
    /// One core a job, bit-reproducible.
    Cpu,
    /// The WebGPU adapter with this number, in the order in which the driver lists them, be it a card or a program.
    Wgpu(usize),
}

/// A place to compute on. Cheap to clone; shared by every model on it.
#[derive(Clone, Debug)]
pub struct Compute {
    /// None on the CPU.
    adapter: Option<Adapter>,
    device: Device,
    cores: Cores,
    warning: Option<String>,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The name is none of the known ones.
    #[error("`{0}` is not a device: write auto, cpu, wgpu or wgpu:N")]
    Unknown(String),
    /// This build has no WebGPU.
    #[error("this build of cotune has no WebGPU: build it with the feature `wgpu`, or use --device cpu")]
    NotBuilt,
    /// The driver reports no such adapter.
    #[error(
        "there is no WebGPU adapter {wanted}: {found} found (a software adapter comes with the package mesa-vulkan-drivers)"
    )]
    NoAdapter {
        /// The number asked for.
        wanted: usize,
        /// How many adapters there are.
        found: usize,
    },
    /// What something was computed on before is not here.
    #[error("`{0}` is not among the adapters of this computer: `cotune doctor` lists them")]
    Gone(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu(0)),
            _ => text
                .strip_prefix("wgpu:")
                .and_then(|n| n.parse().ok())
                .map(Self::Wgpu)
                .ok_or_else(|| DeviceError::Unknown(text.to_string())),
        }
    }
}

/// How the CPU is described.
const CPU: &str = "cpu (burn-flex)";

impl Compute {
    /// The CPU.
    pub fn cpu() -> Self {
        Self { adapter: None, device: Device::flex(), cores: Cores::new(0), warning: None }
    }

    /// Opens what was chosen. An adapter first carries out every operation of a decoder; if one of them is not what the CPU
    /// makes of it, or a panic, as that of an adapter that cannot be opened, the CPU is opened instead, with a warning.
    ///
    /// # Errors
    /// The build lacks WebGPU, or the machine lacks the adapter.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Auto => Ok(adapter::card().map_or_else(Self::cpu, Self::on)),
            DeviceChoice::Wgpu(_) if cfg!(not(feature = "wgpu")) => Err(DeviceError::NotBuilt),
            DeviceChoice::Wgpu(index) => adapters()
                .get(index)
                .map(Self::on)
                .ok_or(DeviceError::NoAdapter { wanted: index, found: adapters().len() }),
        }
    }

    /// Opens the device whose [`describe`](Self::describe) was kept, be its number or its driver another by now.
    ///
    /// # Errors
    /// The machine lacks the adapter.
    pub fn again(description: &str) -> Result<Self, DeviceError> {
        if description == CPU {
            return Ok(Self::cpu());
        }
        let exactly = adapters().iter().find(|adapter| adapter.to_string() == description);
        exactly
            .or_else(|| adapters().iter().find(|adapter| adapter.is_described_by(description)))
            .map(Self::on)
            .ok_or_else(|| DeviceError::Gone(description.to_owned()))
    }

    fn on(adapter: &Adapter) -> Self {
        Self::judged(adapter, adapter.self_test())
    }

    /// The adapter, or the CPU instead of it where one of the operations is not what it should be.
    fn judged(adapter: &Adapter, found: Vec<Disagreement>) -> Self {
        let wrong = found.into_iter().find(|one| one.difference > TOLERANCE);
        if let Some(Disagreement { operation, difference, panic }) = wrong {
            let fault = match panic {
                Some(words) => format!("does not work, it panics in the operation `{operation}` ({words})"),
                None => format!("differs from the CPU by {difference:.1e} in the operation `{operation}`"),
            };
            return Self::cpu().with_warning(format!("{adapter} {fault}: computing on the CPU instead"));
        }
        Self { adapter: Some(adapter.clone()), device: adapter.device().clone(), ..Self::cpu() }
    }

    /// The same with something to know before a result is trusted.
    #[must_use]
    pub fn with_warning(self, warning: String) -> Self {
        Self { warning: Some(warning), ..self }
    }

    /// What to know before a result is trusted.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The same with cores that a job may borrow while they are idle; a WebGPU queue has no use for them.
    #[must_use]
    pub fn with_cores(self, count: usize) -> Self {
        let cores = if self.is_cpu() { Cores::new(count) } else { Cores::none() };
        Self { cores, ..self }
    }

    /// The cores that may be borrowed.
    pub fn cores(&self) -> &Cores {
        &self.cores
    }

    /// Whether this is the CPU, whose results repeat bit by bit.
    pub fn is_cpu(&self) -> bool {
        self.adapter.is_none()
    }

    /// What was opened, for the manifest and the report: an adapter with its number, name, driver and graphics API.
    pub fn describe(&self) -> String {
        self.adapter.as_ref().map_or_else(|| CPU.to_string(), Adapter::to_string)
    }

    /// Whether `description` is of this device, be its number or its driver another by now.
    pub fn is_described_by(&self, description: &str) -> bool {
        self.adapter.as_ref().map_or(description == CPU, |adapter| adapter.is_described_by(description))
    }

    /// Jobs that may run on it at once, given the threads asked for: a WebGPU queue takes one.
    pub fn jobs(&self, threads: usize) -> usize {
        if self.is_cpu() { threads.max(1) } else { 1 }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }
}

pub use crate::kernels::self_test::TOLERANCE;

impl Adapter {
    /// How far it and the CPU are apart in each operation of a decoder, up to the first over which it panics; [`TOLERANCE`]
    /// is fine.
    pub fn self_test(&self) -> Vec<Disagreement> {
        self_test::compare(self.device())
    }
}

/// The instructions that the loops of the CPU use here.
pub fn instruction_set() -> &'static str {
    crate::kernels::instruction_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_again_by_its_description() {
        let cpu = Compute::cpu();
        assert!(Compute::again(&cpu.describe()).unwrap().is_cpu());
        assert!(cpu.is_described_by(&cpu.describe()) && !cpu.is_described_by("wgpu:0 (a card)"));
        let gone = Compute::again("wgpu:0 (a card that nobody has, a driver 1.0, Vulkan)").unwrap_err();
        assert!(gone.to_string().contains("a card that nobody has"), "{gone}");
        for adapter in adapters() {
            let (name, index) = (&adapter.name, adapter.index);
            assert!(adapter.is_described_by(&adapter.to_string()));
            assert!(
                adapter.is_described_by(&format!("wgpu:{} ({name}, an older driver, Vulkan)", index + 1))
            );
            assert!(!adapter.is_described_by(&format!("wgpu:{index} (not {name}, a driver, Vulkan)")));
            assert!(!adapter.is_described_by(&cpu.describe()));
        }
    }

    #[test]
    fn an_adapter_that_computes_something_else_is_not_taken_and_the_warning_says_why() {
        let adapter = Adapter::pretended();
        let judged = |difference| {
            let one = |operation, difference| Disagreement { operation, difference, panic: None };
            Compute::judged(&adapter, vec![one("RMSNorm", 0.0), one("SwiGLU", difference)])
        };
        let taken = judged(TOLERANCE);
        assert_eq!((taken.is_cpu(), taken.warning()), (false, None));
        assert_eq!(taken.describe(), adapter.to_string());
        for wrong in [2.0 * TOLERANCE, f32::INFINITY] {
            let instead = judged(wrong).with_cores(2);
            assert!(instead.is_cpu() && instead.describe() == CPU);
            let warning = instead.warning().expect("it is not what was asked for");
            assert!(warning.starts_with(&adapter.to_string()), "{warning}");
            assert!(warning.contains("`SwiGLU`") && warning.contains("on the CPU instead"), "{warning}");
        }
    }

    #[test]
    fn an_adapter_that_cannot_be_opened_is_not_taken_and_the_warning_has_its_words() {
        let words = "Unable to acquire wgpu device: the driver has lost it";
        let panic = Some(words.to_owned());
        let found = Disagreement { operation: "matrix product", difference: f32::INFINITY, panic };
        let adapter = Adapter::pretended();
        let instead = Compute::judged(&adapter, vec![found]);
        assert!(instead.is_cpu());
        let warning = instead.warning().expect("it is not what was asked for");
        assert!(warning.starts_with(&adapter.to_string()) && warning.contains(words), "{warning}");
        assert!(warning.contains("`matrix product`") && warning.contains("on the CPU instead"), "{warning}");
    }

    #[test]
    fn a_program_is_taken_only_where_it_is_named() {
        let auto = Compute::open(DeviceChoice::Auto).unwrap();
        assert!(auto.adapter.is_none_or(|adapter| !adapter.software));
        let beyond = Compute::open(DeviceChoice::Wgpu(adapters().len())).unwrap_err();
        assert!(matches!(beyond, DeviceError::NoAdapter { .. } | DeviceError::NotBuilt), "{beyond}");
    }
}
