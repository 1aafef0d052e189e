//! Reading texts that people write and small files of runs: only so much of them.

use std::io;
use std::path::Path;

/// The longest text \[B\] (chosen: a hundred times the longest scenario with a class for every kind of phone there is).
const LONGEST: u64 = 64 << 20;

/// The whole text of a scenario or a sweep that was named on the command line, where a pipe may stand as well.
///
/// # Errors
/// It cannot be read, is no UTF-8, or is longer than any such text is.
pub fn read_typed(path: &Path) -> io::Result<String> {
    cotune_kernel::bounded::typed_text(path, LONGEST)
}

/// The whole text of a file.
///
/// # Errors
/// It cannot be read, is no UTF-8, or is longer than any such text is.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    cotune_kernel::bounded::text(path, LONGEST)
}
