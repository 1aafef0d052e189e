//! `cotune explain`: what a code, a key or a metric stands for.

use cotune_report::format;
use cotune_scenario::schema::{Key, Language, keys};
use cotune_scenario::{codes, metrics};
use serde_json::{Value, json};

use crate::arguments::Explain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// Columns of an explanation.
const WIDTH: usize = 90;

/// Keys explained at length at most; of more only the names are listed.
const MOST_KEYS: usize = 6;

/// Prints what was asked for, and everything of that name where there are several.
pub fn explain(typed: &Explain) -> Result<Exit, Failure> {
    let asked = typed.what.trim();
    let found = all(asked);
    if found.is_empty() {
        return Err(unknown(asked));
    }
    if typed.json {
        let all: Vec<Value> = found.iter().map(Explained::to_json).collect();
        talk::print(serde_json::to_string_pretty(&all).expect("an explanation is JSON") + "\n")?;
    } else if found.len() > MOST_KEYS {
        let names: Vec<String> = found.iter().map(|one| format!("  {}\n", one.name())).collect();
        talk::print(format_args!("{} keys end so:\n{}", names.len(), names.concat()))?;
    } else {
        let texts: Vec<String> = found.iter().map(Explained::text).collect();
        talk::print(texts.join("\n"))?;
    }
    Ok(Exit::Done)
}

enum Explained {
    Code(&'static codes::Code),
    Key(Language, Key),
    Metric(String, String),
}

fn all(asked: &str) -> Vec<Explained> {
    if let Some(code) = codes::find(asked) {
        return vec![Explained::Code(code)];
    }
    let mut found: Vec<Explained> =
        metrics::explain(asked).map(|doc| Explained::Metric(asked.to_owned(), doc)).into_iter().collect();
    for language in [Language::Scenario, Language::Sweep] {
        let keys: Vec<Key> = keys(language).into_iter().filter(|key| key.answers(asked)).collect();
        // A whole path is meant alone, whatever else ends so.
        let length = asked.split('.').filter(|part| part.parse::<usize>().is_err()).count();
        let whole = |key: &&Key| key.path.split('.').filter(|part| *part != "0").count() == length;
        let whole: Vec<Key> = keys.iter().filter(whole).cloned().collect();
        let meant = if whole.is_empty() { keys } else { whole };
        found.extend(meant.into_iter().map(|key| Explained::Key(language, key)));
    }
    found
}

impl Explained {
    fn name(&self) -> String {
        match self {
            Self::Code(code) => code.name.to_owned(),
            Self::Key(Language::Scenario, key) => key.shown(),
            Self::Key(Language::Sweep, key) => format!("{} (of a sweep)", key.shown()),
            Self::Metric(name, _) => name.clone(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Code(code) => {
                format!("{}: {}\n\n{}\n", code.name, code.title, talk::wrapped(code.explanation, WIDTH))
            }
            Self::Metric(name, doc) => format!("{name}: a metric\n\n{}\n", talk::wrapped(doc, WIDTH)),
            Self::Key(_, key) => {
                let need = if key.required { "\n\nIt has to be given." } else { "" };
                let doc = if key.doc.is_empty() { String::new() } else { format!("\n\n{}", key.doc) };
                let head = talk::wrapped(&format!("{}: {}", self.name(), key.kind), WIDTH);
                let mut text = format!("{head}{}{need}\n", talk::wrapped_paragraphs(&doc, WIDTH));
                let told = key.words.iter().filter(|(_, meaning)| !meaning.is_empty());
                let width = key.words.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
                for (index, (word, meaning)) in told.enumerate() {
                    text.push_str(if index == 0 { "\n" } else { "" });
                    text.push_str(&format!("  {word:<width$}  {meaning}\n"));
                }
                text
            }
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Code(code) => {
                json!({ "code": code.name, "title": code.title, "explanation": code.explanation })
            }
            Self::Metric(name, doc) => {
                json!({ "metric": name, "explanation": doc, "lower_is_better": format::lower_is_better(name) })
            }
            Self::Key(language, key) => json!({
                "key": key.shown(), "of": language.name(), "kind": key.kind, "explanation": key.doc,
                "required": key.required,
                "words": key.words.iter().map(|(word, doc)| json!({ "word": word, "explanation": doc })).collect::<Vec<_>>(),
            }),
        }
    }
}

fn unknown(asked: &str) -> Failure {
    let failure = Failure::wrong(format!("there is no code, key or metric `{asked}`"));
    let is_code = asked.len() == 5 && asked.starts_with(['E', 'W', 'e', 'w']);
    let advice = if is_code {
        let names: Vec<&str> = codes::ALL.iter().map(|code| code.name).collect();
        format!("the codes are {}", names.join(", "))
    } else {
        match near(asked) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "keys are dotted paths or their ends, such as coordination.sync.deadline or deadline; \
                     `cotune schema scenario` has all of them"
                .to_owned(),
        }
    };
    failure.help(advice)
}

/// The key or metric that was probably meant.
fn near(asked: &str) -> Option<String> {
    let mut names: Vec<String> = metrics::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    for key in [Language::Scenario, Language::Sweep].into_iter().flat_map(keys) {
        names.extend(key.path.rsplit('.').next().map(str::to_owned));
        names.push(key.shown());
    }
    cotune_scenario::meant(asked, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(asked: &str) -> Vec<String> {
        all(asked).iter().map(Explained::name).collect()
    }

    #[test]
    fn codes_keys_and_metrics_are_found_by_what_a_person_writes() {
        assert_eq!(names("e0107"), ["E0107"]);
        assert_eq!(names("edge.rouge-l.domain.med"), ["edge.rouge-l.domain.med"]);
        assert_eq!(names("deadline"), ["coordination.sync.deadline"]);
        assert_eq!(names("coordination.sync.deadline"), ["coordination.sync.deadline"]);
        assert_eq!(names("seeds"), ["seeds (of a sweep)"]);
        assert_eq!(names("seed"), ["seed"], "the path of one is the end of others");
        assert!(names("fleet.class.phone.availability.diurnal.peak").len() == 1);
        assert!(names("rouge").is_empty());
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is_near() {
        assert!(unknown("dedline").advice().unwrap().contains("deadline"));
        assert!(unknown("E9999").advice().unwrap().contains("E0001"));
    }

    #[test]
    fn an_explanation_says_what_words_mean() {
        let text = all("simulation.actors")[0].text();
        assert!(text.contains("active") && text.contains("all"), "{text}");
    }
}
