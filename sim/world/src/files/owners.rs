//! A split from a file: one device number per private example, in the order of the corpus.

use super::{BadRow, rows};

/// The device of every example.
pub(super) fn parse(text: &str) -> Result<Vec<u32>, BadRow> {
    let owner = |(index, line): (usize, &str)| {
        line.parse().map_err(|_| {
            BadRow::at(index, format!("`{line}` is not the number of a device, which are counted from 0"))
        })
    };
    rows(text).map(owner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_the_device_of_an_example() {
        assert_eq!(parse("0\n2\n# comment\n1\n"), Ok(vec![0, 2, 1]));
        assert_eq!(
            parse("0\n-1\n"),
            Err(BadRow::at(1, "`-1` is not the number of a device, which are counted from 0"))
        );
    }
}
