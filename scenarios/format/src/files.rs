//! The files that a scenario names: the caller, who can read, checks that they are there.

use crate::data::{Corpus, Split};
use crate::distribution::Distribution;
use crate::fleet::Availability;
use crate::models::Base;
use crate::scenario::Scenario;
use crate::units::{self, Dimension};

/// A file or folder that a scenario names.
#[derive(Clone, Debug, PartialEq)]
pub struct FileReference {
    /// Path as written, without `dir:` or `pretrain:`; `data:X` lies under the data folder.
    pub path: String,
    /// What it is for.
    pub kind: FileKind,
    /// The dotted path of the value that names it; [`crate::Document::unreadable`] points there.
    pub key: String,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FileKind {
    /// A folder in the Hugging Face layout.
    Checkpoint,
    /// The TOML that makes a checkpoint.
    Recipe,
    /// Examples of a domain.
    Examples,
    /// A folder of tasks.
    Tasks,
    /// Which device has which example.
    Split,
    /// When devices are there.
    Trace,
    /// Samples of a distribution, in units of this dimension.
    Samples(&'static Dimension),
    /// Capacity of a link over time.
    Rates,
}

impl FileKind {
    /// How a message calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "the checkpoint",
            Self::Recipe => "the recipe",
            Self::Examples => "the source",
            Self::Tasks => "the tasks",
            Self::Split => "the split",
            Self::Trace => "the trace",
            Self::Samples(_) => "the samples",
            Self::Rates => "the bandwidth trace",
        }
    }
}

impl Scenario {
    /// Every file that the scenario names, in a fixed order.
    pub fn files(&self) -> Vec<FileReference> {
        let mut files = Vec::new();
        let mut add =
            |kind, path: &str, key: String| files.push(FileReference { path: path.to_owned(), kind, key });
        for (name, model) in &self.models {
            match &model.base {
                Base::Zoo(_) => {}
                Base::Directory(path) => add(FileKind::Checkpoint, path, format!("models.{name:?}.base")),
                Base::Pretrain(path) => add(FileKind::Recipe, path, format!("models.{name:?}.base")),
            }
        }
        match &self.data.corpus {
            Corpus::Builtin(_) | Corpus::Sizes(_) => {}
            Corpus::Sources(sources) => {
                for (index, source) in sources.iter().enumerate() {
                    let layout = source.layout.key();
                    add(FileKind::Examples, &source.path, format!("data.source.{index}.{layout}"));
                }
            }
            Corpus::Sni(tasks) => add(FileKind::Tasks, &tasks.dir, "data.corpus.sni.dir".to_owned()),
        }
        if let Split::File { path } = &self.data.split {
            add(FileKind::Split, path, "data.split.file".to_owned());
        }
        for (name, class) in &self.fleet.classes {
            let class_key = format!("fleet.class.{name:?}");
            if let Some(trace) = &class.link.trace {
                for (file, direction) in [(&trace.down, "down"), (&trace.up, "up")] {
                    if let Some(file) = file {
                        add(FileKind::Rates, file, format!("{class_key}.link.trace.{direction}"));
                    }
                }
            }
            let mut samples = |distribution: &Distribution, key: &str, dimension| {
                if let Distribution::Empirical { file } = distribution {
                    add(FileKind::Samples(dimension), file, format!("{class_key}.{key}.empirical"));
                }
            };
            samples(&class.compute_flops_per_second, "compute", &units::COMPUTE);
            samples(&class.memory_bandwidth_bytes_per_second, "memory_bandwidth", &units::BANDWIDTH);
            if let Some(sample) = &class.sample_seconds {
                samples(sample, "sample", &units::TIME);
            }
            samples(&class.link.down_bytes_per_second, "link.down", &units::RATE);
            samples(&class.link.up_bytes_per_second, "link.up", &units::RATE);
            samples(&class.link.rtt_seconds, "link.rtt", &units::TIME);
            match &class.availability {
                Availability::Always | Availability::Markov { .. } => {}
                Availability::Diurnal(diurnal) => {
                    samples(&diurnal.session_seconds, "availability.diurnal.session", &units::TIME);
                    samples(&diurnal.timezone_seconds, "availability.diurnal.timezones", &units::TIME);
                }
                Availability::Sessions { online_seconds, offline_seconds } => {
                    samples(online_seconds, "availability.sessions.online", &units::TIME);
                    samples(offline_seconds, "availability.sessions.offline", &units::TIME);
                }
                Availability::Trace { file } => {
                    add(FileKind::Trace, file, format!("{class_key}.availability.trace"))
                }
            }
        }
        files
    }
}
