//! `--set KEY=VALUE` and `--vary KEY=V1,V2,…`: changes to a scenario that are typed, not written.

use std::sync::Arc;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::merge::{is_choice, put};
use crate::node::{Entry, Node, Place, SourceText, Table, Value, parse_value};

/// One change: a dotted path and a TOML value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The flag and what followed it; diagnostics point into it.
    source: Arc<SourceText>,
    /// The bytes of the key.
    key: std::ops::Range<usize>,
    /// Where the value starts.
    value: usize,
}

impl Override {
    /// Takes the text `KEY=VALUE` that followed `--set`.
    ///
    /// # Errors
    /// There is no `=`.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        Self::split("--set", text)
    }

    /// From a path and the text of a TOML value.
    pub fn new(key: &str, value: &str) -> Self {
        let text = format!("{key}={value}");
        Self {
            source: Arc::new(SourceText { name: "--set".to_owned(), text }),
            key: 0..key.len(),
            value: key.len() + 1,
        }
    }

    fn split(flag: &str, text: &str) -> Result<Self, Diagnostic> {
        let source = Arc::new(SourceText { name: flag.to_owned(), text: text.to_owned() });
        match text.split_once('=') {
            Some((key, _)) if !key.trim().is_empty() => {
                Ok(Self { key: 0..key.len(), value: key.len() + 1, source })
            }
            _ => {
                let place = Place { range: 0..text.len(), source };
                Err(Diagnostic::new(codes::OVERRIDE, format!("`{flag}` needs a key and a value"))
                    .label(Some(place), "no key, or no `=`")
                    .help(format!("write {flag} KEY=VALUE, such as {flag} coordination.sync.cohort=16")))
            }
        }
    }

    /// The dotted path as written.
    pub fn key(&self) -> &str {
        self.source.text[self.key.clone()].trim()
    }

    /// The value's text as written.
    pub fn value(&self) -> &str {
        self.source.text[self.value..].trim()
    }

    /// Applies the change.
    pub(crate) fn apply(&self, root: &mut Table) -> Result<(), Diagnostic> {
        let path = parse_path(self.key()).ok_or_else(|| {
            Diagnostic::new(codes::OVERRIDE, format!("`{}` is not a dotted path", self.key()))
                .label(Some(self.place(self.key.clone())), "here")
                .help("write names with dots between them, such as fleet.class.phone.share")
        })?;
        let node = self.node()?;
        set(root, &path, node, self.place(self.key.clone())).map_err(|reason| {
            Diagnostic::new(codes::OVERRIDE, format!("`{}` cannot be set", self.key()))
                .label(Some(self.place(self.key.clone())), reason)
        })
    }

    /// The value; a quantity or a word needs no quotes that a shell would take away.
    fn node(&self) -> Result<Node, Diagnostic> {
        let text = self.value();
        let place = self.place(self.value..self.source.text.len());
        parse_value(&self.source, self.value).or_else(|label| {
            if text.is_empty() || text.starts_with(['"', '\'', '[', '{']) || text.contains(['"', '\n']) {
                return Err(Diagnostic::new(
                    codes::OVERRIDE,
                    format!("the value of `{}` is not TOML", self.key()),
                )
                .label(Some(place.clone()), label)
                .help(
                    "write a TOML value, in single quotes for the shell: --set 'data.split={ iid = {} }'",
                ));
            }
            Ok(Node { value: Value::String(text.to_owned()), at: Some(place.clone()) })
        })
    }

    fn place(&self, range: std::ops::Range<usize>) -> Place {
        Place { source: self.source.clone(), range }
    }
}

/// A dotted path, with quotes around names that have dots.
pub(crate) fn parse_path(key: &str) -> Option<Vec<String>> {
    let keys = toml_edit::Key::parse(key).ok()?;
    Some(keys.into_iter().map(|key| key.get().to_owned()).collect())
}

pub(crate) fn set(root: &mut Table, path: &[String], node: Node, key_at: Place) -> Result<(), String> {
    let mut table = root;
    for depth in 0..path.len() - 1 {
        let (key, so_far) = (&path[depth], &path[..depth]);
        // Going into one choice means that the others are no longer chosen.
        if is_choice(so_far) {
            table.entries.retain(|entry| entry.key == *key);
        }
        if table.get(key).is_none() {
            let node = Node { value: Value::Table(Table::default()), at: None };
            table.entries.push(Entry { key: key.clone(), key_at: Some(key_at.clone()), node });
        }
        let below = &mut table.get_mut(key).expect("it was just put there").node.value;
        // An element of a list, such as `fault.0.crash`.
        if let Value::Array(items) = below {
            let length = items.len();
            let index = path[depth + 1].parse::<usize>().ok().filter(|index| *index < length);
            let item = index.map(|index| &mut items[index]);
            let item = item.ok_or_else(|| format!("`{key}` is a list of {length}, counted from 0"))?;
            return match &mut item.value {
                _ if path.len() == depth + 2 => {
                    *item = node;
                    Ok(())
                }
                Value::Table(table) => set(table, &path[depth + 2..], node, key_at),
                _ => Err(format!("`{key}` is a list of plain values")),
            };
        }
        // `split = "iid"` is short for an empty table, and a choice may be replaced by another.
        if !matches!(below, Value::Table(_)) {
            if !is_choice(&path[..=depth]) {
                return Err(format!("`{}` is not a table", path[..=depth].join(".")));
            }
            *below = Value::Table(Table::default());
        }
        let Value::Table(next) = below else { unreachable!("it was made a table above") };
        table = next;
    }
    let (last, parent) = path.split_last().expect("a path has a name");
    if is_choice(parent) {
        table.entries.retain(|entry| entry.key == *last);
    }
    put(table, Entry { key: last.clone(), key_at: Some(key_at), node }, &mut path.to_vec());
    Ok(())
}

/// The values of `--vary KEY=V1,V2,…`, each as an override.
///
/// # Errors
/// There is no `=`, or a value is empty.
pub fn vary(text: &str) -> Result<Vec<Override>, Diagnostic> {
    let whole = Override::split("--vary", text)?;
    let mut starts = vec![whole.value];
    let (mut depth, mut quote) = (0i32, None);
    for (position, character) in text.char_indices().skip_while(|(position, _)| *position < whole.value) {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => starts.push(position + 1),
            _ => {}
        }
    }
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let value = text[*start..end].trim();
            if value.is_empty() {
                let place = Place { source: whole.source.clone(), range: *start..end };
                return Err(Diagnostic::new(
                    codes::OVERRIDE,
                    format!("a value of `{}` is empty", whole.key()),
                )
                .label(Some(place), "between the commas")
                .help("write --vary KEY=V1,V2,…, such as --vary coordination.sync.cohort=8,16,32"));
            }
            let change = Override::new(whole.key(), value);
            let source = SourceText { name: "--vary".to_owned(), text: change.source.text.clone() };
            Ok(Override { source: Arc::new(source), ..change })
        })
        .collect()
}

/// Every combination of the axes, the last axis fastest.
pub fn expand(axes: &[Vec<Override>]) -> Vec<Vec<Override>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        let extend = |point: &Vec<Override>| {
            let point = point.clone();
            axis.iter()
                .map(move |change| point.iter().cloned().chain([change.clone()]).collect())
                .collect::<Vec<_>>()
        };
        points.iter().flat_map(extend).collect()
    })
}
