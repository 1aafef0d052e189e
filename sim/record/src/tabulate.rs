//! Events to tables: one row per round, per invited device and round, per score, per fault.
//!
//! Where a round's time went is read off its *critical device*, the one whose update was accepted last: its
//! download, its work and its upload, as far as they lie inside the round, and the cloud's training. What is left
//! of the round is waiting: for devices to come online, for their turn on the link, for stragglers that never
//! delivered.

use std::collections::BTreeMap;

use crate::event::{Event, EventKind};
use crate::tables::{
    EvaluationRow, FaultRow, Outcome, ReportRow, RoundRow, RunRow, Span, TableError, Tables, WarningRow,
};

/// Tabulates a whole stream.
pub fn tabulate<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Tables, TableError> {
    let mut tabulator = Tabulator::default();
    events.into_iter().try_for_each(|event| tabulator.push(event))?;
    tabulator.finish()
}

/// Tabulates a stream event by event, for those who read it from disk or make it.
#[derive(Default)]
pub struct Tabulator {
    run: Option<RunRow>,
    ended: Option<(f64, f64)>,
    rounds: Vec<RoundRow>,
    reports: Vec<ReportRow>,
    evaluations: Vec<EvaluationRow>,
    faults: Vec<FaultRow>,
    warnings: Vec<WarningRow>,
    places: BTreeMap<u32, Place>,
}

/// Where one round stands in the tables.
struct Place {
    row: usize,
    /// The rows of the devices invited when it opened, ascending.
    reports: std::ops::Range<usize>,
    /// The rows of devices invited later.
    later: BTreeMap<u32, usize>,
    /// The rows whose updates are in its aggregate, in the order in which they were accepted.
    accepted: Vec<usize>,
    cloud: Span,
    loss: (f64, u32),
}

impl Tabulator {
    /// Adds one event.
    pub fn push(&mut self, event: &Event) -> Result<(), TableError> {
        let now = event.seconds();
        if let EventKind::RunStarted { scenario_digest, seed, devices, method, footprint } = &event.kind {
            self.run.get_or_insert(RunRow {
                scenario_digest: *scenario_digest,
                seed: *seed,
                devices: *devices,
                method: method.clone(),
                footprint: footprint.clone().unwrap_or_default(),
                ended: None,
                seconds: 0.0,
                events: 0,
                device_tokens: 0,
                cloud_tokens: 0,
                cost_usd: 0.0,
                idle_joules: 0.0,
            });
        }
        let run = self.run.as_mut().ok_or(TableError::NoBeginning)?;
        run.events += 1;
        run.seconds = now;
        match &event.kind {
            EventKind::RunStarted { .. } => {}
            EventKind::RoundOpened { round, invited } => self.open(*round, invited, now)?,
            EventKind::Invited { round, device } => self.invite(*round, *device, now)?,
            EventKind::DownloadStarted { round, device, .. } => {
                self.report(*round, *device, now)?.1.download.from_s = Some(now);
            }
            EventKind::DownloadFinished { round, device, bytes, joules, .. } => {
                let (row, report) = self.report(*round, *device, now)?;
                report.download.to_s = Some(now);
                report.bytes_down += bytes;
                report.joules += joules;
                row.bytes_down += bytes;
                row.joules += joules;
            }
            EventKind::TrainingStarted { round, device, .. } => {
                self.report(*round, *device, now)?.1.training.from_s = Some(now);
            }
            EventKind::TrainingFinished { round, device, tokens, joules, loss, complete, .. } => {
                run.device_tokens += tokens;
                let (row, report) = self.report(*round, *device, now)?;
                report.training.to_s = Some(now);
                report.joules += joules;
                row.joules += joules;
                row.tokens += tokens;
                if let (Some(loss), true, Some(place)) = (loss, complete, self.places.get_mut(round)) {
                    place.loss.0 += loss;
                    place.loss.1 += 1;
                }
            }
            EventKind::UploadStarted { round, device, .. } => {
                self.report(*round, *device, now)?.1.upload.from_s = Some(now);
            }
            EventKind::UploadFinished { round, device, bytes, joules, .. } => {
                let (row, report) = self.report(*round, *device, now)?;
                report.upload.to_s = Some(now);
                report.bytes_up += bytes;
                report.joules += joules;
                row.bytes_up += bytes;
                row.joules += joules;
            }
            EventKind::UpdateAccepted { round, device, weight, staleness, aggregate } => {
                let (_, report) = self.conclude(*round, *device, Outcome::Accepted, now)?;
                (report.weight, report.staleness) = (*weight, *staleness);
                let accepted = self.row(*round, *device, now)?;
                let (place, row) = self.place(aggregate.unwrap_or(*round), now)?;
                place.accepted.push(accepted);
                row.accepted += 1;
            }
            EventKind::NotContributed { round, device, reason, wasted_bytes, wasted_joules } => {
                let (row, report) = self.conclude(*round, *device, Outcome::Not(*reason), now)?;
                report.wasted_bytes += wasted_bytes;
                report.wasted_joules += wasted_joules;
                row.wasted_bytes += wasted_bytes;
                row.wasted_joules += wasted_joules;
            }
            EventKind::CloudTraining { round, .. } => self.place(*round, now)?.0.cloud.from_s = Some(now),
            EventKind::CloudTrained { round, tokens, cost_usd, losses, .. } => {
                run.cost_usd += cost_usd;
                run.cloud_tokens += tokens;
                let (place, row) = self.place(*round, now)?;
                place.cloud.to_s = Some(now);
                row.cloud_s += place.cloud.seconds();
                row.tokens += tokens;
                row.cloud_losses.clone_from(losses);
            }
            EventKind::RelayMade { round, prompts, kept, .. } => {
                let (_, row) = self.place(*round, now)?;
                row.relay_prompts += u64::from(*prompts);
                row.relay_kept += u64::from(kept.unwrap_or(0));
            }
            EventKind::RoundClosed { round, void, .. } => {
                let (_, row) = self.place(*round, now)?;
                row.closed_s = Some(now);
                row.void = *void;
                if *void {
                    self.waste(*round);
                }
            }
            EventKind::Evaluated { round, scope, device, metric, domain, value, weight } => {
                self.evaluations.push(EvaluationRow {
                    time_s: now,
                    round: *round,
                    scope: *scope,
                    device: *device,
                    metric: metric.clone(),
                    domain: domain.clone(),
                    value: *value,
                    weight: *weight,
                });
            }
            EventKind::Fault { kind, device, detail } => {
                let detail = detail.clone();
                self.faults.push(FaultRow { time_s: now, kind: *kind, device: *device, detail });
            }
            EventKind::Warning { text, skipped, .. } => {
                self.warnings.push(WarningRow { time_s: now, text: text.clone(), skipped: *skipped });
            }
            EventKind::RunEnded { reason, cost_usd, idle_joules } => {
                run.ended = Some(*reason);
                self.ended = Some((*cost_usd, *idle_joules));
            }
        }
        Ok(())
    }

    /// The tables of everything pushed so far.
    pub fn finish(mut self) -> Result<Tables, TableError> {
        let mut run = self.run.ok_or(TableError::NoBeginning)?;
        if let Some((cost_usd, idle_joules)) = self.ended {
            (run.cost_usd, run.idle_joules) = (cost_usd, idle_joules);
        }
        for place in self.places.values() {
            let row = &mut self.rounds[place.row];
            row.loss = (place.loss.1 > 0).then(|| place.loss.0 / f64::from(place.loss.1));
            split_time(row, place.accepted.last().map(|last| &self.reports[*last]));
        }
        self.reports.sort_by_key(|row| (row.round, row.device));
        Ok(Tables {
            run,
            rounds: self.rounds,
            reports: self.reports,
            evaluations: self.evaluations,
            faults: self.faults,
            warnings: self.warnings,
        })
    }

    fn open(&mut self, round: u32, invited: &[u32], now: f64) -> Result<(), TableError> {
        if self.places.contains_key(&round) {
            return Err(TableError::RoundTwice { round });
        }
        // A line of a log takes a fraction of the memory of its rows, so it is looked at before there are any.
        let mut devices = invited.to_vec();
        devices.sort_unstable();
        devices.last().map_or(Ok(()), |last| self.expect_in_fleet(round, *last))?;
        if let Some(pair) = devices.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(TableError::InvitedTwice { round, device: pair[0] });
        }
        let from = self.reports.len();
        self.reports.extend(devices.into_iter().map(|device| ReportRow::new(round, device)));
        let reports = from..self.reports.len();
        let row = self.rounds.len();
        let (later, accepted) = (BTreeMap::new(), Vec::new());
        let place = Place { row, reports, later, accepted, cloud: Span::default(), loss: (0.0, 0) };
        self.places.insert(round, place);
        let invited = u32::try_from(invited.len()).unwrap_or(u32::MAX);
        self.rounds.push(RoundRow { round, opened_s: now, invited, ..RoundRow::default() });
        Ok(())
    }

    /// Refuses a device that the fleet cannot have.
    fn expect_in_fleet(&self, round: u32, device: u32) -> Result<(), TableError> {
        match self.run.as_ref().map_or(0, |run| run.devices) {
            devices if device < devices => Ok(()),
            devices => Err(TableError::NotInFleet { round, device, devices }),
        }
    }

    fn invite(&mut self, round: u32, device: u32, now: f64) -> Result<(), TableError> {
        self.expect_in_fleet(round, device)?;
        if self.row(round, device, now).is_ok() {
            return Err(TableError::InvitedTwice { round, device });
        }
        let index = self.reports.len();
        let (place, row) = self.place(round, now)?;
        row.invited += 1;
        place.later.insert(device, index);
        self.reports.push(ReportRow::new(round, device));
        Ok(())
    }

    /// What was accepted into a round that turned out void was for nothing.
    fn waste(&mut self, round: u32) {
        let Some(place) = self.places.get(&round) else { return };
        for report in &place.accepted {
            let report = &mut self.reports[*report];
            report.weight = 0.0;
            (report.wasted_bytes, report.wasted_joules) =
                (report.bytes_down + report.bytes_up, report.joules);
            if let Some(own) = self.places.get(&report.round) {
                let row = &mut self.rounds[own.row];
                row.wasted_bytes += report.wasted_bytes;
                row.wasted_joules += report.wasted_joules;
            }
        }
    }

    fn place(&mut self, round: u32, seconds: f64) -> Result<(&mut Place, &mut RoundRow), TableError> {
        let place = self.places.get_mut(&round).ok_or(TableError::NoSuchRound { round, seconds })?;
        let row = &mut self.rounds[place.row];
        Ok((place, row))
    }

    fn report(
        &mut self,
        round: u32,
        device: u32,
        seconds: f64,
    ) -> Result<(&mut RoundRow, &mut ReportRow), TableError> {
        let report = self.row(round, device, seconds)?;
        let row = self.places[&round].row;
        Ok((&mut self.rounds[row], &mut self.reports[report]))
    }

    /// Where the row of a device in a round lies.
    fn row(&self, round: u32, device: u32, seconds: f64) -> Result<usize, TableError> {
        let place = self.places.get(&round).ok_or(TableError::NoSuchRound { round, seconds })?;
        let first = self.reports[place.reports.clone()].binary_search_by_key(&device, |row| row.device);
        match first {
            Ok(index) => Ok(place.reports.start + index),
            Err(_) => {
                place.later.get(&device).copied().ok_or(TableError::NotInvited { round, device, seconds })
            }
        }
    }

    fn conclude(
        &mut self,
        round: u32,
        device: u32,
        second: Outcome,
        now: f64,
    ) -> Result<(&mut RoundRow, &mut ReportRow), TableError> {
        let (row, report) = self.report(round, device, now)?;
        if let Some(first) = report.outcome.replace(second) {
            return Err(TableError::TwoOutcomes { round, device, first, second });
        }
        report.ended_s = Some(now);
        Ok((row, report))
    }
}

/// Splits a closed round's duration along its critical device; the parts add up to the duration.
fn split_time(row: &mut RoundRow, critical: Option<&ReportRow>) {
    let (Some(duration), Some(closed)) = (row.duration_s(), row.closed_s) else { return };
    row.cloud_s = row.cloud_s.min(duration);
    if let Some(critical) = critical {
        let inside = |span: &Span| span.within(row.opened_s, closed);
        (row.down_s, row.compute_s, row.up_s) =
            (inside(&critical.download), inside(&critical.training), inside(&critical.upload));
    }
    row.wait_s = (duration - row.down_s - row.compute_s - row.up_s - row.cloud_s).max(0.0);
}
