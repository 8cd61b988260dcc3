//! Who else is there: every started bus is a member of its namespace, and can ask for the others.

mod changes;
mod events;
#[cfg(test)]
mod example;
pub(crate) mod presence;
pub(crate) mod profile;
pub(crate) mod remember;
pub(crate) mod roster;
pub(crate) mod view;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tidings_codec::NodeId;

pub use self::events::{Departure, MemberEvent, MemberEvents};
pub(crate) use self::presence::Presence;
use self::presence::Standing;
pub(crate) use self::profile::Profile;
use self::view::View;
use crate::error::members::MembersError;
use crate::keyspace::member_list::Keys;
use crate::namespace::Namespace;

/// A bus that is there, as it describes itself. [`Bus::members`](crate::Bus::members) and
/// [`Bus::watch_members`](crate::Bus::watch_members) give them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its [id](crate::Bus::id): [`send_to`](crate::Bus::send_to) reaches it.
    pub id: NodeId,
    /// What it is called: [`Builder::name`](crate::Builder::name).
    pub name: String,
    /// What it is for: [`Builder::role`](crate::Builder::role).
    pub role: Option<String>,
    /// Which version of the program it is: [`Builder::version`](crate::Builder::version).
    pub version: Option<String>,
    /// What the system calls the machine that it runs on; empty where it does not say.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When it joined for the first time, by Redis's clock.
    pub started: SystemTime,
    /// How long it is there without a sign of life: [`Builder::lease`](crate::Builder::lease).
    pub lease: Duration,
}

/// What a bus knows of the members, itself included.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) keys: Keys,
    pub(crate) presence: Arc<Presence>,
    pub(crate) profile: Profile,
    /// It is there once somebody asked for it.
    pub(crate) view: OnceLock<Arc<View>>,
}

impl Members {
    pub(crate) fn new(namespace: &Namespace, profile: Profile) -> Self {
        Self {
            keys: Keys::of(namespace),
            presence: Arc::new(Presence::new()),
            profile,
            view: OnceLock::new(),
        }
    }

    /// Waits until it is known whether this bus is a member.
    pub(crate) async fn joined(&self) -> Result<Standing, MembersError> {
        match self.presence.answered().await {
            Standing::Out(undone) => Err(undone.into()),
            standing => Ok(standing),
        }
    }
}
