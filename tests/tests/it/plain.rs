//! The parts of plain loops: what the references of `plain_fedcollm.rs` and `plain_fedmkt.rs` are made of. Everything is
//! written from the papers' equations, one text at a time; of the models only logits, tokenizers and optimizer steps are used. These are
//! held by tests of their own, which use none of the fused paths: forward and gradients of the head by the reference tests
//! of `models/src/kernels/head.rs`, steps of learners by `models/tests/neural.rs`, tokenizers by `models/src/tokenizer`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cotune_kernel::Stream;
use cotune_models::batch::{Batch, Sequence};
use cotune_models::kernels::head::{Divergence, SoftTargets};
use cotune_models::learner::{Distillation, Learner, Trained};
use cotune_models::mutual::{Extra, taught_step};
use cotune_models::optimizer::{AdamW, Schedule};
use cotune_models::score::score_ids;
use cotune_models::tokenizer::Tokenizer;
use cotune_record::{Digest, EventKind};
use cotune_tests::play;
use cotune_world::Plan;
use cotune_world::lab::LabModel;
use cotune_world::method::{CloudTask, DeviceTask, State, Update};

pub const ROUNDS: u32 = 2;
pub const BATCH: usize = 4;
pub const LR: f64 = 0.01;
pub const CLOUD_LR: f64 = 0.004;
pub const FLOOR: f64 = 0.15;
/// Large enough that a gradient which is nothing but rounding moves nothing.
pub const EPSILON: f64 = 1e-5;

/// The optimizer of all that follows, as a table's key.
pub fn optimizer() -> String {
    format!(
        "optimizer.adamw = {{ lr = {LR}, cloud_lr = {CLOUD_LR}, floor = {FLOOR}, schedule = \"cosine\", eps = {EPSILON} }}"
    )
}

/// The same as a rule.
fn rule() -> AdamW {
    AdamW { epsilon: EPSILON, ..AdamW::default() }
}

/// The learning rate of a round.
pub fn rate(first: f64, round: u32) -> f64 {
    first * Schedule::Cosine.factor(f64::from(round - 1) / f64::from(ROUNDS), FLOOR)
}

/// Numbers of examples, shuffled and taken from the end, a batch at a time.
pub struct Order {
    of: usize,
    left: Vec<usize>,
    stream: Stream,
}

impl Order {
    pub fn new(of: usize, path: &str) -> Self {
        Self { of, left: Vec::new(), stream: Stream::keyed(1, path) }
    }

    pub fn next(&mut self) -> Vec<usize> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            if self.left.is_empty() {
                self.left = (0..self.of).collect();
                self.stream.shuffle(&mut self.left);
            }
            batch.extend(self.left.pop());
        }
        batch
    }
}

/// The private texts of a device.
pub fn private(plan: &Plan, model: &LabModel, device: u32) -> Vec<Sequence> {
    plan.lab().examples_of(device).iter().map(|i| model.text.private[*i as usize].clone()).collect()
}

/// Steps of cross-entropy.
pub fn tune(
    model: &LabModel,
    start: &Trained,
    text: &[Sequence],
    steps: usize,
    path: &str,
    lr: f64,
) -> Trained {
    let mut order = Order::new(text.len(), path);
    let mut learner = Learner::new(&model.base, &model.layout, start, rule());
    for _ in 0..steps {
        let batch: Vec<&Sequence> = order.next().into_iter().map(|i| &text[i]).collect();
        learner.tune(Batch::pack(&batch, model.base.tokenizer().pad()), lr);
    }
    learner.finish().0
}

/// One step of `ce` · CE + `kl` · KL on texts with soft targets.
pub fn step(
    model: &LabModel,
    start: &Trained,
    (text, soft): (Vec<&Sequence>, Vec<&SoftTargets>),
    (ce, kl): (f64, f64),
    lr: f64,
) -> Trained {
    let mut learner = Learner::new(&model.base, &model.layout, start, rule());
    let how = Distillation { kind: Divergence::Forward, temperature: 1.0 };
    taught_step(&mut learner, &[Extra { sequences: text, soft, ce, kl }], how, lr);
    learner.finish().0
}

/// The rows of logits that predict a text's answer, `[answer tokens][vocab]`.
pub fn rows(model: &LabModel, values: &[f32], text: &Sequence) -> Vec<Vec<f32>> {
    let ids: Vec<u32> = text.prompt.iter().chain(&text.answer).copied().collect();
    let scored = score_ids(&model.base, &[(&model.layout, values)], &ids);
    let rows = scored.logits.chunks(model.base.spec().vocab).map(<[f32]>::to_vec);
    rows.skip(text.prompt.len() - 1).take(text.answer.len()).collect()
}

/// Mean of −log p over the tokens of an answer.
pub fn loss(rows: &[Vec<f32>], answer: &[u32]) -> f64 {
    let one = |(row, token): (&Vec<f32>, &u32)| {
        let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
        sum.ln() - f64::from(row[*token as usize])
    };
    rows.iter().zip(answer).map(one).sum::<f64>() / answer.len() as f64
}

/// How rows and tokens of one model are matched with another's.
#[derive(Clone, Copy)]
pub enum Matching {
    /// Equal bytes before the row; equal bytes, or the first token of a token's spelling.
    Bytes,
    /// Warped token strings; equal strings, or the nearest.
    Warped,
}

/// Maps of one ordered pair of models.
pub struct Pair<'a> {
    teacher: &'a Tokenizer,
    student: &'a Tokenizer,
    matching: Matching,
    known: BTreeMap<u32, Option<u32>>,
}

impl<'a> Pair<'a> {
    pub fn new(teacher: &'a LabModel, student: &'a LabModel, matching: Matching) -> Self {
        let (teacher, student) = (teacher.base.tokenizer(), student.base.tokenizer());
        Self { teacher, student, matching, known: BTreeMap::new() }
    }

    /// Soft targets of a teacher's rows on its answer, for a student that reads the same answer in its own tokens.
    pub fn soft(&mut self, rows: &[Vec<f32>], theirs: &[u32], own: &[u32], k: usize) -> SoftTargets {
        let mut soft = SoftTargets { k, ..SoftTargets::default() };
        for (row_a, row_b) in self.matched(theirs, own) {
            let mut order: Vec<usize> = (0..rows[row_a].len()).collect();
            order.sort_by(|a, b| rows[row_a][*b].total_cmp(&rows[row_a][*a]).then(a.cmp(b)));
            let mut kept: Vec<(u32, f64)> = Vec::new();
            for id in order.into_iter().take(k) {
                let mapped = self.token(id as u32);
                if let Some(mapped) = mapped.filter(|mapped| kept.iter().all(|(seen, _)| seen != mapped)) {
                    kept.push((mapped, f64::from(rows[row_a][id])));
                }
            }
            let Some((first, largest)) = kept.first().copied() else { continue };
            let total: f64 = kept.iter().map(|(_, z)| (z - largest).exp()).sum();
            soft.rows.push(row_b as u32);
            for at in 0..k {
                let (id, p) = kept.get(at).map_or((first, 0.0), |(id, z)| (*id, (z - largest).exp() / total));
                soft.ids.push(id);
                soft.probabilities.push(p as f32);
            }
            soft.rest.push(0.0);
            soft.weights.push(1.0);
        }
        soft
    }

    fn matched(&self, theirs: &[u32], own: &[u32]) -> Vec<(usize, usize)> {
        if self.teacher == self.student {
            return (0..own.len()).map(|row| (row, row)).collect();
        }
        match self.matching {
            Matching::Bytes => {
                let before = |tokenizer: &Tokenizer, ids: &[u32], row: usize| -> usize {
                    ids[..row].iter().map(|id| tokenizer.token_bytes(*id).len()).sum()
                };
                let all = (0..own.len()).flat_map(|b| (0..theirs.len()).map(move |a| (a, b)));
                all.filter(|(a, b)| before(self.teacher, theirs, *a) == before(self.student, own, *b))
                    .collect()
            }
            Matching::Warped => {
                let links = warped(&strings(self.teacher, theirs), &strings(self.student, own));
                let mut pairs = vec![(0, 0)];
                for (b, token) in own[..own.len() - 1].iter().enumerate() {
                    let linked: Vec<usize> =
                        links.iter().filter(|link| link.1 == b).map(|link| link.0).collect();
                    if let [a] = linked[..]
                        && a + 1 < theirs.len()
                        && nearest(self.teacher, self.student, theirs[a]) == Some(*token)
                    {
                        pairs.push((a + 1, b + 1));
                    }
                }
                pairs
            }
        }
    }

    /// The student's token for a teacher's.
    fn token(&mut self, id: u32) -> Option<u32> {
        if self.teacher == self.student {
            return Some(id);
        }
        let (teacher, student) = (self.teacher, self.student);
        *self.known.entry(id).or_insert_with(|| match self.matching {
            Matching::Bytes => spelled(teacher, student, id),
            Matching::Warped => nearest(teacher, student, id),
        })
    }
}

/// Special tokens go by their meaning; what an ordinary one becomes is asked of `or`.
fn special(teacher: &Tokenizer, student: &Tokenizer, id: u32, or: impl Fn() -> Option<u32>) -> Option<u32> {
    match id {
        id if id == teacher.eos() => Some(student.eos()),
        id if id == teacher.pad() => Some(student.pad()),
        id if Some(id) == teacher.unknown() => student.unknown(),
        id if teacher.is_special(id) || teacher.token_text(id).is_empty() => None,
        _ => or(),
    }
}

fn ordinary(student: &Tokenizer) -> impl Iterator<Item = u32> + '_ {
    let ids = 0..student.vocab_size() as u32;
    ids.filter(|id| !student.is_special(*id) && !student.token_text(*id).is_empty())
}

fn spelled(teacher: &Tokenizer, student: &Tokenizer, id: u32) -> Option<u32> {
    special(teacher, student, id, || {
        let bytes = teacher.token_bytes(id);
        let equal = |bytes: &[u8]| ordinary(student).find(|other| student.token_bytes(*other) == bytes);
        equal(bytes).or_else(|| match std::str::from_utf8(bytes) {
            Ok(text) => student.encode(text).first().copied().filter(|first| !student.is_special(*first)),
            Err(_) => (1..bytes.len()).rev().find_map(|end| equal(&bytes[..end])),
        })
    })
}

fn nearest(teacher: &Tokenizer, student: &Tokenizer, id: u32) -> Option<u32> {
    special(teacher, student, id, || {
        let (from, to) = (teacher.surface().space(), student.surface().space());
        let text = teacher.token_text(id).replace(from, &to.to_string());
        ordinary(student).min_by_key(|other| edits(&text, student.token_text(*other)))
    })
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            next.push((row[j] + usize::from(x != *y)).min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[b.len()]
}

/// Token strings without markers of spaces.
fn strings(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let one = |id: &u32| match *id == tokenizer.eos() {
        true => "<eos>".to_owned(),
        false => tokenizer.token_text(*id).replace(tokenizer.surface().space(), ""),
    };
    ids.iter().map(one).collect()
}

/// Dynamic time warping: every pair of positions on the cheapest path; of equal steps diagonal, up, left.
fn warped(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let mut cost = vec![vec![f64::INFINITY; b.len() + 1]; a.len() + 1];
    cost[0][0] = 0.0;
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let least = cost[i - 1][j - 1].min(cost[i - 1][j]).min(cost[i][j - 1]);
            cost[i][j] = least + edits(&a[i - 1], &b[j - 1]) as f64;
        }
    }
    let (mut i, mut j, mut path) = (a.len(), b.len(), Vec::new());
    while i > 0 && j > 0 {
        path.push((i - 1, j - 1));
        let least = cost[i - 1][j - 1].min(cost[i - 1][j]).min(cost[i][j - 1]);
        if cost[i - 1][j - 1] == least {
            (i, j) = (i - 1, j - 1);
        } else if cost[i - 1][j] == least {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    path
}

/// Where a method of the simulation is after [`ROUNDS`] rounds in which everybody takes part.
pub struct Driven {
    pub cloud: State,
    pub devices: BTreeMap<u32, State>,
}

/// Drives a method's functions by hand, and holds the simulation to what comes out.
pub fn driven(plan: &Arc<Plan>) -> Driven {
    let (lab, method, devices) = (plan.lab(), plan.method(), plan.fleet().devices());
    let model = |device: u32| plan.fleet().class_of(device).model.to_string();
    let mut cloud = method.start_cloud(lab);
    let mut states: BTreeMap<u32, State> =
        (0..devices).map(|device| (device, method.start_device(lab, &model(device)))).collect();
    for round in 1..=ROUNDS {
        let progress = f64::from(round - 1) / f64::from(ROUNDS);
        let mut updates = Vec::new();
        for device in 0..devices {
            let task = DeviceTask { device, model: model(device), round, progress };
            let received = method.broadcast(lab, &cloud, &task.model, round);
            let done = method.device_work(lab, &task, states[&device].clone(), &received);
            states.insert(device, done.state);
            updates.push(Update {
                device,
                model: task.model,
                examples: lab.examples_of(device).len() as u64,
                discount: 1.0,
                base: None,
                payload: Arc::new(done.update),
            });
        }
        let folded = method.fold(lab, cloud, &updates);
        cloud = method.cloud_work(lab, &CloudTask { round, progress }, folded, &updates).state;
    }
    let last = play(plan, 2, true).events.into_iter().rev().find_map(|event| match event.kind {
        EventKind::CloudTrained { state, .. } => state,
        _ => None,
    });
    let bytes: Vec<u8> = cloud
        .iter()
        .flat_map(|(name, trained)| {
            name.bytes()
                .chain(trained.values.iter().flat_map(|value| value.to_le_bytes()))
                .collect::<Vec<u8>>()
        })
        .collect();
    assert_eq!(last, Some(Digest::of(&bytes)), "the actors come to the weights of the method's functions");
    Driven { cloud, devices: states }
}

/// Values of a model agree to 1e-5, and are not those it started with.
pub fn agree(what: &str, simulated: &[f32], plain: &[f32], start: &[f32]) {
    let furthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(simulated.len(), plain.len(), "{what}");
    let (apart, moved) = (furthest(simulated, plain), furthest(plain, start));
    assert!(moved > 1e-3, "{what} moved by {moved} only");
    assert!(apart < 1e-5, "{what} is {apart} away from the plain loop, having moved by {moved}");
}
