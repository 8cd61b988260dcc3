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
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::time::timeout;

use crate::error::members::MembersError;
use crate::error::start::StartError;
use crate::keyspace::Keyspace;
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::member_list::Listed;
use crate::members::lease::{Membership, MembershipState};
use crate::members::profile::{JournalUse, Profile};
use crate::members::view::View;
use crate::namespace::{MemberKeys, Namespace};

/// The maximum wait for the members at the start.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The membership of this bus and its view of all members.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) keys: MemberKeys,
    pub(crate) membership: Arc<Membership>,
    pub(crate) profile: Profile,
    /// Created at the first use.
    pub(crate) view: OnceLock<Arc<View>>,
}

impl Members {
    pub(crate) fn new(namespace: &Namespace, profile: Profile) -> Self {
        Self {
            keys: namespace.members(),
            membership: Arc::default(),
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

    /// Checks that no member would miss the events of this bus, nor it theirs. Without an answer of
    /// Redis, nothing is checked.
    pub(crate) async fn check_journal(
        &self,
        me: NodeId,
        listing: impl Future<Output = Option<Listed>>,
    ) -> Result<(), StartError> {
        let own = self.profile.journal;
        if !self.profile.is_member || own == JournalUse::Follows {
            return Ok(());
        }
        let Ok(Some(listed)) = timeout(CHECK_TIMEOUT, listing).await else {
            return Ok(());
        };
        let missing = profile::missing(&listed, me, own);
        if missing.is_empty() {
            return Ok(());
        }
        let members = missing.join("`, `");
        Err(match own {
            JournalUse::Writes => StartError::JournalUnread { members },
            JournalUse::None | JournalUse::Follows => StartError::JournalMissing { members },
        })
    }

    /// Returns the members once this bus is one of them: of two buses that start at the same time, at
    /// least one sees the other.
    pub(crate) async fn listed_after_joining(&self, keyspace: &KeyspaceAccess) -> Option<Listed> {
        if !matches!(self.joined().await, Ok(MembershipState::Member)) {
            return None;
        }
        let listing = keyspace.request(|keys| keys.list(&self.keys));
        listing.await.ok()
    }

    /// Waits until Redis has answered whether this bus is a member.
    pub(crate) async fn joined(&self) -> Result<MembershipState, MembersError> {
        match self.membership.answered().await {
            MembershipState::Failed(error) => Err(error.into()),
            state => Ok(state),
        }
    }
}
