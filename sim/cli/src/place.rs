//! Where a scenario's data and cached bases lie on this computer.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cotune_world::{Reach, Site};

/// What `--allow-path` said.
static ALLOWED: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Lets scenarios read what lies in these folders, too. Once a process.
pub fn allow(folders: Vec<PathBuf>) {
    let _ = ALLOWED.set(folders);
}

/// What scenarios may read beyond their own folder and the data.
pub fn allowed() -> &'static [PathBuf] {
    ALLOWED.get().map_or(&[], Vec::as_slice)
}

/// The folders around a scenario file. `data` is what `--data` said; without it and `COTUNE_DATA` only scenarios of cotune's own
/// workspace have a data folder.
pub fn site(scenario: &Path, data: Option<&Path>) -> Site {
    let folder = match scenario.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let workspace = workspace(&folder);
    let data_dir = data
        .map(Path::to_owned)
        .or_else(|| variable("COTUNE_DATA"))
        // Beside a scenario that may come from anyone lies what nobody named.
        .or_else(|| workspace.as_deref().map(|workspace| workspace.join("../shared/data")))
        .unwrap_or_default();
    let cache_dir = variable("COTUNE_CACHE")
        .unwrap_or_else(|| workspace.as_deref().unwrap_or(Path::new("")).join("target/cotune-cache"));
    Site { scenario_dir: folder, data_dir, cache_dir, reach: Reach::Below(allowed().to_vec()) }
}

/// The nearest folder above that has a `Cargo.toml` and a folder `scenarios`: cotune's own workspace.
fn workspace(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    let root = absolute.ancestors().find(|folder| is_workspace(folder));
    root.map(Path::to_owned)
}

fn is_workspace(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() && folder.join("scenarios").is_dir()
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_found_from_a_file_inside_it() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        if let Some(root) = workspace(here) {
            assert!(is_workspace(&root));
            assert!(here.starts_with(&root));
        }
        assert_eq!(workspace(Path::new("/")), None);
        if variable("COTUNE_DATA").is_none() {
            assert_eq!(site(Path::new("/city.toml"), None).data_dir, PathBuf::new(), "nobody named one");
        }
    }

    #[test]
    fn a_flag_says_where_data_lies_and_a_bare_file_name_lies_here() {
        let site = site(Path::new("city.toml"), Some(Path::new("/corpora")));
        assert_eq!(site.scenario_dir, Path::new("."));
        assert_eq!(site.resolve("data:scan/tasks.txt"), Path::new("/corpora/scan/tasks.txt"));
    }
}
