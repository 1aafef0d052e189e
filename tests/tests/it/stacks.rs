//! Jobs that are computed as one batch: who stands with whom follows from the simulation alone, and each comes to what it
//! comes to by itself, within the rounding of another order of sums.

use std::path::Path;
use std::sync::Arc;

use cotune_kernel::codec;
use cotune_record::{EventKind, RunDirectory};
use cotune_tests::{Played, cotune, fedavg, fedcollm, fednova, kept_with, methods, plan, play, play_with};
use cotune_tests::{read_snapshot, standalone, tiny, tiny_text};
use cotune_world::job::{Job, Outcome};
use cotune_world::method::DeviceTask;
use cotune_world::packing::Residual;
use cotune_world::payload::Payload;
use cotune_world::pool::{Pending, Pool, Ticket};
use cotune_world::{Options, Plan};
use serde_json::Value;
use tempfile::TempDir;

/// How far what was learned in a stack may be from what is learned alone.
const TOLERANCE: f64 = 1e-5;

/// More devices than a stack takes.
const MANY: [(&str, &str); 2] = [("fleet.devices", "12"), ("data.split.dirichlet.min", "1")];

/// Work of a device in the second round, whatever the devices before it have done.
fn work(plan: &Plan, device: u32) -> Job {
    let model = plan.fleet().class_of(device).model.to_string();
    let (lab, method) = (plan.lab(), plan.method());
    let received = method.broadcast(lab, &method.start_cloud(lab), &model, 2);
    let state = Arc::new(method.start_device(lab, &model));
    let task = DeviceTask { device, model, round: 2, progress: 0.5 };
    Job::Device { task, state, received: Arc::new(received), residual: Residual::new() }
}

/// Whether two values are the same but for the rounding of their numbers.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
            (a - b).abs() <= TOLERANCE * a.abs().max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        (one, other) => one == other,
    }
}

fn written(outcome: &Outcome) -> Value {
    serde_json::to_value(outcome).expect("an outcome can be written down")
}

#[test]
fn jobs_of_a_stack_come_to_what_they_come_to_alone_whatever_the_method() {
    for variant in methods() {
        let (name, plan) = (variant.name, variant.plan(&tiny(&variant.tables, &[])));
        let jobs: Vec<Job> = (0..plan.fleet().devices()).map(|device| work(&plan, device)).collect();
        if !plan.fleet().classes().iter().all(|class| plan.method().device_tunes(&class.model).is_some()) {
            continue;
        }
        let Outcome::Stack(together) = Job::Stack(jobs.clone()).perform(&plan) else {
            panic!("a stack comes to a stack")
        };
        assert_eq!(together.len(), jobs.len());
        for (device, (together, job)) in together.iter().zip(jobs).enumerate() {
            let alone = written(&job.perform(&plan));
            assert!(alike(&written(together), &alone), "{name}: device {device} came out differently");
        }
    }
}

#[test]
fn a_job_of_a_stack_that_panics_leaves_the_others_what_they_come_to() {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &[]));
    let mut jobs: Vec<Job> = (0..3).map(|device| work(&plan, device)).collect();
    if let Job::Device { received, .. } = &mut jobs[1] {
        *received = Arc::new(Payload::default());
    }
    let Outcome::Stack(together) = Job::Stack(jobs.clone()).perform(&plan) else {
        panic!("a stack comes to a stack")
    };
    for (device, outcome) in together.iter().enumerate() {
        match outcome {
            Outcome::Panicked(why) => assert!(device == 1 && why.contains("broadcast"), "{device}: {why}"),
            outcome => assert!(alike(&written(outcome), &written(&jobs[device].clone().perform(&plan)))),
        }
    }
}

/// The tickets of the stacks that a pool has handed to its threads.
fn stacks(pending: &Pending) -> Vec<Vec<u64>> {
    let numbers = |stack: &Vec<(Ticket, Job)>| stack.iter().map(|(ticket, _)| ticket.number()).collect();
    pending.stacks.iter().map(numbers).collect()
}

#[test]
fn a_stack_is_whole_when_eight_have_come_or_the_first_of_them_is_waited_for() {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &MANY));
    for threads in [1, 2, 4] {
        let mut pool = Pool::start(&plan, threads, true, true, None, None);
        let tickets: Vec<Ticket> = (0..11).map(|device| pool.submit(work(&plan, device))).collect();
        let eight = [0_u64, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(stacks(&pool.pending()), [eight], "three are held back");
        let joined = [0, 5].map(|number| written(&pool.join(tickets[number])));
        let pending = pool.pending();
        assert_eq!(
            (stacks(&pending), pending.jobs.len()),
            (vec![eight.to_vec()], 9),
            "whole while one is left"
        );
        assert!(pending.is_sound(&plan));

        // A run that goes on has them in the stacks in which they were, and those who are held back together again.
        let pending: Pending = codec::decode(7, &codec::encode(7, &pending).unwrap()).unwrap();
        let mut again = Pool::start(&plan, 3, true, true, None, None);
        again.restore(pending);
        assert_eq!(stacks(&again.pending()), [eight]);
        for number in [1, 2, 3, 4, 6, 7, 8] {
            let (one, other) = (pool.join(tickets[number]), again.join(tickets[number]));
            assert_eq!(written(&one), written(&other), "job {number} on {threads} threads");
        }
        for pool in [&pool, &again] {
            assert_eq!(stacks(&pool.pending()), [[8, 9, 10]], "the first is forgotten, the second has begun");
        }
        assert_ne!(joined[0], joined[1], "each has its own");
    }
}

#[test]
fn what_no_pool_has_held_is_no_sound_checkpoint() {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &MANY));
    let mut pool = Pool::start(&plan, 2, true, true, None, None);
    for device in 0..8 {
        pool.submit(work(&plan, device));
    }
    let sound = pool.pending();
    let refused = |change: fn(&mut Pending)| {
        let mut pending = sound.clone();
        change(&mut pending);
        assert!(!pending.is_sound(&plan));
    };
    assert!(sound.is_sound(&plan) && Pending::default().is_sound(&plan));
    refused(|pending| pending.stacks[0].clear());
    refused(|pending| pending.stacks.push(pending.stacks[0].clone()));
    refused(|pending| pending.next = 3);
    refused(|pending| pending.jobs.clear());
    refused(|pending| {
        let (_, job) = pending.stacks[0].remove(7);
        pending.stacks[0].push((Ticket::numbered(7), Job::Stack(vec![job])));
    });
}

/// Methods in rounds and without rounds, with numbers of steps that differ from device to device.
fn plans() -> Vec<(String, Arc<Plan>)> {
    let buffered = "[coordination.buffered]\nconcurrency = 5\nbuffer = 2\nmax_staleness = 3\n";
    let tables = [
        fednova(),
        standalone("public = true"),
        fedcollm(""),
        format!("{}{buffered}", fednova()),
        format!("{}{buffered}", fedavg("on = \"proxy\"")),
    ];
    tables.map(|tables| (tables.clone(), plan(&tiny(&tables, &MANY)))).into()
}

fn stacked(threads: usize, delays: Option<u64>) -> Options {
    Options { threads, stacks: true, delays, ..Options::default() }
}

fn losses(played: &Played) -> Vec<f64> {
    let loss = |kind: &EventKind| match kind {
        EventKind::TrainingFinished { loss, .. } => *loss,
        EventKind::Evaluated { value, .. } => *value,
        _ => None,
    };
    played.events.iter().filter_map(|event| loss(&event.kind)).collect()
}

#[test]
fn stacks_give_one_digest_whatever_the_threads_and_the_schedule_of_a_run_without() {
    for (name, plan) in plans() {
        let (alone, first) = (play(&plan, 1, true), play_with(&plan, stacked(1, None)));
        for (threads, delays) in [(1, None), (2, None), (4, None), (4, Some(1)), (3, Some(2))] {
            let again = play_with(&plan, stacked(threads, delays));
            assert!(again.digest == first.digest, "{name}: {threads} threads, delays {delays:?}");
        }
        assert!(first.schedule_digest == alone.schedule_digest, "{name}: stacks change the schedule");
        let (found, expected) = (losses(&first), losses(&alone));
        assert_eq!(found.len(), expected.len(), "{name}");
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-3;
        assert!(found.iter().zip(&expected).all(close), "{name}: {found:?}, alone {expected:?}");
    }
}

#[test]
fn a_run_with_stacks_goes_on_from_every_snapshot() {
    for (name, plan) in plans().into_iter().skip(3) {
        let (events, snapshots) = kept_with(&plan, stacked(2, None), None);
        assert!(snapshots.len() >= 2, "{name}");
        for (before, bytes) in snapshots {
            let snapshot = read_snapshot(&bytes);
            assert_eq!(snapshot.fits(&plan, true), Ok(()), "{name}");
            let (after, _) = kept_with(&plan, stacked(3, None), Some(snapshot));
            assert!(events[before..] == after, "{name}: the run parts after event {before}");
        }
    }
}

/// Runs a small scenario by the command.
fn run(folder: &Path, more: &[&str]) -> RunDirectory {
    let (file, runs) = (folder.join("tiny.toml"), folder.join("runs"));
    std::fs::write(&file, tiny_text(&fedavg("on = \"proxy\""))).unwrap();
    let mut command = cotune();
    let output = command.arg("run").arg(&file).args(["-q", "--device", "cpu", "--runs"]).arg(&runs);
    let output = output.args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    RunDirectory::at(String::from_utf8(output.stdout).unwrap().trim_end())
}

#[test]
fn a_run_says_whether_it_stacked_and_is_verified_as_it_ran() {
    let folder = TempDir::new().unwrap();
    for (more, stacks) in [(&["--stack", "on"][..], true), (&["--stack", "off"], false), (&[], false)] {
        let run = run(folder.path(), more);
        let manifest = run.manifest().unwrap();
        assert_eq!((manifest.stacks, manifest.command.contains("--stack")), (stacks, !more.is_empty()));
        let told = cotune().arg("verify").arg(run.path()).args(["-j", "3"]).output().unwrap();
        let said = String::from_utf8_lossy(&told.stdout);
        assert_eq!(told.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&told.stderr));
    }
}
