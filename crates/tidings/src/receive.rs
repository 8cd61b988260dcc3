//! The path of a frame to the queues of subscriptions. No I/O.

pub(crate) mod batch;
pub(crate) mod calls;
pub(crate) mod control;
pub(crate) mod decoded;
pub(crate) mod dispatch;
pub(crate) mod holes;
pub(crate) mod merged;
pub(crate) mod queue;
pub(crate) mod receiver;
pub(crate) mod remembered;
pub(crate) mod request;
pub(crate) mod room;
pub(crate) mod routes;
pub(crate) mod sequence;
pub(crate) mod sorter;
pub(crate) mod subscription;
