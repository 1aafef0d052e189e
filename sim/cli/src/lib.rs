//! Simulate cloud-edge language-model co-tuning: the command line and the facade library of cotune.
