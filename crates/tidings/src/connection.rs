//! The tasks that own the connections: all I/O of events is here.

pub(crate) mod connect;
pub(crate) mod heartbeat;
pub(crate) mod outage;
pub(crate) mod pacing;
pub(crate) mod polling;
pub(crate) mod receive_task;
pub(crate) mod send_task;
pub(crate) mod session;
