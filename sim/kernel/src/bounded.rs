//! Reading a file whole, but only so much of it: files may come from anyone, and some have no end.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Opens a regular file of at most `limit` bytes. Opening a pipe would wait for who writes to it, and a device has no end; so
/// that is asked before.
///
/// # Errors
/// It cannot be read, is longer, or is no regular file.
pub fn open(path: &Path, limit: u64) -> io::Result<File> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if found.len() > limit { Err(too_long(limit)) } else { File::open(path) }
}

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and it does not fit in memory.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    whole(open(path, limit)?, limit)
}

fn whole(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).map_err(io::Error::other)?)?;
    // A file may grow, and those of the system say that they have no bytes.
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > limit { Err(too_long(limit)) } else { Ok(bytes) }
}

/// The text of what somebody typed the path of: a file, or a pipe, which is waited for.
///
/// # Errors
/// It cannot be read, is longer than `limit` bytes, does not fit in memory, or is not UTF-8.
pub fn typed_text(path: &Path, limit: u64) -> io::Result<String> {
    utf8(whole(File::open(path)?, limit)?)
}

fn too_long(limit: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {}", spelled(limit)))
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// Those of [`bytes`], and it is not UTF-8.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    utf8(bytes(path, limit)?)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
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
        fs::write(&path, "four").unwrap();
        let read = [text(&path, 4).unwrap(), text(&path, 3).unwrap_err().to_string()];
        fs::write(&path, [0xff]).unwrap();
        let not_text = text(&path, 4).unwrap_err();
        fs::remove_file(&path).unwrap();
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
        assert_eq!(error.to_string(), "it is not a regular file");
        // A file of the system that says that it has no bytes, and has some.
        let error = bytes(Path::new("/proc/self/maps"), 8).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 8 B");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("cotune-bounded-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|made| made.success()), "there is mkfifo");
        let error = bytes(&path, 8).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert_eq!(error.to_string(), "it is not a regular file");
    }
}
