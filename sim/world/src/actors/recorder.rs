//! The recorder: hands events to whoever writes them down, and snapshots to whoever keeps them.

use crate::actors::{Keeper, Sink, Snapshot};
use actix::prelude::*;
use cotune_record::Event;

/// Events of one handled entry, in order.
#[derive(actix::Message)]
#[rtype(result = "Result<(), String>")]
pub(super) struct Write(pub Vec<Event>);

/// A snapshot after the events that are written.
#[derive(actix::Message)]
#[rtype(result = "Result<(), String>")]
pub(super) struct Keep(pub Snapshot);

/// The actor that records.
pub(super) struct Recorder {
    sink: Sink,
    keeper: Option<Keeper>,
    events: metrics::Counter,
}

impl Recorder {
    pub(super) fn new(sink: Sink, keeper: Option<Keeper>) -> Self {
        Self { sink, keeper, events: metrics::counter!("cotune_events_total") }
    }
}

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl Handler<Write> for Recorder {
    type Result = Result<(), String>;

    fn handle(&mut self, Write(events): Write, _context: &mut Self::Context) -> Self::Result {
        self.events.increment(events.len() as u64);
        events.into_iter().try_for_each(|event| (self.sink)(event))
    }
}

impl Handler<Keep> for Recorder {
    type Result = Result<(), String>;

    fn handle(&mut self, Keep(snapshot): Keep, _context: &mut Self::Context) -> Self::Result {
        self.keeper.as_mut().map_or(Ok(()), |keeper| keeper(snapshot))
    }
}
