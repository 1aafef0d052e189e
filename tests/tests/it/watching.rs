//! A run can be watched: on a terminal, while it goes on and afterwards, and over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use cotune_tests::{cotune, workspace};
use tempfile::TempDir;

/// A run that goes on for as long as the test wants it to, without learning.
struct Endless(Child);

impl Endless {
    fn begin(folder: &Path, more: &[&str]) -> Self {
        let mut command = cotune();
        command.arg("run").arg(workspace().join("scenarios/quickstart.toml")).current_dir(folder);
        command.args(["--no-train", "--progress", "none", "--set", "budget={rounds=1_000_000}"]).args(more);
        Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started"))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for a page, and gets its status line and its body.
fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it can be asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
    let length = format!("Content-Length: {}", body.len());
    assert!(head.contains(&length), "{head}");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn counter(body: &str, name: &str) -> Option<f64> {
    body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn a_dashboard_reads_the_engine_over_http_while_it_runs() {
    let folder = TempDir::new().unwrap();
    let mut run = Endless::begin(folder.path(), &["--metrics-listen", "0"]);
    let mut told = BufReader::new(run.0.stderr.take().expect("its talk is piped")).lines();
    let address = told
        .find_map(|line| {
            Some(line.ok()?.strip_prefix("metrics at http://")?.strip_suffix("/metrics")?.to_owned())
        })
        .expect("it says where its metrics are");
    assert!(address.starts_with("127.0.0.1:"), "a port alone is on this computer only: {address}");
    let drain = thread::spawn(move || told.count());
    let mut seen = 0.0;
    while seen < 100.0 {
        let (status, body) = ask(&address, "GET /metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        // Nothing is counted before the plan is drawn.
        let rounds = counter(&body, "cotune_rounds_total").unwrap_or(0.0);
        assert!(rounds >= seen, "a counter goes up: {rounds} after {seen}");
        seen = rounds;
        thread::sleep(Duration::from_millis(20));
    }
    let (_, body) = ask(&address, "GET /metrics");
    assert!(body.contains("# TYPE cotune_events_total counter"), "{body}");
    for name in ["cotune_events_total", "cotune_virtual_seconds", "cotune_queue_length"] {
        assert!(counter(&body, name).is_some_and(|value| value > 0.0), "{name}:\n{body}");
    }
    assert_eq!(ask(&address, "GET /other").0, "HTTP/1.1 404 Not Found");
    assert_eq!(ask(&address, "POST /metrics").0, "HTTP/1.1 405 Method Not Allowed");
    drop(run);
    drain.join().unwrap();
}

/// What `cotune` draws on a terminal of its own while keys are pressed, and its exit code; none without `script` of
/// util-linux.
fn on_a_terminal(folder: &Path, words: &str, keys: &[&str], no_color: &str) -> Option<(String, Option<i32>)> {
    let program = cotune().get_program().to_string_lossy().into_owned();
    let line = format!("stty cols 100 rows 30; '{program}' {words}");
    let mut command = Command::new("script");
    command.args(["-qefc", &line, "/dev/null"]).current_dir(folder);
    command.env("TERM", "xterm-256color").env("NO_COLOR", no_color);
    let mut child = match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: there is no `script` to open a terminal with ({error})");
            return None;
        }
    };
    let mut screen = child.stdout.take().expect("its screen is piped");
    let mut stdin = child.stdin.take().expect("its keys are piped");
    let mut drawn = Vec::new();
    // A key is pressed once the one before it has been drawn.
    for key in keys {
        let before = drawn.len();
        while drawn.len() == before {
            let mut bytes = [0; 1 << 14];
            let read = screen.read(&mut bytes).expect("a screen can be read");
            assert!(read > 0, "it ended before `{key}`: {}", String::from_utf8_lossy(&drawn));
            drawn.extend_from_slice(&bytes[..read]);
        }
        stdin.write_all(key.as_bytes()).expect("a key can be pressed");
        stdin.flush().expect("a key can be pressed");
    }
    screen.read_to_end(&mut drawn).expect("a screen can be read");
    let code = child.wait().expect("it ends").code();
    Some((String::from_utf8_lossy(&drawn).into_owned(), code))
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("wrong.toml"), "format = 1\nname = \"x\"\nsed = 1\n").unwrap();
    let Some((coloured, code)) = on_a_terminal(folder.path(), "check wrong.toml", &[], "") else { return };
    assert!(code == Some(2) && coloured.contains("\u{1b}["), "{coloured}");
    let (plain, _) =
        on_a_terminal(folder.path(), "check wrong.toml", &[], "1").expect("it was there a moment ago");
    assert!(plain.contains("E0002") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn a_run_is_watched_on_a_terminal_that_is_given_back() {
    let folder = TempDir::new().unwrap();
    let run = Endless::begin(folder.path(), &["-q"]);
    let runs = folder.path().join("runs");
    let log =
        |entry: fs::DirEntry| entry.path().join("events.jsonl.zst").metadata().is_ok_and(|log| log.len() > 0);
    while !fs::read_dir(&runs).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(log))) {
        thread::sleep(Duration::from_millis(5));
    }
    let Some((live, code)) = on_a_terminal(folder.path(), "watch", &["x", "m", "q"], "") else { return };
    assert_eq!(code, Some(0), "{live}");
    for shown in ["\u{1b}[?1049h", "quickstart", "running", "invitations", "quit", "\u{1b}[?1049l"] {
        assert!(live.contains(shown), "{shown:?} is missing:\n{live:?}");
    }
    drop(run);
    // Ctrl-C is a key there, too, and leaves the terminal as it was.
    let (_, code) = on_a_terminal(folder.path(), "watch", &["\u{3}"], "").expect("it was there a moment ago");
    assert_eq!(code, Some(0));
    // Where the output is no terminal there is one picture and nothing that moves a cursor.
    let still = cotune().arg("watch").current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(still.stdout).unwrap();
    assert!(still.status.success() && text.contains("quickstart") && !text.contains('\u{1b}'), "{text}");
}
