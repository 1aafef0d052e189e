//! The project's reference data, for tests.

use std::path::PathBuf;

/// Text of a file under `$COTUNE_DATA` (by default `../shared/data` seen from the workspace root). Where it
/// is not there, a line says that the test was skipped.
pub(crate) fn reference_data(name: &str) -> Option<String> {
    let root = std::env::var_os("COTUNE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: no {}", path.display());
    }
    text
}
