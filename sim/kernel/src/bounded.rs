//! Reading a file whole, but only so much of it: files may come from anyone, and some have no end.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The bytes of a file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is longer, or does not fit in memory.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let too_long =
        || io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {}", spelled(limit)));
    if length > limit {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).map_err(io::Error::other)?)?;
    // A device says that it has no bytes, and a file may grow.
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > limit { Err(too_long()) } else { Ok(bytes) }
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// Those of [`bytes`], and it is not UTF-8.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, limit)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// A limit in the largest unit that it is a multiple of.
fn spelled(limit: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(bits, _): &(u32, &str)| limit > 0 && limit.trailing_zeros() >= *bits;
    units
        .into_iter()
        .find(whole)
        .map_or(format!("{limit} B"), |(bits, unit)| format!("{} {unit}", limit >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_beyond() {
        let path = std::env::temp_dir().join(format!("cotune-bounded-{}", std::process::id()));
        std::fs::write(&path, "four").unwrap();
        let read = [text(&path, 4).unwrap(), text(&path, 3).unwrap_err().to_string()];
        std::fs::write(&path, [0xff]).unwrap();
        let not_text = text(&path, 4).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read, ["four", "it is longer than 3 B"]);
        assert_eq!(not_text.kind(), ErrorKind::InvalidData);
        assert_eq!(bytes(&path, 4).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_limit_is_told_in_a_unit_of_its_size() {
        assert_eq!([0, 1 << 10, 64 << 20, 4 << 30].map(spelled), ["0 B", "1 KiB", "64 MiB", "4 GiB"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = bytes(Path::new("/dev/zero"), 64 << 20).unwrap_err();
        assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
    }
}
