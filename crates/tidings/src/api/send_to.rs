//! Who can be reached: to send to one who is not there is an error, not a silence.

use std::time::Duration;

use tidings_codec::{NodeId, To};
use tokio::time::timeout;

use crate::api::send::Receipt;
use crate::bus::Bus;
use crate::error::members::MembersError;
use crate::error::send::SendError;
use crate::handler::key::SendKey;
use crate::members::lease::MembershipState;
use crate::members::member::Member;
use crate::members::roster::Roster;
use crate::observe::trace::sending;

/// Who has just started may not be a member yet: so long somebody who is not there is waited for.
const GRACE: Duration = Duration::from_millis(500);

/// How long a send waits to hear whether somebody is there.
const CHECK: Duration = Duration::from_secs(1);

impl Bus {
    /// Sends an event to every member that has this [role](crate::BusBuilder::role), this bus included
    /// where it has it, and waits until Redis took all of it.
    ///
    /// It is one event for each of them, so it is encoded and travels as often: for a role that most
    /// members have, [`send_to_all`](Self::send_to_all) is cheaper. The receipt is that of the last.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = Bus::builder("memory:role-docs").role("api").start().await?;
    /// bus.send_to_role("api", "cache.clear", "user:7").await?;
    ///
    /// let nobody = bus.send_to_role("mailer", "mail.send", "user:7").await;
    /// assert!(matches!(nobody, Err(tidings::SendError::Nobody { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send_to_all`](Self::send_to_all); when nobody has the role, nor gets it within half a
    /// second; and when Redis does not say who is there. What was handed over before an error may
    /// have been sent, as what is fed.
    pub async fn send_to_role<K, T>(
        &self,
        role: &str,
        event: K,
        data: &T,
    ) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
        let name = || event.name(data).to_owned();
        let looking = self.in_runtime(self.having(role));
        let unwritten = self.inner.outgoing.unwritten(event.name(data), 1);
        let found = unwritten.wait(looking).await;
        let found = found.map_err(|source| SendError::Members {
            event: name(),
            source,
        })?;
        let Some(nodes) = found else {
            return Err(SendError::Nobody {
                event: name(),
                to: format!("the role `{role}`"),
            });
        };
        sending(event.name(data), self.send_to_each(&nodes, &event, data)).await
    }

    /// Makes sure that nobody is known not to be there who is sent to.
    pub(crate) async fn reach(&self, node: NodeId, event: &str) -> Result<(), SendError> {
        // Where it cannot be known in time, it is sent as if somebody were there.
        let looking = async { timeout(CHECK, self.is_there(node)).await };
        let is_there = self.in_runtime(looking).await.ok().flatten();
        if is_there == Some(false) {
            return Err(SendError::Nobody {
                event: event.to_owned(),
                to: format!("the id {node}"),
            });
        }
        Ok(())
    }

    /// Whether this is a member's id; `None` where nobody can say.
    async fn is_there(&self, node: NodeId) -> Option<bool> {
        let inner = &self.inner;
        if node == inner.me || self.is_known(node) {
            return Some(true);
        }
        let MembershipState::Member = inner.members.membership.answered().await else {
            return None;
        };
        let keys = &inner.members.keys;
        let asking = inner
            .keyspace
            .ask(|keyspace| keyspace.describe(keys, &[node]));
        if asking.await.ok()?.first()?.is_some() {
            // The next time it is known.
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

    /// All members of a role; `None` where there are none.
    async fn having(&self, role: &str) -> Result<Option<Vec<NodeId>>, MembersError> {
        let has_role = |member: &&Member| member.role.as_deref() == Some(role);
        let all = |roster: &Roster| {
            let nodes = roster.members().filter(has_role).map(|member| member.id);
            let nodes: Vec<_> = nodes.collect();
            (!nodes.is_empty()).then_some(nodes)
        };
        self.among_members(GRACE, all).await
    }

    /// The members that there are now, this bus included, without a round trip where they are known.
    pub(crate) async fn expected(&self) -> Result<Vec<Member>, MembersError> {
        let all = |roster: &Roster| Some(roster.members().cloned().collect());
        let found = self.among_members(Duration::ZERO, all).await?;
        Ok(found.unwrap_or_default())
    }

    /// What is found among the members, for which it waits a moment. It is known before whether this
    /// bus is one of them; if it is, it is among them.
    async fn among_members<T>(
        &self,
        patience: Duration,
        find: impl Fn(&Roster) -> Option<T>,
    ) -> Result<Option<T>, MembersError> {
        let me = self.inner.me;
        let standing = self.inner.members.joined().await?;
        let view = self.view();
        if matches!(standing, MembershipState::Member) && !view.contains(me) {
            // We know of ourselves before we hear of it.
            view.hint(me);
            let has_us = |roster: &Roster| roster.contains(me).then_some(());
            view.find(GRACE, has_us).await?;
        }
        view.find(patience, find).await
    }

    async fn send_to_each<K, T>(
        &self,
        nodes: &[NodeId],
        event: &K,
        data: &T,
    ) -> Result<Receipt, SendError>
    where
        K: SendKey<T>,
        T: ?Sized + Sync,
    {
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
        Ok(last.expect("somebody has the role"))
    }
}
