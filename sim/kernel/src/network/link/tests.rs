use proptest::prelude::*;

use super::*;
use crate::network::naive::NaiveLink;
use crate::stream::Stream;
use crate::time::VirtualDuration;

/// Late enough for every flow that completes at all.
const END: VirtualTime = VirtualTime(u64::MAX - 1);

fn at(secs: f64) -> VirtualTime {
    VirtualTime::from_secs_f64(secs)
}

#[derive(Clone, Debug)]
enum Change {
    Start { bytes: u64, cap: f64 },
    Cancel { nth: usize },
    SetCap { nth: usize, cap: f64 },
    SetCapacity(f64),
    Checkpoint,
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
        1 => Just(Change::Checkpoint),
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn the_link_agrees_with_the_naive_one_to_the_nanosecond(capacity in 1.0f64..3_000.0, changes in changes()) {
        let (mut fast, mut naive) = (SharedLink::new(capacity), NaiveLink::new(capacity));
        let (mut now, mut started) = (VirtualTime::ZERO, 0);
        for (wait, change) in changes {
            now += VirtualDuration::from_millis(wait);
            prop_assert_eq!(fast.advance(now), naive.advance(now));
            let picked = |nth: usize| FlowId(nth as u64 % (started + 1));
            match change {
                Change::Start { bytes, cap } => {
                    fast.start(now, FlowId(started), Bytes(bytes), cap);
                    naive.start(now, FlowId(started), Bytes(bytes), cap);
                    started += 1;
                }
                Change::Cancel { nth } => {
                    prop_assert_eq!(fast.cancel(now, picked(nth)), naive.cancel(now, picked(nth)));
                }
                Change::SetCap { nth, cap } => {
                    prop_assert_eq!(fast.set_cap(now, picked(nth), cap), naive.set_cap(now, picked(nth), cap));
                }
                Change::SetCapacity(capacity) => {
                    fast.set_capacity(now, capacity);
                    naive.set_capacity(now, capacity);
                }
                Change::Checkpoint => fast = stored_and_read_back(&fast),
            }
            assert_max_min_fair(&fast);
            prop_assert!(fast.is_sound());
            prop_assert_eq!(fast.next_completion(), naive.next_completion());
            for id in (0..started).map(FlowId) {
                prop_assert_eq!(fast.rate(id), naive.rate(id));
                prop_assert_eq!(fast.remaining(id), naive.remaining(id));
            }
        }
        prop_assert_eq!(fast.advance(END), naive.advance(END));
    }

    /// In floats and from outside: what the rates carried, second by second, is what completed and what is under way.
    #[test]
    fn bytes_are_conserved(capacity in 1.0f64..3_000.0, changes in changes()) {
        let mut link = SharedLink::new(capacity);
        let (mut now, mut asked) = (VirtualTime::ZERO, Vec::new());
        let (mut carried, mut sent) = (0.0, 0.0);
        for (wait, change) in changes {
            let next = now + VirtualDuration::from_millis(wait);
            while let Some(time) = link.next_completion().filter(|time| *time <= next) {
                carried += link.used() * (time - now).as_secs_f64();
                now = time;
                sent += link.advance(time).iter().map(|done| asked[done.flow.0 as usize]).sum::<f64>();
            }
            carried += link.used() * (next - now).as_secs_f64();
            now = next;
            link.advance(now);
            match change {
                Change::Start { bytes, cap } => {
                    link.start(now, FlowId(asked.len() as u64), Bytes(bytes), cap);
                    asked.push(bytes as f64);
                }
                Change::SetCapacity(capacity) => link.set_capacity(now, capacity),
                _ => {}
            }
        }
        let under_way: f64 =
            link.flows.keys().map(|flow| asked[flow.0 as usize] - link.remaining(*flow).unwrap()).sum();
        // A completion is up to a nanosecond late, in which its flow's rate carries nothing.
        prop_assert!((carried - sent - under_way).abs() < 1e-4, "{carried} B carried, {sent} + {under_way} B moved");
    }
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

/// What theory says: Poisson arrivals that share a link evenly stay E[S]/(1-ρ) on average whatever the distribution
/// of their sizes (M/G/1-PS is insensitive; Kleinrock, Queueing Systems II, 4.4).
#[test]
fn a_shared_link_responds_like_processor_sharing() {
    const FLOWS: u64 = 100_000;
    let rho = 0.7;
    let exponential: fn(&mut Stream) -> f64 = |s| s.exponential();
    let two_sizes: fn(&mut Stream) -> f64 = |s| if s.chance(0.1) { 5.5 } else { 0.5 };
    for (name, size) in [("exponential", exponential), ("two sizes", two_sizes)] {
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

#[test]
fn a_link_that_contradicts_itself_is_not_sound() {
    let mut link = SharedLink::new(100.0);
    link.start(VirtualTime::ZERO, FlowId(1), Bytes(200), 20.0);
    link.start(VirtualTime::ZERO, FlowId(2), Bytes(160), f64::INFINITY);
    assert!(link.is_sound());
    let forgeries: [fn(&mut SharedLink); 7] = [
        |link| link.flows.retain(|id, _| *id != FlowId(1)),
        |link| link.capped_by_finish.clear(),
        |link| link.sharing_by_finish.clear(),
        |link| link.capped_sum = Rate(link.capped_sum.0 + 1),
        |link| link.level = Rate::ZERO,
        |link| link.capacity = Rate(Rate::MAX.0 + 1),
        |link| link.now = END,
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        let mut forged = link.clone();
        forge(&mut forged);
        assert!(!forged.is_sound(), "forgery {number}");
    }
}
