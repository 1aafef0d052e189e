//! What is said and where: results on the standard output, talk on the standard error.

use std::env;
use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

use cotune_scenario::{Diagnostics, Style};
use miette::{GraphicalReportHandler, GraphicalTheme};
use ratatui::crossterm::terminal;

use crate::failure::Failure;

/// Columns where the terminal does not say.
const WIDTH: usize = 100;

/// How much is said besides results and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// Nothing.
    pub quiet: bool,
    /// What each step does, too.
    pub verbose: bool,
}

impl Talk {
    /// Says something worth knowing.
    pub fn say(self, words: impl Display) {
        if !self.quiet {
            whisper(format_args!("{words}\n"));
        }
    }

    /// Says what only `-v` wants to hear.
    pub fn detail(self, words: impl Display) {
        if self.verbose && !self.quiet {
            self.say(words);
        }
    }

    /// Says what to read before trusting a result.
    pub fn warn(self, warnings: &Diagnostics) {
        if !warnings.0.is_empty() {
            self.say(warnings.render(style()).trim_end());
        }
    }
}

/// Writes to the standard error; nobody is told if that is closed.
fn whisper(words: impl Display) {
    let _ = write!(io::stderr().lock(), "{words}");
}

/// Writes a result to the standard output.
///
/// # Errors
/// Nobody reads it any more, or the disk it is sent to is full.
pub fn print(result: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{result}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Wrong {
            message: "cannot write to the standard output".into(),
            help: None,
            source: Some(error.into()),
        },
    })
}

/// Draws what stopped a command.
pub fn error(failure: &Failure) {
    match failure {
        Failure::Unread => {}
        Failure::Scenario(diagnostics) => whisper(diagnostics.render(style())),
        other => whisper(draw(other, style())),
    }
}

/// In the manner in which a scenario's mistakes are drawn.
fn draw(failure: &Failure, Style { colour, width }: Style) -> String {
    let mut theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    theme.characters.error = "error:".to_owned();
    let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(false).with_links(false);
    let mut drawn = String::new();
    match handler.render_report(&mut drawn, &Drawn(failure, width)) {
        Ok(()) => drawn.strip_prefix("  ").map(str::to_owned).unwrap_or(drawn),
        Err(_) => format!("error: {failure}\n"),
    }
}

/// What the drawing library asks of a failure.
#[derive(Debug)]
struct Drawn<'a>(&'a Failure, usize);

impl Display for Drawn<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&wrapped(&self.0.to_string(), self.1 - 8))
    }
}

impl Error for Drawn<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl miette::Diagnostic for Drawn<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.0.advice().map(|advice| Box::new(wrapped(&advice, self.1 - 8)) as _)
    }
}

/// Breaks lines at spaces only, so that no name is torn at a hyphen; line ends of the text stay.
pub fn wrapped(text: &str, width: usize) -> String {
    let paragraph = |text: &str| {
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            let line = lines.last_mut().expect("there is a first line");
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(word.to_owned());
            } else {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(word);
            }
        }
        lines.join("\n")
    };
    text.lines().map(paragraph).collect::<Vec<_>>().join("\n")
}

/// The same for a text with empty lines between its paragraphs.
pub fn wrapped_paragraphs(text: &str, width: usize) -> String {
    text.split("\n\n").map(|paragraph| wrapped(paragraph, width)).collect::<Vec<_>>().join("\n\n")
}

/// How diagnostics are drawn on the standard error.
pub fn style() -> Style {
    let wished_away = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style { colour: is_lively() && !wished_away, width: width() }
}

/// Whether the standard error is a terminal that can redraw a line.
pub fn is_lively() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn width() -> usize {
    wished_width().map_or(WIDTH, |columns| columns.clamp(60, 160))
}

/// Columns of the terminal that the standard output goes to, if it goes to one.
pub fn room() -> Option<usize> {
    let terminal = || terminal::size().ok().map(|(columns, _)| usize::from(columns));
    io::stdout().is_terminal().then(|| wished_width().or_else(terminal)).flatten()
}

fn wished_width() -> Option<usize> {
    env::var("COLUMNS").ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrapped("one two three", 7), "one two\nthree");
        assert_eq!(wrapped("slm-bloom-small\nor else", 7), "slm-bloom-small\nor else");
    }

    #[test]
    fn a_failure_is_drawn_with_its_cause_and_what_to_do() {
        let failure = Failure::file("read", "city.toml".as_ref(), io::ErrorKind::NotFound.into());
        let drawn = draw(&failure.help("look elsewhere"), Style::default());
        assert!(drawn.starts_with("error: cannot read city.toml\n"), "{drawn}");
        assert!(drawn.contains("entity not found") && drawn.contains("help: look elsewhere"), "{drawn}");
    }
}
