//! Virtual time, event queue, keyed random streams, flow-level network and wire codec of cotune.
