//! Reading texts that people write, and that may come from anyone: only so much of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest text \[B\] (chosen: a hundred times the longest scenario with a class for every kind of phone there is).
const LONGEST: u64 = 64 << 20;

/// The whole text of a file.
///
/// # Errors
/// It cannot be read, is no UTF-8, or is longer than any such text is.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = read_to_string(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
    }
}
