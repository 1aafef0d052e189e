//! Where two runs part: what `verify` and `compare` name.

use crate::event::Event;

/// The first place in which two streams differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Number of the event, from 1: the line in both logs.
    pub line: u64,
    /// What the left stream has there; `None` if it ended.
    pub left: Option<Event>,
    /// What the right stream has there; `None` if it ended.
    pub right: Option<Event>,
    /// Whether only what learning decides differs here.
    pub learned_only: bool,
}

/// Compares two streams and stops at the first difference. Floats are compared as they are encoded, so a NaN
/// equals itself. The first error of either stream ends the comparison.
pub fn first_difference<E>(
    left: impl IntoIterator<Item = Result<Event, E>>,
    right: impl IntoIterator<Item = Result<Event, E>>,
) -> Result<Option<Difference>, E> {
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let (mut left_line, mut right_line) = (Vec::new(), Vec::new());
    for line in 1.. {
        let (left, right) = (left.next().transpose()?, right.next().transpose()?);
        let (Some(a), Some(b)) = (&left, &right) else {
            let ended = left.is_none() && right.is_none();
            return Ok((!ended).then_some(Difference { line, left, right, learned_only: false }));
        };
        encode(a, &mut left_line);
        encode(b, &mut right_line);
        if left_line != right_line {
            let encoding = |event: &Event, buffer: &mut Vec<u8>| {
                event.schedule_form().map(|form| encode(&form, buffer)).is_some()
            };
            let both = encoding(a, &mut left_line) && encoding(b, &mut right_line);
            let learned_only = both && left_line == right_line;
            return Ok(Some(Difference { line, left, right, learned_only }));
        }
    }
    unreachable!("a stream of u64::MAX events does not fit any disk")
}

fn encode(event: &Event, buffer: &mut Vec<u8>) {
    buffer.clear();
    event.encode_into(buffer);
}
