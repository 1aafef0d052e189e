use proptest::prelude::*;

use super::*;
use crate::stream::Stream;

/// The slow, readable reference: a list, sorted before every pop.
#[derive(Default)]
struct SortedList {
    pending: Vec<(EventKey, u32)>,
}

impl SortedList {
    fn pop(&mut self) -> Option<(EventKey, u32)> {
        self.pending.sort();
        (!self.pending.is_empty()).then(|| self.pending.remove(0))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { after: u64, class: u8, source: u64 },
    Pop,
    Cancel { nth: usize },
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u64..5, 0u8..3, 0u64..200).prop_map(|(after, class, source)| Step::Push { after, class, source }),
        3 => Just(Step::Pop),
        4 => any::<usize>().prop_map(|nth| Step::Cancel { nth }),
        1 => Just(Step::Checkpoint),
    ];
    prop::collection::vec(step, 0..600)
}

fn stored_and_read_back(queue: &EventQueue<u32>) -> EventQueue<u32> {
    let bytes = bincode::serde::encode_to_vec(queue, bincode::config::standard()).unwrap();
    bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
}

proptest! {
    #[test]
    fn the_queue_agrees_with_a_sorted_list(steps in steps()) {
        let (mut queue, mut oracle) = (EventQueue::new(), SortedList::default());
        let mut pushed: Vec<(EventId, EventKey)> = Vec::new();
        for step in steps {
            match step {
                Step::Push { after, class, source } => {
                    let (time, event) = (queue.now() + VirtualDuration(after), pushed.len() as u32);
                    let seq = pushed.iter().filter(|(_, key)| key.source == source).count() as u64;
                    let key = EventKey { time, class, source, seq };
                    pushed.push((queue.push(time, class, source, event), key));
                    oracle.pending.push((key, event));
                }
                Step::Pop => prop_assert_eq!(queue.pop(), oracle.pop()),
                Step::Cancel { nth } if !pushed.is_empty() => {
                    let (id, key) = pushed[nth % pushed.len()];
                    let found = oracle.pending.iter().position(|(pending, _)| *pending == key);
                    let expected = found.map(|at| oracle.pending.remove(at).1);
                    prop_assert_eq!(queue.cancel(id), expected);
                    prop_assert_eq!(queue.cancel(id), None);
                }
                Step::Cancel { .. } => {}
                Step::Checkpoint => queue = stored_and_read_back(&queue),
            }
            oracle.pending.sort();
            prop_assert_eq!(queue.len(), oracle.pending.len());
            prop_assert_eq!(queue.peek(), oracle.pending.first().map(|(key, _)| *key));
            prop_assert_eq!(queue.peek_time(), oracle.pending.first().map(|(key, _)| key.time));
        }
        while let Some(next) = oracle.pop() {
            prop_assert_eq!(queue.pop(), Some(next));
        }
        prop_assert_eq!(queue.pop(), None);
    }
}

#[test]
fn the_order_is_free_of_the_order_in_which_sources_push() {
    let popped = |sources: [u64; 6]| {
        let mut queue = EventQueue::new();
        for source in sources {
            queue.push(VirtualTime(5), 0, source, ());
        }
        std::iter::from_fn(move || queue.pop()).map(|(key, ())| key).collect::<Vec<_>>()
    };
    assert_eq!(popped([1, 2, 3, 1, 2, 3]), popped([3, 3, 2, 1, 2, 1]));
}

#[test]
fn an_event_of_a_lower_class_pushed_now_is_next() {
    let mut queue = EventQueue::new();
    queue.push(VirtualTime(5), 3, 0, "handled");
    queue.push(VirtualTime(5), 4, 0, "later");
    queue.pop();
    queue.push(VirtualTime(5), 1, 0, "urgent");
    assert_eq!(queue.pop().map(|(_, event)| event), Some("urgent"));
}

#[test]
#[should_panic(expected = "source 17 pushed an event at 4ns, in the past: it is 5ns")]
fn pushing_into_the_past_names_the_source_and_both_times() {
    let mut queue = EventQueue::new();
    queue.push(VirtualTime(5), 0, 0, ());
    queue.pop();
    queue.push(VirtualTime(4), 0, 17, ());
}

#[test]
fn cancelled_events_do_not_pile_up() {
    let mut queue = EventQueue::new();
    queue.push(VirtualTime(1), 0, 0, 0);
    for round in 0..10_000 {
        let timeout = queue.push(VirtualTime(1_000_000 + round), 0, 1, 1);
        queue.cancel(timeout);
        assert!(queue.heap.len() <= 2 * COMPACT_FLOOR && queue.slots.len() <= 2 * COMPACT_FLOOR);
    }
    assert_eq!(queue.len(), 1);
}

/// What theory says: M/M/1 with ρ = 0.7 and service rate 1 waits ρ/(1-ρ) = 7/3 before service
/// (Kleinrock, Queueing Systems I, 3.2). Driven by arrival and departure events alone.
#[test]
fn an_m_m_1_queue_waits_as_long_as_theory_says() {
    #[derive(Clone, Copy, PartialEq)]
    enum Happens {
        Arrival,
        Departure,
    }
    const CUSTOMERS: usize = 400_000;
    let (rho, mut gaps, mut services) = (0.7, Stream::keyed(11, "mm1/gap"), Stream::keyed(11, "mm1/service"));
    let mut queue = EventQueue::new();
    let mut line = std::collections::VecDeque::new();
    let (mut busy, mut waited, mut served) = (false, 0.0, 0usize);
    queue.push(VirtualTime::ZERO, 0, 0, Happens::Arrival);
    while served < CUSTOMERS {
        let (key, event) = queue.pop().unwrap();
        if event == Happens::Arrival {
            line.push_back(key.time);
            queue.push_after(
                VirtualDuration::from_secs_f64(gaps.exponential() / rho),
                0,
                0,
                Happens::Arrival,
            );
        } else {
            busy = false;
        }
        if !busy && let Some(arrived) = line.pop_front() {
            busy = true;
            served += 1;
            waited += (key.time - arrived).as_secs_f64();
            queue.push_after(
                VirtualDuration::from_secs_f64(services.exponential()),
                1,
                1,
                Happens::Departure,
            );
        }
    }
    let mean = waited / CUSTOMERS as f64;
    assert!((mean - 7.0 / 3.0).abs() < 0.12, "mean wait {mean}, theory {}", 7.0 / 3.0);
}
