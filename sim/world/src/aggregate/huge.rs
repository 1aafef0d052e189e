//! What no plain mean takes: an update whose change is more than a thousand times as long as is usual. One such update alone
//! would decide what the mean is, whatever all others say.
//!
//! Thresholds on norms are those of Sun et al. 2019, "Can You Really Backdoor Federated Learning?", arXiv 1911.07963, §3. The
//! usual length is the median of a round's changes and, where they are fewer than three, of the last ones that were taken. The
//! factor is chosen: devices that learn differ by their examples and steps, and seldom by more. Where most have learned what
//! there is and one begins, it could still be so; therefore a change that is not longer than the model's own values is never
//! too long. Before three changes are known, these values stand for what is usual. What is merely large reaches the mean; the
//! robust rules are for that, where there are three updates or more.

use super::norm_clip::{length, middle};
use crate::method::{State, Update};
use crate::payload::Content;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Display};

/// So many times the usual length is too long (chosen).
const MOST: f64 = 1e3;

/// Of fewer changes none is usual.
const LEAST: usize = 3;

/// Changes of a part that are remembered (chosen).
const REMEMBERED: usize = 15;

/// Why an update is too long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Huge {
    /// What of it.
    pub content: Content,
    /// How many times as long its change is as it is compared with.
    pub times: f64,
    /// Whether that is the usual change; else the model's own values.
    pub is_usual_known: bool,
}

impl Display for Huge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content, times, is_usual_known } = self;
        let than = if *is_usual_known { "is usual there" } else { "the model's own values" };
        write!(formatter, "the change of its {} is {times:.1e} times as long as {than}", content.name())
    }
}

/// For every update what of it is too long, if anything is. `is_judged` says which parts are looked at where three updates or
/// more have them, and `last` has the lengths of their last changes that were taken, by part; those of these updates join them.
/// Changes of adapters are to what the device was sent or, where that is as the cloud has it, to `cloud`; an adapter that begins
/// anew changes nothing's values, as do control variates and whole updates. Who changed nothing says nothing of what is usual.
pub(crate) fn huge(
    updates: &[Update],
    cloud: &State,
    last: &mut BTreeMap<String, VecDeque<f64>>,
    is_judged: impl Fn(Content) -> bool,
) -> Vec<Option<Huge>> {
    let mut found: Vec<Option<Huge>> = vec![None; updates.len()];
    let mut measured = Vec::new();
    let parts: BTreeSet<(Content, &str)> = updates
        .iter()
        .flat_map(|update| update.payload.changes())
        .map(|(content, model, _)| (content, model))
        .collect();
    for (content, model) in parts {
        let part = format!("{} of {model}", content.name());
        let changes: Vec<Option<Change>> =
            updates.iter().map(|update| Change::of(update, cloud, content, model)).collect();
        // Among fewer no rule can tell who is wrong.
        if !is_judged(content) && changes.iter().flatten().count() >= LEAST {
            continue;
        }
        let usual = usual(&changes, last.get(&part));
        for (change, found) in changes.iter().zip(&mut found) {
            let too_long = change.and_then(|change| change.too_long(content, usual));
            *found = found.or(too_long);
        }
        measured.push((part, changes));
    }
    for (part, changes) in measured {
        let taken = changes.iter().zip(&found).filter(|(_, found)| found.is_none());
        let lengths = taken.filter_map(|(change, _)| *change).map(|change| change.length);
        let known = last.entry(part).or_default();
        known.extend(lengths.filter(|length| *length > 0.0));
        known.drain(..known.len().saturating_sub(REMEMBERED));
    }
    found
}

/// The median of a round's own changes or, where these are too few, of the last ones; none where those are too few as well.
fn usual(changes: &[Option<Change>], last: Option<&VecDeque<f64>>) -> Option<f64> {
    let own = changes.iter().flatten().map(|change| change.length);
    let mut lengths: Vec<f64> = own.filter(|length| *length > 0.0).collect();
    if lengths.len() < LEAST {
        lengths = last.into_iter().flatten().copied().collect();
    }
    (lengths.len() >= LEAST).then(|| middle(&lengths))
}

/// One update's change of one part.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// How long it is.
    length: f64,
    /// How long the model's own values are; 0 where nobody has any.
    own: f64,
    /// How many values changed.
    values: usize,
}

impl Change {
    fn of(update: &Update, cloud: &State, content: Content, model: &str) -> Option<Self> {
        let is_it = |(of, name, _): &(Content, &str, &[f32])| (*of, *name) == (content, model);
        let (_, _, values) = update.payload.changes().find(is_it)?;
        let sent = update.base.as_deref().and_then(|base| base.values(model));
        let own = sent.or_else(|| cloud.get(model).map(|trained| trained.values.as_slice()));
        let own: &[f32] = own.unwrap_or_default();
        let nothing = vec![0.0; own.len().max(values.len())];
        let is_of_own = content == Content::Adapter && own.len() == values.len();
        let start: &[f32] = if is_of_own { own } else { &nothing };
        Some(Self { length: length(values, start), own: length(own, &nothing), values: values.len() })
    }

    /// Why it is too long, if it is. A model without length counts as one whose values are all 1.
    fn too_long(&self, content: Content, usual: Option<f64>) -> Option<Huge> {
        let ones = (self.values as f64).sqrt();
        let times = self.length / usual.unwrap_or(if self.own > 0.0 { self.own } else { ones });
        let huge = Huge { content, times, is_usual_known: usual.is_some() };
        (times > MOST && self.length > self.own).then_some(huge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Part, Payload};
    use cotune_kernel::Stream;
    use cotune_models::learner::Trained;
    use std::sync::Arc;

    fn update(device: u32, values: &[f32]) -> Update {
        let payload = Arc::new(Payload::adapter("m", values));
        Update { device, model: "edge".to_owned(), examples: 1, discount: 1.0, base: None, payload }
    }

    /// An update that moves one of the model's values.
    fn moved(device: u32, by: f32) -> Update {
        let values: Vec<f32> = (0..8).map(|i| 1.0 + if i == 3 { by } else { 0.0 }).collect();
        update(device, &values)
    }

    fn cloud() -> State {
        State::from([("m".to_owned(), Trained { values: vec![1.0; 8], ..Trained::default() })])
    }

    /// What is too long of updates in the first round.
    fn first(updates: &[Update]) -> Vec<Option<Huge>> {
        huge(updates, &cloud(), &mut BTreeMap::new(), |_| true)
    }

    /// Changes of `count` devices that differ a hundredfold, and of some that do not change anything.
    fn usual(seed: u64, count: u32) -> Vec<Update> {
        let mut stream = Stream::keyed(seed, "test/huge");
        let one = |device| {
            let size = if stream.chance(0.2) { 0.0 } else { 10_f64.powf(2.0 * stream.uniform() - 3.0) };
            moved(device, size as f32)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn what_is_usual_is_never_refused_and_one_huge_update_always_is() {
        for seed in 0..200 {
            let mut updates = usual(seed, 12);
            assert_eq!(first(&updates), [None; 12], "seed {seed}");
            let (bad, size) = ((seed % 12) as usize, [1e6, 1e30, -1e30][(seed % 3) as usize]);
            updates[bad] = update(bad as u32, &[size; 8]);
            let found = first(&updates);
            for (index, found) in found.iter().enumerate() {
                assert_eq!(found.is_some(), index == bad, "seed {seed}, device {index}");
            }
        }
    }

    #[test]
    fn the_same_holds_of_updates_that_come_one_by_one_or_two_by_two() {
        for seed in 0..200 {
            let mut updates = usual(seed, 12);
            let (bad, size) = ((seed % 12) as usize, [1e6, 1e30, -1e30][(seed % 3) as usize]);
            updates[bad] = update(bad as u32, &[size; 8]);
            for at_once in [1, 2] {
                let mut last = BTreeMap::new();
                let found = updates.chunks(at_once).flat_map(|few| huge(few, &cloud(), &mut last, |_| true));
                for (index, found) in found.enumerate() {
                    assert_eq!(found.is_some(), index == bad, "seed {seed}, device {index} of {at_once}");
                }
            }
        }
    }

    #[test]
    fn more_than_a_thousand_times_the_usual_is_too_much() {
        for (by, is_huge) in [(9.0, false), (11.0, true)] {
            let updates = [moved(0, 0.01), moved(1, 0.01), moved(2, 0.01), moved(3, by)];
            assert_eq!(first(&updates)[3].is_some(), is_huge, "{by}");
        }
        let small = [moved(0, 0.001), moved(1, 0.001), moved(2, 0.001), moved(3, 2.0)];
        assert_eq!(first(&small)[3], None, "the model is longer than that change");
    }

    #[test]
    fn fewer_than_three_changes_are_judged_by_the_last_ones() {
        let mut last = BTreeMap::new();
        let mut judge = |updates: &[Update]| huge(updates, &cloud(), &mut last, |_| true);
        for device in 0..3 {
            assert_eq!(judge(&[moved(device, 0.01)]), [None]);
        }
        // What is left out is not remembered, however often it comes.
        for _ in 0..40 {
            let found = judge(&[moved(4, 0.01), moved(5, 11.0)]);
            assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
            assert!(
                found[1].is_some_and(|huge| huge.is_usual_known && (1000.0..1200.0).contains(&huge.times))
            );
        }
        assert_eq!(judge(&[moved(5, 9.0)]), [None]);
        // Fifteen are remembered: after eight longer ones those are usual.
        for device in 0..8 {
            assert_eq!(judge(&[moved(device, 0.1)]), [None]);
        }
        assert_eq!(judge(&[moved(5, 11.0)]), [None]);
        assert_eq!(last["adapter of m"].len(), REMEMBERED);
    }

    #[test]
    fn while_nobody_knows_what_is_usual_the_models_own_length_counts() {
        let zeros = State::from([("m".to_owned(), Trained { values: vec![0.0; 8], ..Trained::default() })]);
        // All ones are √8 long, and a thousand times that is 2,828.
        for (by, is_huge) in [(2_700.0, false), (2_900.0, true), (-1e30, true)] {
            for cloud in [cloud(), zeros.clone(), State::new()] {
                let found = huge(&[moved(0, by)], &cloud, &mut BTreeMap::new(), |_| true);
                assert_eq!(found[0].is_some_and(|huge| !huge.is_usual_known), is_huge, "{by}, {cloud:?}");
            }
        }
        assert_eq!(first(&[update(0, &[1.1; 8]), update(1, &[1e30; 8])])[0], None);
    }

    #[test]
    fn a_control_variate_is_judged_where_adapters_are_not() {
        let controlled = |device: u32, by: f32| {
            let mut payload = Payload::adapter("m", &[1e30; 8]);
            payload.parts.push(Part::Control { model: "m".to_owned(), values: vec![by; 8] });
            Update { payload: Arc::new(payload), ..update(device, &[]) }
        };
        let updates: Vec<Update> = [0.1, 0.2, 0.0, -1e20, 0.1]
            .into_iter()
            .zip(0..)
            .map(|(by, device)| controlled(device, by))
            .collect();
        let mut last = BTreeMap::new();
        let is_judged = |content| matches!(content, Content::Control);
        let found = huge(&updates, &cloud(), &mut last, is_judged);
        let contents: Vec<Option<Content>> = found.iter().map(|huge| Some(huge.as_ref()?.content)).collect();
        assert_eq!(contents, [None, None, None, Some(Content::Control), None]);
        assert_eq!(last.keys().collect::<Vec<_>>(), ["control of m"]);
        // Two adapters are looked at all the same.
        let found = huge(&updates[..2], &cloud(), &mut last, is_judged);
        assert!(found.iter().all(|huge| huge.is_some_and(|huge| huge.content == Content::Adapter)));
    }

    #[test]
    fn a_change_is_to_what_the_device_was_sent() {
        let mut updates: Vec<Update> = (0..3).map(|device| update(device, &[1.001; 8])).collect();
        let mut late = update(3, &[5000.001; 8]);
        late.base = Some(Arc::new(Payload::adapter("m", &[5000.0; 8])));
        updates.push(late);
        assert_eq!(first(&updates), [None; 4]);
    }
}
