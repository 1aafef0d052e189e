//! A decoder, its loss and its optimizer written down from burn's primitive operations and its automatic differentiation:
//! one text at a time, one head at a time, no padding, none of the product's kernels. Of the product it takes only numbers:
//! the base's weights, what the families' switches are, and where an adapter's values lie.

use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::SoftTargets;
use cotune_models::learner::Trained;
use cotune_models::optimizer::AdamW;
use cotune_models::spec::{Activation, DecoderSpec, Norm, Position, Residual, Rotary, Scaling};
use cotune_world::lab::LabModel;

type Tensors = BTreeMap<String, Tensor<2>>;

/// A base with tensors of an adapter on it.
pub struct Decoder<'m> {
    model: &'m LabModel,
    weights: Tensors,
    adapter: Tensors,
}

/// Loss and gradient of every value of an adapter.
pub struct Gradient {
    pub loss: f64,
    pub of: Vec<f32>,
}

fn floats<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn ints(values: &[u32]) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
    Tensor::from_data(values.as_slice(), &Device::flex())
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("every tensor is f32")
}

impl<'m> Decoder<'m> {
    /// The model with an adapter's values, to be read or, with a tape, to be differentiated.
    pub fn new(model: &'m LabModel, values: &[f32], tape: bool) -> Self {
        let matrix = |(name, shape): (String, Vec<usize>)| {
            let (rows, columns) = (shape[..shape.len() - 1].iter().product(), shape[shape.len() - 1]);
            let tensor = floats(model.base.host_values(&name), [rows, columns]);
            (name, tensor)
        };
        let weights = model.base.spec().tensors().into_iter().map(matrix).collect();
        let adapter = model.layout.entries().iter().map(|entry| {
            let tensor = floats(values[entry.offset..entry.offset + entry.len()].to_vec(), entry.shape);
            (entry.name.clone(), if tape { tensor.autodiff().require_grad() } else { tensor })
        });
        Self { model, weights, adapter: adapter.collect() }
    }

    /// Scores of every token after each prefix of `ids`, `[ids, vocab]`.
    pub fn logits(&self, ids: &[u32]) -> Tensor<2> {
        let spec = self.spec();
        let mut x = self.weight("embedding").select(0, ints(ids));
        if let Position::Learned { offset } = spec.position {
            x = x + self.weight("positions").slice([offset..offset + ids.len(), 0..spec.width]);
        }
        if spec.embedding_norm {
            x = self.norm("embedding_norm", x);
        }
        for block in 0..spec.layers {
            x = self.block(&format!("blocks.{block}"), x);
        }
        let x = self.norm("final_norm", x);
        match spec.tied {
            true => x.matmul(self.weight("embedding").transpose()),
            false => self.linear("head", x),
        }
    }

    /// The rows of logits that predict a text's answer, `[answer tokens][vocab]`.
    pub fn rows(&self, text: &Sequence) -> Vec<Vec<f32>> {
        read(self.answer(text)).chunks(self.spec().vocab).map(<[f32]>::to_vec).collect()
    }

    fn answer(&self, text: &Sequence) -> Tensor<2> {
        let ids: Vec<u32> = text.prompt.iter().chain(&text.answer).copied().collect();
        self.logits(&ids[..ids.len() - 1]).narrow(0, text.prompt.len() - 1, text.answer.len())
    }

    fn spec(&self) -> &'m DecoderSpec {
        self.model.base.spec()
    }

    fn weight(&self, name: &str) -> Tensor<2> {
        self.weights[name].clone()
    }

    fn norm(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let (spec, gain) = (self.spec(), self.weight(&format!("{name}.gain")));
        match spec.norm {
            Norm::Rms => {
                let mean_square = (x.clone() * x.clone()).mean_dim(1);
                x / (mean_square + spec.norm_epsilon).sqrt() * gain
            }
            Norm::Layer => {
                let centred = x.clone() - x.mean_dim(1);
                let variance = (centred.clone() * centred.clone()).mean_dim(1);
                centred / (variance + spec.norm_epsilon).sqrt() * gain + self.weight(&format!("{name}.bias"))
            }
        }
    }

    /// `x W + bias + Σ scale · (x A) B`.
    fn linear(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let mut y = x.clone().matmul(self.weight(&format!("{name}.weight")));
        if let Some(bias) = self.weights.get(&format!("{name}.bias")) {
            y = y + bias.clone();
        }
        match self.low_rank(name, x) {
            Some(update) => y + update,
            None => y,
        }
    }

    fn low_rank(&self, name: &str, x: Tensor<2>) -> Option<Tensor<2>> {
        let (a, b) =
            (self.adapter.get(&format!("{name}.lora_a"))?, self.adapter.get(&format!("{name}.lora_b"))?);
        Some(x.matmul(a.clone()).matmul(b.clone()) * self.model.layout.scale())
    }

    /// Query, key and value; each may have an update of its own beside the one of all.
    fn qkv(&self, block: &str, x: Tensor<2>) -> [Tensor<2>; 3] {
        let all = self.linear(&format!("{block}.qkv"), x.clone());
        let mut start = 0;
        let widths = self.spec().qkv_widths();
        [("q", widths[0]), ("k", widths[1]), ("v", widths[2])].map(|(part, width)| {
            let own = all.clone().narrow(1, start, width);
            start += width;
            match self.low_rank(&format!("{block}.{part}"), x.clone()) {
                Some(update) => own + update,
                None => own,
            }
        })
    }

    fn attention(&self, block: &str, x: Tensor<2>) -> Tensor<2> {
        let spec = self.spec();
        let (width, group) = (spec.head_width, spec.heads / spec.kv_heads);
        let [q, k, v] = self.qkv(block, x);
        let heads = (0..spec.heads).map(|head| {
            let of = |x: &Tensor<2>, head: usize| x.clone().narrow(1, head * width, width);
            let (q, k, v) = (of(&q, head), of(&k, head / group), of(&v, head / group));
            let (q, k) = match spec.position {
                Position::Rotary(rotary) => (rotated(q, rotary), rotated(k, rotary)),
                _ => (q, k),
            };
            let slope = if spec.position == Position::Alibi { slope(head, spec.heads) } else { 0.0 };
            let scores = q.matmul(k.transpose()) / (width as f64).sqrt();
            let scores = scores.clone() + penalties(scores.dims()[0], slope);
            activation::softmax(scores, 1).matmul(v)
        });
        self.linear(&format!("{block}.o"), Tensor::cat(heads.collect(), 1))
    }

    fn mlp(&self, block: &str, x: Tensor<2>) -> Tensor<2> {
        let up = self.linear(&format!("{block}.up"), x.clone());
        let inner = match self.spec().activation {
            Activation::SwiGlu => {
                let gate = self.linear(&format!("{block}.gate"), x);
                gate.clone() * activation::sigmoid(gate) * up
            }
            Activation::Gelu => {
                let u = (up.clone() + up.clone() * up.clone() * up.clone() * 0.044_715) * (2.0 / PI).sqrt();
                up * 0.5 * (u.tanh() + 1.0)
            }
            Activation::GeluErf => up.clone() * 0.5 * ((up / 2.0_f64.sqrt()).erf() + 1.0),
            Activation::Relu => activation::relu(up),
        };
        self.linear(&format!("{block}.down"), inner)
    }

    fn block(&self, name: &str, x: Tensor<2>) -> Tensor<2> {
        let first = self.norm(&format!("{name}.attention_norm"), x.clone());
        let second = |x| self.norm(&format!("{name}.mlp_norm"), x);
        match self.spec().residual {
            Residual::Serial => {
                let x = x + self.attention(name, first);
                x.clone() + self.mlp(name, second(x))
            }
            Residual::Parallel => x.clone() + self.attention(name, first) + self.mlp(name, second(x)),
            Residual::ParallelShared => x + self.attention(name, first.clone()) + self.mlp(name, first),
        }
    }

    /// `ce` · mean −log p over the answers' tokens + `kl` · mean KL(soft ‖ model) over the soft rows, and its gradient.
    /// A text's soft targets are none where nobody taught it.
    pub fn gradient(&self, texts: &[(&Sequence, Option<&SoftTargets>)], (ce, kl): (f64, f64)) -> Gradient {
        let answers: usize = texts.iter().map(|(text, _)| text.answer.len()).sum();
        let taught: usize = texts.iter().filter_map(|(_, soft)| *soft).map(|soft| soft.rows.len()).sum();
        let mut loss = Tensor::<1>::zeros([1], &Device::flex());
        for (text, soft) in texts {
            let log_p = activation::log_softmax(self.answer(text), 1);
            let own = log_p.clone().gather(1, ints(&text.answer).reshape([text.answer.len(), 1]));
            loss = loss - own.sum() * (ce / answers as f64);
            if let Some(soft) = soft.filter(|soft| !soft.rows.is_empty()) {
                let shape = [soft.rows.len(), soft.k];
                let log_q = log_p.select(0, ints(&soft.rows)).gather(1, ints(&soft.ids).reshape(shape));
                let entropy: f64 = soft
                    .probabilities
                    .iter()
                    .map(|p| f64::from(*p))
                    .filter(|p| *p > 0.0)
                    .map(|p| p * p.ln())
                    .sum();
                let cross = (floats(soft.probabilities.clone(), shape) * log_q).sum();
                loss = loss - (cross - entropy) * (kl / taught as f64);
            }
        }
        let mut gradients = loss.backward();
        let of = self.model.layout.entries().iter().flat_map(|entry| {
            let gradient = self.adapter[&entry.name].grad_remove(&mut gradients);
            gradient.map_or_else(|| vec![0.0; entry.len()], read)
        });
        let of = of.collect();
        Gradient { loss: f64::from(read(loss.inner())[0]), of }
    }
}

/// Scores of what comes later are out of reach; ALiBi's grow smaller with the distance.
fn penalties(time: usize, slope: f64) -> Tensor<2> {
    let one = |(i, j): (usize, usize)| if j > i { -1e9 } else { -slope * (i - j) as f64 };
    let all = (0..time).flat_map(|i| (0..time).map(move |j| (i, j)));
    floats(all.map(one).map(|penalty| penalty as f32).collect(), [time, time])
}

/// ALiBi's slope of a head: a geometric series that ends at 2⁻⁸.
fn slope(head: usize, heads: usize) -> f64 {
    assert!(heads.is_power_of_two(), "the reference knows no other slopes");
    2.0_f64.powf(-8.0 * (head + 1) as f64 / heads as f64)
}

/// Rotates a head `[time, width]`: place j with place j + width/2, by `position · base^(−2j/width)`.
fn rotated(x: Tensor<2>, rotary: Rotary) -> Tensor<2> {
    let [time, width] = x.dims();
    let plain = rotary.width == width && !rotary.interleaved && rotary.scaling == Scaling::None;
    assert!(plain, "the reference rotates whole heads by halves only");
    let half = width / 2;
    let table = |f: fn(f64) -> f64| {
        let angle = |i: usize, j: usize| i as f64 * rotary.base.powf(-2.0 * j as f64 / width as f64);
        let all = (0..time).flat_map(|i| (0..half).map(move |j| (i, j)));
        floats(all.map(|(i, j)| f(angle(i, j)) as f32).collect(), [time, half])
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let (first, second): (Tensor<2>, Tensor<2>) = (x.clone().narrow(1, 0, half), x.narrow(1, half, half));
    let turned = [first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
    Tensor::cat(turned.to_vec(), 1)
}

/// A step of AdamW (Loshchilov & Hutter 2019, algorithm 2) down a gradient whose global norm is at most the rule's: decay
/// is decoupled, and of matrices only.
pub fn adamw(model: &LabModel, state: &mut Trained, gradient: &Gradient, rule: &AdamW, lr: f64) {
    let moments = &mut state.moments;
    moments.first.resize(state.values.len(), 0.0);
    moments.second.resize(state.values.len(), 0.0);
    moments.steps += 1;
    let t = moments.steps as i32;
    let norm = gradient.of.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    assert!((gradient.loss + norm).is_finite(), "the reference has no step for what is not finite");
    let scale = (rule.clip / (norm + 1e-6)).min(1.0);
    for entry in model.layout.entries() {
        let decay = if entry.decays() { rule.weight_decay } else { 0.0 };
        let range: Range<usize> = entry.offset..entry.offset + entry.len();
        for i in range {
            let g = scale * f64::from(gradient.of[i]);
            let m = rule.beta1 * f64::from(moments.first[i]) + (1.0 - rule.beta1) * g;
            let v = rule.beta2 * f64::from(moments.second[i]) + (1.0 - rule.beta2) * g * g;
            let mean = m / (1.0 - rule.beta1.powi(t));
            let root = (v / (1.0 - rule.beta2.powi(t))).sqrt();
            let value = f64::from(state.values[i]);
            state.values[i] = (value - lr * (decay * value + mean / (root + rule.epsilon))) as f32;
            (moments.first[i], moments.second[i]) = (m as f32, v as f32);
        }
    }
}
