//! Measured samples: one number a line, in SI units (`0.035`) or with a unit of its dimension (`35ms`, `12.5 Mbit/s`).

use cotune_scenario::units::{self, Dimension, Mistake};

use super::{BadRow, number, rows};

/// The samples, ascending.
pub(super) fn parse(text: &str, dimension: &Dimension) -> Result<Vec<f64>, BadRow> {
    let sample = |(index, line): (usize, &str)| match units::parse(dimension, line) {
        Ok(value) => Ok(value),
        Err(Mistake::NoUnit(..)) => number(index, line),
        Err(Mistake::NotANumber) => Err(BadRow::at(index, format!("`{line}` is not a number"))),
        Err(Mistake::UnknownUnit(_, unit)) => {
            let problem =
                format!("`{unit}` is not a unit of {}, such as {}", dimension.name, dimension.example);
            Err(BadRow::at(index, problem))
        }
    };
    let mut samples = rows(text).map(sample).collect::<Result<Vec<_>, _>>()?;
    if samples.is_empty() {
        return Err(BadRow::whole("there are no samples in it"));
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_and_without_units_and_sorted() {
        let seen = parse("# RTT\n35ms\n0.01\n 1.5 s \n", &units::TIME);
        assert_eq!(seen, Ok(vec![0.01, 0.035, 1.5]));
    }

    #[test]
    fn what_is_no_sample_is_named_with_its_line() {
        let problem = |text| parse(text, &units::RATE).unwrap_err();
        assert_eq!(problem("1\nfast\n"), BadRow::at(1, "`fast` is not a number"));
        assert_eq!(problem("3ms"), BadRow::at(0, "`ms` is not a unit of a rate, such as 80Mbit/s"));
        assert_eq!(problem("# nothing\n"), BadRow::whole("there are no samples in it"));
    }
}
