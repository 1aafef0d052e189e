//! Token alignment: which rows and which tokens of a teacher speak about which of a student's.
//!
//! Two tokenizers cut the same answer differently. An [`Aligner`] says, for one ordered pair of tokenizers,
//! which logit row of the teacher predicts the same thing as which row of the student ([`Aligner::align`])
//! and which student token stands for a teacher token ([`Aligner::map_token`]). It knows tokenizers and token
//! ids only: no logits.
//!
//! **Rows.** Both sequences are the token ids of one answer text with the end-of-sequence token appended. Row
//! `j` is the logit row that predicts token `j`; row 0 is therefore the last row of the prompt.
//!
//! Sources: FedMKT (arXiv 2406.02224, appendix B) and FuseLLM for `dtw`; GOLD, ALM and X-Token for `bytes`.

mod bytes;
mod cached;
mod dtw;
mod levenshtein;
mod vocab_map;

pub use cached::CachedAligner;
pub use dtw::{Path as DtwPath, warp};
pub use levenshtein::{distance, distance_within};
pub use vocab_map::VocabMap;

use crate::cores::Cores;
use crate::tokenizer::Tokenizer;

/// How positions are matched.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Rows match where the bytes consumed before them are equal.
    #[default]
    Bytes,
    /// Dynamic time warping over token strings, the default of the paper's era.
    Dtw,
}

/// How teacher tokens become student tokens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Vocab {
    /// Tokens of equal bytes only.
    Equal,
    /// Equal bytes, or else the first token of the student's encoding of the teacher's token.
    #[default]
    FirstToken,
    /// Equal strings after swapping the space marker, or else the least edit distance (FedMKT, FuseLLM).
    Edit,
}

/// What an unmatched student row is taught.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Nothing.
    #[default]
    Off,
    /// The token the row predicts, one-hot.
    Target,
    /// The token *before* the one the row predicts, one-hot: FATE-LLM's off-by-one, kept for parity only.
    Fate,
}

/// The three choices together.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct AlignSpec {
    /// How positions are matched.
    pub align: Align,
    /// How teacher tokens become student tokens.
    pub vocab: Vocab,
    /// What an unmatched student row is taught.
    pub fallback: Fallback,
}

/// Which rows of one answer belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// `(teacher row, student row)`, both strictly increasing.
    pub pairs: Vec<(usize, usize)>,
    /// `(student row, student token)`: one-hot targets of unmatched rows, by row; empty under
    /// [`Fallback::Off`].
    pub fallback: Vec<(usize, u32)>,
}

/// Alignment from one tokenizer (the teacher's) to another (the student's).
///
/// Making one builds the vocabulary map (for [`Vocab::Edit`] every pair of tokens is considered): make it
/// once per pair of tokenizers and share it.
#[derive(Clone, Debug)]
pub struct Aligner {
    teacher: Tokenizer,
    student: Tokenizer,
    spec: AlignSpec,
    vocab: VocabMap,
}

impl Aligner {
    /// Prepares the alignment of `teacher`'s rows and tokens to `student`'s. Equal tokenizers align as the
    /// identity, whatever `spec` says (plain deep mutual learning, Zhang et al. 2018).
    pub fn new(teacher: &Tokenizer, student: &Tokenizer, spec: AlignSpec) -> Self {
        Self::with_cores(teacher, student, spec, &Cores::none())
    }

    /// The same, with idle cores to build the vocabulary map on.
    pub fn with_cores(teacher: &Tokenizer, student: &Tokenizer, spec: AlignSpec, cores: &Cores) -> Self {
        let vocab = VocabMap::new(teacher, student, spec.vocab, cores);
        Self { teacher: teacher.clone(), student: student.clone(), spec, vocab }
    }

    /// Whether both sides have the same tokenizer.
    pub fn is_identity(&self) -> bool {
        self.teacher == self.student
    }

    /// The choices this aligner was made with.
    pub fn spec(&self) -> AlignSpec {
        self.spec
    }

    /// The student token that stands for a teacher token; none where the map leaves it out.
    pub fn map_token(&self, teacher_id: u32) -> Option<u32> {
        self.vocab.get(teacher_id)
    }

    /// The vocabulary map.
    pub fn vocab(&self) -> &VocabMap {
        &self.vocab
    }

    /// Matches the rows of one answer, tokenized by both sides, the end-of-sequence token included.
    pub fn align(&self, teacher_ids: &[u32], student_ids: &[u32]) -> Alignment {
        let pairs = if self.is_identity() {
            (0..teacher_ids.len().min(student_ids.len())).map(|row| (row, row)).collect()
        } else {
            match self.spec.align {
                Align::Bytes => bytes::pairs(&self.teacher, teacher_ids, &self.student, student_ids),
                Align::Dtw => dtw::pairs(&self.teacher, teacher_ids, &self.student, student_ids, &self.vocab),
            }
        };
        let fallback = self.fallback(&pairs, student_ids);
        Alignment { pairs, fallback }
    }

    fn fallback(&self, pairs: &[(usize, usize)], student_ids: &[u32]) -> Vec<(usize, u32)> {
        let unmatched =
            (0..student_ids.len()).filter(|row| pairs.binary_search_by_key(row, |pair| pair.1).is_err());
        match self.spec.fallback {
            Fallback::Off => Vec::new(),
            Fallback::Target => unmatched.map(|row| (row, student_ids[row])).collect(),
            // Row 0 stands on the prompt's last token, which an answer does not know.
            Fallback::Fate => {
                unmatched.filter(|row| *row > 0).map(|row| (row, student_ids[row - 1])).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
