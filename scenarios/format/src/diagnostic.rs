//! What is wrong with a scenario, written for the person who wrote it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use serde::Serialize;

use crate::codes::Code;
use crate::node::{Place, SourceText};

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// There is no scenario.
    Error,
    /// Read this before trusting the result.
    Warning,
}

/// One mistake: who, what, where, and what to write instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: &'static Code,
    /// How much it matters; follows from the code.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The text that the labels point into; none where the mistake has no place.
    pub source: Option<Arc<SourceText>>,
    /// The places, the most important first.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
}

/// A place in the text with a remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the source's text.
    pub range: Range<usize>,
    /// The remark; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error or a warning, as the code says, with no place yet.
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        let severity = if code.is_warning() { Severity::Warning } else { Severity::Error };
        Self { code, severity, message: message.into(), source: None, labels: Vec::new(), help: None }
    }

    /// Points to a place. A second place in another text than the first is left out.
    pub fn label(mut self, place: Option<Place>, text: impl Into<String>) -> Self {
        let Some(place) = place else { return self };
        let source = self.source.get_or_insert(place.source.clone());
        if Arc::ptr_eq(source, &place.source) {
            let range = on_one_line(&place.source.text, place.range);
            self.labels.push(Label { range, text: text.into() });
        }
        self
    }

    /// Says what to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Line and column of the first label, from 1; columns count characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        let before = &self.source.as_ref()?.text[..self.labels.first()?.range.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }
}

/// A label says where to look, not how much: it ends with its first line, and lies within the text.
fn on_one_line(text: &str, range: Range<usize>) -> Range<usize> {
    let mut start = range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = range.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line = text[start..end].find(['\n', '\r']).map_or(end, |newline| start + newline);
    // What is missing at the end of a line is shown at its last character.
    match text[..start].chars().next_back() {
        Some(last)
            if line == start && last != '\n' && !text[start..].starts_with(|c: char| !c.is_whitespace()) =>
        {
            start - last.len_utf8()..start
        }
        _ => start..line,
    }
}

/// Breaks lines at spaces only, so that no name is torn at a hyphen; later lines are for `indent` columns less.
fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width.saturating_sub(indent)
        {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// All that is wrong with a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 100 }
    }
}

impl Diagnostics {
    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Draws all of them for a terminal, a blank line between two.
    pub fn render(&self, style: Style) -> String {
        self.0.iter().map(|diagnostic| diagnostic.render(style)).collect::<Vec<_>>().join("\n")
    }

    /// A JSON array of `{code, severity, message, file, line, column, label, help}`.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            code: &'a str,
            severity: Severity,
            message: &'a str,
            file: Option<&'a str>,
            line: Option<usize>,
            column: Option<usize>,
            label: Option<&'a str>,
            help: Option<&'a str>,
        }
        let line = |diagnostic: &Diagnostic| {
            let position = diagnostic.position();
            serde_json::to_string(&Line {
                code: diagnostic.code.name,
                severity: diagnostic.severity,
                message: &diagnostic.message,
                file: diagnostic.source.as_ref().map(|source| source.name.as_str()),
                line: position.map(|(line, _)| line),
                column: position.map(|(_, column)| column),
                label: diagnostic
                    .labels
                    .first()
                    .map(|label| label.text.as_str())
                    .filter(|text| !text.is_empty()),
                help: diagnostic.help.as_deref(),
            })
            .expect("strings and numbers become JSON")
        };
        let lines: Vec<String> = self.0.iter().map(line).collect();
        if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n  {}\n]\n", lines.join(",\n  ")) }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(Style::default()))
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostic {
    /// Draws it for a terminal.
    pub fn render(&self, style: Style) -> String {
        let mut theme =
            if style.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        theme.characters.error = format!("error[{}]:", self.code.name);
        theme.characters.warning = format!("warning[{}]:", self.code.name);
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(style.width)
            .with_wrap_lines(false)
            .with_links(false)
            .with_context_lines(1)
            .without_syntax_highlighting();
        let mut drawn = String::new();
        handler.render_report(&mut drawn, &Drawn(self, style)).expect("a string can be written to");
        // The headline stands at the margin.
        drawn.strip_prefix("  ").map(str::to_owned).unwrap_or(drawn)
    }
}

/// What the drawing library asks of a diagnostic.
#[derive(Debug)]
struct Drawn<'a>(&'a Diagnostic, Style);

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // "error[E0107]: " and "help: " come before the first line.
        formatter.write_str(&wrap(&self.0.message, self.1.width, 18))
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.0.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(wrap(help, self.1.width, 10)) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.0.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.0.labels.iter().enumerate().map(|(index, label)| {
            let text = Some(label.text.clone()).filter(|text| !text.is_empty());
            let span = (label.range.start, label.range.len());
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        })))
    }
}

/// Shows the whole lines of a span and none around them: what is wrong is on the line.
impl SourceCode for SourceText {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (mut start, mut end) = (span.offset(), span.offset() + span.len());
        // The handler asks for context when it draws, and for none when it wants to know line and column.
        if lines_before + lines_after > 0 {
            start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
            end = self.text[end..].find('\n').map_or(self.text.len(), |newline| end + newline);
        }
        let contents = self.text.read_span(&(start, end - start).into(), 0, 0)?;
        let (line, column, lines) = (contents.line(), contents.column(), contents.line_count());
        let text = &self.text.as_bytes()[start..end];
        let span = (start, end - start).into();
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), text, span, line, column, lines)))
    }
}
