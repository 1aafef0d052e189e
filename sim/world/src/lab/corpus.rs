//! Making the corpus of a scenario.

use super::{LabError, Site};
use cotune_models::base::Base;
use cotune_models::batch::Sequence;
use cotune_models::corpus::{
    self, Amount, Corpus, DomainsSpec, Example, Half, Parts, SourceKind, SourceSpec,
};
use cotune_scenario::Scenario;
use cotune_scenario::data::{self as written, Portion};
use cotune_scenario::evaluation::HeldOut;

/// The corpus that `[data]` describes.
pub(super) fn make(scenario: &Scenario, site: &Site) -> Result<Corpus, LabError> {
    let data = &scenario.data;
    match &data.corpus {
        written::Corpus::Builtin(builtin) => {
            let Some(sizes) = data.sizes(builtin.examples) else {
                return Err(LabError::Data(format!(
                    "public, validation and test leave no private example of {}",
                    builtin.examples
                )));
            };
            let total = |n: u64| Amount::Total(n as usize);
            let parts = Parts {
                private: total(sizes.private),
                public: total(sizes.public),
                validation: total(sizes.validation),
                test: total(sizes.test),
            };
            let spec = DomainsSpec {
                seed: builtin.seed,
                parts,
                overlap: builtin.overlap,
                unseen_domains: builtin.unseen_domains.clone(),
            };
            Ok(corpus::domains(&spec)?)
        }
        written::Corpus::Sizes(_) => Ok(Corpus::default()),
        written::Corpus::Sources(sources) => {
            let rows = sources
                .iter()
                .map(|source| corpus::read_file(&source_spec(source, site)))
                .collect::<Result<Vec<_>, _>>()?;
            let amount = |portion: Portion| match portion {
                Portion::Count(n) => Amount::Total(n as usize),
                Portion::Fraction(share) => Amount::Share(share),
            };
            let parts = Parts {
                private: data.private.map_or(Amount::Rest, |n| Amount::Total(n as usize)),
                public: amount(data.public),
                validation: amount(data.validation),
                test: amount(data.test),
            };
            Ok(corpus::assemble(&rows, parts, scenario.seed)?)
        }
    }
}

fn source_spec(source: &written::Source, site: &Site) -> SourceSpec {
    let kind = match source.layout {
        written::Layout::Jsonl => SourceKind::Jsonl,
        written::Layout::Csv => {
            SourceKind::Csv { text: source.text_column.clone(), label: source.label_column.clone() }
        }
        written::Layout::Scan => SourceKind::Scan,
        written::Layout::Spans => SourceKind::Spans,
    };
    let mut spec = SourceSpec::new(&source.domain, kind, site.resolve(&source.path));
    // A template `bank: {prompt}` is a prefix; the default template leaves the reader's own.
    if let Some(prefix) = source.prompt.strip_suffix("{prompt}").filter(|prefix| !prefix.is_empty()) {
        spec.prompt_prefix = Some(prefix.to_string());
    }
    spec.max_actions = source.max_actions.map(|n| n as usize).or(spec.max_actions);
    spec.max_chars = source.max_chars.map(|n| n as usize).or(spec.max_chars);
    spec.labels = source.labels.map(|n| n as usize);
    spec.limit = source.limit.map(|n| n as usize);
    spec.half = Some(match source.half {
        written::Half::Source => Half::Source,
        written::Half::Target => Half::Target,
    });
    spec.permute_labels = source.permute_labels;
    spec
}

/// Takes the examples out whose answer a model cannot hold; returns how many.
pub(super) fn drop_unreadable<'a>(
    corpus: &mut Corpus,
    bases: impl Iterator<Item = &'a Base> + Clone,
) -> usize {
    let fits = |example: &Example| {
        bases.clone().all(|base| {
            let longest = base.spec().max_positions;
            Sequence::encode(base.tokenizer(), &example.prompt, example.answer(), longest).is_some()
        })
    };
    let parts = [&mut corpus.private, &mut corpus.public, &mut corpus.validation, &mut corpus.test];
    parts
        .into_iter()
        .map(|part| {
            let before = part.len();
            part.retain(&fits);
            before - part.len()
        })
        .sum()
}

/// Takes out the part that models are scored on, cut to `prompts_per_domain`.
pub(super) fn held_out(scenario: &Scenario, corpus: &mut Corpus) -> Vec<Example> {
    let evaluation = &scenario.evaluation;
    let mut part = match evaluation.split {
        HeldOut::Test => std::mem::take(&mut corpus.test),
        HeldOut::Validation => corpus.validation.clone(),
    };
    if let Some(limit) = evaluation.prompts_per_domain {
        let mut taken = vec![0; corpus.domains.len()];
        part.retain(|example| {
            let count = &mut taken[example.domain as usize];
            *count += 1;
            *count <= limit
        });
    }
    part
}
