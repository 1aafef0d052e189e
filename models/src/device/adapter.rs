//! The WebGPU adapters of this computer.

use burn::tensor::Device;
use std::sync::OnceLock;

/// A WebGPU adapter of this computer.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its number, as in `wgpu:N`.
    pub index: usize,
    /// As it names itself.
    pub name: String,
    /// Its driver and the version of it; empty where the graphics API tells neither.
    pub driver: String,
    /// The graphics API that leads to it, `Vulkan`, `Metal`, ….
    pub backend: String,
    /// Whether it is no card but a program.
    pub software: bool,
    device: Device,
}

impl Adapter {
    /// Whether `description`, by its `Display`, is of this adapter, be its number or its driver another by now.
    pub fn is_described_by(&self, description: &str) -> bool {
        let named = description.strip_prefix("wgpu:").and_then(|rest| Some(rest.split_once(" (")?.1));
        let behind = named.and_then(|named| named.strip_prefix(self.name.as_str()));
        behind.is_some_and(|behind| behind.starts_with([',', ')']))
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// One that no computer has, for tests: it computes where the CPU does.
    #[cfg(test)]
    pub(super) fn pretended() -> Self {
        Self {
            index: 0,
            name: "a card that nobody has".to_owned(),
            driver: "a driver 1.0".to_owned(),
            backend: "Vulkan".to_owned(),
            software: false,
            device: Device::flex(),
        }
    }
}

/// `wgpu:0 (name, driver, backend)`.
impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wgpu:{} ({}", self.index, self.name)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        write!(f, ", {})", self.backend)
    }
}

/// The WebGPU adapters of this computer, in the order in which the driver lists them; looked up once. A build without WebGPU
/// knows none.
pub fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    // A graphics API must not be asked by two threads at once; once this is known, nobody asks but burn, behind a lock.
    has_card();
    ADAPTERS.get_or_init(graphics::adapters)
}

/// The first adapter that is a card. What OpenGL alone leads to has to be named: it is slow to ask.
pub(super) fn card() -> Option<&'static Adapter> {
    if has_card() { adapters().iter().find(|adapter| !adapter.software) } else { None }
}

fn has_card() -> bool {
    static CARD: OnceLock<bool> = OnceLock::new();
    *CARD.get_or_init(graphics::has_card)
}

/// What the graphics APIs say.
#[cfg(feature = "wgpu")]
mod graphics {
    use super::Adapter;
    use burn::tensor::{Device, DeviceType};
    use burn_wgpu::graphics::AutoGraphicsApi;
    use burn_wgpu::wgpu::{self, AdapterInfo, Backend, Instance, InstanceDescriptor};
    use cubecl::future::block_on;
    use std::path::Path;

    /// One of these is there where Linux drives a card: most cards, NVIDIA's, and a card of Windows under it. Where none is,
    /// nobody has to be asked, which takes time and, without a desktop, makes drivers complain on the standard error.
    const NODES: [&str; 3] = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];

    /// burn tells names alone, so the graphics API is asked for the drivers: the one that burn takes, in whose order both
    /// list the adapters.
    pub(super) fn adapters() -> Vec<Adapter> {
        let adapter = |(index, (device, info)): (usize, (Device, AdapterInfo))| Adapter {
            index,
            software: !is_card(&info),
            name: info.name,
            driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
            backend: format!("{:?}", info.backend),
            device,
        };
        let devices = Device::enumerate(DeviceType::Wgpu).into_vec();
        devices.into_iter().zip(found()).enumerate().map(adapter).collect()
    }

    /// What the first API with a card finds, or else the first with anything at all.
    fn found() -> Vec<AdapterInfo> {
        let mut programs = Vec::new();
        for api in AutoGraphicsApi::chain() {
            let found = ask(api);
            if found.iter().any(is_card) {
                return found;
            }
            if programs.is_empty() {
                programs = found;
            }
        }
        programs
    }

    pub(super) fn has_card() -> bool {
        if cfg!(target_os = "linux") && !NODES.iter().any(|node| Path::new(node).exists()) {
            return false;
        }
        let quick = AutoGraphicsApi::chain().into_iter().filter(|api| *api != Backend::Gl);
        quick.map(ask).any(|found| found.iter().any(is_card))
    }

    fn ask(api: Backend) -> Vec<AdapterInfo> {
        let how =
            InstanceDescriptor { backends: api.into(), ..InstanceDescriptor::new_without_display_handle() };
        let adapters = block_on(Instance::new(how).enumerate_adapters(api.into()));
        adapters.iter().map(wgpu::Adapter::get_info).collect()
    }

    fn is_card(info: &AdapterInfo) -> bool {
        info.device_type != wgpu::DeviceType::Cpu
    }
}

/// A build without WebGPU asks nobody.
#[cfg(not(feature = "wgpu"))]
mod graphics {
    use super::Adapter;

    pub(super) fn adapters() -> Vec<Adapter> {
        Vec::new()
    }

    pub(super) fn has_card() -> bool {
        false
    }
}
