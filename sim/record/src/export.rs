//! A run for the tools of others.
//!
//! | file | what reads it |
//! |---|---|
//! | [`trace`] | Perfetto, `chrome://tracing`: who did what when, in virtual time |
//! | [`tensorboard`] | TensorBoard: scores and costs over rounds |

pub mod tensorboard;
pub mod trace;
