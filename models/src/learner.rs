//! One adapter being trained on one base, perhaps beside other adapters that stay as they are.

mod stack;

use crate::adapter::Layout;
use crate::base::Base;
use crate::batch::{Batch, Sequence};
use crate::decoder::{Attached, Decoder};
use crate::device::Compute;
use crate::kernels::adamw::Moved;
use crate::kernels::dropout::Dropout;
use crate::kernels::head::{self, Divergence, SoftTargets};
use crate::optimizer::{Flat, Moments, Rule};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a device or the cloud keeps of a model between jobs: the adapter's values and the optimizer's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Values in the order of the [`Layout`].
    pub values: Vec<f32>,
    /// The optimizer's memory; empty when the optimizer starts anew.
    pub moments: Moments,
}

/// An adapter that is read, not trained: its layout and its values.
pub type AdapterRef<'a> = (&'a Layout, &'a [f32]);

/// What one step should teach: weighted cross-entropy on the answers and a pull towards soft targets.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The sequences.
    pub batch: Batch,
    /// Weight of each answer row in the cross-entropy; a mean has `1/rows` everywhere.
    pub ce_weights: Vec<f32>,
    /// What a teacher thinks of some of the rows.
    pub soft: SoftTargets,
}

impl Lesson {
    /// Mean cross-entropy over the answer tokens of a batch.
    pub fn answers(batch: Batch) -> Self {
        let n = batch.rows.len();
        Self::share_of_answers(batch, n)
    }

    /// A part of the mean cross-entropy over `all` answer tokens, of which the batch holds some.
    fn share_of_answers(batch: Batch, all: usize) -> Self {
        let ce_weights = vec![1.0 / all as f32; batch.rows.len()];
        Self { ce_weights, batch, soft: SoftTargets::default() }
    }

    /// The same in parts: their sequences are those of the batch in its order, and each has the weights and the soft targets
    /// of its own rows.
    pub(crate) fn in_parts(self, parts: Vec<Batch>) -> Vec<Self> {
        if parts.len() == 1 {
            return vec![self];
        }
        let mut first = 0;
        let part = |batch: Batch| {
            let rows = first..first + batch.rows.len();
            first = rows.end;
            Self { ce_weights: self.ce_weights[rows.clone()].to_vec(), soft: self.soft.of_rows(rows), batch }
        };
        parts.into_iter().map(part).collect()
    }
}

/// How soft targets enter the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// Which divergence.
    pub kind: Divergence,
    /// Temperature τ of teacher and student.
    pub temperature: f64,
}

/// A model in training: values and moments live on the device until [`Learner::finish`].
pub struct Learner<'a> {
    base: &'a Base,
    layout: &'a Layout,
    flat: Flat,
    rule: Rule,
    decay: Option<Tensor<1>>,
    /// μ of a proximal term, and the values that it pulls towards.
    anchor: Option<(f64, Tensor<1>)>,
    /// What is added to every gradient.
    correction: Option<Tensor<1>>,
    beside: Vec<Frozen<'a>>,
    dropout: Option<Dropout>,
    /// Sequences that are read at once; none: all of a step.
    micro_batch: Option<usize>,
    losses: Vec<Tensor<1>>,
    /// 1 for every step that was taken, 0 where loss or gradient was not finite.
    taken: Vec<Tensor<1>>,
    tokens: u64,
}

/// An adapter that stands beside the trained one.
struct Frozen<'a> {
    layout: &'a Layout,
    values: Tensor<1>,
}

/// What training produced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub steps: u64,
    /// Steps whose loss or gradient was not finite; they changed nothing.
    pub skipped: u64,
    /// Mean loss over the steps that counted; `None` without any.
    pub loss: Option<f64>,
    /// Tokens computed in training passes, padding included.
    pub tokens: u64,
}

impl Progress {
    /// Adds another stretch of training; losses are averaged by steps.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let weight = |p: &Self| (p.steps - p.skipped) as f64;
        let (a, b) = (weight(&self), weight(&other));
        let loss = match (self.loss, other.loss) {
            (Some(x), Some(y)) => Some((x * a + y * b) / (a + b)),
            (x, y) => x.or(y),
        };
        Self {
            steps: self.steps + other.steps,
            skipped: self.skipped + other.skipped,
            loss,
            tokens: self.tokens + other.tokens,
        }
    }
}

/// A model with a gradient tape.
struct Pass<'a> {
    decoder: Decoder<'a>,
    leaves: Vec<Tensor<2>>,
}

/// What was read of a batch, with the tape that leads back from it.
pub(crate) struct Read<'a> {
    pass: Pass<'a>,
    /// Of the rows that predict an answer token, `[rows, vocab]`.
    pub logits: Tensor<2>,
}

impl<'a> Learner<'a> {
    /// Starts from `state`; empty moments start the optimizer anew.
    pub fn new(base: &'a Base, layout: &'a Layout, state: &Trained, rule: impl Into<Rule>) -> Self {
        let rule = rule.into();
        let device = base.compute().device();
        let n = layout.total();
        let vector = |values: &[f32]| {
            let values = if values.is_empty() { vec![0.0; n] } else { values.to_vec() };
            Tensor::<1>::from_data(TensorData::new(values, [n]), device)
        };
        let moved = Moved {
            values: vector(&state.values),
            first: vector(&state.moments.first),
            second: vector(&state.moments.second),
        };
        let flat = Flat { state: moved, steps: state.moments.steps };
        let decay = (rule.weight_decay() > 0.0).then(|| {
            let mask = layout.entries().iter().flat_map(|e| vec![f32::from(u8::from(e.decays())); e.len()]);
            vector(&mask.collect::<Vec<_>>())
        });
        Self {
            base,
            layout,
            flat,
            rule,
            decay,
            anchor: None,
            correction: None,
            beside: Vec::new(),
            dropout: None,
            micro_batch: None,
            losses: Vec::new(),
            taken: Vec::new(),
            tokens: 0,
        }
    }

    /// The same with another adapter on the same base, which is read and not trained.
    #[must_use]
    pub fn beside(mut self, (layout, values): AdapterRef<'a>) -> Self {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        self.beside.push(Frozen { layout, values: Tensor::from_data(data, self.base.compute().device()) });
        self
    }

    /// The same with dropout on the inputs of the low-rank maps, drawn from the stream `path` of `seed` (Hu et al.
    /// 2021; `lora_dropout` of PEFT). A rate of 0 is none.
    #[must_use]
    pub fn with_dropout(mut self, rate: f64, seed: u64, path: &str) -> Self {
        self.dropout = (rate > 0.0).then(|| Dropout { rate, seed, path: path.to_string() });
        self
    }

    /// The same, but at most so many sequences of a step are read at once. Steps sum over their parts in order, so what
    /// comes out does not depend on how many cores read them.
    ///
    /// # Panics
    /// A part would have no sequence.
    #[must_use]
    pub fn with_micro_batch(self, sequences: Option<u32>) -> Self {
        assert_ne!(sequences, Some(0), "a part has a sequence");
        Self { micro_batch: sequences.map(|sequences| sequences as usize), ..self }
    }

    /// The same with a proximal term `(μ/2)‖θ − θ₀‖²` towards the values it starts from (FedProx, Li et al. 2020, arXiv
    /// 1812.06127). Its gradient is clipped with the loss's; losses are reported without it.
    #[must_use]
    pub fn with_proximal_term(mut self, mu: f64) -> Self {
        self.anchor = Some((mu, self.flat.state.values.clone()));
        self
    }

    /// The same with `correction` added to every clipped gradient (SCAFFOLD's c − c_k, Karimireddy et al. 2020, arXiv
    /// 1910.06378), in the order of the layout.
    ///
    /// # Panics
    /// The rule is not gradient descent, or there is not one value for each of the layout's.
    #[must_use]
    pub fn with_correction(mut self, correction: &[f32]) -> Self {
        assert!(matches!(self.rule, Rule::Sgd(_)), "a corrected gradient is one of plain descent");
        assert_eq!(correction.len(), self.layout.total(), "one value for each of the layout's");
        let data = TensorData::new(correction.to_vec(), [correction.len()]);
        self.correction = Some(Tensor::from_data(data, self.base.compute().device()));
        self
    }

    /// The base that is trained on.
    pub fn base(&self) -> &'a Base {
        self.base
    }

    /// One step of cross-entropy on the answers of a batch.
    pub fn tune(&mut self, batch: Batch, lr: f64) {
        self.tune_in_parts(vec![batch], lr);
    }

    /// Whether a step on so many sequences is read at once.
    pub fn reads_at_once(&self, sequences: usize) -> bool {
        self.micro_batch.is_none_or(|most| sequences <= most)
    }

    /// The sequences of a step, packed in the parts in which they are read.
    pub fn parts(&self, sequences: &[&Sequence]) -> Vec<Batch> {
        let most = self.micro_batch.unwrap_or(sequences.len()).max(1);
        sequences.chunks(most).map(|part| Batch::pack(part, self.base.pad())).collect()
    }

    /// One step of cross-entropy on the answers of a batch that is read in parts: their gradients are summed in
    /// order, each with its share of the mean; idle cores read some of them. Without any answer token there is no step.
    pub fn tune_in_parts(&mut self, parts: Vec<Batch>, lr: f64) {
        let all: usize = parts.iter().map(|part| part.rows.len()).sum();
        let how = Distillation { kind: Divergence::Forward, temperature: 1.0 };
        let parts = parts.into_iter().filter(|part| !part.rows.is_empty());
        self.learn_in_parts(parts.map(|part| Lesson::share_of_answers(part, all)).collect(), how, lr);
    }

    /// One step on the parts of a lesson, each read and forgotten before this thread reads the next; idle cores read some of
    /// them. Without a part there is no step.
    pub(crate) fn learn_in_parts(&mut self, lessons: Vec<Lesson>, how: Distillation, lr: f64) {
        self.tokens += lessons.iter().map(|lesson| lesson.batch.computed_tokens()).sum::<u64>();
        let (learner, several) = (&*self, lessons.len() > 1);
        let lessons = lessons.into_iter().enumerate().collect();
        let gradients = self.base.compute().cores().map(lessons, |(part, lesson): (usize, Lesson)| {
            let read = learner.read_part(&lesson.batch, several.then_some(part));
            learner.gradient(read, &lesson, how)
        });
        self.step_by_sum(gradients, lr);
    }

    /// Reads parts of a batch, which are kept until they are [learned](Self::learn) from; idle cores read some of them.
    pub(crate) fn read(&mut self, parts: &[Batch]) -> Vec<Read<'a>> {
        self.tokens += parts.iter().map(Batch::computed_tokens).sum::<u64>();
        let (learner, several) = (&*self, parts.len() > 1);
        let parts = parts.iter().enumerate().collect();
        self.base
            .compute()
            .cores()
            .map(parts, |(part, batch): (usize, &Batch)| learner.read_part(batch, several.then_some(part)))
    }

    /// Takes the step that the parts of a lesson teach, given what was read of each.
    pub(crate) fn learn(&mut self, read: Vec<Read<'a>>, lessons: Vec<Lesson>, how: Distillation, lr: f64) {
        let learner = &*self;
        let parts = read.into_iter().zip(lessons).collect();
        let gradients = self
            .base
            .compute()
            .cores()
            .map(parts, |(read, lesson): (Read<'_>, Lesson)| learner.gradient(read, &lesson, how));
        self.step_by_sum(gradients, lr);
    }

    /// A step by the sum of losses and gradients, in their order; none without any.
    fn step_by_sum(&mut self, gradients: Vec<(Tensor<1>, Tensor<1>)>, lr: f64) {
        let sum =
            gradients.into_iter().reduce(|(losses, sum), (loss, gradient)| (losses + loss, sum + gradient));
        if let Some((loss, gradient)) = sum {
            self.step(loss, gradient, lr);
        }
    }

    /// Reads one batch, or the part of one with the given number, on a tape of its own.
    fn read_part(&self, batch: &Batch, part: Option<usize>) -> Read<'a> {
        let pass = self.pass(part);
        let logits = answer_logits(&pass.decoder, batch, self.base.compute());
        Read { pass, logits }
    }

    /// Assembles the model with the trained tensors as leaves of a new tape. Parts of one step drop values of their own.
    fn pass(&self, part: Option<usize>) -> Pass<'a> {
        let dropout = self.dropout.as_ref().map(|dropout| {
            let step = dropout.at(&self.losses.len().to_string());
            match part {
                Some(part) => step.at(&part.to_string()),
                None => step,
            }
        });
        let mut trained =
            Attached { layout: self.layout, tensors: views(self.layout, &self.flat.state.values), dropout };
        let mut leaves = Vec::with_capacity(self.layout.entries().len());
        for entry in self.layout.entries() {
            let tensor = trained.tensors.get_mut(&entry.name).expect("every entry has a view");
            *tensor = tensor.clone().autodiff().require_grad();
            leaves.push(tensor.clone());
        }
        let frozen = self.beside.iter().map(|frozen| attached(frozen.layout, &frozen.values));
        let adapters: Vec<_> = frozen.chain([trained]).collect();
        let base = self.base;
        let decoder = Decoder::assemble(base.spec(), &base.tables, &base.weights, &adapters);
        Pass { decoder, leaves }
    }

    /// Logits of the rows that predict an answer token, `[rows, vocab]`, with one more adapter on the base, without a tape
    /// and without dropout.
    pub(crate) fn logits_beside(&self, batch: &Batch, more: AdapterRef<'_>) -> Tensor<2> {
        let device = self.base.compute().device();
        let values = Tensor::from_data(TensorData::new(more.1.to_vec(), [more.1.len()]), device);
        let frozen = self.beside.iter().map(|frozen| attached(frozen.layout, &frozen.values));
        let own = [attached(self.layout, &self.flat.state.values), attached(more.0, &values)];
        let adapters: Vec<_> = frozen.chain(own).collect();
        let base = self.base;
        let decoder = Decoder::assemble(base.spec(), &base.tables, &base.weights, &adapters);
        answer_logits(&decoder, batch, self.base.compute())
    }

    /// The loss of a lesson and its gradient in the order of the layout.
    fn gradient(
        &self,
        Read { pass, logits }: Read<'_>,
        lesson: &Lesson,
        how: Distillation,
    ) -> (Tensor<1>, Tensor<1>) {
        let device = self.base.compute().device();
        let taught = head::Lesson {
            targets: lesson.batch.targets.clone(),
            weights: lesson.ce_weights.clone(),
            soft: lesson.soft.clone(),
            kind: how.kind,
            temperature: how.temperature,
        };
        let loss = head::loss(logits, taught);
        let mut gradients = loss.backward();
        let parts = pass.leaves.into_iter().map(|leaf| {
            let [rows, columns] = leaf.dims();
            match leaf.grad_remove(&mut gradients) {
                Some(gradient) => gradient.reshape([rows * columns]),
                None => Tensor::zeros([rows * columns], device),
            }
        });
        (loss.inner(), Tensor::cat(parts.collect(), 0))
    }

    fn step(&mut self, loss: Tensor<1>, mut gradient: Tensor<1>, lr: f64) {
        if let Some((mu, start)) = &self.anchor {
            gradient = gradient + (self.flat.state.values.clone() - start.clone()).mul_scalar(*mu);
        }
        let decay = self.decay.as_ref();
        self.taken.push(match &self.rule {
            Rule::AdamW(rule) => self.flat.step(&loss, gradient, lr, rule, decay),
            Rule::Sgd(rule) => self.flat.descend(&loss, gradient, lr, rule, decay, self.correction.as_ref()),
        });
        self.losses.push(loss);
    }

    /// The loss of the step before, read back from the device.
    ///
    /// # Panics
    /// No step was taken.
    pub fn latest_loss(&self) -> f64 {
        f64::from(host(self.losses.last().expect("a step was taken").clone())[0])
    }

    /// Reads values, moments and losses back.
    pub fn finish(self) -> (Trained, Progress) {
        let steps = self.losses.len() as u64;
        let read = |scalars: Vec<Tensor<1>>| match scalars.len() {
            0 => Vec::new(),
            _ => host(Tensor::cat(scalars, 0)),
        };
        let (losses, taken) = (read(self.losses), read(self.taken));
        let counted: Vec<f64> = losses
            .iter()
            .zip(&taken)
            .filter(|(_, taken)| **taken > 0.0)
            .map(|(l, _)| f64::from(*l))
            .collect();
        let loss = (!counted.is_empty()).then(|| counted.iter().sum::<f64>() / counted.len() as f64);
        let progress = Progress { steps, skipped: steps - counted.len() as u64, loss, tokens: self.tokens };
        let state = self.flat.state;
        let moments =
            Moments { first: host(state.first), second: host(state.second), steps: self.flat.steps };
        (Trained { values: host(state.values), moments }, progress)
    }
}

/// Lengths of batches on WebGPU are multiples of this (chosen).
const LENGTH_STEP: usize = 16;

/// The tensors of an adapter by name, cut out of the flat buffer.
fn views(layout: &Layout, flat: &Tensor<1>) -> BTreeMap<String, Tensor<2>> {
    let cut =
        |offset: usize, shape: [usize; 2]| flat.clone().narrow(0, offset, shape[0] * shape[1]).reshape(shape);
    let trained = layout.entries().iter().map(|e| (e.name.clone(), cut(e.offset, e.shape)));
    let device = flat.device();
    let fixed = layout.fixed().iter().map(|fixed| {
        let data = TensorData::new(fixed.values.clone(), fixed.shape);
        (fixed.name.clone(), Tensor::from_data(data, &device))
    });
    trained.chain(fixed).collect()
}

fn attached<'a>(layout: &'a Layout, values: &Tensor<1>) -> Attached<'a> {
    Attached { layout, tensors: views(layout, values), dropout: None }
}

/// A model for reading only, with any number of adapters on its base.
pub(crate) fn reader<'a>(base: &'a Base, adapters: &[AdapterRef<'_>]) -> Decoder<'a> {
    let upload = |values: &[f32]| {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), base.compute().device())
    };
    let attached: Vec<_> =
        adapters.iter().map(|(layout, values)| attached(layout, &upload(values))).collect();
    Decoder::assemble(base.spec(), &base.tables, &base.weights, &attached)
}

/// Logits of the rows of `batch` that predict an answer token, `[rows, vocab]`.
///
/// On WebGPU every new length makes new buffers and pipelines, so there lengths are rounded up to few; what is read of a
/// sequence does not depend on what stands behind it.
pub(crate) fn answer_logits(decoder: &Decoder<'_>, batch: &Batch, compute: &Compute) -> Tensor<2> {
    let device = compute.device();
    let rounded = (!compute.is_cpu()).then(|| batch.rounded(LENGTH_STEP, decoder.longest()));
    let batch = rounded.as_ref().unwrap_or(batch);
    let hidden = decoder.hidden(int_tensor(&batch.ids, device), batch.batch, batch.time);
    decoder.logits(hidden.select(0, int_tensor(&batch.rows, device)))
}

/// Token ids or row numbers as a tensor.
pub(crate) fn int_tensor(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|v| *v as i32).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

/// Reads a float tensor back, row by row.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("every float tensor here is f32")
}
