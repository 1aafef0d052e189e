//! How the engine does, for Prometheus: `--metrics-listen ADDR`. About this computer and never about results; without
//! the flag every handle is a no-op.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use cotune_record::{Event, EventKind};
use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::failure::Failure;
use crate::talk::Talk;

/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request that is read, in bytes.
const LONGEST_HEAD: u64 = 64 << 10;

/// Serves metrics at `http://ADDR/metrics` until the process ends.
///
/// # Errors
/// The address cannot be listened at.
pub fn listen(address: SocketAddr, talk: Talk) -> Result<(), Failure> {
    let unusable = |error: std::io::Error| Failure::Wrong {
        message: format!("--metrics-listen: {address} cannot be listened at"),
        help: Some("name another port, or port 0 for any that is free".to_owned()),
        source: Some(error.into()),
    };
    let listener = TcpListener::bind(address).map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| Failure::bug("telemetry was begun twice"))?;
    describe();
    if !address.ip().is_loopback() {
        talk.say(format_args!("metrics: {address} can be reached from other computers"));
    }
    talk.say(format_args!("metrics at http://{address}/metrics"));
    let serve = move || {
        for client in listener.incoming().flatten() {
            // A client that goes away is its own affair.
            let _ = answer(&client, &handle);
            handle.run_upkeep();
        }
    };
    thread::Builder::new()
        .name("telemetry".to_owned())
        .spawn(serve)
        .map(drop)
        .map_err(|error| Failure::wrong(format!("no thread can be started: {error}")))
}

fn describe() {
    metrics::describe_counter!("cotune_events_total", "Events recorded.");
    metrics::describe_counter!("cotune_rounds_total", "Rounds closed.");
    metrics::describe_counter!("cotune_trained_tokens_total", "Tokens trained on, devices and cloud.");
    metrics::describe_gauge!("cotune_virtual_seconds", "Virtual time of the latest event in seconds.");
    metrics::describe_gauge!("cotune_queue_length", "Entries in the event queue.");
    metrics::describe_gauge!("cotune_pool_threads", "Threads that compute jobs.");
    metrics::describe_gauge!("cotune_pool_busy", "Threads that compute a job now.");
    metrics::describe_gauge!("cotune_pool_waiting", "Jobs that wait for a thread.");
}

fn answer(client: &TcpStream, handle: &PrometheusHandle) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(client.take(LONGEST_HEAD)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The head is read to its end: a connection that is closed on unread bytes is reset.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics" | "/")) => ("200 OK", handle.render()),
        (Some("GET"), _) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut client = client;
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// What events say about the engine; its handles are looked up once.
pub struct Meters {
    rounds: Counter,
    tokens: Counter,
    seconds: Gauge,
}

impl Meters {
    /// Handles of whatever recorder there is.
    pub fn new() -> Self {
        Self {
            rounds: metrics::counter!("cotune_rounds_total"),
            tokens: metrics::counter!("cotune_trained_tokens_total"),
            seconds: metrics::gauge!("cotune_virtual_seconds"),
        }
    }

    /// Takes notice of what was recorded together.
    pub fn observe(&self, events: &[Event]) {
        for event in events {
            match &event.kind {
                EventKind::RoundClosed { .. } => self.rounds.increment(1),
                EventKind::TrainingFinished { tokens, .. } | EventKind::CloudTrained { tokens, .. } => {
                    self.tokens.increment(*tokens);
                }
                _ => {}
            }
        }
        if let Some(last) = events.last() {
            self.seconds.set(last.seconds());
        }
    }
}
