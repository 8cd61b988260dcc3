//! Health, metrics, traces, and reports to the application. The modules receive plain numbers and
//! texts.

pub(crate) mod connection;
pub(crate) mod failure_hook;
pub(crate) mod health;
pub(crate) mod inspection;
pub(crate) mod journal;
#[cfg_attr(not(feature = "metrics"), path = "observe/metrics/absent.rs")]
pub(crate) mod metrics;
pub(crate) mod reports;
pub(crate) mod serialize;
pub(crate) mod stderr;
pub(crate) mod tap;
#[cfg_attr(not(feature = "opentelemetry"), path = "observe/trace/absent.rs")]
pub(crate) mod trace;
