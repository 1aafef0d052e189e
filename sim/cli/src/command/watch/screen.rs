//! The picture: scores over rounds or time, the latest of them, rounds, outcomes and what went wrong.

use cotune_record::{Scope, Score};
use cotune_report::format;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis as ChartAxis, Block, Chart, Dataset, Gauge, GraphType, LegendPosition, Paragraph, Row, Sparkline,
    Table,
};

use super::look::Look;

/// What is shown, which keys change.
pub struct Screen {
    /// What curves run over.
    pub axis: Axis,
    /// Which of the metrics that there are.
    pub metric: usize,
    /// Whether anybody can press a key.
    pub has_keys: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self { axis: Axis::Rounds, metric: 0, has_keys: true }
    }
}

/// What curves run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Rounds.
    Rounds,
    /// Virtual time.
    Time,
}

impl Axis {
    /// The other one.
    pub fn next(self) -> Self {
        if self == Self::Rounds { Self::Time } else { Self::Rounds }
    }

    fn of(self, score: &Score) -> f64 {
        match self {
            Self::Rounds => f64::from(score.round),
            Self::Time => score.time_s,
        }
    }
}

/// Scopes with what the screen calls them, as the report colours them.
const SCOPES: [(Scope, &str, Color); 4] = [
    (Scope::Cloud, "cloud", Color::Blue),
    (Scope::Proxy, "proxy", Color::Yellow),
    (Scope::Edge, "edge", Color::Green),
    (Scope::EdgeAll, "edge, all", Color::Magenta),
];

/// Columns of the numbers beside the pictures: the longest name, three numbers and a frame.
const NUMBERS: u16 = 46;

/// Columns below which curves and numbers stand one above the other.
const NARROW: u16 = NUMBERS + 30;

/// Where everything is on a terminal; what has no room is of no size.
struct Places {
    head: Rect,
    progress: Rect,
    curves: Rect,
    scores: Rect,
    rounds: Rect,
    trouble: Rect,
    foot: Rect,
}

impl Places {
    fn on(area: Rect, has_keys: bool) -> Self {
        use Constraint::{Fill, Length, Max};
        let is_narrow = area.width < NARROW;
        let low = match area.height {
            ..16 => 0,
            16..22 => 5,
            22.. => 9,
        };
        let low = if is_narrow { low.min(4) } else { low };
        let rows = [Length(2), Length(1), Fill(1), Length(low), Length(u16::from(has_keys))];
        let [head, progress, middle, below, foot] = Layout::vertical(rows).areas(area);
        let wide = Layout::horizontal([Fill(1), Max(NUMBERS)]);
        let (upper, lower) = match (is_narrow, middle.height) {
            (false, _) => (wide.clone(), wide),
            // Too low for two: the numbers say more.
            (true, ..12) => {
                (Layout::vertical([Length(0), Fill(1)]), Layout::horizontal([Length(0), Fill(1)]))
            }
            (true, 12..) => (Layout::vertical([Fill(1), Fill(1)]), Layout::horizontal([Length(0), Fill(1)])),
        };
        let ([curves, scores], [rounds, trouble]) = (upper.areas(middle), lower.areas(below));
        Self { head, progress, curves, scores, rounds, trouble, foot }
    }
}

/// One scope's scores.
struct Curve {
    name: &'static str,
    colour: Color,
    points: Vec<(f64, f64)>,
}

impl Screen {
    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame, look: &Look) {
        let Places { head, progress, curves, scores, rounds, trouble, foot } =
            Places::on(frame.area(), self.has_keys);
        header(frame, head, look);
        let done = format!("{:.0} %", 100.0 * look.done());
        frame.render_widget(Gauge::default().ratio(look.done()).label(done).use_unicode(true), progress);
        self.curves(frame, curves, look);
        table(frame, scores, look);
        durations(frame, rounds, look);
        outcomes(frame, trouble, look);
        if self.has_keys {
            frame.render_widget("q quit   m metric   x rounds or time".dim(), foot);
        }
    }

    fn curves(&self, frame: &mut Frame, area: Rect, look: &Look) {
        let known = ["rouge-l", "exact-match", "loss"].into_iter().filter(|metric| has(look, metric));
        let known: Vec<&str> = known.collect();
        let over = if self.axis == Axis::Rounds { "rounds" } else { "virtual time" };
        if known.is_empty() {
            let words = Paragraph::new("no scores yet, or none without training").dim();
            frame.render_widget(words.block(Block::bordered().title(" quality ")), area);
            return;
        }
        let metric = known[self.metric % known.len()];
        let curve = |(scope, name, colour): (Scope, &'static str, Color)| {
            let points = look.scores.iter().filter(|score| is_mean(score, scope, metric));
            let points: Vec<(f64, f64)> = points.map(|score| (self.axis.of(score), score.value)).collect();
            (!points.is_empty()).then_some(Curve { name, colour, points })
        };
        let curves: Vec<Curve> = SCOPES.into_iter().filter_map(curve).collect();
        let values = || curves.iter().flat_map(|curve| &curve.points).filter(|point| point.1.is_finite());
        let end = values().map(|point| point.0).fold(1.0, f64::max);
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.1), high.max(point.1))
        });
        let (low, high) = if low < high { (low, high) } else { (low - 0.5, low + 0.5) };
        let pad = 0.05 * (high - low);
        let (low, high) = (low - pad, high + pad);
        let sets = curves.iter().map(|curve| {
            Dataset::default()
                .name(curve.name)
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(Style::new().fg(curve.colour))
                .data(&curve.points)
        });
        let label = |value: f64| {
            if self.axis == Axis::Rounds { format::count(value) } else { format::seconds(value) }
        };
        // The middle of an odd number of rounds is no round.
        let has_middle = self.axis == Axis::Time || end % 2.0 == 0.0;
        let ticks = if has_middle { vec![0.0, end / 2.0, end] } else { vec![0.0, end] };
        let x = ChartAxis::default().bounds([0.0, end]).labels(ticks.into_iter().map(label));
        let y = ChartAxis::default()
            .bounds([low, high])
            .labels([low, (low + high) / 2.0, high].map(|value| format!("{value:.1}")));
        let title = format!(" {} over {over} ", format::metric(metric));
        // Names stand where the curves do not end.
        let corner = if format::lower_is_better(metric) {
            LegendPosition::TopRight
        } else {
            LegendPosition::BottomRight
        };
        let half = Constraint::Ratio(1, 2);
        let chart = Chart::new(sets.collect())
            .x_axis(x)
            .y_axis(y)
            .legend_position(Some(corner))
            .hidden_legend_constraints((half, half))
            .block(Block::bordered().title(title));
        frame.render_widget(chart, area);
    }
}

fn has(look: &Look, metric: &str) -> bool {
    look.scores.iter().any(|score| score.statistic.split('.').next() == Some(metric))
}

/// Whether a score is a scope's one number of a metric.
fn is_mean(score: &Score, scope: Scope, metric: &str) -> bool {
    let name = match scope {
        Scope::Edge | Scope::EdgeAll => format!("{metric}.mean"),
        Scope::Cloud | Scope::Proxy | Scope::Relay => metric.to_owned(),
    };
    score.scope == scope && score.statistic == name
}

fn header(frame: &mut Frame, area: Rect, look: &Look) {
    let manifest = &look.manifest;
    let run = look.tables.as_ref().map(|tables| &tables.run);
    let method = run.map_or("", |run| run.method.as_str());
    let devices =
        run.map_or(String::new(), |run| format!(", {}", format::plural(run.devices as usize, "device")));
    let first = Line::from(vec![
        Span::from(manifest.name.clone()).bold(),
        Span::from(format!("  {method}{devices}, seed {}, ", manifest.seed)),
        Span::from(manifest.status.to_string()).bold(),
    ]);
    let of =
        look.budget.rounds.map_or(String::new(), |rounds| format!(" of {}", format::count(rounds as f64)));
    let round = format!("round {}{of}, {} of virtual time", look.rounds(), format::seconds(look.seconds()));
    let sums = look.tables.as_ref().map_or(String::new(), |tables| {
        let sum = |of: fn(&cotune_record::RoundRow) -> f64| tables.rounds.iter().map(of).sum::<f64>();
        let (up, joules) = (sum(|row| row.bytes_up as f64), sum(|row| row.joules));
        format!("  {} up, {}", format::bytes(up), format::joules(joules))
    });
    frame.render_widget(Paragraph::new(vec![first, Line::from(round + &sums)]), area);
}

fn table(frame: &mut Frame, area: Rect, look: &Look) {
    let mut rows = Vec::new();
    for (scope, name, colour) in SCOPES {
        for metric in ["rouge-l", "exact-match", "loss"] {
            let mut of = look.scores.iter().filter(|score| is_mean(score, scope, metric));
            let Some(first) = of.next() else { continue };
            let last = of.next_back().unwrap_or(first);
            let cells = [
                format!("{name} {metric}"),
                format!("{:.2}", first.value),
                format!("{:.2}", last.value),
                format::change(last.value - first.value),
            ];
            rows.push(Row::new(cells).style(Style::new().fg(colour)));
        }
    }
    let widths = [Constraint::Min(14), Constraint::Length(6), Constraint::Length(6), Constraint::Length(7)];
    let head = Row::new(["", "start", "now", "change"]).dim();
    frame.render_widget(
        Table::new(rows, widths).header(head).block(Block::bordered().title(" scores ")),
        area,
    );
}

fn durations(frame: &mut Frame, area: Rect, look: &Look) {
    let rounds = || look.tables.iter().flat_map(|tables| &tables.rounds);
    let durations: Vec<u64> = rounds()
        .filter_map(cotune_record::RoundRow::duration_s)
        .map(|seconds| (seconds * 1e3) as u64)
        .collect();
    let room = usize::from(area.width.saturating_sub(2)).max(1);
    let latest = &durations[durations.len().saturating_sub(room)..];
    let longest = latest.iter().max().map_or(String::new(), |most| format::seconds(*most as f64 / 1e3));
    let title = match latest.len() {
        0 => " rounds ".to_owned(),
        _ => format!(" how long rounds took, at most {longest} "),
    };
    let bars = Sparkline::default().data(spread(latest, room)).style(Style::new().fg(Color::Cyan));
    frame.render_widget(bars.block(Block::bordered().title(title)), area);
}

/// A bar for each value, as wide as there is room for.
fn spread(values: &[u64], room: usize) -> Vec<u64> {
    let width = (room / values.len().max(1)).clamp(1, 8);
    let gap = usize::from(width > 2);
    let bar = |value: &u64| [vec![*value; width - gap], vec![0; gap]].concat();
    values.iter().flat_map(bar).collect()
}

fn outcomes(frame: &mut Frame, area: Rect, look: &Look) {
    let outcomes = look.outcomes();
    let words: Vec<String> =
        outcomes.iter().map(|(name, count)| format!("{} {name}", format::count(*count as f64))).collect();
    let mut lines = vec![Line::from(words.join(", "))];
    if let Some(tables) = &look.tables {
        let room = usize::from(area.height.saturating_sub(5));
        let latest = tables.faults.iter().rev().take(room);
        lines.extend(latest.map(|fault| {
            let place = fault.device.map_or("cloud or class".to_owned(), |device| format!("device {device}"));
            Line::from(format!("{}  {}, {place}", format::seconds(fault.time_s), fault.kind)).red()
        }));
        lines.extend(
            tables.warnings.iter().rev().take(1).map(|warning| Line::from(warning.text.clone()).yellow()),
        );
    }
    let text = Paragraph::new(lines).wrap(ratatui::widgets::Wrap { trim: true });
    frame.render_widget(text.block(Block::bordered().title(" what became of invitations ")), area);
}

#[cfg(test)]
mod tests {
    use cotune_record::{Digest, FORMAT, Manifest, Status};
    use cotune_scenario::budget::Budget;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    /// A run whose name is longer than any terminal.
    fn look(scores: Vec<Score>) -> Look {
        let manifest = Manifest {
            format: FORMAT,
            status: Status::Running,
            name: "n".repeat(300),
            seed: 1,
            scenario_digest: Digest::of(b""),
            version: String::new(),
            commit: String::new(),
            platform: String::new(),
            cpu_features: Vec::new(),
            device: String::new(),
            threads: 1,
            train: true,
            stacks: false,
            scenario_dir: String::new(),
            data_dir: String::new(),
            matched: String::new(),
            command: String::new(),
            started_unix_ms: 0,
            doubts: Vec::new(),
            warnings: Vec::new(),
        };
        let budget = Budget { virtual_seconds: None, rounds: Some(4), uplink_bytes: None };
        Look { manifest, budget, tables: None, scores }
    }

    fn drawn(look: &Look, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| Screen::default().draw(frame, look)).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(width));
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
    }

    #[test]
    fn what_has_no_room_makes_room_for_what_matters() {
        let on = |width, height| Places::on(Rect::new(0, 0, width, height), true);
        let (wide, narrow, low, tiny) = (on(100, 36), on(60, 24), on(100, 14), on(40, 10));
        assert!(wide.curves.width > 50 && wide.scores.width == NUMBERS && wide.rounds.height == 9);
        assert!(narrow.curves.width == 60 && narrow.scores.width == 60 && narrow.rounds.width == 0);
        assert!(low.curves.height == 10 && low.trouble.height == 0);
        assert!(tiny.curves.height == 0 && tiny.scores.height == 6);
        for places in [wide, narrow, low, tiny] {
            assert!(places.curves.intersection(places.scores).is_empty() && places.foot.height == 1);
        }
    }

    #[test]
    fn a_round_is_a_bar_as_wide_as_there_is_room_for() {
        assert_eq!(spread(&[3, 5], 9), [3, 3, 3, 0, 5, 5, 5, 0]);
        assert_eq!(spread(&[3, 5], 3), [3, 5]);
        assert!(spread(&[], 9).is_empty());
    }

    #[test]
    fn it_is_drawn_on_terminals_of_every_size() {
        let score = |round: u32, value: f64| Score {
            time_s: f64::from(round),
            round,
            scope: Scope::EdgeAll,
            statistic: "exact-match.mean".to_owned(),
            value,
        };
        for scores in
            [Vec::new(), vec![score(0, 1.0)], vec![score(0, 1.0), score(2, f64::NAN), score(4, 3.0)]]
        {
            let look = look(scores);
            for (width, height) in [(1, 1), (20, 6), (40, 15), (80, 24), (100, 40), (300, 90)] {
                drawn(&look, width, height);
            }
        }
        let picture = drawn(&look(vec![score(0, 1.25), score(4, 31.5)]), 80, 30);
        assert!(picture.contains("edge, all exact-match"), "the longest name has its place:\n{picture}");
        assert!(picture.contains("+30.25") && picture.contains("q quit"), "{picture}");
    }
}
