//! The command `cotune`.
//!
//! [`arguments`] is what was typed; one file of [`command`] tells the story of each command, and what several of
//! them need stands beside it.

mod arguments;
mod bounded;
mod columns;
mod command;
mod exit;
mod failure;
mod load;
mod machine;
mod place;
mod progress;
mod ranks;
mod record;
mod repeat;
mod results;
mod statistics;
mod stop;
mod talk;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, ModelCommand, RunsCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    place::allow(arguments.allow_path);
    exit::conclude(|| match arguments.command {
        Command::Init(typed) => command::init::init(&typed),
        Command::Check(typed) => command::check::check(&typed),
        Command::Plan(typed) => command::plan::plan(&typed),
        Command::Run(typed) => command::run::run(&typed),
        Command::Sweep(typed) => command::sweep::sweep(&typed),
        Command::Watch(typed) => command::watch::watch(&typed),
        Command::Compare(typed) => command::compare::compare(&typed),
        Command::Verify(typed) => command::verify::verify(&typed),
        Command::Report(typed) => command::report::report(&typed),
        Command::Runs(RunsCommand::Ls(typed)) => command::runs::ls(&typed),
        Command::Runs(RunsCommand::Show(typed)) => command::runs::show(&typed),
        Command::Runs(RunsCommand::Rm(typed)) => command::runs::rm(&typed),
        Command::Export(typed) => command::export::export(&typed),
        Command::Model(ModelCommand::Show(typed)) => command::model::show(&typed),
        Command::Model(ModelCommand::Score(typed)) => command::model::score(&typed),
        Command::Model(ModelCommand::Generate(typed)) => command::model::generate(&typed),
        Command::Model(ModelCommand::Convert(typed)) => command::model::convert(&typed),
        Command::Model(ModelCommand::Align(typed)) => command::model::align(&typed),
        Command::Pretrain(typed) => command::pretrain::pretrain(&typed),
        Command::Metrics(typed) => command::metrics::metrics(&typed),
        Command::Explain(typed) => command::explain::explain(&typed),
        Command::Schema(typed) => command::schema::schema(&typed),
        Command::Completions(typed) => command::schema::completions(&typed),
    })
}
