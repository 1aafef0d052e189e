//! `cotune schema` and `cotune completions`: what editors and shells ask for.

use clap::CommandFactory;
use cotune_record::event;
use cotune_scenario::schema::{Language, json_schema};

use crate::arguments::{Arguments, Completions, Schema, SchemaOf};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// Prints a JSON Schema.
pub fn schema(typed: &Schema) -> Result<Exit, Failure> {
    talk::print(match typed.of {
        SchemaOf::Scenario => json_schema(Language::Scenario),
        SchemaOf::Sweep => json_schema(Language::Sweep),
        SchemaOf::Event => event::json_schema(),
    })?;
    Ok(Exit::Done)
}

/// Prints a shell's completions.
pub fn completions(typed: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(typed.shell, &mut Arguments::command(), "cotune", &mut script);
    talk::print(String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
