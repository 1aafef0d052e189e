//! Panics as values: of work that must not take the rest along, and of other libraries over bytes from anyone.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The value of `work`, or the words of its panic.
///
/// # Errors
/// It panics.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        words.unwrap_or("no message").to_owned()
    })
}

/// The value of `read`, a library's: one that panics over bytes says no more than that they are damaged.
///
/// # Errors
/// It panics.
pub fn undamaged<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    caught(read).map_err(|words| format!("it is damaged: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("row {}", 3) }), Err("row 3".to_owned()));
        assert_eq!(caught(|| -> u8 { panic!("no row") }), Err("no row".to_owned()));
        assert_eq!(caught(|| -> u8 { std::panic::panic_any(3) }), Err("no message".to_owned()));
        assert_eq!(undamaged(|| -> u8 { panic!("no row") }), Err("it is damaged: no row".to_owned()));
    }
}
