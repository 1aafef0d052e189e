//! The commands, one file each.

pub mod check;
pub mod compare;
pub mod explain;
pub mod export;
pub mod init;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod pretrain;
pub mod report;
pub mod run;
pub mod runs;
pub mod schema;
pub mod sweep;
pub mod verify;
pub mod watch;
