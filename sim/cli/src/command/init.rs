//! `cotune init`: a folder to begin in.

use std::fs;
use std::path::Path;

use cotune_scenario::schema::{Language, json_schema};

use crate::arguments::Init;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// What there is to begin with: a name, one line about it, its text, and the name of the file it extends.
const SCENARIOS: [(&str, &str, &str, Option<&str>); 9] = [
    (
        "quickstart",
        "twelve devices and a cloud teach each other: under a minute",
        include_str!("../../../../scenarios/quickstart.toml"),
        None,
    ),
    (
        "quickstart-standalone",
        "the same devices, each alone",
        include_str!("../../../../scenarios/quickstart-standalone.toml"),
        Some("quickstart"),
    ),
    (
        "quickstart-fedavg",
        "the same devices share one model",
        include_str!("../../../../scenarios/quickstart-fedavg.toml"),
        Some("quickstart"),
    ),
    (
        "quickstart-proxy-relay",
        "the control: the proxy's answers without mutual learning",
        include_str!("../../../../scenarios/quickstart-proxy-relay.toml"),
        Some("quickstart"),
    ),
    (
        "quickstart-buffered",
        "no rounds: updates are buffered",
        include_str!("../../../../scenarios/quickstart-buffered.toml"),
        Some("quickstart"),
    ),
    (
        "quickstart-storm",
        "the same devices when much goes wrong",
        include_str!("../../../../scenarios/quickstart-storm.toml"),
        Some("quickstart"),
    ),
    (
        "demo",
        "four data-poor devices, larger models: a few minutes",
        include_str!("../../../../scenarios/demo.toml"),
        None,
    ),
    (
        "demo-standalone",
        "the same four, each alone",
        include_str!("../../../../scenarios/demo-standalone.toml"),
        Some("demo"),
    ),
    (
        "million",
        "a million devices, the system only: run it with --no-train",
        include_str!("../../../../scenarios/million.toml"),
        None,
    ),
];

/// The line that tells an editor where the schema is.
const SCHEMA_LINE: &str = "#:schema ./schema/scenario-v1.json\n";

/// Writes a scenario, its schema and a README, and replaces nothing.
pub fn init(typed: &Init) -> Result<Exit, Failure> {
    let files = files(&typed.from)?;
    let paths = files.iter().map(|(name, _)| typed.dir.join(name));
    if let Some(there) = paths.into_iter().find(|path| path.exists()) {
        let failure = Failure::wrong(format!("{} is there already", there.display()));
        return Err(failure.help("name another folder: `cotune init DIR`"));
    }
    for (name, text) in &files {
        write(&typed.dir.join(name), text)?;
    }
    let scenario = typed.dir.join(&files[0].0);
    talk::print(format_args!("{}\n", scenario.display()))?;
    talk::Talk::default().say(format_args!("next: cotune run {}", scenario.display()));
    Ok(Exit::Done)
}

/// Names and texts, the scenario's first.
fn files(from: &str) -> Result<Vec<(String, String)>, Failure> {
    let (name, about, text, base) = *find(from).ok_or_else(|| unknown(from))?;
    let scenario = |name: &str, text: &str| (format!("{name}.toml"), format!("{SCHEMA_LINE}{text}"));
    let mut files = vec![scenario(name, text)];
    if let Some((base, _, text, _)) = base.and_then(find) {
        files.push(scenario(base, text));
    }
    files.push(("schema/scenario-v1.json".to_owned(), json_schema(Language::Scenario)));
    files.push(("schema/sweep-v1.json".to_owned(), json_schema(Language::Sweep)));
    files.push(("README.md".to_owned(), readme(name, about)));
    Ok(files)
}

fn find(name: &str) -> Option<&'static (&'static str, &'static str, &'static str, Option<&'static str>)> {
    SCENARIOS.iter().find(|(known, ..)| *known == name)
}

fn unknown(name: &str) -> Failure {
    let known: Vec<String> = SCENARIOS.iter().map(|(name, about, ..)| format!("{name}: {about}")).collect();
    Failure::wrong(format!("no scenario that ships is called `{name}`")).help(known.join("\n"))
}

fn readme(name: &str, about: &str) -> String {
    let train = if name == "million" { " --no-train" } else { "" };
    format!(
        "# {name}\n\n{about}.\n\n\
         ```sh\n\
         cotune check {name}.toml                # every mistake at once\n\
         cotune plan {name}.toml                 # the fleet, what fits, what a round costs; trains nothing\n\
         cotune run {name}.toml{train}                  # prints the run's folder, with report.html in it\n\
         cotune run {name}.toml{train} --vary seed=1,2,3\n\
         cotune runs ls\n\
         cotune report latest                    # where the report of the latest run is\n\
         ```\n\n\
         The first line of `{name}.toml` names its schema: editors with taplo or tombi complete and explain its keys.\n\
         `cotune explain KEY` does so in a terminal, `cotune explain E0107` says what a mistake means.\n"
    )
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, error))?;
    }
    fs::write(path, text).map_err(|error| Failure::file("write", path, error))
}

#[cfg(test)]
mod tests {
    use cotune_scenario::{Context, Document, Style};

    use super::*;

    #[test]
    fn whatever_one_begins_with_is_a_valid_scenario() {
        for (name, ..) in SCENARIOS {
            let files = files(name).unwrap();
            let load = |wanted: &str| {
                let found = files.iter().find(|(name, _)| name == wanted);
                found.map(|(_, text)| text.clone()).ok_or_else(|| "it is not written".to_owned())
            };
            let checked = Document::parse(&files[0].0, &files[0].1, &load)
                .and_then(|document| document.check(&Context { zoo: &cotune_models::zoo::names() }));
            if let Err(found) = checked {
                panic!("{}", found.render(Style::default()));
            }
        }
        assert!(files("quickstarter").unwrap_err().advice().unwrap().contains("quickstart-storm"));
    }
}
