//! Text to pretrain on: the same questions as the builtin corpus, about other worlds.

use cotune_kernel::stream::Stream;

use super::questions::{DOMAINS, Domain, SEEN};
use super::world::{World, pick};
use crate::corpus::{CorpusError, Example, Template, domain_names};

/// The seed of the one world that base models know. It has a stream path of its own, so no scenario's seed
/// can draw the same world. Chosen.
pub const SOURCE_WORLD_SEED: u64 = 777;

/// Share of pretraining examples about the source world; the others are each about a world of their own
/// (chosen).
const SOURCE_SHARE: f64 = 0.9;

/// `n` pretraining examples: a domain, a combination of slots and one of the seen wordings, all uniform. Nine
/// in ten are about the source world. Domains in `unseen_domains` are left out; `domain` indexes
/// [`domain_names`] all the same.
///
/// # Errors
/// [`CorpusError::UnknownDomain`], [`CorpusError::NothingSeen`].
pub fn source_text(
    stream: Stream,
    n: usize,
    unseen_domains: &[String],
) -> Result<impl Iterator<Item = Example> + use<>, CorpusError> {
    Ok(SourceText::new(stream, SOURCE_SHARE, unseen_domains)?.take(n))
}

/// Like [`source_text`], all of it about the source world.
///
/// # Errors
/// [`CorpusError::UnknownDomain`], [`CorpusError::NothingSeen`].
pub fn source_questions(
    stream: Stream,
    n: usize,
    unseen_domains: &[String],
) -> Result<impl Iterator<Item = Example> + use<>, CorpusError> {
    Ok(SourceText::new(stream, 1.0, unseen_domains)?.take(n))
}

/// The domains that pretraining sees, with their numbers.
pub(super) fn seen_domains(unseen: &[String]) -> Result<Vec<(u16, &'static Domain)>, CorpusError> {
    if let Some(name) = unseen.iter().find(|name| !DOMAINS.iter().any(|domain| domain.name == **name)) {
        return Err(CorpusError::UnknownDomain { name: name.clone(), known: domain_names() });
    }
    Ok((0..).zip(&DOMAINS).filter(|(_, domain)| !unseen.iter().any(|name| name == domain.name)).collect())
}

struct SourceText {
    stream: Stream,
    source: World,
    domains: Vec<(u16, &'static Domain)>,
    share: f64,
    next: u32,
}

impl SourceText {
    /// `share` of the text is about the source world.
    fn new(stream: Stream, share: f64, unseen_domains: &[String]) -> Result<Self, CorpusError> {
        let domains = seen_domains(unseen_domains)?;
        if domains.is_empty() {
            return Err(CorpusError::NothingSeen);
        }
        let source = World::draw(&mut Stream::keyed(SOURCE_WORLD_SEED, "corpus/source-world"));
        Ok(Self { stream, source, domains, share, next: 0 })
    }
}

impl Iterator for SourceText {
    type Item = Example;

    fn next(&mut self) -> Option<Example> {
        let stream = &mut self.stream;
        let (number, domain) = self.domains[pick(stream, self.domains.len())];
        let own_world = stream.uniform() >= self.share;
        let drawn = own_world.then(|| World::draw(stream));
        let combination = pick(stream, domain.combinations());
        let wording = SEEN.start + pick(stream, SEEN.len());
        let (question, answer) = domain.ask(drawn.as_ref().unwrap_or(&self.source), combination, wording);
        let id = self.next;
        self.next += 1;
        let template = Template::default();
        let (prompt, answers) = (template.prompt(&question), vec![template.answer(&answer)]);
        Some(Example { id, domain: number, prompt, answers })
    }
}
