use proptest::prelude::*;

use super::*;
use crate::network::naive::NaiveLink;
use crate::stream::Stream;
use crate::time::VirtualDuration;

fn at(secs: f64) -> VirtualTime {
    VirtualTime::from_secs_f64(secs)
}

#[derive(Clone, Debug)]
enum Change {
    Start { bytes: u64, cap: f64 },
    Cancel { nth: usize },
    SetCap { nth: usize, cap: f64 },
    SetCapacity(f64),
    Wait,
}

/// Few distinct values beside the continuous ones, so that caps collide and the level meets them exactly.
fn rates() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 1.0f64..2_000.0,
        2 => prop::sample::select(vec![50.0, 100.0, 250.0]),
        1 => Just(f64::INFINITY),
        1 => Just(0.0),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(u64, Change)>> {
    let change = prop_oneof![
        6 => (prop_oneof![0u64..20, 1u64..50_000], rates()).prop_map(|(bytes, cap)| Change::Start { bytes, cap }),
        2 => any::<usize>().prop_map(|nth| Change::Cancel { nth }),
        2 => (any::<usize>(), rates()).prop_map(|(nth, cap)| Change::SetCap { nth, cap }),
        1 => prop_oneof![0.0f64..3_000.0, Just(0.0), Just(1_000.0)].prop_map(Change::SetCapacity),
        1 => Just(Change::Wait),
    ];
    prop::collection::vec((0u64..4_000, change), 1..60)
}

/// The rates are those of a water level: no flow over its cap, all flows below theirs alike, and nothing wasted.
fn assert_max_min_fair(link: &SharedLink) {
    let level = link.level.bytes_per_s();
    let mut caps = 0.0;
    for (id, flow) in &link.flows {
        let (rate, cap) = (link.rate(*id).unwrap(), flow.cap.bytes_per_s());
        assert!(rate <= cap);
        assert!(
            rate == cap || rate == level,
            "flow {} runs at {rate}: neither its cap {cap} nor {level}",
            id.0
        );
        assert!(link.sharing_by_cap.is_empty() || rate <= level * (1.0 + 1e-12));
        caps += cap;
    }
    let expected = caps.min(link.capacity());
    assert!((link.used() - expected).abs() <= 1e-9 * expected + 1e-6, "used {} of {expected}", link.used());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_link_agrees_with_the_naive_one(capacity in 1.0f64..3_000.0, changes in changes()) {
        let (mut fast, mut naive) = (SharedLink::new(capacity), NaiveLink::new(capacity));
        let (mut now, mut done, mut expected) = (VirtualTime::ZERO, Vec::new(), Vec::new());
        let (mut asked, mut sent, mut carried) = (Vec::new(), 0.0, 0.0);
        for (wait, change) in changes {
            // 137 ns off the grid, so that no completion coincides with a change and rounding decides which comes first.
            let next = now + VirtualDuration(wait * 1_000_000 + 137);
            while let Some(time) = fast.next_completion().filter(|time| *time <= next) {
                carried += fast.used() * (time - now).as_secs_f64();
                now = time;
                done.extend(fast.advance(time));
            }
            carried += fast.used() * (next - now).as_secs_f64();
            now = next;
            prop_assert!(fast.advance(now).is_empty());
            expected.extend(naive.advance(now));
            let pick = |nth: usize| FlowId(nth as u64 % asked.len().max(1) as u64);
            match change {
                Change::Start { bytes, cap } => {
                    let id = FlowId(asked.len() as u64);
                    asked.push(bytes);
                    fast.start(now, id, Bytes(bytes), cap);
                    naive.start(now, id, Bytes(bytes), cap);
                }
                Change::Cancel { nth } => {
                    let (a, b) = (fast.cancel(now, pick(nth)), naive.cancel(now, pick(nth)));
                    prop_assert_eq!(a.is_some(), b.is_some());
                    if let (Some(a), Some(b)) = (a, b) {
                        prop_assert!((a.as_f64() - libm::floor(b)).abs() <= 1.0, "cancelled after {a}, naive {b} B");
                        sent += b;
                    }
                }
                Change::SetCap { nth, cap } => {
                    prop_assert_eq!(fast.set_cap(now, pick(nth), cap), naive.set_cap(now, pick(nth), cap));
                }
                Change::SetCapacity(capacity) => {
                    fast.set_capacity(now, capacity);
                    naive.set_capacity(now, capacity);
                }
                Change::Wait => fast = stored_and_read_back(&fast),
            }
            assert_max_min_fair(&fast);
            prop_assert_eq!(fast.len(), naive_len(&naive, asked.len()));
            for id in (0..asked.len() as u64).map(FlowId) {
                if let Some(left) = fast.remaining(id) {
                    let reference = naive.remaining(id).unwrap();
                    prop_assert!((left - reference).abs() < 1e-4, "flow {}: {left} B left, naive {reference}", id.0);
                }
            }
        }
        // Bytes are conserved: what the rates carried is what completed, what cancelled flows sent and what is under way.
        let completed: f64 = done.iter().map(|completion| asked[completion.flow.0 as usize] as f64).sum();
        let under_way: f64 = fast.flows.iter().map(|(id, flow)| {
            flow.total.as_bytes_f64() - fast.remaining(*id).unwrap()
        }).sum();
        let difference = carried - (completed + sent + under_way);
        prop_assert!(difference.abs() < 1e-3, "{carried} B carried, off by {difference}");

        // Run dry and compare every completion time.
        let horizon = now + VirtualDuration::from_secs(1_000_000);
        done.extend(fast.advance(horizon));
        expected.extend(naive.advance(horizon));
        prop_assert_eq!(done.len(), expected.len());
        done.sort_unstable_by_key(|completion| completion.flow);
        expected.sort_unstable_by_key(|completion| completion.flow);
        for (fast, naive) in done.iter().zip(&expected) {
            prop_assert_eq!(fast.flow, naive.flow);
            let apart = fast.time.0.abs_diff(naive.time.0) as f64;
            let tolerance = 3.0 + 1e-11 * naive.time.0 as f64;
            prop_assert!(apart <= tolerance, "flow {} done {} and {} ns", fast.flow.0, fast.time.0, naive.time.0);
        }
    }
}

fn naive_len(naive: &NaiveLink, ids: usize) -> usize {
    (0..ids as u64).filter(|id| naive.remaining(FlowId(*id)).is_some()).count()
}

fn stored_and_read_back(link: &SharedLink) -> SharedLink {
    let bytes = bincode::serde::encode_to_vec(link, bincode::config::standard()).unwrap();
    bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
}

#[test]
fn flows_that_complete_together_leave_in_the_order_of_their_ids() {
    let mut link = SharedLink::new(100.0);
    for id in [3, 1, 2] {
        link.start(VirtualTime::ZERO, FlowId(id), Bytes(100), f64::INFINITY);
    }
    link.start(VirtualTime::ZERO, FlowId(0), Bytes(30), 10.0);
    let done = link.advance(at(10.0));
    let expected = |flow, secs| Completion { time: at(secs), flow: FlowId(flow) };
    // 90 B/s over three flows of 100 B: 3.33 s; by then the capped flow is done (3 s) and the level has risen to 100/3.
    assert_eq!(done[0], expected(0, 3.0));
    assert_eq!(done[1..].iter().map(|completion| completion.flow.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(done[1..].iter().all(|completion| completion.time == at(3.3)), "{done:?}");
}

#[test]
fn a_flow_that_ends_now_can_be_seen_before_and_after_a_change_at_the_same_instant() {
    let mut link = SharedLink::new(100.0);
    link.start(VirtualTime::ZERO, FlowId(1), Bytes(100), f64::INFINITY);
    link.start(at(1.0), FlowId(2), Bytes(100), f64::INFINITY);
    assert_eq!((link.len(), link.next_completion()), (2, Some(at(1.0))));
    assert_eq!(link.advance(at(1.0)), [Completion { time: at(1.0), flow: FlowId(1) }]);
    assert_eq!(link.next_completion(), Some(at(2.0)));
    link.start(at(1.0), FlowId(3), Bytes(0), 0.0);
    assert_eq!(link.advance(at(1.0)), [Completion { time: at(1.0), flow: FlowId(3) }]);
}

#[test]
fn a_link_that_is_down_completes_nothing_and_loses_nothing() {
    let mut link = SharedLink::new(100.0);
    link.start(VirtualTime::ZERO, FlowId(1), Bytes(300), 50.0);
    link.set_capacity(at(2.0), 0.0);
    assert_eq!(link.next_completion(), None);
    assert_eq!(link.remaining(FlowId(1)), Some(200.0));
    link.set_capacity(at(100.0), 100.0);
    assert_eq!(link.next_completion(), Some(at(104.0)));
    assert_eq!(link.cancel(at(101.0), FlowId(1)), Some(Bytes(150)));
    assert_eq!(link.cancel(at(101.0), FlowId(1)), None);
}

#[test]
#[should_panic(expected = "a flow completes at 1s: advance the link before changing it at 2s")]
fn a_completion_cannot_be_skipped() {
    let mut link = SharedLink::new(100.0);
    link.start(VirtualTime::ZERO, FlowId(1), Bytes(100), f64::INFINITY);
    link.set_capacity(at(2.0), 50.0);
}

#[test]
fn a_change_touches_few_of_many_flows_with_spread_caps() {
    let mut link = SharedLink::new(1e6);
    let mut caps = Stream::keyed(1, "caps");
    for id in 0..10_000 {
        link.start(VirtualTime(id), FlowId(id), Bytes(1 << 30), caps.range(1.0, 1_000.0));
    }
    let before: Vec<bool> =
        link.flows.values().map(|flow| matches!(flow.group, Group::Capped { .. })).collect();
    link.start(VirtualTime(20_000), FlowId(20_000), Bytes(1 << 30), 500.0);
    let after = link.flows.values().map(|flow| matches!(flow.group, Group::Capped { .. }));
    let moved = before.iter().zip(after).filter(|(before, after)| *before != after).count();
    assert!(moved <= 5, "{moved} of 10,000 flows changed group");
}

/// The oracle of WORLD §8: Poisson arrivals that share a link evenly stay E[S]/(1-ρ) on average whatever the distribution
/// of their sizes (M/G/1-PS is insensitive; Kleinrock, Queueing Systems II, 4.4).
#[test]
fn a_shared_link_responds_like_processor_sharing() {
    const FLOWS: u64 = 100_000;
    let rho = 0.7;
    let exponential = |s: &mut Stream| s.exponential();
    let two_sizes = |s: &mut Stream| if s.chance(0.1) { 5.5 } else { 0.5 };
    let sizes: [(&str, &dyn Fn(&mut Stream) -> f64); 2] =
        [("exponential", &exponential), ("two sizes", &two_sizes)];
    for (name, size) in sizes {
        let (mut gaps, mut draw) =
            (Stream::keyed_parts(5, &[&"gap", &name]), Stream::keyed_parts(5, &[&"size", &name]));
        let mut link = SharedLink::new(1e6);
        let (mut arrived, mut now, mut stayed) = (Vec::new(), VirtualTime::ZERO, 0.0);
        let mut leave = |done: Vec<Completion>, arrived: &[VirtualTime]| {
            stayed += done.iter().map(|c| (c.time - arrived[c.flow.0 as usize]).as_secs_f64()).sum::<f64>();
        };
        for id in 0..FLOWS {
            now += VirtualDuration::from_secs_f64(gaps.exponential() / rho);
            leave(link.advance(now), &arrived);
            arrived.push(now);
            link.start(now, FlowId(id), Bytes((1e6 * size(&mut draw)) as u64), f64::INFINITY);
        }
        leave(link.advance(at(1e9)), &arrived);
        let (mean, theory) = (stayed / FLOWS as f64, 1.0 / (1.0 - rho));
        assert!((mean / theory - 1.0).abs() < 0.05, "{name}: mean response {mean}, theory {theory}");
    }
}
