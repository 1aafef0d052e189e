//! Making the corpus of a scenario.

use super::intake::SourceRead;
use super::{LabError, Site};
use cotune_models::corpus::{
    self, Amount, Corpus, CorpusError, DomainsSpec, Example, Fields, Half, Parts, SourceKind, SourceRows,
    SourceSpec, TaskDomain, TaskFile, Template,
};
use cotune_scenario::Scenario;
use cotune_scenario::data::{self as written, Portion};
use cotune_scenario::evaluation::HeldOut;

/// A corpus and where it is from.
pub(super) struct Made {
    pub corpus: Corpus,
    /// What became of the rows of every file; empty for a generated corpus.
    pub sources: Vec<SourceRead>,
}

/// The corpus that `[data]` describes.
pub(super) fn make(scenario: &Scenario, site: &Site) -> Result<Made, LabError> {
    let data = &scenario.data;
    let template = template(data)?;
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
            let corpus = corpus::domains(&spec)?.reworded(&Template::default(), &template);
            Ok(Made { corpus, sources: Vec::new() })
        }
        written::Corpus::Sizes(_) => Ok(Made { corpus: Corpus::default(), sources: Vec::new() }),
        written::Corpus::Sources(files) => {
            let (mut rows, mut sources) = (Vec::new(), Vec::new());
            for file in files {
                let read = corpus::read_file(&source_spec(file, &template, site))?;
                sources.push(SourceRead { source: file.path.clone(), report: read.report });
                rows.push(read);
            }
            Ok(Made { corpus: assemble(&rows, data, scenario.seed)?, sources })
        }
        written::Corpus::Sni(tasks) => {
            let (mut rows, mut sources, mut nothing) = (Vec::new(), Vec::new(), None);
            for spec in task_specs(tasks, &template, site)? {
                let source = spec.domain.clone().unwrap_or_default();
                // A task that is too long is one the fewer, unless there is no other.
                match corpus::read_file(&spec) {
                    Ok(read) => {
                        sources.push(SourceRead { source, report: read.report });
                        rows.push(read);
                    }
                    Err(CorpusError::NothingKept { domain, report }) => {
                        sources.push(SourceRead { source, report: *report });
                        nothing = Some(CorpusError::NothingKept { domain, report });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            match nothing {
                Some(error) if rows.is_empty() => Err(error.into()),
                _ => Ok(Made { corpus: assemble(&rows, data, scenario.seed)?, sources }),
            }
        }
    }
}

/// Deals what was read into the four parts.
fn assemble(rows: &[SourceRows], data: &written::Data, seed: u64) -> Result<Corpus, CorpusError> {
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
    corpus::assemble(rows, parts, seed)
}

/// The words around questions and before answers.
pub(super) fn template(data: &written::Data) -> Result<Template, LabError> {
    Ok(Template::new(&data.template.prompt, &data.template.answer)?)
}

fn source_spec(source: &written::Source, template: &Template, site: &Site) -> SourceSpec {
    let kind = match (source.layout, &source.fields) {
        (written::Layout::Jsonl, _) => SourceKind::Jsonl,
        (written::Layout::Csv, Some(_)) => SourceKind::Table,
        (written::Layout::Csv, None) => {
            SourceKind::Csv { text: source.text_column.clone(), label: source.label_column.clone() }
        }
        (written::Layout::Scan, _) => SourceKind::Scan,
        (written::Layout::Spans, _) => SourceKind::Spans,
    };
    let mut spec = SourceSpec::new("", kind, site.resolve(&source.path));
    spec.domain.clone_from(&source.domain);
    spec.template = template.clone();
    if let Some(written::Fields { prompt, answer, references, domain }) = source.fields.clone() {
        spec.fields = Fields { prompt, answer, references, domain };
    }
    // The bare wording leaves the layout's own.
    spec.wording = Some(source.prompt.clone()).filter(|wording| wording != "{prompt}");
    spec.max_actions = source.max_actions.map(|n| n as usize).or(spec.max_actions);
    spec.max_chars = source.max_chars.map(|n| n as usize).or(spec.max_chars);
    spec.labels = source.labels.map(|n| n as usize);
    spec.limit = source.limit.map(|n| n as usize);
    spec.half = match source.half {
        written::Half::Source => Some(Half::Source),
        written::Half::Target => Some(Half::Target),
        written::Half::All => None,
    };
    spec.permute_labels = source.permute_labels;
    spec
}

fn task_specs(tasks: &written::Tasks, template: &Template, site: &Site) -> Result<Vec<SourceSpec>, LabError> {
    let domain = match tasks.domain {
        written::TaskDomain::Domain => TaskDomain::Domain,
        written::TaskDomain::Category => TaskDomain::Category,
        written::TaskDomain::Task => TaskDomain::Task,
    };
    let spec = |file: TaskFile| SourceSpec {
        template: template.clone(),
        wording: Some(tasks.prompt.clone()),
        max_chars: tasks.max_chars.map(|n| n as usize),
        limit: tasks.limit.map(|n| n as usize),
        ..SourceSpec::new(file.task, SourceKind::Sni { domain }, file.path)
    };
    Ok(corpus::task_files(&site.resolve(&tasks.dir), &tasks.tasks)?.into_iter().map(spec).collect())
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
