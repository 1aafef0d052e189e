//! What a run has learned, in the layout of PEFT: `adapters/cloud/<model>/`, and `adapters/device-<n>/<model>/` of every device
//! on which quality is measured.

use std::fs;
use std::io;
use std::path::{Component, Path};

use cotune_models::adapter::Layout;
use cotune_models::peft;
use cotune_world::method::State;
use cotune_world::{Lab, Plan, Snapshot};

use crate::failure::Failure;

/// Writes the adapters of a run's last moment. What was in the folder is replaced.
///
/// # Errors
/// The disk refuses.
pub fn write(folder: &Path, plan: &Plan, last: &Snapshot) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::file("remove", folder, error));
        }
        _ => {}
    }
    write_state(&folder.join("cloud"), plan.lab(), last.cloud())?;
    for device in plan.panel() {
        if let Some(state) = last.device(*device) {
            write_state(&folder.join(format!("device-{device}")), plan.lab(), state)?;
        }
    }
    Ok(())
}

/// A model's name as that of a folder. Scenarios are held to it, but the lock of a run may come from anyone.
fn plain(name: &str) -> Result<&str, Failure> {
    match Path::new(name).components().collect::<Vec<_>>()[..] {
        [Component::Normal(only)] if only == name => Ok(name),
        _ => Err(Failure::wrong(format!("the model's name `{name}` cannot be that of a folder"))),
    }
}

/// The adapters that PEFT has a form for: low-rank ones of the scenario's models.
fn write_state(folder: &Path, lab: &Lab, state: &State) -> Result<(), Failure> {
    for model in lab.models() {
        if let Some((lora, trained)) = model.lora.as_ref().zip(state.get(&model.name)) {
            let whole = Layout::lora(model.base.spec(), lora);
            let values = model.layout.unfrozen(&whole, &trained.values);
            peft::write(&folder.join(plain(&model.name)?), model.base.spec(), lora, &values)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_s_folder_lies_in_that_of_the_adapters() {
        for name in ["edge", "edge-a", "my model", ".edge"] {
            assert_eq!(plain(name).unwrap(), name);
        }
        for name in ["", ".", "..", "/x", "../x", "a/b", "a/", "./a"] {
            assert!(plain(name).is_err(), "{name}");
        }
    }
}
