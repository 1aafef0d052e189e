//! The words around a question and before an answer.

use super::CorpusError;

/// Where a question goes in a template of prompts.
const QUESTION: &str = "{prompt}";
/// Where an answer goes in a template of answers.
const ANSWER: &str = "{answer}";

/// How a question becomes a prompt and an answer follows it: `Q: {prompt}\nA:` and ` {answer}`.
///
/// Prompt and answer are tokenized apart, so what stands between them is written here and never guessed from
/// the text: the *boundary* ends every prompt, the *lead* begins every answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Template {
    opening: String,
    boundary: String,
    lead: String,
}

impl Default for Template {
    /// `Q: {prompt}\nA:` and ` {answer}`: what the zoo's bases were pretrained on.
    fn default() -> Self {
        Self { opening: "Q: ".to_owned(), boundary: "\nA:".to_owned(), lead: " ".to_owned() }
    }
}

impl Template {
    /// From the texts of a scenario.
    ///
    /// # Errors
    /// [`CorpusError::Template`] unless `prompt` has one `{prompt}` and `answer` ends with its one `{answer}`.
    pub fn new(prompt: &str, answer: &str) -> Result<Self, CorpusError> {
        let wrong = |template: &str, rule| CorpusError::Template { template: template.to_owned(), rule };
        let (opening, boundary) = prompt
            .split_once(QUESTION)
            .filter(|(_, boundary)| !boundary.contains(QUESTION))
            .ok_or_else(|| wrong(prompt, "has to have one {prompt}"))?;
        let lead = answer
            .strip_suffix(ANSWER)
            .filter(|lead| !lead.contains(ANSWER))
            .ok_or_else(|| wrong(answer, "has to end with its one {answer}"))?;
        let [opening, boundary, lead] = [opening, boundary, lead].map(str::to_owned);
        Ok(Self { opening, boundary, lead })
    }

    /// The prompt around a question.
    pub fn prompt(&self, question: &str) -> String {
        format!("{}{question}{}", self.opening, self.boundary)
    }

    /// An answer as it follows a prompt.
    pub fn answer(&self, answer: &str) -> String {
        format!("{}{}", self.lead, answer.trim())
    }

    /// The question inside a prompt of this template; none where the text is no such prompt.
    pub fn question<'p>(&self, prompt: &'p str) -> Option<&'p str> {
        prompt.strip_prefix(&*self.opening)?.strip_suffix(&*self.boundary)
    }

    /// The answer inside what follows a prompt; none where it does not begin as answers do.
    pub fn bare_answer<'a>(&self, answer: &'a str) -> Option<&'a str> {
        answer.strip_prefix(&*self.lead)
    }

    /// What every prompt begins with, white space before the question left out, since tokenizers join that to
    /// the question's first word.
    pub fn opening(&self) -> &str {
        self.opening.trim_end()
    }

    /// What every prompt ends with: the answer follows.
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// Whether nothing is put around a question.
    pub(super) fn is_bare(&self) -> bool {
        self.opening.is_empty() && self.boundary.is_empty()
    }
}

/// Fills the `{name}`s of a wording in one pass, so that braces in what is filled in are text.
pub(super) fn fill(wording: &str, fields: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(wording.len()), wording);
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        let field = fields.iter().find_map(|(name, text)| {
            let after = rest[start + 1..].strip_prefix(name)?.strip_prefix('}')?;
            Some((text, after))
        });
        match field {
            Some((text, after)) => {
                filled.push_str(text);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &rest[start + 1..];
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_template_is_what_it_says() {
        assert_eq!(Template::new("Q: {prompt}\nA:", " {answer}").unwrap(), Template::default());
        let template = Template::default();
        assert_eq!((template.opening(), template.boundary()), ("Q:", "\nA:"));
        assert_eq!(template.question(&template.prompt("why?")), Some("why?"));
        assert_eq!(template.bare_answer(&template.answer(" so ")), Some("so"));
        assert_eq!(template.question("why?"), None);
    }

    #[test]
    fn a_template_has_one_place_for_each() {
        for (prompt, answer) in [
            ("Q:", "{answer}"),
            ("{prompt} {prompt}", "{answer}"),
            ("{prompt}", "{answer}."),
            ("{prompt}", "{answer}{answer}"),
        ] {
            let error = Template::new(prompt, answer).unwrap_err().to_string();
            assert!(error.contains("has to"), "{prompt:?}, {answer:?}: {error}");
        }
        assert!(Template::new("{prompt}", "{answer}").unwrap().is_bare());
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        let fields = [("definition", "say {input}"), ("input", "{x")];
        assert_eq!(fill("{definition}: {input}} {y}", &fields), "say {input}: {x} {y}");
    }
}
