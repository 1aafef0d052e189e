//! The integration tests: one binary, a file for each promise.
//!
//! | file              | what is promised |
//! |-------------------|------------------|
//! | `arrows.rs`       | packages use each other as README draws it; burn and actix stay in their rooms |
//! | `methods.rs`      | what holds for every `Method`: the suite that a new method inherits |
//! | `privacy.rs`      | what leaks of private examples through what travels is measured |
//! | `ranks.rs`        | adapters of different ranks on one base become one, and one becomes them again |
//! | `rounds.rs`       | what a synchronous round does with what arrives, and with what does not |
//! | `coordination.rs` | what holds for every coordination, whatever happens in whatever order |
//! | `buffered.rs`     | buffered and asynchronous coordination, with every method |
//! | `fairness.rs`     | devices do the same under every method where a scenario asks for it |
//! | `faults.rs`       | every reason for not contributing, every fault, and what robust aggregation makes of it |
//! | `fedprox.rs`      | a method of one's own is one file, and comes to what the built-in one does |
//! | `oracles.rs`      | closed forms of queueing and order statistics, conservation of bytes and joules |
//! | `corpora.rs`      | data of one's own: names, domains, templates; what does not fit is counted |
//! | `batteries.rs`    | work drains batteries, and what is too low does not train |
//! | `custom.rs`       | a method that a program brings is played like any other |
//! | `cost.rs`         | work costs what the models of time, energy and carbon say, other simulators' among them |
//! | `fleets.rs`       | the fleets that ship are what was measured, and are drawn as asked |
//! | `transfers.rs`    | transfers take what links allow; bytes are neither made nor forgotten |
//! | `mpi.rs`          | on any number of ranks the digest is that of one process |
//! | `optimizer.rs`    | learning rates over steps, micro-batches, and steps that are skipped |
//! | `reference.rs`    | plain loops of FedAvg, FedCoLLM and FedMKT on a plain decoder come to the same weights |
//! | `determinism.rs`  | same scenario, same seed, same digest: whatever the threads, the actors, the day |
//! | `stacks.rs`       | jobs that are computed as one batch come to what each comes to alone |
//! | `random.rs`       | what holds for every scenario there is, on thousands made from seeds |
//! | `resume.rs`       | a run that is cut and goes on is the run that was never cut |
//! | `forged.rs`       | a checkpoint that somebody forged is refused or recovered from |
//! | `matrix.rs`       | one digest over threads, actors, ranks, cuts and chaos, every one crossed with every other |
//! | `surroundings.rs` | full disks, files that vanish, clocks that jump: the run fails, and goes on to its digest |
//! | `bases.rs`        | one process makes a base, the others wait for it |
//! | `supply.rs`       | licences, bans and sources are those that `deny.toml` allows |
//! | `verify.rs`       | a recorded run repeats, and what was changed in one is named |
//! | `watching.rs`     | a run is watched on a terminal, live and afterwards, and over HTTP |
//! | `wgpu.rs`         | on WebGPU the schedule is the same, and losses are close |
//! | `clusters.rs`     | the files for Slurm, Kubernetes and HyperQueue run every point of a sweep |
//! | `commands.rs`     | the binary: exit codes, files, what is refused, what Ctrl-C leaves behind |
//! | `sweep.rs`        | sweeps run what is missing, comparisons claim what intervals support |
//! | `halving.rs`      | successive halving pauses runs, and what climbs to the end is what a grid comes to |
//! | `tools.rs`        | init, schema, completions, explain, export, and runs that go |
//! | `fuzz.rs`         | bytes from anyone are read or refused, never a panic |
//! | `model.rs`        | `cotune model`: scores as Hugging Face has them, texts, conversions, what is refused |
//! | `refusals.rs`     | what `check` refuses beyond the language, and how it says so |
//! | `book.rs`         | every command and every scenario in the book does what the book says |
//!
//! What they share is the library of this package, and for a cloud that is told message by message `told.rs`.

mod adapters;
mod arrows;
mod bases;
mod batteries;
mod book;
mod buffered;
#[cfg(unix)]
mod clusters;
mod commands;
mod coordination;
mod corpora;
mod cost;
mod custom;
mod determinism;
mod fairness;
mod faults;
mod fedprox;
mod fleets;
mod forged;
mod fuzz;
mod halving;
#[cfg(unix)]
mod matrix;
mod methods;
mod model;
mod mpi;
mod optimizer;
mod oracles;
mod privacy;
mod random;
mod ranks;
mod reference;
mod refusals;
mod resume;
mod rounds;
mod stacks;
mod supply;
mod surroundings;
mod sweep;
mod told;
mod tools;
mod transfers;
mod verify;
mod watching;
mod wgpu;
