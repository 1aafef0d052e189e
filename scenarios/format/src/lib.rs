//! The scenario language of cotune: schema, units, distributions, diagnostics, expansion. No I/O.
//!
//! Text becomes a [`Document`] (what was written, with its places in the text), a document becomes a
//! [`Scenario`] (valid, every default resolved, SI units), and everything that was wrong on the way
//! becomes [`Diagnostics`]:
//!
//! ```
//! # let text = "format = 2";
//! use cotune_scenario::{Context, Document, Style};
//!
//! let load = |base: &str| std::fs::read_to_string(base).map_err(|error| error.to_string());
//! let checked = Document::parse("city-clinics.toml", text, &load)
//!     .and_then(|document| document.check(&Context { zoo: &["llm", "dpm"] }));
//! match checked {
//!     Ok(checked) => println!("{}", checked.scenario.digest()),
//!     Err(diagnostics) => eprintln!("{}", diagnostics.render(Style::default())),
//! }
//! ```
//!
//! Every section of the language is a file: its types first, then how it is read.

pub mod budget;
pub mod cloud;
pub mod codes;
pub mod coordination;
pub mod cost;
pub mod data;
pub mod distribution;
pub mod evaluation;
pub mod expect;
pub mod fairness;
pub mod fault;
pub mod fleet;
pub mod method;
pub mod metrics;
pub mod models;
pub mod scenario;
pub mod schema;
pub mod sweep;
pub mod transfer;
pub mod units;

mod check;
mod diagnostic;
mod document;
mod files;
mod json;
mod limits;
mod lock;
mod merge;
mod node;
mod overrides;
mod reader;
mod smoke;
mod words;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity, Style};
pub use distribution::Distribution;
pub use document::{Checked, Context, Document};
pub use files::{FileKind, FileReference};
pub use node::{Place, SourceText};
pub use overrides::{Override, expand, vary};
pub use scenario::Scenario;
pub use sweep::Sweep;
pub use words::meant;
