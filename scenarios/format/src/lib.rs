//! The scenario language of cotune: schema, units, distributions, diagnostics, expansion. No I/O.
