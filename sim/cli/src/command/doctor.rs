//! `cotune doctor`: what there is to compute on, and whether it computes what it should.

use cotune_models::device::{self, Compute, DeviceChoice};

use crate::arguments::Doctor;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine;
use crate::talk;

/// Lists the devices; every WebGPU adapter carries out the operations of a decoder and is compared with the CPU.
pub fn doctor(_typed: &Doctor) -> Result<Exit, Failure> {
    let mut text = format!("cpu: {} cores, {}\n", machine::cores(), device::instruction_set());
    let adapters = device::adapters();
    if adapters.is_empty() {
        text += "no WebGPU adapter (a software adapter comes with the package mesa-vulkan-drivers)\n";
    }
    for adapter in adapters {
        let kind = if adapter.software { ", in software" } else { "" };
        text += &format!("{adapter}{kind}\n");
        for found in adapter.self_test() {
            let verdict = if found.difference <= device::TOLERANCE { "agrees" } else { "DISAGREES" };
            text +=
                &format!("  {:<36} {verdict} with the CPU to {:.0e}\n", found.operation, found.difference);
        }
    }
    let taken = Compute::open(DeviceChoice::Auto)?;
    text += &format!("--device auto takes {}\n", taken.describe());
    talk::print(text)?;
    Ok(Exit::Done)
}
