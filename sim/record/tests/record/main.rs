//! | file | what it holds |
//! |---|---|
//! | `common` | a small run in events |
//! | `digests` | what the two digests see, and where two streams part |
//! | `log` | reading back what was written, whole, torn or damaged |
//! | `tables` | counts, bytes and joules survive tabulation; summary and CSV files |
//! | `directories` | run folders, and which run a person means |

mod checkpoints;
mod common;
mod digests;
mod directories;
mod export;
mod log;
mod tables;
