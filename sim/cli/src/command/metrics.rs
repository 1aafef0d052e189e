//! `cotune metrics`: the scorer of Super-NaturalInstructions on a file of predictions.

use cotune_kernel::bounded;
use cotune_models::metrics::{Score, Scorer, Weighted};
use serde::{Deserialize, Serialize};

use crate::arguments::Metrics;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// The longest file of predictions that is read \[B\].
const LONGEST: u64 = 4 << 30;

/// A line of the file; other keys are left alone.
#[derive(Deserialize)]
struct Line {
    prediction: String,
    references: Vec<String>,
}

/// Scores of one line, or their means; 0 to 100.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Scores {
    rouge_l: f64,
    exact_match: f64,
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outcome {
    n: usize,
    rouge_l: f64,
    exact_match: f64,
    items: Vec<Scores>,
}

/// Scores every line of the file and their mean.
pub fn metrics(typed: &Metrics) -> Result<Exit, Failure> {
    let text =
        bounded::text(&typed.file, LONGEST).map_err(|error| Failure::file("read", &typed.file, error))?;
    let items = items(&text, !typed.no_stem).map_err(|(line, problem)| {
        Failure::wrong(format!("{}:{line}: {problem}", typed.file.display()))
            .help(r#"write one object a line: {"prediction": "…", "references": ["…", "…"]}"#)
    })?;
    let mean = |of: fn(&Scores) -> f64| items.iter().map(of).collect::<Weighted>().mean();
    let (Some(rouge_l), Some(exact_match)) = (mean(|item| item.rouge_l), mean(|item| item.exact_match))
    else {
        return Err(Failure::wrong(format!("{} holds no predictions", typed.file.display())));
    };
    let n = items.len();
    if typed.json {
        let result = Outcome { n, rouge_l, exact_match, items };
        talk::print(serde_json::to_string(&result).expect("numbers become JSON") + "\n")?;
    } else {
        talk::print(format_args!(
            "n            {n:>8}\nrouge-l      {rouge_l:>8.4}\nexact-match  {exact_match:>8.4}\n"
        ))?;
    }
    Ok(Exit::Done)
}

/// The scores of every line that is not blank; the number of the first line that cannot be read, from 1, and why.
fn items(text: &str, stem: bool) -> Result<Vec<Scores>, (usize, String)> {
    let mut scorer = Scorer::new(stem);
    let item = |(index, line): (usize, &str)| {
        let Line { prediction, references } =
            serde_json::from_str(line).map_err(|error| (index + 1, in_line(&error)))?;
        if references.is_empty() {
            return Err((index + 1, "there is no reference to compare with".to_owned()));
        }
        let Score { rouge_l, exact_match } = scorer.score(&prediction, &references);
        Ok(Scores { rouge_l: 100.0 * rouge_l, exact_match: 100.0 * exact_match })
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(item).collect()
}

/// What is wrong with a line, without the number that it has as a text of its own.
fn in_line(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let problem = words.rsplit_once(" at line ").map_or(words.as_str(), |(problem, _)| problem);
    format!("{problem} (column {})", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_percentages_and_the_best_reference_counts() {
        let text = "{\"prediction\": \"red\", \"references\": [\"blue\", \"Red!\"]}\n\n\
                    {\"prediction\": \"a\", \"references\": [\"b\"], \"id\": 3}\n";
        let items = items(text, true).unwrap();
        assert_eq!(items[0], Scores { rouge_l: 100.0, exact_match: 100.0 });
        assert_eq!(items[1], Scores { rouge_l: 0.0, exact_match: 0.0 });
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let text = "{\"prediction\": \"red\", \"references\": [\"blue\"]}\n\n{\"prediction\": 3}";
        assert_eq!(items(text, true).unwrap_err().0, 3);
        assert_eq!(items("{\"prediction\": \"red\", \"references\": []}", true).unwrap_err().0, 1);
    }
}
