//! A scenario written as JSON: the same schema, the same places in the text.
//!
//! serde_json keeps no spans, and a mistake in generated JSON deserves a line number as much as one in TOML.

use std::sync::Arc;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, Place, SourceText, Table, Value};

/// Deeper nesting than any scenario has; keeps hostile text from exhausting the stack.
const DEEPEST: usize = 64;

pub(crate) fn parse(source: &Arc<SourceText>) -> Result<Table, Diagnostic> {
    let mut reader = Json { source, position: 0, depth: 0 };
    let outcome = reader.value().and_then(|node| {
        reader.space();
        if reader.position == source.text.len() { Ok(node) } else { Err("nothing may follow the last brace") }
    });
    match outcome {
        Ok(Node { value: Value::Table(table), .. }) => Ok(table),
        Ok(_) => Err(reader.error("a scenario is an object")),
        Err(label) => Err(reader.error(label)),
    }
}

struct Json<'a> {
    source: &'a Arc<SourceText>,
    position: usize,
    depth: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl Json<'_> {
    fn error(&self, label: &str) -> Diagnostic {
        let end = self.source.text[self.position..].chars().next().map_or(0, char::len_utf8);
        let range = self.position..self.position + end;
        Diagnostic::new(codes::SYNTAX, format!("{} is not valid JSON", self.source.name))
            .label(Some(Place { source: self.source.clone(), range }), label)
            .help("a text that begins with a brace is read as JSON: see https://json.org")
    }

    fn rest(&self) -> &str {
        &self.source.text[self.position..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Skips white space, then takes `token` if it is next.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let next = self.rest().starts_with(token);
        if next {
            self.position += token.len();
        }
        next
    }

    fn place(&self, start: usize) -> Option<Place> {
        Some(Place { source: self.source.clone(), range: start..self.position })
    }

    fn value(&mut self) -> Parsed<Node> {
        self.space();
        let start = self.position;
        if self.depth >= DEEPEST {
            return Err("nested too deeply");
        }
        self.depth += 1;
        let value = match self.rest().chars().next() {
            Some('{') => Value::Table(self.object()?),
            Some('[') => Value::Array(self.array()?),
            Some('"') => Value::String(self.string()?),
            Some('t') if self.take("true") => Value::Boolean(true),
            Some('f') if self.take("false") => Value::Boolean(false),
            Some('-' | '0'..='9') => self.number()?,
            Some('n') => return Err("null has no meaning here: leave the key out"),
            _ => return Err("expected a value"),
        };
        self.depth -= 1;
        Ok(Node { value, at: self.place(start) })
    }

    fn object(&mut self) -> Parsed<Table> {
        let mut table = Table::default();
        self.take("{");
        if self.take("}") {
            return Ok(table);
        }
        loop {
            self.space();
            let start = self.position;
            if !self.rest().starts_with('"') {
                return Err("expected a key in quotes");
            }
            let key = self.string()?;
            let key_at = self.place(start);
            if table.get(&key).is_some() {
                self.position = start;
                return Err("this key was written before");
            }
            if !self.take(":") {
                return Err("expected a colon");
            }
            let node = self.value()?;
            table.entries.push(Entry { key, key_at, node });
            if self.take("}") {
                return Ok(table);
            }
            if !self.take(",") {
                return Err("expected a comma or a closing brace");
            }
        }
    }

    fn array(&mut self) -> Parsed<Vec<Node>> {
        let mut items = Vec::new();
        self.take("[");
        if self.take("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value()?);
            if self.take("]") {
                return Ok(items);
            }
            if !self.take(",") {
                return Err("expected a comma or a closing bracket");
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let (length, _) = end.ok_or("this string has no end")?;
        // Escapes are the library's business.
        let text = serde_json::from_str(&self.rest()[..=length]).map_err(|_| "not a valid string")?;
        self.position += length + 1;
        Ok(text)
    }

    fn number(&mut self) -> Parsed<Value> {
        let rest = self.rest();
        let length = rest.find(|c: char| !matches!(c, '+' | '-' | '.' | 'e' | 'E' | '0'..='9'));
        let digits = &rest[..length.unwrap_or(rest.len())];
        let value = match digits.parse::<i64>() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Float(digits.parse::<f64>().map_err(|_| "not a number")?),
        };
        self.position += digits.len();
        Ok(value)
    }
}
