//! The builtin corpus `domains`: eight kinds of questions about an invented world.
//!
//! A world is drawn with the scenario's seed; pretraining uses one other, fixed world
//! ([`SOURCE_WORLD_SEED`]), so that a base model knows how to answer but not what. Why one fixed world and
//! not facts drawn anew for each example: models pretrained on the latter learn to ignore
//! entities.

mod questions;
mod source;
mod world;

use cotune_kernel::stream::Stream;

pub use source::{SOURCE_WORLD_SEED, source_questions, source_text};

use self::questions::{DOMAINS, Domain, HELD_OUT, SEEN};
use self::world::World;
use super::{Corpus, CorpusError, Parts, Row, Template};

/// What to draw of the builtin corpus.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DomainsSpec {
    /// The scenario's seed: decides the world and the questions.
    pub seed: u64,
    /// How many examples each part has; counts only ([`super::Amount::PerDomain`] or
    /// [`super::Amount::Total`]).
    pub parts: Parts,
    /// Share, 0..=1, of each part whose wording pretraining has seen; the others use held-out wordings. 1 is
    /// usual.
    pub overlap: f64,
    /// Domains that pretraining leaves out. This corpus still asks about them: the names are only checked
    /// here, and take effect in [`source_text`]. The bases that ship saw all domains, so a scenario that sets
    /// this needs a base pretrained without them.
    pub unseen_domains: Vec<String>,
}

/// Names of the builtin domains, in order.
pub fn domain_names() -> Vec<String> {
    DOMAINS.iter().map(|domain| domain.name.to_owned()).collect()
}

/// Draws the builtin corpus.
///
/// Within a domain all prompts are distinct, and a question of the validation or test part is about a
/// combination of slots that occurs in no other part under any wording: its facts are seen in training, the
/// combination is not. Private and public examples repeat a combination, in another wording, only where they
/// outnumber the combinations.
///
/// # Errors
/// [`CorpusError::SpaceTooSmall`] with the number of questions there are, [`CorpusError::NotAShare`],
/// [`CorpusError::NeedsCount`], [`CorpusError::UnknownDomain`].
pub fn domains(spec: &DomainsSpec) -> Result<Corpus, CorpusError> {
    if !(0.0..=1.0).contains(&spec.overlap) {
        return Err(CorpusError::NotAShare { what: "overlap", value: spec.overlap });
    }
    source::seen_domains(&spec.unseen_domains)?;
    let world = World::draw(&mut Stream::keyed(spec.seed, "corpus/world"));
    let mut draws = Vec::new();
    for (index, domain) in DOMAINS.iter().enumerate() {
        let counts = spec.parts.counts(index, DOMAINS.len(), None)?;
        let mut draw = Draw {
            domain,
            world: &world,
            overlap: spec.overlap,
            stream: Stream::keyed(spec.seed, &format!("corpus/domain/{}", domain.name)),
        };
        draws.push((domain.name.to_owned(), draw.parts(counts)?));
    }
    Ok(Corpus::from_draws(draws))
}

/// The draw of one domain's questions.
struct Draw<'a> {
    domain: &'a Domain,
    world: &'a World,
    overlap: f64,
    stream: Stream,
}

impl Draw<'_> {
    fn parts(&mut self, counts: [usize; 4]) -> Result<[Vec<Row>; 4], CorpusError> {
        let [private, public, validation, test] = counts;
        let mut combinations: Vec<usize> = (0..self.domain.combinations()).collect();
        self.stream.shuffle(&mut combinations);
        let available = combinations.len();
        if test + validation > available {
            return Err(self.too_small("validation and test", test + validation, available));
        }
        let (tested, rest) = combinations.split_at(test + validation);
        let (tested, validated) = tested.split_at(test);
        let test = self.one_wording_each(tested);
        let validation = self.one_wording_each(validated);
        let mut training = self.many_wordings(rest, private + public)?;
        let public = training.split_off(private);
        Ok([training, public, validation, test])
    }

    /// Each combination once; the share `overlap` of them in seen wordings.
    fn one_wording_each(&mut self, combinations: &[usize]) -> Vec<Row> {
        let seen = self.seen_of(combinations.len());
        let mut is_seen: Vec<bool> = (0..combinations.len()).map(|index| index < seen).collect();
        self.stream.shuffle(&mut is_seen);
        let mut rows = Vec::new();
        for (combination, seen) in combinations.iter().zip(is_seen) {
            let wordings = if seen { SEEN } else { HELD_OUT };
            let wording = wordings.start + world::pick(&mut self.stream, wordings.len());
            rows.push(self.row(*combination, wording));
        }
        rows
    }

    /// `count` distinct prompts over the combinations, in shuffled order: all combinations once before any
    /// twice.
    fn many_wordings(&mut self, combinations: &[usize], count: usize) -> Result<Vec<Row>, CorpusError> {
        let seen = self.seen_of(count);
        let mut rows = Vec::new();
        let mut next = 0;
        for (wordings, count, part) in [
            (SEEN, seen, "private and public (wordings seen in pretraining)"),
            (HELD_OUT, count - seen, "private and public (held-out wordings)"),
        ] {
            let available = combinations.len() * wordings.len();
            if count > available {
                return Err(self.too_small(part, count, available));
            }
            let first: Vec<usize> =
                combinations.iter().map(|_| world::pick(&mut self.stream, wordings.len())).collect();
            for turn in 0..count {
                let at = (next + turn) % combinations.len();
                let wording = wordings.start + (first[at] + turn / combinations.len()) % wordings.len();
                rows.push(self.row(combinations[at], wording));
            }
            next += count;
        }
        self.stream.shuffle(&mut rows);
        Ok(rows)
    }

    fn seen_of(&self, count: usize) -> usize {
        (self.overlap * count as f64).round() as usize
    }

    fn row(&self, combination: usize, wording: usize) -> Row {
        let (question, answer) = self.domain.ask(self.world, combination, wording);
        let template = Template::default();
        Row {
            domain: self.domain.name.to_owned(),
            prompt: template.prompt(&question),
            answers: vec![template.answer(&answer)],
        }
    }

    fn too_small(&self, part: &'static str, wanted: usize, available: usize) -> CorpusError {
        CorpusError::SpaceTooSmall { domain: self.domain.name.to_owned(), part, wanted, available }
    }
}
