//! What other libraries make of bytes from anyone.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The value of `read`, or the words of its panic: a library that panics over bytes says no more than that they are damaged.
///
/// # Errors
/// It panics.
pub fn caught<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it is damaged: {}", words.unwrap_or("nothing can be said of it"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("row {}", 3) }), Err("it is damaged: row 3".to_owned()));
        assert_eq!(caught(|| -> u8 { panic!("no row") }), Err("it is damaged: no row".to_owned()));
    }
}
