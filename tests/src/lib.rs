//! Integration tests and conformance suites of cotune.
