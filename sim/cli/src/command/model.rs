//! `cotune model`: look at a model, let it write, compare tokenizers.

use std::path::Path;

use cotune_kernel::stream::Stream;
use cotune_models::align::{AlignSpec, Aligner};
use cotune_models::base::Base;
use cotune_models::device::Compute;
use cotune_models::generate::{self, Sampling};
use cotune_models::spec::DecoderSpec;
use cotune_models::tokenizer::Tokenizer;
use serde::Serialize;

use crate::arguments::{ModelAlign, ModelGenerate, ModelShow};
use crate::columns::{columns, row};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// What `model show --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    family: String,
    parameters: usize,
    digest: &'a str,
    spec: &'a DecoderSpec,
    tokenizer: ShownTokenizer<'a>,
}

#[derive(Serialize)]
struct ShownTokenizer<'a> {
    vocab: usize,
    surface: String,
    eos: &'a str,
    pad: &'a str,
    digest: &'a str,
}

/// Prints shape, size and tokenizer of a model.
pub fn show(typed: &ModelShow) -> Result<Exit, Failure> {
    let base = open(&typed.model, &Compute::cpu())?;
    let (spec, tokenizer) = (base.spec(), base.tokenizer());
    let shown = Shown {
        name: base.name(),
        family: spec.family_name(),
        parameters: spec.parameters(),
        digest: base.digest(),
        spec,
        tokenizer: ShownTokenizer {
            vocab: tokenizer.vocab_size(),
            surface: format!("{:?}", tokenizer.surface()),
            eos: tokenizer.token_text(tokenizer.eos()),
            pad: tokenizer.token_text(tokenizer.pad()),
            digest: tokenizer.digest(),
        },
    };
    if typed.json {
        talk::print(serde_json::to_string_pretty(&shown).expect("a model's shape is JSON") + "\n")?;
    } else {
        talk::print(in_words(&shown))?;
    }
    Ok(Exit::Done)
}

fn in_words(shown: &Shown) -> String {
    let (spec, tokenizer) = (shown.spec, &shown.tokenizer);
    format!(
        "{} ({}), {} parameters\n  \
         layers     {} of width {}, {} heads, MLP {}\n  \
         positions  {} ({:?}), {:?} norm, {:?}\n  \
         tokenizer  {} tokens, {}, end {}, padding {}\n  \
         digest     {}\n",
        shown.name,
        shown.family,
        shown.parameters,
        spec.layers,
        spec.width,
        spec.heads,
        spec.mlp,
        spec.max_positions,
        spec.position,
        spec.norm,
        spec.activation,
        tokenizer.vocab,
        tokenizer.surface,
        tokenizer.eos,
        tokenizer.pad,
        shown.digest,
    )
}

/// Continues a prompt, with the likeliest tokens or with drawn ones.
pub fn generate(typed: &ModelGenerate) -> Result<Exit, Failure> {
    let base = open(&typed.model, &Compute::open(typed.device)?)?;
    let prompt = base.tokenizer().encode(&typed.prompt);
    if prompt.is_empty() {
        return Err(Failure::wrong("the prompt is empty").help("write --prompt TEXT"));
    }
    let stream = |_: usize| Stream::keyed(typed.seed, "model/generate");
    let sampling = match typed.temperature {
        None => Sampling::Greedy,
        Some(temperature) => Sampling::Temperature { temperature, top_p: 1.0, stream: &stream },
    };
    let texts = generate::generate(&base, &[], &[prompt], typed.max_tokens.get(), &sampling, &|_| false);
    for text in texts {
        talk::print(base.tokenizer().decode(&text.tokens) + "\n")?;
    }
    Ok(Exit::Done)
}

/// Prints a text in the tokens of two models, a row for each run of tokens that belong together.
pub fn align(typed: &ModelAlign) -> Result<Exit, Failure> {
    let compute = Compute::cpu();
    let (from, to) = (open(&typed.from, &compute)?, open(&typed.to, &compute)?);
    talk::print(links(from.tokenizer(), to.tokenizer(), &typed.text))?;
    Ok(Exit::Done)
}

/// Both rows of tokens and their links, and for each token of the teacher the student's token that stands for it.
fn links(teacher: &Tokenizer, student: &Tokenizer, text: &str) -> String {
    let aligner = Aligner::new(teacher, student, AlignSpec::default());
    let ids = [teacher.encode(text), student.encode(text)];
    let pairs = aligner.align(&ids[0], &ids[1]).pairs;
    let name = |tokenizer: &Tokenizer, id: u32| format!("{:?}", tokenizer.token_text(id));
    let mut rows = vec![row(&["from", "", "to", "stands for it"])];
    let (mut teacher_row, mut student_row) = (0, 0);
    let mut push = |teacher_row: Option<usize>, student_row: Option<usize>| {
        let id = teacher_row.map(|row| ids[0][row]);
        let stands = match (student_row, id) {
            (Some(_), Some(id)) => aligner.map_token(id).map_or("–".to_owned(), |id| name(student, id)),
            _ => String::new(),
        };
        rows.push(vec![
            id.map_or(String::new(), |id| name(teacher, id)),
            if teacher_row.is_some() && student_row.is_some() { "──" } else { "" }.to_owned(),
            student_row.map_or(String::new(), |row| name(student, ids[1][row])),
            stands,
        ]);
    };
    for (linked_teacher, linked_student) in pairs.iter().copied().chain([(ids[0].len(), ids[1].len())]) {
        (teacher_row..linked_teacher).for_each(|row| push(Some(row), None));
        (student_row..linked_student).for_each(|row| push(None, Some(row)));
        if linked_teacher < ids[0].len() && linked_student < ids[1].len() {
            push(Some(linked_teacher), Some(linked_student));
        }
        (teacher_row, student_row) = (linked_teacher + 1, linked_student + 1);
    }
    let [linked, teachers, students] = [pairs.len(), ids[0].len(), ids[1].len()];
    columns("llll", &rows) + &format!("\n{linked} of {teachers} tokens linked to {linked} of {students}\n")
}

/// `zoo:NAME`, or a folder with or without `dir:` before it.
fn open(model: &str, compute: &Compute) -> Result<Base, Failure> {
    match model.strip_prefix("zoo:") {
        Some(name) => Ok(Base::zoo(name, compute)?),
        None => Ok(Base::load(Path::new(model.strip_prefix("dir:").unwrap_or(model)), compute)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tokenizers_link_every_token() {
        let tokenizer = Tokenizer::train_byte_level(["red aisle, red shelf"], 262).unwrap();
        let text = links(&tokenizer, &tokenizer, "red shelf");
        let tokens = tokenizer.encode("red shelf").len();
        assert!(
            text.ends_with(&format!("{tokens} of {tokens} tokens linked to {tokens} of {tokens}\n")),
            "{text}"
        );
    }

    #[test]
    fn tokens_without_a_partner_stand_alone() {
        let bytes = Tokenizer::train_byte_level(["red"], 258).unwrap();
        let words = Tokenizer::train_metaspace(["red red red"], 110).unwrap();
        let text = links(&bytes, &words, "red red");
        assert!(text.contains("of 7 tokens linked to"), "{text}");
    }
}
