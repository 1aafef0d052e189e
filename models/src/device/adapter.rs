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
    use burn::backend::DispatchDevice;
    use burn::tensor::{Device, DeviceType};
    use burn_wgpu::graphics::AutoGraphicsApi;
    use burn_wgpu::wgpu::{self, AdapterInfo, Backend, Instance, InstanceDescriptor};
    use cubecl::device::WgpuDeviceKind;
    use cubecl::future::block_on;
    use std::path::Path;

    /// One of these is there where Linux drives a card: most cards, NVIDIA's, and a card of Windows under it. Where none is,
    /// nobody has to be asked, which takes time and, without a desktop, makes drivers complain on the standard error.
    const NODES: [&str; 3] = ["/dev/dri", "/dev/nvidiactl", "/dev/dxg"];

    /// What an adapter is called that the graphics API does not tell of.
    const NAMELESS: &str = "an adapter without a name";

    /// burn tells of what kind a device is, but neither name nor driver, so the graphics API is asked for them: the one that
    /// burn takes.
    pub(super) fn adapters() -> Vec<Adapter> {
        let devices = Device::enumerate(DeviceType::Wgpu).into_vec();
        described(devices, &found())
    }

    /// Devices with what was found about them. The graphics API may meanwhile tell of more or fewer.
    fn described(devices: Vec<Device>, found: &[AdapterInfo]) -> Vec<Adapter> {
        let kinds = kinds(found);
        let adapter = |(index, device): (usize, Device)| {
            let kind = kind(&device);
            let info = kinds.iter().position(|other| *other == kind).map(|at| &found[at]);
            let driver = info.map(|info| [info.driver.as_str(), info.driver_info.as_str()].join(" "));
            Adapter {
                index,
                name: info.map_or_else(|| NAMELESS.to_owned(), |info| info.name.clone()),
                driver: driver.unwrap_or_default().trim().to_owned(),
                backend: info.map_or_else(|| "unknown".to_owned(), |info| format!("{:?}", info.backend)),
                software: kind == WgpuDeviceKind::Cpu,
                device,
            }
        };
        devices.into_iter().enumerate().map(adapter).collect()
    }

    /// Which of its kind burn says that a device is.
    fn kind(device: &Device) -> WgpuDeviceKind {
        match device.as_dispatch() {
            DispatchDevice::Cube(cubecl::Device::Wgpu(device)) => device.kind.clone(),
            _ => WgpuDeviceKind::DefaultDevice,
        }
    }

    /// Which of its kind burn makes of each adapter: those of a kind are counted, but programs are all one device, on which
    /// the first of them computes (`adapter_device_ids` in cubecl-wgpu).
    fn kinds(found: &[AdapterInfo]) -> Vec<WgpuDeviceKind> {
        let kind = |(at, info): (usize, &AdapterInfo)| {
            let of = info.device_type;
            let before = found[..at].iter().filter(|other| other.device_type == of).count();
            match of {
                wgpu::DeviceType::DiscreteGpu => WgpuDeviceKind::DiscreteGpu(before),
                wgpu::DeviceType::IntegratedGpu => WgpuDeviceKind::IntegratedGpu(before),
                wgpu::DeviceType::VirtualGpu => WgpuDeviceKind::VirtualGpu(before),
                wgpu::DeviceType::Cpu => WgpuDeviceKind::Cpu,
                wgpu::DeviceType::Other => WgpuDeviceKind::Other(before),
            }
        };
        found.iter().enumerate().map(kind).collect()
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

    #[cfg(test)]
    mod tests {
        use super::*;
        use burn_wgpu::WgpuDevice;

        fn device(kind: WgpuDeviceKind) -> Device {
            Device::new(cubecl::Device::Wgpu(WgpuDevice::new(kind)))
        }

        fn info(device_type: wgpu::DeviceType, name: &str) -> AdapterInfo {
            AdapterInfo {
                name: name.to_owned(),
                driver: "a driver".to_owned(),
                driver_info: "1.0".to_owned(),
                ..AdapterInfo::new(device_type, Backend::Vulkan)
            }
        }

        fn told(adapters: &[Adapter]) -> Vec<(String, bool)> {
            adapters.iter().map(|adapter| (adapter.to_string(), adapter.software)).collect()
        }

        /// As burn lists them: the programs are one device.
        #[test]
        fn a_card_behind_two_programs_has_its_own_name() {
            use burn_wgpu::wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};
            let found = [
                info(Cpu, "a program"),
                info(Cpu, "another program"),
                info(DiscreteGpu, "a card"),
                info(IntegratedGpu, "a small card"),
                info(DiscreteGpu, "another card"),
            ];
            let devices = [
                WgpuDeviceKind::Cpu,
                WgpuDeviceKind::DiscreteGpu(0),
                WgpuDeviceKind::IntegratedGpu(0),
                WgpuDeviceKind::DiscreteGpu(1),
            ];
            let expected = [
                ("wgpu:0 (a program, a driver 1.0, Vulkan)".to_owned(), true),
                ("wgpu:1 (a card, a driver 1.0, Vulkan)".to_owned(), false),
                ("wgpu:2 (a small card, a driver 1.0, Vulkan)".to_owned(), false),
                ("wgpu:3 (another card, a driver 1.0, Vulkan)".to_owned(), false),
            ];
            assert_eq!(told(&described(devices.map(device).into(), &found)), expected);
        }

        #[test]
        fn a_device_that_nothing_is_told_of_has_no_name_and_takes_nobody_elses() {
            let devices =
                [WgpuDeviceKind::Cpu, WgpuDeviceKind::DiscreteGpu(0), WgpuDeviceKind::DiscreteGpu(1)];
            let found = [info(wgpu::DeviceType::DiscreteGpu, "a card")];
            let expected = [
                ("wgpu:0 (an adapter without a name, unknown)".to_owned(), true),
                ("wgpu:1 (a card, a driver 1.0, Vulkan)".to_owned(), false),
                ("wgpu:2 (an adapter without a name, unknown)".to_owned(), false),
            ];
            assert_eq!(told(&described(devices.map(device).into(), &found)), expected);
        }

        #[test]
        fn every_adapter_of_this_computer_has_a_name() {
            for adapter in crate::device::adapters() {
                assert_ne!(adapter.name, NAMELESS, "{adapter}");
            }
        }
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
