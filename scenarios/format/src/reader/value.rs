//! Reading one value: is it of the right kind, and in its range?

use super::Bound;
use crate::codes::{self, Code};
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Place, Value};
use crate::units::{self, Dimension, Mistake};
use crate::words::{self, Choices};

/// Integers up to here are exact in f64 and JSON.
pub(crate) const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A name as part of a dotted path.
pub(crate) fn quoted(name: &str) -> String {
    let bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { name.to_owned() } else { format!("{name:?}") }
}

/// How to make a choice.
pub(crate) fn choose_one(path: &str, choices: &Choices) -> String {
    let first = choices.available[0];
    let name = path.rsplit('.').next().unwrap_or(path);
    let example = if choices.plain.contains(&first) {
        format!("{name} = {{ {first} = … }}")
    } else {
        format!("[{path}.{first}]")
    };
    match choices.available.len() {
        1 => format!("write {example}"),
        _ => format!("write {example}; the choices are {}", words::list(choices.available.iter().copied())),
    }
}

pub(crate) fn choose(
    word: &str,
    at: Option<Place>,
    path: &str,
    choices: &Choices,
) -> Result<&'static str, Diagnostic> {
    if let Some(name) = choices.available.iter().find(|name| **name == word) {
        return Ok(name);
    }
    if choices.planned.contains(&word) {
        return Err(Diagnostic::new(
            codes::NOT_AVAILABLE,
            format!("`{path}.{word}` is not available in this version"),
        )
        .label(at, "not yet")
        .help(format!("this version has {}", words::list(choices.available.iter().copied()))));
    }
    let all = choices.available.iter().chain(choices.planned).copied();
    Err(Diagnostic::new(codes::UNKNOWN_WORD, format!("`{word}` is not {}", choices.what))
        .label(at, "unknown")
        .help(words::suggestion(word, all)))
}

pub(crate) fn wrong_type(node: &Node, path: &str, wanted: &str, example: &str) -> Diagnostic {
    let name = path.rsplit('.').next().unwrap_or(path);
    let diagnostic = Diagnostic::new(codes::WRONG_TYPE, format!("`{path}` is {wanted}, not {}", node.kind()))
        .label(node.at.clone(), format!("this is {}", node.kind()));
    if example.is_empty() { diagnostic } else { diagnostic.help(format!("write {name} = {example}")) }
}

pub(crate) fn out_of_range(node: &Node, path: &str, wanted: &str, code: &'static Code) -> Diagnostic {
    Diagnostic::new(code, format!("`{path}` {wanted}")).label(node.at.clone(), "out of range")
}

pub(crate) fn text<'a>(node: &'a Node, path: &str, example: &str) -> Result<&'a str, Diagnostic> {
    match &node.value {
        Value::String(text) => Ok(text),
        _ => Err(wrong_type(node, path, "a string", example)),
    }
}

pub(crate) fn word<T: Copy>(node: &Node, path: &str, choices: &[(&'static str, T)]) -> Result<T, Diagnostic> {
    let written = text(node, path, &format!("{:?}", choices[0].0))?;
    choices.iter().find(|(name, _)| *name == written).map(|(_, value)| *value).ok_or_else(|| {
        let names = choices.iter().map(|(name, _)| *name);
        Diagnostic::new(codes::UNKNOWN_WORD, format!("`{path}` cannot be `{written}`"))
            .label(node.at.clone(), "unknown")
            .help(words::suggestion(written, names))
    })
}

pub(crate) fn whole<N: TryFrom<i64>>(node: &Node, path: &str, least: i64) -> Result<N, Diagnostic> {
    let Value::Integer(integer) = node.value else {
        return Err(wrong_type(node, path, "a whole number", &least.max(1).to_string()));
    };
    if integer < least {
        return Err(out_of_range(node, path, &format!("has to be {least} or above"), codes::OUT_OF_RANGE));
    }
    N::try_from(integer)
        .ok()
        .filter(|_| integer as f64 <= MOST_EXACT)
        .ok_or_else(|| out_of_range(node, path, "is too large", codes::OUT_OF_RANGE))
}

/// The same, and at most `most`.
pub(crate) fn whole_within<N: TryFrom<i64>>(
    node: &Node,
    path: &str,
    least: i64,
    most: Option<u64>,
) -> Result<N, Diagnostic> {
    match (&node.value, most) {
        (Value::Integer(integer), Some(most)) if u64::try_from(*integer).is_ok_and(|count| count > most) => {
            let error = out_of_range(node, path, "is too large", codes::OUT_OF_RANGE);
            Err(error.help(format!("write at most {most}")))
        }
        _ => whole(node, path, least),
    }
}

pub(crate) fn number(node: &Node, path: &str, bound: Bound) -> Result<f64, Diagnostic> {
    let number = match node.value {
        Value::Integer(integer) => integer as f64,
        Value::Float(float) => float,
        _ => return Err(wrong_type(node, path, "a number", "")),
    };
    // Tidied first, so that what is too small to be kept does not become 0 unseen.
    let number = units::tidy(number);
    match bound.broken(number) {
        Some(wanted) => Err(out_of_range(node, path, wanted, codes::OUT_OF_RANGE)),
        None => Ok(number),
    }
}

/// A string with a unit, in SI units.
pub(crate) fn quantity(
    node: &Node,
    path: &str,
    dimension: &'static Dimension,
    bound: Bound,
) -> Result<f64, Diagnostic> {
    let units = || words::list(dimension.units.iter().map(|(symbol, _)| *symbol));
    let needs_unit = |digits: &str, number: f64| {
        let mut shown = units::likely(dimension, digits, number);
        if dimension.units.len() > 3 {
            shown.push_str(&format!("; its units are {}", units()));
        }
        Diagnostic::new(codes::MISSING_UNIT, format!("`{path}` is {} and needs a unit", dimension.name))
            .label(node.at.clone(), "a number alone")
            .help(format!("write {shown}"))
    };
    let written = match &node.value {
        Value::String(written) => written,
        Value::Integer(integer) => return Err(needs_unit(&integer.to_string(), *integer as f64)),
        Value::Float(float) => return Err(needs_unit(&float.to_string(), *float)),
        _ => return Err(wrong_type(node, path, dimension.name, &format!("{:?}", dimension.example))),
    };
    let value = units::parse(dimension, written).map_err(|mistake| match mistake {
        Mistake::NoUnit(digits, number) => needs_unit(&digits, number),
        Mistake::NotANumber => {
            Diagnostic::new(codes::NOT_A_NUMBER, format!("`{path}` is {}, not `{written}`", dimension.name))
                .label(node.at.clone(), "does not begin with a number")
                .help(format!("write a number and a unit, such as {:?}", dimension.example))
        }
        Mistake::UnknownUnit(digits, unit) => {
            let other = units::dimension_of(&unit);
            let message = match other {
                Some(other) => {
                    format!("`{path}` is {}, and `{unit}` is the unit of {}", dimension.name, other.name)
                }
                None => format!("`{path}` is {}, and `{unit}` is not a unit of it", dimension.name),
            };
            let help = match units::meant(dimension, &unit) {
                Some(meant) => format!("did you mean \"{digits}{meant}\"?"),
                None => format!("its units are {}", units()),
            };
            Diagnostic::new(codes::UNKNOWN_UNIT, message)
                .label(
                    node.at.clone(),
                    if other.is_some() { "another kind of quantity" } else { "unknown unit" },
                )
                .help(help)
        }
    })?;
    match bound.broken(value) {
        Some(wanted) => Err(out_of_range(node, path, wanted, codes::BAD_QUANTITY)),
        None => Ok(value),
    }
}
