//! The members of the namespace: who they are, and changes.

use std::sync::Arc;

use crate::bus::Bus;
use crate::error::members::MembersError;
use crate::members::member::Member;
use crate::members::profile;
use crate::members::view::{View, ViewGuard, ViewTask};
use crate::members::watch::MemberWatch;

impl Bus {
    /// Asks Redis who is there: all members of the namespace, this bus included, the oldest first.
    ///
    /// A bus is a member from shortly after its start until it is shut down, and for one
    /// [lease](crate::BusBuilder::lease) after it crashed. This waits until it is known whether this
    /// bus itself is one, and for nothing else: while Redis is away it fails at once.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bus = Bus::builder("memory:members-docs").name("shop-1").role("api").start().await?;
    /// for member in bus.members().await? {
    ///     println!("{} since {:?}, process {}", member.name, member.started, member.pid);
    /// #   assert_eq!((member.id, &*member.name), (bus.id(), "shop-1"));
    /// #   assert_eq!(member.role.as_deref(), Some("api"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When Redis is away, does not answer, or does not allow it: the error says what does.
    pub async fn members(&self) -> Result<Vec<Member>, MembersError> {
        let members = &self.inner.members;
        members.joined().await?;
        let listed = self
            .inner
            .keyspace
            .ask(|keys| keys.list(&members.keys))
            .await?;
        let mut list = profile::read_all(&listed);
        list.sort_by_key(|member| (member.started, member.id));
        Ok(list)
    }

    /// Tells of each member that is there, this bus included, and then of each that joins or leaves.
    ///
    /// One that is shut down or dropped is gone at once. One that crashed or is cut off is gone when
    /// it did not renew its [lease](crate::BusBuilder::lease), 0.22 leases later at most. A Redis that
    /// was away, frozen or has lost everything is no reason: all have their lease, and 2 s to
    /// connect, from when it is back; who crashed meanwhile is gone only then. So is one whose
    /// departure itself was missed, which a bus finds out within two renewals of its own lease, or
    /// within 30 s where it is no member.
    ///
    /// Where Redis does not allow it, this tells nothing; [`members`](Self::members) says why.
    ///
    /// ```
    /// # use tidings::prelude::*;
    /// use tidings::MemberEvent;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bus = Bus::builder("memory:watch-members-docs").start().await?;
    /// let mut changes = bus.watch_members();
    /// while let Some(change) = changes.next().await {
    ///     match change {
    ///         MemberEvent::Joined(member) => println!("{} is there", member.name),
    ///         MemberEvent::Left { member, why, .. } => println!("{} is gone: {why:?}", member.name),
    ///         _ => {}
    ///     }
    /// #   break;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_members(&self) -> MemberWatch {
        self.view().watch()
    }

    /// Which members leave from now on.
    pub(crate) fn departures(&self) -> MemberWatch {
        self.view().watch_departures()
    }

    /// What is known of the members; from the first time on it is kept up to date.
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
                stage: inner.stage.subscribe(),
            };
            // First hear, then ask: a change in between is in neither.
            let listener = Arc::clone(&view);
            inner.dispatcher.listen("tidings.member", listener);
            inner.add_task(inner.runtime.spawn(task.run()));
            view
        })
    }
}
