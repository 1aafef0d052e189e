//! Learning from another checkpoint's distribution.

use super::recipe::DistillRecipe;
use super::{BETA2, PretrainError, Resolve, host_weights, whole_step};
use crate::adapter::Layout;
use crate::align::{AlignSpec, Aligner, CachedAligner};
use crate::base::Base;
use crate::batch::{Batch, Sequence};
use crate::kernels::head::SoftTargets;
use crate::learner::{Learner, Trained, answer_logits, host, reader};
use crate::mutual::{Pooling, soften};
use crate::optimizer::AdamW;
use cotune_kernel::stream::Stream;
use std::path::PathBuf;

/// Teacher entries kept when distilling; the rest is a bucket of its own (chosen).
const DISTILL_TOP_K: usize = 32;

/// How [`distill`] trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistillSteps {
    /// Steps.
    pub steps: u64,
    /// Texts a step.
    pub batch: usize,
    /// Learning rate, constant.
    pub lr: f64,
    /// Seed of the batches.
    pub seed: u64,
}

/// A base that learned the distribution of `teacher` on the given prompts and answers, every weight of `student`
/// trained (forward KL, τ = 1).
///
/// # Errors
/// The tokenizers differ.
pub fn distill(
    student: &Base,
    teacher: &Base,
    texts: &[(String, String)],
    how: DistillSteps,
) -> Result<Base, PretrainError> {
    let teacher = Teacher::new(teacher.clone(), student, 1.0)?;
    let longest = student.spec().max_positions;
    let sequences: Vec<Sequence> =
        texts.iter().filter_map(|(p, a)| Sequence::encode(student.tokenizer(), p, a, longest)).collect();
    let layout = Layout::full(student.spec());
    let values =
        layout.init(&mut Stream::keyed(how.seed, "distill/unused"), |name| student.host_values(name));
    let rule = AdamW { beta2: BETA2, weight_decay: 0.0, ..AdamW::default() };
    let mut learner = Learner::new(student, &layout, &Trained { values, ..Trained::default() }, rule);
    for step in 0..how.steps {
        let mut stream = Stream::keyed(how.seed, &format!("distill/step/{step}"));
        let chosen: Vec<&Sequence> = (0..how.batch).filter_map(|_| stream.choice(&sequences)).collect();
        let batch = Batch::pack_whole(&chosen, student.tokenizer().pad());
        let soft = teacher.view(&batch);
        whole_step(&mut learner, batch, Some(soft), how.lr);
    }
    let host = host_weights(&layout, &learner.finish().0);
    let (name, spec) = (student.name(), student.spec().clone());
    Ok(Base::new(name, spec, student.tokenizer().clone(), &host, student.compute()))
}

/// A checkpoint to learn from; it has the student's tokenizer.
pub(super) struct Teacher {
    base: Base,
    identity: CachedAligner,
    weight: f64,
}

impl Teacher {
    pub(super) fn open(
        recipe: &DistillRecipe,
        student: &Base,
        resolve: &Resolve<'_>,
    ) -> Result<Self, PretrainError> {
        let wrong = |problem: String| PretrainError::Recipe { path: PathBuf::from(&recipe.teacher), problem };
        let base = match (recipe.teacher.strip_prefix("zoo:"), recipe.teacher.strip_prefix("dir:")) {
            (Some(name), _) => Base::zoo(name, student.compute())?,
            (_, Some(path)) => Base::load(&resolve(path).map_err(wrong)?, student.compute())?,
            _ => return Err(wrong("write zoo:NAME or dir:PATH as the teacher".to_string())),
        };
        Self::new(base, student, recipe.weight)
    }

    fn new(base: Base, student: &Base, weight: f64) -> Result<Self, PretrainError> {
        if base.tokenizer() != student.tokenizer() {
            let (teacher, student) = (base.name().to_string(), student.name().to_string());
            return Err(PretrainError::Teacher { teacher, student });
        }
        let identity = Aligner::new(base.tokenizer(), student.tokenizer(), AlignSpec::default());
        Ok(Self { base, identity: CachedAligner::new(identity), weight })
    }

    /// The teacher's distribution for every row of a batch, and its share of the loss.
    pub(super) fn view(&self, batch: &Batch) -> (SoftTargets, f64) {
        let vocab = self.base.spec().vocab;
        let rows = host(answer_logits(&reader(&self.base, &[]), batch, self.base.compute()));
        let pooling = Pooling { top_k: DISTILL_TOP_K, rest: true, temperature: 1.0 };
        let soft = soften(&rows, vocab, &batch.targets, &batch.targets, &self.identity, pooling);
        (soft, self.weight)
    }
}
