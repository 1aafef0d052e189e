//! What a device answers to an invitation, before anything is sent: whether it can take the work now.
//!
//! Asking costs neither bytes nor time here. Reasons are tested in the order in which [`Reason`] lists them.

use crate::effect::View;
use crate::hazard;
use cotune_record::Reason;

/// Why `device` declines to work in `round`; none: it takes part.
pub fn declined(device: u32, round: u32, view: &View<'_>) -> Option<Reason> {
    out_of_memory(device, round, view).then_some(Reason::RefusedMemory)
}

/// Whether the work of the round does not fit into what its owner's use leaves free of the device's memory.
fn out_of_memory(device: u32, round: u32, view: &View<'_>) -> bool {
    let class = view.plan.fleet().class_of(device);
    if class.memory_free >= 1.0 {
        return false; // the plan has seen that the work fits
    }
    let free = hazard::memory_free(view.plan.scenario().seed, device, round, class.memory_free);
    view.plan.device_cost(device, round).memory_bytes > class.memory.as_f64() * free
}
