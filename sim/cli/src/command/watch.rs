//! `cotune watch`: a run on a terminal, while it goes on and afterwards.

mod look;
mod screen;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use cotune_record::{RunDirectory, run_id};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::arguments::Watch;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine;
use crate::talk;

use look::Look;
use screen::{Axis, Screen};

/// How often keys are looked for.
const TICK: Duration = Duration::from_millis(150);
/// The shortest time between two readings of the run.
const REFRESH: Duration = Duration::from_secs(1);
/// A reading may take so small a part of the time, that a long run is not slowed by whoever watches it.
const SHARE: u32 = 20;
/// Columns and lines of a picture that nobody's terminal limits.
const STILL: (u16, u16) = (100, 32);

/// Shows the run until a key ends it; where the standard output is no terminal, one picture of it.
pub fn watch(typed: &Watch) -> Result<Exit, Failure> {
    let directory = run_id::resolve(&typed.which.runs, &typed.which.run)?;
    let look = Look::at(&directory)?;
    if typed.once || !io::stdout().is_terminal() {
        talk::print(still(&look))?;
        return Ok(Exit::Done);
    }
    let mut terminal = ratatui::try_init().map_err(broken)?;
    let ended = follow(&mut terminal, &directory, look);
    ratatui::try_restore().map_err(broken)?;
    ended.map(|()| Exit::Done)
}

fn follow(
    terminal: &mut ratatui::DefaultTerminal,
    directory: &RunDirectory,
    mut look: Look,
) -> Result<(), Failure> {
    let mut screen = Screen::default();
    let (mut read_at, mut pause) = (machine::now(), REFRESH);
    loop {
        terminal.draw(|frame| screen.draw(frame, &look)).map_err(broken)?;
        if event::poll(TICK).map_err(broken)? {
            match event::read().map_err(broken)? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                    KeyCode::Char('m') => screen.metric += 1,
                    KeyCode::Char('x') => screen.axis = screen.axis.next(),
                    _ => {}
                },
                _ => {}
            }
        }
        if look.goes_on() && read_at.elapsed() >= pause {
            let begun: Instant = machine::now();
            look = Look::at(directory)?;
            read_at = machine::now();
            pause = REFRESH.max(begun.elapsed() * SHARE);
        }
    }
}

/// One picture as text, without colours.
fn still(look: &Look) -> String {
    let backend = TestBackend::new(STILL.0, STILL.1);
    let mut terminal = Terminal::new(backend).expect("a picture in memory cannot fail");
    let mut screen = Screen { axis: Axis::Rounds, metric: 0, has_keys: false };
    terminal.draw(|frame| screen.draw(frame, look)).expect("a picture in memory cannot fail");
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(STILL.0));
    let line = |row: &[ratatui::buffer::Cell]| {
        let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.trim_end().to_owned() + "\n"
    };
    rows.map(line).collect()
}

fn broken(error: io::Error) -> Failure {
    Failure::Wrong {
        message: "the terminal cannot be drawn on".to_owned(),
        help: Some("`cotune watch --once` prints one picture".to_owned()),
        source: Some(error.into()),
    }
}
