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
    talk::print(format_args!("{}: {}\n\n{}\n", code.name, code.title, talk::wrapped(code.explanation, 90)))?;
    Ok(Exit::Done)
}
