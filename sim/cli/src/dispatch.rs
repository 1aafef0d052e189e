//! From the command line to the command: one file of [`command`] tells the story of each.

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, ModelCommand, RunsCommand};
use crate::{command, exit, place};

/// Carries out what was typed and gives the process's exit code.
pub fn command_line() -> ExitCode {
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
        Command::Doctor(typed) => command::doctor::doctor(&typed),
    })
}
