//! The recorder: hands events to whoever writes them down.

use crate::actors::Sink;
use actix::prelude::*;
use cotune_record::Event;

/// Events of one handled entry, in order.
#[derive(actix::Message)]
#[rtype(result = "Result<(), String>")]
pub(super) struct Write(pub Vec<Event>);

/// The actor that records.
pub(super) struct Recorder {
    sink: Sink,
    events: metrics::Counter,
}

impl Recorder {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, events: metrics::counter!("cotune_events_total") }
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
