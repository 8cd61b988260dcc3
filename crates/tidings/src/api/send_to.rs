//! Sending to a role, and finding the members that an event is for: a send to a node or a role that
//! nobody has is an error.

use std::time::Duration;

use tidings_codec::{NodeId, To};
use tokio::time::timeout;

use crate::api::sending::Receipt;
use crate::bus::Bus;
use crate::error::members::MembersError;
use crate::error::send::SendError;
use crate::handler::key::SendKey;
use crate::members::lease::MembershipState;
use crate::members::member::Member;
use crate::members::roster::Roster;
use crate::observe::trace::sending;

/// The time to wait for a node or a role that no member has: a bus that was just started joins a
/// moment later.
const GRACE: Duration = Duration::from_millis(500);

/// The time to wait for Redis's answer about a node. After it, the event is sent anyway.
const CHECK: Duration = Duration::from_secs(1);

impl Bus {
    /// Sends an event to every member with this [role](crate::BusBuilder::role), and waits until Redis
    /// has accepted all of them. This bus receives it too if it has the role.
    ///
    /// Each member gets an event of its own, which is encoded and sent separately: for a role that most
    /// members have, [`send_to_all`](Self::send_to_all) is cheaper. The receipt is that of the last
    /// event.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:role-docs").role("api").start().await?;
    /// bus.send_to_role("api", "cache.clear", "user:7").await?;
    ///
    /// let nobody = bus.send_to_role("mailer", "mail.send", "user:7").await;
    /// assert!(matches!(nobody, Err(tidings::SendError::Nobody { .. })));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all); when no member has the role, nor joins with it within
    /// half a second; and when the members are unknown. Events before the one that failed are sent as
    /// [fed](Self::feed) ones.
    pub async fn send_to_role<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        role: &str,
        event: K,
        data: &T,
    ) -> Result<Receipt, SendError> {
        let nodes = self.nodes_with_role(role, event.name(data)).await?;
        sending(event.name(data), self.send_to_each(&nodes, &event, data)).await
    }

    /// Returns the members with a role, at least one, for an event that is to be sent to them.
    pub(crate) async fn nodes_with_role(
        &self,
        role: &str,
        event: &str,
    ) -> Result<Vec<NodeId>, SendError> {
        let looking = self.in_runtime(self.having(role));
        let unwritten = self.inner.outgoing.unwritten(event, 1);
        let event = event.to_owned();
        match unwritten.wait(looking).await {
            Ok(Some(nodes)) => Ok(nodes),
            Ok(None) => Err(SendError::Nobody {
                event,
                to: format!("the role `{role}`"),
            }),
            Err(source) => Err(SendError::Members { event, source }),
        }
    }

    /// Fails if it is known that no member has this id.
    pub(crate) async fn reach(&self, node: NodeId, event: &str) -> Result<(), SendError> {
        if node == self.inner.me || self.is_known(node) {
            return Ok(());
        }
        // If that is not known in time, the event is sent. Boxed, because it is rare and large.
        let looking = Box::pin(async { timeout(CHECK, self.is_there(node)).await });
        let is_there = self.in_runtime(looking).await.ok().flatten();
        if is_there == Some(false) {
            return Err(SendError::Nobody {
                event: event.to_owned(),
                to: format!("the id {node}"),
            });
        }
        Ok(())
    }

    /// Returns whether a member has this id, or `None` if that cannot be determined.
    async fn is_there(&self, node: NodeId) -> Option<bool> {
        let inner = &self.inner;
        // A bus that is no member may see the list all the same.
        if let MembershipState::Failed(_) = inner.members.membership.answered().await {
            return None;
        }
        let keys = &inner.members.keys;
        let asking = inner
            .keyspace
            .request(|keyspace| keyspace.describe(keys, &[node]));
        if asking.await.ok()?.first()?.is_some() {
            // The view knows it from the next time on.
            self.view();
            return Some(true);
        }
        let has = |roster: &Roster| roster.contains(node).then_some(());
        let found = self.among_members(GRACE, has).await.ok()?;
        Some(found.is_some())
    }

    fn is_known(&self, node: NodeId) -> bool {
        let view = self.inner.members.view.get();
        view.is_some_and(|view| view.is_synced() && view.contains(node))
    }

    /// Returns the members with a role, or `None` if there are none.
    async fn having(&self, role: &str) -> Result<Option<Vec<NodeId>>, MembersError> {
        let has_role = |member: &&Member| member.role.as_deref() == Some(role);
        let all = |roster: &Roster| {
            let nodes = roster.members().filter(has_role).map(|member| member.id);
            let nodes: Vec<_> = nodes.collect();
            (!nodes.is_empty()).then_some(nodes)
        };
        self.among_members(GRACE, all).await
    }

    /// Returns the current members, this bus included, without a round trip if they are known.
    pub(crate) async fn expected(&self) -> Result<Vec<Member>, MembersError> {
        let all = |roster: &Roster| Some(roster.members().cloned().collect());
        let found = self.among_members(Duration::ZERO, all).await?;
        Ok(found.unwrap_or_default())
    }

    /// Searches the members, and waits up to `patience` for a result. It first waits until this bus
    /// has joined, if it is a member.
    async fn among_members<T>(
        &self,
        patience: Duration,
        find: impl Fn(&Roster) -> Option<T>,
    ) -> Result<Option<T>, MembersError> {
        let me = self.inner.me;
        let standing = self.inner.members.joined().await?;
        let view = self.view();
        if matches!(standing, MembershipState::Member) && !view.contains(me) {
            // This bus has joined before the view reads it.
            view.hint(me);
            let has_us = |roster: &Roster| roster.contains(me).then_some(());
            view.find(GRACE, has_us).await?;
        }
        view.find(patience, find).await
    }

    async fn send_to_each<K: SendKey<T>, T: ?Sized + Sync>(
        &self,
        nodes: &[NodeId],
        event: &K,
        data: &T,
    ) -> Result<Receipt, SendError> {
        let mut awaited = Vec::with_capacity(nodes.len());
        for (node, left) in nodes.iter().zip((0..nodes.len()).rev()) {
            let others = self.inner.outgoing.unwritten(event.name(data), left);
            let handing_over = self.hand_over(event, data, To::Node(*node).into());
            awaited.push(others.wait(handing_over).await?);
        }
        let mut last = None;
        for one in awaited {
            last = Some(one.receipt(event.name(data)).await?);
        }
        Ok(last.expect("the role has members"))
    }
}
