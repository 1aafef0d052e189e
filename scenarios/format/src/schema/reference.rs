//! The reference page of the book, one table for every section of a file.

use std::fmt::Write;

use super::{Key, Language, dimensions, keys};
use crate::codes;
use crate::metrics;

/// The page in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Reference\n\nThis page is made from the program that reads these files: a key that is not here does not \
         exist. `cotune explain KEY` prints one of its rows, and `cotune schema scenario` prints all of it for an \
         editor. `<name>` stands for a name of your choice.\n\n## Scenarios\n",
    );
    sections(&mut page, keys(Language::Scenario));
    page.push_str("\n## Sweeps\n");
    sections(&mut page, keys(Language::Sweep));
    page.push_str("\n## Quantities\n\nA quantity is a string: a decimal number (underscores between digits are allowed) and a unit. Units are case-sensitive.\n\n| quantity | units |\n|---|---|\n");
    for (name, units) in dimensions() {
        let units: Vec<String> = units.iter().map(|unit| format!("`{unit}`")).collect();
        let _ = writeln!(page, "| {name} | {} |", units.join(" "));
    }
    page.push_str("\nWhere a distribution may stand, a quantity is a constant, and a table is one of `{ constant = … }`, `{ uniform = { low, high } }`, `{ normal = { mean, sd } }`, `{ lognormal = { median, p95 } }` (or `p5`, or `sigma`), `{ exponential = { mean } }`, `{ weibull = { shape, scale } }` and `{ empirical = FILE }`.\n");
    page.push_str("\n## Metrics\n\nNames in `summary.json`, in `[[expect]]` and in a sweep's `goal`. A metric whose model the method does not have is absent.\n\n| metric | what it is |\n|---|---|\n");
    for metric in metrics::ALL {
        let _ = writeln!(page, "| `{}` | {} |", metric.name, cell(metric.doc));
    }
    page.push_str("\n## Codes\n\nWhat mistakes (E) and warnings (W) are called.\n\n| code | what | why, and what to do |\n|---|---|---|\n");
    for code in codes::ALL {
        let _ = writeln!(page, "| `{}` | {} | {} |", code.name, cell(code.title), cell(code.explanation));
    }
    page
}

fn sections(page: &mut String, keys: Vec<Key>) {
    let mut section = None;
    let mut keys = keys;
    let top = |key: &Key| {
        if key.path.contains('.') || keys_below(key) {
            key.path.split('.').next().unwrap_or_default().to_owned()
        } else {
            String::new()
        }
    };
    keys.sort_by_key(|key| (top(key), key.path.clone()));
    for key in keys {
        let name = top(&key);
        if section.as_ref() != Some(&name) {
            let title = if name.is_empty() { "At the top".to_owned() } else { format!("`[{name}]`") };
            let _ =
                write!(page, "\n### {title}\n\n| key | what stands there | what it means |\n|---|---|---|\n");
            section = Some(name);
        }
        let mut doc = key.doc.clone();
        if key.required {
            doc.push_str(" **Has to be given.**");
        }
        for (word, meaning) in key.words.iter().filter(|(_, meaning)| !meaning.is_empty()) {
            let _ = write!(doc, "<br>`{word}`: {meaning}");
        }
        let _ = writeln!(page, "| `{}` | {} | {} |", key.shown(), cell(&key.kind), cell(doc.trim()));
    }
}

/// Whether a key at the top is a table.
fn keys_below(key: &Key) -> bool {
    ["a table", "a list of tables"].iter().any(|kind| key.kind.starts_with(kind)) || !key.words.is_empty()
}

/// Text inside a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace("&lt;br>", "<br>")
}
