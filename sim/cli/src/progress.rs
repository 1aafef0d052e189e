//! How far a run is: a bar on a terminal, a line for every evaluation elsewhere.

use std::time::{Duration, Instant};

use cotune_kernel::VirtualTime;
use cotune_record::{EvaluationRow, Event, EventKind, Scope, Score, scores};
use cotune_scenario::budget::Budget;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::arguments::ProgressMode;
use crate::machine;
use crate::talk::{self, Talk};

/// The bar's resolution.
const STEPS: u64 = 10_000;
/// How often the bar is drawn although nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// The least time between two changes of the bar's words.
const REFRESH: Duration = Duration::from_millis(100);
/// The longest silence between two lines while rounds close.
const SILENCE: Duration = Duration::from_secs(10);
/// What stands for the quality of a model, the first that is measured.
const TELLING: [&str; 3] = ["rouge-l", "exact-match", "loss"];

/// Follows the events of a run and shows how far it is.
pub struct Progress {
    view: View,
    budget: Budget,
    time_ns: u64,
    rounds: u64,
    uplink_bytes: u64,
    /// Scores of the evaluation that is going on.
    fresh: Vec<EvaluationRow>,
    /// The latest complete evaluation in words; empty before, and without training.
    quality: String,
    begun: Instant,
    refreshed: Instant,
}

enum View {
    Bar(ProgressBar),
    Lines(Talk),
    Nothing,
}

impl Progress {
    /// Begins to follow a run that ends with `budget`.
    pub fn begin(mode: ProgressMode, budget: &Budget, talk: Talk) -> Self {
        let view = match mode {
            _ if talk.quiet => View::Nothing,
            ProgressMode::None => View::Nothing,
            ProgressMode::Auto if !talk::is_lively() => View::Lines(talk),
            ProgressMode::Lines => View::Lines(talk),
            ProgressMode::Auto | ProgressMode::Bar => View::Bar(bar()),
        };
        let (budget, now) = (budget.clone(), machine::now());
        let (fresh, quality) = (Vec::new(), String::new());
        Self {
            view,
            budget,
            time_ns: 0,
            rounds: 0,
            uplink_bytes: 0,
            fresh,
            quality,
            begun: now,
            refreshed: now,
        }
    }

    /// Shows itself from now on: what was said before stands above it.
    pub fn show(&self) {
        if let View::Bar(bar) = &self.view {
            bar.enable_steady_tick(TICK);
        }
    }

    /// Takes notice of an event.
    pub fn observe(&mut self, event: &Event) {
        self.time_ns = event.time_ns;
        if !matches!(event.kind, EventKind::Evaluated { .. }) {
            self.conclude_evaluation();
        }
        match &event.kind {
            EventKind::RoundClosed { .. } => {
                self.rounds += 1;
                self.break_silence();
            }
            EventKind::UploadFinished { bytes, .. } => self.uplink_bytes += bytes,
            EventKind::Evaluated { round, scope, device, metric, domain, value, weight } => {
                self.fresh.push(EvaluationRow {
                    time_s: event.seconds(),
                    round: *round,
                    scope: *scope,
                    device: *device,
                    metric: metric.clone(),
                    domain: domain.clone(),
                    value: *value,
                    weight: *weight,
                });
            }
            _ => {}
        }
        if let View::Bar(bar) = &self.view
            && self.refreshed.elapsed() >= REFRESH
        {
            bar.set_position((self.done() * STEPS as f64) as u64);
            bar.set_message(self.short());
            self.refreshed = machine::now();
        }
    }

    /// Takes notice of an event of an earlier part of the run, and shows nothing.
    pub fn catch_up(&mut self, event: &Event) {
        self.time_ns = event.time_ns;
        match event.kind {
            EventKind::RoundClosed { .. } => self.rounds += 1,
            EventKind::UploadFinished { bytes, .. } => self.uplink_bytes += bytes,
            _ => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        self.conclude_evaluation();
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }

    /// The scores of one evaluation are complete when something else happens.
    fn conclude_evaluation(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        self.quality = quality(&scores(&self.fresh));
        self.fresh.clear();
        self.tell(&format!("{}{}", self.words(), self.left()));
    }

    /// Without evaluations, rounds show now and then that the run goes on.
    fn break_silence(&mut self) {
        if self.refreshed.elapsed() >= SILENCE {
            self.tell(&format!("{}{}", self.place(), self.left()));
        }
    }

    fn tell(&mut self, line: &str) {
        if let View::Lines(talk) = self.view {
            talk.say(format_args!("  {line}"));
            self.refreshed = machine::now();
        }
    }

    /// The share of the budget that is used up, 0 to 1.
    fn done(&self) -> f64 {
        let share = |used: f64, limit: Option<f64>| limit.map_or(0.0, |limit| used / limit);
        let time = share(self.time_ns as f64 / 1e9, self.budget.virtual_seconds);
        let rounds = share(self.rounds as f64, self.budget.rounds.map(|rounds| rounds as f64));
        let uplink = share(self.uplink_bytes as f64, self.budget.uplink_bytes.map(|bytes| bytes as f64));
        time.max(rounds).max(uplink).min(1.0)
    }

    /// Round and virtual time, with the latest scores if there are any.
    fn words(&self) -> String {
        match self.quality.as_str() {
            "" => self.place(),
            quality => format!("{}, {quality}", self.place()),
        }
    }

    fn place(&self) -> String {
        let of = self.budget.rounds.map_or(String::new(), |rounds| format!("/{rounds}"));
        let time = VirtualTime::from_nanos(self.time_ns - self.time_ns % 1_000_000_000);
        format!("round {}{of}, {time} virtual", self.rounds)
    }

    /// How long it will take if it goes on like this.
    fn left(&self) -> String {
        self.remaining().map_or(String::new(), |left| format!(", {} left", HumanDuration(left)))
    }

    fn remaining(&self) -> Option<Duration> {
        let done = self.done();
        (0.0 < done && done < 1.0).then(|| self.begun.elapsed().mul_f64((1.0 - done) / done))
    }

    /// What a bar says beside it. A terminal of 80 columns has room for all but the cloud's score, which comes last.
    fn short(&self) -> String {
        let left = self.remaining().map_or(String::new(), |left| format!(", {:#} left", HumanDuration(left)));
        let quality = if self.quality.is_empty() { String::new() } else { format!(", {}", self.quality) };
        format!("{}{left}{quality}", self.place())
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("  {bar:16} {percent:>3} %  {wide_msg}");
    let bar = ProgressBar::new(STEPS);
    bar.set_style(style.expect("the template is well formed"));
    bar
}

/// `edge rouge-l 31.2, cloud rouge-l 44.0`: one number for devices and one for the cloud.
fn quality(scores: &[Score]) -> String {
    let telling = |scope: Scope, suffix: &str| {
        TELLING.iter().find_map(|metric| {
            let wanted = format!("{metric}{suffix}");
            let score = scores.iter().find(|score| score.scope == scope && score.statistic == wanted)?;
            Some(format!("{scope} {metric} {:.2}", score.value))
        })
    };
    [telling(Scope::Edge, ".mean"), telling(Scope::Cloud, "")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(budget: Budget) -> Progress {
        Progress::begin(ProgressMode::None, &budget, Talk::default())
    }

    fn event(second: u64, kind: EventKind) -> Event {
        Event { time_ns: second * 1_000_000_000, class: 0, source: 0, seq: 0, kind }
    }

    fn score(device: u32, value: f64) -> EventKind {
        let (metric, scope) = ("rouge-l".to_owned(), Scope::Edge);
        EventKind::Evaluated {
            round: 1,
            scope,
            device: Some(device),
            metric,
            domain: None,
            value: Some(value),
            weight: 1.0,
        }
    }

    #[test]
    fn the_budget_that_is_used_up_most_says_how_far_it_is() {
        let budget = Budget { virtual_seconds: Some(100.0), rounds: Some(4), uplink_bytes: None };
        let mut progress = silent(budget);
        let closed =
            EventKind::RoundClosed { round: 1, accepted: 1, invited: 1, void: false, duration_s: 10.0 };
        progress.observe(&event(10, closed));
        assert_eq!(progress.done(), 0.25);
        progress.observe(&event(60, score(0, 1.0)));
        assert_eq!(progress.done(), 0.6);
    }

    #[test]
    fn an_evaluation_is_told_once_it_is_complete() {
        let mut progress = silent(Budget { virtual_seconds: None, rounds: Some(4), uplink_bytes: None });
        progress.observe(&event(3_600, score(0, 30.0)));
        progress.observe(&event(3_600, score(1, 40.0)));
        assert!(progress.quality.is_empty());
        progress.finish();
        assert_eq!(progress.words(), "round 0/4, 1h 00m 00s virtual, edge rouge-l 35.00");
        progress.rounds = 2;
        progress.begun = progress.begun.checked_sub(Duration::from_secs(7)).expect("the clock is older");
        assert_eq!(progress.short(), "round 2/4, 1h 00m 00s virtual, 7s left, edge rouge-l 35.00");
    }
}
