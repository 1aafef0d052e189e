//! Tables for the terminal.

use std::iter;
use std::ops::Range;

/// Columns of even width, two spaces apart; `sides` says for each whether it stands left (`l`) or right (`r`).
pub fn columns(sides: &str, rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns: Vec<(char, usize)> = sides.chars().enumerate().map(|(i, side)| (side, width(i))).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&columns).map(|(cell, (side, width))| match side {
            'r' => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// The same in parts that are at most `room` wide, each with the first column, an empty line apart; a column that is wider
/// than that has a part of its own. With no `room` it is one.
pub fn folded(sides: &str, rows: &[Vec<String>], room: Option<usize>) -> String {
    let part = |columns_of: Range<usize>| {
        let shown = || iter::once(0).chain(columns_of.clone());
        let sides: String = shown().filter_map(|column| sides.chars().nth(column)).collect();
        let cells = |row: &Vec<String>| shown().filter_map(|column| row.get(column).cloned()).collect();
        columns(&sides, &rows.iter().map(cells).collect::<Vec<_>>())
    };
    let (count, room) = (sides.chars().count(), room.unwrap_or(usize::MAX));
    let fits = |part: &str| part.lines().all(|line| line.chars().count() <= room);
    let (mut parts, mut first) = (Vec::new(), 1);
    while first < count {
        let fitting = (first + 2..=count).take_while(|end| fits(&part(first..*end))).last();
        let end = fitting.unwrap_or(first + 1);
        parts.push(part(first..end));
        first = end;
    }
    parts.join("\n")
}

/// A row of borrowed words.
pub fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_no_line_ends_in_spaces() {
        let rows = [row(&["phone", "7", ""]), row(&["tv", "12", "β"])];
        assert_eq!(columns("lrl", &rows), "phone   7\ntv     12  β\n");
    }

    #[test]
    fn a_wide_table_goes_on_below_beside_its_first_column() {
        let rows = [row(&["metric", "one", "two", "three"]), row(&["loss", "1", "2", "3"])];
        let whole = columns("lrrr", &rows);
        assert_eq!(folded("lrrr", &rows, None), whole);
        assert_eq!(folded("lrrr", &rows, Some(23)), whole);
        let parts = "metric  one  two\nloss      1    2\n\nmetric  three\nloss        3\n";
        assert_eq!(folded("lrrr", &rows, Some(22)), parts);
        assert_eq!(
            folded("lrrr", &rows, Some(1)).lines().filter(|line| line.starts_with("metric")).count(),
            3
        );
    }
}
