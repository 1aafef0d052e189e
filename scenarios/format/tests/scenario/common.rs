//! What every test of the language needs.

use std::path::{Path, PathBuf};

use cotune_scenario::{Checked, Context, Diagnostics, Document, Override, Scenario};

/// The embedded checkpoints that the tests pretend there are.
pub const ZOO: Context = Context { zoo: &["llm", "llm-small", "dpm", "slm-llama", "slm-bloom", "slm-gpt2"] };

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

pub fn read(folder_name: &str, file: &str) -> String {
    std::fs::read_to_string(folder(folder_name).join(file)).expect("the test's file is there")
}

/// Parses a file of a test folder; its base lies beside it.
pub fn parse(folder_name: &str, file: &str) -> Result<Document, Diagnostics> {
    parse_text(folder_name, file, &read(folder_name, file))
}

pub fn parse_text(folder_name: &str, file: &str, text: &str) -> Result<Document, Diagnostics> {
    let load = |base: &str| {
        std::fs::read_to_string(folder(folder_name).join(base)).map_err(|_| "no such file".to_owned())
    };
    Document::parse(file, text, &load)
}

/// A good scenario with changes.
pub fn with(file: &str, changes: &[(&str, &str)]) -> Result<Checked, Diagnostics> {
    let mut document = parse("good", file)?;
    document.set(&changes.iter().map(|(key, value)| Override::new(key, value)).collect::<Vec<_>>())?;
    document.check(&ZOO)
}

/// A good scenario as it is.
pub fn good(file: &str) -> Scenario {
    changed(file, &[])
}

/// A good scenario with changes that keep it good.
pub fn changed(file: &str, changes: &[(&str, &str)]) -> Scenario {
    with(file, changes).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).scenario
}
