//! The tasks that own the connections and do all I/O of events.

pub(crate) mod connect;
pub(crate) mod heartbeat;
pub(crate) mod numbering;
pub(crate) mod outage;
pub(crate) mod pacing;
pub(crate) mod polling;
pub(crate) mod receive_task;
pub(crate) mod send_task;
pub(crate) mod session;
