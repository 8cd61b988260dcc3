//! The members of the namespace, and their changes.

use std::sync::Arc;

use crate::bus::Bus;
use crate::error::members::MembersError;
use crate::members::member::Member;
use crate::members::profile;
use crate::members::view::{View, ViewGuard, ViewTask};
use crate::members::watch::MemberWatch;

impl Bus {
    /// Returns all members of the namespace from Redis, this bus included, the oldest first.
    ///
    /// A bus is a member from shortly after its start until it is shut down, and for one
    /// [lease](crate::BusBuilder::lease) after a crash. The call waits only until this bus itself has
    /// joined; while Redis is unreachable it fails at once.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let bus = Bus::builder("memory:members-docs").name("shop-1").role("api").start().await?;
    /// for member in bus.members().await? {
    ///     println!("{} since {:?}, process {}", member.name, member.started, member.pid);
    /// #   assert_eq!((member.id, &*member.name), (bus.id(), "shop-1"));
    /// #   assert_eq!(member.role.as_deref(), Some("api"));
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When Redis is unreachable, does not answer, or the ACL does not allow it; the error names the
    /// missing permission.
    pub async fn members(&self) -> Result<Vec<Member>, MembersError> {
        let members = &self.inner.members;
        members.joined().await?;
        let listed = self
            .inner
            .keyspace
            .request(|keys| keys.list(&members.keys))
            .await?;
        let mut list = profile::read_all(&listed);
        list.sort_by_key(|member| (member.started, member.id));
        Ok(list)
    }

    /// Returns a watch that reports each current member, this bus included, and then each member that
    /// joins or leaves.
    ///
    /// A bus that is shut down or dropped is reported as left at once. One that crashed or is cut off
    /// is reported at the latest 0.22 leases after its [lease](crate::BusBuilder::lease) has expired.
    /// After an outage of Redis, all members have 2 s to connect and then their lease; a crash during
    /// the outage is reported after that. A missed departure is detected within two renewals of this
    /// bus's own lease, or within 30 s if it is not a member.
    ///
    /// If the ACL does not allow it, nothing is reported, and [`members`](Self::members) returns the
    /// error.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// use tidings::MemberEvent;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// # let bus = Bus::builder("memory:watch-members-docs").start().await?;
    /// let mut changes = bus.watch_members();
    /// while let Some(change) = changes.next().await {
    ///     match change {
    ///         MemberEvent::Joined(member) => println!("{} joined", member.name),
    ///         MemberEvent::Left { member, why, .. } => println!("{} left: {why:?}", member.name),
    ///         _ => {}
    ///     }
    /// #   break;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn watch_members(&self) -> MemberWatch {
        self.view().watch()
    }

    /// Returns the view of the members. The first call starts it; from then on it is kept up to date.
    pub(super) fn view(&self) -> &Arc<View> {
        let inner = &self.inner;
        inner.members.view.get_or_init(|| {
            let view = Arc::<View>::default();
            let task = ViewTask {
                view: ViewGuard(Arc::clone(&view), inner.stage.subscribe()),
                membership: Arc::clone(&inner.members.membership),
                keyspace: Arc::clone(&inner.keyspace),
                keys: inner.members.keys.clone(),
                missed: inner.reports.missed.subscribe(),
            };
            // Subscribe before reading the list: a change in between would be in neither.
            let listener = Arc::clone(&view);
            inner.dispatcher.listen("tidings.member", listener);
            inner.add_task(inner.runtime.spawn(task.run()));
            view
        })
    }
}
