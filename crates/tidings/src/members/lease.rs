//! The lease of this bus: joins, renews and leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_codec::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::error::send_failure::{SendFailure, Unconfirmed};
use crate::keyspace::access::KeyspaceAccess;
use crate::keyspace::answer::NotDone;
use crate::keyspace::member_list::{Renewal, Renewed};
use crate::members::profile::Profile;
use crate::namespace::MemberKeys;
use crate::task::random::jitter;
use crate::task::stage::{Stage, reached};

/// The number of renewals within a lease.
const RENEWALS_PER_LEASE: u32 = 5;

/// The delay before a bus without permission tries again: Redis logs each denial.
const DENIED_DELAY: Duration = Duration::from_secs(30);

/// The maximal delay before a bus that could not join for another reason tries again, however long
/// its lease is: a Redis that loads its dataset or rejects writes may recover at any moment.
const MAX_JOIN_DELAY: Duration = Duration::from_secs(2);

/// The time limit of leaving.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of the membership, for the other parts of the bus.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    state: watch::Sender<MembershipState>,
    /// The number of the last membership change, as of the last renewal.
    pub(crate) changed: watch::Sender<u64>,
    /// The number of times that this bus was added to the list.
    pub(crate) added: watch::Sender<u64>,
    leaving: Notify,
    /// A caller needs to know now whether this is a member.
    renew_now: Notify,
    /// A renewal was accepted, or may have been.
    may_be_listed: AtomicBool,
    has_warned: AtomicBool,
    /// True if it warned of a missing permission.
    has_warned_of_denial: AtomicBool,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum MembershipState {
    /// Redis has not answered yet.
    Joining,
    Member,
    /// It could not join yet, or lost the permission.
    Failed(NotDone),
    /// Membership is off, or has ended.
    #[default]
    NotMember,
}

/// The task that renews the lease.
pub(crate) struct LeaseTask {
    /// Releases waiting callers, also if the task is dropped before it ran.
    guard: MembershipGuard,
    keyspace: Arc<KeyspaceAccess>,
    keys: MemberKeys,
    renewal: Renewal,
    /// The time of the last renewal that was accepted.
    renewed: Instant,
    stage: watch::Receiver<Stage>,
}

impl Membership {
    /// Waits until Redis has answered whether this is a member. After a failure that may be over,
    /// Redis is asked again first. Returns at once if membership is off.
    pub(crate) async fn answered(&self) -> MembershipState {
        let mut state = self.state.subscribe();
        let may_be_over = matches!(
            &*state.borrow_and_update(),
            MembershipState::Failed(error) if error.may_pass()
        );
        if may_be_over {
            self.renew_now.notify_one();
            // Cannot fail: `self` keeps the sender.
            let _ = state.changed().await;
        }
        let answered = state.wait_for(|state| !matches!(state, MembershipState::Joining));
        let state = answered.await.map(|state| state.clone());
        state.unwrap_or(MembershipState::NotMember)
    }

    /// Returns whether the bus may be in the member list.
    pub(crate) fn needs_leave(&self) -> bool {
        match *self.state.borrow() {
            MembershipState::Joining | MembershipState::Member => true,
            MembershipState::Failed(_) => self.may_be_listed.load(Ordering::Relaxed),
            MembershipState::NotMember => false,
        }
    }

    /// Leaves, within [`LEAVE_TIMEOUT`].
    pub(crate) async fn leave(&self) {
        self.leaving.notify_one();
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| matches!(state, MembershipState::NotMember))
            .await;
    }

    fn set_joining(&self) {
        self.state.send_if_modified(|state| {
            let is_out = matches!(state, MembershipState::Failed(_));
            if is_out {
                *state = MembershipState::Joining;
            }
            is_out
        });
    }

    fn is_member(&self) -> bool {
        matches!(*self.state.borrow(), MembershipState::Member)
    }

    fn joined(&self, renewed: Renewed) {
        self.may_be_listed.store(true, Ordering::Relaxed);
        self.state.send_if_modified(|state| {
            let has_joined = !matches!(state, MembershipState::Member);
            *state = MembershipState::Member;
            has_joined
        });
        self.has_warned_of_denial.store(false, Ordering::Relaxed);
        if self.has_warned.swap(false, Ordering::Relaxed) {
            tracing::info!("joined the member list");
        }
        self.changed.send_replace(renewed.change);
        if renewed.is_new {
            self.added.send_modify(|times| *times += 1);
        }
    }

    fn failed(&self, error: NotDone) {
        if let NotDone::Unconfirmed(Unconfirmed::NotSent(
            SendFailure::Refused(words) | SendFailure::Denied(words),
        )) = &error
            && self.is_news(error.is_denied())
        {
            tracing::warn!(
                why = &**words,
                "cannot join the member list: other members do not see this bus \
                 (turn it off with `BusBuilder::membership(false)`)"
            );
        }
        if let NotDone::Unconfirmed(Unconfirmed::Unknown(_)) = &error {
            self.may_be_listed.store(true, Ordering::Relaxed);
        }
        self.state.send_replace(MembershipState::Failed(error));
    }

    /// Returns true for the first refusal of a bus that is no member, and for the first denial: its
    /// cure must not be hidden by an earlier refusal that passes, as while Redis loads its dataset.
    fn is_news(&self, is_denied: bool) -> bool {
        let is_first = !self.has_warned.swap(true, Ordering::Relaxed);
        let is_first_denial = is_denied && !self.has_warned_of_denial.swap(true, Ordering::Relaxed);
        is_first || is_first_denial
    }
}

impl LeaseTask {
    pub(crate) fn new(
        membership: Arc<Membership>,
        keyspace: Arc<KeyspaceAccess>,
        keys: MemberKeys,
        (id, profile): (NodeId, &Profile),
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let renewal = Renewal {
            id,
            lease: profile.lease,
            description: profile.description(id),
            started: None,
        };
        membership.state.send_replace(MembershipState::Joining);
        Self {
            guard: MembershipGuard(membership),
            keyspace,
            keys,
            renewal,
            renewed: Instant::now(),
            stage,
        }
    }

    /// Renews the lease until the bus leaves.
    pub(crate) async fn run(mut self) {
        let (membership, mut stage) = (Arc::clone(self.membership()), self.stage.clone());
        let is_leaving = tokio::select! {
            biased;
            () = membership.leaving.notified() => true,
            () = self.keep_renewing() => false,
            _ = reached(&mut stage, Stage::Leaving) => false,
        };
        if is_leaving {
            self.announce_leave().await;
        }
    }

    fn membership(&self) -> &Arc<Membership> {
        &self.guard.0
    }

    /// Sends the leave after a renewal in progress: commands on one connection keep their order.
    async fn announce_leave(&self) {
        let leaving = self
            .keyspace
            .request(|keys| keys.leave(&self.keys, self.renewal.id));
        if !matches!(timeout(LEAVE_TIMEOUT, leaving).await, Ok(Ok(()))) {
            tracing::debug!("cannot leave the member list: the lease will expire");
        }
    }

    async fn keep_renewing(&mut self) {
        let mut availability = self.keyspace.watch();
        loop {
            match *availability.borrow_and_update() {
                Err(SendFailure::Closed) => return,
                Err(_) => {}
                Ok(_) => self.membership().set_joining(),
            }
            let pause = self.renew().await;
            let membership = Arc::clone(self.membership());
            tokio::select! {
                () = sleep(pause) => {}
                () = membership.renew_now.notified() => {}
                // After a reconnect, Redis may be another or empty.
                _ = availability.changed() => {}
            }
        }
    }

    /// Joins or renews the lease, and returns the delay before the next time.
    async fn renew(&mut self) -> Duration {
        let renewal = self.renewal.clone();
        let answer = self
            .keyspace
            .request(|keys| keys.renew(&self.keys, renewal))
            .await;
        let pause = jitter(self.renewal.lease / RENEWALS_PER_LEASE, 0.9..1.1);
        match answer {
            Ok(renewed) => {
                self.renewal.started.get_or_insert(renewed.now);
                self.renewed = Instant::now();
                self.membership().joined(renewed);
                // More leases have expired: removes the rest at once.
                if renewed.has_more {
                    Duration::ZERO
                } else {
                    pause
                }
            }
            Err(error) if self.stays_member(&error) => {
                tracing::debug!(?error, "cannot renew the lease");
                pause
            }
            Err(error) => {
                let pause = join_delay(&error, pause);
                self.membership().failed(error);
                pause
            }
        }
    }

    /// Returns whether a member stays one after a renewal that failed. If Redis rejects renewals for
    /// longer than the lease, it does not.
    fn stays_member(&self, error: &NotDone) -> bool {
        let has_ended = error.may_pass() && self.renewed.elapsed() >= self.renewal.lease;
        self.membership().is_member() && !error.is_denied() && !has_ended
    }
}

/// Returns the delay before a bus that could not join tries again; `renewals` is that between
/// renewals.
fn join_delay(error: &NotDone, renewals: Duration) -> Duration {
    if error.is_denied() {
        renewals.max(DENIED_DELAY)
    } else {
        renewals.min(MAX_JOIN_DELAY)
    }
}

/// Releases waiting callers however the task ends.
struct MembershipGuard(Arc<Membership>);

impl Drop for MembershipGuard {
    fn drop(&mut self) {
        self.0.state.send_replace(MembershipState::NotMember);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::Namespace;

    #[tokio::test]
    async fn a_bus_that_may_have_joined_must_leave() {
        let membership = Membership::default();
        let lost = NotDone::unknown(SendFailure::Lost);
        let unreachable = NotDone::not_sent(SendFailure::Unreachable);
        membership.failed(unreachable.clone());
        assert!(!membership.needs_leave());
        membership.failed(lost);
        membership.failed(unreachable);
        assert!(membership.needs_leave());
    }

    #[test]
    fn a_missing_permission_is_told_also_after_another_refusal() {
        let membership = Membership::default();
        let told = [false, false, true, true, false].map(|is_denied| membership.is_news(is_denied));
        assert_eq!(told, [true, false, true, false, false]);
        membership.joined(Renewed {
            now: 1,
            change: 1,
            has_more: false,
            is_new: true,
        });
        assert!(membership.is_news(true) && !membership.is_news(true));
    }

    #[test]
    fn only_a_missing_permission_causes_a_long_delay() {
        let failed = |words: &str| NotDone::not_sent(SendFailure::Refused(words.into()));
        let lost = NotDone::unknown(SendFailure::Lost);
        let unreachable = NotDone::not_sent(SendFailure::Unreachable);
        for (error, seconds) in [
            (failed("LOADING Redis is loading the dataset"), 2),
            (failed("MISCONF Redis is configured to save"), 2),
            (failed("NOREPLICAS Not enough good replicas"), 2),
            (failed("OOM command not allowed"), 2),
            (failed("BUSY Redis is busy running a script"), 2),
            (NotDone::Foreign("WRONGTYPE".into()), 2),
            (lost, 2),
            (unreachable, 2),
            (NotDone::not_sent(SendFailure::Denied("NOPERM".into())), 30),
        ] {
            let delay = join_delay(&error, Duration::from_secs(12));
            assert_eq!(delay.as_secs(), seconds, "{error:?}");
        }
        let delay = join_delay(&failed("OOM"), Duration::from_secs(1));
        assert_eq!(delay.as_secs(), 1);
    }

    #[tokio::test]
    async fn a_membership_task_that_never_ran_releases_waiting_callers() {
        let membership = Arc::<Membership>::default();
        let stage = watch::Sender::new(Stage::Open);
        let task = LeaseTask::new(
            Arc::clone(&membership),
            Arc::new(KeyspaceAccess::new(Duration::from_secs(1))),
            Namespace::parse("shop").unwrap().members(),
            (NodeId::new(1), &Profile::default()),
            stage.subscribe(),
        );
        assert!(membership.needs_leave());

        drop(task.run());

        assert!(!membership.needs_leave());
        membership.leave().await;
        assert!(matches!(
            membership.answered().await,
            MembershipState::NotMember
        ));
    }
}
