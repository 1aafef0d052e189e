//! Criterion benches and side-by-side measurements of cotune.
