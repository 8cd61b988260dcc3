//! Who else is there: every started bus is a member of its namespace, and can ask for the others.

pub(crate) mod changes;
#[cfg(test)]
mod fixtures;
pub(crate) mod lease;
pub(crate) mod member;
pub(crate) mod profile;
pub(crate) mod remember;
pub(crate) mod roster;
pub(crate) mod view;
pub(crate) mod watch;

use std::sync::{Arc, OnceLock};

use crate::error::members::MembersError;
use crate::keyspace::member_list::Keys;
use crate::members::lease::{Membership, MembershipState};
use crate::members::profile::Profile;
use crate::members::view::View;
use crate::namespace::Namespace;

/// What a bus knows of the members, itself included.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) keys: Keys,
    pub(crate) membership: Arc<Membership>,
    pub(crate) profile: Profile,
    /// It is there once somebody asked for it.
    pub(crate) view: OnceLock<Arc<View>>,
}

impl Members {
    pub(crate) fn new(namespace: &Namespace, profile: Profile) -> Self {
        Self {
            keys: Keys::of(namespace),
            membership: Arc::new(Membership::new()),
            profile,
            view: OnceLock::new(),
        }
    }

    /// Waits until it is known whether this bus is a member.
    pub(crate) async fn joined(&self) -> Result<MembershipState, MembersError> {
        match self.membership.answered().await {
            MembershipState::Out(undone) => Err(undone.into()),
            standing => Ok(standing),
        }
    }
}
