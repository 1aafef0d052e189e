//! Where tensors live: the CPU through burn-flex, or a WebGPU adapter through burn-wgpu.

use crate::cores::Cores;
use crate::kernels::self_test::{self, Disagreement};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// What `--device` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// One core a job, bit-reproducible.
    Cpu,
    /// The WebGPU adapter with this number, in the order in which the driver lists them.
    Wgpu(usize),
}

/// A place to compute on. Cheap to clone; shared by every model on it.
#[derive(Clone, Debug)]
pub struct Compute {
    choice: DeviceChoice,
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
}

impl std::str::FromStr for DeviceChoice {
    type Err = DeviceError;

    /// `auto` is the CPU: no kernel here is yet faster on a hardware adapter at these sizes.
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" | "cpu" => Ok(Self::Cpu),
            "wgpu" => Ok(Self::Wgpu(0)),
            _ => text
                .strip_prefix("wgpu:")
                .and_then(|n| n.parse().ok())
                .map(Self::Wgpu)
                .ok_or_else(|| DeviceError::Unknown(text.to_string())),
        }
    }
}

impl Compute {
    /// The CPU.
    pub fn cpu() -> Self {
        Self { choice: DeviceChoice::Cpu, device: Device::flex(), cores: Cores::new(0), warning: None }
    }

    /// Opens what was chosen. An adapter first carries out every operation of a decoder; if one of them is not what the CPU
    /// makes of it, the CPU is opened instead, with a warning.
    ///
    /// # Errors
    /// The build lacks WebGPU, or the machine lacks the adapter.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Wgpu(index) => open_wgpu(index),
        }
    }

    /// What to know before a result is trusted.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The same with cores that a job may borrow while they are idle; a WebGPU queue has no use for them.
    #[must_use]
    pub fn with_cores(self, count: usize) -> Self {
        let count = if self.is_cpu() { count } else { 0 };
        Self { cores: Cores::new(count), ..self }
    }

    /// The cores that may be borrowed.
    pub fn cores(&self) -> &Cores {
        &self.cores
    }

    /// Whether this is the CPU, where the fused slice kernels apply.
    pub fn is_cpu(&self) -> bool {
        self.choice == DeviceChoice::Cpu
    }

    /// What was opened, for the manifest and the report.
    pub fn describe(&self) -> String {
        match self.choice {
            DeviceChoice::Cpu => "cpu (burn-flex)".to_string(),
            DeviceChoice::Wgpu(index) => format!("wgpu:{index} ({})", adapter_name(index)),
        }
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

/// A WebGPU adapter of this computer.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its number, as in `wgpu:N`.
    pub index: usize,
    /// As it names itself.
    pub name: String,
    /// Whether it is no card but a program.
    pub software: bool,
    device: Device,
}

impl Adapter {
    #[cfg(test)]
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// How far it and the CPU are apart in each operation of a decoder; [`TOLERANCE`] is fine.
    pub fn self_test(&self) -> Vec<Disagreement> {
        self_test::compare(&self.device)
    }
}

/// The WebGPU adapters of this computer, in the order in which the driver lists them.
#[cfg(feature = "wgpu")]
pub fn adapters() -> Vec<Adapter> {
    let found = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec();
    let adapter = |(index, device): (usize, Device)| {
        let identity = device.identity();
        let software = identity.as_ref().is_some_and(|identity| identity.physical.is_none());
        let name = identity.map_or_else(|| "unknown adapter".to_string(), |identity| identity.name);
        Adapter { index, name, software, device }
    };
    found.into_iter().enumerate().map(adapter).collect()
}

/// The WebGPU adapters of this computer: this build knows none.
#[cfg(not(feature = "wgpu"))]
pub fn adapters() -> Vec<Adapter> {
    Vec::new()
}

/// The instructions that the loops of the CPU use here.
pub fn instruction_set() -> &'static str {
    crate::kernels::instruction_set()
}

#[cfg(feature = "wgpu")]
fn open_wgpu(index: usize) -> Result<Compute, DeviceError> {
    let found = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec();
    match found.get(index) {
        Some(device) => {
            let wrong = self_test::compare(device).into_iter().find(|one| one.difference > TOLERANCE);
            if let Some(Disagreement { operation, difference }) = wrong {
                let name = adapter_name(index);
                let warning = format!(
                    "{name} differs from the CPU by {difference:.1e} in the operation `{operation}`: \
                     computing on the CPU instead"
                );
                return Ok(Compute { warning: Some(warning), ..Compute::cpu() });
            }
            let (choice, device) = (DeviceChoice::Wgpu(index), device.clone());
            Ok(Compute { choice, device, cores: Cores::new(0), warning: None })
        }
        None => Err(DeviceError::NoAdapter { wanted: index, found: found.len() }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu(_index: usize) -> Result<Compute, DeviceError> {
    Err(DeviceError::NotBuilt)
}

#[cfg(feature = "wgpu")]
fn adapter_name(index: usize) -> String {
    let found = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec();
    let identity = found.get(index).and_then(Device::identity);
    identity.map_or_else(|| "unknown adapter".to_string(), |identity| identity.name)
}

#[cfg(not(feature = "wgpu"))]
fn adapter_name(_index: usize) -> String {
    "not built".to_string()
}
