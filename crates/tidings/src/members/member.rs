//! A member, as it describes itself.

use std::time::{Duration, SystemTime};

use tidings_codec::NodeId;

/// A bus that is there, as it describes itself. [`Bus::members`](crate::Bus::members) and
/// [`Bus::watch_members`](crate::Bus::watch_members) give them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its [id](crate::Bus::id): [`send_to`](crate::Bus::send_to) reaches it.
    pub id: NodeId,
    /// What it is called: [`BusBuilder::name`](crate::BusBuilder::name).
    pub name: String,
    /// What it is for: [`BusBuilder::role`](crate::BusBuilder::role).
    pub role: Option<String>,
    /// Which version of the program it is: [`BusBuilder::version`](crate::BusBuilder::version).
    pub version: Option<String>,
    /// What the system calls the machine that it runs on; empty where it does not say.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When it joined for the first time, by Redis's clock.
    pub started: SystemTime,
    /// How long it is there without a sign of life: [`BusBuilder::lease`](crate::BusBuilder::lease).
    pub lease: Duration,
}
