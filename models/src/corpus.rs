//! Corpora: questions with answers, by domain, in four parts.
//!
//! [`domains()`] invents a world and asks about it; [`read()`] and [`assemble()`] do the same for files. What
//! models are pretrained on comes from [`source_text()`] or from the source half of files, and never shares a
//! fact with the world a scenario asks about. A [`Template`] says what stands around a question and before an
//! answer; by default a prompt reads `Q: …\nA:` and an answer starts with a space, so that the two can be
//! tokenized apart.

mod assemble;
mod domains;
mod error;
mod read;
mod template;

pub use assemble::{Amount, Parts, assemble};
pub use domains::{DomainsSpec, SOURCE_WORLD_SEED, domain_names, domains, source_questions, source_text};
pub use error::CorpusError;
pub(crate) use read::LONGEST;
pub use read::{
    Fields, Half, ReadReport, Row, SourceKind, SourceRows, SourceSpec, TaskDomain, TaskFile, read, read_file,
    task_files,
};
pub use template::Template;

/// One question and what counts as an answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Example {
    /// Its number in the corpus, unique over all four parts.
    pub id: u32,
    /// Index into [`Corpus::domains`].
    pub domain: u16,
    /// The question inside its [`Template`].
    pub prompt: String,
    /// References, each as it follows the prompt. The first is what models are trained on; there is at least
    /// one.
    pub answers: Vec<String>,
}

impl Example {
    /// The answer models are trained on.
    pub fn answer(&self) -> &str {
        self.answers.first().map_or("", String::as_str)
    }
}

/// Examples in four parts that share no prompt within a domain. Each part lists its domains in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Corpus {
    /// Names of the domains; an example's `domain` indexes this.
    pub domains: Vec<String>,
    /// What the devices share out among themselves.
    pub private: Vec<Example>,
    /// What the cloud may see.
    pub public: Vec<Example>,
    /// For guards and for choosing settings.
    pub validation: Vec<Example>,
    /// For reports.
    pub test: Vec<Example>,
}

impl Corpus {
    /// Fills the parts from one draw per domain and numbers the examples: private first, test last.
    fn from_draws(draws: Vec<(String, [Vec<Row>; 4])>) -> Self {
        let mut parts: [Vec<Example>; 4] = Default::default();
        let mut domains = Vec::new();
        for (domain, (name, draw)) in (0..).zip(draws) {
            for (part, rows) in parts.iter_mut().zip(draw) {
                part.extend(rows.into_iter().map(|row| Example {
                    id: 0,
                    domain,
                    prompt: row.prompt,
                    answers: row.answers,
                }));
            }
            domains.push(name);
        }
        for (id, example) in (0..).zip(parts.iter_mut().flatten()) {
            example.id = id;
        }
        let [private, public, validation, test] = parts;
        Self { domains, private, public, validation, test }
    }

    /// The same questions and answers inside another template.
    ///
    /// # Panics
    /// An example is not inside `from`.
    #[must_use]
    pub fn reworded(mut self, from: &Template, to: &Template) -> Self {
        let parts = [&mut self.private, &mut self.public, &mut self.validation, &mut self.test];
        for example in parts.into_iter().flatten() {
            let question = from.question(&example.prompt).expect("a prompt is inside its template");
            example.prompt = to.prompt(question);
            for answer in &mut example.answers {
                *answer = to.answer(from.bare_answer(answer).expect("an answer begins as its template says"));
            }
        }
        self
    }
}

#[cfg(test)]
mod reference_data;
#[cfg(test)]
pub(crate) use reference_data::reference_data;
#[cfg(test)]
mod tests;
