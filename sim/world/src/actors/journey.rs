//! The way through a run: the scheduler's one future, from the first entry to the last.
//!
//! It pops one due entry, tells its party, waits for the answer and carries it out, and only then pops the next. A future
//! that is polled to the next answer, instead of a message to itself for every entry, leaves one actor message per
//! delivery.

use super::cloud::Cloud;
use super::device::Device;
use super::scheduler::{Recording, Scheduler};
use super::{Answer, Deliver, End, SimulationError};
use crate::effect::Party;
use actix::dev::Request;
use actix::prelude::*;
use cotune_kernel::EventKey;
use std::future::Future;
use std::pin::Pin;
use std::task::{Poll, ready};

/// How a run ended.
pub(super) type Outcome = Result<End, SimulationError>;

/// Plays the run; polled by the scheduler's context.
pub(super) struct Journey {
    waiting: Waiting,
}

/// What the journey waits for.
enum Waiting {
    /// Nothing: the next entry may be taken.
    Nothing,
    /// The answer of the party that was told something.
    Answer(EventKey, Party, Asked),
    /// Events to be written; then the run goes on, or ends.
    Written(Recording, Option<Outcome>),
}

/// A message under way.
enum Asked {
    Cloud(Pin<Box<Request<Cloud, Deliver>>>),
    Device(Pin<Box<Request<Device, Deliver>>>),
}

impl Journey {
    pub(super) fn new() -> Self {
        Self { waiting: Waiting::Nothing }
    }
}

impl ActorFuture<Scheduler> for Journey {
    type Output = Outcome;

    fn poll(
        mut self: Pin<&mut Self>,
        scheduler: &mut Scheduler,
        _context: &mut Context<Scheduler>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<Outcome> {
        loop {
            self.waiting = match &mut self.waiting {
                Waiting::Nothing => match scheduler.next() {
                    Ok(None) => continue,
                    Ok(Some((key, party, message))) => {
                        scheduler.begin_recording(key);
                        let deliver = Deliver { now: key.time, message };
                        let asked = match party {
                            Party::Cloud => Asked::Cloud(Box::pin(scheduler.cloud().send(deliver))),
                            Party::Device(device) => {
                                Asked::Device(Box::pin(scheduler.actor(device).send(deliver)))
                            }
                        };
                        Waiting::Answer(key, party, asked)
                    }
                    Err(outcome @ Ok(_)) => Waiting::Written(scheduler.write_and_keep(), Some(outcome)),
                    Err(outcome) => Waiting::Written(scheduler.write(), Some(outcome)),
                },
                Waiting::Answer(key, party, asked) => {
                    let answer = match asked {
                        Asked::Cloud(request) => ready!(request.as_mut().poll(task)),
                        Asked::Device(request) => ready!(request.as_mut().poll(task)),
                    };
                    let (key, party) = (*key, *party);
                    match answer {
                        Ok(Answer { effects, memory }) => {
                            scheduler.carry_out(key, party, effects);
                            scheduler.rest(party, memory);
                            let is_due = scheduler.is_snapshot_due();
                            match scheduler.ended() {
                                Some(end) => Waiting::Written(scheduler.write_and_keep(), Some(Ok(end))),
                                None if is_due => Waiting::Written(scheduler.write_and_keep(), None),
                                None if scheduler.should_write() => Waiting::Written(scheduler.write(), None),
                                None => Waiting::Nothing,
                            }
                        }
                        Err(_) => {
                            let gone = SimulationError::Actor { party: format!("{party:?}") };
                            Waiting::Written(scheduler.write(), Some(Err(gone)))
                        }
                    }
                }
                Waiting::Written(request, outcome) => {
                    let written = ready!(request.as_mut().poll(task));
                    let outcome = outcome.take();
                    match written {
                        Ok(Ok(())) => {}
                        Ok(Err(reason)) => return Poll::Ready(Err(SimulationError::Record(reason))),
                        Err(_) => {
                            let party = "the recorder".to_string();
                            return Poll::Ready(Err(SimulationError::Actor { party }));
                        }
                    }
                    match outcome {
                        Some(outcome) => return Poll::Ready(outcome),
                        None => Waiting::Nothing,
                    }
                }
            };
        }
    }
}
