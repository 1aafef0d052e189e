//! What became of the rows of a file.

use std::fmt;

/// Why a row was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Malformed,
    Unanswered,
    NoDomain,
    TooLong,
    OtherLabel,
    Duplicate,
    OtherHalf,
    OverLimit,
}

/// What became of the rows of a file: `read` is the sum of all other counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadReport {
    /// Rows of the file; blank lines are none.
    pub read: usize,
    /// Rows kept.
    pub kept: usize,
    /// Rows that are not of the file's form.
    pub malformed: usize,
    /// Rows without an answer.
    pub unanswered: usize,
    /// Rows that name no domain, in a source that has none.
    pub no_domain: usize,
    /// Questions or answers over the limit.
    pub too_long: usize,
    /// Rows of labels that were not chosen.
    pub other_label: usize,
    /// Prompts that occurred before.
    pub duplicate: usize,
    /// Rows of the other half.
    pub other_half: usize,
    /// Rows after the limit was reached.
    pub over_limit: usize,
}

impl ReadReport {
    pub(super) fn count(&mut self, reason: Reason, rows: usize) {
        *match reason {
            Reason::Malformed => &mut self.malformed,
            Reason::Unanswered => &mut self.unanswered,
            Reason::NoDomain => &mut self.no_domain,
            Reason::TooLong => &mut self.too_long,
            Reason::OtherLabel => &mut self.other_label,
            Reason::Duplicate => &mut self.duplicate,
            Reason::OtherHalf => &mut self.other_half,
            Reason::OverLimit => &mut self.over_limit,
        } += rows;
    }

    /// The counts of rows that were not kept, with their names.
    pub fn dropped(&self) -> [(&'static str, usize); 8] {
        [
            ("malformed", self.malformed),
            ("unanswered", self.unanswered),
            ("without a domain", self.no_domain),
            ("too long", self.too_long),
            ("of other labels", self.other_label),
            ("duplicate", self.duplicate),
            ("of the other half", self.other_half),
            ("over the limit", self.over_limit),
        ]
    }
}

impl fmt::Display for ReadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows kept", self.kept, self.read)?;
        for (name, rows) in self.dropped().into_iter().filter(|(_, rows)| *rows > 0) {
            write!(f, ", {rows} {name}")?;
        }
        Ok(())
    }
}
