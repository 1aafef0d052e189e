//! The `slowdown` fault: some devices of a class are slower than their class says, for the whole run.

use cotune_kernel::Stream;
use cotune_scenario::fault::Fault;

use super::Fleet;

/// Divides compute and memory bandwidth of the devices that the slowdown faults hit, so that training takes `factor`
/// times as long whichever of the two binds. The fraction is exact: of `n` devices, `fraction · n` to the nearest, at
/// least one, drawn from `fault/3/slowdown` where 3 is the fault's place in the scenario. Faults multiply.
pub(super) fn apply(fleet: &mut Fleet, seed: u64, faults: &[Fault]) {
    for (index, fault) in faults.iter().enumerate() {
        let Fault::Slowdown { class, fraction, factor } = fault else { continue };
        let meant: Vec<bool> = fleet.classes.iter().map(|known| class.includes(&known.name)).collect();
        let devices = fleet.class.iter().enumerate().filter(|(_, class)| meant[usize::from(**class)]);
        let devices: Vec<usize> = devices.map(|(device, _)| device).collect();
        if devices.is_empty() {
            continue;
        }
        let hit = ((fraction * devices.len() as f64).round() as usize).clamp(1, devices.len());
        let mut stream = Stream::keyed_parts(seed, &[&"fault", &index, &"slowdown"]);
        for chosen in stream.sample_indices(devices.len() as u64, hit) {
            let device = devices[chosen as usize];
            fleet.compute[device] /= factor;
            fleet.memory_bandwidth[device] /= factor;
        }
    }
}
