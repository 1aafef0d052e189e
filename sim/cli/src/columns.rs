//! Tables for the terminal.

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
}
