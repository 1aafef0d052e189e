//! `cotune explain`: what a code stands for.

use cotune_scenario::codes;

use crate::arguments::Explain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// Prints what a code means and what to do about it.
pub fn explain(typed: &Explain) -> Result<Exit, Failure> {
    let Some(code) = codes::find(&typed.code) else {
        let names: Vec<&str> = codes::ALL.iter().map(|code| code.name).collect();
        return Err(Failure::wrong(format!("there is no code `{}`", typed.code))
            .help(format!("the codes are {}", names.join(", "))));
    };
    talk::print(format_args!("{}: {}\n\n{}\n", code.name, code.title, wrapped(code.explanation, 90)))?;
    Ok(Exit::Done)
}

/// Breaks a paragraph into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        line += if line.is_empty() { "" } else { " " };
        line += word;
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("incomprehensibilities", 7), "incomprehensibilities");
    }
}
