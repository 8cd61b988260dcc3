//! The membership of a bus, and its view of the other members of its namespace.

pub(crate) mod changes;
#[cfg(test)]
mod fixtures;
pub(crate) mod lease;
pub(crate) mod live_senders;
pub(crate) mod member;
pub(crate) mod profile;
pub(crate) mod roster;
pub(crate) mod view;
pub(crate) mod watch;

use std::sync::{Arc, OnceLock};

use crate::error::members::MembersError;
use crate::error::start::StartError;
use crate::keyspace::Keyspace;
use crate::keyspace::member_list::Keys;
use crate::members::lease::{Membership, MembershipState};
use crate::members::profile::Profile;
use crate::members::view::View;
use crate::namespace::Namespace;

/// The membership of this bus and its view of all members.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) keys: Keys,
    pub(crate) membership: Arc<Membership>,
    pub(crate) profile: Profile,
    /// Created at the first use.
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

    /// Checks that no member has another kind of pub/sub than this bus: neither would receive the
    /// other's events. Without an answer of Redis, nothing is checked.
    pub(crate) async fn check_pubsub(&self, keyspace: &dyn Keyspace) -> Result<(), StartError> {
        let Some(own) = self.profile.pubsub.filter(|_| self.profile.is_member) else {
            return Ok(());
        };
        let Ok(listed) = keyspace.list(&self.keys).await else {
            return Ok(());
        };
        match profile::other_pubsub(&listed, own) {
            None => Ok(()),
            Some((member, other)) => Err(StartError::PubSub {
                member,
                other: other.name(),
                own: own.name(),
            }),
        }
    }

    /// Waits until Redis has answered whether this bus is a member.
    pub(crate) async fn joined(&self) -> Result<MembershipState, MembersError> {
        match self.membership.answered().await {
            MembershipState::Failed(error) => Err(error.into()),
            state => Ok(state),
        }
    }
}
