//! What others may see of a bus: health, metrics, traces and what is printed. It receives numbers and
//! texts, and knows nothing of what they describe.

pub(crate) mod call;
pub(crate) mod health;
#[cfg_attr(not(feature = "metrics"), path = "observe/metrics/absent.rs")]
pub(crate) mod metrics;
pub(crate) mod reports;
pub(crate) mod stderr;
#[cfg_attr(not(feature = "opentelemetry"), path = "observe/trace/absent.rs")]
pub(crate) mod trace;
