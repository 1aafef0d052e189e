//! What the integration tests of cotune share: a tiny federation, a way to play it, and the command under test.
//!
//! The tests themselves are one binary, `tests/it`; its map is at the top of `tests/it/main.rs`.

pub mod random;

/// The book's method of one's own.
#[expect(dead_code, reason = "its `main` is that of another program")]
#[path = "../../sim/cli/examples/own_method.rs"]
pub mod own_method;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex, mpsc};

use cotune_kernel::codec;
use cotune_models::device::Compute;
use cotune_record::{Digest, Event, EventDigest};
use cotune_scenario::{Context, Document, Override, Scenario, Style};
use cotune_world::method::Method;
use cotune_world::{End, Lab, Options, Plan, Reach, Site, Snapshot, simulate, simulate_from};
use serde_json::Value;

/// Three devices of two families, two rounds, a handful of examples: everything but the method.
const TINY: &str = r#"
format = 1
name   = "tiny"
seed   = 1

[models.cloud]
base         = "zoo:llm-small"
adapter.lora = { rank = 2, alpha = 4, targets = ["q", "v"] }
[models.proxy]
base         = "zoo:dpm-small"
adapter.lora = { rank = 2, alpha = 4, targets = ["q", "v"] }
[models.edge-a]
base         = "zoo:slm-gpt2-small"
adapter.lora = { rank = 2, alpha = 4, targets = ["qkv"] }
[models.edge-b]
base         = "zoo:slm-bloom-small"
adapter.lora = { rank = 2, alpha = 4, targets = ["q", "v"] }

[data]
corpus.builtin = { name = "domains", examples = 96 }
public         = 16
validation     = 8
test           = 16
[data.split.dirichlet]
by    = "domain"
alpha = 1.0
min   = 8

[fleet]
devices = 3
[fleet.class.phone]
weight  = 2
model   = "edge-a"
compute = "1GFLOP/s"
memory  = "1GiB"
link    = { down = "20Mbit/s", up = "5Mbit/s", rtt = "40ms" }
[fleet.class.gateway]
weight  = 1
model   = "edge-b"
compute = "3GFLOP/s"
memory  = "1GiB"
link    = { down = "200Mbit/s", up = "50Mbit/s", rtt = "8ms" }

[cloud]
compute = "20GFLOP/s"
memory  = "4GiB"
link    = { down = "1Gbit/s", up = "1Gbit/s" }

[evaluation]
every   = { rounds = 2 }
metrics = ["loss"]
panel   = 3

[budget]
rounds = 2
"#;

/// Makes a method that a program brings.
pub type Maker = fn(&Scenario) -> Box<dyn Method>;

/// A method in one variant, as the conformance suite takes it.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is called in messages.
    pub name: &'static str,
    /// `[method]`, and the tables of models that only it needs.
    pub tables: String,
    /// Who makes the method of `[method.custom]`; none for what cotune has.
    pub maker: Option<Maker>,
}

impl Variant {
    /// A plan of a scenario that has these tables.
    ///
    /// # Panics
    /// Models or data do not allow it.
    pub fn plan(&self, scenario: &Scenario) -> Arc<Plan> {
        let Some(make) = self.maker else { return plan(scenario) };
        let plan = Plan::draw_with(Arc::new(lab(scenario)), make(scenario));
        Arc::new(plan.unwrap_or_else(|error| panic!("{error}")))
    }
}

/// Every method in every variant worth telling apart. What holds for a `Method` is tested on all of them; one that a
/// program brings comes with its maker.
pub fn methods() -> Vec<Variant> {
    let own = |name, tables, maker| Variant { name, tables, maker: Some(maker) };
    let theirs = built_in().into_iter().map(|(name, tables)| Variant { name, tables, maker: None });
    theirs.chain([own("the book's", half_way("half-way", "0.5"), made_half_way)]).collect()
}

fn made_half_way(scenario: &Scenario) -> Box<dyn Method> {
    Box::new(own_method::HalfWay::of(scenario).unwrap_or_else(|error| panic!("{error}")))
}

/// `[method.custom]` of the book's method, two steps, under a name and with a share.
pub fn half_way(name: &str, share: &str) -> String {
    let steps = "device_steps = { tune = 2 }\nbatch = 4";
    format!("[method.custom]\nname = {name:?}\n{steps}\nsettings = {{ share = {share} }}\n")
}

fn built_in() -> Vec<(&'static str, String)> {
    vec![
        ("zero-shot", "[method.zero-shot]\n".to_owned()),
        ("standalone", standalone("")),
        ("standalone with the public set", standalone("public = true")),
        ("centralized", "[method.centralized]\ncloud_steps = { tune = 2 }\nbatch = 4\n".to_owned()),
        ("fedavg on the proxy", fedavg("on = \"proxy\"")),
        ("fedavg on the devices' models", fedavg("on = \"edge\"\naggregate = \"uniform\"")),
        ("fedavg by the median", fedavg("on = \"proxy\"\naggregate = \"median\"")),
        ("fedavg by krum", fedavg("on = \"proxy\"\naggregate.krum = { keep = 1 }")),
        // Longer than any change here: what it shortens has tests of its own.
        ("fedavg by norm clipping", fedavg("on = \"proxy\"\naggregate.norm-clip = { norm = 1000.0 }")),
        ("fedprox", fedavg("on = \"proxy\"\nlocal.prox = { mu = 0.1 }")),
        ("scaffold", fedavg("on = \"proxy\"\nlocal = \"scaffold\"\noptimizer.sgd = { lr = 0.1 }")),
        (
            "scaffold on the devices' models",
            fedavg("on = \"edge\"\nlocal = \"scaffold\"\noptimizer.sgd = { lr = 0.1 }"),
        ),
        ("fedavg by descent with momentum", fedavg("on = \"edge\"\noptimizer.sgd = { momentum = 0.9 }")),
        ("fednova over passes", fednova()),
        ("fedavg at a rate of the server", fedavg("on = \"proxy\"\nserver.sgd = { lr = 0.5 }")),
        ("fedavg with server momentum", fedavg("on = \"proxy\"\nserver.momentum = { lr = 0.5 }")),
        ("fedadam", fedavg("on = \"proxy\"\nserver = \"adam\"")),
        ("fedyogi", fedavg("on = \"edge\"\nserver = \"yogi\"")),
        ("fedadagrad", fedavg("on = \"proxy\"\nserver.adagrad = { tau = 1e-2 }")),
        ("flora", fedavg("on = \"edge\"\nranks = \"flora\"")),
        ("flexlora", fedavg("on = \"edge\"\nranks = \"flexlora\"")),
        ("hetlora with a proximal term", fedavg("on = \"edge\"\nranks = \"hetlora\"\nlocal = \"prox\"")),
        ("ffa-lora", ffa_lora()),
        ("fedap", fedap()),
        ("fedcollm", fedcollm("")),
        ("fedcollm, weighted, dtw", fedcollm("aggregate = \"weighted\"\nalign = \"dtw\"")),
        ("fedcollm with a relay set", fedcollm(&relay(""))),
        ("fedcollm with a guarded relay set", fedcollm(&relay(", guard = \"dual-min-ce\""))),
        (
            "fedcollm with confident relay answers",
            fedcollm(&relay(", guard = \"confidence\", confidence = 0.2")),
        ),
        ("fedcollm at another temperature", fedcollm("temperature = 2.0\nvocab = \"equal\"")),
        ("fedmkt", fedmkt("")),
        ("fedmkt by the rule of FATE", fedmkt("selection = \"fate\"\ntop_k = 700")),
        ("fedmkt, bytes", fedmkt("align = \"bytes\"\ntemperature = 2.0")),
        ("fedmkt with a relay set", fedmkt(&relay(""))),
        ("fedmkt with confident relay answers", fedmkt(&relay(", guard = \"confidence\", confidence = 0.2"))),
        ("co-plms", co_plms("")),
        ("co-plms by the trimmed mean", co_plms("aggregate.trimmed-mean = { trim = 0.2 }")),
        ("co-plms that tunes the proxy alone", co_plms("dst = \"proxy\"")),
        ("co-plms with a private domain adapter", co_plms("dst = \"domain-adapter\"")),
        ("co-plms, one after the other", co_plms("saml = { update = \"alternating\" }")),
        ("co-plms, convex", co_plms("saml = { combine = { convex = 0.9 } }")),
        ("co-plms, one way", co_plms("saml = { weight = { edge_to_proxy = 0.0, cloud_to_proxy = 0.0 } }")),
        ("co-plms, dtw", co_plms("saml = { align = \"dtw\", fallback = \"target\" }")),
        ("co-plms without tuning", co_plms_without_tuning("")),
        ("co-plms that tunes the devices' models alone", co_plms("dst = \"slm\"")),
        (
            "co-plms, reverse, another temperature",
            co_plms("saml = { kl = \"reverse\", temperature = 2.0, vocab = \"equal\" }"),
        ),
        ("co-plms, jsd, fate", co_plms("saml = { kl = \"jsd\", align = \"dtw\", fallback = \"fate\" }")),
        ("co-plms with a distilled proxy", co_plms_distilled()),
        (
            "co-plms with a relay set from a later round on",
            co_plms(&relay_from(3, 2, ", delivery = \"send\"")),
        ),
        ("fedmkt with a relay set from a later round on", fedmkt(&relay_from(3, 2, ""))),
        ("co-plms, rest bucket, public set", co_plms("saml = { rest = true, data = \"public\" }")),
        ("co-plms with a relay set", co_plms(&relay(""))),
        ("co-plms with a guarded relay set", co_plms(&relay(", guard = \"dual-min-ce\""))),
        (
            "co-plms with confident relay answers",
            co_plms(&relay(", guard = \"confidence\", confidence = 0.2")),
        ),
        ("co-plms with a relay set of own domains", co_plms(&relay(", focus = 0.5"))),
        ("co-plms with relay prompts sent", co_plms(&relay(", delivery = \"send\""))),
        ("proxy-relay", proxy_relay("")),
        ("proxy-relay with a guard", proxy_relay(", guard = \"dual-min-ce\"")),
        ("proxy-relay with prompts sent", proxy_relay(", delivery = \"send\"")),
        (
            "proxy-relay with confident answers of own domains",
            proxy_relay(", guard = \"confidence\", confidence = 0.2, focus = 0.5"),
        ),
    ]
}

/// `[method.standalone]`, two steps of everything, with more keys.
pub fn standalone(keys: &str) -> String {
    let steps = "device_steps = { tune = 2 }\ncloud_steps = { tune = 2 }\nbatch = 4";
    format!("[method.standalone]\n{steps}\n{keys}\n")
}

/// `[method.fedavg]`, two steps, with more keys.
pub fn fedavg(keys: &str) -> String {
    format!("[method.fedavg]\ndevice_steps = {{ tune = 2 }}\nbatch = 4\n{keys}\n")
}

/// FedNova, where devices with more examples take more steps.
pub fn fednova() -> String {
    let steps = "device_steps = { epochs = 1 }\nbatch = 8\nnova = true";
    format!("[method.fedavg]\non = \"proxy\"\n{steps}\noptimizer.sgd = {{ lr = 0.1, momentum = 0.5 }}\n")
}

/// `[method.fedavg]`, two steps, on a proxy whose A is frozen.
pub fn ffa_lora() -> String {
    let lora = "{ rank = 2, alpha = 4, targets = [\"q\", \"v\"], freeze = \"a\" }";
    let proxy = format!("[models.frozen]\nbase = \"zoo:dpm-small\"\nadapter.lora = {lora}");
    format!("{}{proxy}\n", fedavg("on = \"proxy\"\nproxy = \"frozen\""))
}

/// `[method.fedap]`, two steps, on a proxy with bottleneck adapters.
pub fn fedap() -> String {
    let proxy = "[models.narrow]\nbase = \"zoo:dpm-small\"\nadapter.bottleneck = { size = 4 }";
    format!(
        "[method.fedap]\non = \"proxy\"\nproxy = \"narrow\"\ndevice_steps = {{ tune = 2 }}\nbatch = 4\n{proxy}\n"
    )
}

/// `[method.fedcollm]`, two steps of everything, with more keys.
pub fn fedcollm(keys: &str) -> String {
    let steps = "device_steps = { tune = 2 }\ncloud_steps = { mutual = 2 }\nbatch = 4";
    format!("[method.fedcollm]\n{steps}\n{keys}\n")
}

/// `[method.fedmkt]`, one or two steps of everything, with more keys.
pub fn fedmkt(keys: &str) -> String {
    let steps = "device_steps = { tune = 1, mutual = 2 }\ncloud_steps = { mutual = 2 }\nbatch = 4";
    format!("[method.fedmkt]\n{steps}\n{keys}\n")
}

/// `[method.co-plms]`, one or two steps of everything, with more keys.
pub fn co_plms(keys: &str) -> String {
    let steps = "device_steps = { tune = 1, mutual = 2 }\ncloud_steps = { mutual = 2 }\nbatch = 4";
    format!("[method.co-plms]\n{steps}\n{keys}\n")
}

/// The same without domain-specific tuning.
pub fn co_plms_without_tuning(keys: &str) -> String {
    let steps = "device_steps = { mutual = 2 }\ncloud_steps = { mutual = 2 }\nbatch = 4";
    format!("[method.co-plms]\ndst = \"off\"\n{steps}\n{keys}\n")
}

/// `[method.co-plms]` with a proxy that is made from the LLM on the public examples.
pub fn co_plms_distilled() -> String {
    let lora = "adapter.lora = { rank = 2, alpha = 4, targets = [\"q\", \"v\"] }";
    let init = "init.distill = { from = \"cloud\", steps = 2, batch = 4 }";
    let proxy = format!("[models.made]\nbase = \"zoo:dpm-small\"\n{lora}\n{init}");
    format!("{}{proxy}\n", co_plms("proxy = \"made\""))
}

/// `[method.proxy-relay]`, two steps of everything, with more keys of `relay`.
pub fn proxy_relay(relay_keys: &str) -> String {
    let steps = "device_steps = { tune = 2 }\ncloud_steps = { tune = 2 }\nbatch = 4";
    format!("[method.proxy-relay]\n{steps}\n{}\n", relay(relay_keys))
}

/// The key `relay` with a small set from the first round on, and more keys.
pub fn relay(keys: &str) -> String {
    relay_from(1, 1, keys)
}

/// The same from later rounds on.
pub fn relay_from(device: u32, cloud: u32, keys: &str) -> String {
    let from = format!("from_round = {{ device = {device}, cloud = {cloud} }}");
    format!("relay = {{ prompts = 8, batch = 4, max_tokens = 16, {from}{keys} }}")
}

/// The tiny federation with the tables of a method and with overrides such as `("seed", "2")`.
///
/// # Panics
/// It is not a valid scenario; the message is what a person would see.
pub fn tiny(tables: &str, overrides: &[(&str, &str)]) -> Scenario {
    checked("tiny.toml", &tiny_text(tables), overrides)
}

/// The same as the text of a file, for the command under test.
pub fn tiny_text(tables: &str) -> String {
    format!("{TINY}\n{tables}")
}

/// The tiny federation with the fleet of a base file, such as `fleets/industrial.toml`, and an even split; plain FedAvg.
///
/// # Panics
/// It is not a valid scenario.
pub fn extending(base: &str, overrides: &[(&str, &str)]) -> Scenario {
    let (before, after) = (TINY.split("[fleet]").next(), TINY.split("[cloud]").nth(1));
    let (before, after) = (before.expect("TINY has a fleet"), after.expect("TINY has a cloud"));
    let fleet = "[fleet]\nmodel = \"edge-a\"\n";
    let text = format!("extends = {base:?}\n{before}{fleet}[cloud]{after}\n{}", fedavg("on = \"proxy\""));
    let overrides: Vec<_> = [("data.split", "\"iid\""), ("data.corpus.builtin.examples", "140")]
        .iter()
        .chain(overrides)
        .copied()
        .collect();
    checked("extending.toml", &text, &overrides)
}

/// A scenario that ships, such as `quickstart`, with overrides.
///
/// # Panics
/// There is none of that name, or it is not valid.
pub fn shipped(name: &str, overrides: &[(&str, &str)]) -> Scenario {
    let path = workspace().join("scenarios").join(name).with_extension("toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    checked(&path.display().to_string(), &text, overrides)
}

/// A scenario from the text of a file, with overrides.
///
/// # Panics
/// It is not valid; the message is what a person would see.
pub fn checked(name: &str, text: &str, overrides: &[(&str, &str)]) -> Scenario {
    let load = |base: &str| {
        fs::read_to_string(workspace().join("scenarios").join(base)).map_err(|error| error.to_string())
    };
    let overrides: Vec<Override> = overrides.iter().map(|(key, value)| Override::new(key, value)).collect();
    let checked = Document::parse(name, text, &load).and_then(|mut document| {
        document.set(&overrides)?;
        document.check(&Context { zoo: &cotune_models::zoo::names() })
    });
    match checked {
        Ok(checked) => checked.scenario,
        Err(found) => panic!("{name} is not valid:\n{}", found.render(Style::default())),
    }
}

/// A plan on the CPU: models loaded, data dealt, fleet drawn.
pub fn plan(scenario: &Scenario) -> Arc<Plan> {
    plan_on(scenario, &Compute::cpu())
}

/// A plan on a device of the caller's choice.
///
/// # Panics
/// Models or data do not allow it.
pub fn plan_on(scenario: &Scenario, compute: &Compute) -> Arc<Plan> {
    let plan = draw(scenario, compute);
    plan.unwrap_or_else(|error| panic!("{error}"))
}

/// A plan on the CPU, or why there is none.
///
/// # Errors
/// Models, data or what the scenario asks of its devices do not allow it.
pub fn try_plan(scenario: &Scenario) -> Result<Arc<Plan>, String> {
    draw(scenario, &Compute::cpu())
}

/// A lab on the CPU: models loaded, data dealt.
///
/// # Panics
/// Models or data do not allow it.
pub fn lab(scenario: &Scenario) -> Lab {
    open(scenario, &Compute::cpu()).unwrap_or_else(|error| panic!("{error}"))
}

fn draw(scenario: &Scenario, compute: &Compute) -> Result<Arc<Plan>, String> {
    let lab = open(scenario, compute)?;
    Ok(Arc::new(Plan::draw(Arc::new(lab)).map_err(|error| error.to_string())?))
}

fn open(scenario: &Scenario, compute: &Compute) -> Result<Lab, String> {
    let site = Site {
        scenario_dir: workspace().join("scenarios"),
        data_dir: data(),
        cache_dir: workspace().join("target/cotune-cache"),
        reach: Reach::Anywhere,
    };
    Lab::open(scenario, &site, compute, &mut |_| {}).map_err(|error| error.to_string())
}

/// What happened in a run.
#[derive(Clone, Debug)]
pub struct Played {
    /// All events in order.
    pub events: Vec<Event>,
    /// Of everything that happened.
    pub digest: Digest,
    /// Of everything but what learning decides.
    pub schedule_digest: Digest,
}

/// Plays a plan to its end.
///
/// # Panics
/// The simulation fails or is interrupted.
pub fn play(plan: &Arc<Plan>, threads: usize, train: bool) -> Played {
    play_delayed(plan, threads, train, None)
}

/// The same with jobs that wait for random times of the wall clock, drawn from the seed `delays`.
///
/// # Panics
/// The simulation fails or is interrupted.
pub fn play_delayed(plan: &Arc<Plan>, threads: usize, train: bool, delays: Option<u64>) -> Played {
    play_with(plan, Options { threads, train, delays, ..Options::default() })
}

/// The same with options of the caller's choice.
///
/// # Panics
/// The simulation fails or is interrupted.
pub fn play_with(plan: &Arc<Plan>, options: Options) -> Played {
    let (sender, receiver) = mpsc::channel();
    let sink = Box::new(move |event| sender.send(event).map_err(|error| error.to_string()));
    let end = simulate(Arc::clone(plan), options, sink).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(end, End::Complete);
    let events: Vec<Event> = receiver.into_iter().collect();
    let mut digest = EventDigest::new();
    events.iter().for_each(|event| digest.push(event));
    Played { digest: digest.digest(), schedule_digest: digest.schedule_digest(), events }
}

/// The frame kind of snapshots in tests.
const SNAPSHOT_KIND: u16 = 900;

/// The snapshots of a run, one a round: the number of events before each, and its bytes as in a checkpoint.
pub type Snapshots = Vec<(usize, Vec<u8>)>;

/// The events of a run from a snapshot or from the beginning, and its own snapshots.
///
/// # Panics
/// The simulation fails.
pub fn kept(plan: &Arc<Plan>, train: bool, from: Option<Snapshot>) -> (Vec<Event>, Snapshots) {
    kept_with(plan, Options { threads: 2, train, ..Options::default() }, from)
}

/// The same until a round is closed and scored, and how it ended.
///
/// # Panics
/// An actor did.
pub fn kept_until(
    plan: &Arc<Plan>,
    train: bool,
    from: Option<Snapshot>,
    until_round: Option<u32>,
) -> (Vec<Event>, Snapshots, End) {
    keep(plan, Options { threads: 2, train, until_round, ..Options::default() }, from)
}

/// The same of a run to its end with options of the caller's choice.
///
/// # Panics
/// The simulation fails.
pub fn kept_with(plan: &Arc<Plan>, options: Options, from: Option<Snapshot>) -> (Vec<Event>, Snapshots) {
    let (events, snapshots, end) = keep(plan, options, from);
    assert_eq!(end, End::Complete);
    (events, snapshots)
}

fn keep(plan: &Arc<Plan>, options: Options, from: Option<Snapshot>) -> (Vec<Event>, Snapshots, End) {
    let (sender, receiver) = mpsc::channel();
    let seen = Arc::new(Mutex::new((0, Vec::new())));
    let (counter, kept) = (Arc::clone(&seen), Arc::clone(&seen));
    let sink = Box::new(move |event| {
        counter.lock().expect("one thread has it").0 += 1;
        sender.send(event).map_err(|error| error.to_string())
    });
    let keeper = Box::new(move |snapshot: Snapshot| {
        let mut kept = kept.lock().expect("one thread has it");
        if !snapshot.is_complete() {
            let events = kept.0;
            kept.1.push((events, snapshot_bytes(&snapshot)));
        }
        Ok(())
    });
    let options = Options { keep_every: Some(1), ..options };
    let end = simulate_from(from, Arc::clone(plan), options, sink, Some(keeper));
    let end = end.unwrap_or_else(|error| panic!("{error}"));
    let snapshots = std::mem::take(&mut seen.lock().expect("one thread has it").1);
    (receiver.into_iter().collect(), snapshots, end)
}

/// A snapshot as a checkpoint has it.
///
/// # Panics
/// It cannot be written.
pub fn snapshot_bytes(snapshot: &Snapshot) -> Vec<u8> {
    codec::encode(SNAPSHOT_KIND, snapshot).expect("a snapshot can be written")
}

/// A snapshot that [`kept`] has made.
///
/// # Panics
/// The bytes are not one.
pub fn read_snapshot(bytes: &[u8]) -> Snapshot {
    codec::decode(SNAPSHOT_KIND, bytes).expect("a snapshot is read back")
}

/// The folder of real data and traces, which may not be there: `COTUNE_DATA`, else beside the workspace.
pub fn data() -> PathBuf {
    std::env::var_os("COTUNE_DATA").map_or_else(|| workspace().join("../shared/data"), PathBuf::from)
}

/// A file of the data folder; `None`, with a line on what is skipped, where it is not there.
pub fn data_file(name: &str) -> Option<PathBuf> {
    let path = data().join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: {} is not there; set COTUNE_DATA", path.display());
    None
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// The command under test, brought up to date on first use: cargo builds a package's binaries for that package's
/// own integration tests only, so `cargo test` alone would leave none, or the one of yesterday.
pub fn cotune() -> Command {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(build);
    Command::new(&*BINARY)
}

/// What a command said on its standard error, in one line and without the frame around a diagnostic.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The folder of the first run in a folder of runs.
///
/// # Panics
/// There is none.
pub fn only_run(runs: &Path) -> PathBuf {
    let mut entries = fs::read_dir(runs).expect("there are runs");
    entries.next().expect("there is one").expect("it can be listed").path()
}

/// A file of JSON.
///
/// # Panics
/// It is not there, or no JSON.
pub fn json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    // target/release/deps/it-0123456789abcdef
    let folder = test.ancestors().nth(2).expect("a test lies in the target folder");
    let target = folder.parent().expect("a profile's folder lies in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args(["build", "--bin", "cotune", "--target-dir"]).arg(target);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.output().expect("cargo can be started");
    assert!(built.status.success(), "cotune cannot be built:\n{}", String::from_utf8_lossy(&built.stderr));
    folder.join("cotune").with_extension(std::env::consts::EXE_EXTENSION)
}
