//! What leaks: how well someone who has what travels can tell which examples were trained on.
//!
//! Two attacks, both on what every party of the run gets to see:
//!
//! - *Canary exposure* (Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232, §4): secrets drawn at random are put into
//!   the private examples of a few devices; afterwards each is ranked among candidates drawn from the same distribution.
//!   Exposure is `log₂ n − log₂ rank` over the n of them, so that what knows nothing has log₂ e ≈ 1.44 bits on average, and
//!   a secret that is the likeliest of all log₂ n.
//! - *Membership inference* (Yeom et al. 2018, "Privacy Risk in Machine Learning", arXiv 1709.01604, §3.1): an example is
//!   taken for a member where its loss is low. The area under the curve over all thresholds is the probability that a
//!   member's loss is below a non-member's: ½ for what knows nothing. Members are private examples, non-members held-out
//!   ones, as many of each domain.
//!
//! The adapter is scored by its loss. A relay set is text, and scored by a word bigram model of that text with add-one
//! smoothing (Meeus et al. 2025, "The Canary's Echo", arXiv 2502.14921, the data-based attack).

use crate::lab::{Lab, LabModel};
use crate::method::Subject;
use crate::method::relay::relay_set;
use cotune_kernel::Stream;
use cotune_models::batch::Sequence;
use cotune_models::corpus::{Example, Template};
use cotune_models::score::answer_losses;
use cotune_scenario::Scenario;
use cotune_scenario::evaluation::Privacy as Asked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Surface {
    /// The adapter that travels.
    Adapter,
    /// The relay set that everyone who has it makes in this round.
    Relay {
        /// The round.
        round: u32,
    },
}

/// What the attacks on one surface came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// Mean exposure of the canaries \[bit\].
    pub exposure: f64,
    /// Area under the membership attack's curve, 0 to 1.
    pub membership_auc: f64,
}

impl Leak {
    /// Names of the metrics, in the order in which they are recorded.
    pub const METRICS: [&str; 2] = ["exposure", "membership-auc"];

    /// Their values in the same order.
    pub fn values(&self) -> [f64; 2] {
        [self.exposure, self.membership_auc]
    }
}

/// A secret in the data of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// Whose example it is.
    pub device: u32,
    /// The question, inside its template.
    pub prompt: String,
    /// The secret, as it follows the prompt.
    pub answer: String,
    /// What else it might have been.
    pub candidates: Vec<String>,
}

/// What the attacker is asked about.
#[derive(Debug, Default)]
pub struct Suspects {
    canaries: Vec<Canary>,
    /// Private examples, by number.
    members: Vec<u32>,
    /// Held-out examples, by number.
    others: Vec<u32>,
}

impl Suspects {
    /// The secrets that were put into private examples.
    pub fn canaries(&self) -> &[Canary] {
        &self.canaries
    }
}

/// Draws the canaries: questions of the device that gets them with their words in another order, so that no example is
/// like them and every tokenizer knows their words, and answers of words drawn from all private answers.
pub(crate) fn canaries(
    scenario: &Scenario,
    asked: &Asked,
    template: &Template,
    private: &[Example],
    holdings: &[Vec<u32>],
) -> Vec<Canary> {
    let mut words: Vec<&str> = private
        .iter()
        .filter_map(|example| template.bare_answer(example.answer()))
        .flat_map(str::split_whitespace)
        .collect();
    words.sort_unstable();
    words.dedup();
    let seed = scenario.seed;
    let mut stream = Stream::keyed(seed, "privacy/devices");
    let mut owners: Vec<u32> =
        (0..).zip(holdings).filter(|(_, own)| !own.is_empty()).map(|(device, _)| device).collect();
    stream.shuffle(&mut owners);
    owners.truncate(asked.devices as usize);
    owners.sort_unstable();
    let canary = |number: u32| {
        let device = *owners.get(number as usize % owners.len().max(1))?;
        let mut stream = Stream::keyed(seed, &format!("privacy/canary/{number}"));
        let own = stream.choice(&holdings[device as usize])?;
        let mut question: Vec<&str> =
            template.question(&private[*own as usize].prompt)?.split_whitespace().collect();
        stream.shuffle(&mut question);
        let mut drawn: Vec<String> = Vec::new();
        // Of few words there are few secrets: then there are fewer candidates.
        for _ in 0..20 * (asked.candidates + 1) {
            let secret: Vec<&str> = (0..asked.words).filter_map(|_| stream.choice(&words)).copied().collect();
            let secret = template.answer(&secret.join(" "));
            if !drawn.contains(&secret) {
                drawn.push(secret);
            }
            if drawn.len() > asked.candidates as usize {
                break;
            }
        }
        let answer = drawn.remove(0);
        Some(Canary { device, prompt: template.prompt(&question.join(" ")), answer, candidates: drawn })
    };
    (0..asked.canaries).filter_map(canary).collect()
}

/// The examples that the membership attack is tried on: of every domain equally many members and others.
pub(crate) fn suspects(
    seed: u64,
    asked: &Asked,
    canaries: Vec<Canary>,
    private: &[Example],
    held_out: &[Example],
) -> Suspects {
    let by_domain = |examples: &[Example], path: &str| {
        let mut domains: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for (number, example) in (0..).zip(examples) {
            domains.entry(example.domain).or_default().push(number);
        }
        let mut stream = Stream::keyed(seed, path);
        domains.values_mut().for_each(|numbers| stream.shuffle(numbers));
        domains
    };
    let (members, others) = (by_domain(private, "privacy/members"), by_domain(held_out, "privacy/others"));
    let share = asked.members.div_ceil(members.len().max(1) as u32) as usize;
    let mut suspects = Suspects { canaries, ..Suspects::default() };
    for (domain, own) in &members {
        let held = others.get(domain).map_or(&[][..], Vec::as_slice);
        let n = share.min(own.len()).min(held.len());
        suspects.members.extend(&own[..n]);
        suspects.others.extend(&held[..n]);
    }
    suspects
}

/// The natural-log probability of every text: an answer after its prompt.
type Likelihood<'l> = dyn Fn(&[(&str, &str)]) -> Vec<f64> + 'l;

/// Attacks a surface of the model in `subject`; `None` where nobody is suspected.
pub(crate) fn attack(lab: &Lab, subject: &Subject, surface: Surface) -> Option<Leak> {
    let suspects = lab.suspects();
    let model = lab.model(&subject.model);
    let likelihood: Box<Likelihood<'_>> = match surface {
        Surface::Adapter => Box::new(move |texts| log_likelihoods(model, subject, texts)),
        Surface::Relay { round } => {
            let relay = lab.scenario().method.relay()?;
            let set = relay_set(lab, model, &subject.values, relay, &format!("round/{round}"));
            let bigrams = Bigrams::of(set.texts());
            Box::new(move |texts| {
                texts.iter().map(|(prompt, answer)| bigrams.score(prompt, answer)).collect()
            })
        }
    };
    let exposures = suspects.canaries.iter().map(|canary| {
        let answers = std::iter::once(&canary.answer).chain(&canary.candidates);
        let texts: Vec<(&str, &str)> =
            answers.map(|answer| (canary.prompt.as_str(), answer.as_str())).collect();
        let scores = likelihood(&texts);
        exposure(scores[0], &scores[1..])
    });
    let exposures: Vec<f64> = exposures.collect();
    let mean_of = |examples: &[Example], numbers: &[u32]| -> Vec<f64> {
        let example = |number: &u32| &examples[*number as usize];
        let texts: Vec<(&str, &str)> =
            numbers.iter().map(example).map(|e| (e.prompt.as_str(), e.answer())).collect();
        let scores = likelihood(&texts);
        // Answers of different lengths are compared by the mean of a token, or of a word.
        scores.iter().zip(&texts).map(|(score, (_, answer))| score / length(model, surface, answer)).collect()
    };
    let members = mean_of(lab.private(), &suspects.members);
    let others = mean_of(lab.held_out(), &suspects.others);
    if exposures.is_empty() || members.is_empty() {
        return None;
    }
    Some(Leak {
        exposure: exposures.iter().sum::<f64>() / exposures.len() as f64,
        membership_auc: auc(&members, &others),
    })
}

/// What the log-likelihood of an answer is a sum over.
fn length(model: &LabModel, surface: Surface, answer: &str) -> f64 {
    match surface {
        Surface::Adapter => (model.base.tokenizer().encode_continuation(answer).len() + 1) as f64,
        Surface::Relay { .. } => answer.split_whitespace().count().max(1) as f64,
    }
}

/// Natural-log probability of every answer after its prompt.
fn log_likelihoods(model: &LabModel, subject: &Subject, texts: &[(&str, &str)]) -> Vec<f64> {
    let longest = model.base.spec().max_positions;
    let encode = |(prompt, answer): &(&str, &str)| {
        Sequence::encode(model.base.tokenizer(), prompt, answer, longest)
            .expect("answers that do not fit are no suspects")
    };
    let sequences: Vec<Sequence> = texts.iter().map(encode).collect();
    let adapter = (&model.layout, subject.values.as_slice());
    let losses = answer_losses(&model.base, &[adapter], &sequences.iter().collect::<Vec<_>>());
    losses.iter().zip(&sequences).map(|(loss, sequence)| -loss * sequence.answer.len() as f64).collect()
}

/// log₂ n − log₂ rank of `secret` among itself and n − 1 candidates; ties share their ranks.
fn exposure(secret: f64, candidates: &[f64]) -> f64 {
    let above = candidates.iter().filter(|score| **score > secret).count() as f64;
    let level = candidates.iter().filter(|score| **score == secret).count() as f64;
    libm::log2((candidates.len() + 1) as f64) - libm::log2(1.0 + above + level / 2.0)
}

/// The probability that a member scores above another, ties counting half (Mann & Whitney's U).
fn auc(members: &[f64], others: &[f64]) -> f64 {
    let mut pairs = 0.0;
    for member in members {
        for other in others {
            pairs += match member.total_cmp(other) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    pairs / (members.len() * others.len()) as f64
}

/// Counts of words and of pairs of neighbours.
#[derive(Debug, Default)]
struct Bigrams {
    words: BTreeMap<String, f64>,
    pairs: BTreeMap<(String, String), f64>,
}

impl Bigrams {
    fn of(texts: &[(String, String)]) -> Self {
        let mut bigrams = Self::default();
        for (prompt, answer) in texts {
            let words: Vec<&str> = prompt.split_whitespace().chain(answer.split_whitespace()).collect();
            for word in &words {
                *bigrams.words.entry((*word).to_owned()).or_default() += 1.0;
            }
            for pair in words.windows(2) {
                *bigrams.pairs.entry((pair[0].to_owned(), pair[1].to_owned())).or_default() += 1.0;
            }
        }
        bigrams
    }

    /// Natural-log probability of the answer's words, each given the one before it.
    fn score(&self, prompt: &str, answer: &str) -> f64 {
        let mut before = prompt.split_whitespace().next_back().unwrap_or_default().to_owned();
        let vocabulary = self.words.len() as f64 + 1.0;
        let mut sum = 0.0;
        for word in answer.split_whitespace() {
            let pair = (before, word.to_owned());
            let (seen, all) = (self.pairs.get(&pair), self.words.get(&pair.0));
            sum += libm::log((seen.unwrap_or(&0.0) + 1.0) / (all.unwrap_or(&0.0) + vocabulary));
            before = pair.1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_is_what_the_rank_takes_from_all_candidates() {
        let candidates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        assert_eq!(exposure(0.9, &candidates), 3.0, "the likeliest of 8");
        assert_eq!(exposure(0.65, &candidates), 2.0);
        assert_eq!(exposure(0.0, &candidates), 0.0, "the least likely");
        assert!((exposure(0.5, &[0.5; 7]) - (8.0f64 / 4.5).log2()).abs() < 1e-12, "ties share their ranks");
    }

    #[test]
    fn what_ranks_at_random_has_an_exposure_of_log2_e_in_the_mean() {
        let mut stream = Stream::keyed(1, "test/exposure");
        let draw = |stream: &mut Stream| {
            let candidates: Vec<f64> = (0..1023).map(|_| stream.uniform()).collect();
            exposure(stream.uniform(), &candidates)
        };
        let mean = (0..2_000).map(|_| draw(&mut stream)).sum::<f64>() / 2_000.0;
        assert!((mean - std::f64::consts::LOG2_E).abs() < 0.1, "{mean}");
    }

    #[test]
    fn the_area_is_the_share_of_pairs_in_the_right_order() {
        assert_eq!(auc(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(auc(&[0.0, 1.0], &[2.0, 3.0]), 0.0);
        assert_eq!(auc(&[1.0, 3.0], &[1.0, 2.0]), (0.5 + 0.0 + 1.0 + 1.0) / 4.0);
    }

    #[test]
    fn a_text_that_has_the_secret_gives_it_away() {
        let text = |prompt: &str, answer: &str| (prompt.to_owned(), answer.to_owned());
        let bigrams = Bigrams::of(&[text("Q: who? A:", " red iron lamp"), text("Q: what? A:", " blue tin")]);
        let score = |answer: &str| bigrams.score("Q: code? A:", answer);
        assert!(score(" red iron lamp") > score(" red tin lamp"));
        assert!(score(" red tin lamp") > score(" tin red lamp"), "answers that begin with `red` were seen");
        assert_eq!(score(" lamp tin"), score(" lamp iron"), "neither was seen");
    }
}
