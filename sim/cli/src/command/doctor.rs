//! `cotune doctor`: what there is to compute on, and whether it computes what it should.

use cotune_models::device::{self, Adapter, Compute, DeviceChoice};
use serde::Serialize;

use crate::arguments::Doctor;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine;
use crate::talk;

/// Lists the devices; every WebGPU adapter carries out the operations of a decoder and is compared with the CPU.
pub fn doctor(typed: &Doctor) -> Result<Exit, Failure> {
    let found = Found {
        cores: machine::cores(),
        instructions: device::instruction_set(),
        adapters: device::adapters().iter().map(Tested::of).collect(),
        auto: Compute::open(DeviceChoice::Auto)?.describe(),
    };
    if typed.json {
        talk::print(serde_json::to_string_pretty(&found).expect("what was found is JSON") + "\n")?;
    } else {
        talk::print(found.in_words())?;
    }
    Ok(Exit::Done)
}

/// What there is to compute on.
#[derive(Serialize)]
struct Found {
    /// Of the CPU.
    cores: usize,
    /// The CPU's widest vector instructions.
    instructions: &'static str,
    /// Of WebGPU.
    adapters: Vec<Tested>,
    /// What `--device auto` takes.
    auto: String,
}

/// An adapter and how far each operation is from the CPU's.
#[derive(Serialize)]
struct Tested {
    adapter: String,
    software: bool,
    operations: Vec<Operation>,
}

#[derive(Serialize)]
struct Operation {
    operation: &'static str,
    /// Largest difference, relative to the largest value.
    difference: f32,
    agrees: bool,
    /// What it said as it panicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    panic: Option<String>,
}

impl Tested {
    fn of(adapter: &Adapter) -> Self {
        let operations = adapter.self_test().into_iter().map(|found| Operation {
            operation: found.operation,
            difference: found.difference,
            agrees: found.difference <= device::TOLERANCE,
            panic: found.panic,
        });
        Self { adapter: adapter.to_string(), software: adapter.software, operations: operations.collect() }
    }
}

impl Found {
    fn in_words(&self) -> String {
        let mut text = format!("cpu: {} cores, {}\n", self.cores, self.instructions);
        if self.adapters.is_empty() {
            text += "no WebGPU adapter (a software adapter comes with the package mesa-vulkan-drivers)\n";
        }
        for tested in &self.adapters {
            let kind = if tested.software { ", in software" } else { "" };
            text += &format!("{}{kind}\n", tested.adapter);
            for Operation { operation, difference, agrees, panic } in &tested.operations {
                let verdict = match panic {
                    Some(words) => format!("PANICS: {words}"),
                    None if *agrees => format!("agrees with the CPU to {difference:.0e}"),
                    None => format!("DISAGREES with the CPU to {difference:.0e}"),
                };
                text += &format!("  {operation:<36} {verdict}\n");
            }
        }
        text + &format!("--device auto takes {}\n", self.auto)
    }
}
