//! Lines of JSON: the form for data of one's own.

use serde_json::{Map, Value};

use super::report::Reason;
use super::{Fields, Raw};

pub(super) fn rows(fields: &Fields, text: &str) -> Vec<Result<Raw, Reason>> {
    let row = |line: &str| {
        let object: Map<String, Value> = serde_json::from_str(line).map_err(|_| Reason::Malformed)?;
        fields.row(|name| object.get(name))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}
