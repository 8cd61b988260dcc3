//! `Member`: the description of a bus in its namespace.

use std::time::{Duration, SystemTime};

use tidings_codec::NodeId;

/// A started bus of the namespace, with its own description. Returned by
/// [`Bus::members`](crate::Bus::members) and [`Bus::watch_members`](crate::Bus::watch_members).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its [id](crate::Bus::id): [`send_to`](crate::Bus::send_to) reaches it.
    pub id: NodeId,
    /// Its name: [`BusBuilder::name`](crate::BusBuilder::name).
    pub name: String,
    /// Its role: [`BusBuilder::role`](crate::BusBuilder::role).
    pub role: Option<String>,
    /// The version of its program: [`BusBuilder::version`](crate::BusBuilder::version).
    pub version: Option<String>,
    /// The name of its host; empty if the system does not know it.
    pub host: String,
    /// Its process id on the host.
    pub pid: u32,
    /// The time of its first join, by Redis's clock.
    pub started: SystemTime,
    /// The time after which it expires without a renewal:
    /// [`BusBuilder::lease`](crate::BusBuilder::lease).
    pub lease: Duration,
}
