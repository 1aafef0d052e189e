//! What is said and where: results on the standard output, talk on the standard error.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use cotune_scenario::{Diagnostics, Style};
use miette::{GraphicalReportHandler, GraphicalTheme};

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
        other => {
            let Style { colour, width } = style();
            let mut theme =
                if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
            theme.characters.error = "error:".to_owned();
            let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
            let mut drawn = String::new();
            match handler.render_report(&mut drawn, other) {
                Ok(()) => whisper(drawn.strip_prefix("  ").unwrap_or(&drawn)),
                Err(_) => whisper(format_args!("error: {other}\n")),
            }
        }
    }
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
    let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.map_or(WIDTH, |columns: usize| columns.clamp(60, 160))
}
