//! On a WebGPU adapter the schedule is exact and the learning is close. A software adapter is enough
//! (`mesa-vulkan-drivers`). Without any adapter these tests say that they were skipped, unless
//! `COTUNE_REQUIRE_WGPU=1` says that there has to be one.

use std::fs;
use std::path::PathBuf;

use cotune_models::device::{Compute, DeviceChoice};
use cotune_record::{EventKind, RunDirectory};
use cotune_tests::{Played, cotune, fedavg, plan_on, play, play_with, shipped, tiny, tiny_text};
use cotune_world::Options;
use tempfile::TempDir;

/// How far a loss may be from the CPU's, relative to it. Sums are taken in another order there, and AdamW's first
/// steps make a whole step of a tiny gradient's sign. On Mesa's software adapter scores were 2e-6 apart
/// (`benches/runs/2026-11-21-2core-avx512-intel/webgpu.md`).
const TOLERANCE: f64 = 1e-2;

fn adapter() -> Option<Compute> {
    match Compute::open(DeviceChoice::Wgpu(0)) {
        Ok(compute) => Some(compute),
        Err(error) if std::env::var_os("COTUNE_REQUIRE_WGPU").is_some_and(|value| value == "1") => {
            panic!("COTUNE_REQUIRE_WGPU=1, but {error}")
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// The quickstart at smoke size, smaller still where that loses nothing: a software adapter is slow. It is scored by
/// losses alone, since a generated text has no tolerance.
fn smoke(compute: &Compute) -> Played {
    let mut scenario = shipped(
        "quickstart",
        &[("evaluation.metrics", "[\"loss\"]"), ("evaluation.panel", "3"), ("coordination.sync.cohort", "3")],
    );
    scenario.smoke();
    play(&plan_on(&scenario, compute), 2, true)
}

/// Every loss of a run with a name for it, in order.
fn losses(played: &Played) -> Vec<(String, f64)> {
    let mut losses = Vec::new();
    for event in &played.events {
        match &event.kind {
            EventKind::TrainingFinished { round, device, loss: Some(loss), .. } => {
                losses.push((format!("device {device} in round {round}"), *loss));
            }
            EventKind::CloudTrained { round, losses: of, .. } => {
                losses.extend(of.iter().map(|loss| (format!("{} in round {round}", loss.name), loss.value)));
            }
            EventKind::Evaluated { round, scope, device, domain, value: Some(value), .. } => {
                losses.push((format!("{scope:?} {device:?} {domain:?} after round {round}"), *value));
            }
            _ => {}
        }
    }
    losses
}

/// How far apart the losses of two runs are at most, relative to the first one's, and how many there are.
///
/// # Panics
/// There are none, or they are not of the same things.
fn furthest(one: &[(String, f64)], other: &[(String, f64)]) -> (f64, usize) {
    assert!(!one.is_empty() && one.iter().map(|loss| &loss.0).eq(other.iter().map(|loss| &loss.0)));
    let apart = one.iter().zip(other).map(|((_, one), (_, other))| ((one - other) / one).abs());
    (apart.fold(0.0, f64::max), one.len())
}

#[test]
fn on_webgpu_the_schedule_is_exact_and_losses_are_within_tolerance() {
    let Some(compute) = adapter() else { return };
    let (cpu, wgpu) = (smoke(&Compute::cpu()), smoke(&compute));
    assert_eq!(cpu.schedule_digest, wgpu.schedule_digest, "the schedule depends on the device");
    let (worst, compared) = furthest(&losses(&cpu), &losses(&wgpu));
    eprintln!("{}: {worst:.2e} apart at most, {compared} losses compared", compute.describe());
    assert!(worst < TOLERANCE, "{worst}");
}

/// There devices train as one batch unless `--stack off` says otherwise.
#[test]
fn on_webgpu_devices_that_train_as_one_batch_learn_what_they_learn_alone() {
    let Some(compute) = adapter() else { return };
    let plan = plan_on(&tiny(&fedavg("on = \"proxy\""), &[]), &compute);
    let [stacked, alone] =
        [true, false].map(|stacks| play_with(&plan, Options { stacks, ..Options::default() }));
    assert_eq!(stacked.schedule_digest, alone.schedule_digest, "stacks change the schedule");
    let (worst, compared) = furthest(&losses(&alone), &losses(&stacked));
    eprintln!("{}: {worst:.2e} apart at most, {compared} losses compared", compute.describe());
    assert!(worst < TOLERANCE, "{worst}");
}

#[test]
fn a_run_on_webgpu_names_its_adapter_and_is_verified_there() {
    let Some(compute) = adapter() else { return };
    let folder = TempDir::new().unwrap();
    let (file, runs) = (folder.path().join("tiny.toml"), folder.path().join("runs"));
    fs::write(&file, tiny_text(&fedavg("on = \"proxy\""))).unwrap();
    let ran = cotune()
        .arg("run")
        .arg(&file)
        .args(["-q", "--device", "wgpu", "--runs"])
        .arg(&runs)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let run = RunDirectory::at(PathBuf::from(String::from_utf8(ran.stdout).unwrap().trim_end()));
    let manifest = run.manifest().unwrap();
    assert_eq!(manifest.device, compute.describe());
    assert_eq!(run.summary().unwrap().wall.device, compute.describe());
    assert!(manifest.command.contains("--device wgpu:0"), "{}", manifest.command);
    let report = fs::read_to_string(run.report_path()).unwrap();
    assert!(report.contains(&compute.describe()), "the report does not name {}", compute.describe());

    let told = cotune().arg("verify").arg(run.path()).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout);
    assert_eq!(told.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&told.stderr));
    assert!(said.contains("events of the schedule"), "{said}");

    let told = cotune().arg("doctor").output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(said.contains(&compute.describe()) && !said.contains("DISAGREES"), "{said}");
}
