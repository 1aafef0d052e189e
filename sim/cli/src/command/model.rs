//! `cotune model`: look at a model, let it judge and write, bring it into another layout, compare tokenizers.

mod convert;
mod generate;
mod score;
mod show;

use std::path::{Path, PathBuf};

use cotune_models::adapter::Layout;
use cotune_models::align::{AlignSpec, Aligner};
use cotune_models::base::Base;
use cotune_models::checkpoint::Source;
use cotune_models::cores::Cores;
use cotune_models::device::Compute;
use cotune_models::learner::AdapterRef;
use cotune_models::peft;
use cotune_models::spec::DecoderSpec;
use cotune_models::tokenizer::Tokenizer;
use serde::Serialize;

use crate::arguments::ModelAlign;
use crate::columns::{columns, row};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine;
use crate::talk;

pub use convert::convert;
pub use generate::generate;
pub use score::score;
pub use show::show;

/// Prints a text in the tokens of two models, a row for each pair of linked tokens, and for each that has no partner.
pub fn align(typed: &ModelAlign) -> Result<Exit, Failure> {
    let compute = Compute::cpu();
    let (from, to) = (open(&typed.from, &compute)?, open(&typed.to, &compute)?);
    let links = links(tokenizer(&from)?, tokenizer(&to)?, typed.align, &typed.text);
    if typed.json {
        talk::print(serde_json::to_string_pretty(&links).expect("links are JSON") + "\n")?;
    } else {
        talk::print(in_words(&links))?;
    }
    Ok(Exit::Done)
}

/// A row of an alignment: a token of either model, or one of both that are linked.
#[derive(Serialize)]
struct Link {
    /// The teacher's token.
    from: Option<String>,
    /// The student's.
    to: Option<String>,
    /// The student's token that stands for the teacher's wherever that is likely; none where nothing does.
    stands_for_it: Option<String>,
}

/// Both rows of tokens and their links, and for each linked token of the teacher the student's that stands for it.
fn links(teacher: &Tokenizer, student: &Tokenizer, how: AlignSpec, text: &str) -> Vec<Link> {
    let aligner = Aligner::with_cores(teacher, student, how, &Cores::new(machine::cores() - 1));
    let ids = [teacher.encode(text), student.encode(text)];
    let pairs = aligner.align(&ids[0], &ids[1]).pairs;
    let name = |tokenizer: &Tokenizer, id: u32| tokenizer.token_text(id).to_string();
    let mut links = Vec::new();
    let (mut teacher_row, mut student_row) = (0, 0);
    let mut push = |teacher_row: Option<usize>, student_row: Option<usize>| {
        let id = teacher_row.map(|row| ids[0][row]);
        let stands = id.filter(|_| student_row.is_some()).and_then(|id| aligner.map_token(id));
        links.push(Link {
            from: id.map(|id| name(teacher, id)),
            to: student_row.map(|row| name(student, ids[1][row])),
            stands_for_it: stands.map(|id| name(student, id)),
        });
    };
    for (linked_teacher, linked_student) in pairs.iter().copied().chain([(ids[0].len(), ids[1].len())]) {
        (teacher_row..linked_teacher).for_each(|row| push(Some(row), None));
        (student_row..linked_student).for_each(|row| push(None, Some(row)));
        if linked_teacher < ids[0].len() && linked_student < ids[1].len() {
            push(Some(linked_teacher), Some(linked_student));
        }
        (teacher_row, student_row) = (linked_teacher + 1, linked_student + 1);
    }
    links
}

fn in_words(links: &[Link]) -> String {
    let quoted = |token: &Option<String>| token.as_ref().map_or(String::new(), |token| format!("{token:?}"));
    let mut rows = vec![row(&["from", "", "to", "stands for it"])];
    let (mut linked, mut teachers, mut students) = (0, 0, 0);
    for link in links {
        let is_linked = link.from.is_some() && link.to.is_some();
        linked += usize::from(is_linked);
        teachers += usize::from(link.from.is_some());
        students += usize::from(link.to.is_some());
        let stands = match (&link.stands_for_it, is_linked) {
            (None, true) => "–".to_owned(),
            (stands, _) => quoted(stands),
        };
        rows.push(vec![
            quoted(&link.from),
            if is_linked { "──" } else { "" }.to_owned(),
            quoted(&link.to),
            stands,
        ]);
    }
    columns("llll", &rows) + &format!("\n{linked} of {teachers} tokens linked to {linked} of {students}\n")
}

/// `zoo:NAME`, or a path with or without `dir:` before it.
fn source(model: &str) -> Source<'_> {
    match model.strip_prefix("zoo:") {
        Some(name) => Source::Zoo(name),
        None => Source::Folder(Path::new(model.strip_prefix("dir:").unwrap_or(model))),
    }
}

/// A model with or without a tokenizer.
fn open(model: &str, compute: &Compute) -> Result<Base, Failure> {
    Ok(match source(model) {
        Source::Zoo(name) => Base::zoo(name, compute)?,
        Source::Folder(folder) | Source::Llama2c(folder) => Base::load_bare(folder, compute)?,
    })
}

/// The tokenizer of a model that has one.
fn tokenizer(base: &Base) -> Result<&Tokenizer, Failure> {
    match base.has_tokenizer() {
        true => Ok(base.tokenizer()),
        false => Err(Failure::wrong(format!("{} has no tokenizer.json", base.name()))
            .help("put the tokenizer.json of the model into its folder, or work with --ids")),
    }
}

/// Adapters in PEFT's layout, ready to stand on their base.
struct Adapters(Vec<(Layout, Vec<f32>)>);

impl Adapters {
    fn read(folders: &[PathBuf], spec: &DecoderSpec) -> Result<Self, Failure> {
        Ok(Self(folders.iter().map(|folder| peft::read(folder, spec)).collect::<Result<_, _>>()?))
    }

    fn as_refs(&self) -> Vec<AdapterRef<'_>> {
        self.0.iter().map(|(layout, values)| (layout, values.as_slice())).collect()
    }
}

/// An error unless the model knows all ids and has places for them.
fn check_ids(ids: &[u32], spec: &DecoderSpec) -> Result<(), Failure> {
    if let Some(id) = ids.iter().find(|id| **id as usize >= spec.vocab) {
        return Err(Failure::wrong(format!(
            "the model has no token {id}: its tokens are 0 to {}",
            spec.vocab - 1
        )));
    }
    if ids.len() > spec.max_positions {
        let (got, most) = (ids.len(), spec.max_positions);
        return Err(Failure::wrong(format!("{got} tokens are more than the {most} that the model can read")));
    }
    match ids.is_empty() {
        true => Err(Failure::wrong("there is no token").help("write --ids 1,2,3 or a text")),
        false => Ok(()),
    }
}

/// The ids of a text with the special tokens that the tokenizer puts before it.
fn encode(base: &Base, text: &str) -> Result<Vec<u32>, Failure> {
    let tokenizer = tokenizer(base)?;
    Ok([tokenizer.beginning(), &tokenizer.encode(text)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tokenizers_link_every_token() {
        let tokenizer = Tokenizer::train_byte_level(["red aisle, red shelf"], 262).unwrap();
        let text = in_words(&links(&tokenizer, &tokenizer, AlignSpec::default(), "red shelf"));
        let tokens = tokenizer.encode("red shelf").len();
        assert!(
            text.contains(&format!("\n{tokens} of {tokens} tokens linked to {tokens} of {tokens}\n")),
            "{text}"
        );
    }

    #[test]
    fn tokens_without_a_partner_stand_alone() {
        let bytes = Tokenizer::train_byte_level(["red"], 258).unwrap();
        let words = Tokenizer::train_metaspace(["red red red"], 110).unwrap();
        let text = in_words(&links(&bytes, &words, AlignSpec::default(), "red red"));
        assert!(text.contains("of 7 tokens linked to"), "{text}");
    }
}
